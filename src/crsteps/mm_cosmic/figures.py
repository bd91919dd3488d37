"""Figures of the masks: the median-minimum diagram, and cut-outs of what was flagged."""

import numpy as np

from crsteps.detector.display import mask_outline

# Okabe and Ito's colours, told apart with every kind of colour vision.
_FLAGGED, _LIMIT = "#D55E00", "#000000"
_BINS = 240
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
    good = np.isfinite(lowest) & np.isfinite(median)
    x, y, flagged = lowest[good], (median - lowest)[good], mediancr[good]
    if x.size:
        scale = noise or float(np.percentile(y, 68)) or 1.0
        _draw_density(figure, axes, x, y, flagged, scale)
        _draw_flagged(axes, x[flagged], y[flagged])
        _draw_boundary(axes, boundary, x)
        _round_ticks(axes, scale)
    _describe(axes, labels, n_pixels=x.size, n_flagged=int(flagged.sum()))
    if figure is not target:
        figure.savefig(target, dpi=_DPI, format="png", bbox_inches="tight")


def _draw_density(figure, axes, x, y, flagged, scale):
    """Count the unflagged pixels in bins equal on the axes' own scale."""
    from matplotlib.colors import LogNorm

    counts, x_edges, y_edges = _histogram(x, y, ~flagged, scale)
    for axis in ("x", "y"):
        getattr(axes, f"set_{axis}scale")("asinh", linear_width=scale)
    counts[counts == 0] = np.nan
    image = axes.pcolormesh(
        x_edges, y_edges, counts, norm=LogNorm(vmin=1), cmap="viridis", rasterized=True
    )
    figure.colorbar(image, ax=axes, label="unflagged pixels per bin", pad=0.02)
    axes.set_xlim(x_edges[0], x_edges[-1])
    axes.set_ylim(max(y_edges[0], -0.1 * scale), y_edges[-1])


def _histogram(x, y, counted, scale):
    """Two-dimensional histogram on the asinh scale: counts (n_y, n_x) and edges, data units."""
    edges, index = [], []
    for values in (x, y):
        place = np.arcsinh(values / np.float32(scale))
        low, high = float(place.min()), float(place.max())
        margin = 0.02 * (high - low) or 1.0
        grid = np.linspace(low - margin, high + margin, _BINS + 1)
        place -= np.float32(grid[0])
        place *= np.float32(_BINS / (grid[-1] - grid[0]))
        index.append(place.astype(np.int32))
        edges.append(scale * np.sinh(grid))
    place = index[1] * _BINS + index[0]
    counts = np.bincount(place[counted], minlength=_BINS**2).astype(float)
    return counts.reshape(_BINS, _BINS), *edges


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


def _draw_boundary(axes, boundary, x):
    if boundary is None:
        return
    signal, difference = (np.asarray(values) for values in boundary)
    # Below the bulk of the pixels the line belongs to no typical pixel.
    inside = (signal >= np.quantile(x, 1e-4)) & (signal <= x.max())
    axes.plot(signal[inside], difference[inside], color="white", linewidth=3.5)
    axes.plot(
        signal[inside],
        difference[inside],
        color=_LIMIT,
        linewidth=1.5,
        label="limit for a lone pixel of typical noise",
    )
    if inside.any():
        axes.set_ylim(top=max(axes.get_ylim()[1], 1.2 * float(difference[inside].max())))


def _round_ticks(axes, scale):
    """Label zero and the powers of ten beyond the linear part, where labels have room."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    for axis, (low, high) in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
        first = int(np.ceil(np.log10(scale)))
        last = int(np.ceil(np.log10(max(abs(low), abs(high), scale)))) + 1
        powers = 10.0 ** np.arange(first, last)
        if last - first < 4:
            powers = np.outer(10.0 ** np.arange(first - 1, last), [1, 2, 5]).ravel()
            powers = powers[powers > scale]
        ticks = np.concatenate([-powers[::-1], [0], powers])
        axis.set_major_locator(FixedLocator(ticks[(ticks >= low) & (ticks <= high)]))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _describe(axes, labels, *, n_pixels, n_flagged):
    unit = f" [{labels['unit']}]" if labels.get("unit") else ""
    n, hits = labels.get("n_exposures"), labels.get("cr_coincidences")
    lowest = "minimum signal"
    if n and hits:
        n_lowest = n - hits
        lowest += ": lowest exposure" if n_lowest == 1 else f": mean of the {n_lowest} lowest"
        lowest += f" of {n}"
    axes.set_xlabel(lowest + unit)
    axes.set_ylabel("median minus minimum signal" + unit)
    share = f"{n_pixels:,} pixels, {n_flagged:,} flagged"
    axes.set_title(
        "\n".join(filter(None, (labels.get("title"), share))), fontsize=11, loc="left", pad=26
    )
    axes.grid(alpha=0.25, linewidth=0.5)
    if axes.get_legend_handles_labels()[0]:
        # Above the axes: pixels may lie anywhere inside.
        axes.legend(
            loc="lower left",
            bbox_to_anchor=(0, 1),
            ncols=2,
            fontsize=9,
            frameon=False,
            borderaxespad=0.3,
            handletextpad=0.4,
        )


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
