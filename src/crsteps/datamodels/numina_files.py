"""
YAML files of numina-crmasks, as parameters of ``mm_cosmic``.

Such a file lists the images to work on besides the parameters. Names and documented values of its
``requirements`` are those of ``mm_cosmic``'s parameters; what a file leaves out is taken from
``pars-mmcosmic_numina.asdf``. Files are loaded safely: nothing in them is evaluated.
"""

from dataclasses import dataclass
from pathlib import Path

import yaml

from crsteps.errors import CrstepsInputError
from crsteps.framework.parameter_files import ParameterFile, load
from crsteps.framework.parameters import nearest
from crsteps.framework.references import packaged_file

PRESET = "pars-mmcosmic_numina.asdf"
# Keys of the file that are parameters under another name.
_GENERAL = {"gain": "gain", "rnoise": "rnoise", "bias": "bias"}
_KEYS = ("images", "extnum", *_GENERAL, "requirements")
_MIN_IMAGES = 3


@dataclass(frozen=True)
class NuminaFile(ParameterFile):
    """
    Contents of a YAML file of numina-crmasks: a parameter file that names its inputs.

    Attributes
    ----------
    images : tuple of Path
        Images, in their order; they exist.
    """

    images: tuple = ()


def is_numina_file(path):
    """
    Tell a YAML file of numina-crmasks from a parameter file.

    Parameters
    ----------
    path : str or Path
        File.

    Returns
    -------
    bool
        True for a YAML mapping without ``class`` but with any of the keys that such a file has.
        False for a file that cannot be read: the reader of parameter files says why.
    """
    path = Path(path)
    if path.suffix.lower() not in (".yaml", ".yml"):
        return False
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return False
    return isinstance(tree, dict) and "class" not in tree and any(key in tree for key in _KEYS)


def read_numina_file(path):
    """
    Read a YAML file of numina-crmasks.

    Parameters
    ----------
    path : str or Path
        File for which `is_numina_file` is true. Paths of its images are relative to the current
        folder, else to the folder of the file.

    Returns
    -------
    NuminaFile
        Parameters that behave as the file is documented. Whether their values are possible is for
        `crsteps.framework.parameter_files.validate` to tell.

    Raises
    ------
    CrstepsInputError
        An unknown key, a missing one, or images that are too few or do not exist.
    """
    path = Path(path)
    tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    for key in tree:
        if key not in _KEYS:
            raise CrstepsInputError(
                f"{path}: there is no key {key} at the top of a file of numina-crmasks, where "
                f"parameters stand under 'requirements:'{nearest(str(key), _KEYS)}"
            )
    for key in (*_GENERAL, "requirements"):
        if tree.get(key) is None:
            raise CrstepsInputError(f"{path} gives no value for {key}: add '{key}:'.")
    requirements = tree["requirements"]
    if not isinstance(requirements, dict):
        raise CrstepsInputError(f"{path}: requirements must be a mapping of names to values.")
    preset = load(packaged_file(PRESET))
    general = {parameter: tree[key] for key, parameter in _GENERAL.items()}
    return NuminaFile(
        path=path,
        step_class=preset.step_class,
        name=preset.name,
        parameters=preset.parameters
        | general
        | _extension(path, tree)
        | _parameters(path, requirements),
        images=_images(path, tree.get("images")),
    )


def _parameters(path, requirements):
    """Parameters of the requirements; a key without a value keeps the documented one."""
    own = {}
    for name, value in requirements.items():
        if name in _KEYS:
            raise CrstepsInputError(
                f"{path}: {name} stands under requirements: move it to the top of the file."
            )
        if name == "mm_seed" and value is None:
            own[name] = "none"
        elif value is not None:
            own[name] = value
    return own


def _extension(path, tree):
    """Extension of the images: the primary array by default."""
    number = tree.get("extnum")
    if number is None:
        number = 0
    if isinstance(number, bool) or not isinstance(number, int) or number < 0:
        raise CrstepsInputError(
            f"{path}: extnum = {number} is not the number of an extension: give 0 or more."
        )
    return {"extension": str(number)}


def _images(path, names):
    """Paths of the images."""
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise CrstepsInputError(f"{path} gives no list of file names for images: add 'images:'.")
    if len(names) < _MIN_IMAGES:
        raise CrstepsInputError(
            f"{path} lists {len(names)} image{'s' * (len(names) != 1)}, and at least {_MIN_IMAGES} "
            "of the same field are needed: add more."
        )
    return tuple(_located(path, name) for name in names)


def _located(path, name):
    for place in (Path(name), path.parent / name):
        if place.is_file():
            return place
    raise CrstepsInputError(
        f"{path}: there is no image {name}, neither in the current folder nor beside this file."
    )
