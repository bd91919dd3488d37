"""Noise model against SciPy's normal distribution and the exact convolution with Poisson."""

import numpy as np
import pytest
from scipy.stats import norm, poisson

from crsteps.detector.noise import ExposureNoise, log_survival, normal_score, score_parameters


def exact_log_tail(value, signal, read_noise):
    """Sum over counts of Poisson times the normal tail beyond a value."""
    reach = 10 * np.sqrt(signal) + 30
    counts = np.arange(max(int(signal - reach), 0), signal + reach)
    terms = poisson.logpmf(counts, signal) + norm.logsf(value, counts, read_noise)
    return np.logaddexp.reduce(terms)


def score_of(value, signal, read_noise):
    parameters = score_parameters(signal + read_noise**2, signal)
    return normal_score(value - signal, *parameters)


def test_log_survival_is_that_of_scipy():
    score = np.linspace(-8, 12, 2001, dtype=np.float32)
    expected = norm.logsf(score.astype(float))
    # In the lower half the logarithm itself is tiny: its absolute error counts.
    np.testing.assert_allclose(log_survival(score), expected, rtol=2e-6, atol=2e-7)


def test_log_survival_is_finite_far_out():
    score = np.float32([-1e4, -40, 40, 1e4])
    result = log_survival(score)
    assert np.all(np.isfinite(result))
    assert result[2] == pytest.approx(norm.logsf(40), rel=1e-5)


@pytest.mark.parametrize(
    ("read_noise", "limits"), [(1.0, (0.5, 2.0)), (3.4, (0.8, 1.2)), (10.0, (0.8, 1.2))]
)
@pytest.mark.parametrize("signal", [0.5, 3.0, 10.0, 40.0, 200.0, 2000.0])
def test_tails_are_those_of_the_exact_convolution(read_noise, limits, signal):
    sigma = np.sqrt(signal + read_noise**2)
    for deviation in (1.0, 2.0, 3.0, 4.0, 5.0):
        value = signal + deviation * sigma
        tail = norm.logsf(score_of(value, signal, read_noise)[0])
        ratio = np.exp(tail - exact_log_tail(value, signal, read_noise))
        assert limits[0] < ratio < limits[1]


def test_skewness_matters():
    """The plain normal tail at five sigma is wrong several times where the docstring says so."""
    signal, read_noise = 200.0, 3.4
    sigma = np.sqrt(signal + read_noise**2)
    exact = exact_log_tail(signal + 5 * sigma, signal, read_noise)
    assert exact - norm.logsf(5) > np.log(2)


@pytest.mark.parametrize("read_noise", [1.0, 3.4, 10.0])
@pytest.mark.parametrize("signal", [0.0, 1.0, 30.0, 1000.0])
def test_density_integrates_to_one_and_is_the_slope_of_the_tail(read_noise, signal):
    sigma = np.sqrt(signal + read_noise**2)
    value = signal + np.linspace(-9, 12, 20001) * sigma
    score, log_density = score_of(value, signal, read_noise)
    density = np.exp(log_density) / np.sqrt(2 * np.pi)
    assert np.trapezoid(density, value) == pytest.approx(1, abs=1e-6)
    inside = np.abs(value - signal) < 3 * sigma
    slope = -np.gradient(norm.sf(score), value)
    np.testing.assert_allclose(slope[inside], density[inside], rtol=0.01, atol=1e-4 / sigma)


@pytest.mark.parametrize("gain", [0.5, 2.0, 7.3])
def test_units_do_not_matter(gain):
    electrons = np.linspace(-20, 3000, 50)
    in_electrons = ExposureNoise.from_gain(1.0, 4.0).variance(electrons)
    in_adu = ExposureNoise.from_gain(gain, 4.0 / gain).variance(electrons / gain)
    np.testing.assert_allclose(in_adu * gain**2, in_electrons, rtol=1e-6)
    signal, deviation = 50.0, np.linspace(-20, 60, 9)
    reference = normal_score(deviation, *score_parameters(signal + 16.0, signal))
    parameters = score_parameters((signal + 16) / gain**2, signal / gain / gain**2)
    score, log_density = normal_score(deviation / gain, *parameters)
    np.testing.assert_allclose(score, reference[0], rtol=1e-9)
    np.testing.assert_allclose(log_density, reference[1] + np.log(gain), rtol=1e-9)


def test_variance_of_negative_signal_is_the_read_noise():
    noise = ExposureNoise.from_gain([1.0, 2.0], 3.0)
    np.testing.assert_allclose(noise.variance(np.full((1, 2), -5.0)), 9.0)
    np.testing.assert_allclose(noise.variance(np.full((1, 2), 8.0))[:, 0, 0], [17, 13])


def test_largest_variance_is_that_of_the_noisiest_exposure():
    noise = ExposureNoise.from_gain([1.0, 1.0, 1.0], [3.0, 5.0, 4.0])
    signal = np.array([[-3.0, 0.0, 11.0]])
    np.testing.assert_allclose(noise.largest_variance(signal), [[25, 25, 36]])


def test_images_of_gain_and_read_noise_belong_to_pixels():
    gain = np.array([[1.0, 2.0], [4.0, 0.5], [1.0, 1.0]])
    noise = ExposureNoise.from_gain(gain, 2.0)
    assert noise.poisson_factor.shape == (1, 3, 2)
    signal = np.full((3, 2), 8.0)
    np.testing.assert_allclose(noise.largest_variance(signal), 4 + 8 / gain)
    np.testing.assert_allclose(noise.rows(slice(1, 2)).variance(signal[1:2]), [[[6, 20]]])


def test_rows_of_a_constant_are_the_constant():
    noise = ExposureNoise.from_gain([1.0, 2.0, 4.0], 3.0)
    np.testing.assert_array_equal(noise.rows(slice(5, 9)).poisson_factor, noise.poisson_factor)


@pytest.mark.parametrize("gain", [0.0, -1.0, np.nan, np.inf])
def test_impossible_gain_is_refused(gain):
    with pytest.raises(ValueError, match="gain must be positive and finite"):
        ExposureNoise.from_gain(gain, 3.0)


@pytest.mark.parametrize("read_noise", [0.0, -1.0, np.nan, np.inf])
def test_impossible_read_noise_is_refused(read_noise):
    with pytest.raises(ValueError, match="read noise must be positive and finite"):
        ExposureNoise.from_gain(1.0, read_noise)
