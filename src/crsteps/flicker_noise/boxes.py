"""Images in square bins and boxes: means, medians, and the way back to pixels."""

import numpy as np
from scipy import ndimage


def bin_sums(values, factor, function=np.add):
    """
    Sums, or another reduction, of square bins.

    Parameters
    ----------
    values : ndarray, shape (ny, nx)
        Image.
    factor : int
        Side of a bin in pixels; bins at the far edges may be cut.
    function : numpy.ufunc, optional
        Reduction of which 0 is the neutral element.

    Returns
    -------
    ndarray
        One value a bin.
    """
    margins = [(0, -size % factor) for size in values.shape]
    if np.any(margins):
        values = np.pad(values, margins)
    n_y, n_x = (size // factor for size in values.shape)
    # Whole rows first: they are long enough to be vectorised.
    rows = function.reduce(values.reshape(n_y, factor, -1), axis=1)
    return function.reduce(rows.reshape(n_y, n_x, factor), axis=2)


def bin_means(values, usable, factor):
    """
    Means of the usable pixels of square bins.

    Parameters
    ----------
    values : ndarray of float32, shape (ny, nx)
        Image.
    usable : ndarray of bool, shape (ny, nx)
        Pixels to use.
    factor : int
        Side of a bin in pixels.

    Returns
    -------
    means : ndarray of float32
        One value a bin; 0 without a usable pixel.
    known : ndarray of bool
        Where at least half of the pixels are usable.
    """
    total = bin_sums(np.where(usable, values, 0), factor)
    n_used = bin_sums(usable.astype(np.float32), factor)
    n_inside = [np.minimum(factor, size - np.arange(0, size, factor)) for size in values.shape]
    return total / np.maximum(n_used, 1), n_used >= 0.5 * np.outer(*n_inside)


def enlarge(binned, shape, factor):
    """
    Spread values of bins over their pixels.

    Parameters
    ----------
    binned : ndarray
        One value a bin.
    shape : tuple of int
        Shape of the image.
    factor : int
        Side of a bin in pixels.

    Returns
    -------
    ndarray
        Image of that shape.
    """
    return binned.repeat(factor, axis=0).repeat(factor, axis=1)[: shape[0], : shape[1]]


def box_medians(values, usable, box, *, smooth=False):
    """
    Medians of boxes, spread over their pixels.

    Parameters
    ----------
    values : ndarray of float32, shape (ny, nx)
        Image.
    usable : ndarray of bool, shape (ny, nx)
        Pixels to use.
    box : int
        Side of a box in pixels.
    smooth : bool, optional
        Take the median of each box and its neighbours.

    Returns
    -------
    ndarray of float32, shape (ny, nx)
        Where a box has no usable pixel, the median of the other boxes; 0 if none has.
    """
    n_y, n_x = (-(-size // box) for size in values.shape)
    margins = [(0, n * box - size) for n, size in zip((n_y, n_x), values.shape, strict=True)]
    blocks = [
        np.pad(array, margins).reshape(n_y, box, n_x, box).swapaxes(1, 2).reshape(n_y * n_x, -1)
        for array in (values, usable)
    ]
    medians, n_used = row_medians(*blocks)
    known = n_used > 0
    medians[~known] = np.median(medians[known]) if known.any() else 0
    medians = medians.reshape(n_y, n_x)
    if smooth:
        medians = ndimage.median_filter(medians, 3, mode="nearest")
    return enlarge(medians, values.shape, box)


def row_medians(values, usable):
    """
    Medians of the usable values of rows.

    Parameters
    ----------
    values : ndarray of float, shape (..., m)
        Rows; finite where usable.
    usable : ndarray of bool, shape (..., m)
        Values to use.

    Returns
    -------
    medians : ndarray of float, shape (...)
        In the type of the values; NaN without a usable value.
    n_used : ndarray of int, shape (...)
        Number of usable values.
    """
    # Sorting rows is vectorised; NumPy's nanmedian is many times slower.
    values = np.ascontiguousarray(np.where(usable, values, values.dtype.type(np.nan)))
    values.sort(axis=-1)  # NaN goes last
    n_used = np.count_nonzero(usable, axis=-1)
    low, high = np.maximum(n_used - 1, 0) // 2, np.minimum(n_used // 2, values.shape[-1] - 1)
    middle = (np.take_along_axis(values, place[..., None], -1)[..., 0] for place in (low, high))
    lower, upper = middle
    return (lower + upper) / 2, n_used
