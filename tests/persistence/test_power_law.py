"""Power law: rate, charge and derivatives against quadrature, limits and rules of integrals."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad

from crsteps.persistence.power_law import (
    Covariance,
    charge,
    charge_derivatives,
    correction_variance,
    rate,
    shift_reference_time,
    time_of_rate,
)

GAMMAS = [0.1, 0.5, 0.9, 1 - 1e-4, 1 - 1e-9, 1.0, 1 + 1e-12, 1 + 1e-6, 1.1, 1.5, 2.0]
INTERVALS = [
    (1.0, 2.0),
    (1.0, 1e6),
    (3.0, 90.0),
    (100.0, 100.001),
    (900.0, 1100.0),
    (5e4, 5.1e4),
    (9.9e5, 1e6),
]

slopes = st.one_of(st.floats(0.1, 2), st.sampled_from(GAMMAS))
times = st.floats(0, 6).map(lambda x: 10**x)


def integral(start, end, gamma, *, moment=False, t0=1000.0):
    """Charge for A = 1, or its derivative by gamma, by quadrature over the logarithm of time."""

    def integrand(v):
        return t0 * np.exp((1 - gamma) * v) * (-v if moment else 1)

    low, width = np.log(start / t0), np.log1p((end - start) / start)
    # over the distance from the start: two nearly equal logarithms would lose digits
    small = 1e-12 * t0 * width * np.exp((1 - gamma) * (low + width / 2))
    return quad(lambda w: integrand(low + w), 0, width, epsabs=small, epsrel=1e-12, limit=200)[0]


@pytest.mark.parametrize("gamma", GAMMAS)
@pytest.mark.parametrize(("start", "end"), INTERVALS)
def test_charge_and_derivatives_against_quadrature(start, end, gamma):
    expected = integral(start, end, gamma)
    assert charge(start, end, amplitude=0.3, gamma=gamma) == pytest.approx(0.3 * expected, rel=1e-9)
    by_amplitude, by_gamma = charge_derivatives(start, end, amplitude=0.3, gamma=gamma)
    assert by_amplitude == pytest.approx(expected, rel=1e-9)
    # the derivative changes its sign where the charge comes at the reference time
    assert by_gamma == pytest.approx(
        0.3 * integral(start, end, gamma, moment=True), rel=1e-9, abs=1e-10 * expected
    )


@given(slopes, st.tuples(times, times, times).map(sorted))
def test_charge_adds_up(gamma, t):
    a, b, c = t
    parts = charge(a, b, amplitude=2.0, gamma=gamma) + charge(b, c, amplitude=2.0, gamma=gamma)
    assert charge(a, c, amplitude=2.0, gamma=gamma) == pytest.approx(parts, rel=1e-11, abs=1e-300)


@given(slopes, st.tuples(times, times).map(sorted))
def test_charge_lies_between_the_rates_at_both_ends(gamma, t):
    start, end = t
    law = {"amplitude": 1.0, "gamma": gamma}
    value = charge(start, end, **law)
    assert value >= (end - start) * rate(end, **law) * (1 - 1e-12)
    assert value <= (end - start) * rate(start, **law) * (1 + 1e-12)


@given(st.floats(1e-12, 1e-5), st.tuples(times, times).map(sorted))
def test_gamma_one_is_no_exception(distance, t):
    start, end = t
    exact = 1000 * np.log(end / start)
    for gamma in (1.0, 1 + distance, 1 - distance):
        value = charge(start, end, amplitude=1.0, gamma=gamma)
        assert value == pytest.approx(exact, rel=15 * distance + 1e-10, abs=1e-9)


@given(slopes, times, st.floats(1e-9, 1e-4))
def test_short_intervals_give_the_rate(gamma, start, width):
    length = start * (1 + width) - start
    value = charge(start, start + length, amplitude=1.0, gamma=gamma)
    middle = rate(start + length / 2, amplitude=1.0, gamma=gamma)
    assert value == pytest.approx(length * middle, rel=1e-7)


def test_derivatives_are_those_of_the_charge():
    gamma, step = np.linspace(0.1, 2, 40), 1e-5
    by_gamma = charge_derivatives(7.0, 400.0, amplitude=0.5, gamma=gamma)[1]
    plus, minus = (charge(7.0, 400.0, amplitude=0.5, gamma=gamma + s) for s in (step, -step))
    np.testing.assert_allclose(by_gamma, (plus - minus) / (2 * step), rtol=1e-8)


def test_images_of_float32():
    rng = np.random.default_rng(1)
    amplitude = rng.uniform(0.01, 3, (20, 30)).astype(np.float32)
    gamma = rng.uniform(0.1, 2, (20, 30)).astype(np.float32)
    gamma[0, :5] = 1
    value = charge(30.0, 117.0, amplitude=amplitude, gamma=gamma)
    assert value.dtype == np.float32
    expected = charge(30.0, 117.0, amplitude=amplitude.astype(float), gamma=gamma.astype(float))
    assert expected.dtype == np.float64
    np.testing.assert_allclose(value, expected, rtol=1e-7)
    assert charge(30.0, 117.0, amplitude=amplitude, gamma=1.0).shape == (20, 30)
    assert charge(30.0, 117.0, amplitude=1.0, gamma=gamma).dtype == np.float32
    start = np.full((20, 30), 30, np.float32)
    np.testing.assert_allclose(
        charge(start, start + 87, amplitude=amplitude, gamma=gamma), value, rtol=1e-6
    )
    by_amplitude, by_gamma = charge_derivatives(30.0, 117.0, amplitude=amplitude, gamma=gamma)
    assert by_amplitude.shape == by_gamma.shape == (20, 30)
    assert by_amplitude.dtype == by_gamma.dtype == np.float32


def test_what_is_missing_stays_missing():
    amplitude = np.array([1.0, np.nan, 1.0])
    gamma = np.array([1.0, 1.0, np.nan])
    missing = [False, True, True]
    for value in (
        charge(10.0, 20.0, amplitude=amplitude, gamma=gamma),
        rate(10.0, amplitude=amplitude, gamma=gamma),
        charge_derivatives(10.0, 20.0, amplitude=amplitude, gamma=gamma)[1],
    ):
        assert list(np.isnan(value)) == missing
    assert charge(10.0, 10.0, amplitude=1.0, gamma=1.5) == 0
    assert charge_derivatives(10.0, 10.0, amplitude=1.0, gamma=1.5) == (0, 0)


@pytest.mark.parametrize(("start", "end"), [(0.0, 10.0), (-5.0, 10.0), (20.0, 10.0)])
def test_impossible_times(start, end):
    with pytest.raises(ValueError, match="check"):
        charge(start, end, amplitude=1.0, gamma=1.0)


def test_impossible_reference_time():
    with pytest.raises(ValueError, match="reference time"):
        rate(10.0, amplitude=1.0, gamma=1.0, reference_time=0.0)


def test_another_reference_time_changes_nothing():
    old = Covariance(0.01, 0.02, -0.012)
    amplitude, new = shift_reference_time(
        0.5, 1.2, reference_time=1000.0, new_reference_time=300.0, covariance=old
    )
    for start in (10.0, 500.0):
        interval = (start, start + 100)
        value = charge(*interval, amplitude=0.5, gamma=1.2)
        shifted = charge(*interval, amplitude=amplitude, gamma=1.2, reference_time=300.0)
        assert shifted == pytest.approx(value, rel=1e-12)
        variances = [
            correction_variance(
                *charge_derivatives(*interval, amplitude=a, gamma=1.2, reference_time=t0),
                covariance=covariance,
                charge=value,
                systematic=0.1,
            )
            for a, t0, covariance in ((0.5, 1000.0, old), (amplitude, 300.0, new))
        ]
        assert variances[0] == pytest.approx(variances[1], rel=1e-12)


@pytest.mark.parametrize("time", [100.0, 3000.0, 30000.0])
def test_second_order_of_another_reference_time_is_that_of_draws(time):
    rng = np.random.default_rng(4)
    covariance = Covariance(0.01, 0.0225, 0.005)
    matrix = [[covariance.amplitude, covariance.cross], [covariance.cross, covariance.gamma]]
    draws = rng.multivariate_normal([1.0, 1.2], matrix, 1_000_000)
    given = {"reference_time": 1000.0, "new_reference_time": time}
    # what the linear and the quadratic part make of it, without those of higher order
    log = np.log(time / 1000.0)
    a, g = (draws - [1.0, 1.2]).T
    quadratic = (time / 1000) ** -1.2 * (1 + a - log * g - log * a * g + (log * g) ** 2 / 2)
    _, linear = shift_reference_time(1.0, 1.2, **given, covariance=covariance)
    _, both = shift_reference_time(1.0, 1.2, **given, covariance=covariance, second_order=True)
    assert both.amplitude == pytest.approx(quadratic.var(), rel=0.01)
    assert both.amplitude > 1.01 * linear.amplitude
    assert both[1:] == linear[1:]


def test_variance_of_the_correction_is_that_of_draws():
    rng = np.random.default_rng(2)
    covariance = Covariance(4e-4, 9e-4, -4e-4)
    matrix = [[covariance.amplitude, covariance.cross], [covariance.cross, covariance.gamma]]
    draws = rng.multivariate_normal([1.0, 1.0], matrix, 200_000)
    charges = charge(60.0, 150.0, amplitude=draws[:, 0], gamma=draws[:, 1])
    derivatives = charge_derivatives(60.0, 150.0, amplitude=1.0, gamma=1.0)
    value = charge(60.0, 150.0, amplitude=1.0, gamma=1.0)
    variance = correction_variance(*derivatives, covariance=covariance, charge=value)
    assert variance == pytest.approx(charges.var(), rel=0.04)
    floor = correction_variance(*derivatives, covariance=Covariance(), charge=value, systematic=0.1)
    assert floor == pytest.approx((0.1 * value) ** 2)


@pytest.mark.parametrize("interval", [(60.0, 150.0), (3e4, 3.1e4)])
@pytest.mark.parametrize("amplitude", [1.0, np.array([0.5, 2.0, 0.0], np.float32)])
def test_error_of_both_where_their_covariance_is_not_known(interval, amplitude):
    """As large as what both being off by a standard deviation makes, to second order."""
    sigma, sigma_gamma = 0.2, 0.1
    value = charge(*interval, amplitude=amplitude, gamma=1.0)
    derivatives = charge_derivatives(*interval, amplitude=amplitude, gamma=1.0)
    variance = correction_variance(
        *derivatives, covariance=Covariance(sigma**2, sigma_gamma**2, np.nan), charge=value
    )
    worst = np.max(
        [
            charge(*interval, amplitude=amplitude + sigma, gamma=1.0 + step) - value
            for step in (-sigma_gamma, sigma_gamma)
        ],
        axis=0,
    )
    where = np.asarray(amplitude) > 0  # else the slope means nothing
    np.testing.assert_allclose(np.sqrt(variance)[where], worst[where], rtol=0.04)
    assert np.all(np.isfinite(variance))


def test_covariance_that_some_pixels_know():
    given = {"charge": np.ones(2), "by_amplitude": np.ones(2), "by_gamma": np.full(2, -1.0)}
    cross = np.array([0.002, np.nan])
    variance = correction_variance(**given, covariance=Covariance(0.01, 0.01, cross))
    assert variance[0] == pytest.approx(0.02 - 0.004)
    assert variance[1] == pytest.approx((0.2 + 0.1 * 0.15) ** 2)


def test_time_of_rate():
    time = time_of_rate(0.01, amplitude=0.3, gamma=1.1)
    assert rate(time, amplitude=0.3, gamma=1.1) == pytest.approx(0.01)
    amplitude = np.array([0.0, -1.0, np.nan, 1.0])
    gamma = np.array([1.0, 1.0, 1.0, 0.0])
    assert list(time_of_rate(0.01, amplitude=amplitude, gamma=gamma)) == [0, 0, 0, np.inf]
    with pytest.raises(ValueError, match="threshold"):
        time_of_rate(0.0, amplitude=1.0, gamma=1.0)
