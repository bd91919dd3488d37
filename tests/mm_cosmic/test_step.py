"""MMCosmicStep from files, models and pipelines to its products."""

import hashlib
import json
import subprocess

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from crsteps.errors import CrstepsInputError
from crsteps.framework.provenance import read_records
from crsteps.mm_cosmic.masks import MMCosmicResult
from crsteps.mm_cosmic.step import MMCosmicStep

SHAPE = (64, 96)
SKY, READ_NOISE, CHARGE = 60.0, 4.0, 900.0
# (y, x) of charge in exposures 1 and 2, of charge in 3 alone, and of a pixel without data in 1.
HIT_TWICE, HIT_ONCE, DEAD = (20, 30), (40, 70), (50, 10)
FLAGS = 4 | 1  # JUMP_DET and DO_NOT_USE
COMBINATIONS = ("mean", "median", "min", "mediancr", "meancrt", "meancr", "meancr2")


def exposures(bias=0.0):
    """Return three exposures of an even sky in ADU, gain 1, with known cosmic rays."""
    random = np.random.default_rng(11)
    stack = random.poisson(SKY, (3, *SHAPE)) + random.normal(bias, READ_NOISE, (3, *SHAPE))
    stack[:2, *HIT_TWICE] += CHARGE
    stack[2, *HIT_ONCE] += CHARGE
    return stack.astype(np.float32)


@pytest.fixture
def images(in_tmp_path):
    """Write the exposures as plain FITS images, and return their paths."""
    paths = []
    for number, image in enumerate(exposures(), start=1):
        header = fits.Header({"GAIN": 1.0, "RDNOISE": READ_NOISE, "OBJECT": "sky"})
        paths.append(in_tmp_path / f"night_{number}.fits")
        fits.writeto(paths[-1], image, header)
    return paths


def rate_model(image, number):
    """Return one exposure as a JWST rate model with a pixel flagged DO_NOT_USE."""
    from stdatamodels.jwst import datamodels

    model = datamodels.ImageModel(data=image, dq=np.zeros(SHAPE, np.uint32))
    model.var_poisson = np.full(SHAPE, SKY, np.float32)
    model.var_rnoise = np.full(SHAPE, READ_NOISE**2, np.float32)
    model.err = np.sqrt(model.var_poisson + model.var_rnoise)
    model.dq[1, 1] = 2048
    if number == 1:
        model.dq[DEAD] = 1
    model.meta.telescope = "JWST"
    model.meta.filename = f"jw1_0000{number}_nrs1_rate.fits"
    model.meta.exposure.type = "NIS_IMAGE"
    return model


@pytest.fixture
def models():
    """Return the exposures as open models."""
    return [rate_model(image, number) for number, image in enumerate(exposures(), start=1)]


@pytest.fixture
def association(in_tmp_path, models):
    """Write the models as files with an association, and return its path."""
    members = []
    for model in models:
        model.save(model.meta.filename)
        members.append({"expname": model.meta.filename, "exptype": "science"})
    keys = ("asn_type", "asn_rule", "asn_id", "asn_pool", "program", "target")
    table = dict.fromkeys(keys, "none") | {"products": [{"name": "jw1_set", "members": members}]}
    path = in_tmp_path / "asn.json"
    path.write_text(json.dumps(table))
    return path


def digests(folder):
    """Return a checksum of every file of a folder."""
    files = (path for path in folder.iterdir() if path.is_file())
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def assert_flags_follow_masks(flagged, originals, crmasks):
    """DQ has the flags exactly where the exposure's mask is set; all else is as it was."""
    with fits.open(crmasks) as masks:
        for number, (dq, original) in enumerate(zip(flagged, originals, strict=True), start=1):
            mask = masks[f"CRMASK{number}"].data == 1
            np.testing.assert_array_equal(dq[mask], original[mask] | FLAGS)
            np.testing.assert_array_equal(dq[~mask], original[~mask])
            assert mask[HIT_TWICE] == (number < 3)
            assert mask[HIT_ONCE] == (number == 3)


# --- plain FITS -----------------------------------------------------------------------------


def test_plain_images_give_all_products(images, tmp_path):
    before = digests(tmp_path)
    result = MMCosmicStep.call(images, save_results=True, output_dir=str(tmp_path / "out"))
    assert isinstance(result, MMCosmicResult)
    assert digests(tmp_path) == before
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {
        "night_crmasks.fits",
        "night_mm_diagram.png",
        "night_mm_features.ecsv",
        *(f"night_combined_{name}.fits" for name in COMBINATIONS),
        *(f"night_{number}_mmcr.fits" for number in (1, 2, 3)),
    }


def test_masks_hold_counts_measurements_and_tables(images, tmp_path):
    result = MMCosmicStep.call(images, save_results=True)
    with fits.open(tmp_path / "night_crmasks.fits") as masks:
        assert [hdu.name for hdu in masks] == [
            *("PRIMARY", "MEDIANCR", "MEANCRT", "CRMASK1", "CRMASK2", "CRMASK3", "MEANCR"),
            *("CODES", "SUSPECT1", "SUSPECT2", "SUSPECT3", "FEATURES", "PROBLEMATIC"),
        ]
        np.testing.assert_array_equal(masks["MEDIANCR"].data, result.mediancr)
        assert masks["CRMASK3"].data.dtype == np.uint8
        assert masks["MEDIANCR"].header["NPMASKED"] == result.mediancr.sum()
        assert masks[0].header["FLUXF2"] == pytest.approx(result.equivalence.flux[1], abs=1e-6)
        assert masks[0].header["MMNFALSE"] == 1
        assert masks[0].header["MMNPROB"] == len(masks["PROBLEMATIC"].data) == 0
        history = str(masks[0].header["HISTORY"])
        assert "mm_false_pixels = 1.0" in history
        assert "exposure 2 = night_2.fits, bias 0 subtracted" in history
        features = Table.read(masks["FEATURES"])
    written = Table.read(tmp_path / "night_mm_features.ecsv")
    assert list(written["exposures"]) == list(features["exposures"])
    (hit,) = [row for row in written if row["x_min"] <= 30 <= row["x_max"] and row["y"] == 20]
    assert hit["exposures"] == "1,2"
    assert hit["significance"] > 20


def test_flagged_copies_of_plain_images(images, tmp_path):
    MMCosmicStep.call(images, save_results=True)
    flagged = []
    for path in images:
        with fits.open(path) as original, fits.open(f"{path.stem}_mmcr.fits") as copy:
            np.testing.assert_array_equal(copy[0].data, original[0].data)
            assert copy[0].header["OBJECT"] == "sky"
            flagged.append(copy["DQ"].data)
    zeros = [np.zeros(SHAPE, np.uint32)] * 3
    assert_flags_follow_masks(flagged, zeros, tmp_path / "night_crmasks.fits")


def test_combined_images_are_clean_and_say_what_they_used(images, tmp_path):
    MMCosmicStep.call(images, save_results=True)
    values = {}
    for name in COMBINATIONS:
        with fits.open(f"night_combined_{name}.fits") as hdus:
            values[name] = {hdu.name: hdu.data for hdu in hdus}
            assert hdus[0].header["OBJECT"] == "sky"
    assert values["median"]["PRIMARY"][HIT_TWICE] > SKY + 0.8 * CHARGE
    for name in ("mediancr", "meancrt", "meancr", "meancr2"):
        assert abs(values[name]["PRIMARY"][HIT_TWICE] - SKY) < 6 * np.sqrt(SKY + READ_NOISE**2)
    assert values["meancr"]["MAP"][HIT_TWICE] == 1
    assert values["meancr"]["MAP"][HIT_ONCE] == 2
    expected = (SKY + READ_NOISE**2) / 3
    assert np.median(values["meancr"]["VARIANCE"]) == pytest.approx(expected, rel=0.05)


def test_nothing_is_written_without_save_results(images, tmp_path):
    before = digests(tmp_path)
    result = MMCosmicStep.call(images)
    assert result.mediancr[HIT_TWICE]
    assert digests(tmp_path) == before


def test_only_what_is_wanted_is_written(images, tmp_path):
    before = set(digests(tmp_path))
    unwanted = dict.fromkeys(("save_masks", "save_flagged", "save_figure", "save_table"), False)
    MMCosmicStep.call(images, save_results=True, combinations=["meancr2"], **unwanted)
    assert set(digests(tmp_path)) - before == {"night_combined_meancr2.fits"}


def test_output_file_names_the_set(images, tmp_path):
    MMCosmicStep.call(images, output_file="target.fits", save_combined=False)
    assert (tmp_path / "target_crmasks.fits").exists()
    assert (tmp_path / "night_1_mmcr.fits").exists()


def test_each_exposure_has_its_bias(in_tmp_path):
    """The same light on other levels: the same masks, and combined images without a level."""
    levels = (100.0, 200.0, 300.0)
    paths = []
    for number, (image, bias) in enumerate(zip(exposures(), levels, strict=True)):
        paths.append(in_tmp_path / f"x{number}.fits")
        fits.writeto(paths[-1], image + np.float32(bias))
    result = MMCosmicStep.call(
        paths, gain=1.0, rnoise=READ_NOISE, bias=list(levels), save_results=True
    )
    plain = MMCosmicStep.call(
        [*_written(in_tmp_path, exposures())], gain=1.0, rnoise=READ_NOISE, bias=0.0
    )
    np.testing.assert_array_equal(result.exposure_masks, plain.exposure_masks)
    mean = fits.getdata("x_combined_mean.fits")
    assert np.median(mean) == pytest.approx(SKY, abs=0.5)


def _written(folder, stack):
    for number, image in enumerate(stack):
        fits.writeto(folder / f"plain{number}.fits", image)
        yield folder / f"plain{number}.fits"


def test_small_memory_gives_the_same_result(images):
    whole, blocks = (MMCosmicStep.call(images, max_memory=size) for size in (500.0, 1.0))
    np.testing.assert_array_equal(whole.exposure_masks, blocks.exposure_masks)


# --- JWST models ----------------------------------------------------------------------------


def test_strun_on_an_association(association, tmp_path, user_environment):
    before = digests(tmp_path)
    run = subprocess.run(
        ["strun", "mm_cosmic", "asn.json", "--output_dir=out"],
        cwd=tmp_path,
        env=user_environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert digests(tmp_path) == before
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {
        "jw1_set_crmasks.fits",
        "jw1_set_mm_diagram.png",
        "jw1_set_mm_features.ecsv",
        *(f"jw1_set_combined_{name}.fits" for name in COMBINATIONS),
        *(f"jw1_0000{number}_nrs1_mmcr.fits" for number in (1, 2, 3)),
    }
    assert "1 false pixels expected" in run.stdout + run.stderr
    flagged, originals = [], []
    for number in (1, 2, 3):
        with fits.open(tmp_path / "out" / f"jw1_0000{number}_nrs1_mmcr.fits") as hdus:
            assert hdus[0].header["S_MMCOSM"] == "COMPLETE"
            assert hdus[0].header["FILENAME"] == f"jw1_0000{number}_nrs1_mmcr.fits"
            flagged.append(hdus["DQ"].data)
        originals.append(fits.getdata(f"jw1_0000{number}_nrs1_rate.fits", "DQ"))
    assert_flags_follow_masks(flagged, originals, tmp_path / "out" / "jw1_set_crmasks.fits")


def test_combined_models_record_the_run(association):
    from stdatamodels.jwst import datamodels

    MMCosmicStep.call(str(association), save_results=True, mm_false_pixels=0.5)
    with datamodels.open("jw1_set_combined_meancr.fits") as model:
        assert model.meta.cal_step.instance["mm_cosmic"] == "COMPLETE"
        assert read_records(model)["mm_cosmic"]["parameters"]["mm_false_pixels"] == 0.5
        assert model.meta.filename == "jw1_set_combined_meancr.fits"
        assert abs(model.data[HIT_TWICE] - SKY) < 6 * np.sqrt(SKY + READ_NOISE**2)


@pytest.mark.parametrize("kind", ["list", "container", "library"])
def test_open_models_are_copied_and_flagged(models, kind, tmp_path, monkeypatch):
    from jwst.datamodels import ModelContainer, ModelLibrary

    monkeypatch.chdir(tmp_path)
    original = [model.dq.copy() for model in models]
    make = {"list": list, "container": ModelContainer, "library": ModelLibrary}[kind]
    result = MMCosmicStep.call(make(models), save_results=True, save_combined=False)
    assert isinstance(result, ModelLibrary if kind == "library" else ModelContainer)
    for model, dq in zip(models, original, strict=True):
        np.testing.assert_array_equal(model.dq, dq)
        assert not model.meta.cal_step.hasattr("mm_cosmic")
    flagged = _flags(result)
    assert_flags_follow_masks(flagged, original, tmp_path / "jw1_crmasks.fits")
    saved = [fits.getdata(f"jw1_0000{number}_nrs1_mmcr.fits", "DQ") for number in (1, 2, 3)]
    np.testing.assert_array_equal(saved, flagged)


def _flags(models):
    if not hasattr(models, "borrow"):
        return [model.dq for model in models]
    flags = []
    with models:
        for index in range(len(models)):
            model = models.borrow(index)
            flags.append(model.dq.copy())
            models.shelve(model, index, modify=False)
    return flags


@pytest.mark.parametrize("kind", ["container", "library"])
def test_a_pipeline_goes_on_with_the_flagged_models(models, kind, tmp_path, monkeypatch):
    """Between steps the models themselves are flagged, and nothing is written."""
    from jwst.datamodels import ModelContainer, ModelLibrary

    from crsteps.framework.pipeline import CrPipeline

    class Pipeline(CrPipeline):
        class_alias = "small_pipeline"
        step_defs = {"mm_cosmic": MMCosmicStep}  # noqa: RUF012

        def process(self, inputs):
            self.inputs = inputs
            return self.mm_cosmic.run(inputs)

    monkeypatch.chdir(tmp_path)
    set_ = (ModelContainer if kind == "container" else ModelLibrary)(models)
    result = Pipeline.call(set_, steps={"mm_cosmic": {"flag_bits": ["OUTLIER", "DO_NOT_USE"]}})
    assert result is set_
    flags = _flags(result)
    assert [dq[HIT_TWICE] for dq in flags] == [17, 17, 0]
    assert [dq[HIT_ONCE] for dq in flags] == [0, 0, 17]
    assert all(dq[1, 1] == 2048 for dq in flags)
    assert flags[0][DEAD] == 1
    assert list(tmp_path.iterdir()) == []


def test_a_pipeline_may_begin_with_an_association(association):
    from crsteps.framework.pipeline import CrPipeline

    class Pipeline(CrPipeline):
        class_alias = "small_pipeline"
        step_defs = {"mm_cosmic": MMCosmicStep}  # noqa: RUF012

        def process(self, inputs):
            return self.mm_cosmic.run(inputs)

    flags = _flags(Pipeline.call(str(association)))
    assert [dq[HIT_TWICE] for dq in flags] == [FLAGS, FLAGS, 0]


def test_dithered_exposures_are_warned_of(models, caplog):
    for number, model in enumerate(models):
        model.meta.wcsinfo.ra_ref = 10.0
        model.meta.wcsinfo.dec_ref = 60.0 + number * 0.065 / 3600
        model.meta.wcsinfo.roll_ref = 30.0
        model.meta.photometry.pixelarea_arcsecsq = 0.065**2
    MMCosmicStep.call(models)
    assert "pointings of the exposures differ by 2.0 pixels" in caplog.text


@pytest.mark.parametrize(
    "parameters",
    [
        {"crmethod": "mm_lacosmic+pycosmic"},
        {"crmethod": "lacosmic", "use_auxmedian": True},
        {"crmethod": "mm_pycosmic", "mm_boundary_fit": "spline", "mm_nsimulations": 2},
        {"flux_factor": [1.0, 1.0, 1.01], "apply_flux_factor_to": "original"},
    ],
    ids=str,
)
def test_methods_on_models_with_noise_of_each_pixel(models, parameters):
    result = MMCosmicStep.call(models, **parameters)
    assert [model.dq[HIT_TWICE] for model in result] == [FLAGS, FLAGS, 0]
    assert [model.dq[HIT_ONCE] for model in result] == [0, 0, FLAGS]
    assert [model.dq[DEAD] for model in result] == [1, 0, 0]


@pytest.mark.parametrize("parameters", [{}, {"flux_factor": "auto", "crmethod": "mm_pycosmic"}])
def test_disjoint_exposures_are_skipped(models, caplog, parameters):
    """No pixel with two usable exposures is a property of the data."""
    for number, model in enumerate(models):
        model.dq[:] = 1
        model.dq[number * 20 : number * 20 + 20] = 0
    result = MMCosmicStep.call(models, **parameters)
    assert "mm_cosmic is skipped" in caplog.text
    for model, original in zip(result, models, strict=True):
        assert model.meta.cal_step.instance["mm_cosmic"] == "SKIPPED"
        np.testing.assert_array_equal(model.dq, original.dq)


# --- mistakes of the user -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"mm_false_pixel": 1}, "did you mean mm_false_pixels"),
        ({"mm_cr_coincidences": 3}, "less than the number of exposures"),
        ({"mm_false_pixels": -1}, "mm_false_pixels"),
        ({"combinations": ["meancr3"]}, "there is no 'meancr3'"),
        ({"flag_bits": ["JUMP"]}, "JUMP is not a data-quality flag"),
        ({"gain": [1, 2]}, "gain has 2 values for 3 exposures"),
    ],
)
def test_impossible_parameters_are_refused(images, tmp_path, parameters, words):
    before = digests(tmp_path)
    with pytest.raises(CrstepsInputError, match=words):
        MMCosmicStep.call(images, save_results=True, **parameters)
    assert digests(tmp_path) == before


@pytest.mark.parametrize("fault", ["truncated", "all NaN", "same names", "over an input"])
def test_impossible_inputs_are_refused(images, tmp_path, fault):
    words = {
        "truncated": "truncated",
        "all NaN": "Every pixel",
        "same names": "one name",
        "over an input": "would replace the input",
    }
    if fault == "truncated":
        images[1].write_bytes(images[1].read_bytes()[:9000])
    elif fault == "all NaN":
        fits.writeto(images[2], np.full(SHAPE, np.nan, np.float32), overwrite=True)
    elif fault == "same names":
        (tmp_path / "other").mkdir()
        images[1] = images[1].rename(tmp_path / "other" / images[0].name)
    else:
        images = [path.rename(path.with_name(f"{path.stem}_mmcr.fits")) for path in images]
    before = digests(tmp_path)
    with pytest.raises(CrstepsInputError, match=words[fault]):
        MMCosmicStep.call(images, save_results=True, gain=1.0, rnoise=READ_NOISE)
    assert digests(tmp_path) == before


def test_a_failing_write_leaves_no_part_of_a_file(images, tmp_path, monkeypatch):
    before = set(digests(tmp_path))

    def fail(*_, **__):
        raise OSError("no space left on device")

    monkeypatch.setattr(fits.HDUList, "writeto", fail)
    with pytest.raises(OSError, match="no space left"):
        MMCosmicStep.call(images, save_results=True)
    assert set(digests(tmp_path)) == before


def test_shipped_parameter_files_run(images, checkout):
    for name in ("pars-mmcosmicstep.asdf", "pars-mmcosmicstep-ccd.asdf"):
        path = str(checkout / "reference_files" / name)
        assert MMCosmicStep.call(images, config_file=path).mediancr[HIT_TWICE]
