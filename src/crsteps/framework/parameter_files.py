"""Parameter files: ASDF, which ``strun`` reads too, and YAML, which people write."""

from dataclasses import dataclass, field
from pathlib import Path

import asdf
import yaml

from crsteps.errors import CrstepsInputError
from crsteps.framework.output import atomic_path
from crsteps.framework.parameters import nearest, validated
from crsteps.framework.step_classes import find_step_class

_STEP_KEYS = ("class", "name", "parameters")
_KEYS = (*_STEP_KEYS, "steps")
# Keys of ASDF files that say nothing about parameters.
_ASDF_KEYS = ("asdf_library", "history", "meta")


@dataclass(frozen=True)
class ParameterFile:
    """
    Contents of a parameter file.

    Attributes
    ----------
    path : Path
        The file.
    step_class : type
        Step or pipeline class.
    name : str
        Name of the step.
    parameters : dict
        Parameters as ``Step.call`` takes them: those of the steps of a pipeline under ``steps``.
    """

    path: Path
    step_class: type
    name: str
    parameters: dict = field(default_factory=dict)


def load(path):
    """
    Read a parameter file.

    Parameters
    ----------
    path : str or Path
        File ending in .asdf, .yaml or .yml.

    Returns
    -------
    ParameterFile

    Raises
    ------
    CrstepsInputError
        The file cannot be read, or is not a parameter file that stpipe would understand.
    """
    path = Path(path)
    if not path.is_file():
        raise CrstepsInputError(f"There is no parameter file {path}: check the path.")
    suffix = path.suffix.lower()
    if suffix not in (".asdf", ".yaml", ".yml"):
        raise CrstepsInputError(
            f"{path} is not a parameter file: its name must end in .asdf, .yaml or .yml."
        )
    tree = _read_asdf(path) if suffix == ".asdf" else _read_yaml(path)
    for key in tree:
        if key not in (_KEYS + _ASDF_KEYS if suffix == ".asdf" else _KEYS):
            raise CrstepsInputError(
                f"{path}: there is no key {key} in a parameter file, where parameters stand under "
                f"'parameters:'{nearest(str(key), _KEYS)}"
            )
    if not isinstance(tree.get("class"), str):
        raise CrstepsInputError(f"{path} names no class: add 'class: ALIAS' at the top.")
    name = _name(tree.get("name", tree["class"]), path)
    parameters = _mapping(tree.get("parameters"), path, "parameters")
    try:
        step_class = find_step_class(tree["class"])
        steps = _steps(tree.get("steps"), path, step_class)
    except CrstepsInputError as error:
        raise CrstepsInputError(_with_path(path, error)) from error
    if steps:
        parameters["steps"] = steps
    return ParameterFile(path, step_class, name, parameters)


def validate(path):
    """
    Check a parameter file against the specification of its class.

    Parameters
    ----------
    path : str, Path or ParameterFile
        File, or its contents.

    Returns
    -------
    ParameterFile
        Its contents.

    Raises
    ------
    CrstepsInputError
        A name that does not exist, with the nearest valid one, or an impossible value.
    """
    loaded = _loaded(path)
    _validated(loaded)
    return loaded


def show(path):
    """
    Show all parameters that a file sets or leaves at their defaults.

    Parameters
    ----------
    path : str, Path or ParameterFile
        File, or its contents.

    Returns
    -------
    str
        A line for each parameter; those that the file sets are marked.
    """
    loaded = _loaded(path)
    config = _validated(loaded)
    title = (
        f"# {loaded.step_class.__module__}.{loaded.step_class.__name__}: * = set in {loaded.path}"
    )
    return "\n".join(
        [title, *_lines(config, loaded.parameters, loaded.step_class.load_spec_file())]
    )


def to_asdf(yaml_path, asdf_path):
    """
    Convert a YAML parameter file to ASDF, having checked it.

    Parameters
    ----------
    yaml_path : str, Path or ParameterFile
        File to read, or its contents.
    asdf_path : str or Path
        File to write.

    Raises
    ------
    CrstepsInputError
        The file is not valid.
    """
    loaded = validate(yaml_path)
    parameters = dict(loaded.parameters)
    steps = parameters.pop("steps", {})
    tree = {
        "class": f"{loaded.step_class.__module__}.{loaded.step_class.__name__}",
        "name": loaded.name,
        "parameters": parameters,
    }
    if steps:
        classes = loaded.step_class.step_defs
        tree["steps"] = [
            {
                "class": f"{classes[name].__module__}.{classes[name].__name__}",
                "name": name,
                "parameters": values,
            }
            for name, values in steps.items()
        ]
    with atomic_path(asdf_path) as aside:
        asdf.AsdfFile(tree).write_to(aside)


def _read_asdf(path):
    """Read the tree, saying what is wrong where stpipe would misread the file as ConfigObj."""
    text = path.read_bytes()
    if not text.startswith(b"#ASDF"):
        raise CrstepsInputError(
            f"{path} is not an ASDF file: its first line must be '#ASDF 1.0.0'."
        )
    if b"%YAML" not in text.split(b"---")[0]:
        raise CrstepsInputError(f"{path} has no line '%YAML 1.1' before '---': add it.")
    if b"\n..." not in text:
        raise CrstepsInputError(f"{path} has no line '...' at its end: add it, or it was cut off.")
    try:
        with asdf.open(path) as file:
            tree = {key: value for key, value in file.tree.items()}
    except Exception as error:  # asdf and its YAML parser raise many kinds
        raise CrstepsInputError(f"{path} cannot be read as ASDF: {_first_line(error)}") from error
    steps = tree.get("steps", [])
    if not isinstance(steps, list):
        raise CrstepsInputError(f"{path}: steps must be a list in an ASDF file.")
    for part in [tree, *steps]:
        for key, remedy in (
            ("class", "class: ALIAS"),
            ("name", "name: ALIAS"),
            ("parameters", "parameters: {}"),
        ):
            if isinstance(part, dict) and key not in part:
                where = "" if part is tree else " in its list of steps"
                raise CrstepsInputError(f"{path} has no '{key}'{where}: add '{remedy}'.")
    return tree


def _read_yaml(path):
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise CrstepsInputError(f"{path} cannot be read as YAML: {_first_line(error)}") from error
    if not isinstance(tree, dict):
        raise CrstepsInputError(f"{path} holds no parameters: write 'class:' and 'parameters:'.")
    return tree


def _first_line(error):
    return " ".join(str(error).split())[:300]


def _mapping(value, path, what):
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise CrstepsInputError(f"{path}: {what} must be a mapping of names to values.")
    return dict(value)


def _name(name, path):
    if not isinstance(name, str):
        raise CrstepsInputError(f"{path}: name {name!r} must be text: write it in quotes.")
    return name


def _steps(steps, path, pipeline):
    """Steps of a pipeline as a dict, from the list of ASDF files or a mapping in YAML."""
    if steps is None:
        return {}
    if isinstance(steps, dict):
        return {name: _mapping(values, path, f"step {name}") for name, values in steps.items()}
    if not isinstance(steps, list) or not all(isinstance(s, dict) and s.get("name") for s in steps):
        raise CrstepsInputError(f"{path}: steps must be a list of mappings with a name each.")
    found = {}
    for step in steps:
        name = _name(step["name"], path)
        for key in step:
            if key not in _STEP_KEYS:
                raise CrstepsInputError(
                    f"{path}: there is no key {key} in the list of steps"
                    f"{nearest(str(key), _STEP_KEYS)}"
                )
        if name in found:
            raise CrstepsInputError(f"{path}: step {name} is listed twice: join the two.")
        _check_class(step.get("class"), name, path, pipeline)
        found[name] = _mapping(step.get("parameters"), path, f"parameters of step {name}")
    return found


def _check_class(given, name, path, pipeline):
    """Refuse another class than the pipeline has: stpipe would not use it."""
    members = getattr(pipeline, "step_defs", {})
    if given and name in members and not issubclass(members[name], find_step_class(given)):
        raise CrstepsInputError(
            f"{path}: step {name} of {pipeline.__name__} is a {members[name].__name__}: a "
            f"parameter file cannot make it a {given}."
        )


def _loaded(path):
    """Contents of a file, which may be given themselves."""
    return path if isinstance(path, ParameterFile) else load(path)


def _validated(loaded):
    """Merge with the defaults; the user's mistakes in a sentence."""
    try:
        return validated(loaded.step_class, loaded.parameters)
    except CrstepsInputError as error:
        raise CrstepsInputError(_with_path(loaded.path, error)) from error


def _with_path(path, error):
    """Sentence that names the file."""
    return str(error) if str(error).startswith(str(path)) else f"{path}: {error}"


def _lines(config, given, spec, indent=""):
    lines = []
    for name, value in config.items():
        if isinstance(value, dict):
            lines.append(f"{indent}  {name}:")
            lines += _lines(value, given.get(name, {}), spec[name], indent + "  ")
            continue
        comment = (spec.inline_comments.get(name) or "").strip()
        mark = "*" if name in given else " "
        lines.append(f"{indent}{mark} {name} = {value!r}  {comment}".rstrip())
    return lines
