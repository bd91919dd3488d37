"""Detectors of single images and the programs they follow: agreement, CPU time and memory.

Runs ``detect_pycosmic`` and, where ``--peer-python`` names an interpreter with PyCosmic 0.6, its
``det_cosmics``, and ``detect_lacosmic`` and astroscrappy, on the same images: simulated exposures
of a fibre-fed spectrograph with a fixed seed and, where ``--real`` names their folder, exposures of
the spectrograph SPRAT. Each run is a process of its own with one thread. Agreement is the number of
pixels that both flag over that of those that either flags. The reference programs know one pass
only: two passes are two of their runs, joined here, and the joining is not counted.

    python tests/benchmarks/benchmark_pycosmic.py --peer-python /path/to/peer/bin/python
"""

import argparse
import json
import resource
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from measured_process import Cost, run_measured

SEED = 20260212
SHAPES = {"512x512": (512, 512), "2016x1596": (2016, 1596)}
# Gain, read noise [ADU] and bias [ADU] of SPRAT, as in `real_exposures`.
SPRAT = {"gain": 2.45, "read_noise": 2.21}, 913.0
PASSES = {"one pass, 5 sigma": (5.0,), "one pass, 3 sigma": (3.0,), "two passes": (5.0, 3.0)}
METHODS = {"pycosmic": "PyCosmic", "lacosmic": "astroscrappy"}


@dataclass(frozen=True)
class Run:
    """
    Outcome of one program on one image.

    Attributes
    ----------
    mask : ndarray of bool
        Flagged pixels.
    cost : Cost
        Of the whole process.
    call_seconds : float
        CPU time of the calls alone.
    mib_before : float
        Peak memory before the calls: interpreter, libraries and image.
    """

    mask: np.ndarray
    cost: Cost
    call_seconds: float
    mib_before: float

    @property
    def call_mib(self):
        """Peak memory beyond that before the calls."""
        return self.cost.peak_mib - self.mib_before


# --- one run, in a process of its own ---------------------------------------------------------


def detect_crsteps(method, image, sigma, gain, read_noise):
    """Mask of all passes, as a list of one."""
    from crsteps.cosmic_rays.auxiliary import options_class

    module = __import__(f"crsteps.cosmic_rays.{method}", fromlist=["detect"])
    name = {"pycosmic": "sigma_det", "lacosmic": "sigclip"}[method]
    options = options_class(method)(**{name: sigma})
    noise = {"read_variance": read_noise**2, "poisson_factor": 1 / gain}
    return [getattr(module, f"detect_{method}")(image, **noise, options=options).mask]


def detect_reference(method, image, sigma, gain, read_noise):
    """Masks of each pass."""
    detect = {"pycosmic": _reference_pycosmic, "lacosmic": _reference_lacosmic}[method]
    return [detect(image, value, gain, gain * read_noise) for value in sigma]


def _reference_pycosmic(image, sigma, gain, read_noise):
    """Mask of PyCosmic with numina's documented parameters; read noise in electrons."""
    from PyCosmic import det_cosmics

    found = det_cosmics(
        image,
        sigma_det=sigma,
        rlim=1.2,
        iterations=5,
        fwhm_gauss=[2.5, 2.5],
        replace_box=[5, 5],
        gain=gain,
        rdnoise=read_noise,
        bias=0.0,
    )
    return np.asarray(found.mask, dtype=bool)


def _reference_lacosmic(image, sigma, gain, read_noise):
    """Mask of astroscrappy with numina's documented parameters; read noise in electrons."""
    import astroscrappy

    y, x = np.mgrid[-5:6, -5:6] * (2 * np.sqrt(2 * np.log(2)) / 2.5)
    kernel = np.exp(-0.5 * (x**2 + y**2))
    mask, _ = astroscrappy.detect_cosmics(
        np.pad(image, 10, mode="reflect"),
        sigclip=sigma,
        sigfrac=0.3,
        objlim=5.0,
        gain=gain,
        readnoise=read_noise,
        satlevel=65535.0 * gain,
        niter=4,
        fsmode="convolve",
        psfk=(kernel / kernel.sum()).astype(np.float32),
    )
    return mask[10:-10, 10:-10]


def run_once(program, job, result):
    """Run one program on one image, and write its masks and what the calls cost."""
    settings = json.loads(Path(job).read_text(encoding="utf-8"))
    image = np.load(settings.pop("image"))
    detect = {"crsteps": detect_crsteps, "reference": detect_reference}[program]
    detect(image=image[:64, :64].copy(), **settings)  # imports are no part of the call
    before, start = _peak_mib(), time.process_time()
    masks = detect(image=image, **settings)
    cost = {"call_seconds": time.process_time() - start, "mib_before": before}
    np.savez(result, masks=np.array(masks), **cost)


def _peak_mib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # Linux counts in KiB


# --- all runs ---------------------------------------------------------------------------------


def measure(program, python, job, folder):
    """Run one program in a process of its own."""
    from crsteps.cosmic_rays.two_pass import join_passes

    folder.mkdir(parents=True)
    path, result = folder / "job.json", folder / "result.npz"
    path.write_text(json.dumps(job), encoding="utf-8")
    cost = run_measured([python, __file__, "--run", program, path, result], log=folder / "log.txt")
    with np.load(result) as found:
        masks = found["masks"]
        mask = masks[0] if len(masks) == 1 else join_passes(*masks)
        return Run(mask, cost, float(found["call_seconds"]), float(found["mib_before"]))


def images(real, shapes):
    """Yield name, image without bias, and its noise."""
    from crsteps.simulation.fibre_spectrograph import equal_options, simulate_fibre_exposures

    for name in shapes:
        options = equal_options(shape=SHAPES[name])
        data = simulate_fibre_exposures(options, seed=SEED).data[0]
        yield f"simulated {name}", data, {"gain": 1.0, "read_noise": options.read_noise}
    if real:
        from astropy.io import fits

        noise, bias = SPRAT
        for path in sorted(real.glob("v_e_*.fits*")):
            data = fits.getdata(path).astype(np.float32) - np.float32(bias)
            yield f"SPRAT {path.name.split('.')[0]}", data, noise


def rows(name, image, noise, arguments, folder):
    """Yield lines of the table for one image."""
    np.save(folder / "image.npy", np.ascontiguousarray(image, dtype=np.float32))
    for method in arguments.methods:
        # astroscrappy is a dependency of the package; PyCosmic is not.
        peer = arguments.peer_python if method == "pycosmic" else sys.executable
        for passes, sigma in PASSES.items():
            job = {"method": method, "image": str(folder / "image.npy"), "sigma": sigma, **noise}
            place = folder / method / passes.replace(" ", "_")
            ours = measure("crsteps", sys.executable, job, place / "crsteps")
            theirs = measure("reference", peer, job, place / "reference") if peer else None
            cells = [name, METHODS[method], passes, *_cells(ours, theirs)]
            yield "| " + " | ".join(cells) + " |"


def _cells(ours, theirs):
    """What is compared of two runs."""
    if theirs is None:
        return [
            f"{np.count_nonzero(ours.mask)}",
            "",
            f"{ours.call_seconds:.2f}",
            "",
            f"{ours.cost.peak_mib:.0f}",
            "",
            f"{ours.call_mib:.0f}",
            "",
        ]
    both = np.count_nonzero(ours.mask & theirs.mask)
    either = np.count_nonzero(ours.mask | theirs.mask)
    pairs = (
        (ours.call_seconds, theirs.call_seconds, "{:.2f} / {:.2f}"),
        (ours.cost.peak_mib, theirs.cost.peak_mib, "{:.0f} / {:.0f}"),
        (ours.call_mib, theirs.call_mib, "{:.0f} / {:.0f}"),
    )
    cells = [
        f"{np.count_nonzero(ours.mask)} / {np.count_nonzero(theirs.mask)}",
        f"{100 * both / max(either, 1):.2f} %",
    ]
    for mine, other, form in pairs:
        cells += [form.format(mine, other), f"{mine / other:.3f}"]
    return cells


HEADER = (
    "image | reference | passes | pixels | agreement | CPU s of the call | ratio"
    " | peak MiB | ratio | beyond libraries and image, MiB | ratio"
)


def main():
    """Run everything and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer-python", help="interpreter of an environment with PyCosmic 0.6")
    parser.add_argument("--shapes", nargs="*", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--real", type=Path, help="folder of the exposures of SPRAT")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--run", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run:
        run_once(*arguments.run)
        return
    print(f"| {HEADER} |\n|{' --- |' * len(HEADER.split('|'))}", flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        for number, (name, image, noise) in enumerate(images(arguments.real, arguments.shapes)):
            folder = Path(temporary, str(number))
            folder.mkdir()
            for line in rows(name, image, noise, arguments, folder):
                print(line, flush=True)


if __name__ == "__main__":
    main()
