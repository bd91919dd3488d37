"""Flicker noise of the first group, against simulated truth."""

import numpy as np
import pytest

from crsteps.detector.readout import Readout
from crsteps.flicker_noise.cleaning import clean_ramp
from crsteps.flicker_noise.first_group import (
    clean_first_group,
    estimate_first_group,
    first_group_time,
)
from crsteps.simulation.flicker_ramps import FlickerRampOptions, simulate_flicker_ramps
from crsteps.simulation.flicker_scenes import SceneOptions

READOUT = Readout(shape=(256, 512), n_outputs=4, fast_axis=-1, slow_axis=2)


def simulated(readout=READOUT, **changes):
    return simulate_flicker_ramps(
        FlickerRampOptions(
            readout=readout,
            scene=SceneOptions(kind="image", nebula=10.0, n_sources=60, brightness=(50.0, 1e5)),
            n_groups=5,
            bias=0.0,
            common_rms=4.0,
            independent_rms=4.0,
            read_noise=5.0,
            **changes,
        ),
        seed=11,
    )


@pytest.fixture(scope="module")
def ramps():
    return simulated()


def cleaned(ramps, *, bias=0.0, with_spectrum=True, readout=READOUT):
    """
    Flicker noise left in every group on the background: before, of differences, of all.

    The sky is given: the error of an estimated one grows from group to group.
    """
    data = ramps.data[0] + np.float32(bias)
    flagged = ramps.groupdq[0] > 0
    background = ~(ramps.scene_mask | ramps.bad_pixels)
    first, estimate = clean_ramp(
        data,
        flagged=flagged,
        background_mask=background,
        readout=readout,
        sky=ramps.scene.diffuse,
    )
    second, _ = clean_first_group(
        first,
        flagged=flagged,
        background_mask=background,
        readout=readout,
        spectrum=estimate.spectrum if with_spectrum else None,
    )
    truth = data - ramps.flicker[0]
    return [(x - truth)[:, background].std(axis=1) for x in (data, first, second)]


def test_every_group_is_clean_when_the_first_one_is(ramps):
    before, differences, after = cleaned(ramps)
    assert differences[0] == before[0]
    np.testing.assert_allclose(differences, before[0], rtol=0.05)
    assert (after < 0.66 * before).all()


def test_slopes_do_not_change(ramps):
    flagged, background = ramps.groupdq[0] > 0, ~ramps.scene_mask
    given = ramps.data[0].copy()
    data, estimate = clean_first_group(
        given, flagged=flagged, background_mask=background, readout=READOUT
    )
    np.testing.assert_array_equal(given, ramps.data[0])
    assert estimate.noise.shape == (1, *READOUT.shape)
    np.testing.assert_allclose(np.diff(data, axis=0), np.diff(given, axis=0), atol=0.02)
    np.testing.assert_array_equal(data[0], given[0] - estimate.noise[0])


def test_pixels_without_a_slope_are_left_out(ramps):
    """Saturated after the first read: what was collected before it is not known."""
    flagged, background = ramps.groupdq[0] > 0, ~(ramps.scene_mask | ramps.bad_pixels)
    unknown = np.random.default_rng(4).random(READOUT.shape) < 0.3
    saturated = flagged.copy()
    saturated[1:] |= unknown
    (found, _), (expected, _) = (
        clean_first_group(ramps.data[0], flagged=flags, background_mask=mask, readout=READOUT)
        for flags, mask in ((saturated, background), (flagged, background & ~unknown))
    )
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("with_spectrum", [True, False])
def test_errors_of_the_bias_are_not_taken_for_noise(ramps, with_spectrum):
    """Reset noise, pixels with a wrong bias, and a pattern that is the same in every row."""
    random = np.random.default_rng(3)
    bias = random.normal(0, 4, READOUT.shape) + 300 * (random.random(READOUT.shape) < 0.005)
    *_, plain = cleaned(ramps, bias=bias, with_spectrum=with_spectrum)
    bias += 6 * np.sin(np.arange(512) / 13)
    before, _, after = cleaned(ramps, bias=bias, with_spectrum=with_spectrum)
    assert after[0] < 0.70 * before[0]
    assert after[0] < 1.05 * plain[0]


def test_the_spectrum_of_differences_has_twice_the_power(ramps):
    """Measured on the first group itself; at lags much shorter than a group."""
    flagged, background = ramps.groupdq[0] > 0, ~(ramps.scene_mask | ramps.bad_pixels)
    data, differences = clean_ramp(
        ramps.data[0], flagged=flagged, background_mask=background, readout=READOUT
    )
    _, own = clean_first_group(data, flagged=flagged, background_mask=background, readout=READOUT)
    drops = []
    for spectrum in (own.spectrum, differences.spectrum):
        at_2, at_8, at_32 = spectrum.autocovariance(np.array([2, 8, 32])) + spectrum.autocovariance(
            np.array([2, 8, 32]), independent=True
        )
        drops.append([at_2 - at_8, at_8 - at_32])
    np.testing.assert_allclose(drops[0], np.divide(drops[1], 2), rtol=0.15)


def test_other_axes():
    readout = Readout(shape=(512, 256), n_outputs=4, fast_axis=-2, slow_axis=-1)
    bias = 6 * np.sin(np.arange(512) / 13)[:, None]
    before, _, after = cleaned(simulated(readout), bias=bias, readout=readout)
    assert after[0] < 0.70 * before[0]


def test_light_of_the_first_group_is_that_of_its_time(ramps):
    """A slope that is not smooth and a first group of many averaged frames."""
    slope = np.random.default_rng(5).uniform(0, 100, READOUT.shape).astype(np.float32)
    time = first_group_time(n_frames=8, group_gap=12)
    noise = ramps.flicker[0, 0] - ramps.flicker[0, 0].mean()
    image = time * slope + noise
    used = np.ones(READOUT.shape, bool)
    estimate = estimate_first_group(
        image, slope=slope, first_time=time, background_mask=used, readout=READOUT
    )
    assert np.std(estimate.noise[0] - noise) < 0.7 * noise.std()
    wrong = estimate_first_group(image, slope=slope, background_mask=used, readout=READOUT)
    assert wrong.white_noise > 5 * estimate.white_noise


@pytest.mark.parametrize(
    ("n_frames", "group_gap", "expected"),
    [(1, 0, 1.0), (8, 12, 4.5 / 20), (4, 1, 0.5), (5, 0, 0.6)],
)
def test_time_of_the_first_group(n_frames, group_gap, expected):
    """Frames at 1, 2, ... n after the reset; groups n + gap frames apart."""
    assert first_group_time(n_frames=n_frames, group_gap=group_gap) == pytest.approx(expected)


def test_a_ramp_of_one_group_is_cleaned(ramps):
    background = ~(ramps.scene_mask | ramps.bad_pixels)
    one = ramps.data[0, :1]
    data, _ = clean_first_group(
        one,
        flagged=np.zeros(one.shape, bool),
        background_mask=background,
        readout=READOUT,
    )
    truth = one - ramps.flicker[0, :1]
    before, after = ((x - truth)[:, background].std() for x in (one, data))
    assert after < 0.68 * before


def test_pixels_that_are_not_finite_or_flagged_change_nothing(ramps):
    background = ~(ramps.scene_mask | ramps.bad_pixels)
    flagged = ramps.groupdq[0] > 0
    data = ramps.data[0].copy()
    hole = np.s_[:, 30:34, 40:50]
    flagged[hole] = True
    results = []
    for value in (np.nan, 1e6):
        data[hole] = value
        result, _ = clean_first_group(
            data, flagged=flagged, background_mask=background, readout=READOUT
        )
        results.append(data - result)
    np.testing.assert_allclose(
        np.delete(results[0], range(30, 34), 1), np.delete(results[1], range(30, 34), 1), atol=0.02
    )


def test_no_background_is_said(ramps):
    with pytest.raises(ValueError, match="show background"):
        clean_first_group(
            ramps.data[0],
            flagged=np.ones(ramps.data[0].shape, bool),
            background_mask=~ramps.scene_mask,
            readout=READOUT,
        )
