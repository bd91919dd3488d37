"""Where exposures point, to tell dithered exposures from equal ones."""

import numpy as np


def pointing_difference(exposures):
    """
    Largest difference between the pointings of JWST exposures.

    Parameters
    ----------
    exposures : sequence of crsteps.datamodels.exposures.Exposure
        Exposures; only JWST ones that say where their reference pixel points are compared, with
        the first of them.

    Returns
    -------
    float
        Displacement in pixels of the reference pixel, or of a corner by rotation, whichever is
        larger; 0 if fewer than two exposures tell.
    """
    found = [_pointing(exposure) for exposure in exposures if exposure.kind == "jwst"]
    found = [values for values in found if values is not None]
    if len(found) < 2:
        return 0.0
    return float(distances(found[0], found, exposures[0].data.shape).max())


def distances(first, pointings, shape):
    """
    Distances of pointings from a first one.

    Parameters
    ----------
    first : sequence of float
        RA, Dec, roll angle and pixel scale in degrees, as `model_pointing` gives them.
    pointings : sequence of sequence of float
        The others.
    shape : tuple of int
        Shape (ny, nx) of the images.

    Returns
    -------
    ndarray of float
        Displacement in pixels of the reference pixel, or of a corner by rotation, whichever is
        larger.
    """
    ra0, dec0, roll0, scale = np.radians(np.array(first, dtype=float))
    ra, dec, roll, _ = np.radians(np.array(pointings, dtype=float)).T
    shift = np.hypot(_turn(ra - ra0) * np.cos(dec0), dec - dec0) / scale
    half_diagonal = np.hypot(*shape) / 2
    return np.maximum(shift, np.abs(_turn(roll - roll0)) * half_diagonal)


def _turn(angle):
    """Bring an angle between -pi and pi."""
    return (angle + np.pi) % (2 * np.pi) - np.pi


def model_pointing(model):
    """
    Pointing of a JWST model.

    Parameters
    ----------
    model : JwstDataModel
        Image, cube or slit.

    Returns
    -------
    list of float or None
        RA, Dec, roll angle and pixel scale in degrees; None if one is not known.
    """
    wcsinfo, photometry = (getattr(model.meta, name, None) for name in ("wcsinfo", "photometry"))
    names = ("ra_ref", "dec_ref", "roll_ref", "cdelt2")
    values = [getattr(wcsinfo, name, None) for name in names]
    return _with_scale(values, getattr(photometry, "pixelarea_arcsecsq", None))


def _pointing(exposure):
    """RA, Dec, roll angle and pixel scale in degrees; None if one is not known."""
    if exposure.model is not None:
        return model_pointing(exposure.model)
    header = exposure.header
    values = [header.get(keyword) for keyword in ("RA_REF", "DEC_REF", "ROLL_REF", "CDELT2")]
    return _with_scale(values, header.get("PIXAR_A2"))


def _with_scale(values, area):
    """Scale from the area of a pixel in square seconds of arc, where it is known."""
    if area:
        values[3] = np.sqrt(area) / 3600
    return None if None in values or not values[3] else values
