"""Values from the good pixels around: against a loop over the windows."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from crsteps.cosmic_rays import local_median
from crsteps.cosmic_rays.local_median import fill_missing, median_around


@pytest.fixture
def image():
    return np.random.default_rng(4).normal(100, 10, (20, 30)).astype(np.float32)


@pytest.mark.parametrize("at_once", [7, 10_000])
def test_median_of_the_good_pixels_of_each_window(image, monkeypatch, at_once):
    monkeypatch.setattr(local_median, "_AT_ONCE", at_once)
    good = np.random.default_rng(5).random(image.shape) > 0.4
    broken = np.where(good, image, np.nan)
    pixels = np.arange(0, image.size, 5)
    expected = []
    for y, x in zip(*np.divmod(pixels, 30), strict=True):
        window = np.s_[max(y - 3, 0) : y + 4, max(x - 1, 0) : x + 2]
        expected.append(np.median(image[window][good[window]]))
    assert_array_equal(median_around(broken, good, pixels, reach=(3, 1)), expected)


def test_window_without_a_good_pixel_takes_the_nearest_one(image):
    good = np.zeros(image.shape, dtype=bool)
    good[4, 5] = good[19, 29] = True
    pixels = np.ravel_multi_index(([0, 15], [0, 20]), image.shape)
    found = median_around(image, good, pixels, reach=(2, 2))
    assert_array_equal(found, [image[4, 5], image[19, 29]])


def test_filled_image_is_new_and_finite(image):
    missing = np.zeros(image.shape, dtype=bool)
    missing[5:14, 5:20] = True
    broken = np.where(missing, np.nan, image)
    filled = fill_missing(broken, missing)
    assert np.isnan(broken).any()
    assert filled.dtype == np.float32
    assert np.isfinite(filled).all()
    assert_array_equal(filled[~missing], image[~missing])
    assert abs(filled[9, 12] - 100) < 40  # no good pixel within two of it


def test_image_without_a_good_pixel_is_zero():
    filled = fill_missing(np.full((4, 5), np.nan), np.ones((4, 5), dtype=bool))
    assert_array_equal(filled, np.zeros((4, 5)))


def test_no_pixels(image):
    empty = np.zeros(0, dtype=int)
    assert median_around(image, image > 0, empty, reach=(2, 2)).size == 0
