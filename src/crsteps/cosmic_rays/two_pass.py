"""
Detection in two passes: the peaks of cosmic rays, then their fainter tails.

A low threshold finds the whole of a cosmic ray but also noise; a high one finds its peak alone.
What the low threshold finds is kept where it is connected with what the high one finds.
"""

import numpy as np
from scipy import ndimage

from crsteps.cosmic_rays.hysteresis import EIGHT_CONNECTED


def join_passes(peaks, tails):
    """
    Keep the components of the second pass that hold a pixel of the first.

    Parameters
    ----------
    peaks : ndarray of bool, shape (ny, nx)
        Pixels flagged by the pass with the high thresholds.
    tails : ndarray of bool, shape (ny, nx)
        Pixels flagged by the pass with the low thresholds.

    Returns
    -------
    ndarray of bool, shape (ny, nx)
        8-connected components of ``tails`` that hold at least one pixel of ``peaks``. Unlike with
        `crsteps.cosmic_rays.hysteresis.grow_seeds`, a peak that the second pass did not flag is
        not kept: that pass worked on an image cleaned of more, and did not confirm it.

    Raises
    ------
    ValueError
        If the masks differ in shape.
    """
    if np.shape(peaks) != np.shape(tails):
        raise ValueError(
            f"the masks of the two passes have the shapes {np.shape(peaks)} and {np.shape(tails)}: "
            "they must be equal"
        )
    labels, n_labels = ndimage.label(tails, EIGHT_CONNECTED)
    kept = np.zeros(n_labels + 1, dtype=bool)
    kept[labels[peaks]] = True
    kept[0] = False
    return kept[labels]


def pair_of(value, name):
    """
    Give the values of a parameter in the two passes.

    Parameters
    ----------
    value : float or sequence of float
        One value for both passes, or one for each.
    name : str
        Name of the parameter, for the message.

    Returns
    -------
    tuple of (float, float)
        Value in the first and in the second pass.

    Raises
    ------
    ValueError
        If there are not one or two numbers, or one is not finite.
    """
    try:
        values = np.atleast_1d(np.asarray(value, dtype=np.float64))
    except (TypeError, ValueError):
        values = np.empty(0)
    if values.ndim != 1 or values.size not in (1, 2) or not np.isfinite(values).all():
        raise ValueError(
            f"{name} is {value!r}: give one number, or two for the passes of the peaks and of the "
            "tails"
        )
    return float(values[0]), float(values[-1])
