"""What the fit of a decay works on: the series of darks, signals of pixels, estimates."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.polynomial import chebyshev

from crsteps.persistence.slope_expansion import expand_in_slope

__all__ = ["Estimate", "Series", "Signals", "make_series"]

_NODES = 12
_TOLERANCE = 1e-5
# Darks that are short against the time since the stimulus are added up for a first estimate.
_RUN = 4 / 3


@dataclass(frozen=True)
class Series:
    """
    The series of darks, in units in which the mean integration time is 1.

    Attributes
    ----------
    low, high : float
        Range of slopes.
    unit : float
        Mean integration time in s.
    reference_time : float
        Seconds after the stimulus to which amplitudes belong.
    exposure : ndarray
        Integration time of each dark, float32, (n_darks,).
    shape : ndarray
        Chebyshev coefficients of the signals of the darks and, after them, of their derivatives
        with respect to the slope, float32, (2 n_darks, n_terms).
    nodes : ndarray
        Slopes of the grid, descending, float64, (n_nodes,).
    signals : ndarray
        Signals at the nodes, float32, (n_nodes, n_darks).
    photon_noise : float
        Variance per e- of signal.
    first : tuple of int
        First dark of each run of darks that are short against the time since the stimulus.
    compiled : crsteps.persistence.fit_compiled.CompiledFit or None
        Compiled loops that do the sums; NumPy does them if None.
    """

    low: float
    high: float
    unit: float
    reference_time: float
    exposure: np.ndarray
    shape: np.ndarray
    nodes: np.ndarray
    signals: np.ndarray
    photon_noise: float
    first: tuple[int, ...]
    compiled: Any = None

    def sums(self, values):
        """
        Sum over the darks of each run.

        Parameters
        ----------
        values : ndarray
            One value for each dark along the first axis.

        Returns
        -------
        sums : ndarray
            The same with runs along the first axis.
        """
        runs = zip(self.first, [*self.first[1:], len(values)], strict=True)
        return np.stack([values[start:stop].sum(axis=0) for start, stop in runs])

    @cached_property
    def coarse(self) -> Series:
        """Series of the runs of darks, each added up, in which a slope is found with less work."""
        signals, slopes = np.split(self.shape, 2)
        return replace(
            self,
            exposure=self.sums(self.exposure),
            shape=np.concatenate([self.sums(signals), self.sums(slopes)]),
            signals=np.ascontiguousarray(self.sums(self.signals.T).T),
        )


@dataclass
class Estimate:
    """
    Parameters of some pixels and how well they fit, (n,).

    Attributes
    ----------
    amplitude, dark, gamma : ndarray
        Amplitude and dark level in e- per mean integration time, and slope.
    covariance : ndarray
        Covariances (aa, dd, gg, ad, ag, dg) of them, (6, n).
    chi2 : ndarray
        Sum of squares of the residuals over their errors.
    decrement : ndarray
        By how much the last step lowered chi2; small where the fit has converged.
    """

    amplitude: np.ndarray
    dark: np.ndarray
    gamma: np.ndarray
    covariance: np.ndarray
    chi2: np.ndarray
    decrement: np.ndarray

    def at(self, where):
        """
        Estimates of some pixels.

        Parameters
        ----------
        where : ndarray of int
            The pixels.

        Returns
        -------
        estimate : Estimate
            A copy.
        """
        return Estimate(*(getattr(self, item.name)[..., where] for item in fields(self)))

    def update(self, where, other):
        """
        Replace the values of some pixels, in place.

        Parameters
        ----------
        where : ndarray of int or slice
            The pixels.
        other : Estimate
            Their new values.
        """
        for item in fields(self):
            getattr(self, item.name)[..., where] = getattr(other, item.name)


def make_series(times, *, gamma_range, photon_noise):
    """
    Prepare the functions of the slope that a series of darks needs.

    Parameters
    ----------
    times : crsteps.persistence.dark_series.DarkTimes
        When the darks were taken.
    gamma_range : tuple of float
        Smallest and largest slope.
    photon_noise : float
        Variance per e- of signal.

    Returns
    -------
    series : Series
        The functions, at the geometric centre of the series as reference time.
    """
    low, high = gamma_range
    reference_time = times.centre
    exposure = times.integration_times
    unit = float(exposure.mean())

    def function(slopes):
        return times.unit_signals(slopes[:, 0], reference_time=reference_time) / unit

    expansion = expand_in_slope(function, low=low, high=high, log_time=0.0, tolerance=_TOLERANCE)
    nodes = (high + low) / 2 - (high - low) / 2 * chebyshev.chebpts1(_NODES)
    return Series(
        low=low,
        high=high,
        unit=unit,
        reference_time=reference_time,
        exposure=(exposure / unit).astype(np.float32),
        shape=expansion.with_derivative().coefficients.astype(np.float32),
        nodes=nodes,
        signals=function(nodes[:, np.newaxis]).astype(np.float32),
        photon_noise=photon_noise,
        first=_runs(times.middles),
    )


def _runs(middles):
    """First dark of each run in which the time since the stimulus grows by a third at most."""
    first = [0]
    for dark in range(1, len(middles)):
        run = middles[first[-1] : dark + 1]
        if run.max() > _RUN * run.min():
            first.append(dark)
    return tuple(first)


@dataclass(frozen=True)
class Signals:
    """
    Signals of some pixels and all that is given about them.

    Attributes
    ----------
    y : ndarray
        Signals in e-, less that of the given dark level, float32, (n_darks, n); finite.
    variance : ndarray
        Variance of each signal without photon noise in squared e-, float32, (n_darks, n) or
        (n_darks, 1).
    usable : ndarray or None
        Whether a signal counts, bool, (n_darks, n); all if None.
    expected_gamma, gamma_precision : ndarray or None
        Expected slope and its precision (inverse variance), (n,); none if None.
    dark_precision : float or ndarray
        Inverse variance of the given dark level in the units of the fit; 0 for a free dark level,
        infinite for one that is exact.
    """

    y: np.ndarray
    variance: np.ndarray
    usable: np.ndarray | None = None
    expected_gamma: np.ndarray | None = None
    gamma_precision: np.ndarray | None = None
    dark_precision: float | np.ndarray = 0.0

    def at(self, where):
        """
        Signals of some of the pixels.

        Parameters
        ----------
        where : ndarray of int
            The pixels.

        Returns
        -------
        signals : Signals
            A copy.
        """
        return Signals(*(_columns(getattr(self, item.name), where) for item in fields(self)))


def _columns(values, chosen):
    """Values of some pixels; what is the same for all pixels stays."""
    if values is None or np.ndim(values) == 0 or np.shape(values)[-1] == 1:
        return values
    return values.take(chosen, axis=-1)  # a third of the time of brackets, and contiguous
