"""Work on one detector of NISP, in a process of its own or not: imports neither jwst nor plots."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from crsteps.datamodels.dark_exposure import DarkExposure
from crsteps.datamodels.jwst_times import ExposureTiming
from crsteps.datamodels.persistence_inputs import fluence_of_dark
from crsteps.persistence.correction import correct_rates
from crsteps.persistence.correction_result import CorrectionOptions, CorrectionResult
from crsteps.persistence.group_charge import GroupTimes
from crsteps.persistence.history import History
from crsteps.persistence.history_step import naming
from crsteps.persistence.model_step import in_data_units, in_electrons, read_model
from crsteps.persistence.sparse_stimulus import Stimulus, stimulus_of

_MAD = 1.4826


@dataclass(frozen=True)
class DetectorTask:
    """
    What a process has to know to work on a detector.

    Attributes
    ----------
    exposure : DarkExposure
        Exposure that the detector is a part of.
    detector, source : str
        Names of the detector and the exposure.
    timing : ExposureTiming
        When it was reset and read.
    reference : Path
        Reference file.
    options : CorrectionOptions
        Options in e-/s.
    systematic : float or None
        Error of the model as a fraction; that of the reference if None.
    electrons_per_adu, offset : float
        Unit and zero point of the data.
    history : History or None
        What came before; None if the exposure is not to be corrected.
    figure : Path or None
        Where to draw the correction.
    """

    exposure: DarkExposure
    detector: str
    source: str
    timing: ExposureTiming
    reference: Path
    options: CorrectionOptions
    systematic: float | None
    electrons_per_adu: float
    offset: float
    history: History | None
    figure: Path | None = None


@dataclass(frozen=True)
class DetectorOutcome:
    """
    Result for a detector.

    Attributes
    ----------
    detector : str
        Name of the detector.
    stimulus : Stimulus
        What the exposure left in it.
    data : ndarray of float32, shape (ny, nx), or None
        Corrected image in ADU; None where no earlier exposure is known, or none was asked for.
    result : CorrectionResult or None
        What was predicted, in electrons.
    n_earlier : int
        Earlier exposures in the history.
    """

    detector: str
    stimulus: Stimulus
    data: np.ndarray | None
    result: CorrectionResult | None
    n_earlier: int


def process_detector(task):
    """
    Read a detector, list what it was stimulated by, and correct it.

    Parameters
    ----------
    task : DetectorTask
        Detector and parameters.

    Returns
    -------
    DetectorOutcome

    Raises
    ------
    CrstepsInputError
        A file cannot be read, or the history does not fit.
    """
    image = task.exposure.read(task.detector)
    timing = task.timing
    known = read_model(
        task.reference, detector=task.detector, instrument="NISP", shape=image.data.shape
    )
    with naming(f"{task.source} {task.detector}"):
        stimulus = stimulus_of(
            fluence_of_dark(
                image, timing, electrons_per_adu=task.electrons_per_adu, offset=task.offset
            ),
            model=known.model,
            source=task.source,
            end=timing.end,
            duration=timing.duration,
            channels=known.channels,
        )
        n_earlier = 0 if task.history is None else len(task.history.before(timing.start))
        if not n_earlier:
            return DetectorOutcome(task.detector, stimulus, None, None, 0)
        result, before = _correct(task, image, known)
    if task.figure is not None:
        _draw(task, image, before, result)
    return DetectorOutcome(task.detector, stimulus, image.data, result, n_earlier)


def _correct(task, image, known):
    """Correct the image in place; the result in electrons, and the image before for a figure."""
    times = GroupTimes.regular(**task.timing.frames)
    electrons = task.electrons_per_adu / times.integration_time
    options = task.options
    systematic = known.systematic if task.systematic is None else task.systematic
    options = replace(options, systematic=systematic)
    model, scaled = in_data_units(known.model, options, electrons)
    usable = ~(image.missing | image.reference | image.saturated)
    before = image.data.copy() if task.figure is not None else None
    result = correct_rates(
        image.data[np.newaxis],
        decays=task.history.decays(model, task.timing.start, channels=known.channels),
        times=times,
        resets=task.timing.resets,
        usable=usable,
        noise=_noise(image.data[usable]),
        options=scaled,
    )
    return in_electrons(result, options, electrons), before


def _noise(values):
    """Standard deviation of most pixels."""
    if not values.size:
        return 0.0
    return _MAD * float(np.median(np.abs(values - np.median(values))))


def _draw(task, image, before, result):
    from crsteps.persistence.figures import plot_correction

    times = GroupTimes.regular(**task.timing.frames)
    electrons = np.float32(task.electrons_per_adu / times.integration_time)
    usable = ~(image.missing | image.reference)
    plot_correction(
        task.figure,
        before=(before - np.float32(task.offset)) * electrons,
        after=(image.data - np.float32(task.offset)) * electrons,
        predicted=result.rate,
        thresholds=result.thresholds,
        fractions_before=result.fractions_before,
        fractions_after=result.fractions_after,
        usable=usable,
        title=f"{task.source} {task.detector}",
    )
