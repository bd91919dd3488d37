"""What a fit says of amplitude and slope as functions of the fluence, and of single pixels.

The pixels of a detector are put into levels by the charge that the illumination left in them. The
typical amplitude and slope of the levels are the curve; the maps hold what a pixel has besides.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from crsteps.persistence.fit import NOT_CONVERGED, NOT_FITTED, DecayFit
from crsteps.persistence.slope_prior import Population, measure_population
from crsteps.persistence.stimulus import ConstantCurve, StimulusCurve, TableCurve

__all__ = ["FluenceLevel", "PixelMaps", "curve_of_levels", "measure_levels", "pixel_maps"]

# Fluences that differ by less are one level: a quarter of a magnitude.
_LEVEL_WIDTH = 10**0.1
_FEWEST = 100
# Amplitude over its error from which a pixel tells the slope.
_CLEAR = 5.0
_USUAL_SLOPE = 1.0
_MEDIAN_ERROR = 1.2533  # of normal values, against that of the mean


@dataclass(frozen=True)
class FluenceLevel:
    """
    Pixels that were illuminated alike.

    Attributes
    ----------
    fluence : float
        Median charge in e-; NaN where the illumination is not known.
    n_pixels : int
        Number of pixels.
    amplitude, amplitude_error : float
        Median of their amplitudes at the reference time of the fit in e-/s, and its error.
    gamma, gamma_error, gamma_spread : float
        Median of their slopes, its error, and the standard deviation among pixels; of the pixels in
        which the persistence is clear. Errors are NaN where these are too few, and the slope is
        that of the whole detector.
    """

    fluence: float
    n_pixels: int
    amplitude: float
    amplitude_error: float
    gamma: float
    gamma_error: float
    gamma_spread: float


@dataclass(frozen=True)
class PixelMaps:
    """
    What pixels have besides the curve; images are float32, NaN where nothing is known.

    Attributes
    ----------
    amplitude_scale : ndarray
        Amplitude over that of the curve.
    gamma_offset : ndarray
        Slope less that of the curve.
    variance_amplitude, variance_gamma, cross : ndarray
        Their covariance.
    """

    amplitude_scale: np.ndarray
    gamma_offset: np.ndarray
    variance_amplitude: np.ndarray
    variance_gamma: np.ndarray
    cross: np.ndarray


def measure_levels(fit: DecayFit, fluence=None, *, limits=(0.0, np.inf)):
    """
    Typical amplitude and slope of the pixels, by the charge that they held.

    Parameters
    ----------
    fit : DecayFit
        Fit of all pixels.
    fluence : ndarray, optional
        Charge in e- of each pixel of the fit; pixels that are not finite or not positive are left
        out. If None, all pixels are one level.
    limits : tuple of float
        Smallest and largest charge in e- to use.

    Returns
    -------
    levels : list of FluenceLevel
        By increasing charge, levels of at least 100 pixels; all pixels as one level if none has
        so many. Empty if no pixel was fitted.
    """
    good = (fit.quality & (NOT_FITTED | NOT_CONVERGED)) == 0
    if fluence is not None:
        with np.errstate(invalid="ignore"):
            good &= np.isfinite(fluence) & (fluence > 0)
            good &= (fluence >= limits[0]) & (fluence <= limits[1])
    chosen = np.flatnonzero(good)
    if not chosen.size:
        return []
    amplitude, gamma = fit.amplitude.ravel()[chosen], fit.gamma.ravel()[chosen]
    variances = fit.covariance.reshape(6, -1)[:, chosen]
    charge = np.full(chosen.size, np.nan) if fluence is None else fluence.ravel()[chosen]
    with np.errstate(invalid="ignore"):
        clear = amplitude > _CLEAR * np.sqrt(variances[0])
    whole = measure_population(gamma[clear], variances[2][clear]) or next(
        iter(fit.slope_populations), None
    )
    return [
        _level(charge[own], amplitude[own], gamma[own], variances[2][own], clear[own], whole)
        for own in _groups(charge)
    ]


def _groups(charge):
    """Indices of the pixels of each level."""
    if not np.isfinite(charge).any():
        return [np.arange(charge.size)]
    order = np.argsort(charge, kind="stable")
    ordered, groups, start = charge[order], [], 0
    while start < order.size:
        stop = int(np.searchsorted(ordered, ordered[start] * _LEVEL_WIDTH, side="right"))
        if stop - start >= _FEWEST:
            groups.append(order[start:stop])
        start = stop
    return groups or [order]


def _level(charge, amplitude, gamma, variance, clear, whole):
    """Level of some pixels."""
    middle = float(np.median(amplitude))
    spread = 1.4826 * float(np.median(np.abs(amplitude - middle)))
    own = measure_population(gamma[clear], variance[clear])
    slope, error = own or whole or Population(_USUAL_SLOPE, np.nan, 0), np.nan
    if own is not None:
        # not weighted: errors and slopes are not independent of each other
        scatter = np.sqrt(own.spread**2 + np.mean(variance[clear], dtype=np.float64))
        error = _MEDIAN_ERROR * scatter / np.sqrt(clear.sum())
        slope = replace(slope, mean=float(np.median(gamma[clear])))
    return FluenceLevel(
        fluence=float(np.median(charge)),
        n_pixels=int(amplitude.size),
        amplitude=middle,
        amplitude_error=float(_MEDIAN_ERROR * spread / np.sqrt(amplitude.size)),
        gamma=slope.mean,
        gamma_error=float(error),
        gamma_spread=slope.spread,
    )


def curve_of_levels(levels, *, reference_time) -> StimulusCurve:
    """
    Curve through levels.

    Parameters
    ----------
    levels : sequence of FluenceLevel
        At least one.
    reference_time : float
        Seconds after the stimulus to which their amplitudes belong.

    Returns
    -------
    curve : ConstantCurve or TableCurve
        The same after any stimulus where the charge is not known; else a table, in proportion to
        the charge below the first level. Amplitudes that are not positive are replaced by their
        error: the maps of the pixels are relative to them.
    """
    amplitude = np.array([max(each.amplitude, each.amplitude_error, 1e-9) for each in levels])
    gamma = np.array([each.gamma for each in levels])
    if not np.isfinite(levels[0].fluence):
        return ConstantCurve(float(amplitude[0]), float(gamma[0]), reference_time)
    fluence = np.array([each.fluence for each in levels])
    return TableCurve(fluence, amplitude, gamma, reference_time=reference_time)


def pixel_maps(fit: DecayFit, curve: StimulusCurve, fluence=None) -> PixelMaps:
    """
    What the pixels have besides a curve.

    Parameters
    ----------
    fit : DecayFit
        Fit of all pixels, at the reference time of the curve.
    curve : StimulusCurve
        The curve.
    fluence : ndarray, optional
        Charge in e- of each pixel; needed unless the curve is constant.

    Returns
    -------
    maps : PixelMaps
        NaN where a pixel was not fitted, its charge is not known or not positive, or its errors
        are none.
    """
    if fluence is None:
        fluence = np.ones(fit.amplitude.shape, np.float32)
    typical, slope = curve(np.asarray(fluence, np.float32))
    aa, gg, ag = fit.covariance[[0, 2, 4]]
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        # in float64, for the product of errors that differ much
        valid = (aa > 0) & (gg > 0) & (ag.astype(np.float64) ** 2 <= aa.astype(np.float64) * gg)
        valid &= typical > 0
        images = (
            fit.amplitude / typical,
            fit.gamma - slope,
            aa / typical**2,
            gg,
            ag / typical,
        )
    for image in images:
        valid &= np.isfinite(image)
    return PixelMaps(*(np.where(valid, image, np.nan).astype(np.float32) for image in images))
