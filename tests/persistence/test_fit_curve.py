"""Curve and maps of a fit against fits with known numbers."""

from dataclasses import replace

import numpy as np
import pytest

from crsteps.persistence.decay import PersistenceModel
from crsteps.persistence.fit import NOT_CONVERGED, NOT_FITTED, DecayFit
from crsteps.persistence.fit_curve import curve_of_levels, measure_levels, pixel_maps
from crsteps.persistence.power_law import Covariance
from crsteps.persistence.stimulus import ConstantCurve, TableCurve

SHAPE, TIME = (30, 40), 300.0


def known_fit(amplitude, *, gamma=1.0, scatter=0.0, error=0.01, seed=1):
    """Fit whose amplitudes and slopes are known and have small errors."""
    rng = np.random.default_rng(seed)
    images = np.full((2, *SHAPE), 0.02, np.float32)
    gammas = (gamma + scatter * rng.standard_normal(SHAPE)).astype(np.float32)
    covariance = np.zeros((6, *SHAPE), np.float32)
    covariance[:3] = np.array([error**2, 1e-4, 1e-4])[:, None, None]
    covariance[4] = 0.3 * error * 1e-2
    return DecayFit(
        np.broadcast_to(amplitude, SHAPE).astype(np.float32),
        gammas,
        images[0],
        covariance,
        images[1],
        np.full(SHAPE, 20, np.int16),
        np.zeros(SHAPE, np.uint8),
        np.zeros((0, 2), np.int32),
        TIME,
    )


def bands(*values):
    """Image with equal bands of rows."""
    return np.repeat(np.asarray(values, float), SHAPE[0] // len(values))[:, None] * np.ones(
        SHAPE[1]
    )


def test_levels_of_bands():
    fluence, amplitude, gamma = bands(2e4, 6e4, 1.2e5), bands(0.1, 0.6, 1.8), bands(0.9, 1.0, 1.1)
    fit = known_fit(amplitude, gamma=gamma, scatter=0.05)
    levels = measure_levels(fit, fluence.astype(np.float32))
    assert [level.fluence for level in levels] == [2e4, 6e4, 1.2e5]
    assert [level.n_pixels for level in levels] == [400] * 3
    np.testing.assert_allclose([level.amplitude for level in levels], [0.1, 0.6, 1.8], rtol=1e-6)
    for level, slope in zip(levels, (0.9, 1.0, 1.1), strict=True):
        assert abs(level.gamma - slope) < 4 * level.gamma_error
        assert level.gamma_error == pytest.approx(1.2533 * 0.05 / 20, rel=0.15)
        assert level.gamma_spread == pytest.approx(0.05, rel=0.15)


def test_levels_of_a_gradient_and_limits():
    fluence = np.geomspace(1e4, 1e5, SHAPE[0] * SHAPE[1]).reshape(SHAPE).astype(np.float32)
    fit = known_fit(1e-5 * fluence)
    levels = measure_levels(fit, fluence)
    charges = np.array([level.fluence for level in levels])
    assert len(levels) in (9, 10)  # one for every tenth of a decade
    np.testing.assert_allclose(np.diff(np.log10(charges)), 0.1, atol=0.01)
    np.testing.assert_allclose([level.amplitude for level in levels], 1e-5 * charges, rtol=1e-3)
    limited = measure_levels(fit, fluence, limits=(2e4, 4e4))
    assert len(limited) in (2, 3)
    assert all(2e4 <= level.fluence <= 4e4 for level in limited)


def test_pixels_that_do_not_count():
    fluence = np.full(SHAPE, 5e4, np.float32)
    fluence[0], fluence[1], fluence[2] = np.nan, np.inf, -10
    fit = known_fit(0.5)
    fit.quality[3] |= NOT_FITTED
    fit.quality[4] |= NOT_CONVERGED
    fit.amplitude[:5] = 100
    [level] = measure_levels(fit, fluence)
    assert (level.n_pixels, level.amplitude) == (25 * SHAPE[1], 0.5)
    fit.quality[...] = NOT_FITTED
    assert measure_levels(fit, fluence) == []
    assert measure_levels(fit) == []


def test_unknown_illumination_is_one_level():
    [level] = measure_levels(known_fit(0.5, gamma=0.8))
    assert np.isnan(level.fluence)
    curve = curve_of_levels([level], reference_time=TIME)
    assert curve == ConstantCurve(0.5, pytest.approx(0.8), TIME)


def test_few_pixels_are_one_level():
    fluence = np.full(SHAPE, np.nan, np.float32)
    fluence[0, :3] = 1e3, 1e4, 1e5
    [level] = measure_levels(known_fit(0.5), fluence)
    assert (level.fluence, level.n_pixels) == (1e4, 3)
    assert level.gamma == 1.0
    assert np.isnan(level.gamma_error)


def test_no_persistence_at_all():
    """The curve stays positive, as a table has to; the maps say that there is none."""
    rng = np.random.default_rng(2)
    fit = known_fit(-0.001 + rng.normal(0, 0.01, SHAPE))
    fluence = np.full(SHAPE, 1e4, np.float32)
    levels = measure_levels(fit, fluence)
    curve = curve_of_levels(levels, reference_time=TIME)
    assert curve.amplitude[0] == pytest.approx(levels[0].amplitude_error)
    maps = pixel_maps(fit, curve, fluence)
    product = maps.amplitude_scale * curve.amplitude[0]
    np.testing.assert_allclose(product, fit.amplitude, rtol=1e-5)


def test_model_of_the_maps_is_the_fit():
    """A model of curve and maps predicts for the illumination what has been fitted."""
    fluence = bands(2e4, 6e4, 1.2e5).astype(np.float32)
    rng = np.random.default_rng(3)
    fit = known_fit(bands(0.1, 0.6, 1.8) * rng.lognormal(0, 0.3, SHAPE), scatter=0.1)
    curve = curve_of_levels(measure_levels(fit, fluence), reference_time=TIME)
    assert isinstance(curve, TableCurve)
    maps = pixel_maps(fit, curve, fluence)
    model = PersistenceModel(
        curve,
        maps.amplitude_scale,
        maps.gamma_offset,
        Covariance(maps.variance_amplitude, maps.variance_gamma, maps.cross),
        forgetting_rate=0.0,
    )
    decay = model.decay(fluence, end=0.0)
    assert decay.pixels.size == fluence.size
    np.testing.assert_allclose(decay.amplitude, fit.amplitude.ravel(), rtol=1e-5)
    np.testing.assert_allclose(decay.gamma, fit.gamma.ravel(), rtol=1e-5)
    for part, own in zip(decay.covariance, (0, 2, 4), strict=True):
        np.testing.assert_allclose(part, fit.covariance[own].ravel(), rtol=1e-4)


def test_maps_where_nothing_is_known():
    fit = known_fit(0.5)
    covariance = fit.covariance.copy()
    covariance[4, 0, 0] = 1  # more than the variances allow
    covariance[0, 0, 1] = -1
    fit = replace(fit, covariance=covariance)
    fit.amplitude[0, 2] = np.nan
    fluence = np.full(SHAPE, 1e4, np.float32)
    fluence[0, 3:6] = np.nan, np.inf, 0
    maps = pixel_maps(fit, TableCurve([1e4], [0.5], [1.0], reference_time=TIME), fluence)
    for image in vars(maps).values():
        assert image.dtype == np.float32
        assert np.argwhere(np.isnan(image)).tolist() == [[0, x] for x in range(6)]
