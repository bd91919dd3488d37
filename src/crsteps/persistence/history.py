"""Which exposures lit the pixels of a detector, and when: the history that persistence comes from.

A `Stimulus` is kept as fluences, not as amplitudes, so that a better reference file can be used
with an old history. It is sparse: only pixels worth remembering are listed. The order in which
stimuli are added does not matter, since they are sorted by time; what does matter is that an
exposure is corrected after all earlier ones were added, and before any were forgotten that it
shows. `History` keeps track of that and refuses what would give another answer.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from crsteps.persistence.decay import Decay, PersistenceModel

__all__ = ["CLOCK_TOLERANCE", "Corrected", "History", "Stimulus", "StimulusDecay", "stimulus_of"]

CLOCK_TOLERANCE = 1.0
"""Seconds by which an exposure may seem to begin before the one before it ended: times of start
and end are rounded, and come from different clocks in some headers."""

# No exposure begins sooner after a stimulus, so weaker pixels need not be kept.
_EARLIEST = 30.0


@dataclass(frozen=True)
class Stimulus:
    """
    What an exposure left in the pixels of a detector.

    Attributes
    ----------
    source : str
        Name that tells the exposure from all others.
    end : float
        End of the exposure, that is the reset after it, in s on the clock of the history.
    duration : float
        Time in s for which the pixels were exposed.
    pixels : ndarray
        Flat index of each pixel worth remembering, int32 or int64, ascending, (n,). It may be any
        object with a length and slices, such as a variable of a file that is read when needed.
    fluence : ndarray
        Charge of these pixels at the end in e-, float32, (n,); likewise.
    """

    source: str
    end: float
    duration: float
    pixels: np.ndarray
    fluence: np.ndarray

    def contains(self, other):
        """
        Tell whether another stimulus is this one, or what is left of it.

        Parameters
        ----------
        other : Stimulus
            Another stimulus.

        Returns
        -------
        bool
            True if source and times are the same and all pixels of the other are in this one, with
            the same fluence.
        """
        if (self.source, self.end, self.duration) != (other.source, other.end, other.duration):
            return False
        pixels, others = np.asarray(self.pixels), np.asarray(other.pixels)
        if not others.size:
            return True
        place = np.minimum(np.searchsorted(pixels, others), max(pixels.size - 1, 0))
        return (
            others.size <= pixels.size
            and np.array_equal(pixels[place], others)
            and np.array_equal(np.asarray(self.fluence)[place], np.asarray(other.fluence))
        )


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
class StimulusDecay:
    """
    Persistence after a stimulus, worked out for a few of its pixels at a time.

    It takes the place of a `Decay` in a correction and needs no memory of its own.

    Attributes
    ----------
    stimulus : Stimulus
        The stimulus; its arrays are read a slice at a time.
    model : PersistenceModel
        How the pixels remember.
    shape : tuple of int
        Shape (ny, nx) of the detector.
    channels : ndarray or None
        Channel of each pixel, as for `PersistenceModel.decay`.
    earliest : float
        Seconds after the end of the stimulus at which a pixel below the forgetting rate is left
        out.
    """

    stimulus: Stimulus
    model: PersistenceModel
    shape: tuple[int, int]
    channels: np.ndarray | None = None
    earliest: float = _EARLIEST

    @property
    def pixels(self):
        """Flat index of each pixel of the stimulus, with those that `select` leaves out."""
        return self.stimulus.pixels

    @property
    def end(self) -> float:
        """End of the stimulus in s on the clock of the history."""
        return self.stimulus.end

    def select(self, chosen) -> Decay:
        """
        Work out the decay in some pixels.

        Parameters
        ----------
        chosen : slice
            Which of `pixels`.

        Returns
        -------
        decay : Decay
            Those of them that are at the forgetting rate or above.
        """
        return self.model.decay_of_pixels(
            np.asarray(self.stimulus.pixels[chosen]),
            np.asarray(self.stimulus.fluence[chosen]),
            shape=self.shape,
            end=self.stimulus.end,
            channels=self.channels,
            exposure_time=self.stimulus.duration,
            earliest=self.earliest,
        )


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
            StimulusDecay(s, model, self.shape, channels, max(_EARLIEST, start - s.end))
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
                earliest = max(_EARLIEST, time - stimulus.end)
                decay = StimulusDecay(stimulus, model, self.shape, channels, earliest)
                stimulus = _keep(stimulus, decay.select(slice(None)).pixels)
            stimuli.append(stimulus)
        until = max(float(time), self.forgotten_until)
        return replace(self, stimuli=tuple(stimuli), forgotten_until=until)


def stimulus_of(
    fluence, *, model: PersistenceModel, source, end, duration, channels=None
) -> Stimulus:
    """
    List the pixels of an exposure that are worth remembering.

    Parameters
    ----------
    fluence : ndarray of float, shape (ny, nx)
        Charge at the end of the exposure in e-; infinite where saturated, if the model has a
        saturation level; NaN where not known. Pixels that are NaN, zero or negative are left out.
    model : PersistenceModel
        How the pixels remember; its forgetting rate decides.
    source : str
        Name of the exposure.
    end, duration : float
        End in s on the clock of the history, and time of exposure in s.
    channels : array_like of int, optional
        Channel of each pixel, as for `PersistenceModel.decay`.

    Returns
    -------
    Stimulus
    """
    decay = model.decay(
        fluence, end=end, exposure_time=duration, channels=channels, earliest=_EARLIEST
    )
    charge = np.minimum(fluence.ravel()[decay.pixels], model.saturation_level)
    return Stimulus(
        source=source,
        end=float(end),
        duration=float(duration),
        pixels=decay.pixels.astype(np.int32 if fluence.size < 2**31 else np.int64),
        fluence=charge.astype(np.float32),
    )


def _ended_by(end, start):
    return end <= start + CLOCK_TOLERANCE


def _check_stimulus(stimulus, shape):
    """Refuse what cannot be a stimulus of a detector of this shape."""
    if not np.isfinite(stimulus.end):
        raise ValueError(f"{stimulus.source} has no end: the time of the exposure is missing")
    pixels = np.asarray(stimulus.pixels)
    if len(stimulus.fluence) != pixels.size:
        raise ValueError(
            f"{stimulus.source} has {len(stimulus.fluence)} fluences for {pixels.size} pixels"
        )
    if not pixels.size:
        return
    if not np.all(pixels[1:] > pixels[:-1]):
        raise ValueError(f"the pixels of {stimulus.source} are not in ascending order")
    if pixels[0] < 0 or pixels[-1] >= shape[0] * shape[1]:
        raise ValueError(
            f"{stimulus.source} has pixels outside the shape {tuple(shape)} of this history: "
            "keep one history for each detector and subarray"
        )


def _keep(stimulus, pixels):
    """Stimulus in some of its pixels; itself, unread, if all are kept."""
    if len(pixels) == len(stimulus.pixels):
        return stimulus
    place = np.searchsorted(np.asarray(stimulus.pixels), pixels)
    return replace(stimulus, pixels=pixels, fluence=np.asarray(stimulus.fluence)[place])
