"""Pixels hit in all exposures, by hand."""

import numpy as np
import pytest

from crsteps.mm_cosmic.detection import Candidates
from crsteps.mm_cosmic.last_exposure import fill_from_neighbours, flag_last_exposures

SHAPE = (11, 11)


def crossing(lowest=400.0, around=10.0, touched=True, clean_neighbours=True):
    """
    Return hits, candidates and clean image of tracks that cross at (5, 5).

    Two exposures are known to be hit there; the track of the third passes at (5, 4), if touched.
    """
    hits = np.zeros((3, *SHAPE), dtype=bool)
    hits[0, 2:9, 5] = hits[1, range(3, 8), range(3, 8)] = True
    if touched:
        hits[2, 5, 2:5] = True
    values = np.full((3, *SHAPE), around)
    values[hits] = 500.0
    values[2, 5, 5] = lowest
    clean = np.where(hits.sum(axis=0) < 2, values.min(axis=0), np.nan).astype(np.float32)
    if not clean_neighbours:
        clean[3:8, 3:8] = np.nan
        clean[3, 3:7] = around
    y, x = np.nonzero(hits.any(axis=0))
    candidates = Candidates(
        y * SHAPE[1] + x,
        values[:, y, x].T.astype(np.float32),
        np.full((y.size, 1), 9, np.float32),
        np.full((y.size, 1), 1, np.float32),
        np.zeros(y.size, np.float32),
    )
    return hits, candidates, clean


def test_last_exposure_of_crossing_tracks_is_flagged():
    hits, candidates, clean = crossing()
    before = hits.copy()
    assert flag_last_exposures(hits, candidates, clean) == 1
    assert list(zip(*np.nonzero(hits & ~before), strict=True)) == [(2, 5, 5)]
    assert np.isnan(clean[5, 5])


@pytest.mark.parametrize(
    "changes",
    [
        {"lowest": 30.0},  # less than twice the neighbours and five sigma
        {"touched": False},  # no track of the last exposure near
        {"around": 300.0},  # a bright source: 400 is no more than twice its surroundings
        {"clean_neighbours": False},  # only four clean pixels near
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_last_exposure_is_believed_otherwise(changes):
    hits, candidates, clean = crossing(**changes)
    before = hits.copy()
    assert flag_last_exposures(hits, candidates, clean) == 0
    np.testing.assert_array_equal(hits, before)


def test_bright_line_is_no_crossing():
    """Pixels of a line have bright neighbours along it."""
    hits, candidates, clean = crossing()
    clean[:, 5] = 350.0
    assert flag_last_exposures(hits, candidates, clean) == 0


def test_extra_variance_widens_the_limit():
    hits, candidates, clean = crossing(lowest=60.0)
    assert flag_last_exposures(hits.copy(), candidates, clean.copy()) == 1
    assert flag_last_exposures(hits, candidates, clean, extra_relative=1.0) == 0


def test_neighbours_fill_with_their_scatter_in_the_variance():
    data = np.float32([[1, 2, 3], [4, 999, 5], [6, 7, 8]])
    variance = np.full((3, 3), 2, np.float32)
    n_used = np.full((3, 3), 3)
    n_used[1, 1] = 0
    fill_from_neighbours(data, variance, n_used, n_used == 0)
    around = np.array([1, 2, 3, 4, 5, 6, 7, 8])
    assert data[1, 1] == pytest.approx(around.mean())
    assert variance[1, 1] == pytest.approx(2 + around.var())


def test_only_usable_neighbours_count():
    data = np.float32([[1, 2, np.nan], [4, 999, 500]])
    variance = np.float32([[1, 2, np.nan], [3, 9, 9]])
    n_used = np.array([[3, 3, 3], [3, 0, 0]])
    fill_from_neighbours(data, variance, n_used, n_used == 0)
    assert data[1, 1] == pytest.approx(7 / 3)
    assert variance[1, 1] == pytest.approx(2 + np.var([1, 2, 4]))
    assert data[1, 2] == pytest.approx(2)  # not from the pixel filled beside it
    assert variance[1, 2] == pytest.approx(2)


def test_pixels_without_a_usable_neighbour_are_left():
    data, variance = np.float32([[5, 6]]), np.float32([[1, 1]])
    n_used = np.zeros((1, 2), int)
    fill_from_neighbours(data, variance, n_used, n_used == 0)
    np.testing.assert_array_equal(data, [[5, 6]])
