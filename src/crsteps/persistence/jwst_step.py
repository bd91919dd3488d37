"""Exposures of JWST as persistence sees them: their pixels, charge, gain and noise."""

import logging
from dataclasses import dataclass, replace

import numpy as np

from crsteps.datamodels.fits_files import open_fits
from crsteps.datamodels.persistence_inputs import charge_flags, detector_window
from crsteps.datamodels.variances import unit_of
from crsteps.errors import CrstepsInputError
from crsteps.persistence.exposure_stimuli import fluence_of_ramp, fluence_of_rate
from crsteps.persistence.sparse_stimulus import Stimulus

log = logging.getLogger(__name__)

_DO_NOT_USE, _REFERENCE_PIXEL = 1, 1 << 31
_FULL = (2048, 2048)
_FULL_MIRI = (1024, 1032)
# e-/DN where neither a parameter nor a reference says it (JWST user documentation, rounded).
_GAINS = {"NRS1": 1.0, "NRS2": 1.14, "NIS": 1.6}
_GAIN_NIRCAM_SHORT, _GAIN_NIRCAM_LONG = 2.05, 1.82


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


def check(model, source):
    """
    Refuse exposures of JWST that are no ramps or rates.

    Parameters
    ----------
    model : JwstDataModel
        Exposure.
    source : str
        Its name, for messages.

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
    for names in (("groupdq", 4), ("dq", 2), ("dq", 3), ("err", 2), ("err", 3)):
        _check_shape(model, source, *names)
    unit = unit_of(model).upper()
    if not unit.startswith(("DN", "ELECTRON", "E-", "ADU", "COUNT")):
        raise CrstepsInputError(
            f"{source} is in {unit_of(model)}: give ramps or rates in DN or electrons, from before "
            "the flux calibration."
        )


def fluence_of(model, timing, times, *, gain, saturated_as):
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


def writable(model):
    """
    Give the data of a model as an array that can be changed in place.

    Parameters
    ----------
    model : JwstDataModel
        Ramps or rates.

    Returns
    -------
    ndarray of float32 or float64
        The data themselves, or a copy in the byte order of the machine.
    """
    data = model.data
    usual = data.dtype in (np.float32, np.float64) and data.dtype.isnative
    if usual and data.flags.c_contiguous and data.flags.writeable:
        return data
    return np.array(data, np.float32, order="C")


def usable(model):
    """
    Find the pixels that are to be corrected.

    Parameters
    ----------
    model : JwstDataModel
        Ramps or rates.

    Returns
    -------
    ndarray of bool, shape (ny, nx)
        False for reference pixels and those not to be used, in all integrations.
    """
    name = "pixeldq" if model.data.ndim == 4 else "dq"
    shape = model.data.shape[-2:]
    if not model.hasattr(name):
        return np.ones(shape, bool)
    flags = np.asarray(getattr(model, name))
    unusable = (flags & np.uint32(_DO_NOT_USE | _REFERENCE_PIXEL)) != 0
    return ~(unusable.all(axis=0) if unusable.ndim == 3 else unusable)


def noise(model):
    """
    Noise of the mean rate, for flags by significance.

    Parameters
    ----------
    model : JwstDataModel
        Rates.

    Returns
    -------
    ndarray of float32, shape (ny, nx), or float
        In units of the data; 0 where it is not known.
    """
    if not model.hasattr("err"):
        return 0.0
    error = np.asarray(model.err, np.float32)
    if error.ndim == 3:
        error = np.sqrt(np.nanmean(np.square(error), axis=0) / len(error))
    return np.where(np.isfinite(error), error, np.float32(0))


def mean_rate(data, times):
    """
    Mean rate of ramps or rates.

    Parameters
    ----------
    data : ndarray
        Ramps or rates; not changed.
    times : GroupTimes
        When they were read.

    Returns
    -------
    ndarray of float32, shape (ny, nx)
        In units of the data, per second for ramps.
    """
    if data.ndim == 2:
        return data.copy()
    if data.ndim == 3:
        return data.mean(axis=0)
    if data.shape[1] == 1:
        return data[:, 0].mean(axis=0) / np.float32(times.mean_times[0])
    return (data[:, -1] - data[:, 0]).mean(axis=0) / np.float32(times.integration_time)


def _check_shape(model, source, name, ndim):
    if model.data.ndim != ndim or not model.hasattr(name):
        return
    array = getattr(model, name)
    if np.shape(array) != model.data.shape:
        raise CrstepsInputError(
            f"{source}: {name} has the shape {np.shape(array)}, the data {model.data.shape}; mend "
            "the file."
        )
