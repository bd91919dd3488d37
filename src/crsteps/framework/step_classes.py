"""Step classes by alias or dotted name."""

import importlib

from crsteps.errors import CrstepsInputError
from crsteps.framework.parameters import nearest
from crsteps.integration import get_steps


def find_step_class(name):
    """
    Find a step or pipeline class.

    Parameters
    ----------
    name : str
        Alias of a step of any installed package, or dotted name of a class.

    Returns
    -------
    type

    Raises
    ------
    CrstepsInputError
        There is no such class.
    """
    own = {alias: class_name for class_name, alias, _ in get_steps()}
    class_name = own.get(name)
    if class_name is None:
        class_name = name if "." in name else _foreign_class_name(name, own)
    module, _, attribute = class_name.rpartition(".")
    if not module or module.startswith("."):
        raise CrstepsInputError(f"There is no step class {name}: give its full dotted name.")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise  # the module exists; something it needs does not
        raise CrstepsInputError(
            f"There is no step class {name}: there is no module {error.name}."
        ) from error
    except AttributeError as error:
        raise CrstepsInputError(
            f"There is no step class {name}: {module} has no {attribute}."
        ) from error
    from stpipe import Step

    if not (isinstance(found, type) and issubclass(found, Step)):
        raise CrstepsInputError(f"{name} is not a step or pipeline class.")
    return found


def _foreign_class_name(alias, own):
    """Class of an alias that another package registered with stpipe."""
    from stpipe.entry_points import get_steps as registered
    from stpipe.utilities import resolve_step_class_alias

    try:
        class_name = resolve_step_class_alias(alias)
    except ValueError as error:  # several packages own the alias
        raise CrstepsInputError(str(error)) from error
    if class_name == alias:
        known = [*own, *(info.class_alias for info in registered() if info.class_alias)]
        raise CrstepsInputError(
            f"There is no step {alias}: give an alias, a class or a parameter file ending in "
            f".asdf, .yaml or .yml{nearest(alias, known)}"
        )
    return class_name
