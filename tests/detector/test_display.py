"""Grey scales and outlines against what can be counted by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import array_shapes, arrays

from crsteps.detector.display import mask_outline, zscale_limits


def test_zscale_ignores_outliers_and_missing_pixels():
    rng = np.random.default_rng(1)
    image = rng.normal(100, 5, (200, 200)).astype(np.float32)
    image[::40, ::40] = 60000
    image[1::40, 1::40] = np.nan
    low, high = zscale_limits(image)
    # A few times the width of the noise, not the range of the outliers.
    assert 75 < low < 95
    assert 105 < high < 140


@pytest.mark.parametrize(("value", "limits"), [(7.0, (6, 8)), (np.nan, (-1, 1))])
def test_zscale_of_images_without_contrast(value, limits):
    assert zscale_limits(np.full((9, 9), value)) == pytest.approx(limits)


def test_outline_of_two_touching_pixels_is_their_rectangle():
    mask = np.zeros((5, 6), bool)
    mask[2, 3:5] = True
    edges = {tuple(sorted(map(tuple, edge))) for edge in mask_outline(mask)}
    along_x = {((x - 0.5, y), (x + 0.5, y)) for x in (3, 4) for y in (1.5, 2.5)}
    assert edges == along_x | {((x, 1.5), (x, 2.5)) for x in (2.5, 4.5)}


@given(arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=8)))
def test_each_edge_is_between_a_flagged_and_another_pixel(mask):
    edges = mask_outline(mask)
    assert edges.shape[1:] == (2, 2)
    padded = np.pad(mask, 1)
    for (x0, y0), (x1, y1) in edges:
        assert abs(x1 - x0) + abs(y1 - y0) == 1
        across = np.array([y1 - y0, x1 - x0])[::-1] / 2  # to the pixels on both sides, (y, x)
        middle = np.array([(y0 + y1) / 2, (x0 + x1) / 2])
        (a, b), (c, d) = (np.rint(middle + sign * across).astype(int) + 1 for sign in (1, -1))
        assert padded[a, b] != padded[c, d]
    # All edges: one for each neighbour that differs.
    changes = np.abs(np.diff(padded.astype(int), axis=0)).sum()
    changes += np.abs(np.diff(padded.astype(int), axis=1)).sum()
    assert len(edges) == changes
