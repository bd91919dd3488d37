"""Costs of the benchmark of slew darks: whole commands, and clusters against skimage."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
from astropy.io import fits
from measured_process import run_measured

from crsteps.cosmic_rays.clusters import find_clusters
from crsteps.detector.nisp import DETECTORS
from crsteps.simulation.nisp_files import write_bad_pixel_map, write_nisp_file
from crsteps.simulation.slew_darks import simulate_slew_dark

RUNNER = Path(__file__).with_name("run_astroscrappy.py")
# Columns of clusters, and the same of skimage.
SAME = {
    "cluster": "label",
    "x": "centroid-1",
    "y": "centroid-0",
    "x_weighted": "centroid_weighted-1",
    "y_weighted": "centroid_weighted-0",
    "x_min": "bbox-1",
    "y_min": "bbox-0",
    "n_pixels": "area",
    "peak": "intensity_max",
    "major_axis": "axis_major_length",
    "minor_axis": "axis_minor_length",
}


def write_exposure(folder, options, *, seed, n_detectors=16):
    """Simulate an exposure; return the paths of the raw file and of its bad-pixel map."""
    darks = {
        name: simulate_slew_dark(options, seed=seed, detector=name)
        for name in DETECTORS[:n_detectors]
    }
    raw = write_nisp_file(folder, darks)
    return raw, write_bad_pixel_map(folder / "bad_pixels.fits", darks)


def run_command(raw, bad, folder, *, detector, jobs=1, detectors=()):
    """
    Run the step as a user does, from the file to all products; return its cost.

    Folder and products are removed, so that only one set of them needs room.
    """
    folder.mkdir()
    command = [
        Path(sys.executable).parent / "strun",
        "slew_dark_cosmics",
        raw,
        f"--bad_pixel_mask={bad}",
        "--save_results=true",
        f"--output_dir={folder}",
        f"--detector={detector}",
        f"--jobs={jobs}",
    ]
    if detectors:
        command.append(f"--detectors={','.join(detectors)}")
    log = folder / "log.txt"
    cost = asdict(run_measured(command, log=log))
    products = sorted(path.name[len(raw.stem) :] for path in folder.glob(f"{raw.stem}*"))
    cost["products"] = products
    (mask,) = folder.glob("*_crmask.fits")
    with fits.open(mask) as hdus:
        cost["flagged"] = sum(int(np.count_nonzero(hdu.data & 4)) for hdu in hdus[1:])
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    return cost


def run_astroscrappy(raw, bad, folder):
    """Run astroscrappy alone on the same file; return its cost, and that of its calls."""
    log = folder / "astroscrappy.txt"
    cost = asdict(run_measured([sys.executable, RUNNER, raw, bad], log=log))
    report = json.loads(log.read_text(encoding="utf-8").splitlines()[-1])
    return cost | {"calls": report["cpu_seconds"], "flagged": report["flagged"]}


def compare_clusters(mask, signal, *, repeats=3):
    """
    Measure clusters with crsteps and with skimage.

    Returns
    -------
    dict
        Number of clusters, best CPU seconds of either, labels and all columns included, and the
        largest difference in any column of `SAME`, of the bounding boxes, of the sums and, where it
        is defined, of the orientation (its sine).
    """
    from skimage.measure import label, regionprops_table

    properties = {name.split("-")[0] for name in SAME.values()} | {"orientation", "intensity_mean"}

    def theirs():
        return regionprops_table(label(mask, connectivity=2), signal, properties=properties)

    ours_seconds, ours = _best(lambda: find_clusters(mask, signal=signal).columns, repeats)
    theirs_seconds, other = _best(theirs, repeats)
    differences = {name: _largest(ours[name] - other[same]) for name, same in SAME.items()}
    differences["x_max"] = _largest(ours["x_max"] + 1 - other["bbox-3"])
    differences["y_max"] = _largest(ours["y_max"] + 1 - other["bbox-2"])
    total = other["intensity_mean"] * other["area"]
    differences["total"] = _largest((ours["total"] - total) / np.maximum(np.abs(total), 1))
    turn = ours["orientation"] - other["orientation"]
    differences["orientation"] = _largest(np.sin(turn[np.isfinite(ours["orientation"])]))
    return {
        "clusters": int(ours["cluster"].size),
        "crsteps": ours_seconds,
        "skimage": theirs_seconds,
        "differences": differences,
    }


def _best(function, repeats):
    """Least CPU seconds of several calls, and the result."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        result = function()
        times.append(time.process_time() - start)
    return min(times), result


def _largest(difference):
    return float(np.nanmax(np.abs(difference), initial=0.0))
