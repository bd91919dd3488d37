"""
Flicker noise of time series, in which every integration shows the same scene, more or less bright.

A difference of groups of an integration is modelled as

    template(group) + (scale(integration, wavelength) - 1) * light + noise + white noise

with a scale of its own for every wavelength, that is line of the image across the dispersion, and
every cell of some pixels across it. What varies from integration to integration, but not like the
light across a trace, is noise: the pixels of the traces are samples of it as good as their photon
noise allows, and no transit is taken for noise, however its depth depends on the wavelength.

The mean of the integrations contains the mean of their noise. The deviations from it do not know
the template: their noise is estimated from all pixels, and that of the mean without taking light
for it (`series_mean`). No integration's noise is subtracted from itself.
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import uniform_filter1d
from scipy.optimize import nnls

from crsteps.flicker_noise.joint_fit import ALTERNATING_TICKS, JointFit, measured_spectrum
from crsteps.flicker_noise.series_mean import noise_of_mean
from crsteps.flicker_noise.series_template import Series, common_scene
from crsteps.flicker_noise.spectrum import FlickerSpectrum

# Differences from which spectrum and white noise are measured.
_SAMPLE = 64
# Deviations from the template by more standard deviations plus this part of the light are hits.
_CLIP, _CLIP_LIGHT = 6.0, 0.05
# Pixels with more light than this many standard deviations are not used for the spectrum.
_QUIET = 5.0
# Pairs of pixels from which white noise is measured, in bins of equal numbers by their light, and
# the median of a chi-square variable with one degree of freedom.
_PAIRS, _PAIR_BINS, _MEDIAN_CHI_SQUARE = 500_000, 40, 0.4549
# Light is there if its mean over so many wavelengths is so many standard deviations.
_SMOOTHING, _SIGNIFICANT = 5, 3.0
# A pixel is noisier than its read noise and light if its scatter is by so many standard deviations.
_NOISY = 6.0
# What a pixel may have as its white variance, relative to that of the darkest.
_LEAST_VARIANCE = 0.1


@dataclass(frozen=True)
class TimeSeriesOptions:
    """
    Options of `clean_time_series`.

    Attributes
    ----------
    chromatic : bool
        Whether every wavelength has a scale of its own in every integration. Otherwise the light of
        an integration has one scale: spectra scatter less, but the difference between the depth of
        a transit at a wavelength and its mean is taken for noise, a quarter of it in simulated
        spectra of NIRSpec and NIRISS, nearly all of it where stripes lie along the dispersion.
    dispersion_axis : int
        Axis of the image along which the wavelength changes: 1 for x, 2 for y.
    cell : int
        Pixels across the dispersion that share a scale: orders and sources further apart than this
        may vary in different ways.
    alternating_columns : bool
        Whether to estimate alternating column noise too.
    sky_box : int
        Scale in pixels below which the sky is taken to be smooth.
    bin_ticks : int
        Ticks in a bin of the noise; even. Shorter bins take more time and gain a per cent at most.
    tolerance : float
        Residual at which the iteration of an estimate ends.
    """

    chromatic: bool = True
    dispersion_axis: int = 1
    cell: int = 32
    alternating_columns: bool = True
    sky_box: int = 48
    bin_ticks: int = 4
    tolerance: float = 1e-3


@dataclass(frozen=True)
class TimeSeriesResult:
    """
    Flicker noise of a time series.

    Attributes
    ----------
    noise : ndarray of float32, shape (n_integrations, n_differences, ny, nx)
        Estimated noise, data units; finite everywhere.
    template : ndarray of float32, shape (n_differences, ny, nx)
        Mean of the integrations; 0 where fewer than half of them could be used.
    scales : ndarray, shape (n_integrations, n_wavelengths) or (n_integrations, 1)
        Brightness relative to the template, with what departs from one scale estimated together
        with the noise; one number an integration for achromatic light.
    scale_errors : ndarray, shape (n_wavelengths,) or (1,)
        Standard error of the scales of an integration.
    spectrum : FlickerSpectrum
        Spectrum of the noise of a difference, in ticks.
    alternating_spectrum : FlickerSpectrum or None
        Spectrum of its alternating column noise.
    white_noise : float
        Standard deviation of the white noise of a background pixel of a difference.
    white_variance : ndarray of float32, shape (ny, nx)
        Variance of the white noise of a difference, with that of the light, and with flicker noise
        too fast to be told from white noise.
    error_variance : ndarray of float32, shape (ny, nx)
        Variance of the error of the estimated noise of a difference, but for what counts as white.
    """

    noise: np.ndarray
    template: np.ndarray
    scales: np.ndarray
    scale_errors: np.ndarray
    spectrum: FlickerSpectrum
    alternating_spectrum: FlickerSpectrum | None
    white_noise: float
    white_variance: np.ndarray
    error_variance: np.ndarray


def clean_time_series(
    images, *, flagged, background_mask, readout, options=None, spectrum=None, ramps=False
):
    """
    Estimate the flicker noise of a time series.

    Parameters
    ----------
    images : ndarray of float32, shape (n_integrations, n_differences, ny, nx)
        Differences of groups, or rates with one difference; not modified, NaN are left out. With
        `ramps` the groups themselves, shape (n_integrations, n_differences + 1, ny, nx), of which
        differences are made one integration at a time: half the memory.
    flagged : ndarray of bool, shape of `images`
        Pixels that are not to be trusted; of ramps, both differences that such a group belongs to
        are left out. Their noise is estimated all the same.
    background_mask : ndarray of bool, shape (ny, nx), or None
        True where a pixel shows background only. Without it, the mean noise of the integrations
        stays in the data.
    readout : crsteps.detector.readout.Readout
        Clocking.
    options : TimeSeriesOptions, optional
        Options.
    spectrum : FlickerSpectrum, optional
        Spectrum of the noise of a difference, in ticks; measured when not given.
    ramps : bool, optional
        Whether `images` are ramps.

    Returns
    -------
    TimeSeriesResult

    Raises
    ------
    ValueError
        Fewer than two integrations or no difference, shapes that do not fit, or no pixel that can
        be used in at least two integrations.
    """
    options = options or TimeSeriesOptions()
    _check(images, flagged, background_mask, readout, ramps)
    series = Series(images, flagged, ramps)
    template, usable, light, scales = common_scene(series, background_mask, options.sky_box)
    sample = _sample(series, template, usable, light, scales)
    variance = _white_variance(sample, light, readout)
    quiet = light < _QUIET * np.sqrt(variance)
    n = series.shape[0]
    if spectrum is None:
        chosen = [(residual, used & quiet) for residual, used in sample]
        # The deviations from the mean of n integrations have this much less noise.
        spectrum = measured_spectrum(chosen, readout, options.bin_ticks, factor=n / (n - 1))
    fit_light = _significant(light, variance, n * series.shape[1], options.dispersion_axis)
    variance = _noisy_pixels(sample, variance, float(np.mean(spectrum.variance)))
    fit = JointFit(fit_light, variance, spectrum, None, readout, options)
    alternating = None
    if options.alternating_columns:
        alternating = _alternating_spectrum(fit, sample, quiet)
        fit = JointFit(fit_light, variance, spectrum, alternating, readout, options)
    white = float(np.median(variance[quiet]))
    known = {"spectrum": spectrum, "white": white, "sky_box": options.sky_box}
    mean, share, mean_error = _noise_of_mean(fit, template, usable, background_mask, known)
    noise, scales = _fit_integrations(series, fit, template, usable, light, scales, mean)
    error_variance, scale_errors = fit.errors(usable)
    return TimeSeriesResult(
        noise=noise,
        template=template,
        scales=scales,
        scale_errors=scale_errors,
        spectrum=spectrum,
        alternating_spectrum=alternating,
        white_noise=float(np.sqrt(white)),
        white_variance=variance,
        error_variance=error_variance * np.float32(1 + (1 - share) / n)
        + mean_error * np.float32(share / n),
    )


def _check(images, flagged, background_mask, readout, ramps):
    """Refuse what is no time series."""
    if images.ndim != 4 or flagged.shape != images.shape:
        raise ValueError(
            f"a time series has four dimensions and flags of its shape, not {images.shape} "
            f"and {flagged.shape}"
        )
    if images.shape[0] < 2:
        raise ValueError("a time series needs at least two integrations")
    if images.shape[1] < 1 + ramps:
        raise ValueError("a time series of ramps of one group has no differences to clean")
    if images.shape[2:] != tuple(readout.shape):
        raise ValueError(
            f"images of shape {images.shape[2:]} do not fit a readout of {readout.shape}"
        )
    if background_mask is not None and background_mask.shape != images.shape[2:]:
        raise ValueError(
            f"a background mask of shape {background_mask.shape} does not fit images of "
            f"{images.shape[2:]}"
        )


def _sample(series, template, usable, light, scales):
    """Residuals of some differences, spread over the series, and their pixels to be used."""
    n, n_groups = series.shape[:2]
    sample = []
    for k in np.unique(np.linspace(0, n * n_groups - 1, _SAMPLE).astype(int)):
        i, group = divmod(int(k), n_groups)
        values, used = series.get(i, group)
        used &= usable[group]
        sample.append((_residual(values, used, template[group], light, scales[i]), used))
    return sample


def _residual(values, used, template, light, scale):
    residual = values - template - np.float32(scale - 1) * light
    return np.where(used, residual, 0).astype(np.float32)


def _white_variance(sample, light, readout):
    """
    White variance of the pixels: a constant, and in proportion to the light.

    From pairs of pixels that are read two ticks apart, between which there is little flicker noise
    and none of the alternating columns.
    """
    axis = 1 if abs(readout.fast_axis) == 1 else 0
    step = max(1, len(sample) * light.size // _PAIRS)

    def pairs(image):
        image = np.moveaxis(image, axis, -1)
        return image[..., :-2].ravel()[::step], image[..., 2:].ravel()[::step]

    level = np.maximum(np.mean(pairs(light), axis=0), 0)
    levels, squares = [], []
    for residual, used in sample:
        both = np.logical_and(*pairs(used))
        squares.append(0.5 * np.square(np.subtract(*pairs(residual)))[both])
        levels.append(level[both])
    levels, squares = np.concatenate(levels), np.concatenate(squares)
    parts = [part for part in np.array_split(np.argsort(levels), _PAIR_BINS) if part.size]
    level = np.array([levels[part].mean() for part in parts])
    variance = np.array([np.median(squares[part]) for part in parts]) / _MEDIAN_CHI_SQUARE
    variance = np.maximum(variance, 1e-6 * variance.max() or 1.0)
    basis = np.stack([np.ones_like(level), level], axis=1) / variance[:, None]
    (dark, of_light), _ = nnls(basis, np.ones_like(level))
    dark = max(dark, _LEAST_VARIANCE * variance.min())
    return (dark + of_light * np.maximum(light, 0)).astype(np.float32)


def _significant(light, variance, n_images, dispersion_axis):
    """Light where there is some: the errors of a template must not be given a brightness."""
    axis = 1 if dispersion_axis == 1 else 0
    error = np.sqrt(variance / (n_images * _SMOOTHING))
    return np.where(uniform_filter1d(light, _SMOOTHING, axis) > _SIGNIFICANT * error, light, 0)


def _noisy_pixels(sample, variance, flicker):
    """Give pixels that scatter more than they should their own variance; one hit does not."""
    expected = variance + np.float32(flicker)
    total, clipped, count = (
        np.zeros_like(variance),
        np.zeros_like(variance),
        np.zeros_like(variance),
    )
    for residual, used in sample:
        square = residual**2
        total += square
        clipped += np.minimum(square, _CLIP**2 * expected)
        count += used
    count = np.maximum(count, 1)
    noisy = clipped / count > expected * (1 + _NOISY * np.sqrt(2 / count))
    return np.where(noisy, total / count, variance).astype(np.float32)


def _alternating_spectrum(fit, sample, quiet):
    """Spectrum of the alternating column noise in what a fit without it leaves."""
    rest = [
        (fit.without_light(residual[None], used[None])[0], used & quiet)
        for residual, used in sample[::2]
    ]
    return measured_spectrum(rest, fit.readout, ALTERNATING_TICKS, alternating=True)


def _noise_of_mean(fit, template, usable, background_mask, known):
    """Noise of the mean of the integrations, the part of it common to the groups, and its error."""
    if background_mask is None:
        return np.zeros(template.shape, np.float32), 1.0, fit.noise_variance
    noise, away, share = noise_of_mean(fit, template, usable, background_mask, **known)
    return noise, share, fit.error_of_noise(usable & away)


def _fit_integrations(series, fit, template, usable, light, scales, mean):
    """
    Noise of all integrations and scales of their wavelengths.

    The common scale is that of all the light, wings that are too faint to be fitted among it.
    """
    noise = np.empty(series.shape, np.float32)
    limit = _CLIP * np.sqrt(1 / fit.weight + fit.noise_variance) + _CLIP_LIGHT * np.abs(fit.light)
    by_wavelength = []
    for i, scale in enumerate(scales):
        values, used = series.get(i)
        used &= usable
        residual = _residual(values, used, template, light, scale)
        used &= np.abs(residual) < limit
        noise[i], departure = fit.fit(residual, used)
        noise[i] += mean
        by_wavelength.append(scale + fit.per_wavelength(departure))
    return noise, np.array(by_wavelength)
