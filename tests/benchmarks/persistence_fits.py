"""Fits of simulated series of darks: pulls, prediction of the next dark, and scipy's curve_fit."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
from scipy.optimize import curve_fit

from crsteps.persistence.dark_series import DarkTimes
from crsteps.persistence.fit import (
    AT_BOUND,
    NOT_CONVERGED,
    NOT_FITTED,
    POOR_FIT,
    SHRUNK,
    FitOptions,
    fit_dark_series,
)
from crsteps.persistence.group_charge import GroupTimes
from crsteps.simulation.persistence_series import DarkSeriesOptions, simulate_dark_series

SERIES = DarkSeriesOptions()
N_CHANNELS = 32
BRIGHT, FAINT = 0.1, 0.3  # e-/s at 1000 s
_UNUSABLE = NOT_FITTED | NOT_CONVERGED | AT_BOUND | POOR_FIT


def dark_times(delays, readout=SERIES.readout):
    """Times of a series as the fit takes them."""
    groups = GroupTimes.regular(
        readout.n_groups,
        frame_time=readout.frame_time,
        n_frames=readout.n_frames,
        n_drops=readout.n_drops,
    )
    return DarkTimes.same_readout(delays, groups)


def fit_series(darks, delays, **options):
    """Fit all pixels, with the slopes of faint ones told by their channel."""
    nx = darks.shape[2]
    return fit_dark_series(
        darks,
        dark_times(delays),
        variance=SERIES.read_noise**2,
        channels=np.arange(nx) * N_CHANNELS // nx,
        options=FitOptions(**options),
    )


def measure_pulls(shape, *, seed, hit_rate=SERIES.hit_rate):
    """
    Fit a series but for its last dark, and predict that.

    Parameters
    ----------
    shape : tuple of int
        Shape of the images.
    seed : int
        Seed of the random numbers.
    hit_rate : float
        Cosmic rays per cm2 and s.

    Returns
    -------
    dict
        For the pixels above `BRIGHT`, those of them below `FAINT`, and the others: number, standard
        deviation and mean of the pulls, standard deviation of the middle of their distribution
        (from the quartiles), and bias and error of the predicted signal in e-, of the persistence
        alone and with the dark level.
    """
    options = replace(SERIES, shape=tuple(shape), n_darks=SERIES.n_darks + 1, hit_rate=hit_rate)
    series = simulate_dark_series(options, seed=seed)
    fit = fit_series(series.darks[:-1], series.delays[:-1])
    pulls = {
        "A": _pull_of_amplitude(fit, series, fit.reference_time),
        "A(1000 s)": _pull_of_amplitude(fit, series, 1000.0),
        "gamma": (fit.gamma - series.gamma) / np.sqrt(fit.covariance[2]),
    }
    predictions = _predict_next(fit, series)
    usable = (fit.quality & _UNUSABLE) == 0
    bright, hot = series.amplitude > BRIGHT, series.dark_rate > 0.3
    groups = {
        "A > 0.1": bright,
        "A 0.1 to 0.3": bright & (series.amplitude < FAINT),
        "A > 0.1, quality good": bright & usable,
        "A > 0.1, hot": bright & hot,
        "A < 0.1": ~bright,
    }
    return {
        name: {"pixels": int(where.sum())}
        | {f"pull {key}": _moments(pull[where]) for key, pull in pulls.items()}
        | {key: _bias(*(part[where] for part in pair)) for key, pair in predictions.items()}
        for name, where in groups.items()
    }


def _pull_of_amplitude(fit, series, reference_time):
    """Error of the amplitude of a reference time over its standard deviation."""
    amplitude, covariance = fit.at(reference_time)
    truth = series.amplitude * (reference_time / 1000.0) ** -series.gamma
    return (amplitude - truth) / np.sqrt(covariance.amplitude)


def _predict_next(fit, series):
    """Error of the predicted signal of the last dark in e-, and its standard deviation."""
    times = dark_times(series.delays[-1:])
    step = 1e-3
    unit, above, below = (
        times.unit_signals(np.nan_to_num(fit.gamma) + d, reference_time=fit.reference_time)[..., 0]
        for d in (0.0, step, -step)
    )
    by_gamma = fit.amplitude * (above - below) / (2 * step)
    seconds = times.integration_times[0]
    aa, dd, gg, ad, ag, dg = fit.covariance.astype(np.float64)
    alone = unit**2 * aa + by_gamma**2 * gg + 2 * unit * by_gamma * ag
    total = alone + seconds**2 * dd + 2 * seconds * (unit * ad + by_gamma * dg)
    error = fit.amplitude * unit - series.expected_persistence(series.delays[-1])
    return {
        "persistence": (error, np.sqrt(alone)),
        "signal": (error + seconds * (fit.dark_rate - series.dark_rate), np.sqrt(total)),
    }


def _moments(pull):
    pull = pull[np.isfinite(pull)]
    low, high = np.percentile(pull, [25, 75])
    return {
        "std": float(pull.std()),
        "mean": float(pull.mean()),
        "middle": float((high - low) / 1.349),
    }


def _bias(error, sigma):
    """Mean error and typical standard deviation."""
    known = np.isfinite(error) & np.isfinite(sigma)
    error, sigma = error[known], sigma[known]
    return {
        "bias": float(error.mean()),
        "median": float(np.median(error)),
        "error": float(np.sqrt(np.mean(sigma**2))),
        "pull": float(np.std(error / sigma)),
    }


class CurveFit:
    """
    Scipy's curve_fit of single pixels with the charge of the power law over all frames.

    Parameters
    ----------
    delays : ndarray
        Seconds from the stimulus to the reset of each dark.
    reference_time : float
        Seconds after the stimulus at which the rate is the amplitude.
    bounded : bool
        Whether the slope is kept in the range of `fit_dark_series` (trust region) or is free
        (Levenberg-Marquardt), which takes less time.
    """

    def __init__(self, delays, reference_time, *, bounded=True):
        times = dark_times(delays)
        self.seconds, self.middles = times.integration_times, times.middles
        groups = times.groups[0]
        first, last = groups.frames[0], groups.frames[-1]
        self.bounds = ([-np.inf, -np.inf, 0.1], [np.inf, np.inf, 2.5])
        self.bounds = self.bounds if bounded else (-np.inf, np.inf)
        ends = times.delays[:, np.newaxis] + np.concatenate([first, last])
        self.logs = np.log(ends / reference_time)
        self.weights = np.repeat([-1.0, 1.0], first.size) / first.size * reference_time

    def signal(self, _, amplitude, dark, gamma):
        """Signals of the darks."""
        s = 1 - gamma
        charge = np.expm1(s * self.logs) / s if abs(s) > 1e-9 else self.logs
        return amplitude * (charge @ self.weights) + dark * self.seconds

    def fit(self, signals, used, *, rounds):
        """
        Fit one pixel.

        Parameters
        ----------
        signals : ndarray
            Signals of the darks in e-.
        used : ndarray of bool
            Darks that are used.
        rounds : int
            How often it is fitted, each time with the photon noise of the fit before.

        Returns
        -------
        best, errors : ndarray
            Amplitude, dark level and slope, and their standard deviations; NaN without success.
        """
        sigma = np.full(used.sum(), SERIES.read_noise)
        best = [max(signals[used][0] / self.seconds[0], 0.1), 0.0, 1.0]
        for _ in range(rounds):
            try:
                best, covariance = curve_fit(
                    lambda x, *p: self.signal(x, *p)[used],
                    self.middles[used],
                    signals[used],
                    best,
                    sigma,
                    absolute_sigma=True,
                    bounds=self.bounds,
                )
            except RuntimeError:
                return np.full((2, 3), np.nan)
            expected = np.maximum(self.signal(None, *best)[used], 0)
            sigma = np.sqrt(SERIES.read_noise**2 + expected)
        return np.array([best, np.sqrt(np.diag(covariance))])


def compare_with_curve_fit(darks, delays, sample, *, rounds_of_agreement=4):
    """
    Time the fit of all pixels and curve_fit on a sample of them, in turns.

    Returns
    -------
    dict
        CPU seconds per pixel of all, and of a second fit in the same process, for which compiled
        code need not be loaded, differences in units of the error (median, 99 %) for pixels
        that the fit tells by themselves, and how many of them.
    """
    where = np.sort(np.random.default_rng(1).choice(darks[0].size, sample, replace=False))
    signals = darks.reshape(len(darks), -1)[:, where].T.astype(np.float64)
    every = np.ones(len(darks), bool)
    bounded = CurveFit(delays, dark_times(delays).centre)
    free = CurveFit(delays, dark_times(delays).centre, bounded=False)
    half = len(signals) // 2

    def seconds_of(peer, rows):
        start = time.process_time()
        for row in rows:
            peer.fit(row, every, rounds=1)
        return time.process_time() - start

    peers = {"curve_fit, bounded": bounded, "curve_fit, free": free}
    spent = {name: seconds_of(peer, signals[:half]) for name, peer in peers.items()}
    ours = []
    for _ in range(2):
        start = time.process_time()
        fit = fit_series(darks, delays)
        ours.append(time.process_time() - start)
    for name, peer in peers.items():
        spent[name] += seconds_of(peer, signals[half:])
    report = {name: seconds / len(signals) for name, seconds in spent.items()}
    report["crsteps"], report["crsteps, next detector"] = (s / darks[0].size for s in ours)
    report["pixels"] = int(darks[0].size)
    return report | _agreement(fit, bounded, signals, where, rounds_of_agreement)


def _agreement(fit, peer, signals, where, rounds):
    """Differences of pixels that are fitted by themselves, with the same darks left out."""
    used = np.ones(signals.shape, bool)
    dark, pixel = fit.excluded.T
    place = np.minimum(np.searchsorted(where, pixel), where.size - 1)
    mine = where[place] == pixel
    used[place[mine], dark[mine]] = False
    alone = (fit.quality.ravel()[where] & (_UNUSABLE | SHRUNK)) == 0
    differences = []
    for row in np.flatnonzero(alone):
        best, errors = peer.fit(signals[row], used[row], rounds=rounds)
        images = (fit.amplitude, fit.dark_rate, fit.gamma)
        found = np.array([image.ravel()[where[row]] for image in images])
        differences.append(np.abs(found - best) / errors)
    differences = np.array(differences)
    failed = ~np.isfinite(differences).all(axis=1)
    largest = differences[~failed].max(axis=1)
    return {
        "compared": int(alone.sum()),
        "curve_fit failed": int(failed.sum()),
        "difference, median": float(np.median(largest)),
        "difference, 99 %": float(np.percentile(largest, 99)),
    }
