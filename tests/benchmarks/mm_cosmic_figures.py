"""Draw the figures of MM.Cosmic for the documentation, from simulated exposures.

python tests/benchmarks/mm_cosmic_figures.py docs/images
"""

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from crsteps.detector.noise import ExposureNoise
from crsteps.mm_cosmic.boundary import detection_boundary
from crsteps.mm_cosmic.combination import combine
from crsteps.mm_cosmic.detection_codes import BY_BOTH
from crsteps.mm_cosmic.diagnostic_figures import (
    plot_diagnostic,
    plot_expected_and_real,
    plot_simulated_and_real,
)
from crsteps.mm_cosmic.diagram import DiagramOptions
from crsteps.mm_cosmic.exposure_figures import plot_flux_factors, plot_offsets
from crsteps.mm_cosmic.feature_figures import PageImages, PageOptions
from crsteps.mm_cosmic.feature_page_figures import FeaturePage
from crsteps.mm_cosmic.feature_tables import feature_pixels
from crsteps.mm_cosmic.flux_factors import measure_flux_factors
from crsteps.mm_cosmic.methods import find_with_method, parse_crmethod
from crsteps.mm_cosmic.offsets import measure_offsets
from crsteps.simulation.fibre_spectrograph import (
    equal_options,
    simulate_fibre_exposures,
    unequal_options,
)

SEED, N_EXPOSURES = 1, 3
READ_NOISE, THRESHOLD = 3.4, 3.0
LABELS = {"unit": "e-", "n_exposures": N_EXPOSURES, "cr_coincidences": 2, "noise": READ_NOISE}
# Columns and rows of the region with sky lines, 1-based as in FITS.
REGION = (151, 250, 101, 200)


def main():
    """Draw everything."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="existing folder for the PNG files")
    folder = parser.parse_args().folder
    exposures = simulate_fibre_exposures(equal_options(), seed=SEED).data
    noise = ExposureNoise.from_gain(1.0, READ_NOISE)
    result = find_with_method(exposures, noise=noise, method=parse_crmethod("mm_pycosmic"))
    boundary = _boundary(result)
    _save(folder / "mm_cosmic_null_model.png", draw_null_model(result, boundary), dpi=90)
    _save(folder / "mm_cosmic_spline.png", draw_spline(exposures), dpi=80)
    _save(folder / "mm_cosmic_feature.png", draw_feature(exposures, result, boundary), dpi=90)
    _save(folder / "mm_cosmic_diagnostic.png", draw_diagnostic(), dpi=80)
    draw_differences(folder)


def _boundary(result):
    return detection_boundary(
        result,
        n_exposures=N_EXPOSURES,
        cr_coincidences=2,
        false_pixels=1.0,
        n_pixels=result.median.size,
    )


def draw_diagnostic():
    """What was flagged and where, in an image so small that its pixels are seen."""
    exposures = simulate_fibre_exposures(equal_options(shape=(200, 200)), seed=SEED).data
    noise = ExposureNoise.from_gain(1.0, READ_NOISE)
    result = find_with_method(exposures, noise=noise, method=parse_crmethod("mm_pycosmic"))
    figure = Figure(figsize=(12, 10.6), layout="constrained")
    images = {"lowest": result.lowest, "median": result.median, "mean": exposures.mean(axis=0)}
    plot_diagnostic(figure, **images, codes=result.codes, boundary=_boundary(result), **LABELS)
    return figure


def draw_null_model(result, boundary):
    """Diagram that the null model expects beside the real one."""
    figure = Figure(figsize=(13, 6.4), layout="constrained")
    plot_expected_and_real(
        figure,
        lowest=result.lowest,
        median=result.median,
        prior=result.prior,
        relative_variance=result.equivalence.relative_variance,
        boundary=boundary,
        **LABELS,
    )
    return figure


def draw_spline(exposures):
    """Diagram that was simulated beside the real one, with the fit of the boundary."""
    figure = Figure(figsize=(13, 6.4), layout="constrained")
    result = find_with_method(
        exposures,
        noise=ExposureNoise.from_gain(1.0, READ_NOISE),
        method=parse_crmethod("mmcosmic"),
        diagram=DiagramOptions(),
    )
    fit = result.diagram.boundary
    plot_simulated_and_real(
        figure,
        lowest=result.lowest,
        median=result.median,
        simulated=result.diagram.simulated,
        boundary=(fit.curve_x, fit.evaluate(fit.curve_x)),
        fit=fit,
        threshold=THRESHOLD * READ_NOISE,
        **LABELS,
    )
    return figure


def draw_feature(exposures, result, boundary):
    """Page of the largest feature that both methods found."""
    images = PageImages(
        exposures=tuple(exposures),
        exposure_masks=tuple(result.exposure_masks),
        median=result.median,
        result=combine(
            exposures,
            result,
            noise=ExposureNoise.from_gain(1.0, READ_NOISE),
            names=("mediancr",),
        )["mediancr"].data,
        lowest=result.lowest,
        codes=result.codes,
    )
    options = PageOptions(unit="e-", noise=READ_NOISE, cr_coincidences=2, boundary=boundary)
    tables = feature_pixels(result.codes)
    table = tables["both"]
    n_both = np.bincount(table["CR_number"], weights=table["Mask_value"] == BY_BOTH)
    number = int(np.argmax(n_both))
    table = table[table["CR_number"] == number]
    total = max(t["CR_number"].max() for t in tables.values() if len(t))
    page = FeaturePage(images, options)
    title = f"Feature {number} of {total}: found by both methods"
    page.show(np.asarray(table["X_pixel"]) - 1, np.asarray(table["Y_pixel"]) - 1, title)
    return page.figure


def draw_differences(folder):
    """Flux factors and offsets of exposures that differ in both."""
    options = unequal_options(
        flux_factors=(0.8, 1.0, 1.2), shifts=((-0.5, 0.5), (0.0, 0.0), (0.5, -0.25))
    )
    exposures = simulate_fibre_exposures(options, seed=SEED)
    median = np.median(exposures.data, axis=0)
    noise = ExposureNoise.from_gain(1.0, READ_NOISE)
    figure = Figure(figsize=(13.9, 4.4), layout="constrained")
    plot_flux_factors(figure, measure_flux_factors(exposures.data, median, noise=noise), unit="e-")
    _save(folder / "mm_cosmic_flux_factors.png", figure, dpi=80)
    figure = Figure(figsize=(14, 9.25), layout="constrained")
    free = exposures.cosmic_ray_free
    offsets = measure_offsets(np.median(free, axis=0), free, REGION)
    plot_offsets(figure, offsets, origin=(REGION[0] - 1, REGION[2] - 1), unit="e-")
    _save(folder / "mm_cosmic_offsets.png", figure, dpi=80)


def _save(path, figure, *, dpi):
    """Write a PNG file of 256 colours, the rare ones among them: a third of the size."""
    figure.savefig(path, dpi=dpi, format="png")
    with Image.open(path) as image:
        few = image.convert("RGB").quantize(
            256, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE
        )
    few.save(path, optimize=True)


if __name__ == "__main__":
    main()
