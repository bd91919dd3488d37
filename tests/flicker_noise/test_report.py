"""Measurements are pooled in variance; what cannot be corrected follows from the spectrum."""

import numpy as np
import pytest

from crsteps.detector.readout import Readout
from crsteps.flicker_noise.correction import Corrected
from crsteps.flicker_noise.report import Measurements, uncorrectable
from crsteps.flicker_noise.spectrum import TIMES, FlickerSpectrum
from crsteps.flicker_noise.streams import bin_time

READOUT = Readout(shape=(64, 128), n_outputs=2, fast_axis=1, slow_axis=2)


def spectrum(common=0.0, independent=0.0, time=5):
    """Noise with one time of correlation in both processes."""
    amplitudes = np.zeros((2, TIMES.size))
    amplitudes[:, time] = common, independent
    return FlickerSpectrum(*amplitudes, np.ones(2), TIMES)


def corrected(**changes):
    """Return an integration."""
    return Corrected(np.zeros((3, 64, 128), np.float32), **changes)


def test_noise_is_pooled_in_variance():
    measured = Measurements(READOUT)
    for rms, fraction in ((3.0, 0.5), (4.0, 0.7)):
        estimate = corrected(
            spectrum=spectrum(rms**2, 4.0),
            white_noise=rms,
            error_variance=np.full((64, 128), rms**2),
        )
        measured.add(estimate, removed_variance=rms**2, background_fraction=fraction)
    values = {name: entry["value"] for name, entry in measured.values().items()}
    for name in ("common_noise", "white_noise", "removed_noise", "mean_error"):
        assert values[name] == pytest.approx(np.sqrt(12.5))
    assert values["independent_noise"] == pytest.approx(2)
    assert values["background_fraction"] == pytest.approx(0.6)
    assert values["integrations_cleaned"] == 2
    assert measured.mean_spectrum().common.sum() == pytest.approx(12.5)
    assert measured.mean_spectrum(alternating=True) is None
    assert measured.white_noise == pytest.approx(np.sqrt(12.5))


def test_noise_below_a_frequency():
    """Half of the variance of a decaying process is below 1 / (2 pi tau)."""
    time = 1 / (2 * np.pi * 100)
    own = FlickerSpectrum(
        np.zeros(1), np.array([8.0]), np.ones(2), np.array([time / bin_time(READOUT)])
    )
    measured = Measurements(READOUT)
    measured.add(corrected(spectrum=own), removed_variance=1.0, background_fraction=1.0)
    assert measured.values()["noise_below_100_hz"]["value"] == pytest.approx(2)


def test_fits_without_a_spectrum_tell_what_is_known():
    measured = Measurements(READOUT)
    measured.add(corrected(), removed_variance=4.0, background_fraction=0.9)
    assert set(measured.values()) == {
        "background_fraction",
        "removed_noise",
        "integrations_cleaned",
    }
    assert measured.mean_spectrum() is None
    assert measured.white_noise is None
    assert "rms of the removed noise: 2" in measured.lines()


def test_estimates_made_together_count_once():
    measured, shared = Measurements(READOUT), spectrum(1.0, 1.0)
    for _ in range(3):
        measured.add(corrected(spectrum=shared), removed_variance=1, background_fraction=1)
    assert len(measured.spectra) == 1
    assert measured.n_cleaned == 3


def test_keywords_fit_into_a_header():
    measured = Measurements(READOUT)
    measured.add(corrected(), removed_variance=1, background_fraction=1)
    measured._values["stripes_before"] = [1.0] * 32
    keywords = [entry["keyword"] for entry in measured.values().values()]
    assert len(set(keywords)) == len(keywords)
    assert max(map(len, keywords)) <= 8


def masked(first_row, last_row, outputs=(0,)):
    """Background everywhere but in some rows of some outputs."""
    used = np.ones((2, 64, 128), bool)
    for output in outputs:
        used[:, first_row:last_row, 64 * output : 64 * (output + 1)] = False
    return used


def test_lines_far_from_background_are_lost():
    """Noise that is forgotten within a row, or remembered for the whole gap."""
    row = READOUT.row_ticks
    used = masked(20, 40)
    quick = FlickerSpectrum(np.zeros(1), np.ones(1), np.ones(2), np.array([row / 4.0]))
    lost = uncorrectable(used, quick, READOUT)
    np.testing.assert_array_equal(lost, ~used[0])
    slow = FlickerSpectrum(np.zeros(1), np.ones(1), np.ones(2), np.array([row * 100.0]))
    assert not uncorrectable(used, slow, READOUT).any()
    # A tenth is known at a distance of ln(10) / 2 of the time of correlation.
    some = FlickerSpectrum(np.zeros(1), np.ones(1), np.ones(2), np.array([row * 5.0]))
    rows = np.flatnonzero(uncorrectable(used, some, READOUT)[:, 0])
    first = int(np.ceil(5.0 * np.log(10) / 2))
    np.testing.assert_array_equal(rows, np.arange(20 + first - 1, 40 - first + 1))


def test_other_outputs_help_with_common_noise():
    used = masked(0, 64)
    assert uncorrectable(used, spectrum(0.05, 1.0), READOUT)[:, :64].all()
    assert not uncorrectable(used, spectrum(0.5, 1.0), READOUT).any()
    both = masked(0, 64, outputs=(0, 1))
    assert uncorrectable(both, spectrum(0.5, 1.0), READOUT).all()


def test_no_noise_and_no_gap_lose_nothing():
    assert not uncorrectable(masked(0, 64), spectrum(), READOUT).any()
    assert not uncorrectable(masked(0, 0), spectrum(1.0, 1.0), READOUT).any()
