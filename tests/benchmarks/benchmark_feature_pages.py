"""What the pages of features cost, for crsteps and for numina-crmasks, on the same exposures.

Simulates a scene of a fibre-fed spectrograph with a fixed seed and draws the first features of the
median's mask, one page each, into PDF files. The time of crsteps is that of the call that draws
them, in a process of its own, with the import of Matplotlib. Where ``--peer-python`` names an
interpreter with numina, ``numina-crmasks`` runs twice on the same files, with its pages and with
``maxplots: 0``, and the difference is divided by its features. One thread each.

    python tests/benchmarks/benchmark_feature_pages.py --peer-python /path/to/peer/bin/python
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path

import numpy as np
from benchmark_mm_cosmic import PEER_REQUIREMENTS, SEED
from measured_process import run_measured

from crsteps.simulation.fibre_spectrograph import equal_options, simulate_fibre_exposures
from crsteps.simulation.fits_exposures import write_fits_exposures


def draw_pages(stack, read_noise, most, folder):
    """Find cosmic rays in a stored stack, draw the pages and print what they cost, as JSON."""
    from crsteps.detector.noise import ExposureNoise
    from crsteps.mm_cosmic.combination import combine
    from crsteps.mm_cosmic.feature_figures import PageImages, PageOptions, write_feature_pages
    from crsteps.mm_cosmic.methods import find_with_method, parse_crmethod

    exposures, read_noise = np.load(stack), float(read_noise)
    noise = ExposureNoise.from_gain(1.0, read_noise)
    result = find_with_method(exposures, noise=noise, method=parse_crmethod("mm_lacosmic"))
    images = PageImages(
        exposures=tuple(exposures),
        exposure_masks=tuple(result.exposure_masks),
        median=result.median,
        result=combine(exposures, result, noise=noise, names=("mediancr",))["mediancr"].data,
        lowest=result.lowest,
        codes=result.codes,
    )
    options = PageOptions(maxplots=int(most), unit="adu", noise=read_noise, cr_coincidences=2)
    cpu, wall = time.process_time(), time.perf_counter()
    n_pages = write_feature_pages(
        lambda category: nullcontext(Path(folder) / f"{category}.pdf"), images, options=options
    )
    cost = {
        "pages": sum(n_pages.values()),
        "cpu_seconds": time.process_time() - cpu,
        "wall_seconds": time.perf_counter() - wall,
        "bytes": sum(path.stat().st_size for path in Path(folder).glob("*.pdf")),
    }
    print(json.dumps(cost))


def run_crsteps(exposures, most, folder):
    """Cost of the pages of crsteps in a process of their own."""
    stack = folder / "stack.npy"
    np.save(stack, exposures.data)
    arguments = [stack, str(exposures.options.read_noise), str(most), folder]
    log = folder / "log.txt"
    run_measured([sys.executable, __file__, "--pages", *arguments], log=log)
    return json.loads(log.read_text(encoding="utf-8").splitlines()[-1])


def run_peer(python, paths, exposures, most, folder):
    """Costs of the peer with so many pages, and how many features were drawn."""
    options = exposures.options
    content = {
        "images": [str(path) for path in paths],
        "extnum": 0,
        "gain": options.gain,
        "rnoise": options.read_noise / options.gain,
        "bias": options.bias,
        "requirements": PEER_REQUIREMENTS | {"crmethod": "mm_lacosmic", "maxplots": most},
    }
    folder.mkdir()
    settings = folder / "settings.yaml"
    settings.write_text(json.dumps(content), encoding="utf-8")  # JSON is YAML
    program = Path(python).parent / "numina-crmasks"
    cost = run_measured([python, program, settings, "--output_dir", folder], log=folder / "log.txt")
    drawn = {}
    for path in folder.glob("mediancr_identified_*.pdf"):
        drawn[path.name] = len(re.findall(rb"/Type /Page\b", path.read_bytes())) // 2
    return cost, sum(drawn.values())  # two pages each


def main():
    """Run everything and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer-python", help="interpreter of an environment with numina 0.40")
    parser.add_argument("--most", type=int, default=100, help="features to draw")
    parser.add_argument("--size", type=int, nargs=2, default=(1024, 1024), metavar=("NY", "NX"))
    parser.add_argument("--pages", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.pages:
        draw_pages(*arguments.pages)
        return
    exposures = simulate_fibre_exposures(equal_options(shape=tuple(arguments.size)), seed=SEED)
    print("| program | features drawn | CPU s | wall s | CPU s per feature |")
    print("| --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        own = run_crsteps(exposures, arguments.most, folder)
        rows = {"crsteps": (own["pages"], own["cpu_seconds"], own["wall_seconds"])}
        if arguments.peer_python:
            paths = write_fits_exposures(exposures, folder, integers=False)
            peer = arguments.peer_python
            without, _ = run_peer(peer, paths, exposures, 0, folder / "without")
            cost, n = run_peer(peer, paths, exposures, arguments.most, folder / "with")
            rows["numina mm_lacosmic, with minus without"] = (
                n,
                cost.cpu_seconds - without.cpu_seconds,
                cost.wall_seconds - without.wall_seconds,
            )
        for program, (n, cpu, wall) in rows.items():
            print(f"| {program} | {n} | {cpu:.1f} | {wall:.1f} | {cpu / max(n, 1):.3f} |")


if __name__ == "__main__":
    main()
