"""Regions and pixels as users write them: counted from 1, x first, limits included."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crsteps.detector.regions import (
    Region,
    parse_pixels,
    parse_region,
    parse_regions,
    region_mask,
)

SHAPE = (30, 40)


@st.composite
def limits(draw):
    """Limits [x_min, x_max, y_min, y_max] of a region of the image, counted from 1."""
    x = sorted(draw(st.tuples(*[st.integers(1, SHAPE[1])] * 2)))
    y = sorted(draw(st.tuples(*[st.integers(1, SHAPE[0])] * 2)))
    return [*x, *y]


@given(limits())
def test_region_holds_the_pixels_within_its_limits(region):
    x_min, x_max, y_min, y_max = region
    y, x = np.indices(SHAPE) + 1  # FITS coordinates of each pixel
    expected = (x >= x_min) & (x <= x_max) & (y >= y_min) & (y <= y_max)
    np.testing.assert_array_equal(region_mask(region, SHAPE), expected)
    parsed = parse_region(region)
    assert parsed.n_pixels == expected.sum()
    assert expected[parsed.slices].all()
    assert expected[parsed.slices].size == expected.sum()


@given(limits())
def test_every_way_of_writing_a_region_means_the_same(region):
    a, b, c, d = region
    expected = Region(a - 1, b - 1, c - 1, d - 1)
    for written in (
        tuple(region),
        np.array(region),
        [float(value) for value in region],
        [str(value) for value in region],
        f"[{a}:{b}, {c}:{d}]",
        f"[{a}:{b},{c}:{d}]",
        f"{a},{b},{c},{d}",
        f"  [{a}, {b}, {c}, {d}] ",
        [f"[{a}:{b}", f"{c}:{d}]"],  # what a list from the command line does to text
        str(expected),
        expected,
    ):
        assert parse_region(written) == expected


@given(st.lists(limits(), max_size=5))
def test_lists_of_regions_nested_flat_and_as_text(regions):
    expected = tuple(parse_region(region) for region in regions)
    flat = [value for region in regions for value in region]
    assert parse_regions(regions) == expected
    assert parse_regions(flat) == expected
    assert parse_regions([str(value) for value in flat]) == expected
    assert parse_regions(", ".join(str(region) for region in expected)) == expected
    assert parse_regions(expected) == expected
    union = np.zeros(SHAPE, dtype=bool)
    for x_min, x_max, y_min, y_max in regions:
        union[y_min - 1 : y_max, x_min - 1 : x_max] = True
    np.testing.assert_array_equal(region_mask(regions, SHAPE), union)


@pytest.mark.parametrize("nothing", [None, [], (), "", "[]"])
def test_no_regions(nothing):
    assert parse_regions(nothing) == ()
    assert not region_mask(nothing, SHAPE).any()
    assert parse_pixels(nothing, SHAPE).shape == (0, 2)


@pytest.mark.parametrize(
    "region",
    [
        [1, 2, 3],
        [1, 2, 3, 4, 5],
        [[1, 2, 3, 4], [5, 6, 7]],
        [1.5, 2, 3, 4],
        [1, 2, 3, float("nan")],
        [True, 2, 3, 4],
        [None, 2, 3, 4],
        "1:2, 3:b",
        "1:2",
        "everything",
        7,
        {"x": 1},
    ],
)
def test_what_is_no_region_is_refused(region):
    with pytest.raises(ValueError, match="is no region: give 4 whole numbers"):
        parse_regions(region)


@pytest.mark.parametrize("region", [None, [], [[1, 2, 3, 4], [5, 6, 7, 8]]])
def test_where_one_region_is_needed(region):
    with pytest.raises(ValueError, match="is not one region"):
        parse_region(region)


def test_limits_that_cannot_be_are_named():
    with pytest.raises(ValueError, match=re.escape("[0, 2, 3, 4] has a limit below 1")):
        parse_region([0, 2, 3, 4])
    with pytest.raises(ValueError, match=re.escape("[5, 2, 3, 4] are in the wrong order")):
        parse_region([5, 2, 3, 4])
    message = re.escape("[1:41, 1:2] reaches beyond the image of 40 x 30 pixels")
    with pytest.raises(ValueError, match=message):
        region_mask([[1, 40, 1, 30], [1, 41, 1, 2]], SHAPE)
    with pytest.raises(ValueError, match="reaches beyond"):
        region_mask([1, 2, 1, 31], SHAPE)


@given(st.lists(st.tuples(st.integers(1, SHAPE[1]), st.integers(1, SHAPE[0])), max_size=5))
def test_pixels_nested_flat_and_as_text(pixels):
    expected = np.array(pixels, dtype=int).reshape(-1, 2) - 1
    text = ", ".join(f"[{x}, {y}]" for x, y in pixels)
    for written in (pixels, expected + 1, np.ravel(expected + 1), text, text.split(",")):
        np.testing.assert_array_equal(parse_pixels(written, SHAPE), expected)


def test_numbers_that_follow_the_coordinates_stay():
    table = parse_pixels([[1, 2, 5, 7]], SHAPE, names=("x", "y", "x_width", "y_width"))
    assert table.tolist() == [[0, 1, 5, 7]]


@pytest.mark.parametrize("pixel", [[0, 1], [1, 0], [41, 1], [1, 31]])
def test_pixels_outside_the_image_are_named(pixel):
    with pytest.raises(ValueError, match=re.escape(f"pixel [{pixel[0]}, {pixel[1]}] is not in")):
        parse_pixels([[1, 1], pixel], SHAPE)


@pytest.mark.parametrize("pixels", [[[1, 2, 3]], [1, 2, 3], [[1.5, 2]], "1, b", 3])
def test_what_is_no_pixel_is_refused(pixels):
    with pytest.raises(ValueError, match=re.escape("is no pixel: give 2 whole numbers [x, y]")):
        parse_pixels(pixels, SHAPE)
