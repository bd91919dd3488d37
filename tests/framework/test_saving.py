"""Results are written aside and renamed, under the right name, and never over an input."""

import json
import os

import pytest
from jwst.datamodels import ModelContainer, ModelLibrary
from stdatamodels.jwst.datamodels import ImageModel
from toysteps import FitScaleStep, OffsetStep, ScaleStep, ToyPipeline

from crsteps.errors import CrstepsInputError
from crsteps.framework.saving import input_files


def names(folder):
    """Names of all files below a folder, also hidden ones."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.fixture
def failing_disk(monkeypatch):
    """Let every save write half of a file and fail."""

    def to_fits(self, init, *args, **kwargs):
        with open(init, "wb") as stream:
            stream.write(b"SIMPLE")
        raise OSError("No space left on device")

    monkeypatch.setattr(ImageModel, "to_fits", to_fits)


@pytest.mark.parametrize("existing", [None, b"older"])
def test_failure_half_way(in_tmp_path, rate_file, failing_disk, existing):
    target = in_tmp_path / "x_toy_scale.fits"
    if existing:
        target.write_bytes(existing)
    before = names(in_tmp_path)
    with pytest.raises(OSError, match="No space left"):
        ScaleStep.call(str(rate_file), save_results=True)
    assert names(in_tmp_path) == before
    if existing:
        assert target.read_bytes() == existing


def test_failure_half_way_in_a_standard_step(in_tmp_path, rate_file, failing_disk):
    with pytest.raises(OSError, match="No space left"):
        ToyPipeline.call(str(rate_file), steps={"renew": {"save_results": True}})
    assert names(in_tmp_path) == ["x_jump.fits"]


def test_model_can_be_saved_as_usual_afterwards(in_tmp_path, rate):
    rate.meta.filename = "x_rate.fits"
    result = ScaleStep.call(rate, save_results=True)
    assert "save" not in vars(result)
    assert result.meta.filename == "x_toy_scale.fits"
    result.save("y.fits")
    assert names(in_tmp_path) == ["x_toy_scale.fits", "y.fits"]


def test_older_product_is_replaced(in_tmp_path, rate_file):
    for factor in (3, 4):
        ScaleStep.call(str(rate_file), save_results=True, factor=factor)
    with ImageModel("x_toy_scale.fits") as product:
        assert product.data[0, 0] == 4
    assert names(in_tmp_path) == ["x_jump.fits", "x_toy_scale.fits"]


def test_product_has_the_permissions_of_any_file(in_tmp_path, rate_file):
    ScaleStep.call(str(rate_file), save_results=True)
    assert (in_tmp_path / "x_toy_scale.fits").stat().st_mode == rate_file.stat().st_mode


def test_input_is_untouched(in_tmp_path, rate_file, rate):
    before = rate_file.read_bytes()
    ScaleStep.call(str(rate_file), save_results=True)
    ToyPipeline.call(str(rate_file), save_results=True)
    assert rate_file.read_bytes() == before
    ScaleStep.call(rate)
    assert rate.data[0, 0] == 1
    assert not hasattr(rate.meta, "crsteps")


# --- an input is never replaced -------------------------------------------------------------


@pytest.mark.parametrize("as_model", [False, True])
def test_step_refuses_to_replace_its_input(in_tmp_path, rate, as_model):
    rate.save("x_toy_scale.fits")
    before = (in_tmp_path / "x_toy_scale.fits").read_bytes()
    given = rate if as_model else "x_toy_scale.fits"
    with pytest.raises(CrstepsInputError, match=r"replace the input .*x_toy_scale.fits: set outp"):
        ScaleStep.call(given, save_results=True)
    assert (in_tmp_path / "x_toy_scale.fits").read_bytes() == before
    assert names(in_tmp_path) == ["x_toy_scale.fits"]
    ScaleStep.call(given, save_results=True, output_dir="new")
    assert names(in_tmp_path) == ["new", "new/x_toy_scale.fits", "x_toy_scale.fits"]


def test_step_refuses_before_any_work(in_tmp_path, rate, monkeypatch):
    rate.save("x_toy_scale.fits")
    monkeypatch.setattr(ScaleStep, "process", lambda *_: pytest.fail("the step has begun"))
    with pytest.raises(CrstepsInputError, match="replace the input"):
        ScaleStep.call("x_toy_scale.fits", save_results=True)
    with pytest.raises(CrstepsInputError, match="replace the input"):
        ScaleStep.call("x_toy_scale.fits", output_file="x.fits")


@pytest.mark.parametrize("step", [ScaleStep, ToyPipeline])
@pytest.mark.parametrize("folder", ["x_jump.fits", "x_jump.fits/deeper"])
def test_output_dir_that_is_a_file(in_tmp_path, rate_file, step, folder):
    with pytest.raises(CrstepsInputError, match=r"output_dir = x_jump.fits.* is a file; give a"):
        step.call(rate_file.name, save_results=True, output_dir=folder)
    assert names(in_tmp_path) == ["x_jump.fits"]


def test_output_dir_that_cannot_be_written_to(in_tmp_path, rate_file, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write anywhere
    with pytest.raises(CrstepsInputError, match=r"Nothing can be written to .*: set output_dir"):
        ScaleStep.call(rate_file.name, save_results=True)
    ScaleStep.call(rate_file.name)  # nothing is written
    assert names(in_tmp_path) == ["x_jump.fits"]


def test_standard_step_in_our_pipeline_refuses_too(in_tmp_path, rate):
    rate.save("x_cal.fits")
    with pytest.raises(CrstepsInputError, match="replace the input"):
        ToyPipeline.call("x_cal.fits", steps={"renew": {"save_results": True, "suffix": "cal"}})
    assert names(in_tmp_path) == ["x_cal.fits"]


def test_files_behind_an_input(in_tmp_path, rate):
    folder = in_tmp_path.resolve()
    association = {"products": [{"members": [{"expname": "a.fits"}, {"expname": "b.fits"}]}]}
    (folder / "data").mkdir()
    (folder / "data" / "asn.json").write_text(json.dumps(association), encoding="utf-8")
    (folder / "bad.json").write_text("{", encoding="utf-8")
    (folder / "odd.json").write_text("[1]", encoding="utf-8")
    of_association = {folder / "data" / name for name in ("asn.json", "a.fits", "b.fits")}
    assert input_files("data/asn.json") == of_association
    assert input_files(folder / "x.fits") == {folder / "x.fits"}
    assert input_files(["x.fits", "y.fits"]) == {folder / "x.fits", folder / "y.fits"}
    assert input_files("bad.json") == {folder / "bad.json"}
    assert input_files("odd.json") == {folder / "odd.json"}
    assert input_files(None) == set()
    assert input_files(rate) == set()
    rate.meta.filename = "z.fits"
    for given in (rate, [rate], ModelContainer([rate]), ModelLibrary([rate])):
        assert input_files(given) == {folder / "z.fits"}


# --- names ----------------------------------------------------------------------------------


@pytest.fixture
def listed(monkeypatch):
    """List the toy steps among those of the package."""
    from crsteps.framework import step
    from crsteps.integration import get_steps

    toys = [(f"toysteps.{c.__name__}", c.class_alias, False) for c in (ScaleStep, FitScaleStep)]
    monkeypatch.setattr(step, "get_steps", lambda: [*get_steps(), *toys])


@pytest.mark.usefixtures("listed")
@pytest.mark.parametrize(
    ("given", "step", "product"),
    [
        ("x_jump.fits", ScaleStep, "x_toy_scale.fits"),
        ("x_rate.fits", ScaleStep, "x_toy_scale.fits"),
        ("x_toy_scale.fits", FitScaleStep, "x_fit_toy_scale.fits"),
        ("x_mm_cosmic.fits", ScaleStep, "x_toy_scale.fits"),
        ("x_mmcr.fits", ScaleStep, "x_toy_scale.fits"),
        ("x_fit_toy_scale.fits", ToyPipeline, "x_toy_pipeline.fits"),
        ("x_other.fits", ScaleStep, "x_other_toy_scale.fits"),
        ("mm_cosmic.fits", ScaleStep, "mm_cosmic_toy_scale.fits"),
    ],
)
def test_suffix_is_replaced(in_tmp_path, rate, given, step, product):
    rate.save(given)
    step.call(given, save_results=True)
    assert names(in_tmp_path) == sorted([given, product])


def test_suffixes_that_are_known_without_a_list():
    """Of a step itself, of the members of a pipeline, and the standard ones."""
    assert FitScaleStep().remove_suffix("x_fit_toy_scale") == ("x", "_")
    pipeline = ToyPipeline()
    assert pipeline.remove_suffix("x_toy_scale") == ("x", "_")
    assert pipeline.remove_suffix("x_toy_offset") == ("x", "_")
    assert OffsetStep().remove_suffix("x_uncal") == ("x", "_")


def test_name_of_a_slot_is_not_the_suffix(in_tmp_path, rate):
    """In the slot ``persistence`` the product of our step keeps its own name."""
    rate.meta.filename = "x_rate.fits"
    ToyPipeline.call(rate, steps={"persistence": {"save_results": True}})
    assert names(in_tmp_path) == ["x_toy_offset.fits"]
