"""Spectra and stripes of images before and after their correction, measured alike."""

from dataclasses import dataclass

import numpy as np
import scipy.fft

from crsteps.detector.readout import PIXEL_TIME
from crsteps.flicker_noise.line_median import masked_medians
from crsteps.flicker_noise.streams import BIN_TICKS, bin_time, to_streams

# Lags up to this part of a frame: slower noise is hardly seen in one.
_LONGEST_LAG = 1 / 8
# Bins of a spectrum in a decade of frequency.
_PER_DECADE = 10
# Only whole bins count, whose white noise is known, and in which slow noise averages out for
# alternating columns; where these are fewer than the second number, those with some pixels do too.
_WHOLE, _FEWEST_WHOLE, _LEAST_WEIGHT = 0.999, 0.03, 0.3
# Pixels of images that are measured, and the most lines of an image whose medians are.
_SAMPLE_PIXELS, _SAMPLE_LINES = 2**22, 512
# Outliers in standard deviations: hits that the mask has missed are pulled in.
_CLIP = 5.0


@dataclass(frozen=True)
class Comparison:
    """
    Measurements of images before and after their correction.

    Attributes
    ----------
    frequencies : ndarray, shape (n,)
        Frequencies [Hz], rising: up to the Nyquist frequency of the bins of the streams, and, from
        alternating columns, as far below that of the pixels.
    spectra : ndarray, shape (2, n_outputs, n)
        One-sided power spectral density of each output before and after, data units squared per
        Hz; white noise is in it. NaN where none could be measured.
    stripes : ndarray, shape (2, n_outputs)
        Root mean square of the medians of lines along the fast axis.
    variance : ndarray, shape (2,)
        Variance of a background pixel.
    profiles : ndarray, shape (2, n_rows), or None
        Medians of the lines of the first image, over all outputs, in the order of pixels; NaN
        where a line has no background. None where they were not asked for.
    """

    frequencies: np.ndarray
    spectra: np.ndarray
    stripes: np.ndarray
    variance: np.ndarray
    profiles: np.ndarray | None = None


def chosen_images(n_integrations, n_images, n_pixels):
    """
    Choose images to measure.

    Parameters
    ----------
    n_integrations, n_images : int
        Integrations, and differences of groups in each.
    n_pixels : int
        Pixels of an image.

    Returns
    -------
    list of list of int
        Differences to take of each integration.
    """
    total = n_integrations * n_images
    number = min(total, max(1, _SAMPLE_PIXELS // n_pixels))
    chosen = [[] for _ in range(n_integrations)]
    for k in np.unique(np.linspace(0, total - 1, number).astype(int)):
        chosen[k // n_images].append(int(k % n_images))
    return chosen


def compare(before, after, used, *, sky, readout, profiles=False):
    """
    Measure images before and after their correction.

    Parameters
    ----------
    before, after : ndarray of float32, shape (n, ny, nx)
        Differences of groups, or rates.
    used : ndarray of bool, shape (n, ny, nx)
        True where a pixel shows background.
    sky : ndarray of float32, shape (ny, nx)
        Smooth sky in the images, which is no noise.
    readout : crsteps.detector.readout.Readout
        Clocking.
    profiles : bool, optional
        Whether to measure the profiles, which are drawn only.

    Returns
    -------
    Comparison
    """
    used = used & np.isfinite(before) & np.isfinite(after)
    images = np.empty((2, *used.shape), np.float32)
    for own, given in zip(images, (before, after), strict=True):
        for k, mask in enumerate(used):
            own[k] = _residual(given[k] - sky, mask)
    frequencies, spectra = _spectra(images, used, readout)
    squares = np.sum(images**2, axis=(1, 2, 3), dtype=np.float64)
    return Comparison(
        frequencies=frequencies,
        spectra=spectra,
        stripes=np.array([_stripes(own, used, readout) for own in images]),
        variance=squares / max(np.count_nonzero(used), 1),
        profiles=np.array([_profile(own[0], used[0], readout) for own in images])
        if profiles
        else None,
    )


def power_spectrum(values, used, *, step, longest=_LONGEST_LAG):
    """
    Power spectrum of a stationary process of which some samples are missing.

    The Fourier transform of its autocovariance, which is the sum of the products of samples over
    their number: what is missing does not change it, other than in a periodogram.

    Parameters
    ----------
    values : ndarray of float32, shape (..., n_stretches, n_outputs, n_samples)
        Samples of independent stretches; 0 where missing.
    used : ndarray of bool, shape (n_stretches, n_outputs, n_samples)
        False where missing.
    step : float
        Time from sample to sample [s].
    longest : float, optional
        Longest lag in units of the length of a stretch.

    Returns
    -------
    frequencies : ndarray, shape (n,)
        Mean frequency of each bin [Hz], equal steps of the logarithm.
    power : ndarray, shape (..., n_outputs, n)
        One-sided power spectral density, units of the values squared per Hz; NaN for outputs
        without samples, and where chance makes it negative.
    """
    n_samples = values.shape[-1]
    n_lags = max(int(n_samples * longest), 2)
    products, counts = (_sums_of_products(samples, n_lags) for samples in (values, used))
    covariance = np.where(counts > 0.5, products / np.maximum(counts, 0.5), 0)
    # The taper makes each frequency the mean over those that lags of this length tell apart.
    covariance *= 0.5 * (1 + np.cos(np.pi * np.arange(n_lags) / n_lags))
    end = np.zeros((*covariance.shape[:-1], 1))
    folded = np.concatenate([covariance, end, covariance[..., :0:-1]], axis=-1)
    fine = 2 * step * scipy.fft.rfft(folded).real[..., 1:]
    frequencies = np.arange(1, n_lags + 1) / (2 * n_lags * step)
    fine[..., ~used.any(axis=(0, 2)), :] = np.nan
    return _in_log_bins(frequencies, fine)


def _sums_of_products(samples, n_lags):
    """Sums of the products of samples some lags apart, over all stretches."""
    size = scipy.fft.next_fast_len(samples.shape[-1] + n_lags, real=True)
    power = 0
    for stretch in np.moveaxis(samples, -3, 0):
        transform = scipy.fft.rfft(stretch.astype(np.float32), size)
        power = power + (transform.real**2 + transform.imag**2)
    return scipy.fft.irfft(power, size)[..., :n_lags]


def _residual(image, mask):
    """Image without its level; outliers are pulled in, and what is masked is zero."""
    if not mask.any():
        return np.zeros(image.shape, np.float32)
    values = image[mask]
    sample = values[:: max(1, values.size // 50_000)]
    level = np.median(sample)
    reach = _CLIP * 1.4826 * np.median(np.abs(sample - level))
    return np.where(mask, np.clip(image - level, -reach, reach), np.float32(0))


def _spectra(images, used, readout):
    """Spectra of slow noise, and of that of alternating columns towards the highest frequency."""
    whole = min(BIN_TICKS, readout.output_width)
    parts = []
    for alternating in (False, True):
        streams = to_streams(images, used, readout, alternating=alternating)
        there = streams.weights >= _WHOLE * whole
        if not alternating and there.mean() < _FEWEST_WHOLE:
            there = streams.weights >= _LEAST_WEIGHT * whole
        values = np.where(there, streams.values, 0)
        parts.append(power_spectrum(values, there, step=bin_time(readout, bin_ticks=BIN_TICKS)))
    (slow, power), (below, alternating) = parts
    fast = 0.5 / PIXEL_TIME - below[::-1]
    return np.concatenate([slow, fast]), np.concatenate([power, alternating[..., ::-1]], axis=-1)


def _in_log_bins(frequencies, power):
    """Means over bins of the logarithm of the frequency, without empty ones."""
    place = np.floor(np.log10(frequencies) * _PER_DECADE).astype(int)
    starts = np.flatnonzero(np.diff(place, prepend=place[0] - 1))
    number = np.diff(starts, append=place.size)
    means = np.add.reduceat(power, starts, axis=-1) / number
    means[~(means > 0)] = np.nan
    return np.add.reduceat(frequencies, starts) / number, means


def _stripes(images, used, readout):
    """Root mean square of the medians of the lines of each output."""
    step = max(1, len(images) * readout.n_rows // _SAMPLE_LINES)
    medians, there = [], []
    for image, mask in zip(images, used, strict=True):
        lines = readout.to_outputs(image)[:, ::step]
        background = readout.to_outputs(mask)[:, ::step]
        medians.append(masked_medians(lines, background))
        there.append(background.any(axis=-1))
    number = np.maximum(np.sum(there, axis=(0, 2)), 1)
    return np.sqrt(np.sum(np.square(medians, dtype=np.float64), axis=(0, 2)) / number)


def _profile(image, used, readout):
    """Medians of whole lines in the order of pixels."""
    if abs(readout.fast_axis) == 2:
        image, used = image.T, used.T
    return np.where(used.any(axis=1), masked_medians(image, used), np.nan)
