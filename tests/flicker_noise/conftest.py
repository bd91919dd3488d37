"""Small simulated exposures as models, for tests of the step."""

import gc

import numpy as np
import pytest
from stdatamodels.jwst import datamodels

from crsteps.detector.readout import Readout
from crsteps.simulation.flicker_ramps import FlickerRampOptions, simulate_flicker_ramps
from crsteps.simulation.flicker_scenes import SceneOptions


@pytest.fixture(scope="session")
def few_stars():
    """Return ramps of a few stars, two integrations read through four outputs along x."""
    options = FlickerRampOptions(
        readout=Readout(shape=(128, 256), n_outputs=4, fast_axis=-1, slow_axis=2),
        scene=SceneOptions(kind="image", n_sources=8, brightness=(200.0, 1e4)),
        n_integrations=2,
        n_groups=4,
    )
    return simulate_flicker_ramps(options, seed=21)


@pytest.fixture(scope="session")
def transit():
    """Return a time series of a trace with a transit, six integrations read along y."""
    options = FlickerRampOptions(
        readout=Readout(shape=(32, 256), n_outputs=1, fast_axis=2, slow_axis=1),
        scene=SceneOptions(
            kind="time_series",
            sky=0.5,
            brightness=(50.0, 500.0),
            transit_depth=0.02,
            transit_slope=0.5,
        ),
        n_integrations=6,
        n_groups=4,
        common_rms=0.0,
        independent_rms=7.9,
    )
    return simulate_flicker_ramps(options, seed=22)


def _described(model, simulated, exp_type):
    readout = simulated.options.readout
    names = {"NRC": "NIRCAM", "NIS": "NIRISS", "NRS": "NIRSPEC", "MIR": "MIRI"}
    model.meta.telescope = "JWST"
    model.meta.instrument.name = names[exp_type[:3]]
    model.meta.instrument.detector = {"NIRCAM": "NRCA1", "NIRSPEC": "NRS1"}.get(
        model.meta.instrument.name
    )
    model.meta.exposure.type = exp_type
    model.meta.exposure.noutputs = readout.n_outputs
    model.meta.exposure.group_time = 10.0
    model.meta.subarray.name = "FULL"
    model.meta.subarray.fastaxis = readout.fast_axis
    model.meta.subarray.slowaxis = readout.slow_axis
    model.meta.observation.date, model.meta.observation.time = "2026-01-01", "00:00:00"
    model.meta.filename = "x_jump.fits"
    return model


@pytest.fixture
def make_ramp():
    """Return a function that makes a model of simulated ramps."""

    def make(simulated, exp_type="NRC_IMAGE"):
        model = datamodels.RampModel(
            data=simulated.data.copy(),
            groupdq=simulated.groupdq.copy(),
            pixeldq=np.zeros(simulated.data.shape[-2:], np.uint32),
        )
        return _described(model, simulated, exp_type)

    return make


@pytest.fixture
def make_rates():
    """Return a function that makes a model of the rates of the integrations, per group."""

    def make(simulated, exp_type="NRC_IMAGE"):
        data = (simulated.data[:, -1] - simulated.data[:, 0]) / (simulated.data.shape[1] - 1)
        dq = np.bitwise_or.reduce(simulated.groupdq, axis=1).astype(np.uint32)
        model = _described(datamodels.CubeModel(data=data, dq=dq), simulated, exp_type)
        model.meta.filename = "x_rateints.fits"
        return model

    return make


@pytest.fixture
def noise_left():
    """Return a function that measures the flicker noise left on background, relative to before."""

    def measure(simulated, result):
        mask = ~simulated.scene_mask & ~simulated.bad_pixels
        before = np.diff(simulated.flicker, axis=1)
        after = before - np.diff(simulated.data - result.data, axis=1)
        return after[..., mask].std() / before[..., mask].std()

    return measure


@pytest.fixture(scope="session", autouse=True)
def quick_collection():
    """Keep what is loaded out of the garbage collection with which every step begins."""
    gc.freeze()
    yield
    gc.unfreeze()
