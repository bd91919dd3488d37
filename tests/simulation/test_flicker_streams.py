"""Mixtures of common and independent flicker noise."""

import numpy as np
import pytest

from crsteps.detector.readout import Readout
from crsteps.simulation.flicker_ramps import FlickerRampOptions
from crsteps.simulation.flicker_streams import PUBLISHED_MIXTURE, flicker_frames, with_mixture


def test_published_mixture_of_the_same_total():
    options = FlickerRampOptions(readout=Readout(shape=(8, 8)), common_rms=4.0, independent_rms=3.0)
    mixed = with_mixture(options, PUBLISHED_MIXTURE)
    assert mixed.common_rms / mixed.independent_rms == pytest.approx(3)
    assert mixed.common_rms**2 + mixed.independent_rms**2 == pytest.approx(25)
    assert with_mixture(options, 0).common_rms == 0
    assert with_mixture(options, 0).independent_rms == 5


def test_outputs_are_correlated_as_the_mixture_says():
    """Correlation of the changes of two outputs: variance of the common part over the total."""
    options = FlickerRampOptions(
        readout=Readout(shape=(8, 16), n_outputs=2),
        n_integrations=4000,
        n_groups=2,
        alternating_rms=0.0,
    )
    for ratio, expected in ((1.0, 0.5), (PUBLISHED_MIXTURE, 0.9)):
        frames = flicker_frames(with_mixture(options, ratio), np.random.default_rng(1))
        change = np.array([frame[1] - frame[0] for frame in frames])
        first, second = change[:, 0].ravel(), change[:, 1].ravel()
        assert np.mean(change**2) == pytest.approx(12.5, rel=0.1)
        assert np.corrcoef(first, second)[0, 1] == pytest.approx(expected, abs=0.05)
