"""What the figures draw, read back from their artists."""

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from crsteps.mm_cosmic import figures
from crsteps.mm_cosmic.figures import plot_cutouts, plot_mm_diagram


@pytest.fixture
def scene():
    """Return lowest, median and mask of a noisy scene with missing pixels."""
    random = np.random.default_rng(3)
    lowest = random.exponential(50, (80, 90)).astype(np.float32) - 5
    median = lowest + random.exponential(5, lowest.shape).astype(np.float32)
    mask = np.zeros(lowest.shape, dtype=bool)
    mask[10, 10:30] = True
    median[mask] += 200
    lowest[0, :7] = np.nan
    return {"lowest": lowest, "median": median, "mediancr": mask}


def test_every_pixel_is_counted_once_or_marked(scene):
    figure = Figure()
    plot_mm_diagram(figure, **scene, noise=3.0)
    axes = figure.axes[0]
    (density,) = axes.images
    (points,) = axes.lines
    assert np.nansum(density.get_array()) == 80 * 90 - 7 - 20
    assert points.get_xdata().size == 20
    np.testing.assert_allclose(points.get_ydata(), (scene["median"] - scene["lowest"])[10, 10:30])


def test_counts_lie_where_the_pixels_are():
    """The darkest spot of the drawn figure is where its own axes put the pixels' coordinates."""
    lowest = np.full((5, 5), 40.0, dtype=np.float32)
    lowest[0] = -3, 100, 300, 5, 17
    median = lowest + 2
    median[0] += 30, 100, 3, 12, 250
    figure = Figure()
    FigureCanvasAgg(figure).draw()
    empty = np.zeros((5, 5), bool)
    plot_mm_diagram(figure, lowest=lowest, median=median, mediancr=empty, noise=3.0)
    axes = figure.axes[0]
    axes.grid(visible=False)
    figure.canvas.draw()
    drawn = np.asarray(figure.canvas.buffer_rgba())[::-1, :, :3].astype(int)
    places = axes.transData.transform(np.column_stack([lowest[0], (median - lowest)[0]]))
    for x, y in places:
        assert drawn[round(y) - 1 : round(y) + 2, round(x) - 1 : round(x) + 2].min() < 128
    inside = axes.get_window_extent()
    rows, columns = inside.intervaly.astype(int), inside.intervalx.astype(int)
    area = drawn[rows[0] + 3 : rows[1] - 3, columns[0] + 3 : columns[1] - 3]
    assert np.mean(area.min(axis=-1) < 250) < 6 * 9 / area[..., 0].size  # spots, and nothing else
    assert np.nanmax(axes.images[0].get_array()) == 20


def test_labels_say_what_is_drawn(scene):
    figure = Figure()
    line = np.array([0.0, 50.0]), np.array([20.0, 40.0])
    plot_mm_diagram(
        figure, **scene, boundary=line, unit="ADU", title="a set", n_exposures=5, cr_coincidences=3
    )
    axes = figure.axes[0]
    assert axes.get_xlabel() == "minimum signal: mean of the 2 lowest of 5 [ADU]"
    assert axes.get_ylabel() == "median minus minimum signal [ADU]"
    assert "7,193 pixels, 20 flagged" in axes.get_title(loc="left")
    legend = [text.get_text() for text in axes.get_legend().get_texts()]
    assert legend[0] == "flagged in MEDIANCR (20)"
    assert legend[1].startswith("limit for a lone pixel")


def test_marks_are_capped_and_the_legend_says_so(scene, monkeypatch):
    monkeypatch.setattr(figures, "MOST_MARKERS", 5)
    figure = Figure()
    plot_mm_diagram(figure, **scene)
    axes = figure.axes[0]
    assert axes.lines[0].get_xdata().size == 5
    assert axes.get_legend().get_texts()[0].get_text() == "flagged in MEDIANCR (5 of 20)"


@pytest.mark.parametrize("what", ["nothing usable", "all equal"])
def test_degenerate_data_give_a_figure(scene, tmp_path, what):
    fill = np.nan if what == "nothing usable" else 7.0
    images = {name: np.full((4, 4), fill, np.float32) for name in ("lowest", "median")}
    path = tmp_path / "diagram.png"
    plot_mm_diagram(path, **images, mediancr=np.zeros((4, 4), bool))
    assert path.read_bytes().startswith(b"\x89PNG")


def test_cutouts_show_the_pixels_around_and_outline_the_mask():
    image = np.arange(400, dtype=float).reshape(20, 20)
    mask = np.zeros((20, 20), bool)
    mask[10, 12] = True
    figure = Figure()
    plot_cutouts(
        figure,
        images={"raw": image, "clean": image},
        centres=[(10, 12), (0, 0)],
        masks={"raw": mask},
        half_size=3,
    )
    raw, clean, corner = figure.axes[:3]
    np.testing.assert_array_equal(raw.images[0].get_array(), image[7:14, 9:16])
    assert corner.images[0].get_array().shape == (4, 4)
    (lines,) = [item for item in raw.collections if isinstance(item, LineCollection)]
    ends = {tuple(sorted(map(tuple, segment))) for segment in np.array(lines.get_segments())}
    corners = [(11.5, 9.5), (12.5, 9.5), (12.5, 10.5), (11.5, 10.5)]
    square = {tuple(sorted((corners[i], corners[i - 1]))) for i in range(4)}
    assert ends == square
    assert not [item for item in clean.collections if isinstance(item, LineCollection)]
