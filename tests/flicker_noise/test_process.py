"""The estimate and its error against dense linear algebra."""

from dataclasses import replace

import numpy as np
import pytest

from crsteps.flicker_noise.process import FlickerProcess
from crsteps.flicker_noise.spectrum import FlickerSpectrum

N_OUTPUTS, N_BINS = 3, 120
SPECTRUM = FlickerSpectrum(
    common=np.array([2.0, 1.0, 0.5]),
    independent=np.array([0.5, 0.0, 1.5]),
    gains=np.array([1.2, 0.5, 1.13]),
    times=np.array([0.7, 6.0, 300.0]),
)


def weights_and_samples():
    """Return unequal weights with a large gap and scattered ones, and samples of noise."""
    random = np.random.default_rng(5)
    weights = random.uniform(0.1, 3, (N_OUTPUTS, N_BINS)).astype(np.float32)
    weights[:, 30:60] = 0
    weights[1, 80:] = 0
    weights[random.random(weights.shape) < 0.1] = 0
    return weights, random.normal(size=weights.shape).astype(np.float32) * 2


def covariance_of_noise(spectrum=SPECTRUM, size=None):
    """Covariance of all bins of all outputs, periodic after `size` bins."""
    place = np.arange(N_BINS)
    lags = np.abs(place[:, None] - place)
    if size:
        lags = np.minimum(lags, size - lags)
    kernels = np.exp(-lags[..., None] / spectrum.times)
    common, independent = kernels @ spectrum.common, kernels @ spectrum.independent
    gains = np.outer(spectrum.gains, spectrum.gains)
    return np.kron(gains, common) + np.kron(np.eye(N_OUTPUTS), independent)


def dense_solution(covariance, weights, values):
    """Posterior mean and covariance of the noise, solved directly."""
    used = weights.ravel() > 0
    to_samples = covariance[:, used]
    of_samples = covariance[np.ix_(used, used)] + np.diag(1 / weights.ravel()[used].astype(float))
    gain = np.linalg.solve(of_samples, to_samples.T).T
    return gain @ values.ravel()[used], covariance - gain @ to_samples.T


def test_estimate_is_the_posterior_mean():
    weights, values = weights_and_samples()
    process = FlickerProcess.from_spectrum(SPECTRUM, N_BINS)
    estimate = process.estimate(values, weights, tolerance=1e-5).ravel()
    exact, _ = dense_solution(covariance_of_noise(size=process.size), weights, values)
    assert np.abs(estimate - exact).max() < 1e-3 * exact.std()


@pytest.mark.parametrize("n_bins", [N_BINS, 40_000])
@pytest.mark.parametrize("n_outputs", [N_OUTPUTS, 1])
def test_several_at_once_are_independent(n_outputs, n_bins):
    """Each ends at its own tolerance: one without samples, and one that is easy, disturb none."""
    spectrum = replace(SPECTRUM, gains=SPECTRUM.gains[:n_outputs])
    process = FlickerProcess.from_spectrum(spectrum, n_bins)
    random = np.random.default_rng(8)
    weights = random.uniform(0, 3, (4, n_outputs, n_bins)).astype(np.float32)
    weights[0, :, 20:-20] = 0
    weights[1] = 0
    weights[2] *= 1e-3
    values = random.normal(size=weights.shape).astype(np.float32)
    together = process.estimate(values, weights)
    alone = [process.estimate(*pair) for pair in zip(values, weights, strict=True)]
    assert not together[1].any()
    np.testing.assert_allclose(together, alone, atol=1e-6 * np.abs(alone).max())


def test_default_tolerance_is_enough():
    weights, values = weights_and_samples()
    process = FlickerProcess.from_spectrum(SPECTRUM, N_BINS)
    estimate = process.estimate(values, weights).ravel()
    exact, posterior = dense_solution(covariance_of_noise(size=process.size), weights, values)
    assert np.std(estimate - exact) < 0.02 * np.sqrt(np.mean(np.diag(posterior)))


def test_ends_of_a_stream_do_not_matter_to_each_other():
    """Against a process that is not periodic, where its memory is shorter than the padding."""
    short = replace(SPECTRUM, times=np.array([0.2, 0.3, 0.4]))
    weights, values = weights_and_samples()
    process = FlickerProcess.from_spectrum(short, N_BINS)
    estimate = process.estimate(values, weights, tolerance=1e-5).ravel()
    exact, _ = dense_solution(covariance_of_noise(short), weights, values)
    assert np.abs(estimate - exact).max() < 1e-3 * exact.std()


def test_values_without_weight_are_not_used():
    weights, values = weights_and_samples()
    process = FlickerProcess.from_spectrum(SPECTRUM, N_BINS)
    estimate = process.estimate(values, weights)
    masked = np.where(weights > 0, values, np.nan)
    np.testing.assert_array_equal(process.estimate(masked, weights), estimate)


def test_nothing_is_estimated_from_nothing():
    process = FlickerProcess.from_spectrum(SPECTRUM, N_BINS)
    nothing = np.zeros((N_OUTPUTS, N_BINS), np.float32)
    assert not process.estimate(nothing, nothing).any()


def test_errors_have_the_posterior_covariance():
    weights, values = weights_and_samples()
    process = FlickerProcess.from_spectrum(SPECTRUM, N_BINS)
    random = np.random.default_rng(1)
    draws = 1000
    errors = np.array([process.sample_error(weights, random).ravel() for _ in range(draws)])
    _, posterior = dense_solution(covariance_of_noise(size=process.size), weights, values)
    ratio = errors.var(axis=0) / np.diag(posterior)
    # A variance from n draws is good to sqrt(2 / n); neighbours are correlated.
    assert np.abs(ratio - 1).max() < 6 * np.sqrt(2 / draws)
    assert ratio.mean() == pytest.approx(1, abs=0.03)
    # In the gap all outputs share, noise is known worse than beside it.
    deviation = np.sqrt(np.diag(posterior)).reshape(N_OUTPUTS, N_BINS)
    assert (deviation[:, 40:50].min(axis=1) > np.median(deviation[:, 62:75], axis=1)).all()


def test_samples_have_the_covariance_of_the_spectrum():
    process = FlickerProcess.from_spectrum(SPECTRUM, N_BINS)
    random = np.random.default_rng(2)
    samples = np.array([process.sample(random).ravel() for _ in range(4000)])
    expected = covariance_of_noise(size=process.size)
    measured = samples.T @ samples / len(samples)
    scale = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
    assert np.abs((measured - expected) / scale).max() < 6 / np.sqrt(len(samples))


def test_noise_in_wide_gaps_is_found_by_way_of_longer_bins():
    """Nine tenths are missing, in blocks longer than the memory of the fast kernels."""
    n_bins, random = 60_000, np.random.default_rng(12)
    spectrum = replace(SPECTRUM, times=np.array([2.0, 100.0, 20_000.0]))
    process = FlickerProcess.from_spectrum(spectrum, n_bins)
    noise = process.sample(random)
    blocks = random.random((N_OUTPUTS, n_bins // 500)) < 0.1
    weights = np.repeat(blocks, 500, axis=1).astype(np.float32) / 4
    values = noise + 2 * random.standard_normal(noise.shape, np.float32)
    exact = process.estimate(values, weights, tolerance=1e-6)
    error = process.estimate(values, weights) - exact
    # From zero, as many steps leave six times as much.
    assert np.std(error[weights == 0]) < 0.04 * np.std(exact)
    assert np.std(exact - noise) < 0.9 * np.std(noise)
