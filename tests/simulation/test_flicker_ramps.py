"""Ramps with flicker noise: spectrum, correlations and levels follow from closed forms."""

from dataclasses import replace

import numpy as np
import pytest

from crsteps.detector.readout import Readout
from crsteps.simulation import flicker_ramps
from crsteps.simulation.flicker_ramps import (
    DO_NOT_USE,
    JUMP_DET,
    SATURATED,
    FlickerRampOptions,
    simulate_flicker_ramps,
)
from crsteps.simulation.flicker_scenes import SceneOptions, make_scene


def only_flicker(readout, **changes):
    """Options for flicker noise of the two streams on an otherwise dark, noiseless detector."""
    quiet = FlickerRampOptions(
        readout=readout,
        scene=SceneOptions(sky=0.0),
        alternating_rms=0.0,
        read_noise=0.0,
        bias=0.0,
        hit_fraction=0.0,
        bad_fraction=0.0,
    )
    return replace(quiet, **changes)


def without_flicker(**changes):
    """Options for white noise alone, of light and reads."""
    options = FlickerRampOptions(
        readout=Readout(shape=(200, 240)),
        common_rms=0.0,
        independent_rms=0.0,
        alternating_rms=0.0,
        hit_fraction=0.0,
        bad_fraction=0.0,
    )
    return replace(options, **changes)


def relative_change(n_samples, lag):
    """Mean square change of 1/f noise over 0, 1, 2, ... ticks, relative to that over a lag."""
    covariance = np.fft.irfft(np.r_[0, 1 / np.arange(1.0, n_samples // 2 + 1)], n_samples)
    change = covariance[0] - covariance
    return change / change[lag]


def test_flicker_is_all_there_is_in_the_dark():
    ramps = simulate_flicker_ramps(only_flicker(Readout(shape=(24, 32))), seed=1)
    np.testing.assert_array_equal(ramps.data, ramps.flicker)
    assert not ramps.groupdq.any()
    assert not ramps.scene_mask.any()


@pytest.mark.parametrize("alpha", [0.8, 1.0, 1.2])
def test_slope_of_the_power_spectrum(alpha):
    """Without overhead the groups are one series; its averaged periodogram falls as f^-alpha."""
    readout = Readout(shape=(64, 64), n_outputs=1, overhead=0)
    options = only_flicker(readout, alpha=alpha, n_integrations=60, n_groups=4)
    ramps = simulate_flicker_ramps(options, seed=2)
    series = ramps.flicker.reshape(60, -1)
    n = series.shape[1]
    power = np.mean(np.abs(np.fft.rfft(series * np.hanning(n))) ** 2, axis=0)
    k = np.arange(8, n // 2)
    # Equal weight per octave; the mean of 60 exponential variates scatters by 13 %.
    slope = np.polyfit(np.log(k), np.log(power[k]), 1, w=1 / np.sqrt(k))[0]
    assert slope == pytest.approx(-alpha, abs=0.03)


def test_time_runs_on_between_rows_and_groups():
    """The mean square change over a lag is that of the power law, whatever the pixels between."""
    readout = Readout(shape=(40, 30), n_outputs=1)
    options = only_flicker(readout, n_integrations=800, n_groups=3, common_rms=0.0)
    flicker = simulate_flicker_ramps(options, seed=3).flicker
    expected = options.independent_rms**2 * relative_change(
        2 * 3 * readout.n_ticks, readout.n_ticks
    )

    def change(first, second):
        return np.mean((first - second) ** 2)

    end, begin = flicker[:, :, :-1, -1], flicker[:, :, 1:, 0]
    assert change(end, begin) == pytest.approx(expected[13], rel=0.02)
    for lag in (1, 13):
        within = change(flicker[..., lag:], flicker[..., :-lag])
        assert within == pytest.approx(expected[lag], rel=0.02)
    last, first = flicker[:, :-1, -1, -1], flicker[:, 1:, 0, 0]
    assert change(last, first) == pytest.approx(expected[13], rel=0.12)


def test_outputs_share_the_common_stream_by_their_gain():
    """Covariance of the changes from group to group: gains' product and the own variance."""
    gain = np.array([1.0, 0.5, 1.5])
    readout = Readout(shape=(12, 24), n_outputs=3, fast_axis=-1, slow_axis=-2)
    options = only_flicker(
        readout,
        n_integrations=3000,
        n_groups=2,
        common_rms=3.0,
        independent_rms=2.0,
        common_gain=tuple(gain),
    )
    flicker = simulate_flicker_ramps(options, seed=4).flicker
    change = readout.to_outputs(flicker[:, 1] - flicker[:, 0])
    streams = np.moveaxis(change, 1, 0).reshape(3, -1)
    expected = 9.0 * np.outer(gain, gain) + 4.0 * np.eye(3)
    # Pixels of a group are all but one sample: 3000 independent values, each 3 % of its variance.
    np.testing.assert_allclose(streams @ streams.T / streams.shape[1], expected, atol=0.8)


def test_common_noise_is_mirrored_in_every_second_output():
    readout = Readout(shape=(8, 40))
    ramps = simulate_flicker_ramps(only_flicker(readout, independent_rms=0.0), seed=5)
    outputs = readout.to_outputs(ramps.flicker)
    assert outputs.std() > 0.1
    assert np.all(outputs == outputs[:, :, :1])
    np.testing.assert_array_equal(ramps.flicker[..., :10], ramps.flicker[..., 19:9:-1])


def test_longer_groups_are_simulated_as_such():
    """The change from one group to the next has the same variance, over any time."""
    readout = Readout(shape=(10, 20), n_outputs=1)
    options = only_flicker(readout, n_integrations=3000, n_groups=2, common_rms=0.0)
    longer = replace(options, group_ticks=7 * readout.n_ticks)
    assert longer.group_time == pytest.approx(7 * options.group_time)
    flicker = simulate_flicker_ramps(longer, seed=6).flicker
    change = flicker[:, 1] - flicker[:, 0]
    assert np.mean(change**2) == pytest.approx(options.independent_rms**2, rel=0.08)
    n_ticks = readout.n_ticks
    expected = 2.5**2 * relative_change(2 * 8 * n_ticks, 7 * n_ticks)
    within = np.mean((flicker[..., 5:] - flicker[..., :-5]) ** 2)
    assert within == pytest.approx(expected[5], rel=0.02)


def test_alternating_noise_changes_its_sign_from_column_to_column():
    readout = Readout(shape=(20, 64), n_outputs=2)
    options = only_flicker(
        readout,
        n_integrations=2000,
        n_groups=2,
        common_rms=0.0,
        independent_rms=0.0,
        alternating_rms=1.5,
    )
    flicker = simulate_flicker_ramps(options, seed=7).flicker
    change = readout.to_outputs(flicker[:, 1] - flicker[:, 0])
    assert np.mean(change**2) == pytest.approx(1.5**2, rel=0.1)
    neighbours = np.corrcoef(change[..., 1:].ravel(), change[..., :-1].ravel())[0, 1]
    assert neighbours < -0.8
    assert abs(np.corrcoef(change[:, 0].ravel(), change[:, 1].ravel())[0, 1]) < 0.1


def test_white_noise_is_as_stated_and_ramps_are_linear():
    """Differences of groups scatter around the rate as the read noise and the light demand."""
    options = without_flicker(scene=SceneOptions(kind="image", n_sources=40, nebula=30.0))
    ramps = simulate_flicker_ramps(options, seed=8)
    assert not ramps.flicker.any()
    residual = np.diff(ramps.data, axis=1) - ramps.scene_rate
    expected = np.sqrt(2 * 3.8**2 + ramps.scene_rate / 1.8)
    np.testing.assert_allclose(ramps.white_sigma, expected, rtol=1e-5)
    normalised = residual / expected
    for part in (ramps.scene_rate < 10, ramps.scene_rate > 25):
        values = normalised[..., part]
        n = values.size
        # Reads are shared by neighbouring differences, which takes no more than a factor of 2.
        assert values.mean() == pytest.approx(0, abs=4 / np.sqrt(n))
        assert values.var() == pytest.approx(1, abs=4 * np.sqrt(4 / n))
    first = ramps.data[0, 0] - options.bias - ramps.scene_rate
    assert abs(first.mean()) < 4 * 4.0 / np.sqrt(first.size)


def test_negative_traces_are_negative_light():
    scene = SceneOptions(
        kind="spectra", sky=0.0, n_sources=3, brightness=(100.0, 200.0), negative_nods=True
    )
    ramps = simulate_flicker_ramps(without_flicker(scene=scene, read_noise=0.5), seed=9)
    sources = ramps.scene.sources
    assert sources.min() < -20
    assert sources.max() > 40
    assert ramps.scene_mask[sources < -20].all()
    measured = (ramps.data[0, -1] - ramps.data[0, 0]) / 4
    normalised = (measured - sources) / np.sqrt((np.abs(sources) / 1.8 + 0.5**2 / 2) / 4)
    for part in (sources < -5, sources > 5):
        n = part.sum()
        assert normalised[part].mean() == pytest.approx(0, abs=4 / np.sqrt(n))
        assert normalised[part].var() == pytest.approx(1, abs=4 * np.sqrt(2 / n))


def test_cosmic_rays_are_steps_and_the_strong_ones_are_flagged():
    clean = without_flicker(saturation=np.inf)
    hit = replace(clean, hit_fraction=1e-3)
    without, ramps = (simulate_flicker_ramps(options, seed=10) for options in (clean, hit))
    steps = np.diff(ramps.data - without.data, axis=1, prepend=0)
    level = hit.flagged_hit * ramps.white_sigma
    assert (steps > level).sum() > 1000
    assert steps.min() > -0.1  # rounding of float32
    jump = (ramps.groupdq & JUMP_DET) > 0
    clear = np.abs(steps - level) > 0.1
    np.testing.assert_array_equal(jump[clear], (steps > level)[clear])


def test_saturated_pixels_stay_at_the_level_and_are_flagged():
    options = without_flicker(
        scene=SceneOptions(sky=300.0), bias=1000.0, saturation=2000.0, read_noise=1.0
    )
    ramps = simulate_flicker_ramps(options, seed=11)
    saturated = (ramps.groupdq & SATURATED) > 0
    # 1300, 1600, 1900 +- 22, 2200 +- 26 DN: the fourth group crosses the level.
    assert not saturated[:, :2].any()
    assert saturated[:, 3:].all()
    assert np.mean(ramps.data[:, 3:]) == pytest.approx(2000.0, abs=0.05)


def test_bad_pixels_are_flagged_in_all_groups():
    ramps = simulate_flicker_ramps(without_flicker(bad_fraction=0.02), seed=12)
    assert ramps.bad_pixels.mean() == pytest.approx(0.02, rel=0.2)
    flagged = (ramps.groupdq & DO_NOT_USE) > 0
    np.testing.assert_array_equal(flagged, np.broadcast_to(ramps.bad_pixels, flagged.shape))
    rate = np.diff(ramps.data, axis=1)
    assert rate[..., ramps.bad_pixels].mean() > 100


def test_same_seed_same_ramps_and_parts_are_independent():
    options = FlickerRampOptions(
        readout=Readout(shape=(40, 64)), scene=SceneOptions(kind="image", n_sources=5)
    )
    first, again = (simulate_flicker_ramps(options, seed=13) for _ in range(2))
    for name in ("data", "groupdq", "flicker", "scene_rate", "scene_mask"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    assert not np.array_equal(simulate_flicker_ramps(options, seed=14).data, first.data)
    steeper = simulate_flicker_ramps(replace(options, alpha=1.2), seed=13)
    np.testing.assert_allclose(
        steeper.data - steeper.flicker, first.data - first.flicker, rtol=0, atol=4e-3
    )
    assert not np.array_equal(steeper.flicker, first.flicker)


def test_flux_of_stars_and_galaxies_is_that_of_the_catalogue():
    options = SceneOptions(kind="image", n_sources=1, brightness=(100.0, 10000.0))
    scenes = [make_scene((700, 700), options, np.random.default_rng(k)) for k in range(8)]
    # Galaxies reach 104 pixels at most.
    inside = [
        scene
        for scene in scenes
        if scene.catalogue[0, :2].min() > 105 and scene.catalogue[0, :2].max() < 594
    ]
    assert len(inside) >= 3
    for scene in inside:
        x, y, flux = scene.catalogue[0]
        assert 100 <= flux <= 10000
        light = scene.sources.astype(float)
        assert light.sum() == pytest.approx(flux, rel=1e-5)
        rows, columns = np.indices(light.shape)
        assert (light * columns).sum() / flux == pytest.approx(x, abs=0.05)
        assert (light * rows).sum() / flux == pytest.approx(y, abs=0.05)


@pytest.mark.parametrize("vertical", [False, True])
def test_chromatic_transit(vertical):
    """In the middle the depth is linear in wavelength; outside there is none."""
    shape = (300, 32) if vertical else (32, 300)
    options = SceneOptions(
        kind="time_series", vertical=vertical, transit_depth=0.02, transit_slope=0.5
    )
    scene = make_scene(shape, options, np.random.default_rng(0), n_integrations=30)
    across = 1 if vertical else 0
    source = scene.sources.sum(axis=across)
    assert source.shape == (300,)
    assert source.min() > 0.1 * source.max()
    spectra = np.array([(scene.rate(i) - scene.diffuse).sum(axis=across) for i in range(30)])
    depth = 1 - spectra / source
    expected = 0.02 * (1 + 0.5 * np.linspace(-0.5, 0.5, 300))
    np.testing.assert_allclose(depth[15], expected, atol=1e-5)
    np.testing.assert_allclose(depth[[0, 5, 24, 29]], 0, atol=1e-5)


def test_kinds_of_scene():
    with pytest.raises(ValueError, match=r"'moon' is not one of blank, image, .*time_series"):
        SceneOptions(kind="moon")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"common_gain": (1.0, 1.0)}, "common_gain has 2 entries for 4 outputs"),
        ({"group_ticks": 10}, "group_ticks=10 is shorter"),
    ],
)
def test_impossible_options(changes, message):
    with pytest.raises(ValueError, match=message):
        FlickerRampOptions(readout=Readout(shape=(8, 8)), **changes)


@pytest.mark.parametrize(
    ("preset", "shape", "axes", "n_outputs"),
    [
        ("nircam_full", (1, 5, 2048, 2048), (-1, 2), 4),
        ("nircam_stripe", (10, 5, 256, 2048), (-1, 2), 4),
        ("niriss_soss", (10, 4, 256, 2048), (-2, -1), 1),
        ("nirspec_mos", (1, 5, 2048, 2048), (2, 1), 4),
        ("nirspec_ifu", (1, 5, 2048, 2048), (2, 1), 4),
        ("nirspec_sub2048", (20, 5, 32, 2048), (2, 1), 1),
        ("nirspec_sub512", (20, 5, 32, 512), (2, 1), 1),
    ],
)
def test_presets(preset, shape, axes, n_outputs):
    """Each is its mode; a smaller frame of it has background, sources, noise and flags."""
    options = getattr(flicker_ramps, preset)(alpha=1.2)
    readout = options.readout
    assert (options.n_integrations, options.n_groups, *readout.shape) == shape
    assert (readout.fast_axis, readout.slow_axis) == axes
    assert readout.n_outputs == n_outputs
    assert options.alpha == 1.2
    n_sources = min(options.scene.n_sources, 4)
    small = replace(
        options,
        readout=replace(readout, shape=tuple(min(n, 256) for n in readout.shape)),
        scene=replace(options.scene, n_sources=n_sources),
        n_integrations=min(options.n_integrations, 3),
        n_groups=3,
        hit_fraction=1e-3,
    )
    ramps = simulate_flicker_ramps(small, seed=15)
    assert ramps.data.shape == (small.n_integrations, 3, *small.readout.shape)
    assert ramps.data.dtype == ramps.flicker.dtype == np.float32
    assert ramps.groupdq.dtype == np.uint8
    assert np.isfinite(ramps.data).all()
    assert 0.001 < ramps.scene_mask.mean() < 0.99
    assert (ramps.groupdq & JUMP_DET).any()
    assert ramps.flicker.std() > 1
