"""Records of what was done: written, saved, read again, carried over."""

import numpy as np
import pytest
from astropy.io import fits
from jwst.datamodels import ModelContainer, ModelLibrary
from stdatamodels import schema
from stdatamodels.jwst import datamodels
from stdatamodels.jwst.datamodels import ImageModel
from toysteps import OffsetStep, RenewingPipeline, ScaleStep, ToyPipeline

from crsteps import __version__
from crsteps.framework.provenance import Record, carry_records, read_records, write_record

REFERENCE = {"toyscale": {"name": "a.asdf", "source": "parameter", "sha256": "0" * 64}}


def history(path):
    """Return the lines of HISTORY."""
    return list(fits.getheader(path)["HISTORY"])


def test_record_survives_save_open_save(rate, tmp_path):
    first, second = tmp_path / "first.fits", tmp_path / "second.fits"
    write_record(
        rate, Record("toy_scale", "COMPLETE", parameters={"factor": 2.0}, references=REFERENCE)
    )
    rate.save(first)
    with datamodels.open(first) as reopened:
        reopened.save(second)
    for path in (first, second):
        header = fits.getheader(path)
        assert header["S_TOYSCA"] == "COMPLETE"
        assert header["CRSTEPSV"] == __version__
        texts = " ".join(header["HISTORY"])
        assert texts.count("toy_scale: factor = 2.0") == 1
        assert "a.asdf" in texts
        with datamodels.open(path) as model:
            assert model.meta.cal_step.instance["toy_scale"] == "COMPLETE"
            assert read_records(model) == {
                "toy_scale": {
                    "status": "COMPLETE",
                    "version": __version__,
                    "parameters": {"factor": 2.0},
                    "references": REFERENCE,
                }
            }


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("null", "null"),
        ('say "null"', 'say "null"'),
        (None, "None"),
        (np.float32(0.5), 0.5),
        (np.int64(3), 3),
        ([1, None, ("a", True)], [1, "None", ["a", True]]),
        ({"a": None}, {"a": "None"}),
        (float("inf"), float("inf")),
    ],
)
def test_values_of_parameters(rate, tmp_path, value, kept):
    write_record(rate, Record("toy_scale", "COMPLETE", parameters={"p": value}))
    rate.save(tmp_path / "x.fits")
    with datamodels.open(tmp_path / "x.fits") as model:
        assert read_records(model)["toy_scale"]["parameters"] == {"p": kept}


def test_second_run_is_in_the_history_too(rate, tmp_path):
    result = ScaleStep.call(ScaleStep.call(rate, factor=2), factor=2)
    result.save(tmp_path / "x.fits")
    assert history(tmp_path / "x.fits").count("toy_scale: factor = 2") == 2


def test_two_steps_keep_both_records(rate):
    result = OffsetStep.call(ScaleStep.call(rate))
    assert list(read_records(result)) == ["toy_scale", "toy_offset"]


def test_standard_card_is_set(in_tmp_path, rate):
    rate.meta.filename = "x_rate.fits"
    OffsetStep.call(rate, save_results=True)
    header = fits.getheader("x_toy_offset.fits")
    assert header["S_TOYOFF"] == "COMPLETE"
    assert header["S_PERSIS"] == "COMPLETE"


def test_model_made_anew_keeps_the_record(in_tmp_path, rate):
    """In the result and in what the pipeline saves before and after."""
    rate.meta.filename = "x_jump.fits"
    result = ToyPipeline.call(rate, save_results=True, save_between=True)
    assert list(read_records(result)) == ["toy_scale", "toy_offset"]
    for name in ("x_rate.fits", "x_toy_pipeline.fits"):
        header = fits.getheader(name)
        assert header["S_TOYSCA"] == header["S_TOYOFF"] == header["S_PERSIS"] == "COMPLETE"
        assert list(header["HISTORY"]).count("toy_scale: factor = 2.0") == 1
    assert {path.name for path in in_tmp_path.iterdir()} == {"x_rate.fits", "x_toy_pipeline.fits"}


def test_model_made_anew_by_the_pipeline_keeps_the_record(in_tmp_path, rate):
    rate.meta.filename = "x_jump.fits"
    result = RenewingPipeline.call(rate, save_results=True)
    assert read_records(result)["toy_scale"]["status"] == "COMPLETE"
    for name in ("x_rate.fits", "x_toy_renewing.fits"):
        assert fits.getval(name, "S_TOYSCA") == "COMPLETE"
        assert history(name).count("toy_scale: factor = 2.0") == 1


@pytest.mark.parametrize("alias", ["toy_scale", "toy_offset"])
def test_skipped_in_a_pipeline(in_tmp_path, rate, alias):
    rate.meta.filename = "x_jump.fits"
    slot = {"toy_scale": "scale", "toy_offset": "persistence"}[alias]
    result = ToyPipeline.call(rate, save_results=True, steps={slot: {"skip": True}})
    statuses = {name: record["status"] for name, record in read_records(result).items()}
    assert statuses == {"toy_scale": "COMPLETE", "toy_offset": "COMPLETE"} | {alias: "SKIPPED"}
    header = fits.getheader("x_toy_pipeline.fits")
    keyword = {"toy_scale": "S_TOYSCA", "toy_offset": "S_PERSIS"}[alias]
    assert header[keyword] == "SKIPPED"
    assert result.data[0, 0] == 2  # 1 + 1 without the factor, 1 x 2 without the offset


def test_first_step_skipped_when_given_a_file(rate_file, in_tmp_path):
    result = ToyPipeline.call(str(rate_file), steps={"scale": {"skip": True}})
    assert read_records(result)["toy_scale"]["status"] == "SKIPPED"
    assert result.data[0, 0] == 2


def test_second_run_of_a_pipeline_starts_without_records(in_tmp_path, rate):
    pipeline = RenewingPipeline()
    assert list(read_records(pipeline.run(rate))) == ["toy_scale"]
    pipeline.scaled = False
    assert read_records(pipeline.run(rate)) == {}


@pytest.mark.parametrize("kind", [ModelContainer, ModelLibrary, list])
def test_record_in_each_of_several_models(rate, kind):
    models = [rate, rate.copy()]
    for number, model in enumerate(models):
        model.meta.filename = f"{number}.fits"
    step = ScaleStep(factor=4)
    result = step.record_status(kind(models), "SKIPPED")
    if kind is ModelLibrary:
        with result:
            models = [result.borrow(index) for index in range(2)]
            for index, model in enumerate(models):
                result.shelve(model, index, modify=False)
    for model in models:
        assert read_records(model)["toy_scale"]["status"] == "SKIPPED"


def test_carry_records(rate):
    write_record(rate, Record("toy_scale", "COMPLETE", parameters={"factor": 2.0}))
    write_record(rate, Record("toy_offset", "COMPLETE"))
    new = ImageModel((4, 4))
    write_record(new, Record("toy_offset", "SKIPPED"))
    carry_records(rate, new)
    assert read_records(new)["toy_scale"] == read_records(rate)["toy_scale"]
    assert read_records(new)["toy_offset"]["status"] == "SKIPPED"


def test_model_without_records():
    assert read_records(ImageModel((4, 4))) == {}


def test_lines_say_everything():
    record = Record("toy_scale", "COMPLETE", parameters={"factor": 2.0}, references=REFERENCE)
    assert record.lines() == [
        f"crsteps {__version__} toy_scale: COMPLETE",
        "toy_scale: factor = 2.0",
        f"toy_scale: toyscale reference a.asdf (parameter, sha256 {'0' * 64})",
    ]


def test_keywords_of_our_steps_are_unique_and_not_those_of_standard_steps():
    from crsteps.integration import get_steps

    standard = set()

    def collect(subschema, path, combiner, context, recurse):
        if "fits_keyword" in subschema:
            standard.add(subschema["fits_keyword"])

    schema.walk_schema(datamodels.RampModel().schema, collect, standard)
    assert "S_PERSIS" in standard
    planned = {"scene_flicker_noise", "slew_dark_cosmics", "mm_cosmic"}
    planned |= {"powerlaw_persistence", "fit_powerlaw_persistence"}
    planned |= {alias for _, alias, is_pipeline in get_steps() if not is_pipeline}
    keywords = [Record(alias, "COMPLETE").keyword for alias in planned]
    assert len(set(keywords)) == len(keywords)
    assert not standard.intersection([*keywords, "CRSTEPSV"])
