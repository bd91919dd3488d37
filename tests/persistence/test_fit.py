"""Fit of the decay: truth of simulations, scipy's curve_fit side by side, what is missing."""

import dataclasses

import numpy as np
import pytest
from scipy.optimize import curve_fit

from crsteps.persistence import fit as fits
from crsteps.persistence.dark_series import DarkTimes
from crsteps.persistence.fit import FitOptions, fit_dark_series
from crsteps.persistence.group_charge import GroupTimes, product_persistence
from crsteps.persistence.power_law import rate
from crsteps.simulation.persistence_series import DarkSeriesOptions, simulate_dark_series

MACC = GroupTimes.regular(4, n_frames=16, n_drops=4, frame_time=1.454)
ALONE = FitOptions(shrink="none")
BRIGHT = DarkSeriesOptions(
    shape=(80, 80), fluences=(1e5,), amplitudes=(0.5,), hit_rate=0.0, hot_fraction=0.0
)
INTERVALS = DarkTimes.intervals(
    np.array([40.0, 45, 300, 900, 2000, 7000]), np.array([44.0, 145, 400, 1500, 2100, 8000])
)


def times_of(series):
    return DarkTimes.same_readout(series.delays, MACC)


@pytest.fixture(scope="module")
def bright():
    """Return darks with persistence between 0.1 and 2 e-/s at 1000 s, and their fit."""
    series = simulate_dark_series(BRIGHT, seed=1)
    return series, fit_dark_series(series.darks, times_of(series), variance=49.0, options=ALONE)


@pytest.fixture(scope="module")
def hit():
    """Return darks with many cosmic rays and hot pixels."""
    options = dataclasses.replace(BRIGHT, hit_rate=10.0, hot_fraction=0.01)
    return simulate_dark_series(options, seed=2)


def pulls(fit, series, where=...):
    """Errors of amplitude, slope and dark level over their standard deviations."""
    amplitude = rate(fit.reference_time, amplitude=series.amplitude, gamma=series.gamma)
    errors = (
        fit.amplitude - amplitude,
        fit.dark_rate - series.dark_rate,
        fit.gamma - series.gamma,
    )
    return [
        (error / np.sqrt(variance))[where]
        for error, variance in zip(errors, fit.covariance[:3], strict=True)
    ]


def noiseless(amplitude, gamma, dark, times=INTERVALS):
    """Return the darks of one row of pixels without noise."""
    signals = times.unit_signals(np.asarray(gamma), reference_time=1000.0).T * amplitude
    return (signals + times.integration_times[:, np.newaxis] * dark)[:, np.newaxis]


def test_parameters_of_noiseless_darks():
    amplitude = np.array([1.0, 0.02, 50.0, 0.5, 3.0, 0.2])
    gamma = np.array([1.0, 0.7, 1.3, 0.3, 2.1, 1.0 + 1e-7])
    dark = np.array([0.01, 0.0, 0.3, 5.0, 0.02, -0.01])
    darks = noiseless(amplitude, gamma, dark)
    fit = fit_dark_series(darks, INTERVALS, variance=1.0, options=ALONE)
    np.testing.assert_allclose(fit.at(1000.0)[0][0], amplitude, rtol=2e-4)
    np.testing.assert_allclose(fit.gamma[0], gamma, rtol=2e-4)
    np.testing.assert_allclose(fit.dark_rate[0], dark, atol=2e-4)
    assert not fit.quality.any()
    assert np.all(fit.chi2 < 0.05)
    assert np.all(fit.n_points == 6)
    assert fit.reference_time == pytest.approx(np.sqrt(20 * 8000))


def test_pulls(bright):
    series, fit = bright
    clear = series.amplitude > 0.1
    assert clear.mean() > 0.99
    for pull in pulls(fit, series, clear):
        assert pull.std() == pytest.approx(1, abs=0.05)
        assert abs(pull.mean()) < 0.08
    assert np.mean(fit.chi2) == pytest.approx(24, abs=0.4)
    assert np.mean(fit.quality > 0) < 0.01


def test_prediction_of_the_next_dark(bright):
    series, fit = bright
    delay = series.delays[-1] + 130.0
    product = product_persistence(
        MACC,
        delay=delay,
        amplitude=fit.amplitude,
        gamma=fit.gamma,
        covariance=fit.decay_covariance,
        reference_time=fit.reference_time,
    )
    error = product.rate - series.expected_persistence(delay) / 87.24
    clear = series.amplitude > 0.1
    assert abs(error[clear].mean()) < 0.1 * np.sqrt(product.variance[clear].mean())
    assert np.std(error[clear] / np.sqrt(product.variance[clear])) < 1.2


@pytest.mark.parametrize("photon_noise", [0.0, 1.0])
def test_same_as_curve_fit(bright, photon_noise):
    """Parameters within a twentieth of their errors, and the same errors."""
    series, _ = bright
    times = times_of(series)
    options = FitOptions(shrink="none", max_hits=0, photon_noise=photon_noise)
    darks = series.darks[:, ::27, ::27]
    fit = fit_dark_series(darks, times, variance=49.0, options=options)

    def model(_, amplitude, dark, gamma):
        signals = times.unit_signals(gamma, reference_time=fit.reference_time)
        return amplitude * signals + dark * times.integration_times

    for pixel in np.ndindex(darks.shape[1:]):
        start, sigma = [1.0, 0.0, 1.0], np.full(27, 7.0)
        for _ in range(4 if photon_noise else 1):
            best, covariance = curve_fit(
                model,
                times.middles,
                darks[(slice(None), *pixel)],
                start,
                sigma,
                absolute_sigma=True,
            )
            start, sigma = best, np.sqrt(49 + np.maximum(model(None, *best), 0))
        errors = np.sqrt(np.diag(covariance))
        mine = [image[pixel] for image in (fit.amplitude, fit.dark_rate, fit.gamma)]
        assert np.all(np.abs(mine - best) < 0.05 * errors)
        cross = [covariance[0, 1], covariance[0, 2], covariance[1, 2]]
        scale = np.r_[
            errors**2, np.prod(errors[[0, 1]]), np.prod(errors[[0, 2]]), np.prod(errors[1:])
        ]
        expected = np.r_[errors**2, cross]
        np.testing.assert_allclose(
            fit.covariance[(slice(None), *pixel)] / scale, expected / scale, atol=0.06
        )


def test_hits_are_left_out(hit):
    series = hit
    fit = fit_dark_series(series.darks, times_of(series), variance=49.0)
    found = np.zeros(series.darks.shape, bool)
    found.reshape(27, -1)[tuple(fit.excluded.T)] = True
    sigma = np.sqrt(49 + np.maximum(series.darks - series.hits, 0))
    clear = series.hits > 10 * sigma
    assert clear.sum() > 1000
    assert found[clear].mean() > 0.97
    assert found[series.hits < 0.5 * sigma].mean() < 1e-3
    assert np.array_equal((fit.quality & fits.HIT_EXCLUDED) > 0, found.any(axis=0))
    assert np.array_equal(fit.n_points, 27 - found.sum(axis=0))
    clear = (series.amplitude > 0.1) & ((fit.quality & fits.SHRUNK) == 0)
    for pull in pulls(fit, series, clear):
        # half the distance between the quartiles: undetected hits make tails
        width = np.subtract(*np.percentile(pull, [75, 25])) / 1.349
        assert width == pytest.approx(1, abs=0.05)
    kept = fit_dark_series(
        series.darks, times_of(series), variance=49.0, options=FitOptions(max_hits=0)
    )
    assert not kept.excluded.size
    assert (
        np.mean(kept.quality & fits.POOR_FIT > 0) > 0.1 > np.mean(fit.quality & fits.POOR_FIT > 0)
    )


def test_flagged_darks_do_not_count(hit):
    series = hit
    flagged = series.hits > 5
    fit = fit_dark_series(
        series.darks, times_of(series), variance=49.0, flagged=flagged, options=ALONE
    )
    clear = series.amplitude > 0.1
    for pull in pulls(fit, series, clear):
        assert pull.std() == pytest.approx(1, abs=0.06)
    spoiled = np.where(flagged, 1e6, series.darks)
    again = fit_dark_series(
        spoiled, times_of(series), variance=49.0, flagged=flagged, options=ALONE
    )
    np.testing.assert_array_equal(fit.amplitude, again.amplitude)
    missing = fit_dark_series(
        np.where(flagged, np.nan, series.darks), times_of(series), variance=49.0, options=ALONE
    )
    np.testing.assert_array_equal(fit.gamma, missing.gamma)


def test_dark_left_out_is_as_if_it_were_not_there(bright):
    series, _ = bright
    darks, times = series.darks[:, :20, :20], times_of(series)
    fit = fit_dark_series(
        darks,
        times,
        variance=49.0,
        options=ALONE,
        flagged=np.arange(27)[:, None, None] * np.ones(darks.shape) == 3,
    )
    kept = np.arange(27) != 3
    fewer = DarkTimes.same_readout(times.delays[kept], MACC)
    without = fit_dark_series(darks[kept], fewer, variance=49.0, options=ALONE)
    sigma = np.sqrt(without.covariance[:3])
    assert np.all(np.abs(fit.gamma - without.gamma) < 0.05 * sigma[2])
    np.testing.assert_allclose(fit.covariance[:3], without.covariance[:3], rtol=0.15)
    assert np.all(fit.n_points <= 26)


def test_faint_pixels_take_the_slope_of_their_channel():
    options = dataclasses.replace(BRIGHT, amplitudes=(0.5, 0.04, 0.5), fluences=(1e5, 2e4, 1e5))
    series = simulate_dark_series(options, seed=3)
    channels = np.arange(80) // 40
    together = fit_dark_series(series.darks, times_of(series), variance=49.0, channels=channels)
    alone = fit_dark_series(series.darks, times_of(series), variance=49.0, options=ALONE)
    for population in together.slope_populations:
        assert population.mean == pytest.approx(1.0, abs=0.02)
        assert population.spread == pytest.approx(0.1, abs=0.02)
    faint = series.fluence == 2e4
    errors = [np.std((fit.gamma - series.gamma)[faint]) for fit in (together, alone)]
    assert errors[0] < 0.12 < 0.3 < errors[1]
    assert np.mean((together.quality & fits.SHRUNK > 0)[faint]) > 0.95
    assert alone.slope_populations == ()
    for pull in pulls(together, series, faint):
        assert pull.std() == pytest.approx(1, abs=0.06)
    # bright pixels tell their slope themselves
    bright = (series.amplitude > 0.5) & (together.quality == 0) & (alone.quality == 0)
    shift = (together.gamma - alone.gamma)[bright] / np.sqrt(alone.covariance[2][bright])
    assert np.abs(shift).max() < 0.3


def test_slopes_of_bright_pixels_do_not_make_faint_ones_steep():
    """At the start of the series, pixels with steep decays are the bright ones."""
    series = simulate_dark_series(DarkSeriesOptions(shape=(160, 160)), seed=5)
    fit = fit_dark_series(series.darks, times_of(series), variance=49.0)
    [population] = fit.slope_populations
    assert population.mean == pytest.approx(series.gamma.mean(), abs=0.006)
    faint = (series.amplitude > 0.03) & (series.amplitude < 0.1)
    error = (fit.gamma - series.gamma)[faint]
    assert abs(error.mean()) < 0.005


def test_amplitudes_of_faint_pixels():
    options = dataclasses.replace(BRIGHT, amplitudes=(0.02,), amplitude_scatter=0.3)
    series = simulate_dark_series(dataclasses.replace(options, gamma_scatter=0.02), seed=4)
    # a few bright pixels tell the slope
    other = simulate_dark_series(dataclasses.replace(BRIGHT, gamma_scatter=0.02), seed=5)
    darks = series.darks.copy()
    darks[:, :4], truth = other.darks[:, :4], series.amplitude
    errors = {}
    for how in ("slope", "both"):
        fit = fit_dark_series(
            darks, times_of(series), variance=49.0, options=FitOptions(shrink=how)
        )
        amplitude, covariance = fit.at(1000.0)
        error = (amplitude - truth)[4:]
        errors[how] = error.std()
        assert np.std(error / np.sqrt(covariance.amplitude[4:])) < 1.2
    assert errors["both"] < 0.8 * errors["slope"]
    assert fit.amplitude_populations[0].n_pixels > 1000


def test_without_bright_pixels_nothing_is_shrunk():
    series = simulate_dark_series(dataclasses.replace(BRIGHT, amplitudes=(1e-4,)), seed=6)
    fit = fit_dark_series(series.darks, times_of(series), variance=49.0)
    assert fit.slope_populations == (None,)
    assert not np.any(fit.quality & fits.SHRUNK)
    pull = fit.amplitude / np.sqrt(fit.covariance[0])
    assert abs(np.median(pull)) < 0.1
    assert np.mean(np.abs(pull) < 3) > 0.97


def test_master_dark(bright):
    """An exact level, one with an error, none: errors grow in that order."""
    series, free = bright
    times, true = times_of(series), series.dark_rate
    exact = fit_dark_series(series.darks, times, variance=49.0, master_dark=true, options=ALONE)
    np.testing.assert_allclose(exact.dark_rate, true, atol=1e-5)
    assert np.all(exact.covariance[1] < 1e-8)
    rng = np.random.default_rng(7)
    measured = (true + 0.02 * rng.standard_normal(true.shape)).astype(np.float32)
    error = np.full(true.shape, 0.02)
    error[0] = np.inf
    given = fit_dark_series(
        series.darks,
        times,
        variance=49.0,
        master_dark=measured,
        master_dark_error=error,
        options=ALONE,
    )
    order = [np.median(fit.covariance[2]) for fit in (exact, given, free)]
    assert order == sorted(order)
    np.testing.assert_allclose(given.dark_rate[0], free.dark_rate[0], atol=3e-3)
    for fit in (exact, given):
        for number, pull in enumerate(pulls(fit, series)):
            if fit is given or number != 1:
                assert pull.std() == pytest.approx(1, abs=0.05)
    number = fit_dark_series(
        series.darks[:, :5], times, variance=49.0, master_dark=0.02, master_dark_error=0.007
    )
    assert np.all(np.isfinite(number.gamma))


def test_unknown_master_dark_is_a_missing_pixel(bright):
    series, _ = bright
    master = series.dark_rate[:10, :10].copy()
    master[3, 4] = np.nan
    fit = fit_dark_series(
        series.darks[:, :10, :10], times_of(series), variance=49.0, master_dark=master
    )
    assert fit.quality[3, 4] == fits.NOT_FITTED
    assert np.isnan(fit.amplitude).sum() == 1


def test_hot_pixels(hit):
    series = hit
    fit = fit_dark_series(series.darks, times_of(series), variance=49.0, flagged=series.hits > 5)
    hot = series.dark_rate > 0.3
    assert hot.sum() > 30
    assert abs(np.mean(pulls(fit, series, hot)[1])) < 0.6
    assert np.std(pulls(fit, series, hot)[1]) < 1.5


def test_variance_of_every_signal(bright):
    series, _ = bright
    darks, times = series.darks[:, :10, :10], times_of(series)
    number = fit_dark_series(darks, times, variance=49.0, options=ALONE)
    for variance in (np.full(27, 49.0), np.full(darks.shape, 49.0)):
        fit = fit_dark_series(darks, times, variance=variance, options=ALONE)
        np.testing.assert_allclose(fit.gamma, number.gamma, rtol=0.02)
    variance[5, 2, 3] = np.nan
    fit = fit_dark_series(darks, times, variance=variance, options=ALONE)
    assert fit.n_points[2, 3] == number.n_points[2, 3] - 1


def test_missing_darks():
    darks = noiseless(np.ones(6), np.full(6, 1.1), 0.02).astype(np.float32)
    darks[:, 0, 0] = np.nan
    darks[:3, 0, 1] = np.nan
    darks[:2, 0, 2] = np.inf
    darks[4, 0, 3] = -np.inf
    fit = fit_dark_series(darks, INTERVALS, variance=1.0)
    assert list(fit.n_points[0]) == [0, 3, 4, 5, 6, 6]
    assert list(fit.quality[0] & fits.NOT_FITTED) == [1, 1, 0, 0, 0, 0]
    for image in (fit.amplitude, fit.gamma, fit.dark_rate, fit.chi2, *fit.covariance):
        assert list(np.isnan(image[0])) == [True, True, False, False, False, False]
    np.testing.assert_allclose(fit.gamma[0, 2:], 1.1, rtol=1e-3)
    empty = fit_dark_series(np.full((6, 2, 3), np.nan), INTERVALS, variance=1.0)
    assert np.all(empty.quality == fits.NOT_FITTED)


def test_no_signal_and_slopes_out_of_range():
    darks = noiseless([0.0, 2.0], [1.0, 3.2], 0.0)
    fit = fit_dark_series(darks, INTERVALS, variance=1.0, options=ALONE)
    assert abs(fit.amplitude[0, 0]) < 1e-3
    assert np.isfinite(fit.gamma[0, 0])
    assert fit.gamma[0, 1] == 2.5
    assert fit.quality[0, 1] & fits.AT_BOUND


def test_unsorted_times_and_memory_maps(tmp_path, bright):
    series, fit = bright
    order = np.random.default_rng(8).permutation(27)
    path = tmp_path / "darks.npy"
    np.save(path, series.darks[order, :20])
    darks = np.load(path, mmap_mode="r")
    times = DarkTimes.same_readout(series.delays[order], MACC)
    again = fit_dark_series(darks, times, variance=49.0, options=ALONE)
    sigma = np.sqrt(fit.covariance[2, :20])
    same = again.quality == fit.quality[:20]
    assert same.mean() > 0.99
    assert np.all(np.abs(again.gamma - fit.gamma[:20])[same] < 0.3 * sigma[same])


def test_inputs_stay_as_they_are(hit):
    darks = hit.darks[:, :10].copy()
    flagged, master = hit.hits[:, :10] > 5, hit.dark_rate[:10].copy()
    copies = [part.copy() for part in (darks, flagged, master)]
    fit_dark_series(darks, times_of(hit), variance=49.0, flagged=flagged, master_dark=master)
    for part, copy in zip((darks, flagged, master), copies, strict=True):
        np.testing.assert_array_equal(part, copy)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"darks": np.zeros((5, 2, 2))}, "6 times"),
        ({"darks": np.zeros((6, 2))}, "one image for each"),
        ({"variance": np.ones(5)}, "broadcast|variances"),
        ({"variance": np.ones((6, 2, 3))}, "variances of shape"),
        ({"variance": 0.0}, "positive"),
        ({"variance": np.nan}, "positive"),
        ({"flagged": np.zeros((2, 2), bool)}, "flags of shape"),
        ({"channels": np.zeros(3, int)}, "channels of shape"),
        ({"channels": np.array([0, -1])}, "channels of shape"),
        ({"master_dark": np.zeros((3, 3))}, "broadcast|master"),
    ],
)
def test_impossible_inputs(arguments, message):
    arguments = {"darks": np.zeros((6, 2, 2)), "variance": 1.0} | arguments
    with pytest.raises(ValueError, match=message):
        fit_dark_series(arguments.pop("darks"), INTERVALS, **arguments)


def test_too_few_darks():
    times = DarkTimes.intervals([10.0, 20, 30], [20.0, 30, 40])
    with pytest.raises(ValueError, match="at least 4"):
        fit_dark_series(np.zeros((3, 2, 2)), times, variance=1.0)
    darks = noiseless([1.0], [1.0], 0.1, times)
    fit = fit_dark_series(darks, times, variance=1.0, master_dark=0.1, options=ALONE)
    assert fit.gamma[0, 0] == pytest.approx(1, abs=1e-3)


def test_impossible_options():
    with pytest.raises(ValueError, match="no range"):
        FitOptions(gamma_range=(1.0, 1.0))
    with pytest.raises(ValueError, match="shrunk"):
        FitOptions(shrink="a little")
