"""Science regions of exposures, without CRDS: a small WCS, flags and references of our own."""

import logging

import gwcs
import numpy as np
import pytest
from astropy.modeling import bounding_box, mappings, models
from gwcs import coordinate_frames
from stdatamodels.jwst import datamodels
from stdatamodels.jwst.transforms.models import Gwa2Slit, Slit

from crsteps.errors import CrstepsInputError
from crsteps.flicker_noise import regions_step
from crsteps.flicker_noise.regions_step import science_regions

SHAPE = (2048, 32)
FLAGS = datamodels.dqflags.pixel
FIXED_SLITS = np.s_[922:1116]


def exposure(kind, shape=SHAPE, model=datamodels.ImageModel, **flags):
    rate = model(data=np.ones(shape, np.float32))
    rate.dq = np.zeros(shape, np.uint32)
    rate.meta.exposure.type = kind
    rate.meta.subarray.xstart = rate.meta.subarray.ystart = 1
    return rate


def slit_wcs(quadrants, boxes):
    """WCS of slits with what is read of it: slits, and a bounding box for each."""
    slits = [
        Slit(name=f"S{k}", shutter_id=k, quadrant=quadrant, slit_id=k)
        for k, quadrant in enumerate(quadrants)
    ]
    frames = [
        coordinate_frames.CoordinateFrame(
            naxes=4,
            axes_type=["SPATIAL"] * 4,
            axes_order=(0, 1, 2, 3),
            name=name,
            unit=["pix"] * 4,
        )
        for name in ("gwa", "slit_frame")
    ]
    detector = coordinate_frames.CoordinateFrame(
        naxes=3, axes_type=["SPATIAL"] * 3, axes_order=(0, 1, 2), name="detector", unit=["pix"] * 3
    )
    to_gwa = mappings.Mapping((2, 0, 1, 1), n_inputs=3)
    to_gwa.inputs = ("x", "y", "name")
    to_slit = Gwa2Slit(slits, [models.Identity(3)] * len(slits))
    wcs = gwcs.WCS([(detector, to_gwa), (frames[0], to_slit), (frames[1], None)])
    wcs.bounding_box = bounding_box.CompoundBoundingBox.validate(
        wcs.forward_transform, dict(enumerate(boxes)), selector_args=[("name", True)], order="F"
    )
    return wcs


@pytest.mark.parametrize("kind", ["NRS_FIXEDSLIT", "NRS_BRIGHTOBJ", "NRS_MSASPEC"])
def test_slits_of_the_wcs(kind):
    rate = exposure(kind)
    rate.meta.wcs = slit_wcs([1, 2], [((3, 20), (99.5, 120.5)), ((-8, 40), (1500, 1511))])
    expected = np.zeros(SHAPE, bool)
    expected[100:121, 3:21] = True
    expected[1500:1512] = True
    if kind == "NRS_MSASPEC":
        expected[FIXED_SLITS] = True
    assert np.array_equal(science_regions(rate), expected)


def test_a_target_in_a_fixed_slit_leaves_the_others_as_background():
    rate = exposure("NRS_MSASPEC")
    rate.meta.wcs = slit_wcs([1, 5], [((0, 31), (100, 120)), ((0, 31), (1000, 1010))])
    mask = science_regions(rate)
    assert mask[1000:1011].all()
    assert mask.sum() == 32 * (21 + 11)


def test_failed_open_shutters_are_told_by_the_flags():
    rate = exposure("NRS_FIXEDSLIT")
    rate.dq[7, 9] = FLAGS["MSA_FAILED_OPEN"] | FLAGS["DO_NOT_USE"]
    rate.dq[8, 9] = FLAGS["DO_NOT_USE"]
    rate.meta.wcs = slit_wcs([1], [((0, 3), (100, 120))])
    mask = science_regions(rate)
    assert mask[7, 9]
    assert not mask[8, 9]
    # Of images of NIRSpec, nothing else is known.
    rate.meta.exposure.type = "NRS_IMAGE"
    assert np.argwhere(science_regions(rate)).tolist() == [[7, 9]]


def test_flags_of_ramps_and_of_all_integrations_count():
    ramp = datamodels.RampModel(data=np.zeros((2, 3, *SHAPE), np.float32))
    ramp.pixeldq = np.zeros(SHAPE, np.uint32)
    ramp.pixeldq[1, 2] = FLAGS["MSA_FAILED_OPEN"]
    ramp.meta.exposure.type = "NRS_IMAGE"
    assert np.argwhere(science_regions(ramp)).tolist() == [[1, 2]]
    rates = exposure("NRS_IMAGE", (3, *SHAPE), datamodels.CubeModel)
    rates.dq[1, 4, 5] = FLAGS["MSA_FAILED_OPEN"]
    assert np.argwhere(science_regions(rates)).tolist() == [[4, 5]]


@pytest.mark.parametrize("kind", ["NRS_IFU", "NRS_MSASPEC"])
def test_without_wcs_and_crds_the_fixed_slits_are_known(kind, caplog):
    rate = exposure(kind)
    rate.meta.subarray.ystart = 901
    mask = science_regions(rate)
    assert np.array_equal(np.flatnonzero(mask.any(axis=1)), np.arange(22, 216))
    assert "run assign_wcs first, or configure CRDS" in caplog.text


def test_without_wcs_and_crds_nothing_is_known_of_slits(caplog):
    assert science_regions(exposure("NRS_BRIGHTOBJ")) is None
    assert "the slits of NRS_BRIGHTOBJ are unknown" in caplog.text


def test_a_wcs_that_tells_no_slits_is_no_error(caplog):
    rate = exposure("NRS_FIXEDSLIT")
    rate.meta.wcs = gwcs.WCS(models.Identity(2), "detector", "world")
    assert science_regions(rate) is None
    assert "the WCS tells none" in caplog.text


def test_slices_are_where_they_have_a_wavelength(monkeypatch):
    rate = exposure("NRS_IFU", model=datamodels.IFUImageModel)

    class Slice:
        """Rows first to first + 9, without a wavelength left of column 4."""

        def __init__(self, first):
            self.bounding_box = ((-0.5, SHAPE[1] + 3.5), (first - 0.5, first + 9.5))

        def __call__(self, x, y):
            return x, y, np.where(x < 4, np.nan, 2e-6)

    rate.meta.wcs = slit_wcs([1], [((0, 1), (0, 1))])
    monkeypatch.setattr(
        "jwst.assign_wcs.nirspec.nrs_ifu_wcs", lambda model: [Slice(100), Slice(2040)]
    )
    expected = np.zeros(SHAPE, bool)
    expected[100:110, 4:] = expected[2040:, 4:] = True
    expected[FIXED_SLITS] = True
    assert np.array_equal(science_regions(rate), expected)


def test_a_wcs_is_assigned_to_a_copy_where_crds_is_configured(monkeypatch, tmp_path):
    given = exposure("NRS_MSASPEC", (2, *SHAPE), datamodels.CubeModel)
    given.meta.filename = "x_rateints.fits"
    seen = []

    class Assign:
        def run(self, model):
            seen.append((type(model), model.data.shape, model.meta.exposure.type, self.input_dir))
            model.meta.wcs = slit_wcs([1], [((0, 31), (100, 120))])
            return model

    class FlagOpen:
        def run(self, model):
            model = model.copy()
            model.dq[3, 4] |= FLAGS["MSA_FAILED_OPEN"]
            return model

    monkeypatch.setenv("CRDS_PATH", str(tmp_path))
    monkeypatch.setattr("jwst.assign_wcs.AssignWcsStep", Assign)
    monkeypatch.setattr("jwst.msaflagopen.MSAFlagOpenStep", FlagOpen)
    before = given.dq.copy()
    mask = science_regions(given, input_dir="here")
    assert seen == [(datamodels.ImageModel, SHAPE, "NRS_MSASPEC", "here")]
    assert mask[100:121].all()
    assert mask[3, 4]
    assert mask[FIXED_SLITS].all()
    assert mask.sum() == 32 * (21 + 194) + 1
    assert given.meta.wcs is None
    assert np.array_equal(given.dq, before)


def test_crds_that_ends_the_process_is_survived(monkeypatch, tmp_path, caplog):
    class Assign:
        def run(self, model):
            raise SystemExit(12)

    monkeypatch.setenv("CRDS_PATH", str(tmp_path))
    monkeypatch.setattr("jwst.assign_wcs.AssignWcsStep", Assign)
    assert science_regions(exposure("NRS_FIXEDSLIT")) is None
    assert "the slits of NRS_FIXEDSLIT are unknown" in caplog.text


def test_soss_traces_by_a_reference(monkeypatch, tmp_path):
    rate = exposure("NIS_SOSS", (256, 64))
    rate.meta.instrument.pupil_position = 245.8
    rate.meta.subarray.name = "SUBSTRIP256"
    asked = []

    def wavemaps(position, *, subarray, refmodel, spectraces):
        asked.append((position, subarray, spectraces))
        return None, [np.array([[0.0, 63.0], [60.0, 60.0], [1.0, 2.0]])]

    monkeypatch.setattr("jwst.extract_1d.soss_extract.pastasoss.get_soss_wavemaps", wavemaps)
    path = tmp_path / "traces.asdf"
    reference = datamodels.PastasossModel(strict_validation=False)
    for name in ("description", "reftype", "author", "pedigree", "useafter"):
        setattr(reference.meta, name, "test")
    reference.meta.instrument.name = "NIRISS"
    reference.save(path)
    mask = science_regions(rate, pastasoss=path)
    assert np.array_equal(np.flatnonzero(mask.all(axis=1)), np.arange(44, 77))
    assert asked == [(245.8, "SUBSTRIP256", True)]


def test_soss_traces_without_a_reference(caplog, tmp_path):
    rate = exposure("NIS_SOSS", (256, 64))
    assert science_regions(rate) is None
    assert "the traces are found in the image only" in caplog.text
    wrong = tmp_path / "wrong.asdf"
    wrong.write_text("no traces")
    with pytest.raises(CrstepsInputError, match="override_pastasoss"):
        science_regions(rate, pastasoss=wrong)


def test_miri_imager_by_flags_and_by_the_flat_field(monkeypatch, tmp_path, caplog):
    rate = exposure("MIR_IMAGE", (8, 8))
    assert science_regions(rate) is None
    assert "which part of the MIRI detector is for imaging" in caplog.text
    rate.dq[2, 3] = FLAGS["DO_NOT_USE"]
    rate.dq[3, 3] = FLAGS["NON_SCIENCE"]
    rate.dq[4, 3] = FLAGS["JUMP_DET"]
    assert np.argwhere(science_regions(rate)).tolist() == [[2, 3], [3, 3]]
    flags = np.zeros((8, 8), np.uint32)
    flags[:, 0] = FLAGS["DO_NOT_USE"]
    monkeypatch.setenv("CRDS_PATH", str(tmp_path))
    monkeypatch.setattr(regions_step, "_flat_flags", lambda model: flags)
    assert science_regions(rate).sum() == 2 + 8


def test_flat_field_of_crds_is_cut_to_the_window(monkeypatch, tmp_path):
    flat = datamodels.FlatModel(
        data=np.ones((20, 30), np.float32), dq=np.zeros((20, 30), np.uint32)
    )
    flat.dq[5, 6] = FLAGS["DO_NOT_USE"]
    for name, value in {"xstart": 1, "ystart": 1, "xsize": 30, "ysize": 20}.items():
        setattr(flat.meta.subarray, name, value)
    path = tmp_path / "flat.fits"
    flat.save(path)
    rate = exposure("MIR_IMAGE", (8, 8))
    for name, value in {"xstart": 4, "ystart": 3, "xsize": 8, "ysize": 8}.items():
        setattr(rate.meta.subarray, name, value)
    monkeypatch.setenv("CRDS_PATH", str(tmp_path))
    monkeypatch.setattr(
        "jwst.flatfield.FlatFieldStep.get_reference_file", lambda self, model, kind: str(path)
    )
    assert np.argwhere(science_regions(rate)).tolist() == [[3, 3]]


@pytest.mark.parametrize("kind", [None, "NRC_IMAGE"])
def test_other_exposures(kind, caplog):
    with caplog.at_level(logging.WARNING):
        assert science_regions(exposure(kind, (8, 8))) is None
    assert "no science regions are known" in caplog.text
