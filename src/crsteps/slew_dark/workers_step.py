"""Work on one detector, in a process of its own or not: imports neither jwst nor Matplotlib."""

from dataclasses import dataclass, field, replace

import numpy as np

from crsteps.datamodels.dark_files import DarkExposure
from crsteps.slew_dark.analysis import (
    AnalysisOptions,
    DetectorAnalysis,
    DetectorFrame,
    analyse_detector,
)


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
        For each of the parameters ``bad_pixel_mask``, ``master_dark``, ``noise_map`` and ``truth``
        that is given, where its image is (a `crsteps.datamodels.fits_images.StoredImage`).
    keep_background : bool
        Whether the background is wanted.
    """

    exposure: DarkExposure
    detector: str
    options: AnalysisOptions
    companions: dict = field(default_factory=dict)
    keep_background: bool = False


@dataclass(frozen=True)
class DetectorOutcome:
    """
    Result for a detector, without the images that no product needs.

    Attributes
    ----------
    detector : str
        Name of the detector.
    analysis : DetectorAnalysis
        Result; its background is None where it is not wanted, and so is the image of labels.
    header : astropy.io.fits.Header
        Header of the detector in the input.
    pixel_values : ndarray of float32
        Signal above the background of every flagged pixel, in the order of
        ``analysis.clusters.index`` [ADU].
    """

    detector: str
    analysis: DetectorAnalysis
    header: object
    pixel_values: np.ndarray

    def without_images(self):
        """
        Drop what is large.

        Returns
        -------
        DetectorOutcome
            The same without images.
        """
        analysis = replace(self.analysis, dq=None, cleaned=None, background=None)
        return replace(self, analysis=analysis)


def process_detector(task):
    """
    Read a detector and its companions, and analyse it.

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
        A file cannot be read, or does not fit the detector.
    """
    image = task.exposure.read(task.detector)
    analysis = analyse_detector(_frame(task, image), options=task.options)
    index = analysis.clusters.index
    values = image.data.ravel()[index] - analysis.background.ravel()[index]
    analysis = replace(analysis, clusters=replace(analysis.clusters, labels=None))
    if not task.keep_background:
        analysis = replace(analysis, background=None)
    return DetectorOutcome(task.detector, analysis, image.header, values)


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
        master_dark=read("master_dark"),
        truth=None if truth is None else truth != 0,
    )
