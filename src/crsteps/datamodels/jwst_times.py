"""
When the pixels of an exposure were reset and read, by the keywords of JWST.

Times are seconds on the clock of a persistence history: modified Julian date times 86400. All
pixels are taken to be reset together, with the last pixel of a reset frame. The others are reset up
to a frame earlier, in the exposure as in the stimulus before it, so that the time between the two
is right for every pixel.

An exposure begins (EXPSTART) with NRSTSTRT reset frames; the first integration is reset at their
end, and its first frame is read a frame (TFRAME) later. An integration reads or drops
``DRPFRMS1 + NGROUPS NFRAMES + (NGROUPS - 1) GROUPGAP`` frames; DRPFRMS3 frames and NRESETS reset
frames lie between two. This is how the keyword DURATION is defined in JWST's keyword dictionary,
and in exposures of NIRSpec the last frame found in this way is that of EXPEND. Where there is a
table INT_TIMES, an integration ends at its ``int_end_MJD_UTC``.
"""

from dataclasses import dataclass, replace

import numpy as np

from crsteps.datamodels.jwst_keywords import (
    USUAL,
    modified_julian_date,
    optional_number,
    positive_number,
    whole_number,
)
from crsteps.errors import CrstepsInputError

__all__ = ["DAY", "ExposureTiming", "jwst_start", "jwst_timing"]

DAY = 86400.0
"""Seconds of the clock per day of modified Julian date."""


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


def jwst_timing(facts):
    """
    Find out when an exposure of JWST was reset and read.

    Parameters
    ----------
    facts : ModelFacts or HeaderFacts
        Its keywords.

    Returns
    -------
    ExposureTiming

    Raises
    ------
    CrstepsInputError
        If a keyword that is needed is missing or impossible.
    """
    if optional_number(facts, "SSTR_NST", 0) or optional_number(facts, "MSTR_RD2", 0):
        raise CrstepsInputError(
            f"{facts.source} was read in stripes (MSTR_RD2, SSTR_NST), whose rows have different "
            "times; persistence of such exposures is not known: leave it out."
        )
    start = jwst_start(facts)
    n_groups, n_frames = whole_number(facts, "NGROUPS", 1), whole_number(facts, "NFRAMES", 1)
    n_drops = whole_number(facts, "GROUPGAP", 0)
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
        n_first_drops=whole_number(facts, "DRPFRMS1", 0),
        frame_time=_frame_time(facts, n_frames + n_drops),
    )
    first, number = _integrations(facts)
    resets = _resets_of_table(facts, timing, first, number)
    if resets is None:
        resets = _resets_of_keywords(facts, timing, first, number)
    timing = replace(timing, resets=resets)
    return replace(timing, warnings=(*_assumptions(facts), *_doubts(facts, timing, start)))


def jwst_start(facts):
    """
    Find out when an exposure of JWST began.

    Parameters
    ----------
    facts : ModelFacts or HeaderFacts
        Its keywords.

    Returns
    -------
    float
        Start in s on the clock, before the reset frames.

    Raises
    ------
    CrstepsInputError
        If it is missing or impossible.
    """
    for keyword in ("EXPSTART", "MJD-BEG"):
        if facts.get(keyword) is not None:
            return modified_julian_date(facts.source, keyword, facts.get(keyword)) * DAY
    raise CrstepsInputError(
        f"{facts.source} does not say when it began (EXPSTART): set the keyword, or leave this "
        "exposure out."
    )


def _integrations(facts):
    """Number of the first integration of a file in its exposure, from 0, and how many it holds."""
    total = whole_number(facts, "NINTS", 1)
    first = int(optional_number(facts, "INTSTART", 1))
    last = int(optional_number(facts, "INTEND", total))
    number = last - first + 1
    held = facts.shape[0] if len(facts.shape) >= 3 else number
    if not (first >= 1 and number >= 1) or held != number:
        raise CrstepsInputError(
            f"{facts.source}: NINTS, INTSTART and INTEND say integrations {first} to {last}, but "
            f"the data have {held}; correct the keywords."
        )
    return first - 1, number


def _resets_of_keywords(facts, timing, first, number):
    between = whole_number(facts, "DRPFRMS3", 0) + whole_number(facts, "NRESETS", 0)
    cycle = timing.duration + between * timing.frame_time
    reset = timing.start + whole_number(facts, "NRSTSTRT", 0) * timing.frame_time
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
    held = np.arange(first + 1, first + number + 1)
    wanted = np.isin(numbers, held)
    if not np.array_equal(np.asarray(numbers)[wanted], held):
        raise CrstepsInputError(
            f"{facts.source}: the table INT_TIMES does not have the integrations {first + 1} to "
            f"{first + number}, each once and in order; remove the table or mend it."
        )
    ends = np.asarray(ends, np.float64)[wanted]
    for end in ends:
        modified_julian_date(facts.source, "int_end_MJD_UTC of INT_TIMES", end)
    resets = ends * DAY - timing.duration
    tolerance = timing.frame_time / 2
    after_start = resets[0] - timing.start
    if after_start < -tolerance or (np.diff(resets) < timing.duration - tolerance).any():
        raise CrstepsInputError(
            f"{facts.source}: by int_end_MJD_UTC of INT_TIMES an integration of "
            f"{timing.duration:.6g} s began before EXPSTART or before the last one ended; correct "
            "the table, EXPSTART or TFRAME."
        )
    return resets


def _assumptions(facts):
    """Yield a warning if keywords are missing for which the usual value is taken."""
    assumed = [f"{k} = {usual}" for k, usual in USUAL.items() if facts.get(k) is None]
    if assumed:
        yield f"{facts.source}: the header does not say, so {', '.join(assumed)} is assumed."


def _doubts(facts, timing, start):
    """Yield a warning where the end in the header is not that of the last frame."""
    for keyword in ("EXPEND", "MJD-END"):
        if facts.get(keyword) is None:
            continue
        end = modified_julian_date(facts.source, keyword, facts.get(keyword)) * DAY
        if end <= start:
            raise CrstepsInputError(
                f"{facts.source} ended ({keyword}) before it began (EXPSTART): correct one of them."
            )
        whole = optional_number(facts, "INTEND", 0) in (0, optional_number(facts, "NINTS", 0))
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
            return positive_number(facts.source, keyword, facts.get(keyword)) / number
    raise CrstepsInputError(
        f"{facts.source} has no frame time (TFRAME), without which the times of its groups are not "
        "known: set the keyword."
    )
