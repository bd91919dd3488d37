"""Sigma clipping of a slope image against the mask of the jwst step."""

import numpy as np
import pytest
from jwst.clean_flicker_noise.clean_flicker_noise import create_mask
from stdatamodels.jwst import datamodels

from crsteps.flicker_noise.standard_mask import clip_mask


@pytest.fixture
def slope():
    """Noise about 2 with sources, bad and missing pixels."""
    rng = np.random.default_rng(9)
    image = 2 + 0.3 * rng.standard_normal((150, 180))
    image[rng.random(image.shape) < 0.1] += rng.exponential(2)
    image[rng.random(image.shape) < 0.01] -= 5
    image[:4] = 0
    image[70, 80:90] = np.nan
    return image.astype(np.float32)


@pytest.mark.parametrize("fit_histogram", [False, True])
@pytest.mark.parametrize("n_sigma", [0.0, 1.0, 2.0, 5.0])
def test_equal_to_the_jwst_step(slope, n_sigma, fit_histogram):
    model = datamodels.ImageModel(data=slope.copy())
    model.dq = model.get_default("dq")
    model.meta.exposure.type = "NRC_IMAGE"
    theirs = create_mask(model, n_sigma=n_sigma, fit_histogram=fit_histogram)
    untouched = slope.copy()
    ours = clip_mask(slope, n_sigma=n_sigma, fit_histogram=fit_histogram)
    np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(slope, untouched)
    assert 0.5 < ours.mean() < 0.98


@pytest.mark.parametrize("fit_histogram", [False, True])
def test_candidates_set_the_level(slope, fit_histogram):
    slope[:, 90:] += 100
    candidates = np.zeros(slope.shape, bool)
    candidates[:, :90] = True
    ours = clip_mask(slope, candidate_mask=candidates, fit_histogram=fit_histogram)
    assert not ours[:, 90:].any()
    assert ours[:, :90].mean() > 0.7
    np.testing.assert_array_equal(
        ours[:, :90], clip_mask(slope[:, :90].copy(), fit_histogram=fit_histogram)
    )


@pytest.mark.parametrize("fit_histogram", [False, True])
def test_images_without_noise_or_data(fit_histogram):
    constant = np.full((10, 12), 3.0)
    assert clip_mask(constant, fit_histogram=fit_histogram).all()
    for empty in (np.zeros((10, 12)), np.full((10, 12), np.nan), np.zeros((0, 5))):
        assert not clip_mask(empty, fit_histogram=fit_histogram).any()
    # Two values have no Gaussian histogram: the clipped mean and deviation keep both.
    constant[5:, 5:] = 3.1
    assert clip_mask(constant, fit_histogram=fit_histogram).all() or not fit_histogram


def test_wrong_shape():
    with pytest.raises(ValueError, match=r"candidate mask of shape \(3, 2\)"):
        clip_mask(np.ones((2, 3)), candidate_mask=np.ones((3, 2), bool))
