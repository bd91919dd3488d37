"""Models of persistence from reference files, in electrons and in the units of an exposure."""

from dataclasses import dataclass, replace

import numpy as np

from crsteps.datamodels.persistence_reference import read_persistence
from crsteps.persistence.correction_result import CorrectionOptions
from crsteps.persistence.decay import PersistenceModel
from crsteps.persistence.power_law import Covariance
from crsteps.persistence.stimulus import ConstantCurve, FermiCurve, LinearCurve, TableCurve

__all__ = ["DetectorModel", "in_data_units", "in_electrons", "model_of", "read_model"]

_CURVES = {
    "constant": ConstantCurve,
    "linear": LinearCurve,
    "fermi": FermiCurve,
    "table": TableCurve,
}


@dataclass(frozen=True)
class DetectorModel:
    """
    How the pixels of a detector, or of a window of it, remember.

    Attributes
    ----------
    model : PersistenceModel
        Amplitudes and slopes.
    channels : ndarray of int or None
        Channel of each pixel, (nx,) or (ny, nx), where values are given by channel.
    systematic : float
        Error of the model as a fraction of the prediction.
    """

    model: PersistenceModel
    channels: np.ndarray | None
    systematic: float


def read_model(path, *, detector, shape, instrument=None, window=None):
    """
    Read the model of a detector from a reference file.

    Parameters
    ----------
    path : str or Path
        Reference file.
    detector : str
        Name of the detector.
    shape : tuple of int
        Shape of the whole detector.
    instrument : str, optional
        Name of the instrument; not compared if None.
    window : tuple of slice, optional
        Rows and columns of the detector that are wanted; all by default.

    Returns
    -------
    DetectorModel

    Raises
    ------
    CrstepsInputError
        If the file cannot be used for this detector.
    """
    values = read_persistence(path, detector=detector, instrument=instrument, window=window)
    return model_of(values, shape=shape, window=window)


def model_of(values, *, shape, window=None):
    """
    Make the model from what a reference file says of a detector.

    Parameters
    ----------
    values : dict
        As from `crsteps.datamodels.persistence_reference.read_persistence`.
    shape : tuple of int
        Shape (ny, nx) of the whole detector.
    window : tuple of slice, optional
        Rows and columns to which the images among the values were cut.

    Returns
    -------
    DetectorModel
    """
    numbers = dict(values["curve"])
    curve = _CURVES[numbers.pop("kind")](**numbers, reference_time=values["reference_time"])
    model = PersistenceModel(
        curve=curve,
        amplitude_scale=values["amplitude_scale"],
        gamma_offset=values["gamma_offset"],
        covariance=Covariance(**values["covariance"]),
        saturation_level=values["saturation_level"],
        forgetting_rate=values["forgetting_rate"],
    )
    return DetectorModel(model, _channels(values, shape, window), values["systematic"])


def in_data_units(model, options, electrons):
    """
    Turn a model, and the options of a correction, into the units of the data.

    So ramps and rates are corrected as they are, without being turned into electrons and back.

    Parameters
    ----------
    model : PersistenceModel
        Model; its stimuli stay in electrons.
    options : CorrectionOptions
        Options with rates in e-/s.
    electrons : float
        Electrons (or e-/s) in a unit of the data.

    Returns
    -------
    model : PersistenceModel
        With rates in units of the data.
    options : CorrectionOptions
        Likewise.
    """
    covariance = model.covariance
    scaled = replace(
        model,
        amplitude_scale=model.amplitude_scale / electrons,
        covariance=Covariance(
            covariance.amplitude / electrons**2, covariance.gamma, covariance.cross / electrons
        ),
        forgetting_rate=model.forgetting_rate / electrons,
    )
    rates = {
        name: None if getattr(options, name) is None else getattr(options, name) / electrons
        for name in ("flag_rate", "bad_rate")
    }
    thresholds = tuple(threshold / electrons for threshold in options.thresholds)
    return scaled, replace(options, thresholds=thresholds, **rates)


def in_electrons(result, options: CorrectionOptions, electrons):
    """
    Turn a result in units of the data into electrons.

    Parameters
    ----------
    result : crsteps.persistence.correction_result.CorrectionResult
        Result of a correction with what `in_data_units` gave.
    options : CorrectionOptions
        Options with rates in e-/s.
    electrons : float
        Electrons (or e-/s) in a unit of the data.

    Returns
    -------
    CorrectionResult
        With rate, variance and thresholds in electrons.
    """
    return replace(
        result,
        rate=result.rate * np.float32(electrons),
        variance=result.variance * np.float32(electrons**2),
        thresholds=options.thresholds,
    )


def _channels(values, shape, window):
    """Channel of each pixel of the window, where the reference has values by channel."""
    if values["n_channels"] is None:
        return None
    rows, columns = window or tuple(slice(0, size) for size in shape)
    along_y = values["channel_axis"] == "y"
    length, part = (shape[0], rows) if along_y else (shape[1], columns)
    channel = np.arange(length) * values["n_channels"] // length
    if not along_y:
        return channel[part]
    return np.broadcast_to(
        channel[part][:, np.newaxis], (rows.stop - rows.start, columns.stop - columns.start)
    )
