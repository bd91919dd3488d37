"""Fit of one detector, in a process of its own or not: imports neither jwst nor Matplotlib."""

from dataclasses import dataclass, replace

import numpy as np

from crsteps.detector.nisp import output_channel
from crsteps.persistence.fit import fit_dark_series
from crsteps.persistence.fit_curve import curve_of_levels, measure_levels, pixel_maps
from crsteps.persistence.fit_examples import choose_examples, make_examples
from crsteps.persistence.fit_report import DetectorReport, report_detector
from crsteps.persistence.fit_task_step import USABLE, FitTask
from crsteps.persistence.held_out import check_series
from crsteps.persistence.stimulus import ConstantCurve

__all__ = ["IMAGES", "MAPS", "FitOutcome", "fit_detector"]

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

# Of a difference of three darks: standard deviations of a hit, and shares in its variance.
_HIT = 4.0
_WEIGHTS = (1 / 6, 2 / 3, 1 / 6)


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


@dataclass(frozen=True)
class _Pixels:
    """
    Pixels of a detector that are fitted, in a row, and what `fit_dark_series` wants of them.

    ``index`` is their flat index on the detector; darks are in e-, the variance is that of a dark
    without photons in squared e-, a number or one for each pixel.
    """

    index: np.ndarray
    darks: np.ndarray
    variance: np.ndarray
    channels: np.ndarray | None
    master_dark: np.ndarray | None


class _UnfitError(Exception):
    """Why a detector cannot be fitted."""


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
    try:
        pixels = _read_pixels(task)
        fit = _fit(task, pixels)
        fluence = _fluence(task, pixels)
        levels = measure_levels(fit, fluence, limits=task.limits)
        if not levels:
            raise _UnfitError("no pixel was fitted whose illumination is known and within limits")
    except _UnfitError as error:
        report = DetectorReport({"detector": task.detector, "reason": str(error)})
        return FitOutcome(task, report)
    report = report_detector(
        task.detector,
        fit,
        noise=float(np.sqrt(np.median(pixels.variance))),
        freedom=task.fewest - 1,
        levels=levels,
        check=_check(task, pixels),
    )
    curve = curve_of_levels(levels, reference_time=fit.reference_time)
    _leave_images(task, fit, pixel_maps(fit, curve, fluence), pixels.index)
    if task.figures:
        _draw(task, fit, pixels, report)
    return FitOutcome(task, _without_pixels(report), _curve_entry(curve), fit.reference_time)


def _read_pixels(task):
    """Pixels that have enough darks, with their noise."""
    darks, index = _read_darks(task)
    if not index.size:
        raise _UnfitError(f"no pixel has {task.fewest} usable darks")
    noise = _noise(task, darks, index)
    if not np.all(noise > 0):
        raise _UnfitError("the noise of its darks is 0; set noise")
    channels = None
    if task.n_outputs:
        width = task.shape[1]
        channels = output_channel(index % width, width=width, n_outputs=task.n_outputs)
    variance = np.square(noise, dtype=np.float32)
    return _Pixels(index, darks, variance, channels, _master_dark(task, index))


def _fit(task, pixels):
    """Fit of pixels in a row, as an image of one row."""
    series = pixels.darks[:, np.newaxis]
    rows = {
        name: None if getattr(pixels, name) is None else getattr(pixels, name)[np.newaxis]
        for name in ("channels", "master_dark")
    }
    variance = pixels.variance
    return fit_dark_series(
        series,
        task.times,
        variance=np.broadcast_to(variance, series.shape) if variance.ndim else variance,
        master_dark_error=task.level_error,
        options=task.options,
        **rows,
    )


def _check(task, pixels):
    """Prediction of the last darks by a fit of the others."""
    return check_series(
        pixels.darks,
        task.times,
        n_held_out=task.n_held_out,
        variance=pixels.variance,
        channels=pixels.channels,
        master_dark=pixels.master_dark,
        master_dark_error=task.level_error,
        options=task.options,
    )


def _fluence(task, pixels):
    """Charge that the illumination left, as an image of one row; None if it is not known."""
    fluence = task.illumination.fluence(
        task.detector, shape=task.shape, gain=task.gain, offset=task.offset
    )
    return None if fluence is None else fluence.ravel()[pixels.index][np.newaxis]


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
    for name, is_usable in USABLE.items():
        image = task.companion(name)
        if image is not None:
            enough &= is_usable(image).ravel()
    pixels = np.flatnonzero(enough)
    if pixels.size < n_pixels:
        for signals in darks:  # in place: there is no room for a second series
            signals[: pixels.size] = signals[pixels]
    return darks[:, : pixels.size], pixels


def _noise(task, darks, pixels):
    """Noise of a dark in e- without that of photons: given, of each pixel, or measured."""
    image = task.companion("noise_map")
    if image is not None:
        scale = task.gain * (task.exposure if task.has_rates else 1)
        return image.ravel()[pixels] * np.float32(scale)
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
    if task.has_rates:
        return values * np.float32(task.gain)
    # one that was made of raw images has their offset
    is_raw = task.darks[0].layout == "image" and np.median(values) > task.offset / 2
    offset = task.offset if is_raw else 0.0
    return (values - np.float32(offset)) * np.float32(task.gain / task.exposure)


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


def _draw(task, fit, pixels, report):
    from crsteps.persistence.fit_figures import plot_decay_curves, plot_fit_maps
    from crsteps.persistence.held_out_figures import plot_held_out

    title = f"{task.detector}, {task.times.n_darks} darks after {task.illumination.name}"
    significance = fit.amplitude / np.sqrt(fit.covariance[0])
    amplitude, gamma, significance = (
        full_image(values, pixels.index, task.shape)
        for values in (fit.amplitude, fit.gamma, significance)
    )
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
    rows, columns = np.divmod(pixels.index[chosen], task.shape[1])
    names = [f"x = {x}, y = {y}" for y, x in zip(rows, columns, strict=True)]
    examples = make_examples(
        fit, task.times, pixels.darks, chosen, variance=pixels.variance, names=names
    )
    plot_decay_curves(task.figures["decay"], examples, title=title)
    if report.check is not None:
        exposure = task.times.integration_times[report.check.is_held_out]
        plot_held_out(task.figures["held_out"], report.check, exposure=exposure, title=title)
