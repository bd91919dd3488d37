"""The compiled arithmetic of a fit, if numba is installed and there are enough pixels for it."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module

import numpy as np
from numpy.polynomial import chebyshev

from crsteps.persistence.fit_series import Estimate

__all__ = ["CompiledFit", "with_compiled"]

# Pixels from which on it is worth the time of compilation, which is spent once on a computer.
_WORTH_COMPILING = 2**20


def with_compiled(series, *, n_pixels):
    """
    Let the sums of a series be done by compiled loops where that is possible and worth its time.

    Parameters
    ----------
    series : crsteps.persistence.fit_series.Series
        The series.
    n_pixels : int
        Number of pixels that will be fitted.

    Returns
    -------
    series : Series
        The same with ``compiled`` set, or as it is: for few pixels, without numba or a folder in
        which numba can keep what it compiled, and for darks that span so long a time that their
        polynomials have more terms than the loops.
    """
    if n_pixels < _WORTH_COMPILING:
        return series
    try:
        loops = import_module("crsteps.persistence.fit_loops")
    except RuntimeError:  # of numba: it has no folder for what it compiles
        return series
    fits = series.shape.shape[1] <= loops.TERMS and len(series.nodes) == loops.NODES
    if not (loops.COMPILED and fits):
        return series
    return replace(series, compiled=CompiledFit(series, loops))


class CompiledFit:
    """
    The steps of `fit_kernel` for one series, in compiled loops.

    Parameters
    ----------
    series : crsteps.persistence.fit_series.Series
        The series.
    loops : module
        `crsteps.persistence.fit_loops`.
    """

    def __init__(self, series, loops):
        self._loops = loops
        self._fine, self._coarse = (
            (
                _coefficients(part, loops.TERMS),
                np.ascontiguousarray(part.signals.T),
                np.ascontiguousarray(part.exposure, np.float32),
            )
            for part in (series, series.coarse)
        )
        self._firsts = np.array([*series.first, len(series.exposure)])
        self._nodes = series.nodes.astype(np.float32)
        self._limits = tuple(map(np.float32, (series.low, series.high, series.photon_noise)))

    def search(self, signals):
        """
        Do what `fit_kernel.search` does.

        Parameters
        ----------
        signals : Signals
            The signals.

        Returns
        -------
        estimate : Estimate
            Parameters of their pixels.
        """
        return self._run(
            signals, np.zeros((11, signals.y.shape[1]), np.float32), task=self._loops.SEARCH
        )

    def step(self, signals, amplitude, dark, gamma):
        """
        Take one Gauss-Newton step.

        Parameters
        ----------
        signals : Signals
            The signals.
        amplitude, dark, gamma : ndarray
            Where it starts, (n,).

        Returns
        -------
        estimate : Estimate
            Parameters where it ends, and the covariance where it starts.
        """
        out = np.empty((11, signals.y.shape[1]), np.float32)
        out[:3] = amplitude, dark, gamma
        return self._run(signals, out, task=self._loops.STEP)

    def worst_dark(self, signals, estimate):
        """
        Do what `fit_kernel.worst_dark` does.

        Parameters
        ----------
        signals : Signals
            The signals.
        estimate : Estimate
            The fit to all usable darks.

        Returns
        -------
        dark : ndarray of int
            Dark of each pixel that is brightest against the fit to the others.
        residual : ndarray of float32
            Its residual in units of its standard deviation.
        """
        fitted = (estimate.amplitude, estimate.dark, estimate.gamma, estimate.chi2)
        out = np.array([*fitted, estimate.decrement, *estimate.covariance], np.float32)
        self._run(signals, out, task=self._loops.WORST)
        return out[0].astype(np.intp), out[1]

    def _run(self, signals, out, *, task):
        given = np.zeros((3, out.shape[1]), np.float32)
        if signals.expected_gamma is not None:
            given[:2] = signals.expected_gamma, signals.gamma_precision
        given[2] = signals.dark_precision
        usable = np.zeros((0, 0), bool) if signals.usable is None else signals.usable
        self._loops.fit_loop(
            np.ascontiguousarray(signals.y, np.float32),
            np.ascontiguousarray(signals.variance, np.float32),
            np.ascontiguousarray(usable),
            given,
            self._fine,
            self._coarse,
            self._firsts,
            self._nodes,
            self._limits,
            task,
            out,
        )
        return Estimate(out[0], out[1], out[2], out[5:], out[3], out[4])


def _coefficients(series, n_terms):
    """Signals of the darks as powers of the slope, float32, (n_darks, n_terms)."""
    signals = series.shape[: len(series.exposure)].astype(np.float64)
    powers = np.zeros((len(signals), n_terms), np.float32)
    for row, terms in zip(powers, signals, strict=True):
        row[: terms.size] = chebyshev.cheb2poly(terms)
    return powers
