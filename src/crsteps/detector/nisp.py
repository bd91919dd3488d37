"""The focal plane of Euclid's NISP: detectors, output channels, orientation and position.

Sixteen H2RG arrays of 2048x2048 pixels in a grid of four by four, named DETxy after row x and
column y, both from 1. In the view of the focal plane used by the instrument team the rows 41..44
are on top and 11..14 at the bottom.
"""

import re

import numpy as np

DETECTORS = tuple(f"DET{row}{column}" for row in range(1, 5) for column in range(1, 5))
"""Names of the sixteen detectors, row by row."""

FULL = 2048
"""Pixels along a side of a detector, with its reference pixels."""

BORDER = 4
"""Width of the border of reference pixels [pixel]."""

N_OUTPUTS = 32
"""Outputs of a detector, each reading 64 columns."""

PIXEL_PITCH = 18e-4
"""Distance of neighbouring pixels [cm]."""

GAIN = 0.52
"""Gain of the readout in the sense used for NISP [ADU/e-]."""

ELECTRONS_PER_ADU = 1.95
"""Electrons per ADU as used by the instrument team with astroscrappy; 1/GAIN is 1.92."""

GAPS_MM = (3.0, 6.0)
"""
Gaps between the active areas of neighbouring detectors along a row and along a column [mm].

An approximation: a field of view of 0.763 by 0.722 deg (Euclid Collaboration: Scaramella et al.
2022, A&A 662, A112) that holds 4 x 2040 pixels of 0.3 arcsec leaves gaps of 100 and of 50 arcsec,
which are 6.0 and 3.0 mm at 18 um per pixel. That the wider ones are between the rows is assumed,
and shifts and turns of single detectors are left out: positions are for figures and maps of
counts, not for astrometry.
"""

_NAME = re.compile(r"DET([1-4])([1-4])")


def row_and_column(name):
    """
    Place of a detector in the grid.

    Parameters
    ----------
    name : str
        Name such as ``"DET23"``.

    Returns
    -------
    row, column : int
        Both from 1; row 4 is on top, column 1 on the left of the focal-plane view.

    Raises
    ------
    ValueError
        If it is not the name of a NISP detector.
    """
    match = _NAME.fullmatch(str(name))
    if not match:
        raise ValueError(f"{name!r} is not a NISP detector: those are DET11 to DET44.")
    return int(match[1]), int(match[2])


def is_rotated(name):
    """
    Tell whether a detector is mounted upside down.

    Parameters
    ----------
    name : str
        Name such as ``"DET23"``.

    Returns
    -------
    bool
        True for DET3x and DET4x, whose pixel (0, 0) is at the lower right of the focal-plane view;
        that of the others is at the upper left.

    Raises
    ------
    ValueError
        If it is not the name of a NISP detector.
    """
    return row_and_column(name)[0] >= 3


def orient(image, name):
    """
    Turn an image of a detector as it is seen on the focal plane.

    Parameters
    ----------
    image : ndarray (ny, nx, ...)
        Image with pixel (0, 0) first, as stored.
    name : str
        Name of the detector.

    Returns
    -------
    ndarray (ny, nx, ...)
        A view to be drawn with its first row on top (``origin="upper"``): turned by 180 degrees for
        DET3x and DET4x, unchanged for the others.

    Raises
    ------
    ValueError
        If it is not the name of a NISP detector.
    """
    return image[::-1, ::-1] if is_rotated(name) else image[:]


def focal_plane_position(name, x, y, *, shape):
    """
    Position of pixels on the focal plane.

    Parameters
    ----------
    name : str
        Name of the detector.
    x, y : array_like
        Pixel coordinates, 0-based, integers at the centres of pixels.
    shape : tuple of int
        Shape (ny, nx) of the image in which `x` and `y` count. It is centred on the detector: right
        for whole detectors with or without their reference border.

    Returns
    -------
    x_mm, y_mm : ndarray float64
        Millimetres to the right of and above the centre of the focal plane, in the view in which
        DET41 to DET44 are on top. See `GAPS_MM` for how good they are.

    Raises
    ------
    ValueError
        If it is not the name of a NISP detector.
    """
    row, column = row_and_column(name)
    pitch_mm = 10 * PIXEL_PITCH
    active = (FULL - 2 * BORDER) * pitch_mm
    turned = -1 if is_rotated(name) else 1
    # the first row of a detector that is not turned is on top
    right = turned * (np.asarray(x, float) - (shape[1] - 1) / 2) * pitch_mm
    up = -turned * (np.asarray(y, float) - (shape[0] - 1) / 2) * pitch_mm
    return (
        right + (column - 2.5) * (active + GAPS_MM[0]),
        up + (row - 2.5) * (active + GAPS_MM[1]),
    )


def output_channel(x, *, width, n_outputs=N_OUTPUTS):
    """
    Output channel that reads a column.

    Parameters
    ----------
    x : array_like
        Column, 0-based; a fractional position (a centroid) is taken to the nearest column.
    width : int
        Number of columns of the image.
    n_outputs : int, optional
        Number of outputs, which share the columns equally.

    Returns
    -------
    ndarray of int16
        Channel from 0 to ``n_outputs - 1``. An image of 2040 columns is a NISP detector without its
        reference border: its first column is the fifth of the first of 32 channels.

    Raises
    ------
    ValueError
        If there are no columns or outputs, or a column is outside of the image.
    """
    if width < 1 or n_outputs < 1:
        raise ValueError(f"width = {width} and n_outputs = {n_outputs} must be positive.")
    column = np.floor(np.asarray(x, float) + 0.5).astype(np.int64)
    if column.size and (column.min() < 0 or column.max() >= width):
        raise ValueError(f"A column is outside of the image of {width} columns.")
    if width == FULL - 2 * BORDER and n_outputs == N_OUTPUTS:
        column, width = column + BORDER, FULL
    return (column * n_outputs // width).astype(np.int16)


def reference_border(shape):
    """
    Reference pixels of an image.

    Parameters
    ----------
    shape : tuple of int
        Shape (ny, nx) of the image.

    Returns
    -------
    ndarray (ny, nx) bool
        True in the border of 4 pixels of a whole detector, 2048x2048. Images of any other shape
        have no reference pixels that could be told from their size.
    """
    border = np.zeros(shape, bool)
    if tuple(shape) == (FULL, FULL):
        border[:BORDER] = border[-BORDER:] = True
        border[:, :BORDER] = border[:, -BORDER:] = True
    return border
