"""Images prepared for a detector: what is missing, what is refused."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from crsteps.cosmic_rays.single_image import prepare_image

NOISE = {"read_variance": 9.0, "poisson_factor": 0.5}


def test_missing_pixels_are_those_of_the_mask_the_image_and_the_noise():
    image = np.full((6, 7), 5.0)
    image[0, 0], image[1, 1] = np.nan, np.inf
    read_variance = np.full((6, 7), 4.0)
    read_variance[2, 2] = np.nan
    read_variance[3, 3] = 0.0  # of a missing pixel: it does not matter
    missing = np.zeros((6, 7), dtype=bool)
    missing[3, 3] = True
    single = prepare_image(image, read_variance=read_variance, poisson_factor=2.0, missing=missing)
    assert_array_equal(np.argwhere(single.missing), [[0, 0], [1, 1], [2, 2], [3, 3]])
    assert_array_equal(single.data, np.full((6, 7), 5.0))
    assert_array_equal(single.read_variance, np.full((6, 7), 4.0))
    assert_array_equal(single.poisson_factor, [[2.0]])
    assert single.data.dtype == single.read_variance.dtype == np.float32
    assert np.isnan(image[0, 0])
    assert np.isnan(read_variance[2, 2])


def test_all_missing():
    noise = {"read_variance": np.full((3, 4), np.nan), "poisson_factor": 1.0}
    single = prepare_image(np.full((3, 4), np.nan), **noise)
    assert single.missing.all()
    assert_array_equal(single.data, np.zeros((3, 4)))
    assert (single.read_variance > 0).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image": np.zeros((2, 3, 4))}, "two axes"),
        ({"image": np.zeros((0, 4))}, "at least one pixel"),
        ({"missing": np.zeros((4, 3), dtype=bool)}, "missing has the shape"),
        ({"read_variance": np.ones((4, 3))}, "read_variance has the shape"),
        ({"read_variance": 0.0}, "read_variance must be positive"),
        ({"read_variance": np.nan}, "read_variance must be positive"),
        ({"poisson_factor": -1.0}, "poisson_factor must be positive"),
        ({"poisson_factor": np.diag([-1.0, 1, 1]) + 1 - 1e-9}, "poisson_factor must be positive"),
    ],
)
def test_impossible_input_is_refused(changes, message):
    arguments = {"image": np.zeros((3, 3)), **NOISE, **changes}
    with pytest.raises(ValueError, match=message):
        prepare_image(arguments.pop("image"), **arguments)
