"""Replaced pixels against windows written out; all others bit for bit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_allclose, assert_array_equal

from crsteps.slew_dark.cleaning import METHODS, clean_image

SHAPE = (9, 11)
values = hnp.arrays(
    np.float32, SHAPE, elements=st.floats(-1000, 1000, width=32) | st.just(np.float32(np.nan))
)
masks = hnp.arrays(bool, (2, *SHAPE), elements=st.booleans())


def by_hand(data, mask, usable, background, statistic):
    """Widen the window until it holds six unflagged usable pixels."""
    result = data.copy()
    for y, x in zip(*np.nonzero(mask), strict=True):
        result[y, x] = background[y, x]
        for reach in range(2, 13):
            box = np.s_[max(y - reach, 0) : y + reach + 1, max(x - reach, 0) : x + reach + 1]
            good = data[box][usable[box] & ~mask[box] & np.isfinite(data[box])]
            if good.size >= 6:
                result[y, x] = statistic(good.astype(np.float64))
                break
    return result


@settings(max_examples=60)
@given(values, masks)
@pytest.mark.parametrize("method", ["median", "mean"])
def test_statistics_of_growing_windows(method, data, pair):
    mask, usable = pair
    background = np.arange(data.size, dtype=np.float32).reshape(SHAPE)
    cleaned = clean_image(data, mask=mask, usable=usable, background=background, method=method)
    expected = by_hand(data, mask, usable, background, getattr(np, method))
    assert_allclose(cleaned[mask], expected[mask], rtol=1e-5, atol=1e-3)
    assert_array_equal(cleaned[~mask].view(np.int32), data[~mask].view(np.int32))


def test_a_large_cluster_takes_the_level_around_it():
    y, x = np.mgrid[:60, :60]
    data = (0.5 * x).astype(np.float32)
    mask = np.hypot(y - 30, x - 30) < 8
    data[mask] = 1e5
    cleaned = clean_image(data, mask=mask, usable=np.ones_like(mask), background=0 * data)
    assert_allclose(cleaned, 0.5 * x, atol=4)
    assert cleaned[30, 30] == pytest.approx(15, abs=0.5)


def test_beyond_the_largest_window_there_is_the_background():
    data, mask = np.full((70, 70), 3.0), np.zeros((70, 70), dtype=bool)
    mask[5:65, 5:65] = True
    background = np.full(data.shape, 7.0, dtype=np.float32)
    cleaned = clean_image(data, mask=mask, usable=np.ones_like(mask), background=background)
    assert cleaned[35, 35] == 7
    assert cleaned[6, 6] == 3
    everything = clean_image(
        data, mask=np.ones_like(mask), usable=np.ones_like(mask), background=background
    )
    assert_array_equal(everything, background)


@pytest.mark.parametrize("method", METHODS)
def test_nothing_flagged_leaves_the_image_as_it_is(method):
    data = np.random.default_rng(1).normal(0, 1, (20, 30)).astype(np.float32)
    data[3, 4] = np.nan
    mask = np.zeros(data.shape, dtype=bool)
    cleaned = clean_image(
        data, mask=mask, usable=~mask, background=data, method=method, detector_image=data
    )
    assert cleaned is not data
    assert_array_equal(cleaned.view(np.int32), data.view(np.int32))


def test_background_nan_and_the_image_of_the_detector():
    data = np.arange(12, dtype=np.uint16).reshape(3, 4)
    mask = data % 5 == 2
    for method, value in (("background", 100), ("nan", np.nan), ("detector", 200)):
        cleaned = clean_image(
            data,
            mask=mask,
            usable=~mask,
            background=np.full(data.shape, 100.0),
            method=method,
            detector_image=np.full(data.shape, 200.0),
        )
        assert cleaned.dtype == np.float32
        assert_array_equal(cleaned, np.where(mask, np.float32(value), data))
    assert data.dtype == np.uint16


def test_many_flagged_pixels_are_replaced_in_parts(monkeypatch):
    rng = np.random.default_rng(2)
    data = rng.normal(0, 1, (50, 60)).astype(np.float32)
    mask = rng.random(data.shape) < 0.3
    inputs = {"mask": mask, "usable": ~mask, "background": data}
    expected = clean_image(data, **inputs)
    monkeypatch.setattr("crsteps.slew_dark.cleaning._AT_ONCE", 7)
    assert_array_equal(clean_image(data, **inputs), expected)


def test_unknown_methods_and_a_missing_image_are_refused():
    inputs = dict.fromkeys(("mask", "usable"), np.ones((2, 2), dtype=bool))
    with pytest.raises(ValueError, match="'mode'; there are median, mean"):
        clean_image(np.zeros((2, 2)), background=np.zeros((2, 2)), method="mode", **inputs)
    with pytest.raises(ValueError, match="needs a detector that cleans"):
        clean_image(np.zeros((2, 2)), background=np.zeros((2, 2)), method="detector", **inputs)
