"""Classes of shapes: drawn ones, and tracks of simulated particles of known kind."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from crsteps.cosmic_rays.clusters import find_clusters
from crsteps.cosmic_rays.hysteresis import dilate
from crsteps.cosmic_rays.shapes import SHAPES, equivalent_side
from crsteps.simulation.cosmic_ray_tracks import TrackPopulation, deposit_charge, draw_tracks

SIZE = 81
YY, XX = np.mgrid[:SIZE, :SIZE] - SIZE // 2
ANGLES = np.deg2rad(np.arange(0, 180, 7.5))


def shape_of(mask):
    clusters = find_clusters(mask, signal=mask.astype(float))
    assert clusters.n_clusters == 1
    return clusters.columns["shape"][0]


def bar(angle, *, length, width, centre=(0.2, -0.3)):
    """Straight track; a width of 0 is an 8-connected line of single pixels."""
    x, y = XX - centre[0], YY - centre[1]
    along = x * np.cos(angle) + y * np.sin(angle)
    across = y * np.cos(angle) - x * np.sin(angle)
    width = width or max(abs(np.cos(angle)), abs(np.sin(angle)))
    return (np.abs(along) <= length / 2) & (np.abs(across) <= width / 2)


def arc(radius, opening, *, width=1.5, angle=0.3):
    """Part of a ring, `opening` radians of it."""
    turned = np.angle(np.exp(1j * (np.arctan2(YY, XX) - angle)))
    on_ring = np.abs(np.hypot(XX, YY) - radius) <= width / 2
    return on_ring & (np.abs(turned) <= opening / 2)


def drawn(*rows):
    return np.array([[character == "#" for character in row] for row in rows])


@pytest.mark.parametrize("width", [0, 1.5, 2, 3])
@pytest.mark.parametrize("length", [8, 15, 40])
def test_straight_lines_at_any_angle_are_tracks(length, width):
    assert {shape_of(bar(angle, length=length, width=width)) for angle in ANGLES} == {"track"}


@pytest.mark.parametrize("width", [0, 1.5])
def test_short_lines_are_tracks(width):
    assert {shape_of(bar(angle, length=5, width=width)) for angle in ANGLES} == {"track"}


@pytest.mark.parametrize(
    "mask",
    [
        drawn("#"),
        drawn("##"),
        drawn("#.", ".#"),
        drawn("##", "#."),
        drawn("###"),
        drawn("##", "##"),
        drawn("###", "###", "###"),
        drawn(".#.", "###", ".#."),
        drawn("..#..", ".###.", "#####", ".###.", "..#.."),
        np.ones((4, 4), dtype=bool),
    ],
)
def test_small_compact_ones_are_points(mask):
    assert shape_of(np.pad(mask, 2)) == "point"


@pytest.mark.parametrize("radius", [3, 4, 7, 15, 30])
def test_discs_are_blobs(radius):
    assert shape_of(np.hypot(XX - 0.3, YY + 0.2) <= radius) == "blob"


def test_squares_and_somewhat_long_ellipses_are_blobs():
    assert shape_of(np.pad(np.ones((6, 6), dtype=bool), 2)) == "blob"
    assert shape_of(np.hypot(XX / 1.5, YY) <= 6) == "blob"


@pytest.mark.parametrize("width", [1.5, 3])
@pytest.mark.parametrize("opening", [np.pi / 3, np.pi / 2, np.pi, 1.7 * np.pi, 2 * np.pi])
def test_arcs_and_rings_are_worms(opening, width):
    assert shape_of(arc(18, opening, width=width)) == "worm"


def test_the_bend_decides_between_track_and_worm():
    # sagitta 18 (1 - cos(opening / 2)): 0.2 pixels, then 2.4
    assert shape_of(arc(18, 0.3)) == "track"
    assert shape_of(arc(18, np.pi / 3)) == "worm"


@pytest.mark.parametrize(
    "mask",
    [
        drawn("#.....", "#.....", "#.....", "#.....", "######"),
        drawn("#...#", "#...#", "#...#", "#####"),
        drawn("#......", ".#.....", "..#....", "...####", "..#....", ".#.....", "#......"),
    ],
)
def test_bent_and_branched_ones_are_worms(mask):
    assert shape_of(np.pad(mask, 2)) == "worm"


def test_equivalent_side_of_a_row():
    for n in (1, 2, 9):
        assert_allclose(equivalent_side(np.var(np.arange(n))), n)


def simulated_shapes(worm_fraction, *, seed, n_tracks=625, cell=72, noise=7.0):
    """Length and class of simulated tracks, one in each cell, that are not in pieces."""
    rng = np.random.default_rng(seed)
    tracks = draw_tracks(n_tracks, rng, population=TrackPopulation(worm_fraction=worm_fraction))
    side = int(np.sqrt(n_tracks))
    y, x = np.divmod(np.arange(n_tracks), side)
    place = (x + 0.5) * cell, (y + 0.5) * cell
    charge = deposit_charge(tracks, *place, shape=(side * cell, side * cell))
    noisy = charge + rng.normal(0, noise, charge.shape)
    # Noise alone far from the tracks would be clusters of its own.
    mask = (noisy > 3 * noise) & dilate(charge > noise, 1)
    columns = find_clusters(mask, signal=noisy).columns
    number = (columns["y"] // cell * side + columns["x"] // cell).astype(int)
    whole = np.bincount(number, minlength=n_tracks)[number] == 1
    length = equivalent_side((columns["major_axis"] / 4) ** 2)
    return length[whole], columns["shape"][whole]


def test_fast_particles_are_no_worms_and_long_paths_of_electrons_are():
    length, shape = simulated_shapes(0.0, seed=1)
    assert np.mean(shape == "worm") < 0.01
    assert np.mean(shape[length > 7] == "track") > 0.99
    assert np.all(shape[length < 3] == "point")
    length, shape = simulated_shapes(1.0, seed=2)
    assert np.mean(shape[length > 12] == "worm") > 0.9
    assert 0.4 < np.mean(shape[(length > 7) & (length < 12)] == "worm") < 0.75
    assert set(shape) == set(SHAPES)
