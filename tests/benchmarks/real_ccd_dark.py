"""Real images of a CCD through the single-image path of slew_dark_cosmics: what its clusters are.

The dark is that of the long-slit spectrograph SPRAT of the Liverpool Telescope, 600 s, taken in
September 2019. Its header calls it a mean of five exposures, and every value is a mean of five,
four or three integers: exposures that were outliers in a pixel have been left out, and cosmic rays
with them. What stands out is looked up in the median of five exposures of 120 s of August 2018:
a hot pixel is there too, with a fifth of the charge, and a cosmic ray is not.

Those exposures hold cosmic rays. With the median of the four others as master dark, and pixels with
light left out, each is a dark; what is found is compared with MM.Cosmic, which compares the five
with each other and never searches a single one.

    python tests/benchmarks/real_ccd_dark.py FOLDER_OF_REAL_DATA --figures docs/images
"""

import argparse
import logging
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table
from scipy import ndimage

from crsteps.detector.display import mask_outline, zscale_limits
from crsteps.detector.noise import ExposureNoise
from crsteps.mm_cosmic.masks import find_cosmic_rays
from crsteps.slew_dark.analysis import AnalysisOptions, DetectorFrame, analyse_detector
from crsteps.slew_dark.gallery_figures import plot_gallery
from crsteps.slew_dark.statistics import StatisticsOptions, merge
from crsteps.slew_dark.statistics_table import to_table
from crsteps.slew_dark.step import SlewDarkCosmicsStep
from crsteps.slew_dark.thumbnails import sketch_detector

FOLDER = "sprat_5x120s"
DARK = "v_dark_1.fits.gz"
# Gain from the header; bias and read noise as in real_exposures.py.
GAIN, READ_NOISE, BIAS = 2.45, 2.21, 913.0  # e-/ADU, ADU, ADU
PIXEL_PITCH = 26.0  # micrometres
TIME, TIME_OF_EXPOSURES = 600.0, 120.0  # s
# Fraction of an ADU that the subtraction of the bias has left in every value of the dark.
FRACTION = 0.22998
SEEN_SIGMA = 3.0
# Light in the exposures, ADU: beyond, spectra that are not equal differ by more than noise.
LIGHT = 25.0
# Variance of the median of four normal numbers over that of one.
VARIANCE_OF_MEDIAN = 0.298


@dataclass(frozen=True)
class Comparison:
    """
    Clusters of the dark and what was at their places a year before.

    Attributes
    ----------
    dark : ndarray of float32, shape (ny, nx)
        The dark [ADU].
    mask : ndarray of bool, shape (ny, nx)
        Flagged pixels.
    clusters : astropy.table.Table
        Clusters, with the columns ``before``, the signal of their brightest pixel in the median of
        the exposures above its neighbours [ADU], and ``seen``, whether that is above the noise.
    statistics : astropy.table.Row
        Statistics of the dark.
    seen : ndarray of bool, shape (ny, nx)
        Pixels above the noise in the median of the exposures.
    noise : float
        Noise of that median [ADU].
    """

    dark: np.ndarray
    mask: np.ndarray
    clusters: Table
    statistics: object
    seen: np.ndarray
    noise: float


def exposures_in_mean(dark):
    """
    Find how many exposures each value of the dark is the mean of.

    Parameters
    ----------
    dark : ndarray, shape (ny, nx)
        The dark [ADU].

    Returns
    -------
    ndarray of int, shape (ny, nx)
        The largest number up to 5 of integers that it can be the mean of; 0 if there is none.
    """
    number = np.zeros(dark.shape, int)
    for n in (1, 2, 3, 4, 5):
        total = n * (dark.astype(np.float64) - FRACTION)
        number[np.abs(total - np.rint(total)) < 0.005] = n
    return number


def compare(folder):
    """
    Search the dark, and look its clusters up in the exposures.

    Parameters
    ----------
    folder : Path
        Folder of the real data.

    Returns
    -------
    Comparison
    """
    dark = fits.getdata(folder / FOLDER / DARK).astype(np.float32)
    before, noise = _earlier(folder)
    seen = before > SEEN_SIGMA * noise
    result, mask = _search(folder / FOLDER / DARK)
    labels, _ = ndimage.label(mask, np.ones((3, 3)))
    places = ndimage.maximum_position(dark, labels, np.arange(1, len(result.clusters) + 1))
    y, x = np.array(places).T
    clusters = result.clusters
    clusters["before"], clusters["seen"] = before[y, x], seen[y, x]
    return Comparison(dark, mask, clusters, result.statistics[0], seen, noise)


def count_without(folder, bad):
    """
    Count the clusters that are left with a map of bad pixels.

    Parameters
    ----------
    folder : Path
        Folder of the real data.
    bad : ndarray of bool, shape (ny, nx)
        Bad pixels.

    Returns
    -------
    int
    """
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "bad.fits"
        fits.writeto(path, bad.astype(np.uint8))
        result, _ = _search(folder / FOLDER / DARK, bad_pixel_mask=str(path))
    return len(result.clusters)


def search_exposures(folder):
    """
    Search each exposure, with the median of the others as master dark.

    Parameters
    ----------
    folder : Path
        Folder of the real data.

    Returns
    -------
    statistics : astropy.table.Table
        Statistics, an exposure in the place of a detector; the truth is MM.Cosmic's masks.
    cutouts : list of ClusterCutout
        Clusters to look at.
    """
    exposures = _exposures(folder) - np.float32(BIAS)
    noise = ExposureNoise.from_gain(GAIN, READ_NOISE)
    masks = find_cosmic_rays(exposures, noise=noise).exposure_masks
    light = ndimage.binary_opening(np.median(exposures, axis=0) > LIGHT, np.ones((1, 5)))
    light = ndimage.binary_dilation(light, np.ones((5, 5)))
    pixel_area = (PIXEL_PITCH * 1e-4) ** 2
    options = AnalysisOptions(
        statistics=StatisticsOptions(
            integration_time=TIME_OF_EXPOSURES,
            pixel_area_cm2=pixel_area,
            n_outputs=1,
            electrons_per_adu=GAIN,
        )
    )
    nothing = np.zeros(light.shape, bool)
    statistics, cutouts = [], []
    for i, (image, mask) in enumerate(zip(exposures, masks, strict=True)):
        master = np.median(np.delete(exposures, i, axis=0), axis=0)
        variance = READ_NOISE**2 + np.maximum(master, 0) / GAIN
        frame = DetectorFrame(
            f"exposure {i + 1}",
            image,
            missing=nothing,
            reference=nothing,
            saturated=nothing,
            bad=light,
            master_dark=master,
            noise=np.sqrt(variance * np.float32(1 + VARIANCE_OF_MEDIAN)),
            truth=mask,
        )
        analysis = analyse_detector(frame, options=options)
        statistics.append(analysis.statistics)
        cutouts += sketch_detector(frame, analysis).cutouts
    return to_table(merge(statistics)), cutouts


def _exposures(folder):
    paths = sorted((folder / FOLDER).glob("v_e_*.fits*"))
    return np.array([fits.getdata(path).astype(np.float32) for path in paths])


def _search(path, **parameters):
    """Run the step; return its result and the flagged pixels."""
    with tempfile.TemporaryDirectory() as temporary:
        result = SlewDarkCosmicsStep.call(
            str(path),
            electrons_per_adu=GAIN,
            pixel_pitch=PIXEL_PITCH,
            save_results=True,
            output_dir=temporary,
            configure_log=False,
            **parameters,
        )
        flags = fits.getdata(result.products["crmask.fits"])
    return result, (flags & 4) != 0


def _earlier(folder):
    """Median of the exposures above its neighbours along x, and its noise."""
    median = np.median(_exposures(folder), axis=0)
    above = median - ndimage.median_filter(median, (1, 9))
    return above, 1.4826 * float(np.median(np.abs(above)))


def main():
    """Print the numbers and draw the figures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, help="folder of the real data")
    parser.add_argument("--figures", type=Path, help="folder of the figures")
    arguments = parser.parse_args()
    found = compare(arguments.folder)
    _print_dark(arguments.folder, found)
    statistics, cutouts = search_exposures(arguments.folder)
    print("\nExposures")
    for name, row in zip(
        ["all", *"12345"], statistics[statistics["level"] != "channel"], strict=True
    ):
        print(
            f"{name:>3}: {row['n_clusters']} cosmic rays, {row['n_flagged']} pixels, "
            f"{row['true_positives']} of {row['true_positives'] + row['missed']} of MM.Cosmic's; "
            f"{row['hit_rate']:.4f} ± {row['hit_rate_error']:.4f} per cm2 and s"
        )
    if arguments.figures:
        draw(arguments.figures / "sprat_dark.png", found)
        plot_gallery(
            arguments.figures / "sprat_cosmic_rays.png",
            cutouts,
            title="Cosmic rays in five exposures of SPRAT, 120 s each",
        )


def _print_dark(folder, found):
    number = exposures_in_mean(found.dark)
    for n, count in zip(*np.unique(number, return_counts=True), strict=True):
        print(f"mean of {n}: {count} pixels ({count / number.size:.1%})")
    size, seen = found.clusters["n_pixels"], found.clusters["seen"]
    print(f"clusters: {len(size)}, flagged pixels: {found.mask.sum()}")
    print(f"of 1, 2, 3, more pixels: {[int(n) for n in np.bincount(np.minimum(size, 4))[1:]]}")
    print(f"mean of five in {(number[found.mask] == 5).mean():.1%} of the flagged pixels")
    print(f"in the exposures of 2018: {seen.mean():.1%}; of all pixels: {found.seen.mean():.1%}")
    bright = found.clusters["peak"] > 100
    ratio = np.median(found.clusters["before"][bright] / found.clusters["peak"][bright])
    print(f"above 100 ADU: {bright.sum()}, seen {seen[bright].mean():.1%}, ratio {ratio:.3f}")
    print(f"left with these pixels as bad: {count_without(folder, found.seen)}")


def draw(path, found):
    """
    Draw a part of the dark, the sizes of its clusters, and what was seen at their places before.

    Parameters
    ----------
    path : Path
        PNG file.
    found : Comparison
        What was found.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 4.6), layout="constrained")
    image, sizes, ratio = figure.subplots(1, 3, width_ratios=[1.15, 0.8, 1])
    _draw_part(figure, image, found)
    counts = np.bincount(np.minimum(found.clusters["n_pixels"], 5), minlength=6)[1:]
    sizes.bar(["1", "2", "3", "4", "≥ 5"], counts, color="#0072B2", alpha=0.6)
    sizes.bar_label(sizes.containers[0])
    sizes.set(yscale="log", xlabel="pixels of a cluster", ylabel="clusters", title="size")
    for seen, colour, name in ((True, "#D55E00", "seen"), (False, "#0072B2", "not seen")):
        some = found.clusters[found.clusters["seen"] == seen]
        label = f"{name} in 2018 ({len(some)})"
        ratio.plot(some["peak"], some["before"], ".", color=colour, markersize=4, label=label)
    peak = np.array([10.0, 1500.0])
    line = peak * TIME_OF_EXPOSURES / TIME
    ratio.plot(peak, line, "k--", linewidth=1, label="same dark current")
    ratio.set_xscale("log")
    ratio.set_yscale("symlog", linthresh=SEEN_SIGMA * found.noise)
    ratio.set_yticks([-3, 0, 3, 10, 30, 100, 300], ["-3", "0", "3", "10", "30", "100", "300"])
    ratio.set(xlabel="peak in the dark of 600 s [ADU]", ylabel="same pixel in 120 s, 2018 [ADU]")
    ratio.set_title("brightest pixels")
    ratio.set_ylim(-10, 3000)  # room for the legend
    ratio.legend(fontsize=9, loc="upper left")
    figure.savefig(path, dpi=110)


def _draw_part(figure, axes, found, size=100):
    """Corner of the dark with the outlines of what was flagged."""
    from matplotlib.collections import LineCollection

    part = found.dark[:size, :size]
    low, high = zscale_limits(part)
    shown = axes.imshow(part, origin="lower", cmap="gray", vmin=low, vmax=high)
    outline = mask_outline(found.mask[:size, :size])
    axes.add_collection(LineCollection(outline, colors="#D55E00", linewidths=0.9))
    axes.set(xlabel="x [pixel]", ylabel="y [pixel]", title="part of the dark, flagged pixels")
    figure.colorbar(shown, ax=axes, label="signal [ADU]", extend="both", shrink=0.85)


if __name__ == "__main__":
    logging.disable(logging.WARNING)  # of the steps, here alone: it holds for the process
    main()
