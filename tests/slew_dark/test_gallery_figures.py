"""The gallery of clusters, read back from its artists."""

import numpy as np
import pytest
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from crsteps.detector import figures
from crsteps.slew_dark.gallery_figures import plot_gallery
from crsteps.slew_dark.thumbnails import ClusterCutout


@pytest.fixture(autouse=True)
def few_dots(monkeypatch):
    """Write small files: what is drawn does not depend on it."""
    monkeypatch.setattr(figures, "_DPI", 20)


def cutout(shape_class, n_pixels, *, rank=0.0, total=1000.0, value=100.0):
    """Return a square with a row of pixels in it."""
    mask = np.zeros((15, n_pixels + 4), bool)
    mask[7, 2 : n_pixels + 2] = True
    signal = np.where(mask, np.float32(value), np.float32(0.5))
    return ClusterCutout("DET21", shape_class, 700.4, 30.0, n_pixels, total, rank, signal, mask)


def test_the_gallery_has_a_row_for_each_class_with_typical_and_largest():
    cutouts = [cutout("point", n, rank=abs(n - 3)) for n in range(1, 7)]
    cutouts += [cutout("worm", 40, total=123456.0)]
    figure = Figure()
    plot_gallery(figure, cutouts, n_typical=2, n_largest=3, unit="ADU", title="clusters")
    drawn = [axes for axes in figure.axes if axes.images]
    labels = [axes.get_xlabel() for axes in drawn]
    sizes = [int(label.split("\n")[1].split()[0]) for label in labels]
    assert sizes == [3, 2, 6, 5, 4, 40]  # typical are among those that are not the largest
    assert labels[-1] == "DET21 x 700 y 30\n40 pixels, 123,456 ADU"
    rows = [axes.get_ylabel() for axes in figure.axes if axes.get_ylabel()]
    assert rows[:2] == ["point", "worm"]
    headings = [axes.get_title(loc="left") for axes in figure.axes]
    assert [heading for heading in headings if heading] == ["typical", "largest"]
    assert any("[ADU]" in axes.get_ylabel() for axes in figure.axes)
    for axes in drawn:
        (outline,) = [item for item in axes.collections if isinstance(item, LineCollection)]
        mask = np.asarray(axes.images[0].get_array()) > 50
        assert len(outline.get_segments()) == 2 * mask.sum() + 2


def test_all_panels_of_the_gallery_have_one_scale():
    figure = Figure()
    cutouts = [cutout("point", 2, value=10.0), cutout("blob", 5, value=5000.0)]
    plot_gallery(figure, cutouts)
    norms = {id(axes.images[0].norm) for axes in figure.axes if axes.images}
    assert len(norms) == 1
    (norm,) = {axes.images[0].norm for axes in figure.axes if axes.images}
    assert norm.vmax == 5000


def test_a_gallery_without_clusters_says_so(tmp_path):
    figure = Figure()
    plot_gallery(figure, [])
    assert [text.get_text() for text in figure.texts if text.get_text()] == ["no cluster"]
    plot_gallery(tmp_path / "gallery.png", [])
    assert (tmp_path / "gallery.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("value", [np.nan, -5.0])
def test_a_cluster_without_positive_signal_is_drawn(tmp_path, value):
    plot_gallery(tmp_path / "gallery.png", [cutout("point", 1, value=value, total=value)])
    assert (tmp_path / "gallery.png").read_bytes().startswith(b"\x89PNG")
