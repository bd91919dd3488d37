"""
Background under a scene: a constant, a smooth isotropic sky, or the model of the jwst step.

A ``background_mask`` is True at background pixels, as in the jwst step; values that are not finite
are never used.
"""

import warnings

import numpy as np
from scipy import ndimage

# Smoothing between boxes, as a fraction of the box. With the second pass over the residual of the
# first a structure of Gaussian width 2 boxes loses 2 % of its height.
SMOOTHING = 0.5
CLIP_SIGMA = 3.0
CLIP_ITERATIONS = 5
# The boxes of the jwst step are the largest divisors of the image shape up to this one.
LARGEST_MODEL_BOX = 32


def smooth_sky(image, background_mask, *, box=48):
    """
    Smooth isotropic sky, everywhere, from the background pixels.

    Means of the background pixels in boxes, smoothed by a Gaussian with the numbers of pixels as
    weights and interpolated bilinearly; the same again on the residual, because structures of the
    size of a few boxes are too low after the first pass. Boxes without background take the
    value of the nearest ones with some.

    Parameters
    ----------
    image : ndarray of float, shape (ny, nx)
        Image, in any unit.
    background_mask : ndarray of bool, shape (ny, nx)
        True at background pixels.
    box : int
        Size of a box in pixels; structure much smaller than a box is not followed.

    Returns
    -------
    ndarray of float32, shape (ny, nx)
        Sky; zeros if there is no background pixel.
    """
    usable = background_mask & np.isfinite(image)
    values = np.where(usable, image, np.float32(0)).astype(np.float32, copy=False)
    number = np.count_nonzero(usable)
    if not number:
        return values
    y_grid, x_grid = (BoxAxis(size, box) for size in image.shape)
    usable = usable.astype(np.float32)
    n_pixels = _box_sums(usable, y_grid, x_grid)
    # The mean is taken off first: float32 sums lose little then, and smoothing has less to do.
    sky = np.full(image.shape, np.float32(np.sum(values, dtype=np.float64) / number))
    for _ in range(2):
        residual = values - sky
        residual *= usable
        means = smoothed_means(_box_sums(residual, y_grid, x_grid), n_pixels)
        sky += y_grid.interpolation @ means.astype(np.float32) @ x_grid.interpolation.T
    return sky


class BoxAxis:
    """
    Boxes along one axis.

    Parameters
    ----------
    size : int
        Pixels along the axis.
    box : int
        Pixels of a box, about.

    Attributes
    ----------
    starts : ndarray of int, shape (n_boxes,)
        First pixels.
    members : ndarray of float32, shape (n_boxes, size)
        1 for the pixels of a box, 0 for others.
    interpolation : ndarray of float32, shape (size, n_boxes)
        Response of linear interpolation between the centres to each box; constant beyond.
    """

    def __init__(self, size, box):
        n_boxes = max(1, round(size / box))
        edges = np.linspace(0, size, n_boxes + 1).round().astype(int)
        self.starts = edges[:-1]
        self.members = np.zeros((n_boxes, size), np.float32)
        for own, start, end in zip(self.members, edges[:-1], edges[1:], strict=True):
            own[start:end] = 1
        centres = (edges[:-1] + edges[1:] - 1) / 2
        pixels = np.arange(size)
        # One column per box: the response of linear interpolation to that box alone.
        self.interpolation = np.stack(
            [np.interp(pixels, centres, unit) for unit in np.eye(n_boxes)], axis=1
        ).astype(np.float32)


def _box_sums(values, y_grid, x_grid):
    rows = y_grid.members @ values
    return np.add.reduceat(rows, x_grid.starts, axis=1, dtype=np.float64)


def smoothed_means(sums, n_pixels):
    """
    Smoothed means of boxes, wider where a neighbourhood holds no background pixel.

    Parameters
    ----------
    sums, n_pixels : ndarray of float, shape (n_y, n_x)
        Sums of the background pixels of the boxes, and their numbers.

    Returns
    -------
    ndarray of float, shape (n_y, n_x)
    """
    means = np.full(sums.shape, np.nan)
    width = SMOOTHING
    while np.isnan(means).any():
        numerator = ndimage.gaussian_filter(sums, width, mode="nearest")
        weight = ndimage.gaussian_filter(n_pixels, width, mode="nearest")
        # A weight below one pixel is the far wing of the Gaussian.
        defined = np.isnan(means) & (weight > min(1.0, 0.5 * weight.max()))
        means[defined] = numerator[defined] / weight[defined]
        width *= 2
    return means


def constant(image, background_mask):
    """
    Clipped median of the background pixels.

    Parameters
    ----------
    image, background_mask
        As for `smooth_sky`.

    Returns
    -------
    float
        The median after clipping at three sigma of the lower half; 0 without background pixels.

    Notes
    -----
    ``background_method = "median"`` of the jwst step ``clean_flicker_noise``.
    """
    level, _ = constant_and_mask(image, background_mask, n_sigma=0)
    return float(level)


def constant_and_mask(image, background_mask, *, n_sigma=2.0):
    """
    Clipped median of the background pixels, and those that are left after a second clipping.

    Parameters
    ----------
    image, background_mask
        As for `smooth_sky`.
    n_sigma : float
        Second clipping, of the image without the constant; 0 for none.

    Returns
    -------
    level : scalar of the type of the image
        As `constant`; exactly what the jwst step takes off its images.
    clipped : ndarray of bool, shape (ny, nx)
        The background mask after both clippings.

    Notes
    -----
    Taking off a constant keeps values in order, so that one sorting serves both clippings.
    """
    usable = background_mask & np.isfinite(image)
    values = np.sort(image[usable])
    values = values[_kept(values, CLIP_SIGMA, CLIP_SIGMA, lower_half_only=True)]
    if not values.size:
        return image.dtype.type(0), np.zeros_like(usable)
    level = _middle(values)
    if n_sigma > 0:
        values = values[_kept(values - level, n_sigma, n_sigma, lower_half_only=True)]
    return level, _between(image, usable, values)


def model(image, background_mask, *, box=None):
    """
    Low-resolution background by `photutils.background.Background2D`.

    Parameters
    ----------
    image, background_mask
        As for `smooth_sky`.
    box : tuple of int, optional
        Box size (y, x); for each axis the largest divisor of the image size up to 32 when not
        given.

    Returns
    -------
    ndarray, shape (ny, nx)
        Background, of the type of the image; the constant one if no box holds enough background
        pixels.

    Notes
    -----
    ``background_method = "model"`` of the jwst step ``clean_flicker_noise``.
    """
    background, _ = model_and_mask(image, background_mask, box=box, n_sigma=0)
    return background


def model_and_mask(image, background_mask, *, box=None, n_sigma=2.0):
    """
    Low-resolution background, and the background pixels left after a second clipping.

    Parameters
    ----------
    image, background_mask, box
        As for `model`.
    n_sigma : float
        Second clipping, of the image without the background; 0 for none.

    Returns
    -------
    background : ndarray, shape (ny, nx)
        As `model`.
    clipped : ndarray of bool, shape (ny, nx)
        The background mask after both clippings.
    """
    # photutils is not needed by the other backgrounds.
    from astropy.stats import SigmaClip
    from astropy.utils.exceptions import AstropyUserWarning
    from photutils.background import Background2D, MedianBackground

    level, clipped = constant_and_mask(image, background_mask, n_sigma=0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AstropyUserWarning)
            background = Background2D(
                image,
                box_size=box or tuple(largest_divisor(size) for size in image.shape),
                filter_size=(5, 5),
                mask=~clipped,
                sigma_clip=SigmaClip(sigma=CLIP_SIGMA, maxiters=CLIP_ITERATIONS),
                bkg_estimator=MedianBackground(),
            ).background
    except ValueError:
        background = np.full(image.shape, level)
    if n_sigma > 0:
        clipped = clip_to_background(
            image - background,
            clipped,
            sigma_lower=n_sigma,
            sigma_upper=n_sigma,
            lower_half_only=True,
        )
    return background, clipped


def largest_divisor(size):
    """
    Largest divisor of an image size that makes a box of the jwst step.

    Parameters
    ----------
    size : int
        Number of pixels along an axis.

    Returns
    -------
    int
        The largest divisor up to 32.
    """
    return max(divisor for divisor in range(1, LARGEST_MODEL_BOX + 1) if size % divisor == 0)


def clip_to_background(
    image, background_mask, *, sigma_lower=3.0, sigma_upper=2.0, lower_half_only=False
):
    """
    Take pixels far from the background level out of a background mask.

    Parameters
    ----------
    image, background_mask
        As for `smooth_sky`.
    sigma_lower, sigma_upper : float
        Pixels further below or above the median than these numbers of standard deviations go.
    lower_half_only : bool
        Measure the standard deviation on the values below the median, mirrored: for diffuse
        emission, which makes the upper half wider.

    Returns
    -------
    ndarray of bool, shape (ny, nx)
        The background mask without those pixels and without values that are not finite.

    Notes
    -----
    The function of the same name of the jwst step ``clean_flicker_noise``, which clips at three
    sigma around the median in up to five iterations first.
    """
    usable = background_mask & np.isfinite(image)
    values = np.sort(image[usable])
    kept = values[_kept(values, sigma_lower, sigma_upper, lower_half_only=lower_half_only)]
    return _between(image, usable, kept)


def clipped_statistics(values):
    """
    Median and standard deviation of values clipped around their median.

    Parameters
    ----------
    values : ndarray, shape (n,)
        Finite values in ascending order; at least one.

    Returns
    -------
    median, sigma : float
        After clipping at three sigma in up to five iterations.
    kept : slice
        The values that are left.

    Notes
    -----
    The numbers of ``astropy.stats.sigma_clipped_stats`` with its defaults.
    """
    # Clipping shortens a sorted array at its ends: no further sorting. Sums of squares are exact
    # enough around the median.
    offset = float(_middle(values))
    values = np.subtract(values, offset, dtype=np.float64)
    first, last = 0, values.size
    for _ in range(CLIP_ITERATIONS):
        inside = values[first:last]
        centre, reach = _middle(inside), CLIP_SIGMA * _deviation(inside)
        low = np.searchsorted(inside, centre - reach, side="left")
        high = np.searchsorted(inside, centre + reach, side="right")
        first, last = first + low, first + high
        if last - first == inside.size:
            break
    inside = values[first:last]
    return offset + float(_middle(inside)), _deviation(inside), slice(int(first), int(last))


def _kept(values, sigma_lower, sigma_upper, *, lower_half_only):
    """Slice of sorted values that is within the limits of clipping."""
    if not values.size:
        return slice(0, 0)
    values = values.astype(np.float64)
    centre, sigma, _ = clipped_statistics(values)
    if lower_half_only:
        sigma = _mirrored_deviation(values[: np.searchsorted(values, centre, side="right")], centre)
    first = np.searchsorted(values, centre - sigma_lower * sigma, side="left")
    last = np.searchsorted(values, centre + sigma_upper * sigma, side="right")
    return slice(first, last)


def _mirrored_deviation(below, centre):
    """Clipped standard deviation of sorted values up to a centre and their mirror images."""
    distance = below - centre
    for _ in range(CLIP_ITERATIONS):
        sigma = np.sqrt(distance @ distance / distance.size)
        inside = distance[np.searchsorted(distance, -CLIP_SIGMA * sigma) :]
        if inside.size == distance.size:
            break
        distance = inside
    return np.sqrt(distance @ distance / distance.size)


def _between(image, usable, values):
    """Usable pixels from the first to the last of some sorted values."""
    if not values.size:
        return np.zeros_like(usable)
    return usable & (image >= values[0]) & (image <= values[-1])


def _deviation(values):
    mean = values.mean()
    return float(np.sqrt(max(values @ values / values.size - mean * mean, 0.0)))


def _middle(values):
    """Median of sorted values, rounded as NumPy does it in their type."""
    n = values.size
    return (values[(n - 1) // 2] + values[n // 2]) / 2
