"""What an exposure left in the pixels of a detector: a list of the pixels worth remembering.

Fluences are kept, not amplitudes, so that a better reference file can be used with an old history.
The arrays may be as long as the detector has pixels, and there may be a hundred exposures in a
night: they are read, and turned into decays, a piece at a time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crsteps.persistence.decay import PersistenceModel

__all__ = ["EARLIEST", "Stimulus", "StimulusDecay", "check_pixels", "stimulus_of"]

EARLIEST = 30.0
"""Seconds after a stimulus; no exposure begins sooner, so pixels that are weaker by then are not
kept."""


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
    earliest: float = EARLIEST

    @property
    def end(self) -> float:
        """End of the stimulus in s on the clock of the history."""
        return self.stimulus.end

    def pieces(self, size, *, keep_most=False):
        """
        Work out the decay piece by piece; each array is read once, from the first to the last.

        Parameters
        ----------
        size : int
            Pixels of the stimulus read at once.
        keep_most : bool
            As for `PersistenceModel.decay_of_pixels`.

        Yields
        ------
        decay : Decay
            Those of the pixels that are at the forgetting rate or above, ascending from piece to
            piece.
        next_pixel : int or None
            Lowest flat index that a later piece may have; None after the last piece.

        Raises
        ------
        ValueError
            If pixels are not ascending or lie outside the detector, or the arrays do not fit.
        """
        n_pixels, lowest = len(self.stimulus.pixels), 0
        model = self.model.tabulated(n_pixels, exposure_time=self.stimulus.duration)
        for first in range(0, n_pixels, size):
            chosen = slice(first, min(first + size, n_pixels))
            pixels = np.asarray(self.stimulus.pixels[chosen])
            fluence = np.asarray(self.stimulus.fluence[chosen])
            check_pixels(self.stimulus.source, pixels, fluence, lowest=lowest, shape=self.shape)
            lowest = int(pixels[-1]) + 1
            decay = model.decay_of_pixels(
                pixels,
                fluence,
                shape=self.shape,
                end=self.stimulus.end,
                channels=self.channels,
                exposure_time=self.stimulus.duration,
                earliest=self.earliest,
                keep_most=keep_most,
            )
            yield decay, lowest if chosen.stop < n_pixels else None


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
        fluence, end=end, exposure_time=duration, channels=channels, earliest=EARLIEST
    )
    charge = np.minimum(fluence.ravel()[decay.pixels], model.saturation_level)
    return Stimulus(
        source=source,
        end=float(end),
        duration=float(duration),
        pixels=decay.pixels.astype(np.int32 if fluence.size < 2**31 else np.int64),
        fluence=charge.astype(np.float32),
    )


def check_pixels(source, pixels, fluence, *, lowest, shape):
    """
    Refuse a list of pixels that is not one of the detector.

    Parameters
    ----------
    source : str
        Name of the exposure.
    pixels, fluence : ndarray
        Flat index and charge in e- of each pixel, (n,).
    lowest : int
        Lowest flat index that may come.
    shape : tuple of int
        Shape (ny, nx) of the detector.

    Raises
    ------
    ValueError
        If the arrays differ in length, or pixels lie outside the detector or do not ascend from the
        lowest one.
    """
    if fluence.size != pixels.size:
        raise ValueError(f"{source} has {fluence.size} fluences for {pixels.size} pixels")
    if not pixels.size:
        return
    if pixels[0] < 0 or pixels[-1] >= shape[0] * shape[1]:
        raise ValueError(
            f"{source} has pixels outside the shape {tuple(shape)} of this history: "
            "keep one history for each detector and subarray"
        )
    if pixels[0] < lowest or not np.all(pixels[1:] > pixels[:-1]):
        raise ValueError(f"the pixels of {source} are not in ascending order")
