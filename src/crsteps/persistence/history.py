"""Which exposures lit the pixels of a detector, and when: the history that persistence comes from.

A `Stimulus` is kept as fluences, not as amplitudes, so that a better reference file can be used
with an old history. It is sparse: only pixels worth remembering are listed. The order in which
stimuli are added does not matter, since they are sorted by time; what does matter is that an
exposure is corrected after all earlier ones were added, and `History` keeps track of that.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from crsteps.persistence.decay import Decay, PersistenceModel

__all__ = ["Corrected", "History", "Stimulus", "stimulus_of"]


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
        Flat index of each pixel worth remembering, int32 or int64, ascending, (n,).
    fluence : ndarray
        Charge of these pixels at the end in e-, float32, (n,).
    """

    source: str
    end: float
    duration: float
    pixels: np.ndarray
    fluence: np.ndarray

    def equals(self, other):
        """
        Tell whether another stimulus says the same.

        Parameters
        ----------
        other : Stimulus
            Another stimulus.

        Returns
        -------
        bool
        """
        return (
            (self.source, self.end, self.duration) == (other.source, other.end, other.duration)
            and np.array_equal(self.pixels, other.pixels)
            and np.array_equal(self.fluence, other.fluence)
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
    """

    detector: str
    shape: tuple[int, int]
    stimuli: tuple[Stimulus, ...] = ()
    corrected: tuple[Corrected, ...] = ()

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
            With the stimulus; the same if it is known already, however it was listed.

        Raises
        ------
        ValueError
            If a pixel lies outside the detector, the end is no time, another stimulus has the same
            source, or an exposure that began later was corrected already: that correction lacks
            this stimulus.
        """
        if not np.isfinite(stimulus.end):
            raise ValueError(f"{stimulus.source} has no end: the time of the exposure is missing")
        ny, nx = self.shape
        if stimulus.pixels.size and not 0 <= stimulus.pixels[0] <= stimulus.pixels[-1] < ny * nx:
            raise ValueError(f"{stimulus.source} does not have the shape {self.shape}")
        for known in self.stimuli:
            if known.source != stimulus.source:
                continue
            if known.equals(stimulus):
                return self
            raise ValueError(
                f"{stimulus.source} is in the history already with other times or fluences"
            )
        later = [c for c in self.corrected if c.start >= stimulus.end]
        if later:
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
            Those that had ended by then.
        """
        return tuple(s for s in self.stimuli if s.end <= start)

    def forgotten(self, model, time, *, channels=None):
        """
        Drop what no exposure after a time will show.

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
            With fewer pixels in the stimuli before that time, and without those that have none.
        """
        kept = []
        for stimulus in self.stimuli:
            if stimulus.end < time:
                decay = self.decay(stimulus, model, channels=channels)
                remembered = decay.remembered(time, threshold=model.forgetting_rate)
                chosen = np.isin(stimulus.pixels, remembered.pixels, assume_unique=True)
                stimulus = replace(
                    stimulus, pixels=stimulus.pixels[chosen], fluence=stimulus.fluence[chosen]
                )
            if stimulus.pixels.size:
                kept.append(stimulus)
        return replace(self, stimuli=tuple(kept))

    def decay(self, stimulus, model, *, channels=None) -> Decay:
        """
        Persistence that a stimulus leaves.

        Parameters
        ----------
        stimulus : Stimulus
            One of this history.
        model : PersistenceModel
            How the pixels remember.
        channels : array_like of int, optional
            Channel of each pixel, as for `PersistenceModel.decay`.

        Returns
        -------
        Decay
        """
        fluence = np.full(self.shape, np.nan, np.float32)
        fluence.ravel()[stimulus.pixels] = stimulus.fluence
        return model.decay(
            fluence, end=stimulus.end, exposure_time=stimulus.duration, channels=channels
        )


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
    decay = model.decay(fluence, end=end, exposure_time=duration, channels=channels)
    charge = np.minimum(fluence.ravel()[decay.pixels], model.saturation_level)
    return Stimulus(
        source=source,
        end=float(end),
        duration=float(duration),
        pixels=decay.pixels.astype(np.int32 if fluence.size < 2**31 else np.int64),
        fluence=charge.astype(np.float32),
    )
