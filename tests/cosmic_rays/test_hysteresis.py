"""Growth of masks against a flood fill written out."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_array_equal

from crsteps.cosmic_rays.hysteresis import dilate, grow_seeds, large_components

masks = hnp.arrays(bool, st.just((7, 9)), elements=st.booleans())
pairs = hnp.arrays(bool, st.just((2, 7, 9)), elements=st.booleans())


def neighbours(y, x, shape):
    return [
        (j, i)
        for j in range(max(y - 1, 0), min(y + 2, shape[0]))
        for i in range(max(x - 1, 0), min(x + 2, shape[1]))
    ]


def flood_fill(seeds, growable):
    filled = np.zeros_like(seeds)
    waiting = list(zip(*np.nonzero(seeds), strict=True))
    while waiting:
        place = waiting.pop()
        if not filled[place]:
            filled[place] = True
            waiting += [p for p in neighbours(*place, seeds.shape) if growable[p]]
    return filled


@given(pairs)
def test_growth_is_a_flood_fill(pair):
    seeds, growable = pair
    grown = grow_seeds(seeds, growable)
    assert_array_equal(grown, flood_fill(seeds, growable))


@given(pairs)
def test_growth_keeps_the_seeds_and_is_idempotent(pair):
    seeds, growable = pair
    grown = grow_seeds(seeds, growable)
    assert np.all(grown[seeds])
    assert not np.any(grown & ~(growable | seeds))
    assert_array_equal(grow_seeds(grown, growable), grown)


@given(masks)
def test_nothing_grows_without_seeds(growable):
    assert not grow_seeds(np.zeros_like(growable), growable).any()


@settings(max_examples=40)
@given(masks, st.integers(1, 6))
def test_large_components_are_those_that_fill_from_any_member(mask, minimum_size):
    expected = np.zeros_like(mask)
    for y, x in zip(*np.nonzero(mask), strict=True):
        seed = np.zeros_like(mask)
        seed[y, x] = True
        expected[y, x] = flood_fill(seed, mask).sum() >= minimum_size
    assert_array_equal(large_components(mask, minimum_size=minimum_size), expected)


@given(masks, st.integers(0, 3))
def test_dilation_reaches_as_many_pixels_as_iterations(mask, iterations):
    expected = mask.copy()
    for y, x in zip(*np.nonzero(mask), strict=True):
        near_y = slice(max(y - iterations, 0), y + iterations + 1)
        expected[near_y, max(x - iterations, 0) : x + iterations + 1] = True
    assert_array_equal(dilate(mask, iterations), expected)


def test_diagonal_pixels_are_connected():
    diagonal = np.eye(6, dtype=bool)
    seeds = np.zeros_like(diagonal)
    seeds[0, 0] = True
    assert_array_equal(grow_seeds(seeds, diagonal), diagonal)
    assert_array_equal(large_components(diagonal, minimum_size=6), diagonal)
    assert not large_components(diagonal, minimum_size=7).any()
