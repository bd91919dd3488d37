"""Charge of persistence in the groups of a ramp and in the rate of an exposure.

A group is the mean of some frames; what persistence adds to it is the mean, over those frames, of
the charge released since the reset. The means are taken over every frame, at the few slopes from
which `slope_expansion` interpolates, so they cost nothing per pixel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crsteps.persistence.power_law import (
    REFERENCE_TIME,
    Covariance,
    charge,
    correction_variance,
)
from crsteps.persistence.slope_expansion import expand_in_slope

__all__ = [
    "GroupTimes",
    "ProductPersistence",
    "group_charge",
    "product_persistence",
    "subtract_group_charge",
    "unit_group_charge",
]

# Pixels worked on at once: their polynomials stay in the processor's cache.
_BLOCK = 8192


@dataclass(frozen=True)
class GroupTimes:
    """
    When the frames of an exposure are read.

    Attributes
    ----------
    frames : tuple of ndarray
        For each group, the times in seconds after the reset at which its frames are read, 1-D,
        positive and increasing from group to group.

    Raises
    ------
    ValueError
        If there is no group, or a group has no frame, or the times do not increase.
    """

    frames: tuple[np.ndarray, ...]

    def __post_init__(self):
        frames = tuple(np.atleast_1d(np.asarray(group, np.float64)) for group in self.frames)
        object.__setattr__(self, "frames", frames)
        if not frames or not all(group.ndim == 1 and group.size for group in frames):
            raise ValueError("an exposure needs groups, and every group a frame")
        times = np.concatenate(frames)
        if not (np.all(np.diff(times) > 0) and times[0] > 0):
            raise ValueError("frames have to be read one after the other, after the reset")

    @classmethod
    def regular(cls, n_groups, *, frame_time, n_frames=1, n_drops=0, n_first_drops=0):
        """
        Groups of equally many frames with equally many left out between them.

        Parameters
        ----------
        n_groups : int
            Number of groups (NGROUPS).
        frame_time : float
            Seconds per frame (TFRAME); the first frame is read that long after the reset.
        n_frames : int
            Frames averaged in a group (NFRAMES).
        n_drops : int
            Frames left out between two groups (GROUPGAP); n_d of a MACC readout.
        n_first_drops : int
            Frames left out before the first group (DRPFRMS1).

        Returns
        -------
        times : GroupTimes
            The times of all frames.
        """
        first = n_first_drops + (n_frames + n_drops) * np.arange(n_groups)[:, np.newaxis]
        return cls(tuple(frame_time * (first + np.arange(1, n_frames + 1))))

    @property
    def mean_times(self) -> np.ndarray:
        """Mean time of the frames of each group in s after the reset, float64."""
        return np.array([group.mean() for group in self.frames])

    @property
    def end(self) -> float:
        """Time of the last frame in s after the reset."""
        return float(self.frames[-1][-1])

    @property
    def integration_time(self) -> float:
        """Seconds from the mean time of the first group to that of the last."""
        return float(self.mean_times[-1] - self.mean_times[0])

    def averages(self, values):
        """
        Mean over the frames of each group.

        Parameters
        ----------
        values : array_like
            One value for each frame along the last axis.

        Returns
        -------
        means : ndarray
            The same with groups along the last axis.
        """
        sizes = np.array([group.size for group in self.frames])
        first = np.cumsum(sizes) - sizes
        return np.add.reduceat(values, first, axis=-1) / sizes


@dataclass(frozen=True)
class ProductPersistence:
    """
    Persistence in a rate or in the signal of an exposure.

    Attributes
    ----------
    rate : ndarray
        Predicted rate in e-/s; NaN where the amplitude or the slope is NaN.
    variance : ndarray
        Its variance in (e-/s)**2; the Poisson noise of the persistence is not in it.
    """

    rate: np.ndarray
    variance: np.ndarray


def unit_group_charge(times, *, delay, gamma, reference_time=REFERENCE_TIME):
    """
    Charge of each group for an amplitude of 1 e-/s, by the mean over all of its frames.

    Parameters
    ----------
    times : GroupTimes
        When the frames are read.
    delay : float
        Seconds from the end of the stimulus to the reset of the exposure, positive.
    gamma : float or array_like
        Slopes, (...).
    reference_time : float
        Seconds after the stimulus at which the rate is the amplitude.

    Returns
    -------
    charge : ndarray
        Charge in e- since the reset, float64, (..., n_groups). It takes an exponential for every
        frame: for many pixels use `group_charge`.
    """
    _require_delay(delay)
    frames = delay + np.concatenate(times.frames)
    gamma = np.asarray(gamma, np.float64)[..., np.newaxis]
    since_reset = charge(delay, frames, amplitude=1.0, gamma=gamma, reference_time=reference_time)
    return times.averages(since_reset)


def group_charge(times, *, delay, amplitude, gamma, reference_time=REFERENCE_TIME):
    """
    Charge of persistence in each group of a ramp.

    Parameters
    ----------
    times : GroupTimes
        When the frames are read.
    delay : float
        Seconds from the end of the stimulus to the reset of the exposure, positive.
    amplitude : float or array_like
        Rate in e-/s at the reference time; number, image or list of pixels.
    gamma : float or array_like
        Slope; number or of the same shape.
    reference_time : float
        Seconds after the stimulus.

    Returns
    -------
    charge : ndarray
        Mean charge in e- of the frames of each group, float32, (n_groups, ...); NaN where the
        amplitude or the slope is NaN.
    """
    shape = np.broadcast_shapes(np.shape(amplitude), np.shape(gamma))
    result = np.zeros((len(times.frames), *shape), np.float32)
    subtract_group_charge(
        result.reshape(len(result), -1),
        times,
        delay=delay,
        amplitude=-np.broadcast_to(amplitude, shape).ravel(),
        gamma=gamma if np.ndim(gamma) == 0 else np.broadcast_to(gamma, shape).ravel(),
        reference_time=reference_time,
    )
    missing = np.broadcast_to(~np.isfinite(np.multiply(amplitude, gamma)), shape)
    result[:, missing] = np.nan
    return result


def subtract_group_charge(
    ramp, times, *, delay, amplitude, gamma, pixels=None, reference_time=REFERENCE_TIME
):
    """
    Subtract the charge of persistence from a ramp, in place.

    Parameters
    ----------
    ramp : ndarray
        Charge in e-, float32 or float64, C-contiguous, (n_groups, ...). It is changed.
    times : GroupTimes
        When the frames are read.
    delay : float
        Seconds from the end of the stimulus to the reset of the exposure, positive.
    amplitude : float or array_like
        Rate in e-/s at the reference time: a number, one value for each of `pixels`, or an image.
        Pixels in which it, or the slope, is not finite are left alone.
    gamma : float or array_like
        Slope; number or of the same shape.
    pixels : array_like of int, optional
        Flat index of each pixel to correct, each at most once; all pixels if None. The cost is in
        proportion to their number.
    reference_time : float
        Seconds after the stimulus.

    Raises
    ------
    ValueError
        If shapes do not fit, the ramp cannot be changed in place or the delay is not positive.
    """
    _require_delay(delay)
    flat = _flat_ramp(ramp, len(times.frames))
    n_pixels = flat.shape[1] if pixels is None else len(pixels)
    amplitude = _per_pixel(amplitude, n_pixels, "amplitude")
    gamma = _per_pixel(gamma, n_pixels, "slope")
    expansion = _expand(times, delay, gamma, reference_time)
    if expansion is None:
        return
    for start in range(0, n_pixels, _BLOCK):
        block = slice(start, min(start + _BLOCK, n_pixels))
        correction = _evaluate(expansion, _of_block(amplitude, block), _of_block(gamma, block))
        where = block if pixels is None else pixels[block]
        if pixels is None:
            np.subtract(flat[:, where], correction, out=flat[:, where], casting="same_kind")
        else:
            flat[:, where] -= correction


def product_persistence(
    times,
    *,
    delay,
    amplitude,
    gamma,
    covariance=None,
    systematic=0.0,
    reference_time=REFERENCE_TIME,
):
    """
    Persistence in a rate or a MACC product, and its variance.

    It is the difference of the mean charges of the last and the first group, divided by the
    integration time, which is what a straight line through the ramp would take for light. The rate
    at mid-exposure is much less soon after the stimulus.

    Parameters
    ----------
    times : GroupTimes
        When the frames are read; at least two groups.
    delay : float
        Seconds from the end of the stimulus to the reset of the exposure, positive.
    amplitude : float or array_like
        Rate in e-/s at the reference time; number, image or list of pixels.
    gamma : float or array_like
        Slope; number or of the same shape.
    covariance : Covariance, optional
        Covariance of amplitude and slope at the reference time; none if None.
    systematic : float
        Error of the model as a fraction of the prediction.
    reference_time : float
        Seconds after the stimulus.

    Returns
    -------
    persistence : ProductPersistence
        Rate and variance, float32, of the shape of the amplitude and the slope.

    Raises
    ------
    ValueError
        If there is one group only, shapes do not fit or the delay is not positive.
    """
    _require_delay(delay)
    if len(times.frames) < 2:
        raise ValueError("the rate of persistence in a product needs at least two groups")
    shape = np.broadcast_shapes(np.shape(amplitude), np.shape(gamma))
    n_pixels = int(np.prod(shape))
    per_pixel = [np.broadcast_to(a, shape).reshape(-1) for a in (amplitude, gamma)]
    covariance = Covariance(
        *(_per_pixel(c, n_pixels, "covariance") for c in covariance or (0,) * 3)
    )
    rate, variance = np.full((2, n_pixels), np.nan, np.float32)
    expansion = _expand(times, delay, per_pixel[1], reference_time, product=True)
    if expansion is not None:
        both = expansion.with_derivative()
        for start in range(0, n_pixels, _BLOCK):
            block = slice(start, start + _BLOCK)
            a, g = (values[block] for values in per_pixel)
            good = np.isfinite(a) & np.isfinite(g)
            by_amplitude, by_gamma = both(np.where(good, g, both.low))
            a = np.where(good, a, np.nan)
            rate[block] = a * by_amplitude
            variance[block] = correction_variance(
                by_amplitude,
                a * by_gamma,
                covariance=Covariance(*(_of_block(c, block) for c in covariance)),
                charge=rate[block],
                systematic=systematic,
            )
    return ProductPersistence(rate.reshape(shape), variance.reshape(shape))


def _expand(times, delay, gamma, reference_time, *, product=False):
    """Charges of all groups, or the rate of the product, as functions of the slope; or None."""
    finite = gamma[np.isfinite(gamma)]
    if not finite.size:
        return None

    def function(slopes):
        charges = unit_group_charge(
            times, delay=delay, gamma=slopes[:, 0], reference_time=reference_time
        )
        if product:
            return (charges[:, -1:] - charges[:, :1]) / times.integration_time
        return charges

    typical = np.sqrt(delay * (delay + times.end))
    return expand_in_slope(
        function,
        low=float(finite.min()),
        high=float(finite.max()),
        log_time=float(np.log(typical / reference_time)),
    )


def _evaluate(expansion, amplitude, gamma):
    """Charges of the groups in some pixels, 0 where a parameter is not finite."""
    if gamma.ndim == 0:
        factor = np.where(np.isfinite(amplitude), amplitude, 0.0)
        return expansion(gamma)[:, np.newaxis] * factor
    amplitude = np.asarray(amplitude, np.float64)
    # one sum tells whether all is well, which is the rule
    if not np.isfinite(np.add.reduce(amplitude, axis=None) + np.add.reduce(gamma)):
        good = np.isfinite(amplitude) & np.isfinite(gamma)
        amplitude, gamma = np.where(good, amplitude, 0.0), np.where(good, gamma, expansion.low)
    return expansion(gamma, factor=amplitude)


def _flat_ramp(ramp, n_groups):
    """View of a ramp, (n_groups, n_pixels), through which it can be changed."""
    if ramp.ndim < 2 or len(ramp) != n_groups:
        raise ValueError(f"a ramp of shape {ramp.shape} does not have {n_groups} groups")
    if ramp.dtype not in (np.float32, np.float64) or not ramp.flags.c_contiguous:
        raise ValueError("a ramp is corrected in place; give a contiguous array of floats")
    return ramp.reshape(n_groups, -1)


def _per_pixel(values, n_pixels, name):
    """One value, or one for each pixel in a row."""
    values = np.asarray(values)
    if values.ndim and values.size != n_pixels:
        raise ValueError(f"the {name} has {values.size} values for {n_pixels} pixels")
    return values.reshape(-1) if values.ndim else values


def _of_block(values, block):
    return values[block] if values.ndim else values


def _require_delay(delay):
    if not (np.isfinite(delay) and delay > 0):
        raise ValueError(
            f"the reset is {delay} s after the end of the stimulus; that time has to be positive"
        )
