"""What a correction of persistence does to an exposure, to look at."""

import numpy as np

from crsteps.detector.display import zscale_limits
from crsteps.detector.figures import open_figure

# Okabe and Ito's colours, told apart with every kind of colour vision.
BEFORE, AFTER, MODEL = "#D55E00", "#0072B2", "#009E73"
# Rates of fewer pixels tell nothing of the level of a stretch of predicted rates.
_FEWEST = 10
_BINS_PER_DECADE = 4
# Fraction of the pixels, those with the least persistence, that tell the level without it.
_FAINT = 0.1


def plot_correction(
    target,
    *,
    before,
    after,
    predicted,
    thresholds,
    fractions_before,
    fractions_after,
    usable=None,
    unit="e-/s",
    title="",
):
    """
    Draw an exposure before and after the correction, what was predicted, and what is left.

    Parameters
    ----------
    target : path, file or matplotlib.figure.Figure
        PNG file to write, or figure to draw into.
    before, after : ndarray, shape (ny, nx)
        Image before and after the correction; of a ramp or cube, a mean rate. NaN where unknown.
    predicted : ndarray, shape (ny, nx)
        Predicted rate of persistence, in the unit of the images.
    thresholds : sequence of float
        Rates of `crsteps.persistence.correction_result.CorrectionResult`, in e-/s.
    fractions_before, fractions_after : sequence of float
        Usable pixels above each of them.
    usable : ndarray of bool, shape (ny, nx), optional
        Pixels to draw and to count; all that are finite if None.
    unit : str, optional
        Unit of the images.
    title : str, optional
        Title of the figure.

    Notes
    -----
    Before and after have the same limits, which the zscale algorithm gives for the image before.
    """
    keep = np.isfinite(before) & np.isfinite(after)
    if usable is not None:
        keep &= usable
    before, after, predicted = (
        np.where(keep, image, np.float32(np.nan)) for image in (before, after, predicted)
    )
    ny, nx = before.shape
    height = 4.0 * min(max(ny / nx, 0.35), 1.6)
    figure, save = open_figure(target, (14, height + 4.6))
    rows = figure.add_gridspec(2, 1, height_ratios=(height + 0.6, 4.0))
    images, counts = rows[0].subgridspec(1, 3), rows[1].subgridspec(1, 2, width_ratios=(2, 1))
    limits = zscale_limits(before)
    panels = (
        ("before", before, "gray", limits),
        ("corrected", after, "gray", limits),
        ("predicted persistence", predicted, "viridis", _positive_limits(predicted)),
    )
    for place, (name, image, colours, span) in zip(images, panels, strict=True):
        axes = figure.add_subplot(place)
        draw_image(axes, image, span, colours=colours, label=unit)
        axes.set_title(name)
    _draw_levels(figure.add_subplot(counts[0]), before, after, predicted, unit)
    _draw_fractions(figure.add_subplot(counts[1]), thresholds, fractions_before, fractions_after)
    figure.suptitle(title)
    save()


def _positive_limits(image):
    """From zero to what all but a thousandth of the pixels with persistence stay below."""
    values = image[np.isfinite(image) & (image > 0)]
    return (0.0, float(np.quantile(values, 0.999))) if values.size else (0.0, 1.0)


def _draw_levels(axes, before, after, predicted, unit):
    """Median of the images against the predicted rate, with the spread of single pixels."""
    with np.errstate(invalid="ignore"):
        chosen = predicted > 0
    rate = predicted[chosen]
    axes.set(xlabel=f"predicted persistence [{unit}]", ylabel=f"median of the pixels [{unit}]")
    axes.set_title("level against the prediction")
    if rate.size < _FEWEST:
        axes.text(0.5, 0.5, "no persistence predicted", ha="center", transform=axes.transAxes)
        return
    # What pixels with little or no persistence show once it is subtracted is none.
    known = np.isfinite(predicted)
    faint = predicted[known] <= np.quantile(predicted[known], _FAINT)
    level = np.median(after[known][faint])
    first, last = np.log10(np.quantile(rate, [0.001, 1.0]))
    edges = np.logspace(first, last, max(int((last - first) * _BINS_PER_DECADE), 1) + 1)
    for image, colour, name, marker in (
        (before, BEFORE, "before", "o"),
        (after, AFTER, "corrected", "s"),
    ):
        x, middle, low, high, error = _medians(rate, image[chosen] - level, edges)
        axes.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
        axes.errorbar(
            x, middle, error, fmt=marker, color=colour, label=name, markersize=5, capsize=2
        )
    line = np.geomspace(edges[0], edges[-1], 50)
    axes.plot(line, line, color=MODEL, linewidth=1.2, label="as predicted")
    axes.axhline(0, color="k", linewidth=0.6)
    axes.set_xscale("log")
    # even where images scatter by chance, logarithmic above
    set_asinh_scale(axes, "y", max(float(np.quantile(rate, 0.25)), 1e-5))
    axes.legend(loc="upper left")
    axes.grid(alpha=0.3, linewidth=0.5)


def _medians(rate, values, edges):
    """Median rate, median value, its 16th and 84th percentile and error between edges of rates."""
    index = np.searchsorted(edges, rate)
    points = [
        (np.median(rate[own]), *np.quantile(values[own], [0.5, 0.16, 0.84]), own.sum())
        for own in (index == i for i in range(1, edges.size))
        if own.sum() >= _FEWEST
    ]
    x, middle, low, high, number = np.array(points).reshape(-1, 5).T
    return x, middle, low, high, 1.2533 * (high - low) / 2 / np.sqrt(number)  # of normal values


def _draw_fractions(axes, thresholds, before, after):
    """Bars of the fractions of pixels above each threshold, as numbers too."""
    where = np.arange(len(thresholds))
    values = 100 * np.array([before, after], float)
    shown = values[values > 0]
    floor = 10.0 ** np.floor(np.log10(shown.min()) - 0.5) if shown.size else 0.01
    for i, (row, colour, name) in enumerate(
        zip(values, (BEFORE, AFTER), ("before", "may remain"), strict=True)
    ):
        place = where + 0.38 * (i - 0.5)
        axes.bar(place, np.maximum(row, floor), 0.36, color=colour, label=name, bottom=0)
        for x, value in zip(place, row, strict=True):
            text = f"{value:.2g} %" if value else "0"
            axes.text(x, 1.1 * max(value, floor), text, ha="center", fontsize=9)
    axes.set_yscale("log")
    axes.set_ylim(floor / 1.5, 4 * max(values.max(initial=0), floor))
    axes.set_xticks(where, [f"> {threshold:g}" for threshold in thresholds])
    axes.set(xlabel="persistence [e-/s]", ylabel="usable pixels [%]")
    axes.set_title("pixels with persistence")
    axes.legend(loc="upper left", ncols=2)


def draw_image(axes, image, limits, *, colours="gray", label=""):
    """
    Draw an image with its colour bar, row 0 at the bottom.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Where to draw.
    image : ndarray, shape (ny, nx)
        The image; pixels that are not finite are light blue.
    limits : tuple of float
        Values at the ends of the scale.
    colours : str, optional
        Colour map of Matplotlib.
    label : str, optional
        Label of the colour bar.
    """
    from matplotlib import colormaps

    shown = axes.imshow(
        image,
        origin="lower",
        cmap=colormaps[colours].with_extremes(bad="#56B4E9"),
        vmin=limits[0],
        vmax=limits[1],
        aspect="auto" if max(image.shape) > 3 * min(image.shape) else "equal",
        interpolation="antialiased",
    )
    axes.set(xlabel="x [pixel]", ylabel="y [pixel]")
    axes.figure.colorbar(shown, ax=axes, label=label, fraction=0.046, pad=0.02, extend="both")


def set_asinh_scale(axes, which, width):
    """
    Make an axis even around zero and logarithmic beyond, on both sides.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Whose axis.
    which : {"x", "y"}
        Which axis.
    width : float
        Value around which one changes into the other, positive.
    """
    from matplotlib.ticker import FixedLocator, NullLocator

    getattr(axes, f"set_{which}scale")("asinh", linear_width=width)
    axis = getattr(axes, f"{which}axis")
    first = int(np.ceil(np.log10(width / 2)))
    powers = 10.0 ** np.arange(first, first + 12)
    axis.set_major_locator(FixedLocator([*-powers[::-1], 0.0, *powers]))
    axis.set_minor_locator(NullLocator())
