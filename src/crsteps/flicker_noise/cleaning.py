"""Estimate the flicker noise of images whose scene is masked, and remove it from ramps."""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import uniform_filter

from crsteps.flicker_noise.background import smooth_sky
from crsteps.flicker_noise.process import FlickerProcess
from crsteps.flicker_noise.spectrum import FlickerSpectrum, measure_spectrum
from crsteps.flicker_noise.streams import from_streams, to_streams

# Least part of the pixels that must show background.
LEAST_BACKGROUND = 0.01
# Pixels from which the noise of a pixel is measured.
_NOISE_SAMPLE = 200_000
# Draws of the error and side in pixels of the area it is averaged over: the variance is then good
# to a few per cent.
_ERROR_DRAWS, _ERROR_SCALE = 2, 65


@dataclass(frozen=True)
class CleaningOptions:
    """
    Options of `estimate_flicker` and `clean_ramp`.

    Attributes
    ----------
    sky_passes : int
        How often smooth sky and noise are estimated in turn.
    sky_box : int
        Scale in pixels below which the sky is taken to be smooth.
    alternating_columns : bool
        Whether to estimate alternating column noise too.
    tolerance : float
        Residual at which the iteration of an estimate ends.
    """

    sky_passes: int = 2
    sky_box: int = 48
    alternating_columns: bool = True
    tolerance: float = 1e-3


@dataclass(frozen=True)
class FlickerEstimate:
    """
    Flicker noise of images that share their scene.

    Attributes
    ----------
    noise : ndarray of float32, shape (n, ny, nx)
        Estimated noise of each image, data units.
    sky : ndarray of float32, shape (ny, nx)
        Smooth sky common to the images; it is no part of the noise.
    spectrum : FlickerSpectrum
        Spectrum of the noise of an image.
    alternating_spectrum : FlickerSpectrum or None
        Spectrum of its alternating column noise.
    white_noise : float
        Standard deviation of the white noise of a background pixel of an image.
    error_variance : ndarray of float32, shape (ny, nx)
        Variance of the error of the estimated noise of one image, data units squared: larger
        where much is masked.
    """

    noise: np.ndarray
    sky: np.ndarray
    spectrum: FlickerSpectrum
    alternating_spectrum: FlickerSpectrum | None
    white_noise: float
    error_variance: np.ndarray


def clean_ramp(ramp, *, flagged, background_mask, readout, sky=None, spectrum=None, options=None):
    """
    Remove flicker noise from a ramp.

    Parameters
    ----------
    ramp : ndarray, shape (n_groups, ny, nx)
        Ramp of one integration, any unit; not modified.
    flagged : ndarray of bool, shape (n_groups, ny, nx)
        Reads that are not to be trusted: jumps, saturation, no data. Both differences that such a
        read belongs to are left out of the estimate, and cleaned all the same.
    background_mask : ndarray of bool, shape (ny, nx)
        True where a pixel shows background only (the convention of the standard step).
    readout : crsteps.detector.readout.Readout
        Clocking.
    sky : ndarray, shape (ny, nx), optional
        Smooth sky in a difference of groups, as known from many integrations; estimated together
        with the noise when not given.
    spectrum : FlickerSpectrum, optional
        Spectrum of the noise of a difference of groups; measured when not given.
    options : CleaningOptions, optional
        Options.

    Returns
    -------
    data : ndarray of float32, shape (n_groups, ny, nx)
        Cleaned ramp; the first group is as it was.
    estimate : FlickerEstimate
        Noise of the differences of groups.

    Raises
    ------
    ValueError
        Fewer than two groups, or too few pixels that show background.
    """
    ramp = np.asarray(ramp, dtype=np.float32)
    if len(ramp) < 2:
        raise ValueError("a ramp of one group has no differences to clean")
    estimate = estimate_flicker(
        np.diff(ramp, axis=0),
        background_mask=background_mask & ~flagged[:-1] & ~flagged[1:],
        readout=readout,
        sky=sky,
        spectrum=spectrum,
        options=options,
    )
    data = ramp.copy()
    data[1:] -= np.cumsum(estimate.noise, axis=0)
    return data, estimate


def estimate_flicker(images, *, background_mask, readout, sky=None, spectrum=None, options=None):
    """
    Estimate the flicker noise of images that share their scene.

    Parameters
    ----------
    images : ndarray of float32, shape (n, ny, nx)
        Differences of groups, or rate images of integrations.
    background_mask : ndarray of bool, shape (n, ny, nx) or (ny, nx)
        True where a pixel shows background only; NaN pixels are left out.
    readout : crsteps.detector.readout.Readout
        Clocking.
    sky : ndarray, shape (ny, nx), optional
        Smooth sky; estimated together with the noise when not given.
    spectrum : FlickerSpectrum, optional
        Spectrum of the noise; measured from the images when not given.
    options : CleaningOptions, optional
        Options.

    Returns
    -------
    FlickerEstimate

    Raises
    ------
    ValueError
        Too few pixels that show background.
    """
    options = options or CleaningOptions()
    used = np.broadcast_to(background_mask, images.shape) & np.isfinite(images)
    if used.mean() < LEAST_BACKGROUND:
        raise ValueError(f"only {100 * used.mean():.2g} % of the pixels show background")
    noise = np.zeros(images.shape, dtype=np.float32)
    # White noise and error are those of the image with the most background.
    best = int(np.argmax(used.sum(axis=(1, 2))))
    given_sky, given = sky, spectrum
    for _ in range(options.sky_passes if sky is None else 1):
        if given_sky is None:
            sky = _mean_sky(images, noise, used, options.sky_box)
        streams = _streams(images, sky, used, readout)
        spectrum = given or measure_spectrum(streams)
        total = _pixel_variance(images[best] - sky, used[best])
        # White noise is what the correlated part leaves; never nothing.
        white = max(total - float(np.mean(spectrum.variance)), 0.3 * total)
        process = FlickerProcess.from_spectrum(spectrum, streams[0].values.shape[1])
        noise = _estimates(process, streams, white, readout, options.tolerance)
    error = _error_variance(process, streams[best], white, readout)
    alternating = None
    if options.alternating_columns:
        streams = _streams(images - noise, sky, used, readout, alternating=True)
        # The two halves of an amplifier belong to one output: nothing is common.
        alternating = measure_spectrum(streams, common=False)
        process = FlickerProcess.from_spectrum(alternating, streams[0].values.shape[1])
        noise += _estimates(process, streams, white, readout, options.tolerance, alternating=True)
    return FlickerEstimate(noise, sky, spectrum, alternating, float(np.sqrt(white)), error)


def _mean_sky(images, noise, used, box):
    """Smooth sky of the mean of the usable pixels; an image without any does not matter."""
    total = np.zeros(images.shape[1:], dtype=np.float32)
    for image, own, mask in zip(images, noise, used, strict=True):
        np.add(total, image - own, out=total, where=mask)
    count = used.sum(axis=0)
    return smooth_sky(total / np.maximum(count, 1), count > 0, box=box)


def _streams(images, sky, used, readout, *, alternating=False):
    """Streams of all images, weighted with the number of pixels."""
    return [
        to_streams(image - sky, mask.astype(np.float32), readout, alternating=alternating)
        for image, mask in zip(images, used, strict=True)
    ]


def _pixel_variance(image, used):
    """Robust variance of a background pixel, from a sample of the pixels."""
    residual = image[used]
    residual = residual[:: max(1, residual.size // _NOISE_SAMPLE)]
    return float((1.4826 * np.median(np.abs(residual - np.median(residual)))) ** 2)


def _estimates(process, streams, white, readout, tolerance, *, alternating=False):
    """Noise of each image from its stream."""
    return np.array(
        [
            from_streams(
                process.estimate(
                    stream.values, stream.weights / np.float32(white), tolerance=tolerance
                ),
                readout,
                alternating=alternating,
            )
            for stream in streams
        ]
    )


def _error_variance(process, stream, white, readout):
    """
    Variance of the error of an estimate, from drawn errors smoothed over an area.

    The draws have a fixed seed: the same data give the same variance.
    """
    rng = np.random.default_rng(20260101)
    weights = stream.weights / np.float32(white)
    squares = [
        from_streams(process.sample_error(weights, rng), readout) ** 2 for _ in range(_ERROR_DRAWS)
    ]
    return uniform_filter(np.mean(squares, axis=0), _ERROR_SCALE, mode="nearest")
