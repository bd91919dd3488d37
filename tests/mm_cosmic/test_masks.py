"""Masks against the truth of simulations, and what must hold between them."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import ndimage

from crsteps.detector.noise import ExposureNoise
from crsteps.mm_cosmic.masks import MMCosmicOptions, find_cosmic_rays
from crsteps.simulation.fibre_spectrograph import (
    equal_options,
    simulate_fibre_exposures,
    unequal_options,
)
from crsteps.simulation.scoring import score_masks

NOISE = ExposureNoise.from_gain(1.0, 3.4)
MASKS = ("exposure_masks", "suspect_masks", "mediancr", "meancrt", "meancr")


@pytest.fixture(scope="module", params=["equal", "unequal"])
def small(request):
    """Return small exposures with their result."""
    make = {"equal": equal_options, "unequal": unequal_options}[request.param]
    exposures = simulate_fibre_exposures(make(shape=(150, 200)), seed=7)
    return exposures, find_cosmic_rays(exposures.data, noise=NOISE)


def scores(found):
    charge, sigma = found.exposures.charge, found.exposures.noise
    return (
        score_masks(found.result.mediancr, charge, sigma, n_required=2),
        score_masks(found.result.exposure_masks, charge, sigma),
    )


def test_equal_exposures_against_the_truth(equal_scene):
    median, single = scores(equal_scene)
    assert min(median.recall, median.precision) > 0.92
    assert single.recall > 0.97
    assert single.precision > 0.95


def test_unequal_exposures_against_the_truth(unequal_scene):
    median, single = scores(unequal_scene)
    assert median.f1 > 0.91
    assert single.f1 > 0.95


@pytest.mark.parametrize("name", ["equal_scene", "unequal_scene"])
def test_few_false_pixels_far_from_cosmic_rays(name, request):
    median, single = scores(request.getfixturevalue(name))
    # One asked for in each mask; nine are expected once in a million times.
    assert median.n_false_far < 9
    assert single.n_false_far < 3 * 5


def test_relations_between_masks(small):
    _, result = small
    n_hit = result.exposure_masks.sum(axis=0)
    assert_array_equal(result.mediancr, n_hit >= 2)
    assert_array_equal(result.meancrt, n_hit >= 1)
    assert_array_equal(result.meancr, result.suspect_masks.any(axis=0))
    assert not np.any(result.suspect_masks & result.exposure_masks)
    # Suspects touch hits of the same exposure.
    for suspect, hit in zip(result.suspect_masks, result.exposure_masks, strict=True):
        assert not np.any(suspect & ~ndimage.binary_dilation(hit, np.ones((3, 3))))


def test_hits_have_small_probabilities(small):
    _, result = small
    assert np.all(result.log_probability <= 0)
    # The loosest threshold is 0.1; crossings flagged for their neighbourhood are the exception.
    flagged = result.log_probability[result.meancrt]
    assert np.mean(flagged < np.log(0.1)) > 0.99


def test_images_of_the_diagram(small):
    exposures, result = small
    if result.equivalence.is_equal:
        assert_allclose(result.lowest, exposures.data.min(axis=0))
        assert_allclose(result.median, np.median(exposures.data, axis=0), rtol=1e-6)
    assert np.all(result.median >= result.lowest)


@pytest.mark.parametrize("block_rows", [17, 64])
def test_blocks_of_rows_change_nothing(small, block_rows):
    exposures, whole = small
    blocks = find_cosmic_rays(
        exposures.data, noise=NOISE, options=MMCosmicOptions(block_rows=block_rows)
    )
    for name in MASKS:
        assert_array_equal(getattr(blocks, name), getattr(whole, name))
    for name in ("lowest", "median", "log_probability"):
        assert_allclose(getattr(blocks, name), getattr(whole, name), rtol=1e-5, atol=1e-4)


def test_little_memory_makes_blocks(small):
    exposures, whole = small
    options = MMCosmicOptions(block_bytes=1)
    assert_array_equal(
        find_cosmic_rays(exposures.data, noise=NOISE, options=options).exposure_masks,
        whole.exposure_masks,
    )


@pytest.mark.parametrize(("gain", "bias"), [(2.0, 100.0), (1e9, 0.0), (1e-3, 0.0)])
def test_units_do_not_matter(small, gain, bias):
    """Exposures in units of some electrons, from which a bias was taken off."""
    exposures, in_electrons = small
    data = (exposures.data / gain + bias).astype(np.float32) - np.float32(bias)
    result = find_cosmic_rays(data, noise=ExposureNoise.from_gain(gain, 3.4 / gain))
    for name in ("exposure_masks", "mediancr"):
        differ = getattr(result, name) != getattr(in_electrons, name)
        # Rounding may move a pixel across a threshold.
        assert differ.sum() <= 0.002 * getattr(in_electrons, name).sum() + 1


def test_inputs_are_not_modified(small):
    exposures, _ = small
    data = exposures.data.copy()
    missing = np.zeros(data.shape, dtype=bool)
    missing[1, 20:30, 20:30] = True
    find_cosmic_rays(data, noise=NOISE, missing=missing)
    assert_array_equal(data, exposures.data)
    assert missing.sum() == 100


def test_dilation(small):
    exposures, plain = small
    options = MMCosmicOptions(mm_dilation=1, dilation=2)
    result = find_cosmic_rays(exposures.data, noise=NOISE, options=options)
    square = np.ones((3, 3), dtype=bool)
    for mask, before in (
        (result.mediancr, plain.mediancr),
        *zip(result.exposure_masks, plain.exposure_masks, strict=True),
    ):
        assert_array_equal(mask, ndimage.binary_dilation(before, square, iterations=3))
    assert np.all(result.meancrt >= result.mediancr)
    assert np.all(result.meancrt >= result.exposure_masks.any(axis=0))
    assert not np.any(result.suspect_masks & result.exposure_masks)


def test_more_false_pixels_asked_for_flag_more(small):
    exposures, one = small
    many = find_cosmic_rays(
        exposures.data, noise=NOISE, options=MMCosmicOptions(false_pixels=100.0)
    )
    assert many.expected_false == 100
    assert many.mediancr.sum() > one.mediancr.sum()


@pytest.mark.parametrize(
    ("n", "hits"), [(3, 2), (4, 2), (4, 3), (5, 2), (5, 3), (5, 4), (12, 2), (12, 6), (12, 11)]
)
def test_every_number_of_exposures_and_hits(n, hits):
    """As many exposures as asked for are hit in one track, one less in another."""
    options = equal_options(shape=(64, 100), n_exposures=n, hit_fraction=0, n_crossings=0)
    exposures = simulate_fibre_exposures(options, seed=3)
    data = exposures.data.copy()
    data[:hits, 20, 30:40] += 400
    data[: hits - 1, 40, 60:70] += 400
    result = find_cosmic_rays(data, noise=NOISE, options=MMCosmicOptions(cr_coincidences=hits))
    expected = np.zeros(data.shape, dtype=bool)
    expected[:hits, 20, 30:40] = expected[: hits - 1, 40, 60:70] = True
    assert np.mean(result.exposure_masks[expected]) > 0.98
    assert np.sum(result.exposure_masks & ~expected) <= 4 * n
    assert result.mediancr[20, 30:40].all()
    # Beside hits the exposures are judged again at a looser threshold.
    assert result.mediancr[40, 60:70].sum() <= 1
    assert result.meancrt[40, 60:70].all()


def test_missing_pixels_are_not_flagged_and_not_counted(small):
    exposures, _ = small
    missing = np.random.default_rng(1).random(exposures.data.shape) < 0.05
    result = find_cosmic_rays(exposures.data, noise=NOISE, missing=missing)
    assert_array_equal(result.n_usable, 3 - missing.sum(axis=0))
    assert not np.any(result.exposure_masks & missing)
    score = score_masks(
        result.exposure_masks, np.where(missing, 0, exposures.charge), exposures.noise
    )
    assert score.f1 > 0.9


def test_noise_that_disagrees_is_reported(small):
    exposures, good = small
    assert good.warnings == ()
    result = find_cosmic_rays(exposures.data, noise=ExposureNoise.from_gain(1.0, 6.8))
    assert any("read noise were 0.5" in message for message in result.warnings)


def test_flux_differences_without_equivalence_are_false_hits():
    """What the equivalence is for: without it unequal exposures flag the scene."""
    exposures = simulate_fibre_exposures(unequal_options(shape=(150, 200)), seed=7)
    counts = [
        find_cosmic_rays(
            exposures.data, noise=NOISE, options=MMCosmicOptions(equivalence=choice)
        ).meancrt.sum()
        for choice in ("auto", "none")
    ]
    assert counts[1] > 1.3 * counts[0]
