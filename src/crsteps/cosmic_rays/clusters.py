"""
Clusters of flagged pixels, each the trace of one hit, and their columns.

Moments, axes and orientation are those of `skimage.measure.regionprops`; everything is computed
from the flagged pixels alone, sorted by cluster, so that the cost does not depend on the number of
clusters.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from crsteps.cosmic_rays.hysteresis import EIGHT_CONNECTED
from crsteps.cosmic_rays.shapes import classify_shapes, equivalent_side

# Column of the table of clusters: unit, description. The unit "data" stands for that of the image.
COLUMNS = {
    "cluster": ("", "number of the cluster, its value in the image of labels; from 1"),
    "x": ("pixel", "centroid of the pixels, 0-based column"),
    "y": ("pixel", "centroid of the pixels, 0-based row"),
    "x_weighted": (
        "pixel",
        "centroid weighted by the signal, negative signal as none, 0-based column; NaN if no "
        "pixel has a positive signal",
    ),
    "y_weighted": (
        "pixel",
        "centroid weighted by the signal, negative signal as none, 0-based row; NaN if no pixel "
        "has a positive signal",
    ),
    "x_min": ("pixel", "first column, 0-based"),
    "x_max": ("pixel", "last column, 0-based and inclusive"),
    "y_min": ("pixel", "first row, 0-based"),
    "y_max": ("pixel", "last row, 0-based and inclusive"),
    "n_pixels": ("pixel", "number of flagged pixels"),
    "peak": (
        "data",
        "highest signal above the background of a pixel; NaN if all are NaN",
    ),
    "total": (
        "data",
        "sum of the signal above the background over the flagged pixels, NaN left out; NaN if all "
        "are NaN. In a slew dark the signal of a hit pixel is the on-board estimate, which is "
        "anything from 0 to sqrt(n_groups - 1) times the charge that was deposited (1.73 times "
        "for MACC(4,16,4)), not the charge",
    ),
    "quality_peak": (
        "",
        "highest value of the on-board quality plane: the quality factor, or 1 where a plane of "
        "one bit has a flag; NaN without a plane",
    ),
    "major_axis": (
        "pixel",
        "major axis of the ellipse with the second moments of the pixel centres, full length: "
        "4 sqrt(variance); 0 for a single pixel",
    ),
    "minor_axis": (
        "pixel",
        "minor axis of the ellipse with the second moments of the pixel centres, full length; 0 "
        "for a straight line one pixel wide",
    ),
    "orientation": (
        "rad",
        "angle from the y axis to the major axis, positive towards the x axis, -pi/2 to pi/2; "
        "NaN where no direction is longest",
    ),
    "elongation": (
        "",
        "ratio of the sides of the rectangle with the second moments of the pixel areas: n for a "
        "row of n pixels, 1 for a single pixel",
    ),
    "shape": ("", "class of the shape: point, track, worm or blob"),
    "touches_edge": (
        "",
        "whether a pixel lies on the border of the light-sensitive area: part of the hit may be "
        "outside",
    ),
    "touches_bad": (
        "",
        "whether a pixel is bad or one of its eight neighbours is: part of the hit may be unseen",
    ),
}


@dataclass(frozen=True)
class Clusters:
    """
    Clusters of flagged pixels.

    Attributes
    ----------
    labels : ndarray of int32, shape (ny, nx)
        Number of the cluster each pixel belongs to, from 1 in the order of their first pixels; 0
        where no pixel is flagged.
    columns : dict of ndarray
        Columns of the table of clusters, each of shape (n_clusters,), named and described in
        `COLUMNS`.
    index : ndarray of int64
        Flat (row-major) index of every flagged pixel, sorted by cluster.
    offsets : ndarray of int64, shape (n_clusters + 1,)
        Pixels ``index[offsets[i] : offsets[i + 1]]`` are those of the i-th cluster.
    """

    labels: np.ndarray
    columns: dict
    index: np.ndarray
    offsets: np.ndarray

    @property
    def n_clusters(self):
        """Number of clusters."""
        return self.offsets.size - 1

    def pixels(self):
        """
        Give the pixels of each cluster, as a jagged array is stored.

        Returns
        -------
        index : ndarray of int64
            Flat (row-major) index of every flagged pixel, sorted by cluster.
        offsets : ndarray of int64, shape (n_clusters + 1,)
            Pixels ``index[offsets[i] : offsets[i + 1]]`` are those of the i-th cluster.
        """
        return self.index, self.offsets


def find_clusters(mask, *, signal, quality=None, usable=None, reference=None):
    """
    Group flagged pixels into 8-connected clusters and measure them.

    Parameters
    ----------
    mask : ndarray of bool, shape (ny, nx)
        Flagged pixels.
    signal : ndarray, shape (ny, nx)
        Signal above the background, data units. Pixels that are NaN or infinite belong to their
        cluster but count neither in its peak nor in its total.
    quality : ndarray, shape (ny, nx), optional
        On-board quality plane: quality factor or one bit.
    usable : ndarray of bool, shape (ny, nx), optional
        Good pixels. The others are bad pixels, but for those of `reference`; None: all are good.
    reference : ndarray of bool, shape (ny, nx), optional
        Reference pixels, outside the light-sensitive area; None: there are none.

    Returns
    -------
    Clusters
        Without a flagged pixel, no cluster and columns of length 0.

    Raises
    ------
    ValueError
        `mask` is not a two-dimensional mask, or another array has a different shape.
    """
    mask = np.asarray(mask)
    if mask.dtype != bool or mask.ndim != 2:
        raise ValueError(
            f"mask must be a two-dimensional array of bool, got {mask.ndim} dimensions "
            f"of {mask.dtype}"
        )
    planes = {"signal": signal, "quality": quality, "usable": usable, "reference": reference}
    for name, plane in planes.items():
        if plane is not None and np.shape(plane) != mask.shape:
            raise ValueError(f"{name} has the shape {np.shape(plane)}, mask {mask.shape}")
    labels, n_clusters = ndimage.label(mask, EIGHT_CONNECTED)
    labels = labels.astype(np.int32, copy=False)
    index, offsets = _sort_by_cluster(labels, np.flatnonzero(mask), n_clusters)
    y, x = np.divmod(index, max(mask.shape[1], 1))
    columns = {"cluster": np.arange(1, n_clusters + 1, dtype=np.int32)}
    columns |= _geometry(x, y, offsets)
    columns |= _intensities(x, y, offsets, np.asarray(signal).ravel()[index])
    columns["quality_peak"] = _quality_peak(quality, index, offsets)
    columns |= _contacts(x, y, offsets, mask.shape, usable, reference)
    return Clusters(labels, {name: columns[name] for name in COLUMNS}, index, offsets)


def _sort_by_cluster(labels, flagged, n_clusters):
    """Flat indices sorted by cluster, and where each cluster begins."""
    numbers = labels.ravel()[flagged]
    offsets = np.zeros(n_clusters + 1, dtype=np.int64)
    np.cumsum(np.bincount(numbers, minlength=n_clusters + 1)[1:], out=offsets[1:])
    return flagged[np.argsort(numbers, kind="stable")], offsets


def _reduce(ufunc, values, offsets):
    """Reduce the values of each cluster with a ufunc; `reduceat` refuses to reduce nothing."""
    if offsets.size == 1:
        return ufunc.reduceat(np.zeros(1, dtype=values.dtype), [0])[:0]
    return ufunc.reduceat(values, offsets[:-1])


def _geometry(x, y, offsets):
    """Centroid, bounding box, axes and class of shape."""
    n_pixels = np.diff(offsets)
    box = {
        f"{name}_{end}": _reduce(ufunc, values, offsets).astype(np.int32)
        for name, values in (("x", x), ("y", y))
        for end, ufunc in (("min", np.minimum), ("max", np.maximum))
    }
    # Integers from the corner of the box: the sums are exact, and equal moments are equal.
    dx = (x - np.repeat(box["x_min"], n_pixels)).astype(np.float64)
    dy = (y - np.repeat(box["y_min"], n_pixels)).astype(np.float64)
    sum_x, sum_y = (_reduce(np.add, values, offsets) for values in (dx, dy))
    # Central second moments, times the square of the number of pixels.
    xx = n_pixels * _reduce(np.add, dx * dx, offsets) - sum_x**2
    yy = n_pixels * _reduce(np.add, dy * dy, offsets) - sum_y**2
    xy = n_pixels * _reduce(np.add, dx * dy, offsets) - sum_x * sum_y
    largest = (xx + yy + np.hypot(xx - yy, 2 * xy)) / 2
    # Not the difference of nearly equal numbers: exactly 0 for every straight line.
    smallest = np.maximum(xx * yy - xy**2, 0) / np.where(largest > 0, largest, 1)
    major, minor = largest / n_pixels**2, smallest / n_pixels**2
    angle = 0.5 * np.arctan2(2 * xy, yy - xx)
    angle[(xy == 0) & (xx == yy)] = np.nan
    return {
        "x": box["x_min"] + sum_x / n_pixels,
        "y": box["y_min"] + sum_y / n_pixels,
        **box,
        "n_pixels": n_pixels.astype(np.int32),
        "major_axis": 4 * np.sqrt(major),
        "minor_axis": 4 * np.sqrt(minor),
        "orientation": angle,
        "elongation": equivalent_side(major) / equivalent_side(minor),
        "shape": classify_shapes(
            n_pixels, major_variance=major, minor_variance=minor, orientation=angle
        ),
    }


def _intensities(x, y, offsets, signal):
    """Weighted centroid, peak and total."""
    finite = np.isfinite(signal)
    signal = np.where(finite, signal, np.nan).astype(np.float64)
    any_finite = _reduce(np.logical_or, finite, offsets)
    weight = np.where(finite, np.maximum(signal, 0), 0)
    sums = _reduce(np.add, weight, offsets)
    positive = sums > 0
    centroid = {
        f"{name}_weighted": np.where(
            positive,
            _reduce(np.add, weight * values, offsets) / np.where(positive, sums, 1),
            np.nan,
        )
        for name, values in (("x", x), ("y", y))
    }
    total = _reduce(np.add, np.where(finite, signal, 0), offsets)
    return {
        **centroid,
        "peak": _reduce(np.fmax, signal, offsets),
        "total": np.where(any_finite, total, np.nan),
    }


def _quality_peak(quality, index, offsets):
    """Highest quality of each cluster."""
    if quality is None:
        return np.full(offsets.size - 1, np.nan)
    return _reduce(np.fmax, np.asarray(quality).ravel()[index].astype(np.float64), offsets)


def _contacts(x, y, offsets, shape, usable, reference):
    """Whether clusters lie at the edge of the light-sensitive area or beside bad pixels."""
    ny, nx = shape
    at_edge = (x == 0) | (y == 0) | (x == nx - 1) | (y == ny - 1)
    at_bad = np.zeros(x.size, dtype=bool)
    for step_y, step_x in np.argwhere(EIGHT_CONNECTED) - 1:
        # A step out of the image is cut short and ends on a neighbour or the pixel itself.
        place = np.clip(y + step_y, 0, ny - 1), np.clip(x + step_x, 0, nx - 1)
        outside = False if reference is None else np.asarray(reference, dtype=bool)[place]
        at_edge |= outside
        if usable is not None:
            at_bad |= ~(np.asarray(usable, dtype=bool)[place] | outside)
    return {
        "touches_edge": _reduce(np.logical_or, at_edge, offsets),
        "touches_bad": _reduce(np.logical_or, at_bad, offsets),
    }
