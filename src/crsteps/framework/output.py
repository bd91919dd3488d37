"""Files that appear under their name only when they are complete."""

import os
import uuid
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_path(path):
    """
    Give a temporary name in the same folder, renamed to the wanted one on success.

    Parameters
    ----------
    path : str or Path
        The file wanted. Its folder is made if it does not exist; a file of that name stays as it
        is until the new one is complete.

    Yields
    ------
    Path
        Where to write. It has the same suffix as `path`, because writers choose format and
        compression by it. If the body of the ``with`` raises, the file is removed.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # not tempfile: that makes files which nobody else may read
    aside = path.with_name(f".{uuid.uuid4().hex[:12]}-{path.name}")
    try:
        yield aside
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)
