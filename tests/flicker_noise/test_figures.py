"""Figures are written, also with pixels, lines and frequencies without data."""

import numpy as np
import pytest

from crsteps.flicker_noise.figures import plot_cleaning, plot_profiles, plot_spectra


def is_png(path, least=5_000):
    """Tell whether a file is a PNG with something in it."""
    content = path.read_bytes()
    return content.startswith(b"\x89PNG") and len(content) > least


@pytest.mark.parametrize("shape", [(64, 64), (32, 256), (256, 32)])
def test_image_before_and_after(tmp_path, shape):
    random = np.random.default_rng(1)
    after = random.normal(10, 1, shape).astype(np.float32)
    stripes = np.repeat(random.normal(0, 2, (shape[0], 1)), shape[1], axis=1)
    before = after + stripes
    before[3:5, 7] = np.nan
    plot_cleaning(tmp_path / "cleaning.png", before=before, after=after)
    assert is_png(tmp_path / "cleaning.png", 10_000)


def test_nothing_removed_is_drawn_too(tmp_path):
    image = np.random.default_rng(2).normal(size=(32, 32))
    plot_cleaning(tmp_path / "same.png", before=image, after=image)
    assert is_png(tmp_path / "same.png")


def test_nothing_but_nan_is_drawn_too(tmp_path):
    image = np.full((16, 16), np.nan)
    plot_cleaning(tmp_path / "nan.png", before=image, after=image)
    plot_profiles(tmp_path / "profile.png", np.full((2, 16), np.nan))
    plot_spectra(tmp_path / "power.png", np.geomspace(1, 4e4, 9), np.full((2, 4, 9), np.nan))
    assert all(is_png(tmp_path / f"{name}.png") for name in ("nan", "profile", "power"))


@pytest.mark.parametrize("n_outputs", [1, 4, 32])
def test_spectra_of_outputs(tmp_path, n_outputs):
    frequencies = np.concatenate([np.geomspace(0.5, 1e4, 30), 5e4 - np.geomspace(1e4, 1, 30)])
    power = 1 / frequencies[None, None] * np.ones((2, n_outputs, 1))
    power[1, :, 5:8] = np.nan
    plot_spectra(tmp_path / "power.png", frequencies, power)
    assert is_png(tmp_path / "power.png", 20_000)


def test_profiles_with_gaps(tmp_path):
    profiles = np.random.default_rng(3).normal(size=(2, 100))
    profiles[:, 20:30] = np.nan
    plot_profiles(tmp_path / "profile.png", profiles, axis="x", unit="DN/s")
    assert is_png(tmp_path / "profile.png", 20_000)
