"""Fit of one detector, in a process of its own or not: imports neither jwst nor Matplotlib."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from crsteps.detector.nisp import output_channel
from crsteps.persistence.dark_series import DarkTimes
from crsteps.persistence.fit import FitOptions, fit_dark_series
from crsteps.persistence.fit_curve import curve_of_levels, measure_levels, pixel_maps
from crsteps.persistence.fit_examples import choose_examples, make_examples
from crsteps.persistence.fit_illumination_step import Illumination
from crsteps.persistence.fit_report import DetectorReport, report_detector
from crsteps.persistence.held_out import check_series
from crsteps.persistence.stimulus import ConstantCurve

__all__ = ["FitOutcome", "FitTask", "fit_detector", "full_image"]

MAPS = ("amplitude_scale", "gamma_offset", "variance_amplitude", "variance_gamma", "cross")
"""Images of the reference."""

IMAGES = {
    "AMPLITUDE": "electron / s",
    "AMPLITUDE_ERR": "electron / s",
    "GAMMA": "",
    "GAMMA_ERR": "",
    "DARK": "electron / s",
    "CHI2": "",
    "NPOINTS": "",
    "QUALITY": "",
}
"""Images of the fit, by name of their extension, and their units."""

# Companions, and where they allow a pixel to be fitted.
_USABLE = {
    "bad_pixel_mask": lambda image: image == 0,
    "master_dark": np.isfinite,
    "noise_map": lambda image: np.isfinite(image) & (image > 0),
}

# Of a difference of three darks: standard deviations of a hit, and shares in its variance.
_HIT = 4.0
_WEIGHTS = (1 / 6, 2 / 3, 1 / 6)


@dataclass(frozen=True)
class FitTask:
    """
    What a process has to know to fit a detector.

    Attributes
    ----------
    detector : str
        Name of the detector.
    shape : tuple of int
        Shape (ny, nx) of its images.
    darks : tuple of SeriesDark
        The series.
    times : DarkTimes
        When its darks were taken.
    illumination : Illumination
        What they follow.
    options : FitOptions
        Options of the fit.
    gain, offset : float
        Electrons per unit of the data, and value of the data without signal.
    noise : float or None
        Noise of a dark in e-, without photons; None to measure it.
    master_dark_error : float
        Error of the master dark in e-/s.
    n_held_out : int
        Last darks that are predicted by a fit of the others.
    n_outputs : int
        Outputs that share the columns; 0 for one slope of faint pixels on the whole detector.
    max_quality : float or None
        Quality factor above which a pixel of a dark counts as hit.
    limits : tuple of float
        Smallest and largest charge of the illumination in e- that tells the curve.
    companions : dict
        Images that go with the detector: ``bad_pixel_mask``, ``master_dark``, ``noise_map``.
    folder : Path or None
        Where to leave images; None to leave none.
    figures : dict of Path
        Figures of the detector, ``maps``, ``decay`` and ``held_out``; none if empty.
    """

    detector: str
    shape: tuple
    darks: tuple
    times: DarkTimes
    illumination: Illumination
    options: FitOptions
    gain: float
    offset: float
    noise: float | None = None
    master_dark_error: float = 0.0
    n_held_out: int = 2
    n_outputs: int = 0
    max_quality: float | None = None
    limits: tuple = (0.0, np.inf)
    companions: dict = field(default_factory=dict)
    folder: Path | None = None
    figures: dict = field(default_factory=dict)

    @property
    def fewest(self):
        """Fewest darks of a pixel that is fitted, which is the number of its parameters and one."""
        return 3 if "master_dark" in self.companions else 4

    def companion(self, name):
        """Read the image of a companion; None without it."""
        stored = self.companions.get(name)
        if stored is None:
            return None
        with stored.open() as stream:
            return stored.values(stream)

    def path(self, name):
        """Where an image is left."""
        return self.folder / f"{self.detector}_{name}.npy"


@dataclass(frozen=True)
class FitOutcome:
    """
    Result for a detector; its images have been left in the folder of the task.

    Attributes
    ----------
    task : FitTask
        What was asked for.
    report : DetectorReport
        What was found.
    curve : dict or None
        Curve of the reference with its kind and numbers; None if nothing was fitted.
    reference_time : float
        Time in s to which its amplitudes belong.
    """

    task: FitTask
    report: DetectorReport
    curve: dict | None = None
    reference_time: float = 1000.0

    @property
    def detector(self):
        """Name of the detector."""
        return self.task.detector


def fit_detector(task: FitTask):
    """
    Read the darks of a detector, fit them, and draw the fit if that is wanted.

    Parameters
    ----------
    task : FitTask
        Detector and parameters.

    Returns
    -------
    FitOutcome

    Raises
    ------
    CrstepsInputError
        A file can no longer be read, or has values that are none.
    """
    darks, pixels = _read_darks(task)
    if not pixels.size:
        return _skipped(task, f"no pixel has {task.fewest} usable darks")
    noise = _noise(task, darks, pixels)
    if not np.all(noise > 0):
        return _skipped(task, "the noise of its darks is 0; set noise")
    master = _master_dark(task, pixels)
    channels = None
    if task.n_outputs:
        width = task.shape[1]
        channels = output_channel(pixels % width, width=width, n_outputs=task.n_outputs)
    variance = np.square(noise, dtype=np.float32)
    common = {
        "channels": channels,
        "master_dark": master,
        "master_dark_error": task.master_dark_error,
        "options": task.options,
    }
    fit = _fit(darks, task.times, variance=variance, **common)
    fluence = task.illumination.fluence(
        task.detector, shape=task.shape, gain=task.gain, offset=task.offset
    )
    if fluence is not None:
        fluence = fluence.ravel()[pixels][np.newaxis]
    levels = measure_levels(fit, fluence, limits=task.limits)
    if not levels:
        return _skipped(task, "no pixel was fitted whose illumination is known and within limits")
    check = check_series(darks, task.times, n_held_out=task.n_held_out, variance=variance, **common)
    curve = curve_of_levels(levels, reference_time=fit.reference_time)
    report = report_detector(
        task.detector,
        fit,
        noise=float(np.median(noise)),
        freedom=task.fewest - 1,
        levels=levels,
        check=check,
    )
    _leave_images(task, fit, pixel_maps(fit, curve, fluence), pixels)
    if task.figures:
        _draw(task, fit, darks, pixels, variance, report)
    return FitOutcome(task, _without_pixels(report), _curve_entry(curve), fit.reference_time)


def _fit(darks, times, *, variance, channels, master_dark, **options):
    """Fit of pixels in a row, as an image of one row."""
    series = darks[:, np.newaxis]
    return fit_dark_series(
        series,
        times,
        variance=np.broadcast_to(variance, series.shape) if variance.ndim else variance,
        channels=None if channels is None else channels[np.newaxis],
        master_dark=None if master_dark is None else master_dark[np.newaxis],
        **options,
    )


def _skipped(task, reason):
    return FitOutcome(task, DetectorReport({"detector": task.detector, "reason": reason}))


def _read_darks(task):
    """Signals in e- of the pixels that have enough of them, and their flat indices."""
    n_pixels = task.shape[0] * task.shape[1]
    darks = np.empty((len(task.darks), n_pixels), np.float32)
    number = np.zeros(n_pixels, np.int16)
    for signals, dark in zip(darks, task.darks, strict=True):
        image = dark.read(task.detector, max_quality=task.max_quality).ravel()
        # differences of groups have no offset
        offset = task.offset if dark.layout == "image" else 0.0
        np.multiply(image - np.float32(offset), np.float32(task.gain), out=signals)
        number += np.isfinite(signals)
    enough = number >= task.fewest
    for name in _USABLE:
        image = task.companion(name)
        if image is not None:
            enough &= _USABLE[name](image).ravel()
    pixels = np.flatnonzero(enough)
    if pixels.size == n_pixels:
        return darks, pixels
    for signals in darks:  # in place: there is no room for a second series
        signals[: pixels.size] = signals[pixels]
    return darks[:, : pixels.size], pixels


def _noise(task, darks, pixels):
    """Noise of a dark in e- without that of photons: given, of each pixel, or measured."""
    image = task.companion("noise_map")
    if image is not None:
        return image.ravel()[pixels] * np.float32(task.gain)
    if task.noise is not None:
        return np.float32(task.noise)
    first, middle, last = darks[-3:]
    # free of any level, and of a decay that is steady over three darks
    difference = (first - 2 * middle + last) / np.sqrt(6)
    known = np.isfinite(difference)
    if not known.any():
        return np.float32(0)
    distance = np.abs(difference - np.median(difference[known]))
    # hits are cut off; the median alone would be as coarse as the numbers are
    kept = distance < _HIT * 1.4826 * np.median(distance[known])
    if not kept.any():
        return np.float32(0)
    spread2 = np.mean(distance[kept] ** 2, dtype=np.float64)
    signal = sum(
        dark[kept].mean(dtype=np.float64) * w for dark, w in zip(darks[-3:], _WEIGHTS, strict=True)
    )
    photons = task.options.photon_noise * max(signal, 0.0)
    return np.float32(np.sqrt(max(spread2 - photons, 0.25 * spread2)))


def _master_dark(task, pixels):
    """Dark level of the pixels in e-/s; None without a master dark."""
    image = task.companion("master_dark")
    if image is None:
        return None
    values = image.ravel()[pixels]
    layout = task.darks[0].layout
    if layout in ("rate", "rateints"):
        return values * np.float32(task.gain)
    # one that was made of raw images has their offset
    offset = task.offset if layout == "image" and np.median(values) > task.offset / 2 else 0.0
    exposure = float(np.median(task.times.integration_times))
    return (values - np.float32(offset)) * np.float32(task.gain / exposure)


def full_image(values, pixels, shape, missing=np.nan):
    """
    Put the values of pixels where they belong.

    Parameters
    ----------
    values : ndarray
        Values, of as many numbers as there are pixels.
    pixels : ndarray of int
        Their flat indices.
    shape : tuple of int
        Shape (ny, nx) of the image.
    missing : float, optional
        Value of the other pixels.

    Returns
    -------
    ndarray, shape (ny, nx)
        The image, of the type of the values.
    """
    image = np.full(shape, missing, values.dtype)
    image.ravel()[pixels] = values.ravel()
    return image


def _leave_images(task, fit, maps, pixels):
    """Write the images of the reference and of the fit into the folder of the task."""
    if task.folder is None:
        return
    errors = np.sqrt(np.maximum(fit.covariance[[0, 2]], 0))
    images = {name: getattr(maps, name) for name in MAPS}
    images |= {
        "AMPLITUDE": fit.amplitude,
        "AMPLITUDE_ERR": errors[0],
        "GAMMA": fit.gamma,
        "GAMMA_ERR": errors[1],
        "DARK": fit.dark_rate,
        "CHI2": fit.chi2,
    }
    for name, values in images.items():
        np.save(task.path(name), full_image(values, pixels, task.shape))
    for name, values, missing in (("NPOINTS", fit.n_points, 0), ("QUALITY", fit.quality, 1)):
        np.save(task.path(name), full_image(values, pixels, task.shape, missing))


def _curve_entry(curve):
    """Curve as `write_persistence` takes it."""
    if isinstance(curve, ConstantCurve):
        return {"kind": "constant", "amplitude": curve.amplitude, "gamma": curve.gamma}
    return {
        "kind": "table",
        "fluence": curve.fluence,
        "amplitude": curve.amplitude,
        "gamma": curve.gamma,
    }


def _without_pixels(report):
    """Report that can be sent to another process at little cost."""
    if report.check is None:
        return report
    empty = dict.fromkeys(("before", "after", "predicted", "sigma"), np.zeros((0, 0), np.float32))
    return replace(report, check=replace(report.check, **empty))


def _draw(task, fit, darks, pixels, variance, report):
    from crsteps.persistence.fit_figures import plot_decay_curves, plot_fit_maps, plot_held_out

    title = f"{task.detector}, {task.times.n_darks} darks after {task.illumination.name}"
    amplitude, gamma = (
        full_image(values, pixels, task.shape) for values in (fit.amplitude, fit.gamma)
    )
    significance = full_image(fit.amplitude / np.sqrt(fit.covariance[0]), pixels, task.shape)
    plot_fit_maps(
        task.figures["maps"],
        amplitude=amplitude,
        gamma=gamma,
        significance=significance,
        chi2=fit.chi2 / np.maximum(fit.n_points - task.fewest + 1, 1),
        levels=report.levels,
        reference_time=fit.reference_time,
        title=title,
    )
    chosen = choose_examples(fit)
    width = task.shape[1]
    names = [f"x = {pixels[i] % width}, y = {pixels[i] // width}" for i in chosen]
    examples = make_examples(fit, task.times, darks, chosen, variance=variance, names=names)
    plot_decay_curves(task.figures["decay"], examples, title=title)
    if report.check is not None:
        exposure = task.times.integration_times[report.check.is_held_out]
        plot_held_out(task.figures["held_out"], report.check, exposure=exposure, title=title)
