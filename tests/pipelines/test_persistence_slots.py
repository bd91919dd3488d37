"""powerlaw_persistence after linearity, and in the standard slot, of pipelines of stage 1."""

import numpy as np
import pytest
from astropy.io import fits
from jwst.pipeline import Detector1Pipeline
from scipy.integrate import quad
from stdatamodels.jwst import datamodels

from crsteps import CrstepsDetector1Pipeline, PowerLawPersistenceStep
from crsteps.datamodels.persistence_reference import write_persistence
from crsteps.framework.parameters import copied
from crsteps.framework.pipeline import CrPipeline
from crsteps.framework.provenance import read_records

from .conftest import GAIN, GROUP_TIME, SHAPE, raw_model

# crds 14 warns about itself
pytestmark = pytest.mark.filterwarnings("ignore:'get_cache_lock' is deprecated")

START, DAY = 60000.0, 86400.0
AMPLITUDE, FLUENCE, DELAY = 400.0, 5e4, 60.0  # e-/s, e-, s
WINDOW = (slice(40, 60), slice(100, 140))


def timed(model, start):
    """Set the start of an exposure in s."""
    model.meta.exposure.start_time = START + start / DAY
    model.meta.exposure.drop_frames3 = 0
    model.meta.exposure.nresets_between_ints = 1
    return model


@pytest.fixture(scope="module")
def night(tmp_path_factory, simulated):
    """
    Write a raw exposure with persistence on top, and what is needed to take it off.

    Charge of each frame is from the reset of its integration on, one frame being a group.
    """
    folder = tmp_path_factory.mktemp("persistence")
    n_integrations, n_groups = simulated.data.shape[:2]
    model = timed(raw_model(simulated), 0.0)
    cycle = (n_groups + 1) * GROUP_TIME
    released = np.zeros((n_integrations, n_groups))
    for i in range(n_integrations):
        begin = DELAY + i * cycle
        for g in range(n_groups):
            end = begin + (g + 1) * GROUP_TIME
            released[i, g] = quad(lambda t: AMPLITUDE * (t / 1000) ** -1.0, begin, end)[0]
    clean = model.data.copy()
    added = np.zeros(clean.shape)
    added[:, :, *WINDOW] = released[:, :, np.newaxis, np.newaxis] / GAIN
    model.data = np.round(clean + added).astype(np.uint16)
    model.meta.filename = "y_uncal.fits"
    model.save(folder / "y_uncal.fits")
    timed(raw_model(simulated), 0.0).save(folder / "x_uncal.fits")
    # The stimulus ended DELAY before the reset, which comes a frame after the start.
    earlier = datamodels.ImageModel(data=np.zeros(SHAPE, np.float32))
    earlier.update(model)
    seconds = n_groups * GROUP_TIME
    earlier.data[WINDOW] = FLUENCE / GAIN / seconds
    earlier.dq = np.zeros(SHAPE, np.uint32)
    earlier.meta.bunit_data = "DN/s"
    length = (n_integrations * (n_groups + 1)) * GROUP_TIME
    timed(earlier, GROUP_TIME - DELAY - length)
    earlier.save(folder / "earlier_rate.fits")
    entry = {
        "curve": {
            "kind": "linear",
            "amplitude": AMPLITUDE,
            "gamma": 1.0,
            "reference_fluence": FLUENCE,
        },
        "reference_time": 1000.0,
        "forgetting_rate": 0.01,
        "systematic": 0.05,
    }
    meta = {"instruments": ["NIRCAM"], "description": "of a test", "pedigree": "SIMULATION"}
    reference = folder / "reference.asdf"
    write_persistence(reference, {"ANY": entry}, meta={**meta, "flight_calibrated": False})
    parameters = {
        "skip": False,
        "history": [str(folder / "earlier_rate.fits")],
        "persistence_file": str(reference),
        "gain": GAIN,
    }
    return folder, parameters, released


@pytest.fixture
def run(night, references, in_tmp_path):
    """Return a function that runs a pipeline on one of the raw exposures."""
    folder, _, _ = night

    def call(name, pipeline=CrstepsDetector1Pipeline, **steps):
        steps = {**references, "scene_flicker_noise": {"skip": True}, **steps}
        if pipeline is not CrstepsDetector1Pipeline:
            steps.pop("scene_flicker_noise")
        path = folder / f"{name}_uncal.fits"
        return pipeline.call(str(path), steps=copied(steps), save_results=True)

    return call


def test_rates_are_those_without_persistence(run, night):
    """With its variance in that of the rates; and after linearity, before all that follows."""
    _, parameters, released = night
    clean = run("x")
    before = run("y")
    after = run("y", powerlaw_persistence=parameters)
    rate = (released[:, -1] - released[:, 0]).mean() / (5 * GROUP_TIME) / GAIN
    good = (clean.dq[WINDOW] == 0) & (before.dq[WINDOW] == 0) & (after.dq[WINDOW] == 32)
    assert good.mean() > 0.8
    difference = [(model.data - clean.data)[WINDOW][good] for model in (before, after)]
    assert np.mean(difference[0]) == pytest.approx(rate, rel=0.02)
    # Rounded to whole numbers twice.
    assert abs(np.mean(difference[1])) < 0.002 * rate
    added = (after.var_rnoise - before.var_rnoise)[WINDOW][good]
    np.testing.assert_allclose(added, (0.05 * rate) ** 2, rtol=2e-3)
    np.testing.assert_allclose(
        after.err[WINDOW][good] ** 2 - (after.var_poisson + after.var_rnoise)[WINDOW][good],
        0,
        atol=1e-4 * after.err.max() ** 2,
    )
    outside = np.ones(SHAPE, bool)
    outside[WINDOW] = False
    np.testing.assert_array_equal(after.data[outside], before.data[outside])
    np.testing.assert_array_equal(after.err[outside], before.err[outside])
    header = fits.getheader("y_rate.fits")
    assert header["S_POWERL"] == header["S_PERSIS"] == "COMPLETE"
    assert header["PPB0010"] == pytest.approx(800 / after.data.size)
    record = read_records(after)["powerlaw_persistence"]
    assert record["status"] == "COMPLETE"
    with datamodels.open("y_rateints.fits") as rates:
        assert rates.meta.cal_step.persistence == "COMPLETE"


def test_it_is_off_by_default(run):
    run("x")
    header = fits.getheader("x_rate.fits")
    assert header["S_PERSIS"] == "SKIPPED"
    assert "S_POWERL" not in header


def test_the_ramps_go_on_where_they_are(run, night, references):
    """An intermediate product keeps the variance, and is not corrected again."""
    _, parameters, _ = night
    jump = {**references["jump"], "save_results": True}
    at_once = run("y", powerlaw_persistence=parameters, jump=jump)
    steps = {
        **references,
        "scene_flicker_noise": {"skip": True},
        "powerlaw_persistence": parameters,
    }
    later = CrstepsDetector1Pipeline.call("y_jump.fits", steps=copied(steps))
    np.testing.assert_array_equal(later.data, at_once.data)
    np.testing.assert_array_equal(later.var_rnoise, at_once.var_rnoise)
    assert later.meta.cal_step.persistence == "COMPLETE"


def test_standard_slot(night, in_tmp_path, references):
    """The pipeline of jwst with the step in its slot, which comes before the ramp fit."""
    folder, parameters, released = night

    class Standard(CrPipeline, Detector1Pipeline):
        step_defs = {**Detector1Pipeline.step_defs, "persistence": PowerLawPersistenceStep}  # noqa: RUF012

    rates = []
    for name, given in (("x", {}), ("y", parameters)):
        steps = {**references, "persistence": given}
        rates.append(Standard.call(str(folder / f"{name}_uncal.fits"), steps=copied(steps)))
    clean, after = rates
    assert clean.meta.cal_step.persistence == "SKIPPED"
    assert after.meta.cal_step.persistence == "COMPLETE"
    rate = (released[:, -1] - released[:, 0]).mean() / (5 * GROUP_TIME) / GAIN
    good = (clean.dq[WINDOW] == 0) & (after.dq[WINDOW] == 32)
    assert good.mean() > 0.8
    assert abs(np.mean((after.data - clean.data)[WINDOW][good])) < 0.002 * rate
