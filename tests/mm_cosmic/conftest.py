"""Simulated exposures and what was found in them, made once for all tests of MM.Cosmic."""

from dataclasses import dataclass

import pytest

from crsteps.detector.noise import ExposureNoise
from crsteps.mm_cosmic.combination import combine
from crsteps.mm_cosmic.masks import MMCosmicResult, find_cosmic_rays
from crsteps.simulation.fibre_spectrograph import (
    FibreExposures,
    equal_options,
    simulate_fibre_exposures,
    unequal_options,
)


@dataclass(frozen=True)
class Found:
    """Simulated exposures, in e-, with their masks and combinations."""

    exposures: FibreExposures
    noise: ExposureNoise
    result: MMCosmicResult
    combined: dict


def found_in(options, seed):
    exposures = simulate_fibre_exposures(options, seed=seed)
    noise = ExposureNoise.from_gain(1.0, options.read_noise)
    result = find_cosmic_rays(exposures.data, noise=noise)
    return Found(exposures, noise, result, combine(exposures.data, result, noise=noise))


@pytest.fixture(scope="session")
def equal_scene():
    """Return three equal exposures of 512 x 512 pixels."""
    return found_in(equal_options(), seed=1)


@pytest.fixture(scope="session")
def unequal_scene():
    """Return three exposures of 512 x 512 pixels of different flux, position and fibres."""
    return found_in(unequal_options(), seed=1)
