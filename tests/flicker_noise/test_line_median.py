"""Line medians against closed forms and the function of the jwst step."""

import numpy as np
import pytest
from jwst.clean_flicker_noise.clean_flicker_noise import median_clean

from crsteps.flicker_noise.line_median import line_median_image, masked_medians


@pytest.fixture(params=[np.float32, np.float64])
def noisy(request):
    """Image four of whose rows and columns have no background, and its mask."""
    rng = np.random.default_rng(5)
    image = (rng.standard_normal((48, 2048)) * 3 + 7).astype(request.param)
    background_mask = rng.random(image.shape) < 0.6
    background_mask[8:12] = background_mask[:, 500:504] = False
    return image, background_mask


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("fast_axis", [-1, 1, -2, 2])
@pytest.mark.parametrize("by_channel", [False, True])
def test_equal_to_the_jwst_step(noisy, transposed, fast_axis, by_channel):
    image, background_mask = (array.T if transposed else array for array in noisy)
    slow_axis = 3 - abs(fast_axis)
    long_axis = 2 if transposed else 1
    # The jwst step knows channels on lines of 2048 pixels only.
    n_outputs = 4 if by_channel and abs(fast_axis) == long_axis else 1
    theirs = median_clean(image, background_mask, slow_axis, fit_by_channel=by_channel)
    noise = line_median_image(image, background_mask, fast_axis=fast_axis, n_outputs=n_outputs)
    assert noise.dtype == image.dtype
    np.testing.assert_array_equal(image - noise, theirs)
    assert noise.any()


def test_known_medians():
    image = np.array([[1, 9, 3, 5], [2, 4, np.nan, 100], [7, 7, 7, 7]], dtype=np.float32)
    background_mask = np.array([[1, 0, 1, 1], [1, 1, 1, 0], [0, 0, 0, 0]], dtype=bool)
    untouched = image.copy()
    noise = line_median_image(image, background_mask, fast_axis=1)
    np.testing.assert_array_equal(noise, np.repeat([[3], [3], [0]], 4, axis=1))
    by_output = line_median_image(image, background_mask, fast_axis=1, n_outputs=2)
    np.testing.assert_array_equal(by_output, [[1, 1, 4, 4], [3, 3, 0, 0], [0, 0, 0, 0]])
    columns = line_median_image(image, background_mask, fast_axis=-2)
    np.testing.assert_array_equal(columns, np.repeat([[1.5, 4, 3, 5]], 3, axis=0))
    np.testing.assert_array_equal(image, untouched)


def test_nothing_to_take_a_median_of():
    nothing = np.zeros((3, 4), bool)
    assert not line_median_image(np.full((3, 4), np.nan), nothing, fast_axis=1).any()
    assert not line_median_image(np.full((3, 4), np.nan), ~nothing, fast_axis=2).any()
    assert masked_medians(np.ones((2, 3, 4)), np.zeros((2, 3, 4), bool)).shape == (2, 3)


def test_impossible_arguments():
    image = np.zeros((3, 4))
    with pytest.raises(ValueError, match=r"mask of shape \(4, 3\)"):
        line_median_image(image, np.ones((4, 3), bool), fast_axis=1)
    with pytest.raises(ValueError, match="4 pixels of a line cannot be shared by 3 outputs"):
        line_median_image(image, np.ones((3, 4), bool), fast_axis=1, n_outputs=3)
