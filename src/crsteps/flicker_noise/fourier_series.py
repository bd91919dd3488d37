"""Truncated Fourier series through masked lines: ``fit_method = "fft"`` of the jwst step (NSClean).

The normal equations of Fourier vectors at the samples of a regular grid hold nothing but the
transform of the squared weights at differences of frequencies, so they are made by transforms
instead of products of large matrices, and solved for many lines or sections at once. The series
are those of the peer with its peculiarities, which the functions below tell.

Images have their lines in the first axis, in the order of reading, and the pixels of a line in the
second. As in the peer the pixels stay in the order of the image, also where they are read
backwards, and all outputs of a full frame count as one line, in traditional readout and in IRS2.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import fft
from scipy.ndimage import gaussian_filter1d

from crsteps.detector.readout import PIXEL_TIME, ROW_OVERHEAD
from crsteps.flicker_noise.line_median import masked_medians

FULL_FRAME = (2048, 2048)

FREQUENCIES = (1061.0, 1211.0, 49943.0, 49957.0)
"""Hertz; gain 1 below the first, falling to 0 at the second, rising from the third to the last."""

ALLSLITS_FREQUENCIES = (150.0, 200.0, 49943.0, 49957.0)
"""The same for NIRSpec subarray ALLSLITS."""

# Full frame: half power and width of the low pass in cycles a pixel, Gaussian widths in pixels of
# the density of samples along a line and of the smoothing from line to line, clipping of outliers,
# and lines at both ends that are not fitted.
_HALF_POWER, _ROLL_OFF = 1 / 256, 1 / 1024
_DENSITY_SIGMA, _LINE_SIGMA = 32, 1.5
_LINE_CLIP, _BORDER = 3.0, 4

# Subarray: clipping of outliers.
_SUBARRAY_CLIP = 4.0
_MAD_FULL_FRAME, _MAD_SUBARRAY = 1.4826, 1.4825

# Added to the diagonal of normal equations, in units of its elements, for solutions that the
# samples do not determine: the smallest that the peer's precision can tell from 0, single for full
# frames and double for subarrays. Beside gaps wider than a period its noise is amplified alike.
_RIDGE_FULL_FRAME, _RIDGE_SUBARRAY = 1e-7, 1e-12
# Ticks of the sections that are solved at once.
_BATCH_TICKS = 1 << 20


def fit_full_frame(image, background_mask):
    """
    Slow noise of the lines of a full frame.

    The lowest frequencies of every line, weighted with the reciprocal local density of samples,
    then smoothed from line to line.

    Parameters
    ----------
    image : ndarray of float, shape (n_lines, n)
        Image without its background, without NaN in background pixels; not modified.
    background_mask : ndarray of bool, shape (n_lines, n)
        True at background pixels.

    Returns
    -------
    ndarray of float32, shape (n_lines, n)
        Noise; 0 before smoothing in the 4 lines at both ends and in those without background.

    Notes
    -----
    ``NSClean`` of the jwst step. Vectors have frequencies of one sign only, although the image is
    real; density and noise are displaced by one line and one pixel.
    """
    length = image.shape[1]
    gain = _low_pass(length)
    gain = gain[: np.count_nonzero(gain)]
    order = np.arange(gain.size)
    waves = np.exp(-2j * np.pi / length * np.outer(np.arange(length), order))
    weights = _reciprocal_density(background_mask).astype(np.float64) ** 2
    data = _without_outliers(image, background_mask)
    moments = _product(weights, waves)
    right_side = _product(weights * data, waves)
    series = _solve(moments, order[:, None] - order, right_side, _RIDGE_FULL_FRAME)
    series[:_BORDER] = series[-_BORDER:] = 0
    # Smoothing and displacing the series costs less than doing it to the image, and is the same.
    series = gaussian_filter1d(
        np.roll(series, 1, axis=0), _LINE_SIGMA, axis=0, mode="wrap", truncate=8
    )
    series *= gain * np.where(order > 0, 2, 1) * waves[1]
    return (series.real @ waves.real.T + series.imag @ waves.imag.T).astype(np.float32)


def _low_pass(length):
    frequency = np.fft.rfftfreq(length)
    distance = np.clip((frequency - _HALF_POWER) / _ROLL_OFF, -0.5, 0.5)
    return (1 - np.sin(np.pi * distance)) / 2


def _reciprocal_density(background_mask):
    """Weight of every sample. Single precision, as the peer: noise where the density is nothing."""
    transform = np.fft.rfft2(background_mask.astype(np.float32)) * _density_kernel(
        background_mask.shape
    )
    with np.errstate(divide="ignore"):
        weights = 1 / np.fft.irfft2(transform, background_mask.shape)
    return np.where(background_mask & np.isfinite(weights), weights, 0)


@lru_cache(maxsize=1)
def _density_kernel(shape):
    n_lines, length = shape
    kernel = np.zeros(shape, dtype=np.float32)
    distance = np.arange(length) - (length // 2 + 1)
    kernel[n_lines // 2 + 1] = _gaussian(distance, _DENSITY_SIGMA)
    return np.fft.rfft2(np.fft.ifftshift(kernel))


def _gaussian(distance, sigma):
    return np.exp(-(distance**2) / (2 * sigma**2)) / (sigma * np.sqrt(2 * np.pi))


def _without_outliers(image, background_mask):
    """Outliers of every line, and masked pixels, replaced by its median."""
    median = masked_medians(image, background_mask)[:, None]
    spread = masked_medians(np.abs(image - median), background_mask)[:, None]
    reach = _LINE_CLIP * (_MAD_FULL_FRAME * spread)
    inside = background_mask & (median - reach <= image) & (image <= median + reach)
    return np.where(inside, image, median)


def _product(values, waves):
    return values @ waves.real + 1j * (values @ waves.imag)


def _solve(moments, difference, right_side, ridge):
    """
    Coefficients from the moments of the squared weights at differences of frequencies.

    Shapes are (n, n_frequencies), of `difference` (n_vectors, n_vectors), of the right side and
    the coefficients (n, n_vectors). Rows without weight have coefficients 0.
    """
    matrices = moments[:, np.abs(difference)]
    np.conjugate(matrices, where=difference < 0, out=matrices)
    total = moments[:, 0].real
    diagonal = np.arange(len(difference))
    matrices[:, diagonal, diagonal] += np.where(total > 0, ridge * total, 1.0)[:, None]
    return np.linalg.solve(matrices, right_side[..., None])[..., 0]


@dataclass(frozen=True)
class SubarrayOptions:
    """
    Options of `fit_subarray`.

    Attributes
    ----------
    frequencies : tuple of float
        `FREQUENCIES` or `ALLSLITS_FREQUENCIES`.
    section_pixels : int
        Background pixels in a section.
    least_background : float
        Least part of the pixels of a section that must show background for it to be fitted.
    """

    frequencies: tuple[float, float, float, float] = FREQUENCIES
    section_pixels: int = 512
    least_background: float = 0.05


def fit_subarray(images, background_masks, *, options=None):
    """
    Slow and alternating column noise of subarrays, fitted in clock time.

    Images are cut into overlapping sections of lines with about the same number of background
    pixels; their series are blended with weights that fall from the middle of a section.

    Parameters
    ----------
    images : ndarray of float, shape (n_images, n_lines, n)
        Images without their background, without NaN in background pixels; not modified.
    background_masks : ndarray of bool, shape (n_images, n_lines, n)
        True at background pixels.
    options : SubarrayOptions, optional
        Options.

    Returns
    -------
    ndarray of float64, shape (n_images, n_lines, n)
        Noise; 0 where there is too little background.

    Notes
    -----
    ``fft_clean_subarray`` and ``NSCleanSubarray`` of the jwst step. One output is assumed, and
    vectors have frequencies of one sign only. Images are independent of each other: many at once
    are faster.
    """
    options = options or SubarrayOptions()
    masks = np.array(
        [_exclude_outliers(*pair) for pair in zip(images, background_masks, strict=True)]
    ).reshape(background_masks.shape)
    sections = {}
    noise = np.zeros(images.shape)
    weight = np.zeros(images.shape[:2])
    for i, mask in enumerate(masks):
        per_line = mask.sum(axis=1)
        for start, stop in _sections(per_line, options.section_pixels):
            weight[i, start:stop] += _blending(stop - start)
            least = options.least_background * (stop - start) * mask.shape[1]
            if per_line[start:stop].sum() > least:
                sections.setdefault(stop - start, []).append((i, start))
    for n_lines, places in sections.items():
        at_once = max(1, _BATCH_TICKS // (n_lines * (images.shape[2] + ROW_OVERHEAD)))
        for first in range(0, len(places), at_once):
            _add_series(noise, images, masks, places[first : first + at_once], n_lines, options)
    return noise / np.where(weight > 0, weight, 1)[..., None]


def _exclude_outliers(image, background_mask):
    """Take outliers and their four neighbours out of a background mask."""
    mask = background_mask.copy()
    if not mask.any():
        return mask
    median = np.median(image[mask])
    spread = _MAD_SUBARRAY * np.median(np.abs((image - median)[mask]))
    outlier = mask & (np.abs(image - median) > _SUBARRAY_CLIP * spread)
    mask &= ~outlier
    mask[1:] &= ~outlier[:-1]
    mask[:-1] &= ~outlier[1:]
    mask[:, 1:] &= ~outlier[:, :-1]
    mask[:, :-1] &= ~outlier[:, 1:]
    return mask


def _sections(per_line, n_pixels):
    """First and last + 1 line of overlapping sections with more than so many pixels."""
    occupied = np.flatnonzero(per_line)
    if not occupied.size:
        return
    start, end = occupied[0], occupied[-1] + 1
    before = np.concatenate([[0], np.cumsum(per_line)])
    while start < end:
        stop = end
        # A rest of less than one and a half sections is not divided.
        if before[-1] - before[start] > 1.5 * n_pixels:
            stop = min(end, np.searchsorted(before, before[start] + n_pixels, side="right"))
        yield int(start), int(stop)
        if stop == end:
            break
        start += max(int(np.round((stop - start) / 2)), 1)


@lru_cache(maxsize=64)
def _blending(n_lines):
    return 1.001 - np.abs(np.linspace(-1, 1, n_lines))


def _add_series(noise, images, masks, places, n_lines, options):
    """Fit sections of equal numbers of lines and add their weighted series to the noise."""
    mask = np.array([masks[i, start : start + n_lines] for i, start in places])
    data = np.array([images[i, start : start + n_lines] for i, start in places])
    series = _section_series(np.where(mask, data, 0), mask, options.frequencies)
    series *= _blending(n_lines)[:, None]
    for (i, start), model in zip(places, series, strict=True):
        noise[i, start : start + n_lines] += model


def _section_series(data, mask, frequencies):
    """Series of sections, shape (n_sections, n_lines, n), in clock time."""
    n_sections, n_lines, length = data.shape
    overhead = ((0, 0), (0, 0), (0, ROW_OVERHEAD))
    on_clock = np.pad(mask, overhead).reshape(n_sections, -1)
    values = np.pad(data.astype(np.float64), overhead).reshape(n_sections, -1)
    n_ticks = on_clock.shape[1]
    gain = _band_gain(n_ticks, frequencies)
    order = np.flatnonzero(gain)
    density = fft.irfft(
        fft.rfft(on_clock.astype(np.float64)) * _tick_kernel(n_ticks, frequencies), n_ticks
    )
    weights = np.where(on_clock, 1 / np.where(on_clock, density, 1), 0) ** 2
    spectrum = np.zeros((n_sections, gain.size), dtype=np.complex128)
    right_side = fft.rfft(weights * values)[:, order]
    series = _solve(fft.rfft(weights), order[:, None] - order, right_side, _RIDGE_SUBARRAY)
    spectrum[:, order] = gain[order] * series
    model = n_ticks * fft.irfft(spectrum, n_ticks)
    return model.reshape(n_sections, n_lines, -1)[..., :length]


@lru_cache(maxsize=64)
def _band_gain(n_ticks, frequencies):
    # The peer's single precision decides which frequencies next to the limits are fitted.
    frequency = np.fft.rfftfreq(n_ticks, float(np.float32(PIXEL_TIME))).astype(np.float32)
    low, zero, rise, high = np.float32(frequencies)
    falling = (1 + np.cos(np.pi / (zero - low) * (frequency - low))) / 2
    rising = (1 - np.cos(np.pi / (high - rise) * (frequency - rise))) / 2
    conditions = [frequency < low, frequency < zero, frequency < rise, frequency < high]
    return np.select(conditions, [1.0, falling, 0.0, rising], 1.0)


@lru_cache(maxsize=64)
def _tick_kernel(n_ticks, frequencies):
    """Transform of the Gaussian in ticks that gives the density of samples, one tick displaced."""
    sigma = 1 / ((frequencies[0] + frequencies[1]) / 2) / PIXEL_TIME / 8
    distance = np.arange(n_ticks) - (n_ticks // 2 + 1)
    return fft.rfft(fft.ifftshift(_gaussian(distance, sigma)))
