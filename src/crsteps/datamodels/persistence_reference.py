"""
Reference files of persistence: how the pixels of each detector remember a stimulus.

ASDF. A file of numbers, lists and a curve can be written by hand; maps of single pixels are stored
as compressed images, of which only those of the wanted detector are read. What every entry means
is said in ``schemas/persistence-1.0.0.yaml``, which also refuses what it does not know.
"""

import warnings
from datetime import UTC, datetime
from pathlib import Path

import asdf
import numpy as np
import yaml

from crsteps import __version__
from crsteps.errors import CrstepsInputError
from crsteps.framework.output import atomic_path

__all__ = ["ANY", "read_persistence", "write_persistence"]

ANY = "ANY"
"""Name of the entry for detectors that have none of their own."""

_FORMAT, _FORMAT_VERSION = "crsteps_persistence", "1.0.0"
_SCHEMA = Path(__file__).parent / "schemas" / f"persistence-{_FORMAT_VERSION}.yaml"
_UNITS = {"amplitude": "electron / s", "fluence": "electron", "time": "s"}
_TABLES = ("fluence", "amplitude", "gamma", "exposure_time")
_COVARIANCE = ("amplitude", "gamma", "cross")
_NUMBERS = ("reference_time", "forgetting_rate", "systematic")
_VALUES = "a number, a list with one for each channel, or an image stored in this file"
_DEFAULTS = {
    "amplitude_scale": 1.0,
    "gamma_offset": 0.0,
    "covariance": dict.fromkeys(_COVARIANCE, 0.0),
    "channel_axis": "x",
    "saturation_level": np.inf,
}
# Zlib spends most of its time on the last per cent of noise, which does not compress anyway.
_COMPRESSION = {"all_array_compression": "zlib", "compression_kwargs": {"level": 1}}


def read_persistence(path, *, detector, instrument=None, window=None):
    """
    Read how one detector remembers a stimulus.

    Parameters
    ----------
    path : str or Path
        ASDF file, such as `write_persistence` writes it.
    detector : str
        Name of the detector, in capitals or not. One that the file does not know is looked for
        under ``ANY``.
    instrument : str, optional
        Name of the instrument, as in the keyword INSTRUME; not compared if None.
    window : tuple of slice, optional
        Rows and columns of the detector to which images are cut, for subarrays.

    Returns
    -------
    dict
        ``curve``, a dict with ``kind`` ("constant", "linear", "fermi" or "table") and the numbers
        of that kind of curve, tables as float64 arrays; ``reference_time`` [s];
        ``amplitude_scale``, ``gamma_offset`` and the parts ``amplitude``, ``gamma`` and ``cross``
        of ``covariance``: each a float, a float64 array with one value for each channel, or a
        float32 image, NaN where not known, and so is ``cross`` where the file says null;
        ``channel_axis`` ("x" or "y") and ``n_channels`` (None
        without channels); ``saturation_level`` [e-], infinite if there is none;
        ``forgetting_rate`` [e-/s]; ``systematic``, a fraction; ``detector`` as named in the file;
        and ``meta``, with ``pedigree``, ``flight_calibrated`` and ``description`` among others.

    Raises
    ------
    CrstepsInputError
        If there is no such file, it is damaged, of another format or a newer version, does not
        know the detector or the instrument, or holds something impossible.
    """
    path = Path(path)
    if not path.is_file():
        raise CrstepsInputError(
            f"There is no file {path} with a persistence reference: check the path."
        )
    try:
        with _open(path) as file:
            name = _choose(path, file.tree, detector, instrument)
            values = _values(file.tree["detectors"][name])
            meta = dict(file.tree["meta"])
        _check(name, values)
        _cut(name, values, window)
    except CrstepsInputError:
        raise
    except asdf.ValidationError as error:
        raise CrstepsInputError(_refusal(path, error)) from error
    except Exception as error:  # asdf, its YAML parser and zlib raise many kinds
        raise CrstepsInputError(
            f"{path} is no usable persistence reference: {_first_line(error)}; correct the file "
            "or write it again with write_persistence."
        ) from error
    return {"detector": name, **values, "meta": meta}


def write_persistence(path, detectors, *, meta):
    """
    Write a persistence reference.

    Parameters
    ----------
    path : str or Path
        File to write; replaced if it exists.
    detectors : dict of dict
        For each detector what `read_persistence` returns of it. Required are ``curve``,
        ``reference_time``, ``forgetting_rate`` and ``systematic``; scale 1, offset 0, no
        covariance and no saturation level need not be given. Images may be memory-mapped.
    meta : dict
        ``instruments`` (a list), ``description``, ``pedigree`` (DUMMY, MODEL, SIMULATION, GROUND
        or INFLIGHT) and ``flight_calibrated``; optional are ``telescope``, ``author``, ``source``
        and ``useafter``.

    Raises
    ------
    CrstepsInputError
        If something is missing, unknown or impossible, or the file cannot be written; no file is
        left then.
    """
    tree = {
        "meta": {
            **meta,
            "format": _FORMAT,
            "format_version": _FORMAT_VERSION,
            "crsteps_version": __version__,
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "units": dict(_UNITS),
        },
        "detectors": {},
    }
    try:
        for name, values in detectors.items():
            known = {k: v for k, v in values.items() if k not in ("detector", "meta", "n_channels")}
            tree["detectors"][name] = _entry(name, {**_DEFAULTS, **known})
        file = asdf.AsdfFile(tree, custom_schema=_SCHEMA)
        file.validate()
        for name, values in detectors.items():
            _check(name, {**_DEFAULTS, **values})
        with atomic_path(path) as aside:
            file.write_to(aside, **_COMPRESSION)
    except asdf.ValidationError as error:
        raise CrstepsInputError(_refusal(path, error)) from error
    except (TypeError, ValueError) as error:
        raise CrstepsInputError(
            f"{path}: the persistence reference is not written: {_first_line(error)}; correct "
            "what is given."
        ) from error
    except OSError as error:
        raise CrstepsInputError(
            f"{path} cannot be written: {error.strerror}; choose another folder."
        ) from error


def _open(path):
    """Open a file and hold it against the schema, without reading an image."""
    with asdf.config_context() as config, warnings.catch_warnings():
        config.validate_on_read = True
        # a tag that asdf does not know is no part of this format
        warnings.simplefilter("error", asdf.exceptions.AsdfWarning)
        return asdf.open(
            path, custom_schema=_SCHEMA, lazy_load=True, memmap=False, validate_checksums=True
        )


def _choose(path, tree, detector, instrument):
    """Name of the entry for a detector."""
    instruments = tree["meta"]["instruments"]
    if instrument is not None and str(instrument).upper() not in instruments:
        raise CrstepsInputError(
            f"{path} is a persistence reference for {', '.join(instruments)} and not for "
            f"{instrument}: give one for that instrument."
        )
    names = list(tree["detectors"])
    for wanted in (str(detector).upper(), ANY):
        for name in names:
            if name.upper() == wanted:
                return name
    raise CrstepsInputError(
        f"{path} has no entry under detectors for {detector}, only for {', '.join(names)}: give a "
        f"reference that has one, or one for {ANY}."
    )


def _values(entry):
    """Plain values of the entry of a detector; reads its images."""
    [(kind, numbers)] = entry["curve"].items()
    curve = {
        key: np.array(value, np.float64) if key in _TABLES and isinstance(value, list) else value
        for key, value in dict(numbers).items()
    }
    level = entry["saturation_level"]
    covariance = {part: _load(entry["covariance"][part]) for part in _COVARIANCE}
    values = {
        "curve": {"kind": kind, **curve},
        "amplitude_scale": _load(entry["amplitude_scale"]),
        "gamma_offset": _load(entry["gamma_offset"]),
        "covariance": covariance,
        "channel_axis": entry.get("channel_axis", "x"),
        "saturation_level": np.inf if level is None else float(level),
        **{name: float(entry[name]) for name in _NUMBERS},
    }
    lists = [value.size for value in _maps(values).values() if np.ndim(value) == 1]
    return {**values, "n_channels": lists[0] if lists else None}


def _load(value):
    """Number, list or image, in memory; NaN for a number that is not known."""
    if value is None:
        return np.nan
    if np.ndim(value) == 2:
        return np.asarray(value, np.float32)  # what was unpacked; it outlives the file
    return np.array(value, np.float64) if np.ndim(value) else float(value)


def _entry(name, values):
    """Entry of a detector, as it is stored; the schema refuses what is wrong in it."""
    curve = dict(values.get("curve", {}))
    if "kind" not in curve:
        raise ValueError(f"detectors.{name}.curve has no kind")
    kind = curve.pop("kind")
    level = values["saturation_level"]
    return {
        **values,
        "curve": {kind: {key: _store(v) for key, v in curve.items() if v is not None}},
        "amplitude_scale": _store(values["amplitude_scale"], image=True),
        "gamma_offset": _store(values["gamma_offset"], image=True),
        "covariance": {
            part: None if part == "cross" and _is_unknown(value) else _store(value, image=True)
            for part, value in values["covariance"].items()
        },
        "saturation_level": None if level == np.inf else _store(level),
        **{key: _store(values[key]) for key in _NUMBERS if key in values},
    }


def _is_unknown(value):
    return value is None or (np.ndim(value) == 0 and np.isnan(value))


def _store(value, *, image=False):
    """Number, text or list for YAML; an image as float32, each in a block of its own."""
    if isinstance(value, str | None):
        return value
    # ASDF writes arrays that are memory-mapped, but does not know their type
    array = np.asarray(value) if isinstance(value, np.memmap) else np.asanyarray(value)
    if image and array.ndim == 2:
        return array.view() if array.dtype == np.float32 else array.astype(np.float32)
    return (array.astype(np.float64) if array.dtype.kind in "fiu" else array).tolist()


def _maps(values):
    """What may be a number, a list or an image, by its key in the file."""
    covariance = values["covariance"]
    return {
        "amplitude_scale": values["amplitude_scale"],
        "gamma_offset": values["gamma_offset"],
        **{f"covariance.{part}": value for part, value in covariance.items()},
    }


def _check(name, values):
    """Raise ValueError for what the schema does not see, naming the key."""
    maps = _maps(values)
    for key, value in maps.items():
        if key == "covariance.cross" and _is_unknown(value):
            continue
        if np.ndim(value) < 2 and not np.all(np.isfinite(value)):
            raise ValueError(f"detectors.{name}.{key} is not finite")
    for ndim, what in ((1, "channels"), (2, "pixels")):
        shapes = {np.shape(value) for value in maps.values() if np.ndim(value) == ndim}
        if len(shapes) > 1:
            raise ValueError(
                f"detectors.{name} has values for different numbers of {what}: "
                f"{', '.join(map(str, sorted(shapes)))}"
            )
    if {1, 2} <= {np.ndim(value) for value in maps.values()}:
        raise ValueError(f"detectors.{name} has values by channel and images of pixels")
    _check_covariance(name, values["covariance"])
    for key in ("reference_time", "forgetting_rate", "systematic"):
        if not np.isfinite(values[key]):
            raise ValueError(f"detectors.{name}.{key} is not finite")
    _check_curve(f"detectors.{name}.curve.{values['curve']['kind']}", values["curve"])


def _check_covariance(name, covariance):
    amplitude, gamma, cross = (np.asarray(covariance[part]) for part in _COVARIANCE)
    if _is_unknown(covariance["cross"]):
        cross = np.zeros(())
    with np.errstate(invalid="ignore"):
        for part, variance in (("amplitude", amplitude), ("gamma", gamma)):
            if np.any(variance < 0):
                raise ValueError(f"detectors.{name}.covariance.{part} is a negative variance")
        if np.any(cross**2 > amplitude * gamma * (1 + 1e-4)):
            raise ValueError(
                f"detectors.{name}.covariance.cross is larger than the variances allow"
            )


def _check_curve(key, curve):
    for name, value in curve.items():
        if name not in ("kind", "interpolation") and not np.all(np.isfinite(value)):
            raise ValueError(f"{key}.{name} is not finite")
    if curve["kind"] != "table":
        return
    fluence, times = np.asarray(curve["fluence"]), curve.get("exposure_time")
    for name, values in (("fluence", fluence), ("exposure_time", times)):
        if values is not None and not (np.all(np.diff(values) > 0) and values[0] > 0):
            raise ValueError(f"{key}.{name} is not positive and increasing")
    shape = fluence.shape if times is None else (len(times), *fluence.shape)
    for name in ("amplitude", "gamma"):
        if np.shape(curve[name]) != shape:
            raise ValueError(f"{key}.{name} has the shape {np.shape(curve[name])} and not {shape}")
    if not np.all(np.asarray(curve["amplitude"]) > 0):
        raise ValueError(f"{key}.amplitude is not positive everywhere")


def _cut(name, values, window):
    """Cut images to a window of the detector, in place."""
    if window is None:
        return
    for holder, keys in (
        (values, ("amplitude_scale", "gamma_offset")),
        (values["covariance"],) * 2,
    ):
        for key in keys:
            image = holder[key]
            if np.ndim(image) != 2:
                continue
            for part, size in zip(window, image.shape, strict=True):
                if part.start < 0 or part.stop > size:
                    raise ValueError(
                        f"the images of detectors.{name} have the shape {image.shape}, in which "
                        f"the pixels {part.start} to {part.stop - 1} of the exposure do not lie"
                    )
            holder[key] = image[window].copy()


def _refusal(path, error):
    """Sentence about the first thing that the schema refuses."""
    where = ".".join(str(part) for part in error.absolute_path) or "the top"
    if where == "meta.format_version":
        return (
            f"{path}: {where} is {error.instance}, and this version of crsteps reads "
            f"{_FORMAT_VERSION[0]}.x: update crsteps or give another file."
        )
    if where == "meta.format":
        return (
            f"{path} is not a persistence reference: {where} is {error.instance} and not {_FORMAT}:"
            " give another file."
        )
    what = _first_line(error)
    if _is_number(error.instance):
        number = yaml.safe_dump(float(error.instance)).split()[0]
        what = f"{error.instance} is text to YAML 1.1: write {number}"
    elif error.validator == "additionalProperties":
        unknown = sorted(set(error.instance) - set(error.schema["properties"]))
        what = f"'{unknown[0]}' is not known"
    elif error.validator == "anyOf":
        wanted = "a positive number or null" if where.endswith("level") else _VALUES
        what = f"{str(error.instance)[:40]} is not {wanted}"
    return f"{path} is no valid persistence reference: at {where}, {what}; correct that entry."


def _is_number(text):
    """Tell whether a text would be a number, had it been written as YAML 1.1 has them."""
    try:
        return isinstance(text, str) and np.isfinite(float(text))
    except ValueError:
        return False


def _first_line(error):
    # The errors of a schema have a message, and say much more.
    return " ".join(str(getattr(error, "message", error)).split())[:200].rstrip(".")
