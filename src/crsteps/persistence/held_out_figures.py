"""How well darks are corrected: those that were held out, and the mean of all against time."""

import numpy as np

from crsteps.detector.figures import open_figure
from crsteps.persistence.figures import AFTER, BEFORE, MODEL, set_asinh_scale

_BINS = 80
_GRID = {"alpha": 0.3, "linewidth": 0.5}
_POINTS = {"fmt": "o", "markersize": 4, "capsize": 2, "linewidth": 1.0}


def plot_held_out(target, check, *, exposure, title=""):
    """
    Draw the residual of the darks that were held out against their dark level.

    Parameters
    ----------
    target : path, file or matplotlib.figure.Figure
        PNG file to write, or figure to draw into.
    check : crsteps.persistence.held_out.SeriesCheck
        Darks before and after the correction.
    exposure : ndarray
        Integration time in s of each dark that was held out.
    title : str, optional
        Title of the figure.

    Notes
    -----
    Without a dark that was held out, the figure says so.
    """
    figure, save = open_figure(target, (14, 4.6))
    axes = figure.subplots(1, 3)
    if check.n_held_out:
        scale = 1 / np.asarray(exposure)[:, np.newaxis]
        before, after = (values * scale for values in (check.before, check.after))
        _draw_residuals(axes[0], before, after)
        _draw_by_prediction(axes[1], check.predicted * scale, before, after)
        _draw_pulls(axes[2], (check.after / check.sigma)[np.isfinite(check.after)])
    else:
        for each in axes:
            each.text(0.5, 0.5, "no dark was held out", ha="center", transform=each.transAxes)
    number = check.n_held_out
    darks = f"last {'dark' if number == 1 else f'{number} darks'}, predicted by a fit of the others"
    figure.suptitle(f"{title}: {darks}" if title else darks)
    save()


def _draw_residuals(axes, before, after):
    """Distributions of the signal above the dark level."""
    known = np.isfinite(before)
    low, high = np.quantile(np.concatenate([before[known], after[known]]), [0.0005, 0.9995])
    edges = np.linspace(low, high, _BINS)
    for values, colour, name in ((before, BEFORE, "as it is"), (after, AFTER, "corrected")):
        label = f"{name}: mean {values[known].mean(dtype=np.float64):.4f}"
        axes.hist(values[known], edges, histtype="step", color=colour, lw=1.5, label=label)
    axes.axvline(0, color="k", lw=0.8)
    axes.set(xlabel="signal above the dark level [e-/s]", ylabel="pixels")
    axes.set_title("pixels")
    axes.set_yscale("log")
    axes.set_ylim(0.6, 60 * axes.get_ylim()[1])  # room for the legend
    axes.legend(fontsize=9, loc="upper right")


def _draw_by_prediction(axes, predicted, before, after):
    """Mean residual of pixels that are predicted alike."""
    known = np.isfinite(before)
    predicted, before, after = predicted[known], before[known], after[known]
    order = np.argsort(predicted)
    for values, colour, name, marker in (
        (before, BEFORE, "as it is", "o"),
        (after, AFTER, "corrected", "s"),
    ):
        points = np.array(
            [
                (predicted[own].mean(), values[own].mean(), values[own].std() / np.sqrt(own.size))
                for own in np.array_split(order, 12)
                if own.size
            ]
        )
        axes.errorbar(*points.T, color=colour, label=name, **{**_POINTS, "fmt": marker})
    limits = np.quantile(predicted, [0.01, 0.995])
    axes.plot(limits, limits, color=MODEL, lw=1.2, label="as predicted")
    axes.axhline(0, color="k", lw=0.8)
    width = max(float(np.median(np.abs(predicted))) / 2, 1e-5)
    set_asinh_scale(axes, "x", width)
    set_asinh_scale(axes, "y", width)
    axes.set(xlabel="predicted persistence [e-/s]", ylabel="mean above the dark level [e-/s]")
    axes.set_title("twelfths of the pixels by their prediction")
    axes.legend(fontsize=9)
    axes.grid(**_GRID)


def _draw_pulls(axes, pulls):
    """Residual over its expected standard deviation."""
    edges = np.linspace(-6, 6, _BINS)
    low, high = np.quantile(pulls, [0.1587, 0.8413])
    axes.hist(pulls, edges, color="0.75", label=f"spread {(high - low) / 2:.3f}")
    normal = np.exp(-(edges**2) / 2) / np.sqrt(2 * np.pi)
    axes.plot(
        edges, pulls.size * (edges[1] - edges[0]) * normal, color=BEFORE, lw=1.5, label="normal"
    )
    axes.set_yscale("log")
    axes.set(xlabel="residual / expected σ", ylabel="pixels", title="errors", ylim=(0.5, None))
    axes.legend(fontsize=9)


def plot_dark_level(target, checks, *, title=""):
    """
    Draw the mean of the darks against time, as it is and corrected, with the dark level.

    Parameters
    ----------
    target : path, file or matplotlib.figure.Figure
        PNG file to write, or figure to draw into.
    checks : dict of crsteps.persistence.held_out.SeriesCheck
        Darks before and after the correction, by name of the detector.
    title : str, optional
        Title of the figure.

    Raises
    ------
    ValueError
        Without a detector.

    Notes
    -----
    The band is the mean dark level (of the master dark, or fitted) with three times the error that
    the mean of a single dark has by noise. Open symbols are darks that the fit has not seen. The
    first panels are those of the mean over all detectors; the one below them shows it near the
    level.
    """
    if not checks:
        raise ValueError("there is no detector of which to draw the darks")
    names = list(checks)
    n_columns = min(len(names), 4) if len(names) > 1 else 0
    n_rows = -(-len(names) // n_columns) if n_columns else 0
    figure, save = open_figure(target, (12, 6.5 + 2.5 * n_rows))
    parts = figure.add_gridspec(
        1 + bool(n_rows), 1, height_ratios=(6.5, 2.5 * n_rows)[: 1 + bool(n_rows)]
    )
    top = parts[0].subgridspec(2, 1)
    upper = figure.add_subplot(top[0])
    lower = figure.add_subplot(top[1], sharex=upper)
    whole = _mean_of_detectors(list(checks.values()))
    name = f"mean of {len(names)} detectors" if len(names) > 1 else names[0]
    _draw_levels(upper, *whole)
    _draw_levels(lower, *whole, near=True)
    upper.set(title=name, ylabel="mean of the darks [e-/s]")
    lower.set(xlabel="time after the illumination [s]", ylabel="near the dark level [e-/s]")
    upper.legend(loc="upper right")
    if n_rows:
        cells = parts[1].subgridspec(n_rows, n_columns)
        for i, detector in enumerate(names):
            axes = figure.add_subplot(cells[i // n_columns, i % n_columns])
            _draw_levels(axes, *_mean_of_detectors([checks[detector]]), small=True)
            axes.set_title(detector, fontsize=10)
            if i % n_columns == 0:
                axes.set_ylabel("mean [e-/s]")
            if i >= len(names) - n_columns:
                axes.set_xlabel("time [s]")
    figure.suptitle(title)
    save()


def _mean_of_detectors(checks):
    """Times, raw, corrected, error, held out, level and its error of the mean of detectors."""
    number = len(checks)
    raw, corrected = (
        np.mean([getattr(c, n) for c in checks], axis=0) for n in ("raw", "corrected")
    )
    error = np.sqrt(np.sum([c.error**2 for c in checks], axis=0)) / number
    level = float(np.mean([c.level for c in checks]))
    level_error = float(np.sqrt(np.sum([c.level_error**2 for c in checks]))) / number
    return checks[0].times, raw, corrected, error, checks[0].is_held_out, level, level_error


def _draw_levels(
    axes, times, raw, corrected, error, held_out, level, level_error, *, near=False, small=False
):
    """Means of the darks of one detector, or of all."""
    half = 3 * float(np.hypot(np.median(error), level_error))
    axes.axhspan(level - half, level + half, color=MODEL, alpha=0.3, lw=0, label="dark level ± 3 σ")
    axes.axhline(level, color=MODEL, lw=1)
    size = 3 if small else 5
    for values, colour, name, marker in (
        (raw, BEFORE, "as it is", "o"),
        (corrected, AFTER, "corrected", "s"),
    ):
        axes.plot(times, values, color=colour, lw=1, alpha=0.6)
        for own, face, label in (
            (~held_out, colour, name),
            (held_out, "white", f"{name}, held out"),
        ):
            axes.errorbar(
                times[own],
                values[own],
                error[own],
                fmt=marker,
                color=colour,
                markerfacecolor=face,
                markersize=size,
                capsize=0,
                label=label if own.any() else None,
            )
    axes.set_xscale("log")
    if near:
        reach = max(4 * half, 1.5 * np.abs(corrected - level).max())
        axes.set_ylim(level - reach, level + reach)
    elif raw.min() > 0 and corrected.min() > 0 and raw.max() > 10 * level > 0:
        axes.set_yscale("log")
    axes.grid(**_GRID)
