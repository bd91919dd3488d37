"""The background under a scene against closed forms and the functions of the jwst step."""

import numpy as np
import pytest
from jwst.clean_flicker_noise import background_level as jwst

from crsteps.flicker_noise import background

SHAPE = (520, 600)


def nebula(width=110.0, height=3.0):
    y, x = np.indices(SHAPE)
    return height * np.exp(-((y - 200) ** 2 + (x - 330) ** 2) / (2 * width**2)) + 0.002 * x


@pytest.fixture
def noisy():
    """Nebula with white noise of unit variance and masked blocks of sources, 30 % of the area."""
    rng = np.random.default_rng(11)
    sources = (rng.random((33, 38)) < 0.3).repeat(16, axis=0).repeat(16, axis=1)
    sources = sources[: SHAPE[0], : SHAPE[1]]
    image = nebula() + rng.standard_normal(SHAPE)
    image[sources] += 1000
    image[5, 7] = np.nan
    return image.astype(np.float32), ~sources


def test_sky_follows_a_nebula_under_sources(noisy):
    image, background_mask = noisy
    untouched = image.copy(), background_mask.copy()
    sky = background.smooth_sky(image, background_mask)
    error = sky - nebula()
    assert sky.dtype == np.float32
    assert error.std() < 0.05
    # 0.1 sigma where the Gaussian is highest and everywhere inside.
    assert np.abs(error[50:-50, 50:-50]).max() < 0.2
    assert abs(error[180:220, 310:350].mean()) < 0.1
    np.testing.assert_array_equal(image, untouched[0])
    np.testing.assert_array_equal(background_mask, untouched[1])


def test_sky_of_a_constant_is_exact_beside_large_holes():
    image = np.full(SHAPE, 1e4, np.float32)
    background_mask = np.ones(SHAPE, bool)
    background_mask[:, 150:] = False
    image[~background_mask] = np.inf
    np.testing.assert_allclose(background.smooth_sky(image, background_mask), 1e4, rtol=1e-6)


def test_sky_is_odd(noisy):
    image, background_mask = noisy
    np.testing.assert_array_equal(
        background.smooth_sky(-image, background_mask),
        -background.smooth_sky(image, background_mask),
    )


@pytest.mark.parametrize("shape", [(1, 1), (3, 2), (1, 300), (48, 49)])
def test_sky_of_small_images(shape):
    image = np.full(shape, 3.0)
    image.flat[0] = np.nan
    expected = 3.0 if image.size > 1 else 0.0
    sky = background.smooth_sky(image, np.ones(shape, bool))
    np.testing.assert_allclose(sky, np.full(shape, expected), rtol=1e-6)


def test_without_background_nothing_is_subtracted():
    image = np.ones((64, 64), np.float32)
    nothing = np.zeros(image.shape, bool)
    assert not background.smooth_sky(image, nothing).any()
    assert background.constant(image, nothing) == 0.0
    assert not background.model(image, nothing).any()
    assert not background.constant(np.full(image.shape, np.nan), ~nothing)


@pytest.mark.parametrize("lower_half_only", [False, True])
def test_clipping_is_that_of_the_jwst_step(noisy, lower_half_only):
    image, background_mask = noisy
    theirs = background_mask.copy()
    jwst.clip_to_background(image, theirs, lower_half_only=lower_half_only)
    ours = background.clip_to_background(image, background_mask, lower_half_only=lower_half_only)
    theirs[5, 7] = False  # ours never keeps a NaN
    np.testing.assert_array_equal(ours, theirs)
    assert 0.5 < ours.sum() / background_mask.sum() < 0.99


def test_constant_and_model_are_those_of_the_jwst_step(noisy):
    image, background_mask = noisy
    theirs = jwst.background_level(image, background_mask.copy(), "median")
    assert background.constant(image, background_mask) == pytest.approx(theirs, rel=1e-6)
    theirs = jwst.background_level(image, background_mask.copy(), "model")
    np.testing.assert_array_equal(background.model(image, background_mask), theirs)


@pytest.mark.parametrize(
    ("size", "divisor"), [(2048, 32), (256, 32), (100, 25), (31, 31), (37, 1), (1, 1)]
)
def test_largest_divisor(size, divisor):
    assert background.largest_divisor(size) == divisor
