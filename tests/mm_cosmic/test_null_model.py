"""Null probabilities: uniform on simulated noise, and equal to the integral they stand for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.integrate import quad
from scipy.stats import norm

from crsteps.mm_cosmic.null_model import (
    ScenePrior,
    estimate_scene_prior,
    from_scale,
    log_gap_probabilities,
    to_scale,
)

READ_NOISE = 3.4


def simulated(signal, n_exposures, seed=1):
    """Sorted Poisson plus normal values of pixels of given signals."""
    random = np.random.default_rng(seed)
    shape = (signal.size, n_exposures)
    values = random.poisson(signal[:, None], shape) + random.normal(0, READ_NOISE, shape)
    return np.sort(values, axis=1).astype(np.float32)


def mixture_scene(n_pixels):
    """Signals of dark sky, fibres of many levels and a few lines, in e-."""
    random = np.random.default_rng(11)
    kind = random.random(n_pixels)
    fibres = np.exp(random.uniform(np.log(3), np.log(300), n_pixels))
    lines = random.uniform(300, 3000, n_pixels)
    return np.where(kind < 0.5, 2.0, np.where(kind < 0.97, fibres, lines))


def null_probabilities(values):
    n_pixels, n_exposures = values.shape
    read = np.full((n_pixels, 1), READ_NOISE**2, dtype=np.float32)
    prior = estimate_scene_prior(
        values[:, 0], n_exposures=n_exposures, read_variance=READ_NOISE**2, poisson_factor=1.0
    )
    return np.exp(
        log_gap_probabilities(
            values,
            read_variance=read,
            poisson_factor=np.ones_like(read),
            extra_variance=0.0,
            relative_variance=0.0,
            prior=prior,
        )
    )


@pytest.mark.parametrize("n_exposures", [3, 4, 5])
def test_uniform_over_a_mixture_of_signals(n_exposures):
    n_pixels = 200_000
    probability = null_probabilities(simulated(mixture_scene(n_pixels), n_exposures))
    for level, share in ((1e-1, 0.15), (1e-2, 0.15), (1e-3, 0.15), (1e-4, 0.5)):
        found = (probability < level).sum(axis=0)
        expected = n_pixels * level
        assert np.all(np.abs(found - expected) < share * expected + 3 * np.sqrt(expected))


@pytest.mark.parametrize(
    ("n_exposures", "signal"), [(3, 0.0), (3, 20.0), (3, 500.0), (5, 2.0), (5, 500.0)]
)
def test_even_scenes_give_no_more_false_pixels_than_asked(signal, n_exposures):
    n_pixels = 60_000
    probability = null_probabilities(simulated(np.full(n_pixels, signal), n_exposures))
    for level in (1e-1, 1e-2, 1e-3, 1e-4):
        found = (probability < level).sum(axis=0)
        expected = n_pixels * level
        assert np.all(found < 1.2 * expected + 3 * np.sqrt(expected))
        # What may be lost in an even scene: it is known worse than its own noise.
        assert np.all(found > 0.4 * expected - 3 * np.sqrt(expected))


# Bright, so that noise is nearly normal; an exponential prior, known in closed form.
CASES = [
    # values, read variances, Poisson factor
    ((990.0, 1003.0, 1070.0), (400.0, 400.0, 400.0), 0.0),
    ((990.0, 1003.0, 1120.0, 1130.0), (400.0, 400.0, 400.0, 400.0), 0.0),
    ((990.0, 1003.0, 1070.0), (400.0, 250.0, 500.0), 0.0),
    ((990.0, 1003.0, 1070.0), (400.0, 40.0, 600.0), 0.0),
    ((960.0, 1003.0, 1020.0), (1000.0, 10.0, 10.0), 0.0),
    ((1000.0, 1003.0, 1006.0, 1070.0), (10.0, 1000.0, 10.0, 400.0), 0.0),
]


@pytest.mark.parametrize(("values", "read_variance", "poisson_factor"), CASES)
@pytest.mark.parametrize("slope", [0.0, 0.03])
def test_equal_to_the_integral_of_the_docstring(values, read_variance, poisson_factor, slope):
    sigma = np.sqrt(np.array(read_variance))
    signal = np.arange(0.0, 2000.0, 5.0)
    prior = ScenePrior(signal, -slope * signal, 400.0, 0.0)

    def integral(n_lower, gap_at):
        def integrand(mu):
            log = -slope * (mu - 1000)
            log += norm.logpdf(values[:n_lower], mu, sigma[:n_lower]).sum()
            return np.exp(log + norm.logsf(gap_at, mu, sigma[n_lower:]).sum() + 20)

        return quad(integrand, 700, 1400, points=values, epsabs=0, epsrel=1e-8, limit=500)[0]

    expected = [
        np.log(integral(k, values[k]) / integral(k, values[k - 1])) for k in range(1, len(values))
    ]
    result = log_gap_probabilities(
        np.float32([values]),
        read_variance=np.float32([read_variance]),
        poisson_factor=np.float32([[poisson_factor]]),
        extra_variance=0.0,
        relative_variance=0.0,
        prior=prior,
    )
    assert_allclose(result[0], expected, atol=0.03, rtol=0.005)


def test_equal_noise_may_be_given_once_or_for_each_exposure():
    values = simulated(mixture_scene(300), 4)
    prior = ScenePrior(np.arange(-20.0, 3500, 4), np.zeros(880), READ_NOISE**2, 1.0)
    read = np.full((300, 1), READ_NOISE**2, dtype=np.float32)
    once, each, mixed = (
        log_gap_probabilities(
            values,
            read_variance=np.repeat(read, n_read, axis=1),
            poisson_factor=np.ones((300, n_poisson), dtype=np.float32),
            extra_variance=1.0,
            relative_variance=1e-4,
            prior=prior,
        )
        for n_read, n_poisson in ((1, 1), (4, 4), (4, 1))
    )
    assert_allclose(each, once, atol=1e-4)
    assert_allclose(mixed, once, atol=1e-4)


def test_extra_variance_makes_gaps_more_probable():
    values = np.float32([[100, 105, 160]])
    prior = ScenePrior(np.arange(0.0, 1000, 5), np.zeros(200), READ_NOISE**2, 1.0)
    noise = {"read_variance": np.float32([[9]]), "poisson_factor": np.float32([[1]])}
    plain, extra, relative = (
        log_gap_probabilities(values, **noise, extra_variance=e, relative_variance=r, prior=prior)[
            0, -1
        ]
        for e, r in ((0.0, 0.0), (100.0, 0.0), (0.0, 0.007))
    )
    assert plain < extra - 3
    assert relative == pytest.approx(extra, abs=0.6)  # at 120 e-


@given(
    st.lists(st.floats(-1e4, 1e5), min_size=1, max_size=20),
    st.floats(0.1, 1e3),
    st.floats(0, 10),
)
def test_scales_are_inverse(signal, read_variance, poisson_factor):
    noise = {"read_variance": read_variance, "poisson_factor": poisson_factor}
    place = to_scale(np.array(signal), **noise)
    assert_allclose(from_scale(place, **noise), signal, rtol=1e-5, atol=1e-5)


def test_scale_has_unit_noise():
    signal = np.array([-30.0, 0.0, 5.0, 100.0, 2e4])
    step = 0.01 * np.sqrt(9 + np.maximum(signal, 0))
    noise = {"read_variance": 9.0, "poisson_factor": 1.0}
    above, below = (to_scale(signal + sign * step, **noise) for sign in (1, -1))
    assert_allclose((above - below) / 0.02, 1, rtol=0.01)


def test_prior_recovers_two_components():
    signal = np.where(np.random.default_rng(2).random(100_000) < 0.25, 400.0, 30.0)
    prior = estimate_scene_prior(
        simulated(signal, 3)[:, 0], n_exposures=3, read_variance=READ_NOISE**2, poisson_factor=1.0
    )
    weight = np.exp(prior.log_density) * np.gradient(prior.signal)
    assert weight.sum() == pytest.approx(1, rel=1e-3)
    bright = prior.signal > 150
    assert weight[bright].sum() == pytest.approx(0.25, abs=0.01)
    for component, level in ((~bright, 30.0), (bright, 400.0)):
        mean = np.average(prior.signal[component], weights=weight[component])
        assert mean == pytest.approx(level, rel=0.03)
        scatter = np.average((prior.signal[component] - mean) ** 2, weights=weight[component])
        # Deconvolved: narrower than the noise of a single exposure.
        assert scatter < 0.6 * (level + READ_NOISE**2)


def test_prior_is_not_stretched_by_hot_and_dead_pixels():
    values = simulated(np.full(20_000, 50.0), 3)[:, 0]
    values[:3], values[3:6] = 1e9, -1e9
    prior = estimate_scene_prior(
        values, n_exposures=3, read_variance=READ_NOISE**2, poisson_factor=1.0
    )
    assert prior.signal.size < 2000
    near = np.abs(prior.signal - 50) < 15
    assert np.sum(np.exp(prior.log_density) * np.gradient(prior.signal) * near) > 0.95


def test_prior_without_values_is_refused():
    with pytest.raises(ValueError, match="no pixel has two usable exposures"):
        estimate_scene_prior(
            np.float32([np.nan]), n_exposures=3, read_variance=9.0, poisson_factor=1.0
        )
