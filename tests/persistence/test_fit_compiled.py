"""Compiled loops of the fit against NumPy's, on the same darks."""

import dataclasses

import numpy as np
import pytest

from crsteps.persistence import fit_compiled
from crsteps.persistence.dark_series import DarkTimes
from crsteps.persistence.fit import FitOptions, fit_dark_series
from crsteps.persistence.group_charge import GroupTimes
from crsteps.simulation.persistence_series import DarkSeriesOptions, simulate_dark_series

pytestmark = pytest.mark.extras

MACC = GroupTimes.regular(4, n_frames=16, n_drops=4, frame_time=1.454)
# 81 rows: the last group of pixels is not full
HIT = DarkSeriesOptions(shape=(81, 83), hit_rate=5.0, hot_fraction=0.01)
PARAMETERS = ("amplitude", "dark_rate", "gamma")


@pytest.fixture(scope="module")
def series():
    """Return darks with many cosmic rays and hot pixels."""
    return simulate_dark_series(HIT, seed=1)


@pytest.fixture
def fit_both(monkeypatch):
    """Return a function that fits darks with NumPy and with the compiled loops."""
    pytest.importorskip("numba")
    calls = []
    run = fit_compiled.CompiledFit._run
    monkeypatch.setattr(
        fit_compiled.CompiledFit, "_run", lambda *a, **k: calls.append(1) or run(*a, **k)
    )

    def fit(darks, times, **options):
        plain = fit_dark_series(darks, times, **options)
        assert not calls  # too few pixels
        with monkeypatch.context() as patch:
            patch.setattr(fit_compiled, "_WORTH_COMPILING", 0)
            compiled = fit_dark_series(darks, times, **options)
        assert calls
        return plain, compiled

    return fit


def assert_same(plain, compiled, *, most_others):
    """Compare fits; in some pixels rounding decides which dark counts as hit."""
    same = (plain.quality == compiled.quality) & (plain.n_points == compiled.n_points)
    assert np.count_nonzero(~same) <= most_others
    fitted = same & np.isfinite(plain.gamma)
    np.testing.assert_array_equal(np.isfinite(compiled.gamma)[same], fitted[same])
    for variance, name in zip(plain.covariance[:3], PARAMETERS, strict=True):
        difference = getattr(plain, name) - getattr(compiled, name)
        off = np.abs(difference[fitted]) > 1e-3 * np.sqrt(variance[fitted])
        assert np.count_nonzero(off) <= most_others, name
    ratio = compiled.covariance[:3, fitted] / plain.covariance[:3, fitted]
    assert np.count_nonzero(np.abs(ratio - 1) > 0.02) <= 3 * most_others


def times_of(series):
    return DarkTimes.same_readout(series.delays, MACC)


@pytest.mark.parametrize("shrink", ["none", "slope"])
def test_same_as_numpy(series, fit_both, shrink):
    options = FitOptions(shrink=shrink)
    fits = fit_both(series.darks, times_of(series), variance=49.0, options=options)
    assert (fits[0].quality & 8).any()
    assert_same(*fits, most_others=10)


def test_same_with_missing_darks_and_variance_of_every_signal(series, fit_both):
    rng = np.random.default_rng(3)
    flagged = rng.random(series.darks.shape) < 0.05
    flagged[:, 0, :5] = True
    flagged[3:, 1, :5] = True
    variance = rng.uniform(40, 60, series.darks.shape).astype(np.float32)
    plain, compiled = fit_both(
        series.darks, times_of(series), variance=variance, flagged=flagged, options=FitOptions()
    )
    assert np.isnan(compiled.gamma[:2, :5]).all()
    assert_same(plain, compiled, most_others=15)


@pytest.mark.parametrize("error", [0.0, 0.01])
def test_same_with_master_dark(series, fit_both, error):
    fits = fit_both(
        series.darks,
        times_of(series),
        variance=49.0,
        master_dark=series.dark_rate,
        master_dark_error=error,
    )
    assert_same(*fits, most_others=15)


def test_a_pixel_by_itself(series, monkeypatch):
    pytest.importorskip("numba")
    monkeypatch.setattr(fit_compiled, "_WORTH_COMPILING", 0)
    options = FitOptions(shrink="none")
    darks, times = series.darks, times_of(series)
    every = fit_dark_series(darks, times, variance=49.0, options=options)
    for rows in (slice(0, 1), slice(7, 50)):
        part = fit_dark_series(darks[:, rows, 11:], times, variance=49.0, options=options)
        for name in (*PARAMETERS, "chi2", "quality"):
            np.testing.assert_array_equal(getattr(part, name), getattr(every, name)[rows, 11:])


def test_series_that_span_too_long_are_left_to_numpy(fit_both, monkeypatch):
    monkeypatch.setattr(fit_compiled, "_WORTH_COMPILING", 0)
    delays = np.geomspace(3, 1e7, 12)
    short = dataclasses.replace(HIT, shape=(4, 4), n_darks=12)
    darks = simulate_dark_series(short, seed=1).darks
    times = DarkTimes.same_readout(delays, MACC)
    fit = fit_dark_series(darks, times, variance=49.0, options=FitOptions(shrink="none"))
    assert np.isfinite(fit.gamma).all()


def test_without_numba(series, monkeypatch):
    loops = pytest.importorskip("crsteps.persistence.fit_loops")
    monkeypatch.setattr(fit_compiled, "_WORTH_COMPILING", 0)
    monkeypatch.setattr(loops, "COMPILED", False)
    monkeypatch.setattr(fit_compiled, "CompiledFit", None)  # would fail if it were called
    fit_dark_series(series.darks[:, :9], times_of(series), variance=49.0)
