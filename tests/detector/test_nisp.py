"""NISP's focal plane: which way up, which output, where."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crsteps.detector import nisp

NAMES = st.sampled_from(nisp.DETECTORS)


def test_names_of_the_detectors():
    assert len(set(nisp.DETECTORS)) == 16
    assert nisp.DETECTORS[0] == "DET11"
    assert nisp.DETECTORS[-1] == "DET44"
    assert nisp.row_and_column("DET34") == (3, 4)


@pytest.mark.parametrize("name", ["DET10", "DET51", "DET5", "det11", "IMAGE", "DET111", "", None])
def test_other_names_are_refused(name):
    for function in (nisp.row_and_column, nisp.is_rotated):
        with pytest.raises(ValueError, match="DET11 to DET44"):
            function(name)


def test_rows_3_and_4_are_upside_down():
    assert [nisp.is_rotated(f"DET{row}2") for row in (1, 2, 3, 4)] == [False, False, True, True]
    image = np.arange(6).reshape(2, 3)
    upright, turned = nisp.orient(image, "DET11"), nisp.orient(image, "DET44")
    # drawn with the first row on top, pixel (0, 0) is at the upper left, or at the lower right
    assert upright[0, 0] == image[0, 0]
    assert turned[-1, -1] == image[0, 0]
    np.testing.assert_array_equal(turned, np.rot90(image, 2))
    assert upright.base is image.base
    assert turned.base is image.base


def test_detectors_in_the_view_of_the_focal_plane():
    shape = (2048, 2048)
    centre = {
        name: np.array(nisp.focal_plane_position(name, 1023.5, 1023.5, shape=shape))
        for name in nisp.DETECTORS
    }
    assert np.abs(sum(centre.values())).max() < 1e-9
    for column in (1, 2, 3, 4):  # rows from the bottom to the top
        heights = [centre[f"DET{row}{column}"][1] for row in (1, 2, 3, 4)]
        np.testing.assert_allclose(np.diff(heights), 36.72 + 6.0)
    for row in (1, 2, 3, 4):  # columns from left to right
        places = [centre[f"DET{row}{column}"][0] for column in (1, 2, 3, 4)]
        np.testing.assert_allclose(np.diff(places), 36.72 + 3.0)


@given(NAMES)
def test_position_and_orientation_agree(name):
    """The first pixel of the oriented image is the one farthest to the left and up."""
    ny, nx = shape = (5, 7)
    y, x = np.mgrid[:ny, :nx]
    right, up = nisp.focal_plane_position(name, x, y, shape=shape)
    seen = nisp.orient(np.stack([right, up], axis=-1), name)
    np.testing.assert_allclose(np.diff(seen[..., 0], axis=1), 0.018)
    np.testing.assert_allclose(np.diff(seen[..., 1], axis=0), -0.018)
    assert np.ptp(seen[..., 0], axis=0).max() < 1e-9


def test_position_does_not_depend_on_whether_the_border_is_there():
    whole = nisp.focal_plane_position("DET23", [14.0, 100.5], [14.0, 3.0], shape=(2048, 2048))
    active = nisp.focal_plane_position("DET23", [10.0, 96.5], [10.0, -1.0], shape=(2040, 2040))
    np.testing.assert_allclose(whole, active)


def test_detectors_are_apart_by_the_gaps():
    corners = np.array([4, 2043])
    for lower, upper, axis, gap in (("DET11", "DET12", 0, 3.0), ("DET22", "DET32", 1, 6.0)):
        spans = [
            nisp.focal_plane_position(name, corners, corners, shape=(2048, 2048))[axis]
            for name in (lower, upper)
        ]
        # from the edges of pixels, half a pixel beyond their centres
        assert spans[1].min() - spans[0].max() == pytest.approx(gap + 0.018)


def test_channels_of_a_whole_detector():
    channel = nisp.output_channel(np.arange(2048), width=2048)
    np.testing.assert_array_equal(channel, np.arange(2048) // 64)
    assert channel.dtype.kind == "i"
    # centroids belong to the nearest column
    np.testing.assert_array_equal(nisp.output_channel([63.4, 63.6], width=2048), [0, 1])


def test_channels_without_the_reference_border():
    active = nisp.output_channel(np.arange(2040), width=2040)
    np.testing.assert_array_equal(active, np.arange(2048)[4:-4] // 64)
    assert np.bincount(active).tolist() == [60, *[64] * 30, 60]


@given(st.integers(1, 300), st.integers(1, 40))
def test_channels_share_the_columns(width, n_outputs):
    channel = nisp.output_channel(np.arange(width), width=width, n_outputs=n_outputs)
    assert channel.min() >= 0
    assert channel.max() < n_outputs
    assert np.all(np.diff(channel) >= 0)
    counts = np.bincount(channel, minlength=n_outputs)
    assert counts.max() - counts.min() <= 1


def test_columns_outside_are_refused():
    for x, width, n_outputs in (([10], 10, 2), ([-1], 10, 2), ([0], 0, 2), ([0], 10, 0)):
        with pytest.raises(ValueError, match=r"outside|positive"):
            nisp.output_channel(x, width=width, n_outputs=n_outputs)
    assert nisp.output_channel([], width=10).shape == (0,)


def test_reference_border():
    border = nisp.reference_border((2048, 2048))
    assert border.sum() == 2048**2 - 2040**2
    assert border[3, 100]
    assert border[100, -4]
    assert not border[4:-4, 4:-4].any()
    for shape in ((2040, 2040), (2048, 512), (10, 10)):
        border = nisp.reference_border(shape)
        assert border.shape == shape
        assert not border.any()
