"""Images made small, and cut-outs of clusters: what is kept of a detector for the figures.

A worker that has a detector in memory makes these and hands them over, so that the figures of an
exposure never need sixteen detectors at full resolution.
"""

from dataclasses import dataclass

import numpy as np

from crsteps.detector.nisp import DETECTORS, orient
from crsteps.slew_dark.analysis import JUMP_DET

# Classes of pixels, by increasing priority where several are drawn as one.
CLEAN, REFERENCE, BAD, HIT = range(4)


@dataclass(frozen=True)
class Thumbnail:
    """
    A detector made small, oriented as on the focal plane (row 0 on top).

    Attributes
    ----------
    detector : str
        Name, DET11 to DET44.
    shape : tuple of int
        Shape ``(ny, nx)`` of the detector.
    block : int
        Pixels along a side of the blocks that became one pixel.
    original, cleaned : ndarray of float32
        Mean of the usable pixels of each block, above the detector's level, data units; NaN where
        none is usable.
    classes : ndarray of uint8
        Highest class of the pixels of each block, so that a hit of one pixel stays visible.
    """

    detector: str
    shape: tuple
    block: int
    original: np.ndarray
    cleaned: np.ndarray
    classes: np.ndarray


@dataclass(frozen=True)
class ClusterCutout:
    """
    A cluster and its surroundings.

    Attributes
    ----------
    detector : str
        Name of the detector.
    shape_class : str
        Class of its shape.
    x, y : float
        Centroid, pixels.
    n_pixels : int
        Size.
    total : float
        Total intensity, data units.
    rank : float
        Distance from the typical cluster of the class on this detector, of the logarithms of size
        and total intensity; infinite where the cluster touches an edge or a bad pixel.
    signal : ndarray of float32, shape (n, n)
        Signal above the background, data units; NaN where not usable, or beyond the image.
    mask : ndarray of bool, shape (n, n)
        Pixels of the cluster.
    """

    detector: str
    shape_class: str
    x: float
    y: float
    n_pixels: int
    total: float
    rank: float
    signal: np.ndarray
    mask: np.ndarray


@dataclass(frozen=True)
class Sketch:
    """
    What is kept of a detector for the figures of its exposure.

    Attributes
    ----------
    thumbnail : Thumbnail or None
        The detector made small; None if it is none of the focal plane.
    cutouts : tuple of ClusterCutout
        Clusters to choose from.
    """

    thumbnail: Thumbnail | None
    cutouts: tuple


def sketch_detector(frame, analysis):
    """
    Keep of a detector what the figures of its exposure need: less than 1 MiB.

    Parameters
    ----------
    frame : crsteps.slew_dark.analysis.DetectorFrame
        Detector before the analysis.
    analysis : crsteps.slew_dark.analysis.DetectorAnalysis
        Result, with its background and labels.

    Returns
    -------
    Sketch
    """
    hits = (analysis.dq & JUMP_DET) != 0
    usable = np.zeros(hits.shape, bool) if analysis.reason else frame.usable
    thumbnail, cutouts = None, ()
    if frame.name in DETECTORS:
        thumbnail = make_thumbnail(
            frame.name,
            original=frame.data,
            cleaned=analysis.cleaned,
            classes=pixel_classes(hits, usable=usable, reference=frame.reference),
            level=analysis.offset,
        )
    if hits.any():
        cutouts = cut_clusters(
            frame.data - analysis.background,
            analysis.clusters.labels,
            analysis.clusters.columns,
            detector=frame.name,
            usable=usable,
        )
    return Sketch(thumbnail, tuple(cutouts))


def pixel_classes(hits, *, usable, reference=None):
    """
    Tell hit, bad, reference and other pixels apart by one number.

    Parameters
    ----------
    hits : ndarray of bool, shape (ny, nx)
        Pixels flagged as hit by cosmic rays.
    usable : ndarray of bool, shape (ny, nx)
        Pixels that were searched.
    reference : ndarray of bool, shape (ny, nx), optional
        Reference pixels.

    Returns
    -------
    ndarray of uint8, shape (ny, nx)
        `HIT`, `BAD` (not usable and not a reference pixel), `REFERENCE` or `CLEAN`.
    """
    classes = np.where(usable, np.uint8(CLEAN), np.uint8(BAD))
    if reference is not None:
        classes[reference] = REFERENCE
    classes[hits] = HIT
    return classes


def reduce_blocks(image, block):
    """
    Make an image smaller.

    Parameters
    ----------
    image : ndarray, shape (ny, nx)
        Floating-point image, or classes or mask.
    block : int
        Pixels along a side of the blocks that become one pixel. Blocks at the upper ends of the
        axes may be incomplete.

    Returns
    -------
    ndarray, shape (ceil(ny / block), ceil(nx / block))
        Floating-point images: mean of the finite pixels, float32, NaN where there is none.
        Others: the highest value.
    """
    starts = [np.arange(0, length, block) for length in image.shape]
    if image.dtype.kind != "f":
        return np.maximum.reduceat(np.maximum.reduceat(image, starts[0], 0), starts[1], 1)
    finite = np.isfinite(image)
    sums, numbers = (
        np.add.reduceat(np.add.reduceat(values, starts[0], 0, dtype=dtype), starts[1], 1)
        for values, dtype in ((np.where(finite, image, 0), np.float64), (finite, np.int64))
    )
    means = np.full(sums.shape, np.nan, np.float32)
    np.divide(sums, numbers, out=means, where=numbers > 0, casting="same_kind")
    return means


def make_thumbnail(detector, *, original, cleaned, classes, level=0.0, size=256):
    """
    Make a detector small, as it lies on the focal plane.

    Parameters
    ----------
    detector : str
        Name, DET11 to DET44.
    original, cleaned : ndarray, shape (ny, nx)
        Images, data units.
    classes : ndarray of uint8, shape (ny, nx)
        Classes of the pixels; the images are those of `HIT` and `CLEAN` pixels.
    level : float, optional
        Level to subtract from the images, data units; NaN for none.
    size : int, optional
        Greatest number of pixels along a side.

    Returns
    -------
    Thumbnail

    Raises
    ------
    ValueError
        If the detector is none of the focal plane.
    """
    block = max(1, -(-max(original.shape) // size))
    used = (classes == CLEAN) | (classes == HIT)
    level = np.float32(np.nan_to_num(level))
    small = [
        reduce_blocks(np.where(used, image, np.float32(np.nan)), block) - level
        for image in (original, cleaned)
    ]
    images = [orient(image, detector) for image in (*small, reduce_blocks(classes, block))]
    return Thumbnail(detector, original.shape, block, *images)


def cut_clusters(signal, labels, columns, *, detector, usable, per_class=6, margin=5):
    """
    Cut out the largest and the most typical clusters of each class of shape.

    Parameters
    ----------
    signal : ndarray of float32, shape (ny, nx)
        Signal above the background, data units.
    labels : ndarray of int, shape (ny, nx)
        Number of the cluster that each pixel belongs to.
    columns : dict of str to ndarray
        Columns ``cluster`` (its label), ``shape``, ``x``, ``y``, ``x_min``, ``x_max``, ``y_min``,
        ``y_max``, ``n_pixels``, ``total``, ``touches_edge`` and ``touches_bad``.
    detector : str
        Name of the detector.
    usable : ndarray of bool, shape (ny, nx)
        Pixels that were searched.
    per_class : int, optional
        Number of each kind in each class.
    margin : int, optional
        Pixels shown beyond the cluster on each side.

    Returns
    -------
    list of ClusterCutout
        The clusters, the largest of each class first.
    """
    cutouts = []
    rank = _typical_rank(columns)
    for name in np.unique(columns["shape"]):
        members = np.flatnonzero(columns["shape"] == name)
        size = columns["n_pixels"][members], columns["total"][members]
        by_size = members[np.lexsort(size[::-1])[::-1]]
        by_rank = members[np.argsort(rank[members], kind="stable")]
        for i in dict.fromkeys([*by_size[:per_class], *by_rank[:per_class]]):
            window, place, side = _square(columns, i, margin, signal.shape)
            around = np.full((side, side), np.nan, np.float32)
            around[place] = np.where(usable[window], signal[window], np.nan)
            mask = np.zeros((side, side), bool)
            mask[place] = labels[window] == columns["cluster"][i]
            cutouts.append(
                ClusterCutout(
                    detector=detector,
                    shape_class=str(name),
                    x=float(columns["x"][i]),
                    y=float(columns["y"][i]),
                    n_pixels=int(columns["n_pixels"][i]),
                    total=float(columns["total"][i]),
                    rank=float(rank[i]),
                    signal=around,
                    mask=mask,
                )
            )
    return cutouts


def _typical_rank(columns):
    """Distance of each cluster from the median of its class; infinite where it is cut off."""
    rank = np.full(len(columns["shape"]), np.inf)
    whole = ~(columns["touches_edge"] | columns["touches_bad"]) & (columns["total"] > 0)
    for name in np.unique(columns["shape"][whole]):
        members = whole & (columns["shape"] == name)
        values = np.log([columns["n_pixels"][members], columns["total"][members]])
        rank[members] = np.hypot(*(values - np.median(values, axis=1, keepdims=True)))
    return rank


def _square(columns, i, margin, shape):
    """Pixels of the image around a cluster, where they are in a square, and its side."""
    low = np.array([columns["y_min"][i], columns["x_min"][i]], dtype=int)
    high = np.array([columns["y_max"][i], columns["x_max"][i]], dtype=int)
    side = max(high - low) + 1 + 2 * margin
    first = (low + high + 1 - side) // 2
    window = tuple(
        slice(max(start, 0), min(start + side, length))
        for start, length in zip(first, shape, strict=True)
    )
    place = tuple(
        slice(part.start - start, part.stop - start)
        for part, start in zip(window, first, strict=True)
    )
    return window, place, side


def busiest_box(hits, size):
    """
    Find where hits are most numerous.

    Parameters
    ----------
    hits : ndarray of bool, shape (ny, nx)
        Flagged pixels.
    size : int
        Pixels along a side of the box.

    Returns
    -------
    tuple of slice
        Rows and columns of the box of most hits among those that begin at multiples of half its
        side; the middle of the image where there are no hits.
    """
    half = max(1, size // 2)
    if not hits.any():
        starts = [max(0, (length - size) // 2) for length in hits.shape]
    else:
        edges = [np.arange(0, length, half) for length in hits.shape]
        counts = np.add.reduceat(np.add.reduceat(hits, edges[0], 0, dtype=int), edges[1], 1)
        padded = np.pad(counts, (0, 1))
        boxes = padded[:-1, :-1] + padded[1:, :-1] + padded[:-1, 1:] + padded[1:, 1:]
        place = np.unravel_index(np.argmax(boxes), boxes.shape)
        starts = [
            max(0, min(half * i, length - size))
            for i, length in zip(place, hits.shape, strict=True)
        ]
    return tuple(
        slice(start, min(start + size, length))
        for start, length in zip(starts, hits.shape, strict=True)
    )
