"""Exposures brought to a common scene, with differences that are known."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from crsteps.detector.noise import ExposureNoise
from crsteps.mm_cosmic.equivalence import (
    EquivalenceModel,
    align_block,
    box_sums,
    expected_lowest,
    local_ratios,
)
from crsteps.simulation.fibre_spectrograph import simulate_fibre_exposures, unequal_options

NOISE = ExposureNoise.from_gain(1.0, 3.4)


@pytest.fixture(scope="module")
def exposures():
    """Return small unequal exposures without differences between the fibres."""
    return simulate_fibre_exposures(unequal_options(shape=(96, 200), fibre_scatter=0.0), seed=2)


@pytest.fixture(scope="module")
def truth(exposures):
    """Return their differences in the model's normalisation."""
    flux = np.array(exposures.options.flux_factors)
    dx, dy = np.array(exposures.options.shifts).T
    equal = EquivalenceModel.equal(3)
    return replace(equal, flux=flux / flux.mean(), dx=dx - dx.mean(), dy=dy - dy.mean())


def test_equal_exposures_are_left_alone(exposures):
    model = EquivalenceModel.equal(3)
    aligned = align_block(exposures.data, NOISE, model)
    assert model.is_equal
    assert_array_equal(aligned.stack, exposures.data)
    assert aligned.noise.read_variance.shape == (1, 1, 1)
    assert aligned.to_mean == 0
    assert aligned.extra_variance == 0


def test_known_differences_are_taken_out(exposures, truth):
    """Exposures without noise agree within a part of the noise they would have."""
    before = exposures.data.copy()
    scene = exposures.scene
    aligned = align_block(scene, NOISE, truth)
    inner = (slice(8, -8), slice(8, -8))
    scatter = (np.ptp(aligned.stack, axis=0) / exposures.noise[0])[inner]
    uncorrected = (np.ptp(scene, axis=0) / exposures.noise[0])[inner]
    assert scatter.max() < 0.12 * uncorrected.max()
    assert scatter.mean() < 0.05
    assert_array_equal(exposures.data, before)


def test_common_scale_leads_back_to_the_mean_of_the_exposures(exposures, truth):
    offset = np.array([2.0, -3.0, 1.0])
    stack = exposures.scene + offset[:, None, None].astype(np.float32)
    aligned = align_block(stack, NOISE, replace(truth, offset=offset))
    assert_allclose(
        aligned.stack.mean(axis=0) + aligned.to_mean, stack.mean(axis=0), rtol=2e-3, atol=0.02
    )


def test_noise_is_scaled_with_the_flux():
    model = replace(EquivalenceModel.equal(2), flux=np.array([0.5, 1.5]))
    aligned = align_block(np.full((2, 5, 5), [[[50.0]], [[150.0]]], np.float32), NOISE, model)
    assert_allclose(aligned.stack, 100)
    variance = [3.4**2 / 0.25 + 100 / 0.5, 3.4**2 / 2.25 + 100 / 1.5]
    assert_allclose(aligned.noise.variance(aligned.scene)[:, 2, 2], variance, rtol=1e-6)


def test_blocks_with_a_halo_give_what_the_image_gives(exposures, truth):
    model = replace(truth, local_box=(3, 51), local_scatter=0.05, gradient_variance=(1e-3, 1e-3))
    whole = align_block(exposures.data, NOISE, model)
    halo = model.halo
    block = align_block(exposures.data[:, 40 - halo : 60 + halo], NOISE, model)
    for name in ("stack", "scene", "extra_variance", "to_mean"):
        expected = getattr(whole, name)[..., 40:60, :]
        assert_allclose(getattr(block, name)[..., halo:-halo, :], expected, rtol=1e-4, atol=1e-3)


def test_dead_exposures_do_not_enter():
    stack = np.float32([10, 0, 14])[:, None, None] * np.ones((3, 4, 5), np.float32)
    model = replace(EquivalenceModel.equal(3), usable=np.array([True, False, True]))
    noise = ExposureNoise.from_gain(1.0, [3.0, 100.0, 6.0])
    aligned = align_block(stack, noise, model)
    assert_array_equal(aligned.noise.read_variance.ravel(), [9, 36])
    assert_allclose(aligned.scene, (10 / 19 + 14 / 46) / (1 / 19 + 1 / 46), rtol=1e-6)


def test_gradients_add_variance():
    ramp = np.broadcast_to(4 * np.arange(30, dtype=np.float32), (3, 20, 30))
    model = replace(EquivalenceModel.equal(3), gradient_variance=(0.25, 0.5))
    extra = align_block(ramp, NOISE, model).extra_variance
    assert_allclose(extra[:, 6:-6], 0.25 * 4**2, rtol=1e-4)


def test_box_sums_end_at_the_edge():
    """A box holds as much information as pixels of the image are in it."""
    scene = np.full((11, 20), 30, np.float32)
    stack = scene[None] * np.float32(1.02)
    ((numerator, denominator),) = box_sums(stack, NOISE, scene, (3, 7))
    weight = 30**2 / (3.4**2 + 30 + 0.9**2)
    assert denominator[5, 10] == pytest.approx(21 * weight, rel=1e-4)
    assert denominator[0, 0] == pytest.approx(8 * weight, rel=1e-4)
    assert_allclose(numerator, 0.02 * denominator, rtol=1e-3)


def test_cosmic_rays_and_missing_pixels_say_nothing_about_the_flux():
    scene = np.full((11, 20), 30, np.float32)
    stack = np.repeat(scene[None] * np.float32(1.02), 2, axis=0)
    stack[0, 5, 10], stack[1, 5, 10] = 1e5, np.nan
    for numerator, denominator in box_sums(stack, NOISE, scene, (3, 7)):
        assert_allclose(numerator, 0.02 * denominator, rtol=1e-3)
        assert denominator[5, 10] == pytest.approx(20 / 21 * denominator[2, 10], rel=1e-4)


def test_local_ratios_are_shrunk_by_their_error():
    scene = np.full((11, 20), 30, np.float32)
    model = replace(EquivalenceModel.equal(1), local_box=(3, 7), local_scatter=0.05)
    (ratio,) = local_ratios(scene[None] * np.float32(1.02), NOISE, scene, model)
    information = 21 * 30**2 / (3.4**2 + 30 + 0.9**2)
    expected = 0.02 * information / (information + 1 / 0.05**2)
    assert ratio[5, 10] == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(("n", "exact"), [(2, 0.5642), (3, 0.8463), (5, 1.1630), (12, 1.6292)])
def test_expected_lowest_is_that_of_the_tables(n, exact):
    assert expected_lowest(n) == pytest.approx(exact, rel=0.05)
