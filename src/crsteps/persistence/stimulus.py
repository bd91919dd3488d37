"""Amplitude and slope of the persistence that a stimulus leaves, as functions of its fluence.

The fluence is what the pixel held at the end of the stimulus, in e-. All curves agree on the
limits: a fluence that is zero or negative leaves an amplitude of zero; one that is NaN, or
infinite, leaves NaN, which means that nothing is predicted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.special import expit

__all__ = [
    "HST_WFC3_IR",
    "ROMAN_WFI",
    "ConstantCurve",
    "FermiCurve",
    "LinearCurve",
    "StimulusCurve",
    "TableCurve",
]


class StimulusCurve(Protocol):
    """What every curve can do; the amplitude belongs to the curve's reference time."""

    reference_time: float

    def __call__(self, fluence, *, exposure_time=None):
        """
        Amplitude and slope left by a stimulus.

        Parameters
        ----------
        fluence : float or array_like
            Charge at the end of the stimulus in e-.
        exposure_time : float, optional
            Duration of the stimulus in s; only curves that depend on it use it.

        Returns
        -------
        amplitude : ndarray
            Rate in e-/s at the reference time; float32 if the fluence is, else float64.
        gamma : ndarray
            Slope, of the same shape and type.
        """


@dataclass(frozen=True)
class ConstantCurve:
    """
    The same persistence after any stimulus, for amplitudes that come as a map of the pixels.

    Attributes
    ----------
    amplitude : float
        Rate in e-/s at the reference time.
    gamma : float
        Slope.
    reference_time : float
        Seconds after the stimulus.
    """

    amplitude: float
    gamma: float
    reference_time: float = 1000.0

    def __call__(self, fluence, *, exposure_time=None):
        """See `StimulusCurve`."""
        fluence = np.asarray(fluence)
        return _finish(fluence, np.full(fluence.shape, self.amplitude), self.gamma)


@dataclass(frozen=True)
class LinearCurve:
    """
    Persistence in proportion to the fluence.

    Attributes
    ----------
    amplitude : float
        Rate in e-/s at the reference time after a stimulus of the reference fluence.
    gamma : float
        Slope.
    reference_fluence : float
        Fluence in e-, positive.
    reference_time : float
        Seconds after the stimulus.

    Raises
    ------
    ValueError
        If the reference fluence is not positive.
    """

    amplitude: float
    gamma: float
    reference_fluence: float
    reference_time: float = 1000.0

    def __post_init__(self):
        if not self.reference_fluence > 0:
            raise ValueError(
                f"the reference fluence is {self.reference_fluence} e-; it has to be positive"
            )

    def __call__(self, fluence, *, exposure_time=None):
        """See `StimulusCurve`."""
        fluence = np.asarray(fluence)
        amplitude = self.amplitude / self.reference_fluence * fluence.astype(np.float64)
        return _finish(fluence, amplitude, self.gamma)


@dataclass(frozen=True)
class FermiCurve:
    """
    Persistence that sets in where the traps are reached, like a Fermi distribution.

    The amplitude is ``norm (x/level)**alpha / (1 + exp((level - x)/width))``, the form of the
    corrections for HST WFC3/IR and of the simulators of Roman, which replace it below half the well
    by a straight line through zero.

    Attributes
    ----------
    norm : float
        Rate in e-/s at the reference time, about the rate that full traps leave.
    level : float
        Fluence in e- at which half of the traps are reached, positive.
    width : float
        Width of the transition in e-, positive.
    alpha : float
        Exponent of the fluence above it.
    gamma : float
        Slope of the decay.
    linear_below : float
        Fluence in e- below which the amplitude is in proportion to the fluence; 0 for nowhere.
    reference_time : float
        Seconds after the stimulus.

    Raises
    ------
    ValueError
        If the level or the width is not positive.
    """

    norm: float
    level: float
    width: float
    alpha: float
    gamma: float
    linear_below: float = 0.0
    reference_time: float = 1000.0

    def __post_init__(self):
        if not (self.level > 0 and self.width > 0):
            raise ValueError(
                f"the Fermi curve has level {self.level} e- and width {self.width} e-; "
                "both have to be positive"
            )

    def __call__(self, fluence, *, exposure_time=None):
        """See `StimulusCurve`."""
        fluence = np.asarray(fluence)
        x = np.maximum(fluence.astype(np.float64), 0.0)  # keeps NaN
        with np.errstate(invalid="ignore"):  # infinite fluence
            amplitude = self._fermi(np.maximum(x, self.linear_below))
            if self.linear_below > 0:
                amplitude *= np.minimum(x / self.linear_below, 1.0)
        return _finish(fluence, amplitude, self.gamma)

    def _fermi(self, x):
        return self.norm * (x / self.level) ** self.alpha * expit((x - self.level) / self.width)


HST_WFC3_IR = FermiCurve(norm=0.3, level=83400.0, width=18500.0, alpha=0.159, gamma=1.022)
"""Typical pixel of HST WFC3/IR; not a calibration of any other detector."""

ROMAN_WFI = FermiCurve(norm=0.017, level=6e4, width=5e4, alpha=0.045, gamma=1.0, linear_below=5e4)
"""What the simulators of Roman assume (romanisim, after Sanchez et al. 2023)."""


@dataclass(frozen=True)
class TableCurve:
    """
    Amplitude and slope from a table over fluence and, if given, duration of the stimulus.

    The logarithm of the amplitude and the slope are interpolated over the logarithm of the fluence.
    Below the table the amplitude falls to zero in proportion to the fluence, above it the amplitude
    stays; the slope stays on both sides. Between durations both are linear in the logarithm of the
    duration; beyond the first and the last one they stay.

    Attributes
    ----------
    fluence : ndarray
        Fluences in e-, 1-D, positive and increasing.
    amplitude : ndarray
        Rates in e-/s at the reference time, positive, (n_fluences,), or (n_times, n_fluences).
    gamma : ndarray
        Slopes, of the same shape.
    exposure_time : ndarray or None
        Durations in s, (n_times,), positive and increasing; None for a table without them.
    interpolation : {"linear", "monotone"}
        Straight lines, or smooth curves that never overshoot.
    reference_time : float
        Seconds after the stimulus.

    Raises
    ------
    ValueError
        If the table is not what is said above.
    """

    fluence: np.ndarray
    amplitude: np.ndarray
    gamma: np.ndarray
    exposure_time: np.ndarray | None = None
    interpolation: str = "linear"
    reference_time: float = 1000.0

    def __post_init__(self):
        names = ["fluence", "amplitude", "gamma"]
        names += ["exposure_time"] if self.exposure_time is not None else []
        for name in names:
            object.__setattr__(self, name, np.asarray(getattr(self, name), np.float64))
        leading = () if self.exposure_time is None else self.exposure_time.shape
        if not self.amplitude.shape == self.gamma.shape == (*leading, *self.fluence.shape):
            raise ValueError(
                f"the table of persistence has amplitudes of shape {self.amplitude.shape} and "
                f"slopes of shape {self.gamma.shape} for {(*leading, *self.fluence.shape)} entries"
            )
        for name, values in (("fluences", self.fluence), ("durations", self.exposure_time)):
            if values is not None and not _positive_and_increasing(values):
                raise ValueError(
                    f"the {name} of a table of persistence have to be positive and to increase"
                )
        if not (np.all(self.amplitude > 0) and np.all(np.isfinite(self.gamma))):
            raise ValueError("a table of persistence needs positive amplitudes and finite slopes")
        if self.interpolation not in ("linear", "monotone"):
            raise ValueError(
                f'interpolation "{self.interpolation}" is not known; give "linear" or "monotone"'
            )

    def __call__(self, fluence, *, exposure_time=None):
        """See `StimulusCurve`; a table over durations needs the one of the stimulus."""
        fluence = np.asarray(fluence)
        log_amplitude, gamma = self._at(exposure_time)
        edges = np.log(self.fluence)
        with np.errstate(invalid="ignore", divide="ignore"):
            x = np.log(fluence.astype(np.float64))  # NaN where negative, -inf where 0
        inside = np.clip(np.where(np.isfinite(x), x, edges[0]), edges[0], edges[-1])
        interpolate = _linear if self.interpolation == "linear" else _monotone
        log_a, gamma = interpolate(inside, edges, np.array([log_amplitude, gamma]))
        # in proportion to the fluence below the first one
        with np.errstate(invalid="ignore"):
            log_a += np.minimum(x - edges[0], 0.0)
        return _finish(fluence, np.exp(log_a), gamma)

    def _at(self, exposure_time):
        """Logarithm of the amplitude, and slope, at the fluences of the table."""
        log_amplitude = np.log(self.amplitude)
        if self.exposure_time is None:
            return log_amplitude, self.gamma
        if exposure_time is None or not exposure_time > 0:
            raise ValueError(
                f"the duration of the stimulus is {exposure_time}; the table of persistence "
                "depends on it, so give a positive number of seconds"
            )
        x = np.clip(exposure_time, self.exposure_time[0], self.exposure_time[-1])
        tables = np.stack([log_amplitude, self.gamma])
        if len(self.exposure_time) == 1:
            return tables[:, 0]
        later = np.clip(np.searchsorted(self.exposure_time, x), 1, len(self.exposure_time) - 1)
        first, last = np.log(self.exposure_time[later - 1 : later + 1])
        share = (np.log(x) - first) / (last - first)
        return (1 - share) * tables[:, later - 1] + share * tables[:, later]


def _linear(x, edges, tables):
    """Straight lines through all tables."""
    return [np.interp(x, edges, table) for table in tables]


def _monotone(x, edges, tables):
    """Smooth curves that keep between neighbouring entries."""
    if len(edges) == 1:
        return _linear(x, edges, tables)
    return [PchipInterpolator(edges, table)(x) for table in tables]


def _positive_and_increasing(values):
    return values.ndim == 1 and values.size and values[0] > 0 and np.all(np.diff(values) > 0)


def _finish(fluence, amplitude, gamma):
    """No persistence without charge, no prediction without a fluence; type of the fluence."""
    dtype = np.float32 if fluence.dtype == np.float32 else np.float64
    known = np.isfinite(fluence)
    amplitude = np.where(known, np.where(fluence > 0, amplitude, 0.0), np.nan)
    return amplitude.astype(dtype), np.where(known, gamma, np.nan).astype(dtype)
