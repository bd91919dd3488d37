"""Pixels that the user singles out, and their replacement by a local median."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crsteps.mm_cosmic.user_pixels import UserPixels, make_user_pixels, replace_by_local_median

SHAPE = (12, 15)


def pixels():
    return st.lists(st.tuples(st.integers(1, SHAPE[1]), st.integers(1, SHAPE[0])), max_size=6)


@settings(max_examples=60)
@given(flagged=pixels(), ignored=pixels(), replaced=pixels(), seed=st.integers(0, 9))
def test_masks_pixel_by_pixel(flagged, ignored, replaced, seed):
    ignored = [pixel for pixel in ignored if pixel not in flagged]
    user = make_user_pixels(
        SHAPE,
        skipped=[[3, 8, 2, 6]],
        flagged=flagged,
        ignored=ignored,
        replaced=[[x, y, 3, 5] for x, y in replaced],
    )
    detected = np.random.default_rng(seed).random((2, *SHAPE)) < 0.4
    cleaned, result = user.to_be_cleaned(SHAPE), user.apply_to(detected)
    for y in range(SHAPE[0]):
        for x in range(SHAPE[1]):
            here = (x + 1, y + 1)
            skipped = 3 <= x + 1 <= 8 and 2 <= y + 1 <= 6
            expected = not skipped or here in flagged
            expected = expected and here not in ignored and here not in replaced
            assert cleaned[y, x] == expected
            if here in flagged:
                assert result[:, y, x].all()
            elif expected:
                np.testing.assert_array_equal(result[:, y, x], detected[:, y, x])
            else:
                assert not result[:, y, x].any()


def test_nothing_singled_out():
    user = make_user_pixels(SHAPE, skipped=None, flagged=[], ignored=[], replaced=None)
    assert (user.skipped, user.flagged, user.ignored) == (None, None, None)
    assert user.replaced.shape == (0, 4)
    assert user.to_be_cleaned(SHAPE).all()
    detected = np.random.default_rng(0).random(SHAPE) < 0.5
    np.testing.assert_array_equal(user.apply_to(detected), detected)


def test_masks_may_be_given_instead_of_lists():
    mask = np.zeros(SHAPE, dtype=bool)
    mask[2, 3] = True
    user = make_user_pixels(SHAPE, skipped=mask, flagged=mask)
    assert user.to_be_cleaned(SHAPE).all()
    np.testing.assert_array_equal(user.apply_to(np.zeros(SHAPE, dtype=bool)), mask)
    with pytest.raises(ValueError, match=re.escape("ignored has shape (15, 12)")):
        make_user_pixels(SHAPE, ignored=mask.T)


@pytest.mark.parametrize(
    ("given_by_user", "message"),
    [
        ({"flagged": [[3, 4]], "ignored": [[1, 1], [3, 4]]}, "pixel [3, 4] is both"),
        ({"flagged": [[16, 1]]}, "pixel [16, 1] is not in the image"),
        ({"ignored": [[1, 2, 3]]}, "is no pixel"),
        ({"skipped": [[1, 16, 1, 2]]}, "[1:16, 1:2] reaches beyond the image"),
        ({"replaced": [[3, 4]]}, "is no pixel: give 4 whole numbers [x, y, x_width, y_width]"),
        ({"replaced": [[3, 4, 4, 5]]}, "pixel [3, 4] has no centre: give odd widths"),
        ({"replaced": [[3, 4, 5, -1]]}, "give odd widths"),
        ({"replaced": [[3, 4, 1, 1]]}, "holds nothing but the pixel itself"),
    ],
)
def test_what_cannot_be_is_named(given_by_user, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        make_user_pixels(SHAPE, **given_by_user)


def images(seed=1):
    rng = np.random.default_rng(seed)
    data = rng.normal(100, 5, SHAPE).astype(np.float32)
    return data, np.full(SHAPE, 25.0, dtype=np.float32), np.full(SHAPE, 3, dtype=np.int16)


def test_median_of_what_is_left_of_the_box_counted_by_hand():
    data, variance, number = images()
    data[4, 6] = np.nan
    variance[5, 6] = np.nan
    flagged = np.zeros(SHAPE, dtype=bool)
    flagged[6, 6] = True
    before = data.copy()
    user = make_user_pixels(SHAPE, replaced=[[8, 6, 3, 5], [8, 7, 3, 3], [1, 1, 5, 3]])
    new, new_variance, new_number = replace_by_local_median(
        data, variance, number, user, flagged=flagged
    )
    left_out = {(5, 7), (6, 7), (0, 0), (4, 6), (5, 6), (6, 6)}
    for x, y, x_width, y_width in user.replaced:
        values = [
            data[row, column]
            for row in range(y - y_width // 2, y + y_width // 2 + 1)
            for column in range(x - x_width // 2, x + x_width // 2 + 1)
            if 0 <= row < SHAPE[0] and 0 <= column < SHAPE[1] and (row, column) not in left_out
        ]
        assert new[y, x] == pytest.approx(np.median(values), rel=1e-6)
        assert new_number[y, x] == 0
    others = np.ones(SHAPE, dtype=bool)
    others[user.replaced[:, 1], user.replaced[:, 0]] = False
    for changed, original in ((new, data), (new_variance, variance), (new_number, number)):
        np.testing.assert_array_equal(changed[others], original[others])
        assert changed.dtype == original.dtype
    np.testing.assert_array_equal(data, before)  # inputs stay as they are
    assert (number == 3).all()


def test_variance_is_that_of_a_median():
    """Medians of many boxes of noise scatter as their variances say."""
    rng = np.random.default_rng(3)
    data = rng.normal(100, 5, (400, 400))
    variance, number = np.full(data.shape, 25.0), np.full(data.shape, 3)
    grid = np.arange(7, 393, 9)
    replaced = [(x, y, 5, 5) for x in grid for y in grid]
    new, new_variance, _ = replace_by_local_median(data, variance, number, replaced)
    chosen = np.ix_(grid, grid)
    measured = np.var(new[chosen])
    assert np.mean(new_variance[chosen]) == pytest.approx(measured, rel=0.15)
    assert new_variance[chosen].min() >= 25 * 0.0618  # median of 24 values, from its density


def test_structure_around_adds_to_the_variance():
    data, variance, number = images()
    steep = data + 50 * np.arange(SHAPE[1], dtype=np.float32)
    replaced = [(7, 6, 5, 5)]
    _, calm, _ = replace_by_local_median(data, variance, number, replaced)
    _, rough, _ = replace_by_local_median(steep, variance, number, replaced)
    assert rough[6, 7] > 50 * calm[6, 7]


def test_one_cosmic_ray_beside_the_pixel_changes_little():
    data, variance, number = images()
    struck = data.copy()
    struck[6, 8] += 5000
    replaced = [(7, 6, 5, 5)]
    calm = replace_by_local_median(data, variance, number, replaced)
    hit = replace_by_local_median(struck, variance, number, replaced)
    assert abs(hit[0][6, 7] - calm[0][6, 7]) < 3
    assert hit[1][6, 7] < 2 * calm[1][6, 7]


@pytest.mark.parametrize("why", ["flagged", "missing", "listed"])
def test_box_without_a_usable_pixel_gives_no_value(why):
    data, variance, number = images()
    around = [(x, y, 3, 3) for x in (0, 1) for y in (0, 1)]
    flagged = np.zeros(SHAPE, dtype=bool)
    replaced = around if why == "listed" else around[:1]
    if why == "flagged":
        flagged[:2, :2] = True
    if why == "missing":
        data[:2, :2] = np.nan
    new, new_variance, new_number = replace_by_local_median(
        data, variance, number, replaced, flagged=flagged
    )
    assert np.isnan(new[0, 0])
    assert np.isnan(new_variance[0, 0])
    assert new_number[0, 0] == 0
    assert np.isfinite(new[1, 1]) == (why != "missing")


def test_whole_image_as_box():
    data, variance, number = images()
    new, new_variance, _ = replace_by_local_median(data, variance, number, [(7, 6, 101, 101)])
    assert new[6, 7] == pytest.approx(np.median(np.delete(data, 6 * SHAPE[1] + 7)), rel=1e-6)
    assert new_variance[6, 7] == pytest.approx(25 * np.pi / 2 / data.size, rel=0.3)


def test_no_pixels_to_replace():
    data, variance, number = images()
    for empty in (UserPixels(), []):
        new, _, _ = replace_by_local_median(data, variance, number, empty)
        np.testing.assert_array_equal(new, data)
