"""Distributions of the cosmic rays in a dark, drawn from the table of its statistics."""

from itertools import pairwise

import numpy as np
from scipy.stats import chi2

from crsteps.cosmic_rays.shapes import SHAPES
from crsteps.detector.figures import open_figure
from crsteps.slew_dark.report import with_error

# Okabe and Ito's colours, told apart with every kind of colour vision.
_COLOUR, _LINE = "#0072B2", "#555555"
_SERIES = (("#0072B2", "o"), ("#D55E00", "s"), ("#009E73", "^"), ("#CC79A7", "v"))
# Probability within one standard deviation of a normal distribution.
_ONE_SIGMA = 0.6827
_POINTS = {"fmt": "o", "markersize": 4, "capsize": 2, "linewidth": 1.2}


def poisson_interval(counts):
    """
    Confidence interval of the mean of a Poisson distribution, given one count.

    Parameters
    ----------
    counts : array_like of int
        Counts.

    Returns
    -------
    lower, upper : ndarray of float
        Limits of the central 68.27 % interval (Garwood 1936, Biometrika 28, 437).
    """
    counts = np.asarray(counts)
    tail = (1 - _ONE_SIGMA) / 2
    lower = np.where(counts > 0, chi2.ppf(tail, 2 * np.maximum(counts, 1)) / 2, 0.0)
    return lower, chi2.ppf(1 - tail, 2 * counts + 2) / 2


def plot_distributions(target, table, *, title=""):
    """
    Draw the distributions of size, intensity and shape, and how hits and agreement vary.

    Parameters
    ----------
    target : path, file or matplotlib.figure.Figure
        PNG file to write, or figure to draw into.
    table : astropy.table.Table
        Statistics of `crsteps.slew_dark.statistics_table.to_table`, or as read from their file.
    title : str, optional
        Title of the figure.

    Notes
    -----
    Numbers of clusters have Poisson intervals, fractions the errors of the table. Panels that
    would hold a single point, or nothing to compare with, are left out.
    """
    level = np.asarray(table["level"], dtype=str)
    whole, detectors = table[level == "exposure"][0], table[level == "detector"]
    channels = _sum_channels(table[level == "channel"])
    panels = [
        lambda axes: _draw_sizes(axes, whole, table.meta["SIZE_EDGES"]),
        lambda axes: _draw_intensities(axes, whole, table.meta["INTENSITY_EDGES"]),
        lambda axes: _draw_shapes(axes, whole),
    ]
    if len(detectors) > 1:
        panels.append(lambda axes: _draw_detectors(axes, detectors, whole))
    if len(channels[0]) > 1:
        panels.append(lambda axes: _draw_channels(axes, channels, whole))
    if _agreements(whole):
        panels.append(lambda axes: _draw_agreement(axes, detectors, whole, table.meta["ONBOARD"]))
    n_columns = 2 if len(panels) == 4 else 3
    n_rows = -(-len(panels) // n_columns)
    figure, save = open_figure(target, (4.8 * n_columns, 3.9 * n_rows + 0.5))
    grid = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
    for axes, draw in zip(grid, panels, strict=False):
        draw(axes)
        axes.grid(alpha=0.3, linewidth=0.5, axis="y")
        axes.set_axisbelow(True)
    for axes in grid[len(panels) :]:
        axes.set_axis_off()
    figure.suptitle(title, fontsize=14)
    save()


def _draw_counts(axes, places, counts, **style):
    """Bars of numbers of clusters with their Poisson intervals, on a logarithmic axis."""
    counts = np.asarray(counts)
    lower, upper = poisson_interval(counts)
    # Before anything is drawn: without a cluster, there are no limits to be found.
    axes.set_ylim(0.5, 6 * max(counts.max(initial=0), 5))
    axes.set_yscale("log")
    axes.bar(places, counts, color=_COLOUR, alpha=0.45, **style)
    seen = counts > 0
    errors = np.array([counts - lower, upper - counts])[:, seen]
    axes.errorbar(np.asarray(places)[seen], counts[seen], errors, color=_COLOUR, **_POINTS)
    axes.set_ylabel("number of clusters")


def _draw_sizes(axes, whole, edges):
    """Clusters in bins of their number of pixels; the bins are named, their widths differ."""
    counts = whole["size_counts"]
    _draw_counts(axes, np.arange(len(counts)), counts, width=0.9)
    names = [_bin_name(low, high) for low, high in pairwise(edges)]
    axes.set_xticks(np.arange(len(names)), names, rotation=45, fontsize=9)
    mean = with_error(whole["mean_cluster_size"], whole["mean_cluster_size_error"])
    axes.set(xlabel="pixels of a cluster", title=f"size: mean {mean} pixels")


def _bin_name(low, high):
    if np.isinf(high):
        return f"≥ {low:g}"
    return f"{low:g}" if high == low + 1 else f"{low:g}–{high - 1:g}"


def _draw_intensities(axes, whole, edges):
    """Clusters in logarithmic bins of their total intensity; what is beyond them in words."""
    counts, edges = np.asarray(whole["intensity_counts"]), np.asarray(edges)
    inner = edges[1:-1]
    middle = np.sqrt(inner[:-1] * inner[1:])
    _draw_counts(axes, middle, counts[1:-1], width=np.diff(inner) * 0.95)
    axes.set_xscale("log")
    axes.set_xlabel(
        "sum of the signal of a cluster [e$^-$]\n(NISP: on-board estimates, not charge)"
    )
    axes.set_title("total intensity")
    beyond = (
        f"{counts[0]:,} below {inner[0]:,.0f} e$^-$, {counts[-1]:,} above {inner[-1]:,.0f} e$^-$"
    )
    axes.text(0.98, 0.97, beyond, transform=axes.transAxes, ha="right", va="top", fontsize=9)


def _draw_shapes(axes, whole):
    counts = np.array([whole[f"n_{shape}"] for shape in SHAPES])
    _draw_counts(axes, np.arange(len(SHAPES)), counts, width=0.8)
    names = [
        f"{shape}\n{100 * count / max(counts.sum(), 1):.1f} %"
        for shape, count in zip(SHAPES, counts, strict=True)
    ]
    axes.set_xticks(np.arange(len(SHAPES)), names)
    axes.set(title="shape")


def _draw_detectors(axes, detectors, whole):
    places = np.arange(len(detectors))
    _draw_fraction(
        axes, places, detectors["flagged_fraction"], detectors["flagged_fraction_error"], whole
    )
    _name_detectors(axes, detectors)
    axes.set_title("detectors")


def _draw_channels(axes, channels, whole):
    _draw_fraction(axes, *channels, whole)
    axes.set(xlabel="output channel", title="output channels")


def _draw_fraction(axes, places, fraction, error, whole):
    """Flagged fraction in per cent, with that of the exposure as a line."""
    axes.errorbar(
        places, 100 * np.asarray(fraction), 100 * np.asarray(error), color=_COLOUR, **_POINTS
    )
    axes.axhline(100 * whole["flagged_fraction"], color=_LINE, linestyle="--", label="exposure")
    axes.set_ylabel("flagged pixels [%]")
    # Above the axes: points may lie anywhere inside.
    axes.legend(fontsize=9, frameon=False, loc="lower right", bbox_to_anchor=(1, 0.98))


def _sum_channels(rows):
    """Channel, flagged fraction and its error, each channel summed over the detectors."""
    channel, place = np.unique(np.asarray(rows["channel"]), return_inverse=True)
    good, flagged, variance = (
        np.bincount(place, weights=np.asarray(values, dtype=float), minlength=channel.size)
        for values in (rows["n_good"], rows["n_flagged"], np.asarray(rows["n_flagged_error"]) ** 2)
    )
    good[good == 0] = np.nan
    return channel, flagged / good, np.sqrt(variance) / good


def _agreements(row):
    """Columns of agreement that have a value, and what they are called."""
    names = {
        "precision": "precision",
        "recall": "recall",
        "ours_flagged_onboard": "our pixels flagged on board",
        "onboard_flagged_by_us": "on-board pixels flagged by us",
    }
    return {n: text for n, text in names.items() if n in row.colnames and np.isfinite(row[n])}


def _draw_agreement(axes, detectors, whole, criterion):
    """Agreement with the on-board flags and the truth in each detector, side by side."""
    names = _agreements(whole)
    spread = np.linspace(-0.25, 0.25, len(names)) if len(names) > 1 else [0.0]
    for (name, text), shift, (colour, marker) in zip(names.items(), spread, _SERIES, strict=False):
        axes.errorbar(
            np.arange(len(detectors)) + shift,
            detectors[name],
            detectors[f"{name}_error"],
            color=colour,
            label=f"{text}: {with_error(whole[name], whole[f'{name}_error'])}",
            **{**_POINTS, "fmt": marker},
        )
    _name_detectors(axes, detectors)
    lowest = min(np.nanmin(detectors[name] - detectors[f"{name}_error"]) for name in names)
    # Room for the legend below the points.
    low = max(0.0, lowest - 0.1) if lowest > 0.5 else 0.0
    axes.set_ylim(low - (1 - low) * 0.14 * len(names), 1 + 0.04 * (1 - low))
    axes.set_yticks([tick for tick in axes.get_yticks() if low <= tick <= 1])
    axes.set(ylabel="fraction of pixels", title=f"agreement (on board: {criterion})")
    axes.legend(fontsize=9, loc="lower left", frameon=False)


def _name_detectors(axes, detectors):
    axes.set_xticks(np.arange(len(detectors)), detectors["detector"], rotation=90, fontsize=9)
    axes.set_xlim(-0.6, len(detectors) - 0.4)
