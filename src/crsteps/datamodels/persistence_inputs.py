"""
When the pixels of an exposure were reset and read, from JWST files and models and NISP darks.

Times are seconds on the clock of a persistence history: modified Julian date times 86400. All
pixels are taken to be reset together, with the last pixel of a reset frame. The others are reset up
to a frame earlier, in the exposure as in the stimulus before it, so that the time between the two
is right for every pixel.

JWST: an exposure begins (EXPSTART) with NRSTSTRT reset frames; the first integration is reset at
their end, and its first frame is read a frame (TFRAME) later. An integration reads or drops
``DRPFRMS1 + NGROUPS NFRAMES + (NGROUPS - 1) GROUPGAP`` frames; DRPFRMS3 frames and NRESETS reset
frames lie between two. This is how the keyword DURATION is defined in JWST's keyword dictionary,
and TFRAME times these numbers is what DURATION and EXPEND - EXPSTART are in files of NIRSpec. Where
there is a table INT_TIMES, an integration ends at its ``int_end_MJD_UTC``.

NISP: the time of the header (MJD-OBS, else DATE-OBS) is taken for the reset; the first frame is
read one frame later, and a readout of NG groups has ``NG NR + (NG - 1) ND`` frames.
"""

from dataclasses import dataclass

import numpy as np

from crsteps.datamodels.dark_exposure import DarkExposure
from crsteps.datamodels.dark_headers import exposure_facts
from crsteps.datamodels.dark_layout import is_nisp
from crsteps.datamodels.fits_files import open_fits
from crsteps.datamodels.inputs import is_path, model_name
from crsteps.detector.macc import PHOTOMETRIC
from crsteps.errors import CrstepsInputError

__all__ = ["DAY", "ExposureTiming", "exposure_start", "exposure_timing", "sort_by_time"]

DAY = 86400.0
"""Seconds of the clock per day of modified Julian date."""

# Keywords of JWST, and where its models have them (core.schema of stdatamodels), under meta.
_ATTRIBUTES = {
    "EXPSTART": "exposure.start_time",
    "MJD-BEG": "exposure.start_time_mjd",
    "EXPEND": "exposure.end_time",
    "MJD-END": "exposure.end_time_mjd",
    "NINTS": "exposure.nints",
    "INTSTART": "exposure.integration_start",
    "INTEND": "exposure.integration_end",
    "NGROUPS": "exposure.ngroups",
    "NFRAMES": "exposure.nframes",
    "GROUPGAP": "exposure.groupgap",
    "DRPFRMS1": "exposure.drop_frames1",
    "DRPFRMS3": "exposure.drop_frames3",
    "NRSTSTRT": "exposure.nresets_at_start",
    "NRESETS": "exposure.nresets_between_ints",
    "TFRAME": "exposure.frame_time",
    "TGROUP": "exposure.group_time",
    "SSTR_NST": "subarray.num_superstripe",
    "MSTR_RD2": "subarray.multistripe_reads2",
}
# What exposures of JWST have, as a rule, and is assumed of those that do not say.
_USUAL = {"DRPFRMS1": 0, "DRPFRMS3": 0, "NRSTSTRT": 1, "NRESETS": 1}
# Modified Julian dates between 1900 and 2100; others are no dates of exposures.
_FIRST_DAY, _LAST_DAY = 15020.0, 88069.0


@dataclass(frozen=True)
class ExposureTiming:
    """
    When the pixels of an exposure were reset and read.

    Attributes
    ----------
    source : str
        Name of the file or model.
    resets : ndarray
        Reset before each integration in s on the clock, float64, (n_integrations,), increasing.
    n_groups, n_frames, n_drops, n_first_drops : int
        Groups of an integration, frames averaged in each, frames left out between two groups and
        before the first.
    frame_time : float
        Seconds from one frame to the next; the first frame is read that long after the reset.
    warnings : tuple of str
        A sentence about each thing that was assumed, to be logged.
    """

    source: str
    resets: np.ndarray
    n_groups: int
    n_frames: int
    n_drops: int
    n_first_drops: int
    frame_time: float
    warnings: tuple = ()

    @property
    def frames(self):
        """Readout as the arguments of `crsteps.persistence.group_charge.GroupTimes.regular`."""
        return {
            "n_groups": self.n_groups,
            "frame_time": self.frame_time,
            "n_frames": self.n_frames,
            "n_drops": self.n_drops,
            "n_first_drops": self.n_first_drops,
        }

    @property
    def duration(self):
        """Seconds from the reset to the last frame of an integration."""
        groups = self.n_groups * self.n_frames + (self.n_groups - 1) * self.n_drops
        return (self.n_first_drops + groups) * self.frame_time

    @property
    def start(self):
        """First reset in s on the clock."""
        return float(self.resets[0])

    @property
    def end(self):
        """Last frame in s on the clock, after which the pixels are reset: the stimulus ends."""
        return float(self.resets[-1]) + self.duration


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
        return _jwst_timing(_ModelFacts(exposure))
    with open_fits(exposure) as hdus:
        header = hdus[0].header.copy()
        if is_nisp(hdus):
            facts = exposure_facts(exposure, "nisp", header)
            return _nisp_timing(str(exposure), facts, header.get("FRTIME"))
        return _jwst_timing(_HeaderFacts(str(exposure), hdus))


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
        return _jwst_start(_ModelFacts(exposure))
    with open_fits(exposure) as hdus:
        if is_nisp(hdus):
            return _nisp_start(exposure, exposure_facts(exposure, "nisp", hdus[0].header).mjd)
        return _jwst_start(_HeaderFacts(str(exposure), hdus))


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


class _ModelFacts:
    """Keywords of a JWST model."""

    def __init__(self, model):
        if not hasattr(model, "meta"):
            raise CrstepsInputError(
                f"An input of type {type(model).__name__} has no times: give a path, a JWST model "
                "or a NISP dark."
            )
        self._model = model
        self.source = model_name(model)
        self.shape = np.shape(getattr(model, "data", None))

    def get(self, keyword):
        value = self._model.meta
        for name in _ATTRIBUTES[keyword].split("."):
            value = getattr(value, name, None)
        return value

    def int_times(self):
        table = getattr(self._model, "int_times", None)
        return None if table is None or not len(table) else np.asarray(table)


class _HeaderFacts:
    """Keywords of a JWST file."""

    def __init__(self, source, hdus):
        self.source = source
        self._header = hdus[0].header.copy()
        images = [hdu for hdu in hdus if hdu.name == "SCI" and hdu.is_image]
        if images:
            self._header.extend(images[0].header.cards, unique=True)
        self.shape = images[0].shape if images else ()
        tables = [hdu for hdu in hdus if hdu.name == "INT_TIMES" and not hdu.is_image]
        self._table = np.array(tables[0].data) if tables else None

    def get(self, keyword):
        return self._header.get(keyword)

    def int_times(self):
        return None if self._table is None or not len(self._table) else self._table


def _jwst_timing(facts):
    """Timing of an exposure of JWST."""
    if _optional(facts, "SSTR_NST", 0) or _optional(facts, "MSTR_RD2", 0):
        raise CrstepsInputError(
            f"{facts.source} was read in stripes (MSTR_RD2, SSTR_NST), whose rows have different "
            "times; persistence of such exposures is not known: leave it out."
        )
    start = _jwst_start(facts)
    missing = [keyword for keyword in _USUAL if facts.get(keyword) is None]
    n_groups, n_frames = _count(facts, "NGROUPS", 1), _count(facts, "NFRAMES", 1)
    n_drops = _count(facts, "GROUPGAP", 0)
    if len(facts.shape) == 4 and facts.shape[1] != n_groups:
        raise CrstepsInputError(
            f"{facts.source}: NGROUPS is {n_groups}, but the data have {facts.shape[1]} groups; "
            "correct the keyword."
        )
    timing = ExposureTiming(
        source=facts.source,
        resets=np.array([start]),
        n_groups=n_groups,
        n_frames=n_frames,
        n_drops=n_drops,
        n_first_drops=_count(facts, "DRPFRMS1", 0),
        frame_time=_frame_time(facts, n_frames + n_drops),
    )
    first, number = _integrations(facts)
    resets = _resets_of_table(facts, timing, first, number)
    if resets is None:
        resets = _resets_of_keywords(facts, timing, first, number)
    assumed = [f"{keyword} = {_USUAL[keyword]}" for keyword in missing]
    warnings = [f"{facts.source}: the header does not say, so {', '.join(assumed)} is assumed."]
    warnings = warnings if assumed else []
    timing = _replace(timing, resets, warnings)
    return _replace(timing, resets, [*warnings, *_doubts(facts, timing, start)])


def _replace(timing, resets, warnings):
    return ExposureTiming(**{**vars(timing), "resets": resets, "warnings": tuple(warnings)})


def _jwst_start(facts):
    """Start of an exposure of JWST, before its reset frames."""
    for keyword in ("EXPSTART", "MJD-BEG"):
        if facts.get(keyword) is not None:
            return _mjd(facts.source, keyword, facts.get(keyword)) * DAY
    raise CrstepsInputError(
        f"{facts.source} does not say when it began (EXPSTART): set the keyword, or leave this "
        "exposure out."
    )


def _integrations(facts):
    """Number of the first integration of a file in its exposure, from 0, and how many it holds."""
    total = _count(facts, "NINTS", 1)
    first = _optional(facts, "INTSTART", 1)
    last = _optional(facts, "INTEND", total)
    number = int(last) - int(first) + 1
    held = facts.shape[0] if len(facts.shape) >= 3 else number
    if not (first >= 1 and number >= 1) or held != number:
        raise CrstepsInputError(
            f"{facts.source}: NINTS, INTSTART and INTEND say integrations {first} to {last}, but "
            f"the data have {held}; correct the keywords."
        )
    return int(first) - 1, number


def _resets_of_keywords(facts, timing, first, number):
    between = _count(facts, "DRPFRMS3", 0) + _count(facts, "NRESETS", 0)
    cycle = timing.duration + between * timing.frame_time
    reset = timing.start + _count(facts, "NRSTSTRT", 0) * timing.frame_time
    return reset + cycle * np.arange(first, first + number)


def _resets_of_table(facts, timing, first, number):
    """Resets from the ends of the integrations in INT_TIMES; None if there is no table."""
    table = facts.int_times()
    if table is None:
        return None
    try:
        numbers, ends = table["integration_number"], table["int_end_MJD_UTC"]
    except (KeyError, ValueError, IndexError):
        raise CrstepsInputError(
            f"{facts.source}: the table INT_TIMES has no integration_number or no int_end_MJD_UTC; "
            "remove the table or mend it."
        ) from None
    wanted = np.isin(numbers, np.arange(first + 1, first + number + 1))
    ends = np.asarray(ends, np.float64)[wanted]
    if ends.size != number:
        raise CrstepsInputError(
            f"{facts.source}: the table INT_TIMES has {ends.size} of the {number} integrations; "
            "remove the table or mend it."
        )
    for end in ends:
        _mjd(facts.source, "int_end_MJD_UTC of INT_TIMES", end)
    resets = ends * DAY - timing.duration
    if resets[0] < timing.start - timing.frame_time or (np.diff(resets) < timing.duration).any():
        raise CrstepsInputError(
            f"{facts.source}: by int_end_MJD_UTC of INT_TIMES an integration of "
            f"{timing.duration:.6g} s began before EXPSTART or before the last one ended; correct "
            "the table, EXPSTART or TFRAME."
        )
    return resets


def _doubts(facts, timing, start):
    """Yield a warning where the end in the header is not that of the last frame."""
    for keyword in ("EXPEND", "MJD-END"):
        if facts.get(keyword) is None:
            continue
        end = _mjd(facts.source, keyword, facts.get(keyword)) * DAY
        if end <= start:
            raise CrstepsInputError(
                f"{facts.source} ended ({keyword}) before it began (EXPSTART): correct one of them."
            )
        whole = _optional(facts, "INTEND", 0) in (0, _optional(facts, "NINTS", 0))
        if whole and abs(end - timing.end) > 2 * timing.frame_time + 1:
            yield (
                f"{facts.source}: the last frame was read {abs(end - timing.end):.1f} s "
                f"{'before' if timing.end < end else 'after'} {keyword}, by its readout pattern; "
                "the readout pattern is believed."
            )
        return


def _frame_time(facts, frames_of_group):
    """TFRAME, else TGROUP shared by its frames."""
    for keyword, number in (("TFRAME", 1), ("TGROUP", frames_of_group)):
        if facts.get(keyword) is not None:
            return _number(facts.source, keyword, facts.get(keyword), above=0) / number
    raise CrstepsInputError(
        f"{facts.source} has no frame time (TFRAME), without which the times of its groups are not "
        "known: set the keyword."
    )


def _count(facts, keyword, lowest):
    """Whole number of a keyword, or the usual one where there is one."""
    value = facts.get(keyword)
    if value is None and keyword in _USUAL:
        return _USUAL[keyword]
    if value is None:
        raise CrstepsInputError(f"{facts.source} has no {keyword}: set the keyword.")
    value = _number(facts.source, keyword, value, above=lowest - 1)
    if value != int(value):
        raise CrstepsInputError(
            f"{facts.source}: {keyword} is {value} and no whole number; correct the keyword."
        )
    return int(value)


def _optional(facts, keyword, default):
    value = facts.get(keyword)
    return default if value is None else _number(facts.source, keyword, value, above=-1)


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
        frame_time=_number(source, "FRTIME", frame_time, above=0),
        warnings=(f"{source}: the header has no FRTIME; {frame_time} s is assumed.",) * assumed,
    )


def _nisp_start(source, mjd):
    if mjd is None:
        raise CrstepsInputError(
            f"{source} does not say when it began (MJD-OBS, DATE-OBS): set one of the keywords, or "
            "leave this exposure out."
        )
    return _mjd(source, "MJD-OBS", mjd) * DAY


def _mjd(source, keyword, value):
    day = _number(source, keyword, value, above=-np.inf)
    if not _FIRST_DAY <= day <= _LAST_DAY:
        raise CrstepsInputError(
            f"{source}: {keyword} is {day}, which is no modified Julian date of an exposure; "
            "correct it."
        )
    return day


def _number(source, keyword, value, *, above):
    """Finite number above another one."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = np.nan
    if isinstance(value, bool) or not (np.isfinite(number) and number > above):
        raise CrstepsInputError(
            f"{source}: {keyword} is {value}, which is impossible; correct the keyword."
        )
    return number
