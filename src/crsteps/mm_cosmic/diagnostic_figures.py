"""Figures to judge a search by: diagrams, what was flagged and where, flux factors, offsets."""

from dataclasses import replace

import numpy as np

from crsteps.detector.display import zscale_limits
from crsteps.detector.figures import open_figure
from crsteps.mm_cosmic.diagram_figures import (
    CODE_STYLES,
    LIMIT,
    axis_labels,
    count_in_diagram,
    diagram_pixels,
    draw_boundary,
    draw_counts,
    draw_symbols,
    far_apart,
    light_grey,
    round_ticks,
)
from crsteps.mm_cosmic.expected_diagram import expected_counts
from crsteps.mm_cosmic.feature_tables import pixel_table

MOST_SYMBOLS = 20_000
MOST_NUMBERS = 80
# Images longer than so many times their width are placed otherwise.
_ELONGATED = 2.0
_THRESHOLD = "least median minus minimum"
_PANEL_TITLE = {"fontsize": 11, "loc": "left"}
_POINTS, _FIXED, _ITERATIONS = "#D55E00", "#CC79A7", "#56B4E9"


def plot_simulated_and_real(target, *, lowest, median, simulated, boundary, fit=None, **labels):
    """
    Draw the diagram of simulated pixels and that of the real ones side by side.

    Parameters
    ----------
    target : path, file or matplotlib.figure.Figure
        PNG file to write, or figure to draw into.
    lowest, median : ndarray, shape (ny, nx)
        Minimum signal and median of each pixel, data units; NaN is left out.
    simulated : crsteps.mm_cosmic.simulated_diagram.SimulatedDiagram or DiagramCounts
        Pixels without cosmic rays in bins; the real ones are counted in the same bins, and what
        lies above them is stated. Bins of equal size are drawn on linear axes, others on axes
        that are linear near zero and logarithmic beyond.
    boundary : tuple of ndarray or None
        Minimum signal and median minus minimum signal along the limit of detection.
    fit : crsteps.mm_cosmic.boundary_fit.FittedBoundary, optional
        How the boundary was fitted: its points, fixed points and earlier iterations are drawn.
    **labels
        ``threshold``: least median minus minimum signal of a detection, data units; ``noise``:
        linear part of the axes, data units; ``left``: title of the left panel; ``unit``,
        ``title``, ``n_exposures`` and ``cr_coincidences``.
    """
    figure, save = open_figure(target, (13, 6.4))
    noise, threshold = labels.pop("noise", None), labels.pop("threshold", None)
    title, left = labels.pop("title", None), labels.pop("left", "simulated, without cosmic rays")
    x, y, _, scale = diagram_pixels(lowest, median, noise)
    panels = figure.subplots(1, 2, sharex=True, sharey=True)
    linear = _are_equal(simulated.x_edges) and _are_equal(simulated.y_edges)
    y_edges = simulated.y_edges
    if not linear and y.size:
        y_edges = _continued(y_edges, float(y.max()), scale)
    real, _, _ = np.histogram2d(y, x, bins=(y_edges, simulated.x_edges))
    expected = np.zeros(real.shape)
    expected[: len(simulated.counts)] = simulated.counts / simulated.n_simulations
    _draw_mesh(figure, panels, (expected, real), (simulated.x_edges, y_edges))
    for axes in panels:
        _set_up_axes(axes, simulated.x_edges, y_edges, None if linear else scale)
    for axes in panels:
        _draw_limits(axes, boundary, x, threshold)
    if fit is not None:
        _draw_fit(panels[0], fit)
    names = axis_labels(**labels)
    for axes in panels:
        axes.set_xlabel(names[0])
        axes.grid(alpha=0.25, linewidth=0.5)
    panels[0].set_ylabel(names[1])
    panels[0].set_title(f"{left}: {_count(expected.sum())} pixels", fontsize=11, loc="left")
    above = np.count_nonzero(y > y_edges[-1])
    beyond = f", {above:,} above the axis" if above else ""
    panels[1].set_title(f"real: {_count(x.size)} pixels{beyond}", fontsize=11, loc="left")
    handles, words = panels[0].get_legend_handles_labels()
    if handles:
        figure.legend(handles, words, loc="outside lower center", ncols=6, frameon=False)
    if title:
        figure.suptitle(title, fontsize=12, x=0.01, ha="left")
    save()


def plot_expected_and_real(target, *, lowest, median, prior, relative_variance, boundary, **labels):
    """
    Draw the diagram that the null model expects and that of the real pixels side by side.

    Parameters
    ----------
    target : path, file or matplotlib.figure.Figure
        PNG file to write, or figure to draw into.
    lowest, median : ndarray, shape (ny, nx)
        Minimum signal and median of each pixel, data units; NaN is left out.
    prior : crsteps.mm_cosmic.null_model.ScenePrior
        Distribution of the scene, with the typical noise.
    relative_variance : float
        Extra variance in units of the signal squared.
    boundary : tuple of ndarray or None
        Minimum signal and median minus minimum signal along the limit of detection.
    **labels
        As for `plot_simulated_and_real`; ``n_exposures`` and ``cr_coincidences`` are needed.
    """
    x, y, _, scale = diagram_pixels(lowest, median, labels.get("noise"))
    # Without a pixel there are no bins, and any will do.
    real = count_in_diagram(x if x.size else np.zeros(1), y if y.size else np.zeros(1), scale)
    counts = expected_counts(
        prior,
        n_exposures=labels["n_exposures"],
        cr_coincidences=labels["cr_coincidences"],
        n_pixels=x.size,
        relative_variance=relative_variance,
        x_edges=real.x_edges,
        y_edges=real.y_edges,
    )
    plot_simulated_and_real(
        target,
        lowest=lowest,
        median=median,
        simulated=replace(real, counts=counts),
        boundary=boundary,
        left="expected by the null model, without cosmic rays",
        **labels,
    )


def _count(number):
    return f"{number:,.0f}"


def _are_equal(edges):
    """Tell whether bins have the same size."""
    return np.ptp(np.diff(edges)) < 1e-6 * np.ptp(edges)


def _continued(edges, highest, scale):
    """Edges that go on to the highest value in the last step, on the scale of the axis."""
    place = np.arcsinh(edges[-2:] / scale)
    step = place[1] - place[0]
    n_more = max(int(np.ceil((np.arcsinh(highest / scale) - place[1]) / step + 0.5)), 0)
    return np.concatenate([edges, scale * np.sinh(place[1] + step * np.arange(1, n_more + 1))])


def _draw_mesh(figure, panels, counts, edges):
    """Both densities on one scale of colours."""
    from matplotlib.colors import LogNorm

    present = np.concatenate([*(density[density > 0] for density in counts), [1.0]])
    norm = LogNorm(vmin=present.min(), vmax=max(present.max(), 2 * present.min()))
    for axes, density in zip(panels, counts, strict=True):
        density = np.where(density > 0, density, np.nan)
        mesh = axes.pcolormesh(*edges, density, norm=norm, cmap="viridis", rasterized=True)
    figure.colorbar(mesh, ax=list(panels), label="pixels per bin", pad=0.01)


def _set_up_axes(axes, x_edges, y_edges, scale):
    if scale is not None:
        axes.set_xscale("asinh", linear_width=scale)
        axes.set_yscale("asinh", linear_width=scale)
    axes.set_xlim(x_edges[0], x_edges[-1])
    axes.set_ylim(max(y_edges[0], 0), y_edges[-1])
    if scale is not None:
        round_ticks(axes, scale)


def _draw_limits(axes, boundary, x, threshold):
    draw_boundary(axes, boundary, x, label="limit of detection")
    if threshold:
        axes.axhline(threshold, color=LIMIT, linestyle=":", linewidth=1.2, label=_THRESHOLD)


def _draw_fit(axes, fit):
    """Points of the fit, and the curves that led to the last one."""
    for i, curve in enumerate(fit.iterations[:-1]):
        axes.plot(
            fit.curve_x,
            curve,
            color=_ITERATIONS,
            linewidth=1.0,
            linestyle="--" if i == 0 else "-",
            label={0: "first fit", 1: "extended fits"}.get(i),
        )
    symbols = {"linestyle": "none", "zorder": 3}
    axes.plot(
        fit.points_x[~fit.fixed],
        fit.points_y[~fit.fixed],
        marker="x",
        color=_POINTS,
        markersize=4,
        label="upper ends of the columns",
        **symbols,
    )
    if fit.fixed.any():
        axes.plot(
            fit.points_x[fit.fixed],
            fit.points_y[fit.fixed],
            marker="s",
            markerfacecolor=_FIXED,
            markeredgecolor="black",
            markersize=6,
            label="fixed points",
            **symbols,
        )


def plot_diagnostic(target, *, lowest, median, mean, codes, boundary=None, **labels):
    """
    Draw what was flagged in the diagram and in the image: four panels.

    Parameters
    ----------
    target : path, file or matplotlib.figure.Figure
        PNG file to write, or figure to draw into.
    lowest, median, mean : ndarray, shape (ny, nx)
        Minimum signal, median and mean of each pixel, data units; NaN is left out.
    codes : ndarray of uint8, shape (ny, nx)
        Detection codes, see `crsteps.mm_cosmic.feature_tables.feature_pixels`.
    boundary : tuple of ndarray, optional
        Minimum signal and median minus minimum signal along the limit of detection.
    **labels
        ``threshold``: least median minus minimum signal of a detection, data units; ``noise``:
        linear part of the diagram's axes, data units; ``unit``, ``title``, ``n_exposures`` and
        ``cr_coincidences``.

    Notes
    -----
    Above `MOST_SYMBOLS` flagged pixels of a code, an even choice of them is drawn. The numbers in
    the second panel are those of the features in the tables, at the pixel of each that lies
    highest, as many as do not cover each other and at most `MOST_NUMBERS`.
    """
    size, mosaic, ratios = _arrangement(median.shape)
    figure, save = open_figure(target, size)
    noise, threshold = labels.pop("noise", None), labels.pop("threshold", None)
    title = labels.pop("title", None)
    panels = figure.subplot_mosaic(mosaic, **ratios)
    x, y, _, scale = diagram_pixels(lowest, median, noise)
    flagged = _flagged_pixels(codes, lowest, median)
    for axes in (panels["a"], panels["b"]):
        if x.size:
            draw_counts(axes, count_in_diagram(x, y, scale), cmap=light_grey(), bar=False)
            _draw_limits(axes, boundary, x, threshold)
            round_ticks(axes, scale)
        names = axis_labels(**labels)
        axes.set_xlabel(names[0])
        axes.set_ylabel(names[1])
    drawn = _thinned(flagged)
    symbols = draw_symbols(panels["a"], drawn["lowest"], drawn["excess"], drawn["Mask_value"])
    named, n_features = _draw_numbers(panels["b"], flagged)
    _draw_images(figure, (panels["c"], panels["d"]), median, mean, drawn, labels.get("unit"))
    total = f"{len(flagged):,} pixels in {n_features:,} features"
    panels["a"].set_title(f"(a) all pixels (grey) and flagged ones: {total}", **_PANEL_TITLE)
    panels["b"].set_title(f"(b) features by number: {named:,} of {n_features:,}", **_PANEL_TITLE)
    _draw_legend(figure, panels["a"], symbols, flagged["Mask_value"])
    if title:
        figure.suptitle(title, fontsize=12, x=0.01, ha="left")
    save()


def _arrangement(shape):
    """Size of the figure [inch], and places and ratios of the panels for images of a shape."""
    elongation = shape[1] / shape[0]
    if elongation > _ELONGATED:
        height = max(11.5 / elongation, 1.0)
        return (13, 7.6 + 2 * height), "ab;cc;dd", {"height_ratios": [6, height, height]}
    if elongation < 1 / _ELONGATED:
        width = max(9.5 * elongation, 1.5)
        return (8.4 + 2 * width, 11.5), "acd;bcd", {"width_ratios": [6, width, width]}
    return (13, 11.5), "ab;cd", {}


def _flagged_pixels(codes, lowest, median):
    """Table of the flagged pixels that have a place in the diagram."""
    columns = {"lowest": lowest, "excess": median - lowest}
    return pixel_table(codes > 0, codes, columns=columns)


def _thinned(table):
    """Even choice of the pixels of each code."""
    code = np.asarray(table["Mask_value"])
    chosen = [np.flatnonzero(code == value) for value in CODE_STYLES]
    chosen = [rows[:: -(-rows.size // MOST_SYMBOLS) or 1] for rows in chosen]
    return table[np.sort(np.concatenate(chosen))]


def _draw_numbers(axes, table):
    """Write the numbers of features; give how many were written, and how many features are."""
    number, excess = np.asarray(table["CR_number"]), np.nan_to_num(table["excess"], nan=-np.inf)
    order = np.lexsort((-excess, number))
    foremost = order[np.flatnonzero(np.diff(number[order], prepend=0))]
    x, y = np.asarray(table["lowest"])[foremost], excess[foremost]
    places = axes.transData.transform(np.column_stack([x, y]))
    chosen = far_apart(places, y, (22.0, 12.0), MOST_NUMBERS)
    for i in chosen:
        colour = CODE_STYLES[int(table["Mask_value"][foremost[i]])][0]
        axes.text(
            x[i],
            y[i],
            str(number[foremost[i]]),
            color=colour,
            fontsize=8,
            ha="center",
            va="center",
            clip_on=True,
        )
    others = np.delete(np.arange(foremost.size), chosen)
    axes.plot(x[others], y[others], ".", color="black", markersize=1.5)
    return len(chosen), foremost.size


def _draw_images(figure, panels, median, mean, flagged, unit):
    """Median with symbols, mean without, on one grey scale."""
    ny, nx = median.shape
    low, high = zscale_limits(median)
    for axes, image, name in zip(panels, (median, mean), ("median", "mean"), strict=True):
        drawn = axes.imshow(
            image,
            origin="lower",
            extent=(0.5, nx + 0.5, 0.5, ny + 0.5),
            aspect="equal" if 0.1 < nx / ny < 10 else "auto",
            cmap="gray_r",
            vmin=low,
            vmax=high,
        )
        axes.set_xlabel("X [FITS pixel]")
        axes.set_ylabel("Y [FITS pixel]")
        words = f"({'c' if name == 'median' else 'd'}) {name}"
        axes.set_title(words + (" and flagged pixels" if name == "median" else ""), **_PANEL_TITLE)
    limits = panels[0].get_xlim(), panels[0].get_ylim()
    draw_symbols(panels[0], flagged["X_pixel"], flagged["Y_pixel"], flagged["Mask_value"])
    panels[0].set_xlim(*limits[0])
    panels[0].set_ylim(*limits[1])
    figure.colorbar(drawn, ax=list(panels), pad=0.01, label=unit or "")


def _draw_legend(figure, axes, symbols, codes):
    """Symbols with numbers of pixels, and the lines."""
    counts = np.bincount(np.asarray(codes, dtype=np.int64), minlength=5)
    lines = [line for line in axes.lines if not line.get_label().startswith("_")]
    handles = [*symbols.values(), *(line for line in lines if line not in symbols.values())]
    words = [f"{CODE_STYLES[code][3]} ({counts[code]:,})" for code in symbols]
    words += [line.get_label() for line in handles[len(words) :]]
    figure.legend(handles, words, loc="outside lower center", ncols=6, frameon=False)
