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

    config, spec = config_parser.ConfigObj(), step_class.load_spec_file()
    config_parser.merge_config(config, copied(parameters))
    try:
        return config_parser.validate(config, spec)
    except ValidationError as error:
        raise CrstepsInputError(explain_invalid(error, spec, step_class.__name__)) from error


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
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else "."


def explain_invalid(error, spec, owner):
    """
    Turn stpipe's validation error into a sentence.

    Parameters
    ----------
    error : stpipe.exceptions.ValidationError
        Error.
    spec : configobj.ConfigObj
        Specification of the parameters.
    owner : str
        Name of the step class.

    Returns
    -------
    str
        Sentence with the parameter, what is wrong, and the nearest valid name.
    """
    text = " ".join(str(error).split())
    extra = re.search(r"Extra value '([^']*)' in (\S+)", text)
    if extra:
        name, section = extra.groups()
        for part in [] if section == "root" else section.split("/"):
            spec = spec.get(part, spec) if isinstance(spec.get(part), dict) else spec
        return f"{owner} has no parameter {name}{nearest(name, spec)}"
    wrong = re.search(r"Config parameter '([^']*)':?\s*(.*)", text)
    if wrong:
        name, reason = wrong.groups()
        return (
            f"{owner}: parameter {name}: {reason.rstrip('.')} ({spec.get(name, 'see its page')})."
        )
    return f"{owner}: {text}"
