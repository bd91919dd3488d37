"""
History files of persistence: which exposures lit the pixels of which detector, kept between runs.

ASDF: ``meta``, and in ``detectors`` for each detector its ``shape`` (ny, nx), ``stimuli`` in the
order of time, exposures that were ``corrected``, and ``forgotten_until``. A stimulus has ``source``
(name of the exposure), ``end`` (the reset after it), ``duration`` [s], and the arrays ``pixels``
(flat index, int32, ascending) and ``fluence`` [e-, float32]. Times are seconds: modified Julian
date times 86400.

Files are not changed in place: what is added is written into a new file beside the old one, into
which stored arrays are copied without unpacking them, and which then takes the old one's name. A
run that is stopped leaves the old file. One run at a time writes; every file has a state of its
own, by which a run notices that another one has written since it read.
"""

import os
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from crsteps import __version__
from crsteps.datamodels.asdf_arrays import StoredArray, read_asdf, write_asdf
from crsteps.errors import CrstepsInputError
from crsteps.framework.output import atomic_path

__all__ = [
    "Histories",
    "StoredCorrected",
    "StoredHistory",
    "StoredStimulus",
    "read_histories",
    "update_histories",
    "write_histories",
]

_FORMAT, _FORMAT_VERSION = "crsteps_persistence_history", "1.0.0"
_META = {"clock": "modified Julian date (UTC) in seconds", "units": {"fluence": "electron"}}
_STIMULUS = {"source", "end", "duration", "pixels", "fluence"}
_CORRECTED = {"source", "start"}
_DETECTOR = {"shape", "stimuli", "corrected", "forgotten_until"}


@dataclass(frozen=True, eq=False)
class StoredStimulus:
    """
    What an exposure left in the pixels of a detector.

    Attributes
    ----------
    source : str
        Name of the exposure.
    end, duration : float
        End in s on the clock of the history, and time of exposure in s.
    pixels, fluence : StoredArray
        Flat index of each pixel, and its charge in e-; read when they are used.
    """

    source: str
    end: float
    duration: float
    pixels: StoredArray
    fluence: StoredArray


@dataclass(frozen=True)
class StoredCorrected:
    """
    An exposure that was corrected.

    Attributes
    ----------
    source : str
        Name of the exposure.
    start : float
        First reset in s on the clock of the history.
    """

    source: str
    start: float


@dataclass(frozen=True, eq=False)
class StoredHistory:
    """
    History of one detector.

    Attributes
    ----------
    detector : str
        Name of the detector.
    shape : tuple of int
        Shape (ny, nx) of its images.
    stimuli : tuple of StoredStimulus
        In the order of time.
    corrected : tuple of StoredCorrected
        Exposures that were corrected with it.
    forgotten_until : float
        Time in s on the clock of the history before which it is no longer complete; -inf if it is.
    """

    detector: str
    shape: tuple
    stimuli: tuple = ()
    corrected: tuple = ()
    forgotten_until: float = -np.inf


class Histories(dict):
    """
    Contents of a history file: a `StoredHistory` for each name of a detector.

    Parameters
    ----------
    path : str or Path
        The file.
    state : str
        Changes whenever the file is written; empty if there was no file.
    histories : dict of StoredHistory
        The contents.
    """

    def __init__(self, path, state="", histories=()):
        super().__init__(histories)
        self.path, self.state = Path(path), state


def read_histories(path, *, may_be_missing=False):
    """
    Read a history file; of its arrays no more than where they are.

    Parameters
    ----------
    path : str or Path
        File of `write_histories`.
    may_be_missing : bool
        Whether a file that does not exist counts as one without a detector.

    Returns
    -------
    Histories
        Its arrays are read from the file when they are used; those read slice by slice from the
        first to the last element, as corrections do, are never in memory as a whole.

    Raises
    ------
    CrstepsInputError
        If there is no such file, it is damaged, of another format or a newer version.
    """
    path = Path(path)
    if may_be_missing and not path.exists():
        return Histories(path)
    if not path.is_file():
        raise CrstepsInputError(f"There is no file {path} with a persistence history: check it.")
    try:
        tree = read_asdf(path)
        state = _check_meta(path, tree)
        histories = {n: _history(n, values) for n, values in _items(tree, "detectors")}
    except CrstepsInputError:
        raise
    except OSError as error:
        raise CrstepsInputError(
            f"{path} cannot be read: {error.strerror}; check its permissions."
        ) from error
    except Exception as error:  # a damaged tree raises almost anything
        said = " ".join(str(error).split())[:200].rstrip(".")
        raise CrstepsInputError(
            f"{path} is no usable persistence history: {said}; go back to a copy of it, or give "
            "the earlier exposures instead."
        ) from error
    return Histories(path, state, histories)


def write_histories(path, histories, *, read=None):
    """
    Write the histories of some detectors.

    Parameters
    ----------
    path : str or Path
        File to write.
    histories : dict or iterable
        Histories, such as `crsteps.persistence.history.History`: anything with the attributes of
        `StoredHistory`; of a dict the values. Stored arrays are copied as they are.
    read : Histories, optional
        What was read from the file, so that nothing is lost that another run has added since.
        Detectors of it that are not given are kept. If None, the file must not exist.

    Returns
    -------
    Histories
        As read from the new file.

    Raises
    ------
    CrstepsInputError
        If the file has changed since it was read, if a history is none, or if the file cannot be
        written; it is left as it was then.
    """
    given = list(histories.values() if isinstance(histories, dict) else histories)
    kept = {} if read is None else dict(read)
    kept.update((history.detector, history) for history in given)
    state = "" if read is None else read.state
    with _only_writer(path):
        _require_state(Path(path), state)
        return _write(path, kept, state)


def update_histories(path, change):
    """
    Change a history file, while no other run can.

    Parameters
    ----------
    path : str or Path
        File to change; made if it does not exist.
    change : callable
        Takes the `Histories` of the file and returns the histories to write, as for
        `write_histories`. It should be quick, since other runs wait, and add to what it is given
        rather than to what was read before.

    Returns
    -------
    Histories
        As read from the new file.

    Raises
    ------
    CrstepsInputError
        As for `read_histories` and `write_histories`; the file is left as it was then.
    """
    with _only_writer(path):
        read = read_histories(path, may_be_missing=True)
        changed = change(read)
        given = changed.values() if isinstance(changed, dict) else changed
        kept = {**read, **{history.detector: history for history in given}}
        return _write(path, kept, read.state)


def _write(path, histories, state):
    """Write a file in the place of one of a state; the caller is the only writer."""
    path = Path(path)
    tree = {
        "meta": {
            "format": _FORMAT,
            "format_version": _FORMAT_VERSION,
            "crsteps_version": __version__,
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "state": uuid.uuid4().hex,
            **_META,
        },
        "detectors": {name: _tree(path, histories[name]) for name in sorted(histories)},
    }
    try:
        with atomic_path(path) as aside:
            write_asdf(aside, tree)
            _require_state(path, state)  # again, for file systems that cannot lock
    except OSError as error:
        raise CrstepsInputError(
            f"{path} cannot be written: {error.strerror}; choose another folder."
        ) from error
    return read_histories(path)


def _require_state(path, state):
    """Refuse to replace a file that is not the one that was read."""
    found = read_histories(path, may_be_missing=True).state
    if found == state:
        return
    if not state:
        raise CrstepsInputError(
            f"{path} exists already: read it and add to it, or choose another name."
        )
    what = "changed" if found else "removed"
    raise CrstepsInputError(
        f"{path} was {what} by another run since it was read, so it is not written: run this one "
        "again."
    )


@contextmanager
def _only_writer(path):
    """Wait until no other process writes a history into the folder of a file."""
    folder = Path(path).absolute().parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise CrstepsInputError(
            f"{path} cannot be written: {error.strerror}; choose another folder."
        ) from error
    try:
        _lock(descriptor)
        yield
    finally:
        os.close(descriptor)  # which unlocks it


def _lock(descriptor):
    """Lock a folder; where the file system cannot, the state of the file has to do."""
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError:
        return


def _tree(path, history):
    """History of a detector as it is stored."""
    shape = [int(n) for n in history.shape]
    values = {
        "shape": shape,
        "stimuli": [_stimulus_tree(path, s, shape) for s in history.stimuli],
        "corrected": [
            {"source": str(c.source), "start": float(c.start)} for c in history.corrected
        ],
    }
    until = float(getattr(history, "forgotten_until", -np.inf))
    return {**values, "forgotten_until": until} if until > -np.inf else values


def _stimulus_tree(path, stimulus, shape):
    pixels, fluence = stimulus.pixels, stimulus.fluence
    if not isinstance(pixels, StoredArray):
        pixels = _index(path, stimulus.source, pixels, shape)
    if not isinstance(fluence, StoredArray):
        fluence = np.asarray(fluence, np.float32)
    times = (float(stimulus.end), float(stimulus.duration))
    if fluence.ndim != 1 or len(fluence) != len(pixels) or not np.all(np.isfinite(times)):
        raise CrstepsInputError(
            f"{path} is not written: the stimulus {stimulus.source} has {len(pixels)} pixels, "
            f"{len(fluence)} fluences, and the times {times}; mend the exposure or leave it out."
        )
    return {
        "source": str(stimulus.source),
        "end": times[0],
        "duration": times[1],
        "pixels": pixels,
        "fluence": fluence,
    }


def _index(path, source, pixels, shape):
    """Flat index of pixels in the smaller type that holds it."""
    pixels = np.asarray(pixels)
    number = shape[0] * shape[1]
    possible = pixels.ndim == 1 and pixels.dtype.kind in "iu" and np.all(np.diff(pixels) > 0)
    if not possible or (pixels.size and not 0 <= pixels[0] <= pixels[-1] < number):
        raise CrstepsInputError(
            f"{path} is not written: the pixels of the stimulus {source} do not lie in ascending "
            f"order in an image of the shape {tuple(shape)}; keep one history for each detector "
            "and subarray."
        )
    return pixels.astype(np.int32 if number < 2**31 else np.int64)


def _check_meta(path, tree):
    """State of a file, after a look at its format and version."""
    meta = tree.get("meta")
    found = meta.get("format") if isinstance(meta, dict) else None
    if found != _FORMAT:
        raise CrstepsInputError(
            f"{path} is not a persistence history: meta.format is {found} and not {_FORMAT}: give "
            "another file."
        )
    version = str(meta.get("format_version"))
    if version.split(".")[0] != _FORMAT_VERSION.split(".")[0]:
        raise CrstepsInputError(
            f"{path}: meta.format_version is {version}, and this version of crsteps reads "
            f"{_FORMAT_VERSION[0]}.x: update crsteps or give another file."
        )
    return str(meta["state"])


def _history(name, values):
    key = f"detectors.{name}"
    _require_keys(key, values, _DETECTOR, optional={"forgotten_until"})
    shape = tuple(values["shape"])
    if len(shape) != 2 or not all(isinstance(n, int) and n > 0 for n in shape):
        raise ValueError(f"{key}.shape is {shape}, which is no shape of an image")
    return StoredHistory(
        detector=name,
        shape=shape,
        stimuli=tuple(_stimulus(f"{key}.stimuli[{n}]", s) for n, s in enumerate(values["stimuli"])),
        corrected=tuple(
            _corrected(f"{key}.corrected[{n}]", c) for n, c in enumerate(values["corrected"])
        ),
        forgotten_until=float(values.get("forgotten_until", -np.inf)),
    )


def _stimulus(key, values):
    _require_keys(key, values, _STIMULUS)
    pixels, fluence = values["pixels"], values["fluence"]
    if not (isinstance(pixels, StoredArray) and isinstance(fluence, StoredArray)):
        raise ValueError(f"{key} has no arrays of pixels and fluences")
    if len(pixels) != len(fluence) or pixels.dtype.kind != "i" or fluence.dtype.kind != "f":
        raise ValueError(f"{key} has {len(fluence)} fluences for {len(pixels)} pixels")
    end, duration = (_finite(f"{key}.{name}", values[name]) for name in ("end", "duration"))
    return StoredStimulus(str(values["source"]), end, duration, pixels, fluence)


def _corrected(key, values):
    _require_keys(key, values, _CORRECTED)
    return StoredCorrected(str(values["source"]), _finite(f"{key}.start", values["start"]))


def _items(tree, key):
    if not isinstance(tree.get(key), dict):
        raise ValueError(f"{key} is missing or no mapping")
    return tree[key].items()


def _require_keys(key, values, known, optional=frozenset()):
    if not isinstance(values, dict):
        raise ValueError(f"{key} is no mapping")
    missing, unknown = known - set(values) - optional, set(values) - known
    if missing or unknown:
        what = f"has no {sorted(missing)[0]}" if missing else f"has an unknown {min(unknown)}"
        raise ValueError(f"{key} {what}")


def _finite(key, value):
    if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
        raise ValueError(f"{key} is {value} and no finite number")
    return float(value)
