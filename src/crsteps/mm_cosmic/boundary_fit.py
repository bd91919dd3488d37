"""Boundary between hit and unhit pixels in a simulated median-minimum diagram."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from crsteps.cosmic_rays.hysteresis import EIGHT_CONNECTED
from crsteps.mm_cosmic.monotone_spline import evaluate_spline, fit_monotone_spline

# Weight of a fixed point without one, relative to the largest weight of the others.
DEFAULT_FIXED_WEIGHT = 1000.0
_CURVE_POINTS = 500


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

    def evaluate(self, x):
        """
        Height of the boundary.

        Parameters
        ----------
        x : array-like
            Horizontal coordinates: mean of the lowest exposures, image units; NaN gives NaN.

        Returns
        -------
        ndarray of float64
            Median minus minimum on the boundary; beyond the outer knots that at the outer knots.
        """
        if self.kind == "piecewise":
            return np.interp(np.asarray(x, dtype=np.float64), self.knots, self.coefficients)
        return evaluate_spline(self.knots, self.coefficients, x)


def fit_boundary(simulated, options):
    """
    Fit the boundary of a simulated diagram.

    A spline follows the upper end of each column of the diagram. It is then extended: fitted
    again several times, each time with larger weights for the points above the previous curve.

    Parameters
    ----------
    simulated : crsteps.mm_cosmic.simulated_diagram.SimulatedDiagram
        Diagram of simulated exposures without cosmic rays.
    options : crsteps.mm_cosmic.diagram.DiagramOptions
        Options.

    Returns
    -------
    FittedBoundary

    Raises
    ------
    ValueError
        No bin of the diagram is left to fit a spline to.
    """
    if options.boundary_fit == "piecewise":
        return _join_fixed_points(options)
    x, y = boundary_points(
        simulated,
        minimum_neighbors=options.hist2d_min_neighbors,
        keep_sparse=options.bins == "uniform",
    )
    if x.size == 0:
        raise ValueError(
            "the simulated diagram has no bin with as many neighbours as "
            f"hist2d_min_neighbors={options.hist2d_min_neighbors}: give a smaller number"
        )
    given = [(*point, DEFAULT_FIXED_WEIGHT)[:3] for point in options.fixed_points]
    given = np.array(given, dtype=np.float64).reshape(-1, 3)
    fixed = np.arange(x.size + len(given)) >= x.size
    x, y = np.concatenate([x, given[:, 0]]), np.concatenate([y, given[:, 1]])
    stress = np.concatenate([np.ones(x.size - len(given)), given[:, 2]])
    order = np.argsort(x, kind="stable")
    return _fit_spline(x[order], y[order], stress[order], fixed[order], options)


def boundary_points(simulated, *, minimum_neighbors=0, keep_sparse=True):
    """
    Upper end of each column of a simulated diagram.

    Parameters
    ----------
    simulated : SimulatedDiagram
        Diagram.
    minimum_neighbors : int, optional
        Bins with fewer non-empty neighbours are emptied first: 0 to 8.
    keep_sparse : bool, optional
        Whether columns with less than two pixels in all simulations, of which the upper end is
        not known, get a point at the lower end of the axis, or none.

    Returns
    -------
    x, y : ndarray of float64
        Centres of the columns that are not empty, and of the bin at the value above which one
        pixel of all simulations together is expected: the highest bin with pixels if there are
        several, otherwise one between the two highest pixels.
    """
    counts = simulated.counts.copy()
    if minimum_neighbors:
        filled = (counts > 0).astype(np.int8)
        neighbors = ndimage.convolve(filled, EIGHT_CONNECTED.astype(np.int8), mode="constant")
        counts[neighbors - filled < minimum_neighbors] = 0
    counts[-1] += simulated.above
    columns = np.flatnonzero(counts.sum(axis=0) > (0 if keep_sparse else 1))
    x_edges, y_edges = simulated.x_edges, simulated.y_edges
    centres = (y_edges[:-1] + y_edges[1:]) / 2
    one = 1 / simulated.n_simulations
    y = np.empty(columns.size)
    for i, density in enumerate(np.ascontiguousarray(counts.T[columns] / simulated.n_simulations)):
        total = density.sum()
        # Between the two highest pixels the distribution is level, and which end of the level
        # part is found hangs on the rounding of these very operations; numina's are the same.
        place = np.interp(
            (total - one) / total, np.cumsum(density / total), np.arange(len(centres))
        )
        y[i] = centres[int(place + 0.5)] if total > one else y_edges[0]
    return (x_edges[columns] + x_edges[columns + 1]) / 2, y


def _fit_spline(x, y, stress, fixed, options):
    """Fit and extend a spline; `stress` is the weight of a fixed point beside the others."""
    knots = _place_knots(x, options)
    curve_x = np.linspace(knots[0], knots[-1], _CURVE_POINTS)
    weights, curves, converged = stress, [], True
    spline = None
    for iteration in range(options.niter_boundary_extension + 1):
        if iteration:
            raised = options.weight_boundary_extension**iteration
            weights = np.where((y > spline.evaluate(x)) & ~fixed, raised, 1.0)
            weights = np.where(fixed, stress * weights.max(), weights)
        spline = fit_monotone_spline(x, y, weights, knots)
        curves.append(spline.evaluate(curve_x))
        converged = converged and spline.converged
    warnings = ()
    if not converged:
        warnings = (
            "the fit of the boundary did not reach a minimum: look at the diagram, and give other "
            "knots_splfit or fixed_points_in_boundary",
        )
    return FittedBoundary(
        "spline",
        spline.knots,
        spline.coefficients,
        *(x, y, weights, fixed, curve_x),
        iterations=tuple(curves),
        converged=converged,
        warnings=warnings,
    )


def _place_knots(x, options):
    """Knots from the first point to the last, even ones or, with adapted bins, as points are."""
    x = np.unique(x)
    if x.size == 1:  # any width will do: nothing but a level line is determined
        x = x[0] + np.array([-0.5, 0.5]) * max(1.0, abs(x[0]))
    if options.bins == "uniform":
        return np.linspace(x[0], x[-1], options.knots_splfit)
    return np.quantile(x, np.linspace(0, 1, options.knots_splfit))


def _join_fixed_points(options):
    """Straight lines through the fixed points."""
    x, y = np.array([point[:2] for point in options.fixed_points], dtype=np.float64).T
    order = np.argsort(x)
    x, y = x[order], y[order]
    return FittedBoundary(
        "piecewise",
        *(x, y, x, y),
        weights=np.ones(x.size),
        fixed=np.ones(x.size, dtype=bool),
        curve_x=x,
        iterations=(y,),
        converged=True,
        warnings=(),
    )
