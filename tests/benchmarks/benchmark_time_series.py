"""Time series: `clean_time_series` and the jwst step on the same ramps; transit depths and costs.

Simulates time series with a chromatic transit, cleans the same files with our estimator and with
``CleanFlickerNoiseStep`` of jwst (median, fft and median_image), each as a whole process with one
thread and without CRDS, and prints tables in Markdown: noise that is left, light curves, and depths
of the transit by wavelength in units of their errors.

    python tests/benchmarks/benchmark_time_series.py

With ``--long N`` it measures what N integrations of SUB2048 cost instead. The ``median_image`` of
the jwst step gets the true white light and sky, which it would extract with references.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from flicker_cases import SILENT, SUBARRAYS, TIME_SERIES, Case, write_files
from flicker_figures import difference_figures, mean_slope
from flicker_methods import JWST, METHODS, run_method
from flicker_tables import show
from measured_process import Cost, run_measured

from crsteps.simulation import flicker_ramps

SEED = 20260401
RUNNER = Path(__file__).with_name("run_time_series.py")
OURS = {"crsteps": {}, "crsteps, achromatic": {"chromatic": False}}
PEERS = ("jwst median", "jwst fft", "jwst median, median_image", "jwst fft, median_image")
# Wavelengths in the tables, and part of the brightest pixel across the trace that is extracted.
WAVELENGTHS, EXTRACTED = 16, 0.03
# What differs from the presets: depth of the transit from one end to the other, and lines.
SLOPES = {"as the preset": 0.5, "slope 2": 2.0}
LINES = "lines"
LINE_PLACES, LINE_SIGMA = (0.1, 0.3, 0.5, 0.7, 0.9), 3.0
EXCESS_TARGET, BACKGROUND_TARGET, CPU_TARGET, MEMORY_TARGET = 1 / 3, 0.75, 0.1, 4.0


@dataclass(frozen=True)
class Outcome:
    """Figures of one method on one exposure, arrays by wavelength among them, and its cost."""

    figures: dict
    cost: Cost


# --- ramps ------------------------------------------------------------------------------------


def simulate(preset, variant, seed, **changes):
    """Simulate a case and its ramps; `variant` is a key of SLOPES, or LINES."""
    options = getattr(flicker_ramps, preset)(**changes)
    scene = replace(options.scene, transit_slope=SLOPES.get(variant, 0.5))
    case = Case(f"{preset}, {variant}", preset, changes | {"scene": scene})
    ramps = flicker_ramps.simulate_flicker_ramps(case.options(), seed=seed)
    return case, with_lines(ramps) if variant == LINES else ramps


def line_profile(n):
    """Lines of the depth of the transit: 1 in their middles."""
    x = np.arange(n)
    return sum(np.exp(-0.5 * ((x - place * n) / LINE_SIGMA) ** 2) for place in LINE_PLACES)


def with_lines(ramps):
    """Make the transit twice as deep in lines."""
    scene, data = ramps.scene, ramps.data
    curve = 1 - (1 - scene.light_curve) * (1 + line_profile(data.shape[-1]))
    changes = (
        scene.sources * (new - old) for new, old in zip(curve, scene.light_curve, strict=True)
    )
    for ramp, change in zip(data, changes, strict=True):
        for group, image in enumerate(ramp, 1):
            image += (group * change).astype(np.float32)
    return replace(ramps, scene=replace(scene, light_curve=curve))


# --- methods ----------------------------------------------------------------------------------


def run(method, files, folder):
    """Run a method in a process of its own; return the cleaned ramps and the cost."""
    from astropy.io import fits

    if method not in OURS:
        return run_method(
            METHODS[method], files, folder, {None: sys.executable, JWST: sys.executable}
        )
    output, settings = folder / "cleaned.fits", folder / "settings.json"
    content = {"input": files["input"], "output": str(output), "parameters": OURS[method]}
    settings.write_text(json.dumps(content), encoding="utf-8")
    cost = run_measured([sys.executable, RUNNER, settings], log=folder / "log.txt")
    with fits.open(output) as hdus:
        return np.array(hdus["SCI"].data, np.float32), cost


# --- figures ----------------------------------------------------------------------------------


def judge(ramps, cleaned):
    """
    Compare cleaned ramps with the truth.

    Returns
    -------
    figures : dict
        ``bg``, ``src``, ``total``, ``floor``: as in `flicker_figures.judge`. ``spectrum`` and
        ``white``: scatter of the light curves of the wavelengths (median) and of all light, out of
        transit, ppm; ``added``: that of what the cleaning left in the light curves of the
        wavelengths. ``depth`` and ``depth_error``: error of the depth of the transit and its
        standard error by wavelength, ppm, ``depth_left`` the part of it that flicker noise and
        cleaning make. ``lost`` and ``lost_error``: part of the departure of the depth from its
        mean over the wavelengths that the cleaning adds.
    """
    places = {"bg": ~ramps.scene_mask & ~ramps.bad_pixels, "src": ramps.scene_mask}
    figures = difference_figures(ramps, cleaned, places)
    ours, free = spectra(ramps, cleaned), spectra(ramps, ramps.data - ramps.flicker)
    curve = ramps.scene.light_curve[:, 0]
    depth = 1 - curve
    out, within = depth.max(axis=1) == 0, depth.max(axis=1) > 0.999 * depth.max()
    level = free[out].mean(axis=0)
    parts = np.array_split(np.arange(curve.shape[1]), WAVELENGTHS)

    def binned(values):
        return np.stack([values[..., part].sum(axis=-1) for part in parts], axis=-1)

    def depths(light):
        return 1 - light[within].mean(axis=0) / light[out].mean(axis=0)

    def scatter(light, reference):
        return light[out].std(axis=0, ddof=1) / reference[out].mean(axis=0)

    ours_binned, free_binned = binned(ours), binned(free)
    root = np.sqrt(1 / out.sum() + 1 / within.sum())
    truth = binned(level * depth[within].mean(axis=0)) / binned(level)
    figures["spectrum"] = 1e6 * np.median(scatter(ours_binned, free_binned))
    figures["white"] = 1e6 * scatter(ours.sum(axis=1), free.sum(axis=1))
    figures["added"] = 1e6 * np.median(scatter(ours_binned - free_binned, free_binned))
    figures["depth"] = 1e6 * (depths(ours_binned) - truth)
    figures["depth_error"] = 1e6 * root * scatter(ours_binned, free_binned)
    figures["depth_left"] = 1e6 * (depths(ours_binned) - depths(free_binned))
    # Of single wavelengths: lines are narrower than the bins.
    lit = level > 0
    pattern = depth[within].mean(axis=0)
    pattern = np.where(lit, pattern - np.average(pattern, weights=level), 0)
    change = np.zeros_like(level)
    change[lit] = depths(ours[:, lit]) - depths(free[:, lit])
    error = np.zeros_like(level)
    error[lit] = root * scatter((ours - free)[:, lit], free[:, lit])
    weights = level * pattern / np.sum(level * pattern**2)
    figures["lost"] = np.sum(weights * change)
    # Errors of neighbouring wavelengths are alike: no smaller than those of the bins.
    own = binned(weights) * root * scatter(ours_binned - free_binned, free_binned)
    figures["lost_error"] = np.sqrt(max(np.sum((weights * error) ** 2), np.sum(own**2)))
    return figures


def spectra(ramps, data):
    """Light of every wavelength and integration without the pixels with flags."""
    light = ramps.scene.sources
    box = (light > EXTRACTED * light.max(axis=0)) & ~(ramps.groupdq != 0).any(axis=(0, 1))
    slopes = (mean_slope(ramp) - ramps.scene.diffuse for ramp in data)
    return np.array([np.sum(slope, axis=0, where=box, dtype=np.float64) for slope in slopes])


# --- tables -----------------------------------------------------------------------------------


def mean(outcomes, name):
    """Mean of a figure of several seeds."""
    return float(np.mean([o.figures[name] for o in outcomes]))


def excess(outcomes):
    """Variance of a difference over that without flicker noise."""
    return np.mean([o.figures["total"] ** 2 - o.figures["floor"] ** 2 for o in outcomes])


def noise_table(results):
    """Lines of the table of noise, light curves and costs."""
    floor = mean(results["none"], "floor")
    yield f"sd of a difference without flicker noise {floor:.3f} DN"
    yield ""
    yield (
        "| method | bg | src | total | excess variance | spectra ppm | added to them ppm "
        "| white light ppm | CPU s | MiB "
    )
    yield "| --- " * 10
    for method, outcomes in results.items():
        f = {
            name: mean(outcomes, name)
            for name in ("bg", "src", "total", "spectrum", "added", "white")
        }
        cpu = np.mean([o.cost.cpu_seconds for o in outcomes])
        memory = max(o.cost.peak_mib for o in outcomes)
        yield (
            f"| {method} | {f['bg']:.3f} | {f['src']:.3f} | {f['total']:.3f} "
            f"| {excess(outcomes):+.2f} | {f['spectrum']:.0f} | {f['added']:.0f} "
            f"| {f['white']:.0f} | {cpu:.1f} | {memory:.0f} "
        )


def depth_table(results):
    """Lines of the table of transit depths; every wavelength of every seed."""
    yield (
        "| method | error / s.e. by wavelength, first seed | rms of all seeds | worst "
        "| error ppm, rms | s.e. ppm | departure from the mean depth that is lost "
    )
    yield "| --- " * 7
    for method, outcomes in results.items():
        error = np.array([o.figures["depth"] for o in outcomes])
        sigma = np.array([o.figures["depth_error"] for o in outcomes])
        pull = error / sigma
        lost = mean(outcomes, "lost")
        lost_error = np.sqrt(np.sum([o.figures["lost_error"] ** 2 for o in outcomes]))
        shown = " ".join(f"{value:+.1f}" for value in pull[0])
        yield (
            f"| {method} | {shown} | {np.sqrt(np.mean(pull**2)):.2f} | {np.abs(pull).max():.1f} "
            f"| {np.sqrt(np.mean(error**2)):.0f} | {np.sqrt(np.mean(sigma**2)):.0f} "
            f"| {-100 * lost:+.1f} ± {100 * lost_error / len(outcomes):.1f} % "
        )


def target_table(results):
    """Lines of the table of ratios to the peers."""
    peers = [method for method in results if method in PEERS]
    if not peers or "crsteps" not in results:
        return
    yield "| figure | crsteps | best peer | ratio | target | met "
    yield "| --- " * 6
    ours = results["crsteps"]

    def row(figure, value, name, reference, target):
        verdict = "yes" if value <= target * reference else "NO"
        ratio = value / reference
        return (
            f"| {figure} | {value:.3f} | {reference:.3f} ({name}) | {ratio:.3f} | {target:.3g} "
            f"| {verdict} "
        )

    by_median_image = [method for method in peers if "median_image" in method]
    for figure, names, target in (
        ("bg", by_median_image, BACKGROUND_TARGET),
        ("spectrum", peers, 1),
        ("added", peers, 1),
        ("white", peers, 1),
    ):
        best = min(names, key=lambda method: mean(results[method], figure))
        yield row(figure, mean(ours, figure), best, mean(results[best], figure), target)
    best = min(peers, key=lambda method: excess(results[method]))
    yield row("excess variance", excess(ours), best, excess(results[best]), EXCESS_TARGET)


# --- the script -------------------------------------------------------------------------------


def clean_all(preset, variant, arguments, folder, seeds, **changes):
    """Outcomes of the seeds by method."""
    results = {}
    for seed in seeds:
        case, ramps = simulate(preset, variant, seed, **changes)
        files = write_files(case, ramps, folder, np.zeros_like(ramps.scene_mask))
        for method in arguments.methods:
            if method in METHODS and preset not in METHODS[method].presets and method in PEERS:
                continue
            cleaned, cost = run(method, files, folder)
            outcome = Outcome(judge(ramps, cleaned), cost)
            results.setdefault(method, []).append(outcome)
            print(f"  {case.name} {seed} {method}", file=sys.stderr, flush=True)
    return results


def cases_part(arguments, folder):
    """All presets and kinds of transit, then white noise only."""
    seeds = range(SEED, SEED + arguments.seeds)
    for preset in arguments.presets:
        for variant in arguments.variants:
            print(f"### {preset}, {variant}\n")
            results = clean_all(preset, variant, arguments, folder, seeds)
            for table in (noise_table, depth_table, target_table):
                show(table(results))
        print(f"### {preset}, white noise only\n")
        results = clean_all(preset, "as the preset", arguments, folder, [SEED + 100], **SILENT)
        print("| method | noise removed | rise of the sd of a difference % |\n| --- | --- | --- |")
        for method, (outcome,) in results.items():
            f = outcome.figures
            print(f"| {method} | {f['bg']:.4f} | {100 * (f['total'] / f['floor'] - 1):+.4f} |")
        print(flush=True)


def long_part(arguments, folder):
    """Costs of a long time series in SUB2048."""
    case, ramps = simulate("nirspec_sub2048", "as the preset", SEED, n_integrations=arguments.long)
    files = write_files(case, ramps, folder, np.zeros_like(ramps.scene_mask))
    size = ramps.data.nbytes / 2**20
    few = slice(0, 20)
    ramps = replace(
        ramps,
        **{name: getattr(ramps, name)[few].copy() for name in ("data", "groupdq", "flicker")},
    )
    places = {"bg": ~ramps.scene_mask & ~ramps.bad_pixels}
    print(f"### SUB2048, {arguments.long} integrations of 5 groups, {size:.0f} MiB\n")
    print("| method | CPU s | wall s | peak MiB | peak / data | bg of 20 integrations |")
    print("| --- | --- | --- | --- | --- | --- |")
    for method in arguments.methods:
        cleaned, cost = run(method, files, folder)
        left = difference_figures(ramps, cleaned[few], places)["bg"]
        print(
            f"| {method} | {cost.cpu_seconds:.1f} | {cost.wall_seconds:.1f} "
            f"| {cost.peak_mib:.0f} | {cost.peak_mib / size:.2f} | {left:.3f} |",
            flush=True,
        )


def main():
    """Run everything and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    methods = ["none", *OURS, *PEERS]
    parser.add_argument(
        "--presets",
        nargs="+",
        choices=TIME_SERIES,
        default=[*SUBARRAYS, "niriss_soss", "nircam_stripe"],
    )
    parser.add_argument("--variants", nargs="+", choices=[*SLOPES, LINES], default=[*SLOPES, LINES])
    parser.add_argument("--methods", nargs="+", choices=methods, default=methods)
    parser.add_argument("--seeds", type=int, default=2, help="number of exposures of each case")
    parser.add_argument("--long", type=int, help="integrations of a long time series")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        (long_part if arguments.long else cases_part)(arguments, Path(temporary))


if __name__ == "__main__":
    main()
