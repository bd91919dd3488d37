"""Estimate the flicker noise of images whose scene is masked, and remove it from ramps."""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import uniform_filter

from crsteps.flicker_noise.background import smooth_sky
from crsteps.flicker_noise.process import FlickerProcess
from crsteps.flicker_noise.sky_fit import SkyFit
from crsteps.flicker_noise.slope import line_weights
from crsteps.flicker_noise.spectrum import FlickerSpectrum, measure_spectrum
from crsteps.flicker_noise.streams import (
    BIN_TICKS,
    bin_ratio,
    coarser,
    from_paired_streams,
    from_streams,
    to_paired_streams,
    to_streams,
)

# Least part of the pixels that must show background.
LEAST_BACKGROUND = 0.01
# Pixels from which the noise of a pixel is measured.
_NOISE_SAMPLE = 200_000
# Ticks in a bin of the estimate, which shorter ones would improve by a per cent, and of that of
# alternating columns, which has little power and only at low frequencies.
_ESTIMATE_TICKS, _ALTERNATING_TICKS = 2, 16
_FACTOR = BIN_TICKS // _ESTIMATE_TICKS
# Ticks in a bin of the draw of the error, and side in pixels of the area it is averaged over: the
# variance is then good to a few per cent.
_ERROR_TICKS, _ERROR_SCALE = 4, 97


@dataclass(frozen=True)
class CleaningOptions:
    """
    Options of `estimate_flicker` and `clean_ramp`.

    Attributes
    ----------
    sky_passes : int
        Passes over the image in which smooth sky and noise are told from each other; with one,
        the sky does not know of the noise.
    sky_box : int
        Scale in pixels below which the sky is taken to be smooth.
    alternating_columns : bool
        Whether to estimate alternating column noise too.
    tolerance : float
        Residual at which the iteration of an estimate ends.
    """

    sky_passes: int = 9
    sky_box: int = 48
    alternating_columns: bool = True
    tolerance: float = 1e-2


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
        consecutive=True,
        options=options,
    )
    data = ramp.copy()
    data[1:] -= np.cumsum(estimate.noise, axis=0)
    return data, estimate


def estimate_flicker(
    images,
    *,
    background_mask,
    readout,
    sky=None,
    spectrum=None,
    consecutive=False,
    options=None,
):
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
    consecutive : bool, optional
        Whether the images are differences of groups that follow each other, whose noise is
        anticorrelated between neighbours.
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
    finite = np.isfinite(images)
    used = background_mask & finite
    if not finite.all():
        images = np.where(finite, images, np.float32(0))
    number = [np.count_nonzero(mask) for mask in used]
    share = sum(number) / used.size
    if share < LEAST_BACKGROUND:
        raise ValueError(f"only {100 * share:.2g} % of the pixels show background")
    pairs = [
        to_paired_streams(image, mask, readout, bin_ticks=_ESTIMATE_TICKS)
        for image, mask in zip(images, used, strict=True)
    ]
    if sky is None:
        sky = _sky_behind(images, used, pairs[0], readout, spectrum, consecutive, options)
    level = _level(sky, readout)
    streams = [pair.less(level) for pair in pairs]
    spectrum = spectrum or _measured(streams)
    # White noise and error are those of the image with the most background.
    best = int(np.argmax(number))
    white = _white_variance(images[best], sky, used[best], spectrum)
    short = spectrum.in_bins(bin_ratio(readout, _ESTIMATE_TICKS))
    process = FlickerProcess.from_spectrum(short, level.shape[-1])
    fast = [_estimate(process, stream, white, options.tolerance) for stream in streams]
    alternating, noise = None, np.empty(images.shape, np.float32)
    if options.alternating_columns:
        rest = [pair.alternating_less(level + own) for pair, own in zip(pairs, fast, strict=True)]
        alternating, slow = _alternating(rest, white, readout)
        for image, *both in zip(noise, fast, slow, strict=True):
            image[...] = from_paired_streams(*both, readout, bin_ticks=_ESTIMATE_TICKS)
    else:
        for image, own in zip(noise, fast, strict=True):
            image[...] = from_streams(own, readout, bin_ticks=_ESTIMATE_TICKS)
    error = _error_variance(spectrum, used[best], white, readout)
    return FlickerEstimate(noise, sky, spectrum, alternating, float(np.sqrt(white)), error)


def _level(sky, readout):
    """Sky in the bins: it is smooth, and masks do not change its means."""
    everywhere = np.ones(sky.shape, dtype=bool)
    return to_streams(sky, everywhere, readout, bin_ticks=_ESTIMATE_TICKS).values


def _measured(streams):
    """Spectrum in bins of `BIN_TICKS`, which is known as well as in shorter ones."""
    return measure_spectrum([coarser(stream, _FACTOR) for stream in streams])


def _sky_behind(images, used, first, readout, spectrum, consecutive, options):
    """Smooth sky of the mean image, fitted together with its flicker noise."""
    mean = _mean_image(images, used, consecutive)
    if options.sky_passes < 2:
        return smooth_sky(mean.image, mean.used, box=options.sky_box)
    fit = SkyFit(mean.image, mean.used, readout, box=options.sky_box)
    sky = fit.start()
    own = spectrum or _measured([first.less(_level(sky, readout))])
    own = own.scaled(mean.variance)
    white = _white_variance(mean.image, sky, mean.used, own)
    return fit.behind(own, white, steps=options.sky_passes - 1)


def _alternating(streams, white, readout):
    """Spectrum of the alternating column noise in bins of `BIN_TICKS`, and that of each image."""
    factor = _ALTERNATING_TICKS // _ESTIMATE_TICKS
    n_bins = streams[0].values.shape[-1]
    streams = [coarser(stream, factor) for stream in streams]
    # The two halves of an amplifier belong to one output: nothing is common.
    spectrum = measure_spectrum(streams, common=False)
    process = FlickerProcess.from_spectrum(spectrum, streams[0].values.shape[-1])
    noise = [_estimate(process, stream, white, tolerance=1e-2) for stream in streams]
    noise = [np.repeat(own, factor, axis=-1)[..., :n_bins] for own in noise]
    return spectrum.in_bins(bin_ratio(readout, BIN_TICKS, old=_ALTERNATING_TICKS)), noise


@dataclass(frozen=True)
class _Mean:
    """
    Mean of images, in which the sky is looked for.

    Attributes
    ----------
    image : ndarray of float32, shape (ny, nx)
        Mean of the usable pixels; 0 where there is none.
    used : ndarray of bool, shape (ny, nx)
        Where there is one.
    variance : float
        Variance of its noise in units of that of one image.
    """

    image: np.ndarray
    used: np.ndarray
    variance: float


def _mean_image(images, used, consecutive):
    """Mean of images; of differences of reads that follow each other, the slope of the reads."""
    n = len(images)
    # Of differences of reads that follow each other, neighbours share a read: its noise cancels.
    weights, variance = line_weights(n) if consecutive else (np.full(n, 1 / n), 1 / n)
    total = np.zeros(images.shape[1:], dtype=np.float32)
    count = np.zeros_like(total)
    for image, mask, weight in zip(images, used, weights.astype(np.float32), strict=True):
        share = mask * weight
        count += share
        share *= image
        total += share
    seen = count > 0
    total /= np.where(seen, count, np.float32(1))
    return _Mean(total, seen, variance)


def _white_variance(image, sky, used, spectrum):
    """Variance of a pixel that its correlated part leaves; never nothing."""
    total = _pixel_variance(image, sky, used)
    return max(total - float(np.mean(spectrum.variance)), 0.3 * total)


def _pixel_variance(image, sky, used):
    """Robust variance of a background pixel, from a sample of the pixels."""
    place = np.flatnonzero(used)
    place = place[:: max(1, place.size // _NOISE_SAMPLE)]
    residual = image.reshape(-1)[place] - np.ravel(sky)[place]
    return float((1.4826 * np.median(np.abs(residual - np.median(residual)))) ** 2)


def _estimate(process, stream, white, tolerance):
    """Noise in the bins of a stream."""
    weights = stream.weights / np.float32(white)
    return process.estimate(stream.values, weights, tolerance=tolerance)


def _error_variance(spectrum, used, white, readout):
    """
    Variance of the error of an estimate, from drawn errors smoothed over an area.

    The draws have a fixed seed: the same data give the same variance.
    """
    weights = to_streams(used, used, readout, bin_ticks=_ERROR_TICKS).weights / np.float32(white)
    spectrum = spectrum.in_bins(bin_ratio(readout, _ERROR_TICKS))
    process = FlickerProcess.from_spectrum(spectrum, weights.shape[-1])
    rng = np.random.default_rng(20260101)
    error = process.sample_error(weights, rng, tolerance=1e-2)
    squares = from_streams(error, readout, bin_ticks=_ERROR_TICKS) ** 2
    return uniform_filter(squares, _ERROR_SCALE, mode="nearest")
