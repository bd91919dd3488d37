"""Tests of the jwst package for its functions, run on ours.

Its own test functions are called with its functions replaced by ours of the same meaning. The
messages that it logs are no part of that.
"""

from types import SimpleNamespace

import numpy as np
import pytest

from crsteps.flicker_noise import background
from crsteps.flicker_noise.fourier_series import fit_full_frame, fit_subarray
from crsteps.flicker_noise.line_median import line_median_image

their_cleaning = pytest.importorskip(
    "jwst.clean_flicker_noise.tests.test_clean_flicker_noise",
    reason="this jwst comes without its tests",
)
their_background = pytest.importorskip("jwst.clean_flicker_noise.tests.test_background_level")


def median_clean(image, mask, axis, fit_by_channel=False):
    several = fit_by_channel and image.shape[axis - 1] == 2048
    return image - line_median_image(image, mask, fast_axis=3 - axis, n_outputs=4 if several else 1)


def fft_clean_full_frame(image, mask, detector):
    if detector == "NRS1":
        return image - fit_full_frame(image.T, mask.T).T
    return image - fit_full_frame(image.T[::-1], mask.T[::-1])[::-1].T


def fft_clean_subarray(image, mask, detector):
    if detector == "NRS1":
        return image - fit_subarray(image.T[np.newaxis], mask.T[np.newaxis])[0].T
    fitted = fit_subarray(image.T[np.newaxis, ::-1], mask.T[np.newaxis, ::-1])[0]
    return image - fitted[::-1].T


def clip_to_background(image, mask, *, fit_histogram, verbose=False, **limits):
    assert not fit_histogram  # ours has it in `standard_mask`, where the limit below is fixed
    mask &= background.clip_to_background(image, mask, **limits)


def background_level(image, mask, background_method="median", background_box_size=None):
    if background_method is None:
        return 0.0
    if background_method == "median":
        return background.constant(image, mask)
    level = background.model(image, mask, box=background_box_size)
    # Where theirs falls back on a number, ours has it everywhere.
    return level[0, 0] if np.isnan(image).any() else level


@pytest.fixture
def ours(monkeypatch):
    """Put our functions in the places of theirs."""
    for function in (median_clean, fft_clean_full_frame, fft_clean_subarray):
        monkeypatch.setattr(their_cleaning.cfn, function.__name__, function)
    for function in (clip_to_background, background_level):
        monkeypatch.setattr(their_background, function.__name__, function)


def watcher(_name, message=None):
    """Stand-in for the fixture that waits for messages in the log."""
    return SimpleNamespace(message=message, assert_seen=lambda: None)


@pytest.mark.parametrize("name", ["test_median_clean", "test_median_clean_by_channel"])
def test_line_medians(ours, name):
    getattr(their_cleaning, name)()


@pytest.mark.parametrize("detector", ["NRS1", "NRS2"])
def test_full_frame_series(ours, detector):
    their_cleaning.test_fft_clean("full", 0.65, detector)


@pytest.mark.parametrize("detector", ["NRS1", "NRS2"])
def test_subarray_series(detector):
    """
    Stripes of which the lower ones, 16 lines wide, are outliers to the fit.

    Their test expects 37 % of the pixels near zero: beside the gaps their inverses leave 1e6 in an
    image of 0.1. The series of the upper stripes is a constant, so that 60 % can be zero.
    """
    image = np.repeat([[0.1, -0.1, 0.1, -0.1, 0.1]], 16, axis=1).repeat(80, axis=0)
    mask = np.ones(image.shape, bool)
    assert not fft_clean_subarray(np.zeros_like(image), mask, detector).any()
    cleaned = fft_clean_subarray(image, mask, detector)
    np.testing.assert_allclose(cleaned[image > 0], 0, atol=1e-3)
    np.testing.assert_allclose(cleaned[image < 0], -0.2, atol=1e-2)


@pytest.mark.parametrize("lower_half_only", [False, True])
def test_clipping(ours, lower_half_only):
    their_background.test_clip_to_background(watcher, False, lower_half_only)


def test_background(ours):
    their_background.test_background_level(watcher)
