"""All pixels of a series of darks through the fit, block by block, and the cosmic rays in them.

Most pixels have nothing to leave out and share their first weights, which makes them quick. Pixels
with missing darks, pixels that have not converged and pixels that fit so badly that a dark may be
hit are collected, and gone through a second time with weights of their own. Of a hit pixel the
worst dark is left out, as judged by its residual from the fit to the others, until none is left.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import chi2 as chi2_distribution

from crsteps.persistence.fit_kernel import CONVERGED, in_cache, refine, search, worst_dark
from crsteps.persistence.fit_series import Estimate, Signals

__all__ = ["DarkData", "PixelFits", "fit_pixels"]

_BLOCK = 6144
_SECOND_BLOCK = 32768
# A hit is looked for unless the other darks would fit better than this fraction of pixels does.
_GOOD_FIT = 0.05
# Pixels that are hit converge badly, and to nothing; the worst dark shows before.
_STEPS_BEFORE_HITS = 2


@dataclass(frozen=True)
class DarkData:
    """
    Signals of a series of darks, pixels in a row.

    Attributes
    ----------
    signals : ndarray
        Signals in e-, (n_darks, n_pixels), of any float type.
    flagged : ndarray or None
        Signals not to be used, bool, (n_darks, n_pixels).
    variance : ndarray
        Variance without photon noise in squared e-, (n_darks, n_pixels) or (n_darks, 1).
    master : ndarray or None
        Given dark level in e- per unit of time of the fit, (n_pixels,).
    master_precision : float or ndarray
        Its inverse variance, infinite for exact; 0 without a given level.
    """

    signals: np.ndarray
    flagged: np.ndarray | None
    variance: np.ndarray
    master: np.ndarray | None = None
    master_precision: float | np.ndarray = 0.0

    @property
    def n_pixels(self) -> int:
        """Number of pixels."""
        return self.signals.shape[1]

    def select(self, where):
        """
        Signals of some pixels.

        Parameters
        ----------
        where : ndarray of int or slice
            The pixels.

        Returns
        -------
        data : DarkData
            Their signals, copied.
        """

        def of(values):
            pixels = values is not None and np.ndim(values) and np.shape(values)[-1] > 1
            return values[..., where] if pixels else values

        if isinstance(where, slice):
            signals = np.ascontiguousarray(self.signals[:, where])
        else:
            signals = np.asarray(self.signals).take(where, axis=1)
        return DarkData(
            signals,
            of(self.flagged),
            of(self.variance),
            of(self.master),
            of(self.master_precision),
        )


@dataclass(frozen=True)
class PixelFits:
    """
    Fits of many pixels.

    Attributes
    ----------
    estimate : Estimate
        Parameters, covariance and chi2 in float32; NaN for pixels with too few darks.
    n_points : ndarray
        Number of darks used, int16, (n_pixels,).
    excluded : ndarray
        Dark and pixel of every signal that was left out as hit, int32, (n_excluded, 2).
    """

    estimate: Estimate
    n_points: np.ndarray
    excluded: np.ndarray


def fit_pixels(series, data, *, fewest, prior=None, hit_threshold=5.0, max_hits=5, max_steps=12):
    """
    Fit every pixel of a series of darks.

    Parameters
    ----------
    series : crsteps.persistence.fit_series.Series
        The series.
    data : DarkData
        The signals.
    fewest : int
        Fewest darks that are fitted.
    prior : tuple of ndarray, optional
        Expected slope and its precision, each (n_pixels,).
    hit_threshold : float
        Standard deviations above the fit to the others at which a dark counts as hit.
    max_hits : int
        Most darks left out of a pixel; 0 to look for none.
    max_steps : int
        Most Gauss-Newton steps.

    Returns
    -------
    fits : PixelFits
        Parameters of all pixels.
    """
    _keep_memory()
    n_darks, n_pixels = data.signals.shape
    result = _empty(n_pixels)
    n_points = np.full(n_pixels, n_darks, np.int16)
    limits = _chi2_limits(n_darks, fewest, hit_threshold if max_hits else np.inf)
    again = [np.zeros(0, int)]
    for start in range(0, n_pixels, _BLOCK):
        block = slice(start, min(start + _BLOCK, n_pixels))
        signals = _load(series, data, block, prior)
        if signals.usable is None:
            estimate = search(series, signals)
            result.update(block, estimate)
            bad = (estimate.decrement > CONVERGED) | (estimate.chi2 > limits[n_darks])
            again.append(start + np.flatnonzero(bad))
        else:
            again.append(np.arange(block.start, block.stop))
    again = np.concatenate(again)
    excluded = [np.zeros((2, 0), int)]
    for start in range(0, again.size, _SECOND_BLOCK):
        pixels = again[start : start + _SECOND_BLOCK]
        signals = _load(series, data, pixels, prior)
        estimate = result.at(pixels)
        hits = _leave_out_hits(
            series,
            signals,
            estimate,
            limits,
            fewest=fewest,
            threshold=hit_threshold,
            max_hits=max_hits,
            max_steps=max_steps,
        )
        result.update(pixels, estimate)
        usable = n_darks if signals.usable is None else signals.usable.sum(axis=0)
        n_points[pixels] = usable - hits.sum(axis=0)
        dark, column = np.nonzero(hits)
        excluded.append(np.stack([dark, pixels[column]]))
    excluded = np.concatenate(excluded, axis=1).T.astype(np.int32)
    return PixelFits(result, n_points, excluded)


def _keep_memory():
    """
    Let arrays of a block be reused instead of being given back to the system.

    The C library of Linux returns an array of this size at every release, and every new one has
    to be cleared by the system, until it has seen a larger one released. That costs a third of
    the time of a fit.
    """
    np.empty(1 << 24, np.uint8)


def _load(series, data, where, prior):
    """Signals of some pixels, less those of the given dark level."""
    part = data.select(where)
    y, variance, usable = part.signals.astype(np.float32, copy=False), part.variance, None
    complete = np.isfinite(y.sum()) and np.isfinite(variance.sum())
    if part.flagged is not None or part.master is not None or not complete:
        usable = np.isfinite(y) & np.isfinite(variance)
        if part.flagged is not None:
            usable &= ~part.flagged
    if part.master is not None:
        usable &= np.isfinite(part.master)
        given = series.exposure[:, np.newaxis] * part.master.astype(np.float32)
        y = y - given
        variance = variance + np.float32(series.photon_noise) * np.maximum(given, 0)
    if usable is not None and usable.all():
        usable = None
    if usable is not None:
        y, variance = np.where(usable, y, 0), np.where(usable, variance, 1)
    expected, precision = (None, None) if prior is None else (values[where] for values in prior)
    variance = variance.astype(np.float32, copy=False)
    return Signals(y, variance, usable, expected, precision, part.master_precision)


def _leave_out_hits(series, signals, estimate, limits, *, fewest, threshold, max_hits, max_steps):
    """
    Fit pixels, leaving out their worst dark as long as it is hit.

    The estimate holds NaN for pixels that have not been fitted, and is brought up to date. Returned
    are the darks left out, (n_darks, n).
    """
    n_darks, n_pixels = signals.y.shape
    hits = np.zeros((n_darks, n_pixels), bool)
    todo, mine, new = np.arange(n_pixels), signals, estimate
    for turn in range(max_hits + 1):
        points = n_darks if mine.usable is None else mine.usable.sum(axis=0)
        points = np.broadcast_to(points, todo.shape)
        unknown = np.flatnonzero(~np.isfinite(new.gamma) & (points >= fewest))
        for some in in_cache(unknown):
            new.update(some, search(series, mine.at(some)))
        refine(series, mine, new, max_steps=_STEPS_BEFORE_HITS)
        if new is not estimate:
            estimate.update(todo, new)
        suspect = np.flatnonzero((new.chi2 > limits[points]) & (points > fewest))
        if turn == max_hits or not suspect.size:
            break
        mine, new = mine.at(suspect), new.at(suspect)
        worst, residual = worst_dark(series, mine, new)
        hit = np.flatnonzero(residual > threshold)
        todo, worst = todo[suspect[hit]], worst[hit]
        hits[worst, todo] = True
        mine, new = mine.at(hit), _empty(hit.size)
        usable = np.ones(mine.y.shape, bool) if mine.usable is None else mine.usable
        usable[worst, np.arange(worst.size)] = False
        mine = replace(mine, usable=usable)
    rest = np.flatnonzero(estimate.decrement > CONVERGED)
    if rest.size:
        mine, new = signals.at(rest), estimate.at(rest)
        usable = ~hits[:, rest] if mine.usable is None else mine.usable & ~hits[:, rest]
        estimate.update(
            rest, refine(series, replace(mine, usable=usable), new, max_steps=max_steps)
        )
    return hits


def _chi2_limits(n_darks, fewest, threshold):
    """Value of chi2, by number of darks, above which one of them may be hit."""
    freedom = np.maximum(np.arange(n_darks + 1) - fewest, 1)  # of the fit to all but one
    return chi2_distribution.ppf(_GOOD_FIT, freedom) + threshold**2


def _empty(n_pixels):
    """Estimates of pixels that have not been fitted."""
    images = np.full((5, n_pixels), np.nan, np.float32)
    covariance = np.full((6, n_pixels), np.nan, np.float32)
    a, d, g, chi2, decrement = images
    return Estimate(a, d, g, covariance, chi2, decrement)
