"""What a user may call a set of exposures: paths, models, associations, containers, libraries."""

import json
from pathlib import Path

from crsteps.errors import CrstepsInputError


def is_path(item):
    """
    Tell a path from a model.

    Parameters
    ----------
    item : object
        An input.

    Returns
    -------
    bool
    """
    return isinstance(item, str | Path)


def expand(inputs):
    """
    List the paths and models of a set of exposures.

    Parameters
    ----------
    inputs : path, list, ModelContainer or ModelLibrary
        What the user gave; associations, containers and libraries are opened up.

    Returns
    -------
    list of path or JwstDataModel

    Raises
    ------
    CrstepsInputError
        If an item is neither, or an association is not one.
    """
    if is_path(inputs):
        inputs = [inputs]
    elif hasattr(inputs, "borrow") and hasattr(inputs, "shelve"):
        return _library_models(inputs)
    elif hasattr(inputs, "save") and hasattr(inputs, "meta"):
        inputs = [inputs]  # a single model, which is iterable too
    items = []
    for item in inputs:
        if is_path(item) and Path(item).suffix.lower() == ".json":
            items += association_members(item)
        elif is_path(item) or hasattr(item, "meta"):
            items.append(item)
        else:
            raise CrstepsInputError(
                f"An input of type {type(item).__name__} is not understood: give paths, JWST "
                "models or an association."
            )
    return items


def association_members(path):
    """
    Science members of an association.

    Parameters
    ----------
    path : str or Path
        Association in JSON; paths of its members are relative to its folder.

    Returns
    -------
    list of Path
        The members with exptype ``science``, in their order.

    Raises
    ------
    CrstepsInputError
        If the file is missing, not an association, or has other than one product.
    """
    members = [member for member, exptype in _all_members(path) if exptype == "science"]
    if not members:
        raise CrstepsInputError(f"{path} has no member with exptype science: add the exposures.")
    return members


def expand_with_roles(inputs):
    """
    List the paths and models of a set of exposures, those of other exptypes too.

    Parameters
    ----------
    inputs : path, list, ModelContainer or ModelLibrary
        As for `expand`.

    Returns
    -------
    list of tuple
        Path or model, and its exptype in small letters: ``science`` unless an association or
        library says otherwise.

    Raises
    ------
    CrstepsInputError
        As for `expand`, but for an association without science members.
    """
    if hasattr(inputs, "borrow") and hasattr(inputs, "shelve"):
        roles = [
            str(m.get("exptype", "science")).lower() for m in inputs.asn["products"][0]["members"]
        ]
        return list(zip(_library_models(inputs, exptype=None), roles, strict=True))
    is_list = not is_path(inputs) and not (hasattr(inputs, "save") and hasattr(inputs, "meta"))
    found = []
    for item in inputs if is_list else [inputs]:
        if is_path(item) and Path(item).suffix.lower() == ".json":
            found += _all_members(item)
        else:
            found += [(one, "science") for one in expand(item if is_path(item) else [item])]
    return found


def _all_members(path):
    """Members of an association with their exptype in small letters."""
    path = Path(path)
    if not path.is_file():
        raise CrstepsInputError(f"There is no association {path}: check its path.")
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        products = table["products"]
        if len(products) == 1:
            members = [
                (path.parent / member["expname"], str(member.get("exptype", "science")).lower())
                for member in products[0]["members"]
            ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CrstepsInputError(
            f"{path} is not an association ({type(error).__name__}: {error}): it must be JSON "
            "with products, each with members that have expname and exptype."
        ) from error
    if len(products) != 1:
        raise CrstepsInputError(
            f"{path} has {len(products)} products: give an association of one set of exposures."
        )
    return members


def _library_models(library, exptype="science"):
    """Models of a ModelLibrary, unmodified; they stay in memory while they are used."""
    models = []
    with library:
        chosen = range(len(library)) if exptype is None else library.indices_for_exptype(exptype)
        for index in chosen:
            model = library.borrow(index)
            library.shelve(model, index, modify=False)
            models.append(model)
    return models


def check_distinct(items):
    """
    Refuse a file or model that is given twice.

    Parameters
    ----------
    items : list of path or JwstDataModel
        The exposures.

    Raises
    ------
    CrstepsInputError
        If two are the same file, by whatever path, or the same model.
    """
    seen = set()
    for item in items:
        key = Path(item).resolve() if is_path(item) else id(item)
        if key in seen:
            name = item if is_path(item) else model_name(item)
            raise CrstepsInputError(
                f"{name} is given twice: each exposure may be used once, remove one of them."
            )
        seen.add(key)


def model_name(model):
    """
    Name a model in messages.

    Parameters
    ----------
    model : JwstDataModel
        The model.

    Returns
    -------
    str
        Its file name, else its type.
    """
    return str(getattr(model.meta, "filename", None) or f"<{type(model).__name__}>")
