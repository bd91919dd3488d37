"""Offsets of the lines of an image with 1/f stripes, and its white noise beside them."""

import numpy as np
from scipy import ndimage

from crsteps.flicker_noise.boxes import box_medians, row_medians

# Standard deviation of a normal distribution over its median absolute value.
SIGMA_PER_MAD = 1.4826
# Boxes in which the white noise is measured, in pixels.
NOISE_BOX = 64
# One line of so many shows the noise of a typical pixel.
NOISE_LINES = 4
# Pixels on each side of the seam between two outputs in which their offset is measured.
SEAM = 8
# Lines with fewer background pixels, and lines standing out as bright traces along the stripes
# do, take their offset from their neighbours.
FEWEST_LINE_PIXELS = 8
LINE_NEIGHBOURS = 31
LINE_OUTLIER_SIGMA = 5.0


def line_offsets(values, background_mask, *, n_outputs=1):
    """
    Offset of each line in each output: the median of its background pixels.

    Parameters
    ----------
    values : ndarray of float32, shape (n_lines, n_pixels)
        Image whose stripes run along the last axis.
    background_mask : ndarray of bool, shape (n_lines, n_pixels)
        True at background pixels.
    n_outputs : int
        Number of outputs along a line.

    Returns
    -------
    ndarray of float32, shape (n_lines, n_pixels)
        Offsets; interpolated over lines with few background pixels and over lines that stand out
        from their neighbours as no stripe does (a bright spectrum along the stripes).
    """
    n_lines, n_pixels = values.shape
    width = n_pixels // n_outputs
    shape = (n_lines * n_outputs, width)
    median, n_used = row_medians(values.reshape(shape), background_mask.reshape(shape))
    median[n_used < min(FEWEST_LINE_PIXELS, width)] = np.nan
    median = median.reshape(n_lines, n_outputs)
    for output in range(n_outputs):
        median[:, output] = _bridge_outliers(median[:, output])
    return np.repeat(median, width, axis=1)


def output_offsets(values, usable, *, n_outputs=1):
    """
    Offsets between outputs, from the steps where they meet: the sky is smooth there.

    Parameters
    ----------
    values : ndarray of float32, shape (n_lines, n_pixels)
        Image whose stripes run along the last axis.
    usable : ndarray of bool, shape (n_lines, n_pixels)
        Pixels to use.
    n_outputs : int
        Number of outputs along a line.

    Returns
    -------
    ndarray of float32, shape (n_pixels,)
        Offset of the output of each pixel of a line; that of the first one is 0.
    """
    width = values.shape[1] // n_outputs
    reach = min(SEAM, width)
    offsets = np.zeros(n_outputs, dtype=np.float32)
    for output in range(1, n_outputs):
        seam = np.s_[:, output * width - reach : output * width + reach]
        strips = values[seam].reshape(-1, 2, reach).swapaxes(0, 1)
        known = usable[seam].reshape(-1, 2, reach).swapaxes(0, 1)
        (left, right), n_used = row_medians(strips.reshape(2, -1), known.reshape(2, -1))
        step = right - left if n_used.all() else 0
        offsets[output] = offsets[output - 1] + step
    return np.repeat(offsets, width)


def _bridge_outliers(offsets):
    offsets = _interpolate_nan(offsets)
    deviation = np.abs(offsets - ndimage.median_filter(offsets, LINE_NEIGHBOURS, mode="nearest"))
    limit = LINE_OUTLIER_SIGMA * SIGMA_PER_MAD * np.median(deviation)
    return _interpolate_nan(np.where(deviation > limit, np.nan, offsets)) if limit else offsets


def _interpolate_nan(values):
    known = np.flatnonzero(np.isfinite(values))
    if not known.size:
        return np.zeros_like(values)
    return np.interp(np.arange(values.size), known, values[known]).astype(values.dtype)


def white_noise(values, usable):
    """
    White noise of an image with stripes.

    Measured on differences of pixels two apart along a line, which hold neither stripes nor the
    offset between even and odd columns.

    Parameters
    ----------
    values : ndarray of float32, shape (n_lines, n_pixels)
        Image whose stripes run along the last axis.
    usable : ndarray of bool, shape (n_lines, n_pixels)
        Pixels to use.

    Returns
    -------
    ndarray of float32, shape (n_lines, n_pixels)
        Standard deviation in boxes of 64 pixels; the median of all boxes where one has no pixels,
        0 if there is nothing to measure.
    """
    difference = np.zeros_like(values)
    known = np.zeros_like(usable)
    difference[:, 2:] = np.abs(values[:, 2:] - values[:, :-2])
    known[:, 2:] = usable[:, 2:] & usable[:, :-2]
    noise = box_medians(difference, known, NOISE_BOX, smooth=True)
    return noise * np.float32(SIGMA_PER_MAD / np.sqrt(2))


def typical_noise(image, *, stripe_axis):
    """
    White noise of a typical pixel of an image with stripes and sources.

    Parameters
    ----------
    image : ndarray of float, shape (ny, nx)
        Image; pixels that are not finite are left out.
    stripe_axis : int
        Array axis along which a stripe runs.

    Returns
    -------
    float
        Standard deviation, from differences of pixels two apart along a line; 0 if there are none.
    """
    lines = image if stripe_axis == 1 else image.T
    lines = lines[::NOISE_LINES]
    difference = np.abs(lines[:, 2:] - lines[:, :-2])
    difference = difference[np.isfinite(difference)]
    if not difference.size:
        return 0.0
    return float(SIGMA_PER_MAD / np.sqrt(2) * np.median(difference))
