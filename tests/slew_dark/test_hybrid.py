"""Hits told from ramps: by the quality factor of the on-board estimate, or by sharpness."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from crsteps.detector.macc import PHOTOMETRIC, SPECTROSCOPIC, MaccReadout
from crsteps.slew_dark.hybrid import _even_split, find_hits, measure_coupling, scaled_quality

SHAPE = (64, 70)
NOISE = 7.0  # e-; the gain of these tests is 1
READ_NOISE = 13.0


def on_board(deposits=(), ramps=(), readout=PHOTOMETRIC):
    """
    Signal and quality plane without noise.

    `deposits` are (y, x, charge, share in the first difference, share in the second); `ramps` are
    images of charge that arrives evenly.
    """
    groups = np.zeros((readout.n_groups, *SHAPE))
    for image in ramps:
        groups += np.linspace(0, 1, readout.n_groups)[:, None, None] * image
    for y, x, charge, first, second in deposits:
        groups[1:, y, x] += charge * first
        groups[2:, y, x] += charge * second
    estimate = readout.estimate(groups, read_noise=READ_NOISE)
    signal = estimate.signal - readout.estimate(0 * groups, read_noise=READ_NOISE).signal
    return signal, np.clip(estimate.quality, 0, 255).astype(np.uint8)


def star(y, x, peak, fwhm=1.4):
    """Persistence of a star: a Moffat profile."""
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    width = fwhm / (2 * np.sqrt(2 ** (1 / 3) - 1))
    return peak * (1 + ((rows - y) ** 2 + (columns - x) ** 2) / width**2) ** -3.0


def find(signal, quality=None, kind=None, usable=None, **options):
    significance = signal / np.float32(NOISE)
    if usable is not None:
        significance = np.where(usable, significance, np.nan)
    plane = {"chi2": quality, "bit": None if quality is None else quality > 49, None: None}[kind]
    return find_hits(
        signal, significance, quality=plane, quality_kind=kind, electrons_per_adu=1.0, **options
    )


def places(mask):
    return {(int(y), int(x)) for y, x in zip(*np.nonzero(mask), strict=True)}


@pytest.mark.parametrize("kind", ["chi2", "bit", None])
@pytest.mark.parametrize("readout", [PHOTOMETRIC, SPECTROSCOPIC])
def test_a_track_is_found_beside_persistence(kind, readout):
    track = [(20 + i, 20 + i, 900.0, 1, 0) for i in range(8)]
    stars = star(40, 50, 900) + star(10.5, 50.4, 300) + star(50.2, 12.5, 100)
    signal, quality = on_board(track, [stars], readout)
    assert np.count_nonzero(signal > 5 * NOISE) > 20
    mask = find(signal, quality, kind, readout=readout)
    assert places(mask) == {(20 + i, 20 + i) for i in range(8)}


@pytest.mark.parametrize("peak", [200, 1000, 3000])
def test_a_ramp_that_is_not_quite_straight_is_no_hit(peak):
    """The quality factor of bright persistence is large, but not for its signal."""
    groups = star(30, 30, peak) * np.array([0.0, 0.39, 0.72, 1.0])[:, None, None]
    estimate = PHOTOMETRIC.estimate(groups, read_noise=READ_NOISE)
    if peak == 3000:
        assert estimate.quality.max() > 25
    assert not find(estimate.signal, np.clip(estimate.quality, 0, 255), "chi2").any()


@pytest.mark.parametrize("share", [1.0, 0.75, 0.5])
@pytest.mark.parametrize("charge", [100, 1000, 30_000])
@pytest.mark.parametrize("readout", [PHOTOMETRIC, SPECTROSCOPIC])
def test_hits_at_any_time_are_found_by_quality(share, charge, readout):
    signal, quality = on_board([(30, 30, charge, share, 1 - share)], readout=readout)
    assert places(find(signal, quality, "chi2", readout=readout)) == {(30, 30)}


def test_an_even_split_is_as_the_estimate_has_it():
    signal, quality = _even_split(PHOTOMETRIC)
    # Without noise <y^2> is Q^2 / (2 n), so that the signal is sqrt(n / 2) Q and the quality
    # factor 2 / (1 + alpha) (signal - Q), for large Q.
    n, width = 3, 1 + PHOTOMETRIC.alpha
    assert signal[0] == 0
    assert quality[0] == pytest.approx(-n, abs=0.1)  # without noise: chi squared 0, less n
    assert_allclose(signal[-1], np.sqrt(n / 2) * 3000, rtol=0.03)
    assert_allclose(quality[-1], 2 / width * (np.sqrt(n / 2) - 1) * 3000, rtol=0.05)
    assert (np.diff(signal) > 0).all()


@pytest.mark.parametrize("readout", [SPECTROSCOPIC, MaccReadout(8, 16, 4)])
def test_the_quality_factor_is_scaled_as_it_scatters(readout):
    rng = np.random.default_rng(0)

    def exceeded_by_few(readout):
        noise = READ_NOISE / np.sqrt(readout.n_frames)
        groups = rng.normal(0, noise, (readout.n_groups, 200_000))
        return np.percentile(readout.estimate(groups, read_noise=READ_NOISE).quality, 97.7)

    ratio = exceeded_by_few(readout) / exceeded_by_few(PHOTOMETRIC)
    assert ratio > 1.4
    assert scaled_quality(6.0, readout) == pytest.approx(6 * ratio, rel=0.05)
    assert scaled_quality(6.0, PHOTOMETRIC) == 6


def test_more_groups_need_larger_quality_factors():
    """Thresholds 25 and 6 are 54 and 13 with fifteen groups; 7 beside strong hits."""
    signal = np.zeros(SHAPE, np.float32)
    quality = np.zeros(SHAPE, np.uint8)
    signal[10, ::10], signal[20, ::10] = 5.5 * NOISE, 500  # faint hits, and strong ones
    signal[21, ::10] = 4 * NOISE
    signal[22, ::10] = 4 * NOISE
    quality[10, ::10] = [24, 26, 53, 55, 255, 255, 255]
    quality[20, ::10] = 255
    quality[21, ::10] = [5, 6, 7, 12, 14, 14, 14]
    quality[22, ::10] = [14, 14, 14, 14, 12, 14, 0]
    found = find(signal, quality, "chi2", readout=SPECTROSCOPIC)
    assert_array_equal(found[10, ::10], [0, 0, 0, 1, 1, 1, 1])
    assert_array_equal(found[21, ::10], [0, 0, 1, 1, 1, 1, 1])
    assert_array_equal(found[22, ::10], [0, 0, 0, 0, 0, 1, 0])
    found = find(signal, quality, "chi2", readout=PHOTOMETRIC)
    assert_array_equal(found[10, ::10], [0, 1, 1, 1, 1, 1, 1])
    assert_array_equal(found[21, ::10], np.ones(7))
    assert_array_equal(found[22, ::10], [0, 0, 1, 1, 1, 1, 0])


def test_with_one_bit_hits_are_followed_to_the_same_charge_whatever_the_noise():
    hits = [(20, 20, 500, 1, 0), (20, 21, 17, 1, 0), (30, 30, 500, 1, 0), (30, 31, 15, 1, 0)]
    signal, quality = on_board(hits, readout=SPECTROSCOPIC)
    for noise, expected in ((9.0, {(20, 21)}), (4.0, {(20, 21), (30, 31)}), (12.0, set())):
        found = find_hits(
            signal,
            signal / np.float32(noise),
            quality=quality > 49,
            quality_kind="bit",
            electrons_per_adu=1.0,
            readout=SPECTROSCOPIC,
        )
        assert places(found) == {(20, 20), (30, 30)} | expected
    # Without a plane, three sigma is three sigma.
    assert places(find_hits(signal, signal / np.float32(9), electrons_per_adu=1.0)) == {
        (20, 20),
        (30, 30),
    }


def test_bright_persistence_with_set_bits_does_not_spread():
    signal = star(30, 30, 3000, fwhm=2.0).astype(np.float32)
    bits = np.zeros(SHAPE)
    bits[30, 30] = 255
    assert signal[30, 31] > 15 * NOISE
    assert places(find(signal, bits, "bit")) == {(30, 30)}


def test_faint_pixels_count_beside_bright_ones_only():
    signal, quality = on_board([(20, 20, 500, 1, 0)])
    for y, x in ((20, 21), (21, 21), (40, 40)):  # a side, a corner, and nowhere
        signal[y, x] = 4 * NOISE
    assert places(find(signal, quality, "chi2")) == {(20, 20), (20, 21)}
    assert places(find(signal, quality, "bit")) == {(20, 20), (20, 21), (21, 21)}
    signal, quality = on_board([(20, 20, 60, 1, 0)])
    signal[20, 21] = 4 * NOISE
    assert places(find(signal, quality, "chi2")) == {(20, 20)}


def test_pixels_with_a_quality_factor_of_their_own_grow_diagonally():
    hits = [(20, 20, 300, 1, 0), (21, 21, 30, 1, 0), (22, 22, 30, 1, 0), (30, 30, 30, 1, 0)]
    signal, quality = on_board(hits)
    assert 6 < quality[21, 21] < 25
    assert places(find(signal, quality, "chi2")) == {(20, 20), (21, 21), (22, 22)}


def test_thresholds_are_those_given():
    signal, quality = on_board([(20, 20, 60, 1, 0)])
    assert find(signal, quality, "chi2").any()
    z, factor = signal[20, 20] / NOISE, int(quality[20, 20])
    assert not find(signal, quality, "chi2", seed_significance=z + 0.1).any()
    assert not find(signal, quality, "chi2", seed_quality=factor).any()
    assert find(signal, quality, "chi2", seed_quality=factor - 1, grow_significance=z - 0.1).any()


@pytest.mark.parametrize("kind", ["chi2", "bit", None])
def test_unusable_pixels_are_neither_flagged_nor_grown_through(kind):
    track = [(20, 20 + i, 900.0, 1, 0) for i in range(7)]
    signal, quality = on_board(track)
    usable = np.ones(SHAPE, dtype=bool)
    usable[20, 23] = False
    signal[5, 5] = np.nan
    usable[5, 5] = False
    expected = {(20, 20 + i) for i in range(7) if i != 3}
    assert places(find(signal, quality, kind, usable=usable)) == expected


@pytest.mark.parametrize("kind", ["chi2", "bit", None])
def test_hits_in_the_corners(kind):
    corners = [(0, 0), (0, SHAPE[1] - 1), (SHAPE[0] - 1, 0), (SHAPE[0] - 1, SHAPE[1] - 1)]
    signal, quality = on_board([(y, x, 5000, 1, 0) for y, x in corners])
    assert places(find(signal, quality, kind)) == set(corners)


def coupled(coupling, n_bright=200, seed=0):
    """Isolated bright pixels, half of them with a neighbour that was hit too, and coupling."""
    rng = np.random.default_rng(seed)
    image = np.zeros((400, 400))
    y, x = (rng.permutation(97)[:, None] * 4 + 6 for _ in range(2))
    y, x = np.broadcast_arrays(y, x.T)
    chosen = rng.choice(y.size, n_bright, replace=False)
    y, x = y.ravel()[chosen], x.ravel()[chosen]
    image[y, x] = rng.uniform(3000, 9000, n_bright)
    image[y[::2], x[::2] + 1] = rng.uniform(0.05, 0.9, y[::2].size) * image[y[::2], x[::2]]
    padded = np.pad(image, 1)
    around = padded[2:, 1:-1] + padded[:-2, 1:-1] + padded[1:-1, 2:] + padded[1:-1, :-2]
    return image, image + coupling * around + rng.normal(0, NOISE, image.shape)


@pytest.mark.parametrize("coupling", [0.0, 0.004, 0.01])
def test_coupling_is_measured(coupling):
    _, signal = coupled(coupling, n_bright=1500)
    measured = measure_coupling(signal, signal / NOISE, bright=1000)
    # The ratios scatter by 7 / 6000: what the densest tenth of 6000 of them scatters by itself.
    assert measured == pytest.approx(coupling, abs=8e-4)


def test_coupling_is_no_charge():
    image, signal = coupled(0.01, n_bright=1500)
    mask = find(signal.astype(np.float32))
    beside = (image == 0) & (signal > 3 * NOISE)
    assert np.count_nonzero(beside) > 3000
    assert np.count_nonzero(mask & beside) < 0.05 * np.count_nonzero(beside)
    assert mask[image > 1000].all()


def test_few_bright_pixels_tell_no_coupling():
    _, signal = coupled(0.01, n_bright=60)
    assert measure_coupling(signal, signal / NOISE, bright=1000) == 0
    assert measure_coupling(0 * signal, 0 * signal, bright=1000) == 0


def test_wide_hits_are_not_taken_for_coupling():
    image = np.zeros((300, 300))
    image[2::6, 2::6] = 5000
    for dy, dx in ((0, 1), (0, -1), (1, 0), (-1, 0)):
        image[2 + dy :: 6, 2 + dx :: 6] = 500
    assert measure_coupling(image, image, bright=1000) == 0.02


def test_inputs_are_not_changed():
    signal, quality = on_board([(20, 20, 900, 1, 0)])
    signal[4, 4] = np.nan
    before = signal.copy(), quality.copy()
    find(signal, quality, "chi2")
    assert_array_equal(signal, before[0])
    assert_array_equal(quality, before[1])
