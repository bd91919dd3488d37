"""Masks made before: the combinations are those of the search that made them."""

import numpy as np
import pytest

from crsteps.detector.noise import ExposureNoise
from crsteps.mm_cosmic.combination import COMBINATIONS, combine
from crsteps.mm_cosmic.given_masks import result_from_masks
from crsteps.mm_cosmic.masks import find_cosmic_rays

NOISE = ExposureNoise.from_gain(1.0, 4.0)
MASKS = ("exposure_masks", "mediancr", "meancrt", "meancr")


@pytest.fixture(scope="module")
def stack():
    """Return three exposures with hits in one and in two of them, and missing pixels."""
    random = np.random.default_rng(8)
    data = (random.poisson(50, (3, 60, 70)) + random.normal(0, 4, (3, 60, 70))).astype(np.float32)
    data[:2, 10, 5:9] += 300
    data[2, 30:34, 40] += 200
    data[1, 50] = np.nan
    return data


@pytest.fixture(scope="module")
def found(stack):
    """Return what a search finds."""
    return find_cosmic_rays(stack, noise=NOISE)


def test_combinations_are_those_of_the_search(stack, found):
    given = {name: getattr(found, name) for name in (*MASKS, "suspect_masks")}
    result = result_from_masks(stack, noise=NOISE, **given)
    for name, image in combine(stack, found, noise=NOISE, names=COMBINATIONS).items():
        again = combine(stack, result, noise=NOISE, names=[name])[name]
        for part in ("data", "variance", "n_used"):
            np.testing.assert_array_equal(getattr(again, part), getattr(image, part))


def test_masks_alone_say_what_is_suspect(stack, found):
    """In files of others every unflagged exposure of a pixel in MEANCR is suspect."""
    meancr = np.zeros_like(found.meancr)
    meancr[10, 5:12] = True
    given = {name: getattr(found, name) for name in MASKS} | {"meancr": meancr}
    result = result_from_masks(stack, noise=NOISE, **given)
    np.testing.assert_array_equal(result.suspect_masks, meancr & ~found.exposure_masks)
    assert result.auxiliary is None


def test_nothing_is_searched(stack, found):
    empty = {name: np.zeros_like(getattr(found, name)) for name in MASKS}
    cleaned = np.full(stack.shape[1:], 7, np.float32)
    result = result_from_masks(stack, noise=NOISE, **empty, cleaned_median=cleaned)
    assert not result.mediancr.any()
    assert not result.log_probability.any()
    assert result.auxiliary.median.cleaned is cleaned
    np.testing.assert_array_equal(result.lowest, found.lowest)
