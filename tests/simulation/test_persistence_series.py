"""Darks after flats: the charge against quadrature, noise, hits and hot pixels as asked for."""

import dataclasses

import numpy as np
import pytest
from scipy.integrate import quad

from crsteps.detector.macc import MaccReadout
from crsteps.simulation.persistence_series import DarkSeriesOptions, simulate_dark_series

QUIET = DarkSeriesOptions(shape=(60, 50), n_darks=5, hit_rate=0.0, hot_fraction=0.0)


def expected_signal(delay, amplitude, gamma, readout):
    """Mean over the frames of the last group minus that of the first, by quadrature."""

    def charge(end):
        integral = quad(lambda t: amplitude * (t / 1000) ** -gamma, delay, end, epsrel=1e-11)
        return integral[0]

    first = np.arange(1, readout.n_frames + 1)
    last = first + (readout.n_groups - 1) * (readout.n_frames + readout.n_drops)
    return np.mean([charge(delay + readout.frame_time * f) for f in last]) - np.mean(
        [charge(delay + readout.frame_time * f) for f in first]
    )


def test_expected_persistence_against_quadrature():
    series = simulate_dark_series(QUIET, seed=1)
    for delay in (3.0, 30.0, 3000.0):
        value = series.expected_persistence(delay)
        for pixel in ((0, 0), (30, 20), (59, 49)):
            expected = expected_signal(
                delay, series.amplitude[pixel], series.gamma[pixel], QUIET.readout
            )
            assert value[pixel] == pytest.approx(expected, rel=1e-7)


def test_darks_are_charge_and_noise():
    series = simulate_dark_series(QUIET, seed=2)
    assert series.darks.dtype == np.float32
    assert list(series.delays) == [30, 160, 290, 420, 550]
    assert not series.hits.any()
    for dark, delay in zip(series.darks, series.delays, strict=True):
        expected = series.expected_persistence(delay)
        expected += series.dark_rate * QUIET.readout.integration_time
        pull = (dark - expected) / np.sqrt(expected + 7.0**2)
        assert abs(pull.mean()) < 4 / np.sqrt(pull.size)
        assert pull.std() == pytest.approx(1, abs=0.05)


def test_bands_of_the_flats():
    series = simulate_dark_series(QUIET, seed=3)
    assert list(np.unique(series.fluence)) == [2e4, 6e4, 1.2e5]
    for fluence, amplitude in zip(QUIET.fluences, QUIET.amplitudes, strict=True):
        band = series.fluence == np.float32(fluence)
        assert band.mean() == pytest.approx(1 / 3, abs=0.02)
        assert np.median(series.amplitude[band]) == pytest.approx(amplitude, rel=0.1)
    assert series.gamma.mean() == pytest.approx(1, abs=0.01)
    assert series.gamma.std() == pytest.approx(0.1, abs=0.01)


def test_hits_and_hot_pixels():
    options = dataclasses.replace(QUIET, shape=(200, 200), hot_fraction=0.02, hit_rate=20.0)
    series = simulate_dark_series(options, seed=4)
    assert np.mean(series.dark_rate > 0.3) == pytest.approx(0.02, abs=0.003)
    hit = series.hits > 21
    # 20 per cm2 and s on 0.1296 cm2 in 87.24 s are 226 tracks of about 5 pixels
    assert 226 * 3 < hit.sum() / 5 < 226 * 8
    assert np.median(series.darks[hit] - series.hits[hit]) < 100


def test_same_seed_same_darks_and_other_readouts():
    options = dataclasses.replace(QUIET, readout=MaccReadout(15, 16, 11), n_darks=2)
    series = [simulate_dark_series(options, seed=seed) for seed in (5, 5, 6)]
    np.testing.assert_array_equal(series[0].darks, series[1].darks)
    assert np.any(series[0].darks != series[2].darks)
    expected = series[0].expected_persistence(30.0)
    assert expected[0, 0] == pytest.approx(
        expected_signal(30.0, series[0].amplitude[0, 0], series[0].gamma[0, 0], options.readout)
    )
    assert simulate_dark_series(seed=1).darks.shape == (27, 96, 96)
