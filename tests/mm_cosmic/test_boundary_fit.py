"""The boundary of a simulated diagram, on diagrams made by hand."""

from dataclasses import replace

import numpy as np
import pytest

from crsteps.mm_cosmic import boundary_fit
from crsteps.mm_cosmic.boundary_fit import boundary_points, fit_boundary
from crsteps.mm_cosmic.diagram import DiagramOptions
from crsteps.mm_cosmic.monotone_spline import fit_monotone_spline
from crsteps.mm_cosmic.simulated_diagram import SimulatedDiagram

OPTIONS = DiagramOptions(bins="uniform")


def diagram(counts, *, above=None, n_simulations=10):
    """Diagram with columns of width 2 from 0 and rows of height 3 from 0."""
    counts = np.array(counts, dtype=np.int64)
    n_y, n_x = counts.shape
    return SimulatedDiagram(
        counts=counts,
        x_edges=2.0 * np.arange(n_x + 1),
        y_edges=3.0 * np.arange(n_y + 1),
        above=np.zeros(n_x, dtype=np.int64) if above is None else np.array(above),
        n_simulations=n_simulations,
        n_pixels=int(counts.sum()) // n_simulations,
        warnings=(),
    )


def columns(*tops, n_y=40, n_below=50):
    """Diagram whose columns hold pixels up to the given bins, several in the highest."""
    counts = np.zeros((n_y, len(tops)), dtype=int)
    for column, top in enumerate(tops):
        counts[: top + 1, column] = n_below
    return diagram(counts)


def test_points_are_the_upper_ends_of_the_columns():
    # Several pixels in the highest bin; one alone, and none in the bin below; no pixel; one pixel.
    counts = np.zeros((8, 4))
    counts[:, 0] = [90, 40, 20, 9, 5, 0, 0, 0]
    counts[:, 1] = [60, 50, 9, 0, 0, 1, 0, 0]
    counts[:, 3] = [0, 0, 0, 1, 0, 0, 0, 0]
    x, y = boundary_points(diagram(counts))
    assert x == pytest.approx([1, 3, 7])
    assert y[0] == 3 * 4.5
    assert 3 * 2.5 <= y[1] <= 3 * 4.5  # at or above the second highest, below the highest
    assert y[2] == 0
    x, y = boundary_points(diagram(counts), keep_sparse=False)
    assert x == pytest.approx([1, 3])


def test_pixels_above_the_axis_count_in_the_highest_bin():
    counts = np.zeros((6, 2))
    counts[:3] = 100
    _, y = boundary_points(diagram(counts, above=[0, 5]))
    assert y == pytest.approx([3 * 2.5, 3 * 5.5])


def test_bins_with_few_neighbours_are_left_out():
    counts = np.zeros((9, 5), dtype=int)
    counts[:4] = 30
    counts[7, 2] = 12  # no neighbour
    assert boundary_points(diagram(counts))[1][2] == 3 * 7.5
    for least in (1, 3):
        x, y = boundary_points(diagram(counts), minimum_neighbors=least)
        assert x.size == 5
        assert y == pytest.approx(3 * 3.5)
    # Bins at the edges have at most five neighbours, those at the upper end too.
    x, y = boundary_points(diagram(counts), minimum_neighbors=6)
    assert x == pytest.approx([3, 5, 7])
    assert y == pytest.approx(3 * 2.5)
    with pytest.raises(ValueError, match="hist2d_min_neighbors=8"):
        fit_boundary(diagram(np.eye(9)), replace(OPTIONS, hist2d_min_neighbors=8))


def test_the_first_curve_is_the_least_squares_fit_and_the_others_lie_higher():
    tops = [3, 9, 5, 12, 8, 15, 10, 18, 12, 20, 14, 22]
    options = replace(OPTIONS, knots_splfit=4)
    boundary = fit_boundary(columns(*tops), options)
    x, y = 2 * np.arange(12) + 1.0, 3 * (np.array(tops) + 0.5)
    free = fit_monotone_spline(x, y, np.ones(12), np.linspace(1, 23, 4))
    assert boundary.points_x == pytest.approx(x)
    assert boundary.points_y == pytest.approx(y)
    assert boundary.iterations[0] == pytest.approx(free.evaluate(boundary.curve_x))
    assert len(boundary.iterations) == 6
    mean = [curve.mean() for curve in boundary.iterations]
    assert np.all(np.diff(mean) > 0)
    none = fit_boundary(columns(*tops), replace(options, niter_boundary_extension=0))
    little, much = (np.maximum(y - fit.evaluate(x), 0).sum() for fit in (boundary, none))
    assert little < 0.5 * much
    assert boundary.converged
    assert not boundary.warnings


def test_weights_of_the_last_fit_are_those_of_the_points_above_the_one_before():
    tops = [3, 9, 5, 12, 8, 15, 10, 18]
    options = replace(OPTIONS, knots_splfit=3, niter_boundary_extension=2)
    options = replace(options, weight_boundary_extension=5.0)
    boundary = fit_boundary(columns(*tops), options)
    before = np.interp(boundary.points_x, boundary.curve_x, boundary.iterations[1])
    assert boundary.weights.tolist() == np.where(boundary.points_y > before, 25.0, 1.0).tolist()


@pytest.mark.parametrize(("point", "weight"), [((10.0, 90.0), 1000.0), ((10.0, 90.0, 30.0), 30.0)])
def test_fixed_points_draw_the_curve(point, weight):
    boundary = fit_boundary(columns(*[10] * 8), replace(OPTIONS, fixed_points=(point,)))
    (place,) = np.flatnonzero(boundary.fixed)
    assert (boundary.points_x[place], boundary.points_y[place]) == point[:2]
    # Relative to the largest weight of the other points.
    assert boundary.weights[place] == weight * boundary.weights[~boundary.fixed].max()
    assert np.all(np.diff(boundary.points_x) > 0)
    without = fit_boundary(columns(*[10] * 8), OPTIONS)
    assert without.evaluate(10) == pytest.approx(31.5, abs=0.01)
    assert boundary.evaluate(10) == pytest.approx(90, abs=90 / weight**0.5)
    assert np.abs(boundary.evaluate(10) - 90) < 30


def test_a_fixed_point_beyond_the_columns_lengthens_the_curve():
    boundary = fit_boundary(columns(*[10] * 8), replace(OPTIONS, fixed_points=((50, 80),)))
    assert boundary.knots[-1] == 50
    assert boundary.evaluate(50) == pytest.approx(80, abs=1)
    assert boundary.evaluate(500) == boundary.evaluate(50)


def test_straight_lines_go_through_the_fixed_points_alone():
    points = ((20, 8, 7.0), (0, 3), (10, 6))
    options = replace(OPTIONS, boundary_fit="piecewise", fixed_points=points)
    boundary = fit_boundary(columns(30, 30), options)
    assert boundary.kind == "piecewise"
    assert boundary.evaluate([-5, 0, 5, 10, 15, 20, 99]) == pytest.approx([3, 3, 4.5, 6, 7, 8, 8])


def test_a_single_column_gives_a_level_boundary():
    for bins in ("uniform", "adapted"):
        boundary = fit_boundary(columns(4), replace(OPTIONS, bins=bins))
        assert boundary.evaluate([-100, 1, 100]) == pytest.approx(3 * 4.5)


def test_knots_are_even_or_as_the_columns_are():
    counts = columns(*[10] * 9)
    edges = np.concatenate([np.arange(9), [100.0]])
    counts = replace(counts, x_edges=edges)
    even = fit_boundary(counts, OPTIONS).knots
    assert np.diff(even) == pytest.approx((54 - 0.5) / 4)
    adapted = fit_boundary(counts, replace(OPTIONS, bins="adapted")).knots
    assert adapted == pytest.approx([0.5, 2.5, 4.5, 6.5, 54])


def test_no_convergence_is_a_warning(monkeypatch):
    def not_converged(*arguments):
        return replace(fit_monotone_spline(*arguments), converged=False)

    monkeypatch.setattr(boundary_fit, "fit_monotone_spline", not_converged)
    boundary = fit_boundary(columns(3, 9, 5), OPTIONS)
    assert not boundary.converged
    assert "did not reach a minimum" in boundary.warnings[0]
