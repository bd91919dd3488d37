"""Persistence: integrals, fits, corrections, what they cost, and cosmic rays on corrected darks.

Parts: integrals (against scipy's quadrature and sums over frames), fits (pulls, prediction of the
next dark), curve_fit (a full detector against scipy on a sample, in a process of its own),
corrections (slew darks with references that are right and wrong), detection (cosmic rays before
and after), ramps (costs against copying), history (many exposures, each task a process). Prints
tables in Markdown.

    python tests/benchmarks/benchmark_persistence.py --results outcomes.json

With ``--results`` what the file holds is not measured again.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from measured_process import run_measured
from persistence_cases import REFERENCES, SCENES, compare_correction, score_detectors
from persistence_costs import measure_ramp
from persistence_fits import SERIES, measure_pulls
from persistence_integrals import compare_groups, compare_integrals
from persistence_tables import (
    correction_table,
    correction_target_table,
    detection_table,
    fit_cost_table,
    fit_target_table,
    history_table,
    integral_table,
    prediction_table,
    pull_table,
    ramp_table,
)
from slew_dark_cases import Results

from crsteps.simulation.persistence_series import simulate_dark_series

HERE = Path(__file__).parent
SEEDS = (101, 102, 103, 104, 105)
PARTS = ("integrals", "fits", "curve_fit", "corrections", "detection", "ramps", "history")
THRESHOLDS = (0.1, 0.03, 0.01)
DETECTORS = ("hybrid", "astroscrappy")
# Parts of the pixels that are affected, and whether in discs.
FRACTIONS = (
    *((fraction, False) for fraction in (1.0, 0.1, 0.01, 0.001)),
    *((fraction, True) for fraction in (0.1, 0.01, 0.001)),
)
# Numbers of exposures, and the charge of their sky in e-: with 400 e- every pixel is remembered.
HISTORIES = ((10, 100.0), (100, 100.0), (10, 400.0), (30, 400.0))


class Bench:
    """Measures what is not known yet, and keeps it."""

    def __init__(self, arguments):
        self.size, self.fit_size, self.seeds = arguments.size, arguments.fit_size, arguments.seeds
        self.dark_size = arguments.dark_size
        self.full_size, self.sample = arguments.full_size, arguments.sample
        self.repeats, self.histories = arguments.repeats, arguments.histories
        self.results = Results(arguments.results)

    def _once(self, measure, *key):
        """Known value of a key, or what `measure` returns."""
        value = self.results.get(*key)
        if value is None:
            value = measure()
            self.results.put(value, *key)
            print(*key, file=sys.stderr, flush=True)
        return value

    def integrals(self):
        """Errors of integrals and of groups."""
        seed = self.seeds[0]
        return (
            self._once(lambda: compare_integrals(1000, seed=seed), "integrals", seed),
            self._once(lambda: compare_groups(40, seed=seed), "groups", seed),
        )

    def fits(self, seeds, **options):
        """Pulls and predictions of every seed."""
        shape = (self.fit_size, self.fit_size)
        return [
            self._once(
                lambda seed=seed: measure_pulls(shape, seed=seed, **options),
                *("fit", *shape, *options.items(), seed),
            )
            for seed in seeds
        ]

    def curve_fit(self):
        """Fit of a full detector in a process of its own."""
        return self._once(self._curve_fit, "curve_fit", self.full_size, self.sample)

    def _curve_fit(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "darks.npy"
            shape = (self.full_size, self.full_size)
            series = simulate_dark_series(replace(SERIES, shape=shape), seed=self.seeds[0])
            np.save(path, series.darks)
            np.save(f"{path}.delays.npy", series.delays)
            del series
            return _run("run_persistence_fit.py", path, self.sample)

    def corrections(self):
        """Corrected slew darks by scene and reference."""
        return {
            (scene, name): [
                self._once(
                    lambda scene=scene, reference=reference, seed=seed: compare_correction(
                        scene, reference, size=self.dark_size, seed=seed, thresholds=THRESHOLDS
                    ),
                    *("correction", scene, name, self.dark_size, seed),
                )
                for seed in self.seeds[:2]
            ]
            for scene in SCENES
            for name, reference in REFERENCES.items()
        }

    def detection(self):
        """Counts of detectors by scene and seed."""
        return {
            scene: [
                self._once(
                    lambda scene=scene, seed=seed: score_detectors(
                        scene, DETECTORS, size=self.size, seed=seed
                    ),
                    *("detection", scene, self.size, seed),
                )
                for seed in self.seeds[:2]
            ]
            for scene in SCENES
        }

    def ramps(self):
        """Costs of correcting a ramp by the fraction of affected pixels."""
        return {
            (fraction, stars): self._once(
                lambda fraction=fraction, stars=stars: measure_ramp(
                    self.size, fraction, stars=stars, repeats=self.repeats
                ),
                *("ramp", self.size, fraction, stars),
            )
            for fraction, stars in FRACTIONS
        }

    def history(self):
        """Costs of histories by number of exposures and sky."""
        return {
            (n, sky): self._once(
                lambda n=n, sky=sky: self._history(n, sky), "history", self.size, n, sky
            )
            for n, sky in self.histories
        }

    def _history(self, n, sky):
        runner = "run_persistence_history.py"
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "history.asdf"
            report = {"write": _run(runner, "write", path, n, self.size, sky)}
            report["write"]["file_mib"] = path.stat().st_size / 2**20
            return report | {task: _run(runner, task, path) for task in ("memory", "file")}


def _run(script, *arguments):
    """Run a script of this folder as a process; return its report and its cost."""
    with tempfile.NamedTemporaryFile(suffix=".txt") as log:
        command = [sys.executable, HERE / script, *map(str, arguments)]
        cost = asdict(run_measured(command, log=log.name))
        report = json.loads(Path(log.name).read_text(encoding="utf-8").splitlines()[-1])
    return report | cost


def show(*tables):
    """Print tables."""
    for table in tables:
        print(*(f"{line} |" for line in table), sep="\n", end="\n\n", flush=True)


def main():
    """Run the parts and print their tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    parser.add_argument("--size", type=int, default=2048, help="pixels along an axis")
    parser.add_argument("--dark-size", type=int, default=1024, help="of the corrected darks")
    parser.add_argument("--fit-size", type=int, default=512, help="of the series for pulls")
    parser.add_argument("--full-size", type=int, default=2040, help="of the series for costs")
    parser.add_argument("--sample", type=int, default=400, help="pixels for curve_fit")
    parser.add_argument("--repeats", type=int, default=7, help="turns of the ramps")
    parser.add_argument("--results", type=Path, help="file of what was measured")
    parser.set_defaults(histories=HISTORIES)
    bench = Bench(arguments := parser.parse_args())
    parts = arguments.parts
    if "integrals" in parts:
        show(integral_table(*bench.integrals()))
    full = bench.curve_fit() if "curve_fit" in parts else None
    if "fits" in parts:
        seeds = bench.fits(bench.seeds)
        show(pull_table(seeds), prediction_table(seeds), fit_target_table(seeds, full))
        show(pull_table(bench.fits(bench.seeds[:2], hit_rate=0.0)))
    if full:
        show(fit_cost_table(full))
    if "corrections" in parts:
        reports = bench.corrections()
        show(correction_table(reports, THRESHOLDS), correction_target_table(reports))
    if "detection" in parts:
        show(detection_table(bench.detection()))
    if "ramps" in parts:
        show(ramp_table(bench.ramps()))
    if "history" in parts:
        show(history_table(bench.history()))


if __name__ == "__main__":
    main()
