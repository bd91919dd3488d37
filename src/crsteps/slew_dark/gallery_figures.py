"""A gallery of clusters: typical and the largest ones of each class of shape."""

from itertools import zip_longest

import numpy as np

from crsteps.cosmic_rays.shapes import SHAPES
from crsteps.detector.display import mask_outline
from crsteps.detector.figures import open_figure
from crsteps.slew_dark.figures import BAD_COLOUR, HIT_COLOUR, colour_map


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
    figure, save = open_figure(
        target, (1.62 * (n_typical + n_largest) + 1.2, 1.95 * len(classes) + 1)
    )
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
            Patch(facecolor="0.5", edgecolor=HIT_COLOUR, label="pixels of the cluster"),
            Patch(facecolor=BAD_COLOUR, label="not usable, or no pixel"),
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
    axes.imshow(cutout.signal, origin="lower", cmap=colour_map("gray"), norm=norm)
    axes.add_collection(
        LineCollection(mask_outline(cutout.mask), colors=HIT_COLOUR, linewidths=0.9)
    )
    place = f"{cutout.detector} x {cutout.x:.0f} y {cutout.y:.0f}"
    pixels = "1 pixel" if cutout.n_pixels == 1 else f"{cutout.n_pixels} pixels"
    axes.set_xlabel(f"{place}\n{pixels}, {cutout.total:,.0f} {unit}", fontsize=8, labelpad=2)
