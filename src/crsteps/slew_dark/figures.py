"""Images before and after the cleaning, the focal plane, and a gallery of clusters."""

from itertools import zip_longest

import numpy as np

from crsteps.cosmic_rays.shapes import SHAPES
from crsteps.detector.display import mask_outline, zscale_limits
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
_HIT, _BAD, _REFERENCE = "#D55E00", "#56B4E9", "#BBBBBB"
_CLASS_COLOURS = {CLEAN: "white", REFERENCE: _REFERENCE, BAD: _BAD, HIT: _HIT}
# Panels of a row, and what is below each: a colour bar common to both images, and a legend.
_PANELS, _BELOW = ("original", "cleaned", "mask"), ("bar", "bar", "legend")
_NAMES = {*_PANELS, *_BELOW}
# Figures of a detector [inch]; panels of images that are wide stand one above the other.
_SIZE, _WIDE_SIZE = (13.5, 10.6), (14.0, 9.6)
_DPI = 150
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
    figure, save = _figure(target, _WIDE_SIZE if wide else _SIZE)
    classes = pixel_classes(hits, usable=usable, reference=reference)
    level = np.float32(np.nan_to_num(level))
    images = [np.where(usable, image, np.float32(np.nan)) - level for image in (original, cleaned)]
    places = _arrange(figure, wide=wide, aspect=nx / ny)
    box = busiest_box(hits, box_size)
    block = max(1, -(-max(ny, nx) // _SHOWN))
    for part, window, step in (("0", (slice(ny), slice(nx)), block), ("1", box, 1)):
        panels = [reduce_blocks(image[window], step) for image in (*images, classes)]
        own = {name: places[name + part] for name in _NAMES}
        _draw_part(figure, own, panels, window, step, unit)
        for name in _PANELS[:-1] if wide else _PANELS[1:]:
            own[name].tick_params(labelbottom=not wide, labelleft=wide)
            own[name].set(**{"xlabel" if wide else "ylabel": ""})
    for name in _PANELS:
        places[f"{name}0"].set_title(name, fontsize=14)
        _draw_box(places[f"{name}0"], box)
    searched = f"{hits.sum():,} pixels ({hits.sum() / max(usable.sum(), 1):.2%})"
    places["mask0"].set_title(f"mask: {searched}", fontsize=14)
    _class_legend(places["legend0"], classes)
    figure.suptitle(title, fontsize=14)
    save()


def _arrange(figure, *, wide, aspect):
    """Axes of the whole image ("original0" and so on) and of its part ("original1")."""
    if wide:
        rows = [[f"{name}0", f"{name}1"] for name in (*_PANELS, "bar", "legend")]
        ratios = {"height_ratios": [1, 1, 1, 0.06, 0.06], "width_ratios": [min(aspect, 5), 1]}
    else:
        rows = [[f"{name}{part}" for name in names] for part in "01" for names in (_PANELS, _BELOW)]
        ratios = {"height_ratios": [1, 0.028, 1, 0.028]}
    return figure.subplot_mosaic(rows, **ratios)


def _draw_part(figure, places, panels, window, step, unit):
    """Two images of one stretch with their colour bar, and the classes."""
    low, high = zscale_limits(panels[0])
    y, x = ((part.start or 0) - 0.5 for part in window)
    ny, nx = panels[0].shape
    extent = (x, x + nx * step, y, y + ny * step)
    grey = {"cmap": _colour_map("gray"), "vmin": low, "vmax": high}
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
    places["legend"].set_axis_off()


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
    width = 5.3 if len(panels) > 1 else 8.4
    figure, save = _figure(target, (width * len(panels) + 0.3, 1.06 * width + 1.3))
    below = [_BELOW[_PANELS.index(name)] for name in panels]
    places = figure.subplot_mosaic([list(panels), below], height_ratios=[1, 0.025])
    low, high = zscale_limits(np.concatenate([each.original.ravel() for each in thumbnails]))
    for name in panels:
        style = {"cmap": _colour_map("gray"), "vmin": low, "vmax": high}
        if name == "mask":
            style = _class_style()
        _draw_detectors(places[name], thumbnails, "classes" if name == "mask" else name, style)
        places[name].set_title(name, fontsize=15)
        places[name].set_xlabel("focal plane x [mm]")
        if name != panels[0]:
            places[name].tick_params(labelleft=False)
    places[panels[0]].set_ylabel("focal plane y [mm]")
    if "bar" in places:
        block = max(each.block for each in thumbnails)
        _stretch_bar(figure, places["bar"], (low, high), block, unit)
    if "legend" in places:
        classes = np.concatenate([each.classes.ravel() for each in thumbnails])
        places["legend"].set_axis_off()
        _class_legend(places["legend"], classes)
    figure.suptitle(title, fontsize=14)
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


def plot_gallery(target, cutouts, *, n_typical=4, n_largest=4, unit="ADU", title=""):
    """
    Draw typical and the largest clusters of each class of shape.

    Parameters
    ----------
    target : path, file or matplotlib.figure.Figure
        PNG file to write, or figure to draw into.
    cutouts : sequence of ClusterCutout
        Clusters of one or several detectors to choose from.
    n_typical, n_largest : int, optional
        Number of clusters of each class.
    unit : str, optional
        Unit of the signal.
    title : str, optional
        Title of the figure.

    Notes
    -----
    All panels have one scale, linear near zero and logarithmic beyond. Typical are the clusters
    nearest to the median size and total intensity, edges and bad pixels left out.
    """
    classes = [name for name in SHAPES if any(c.shape_class == name for c in cutouts)]
    figure, save = _figure(target, (1.62 * (n_typical + n_largest) + 1.2, 1.95 * len(classes) + 1))
    figure.suptitle(title, fontsize=14)
    if not classes:
        figure.text(0.5, 0.5, "no cluster", ha="center", va="center", fontsize=14)
        return save()
    norm = _signal_norm(cutouts)
    ratios = [1] * n_typical + [0.08] + [1] * n_largest  # a gap between the two kinds
    grid = figure.subplots(len(classes), len(ratios), squeeze=False, width_ratios=ratios)
    for row, name in zip(grid, classes, strict=True):
        members = [c for c in cutouts if c.shape_class == name]
        for axes, cutout in zip_longest(row, _choose(members, n_typical, n_largest)):
            _draw_cutout(axes, cutout, norm, unit)
        row[0].set_ylabel(name, fontsize=14)
    for axes, heading in ((grid[0, 0], "typical"), (grid[0, n_typical + 1], "largest")):
        axes.set_title(heading, fontsize=14, loc="left")
    _explain_gallery(figure, grid, norm, unit)
    return save()


def _choose(members, n_typical, n_largest):
    """Typical clusters, with None where there are not enough and for the gap, and the largest."""
    largest = sorted(members, key=lambda c: (-c.n_pixels, -c.total))[:n_largest]
    others = [c for c in members if not any(c is each for each in largest)]
    typical = sorted(others, key=lambda c: c.rank)[:n_typical]
    return [*typical, *[None] * (n_typical + 1 - len(typical)), *largest]


def _explain_gallery(figure, grid, norm, unit):
    """Colour bar with zero and the powers of ten that have room, and a legend."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.patches import Patch

    bar = figure.colorbar(
        ScalarMappable(norm, "gray"),
        ax=grid,
        label=f"signal above the background [{unit}]",
        pad=0.01,
        aspect=45,
        extend="both",
    )
    decades = 10.0 ** np.arange(np.ceil(np.log10(norm.linear_width)), np.log10(norm.vmax))
    bar.set_ticks([0, *decades], labels=["0", *(f"{value:g}" for value in decades)])
    bar.ax.minorticks_off()
    figure.legend(
        handles=[
            Patch(facecolor="0.5", edgecolor=_HIT, label="pixels of the cluster"),
            Patch(facecolor=_BAD, label="not usable, or no pixel"),
        ],
        loc="outside lower right",
        ncols=2,
        frameon=False,
    )


def _signal_norm(cutouts):
    """Linear up to a few times the scatter of the background, logarithmic beyond."""
    from matplotlib.colors import AsinhNorm

    around = np.concatenate([c.signal[~c.mask] for c in cutouts])
    around = around[np.isfinite(around)]
    noise = 1.4826 * np.median(np.abs(around)) if around.size else 0.0
    peak = max(np.nanmax(c.signal, initial=0.0, where=c.mask) for c in cutouts)
    width = 2 * float(noise) or 1.0
    return AsinhNorm(linear_width=width, vmin=-width, vmax=max(float(peak), 2 * width))


def _draw_cutout(axes, cutout, norm, unit):
    """One cluster, outlined, with its size and where it is; or nothing."""
    from matplotlib.collections import LineCollection

    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set_visible(cutout is not None)
    if cutout is None:
        return
    axes.imshow(cutout.signal, origin="lower", cmap=_colour_map("gray"), norm=norm)
    axes.add_collection(LineCollection(mask_outline(cutout.mask), colors=_HIT, linewidths=0.9))
    place = f"{cutout.detector} x {cutout.x:.0f} y {cutout.y:.0f}"
    pixels = "1 pixel" if cutout.n_pixels == 1 else f"{cutout.n_pixels} pixels"
    axes.set_xlabel(f"{place}\n{pixels}, {cutout.total:,.0f} {unit}", fontsize=8, labelpad=2)


def _figure(target, size):
    """Figure to draw into, and what to call in the end: it writes the file, if there is one."""
    from matplotlib.figure import Figure

    if isinstance(target, Figure):
        return target, lambda: None
    figure = Figure(figsize=size, layout="constrained")
    # Noise compresses as well at a low level, in less than half the time.
    settings = {"dpi": _DPI, "format": "png", "pil_kwargs": {"compress_level": 3}}
    return figure, lambda: figure.savefig(target, **settings)


def _colour_map(name):
    """Colour map in which pixels without a value have the colour of bad pixels."""
    from matplotlib import colormaps

    return colormaps[name].with_extremes(bad=_BAD)


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
        loc="upper center",
        ncols=len(names),
        frameon=False,
        fontsize=11,
    )
