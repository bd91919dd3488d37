"""Order statistics against NumPy, shifts and gradients against closed forms."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_allclose, assert_array_equal

from crsteps.detector.noise import ExposureNoise
from crsteps.mm_cosmic import scene as scenes

stacks = st.integers(2, 7).flatmap(
    lambda n: hnp.arrays(
        np.float32,
        (n, 3, 4),
        elements=st.one_of(st.floats(-1e6, 1e6, width=32), st.just(np.float32(np.nan))),
    )
)


@given(stacks)
def test_sorting_network_sorts(stack):
    expected = np.sort(stack, axis=0)  # NumPy puts NaN last
    expected[np.isnan(expected)] = np.inf
    assert_array_equal(np.array(scenes.sort_exposures(stack)), expected)


@given(stacks)
def test_median_leaves_out_missing_values(stack):
    median = scenes.median_of_sorted(scenes.sort_exposures(stack))
    count = np.isfinite(stack).sum(axis=0)
    assert_array_equal(np.isnan(median), count == 0)
    some = count > 0
    assert_allclose(median[some], np.nanmedian(stack[:, some], axis=0), rtol=1e-6, atol=1e-6)


@given(stacks)
def test_usable_exposures_are_counted(stack):
    assert_array_equal(scenes.count_usable(list(stack)), np.isfinite(stack).sum(axis=0))


def gaussian_image(dx=0.0, dy=0.0, sigma=1.2):
    """Return an image of a Gaussian of peak 1000, and its coordinates."""
    y, x = np.mgrid[:41, :51]
    return 1000 * np.exp(-((x - 25.3 - dx) ** 2 + (y - 19.8 - dy) ** 2) / (2 * sigma**2)), y, x


@pytest.mark.parametrize(("dx", "dy"), [(0.1, 0.0), (0.0, -0.1), (0.12, 0.08), (-0.4, 0.3)])
def test_shifted_gaussian_is_the_gaussian_shifted(dx, dy):
    image, _, _ = gaussian_image()
    expected, _, _ = gaussian_image(dx, dy)
    error = np.abs(scenes.shift_image(image, dx, dy) - expected).max()
    assert error < 0.045 * np.abs(image - expected).max()


def test_shift_by_whole_pixels_moves_pixels():
    image = np.random.default_rng(1).normal(size=(20, 30))
    assert_allclose(scenes.shift_image(image, 2, 0)[:, 8:], image[:, 6:-2], atol=1e-12)
    assert_allclose(scenes.shift_image(image, 0, -1)[:-8], image[1:-7], atol=1e-12)


def test_polynomials_are_shifted_and_differentiated_exactly():
    y, x = np.mgrid[:20, :30].astype(float)
    image = 1 + 0.3 * x - 0.02 * x**2 + 0.1 * y**2 * x
    inner = (slice(5, -5), slice(5, -5))
    x_old, y_old = x - 0.3, y + 0.2
    expected = 1 + 0.3 * x_old - 0.02 * x_old**2 + 0.1 * y_old**2 * x_old
    assert_allclose(scenes.shift_image(image, 0.3, -0.2)[inner], expected[inner], rtol=1e-9)
    gx, gy = scenes.gradients(image)
    assert_allclose(gx[inner], (0.3 - 0.04 * x + 0.1 * y**2)[inner], rtol=1e-6, atol=1e-9)
    assert_allclose(gy[inner], (0.2 * y * x)[inner], rtol=1e-6)


def test_gradients_of_a_gaussian():
    sigma = 1.2
    image, y, x = gaussian_image(sigma=sigma)
    gx, gy = scenes.gradients(image)
    assert_allclose(gx, -(x - 25.3) / sigma**2 * image, atol=20)  # of up to 500
    assert_allclose(gy, -(y - 19.8) / sigma**2 * image, atol=20)


def reference(stack, read_noise):
    planes = scenes.sort_exposures(stack)
    noise = ExposureNoise.from_gain(1.0, read_noise)
    return scenes.reference_scene(stack, planes[0], noise, expected_lowest=0.85)


def test_reference_leaves_out_cosmic_rays_and_missing_values():
    stack = np.full((3, 1, 4), 10, dtype=np.float32)
    stack[0, 0, 1] = 500
    stack[1, 0, 2] = np.nan
    stack[:, 0, 3] = np.nan
    assert_allclose(reference(stack, 3.0), [[10, 10, 10, 0]])


def test_reference_weights_with_the_inverse_variance():
    stack = np.zeros((3, 1, 1), dtype=np.float32)
    stack[:, 0, 0] = 0, 4, 1
    assert_allclose(reference(stack, [3.0, 6.0, 3.0]), (0 / 9 + 4 / 36 + 1 / 9) / (1 / 4))
