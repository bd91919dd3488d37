"""The crsteps command: what is run on what, and how errors end it."""

import subprocess
import sys
import tempfile
import types

import pytest

from crsteps import __version__
from crsteps.cli import main

STEPS = '''
"""Steps that note how they were called, or fail as the input says."""

from pathlib import Path

from stpipe import Pipeline, Step

from crsteps.errors import CrstepsInputError

CALLS = []


class ToyStep(Step):
    """Note the call."""

    spec = """
        output_ext = string(default=".txt")
        factor = float(default=2.0, min=0)  # a number
        flag = boolean(default=False)  # a switch
        label = string(default=None)  # a text
        names = string_list(default=None)  # texts
        level = option("low", "high", default="low")  # a choice
    """
    reference_file_types = []

    @classmethod
    def _get_crds_parameters(cls, dataset):
        raise ValueError("no parameters from CRDS")

    @staticmethod
    def get_stpipe_loggers():
        return ("toy_steps",)

    def process(self, item):
        CALLS.append((item, self))
        text = "" if isinstance(item, list) else Path(item).read_text()
        if text == "mistake":
            raise CrstepsInputError(f"{item} is\\nwrong: mend it.")
        if text == "crash":
            raise RuntimeError("something broke")
        if text == "exit":
            raise SystemExit(-1)


class ToySetStep(ToyStep):
    """Note the call with a set."""

    multi_exposure = True


class ToyPipeline(Pipeline):
    """A pipeline of one step."""

    spec = 'output_ext = string(default=".txt")'
    step_defs = {"toy": ToyStep}

    @classmethod
    def _get_crds_parameters(cls, dataset):
        raise ValueError("no parameters from CRDS")

    @classmethod
    def get_config_from_reference(cls, dataset, **kwargs):
        return cls._empty_config()

    @staticmethod
    def get_stpipe_loggers():
        return ("toy_steps",)

    def process(self, item):
        CALLS.append((item, self.toy))
'''


@pytest.fixture
def toys(in_tmp_path, monkeypatch):
    """Return the module of toy steps; the current folder is temporary, with some inputs."""
    (in_tmp_path / "lib").mkdir()
    (in_tmp_path / "lib" / "toy_steps.py").write_text(STEPS)
    monkeypatch.syspath_prepend(in_tmp_path / "lib")
    monkeypatch.delitem(sys.modules, "toy_steps", raising=False)
    for name in ("a.txt", "b.txt", "c.txt"):
        (in_tmp_path / name).write_text("good")
    import toy_steps

    yield toy_steps
    del sys.modules["toy_steps"]


def run(capsys, *arguments):
    """Return the exit code, and the lines on the two streams that are ours."""
    code = main([str(a) for a in arguments])
    captured = capsys.readouterr()
    errors = [line for line in captured.err.splitlines() if line.startswith("crsteps:")]
    return code, captured.out, errors


def mistake(capsys, *arguments):
    """Return the one line of a user's error."""
    code, _, errors = run(capsys, *arguments)
    assert code == 1
    assert len(errors) == 1
    assert errors[0].startswith("crsteps: error: ")
    return errors[0]


def test_help_and_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == f"crsteps {__version__}"
    for arguments in (["--help"], ["run", "--help"], ["params", "to-asdf", "--help"]):
        assert main(arguments) == 0
        assert "usage: crsteps" in capsys.readouterr().out


def test_start_is_light(in_tmp_path):
    code = (
        "import sys; from crsteps.cli import main; main(['--help']); main(['list']);"
        "heavy = {'jwst', 'stpipe', 'stdatamodels', 'astropy', 'numpy', 'matplotlib', 'numba'};"
        "print('loaded', sorted(heavy & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.splitlines()[-1] == "loaded []"


def test_list(capsys, in_tmp_path):
    code, out, _ = run(capsys, "list")
    assert code == 0
    (line,) = [line for line in out.splitlines() if line.startswith("mm_cosmic ")]
    assert "crsteps.mm_cosmic.step.MMCosmicStep" in line
    description = line.removeprefix("mm_cosmic").split("(")[0].strip()
    assert len(description.split()) >= 3


def test_one_call_for_each_input(toys, capsys):
    code, _, errors = run(capsys, "run", "toy_steps.ToyStep", "c.txt", "[ab].txt")
    assert (code, errors) == (0, [])
    assert [item for item, _ in toys.CALLS] == ["c.txt", "a.txt", "b.txt"]
    step = toys.CALLS[0][1]
    assert (step.factor, step.save_results) == (2.0, True)


def test_set_for_a_multi_exposure_step(toys, capsys):
    assert run(capsys, "run", "toy_steps.ToySetStep", "*.txt")[0] == 0
    assert [item for item, _ in toys.CALLS] == [["a.txt", "b.txt", "c.txt"]]
    # one path stays a path, for it can be an association
    assert run(capsys, "run", "toy_steps.ToySetStep", "a.txt")[0] == 0
    assert toys.CALLS[1][0] == "a.txt"


def test_parameters_are_parsed_by_the_specification(toys, capsys):
    options = ["factor=3.5", "flag=true", "label=a, b=c", "names=x, y", "level=high"]
    arguments = [part for option in options for part in ("--param", option)]
    code, _, errors = run(
        capsys, "run", "toy_steps.ToyStep", "a.txt", "b.txt", *arguments, "--output-dir", "out"
    )
    assert (code, errors) == (0, [])
    for _, step in toys.CALLS:
        assert step.factor == 3.5
        assert step.flag is True
        assert step.label == "a, b=c"
        assert step.names == ["x", "y"]
        assert step.level == "high"
        assert step.output_dir == "out"


def test_parameters_of_a_step_in_a_pipeline(toys, capsys):
    arguments = ("run", "toy_steps.ToyPipeline", "a.txt", "b.txt", "--param")
    assert run(capsys, *arguments, "steps.toy.factor=7")[0] == 0
    assert [step.factor for _, step in toys.CALLS] == [7.0, 7.0]
    line = mistake(capsys, *arguments, "steps.toy.factr=7")
    assert "no parameter steps.toy.factr; did you mean steps.toy.factor?" in line
    assert "did you mean steps.toy?" in mistake(capsys, *arguments, "steps.toi.factor=7")


def test_bad_parameters_end_before_any_work(toys, capsys):
    def complaint(text):
        return mistake(capsys, "run", "toy_steps.ToyStep", "a.txt", "--param", text)

    assert "write --param name=value" in complaint("factor")
    assert "write --param name=value" in complaint("=3")
    assert "ToyStep has no parameter facter; did you mean factor?" in complaint("facter=3")
    assert "wrong type" in complaint("factor=x")
    assert "too small" in complaint("factor=-1")
    assert "level" in complaint("level=medium")
    assert toys.CALLS == []


def test_unknown_targets(toys, capsys):
    def complaint(target):
        return mistake(capsys, "run", target, "a.txt")

    assert "did you mean mm_cosmic?" in complaint("mm_cosmik")
    assert "no module no_such_package" in complaint("no_such_package.Step")
    assert "toy_steps has no Nothing" in complaint("toy_steps.Nothing")
    assert "is not a step or pipeline class" in complaint("os.path.join")
    assert "no parameter file pars.asdf" in complaint("pars.asdf")
    assert "no parameter file pars.yaml" in complaint("pars.yaml")


def test_missing_inputs(toys, capsys):
    line = mistake(capsys, "run", "toy_steps.ToyStep", "a.txt", "none.txt")
    assert "no input file none.txt" in line
    assert "no match for the pattern x*.txt" in mistake(
        capsys, "run", "toy_steps.ToyStep", "x*.txt"
    )
    assert toys.CALLS == []


def test_usage_errors_are_user_errors(capsys, in_tmp_path):
    for arguments in ([], ["run"], ["run", "mm_cosmic"], ["no_such_command"], ["params"]):
        assert main(arguments) == 1
        assert capsys.readouterr().err.startswith("crsteps: error: ")


def test_user_error_is_one_line(toys, capsys, in_tmp_path):
    (in_tmp_path / "a.txt").write_text("mistake")
    assert mistake(capsys, "run", "toy_steps.ToyStep", "a.txt").endswith("a.txt is wrong: mend it.")
    assert not list(in_tmp_path.glob("*.log"))


@pytest.mark.parametrize(
    ("text", "what"), [("crash", "RuntimeError: something broke"), ("exit", "SystemExit: -1")]
)
def test_failure_leaves_a_log(toys, capsys, in_tmp_path, text, what):
    (in_tmp_path / "a.txt").write_text(text)
    code, _, errors = run(capsys, "run", "toy_steps.ToyStep", "a.txt", "--output-dir", "out")
    assert code == 2
    (log,) = (in_tmp_path / "out").glob("*.log")
    assert len(errors) == 1
    assert f"failed with {what} (log: " in errors[0]
    assert log.name in errors[0]
    written = log.read_text()
    assert "Traceback" in written
    assert what.split(":")[0] in written


def test_log_goes_elsewhere_if_the_folder_is_lost(toys, capsys, in_tmp_path, monkeypatch):
    (in_tmp_path / "elsewhere").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(in_tmp_path / "elsewhere"))

    def lose_folder(self, item):
        (in_tmp_path / "out").rmdir()
        (in_tmp_path / "out").write_text("in the way")
        raise RuntimeError

    monkeypatch.setattr(toys.ToyStep, "process", lose_folder)
    code, _, _ = run(capsys, "run", "toy_steps.ToyStep", "a.txt", "--output-dir", "out")
    assert code == 2
    assert len(list((in_tmp_path / "elsewhere").glob("*.log"))) == 1


def test_output_dir_that_is_a_file(toys, capsys):
    line = mistake(capsys, "run", "toy_steps.ToyStep", "a.txt", "--output-dir", "b.txt")
    assert "--output-dir b.txt is a file" in line
    assert toys.CALLS == []


def test_goes_on_after_a_failed_input(toys, capsys, in_tmp_path):
    (in_tmp_path / "a.txt").write_text("mistake")
    code, _, errors = run(capsys, "run", "toy_steps.ToyStep", "a.txt", "b.txt", "c.txt")
    assert code == 1
    assert [item for item, _ in toys.CALLS] == ["a.txt", "b.txt", "c.txt"]
    assert errors == [
        "crsteps: error: a.txt is wrong: mend it.",
        "crsteps: error: 1 of 3 inputs failed",
    ]
    (in_tmp_path / "b.txt").write_text("crash")
    code, _, errors = run(capsys, "run", "toy_steps.ToyStep", "a.txt", "b.txt", "c.txt")
    assert code == 2
    assert errors[1].startswith("crsteps: error: b.txt: failed with RuntimeError")
    assert errors[2] == "crsteps: error: 2 of 3 inputs failed"


def test_interrupt(toys, capsys, monkeypatch):
    def interrupt(self, item):
        raise KeyboardInterrupt

    monkeypatch.setattr(toys.ToyStep, "process", interrupt)
    code, _, errors = run(capsys, "run", "toy_steps.ToyStep", "a.txt")
    assert (code, errors) == (130, ["crsteps: error: interrupted"])


@pytest.fixture
def parameter_file(toys, in_tmp_path):
    """Return the path of a YAML parameter file for a toy step."""
    pytest.importorskip("crsteps.framework.parameter_files", reason="no parameter files yet")
    path = in_tmp_path / "pars.yaml"
    path.write_text(
        "class: toy_steps.ToyStep\nname: toy\n"
        "parameters: {factor: 5.5, names: [x, y], level: high}\n"
    )
    return path


def test_parameter_file_as_target(parameter_file, toys, capsys):
    assert run(capsys, "params", "to-asdf", parameter_file)[0] == 0
    asdf = parameter_file.with_suffix(".asdf")
    for path in (parameter_file, asdf):
        code, _, errors = run(capsys, "run", path, "a.txt", "--param", "level=low")
        assert (code, errors) == (0, [])
        step = toys.CALLS[-1][1]
        # the command line comes before the file, the file before the defaults
        assert (step.factor, step.names, step.level, step.flag) == (5.5, ["x", "y"], "low", False)


def test_parameter_file_of_a_pipeline(parameter_file, toys, capsys):
    parameter_file.write_text(
        "class: toy_steps.ToyPipeline\nname: pipe\nparameters: {}\n"
        "steps: [{class: toy_steps.ToyStep, name: toy, parameters: {factor: 8}}]\n"
    )
    arguments = ("run", parameter_file, "a.txt", "--param", "steps.toy.flag=true")
    assert run(capsys, *arguments)[0] == 0
    assert (toys.CALLS[0][1].factor, toys.CALLS[0][1].flag) == (8.0, True)


def test_params_commands(parameter_file, capsys):
    code, out, _ = run(capsys, "params", "show", parameter_file)
    assert code == 0
    assert "5.5" in out
    assert run(capsys, "params", "validate", parameter_file)[0] == 0
    out = parameter_file.with_name("other.asdf")
    assert run(capsys, "params", "to-asdf", parameter_file, "-o", out)[0] == 0
    assert out.read_text().startswith("#ASDF")
    parameter_file.write_text("class: toy_steps.ToyStep\nname: toy\nparameters: {facter: 1}\n")
    for arguments in (["params", "validate", parameter_file], ["run", parameter_file, "a.txt"]):
        line = mistake(capsys, *arguments)
        assert f"{parameter_file}: ToyStep has no parameter facter" in line
        assert "did you mean factor?" in line
    assert "nowhere.asdf" in mistake(capsys, "params", "validate", "nowhere.asdf")


def test_mistake_found_by_a_step_is_told_once(in_tmp_path, capfd):
    for name in ("a.fits", "b.fits", "c.fits"):
        (in_tmp_path / name).write_bytes(b"")
    assert main(["run", "mm_cosmic", "*.fits", "--output-dir", "out"]) == 1
    told = capfd.readouterr().err
    assert told.count("is empty (0 bytes)") == 1
    assert told.splitlines()[-1].startswith("crsteps: error: a.fits is empty")
    assert "Traceback" not in told
    assert not [path for path in in_tmp_path.rglob("*") if path.is_file() and path.stat().st_size]


def test_demo_is_given_its_folder(capsys, monkeypatch, in_tmp_path):
    folders = []
    demo = types.ModuleType("crsteps.verification.demo")
    demo.run_demo = folders.append
    monkeypatch.setitem(sys.modules, "crsteps.verification.demo", demo)
    assert run(capsys, "demo")[0] == 0
    assert run(capsys, "demo", "--output-dir", "here")[0] == 0
    assert [str(folder) for folder in folders] == ["crsteps-demo", "here"]


def test_module_can_be_run(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "crsteps.cli", "run", "mm_cosmic", "none.fits"],
        capture_output=True, text=True, cwd=tmp_path, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == "crsteps: error: There is no input file none.fits: check the path.\n"
