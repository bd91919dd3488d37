"""Spectra and stripes against closed forms."""

import numpy as np
import pytest

from crsteps.detector.readout import PIXEL_TIME, Readout
from crsteps.flicker_noise.diagnostics import chosen_images, compare, power_spectrum

FOUR = Readout(shape=(128, 512), n_outputs=4, fast_axis=1, slow_axis=2)
COLUMNS = Readout(shape=(512, 128), n_outputs=4, fast_axis=-2, slow_axis=1)


def decaying(n, size, time, seed=1):
    """Noise with unit variance and covariance exp(-lag / time)."""
    random = np.random.default_rng(seed)
    step = np.exp(-1 / time)
    values = np.empty((n, 1, size), np.float32)
    values[..., 0] = random.normal(size=(n, 1))
    pushes = random.normal(scale=np.sqrt(1 - step**2), size=values.shape)
    for k in range(1, size):
        values[..., k] = step * values[..., k - 1] + pushes[..., k]
    return values


@pytest.mark.parametrize("masked", [0.0, 0.6])
def test_spectrum_of_decaying_noise(masked):
    values = decaying(200, 2000, 20.0)
    used = np.random.default_rng(2).random(values.shape) >= masked
    frequencies, power = power_spectrum(np.where(used, values, 0), used, step=1e-3)
    omega = 2 * np.pi * frequencies * 1e-3
    r = np.exp(-1 / 20.0)
    truth = 2e-3 * (1 - r**2) / (1 - 2 * r * np.cos(omega) + r**2)
    inner = frequencies > 8  # the taper is as wide as that
    # Chance is as large as a part of all the power there is.
    np.testing.assert_allclose(power[0, inner], truth[inner], rtol=0.1, atol=0.01 * truth[inner][0])
    # A periodogram of what is left would have the power of the gaps in it.
    assert abs(np.median(power[0, inner] / truth[inner]) - 1) < 0.04


def test_stretches_of_several_sets_are_measured_as_if_alone():
    values, used = decaying(20, 400, 5.0), np.ones((20, 1, 400), bool)
    _, one = power_spectrum(values, used, step=1.0)
    _, both = power_spectrum(np.stack([values, 3 * values]), used, step=1.0)
    np.testing.assert_allclose(both, [one, 9 * one], rtol=1e-4)


def test_output_without_samples_has_no_spectrum():
    values = np.repeat(decaying(4, 400, 5.0), 2, axis=1)
    used = np.ones(values.shape, bool)
    used[:, 1] = False
    _, power = power_spectrum(np.where(used, values, 0), used, step=1.0)
    assert np.isnan(power[1]).all()
    assert np.isfinite(power[0]).all()


@pytest.mark.parametrize("readout", [FOUR, COLUMNS])
def test_comparison_of_white_noise(readout):
    random = np.random.default_rng(3)
    before = random.normal(5, 2, (6, *readout.shape)).astype(np.float32)
    after = (before - 5) / 2
    used = random.random(before.shape) < 0.7
    sky = np.full(readout.shape, 5, np.float32)
    found = compare(before, after, used, sky=sky, readout=readout, profiles=True)
    assert (np.diff(found.frequencies) > 0).all()
    assert 0.49e5 < found.frequencies[-1] < 0.5 / PIXEL_TIME
    level = 2 * PIXEL_TIME  # one-sided power of white noise of unit variance
    for variance, power in zip((4, 1), found.spectra, strict=True):
        np.testing.assert_allclose(np.nanmedian(power, axis=1), variance * level, rtol=0.1)
    np.testing.assert_allclose(found.variance, [4, 1], rtol=0.02)
    # The median of n values of a normal distribution scatters by sigma sqrt(pi / 2 n).
    scatter = np.sqrt(np.pi / 2 / (0.7 * readout.output_width))
    np.testing.assert_allclose(found.stripes, np.outer([2, 1], np.full(4, scatter)), rtol=0.1)
    assert found.profiles.shape == (2, 128)


def test_stripes_and_alternating_columns_are_seen_where_they_are():
    random = np.random.default_rng(4)
    white = random.normal(size=(4, *FOUR.shape)).astype(np.float32)
    rows = random.normal(scale=3, size=(4, 128, 1))
    alternating = np.where(np.arange(512) % 2, 1.0, -1.0)
    before = (white + rows).astype(np.float32)
    before[..., 128:256] += alternating[128:256]  # second output
    sky = np.zeros(FOUR.shape, np.float32)
    found = compare(before, white, np.ones(white.shape, bool), sky=sky, readout=FOUR, profiles=True)
    np.testing.assert_allclose(found.stripes[0], 3, rtol=0.15)
    assert (found.stripes[1] < 0.2).all()
    fast = found.spectra[0, :, -1] / found.spectra[1, :, -1]
    assert fast[1] > 20
    assert (np.delete(fast, 1) < 3).all()
    assert (found.spectra[0, :, 0] > 20 * found.spectra[1, :, 0]).all()
    np.testing.assert_allclose(found.profiles[0] - found.profiles[1], rows[0, :, 0], atol=1.0)


def test_nothing_usable_is_no_error():
    images = np.full((1, *FOUR.shape), np.nan, np.float32)
    nothing = np.zeros(images.shape, bool)
    sky = np.zeros(FOUR.shape)
    found = compare(images, images, nothing, sky=sky, readout=FOUR, profiles=True)
    assert np.isnan(found.spectra).all()
    assert not found.stripes.any()
    assert not found.variance.any()
    assert np.isnan(found.profiles).all()
    assert compare(images, images, nothing, sky=sky, readout=FOUR).profiles is None


def test_images_are_chosen_over_all_integrations():
    assert chosen_images(1, 4, 2048**2) == [[0]]
    assert chosen_images(2, 3, 100) == [[0, 1, 2], [0, 1, 2]]
    chosen = chosen_images(1000, 4, 2**16)
    assert sum(map(len, chosen)) == 64
    assert all(chosen[i] for i in (0, 999))
