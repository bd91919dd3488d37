"""How well a fit predicts darks that it has not seen, and how the mean of the darks decays.

The last darks are held out: a fit of the others, in pixels drawn at random, predicts them. Means
are those of the pixels that no cosmic ray has hit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crsteps.persistence.dark_series import DarkTimes
from crsteps.persistence.fit import NOT_CONVERGED, NOT_FITTED, DecayFit, fit_dark_series
from crsteps.persistence.group_charge import product_persistence

__all__ = ["SeriesCheck", "check_series", "predict_dark"]

# A pixel counts as hit this many standard deviations above its prediction. A persistence that is
# predicted wrong by this fraction is not to be hidden as a hit.
_HIT = 5.0
_MODEL_ERROR = 0.2
# Step of a numerical derivative of float32 numbers.
_SLOPE_STEP = 0.01
_SEED = 20250608  # of the choice of pixels


@dataclass(frozen=True)
class SeriesCheck:
    """
    Darks before and after the correction.

    Attributes
    ----------
    times : ndarray
        Seconds from the end of the illumination to the middle of each dark, (n_darks,).
    raw, corrected : ndarray
        Mean over the pixels of the rate of each dark in e-/s, as it is and without the predicted
        persistence, (n_darks,).
    error : ndarray
        Error of these means by the noise of the pixels in e-/s, (n_darks,).
    is_held_out : ndarray of bool
        Darks that the fit has not seen, (n_darks,).
    level, level_error : float
        Mean dark level of the same pixels in e-/s, and its error by the noise of the pixels.
    before, after : ndarray
        Signal of each pixel above its dark level in the darks that were held out, in e-, without
        and with the correction, (n_held_out, n_pixels); NaN where hit or missing.
    predicted, sigma : ndarray
        Persistence that was predicted, and the standard deviation that is expected of `after`: of
        noise, photons and fit; likewise.
    """

    times: np.ndarray
    raw: np.ndarray
    corrected: np.ndarray
    error: np.ndarray
    is_held_out: np.ndarray
    level: float
    level_error: float
    before: np.ndarray
    after: np.ndarray
    predicted: np.ndarray
    sigma: np.ndarray

    @property
    def n_held_out(self) -> int:
        """Number of darks that were held out."""
        return int(self.is_held_out.sum())

    def held_out_means(self):
        """
        Mean residual of the darks that were held out.

        Returns
        -------
        before, after, error : float
            Means over pixels and darks in e-/s above the dark level, and the error of both by noise
            and fit; NaN if none was held out.
        """
        own = self.is_held_out
        if not own.any():
            return np.nan, np.nan, np.nan
        before, after = (values[own].mean() - self.level for values in (self.raw, self.corrected))
        error = np.sqrt(np.mean(self.error[own] ** 2) / own.sum() + self.level_error**2)
        return float(before), float(after), float(error)

    def pull_spread(self):
        """
        Spread of the residuals of pixels in the darks that were held out.

        Returns
        -------
        float
            Half the distance between the 16th and the 84th percentile of residual over expected
            standard deviation, which should be 1; NaN if none was held out.
        """
        pulls = (self.after / self.sigma)[np.isfinite(self.after)]
        if not pulls.size:
            return float("nan")
        low, high = np.quantile(pulls, [0.1587, 0.8413])
        return float(high - low) / 2


def predict_dark(fit: DecayFit, times: DarkTimes, dark):
    """
    Predict the persistence in a dark.

    Parameters
    ----------
    fit : DecayFit
        Fit of all pixels.
    times : DarkTimes
        Times of the series.
    dark : int
        Number of the dark.

    Returns
    -------
    persistence : ndarray
        Its persistence in e-, float64, of the shape of the fit.
    variance : ndarray
        Variance of persistence and dark level together, by the errors of the fit, in squared e-.
    """
    groups, delay = times.groups[dark], times.delays[dark]
    t = groups.integration_time
    g, more, less = (
        t
        * product_persistence(
            groups,
            delay=delay,
            amplitude=1.0,
            gamma=fit.gamma + np.float32(step),
            reference_time=fit.reference_time,
        ).rate.astype(np.float64)
        for step in (0.0, _SLOPE_STEP, -_SLOPE_STEP)
    )
    by_slope = fit.amplitude * (more - less) / (2 * _SLOPE_STEP)
    aa, dd, gg, ad, ag, dg = fit.covariance.astype(np.float64)
    variance = aa * g**2 + dd * t**2 + gg * by_slope**2
    variance += 2 * (ad * g * t + ag * g * by_slope + dg * t * by_slope)
    return fit.amplitude * g, np.maximum(variance, 0)


def check_series(
    darks,
    times: DarkTimes,
    *,
    n_held_out,
    variance,
    options,
    channels=None,
    master_dark=None,
    master_dark_error=0.0,
    n_pixels=200_000,
) -> SeriesCheck | None:
    """
    Predict the last darks of a series by a fit of the others.

    Parameters
    ----------
    darks : ndarray
        Signals in e-, NaN where missing, (n_darks, n).
    times : DarkTimes
        Times of the series.
    n_held_out : int
        Number of darks held out; may be 0.
    variance : float or ndarray
        Variance of a signal without photon noise in squared e-, a number or (n,).
    options : FitOptions
        Options of the fit.
    channels : ndarray of int, optional
        Channel of each pixel, (n,).
    master_dark : ndarray, optional
        Dark level in e-/s, (n,).
    master_dark_error : float
        Its standard deviation in e-/s.
    n_pixels : int
        Pixels to draw, if there are more.

    Returns
    -------
    check : SeriesCheck or None
        None if no pixel can be fitted.
    """
    chosen = np.arange(darks.shape[1])
    if chosen.size > n_pixels:
        rng = np.random.default_rng(_SEED)
        chosen = np.sort(rng.choice(chosen.size, n_pixels, replace=False))
    some = np.ascontiguousarray(darks[:, np.newaxis, chosen])
    n_seen = times.n_darks - n_held_out
    seen = DarkTimes(times.delays[:n_seen], times.groups[:n_seen])
    variance = np.broadcast_to(variance, darks.shape[1:])[chosen]
    fit = fit_dark_series(
        some[:n_seen],
        seen,
        variance=np.broadcast_to(variance, some[:n_seen].shape),
        master_dark=None if master_dark is None else master_dark[np.newaxis, chosen],
        master_dark_error=master_dark_error,
        channels=None if channels is None else channels[np.newaxis, chosen],
        options=options,
    )
    good = (fit.quality & (NOT_FITTED | NOT_CONVERGED)) == 0
    if not good.any():
        return None
    return _compare(some[:, 0], times, fit, good[0], variance, options.photon_noise, n_seen)


def _compare(darks, times, fit, good, variance, photon_noise, n_seen):
    """Means of all darks, and the pixels of those that were held out."""
    exposure = times.integration_times
    dark_rate, level_variance = fit.dark_rate[0], fit.covariance[1, 0]
    means, pixels = [], []
    for i, (dark, t) in enumerate(zip(darks, exposure, strict=True)):
        persistence, of_fit = (values[0] for values in predict_dark(fit, times, i))
        model = persistence + t * dark_rate
        noise2 = variance + photon_noise * np.maximum(model, 0)
        limit = _HIT * np.sqrt(noise2 + of_fit + (_MODEL_ERROR * persistence) ** 2)
        with np.errstate(invalid="ignore"):
            kept = good & np.isfinite(dark) & (dark - model < limit)
        signal = dark[kept].astype(np.float64)
        corrected = signal - persistence[kept]
        # the level of the same pixels, so that those left out do not matter
        shift = dark_rate[good].mean(dtype=np.float64) - dark_rate[kept].mean(dtype=np.float64)
        noise = np.sqrt(noise2[kept].mean() / max(kept.sum(), 1)) / t
        means.append((signal.mean() / t + shift, corrected.mean() / t + shift, noise))
        if i >= n_seen:
            before = np.where(kept, dark - t * dark_rate, np.nan)
            sigma = np.sqrt(noise2 + of_fit)
            pixels.append((before, before - persistence, persistence, sigma))
    raw, corrected, error = np.array(means).T
    empty = np.zeros((0, darks.shape[1]), np.float32)
    parts = [np.array(part, np.float32) for part in zip(*pixels, strict=True)] or [empty] * 4
    return SeriesCheck(
        times.middles,
        raw,
        corrected,
        error,
        np.arange(len(darks)) >= n_seen,
        float(dark_rate[good].mean(dtype=np.float64)),
        float(np.sqrt(np.mean(level_variance[good], dtype=np.float64) / good.sum())),
        *parts,
    )
