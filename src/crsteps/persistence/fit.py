"""Amplitude, slope and dark level of every pixel from the darks that follow an illumination.

Every dark is compared with the exact charge of the power law over its frames; straight lines
through logarithms are biased where the signal is as faint as the noise. See `fit_kernel` for how a
pixel is fitted, `fit_pixels` for cosmic rays and `slope_prior` for what faint pixels take from the
others.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from crsteps.persistence.fit_compiled import with_compiled
from crsteps.persistence.fit_kernel import CONVERGED
from crsteps.persistence.fit_pixels import DarkData, fit_pixels
from crsteps.persistence.fit_series import make_series
from crsteps.persistence.power_law import Covariance, shift_reference_time
from crsteps.persistence.slope_prior import Population, populations_by_channel, shrink

__all__ = [
    "AT_BOUND",
    "HIT_EXCLUDED",
    "NOT_CONVERGED",
    "NOT_FITTED",
    "POOR_FIT",
    "SHRUNK",
    "DecayFit",
    "FitOptions",
    "fit_dark_series",
]

NOT_FITTED = 1
"""Quality: too few darks; all parameters are NaN."""
NOT_CONVERGED = 2
"""Quality: the last step was not small."""
AT_BOUND = 4
"""Quality: the slope is at the end of its range."""
HIT_EXCLUDED = 8
"""Quality: a dark was left out as hit by a cosmic ray."""
SHRUNK = 16
"""Quality: the slope, or the amplitude, was told by the other pixels more than by the pixel."""
POOR_FIT = 32
"""Quality: chi2 exceeds its expectation by more than five standard deviations."""

# Part of the clear pixels, from the faintest on, that tell the slopes of those that are not.
_FAINTER = 0.75

_SEED = 20250607  # of the choice of pixels from which the prior is measured


@dataclass(frozen=True)
class FitOptions:
    """
    Options of `fit_dark_series`.

    Attributes
    ----------
    gamma_range : tuple of float
        Smallest and largest slope.
    photon_noise : float
        Variance of the signal per e-; 0 if the given variance holds the photon noise.
    hit_threshold : float
        Standard deviations above the fit to the other darks at which one counts as hit.
    max_hits : int
        Most darks left out of a pixel as hit; 0 to look for none.
    shrink : {"slope", "both", "none"}
        Whether the slope, or slope and amplitude, of faint pixels are shrunk to their channel.
    prior_pixels : int
        Number of pixels from which the distribution in the channels is measured.
    prior_significance : float
        Amplitude over its error from which such a pixel counts.
    max_steps : int
        Most Gauss-Newton steps.
    """

    gamma_range: tuple[float, float] = (0.1, 2.5)
    photon_noise: float = 1.0
    hit_threshold: float = 5.0
    max_hits: int = 5
    shrink: str = "slope"
    prior_pixels: int = 50_000
    prior_significance: float = 5.0
    max_steps: int = 8

    def __post_init__(self):
        low, high = self.gamma_range
        if not 0 <= low < high:
            raise ValueError(f"slopes from {low} to {high} are no range; give two rising numbers")
        if self.shrink not in ("slope", "both", "none"):
            raise ValueError(
                f'faint pixels cannot be shrunk by "{self.shrink}"; give "slope", "both" or "none"'
            )


@dataclass(frozen=True)
class DecayFit:
    """
    Decay of every pixel; images are (ny, nx), float32 where not said otherwise.

    Attributes
    ----------
    amplitude : ndarray
        Rate in e-/s at the reference time; noise may make it negative. NaN where not fitted.
    gamma : ndarray
        Slope.
    dark_rate : ndarray
        Dark level in e-/s.
    covariance : ndarray
        Covariances (aa, dd, gg, ad, ag, dg) of amplitude, dark level and slope, (6, ny, nx).
    chi2 : ndarray
        Sum of squares of the residuals over their errors.
    n_points : ndarray
        Number of darks used, int16.
    quality : ndarray
        Bits NOT_FITTED, NOT_CONVERGED, AT_BOUND, HIT_EXCLUDED, SHRUNK and POOR_FIT, uint8.
    excluded : ndarray
        Dark and flat index of the pixel of every signal that was left out as hit, int32, (n, 2).
    reference_time : float
        Seconds after the stimulus, near the geometric centre of the series, where amplitude and
        slope are hardly correlated.
    slope_populations : tuple of Population or None
        Distribution of the slope in each channel (one for no channels), None where too few pixels
        tell; empty if nothing was shrunk.
    amplitude_populations : tuple of Population or None
        The same for the amplitude in e-/s.
    """

    amplitude: np.ndarray
    gamma: np.ndarray
    dark_rate: np.ndarray
    covariance: np.ndarray
    chi2: np.ndarray
    n_points: np.ndarray
    quality: np.ndarray
    excluded: np.ndarray
    reference_time: float
    slope_populations: tuple[Population | None, ...] = ()
    amplitude_populations: tuple[Population | None, ...] = ()

    @property
    def decay_covariance(self) -> Covariance:
        """Covariance of amplitude and slope, as the correction takes it."""
        return Covariance(self.covariance[0], self.covariance[2], self.covariance[4])

    def at(self, reference_time):
        """
        Amplitude and its covariance with the slope at another reference time.

        Parameters
        ----------
        reference_time : float
            Seconds after the stimulus.

        Returns
        -------
        amplitude : ndarray
            Rate in e-/s.
        covariance : Covariance
            Covariance of amplitude and slope.
        """
        return shift_reference_time(
            self.amplitude,
            self.gamma,
            reference_time=self.reference_time,
            new_reference_time=reference_time,
            covariance=self.decay_covariance,
            second_order=True,
        )


def fit_dark_series(
    darks,
    times,
    *,
    variance,
    flagged=None,
    master_dark=None,
    master_dark_error=0.0,
    channels=None,
    options=None,
):
    """
    Fit the decay of every pixel to a series of darks after an illumination.

    Parameters
    ----------
    darks : ndarray
        Signal of each dark in e-, (n_darks, ny, nx); may be memory-mapped, is read by blocks and
        not changed. A signal that is not finite is missing.
    times : crsteps.persistence.dark_series.DarkTimes
        When the darks were taken.
    variance : float or array_like
        Variance of a signal without photon noise in squared e-: a number, (n_darks,) or of the
        shape of the darks.
    flagged : ndarray of bool, optional
        Signals not to be used, cosmic rays that are known for instance, of the shape of the darks.
    master_dark : array_like, optional
        Dark level free of persistence in e-/s, (ny, nx) or a number. If None, the level is fitted.
    master_dark_error : float or array_like
        Its standard deviation in e-/s; 0 for a level that is exact. Pixels in which it is infinite
        have their level fitted.
    channels : array_like of int, optional
        Channel of each pixel from 0, (ny, nx) or (nx,), whose pixels tell the slope of faint ones;
        one for the whole detector if None.
    options : FitOptions, optional
        Options; the default if None.

    Returns
    -------
    fit : DecayFit
        Parameters of every pixel at the geometric centre of the series. Pixels with less than four
        usable darks, three with a given level, are not fitted.

    Raises
    ------
    ValueError
        If shapes do not fit, there are too few darks or a variance is not positive.
    """
    options = options or FitOptions()
    shape = _check_darks(darks, times, free_dark=master_dark is None)
    series = make_series(times, gamma_range=options.gamma_range, photon_noise=options.photon_noise)
    series = with_compiled(series, n_pixels=darks[0].size)
    data = _collect(darks, variance, flagged, master_dark, master_dark_error, series.unit)
    settings = {
        "fewest": 4 if master_dark is None else 3,
        "hit_threshold": options.hit_threshold,
        "max_hits": options.max_hits,
        "max_steps": options.max_steps,
    }
    channel = _channel_of_pixels(channels, shape)
    slopes, amplitudes = _measure_populations(series, data, channel, options, settings)
    prior = _slope_prior(slopes, channel, data.n_pixels)
    fits = fit_pixels(series, data, prior=prior, **settings)
    shrunk = _shrink_faint(fits.estimate, slopes, amplitudes, channel)
    fit = _finish(series, fits, master_dark, shrunk, shape, settings["fewest"])
    amplitudes = [
        p and replace(p, mean=p.mean / series.unit, spread=p.spread / series.unit)
        for p in amplitudes
    ]
    return replace(fit, slope_populations=tuple(slopes), amplitude_populations=tuple(amplitudes))


def _check_darks(darks, times, *, free_dark):
    """Shape of the images, if the darks fit the times and are enough."""
    if darks.ndim != 3 or len(darks) != times.n_darks:
        raise ValueError(
            f"darks of shape {darks.shape} do not fit {times.n_darks} times; "
            "give one image for each"
        )
    fewest = 4 if free_dark else 3
    if len(darks) < fewest:
        raise ValueError(
            f"{len(darks)} darks are too few for a fit of persistence; give at least {fewest}"
        )
    return darks.shape[1:]


def _collect(darks, variance, flagged, master, master_error, unit):
    """All inputs with pixels in a row, in the units of the fit."""
    shape = darks.shape
    variance = np.asarray(variance)
    if variance.ndim < 2:
        per_dark = np.broadcast_to(variance, shape[:1])[:, np.newaxis].astype(np.float32)
    elif variance.shape == shape:
        per_dark = variance.reshape(shape[0], -1)
    else:
        raise ValueError(f"variances of shape {variance.shape} do not fit darks of shape {shape}")
    if variance.ndim < 2 and not np.all(per_dark > 0):
        raise ValueError("the variance of every dark has to be positive")
    if flagged is not None and flagged.shape != shape:
        raise ValueError(f"flags of shape {flagged.shape} do not fit darks of shape {shape}")
    precision = 0.0
    if master is not None:
        master = unit * np.broadcast_to(np.asarray(master, np.float64), shape[1:]).ravel()
        error = unit * np.asarray(master_error, np.float64)
        with np.errstate(divide="ignore"):
            precision = 1 / error**2
        if error.ndim:
            precision = np.broadcast_to(precision, shape[1:]).ravel()
    return DarkData(
        darks.reshape(shape[0], -1),
        None if flagged is None else flagged.reshape(shape[0], -1),
        per_dark,
        master,
        precision,
    )


def _channel_of_pixels(channels, shape):
    """Channel of each pixel in a row; None for a single one."""
    if channels is None:
        return None
    channels = np.asarray(channels)
    if channels.shape not in (shape, shape[1:]) or channels.min() < 0:
        raise ValueError(
            f"channels of shape {channels.shape} do not number the pixels of {shape} from 0"
        )
    return np.broadcast_to(channels, shape).reshape(-1)


def _measure_populations(series, data, channel, options, settings):
    """Distributions of slope and amplitude in each channel, from a fit to some of the pixels."""
    if options.shrink == "none":
        return [], []
    rng = np.random.default_rng(_SEED)
    sample = np.arange(data.n_pixels)
    if data.n_pixels > options.prior_pixels:
        sample = np.sort(rng.choice(data.n_pixels, options.prior_pixels, replace=False))
    some, low, high = data.select(sample), *options.gamma_range
    n_channels = 1 if channel is None else int(channel.max()) + 1
    own = np.zeros(sample.size, int) if channel is None else channel[sample]

    estimate = fit_pixels(series, some, **settings).estimate
    with np.errstate(invalid="ignore"):
        clear = (estimate.gamma > low) & (estimate.gamma < high)
        clear &= estimate.decrement <= CONVERGED
        significance = estimate.amplitude / np.sqrt(estimate.covariance[0])
        clear &= significance > options.prior_significance
    if clear.any():
        # Steep decays are bright when the series begins: all others would seem as steep.
        clear &= significance <= np.quantile(significance[clear], _FAINTER)
    slopes = populations_by_channel(
        estimate.gamma[clear], estimate.covariance[2][clear], own[clear], n_channels=n_channels
    )
    if options.shrink != "both":
        return slopes, []
    # amplitudes of faint pixels mean something for slopes that do
    prior = _slope_prior(slopes, own, sample.size)
    estimate = fit_pixels(series, some, prior=prior, **settings).estimate
    good = np.isfinite(estimate.amplitude)
    amplitudes = populations_by_channel(
        estimate.amplitude[good],
        estimate.covariance[0][good],
        own[good],
        n_channels=n_channels,
        smallest_spread=1e-3,
    )
    return slopes, amplitudes


def _slope_prior(populations, channel, n_pixels):
    """Expected slope of every pixel and its precision; None without any."""
    if not any(populations):
        return None
    mean = np.array([p.mean if p else 0.0 for p in populations], np.float32)
    precision = np.array([p.spread**-2 if p else 0.0 for p in populations], np.float32)
    if channel is None:
        return np.full(n_pixels, mean[0]), np.full(n_pixels, precision[0])
    return mean[channel], precision[channel]


def _shrink_faint(estimate, slopes, amplitudes, channel):
    """
    Leave the slope of faint pixels shrunk, and shrink their amplitudes if asked.

    All slopes have been fitted with the distribution in their channel as prior, which tells hits in
    the first darks from steep decays. Pixels that tell more themselves do without it in the end:
    their errors are their own.
    """
    parameters = (estimate.amplitude, estimate.dark, estimate.gamma)
    shrunk = np.zeros(estimate.gamma.size, bool)
    for which, populations in ((2, slopes), (0, amplitudes)):
        if not any(populations):
            continue
        mean = np.array([p.mean if p else 0.0 for p in populations], np.float32)
        spread2 = np.array([p.spread**2 if p else np.inf for p in populations], np.float32)
        if channel is not None:
            mean, spread2 = mean[channel], spread2[channel]
        own = estimate.covariance[which]
        with np.errstate(invalid="ignore"):
            if which == 2:
                faint = own > 0.5 * spread2
                free = (own < 0.5 * spread2) & np.isfinite(spread2)
                where, sign = free, -1
            else:
                near = (parameters[which] - mean) ** 2 < 9 * (own + spread2)
                faint = (own > spread2) & near
                where, sign = faint, 1
        shrink(
            parameters, estimate.covariance, which, mean=mean, variance=sign * spread2, where=where
        )
        shrunk |= faint
    return shrunk


def _finish(series, fits, master, shrunk, shape, fewest):
    """Physical units, images and quality."""
    estimate, unit = fits.estimate, series.unit
    freedom = np.maximum(fits.n_points - fewest + 1, 1)
    quality = np.zeros(fits.n_points.size, np.uint8)
    fitted = np.isfinite(estimate.gamma)
    with np.errstate(invalid="ignore"):
        for bit, where in (
            (NOT_FITTED, ~fitted),
            (NOT_CONVERGED, fitted & ~(estimate.decrement <= CONVERGED)),
            (AT_BOUND, (estimate.gamma <= series.low) | (estimate.gamma >= series.high)),
            (SHRUNK, fitted & shrunk),
            (POOR_FIT, estimate.chi2 > freedom + 5 * np.sqrt(2 * freedom)),
        ):
            quality[where] |= bit
    quality[fits.excluded[:, 1]] |= HIT_EXCLUDED
    scale = np.array([unit**-2, unit**-2, 1.0, unit**-2, 1 / unit, 1 / unit], np.float32)
    estimate.covariance *= scale[:, np.newaxis]
    estimate.amplitude /= unit
    estimate.dark /= unit
    dark = estimate.dark.reshape(shape)
    if master is not None:
        dark += np.asarray(master, np.float32)
    return DecayFit(
        estimate.amplitude.reshape(shape),
        estimate.gamma.reshape(shape),
        dark,
        estimate.covariance.reshape(6, *shape),
        estimate.chi2.reshape(shape),
        fits.n_points.reshape(shape),
        quality.reshape(shape),
        fits.excluded,
        series.reference_time,
    )
