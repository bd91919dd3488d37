"""Tests of hits: shares of the false pixels, pairs, growth, and pure noise."""

import numpy as np
import pytest

from crsteps.detector.noise import ExposureNoise
from crsteps.mm_cosmic.detection import (
    Candidates,
    detect_hits,
    gap_shares,
    make_thresholds,
)
from crsteps.mm_cosmic.masks import MMCosmicOptions, find_cosmic_rays
from crsteps.mm_cosmic.null_model import ScenePrior, log_gap_probabilities
from crsteps.simulation.fibre_spectrograph import (
    equal_options,
    simulate_fibre_exposures,
    unequal_options,
)

EVERY_CHOICE = [(n, hits) for n in range(3, 13) for hits in range(2, n)]
SHAPE = (20, 20)
NOISE = {"read_variance": np.float32([[16]]), "poisson_factor": np.float32([[0]])}
PRIOR = ScenePrior(np.arange(0.0, 500.0, 4.0), np.zeros(125), 16.0, 0.0)
THRESHOLDS = make_thresholds(
    n_exposures=3, n_pixels=400, false_pixels=0.04, cr_coincidences=2, grow_probability=0.01
)


@pytest.mark.parametrize(("n", "hits"), EVERY_CHOICE)
def test_each_mask_gets_the_false_pixels_asked_for(n, hits):
    shares = gap_shares(n, hits)
    above = n - np.arange(1, n)  # exposures above each gap
    assert np.all(shares > 0)
    assert shares[above >= hits].sum() == pytest.approx(1)
    # A gap with m exposures above gives each of n masks m / n of its false pixels.
    assert np.sum(shares * above) / n == pytest.approx(1)


def test_two_usable_exposures_have_one_gap():
    assert gap_shares(2, 2) == pytest.approx([1])


@pytest.mark.parametrize("n", [3, 5])
def test_thresholds_scale_with_the_false_pixels(n):
    def thresholds(false_pixels, n_pixels=250_000):
        return make_thresholds(
            n_exposures=n,
            n_pixels=n_pixels,
            false_pixels=false_pixels,
            cr_coincidences=2,
            grow_probability=0.01,
        )

    one, ten = thresholds(1), thresholds(10)
    assert set(one.single) == set(range(2, n + 1))
    np.testing.assert_allclose(ten.single[n] - one.single[n], np.log(10))
    np.testing.assert_allclose(ten.pair[n] - one.pair[n], np.log(10) / 2)
    np.testing.assert_allclose(thresholds(10, 2_500_000).single[n], one.single[n])
    # Singles and pairs together make up what is asked for, with 8 n q^2 pixels in pairs.
    expected = 250_000 * (np.exp(one.single[n]) + 8 * np.exp(one.pair[n]) ** 2)
    assert np.all(expected < gap_shares(n, 2))
    assert np.all(expected > 0.8 * gap_shares(n, 2))


def test_no_threshold_is_looser_than_that_of_growth():
    loose = make_thresholds(
        n_exposures=4, n_pixels=10, false_pixels=1e6, cr_coincidences=2, grow_probability=0.01
    )
    for thresholds in (loose.single, loose.pair):
        assert all(np.all(values <= loose.grow) for values in thresholds.values())


def upper_gap(log_probability):
    """Find the height of the third of three exposures, 100 and 102, that has a probability."""
    heights = np.linspace(102, 180, 2000, dtype=np.float32)
    values = np.stack([np.full(2000, 100), np.full(2000, 102), heights], axis=1)
    found = log_gap_probabilities(
        values.astype(np.float32),
        read_variance=np.broadcast_to(NOISE["read_variance"], (2000, 1)),
        poisson_factor=np.broadcast_to(NOISE["poisson_factor"], (2000, 1)),
        extra_variance=0.0,
        relative_variance=0.0,
        prior=PRIOR,
    )[:, 1]
    return heights[np.argmin(np.abs(found - log_probability))]


def detect(third):
    """Detect in exposures of 100, 102 and an image."""
    values = np.stack([np.full(400, 100), np.full(400, 102), third.ravel()], axis=1)
    candidates = Candidates(
        np.arange(400),
        values.astype(np.float32),
        np.broadcast_to(NOISE["read_variance"], (400, 1)),
        np.broadcast_to(NOISE["poisson_factor"], (400, 1)),
        np.zeros(400, np.float32),
    )
    return detect_hits(
        candidates,
        shape=SHAPE,
        thresholds=THRESHOLDS,
        false_pixels=0.04,
        relative_variance=0.0,
        prior=PRIOR,
    )


def test_pairs_need_less_than_single_pixels():
    between = (THRESHOLDS.single[3][1] + THRESHOLDS.pair[3][1]) / 2
    third = np.full(SHAPE, 102.0)
    third[3, 3] = third[10, 10] = third[11, 11] = upper_gap(between)
    third[16, 4] = upper_gap(THRESHOLDS.single[3][1] - 1)
    hits, _, log_probability = detect(third)
    expected = np.zeros(SHAPE, dtype=bool)
    expected[10, 10] = expected[11, 11] = expected[16, 4] = True
    np.testing.assert_array_equal(hits[2], expected)
    assert not hits[:2].any()
    assert log_probability[3, 3] == pytest.approx(between, abs=0.1)
    assert log_probability[0, 0] == 0


def test_growth_is_along_connected_pixels():
    third = np.full(SHAPE, 102.0)
    third[5, 5] = 180
    third[5, 6:10] = third[15, 6] = upper_gap(np.log(0.008))
    hits, _, _ = detect(third)
    assert hits[2, 5, 5:10].all()
    assert hits[2].sum() == 5


def test_probable_neighbours_are_suspects():
    third = np.full(SHAPE, 102.0)
    third[5, 5] = 180
    third[5, 6] = third[9, 9] = upper_gap(np.log(0.05))
    hits, suspects, _ = detect(third)
    assert hits[2].sum() == 1
    assert list(zip(*np.nonzero(suspects[2]), strict=True)) == [(5, 6)]


@pytest.mark.parametrize(
    ("make", "changes"),
    [(equal_options, {}), (equal_options, {"n_exposures": 5}), (unequal_options, {})],
    ids=["equal", "five", "unequal"],
)
@pytest.mark.parametrize("asked", [10, 100])
def test_pure_noise_gives_the_false_pixels_asked_for(make, changes, asked):
    """Within a factor of two, as promised; below rather than above by pixels in both tests."""
    options = make(shape=(192, 256), hit_fraction=0, n_crossings=0, **changes)
    median, single = [], []
    for seed in range(4):
        exposures = simulate_fibre_exposures(options, seed=50 + seed)
        result = find_cosmic_rays(
            exposures.data,
            noise=ExposureNoise.from_gain(1.0, 3.4),
            options=MMCosmicOptions(false_pixels=asked),
        )
        median.append(result.mediancr.sum())
        single.append(result.exposure_masks.sum() / options.n_exposures)
    for found in (np.mean(median), np.mean(single)):
        error = np.sqrt(asked / len(median))
        assert 0.5 * asked - 2 * error < found < 1.5 * asked + 2 * error
