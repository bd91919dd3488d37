"""Charge that the pixels held at the end of an exposure, which is the stimulus of persistence.

An exposure of several integrations counts by the largest charge of each pixel: traps that are full
are not filled again. What is not known is NaN, and saturated pixels are infinite, which stands for
the saturation level of the model of persistence.
"""

from __future__ import annotations

import numpy as np

from crsteps.persistence.group_charge import GroupTimes

__all__ = ["fluence_of_ramp", "fluence_of_rate"]


def fluence_of_ramp(ramp, *, saturated, unusable, times: GroupTimes, saturated_as="level"):
    """
    Charge of each pixel at the end of an exposure, from its ramps.

    The charge of the last usable group is carried on to the last frame as if the light had been
    steady since the reset. Read noise is left in; the model of persistence forgets faint pixels.

    Parameters
    ----------
    ramp : ndarray
        Charge since the reset in e-, (n_integrations, n_groups, ny, nx); not changed.
    saturated : array_like of bool
        True where a group is saturated; of the shape of the ramp or one that broadcasts to it. A
        pixel is saturated in an integration if any of its groups is.
    unusable : array_like of bool
        True where a group must not be used; likewise. Values that are not finite are not used
        either.
    times : GroupTimes
        When the frames of an integration are read.
    saturated_as : {"level", "extrapolated"}
        Whether saturated pixels are infinite, or their last group before saturation is carried on
        to the last frame, which is the more, the sooner they saturated.

    Returns
    -------
    fluence : ndarray
        Charge in e-, float32, (ny, nx): the largest of the integrations that are known; infinite
        where a pixel is saturated (with "extrapolated": where it has no usable group before), be it
        usable or not; NaN where nothing is known.

    Raises
    ------
    ValueError
        If shapes do not fit or ``saturated_as`` is not known.
    """
    if saturated_as not in ("level", "extrapolated"):
        raise ValueError(
            f'saturated pixels cannot be taken as "{saturated_as}"; give "level" or "extrapolated"'
        )
    ramp = np.asarray(ramp)
    if ramp.ndim != 4 or ramp.shape[1] != len(times.frames):
        raise ValueError(
            f"a ramp of shape {ramp.shape} is not (integrations, {len(times.frames)} groups, y, x)"
        )
    saturated = _flags(saturated, ramp.shape, "saturated")
    unusable = _flags(unusable, ramp.shape, "unusable")
    to_the_end = times.end / times.mean_times
    largest = np.full(ramp.shape[2:], np.nan, np.float32)
    for groups, full, bad in zip(ramp, saturated, unusable, strict=True):
        if saturated_as == "level":
            charge = _last_known(groups, bad, to_the_end)
            charge[full.any(axis=0)] = np.inf
        else:
            # groups after the first saturated one are saturated, flagged or not
            full = np.logical_or.accumulate(full, axis=0)
            charge = _last_known(groups, bad | full, to_the_end)
            charge[full.any(axis=0) & np.isnan(charge)] = np.inf
        np.fmax(largest, charge, out=largest)
    return largest


def fluence_of_rate(rate, *, duration, saturated, unusable):
    """
    Charge of each pixel at the end of an exposure, from its rate.

    Parameters
    ----------
    rate : ndarray
        Rate in e-/s, (ny, nx), or (n_integrations, ny, nx); not changed.
    duration : float
        Seconds from the reset to the last frame of an integration, positive.
    saturated : array_like of bool
        True where a pixel is saturated; of the shape of the rate or one that broadcasts to it.
    unusable : array_like of bool
        True where the rate must not be used; likewise. Values that are not finite are not used
        either.

    Returns
    -------
    fluence : ndarray
        Charge in e-, float32, (ny, nx): the largest of the integrations that are known; infinite
        where a pixel is saturated, be it usable or not; NaN where nothing is known.

    Raises
    ------
    ValueError
        If shapes do not fit or the duration is not positive.
    """
    if not (np.isfinite(duration) and duration > 0):
        raise ValueError(f"the duration of the exposure is {duration} s; it has to be positive")
    rate = np.asarray(rate)
    if rate.ndim not in (2, 3):
        raise ValueError(f"a rate of shape {rate.shape} is not (y, x) or (integrations, y, x)")
    saturated = _flags(saturated, rate.shape, "saturated")
    unusable = _flags(unusable, rate.shape, "unusable")
    charge = np.multiply(rate, duration, dtype=np.float32)
    charge[unusable | ~np.isfinite(charge)] = np.nan
    charge[saturated] = np.inf
    return charge if rate.ndim == 2 else np.fmax.reduce(charge, axis=0)


def _last_known(groups, unusable, to_the_end):
    """Charge of the last usable group at the end of the integration, NaN if there is none."""
    charge = np.full(groups.shape[1:], np.nan, np.float32)
    for group, bad, factor in zip(groups[::-1], unusable[::-1], to_the_end[::-1], strict=True):
        wanted = np.isnan(charge) & np.isfinite(group) & ~bad
        np.multiply(group, factor, out=charge, where=wanted, casting="same_kind")
        if not np.isnan(charge).any():
            break
    return charge


def _flags(flags, shape, name):
    """Flags as booleans of the shape, without a copy."""
    flags = np.asarray(flags, bool)
    try:
        return np.broadcast_to(flags, shape)
    except ValueError:
        raise ValueError(
            f"the {name} flags have the shape {flags.shape}, which does not fit {shape}"
        ) from None
