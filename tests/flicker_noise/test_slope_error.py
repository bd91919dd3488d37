"""The variance that the error of the removed noise adds to slopes: closed forms and simulations."""

import numpy as np
import pytest

from crsteps.detector.readout import Readout
from crsteps.flicker_noise.cleaning import CleaningOptions, clean_ramp
from crsteps.flicker_noise.slope import DO_NOT_USE, JUMP_DET, SATURATED
from crsteps.flicker_noise.slope_error import slope_error_variance
from crsteps.simulation.flicker_ramps import FlickerRampOptions, simulate_flicker_ramps
from crsteps.simulation.flicker_scenes import SceneOptions


def line_fit(ramp):
    """Slopes per group by ordinary least squares, for all pixels."""
    order = np.arange(len(ramp)) - (len(ramp) - 1) / 2
    return np.tensordot(order, ramp, axes=1) / np.sum(order**2)


@pytest.mark.parametrize("n_groups", [2, 3, 7])
def test_whole_ramps(n_groups):
    """Reads with errors of half the variance, drawn and fitted."""
    groupdq = np.zeros((1, n_groups, 2, 3), np.uint8)
    error = np.array([[1.0, 2, 4], [0, 0.5, 9]])
    rate, integrations = slope_error_variance(error, groupdq, group_time=2.0)
    assert rate.dtype == integrations.dtype == np.float32
    np.testing.assert_array_equal(rate, integrations[0])
    rng = np.random.default_rng(1)
    reads = np.sqrt(error / 2) * rng.standard_normal((n_groups, 40_000, 2, 3))
    drawn = np.var(line_fit(reads) / 2.0, axis=0)
    np.testing.assert_allclose(rate, drawn, rtol=0.04)


def test_segments_and_integrations_are_weighted_as_read_noise_is():
    """A ramp of 7 reads broken at a jump, one cut off by saturation; drawn, fitted, combined."""
    groupdq = np.zeros((2, 7, 1, 1), np.uint8)
    groupdq[0, 4] = JUMP_DET  # reads 0 to 3, reads 4 to 6
    groupdq[1, 3:] = SATURATED  # reads 0 to 2
    errors = np.array([3.0, 8.0])[:, np.newaxis, np.newaxis]
    rate, integrations = slope_error_variance(errors, groupdq, group_time=0.5)

    rng = np.random.default_rng(2)
    reads = np.sqrt(errors / 2) * rng.standard_normal((2, 7, 100_000))
    slopes = [line_fit(part) / 0.5 for part in (reads[0, :4], reads[0, 4:], reads[1, :3])]
    weights = [n**3 - n for n in (4, 3, 3)]  # inverse variances of read noise
    first = np.average(slopes[:2], axis=0, weights=weights[:2])
    every = np.average(slopes, axis=0, weights=weights)
    np.testing.assert_allclose(integrations[0], first.var(), rtol=0.03)
    np.testing.assert_allclose(integrations[1], slopes[2].var(), rtol=0.03)
    np.testing.assert_allclose(rate, every.var(), rtol=0.03)


def test_no_two_reads_in_a_row_no_error():
    groupdq = np.zeros((1, 4, 1, 4), np.uint8)
    groupdq[0, :, 0, 0] = DO_NOT_USE
    groupdq[0, 1:, 0, 1] = SATURATED
    groupdq[0, 1::2, 0, 2] = DO_NOT_USE
    groupdq[0, :, 0, 3] = JUMP_DET
    for variance in slope_error_variance(np.ones((1, 4)), groupdq, group_time=1.0):
        np.testing.assert_array_equal(variance, np.zeros(variance.shape))


def test_flags_inside_a_ramp():
    """A read not to be used parts the ramp; a jump in the first read changes nothing."""
    groupdq = np.zeros((1, 6, 1, 2), np.uint8)
    groupdq[0, 2, 0, 0] = DO_NOT_USE
    groupdq[0, 0, 0, 1] = JUMP_DET
    rate, _ = slope_error_variance(np.ones((1, 2)), groupdq, group_time=1.0)
    np.testing.assert_allclose(rate, [[6 / (6 + 24), 6 / 210]])


def test_other_shapes_are_refused():
    with pytest.raises(ValueError, match="does not fit ramps of shape"):
        slope_error_variance(np.ones((3, 2, 2)), np.zeros((2, 5, 2, 2), np.uint8), group_time=1.0)


def test_errors_of_the_estimate_are_those_of_reads():
    """
    Flicker noise of simulated ramps is removed; what is left is compared with the truth.

    Errors of neighbouring differences have a correlation near -1/2, and the error of the slope is
    that of the formula and a little more, as slow noise is not independent from read to read. If
    errors were independent it would be seven times larger.
    """
    readout = Readout(shape=(128, 512), n_outputs=4, fast_axis=-1, slow_axis=2)
    scene = SceneOptions(kind="image", n_sources=0, sky=5.0)
    options = FlickerRampOptions(
        readout=readout, scene=scene, n_groups=6, bad_fraction=0, hit_fraction=0
    )
    simulated = simulate_flicker_ramps(options, seed=1)
    cleaned, _ = clean_ramp(
        simulated.data[0],
        flagged=np.zeros(simulated.data[0].shape, bool),
        background_mask=np.ones(readout.shape, bool),
        readout=readout,
        sky=simulated.scene_rate,
        options=CleaningOptions(alternating_columns=False),
    )
    errors = np.diff(simulated.data[0] - cleaned - simulated.flicker[0], axis=0)
    errors -= errors.mean(axis=(1, 2), keepdims=True)  # no estimate knows the mean
    variance = np.mean(errors**2)
    assert -0.5 < np.mean(errors[1:] * errors[:-1]) / variance < -0.45

    ramp = np.concatenate([np.zeros((1, *readout.shape)), np.cumsum(errors, axis=0)])
    predicted, _ = slope_error_variance(
        np.full(readout.shape, variance), simulated.groupdq, group_time=1.0
    )
    assert 0.95 < np.var(line_fit(ramp)) / predicted.mean() < 1.4
