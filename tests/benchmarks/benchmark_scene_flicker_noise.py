"""SceneFlickerNoiseStep and its peers on the same simulated ramps: noise that is left, and costs.

Simulates ramps with known flicker noise and fixed seeds, runs our step, ``CleanFlickerNoiseStep``
of jwst and, where ``--snowblind-python`` names an interpreter with snowblind 1.0, its
``StreamCleanStep`` on the same files, each as a whole process with one thread and without CRDS,
and prints tables in Markdown.

    python tests/benchmarks/benchmark_scene_flicker_noise.py --snowblind-python PEER/bin/python

Parts: main (every preset), variants (one thing different at a time), white (no flicker noise),
nebula (its light, with and without it in the data), growth (costs by size), fits (median and fft of
the jwst step, ours and theirs), series (SUB2048 with many integrations). Flicker noise common to
the outputs and of their own comes in two mixtures: "equal" rms, the harder, and the "published"
three to one of the HxRG noise generator, of the same total rms.

The draft ramp fit of the jwst step gets small reference files with the true gain and read noise,
and its ``median_image`` the true white light and sky.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from flicker_cases import (
    EQUAL,
    HEADERS,
    MIXTURES,
    TIME_SERIES,
    Case,
    growth_cases,
    hidden_background,
    main_cases,
    variant_cases,
    white_cases,
    write_files,
)
from flicker_figures import judge
from flicker_methods import (
    JWST,
    METHODS,
    OURS,
    SAME_FITS,
    SNOWBLIND,
    Outcome,
    Results,
    run_method,
)
from flicker_tables import (
    cost_table,
    growth_table,
    mean_cost,
    nebula_table,
    residual_table,
    same_fit_table,
    show,
    summary_table,
    target_table,
    transit_table,
    variant_table,
    white_table,
)

from crsteps.simulation import flicker_ramps

SEED = 20260301
# The peers that came out best with one mask or another, to keep the variants short.
BEST = ("jwst median by channel", "jwst median by channel, model", "snowblind integration_model")
BEST_OF_ONE_OUTPUT = ("jwst median", "jwst fft", "jwst median, median_image")
FEW_INTEGRATIONS = 40


class Bench:
    """Runs methods on cases in a folder, and keeps the outcomes."""

    def __init__(self, arguments, folder):
        self.folder = folder
        self.methods = arguments.methods
        self.results = Results(arguments.results, arguments.again)
        self.pythons = {
            None: sys.executable,
            OURS: sys.executable,
            JWST: sys.executable,
            SNOWBLIND: arguments.snowblind_python,
        }

    def run(self, case, seeds, methods):
        """Outcomes of the seeds by method, measured as far as they are not known."""
        methods = [
            name
            for name in methods
            if (name == "none" or name in self.methods)
            and case.preset in METHODS[name].presets
            and self.pythons[METHODS[name].package]
        ]
        for seed in seeds:
            missing = [name for name in methods if not self.results.get(case, seed, name)]
            if missing:
                self._measure(case, seed, missing)
        return {name: [self.results.get(case, seed, name) for seed in seeds] for name in methods}

    def _measure(self, case, seed, methods):
        ramps, files, hidden = self.prepare(case, seed)
        for name in methods:
            cleaned, cost = run_method(METHODS[name], files, self.folder, self.pythons)
            outcome = Outcome(judge(ramps, cleaned, hidden), cost)
            print(f"  {case.name} {case.mixture} {seed} {name}: {outcome}", file=sys.stderr)
            self.results.put(case, seed, name, outcome)

    def prepare(self, case, seed):
        """Simulate the ramps and write the files of a case."""
        ramps = flicker_ramps.simulate_flicker_ramps(case.options(), seed=seed)
        hidden = hidden_background(ramps, case.masked, seed)
        return ramps, write_files(case, ramps, self.folder, hidden), hidden


def main_part(bench, arguments):
    """All methods on every preset, in both mixtures."""
    seeds = range(SEED, SEED + arguments.seeds)
    rows = []
    for mixture in arguments.mixtures:
        for case in main_cases(arguments.presets, mixture):
            print(f"### {case.name}, {mixture} mixture\n")
            results = bench.run(case, seeds, METHODS)
            rows.append((case, results))
            show(residual_table(results))
            if case.preset in TIME_SERIES:
                show(transit_table(results))
            show(cost_table(results))
            show(target_table(case, results))
    print("### All exposures: residual on the background\n")
    show(summary_table(rows))


def variants_part(bench, arguments):
    """One thing different at a time, one seed, the best of the peers."""
    for mixture in arguments.mixtures:
        rows = []
        for case in variant_cases(arguments.presets, mixture):
            best = BEST if case.preset == "nircam_full" else BEST_OF_ONE_OUTPUT
            suffix = ", given mask" if case.masked else ""
            methods = ["none", *(name + suffix for name in ("crsteps", *best))]
            results = bench.run(case, [SEED + 50], [name for name in methods if name in METHODS])
            rows.append((case, results))
        if rows:
            print(f"### Variants, {mixture} mixture\n")
            show(variant_table(rows))


def white_part(bench, arguments):
    """No flicker noise: nothing is to be removed."""
    for case in white_cases(arguments.presets):
        print(f"### {case.name}\n")
        own = [name for name in METHODS if not METHODS[name].user_mask]
        show(white_table(bench.run(case, [SEED + 100], own)))


def nebula_part(bench, arguments):
    """The nebula's light, told from noise by running with and without it."""
    for mixture in arguments.mixtures:
        seeds = range(SEED, SEED + arguments.seeds)
        methods = ["none", "crsteps", *BEST]
        case = main_cases(["nircam_full"], mixture)[0]
        # Too faint to see, but the random numbers are drawn as before.
        scene = replace(case.options().scene, nebula=1e-6)
        dark = replace(case, name="nircam_full without nebula", changes={"scene": scene})
        print(f"### Nebula, {mixture} mixture\n")
        show(nebula_table(bench.run(case, seeds, methods), bench.run(dark, seeds, methods)))


def growth_part(bench, _arguments):
    """Costs of our step by the number of pixels and groups."""
    print("### Costs by size\n")
    cases = growth_cases()
    show(growth_table([(case, bench.run(case, [SEED], ["none", "crsteps"])) for case in cases]))


def fits_part(bench, arguments):
    """The fits of the jwst step, ours and theirs, with the same mask."""
    rows = []
    for case in main_cases(arguments.presets, EQUAL):
        ramps, files, _ = bench.prepare(case, SEED)
        _, floor = run_method(METHODS["none"], files, bench.folder, bench.pythons)
        for fit, (own, peer) in SAME_FITS.items():
            if case.preset not in own.presets:
                continue
            ours, our_cost = run_method(own, files, bench.folder, bench.pythons)
            theirs, their_cost = run_method(peer, files, bench.folder, bench.pythons)
            # Differences of groups: what is fitted, without the sums along the ramp.
            apart, removed = np.diff(ours - theirs, axis=1), np.diff(ramps.data - theirs, axis=1)
            rows.append(
                {
                    "case": case.name,
                    "fit": fit,
                    "ours": our_cost.cpu_seconds,
                    "theirs": their_cost.cpu_seconds,
                    "floor": floor.cpu_seconds,
                    "difference": float(np.std(apart) / np.std(removed)),
                    "largest": float(np.abs(apart).max()),
                }
            )
            print(f"  {rows[-1]}", file=sys.stderr, flush=True)
    print("### The fits of the jwst step, same mask\n")
    show(same_fit_table(rows))


def series_part(bench, arguments):
    """SUB2048 with many integrations of five groups; jwst fft on fewer, and scaled."""
    case = Case("series", "nirspec_sub2048", {"n_integrations": arguments.integrations})
    few = Case("few", "nirspec_sub2048", {"n_integrations": FEW_INTEGRATIONS})
    one = Case("one", "nirspec_sub2048", {"n_integrations": FEW_INTEGRATIONS // 2})
    data = 4 * case.options().n_groups * 32 * 2048 / 2**20
    rows = []
    for this, method in ((case, "crsteps"), (few, "jwst fft"), (one, "jwst fft")):
        results = bench.run(this, [SEED], ["none", method])
        rows.append((this, method, results))
    print("### SUB2048, 5 groups\n")
    lines = ["| method | integrations | CPU s | wall s | peak MiB | peak / data ", "| --- " * 6]
    for this, method, results in rows:
        n = this.options().n_integrations
        for name in ("none", method):
            cost = results[name][0].cost
            lines.append(
                f"| {name} | {n} | {cost.cpu_seconds:.1f} | {cost.wall_seconds:.1f} "
                f"| {cost.peak_mib:.0f} | {cost.peak_mib / (data * n):.2f} "
            )
    show(lines)
    theirs = [mean_cost(results["jwst fft"]) for _, _, results in rows[1:]]
    slope = (theirs[0] - theirs[1]) / (FEW_INTEGRATIONS // 2)
    scaled = theirs[0] + slope * (arguments.integrations - FEW_INTEGRATIONS)
    ours = mean_cost(rows[0][2]["crsteps"])
    print(
        f"jwst fft, a straight line to {arguments.integrations} integrations: {scaled:.0f} CPU s; "
        f"crsteps / jwst fft = {ours / scaled:.3f} (target 0.1)\n"
    )


PARTS = {
    "main": main_part,
    "variants": variants_part,
    "white": white_part,
    "nebula": nebula_part,
    "growth": growth_part,
    "fits": fits_part,
    "series": series_part,
}


def main():
    """Run the parts and print their tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--snowblind-python", help="interpreter with snowblind 1.0 and jwst")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--presets", nargs="+", choices=HEADERS, default=list(HEADERS))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--mixtures", nargs="+", choices=MIXTURES, default=list(MIXTURES))
    parser.add_argument("--seeds", type=int, default=2, help="exposures of each preset")
    parser.add_argument("--integrations", type=int, default=1000, help="of the long time series")
    parser.add_argument("--results", help="JSON file of outcomes, which are not measured again")
    parser.add_argument(
        "--again", nargs="+", choices=METHODS, default=[], help="methods to measure all the same"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        bench = Bench(arguments, Path(temporary))
        for part in arguments.parts:
            PARTS[part](bench, arguments)


if __name__ == "__main__":
    main()
