"""Offsets between exposures against the truth of simulations, and shifted images."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crsteps.detector.regions import Region
from crsteps.mm_cosmic.offsets import measure_offsets, shift_image
from crsteps.simulation.fibre_spectrograph import equal_options, simulate_fibre_exposures

SHIFTS = ((-0.46, 0.41), (0.0, -0.01), (0.48, -0.26))


def spots(shape, dx=0.0, dy=0.0):
    """Gaussian spots, well sampled, with their truth known at any shift."""
    y, x = np.indices(shape, dtype=float)
    image = np.zeros(shape)
    for centre_x, centre_y, flux in ((12, 14, 900.0), (30.3, 22.6, 500.0), (20.5, 31.2, 700.0)):
        image += flux * np.exp(-((x - centre_x - dx) ** 2 + (y - centre_y - dy) ** 2) / 4.5)
    return image


@settings(max_examples=40)
@given(dx=st.floats(-4, 4), dy=st.floats(-4, 4))
def test_shift_is_right_and_keeps_the_flux(dx, dy):
    image = spots((46, 42))
    shifted = shift_image(image, dx, dy)
    assert np.abs(shifted - spots((46, 42), dx, dy)).max() < 3  # of 900
    assert shifted.sum() == pytest.approx(image.sum(), rel=1e-6)
    assert shifted.dtype == image.dtype


def test_whole_pixels_are_moved_and_edges_repeated():
    image = np.arange(20.0, dtype=np.float32).reshape(4, 5)
    shifted = shift_image(image, 2, -1)
    np.testing.assert_array_equal(shifted[:3, 2:], image[1:, :3])
    np.testing.assert_array_equal(shifted[:, 0], shifted[:, 2])
    np.testing.assert_array_equal(shifted[3], shifted[2])
    np.testing.assert_array_equal(shift_image(image, 0, 0), image)
    assert (shift_image(image, 1000, 0) == image[:, :1]).all()
    assert shift_image(np.full((6, 7), 3.0), 0.3, -0.4) == pytest.approx(3.0)


def test_missing_pixels_move_along_and_spoil_no_others():
    image = spots((46, 42))
    holed = image.copy()
    holed[5, 7] = np.nan
    shifted = shift_image(holed, 1.2, -0.3)
    assert np.argwhere(np.isnan(shifted)).tolist() == [[5, 8]]
    assert np.isnan(holed[5, 7])
    assert np.nanmax(np.abs(shifted - shift_image(image, 1.2, -0.3))) < 2
    assert np.isnan(shift_image(np.full((3, 4), np.nan), 0.2, 1)).all()


@pytest.mark.parametrize("region", [[11, 240, 11, 200], [60, 200, 40, 140]])
@pytest.mark.parametrize("seed", [2, 3])
def test_offsets_of_simulated_exposures(region, seed):
    options = replace(equal_options(), shape=(210, 250), shifts=SHIFTS, line_spacing=20.0)
    exposures = simulate_fibre_exposures(options, seed=seed).cosmic_ray_free
    found = measure_offsets(np.median(exposures, axis=0), exposures, region)
    np.testing.assert_allclose(found.values, SHIFTS, atol=0.04)
    x_min, x_max, y_min, y_max = region
    shape = (y_max - y_min + 1, x_max - x_min + 1)
    assert found.reference.shape == shape
    assert found.exposures.shape == found.registered.shape == (3, *shape)
    before, after = (
        np.std(images - found.reference, axis=(1, 2))
        for images in (found.exposures, found.registered)
    )
    assert np.all(after[[0, 2]] < 0.6 * before[[0, 2]])


@pytest.mark.parametrize(("dx", "dy"), [(0.0, 0.0), (0.37, -1.44), (-3.2, 2.6)])
def test_offset_of_an_exact_copy(dx, dy):
    """What enters and leaves the region draws nothing towards zero."""
    moved = spots((46, 42), dx, dy)
    found = measure_offsets(spots((46, 42)), [moved, 3 * moved + 100], Region(5, 36, 6, 40))
    np.testing.assert_allclose(found.values, [(dx, dy)] * 2, atol=0.011)


def test_missing_pixels_do_not_matter():
    rng = np.random.default_rng(1)
    images = [spots((46, 42)), spots((46, 42), 0.4, -0.3)]
    for image in images:
        image[rng.random(image.shape) < 0.02] = np.nan
    before = images[1].copy()
    found = measure_offsets(images[0], images[1:], [1, 42, 1, 46])
    np.testing.assert_allclose(found.values, [(0.4, -0.3)], atol=0.06)
    np.testing.assert_array_equal(images[1], before)


@pytest.mark.parametrize(
    ("region", "message"),
    [
        ([1, 9, 1, 11], "has 99 pixels: give one of at least 100"),
        ([1, 43, 1, 46], "reaches beyond the image"),
        ("1:2", "is no region"),
    ],
)
def test_regions_that_cannot_be_used(region, message):
    with pytest.raises(ValueError, match=message):
        measure_offsets(spots((46, 42)), [spots((46, 42))], region)


@pytest.mark.parametrize("value", [7.0, np.nan])
def test_regions_without_structure(value):
    image = spots((46, 42))
    with pytest.raises(ValueError, match="shows no structure"):
        measure_offsets(image, [np.full(image.shape, value)], [1, 42, 1, 46])
    with pytest.raises(ValueError, match="shows no structure"):
        measure_offsets(np.full(image.shape, value), [image], [1, 42, 1, 46])
