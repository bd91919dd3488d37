"""Demonstration: exposures are simulated, cleaned through stpipe, and compared with the truth."""

import logging
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table

from crsteps.simulation.fibre_spectrograph import (
    equal_options,
    simulate_fibre_exposures,
    unequal_options,
)
from crsteps.simulation.fits_exposures import write_fits_exposures
from crsteps.simulation.scoring import rms_error, score_masks
from crsteps.simulation.slew_darks import TRUE_CHARGE
from crsteps.verification.demo_flicker import run_flicker_demo
from crsteps.verification.demo_slew_dark import run_slew_dark_demo

SEED = 20260801
BIAS = 100.0  # ADU: the noise around zero signal is not cut off in unsigned integers
# Column titles of the table and the quantities in it.
_COLUMNS = {
    "exposures": "{}",
    "mask": "{}",
    "pixels hit": "{:d}",
    "found": "{:.1%}",
    "of the flagged right": "{:.1%}",
    "false, far from any hit": "{:d}",
}


def run_demo(output_dir, *, shape=(512, 512)):
    """
    Simulate exposures, mask and combine them, and compare with the truth.

    Two sets of three exposures of a fibre spectrograph are made, one of equivalent exposures and
    one in which flux, position and the fibres' throughput differ; and a near-infrared ramp with
    flicker noise.

    Parameters
    ----------
    output_dir : str or Path
        Folder of inputs, products, figures and table; made if absent.
    shape : tuple of int, optional
        Shape ``(ny, nx)`` of the exposures.

    Returns
    -------
    masks, images, flicker, darks : astropy.table.Table
        Masks against truth, noise of the combined images, flicker noise before and after, and
        cosmic rays of the slew dark against truth. They are printed, and written as
        ``masks.ecsv``, ``combined.ecsv``, ``flicker.ecsv`` and ``slew_dark.ecsv``.
    """
    folder = Path(output_dir).resolve()
    masks, images = [], []
    sets = {
        "equal": equal_options(shape=shape, bias=BIAS),
        "unequal": unequal_options(shape=shape, bias=BIAS),
    }
    for name, options in sets.items():
        truth = simulate_fibre_exposures(options, seed=SEED)
        result, products = _run_step(truth, folder / name)
        masks += _mask_rows(name, truth, result)
        images.append(_image_row(name, truth, products))
        _draw(truth, result, products)
        print(f"{name} exposures: figures, masks and combined images in {products}")
    flicker_folder = folder / "flicker"
    flicker_folder.mkdir(parents=True, exist_ok=True)
    with _logged_to(flicker_folder / "run.log"):
        flicker = run_flicker_demo(flicker_folder, shape=shape)
    print(f"ramp with flicker noise: cleaned ramp and figure in {flicker_folder}")
    dark_folder = folder / "slew_dark"
    dark_folder.mkdir(parents=True, exist_ok=True)
    with _logged_to(dark_folder / "run.log"):
        darks = run_slew_dark_demo(dark_folder, shape=shape)
    print(f"slew dark: masks, cleaned images, clusters and figures in {dark_folder}")
    tables = Table(rows=masks), Table(rows=images), flicker, darks
    names = ("masks.ecsv", "combined.ecsv", "flicker.ecsv", "slew_dark.ecsv")
    for file_name, table in zip(names, tables, strict=True):
        table.write(folder / file_name, format="ascii.ecsv", overwrite=True)
    _print_tables(*tables)
    print(f"\nEverything is in {folder}")
    return tables


def _run_step(truth, folder):
    """Write the exposures and run the step on them; return its result and the products' folder."""
    from crsteps.mm_cosmic.step import MMCosmicStep

    inputs, products = folder / "exposures", folder / "products"
    inputs.mkdir(parents=True, exist_ok=True)
    paths = [str(path) for path in write_fits_exposures(truth, inputs)]
    with _logged_to(folder / "run.log"):
        result = MMCosmicStep.call(
            paths,
            bias=BIAS,
            save_results=True,
            output_dir=str(products),
            configure_log=False,
        )
    return result, products


@contextmanager
def _logged_to(path):
    """Send the log to a file: the terminal is for the results."""
    handler = logging.FileHandler(path, mode="w", encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger = logging.getLogger("crsteps")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        handler.close()


def _mask_rows(name, truth, result):
    """Rows of the table: the mask of the median, and those of the exposures together."""
    sigma = truth.noise
    scores = {
        "MEDIANCR": score_masks(result.mediancr, truth.charge, sigma, n_required=2),
        "CRMASK1..3": score_masks(result.exposure_masks, truth.charge, sigma),
    }
    values = ("n_true", "recall", "precision", "n_false_far")
    return [
        dict(zip(_COLUMNS, (name, mask, *(getattr(score, v) for v in values)), strict=True))
        for mask, score in scores.items()
    ]


def _image_row(name, truth, products):
    """Rms difference from the noise-free scene, in electrons, of each combined image."""
    free = (truth.cosmic_ray_free - np.float32(BIAS)) * truth.options.gain
    row = {"exposures": name}
    for kind in ("mean", "median", "mediancr", "meancrt", "meancr", "meancr2"):
        combined = fits.getdata(products / f"exposure_combined_{kind}.fits")
        row[kind] = rms_error(combined * truth.options.gain, truth.mean_scene)
    row["mean without cosmic rays"] = rms_error(free.mean(axis=0), truth.mean_scene)
    return row


def _draw(truth, result, products):
    """Cut-outs around the pixels that two exposures have most charge in."""
    from crsteps.mm_cosmic.figures import plot_cutouts

    second = np.sort(truth.charge, axis=0)[-2]
    centres = []
    for index in np.argsort(second, axis=None)[::-1]:
        y, x = np.unravel_index(index, second.shape)
        if all(max(abs(y - b), abs(x - a)) > 12 for b, a in centres):
            centres.append((int(y), int(x)))
        if len(centres) == 4:
            break
    images = {f"exposure {i}": image - BIAS for i, image in enumerate(truth.data, start=1)}
    outlines = dict(zip(images, result.exposure_masks, strict=True))
    outlines["median"] = result.mediancr
    for kind in ("median", "meancr2"):
        images[kind] = fits.getdata(products / f"exposure_combined_{kind}.fits")
    plot_cutouts(
        products / "cutouts.png",
        images=images,
        masks=outlines,
        centres=centres,
        unit="ADU",
        title="Two exposures hit in one pixel; outlined: CRMASK1..3, MEDIANCR",
    )


def _print_tables(masks, images, flicker, darks):
    print("\nMasks against the truth (hit: charge above 3 sigma of the noise)")
    _print_table({name: [form.format(v) for v in masks[name]] for name, form in _COLUMNS.items()})
    print("\nRms difference of the combined images from the scene without noise [electrons]")
    _print_table(
        {
            name: [v if name == "exposures" else f"{v:.2f}" for v in images[name]]
            for name in images.colnames
        }
    )
    print("\nRms of the flicker noise in the differences of groups of the ramp")
    _print_table(
        {
            name: [v if name == "pixels" else f"{v:.2f}" for v in flicker[name]]
            for name in flicker.colnames
        }
    )
    print(
        f"\nCosmic rays of the slew dark against the truth (pixels above {TRUE_CHARGE:g} electrons)"
    )
    _print_table(
        {"detector": list(darks["detector"]), "hits": [str(n) for n in darks["hits"]]}
        | {
            name: [f"{row[name]:.3f} ± {row[f'{name} error']:.3f}" for row in darks]
            for name in ("precision", "recall", "F1")
        }
    )


def _print_table(columns):
    widths = {name: max(map(len, (name, *cells))) for name, cells in columns.items()}
    rows = [list(columns), *zip(*columns.values(), strict=True)]
    for row in rows:
        print(
            "  ".join(f"{cell:>{width}}" for cell, width in zip(row, widths.values(), strict=True))
        )
