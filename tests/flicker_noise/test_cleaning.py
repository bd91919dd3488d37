"""Ramps and images cleaned, against simulated truth."""

from dataclasses import replace

import numpy as np
import pytest

from crsteps.detector.readout import Readout
from crsteps.flicker_noise.cleaning import CleaningOptions, clean_ramp, estimate_flicker
from crsteps.simulation.flicker_ramps import FlickerRampOptions, simulate_flicker_ramps
from crsteps.simulation.flicker_scenes import SceneOptions

READOUT = Readout(shape=(256, 512), n_outputs=4, fast_axis=-1, slow_axis=2)
STARS = SceneOptions(kind="image", n_sources=40, brightness=(200.0, 2e4))
RAMPS = FlickerRampOptions(readout=READOUT, scene=STARS)


@pytest.fixture(scope="module")
def simulated():
    """Return simulated ramps of stars."""
    return simulate_flicker_ramps(RAMPS, seed=1)


@pytest.fixture(scope="module")
def cleaned(simulated):
    """Return the cleaned ramp and the estimate, with the true scene mask."""
    return clean(simulated)


def clean(simulated, **changes):
    """Clean the first integration."""
    arguments = {
        "flagged": simulated.groupdq[0] > 0,
        "background_mask": ~simulated.scene_mask,
        "readout": simulated.options.readout,
        **changes,
    }
    return clean_ramp(simulated.data[0], **arguments)


def background(simulated):
    """Pixels with neither sources nor hot pixels."""
    return ~simulated.scene_mask & ~simulated.bad_pixels


def residuals(simulated, data):
    """Flicker noise left in the differences of groups."""
    removed = np.diff(simulated.data[0] - data, axis=0)
    return np.diff(simulated.flicker[0], axis=0) - removed


def test_noise_of_background_falls(simulated, cleaned):
    mask = background(simulated)
    before = np.diff(simulated.flicker[0], axis=0)
    for noise, residual in zip(before, residuals(simulated, cleaned[0]), strict=True):
        assert residual[mask].std() < 0.65 * noise[mask].std()


def test_noise_under_sources_falls(simulated, cleaned):
    mask = simulated.scene_mask & ~simulated.bad_pixels
    before = np.diff(simulated.flicker[0], axis=0)[:, mask].std()
    assert residuals(simulated, cleaned[0])[:, mask].std() < 0.85 * before


def test_first_group_and_input_are_as_they_were(simulated):
    ramp = simulated.data[0].copy()
    data, estimate = clean(simulated)
    np.testing.assert_array_equal(simulated.data[0], ramp)
    np.testing.assert_array_equal(data[0], ramp[0])
    np.testing.assert_allclose(data[1:], ramp[1:] - np.cumsum(estimate.noise, axis=0), atol=1e-2)
    assert data.dtype == np.float32


def test_readout_of_the_wrong_direction_cleans_worse(simulated, cleaned):
    """The order of reading matters: reversed, common noise is sought where it is not."""
    mirrored = Readout(READOUT.shape, n_outputs=4, fast_axis=-1, slow_axis=2, mirrored=(False,) * 4)
    mask = background(simulated)
    wrong = residuals(simulated, clean(simulated, readout=mirrored)[0])[:, mask].std()
    assert wrong > 1.01 * residuals(simulated, cleaned[0])[:, mask].std()


def test_flags_take_out_both_differences(simulated, cleaned):
    """A read spoilt by far, if flagged, changes nothing around it."""
    spoilt, flags = simulated.data.copy(), simulated.groupdq.copy()
    block = np.s_[100:110, 200:260]
    spoilt[0, 2][block] += 5000
    flags[0, 2][block] |= 4
    data, _ = clean(replace(simulated, data=spoilt, groupdq=flags))
    difference = np.delete(data - cleaned[0], 2, axis=0)
    # A little less is known of the noise around.
    assert np.abs(difference).max() < 4
    assert difference[:, 130:].std() < 0.1
    unflagged, _ = clean(replace(simulated, data=spoilt))
    assert np.abs(np.delete(unflagged - cleaned[0], 2, axis=0)).max() > 20


def test_a_group_without_usable_pixel_is_no_obstacle(simulated):
    flags = simulated.groupdq.copy()
    flags[0, -1] |= 1
    data, estimate = clean(replace(simulated, groupdq=flags))
    assert not estimate.noise[-1].any()
    mask = background(simulated)
    before = np.diff(simulated.flicker[0], axis=0)[:-1, mask].std()
    assert residuals(simulated, data)[:-1, mask].std() < 0.65 * before
    flags[0, -1] = simulated.groupdq[0, -1]
    flags[0, 0] |= 1
    data, estimate = clean(replace(simulated, groupdq=flags))
    assert not estimate.noise[0].any()
    assert np.isfinite(estimate.white_noise)
    assert residuals(simulated, data)[1:, mask].std() < 0.65 * before


def test_nan_stays_nan_and_spreads_nowhere(simulated, cleaned):
    holes = simulated.data.copy()
    holes[0, :, 40:44, 100:140] = np.nan
    data, estimate = clean(replace(simulated, data=holes))
    np.testing.assert_array_equal(np.isnan(data), np.isnan(holes[0]))
    assert np.isfinite(estimate.noise).all()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_white_noise_is_left_alone(seed):
    options = replace(
        RAMPS,
        scene=SceneOptions(kind="blank"),
        common_rms=0.0,
        independent_rms=0.0,
        alternating_rms=0.0,
        hit_fraction=0.0,
    )
    simulated = simulate_flicker_ramps(options, seed=seed)
    data, _ = clean(simulated)
    mask = background(simulated)
    before, after = (
        np.std((np.diff(ramp, axis=0) - simulated.scene_rate)[:, mask])
        for ramp in (simulated.data[0], data)
    )
    # Neither added to, nor fitted away.
    assert abs(after / before - 1) < 0.001


def test_smooth_light_is_sky_and_not_noise():
    """A nebula as wide as several boxes keeps its light."""
    scene = replace(STARS, nebula=20.0)
    simulated = simulate_flicker_ramps(
        replace(RAMPS, readout=replace(READOUT, shape=(512, 512)), scene=scene), seed=2
    )
    _, estimate = clean(simulated)
    bright = (simulated.scene.nebula > 5) & background(simulated)
    assert bright.sum() > 1000
    removed = estimate.noise.mean(axis=0) - np.diff(simulated.flicker[0], axis=0).mean(axis=0)
    assert abs(removed[bright].mean()) < 0.05 * simulated.scene.nebula[bright].mean()


def test_alternating_columns_are_removed():
    options = replace(RAMPS, alternating_rms=4.0, scene=SceneOptions(kind="blank"))
    simulated = simulate_flicker_ramps(options, seed=4)
    mask = background(simulated)
    left = {
        wanted: residuals(
            simulated, clean(simulated, options=CleaningOptions(alternating_columns=wanted))[0]
        )[:, mask].std()
        for wanted in (True, False)
    }
    assert left[True] < 0.7 * left[False]


def test_error_is_that_of_the_estimate():
    """White noise and slow flicker noise, of which nothing is faster than a bin."""
    options = replace(RAMPS, alpha=1.5, alternating_rms=0.0, scene=SceneOptions(kind="blank"))
    simulated = simulate_flicker_ramps(options, seed=6)
    masked = np.zeros(READOUT.shape, dtype=bool)
    masked[100:140] = True
    data, estimate = clean(simulated, background_mask=~masked)
    residual = residuals(simulated, data)
    # What all differences share is an error of the sky, which the variance does not hold.
    squares = np.square(residual - residual.mean(axis=0)) * (4 / 3)
    inside, outside = estimate.error_variance[115:125], estimate.error_variance[180:]
    assert inside.mean() > 1.5 * outside.mean()
    assert squares[:, 180:].mean() == pytest.approx(outside.mean(), rel=0.25)


def test_given_spectrum_replaces_the_measured_one(simulated, cleaned):
    _, estimate = clean(simulated, spectrum=cleaned[1].spectrum)
    assert estimate.spectrum is cleaned[1].spectrum


def test_the_same_data_give_the_same_result(simulated, cleaned):
    data, estimate = clean(simulated)
    np.testing.assert_array_equal(data, cleaned[0])
    np.testing.assert_array_equal(estimate.error_variance, cleaned[1].error_variance)


def test_rates_share_their_sky():
    options = replace(RAMPS, n_integrations=3)
    simulated = simulate_flicker_ramps(options, seed=7)
    rates = (simulated.data[:, -1] - simulated.data[:, 0]) / 4
    truth = (simulated.flicker[:, -1] - simulated.flicker[:, 0]) / 4
    used = ~simulated.scene_mask & ~(simulated.groupdq > 0).any(axis=1)
    estimate = estimate_flicker(rates, background_mask=used, readout=READOUT)
    mask = background(simulated)
    assert estimate.sky.shape == READOUT.shape
    for noise, removed in zip(truth, estimate.noise, strict=True):
        assert (noise - removed)[mask].std() < 0.8 * noise[mask].std()


def test_too_little_background_and_one_group_are_refused(simulated):
    with pytest.raises(ValueError, match="% of the pixels show background"):
        clean(simulated, background_mask=np.zeros(READOUT.shape, dtype=bool))
    with pytest.raises(ValueError, match="one group"):
        clean_ramp(
            simulated.data[0, :1],
            flagged=simulated.groupdq[0, :1] > 0,
            background_mask=~simulated.scene_mask,
            readout=READOUT,
        )


def test_known_sky_leaves_no_noise_in_the_sky(simulated, cleaned):
    """What an estimated sky takes from the mean of all differences, a known one does not."""
    data, estimate = clean(simulated, sky=simulated.scene.diffuse)
    assert estimate.sky is simulated.scene.diffuse
    mask = background(simulated)
    known, estimated = (
        residuals(simulated, ramp).mean(axis=0)[mask].std() for ramp in (data, cleaned[0])
    )
    assert known < estimated
