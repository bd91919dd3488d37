"""Boundary between hit and unhit pixels in a simulated median-minimum diagram."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class FittedBoundary:
    """
    Boundary in the median-minimum diagram.

    Attributes
    ----------
    kind : {"spline", "piecewise"}
        Cubic spline or straight lines.
    knots : ndarray
        Knots of the spline, both ends included; for straight lines the x of their points.
    coefficients : ndarray
        Coefficients of the B-splines; for straight lines the y of their points.
    points_x, points_y, weights : ndarray
        Points that were fitted, by ascending x, and their weights in the last iteration.
    fixed : ndarray of bool
        Which of them the user gave.
    curve_x : ndarray
        Abscissae of the curves in `iterations`, from the first to the last knot.
    iterations : tuple of ndarray
        Curve of each fit, the first one and its extensions; the last one is the boundary.
    converged : bool
        Whether every fit met the conditions of a minimum.
    warnings : tuple of str
        What the user should know.
    """

    kind: str
    knots: np.ndarray
    coefficients: np.ndarray
    points_x: np.ndarray
    points_y: np.ndarray
    weights: np.ndarray
    fixed: np.ndarray
    curve_x: np.ndarray
    iterations: tuple
    converged: bool
    warnings: tuple
