"""Charge in groups and rates against sums over frames, by quadrature where it is small."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crsteps.persistence.group_charge import (
    GroupTimes,
    group_charge,
    product_persistence,
    subtract_group_charge,
    unit_group_charge,
)
from crsteps.persistence.power_law import Covariance, charge, rate

MACC = GroupTimes.regular(4, n_frames=16, n_drops=4, frame_time=1.454)
RAMP = GroupTimes.regular(10, n_frames=4, n_drops=1, n_first_drops=2, frame_time=10.737)


def brute_force(times, delay, amplitude, gamma, t0=1000.0):
    """Mean over frames of the elementary antiderivative, in extended precision; no slope of 1."""
    gamma = np.asarray(gamma, np.longdouble)

    def antiderivative(t):
        return (t / t0) ** (1 - gamma) * t0 / (1 - gamma)

    return np.array(
        [
            amplitude
            * np.mean(
                [antiderivative(delay + frame) - antiderivative(delay) for frame in frames], axis=0
            )
            for frames in times.frames
        ]
    )


def test_times_of_the_frames():
    assert MACC.integration_time == pytest.approx(87.24)
    np.testing.assert_allclose(MACC.mean_times, 1.454 * (8.5 + 20 * np.arange(4)))
    assert MACC.end == pytest.approx(1.454 * 76)
    np.testing.assert_allclose(RAMP.frames[1], 10.737 * np.array([8, 9, 10, 11]))
    uneven = GroupTimes(([3.0], [6.0, 9.0]))
    assert list(uneven.mean_times) == [3, 7.5]
    assert list(uneven.averages([1.0, 2.0, 4.0])) == [1, 3]


@pytest.mark.parametrize("frames", [(), ([],), ([2.0, 1.0],), ([0.0, 1.0],), ([1.0], [1.0])])
def test_impossible_frames(frames):
    with pytest.raises(ValueError, match=r"needs groups|one after the other"):
        GroupTimes(frames)


@pytest.mark.parametrize("delay", [1.0, 60.0, 1e4, 1e6])
@pytest.mark.parametrize("spread", [0.0, 0.1, 0.95])
def test_groups_against_frames(delay, spread):
    rng = np.random.default_rng(1)
    amplitude = rng.uniform(0.01, 100, (5, 40)).astype(np.float32)
    gamma = rng.uniform(1.05 - spread, 1.05 + spread, (5, 40)).astype(np.float32)
    for times in (MACC, RAMP):
        value = group_charge(times, delay=delay, amplitude=amplitude, gamma=gamma)
        assert value.dtype == np.float32
        assert value.shape == (len(times.frames), 5, 40)
        expected = brute_force(times, delay, amplitude, gamma)
        np.testing.assert_allclose(value, expected, rtol=1e-6)


def test_slopes_from_a_tenth_to_two_over_six_decades():
    times = GroupTimes.regular(6, frame_time=1e6 / 60, n_frames=8, n_drops=2)
    gamma = np.concatenate([np.linspace(0.1, 2, 96), [1, 1 - 1e-9, 1 + 1e-5, 1 - 1e-3]])
    for delay in (1.0, 1e3, 1e6):
        value = group_charge(times, delay=delay, amplitude=1.0, gamma=gamma)
        expected = unit_group_charge(times, delay=delay, gamma=gamma).T
        np.testing.assert_allclose(value, expected, rtol=1e-6)


def test_unit_charge_is_the_mean_of_the_charges():
    expected = [
        np.mean([charge(30.0, 30 + t, amplitude=1.0, gamma=1.0) for t in frames])
        for frames in MACC.frames
    ]
    np.testing.assert_allclose(unit_group_charge(MACC, delay=30.0, gamma=1.0), expected)


@given(
    st.floats(0.1, 2),
    st.floats(0.1, 2),
    st.floats(0, 6).map(lambda x: 10**x),
    st.floats(1, 1e4),
)
@settings(max_examples=60)
def test_groups_grow_and_ever_more_slowly(low, high, delay, t0):
    law = {"amplitude": 1.0, "gamma": np.linspace(low, high, 7), "reference_time": t0}
    value = group_charge(MACC, delay=delay, **law).astype(float)
    assert np.all(value > 0)
    steps = np.diff(value, axis=0)
    assert np.all(steps > 0)
    assert np.all(np.diff(steps, axis=0) <= 1e-5 * value[-1])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("number", ["amplitude", "gamma", "both", "none"])
def test_subtraction_in_place(dtype, number):
    rng = np.random.default_rng(3)
    amplitude, gamma = rng.uniform(0.5, 1.5, (2, 110, 100))
    if number in ("amplitude", "both"):
        amplitude = 0.7
    if number in ("gamma", "both"):
        gamma = 1.0
    ramp = rng.normal(100, 10, (4, 110, 100)).astype(dtype)
    before = ramp.copy()
    subtract_group_charge(ramp, MACC, delay=40.0, amplitude=amplitude, gamma=gamma)
    unit = np.moveaxis(unit_group_charge(MACC, delay=40.0, gamma=gamma), -1, 0)
    if np.ndim(gamma) == 0:
        unit = unit[:, np.newaxis, np.newaxis]
    np.testing.assert_allclose(ramp, before - amplitude * unit, atol=3e-5)


def test_list_of_pixels():
    rng = np.random.default_rng(4)
    pixels = rng.permutation(20 * 30)[:50]
    amplitude, gamma = rng.uniform(0.5, 1.5, (2, 50)).astype(np.float32)
    ramp = np.zeros((10, 20, 30), np.float32)
    subtract_group_charge(ramp, RAMP, delay=40.0, amplitude=amplitude, gamma=gamma, pixels=pixels)
    expected = np.zeros((10, 600))
    expected[:, pixels] = brute_force(RAMP, 40.0, amplitude, gamma)
    np.testing.assert_allclose(ramp.reshape(10, 600), -expected, rtol=1e-6)
    none = np.array([], np.int64)
    subtract_group_charge(ramp, RAMP, delay=40.0, amplitude=0.5, gamma=1.0, pixels=none)
    np.testing.assert_allclose(ramp.reshape(10, 600), -expected, rtol=1e-6)


def test_pixels_without_a_prediction_stay_as_they_are():
    amplitude = np.array([1.0, np.nan, 1.0, np.inf, 0.0])
    gamma = np.array([1.0, 1.0, np.nan, 1.0, 1.0])
    ramp = np.full((4, 1, 5), 50, np.float32)
    subtract_group_charge(
        ramp, MACC, delay=10.0, amplitude=amplitude[np.newaxis], gamma=gamma[np.newaxis]
    )
    assert np.all(ramp[:, 0, 1:] == 50)
    assert np.all(ramp[:, 0, 0] < 50)
    for some in (np.full(5, np.nan), np.nan):
        subtract_group_charge(ramp, MACC, delay=10.0, amplitude=1.0, gamma=some)
        subtract_group_charge(ramp, MACC, delay=10.0, amplitude=some, gamma=1.0)
    assert np.all(ramp[:, 0, 1:] == 50)
    value = group_charge(MACC, delay=10.0, amplitude=amplitude, gamma=gamma)
    assert list(np.isnan(value[0])) == [False, True, True, True, False]
    product = product_persistence(MACC, delay=10.0, amplitude=amplitude, gamma=gamma)
    assert list(np.isnan(product.rate)) == [False, True, True, True, False]


@pytest.mark.parametrize(
    ("ramp", "arguments", "message"),
    [
        (np.zeros((3, 5, 5)), {}, "4 groups"),
        (np.zeros((4, 5, 5), int), {}, "floats"),
        (np.zeros((4, 5, 10))[..., ::2], {}, "contiguous"),
        (np.zeros((4, 5, 5)), {"amplitude": np.ones(3)}, "amplitude has 3 values for 25"),
        (np.zeros((4, 5, 5)), {"gamma": np.ones((5, 6))}, "slope has 30 values for 25"),
        (np.zeros((4, 5, 5)), {"delay": 0.0}, "positive"),
        (np.zeros((4, 5, 5)), {"delay": np.nan}, "positive"),
    ],
)
def test_what_cannot_be_corrected(ramp, arguments, message):
    arguments = {"delay": 10.0, "amplitude": 1.0, "gamma": 1.0} | arguments
    with pytest.raises(ValueError, match=message):
        subtract_group_charge(ramp, MACC, **arguments)
    assert not ramp.any()


@pytest.mark.parametrize("delay", [3.0, 30.0, 100.0])
def test_rate_of_a_product(delay):
    gamma = np.array([0.5, 1.3, 0.8])
    product = product_persistence(MACC, delay=delay, amplitude=0.4, gamma=gamma)
    groups = brute_force(MACC, delay, 0.4, gamma)
    np.testing.assert_allclose(product.rate, (groups[-1] - groups[0]) / 87.24, rtol=1e-6)
    assert np.all(product.variance == 0)


@pytest.mark.parametrize(("delay", "low"), [(100.0, 0.03), (30.0, 0.10), (3.0, 0.27)])
def test_rate_in_the_middle_of_the_exposure_is_too_low(delay, low):
    """The fractions of the literature on 4-16-4 exposures at gamma 1, to a tenth of themselves."""
    law = {"amplitude": 1.0, "gamma": 1.0}
    middle = rate(delay + (MACC.frames[0][0] + MACC.end) / 2, **law)
    assert 1 - middle / product_persistence(MACC, delay=delay, **law).rate == pytest.approx(
        low, rel=0.2
    )


def test_variance_of_a_product():
    """Linear in small errors: compared with draws of amplitude and slope."""
    covariance = Covariance(4e-4, 1e-4, -1.5e-4)
    matrix = [[covariance.amplitude, covariance.cross], [covariance.cross, covariance.gamma]]
    draws = np.random.default_rng(5).multivariate_normal([1.0, 1.2], matrix, 100_000).T
    rates = product_persistence(MACC, delay=50.0, amplitude=draws[0], gamma=draws[1]).rate
    product = product_persistence(
        MACC, delay=50.0, amplitude=np.ones(3), gamma=1.2, covariance=covariance
    )
    np.testing.assert_allclose(product.variance, rates.var(), rtol=0.03)
    images = Covariance(*(np.full(3, part) for part in covariance))
    again = product_persistence(
        MACC, delay=50.0, amplitude=np.ones(3), gamma=1.2, covariance=images, systematic=0.1
    )
    np.testing.assert_allclose(
        again.variance, product.variance + (0.1 * product.rate) ** 2, rtol=1e-6
    )


def test_one_group_has_no_rate():
    with pytest.raises(ValueError, match="two groups"):
        product_persistence(GroupTimes(([1.0],)), delay=5.0, amplitude=1.0, gamma=1.0)
