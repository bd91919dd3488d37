"""Time series cleaned, against simulated truth."""

from dataclasses import replace

import numpy as np
import pytest

from crsteps.detector.readout import Readout
from crsteps.flicker_noise.time_series import TimeSeriesOptions, clean_time_series
from crsteps.simulation.flicker_ramps import nirspec_sub2048, simulate_flicker_ramps

READOUT = Readout(shape=(32, 256), n_outputs=1, fast_axis=2, slow_axis=1)
PRESET = nirspec_sub2048(readout=READOUT, n_integrations=18, n_groups=4)
DEEP = replace(PRESET, scene=replace(PRESET.scene, transit_depth=0.05, transit_slope=2.0))
SILENT = {"independent_rms": 0.0, "alternating_rms": 0.0}


@pytest.fixture(scope="module")
def simulated():
    """Return a time series with a deep, very chromatic transit."""
    return simulate_flicker_ramps(DEEP, seed=3)


@pytest.fixture(scope="module")
def result(simulated):
    """Return its noise."""
    return clean(simulated)


def clean(simulated, *, options=None, **changes):
    """Estimate the noise of ramps with the true background mask."""
    arguments = {
        "flagged": flags(simulated),
        "background_mask": background(simulated),
        "readout": simulated.options.readout,
        "ramps": True,
        **changes,
    }
    return clean_time_series(simulated.data, options=options, **arguments)


def flags(simulated):
    """Flagged reads."""
    return (simulated.groupdq > 0) | simulated.bad_pixels


def background(simulated):
    """Pixels with neither sources nor hot pixels."""
    return ~simulated.scene_mask & ~simulated.bad_pixels


def usable(simulated):
    """Differences without flags."""
    flagged = flags(simulated)
    return ~flagged[:, 1:] & ~flagged[:, :-1]


def true_noise(simulated):
    """Flicker noise of the differences."""
    return np.diff(simulated.flicker, axis=1)


def extracted(simulated, differences):
    """Light of every wavelength in every integration, from the bright part of the trace."""
    box = simulated.scene.sources > 0.03 * simulated.scene.sources.max(axis=0)
    used = box & usable(simulated).all(axis=(0, 1))
    return np.sum(differences.mean(axis=1), axis=1, where=used)


def lost_part(simulated, noise, pattern):
    """
    Part of a pattern in the depth of the transit that a cleaning takes away, and its error.

    Compared with the same data without flicker noise: white noise cancels.
    """
    curve = simulated.scene.light_curve[:, 0]
    inside = curve.min(axis=1) < 1
    error = extracted(simulated, true_noise(simulated) - noise)
    light = extracted(simulated, np.diff(simulated.data, axis=1) - true_noise(simulated)).mean(0)
    change = (error[inside].mean(0) - error[~inside].mean(0)) / light
    scatter = error[~inside].std(0, ddof=1) / light
    scatter *= np.sqrt(1 / inside.sum() + 1 / (~inside).sum())
    pattern = pattern - np.average(pattern, weights=light)
    weights = pattern / np.sum(pattern**2)
    return np.sum(weights * change), np.sqrt(np.sum((weights * scatter) ** 2))


def test_noise_falls_on_the_background_and_under_the_trace(simulated, result):
    before, left = true_noise(simulated), true_noise(simulated) - result.noise
    for place in (background(simulated), simulated.scene_mask & ~simulated.bad_pixels):
        assert left[..., place].std() < 0.58 * before[..., place].std()
    assert result.noise.dtype == np.float32
    assert result.noise.shape == before.shape


def test_estimate_is_as_large_as_the_noise_it_predicts():
    """A posterior mean has a regression of one; noise subtracted from itself would have more."""
    few = simulate_flicker_ramps(replace(PRESET, n_integrations=4), seed=5)
    noise, used = clean(few).noise, usable(few)
    true = true_noise(few)
    slope = np.sum((true * noise)[used]) / np.sum((noise**2)[used])
    assert slope == pytest.approx(1, abs=0.07)


def test_a_chromatic_transit_keeps_its_depth(simulated, result):
    depth = 1 - simulated.scene.light_curve.min(axis=(0, 1))
    lost, error = lost_part(simulated, result.noise, depth)
    assert error < 0.05
    assert abs(lost) < 3 * error
    achromatic = clean(simulated, options=TimeSeriesOptions(chromatic=False))
    lost, error = lost_part(simulated, achromatic.noise, depth)
    assert abs(lost) > 0.08 > 5 * error


def test_a_narrow_feature_keeps_its_depth(simulated):
    """Lines of which the light of every second integration is a fifth brighter."""
    lines = np.exp(-0.5 * (((np.arange(256) - 20) % 40 - 20) / 1.5) ** 2)
    varying = simulate_flicker_ramps(
        replace(PRESET, scene=replace(PRESET.scene, transit_depth=0.0)), seed=4
    )
    inside = np.arange(18) % 2 == 1
    extra = 0.2 * lines * varying.scene.sources
    data = varying.data.copy()
    data[inside] += np.arange(4, dtype=np.float32)[:, None, None] * extra
    curve = np.where(inside[:, None], 1 - 1e-9, 1.0)[:, None]
    scene = replace(varying.scene, light_curve=curve)
    varying = replace(varying, data=data.astype(np.float32), scene=scene)
    lost, error = lost_part(varying, clean(varying).noise, 0.2 * lines)
    assert error < 0.02
    assert abs(lost) < 3 * error


def test_orders_in_cells_of_their_own_may_vary_apart():
    """One trace dims while the other, on the same columns, brightens."""
    readout = replace(READOUT, shape=(64, 256))
    options = replace(PRESET, readout=readout, n_integrations=12)
    two = simulate_flicker_ramps(
        replace(options, scene=replace(options.scene, transit_depth=0.0)), seed=6
    )
    rows = np.arange(64)[:, None]
    factor = np.where(rows < 32, 0.85, 1.15)
    trace = 300 * np.exp(-0.5 * ((np.abs(rows - 31.5) - 16) / 1.2) ** 2) * np.ones(256)
    data = two.data.copy()
    light = np.where(np.arange(12)[:, None, None] < 6, factor, 1) * trace
    data += np.arange(4, dtype=np.float32)[None, :, None, None] * light[:, None]
    mask = background(two) & (trace < 0.5)
    two = replace(two, data=data.astype(np.float32))
    place = (trace > 0.5) & ~two.bad_pixels
    left = (true_noise(two) - clean(two, background_mask=mask).noise)[..., place]
    one = TimeSeriesOptions(cell=64)
    mixed = (true_noise(two) - clean(two, background_mask=mask, options=one).noise)[..., place]
    assert left.std() < 0.6 * true_noise(two)[..., place].std()
    assert mixed.std() > 1.05 * left.std()


def test_white_noise_is_left_alone():
    white = simulate_flicker_ramps(replace(PRESET, **SILENT), seed=7)
    found = clean(white)
    assert np.abs(found.noise).max() == 0
    assert not found.error_variance.any()
    np.testing.assert_allclose(found.white_noise, np.median(white.white_sigma), rtol=0.03)


def test_white_variance_follows_the_light(simulated, result):
    """It includes flicker noise from one tick to the next, a tenth of the read noise here."""
    ratio = result.white_variance / simulated.white_sigma**2
    dark = simulated.scene.sources < 10
    assert np.median(ratio[dark & ~simulated.bad_pixels]) == pytest.approx(1.12, abs=0.06)
    assert np.median(ratio[simulated.scene.sources > 300]) == pytest.approx(1, abs=0.1)


def test_a_noisy_pixel_has_its_own_variance(simulated, result):
    noisy, place = simulated.data.copy(), np.s_[..., 4, 77]
    noisy[place] += np.random.default_rng(1).normal(0, 60, noisy[place].shape)
    found = clean(replace(simulated, data=noisy))
    assert found.white_variance[4, 77] > 3000 > 30 * result.white_variance[4, 78]
    assert np.abs(found.noise - result.noise)[..., 4, 70:80].max() < 8


def test_errors_are_those_of_the_estimates(simulated, result):
    place = ~simulated.bad_pixels & (simulated.scene.sources < 100)
    left = (true_noise(simulated) - result.noise)[..., place]
    # Flicker noise that counts as white noise is left too.
    fast = result.white_variance[place] - simulated.white_sigma[place] ** 2
    assert left.var() == pytest.approx(np.mean(result.error_variance[place] + fast), rel=0.15)
    true = simulated.scene.light_curve[:, 0]
    deviation = result.scales - true * np.mean(result.scales / true, axis=0)
    pull = deviation.std(axis=0) / result.scale_errors
    assert result.scales.shape == (18, 256)
    assert 0.75 < np.sqrt(np.mean(pull**2)) < 1.15


def test_achromatic_scales_and_their_errors():
    grey = replace(PRESET, scene=replace(PRESET.scene, transit_slope=0.0))
    series = simulate_flicker_ramps(grey, seed=8)
    found = clean(series, options=TimeSeriesOptions(chromatic=False))
    assert found.scales.shape == (18, 1)
    true = series.scene.light_curve[:, 0, :1]
    pull = (found.scales - true * np.mean(found.scales / true)) / found.scale_errors
    assert 0.6 < pull.std() < 1.6


def test_ramps_and_their_differences_are_the_same(simulated, result):
    flagged = flags(simulated)
    found = clean_time_series(
        np.diff(simulated.data, axis=1),
        flagged=flagged[:, 1:] | flagged[:, :-1],
        background_mask=background(simulated),
        readout=READOUT,
    )
    np.testing.assert_array_equal(found.noise, result.noise)


def test_the_input_is_not_modified(simulated):
    data, flagged = simulated.data.copy(), flags(simulated)
    before = flagged.copy()
    clean(replace(simulated, data=data), flagged=flagged)
    np.testing.assert_array_equal(data, simulated.data)
    np.testing.assert_array_equal(flagged, before)


def test_dispersion_along_y_is_the_same_turned(simulated, result):
    turned = clean_time_series(
        simulated.data.swapaxes(2, 3),
        flagged=flags(simulated).swapaxes(2, 3),
        background_mask=background(simulated).T,
        readout=Readout(shape=(256, 32), n_outputs=1, fast_axis=1, slow_axis=2),
        options=TimeSeriesOptions(dispersion_axis=2),
        ramps=True,
    )
    np.testing.assert_allclose(turned.noise.swapaxes(2, 3), result.noise, atol=0.02)


def test_rates_are_cleaned(simulated):
    steps = np.arange(4) - 1.5
    slope = lambda ramps: np.tensordot(steps / (steps**2).sum(), ramps, axes=(0, 1))  # noqa: E731
    rates, true = slope(simulated.data), slope(simulated.flicker)
    flagged = flags(simulated).any(axis=1)
    found = clean_time_series(
        rates[:, None].astype(np.float32),
        flagged=flagged[:, None],
        background_mask=background(simulated),
        readout=READOUT,
    )
    used = ~flagged
    assert (true - found.noise[:, 0])[used].std() < 0.6 * true[used].std()


def test_flags_take_out_both_differences(simulated, result):
    """A read spoilt by far, if flagged, changes little around it."""
    spoilt, flagged = simulated.data.copy(), flags(simulated)
    place = np.s_[5, 2, 8:14, 100:120]
    spoilt[place] += 5000
    flagged[place] = True
    found = clean(replace(simulated, data=spoilt), flagged=flagged)
    change = found.noise - result.noise
    assert np.abs(np.delete(change, 5, axis=0)).max() < 1
    assert np.abs(change[5]).max() < 8


def test_an_unflagged_hit_is_found(simulated, result):
    spoilt = simulated.data.copy()
    spoilt[5, 2:, 8:14, 100:120] += 5000
    found = clean(replace(simulated, data=spoilt))
    assert np.abs(found.noise - result.noise).max() < 8


def test_nan_and_lost_groups_are_no_obstacle(simulated, result):
    holes, flagged = simulated.data.copy(), flags(simulated)
    holes[:, :, 3:6, 40:60] = np.nan
    holes[2] = np.nan
    flagged[7, 3] = True
    found = clean(replace(simulated, data=holes), flagged=flagged)
    assert np.isfinite(found.noise).all()
    assert np.isfinite(found.scales).all()
    left = (true_noise(simulated) - found.noise)[10:]
    assert left.std() < 1.05 * (true_noise(simulated) - result.noise)[10:].std()


def test_without_a_mask_only_the_mean_noise_stays(simulated, result):
    found = clean(simulated, background_mask=None)
    before = true_noise(simulated) - result.noise
    left = true_noise(simulated) - found.noise
    deviation = (left - left.mean(axis=0)).std()
    assert deviation == pytest.approx((before - before.mean(axis=0)).std(), rel=0.02)
    assert np.abs(found.noise.mean(axis=0)).max() < 1.5
    assert left.mean(axis=0).std() > 1.2 * before.mean(axis=0).std()


def test_a_given_spectrum_is_used(simulated, result):
    again = clean(simulated, spectrum=result.spectrum)
    np.testing.assert_allclose(again.noise, result.noise, atol=0.05)


@pytest.mark.parametrize(
    ("cut", "changes", "message"),
    [
        (np.s_[:1], {}, "at least two integrations"),
        (np.s_[:, :1], {}, "one group"),
        (np.s_[0], {}, "four dimensions"),
        (np.s_[..., :-8], {}, "do not fit a readout"),
        (np.s_[:], {"background_mask": np.ones((3, 3), bool)}, "background mask of shape"),
    ],
)
def test_what_is_no_time_series_is_refused(simulated, cut, changes, message):
    with pytest.raises(ValueError, match=message):
        clean(
            replace(simulated, data=simulated.data[cut]), flagged=flags(simulated)[cut], **changes
        )


def test_nothing_usable_is_refused(simulated):
    with pytest.raises(ValueError, match="no pixel can be used"):
        clean(simulated, flagged=np.ones(simulated.data.shape, bool))
