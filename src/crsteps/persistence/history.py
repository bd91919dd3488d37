"""Which exposures lit the pixels of a detector, and when: the history that persistence comes from.

The order in which stimuli are added does not matter, since they are sorted by time; what does
matter is that an exposure is corrected after all earlier ones were added, and before any were
forgotten that it shows. `History` keeps track of that and refuses what would give another answer.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from crsteps.persistence.sparse_stimulus import (
    EARLIEST,
    Stimulus,
    StimulusDecay,
    check_pixels,
    stimulus_of,
)

__all__ = ["CLOCK_TOLERANCE", "Corrected", "History", "Stimulus", "StimulusDecay", "stimulus_of"]

CLOCK_TOLERANCE = 1.0
"""Seconds by which an exposure may seem to begin before the one before it ended: times of start
and end are rounded, and come from different clocks in some headers."""

# Pixels of a stimulus that are looked at together.
_PIECE = 2**16


@dataclass(frozen=True)
class Corrected:
    """
    An exposure from which the persistence of this history was taken off.

    Attributes
    ----------
    source : str
        Name of the exposure.
    start : float
        First reset of the exposure in s on the clock of the history.
    """

    source: str
    start: float


@dataclass(frozen=True)
class History:
    """
    Stimuli of one detector in the order of time.

    Attributes
    ----------
    detector : str
        Name of the detector.
    shape : tuple of int
        Shape (ny, nx) of its images.
    stimuli : tuple of Stimulus
        By time; exposures that end at the same time by name.
    corrected : tuple of Corrected
        Exposures that were corrected with what was known then.
    forgotten_until : float
        Time in s on the clock of the history: what was too weak for exposures that begin then or
        later is no longer in it.
    """

    detector: str
    shape: tuple[int, int]
    stimuli: tuple[Stimulus, ...] = ()
    corrected: tuple[Corrected, ...] = ()
    forgotten_until: float = -np.inf

    def add(self, stimulus):
        """
        Add a stimulus.

        Parameters
        ----------
        stimulus : Stimulus
            What an exposure of this detector left.

        Returns
        -------
        History
            With the stimulus; the same if it is known already, whole or what is left of it.

        Raises
        ------
        ValueError
            If the stimulus is not one of this detector or has no time, if another one has the same
            source, or if an exposure that began later was corrected already: that correction lacks
            this stimulus.
        """
        _check_stimulus(stimulus, self.shape)
        for known in self.stimuli:
            if known.source != stimulus.source:
                continue
            if stimulus.contains(known):
                return self
            raise ValueError(
                f"{stimulus.source} is in the history already with other times or fluences: "
                "process it with the same parameters, or begin a new history"
            )
        later = [c for c in self.corrected if _ended_by(stimulus.end, c.start)]
        if later and len(stimulus.pixels):
            raise ValueError(
                f"{stimulus.source} ended before {later[0].source} began, which was corrected "
                "without it: process exposures in the order of time, or all together"
            )
        stimuli = sorted((*self.stimuli, stimulus), key=lambda s: (s.end, s.source))
        return replace(self, stimuli=tuple(stimuli))

    def record(self, source, start):
        """
        Record that an exposure was corrected.

        Parameters
        ----------
        source : str
            Name of the exposure.
        start : float
            Its first reset in s on the clock of the history.

        Returns
        -------
        History
        """
        others = [c for c in self.corrected if c.source != source]
        corrected = sorted((*others, Corrected(source, start)), key=lambda c: (c.start, c.source))
        return replace(self, corrected=tuple(corrected))

    def before(self, start):
        """
        Find the stimuli that an exposure may show.

        Parameters
        ----------
        start : float
            First reset of the exposure in s on the clock of the history.

        Returns
        -------
        tuple of Stimulus
            Those that had ended by then, or within `CLOCK_TOLERANCE` after it.

        Raises
        ------
        ValueError
            If the time is not finite, or parts of the history were forgotten that the exposure may
            show.
        """
        if not np.isfinite(start):
            raise ValueError("the exposure has no start: its time is missing")
        if start < self.forgotten_until:
            raise ValueError(
                f"the exposure began {self.forgotten_until - start:.0f} s before the time for "
                "which the history was shortened: use an older copy of the history, or process "
                "all exposures together"
            )
        return tuple(s for s in self.stimuli if _ended_by(s.end, start))

    def decays(self, model, start, *, channels=None):
        """
        Persistence that an exposure may show.

        Parameters
        ----------
        model : PersistenceModel
            How the pixels remember. What is below its forgetting rate when the exposure begins is
            left out, so that a history says the same before and after `forgotten`.
        start : float
            First reset of the exposure in s on the clock of the history.
        channels : array_like of int, optional
            Channel of each pixel, as for `PersistenceModel.decay`.

        Returns
        -------
        tuple of StimulusDecay
            One for each stimulus that had ended, in the order of time. They hold no images: give
            them to the correction as they are.

        Raises
        ------
        ValueError
            As for `before`.
        """
        return tuple(
            StimulusDecay(s, model, self.shape, channels, max(EARLIEST, start - s.end))
            for s in self.before(start)
        )

    def forgotten(self, model, time, *, channels=None):
        """
        Drop what no exposure that begins at a time, or later, will show.

        Parameters
        ----------
        model : PersistenceModel
            How the pixels remember; its forgetting rate decides.
        time : float
            Time in s on the clock of the history.
        channels : array_like of int, optional
            Channel of each pixel, as for `PersistenceModel.decay`.

        Returns
        -------
        History
            With fewer pixels in the stimuli that had ended. Those without a pixel stay as a record.
            Exposures that began earlier are refused from then on.
        """
        stimuli = []
        for stimulus in self.stimuli:
            if _ended_by(stimulus.end, time) and len(stimulus.pixels):
                earliest = max(EARLIEST, time - stimulus.end)
                decay = StimulusDecay(stimulus, model, self.shape, channels, earliest)
                stimulus = _keep(stimulus, [piece.pixels for piece, _ in decay.pieces(_PIECE)])
            stimuli.append(stimulus)
        until = max(float(time), self.forgotten_until)
        return replace(self, stimuli=tuple(stimuli), forgotten_until=until)


def _ended_by(end, start):
    return end <= start + CLOCK_TOLERANCE


def _check_stimulus(stimulus, shape):
    """Refuse what cannot be a stimulus of a detector of this shape."""
    if not np.isfinite(stimulus.end):
        raise ValueError(f"{stimulus.source} has no end: the time of the exposure is missing")
    pixels, fluence = np.asarray(stimulus.pixels), np.asarray(stimulus.fluence)
    check_pixels(stimulus.source, pixels, fluence, lowest=0, shape=shape)


def _keep(stimulus, pieces):
    """Stimulus in some of its pixels; itself if all are kept."""
    pixels = np.concatenate(pieces)
    if len(pixels) == len(stimulus.pixels):
        return stimulus
    place = np.searchsorted(np.asarray(stimulus.pixels), pixels)
    return replace(stimulus, pixels=pixels, fluence=np.asarray(stimulus.fluence)[place])
