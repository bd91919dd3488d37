"""
Regions of a detector that light is known to fall on, as masks: True where there may be light.

Pixels are 0-based here; bounding boxes are those of a WCS, in pixel coordinates whose integers are
the centres of pixels.
"""

import numpy as np

# Rows of the NIRSpec detectors, full frame, on which the fixed slits fall: 923 to 1116 counted
# from 1 (the jwst step clean_flicker_noise).
FIXED_SLIT_ROWS = (922, 1116)
# Half the width of a NIRISS SOSS trace in pixels (ditto).
SOSS_HALF_WIDTH = 16


def fixed_slit_region(shape, *, first_row=0):
    """
    Region of the NIRSpec fixed slits, which are always open.

    Parameters
    ----------
    shape : tuple of int
        Shape (ny, nx) of the image.
    first_row : int, optional
        Row of the detector that is the first one of the image, from 0.

    Returns
    -------
    ndarray of bool, shape (ny, nx)
    """
    mask = np.zeros(shape, dtype=bool)
    start, stop = (max(0, row - first_row) for row in FIXED_SLIT_ROWS)
    mask[start:stop] = True
    return mask


def boxes_mask(shape, boxes):
    """
    Pixels inside bounding boxes.

    Parameters
    ----------
    shape : tuple of int
        Shape (ny, nx) of the image.
    boxes : iterable of ((float, float), (float, float))
        Limits in x and in y of each box; whole pixels are masked whose centres lie within them.
        Boxes may reach beyond the image. One with a limit that is not finite is left out.

    Returns
    -------
    ndarray of bool, shape (ny, nx)
    """
    mask = np.zeros(shape, dtype=bool)
    for box in boxes:
        if np.isfinite(box).all():
            columns, rows = (_inside(limits) for limits in box)
            mask[rows, columns] = True
    return mask


def _inside(limits):
    first, last = int(np.ceil(limits[0])), int(np.floor(limits[1]))
    return slice(max(first, 0), max(last + 1, 0))


def traces_mask(shape, traces, *, half_width=SOSS_HALF_WIDTH):
    """
    Pixels near spectral traces that run along x.

    Parameters
    ----------
    shape : tuple of int
        Shape (ny, nx) of the image.
    traces : iterable of (ndarray, ndarray)
        Coordinates x and y of each trace in pixels, in any order; between them it is straight, and
        before the first and after the last it stays at their rows.
    half_width : float, optional
        Distance in y up to which pixels are masked.

    Returns
    -------
    ndarray of bool, shape (ny, nx)
    """
    mask = np.zeros(shape, dtype=bool)
    rows = np.arange(shape[0])[:, np.newaxis]
    for x, y in traces:
        known = np.isfinite(x) & np.isfinite(y)
        if not known.any():
            continue
        x, y = np.asarray(x)[known], np.asarray(y)[known]
        order = np.argsort(x)
        centre = np.interp(np.arange(shape[1]), x[order], y[order])
        mask |= (rows >= np.floor(centre - half_width)) & (rows <= np.ceil(centre + half_width))
    return mask
