"""CrstepsImage3Pipeline and CrstepsSpec3Pipeline with jwst's own steps skipped or replaced."""

import json
import logging
import subprocess

import numpy as np
import pytest
from astropy.io import fits
from jwst.datamodels import ModelLibrary
from jwst.pipeline import Image3Pipeline, Spec3Pipeline
from jwst.stpipe import Step
from stdatamodels.jwst import datamodels

from crsteps import CrstepsImage3Pipeline, CrstepsSpec3Pipeline, MMCosmicStep
from crsteps.errors import CrstepsInputError
from crsteps.framework.parameter_files import validate
from crsteps.framework.provenance import read_records

# crds 14 warns about itself
pytestmark = pytest.mark.filterwarnings("ignore:'get_cache_lock' is deprecated")

SHAPE = (48, 64)
SKY, READ_NOISE, CHARGE, SCALE = 60.0, 4.0, 900.0, 0.065
HIT_TWICE, HIT_ONCE = (20, 30), (40, 50)  # in exposures 1 and 2 of a set, and in 3
FLAGS = 4 | 1  # JUMP_DET and DO_NOT_USE
ON = {"skip": False}
MASKS_ONLY = {"save_results": True, "save_combined": False, "save_figure": False}


def skip_all(pipeline):
    """Return parameters with which only mm_cosmic runs."""
    return {name: {"skip": True} for name in pipeline.step_defs if name != "mm_cosmic"}


def describe(model, *, detector="NRS1", kind="NIS_IMAGE", pixels_north=0.0):
    """Set what tells what an exposure shows."""
    meta = model.meta
    meta.telescope, meta.exposure.type = "JWST", kind
    meta.instrument.name, meta.instrument.detector = "NIRISS", detector
    if not isinstance(model, datamodels.MultiSlitModel):  # there, each slit has its own
        meta.wcsinfo.ra_ref, meta.wcsinfo.roll_ref = 10.0, 30.0
        meta.wcsinfo.dec_ref = 60.0 + pixels_north * SCALE / 3600
        meta.photometry.pixelarea_arcsecsq = SCALE**2
    meta.observation.observation_number = "001"
    return model


def image_arrays(number, seed):
    """Return data and noise of one of three equal exposures with known cosmic rays."""
    random = np.random.default_rng([seed, number])
    data = (random.poisson(SKY, SHAPE) + random.normal(0, READ_NOISE, SHAPE)).astype(np.float32)
    if number < 3:
        data[HIT_TWICE] += CHARGE
    if number == 3:
        data[HIT_ONCE] += CHARGE
    variances = {
        "var_poisson": np.full(SHAPE, SKY, np.float32),
        "var_rnoise": np.full(SHAPE, READ_NOISE**2, np.float32),
        "err": np.full(SHAPE, np.sqrt(SKY + READ_NOISE**2), np.float32),
    }
    return {"data": data, "dq": np.zeros(SHAPE, np.uint32), **variances}


def image(number, *, seed=1, model=datamodels.ImageModel, **what):
    """Return one exposure as a calibrated model."""
    model = model(validate_on_assignment=False, **image_arrays(number, seed))  # quicker
    model.meta.filename = f"jw1_{seed:05d}_{number:05d}_cal.fits"
    return describe(model, **what)


def flags(model):
    """Tell whether the two pixels with charge have flags."""
    found = [int(model.dq[pixel]) for pixel in (HIT_TWICE, HIT_ONCE)]
    assert set(found) <= {0, FLAGS}
    return [bool(value) for value in found]


OF_SET = [[True, False], [True, False], [False, True]]


def models_of(result):
    """Return the models of a library or container."""
    if not isinstance(result, ModelLibrary):
        return list(result)
    with result:
        models = [result.borrow(i) for i in range(len(result))]
        for index, model in enumerate(models):
            result.shelve(model, index, modify=False)
    return models


class Keeps(Step):
    """Outlier detection that keeps what it was given."""

    class_alias = "outlier_detection"
    kept = None

    def process(self, models):
        """Keep the models."""
        Keeps.kept.append(models)
        return models


class Image3(CrstepsImage3Pipeline):
    """The pipeline with outlier detection that keeps its input."""

    step_defs = {**CrstepsImage3Pipeline.step_defs, "outlier_detection": Keeps}  # noqa: RUF012


class Spec3(CrstepsSpec3Pipeline):
    """The pipeline with outlier detection that keeps its input."""

    step_defs = {**CrstepsSpec3Pipeline.step_defs, "outlier_detection": Keeps}  # noqa: RUF012


@pytest.fixture
def kept(monkeypatch):
    """Return a list that takes what outlier detection is given."""
    kept = []
    monkeypatch.setattr(Keeps, "kept", kept)
    return kept


def run(pipeline, given, *, steps=None, **mm_cosmic):
    """Run a pipeline of the tests with jwst's steps skipped but outlier detection."""
    members = skip_all(pipeline) | {"mm_cosmic": mm_cosmic} | (steps or {})
    del members["outlier_detection"]
    return pipeline.call(given, steps=members)


def write_association(folder, models, *, product="jw1_set", exptypes=()):
    """Write models with an association, and return its path."""
    members = []
    for number, model in enumerate(models):
        model.save(folder / model.meta.filename)
        kind = exptypes[number] if exptypes else "science"
        members.append({"expname": model.meta.filename, "exptype": kind})
    keys = ("asn_type", "asn_rule", "asn_id", "asn_pool", "program", "target")
    table = dict.fromkeys(keys, "none") | {"products": [{"name": product, "members": members}]}
    path = folder / "asn.json"
    path.write_text(json.dumps(table), encoding="utf-8")
    return path


# --- images ---------------------------------------------------------------------------------


def test_images_are_flagged_before_outlier_detection(kept):
    run(Image3, [image(n) for n in (1, 2, 3)], **ON)
    (library,) = kept
    models = models_of(library)
    assert [flags(model) for model in models] == OF_SET
    for model in models:
        assert model.meta.cal_step.mm_cosmic == "COMPLETE"
        assert read_records(model)["mm_cosmic"]["status"] == "COMPLETE"


def test_slot_is_off_by_default(kept):
    run(Image3, [image(n, pixels_north=n) for n in (1, 2, 3)])
    for model in models_of(kept[0]):
        assert flags(model) == [False, False]
        assert model.meta.cal_step.mm_cosmic == "SKIPPED"


def test_sets_of_equal_images_are_taken_apart(kept, caplog):
    """Two detectors; of one, two pointings of three exposures and one of two."""
    images = [
        image(n, seed=seed, detector=detector, pixels_north=north)
        for n in (1, 2, 3)
        for seed, detector, north in (
            (1, "NRS1", 0),
            (2, "NRS2", 0),
            (3, "NRS1", 5),
            (4, "NRS1", 9),
        )
        if (seed, n) != (4, 3)
    ]
    with caplog.at_level(logging.WARNING, logger="crsteps"):
        run(Image3, images, **ON)
    found = {m.meta.filename: (flags(m), m.meta.cal_step.mm_cosmic) for m in models_of(kept[0])}
    for seed in (1, 2, 3):
        for number in (1, 2, 3):
            name = f"jw1_{seed:05d}_{number:05d}_cal.fits"
            assert found[name] == (OF_SET[number - 1], "COMPLETE")
    for number in (1, 2):
        assert found[f"jw1_00004_{number:05d}_cal.fits"] == ([False, False], "SKIPPED")
    (line,) = (r.getMessage() for r in caplog.records if "leaves" in r.getMessage())
    assert line.endswith("pointing: jw1_00004_00001_cal.fits, jw1_00004_00002_cal.fits")


def test_dithered_images_are_refused_before_any_work(kept):
    class Fails(Step):
        class_alias = "tweakreg"

        def process(self, models):
            raise AssertionError("work was done")

    class Early(Image3):
        step_defs = {**Image3.step_defs, "tweakreg": Fails}  # noqa: RUF012

    images = [image(n, pixels_north=2.0 * n) for n in (1, 2, 3)]
    with pytest.raises(CrstepsInputError, match=r"dithered by up to 4\.0 pixels: leave it out"):
        run(Early, images, steps={"tweakreg": {"skip": False}}, **ON)
    assert kept == []


def test_dithered_images_are_taken_together_if_wanted(kept, caplog):
    images = [image(n, pixels_north=2.0 * n) for n in (1, 2, 3)]
    run(Image3, images, allow_dithered=True, **ON)
    assert [flags(model) for model in models_of(kept[0])] == OF_SET
    assert "the pointings of the exposures differ by 4.0 pixels" in caplog.text


def test_more_coincidences_need_more_exposures(kept, caplog):
    run(Image3, [image(n) for n in (1, 2, 3)], mm_cr_coincidences=3, **ON)
    assert all(flags(model) == [False, False] for model in models_of(kept[0]))
    assert "mm_cosmic leaves these exposures as they are" in caplog.text


def test_images_on_disk(kept, in_tmp_path):
    """With in_memory = False every model is a file while it is not used."""
    path = write_association(in_tmp_path, [image(n) for n in (1, 2, 3)])
    before = {p: p.read_bytes() for p in in_tmp_path.glob("*_cal.fits")}
    steps = skip_all(Image3) | {"mm_cosmic": ON}
    del steps["outlier_detection"]
    Image3.call(str(path), steps=steps, in_memory=False)
    assert kept[0].on_disk
    assert [flags(model) for model in models_of(kept[0])] == OF_SET
    assert {p: p.read_bytes() for p in in_tmp_path.glob("*_cal.fits")} == before


def test_images_through_strun(in_tmp_path, user_environment):
    """As a user without CRDS: association, parameter file, products of two detectors."""
    images = [image(n, seed=s, detector=f"NRS{s}") for n in (1, 2, 3) for s in (1, 2)]
    write_association(in_tmp_path, images)
    skipped = [f"--steps.{name}.skip=true" for name in skip_all(CrstepsImage3Pipeline)]
    command = ["strun", "crsteps_image3", "asn.json", "--steps.mm_cosmic.skip=false"]
    products = [f"--steps.mm_cosmic.{name}={value}" for name, value in MASKS_ONLY.items()]
    products.append("--output_dir=out")
    done = subprocess.run(
        [*command, *skipped, *products],
        env=user_environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    names = {path.name for path in (in_tmp_path / "out").iterdir()}
    for s in (1, 2):
        assert f"jw1_set_nrs{s}_crmasks.fits" in names
        for n in (1, 2, 3):
            with datamodels.open(f"out/jw1_{s:05d}_{n:05d}_mmcr.fits") as model:
                assert flags(model) == OF_SET[n - 1]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("x.txt", "is neither an association nor an image"),
        ("bad.json", "is not an association"),
        ("asn.json", "names .*gone_cal.fits, which does not exist"),
        ("x.fits", "cannot be opened as a calibrated image"),
    ],
)
def test_inputs_that_cannot_be_used(in_tmp_path, name, message):
    write_association(in_tmp_path, [image(1)])
    text = (in_tmp_path / "asn.json").read_text().replace("jw1_00001_00001", "gone")
    for other in ("x.txt", "bad.json", "x.fits"):
        (in_tmp_path / other).write_text("no association")
    (in_tmp_path / "asn.json").write_text(text)
    with pytest.raises(CrstepsInputError, match=message):
        CrstepsImage3Pipeline.call(name)


# --- spectra --------------------------------------------------------------------------------


def spectrum(number, **what):
    """Return one exposure of the MIRI slit."""
    what = {"kind": "MIR_LRS-FIXEDSLIT", "detector": "MIRIMAGE"} | what
    return image(number, **what)


def slits(number, sources=(5, 7), *, shapes=None, **what):
    """Return one exposure of NIRSpec's shutters with a slit of each source."""
    model = datamodels.MultiSlitModel(validate_on_assignment=False)
    model.meta.filename = f"jw1_00001_{number:05d}_cal.fits"
    describe(model, kind="NRS_MSASPEC", **what)
    for source in sources:
        slit = image(number, seed=source, model=datamodels.SlitModel, kind="NRS_MSASPEC", **what)
        slit.name, slit.source_id, slit.source_name = str(source), source, f"1_{source}"
        slit.xstart, slit.ystart = 1, 100 * source
        model.slits.append(slit)
    return model


def test_spectra_are_flagged_before_outlier_detection(kept, in_tmp_path):
    """Background exposures show another scene: they are no dither, and are not flagged."""
    exposures = [spectrum(n) for n in (1, 2, 3)]
    exposures += [spectrum(n, seed=2, pixels_north=500) for n in (1, 2, 3)]
    kinds = ["science"] * 3 + ["background"] * 3
    run(Spec3, str(write_association(in_tmp_path, exposures, exptypes=kinds)), **ON)
    (container,) = kept
    assert [flags(model) for model in container] == OF_SET
    assert {model.meta.cal_step.mm_cosmic for model in container} == {"COMPLETE"}


def test_each_source_is_taken_by_itself(in_tmp_path, kept, caplog):
    """Products have names of their own; a source that lacks in an exposure is left alone."""
    exposures = [slits(1, (5, 7, 9)), slits(2, (5, 7, 9)), slits(3, (5, 7))]
    path = write_association(in_tmp_path, exposures, product="jw1_{source_id}")
    steps = skip_all(Spec3) | {"mm_cosmic": ON | MASKS_ONLY}
    del steps["outlier_detection"]
    Spec3.call(str(path), steps=steps, save_results=True, output_dir="out")
    names = {path.name for path in (in_tmp_path / "out").iterdir()}
    for source in ("s000000005", "s000000007"):
        assert {f"jw1_{source}_crmasks.fits", f"jw1_{source}_cal.fits"} <= names
        for n in (1, 2, 3):
            with fits.open(f"out/jw1_{source}_jw1_00001_{n:05d}_mmcr.fits") as file:
                assert (file["DQ"].data[HIT_TWICE] == FLAGS) == (n < 3)
    by_source = {container[0].source_id: container for container in kept}
    assert [flags(model) for model in by_source[9]] == [[False, False]] * 2
    assert {model.meta.cal_step.mm_cosmic for model in by_source[9]} == {"SKIPPED"}
    assert caplog.text.count("mm_cosmic leaves these exposures as they are") == 1
    for source in (5, 7):
        container = by_source[source]
        assert [flags(model) for model in container] == OF_SET
        # What later steps see has the name it had, and can be written as one file.
        names = [model.meta.filename for model in container]
        assert names == [f"jw1_00001_{n:05d}_cal.fits" for n in (1, 2, 3)]
    container.save("source.fits")
    with datamodels.open("source.fits") as source:
        assert [exposure.dq[HIT_TWICE] for exposure in source.exposures] == [FLAGS, FLAGS, 0]


def test_dithered_spectra_are_refused_before_any_work(kept, in_tmp_path):
    exposures = [slits(n, (5,), pixels_north=1.5 * n) for n in (1, 2, 3)]
    path = write_association(in_tmp_path, exposures)
    with pytest.raises(CrstepsInputError, match=r"dithered by up to 3\.0 pixels"):
        run(Spec3, str(path), **ON)
    run(Spec3, str(path), allow_dithered=True, **ON)
    assert [flags(model) for model in kept[0]] == OF_SET


def test_modes_without_outlier_detection_are_told(kept, in_tmp_path, caplog):
    path = write_association(in_tmp_path, [spectrum(n, kind="NIS_WFSS") for n in (1, 2, 3)])
    with caplog.at_level(logging.WARNING, logger="crsteps"):
        pipeline = Spec3(steps={"mm_cosmic": ON})
        pipeline.prepare_output(str(path), asn_exptypes=["science", "background"])
    assert "mm_cosmic is not run" in caplog.text
    assert "NIS_WFSS" in caplog.text


def test_spectra_without_association_are_refused(in_tmp_path):
    spectrum(1).save("x_cal.fits")
    for given in ("x_cal.fits", spectrum(1)):
        with pytest.raises(CrstepsInputError, match=r"_cal\.fits is not an association"):
            CrstepsSpec3Pipeline.call(given)


@pytest.mark.real_data
def test_real_nods_of_a_slit_are_refused(real_data):
    """Three nods along a slitlet of NIRSpec: the source is elsewhere in each."""
    files = sorted((real_data / "nirspec_mos_nods").glob("*_phot.*.fits"))
    models = [datamodels.open(path) for path in files]
    pipeline = CrstepsSpec3Pipeline(steps={"mm_cosmic": ON})
    with pytest.raises(CrstepsInputError, match="dithered by up to"):
        pipeline.check_pointings(models)
    for model in models:
        model.close()


@pytest.mark.slow
def test_spectra_through_strun(in_tmp_path, user_environment):
    write_association(in_tmp_path, [spectrum(n) for n in (1, 2, 3)])
    skipped = [f"--steps.{name}.skip=true" for name in skip_all(CrstepsSpec3Pipeline)]
    wanted = [f"--steps.mm_cosmic.{k}={value}" for k, value in (ON | MASKS_ONLY).items()]
    done = subprocess.run(
        ["strun", "crsteps_spec3", "asn.json", *skipped, *wanted],
        env=user_environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (in_tmp_path / "jw1_set_crmasks.fits").exists()


# --- parameters -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pipeline", "standard"),
    [(CrstepsImage3Pipeline, Image3Pipeline), (CrstepsSpec3Pipeline, Spec3Pipeline)],
)
def test_steps_are_those_of_jwst_with_one_more(pipeline, standard):
    names = list(pipeline.step_defs)
    place = names.index("mm_cosmic")
    assert names[place + 1] == "outlier_detection"
    assert names[:place] + names[place + 1 :] == list(standard.step_defs)
    assert issubclass(pipeline.step_defs["mm_cosmic"], MMCosmicStep)
    assert pipeline.get_config_reftype() == standard.get_config_reftype()


@pytest.mark.parametrize("name", ["mm_cosmic", "crsteps.MMCosmicStep"])
def test_parameter_files_may_name_the_step_by_its_alias(in_tmp_path, name):
    if "." in name:
        name = "crsteps.mm_cosmic.step.MMCosmicStep"
    path = in_tmp_path / "mine.yaml"
    step = "mm_cosmic:\n    skip: false\n    mm_false_pixels: 3.0\n"
    path.write_text(f"class: crsteps_image3\nsteps:\n  {step}")
    assert validate(path).parameters["steps"]["mm_cosmic"]["mm_false_pixels"] == 3.0
    asdf = in_tmp_path / "mine.asdf"
    asdf.write_text(
        "#ASDF 1.0.0\n%YAML 1.1\n---\nclass: crsteps_image3\nname: mine\nparameters: {}\nsteps:\n"
        f"- class: {name}\n  name: mm_cosmic\n  parameters: {{skip: false}}\n...\n"
    )
    step = Step.from_config_file(str(asdf)).mm_cosmic
    validate(asdf)
    assert not step.skip
    assert step.allow_dithered is False
