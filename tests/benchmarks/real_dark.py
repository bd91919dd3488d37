"""Flicker noise of a real detector: scatter of column means before and after cleaning.

The ramp is the reference dark of NIRSpec NRS1, window SUB512, traditional readout, one output (the
mean of ground exposures at 38.5 K, ten groups of one frame). It has no light: the columns, along
which 32 pixels are read within 0.3 ms, would scatter by ``sigma / sqrt(n)`` if pixels had white
noise only; 1/f noise makes that twice to three times as much.

Every method cleans the nine differences of groups twice: with all pixels as background, and with
the rows of a spectrum held back as if they were masked. Of pixels that a method has used, the
cleaned columns always scatter by less than white noise, because it cannot tell all of their white
noise from 1/f noise; only pixels held back tell what is left in a spectrum.

    python tests/benchmarks/real_dark.py FOLDER_OF_REAL_DATA --figure real_dark.png
"""

import argparse
from pathlib import Path

import numpy as np
from astropy.io import fits

from crsteps.detector.readout import Readout
from crsteps.flicker_noise.cleaning import estimate_flicker
from crsteps.flicker_noise.process import FlickerProcess
from crsteps.flicker_noise.streams import from_streams

FILE = "nirspec_noise_refs/jwst_nirspec_dark_0046.fits"
# Flags of this file: half of the pixels count as warm or hot, which does not matter in differences.
DO_NOT_USE, UNRELIABLE_SLOPE, UNRELIABLE_DARK = 1, 8, 16
OUTLIER_SIGMA = 5.0
SPECTRUM_ROWS = slice(8, 24)


def read_dark(folder):
    """
    Read the differences of groups.

    Parameters
    ----------
    folder : Path
        Folder of the real data.

    Returns
    -------
    differences : ndarray of float32, shape (n, ny, nx)
        Differences of groups [DN].
    usable : ndarray of bool, shape (n, ny, nx)
        Pixels that are not flagged and no outliers.
    readout : Readout
        Clocking.
    """
    with fits.open(folder / FILE) as file:
        header, ramp, flags = file[0].header, file["SCI"].data, file["DQ"].data
    differences = np.diff(ramp.astype(np.float32), axis=0)
    good = (flags & (DO_NOT_USE | UNRELIABLE_SLOPE | UNRELIABLE_DARK)) == 0
    usable = good & _ordinary(differences.mean(axis=0), good)
    usable = np.array([usable & _ordinary(image, usable) for image in differences])
    readout = Readout.from_header(
        instrument=header["INSTRUME"],
        fast_axis=header["FASTAXIS"],
        slow_axis=header["SLOWAXIS"],
        shape=differences.shape[1:],
        read_pattern=header["READPATT"],
    )
    return differences, usable, readout


def _ordinary(image, good):
    deviation = np.abs(image - np.median(image[good]))
    return deviation < OUTLIER_SIGMA * 1.4826 * np.median(deviation[good])


def held_back(shape):
    """
    Give the pixels of a spectrum.

    Parameters
    ----------
    shape : tuple of int
        Shape (ny, nx) of the images.

    Returns
    -------
    ndarray of bool, shape (ny, nx)
    """
    mask = np.zeros(shape, bool)
    mask[SPECTRUM_ROWS] = True
    return mask


def column_scatter(images, used):
    """
    Scatter of the column means of images.

    Parameters
    ----------
    images : ndarray, shape (n, ny, nx)
        Images without light.
    used : ndarray of bool, shape (n, ny, nx)
        Pixels that count.

    Returns
    -------
    columns : float
        Root mean square over the images of the standard deviation of the column means.
    white : float
        What it would be if the scatter of the pixels within the columns were white noise.
    """
    values = np.where(used, images, np.nan)
    number = used.sum(axis=1)
    means = np.nanmean(values, axis=1)
    within = np.nansum((values - means[:, np.newaxis]) ** 2) / (number - 1).sum()
    return float(np.sqrt(means.var(axis=1).mean())), float(np.sqrt(within * np.mean(1 / number)))


def _none(images, background, readout):
    """Leave the images as they are."""
    return images


def joint_process(images, background, readout):
    """
    Subtract the estimate of this package.

    Parameters
    ----------
    images : ndarray of float32, shape (n, ny, nx)
        Differences of groups.
    background : ndarray of bool, shape (n, ny, nx)
        Pixels to be used.
    readout : Readout
        Clocking.

    Returns
    -------
    ndarray of float32, shape (n, ny, nx)
        Cleaned differences.
    """
    estimate = estimate_flicker(images, background_mask=background, readout=readout)
    return images - estimate.noise


def _jwst_median(images, background, readout):
    """Subtract medians, as jwst does by default: after clipping at two sigma."""
    from jwst.clean_flicker_noise.background_level import clip_to_background
    from jwst.clean_flicker_noise.clean_flicker_noise import median_clean

    cleaned = []
    for image, mask in zip(images, background, strict=True):
        mask, level = mask.copy(), np.median(image[mask])
        clip_to_background(image - level, mask, sigma_lower=2, sigma_upper=2, lower_half_only=True)
        cleaned.append(level + median_clean(image - level, mask, abs(readout.slow_axis)))
    return np.array(cleaned)


def _jwst_fft(images, background, readout):
    """Subtract the Fourier series of jwst for windows."""
    from jwst.clean_flicker_noise.clean_flicker_noise import fft_clean_subarray

    cleaned = []
    for image, mask in zip(images, background, strict=True):
        level = np.median(image[mask])
        cleaned.append(level + fft_clean_subarray(image - level, mask.copy(), "NRS1"))
    return np.array(cleaned)


METHODS = {
    "none": _none,
    "jwst median": _jwst_median,
    "jwst fft": _jwst_fft,
    "joint process": joint_process,
}


def predicted(differences, background, readout, *, seed=1, n=40):
    """
    Draw differences of the measured process, whose cleaning tells what is to be expected.

    Parameters
    ----------
    differences, background, readout
        As `read_dark` gives them.
    seed, n : int, optional
        Seed of the random numbers, and number of images.

    Returns
    -------
    ndarray of float32, shape (n, ny, nx)
        Flicker noise of the measured spectrum and white noise.
    """
    estimate = estimate_flicker(differences, background_mask=background, readout=readout)
    process = FlickerProcess.from_spectrum(estimate.spectrum, readout.n_rows * readout.row_ticks)
    rng = np.random.default_rng(seed)
    white = estimate.white_noise * rng.standard_normal((n, *readout.shape), np.float32)
    return white + np.array(
        [from_streams(process.sample(rng), readout, bin_ticks=1) for _ in range(n)]
    )


def main():
    """Print the table and draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, help="folder of the real data")
    parser.add_argument("--figure", type=Path, help="PNG file to draw")
    arguments = parser.parse_args()
    differences, usable, readout = read_dark(arguments.folder)
    spectrum = held_back(readout.shape)
    print("| method | used: columns | white | ratio | held back: columns | white | ratio |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    held = {}
    rows = {name: (method, differences, usable) for name, method in METHODS.items()}
    model = predicted(differences, usable, readout)
    rows["joint process, model"] = (joint_process, model, np.ones(model.shape, bool))
    for name, (method, images, used) in rows.items():
        cells = []
        for background, judged in ((used, used), (used & ~spectrum, used & spectrum)):
            held[name] = method(images, background, readout)
            columns, white = column_scatter(held[name], judged)
            cells += [f"{columns:.3f}", f"{white:.3f}", f"{columns / white:.2f}"]
        print(f"| {name} | {' | '.join(cells)} |")
    if arguments.figure:
        draw(arguments.figure, held, usable & spectrum)


def draw(path, cleaned, judged):
    """
    Draw one difference and the spectrum of the column means, with the spectrum held back.

    Parameters
    ----------
    path : Path
        File.
    cleaned : dict of ndarray
        Differences by method.
    judged : ndarray of bool, shape (n, ny, nx)
        Pixels held back.
    """
    from matplotlib.figure import Figure

    shown = [name for name in METHODS if name in cleaned]
    figure = Figure(figsize=(10, 9), layout="constrained")
    axes = figure.subplots(len(shown) + 1, 1, height_ratios=[1] * len(shown) + [4])
    for axis, name in zip(axes, shown, strict=False):
        axis.imshow(cleaned[name][1], origin="lower", cmap="gray", vmin=-8, vmax=8, aspect="auto")
        axis.set_ylabel("y")
        axis.set_title(f"difference of groups 2 and 3: {name}", fontsize="small")
    for name in shown:
        means = np.nanmean(np.where(judged, cleaned[name], np.nan), axis=1)
        power = np.abs(np.fft.rfft(means - means.mean(axis=1, keepdims=True), axis=1)) ** 2
        power = power.mean(axis=0)[1:].reshape(-1, 8).mean(axis=1) / means.shape[1]
        frequency = (np.arange(power.size) * 8 + 4.5) / means.shape[1] / 44e-5
        axes[-1].loglog(frequency, power, "o-", ms=3, label=name)
    white = column_scatter(cleaned["joint process"], judged)[1]
    axes[-1].axhline(white**2, color="k", ls=":", label="white noise")
    axes[-1].set(xlabel="frequency of the columns [Hz]", ylabel="power of means of 16 pixels [DN²]")
    axes[-1].legend()
    figure.savefig(path, dpi=100)


if __name__ == "__main__":
    main()
