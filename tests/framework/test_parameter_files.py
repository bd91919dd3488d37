"""Parameter files: what is read, what is refused and in which words, what stpipe makes of it."""

import configobj
import pytest
from stpipe import config_parser
from toysteps import ScaleStep, ToyPipeline

from crsteps.errors import CrstepsInputError
from crsteps.framework.parameter_files import load, show, to_asdf, validate
from crsteps.framework.parameters import copied, nearest, own_parameters, validated
from crsteps.framework.references import reference_files_path
from crsteps.integration import get_steps

HEAD = "#ASDF 1.0.0\n%YAML 1.1\n---\n"
STEP = "class: toysteps.ScaleStep\nname: mine\nparameters: {factor: 3}\n"
PIPELINE = "class: toysteps.ToyPipeline\nname: mine\nparameters: {}\n"
MEMBER = "class: toysteps.ScaleStep, name: scale"

# Name and content of files, and what the error has to say.
MISREAD_BY_STPIPE = {
    "no end": (HEAD + STEP, "no line '...' at its end"),
    "cut off": (HEAD + STEP[:50], "no line '...' at its end"),
    "dots in a value only": (HEAD + STEP + "# ...\n", "no line '...' at its end"),
    "no %YAML": (HEAD.replace("%YAML 1.1\n", "") + STEP + "...\n", "no line '%YAML 1.1'"),
    "no parameters": (HEAD + "class: toysteps.ScaleStep\nname: x\n...\n", "add 'parameters: {}'"),
    "no class": (HEAD + "name: x\nparameters: {}\n...\n", "add 'class: ALIAS'"),
    "step without class": (
        HEAD + PIPELINE + "steps:\n- {name: scale, parameters: {}}\n...\n",
        "no 'class' in its list of steps",
    ),
    "step without parameters": (
        HEAD + PIPELINE + "steps:\n- {" + MEMBER + "}\n...\n",
        "no 'parameters' in its list of steps",
    ),
    "steps not a list": (HEAD + PIPELINE + "steps: {scale: {}}\n...\n", "must be a list"),
    "text for a name": (HEAD + STEP.replace("mine", "5") + "...\n", "name 5 must be text"),
}
NOT_ASDF = {
    "empty": ("", "first line must be '#ASDF 1.0.0'"),
    "YAML": (STEP, "first line must be '#ASDF 1.0.0'"),
    "no name": (HEAD + STEP.replace("name: mine\n", "") + "...\n", "add 'name: ALIAS'"),
    "tab": (HEAD + "class: toysteps.ScaleStep\n\tname: x\n...\n", "cannot be read as ASDF"),
    "list": (HEAD + "- 1\n...\n", "cannot be read as ASDF"),
}
BAD_YAML = {
    "empty": ("", "holds no parameters"),
    "text": ("hello", "holds no parameters"),
    "two documents": (STEP + "---\n" + STEP, "cannot be read as YAML"),
    "code": ("class: !!python/object/apply:os.system ['false']\n", "cannot be read as YAML"),
    "bytes": (b"class: toysteps.ScaleStep # \xe9\n", "cannot be read as YAML"),
    "no class": ("parameters: {}\n", "names no class"),
    "class a list": ("class: [1]\n", "names no class"),
    "no such alias": ("class: mm_cosmics\n", "did you mean mm_cosmic?"),
    "no such module": ("class: no.such.Step\n", "there is no module no"),
    "no such class": ("class: toysteps.Scale\n", "toysteps has no Scale"),
    "no step": ("class: os.path\n", "not a step or pipeline class"),
    "parameter at the top": (STEP + "factor: 3\n", "parameters stand under 'parameters:'"),
    "misspelt key": ("class: toysteps.ScaleStep\nparametres: {}\n", "did you mean parameters?"),
    "list of parameters": ("class: toysteps.ScaleStep\nparameters: [factor]\n", "mapping"),
    "misspelt name": (
        STEP.replace("factor", "facter"),
        "no parameter facter; did you mean factor?",
    ),
    "number for a name": (STEP.replace("factor", "1"), "no parameter 1."),
    "nothing like it": (STEP.replace("factor", "zzzzzz"), "no parameter zzzzzz."),
    "too small": (STEP.replace("3", "-3"), 'parameter factor: the value "-3.0" is too small'),
    "type": (STEP.replace("3", "many"), 'parameter factor: the value "many" is of the wrong type'),
    "option": (STEP.replace("factor: 3", "failure: usr"), "option('none', 'user', 'bug'"),
    "number for text": (STEP.replace("factor: 3", "label: 1"), "write it in quotes"),
    "no value": (STEP.replace("factor: 3", "factor: "), "parameter factor has no value"),
    "mapping for a value": (STEP.replace("3", "{a: 1}"), "factor must be a value, not a mapping"),
    "steps of a step": (STEP + "steps: {scale: {factor: 2}}\n", "has no parameter steps."),
    "misspelt step": (PIPELINE + "steps: {scael: {}}\n", "no step scael; did you mean scale?"),
    "name within a step": (
        PIPELINE + "steps: {scale: {facter: 3}}\n",
        "Step scale of ToyPipeline has no parameter facter; did you mean factor?",
    ),
    "value within a step": (
        PIPELINE + "steps: {scale: {factor: -3}}\n",
        'ToyPipeline: parameter steps.scale.factor: the value "-3.0" is too small (float(',
    ),
    "value for a step": (PIPELINE + "steps: {scale: 3}\n", "step scale must be a mapping"),
    "step without a name": (PIPELINE + "steps:\n- {parameters: {}}\n", "with a name each"),
    "step twice": (PIPELINE + "steps:\n- {name: scale}\n- {name: scale}\n", "listed twice"),
    "key in a step": (
        PIPELINE + "steps:\n- {name: scale, parameter: {}}\n",
        "no key parameter in the list of steps; did you mean parameters?",
    ),
    "another class for a step": (
        PIPELINE + "steps:\n- {name: scale, class: toysteps.OffsetStep}\n",
        "step scale of ToyPipeline is a ScaleStep",
    ),
}


@pytest.fixture
def write(tmp_path):
    """Return a function that writes a file and returns its path."""

    def write_file(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write_file


def refusal(path):
    """Return the message with which a file is refused: one line that names the file."""
    with pytest.raises(CrstepsInputError) as caught:
        validate(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    return message


@pytest.mark.parametrize("case", [*MISREAD_BY_STPIPE, *NOT_ASDF])
def test_malformed_asdf(write, case):
    content, words = {**MISREAD_BY_STPIPE, **NOT_ASDF}[case]
    assert words in refusal(write("x.asdf", content))


@pytest.mark.filterwarnings("ignore::Warning")
@pytest.mark.parametrize("case", MISREAD_BY_STPIPE)
def test_stpipe_still_misreads_it(write, case):
    """The reason for our own words: stpipe takes the file for another format."""
    with pytest.raises(configobj.ParseError, match="Invalid line"):
        config_parser.load_config_file(str(write("x.asdf", MISREAD_BY_STPIPE[case][0])))


@pytest.mark.parametrize("case", BAD_YAML)
def test_mistake_in_yaml(write, case):
    content, words = BAD_YAML[case]
    assert words in refusal(write("x.yaml", content))


def test_same_mistakes_in_asdf(write):
    path = write("x.asdf", HEAD + STEP.replace("factor", "facter") + "...\n")
    assert "did you mean factor?" in refusal(path)


@pytest.mark.parametrize("name", ["x.cfg", "x.txt", "x"])
def test_other_formats_are_refused(write, name):
    assert "must end in .asdf, .yaml or .yml" in refusal(write(name, STEP))


def test_missing_file(tmp_path):
    with pytest.raises(CrstepsInputError, match=r"no parameter file .*nothing\.yaml"):
        load(tmp_path / "nothing.yaml")


def test_first_of_two_mistakes_is_told(write):
    path = write("x.yaml", STEP.replace("factor: 3", "factor: -1, failure: usr"))
    message = refusal(path)
    assert ("factor:" in message) != ("failure:" in message)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.yaml", STEP),
        ("x.YML", STEP),
        ("x.asdf", HEAD + STEP + "...\n"),
        ("crlf.asdf", (HEAD + STEP + "...\n").replace("\n", "\r\n")),
    ],
)
def test_step(write, name, content):
    loaded = validate(write(name, content))
    assert loaded.step_class is ScaleStep
    assert loaded.name == "mine"
    assert loaded.parameters == {"factor": 3}


def test_alias_stands_for_the_name(write):
    loaded = load(write("x.yaml", "class: mm_cosmic\n"))
    assert (loaded.step_class.class_alias, loaded.name) == ("mm_cosmic", "mm_cosmic")
    assert loaded.parameters == {}


@pytest.mark.parametrize(
    "steps",
    [
        "steps: {scale: {factor: 3}}\n",
        "steps:\n- {name: scale, parameters: {factor: 3}}\n",
        "steps:\n- {" + MEMBER + ", parameters: {factor: 3}}\n",
    ],
)
def test_pipeline(write, steps):
    loaded = validate(write("x.yaml", PIPELINE + steps))
    assert loaded.step_class is ToyPipeline
    assert loaded.parameters == {"steps": {"scale": {"factor": 3}}}


def test_null_where_it_is_the_default(write):
    assert validate(write("x.yaml", STEP.replace("factor: 3", "label: null"))).parameters == {
        "label": None
    }


@pytest.mark.parametrize(
    "content",
    [STEP, "class: mm_cosmic\n", PIPELINE + "steps: {scale: {factor: 7, label: 'null'}}\n"],
)
def test_conversion_keeps_everything(write, tmp_path, content):
    source, target = write("x.yaml", content), tmp_path / "x.asdf"
    to_asdf(source, target)
    before, after = validate(source), validate(target)
    assert after.step_class is before.step_class
    assert after.name == before.name
    assert after.parameters == before.parameters
    config = config_parser.load_config_file(str(target))  # as strun reads it
    assert config["name"] == before.name
    for name, value in before.parameters.get("steps", {}).get("scale", {}).items():
        assert config["steps"]["scale"][name] == value


def test_conversion_of_a_bad_file_writes_nothing(write, tmp_path):
    source = write("x.yaml", STEP.replace("factor", "facter"))
    with pytest.raises(CrstepsInputError):
        to_asdf(source, tmp_path / "x.asdf")
    assert list(tmp_path.iterdir()) == [source]


@pytest.mark.parametrize("step_class", [ScaleStep, ToyPipeline])
def test_what_stpipe_exports_is_valid(tmp_path, step_class):
    step_class().export_config(str(tmp_path / "x.asdf"), include_metadata=True)
    assert validate(tmp_path / "x.asdf").step_class is step_class


def test_show_marks_what_is_set(write):
    text = show(write("x.yaml", PIPELINE + "steps: {scale: {factor: 3}}\n"))
    lines = [line.strip() for line in text.splitlines()]
    assert "* factor = 3  # Factor" in lines
    assert "label = None  # Any text" in lines
    assert [line for line in lines if line.startswith("*")] == ["* factor = 3  # Factor"]


def test_validated_leaves_the_parameters_alone():
    parameters = {"steps": {"scale": {"factor": 3}}}
    before = copied(parameters)
    config = validated(ToyPipeline, parameters)
    assert parameters == before
    assert config["steps"]["scale"]["factor"] == 3
    assert config["steps"]["persistence"]["offset"] == 1.0


def test_steps_may_check_more_than_their_specification(monkeypatch, tmp_path):
    """Also those of a pipeline; the mistake is told with the file."""

    def check(values):
        if values["factor"] == 13:
            raise CrstepsInputError("factor = 13 brings bad luck: take 14.")

    monkeypatch.setattr(ScaleStep, "check_values", check, raising=False)
    validated(ScaleStep, {"factor": 14})
    path = tmp_path / "mine.yaml"
    path.write_text("class: toysteps.ToyPipeline\nsteps: {scale: {factor: 13}}\n")
    with pytest.raises(CrstepsInputError, match=r"mine\.yaml: factor = 13 brings bad luck"):
        validate(path)


def test_a_name_cut_short_is_completed():
    known = {"red_threshold", "blue_threshold_rnoise"}
    assert nearest("blue_threshold", known) == "; did you mean blue_threshold_rnoise?"
    assert nearest("rad_threshold", known) == "; did you mean red_threshold?"


def test_own_parameters_are_those_that_the_step_adds():
    assert own_parameters(ScaleStep(factor=4)) == {
        "factor": 4.0,
        "label": None,
        "failure": "none",
        "scale_file": None,
        "reference": False,
        "packaged": None,
        "override_toyscale": None,
    }


# --- shipped files --------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(p.name for p in reference_files_path().glob("pars-*.asdf")))
def test_shipped_file_is_valid(name):
    loaded = validate(reference_files_path() / name)
    alias = loaded.step_class.class_alias
    own, preset = loaded.step_class.__name__.lower(), f"{alias.replace('_', '')}_"
    assert name.startswith((f"pars-{own}", f"pars-{preset}"))
    assert alias in {alias for _, alias, _ in get_steps()}
    config_parser.load_config_file(str(reference_files_path() / name))


def test_every_step_ships_its_parameters():
    shipped = {path.name for path in reference_files_path().glob("pars-*.asdf")}
    names = {f"pars-{dotted.rpartition('.')[2].lower()}.asdf" for dotted, _, _ in get_steps()}
    assert names <= shipped
