"""Our steps in the pipelines of others, and standard steps of jwst in ours."""

import hashlib

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import ICRS
from astropy.io import fits
from astropy.modeling import models
from gwcs import WCS
from gwcs.coordinate_frames import CelestialFrame, Frame2D
from jwst.datamodels import ModelContainer
from jwst.ramp_fitting import RampFitStep
from jwst.resample import ResampleStep
from stdatamodels.jwst import datamodels
from toysteps import ForeignPipeline, OffsetStep, RenewStep, ScaleStep, ToyPipeline

from crsteps import __version__
from crsteps.errors import CrstepsInputError
from crsteps.framework.pipeline import CrPipeline
from crsteps.framework.provenance import read_records

# crds 14 warns about itself
pytestmark = pytest.mark.filterwarnings("ignore:'get_cache_lock' is deprecated")

N_GROUPS = 6


class RampsPipeline(CrPipeline):
    """Our step before the real ramp fit."""

    class_alias = "toy_ramps"
    step_defs = {"scale": ScaleStep, "ramp_fit": RampFitStep}  # noqa: RUF012

    def process(self, given):
        """Return the rate; save the rate of each integration."""
        rate, rateints = self.ramp_fit.run(self.scale.run(given))
        self.save_model(rateints, "rateints", force=True)
        return rate


class ResamplePipeline(CrPipeline):
    """Our step on each exposure before the real resampling."""

    class_alias = "toy_resample"
    step_defs = {"scale": ScaleStep, "resample": ResampleStep}  # noqa: RUF012

    def process(self, given):
        """Return the resampled image."""
        for model in given:
            self.scale.run(model)
        return self.resample.run(given)


# --- our steps elsewhere --------------------------------------------------------------------


def test_step_in_a_slot_of_a_foreign_pipeline(serverless_crds, in_tmp_path, rate, capsys):
    rate.meta.filename = "x_rate.fits"
    ForeignPipeline.call(rate, save_results=True)
    assert capsys.readouterr().err.count("toy_scale says hello") == 1
    with datamodels.open(in_tmp_path / "x_foreignpipeline.fits") as product:
        assert product.data[0, 0] == 3
        # A foreign pipeline makes new models without our records. What the standard update
        # keeps: the card that the slot has, and cal_logs.
        assert product.meta.cal_step.persistence == "COMPLETE"
        assert read_records(product) == {}
        assert "toy_scale: factor = 2.0" in list(product.cal_logs.toy_scale)
        assert any("toy_scale says hello" in line for line in product.cal_logs.foreign)


def test_records_stay_in_the_model_of_a_foreign_pipeline(serverless_crds, rate):
    pipeline = ForeignPipeline()
    model = pipeline.persistence.run(pipeline.scale.run(rate))
    assert list(read_records(model)) == ["toy_scale", "toy_offset"]
    assert model.meta.cal_step.toy_scale == "COMPLETE"


@pytest.mark.parametrize("hook", ["toysteps.ScaleStep", ScaleStep, ScaleStep(factor=2)])
def test_step_as_post_hook(serverless_crds, rate, capsys, hook):
    result = RenewStep.call(rate, post_hooks=[hook])
    assert capsys.readouterr().err.count("toy_scale says hello") == 1
    assert result.data[0, 0] == 2
    assert read_records(result)["toy_scale"]["status"] == "COMPLETE"
    assert any("toy_scale says hello" in line for line in result.cal_logs.toy_renew)


def test_post_hook_of_a_standard_step_in_our_pipeline(rate):
    """The pipeline learns of it, however deep it sits."""
    pipeline = ToyPipeline(steps={"renew": {"post_hooks": [ScaleStep]}})
    pipeline.scale.skip = True
    pipeline.run(rate)
    assert pipeline.records_of_steps["toy_scale"].status == "COMPLETE"


# --- standard steps in our pipelines --------------------------------------------------------


def _reference(model_class, value, path):
    """Write a reference image of one value, for the full 16x16 array."""
    model = model_class(np.full((16, 16), value, dtype="f4"))
    _describe(model)
    model.save(path)
    return str(path)


def _describe(model):
    model.meta.telescope = "JWST"
    model.meta.instrument.name = "NIRCAM"
    model.meta.instrument.detector = "NRCA1"
    model.meta.subarray.name = "FULL"
    model.meta.subarray.xstart = model.meta.subarray.ystart = 1
    model.meta.subarray.xsize = model.meta.subarray.ysize = 16
    model.meta.subarray.fastaxis, model.meta.subarray.slowaxis = -1, 2
    model.meta.exposure.type = "NRC_IMAGE"


@pytest.fixture
def ramp():
    """Return ramps that rise by 10 DN in each group of 10 s."""
    model = datamodels.RampModel((1, N_GROUPS, 16, 16))
    model.data = np.broadcast_to(
        10 * np.arange(N_GROUPS, dtype="f4")[None, :, None, None], model.data.shape
    ).copy()
    model.groupdq = np.zeros(model.data.shape, dtype="u1")
    model.pixeldq = np.zeros((16, 16), dtype="u4")
    _describe(model)
    exposure = model.meta.exposure
    exposure.nints, exposure.ngroups, exposure.nframes, exposure.groupgap = 1, N_GROUPS, 1, 0
    exposure.frame_time = exposure.group_time = 10.0
    exposure.integration_time = 60.0
    exposure.drop_frames1, exposure.nresets_at_start = 0, 1
    model.meta.filename = "r_jump.fits"
    return model


def test_records_survive_the_real_ramp_fit(in_tmp_path, ramp):
    """No CRDS: references given by the user; records in the result and in all products."""
    given = {
        "override_readnoise": _reference(datamodels.ReadnoiseModel, 10, in_tmp_path / "rn.fits"),
        "override_gain": _reference(datamodels.GainModel, 2, in_tmp_path / "gain.fits"),
        "save_results": True,
    }
    result = RampsPipeline.call(ramp, save_results=True, steps={"ramp_fit": given})
    np.testing.assert_allclose(result.data, 2.0, rtol=1e-5)  # 10 DN in 10 s, twice
    assert result.meta.cal_step.ramp_fit == "COMPLETE"
    assert result.meta.ref_file.gain.name == given["override_gain"]
    assert read_records(result)["toy_scale"]["parameters"]["factor"] == 2.0
    products = sorted(path.name for path in in_tmp_path.glob("r_*"))
    assert products == [
        "r_0_ramp_fit.fits",
        "r_1_ramp_fit.fits",
        "r_rateints.fits",
        "r_toy_ramps.fits",
    ]
    for name in products:
        header = fits.getheader(in_tmp_path / name)
        assert header["S_TOYSCA"] == "COMPLETE"
        assert list(header["HISTORY"]).count("toy_scale: factor = 2.0") == 1


def test_what_a_standard_step_leaves_of_the_record_in_a_file(serverless_crds, in_tmp_path, ramp):
    """
    The real ramp fit of a saved product, outside of our pipelines: cards and HISTORY go.

    The card of the standard slot and ``cal_logs`` stay: all that was done, in lines of text.
    """
    (in_tmp_path / "scale.asdf").write_text("a reference", encoding="utf-8")
    checksum = hashlib.sha256(b"a reference").hexdigest()
    ScaleStep.call(ramp, reference=True, scale_file="scale.asdf", output_file="s.fits")
    OffsetStep.call("s_toy_scale.fits", output_file="s.fits")
    rate, _ = RampFitStep.call(
        "s_toy_offset.fits",
        override_readnoise=_reference(datamodels.ReadnoiseModel, 10, in_tmp_path / "rn.fits"),
        override_gain=_reference(datamodels.GainModel, 2, in_tmp_path / "gain.fits"),
    )
    rate.save("s_rate.fits")
    header = fits.getheader("s_rate.fits")
    assert header["S_PERSIS"] == "COMPLETE"
    assert "S_TOYSCA" not in header
    with datamodels.open("s_rate.fits") as product:
        assert read_records(product) == {}
        lines = list(product.cal_logs.toy_scale)
    assert lines[0] == f"crsteps {__version__} toy_scale: COMPLETE"
    assert "toy_scale: factor = 2.0" in lines
    assert any("scale.asdf" in line and checksum in line for line in lines)
    assert any("toy_scale says hello" in line for line in lines)


def test_missing_reference_of_a_standard_step(in_tmp_path, ramp, crds_variables):
    with pytest.raises(CrstepsInputError, match="override_readnoise of ramp_fit, or CRDS_PATH"):
        RampsPipeline.call(ramp, save_results=True)
    assert list(in_tmp_path.iterdir()) == []


def _exposure(number):
    """Make a small image that points at the sky."""
    model = datamodels.ImageModel(np.ones((16, 16), dtype="f4"))
    model.dq = np.zeros((16, 16), dtype="u4")
    for name in ("err", "var_rnoise", "var_poisson", "var_flat", "area"):
        setattr(model, name, np.ones((16, 16), dtype="f4"))
    _describe(model)
    to_sky = (
        models.Shift(-8) & models.Shift(-8)
        | models.Scale(1e-5) & models.Scale(1e-5)
        | models.Pix2Sky_TAN()
        | models.RotateNative2Celestial(10, 20, 180)
    )
    detector = Frame2D(name="detector", axes_order=(0, 1), unit=(u.pix, u.pix))
    sky = CelestialFrame(reference_frame=ICRS(), name="world", unit=(u.deg, u.deg))
    model.meta.wcs = WCS([(detector, to_sky), (sky, None)])
    model.meta.wcs.bounding_box = ((-0.5, 15.5), (-0.5, 15.5))
    model.meta.filename = f"e{number}_cal.fits"
    exposure, info = model.meta.exposure, model.meta.wcsinfo
    exposure.exposure_time = exposure.measurement_time = exposure.duration = 10.0
    exposure.start_time, exposure.end_time = 60000.0, 60000.1
    model.meta.photometry.pixelarea_steradians = 1e-12
    model.meta.photometry.pixelarea_arcsecsq = 1e-2
    info.s_region = "POLYGON ICRS 9.9999 19.9999 10.0001 19.9999 10.0001 20.0001 9.9999 20.0001"
    info.ra_ref, info.dec_ref, info.roll_ref, info.v3yangle, info.vparity = 10.0, 20.0, 0.0, 0.0, -1
    return model


def test_records_survive_the_real_resampling(in_tmp_path):
    """Also in the product that the standard step itself saves."""
    exposures = ModelContainer([_exposure(0), _exposure(1)])
    result = ResamplePipeline.call(
        exposures, output_file="sum.fits", steps={"resample": {"save_results": True}}
    )
    assert result.meta.cal_step.resample == "COMPLETE"
    assert read_records(result)["toy_scale"]["status"] == "COMPLETE"
    products = sorted(path.name for path in in_tmp_path.iterdir())
    assert len(products) == 2
    for name in products:
        assert fits.getval(in_tmp_path / name, "S_TOYSCA") == "COMPLETE"


def test_standard_step_replaces_our_suffix(in_tmp_path, rate):
    rate.save("x_toy_offset.fits")
    pipeline = ToyPipeline(steps={"renew": {"save_results": True}})
    pipeline.run("x_toy_offset.fits")
    assert sorted(p.name for p in in_tmp_path.iterdir()) == ["x_renew.fits", "x_toy_offset.fits"]


def test_slot_of_a_real_pipeline(rate):
    """A jwst pipeline with a slot changed inherits from our base first."""
    from jwst.pipeline import Detector1Pipeline

    class OurDetector1(CrPipeline, Detector1Pipeline):
        class_alias = "toy_detector1"
        step_defs = {**Detector1Pipeline.step_defs, "persistence": OffsetStep}  # noqa: RUF012

    pipeline = OurDetector1()
    assert isinstance(pipeline.persistence, OffsetStep)
    assert pipeline.persistence.run(rate).meta.cal_step.persistence == "COMPLETE"
    assert pipeline.default_suffix() == "toy_detector1"
