"""Work on one detector, in a process of its own or not: imports neither jwst nor Matplotlib."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from crsteps.datamodels.dark_exposure import DarkExposure
from crsteps.slew_dark.analysis import (
    JUMP_DET,
    AnalysisOptions,
    DetectorAnalysis,
    DetectorFrame,
    analyse_detector,
)
from crsteps.slew_dark.thumbnails import Sketch, sketch_detector


@dataclass(frozen=True)
class DetectorTask:
    """
    What a process has to know to work on a detector.

    Attributes
    ----------
    exposure : DarkExposure
        Exposure that the detector is a part of.
    detector : str
        Name of the detector.
    options : AnalysisOptions
        Parameters.
    companions : dict
        For each of the parameters ``bad_pixel_mask``, ``master_dark``, ``noise_map``,
        ``persistence`` and ``truth`` that is given, where its image is (a
        `crsteps.datamodels.stored_images.StoredImage`); ``persistence_error`` with ``persistence``.
    places : dict
        Where images are to be written (`crsteps.datamodels.image_places.ImagePlace`), by what they
        are: ``dq``, ``cleaned``, ``background``.
    keep_dq : bool
        Whether the data-quality flags are wanted in the outcome.
    figure : Path or None
        Where to draw the detector; None to draw nothing, and to keep nothing for other figures.
    """

    exposure: DarkExposure
    detector: str
    options: AnalysisOptions
    companions: dict = field(default_factory=dict)
    places: dict = field(default_factory=dict)
    keep_dq: bool = False
    figure: Path | None = None


@dataclass(frozen=True)
class DetectorOutcome:
    """
    Result for a detector, without its images, which are written where they are made.

    Attributes
    ----------
    detector : str
        Name of the detector.
    analysis : DetectorAnalysis
        Result without images, but for the data-quality flags where they are wanted.
    pixels : dict of ndarray
        Position ``x``, ``y`` and ``signal`` above the background of all flagged pixels, one
        cluster after the other.
    sketch : Sketch or None
        What figures of the exposure need.
    """

    detector: str
    analysis: DetectorAnalysis
    pixels: dict
    sketch: Sketch | None


def process_detector(task):
    """
    Read a detector and its companions, analyse it, write its images, and draw it if wanted.

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
        A file can no longer be read.
    """
    frame = _frame(task, task.exposure.read(task.detector))
    analysis = analyse_detector(frame, options=task.options)
    sketch = None
    if task.figure is not None:
        sketch = sketch_detector(frame, analysis)
        _draw(task, frame, analysis)
    for name, place in task.places.items():
        place.write(getattr(analysis, name))
    small = replace(
        analysis,
        dq=analysis.dq if task.keep_dq else None,
        cleaned=None,
        background=None,
        clusters=replace(analysis.clusters, labels=None),
    )
    return DetectorOutcome(task.detector, small, _pixels(frame, analysis), sketch)


def _draw(task, frame, analysis):
    from crsteps.slew_dark.figures import plot_detector

    plot_detector(
        task.figure,
        original=frame.data,
        cleaned=analysis.cleaned,
        hits=(analysis.dq & JUMP_DET) != 0,
        usable=frame.usable,
        reference=frame.reference,
        level=analysis.offset,
        unit=task.exposure.unit,
        title=f"{Path(task.exposure.source).name} {task.detector}",
    )


def _pixels(frame, analysis):
    """Flagged pixels in the order of their clusters."""
    index = analysis.clusters.index
    y, x = np.divmod(index, frame.data.shape[1])
    signal = frame.data.ravel()[index] - analysis.background.ravel()[index]
    return {"x": x.astype(np.int32), "y": y.astype(np.int32), "signal": signal}


def _frame(task, image):
    """Image of a detector with its companions."""

    def read(parameter):
        stored = task.companions.get(parameter)
        if stored is None:
            return None
        with stored.open() as stream:
            return stored.values(stream)

    bad, truth = read("bad_pixel_mask"), read("truth")
    return DetectorFrame(
        name=task.detector,
        data=image.data,
        missing=image.missing,
        reference=image.reference,
        saturated=image.saturated,
        bad=None if bad is None else bad != 0,
        quality=image.quality,
        quality_kind=image.quality_kind,
        noise=read("noise_map"),
        added_variance=_variance_of_persistence(task, read),
        master_dark=read("master_dark"),
        truth=None if truth is None else truth != 0,
    )


def _variance_of_persistence(task, read):
    """Variance that persistence leaves [ADU squared]: noise of its charge, error of its rate."""
    rate, error = read("persistence"), read("persistence_error")
    if rate is None:
        return None
    time = task.exposure.integration_time
    charge = np.maximum(np.nan_to_num(rate), 0) * time
    uncertainty = np.nan_to_num(error) * time
    return (charge + np.square(uncertainty)) / task.options.statistics.electrons_per_adu**2
