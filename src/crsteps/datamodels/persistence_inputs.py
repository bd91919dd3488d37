"""
Exposures as persistence sees them: when they were reset and read, and what charge they held.

Files and models of JWST are understood, and darks of NISP; see `crsteps.datamodels.jwst_times` for
the clock and for JWST. Nothing here loads JWST's models.

NISP: the time of the header (MJD-OBS, else DATE-OBS) is taken for the reset; the first frame is
read one frame (FRTIME) later, and a readout of NG groups has ``NG NR + (NG - 1) ND`` frames.
"""

import numpy as np

from crsteps.datamodels.dark_exposure import DarkExposure
from crsteps.datamodels.dark_headers import exposure_facts
from crsteps.datamodels.dark_layout import is_nisp
from crsteps.datamodels.fits_files import open_fits
from crsteps.datamodels.inputs import is_path
from crsteps.datamodels.jwst_keywords import (
    HeaderFacts,
    ModelFacts,
    modified_julian_date,
    positive_number,
)
from crsteps.datamodels.jwst_times import DAY, ExposureTiming, jwst_start, jwst_timing
from crsteps.detector.macc import PHOTOMETRIC
from crsteps.errors import CrstepsInputError

__all__ = [
    "DAY",
    "ExposureTiming",
    "charge_flags",
    "detector_window",
    "exposure_start",
    "exposure_timing",
    "fluence_of_dark",
    "sort_by_time",
]

# Bits of JWST's data-quality flags; not imported, since that loads every datamodel.
_DO_NOT_USE, _SATURATED, _REFERENCE_PIXEL = 1, 2, 1 << 31


def exposure_timing(exposure):
    """
    Find out when the pixels of an exposure were reset and read.

    Parameters
    ----------
    exposure : str, Path, JwstDataModel or DarkExposure
        A FITS file of JWST (ramp, rateints, rate) or NISP, of which only headers and the table
        INT_TIMES are read, an open model of JWST, or a NISP dark that was opened.

    Returns
    -------
    ExposureTiming

    Raises
    ------
    CrstepsInputError
        If a keyword that is needed is missing or impossible; the message names it.
    """
    if isinstance(exposure, DarkExposure):
        if exposure.kind != "nisp":
            return exposure_timing(exposure.source)
        frame_time = exposure.primary_header.get("FRTIME")
        return _nisp_timing(exposure.source, exposure, frame_time)
    if not is_path(exposure):
        return jwst_timing(ModelFacts(exposure))
    with open_fits(exposure) as hdus:
        header = hdus[0].header.copy()
        if is_nisp(hdus):
            facts = exposure_facts(exposure, "nisp", header)
            return _nisp_timing(str(exposure), facts, header.get("FRTIME"))
        return jwst_timing(HeaderFacts(str(exposure), hdus))


def exposure_start(exposure):
    """
    Find out when an exposure began, without the readout that its timing needs.

    Parameters
    ----------
    exposure : str, Path, JwstDataModel or DarkExposure
        As for `exposure_timing`.

    Returns
    -------
    float
        Start in s on the clock, before the reset frames.

    Raises
    ------
    CrstepsInputError
        If the time is missing or impossible; the message names the keyword.
    """
    if isinstance(exposure, DarkExposure):
        return _nisp_start(exposure.source, exposure.mjd)
    if not is_path(exposure):
        return jwst_start(ModelFacts(exposure))
    with open_fits(exposure) as hdus:
        if is_nisp(hdus):
            return _nisp_start(exposure, exposure_facts(exposure, "nisp", hdus[0].header).mjd)
        return jwst_start(HeaderFacts(str(exposure), hdus))


def sort_by_time(exposures):
    """
    Sort exposures by the time at which they began; of files only headers are read.

    Parameters
    ----------
    exposures : list of str, Path, JwstDataModel or DarkExposure
        The exposures, in any order.

    Returns
    -------
    list
        The same items; those that began together stay in their order.

    Raises
    ------
    CrstepsInputError
        If the time of one is missing or impossible; the message names file and keyword.
    """
    return sorted(exposures, key=exposure_start)


def charge_flags(model):
    """
    Tell where the charge of a JWST exposure is saturated and where it is not known.

    Parameters
    ----------
    model : JwstDataModel
        Ramp, rateints or rate.

    Returns
    -------
    saturated : ndarray of bool
        SATURATED; of the shape of the data.
    unusable : ndarray of bool
        DO_NOT_USE or REFERENCE_PIXEL; likewise. Saturated pixels may be among them, since rates of
        saturated pixels are not to be used.
    """
    shape = np.shape(model.data)
    if len(shape) == 4:
        groups = _flagged(model, "groupdq", _DO_NOT_USE, shape)
        pixels = _flagged(model, "pixeldq", _DO_NOT_USE | _REFERENCE_PIXEL, shape[2:])
        return _flagged(model, "groupdq", _SATURATED, shape), groups | pixels
    unusable = _flagged(model, "dq", _DO_NOT_USE | _REFERENCE_PIXEL, shape)
    return _flagged(model, "dq", _SATURATED, shape), unusable


def _flagged(model, name, bits, shape):
    """True where a flag is set; nowhere if the model has no such flags."""
    flags = getattr(model, name, None)
    if flags is None:
        return np.zeros(shape, bool)
    flags = np.asarray(flags)
    return (flags & flags.dtype.type(bits)) != 0


def detector_window(model):
    """
    Find the pixels of the detector that a JWST exposure shows.

    Parameters
    ----------
    model : JwstDataModel
        Any image, cube or ramp.

    Returns
    -------
    tuple of slice
        Rows and columns, from 0, by SUBSTRT2 and SUBSTRT1; those of the data if these are not set.
    """
    ny, nx = np.shape(model.data)[-2:]
    first = (getattr(model.meta.subarray, name, None) or 1 for name in ("ystart", "xstart"))
    y, x = (int(start) - 1 for start in first)
    return slice(y, y + ny), slice(x, x + nx)


def fluence_of_dark(image, timing, *, electrons_per_adu, offset=0.0):
    """
    Charge of each pixel at the end of an exposure of NISP.

    Parameters
    ----------
    image : crsteps.datamodels.dark_exposure.DarkImage
        One detector; its signal is the charge from the first group to the last.
    timing : ExposureTiming
        When it was read.
    electrons_per_adu : float
        Electrons in a unit of the data.
    offset : float
        Value of the data without signal.

    Returns
    -------
    ndarray of float32, shape (ny, nx)
        Charge in e-, as if the light had been steady from the reset to the last frame; infinite
        where saturated, NaN where missing and in the reference border.
    """
    groups = (timing.n_groups - 1) * (timing.n_frames + timing.n_drops)
    scale = electrons_per_adu * timing.duration / (groups * timing.frame_time)
    fluence = (image.data - np.float32(offset)) * np.float32(scale)
    fluence[image.saturated] = np.inf
    fluence[(image.missing & ~image.saturated) | image.reference] = np.nan
    return fluence


def _nisp_timing(source, facts, frame_time):
    """Timing of an exposure of NISP from what its headers say."""
    start = _nisp_start(source, facts.mjd)
    if facts.macc is None:
        raise CrstepsInputError(
            f"{source} does not say how it was read (NG, NR, ND): set these keywords to the "
            "numbers of groups, frames and drops."
        )
    assumed = frame_time is None
    if assumed:
        frame_time = PHOTOMETRIC.frame_time
    n_groups, n_frames, n_drops = facts.macc
    return ExposureTiming(
        source=str(source),
        resets=np.array([start]),
        n_groups=n_groups,
        n_frames=n_frames,
        n_drops=n_drops,
        n_first_drops=0,
        frame_time=positive_number(source, "FRTIME", frame_time),
        warnings=(f"{source}: the header has no FRTIME; {frame_time} s is assumed.",) * assumed,
    )


def _nisp_start(source, mjd):
    if mjd is None:
        raise CrstepsInputError(
            f"{source} does not say when it began (MJD-OBS, DATE-OBS): set one of the keywords, or "
            "leave this exposure out."
        )
    return modified_julian_date(source, "MJD-OBS", mjd) * DAY
