"""What the cleaning does to an image, to look at."""

import numpy as np

from crsteps.detector.display import zscale_limits

_OUTPUT_COLOURS = ("tab:blue", "tab:orange", "tab:green", "tab:red")


def plot_cleaning(target, *, before, after, unit="DN"):
    """
    Draw an image before and after the cleaning, and the noise that was removed.

    Parameters
    ----------
    target : path or file
        PNG file to write.
    before, after : ndarray, shape (ny, nx)
        Difference of two groups, or rate image; NaN pixels stay white.
    unit : str, optional
        Unit of the images.
    """
    from matplotlib.figure import Figure

    removed = before - after
    limits = zscale_limits(after)
    ny, nx = before.shape
    # Subarrays are wide or tall: their panels stand above or beside each other.
    wide, tall = nx > 2 * ny, ny > 2 * nx
    size = (11, 9) if wide else (7.5, 9) if tall else (14, 4.2)
    figure = Figure(figsize=size, layout="constrained")
    panels = (
        ("before", before, limits),
        ("cleaned", after, limits),
        ("flicker noise removed", removed, zscale_limits(removed)),
    )
    grid = figure.subplots(3, 1) if wide else figure.subplots(1, 3)
    for axes, (title, image, (low, high)) in zip(grid, panels, strict=True):
        shown = axes.imshow(
            image,
            origin="lower",
            cmap="gray",
            vmin=low,
            vmax=high,
            aspect="auto" if wide or tall else "equal",
            interpolation="antialiased",
        )
        axes.set(title=title, xlabel="x [pixel]", ylabel="y [pixel]")
        figure.colorbar(shown, ax=axes, label=unit, fraction=0.046, pad=0.02)
    figure.savefig(target, dpi=110, format="png")


def plot_spectra(target, frequencies, spectra, *, unit="DN"):
    """
    Draw the power spectra of the outputs before and after the cleaning.

    Parameters
    ----------
    target : path or file
        PNG file to write.
    frequencies : ndarray, shape (n,)
        Frequencies [Hz]; those of the upper half are drawn by their distance from the Nyquist
        frequency of the pixels, where alternating column noise is.
    spectra : ndarray, shape (2, n_outputs, n)
        Power spectral densities before and after.
    unit : str, optional
        Unit of the data.
    """
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    from crsteps.detector.readout import PIXEL_TIME

    nyquist = 0.5 / PIXEL_TIME
    slow = frequencies < nyquist / 2
    figure = Figure(figsize=(11, 4.8), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    many = spectra.shape[1] > len(_OUTPUT_COLOURS)
    for output in range(spectra.shape[1]):
        colour = "0.4" if many else _OUTPUT_COLOURS[output]
        for power, style in zip(spectra[:, output], (":", "-"), strict=True):
            left.loglog(frequencies[slow], power[slow], style, color=colour, lw=1.3)
            right.loglog(nyquist - frequencies[~slow], power[~slow], style, color=colour, lw=1.3)
    # The correction takes white noise along at low frequencies, down to nothing: not of interest.
    if np.isfinite(spectra).any():
        left.set_ylim(bottom=0.02 * np.nanmedian(spectra))
    left.set(xlabel="frequency [Hz]", ylabel=f"power spectral density [({unit})$^2$ / Hz]")
    left.set_title("slow noise")
    right.set_title("alternating columns")
    right.set_xlabel(f"distance from {nyquist / 1000:g} kHz [Hz]")
    right.invert_xaxis()
    handles = [Line2D([], [], color="k", ls=ls, label=n) for n, ls in _STYLES]
    if not many:
        handles += [
            Line2D([], [], color=_OUTPUT_COLOURS[output], label=f"output {output + 1}")
            for output in range(spectra.shape[1])
        ]
    right.legend(handles=handles, fontsize="small", loc="lower left")
    for axes in (left, right):
        axes.grid(alpha=0.3)
    figure.savefig(target, dpi=110, format="png")


_STYLES = (("before", ":"), ("cleaned", "-"))


def plot_profiles(target, profiles, *, axis="y", unit="DN"):
    """
    Draw the medians of the lines of an image before and after the cleaning.

    Parameters
    ----------
    target : path or file
        PNG file to write.
    profiles : ndarray, shape (2, n_lines)
        Medians before and after; NaN where there is no background.
    axis : str, optional
        Axis across the lines.
    unit : str, optional
        Unit of the data.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4), layout="constrained")
    axes = figure.subplots()
    for profile, colour, name in zip(profiles, ("0.6", "tab:blue"), _STYLES, strict=True):
        axes.plot(profile, color=colour, lw=0.7, label=name[0])
    axes.axhline(0, color="k", lw=0.5)
    axes.set(xlabel=f"{axis} [pixel]", ylabel=f"median of the background [{unit}]")
    axes.set_xlim(0, profiles.shape[1] - 1)
    axes.legend(loc="upper right")
    figure.savefig(target, dpi=110, format="png")
