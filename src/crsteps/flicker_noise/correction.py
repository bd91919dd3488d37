"""One exposure, corrected integration by integration with any of the fits, on arrays."""

from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np

from crsteps.detector.readout import Readout
from crsteps.flicker_noise.background import constant, smooth_sky
from crsteps.flicker_noise.cleaning import CleaningOptions, estimate_flicker
from crsteps.flicker_noise.first_group import clean_first_group
from crsteps.flicker_noise.median_image import (
    clean_median_image,
    image_scales,
    white_light_scales,
)
from crsteps.flicker_noise.modes import Modes
from crsteps.flicker_noise.spectrum import FlickerSpectrum
from crsteps.flicker_noise.standard import (
    StandardOptions,
    clean_ramp_standard,
    clean_rate_standard,
)
from crsteps.flicker_noise.time_series import TimeSeriesOptions, clean_time_series


@dataclass(frozen=True)
class Exposure:
    """
    Arrays of an exposure; they are not modified.

    Attributes
    ----------
    data : ndarray of float32, shape (n_integrations, n_groups, ny, nx) or (n_integrations, ny, nx)
        Ramps, or rates.
    flagged : ndarray of bool, shape of the data
        Reads or rates that are not to be trusted. Of ramps, both differences that a read belongs
        to are left out of the estimate; with ``fit_method`` median and fft the one that ends there.
    background_mask : ndarray of bool, shape (ny, nx) or (n_integrations, ny, nx)
        True where a pixel shows background only.
    scene : ndarray of float32, shape (ny, nx)
        Mean difference of groups, or mean rate; NaN where there is none.
    readout : crsteps.detector.readout.Readout
        Clocking.
    flat : ndarray of float32, shape (ny, nx), or None
        Flat field without missing values.
    time_series : bool
        Whether the brightness of the scene may change from integration to integration.
    """

    data: np.ndarray
    flagged: np.ndarray
    background_mask: np.ndarray
    scene: np.ndarray
    readout: Readout
    flat: np.ndarray | None = None
    time_series: bool = False

    @property
    def ramps(self):
        """Whether the data are ramps."""
        return self.data.ndim == 4

    @property
    def common_mask(self):
        """Pixels that show background in every integration, (ny, nx)."""
        mask = self.background_mask
        return mask if mask.ndim == 2 else mask.all(axis=0)

    def mask(self, integration):
        """
        Background mask of an integration.

        Parameters
        ----------
        integration : int
            Index.

        Returns
        -------
        ndarray of bool, shape (ny, nx)
        """
        mask = self.background_mask
        return mask if mask.ndim == 2 else mask[integration]

    def used(self, integration):
        """
        Pixels of the differences of an integration, or of its rate, that show background.

        Parameters
        ----------
        integration : int
            Index.

        Returns
        -------
        ndarray of bool, shape (n_differences, ny, nx)
        """
        flagged = self.flagged[integration]
        flagged = flagged[:-1] | flagged[1:] if self.ramps else flagged[None]
        return self.mask(integration) & ~flagged


@dataclass(frozen=True)
class CorrectionOptions:
    """
    Options of `correct`; those without a comment are in the options of the fits.

    Attributes
    ----------
    modes : Modes
        Resolved modes.
    background_box_size : tuple of int or None
        Of ``fit_method`` median and fft with ``background_method`` model.
    n_sigma : float
        Clipping of ``fit_method`` median and fft.
    frequencies : tuple of float
        Of ``fit_method`` fft in subarrays.
    cleaning : crsteps.flicker_noise.cleaning.CleaningOptions
        Of ``fit_method`` gp.
    series : crsteps.flicker_noise.time_series.TimeSeriesOptions
        Of ``fit_method`` gp with ``background_method`` median_image.
    spectrum : FlickerSpectrum or None
        Of ``fit_method`` gp; measured when not given.
    first_time : float or None
        Clean the first group too, which was exposed for this time (`first_group.first_group_time`).
    """

    modes: Modes
    background_box_size: tuple[int, int] | None = None
    n_sigma: float = 2.0
    frequencies: tuple[float, ...] | None = None
    cleaning: CleaningOptions = field(default_factory=CleaningOptions)
    series: TimeSeriesOptions = field(default_factory=TimeSeriesOptions)
    spectrum: FlickerSpectrum | None = None
    first_time: float | None = None


@dataclass(frozen=True)
class Corrected:
    """
    One integration.

    Attributes
    ----------
    data : ndarray of float32, shape (n_groups, ny, nx) or (ny, nx), or None
        Corrected ramp or rate; None if it cannot be corrected.
    background : ndarray of float32
        Background of the differences, or of the rate, of a shape that broadcasts to theirs; that of
        the groups where groups are compared with their median.
    sky : ndarray of float32, shape (ny, nx), or None
        Smooth sky in a difference or rate, where it was estimated.
    spectrum, alternating_spectrum : FlickerSpectrum or None
        Spectra of the noise of a difference or rate, where they were fitted.
    white_noise : float or None
        Standard deviation of the white noise of a pixel, likewise.
    error_variance : ndarray of float32, shape (ny, nx), or None
        Variance of the error of the noise removed from a difference or rate; None if it is not
        known.
    reason : str
        Why it cannot be corrected.
    """

    data: np.ndarray | None
    background: np.ndarray | float = 0.0
    sky: np.ndarray | None = None
    spectrum: FlickerSpectrum | None = None
    alternating_spectrum: FlickerSpectrum | None = None
    white_noise: float | None = None
    error_variance: np.ndarray | None = None
    reason: str = ""


def correct(exposure, options):
    """
    Correct the integrations of an exposure.

    Parameters
    ----------
    exposure : Exposure
        Exposure.
    options : CorrectionOptions
        Options.

    Yields
    ------
    Corrected
        For each integration, in order.
    """
    modes = options.modes
    series = modes.background_method == "median_image"
    if modes.fit_method != "gp":
        yield from (_standard_series if series else _standard)(exposure, options)
    elif series:
        yield from _joint_series(exposure, options)
    else:
        yield from (_joint_ramps if exposure.ramps else _joint_rates)(exposure, options)


def _joint_ramps(exposure, options):
    """Differences of groups, one integration after the other."""
    structure = _flat_structure(exposure, options)
    sky = _sky(exposure, options, structure)
    for i, ramp in enumerate(exposure.data):
        try:
            estimate = estimate_flicker(
                _less(np.diff(ramp, axis=0), structure),
                background_mask=exposure.used(i),
                readout=exposure.readout,
                sky=sky,
                spectrum=options.spectrum,
                consecutive=True,
                options=options.cleaning,
            )
        except ValueError as error:  # the arguments were checked: it is the data
            yield Corrected(None, reason=str(error))
            continue
        data = _without_noise(ramp, estimate.noise)
        data = _with_clean_first(data, i, exposure, options, estimate)
        yield _corrected(data, estimate.sky + structure, estimate, options)


def _joint_rates(exposure, options):
    """Rates of all integrations at once."""
    structure = _flat_structure(exposure, options)
    used = np.stack([exposure.used(i)[0] for i in range(len(exposure.data))])
    try:
        estimate = estimate_flicker(
            _less(exposure.data, structure),
            background_mask=used,
            readout=exposure.readout,
            sky=_sky(exposure, options, structure),
            spectrum=options.spectrum,
            options=options.cleaning,
        )
    except ValueError as error:
        yield from (Corrected(None, reason=str(error)) for _ in exposure.data)
        return
    for rate, noise in zip(exposure.data, estimate.noise, strict=True):
        yield _corrected(rate - noise, estimate.sky + structure, estimate, options)


def _joint_series(exposure, options):
    """Integrations of a time series, of which a template is made."""
    data, flagged = exposure.data, exposure.flagged
    if not exposure.ramps:
        data, flagged = data[:, None], flagged[:, None]
    try:
        result = clean_time_series(
            data,
            flagged=flagged,
            background_mask=exposure.common_mask,
            readout=exposure.readout,
            options=options.series,
            spectrum=options.spectrum,
            ramps=exposure.ramps,
        )
    except ValueError as error:
        yield from (Corrected(None, reason=str(error)) for _ in data)
        return
    brightness = result.scales.mean(axis=tuple(range(1, result.scales.ndim)))
    for i, (integration, noise) in enumerate(zip(exposure.data, result.noise, strict=True)):
        template = result.template * np.float32(brightness[i])
        if exposure.ramps:
            cleaned = _without_noise(integration, noise)
            cleaned = _with_clean_first(cleaned, i, exposure, options, result)
            yield _corrected(cleaned, template, result, options)
        else:
            yield _corrected(integration - noise[0], template[0], result, options)


def _sky(exposure, options, structure):
    """Sky that is known beforehand; None where it is estimated together with the noise."""
    method = options.modes.background_method
    if method == "none":
        return np.zeros(exposure.scene.shape, np.float32)
    if method == "median":
        level = constant(exposure.scene, exposure.common_mask & np.isfinite(exposure.scene))
        return np.full(exposure.scene.shape, level, np.float32)
    if exposure.ramps and len(exposure.data) > 1:
        # In the mean of all integrations there is less noise than in one.
        scene = _less(exposure.scene, structure)
        return smooth_sky(scene, exposure.common_mask, box=options.cleaning.sky_box)
    return None


def _less(images, structure):
    """Images without a structure; they themselves where there is none."""
    return images - structure if structure.ndim else images


def _flat_structure(exposure, options):
    """What the flat field makes of a smooth sky, besides the sky itself."""
    if exposure.flat is None or options.modes.background_method == "none":
        return np.float32(0)
    level = smooth_sky(
        exposure.scene / exposure.flat, exposure.common_mask, box=options.cleaning.sky_box
    )
    return level * (exposure.flat - 1)


def _without_noise(ramp, noise):
    """Ramp without the noise of its differences."""
    data, total = np.empty(ramp.shape, np.float32), np.zeros(ramp.shape[1:], np.float32)
    data[0] = ramp[0]
    for cleaned, group, own in zip(data[1:], ramp[1:], noise, strict=True):
        total += own
        np.subtract(group, total, out=cleaned)
    return data


def _with_clean_first(data, i, exposure, options, estimate):
    """Ramp without the noise of its first group, where that is asked for."""
    if options.first_time is None:
        return data
    with suppress(ValueError):  # no background in the first group alone: it stays as it is
        data, _ = clean_first_group(
            data,
            flagged=exposure.flagged[i],
            background_mask=exposure.mask(i),
            readout=exposure.readout,
            first_time=options.first_time,
            spectrum=estimate.spectrum,
            options=options.cleaning,
        )
    return data


def _corrected(data, background, estimate, options):
    return Corrected(
        data,
        background,
        background if options.modes.background_method == "model" else None,
        estimate.spectrum,
        estimate.alternating_spectrum,
        estimate.white_noise,
        estimate.error_variance,
    )


def _standard_options(options):
    background = options.modes.background_method
    given = {} if options.frequencies is None else {"frequencies": options.frequencies}
    return StandardOptions(
        fit_method=options.modes.fit_method,
        fit_by_channel=options.modes.fit_by_channel,
        background_method=background if background in ("median", "model") else None,
        background_box_size=options.background_box_size,
        n_sigma=options.n_sigma,
        **given,
    )


def _standard(exposure, options):
    """Median and Fourier series of differences or rates, as in the jwst step."""
    common = {
        "readout": exposure.readout,
        "flat": exposure.flat,
        "options": _standard_options(options),
    }
    for i, data in enumerate(exposure.data):
        mask = exposure.mask(i)
        if exposure.ramps:
            result = clean_ramp_standard(
                data, flagged=exposure.flagged[i], background_mask=mask, **common
            )
        else:
            result = clean_rate_standard(data, background_mask=mask, **common)
        background = result.background[1:] if exposure.ramps else result.background
        yield _standard_result(result.data, background, result.n_cleaned)


def _standard_series(exposure, options):
    """Integrations compared with their median, as in the jwst step: no flags are looked at."""
    try:
        result = clean_median_image(
            exposure.data,
            background_mask=exposure.background_mask,
            readout=exposure.readout,
            scales=_scales(exposure, options),
            flat=exposure.flat,
            options=_standard_options(options),
        )
    except ValueError as error:
        yield from (Corrected(None, reason=str(error)) for _ in exposure.data)
        return
    for data, background in zip(result.data, result.background, strict=True):
        yield _standard_result(data, background, result.n_cleaned)


def _standard_result(data, background, n_cleaned):
    if not n_cleaned:
        return Corrected(None, reason="no group has a usable background pixel")
    return Corrected(data, background)


def _scales(exposure, options):
    """Brightness of the integrations: white light of the sources of a time series."""
    rates = exposure.data
    if exposure.ramps:
        rates = rates[:, -1] - rates[:, 0]
    if not exposure.time_series:
        return image_scales(rates)
    sources = ~exposure.common_mask & np.isfinite(exposure.scene)
    sky = smooth_sky(rates.mean(axis=0), exposure.common_mask, box=options.cleaning.sky_box)
    try:
        return white_light_scales(rates - sky, sources)
    except ValueError:  # no source
        return image_scales(rates)
