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
    Streams,
    at_ticks,
    bin_ratio,
    coarser,
    column_signs,
    from_streams,
    joined,
    to_streams,
)

# Least part of the pixels that must show background.
LEAST_BACKGROUND = 0.01
# Pixels from which the noise of a pixel is measured.
_NOISE_SAMPLE = 200_000
# Ticks in the bins in which the spectrum is measured and gaps are filled before every tick is
# estimated, and in which alternating columns are, whose noise has power at low frequencies only.
_LONGER_TICKS, _ALTERNATING_TICKS = 4, 16
# Side in pixels of the area over which the drawn error is averaged: its variance is then good to a
# few per cent.
_ERROR_SCALE = 97


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
        Spectrum of the noise of an image, in ticks.
    alternating_spectrum : FlickerSpectrum or None
        Spectrum of its alternating column noise, in ticks.
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
        Spectrum of the noise of a difference of groups, in ticks; measured when not given.
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
        Spectrum of the noise, in ticks; measured from the images when not given.
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
    streams = [
        to_streams(image, mask, readout, bin_ticks=1)
        for image, mask in zip(images, used, strict=True)
    ]
    if sky is None:
        sky = _sky_behind(images, used, streams[0], readout, spectrum, consecutive, options)
    level = at_ticks(sky, readout)
    for stream in streams:
        np.subtract(stream.values, level, out=stream.values)
    longer = [coarser(stream, _LONGER_TICKS) for stream in streams]
    spectrum = spectrum or _measured(longer, readout)
    # White noise and error are those of the image with the most background.
    best = int(np.argmax(number))
    white = _white_variance(images[best], sky, used[best], spectrum)
    estimator = _Estimator(spectrum, white, readout, options.tolerance)
    fast = [estimator.noise(*both) for both in zip(streams, longer, strict=True)]
    alternating, noise = None, np.empty(images.shape, np.float32)
    if options.alternating_columns:
        alternating = _add_alternating(fast, streams, white, readout)
    for image, own in zip(noise, fast, strict=True):
        image[...] = from_streams(own, readout, bin_ticks=1)
    error = estimator.error_variance(streams[best].weights)
    return FlickerEstimate(noise, sky, spectrum, alternating, float(np.sqrt(white)), error)


def _measured(streams, readout):
    """Spectrum of streams in bins of `_LONGER_TICKS`."""
    return measure_spectrum(streams).in_bins(bin_ratio(readout, 1, old=_LONGER_TICKS))


def _sky_behind(images, used, first, readout, spectrum, consecutive, options):
    """Smooth sky of the mean image, fitted together with its flicker noise."""
    mean = _mean_image(images, used, consecutive)
    if options.sky_passes < 2:
        return smooth_sky(mean.image, mean.used, box=options.sky_box)
    fit = SkyFit(mean.image, mean.used, readout, box=options.sky_box)
    sky = fit.start()
    flat = Streams(first.values - at_ticks(sky, readout), first.weights)
    own = spectrum or _measured([coarser(flat, _LONGER_TICKS)], readout)
    own = own.scaled(mean.variance)
    white = _white_variance(mean.image, sky, mean.used, own)
    return fit.behind(own, white, steps=options.sky_passes - 1)


class _Estimator:
    """
    Estimator of the noise at every tick.

    Parameters
    ----------
    spectrum : FlickerSpectrum
        Spectrum in ticks.
    white : float
        White-noise variance of a pixel.
    readout : crsteps.detector.readout.Readout
        Clocking.
    tolerance : float
        Residual at which the iteration in longer bins ends.
    """

    def __init__(self, spectrum, white, readout, tolerance):
        self._white, self._readout, self._tolerance = white, readout, tolerance
        self._n_ticks = readout.n_rows * readout.row_ticks
        self._process = FlickerProcess.from_spectrum(spectrum, self._n_ticks)
        ratio = bin_ratio(readout, _LONGER_TICKS)
        self._longer = FlickerProcess.from_spectrum(
            spectrum.in_bins(ratio), -(-self._n_ticks // _LONGER_TICKS)
        )

    def noise(self, stream, longer):
        """Noise of a stream at the ticks: gaps are filled with an estimate in longer bins."""
        slow = _estimate(self._longer, longer, self._white, self._tolerance)
        slow = _at_every_tick(slow, _LONGER_TICKS, self._n_ticks)
        filled = np.where(stream.weights > 0, stream.values, slow)
        return self._process.smooth(filled, 1 / self._white)

    def error_variance(self, used):
        """
        Variance of the error of the noise of an image, from drawn errors smoothed over an area.

        The draws are in longer bins; what those do not see is the same everywhere. They have a
        fixed seed: the same data give the same variance.
        """
        readout, weight = self._readout, 1 / self._white
        weights = weight * joined(used, _LONGER_TICKS)
        rng = np.random.default_rng(20260101)
        error = self._longer.sample_error(weights, rng, tolerance=1e-2)
        error = _at_every_tick(error, _LONGER_TICKS, self._n_ticks)
        squares = from_streams(error, readout, bin_ticks=1) ** 2
        fast = self._process.least_error(weight) - self._longer.least_error(weight * _LONGER_TICKS)
        return uniform_filter(squares, _ERROR_SCALE, mode="nearest") + np.float32(max(fast, 0))


def _at_every_tick(values, factor, n_ticks):
    """Values of longer bins at the ticks in them."""
    return np.repeat(values, factor, axis=-1)[..., :n_ticks]


def _add_alternating(noise, streams, white, readout):
    """Add alternating column noise to the noise at the ticks; give its spectrum."""
    signs, factor = column_signs(readout), _ALTERNATING_TICKS
    rest = [
        coarser(Streams(signs * (stream.values - own), stream.weights), factor)
        for own, stream in zip(noise, streams, strict=True)
    ]
    # The two halves of an amplifier belong to one output: nothing is common.
    spectrum = measure_spectrum(rest, common=False).in_bins(bin_ratio(readout, 1, old=factor))
    process = FlickerProcess.from_spectrum(
        spectrum.in_bins(bin_ratio(readout, factor)), rest[0].values.shape[-1]
    )
    for own, stream in zip(noise, rest, strict=True):
        slow = _estimate(process, stream, white, tolerance=1e-2)
        own += signs * _at_every_tick(slow, factor, signs.shape[-1])
    return spectrum


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
