"""
Best linear estimate of flicker noise from gapped samples of several outputs.

With S the covariance of the noise, stationary and so diagonal in Fourier space, and W the weights
of the samples, zero where there is none, the posterior mean is ``n = S^(1/2) q`` with

    (1 + S^(1/2) W S^(1/2)) q = S^(1/2) W y,

solved by conjugate gradients whose every step is two Fourier transforms. It is exact for any mask
and any weights, unlike a filter that is divided by the filtered mask. Noise in wide gaps is slow
and would take many steps: they start from the solution in longer bins, where steps cost little.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.fft

# The streams are extended by this part, so that their end does not correlate with their start.
_PADDING = 0.02
_MOST_ITERATIONS = 200
# Bins that are joined from one level to the next, fewest bins of a level, and levels below the
# first.
_FACTOR, _FEWEST_BINS, _N_COARSER = 8, 4096, 2


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
        # A multiple of the factors between the levels, so that they share their frequencies.
        unit = 2 * _FACTOR**_N_COARSER
        size = unit * scipy.fft.next_fast_len(int(n_bins * (1 + _PADDING)) // unit + 1, real=True)
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
        values : ndarray of float32, shape (n_outputs, n_bins) or (n, n_outputs, n_bins)
            Samples; not used where the weight is zero. Several at once, which are independent of
            each other, are faster where they are short.
        weights : ndarray of float32, shape of the values
            Reciprocal variances of the white noise of the samples.
        tolerance : float, optional
            Residual at which the iteration ends, relative to its start.

        Returns
        -------
        ndarray of float32, shape of the values
            Posterior mean of the noise.
        """
        weights = np.asarray(weights, dtype=np.float32)
        totals = np.where(weights > 0, values * weights, np.float32(0))
        shape = (-1, *totals.shape[-2:])
        solution = self._solve(totals.reshape(shape), weights.reshape(shape), tolerance)
        return self._to_time(solution)[..., : self.n_bins].reshape(totals.shape)

    def smooth(self, values, weight):
        """
        Estimate the noise from samples without gaps that have the same weight: Wiener's filter.

        With gaps that are filled with the estimate itself it gives that estimate again. Gaps filled
        with an estimate in longer bins are filled well enough.

        Parameters
        ----------
        values : ndarray of float32, shape (n_outputs, n_bins)
            Samples of every bin.
        weight : float
            Reciprocal variance of the white noise of a sample.

        Returns
        -------
        ndarray of float32, shape (n_outputs, n_bins)
            Posterior mean of the noise.
        """
        across, along = (
            weight * power / (1 + weight * power) for power in (self.across, self.along)
        )
        transforms = scipy.fft.rfft(self._extended(values))
        self._mix(transforms, *self._scales(across, along), out=transforms)
        return scipy.fft.irfft(transforms, self.size, overwrite_x=True)[:, : self.n_bins]

    def least_error(self, weight):
        """
        Variance of the error of an estimate if no sample is missing.

        Parameters
        ----------
        weight : float
            Reciprocal variance of the white noise of a sample.

        Returns
        -------
        float
            Mean of the outputs.
        """
        n_outputs = len(self.direction)
        left = [power / (1 + weight * power) for power in (self.across, self.along)]
        sums = [2 * part.sum(dtype=float) - part[0] - part[-1] for part in left]
        return float((n_outputs - 1) * sums[0] + sums[1]) / n_outputs / self.size

    def _solve(self, totals, weights, tolerance):
        """Solution of the equations; what is slow and hidden is found in longer bins."""
        weight, data = (self._extended(array) for array in (weights, totals))
        mean_weight = weights.mean(axis=(1, 2))[:, None]
        scales = self._scales(*(1 / (1 + mean_weight * p) for p in (self.across, self.along)))

        def apply(q):
            samples = self._to_time(q)
            samples *= weight
            image = self._to_frequency(samples)
            image += q
            return image

        return _conjugate_gradients(
            apply,
            self._to_frequency(data),
            lambda r: self._mix(r, *scales),
            tolerance,
            start=self._start(totals, weights, tolerance),
        )

    def _start(self, totals, weights, tolerance):
        """Solution in longer bins; None where there are few bins."""
        if self.size < _FEWEST_BINS * _FACTOR or self.size % (2 * _FACTOR):
            return None
        size, n_bins = self.size // _FACTOR, -(-self.n_bins // _FACTOR)
        half = size // 2
        longer = FlickerProcess(
            n_bins,
            size,
            self.direction,
            self.along[: half + 1] / _FACTOR,
            self.across[: half + 1] / _FACTOR,
        )
        margin = [(0, 0), (0, 0), (0, n_bins * _FACTOR - self.n_bins)]
        sums = [
            np.pad(array, margin).reshape(*array.shape[:-1], n_bins, _FACTOR).sum(axis=-1)
            for array in (totals, weights)
        ]
        slow = longer._solve(*sums, tolerance / 10)[..., :half]
        start = np.zeros((*totals.shape[:-1], self.size // 2 + 1), dtype=slow.dtype)
        # White noise of fewer samples, and the middle of the longer bins, half a bin further on.
        shift = np.exp(-2j * np.pi * np.arange(half) * (_FACTOR - 1) / 2 / self.size)
        start[..., :half] = slow * (np.sqrt(_FACTOR) * shift).astype(slow.dtype)
        return start

    def _extended(self, array):
        extended = np.zeros((*array.shape[:-1], self.size), dtype=np.float32)
        extended[..., : self.n_bins] = array
        return extended

    def _to_time(self, q):
        return scipy.fft.irfft(self._mix(q, *self._roots), self.size, overwrite_x=True)

    def _to_frequency(self, n):
        transforms = scipy.fft.rfft(n)
        return self._mix(transforms, *self._roots, out=transforms)

    @cached_property
    def _roots(self):
        return self._scales(np.sqrt(self.across), np.sqrt(self.along))

    def _scales(self, across, along):
        """Scales of real and imaginary parts: across, and what those along have more."""
        if len(self.direction) == 1:  # nothing is across
            return (_of_parts(along),)
        return _of_parts(across), _of_parts(along - across)

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
        noise = self._to_time(scipy.fft.rfft(white))
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

    def _mix(self, transforms, scale, excess=None, *, out=None):
        """Multiply what is across and what is along the common direction, by `_scales`."""
        parts = transforms.view(np.float32)
        common = None if excess is None else (self.direction.T @ parts) * excess
        mixed = np.multiply(parts, scale, out=None if out is None else parts)
        if common is not None:
            for output, gain in enumerate(self.direction[:, 0]):
                mixed[..., output, :] += gain * common[..., 0, :]
        return mixed.view(transforms.dtype)


def _of_parts(values):
    """Values for real and imaginary parts of all outputs."""
    return np.repeat(values.astype(np.float32, copy=False), 2, axis=-1)[..., None, :]


def _power(autocovariance):
    """Power of a periodic process, from its autocovariance at half the lags: it is symmetric."""
    return np.maximum(scipy.fft.dct(autocovariance, type=1), 1e-12)


def _conjugate_gradients(apply, right, precondition, tolerance, start=None):
    """
    Preconditioned conjugate gradients on half-complex transforms.

    The first axis counts equations that are solved side by side, each to its own end.
    """
    target = tolerance**2 * _inner(right, precondition(right))
    solution = np.zeros_like(right) if start is None else start
    residual = right if start is None else right - apply(start)
    conditioned = precondition(residual)
    direction, product = conditioned, _inner(residual, conditioned)
    for _ in range(_MOST_ITERATIONS):
        open_ = product > target
        if not open_.any():
            break
        image = apply(direction)
        step = _ratio(product, _inner(direction, image), open_)
        solution += step * direction
        image *= step
        residual -= image
        conditioned = precondition(residual)
        previous, product = product, np.where(open_, _inner(residual, conditioned), product)
        direction *= _ratio(product, previous, open_)
        direction += conditioned
    return solution


def _ratio(a, b, chosen):
    """Factors for whole streams; 0 where not chosen."""
    ratio = np.divide(a, b, out=np.zeros_like(a), where=chosen)
    return ratio.astype(np.float32)[:, None, None]


def _inner(a, b):
    """Inner products of real streams of even length from their half-complex transforms."""
    return np.array([_inner_of_one(*pair) for pair in zip(a, b, strict=True)])


def _inner_of_one(a, b):
    # Constant and Nyquist frequency are there once, all others stand for two.
    ends = np.vdot(a[:, 0], b[:, 0]).real + np.vdot(a[:, -1], b[:, -1]).real
    return float(2 * np.vdot(a, b).real - ends)
