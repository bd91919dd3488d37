"""Truncated Fourier series against closed forms and those of the jwst step."""

import numpy as np
import pytest
from jwst.clean_flicker_noise import clean_flicker_noise as jwst
from scipy import ndimage

from crsteps.flicker_noise.fourier_series import (
    ALLSLITS_FREQUENCIES,
    FREQUENCIES,
    SubarrayOptions,
    fit_full_frame,
    fit_subarray,
)


def to_lines(image, detector):
    return image.T if detector == "NRS1" else image.T[::-1]


def striped(shape, seed=2, masked=0.3):
    """Image in the frame of NIRSpec with slow noise, and a mask of blobs as traces leave them."""
    rng = np.random.default_rng(seed)
    slow = ndimage.gaussian_filter1d(rng.standard_normal((shape[1], shape[0])).ravel(), 150)
    slow *= 3 / slow.std()
    image = slow.reshape(shape[1], shape[0]).T + 4 * rng.standard_normal(shape)
    blobs = ndimage.gaussian_filter(rng.standard_normal(shape), 2)
    background_mask = blobs < np.quantile(blobs, 1 - masked)
    return image.astype(np.float32), background_mask


def relative_error(ours, theirs):
    return np.sqrt(np.mean((ours - theirs) ** 2) / np.mean(theirs**2))


@pytest.mark.parametrize("detector", ["NRS1", "NRS2"])
@pytest.mark.parametrize("masked", [0.1, 0.5])
def test_full_frame_is_that_of_the_jwst_step(detector, masked):
    image, background_mask = striped((768, 768), masked=masked)
    background_mask[:, 100] = background_mask[:, 700] = False  # a line without background
    image[3, 5:9] += 1000  # outliers
    theirs = to_lines(
        image - jwst.fft_clean_full_frame(image.copy(), background_mask, detector), detector
    )
    untouched = image.copy()
    lines = to_lines(image, detector)
    ours = fit_full_frame(lines, to_lines(background_mask, detector))
    assert theirs.std() > 0.5
    assert relative_error(ours, theirs) < 3e-4
    np.testing.assert_array_equal(image, untouched)


@pytest.mark.parametrize("detector", ["NRS1", "NRS2"])
@pytest.mark.parametrize("frequencies", [FREQUENCIES, ALLSLITS_FREQUENCIES])
@pytest.mark.parametrize(
    ("shape", "masked"), [((32, 200), 0.2), ((32, 200), 0.7), ((64, 61), 0.4), ((33, 15), 0.1)]
)
def test_subarray_is_that_of_the_jwst_step(detector, frequencies, shape, masked):
    image, background_mask = striped(shape, masked=masked)
    image[10, 5:8] += 500  # outliers
    theirs = image - jwst.fft_clean_subarray(image, background_mask, detector, fc=frequencies)
    ours = fit_subarray(
        to_lines(image, detector)[np.newaxis],
        to_lines(background_mask, detector)[np.newaxis],
        options=SubarrayOptions(frequencies=frequencies),
    )[0]
    assert theirs.std() > 0.1
    assert relative_error(ours, to_lines(theirs, detector)) < 1e-4


def test_subarray_with_little_background_in_a_part_of_the_lines():
    image, background_mask = striped((32, 1200))
    background_mask[:, :30] = background_mask[:, 1150:] = False
    background_mask[:, 100:1000] &= np.random.default_rng(3).random((32, 900)) < 0.015
    theirs = image - jwst.fft_clean_subarray(image, background_mask, "NRS1")
    ours = fit_subarray(image.T[np.newaxis], background_mask.T[np.newaxis])[0].T
    np.testing.assert_array_equal((ours == 0).all(axis=0), (theirs == 0).all(axis=0))
    # Beyond the lines at both ends, which have no background at all.
    assert (ours == 0).all(axis=0).sum() > 30 + 50 + 100
    dense = [*range(30, 70), *range(1080, 1150)]
    assert relative_error(ours[:, dense], theirs[:, dense]) < 1e-4


def test_images_are_independent():
    images, masks = zip(*(striped((32, 150), seed, 0.1 * seed) for seed in (1, 2, 3)), strict=True)
    together = fit_subarray(
        np.array([image.T for image in images]), np.array([mask.T for mask in masks])
    )
    for image, mask, noise in zip(images, masks, together, strict=True):
        alone = fit_subarray(image.T[np.newaxis], mask.T[np.newaxis])[0]
        np.testing.assert_allclose(noise, alone, atol=1e-10)


def test_slow_sine_on_the_clock_is_found():
    n_lines, length, section = 200, 32, SubarrayOptions(section_pixels=100_000)
    ticks = np.arange(n_lines)[:, np.newaxis] * (length + 12) + np.arange(length)
    n_ticks = n_lines * (length + 12)
    # 20 periods are 227 Hz; a part of the pixels is enough.
    image = 3 * np.sin(2 * np.pi * 20 * ticks / n_ticks + 0.4)
    mask = np.random.default_rng(1).random(image.shape) < 0.8
    noise = fit_subarray(image[np.newaxis], mask[np.newaxis], options=section)[0]
    # Vectors of one sign cannot hold a masked sine exactly.
    assert np.std(noise - image) < 0.1 * np.std(image)
    complete = fit_subarray(image[np.newaxis], np.ones((1, *mask.shape), bool), options=section)[0]
    assert np.std(complete - image) < 0.05 * np.std(image)


def test_fewer_pixels_than_vectors():
    """The peer inverts a singular matrix here: its model is any number or an error."""
    frame, frame_mask = striped((1024, 1024))
    frame_mask[400:404] = False
    frame_mask[402, 300:303] = True
    noise = fit_full_frame(frame, frame_mask)
    frame_mask[402] = False
    without = fit_full_frame(frame, frame_mask)
    assert np.abs(noise - without).max() < 10 * np.abs(frame[402]).max()
    assert not np.array_equal(noise, without)
    image, background_mask = striped((100, 10))
    background_mask[:] = False
    background_mask[4::25, 3] = True
    options = SubarrayOptions(least_background=0.001)
    ours = fit_subarray(image[np.newaxis], background_mask[np.newaxis], options=options)
    assert np.isfinite(ours).all()


def test_no_background_is_no_noise():
    image, _ = striped((64, 64))
    nothing = np.zeros(image.shape, bool)
    assert not fit_full_frame(image, nothing).any()
    assert not fit_subarray(image[np.newaxis], nothing[np.newaxis]).any()
    assert fit_subarray(image[:0][np.newaxis], nothing[:0][np.newaxis]).shape == (1, 0, 64)
    empty = np.zeros((0, 64, 64))
    assert fit_subarray(empty, empty.astype(bool)).shape == empty.shape


def test_a_constant_residual_is_removed():
    image = np.full((64, 64), 3.0)
    mask = np.ones(image.shape, bool)
    noise = fit_subarray(image[np.newaxis], mask[np.newaxis])[0]
    np.testing.assert_allclose(noise, 3.0, rtol=1e-5)
    np.testing.assert_allclose(fit_full_frame(image, mask)[16:-16], 3.0, rtol=1e-4)
