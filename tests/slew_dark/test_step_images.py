"""SlewDarkCosmicsStep on single images: plain FITS, JWST models, pipelines, a real dark."""

import json

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from crsteps.errors import CrstepsInputError
from crsteps.framework.provenance import read_records
from crsteps.slew_dark.step import SlewDarkCosmicsStep

SHAPE = (96, 80)
LEVEL, NOISE, CHARGE = 300.0, 5.0, 900.0
# Pixels hit, connected in threes; one of the hits is in a pixel that is flagged already.
HITS = [(20, 30), (21, 31), (22, 32), (60, 10), (60, 11), (60, 12)]
DEAD = (40, 40)
FLAGS = 4 | 1  # JUMP_DET and DO_NOT_USE


def dark():
    """Return an image of noise on a level with two tracks."""
    image = np.random.default_rng(5).normal(LEVEL, NOISE, SHAPE)
    for pixel in HITS:
        image[pixel] += CHARGE
    return image.astype(np.float32)


def expected_mask():
    """Return the mask of the tracks."""
    mask = np.zeros(SHAPE, bool)
    mask[tuple(np.transpose(HITS))] = True
    return mask


@pytest.fixture
def image(in_tmp_path):
    """Write the dark as a plain FITS image."""
    header = fits.Header({"EXPTIME": 600.0, "GAIN": 2.5, "OBJECT": "dark"})
    fits.writeto("night.fits", dark(), header)
    return in_tmp_path / "night.fits"


@pytest.fixture
def model():
    """Return the dark as a JWST rate image."""
    from stdatamodels.jwst import datamodels

    model = datamodels.ImageModel(data=dark(), dq=np.zeros(SHAPE, np.uint32))
    model.dq[DEAD] = 1
    model.dq[1, 1] = 2048
    model.meta.telescope = "JWST"
    model.meta.instrument.name = "NIRCAM"
    model.meta.instrument.detector = "NRCA1"
    model.meta.exposure.type = "NRC_DARK"
    model.meta.exposure.effective_exposure_time = 500.0
    model.meta.filename = "jw1_nrca1_rate.fits"
    return model


# --- plain FITS -----------------------------------------------------------------------------


@pytest.mark.parametrize("detector", ["hybrid", "significance"])
def test_plain_image(image, in_tmp_path, digests, detector, caplog):
    before = digests(in_tmp_path)
    result = SlewDarkCosmicsStep.call(
        str(image), detector=detector, pixel_pitch=15.0, save_results=True, output_dir="out"
    )
    assert digests(in_tmp_path) == before
    mask = expected_mask()
    dq, header = fits.getdata("out/night_crmask.fits", header=True)
    np.testing.assert_array_equal(dq, np.where(mask, FLAGS, 0))
    assert header["OBJECT"] == "dark"
    assert header["CROFFSET"] == pytest.approx(LEVEL, abs=1)
    assert header["CRNOISE"] == pytest.approx(NOISE, rel=0.1)
    clean = fits.getdata("out/night_crclean.fits")
    np.testing.assert_array_equal(clean[~mask], dark()[~mask])
    assert np.abs(clean[mask] - LEVEL).max() < 4 * NOISE
    assert len(result.clusters) == 2
    np.testing.assert_allclose(result.clusters["total"], 3 * CHARGE, rtol=0.03)
    np.testing.assert_allclose(result.clusters["total_electrons"], 2.5 * result.clusters["total"])
    assert np.all(np.isnan(result.clusters["x_mm"]))
    exposure = result.statistics[0]
    area = (15e-4) ** 2 * dark().size
    assert exposure["hit_rate"] == pytest.approx(2 / (600 * area))
    assert not [record for record in caplog.records if record.levelname == "WARNING"]


def test_what_is_not_known_is_warned_of(in_tmp_path, caplog):
    fits.writeto("night.fits", dark())
    result = SlewDarkCosmicsStep.call("night.fits")
    assert np.isnan(result.statistics[0]["hit_rate"])
    for name in ("electrons_per_adu", "integration_time", "pixel_pitch"):
        assert any(name in r.getMessage() for r in caplog.records if r.levelname == "WARNING")


def test_parameters_come_before_the_header(image):
    result = SlewDarkCosmicsStep.call(
        str(image), electrons_per_adu=4.0, integration_time=60.0, pixel_pitch=15.0, offset=100.0
    )
    np.testing.assert_allclose(result.clusters["total_electrons"], 4 * result.clusters["total"])
    area = (15e-4) ** 2 * dark().size
    assert result.statistics[0]["hit_rate"] == pytest.approx(2 / (60 * area))
    assert result.detectors[0].offset == 100


def test_what_a_parameter_tells_is_not_warned_of(in_tmp_path, caplog):
    fits.writeto("night.fits", dark())
    SlewDarkCosmicsStep.call(
        "night.fits", electrons_per_adu=1.0, integration_time=60.0, pixel_pitch=15.0
    )
    assert not [record for record in caplog.records if record.levelname == "WARNING"]


def test_a_list_of_one_and_an_extension(in_tmp_path):
    hdus = [fits.PrimaryHDU(), fits.ImageHDU(dark(), name="A"), fits.ImageHDU(dark(), name="B")]
    fits.HDUList(hdus).writeto("two.fits")
    with pytest.raises(CrstepsInputError, match="extension"):
        SlewDarkCosmicsStep.call("two.fits")
    assert len(SlewDarkCosmicsStep.call(["two.fits"], extension="B").clusters) == 2


def test_companions_of_a_single_image(image):
    bad = np.zeros(SHAPE, np.uint8)
    bad[60, 10:13] = 1
    fits.writeto("bad.fits", bad)
    fits.writeto("truth.fits", expected_mask().astype(np.uint8))
    result = SlewDarkCosmicsStep.call(str(image), bad_pixel_mask="bad.fits", truth="truth.fits")
    assert len(result.clusters) == 1
    assert result.statistics[0]["precision"] == result.statistics[0]["recall"] == 1


# --- JWST -----------------------------------------------------------------------------------


def assert_flagged(flagged, original):
    """DQ has the flags where the tracks are; all else is as it was."""
    mask = expected_mask()
    np.testing.assert_array_equal(flagged.dq[mask], original.dq[mask] | FLAGS)
    np.testing.assert_array_equal(flagged.dq[~mask], original.dq[~mask])
    np.testing.assert_array_equal(flagged.data, original.data)


def test_a_model_is_copied_and_flagged(model, in_tmp_path):
    original = model.copy()
    result = SlewDarkCosmicsStep.call(model, save_results=True)
    assert_flagged(result, original)
    np.testing.assert_array_equal(model.dq, original.dq)
    assert not model.meta.cal_step.hasattr("slew_dark_cosmics")
    assert result.meta.cal_step.instance["slew_dark_cosmics"] == "COMPLETE"
    record = read_records(result)["slew_dark_cosmics"]
    assert record["parameters"]["detector"] == "hybrid"
    assert record["measurements"]["ncluster"]["value"] == 2
    names = {path.name for path in in_tmp_path.iterdir()}
    ends = {"crmask.fits", "crclean.fits", "crclusters.parquet", "crstats.ecsv"}
    assert names == {f"jw1_nrca1_{end}" for end in (*ends, "slew_dark_cosmics.fits")}
    with fits.open("jw1_nrca1_crmask.fits") as hdus:
        np.testing.assert_array_equal((hdus["DQ"].data & 4) != 0, expected_mask())
        assert hdus["DQ"].data[DEAD] == 1
    with fits.open("jw1_nrca1_crclean.fits") as hdus:
        assert np.abs(hdus["SCI"].data[expected_mask()] - LEVEL).max() < 4 * NOISE
    with fits.open("jw1_nrca1_slew_dark_cosmics.fits") as hdus:
        assert hdus[0].header["S_SLEWDA"] == "COMPLETE"
        assert hdus[0].header["NCLUSTER"] == 2


@pytest.mark.parametrize("given", ["file", "association"])
def test_a_file_gives_a_flagged_model(model, in_tmp_path, digests, given):
    model.save("jw1_nrca1_rate.fits")
    path = "jw1_nrca1_rate.fits"
    if given == "association":
        keys = ("asn_type", "asn_rule", "asn_id", "asn_pool", "program", "target")
        members = [{"expname": path, "exptype": "science"}]
        table = dict.fromkeys(keys, "none") | {"products": [{"name": "jw1", "members": members}]}
        path = "asn.json"
        (in_tmp_path / path).write_text(json.dumps(table))
    before = digests(".")
    assert_flagged(SlewDarkCosmicsStep.call(path), model)
    assert digests(".") == before


def test_a_model_without_information_is_skipped(model):
    model.data[:] = 5
    result = SlewDarkCosmicsStep.call(model)
    assert result.meta.cal_step.instance["slew_dark_cosmics"] == "SKIPPED"
    np.testing.assert_array_equal(result.dq, model.dq)


def test_a_pipeline_goes_on_with_the_flagged_model(model, in_tmp_path):
    from crsteps.framework.pipeline import CrPipeline

    class Pipeline(CrPipeline):
        class_alias = "small_pipeline"
        step_defs = {"slew_dark_cosmics": SlewDarkCosmicsStep}  # noqa: RUF012

        def process(self, given):
            return self.slew_dark_cosmics.run(given)

    original = model.copy()
    parameters = {"slew_dark_cosmics": {"seed_significance": 8.0}}
    result = Pipeline.call(model, steps=parameters)
    assert result is model
    assert_flagged(result, original)
    record = read_records(result)["slew_dark_cosmics"]
    assert record["parameters"]["seed_significance"] == 8.0
    assert list(in_tmp_path.iterdir()) == []


def test_ramps_are_refused():
    from stdatamodels.jwst import datamodels

    ramp = datamodels.RampModel(np.zeros((1, 5, 16, 16), np.float32))
    with pytest.raises(CrstepsInputError, match="jump step"):
        SlewDarkCosmicsStep.call(ramp)


# --- a real dark of a CCD -------------------------------------------------------------------


def test_sprat_dark(real_data, in_tmp_path):
    """A dark of 600 s: a few hits, no columns or corners flagged, products readable."""
    path = real_data / "sprat_5x120s" / "v_dark_1.fits.gz"
    before = path.read_bytes()
    result = SlewDarkCosmicsStep.call(str(path), save_results=True)
    assert path.read_bytes() == before
    assert result.detectors[0].reason == ""
    clusters = Table.read("v_dark_1_crclusters.parquet")
    assert 20 < len(clusters) < 2000
    dq = fits.getdata("v_dark_1_crmask.fits")
    data, clean = fits.getdata(path), fits.getdata("v_dark_1_crclean.fits")
    hit = (dq & 4) != 0
    assert 1e-4 < hit.mean() < 0.02
    assert hit.mean(axis=0).max() < 0.1
    # The mean of the image falls to its median when the hits are replaced.
    assert abs(clean.mean() - np.median(data)) < 0.5 * abs(data.mean() - np.median(data))
