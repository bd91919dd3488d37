"""MM.Cosmic and numina-crmasks on the same simulated exposures: what is found, at what cost.

Simulates scenes of a fibre-fed spectrograph with fixed seeds, runs ``crsteps run mm_cosmic`` and,
where ``--peer-python`` names an interpreter with numina (and PyCosmic, deepCR or Cosmic-CoNN, for
the methods that need them), ``numina-crmasks`` on the same files, each as a whole process with one
thread, and prints tables in Markdown. A positive is a charge of more than three standard deviations
of the noise; charges between 0.3 and 3 standard deviations are not scored.

    python tests/benchmarks/benchmark_mm_cosmic.py --peer-python /path/to/peer/bin/python

Each crmethod of ``--crmethods`` is run by both programs: by crsteps with the null model, by numina
with its masks dilated once and not dilated (``mm_dilation`` of methods with MM.Cosmic, ``dilation``
of the others). The methods of crsteps with MM.Cosmic are also run with ``aux_combination=odds``.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits
from measured_process import Cost, run_measured

from crsteps.simulation.fibre_spectrograph import (
    equal_options,
    simulate_fibre_exposures,
    unequal_options,
)
from crsteps.simulation.fits_exposures import write_fits_exposures
from crsteps.simulation.scoring import Score, rms_error, score_masks

SMALL, LARGE = (512, 512), (2016, 1596)
SEED = 20260212
SCENES = {
    "equal 512x512": equal_options(shape=SMALL),
    "unequal 512x512": unequal_options(shape=SMALL),
    "equal 2016x1596": equal_options(shape=LARGE),
    "unequal 2016x1596": unequal_options(shape=LARGE),
}
COMBINATIONS = ("mean", "median", "min", "mediancr", "meancrt", "meancr", "meancr2")
CRMETHODS = (
    "lacosmic",
    "pycosmic",
    "deepcr",
    "conn",
    "mm_lacosmic",
    "mm_pycosmic",
    "mm_deepcr",
    "mm_conn",
)
DEFAULT_CRMETHODS = ["lacosmic", "pycosmic", "mm_lacosmic", "mm_pycosmic"]
# The values of the peer's documented example; its functions have other defaults for some of them.
PEER_REQUIREMENTS = {
    "use_auxmedian": False,
    "interactive": False,
    "flux_factor": "none",
    "apply_flux_factor_to": "simulated",
    "dilation": 0,
    "verify_cr": False,
    "semiwindow": 15,
    "color_scale": "zscale",
    "maxplots": 0,  # a plot of each feature would dominate the time
    "la_gain_apply": True,
    "la_sigclip": [5.0, 3.0],
    "la_sigfrac": [0.3, 0.3],
    "la_objlim": [5.0, 5.0],
    "la_satlevel": 65535.0,
    "la_niter": 4,
    "la_sepmed": True,
    "la_cleantype": "meanmask",
    "la_fsmode": "convolve",
    "la_psfmodel": "gaussxy",
    "la_psffwhm_x": 2.5,
    "la_psffwhm_y": 2.5,
    "la_psfsize": 11,
    "la_psfbeta": 4.765,
    "la_verbose": False,
    "la_padwidth": 10,
    "pc_sigma_det": [5.0, 3.0],
    "pc_rlim": [1.2, 1.2],
    "pc_iterations": 5,
    "pc_fwhm_gauss_x": 2.5,
    "pc_fwhm_gauss_y": 2.5,
    "pc_replace_box_x": 5,
    "pc_replace_box_y": 5,
    "pc_replace_error": 1.0e6,
    "pc_increase_radius": 0,
    "pc_verbose": False,
    "dc_mask": "ACS-WFC",
    "dc_threshold": 0.5,
    "dc_verbose": False,
    "nn_model": "ground_imaging",
    "nn_threshold": 0.5,
    "nn_verbose": False,
    "mm_cr_coincidences": 2,
    "mm_photon_distribution": "poisson",
    "mm_nbinom_shape": 10,
    "mm_synthetic": "median",
    "mm_hist2d_min_neighbors": 0,
    "mm_ydiag_max": 0,
    "mm_dilation": 1,
    "mm_boundary_fit": "spline",
    "mm_knots_splfit": 5,
    "mm_nsimulations": 10,
    "mm_niter_boundary_extension": 5,
    "mm_weight_boundary_extension": 2,
    "mm_threshold_rnoise": 3.0,
    "mm_minimum_max2d_rnoise": 5.0,
    "mm_seed": 123456,
}


@dataclass(frozen=True)
class Outcome:
    """What one program found on one scene, and its cost."""

    program: str
    crmethod: str
    cost: Cost
    median_score: Score
    exposure_score: Score
    rms: dict[str, float]


# --- the programs -----------------------------------------------------------------------------


def run_crsteps(crmethod, combination, paths, exposures, folder) -> Outcome:
    """Run ``crsteps run mm_cosmic`` on files and read its products."""
    options = exposures.options
    parameters = {
        "gain": options.gain,
        "rnoise": options.read_noise / options.gain,
        "crmethod": crmethod,
        "aux_combination": combination,
    }
    command = [Path(sys.executable).parent / "crsteps", "run", "mm_cosmic", *paths]
    for name, value in parameters.items():
        command += ["--param", f"{name}={value}"]
    cost = run_measured([*command, "--output-dir", folder], log=folder / "log.txt")
    how = " (odds)" if combination == "odds" else ""
    return judge(f"crsteps {crmethod}{how}", crmethod, cost, exposures, folder)


def run_peer(crmethod, dilation, arguments, paths, exposures, folder) -> Outcome:
    """Run ``numina-crmasks`` on files and read its products."""
    options = exposures.options
    settings = folder / "settings.yaml"
    which = "mm_dilation" if crmethod.startswith("mm_") else "dilation"
    content = {
        "images": [str(path) for path in paths],
        "extnum": 0,
        "gain": options.gain,
        "rnoise": options.read_noise / options.gain,
        "bias": options.bias,
        "requirements": PEER_REQUIREMENTS | {"crmethod": crmethod, which: dilation},
    }
    settings.write_text(json.dumps(content, indent=1), encoding="utf-8")  # JSON is YAML
    program = arguments.peer_program or Path(arguments.peer_python).parent / "numina-crmasks"
    command = [arguments.peer_python, program, settings, "--output_dir", folder]
    cost = run_measured(command, log=folder / "log.txt")
    return judge(f"numina {crmethod}, {which} {dilation}", crmethod, cost, exposures, folder)


def judge(program, crmethod, cost, exposures, folder) -> Outcome:
    """Score the masks and combined images in a folder."""
    print(f"  {program}: {cost}", file=sys.stderr, flush=True)
    median_mask, exposure_masks = read_masks(folder)
    rms = {}
    for name in COMBINATIONS:
        found = sorted(folder.glob(f"*combined_{name}.fits"))
        if found:
            rms[name] = rms_error(read_image(found[0]), exposures.mean_scene)
    return Outcome(
        program=program,
        crmethod=crmethod,
        cost=cost,
        median_score=score_masks(median_mask, exposures.charge, exposures.noise, n_required=2),
        exposure_score=score_masks(exposure_masks, exposures.charge, exposures.noise),
        rms=rms,
    )


def read_masks(folder):
    """Mask of the median and masks of the exposures from the only file of masks in a folder."""
    (path,) = folder.glob("*crmasks.fits")
    with fits.open(path) as hdus:
        numbers = sorted(int(h.name[6:]) for h in hdus if h.name.startswith("CRMASK"))
        masks = np.array([hdus[f"CRMASK{number}"].data != 0 for number in numbers])
        return hdus["MEDIANCR"].data != 0, masks


def read_image(path):
    """Image in the primary array, or in the extension SCI."""
    with fits.open(path) as hdus:
        hdu = hdus[0] if hdus[0].data is not None else hdus["SCI"]
        return np.asarray(hdu.data, dtype=np.float64)


# --- arrays in, arrays out --------------------------------------------------------------------


def run_on_arrays(exposures, folder) -> dict:
    """Time the masks alone, in a process of their own that has the exposures in memory."""
    stack = folder / "stack.npy"
    np.save(stack, exposures.data)
    report = folder / "report.json"
    noise = (exposures.options.gain, exposures.options.read_noise / exposures.options.gain)
    command = [sys.executable, __file__, "--arrays", stack, *map(str, noise), report]
    cost = run_measured(command, log=folder / "log.txt")
    # The time is that of the call alone; the memory that of the process with its imports.
    return json.loads(report.read_text(encoding="utf-8")) | {"peak_mib": cost.peak_mib}


def find_in_arrays(stack, gain, read_noise, report):
    """Find cosmic rays in a stored stack and write the time of that alone."""
    from crsteps.detector.noise import ExposureNoise
    from crsteps.mm_cosmic.masks import find_cosmic_rays

    exposures = np.load(stack)
    noise = ExposureNoise.from_gain(float(gain), float(read_noise))
    cpu, wall = time.process_time(), time.perf_counter()
    find_cosmic_rays(exposures, noise=noise)
    result = {
        "cpu_seconds": time.process_time() - cpu,
        "wall_seconds": time.perf_counter() - wall,
    }
    Path(report).write_text(json.dumps(result), encoding="utf-8")


# --- false pixels -----------------------------------------------------------------------------


def false_pixel_rows(asked=(1.0, 10.0, 100.0), n_seeds=10):
    """Rows of the table of false pixels: mean number found per mask far from any cosmic ray."""
    from crsteps.detector.noise import ExposureNoise
    from crsteps.mm_cosmic.masks import MMCosmicOptions, find_cosmic_rays

    for name in ("equal 512x512", "unequal 512x512"):
        for number in asked:
            counts = []
            for seed in range(n_seeds):
                exposures = simulate_fibre_exposures(SCENES[name], seed=SEED + 1 + seed)
                options = exposures.options
                result = find_cosmic_rays(
                    exposures.data,
                    noise=ExposureNoise.from_gain(options.gain, options.read_noise / options.gain),
                    options=MMCosmicOptions(false_pixels=number),
                )
                truth = exposures.charge, exposures.noise
                everywhere = np.ones(options.shape, dtype=bool)
                counts.append(
                    [
                        score_masks(everywhere, *truth).n_false_far / everywhere.size,
                        score_masks(result.mediancr, *truth, n_required=2).n_false_far,
                        score_masks(result.exposure_masks, *truth).n_false_far
                        / options.n_exposures,
                    ]
                )
            far, median, single = np.mean(counts, axis=0)
            yield f"{name} | {number:g} | {number * far:.3g} | {median:.3g} | {single:.3g}"


# --- tables -----------------------------------------------------------------------------------


def scores_table(scenes):
    """Lines of the table of masks; `scenes` maps names to outcomes."""
    yield "| scene | program | MEDIANCR recall / precision / F1 | CRMASKi recall / precision / F1"
    yield "| --- | --- | --- | ---"
    for scene, (_, outcomes) in scenes.items():
        for outcome in outcomes:
            cells = [
                f"{score.recall:.3f} / {score.precision:.3f} / {score.f1:.3f}"
                f" ({score.n_false_far} far)"
                for score in (outcome.median_score, outcome.exposure_score)
            ]
            yield f"| {scene} | {outcome.program} | {cells[0]} | {cells[1]}"


def rms_table(scenes):
    """Lines of the table of combined images."""
    yield f"| scene | program | {' | '.join(COMBINATIONS)}"
    yield "| --- | --- " + "| --- " * len(COMBINATIONS)
    for scene, (exposures, outcomes) in scenes.items():
        free, truth = exposures.cosmic_ray_free, exposures.mean_scene
        floors = {
            "mean": rms_error(free.mean(axis=0), truth),
            "median": rms_error(np.median(free, axis=0), truth),
        }
        for program, rms in [("no cosmic rays", floors), *((o.program, o.rms) for o in outcomes)]:
            cells = [f"{rms[name]:.3f}" if name in rms else "" for name in COMBINATIONS]
            yield f"| {scene} | {program} | {' | '.join(cells)}"


def methods_table(scenes):
    """Lines of the table of crmethods: F1 against the peer's better one."""
    sides = "crsteps or / odds | numina dilated / not | above the better by"
    yield f"| scene | crmethod | MEDIANCR F1: {sides} | CRMASKi F1: {sides}"
    yield "| --- | --- " + "| --- " * 6
    for scene, (_, outcomes) in scenes.items():
        for crmethod in dict.fromkeys(outcome.crmethod for outcome in outcomes):
            cells = []
            for mask in ("median_score", "exposure_score"):
                ours, peers = (
                    [
                        getattr(outcome, mask).f1
                        for outcome in outcomes
                        if outcome.crmethod == crmethod and outcome.program.startswith(name)
                    ]
                    for name in ("crsteps", "numina")
                )
                above = f"{min(ours) - max(peers):+.3f}" if ours and peers else ""
                cells += [" / ".join(f"{value:.3f}" for value in group) for group in (ours, peers)]
                cells.append(above)
            yield f"| {scene} | {crmethod} | {' | '.join(cells)}"


def costs_table(scenes, arrays):
    """Lines of the table of costs; ratios to the peer's cheaper run with the same crmethod."""
    yield "| scene | program | CPU s | wall s | peak MiB | CPU / numina | MiB / numina"
    yield "| --- | --- | --- | --- | --- | --- | ---"
    for scene, (_, outcomes) in scenes.items():
        peers = {}
        for outcome in outcomes:
            if outcome.program.startswith("numina"):
                costs = [outcome.cost, *filter(None, [peers.get(outcome.crmethod)])]
                peers[outcome.crmethod] = min(costs, key=lambda cost: cost.cpu_seconds)
        rows = [(o.program, vars(o.cost), peers.get(o.crmethod)) for o in outcomes]
        if arrays.get(scene):
            rows.append(("crsteps, masks by mmcosmic, arrays in and out", arrays[scene], None))
        for program, cost, peer in rows:
            cpu, wall, mib = (cost[n] for n in ("cpu_seconds", "wall_seconds", "peak_mib"))
            ratios = " | "
            if peer and program.startswith("crsteps"):
                ratios = f"{cpu / peer.cpu_seconds:.3f} | {mib / peer.peak_mib:.3f}"
            yield f"| {scene} | {program} | {cpu:.2f} | {wall:.2f} | {mib:.0f} | {ratios}"


# --- the script -------------------------------------------------------------------------------


def run_scene(name, arguments, folder):
    """Run the programs on one scene."""
    exposures = simulate_fibre_exposures(SCENES[name], seed=arguments.seed)
    place = folder / name.replace(" ", "_")
    place.mkdir(parents=True)
    # Floating point, for integers would clip the negative half of the noise at a bias of zero.
    paths = write_fits_exposures(exposures, place, integers=False)
    outcomes, arrays = [], None
    if not arguments.peer_only:
        arrays = run_on_arrays(exposures, subfolder(place, "arrays"))
        for crmethod in ("mmcosmic", *arguments.crmethods):
            ways = ("or", "odds") if crmethod.startswith("mm_") else ("or",)
            for way in ways:
                own = subfolder(place, f"crsteps_{crmethod}_{way}")
                outcomes.append(run_crsteps(crmethod, way, paths, exposures, own))
    for crmethod in arguments.crmethods if arguments.peer_python else []:
        for dilation in arguments.peer_dilations:
            peer = subfolder(place, f"numina_{crmethod}_{dilation}")
            outcomes.append(run_peer(crmethod, dilation, arguments, paths, exposures, peer))
    return (exposures, outcomes), arrays


def subfolder(folder, name):
    """Make a new folder and return it."""
    path = folder / name
    path.mkdir()
    return path


def main():
    """Run everything and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer-python", help="interpreter of an environment with numina 0.40")
    parser.add_argument("--peer-only", action="store_true", help="leave crsteps out")
    parser.add_argument("--scenes", nargs="+", choices=SCENES, default=list(SCENES))
    parser.add_argument("--peer-program", help="script that calls numina-crmasks in its place")
    parser.add_argument("--peer-dilations", nargs="+", type=int, default=[1, 0])
    parser.add_argument("--crmethods", nargs="+", choices=CRMETHODS, default=DEFAULT_CRMETHODS)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--false-seeds", type=int, default=20, help="0: no table of false pixels")
    parser.add_argument("--keep", type=Path, help="new folder for files and logs")
    parser.add_argument("--arrays", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.arrays:
        find_in_arrays(*arguments.arrays)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.keep or Path(temporary)
        scenes, arrays = {}, {}
        for name in arguments.scenes:
            print(f"running {name}", file=sys.stderr, flush=True)
            scenes[name], arrays[name] = run_scene(name, arguments, folder)
    tables = methods_table(scenes), scores_table(scenes), rms_table(scenes)
    for table in (*tables, costs_table(scenes, arrays)):
        print(*(f"{line} |" for line in table), sep="\n", end="\n\n")
    if arguments.false_seeds and not arguments.peer_only:
        print("| scene | asked | expected far from cosmic rays | MEDIANCR | mean of CRMASKi |")
        print("| --- | --- | --- | --- | --- |")
        for row in false_pixel_rows(n_seeds=arguments.false_seeds):
            print(f"| {row} |", flush=True)


if __name__ == "__main__":
    main()
