"""Choice of background and outputs from the image: ``autoparam`` of the jwst step."""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from astropy.stats import sigma_clipped_stats

from crsteps.flicker_noise.background import clip_to_background, constant_and_mask, model_and_mask
from crsteps.flicker_noise.line_median import line_median_image

EXPOSURE_TYPES = ("NRC_IMAGE", "NIS_IMAGE")
"""Exposure types (keyword EXP_TYPE) for which there are limits."""

_MIDDLE = (Fraction(3, 8), Fraction(5, 8))
# Rows of NIRISS that belong to its first output, which differs from the others.
_FIRST_OUTPUT_OF_NIRISS = (Fraction(10, 12), Fraction(11, 12))
_FULL_SIZE, _N_OUTPUTS = 2048, 4


@dataclass(frozen=True)
class ImageStatistics:
    """
    What the choice is made from.

    Attributes
    ----------
    masked_fraction : float
        Part of the pixels that show no background.
    output_offset : float
        Largest step of the mean level between neighbouring outputs of a full frame, in the unit of
        the image; 0 for a window.
    slope : float
        Slope of the mean profile along rows or columns, whichever is larger, per pixel.
    slope_ratio : float
        That slope in units of the other one; infinite if that is 0.
    output_scatter : float
        Scatter about a line of the profile across the outputs.
    """

    masked_fraction: float
    output_offset: float
    slope: float
    slope_ratio: float
    output_scatter: float


@dataclass(frozen=True)
class _Limits:
    masked_fraction: float
    slope_high_offset: float
    slope_ratio: float
    slope_low_offset: float = 1e-5
    output_offset: float = 0.07
    output_scatter: float = 0.02


# Heuristic limits of jwst 3.0, for rates in DN/s.
_LIMITS = {
    "NRC_IMAGE": _Limits(masked_fraction=0.1, slope_high_offset=1e-5, slope_ratio=3.0),
    "NIS_IMAGE": _Limits(masked_fraction=0.07, slope_high_offset=1e-4, slope_ratio=5.0),
}


def choose_parameters(rate, *, exposure_type, readout, background_mask=None, flat=None):
    """
    Choose the background method and whether to fit the outputs separately.

    Parameters
    ----------
    rate : ndarray of float, shape (ny, nx)
        Rate image, DN/s; NaN where there are no data. Not modified. For rates of integrations the
        jwst step takes their mean.
    exposure_type : {"NRC_IMAGE", "NIS_IMAGE"}
        Keyword EXP_TYPE.
    readout : crsteps.detector.readout.Readout
        Axes.
    background_mask : ndarray of bool, shape (ny, nx), optional
        Pixels that may show background, True; all if None, as in the jwst step.
    flat : ndarray, shape (ny, nx), optional
        Flat field, without missing values.

    Returns
    -------
    dict
        The parameters ``apply_flat_field`` (whether there is a flat field), ``background_method``
        and ``fit_by_channel`` of the step.

    Raises
    ------
    ValueError
        For other exposure types, or an image without background pixels.
    """
    if exposure_type not in _LIMITS:
        raise ValueError(
            f"parameters cannot be chosen for exposure type {exposure_type}, only for "
            f"{' and '.join(EXPOSURE_TYPES)}"
        )
    statistics = measure_image(
        rate,
        exposure_type=exposure_type,
        readout=readout,
        background_mask=background_mask,
        flat=flat,
    )
    method, by_channel = decide(statistics, exposure_type)
    return {
        "apply_flat_field": flat is not None,
        "background_method": method,
        "fit_by_channel": by_channel,
    }


def measure_image(rate, *, exposure_type, readout, background_mask=None, flat=None):
    """
    Measure what `choose_parameters` decides on.

    Parameters
    ----------
    rate, exposure_type, readout, background_mask, flat
        As for `choose_parameters`.

    Returns
    -------
    ImageStatistics
        Of the image cleaned with line medians, sources replaced by the background model.

    Raises
    ------
    ValueError
        For an image without background pixels.
    """
    image, mask = _quick_clean(rate, readout, background_mask, flat)
    background, mask = model_and_mask(image, mask, n_sigma=0)
    image = np.where(mask, image, background)
    along_x = _profile(image, *_MIDDLE)
    along_y = _profile(image.T, *_MIDDLE)
    (x_slope, x_scatter), (y_slope, _) = _line(along_x), _line(along_y)
    slopes = sorted((abs(x_slope), abs(y_slope)))
    niriss = exposure_type == "NIS_IMAGE"
    scatter = _line(_profile(image, *_FIRST_OUTPUT_OF_NIRISS))[1] if niriss else x_scatter
    return ImageStatistics(
        masked_fraction=float(1 - mask.mean()),
        output_offset=_output_offset(along_y if niriss else along_x),
        slope=slopes[1],
        slope_ratio=slopes[1] / slopes[0] if slopes[0] > 0 else np.inf,
        output_scatter=scatter,
    )


def decide(statistics, exposure_type):
    """
    Decide on background method and outputs from the statistics of an image.

    Parameters
    ----------
    statistics : ImageStatistics
        Statistics.
    exposure_type : {"NRC_IMAGE", "NIS_IMAGE"}
        Keyword EXP_TYPE.

    Returns
    -------
    background_method : {"median", "model"}
        Model where the background is steep.
    fit_by_channel : bool
        Whether the outputs differ, in an image without large masked regions.
    """
    limits = _LIMITS[exposure_type]
    crowded = statistics.masked_fraction >= limits.masked_fraction
    stepped = statistics.output_offset >= limits.output_offset
    sloping = statistics.slope >= limits.slope_low_offset
    steep = statistics.slope >= limits.slope_high_offset
    if stepped and not crowded:
        return "median", True
    if crowded:
        return ("model" if (steep if stepped else sloping) else "median"), False
    one_sided = statistics.slope_ratio >= limits.slope_ratio
    model = steep or (sloping and not one_sided)
    scattered = statistics.output_scatter >= limits.output_scatter
    return ("model" if model else "median"), bool(statistics.output_offset > 0 and scattered)


def _quick_clean(rate, readout, background_mask, flat):
    """Rate image without line medians, and its background mask."""
    image = np.array(rate, dtype=np.float32)
    if flat is not None:
        image /= flat
    mask = np.ones(image.shape, dtype=bool) if background_mask is None else background_mask
    missing = np.isnan(image)
    mask = clip_to_background(image, mask & ~missing)
    if not mask.any():
        raise ValueError("the image has no background pixel to choose parameters from")
    image[missing] = 0
    level, mask = constant_and_mask(image, mask, n_sigma=0)
    image -= level
    mask = clip_to_background(image, mask, lower_half_only=True)
    image -= line_median_image(image, mask, fast_axis=readout.fast_axis)
    image += level
    image[missing] = np.nan
    return image, mask


def _profile(image, start, stop):
    """Mean of some rows."""
    first, last = (round(part * image.shape[0]) for part in (start, stop))
    return np.nanmean(image[first:last], axis=0)


def _line(profile):
    """Slope of a profile and scatter about its line."""
    place = np.flatnonzero(np.isfinite(profile))
    values = profile[place]
    fit = np.polynomial.Polynomial.fit(place, values, deg=1)
    coefficients = fit.convert().coef
    _, _, scatter = sigma_clipped_stats(values - fit(place), sigma=10.0)
    return float(coefficients[1]) if len(coefficients) > 1 else 0.0, float(scatter)


def _output_offset(profile):
    if profile.size != _FULL_SIZE:
        return 0.0
    levels = [sigma_clipped_stats(part, sigma=3.0)[0] for part in np.split(profile, _N_OUTPUTS)]
    return float(np.max(np.abs(np.diff(levels))))
