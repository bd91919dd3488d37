"""Figures to judge a search by, read back from their artists."""

import numpy as np
import pytest
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure

from crsteps.mm_cosmic import diagnostic_figures
from crsteps.mm_cosmic.boundary_fit import FittedBoundary
from crsteps.mm_cosmic.diagnostic_figures import (
    plot_diagnostic,
    plot_expected_and_real,
    plot_simulated_and_real,
)
from crsteps.mm_cosmic.diagram_figures import DiagramCounts, far_apart
from crsteps.mm_cosmic.null_model import ScenePrior

LINE = np.array([-10.0, 100.0, 400.0]), np.array([20.0, 40.0, 60.0])


@pytest.fixture
def scene():
    """Return lowest, median and mean of a noisy scene with missing pixels."""
    random = np.random.default_rng(3)
    exposures = random.exponential(40, (60, 70)) + random.normal(0, 3, (3, 60, 70))
    exposures[:, 0, :7] = np.nan
    return {
        "lowest": exposures.min(axis=0).astype(np.float32),
        "median": np.median(exposures, axis=0).astype(np.float32),
    }, exposures.mean(axis=0)


@pytest.fixture
def codes():
    values = np.zeros((60, 70), dtype=np.uint8)
    values[10, 10:14] = 4, 4, 2, 1
    values[40, 50] = 3
    values[55, 5] = 2
    return values


def fitted():
    x = np.linspace(0, 300, 7)
    curve_x = np.linspace(0, 300, 50)
    return FittedBoundary(
        kind="spline",
        knots=x[::3],
        coefficients=x[::3],
        points_x=x,
        points_y=10 + x / 10,
        weights=np.ones(7),
        fixed=np.arange(7) == 2,
        curve_x=curve_x,
        iterations=tuple(curve_x / 10 + level for level in (8, 9, 10)),
        converged=True,
        warnings=(),
    )


def densities(figure):
    return [
        np.ma.filled(item.get_array(), 0).reshape(item.get_coordinates().shape[0] - 1, -1)
        for axes in figure.axes
        for item in axes.collections
        if isinstance(item, QuadMesh) and axes.get_xlabel()
    ]


def lines_by_label(axes):
    return {line.get_label(): line for line in axes.lines}


@pytest.mark.parametrize("kind", ["equal bins", "adapted bins"])
def test_both_diagrams_are_counted_in_the_same_bins(scene, kind):
    images, _ = scene
    y = (images["median"] - images["lowest"]).ravel()
    x = images["lowest"].ravel()
    top = np.nanmax(y) / 2
    if kind == "equal bins":
        edges = np.linspace(-20, 600, 41), np.linspace(0, top, 31)
    else:
        edges = 3 * np.sinh(np.linspace(-3, 6, 41)), 3 * np.sinh(np.linspace(0, 1.0, 31))
    counts = np.arange(30 * 40).reshape(30, 40)
    figure = Figure(layout="constrained")
    plot_simulated_and_real(
        figure,
        **images,
        simulated=DiagramCounts(counts, *edges, 3.0, n_simulations=10),
        boundary=LINE,
        noise=3.0,
    )
    simulated, real = (np.nan_to_num(density) for density in densities(figure)[:2])
    np.testing.assert_allclose(simulated[:30], counts / 10)
    assert simulated[30:].sum() == 0
    title = figure.axes[1].get_title(loc="left")
    if kind == "equal bins":
        inside = np.isfinite(x) & (y <= top)
        assert real.sum() == inside.sum()
        assert f"{np.count_nonzero(y > top)} above the axis" in title
    else:  # the bins go on to the highest pixel
        assert real.sum() == 60 * 70 - 7
        assert figure.axes[1].get_ylim()[1] >= np.nanmax(y)
        assert "above" not in title
    column = np.flatnonzero((edges[0][:-1] <= 10) & (edges[0][1:] > 10))[0]
    in_column = (x >= edges[0][column]) & (x < edges[0][column + 1])
    below = y < edges[1][3]
    assert real[:3, column].sum() == np.count_nonzero(in_column & below)


def test_the_fit_is_drawn_with_its_steps(scene):
    images, _ = scene
    edges = np.linspace(-20, 600, 41), np.linspace(0, 100, 31)
    fit, figure = fitted(), Figure(layout="constrained")
    plot_simulated_and_real(
        figure,
        **images,
        simulated=DiagramCounts(np.ones((30, 40)), *edges, 3.0),
        boundary=(fit.curve_x, fit.iterations[-1]),
        fit=fit,
        threshold=9.0,
        unit="ADU",
        title="a set",
    )
    drawn = lines_by_label(figure.axes[0])
    np.testing.assert_array_equal(drawn["first fit"].get_ydata(), fit.iterations[0])
    np.testing.assert_array_equal(drawn["extended fits"].get_ydata(), fit.iterations[1])
    assert list(drawn["fixed points"].get_xdata()) == [fit.points_x[2]]
    assert len(drawn["upper ends of the columns"].get_xdata()) == 6
    for axes in figure.axes[:2]:
        assert lines_by_label(axes)["least median minus minimum"].get_ydata()[0] == 9
        assert "limit of detection" in lines_by_label(axes)
        assert axes.get_xlabel() == "minimum signal [ADU]"
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert {"limit of detection", "fixed points", "extended fits"} <= set(legend)


def test_the_null_model_expects_as_many_pixels_as_there_are(scene):
    images, _ = scene
    signal = np.linspace(-5, 300, 200)
    figure = Figure(layout="constrained")
    plot_expected_and_real(
        figure,
        **images,
        prior=ScenePrior(signal, -np.abs(signal) / 40, 9.0, 0.0),
        relative_variance=0.0,
        boundary=LINE,
        noise=3.0,
        n_exposures=3,
        cr_coincidences=2,
    )
    expected, real = (np.nan_to_num(density) for density in densities(figure)[:2])
    assert real.sum() == 60 * 70 - 7
    assert expected.sum() == pytest.approx(real.sum(), rel=0.02)  # some lie beyond the axes
    assert figure.axes[0].get_title(loc="left").startswith("expected by the null model")
    # Where most of the real pixels are, the expected ones are too.
    assert np.corrcoef(expected.sum(axis=0), real.sum(axis=0))[0, 1] > 0.7


def test_flagged_pixels_stand_in_the_diagram_and_in_the_image(scene, codes):
    images, mean = scene
    figure = Figure(layout="constrained")
    plot_diagnostic(figure, **images, mean=mean, codes=codes, boundary=LINE, noise=3.0)
    diagram, numbers, median, mean_axes = figure.axes[:4]
    excess = images["median"] - images["lowest"]
    for code, words in ((4, "both"), (2, "M.M.Cosmic only"), (3, "auxiliary only")):
        places = lines_by_label(diagram)[words].get_xydata()
        expected = np.column_stack([images["lowest"][codes == code], excess[codes == code]])
        np.testing.assert_allclose(sorted(map(tuple, places)), sorted(map(tuple, expected)))
        places = lines_by_label(median)[words].get_xydata()
        rows, columns = np.nonzero(codes == code)
        assert sorted(map(tuple, places)) == sorted(zip(columns + 1, rows + 1, strict=True))
    np.testing.assert_array_equal(median.images[0].get_array(), images["median"])
    np.testing.assert_array_equal(mean_axes.images[0].get_array(), mean)
    assert median.images[0].get_clim() == mean_axes.images[0].get_clim()
    assert median.images[0].get_extent() == [0.5, 70.5, 0.5, 60.5]
    assert {text.get_text() for text in numbers.texts} <= {"1", "2", "3"}
    assert "6 pixels in 3 features" in diagram.get_title(loc="left")
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend[:4] == [
        "both (2)",
        "auxiliary only (1)",
        "M.M.Cosmic only (2)",
        "added by dilation (1)",
    ]


def test_numbers_stand_at_the_highest_pixel_of_their_feature(scene, codes):
    images, mean = scene
    images["median"][10, 12] += 300
    images["median"][40, 50] += 60
    figure = Figure(layout="constrained")
    plot_diagnostic(figure, **images, mean=mean, codes=codes, noise=3.0)
    written = {text.get_text(): text.get_position() for text in figure.axes[1].texts}
    excess = images["median"] - images["lowest"]
    assert written["1"] == (images["lowest"][10, 12], excess[10, 12])
    assert written["2"] == (images["lowest"][40, 50], excess[40, 50])


def test_symbols_and_numbers_are_capped(scene, monkeypatch):
    monkeypatch.setattr(diagnostic_figures, "MOST_SYMBOLS", 5)
    monkeypatch.setattr(diagnostic_figures, "MOST_NUMBERS", 3)
    images, mean = scene
    codes = np.zeros((60, 70), dtype=np.uint8)
    codes[2::4, ::4] = 2
    figure = Figure(layout="constrained")
    plot_diagnostic(figure, **images, mean=mean, codes=codes, noise=3.0)
    assert len(lines_by_label(figure.axes[0])["M.M.Cosmic only"].get_xdata()) <= 5
    assert len(figure.axes[1].texts) == 3
    assert "3 of 270" in figure.axes[1].get_title(loc="left")
    assert figure.legends[0].get_texts()[2].get_text() == "M.M.Cosmic only (270)"


@pytest.mark.parametrize("value", [np.nan, 7.0])
def test_degenerate_images_give_files(tmp_path, value):
    images = {name: np.full((5, 6), value, np.float32) for name in ("lowest", "median")}
    codes = np.zeros((5, 6), dtype=np.uint8)
    edges = np.linspace(0, 10, 11), np.linspace(0, 5, 6)
    paths = [tmp_path / f"{name}.png" for name in ("diagnostic", "simulated", "expected")]
    plot_diagnostic(paths[0], **images, mean=images["median"], codes=codes)
    simulated = DiagramCounts(np.zeros((5, 10)), *edges, 1.0)
    plot_simulated_and_real(paths[1], **images, simulated=simulated, boundary=LINE)
    prior = ScenePrior(np.linspace(0, 9, 10), np.zeros(10), 1.0, 1.0)
    counts = {"n_exposures": 3, "cr_coincidences": 2}
    plot_expected_and_real(
        paths[2], **images, prior=prior, relative_variance=0.0, boundary=None, **counts
    )
    for path in paths:
        assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("shape", [(20, 200), (200, 20), (1, 300), (60, 60)])
def test_images_of_any_form_are_shown_side_by_side_or_one_above_the_other(shape):
    image = np.random.default_rng(1).normal(10, 3, shape).astype(np.float32)
    codes = np.zeros(shape, dtype=np.uint8)
    codes[0, 0] = 2
    figure = Figure(figsize=(12, 12), layout="constrained")
    plot_diagnostic(figure, lowest=image, median=image + 1, mean=image, codes=codes)
    figure.canvas.draw()
    shown = [a.get_position() for a in figure.axes if a.images and "FITS" in a.get_xlabel()]
    assert len(shown) == 2
    assert not shown[0].overlaps(shown[1])
    one_above_the_other = shown[0].y0 > shown[1].y1
    assert one_above_the_other == (shape[1] > 2 * shape[0])


def test_names_that_are_far_apart_are_chosen_the_foremost_first():
    places = np.array([[0.0, 0.0], [5.0, 5.0], [30.0, 0.0], [0.0, 30.0], [np.nan, 0.0]])
    order = np.array([1.0, 2.0, 0.0, 0.5, 9.0])
    assert far_apart(places, order, (10.0, 10.0), 9) == [1, 3, 2]
    assert far_apart(places, order, (10.0, 10.0), 1) == [1]
    assert far_apart(places[:0], order[:0], (10.0, 10.0), 9) == []
