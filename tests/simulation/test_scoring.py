"""Scores of hand-made masks, and what holds for every mask."""

from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from crsteps.simulation.scoring import rms_error, score_masks

SHAPE = (3, 6, 7)
STRENGTHS = arrays(np.float32, SHAPE, elements=st.sampled_from([0.0, 0.2, 1.0, 2.9, 3.1, 50.0]))


@pytest.fixture
def charge():
    """Charge in three exposures of a 30 x 40 detector with unit noise, none by default."""
    return np.zeros((3, 30, 40), np.float32)


def test_masks_of_exposures(charge):
    charge[0, 5, 5:9] = 10  # hit
    charge[0, 5, 9] = 1  # not scored
    masks = np.zeros(charge.shape, bool)
    masks[0, 5, 5:8] = True  # three of the four found
    masks[0, 5, 9] = True  # not scored
    masks[0, 6, 5] = True  # false, beside the track
    masks[1, 5, 5] = True  # hit in another exposure only: false
    score = score_masks(masks, charge, 1.0)
    assert score.n_true == 4
    assert score.n_flagged == 5
    assert score.recall == pytest.approx(3 / 4)
    assert score.precision == pytest.approx(3 / 5)
    assert score.f1 == pytest.approx(2 * 3 / (4 + 5))
    assert score.n_false_far == 0


def test_mask_of_median(charge):
    charge[:2, 4, 4] = 10  # hit in two
    charge[0, 4, 5] = 10  # hit in one: not a positive
    charge[0, 4, 6], charge[1, 4, 6] = 10, 1  # the second-largest is not scored
    charge[:, 4, 7] = 10, 4, 4  # hit in three
    mask = np.zeros(charge.shape[1:], bool)
    mask[4, 4:7] = True
    score = score_masks(mask, charge, 1.0, n_required=2)
    assert (score.n_true, score.n_flagged) == (2, 2)
    assert score.recall == score.precision == score.f1 == pytest.approx(1 / 2)


def test_limits_are_in_standard_deviations(charge):
    charge[0, 4, 4] = 10
    mask = np.zeros(charge.shape, bool)
    assert score_masks(mask, charge, 3.0).n_true == 1
    assert score_masks(mask, charge, 4.0).n_true == 0
    sigma = np.full(charge.shape, 3.0)
    sigma[0, 4, 4] = 4.0
    assert score_masks(mask, charge, sigma).n_true == 0


def test_far_false_pixels(charge):
    charge[2, 10, 10] = 0.4  # enough to be near a cosmic ray
    charge[2, 25, 30] = 0.2  # not enough
    mask = np.zeros(charge.shape[1:], bool)
    mask[10, 14] = True  # 4 pixels away
    mask[13, 14] = True  # 5 pixels away: 3, 4, 5
    mask[25, 30] = True
    assert score_masks(mask, charge, 1.0).n_false_far == 2
    masks = np.zeros(charge.shape, bool)
    masks[:2] = mask
    assert score_masks(masks, charge, 1.0).n_false_far == 4


def test_nothing_to_find_and_nothing_found(charge):
    score = score_masks(np.zeros(charge.shape, bool), charge, 1.0)
    assert np.isnan([score.recall, score.precision, score.f1]).all()
    everything = score_masks(np.ones(charge.shape, bool), charge, 1.0)
    assert (everything.precision, everything.f1) == (0, 0)
    assert everything.n_false_far == charge.size


def test_refusals(charge):
    with pytest.raises(ValueError, match="does not fit"):
        score_masks(np.zeros((2, 30, 40), bool), charge, 1.0)
    with pytest.raises(ValueError, match="n_required=1"):
        score_masks(np.zeros(charge.shape, bool), charge, 1.0, n_required=2)
    with pytest.raises(ValueError, match="1 to 3"):
        score_masks(np.zeros(charge.shape[1:], bool), charge, 1.0, n_required=4)


@given(strength=STRENGTHS)
@settings(deadline=None)
def test_the_truth_scores_one(strength):
    for n_required in (1, 2, 3):
        truth = np.sum(strength > 3, axis=0) >= n_required
        score = score_masks(truth, strength, 1.0, n_required=n_required)
        assert score.n_true == score.n_flagged == truth.sum()
        if truth.any():
            assert score.recall == score.precision == score.f1 == 1
        assert score.n_false_far == 0


@given(strength=STRENGTHS, mask=arrays(bool, SHAPE))
@settings(deadline=None)
def test_unscored_pixels_do_not_matter(strength, mask):
    unscored = (strength > 0.3) & (strength <= 3)
    changed = score_masks(mask ^ unscored, strength, 1.0)
    assert asdict(changed) == pytest.approx(asdict(score_masks(mask, strength, 1.0)), nan_ok=True)


@given(strength=STRENGTHS, mask=arrays(bool, SHAPE))
@settings(deadline=None)
def test_f1_is_the_harmonic_mean(strength, mask):
    score = score_masks(mask, strength, 1.0)
    if score.n_true and score.n_flagged and score.recall > 0:
        harmonic = 2 / (1 / score.recall + 1 / score.precision)
        assert score.f1 == pytest.approx(harmonic)
        assert 0 < score.f1 <= 1
    assert score.n_true == np.sum(strength > 3)


def test_rms_error_leaves_nan_out():
    truth = np.zeros((2, 2))
    assert rms_error([[3, np.nan], [4, 0]], truth) == pytest.approx(np.sqrt(25 / 3))
    assert np.isnan(rms_error(np.full((2, 2), np.nan), truth))
