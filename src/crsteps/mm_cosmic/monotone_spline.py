"""Weighted least squares with a cubic spline that nowhere falls, solved exactly."""

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import BSpline
from scipy.optimize import nnls

_DEGREE = 3
# Points in each interval of the knots at which the slope must not be negative.
_SLOPES_PER_INTERVAL = 25
# Weights of slope and bend of the spline relative to the data's: what no point determines, such
# as the curve within a long gap, is drawn straight on or level.
_BEND_WEIGHT, _SLOPE_WEIGHT = 1e-8, 1e-12
# Largest violation of the conditions of a minimum, relative to the height of the points.
_TOLERANCE = 1e-6


@dataclass(frozen=True)
class MonotoneSpline:
    """
    Cubic spline that nowhere falls.

    Attributes
    ----------
    knots : ndarray
        Knots, both ends included, ascending.
    coefficients : ndarray, shape (knots.size + 2,)
        Coefficients of the B-splines on these knots, the outer ones repeated.
    converged : bool
        Whether the conditions of a minimum were met.
    """

    knots: np.ndarray
    coefficients: np.ndarray
    converged: bool

    def evaluate(self, x):
        """
        Height of the curve.

        Parameters
        ----------
        x : array-like
            Abscissae.

        Returns
        -------
        ndarray of float64
            Height; beyond the outer knots that at the outer knots.
        """
        return evaluate_spline(self.knots, self.coefficients, x)


def evaluate_spline(knots, coefficients, x):
    """
    Height of a cubic spline, level beyond its outer knots.

    Parameters
    ----------
    knots : ndarray
        Knots, both ends included, ascending.
    coefficients : ndarray, shape (knots.size + 2,)
        Coefficients of the B-splines.
    x : array-like
        Abscissae; NaN gives NaN.

    Returns
    -------
    ndarray of float64
    """
    inside = np.clip(np.asarray(x, dtype=np.float64), knots[0], knots[-1])
    return BSpline(_repeat_ends(knots), coefficients, _DEGREE)(inside)


def fit_monotone_spline(x, y, weights, knots):
    """
    Fit a cubic spline that nowhere falls by weighted least squares.

    The problem is convex: as a least-distance problem it is solved by non-negative least squares
    in a finite number of steps [1]_, and the solution is held against the conditions of a minimum.

    Parameters
    ----------
    x, y : array-like, shape (n,)
        Points.
    weights : array-like, shape (n,)
        Positive weights of the squared residuals.
    knots : array-like
        Two or more knots, ascending, both ends included; the points lie between them.

    Returns
    -------
    MonotoneSpline

    Raises
    ------
    ValueError
        No point, or knots that do not ascend.

    References
    ----------
    .. [1] Lawson & Hanson 1974, Solving Least Squares Problems, chapter 23.
    """
    x, y, weights, knots = (np.asarray(a, dtype=np.float64) for a in (x, y, weights, knots))
    if x.size == 0:
        raise ValueError("a spline cannot be fitted to no point")
    if knots.size < 2 or not np.all(np.diff(knots) > 0):
        raise ValueError(f"the knots of a spline must ascend, got {knots}")
    # In units of the box around the points nothing depends on the units of the image.
    height = np.max(np.abs(y)) or 1.0
    unit = (knots - knots[0]) / (knots[-1] - knots[0])
    where = np.clip((x - knots[0]) / (knots[-1] - knots[0]), 0, 1)
    root = np.sqrt(weights / np.sum(weights))
    rows = BSpline.design_matrix(where, _repeat_ends(unit), _DEGREE).toarray() * root[:, None]
    n = rows.shape[1]
    regular = (
        np.sqrt(_BEND_WEIGHT) * np.diff(np.eye(n), 2, axis=0),
        np.sqrt(_SLOPE_WEIGHT) * np.diff(np.eye(n), axis=0),
    )
    q, r = np.linalg.qr(np.concatenate([rows, *regular]))
    target = q[: x.size].T @ (root * y / height)
    coefficients, converged = _solve(r, target, _slope_matrix(unit, n))
    return MonotoneSpline(knots, coefficients * height, converged)


def _repeat_ends(knots):
    """Knots as B-splines need them."""
    return np.concatenate([[knots[0]] * _DEGREE, knots, [knots[-1]] * _DEGREE])


def _slope_matrix(knots, n):
    """Slopes of the B-splines at points of each interval: (points, n)."""
    steps = np.arange(_SLOPES_PER_INTERVAL) / _SLOPES_PER_INTERVAL
    grid = np.append((knots[:-1, None] + np.diff(knots)[:, None] * steps).ravel(), knots[-1])
    return BSpline(_repeat_ends(knots), np.eye(n), _DEGREE).derivative()(grid)


def _solve(r, target, slopes):
    """
    Minimise |r c - target| with slopes c >= 0.

    With z = r c - target this asks for the shortest z with a z >= b, whose dual is a problem of
    non-negative least squares in the multipliers.
    """
    a = np.linalg.solve(r.T, slopes.T).T
    b = -a @ target
    if np.all(b <= 0):  # the free minimum rises everywhere
        return np.linalg.solve(r, target), True
    system = np.concatenate([a.T, b[None]])
    try:
        multipliers, _ = nnls(system, np.append(np.zeros(len(target)), 1.0))
    except RuntimeError:  # too many steps
        # Coefficients that do not fall are enough for a curve that does not.
        return np.maximum.accumulate(np.linalg.solve(r, target)), False
    residual = system @ multipliers
    residual[-1] -= 1
    z, multipliers = -residual[:-1] / residual[-1], -multipliers / residual[-1]
    slack = a @ z - b
    converged = slack.min() > -_TOLERANCE and abs(multipliers @ slack) < _TOLERANCE
    return np.linalg.solve(r, z + target), bool(converged)
