"""Variances of the lowest and of the median of several normal values."""

from functools import lru_cache

import numpy as np
from scipy.special import log_ndtr

# Beyond this many values the asymptotic variance of a median is good to two parts in a thousand,
# and the exact densities underflow some time later.
_LARGEST_EXACT = 100


@lru_cache
def minimum_variance(n):
    """
    Variance of the lowest of n standard normal values.

    Parameters
    ----------
    n : int
        Number of values.

    Returns
    -------
    float
    """
    return _order_moments(n, 1)[1]


@lru_cache
def median_variance(n):
    """
    Variance of the median of n standard normal values.

    Parameters
    ----------
    n : int
        Number of values.

    Returns
    -------
    float
    """
    if n > _LARGEST_EXACT:
        odd = n + 1 - n % 2  # the mean of the two middle ones does as well as one value more
        return float(np.pi / (2 * odd + np.pi - 2))
    if n % 2:
        return _order_moments(n, n // 2 + 1)[1]
    # Mean of the two middle values u < v, on a grid of their joint density.
    half = n // 2
    grid = np.linspace(-6, 6, 601)
    u, v = np.meshgrid(grid, grid, indexing="ij")
    density = np.where(v > u, 1.0, np.where(v == u, 0.5, 0.0))
    density *= np.exp((half - 1) * (log_ndtr(u) + log_ndtr(-v)) - (u**2 + v**2) / 2)
    return float(np.sum(density * ((u + v) / 2) ** 2) / np.sum(density))


def _order_moments(n, k):
    """Mean and variance of the k-th lowest of n standard normal values."""
    x = np.linspace(-9, 9, 4001)
    density = np.exp((k - 1) * log_ndtr(x) + (n - k) * log_ndtr(-x) - x**2 / 2)
    density /= density.sum()
    mean = np.sum(density * x)
    return float(mean), float(np.sum(density * (x - mean) ** 2))
