"""Odd inputs: every outcome is defined. Warnings are errors in all tests."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from crsteps.detector.noise import ExposureNoise
from crsteps.mm_cosmic.combination import COMBINATIONS, combine
from crsteps.mm_cosmic.masks import MMCosmicOptions, find_cosmic_rays

SHAPE = (48, 60)
NOISE = ExposureNoise.from_gain(1.0, 3.0)
HIT = (slice(20, 22), slice(30, 33))


def noise_around(level, n=3, shape=SHAPE, read_noise=3.0):
    random = np.random.default_rng(8)
    read_noise = np.reshape(read_noise, (-1, 1, 1))
    return (
        random.poisson(level, (n, *shape)) + read_noise * random.normal(size=(n, *shape))
    ).astype(np.float32)


def with_hit(level=60.0, n=3, **changes):
    """Return exposures of an even scene, the first one hit in six pixels."""
    exposures = noise_around(level, n, **changes)
    exposures[0][HIT] += 500
    return exposures


def run(exposures, noise=NOISE, missing=None, **options):
    """Mask and combine; what must hold for any input is checked here."""
    result = find_cosmic_rays(
        exposures, noise=noise, missing=missing, options=MMCosmicOptions(**options)
    )
    combined = combine(exposures, result, noise=noise, missing=missing)
    usable = result.n_usable > 0
    assert set(combined) == set(COMBINATIONS)
    for image in combined.values():
        assert_array_equal(np.isfinite(image.data), usable)
        assert_array_equal(np.isfinite(image.variance), usable)
        assert np.all(image.variance[usable] > 0)
        assert_array_equal(image.n_used[~usable], 0)
    return result, combined


def assert_hit_found(result, n_false=2):
    """The hit of `with_hit`, and little else."""
    assert result.exposure_masks[0][HIT].all()
    assert result.exposure_masks.sum() <= 6 + n_false * len(result.exposure_masks)


@pytest.mark.parametrize("n", [3, 4, 5, 12])
def test_plain(n):
    result, combined = run(with_hit(n=n))
    assert_hit_found(result)
    assert_allclose(combined["meancr"].data[HIT], 60, atol=35)
    assert result.warnings == ()


@pytest.mark.parametrize("dtype", [np.int32, np.uint16, np.int16, ">f4", ">i2", np.float64])
def test_any_type_of_number(dtype):
    assert_hit_found(run(with_hit().round().astype(dtype))[0])


def test_list_of_images():
    assert_hit_found(run(list(with_hit()))[0])


def test_bias_and_gain():
    """ADU of two electrons; the bias is taken off by the caller, negative pixels remain."""
    exposures = with_hit(level=1.0) / 2 + 100
    result, _ = run(exposures - 100, ExposureNoise.from_gain(2.0, 1.5))
    assert_hit_found(result)


@pytest.mark.parametrize("blank", [np.nan, np.inf, -np.inf, 3e38, -1e30])
def test_block_without_data(blank):
    exposures = with_hit()
    exposures[:, 2:12, 5:20] = blank
    result, combined = run(exposures)
    assert_hit_found(result)
    assert np.isnan(combined["mean"].data).sum() == 150
    assert any(message.startswith("150 pixels") for message in result.warnings)


def test_pixels_with_two_usable_exposures_are_treated_as_two():
    exposures = with_hit()
    missing = np.zeros(exposures.shape, dtype=bool)
    missing[1, :, 25:] = True
    result, combined = run(exposures, missing=missing)
    assert_hit_found(result)
    assert result.mediancr[HIT].all()  # one hit of two spoils the median
    assert_array_equal(combined["meancr"].n_used[HIT], 1)
    assert_array_equal(combined["mean"].n_used, np.where(missing[1], 2, 3))


def test_pixels_with_one_usable_exposure_are_not_tested():
    exposures = with_hit()
    missing = np.zeros(exposures.shape, dtype=bool)
    missing[1:, :, 25:] = True
    result, combined = run(exposures, missing=missing)
    assert not result.exposure_masks[:, :, 25:].any()
    assert_allclose(combined["meancr"].data[HIT], exposures[0][HIT])


def test_no_pixel_with_all_exposures():
    exposures = with_hit()
    missing = np.zeros(exposures.shape, dtype=bool)
    missing[1, :, :40] = missing[2, :, 40:] = True
    result, _ = run(exposures, missing=missing)
    assert result.equivalence.usable.all()
    assert_hit_found(result)


def test_masks_of_missing_pixels_may_be_none():
    result, _ = run(with_hit(), missing=[None, np.zeros(SHAPE, dtype=bool), None])
    assert_hit_found(result)


@pytest.mark.parametrize("blank", [np.nan, 0.0])
def test_dead_exposure_is_left_out(blank):
    exposures = with_hit(n=4)
    exposures[2] = blank
    result, combined = run(exposures)
    assert_array_equal(result.equivalence.usable, [True, True, False, True])
    assert not result.exposure_masks[2].any()
    assert_hit_found(result)
    assert_array_equal(combined["mean"].n_used, 3)
    assert any(message.startswith("exposure 3 holds no usable data") for message in result.warnings)


@pytest.mark.parametrize("n_empty", [2, 3])
def test_fewer_than_two_exposures_with_data_are_refused(n_empty):
    exposures = with_hit()
    exposures[:n_empty] = np.nan
    with pytest.raises(ValueError, match="fewer than two exposures hold usable data"):
        run(exposures)


@pytest.mark.parametrize("level", [3.0, 8.0])
def test_dead_exposure_of_a_faint_scene_differs_by_an_offset(level):
    """No pixel of the scene is bright enough to tell that it has no light."""
    exposures = with_hit(level, n=4)
    exposures[2] = 0
    result, _ = run(exposures)
    assert result.equivalence.usable.all()
    assert result.equivalence.offset[2] == pytest.approx(-0.75 * level, abs=0.15 * level)
    assert_hit_found(result)


@pytest.mark.parametrize("change", [1.3, 0.8])
def test_even_scene_of_different_level(change):
    """It does not tell flux from offset; either makes the exposures equal."""
    exposures = noise_around(60.0)
    exposures[1] *= change
    exposures[0][HIT] += 500
    result, _ = run(exposures)
    assert not result.equivalence.is_equal
    assert_hit_found(result)


def test_identical_exposures_differ_in_nothing():
    exposures = np.repeat(noise_around(0.0, n=1), 3, axis=0)
    result, combined = run(exposures)
    assert not result.meancrt.any()
    assert any("read noise were 0.0" in message for message in result.warnings)
    for image in combined.values():
        assert_allclose(image.data, exposures[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("level", [0.0, 50.0, -20.0, 1e9])
def test_constant_images(level):
    result, combined = run(np.full((3, *SHAPE), level))
    assert not result.meancrt.any()
    assert_allclose(combined["meancr"].data, level)


@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (2, 2), (3, 3), (1, 300), (300, 1), (5, 7)])
def test_tiny_images(shape):
    exposures = noise_around(60.0, shape=shape)
    result, combined = run(exposures, false_pixels=0.01)
    assert result.mediancr.shape == shape
    assert not result.meancrt.any()
    assert_allclose(combined["mean"].data, exposures.mean(axis=0), rtol=1e-5)


def test_hit_in_a_single_row():
    exposures = noise_around(60.0, shape=(1, 300))
    exposures[1, 0, 100:104] += 500
    result, _ = run(exposures)
    assert result.exposure_masks[1, 0, 100:104].all()
    assert result.exposure_masks.sum() <= 8


def test_huge_signals():
    """At 1e9 e- the noise is 3e4; single precision still holds it."""
    exposures = noise_around(1e9)
    exposures[0][HIT] += 1e6
    result, _ = run(exposures)
    assert result.exposure_masks[0][HIT].all()
    assert result.exposure_masks.sum() <= 20


@pytest.mark.parametrize("value", [1e9, -1e9])
def test_hot_and_cold_pixels_do_not_stretch_the_scene(value):
    exposures = with_hit()
    exposures[:, 5, 5] = value
    result, _ = run(exposures)
    assert_hit_found(result)
    assert result.prior.signal.size < 5000


def test_negative_images():
    """Sky was subtracted: the noise given holds that of the sky."""
    exposures = with_hit() - 200
    result, combined = run(exposures, ExposureNoise.from_gain(1.0, np.sqrt(69.0)))
    assert_hit_found(result)
    assert_allclose(combined["meancr"].data[HIT], -140, atol=35)


def test_without_poisson_noise():
    exposures = with_hit(level=0.0)
    exposures[:, 2, 2] = np.nan
    result, _ = run(exposures, ExposureNoise(np.float32([9]), np.float32([0])))
    assert_hit_found(result)


@pytest.mark.parametrize("axes", [2, 3])
def test_read_variance_of_each_pixel(axes):
    """A noisy half with the noise it is told to have holds no hits."""
    read_variance = np.full(SHAPE, 9.0, np.float32)
    read_variance[:, 40:] = 900
    exposures = with_hit()
    exposures[:, :, 40:] += np.random.default_rng(1).normal(0, 30, (3, SHAPE[0], 20))
    if axes == 3:
        read_variance = np.repeat(read_variance[None], 3, axis=0)
    result, _ = run(exposures, ExposureNoise(read_variance, np.float32([1])))
    assert_hit_found(result)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 0.0, -1.0])
def test_pixels_of_unknown_noise_are_missing(bad):
    read_variance = np.full((3, *SHAPE), 9.0, np.float32)
    read_variance[1, 3, 3:6] = bad
    result, _ = run(with_hit(), ExposureNoise(read_variance, np.float32([1])))
    assert_array_equal(result.n_usable[3, 3:6], 2)
    assert (result.n_usable == 2).sum() == 3
    assert_hit_found(result)


@pytest.mark.parametrize("read_noise", [(3.0, 30.0, 3.0), (30.0, 3.0, 3.0), (3.0, 3.0, 6.0)])
def test_unequal_read_noise(read_noise):
    """A hit of 12 sigma in a quiet exposure is found beside a noisy exposure."""
    exposures = noise_around(10.0, read_noise=read_noise)
    exposures[1 if read_noise[0] > 3 else 0][HIT] += 60
    result, combined = run(exposures, ExposureNoise.from_gain(1.0, read_noise))
    hit = result.exposure_masks[1 if read_noise[0] > 3 else 0]
    assert hit[HIT].sum() >= 5
    assert result.exposure_masks.sum() <= 12
    # The noisy exposure has little weight.
    weight = np.sum(1 / (np.array(read_noise) ** 2 + 10))
    assert np.median(combined["meancr"].variance) == pytest.approx(1 / weight, rel=0.15)


@pytest.mark.parametrize("n", [0, 1, 2])
def test_fewer_than_three_exposures_are_refused(n):
    with pytest.raises(ValueError, match=f"three or more exposures are needed, got {n}"):
        run(list(noise_around(60.0)[:n]))


@pytest.mark.parametrize(
    ("exposures", "noise", "missing", "message"),
    [
        ([np.zeros((3, 4)), np.zeros((3, 5)), np.zeros((3, 4))], NOISE, None, "of one shape"),
        (np.zeros((3, 2, 3, 4)), NOISE, None, "of one shape"),
        (np.zeros((3, 7)), NOISE, None, "of one shape"),
        (np.zeros((3, 0, 7)), NOISE, None, "fewer than two exposures"),
        (np.zeros((3, 3, 4)), NOISE, np.zeros((2, 3, 4), bool), "missing holds 2 masks"),
        (np.zeros((3, 3, 4)), NOISE, np.zeros((3, 4, 3), bool), "mask of missing pixels"),
        (np.zeros((3, 3, 4)), ExposureNoise.from_gain(1.0, [3, 3]), None, "read_variance of shape"),
        (
            np.zeros((3, 3, 4)),
            ExposureNoise.from_gain(np.ones((4, 4)), 3),
            None,
            "poisson_factor of shape",
        ),
    ],
)
def test_wrong_shapes_are_refused(exposures, noise, missing, message):
    with pytest.raises(ValueError, match=message):
        find_cosmic_rays(exposures, noise=noise, missing=missing)


@pytest.mark.parametrize(
    "options",
    [
        {"cr_coincidences": 1},
        {"cr_coincidences": 3},
        {"cr_coincidences": 2.5},
        {"false_pixels": 0},
        {"false_pixels": -1},
        {"false_pixels": np.nan},
        {"grow_probability": 0},
        {"grow_probability": 1},
        {"mm_dilation": -1},
        {"dilation": -1},
        {"dilation": 0.5},
        {"block_rows": 0},
        {"equivalence": "maybe"},
    ],
    ids=str,
)
def test_impossible_options_are_refused(options):
    (name,) = options
    with pytest.raises(ValueError, match=name):
        run(noise_around(60.0), **options)


def test_everything_may_be_asked_for_as_false():
    result, _ = run(with_hit(), false_pixels=1e9)
    assert result.exposure_masks[0][HIT].all()
