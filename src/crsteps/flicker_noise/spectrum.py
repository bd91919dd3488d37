"""
Spectrum of the flicker noise of several outputs, as autocovariances.

The noise of output c is ``g_c n(t) + u_c(t)``: a common process n with a gain for each output, and
an independent one. Either autocovariance is a sum of Ornstein-Uhlenbeck kernels
``a_k exp(-|lag| / tau_k)`` with amplitudes that are not negative: any spectrum that falls with
frequency, 1/f^alpha among them, and always a possible one.
"""

from dataclasses import dataclass, replace

import numpy as np
import scipy.fft
from scipy.optimize import nnls

# Times of correlation in bins, from a third of a bin to longer than any frame.
TIMES = np.geomspace(0.35, 1.2e6, 22)
_LAGS = 60
# Lags between which the gains are measured.
_NEAR, _FAR = 4, (40, 120)
# Noise is taken to be there if it improves the fit of the covariances by this chi-square: chance
# gives less than half of it.
_SIGNIFICANT = 30.0
# A bin counts in the covariances if it has at least this part of the median weight.
_LEAST_WEIGHT = 0.3
# Covariances that are transformed at once.
_AT_ONCE = 4
# Kernels that forget within this part of a bin are white noise in bins; in that many bins they
# hardly change within one.
_SHORTEST, _LONG = 0.08, 100.0
# Bins from which the limits of clipping are measured.
_CLIPPING_SAMPLE = 50_000


@dataclass(frozen=True)
class FlickerSpectrum:
    """
    Autocovariances of the flicker noise.

    Attributes
    ----------
    common, independent : ndarray, shape (n_times,)
        Amplitudes of the kernels of the common and of the independent process, data units
        squared.
    gains : ndarray, shape (n_outputs,)
        Gain of each output for the common process; mean square one.
    times : ndarray, shape (n_times,)
        Times of correlation in bins.
    nuggets : tuple of float
        What the variance of the common and of the independent process has besides the kernels, or
        lacks: means over bins vary less than kernels say that forget within a bin.
    """

    common: np.ndarray
    independent: np.ndarray
    gains: np.ndarray
    times: np.ndarray
    nuggets: tuple[float, float] = (0.0, 0.0)

    def autocovariance(self, lags, *, independent=False):
        """
        Evaluate an autocovariance.

        Parameters
        ----------
        lags : ndarray
            Lags in bins.
        independent : bool, optional
            That of the independent process instead of the common one.

        Returns
        -------
        ndarray
        """
        amplitudes = self.independent if independent else self.common
        lags = np.abs(np.asarray(lags, dtype=np.float64))
        sums = np.zeros(lags.shape)
        for amplitude, time in zip(amplitudes, self.times, strict=True):
            if amplitude:
                sums += amplitude * np.exp(lags / -time)
        sums[lags == 0] += self.nuggets[independent]
        return sums

    def scaled(self, factor):
        """
        Give the spectrum of noise of another strength.

        Parameters
        ----------
        factor : float
            Variance of that noise in units of the variance of this.

        Returns
        -------
        FlickerSpectrum
        """
        common, independent = (factor * nugget for nugget in self.nuggets)
        return replace(
            self,
            common=factor * self.common,
            independent=factor * self.independent,
            nuggets=(common, independent),
        )

    def in_bins(self, factor):
        """
        Give the same spectrum for bins of another length.

        Parameters
        ----------
        factor : float
            Length of the new bins in old ones.

        Returns
        -------
        FlickerSpectrum
            Covariances of means over the new bins, if there are as many old ones as `factor` in
            each, or of the samples that the old bins are means of.
        """
        # Means over bins multiply the covariances of a kernel by (sinh h / h)^2, h = 1 / (2 tau).
        kept = self.times >= _SHORTEST * factor
        old = 0.5 / np.where(kept, self.times, 1.0)
        gain = kept * (np.sinh(factor * old) / np.sinh(old) / factor) ** 2
        lacking = np.where(
            self.times < _LONG * factor, _variance_of_mean(self.times, factor) - gain, 0
        )
        if factor < 1:  # what the samples have been like within the bins is not known
            lacking = np.zeros_like(gain)
        return FlickerSpectrum(
            self.common * gain,
            self.independent * gain,
            self.gains,
            self.times / factor,
            (float(self.common @ lacking), float(self.independent @ lacking)),
        )

    @property
    def variance(self):
        """Variance of the flicker noise of each output."""
        common, independent = self.nuggets
        return (self.common.sum() + common) * self.gains**2 + self.independent.sum() + independent


def _variance_of_mean(times, n):
    """Variance of the mean of n neighbouring samples of kernels of amplitude one."""
    kept = np.exp(-1 / times)
    lost = -np.expm1(-1 / times)
    return ((1 + kept) / lost - 2 * kept * -np.expm1(-n / times) / (n * lost**2)) / n


def measure_spectrum(streams, *, common=True):
    """
    Measure the spectrum of the flicker noise from streams of background pixels.

    Auto- and cross-covariances are sums of products of masked samples over numbers of products,
    both from Fourier transforms: unbiased, whatever is masked. White noise only adds to lag zero,
    which is not used.

    Parameters
    ----------
    streams : sequence of Streams
        Streams of differences of groups, from which the sky has been subtracted.
    common : bool, optional
        Whether the outputs may have noise in common.

    Returns
    -------
    FlickerSpectrum
    """
    n_outputs, n_bins = streams[0].values.shape
    lags = np.unique(np.geomspace(1, max(n_bins / 8, 2), _LAGS).astype(int))
    size = scipy.fft.next_fast_len(n_bins + int(lags[-1]), real=True)
    pairs = [(a, b) for a in range(n_outputs) for b in range(a, n_outputs if common else a + 1)]
    # One row of transforms a pair: only their sums over the streams are transformed back.
    powers = np.zeros((2, len(pairs), size // 2 + 1), np.complex64)
    squares = number = 0.0
    for stream in streams:
        used = stream.weights > _LEAST_WEIGHT * _typical_weight(stream.weights)
        values = _clipped(stream.values, used)
        squares += np.sum(np.square(values), dtype=np.float64)
        number += used.sum()
        for power, samples in zip(powers, (values, used.astype(np.float32)), strict=True):
            transforms = scipy.fft.rfft(samples, size, axis=1)
            for row, (a, b) in zip(power, pairs, strict=True):
                row += transforms[a] * transforms[b].conj()
    products = np.zeros((n_outputs, n_outputs, lags.size))
    counts = np.zeros_like(products)
    for sums, power in zip((products, counts), powers, strict=True):
        # A few at once are faster, all of them take much memory.
        for start in range(0, len(pairs), _AT_ONCE):
            few = slice(start, start + _AT_ONCE)
            for pair, sum_ in zip(pairs[few], scipy.fft.irfft(power[few], size), strict=True):
                sums[pair] = sum_[lags]
    return _fit(products, np.maximum(counts, 1), lags, squares / max(number, 1), common)


def _typical_weight(weights):
    positive = weights[weights > 0]
    return np.median(positive) if positive.size else np.inf


def _clipped(values, used):
    """Values without their mean; hits that the mask has missed are pulled in."""
    if not used.any():
        return np.zeros_like(values)
    sample = values[used]
    sample = sample[:: max(1, sample.size // _CLIPPING_SAMPLE)]
    centre = np.median(sample)
    spread = 1.4826 * np.median(np.abs(sample - centre))
    return np.where(used, np.clip(values - centre, -5 * spread, 5 * spread), 0)


def _fit(products, counts, lags, variance, with_common):
    """Non-negative amplitudes of the kernels; gains from the strength of the cross-covariances."""
    n_outputs = len(products)
    kernels = np.exp(-lags[:, None] / TIMES)
    upper = np.triu_indices(n_outputs, 1)
    gains = np.ones(n_outputs)
    common = np.zeros(TIMES.size)
    if n_outputs > 1 and with_common:
        gains = _gains(products, counts, lags)
        strength = np.outer(gains, gains)[upper]
        number = (counts[upper] * strength[:, None] ** 2).sum(0)
        cross = (products[upper] * strength[:, None]).sum(0) / number
        common = _amplitudes(kernels, cross, number, variance)
    diagonal = np.arange(n_outputs)
    own = products[diagonal, diagonal] - counts[diagonal, diagonal] * (gains**2)[:, None] * (
        kernels @ common
    )
    number = counts[diagonal, diagonal].sum(0)
    independent = _amplitudes(kernels, own.sum(0) / number, number, variance)
    return FlickerSpectrum(common, independent, gains, TIMES)


def _amplitudes(kernels, covariance, counts, variance):
    """Amplitudes that fit covariances; none if noise of that variance alone may explain them."""
    # The standard deviation of a covariance of white noise is its variance over sqrt(counts).
    weight = np.sqrt(counts) / (variance or 1.0)
    amplitudes, misfit = nnls(kernels * weight[:, None], covariance * weight)
    gain = np.sum((covariance * weight) ** 2) - misfit**2
    return amplitudes if gain > _SIGNIFICANT else np.zeros_like(amplitudes)


def _gains(products, counts, lags):
    """
    First eigenvector of the matrix of cross-covariances, its diagonal iterated.

    What the covariances lose within a few lags is due to fast noise, of which there are many more
    independent samples than of the slow one.
    """
    n_outputs = len(products)
    near, far = lags <= _NEAR, (lags >= _FAR[0]) & (lags <= _FAR[1])
    matrix = _mean_covariances(products, counts, near) - _mean_covariances(products, counts, far)
    matrix = np.triu(matrix, 1) + np.triu(matrix, 1).T
    known = matrix.any(axis=0)  # an output without background has no products
    if (
        known.sum() < 3
    ):  # two outputs have one cross-covariance, which two gains cannot be told from
        return np.ones(n_outputs)
    np.fill_diagonal(matrix, np.abs(matrix).sum(0) / (n_outputs - 1))
    for _ in range(30):
        values, vectors = np.linalg.eigh(matrix)
        gains = vectors[:, -1] * np.sqrt(max(values[-1], 0))
        np.fill_diagonal(matrix, gains**2)
    if not np.any(gains):
        return np.ones(n_outputs)
    gains = gains * np.sign(gains.sum() or 1)
    return np.where(known, gains / np.sqrt(np.mean(gains[known] ** 2)), 1.0)


def _mean_covariances(products, counts, chosen):
    # Zero without such lags: short streams have no far ones.
    return products[..., chosen].sum(-1) / np.maximum(counts[..., chosen].sum(-1), 1)
