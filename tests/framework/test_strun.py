"""Steps under ``strun``, in the environment of a user without CRDS."""

import subprocess
import sys

import numpy as np
import pytest
from astropy.io import fits
from stdatamodels.jwst.datamodels import ImageModel

MISTAKES = {
    "wrong value": (["--factor=-1"], "factor"),
    "wrong type": (["--factor=many"], "factor"),
    "found while running": (["--failure=user"], "x.fits has no gain: set the parameter gain."),
    "no such reference": (["--reference=true", "--scale_file=no.asdf"], "no.asdf"),
}


def test_step_without_crds(strun, rate_file):
    before = rate_file.read_bytes()
    result = strun("toysteps.ScaleStep", rate_file.name, "--factor=3")
    assert result.status == 0, result.stderr
    assert result.files == ["x_jump.fits", "x_toy_scale.fits"]
    assert "crsteps.toys - INFO - toy_scale says hello" in result.stderr
    assert result.stderr.count("toy_scale says hello") == 1
    assert rate_file.read_bytes() == before
    with ImageModel(result.folder / "x_toy_scale.fits") as product:
        np.testing.assert_array_equal(product.data, np.full((16, 16), 3, dtype="f4"))
        assert any("toy_scale says hello" in line for line in product.cal_logs.toy_scale)
        assert product.meta.crsteps.instance["toy_scale"]["parameters"]["factor"] == 3.0
    assert fits.getval(result.folder / "x_toy_scale.fits", "S_TOYSCA") == "COMPLETE"


def test_pipeline_without_crds(strun, rate_file):
    result = strun("toysteps.ToyPipeline", rate_file.name, "--steps.scale.factor=5")
    assert result.status == 0, result.stderr
    assert result.files == ["x_jump.fits", "x_toy_pipeline.fits"]
    assert result.stderr.count("toy_scale says hello") == 1
    with ImageModel(result.folder / "x_toy_pipeline.fits") as product:
        assert product.data[0, 0] == 6
        assert any("toy_scale says hello" in line for line in product.cal_logs.toy_pipeline)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistake_of_the_user(strun, rate_file, mistake):
    arguments, named = MISTAKES[mistake]
    result = strun("toysteps.ScaleStep", rate_file.name, *arguments)
    assert result.status == 1
    assert "Traceback" not in result.stderr + result.stdout
    errors = [line for line in result.stderr.splitlines() if " - ERROR - " in line]
    assert len(errors) == 1, result.stderr
    assert named in errors[0]
    assert result.files == ["x_jump.fits"]


@pytest.mark.parametrize(("content", "what"), [(None, "no input file"), (b"", "cannot be opened")])
def test_input_that_is_none(strun, tmp_path, content, what):
    if content is not None:
        (tmp_path / "y.fits").write_bytes(content)
    result = strun("toysteps.ScaleStep", "y.fits")
    assert result.status == 1
    assert "Traceback" not in result.stderr + result.stdout
    (error,) = [line for line in result.stderr.splitlines() if " - ERROR - " in line]
    assert what in error
    assert "y.fits" in error
    assert result.files == ([] if content is None else ["y.fits"])


@pytest.mark.parametrize(
    ("inputs", "words"),
    [([], "not none"), (["x_jump.fits", "x_jump.fits"], "not 2")],
)
def test_number_of_inputs(strun, rate_file, inputs, words):
    result = strun("toysteps.ScaleStep", *inputs)
    assert result.status == 1
    assert "Traceback" not in result.stderr + result.stdout
    (error,) = [line for line in result.stderr.splitlines() if " - ERROR - " in line]
    assert f"toy_scale takes one input, {words}" in error
    assert result.files == ["x_jump.fits"]


def test_input_dir(strun, rate_file, tmp_path):
    (tmp_path / "data").mkdir()
    rate_file.rename(tmp_path / "data" / rate_file.name)
    result = strun("toysteps.ScaleStep", rate_file.name, "--input_dir=data")
    assert result.status == 0, result.stderr
    assert result.files == ["data", "data/x_jump.fits", "x_toy_scale.fits"]


def test_bug_is_not_taken_for_a_mistake(strun, rate_file):
    result = strun("toysteps.ScaleStep", rate_file.name, "--failure=bug")
    assert result.status == 1
    assert "Traceback" in result.stderr
    assert "RuntimeError: a bug" in result.stderr
    assert result.files == ["x_jump.fits"]


def test_bug_reaches_python(rate):
    from toysteps import ScaleStep

    with pytest.raises(RuntimeError, match="a bug"):
        ScaleStep.call(rate, failure="bug")


def test_mistake_in_python_is_an_input_error(rate):
    from toysteps import ScaleStep, ToyPipeline

    from crsteps.errors import CrstepsInputError

    with pytest.raises(CrstepsInputError, match=r"ScaleStep has no parameter facter; .* factor\?"):
        ScaleStep.call(rate, facter=2)
    with pytest.raises(CrstepsInputError, match="has no gain"):
        ToyPipeline.call(rate, steps={"scale": {"failure": "user"}})
    with pytest.raises(CrstepsInputError, match=r"no parameter facter; did you mean factor\?"):
        ToyPipeline.call(rate, steps={"scale": {"facter": 2}})


@pytest.mark.parametrize(
    ("step", "parameters"),
    [("ScaleStep", {"factor": None}), ("ToyPipeline", {"steps": {"scale": {"factor": None}}})],
)
def test_parameter_without_value(rate, step, parameters):
    """An empty value in a parameter file; stpipe would give None to the step."""
    import toysteps

    from crsteps.errors import CrstepsInputError

    with pytest.raises(CrstepsInputError, match=rf"^{step}: parameter .*factor has no value: "):
        getattr(toysteps, step).call(rate, **parameters)


def test_converted_yaml_is_read_by_strun(strun, rate_file, tmp_path):
    from crsteps.framework.parameter_files import to_asdf

    (tmp_path / "my.yaml").write_text(
        "class: toysteps.ToyPipeline\nsteps:\n  scale:\n    factor: 7\n  persistence:\n"
        "    offset: 0.5\n",
        encoding="utf-8",
    )
    to_asdf(tmp_path / "my.yaml", tmp_path / "my.asdf")
    result = strun("my.asdf", rate_file.name)
    assert result.status == 0, result.stderr
    with ImageModel(tmp_path / "x_toy_pipeline.fits") as product:
        assert product.data[0, 0] == 7.5


@pytest.mark.parametrize(("program", "left"), [("/usr/bin/strun", True), ("script.py", False)])
def test_only_commands_leave_their_end_to_the_operating_system(program, left):
    """What was registered first is called last."""
    code = (
        f"import atexit, gc, sys; sys.argv = [{program!r}]; "
        "atexit.register(lambda: print(gc.get_freeze_count() > 0)); import crsteps.framework.step"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.split() == [str(left)]
