"""Exposures of a night of NIRCam, each with the persistence of those before it, and the truth."""

import gc
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from scipy.integrate import quad
from stdatamodels.jwst import datamodels

from crsteps.datamodels.persistence_reference import write_persistence

DAY, START = 86400.0, 60000.0  # s, MJD
SHAPE = (24, 40)
GAIN, FRAME_TIME = 2.0, 10.0  # e-/DN, s
# Amplitude at 1000 s after 1e5 e-, slope; relative error of the amplitude, systematic.
AMPLITUDE, GAMMA, ERROR, SYSTEMATIC = 0.5, 0.9, 0.2, 0.1
N_FRAMES, N_DROPS, N_GROUPS, N_INTEGRATIONS = 2, 1, 4, 2
ALIAS = "powerlaw_persistence"


def frames_of_groups():
    """Return the times of the frames after the reset in s, (n_groups, n_frames)."""
    first = (N_FRAMES + N_DROPS) * np.arange(N_GROUPS)[:, np.newaxis]
    return FRAME_TIME * (first + np.arange(1, N_FRAMES + 1))


DURATION = frames_of_groups()[-1, -1]
RESETS = FRAME_TIME + (DURATION + FRAME_TIME) * np.arange(N_INTEGRATIONS)
"""Seconds from the start of an exposure to the resets of its integrations."""
LENGTH = RESETS[-1] + DURATION


def unit_charges(delay):
    """Charge of the groups of an integration for 1 e-/s at 1000 s, by quadrature, (n_groups,)."""
    frames = frames_of_groups()
    charge = [
        quad(lambda t: (t / 1000.0) ** -GAMMA, delay, delay + t, epsrel=1e-11)[0]
        for t in frames.ravel()
    ]
    return np.reshape(charge, frames.shape).mean(axis=1)


def persistence_of(earlier, start):
    """
    Charge of persistence in the groups of all integrations, e-, (nint, ng, ny, nx).

    `earlier` are pairs of the start of an exposure in s and its fluence in e-.
    """
    total = np.zeros((N_INTEGRATIONS, N_GROUPS, *SHAPE))
    for begun, fluence in earlier:
        for i, reset in enumerate(RESETS):
            unit = unit_charges(start + reset - begun - LENGTH)
            total[i] += unit[:, np.newaxis, np.newaxis] * AMPLITUDE * fluence / 1e5
    return total


def rates_of(groups):
    """Rate of each integration: the last group less the first over the time between, per s."""
    means = frames_of_groups().mean(axis=1)
    return (groups[:, -1] - groups[:, 0]) / (means[-1] - means[0])


def light_ramp(rate):
    """Return the charge in the groups for a rate in e-/s, (nint, ng, ny, nx)."""
    means = frames_of_groups().mean(axis=1)
    one = means[:, np.newaxis, np.newaxis] * rate
    return np.repeat(one[np.newaxis], N_INTEGRATIONS, axis=0)


def model_of(data, start, *, name, detector="NRCA1", kind="jump", window=(1, 1)):
    """Return a model of ramps, rates of integrations or a rate; the data in DN."""
    data = np.asarray(data, np.float32)
    if kind in ("jump", "linearity"):
        model = datamodels.RampModel(data=data)
        model.groupdq = np.zeros(data.shape, np.uint8)
        model.pixeldq = np.zeros(data.shape[-2:], np.uint32)
    else:
        model = {3: datamodels.CubeModel, 2: datamodels.ImageModel}[data.ndim](data=data)
        model.dq = np.zeros(data.shape, np.uint32)
        model.err = np.full(data.shape, 0.3, np.float32)
        model.var_rnoise = np.full(data.shape, 0.04, np.float32)
        model.var_poisson = np.full(data.shape, 0.05, np.float32)
        model.meta.bunit_data = "DN/s"
    meta = model.meta
    meta.telescope, meta.filename = "JWST", f"{name}_{kind}.fits"
    meta.instrument.name, meta.instrument.detector = "NIRCAM", detector
    exposure = meta.exposure
    exposure.type, exposure.readpatt = "NRC_IMAGE", "ANY"
    exposure.nints, exposure.ngroups = N_INTEGRATIONS, N_GROUPS
    exposure.nframes, exposure.groupgap = N_FRAMES, N_DROPS
    exposure.frame_time, exposure.group_time = FRAME_TIME, FRAME_TIME * (N_FRAMES + N_DROPS)
    exposure.drop_frames1 = exposure.drop_frames3 = 0
    exposure.nresets_at_start = exposure.nresets_between_ints = 1
    exposure.start_time = START + start / DAY
    meta.subarray.xstart, meta.subarray.ystart = window
    return model


def write_reference(path, *, detectors=("NRCA1",), instruments=("NIRCAM",), **changes):
    """Write the reference that tells the truth."""
    entry = {
        "curve": {
            "kind": "linear",
            "amplitude": AMPLITUDE,
            "gamma": GAMMA,
            "reference_fluence": 1e5,
        },
        "reference_time": 1000.0,
        "covariance": {"amplitude": ERROR**2, "gamma": 0.0, "cross": 0.0},
        "forgetting_rate": 1e-4,
        "systematic": SYSTEMATIC,
        **changes,
    }
    meta = {"instruments": list(instruments), "description": "of a test", "pedigree": "SIMULATION"}
    write_persistence(
        path, dict.fromkeys(detectors, entry), meta={**meta, "flight_calibrated": False}
    )
    return Path(path)


def write_association(path, members):
    """Write an association; `members` are pairs of a name and an exptype."""
    table = {
        "asn_type": "image2",
        "asn_id": "a1",
        "products": [
            {"name": "night", "members": [{"expname": n, "exptype": e} for n, e in members]}
        ],
    }
    Path(path).write_text(json.dumps(table))


@dataclass(frozen=True)
class Night:
    """
    Three exposures: two ramps and between them a rate, their starts, and the light in e-/s.

    Their files are ``a_jump.fits``, ``b_rate.fits`` and ``c_jump.fits``; ``b_rateints.fits`` and
    ``c_rate.fits``, ``c_rateints.fits`` are other products of the same exposures.
    """

    names: tuple
    starts: dict
    light: dict
    persistence: dict


@pytest.fixture(scope="session")
def night_folder(tmp_path_factory):
    """Simulate the night without noise, in a folder that no test may change."""
    folder = tmp_path_factory.mktemp("night")
    rng = np.random.default_rng(1)
    starts = {"a": 0.0, "b": 700.0, "c": 1200.0}
    bright = {"a": (slice(2, 8), slice(4, 20)), "b": (slice(6, 12), slice(10, 30))}
    light, persistence, earlier = {}, {}, []
    for name, start in starts.items():
        rate = rng.uniform(0.5, 1.0, SHAPE)
        if name in bright:
            rate[bright[name]] = rng.uniform(200.0, 800.0, rate[bright[name]].shape)
        left = persistence_of(earlier, start)
        groups = (light_ramp(rate) + left).astype(np.float32)
        if name == "b":  # known by its rate
            charge = rates_of(groups).mean(axis=0) * DURATION
        else:
            last = frames_of_groups()[-1].mean()
            charge = (groups[:, -1] * DURATION / last).max(axis=0)
        earlier.append((start, charge))
        light[name], persistence[name] = rate, left
        rates = rates_of(groups) / GAIN
        for kind, data in (
            ("jump", groups / GAIN),
            ("rateints", rates),
            ("rate", rates.mean(axis=0)),
        ):
            model_of(data, start, name=name, kind=kind).save(folder / f"{name}_{kind}.fits")
    write_reference(folder / "reference.asdf")
    return folder, Night(("a_jump.fits", "b_rate.fits", "c_jump.fits"), starts, light, persistence)


@pytest.fixture
def night(night_folder, in_tmp_path):
    """Put links to the exposures of the night into the current folder, a temporary one."""
    folder, facts = night_folder
    for path in folder.iterdir():
        (in_tmp_path / path.name).symlink_to(path)
    return facts


@pytest.fixture
def digests():
    """Return a function that gives a checksum of every file of a folder, hidden ones too."""

    def make(folder="."):
        files = (path for path in Path(folder).iterdir() if path.is_file())
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

    return make


@pytest.fixture(autouse=True)
def quick_collection():
    """Keep what is loaded out of the garbage collection with which every step begins."""
    gc.freeze()
    yield
    gc.unfreeze()
