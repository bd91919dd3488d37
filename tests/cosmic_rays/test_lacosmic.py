"""L.A.Cosmic: the masks of astroscrappy, with numbers in the right units."""

import logging
from dataclasses import replace

import astroscrappy
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import ndimage

from crsteps.cosmic_rays import lacosmic_search
from crsteps.cosmic_rays.lacosmic import LacosmicOptions, detect_lacosmic
from crsteps.cosmic_rays.two_pass import join_passes
from crsteps.simulation.fibre_spectrograph import equal_options, simulate_fibre_exposures

READ_NOISE = 3.4
NOISE = {"read_variance": READ_NOISE**2, "poisson_factor": 1.0}
ONE_PASS = LacosmicOptions(sigclip=4.0, objlim=3.0, padwidth=0)


@pytest.fixture(scope="module")
def image():
    options = equal_options(shape=(96, 120), hit_fraction=0.04)
    image = simulate_fibre_exposures(options, seed=3).data[0]
    image[40:52, 30:44] = 3e4  # as large as a saturated star
    return image


def ellipse(options):
    """The elliptical PSF, by its definition."""
    half = options.psfsize // 2
    y, x = np.mgrid[-half : half + 1, -half : half + 1]
    sigma_x, sigma_y = (fwhm / 2.3548200 for fwhm in (options.psffwhm_x, options.psffwhm_y))
    kernel = np.exp(-0.5 * ((x / sigma_x) ** 2 + (y / sigma_y) ** 2))
    return (kernel / kernel.sum()).astype(np.float32)


def astroscrappys(image, options, **arguments):
    """Mask and cleaned image of astroscrappy for one pass without padding, gain 1."""
    widths = {"gaussx": options.psffwhm_x, "gaussy": options.psffwhm_y}
    mean = (options.psffwhm_x + options.psffwhm_y) / 2
    names = ("sigclip", "sigfrac", "objlim", "satlevel", "niter", "sepmed", "cleantype", "fsmode")
    values = {name: getattr(options, name) for name in names}
    values["sigfrac"] = options.sigfrac[0]
    values |= {"gain": 1.0, "readnoise": READ_NOISE, "psfsize": options.psfsize}
    values |= {"psffwhm": widths.get(options.psfmodel, mean), "psfbeta": options.psfbeta}
    if options.psfmodel == "gaussxy":
        values["psfk"] = ellipse(options)
    else:
        values["psfmodel"] = options.psfmodel
    return astroscrappy.detect_cosmics(image, **values | arguments)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"cleantype": "medmask"},
        {"cleantype": "idw", "niter": 7},
        {"sepmed": False, "sigclip": 5.5},
        {"sepmed": False, "fsmode": "median"},
        {"fsmode": "median", "niter": 1},
        {"psffwhm_x": 4.0, "psffwhm_y": 1.5, "psfsize": 7},
        {"psfmodel": "gauss", "psffwhm_x": 3.0},
        {"psfmodel": "gaussx", "psffwhm_y": 1.0},
        {"psfmodel": "gaussy", "psffwhm_y": 3.0},
        {"psfmodel": "moffat", "psfbeta": 3.0, "psffwhm_x": 3.0, "psfsize": 9},
        {"satlevel": 2e4},
        {"satlevel": np.inf},
    ],
)
def test_mask_and_image_are_those_of_astroscrappy(image, changes):
    options = replace(ONE_PASS, **changes)
    found = detect_lacosmic(image, **NOISE, options=options)
    mask, cleaned = astroscrappys(image, options)
    assert mask.sum() > 40
    assert_array_equal(found.mask, mask)
    assert_allclose(found.cleaned, cleaned, rtol=2e-6, atol=1e-5)
    assert found.significance is None


def test_each_parameter_has_an_effect(image):
    changes = [
        {"sigclip": 6.0},
        {"sigfrac": 0.9},
        {"objlim": 6.0},
        {"satlevel": 2e4},
        {"niter": 1},
        {"sepmed": False},
        {"fsmode": "median"},
        {"psfmodel": "moffat"},
        {"psffwhm_x": 4.0},
        {"psffwhm_y": 4.0},
        {"psfsize": 3},
        {"padwidth": 10},
    ]
    expected = detect_lacosmic(image, **NOISE, options=ONE_PASS)
    for change in changes:
        found = detect_lacosmic(image, **NOISE, options=replace(ONE_PASS, **change))
        assert (found.mask != expected.mask).any(), change
    moffat = replace(ONE_PASS, psfmodel="moffat")
    masks = [
        detect_lacosmic(image, **NOISE, options=replace(moffat, psfbeta=beta)).mask
        for beta in (1.5, 4.765)
    ]
    assert (masks[0] != masks[1]).any()


def test_median_cleaning_takes_the_median_of_the_whole_window():
    image = np.random.default_rng(1).normal(100, 5, (30, 30)).astype(np.float32)
    image[12, 15] += 3000
    found = detect_lacosmic(image, **NOISE, options=replace(ONE_PASS, cleantype="median"))
    assert_array_equal(np.argwhere(found.mask), [[12, 15]])
    assert found.cleaned[12, 15] == np.median(image[10:15, 13:18])


def test_two_passes_are_two_runs_joined(image):
    options = LacosmicOptions(objlim=3.0)
    both = detect_lacosmic(image, **NOISE, options=options)
    peaks, tails = (
        detect_lacosmic(image, **NOISE, options=replace(options, sigclip=value))
        for value in (5.0, 3.0)
    )
    assert 0 < peaks.mask.sum() < both.mask.sum() < tails.mask.sum()
    assert_array_equal(both.mask, join_passes(peaks.mask, tails.mask))
    assert_array_equal(both.cleaned[both.mask], tails.cleaned[both.mask])
    assert_array_equal(both.cleaned[~both.mask], image[~both.mask])


def test_padding_finds_cosmic_rays_at_the_edges():
    image = np.random.default_rng(2).normal(100, 5, (40, 50)).astype(np.float32)
    image[0, 10] = image[20, 49] = image[39, 0] = 3000
    assert not detect_lacosmic(image, **NOISE, options=ONE_PASS).mask.any()
    options = replace(ONE_PASS, padwidth=10)
    found = detect_lacosmic(image, **NOISE, options=options)
    assert_array_equal(np.argwhere(found.mask), [[0, 10], [20, 49], [39, 0]])
    assert np.abs(found.cleaned - 100).max() < 30
    mask, _ = astroscrappys(np.pad(image, 10, mode="reflect"), options)
    assert_array_equal(found.mask, mask[10:-10, 10:-10])


@pytest.mark.parametrize("gain", [0.25, 8.0])
def test_noise_and_saturation_are_converted_to_electrons(image, gain):
    adu = image / np.float32(gain)
    noise = {"read_variance": (READ_NOISE / gain) ** 2, "poisson_factor": 1 / gain}
    options = replace(ONE_PASS, satlevel=2e4 / gain)
    mask, cleaned = astroscrappys(image, replace(options, satlevel=2e4))
    in_electrons = detect_lacosmic(adu, **noise, options=options)
    assert_array_equal(in_electrons.mask, mask)
    assert_allclose(in_electrons.cleaned, cleaned, rtol=1e-5)
    in_adu = detect_lacosmic(adu, **noise, options=replace(options, gain_apply=False))
    assert_array_equal(in_adu.mask, mask)
    assert_allclose(in_adu.cleaned, cleaned / gain, rtol=1e-5)
    assert_array_equal(in_adu.cleaned[~mask], adu[~mask])


def test_noise_of_each_pixel_is_the_variance_of_astroscrappy(image):
    read_variance = np.where(np.arange(120) < 60, 4.0, 900.0) * np.ones((96, 1))
    found = detect_lacosmic(image, read_variance=read_variance, poisson_factor=1, options=ONE_PASS)
    variance = (image + read_variance).astype(np.float32)
    mask, _ = astroscrappys(image, ONE_PASS, invar=variance)
    assert_array_equal(found.mask, mask)
    plain = detect_lacosmic(image, **NOISE, options=ONE_PASS).mask
    assert found.mask[:, 70:].sum() < 0.7 * plain[:, 70:].sum()
    gain = np.where(np.arange(120) < 60, 1.0, 2.0) * np.ones((96, 1))
    noise = {"read_variance": (READ_NOISE / gain) ** 2, "poisson_factor": 1 / gain}
    of_two_gains = detect_lacosmic(image / gain, **noise, options=ONE_PASS)
    assert_array_equal(of_two_gains.mask, plain)


def test_missing_pixels_are_left_out_with_their_neighbours(image):
    missing = np.random.default_rng(3).random(image.shape) < 0.01
    found = detect_lacosmic(np.where(missing, np.nan, image), **NOISE, options=ONE_PASS)
    assert found.mask.sum() > 40
    assert not found.mask[ndimage.binary_dilation(missing, np.ones((3, 3)))].any()
    assert np.isfinite(found.cleaned).all()
    filled = found.cleaned.copy()
    filled[found.mask] = image[found.mask]
    mask, _ = astroscrappys(filled, ONE_PASS, inmask=missing)
    assert_array_equal(found.mask, mask)


def test_verbose_says_what_is_found(image, caplog):
    with caplog.at_level(logging.INFO):
        detect_lacosmic(image, **NOISE)
        assert caplog.text == ""
        found = detect_lacosmic(image, **NOISE, options=LacosmicOptions(verbose=True))
    assert f"L.A.Cosmic: {found.mask.sum()} pixels flagged" in caplog.text


@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (3, 2), (7, 5), (12, 40)])
@pytest.mark.parametrize("value", [0.0, 1e5, -50.0, np.nan])
@pytest.mark.parametrize("padwidth", [0, 10])
def test_small_and_constant_images_have_no_cosmic_rays(shape, value, padwidth):
    options = LacosmicOptions(padwidth=padwidth)
    found = detect_lacosmic(np.full(shape, value), **NOISE, options=options)
    assert not found.mask.any()
    assert_array_equal(found.cleaned, np.full(shape, np.nan_to_num(value)))


def test_input_is_not_modified(image):
    data, missing = image.copy(), np.zeros(image.shape, dtype=bool)
    missing[3:5] = True
    found = detect_lacosmic(data, **NOISE, missing=missing)
    assert_array_equal(data, image)
    assert missing.sum() == 2 * image.shape[1]
    assert not np.shares_memory(found.cleaned, data)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sigclip": (1, 2, 3)}, "sigclip"),
        ({"objlim": "much"}, "objlim"),
        ({"cleantype": "mean"}, "cleantype is 'mean'; it must be one of median, medmask"),
        ({"fsmode": "none"}, "fsmode is 'none'"),
        ({"psfmodel": "gaussyx"}, "psfmodel is 'gaussyx'"),
        ({"niter": 0}, "niter is 0; it must be a whole number of at least 1"),
        ({"padwidth": -1}, "padwidth is -1"),
        ({"psfsize": 10}, "psfsize is 10; it must be odd"),
        ({"psfsize": 1}, "psfsize is 1"),
        ({"psffwhm_x": 0.0}, "psffwhm_x is 0.0; it must be positive"),
        ({"satlevel": np.nan}, "satlevel"),
    ],
)
def test_impossible_options_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        LacosmicOptions(**changes)


@pytest.mark.parametrize("changes", [{}, {"sepmed": False}, {"fsmode": "median"}, {"psfsize": 3}])
def test_rows_and_windows_worked_on_at_a_time_do_not_matter(image, monkeypatch, changes):
    options = replace(ONE_PASS, **changes)
    expected = detect_lacosmic(image, **NOISE, options=options)
    monkeypatch.setattr(lacosmic_search, "_ROWS", 5)
    monkeypatch.setattr(lacosmic_search, "_AT_ONCE", 7)
    found = detect_lacosmic(image, **NOISE, options=options)
    assert_array_equal(found.mask, expected.mask)
    assert_array_equal(found.cleaned, expected.cleaned)


def test_too_much_subtracted_background_does_not_take_the_noise_away():
    image = np.random.default_rng(4).normal(-40, READ_NOISE, (60, 70)).astype(np.float32)
    image[30, 20] += 3000
    assert np.mean(astroscrappys(image, ONE_PASS)[0]) > 0.1
    read_variance = np.full(image.shape, READ_NOISE**2)
    for variance in (READ_NOISE**2, read_variance):
        noise = {"read_variance": variance, "poisson_factor": 1.0}
        found = detect_lacosmic(image, **noise, options=replace(ONE_PASS, sigclip=6.0))
        assert_array_equal(np.argwhere(found.mask), [[30, 20]])
