"""
How far apart the sorted values of equal exposures lie when no cosmic ray is there.

Of N exposures of one pixel with values ``x_(1) <= ... <= x_(N)``, the probability that the
exposures ranked k and above all lie beyond ``x_(k)``, given the lower values and that they lie
beyond ``x_(k-1)``, is

    P_k = int pi(mu) prod_{j<k} f_j(x_(j)) prod_{j>=k} S_j(x_(k)) dmu
          / int pi(mu) prod_{j<k} f_j(x_(j)) prod_{j>=k} S_j(x_(k-1)) dmu

with ``f_j`` and ``S_j`` the density and survival function of exposure j at scene signal ``mu``
and ``pi`` the distribution of the scene over the image. It is uniform between 0 and 1 without
cosmic rays, whatever the signal: no simulation, no bins, no random numbers.
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.sparse import csr_array

from crsteps.detector.noise import log_survival, normal_score, score_parameters

# Below this the float32 tail is no longer accurate, and nothing depends on its value.
LOWEST_LOG_PROBABILITY = -80.0
# Pixels evaluated at once: their quadrature nodes stay in the processor's cache.
_CHUNK = 8192
_EM_ITERATIONS = 400
# Bins of the scene's distribution and its widest range, in sigma: what lies beyond are single hot
# or dead pixels, for which the values at the ends hold.
_PRIOR_STEP, _PRIOR_RANGE = 0.25, 400.0
# Nodes of the signal, in sigma from the lowest value. The integrands are Gaussian-like, so that
# the trapezoidal rule at half their width is exact to 1e-4.
_FIRST_NODE, _LAST_NODE = -3.5, 6.0
# Exposures whose noise differs more are not resolved: that many times more nodes are enough.
_LARGEST_NOISE_RATIO = 20.0


@dataclass(frozen=True)
class ScenePrior:
    """
    Distribution of the scene's signal over the image.

    Attributes
    ----------
    signal : ndarray, shape (n,)
        Signals, increasing, equally spaced on the scale of `to_scale`.
    log_density : ndarray, shape (n,)
        Logarithm of the density per unit of signal.
    read_variance, poisson_factor : float
        Typical noise, which sets the scale: a step of one is one standard deviation.
    """

    signal: np.ndarray
    log_density: np.ndarray
    read_variance: float
    poisson_factor: float

    def log_density_at(self, signal):
        """
        Interpolate the log density.

        Parameters
        ----------
        signal : ndarray of float32
            Signals, data units; outside the range the end values hold.

        Returns
        -------
        ndarray of float32
        """
        first, last = to_scale(
            self.signal[[0, -1]],
            read_variance=self.read_variance,
            poisson_factor=self.poisson_factor,
        )
        place = to_scale(
            signal, read_variance=self.read_variance, poisson_factor=self.poisson_factor
        )
        place -= np.float32(first)
        place *= np.float32((self.signal.size - 1) / (last - first))
        np.clip(place, 0, self.signal.size - 1.001, out=place)
        index = place.astype(np.int32)
        place -= index
        values = self.log_density.astype(np.float32)
        low = values[index]
        return low + place * (values[index + 1] - low)


def to_scale(signal, *, read_variance, poisson_factor):
    """
    Scale on which the noise is one: integral of d(signal)/sigma, linear below zero.

    Parameters
    ----------
    signal : ndarray
        Signal, data units.
    read_variance, poisson_factor : float
        Noise, see `crsteps.detector.noise.ExposureNoise`.

    Returns
    -------
    ndarray of float32
    """
    signal = np.asarray(signal, dtype=np.float32)
    sigma = np.float32(np.sqrt(read_variance))
    positive = np.maximum(signal, 0)
    # 2 (sqrt(v + p s) - sqrt(v)) / p, written so that p = 0 is allowed.
    scaled = (
        2
        * positive
        / (np.sqrt(np.float32(read_variance) + np.float32(poisson_factor) * positive) + sigma)
    )
    return scaled + np.minimum(signal, 0) / sigma


def from_scale(place, *, read_variance, poisson_factor):
    """
    Inverse of `to_scale`.

    Parameters
    ----------
    place : ndarray
        Place on the scale.
    read_variance, poisson_factor : float
        As in `to_scale`.

    Returns
    -------
    ndarray of float64
    """
    place = np.asarray(place, dtype=np.float64)
    sigma = np.sqrt(read_variance)
    return sigma * place + poisson_factor * np.maximum(place, 0) ** 2 / 4


def estimate_scene_prior(
    lowest, *, n_exposures, read_variance, poisson_factor, relative_variance=0.0
):
    """
    Deconvolve the distribution of the scene from the lowest values of its pixels.

    The lowest of several exposures is practically never hit by a cosmic ray, and its
    distribution at a given signal is known: the mixture over signals is found by expectation
    maximisation (Richardson-Lucy), stopped early and smoothed by half a standard deviation.

    Parameters
    ----------
    lowest : ndarray, shape (n,)
        Lowest values of pixels with that many usable exposures, data units.
    n_exposures : int
        Number of exposures the values are the lowest of.
    read_variance, poisson_factor : float
        Typical noise of the exposures; the read variance is positive.
    relative_variance : float, optional
        Extra variance in units of the signal squared.

    Returns
    -------
    ScenePrior
    """
    noise = {"read_variance": read_variance, "poisson_factor": poisson_factor}
    lowest = lowest[np.isfinite(lowest)]
    if lowest.size == 0:
        raise ValueError("no pixel has two usable exposures to learn the scene from")
    place = to_scale(lowest, **noise).astype(float)
    low = max(np.percentile(place, 0.01) - 2.0, np.median(place) - _PRIOR_RANGE / 2)
    high = min(place.max() + 4.0, low + _PRIOR_RANGE)
    edges = np.arange(low, high + _PRIOR_STEP, _PRIOR_STEP)
    counts = np.histogram(place, edges)[0].astype(float)
    signal = from_scale((edges[:-1] + edges[1:]) / 2, **noise)
    response = _lowest_value_response(signal, n_exposures, relative_variance, **noise)
    weights = np.full(signal.size, 1 / signal.size)
    for _ in range(_EM_ITERATIONS):
        expected = response.T @ weights
        # The exponent overrelaxes: the same fixed point in about half the iterations.
        weights *= (response @ (counts / np.maximum(expected, 1e-300)) / counts.sum()) ** 1.8
    weights = gaussian_filter1d(weights, 0.12 / _PRIOR_STEP)
    # A floor keeps rare signals possible: one pixel in the image spread over the whole range.
    weights = weights / weights.sum() + 1 / (counts.sum() * signal.size)
    return ScenePrior(signal, np.log(weights / np.gradient(signal)), read_variance, poisson_factor)


def _lowest_value_response(
    signal, n_exposures, relative_variance, *, read_variance, poisson_factor
):
    """Probability of each bin of the lowest value (columns) at each signal (rows)."""
    positive = np.maximum(signal, 0)
    variance = read_variance + poisson_factor * positive + relative_variance * positive**2
    parameters = score_parameters(variance, poisson_factor**2 * positive)
    # Nothing is expected beyond eight sigma; all bins of a bright scene would not fit in memory.
    reach = 8 * np.sqrt(variance)
    first = np.searchsorted(signal, signal - reach, side="left")
    number = np.searchsorted(signal, signal + reach, side="right") - first
    row = np.repeat(np.arange(signal.size), number)
    column = np.arange(row.size) + np.repeat(first - np.cumsum(number) + number, number)
    score, log_density = normal_score(
        signal[column] - signal[row], *(values[row] for values in parameters)
    )
    response = np.exp(log_density + (n_exposures - 1) * log_survival(score).astype(float))
    response *= np.gradient(signal)[column]
    response /= np.bincount(row, response)[row]
    return csr_array((response, (row, column)), shape=(signal.size, signal.size))


def log_gap_probabilities(
    values, *, read_variance, poisson_factor, extra_variance, relative_variance, prior
):
    """
    Logarithms of the null probabilities of all gaps between sorted values.

    Parameters
    ----------
    values : ndarray of float32, shape (n_pixels, n)
        Values of each pixel, sorted in increasing order, all finite, data units.
    read_variance, poisson_factor : ndarray, shape (n_pixels, n) or (n_pixels, 1)
        Noise of each value, in the same order.
    extra_variance : ndarray, shape (n_pixels,) or float
        Variance from differences between the exposures (shifts), data units squared.
    relative_variance : float
        Variance from differences in flux, in units of the signal squared.
    prior : ScenePrior
        Distribution of the scene.

    Returns
    -------
    ndarray of float32, shape (n_pixels, n - 1)
        Column ``k - 2`` holds ``log P_k`` of the module's docstring, k = 2..n, not below
        `LOWEST_LOG_PROBABILITY`.
    """
    n_pixels, n = values.shape
    result = np.empty((n_pixels, n - 1), dtype=np.float32)
    if read_variance.shape[1] != poisson_factor.shape[1]:
        read_variance = np.broadcast_to(read_variance, values.shape)
        poisson_factor = np.broadcast_to(poisson_factor, values.shape)
    extra = np.broadcast_to(np.asarray(extra_variance, dtype=np.float32), (n_pixels,))
    for start in range(0, n_pixels, _CHUNK):
        part = slice(start, start + _CHUNK)
        result[part] = _log_gap_probabilities(
            values[part],
            read_variance[part],
            poisson_factor[part],
            extra[part],
            np.float32(relative_variance),
            prior,
        )
    return result


def _log_gap_probabilities(values, read_variance, poisson_factor, extra, relative_variance, prior):
    """Evaluate one chunk; arrays inside are (n_pixels, n_nodes)."""
    n = values.shape[1]
    # Exposures that share their noise share its evaluation.
    shared = read_variance.shape[1] == 1
    columns = [0] * n if shared else range(n)
    signal = _nodes(values, read_variance, poisson_factor, extra, relative_variance)
    parameters = {}
    for j in set(columns):
        own_noise = read_variance[:, j : j + 1], poisson_factor[:, j : j + 1]
        parameters[j] = score_parameters(
            _variance(signal, *own_noise, extra, relative_variance),
            own_noise[1] ** 2 * np.maximum(signal, 0),
        )

    log_weight = prior.log_density_at(signal)
    result = np.empty((values.shape[0], n - 1), dtype=np.float32)
    # Log probability that the exposures from rank k on lie beyond the value below them.
    beyond_last = None
    for k in range(n):
        score, log_density = normal_score(values[:, k : k + 1] - signal, *parameters[columns[k]])
        own = log_survival(score)
        if shared:
            beyond_own = (n - k) * own
        else:
            beyond_own = own.copy()
            for j in range(k + 1, n):
                deviation = values[:, k : k + 1] - signal
                beyond_own += log_survival(normal_score(deviation, *parameters[j])[0])
        if k > 0:
            result[:, k - 1] = _log_sum(log_weight + beyond_own) - _log_sum(
                log_weight + beyond_last
            )
        beyond_last = beyond_own - own
        log_weight += log_density
    return np.maximum(result, np.float32(LOWEST_LOG_PROBABILITY), out=result)


def _nodes(values, read_variance, poisson_factor, extra, relative_variance):
    """Signals of the quadrature around the lowest value of each pixel."""
    sigma = np.sqrt(
        _variance(values[:, :1], read_variance, poisson_factor, extra, relative_variance)
    )
    step = min(0.36, 1.2 / np.sqrt(values.shape[1]))
    # The density of an exposure with less noise than the lowest one is that much narrower.
    step /= min(np.max(sigma[:, :1] / sigma.min(axis=1, keepdims=True)), _LARGEST_NOISE_RATIO)
    nodes = np.arange(_FIRST_NODE, _LAST_NODE + step / 2, step, dtype=np.float32)
    return values[:, :1] + sigma[:, :1] * nodes


def _variance(signal, read_variance, poisson_factor, extra, relative_variance):
    positive = np.maximum(signal, 0)
    return (
        read_variance + extra[:, None] + positive * (poisson_factor + relative_variance * positive)
    )


def _log_sum(log_values):
    largest = log_values.max(axis=1, keepdims=True)
    return np.log(np.exp(log_values - largest).sum(axis=1)) + largest[:, 0]
