"""Distributions among pixels from values with errors, and normal distributions combined."""

import numpy as np
import pytest

from crsteps.persistence.slope_prior import (
    measure_population,
    populations_by_channel,
    shrink,
)


@pytest.mark.parametrize("spread", [0.3, 0.1, 0.03])
def test_spread_without_the_errors(spread):
    rng = np.random.default_rng(1)
    errors = rng.uniform(0.02, 0.2, 5000)
    values = rng.normal(1.1, spread, 5000) + errors * rng.standard_normal(5000)
    values[:20] += 5  # a few that do not belong
    population = measure_population(values, errors**2)
    assert population.mean == pytest.approx(1.1, abs=0.015)
    assert population.spread == pytest.approx(spread, rel=0.12)
    assert 4900 < population.n_pixels <= 4985


def test_no_spread_and_few_values():
    rng = np.random.default_rng(2)
    same = measure_population(1 + 0.1 * rng.standard_normal(500), np.full(500, 0.01))
    assert same.spread < 0.03
    assert measure_population(np.ones(500), np.full(500, 1e-8)).spread == pytest.approx(0.01)
    assert measure_population(np.ones(19), np.ones(19)) is None


def test_channels_with_few_pixels_take_the_whole_detector():
    rng = np.random.default_rng(3)
    channel = np.repeat([0, 1, 2], [400, 400, 5])
    values = rng.normal(np.array([0.8, 1.2, 3.0])[channel], 0.05)
    found = populations_by_channel(values, np.full(805, 1e-4), channel, n_channels=4)
    assert found[0].mean == pytest.approx(0.8, abs=0.01)
    assert found[1].mean == pytest.approx(1.2, abs=0.01)
    assert found[2] == found[3]
    assert found[2].mean == pytest.approx(1.0, abs=0.02)
    none = populations_by_channel(values[:5], np.ones(5), channel[:5], n_channels=2)
    assert none == [None, None]


@pytest.mark.parametrize("which", [0, 1, 2])
def test_combination_is_that_of_the_precision_matrices(which):
    rng = np.random.default_rng(4)
    n = 6
    root = rng.normal(size=(n, 3, 3))
    matrices = root @ root.transpose(0, 2, 1)
    theta = rng.normal(size=(n, 3))
    parameters = [theta[:, i].copy() for i in range(3)]
    pairs = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))
    covariance = np.array([matrices[:, i, j] for i, j in pairs])
    original = covariance.copy()
    where = np.arange(n) < 4
    shrink(parameters, covariance, which, mean=0.7, variance=0.5, where=where)

    precision = np.zeros((3, 3))
    precision[which, which] = 1 / 0.5
    for pixel in range(n):
        posterior = np.linalg.inv(np.linalg.inv(matrices[pixel]) + precision * where[pixel])
        mean = theta[pixel] + posterior @ precision @ (0.7 - theta[pixel]) * where[pixel]
        np.testing.assert_allclose([p[pixel] for p in parameters], mean)
        np.testing.assert_allclose(covariance[:, pixel], [posterior[i, j] for i, j in pairs])

    shrink(parameters, covariance, which, mean=0.7, variance=-0.5, where=where)
    np.testing.assert_allclose(np.array(parameters).T, theta)
    np.testing.assert_allclose(covariance, original)
