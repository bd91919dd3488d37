"""
Best linear estimate of flicker noise from gapped samples of several outputs.

With S the covariance of the noise, stationary and so diagonal in Fourier space, and W the weights
of the samples, zero where there is none, the posterior mean is ``n = S^(1/2) q`` with

    (1 + S^(1/2) W S^(1/2)) q = S^(1/2) W y,

solved by conjugate gradients whose every step is two Fourier transforms. It is exact for any mask
and any weights, unlike a filter that is divided by the filtered mask.
"""

from dataclasses import dataclass

import numpy as np
import scipy.fft

# The streams are extended by this part, so that their end does not correlate with their start.
_PADDING = 0.02
_MOST_ITERATIONS = 200


@dataclass(frozen=True)
class FlickerProcess:
    """
    Square roots of the spectrum on the frequencies of a stream.

    Attributes
    ----------
    n_bins, size : int
        Bins of a stream and of its extension.
    direction : ndarray of float32, shape (n_outputs, 1)
        Unit vector of the gains of the outputs for the common process.
    along, across : ndarray of float32, shape (n_frequencies,)
        Power along that direction and across it.
    """

    n_bins: int
    size: int
    direction: np.ndarray
    along: np.ndarray
    across: np.ndarray

    @classmethod
    def from_spectrum(cls, spectrum, n_bins):
        """
        Prepare the process for streams of a length.

        Parameters
        ----------
        spectrum : crsteps.flicker_noise.spectrum.FlickerSpectrum
            Spectrum.
        n_bins : int
            Bins of a stream.

        Returns
        -------
        FlickerProcess
        """
        half = int(n_bins * (1 + _PADDING)) // 2 + 1
        size = 2 * scipy.fft.next_fast_len(half, real=True)
        lags = np.arange(size // 2 + 1)
        across = _power(spectrum.autocovariance(lags, independent=True))
        common = _power(spectrum.autocovariance(lags))
        length = np.sum(spectrum.gains**2)
        return cls(
            n_bins,
            size,
            (spectrum.gains / np.sqrt(length))[:, None].astype(np.float32),
            (across + length * common).astype(np.float32),
            across.astype(np.float32),
        )

    def estimate(self, values, weights, *, tolerance=1e-3):
        """
        Estimate the noise at every bin.

        Parameters
        ----------
        values : ndarray of float32, shape (n_outputs, n_bins)
            Samples; not used where the weight is zero.
        weights : ndarray of float32, shape (n_outputs, n_bins)
            Reciprocal variances of the white noise of the samples.
        tolerance : float, optional
            Residual at which the iteration ends, relative to its start.

        Returns
        -------
        ndarray of float32, shape (n_outputs, n_bins)
            Posterior mean of the noise.
        """
        weight = np.zeros((len(values), self.size), dtype=np.float32)
        weight[:, : self.n_bins] = weights
        data = np.zeros_like(weight)
        data[:, : self.n_bins] = np.where(weights > 0, values * weights, 0)
        roots = np.sqrt(self.across), np.sqrt(self.along)
        mean_weight = weight[:, : self.n_bins].mean()
        scales = 1 / (1 + mean_weight * self.across), 1 / (1 + mean_weight * self.along)

        def to_time(q):
            return scipy.fft.irfft(self._mix(q, *roots), self.size, axis=1)

        def to_frequency(n):
            return self._mix(scipy.fft.rfft(n, axis=1), *roots)

        solution = _conjugate_gradients(
            lambda q: q + to_frequency(weight * to_time(q)),
            to_frequency(data),
            lambda r: self._mix(r, *scales),
            tolerance,
        )
        return to_time(solution)[:, : self.n_bins]

    def sample(self, rng):
        """
        Draw a realisation of the noise.

        Parameters
        ----------
        rng : numpy.random.Generator
            Random numbers.

        Returns
        -------
        ndarray of float32, shape (n_outputs, n_bins)
        """
        white = rng.standard_normal((len(self.direction), self.size), dtype=np.float32)
        roots = np.sqrt(self.across), np.sqrt(self.along)
        noise = scipy.fft.irfft(self._mix(scipy.fft.rfft(white, axis=1), *roots), self.size, axis=1)
        return noise[:, : self.n_bins]

    def sample_error(self, weights, rng, *, tolerance=1e-3):
        """
        Draw the error of an estimate: its variance is the posterior variance of the noise.

        Parameters
        ----------
        weights : ndarray of float32, shape (n_outputs, n_bins)
            Weights of the samples.
        rng : numpy.random.Generator
            Random numbers.
        tolerance : float, optional
            As for `estimate`.

        Returns
        -------
        ndarray of float32, shape (n_outputs, n_bins)
            Estimate from simulated samples minus the noise in them. Exact for any mask, because
            the estimate is linear in the data.
        """
        noise = self.sample(rng)
        white = rng.standard_normal(noise.shape, dtype=np.float32)
        used = weights > 0
        values = noise + white / np.sqrt(np.where(used, weights, 1))
        return self.estimate(values, weights, tolerance=tolerance) - noise

    def _mix(self, transforms, across, along):
        """Multiply what is across and what is along the common direction."""
        projected = (self.direction * transforms).sum(axis=0) * (along - across)
        return across * transforms + self.direction * projected


def _power(autocovariance):
    """Power of a periodic process, from its autocovariance at half the lags: it is symmetric."""
    return np.maximum(scipy.fft.dct(autocovariance, type=1), 1e-12)


def _conjugate_gradients(apply, right, precondition, tolerance):
    """Preconditioned conjugate gradients on half-complex transforms."""
    residual, solution = right, np.zeros_like(right)
    conditioned = precondition(residual)
    direction, product = conditioned, _inner(residual, conditioned)
    target = tolerance**2 * product
    for _ in range(_MOST_ITERATIONS):
        if product <= target or product == 0:
            break
        image = apply(direction)
        step = product / _inner(direction, image)
        solution = solution + step * direction
        residual = residual - step * image
        conditioned = precondition(residual)
        previous, product = product, _inner(residual, conditioned)
        direction = conditioned + (product / previous) * direction
    return solution


def _inner(a, b):
    """Inner product of real streams of even length from their half-complex transforms."""
    products = a.real * b.real + a.imag * b.imag
    # Constant and Nyquist frequency are there once, all others stand for two.
    return float(2 * products.sum() - products[:, 0].sum() - products[:, -1].sum())
