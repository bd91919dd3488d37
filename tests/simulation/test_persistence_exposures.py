"""Exposures with known persistence: quadrature by scipy, electrons counted, what stays the same."""

import numpy as np
import pytest
from astropy.io import fits
from scipy.integrate import quad

from crsteps.detector.macc import PHOTOMETRIC, SPECTROSCOPIC, MaccReadout
from crsteps.simulation.nisp_files import write_nisp_file
from crsteps.simulation.persistence_exposures import (
    FULL_WELL,
    Afterglow,
    draw_memory,
    expected_groups,
    expected_rate,
    ramp_with_persistence,
    simulate_stimulus_fluence,
    slew_dark_with_persistence,
)
from crsteps.simulation.slew_darks import SlewDarkOptions

SHORT = MaccReadout(3, 2, 1, 5.0)
SMALL = SlewDarkOptions(shape=(72, 104), persistence=False)


def glow(amplitude, gamma, delay):
    """Return an afterglow of the same amplitude and slope in every pixel, or of images."""
    amplitude, gamma = np.broadcast_arrays(np.atleast_2d(amplitude).astype(float), gamma)
    return Afterglow(amplitude, gamma, delay)


def charge_by_quad(amplitude, gamma, delay, readout):
    """Charge of each group: scipy integrates from the reset to every frame."""
    period, groups = readout.n_frames + readout.n_drops, []
    for group in range(readout.n_groups):
        frames = group * period + 1 + np.arange(readout.n_frames)
        ends = delay + frames * readout.frame_time
        charges = [
            quad(lambda t: amplitude * (t / 1000) ** -gamma, delay, end, epsrel=1e-12)[0]
            for end in ends
        ]
        groups.append(np.mean(charges))
    return np.array(groups)


@pytest.mark.parametrize("gamma", [0.2, 0.97, 1.0, 1.333, 1.9])
@pytest.mark.parametrize("delay", [3.0, 300.0, 1e5])
@pytest.mark.parametrize("readout", [PHOTOMETRIC, SHORT])
def test_charge_is_that_of_quadrature(gamma, delay, readout):
    found = expected_groups([glow(0.3, gamma, delay)], readout)[:, 0, 0]
    expected = charge_by_quad(0.3, gamma, delay, readout)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    rate = expected_rate([glow(0.3, gamma, delay)], readout)[0, 0]
    signal = (expected[-1] - expected[0]) / readout.integration_time
    np.testing.assert_allclose(rate, signal, rtol=1e-6)


def test_afterglows_add():
    first, second = glow([1.0, 0.2], [1.0, 0.5], 40.0), glow([0.0, 0.7], [1.0, 1.5], 90.0)
    for function in (expected_groups, expected_rate):
        both = function([first, second], SPECTROSCOPIC)
        apart = function([first], SPECTROSCOPIC) + function([second], SPECTROSCOPIC)
        np.testing.assert_allclose(both, apart, rtol=1e-6)


def test_amplitudes_go_through_the_levels():
    memory = draw_memory((1, 6), seed=1)
    charge = np.array([[0.0, 500.0, 1e3, 2e4, 1.2e5, 9e9]])
    found = memory.amplitude(charge)
    np.testing.assert_allclose(found, [[0, 0.0005, 0.001, 0.03, 0.6, 0.6]])
    between = memory.amplitude(np.full((1, 6), np.sqrt(2e4 * 6e4)))
    np.testing.assert_allclose(between, np.sqrt(0.03 * 0.2))
    assert not memory.amplitude(np.full((1, 6), -5.0)).any()


def test_memory_scatters_as_asked():
    memory = draw_memory((200, 200), seed=2, gamma=0.9, amplitude_scatter=0.2, gamma_scatter=0.1)
    assert memory.scale.std() == pytest.approx(0.2, rel=0.03)
    assert memory.scale.mean() == pytest.approx(1.0, abs=0.01)
    assert memory.gamma.std() == pytest.approx(0.1, rel=0.03)
    assert memory.gamma.mean() == pytest.approx(0.9, abs=0.005)


@pytest.mark.parametrize("kind", ["image", "spectra"])
def test_stimulus_and_what_is_measured_of_it(kind):
    stimulus = simulate_stimulus_fluence((400, 400), seed=3, kind=kind)
    full = stimulus.fluence == FULL_WELL
    assert stimulus.fluence.max() <= FULL_WELL
    assert np.array_equal(np.isinf(stimulus.measured), full)
    assert full.any() == (kind == "image")
    pull = (stimulus.measured - stimulus.fluence)[~full] / np.sqrt(stimulus.fluence[~full] + 49)
    assert pull.std() == pytest.approx(1, abs=0.01)
    assert np.median(stimulus.fluence) == pytest.approx(100, rel=0.2)
    assert (stimulus.fluence > 1e4).sum() > 100
    other = simulate_stimulus_fluence((400, 400), seed=4, kind=kind)
    assert not np.array_equal(other.fluence, stimulus.fluence)


def test_unknown_stimulus():
    with pytest.raises(ValueError, match='"image" or "spectra"'):
        simulate_stimulus_fluence((40, 40), seed=1, kind="lamp")


def test_ramp_has_the_mean_and_the_noise_of_counted_electrons():
    """Frames are drawn one by one; the variance of the last frame alone is known in closed form."""
    shape, single = (300, 300), MaccReadout(4, 1, 2, 10.0)
    glows = [glow(np.full(shape, 2.0), 0.8, 100.0), glow(np.full(shape, 0.5), 1.3, 30.0)]
    ramp = ramp_with_persistence(glows, readout=single, seed=5, light=0.7, read_noise=6.0)
    truth = sum(charge_by_quad(a, g, d, single) for a, g, d in ((2, 0.8, 100), (0.5, 1.3, 30)))
    np.testing.assert_allclose(ramp.persistence[:, 7, 9], truth, rtol=1e-6)
    expected = truth + 0.7 * 10.0 * (1 + 3 * np.arange(4))
    error = np.sqrt((expected + 36) / 300**2)
    assert np.all(np.abs(ramp.groups.mean(axis=(1, 2)) - expected) < 4 * error)
    assert ramp.groups[-1].var() == pytest.approx(expected[-1] + 36, rel=0.02)


def test_expected_groups_are_those_of_the_ramp():
    memory = draw_memory((20, 30), seed=6, amplitude_scatter=0.3, gamma_scatter=0.2)
    glows = [Afterglow(memory.scale, memory.gamma, 50.0)]
    ramp = ramp_with_persistence(glows, readout=SHORT, seed=6)
    np.testing.assert_allclose(ramp.persistence, expected_groups(glows, SHORT), rtol=1e-6)


@pytest.fixture(scope="module")
def darks():
    """Afterglows, a slew dark that shows them, and the same without them."""
    memory = draw_memory(SMALL.shape, seed=7, amplitude_scatter=0.3, gamma_scatter=0.1)
    column = np.arange(SMALL.shape[1])
    amplitude = memory.scale * np.where(column < 60, 0.5, 0.0)
    glows = [Afterglow(amplitude, memory.gamma, 200.0), Afterglow(amplitude, memory.gamma, 700.0)]
    pair = (slew_dark_with_persistence(g, SMALL, seed=7) for g in (glows, []))
    return glows, *pair


def test_slew_dark_shows_the_persistence_and_all_else_is_the_same(darks):
    glows, dark, clean = darks
    signal = expected_rate(glows, PHOTOMETRIC) * PHOTOMETRIC.integration_time
    inside = np.zeros(SMALL.shape, bool)
    inside[SMALL.active] = True
    np.testing.assert_allclose(dark.persistence, np.where(inside, signal, 0), rtol=1e-5)
    lit = dark.persistence > 0
    np.testing.assert_array_equal(dark.data[~lit], clean.data[~lit])
    np.testing.assert_array_equal(dark.charge, clean.charge)
    lit &= (dark.charge == 0) & ~dark.bad
    shown = (dark.data[lit].astype(float) - clean.data[lit]) / SMALL.gain
    # the value on board is not linear in unequal differences: some per cent
    assert shown.mean() == pytest.approx(dark.persistence[lit].mean(), rel=0.03)


def test_slew_dark_as_a_file(darks, tmp_path):
    _, dark, _ = darks
    path = write_nisp_file(tmp_path, {"DET11": dark})
    np.testing.assert_array_equal(fits.getdata(path, "DET11.SCI"), dark.data)
