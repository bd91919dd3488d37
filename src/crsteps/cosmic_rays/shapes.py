"""Classes of the shapes of clusters: points, tracks, worms and blobs."""

import numpy as np

SHAPES = ("point", "track", "worm", "blob")
# Sides in pixels from which a long cluster is a track and a round one is a blob.
_TRACK_LENGTH, _BLOB_SIDE = 3.5, 5.0
_ELONGATED = 1.7
# Part of its rectangle that a straight or round cluster fills at least.
_FILLED = 0.6


def equivalent_side(variance):
    """
    Side of the rectangle that has the variance of a cluster of pixels along one axis.

    Parameters
    ----------
    variance : array_like
        Variance of the positions of the pixel centres along the axis, pixels squared.

    Returns
    -------
    ndarray
        ``sqrt(12 variance + 1)`` pixels: n for a row of n pixels, 1 across it.
    """
    return np.sqrt(12 * np.asarray(variance, dtype=np.float64) + 1)


def classify_shapes(n_pixels, major_variance, minor_variance):
    """
    Tell points, tracks, worms and blobs apart by their second moments.

    Parameters
    ----------
    n_pixels : array_like
        Number of pixels of each cluster.
    major_variance, minor_variance : array_like
        Variances of the positions of the pixel centres along the major and the minor axis, pixels
        squared.

    Returns
    -------
    ndarray of str
        One of `SHAPES` for each cluster.
    """
    length, width = equivalent_side(major_variance), equivalent_side(minor_variance)
    elongated = length > _ELONGATED * width
    point = length < np.where(elongated, _TRACK_LENGTH, _BLOB_SIDE)
    worm = np.asarray(n_pixels) < _FILLED * length * width
    return np.select([point, worm, elongated], ["point", "worm", "track"], "blob")
