"""SceneFlickerNoiseStep and its peers on the same simulated ramps: noise that is left, and costs.

Simulates ramps with known flicker noise and fixed seeds, runs our step, ``CleanFlickerNoiseStep``
of jwst and, where ``--snowblind-python`` names an interpreter with snowblind 1.0, its
``StreamCleanStep`` on the same files, each as a whole process with one thread and without CRDS,
and prints tables in Markdown.

    python tests/benchmarks/benchmark_scene_flicker_noise.py --seeds 2

The draft ramp fit of the jwst step gets small reference files with the true gain and read noise.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from measured_process import Cost, run_measured
from scipy.ndimage import maximum_filter, uniform_filter

from crsteps.simulation import flicker_ramps

SEED = 20260301
APERTURE = 5
# Side of the box in which the sky around a source is measured, and the least share of it that must
# be sky.
SKY_BOX, LEAST_SKY = 41, 0.1
RUNNER = Path(__file__).with_name("run_flicker_step.py")
OURS, JWST, SNOWBLIND = "crsteps", "jwst", "snowblind"
STEPS = {
    OURS: "crsteps.flicker_noise.step.SceneFlickerNoiseStep",
    JWST: "jwst.clean_flicker_noise.CleanFlickerNoiseStep",
    SNOWBLIND: "snowblind.stream_clean.StreamCleanStep",
}
HEADERS = {
    "nircam_full": ("NIRCAM", "NRCALONG", "NRC_IMAGE", "FULL", "RAPID"),
    "nirspec_mos": ("NIRSPEC", "NRS1", "NRS_MSASPEC", "FULL", "NRSRAPID"),
    "niriss_soss": ("NIRISS", "NIS", "NIS_SOSS", "SUBSTRIP256", "NISRAPID"),
    "nirspec_sub2048": ("NIRSPEC", "NRS1", "NRS_BRIGHTOBJ", "SUB2048", "NRSRAPID"),
}
FULL = ("nircam_full", "nirspec_mos")
FFT = ("nirspec_mos", "nirspec_sub2048")
# Largest allowed ratio of our figure to the best of jwst.
BACKGROUND_TARGETS = {"nircam_full": 0.65, "nirspec_mos": 0.67}


@dataclass(frozen=True)
class Method:
    """A package, the parameters of its step, and the presets it can treat."""

    package: str | None
    parameters: dict = field(default_factory=dict)
    presets: tuple[str, ...] = tuple(HEADERS)
    true_mask: bool = False


BY_CHANNEL = {"fit_by_channel": True}
MODEL = {"background_method": "model"}
STREAM = {"apply_flat_field": False, "clean_first_group": False}
METHODS = {
    "none": Method(None),
    "crsteps": Method(OURS),
    "crsteps, true mask": Method(OURS, true_mask=True),
    "jwst median": Method(JWST),
    "jwst median by channel": Method(JWST, BY_CHANNEL, FULL),
    "jwst median, model": Method(JWST, MODEL, FULL),
    "jwst median by channel, model": Method(JWST, BY_CHANNEL | MODEL, FULL),
    "jwst fft": Method(JWST, {"fit_method": "fft"}, FFT),
    "jwst median, true mask": Method(JWST, {}, true_mask=True),
    "jwst median by channel, true mask": Method(JWST, BY_CHANNEL, FULL, true_mask=True),
    "jwst fft, true mask": Method(JWST, {"fit_method": "fft"}, FFT, true_mask=True),
    "snowblind": Method(SNOWBLIND, STREAM, ("nircam_full",)),
    "snowblind integration_model": Method(
        SNOWBLIND, STREAM | {"background_method": "integration_model"}, ("nircam_full",)
    ),
}


@dataclass(frozen=True)
class Outcome:
    """Figures of one method on one exposure (see `judge`), and the cost of the process."""

    figures: dict[str, float]
    cost: Cost


# --- files ------------------------------------------------------------------------------------


def write_files(preset, ramps, folder):
    """Write the ramp, the true mask and the references; return settings of the runner."""
    from stdatamodels.jwst import datamodels

    instrument, detector, exp_type, subarray, pattern = HEADERS[preset]
    options = ramps.options
    ny, nx = options.readout.shape

    def describe(model):
        model.meta.instrument.name = instrument
        model.meta.instrument.detector = detector
        window = model.meta.subarray
        window.name = subarray
        window.xstart, window.ystart, window.xsize, window.ysize = 1, 1, nx, ny
        window.fastaxis, window.slowaxis = options.readout.fast_axis, options.readout.slow_axis
        return model

    paths = {name: str(folder / f"{name}.fits") for name in ("x_jump", "mask", "gain", "readnoise")}
    pixeldq = np.where(ramps.bad_pixels, flicker_ramps.DO_NOT_USE, 0).astype(np.uint32)
    ramp = datamodels.RampModel(data=ramps.data, groupdq=ramps.groupdq, pixeldq=pixeldq)
    exposure = describe(ramp).meta.exposure
    exposure.type = exp_type
    exposure.readpatt = pattern
    exposure.ngroups, exposure.nints = options.n_groups, options.n_integrations
    exposure.nframes, exposure.groupgap = 1, 0
    exposure.noutputs = options.readout.n_outputs
    exposure.frame_time = exposure.group_time = options.group_time
    ramp.meta.observation.date = "2026-01-01"
    ramp.meta.observation.time = "00:00:00"
    ramp.save(paths["x_jump"])
    background = ~ramps.scene_mask & ~ramps.bad_pixels
    datamodels.ImageModel(data=background.astype(np.float32)).save(paths["mask"])
    gain = np.full((ny, nx), options.gain, np.float32)
    describe(datamodels.GainModel(data=gain)).save(paths["gain"])
    # The reference file holds the noise of a difference of two reads.
    noise = np.full((ny, nx), options.read_noise * np.sqrt(2), np.float32)
    describe(datamodels.ReadnoiseModel(data=noise)).save(paths["readnoise"])
    return {
        "input": paths["x_jump"],
        "mask": paths["mask"],
        "references": {kind: paths[kind] for kind in ("gain", "readnoise")},
    }


def run_method(method, files, folder, pythons):
    """Run a method in a process of its own; return the cleaned ramp and the cost."""
    from astropy.io import fits

    output = folder / "cleaned.fits"
    output.unlink(missing_ok=True)
    parameters = dict(method.parameters)
    if method.package == JWST:
        parameters["skip"] = False
    if method.true_mask:
        parameters["user_mask"] = files["mask"]
    settings = folder / "settings.json"
    content = {
        "step": STEPS.get(method.package),
        "parameters": parameters,
        "references": files["references"],
        "input": files["input"],
        "output": str(output),
    }
    settings.write_text(json.dumps(content), encoding="utf-8")
    log = folder / "log.txt"
    cost = run_measured([pythons[method.package], RUNNER, settings], log=log)
    if method.package and "COMPLETE" not in log.read_text(encoding="utf-8"):
        raise RuntimeError(f"{method} was skipped: {log.read_text(encoding='utf-8')[-2000:]}")
    with fits.open(output) as hdus:
        return np.array(hdus["SCI"].data, np.float32), cost


# --- figures ----------------------------------------------------------------------------------


def judge(ramps, cleaned):
    """
    Compare a cleaned ramp with the truth.

    Returns
    -------
    figures : dict
        In DN per group: ``bg``, ``src``, ``neb``: rms of estimated minus true noise of a difference
        on background, source and nebula pixels, ``ac`` that on the background about the mean of
        each difference; ``total`` and ``floor``: sd on the background of a cleaned difference and
        of one without flicker noise, against the scene; ``rate`` and ``rate_floor``: the same of
        the slopes; ``sky_bias`` and ``nebula_bias``: error of the mean slope there. In per cent:
        ``faint`` and ``bright`` error of the light of sources, and ``*_error`` its standard error.
    """
    nebula, peak = ramps.scene.nebula, ramps.scene.nebula.max()
    in_nebula = ~ramps.scene_mask & (nebula > 0.25 * peak)
    background = ~ramps.scene_mask & (nebula <= 0.1 * peak)
    flagged = ramps.groupdq != 0
    sums = {}
    for i in range(len(cleaned)):
        for j in range(cleaned.shape[1] - 1):
            used = ~flagged[i, j] & ~flagged[i, j + 1]
            true = ramps.flicker[i, j + 1] - ramps.flicker[i, j]
            light = cleaned[i, j + 1] - cleaned[i, j] - ramps.scene.rate(i)
            free = ramps.data[i, j + 1] - ramps.data[i, j] - true - ramps.scene.rate(i)
            left = light - free
            places = {"bg": background, "src": ramps.scene_mask, "neb": in_nebula}
            for name, place in places.items():
                if place.any():
                    sums.setdefault(name, []).append(np.mean(np.square(left[used & place])))
            place = used & background
            sums.setdefault("ac", []).append(np.var(left[place]))
            sums.setdefault("total", []).append(np.var(light[place]))
            sums.setdefault("floor", []).append(np.var(free[place]))
    figures = {name: float(np.sqrt(np.mean(values))) for name, values in sums.items()}
    good = ~flagged.any(axis=(0, 1))
    slope = mean_slope(cleaned)
    error = slope - mean_slope(ramps.data - ramps.flicker)
    # The mean of the integrations dims by the transit, in and out of the cleaned ramp alike.
    scene = np.mean([ramps.scene.rate(i) for i in range(len(cleaned))], axis=0)
    figures["rate"] = float(np.std((slope - scene)[good & background]))
    figures["rate_floor"] = float(np.std((slope - error - scene)[good & background]))
    figures["sky_bias"] = float(error[good & background].mean())
    if peak > 0:
        figures["nebula_bias"] = float(error[good & in_nebula].mean())
    return figures | source_bias(ramps, error, good)


def mean_slope(data):
    """Slope of straight lines through the groups, mean of the integrations, DN per group."""
    time = np.arange(data.shape[1]) - (data.shape[1] - 1) / 2
    return np.tensordot(time / (time**2).sum(), data.mean(axis=0), axes=1)


def source_bias(ramps, error, good):
    """
    Error of the light of sources in per cent: in apertures, or on the pixels of spectra.

    What photometry would take for the sky around is no error of the light: it is subtracted. Stars
    and galaxies of 200 to 2000 DN per group are faint; the pixels of spectra are where there is
    less than three standard deviations of the white noise of a difference.
    """
    light = ramps.scene.sources
    around = (good & ~ramps.scene_mask).astype(np.float64)
    share = uniform_filter(around, SKY_BOX)
    sky = uniform_filter(error * around, SKY_BOX) / np.maximum(share, LEAST_SKY)
    error, good = error - sky, good & (share > LEAST_SKY)
    if len(ramps.scene.catalogue):
        return aperture_bias(ramps.scene.catalogue, light, error, good)
    figures = {}
    level = light / ramps.white_sigma
    for name, chosen in {"faint": (level > 0.1) & (level < 3), "bright": level >= 3}.items():
        chosen &= good
        if chosen.any():
            figures[name] = float(100 * error[chosen].sum() / light[chosen].sum())
    return figures


def aperture_bias(catalogue, light, error, good):
    """Error of the light in square apertures around stars and galaxies in per cent, and its s.e."""
    x, y, flux = catalogue.T
    edge, (ny, nx) = APERTURE // 2, light.shape
    inside = (x > edge) & (x < nx - 1 - edge) & (y > edge) & (y < ny - 1 - edge)
    at = np.rint(y[inside]).astype(int), np.rint(x[inside]).astype(int)
    flux, usable = flux[inside], ~maximum_filter(~good, APERTURE)[at]
    relative = 100 * uniform_filter(error, APERTURE)[at] / uniform_filter(light, APERTURE)[at]
    figures = {}
    for name, chosen in {"faint": (flux >= 200) & (flux < 2000), "bright": flux >= 2000}.items():
        values = relative[chosen & usable]
        figures[name] = float(values.mean())
        figures[f"{name}_error"] = float(values.std() / np.sqrt(values.size))
    return figures


# --- tables -----------------------------------------------------------------------------------


def mean_figures(outcomes):
    """Mean of the figures of several seeds; biases keep their sign."""
    names = outcomes[0].figures
    return {name: float(np.mean([o.figures[name] for o in outcomes])) for name in names}


def worst(outcomes, name):
    """Largest magnitude of a bias among the seeds."""
    return max(abs(o.figures[name]) for o in outcomes)


def residual_table(preset, results):
    """Lines of the table of what is left; `results` maps methods to outcomes of the seeds."""
    floors = mean_figures(results["none"])
    yield (
        f"{preset}: sd without flicker noise: difference {floors['floor']:.4f}, "
        f"slope {floors['rate_floor']:.4f} DN per group"
    )
    yield ""
    yield (
        "| method | bg | bg, means removed | src | neb | bg / none | total | excess variance "
        "| slope | nebula bias (minus that of the sky) | faint sources % | bright sources % "
    )
    yield "| --- " * 12
    for method, outcomes in results.items():
        f = mean_figures(outcomes)
        nebula = in_nebula = ""
        if "nebula_bias" in f:
            in_nebula = f"{f['neb']:.3f}"
            nebula = f"{f['nebula_bias']:+.3f} ({f['nebula_bias'] - f['sky_bias']:+.3f})"
        biases = [
            " ".join(
                [f"{f[name]:+.2f}"] + [f"± {f[key]:.2f}" for key in (f"{name}_error",) if key in f]
            )
            if name in f
            else ""
            for name in ("faint", "bright")
        ]
        yield (
            f"| {method} | {f['bg']:.3f} | {f['ac']:.3f} | {f['src']:.3f} "
            f"| {in_nebula} | {f['bg'] / floors['bg']:.3f} "
            f"| {f['total']:.3f} | {f['total'] ** 2 - f['floor'] ** 2:+.3f} | {f['rate']:.4f} "
            f"| {nebula} | {biases[0]} | {biases[1]} "
        )


def cost_table(results):
    """Lines of the table of costs; net is without what reading and writing alone costs."""
    floor = np.mean([o.cost.cpu_seconds for o in results["none"]])
    yield "| method | CPU s | CPU s net of reading and writing | wall s | peak MiB "
    yield "| --- " * 5
    for method, outcomes in results.items():
        cpu, wall, mib = (
            np.mean([getattr(o.cost, name) for o in outcomes])
            for name in ("cpu_seconds", "wall_seconds", "peak_mib")
        )
        yield f"| {method} | {cpu:.2f} | {cpu - floor:.2f} | {wall:.2f} | {mib:.0f} "


def target_table(preset, results):
    """Lines of the table of ratios to the best peer with its own mask, and the targets."""
    yield "| figure | crsteps | best peer | ratio | target | met "
    yield "| --- " * 6
    means = {method: mean_figures(outcomes) for method, outcomes in results.items()}
    if "crsteps" not in means:
        return
    ours = means["crsteps"]
    peers = {}
    for package in (JWST, SNOWBLIND):
        of_package = [
            m for m in means if METHODS[m].package == package and not METHODS[m].true_mask
        ]
        if of_package:
            peers[package] = of_package

    def row(figure, value, peer, target, peer_name):
        ratio = value / peer
        verdict = "" if target is None else ("yes" if ratio <= target else "NO")
        shown = "" if target is None else f"{target:g}"
        return (
            f"| {figure} | {value:.3f} | {peer:.3f} ({peer_name}) | {ratio:.3f} | {shown} "
            f"| {verdict} "
        )

    limits = {JWST: BACKGROUND_TARGETS.get(preset), SNOWBLIND: 0.82}
    for package, names in peers.items():
        best = min(names, key=lambda m: means[m]["bg"])
        yield row(
            "residual on the background", ours["bg"], means[best]["bg"], limits[package], best
        )
        best = min(names, key=lambda m: means[m]["ac"])
        yield row("the same, means removed", ours["ac"], means[best]["ac"], None, best)
    everyone = [m for names in peers.values() for m in names]
    if everyone:
        excess = {
            m: means[m]["total"] ** 2 - means[m]["floor"] ** 2 for m in [*everyone, "crsteps"]
        }
        best = min(everyone, key=excess.get)
        yield row("excess variance", excess["crsteps"], excess[best], 1 / 3, best)
    if preset in FULL:
        cpu = {m: np.mean([o.cost.cpu_seconds for o in results[m]]) for m in results}
        for peer, target in (("jwst median by channel", 0.6), ("jwst fft", 0.3)):
            if peer in cpu:
                yield row("CPU s", cpu["crsteps"], cpu[peer], target, peer)
                ours_net, peer_net = cpu["crsteps"] - cpu["none"], cpu[peer] - cpu["none"]
                yield row("CPU s net", ours_net, peer_net, target, peer)
    for name, limit in (("faint", 1), ("bright", 1), ("nebula_bias", 0.1)):
        if name in ours:
            best = min((abs(means[m][name]), m) for m in everyone) if everyone else (np.nan, "")
            value = worst(results["crsteps"], name)
            yield (
                f"| {name}, worst seed | {value:.3f} | {best[0]:.3f} ({best[1]}, mean) | "
                f"| {limit:g} absolute | {'yes' if value <= limit else 'NO'} "
            )


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


# --- the script -------------------------------------------------------------------------------


def run_preset(preset, arguments, folder, seeds, *, methods, **changes):
    """Run the methods on one preset; return outcomes of the seeds by method."""
    pythons = {
        None: sys.executable,
        OURS: sys.executable,
        JWST: sys.executable,
        SNOWBLIND: arguments.snowblind_python,
    }
    results = {}
    for seed in seeds:
        options = getattr(flicker_ramps, preset)(**changes)
        ramps = flicker_ramps.simulate_flicker_ramps(options, seed=seed)
        files = write_files(preset, ramps, folder)
        for name in methods:
            method = METHODS[name]
            if preset not in method.presets or pythons[method.package] is None:
                continue
            cleaned, cost = run_method(method, files, folder, pythons)
            outcome = Outcome(judge(ramps, cleaned), cost)
            print(f"  {preset} {seed} {name}: {outcome}", file=sys.stderr, flush=True)
            results.setdefault(name, []).append(outcome)
    return results


def show(lines):
    """Print a table, and an empty line after it."""
    for line in lines:
        print(f"{line}|" if line.startswith("|") else line)
    print(flush=True)


def main():
    """Run everything and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--snowblind-python", help="interpreter with snowblind 1.0 and jwst")
    parser.add_argument("--presets", nargs="+", choices=HEADERS, default=list(HEADERS))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--seeds", type=int, default=2, help="number of exposures of each preset")
    parser.add_argument(
        "--paired-nebula",
        action="store_true",
        help="run again without the nebula, to tell its light from noise: twice the time",
    )
    parser.add_argument("--white-seeds", type=int, default=1, help="0: no table of white noise")
    arguments = parser.parse_args()
    # The cost of doing nothing, and its residual, are the unit of the others.
    methods = [name for name in METHODS if name == "none" or name in arguments.methods]
    seeds = range(SEED, SEED + arguments.seeds)
    with tempfile.TemporaryDirectory() as temporary:
        for preset in arguments.presets:
            folder = Path(temporary) / preset
            folder.mkdir()
            if seeds:
                results = run_preset(preset, arguments, folder, seeds, methods=methods)
                for table in (residual_table(preset, results), cost_table(results)):
                    show(table)
                show(target_table(preset, results))
                scene = getattr(flicker_ramps, preset)().scene
                if scene.nebula and arguments.paired_nebula:
                    # Too faint to see, but the random numbers are drawn as before.
                    dark = replace(scene, nebula=1e-6)
                    without = run_preset(
                        preset, arguments, folder, seeds, methods=methods, scene=dark
                    )
                    show(nebula_table(results, without))
            if arguments.white_seeds:
                white = range(SEED + 100, SEED + 100 + arguments.white_seeds)
                silent = dict.fromkeys(("common_rms", "independent_rms", "alternating_rms"), 0.0)
                own = [name for name in methods if not METHODS[name].true_mask]
                print(f"{preset}: white noise only\n")
                show(
                    white_table(run_preset(preset, arguments, folder, white, methods=own, **silent))
                )


if __name__ == "__main__":
    main()
