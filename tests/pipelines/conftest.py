"""A raw exposure of a small subarray of NIRCam with flicker noise, references, and its products."""

import gc
import subprocess

import numpy as np
import pytest
import yaml
from stdatamodels.jwst import datamodels

from crsteps.cli import main
from crsteps.detector.readout import Readout
from crsteps.simulation.flicker_ramps import FlickerRampOptions, simulate_flicker_ramps
from crsteps.simulation.flicker_scenes import SceneOptions

SHAPE = (128, 256)
GAIN, READ_NOISE, BIAS, GROUP_TIME = 1.8, 3.8, 10000.0, 0.5
OPTIONS = FlickerRampOptions(
    readout=Readout(shape=SHAPE, n_outputs=1, fast_axis=-1, slow_axis=2),
    scene=SceneOptions(kind="image", n_sources=10, brightness=(200.0, 5e3)),
    n_integrations=2,
    n_groups=6,
    common_rms=0.0,
    independent_rms=10.0,
    gain=GAIN,
    read_noise=READ_NOISE,
    bias=BIAS,
    bad_fraction=0.0,
)


def describe(model):
    """Set the keywords of the subarray."""
    meta = model.meta
    meta.telescope = "JWST"
    meta.instrument.name, meta.instrument.detector = "NIRCAM", "NRCA1"
    meta.instrument.filter, meta.instrument.pupil = "F150W", "CLEAR"
    meta.instrument.channel, meta.instrument.module = "SHORT", "A"
    subarray = meta.subarray
    subarray.name = "SUB160"
    subarray.xstart, subarray.ystart = 101, 201
    subarray.ysize, subarray.xsize = SHAPE
    subarray.fastaxis, subarray.slowaxis = -1, 2
    meta.exposure.type, meta.exposure.readpatt = "NRC_IMAGE", "RAPID"
    return model


def raw_model(ramps):
    """Return a raw exposure as it comes from the telescope."""
    model = describe(datamodels.Level1bModel(data=np.round(ramps.data).astype(np.uint16)))
    exposure = model.meta.exposure
    exposure.nints, exposure.ngroups = ramps.data.shape[:2]
    exposure.nframes, exposure.groupgap, exposure.noutputs = 1, 0, 1
    exposure.frame_time = exposure.group_time = GROUP_TIME
    exposure.integration_time = GROUP_TIME * exposure.ngroups
    exposure.integration_start, exposure.integration_end = 1, exposure.nints
    exposure.drop_frames1, exposure.nresets_at_start = 0, 1
    observation = model.meta.observation
    observation.date, observation.time = "2026-01-01", "00:00:00"
    model.meta.filename = "x_uncal.fits"
    return model


@pytest.fixture(scope="session")
def simulated():
    """Return simulated ramps and their truth."""
    return simulate_flicker_ramps(OPTIONS, seed=3)


@pytest.fixture(scope="session")
def references(tmp_path_factory):
    """Write reference files for the subarray, and return the parameters of the steps."""
    folder = tmp_path_factory.mktemp("references")

    def write(name, model):
        path = folder / f"{name}.fits"
        describe(model).save(path)
        return str(path)

    def image(value):
        return np.full(SHAPE, value, np.float32)

    flags = np.zeros(SHAPE, np.uint32)
    mask = write("mask", datamodels.MaskModel(dq=flags))
    saturation = write("saturation", datamodels.SaturationModel(data=image(6e4), dq=flags))
    bias = write("superbias", datamodels.SuperBiasModel(data=image(BIAS), dq=flags))
    coefficients = np.zeros((3, *SHAPE), np.float32)
    coefficients[1] = 1
    linearity = write("linearity", datamodels.LinearityModel(coeffs=coefficients, dq=flags))
    gain = write("gain", datamodels.GainModel(data=image(GAIN)))
    # that of a difference of two reads, as in the reference files of JWST
    noise = write("readnoise", datamodels.ReadnoiseModel(data=image(READ_NOISE * np.sqrt(2))))
    of_fits = {"override_gain": gain, "override_readnoise": noise}
    return {
        "dq_init": {"override_mask": mask},
        "saturation": {"override_saturation": saturation, "override_superbias": bias},
        "ipc": {"skip": True},
        "superbias": {"override_superbias": bias},
        "refpix": {"skip": True},
        "linearity": {"override_linearity": linearity},
        "dark_current": {"skip": True},
        "jump": of_fits,
        "ramp_fit": of_fits,
        "gain_scale": {"override_gain": gain},
    }


@pytest.fixture(scope="session")
def products(tmp_path_factory, user_environment, simulated, references):
    """
    Run the pipeline on the raw exposure, and return the folder of its products.

    As a user without CRDS does: with a parameter file written in YAML, converted for ``strun``.
    """
    folder = tmp_path_factory.mktemp("products")
    raw_model(simulated).save(folder / "x_uncal.fits")
    steps = {**references, "jump": {**references["jump"], "save_results": True}}
    parameters = {"class": "crsteps_detector1", "parameters": {"save_calibrated_ramp": True}}
    (folder / "mine.yaml").write_text(yaml.safe_dump({**parameters, "steps": steps}))
    assert main(["params", "to-asdf", str(folder / "mine.yaml")]) == 0
    run = subprocess.run(
        ["strun", "mine.asdf", "x_uncal.fits", "--steps.scene_flicker_noise.save_noise=true"],
        cwd=folder,
        env=user_environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    (folder / "log").write_text(run.stderr)
    return folder


@pytest.fixture(autouse=True)
def quick_collection():
    """Keep what is loaded out of the garbage collection with which every step begins."""
    gc.freeze()
    yield
    gc.unfreeze()
