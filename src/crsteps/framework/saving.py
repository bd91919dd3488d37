"""Models are saved aside and renamed, and never over an input."""

import json
import logging
import os
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path

from jwst.datamodels import ModelLibrary
from stdatamodels.jwst.datamodels import JwstDataModel

from crsteps.errors import CrstepsInputError
from crsteps.framework.output import atomic_path

log = logging.getLogger(__name__)


@contextmanager
def saving_aside(model, inputs):
    """
    Let a model write in a temporary folder beside its target, and move the file when complete.

    Parameters
    ----------
    model : JwstDataModel, sequence of them or ModelLibrary
        Result. Of several models nothing is changed: they are saved one by one.
    inputs : set of Path
        Files that must not be replaced.

    Yields
    ------
    None
        Save in the body of the ``with``. If that fails, neither the file nor anything else is
        left behind, and a file that had the name stays as it is.
    """
    if not isinstance(model, JwstDataModel) or isinstance(model, Sequence):
        yield
        return
    save = model.save

    def save_aside(path, dir_path=None, *args, **kwargs):
        target = Path(path(model.meta.filename) if callable(path) else path)
        target = Path(dir_path, target.name) if dir_path else target
        check_not_input(target, inputs)
        # Under its own name, which goes into the header, in a folder of its own.
        aside = tempfile.mkdtemp(prefix=".crsteps-", dir=target.parent)
        try:
            written = Path(save(os.path.join(aside, target.name), None, *args, **kwargs))
            final = target.with_name(written.name)
            os.replace(written, final)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        return str(final)

    object.__setattr__(model, "save", save_aside)
    try:
        yield
    finally:
        object.__delattr__(model, "save")


def output_folder(step):
    """
    Give the folder of products.

    Parameters
    ----------
    step : crsteps.framework.step.CrStep
        Says where, or its pipeline does.

    Returns
    -------
    Path
        Folder with the user's home and variables of the environment put in.
    """
    folder = step.search_attr("output_dir", default="") or ""
    return Path(os.path.expandvars(os.path.expanduser(folder)))


def check_products(paths, inputs):
    """
    Refuse to replace an input with a product of another kind.

    Parameters
    ----------
    paths : iterable of Path
        Products.
    inputs : set of Path
        Files that must not be replaced.

    Raises
    ------
    CrstepsInputError
        A product is one of them.
    """
    for path in paths:
        if path.resolve() in inputs:
            raise CrstepsInputError(
                f"A product would replace the input {path}: set output_dir to another folder."
            )


def product_path(step, model, suffix, extension):
    """
    Give the path of a product that is no model.

    Parameters
    ----------
    step : crsteps.framework.step.CrStep
        Says where.
    model : JwstDataModel
        Model that it goes with.
    suffix, extension : str
        End of its name.

    Returns
    -------
    Path
    """
    base = None if step.search_attr("output_file") else model.meta.filename
    return Path(step.make_output_path(basepath=base, suffix=suffix, ext=f".{extension}"))


@contextmanager
def writing_product(step, model, suffix, extension):
    """
    Let a product that is no model be written aside, and rename it when it is complete.

    Parameters
    ----------
    step, model, suffix, extension
        As for `product_path`.

    Yields
    ------
    Path
        Where to write.
    """
    path = product_path(step, model, suffix, extension)
    with atomic_path(path) as aside:
        yield aside
    log.info("Saved %s", path)


def check_not_input(path, inputs):
    """
    Refuse to replace an input.

    Parameters
    ----------
    path : Path
        Where a result is to be written.
    inputs : set of Path
        Files that must not be replaced.

    Raises
    ------
    CrstepsInputError
        The path is one of them, and exists.
    """
    if path.exists() and path.resolve() in inputs:
        raise CrstepsInputError(
            f"The result would replace the input {path}: set output_dir or suffix."
        )


def input_files(given):
    """
    Find the files behind an input.

    Parameters
    ----------
    given : object
        Input of a step: a path, a model, an association, or several.

    Returns
    -------
    set of Path
        Absolute paths. An association stands for itself and its members; a model in memory is
        taken to come from the current folder.
    """
    if isinstance(given, str | Path):
        path = Path(given).resolve()
        return {path} | {path.parent / name for name in _members(path)}
    if isinstance(given, ModelLibrary):
        return {Path(name).resolve() for name in _expnames(given.asn)}
    if isinstance(given, Sequence):
        return set().union(*(input_files(item) for item in given))
    if isinstance(given, JwstDataModel) and given.meta.filename:
        return {Path(given.meta.filename).resolve()}
    return set()


def _members(path):
    """Names of the members, if the file is an association; that is its reader's business."""
    if path.suffix.lower() != ".json":
        return []
    try:
        return _expnames(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return []


def _expnames(association):
    return [
        str(member["expname"])
        for product in association.get("products", [])
        for member in product.get("members", [])
    ]
