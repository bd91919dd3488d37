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
    ra, dec, roll, scale = np.radians(np.array(found, dtype=float)).T
    shift = np.hypot(_turn(ra - ra[0]) * np.cos(dec[0]), dec - dec[0]) / scale[0]
    half_diagonal = np.hypot(*exposures[0].data.shape) / 2
    return float(max(shift.max(), np.abs(_turn(roll - roll[0])).max() * half_diagonal))


def _turn(angle):
    """Bring an angle between -pi and pi."""
    return (angle + np.pi) % (2 * np.pi) - np.pi


def _pointing(exposure):
    """RA, Dec, roll angle and pixel scale in degrees; None if one is not known."""
    if exposure.model is None:
        header = exposure.header
        area = header.get("PIXAR_A2")
        values = [header.get(keyword) for keyword in ("RA_REF", "DEC_REF", "ROLL_REF", "CDELT2")]
    else:
        meta = exposure.model.meta
        area = meta.photometry.pixelarea_arcsecsq
        values = [getattr(meta.wcsinfo, name) for name in ("ra_ref", "dec_ref", "roll_ref")]
        values.append(meta.wcsinfo.cdelt2)
    if area:
        values[3] = np.sqrt(area) / 3600
    return None if None in values or not values[3] else values
