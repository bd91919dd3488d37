"""Scenes of a fibre spectrograph: noise, hits and differences are what was asked for."""

from dataclasses import replace

import numpy as np
import pytest

from crsteps.simulation.fibre_spectrograph import (
    FibreSceneOptions,
    equal_options,
    simulate_fibre_exposures,
    unequal_options,
)


@pytest.fixture(scope="module")
def equal():
    """Three equivalent exposures."""
    return simulate_fibre_exposures(equal_options(shape=(400, 300)), seed=11)


def test_types_and_shapes(equal):
    for name in ("data", "cosmic_ray_free", "scene", "charge", "noise"):
        array = getattr(equal, name)
        assert array.shape == (3, 400, 300)
        assert array.dtype == np.float32
    assert equal.mean_scene.shape == (400, 300)


def test_noise_is_poisson_plus_read_noise(equal):
    """Normalised residuals have mean 0 and variance 1, in faint and in bright pixels."""
    residual = (equal.cosmic_ray_free - equal.scene) / equal.noise
    np.testing.assert_allclose(equal.noise, np.sqrt(equal.scene + 3.4**2), rtol=1e-5)
    for part in (equal.scene < 5, equal.scene > 50):
        values = residual[part]
        assert values.mean() == pytest.approx(0, abs=4 / np.sqrt(values.size))
        assert values.var() == pytest.approx(1, abs=4 * np.sqrt(2.2 / values.size))


def test_cosmic_rays_are_added_without_other_changes(equal):
    np.testing.assert_allclose(equal.data - equal.cosmic_ray_free, equal.charge, atol=0.01)
    assert equal.charge.min() >= 0


def test_hit_fraction_and_coincidences():
    exposures = simulate_fibre_exposures(equal_options(), seed=5)
    hit = exposures.charge > 3 * 3.4
    assert hit.mean() == pytest.approx(0.01, rel=0.2)
    assert 180 < np.sum(hit.sum(axis=0) >= 2) < 400
    apart = simulate_fibre_exposures(equal_options(n_crossings=0), seed=5)
    expected = 3 * 0.01**2 * 512**2  # chance alone
    hits = (apart.charge > 3 * 3.4).sum(axis=0) >= 2
    assert expected / 2 < hits.sum() < 2 * expected


def test_no_cosmic_rays():
    exposures = simulate_fibre_exposures(equal_options(shape=(60, 50), hit_fraction=0.0), seed=5)
    assert exposures.charge.max() == 0
    np.testing.assert_array_equal(exposures.data, exposures.cosmic_ray_free)


def test_same_seed_same_exposures(equal):
    again = simulate_fibre_exposures(equal.options, seed=11)
    np.testing.assert_array_equal(again.data, equal.data)
    other = simulate_fibre_exposures(equal.options, seed=12)
    assert np.mean(other.scene != equal.scene) > 0.9


def test_gain_and_bias_keep_the_electrons(equal):
    changed = simulate_fibre_exposures(replace(equal.options, gain=2.0, bias=100.0), seed=11)
    np.testing.assert_array_equal(changed.scene, equal.scene)
    electrons = (changed.data - 100) * 2
    np.testing.assert_allclose(electrons, equal.data, rtol=1e-5, atol=1e-3)


def test_equal_exposures_are_equal(equal):
    np.testing.assert_array_equal(equal.scene[0], equal.scene[1])
    np.testing.assert_allclose(equal.mean_scene, equal.scene[2], rtol=1e-6)


def test_flux_factors():
    options = unequal_options(shape=(200, 200), shifts=None, fibre_scatter=0.0)
    scene = simulate_fibre_exposures(options, seed=3).scene
    np.testing.assert_allclose(scene[1], 0.94 * scene[0], rtol=1e-5)
    np.testing.assert_allclose(scene[2], 1.05 * scene[0], rtol=1e-5)


def test_shift_moves_the_light():
    """First moments across an isolated fibre and along an isolated line move by the shift."""
    options = FibreSceneOptions(
        shape=(41, 101),
        n_exposures=2,
        shifts=((0.0, 0.0), (0.12, -0.05)),
        fibre_spacing=40.0,
        continuum=(1e-6, 2e-6),
        line_spacing=101.0,
        diffuse_light=0.0,
    )
    for seed in range(20):  # until the only line is far from the edges
        scene = simulate_fibre_exposures(options, seed=seed).scene.astype(float)
        rows, columns = np.indices(scene.shape[1:])
        x, y = ((scene * c).sum(axis=(1, 2)) / scene.sum(axis=(1, 2)) for c in (columns, rows))
        if 15 < x[0] < 85:
            break
    assert x[1] - x[0] == pytest.approx(0.12, abs=1e-3)
    assert y[1] - y[0] == pytest.approx(-0.05, abs=1e-3)


def test_scatter_of_the_fibres():
    options = unequal_options(
        shape=(1200, 64), shifts=None, flux_factors=None, diffuse_light=0.0, fibre_spacing=12.0
    )
    scene = simulate_fibre_exposures(options, seed=3).scene
    middle = scene[0, :, 32]
    peaks = np.flatnonzero((middle[1:-1] > middle[:-2]) & (middle[1:-1] > middle[2:])) + 1
    assert peaks.size == pytest.approx(100, abs=1)
    ratio = scene[1, peaks] / scene[0, peaks]
    # 100 fibres: the standard deviation of their ratio is known to 7 %
    assert ratio[:, 32].std() == pytest.approx(0.05 * np.sqrt(2), rel=0.25)
    # slow along the fibre
    assert np.abs(np.diff(ratio, axis=1)).max() < 0.003


def test_sky_lines_and_fibres_show(equal):
    brightest = equal.mean_scene.max()
    assert 1000 < brightest < 4000
    bright = simulate_fibre_exposures(
        equal_options(shape=(120, 120), line_peaks=(20.0, 20000.0)), seed=1
    )
    assert bright.mean_scene.max() > 10000
    profile = np.median(equal.mean_scene, axis=1)
    power = np.abs(np.fft.rfft(profile - profile.mean()))
    assert np.argmax(power) == pytest.approx(400 / 6, abs=2)


def test_counts_that_do_not_fit():
    with pytest.raises(ValueError, match="3 entries for 4 exposures"):
        FibreSceneOptions(n_exposures=4, flux_factors=(1.0, 0.9, 1.1))
