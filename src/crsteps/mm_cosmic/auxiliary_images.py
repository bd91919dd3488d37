"""Detectors of single images run on the median, the mean and each of several equal exposures."""

from dataclasses import dataclass, field, replace
from functools import reduce

import numpy as np

from crsteps.cosmic_rays.auxiliary import AuxiliaryDetection, detect_auxiliary


@dataclass(frozen=True)
class AuxiliaryImages:
    """
    What the detectors found.

    The masks of several detectors are joined; the cleaned image, significance and probability are
    those of the first one that has them. Cleaned images are in the units of the exposures.

    Attributes
    ----------
    methods : tuple of str
        Names of the detectors.
    median : crsteps.cosmic_rays.auxiliary.AuxiliaryDetection
        In the median of the exposures.
    mean : crsteps.cosmic_rays.auxiliary.AuxiliaryDetection or None
        In their mean; None where it was not wanted.
    exposures : tuple of crsteps.cosmic_rays.auxiliary.AuxiliaryDetection
        In each exposure.
    """

    methods: tuple[str, ...]
    median: AuxiliaryDetection
    mean: AuxiliaryDetection | None
    exposures: tuple[AuxiliaryDetection, ...]


@dataclass(frozen=True)
class DetectionTask:
    """
    What a process has to know to clean an image.

    Attributes
    ----------
    label : str
        What the image is, for messages.
    image : ndarray of float32, shape (ny, nx)
        Image, bias subtracted.
    missing : ndarray of bool or None
        Pixels without data.
    read_variance, poisson_factor : float or ndarray
        Noise, see `crsteps.cosmic_rays.auxiliary.detect_auxiliary`.
    methods : tuple of str
        Names of the detectors.
    options : dict
        Options of each of them by its name.
    """

    label: str
    image: np.ndarray
    missing: np.ndarray | None
    read_variance: np.ndarray | float
    poisson_factor: np.ndarray | float
    methods: tuple[str, ...]
    options: dict = field(default_factory=dict)


def detect_in_image(task):
    """
    Run the detectors on one image.

    Parameters
    ----------
    task : DetectionTask
        Image and detectors.

    Returns
    -------
    crsteps.cosmic_rays.auxiliary.AuxiliaryDetection
        Their joined masks.
    """
    found = [
        detect_auxiliary(
            method,
            task.image,
            read_variance=task.read_variance,
            poisson_factor=task.poisson_factor,
            missing=task.missing,
            options=task.options.get(method),
        )
        for method in task.methods
    ]
    return reduce(_join, found)


def _join(first, other):
    """Join two detections in one image; the first has the word where both have an image."""
    mine = {
        name: getattr(first, name)
        for name in ("cleaned", "significance", "probability")
        if getattr(first, name) is not None
    }
    return replace(other, mask=first.mask | other.mask, **mine)
