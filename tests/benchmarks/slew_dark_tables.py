"""Tables of the benchmark of slew darks, in Markdown, with what was to be shown."""

from __future__ import annotations

import numpy as np

# Least precision and recall of the default detector by case.
TARGETS = {
    "quiet": (0.975, 0.93),
    "persistence": (0.975, 0.93),
    "solar event": (0.97, 0.87),
    "solar event, persistence": (0.97, 0.87),
    "spectroscopic": (0.975, 0.93),
    "spectroscopic, persistence": (0.975, 0.93),
    "spectroscopic, solar event": (0.97, 0.87),
}
CPU_TARGET, OVERHEAD_TARGET, WALL_TARGET, MEMORY_TARGET, CLUSTER_TARGET = 0.25, 0.1, 0.65, 1536, 0.1


def yes(met):
    """Say whether a target is met."""
    return "yes" if met else "NO"


def description_table(descriptions):
    """What was simulated; `descriptions` maps cases to one dict per seed."""
    names = list(next(iter(descriptions.values()))[0])
    yield f"| case | {' | '.join(names)}"
    yield "| --- " * (1 + len(names))
    for case, seeds in descriptions.items():
        cells = [f"{np.mean([seed[name] for seed in seeds]):,.4g}" for name in names]
        yield f"| {case} | {' | '.join(cells)}"


def score_table(scores):
    """Means and extremes over the seeds; `scores` maps (case, method) to counts by seed."""
    yield "| case | detector | precision | recall | F1 | lowest precision | lowest recall"
    yield "| --- " * 7
    for (case, method), counts in scores.items():
        figures = {
            name: [getattr(count, name) for count in counts]
            for name in ("precision", "recall", "f1")
        }
        means = [f"{np.mean(values):.4f}" for values in figures.values()]
        lowest = [f"{min(figures[name]):.4f}" for name in ("precision", "recall")]
        yield f"| {case} | {method} | {' | '.join(means + lowest)}"


def target_table(scores):
    """The first point: thresholds for the default, and one bit better than astroscrappy."""
    yield "| case | wanted | found, mean | met"
    yield "| --- " * 4
    for case, (precision, recall) in TARGETS.items():
        found = scores.get((case, "hybrid"))
        if found:
            values = _means(found)
            met = values[0] >= precision and values[1] >= recall
            yield (
                f"| {case} | hybrid: precision {precision}, recall {recall} "
                f"| {values[0]:.4f}, {values[1]:.4f} | {yes(met)}"
            )
    for case in dict.fromkeys(case for case, _ in scores):
        ours, theirs = scores.get((case, "hybrid, one bit")), scores.get((case, "astroscrappy"))
        if ours and theirs:
            ours, theirs = _means(ours), _means(theirs)
            met = all(a >= b for a, b in zip(ours, theirs, strict=True))
            yield (
                f"| {case} | one bit: precision {theirs[0]:.4f}, recall {theirs[1]:.4f} of "
                f"astroscrappy | {ours[0]:.4f}, {ours[1]:.4f} | {yes(met)}"
            )


def _means(counts):
    return [np.mean([getattr(count, name) for count in counts]) for name in ("precision", "recall")]


def identity_table(differences):
    """The second point: pixels in which the masks differ, by case and seed."""
    yield "| case | seeds | flagged by astroscrappy | pixels that differ | identical"
    yield "| --- " * 5
    for case, rows in differences.items():
        flagged, different = (sum(row[name] for row in rows) for name in ("flagged", "different"))
        yield f"| {case} | {len(rows)} | {flagged} | {different} | {yes(different == 0)}"


def command_table(costs):
    """Every command's costs; `costs` maps names to a list of costs, one per run."""
    yield "| command | runs | CPU s | least to largest | wall s | peak MiB of a process | flagged"
    yield "| --- " * 7
    for name, runs in costs.items():
        cpu = [run["cpu_seconds"] for run in runs]
        wall, peak = np.median([run["wall_seconds"] for run in runs]), _peak(runs)
        flagged = ", ".join(sorted({str(run["flagged"]) for run in runs}))
        yield (
            f"| {name} | {len(runs)} | {np.median(cpu):.1f} | {min(cpu):.1f} to {max(cpu):.1f} "
            f"| {wall:.1f} | {peak:.0f} | {flagged}"
        )


def cost_target_table(costs):
    """The second and third point: ratios of costs."""

    def middle(name, what="cpu_seconds"):
        return np.median([run[what] for run in costs[name]])

    alone = middle("astroscrappy alone, calls", "calls")
    rows = [
        ("hybrid / astroscrappy's calls alone, CPU", middle("hybrid") / alone, CPU_TARGET),
        (
            "hybrid with two jobs / astroscrappy's calls alone, CPU",
            middle("hybrid, jobs 2") / alone,
            CPU_TARGET,
        ),
        (
            "hybrid, two jobs / one, wall",
            middle("hybrid, jobs 2", "wall_seconds") / middle("hybrid", "wall_seconds"),
            WALL_TARGET,
        ),
        (
            "overhead of detector astroscrappy, CPU",
            middle("astroscrappy") / alone - 1,
            OVERHEAD_TARGET,
        ),
        (
            "peak MiB of a process",
            max(_peak(runs) for name, runs in costs.items() if "alone" not in name),
            MEMORY_TARGET,
        ),
    ]
    yield "| figure | found | wanted at most | met"
    yield "| --- " * 4
    for name, found, wanted in rows:
        yield f"| {name} | {found:.3f} | {wanted} | {yes(found <= wanted)}"


def _peak(runs):
    return max(run["peak_mib"] for run in runs)


def cluster_table(rows):
    """The fourth point; `rows` maps cases to results of `compare_clusters`."""
    yield "| case | clusters | crsteps CPU s | skimage CPU s | ratio | wanted at most | met"
    yield "| --- " * 7
    for case, row in rows.items():
        ratio = row["crsteps"] / row["skimage"]
        yield (
            f"| {case} | {row['clusters']} | {row['crsteps']:.4f} | {row['skimage']:.3f} "
            f"| {ratio:.4f} | {CLUSTER_TARGET} | {yes(ratio <= CLUSTER_TARGET)}"
        )


def difference_table(rows):
    """The largest differences from skimage by column."""
    names = list(next(iter(rows.values()))["differences"])
    yield "| column | largest difference"
    yield "| --- " * 2
    for name in names:
        yield f"| {name} | {max(row['differences'][name] for row in rows.values()):.2g}"
