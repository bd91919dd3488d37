"""What the figures of several capabilities share: limits of a grey scale, outlines of masks."""

import numpy as np


def zscale_limits(image):
    """
    Give the limits of a grey scale by the zscale algorithm.

    Parameters
    ----------
    image : ndarray
        Image; pixels that are not finite do not count.

    Returns
    -------
    low, high : float
        Limits; 1 on each side of the value of a constant image; -1 and 1 without a finite pixel.
    """
    from astropy.visualization import ZScaleInterval

    finite = image[np.isfinite(image)]
    if not finite.size:
        return -1.0, 1.0
    low, high = (float(limit) for limit in ZScaleInterval().get_limits(finite))
    return (low, high) if high > low else (low - 1, high + 1)


def mask_outline(mask):
    """
    Find the edges between flagged and other pixels.

    Parameters
    ----------
    mask : ndarray of bool, shape (ny, nx)
        Flagged pixels; beyond the image nothing is flagged.

    Returns
    -------
    ndarray of float, shape (n, 2, 2)
        Ends ``(x, y)`` of each edge of a pixel, in pixels: the centre of pixel ``[0, 0]`` is at
        (0, 0), its corners at ±0.5.
    """
    padded = np.pad(mask, 1).astype(np.int8)
    y, x = np.nonzero(np.diff(padded, axis=0))  # edges along x, below padded row y + 1
    along_x = np.stack([x - 1.5, y - 0.5, x - 0.5, y - 0.5], axis=-1)
    y, x = np.nonzero(np.diff(padded, axis=1))
    along_y = np.stack([x - 0.5, y - 1.5, x - 0.5, y - 0.5], axis=-1)
    return np.concatenate([along_x, along_y]).reshape(-1, 2, 2)
