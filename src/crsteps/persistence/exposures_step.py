"""Exposures of a night: which there are, of which detector, when, and in what units."""

import logging
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from crsteps.datamodels.dark_files import open_dark
from crsteps.datamodels.dark_layout import is_nisp
from crsteps.datamodels.fits_files import open_fits
from crsteps.datamodels.inputs import expand_with_roles, is_path, model_name
from crsteps.datamodels.naming import stem
from crsteps.datamodels.persistence_inputs import (
    charge_flags,
    detector_window,
    exposure_start,
    exposure_timing,
)
from crsteps.datamodels.variances import unit_of
from crsteps.errors import CrstepsInputError
from crsteps.persistence.exposure_stimuli import fluence_of_ramp, fluence_of_rate
from crsteps.persistence.group_charge import GroupTimes
from crsteps.persistence.sparse_stimulus import Stimulus

log = logging.getLogger(__name__)

_ALIAS = "powerlaw_persistence"
_FULL = (2048, 2048)
_FULL_MIRI = (1024, 1032)
# e-/DN where neither a parameter nor a reference says it (JWST user documentation, rounded).
_GAINS = {"NRS1": 1.0, "NRS2": 1.14, "NIS": 1.6}
_GAIN_NIRCAM_SHORT, _GAIN_NIRCAM_LONG = 2.05, 1.82


@dataclass(frozen=True)
class Exposure:
    """
    An exposure of a night.

    Attributes
    ----------
    given : path or JwstDataModel
        What the user gave.
    kind : {"nisp", "jwst"}
        Whose exposure it is.
    source : str
        Name that tells it from all other exposures, whatever product of it is given.
    start : float
        Start in s on the clock of the history.
    detectors : tuple of str
        Names of its detectors.
    wanted : bool
        Whether it is to be corrected, or is there for its stimulus alone.
    """

    given: object
    kind: str
    source: str
    start: float
    detectors: tuple
    wanted: bool


@dataclass(frozen=True)
class Placement:
    """
    The part of a detector that an exposure shows.

    Attributes
    ----------
    detector : str
        Name of the detector.
    shape : tuple of int
        Shape (ny, nx) of the whole detector.
    window : tuple of slice
        Rows and columns that the exposure shows.
    """

    detector: str
    shape: tuple
    window: tuple

    @property
    def is_whole(self):
        """Whether the exposure shows the whole detector."""
        return all(p == slice(0, n) for p, n in zip(self.window, self.shape, strict=True))

    def cut(self, stimulus):
        """
        Cut a stimulus of the whole detector to the window.

        Parameters
        ----------
        stimulus : Stimulus
            Stimulus of the detector.

        Returns
        -------
        Stimulus
            Its pixels within the window, numbered there; itself if the window is the detector.
        """
        if self.is_whole:
            return stimulus
        rows, columns = self.window
        y, x = np.divmod(np.asarray(stimulus.pixels), self.shape[1])
        inside = (y >= rows.start) & (y < rows.stop) & (x >= columns.start) & (x < columns.stop)
        width = columns.stop - columns.start
        return Stimulus(
            stimulus.source,
            stimulus.end,
            stimulus.duration,
            (y[inside] - rows.start) * width + x[inside] - columns.start,
            np.asarray(stimulus.fluence)[inside],
        )

    def spread(self, stimulus):
        """
        Give a stimulus of the window as one of the whole detector.

        Parameters
        ----------
        stimulus : Stimulus
            Stimulus with the pixels of the window.

        Returns
        -------
        Stimulus
        """
        if self.is_whole:
            return stimulus
        rows, columns = self.window
        y, x = np.divmod(stimulus.pixels, columns.stop - columns.start)
        pixels = (y + rows.start) * self.shape[1] + x + columns.start
        return replace(stimulus, pixels=pixels.astype(stimulus.pixels.dtype))


def find_exposures(given, history, *, name_of):
    """
    List the exposures that are to be corrected and those before them, in the order of time.

    Parameters
    ----------
    given : path, JwstDataModel, list, ModelContainer or ModelLibrary
        What is to be corrected; members of an association that are not science are history.
    history : sequence of path
        Earlier exposures, and associations of them.
    name_of : callable
        Takes the stem of a file name and returns it without the suffix of the product.

    Returns
    -------
    list of Exposure
        Of files only headers are read. Those after the last exposure that is to be corrected, and
        of detectors that none of those has, are left out.

    Raises
    ------
    CrstepsInputError
        If nothing is to be corrected, a time or detector is missing, one is given twice, or there
        are exposures of NISP and of JWST.
    """
    roles = [(item, role == "science") for item, role in expand_with_roles(given)]
    roles += [(item, False) for item, _ in expand_with_roles(list(history))]
    found = [_exposure(item, wanted, name_of) for item, wanted in roles]
    wanted = [exposure for exposure in found if exposure.wanted]
    if not wanted:
        raise CrstepsInputError(
            f"{given} has no exposure to correct: give one, or an association with a member of "
            "exptype science."
        )
    if len({exposure.kind for exposure in found}) > 1:
        raise CrstepsInputError(
            "Exposures of NISP and of JWST are given together: give those of one instrument."
        )
    _check_twice(wanted)
    own = {(exposure.source, exposure.detectors) for exposure in wanted}
    detectors = set().union(*(exposure.detectors for exposure in wanted))
    last = max(exposure.start for exposure in wanted)
    kept, seen = list(wanted), set(own)
    for exposure in found:
        key = (exposure.source, exposure.detectors)
        if exposure.wanted or key in seen or not detectors & set(exposure.detectors):
            continue
        seen.add(key)
        if exposure.start > last:
            log.info("%s is not used: it began after the last exposure", exposure.source)
            continue
        kept.append(exposure)
    return sorted(kept, key=lambda exposure: (exposure.start, exposure.source))


def timing_of(exposure):
    """
    Find out when an exposure was reset and read, and log what was assumed.

    Parameters
    ----------
    exposure : path, JwstDataModel or DarkExposure
        Exposure.

    Returns
    -------
    timing : crsteps.datamodels.jwst_times.ExposureTiming
        Resets, and readout.
    times : GroupTimes
        Times of the frames.
    """
    timing = exposure_timing(exposure)
    for warning in timing.warnings:
        log.warning(warning)
    return timing, GroupTimes.regular(**timing.frames)


def open_nisp(path):
    """
    Open an exposure of NISP.

    Parameters
    ----------
    path : str or Path
        File.

    Returns
    -------
    crsteps.datamodels.dark_exposure.DarkExposure
    """
    return open_dark(path, quality="none")


def placement_of(model, source):
    """
    Find the part of the detector that an exposure of JWST shows.

    Parameters
    ----------
    model : JwstDataModel
        Exposure.
    source : str
        Its name, for messages.

    Returns
    -------
    Placement

    Raises
    ------
    CrstepsInputError
        If the window does not lie in the detector.
    """
    instrument = str(model.meta.instrument.name or "").upper()
    shape = _FULL_MIRI if instrument == "MIRI" else _FULL
    window = detector_window(model)
    if any(p.start < 0 or p.stop > size for p, size in zip(window, shape, strict=True)):
        raise CrstepsInputError(
            f"{source}: the pixels {window[1].start + 1} to {window[1].stop} by "
            f"{window[0].start + 1} to {window[0].stop} (SUBSTRT1, SUBSTRT2) do not lie in a "
            f"detector of {shape[1]} by {shape[0]}; correct the keywords."
        )
    return Placement(str(model.meta.instrument.detector).upper(), shape, window)


def check_jwst(model, source, *, corrected):
    """
    Refuse exposures of JWST that are no ramps or rates, and those that were corrected before.

    Parameters
    ----------
    model : JwstDataModel
        Exposure.
    source : str
        Its name, for messages.
    corrected : bool
        Whether it was corrected by this step.

    Raises
    ------
    CrstepsInputError
        With the reason.
    """
    data = getattr(model, "data", None)
    if np.ndim(data) not in (2, 3, 4) or 0 in np.shape(data):
        raise CrstepsInputError(
            f"{source} has data of shape {np.shape(data)}: give ramps, rates of integrations or a "
            "rate image."
        )
    if type(model).__name__ == "Level1bModel":
        raise CrstepsInputError(
            f"{source} is a raw exposure, whose bias and non-linearity are no charge: give one "
            "that has been through linearity, or use crsteps_detector1."
        )
    if corrected:
        raise CrstepsInputError(
            f"{source} has been corrected by {_ALIAS} already: give the exposure as it was before."
        )
    for names in (("groupdq", 4), ("dq", 2), ("dq", 3), ("err", 2), ("err", 3)):
        _check_shape(model, source, *names)
    unit = unit_of(model).upper()
    if not unit.startswith(("DN", "ELECTRON", "E-", "ADU", "COUNT")):
        raise CrstepsInputError(
            f"{source} is in {unit_of(model)}: give ramps or rates in DN or electrons, from before "
            "the flux calibration."
        )


def jwst_fluence(model, timing, times, *, gain, saturated_as):
    """
    Charge of each pixel at the end of an exposure of JWST.

    Parameters
    ----------
    model : JwstDataModel
        Ramps or rates; not changed.
    timing, times
        As from `timing_of`.
    gain : float
        Electrons in a unit of the data.
    saturated_as : {"level", "extrapolated"}
        As for `crsteps.persistence.exposure_stimuli.fluence_of_ramp`.

    Returns
    -------
    ndarray of float32, shape (ny, nx)
        Charge in e-; infinite where saturated, NaN where not known.
    """
    data = np.asarray(model.data)
    is_ramp = data.ndim == 4
    names = ("groupdq", "pixeldq") if is_ramp else ("dq",)
    if all(model.hasattr(name) for name in names):
        saturated, unusable = charge_flags(model)
    else:
        saturated = unusable = np.zeros((), bool)
    if is_ramp:
        fluence = fluence_of_ramp(
            data, saturated=saturated, unusable=unusable, times=times, saturated_as=saturated_as
        )
    else:
        fluence = fluence_of_rate(
            data, duration=timing.duration, saturated=saturated, unusable=unusable
        )
    return fluence * np.float32(gain)


def gain_of(model, source, *, given=None, reference=None):
    """
    Electrons in a unit of the data of JWST.

    Parameters
    ----------
    model : JwstDataModel
        Exposure.
    source : str
        Its name, for messages.
    given : float, optional
        Gain that the user gave in e-/DN.
    reference : callable, optional
        Returns the path of a gain reference, or None.

    Returns
    -------
    float
        1 for data in electrons; else the gain given, the median of the reference, or a rounded
        value for the detector.

    Raises
    ------
    CrstepsInputError
        If none is known.
    """
    if unit_of(model).upper().startswith(("ELECTRON", "E-")):
        return 1.0
    if given:
        return float(given)
    path = reference() if reference else None
    if path:
        return _median_gain(path)
    detector = str(model.meta.instrument.detector).upper()
    gain = _GAINS.get(detector)
    if gain is None and detector.startswith("NRC"):
        gain = _GAIN_NIRCAM_LONG if detector.endswith(("LONG", "5")) else _GAIN_NIRCAM_SHORT
    if gain is None:
        raise CrstepsInputError(
            f"{source}: the gain of {detector} is not known: set gain (e-/DN), or override_gain."
        )
    log.info("gain of %s: %g e-/DN, a rounded value; set gain for another one", detector, gain)
    return gain


def _median_gain(path):
    """Median of a gain reference."""
    with open_fits(path) as hdus:
        images = [hdu for hdu in hdus if hdu.name == "SCI" and hdu.is_image]
        values = np.array(images[0].data, np.float32) if images else np.empty(0, np.float32)
    values = values[np.isfinite(values) & (values > 0)]
    if not values.size:
        raise CrstepsInputError(f"{path} has no gain in an extension SCI: give another file.")
    return float(np.median(values))


def _exposure(item, wanted, name_of):
    """What a path or model says of itself in its headers."""
    if not is_path(item):
        detector = item.meta.instrument.detector
        return _jwst(item, model_name(item), detector, wanted, name_of)
    with open_fits(item) as hdus:
        header = hdus[0].header.copy()
        nisp = is_nisp(hdus)
    if not nisp:
        return _jwst(item, str(item), header.get("DETECTOR"), wanted, name_of)
    exposure = open_nisp(item)
    if wanted and header.get("S_POWERL") == "COMPLETE":
        raise CrstepsInputError(
            f"{item} has been corrected by {_ALIAS} already: give the exposure as it was before."
        )
    return Exposure(
        exposure,
        "nisp",
        name_of(stem(item)),
        exposure_start(exposure),
        exposure.detectors,
        wanted,
    )


def _jwst(item, name, detector, wanted, name_of):
    if not isinstance(detector, str) or not detector.strip():
        raise CrstepsInputError(
            f"{name} does not name its detector (DETECTOR): set the keyword, or leave it out."
        )
    start = exposure_start(item)
    return Exposure(item, "jwst", name_of(stem(name)), start, (detector.upper(),), wanted)


def _check_twice(wanted):
    seen = set()
    for exposure in wanted:
        key = (exposure.source, exposure.detectors)
        if key in seen:
            raise CrstepsInputError(
                f"{exposure.source} is given twice: give one product of each exposure."
            )
        seen.add(key)


def _check_shape(model, source, name, ndim):
    if model.data.ndim != ndim or not model.hasattr(name):
        return
    array = getattr(model, name)
    if np.shape(array) != model.data.shape:
        raise CrstepsInputError(
            f"{source}: {name} has the shape {np.shape(array)}, the data {model.data.shape}; mend "
            "the file."
        )


def label(given):
    """
    Name what was given in messages.

    Parameters
    ----------
    given : path, JwstDataModel or DarkExposure
        An exposure.

    Returns
    -------
    str
    """
    if is_path(given):
        return Path(given).name
    return Path(given.source).name if hasattr(given, "source") else model_name(given)
