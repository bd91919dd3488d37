"""MM.Cosmic on five real exposures: figures of the documentation, and a check by prediction.

The exposures are raw frames of the long-slit spectrograph SPRAT of the Liverpool Telescope, 120 s
each. Every exposure is predicted from the cosmic-ray-cleaned mean of the four others; the residuals
in units of the predicted noise tell whether what was masked was charge and what was left is noise.

    python tests/benchmarks/real_exposures.py FOLDER_OF_EXPOSURES --figures docs/images
"""

import argparse
from pathlib import Path

import numpy as np
from astropy.io import fits
from scipy import ndimage

from crsteps.detector.noise import ExposureNoise
from crsteps.mm_cosmic import scene
from crsteps.mm_cosmic.boundary import detection_boundary
from crsteps.mm_cosmic.combination import combine
from crsteps.mm_cosmic.figures import plot_cutouts, plot_mm_diagram
from crsteps.mm_cosmic.masks import MMCosmicOptions, find_cosmic_rays

# Gain from the header; bias and read noise from columns without light and their differences.
GAIN, READ_NOISE, BIAS = 2.45, 2.21, 913.0  # e-/ADU, ADU, ADU
NOISE = ExposureNoise.from_gain(GAIN, READ_NOISE)


def main():
    """Print the table and draw the figures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--figures", type=Path, help="folder of the figures")
    arguments = parser.parse_args()
    paths = sorted(arguments.folder.glob("v_e_*.fits*"))
    exposures = np.array([fits.getdata(p).astype(np.float32) for p in paths]) - np.float32(BIAS)
    result = find_cosmic_rays(exposures, noise=NOISE)
    print("| exposure | flagged | above 5 sigma | unflagged: mean | sigma | above 5 | below -5 |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for i in range(len(exposures)):
        print(f"| {i + 1} | {_prediction_row(exposures, result, i)} |", flush=True)
    if arguments.figures:
        _draw(arguments.figures, exposures, result)


def _prediction_row(exposures, result, i):
    """Residuals of an exposure against the cleaned mean of the others."""
    others = [j for j in range(len(exposures)) if j != i]
    four = find_cosmic_rays(exposures[others], noise=NOISE)
    mean = combine(exposures[others], four, noise=NOISE, names=("meancr",))["meancr"]
    model = result.equivalence

    def difference(values):
        return values[i] - values[others].mean()

    predicted = scene.shift_image(mean.data, difference(model.dx), difference(model.dy))
    predicted *= model.flux[i] / model.flux[others].mean()
    predicted += difference(model.offset)
    gx, gy = scene.gradients(mean.data)
    cx, cy = model.gradient_variance
    extra = model.relative_variance * mean.data**2 + cx * gx**2 + cy * gy**2
    variance = NOISE.variance(predicted)[0] + mean.variance + extra
    residual = (exposures[i] - predicted) / np.sqrt(variance)
    flagged = result.exposure_masks[i]
    left = residual[~flagged]
    inner = left[np.abs(left) < 5]
    return (
        f"{flagged.sum()} | {np.sum(residual[flagged] > 5)} | {inner.mean():+.3f} "
        f"| {inner.std():.3f} | {np.sum(left > 5)} | {np.sum(left < -5)}"
    )


def _draw(folder, exposures, result):
    """Draw cut-outs around the brightest features, and the diagram for three hits in five."""
    names = ("mean", "meancr")
    combined = combine(exposures, result, noise=NOISE, names=names)
    labels, n_features = ndimage.label(result.meancrt, np.ones((3, 3)))
    charge = combined["mean"].data - combined["meancr"].data
    brightest = 1 + np.argsort(-ndimage.sum(charge, labels, range(1, n_features + 1)))[:5]
    plot_cutouts(
        folder / "sprat_cutouts.png",
        images={f"exposure {i + 1}": image for i, image in enumerate(exposures)}
        | {name: combined[name].data for name in names},
        masks={f"exposure {i + 1}": mask for i, mask in enumerate(result.exposure_masks)},
        centres=[tuple(map(int, c)) for c in ndimage.center_of_mass(labels > 0, labels, brightest)],
        unit="ADU",
        title="SPRAT, 5 x 120 s: the features with the most charge, flagged pixels outlined",
    )
    three = find_cosmic_rays(exposures, noise=NOISE, options=MMCosmicOptions(cr_coincidences=3))
    plot_mm_diagram(
        folder / "sprat_mm_diagram.png",
        lowest=three.lowest,
        median=three.median,
        mediancr=three.mediancr,
        boundary=detection_boundary(
            three,
            n_exposures=len(exposures),
            cr_coincidences=3,
            false_pixels=1.0,
            n_pixels=three.median.size,
        ),
        noise=READ_NOISE,
        unit="ADU",
        title="SPRAT, 5 x 120 s",
        n_exposures=len(exposures),
        cr_coincidences=3,
    )


if __name__ == "__main__":
    main()
