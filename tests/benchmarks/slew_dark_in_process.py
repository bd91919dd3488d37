"""
Costs of slew_dark_cosmics from file to all products, without the start of the interpreter.

Two questions that whole commands answer badly, because astroscrappy takes ten per cent more or less
from run to run, and the start of stpipe as long as the search of six detectors: what all else costs
beside the calls of astroscrappy in the same process, and what a second process saves.
"""

import argparse
import tempfile
import time
from pathlib import Path

import astroscrappy

from crsteps import SlewDarkCosmicsStep
from crsteps.detector.nisp import DETECTORS
from crsteps.simulation.nisp_files import write_bad_pixel_map, write_nisp_file
from crsteps.simulation.slew_darks import SlewDarkOptions, simulate_slew_dark

SIMULATED = 4  # detectors; the others are copies, which cost the same


def write_dark(folder, *, seed=900, shape=(2048, 2048)):
    """Write a slew dark of sixteen detectors with its bad-pixel map; return both paths."""
    options = SlewDarkOptions(shape=shape)
    some = [simulate_slew_dark(options, seed=seed + i) for i in range(SIMULATED)]
    darks = {name: some[i % SIMULATED] for i, name in enumerate(DETECTORS)}
    return write_nisp_file(folder, darks), write_bad_pixel_map(Path(folder, "bad.fits"), darks)


def search(dark, bad, **parameters):
    """Run the step with all default products; return CPU seconds of this process and wall time."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.process_time(), time.perf_counter()
        SlewDarkCosmicsStep.call(
            str(dark),
            bad_pixel_mask=str(bad),
            save_results=True,
            output_dir=folder,
            configure_log=False,
            **parameters,
        )
        return time.process_time() - start[0], time.perf_counter() - start[1]


def measure_overhead(dark, bad):
    """CPU seconds of the calls of astroscrappy, and of all else."""
    spent, call = [0.0], astroscrappy.detect_cosmics

    def timed(*args, **kwargs):
        start = time.process_time()
        try:
            return call(*args, **kwargs)
        finally:
            spent[0] += time.process_time() - start

    astroscrappy.detect_cosmics = timed
    try:
        cpu, _ = search(dark, bad, detector="astroscrappy")
    finally:
        astroscrappy.detect_cosmics = call
    return spent[0], cpu - spent[0]


def main():
    """Print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0].strip())
    parser.add_argument("--pairs", type=int, default=5, help="runs with one and with two jobs")
    parser.add_argument("--no-overhead", action="store_true", help="leave out astroscrappy")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        dark, bad = write_dark(folder)
        search(dark, bad, detectors=["DET11"])  # imports, and the file in the cache
        for _ in range(arguments.pairs):
            one, two = (search(dark, bad, jobs=jobs)[1] for jobs in (1, 2))
            print(f"one job {one:.2f} s, two {two:.2f} s of wall time: ratio {two / one:.3f}")
        if not arguments.no_overhead:
            calls, other = measure_overhead(dark, bad)
            print(f"astroscrappy {calls:.1f} CPU s, all else {other:.1f}: {other / calls:.1%}")


if __name__ == "__main__":
    main()
