"""Medians by sorting networks: the same as those of scipy and astroscrappy, bit by bit."""

import astroscrappy.utils
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_array_equal
from scipy import ndimage

from crsteps.cosmic_rays import median_filters
from crsteps.cosmic_rays.median_filters import (
    median_of_windows,
    separable_median,
    sliding_median,
)

REACHES = [(0, 0), (0, 3), (1, 1), (2, 2), (3, 1), (1, 4), (4, 4), (5, 5), (0, 50)]


@pytest.mark.parametrize("reach", REACHES)
def test_sliding_median_is_that_of_scipy(reach):
    rng = np.random.default_rng(1)
    image = rng.integers(0, 12, (23, 107)).astype(np.float32)  # many equal values
    size = tuple(2 * n + 1 for n in reach)
    expected = ndimage.median_filter(image, size)
    inner = tuple(slice(n, length - n) for n, length in zip(reach, image.shape, strict=True))
    before = image.copy()
    assert_array_equal(sliding_median(image, reach=reach), expected[inner])
    assert_array_equal(image, before)


@pytest.mark.parametrize("at_once", [1, 100, 10_000])
def test_sliding_median_does_not_depend_on_the_rows_worked_on_at_a_time(monkeypatch, at_once):
    image = np.random.default_rng(2).normal(size=(40, 31)).astype(np.float32)
    expected = sliding_median(image, reach=(2, 2))
    monkeypatch.setattr(median_filters, "_AT_ONCE", at_once)
    assert_array_equal(sliding_median(image, reach=(2, 2)), expected)


@pytest.mark.parametrize("size", [5, 7, 9])
def test_separable_median_is_that_of_astroscrappy(size):
    image = np.random.default_rng(3).normal(size=(40, 31)).astype(np.float32)
    expected = getattr(astroscrappy.utils, f"sepmedfilt{size}")(image)
    half = size // 2
    assert_array_equal(separable_median(image, size), expected[half:-half, half:-half])


@settings(max_examples=60, deadline=None)
@given(
    shape=st.tuples(st.sampled_from([1, 3, 5, 7, 11]), st.sampled_from([1, 3, 5, 9])),
    data=st.data(),
)
def test_median_of_windows(shape, data):
    n = shape[0] * shape[1]
    values = st.floats(-5, 5, width=32)
    windows = data.draw(hnp.arrays(np.float32, (n, 3), elements=values))
    before = windows.copy()
    found = median_of_windows(list(windows), shape=shape)
    assert_array_equal(found, np.median(windows, axis=0))
    assert_array_equal(windows, before)


def test_image_without_room_for_a_window_has_no_medians():
    image = np.zeros((4, 9), dtype=np.float32)
    assert sliding_median(image, reach=(2, 2)).shape == (0, 5)
