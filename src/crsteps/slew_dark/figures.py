"""Images before and after the cleaning: of a detector, and of the focal plane."""

import numpy as np

from crsteps.detector.display import zscale_limits
from crsteps.detector.figures import open_figure
from crsteps.detector.nisp import DETECTORS, FULL, focal_plane_position
from crsteps.slew_dark.thumbnails import (
    BAD,
    CLEAN,
    HIT,
    REFERENCE,
    busiest_box,
    pixel_classes,
    reduce_blocks,
)

# Okabe and Ito's colours, told apart with every kind of colour vision.
HIT_COLOUR, BAD_COLOUR, _REFERENCE = "#D55E00", "#56B4E9", "#BBBBBB"
_CLASS_COLOURS = {CLEAN: "white", REFERENCE: _REFERENCE, BAD: BAD_COLOUR, HIT: HIT_COLOUR}
_PANELS = ("original", "cleaned", "mask")
# Layout of the panels [inch]: margin on the left, between panels, below them for tick labels, the
# label of the axis, the colour bar and its labels, and above them for a title.
_LEFT, _GAP, _BELOW, _ABOVE = 0.85, 0.3, 1.3, 0.42
# Room for the title of the figure, and margin on the right.
_TITLE, _RIGHT = 0.4, 0.25
# Pixels along a side of a whole detector in its own figure: no more can be seen.
_SHOWN = 512


def plot_detector(
    target,
    *,
    original,
    cleaned,
    hits,
    usable,
    reference=None,
    level=0.0,
    unit="ADU",
    title="",
    box_size=128,
):
    """
    Draw a detector before and after the cleaning, and its mask: whole, and a part of it.

    Parameters
    ----------
    target : path, file or matplotlib.figure.Figure
        PNG file to write, or figure to draw into.
    original, cleaned : ndarray, shape (ny, nx)
        Images, data units.
    hits : ndarray of bool, shape (ny, nx)
        Pixels flagged as hit by cosmic rays.
    usable : ndarray of bool, shape (ny, nx)
        Pixels that were searched; others are drawn in a colour, in every panel.
    reference : ndarray of bool, shape (ny, nx), optional
        Reference pixels.
    level : float, optional
        Level to subtract from the images, data units; NaN for none.
    unit : str, optional
        Unit of the images.
    title : str, optional
        Title of the figure.
    box_size : int, optional
        Pixels along a side of the part that is drawn larger: where hits are most numerous.

    Notes
    -----
    A pixel of the whole image is the mean of several, and the highest class of them in the mask.
    Original and cleaned image have the limits that the zscale algorithm gives for the original.
    """
    ny, nx = hits.shape
    wide = nx > 2 * ny
    box = busiest_box(hits, box_size)
    size, places = (_wide_layout if wide else _layout)(hits.shape, hits[box].shape)
    figure, save = open_figure(target, size, layout=None)
    axes = _place_axes(figure, size, places)
    classes = pixel_classes(hits, usable=usable, reference=reference)
    level = np.float32(np.nan_to_num(level))
    images = [np.where(usable, image, np.float32(np.nan)) - level for image in (original, cleaned)]
    block = max(1, -(-max(ny, nx) // _SHOWN))
    for part, window, step in (("0", (slice(ny), slice(nx)), block), ("1", box, 1)):
        panels = [reduce_blocks(image[window], step) for image in (*images, classes)]
        own = {name: axes[name + part] for name in (*_PANELS, "bar")}
        _draw_part(figure, own, panels, window, step, unit)
        for name in _PANELS[:-1] if wide else _PANELS[1:]:
            own[name].tick_params(labelbottom=not wide, labelleft=wide)
            own[name].set(**{"xlabel" if wide else "ylabel": ""})
    share = 100 * hits.sum() / max(usable.sum(), 1)
    searched = f"mask: {hits.sum():,} pixels ({share:.2f} %)"
    for name, heading in zip(_PANELS, (*_PANELS[:-1], searched), strict=True):
        axes[f"{name}0"].set_title(heading, fontsize=14)
        _draw_box(axes[f"{name}0"], box)
    _class_legend(axes["legend0"], classes)
    _set_title(figure, title, size)
    save()


def _layout(shape, box_shape):
    """Size of a figure of a detector and places of its axes: the whole above, its part below."""
    width, bottom, places = 3.95, 0.0, {}
    for part, (ny, nx) in (("1", box_shape), ("0", shape)):
        height = width * min(ny / nx, 1.6)
        places |= _row_places(_PANELS, part, bottom=bottom, width=width, height=height)
        bottom += _BELOW + height + _ABOVE
    return (_LEFT + 3 * width + 2 * _GAP + _RIGHT, bottom + _TITLE), places


def _wide_layout(shape, box_shape):
    """Size of a figure of a wide image and places of its axes: the part beside the whole."""
    (ny, nx), (box_ny, box_nx) = shape, box_shape
    total, gap = 11.7, 0.9
    height = max(total / (nx / ny + box_nx / box_ny), 0.8)
    part_width = height * box_nx / box_ny
    columns = {
        "0": (_LEFT, total - part_width),
        "1": (_LEFT + total - part_width + gap, part_width),
    }
    places = {"legend0": (_LEFT, 0.1, total - part_width, 0.3)}
    for part, (left, width) in columns.items():
        places[f"bar{part}"] = (left, 0.95, width, 0.16)
        for i, name in enumerate(reversed(_PANELS)):
            bottom = _BELOW + 0.45 + i * (height + _ABOVE)
            places[name + part] = (left, bottom, width, height)
    return (
        _LEFT + total + gap + _RIGHT,
        _BELOW + 0.45 + len(_PANELS) * (height + _ABOVE) + _TITLE,
    ), places


def _row_places(names, part, *, bottom, width, height):
    """Places of panels side by side, and of a colour bar and a legend below them."""
    left = {name: _LEFT + i * (width + _GAP) for i, name in enumerate(names)}
    places = {name + part: (left[name], bottom + _BELOW, width, height) for name in names}
    if images := [name for name in names if name != "mask"]:
        first, last = left[images[0]], left[images[-1]]
        places[f"bar{part}"] = (first, bottom + 0.52, last - first + width, 0.16)
    if "mask" in names:
        places[f"legend{part}"] = (left["mask"], bottom + 0.4, width, 0.3)
    return places


def _place_axes(figure, size, places):
    """Make axes where a layout wants them; what `_layout` calls a legend has no frame."""
    axes = {}
    for name, (left, bottom, width, height) in places.items():
        box = left / size[0], bottom / size[1], width / size[0], height / size[1]
        axes[name] = figure.add_axes(box, label=name)
        if name.startswith("legend"):
            axes[name].set_axis_off()
    return axes


def _set_title(figure, title, size):
    figure.suptitle(title, fontsize=14, y=1 - 0.12 / size[1], va="top")


def _draw_part(figure, places, panels, window, step, unit):
    """Two images of one stretch with their colour bar, and the classes."""
    low, high = zscale_limits(panels[0])
    y, x = ((part.start or 0) - 0.5 for part in window)
    ny, nx = panels[0].shape
    extent = (x, x + nx * step, y, y + ny * step)
    grey = {"cmap": colour_map("gray"), "vmin": low, "vmax": high}
    for name, image in zip(_PANELS, panels, strict=True):
        style = _class_style() if name == "mask" else grey
        places[name].imshow(image, origin="lower", extent=extent, **style)
        places[name].set(
            xlabel="x [pixel]",
            ylabel="y [pixel]",
            # Blocks at the upper ends may be incomplete.
            xlim=(x, window[1].stop - 0.5),
            ylim=(y, window[0].stop - 0.5),
        )
    _stretch_bar(figure, places["bar"], (low, high), step, unit)


def _draw_box(axes, box):
    """Frame of the part that is drawn larger, black and white: seen on any ground."""
    from matplotlib.patches import Rectangle

    rows, columns = box
    for colour, width in (("k", 2.4), ("w", 1.0)):
        axes.add_patch(
            Rectangle(
                (columns.start - 0.5, rows.start - 0.5),
                columns.stop - columns.start,
                rows.stop - rows.start,
                fill=False,
                clip_on=False,
                edgecolor=colour,
                linewidth=width,
            )
        )


def _stretch_bar(figure, axes, limits, block, unit):
    """Colour bar of the grey scale, which says what a pixel is."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    what = f"mean of {block} × {block} pixels" if block > 1 else "signal"
    figure.colorbar(
        ScalarMappable(Normalize(*limits), "gray"),
        cax=axes,
        label=f"{what} [{unit}], zscale",
        extend="both",
        orientation="horizontal",
    )


def plot_focal_plane(target, thumbnails, *, panels=None, unit="ADU", title=""):
    """
    Draw all detectors where they are on the focal plane.

    Parameters
    ----------
    target : path, file or matplotlib.figure.Figure
        PNG file to write, or figure to draw into.
    thumbnails : sequence of Thumbnail
        Detectors; those that are missing are hatched.
    panels : sequence of {"original", "cleaned", "mask"}, optional
        What to draw, side by side; default: all three.
    unit : str, optional
        Unit of the images.
    title : str, optional
        Title of the figure.

    Raises
    ------
    ValueError
        Without a detector.

    Notes
    -----
    DET41 to DET44 are on top and DET11 to DET14 at the bottom. All images have the limits that
    the zscale algorithm gives for the originals together.
    """
    if not thumbnails:
        raise ValueError("there is no detector to draw on the focal plane")
    panels = panels or _PANELS
    width = 5.0 if len(panels) > 1 else 8.0
    height = 1.06 * width
    size = (
        _LEFT + len(panels) * (width + _GAP) - _GAP + _RIGHT,
        _BELOW + height + _ABOVE + _TITLE,
    )
    figure, save = open_figure(target, size, layout=None)
    places = _row_places(panels, "", bottom=0, width=width, height=height)
    axes = _place_axes(figure, size, places)
    low, high = zscale_limits(np.concatenate([each.original.ravel() for each in thumbnails]))
    grey = {"cmap": colour_map("gray"), "vmin": low, "vmax": high}
    for name in panels:
        if name == "mask":
            _draw_detectors(axes[name], thumbnails, "classes", _class_style())
        else:
            _draw_detectors(axes[name], thumbnails, name, grey)
        axes[name].set_title(name, fontsize=15)
        axes[name].set_xlabel("focal plane x [mm]")
        axes[name].tick_params(labelleft=name == panels[0])
    axes[panels[0]].set_ylabel("focal plane y [mm]")
    if "bar" in axes:
        block = max(each.block for each in thumbnails)
        _stretch_bar(figure, axes["bar"], (low, high), block, unit)
    if "legend" in axes:
        classes = np.concatenate([each.classes.ravel() for each in thumbnails])
        _class_legend(axes["legend"], classes)
    _set_title(figure, title, size)
    save()


def _draw_detectors(axes, thumbnails, name, style):
    """Draw the detectors that are there, and hatched frames for the others."""
    from matplotlib.patches import Rectangle

    given = {each.detector: each for each in thumbnails}
    frames = np.array([_frame(detector) for detector in DETECTORS])
    for detector, (left, right, bottom, top) in zip(DETECTORS, frames, strict=True):
        size = {"width": right - left, "height": top - bottom}
        outline = {"fc": "none", "ec": "0.4", "lw": 0.6}
        if detector in given:
            thumbnail = given[detector]
            image = getattr(thumbnail, name)
            extent = _frame(detector, np.array(image.shape) * thumbnail.block / thumbnail.shape)
            axes.imshow(image, origin="upper", extent=extent, **style)
        else:
            outline = {"fc": "0.95", "ec": "0.6", "lw": 0.6, "hatch": "////"}
        axes.add_patch(Rectangle((left, bottom), **size, **outline))
        axes.text(
            left + 0.02 * size["width"],
            top - 0.02 * size["height"],
            detector if detector in given else f"{detector}\nmissing",
            va="top",
            fontsize=9,
            bbox={"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 1},
        )
    margin = 3  # mm
    axes.set(
        xlim=(frames[:, 0].min() - margin, frames[:, 1].max() + margin),
        ylim=(frames[:, 2].min() - margin, frames[:, 3].max() + margin),
        aspect="equal",
    )


def _frame(detector, covered=(1, 1)):
    """Edges of a detector, or of a multiple of it from its first pixel, in mm: l, r, b, t."""
    ny, nx = FULL * np.asarray(covered)
    x, y = np.array([-0.5, nx - 0.5]), np.array([-0.5, ny - 0.5])
    x, y = focal_plane_position(detector, x, y, shape=(FULL, FULL))
    return min(x), max(x), min(y), max(y)


def colour_map(name):
    """
    Give a colour map in which pixels without a value have the colour of bad pixels.

    Parameters
    ----------
    name : str
        Name of the map in Matplotlib.

    Returns
    -------
    matplotlib.colors.Colormap
    """
    from matplotlib import colormaps

    return colormaps[name].with_extremes(bad=BAD_COLOUR)


def _class_style():
    """How `imshow` draws classes of pixels; nearby classes are mixed as colours, not as numbers."""
    from matplotlib.colors import ListedColormap

    return {
        "cmap": ListedColormap(list(_CLASS_COLOURS.values())),
        "vmin": -0.5,
        "vmax": len(_CLASS_COLOURS) - 0.5,
        "interpolation_stage": "rgba",
    }


def _class_legend(axes, classes):
    """Say which classes of pixels there are."""
    from matplotlib.patches import Patch

    names = {HIT: "cosmic ray", BAD: "bad", REFERENCE: "reference"}
    present = {HIT, *np.flatnonzero(np.bincount(classes.ravel()))}
    axes.legend(
        handles=[
            Patch(facecolor=_CLASS_COLOURS[kind], edgecolor="0.3", label=name)
            for kind, name in names.items()
            if kind in present
        ],
        loc="center",
        ncols=len(names),
        frameon=False,
        fontsize=11,
    )
