"""Tables of the flicker benchmark in Markdown, from outcomes of the seeds by method."""

from __future__ import annotations

import numpy as np
from flicker_cases import FULL
from flicker_limit import least_residual
from flicker_methods import JWST, METHODS, OURS, SNOWBLIND

# Largest allowed ratios of our figures to the best of a peer.
BACKGROUND_TARGETS = {
    JWST: {
        "nircam_full": 0.65,
        "nirspec_mos": 0.67,
        "niriss_soss": 0.75,
        "nirspec_sub2048": 0.75,
    },
    SNOWBLIND: {"nircam_full": 0.82},
}
EXCESS_TARGET = 1 / 3
CPU_TARGETS = {"jwst median by channel": 0.6, "jwst fft": 0.3}
LIGHT_TARGETS = {"compact": 1.0, "faint": 1.0, "bright": 1.0, "nebula_bias": 0.1}


def show(lines):
    """Print a table, and an empty line after it."""
    for line in lines:
        print(f"{line}|" if line.startswith("|") else line)
    print(flush=True)


def mean_figures(outcomes):
    """Mean of the figures of several seeds; biases keep their sign."""
    names = outcomes[0].figures
    return {name: float(np.mean([o.figures[name] for o in outcomes])) for name in names}


def mean_cost(outcomes, name="cpu_seconds"):
    """Mean of a cost of several seeds."""
    return float(np.mean([getattr(o.cost, name) for o in outcomes]))


def peers_with_own_mask(methods):
    """Methods of other packages that find the mask themselves."""
    return [m for m in methods if METHODS[m].of_peer and not METHODS[m].user_mask]


def excess(figures):
    """Variance of a cleaned difference over that of its white noise."""
    return figures["total"] ** 2 - figures["floor"] ** 2


def residual_table(results):
    """Lines of the table of what is left."""
    floors = mean_figures(results["none"])
    yield (
        f"Sd without flicker noise: difference {floors['floor']:.4f}, "
        f"slope {floors['rate_floor']:.4f} DN per group"
    )
    yield ""
    yield (
        "| method | bg | bg, means removed | src | neb | bg / none | total | excess variance "
        "| slope | nebula bias (minus that of the sky) "
        "| compact faint sources % | faint sources % | bright sources % "
    )
    yield "| --- " * 13
    for method, outcomes in results.items():
        f = mean_figures(outcomes)
        nebula = in_nebula = ""
        if "nebula_bias" in f:
            in_nebula = f"{f['neb']:.3f}"
            nebula = f"{f['nebula_bias']:+.3f} ({f['nebula_bias'] - f['sky_bias']:+.3f})"
        yield (
            f"| {method} | {f['bg']:.3f} | {f['ac']:.3f} | {f['src']:.3f} "
            f"| {in_nebula} | {f['bg'] / floors['bg']:.3f} "
            f"| {f['total']:.3f} | {excess(f):+.3f} | {f['rate']:.4f} "
            f"| {nebula} | {_bias(f, 'compact')} | {_bias(f, 'faint')} | {_bias(f, 'bright')} "
        )


def _bias(figures, name):
    """Error of light with its standard error, as far as they are there."""
    if name not in figures:
        return ""
    error = figures.get(f"{name}_error")
    return f"{figures[name]:+.2f}" + (f" ± {error:.2f}" if error else "")


def transit_table(results):
    """Lines of the table of transit depths."""
    floor = mean_figures(results["none"])["depth_floor"]
    yield f"Depth of the transit at 16 wavelengths: rms error without flicker noise {floor:.0f} ppm"
    yield ""
    floors = [o.figures for o in results["none"]]
    worst = max(f["depth_worst_floor"] for f in floors)
    pull = np.sqrt(np.mean([f["depth_pull_floor"] ** 2 for f in floors]))
    yield f"Error / s.e. of the depths without flicker noise: rms {pull:.2f}, worst {worst:.1f}"
    yield ""
    yield (
        "| method | rms error ppm | its standard error ppm | mean error ppm "
        "| error / s.e., rms | worst | added by flicker noise and cleaning, mean "
    )
    yield "| --- " * 7
    for method, outcomes in results.items():
        f = mean_figures(outcomes)
        worst = max(o.figures["depth_worst"] for o in outcomes)
        pull = np.sqrt(np.mean([o.figures["depth_pull"] ** 2 for o in outcomes]))
        errors = [o.figures["depth_added_error"] ** 2 for o in outcomes]
        yield (
            f"| {method} | {f['depth']:.0f} | {f['depth_sigma']:.0f} | {f['depth_mean']:+.0f} "
            f"| {pull:.2f} | {worst:.1f} "
            f"| {f['depth_added']:+.0f} ± {np.sqrt(np.sum(errors)) / len(errors):.0f} "
        )


def cost_table(results):
    """Lines of the table of costs; net is without what reading and writing alone costs."""
    floor = mean_cost(results["none"])
    yield "| method | CPU s | CPU s net of reading and writing | wall s | peak MiB "
    yield "| --- " * 5
    for method, outcomes in results.items():
        cpu, wall, mib = (
            mean_cost(outcomes, name) for name in ("cpu_seconds", "wall_seconds", "peak_mib")
        )
        yield f"| {method} | {cpu:.2f} | {cpu - floor:.2f} | {wall:.2f} | {mib:.0f} "


def target_table(case, results):
    """Lines of the table of ratios to the best peer, and the targets."""
    yield "| figure | crsteps | best peer | ratio | target | met "
    yield "| --- " * 6
    means = {method: mean_figures(outcomes) for method, outcomes in results.items()}
    if "crsteps" in means:
        yield from _own_masks(case, means)
        yield from _costs(case, results)
        yield from _light(results, means)
    if "crsteps, given mask" in means:
        peers = [m for m in means if METHODS[m].user_mask and METHODS[m].of_peer]
        yield from _ratios("same given mask: ", "crsteps, given mask", peers, means, None)


def _own_masks(case, means):
    """Residuals against the best peer of each package, every step with its own mask."""
    for package, targets in BACKGROUND_TARGETS.items():
        peers = [
            m
            for m in means
            if METHODS[m].package == package and METHODS[m].of_peer and not METHODS[m].user_mask
        ]
        yield from _ratios("", "crsteps", peers, means, targets.get(case.preset))
    everyone = peers_with_own_mask(means)
    if everyone:
        best = min(everyone, key=lambda m: excess(means[m]))
        yield _row(
            "excess variance", excess(means["crsteps"]), excess(means[best]), EXCESS_TARGET, best
        )


def _ratios(which, ours, peers, means, target):
    """Rows for the residual on the background, with its means and without."""
    for figure, name, limit in (
        ("residual on the background", "bg", target),
        ("the same, means removed", "ac", None),
    ):
        if peers:
            best = min(peers, key=lambda m, name=name: means[m][name])
            yield _row(which + figure, means[ours][name], means[best][name], limit, best)


def _costs(case, results):
    """Rows for CPU seconds of full frames, as measured and net of reading and writing."""
    for peer, target in CPU_TARGETS.items():
        if case.preset in FULL and peer in results:
            ours, theirs = mean_cost(results["crsteps"]), mean_cost(results[peer])
            floor = mean_cost(results["none"])
            yield _row("CPU s", ours, theirs, target, peer)
            yield _row("CPU s net", ours - floor, theirs - floor, target, peer)


def _light(results, means):
    """Rows for the light of sources and nebula: ours on the worst seed, of peers the best mean."""
    for name, limit in LIGHT_TARGETS.items():
        if name in means["crsteps"]:
            value = max(abs(o.figures[name]) for o in results["crsteps"])
            peers = {
                m: abs(f[name])
                for m, f in means.items()
                if METHODS[m].of_peer and not METHODS[m].user_mask
            }
            best = min(peers, key=peers.get) if peers else ""
            shown = f"{peers[best]:.3f} ({best}, mean)" if peers else ""
            yield (
                f"| {name}, worst seed | {value:.3f} | {shown} | | {limit:g} absolute "
                f"| {'yes' if value <= limit else 'NO'} "
            )


def _row(figure, value, peer, target, peer_name):
    """One row of the table of targets."""
    ratio = value / peer
    verdict = "" if target is None else ("yes" if ratio <= target else "NO")
    shown = "" if target is None else f"{target:.3g}"
    return (
        f"| {figure} | {value:.3f} | {peer:.3f} ({peer_name}) | {ratio:.3f} | {shown} | {verdict} "
    )


def summary_table(rows):
    """Lines of the table of all cases; `rows` are pairs of case and outcomes by method."""
    yield (
        "| exposure | mixture | none | crsteps | least possible "
        "| best jwst | ratio | best snowblind | ratio "
        "| excess variance crsteps / best | ratio | given mask: crsteps / best | ratio "
    )
    yield "| --- " * 13
    for case, results in rows:
        means = {method: mean_figures(outcomes) for method, outcomes in results.items()}
        if "crsteps" not in means:
            continue
        ours, own = means["crsteps"], peers_with_own_mask(means)
        cells = [case.name, case.mixture, f"{means['none']['bg']:.2f}", f"{ours['bg']:.2f}"]
        cells.append(f"{least_residual(case.options(), ours['floor']):.2f}")
        for package, targets in BACKGROUND_TARGETS.items():
            levels = {m: means[m]["bg"] for m in own if METHODS[m].package == package}
            cells += _best_and_ratio(ours["bg"], levels, targets.get(case.preset))
        over = {m: excess(means[m]) for m in own}
        best = _best_and_ratio(excess(ours), over, EXCESS_TARGET)
        cells += [f"{excess(ours):.2f} / {best[0]}", best[1]]
        given = {m: f["bg"] for m, f in means.items() if METHODS[m].of_peer and m not in own}
        with_mask = means.get("crsteps, given mask", {}).get("bg", np.nan)
        best = _best_and_ratio(with_mask, given, None)
        cells += [f"{with_mask:.2f} / {best[0]}", best[1]]
        yield "| " + " | ".join(cells) + " "


def _best_and_ratio(ours, levels, target):
    """Two cells: the least level with its method, and our ratio to it with the target."""
    if not levels:
        return ["", ""]
    best = min(levels, key=levels.get)
    ratio = ours / levels[best]
    verdict = "" if target is None else f" ({target:.3g}: {'met' if ratio <= target else 'MISSED'})"
    name = best.removesuffix(", given mask")
    return [f"{levels[best]:.2f} ({name})", f"{ratio:.3f}{verdict}"]


def variant_table(rows):
    """Lines of the table of variants; `rows` are pairs of case and outcomes by method."""
    yield (
        "| case | none | crsteps | crsteps / none | best jwst | ratio | best snowblind | ratio "
        "| under the mask: none | crsteps | best peer "
    )
    yield "| --- " * 11
    for case, results in rows:
        means = {method: mean_figures(outcomes) for method, outcomes in results.items()}
        own = [m for m in means if METHODS[m].package == OURS]
        if not own:
            continue
        ours, none = means[own[0]], means["none"]
        cells = [f"{none['bg']:.2f}", f"{ours['bg']:.2f}", f"{ours['bg'] / none['bg']:.3f}"]
        for package in BACKGROUND_TARGETS:
            levels = {m: f["bg"] for m, f in means.items() if METHODS[m].package == package}
            cells += _best_and_ratio(ours["bg"], levels, None)
        if "hidden" in none:
            under = {m: f["hidden"] for m, f in means.items() if METHODS[m].of_peer}
            cells += [f"{none['hidden']:.2f}", f"{ours['hidden']:.2f}"]
            cells += _best_and_ratio(1.0, under, None)[:1]
        else:
            cells += [""] * 3
        yield f"| {case.name} | {' | '.join(cells)} "


def white_table(results):
    """Lines of the table for ramps without flicker noise."""
    yield "| method | noise removed (rms) | rise of the sd of a difference % | of the slope % "
    yield "| --- " * 4
    for method, outcomes in results.items():
        f = mean_figures(outcomes)
        rises = (100 * (f[a] / f[b] - 1) for a, b in (("total", "floor"), ("rate", "rate_floor")))
        yield f"| {method} | {f['bg']:.4f} | {' | '.join(f'{rise:+.4f}' for rise in rises)} "


def nebula_table(results, without):
    """Lines of the table of the nebula's light that methods take; noise cancels in it."""
    yield "| method | change of the nebula's surface brightness, seed by seed, DN per group "
    yield "| --- " * 2
    for method, outcomes in results.items():
        pairs = zip(outcomes, without[method], strict=True)
        taken = [a.figures["nebula_bias"] - b.figures["nebula_bias"] for a, b in pairs]
        yield f"| {method} | {', '.join(f'{value:+.3f}' for value in taken)} "


def growth_table(rows):
    """Lines of the table of costs by size; `rows` are pairs of case and outcomes by method."""
    yield (
        "| exposure | Mpixel of differences | CPU s | CPU s net | net / Mpixel | peak MiB "
        "| MiB over reading and writing / MiB of data "
    )
    yield "| --- " * 7
    for case, results in rows:
        options = case.options()
        ny, nx = options.readout.shape
        size = options.n_integrations * ny * nx / 2**20
        cpu, floor = mean_cost(results["crsteps"]), mean_cost(results["none"])
        mib, floor_mib = (mean_cost(results[m], "peak_mib") for m in ("crsteps", "none"))
        differences = size * (options.n_groups - 1)
        yield (
            f"| {case.name} | {differences:.2f} | {cpu:.2f} | {cpu - floor:.2f} "
            f"| {(cpu - floor) / differences:.3f} | {mib:.0f} "
            f"| {(mib - floor_mib) / (4 * size * options.n_groups):.2f} "
        )


def same_fit_table(rows):
    """Lines of the table of the fits of the jwst step; `rows` are dicts of what was measured."""
    yield (
        "| case | fit | CPU s crsteps | CPU s jwst | ratio | net ratio "
        "| rms of the difference / rms of the noise | largest difference DN "
    )
    yield "| --- " * 8
    for r in rows:
        net = (r["ours"] - r["floor"]) / (r["theirs"] - r["floor"])
        yield (
            f"| {r['case']} | {r['fit']} | {r['ours']:.2f} | {r['theirs']:.2f} "
            f"| {r['ours'] / r['theirs']:.3f} | {net:.3f} | {r['difference']:.1e} "
            f"| {r['largest']:.1e} "
        )
