"""The part of the demonstration in which cosmic rays are found in a simulated slew dark."""

import numpy as np
from astropy.table import Table

from crsteps.framework.references import packaged_file
from crsteps.simulation.nisp_files import write_bad_pixel_map, write_nisp_file, write_truth
from crsteps.simulation.slew_darks import SlewDarkOptions, simulate_slew_dark

SEED = 20260803
DETECTORS = ("DET11", "DET24", "DET33")
# Rows of the table: parameter file of the step.
_PARAMETER_FILES = {
    "hybrid": "pars-slewdarkcosmicsstep.asdf",
    "astroscrappy": "pars-slewdarkcosmicsstep-astroscrappy.asdf",
}
_SCORES = {"precision": "precision", "recall": "recall", "F1": "f1"}


def run_slew_dark_demo(folder, *, shape=(512, 512)):
    """
    Simulate a slew dark, find its cosmic rays through stpipe, and compare with the truth.

    Parameters
    ----------
    folder : Path
        Folder of input, products and figures; made if absent.
    shape : tuple of int, optional
        Shape ``(ny, nx)`` of the detectors.

    Returns
    -------
    astropy.table.Table
        For the default detector and for astroscrappy with the preset of the instrument team:
        hits, and precision, recall and F1 of the flagged pixels with their errors.
    """
    from crsteps.slew_dark.step import SlewDarkCosmicsStep

    inputs = folder / "exposure"
    inputs.mkdir(parents=True, exist_ok=True)
    options = SlewDarkOptions(shape=shape)
    darks = {
        name: simulate_slew_dark(options, seed=SEED + i, detector=name)
        for i, name in enumerate(DETECTORS)
    }
    path = write_nisp_file(inputs, darks)
    companions = {
        "bad_pixel_mask": str(write_bad_pixel_map(inputs / "bad_pixels.fits", darks)),
        "truth": str(write_truth(inputs / "truth.fits", darks)),
    }
    rows = []
    for name, file_name in _PARAMETER_FILES.items():
        result = SlewDarkCosmicsStep.call(
            str(path),
            config_file=str(packaged_file(file_name)),
            **companions,
            save_results=True,
            save_figures=name == "hybrid",
            output_dir=str(folder / name),
            configure_log=False,
        )
        rows.append({"detector": name, **_scores(result.statistics)})
    return Table(rows=rows)


def _scores(statistics):
    """Hits and scores of the whole exposure."""
    (row,) = statistics[np.asarray(statistics["level"], dtype=str) == "exposure"]
    scores = {"hits": int(row["n_clusters"])}
    for name, column in _SCORES.items():
        scores |= {name: float(row[column]), f"{name} error": float(row[f"{column}_error"])}
    return scores
