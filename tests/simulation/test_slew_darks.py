"""Simulated slew darks: statistics of noise, hits and persistence against what was asked for."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from crsteps.detector.macc import PHOTOMETRIC, SPECTROSCOPIC, MaccReadout
from crsteps.simulation.cosmic_ray_tracks import Tracks
from crsteps.simulation.slew_dark_ramps import arrival_profile, collect_charge, deposit_hits
from crsteps.simulation.slew_dark_scene import PersistenceOptions, make_persistence
from crsteps.simulation.slew_darks import (
    QUALITY_CUT,
    TRUE_CHARGE,
    SlewDarkOptions,
    simulate_slew_dark,
)

PLAIN = SlewDarkOptions(
    shape=(264, 328),
    rate=0.0,
    persistence=False,
    hot_fraction=0.0,
    bad_fraction=0.0,
    noisy_fraction=0.0,
    output_offset=0.0,
)
ARRAYS = ("data", "quality", "charge", "bad", "persistence", "dark", "noise")


@pytest.fixture(scope="module")
def usual():
    return simulate_slew_dark(SlewDarkOptions(shape=(520, 520)), seed=3)


def active(dark):
    inside = np.zeros(dark.data.shape, bool)
    inside[dark.options.active] = True
    return inside


# --- ramps ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("law", [{}, {"delay": 100.0, "index": 1.0}])
@pytest.mark.parametrize("readout", [PHOTOMETRIC, MaccReadout(3, 1, 2), MaccReadout(3, 4, 0)])
def test_charge_arrives_as_in_frames(readout, law):
    """Means and covariances of the groups against Poisson charge in single frames."""
    number, expected = 40000, 50.0
    profile = arrival_profile(readout, **law)
    groups = np.zeros((readout.n_groups, number), np.float32)
    collect_charge(groups, np.full(number, expected), profile, np.random.default_rng(1))
    groups = np.diff(groups, axis=0)

    time = (np.arange(readout.n_reads) + 0.5) * readout.frame_time
    rate = (time + law.get("delay", 0)) ** -law.get("index", 0.0)
    shares = readout.shares(time)
    steps = np.diff(shares, axis=0)
    rate *= expected / (rate @ steps.sum(axis=0))
    np.testing.assert_allclose(groups.mean(axis=1), steps @ rate, rtol=0.01)
    covariance = (steps * rate) @ steps.T
    np.testing.assert_allclose(np.cov(groups), covariance, atol=0.03 * covariance.max())


def test_a_constant_rate_is_normalised_by_the_integration():
    profile = arrival_profile(SPECTROSCOPIC)
    per_frame = 1 / (14 * 27)
    assert profile.between[1:] == pytest.approx(per_frame * 12)
    assert profile.within == pytest.approx(per_frame * 15)
    assert profile.between[0] == 0


def test_a_hit_in_the_pixels_and_in_the_groups():
    """A point in the middle of a pixel: its charge, that of its neighbours, their times."""
    point = Tracks(np.zeros(1, int), *np.zeros((2, 1)), np.full(1, 1e4), np.full(1, 0.05), 1)
    deposits = deposit_hits(
        point, [3.0], [2.0], [50.0], readout=PHOTOMETRIC, shape=(6, 7), ipc=0.01
    )
    image, groups = np.zeros(42), np.zeros((4, 6, 7), np.float32)
    image[deposits.pixel] = deposits.charge
    assert image.reshape(6, 7)[2, 3] == pytest.approx(1e4)
    assert image.sum() == pytest.approx(1e4)
    deposits.add_to(groups[:, :3], 0)
    assert groups[:, 2, 3] == pytest.approx(9600 * PHOTOMETRIC.shares(50.0))
    assert groups[:, 1, 3] == pytest.approx(100 * PHOTOMETRIC.shares(50.0))
    assert groups[:, 3:].max() == 0  # another band of rows
    deposits.add_to(groups[:, 3:], 21)
    assert groups[-1].sum() == pytest.approx(1e4)


def test_charge_does_not_couple_around_the_edge():
    point = Tracks(np.zeros(1, int), *np.zeros((2, 1)), np.full(1, 1e4), np.full(1, 0.05), 1)
    deposits = deposit_hits(
        point, [0.0], [2.0], [50.0], readout=PHOTOMETRIC, shape=(6, 7), ipc=0.01
    )
    assert sorted(deposits.pixel) == [7, 14, 15, 21]


# --- noise ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("readout", [PHOTOMETRIC, SPECTROSCOPIC])
def test_noise_is_what_the_map_says(readout):
    dark = simulate_slew_dark(replace(PLAIN, readout=readout), seed=1)
    inside = active(dark)
    z = ((dark.data - PLAIN.offset - dark.dark) / dark.noise)[inside]
    assert abs(z.mean()) < 0.08
    assert z.std() == pytest.approx(1, abs=0.08)
    expected = {"4-16-4": 6.4, "15-16-11": 8.1}[readout.name]
    assert np.median(dark.noise) / PLAIN.gain == pytest.approx(expected, abs=0.1)


def test_quality_of_a_straight_ramp():
    """
    Chi squared of differences that share a group, less 3, rounded down.

    The covariance of three differences of white noise, less their mean, has the eigenvalues 1 and
    5/3 in units of half the variance of a difference, for which chi squared is normalised.
    """
    dark = simulate_slew_dark(replace(PLAIN, drift_noise=0.0, dark_current=0.0), seed=2)
    squares = np.random.default_rng(1).standard_normal((2, 500000)) ** 2
    chi_squared = squares[0] + 5 / 3 * squares[1]
    for x in (5, 9):
        assert np.mean(dark.quality + 3 >= x) == pytest.approx(np.mean(chi_squared > x), rel=0.15)


def test_the_border_has_noise_alone():
    options = replace(PLAIN, rate=50.0, dark_current=5.0, drift_noise=0.0)
    dark = simulate_slew_dark(options, seed=3)
    border = ~active(dark)
    assert np.median(dark.data[border]) == pytest.approx(1024, abs=1)
    assert np.median(dark.data[~border]) > 1024 + 150
    assert dark.charge[border].max() == 0
    assert dark.quality[border].max() < 40


def test_outputs_have_their_offsets():
    options = replace(PLAIN, shape=(264, 256), n_outputs=8, output_offset=20.0)
    dark = simulate_slew_dark(options, seed=4)
    levels = dark.data.reshape(264, 8, 32).mean(axis=(0, 2))
    assert 8 < levels.std() < 40
    within = dark.data.mean(axis=0).reshape(8, 32).std(axis=1)
    assert within.max() < 1.5


# --- cosmic rays ---------------------------------------------------------------------------------


def test_hits_are_those_of_galactic_cosmic_rays(usual):
    """Number from rate, area and time; about 5 pixels per hit."""
    expected = 2.3 * (512 * 18e-4) ** 2 * 76 * 1.454
    assert len(usual.hits) == pytest.approx(expected, abs=5 * np.sqrt(expected))
    larger = simulate_slew_dark(replace(PLAIN, shape=(520, 520), rate=20.0), seed=5)
    assert larger.truth.sum() / len(larger.hits) == pytest.approx(4.75, abs=0.3)
    sizes = np.bincount(ndimage.label(usual.truth, np.ones((3, 3)))[0].ravel())[1:]
    assert 3.8 < sizes.mean() < 5.8
    assert usual.truth.sum() == np.count_nonzero(usual.charge > TRUE_CHARGE)


def test_solar_hits_are_more_and_larger():
    options = SlewDarkOptions(shape=(1032, 1032), persistence=False, solar_factor=5.0)
    storm = simulate_slew_dark(options, seed=6)
    assert np.mean(storm.hits["solar"]) == pytest.approx(0.8, abs=0.05)
    sizes = np.bincount(ndimage.label(storm.truth, np.ones((3, 3)))[0].ravel())[1:]
    assert sizes.mean() == pytest.approx(6.8, abs=0.6)


def test_a_hit_pixel_shows_up_to_the_square_root_of_its_charge_fold():
    options = replace(PLAIN, rate=5.0, ipc=0.0)
    dark = simulate_slew_dark(options, seed=7)
    strong = dark.charge > 500
    factor = (dark.data[strong] - 1024.0) / options.gain / dark.charge[strong]
    assert factor.max() < np.sqrt(3) + 0.1
    assert np.median(factor) == pytest.approx(1.35, abs=0.12)
    assert np.mean(factor < 0.1) < 0.08  # before the first frame, or just in the first or last
    found = dark.quality > QUALITY_CUT
    assert found[strong].mean() > 0.9
    assert not found[dark.charge == 0].any()


def test_charge_in_pixels_is_that_of_the_hits():
    dark = simulate_slew_dark(replace(PLAIN, rate=2.0), seed=8)
    middle = [
        (size / 4 < dark.hits[axis]) & (dark.hits[axis] < 3 * size / 4)
        for axis, size in zip("yx", PLAIN.shape, strict=True)
    ]
    hit = dark.hits[middle[0] & middle[1] & (dark.hits["charge"] < 5000)]
    assert len(hit) > 5
    for row in hit:
        y, x = round(row["y"]), round(row["x"])
        around = dark.charge[y - 9 : y + 10, x - 9 : x + 10].sum()
        assert around >= 0.99 * row["charge"]


# --- bad, hot and persistent pixels ---------------------------------------------------------------


def test_bad_and_hot_pixels():
    options = replace(PLAIN, bad_fraction=0.01, hot_fraction=0.01)
    dark = simulate_slew_dark(options, seed=9)
    inside = active(dark)
    assert dark.bad[inside].mean() == pytest.approx(0.01, rel=0.01)
    hot = inside & ~dark.bad & (dark.dark > 0.52 * 300)
    assert hot[inside].mean() == pytest.approx(0.01 * np.exp(-0.75), rel=0.2)
    assert np.mean(dark.quality[hot] > 6) < 0.1  # straight ramps
    bad = dark.bad & inside
    # a third jumps, by 30 to 500 e-
    assert np.mean(dark.quality[bad] > 25) == pytest.approx(0.29, abs=0.08)


def test_persistence_is_a_nearly_straight_ramp():
    sources = PersistenceOptions(n_sources=30000, n_spectra=300)
    dark = simulate_slew_dark(replace(PLAIN, persistence=True, sources=sources), seed=10)
    strong = (dark.persistence > 60) & (dark.persistence < 200)
    assert strong.sum() > 300
    value = (dark.data[strong] - 1024.0 - dark.dark[strong]) / PLAIN.gain
    assert np.median(value / dark.persistence[strong]) == pytest.approx(1, abs=0.03)
    assert np.mean(dark.quality[strong] > 25) < 0.002
    without = simulate_slew_dark(PLAIN, seed=10)
    quiet = dark.persistence == 0
    np.testing.assert_array_equal(dark.data[quiet], without.data[quiet])


def test_sources_and_spectra_have_their_shapes():
    one = PersistenceOptions(
        n_sources=20,
        galaxy_fraction=0.0,
        n_spectra=3,
        peak=(400.0, 401.0),
        limit=1e9,
        spectrum_peak=(100.0, 101.0),
    )
    images, spectra = make_persistence((2040, 2040), one, np.random.default_rng(12))
    labels, number = ndimage.label(images > 40)
    assert 8 < number < 32
    sizes = np.bincount(labels.ravel())[1:]
    # Moffat's profile of index 3 is a tenth of its peak at 1.75 to 2.3 times half the FWHM
    assert sizes.min() >= 3
    assert sizes.max() < 20
    long = ndimage.find_objects(ndimage.label(spectra > 30)[0])
    assert max(part[1].stop - part[1].start for part in long) == pytest.approx(500, abs=10)
    assert max(part[0].stop - part[0].start for part in long) <= 3


def test_persistence_goes_with_the_readout():
    short = simulate_slew_dark(SlewDarkOptions(shape=(136, 136)), seed=11)
    long = simulate_slew_dark(SlewDarkOptions(shape=(136, 136), readout=SPECTROSCOPIC), seed=11)
    there = short.persistence > 1
    ratio = long.persistence[there] / short.persistence[there]
    law = [
        np.log((delay + 1.454 + np.array([87.24, 549.612])) / (delay + 1.454))
        for delay in (300, 600)
    ]
    factors = [b / a for a, b in law]
    assert ratio.min() >= min(factors) * 0.999
    assert ratio.max() <= max(factors) * 1.001


# --- the whole -----------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_dark(usual):
    again = simulate_slew_dark(usual.options, seed=3)
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(usual, name), getattr(again, name))
    other = simulate_slew_dark(usual.options, seed=3, detector="DET12")
    assert not np.array_equal(usual.data, other.data)


def test_types_and_shapes(usual):
    types = [getattr(usual, name).dtype for name in ARRAYS]
    assert types == [np.uint16, np.uint8, np.float32, bool, np.float32, np.float32, np.float32]
    assert {getattr(usual, name).shape for name in ARRAYS} == {(520, 520)}
    assert usual.hits.colnames == ["x", "y", "time", "charge", "solar"]


def test_one_bit_is_the_cut_of_the_factor(usual):
    bit = simulate_slew_dark(replace(usual.options, quality="bit"), seed=3)
    assert set(np.unique(bit.quality)) == {0, 1}
    np.testing.assert_array_equal(bit.data, usual.data)
    # the stored factor is rounded down: at 49 it may be above the cut or not
    sure = usual.quality != QUALITY_CUT
    np.testing.assert_array_equal(bit.quality[sure] == 1, usual.quality[sure] > QUALITY_CUT)


def test_bands_of_rows_do_not_show():
    """Coupling and tracks go on where one band ends and the next begins."""
    dark = simulate_slew_dark(replace(PLAIN, shape=(520, 128), rate=300.0), seed=13)
    bright = dark.data > 1024 + 40
    assert np.mean(dark.truth[256] & bright[256]) == pytest.approx(
        np.mean(dark.truth[200] & bright[200]), abs=0.25
    )
    assert bright[dark.charge > 2000].mean() > 0.9


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"quality": "full"}, "give 'chi2' or 'bit'"),
        ({"shape": (10, 100)}, "at least 16 pixels"),
        ({"rate": -1.0}, "rate of at least 0"),
        ({"solar_factor": 0.5}, "factor of at least 1"),
    ],
)
def test_impossible_options(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(PLAIN, **changes)
