"""The median-minimum diagram of several exposures: its options, its axes, its images."""

from dataclasses import dataclass
from numbers import Integral, Real

import numpy as np

from crsteps.mm_cosmic.scene import count_usable, median_of_sorted, sort_exposures

_CHOICES = {
    "boundary_fit": ("spline", "piecewise"),
    "photon_distribution": ("poisson", "nbinom"),
    "synthetic": ("median", "single"),
    "bins": ("adapted", "uniform"),
}


@dataclass(frozen=True)
class DiagramOptions:
    """
    Options of the detection in a simulated median-minimum diagram.

    Attributes
    ----------
    cr_coincidences : int
        Number of cosmic rays in one pixel that are looked for: at least 2 and less than the
        number of exposures.
    photon_distribution : {"poisson", "nbinom"}
        Distribution of the simulated electrons; the negative binomial one has a larger variance.
    nbinom_shape : float
        Shape k of the negative binomial distribution: the variance at expectation L electrons
        is ``L + L**2 / k``.
    synthetic : {"median", "single"}
        Whether each exposure is simulated from the cleaned median or from itself, cleaned.
    nsimulations : int
        Number of sets of exposures that are simulated.
    seed : int or None
        Seed of the simulation; None takes a new one each time.
    hist2d_min_neighbors : int
        Bins of the simulated diagram with fewer non-empty neighbours are emptied: 0 to 8.
    ydiag_max : float
        Upper end of the diagram's vertical axis, image units; 0 derives one.
    bins : {"adapted", "uniform"}
        Whether bins are narrow where the pixels are or all have the same size.
    boundary_fit : {"spline", "piecewise"}
        Boundary as a monotone cubic spline through the simulated upper ends and the fixed points,
        or as straight lines through the fixed points alone.
    knots_splfit : int
        Number of knots of the spline, both ends included.
    fixed_points : tuple of tuple of float
        Points (x, y) or (x, y, weight) that the boundary should meet, image units; the weight
        is 1000 if not given.
    niter_boundary_extension : int
        Number of times the spline is fitted again with larger weights for the points above it.
    weight_boundary_extension : float
        Factor of those weights from one time to the next; at least 1.
    threshold_rnoise : float
        Smallest vertical coordinate of a flagged pixel in units of the read noise.
    minimum_max2d_rnoise : float
        Smallest value of the highest exposure of a flagged pixel in units of the read noise.
    dilation : int
        3x3 dilations of each mask (numina's ``mm_dilation``).
    """

    cr_coincidences: int = 2
    photon_distribution: str = "poisson"
    nbinom_shape: float = 10.0
    synthetic: str = "median"
    nsimulations: int = 10
    seed: int | None = 123456
    hist2d_min_neighbors: int = 0
    ydiag_max: float = 0.0
    bins: str = "adapted"
    boundary_fit: str = "spline"
    knots_splfit: int = 5
    fixed_points: tuple = ()
    niter_boundary_extension: int = 5
    weight_boundary_extension: float = 2.0
    threshold_rnoise: float = 3.0
    minimum_max2d_rnoise: float = 5.0
    dilation: int = 1

    def check(self, n_exposures):
        """
        Refuse options that have no meaning.

        Parameters
        ----------
        n_exposures : int
            Number of exposures.

        Raises
        ------
        ValueError
            An option has no meaning; the sentence names it.
        """
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(
                    f"{name} must be one of {', '.join(choices)}, got {getattr(self, name)!r}"
                )
        for name, least, most in (
            ("cr_coincidences", 2, n_exposures - 1),
            ("nsimulations", 1, None),
            ("hist2d_min_neighbors", 0, 8),
            ("knots_splfit", 2, None),
            ("niter_boundary_extension", 0, None),
            ("dilation", 0, None),
            ("seed", 0, None),
        ):
            self._check_number(name, Integral, least, most)
        for name, least in (
            ("ydiag_max", 0),
            ("weight_boundary_extension", 1),
            ("threshold_rnoise", 0),
            ("minimum_max2d_rnoise", 0),
        ):
            self._check_number(name, Real, least, None)
        if not self.nbinom_shape > 0:
            raise ValueError(f"nbinom_shape must be positive, got {self.nbinom_shape!r}")
        self._check_fixed_points()

    def _check_number(self, name, kind, least, most):
        """Refuse a value of the wrong type or out of its range."""
        value = getattr(self, name)
        if name == "seed" and value is None:
            return
        right = isinstance(value, kind) and not isinstance(value, bool) and np.isfinite(value)
        if not right or value < least or (most is not None and value > most):
            limits = f"at least {least}" if most is None else f"{least} to {most}"
            noun = "whole number" if kind is Integral else "number"
            raise ValueError(f"{name} must be a {noun}, {limits}, got {value!r}")

    def _check_fixed_points(self):
        """Refuse points that are not two or three numbers, and too few of them."""
        for point in self.fixed_points:
            good = len(point) in (2, 3) and np.all(np.isfinite(np.asarray(point, dtype=float)))
            if not good or (len(point) == 3 and not point[2] > 0):
                raise ValueError(
                    "fixed_points must be points [x, y] or [x, y, weight] of finite numbers with "
                    f"a positive weight, got {list(point)}"
                )
        if self.boundary_fit == "piecewise":
            distinct = len({float(point[0]) for point in self.fixed_points})
            if distinct < 2 or distinct < len(self.fixed_points):
                raise ValueError(
                    "boundary_fit piecewise needs two or more fixed_points, each at another x, "
                    f"got {[list(point) for point in self.fixed_points]}"
                )


@dataclass(frozen=True)
class DiagramImages:
    """
    Images whose values are the coordinates of the diagram; all float32, (ny, nx).

    Attributes
    ----------
    lowest : ndarray
        Horizontal coordinate: mean of the lowest exposures, as many as are left when
        ``cr_coincidences`` are taken off; NaN where no exposure is usable.
    median, mean : ndarray
        Median and mean of the usable exposures; NaN where there are none.
    highest : ndarray
        Highest usable exposure; NaN where there is none.
    n_usable : ndarray of uint8
        Number of usable exposures.
    """

    lowest: np.ndarray
    median: np.ndarray
    mean: np.ndarray
    highest: np.ndarray
    n_usable: np.ndarray


def diagram_images(data, *, cr_coincidences):
    """
    Combine exposures to the images that the diagram is made of.

    Parameters
    ----------
    data : sequence of ndarray of float32, shape (ny, nx)
        Exposures, bias subtracted; NaN is missing.
    cr_coincidences : int
        Number of highest exposures that are left out of the lowest ones. Where pixels are
        missing, at least one exposure is left.

    Returns
    -------
    DiagramImages
    """
    planes = sort_exposures(data)
    n_usable = count_usable(planes)
    none = n_usable == 0
    complete = n_usable == len(planes)
    n_left = np.maximum(n_usable.astype(np.int16) - cr_coincidences, 1)
    lowest, mean, highest = planes[0].copy(), planes[0].copy(), planes[0].copy()
    for rank, plane in enumerate(planes[1:], start=1):
        usable = rank < n_usable
        # Most pixels have all exposures: adding under a condition costs several times as much.
        value = plane if complete.all() else np.where(usable, plane, np.float32(0))
        mean += value
        highest = np.where(usable, plane, highest)
        if rank < len(planes) - cr_coincidences:
            lowest += np.where(rank < n_left, value, np.float32(0))
    images = {
        "lowest": lowest / n_left.astype(np.float32),
        "mean": mean / np.maximum(n_usable, 1).astype(np.float32),
        "highest": highest,
    }
    for image in images.values():
        image[none] = np.nan
    return DiagramImages(median=median_of_sorted(planes, n_usable), n_usable=n_usable, **images)
