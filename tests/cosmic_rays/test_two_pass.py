"""Passes of peaks and tails: components of the second that hold a pixel of the first."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_array_equal
from scipy import ndimage

from crsteps.cosmic_rays.two_pass import join_passes, pair_of

masks = hnp.arrays(bool, (9, 11))


@settings(max_examples=100, deadline=None)
@given(peaks=masks, tails=masks)
def test_join_is_that_of_each_component_by_itself(peaks, tails):
    labels, n_labels = ndimage.label(tails, np.ones((3, 3)))
    expected = np.zeros_like(tails)
    for label in range(1, n_labels + 1):
        component = labels == label
        if (component & peaks).any():
            expected |= component
    assert_array_equal(join_passes(peaks, tails), expected)


def test_peak_that_the_second_pass_did_not_flag_is_not_kept():
    peaks, tails = np.zeros((2, 5, 8), dtype=bool)
    peaks[2, 1] = True
    tails[2, 3:6] = True
    assert not join_passes(peaks, tails).any()
    peaks[1, 6] = True  # beside the tail, diagonally: not a pixel of it
    assert not join_passes(peaks, tails).any()


def test_masks_of_different_shapes_are_refused():
    with pytest.raises(ValueError, match=r"\(3, 4\) and \(4, 3\)"):
        join_passes(np.zeros((3, 4), dtype=bool), np.zeros((4, 3), dtype=bool))


@pytest.mark.parametrize(
    ("value", "expected"),
    [(5, (5.0, 5.0)), ([5, 3], (5.0, 3.0)), ((4.0,), (4.0, 4.0)), (np.float32(2), (2.0, 2.0))],
)
def test_pair_of_numbers(value, expected):
    assert pair_of(value, "sigclip") == expected


@pytest.mark.parametrize("value", [[], [1, 2, 3], "five", None, [[1, 2]], np.nan, [1, np.inf]])
def test_what_is_not_a_number_or_two_is_refused(value):
    with pytest.raises(ValueError, match="sigclip"):
        pair_of(value, "sigclip")
