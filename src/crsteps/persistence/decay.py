"""Persistence after each stimulus, kept for the pixels that have any, and several stimuli at once.

`PersistenceModel` is what a reference file says of one detector; with the fluence of a stimulus it
gives a `Decay`: a list of pixels with amplitude, slope and their covariance. A history is a list of
decays on one clock. Where several meet in a pixel, their rates add, or only the strongest counts,
because traps that are full are not filled again.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from crsteps.persistence.curve_table import CurveTable
from crsteps.persistence.power_law import Covariance, rate
from crsteps.persistence.stimulus import StimulusCurve

__all__ = [
    "Decay",
    "PersistenceModel",
    "combine_decays",
    "pixel_values",
    "place_of",
    "total_rate",
]

_EARLIEST = 30.0
# Pixels from which on a table of the curve takes less time than it saves.
_WORTH_A_TABLE = 2**18


@dataclass(frozen=True)
class Decay:
    """
    Persistence after one stimulus.

    Attributes
    ----------
    pixels : ndarray
        Flat index of each pixel that has persistence, int64, ascending, (n,).
    amplitude : ndarray
        Rate in e-/s at the reference time, float32, (n,).
    gamma : ndarray
        Slope, float32, (n,).
    covariance : Covariance
        Covariance of amplitude and slope at the reference time; numbers or float32, (n,).
    end : float
        End of the stimulus, that is the reset after it, in s on the clock of the history.
    reference_time : float
        Seconds after the end at which the rate is the amplitude.
    """

    pixels: np.ndarray
    amplitude: np.ndarray
    gamma: np.ndarray
    covariance: Covariance
    end: float
    reference_time: float

    def rate(self, time):
        """
        Rate at a time.

        Parameters
        ----------
        time : float
            Time in s on the clock of the history, after the end of the stimulus.

        Returns
        -------
        rate : ndarray
            Rate in e-/s, float32, (n,).
        """
        return rate(
            time - self.end,
            amplitude=self.amplitude,
            gamma=self.gamma,
            reference_time=self.reference_time,
        )

    def select(self, chosen):
        """
        Keep some of the pixels.

        Parameters
        ----------
        chosen : ndarray
            Mask, (n,), True for the pixels to keep.

        Returns
        -------
        decay : Decay
            The same decay in fewer pixels.
        """
        covariance = Covariance(*(c[chosen] if np.ndim(c) else c for c in self.covariance))
        return replace(
            self,
            pixels=self.pixels[chosen],
            amplitude=self.amplitude[chosen],
            gamma=self.gamma[chosen],
            covariance=covariance,
        )

    def remembered(self, time, *, threshold):
        """
        Forget the pixels whose persistence has become too weak.

        Parameters
        ----------
        time : float
            Time in s on the clock of the history, after the end of the stimulus.
        threshold : float
            Rate in e-/s below which a pixel is forgotten.

        Returns
        -------
        decay : Decay
            The same decay in the pixels that are at the threshold or above.
        """
        return self.select(self.rate(time) >= threshold)


@dataclass(frozen=True)
class PersistenceModel:
    """
    How the pixels of a detector remember a stimulus.

    The amplitude of a pixel is its scale times that of the curve; its slope is that of the curve
    plus its offset. Scale and offset are numbers, one value for each channel, or images.

    Attributes
    ----------
    curve : StimulusCurve
        Amplitude and slope as functions of the fluence.
    amplitude_scale : float or ndarray
        Factor of the amplitude. Pixels in which it is not finite have no prediction.
    gamma_offset : float or ndarray
        Difference of the slope from that of the curve.
    covariance : Covariance
        Covariance of ``amplitude_scale`` and slope, at the curve's reference time; ``cross`` is NaN
        where it is not known.
    saturation_level : float
        Fluence in e- that no pixel exceeds; larger ones, and infinite ones, are replaced by it.
    forgetting_rate : float
        Rate in e-/s below which a stimulus is not kept; 0 keeps all that is positive.
    """

    curve: StimulusCurve
    amplitude_scale: float | np.ndarray = 1.0
    gamma_offset: float | np.ndarray = 0.0
    covariance: Covariance = field(default_factory=Covariance)
    saturation_level: float = np.inf
    forgetting_rate: float = 0.01

    def decay(self, fluence, *, end, channels=None, exposure_time=None, earliest=_EARLIEST):
        """
        Persistence that a stimulus leaves.

        Parameters
        ----------
        fluence : array_like
            Charge of each pixel at the end of the stimulus in e-, (ny, nx). Saturated pixels may be
            infinite if there is a saturation level. Pixels that are NaN are left out.
        end : float
            End of the stimulus, that is the reset after it, in s on the clock of the history.
        channels : array_like of int, optional
            Channel of each pixel, (ny, nx) or (nx,); needed for values given by channel.
        exposure_time : float, optional
            Duration of the stimulus in s, for curves that depend on it.
        earliest : float
            Seconds after the end at which the rate is compared with ``forgetting_rate``: no
            exposure begins sooner.

        Returns
        -------
        decay : Decay
            The pixels that are worth remembering.
        """
        fluence = np.asarray(fluence)
        lit = np.flatnonzero(fluence.ravel() > 0)
        return self.decay_of_pixels(
            lit,
            fluence.ravel()[lit],
            shape=fluence.shape,
            end=end,
            channels=channels,
            exposure_time=exposure_time,
            earliest=earliest,
        )

    def tabulated(self, n_pixels, *, exposure_time=None):
        """
        Model for many pixels of one stimulus.

        Parameters
        ----------
        n_pixels : int
            Number of pixels.
        exposure_time : float, optional
            Duration of the stimulus in s.

        Returns
        -------
        model : PersistenceModel
            With a table of the curve where that is worth its time; amplitudes and slopes differ by
            `crsteps.persistence.curve_table.TOLERANCE` at most.
        """
        if n_pixels < _WORTH_A_TABLE:
            return self
        table = CurveTable(self.curve, exposure_time=exposure_time, highest=self.saturation_level)
        return replace(self, curve=table)

    def decay_of_pixels(
        self,
        pixels,
        fluence,
        *,
        shape,
        end,
        channels=None,
        exposure_time=None,
        earliest=_EARLIEST,
        keep_most=False,
    ):
        """
        Persistence that a stimulus leaves in some pixels, at a cost in proportion to their number.

        Parameters
        ----------
        pixels : ndarray of int
            Flat index of each pixel, ascending, (n,).
        fluence : ndarray
            Charge of these pixels at the end of the stimulus in e-, (n,).
        shape : tuple of int
            Shape of the image, (ny, nx).
        end, channels, exposure_time, earliest : float or array_like
            As for `decay`.
        keep_most : bool
            Whether pixels not worth remembering may stay with an amplitude of 0 where most are
            worth it, because leaving some out takes longer.

        Returns
        -------
        decay : Decay
            Those of the pixels that are worth remembering.
        """
        charge = np.minimum(fluence, self.saturation_level)
        amplitude, gamma = self.curve(
            charge.astype(np.float32, copy=False), exposure_time=exposure_time
        )

        def of_pixels(value):
            return pixel_values(value, shape=shape, pixels=pixels, channels=channels)

        scale = of_pixels(self.amplitude_scale)
        variance, variance_gamma, cross = (of_pixels(part) for part in self.covariance)
        decay = Decay(
            pixels=pixels,
            amplitude=(amplitude * scale).astype(np.float32, copy=False),
            gamma=(gamma + of_pixels(self.gamma_offset)).astype(np.float32, copy=False),
            covariance=Covariance(
                amplitude**2 * variance,
                variance_gamma,
                amplitude * cross if np.any(cross) else 0.0,
            ),
            end=float(end),
            reference_time=self.curve.reference_time,
        )
        # NaN where nothing is predicted
        strength = decay.amplitude * np.exp(
            decay.gamma * np.float32(-np.log(earliest / decay.reference_time))
        )
        kept = (strength > 0) & (strength >= self.forgetting_rate)
        n_kept = np.count_nonzero(kept)
        if n_kept == kept.size:
            return decay
        if keep_most and 2 * n_kept > kept.size and np.isfinite(decay.gamma.sum()):
            return replace(decay, amplitude=np.where(kept, decay.amplitude, np.float32(0)))
        return decay.select(kept)


def place_of(pixels):
    """
    Give the place of some pixels in a flat image in the way that is quickest.

    Parameters
    ----------
    pixels : ndarray of int
        Flat index of each pixel, ascending, (n,).

    Returns
    -------
    slice or ndarray of int
        A slice if they are all within it, or the pixels.
    """
    pixels = np.asarray(pixels)
    if pixels.size and pixels[-1] - pixels[0] + 1 == pixels.size:
        return slice(int(pixels[0]), int(pixels[-1]) + 1)
    return pixels


def pixel_values(value, *, shape, pixels=None, channels=None):
    """
    Values of some pixels from a number, a list by channel or an image.

    Parameters
    ----------
    value : float or array_like
        A number, one value for each channel, 1-D, or an image of the shape.
    shape : tuple of int
        Shape of the image, (ny, nx).
    pixels : array_like of int, optional
        Flat index of the pixels; all if None.
    channels : array_like of int, optional
        Channel of each pixel, (ny, nx) or (nx,); needed for a list by channel.

    Returns
    -------
    values : ndarray or float
        A number as it is, else one value for each pixel, 1-D.

    Raises
    ------
    ValueError
        If the value is neither, the channels are not given or a channel has no value.
    """
    value = np.asarray(value)
    if value.ndim == 0:
        return value.item()  # leaves the type of images it meets
    where = slice(None) if pixels is None else place_of(pixels)
    if value.shape == tuple(shape):
        return value.ravel()[where]
    if value.ndim != 1 or channels is None:
        raise ValueError(
            f"values of shape {value.shape} do not fit pixels of shape {tuple(shape)}; give a "
            "number, an image of that shape, or a list by channel and the channels"
        )
    channel = _channel_of_pixels(np.asarray(channels), shape, where)
    if channel.size and not (channel.min() >= 0 and channel.max() < value.size):
        raise ValueError(
            f"there are {value.size} values for channels {channel.min()} to {channel.max()}"
        )
    return value[channel]


def _channel_of_pixels(channels, shape, where):
    """Channel of some pixels, without an image where channels are given for the columns."""
    if channels.ndim == 1 and isinstance(where, slice):
        where = np.arange(*where.indices(int(np.prod(shape))))
    if channels.ndim == 1:
        return np.broadcast_to(channels, shape[1:])[where % shape[1]]
    return np.broadcast_to(channels, shape).ravel()[where]


def combine_decays(decays, *, how, time):
    """
    Decide which decays count in each pixel.

    Parameters
    ----------
    decays : sequence of Decay
        Decays of one detector that ended before the time.
    how : {"sum", "max"}
        Whether rates add, or the largest rate of a pixel counts alone.
    time : float
        Time in s on the clock of the history at which rates are compared for "max"; the first
        reset of an exposure, say.

    Returns
    -------
    decays : list of Decay
        Decays whose charges are to be added: all of them, or decays without a common pixel. Of
        equal rates the earlier in the sequence counts.

    Raises
    ------
    ValueError
        If the way to combine is not known.
    """
    if how == "sum":
        return list(decays)
    if how != "max":
        raise ValueError(f'persistence cannot be combined by "{how}"; give "sum" or "max"')
    size = 1 + max((int(d.pixels[-1]) for d in decays if d.pixels.size), default=-1)
    largest = np.full(size, -np.inf, np.float32)
    rates = [decay.rate(time) for decay in decays]
    for decay, strength in zip(decays, rates, strict=True):
        largest[decay.pixels] = np.fmax(largest[decay.pixels], strength)
    free = np.ones(size, bool)
    chosen = []
    for decay, strength in zip(decays, rates, strict=True):
        mine = (strength == largest[decay.pixels]) & free[decay.pixels]
        free[decay.pixels[mine]] = False
        chosen.append(decay.select(mine))
    return chosen


def total_rate(decays, *, time, shape, how="sum"):
    """
    Image of the rate of persistence at a time.

    Parameters
    ----------
    decays : sequence of Decay
        Decays of one detector that ended before the time.
    time : float
        Time in s on the clock of the history.
    shape : tuple of int
        Shape of the image, (ny, nx).
    how : {"sum", "max"}
        As for `combine_decays`.

    Returns
    -------
    rate : ndarray
        Rate in e-/s, float32, 0 in pixels without persistence.
    """
    image = np.zeros(shape, np.float32)
    for decay in combine_decays(decays, how=how, time=time):
        image.ravel()[decay.pixels] += decay.rate(time)
    return image
