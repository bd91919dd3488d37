"""Darks of a series, from files of NISP and JWST and from plain FITS images: light, for workers.

A dark is an exposure, or an integration of one. Only headers are read here until `SeriesDark.read`
is called for a detector.
"""

from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np

from crsteps.datamodels.dark_exposure import DarkExposure
from crsteps.datamodels.dark_files import open_dark
from crsteps.datamodels.fits_files import open_fits
from crsteps.datamodels.inputs import check_distinct, expand, is_path
from crsteps.datamodels.jwst_keywords import modified_julian_date
from crsteps.datamodels.persistence_inputs import DAY, exposure_timing
from crsteps.errors import CrstepsInputError
from crsteps.persistence.dark_series import DarkTimes
from crsteps.persistence.group_charge import GroupTimes

__all__ = ["SeriesDark", "check_detectors", "dark_times", "open_series", "open_single"]

# Bits of JWST's data-quality flags; not imported, since that loads every datamodel.
_DO_NOT_USE, _SATURATED, _JUMP = 1, 2, 4


@dataclass(frozen=True)
class SeriesDark:
    """
    One dark of a series.

    Attributes
    ----------
    source : str
        Path of the file.
    layout : {"image", "rate", "rateints", "ramp"}
        An image of charges (NISP, plain FITS), or what the file of JWST holds.
    detectors : dict of tuple
        Shape (ny, nx) by name of the detector.
    start : float
        Time in s on the clock of which the frames are told.
    groups : GroupTimes
        Frames of the first and the last group, in s after the start.
    exposure : DarkExposure or None
        Of an image or a rate.
    integration : int
        Which integration, from 0.
    ends : tuple of int
        Of a ramp, the first and the last group that are used.
    gain : float or None
        Gain of the header, e- per unit of the data.
    corner : tuple of int
        Place (y, x) on the detector of the first pixel, by the keywords of a subarray of JWST.
    warnings : tuple of str
        What was assumed.
    """

    source: str
    layout: str
    detectors: dict
    start: float
    groups: GroupTimes
    exposure: DarkExposure | None = None
    integration: int = 0
    ends: tuple = (0, -1)
    gain: float | None = None
    corner: tuple = (0, 0)
    warnings: tuple = field(default=(), compare=False)

    @property
    def begin(self):
        """Time in s on the clock of the first frame."""
        return self.start + float(self.groups.frames[0][0])

    @property
    def end(self):
        """Time in s on the clock of the last frame."""
        return self.start + self.groups.end

    @property
    def is_nisp(self):
        """Whether the file has the layout of NISP, with many detectors."""
        return self.exposure is not None and self.exposure.kind == "nisp"

    def only(self, detector):
        """
        Leave out the other detectors.

        Parameters
        ----------
        detector : str
            Name of the detector.

        Returns
        -------
        SeriesDark
            What is needed to read it, which is quickly sent to another process.
        """
        if self.exposure is None:
            return self
        planes = {detector: self.exposure.planes[detector]}
        return replace(self, exposure=replace(self.exposure, planes=planes))

    def header(self):
        """
        Read the primary header.

        Returns
        -------
        astropy.io.fits.Header
        """
        with open_fits(self.source) as hdus:
            return hdus[0].header.copy()

    @property
    def name(self):
        """Name in messages."""
        number = f" (integration {self.integration + 1})" if self.integration else ""
        return f"{self.source}{number}"

    def read(self, detector, *, max_quality=None):
        """
        Read the signal of a detector.

        Parameters
        ----------
        detector : str
            Name of the detector.
        max_quality : float, optional
            Quality factor above which a pixel of NISP counts as hit; with quality planes of one
            bit, every flagged pixel does.

        Returns
        -------
        ndarray of float32, shape (ny, nx)
            Charge from the first group to the last in units of the data; NaN where it is not known,
            saturated or hit.
        """
        if self.layout in ("rateints", "ramp"):
            return self._read_integration()
        image = self.exposure.read(detector)
        lost = image.missing | image.reference | image.saturated
        if image.quality is not None:
            limit = 0 if image.quality_kind == "bit" or max_quality is None else max_quality
            lost |= image.quality > limit
        signal = image.data
        signal[lost] = np.nan
        if self.layout == "rate":
            signal *= np.float32(self.groups.integration_time)
        return signal

    def _read_integration(self):
        """Signal of an integration of a file of JWST."""
        with open_fits(self.source) as hdus:
            data = hdus["SCI"].data[self.integration]
            if self.layout == "rateints":
                signal = data * np.float32(self.groups.integration_time)
                lost = _flagged(hdus, "DQ", self.integration, data.shape, _SATURATED | _JUMP)
            else:
                first, last = self.ends
                signal = data[last].astype(np.float32) - data[first]
                flags = _flagged(hdus, "GROUPDQ", self.integration, data.shape, _SATURATED | _JUMP)
                lost = flags[first : last + 1].any(axis=0)
                lost |= _flagged(hdus, "PIXELDQ", None, signal.shape, 0)
        signal = np.asarray(signal, np.float32)
        signal[lost] = np.nan
        return signal


def _flagged(hdus, name, integration, shape, bits):
    """Where a plane of flags has one of the bits, or says that the pixel is not to be used."""
    if name not in [hdu.name for hdu in hdus]:
        return np.zeros(shape, bool)
    flags = hdus[name].data if integration is None else hdus[name].data[integration]
    return (flags & (_DO_NOT_USE | bits)) != 0  # as stored: an offset changes the highest bit only


def open_series(given, *, fewest, quality="none", quality_suffix="CHI2", extension=None):
    """
    Open darks and sort them by time; only headers are read.

    Parameters
    ----------
    given : path or list of path
        Files or associations of them.
    fewest : int
        Fewest darks to accept.
    quality, quality_suffix, extension
        As for `crsteps.datamodels.dark_files.open_dark`.

    Returns
    -------
    list of SeriesDark

    Raises
    ------
    CrstepsInputError
        If there are too few, a file is damaged or given twice, times are missing, detectors or
        shapes differ, or two darks were taken at the same time.
    """
    items = expand(given)
    for item in items:
        if not is_path(item):
            raise CrstepsInputError(
                "fit_powerlaw_persistence reads darks from files, one detector at a time: save the "
                f"{type(item).__name__} and give its path."
            )
    check_distinct(items)
    options = {"quality": quality, "quality_suffix": quality_suffix, "extension": extension}
    darks = [dark for item in items for dark in open_single(str(item), **options)]
    if len(darks) < fewest:
        raise CrstepsInputError(
            f"A decay is not fitted to {len(darks)} dark{'s' * (len(darks) != 1)}: give at least "
            f"{fewest} that follow one illumination."
        )
    darks.sort(key=lambda dark: dark.begin)
    for earlier, later in pairwise(darks):
        if later.begin < earlier.end:
            raise CrstepsInputError(
                f"{later.name} begins before {earlier.name} ends: correct the times in their "
                "headers, or leave one out."
            )
    return darks


def check_detectors(darks, wanted=None):
    """
    Find the detectors that all darks have, and hold their shapes against each other.

    Parameters
    ----------
    darks : list of SeriesDark
        The series.
    wanted : sequence of str, optional
        Detectors to take; all of the first dark if None.

    Returns
    -------
    dict of tuple
        Shape (ny, nx) by name of the detector.

    Raises
    ------
    CrstepsInputError
        If a dark does not have a detector, or has it with another shape.
    """
    first = darks[0]
    by_name = {name.upper(): name for name in first.detectors}
    for name in wanted or ():
        if str(name).upper() not in by_name:
            raise CrstepsInputError(
                f"detectors: {first.source} has no {name}; choose from "
                f"{', '.join(first.detectors)}."
            )
    names = [by_name[str(name).upper()] for name in wanted] if wanted else list(first.detectors)
    for dark in darks[1:]:
        for name in names:
            if name not in dark.detectors:
                raise CrstepsInputError(
                    f"{dark.source} has {', '.join(dark.detectors)} and not {name} as "
                    f"{first.source}: give darks of the same detectors."
                )
            if dark.detectors[name] != first.detectors[name]:
                raise CrstepsInputError(
                    f"{name} has the shape {dark.detectors[name]} in {dark.source} and "
                    f"{first.detectors[name]} in {first.source}: give darks of one shape."
                )
    return {name: first.detectors[name] for name in names}


def dark_times(darks, end):
    """
    Times of the darks after the end of the illumination.

    Parameters
    ----------
    darks : list of SeriesDark
        The series.
    end : float
        End of the illumination in s on the clock.

    Returns
    -------
    DarkTimes

    Raises
    ------
    CrstepsInputError
        If a dark begins before.
    """
    for dark in darks:
        if not dark.start > end:
            raise CrstepsInputError(
                f"{dark.name} begins {end - dark.start:.6g} s before the illumination ends: leave "
                "it out, or correct illumination_end."
            )
    delays = np.array([dark.start - end for dark in darks])
    return DarkTimes(delays, tuple(dark.groups for dark in darks))


def open_single(path, *, quality="none", quality_suffix="CHI2", extension=None):
    """
    Open a file, which holds one dark or, of JWST, one for each integration.

    Parameters
    ----------
    path : str
        The file.
    quality, quality_suffix, extension
        As for `crsteps.datamodels.dark_files.open_dark`.

    Returns
    -------
    list of SeriesDark

    Raises
    ------
    CrstepsInputError
        If it is damaged or does not say when it was taken.
    """
    with open_fits(path) as hdus:
        primary = hdus[0].header
        jwst = str(primary.get("TELESCOP", "")).strip().upper() == "JWST"
        shapes = [hdu.shape for hdu in hdus if hdu.name == "SCI" and hdu.is_image]
        name = str(primary.get("DETECTOR") or "IMAGE").strip()
        corner = tuple(int(primary.get(f"SUBSTRT{axis}") or 1) - 1 for axis in (2, 1))
        common = {"source": path, "corner": corner if jwst else (0, 0)}
        if jwst and shapes and len(shapes[0]) > 2:
            return _integrations(hdus, shapes[0], name, common)
    exposure = open_dark(path, quality=quality, quality_suffix=quality_suffix, extension=extension)
    shapes = {name: tuple(exposure.shape(name)) for name in exposure.detectors}
    common |= {"detectors": shapes, "exposure": exposure, "gain": exposure.gain_header}
    if exposure.kind == "fits" or (exposure.kind == "nisp" and exposure.macc is None):
        return [_plain(path, exposure, common)]
    timing = exposure_timing(exposure)
    if timing.resets.size > 1:
        raise CrstepsInputError(
            f"{path} is the mean of {timing.resets.size} integrations, between which the "
            "persistence decays: give the rateints or the ramp."
        )
    groups = _ends(GroupTimes.regular(**timing.frames), path)
    layout = "rate" if exposure.kind == "jwst" else "image"
    return [
        SeriesDark(
            layout=layout, start=timing.start, groups=groups, warnings=timing.warnings, **common
        )
    ]


def _integrations(hdus, shape, name, common):
    """All integrations of a ramp or of rateints."""
    path = common["source"]
    timing = exposure_timing(path)
    times = GroupTimes.regular(**timing.frames)
    layout = "ramp" if len(shape) == 4 else "rateints"
    first, last = 0, timing.n_groups - 1
    if layout == "ramp" and "GROUPDQ" in [hdu.name for hdu in hdus]:
        # steps of stage 1 take whole groups out of use
        flags = hdus["GROUPDQ"].data[0]
        used = np.flatnonzero([np.any(~group & _DO_NOT_USE) for group in flags])
        if used.size:
            first, last = int(used[0]), int(used[-1])
    dark = SeriesDark(
        layout=layout,
        detectors={name: tuple(shape[-2:])},
        start=0.0,
        groups=_ends(times, path, first, last),
        ends=(first, last),
        warnings=timing.warnings,
        **common,
    )
    return [
        replace(dark, start=float(reset), integration=number)
        for number, reset in enumerate(timing.resets)
    ]


def _ends(times, path, first=0, last=-1):
    """First and last group of an integration, between which the signal is collected."""
    if len(times.frames[first:]) < 2 or first == last:
        raise CrstepsInputError(
            f"{path} has one group, which tells no charge collected between two: leave it out."
        )
    return GroupTimes((times.frames[first], times.frames[last]))


def _plain(path, exposure, common):
    """An image whose header gives a start and a duration."""
    if exposure.mjd is None:
        raise CrstepsInputError(
            f"{path} does not say when it began: set MJD-OBS or DATE-OBS in its header."
        )
    if exposure.integration_time is None:
        raise CrstepsInputError(
            f"{path} does not say how long it lasted: set EXPTIME (s) in its header."
        )
    # All charge since the start of the exposure: a first frame just after the reset.
    duration = exposure.integration_time
    start = modified_julian_date(path, "MJD-OBS", exposure.mjd) * DAY
    groups = GroupTimes(([1e-6 * duration], [duration]))
    return SeriesDark(layout="image", start=start, groups=groups, **common)
