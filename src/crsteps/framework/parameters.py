"""Parameters of steps: their own ones, and clear words about wrong ones."""

import difflib
import re

from crsteps.errors import CrstepsInputError

# Parameters of stpipe, which are not the step's own.
_FRAMEWORK = frozenset(
    {
        "config_file",
        "input_dir",
        "output_dir",
        "output_ext",
        "output_file",
        "output_use_index",
        "output_use_model",
        "post_hooks",
        "pre_hooks",
        "save_results",
        "search_output_file",
        "skip",
        "steps",
        "suffix",
    }
)


def own_parameters(step):
    """
    Give the values of a step's own parameters.

    Parameters
    ----------
    step : stpipe.Step
        Step.

    Returns
    -------
    dict
        Parameters that the framework does not know.
    """
    names = [name for name in step.load_spec_file() if name not in _FRAMEWORK]
    return {name: getattr(step, name, None) for name in names}


def validated(step_class, parameters):
    """
    Check parameters against the specification of a class, and fill in the defaults.

    Parameters
    ----------
    step_class : type
        Step or pipeline class.
    parameters : dict
        Parameters as ``Step.call`` takes them; not changed.

    Returns
    -------
    configobj.ConfigObj
        All parameters.

    Raises
    ------
    CrstepsInputError
        A parameter that does not exist, with the nearest valid name, or an impossible value.
    """
    # here, because the command suggests names before it needs stpipe
    from stpipe import config_parser
    from stpipe.exceptions import ValidationError

    spec, owner = step_class.load_spec_file(), step_class.__name__
    check_given(parameters, spec, owner)
    config = config_parser.ConfigObj()
    config_parser.merge_config(config, copied(parameters))
    try:
        config = config_parser.validate(config, spec)
    except ValidationError as error:
        raise CrstepsInputError(explain_invalid(error, spec, owner)) from error
    _check_values(step_class, config)
    return config


def _check_values(step_class, values):
    """Let steps that check more than their specification says do so, also those of a pipeline."""
    if check := getattr(step_class, "check_values", None):
        check(values)
    for name, member in getattr(step_class, "step_defs", {}).items():
        _check_values(member, values["steps"][name])


def check_given(parameters, spec, owner, path=()):
    """
    Refuse what stpipe lets pass or stumbles over: groups for values, and nothing for a value.

    Parameters
    ----------
    parameters : dict
        Parameters that are given.
    spec : configobj.ConfigObj
        Specification of the parameters.
    owner : str
        Name of the step class.
    path : tuple of str, optional
        Sections that the parameters stand in.

    Raises
    ------
    CrstepsInputError
        The first mistake; other names than those specified are one too.
    """
    for name, value in parameters.items():
        here = (*path, str(name))
        dotted = ".".join(here)
        if name not in spec:
            raise CrstepsInputError(_no_such_name(owner, here, spec))
        if isinstance(spec[name], dict):
            if not isinstance(value, dict):
                raise CrstepsInputError(f"{owner}: {dotted} must be a mapping of names to values.")
            check_given(value, spec[name], owner, here)
        elif isinstance(value, dict):
            raise CrstepsInputError(f"{owner}: parameter {dotted} must be a value, not a mapping.")
        elif value is None and not re.search(r"default\s*=\s*None", spec[name]):
            raise CrstepsInputError(
                f"{owner}: parameter {dotted} has no value: give one, or leave it out for the "
                "default."
            )


def _no_such_name(owner, path, known):
    """Sentence on a name that does not exist, with the nearest of those known in its section."""
    *sections, name = path
    if sections[:1] == ["steps"] and len(sections) > 1:
        return f"Step {sections[1]} of {owner} has no parameter {name}{nearest(name, known)}"
    what = "step" if sections == ["steps"] else "parameter"
    return f"{owner} has no {what} {name}{nearest(name, known)}"


def copied(parameters):
    """
    Copy parameters for one use: stpipe keeps and changes the sections it is given.

    Parameters
    ----------
    parameters : dict
        Parameters; those of the steps of a pipeline are dicts within it.

    Returns
    -------
    dict
    """
    return {k: copied(v) if isinstance(v, dict) else v for k, v in parameters.items()}


def nearest(name, known):
    """
    Suggest the nearest valid name.

    Parameters
    ----------
    name : str
        Name that is not valid.
    known : iterable of str
        Valid names.

    Returns
    -------
    str
        End of a sentence: a suggestion, or nothing but the full stop.
    """
    known = list(known)
    begun = [other for other in known if name and other.startswith(f"{name}_")]
    close = begun[:1] or difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else "."


def explain_invalid(error, spec, owner):
    """
    Turn stpipe's validation error into a sentence.

    Parameters
    ----------
    error : Exception
        Stpipe's error, or one of ours, which is a sentence already.
    spec : configobj.ConfigObj
        Specification of the parameters.
    owner : str
        Name of the step class.

    Returns
    -------
    str
        Sentence with the parameter, what is wrong, and the nearest valid name.
    """
    if isinstance(error, CrstepsInputError):
        return str(error)
    first = str(error).split("\n")[0]  # one mistake after the other
    extra = re.match(r"Extra value '(.*)' in (\S+)$", first)
    if extra:
        name, section = extra.groups()
        path = [] if section == "root" else section.split("/")
        return _no_such_name(owner, [*path, name], _entry(spec, path))
    wrong = re.match(r"Config parameter '([^']*)':?\s*(.*)", first)
    if wrong:
        path, reason = wrong[1].split("/"), wrong[2].rstrip(".")
        wanted = _entry(spec, path)
        if str(wanted).startswith("string") and "type" in reason:
            reason += ", write it in quotes"
        return f"{owner}: parameter {'.'.join(path)}: {reason} ({wanted})."
    return f"{owner}: {' '.join(str(error).split())}"


def _entry(spec, path):
    for part in path:
        spec = spec[part]
    return spec
