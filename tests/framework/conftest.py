"""Toy steps, files for them, ``strun``, and a CRDS server that never answers."""

import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

STEPS_OF_TESTS = Path(__file__).parent / "steps_of_tests"
sys.path.insert(0, str(STEPS_OF_TESTS))


@pytest.fixture(scope="session")
def steps_of_tests():
    """Return the folder of the module ``toysteps``, for the PYTHONPATH of other processes."""
    return STEPS_OF_TESTS


@dataclass(frozen=True)
class Finished:
    """What a command left: status, output, files in its folder."""

    status: int
    stdout: str
    stderr: str
    folder: Path

    @property
    def files(self):
        """Names of all files and folders, also hidden ones."""
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*"))


def run_command(command, folder, environment, **variables):
    """Run a command in a folder, with the toy steps within its reach."""
    result = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env={**environment, "PYTHONPATH": str(STEPS_OF_TESTS), **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return Finished(result.returncode, result.stdout, result.stderr, folder)


@pytest.fixture
def strun(tmp_path, user_environment):
    """Return a function that runs ``strun`` in the temporary folder, by default without CRDS."""

    def run(*arguments, **variables):
        return run_command(["strun", *arguments], tmp_path, user_environment, **variables)

    return run


def make_rate(value=1.0):
    """Make a rate image of NIRCam with all pixels at a value."""
    from stdatamodels.jwst.datamodels import ImageModel

    model = ImageModel(np.full((16, 16), value, dtype="f4"))
    model.meta.telescope = "JWST"
    model.meta.instrument.name = "NIRCAM"
    model.meta.exposure.type = "NRC_IMAGE"
    model.meta.observation.date = "2026-01-01"
    model.meta.observation.time = "00:00:00"
    return model


@pytest.fixture
def rate():
    """Return a model of a rate image."""
    return make_rate()


@pytest.fixture
def rate_file(tmp_path):
    """Write a rate image of ones, and return its path."""
    path = tmp_path / "x_jump.fits"
    make_rate().save(path)
    return path


@pytest.fixture
def silent_server():
    """Return the address of a server on this machine that accepts connections, nothing more."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(50)
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
