"""Combined images: values by hand, variances against simulated scatter."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from crsteps.cosmic_rays.auxiliary import AuxiliaryDetection
from crsteps.detector.noise import ExposureNoise
from crsteps.mm_cosmic.auxiliary_images import AuxiliaryImages
from crsteps.mm_cosmic.combination import (
    CLEANED_COMBINATIONS,
    COMBINATIONS,
    combine,
)
from crsteps.mm_cosmic.equivalence import EquivalenceModel
from crsteps.mm_cosmic.masks import MMCosmicResult
from crsteps.mm_cosmic.null_model import ScenePrior
from crsteps.simulation.scoring import rms_error

PRIOR = ScenePrior(np.arange(5.0), np.zeros(5), 9.0, 1.0)


def result_with(hits, usable=None, suspects=None, mediancr=None):
    """Return a result of equal exposures with given masks."""
    n, *shape = hits.shape
    n_hit = hits.sum(axis=0)
    image = np.zeros(shape, np.float32)
    suspects = np.zeros_like(hits) if suspects is None else suspects
    return MMCosmicResult(
        exposure_masks=hits,
        suspect_masks=suspects,
        mediancr=n_hit >= 2 if mediancr is None else mediancr,
        meancrt=n_hit >= 1,
        meancr=suspects.any(axis=0),
        log_probability=image,
        lowest=image,
        median=image,
        n_usable=np.full(shape, n, np.uint8) if usable is None else usable.sum(axis=0),
        equivalence=EquivalenceModel.equal(n),
        prior=PRIOR,
        read_variance=9.0,
        poisson_factor=0.0,
        expected_false=1.0,
        warnings=(),
    )


# Pixels: clean, hit in one, hit in two, hit in all, one missing, one missing and one hit, no data.
STACK = np.float32(
    [
        [[10, 910, 910, 910, np.nan, np.nan, np.nan]],
        [[13, 13, 513, 513, 13, 513, np.nan]],
        [[16, 16, 16, 316, 16, 16, np.nan]],
    ]
)
HITS = STACK > 100
READ_ONLY = ExposureNoise(np.float32([9]), np.float32([0]))


MEDIAN_OF_3, MEDIAN_OF_2 = 0.448671, 0.5
LOWEST_OF_3, LOWEST_OF_2 = 0.559467, 0.681690
# The pixel hit in all exposures is replaced by the mean of its two neighbours in the row.
EXPECTED = {
    "mean": (
        [13, 313, (910 + 513 + 16) / 3, (910 + 513 + 316) / 3, 14.5, 264.5, np.nan],
        [3, 3, 3, 3, 4.5, 4.5, np.nan],
        [3, 3, 3, 3, 2, 2, 0],
    ),
    "median": (
        [13, 16, 513, 513, 14.5, 264.5, np.nan],
        9 * np.array([MEDIAN_OF_3] * 4 + [MEDIAN_OF_2] * 2 + [np.nan]),
        [3, 3, 3, 3, 2, 2, 0],
    ),
    "min": (
        [10, 13, 16, 316, 13, 16, np.nan],
        9 * np.array([LOWEST_OF_3] * 4 + [LOWEST_OF_2] * 2 + [np.nan]),
        [3, 3, 3, 3, 2, 2, 0],
    ),
    "mediancr": (
        [13, 16, 16, (16 + 14.5) / 2, 14.5, 16, np.nan],
        [9 * MEDIAN_OF_3, 9 * MEDIAN_OF_3, 9, 6.75 + 0.75**2, 4.5, 9, np.nan],
        [3, 3, 1, 0, 2, 1, 0],
    ),
    "meancrt": (
        [13, 16, 16, (16 + 14.5) / 2, 14.5, 16, np.nan],
        [3, 9 * MEDIAN_OF_3, 9, 6.75 + 0.75**2, 4.5, 9, np.nan],
        [3, 3, 1, 0, 2, 1, 0],
    ),
    "meancr": (
        [13, 14.5, 16, (16 + 14.5) / 2, 14.5, 16, np.nan],
        [3, 4.5, 9, 6.75 + 0.75**2, 4.5, 9, np.nan],
        [3, 2, 1, 0, 2, 1, 0],
    ),
}
EXPECTED["meancr2"] = EXPECTED["meancr"]
# With two usable exposures, one that is hit spoils the median.
MEDIANCR = np.array([[False, False, True, True, False, True, False]])


@pytest.mark.parametrize("name", COMBINATIONS)
def test_values_by_hand(name):
    result = result_with(HITS, np.isfinite(STACK), mediancr=MEDIANCR)
    combined = combine(STACK, result, noise=READ_ONLY, names=(name,))[name]
    data, variance, n_used = EXPECTED[name]
    assert_allclose(combined.data[0], data, rtol=1e-6)
    assert_allclose(combined.variance[0], variance, rtol=1e-4)
    assert_array_equal(combined.n_used[0], n_used)


def test_suspects_are_left_out_of_meancr2_where_others_remain():
    stack = np.float32([[[10, 10]], [[20, 20]], [[60, 60]]])
    suspects = np.zeros(stack.shape, dtype=bool)
    suspects[2, 0, 0] = suspects[:, 0, 1] = True
    result = result_with(np.zeros_like(suspects), suspects=suspects)
    combined = combine(stack, result, noise=READ_ONLY)
    assert_allclose(combined["meancr"].data, [[30, 30]])
    assert_allclose(combined["meancr2"].data, [[15, 30]])
    assert_array_equal(combined["meancr2"].n_used, [[2, 3]])


def test_weights_are_inverse_variances():
    stack = np.float32([[[10]], [[20]], [[900]]])
    hits = stack > 100
    noise = ExposureNoise(np.float32([4, 16, 1]), np.float32([0]))
    combined = combine(stack, result_with(hits), noise=noise, names=("meancr",))["meancr"]
    assert combined.data[0, 0] == pytest.approx((10 / 4 + 20 / 16) / (1 / 4 + 1 / 16))
    assert combined.variance[0, 0] == pytest.approx(1 / (1 / 4 + 1 / 16))


def test_pixel_hit_in_all_without_neighbours_keeps_the_lowest():
    stack = np.float32([[[910]], [[513]], [[316]]])
    combined = combine(stack, result_with(stack > 100), noise=READ_ONLY, names=("meancr",))
    image = combined["meancr"]
    assert image.data[0, 0] == 316
    assert image.n_used[0, 0] == 0
    assert image.variance[0, 0] > 200**2  # the spread of the exposures


def test_exposures_left_out_do_not_count():
    stack = np.float32([[[10]], [[20]], [[900]]])
    usable = np.array([True, True, False])
    result = result_with(np.zeros(stack.shape, dtype=bool))
    result = replace(result, equivalence=replace(result.equivalence, usable=usable))
    for image in combine(stack, result, noise=READ_ONLY).values():
        assert image.n_used[0, 0] == 2
        assert image.data[0, 0] < 21


@pytest.mark.parametrize("n", [3, 4, 5, 6])
def test_variances_are_the_scatter_of_combined_noise(n):
    """Twenty thousand pixels: a variance is known to one per cent; bright, so nearly normal."""
    random = np.random.default_rng(n)
    signal = 1000.0
    stack = random.poisson(signal, (n, 100, 200)) + random.normal(0, 4, (n, 100, 200))
    stack = stack.astype(np.float32)
    result = result_with(np.zeros(stack.shape, dtype=bool))
    combined = combine(stack, result, noise=ExposureNoise.from_gain(1.0, 4.0))
    for name, image in combined.items():
        assert image.variance.mean() == pytest.approx(image.data.var(), rel=0.05), name
        if name != "min":
            assert image.data.mean() == pytest.approx(signal, rel=1e-3)


@pytest.mark.parametrize("name", ["equal_scene", "unequal_scene"])
def test_pulls_of_meancr(name, request):
    """Flagged or not, values differ from the truth by their errors."""
    found = request.getfixturevalue(name)
    image, mask = found.combined["meancr"], found.result.meancrt
    pull = (image.data - found.exposures.mean_scene) / np.sqrt(image.variance)
    assert pull[~mask].std() == pytest.approx(1, abs=0.05)
    low, high = np.percentile(pull[mask], [15.865, 84.135])  # robust: missed charge has tails
    assert (high - low) / 2 == pytest.approx(1, abs=0.1)
    # Variances follow the noise, so the mean pull is below zero; the mean difference is not.
    error = found.exposures.noise.mean(axis=0) / np.sqrt(3)
    assert abs(((image.data - found.exposures.mean_scene) / error)[~mask].mean()) < 0.02


@pytest.mark.parametrize("name", ["equal_scene", "unequal_scene"])
def test_number_of_exposures_is_exact(name, request):
    found = request.getfixturevalue(name)
    result, combined = found.result, found.combined
    unflagged = 3 - result.exposure_masks.sum(axis=0)
    assert_array_equal(combined["meancr"].n_used, unflagged)
    assert_array_equal(combined["mediancr"].n_used, np.where(result.mediancr, unflagged, 3))
    assert_array_equal(combined["mean"].n_used, 3)
    used = ~result.exposure_masks & ~result.suspect_masks
    expected = np.where(used.any(axis=0), used.sum(axis=0), unflagged)
    assert_array_equal(combined["meancr2"].n_used, expected)


@pytest.mark.parametrize("name", ["equal_scene", "unequal_scene"])
def test_cleaned_images_are_better_than_the_median(name, request):
    found = request.getfixturevalue(name)
    rms = {
        name: rms_error(image.data, found.exposures.mean_scene)
        for name, image in found.combined.items()
    }
    assert all(rms[name] < 0.65 * rms["median"] for name in CLEANED_COMBINATIONS)
    free = rms_error(found.exposures.cosmic_ray_free.mean(axis=0), found.exposures.mean_scene)
    assert rms["meancr"] < 1.03 * free


@pytest.mark.parametrize("block_rows", [17, 64])
def test_blocks_of_rows_change_nothing(unequal_scene, block_rows):
    data = unequal_scene.exposures.data
    blocks = combine(data, unequal_scene.result, noise=unequal_scene.noise, block_rows=block_rows)
    for name, image in blocks.items():
        expected = unequal_scene.combined[name]
        assert_allclose(image.data, expected.data, rtol=1e-5, atol=1e-3)
        assert_allclose(image.variance, expected.variance, rtol=1e-4)
        assert_array_equal(image.n_used, expected.n_used)


def test_unknown_combination_is_refused():
    stack = np.zeros((3, 2, 2), np.float32)
    result = result_with(np.zeros(stack.shape, dtype=bool))
    with pytest.raises(ValueError, match="unknown combination 'mode': choose from mean, median"):
        combine(stack, result, noise=READ_ONLY, names=("mean", "mode"))


# --- other replacements -------------------------------------------------------------------------


def with_cleaned_median(result, cleaned):
    detection = AuxiliaryDetection(result.mediancr, cleaned=cleaned)
    return replace(result, auxiliary=AuxiliaryImages(("lacosmic",), detection, None, ()))


@pytest.mark.parametrize(
    ("name", "pixels", "value", "number"),
    [
        # Clean, hit in one, hit in two, hit in all, one missing, one missing and one hit.
        ("mediancr", [2, 3, 5], [13 + 3, 316, 16], 1),
        ("meancrt", [2, 3, 5], [13 + 3, 316, 16], 1),
        ("meancr", [3], [316], 1),
        ("meancr2", [3], [316], 1),
    ],
)
def test_minimum_replaces_hits(name, pixels, value, number):
    result = result_with(HITS, usable=np.isfinite(STACK), mediancr=MEDIANCR)
    plain = combine(STACK, result, noise=READ_ONLY)[name]
    image = combine(STACK, result, noise=READ_ONLY, replacement="minimum")[name]
    assert_allclose(image.data[0, pixels], value)
    assert_array_equal(image.n_used[0, pixels], number)
    n_usable = np.isfinite(STACK).sum(axis=0)[0, pixels]
    lowest = np.where(n_usable == 3, LOWEST_OF_3, LOWEST_OF_2)
    assert_allclose(image.variance[0, pixels], 9 * lowest, rtol=1e-4)
    others = np.setdiff1d(np.arange(7), pixels)
    assert_array_equal(image.data[0, others], plain.data[0, others])


def test_minimum_in_pixels_of_meancr():
    suspects = np.zeros_like(HITS)
    suspects[2, 0, 0] = True
    result = result_with(HITS, usable=np.isfinite(STACK), suspects=suspects)
    combined = combine(STACK, result, noise=READ_ONLY, replacement="minimum")
    assert combined["meancr"].data[0, 0] == 13
    assert combined["meancr2"].data[0, 0] == 10


@pytest.mark.parametrize(
    ("name", "pixels"),
    [("mediancr", [2, 3, 5]), ("meancrt", [2, 3, 5]), ("meancr", [3]), ("meancr2", [0, 3])],
)
@pytest.mark.parametrize("replacement", ["clean_mean", "minimum"])
def test_cleaned_median_replaces_hits(name, pixels, replacement):
    suspects = np.zeros_like(HITS)
    suspects[2, 0, 0] = True
    result = result_with(HITS, usable=np.isfinite(STACK), suspects=suspects, mediancr=MEDIANCR)
    result = with_cleaned_median(result, np.float32([[31, 32, 33, 34, 35, 36, 37]]))
    image = combine(STACK, result, noise=READ_ONLY, use_auxmedian=True, replacement=replacement)[
        name
    ]
    assert_array_equal(image.data[0, pixels], np.add(pixels, 31))
    assert_array_equal(image.n_used[0, pixels], 0)
    assert np.all(image.variance[0, pixels] > 0)
    others = np.setdiff1d(np.arange(6), pixels)
    assert not np.any(np.isin(image.data[0, others], np.arange(31, 38)))
    assert np.isnan(image.data[0, 6])


def test_cleaned_median_is_brought_to_the_mean(unequal_scene):
    """Exposures of unequal flux: the median on the common scale is no median of theirs."""
    found = unequal_scene
    result = with_cleaned_median(found.result, found.result.median)
    options = {"noise": found.noise, "names": ("meancr", "mediancr")}
    combined = combine(found.exposures.data, result, use_auxmedian=True, **options)
    pixels = result.mediancr
    bright = pixels & (found.exposures.mean_scene > 50)
    clean = found.combined["meancr"].data
    ratio = combined["mediancr"].data[~pixels] / clean[~pixels]
    assert_allclose(np.median(ratio[clean[~pixels] > 100]), 1, atol=2e-3)
    assert bright.sum() > 10
    assert_array_equal(combined["mediancr"].n_used[pixels], 0)


def test_impossible_replacements_are_refused():
    result = result_with(HITS)
    with pytest.raises(ValueError, match="unknown replacement 'median'"):
        combine(STACK, result, noise=READ_ONLY, replacement="median")
    with pytest.raises(ValueError, match="crmethod mmcosmic makes none"):
        combine(STACK, result, noise=READ_ONLY, use_auxmedian=True)
    with pytest.raises(ValueError, match="makes none"):
        combine(STACK, with_cleaned_median(result, None), noise=READ_ONLY, use_auxmedian=True)
