"""Polynomials in the slope against the functions that they stand for."""

import numpy as np
import pytest

from crsteps.persistence.power_law import charge, charge_derivatives
from crsteps.persistence.slope_expansion import expand_in_slope

TIMES = np.array([[3.0, 5.0, 400.0], [90.0, 1000.0, 3000.0]])


def unit_charges(gamma):
    return charge(*TIMES, amplitude=1.0, gamma=gamma)


@pytest.mark.parametrize(("low", "high"), [(0.1, 2.0), (0.9, 1.1), (1.0, 1.0)])
@pytest.mark.parametrize("log_time", [0.0, -2.0])
def test_values_and_derivatives(low, high, log_time):
    expansion = expand_in_slope(unit_charges, low=low, high=high, log_time=log_time)
    gamma = np.linspace(low, high, 57)
    np.testing.assert_allclose(expansion(gamma).T, unit_charges(gamma[:, np.newaxis]), rtol=1e-8)
    both = expansion.with_derivative()
    slopes = charge_derivatives(*TIMES, amplitude=1.0, gamma=gamma[:, np.newaxis])[1]
    np.testing.assert_allclose(
        both(gamma)[3:].T, slopes, rtol=1e-6, atol=1e-6 * np.abs(slopes).max()
    )
    assert both(low).shape == (6,)
    factor = np.linspace(-2, 5, 57)
    np.testing.assert_allclose(expansion(gamma, factor=factor), factor * expansion(gamma))


def test_fewer_terms_for_less_accuracy_and_a_narrower_range():
    sizes = [
        expand_in_slope(
            unit_charges, low=1 - width, high=1 + width, log_time=-2.0, tolerance=tolerance
        ).coefficients.shape[1]
        for width, tolerance in ((0.9, 1e-10), (0.9, 1e-4), (0.1, 1e-4))
    ]
    assert sizes[0] > sizes[1] > sizes[2]


def test_range_that_is_too_wide():
    with pytest.raises(ValueError, match="too wide a range"):
        expand_in_slope(unit_charges, low=-100.0, high=100.0, log_time=0.0)
