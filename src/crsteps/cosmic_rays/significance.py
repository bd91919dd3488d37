"""Cosmic rays in an image of significances: what stands out by itself or beside what does."""

import numpy as np

from crsteps.cosmic_rays.hysteresis import grow_seeds


def significance_hysteresis(z, *, seed=5.0, grow=3.0, usable=None):
    """
    Flag significant pixels and the less significant ones connected with them.

    Parameters
    ----------
    z : ndarray of float, shape (ny, nx)
        Signal above the background in units of its noise. NaN is never flagged.
    seed : float
        Significance above which a pixel is flagged by itself.
    grow : float
        Significance above which a pixel is flagged if it is connected, through others of its
        kind, with one that is flagged by itself.
    usable : ndarray of bool, shape (ny, nx), optional
        False where a pixel can be neither flagged nor grown through; all pixels if None.

    Returns
    -------
    ndarray of bool, shape (ny, nx)
        Flagged pixels.

    Raises
    ------
    ValueError
        If the threshold for growth lies above the one for seeds, or the shapes differ.
    """
    if not grow <= seed:
        raise ValueError(
            f"the threshold for growth ({grow}) must not lie above the one for seeds ({seed})"
        )
    growable = z > grow
    if usable is not None:
        if np.shape(usable) != np.shape(z):
            raise ValueError(
                f"usable has the shape {np.shape(usable)} and the image {np.shape(z)}: they must "
                "be equal"
            )
        growable &= usable
    return grow_seeds(growable & (z > seed), growable)
