"""Values for single pixels from the good pixels around them."""

import numpy as np
from scipy import ndimage

_AT_ONCE = 2**11  # windows gathered at a time: bounds their memory


def median_around(image, good, pixels, *, reach):
    """
    Median of the good pixels in a window around each of some pixels.

    Parameters
    ----------
    image : ndarray of float32, shape (ny, nx)
        Image; what is not good may be NaN.
    good : ndarray of bool, shape (ny, nx)
        Pixels that may be used. The window's centre is used too if it is good.
    pixels : ndarray of int, shape (n,)
        Flat (row-major) indices of the pixels.
    reach : tuple of (int, int)
        Half width of the window in y and in x: it is 2 reach + 1 pixels wide, less at the edges
        of the image.

    Returns
    -------
    ndarray of float32, shape (n,)
        Medians; the mean of the middle two of an even number. Where a window has no good pixel,
        the value of the nearest good pixel of the image, and 0 if there is none.
    """
    values = np.full(np.size(pixels), np.nan, dtype=np.float32)
    for start in range(0, values.size, _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        values[part] = median_of_good(*good_windows(image, good, pixels[part], reach=reach))
    lonely = np.isnan(values)
    if lonely.any():
        values[lonely] = _nearest(image, good, pixels[lonely])
    return values


def fill_missing(image, missing, *, reach=2):
    """
    Fill missing pixels with the median of the pixels around them.

    Parameters
    ----------
    image : ndarray of float32, shape (ny, nx)
        Image.
    missing : ndarray of bool, shape (ny, nx)
        Pixels to fill, whatever their value.
    reach : int
        Half width of the window.

    Returns
    -------
    ndarray of float32, shape (ny, nx)
        A new image. Pixels without a good one in their window take the value of the nearest good
        one; all are 0 if all are missing.
    """
    filled = np.array(image, dtype=np.float32)
    pixels = np.flatnonzero(missing)
    filled.ravel()[pixels] = median_around(filled, ~missing, pixels, reach=(reach, reach))
    return filled


def good_windows(image, good, pixels, *, reach):
    """
    Gather the good pixels in a window around each of some pixels.

    Parameters
    ----------
    image : ndarray of float, shape (ny, nx)
        Image.
    good : ndarray of bool, shape (ny, nx)
        Pixels that are gathered.
    pixels : ndarray of int, shape (n,)
        Flat (row-major) indices of the pixels.
    reach : tuple of (int, int)
        Half width of the window in y and in x.

    Returns
    -------
    windows : ndarray of float, shape (n, (2 reach_y + 1) (2 reach_x + 1))
        Values; NaN where a pixel is not good or lies outside the image.
    n_good : ndarray of int, shape (n,)
        Number of good pixels of each window.
    """
    ny, nx = image.shape
    dy, dx = (offsets.ravel() for offsets in np.mgrid[_both_ways(reach[0]), _both_ways(reach[1])])
    y, x = np.divmod(np.asarray(pixels)[:, np.newaxis], nx)
    y, x = y + dy, x + dx
    inside = (y >= 0) & (y < ny) & (x >= 0) & (x < nx)
    flat = np.where(inside, y * nx + x, 0)
    inside &= good.ravel()[flat]
    return np.where(inside, image.ravel()[flat], np.nan), np.count_nonzero(inside, axis=1)


def median_of_good(windows, n_good):
    """
    Median of the good pixels of each window.

    Parameters
    ----------
    windows : ndarray of float, shape (n, m)
        Values, NaN where not good; sorted in place.
    n_good : ndarray of int, shape (n,)
        Number of those that are.

    Returns
    -------
    ndarray of float, shape (n,)
        Medians, the mean of the middle two of an even number; NaN without a good pixel.
    """
    windows.sort(axis=1)  # NaN comes last
    row = np.arange(len(windows))
    return (windows[row, (n_good - 1) // 2] + windows[row, n_good // 2]) / 2


def _both_ways(reach):
    return slice(-reach, reach + 1)


def _nearest(image, good, pixels):
    """Value of the nearest good pixel; 0 if there is none."""
    if not good.any():
        return np.zeros(pixels.size, dtype=np.float32)
    y, x = ndimage.distance_transform_edt(~good, return_distances=False, return_indices=True)
    return image[y.ravel()[pixels], x.ravel()[pixels]]
