"""The line in the diagram against the normal distribution and against what is flagged."""

import numpy as np
import pytest
from scipy.stats import norm

from crsteps.detector.noise import ExposureNoise
from crsteps.mm_cosmic.boundary import detection_boundary
from crsteps.mm_cosmic.masks import find_cosmic_rays

READ_NOISE, N_PIXELS = 3.0, 100 * 200


def noise_around(level, n_exposures):
    """Return exposures of an even scene."""
    random = np.random.default_rng(5)
    return random.normal(level, READ_NOISE, (n_exposures, 100, 200)).astype(np.float32)


def masked(n_exposures):
    """Mask exposures of an even scene with practically nothing but read noise."""
    noise = ExposureNoise.from_gain(1e6, READ_NOISE)
    return find_cosmic_rays(noise_around(50.0, n_exposures), noise=noise)


def boundary(result, n_exposures, cr_coincidences=2, false_pixels=1.0):
    return detection_boundary(
        result,
        n_exposures=n_exposures,
        cr_coincidences=cr_coincidences,
        false_pixels=false_pixels,
        n_pixels=N_PIXELS,
    )


def test_even_scene_has_the_closed_form():
    """With the scene known, two of three exceed the lowest with the square of a ratio of tails."""
    signal, difference = boundary(masked(3), 3)
    lowest = 50 - 0.85 * READ_NOISE  # where the lowest of three usually is
    gap = np.interp(lowest, signal, difference)
    tails = norm.logsf([lowest + gap, lowest], 50, READ_NOISE)
    log_probability = 2 * (tails[0] - tails[1])
    # False pixels asked for, shared between single pixels, pairs and tracks: a fraction of 1/2 e4.
    assert np.log(0.05 / N_PIXELS) < log_probability < np.log(1 / N_PIXELS)


def test_more_false_pixels_asked_for_lower_the_line():
    result = masked(3)
    strict, loose = (boundary(result, 3, false_pixels=number)[1] for number in (1, 100))
    assert np.all(loose < strict)


def test_median_of_four_is_the_mean_of_the_middle_two():
    result = masked(4)
    two, three = boundary(result, 4, 2), boundary(result, 4, 3)
    # With two hits only one of the middle values is hit; with three both are.
    assert np.median(three[1]) > 1.2 * np.median(two[1])


@pytest.mark.parametrize(("n_exposures", "hits"), [(5, 2), (6, 2), (12, 5)])
def test_no_line_where_the_median_survives_the_hits(n_exposures, hits):
    assert boundary(masked(n_exposures), n_exposures, hits) is None


def test_pixels_above_the_line_are_flagged_and_those_below_are_not():
    """Equal hits in two of three, alone in their surroundings, 10 % below and above the line."""
    lowest = 50 - 0.85 * READ_NOISE
    gap = np.interp(lowest, *boundary(masked(3), 3))
    exposures = noise_around(50.0, 3)
    places = [(y, x) for y in range(10, 100, 20) for x in range(10, 200, 20)]
    for number, (y, x) in enumerate(places):
        exposures[:, y - 1 : y + 2, x - 1 : x + 2] = 50
        exposures[0, y, x] = lowest
        exposures[1:, y, x] = lowest + gap * (1.1 if number % 2 else 0.9)
    noise = ExposureNoise.from_gain(1e6, READ_NOISE)
    flagged = find_cosmic_rays(exposures, noise=noise).mediancr
    found = np.array([flagged[place] for place in places])
    assert found[1::2].all()
    assert not found[::2].any()
