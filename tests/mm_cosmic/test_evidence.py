"""What flags of detectors are worth: counted by hand, and against simulated truth."""

from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from crsteps.cosmic_rays.auxiliary import AuxiliaryDetection
from crsteps.detector.noise import ExposureNoise
from crsteps.mm_cosmic import evidence
from crsteps.mm_cosmic.auxiliary_images import AuxiliaryImages
from crsteps.mm_cosmic.evidence import evidence_levels, measure_log_odds, rising_detections
from crsteps.mm_cosmic.examination import examine
from crsteps.mm_cosmic.masks import MMCosmicOptions, checked_reader, detect
from crsteps.simulation.fibre_spectrograph import equal_options, simulate_fibre_exposures

NOISE = ExposureNoise.from_gain(1.0, 3.4)


def odds_of(levels, hit, log_p, shape=(40, 50)):
    """Log odds of one exposure of which every pixel is a candidate."""
    candidates = SimpleNamespace(index=np.arange(np.prod(shape)))
    column = [np.reshape(values, (-1, 1)) for values in (levels, log_p)]
    return measure_log_odds(column[0].astype(np.uint8), hit[None], candidates, column[1])


def counted_image():
    """One row of hits; above it pixels beside them; far below pixels on their own."""
    shape = (40, 50)
    hit = np.zeros(shape, dtype=bool)
    hit[10] = True
    log_p = np.zeros(shape)
    log_p[10] = np.log(1e-3)
    log_p[9] = np.log(0.05)
    log_p[20:30] = np.log(1e-4)
    levels = np.zeros(shape, dtype=np.uint8)
    levels[10, :30] = 1  # 30 of 50 hits
    levels[9, :10] = 1  # 10 of 50 beside
    levels[20, :5] = 1  # 5 of 500 on their own
    return levels, hit, log_p


def test_ratios_of_frequencies(monkeypatch):
    monkeypatch.setattr(evidence, "_PSEUDO_PIXELS", 1e-9)
    alone, beside = np.exp(odds_of(*counted_image()))
    assert_allclose(alone, [0.4 / 0.99, 0.6 / 0.01], rtol=1e-3)
    assert_allclose(beside, [0.4 / 0.8, 0.6 / 0.2], rtol=1e-3)


def test_few_pixels_tell_little():
    levels, hit, log_p = counted_image()
    alone, beside = odds_of(levels, hit, log_p)
    assert 0 < beside[1] < np.log(3)
    assert 0 < alone[1] < np.log(60)
    log_p[10, 1:] = -1e3  # one hit alone is neither easy nor impossible
    fewer = odds_of(levels, hit, log_p)
    assert 0 < fewer[1, 1] < beside[1] / 2


def test_no_pixels_tell_nothing():
    shape = (40, 50)
    nothing = np.zeros(shape, dtype=bool)
    assert_allclose(odds_of(np.ones(shape), nothing, np.zeros(shape)), 0, atol=1e-6)
    assert_allclose(odds_of(np.zeros(shape), nothing, np.zeros(shape)), 0, atol=1e-6)


def test_mean_weight_of_pixels_without_hits_is_one(monkeypatch):
    monkeypatch.setattr(evidence, "_PSEUDO_PIXELS", 1e-9)
    levels, hit, log_p = counted_image()
    levels[20:30] += np.random.default_rng(1).integers(0, 3, (10, 50)).astype(np.uint8)
    weights = np.exp(odds_of(levels, hit, log_p)[0])
    frequencies = np.bincount(levels[20:30].ravel(), minlength=weights.size) / 500
    of_hits = np.bincount(levels[10], minlength=weights.size) > 0
    assert_allclose(np.sum(weights * frequencies), 1, rtol=1e-3)
    assert np.all(weights[~of_hits] < 1e-3)


def test_classes_of_masks_and_probabilities():
    mask = np.array([[False, True, False, True]])
    probability = np.float32([[0.0, 0.6, 0.4, 1.0]])
    plain, network = AuxiliaryDetection(mask), AuxiliaryDetection(mask, probability=probability)
    levels = evidence_levels(AuxiliaryImages(("conn",), plain, None, (plain, network)))
    assert_array_equal(levels[0], [[0, 1, 0, 1]])
    # Eight classes of probability, and as many again for flagged pixels.
    assert_array_equal(levels[1], [[0, 8 + 4, 3, 8 + 7]])


def noise_with_flags(n_flagged, seed):
    """Exposures without hits, and flags that fall on them by chance."""
    options = equal_options(shape=(256, 256), hit_fraction=0, n_crossings=0)
    data = simulate_fibre_exposures(options, seed=seed).data
    random = np.random.default_rng(seed)
    flags = random.random(data.shape) < n_flagged / data[0].size
    return data, flags


def test_flags_by_chance_leave_the_false_pixels_asked_for():
    options = MMCosmicOptions(false_pixels=30.0)
    counts = []
    for seed in (1, 2, 3):
        data, flags = noise_with_flags(3000, seed)
        examination = examine(checked_reader(data, NOISE, None, options), options)
        found = [
            detect(examination, options, levels=levels)[0].sum()
            for levels in (None, flags.astype(np.uint8))
        ]
        counts.append(found)
    without, weighted = np.sum(counts, axis=0)
    assert 120 < without < 420  # 3 x 3 masks of 30 at most
    assert abs(weighted - without) < 0.35 * without


def flat_exposures():
    """Three exposures of 100 e- that are equal but for some pixels, and their examination."""
    options = MMCosmicOptions(equivalence="none")
    data = np.full((3, 30, 40), np.float32(100))
    data += np.random.default_rng(1).normal(0, 1e-3, data.shape).astype(np.float32)
    sigma = np.sqrt(3.4**2 + 100)
    data[0, 5, 5:8] += np.float32(sigma * np.array([4, 7, 2]))
    data[0, 10, 5:8] += np.float32(sigma * np.array([4, 5, 4]))
    data[1:, 15, 5:8] += np.float32(sigma * 8)
    data[1:, 20, 20] = np.nan
    return options, examine(checked_reader(data, NOISE, None, options), options)


def detections(exposures, median):
    found = [AuxiliaryDetection(mask) for mask in (median, *exposures)]
    return AuxiliaryImages(("lacosmic",), found[0], None, tuple(found[1:]))


@pytest.mark.parametrize("block_rows", [None, 7])
def test_features_that_rise_above_the_others(block_rows):
    options, examination = flat_exposures()
    options = MMCosmicOptions(equivalence="none", block_rows=block_rows)
    flags = np.zeros((3, 30, 40), dtype=bool)
    flags[0, 5, 4:9] = flags[0, 10, 4:9] = flags[0, 20, 20] = flags[2, 25, 25] = True
    median = np.zeros((30, 40), dtype=bool)
    median[15, 4:9] = True
    found = rising_detections(examination, detections(flags, median), options)
    expected = np.zeros_like(flags)
    expected[0, 5, 5:7] = True  # two pixels above 3 sigma, one of them above 6
    expected[1:, 15, 5:8] = True  # flagged in the median, high in two exposures
    expected[0, 20, 20] = True  # the only usable exposure
    assert_array_equal(found, expected)


def test_without_flags_nothing_rises():
    options, examination = flat_exposures()
    none = np.zeros((3, 30, 40), dtype=bool)
    assert not rising_detections(examination, detections(none, none[0]), options).any()
