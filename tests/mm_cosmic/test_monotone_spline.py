"""Cubic splines that nowhere fall, against a general optimiser and closed forms."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from crsteps.mm_cosmic import monotone_spline
from crsteps.mm_cosmic.monotone_spline import evaluate_spline, fit_monotone_spline


def noisy_points(seed, n=60):
    rng = np.random.default_rng(seed)
    x = np.sort(rng.uniform(-10, 2000, n))
    return x, 20 + 3 * np.sqrt(x + 10) + rng.normal(0, 15, n), rng.uniform(0.5, 3, n)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_minimum_is_that_of_a_general_optimiser(seed):
    x, y, weights = noisy_points(seed)
    y[:4] += 80  # the free minimum would fall there
    knots = np.linspace(x[0], x[-1], 5)
    spline = fit_monotone_spline(x, y, weights, knots)
    grid = np.linspace(x[0], x[-1], 300)

    def loss(coefficients):
        return np.sum(weights * (y - evaluate_spline(knots, coefficients, x)) ** 2)

    other = minimize(
        loss,
        np.ones(7),
        method="SLSQP",
        constraints={"type": "ineq", "fun": lambda c: np.diff(evaluate_spline(knots, c, grid))},
        options={"maxiter": 500, "ftol": 1e-10},
    )
    assert other.success
    # Neither is less than the other by more than slopes of different grids allow.
    assert loss(spline.coefficients) == pytest.approx(other.fun, rel=3e-4)
    assert spline.converged


def test_a_rising_cubic_is_met_exactly():
    x = np.linspace(3, 9, 40)
    y = 2 + 0.5 * (x - 2) ** 3
    spline = fit_monotone_spline(x, y, np.ones(40), [3, 4, 7, 9])
    assert spline.evaluate(x) == pytest.approx(y, rel=1e-4)


def test_falling_points_give_their_weighted_mean():
    x, y, weights = np.array([0.0, 1, 2, 5]), np.array([9.0, 5, 4, 1]), np.array([1.0, 2, 3, 4])
    spline = fit_monotone_spline(x, y, weights, [0, 2.5, 5])
    assert spline.evaluate([0, 1, 4, 5]) == pytest.approx(np.average(y, weights=weights), rel=1e-5)


@given(st.integers(0, 10**6), st.integers(2, 9))
@settings(max_examples=40, deadline=None)
def test_the_curve_never_falls_and_converges(seed, n_knots):
    rng = np.random.default_rng(seed)
    x = np.sort(rng.uniform(-5, 3000, 30))
    spline = fit_monotone_spline(
        x, rng.normal(0, 50, 30), rng.uniform(1, 1e4, 30), np.linspace(x[0], x[-1], n_knots)
    )
    curve = spline.evaluate(np.linspace(x[0], x[-1], 2000))
    assert spline.converged
    assert np.diff(curve).min() > -1e-3


def test_units_of_the_points_do_not_matter():
    x, y, weights = noisy_points(4)
    knots = np.linspace(x[0], x[-1], 6)
    curve = fit_monotone_spline(x, y, weights, knots).evaluate(x)
    small = fit_monotone_spline(1e-4 * x, 1e-6 * y, 1e3 * weights, 1e-4 * knots)
    assert 1e6 * small.evaluate(1e-4 * x) == pytest.approx(curve, rel=1e-5)


def test_beyond_its_knots_the_curve_is_level():
    x, y, weights = noisy_points(5)
    spline = fit_monotone_spline(x, y, weights, [x[0], 500, x[-1]])
    assert spline.evaluate(x[0] - 1000) == spline.evaluate(x[0])
    assert spline.evaluate(1e9) == spline.evaluate(x[-1])
    assert np.isnan(spline.evaluate(np.nan))


def test_too_few_points_still_give_a_curve():
    one = fit_monotone_spline([3.0], [7.0], [1.0], [2.5, 3.5])
    assert one.evaluate([2.5, 3.5]) == pytest.approx(7)
    # No point in the three inner intervals: the curve goes nearly straight through them.
    gap = fit_monotone_spline([0, 1, 9, 10], [0, 1, 9, 10], np.ones(4), np.linspace(0, 10, 6))
    assert gap.evaluate(np.arange(11)) == pytest.approx(np.arange(11), abs=0.05)
    flat = fit_monotone_spline([0, 1], [0.0, 0.0], np.ones(2), [0, 1])
    assert flat.evaluate(0.5) == 0


def test_no_convergence_is_said_and_the_curve_does_not_fall(monkeypatch):
    def give_up(*_):
        raise RuntimeError("Maximum number of iterations reached.")

    monkeypatch.setattr(monotone_spline, "nnls", give_up)
    x, y, weights = noisy_points(6)
    y[:10] += 200
    spline = fit_monotone_spline(x, y, weights, np.linspace(x[0], x[-1], 5))
    assert not spline.converged
    assert np.all(np.diff(spline.evaluate(np.linspace(x[0], x[-1], 500))) >= -1e-9)


def test_what_cannot_be_fitted_is_refused():
    with pytest.raises(ValueError, match="no point"):
        fit_monotone_spline([], [], [], [0, 1])
    with pytest.raises(ValueError, match="must ascend"):
        fit_monotone_spline([0.0], [1.0], [1.0], [0, 1, 1])
