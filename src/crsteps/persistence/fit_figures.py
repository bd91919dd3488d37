"""A fit of persistence to look at: maps, distributions, decays of pixels and of the mean."""

import numpy as np

from crsteps.detector.figures import open_figure
from crsteps.persistence.figures import (
    AFTER,
    BEFORE,
    MODEL,
    draw_image,
    set_asinh_scale,
)

_FEWEST = 50
_FEW_LEVELS = 6
_BINS = 80
_GRID = {"alpha": 0.3, "linewidth": 0.5}
_POINTS = {"fmt": "o", "markersize": 4, "capsize": 2, "linewidth": 1.0}
# Amplitude over its error from which a pixel tells a slope.
_CLEAR = 5.0


def plot_fit_maps(
    target,
    *,
    amplitude,
    gamma,
    significance,
    chi2,
    levels=(),
    reference_time=1000.0,
    title="",
):
    """
    Draw maps and distributions of amplitude and slope, and the curve if there are levels.

    Parameters
    ----------
    target : path, file or matplotlib.figure.Figure
        PNG file to write, or figure to draw into.
    amplitude, gamma, significance : ndarray, shape (ny, nx)
        Amplitude in e-/s, slope, and amplitude over its error; NaN where not fitted.
    chi2 : ndarray
        Chi2 per degree of freedom of the pixels that were fitted.
    levels : sequence of crsteps.persistence.fit_curve.FluenceLevel, optional
        Amplitude and slope by the charge of the illumination.
    reference_time : float, optional
        Seconds after the illumination to which amplitudes belong.
    title : str, optional
        Title of the figure.

    Notes
    -----
    The scale of the amplitude ends at its 0.5th and 99.5th percentile. Pixels without a value are
    light blue.
    """
    figure, save = open_figure(target, (14, 8.2))
    axes = figure.subplots(2, 3)
    with np.errstate(invalid="ignore"):
        clear = significance > _CLEAR
    what = f"amplitude at {reference_time:.4g} s [e-/s]"
    draw_image(axes[0, 0], amplitude, _range(amplitude), colours="inferno", label=what)
    draw_image(axes[0, 1], gamma, _range(gamma[clear], pad=0.1), colours="viridis", label="slope γ")
    axes[0, 0].set_title("amplitude")
    axes[0, 1].set_title("slope")
    by_charge = [level for level in levels if np.isfinite(level.fluence)]
    if by_charge:
        _draw_curve(axes[0, 2], by_charge, what)
    else:
        draw_image(axes[0, 2], significance, (0, 20), colours="cividis", label="amplitude / error")
        axes[0, 2].set_title("significance")
    _draw_amplitudes(axes[1, 0], amplitude, significance, what)
    _draw_slopes(axes[1, 1], gamma, clear)
    _draw_chi2(axes[1, 2], chi2)
    figure.suptitle(title)
    save()


def _range(values, pad=0.0):
    """Percentiles of an image, as limits of a scale."""
    values = values[np.isfinite(values)]
    if not values.size:
        return 0.0, 1.0
    low, high = np.quantile(values, [0.005, 0.995])
    pad *= high - low
    return (float(low - pad), float(high + pad)) if high > low else (low - 1, high + 1)


def _draw_curve(axes, levels, what):
    """Amplitude and slope against the charge of the illumination."""
    charge = [level.fluence for level in levels]
    amplitude = np.array([level.amplitude for level in levels])
    error = [level.amplitude_error for level in levels]
    axes.errorbar(charge, amplitude, error, color=AFTER, label="amplitude", **_POINTS)
    axes.plot(charge, amplitude, color=AFTER, lw=1)
    axes.set_xscale("log")
    axes.tick_params(axis="x", which="minor", labelbottom=False)
    if len(charge) <= _FEW_LEVELS:
        axes.set_xticks(charge, [f"{each:.3g}" for each in charge], fontsize=9)
    if np.all(amplitude > 0):
        axes.set_yscale("log")
    axes.set(xlabel="charge of the illumination [e-]")
    axes.set_ylabel(what, color=AFTER)
    axes.set_title("by the illumination (bars: spread of slopes)")
    right = axes.twinx()
    right.errorbar(
        charge,
        [level.gamma for level in levels],
        [np.nan_to_num(level.gamma_spread) for level in levels],
        color=BEFORE,
        **{**_POINTS, "fmt": "s"},
    )
    right.set_ylabel("slope γ", color=BEFORE)
    right.margins(y=0.3)
    if len(levels) == 1:
        axes.set_xlim(charge[0] / 3, charge[0] * 3)
    axes.grid(**_GRID)


def _draw_amplitudes(axes, amplitude, significance, what):
    """Distribution of amplitudes, those that are clear apart."""
    known = np.isfinite(amplitude)
    values = amplitude[known]
    axes.set(xlabel=what, ylabel="pixels", title="distribution of amplitudes")
    if not values.size:
        return
    low, high = np.quantile(values, [0.001, 0.999])
    scale = max(float(np.median(np.abs(values))) / 3, 1e-6)
    edges = _asinh_edges(low, high, scale=scale)
    with np.errstate(invalid="ignore"):
        clear = significance[known] > _CLEAR
    axes.hist(values, edges, color="0.75", label="all")
    axes.hist(values[clear], edges, histtype="step", color=AFTER, lw=1.5, label="above 5 errors")
    middle = float(np.median(values))
    axes.axvline(middle, color="k", lw=1, ls="--", label=f"median {middle:.3g}")
    set_asinh_scale(axes, "x", scale)
    axes.set_xlim(edges[0], edges[-1])
    axes.legend(fontsize=9)


def _asinh_edges(low, high, *, scale):
    """Edges of bins that are even near zero and logarithmic beyond the scale."""
    first, last = np.arcsinh(np.array([low, max(high, low + scale)]) / scale)
    return scale * np.sinh(np.linspace(first, last, _BINS))


def _draw_slopes(axes, gamma, clear):
    """Distribution of the slopes, those of clear pixels apart."""
    known = gamma[np.isfinite(gamma)]
    axes.set(xlabel="slope γ", ylabel="pixels", title="distribution of slopes")
    if not known.size:
        return
    low, high = _range(gamma[clear] if clear.sum() > _FEWEST else known, pad=0.5)
    edges = np.linspace(low, high, _BINS)
    axes.hist(known, edges, color="0.75", label="all (faint ones shrunk)")
    axes.hist(gamma[clear], edges, histtype="step", color=AFTER, lw=1.5, label="above 5 errors")
    if clear.sum() > _FEWEST:
        low, middle, high = np.quantile(gamma[clear], [0.1587, 0.5, 0.8413])
        name = f"median {middle:.3f}, spread {(high - low) / 2:.3f}"
        axes.axvline(middle, color="k", lw=1, ls="--", label=name)
    axes.set_yscale("log")
    axes.set_ylim(0.6, 60 * axes.get_ylim()[1])  # room for the legend
    axes.legend(fontsize=9, loc="upper center")


def _draw_chi2(axes, chi2):
    """Distribution of the reduced chi2."""
    values = chi2[np.isfinite(chi2)]
    axes.set(xlabel="χ² per degree of freedom", ylabel="pixels", title="goodness of fit")
    if values.size:
        axes.hist(np.minimum(values, 4), np.linspace(0, 4, _BINS), color="0.75")
        middle = float(np.median(values))
        axes.axvline(middle, color="k", lw=1, ls="--", label=f"median {middle:.3f}")
        axes.legend(fontsize=9)
    axes.set_yscale("log")
    axes.set_xlim(0, 4)


def plot_decay_curves(target, examples, *, title=""):
    """
    Draw the darks of some pixels with the fit and its residuals.

    Parameters
    ----------
    target : path, file or matplotlib.figure.Figure
        PNG file to write, or figure to draw into.
    examples : sequence of crsteps.persistence.fit_examples.DecayExample
        Pixels, at most six.
    title : str, optional
        Title of the figure.

    Notes
    -----
    The line is what darks like the first one read at any time; dotted lines are darks that were
    left out as hit by cosmic rays. The scale is even within the errors and logarithmic above.
    """
    n_columns = max(min(len(examples), 3), 1)
    n_rows = -(-len(examples) // n_columns) or 1
    figure, save = open_figure(target, (4.8 * n_columns, 4.6 * n_rows))
    grid = figure.add_gridspec(n_rows, n_columns)
    for i, example in enumerate(examples):
        cell = grid[i // n_columns, i % n_columns].subgridspec(2, 1, height_ratios=(3, 1), hspace=0)
        upper = figure.add_subplot(cell[0])
        lower = figure.add_subplot(cell[1], sharex=upper)
        _draw_example(upper, lower, example)
    if not examples:
        figure.text(0.5, 0.5, "no pixel was fitted well", ha="center")
    figure.suptitle(title)
    save()


def _draw_example(upper, lower, example):
    """Darks of a pixel above, residuals below."""
    used = np.isfinite(example.rates) & ~example.is_hit
    upper.errorbar(
        example.times[used], example.rates[used], example.errors[used], color=AFTER, **_POINTS
    )
    upper.plot(example.curve_times, example.curve, color=BEFORE, lw=1.5, label="fit")
    upper.axhline(example.dark_rate, color=MODEL, lw=1, ls="--", label="dark level")
    for number, time in enumerate(example.times[example.is_hit]):
        label = "hit, left out" if number == 0 else None
        upper.axvline(time, color="0.6", lw=1, ls=":", label=label)
    # even within the noise, logarithmic above it
    set_asinh_scale(upper, "y", 2 * float(np.median(example.errors)))
    lowest = np.concatenate([(example.rates - example.errors)[used], example.curve]).min()
    upper.set_ylim(bottom=lowest - 0.5 * float(np.median(example.errors)))
    upper.set_ylabel("signal / time [e-/s]")
    upper.set_title(
        f"{example.name}: A = {example.amplitude:.3g} ± {example.amplitude_error:.2g} e-/s, "
        f"γ = {example.gamma:.3f} ± {example.gamma_error:.3f}",
        fontsize=10,
    )
    upper.set_xscale("log")
    upper.tick_params(labelbottom=False)
    upper.legend(fontsize=9, loc="lower left", framealpha=0.8)
    upper.grid(**_GRID)
    residual = (example.rates - example.fitted) / example.errors
    lower.axhline(0, color=BEFORE, lw=1)
    lower.errorbar(example.times[used], residual[used], 1, color=AFTER, **_POINTS)
    lower.set(xlabel="time after the illumination [s]", ylabel="residual / σ")
    limit = max(3.5, 1.3 * np.abs(residual[used]).max(initial=0))
    lower.set_ylim(-limit, limit)
    lower.grid(**_GRID)
