"""Tiles: nothing left out, nothing twice, no seam that a function of limited reach could see."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import ndimage

from crsteps.cosmic_rays.tiles import map_tiles, plan_tiles

lengths = st.integers(1, 40)
multiples = st.sampled_from([1, 2, 4, 16])


@given(lengths, lengths, multiples, st.integers(2, 6), st.integers(0, 3))
def test_cells_are_the_image_and_windows_are_around_them(ny, nx, multiple, size, margin):
    size, margin = size * multiple, margin * multiple
    tiles, padded_shape = plan_tiles((ny, nx), size=size, margin=margin, multiple=multiple)
    n_seen = np.zeros((ny, nx), dtype=int)
    y, x = np.mgrid[:ny, :nx]
    padded_y, padded_x = (np.full(padded_shape, -1) for _ in range(2))
    image = np.s_[margin : margin + ny, margin : margin + nx]
    padded_y[image], padded_x[image] = y, x
    shapes = {padded_y[tile.window].shape for tile in tiles}
    for tile in tiles:
        n_seen[tile.cell] += 1
        assert_array_equal(padded_y[tile.window][tile.kept], y[tile.cell])
        assert_array_equal(padded_x[tile.window][tile.kept], x[tile.cell])
        assert all(part.start % multiple == 0 for part in tile.window)
        assert max(n_seen[tile.cell].shape) <= size
    assert (n_seen == 1).all()
    (shape,) = shapes
    assert all(n % multiple == 0 for n in shape)
    assert len(tiles) == -(-ny // size) * -(-nx // size)


@settings(max_examples=30)
@given(st.integers(8, 70), st.integers(8, 70), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_filter_of_limited_reach_has_no_seams(ny, nx, size, seed):
    """A filter over 9x9 pixels of the mirrored image; the margin is its reach."""
    image = np.random.default_rng(seed).normal(size=(ny, nx)).astype(np.float32)

    def window_filter(window):
        return ndimage.uniform_filter(window, 9, mode="constant", cval=1e9)

    result = map_tiles(image, window_filter, size=4 * size, margin=4, multiple=4)
    assert result.dtype == np.float32
    expected = ndimage.uniform_filter(image, 9, mode="mirror")
    assert_allclose(result, expected, atol=1e-5)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 4))
def test_bins_are_those_of_the_image(ny, nx, size):
    """Each window is binned 4x4: the bins begin at multiples of four pixels of the image."""
    image = np.arange(ny * nx, dtype=np.float32).reshape(ny, nx)

    def first_of_bin(window):
        return np.kron(window[::4, ::4], np.ones((4, 4), dtype=np.float32))

    result = map_tiles(image, first_of_bin, size=4 * size, margin=4, multiple=4)
    y, x = np.mgrid[:ny, :nx] // 4 * 4
    assert_array_equal(result, image[y, x])


def test_windows_are_copies_that_may_be_written():
    image = np.ones((20, 20), dtype=np.float32)

    def spoil(window):
        window *= 2
        return window

    # Margins overlap: a window that was a view would spoil its neighbour.
    assert_array_equal(map_tiles(image, spoil, size=4, margin=4, multiple=4), np.full((20, 20), 2))
    assert (image == 1).all()


@pytest.mark.parametrize(("size", "margin"), [(0, 4), (6, 4), (8, 3)])
def test_sizes_that_break_the_bins_are_refused(size, margin):
    with pytest.raises(ValueError, match="multiples of 4"):
        plan_tiles((10, 10), size=size, margin=margin, multiple=4)
