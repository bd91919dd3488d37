"""Predictions of darks by a fit that has not seen them, against simulations and the truth."""

import numpy as np
import pytest

from crsteps.persistence.dark_series import DarkTimes
from crsteps.persistence.fit import FitOptions, fit_dark_series
from crsteps.persistence.group_charge import GroupTimes
from crsteps.persistence.held_out import check_series, predict_dark
from crsteps.simulation.persistence_series import DarkSeriesOptions, simulate_dark_series


@pytest.fixture(scope="module")
def series():
    """Darks without cosmic rays after one level of light."""
    options = DarkSeriesOptions(
        shape=(60, 60), fluences=(1e5,), amplitudes=(0.5,), hit_rate=0, hot_fraction=0
    )
    return simulate_dark_series(options, seed=1)


@pytest.fixture(scope="module")
def times(series):
    readout = series.options.readout
    groups = GroupTimes.regular(
        readout.n_groups,
        frame_time=readout.frame_time,
        n_frames=readout.n_frames,
        n_drops=readout.n_drops,
    )
    return DarkTimes.same_readout(series.delays, groups)


def check(series, times, darks=None, **values):
    """Check of the series; its pixels in a row."""
    darks = series.darks if darks is None else darks
    options = {"n_held_out": 2, "variance": 49.0, "options": FitOptions(), **values}
    return check_series(darks.reshape(len(darks), -1), times, **options)


def test_prediction_of_a_dark(series, times):
    """Against the exact integrals of the series, and an error propagated by brute force."""
    fit = fit_dark_series(series.darks, times, variance=49.0)
    persistence, variance = predict_dark(fit, times, 3)
    exact = fit.amplitude * times.unit_signals(fit.gamma, reference_time=fit.reference_time)[..., 3]
    np.testing.assert_allclose(persistence, exact, rtol=1e-5)
    rng = np.random.default_rng(5)
    for y, x in ((0, 0), (30, 30), (59, 12)):
        aa, dd, gg, ad, ag, dg = fit.covariance[:, y, x].astype(float)
        covariance = [[aa, ad, ag], [ad, dd, dg], [ag, dg, gg]]
        a, d, g = rng.multivariate_normal([0, 0, 0], covariance, 20000).T * 0.1
        signal = times.unit_signals(fit.gamma[y, x] + g, reference_time=fit.reference_time)[:, 3]
        signal = (fit.amplitude[y, x] + a) * signal + d * times.integration_times[3]
        assert np.std(signal) * 10 == pytest.approx(np.sqrt(variance[y, x]), rel=0.05)


def test_darks_held_out(series, times):
    found = check(series, times)
    assert list(found.is_held_out) == [False] * 25 + [True] * 2
    exposure = times.integration_times[0]
    truth = [series.expected_persistence(delay).mean() / exposure for delay in series.delays]
    np.testing.assert_allclose(found.raw - series.dark_rate.mean(), truth, rtol=0.02, atol=0.003)
    np.testing.assert_allclose(found.corrected, found.level, atol=0.008)
    before, after, error = found.held_out_means()
    assert before == pytest.approx(np.mean(truth[-2:]), rel=0.03)
    assert abs(after) < 0.1 * before
    assert error < 0.02 * before
    assert found.pull_spread() == pytest.approx(1, abs=0.04)
    expected = series.expected_persistence(series.delays[-1])
    ratio = found.predicted[1].reshape(expected.shape) / expected
    assert np.median(ratio) == pytest.approx(1, abs=0.05)


def test_hits_are_left_out_of_the_means(series, times):
    clean = check(series, times)
    darks = series.darks.copy()
    darks[:, ::7, ::5] += np.where(np.arange(27) % 9 == 8, 3000, 0)[:, None, None]
    hit = check(series, times, darks)
    np.testing.assert_allclose(hit.raw, clean.raw, atol=0.004)
    assert np.isnan(hit.after[1].reshape(60, 60)[::7, ::5]).all()
    np.testing.assert_allclose(hit.held_out_means(), clean.held_out_means(), atol=0.004)


def test_a_wrong_prediction_is_not_hidden(series, times):
    """Persistence that comes back in the last dark is seen, not taken for hits."""
    darks = series.darks.copy()
    darks[-1] += 0.5 * series.expected_persistence(series.delays[-1])
    found = check(series, times, darks)
    assert found.corrected[-1] - found.level > 0.4 * (found.raw[-1] - found.level) * 0.5


def test_missing_signals_and_a_sample(series, times):
    darks = series.darks.copy()
    darks[5, 10:20] = np.nan
    darks[26, 30:40] = np.nan
    whole = check(series, times, darks)
    assert np.isnan(whole.after[1].reshape(60, 60)[30:40]).all()
    assert np.isfinite(whole.raw).all()
    sample = check(series, times, darks, n_pixels=900)
    assert sample.after.shape == (2, 900)
    np.testing.assert_allclose(sample.raw, whole.raw, rtol=0.1)


def test_with_a_master_dark(series, times):
    master = series.dark_rate.ravel().astype(np.float32)
    found = check(series, times, master_dark=master, channels=np.arange(3600) % 4)
    assert found.level == pytest.approx(master.mean(), rel=1e-3)
    assert abs(found.held_out_means()[1]) < 0.03 * found.held_out_means()[0]


def test_none_held_out(series, times):
    found = check(series, times, n_held_out=0)
    assert found.n_held_out == 0
    assert np.isnan(found.held_out_means()).all()
    assert np.isnan(found.pull_spread())
    assert found.after.shape[0] == 0


def test_nothing_fits(series, times):
    assert check(series, times, np.full_like(series.darks, np.nan)) is None
