"""Regions that light is known to fall on: geometry."""

import numpy as np
import pytest

from crsteps.flicker_noise.science_regions import boxes_mask, fixed_slit_region, traces_mask


def test_fixed_slits_are_the_rows_923_to_1116_counted_from_one():
    mask = fixed_slit_region((2048, 3))
    assert np.array_equal(np.flatnonzero(mask.all(axis=1)) + 1, np.arange(923, 1117))
    assert mask.sum() == 3 * 194


@pytest.mark.parametrize(
    ("first_row", "expected"), [(900, (22, 100)), (1100, (0, 16)), (1200, (0, 0)), (0, (0, 0))]
)
def test_fixed_slits_in_a_window(first_row, expected):
    rows = np.flatnonzero(fixed_slit_region((100, 2), first_row=first_row)[:, 0])
    assert np.array_equal(rows, np.arange(*expected))


def test_boxes_hold_the_pixels_whose_centres_they_hold():
    mask = boxes_mask((6, 8), [((1.5, 4.5), (-0.5, 1.49)), ((6, 20.5), (3.0, 3.9))])
    expected = np.zeros((6, 8), bool)
    expected[:2, 2:5] = True
    expected[3, 6:] = True
    assert np.array_equal(mask, expected)


def test_boxes_off_the_image_mask_nothing():
    boxes = [((-9, -3), (0, 3)), ((0, 3), (50, 60)), ((np.nan, 3), (0, 3)), ((0, np.inf), (0, 3))]
    assert not boxes_mask((6, 8), boxes).any()


def test_traces_are_as_wide_as_said_on_both_sides():
    x, y = np.array([9.0, 0.0, np.nan, 4.0]), np.array([59.0, 50.0, 3.0, 54.0])
    mask = traces_mask((128, 12), [(x, y)], half_width=16)
    for column in range(12):
        centre = 50 + min(column, 9)
        assert np.array_equal(np.flatnonzero(mask[:, column]), np.arange(centre - 16, centre + 17))
    assert not traces_mask((128, 12), [(np.array([np.nan]), np.array([1.0]))]).any()
    # A fraction of a pixel counts as a whole one.
    between = traces_mask((128, 2), [(np.arange(2), np.array([50.4, 50.4]))])
    assert np.array_equal(np.flatnonzero(between[:, 0]), np.arange(34, 68))
