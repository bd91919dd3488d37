"""Names of the products of a set of exposures, from the names of its inputs."""

import json
import re
from itertools import takewhile
from pathlib import Path

from crsteps.datamodels.inputs import is_path


def stem(name):
    """
    Name of a file without folder, ``.fits`` and ``.gz``.

    Parameters
    ----------
    name : str or Path
        Path or file name.

    Returns
    -------
    str
    """
    return re.sub(r"(\.fits?|\.asdf)?(\.gz)?$", "", Path(name).name, flags=re.IGNORECASE)


def set_name(inputs, sources):
    """
    Name a set of exposures.

    Parameters
    ----------
    inputs : path, list, ModelContainer or ModelLibrary
        What the caller gave: an association names its product.
    sources : sequence of str
        Paths or names of the exposures.

    Returns
    -------
    str
        The product of the association; else what the names of the exposures begin with, up to
        the number in which they differ; else the name of the first exposure.
    """
    stems = [stem(source) for source in sources]
    return _product_name(inputs) or common_stem(stems) or stems[0]


def common_stem(stems):
    """
    Common beginning of names, not cut within a number.

    Parameters
    ----------
    stems : sequence of str
        Names without suffix.

    Returns
    -------
    str
        Empty if there is none.
    """
    alike = takewhile(lambda letters: len(set(letters)) == 1, zip(*stems, strict=False))
    common = "".join(letters[0] for letters in alike)
    ends = [name[len(common) :][:1] for name in stems]
    if any(end.isdigit() for end in ends):
        common = common.rstrip("0123456789")
    return common.rstrip("_-. ")


def _product_name(inputs):
    """Name of the product of an association, None without one."""
    if isinstance(inputs, list | tuple) and len(inputs) == 1:
        inputs = inputs[0]
    if is_path(inputs):
        if Path(inputs).suffix.lower() != ".json":
            return None
        table = json.loads(Path(inputs).read_text(encoding="utf-8"))
    elif hasattr(inputs, "asn_table"):
        # A container that was made from models calls its product after the first of them.
        table = inputs.asn_table if inputs.asn_file_path else None
    else:
        table = getattr(inputs, "asn", None)
    try:
        return table["products"][0].get("name")
    except (TypeError, KeyError, IndexError, AttributeError):
        return None
