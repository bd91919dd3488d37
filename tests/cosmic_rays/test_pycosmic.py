"""PyCosmic: against the method written out step by step, on images of twice the size."""

import logging
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import ndimage

from crsteps.cosmic_rays import laplacian_edges
from crsteps.cosmic_rays.pycosmic import PycosmicOptions, detect_pycosmic
from crsteps.cosmic_rays.two_pass import join_passes
from crsteps.simulation.fibre_spectrograph import equal_options, simulate_fibre_exposures

READ_NOISE = 3.4
NOISE = {"read_variance": READ_NOISE**2, "poisson_factor": 1.0}
ONE_PASS = PycosmicOptions(sigma_det=4.0, rlim=1.2)
LAPLACIAN = np.array([[0, -1, 0], [-1, 4, -1], [0, -1, 0]]) / 4


@pytest.fixture(scope="module")
def exposures():
    options = equal_options(shape=(96, 120), hit_fraction=0.04)
    return simulate_fibre_exposures(options, seed=3)


@pytest.fixture(scope="module")
def image(exposures):
    return exposures.data[0]


def laplacian_of_quarters(image, *, clip):
    """Sum over the quarters of each pixel of their Laplacian, by the image of twice the size."""
    fine = ndimage.convolve(np.kron(image, np.ones((2, 2))), LAPLACIAN, mode="nearest")
    fine = np.maximum(fine, 0) if clip else fine
    return fine.reshape(image.shape[0], 2, image.shape[1], 2).sum(axis=(1, 3))


def written_out(image, options, *, variance, missing):
    """Mask and replaced image of one pass: all is computed anew in each iteration."""
    sigma = options.fwhm_gauss_y / 2.354, options.fwhm_gauss_x / 2.354
    box = options.replace_box_y, options.replace_box_x
    read_variance, poisson_factor = variance
    flagged, work = missing.copy(), image.astype(np.float64)
    for _ in range(options.iterations):
        signal = np.maximum(ndimage.median_filter(work, box), 0)
        noise = np.sqrt(read_variance + poisson_factor * signal)
        edges = laplacian_of_quarters(work, clip=True) / (2 * noise)
        significance = edges - ndimage.median_filter(edges, 5)
        weight = ndimage.gaussian_filter((~flagged).astype(float), sigma)
        smooth = ndimage.gaussian_filter(np.where(flagged, 0, work), sigma)
        smooth = np.divide(smooth, weight, out=np.zeros_like(smooth), where=weight > 1e-6)
        ratio = np.divide(work, smooth, out=np.zeros_like(work), where=smooth > 0)
        contrast = laplacian_of_quarters(np.maximum(ratio, 0), clip=False)
        flagged |= (significance > options.sigma_det) & (contrast > options.rlim)
        for y, x in np.argwhere(flagged):
            reach_y, reach_x = -(-box[0] // 2), -(-box[1] // 2)
            rows = slice(max(y - reach_y, 0), y + reach_y + 1)
            window = rows, slice(max(x - reach_x, 0), x + reach_x + 1)
            work[y, x] = np.median(image[window][~flagged[window]])
    return flagged & ~missing, work


def whole(image):
    return np.zeros(image.shape, dtype=bool)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"iterations": 1},
        {"sigma_det": 3.0, "rlim": 0.8},
        {"fwhm_gauss_x": 3.5, "fwhm_gauss_y": 1.4},
        {"replace_box_x": 9, "replace_box_y": 3},
        {"replace_box_x": 1, "replace_box_y": 7, "fwhm_gauss_x": 1.0},
    ],
)
def test_mask_and_image_are_those_of_the_method_written_out(image, changes):
    options = replace(ONE_PASS, **changes)
    found = detect_pycosmic(image, **NOISE, options=options)
    variance = READ_NOISE**2, 1.0
    mask, cleaned = written_out(image, options, variance=variance, missing=whole(image))
    assert mask.sum() > 100
    assert_array_equal(found.mask, mask)
    assert_allclose(found.cleaned, cleaned, rtol=1e-6)
    assert (found.significance[mask] > options.sigma_det).all()


def test_missing_pixels_and_noise_of_each_pixel(image):
    rng = np.random.default_rng(7)
    missing = rng.random(image.shape) < 0.03
    missing[0, :4] = True
    read_variance = rng.uniform(6, 30, image.shape).astype(np.float32)
    poisson_factor = rng.uniform(0.7, 1.4, image.shape).astype(np.float32)
    broken = np.where(missing, np.nan, image)
    noise = {"read_variance": read_variance, "poisson_factor": poisson_factor}
    found = detect_pycosmic(broken, **noise, options=ONE_PASS)
    # The search begins with the image in which the missing pixels are filled.
    filled = image.copy()
    for y, x in np.argwhere(missing):
        window = np.s_[max(y - 3, 0) : y + 4, max(x - 3, 0) : x + 4]
        filled[y, x] = np.median(image[window][~missing[window]])
    variance = read_variance, poisson_factor
    mask, cleaned = written_out(filled, ONE_PASS, variance=variance, missing=missing)
    assert mask.sum() > 100
    assert_array_equal(found.mask, mask)
    assert_allclose(found.cleaned, cleaned, rtol=1e-6)
    assert_array_equal(np.isnan(found.significance), missing)


def test_two_passes_are_two_runs_joined(image):
    both = detect_pycosmic(image, **NOISE, options=PycosmicOptions())
    peaks, tails = (
        detect_pycosmic(image, **NOISE, options=PycosmicOptions(sigma_det=value))
        for value in (5.0, 3.0)
    )
    assert 0 < peaks.mask.sum() < both.mask.sum() < tails.mask.sum()
    assert_array_equal(both.mask, join_passes(peaks.mask, tails.mask))
    assert_array_equal(both.cleaned[both.mask], tails.cleaned[both.mask])
    assert_array_equal(both.cleaned[~both.mask], image[~both.mask])
    by_contrast = detect_pycosmic(image, **NOISE, options=PycosmicOptions(5.0, (1.5, 1.0)))
    assert peaks.mask.sum() != by_contrast.mask.sum()


def test_second_pass_begins_anew(image):
    missing = np.random.default_rng(8).random(image.shape) < 0.05
    both = detect_pycosmic(image, **NOISE, missing=missing, options=PycosmicOptions())
    runs = [
        detect_pycosmic(image, **NOISE, missing=missing, options=PycosmicOptions(sigma_det=value))
        for value in (5.0, 3.0)
    ]
    assert_array_equal(both.mask, join_passes(runs[0].mask, runs[1].mask))


def test_rows_and_pixels_worked_on_at_a_time_do_not_matter(image, monkeypatch):
    expected = detect_pycosmic(image, **NOISE)
    monkeypatch.setattr(laplacian_edges, "_ROWS", 7)
    monkeypatch.setattr(laplacian_edges, "_AT_ONCE", 13)
    found = detect_pycosmic(image, **NOISE)
    for name in ("mask", "cleaned", "significance"):
        assert_array_equal(getattr(found, name), getattr(expected, name))


@pytest.mark.parametrize("unit", [0.01, 37.0])
def test_the_unit_of_the_image_does_not_matter(image, unit):
    expected = detect_pycosmic(image, **NOISE)
    found = detect_pycosmic(
        image * np.float32(unit),
        read_variance=READ_NOISE**2 * unit**2,
        poisson_factor=unit,
    )
    assert np.count_nonzero(found.mask ^ expected.mask) <= 2  # rounding at a threshold
    assert_allclose(
        found.cleaned[expected.mask & found.mask],
        unit * expected.cleaned[expected.mask & found.mask],
        rtol=1e-5,
    )


def test_most_of_the_charge_is_found_and_little_else(exposures, image):
    found = detect_pycosmic(image, **NOISE)
    charge, noise = exposures.charge[0], exposures.noise[0]
    assert np.mean(found.mask[charge > 20 * noise]) > 0.75
    assert np.mean(charge[found.mask] > 0.3 * noise[found.mask]) > 0.9


def test_increase_radius_dilates_the_mask_and_more_is_replaced(image):
    found = detect_pycosmic(image, **NOISE)
    grown = detect_pycosmic(image, **NOISE, options=PycosmicOptions(increase_radius=2))
    assert_array_equal(grown.mask, ndimage.binary_dilation(found.mask, np.ones((5, 5))))
    assert_array_equal(grown.cleaned[~grown.mask], image[~grown.mask])
    ring = grown.mask & ~found.mask
    assert np.mean(grown.cleaned[ring] != image[ring]) > 0.9


def test_error_image_is_made_on_request(image):
    assert detect_pycosmic(image, **NOISE).error is None
    options = PycosmicOptions(error_image=True, replace_error=77.0)
    found = detect_pycosmic(image, **NOISE, options=options)
    signal = np.maximum(ndimage.median_filter(found.cleaned, 5), 0)
    expected = np.where(found.mask, 77.0, np.sqrt(READ_NOISE**2 + signal))
    assert_allclose(found.error, expected, rtol=1e-6)


def test_verbose_says_what_is_found(image, caplog):
    with caplog.at_level(logging.INFO):
        detect_pycosmic(image, **NOISE)
        assert caplog.text == ""
        detect_pycosmic(image, **NOISE, options=PycosmicOptions(verbose=True))
    assert "PyCosmic, pass 2" in caplog.text


def test_sky_subtracted_images_have_few_false_cosmic_rays():
    rng = np.random.default_rng(9)
    image = rng.normal(0, 3, (200, 200)).astype(np.float32)
    assert detect_pycosmic(image, read_variance=9.0, poisson_factor=1.0).mask.mean() < 1e-3
    image[50, 60] += 300
    found = detect_pycosmic(image, read_variance=9.0, poisson_factor=1.0)
    assert found.mask[50, 60]


@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (3, 2), (7, 5)])
@pytest.mark.parametrize("value", [0.0, 1e4, -50.0, np.nan])
def test_small_and_constant_images_have_no_cosmic_rays(shape, value):
    found = detect_pycosmic(np.full(shape, value), **NOISE)
    assert not found.mask.any()
    assert_array_equal(found.cleaned, np.full(shape, np.nan_to_num(value)))


def test_cosmic_rays_at_the_edges_and_in_a_saturated_image(image):
    frame = np.full((30, 40), 100.0, dtype=np.float32)
    frame[0, 0] = frame[29, 20] = frame[10, 39] = 5000
    found = detect_pycosmic(frame, **NOISE)
    assert_array_equal(np.argwhere(found.mask), [[0, 0], [10, 39], [29, 20]])
    assert_array_equal(found.cleaned, np.full((30, 40), 100.0))
    saturated = np.where(image > 50, 65535, image)
    assert np.isfinite(detect_pycosmic(saturated, **NOISE).cleaned).all()


def test_input_is_not_modified(image):
    data, missing = image.copy(), whole(image)
    missing[3:5] = True
    read_variance = np.full(image.shape, 10.0)
    detect_pycosmic(data, read_variance=read_variance, poisson_factor=1.0, missing=missing)
    assert_array_equal(data, image)
    assert missing.sum() == 2 * image.shape[1]
    assert (read_variance == 10).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sigma_det": (1, 2, 3)}, "sigma_det"),
        ({"rlim": "much"}, "rlim"),
        ({"iterations": 0}, "iterations is 0; it must be a whole number of at least 1"),
        ({"replace_box_x": 2.5}, "replace_box_x is 2.5"),
        ({"increase_radius": -1}, "increase_radius is -1"),
        ({"fwhm_gauss_y": 0.0}, "fwhm_gauss_y is 0.0; it must be positive"),
        ({"replace_error": np.nan}, "replace_error"),
    ],
)
def test_impossible_options_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        PycosmicOptions(**changes)


def test_cleaned_image_is_a_new_one():
    image = np.full((20, 20), 5, dtype=np.float32)
    assert not np.shares_memory(detect_pycosmic(image, **NOISE).cleaned, image)
