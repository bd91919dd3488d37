"""Figures of the masks: the median-minimum diagram, and cut-outs of what was flagged."""

import numpy as np

from crsteps.detector.display import mask_outline
from crsteps.mm_cosmic.diagram_figures import (
    axis_labels,
    count_in_diagram,
    diagram_pixels,
    draw_boundary,
    draw_counts,
    legend_above,
    round_ticks,
)

# Okabe and Ito's vermilion, told apart with every kind of colour vision.
_FLAGGED = "#D55E00"
MOST_MARKERS = 20_000
_DPI = 150


def plot_mm_diagram(target, *, lowest, median, mediancr, boundary=None, noise=None, **labels):
    """
    Draw the median-minimum diagram.

    The pixels are counted in bins, whatever their number; only flagged ones are drawn singly.
    Both axes are linear near zero and logarithmic beyond.

    Parameters
    ----------
    target : path, file or matplotlib.figure.Figure
        PNG file to write, or figure to draw into.
    lowest, median : ndarray, shape (ny, nx)
        Minimum signal and median of each pixel, data units; NaN is left out.
    mediancr : ndarray of bool, shape (ny, nx)
        Flagged pixels.
    boundary : tuple of ndarray, optional
        Minimum signal and median minus minimum signal along the limit of detection.
    noise : float, optional
        Standard deviation of an exposure without signal, data units: the linear part of the
        axes. Default: from the data.
    **labels
        ``unit`` of the data, ``title``, ``n_exposures`` and ``cr_coincidences`` for the axes.
    """
    from matplotlib.figure import Figure

    figure = target if isinstance(target, Figure) else Figure(figsize=(8, 6))
    axes = figure.add_subplot()
    x, y, good, scale = diagram_pixels(lowest, median, noise)
    flagged = mediancr[good]
    if x.size:
        counts = count_in_diagram(x, y, scale, counted=~flagged)
        draw_counts(axes, counts, label="unflagged pixels per bin")
        _draw_flagged(axes, x[flagged], y[flagged])
        draw_boundary(axes, boundary, x, label="limit for a lone pixel of typical noise")
        round_ticks(axes, scale)
    _describe(axes, labels, n_pixels=x.size, n_flagged=int(flagged.sum()))
    if figure is not target:
        figure.savefig(target, dpi=_DPI, format="png", bbox_inches="tight")


def _draw_flagged(axes, x, y):
    label = f"flagged in MEDIANCR ({x.size:,})"
    if x.size > MOST_MARKERS:
        keep = np.linspace(0, x.size - 1, MOST_MARKERS).astype(int)
        x, y = x[keep], y[keep]
        label = f"flagged in MEDIANCR ({MOST_MARKERS:,} of {label.split('(')[1]}"
    axes.plot(
        x,
        y,
        linestyle="none",
        marker="o",
        markersize=3,
        markerfacecolor="none",
        markeredgecolor=_FLAGGED,
        markeredgewidth=0.7,
        label=label,
        rasterized=True,
    )


def _describe(axes, labels, *, n_pixels, n_flagged):
    title, share = labels.pop("title", None), f"{n_pixels:,} pixels, {n_flagged:,} flagged"
    x_label, y_label = axis_labels(**labels)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.set_title("\n".join(filter(None, (title, share))), fontsize=11, loc="left", pad=26)
    axes.grid(alpha=0.25, linewidth=0.5)
    legend_above(axes)


def plot_cutouts(target, *, images, centres, masks=None, half_size=12, unit=None, title=None):
    """
    Draw cut-outs of several images around several pixels, flagged pixels outlined.

    Parameters
    ----------
    target : path, file or matplotlib.figure.Figure
        PNG file to write, or figure to draw into.
    images : dict of str to ndarray, shape (ny, nx)
        One column for each image, under its name.
    centres : sequence of tuple of int
        One row for each pixel ``(y, x)``, 0-based.
    masks : dict of str to ndarray of bool, optional
        Masks to outline in the images of the same name.
    half_size : int, optional
        Cut-outs show so many pixels on each side.
    unit : str, optional
        Unit of the images.
    title : str, optional
        Title of the figure.

    Notes
    -----
    The grey scale of a row ends at the 99.5 % quantile of its last image, which should be free of
    cosmic rays, and three times the range between its quartiles above it at least.
    """
    from matplotlib.figure import Figure

    shape = len(centres), len(images)
    figure = target
    if not isinstance(target, Figure):
        figure = Figure(figsize=(1.75 * shape[1] + 0.9, 1.6 * shape[0] + 0.7))
    margin = 0.6 / figure.get_figheight()
    spacing = {"wspace": 0.05, "hspace": 0.05, "top": 1 - margin, "bottom": margin / 6}
    grid = figure.subplots(*shape, squeeze=False, gridspec_kw=spacing)
    for row, (y, x) in zip(grid, centres, strict=True):
        _draw_row(figure, row, images, masks or {}, int(y), int(x), half_size, unit)
    for axes, name in zip(grid[0], images, strict=True):
        axes.set_title(name, fontsize=9)
    if title:
        figure.suptitle(title, fontsize=11, y=1 - margin / 6)
    if figure is not target:
        figure.savefig(target, dpi=_DPI, format="png", bbox_inches="tight")


def _draw_row(figure, row, images, masks, y, x, half_size, unit):
    clean = list(images.values())[-1]
    ny, nx = clean.shape
    rows = slice(max(y - half_size, 0), min(y + half_size + 1, ny))
    columns = slice(max(x - half_size, 0), min(x + half_size + 1, nx))
    extent = (columns.start - 0.5, columns.stop - 0.5, rows.start - 0.5, rows.stop - 0.5)
    low, lower, upper, high = np.nanpercentile(clean[rows, columns], [1, 25, 75, 99.5])
    high = max(high, upper + 3 * (upper - lower)) + 1e-6 * (abs(high) + 1)
    for axes, (name, image) in zip(row, images.items(), strict=True):
        drawn = axes.imshow(
            image[rows, columns],
            origin="lower",
            extent=extent,
            cmap="gray",
            vmin=low,
            vmax=high,
            interpolation="nearest",
        )
        if name in masks:
            _outline(axes, masks[name][rows, columns], rows.start, columns.start)
        axes.set_xticks([])
        axes.set_yticks([])
    row[0].set_ylabel(f"x {x}, y {y}", fontsize=8)
    bar = figure.colorbar(drawn, ax=list(row), pad=0.01, fraction=0.012)
    bar.ax.tick_params(labelsize=7)
    if unit:
        bar.set_label(unit, fontsize=7)


def _outline(axes, mask, first_row, first_column):
    """Draw the edges between flagged and other pixels."""
    from matplotlib.collections import LineCollection

    lines = mask_outline(mask) + np.array([first_column, first_row])
    axes.add_collection(LineCollection(lines, colors=_FLAGGED, linewidths=1.0))
