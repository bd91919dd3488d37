"""What the cleaning does to an image, to look at."""

import numpy as np


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
    centre = np.nanmedian(before)
    # Five times the pixel noise shows the sky; the noise removed has a scale of its own.
    half = 5 * 1.4826 * np.nanmedian(np.abs(after - np.nanmedian(after)))
    largest = np.nanpercentile(np.abs(removed), 99.5)
    figure = Figure(figsize=(13, 4.6), layout="constrained")
    panels = (
        ("before", before, centre, half),
        ("cleaned", after, centre, half),
        ("flicker noise removed", removed, 0, largest or 1),
    )
    for axes, (title, image, middle, reach) in zip(figure.subplots(1, 3), panels, strict=True):
        shown = axes.imshow(
            image, origin="lower", cmap="gray", vmin=middle - reach, vmax=middle + reach
        )
        axes.set(title=title, xlabel="x [pixel]", ylabel="y [pixel]")
        figure.colorbar(shown, ax=axes, label=unit, shrink=0.85)
    figure.savefig(target, dpi=110, format="png")
