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
    values = np.where(usable, image, 0).astype(np.float32)
    if not usable.any():
        return values
    y_grid, x_grid = (_BoxAxis(size, box) for size in image.shape)
    n_pixels = _box_sums(usable.astype(np.float32), y_grid, x_grid)
    # The mean is taken off first: float32 sums lose little then, and smoothing has less to do.
    level = np.float32(np.mean(values, where=usable, dtype=np.float64))
    sky = np.full(image.shape, level)
    for _ in range(2):
        residual = np.where(usable, values - sky, 0)
        means = _smoothed_means(_box_sums(residual, y_grid, x_grid), n_pixels)
        sky += y_grid.interpolation @ means.astype(np.float32) @ x_grid.interpolation.T
    return sky


class _BoxAxis:
    """Boxes along one axis: where they start, and the interpolation between their centres."""

    def __init__(self, size, box):
        n_boxes = max(1, round(size / box))
        edges = np.linspace(0, size, n_boxes + 1).round().astype(int)
        self.starts = edges[:-1]
        centres = (edges[:-1] + edges[1:] - 1) / 2
        pixels = np.arange(size)
        # One column per box: the response of linear interpolation to that box alone.
        self.interpolation = np.stack(
            [np.interp(pixels, centres, unit) for unit in np.eye(n_boxes)], axis=1
        ).astype(np.float32)


def _box_sums(values, y_grid, x_grid):
    rows = np.add.reduceat(values, y_grid.starts, axis=0)
    return np.add.reduceat(rows, x_grid.starts, axis=1, dtype=np.float64)


def _smoothed_means(sums, n_pixels):
    """Means of boxes, smoothed; wider where a neighbourhood holds no background pixel."""
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
    background = _clip_like_jwst(image, background_mask)
    return float(np.median(image[background].astype(np.float64))) if background.any() else 0.0


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
    ndarray of float64, shape (ny, nx)
        Background; the constant one if no box holds enough background pixels.

    Notes
    -----
    ``background_method = "model"`` of the jwst step ``clean_flicker_noise``.
    """
    # photutils is not needed by the other backgrounds.
    from astropy.stats import SigmaClip
    from astropy.utils.exceptions import AstropyUserWarning
    from photutils.background import Background2D, MedianBackground

    background = _clip_like_jwst(image, background_mask)
    values = image.astype(np.float64)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AstropyUserWarning)
            return Background2D(
                values,
                box_size=box or tuple(largest_divisor(size) for size in image.shape),
                filter_size=(5, 5),
                mask=~background,
                sigma_clip=SigmaClip(sigma=CLIP_SIGMA, maxiters=CLIP_ITERATIONS),
                bkg_estimator=MedianBackground(),
            ).background
    except ValueError:
        level = np.median(values[background]) if background.any() else 0.0
        return np.full(image.shape, level)


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
    values = np.sort(image[usable].astype(np.float64))
    if not values.size:
        return usable
    centre, sigma = _clipped_median_and_sigma(values)
    if lower_half_only:
        below = values[: np.searchsorted(values, centre, side="right")] - centre
        centre, sigma = _clipped_median_and_sigma(np.concatenate([below, -below[::-1]]) + centre)
    low, high = centre - sigma_lower * sigma, centre + sigma_upper * sigma
    return usable & (image >= low) & (image <= high)


def _clip_like_jwst(image, background_mask):
    return clip_to_background(
        image,
        background_mask,
        sigma_lower=CLIP_SIGMA,
        sigma_upper=CLIP_SIGMA,
        lower_half_only=True,
    )


def _clipped_median_and_sigma(values):
    """Median and standard deviation of sorted values clipped around their median."""
    # Clipping shortens a sorted array at its ends: no further sorting.
    for _ in range(CLIP_ITERATIONS):
        reach = CLIP_SIGMA * values.std()
        centre = _middle(values)
        first = np.searchsorted(values, centre - reach, side="left")
        last = np.searchsorted(values, centre + reach, side="right")
        if last - first == values.size:
            break
        values = values[first:last]
    return _middle(values), values.std()


def _middle(values):
    n = values.size
    return 0.5 * (values[(n - 1) // 2] + values[n // 2])
