"""Rate and charge of persistence that decays as a power law of time.

A stimulus leaves the rate ``r(t) = A (t/t0)**-gamma`` in e-/s, `t` in seconds from its end, which
is the reset that follows it. The charge released between two times is written as

    N(t1, t2) = A t1 (t1/t0)**-gamma L exprel((1 - gamma) L),    L = ln(t2/t1),

with ``exprel(x) = (exp(x) - 1)/x``, which is accurate for every gamma, 1 included, and for short
intervals at late times, where the difference of two antiderivatives would cancel.

All functions work on numbers and on images alike, compute in float64 and return float32 where the
images given are float32. A NaN in the amplitude, the slope or a time gives a NaN.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import exprel

__all__ = [
    "REFERENCE_TIME",
    "Covariance",
    "charge",
    "charge_derivatives",
    "correction_variance",
    "rate",
    "shift_reference_time",
    "time_of_rate",
]

REFERENCE_TIME = 1000.0
"""Seconds after the stimulus at which the rate is the amplitude, unless told otherwise."""

# Below this the closed form of the first moment loses more digits than its series of as many terms.
_SERIES_BELOW = 0.5
_SERIES_TERMS = 14


class Covariance(NamedTuple):
    """
    Covariance of amplitude and slope, as numbers or images.

    Attributes
    ----------
    amplitude : float or ndarray
        Variance of the amplitude in (e-/s)**2.
    gamma : float or ndarray
        Variance of the slope.
    cross : float or ndarray
        Covariance of both in e-/s. It belongs to one reference time: `shift_reference_time`. NaN
        where it is not known: then both may be wrong the same way.
    """

    amplitude: float | np.ndarray = 0.0
    gamma: float | np.ndarray = 0.0
    cross: float | np.ndarray = 0.0


def rate(time, *, amplitude, gamma, reference_time=REFERENCE_TIME):
    """
    Rate of persistence at a time.

    Parameters
    ----------
    time : float or array_like
        Seconds since the end of the stimulus, positive.
    amplitude : float or array_like
        Rate in e-/s at the reference time.
    gamma : float or array_like
        Slope of the decay.
    reference_time : float
        Seconds after the stimulus.

    Returns
    -------
    rate : ndarray or float
        Rate in e-/s, of the common shape of what was given.

    Raises
    ------
    ValueError
        If a time is not positive.
    """
    dtype = _dtype_of_result(time, amplitude, gamma)
    time, amplitude, gamma = (np.asarray(a, np.float64) for a in (time, amplitude, gamma))
    _require_positive(time, reference_time)
    return (amplitude * np.exp(-gamma * np.log(time / reference_time))).astype(dtype)[()]


def charge(start, end, *, amplitude, gamma, reference_time=REFERENCE_TIME):
    """
    Charge released between two times.

    Parameters
    ----------
    start, end : float or array_like
        Seconds since the end of the stimulus; positive, `end` not before `start`.
    amplitude : float or array_like
        Rate in e-/s at the reference time.
    gamma : float or array_like
        Slope of the decay; any finite value.
    reference_time : float
        Seconds after the stimulus.

    Returns
    -------
    charge : ndarray or float
        Charge in e-, of the common shape of what was given.

    Raises
    ------
    ValueError
        If a time is not positive or an end precedes its start.
    """
    dtype = _dtype_of_result(start, end, amplitude, gamma)
    unit, _, _ = _unit_charge(start, end, gamma, reference_time)
    return (np.asarray(amplitude, np.float64) * unit).astype(dtype)[()]


def charge_derivatives(start, end, *, amplitude, gamma, reference_time=REFERENCE_TIME):
    """
    Derivatives of the charge released between two times.

    Parameters
    ----------
    start, end, amplitude, gamma, reference_time : float or array_like
        As for `charge`.

    Returns
    -------
    by_amplitude : ndarray or float
        Derivative with respect to the amplitude in s; it does not depend on the amplitude.
    by_gamma : ndarray or float
        Derivative with respect to the slope in e-.

    Raises
    ------
    ValueError
        If a time is not positive or an end precedes its start.
    """
    dtype = _dtype_of_result(start, end, amplitude, gamma)
    unit, log_start, span = _unit_charge(start, end, gamma, reference_time)
    exponent = (1.0 - np.asarray(gamma, np.float64)) * span
    # mean of ln(t/t0) over the released charge, times that charge
    with np.errstate(invalid="ignore", divide="ignore"):
        later = np.where(span > 0, span * _first_moment(exponent) / exprel(exponent), 0.0)
    by_gamma = -np.asarray(amplitude, np.float64) * unit * (log_start + later)
    shape = by_gamma.shape
    return np.broadcast_to(unit, shape).astype(dtype)[()], by_gamma.astype(dtype)[()]


def correction_variance(by_amplitude, by_gamma, *, covariance, charge, systematic=0.0):
    """
    Variance of a predicted charge or rate of persistence.

    The Poisson noise of the charge itself is no part of it: it is in the data, whatever is
    subtracted. Where the covariance of amplitude and slope is not known, the error is that of a
    prediction for which both are off by a standard deviation, in directions that add up.

    Parameters
    ----------
    by_amplitude, by_gamma : float or array_like
        Derivatives of the prediction with respect to amplitude and slope.
    covariance : Covariance
        Covariance of amplitude and slope, of the same reference time as the derivatives.
    charge : float or array_like
        The prediction.
    systematic : float
        Error of the model as a fraction of the prediction.

    Returns
    -------
    variance : ndarray or float
        Variance in the squared unit of the prediction; never negative.
    """
    of_amplitude = np.square(by_amplitude) * covariance.amplitude
    of_gamma = np.square(by_gamma) * covariance.gamma
    variance = of_amplitude + of_gamma
    if np.any(covariance.cross):
        mixed = 2.0 * np.multiply(by_amplitude, by_gamma) * covariance.cross
        unknown = np.isnan(covariance.cross)
        if np.any(unknown):
            worst = _error_of_both(np.sqrt(of_amplitude), np.sqrt(of_gamma), np.abs(charge))
            variance = np.where(unknown, np.square(worst), variance + mixed)
        else:
            variance = variance + mixed
    variance = np.maximum(variance, 0.0)
    return variance + np.square(systematic * np.asarray(charge)) if systematic else variance


def _error_of_both(of_amplitude, of_gamma, charge):
    """Error of a charge whose amplitude and slope are both wrong, to second order of the slope."""
    second = of_gamma * (of_amplitude + of_gamma / 2)
    return of_amplitude + of_gamma + second / np.where(charge > 0, charge, np.inf)


def shift_reference_time(
    amplitude, gamma, *, reference_time, new_reference_time, covariance=None, second_order=False
):
    """
    Amplitude, and its covariance with the slope, at another reference time.

    Parameters
    ----------
    amplitude, gamma : float or array_like
        Amplitude in e-/s at `reference_time`, and slope.
    reference_time, new_reference_time : float
        Seconds after the stimulus.
    covariance : Covariance, optional
        Covariance at `reference_time`.
    second_order : bool
        Whether to add to the variance of the amplitude what normal errors of the slope make of it
        to second order. The covariance then is not the one to start from for another time.

    Returns
    -------
    amplitude : ndarray or float
        Amplitude in e-/s at `new_reference_time`.
    covariance : Covariance or None
        Covariance at `new_reference_time`; None if none was given.
    """
    new = rate(new_reference_time, amplitude=amplitude, gamma=gamma, reference_time=reference_time)
    if covariance is None:
        return new, None
    factor = rate(new_reference_time, amplitude=1.0, gamma=gamma, reference_time=reference_time)
    later = np.log(new_reference_time / reference_time)
    by_gamma = -new * later
    variance = correction_variance(factor, by_gamma, covariance=covariance, charge=0.0)
    if second_order:
        # variance of factor (later d_amplitude d_gamma + by_gamma / factor later d_gamma^2 / 2)
        of_both, of_gamma, cross = covariance.amplitude * covariance.gamma, *covariance[1:]
        variance = variance + later**2 * (
            factor**2 * (of_both + cross**2)
            + 2 * factor * by_gamma * cross * of_gamma
            + (by_gamma * of_gamma) ** 2 / 2
        )
    return new, Covariance(
        variance,
        covariance.gamma,
        factor * covariance.cross + by_gamma * covariance.gamma,
    )


def time_of_rate(threshold, *, amplitude, gamma, reference_time=REFERENCE_TIME):
    """
    Time at which the rate has fallen to a threshold, after which a stimulus may be forgotten.

    Parameters
    ----------
    threshold : float
        Rate in e-/s, positive.
    amplitude, gamma : float or array_like
        Amplitude in e-/s at the reference time, and slope.
    reference_time : float
        Seconds after the stimulus.

    Returns
    -------
    time : ndarray or float
        Seconds since the stimulus, float64: 0 where there is no persistence (an amplitude that is
        not positive, or NaN), infinite where it never decays (a slope that is not positive).

    Raises
    ------
    ValueError
        If the threshold is not positive.
    """
    if not threshold > 0:
        raise ValueError(f"the forgetting threshold is {threshold}; give a positive rate in e-/s")
    amplitude, gamma = np.asarray(amplitude, np.float64), np.asarray(gamma, np.float64)
    with np.errstate(all="ignore"):
        time = reference_time * np.power(amplitude / threshold, 1.0 / gamma)
    time = np.where(gamma > 0, time, np.inf)
    return np.where(amplitude > 0, time, 0.0)[()]


def _unit_charge(start, end, gamma, reference_time):
    """Charge per unit amplitude, ln(start/t0) and ln(end/start), float64."""
    start, end, gamma = (np.asarray(a, np.float64) for a in (start, end, gamma))
    _require_positive(start, reference_time)
    if np.any(end < start):
        raise ValueError("an interval ends before it starts; check the times since the stimulus")
    log_start = np.log(start / reference_time)
    span = np.log1p((end - start) / start)
    return start * np.exp(-gamma * log_start) * span * exprel((1.0 - gamma) * span), log_start, span


def _first_moment(x):
    """Integral of ``y exp(x y)`` over y from 0 to 1, by its series where x is small."""
    x = np.asarray(x, np.float64)
    near = np.clip(x, -_SERIES_BELOW, _SERIES_BELOW)
    series = np.zeros_like(near)
    for n in range(_SERIES_TERMS, 0, -1):
        series = (series + 1.0 / (n + 2)) * near / n
    far = np.where(np.abs(x) > _SERIES_BELOW, x, 1.0)
    closed = (far * np.exp(far) - np.expm1(far)) / far**2
    return np.where(np.abs(x) > _SERIES_BELOW, closed, series + 0.5)


def _require_positive(time, reference_time):
    """Refuse times at which a power law has no value."""
    if np.any(time <= 0) or not reference_time > 0:
        raise ValueError(
            "a power law needs times after the end of the stimulus; "
            "check that the times since the stimulus and the reference time are positive"
        )


def _dtype_of_result(*values):
    """float32 if all images are, else float64; plain numbers do not count."""
    images = [np.asarray(value).dtype for value in values if np.ndim(value)]
    if images and np.result_type(*images) == np.float32:
        return np.float32
    return np.float64
