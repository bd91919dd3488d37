"""Figures of how exposures differ from their median image: flux factors, offsets."""

import numpy as np

from crsteps.detector.display import zscale_limits
from crsteps.detector.figures import open_figure

_CURVE, _FACTOR, _PEAK = "#000000", "#D55E00", "#D55E00"
# The peak of the cross-correlation is shown for offsets of so many pixels.
_REACH = 6


def plot_flux_factors(target, factors, *, unit=None, title=None):
    """
    Draw the ratio of each exposure to the median image against the median.

    Parameters
    ----------
    target : path, file or matplotlib.figure.Figure
        PNG file to write, or figure to draw into.
    factors : crsteps.mm_cosmic.flux_factors.FluxFactors
        Factors and what they were measured from.
    unit : str, optional
        Unit of the data.
    title : str, optional
        Title of the figure.
    """
    n_columns = min(len(factors.values), 3)
    n_rows = -(-len(factors.values) // n_columns)
    figure, save = open_figure(target, (4.3 * n_columns + 1, 3.9 * n_rows + 0.5))
    grid = figure.subplots(n_rows, n_columns, sharex=True, sharey=True, squeeze=False)
    for axes in grid.ravel()[len(factors.values) :]:
        axes.set_visible(False)
    panels = grid.ravel()[: len(factors.values)]
    mesh = _draw_ratios(panels, factors)
    for axes in panels:
        axes.set_xlabel("median image" + (f" [{unit}]" if unit else ""))
        axes.tick_params(labelbottom=True)
    for axes in grid[:, 0]:
        axes.set_ylabel("exposure / median image")
    figure.colorbar(mesh, ax=list(panels), label="pixels per bin", pad=0.01)
    handles, words = panels[0].get_legend_handles_labels()
    figure.legend(handles, words, loc="outside lower center", ncols=2, frameon=False)
    if title:
        figure.suptitle(title, fontsize=12, x=0.01, ha="left")
    save()


def _draw_ratios(panels, factors):
    """Histogram, running median and factor of each exposure; all on one scale of colours."""
    from matplotlib.colors import LogNorm

    norm = LogNorm(vmin=1, vmax=max(factors.histograms.max(initial=0), 2))
    for i, axes in enumerate(panels):
        mesh = axes.pcolormesh(
            factors.median_edges,
            factors.ratio_edges,
            np.where(factors.histograms[i] > 0, factors.histograms[i], np.nan),
            norm=norm,
            cmap="viridis",
            rasterized=True,
        )
        value, error = factors.values[i], factors.errors[i]
        axes.axhline(value, color="white", linewidth=3)
        axes.axhline(value, color=_FACTOR, linewidth=1.6, label="flux factor")
        axes.plot(factors.levels, factors.ratios[i], color="white", linewidth=3.5)
        axes.plot(
            factors.levels,
            factors.ratios[i],
            color=_CURVE,
            linewidth=1.2,
            marker=".",
            markersize=4,
            label="median ratio of equally many pixels",
        )
        axes.set_xscale("log")
        axes.set_xlim(factors.median_edges[[0, -1]])
        axes.set_ylim(factors.ratio_edges[[0, -1]])
        measured = f" ± {error:.4f}" if np.isfinite(error) else " (not measured)"
        axes.set_title(f"exposure {i + 1}: {value:.4f}{measured}", fontsize=11, loc="left")
        axes.grid(alpha=0.25, linewidth=0.5)
    return mesh


def plot_offsets(target, offsets, *, origin=(0, 0), unit=None, title=None):
    """
    Draw each exposure before and after its offset was taken out, and its cross-correlation.

    Parameters
    ----------
    target : path, file or matplotlib.figure.Figure
        PNG file to write, or figure to draw into.
    offsets : crsteps.mm_cosmic.offsets.Offsets
        Offsets and the images they were measured from.
    origin : tuple of int, optional
        Column and row of the region's first pixel in the image, 0-based.
    unit : str, optional
        Unit of the data.
    title : str, optional
        Title of the figure.
    """
    n_exposures, (ny, nx) = len(offsets.values), offsets.reference.shape
    figure, save = open_figure(target, (14, 2.75 * n_exposures + 1.0))
    grid = figure.subplots(n_exposures, 5, squeeze=False, width_ratios=[1, 1, 1, 1, 0.9])
    limits, spread = zscale_limits(offsets.reference), _spread(offsets)
    # Blue and red are told apart with every kind of colour vision.
    settings = [
        {"cmap": "gray_r", "vmin": limits[0], "vmax": limits[1]},
        {"cmap": "RdBu_r", "vmin": -spread, "vmax": spread},
    ]
    names = ("median", "exposure", "exposure - median", "shifted back - median")
    extent = (origin[0] + 0.5, origin[0] + nx + 0.5, origin[1] + 0.5, origin[1] + ny + 0.5)
    common = {"origin": "lower", "extent": extent, "aspect": "auto", "interpolation": "nearest"}
    for i, row in enumerate(grid):
        difference = offsets.exposures[i] - offsets.reference
        corrected = offsets.registered[i] - offsets.reference
        images = (offsets.reference, offsets.exposures[i], difference, corrected)
        for column, (axes, image) in enumerate(zip(row, images, strict=False)):
            axes.imshow(image, **common, **settings[column // 2])
            axes.tick_params(labelsize=7, labelleft=column == 0, labelbottom=i == n_exposures - 1)
        row[0].set_ylabel(f"exposure {i + 1}\nY [FITS pixel]", fontsize=9)
        _draw_peak(row[4], offsets, i)
    for columns in (grid[:, :2], grid[:, 2:4]):
        bar = figure.colorbar(
            columns[0, 0].images[0], ax=list(columns.ravel()), pad=0.01, aspect=50
        )
        bar.ax.tick_params(labelsize=7)
        bar.set_label(unit or "", fontsize=8)
    for axes, name in zip(grid[0], names, strict=False):
        axes.set_title(name, fontsize=10)
    for axes in grid[-1, :4]:
        axes.set_xlabel("X [FITS pixel]", fontsize=9)
    if title:
        figure.suptitle(title, fontsize=12, x=0.01, ha="left")
    save()


def _spread(offsets):
    """Scale of the differences, before the offsets are taken out."""
    differences = np.abs(offsets.exposures - offsets.reference)
    finite = differences[np.isfinite(differences)]
    return (float(np.percentile(finite, 99)) if finite.size else 0.0) or 1.0


def _draw_peak(axes, offsets, i):
    """The middle of the cross-correlation, and the offset that was measured."""
    dx, dy = offsets.values[i]
    correlation = _cross_correlation(offsets.reference, offsets.exposures[i])
    ny, nx = correlation.shape
    middle_x, middle_y = nx // 2, ny // 2
    reach = min(max(_REACH, int(np.ceil(max(abs(dx), abs(dy)))) + 2), middle_x, middle_y)
    x, y = middle_x - reach, middle_y - reach
    peak = correlation[y : y + 2 * reach + 1, x : x + 2 * reach + 1]
    edge = reach + 0.5
    axes.imshow(
        peak,
        origin="lower",
        extent=(-edge, -edge + peak.shape[1], -edge, -edge + peak.shape[0]),
        cmap="viridis",
        interpolation="nearest",
    )
    axes.axhline(0, color="white", linewidth=0.6, linestyle=":")
    axes.axvline(0, color="white", linewidth=0.6, linestyle=":")
    axes.plot(dx, dy, "+", color="white", markersize=13, markeredgewidth=3.5)
    axes.plot(dx, dy, "+", color=_PEAK, markersize=12, markeredgewidth=2)
    axes.set_title(f"cross-correlation\noffset ({dx:+.2f}, {dy:+.2f})", fontsize=9)
    axes.tick_params(labelsize=7)
    axes.set_xlabel("dx [pixel]", fontsize=8, labelpad=1)
    axes.set_ylabel("dy [pixel]", fontsize=8, labelpad=1)


def _cross_correlation(reference, exposure):
    """Periodic cross-correlation, no offset in the middle."""
    reference, exposure = (
        np.nan_to_num(image - np.nanmean(image, dtype=float)) for image in (reference, exposure)
    )
    product = np.fft.rfft2(exposure) * np.conj(np.fft.rfft2(reference))
    return np.fft.fftshift(np.fft.irfft2(product, s=reference.shape))
