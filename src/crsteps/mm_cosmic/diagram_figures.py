"""The median-minimum diagram in figures: its axes, the density of pixels, lines and symbols."""

from dataclasses import dataclass

import numpy as np

from crsteps.mm_cosmic.detection_codes import BY_AUXILIARY, BY_BOTH, BY_DILATION, BY_MM

BINS = 240
# Okabe and Ito's colours, told apart with every kind of colour vision; the symbols differ too.
# Code: colour, marker, size of the marker, words.
CODE_STYLES = {
    BY_DILATION: ("#7F7F7F", "s", 3.0, "added by dilation"),
    BY_MM: ("#0072B2", "+", 6.0, "M.M.Cosmic only"),
    BY_AUXILIARY: ("#D55E00", "x", 5.0, "auxiliary only"),
    BY_BOTH: ("#CC79A7", "o", 5.0, "both"),
}
LIMIT = "#000000"


@dataclass(frozen=True)
class DiagramCounts:
    """
    Pixels counted in bins of the diagram that are equal on its axes' own scale.

    Attributes
    ----------
    counts : ndarray, shape (n_y, n_x)
        Pixels per bin.
    x_edges, y_edges : ndarray, shape (n_x + 1,), (n_y + 1,)
        Edges of the bins, data units.
    scale : float
        Half-width of the linear part of the axes, data units.
    n_simulations : float
        Number of images whose pixels were counted.
    """

    counts: np.ndarray
    x_edges: np.ndarray
    y_edges: np.ndarray
    scale: float
    n_simulations: float = 1.0


def diagram_pixels(lowest, median, scale=None):
    """
    Give the coordinates of all pixels in the diagram.

    Parameters
    ----------
    lowest, median : ndarray, shape (ny, nx)
        Minimum signal and median, data units; pixels where either is not finite are left out.
    scale : float, optional
        Half-width of the linear part of the axes. Default: from the data.

    Returns
    -------
    x, y : ndarray, shape (n,)
        Minimum signal and median minus minimum signal.
    good : ndarray of bool, shape (ny, nx)
        Pixels that were taken.
    scale : float
        The given scale, or that of the data, positive.
    """
    good = np.isfinite(lowest) & np.isfinite(median)
    x, y = lowest[good], (median - lowest)[good]
    return x, y, good, scale or (float(np.percentile(y, 68)) if y.size else 0) or 1.0


def count_in_diagram(x, y, scale, *, counted=None):
    """
    Count pixels in bins that are equal on an asinh scale and hold all pixels.

    Parameters
    ----------
    x, y : ndarray, shape (n,)
        Coordinates, at least one, all finite.
    scale : float
        Half-width of the linear part, positive.
    counted : ndarray of bool, shape (n,), optional
        Pixels to count; the others only stretch the axes. All when not given.

    Returns
    -------
    DiagramCounts
    """
    edges, index = [], []
    for values in (x, y):
        place = np.arcsinh(values / np.float32(scale))
        low, high = float(place.min()), float(place.max())
        margin = 0.02 * (high - low) or 1.0
        grid = np.linspace(low - margin, high + margin, BINS + 1)
        place -= np.float32(grid[0])
        place *= np.float32(BINS / (grid[-1] - grid[0]))
        index.append(place.astype(np.int32))
        edges.append(scale * np.sinh(grid))
    place = index[1] * BINS + index[0]
    if counted is not None:
        place = place[counted]
    counts = np.bincount(place, minlength=BINS**2).reshape(BINS, BINS)
    return DiagramCounts(counts, *edges, scale)


def draw_counts(axes, diagram, *, cmap="viridis", label="pixels per bin", bar=True):
    """
    Draw the density of the pixels and set up the axes.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Where to draw.
    diagram : DiagramCounts
        Pixels in bins.
    cmap : str or matplotlib.colors.Colormap, optional
        Colours.
    label : str, optional
        What the colours mean.
    bar : bool, optional
        Whether to draw a colour bar.

    Notes
    -----
    The bins are equal on the axes' scale, so that an image of the counts is the same as a mesh of
    quadrilaterals, and far sooner drawn.
    """
    from matplotlib import colormaps
    from matplotlib.colors import LogNorm

    for axis in ("x", "y"):
        getattr(axes, f"set_{axis}scale")("asinh", linear_width=diagram.scale)
    corners = np.array([diagram.x_edges[[0, -1]], diagram.y_edges[[0, -1]]])
    image = axes.imshow(
        np.where(diagram.counts > 0, diagram.counts, np.nan),
        # Beyond the scale: an image in data units would be stretched by it.
        extent=tuple(np.ravel(diagram.scale * np.arcsinh(corners / diagram.scale))),
        transform=axes.transLimits + axes.transAxes,
        norm=LogNorm(vmin=1, vmax=max(diagram.counts.max(), 2)),
        origin="lower",
        aspect="auto",
        # White, not transparent: viewers that smooth images would draw a rim around lone bins.
        cmap=colormaps.get_cmap(cmap).with_extremes(bad="white"),
        interpolation="none",
    )
    axes.set_xlim(diagram.x_edges[0], diagram.x_edges[-1])
    axes.set_ylim(max(diagram.y_edges[0], -0.1 * diagram.scale), diagram.y_edges[-1])
    if bar:
        axes.figure.colorbar(image, ax=axes, label=label, pad=0.02)


def draw_boundary(axes, boundary, x, *, label):
    """
    Draw a line of detection where there are pixels, and make room for it.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Where to draw.
    boundary : tuple of ndarray or None
        Minimum signal and median minus minimum signal along the line, data units; None: nothing
        is drawn.
    x : ndarray, shape (n,)
        Minimum signal of the pixels.
    label : str
        Name of the line.
    """
    if boundary is None or not x.size:
        return
    signal, difference = (np.asarray(values) for values in boundary)
    # Below the bulk of the pixels the line belongs to no typical pixel.
    inside = (signal >= np.quantile(x, 1e-4)) & (signal <= x.max())
    axes.plot(signal[inside], difference[inside], color="white", linewidth=3.5)
    axes.plot(signal[inside], difference[inside], color=LIMIT, linewidth=1.5, label=label)
    if inside.any():
        axes.set_ylim(top=max(axes.get_ylim()[1], 1.2 * float(difference[inside].max())))


def round_ticks(axes, scale):
    """
    Label zero and round numbers beyond the linear part, where labels have room.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Axes with their final limits.
    scale : float
        Half-width of the linear part.
    """
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


def axis_labels(*, unit=None, n_exposures=None, cr_coincidences=None):
    """
    Name the axes of the diagram.

    Parameters
    ----------
    unit : str, optional
        Unit of the data.
    n_exposures, cr_coincidences : int, optional
        Number of exposures, and of those that must be hit.

    Returns
    -------
    tuple of str
        Labels of x and y.
    """
    end = f" [{unit}]" if unit else ""
    lowest = "minimum signal"
    if n_exposures and cr_coincidences:
        n_lowest = n_exposures - cr_coincidences
        lowest += ": lowest exposure" if n_lowest == 1 else f": mean of the {n_lowest} lowest"
        lowest += f" of {n_exposures}"
    return lowest + end, "median minus minimum signal" + end


def legend_above(axes, *, columns=2):
    """
    Put the legend above the axes: pixels may lie anywhere inside.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Axes with labelled artists, or without.
    columns : int, optional
        Columns of the legend.
    """
    if axes.get_legend_handles_labels()[0]:
        axes.legend(
            loc="lower left",
            bbox_to_anchor=(0, 1),
            ncols=columns,
            fontsize=9,
            frameon=False,
            borderaxespad=0.3,
            handletextpad=0.4,
        )


def light_grey():
    """
    Give greys without the darkest, on which symbols of every colour stand out.

    Returns
    -------
    matplotlib.colors.Colormap
    """
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap

    return ListedColormap(colormaps["Greys"](np.linspace(0.12, 0.62, 128)))


def draw_symbols(axes, x=(), y=(), codes=(), *, larger=0.0):
    """
    Draw pixels with symbols for their detection codes.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Where to draw.
    x, y : array-like, shape (n,), optional
        Coordinates of the pixels.
    codes : array-like of int, shape (n,), optional
        Their detection codes.
    larger : float, optional
        Added to the size of the symbols [points].

    Returns
    -------
    dict of int to matplotlib.lines.Line2D
        The symbols of each code, also of those without a pixel.
    """
    x, y, codes = np.asarray(x), np.asarray(y), np.asarray(codes)
    return {
        code: axes.plot(
            x[codes == code],
            y[codes == code],
            linestyle="none",
            marker=marker,
            markersize=size + larger,
            markerfacecolor="none",
            markeredgecolor=colour,
            markeredgewidth=1.0 + larger / 3,
            label=words,
        )[0]
        for code, (colour, marker, size, words) in sorted(CODE_STYLES.items(), reverse=True)
    }


def far_apart(places, order, size, most):
    """
    Choose points whose names do not cover each other, the foremost first.

    Parameters
    ----------
    places : ndarray, shape (n, 2)
        Points [pixels of the figure]; those that are not finite are left out.
    order : ndarray, shape (n,)
        Greater for what comes first.
    size : tuple of float
        Width and height of a name [pixels of the figure].
    most : int
        Most points to choose.

    Returns
    -------
    list of int
        Their indices.
    """
    chosen = []
    for i in np.argsort(-order, kind="stable"):
        if len(chosen) == most:
            break
        distance = np.abs(places[chosen] - places[i])
        if np.isfinite(places[i]).all() and np.all((distance > size).any(axis=1)):
            chosen.append(int(i))
    return chosen
