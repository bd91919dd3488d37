"""A small raw file of NISP with its companions and truth, simulated once."""

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from crsteps.simulation.nisp_files import write_bad_pixel_map, write_nisp_file, write_truth
from crsteps.simulation.slew_darks import SlewDarkOptions, simulate_slew_dark

DETECTORS = ("DET11", "DET32", "DET24")
# Windows without reference pixels, which would be told by the size of a whole detector.
OPTIONS = SlewDarkOptions(shape=(128, 128), border=0, n_outputs=4, rate=12.0)


@dataclass(frozen=True)
class SmallDark:
    """Paths of a raw file and what goes with it, and the simulated detectors by name."""

    path: Path
    bad: Path
    truth: Path
    darks: dict


@pytest.fixture(scope="session")
def simulated(tmp_path_factory):
    """Simulate a dark of three detectors, in a folder that no test may change."""
    folder = tmp_path_factory.mktemp("simulated")
    darks = {name: simulate_slew_dark(OPTIONS, seed=1, detector=name) for name in DETECTORS}
    return SmallDark(
        path=write_nisp_file(folder, darks, name="EUC_dark.fits"),
        bad=write_bad_pixel_map(folder / "bad.fits", darks),
        truth=write_truth(folder / "truth.fits", darks),
        darks=darks,
    )


@pytest.fixture
def small(simulated, in_tmp_path):
    """Copy the simulated dark into the current folder, a temporary one."""
    copies = [
        Path(shutil.copy(path, in_tmp_path))
        for path in (simulated.path, simulated.bad, simulated.truth)
    ]
    return SmallDark(*copies, simulated.darks)


@pytest.fixture
def digests():
    """Return a function that gives a checksum of every file of a folder, hidden ones too."""

    def make(folder):
        files = (path for path in Path(folder).iterdir() if path.is_file())
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

    return make
