"""Expected diagram against order statistics in closed form."""

import numpy as np
import pytest
from scipy import integrate, stats

from crsteps.mm_cosmic.expected_diagram import expected_counts
from crsteps.mm_cosmic.null_model import ScenePrior

WIDE = np.array([-1e6, 1e6])


def prior_at(signal, *, read_variance=9.0, poisson_factor=0.0):
    """Return a scene of nearly one signal."""
    signals = signal + np.linspace(-1e-3, 1e-3, 5)
    return ScenePrior(signals, np.zeros(5), read_variance, poisson_factor)


def share_above(gap):
    """Probability that the median of three standard normal values exceeds the lowest by a gap."""
    survival = stats.norm.sf
    return integrate.quad(
        lambda low: 3 * stats.norm.pdf(low) * survival(low + gap) ** 2, -np.inf, np.inf
    )[0]


@pytest.mark.parametrize("gap", [0.5, 1.0, 2.0])
def test_gaps_of_three_exposures_are_as_often_exceeded_as_they_should(gap):
    counts = expected_counts(
        prior_at(50.0),
        n_exposures=3,
        cr_coincidences=2,
        n_pixels=400_000,
        relative_variance=0.0,
        x_edges=WIDE,
        y_edges=np.array([0, 3 * gap, 1e6]),
    )
    assert counts.sum() == pytest.approx(400_000, rel=1e-6)
    expected = 400_000 * share_above(gap)
    assert counts[1, 0] == pytest.approx(expected, abs=5 * np.sqrt(expected))


@pytest.mark.parametrize(("poisson", "relative"), [(0.5, 0.0), (0.0, 0.01), (0.5, 0.01)])
def test_the_noise_grows_with_the_signal(poisson, relative):
    """The median minus the lowest of three is on average 0.846 sigma."""
    y_edges = np.linspace(0, 200, 2001)
    counts = expected_counts(
        prior_at(100.0, poisson_factor=poisson),
        n_exposures=3,
        cr_coincidences=2,
        n_pixels=200_000,
        relative_variance=relative,
        x_edges=WIDE,
        y_edges=y_edges,
    )
    mean = np.average((y_edges[1:] + y_edges[:-1]) / 2, weights=counts[:, 0])
    sigma = np.sqrt(9 + poisson * 100 + relative * 100**2)
    assert mean == pytest.approx(3 / (2 * np.sqrt(np.pi)) * sigma, rel=0.01)


def test_signals_follow_the_distribution_of_the_scene():
    """Without noise the minimum signal is the scene's, here with a density that rises linearly."""
    signals = np.linspace(1.0, 101.0, 401)
    prior = ScenePrior(signals, np.log(signals - 0.999), 1e-12, 0.0)
    counts = expected_counts(
        prior,
        n_exposures=5,
        cr_coincidences=2,
        n_pixels=10_000_000,  # more than are drawn
        relative_variance=0.0,
        x_edges=np.array([0, 26, 51, 76, 102.0]),
        y_edges=np.array([-1, 1.0]),
    )
    np.testing.assert_allclose(counts[0] / 1e7, np.array([1, 3, 5, 7]) / 16, rtol=1e-3)
