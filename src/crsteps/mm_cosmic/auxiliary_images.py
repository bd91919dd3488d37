"""Detectors of single images run on the median, the mean and each of several equal exposures."""

from dataclasses import dataclass, field, replace
from functools import reduce

import numpy as np

from crsteps.cosmic_rays.auxiliary import AuxiliaryDetection, detect_auxiliary, options_class
from crsteps.detector.noise import ExposureNoise
from crsteps.mm_cosmic.blocks import ExposureReader

# Pixels of all images from which processes of their own pay: starting one costs what a detector
# needs for about a million.
_WORTH_PROCESSES = 4_000_000
_IMAGES = ("cleaned", "significance", "probability", "error")


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
    keep : tuple of str
        Images of the result that are wanted beside the mask.
    """

    label: str
    image: np.ndarray
    missing: np.ndarray | None
    read_variance: np.ndarray | float
    poisson_factor: np.ndarray | float
    methods: tuple[str, ...]
    options: dict = field(default_factory=dict)
    keep: tuple[str, ...] = _IMAGES


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
    found = reduce(_join, found)
    return replace(found, **dict.fromkeys(set(_IMAGES) - set(task.keep)))


def _join(first, other):
    """Join two detections in one image; the first has the word where both have an image."""
    mine = {name: getattr(first, name) for name in _IMAGES}
    mine = {name: image for name, image in mine.items() if image is not None}
    return replace(other, mask=first.mask | other.mask, **mine)


def find_in_images(reader, median, *, methods, options=None, mean=None, keep=(), map_tasks=map):
    """
    Run detectors of single images on the median, each exposure and perhaps the mean, once each.

    The median and the mean get the noise of one exposure, as numina-crmasks does: what stands out
    of it stands out of their own noise for sure.

    Parameters
    ----------
    reader : crsteps.mm_cosmic.blocks.ExposureReader
        Exposures.
    median : ndarray of float32, shape (ny, nx)
        Their median; NaN is missing.
    methods : sequence of str
        Names of the detectors.
    options : dict, optional
        Options of each of them by its name; ``gain_apply`` of L.A.Cosmic does not act, for cleaned
        images are in the units of the exposures.
    mean : ndarray of float32, shape (ny, nx), optional
        Mean of the exposures, if it is to be searched.
    keep : sequence of str, optional
        Images wanted of single exposures beside their masks: all those of the median are kept.
    map_tasks : callable, optional
        Like `map`: calls a function on tasks, in processes of their own perhaps. It is not used
        for small images.

    Returns
    -------
    AuxiliaryImages
    """
    options = dict(options or {})
    if "lacosmic" in methods:
        own = options.get("lacosmic") or options_class("lacosmic")()
        options["lacosmic"] = replace(own, gain_apply=False)
    common = {"methods": tuple(methods), "options": options}
    tasks = [
        DetectionTask(label, image, None, *_typical_noise(reader), keep=images, **common)
        for label, image, images in (("median", median, _IMAGES), ("mean", mean, ()))
        if image is not None
    ]
    tasks += [_task(reader, i, keep=tuple(keep), **common) for i in range(len(reader))]
    if len(tasks) * median.size < _WORTH_PROCESSES:
        map_tasks = map
    found = list(map_tasks(detect_in_image, tasks))
    n_first = len(found) - len(reader)
    return AuxiliaryImages(
        methods=tuple(methods),
        median=found[0],
        mean=found[1] if n_first == 2 else None,
        exposures=tuple(found[n_first:]),
    )


def detect_in_combination(reader, image, *, methods, options=None):
    """
    Run detectors of single images on a combination of exposures.

    Parameters
    ----------
    reader : crsteps.mm_cosmic.blocks.ExposureReader
        Exposures.
    image : ndarray of float32, shape (ny, nx)
        Combined image; NaN is missing.
    methods, options
        As for `find_in_images`.

    Returns
    -------
    crsteps.cosmic_rays.auxiliary.AuxiliaryDetection
        Mask alone.
    """
    noise = _typical_noise(reader)
    return detect_in_image(
        DetectionTask("combination", image, None, *noise, tuple(methods), options or {}, ())
    )


def _task(reader, i, **others):
    """Give the task of one exposure."""
    noise = ExposureNoise(
        *(
            values[i : i + 1] if values.shape[0] > 1 else values
            for values in (reader.noise.read_variance, reader.noise.poisson_factor)
        )
    )
    missing = None if reader.missing is None else [reader.missing[i]]
    stack, noise = ExposureReader([reader.exposures[i]], noise, missing).block(slice(None))
    return DetectionTask(
        f"exposure {i + 1}",
        stack[0],
        None,
        _plain(noise.read_variance),
        _plain(noise.poisson_factor),
        **others,
    )


def _typical_noise(reader):
    """Noise of one exposure: the mean one of all that are known."""
    return tuple(
        _plain(_known_mean(values, smallest))
        for values, smallest in (
            (reader.noise.read_variance, np.finfo(np.float32).tiny),
            (reader.noise.poisson_factor, 0),
        )
    )


def _known_mean(values, smallest):
    """Mean over the exposures; where none is known, in pixels without data, that of the others."""
    if values.shape[0] == 1 and values.shape[1:] == (1, 1):
        return values
    known = np.isfinite(values) & (values >= smallest)
    number = known.sum(axis=0, keepdims=True)
    mean = np.where(known, values, 0).sum(axis=0, keepdims=True) / np.maximum(number, 1)
    return np.where(number > 0, mean, np.median(mean[number > 0]) if number.any() else 1)


def _plain(values):
    """A number where all pixels share it, else an image."""
    return float(values[0, 0, 0]) if values.shape[1:] == (1, 1) else values[0]
