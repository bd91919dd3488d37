"""The illumination that darks follow: when it ended, and the charge that it left in each pixel."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from astropy.io import fits

from crsteps.datamodels.dark_companions import find_companion
from crsteps.datamodels.dark_exposure import DarkExposure
from crsteps.datamodels.dark_files import open_dark
from crsteps.datamodels.fits_files import open_fits
from crsteps.datamodels.jwst_keywords import modified_julian_date
from crsteps.datamodels.persistence_inputs import (
    DAY,
    ExposureTiming,
    exposure_timing,
    fluence_of_dark,
)
from crsteps.errors import CrstepsInputError
from crsteps.persistence.exposure_stimuli import fluence_of_ramp, fluence_of_rate
from crsteps.persistence.group_charge import GroupTimes

__all__ = ["Illumination", "open_illumination"]

_ELECTRONS = ("E-", "E", "ELECTRON", "ELECTRONS", "PHOTOELECTRON")
_MJD_ZERO = datetime(1858, 11, 17, tzinfo=UTC)
_DO_NOT_USE, _SATURATED = 1, 2  # of JWST's flags


@dataclass(frozen=True)
class Illumination:
    """
    What the darks follow.

    Attributes
    ----------
    end : float
        End in s on the clock.
    level : float or None
        Charge in e- that is the same in all pixels.
    path : str or None
        File of the exposure, or of an image of its charge.
    layout : {"none", "number", "fluence", "image", "cube"}
        What is known: nothing, a number, an image of the charge in e-, an image of an exposure
        (NISP, plain FITS, JWST rate), or rateints or ramps of JWST.
    exposure : DarkExposure or None
        Of an image.
    timing : ExposureTiming or None
        Of NISP and JWST.
    """

    end: float
    level: float | None = None
    path: str | None = None
    layout: str = "none"
    exposure: DarkExposure | None = None
    timing: ExposureTiming | None = None

    @property
    def name(self):
        """What it is, for the log and the meta data of the reference."""
        if self.layout == "number":
            return f"{self.level:g} e-"
        return Path(self.path).name if self.path else "unknown"

    def check(self, detectors):
        """
        Refuse an image that does not go with the darks.

        Parameters
        ----------
        detectors : dict of tuple
            Shape (ny, nx) by name of the detector.

        Raises
        ------
        CrstepsInputError
            If a detector is missing, or has another shape.
        """
        for name, shape in detectors.items():
            if self.layout == "fluence":
                find_companion(self.path, name, shape=shape, what="illumination")
            elif self.layout == "image":
                self._check_shape(name, shape, self.exposure.detectors, self.exposure.shape)
            elif self.layout == "cube":
                with open_fits(self.path) as hdus:
                    own = str(hdus[0].header.get("DETECTOR") or "IMAGE").strip()
                    found = tuple(hdus["SCI"].shape[-2:])
                self._check_shape(name, shape, (own,), lambda _, found=found: found)

    def _check_shape(self, name, shape, detectors, shape_of):
        if name not in detectors:
            raise CrstepsInputError(
                f"illumination: {self.path} has {', '.join(detectors)} and not {name}: give an "
                "exposure of the same detectors, or leave this one out of detectors."
            )
        if tuple(shape_of(name)) != tuple(shape):
            raise CrstepsInputError(
                f"illumination: {name} has the shape {tuple(shape_of(name))} in {self.path} and "
                f"{tuple(shape)} in the darks: give an exposure of the same shape."
            )

    def fluence(self, detector, *, shape, gain, offset):
        """
        Charge of each pixel at the end of the illumination.

        Parameters
        ----------
        detector : str
            Name of the detector.
        shape : tuple of int
            Shape (ny, nx) of its darks.
        gain : float
            Electrons per unit of the data.
        offset : float
            Value of the data of an exposure without signal.

        Returns
        -------
        ndarray of float32, shape (ny, nx), or None
            Charge in e-; infinite where saturated, NaN where not known. None if nothing is known.
        """
        if self.layout == "none":
            return None
        if self.layout == "number":
            return np.full(shape, self.level, np.float32)
        if self.layout == "fluence":
            stored = find_companion(self.path, detector, shape=shape, what="illumination")
            with stored.open() as stream:
                return stored.values(stream)
        if self.layout == "cube":
            return self._largest_of_integrations(gain)
        image = self.exposure.read(detector)
        if self.exposure.kind == "nisp" and self.timing is not None:
            return fluence_of_dark(image, self.timing, electrons_per_adu=gain, offset=offset)
        duration = self.timing.duration if self.exposure.kind == "jwst" else 1.0
        return fluence_of_rate(
            (image.data - np.float32(offset)) * np.float32(gain),
            duration=duration,
            saturated=image.saturated,
            unusable=image.missing & ~image.saturated,
        )

    def _largest_of_integrations(self, gain):
        """Charge of ramps or rateints of JWST, one integration after the other."""
        times = GroupTimes.regular(**self.timing.frames)
        with open_fits(self.path) as hdus:
            data = hdus["SCI"].data
            names = [hdu.name for hdu in hdus]
            flags = hdus["GROUPDQ" if data.ndim == 4 else "DQ"].data if len(names) > 2 else None
            bad = np.zeros(data.shape[-2:], bool)
            if "PIXELDQ" in names:
                bad |= (hdus["PIXELDQ"].data & _DO_NOT_USE) != 0
            largest = np.full(data.shape[-2:], np.nan, np.float32)
            for number, part in enumerate(data):
                charge = np.asarray(part, np.float32) * np.float32(gain)
                own = np.zeros(part.shape, np.uint8) if flags is None else flags[number]
                masks = {
                    "saturated": (own & _SATURATED) != 0,
                    "unusable": ((own & _DO_NOT_USE) != 0) & ((own & _SATURATED) == 0) | bad,
                }
                if charge.ndim == 3:
                    masks = {name: mask[np.newaxis] for name, mask in masks.items()}
                    fluence = fluence_of_ramp(charge[np.newaxis], times=times, **masks)
                else:
                    fluence = fluence_of_rate(charge, duration=self.timing.duration, **masks)
                np.fmax(largest, fluence, out=largest)
        return largest


def open_illumination(given, end=None):
    """
    Find out when the illumination ended, and what is known of its charge.

    Parameters
    ----------
    given : str, float or None
        Path of an exposure (NISP, JWST, plain FITS) or of an image of the charge (BUNIT electron),
        a charge in e-, or None.
    end : str or float, optional
        End as modified Julian date or as date and time (ISO 8601, UTC); by default the end of the
        exposure.

    Returns
    -------
    Illumination

    Raises
    ------
    CrstepsInputError
        If the end is not known, or the file cannot be understood.
    """
    end = None if end in (None, "") else _clock(end)
    level = _number(given)
    if given in (None, "") or level is not None:
        if end is None:
            raise CrstepsInputError(
                "illumination_end is not set: give the end of the illumination that the darks "
                "follow (modified Julian date, or date and time in UTC), or its exposure as "
                "illumination."
            )
        if level is None:
            return Illumination(end)
        if not (np.isfinite(level) and level > 0):
            raise CrstepsInputError(
                f"illumination = {given} is no charge (e-): give a positive number or a file."
            )
        return Illumination(end, level=level, layout="number")
    path = str(given)
    layout, timing_known, exposure = _layout(path)
    found = Illumination(0.0 if end is None else end, path=path, layout=layout, exposure=exposure)
    if layout == "cube" or timing_known:
        timing = exposure_timing(path)
        return replace(found, timing=timing, end=timing.end if end is None else end)
    return found if end is not None else replace(found, end=_end_of_header(path))


def _layout(path):
    """What a file holds, whether its groups are told, and the opened exposure."""
    with open_fits(path) as hdus:
        images = [hdu for hdu in hdus if hdu.is_image and hdu.shape]
        units = {str(hdu.header.get("BUNIT", "")).strip().upper() for hdu in images}
        units |= {str(hdus[0].header.get("BUNIT", "")).strip().upper()}
        jwst = str(hdus[0].header.get("TELESCOP", "")).strip().upper() == "JWST"
        deep = any(hdu.name == "SCI" and len(hdu.shape) > 2 for hdu in images)
    if units & set(_ELECTRONS):
        return "fluence", False, None
    if jwst and deep:
        return "cube", True, None
    exposure = open_dark(path, quality="none")
    timed = exposure.kind == "jwst" or (exposure.kind == "nisp" and exposure.macc is not None)
    return "image", timed, exposure


def _end_of_header(path):
    """End of a file of which the readout is not told: start and duration."""
    header = fits.Header()
    with open_fits(path) as hdus:
        for hdu in hdus:
            header.extend(hdu.header.cards, unique=True)
    if header.get("MJD-END") is not None:
        return modified_julian_date(path, "MJD-END", header["MJD-END"]) * DAY
    start = header.get("MJD-OBS", header.get("MJD"))
    duration = _number(header.get("EXPTIME"))
    if start is None or duration is None:
        raise CrstepsInputError(
            f"illumination: {path} does not say when it ended (MJD-OBS and EXPTIME, or MJD-END): "
            "set illumination_end."
        )
    return modified_julian_date(path, "MJD-OBS", start) * DAY + duration


def _clock(end):
    """Seconds on the clock of a modified Julian date or of date and time."""
    mjd = _number(end)
    if mjd is None:
        try:
            moment = datetime.fromisoformat(str(end).strip().rstrip("Z"))
        except ValueError:
            raise CrstepsInputError(
                f"illumination_end = {end} is neither a modified Julian date nor a date and time "
                "such as 2025-06-01T09:03:51.5: correct it."
            ) from None
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        mjd = (moment - _MJD_ZERO).total_seconds() / DAY
    return modified_julian_date("illumination_end", "MJD", mjd) * DAY


def _number(value):
    """Turn a text or number into a float; None if it is none."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
