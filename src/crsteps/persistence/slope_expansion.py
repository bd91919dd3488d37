"""Charges of the power law for many pixels: polynomials in the slope instead of exponentials.

All pixels of an exposure share the times; what differs is the slope. A charge per unit amplitude
is therefore a smooth function of one variable, and a few Chebyshev polynomials give it, for all
groups of a ramp at once, by one product of matrices. The decay at one typical time is taken out
first, which leaves a function that hardly varies; that decay is the only exponential per pixel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.polynomial import chebyshev

__all__ = ["SlopeExpansion", "expand_in_slope", "product_in_pieces"]

_TOLERANCE = 1e-10
_ROUNDING = 1e-14
_MOST_TERMS = 128
# Slopes that are all the same still get a range, so that the derivative is known too.
_LEAST_HALF_WIDTH = 0.02
# Multiplications in one product of matrices; OpenBLAS takes several times as long for each of them
# beyond a million, where it begins to rearrange the matrices.
_SMALL_PRODUCT = 8e5


@dataclass(frozen=True)
class SlopeExpansion:
    """
    Functions of the slope, ``exp(-gamma log_time)`` times sums of Chebyshev polynomials.

    Attributes
    ----------
    coefficients : ndarray
        Chebyshev coefficients, float64, (n_functions, n_terms).
    low, high : float
        Range of slopes in which the expansion holds.
    log_time : float
        Natural logarithm of the typical time over the reference time.
    """

    coefficients: np.ndarray
    low: float
    high: float
    log_time: float

    def __call__(self, gamma, *, factor=None):
        """
        Evaluate all functions.

        Parameters
        ----------
        gamma : array_like
            Slopes in the range, 1-D, (n,), or one slope.
        factor : array_like, optional
            Amplitude of each pixel, (n,), by which all functions are multiplied.

        Returns
        -------
        values : ndarray
            Type float64, (n_functions, n), or (n_functions,) for one slope.
        """
        return self.coefficients @ self.basis(gamma, factor=factor)

    def basis(self, gamma, *, factor=None, dtype=np.float64):
        """
        Polynomials times the decay at the typical time, of which all functions are made.

        Parameters
        ----------
        gamma, factor : array_like
            As above.
        dtype : type
            Type of the values, and of the arithmetic.

        Returns
        -------
        basis : ndarray
            Of that type, (n_terms, n), or (n_terms,) for one slope.
        """
        gamma = np.asarray(gamma, dtype)
        scaled = (gamma - dtype((self.high + self.low) / 2)) * dtype(2.0 / (self.high - self.low))
        basis = np.empty((self.coefficients.shape[1], *gamma.shape), dtype)
        basis[0] = np.exp(dtype(-self.log_time) * gamma)
        if factor is not None:
            basis[0] *= factor
        # The recurrence is linear: what multiplies the first polynomial multiplies all.
        basis[1] = basis[0] * scaled
        scaled *= dtype(2.0)
        for term in range(2, len(basis)):
            np.multiply(scaled, basis[term - 1], out=basis[term, ...])
            basis[term] -= basis[term - 2]
        return basis

    def with_derivative(self):
        """
        Functions and, after them, their derivatives with respect to the slope.

        Returns
        -------
        expansion : SlopeExpansion
            An expansion of twice as many functions, in the same range.
        """
        half = (self.high - self.low) / 2
        slope = np.zeros_like(self.coefficients)
        slope[:, :-1] = chebyshev.chebder(self.coefficients, axis=1) / half
        slope -= self.log_time * self.coefficients
        both = np.vstack([self.coefficients, slope])
        return SlopeExpansion(both, self.low, self.high, self.log_time)


def expand_in_slope(function, *, low, high, log_time, tolerance=_TOLERANCE):
    """
    Expand positive functions of the slope.

    Parameters
    ----------
    function : callable
        Takes slopes, (n, 1), and returns charges per unit amplitude, (n, n_functions).
    low, high : float
        Range of slopes.
    log_time : float
        Natural logarithm of a typical time of the charges over the reference time.
    tolerance : float
        Largest term left out, relative to the smallest value in the range; the error is some times
        that.

    Returns
    -------
    expansion : SlopeExpansion
        The functions, with as few terms as the error allows.

    Raises
    ------
    ValueError
        If the range is too wide for the span of the times.
    """
    middle, half = (high + low) / 2, max((high - low) / 2, _LEAST_HALF_WIDTH)
    n_terms = 8
    while n_terms <= _MOST_TERMS:
        scaled = chebyshev.chebpts1(n_terms)
        gamma = (middle + half * scaled)[:, np.newaxis]
        values = function(gamma) * np.exp(log_time * gamma)
        polynomials = chebyshev.chebvander(scaled, n_terms - 1)
        coefficients = (2.0 / n_terms) * values.T @ polynomials
        coefficients[:, 0] /= 2
        # An error is relative to the smallest value, but none is below the rounding of the largest.
        limit = tolerance * np.abs(values).min(axis=0) + _ROUNDING * np.abs(values).max(axis=0)
        large = np.any(np.abs(coefficients) > limit[:, np.newaxis], axis=0)
        needed = 1 + np.flatnonzero(large)[-1] if large.any() else 1
        # the terms left out are known only if there are some
        if needed <= n_terms - 2:
            kept = np.ascontiguousarray(coefficients[:, : max(needed, 2)])
            return SlopeExpansion(kept, middle - half, middle + half, log_time)
        n_terms *= 2
    raise ValueError(
        f"slopes from {low:g} to {high:g} are too wide a range for these times since the "
        "stimulus; limit the range of slopes"
    )


def product_in_pieces(rows, columns):
    """
    Multiply a small matrix with many columns, a few of them at a time.

    Parameters
    ----------
    rows : ndarray
        Matrix, (n_functions, n_terms).
    columns : ndarray
        Columns, (n_terms, n).

    Returns
    -------
    product : ndarray
        Of the type of the matrix, (n_functions, n).
    """
    result = np.empty((len(rows), columns.shape[1]), rows.dtype)
    step = max(int(_SMALL_PRODUCT / rows.size), 1)
    for first in range(0, columns.shape[1], step):
        some = slice(first, first + step)
        np.matmul(rows, columns[:, some], out=result[:, some])
    return result
