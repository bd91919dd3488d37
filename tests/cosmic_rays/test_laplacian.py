"""astroscrappy: the same as a direct call, with one thread."""

from dataclasses import asdict, replace

import astroscrappy
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from threadpoolctl import threadpool_info

from crsteps.cosmic_rays.laplacian import SLEW_DARK, LaplacianOptions, detect_laplacian

# As in the presentation of the NISP team's pipeline.
TEAM = {
    "sigclip": 4.5,
    "sigfrac": 0.3,
    "objlim": 4.0,
    "gain": 1.95,
    "readnoise": 6,
    "satlevel": 65536.0,
    "niter": 6,
    "sepmed": True,
    "cleantype": "meanmask",
    "fsmode": "median",
    "psfmodel": "gauss",
    "psffwhm": 1.5,
    "psfsize": 5,
    "psfbeta": 4.765,
}


@pytest.fixture(scope="module")
def image():
    rng = np.random.default_rng(3)
    image = rng.normal(0, 3, (90, 101)).astype(np.float32)
    for y, x, charge in zip(*rng.integers(5, 85, (2, 60)), rng.uniform(20, 2000, 60), strict=True):
        image[y, x : x + 2] += charge
    return image


def test_preset_is_that_of_the_nisp_team():
    assert asdict(SLEW_DARK) == TEAM


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"fsmode": "convolve", "psfmodel": "moffat", "cleantype": "idw", "niter": 2},
        {"sepmed": False, "gain": 1.0, "readnoise": 9.0, "sigclip": 6.0, "cleantype": "median"},
    ],
)
def test_equals_the_direct_call(image, changes):
    options = replace(SLEW_DARK, **changes)
    flagged, cleaned = detect_laplacian(image, options=options)
    expected, image_cleaned = astroscrappy.detect_cosmics(image, **{**TEAM, **changes})
    assert flagged.sum() > 20 or changes.get("fsmode") == "convolve"
    assert_array_equal(flagged, expected)
    assert_array_equal(cleaned, image_cleaned)


def test_mask_background_and_variance_are_passed_on(image):
    mask = np.zeros(image.shape, dtype=bool)
    mask[40:50] = True
    background = np.full(image.shape, 2.0, dtype=np.float32)
    variance = np.full(image.shape, 9.0, dtype=np.float32)
    flagged, cleaned = detect_laplacian(image, mask=mask, background=background, variance=variance)
    expected, image_cleaned = astroscrappy.detect_cosmics(
        image, inmask=mask, inbkg=background, invar=variance, **TEAM
    )
    assert not flagged[39:51].any()
    assert_array_equal(flagged, expected)
    assert_array_equal(cleaned, image_cleaned)


def test_image_of_any_type_is_unchanged(image):
    numbers = np.rint(image).astype(np.int16)[:, ::2]
    before = numbers.copy()
    flagged, cleaned = detect_laplacian(numbers)
    expected, _ = astroscrappy.detect_cosmics(np.ascontiguousarray(numbers, np.float32), **TEAM)
    assert_array_equal(flagged, expected)
    assert flagged.dtype == bool
    assert cleaned.dtype == np.float32
    assert_array_equal(numbers, before)


def openmp_threads():
    return {d["num_threads"] for d in threadpool_info() if d["user_api"] == "openmp"}


def test_one_openmp_thread_during_the_call_and_as_many_as_before_afterwards(image, monkeypatch):
    before, seen = openmp_threads(), []

    def watched(data, **kwargs):
        seen.append(openmp_threads())
        return np.zeros(data.shape, dtype=bool), data

    monkeypatch.setattr(astroscrappy, "detect_cosmics", watched)
    detect_laplacian(image)
    assert seen == [{1}]
    assert openmp_threads() == before


def test_unknown_pixels_are_refused(image):
    broken = image.copy()
    broken[3, 3] = np.nan
    with pytest.raises(ValueError, match="finite pixels"):
        detect_laplacian(broken)


@pytest.mark.parametrize("shape", [(4, 30), (30, 4), (0, 0), (30,), (2, 9, 9)])
def test_images_without_room_for_the_filters_are_refused(shape):
    with pytest.raises(ValueError, match="at least 5x5"):
        detect_laplacian(np.zeros(shape), options=LaplacianOptions())


def test_smallest_and_constant_images_have_no_cosmic_rays():
    for shape in ((5, 5), (5, 40), (33, 7)):
        flagged, cleaned = detect_laplacian(np.full(shape, 7.0))
        assert not flagged.any()
        np.testing.assert_allclose(cleaned, 7.0, rtol=1e-6)
