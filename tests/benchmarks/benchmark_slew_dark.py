"""SlewDarkCosmicsStep, astroscrappy and skimage on the same simulated slew darks of NISP.

Parts: scores (precision, recall and F1 of detectors over seeds that no threshold was chosen on),
variants (the same where one assumption of the simulation is another), identity (the masks of
detector astroscrappy and those of astroscrappy itself), commands (sixteen detectors from file to
products with ``strun`` against astroscrappy alone, each a whole process with one thread, in turns),
clusters (against skimage's regionprops_table). Prints tables in Markdown.

    python tests/benchmarks/benchmark_slew_dark.py --results outcomes.json

A positive is a pixel in which cosmic rays left more than 21 e-; bad pixels and the border are not
scored. With ``--results`` what the file holds is not measured again.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path

import numpy as np
from slew_dark_cases import (
    CASES,
    METHODS,
    NETWORKS,
    VARIANTS,
    Results,
    as_counts,
    call_astroscrappy,
    describe,
    detect,
    find_with,
    score,
    sized,
    usable_pixels,
)
from slew_dark_costs import compare_clusters, run_astroscrappy, run_command, write_exposure
from slew_dark_tables import (
    cluster_table,
    command_table,
    cost_target_table,
    description_table,
    difference_table,
    identity_table,
    score_table,
    target_table,
)

from crsteps.simulation.slew_darks import simulate_slew_dark

ALL_METHODS = METHODS | NETWORKS
SEEDS = (101, 102, 103, 104, 105)
EXPOSURE_SEED = 106
PARTS = ("scores", "variants", "identity", "commands", "clusters")
# Methods of the variants.
VARIED = ("hybrid", "hybrid, one bit", "astroscrappy", "quality factor > 49")
ALONE = "astroscrappy alone, calls"
COMMANDS = {
    "hybrid": {"detector": "hybrid"},
    "hybrid, jobs 2": {"detector": "hybrid", "jobs": 2},
    ALONE: None,
    "astroscrappy": {"detector": "astroscrappy"},
}


class Bench:
    """Measures what is not known yet, and keeps it."""

    def __init__(self, arguments):
        self.size, self.seeds = arguments.size, arguments.seeds
        self.cases, self.methods = arguments.cases, arguments.methods
        self.repeats, self.n_detectors = arguments.repeats, arguments.detectors
        self.results = Results(arguments.results)
        self.dark = lru_cache(maxsize=1)(self._dark)
        self.exposure = lru_cache(maxsize=1)(self._exposure)

    def _dark(self, case, seed, quality):
        return simulate_slew_dark(sized((CASES | VARIANTS)[case], self.size, quality), seed=seed)

    def _once(self, key, measure):
        """Known value of a key, or what `measure` returns."""
        key = (*key, self.size)
        value = self.results.get(*key)
        if value is None:
            value = measure()
            self.results.put(value, *key)
            print(*key, value, file=sys.stderr, flush=True)
        return value

    def descriptions(self):
        """What was simulated, by case."""
        return {
            case: [
                self._once(
                    ("case", case, seed),
                    lambda case=case, seed=seed: describe(self.dark(case, seed, "chi2")),
                )
                for seed in self.seeds
            ]
            for case in self.cases
        }

    def scores(self, cases, methods, seeds):
        """Counts of every seed by case and method."""
        found = {}
        for case in cases:
            names = sorted(methods, key=lambda name: ALL_METHODS[name].simulated_quality)
            for seed in seeds:
                for name in names:
                    self._once(
                        ("score", case, seed, name),
                        lambda case=case, seed=seed, name=name: self._score(case, seed, name),
                    )
            for name in methods:
                values = [self.results.get("score", case, s, name, self.size) for s in seeds]
                found[case, name] = [as_counts(value) for value in values]
        return found

    def _score(self, case, seed, name):
        method = ALL_METHODS[name]
        dark = self.dark(case, seed, method.simulated_quality)
        return asdict(score(find_with(method, dark), dark))

    def identity(self):
        """Pixels in which detector astroscrappy and astroscrappy differ, by case."""
        return {
            case: [
                self._once(
                    ("identity", case, seed),
                    lambda case=case, seed=seed: self._identity(case, seed),
                )
                for seed in self.seeds[:2]
            ]
            for case in self.cases
        }

    def _identity(self, case, seed):
        dark = self.dark(case, seed, "chi2")
        ours = detect(METHODS["astroscrappy"], dark)
        image, usable = dark.data.astype(np.float32), usable_pixels(dark)
        theirs = call_astroscrappy(image, usable, offset=ours.offset)
        return {
            "flagged": int(np.count_nonzero(theirs)),
            "different": int(np.count_nonzero(ours.mask != theirs)),
        }

    def commands(self, folder):
        """Costs of the commands, run in turns so that a busy moment strikes them alike."""
        for repeat in range(self.repeats):
            for name, options in COMMANDS.items():
                self._once(
                    ("command", name, repeat),
                    lambda options=options: self._command(options, folder),
                )
        return {
            name: [
                self.results.get("command", name, repeat, self.size)
                for repeat in range(self.repeats)
            ]
            for name in COMMANDS
        }

    def _command(self, options, folder):
        raw, bad = self.exposure(folder)
        if options is None:
            return run_astroscrappy(raw, bad, folder)
        return run_command(raw, bad, folder / "products", **options)

    def _exposure(self, folder):
        options = sized(CASES["persistence"], self.size, "chi2")
        return write_exposure(folder, options, seed=EXPOSURE_SEED, n_detectors=self.n_detectors)

    def clusters(self):
        """Clusters of the hybrid's masks, with and without a solar event."""
        return {
            case: self._once(("clusters", case), lambda case=case: self._clusters(case))
            for case in self.cases
            if case in ("persistence", "solar event")
        }

    def _clusters(self, case):
        dark = self.dark(case, self.seeds[0], "chi2")
        mask = find_with(METHODS["hybrid"], dark)
        signal = dark.data.astype(np.float64) - np.median(dark.data)
        # skimage weights by negative values too
        return compare_clusters(mask & (signal > 0), signal)


def show(*tables):
    """Print tables."""
    for table in tables:
        print(*(f"{line} |" for line in table), sep="\n", end="\n\n", flush=True)


def main():
    """Run the parts and print their tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--methods", nargs="+", choices=ALL_METHODS, default=list(METHODS))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    parser.add_argument("--size", type=int, default=2048, help="pixels along an axis")
    parser.add_argument("--detectors", type=int, default=16, help="in the file of the commands")
    parser.add_argument("--repeats", type=int, default=3, help="runs of every command")
    parser.add_argument("--results", type=Path, help="file of what was measured")
    bench = Bench(arguments := parser.parse_args())
    if "scores" in arguments.parts:
        show(description_table(bench.descriptions()))
        scores = bench.scores(arguments.cases, arguments.methods, arguments.seeds)
        show(score_table(scores), target_table(scores))
    if "variants" in arguments.parts:
        show(score_table(bench.scores(VARIANTS, VARIED, arguments.seeds[:2])))
    if "identity" in arguments.parts:
        show(identity_table(bench.identity()))
    if "clusters" in arguments.parts:
        rows = bench.clusters()
        show(cluster_table(rows), difference_table(rows))
    if "commands" in arguments.parts:
        with tempfile.TemporaryDirectory() as folder:
            costs = bench.commands(Path(folder))
        show(command_table(costs), cost_target_table(costs))


if __name__ == "__main__":
    main()
