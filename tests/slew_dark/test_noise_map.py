"""Background and noise of darks made of known ones."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from crsteps.slew_dark.noise_map import estimate_background_and_noise

SHAPE = (512, 512)
N_OUTPUTS = 8  # 64 columns each


def used(shape):
    return np.ones(shape, dtype=bool)


def output(nx=SHAPE[1], n_outputs=N_OUTPUTS):
    return np.arange(nx) * n_outputs // nx


def rows_and_columns(shape):
    return np.mgrid[: shape[0], : shape[1]].astype(np.float32)


@pytest.fixture
def rng():
    return np.random.default_rng(7)


@pytest.mark.parametrize("rounded", ["none", "all", "most"])
def test_offsets_of_outputs_slopes_and_noise_are_found(rng, rounded):
    y, x = rows_and_columns(SHAPE)
    offsets = rng.normal(0, 3, N_OUTPUTS)[output()]
    sigma = rng.uniform(2.0, 4.0, N_OUTPUTS)[output()]
    truth = 1000 + offsets + 0.01 * y - 0.005 * x
    data = (truth + sigma * rng.standard_normal(SHAPE)).astype(np.float32)
    if rounded != "none":
        data = np.rint(data)
        sigma = np.hypot(sigma, 12**-0.5)
    if rounded == "most":  # as where something that is not whole was subtracted from some pixels
        data -= np.where(rng.random(SHAPE) < 0.1, rng.uniform(0.0, 0.1, SHAPE), 0).astype("f4")
    background, noise = estimate_background_and_noise(data, usable=used(SHAPE), n_outputs=N_OUTPUTS)
    assert background.dtype == noise.dtype == np.float32
    # The median of 4096 pixels scatters by sigma * sqrt(pi / 2 / 4096) = 0.02 sigma; extrapolation
    # from the centres of two boxes to the edge makes up to sqrt(2.5) of it, along each axis.
    assert np.std((background - truth) / sigma) < 0.035
    assert np.abs((background - truth) / sigma).max() < 0.2
    assert abs(np.mean((background - truth) / sigma)) < 0.006
    assert_allclose(noise / sigma, 1, atol=0.08)
    assert_allclose(np.mean(noise / sigma), 1, atol=0.012)


def test_whole_numbers_coarser_than_the_noise(rng):
    sigma = 1.0
    data = np.rint(100.3 + sigma * rng.standard_normal(SHAPE)).astype(np.uint16)
    background, noise = estimate_background_and_noise(data, usable=used(SHAPE), n_outputs=1)
    # Whole numbers spread evenly are a coarse histogram of the noise: good to a few per cent.
    assert_allclose(np.mean(background), 100.3, atol=0.04)
    assert_allclose(np.mean(noise), np.hypot(sigma, 12**-0.5), rtol=0.05)


def test_charge_hides_neither_noise_nor_background(rng):
    clean = rng.normal(50, 2.4, SHAPE).astype(np.float32)
    background, noise = estimate_background_and_noise(
        clean, usable=used(SHAPE), n_outputs=N_OUTPUTS
    )
    charged = clean.copy()
    hit = rng.random(SHAPE) < 0.025
    charged[hit] += rng.exponential(500, np.count_nonzero(hit))
    y, x = rows_and_columns(SHAPE)
    for row, column in rng.integers(0, 512, (60, 2)):
        distance = np.hypot(y - row, x - column)
        charged += 300 * (1 + (distance / 1.5) ** 2) ** -3
    with_charge = estimate_background_and_noise(charged, usable=used(SHAPE), n_outputs=N_OUTPUTS)
    # Of 3 % of the pixels with charge, those within the noise are left: less than a tenth.
    assert_allclose(with_charge[0], background, atol=0.25)
    assert abs(np.mean(with_charge[0] - background)) < 0.03
    assert_allclose(with_charge[1], noise, rtol=0.06)
    assert_allclose(np.mean(with_charge[1] / noise), 1, atol=0.02)


def test_unusable_and_unknown_pixels_do_not_count(rng):
    data = rng.normal(20, 3, SHAPE).astype(np.float32)
    expected = estimate_background_and_noise(
        np.where(output() == 2, 0, data), usable=used(SHAPE), n_outputs=N_OUTPUTS
    )
    usable = rng.random(SHAPE) < 0.9
    data[~usable] = 1e6
    data[rng.random(SHAPE) < 0.05] = np.nan
    data[rng.random(SHAPE) < 0.02] = np.inf
    background, noise = estimate_background_and_noise(data, usable=usable, n_outputs=N_OUTPUTS)
    elsewhere = output() != 2
    assert_allclose(background[:, elsewhere], expected[0][:, elsewhere], atol=0.6)
    assert_allclose(noise[:, elsewhere], expected[1][:, elsewhere], rtol=0.15)


def test_boxes_without_pixels_take_the_nearest_ones(rng):
    data = rng.normal(20, 3, SHAPE).astype(np.float32)
    usable = used(SHAPE)
    usable[:, output() == 3] = False
    usable[:256, output() == 6] = False
    background, noise = estimate_background_and_noise(data, usable=usable, n_outputs=N_OUTPUTS)
    assert_allclose(background, 20, atol=0.7)
    assert_allclose(noise, 3, rtol=0.1)


@pytest.mark.parametrize(
    ("shape", "n_outputs"),
    [((254, 1024), 1), ((61, 37), 1), ((40, 103), 7), ((1, 1), 1), ((3, 5), 5), ((1, 700), 3)],
)
def test_any_shape(rng, shape, n_outputs):
    data = rng.normal(5, 1, shape).astype(np.float32)
    background, noise = estimate_background_and_noise(data, usable=used(shape), n_outputs=n_outputs)
    assert background.shape == noise.shape == shape
    assert np.isfinite(background).all()
    assert (noise > 0).all()
    if data.size > 2000:
        assert_allclose(background, 5, atol=0.7)
        assert_allclose(noise, 1, rtol=0.4)


def test_outputs_of_unequal_width_have_their_own_offsets(rng):
    shape, n_outputs = (300, 103), 7
    steps = 10.0 * output(103, n_outputs)
    data = (steps + rng.standard_normal(shape)).astype(np.float32)
    background, _ = estimate_background_and_noise(data, usable=used(shape), n_outputs=n_outputs)
    assert_allclose(background, np.broadcast_to(steps, shape), atol=0.3)


@pytest.mark.parametrize("value", [0, 1024, -3.5, 1e7])
def test_constant_image(value):
    data = np.full((80, 96), value, dtype=np.float32)
    background, noise = estimate_background_and_noise(data, usable=used(data.shape), n_outputs=3)
    assert_allclose(background, data, atol=0.01 + 1e-6 * abs(value))
    assert (noise > 0).all()
    assert (noise < 0.3 + 2e-6 * abs(value)).all()


def test_a_constant_is_added_and_a_factor_multiplies(rng):
    data = rng.normal(0, 1, (128, 128)).astype(np.float32)
    background, noise = estimate_background_and_noise(data, usable=used(data.shape), n_outputs=2)
    other = estimate_background_and_noise(4 * data + 100, usable=used(data.shape), n_outputs=2)
    assert_allclose(other[0], 4 * background + 100, atol=1e-4)
    assert_allclose(other[1], 4 * noise, rtol=1e-4)


def test_inputs_are_not_changed(rng):
    data, usable = rng.normal(0, 1, (64, 64)), rng.random((64, 64)) < 0.9
    before = data.copy(), usable.copy()
    estimate_background_and_noise(data, usable=usable, n_outputs=1)
    np.testing.assert_array_equal(data, before[0])
    np.testing.assert_array_equal(usable, before[1])


@pytest.mark.parametrize("value", [1.0, np.nan])
def test_no_usable_pixel(value):
    data = np.full((20, 20), value)
    with pytest.raises(ValueError, match="no usable pixel"):
        estimate_background_and_noise(
            data, usable=np.full(data.shape, np.isnan(value)), n_outputs=1
        )


@pytest.mark.parametrize("n_outputs", [0, 21])
def test_more_outputs_than_columns_are_refused(n_outputs):
    with pytest.raises(ValueError, match=f"n_outputs is {n_outputs}; it must lie between 1 and 20"):
        estimate_background_and_noise(
            np.zeros((20, 20)), usable=used((20, 20)), n_outputs=n_outputs
        )
