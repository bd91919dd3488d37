"""Tables of the benchmark of persistence, in Markdown, with what was to be shown."""

from __future__ import annotations

import numpy as np
from slew_dark_cases import as_counts
from slew_dark_tables import yes

INTEGRAL_TARGET, GROUP_TARGET = 1e-6, 1e-5
PULL_RANGE, BIAS_TARGET, SPEED_TARGET, FIT_MEMORY_TARGET = (0.95, 1.05), 0.1, 5000, 3072
REDUCTION_TARGET, PULL_TARGET = 0.9, 1.2
COPY_TARGET = 10
# The fits that are timed: the first one of a process loads compiled code.
OURS = ("crsteps", "crsteps, next detector")
# How much less F1 than on darks without persistence is still the same figure.
SAME_F1 = 0.002


def integral_table(integrals, groups):
    """The first point: largest relative errors."""
    yield "| what | against | largest relative error | wanted at most | met"
    yield "| --- " * 5
    for kind, errors in integrals.items():
        for quantity, error in errors.items():
            yield _row(f"{quantity}, {kind}", "quadrature", error, INTEGRAL_TARGET)
    for readout, errors in groups.items():
        for quantity, error in errors.items():
            yield _row(f"{quantity}, {readout}", "sum over frames", error, GROUP_TARGET)


def _row(what, peer, error, target):
    return f"| {what} | {peer} | {error:.1e} | {target:.0e} | {yes(error <= target)}"


def pull_table(seeds):
    """The second point: pulls, mean over the seeds; `seeds` holds one report for each."""
    names = [name for name in seeds[0]["A < 0.1"] if name.startswith("pull")]
    yield "| pixels | number | " + " | ".join(f"{n}: std, mean, middle" for n in names)
    yield "| --- " * (2 + len(names))
    for group in seeds[0]:
        cells = [f"{np.mean([seed[group]['pixels'] for seed in seeds]):.0f}"]
        for name in names:
            cells.append(
                ", ".join(
                    f"{np.mean([seed[group][name][part] for seed in seeds]):.3f}"
                    for part in ("std", "mean", "middle")
                )
            )
        yield f"| {group} | {' | '.join(cells)}"


def prediction_table(seeds):
    """The second point: prediction of the next dark."""
    yield "| pixels | what | error in e- | bias in e- | bias / error | pull"
    yield "| --- " * 6
    for group in seeds[0]:
        for what in ("persistence", "signal"):
            error, bias, pull = (
                np.mean([seed[group][what][part] for seed in seeds])
                for part in ("error", "bias", "pull")
            )
            yield f"| {group} | {what} | {error:.2f} | {bias:.3f} | {bias / error:.3f} | {pull:.3f}"


def fit_target_table(seeds, full):
    """The second point: what was wanted; `full` is the report of the full-size fit or None."""
    bright = [seed["A > 0.1"] for seed in seeds]
    yield "| figure | found | wanted | met"
    yield "| --- " * 4
    for name in ("pull A", "pull A(1000 s)", "pull gamma"):
        found = np.mean([group[name]["std"] for group in bright])
        met = PULL_RANGE[0] <= found <= PULL_RANGE[1]
        yield f"| {name} | {found:.3f} | {PULL_RANGE[0]} to {PULL_RANGE[1]} | {yes(met)}"
    for group in ("A > 0.1", "A 0.1 to 0.3"):
        for what in ("persistence", "signal"):
            bias, error = (
                np.mean([seed[group][what][part] for seed in seeds]) for part in ("bias", "error")
            )
            ratio = abs(bias) / error
            yield (
                f"| bias of next {what} / error, {group} | {ratio:.3f} | {BIAS_TARGET} "
                f"| {yes(ratio <= BIAS_TARGET)}"
            )
    if full:
        for peer in ("curve_fit, bounded", "curve_fit, free"):
            for ours in OURS:
                ratio = full[peer] / full[ours]
                met = yes(ratio >= SPEED_TARGET)
                yield f"| CPU s per pixel, {peer} / {ours} | {ratio:.0f} | {SPEED_TARGET} | {met}"
        peak = full["peak_mib"]
        yield f"| peak MiB | {peak:.0f} | {FIT_MEMORY_TARGET} | {yes(peak <= FIT_MEMORY_TARGET)}"


def fit_cost_table(full):
    """Costs of the full-size fit and agreement with curve_fit."""
    yield "| figure | value"
    yield "| --- " * 2
    for name in (*OURS, "curve_fit, bounded", "curve_fit, free"):
        yield f"| {name}, CPU us per pixel | {1e6 * full[name]:.2f}"
    yield f"| crsteps, CPU s per detector | {full['crsteps'] * full['pixels']:.1f}"
    for name, value in full.items():
        if name.startswith("difference"):
            yield f"| {name}, in errors | {value:.3f}"
        elif name in ("compared", "curve_fit failed"):
            yield f"| pixels {name} | {value}"


def correction_table(reports, thresholds):
    """The third point; `reports` maps (scene, reference) to one report per seed."""
    faintest = len(thresholds) - 1
    yield (
        "| scene | reference | pixels above "
        + ", ".join(f"{t}" for t in thresholds)
        + " e-/s | after | reduced, at 0.01 | left in the data | pull"
    )
    yield "| --- " * 7
    for (scene, reference), seeds in reports.items():
        before, after = (_mean(seeds, name) for name in ("before", "after"))
        reduced = 1 - after[faintest] / before[faintest]
        yield (
            f"| {scene} | {reference} | {_numbers(before)} | {_numbers(after)} | {reduced:.1%} "
            f"| {_mean(seeds, 'in the data'):.1%} | {_mean(seeds, 'pull'):.2f}"
        )


def correction_target_table(reports):
    """The third point: what was wanted."""
    yield "| scene | reference | figure | found | wanted | met"
    yield "| --- " * 6
    for (scene, reference), seeds in reports.items():
        start = f"| {scene} | {reference} |"
        if reference == "right":
            found = 1 - _mean(seeds, "after")[-1] / _mean(seeds, "before")[-1]
            met = yes(found >= REDUCTION_TARGET)
            wanted = f"{REDUCTION_TARGET:.0%}"
            yield f"{start} reduction above 0.01 e-/s | {found:.1%} | {wanted} | {met}"
        else:
            pull = max(seed["pull"] for seed in seeds)
            yield f"{start} pull, largest | {pull:.2f} | {PULL_TARGET} | {yes(pull <= PULL_TARGET)}"
        if any(seed["unsure"] for seed in seeds):
            pixels, changed = (sum(seed[n] for seed in seeds) for n in ("unsure", "unsure changed"))
            what = f"changed of {pixels} predicted below their error"
            yield f"{start} {what} | {changed} | 0 | {yes(changed == 0)}"


def _mean(seeds, name):
    return np.mean([seed[name] for seed in seeds], axis=0)


def _numbers(values):
    return ", ".join(f"{value:,.0f}" for value in values)


def detection_table(reports):
    """The fourth point; `reports` maps scenes to counts by detector and dark, one per seed."""
    yield "| scene | detector | dark | precision | recall | F1 | F1 lost | as without persistence"
    yield "| --- " * 8
    for scene, seeds in reports.items():
        for key in seeds[0]:
            method, kind = key.split(" | ")
            counts = [as_counts(seed[key]) for seed in seeds]
            figures = [
                np.mean([getattr(count, name) for count in counts])
                for name in ("precision", "recall", "f1")
            ]
            free = np.mean([as_counts(seed[f"{method} | free"]).f1 for seed in seeds])
            cells = " | ".join(f"{figure:.4f}" for figure in figures)
            lost = free - figures[2]
            met = yes(lost <= SAME_F1)
            yield f"| {scene} | {method} | {kind} | {cells} | {lost:.4f} | {met}"


def ramp_table(reports):
    """
    The fourth point; `reports` maps (fraction of affected pixels, in discs) to CPU seconds.

    The copies are all of the same array: the quickest counts.
    """
    yield "| affected | correction from | CPU s | over copy | wanted at most | met"
    yield "| --- " * 6
    copy = min(row["copy"] for row in reports.values())
    for (fraction, stars), row in reports.items():
        where = ", stars" if stars else ""
        for name in ("maps", "history", "history and maps"):
            ratio = row[name] / copy
            yield (
                f"| {fraction:.1%}{where} | {name} | {row[name]:.4f} | {ratio:.1f} "
                f"| {COPY_TARGET} | {yes(ratio <= COPY_TARGET)}"
            )


def history_table(reports):
    """The fifth point; `reports` maps (exposures, sky) to reports of the three tasks."""
    yield (
        "| exposures | sky in e- | pixels | remember, s per exposure | write, s | file MiB "
        "| correct from memory, s | peak MiB | correct from file, s | peak MiB"
    )
    yield "| --- " * 10
    for (n, sky), tasks in reports.items():
        written, memory, file = (tasks[name] for name in ("write", "memory", "file"))
        costs = " | ".join(
            f"{task['read'] + task['correct']:.2f} | {task['peak_mib']:.0f}"
            for task in (memory, file)
        )
        yield (
            f"| {n} | {sky:.0f} | {written['pixels']:,} | {written['remember'] / n:.3f} "
            f"| {written['write']:.2f} | {written['file_mib']:.0f} | {costs}"
        )
