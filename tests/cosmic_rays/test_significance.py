"""Hysteresis on significances: seeds, growth, pixels that must not take part."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_array_equal

from crsteps.cosmic_rays.hysteresis import grow_seeds
from crsteps.cosmic_rays.significance import significance_hysteresis

images = hnp.arrays(np.float32, (7, 9), elements=st.floats(-10, 10, width=32))


def test_pixels_grow_from_seeds_along_diagonals_but_not_across_gaps():
    z = np.array([[6, 0, 0, 0, 4], [0, 4, 0, 0, 0], [0, 0, 4, 0, 4]], dtype=np.float32)
    expected = np.array([[1, 0, 0, 0, 0], [0, 1, 0, 0, 0], [0, 0, 1, 0, 0]], dtype=bool)
    assert_array_equal(significance_hysteresis(z), expected)


def test_thresholds_themselves_are_not_above_them():
    z = np.array([[5.0, 0, 5.5, 3.0]])
    assert_array_equal(significance_hysteresis(z), [[False, False, True, False]])


@given(images, st.floats(-5, 5), st.floats(0, 5))
def test_equals_growth_of_thresholded_masks(z, grow, step):
    seed = grow + step
    assert_array_equal(
        significance_hysteresis(z, seed=seed, grow=grow), grow_seeds(z > seed, z > grow)
    )


@given(images, hnp.arrays(bool, (7, 9)))
def test_unusable_and_unknown_pixels_are_alike_and_never_flagged(z, usable):
    masked = significance_hysteresis(z, usable=usable)
    assert_array_equal(masked, significance_hysteresis(np.where(usable, z, np.nan)))
    assert not (masked & ~usable).any()


def test_growth_threshold_above_the_seed_threshold_is_refused():
    with pytest.raises(ValueError, match=r"growth \(6\) must not lie above the one for seeds"):
        significance_hysteresis(np.zeros((3, 3)), seed=5.0, grow=6)


def test_wrong_shape_is_refused():
    with pytest.raises(ValueError, match=r"shape \(3, 2\) and the image \(3, 3\)"):
        significance_hysteresis(np.zeros((3, 3)), usable=np.ones((3, 2), dtype=bool))
