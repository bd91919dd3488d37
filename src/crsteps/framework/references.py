"""Reference files: given, from CRDS, or packaged; which was taken is logged and recorded."""

import hashlib
import logging
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from crsteps.errors import CrstepsInputError
from crsteps.framework.crds_access import ask_crds, crds_configured

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Reference:
    """
    A reference file that was found.

    Attributes
    ----------
    path : Path
        The file.
    source : str
        Where it comes from: parameter, override, CRDS or packaged.
    sha256 : str
        Checksum.
    """

    path: Path
    source: str
    sha256: str

    def as_record(self):
        """Give name, source and checksum as a dict."""
        return {"name": self.path.name, "source": self.source, "sha256": self.sha256}


def reference_files_path():
    """
    Find the folder of packaged reference and parameter files.

    Returns
    -------
    Path
        The same folder from a wheel and from an editable install.
    """
    return Path(str(files("crsteps").joinpath("reference_files")))


def packaged_file(name):
    """
    Find a packaged file.

    Parameters
    ----------
    name : str
        Name of the file in ``reference_files``.

    Returns
    -------
    Path

    Raises
    ------
    CrstepsInputError
        There is no such file.
    """
    path = reference_files_path() / name
    if not path.is_file():
        known = ", ".join(sorted(p.name for p in reference_files_path().glob("*.asdf")))
        raise CrstepsInputError(f"There is no packaged file {name}: choose from {known}.")
    return path


def find_reference(step, model, reference_type, *, parameter=None, packaged=None):
    """
    Find a reference file for a step.

    Parameters
    ----------
    step : crsteps.framework.step.CrStep
        Step that needs it.
    model : JwstDataModel
        Data, which CRDS chooses the file by.
    reference_type : str
        Type of the reference.
    parameter : str, optional
        Name of the step's parameter that gives the file.
    packaged : str, optional
        Name of the packaged file to fall back on.

    Returns
    -------
    Reference
        The first of: the parameter or ``override_*``, CRDS where it is configured and knows the
        type, the packaged file.

    Raises
    ------
    CrstepsInputError
        A file that was given does not exist, or there is none.
    """
    reference = (
        _given(step, reference_type, parameter)
        or _from_crds(step, model, reference_type)
        or _packaged(packaged)
    )
    if reference is None:
        override = f"override_{reference_type}"
        names = f"{parameter} or {override}" if parameter else override
        where = "gave none for these data" if crds_configured() else "is not configured"
        raise CrstepsInputError(
            f"There is no {reference_type} reference file for {step.class_alias}: {names} is not "
            f"set, CRDS {where}, and no file is packaged: set {names} to a file."
        )
    log.info("%s reference: %s (%s)", reference_type, reference.path, reference.source)
    known = getattr(step, "references", {})  # none yet where process is called by itself
    step.references = {**known, reference_type: reference.as_record()}
    return reference


def _given(step, reference_type, parameter):
    """File named by the parameter or the override."""
    for name, source in ((parameter, "parameter"), (f"override_{reference_type}", "override")):
        path = getattr(step, name, None) if name else None
        if not path:
            continue
        if not isinstance(path, str | Path):
            raise CrstepsInputError(f"{name} is a {type(path).__name__}: give the path of a file.")
        if not Path(path).is_file():
            raise CrstepsInputError(f"There is no file {path}: check the parameter {name}.")
        return _make(Path(path).absolute(), source)
    return None


def _from_crds(step, model, reference_type):
    found = ask_crds(
        f"a {reference_type} reference", lambda: step.get_reference_file(model, reference_type)
    )
    return _make(Path(found), "CRDS") if found and found != "N/A" else None


def _packaged(name):
    return _make(packaged_file(name), "packaged") if name else None


def _make(path, source):
    with open(path, "rb") as stream:
        return Reference(path, source, hashlib.file_digest(stream, "sha256").hexdigest())
