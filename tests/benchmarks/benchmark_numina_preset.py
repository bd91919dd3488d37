"""One YAML file of numina-crmasks run by numina-crmasks and by crsteps: masks and costs.

Simulates three equal exposures of a fibre-fed spectrograph, bias 0 and gain 1, writes a file with
the values of the peer's documented example for each method, runs ``numina-crmasks FILE`` and
``crsteps run FILE``, each as a whole process with one thread, and prints tables in Markdown: how
many pixels of each of the peer's masks are in ours and how many are in ours alone, and what both
cost. "mm alone" is mm_lacosmic with a threshold that finds nothing, since the peer has no name for
the median-minimum diagram without a detector of single images.

    python tests/benchmarks/benchmark_numina_preset.py --peer-python /path/to/peer/bin/python
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits
from benchmark_mm_cosmic import PEER_REQUIREMENTS, SCENES, SEED, subfolder
from measured_process import Cost, run_measured

from crsteps.simulation.fibre_spectrograph import simulate_fibre_exposures
from crsteps.simulation.fits_exposures import write_fits_exposures

METHODS = {
    "mm alone": {"crmethod": "mm_lacosmic", "la_sigclip": [1e9, 1e9]},
    "mm_lacosmic": {"crmethod": "mm_lacosmic"},
    "mm_pycosmic": {"crmethod": "mm_pycosmic"},
    "mm_lacosmic, mm_dilation 0": {"crmethod": "mm_lacosmic", "mm_dilation": 0},
    "mm_pycosmic, mm_dilation 0": {"crmethod": "mm_pycosmic", "mm_dilation": 0},
}
EQUAL_SCENES = tuple(name for name in SCENES if name.startswith("equal"))


@dataclass(frozen=True)
class Run:
    """Masks that one program made, and its cost."""

    masks: dict[str, np.ndarray]
    cost: Cost


def write_settings(path, paths, options, method):
    """Write the YAML file that both programs read."""
    content = {
        "images": [str(image) for image in paths],
        "extnum": 0,
        "gain": options.gain,
        "rnoise": options.read_noise / options.gain,
        "bias": options.bias,
        "requirements": PEER_REQUIREMENTS | METHODS[method],
    }
    path.write_text(json.dumps(content, indent=1), encoding="utf-8")  # JSON is YAML


def run_both(settings, peer_python, folder):
    """Run both programs on one file, ours first."""
    peer_python = Path(peer_python)
    commands = {
        "crsteps": [Path(sys.executable).parent / "crsteps", "run", settings, "--output-dir"],
        "numina": [peer_python, peer_python.parent / "numina-crmasks", settings, "--output_dir"],
    }
    runs = {}
    for program, command in commands.items():
        place = subfolder(folder, program)
        cost = run_measured([*command, place], log=place / "log.txt")
        print(f"  {program}: {cost}", file=sys.stderr, flush=True)
        runs[program] = Run(read_masks(place), cost)
    return runs


def read_masks(folder):
    """Masks by name from the only file of masks in a folder; those of the exposures in one."""
    (path,) = folder.glob("*crmasks.fits")
    with fits.open(path) as hdus:
        masks = {
            name: hdus[name].data != 0 for name in ("MEDIANCR", "MEANCRT", "MEANCR") if name in hdus
        }
        numbers = sorted(int(h.name[6:]) for h in hdus if h.name.startswith("CRMASK"))
        masks["CRMASKi"] = np.array([hdus[f"CRMASK{number}"].data != 0 for number in numbers])
    return masks


def agreement_table(runs):
    """Lines of the table of masks; `runs` maps (scene, method) to both programs' runs."""
    yield "| scene | method | mask | numina | found | share | in crsteps alone"
    yield "| --- | --- | --- | --- | --- | --- | ---"
    for (scene, method), both in runs.items():
        for name in ("MEDIANCR", "MEANCRT", "CRMASKi", "MEANCR"):
            ours, theirs = both["crsteps"].masks[name], both["numina"].masks[name]
            total, found = np.count_nonzero(theirs), np.count_nonzero(ours & theirs)
            share = f"{100 * found / total:.2f} %" if total else ""
            alone = np.count_nonzero(ours & ~theirs)
            yield f"| {scene} | {method} | {name} | {total} | {found} | {share} | {alone}"


def costs_table(runs):
    """Lines of the table of costs."""
    yield "| scene | method | CPU s numina | CPU s crsteps | ratio | MiB numina | MiB crsteps"
    yield "| --- | --- | --- | --- | --- | --- | ---"
    for (scene, method), both in runs.items():
        theirs, ours = (both[program].cost for program in ("numina", "crsteps"))
        yield (
            f"| {scene} | {method} | {theirs.cpu_seconds:.1f} | {ours.cpu_seconds:.1f} | "
            f"{ours.cpu_seconds / theirs.cpu_seconds:.3f} | {theirs.peak_mib:.0f} | "
            f"{ours.peak_mib:.0f}"
        )


def main():
    """Run everything and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer-python", help="interpreter of an environment with numina 0.40")
    parser.add_argument("--scenes", nargs="+", choices=EQUAL_SCENES, default=list(EQUAL_SCENES))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS)[:3])
    parser.add_argument("--seeds", nargs="+", type=int, default=[SEED])
    parser.add_argument("--keep", type=Path, help="new folder for files and logs")
    arguments = parser.parse_args()
    if not arguments.peer_python:
        parser.error("--peer-python is needed: the peer is what is compared with")
    runs = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.keep or Path(temporary)
        for scene in arguments.scenes:
            for seed in arguments.seeds:
                exposures = simulate_fibre_exposures(SCENES[scene], seed=seed)
                label = scene if len(arguments.seeds) == 1 else f"{scene}, seed {seed}"
                place = folder / label.replace(" ", "_")
                place.mkdir(parents=True)
                # Floating point, for integers would clip the negative half of the noise.
                paths = write_fits_exposures(exposures, place, integers=False)
                for number, method in enumerate(arguments.methods):
                    print(f"running {label}, {method}", file=sys.stderr, flush=True)
                    settings = place / f"settings{number}.yaml"
                    write_settings(settings, paths, exposures.options, method)
                    runs[label, method] = run_both(
                        settings, arguments.peer_python, subfolder(place, f"method{number}")
                    )
    for table in (agreement_table(runs), costs_table(runs)):
        print(*(f"{line} |" for line in table), sep="\n", end="\n\n")


if __name__ == "__main__":
    main()
