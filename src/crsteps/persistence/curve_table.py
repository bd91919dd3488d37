"""A stimulus curve tabulated over the fluence, for stimuli of a million pixels.

A curve takes logarithms, searches and exponentials for every pixel. Its table has equal steps in
the number that a float32 is stored as, which grows by one from one float32 to the next: octaves of
the fluence, each cut into equal parts. So the leading bits of a fluence are its place in the table,
the others its place between two entries, and straight lines between these are as good as the curve.
Where they are not, as at a bend of the curve, the curve itself is asked.
"""

from __future__ import annotations

import numpy as np

__all__ = ["TOLERANCE", "CurveTable"]

TOLERANCE = 1e-6
"""Largest error of the amplitude, relative, and of the slope, besides those of float32."""

# Bits of a float32 that do not tell the place in the table: 4096 entries in an octave.
_SHIFT = np.int32(23 - 12)
_FRACTION = np.int32((1 << _SHIFT) - 1)
# Fluences of the table [e-]; what is outside is rare, or zero.
_LOWEST, _HIGHEST = 16.0, 2.0**20


class CurveTable:
    """
    A stimulus curve that takes few steps for a pixel; it is a `StimulusCurve`.

    Parameters
    ----------
    curve : StimulusCurve
        The curve.
    exposure_time : float or None
        Duration of the stimulus in s, for curves that depend on it.
    highest : float
        Largest fluence in e- that is expected; larger ones take the time of the curve itself.
    """

    def __init__(self, curve, *, exposure_time=None, highest=_HIGHEST):
        self.reference_time = curve.reference_time
        self._curve, self._exposure_time = curve, exposure_time
        first, last = (int(_bits(f) >> _SHIFT) for f in (_LOWEST, min(highest, _HIGHEST)))
        # the first and the last entry stand for all fluences beyond, where the curve is asked
        self._first = np.int32(first - 1)
        halves = np.arange(2 * first, 2 * last + 3, dtype=np.int32) << (_SHIFT - 1)
        fluence = halves.view(np.float32).astype(np.float64)
        amplitude, gamma = curve(fluence, exposure_time=exposure_time)
        # a bend near an entry is worse there than in the middle, up to twice
        bad = _error_in_the_middle(amplitude) > TOLERANCE / 2 * np.abs(amplitude[1::2])
        bad |= _error_in_the_middle(gamma) > TOLERANCE / 2
        self._amplitude = _with_ends(amplitude, unknown=bad)
        self._gamma = _with_ends(gamma, unknown=bad)

    def __call__(self, fluence, *, exposure_time=None):
        """
        Amplitude and slope left by the stimulus.

        Parameters
        ----------
        fluence : ndarray of float32
            Charge at the end of the stimulus in e-, (n,).
        exposure_time : float, optional
            Not used; that of the table holds.

        Returns
        -------
        amplitude, gamma : ndarray of float32
            Those of the curve within `TOLERANCE`, (n,).
        """
        bits = fluence.view(np.int32)
        place = ((bits >> _SHIFT) - self._first).astype(np.intp)
        fraction = (bits & _FRACTION).astype(np.float32)
        amplitude, gamma = (
            steps.take(place, mode="clip") * fraction + entries.take(place, mode="clip")
            for entries, steps in (self._amplitude, self._gamma)
        )
        unknown = np.isnan(amplitude)
        if unknown.any():
            exact = self._curve(fluence[unknown], exposure_time=self._exposure_time)
            amplitude[unknown], gamma[unknown] = exact
        return amplitude, gamma


def _bits(number):
    """Number that a float32 is stored as."""
    return np.float32(number).view(np.int32)


def _error_in_the_middle(values):
    """How far straight lines between every other value are off at those between."""
    return np.abs((values[:-1:2] + values[2::2]) / 2 - values[1::2])


def _with_ends(values, *, unknown):
    """Entries of a table, NaN where not known and beyond both ends, and steps to the next one."""
    entries = np.where(unknown, np.nan, values[:-1:2])
    steps = np.diff(values[::2]) / (_FRACTION + 1)
    return (
        np.pad(entries, 1, constant_values=np.nan).astype(np.float32),
        np.pad(steps, 1).astype(np.float32),
    )
