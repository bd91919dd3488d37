"""deepCR and Cosmic-CoNN in crsteps and by their packages' own calls: what is found, at what cost.

Simulates one exposure of a fibre-fed spectrograph with a fixed seed, gives it to the detectors
``deepcr`` and ``conn`` of crsteps and to ``deepCR.clean`` and ``detect_cr`` of the packages, each
in a process of its own with one thread, and prints a table in Markdown. A positive is a charge of
more than three standard deviations of the noise; charges between 0.3 and 3 standard deviations are
not scored. Needs the extras ``deepcr`` and ``conn``.

    python tests/benchmarks/benchmark_networks.py
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
from measured_process import Cost, run_measured

from crsteps.simulation.fibre_spectrograph import equal_options, simulate_fibre_exposures
from crsteps.simulation.scoring import Score, score_masks

SEED = 20260212
NETWORKS = {
    "deepcr ACS-WFC": ("deepcr", "ACS-WFC"),
    "deepcr WFC3-UVIS": ("deepcr", "WFC3-UVIS"),
    "conn ground_imaging": ("conn", "ground_imaging"),
    "conn NRES": ("conn", "NRES"),
    "conn HST_ACS_WFC": ("conn", "HST_ACS_WFC"),
}
PROGRAMS = ("crsteps", "package")
THRESHOLD = 0.5


@dataclass(frozen=True)
class Outcome:
    """What one program made of the exposure."""

    mask: np.ndarray
    score: Score
    call_seconds: float
    cost: Cost


# --- in a process of its own ------------------------------------------------------------------


def detect_and_store(program, method, model, read_noise, folder):
    """Find cosmic rays in a stored image; write the mask, and the CPU time of the calls alone."""
    image = np.load(folder / "image.npy")
    detect = {
        ("crsteps", "deepcr"): _crsteps_deepcr,
        ("crsteps", "conn"): _crsteps_conn,
        ("package", "deepcr"): _own_deepcr,
        ("package", "conn"): _own_conn,
    }[program, method]
    run = detect(model, read_noise)
    start = time.process_time()
    mask = run(image)
    seconds = time.process_time() - start
    np.save(folder / "mask.npy", mask)
    (folder / "report.json").write_text(json.dumps(seconds), encoding="utf-8")


# Each imports and returns a function that loads the weights and finds cosmic rays.


def _crsteps_deepcr(model, read_noise):
    import torch  # noqa: F401  imported by the packages too before the clock starts

    from crsteps.cosmic_rays.deepcr import DeepcrOptions, detect_deepcr

    options = DeepcrOptions(mask=model, threshold=THRESHOLD)
    noise = {"read_variance": read_noise**2, "poisson_factor": 1.0}
    return lambda image: detect_deepcr(image, **noise, options=options).mask


def _crsteps_conn(model, read_noise):
    import torch  # noqa: F401

    from crsteps.cosmic_rays.conn import ConnOptions, detect_conn

    options = ConnOptions(model=model, threshold=THRESHOLD)
    noise = {"read_variance": read_noise**2, "poisson_factor": 1.0}
    return lambda image: detect_conn(image, **noise, options=options).mask


def _own_deepcr(model, read_noise):
    from deepCR import deepCR

    # with a cleaned image, which crsteps gives too
    return lambda image: deepCR(mask=model).clean(image, threshold=THRESHOLD, inpaint=True)[0] > 0


def _own_conn(model, read_noise):
    from cosmic_conn import init_model

    return lambda image: init_model(model).detect_cr(image) > THRESHOLD


# --- all of them ------------------------------------------------------------------------------


def run_program(program, name, exposures, folder) -> Outcome:
    """Run one program on the first exposure and score its mask."""
    place = folder / f"{program} {name}".replace(" ", "_")
    place.mkdir()
    np.save(place / "image.npy", exposures.data[0])
    read_noise = str(exposures.options.read_noise)
    command = [sys.executable, "-W", "ignore", __file__]
    command += ["--one", program, *NETWORKS[name], read_noise, place]
    cost = run_measured(command, log=place / "log.txt")
    print(f"  {program} {name}: {cost}", file=sys.stderr, flush=True)
    mask = np.load(place / "mask.npy")
    return Outcome(
        mask=mask,
        score=score_masks(mask[np.newaxis], exposures.charge[:1], exposures.noise[:1]),
        call_seconds=json.loads((place / "report.json").read_text(encoding="utf-8")),
        cost=cost,
    )


def table(outcomes):
    """Lines of the table; `outcomes` maps names of networks to outcomes of the programs."""
    yield (
        "| network | program | recall / precision / F1 | far | other pixels | CPU s | ratio | "
        "peak MiB | ratio |"
    )
    yield "| --- " * 9 + "|"
    for name, by_program in outcomes.items():
        own = by_program["package"]
        for program, outcome in by_program.items():
            score, mib = outcome.score, outcome.cost.peak_mib
            cells = [
                name,
                program,
                f"{score.recall:.3f} / {score.precision:.3f} / {score.f1:.3f}",
                f"{score.n_false_far}",
                f"{np.count_nonzero(outcome.mask != own.mask)} of {np.count_nonzero(own.mask)}",
                f"{outcome.call_seconds:.1f}",
                f"{outcome.call_seconds / own.call_seconds:.2f}",
                f"{mib:.0f}",
                f"{mib / own.cost.peak_mib:.2f}",
            ]
            yield f"| {' | '.join(cells)} |"


def main():
    """Run everything and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", nargs=2, type=int, default=(2016, 1596), metavar=("NY", "NX"))
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--one", nargs=5, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        program, method, model, read_noise, folder = arguments.one
        detect_and_store(program, method, model, float(read_noise), Path(folder))
        return
    exposures = simulate_fibre_exposures(
        equal_options(shape=tuple(arguments.shape)), seed=arguments.seed
    )
    with tempfile.TemporaryDirectory() as folder:
        outcomes = {
            name: {
                program: run_program(program, name, exposures, Path(folder)) for program in PROGRAMS
            }
            for name in arguments.networks
        }
    print(*table(outcomes), sep="\n")


if __name__ == "__main__":
    main()
