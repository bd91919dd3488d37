"""What the figures of slew darks draw, read back from their artists."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from crsteps.detector import figures as shared_figures
from crsteps.detector.nisp import DETECTORS, focal_plane_position
from crsteps.slew_dark import figures
from crsteps.slew_dark.figures import plot_detector, plot_focal_plane
from crsteps.slew_dark.thumbnails import (
    BAD,
    CLEAN,
    HIT,
    REFERENCE,
    make_thumbnail,
    pixel_classes,
)

SHAPE = (64, 64)


@pytest.fixture(autouse=True)
def few_dots(monkeypatch):
    """Write small files: what is drawn does not depend on it."""
    monkeypatch.setattr(shared_figures, "_DPI", 20)


def is_png(path):
    """Tell whether a file is a PNG image that is not empty."""
    return path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size > 100


def thumbnail(detector, *, marked=(0, 0), size=16):
    """Noise with one hit, at pixel `marked` (y, x)."""
    image = np.random.default_rng(4).normal(0, 1, SHAPE).astype(np.float32)
    hits = np.zeros(SHAPE, bool)
    hits[marked] = True
    classes = pixel_classes(hits, usable=np.ones(SHAPE, bool))
    cleaned = image.copy()
    image[hits] = 1600
    return make_thumbnail(detector, original=image, cleaned=cleaned, classes=classes, size=size)


def drawn_at(axes, x, y):
    """Value of the image that is drawn over a place of the axes, from its extent and origin."""
    values = []
    for image in axes.images:
        left, right, bottom, top = image.get_extent()
        if left <= x <= right and bottom <= y <= top:
            array = image.get_array()
            row = int((top - y) / (top - bottom) * array.shape[0])
            if image.origin == "lower":
                row = array.shape[0] - 1 - row
            values.append(array[row, int((x - left) / (right - left) * array.shape[1])])
    return values


@pytest.mark.parametrize("detector", ["DET11", "DET24", "DET31", "DET43"])
@pytest.mark.parametrize("marked", [(0, 0), (5, 60), (40, 3)])
def test_a_pixel_is_drawn_where_it_is_on_the_focal_plane(detector, marked):
    figure = Figure()
    plot_focal_plane(figure, [thumbnail(detector, marked=marked)])
    axes = {each.get_title(): each for each in figure.axes}
    # Smaller images are drawn as large as a whole detector.
    y, x = (np.array(marked) + 0.5) * 2048 / 64 - 0.5
    x, y = focal_plane_position(detector, x, y, shape=(2048, 2048))
    assert drawn_at(axes["mask"], x, y) == [HIT]
    (value,) = drawn_at(axes["original"], x, y)
    assert value == pytest.approx(100, abs=1.5)  # 1600 in one of 16 pixels
    (value,) = drawn_at(axes["cleaned"], x, y)
    assert abs(value) < 1.5


def test_the_first_pixel_is_upper_left_or_lower_right():
    """The focal plane as the instrument team draws it, without help from its coordinates."""
    for detector, right, top in (("DET11", False, True), ("DET31", True, False)):
        figure = Figure()
        plot_focal_plane(figure, [thumbnail(detector)], panels=("mask",))
        (image,) = figure.axes[0].images
        y, x = np.argwhere(np.asarray(image.get_array()) == HIT)[0]
        assert image.origin == "upper"
        assert (x > 8, y < 8) == (right, top)


def test_detectors_are_in_rows_from_the_bottom_and_missing_ones_hatched():
    figure = Figure()
    plot_focal_plane(figure, [thumbnail(name) for name in DETECTORS if name != "DET32"])
    for axes in figure.axes[:3]:
        centres = {}
        for text in axes.texts:
            name, _, missing = text.get_text().partition("\n")
            centres[name] = text.get_position()
            assert bool(missing) == (name == "DET32")
        assert len(centres) == 16
        for row in "1234":
            assert len({round(centres[f"DET{row}{column}"][1], 6) for column in "1234"}) == 1
        assert centres["DET41"][1] > centres["DET31"][1] > centres["DET21"][1] > centres["DET11"][1]
        assert centres["DET11"][0] < centres["DET12"][0] < centres["DET13"][0] < centres["DET14"][0]
        hatched = [p for p in axes.patches if isinstance(p, Rectangle) and p.get_hatch()]
        assert len(hatched) == 1
        assert len(axes.images) == 15
        assert "mm" in axes.get_xlabel()


def test_images_of_the_focal_plane_have_one_stretch_and_say_what_it_is():
    figure = Figure()
    plot_focal_plane(figure, [thumbnail("DET11"), thumbnail("DET44")], unit="ADU", title="a dark")
    limits = {image.get_clim() for axes in figure.axes[:2] for image in axes.images}
    assert len(limits) == 1
    labels = [axes.get_xlabel() for axes in figure.axes]
    assert "mean of 4 × 4 pixels [ADU], zscale" in labels
    assert figure.get_suptitle() == "a dark"


def test_no_detector_is_no_focal_plane():
    with pytest.raises(ValueError, match="no detector"):
        plot_focal_plane(Figure(), [])


@pytest.fixture
def dark():
    """Return the arguments of a figure of a detector with a track, bad and reference pixels."""
    original = np.random.default_rng(5).normal(1000, 3, (300, 200)).astype(np.float32)
    hits, usable = np.zeros(original.shape, bool), np.ones(original.shape, bool)
    reference = np.zeros(original.shape, bool)
    reference[:4] = True
    usable[:4] = usable[150, 90] = False
    cleaned = original.copy()
    hits[140:160, 100] = True
    original[hits] = 4000
    original[150, 90] = 30000
    return {
        "original": original,
        "cleaned": cleaned,
        "hits": hits,
        "usable": usable,
        "reference": reference,
        "level": 1000.0,
    }


def panels(figure):
    """Axes that hold images: three of the whole detector, three of the part."""
    found = [axes for axes in figure.axes if axes.images]
    return [a for a in found if a.get_title()], [a for a in found if not a.get_title()]


def test_original_cleaned_and_mask_of_the_whole_and_of_a_part(dark):
    figure = Figure()
    plot_detector(figure, **dark, title="DET11 of a dark", box_size=64)
    whole, part = panels(figure)
    titles = [axes.get_title() for axes in whole]
    assert titles == ["original", "cleaned", "mask: 20 pixels (0.03 %)"]
    for axes in whole:
        assert (axes.get_xlim(), axes.get_ylim()) == ((-0.5, 199.5), (-0.5, 299.5))
        assert axes.images[0].origin == "lower"
    # A whole image of few pixels is drawn as it is, without its level.
    np.testing.assert_allclose(
        whole[0].images[0].get_array()[140:160, 100], dark["original"][140:160, 100] - 1000
    )
    x, y = (
        np.round(np.array(limits) + 0.5).astype(int)
        for limits in (part[0].get_xlim(), part[0].get_ylim())
    )
    assert np.ptp(x) == np.ptp(y) == 64
    assert dark["hits"][y[0] : y[1], x[0] : x[1]].sum() == 20
    mask = part[2].images[0].get_array()
    assert mask.shape == (64, 64)
    assert mask[150 - y[0], 100 - x[0]] == HIT
    assert mask[150 - y[0], 90 - x[0]] == BAD
    assert figure.get_suptitle() == "DET11 of a dark"


@pytest.mark.parametrize(
    "shape", [(2048, 2048), (300, 200), (2048, 256), (200, 300), (254, 1024), (32, 2048)]
)
def test_no_axes_overlap_and_all_lie_in_the_figure(shape):
    """With room for labels: below each panel, and between the panels."""
    layout = figures._wide_layout if shape[1] > 2 * shape[0] else figures._layout
    size, places = layout(shape, tuple(min(128, n) for n in shape))
    names = {f"{name}{part}" for name in (*figures._PANELS, "bar") for part in "01"}
    assert set(places) >= names
    for left, bottom, width, height in places.values():
        assert min(left, bottom, width, height) >= 0
        assert left + width <= size[0]
        assert bottom + height <= size[1] - 0.3
    boxes = list(places.values())
    for i, (left, bottom, width, height) in enumerate(boxes):
        for other_left, other_bottom, other_width, other_height in boxes[:i]:
            apart_x = max(left - other_left - other_width, other_left - left - width)
            apart_y = max(bottom - other_bottom - other_height, other_bottom - bottom - height)
            assert max(apart_x, apart_y) > 0.25


def test_images_of_a_row_have_the_stretch_of_the_original_and_hide_what_was_not_searched(dark):
    figure = Figure()
    plot_detector(figure, **dark)
    for original, cleaned, _ in panels(figure):
        assert original.images[0].get_clim() == cleaned.images[0].get_clim()
        assert max(original.images[0].get_clim()) < 100  # neither track nor hot pixel set it
    whole, _ = panels(figure)
    for axes in whole[:2]:
        hidden = np.ma.getmaskarray(np.ma.masked_invalid(axes.images[0].get_array()))
        np.testing.assert_array_equal(hidden, ~dark["usable"])
    labels = [axes.get_xlabel() for axes in figure.axes]
    assert labels.count("signal [ADU], zscale") == 2
    classes = whole[2].images[0].get_array()
    assert set(np.unique(classes)) == {CLEAN, REFERENCE, BAD, HIT}
    (legend,) = [axes.get_legend() for axes in figure.axes if axes.get_legend()]
    assert [t.get_text() for t in legend.get_texts()] == ["cosmic ray", "bad", "reference"]


def test_large_detectors_are_drawn_in_blocks_that_keep_single_hits():
    shape = (1030, 1024)
    hits = np.zeros(shape, bool)
    hits[1029, 1023] = True
    image = np.zeros(shape, np.float32)
    figure = Figure()
    plot_detector(figure, original=image, cleaned=image, hits=hits, usable=~np.zeros(shape, bool))
    whole, _ = panels(figure)
    mask = whole[2].images[0]
    assert mask.get_array().shape == (344, 342)
    assert mask.get_array()[-1, -1] == HIT
    # Blocks reach beyond the image, the axes do not.
    assert mask.get_extent() == [-0.5, 1025.5, -0.5, 1031.5]
    assert whole[2].get_ylim() == (-0.5, 1029.5)
    assert "mean of 3 × 3 pixels [ADU], zscale" in [axes.get_xlabel() for axes in figure.axes]


def test_panels_of_wide_images_stand_one_above_the_other(dark):
    wide = {n: v.T if isinstance(v, np.ndarray) else v for n, v in dark.items()}
    wide = {
        n: np.concatenate([v, v], axis=1) if isinstance(v, np.ndarray) else v
        for n, v in wide.items()
    }
    figure = Figure()
    plot_detector(figure, **wide, box_size=50)
    shown = {axes.get_title(): axes for axes in figure.axes if axes.get_title()}
    original, mask = shown["original"], shown["mask: 40 pixels (0.03 %)"]
    above, below = (axes.get_position(original=True) for axes in (original, mask))
    assert (above.x0, above.x1) == (below.x0, below.x1)
    assert above.y0 > below.y1
    assert (mask.get_xlim(), mask.get_ylim()) == ((-0.5, 599.5), (-0.5, 199.5))
    assert (original.get_ylabel(), original.get_xlabel()) == ("y [pixel]", "")
    assert (mask.get_ylabel(), mask.get_xlabel()) == ("y [pixel]", "x [pixel]")


@pytest.mark.parametrize("what", ["all bad", "all NaN", "constant", "no hits", "level NaN"])
def test_degenerate_detectors_give_a_figure(dark, tmp_path, what):
    if what == "all bad":
        dark["usable"][:] = False
        dark["hits"][:] = False
    elif what in ("all NaN", "constant"):
        value = np.nan if what == "all NaN" else 7
        dark["original"] = dark["cleaned"] = np.full_like(dark["original"], value)
    elif what == "no hits":
        dark["hits"][:] = False
    else:
        dark["level"] = float("nan")
    path = tmp_path / "detector.png"
    plot_detector(path, **dark)
    assert is_png(path)


def test_figures_of_an_exposure_are_written(tmp_path):
    plot_focal_plane(tmp_path / "plane.png", [thumbnail("DET14")], panels=("mask",))
    assert is_png(tmp_path / "plane.png")
