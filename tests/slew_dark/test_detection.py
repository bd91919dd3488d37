"""Detectors on simulated darks with truth, and on images that are out of the ordinary."""

from contextlib import nullcontext
from dataclasses import replace

import astroscrappy
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from crsteps.cosmic_rays import network_detection
from crsteps.cosmic_rays.conn import ConnOptions
from crsteps.cosmic_rays.deepcr import DeepcrOptions
from crsteps.cosmic_rays.laplacian import SLEW_DARK
from crsteps.cosmic_rays.significance import significance_hysteresis
from crsteps.detector.macc import SPECTROSCOPIC
from crsteps.simulation.slew_darks import SlewDarkOptions, simulate_slew_dark
from crsteps.slew_dark.detection import DETECTORS, DetectionOptions, find_cosmic_rays

SMALL = SlewDarkOptions(shape=(512, 512), n_outputs=8, rate=4.3)
OPTIONS = DetectionOptions(n_outputs=8)
ELECTRONS_PER_ADU = 1.95


@pytest.fixture(autouse=True)
def networks(monkeypatch):
    """Put a limit of 40 e- in the place of networks; return the windows that they are shown."""
    windows = []

    def window_probability(network, window):
        windows.append(window.copy())
        return (window > 40).astype(np.float32)

    monkeypatch.setattr(network_detection, "load_network", lambda extra, model: (extra, model))
    monkeypatch.setattr(network_detection, "processor_threads", lambda n: nullcontext())
    monkeypatch.setattr(network_detection, "window_probability", window_probability)
    return windows


@pytest.fixture(scope="module")
def dark():
    return simulate_slew_dark(SMALL, seed=1)


@pytest.fixture(scope="module")
def bit_dark():
    return simulate_slew_dark(replace(SMALL, quality="bit"), seed=1)


def usable(dark):
    inside = np.zeros(dark.bad.shape, dtype=bool)
    inside[dark.options.active] = True
    return inside & ~dark.bad


def find(dark, kind="chi2", options=OPTIONS, **changes):
    inputs = {
        "data": dark.data.astype(np.float32),
        "usable": usable(dark),
        "quality": None if kind is None else dark.quality,
        "quality_kind": kind,
        "electrons_per_adu": ELECTRONS_PER_ADU,
        "options": options,
    }
    inputs.update(changes)
    return find_cosmic_rays(inputs.pop("data"), **inputs)


def precision_and_recall(dark, mask):
    good = usable(dark)
    hit = np.count_nonzero(mask & dark.truth & good)
    return hit / np.count_nonzero(mask & good), hit / np.count_nonzero(dark.truth & good)


@pytest.mark.parametrize(
    ("changes", "precision", "recall"),
    [
        ({}, 0.975, 0.92),
        ({"persistence": False}, 0.975, 0.92),
        ({"solar_factor": 5.0}, 0.965, 0.88),
        ({"readout": SPECTROSCOPIC}, 0.96, 0.95),
    ],
)
def test_hybrid_with_the_quality_factor(changes, precision, recall):
    # The figures of whole detectors are in the benchmarks: these are of 1200 pixels and more.
    simulated = simulate_slew_dark(replace(SMALL, **changes), seed=2)
    options = replace(OPTIONS, readout=simulated.options.readout)
    found = find(simulated, options=options)
    assert found.used_quality == "chi2"
    reached = precision_and_recall(simulated, found.mask)
    assert reached[0] > precision
    assert reached[1] > recall


def test_one_bit_does_better_than_astroscrappy_and_more_than_none(dark, bit_dark):
    assert_array_equal(dark.data, bit_dark.data)
    found = find(bit_dark, "bit")
    without = find(bit_dark, None)
    peer = find(bit_dark, None, options=replace(OPTIONS, detector="astroscrappy"))
    assert (found.used_quality, without.used_quality) == ("bit", "none")
    precision, recall = precision_and_recall(bit_dark, found.mask)
    assert precision > 0.94
    assert precision > precision_and_recall(bit_dark, without.mask)[0] > 0.8
    assert precision > precision_and_recall(bit_dark, peer.mask)[0] + 0.1
    # Of whole detectors it is above the peer's; of 800 pixels it may be equal.
    assert recall > precision_and_recall(bit_dark, peer.mask)[1] - 0.003


def test_background_and_noise_are_those_simulated(dark):
    found = find(dark)
    good = usable(dark) & (dark.dark < 10)
    assert_allclose(np.median(found.noise[good] / dark.noise[good]), 1, atol=0.04)
    # Eight outputs whose offsets scatter by 0.5 ADU.
    assert abs(np.median((found.background - dark.dark - 1024)[good])) < 0.5
    assert found.offset == pytest.approx(1024, abs=1)
    assert found.background.dtype == found.noise.dtype == np.float32
    z = found.significance
    assert_array_equal(np.isnan(z), ~usable(dark))
    assert_allclose(
        z[good], ((dark.data - found.background) / found.noise)[good], rtol=1e-4, atol=1e-3
    )


@pytest.mark.parametrize("detector", ["astroscrappy", "astroscrappy+quality"])
def test_astroscrappy_is_called_as_by_the_nisp_team(dark, detector):
    # The gain is that of the dark, whatever the options of astroscrappy say.
    laplacian = replace(SLEW_DARK, gain=99.0)
    found = find(dark, options=replace(OPTIONS, detector=detector, laplacian=laplacian))
    good = usable(dark)
    data = dark.data.astype(np.float32)
    filled = np.where(good, data, np.median(data[good])) - found.offset
    expected, cleaned = astroscrappy.detect_cosmics(
        filled.astype(np.float32), sigclip=4.5, sigfrac=0.3, objlim=4.0, gain=1.95, readnoise=6,
        satlevel=65536.0, niter=6, sepmed=True, cleantype="meanmask", fsmode="median",
        psfmodel="gauss", psffwhm=1.5, psfsize=5, psfbeta=4.765,
    )  # fmt: skip
    expected = expected & good
    if detector == "astroscrappy+quality":
        expected &= dark.quality > 6
    assert np.count_nonzero(expected) > 500
    assert_array_equal(found.mask, expected)
    assert_array_equal(found.cleaned, cleaned + np.float32(found.offset))
    assert found.used_quality == ("chi2" if "quality" in detector else "none")


@pytest.mark.parametrize("detector", ["hybrid", "significance"])
def test_an_offset_changes_nothing_where_the_background_is_taken_off(dark, detector, monkeypatch):
    options = replace(OPTIONS, detector=detector)
    measured = find(dark, options=options)
    sizes, median = [], np.median
    monkeypatch.setattr(np, "median", lambda a, *args: sizes.append(np.size(a)) or median(a, *args))
    given = find(dark, options=options, offset=7.0)
    assert given.offset == 7
    assert_array_equal(given.mask, measured.mask)
    assert_array_equal(given.background, measured.background)
    assert max(sizes) < dark.data.size / 2  # that of all pixels would be for nothing


def test_quality_that_restricts_astroscrappy_is_scaled_with_the_readout(dark):
    options = replace(OPTIONS, detector="astroscrappy", readout=SPECTROSCOPIC)
    alone = find(dark, options=options).mask
    both = find(dark, options=replace(options, detector="astroscrappy+quality")).mask
    # fifteen groups: 6 sqrt(14 / 3) = 12.96
    assert_array_equal(both, alone & (dark.quality > 12))
    assert np.count_nonzero(alone & (dark.quality > 6)) > np.count_nonzero(both)


def test_an_offset_that_is_left_in_blinds_astroscrappy(dark):
    options = replace(OPTIONS, detector="astroscrappy")
    removed, left_in = (find(dark, options=options, offset=offset) for offset in (None, 0.0))
    assert left_in.offset == 0
    assert (
        precision_and_recall(dark, left_in.mask)[1]
        < precision_and_recall(dark, removed.mask)[1] - 0.1
    )


def test_quality_of_one_bit_restricts_astroscrappy(bit_dark):
    alone = find(bit_dark, None, options=replace(OPTIONS, detector="astroscrappy"))
    both = find(bit_dark, "bit", options=replace(OPTIONS, detector="astroscrappy+quality"))
    assert_array_equal(both.mask, alone.mask & (bit_dark.quality > 0))
    assert both.used_quality == "bit"


@pytest.mark.parametrize("detector", ["lacosmic", "pycosmic"])
def test_detectors_of_single_images_know_the_noise_of_each_pixel(dark, detector):
    found = find(dark, options=replace(OPTIONS, detector=detector))
    peer = find(dark, options=replace(OPTIONS, detector="astroscrappy"))
    reached, of_peer = (precision_and_recall(dark, result.mask) for result in (found, peer))
    assert reached[0] > of_peer[0]  # without the quality plane
    assert reached[1] > 0.94
    assert found.used_quality == "none"
    assert found.significance is None
    good = usable(dark)
    assert_allclose(found.cleaned[good & ~found.mask], dark.data[good & ~found.mask], atol=1e-2)
    hit = found.mask & (dark.data > found.background + 20 * found.noise)
    residual = ((found.cleaned - found.background) / found.noise)[hit]
    assert np.abs(residual).max() < 20


@pytest.mark.parametrize(
    ("detector", "network"), [("deepcr", DeepcrOptions()), ("conn", ConnOptions(model="NRES"))]
)
def test_networks_are_shown_electrons_above_the_background(dark, networks, detector, network):
    found = find(dark, options=replace(OPTIONS, detector=detector, network=network))
    good = usable(dark)
    signal = (dark.data - found.background) * ELECTRONS_PER_ADU
    sure = good & (np.abs(signal - 40) > 1)
    assert_array_equal(found.mask[sure], signal[sure] > 40)
    assert not found.mask[~good].any()
    assert (found.used_quality, found.significance) == ("none", None)
    assert max(window.max() for window in networks) == pytest.approx(signal[good].max(), abs=1)
    kept = good & ~found.mask
    assert_allclose(found.cleaned[kept], dark.data[kept], atol=1e-2)
    assert np.abs(found.cleaned[found.mask] - 1024).max() < 40


def test_options_of_one_network_are_not_those_of_another(dark):
    with pytest.raises(ValueError, match="ConnOptions, not of DeepcrOptions"):
        find(dark, options=replace(OPTIONS, detector="conn", network=DeepcrOptions()))


def test_options_of_astroscrappy_are_those_of_the_shared_lacosmic(dark):
    laplacian = replace(SLEW_DARK, sigclip=8.0, satlevel=1950.0, psffwhm=2.0)
    options = replace(OPTIONS, detector="lacosmic", laplacian=laplacian)
    shared = options.shared(ELECTRONS_PER_ADU)
    assert (shared.sigclip, shared.satlevel, shared.niter) == (8.0, 1000.0, 6)
    assert shared.psffwhm_x == shared.psffwhm_y == 2.0
    assert not shared.gain_apply
    plain = find(dark, options=replace(OPTIONS, detector="lacosmic"))
    assert np.count_nonzero(find(dark, options=options).mask) < np.count_nonzero(plain.mask)
    with pytest.raises(ValueError, match="satlevel is 0"):
        replace(options, laplacian=replace(laplacian, satlevel=0.0))


def test_significance_is_the_shared_hysteresis(dark):
    options = replace(OPTIONS, detector="significance", seed_significance=6, grow_significance=4)
    found = find(dark, options=options)
    assert_array_equal(found.mask, significance_hysteresis(found.significance, seed=6, grow=4))
    assert found.used_quality == "none"


@pytest.mark.parametrize("detector", DETECTORS)
@pytest.mark.parametrize("kind", ["chi2", None])
def test_unusable_pixels_are_never_flagged_and_inputs_never_changed(dark, detector, kind):
    data, good = dark.data.astype(np.float32), usable(dark)
    good[100:140, 200:260] = False
    data[300, 300:310] = np.nan
    before = data.copy(), good.copy(), dark.quality.copy()
    found = find(dark, kind, replace(OPTIONS, detector=detector), data=data, usable=good)
    assert found.mask.any()
    assert not found.mask[~good].any()
    assert not found.mask[300, 300:310].any()
    for array, old in zip((data, good, dark.quality), before, strict=True):
        assert_array_equal(array, old)


@pytest.mark.parametrize("detector", ["hybrid", "astroscrappy", "lacosmic", "pycosmic"])
def test_a_master_dark_is_taken_off(dark, detector):
    master = np.zeros(dark.data.shape, dtype=np.float32)
    master[200:300, 200:300] = np.arange(10_000).reshape(100, 100) % 37 * 60.0
    options = replace(OPTIONS, detector=detector)
    plain = find(dark, options=options)
    data = dark.data.astype(np.float32) + master
    found = find(dark, options=options, data=data, master_dark=master)
    assert_array_equal(found.mask, plain.mask)
    assert_allclose(found.background, plain.background + master, rtol=1e-6)
    if plain.cleaned is not None:
        assert_allclose(found.cleaned, plain.cleaned + master, rtol=1e-5)
    master[50:60] = np.nan
    assert not find(dark, options=options, data=data, master_dark=master).mask[50:60].any()


def test_a_given_noise_map_is_used(dark):
    noise = np.full(dark.data.shape, 3.0)
    noise[:256] = 1e4
    noise[400:410] = np.nan
    noise[420:430] = 0
    found = find(dark, options=replace(OPTIONS, detector="significance"), noise=noise)
    assert_array_equal(found.noise, noise.astype(np.float32))
    for rows in (slice(0, 256), slice(400, 410), slice(420, 430)):
        assert not found.mask[rows].any()
    assert found.mask[256:400].any()


@pytest.mark.parametrize("detector", DETECTORS)
@pytest.mark.parametrize("value", [0.0, 1024.0, -7.25, 65535.0])
def test_a_constant_image_has_no_cosmic_rays(detector, value):
    data = np.full((60, 70), value, dtype=np.float32)
    options = DetectionOptions(detector=detector, n_outputs=1)
    found = find_cosmic_rays(
        data, usable=np.ones(data.shape, dtype=bool), electrons_per_adu=1.0, options=options
    )
    assert not found.mask.any()
    assert found.offset == pytest.approx(value, abs=0.01)


@pytest.mark.parametrize("detector", ["hybrid", "significance"])
@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (1, 50), (37, 5), (254, 101)])
def test_small_and_odd_shapes(detector, shape):
    data = np.random.default_rng(0).normal(100, 2, shape)
    data[-1, -1] += 500
    found = find_cosmic_rays(
        data,
        usable=np.ones(shape, dtype=bool),
        electrons_per_adu=2.0,
        options=DetectionOptions(detector=detector, n_outputs=1),
    )
    assert found.mask.shape == found.background.shape == shape
    assert found.mask[-1, -1] == (data.size > 1)
    assert np.count_nonzero(found.mask) <= 1


def test_quality_that_is_not_finite_is_no_hit():
    data, quality = np.random.default_rng(0).normal(100, 2, (60, 60)), np.full((60, 60), 200.0)
    data[20, 20], data[40, 40] = 900, 900
    quality[20, 20] = np.nan
    found = find_cosmic_rays(
        data,
        usable=np.ones(data.shape, dtype=bool),
        quality=quality,
        quality_kind="chi2",
        electrons_per_adu=0.05,
        options=DetectionOptions(n_outputs=1),
    )
    assert found.mask[40, 40]
    assert not found.mask[20, 20]


@pytest.mark.parametrize("detector", DETECTORS)
def test_no_usable_pixel(detector):
    data = np.full((20, 20), 5.0)
    options = DetectionOptions(detector=detector, n_outputs=1)
    for image, good in ((data, False), (data * np.nan, True)):
        with pytest.raises(ValueError, match="no usable pixel"):
            find_cosmic_rays(
                image, usable=np.full(data.shape, good), electrons_per_adu=1.0, options=options
            )


@pytest.mark.parametrize("name", ["usable", "quality", "noise", "master_dark"])
def test_wrong_shapes_are_refused(dark, name):
    with pytest.raises(
        ValueError, match=rf"{name} has the shape \(4, 4\) and the dark \(512, 512\)"
    ):
        find(dark, **{name: np.ones((4, 4), dtype=bool)})


def test_wrong_choices_are_refused(dark):
    with pytest.raises(ValueError, match="must have two axes"):
        find(dark, data=np.zeros(7))
    with pytest.raises(ValueError, match="quality_kind is 'byte'"):
        find(dark, "byte")
    for gain in (0, -1, np.nan, np.inf):
        with pytest.raises(ValueError, match="electrons_per_adu"):
            find(dark, electrons_per_adu=gain)
    with pytest.raises(ValueError, match="no such detector: 'laplacian'; there are hybrid"):
        DetectionOptions(detector="laplacian")
    with pytest.raises(ValueError, match=r"grow_significance \(6\) must lie between 0 and seed"):
        DetectionOptions(grow_significance=6)
    with pytest.raises(ValueError, match="grow_quality"):
        DetectionOptions(seed_quality=5)


def test_astroscrappy_knows_of_the_noise_of_light_that_was_taken_off(dark):
    options = replace(OPTIONS, detector="astroscrappy")
    rng = np.random.default_rng(1)
    electrons = np.zeros(dark.data.shape)
    electrons[:, :256] = 900.0  # five times the variance of the readout alone
    noise = (rng.poisson(electrons) - electrons) / ELECTRONS_PER_ADU
    data = dark.data + noise.astype(np.float32)
    added = electrons / ELECTRONS_PER_ADU**2

    def false(**arguments):
        wrong = find(dark, data=data, options=options, **arguments).mask & ~dark.truth
        return wrong[:, :248].sum(), wrong[:, 264:].sum()

    (lit, others), (lit_before, others_before) = false(added_variance=added), false()
    assert lit_before > 3 * others_before
    assert lit < 1.3 * others
    assert others == others_before
    plain, told = (
        find(dark, options=options, added_variance=added) for added in (None, 0 * electrons)
    )
    assert_array_equal(told.mask, plain.mask)
    assert_allclose(told.cleaned, plain.cleaned, atol=1e-3)


def test_variance_of_single_pixels_lowers_their_significance(dark):
    plain = find(dark)
    hit = tuple(np.argwhere(plain.mask)[0])
    added = np.zeros(dark.data.shape, dtype=np.float32)
    added[hit] = 99 * plain.noise[hit] ** 2  # ten times the noise
    found = find(dark, added_variance=added)
    assert_allclose(found.significance[hit], plain.significance[hit] / 10, rtol=1e-5)
    others = added == 0
    assert_array_equal(found.significance[others], plain.significance[others])
    with pytest.raises(ValueError, match="added_variance has the shape"):
        find(dark, added_variance=added[1:])
