"""What the pixels of a channel have in common, from those in which it can be measured.

The slope of a faint pixel is known worse than it differs from one pixel to another. The mean and
the spread of the slopes in its channel, or in the whole detector where a channel has too few bright
pixels, then serve as prior: an empirical-Bayes, or hierarchical, estimate.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Population", "measure_population", "populations_by_channel", "shrink"]

_FEWEST = 20
_CLIP = 4.0
_BLOCK = 65536
# A spread is never taken for smaller, whatever a few pixels say.
_SMALLEST_SPREAD = 0.01


@dataclass(frozen=True)
class Population:
    """
    Distribution of a parameter among pixels.

    Attributes
    ----------
    mean : float
        Mean.
    spread : float
        Standard deviation among pixels, the errors of measurement taken out.
    n_pixels : int
        Number of pixels that it was measured from.
    """

    mean: float
    spread: float
    n_pixels: int


def measure_population(values, variances, *, smallest_spread=_SMALLEST_SPREAD):
    """
    Mean and spread of values that are known with different errors.

    The spread is the one for which the squared deviations from the mean are as large as they should
    be (Paule and Mandel 1982). Values more than four standard deviations off are left out.

    Parameters
    ----------
    values, variances : array_like
        Values and the variances of their errors, 1-D, finite.
    smallest_spread : float
        Lower limit of the spread.

    Returns
    -------
    population : Population or None
        The distribution; None for less than 20 values.
    """
    values, variances = np.asarray(values, np.float64), np.asarray(variances, np.float64)
    if values.size < _FEWEST:
        return None
    middle = np.median(values)
    spread2 = max((1.4826 * np.median(np.abs(values - middle))) ** 2, smallest_spread**2)
    kept = np.abs(values - middle) < _CLIP * np.sqrt(spread2 + variances)
    values, variances = values[kept], variances[kept]
    low, high = smallest_spread**2, max(4 * values.var(), 2 * smallest_spread**2)
    for _ in range(50):
        spread2 = np.sqrt(low * high)
        weights = 1 / (spread2 + variances)
        mean = np.average(values, weights=weights)
        too_small = np.sum(weights * (values - mean) ** 2) > values.size - 1
        low, high = (spread2, high) if too_small else (low, spread2)
    return Population(float(mean), float(np.sqrt(spread2)), int(values.size))


def populations_by_channel(
    values, variances, channel, *, n_channels, smallest_spread=_SMALLEST_SPREAD
):
    """
    Distribution in each channel, or in the whole detector where a channel has too few pixels.

    Parameters
    ----------
    values, variances : ndarray
        Values and the variances of their errors, 1-D, finite.
    channel : ndarray of int
        Channel of each value.
    n_channels : int
        Number of channels.
    smallest_spread : float
        Lower limit of the spread.

    Returns
    -------
    populations : list of Population or None
        One for each channel; None where the whole detector has too few pixels.
    """
    whole = measure_population(values, variances, smallest_spread=smallest_spread)
    populations = []
    for number in range(n_channels):
        mine = channel == number
        own = measure_population(values[mine], variances[mine], smallest_spread=smallest_spread)
        populations.append(own or whole)
    return populations


def shrink(parameters, covariance, which, *, mean, variance, where):
    """
    Combine fitted parameters with a normal distribution of one of them, or take it out again.

    Parameters
    ----------
    parameters : sequence of ndarray
        Amplitude, dark level and slope, each (n,); changed in place.
    covariance : ndarray
        Covariances (aa, dd, gg, ad, ag, dg), (6, n); changed in place.
    which : int
        Which parameter the distribution is of.
    mean : ndarray or float
        Its mean, (n,).
    variance : ndarray or float
        Its variance, (n,). Minus the variance takes out what had been combined with it.
    where : ndarray of bool
        The pixels, (n,).
    """
    columns = [[0, 3, 4], [3, 1, 5], [4, 5, 2]][which]
    pairs = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))
    mean, variance = (np.broadcast_to(values, where.shape) for values in (mean, variance))
    chosen = np.flatnonzero(where)
    for start in range(0, chosen.size, _BLOCK):
        pixels = chosen[start : start + _BLOCK]
        with_all = covariance[:, pixels][columns]
        share = 1.0 / (with_all[which] + variance[pixels])
        distance = share * (mean[pixels] - parameters[which][pixels])
        for parameter, column in zip(parameters, with_all, strict=True):
            parameter[pixels] += column * distance
        for row, (i, j) in enumerate(pairs):
            covariance[row, pixels] -= share * with_all[i] * with_all[j]
