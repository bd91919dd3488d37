"""Masks joined as numina-crmasks documents it, against the same put together slowly by hand."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal
from scipy import ndimage

from crsteps.cosmic_rays.pycosmic import detect_pycosmic
from crsteps.detector.noise import ExposureNoise
from crsteps.mm_cosmic.combination import combine
from crsteps.mm_cosmic.diagram import DiagramOptions
from crsteps.mm_cosmic.diagram_masks import find_in_diagram
from crsteps.mm_cosmic.diagram_search import _rising
from crsteps.mm_cosmic.masks import MMCosmicOptions
from crsteps.mm_cosmic.methods import find_with_method, parse_crmethod
from crsteps.mm_cosmic.user_pixels import make_user_pixels
from crsteps.simulation.fibre_spectrograph import equal_options, simulate_fibre_exposures

GAIN, READ_NOISE = 1.6, 2.0
NOISE = ExposureNoise.from_gain(GAIN, READ_NOISE)
DETECTOR_NOISE = {"read_variance": READ_NOISE**2, "poisson_factor": 1 / GAIN}
SQUARE = np.ones((3, 3), dtype=bool)
DIAGRAM = DiagramOptions(nsimulations=2, dilation=1)
EQUAL = MMCosmicOptions(equivalence="none")


@pytest.fixture(scope="module")
def data():
    """Return three equal exposures, ADU."""
    options = equal_options(shape=(96, 120), gain=GAIN, read_noise=GAIN * READ_NOISE)
    return simulate_fibre_exposures(options, seed=4).data


def find(data, crmethod, *, diagram=DIAGRAM, options=EQUAL, **others):
    others = {"noise": NOISE, "options": options, "diagram": diagram} | others
    return find_with_method(data, method=parse_crmethod(crmethod), **others)


def slowly_above(mask, image, lowest, threshold):
    """Components of a mask of which a pixel is above the threshold, one by one."""
    labels, n = ndimage.label(mask, SQUARE)
    kept = [i for i in range(1, n + 1) if np.any((image - lowest)[labels == i] > threshold)]
    return np.isin(labels, kept)


@given(
    arrays(bool, (7, 9)),
    arrays(np.float32, (7, 9), elements=st.floats(0, 10, width=32)),
    st.floats(0, 10, width=32),
)
def test_features_above_a_threshold(mask, image, threshold):
    expected = slowly_above(mask, image, 0, np.float32(threshold))
    assert_array_equal(_rising(mask, image, np.float32(threshold)), expected)


def dilated(mask, times):
    return ndimage.binary_dilation(mask, SQUARE, iterations=times) if times else mask


@pytest.mark.parametrize("crmethod", ["mm_pycosmic", "pycosmic", "mmcosmic"])
@pytest.mark.parametrize("dilation", [0, 1])
def test_masks_by_hand(data, crmethod, dilation):
    result = find(data, crmethod, options=replace(EQUAL, dilation=dilation))
    uses_mm, uses_detector = crmethod != "pycosmic", crmethod != "mmcosmic"
    lowest, median, mean = data.min(axis=0), np.median(data, axis=0), data.mean(axis=0)
    masks = []
    for image in (median, mean, *data):
        mask = np.zeros(median.shape, dtype=bool)
        if uses_detector:
            mask = detect_pycosmic(image, **DETECTOR_NOISE).mask
            if uses_mm:
                mask = slowly_above(mask, image, lowest, 3 * READ_NOISE)
        masks.append(mask)
    by_detector = masks[0].copy()
    by_diagram = np.zeros_like(by_detector)
    if uses_mm:
        found = find_in_diagram(
            data, gain=GAIN, read_noise=READ_NOISE, auxiliary=result.auxiliary, options=DIAGRAM
        )
        by_diagram = found.median
        masks = [
            own | other
            for own, other in zip(masks, (found.median, found.mean, *found.exposures), strict=True)
        ]
    assert masks[0].sum() > 20
    assert_array_equal(result.mediancr, dilated(masks[0], dilation))
    assert_array_equal(result.meancrt, dilated(masks[1], dilation) | result.mediancr)
    for mask, own in zip(result.exposure_masks, masks[2:], strict=True):
        assert_array_equal(mask, dilated(own & result.meancrt, dilation))
    codes = 2 * by_diagram.astype(int) + 3 * by_detector
    codes = np.where(codes == 5, 4, codes)
    assert_array_equal(result.codes, np.where((codes == 0) & result.mediancr, 1, codes))


def test_mask_of_the_cleaned_mean(data):
    result = find(data, "pycosmic", options=replace(EQUAL, dilation=1))
    unflagged = np.where(result.exposure_masks, np.nan, data)
    image = data.min(axis=0)
    some = ~result.exposure_masks.all(axis=0)
    image[some] = np.nanmean(unflagged[:, some], axis=0)
    expected = detect_pycosmic(image, **DETECTOR_NOISE).mask
    assert expected.any()
    assert_array_equal(result.meancr, dilated(expected, 1))
    # In meancr2 these pixels are left with the lowest of the unflagged exposures.
    cleaned = combine(data, result, noise=NOISE, names=("meancr2",))["meancr2"].data
    pixels = result.meancr & some
    assert_allclose(cleaned[pixels], np.nanmin(unflagged[:, pixels], axis=0), rtol=1e-5)


def test_without_detector_the_cleaned_mean_is_not_searched(data):
    result = find(data, "mmcosmic")
    assert not result.meancr.any()
    assert result.auxiliary is None
    assert result.prior is None


def test_flux_factors(data):
    """Divided originals, or brighter simulations: the former change combinations."""
    factors = np.float32([1, 0.8, 1.25])
    scaled = data * factors[:, None, None]
    divided = find(scaled, "mm_pycosmic", flux_factors=factors, apply_flux_factor_to="original")
    simulated = find(scaled, "mm_pycosmic", flux_factors=factors)
    assert_allclose(divided.median, np.median(data, axis=0), rtol=1e-5, atol=1e-4)
    assert_allclose(simulated.median, np.median(scaled, axis=0), rtol=1e-5)
    for result, images in ((divided, data), (simulated, scaled)):
        mean = combine(scaled, result, noise=NOISE, names=("mean",))["mean"].data
        assert_allclose(mean, images.mean(axis=0), rtol=1e-5, atol=1e-3)


def test_single_exposures_are_simulated_from_cleaned_ones(data):
    result = find(data, "mm_pycosmic", diagram=replace(DIAGRAM, synthetic="single"))
    assert all(found.cleaned is not None for found in result.auxiliary.exposures)
    assert all(found.cleaned is None for found in find(data, "mm_pycosmic").auxiliary.exposures)


def test_skipped_regions(data):
    user = make_user_pixels(data[0].shape, skipped=[[1, 60, 1, 96]])
    result = find(data, "mm_pycosmic", user=user)
    for mask in (result.mediancr, result.meancrt, result.meancr, *result.exposure_masks):
        assert not mask[:, :60].any()
        assert mask[:, 60:].any() or mask is result.meancr


def test_missing_pixels(data):
    missing = np.zeros(data.shape, dtype=bool)
    missing[0, 20:40] = missing[:, 50:60, 50:60] = True
    result = find(data, "mm_pycosmic", missing=missing)
    assert not np.any(result.mediancr[50:60, 50:60])
    assert not np.any(result.exposure_masks[0, 22:38])
    assert_array_equal(result.n_usable, 3 - missing.sum(axis=0))
    for image in combine(data, result, noise=NOISE, missing=missing).values():
        assert_array_equal(np.isnan(image.data), missing.all(axis=0))
