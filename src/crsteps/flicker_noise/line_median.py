"""Medians of the lines along the fast axis: ``fit_method = "median"`` of the jwst step."""

import numpy as np

from crsteps.flicker_noise.boxes import row_medians


def line_median_image(image, background_mask, *, fast_axis, n_outputs=1):
    """
    Median of the background pixels of every line, as an image of the noise.

    Parameters
    ----------
    image : ndarray of float, shape (ny, nx)
        Image without its background, any unit; not modified.
    background_mask : ndarray of bool, shape (ny, nx)
        True at background pixels; NaN pixels are left out.
    fast_axis : int
        Keyword FASTAXIS, its sign does not matter: lines are rows for 1 and columns for 2. Of MIRI
        the jwst step takes the columns, whatever the keyword says.
    n_outputs : int
        Number of outputs with medians of their own, of equal widths along the fast axis. The jwst
        step has 4 for ``fit_by_channel`` of a full frame of 2048 pixels, and 1 otherwise.

    Returns
    -------
    ndarray of float, shape (ny, nx)
        Noise, of the type of the image; 0 in lines without any background pixel.

    Raises
    ------
    ValueError
        If the mask does not have the shape of the image, or the outputs cannot have equal widths.

    Notes
    -----
    The numbers of ``jwst.clean_flicker_noise.clean_flicker_noise.median_clean``, bit for bit.
    """
    if background_mask.shape != image.shape:
        raise ValueError(
            f"the background mask of shape {background_mask.shape} does not fit the image of shape "
            f"{image.shape}"
        )
    along_rows = abs(fast_axis) == 1
    lines, usable = (image, background_mask) if along_rows else (image.T, background_mask.T)
    n_lines, length = lines.shape
    if length % n_outputs:
        raise ValueError(f"{length} pixels of a line cannot be shared by {n_outputs} outputs")
    blocks = (n_lines, n_outputs, length // n_outputs)
    medians = masked_medians(lines.reshape(blocks), usable.reshape(blocks))
    medians = np.repeat(medians, length // n_outputs, axis=1)
    return medians if along_rows else medians.T


def masked_medians(values, usable):
    """
    Median of the usable values along the last axis.

    Parameters
    ----------
    values : ndarray, shape (..., n)
        Values.
    usable : ndarray of bool, shape (..., n)
        Which of them count; NaN never does.

    Returns
    -------
    ndarray, shape (...)
        Medians in the type of the values, floats at least; 0 where nothing counts.
    """
    usable = usable & ~np.isnan(values)
    medians, n_used = row_medians(values, usable)
    return np.where(n_used > 0, medians, values.dtype.type(0))
