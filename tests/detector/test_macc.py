"""Signal and quality factor of MACC ramps: the formulas one pixel at a time, and closed forms."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from crsteps.detector.macc import PHOTOMETRIC, SPECTROSCOPIC, MaccReadout

READ_NOISE = 13.0
READOUTS = [PHOTOMETRIC, SPECTROSCOPIC, MaccReadout(2, 1, 0), MaccReadout(5, 8, 0)]


def by_hand(groups, readout, read_noise):
    """One pixel, as the formulas are printed."""
    ng, nf, nd = readout.n_groups, readout.n_frames, readout.n_drops
    alpha = (1 - nf**2) / (3 * nf * (nf + nd))
    beta = 2 * read_noise**2 / (nf * (1 + alpha))
    y = [groups[i + 1] - groups[i] + beta for i in range(ng - 1)]
    mean_square = sum(value**2 for value in y) / (ng - 1)
    x = (1 + alpha) / 2 * (math.sqrt(1 + 4 * mean_square / (1 + alpha) ** 2) - 1)
    g = x - beta
    return (ng - 1) * g, 2 / (1 + alpha) * ((ng - 1) * g - (groups[-1] - groups[0]))


def shares_by_hand(readout, time):
    """Count the frames of each group that are read when the charge is there."""
    shares, frame = [], 0
    for _ in range(readout.n_groups):
        seen = 0
        for _ in range(readout.n_frames):
            frame += 1
            seen += frame * readout.frame_time >= time
        shares.append(seen / readout.n_frames)
        frame += readout.n_drops
    return shares


def test_numbers_of_nisp():
    assert PHOTOMETRIC.alpha == pytest.approx(-0.2656, abs=5e-5)
    assert PHOTOMETRIC.beta(13.0) == pytest.approx(28.8, abs=0.05)
    assert PHOTOMETRIC.integration_time == pytest.approx(87.24)
    assert SPECTROSCOPIC.integration_time == pytest.approx(549.612)
    assert PHOTOMETRIC.exposure_time == pytest.approx(110.5, abs=0.01)
    assert (PHOTOMETRIC.name, PHOTOMETRIC.n_reads) == ("4-16-4", 76)


@pytest.mark.parametrize("readout", READOUTS, ids=lambda readout: readout.name)
def test_every_pixel_is_that_of_the_formulas(readout):
    rng = np.random.default_rng(1)
    steps = rng.normal(3, 5, (readout.n_groups, 6, 7)) + 500 * (rng.random((1, 6, 7)) < 0.3)
    groups = steps.cumsum(axis=0)
    found = readout.estimate(groups, read_noise=READ_NOISE)
    for row, column in np.ndindex(6, 7):
        signal, quality = by_hand(groups[:, row, column], readout, READ_NOISE)
        assert found.signal[row, column] == pytest.approx(signal, rel=1e-6, abs=1e-5)
        assert found.quality[row, column] == pytest.approx(quality, rel=1e-6, abs=1e-5)
    assert found.signal.dtype == found.quality.dtype == np.float32


def test_estimate_is_the_most_likely_one():
    """The likelihood of normal differences of variance (1 + alpha) mean, searched numerically."""
    rng = np.random.default_rng(2)
    beta, width = PHOTOMETRIC.beta(READ_NOISE), 1 + PHOTOMETRIC.alpha
    for _ in range(20):
        groups = np.r_[0, rng.normal(30, 8, 3).cumsum()]
        y = np.diff(groups) + beta

        def cost(mean, y=y):
            return 3 * np.log(mean) + ((y - mean) ** 2).sum() / (width * mean)

        best = minimize_scalar(cost, bounds=(1, 500), method="bounded", options={"xatol": 1e-9}).x
        found = PHOTOMETRIC.estimate(groups, read_noise=READ_NOISE)
        assert found.signal == pytest.approx(3 * (best - beta), abs=1e-3)
        chi_squared = ((y - best) ** 2).sum() / (width * best)
        assert found.quality == pytest.approx(chi_squared - 3, abs=1e-3)


@pytest.mark.parametrize("readout", READOUTS, ids=lambda readout: readout.name)
def test_a_ramp_without_noise(readout):
    """Equal differences d: x solves x (x + 1 + alpha) = (d + beta)^2."""
    slope = 40.0
    groups = slope * np.arange(readout.n_groups)[:, np.newaxis, np.newaxis] * np.ones((2, 3))
    found = readout.estimate(groups, read_noise=READ_NOISE)
    n, width, beta = readout.n_groups - 1, 1 + readout.alpha, readout.beta(READ_NOISE)
    x = found.signal / n + beta
    np.testing.assert_allclose(x * (x + width), (slope + beta) ** 2, rtol=1e-5)
    np.testing.assert_allclose(found.signal, n * slope, atol=n * width / 2)
    assert np.all((found.quality > -n) & (found.quality < 0))


def test_signal_of_noisy_ramps_is_unbiased():
    """Poisson charge in frames averaged one by one, for which the formulas were made."""
    rng = np.random.default_rng(3)
    readout, expected, number = PHOTOMETRIC, 90.0, 20000
    per_frame = expected / (3 * 20)
    frames = rng.poisson(per_frame, (readout.n_reads, number)).cumsum(axis=0, dtype=float)
    frames += rng.normal(0, READ_NOISE, frames.shape)
    groups = np.array([frames[start : start + 16].mean(axis=0) for start in range(0, 76, 20)])
    found = readout.estimate(groups, read_noise=READ_NOISE)
    error = found.signal.std() / np.sqrt(number)
    assert found.signal.mean() == pytest.approx(expected, abs=4 * error + 0.1)
    # The differences are correlated, by the read noise of the group that two of them share and by
    # the charge that arrives within it; the formulas leave that aside.
    shares = np.diff(readout.shares((np.arange(76) + 0.5) * readout.frame_time), axis=0)
    reads = READ_NOISE**2 / 16 * (2 * np.eye(3) - np.eye(3, k=1) - np.eye(3, k=-1))
    covariance = per_frame * shares @ shares.T + reads
    scatter = np.trace(covariance) - covariance.sum() / 3
    chi_squared = scatter / ((1 + readout.alpha) * (expected / 3 + readout.beta(READ_NOISE)))
    assert found.quality.mean() == pytest.approx(chi_squared - 3, abs=0.06)


@pytest.mark.parametrize("readout", READOUTS, ids=lambda readout: readout.name)
def test_charge_between_two_groups_counts_square_root_fold(readout):
    charge, n = 1e5, readout.n_groups - 1
    for later in range(1, readout.n_groups):
        groups = charge * (np.arange(readout.n_groups) >= later)
        found = readout.estimate(groups, read_noise=READ_NOISE)
        assert found.signal == pytest.approx(np.sqrt(n) * charge, rel=0.01)
        quality = 2 / (1 + readout.alpha) * (np.sqrt(n) - 1) * charge
        assert found.quality == pytest.approx(quality, rel=0.02, abs=300)


@given(time=st.floats(0, 115), charge=st.floats(2000, 1e5))
def test_a_hit_at_any_time(time, charge):
    groups = charge * PHOTOMETRIC.shares(time)
    np.testing.assert_allclose(groups, charge * np.array(shares_by_hand(PHOTOMETRIC, time)))
    signal = PHOTOMETRIC.estimate(groups, read_noise=READ_NOISE).signal
    assert -2 < signal < np.sqrt(3) * charge + 100


def test_hits_before_the_first_and_after_the_last_frame():
    shares = PHOTOMETRIC.shares([0.5, 1.454, 1.455, 110.5, 110.6])
    np.testing.assert_allclose(shares[:, 0], 1)
    np.testing.assert_allclose(shares[:, 1], 1)
    np.testing.assert_allclose(shares[:, 2], [15 / 16, 1, 1, 1])
    np.testing.assert_allclose(shares[:, 3], [0, 0, 0, 1 / 16])
    np.testing.assert_allclose(shares[:, 4], 0)


def test_missing_groups_stay_missing():
    groups = np.zeros((4, 2, 2), np.float32)
    groups[2, 0, 1] = np.nan
    found = PHOTOMETRIC.estimate(groups, read_noise=READ_NOISE)
    for image in (found.signal, found.quality):
        assert np.isnan(image).tolist() == [[False, True], [False, False]]


def test_integers_do_not_wrap():
    groups = np.array([60000, 0, 0, 0], np.uint16)
    found = PHOTOMETRIC.estimate(groups, read_noise=READ_NOISE)
    assert found.signal == pytest.approx(by_hand([60000, 0, 0, 0], PHOTOMETRIC, READ_NOISE)[0])


def test_the_number_of_groups_must_fit():
    with pytest.raises(ValueError, match="4 groups of 4-16-4"):
        PHOTOMETRIC.estimate(np.zeros((5, 2, 2)), read_noise=READ_NOISE)


@pytest.mark.parametrize("numbers", [(1, 16, 4), (4, 0, 4), (4, 16, -1), (4, 16, 4, 0.0)])
def test_impossible_readouts(numbers):
    with pytest.raises(ValueError, match="give at least 2 groups"):
        MaccReadout(*numbers)
