"""Noise of an exposure in the units of its data, from variance arrays or from gain and read noise.

One law throughout: at an expected signal ``mu`` the variance is
``read_variance + poisson_factor * max(mu, 0)``.
"""

import logging
import math

import numpy as np
from scipy import ndimage

from crsteps.errors import CrstepsInputError

log = logging.getLogger(__name__)

GAIN_KEYWORDS = ("EGAIN", "EPERDN", "ATODGAIN", "GAIN", "CCDGAIN", "ESO DET OUT1 CONAD")
"""Header keywords of the gain [e-/ADU], in the order tried; EGAIN before GAIN, because amateur
cameras keep the setting of an amplifier in GAIN and the conversion in EGAIN."""

RNOISE_KEYWORDS = (
    "RDNOISE",
    "READNOIS",
    "READNOISE",
    "RON",
    "ENOISE",
    "RNOISE",
    "RO_NOISE",
    "ESO DET OUT1 RON",
)
"""Header keywords of the read noise, in the order tried."""

_ELECTRONS = {"electron", "electrons", "e-", "e", "elec", "els"}
_MIN_PIXELS = 50  # below this a median of variances says nothing
_FAINT_FRACTION = 0.05
_WELL_EXPOSED = 5.0  # sigma: pixels from which the Poisson term is measured
_BLOCK = 16  # pixels: scale on which the Poisson term may vary
_UNIFORM = 0.2  # a spread of the blocks smaller than this is taken for noise
_FAINT = 1.0  # sigma: pixels from which the variance without signal is measured


def ccd_noise(
    header,
    source,
    *,
    gain=None,
    rnoise=None,
    gain_keywords=GAIN_KEYWORDS,
    rnoise_keywords=RNOISE_KEYWORDS,
    rnoise_keyword_unit="electron",
):
    """
    Noise of an image in ADU from its gain and read noise.

    Parameters
    ----------
    header : mapping
        FITS header in which the keywords are looked up.
    source : str
        Name of the file, for messages.
    gain : float, optional
        Gain [e-/ADU]. Default: the first of `gain_keywords` in the header; 1 if BUNIT says that
        the data are electrons.
    rnoise : float, optional
        Read noise [ADU]. Default: the first of `rnoise_keywords` in the header.
    gain_keywords, rnoise_keywords : sequence of str, optional
        Keywords to look up.
    rnoise_keyword_unit : {"electron", "adu"}, optional
        Unit of the read noise in the header; electrons by convention.

    Returns
    -------
    read_variance : float
        Square of the read noise [ADU^2].
    poisson_factor : float
        1 / gain [ADU].

    Raises
    ------
    CrstepsInputError
        If a value is neither given nor in the header, is not a positive number, or if the header
        gives a gain but says that the data are a rate.
    """
    if gain is not None:
        gain = _positive(gain, f"gain = {gain!r} [e-/ADU] for {source}", "gain")
    else:
        gain = _header_gain(header, source, gain_keywords)
    if rnoise is not None:
        rnoise = _positive(rnoise, f"rnoise = {rnoise!r} [ADU] for {source}", "rnoise")
    else:
        rnoise = _lookup(header, source, rnoise_keywords, "rnoise", "ADU")
        if rnoise_keyword_unit == "electron":
            rnoise /= gain
    return rnoise**2, 1.0 / gain


def _header_gain(header, source, keywords):
    unit = str(header.get("BUNIT", "")).strip().lower()
    if unit in _ELECTRONS:
        log.info("%s: BUNIT = %r, so the gain is 1", source, unit)
        return 1.0
    gain = _lookup(header, source, keywords, "gain", "e-/ADU")
    if "/" in unit:
        raise CrstepsInputError(
            f"{source} has BUNIT = {unit!r}, to which the gain in its header does not apply: set "
            "gain [e- per unit of the data] and rnoise [unit of the data]."
        )
    return gain


def _lookup(header, source, keywords, parameter, unit):
    for keyword in keywords:
        if keyword in header:
            value = header[keyword]
            number = _positive(value, f"The keyword {keyword} = {value!r} of {source}", parameter)
            log.info("%s: %s from the keyword %s = %g", source, parameter, keyword, number)
            return number
    raise CrstepsInputError(
        f"{source} has no noise arrays, and none of the keywords {', '.join(keywords)}: set "
        f"{parameter} [{unit}] or name the keyword with {parameter}_keywords."
    )


def _positive(value, what, parameter):
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not (math.isfinite(number) and number > 0):
        raise CrstepsInputError(f"{what} is not a positive number: set {parameter} to its value.")
    return number


def variance_noise(data, *, err=None, var_poisson=None, var_rnoise=None, var_flat=None):
    """
    Noise of an image from the variance arrays of a calibrated product.

    Parameters
    ----------
    data : ndarray (ny, nx) float32
        Signal, NaN where there is none; the bias level is not in it.
    err : ndarray (ny, nx), optional
        Standard deviation of the signal; used only without `var_rnoise`.
    var_poisson, var_rnoise, var_flat : ndarray (ny, nx), optional
        Variances by cause, in units of the data squared.

    Returns
    -------
    read_variance : ndarray (ny, nx) float32
        Variance without signal. With `var_rnoise`: the sum of `var_rnoise`, `var_flat` and the
        median of `var_poisson` in the faint pixels, which is what is left of a background that
        was subtracted. With `err` alone: ``err**2`` less what the Poisson term explains, where
        that could be measured, and at least a quarter of the median in the faint pixels.
        NaN where it is not finite or not positive: such a pixel carries no information.
    poisson_factor : float or ndarray (ny, nx) float32
        Median of ``(variance - variance without signal) / data`` over the pixels above 5 sigma.
        An array where that differs between blocks of 16 pixels by more than a fifth, as it does
        along a flux-calibrated spectrum: medians of the blocks, linearly interpolated.
        0 if there are fewer than 50, or with `err` alone too few faint pixels (within 1 sigma of
        zero; at least 50 and a twentieth of the image).

    Notes
    -----
    The variances are not taken at face value pixel by pixel, because they belong to the measured
    signal and so follow a cosmic ray; the noise law needs the variance at the expected one.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        if var_rnoise is None:
            return _noise_from_err(data, err)
        read = np.array(var_rnoise, np.float32)
        if var_flat is not None:
            # An undefined flat-field variance does not make a measured read noise worthless.
            read += np.where(np.isfinite(var_flat) & (var_flat > 0), var_flat, 0)
        read = _usable_variance(read)
        if var_poisson is None:
            return read, 0.0
        sigma = np.sqrt(read)
        background = _faint_variance(data, var_poisson, sigma)
        factor = _poisson_factor(data, var_poisson, background, np.sqrt(read + var_poisson))
        return read + np.float32(background), factor


def _noise_from_err(data, err):
    total = _usable_variance(np.square(np.asarray(err, np.float32)))
    sigma = np.sqrt(total)
    faint = _faint_variance(data, total, sigma)
    if faint == 0:
        return total, 0.0
    factor = _poisson_factor(data, total, faint, sigma)
    read = total - np.asarray(factor, np.float32) * np.fmax(data, 0)
    # NaN stays NaN: maximum, not fmax
    return np.maximum(read, np.float32(faint / 4)), factor


def _usable_variance(variance):
    return np.where(np.isfinite(variance) & (variance > 0), variance, np.float32(np.nan))


def _faint_variance(data, variance, sigma):
    """Median variance of the pixels within 1 sigma of zero, 0 if there are too few."""
    usable = np.isfinite(data) & np.isfinite(variance)
    faint = usable & (np.abs(data) < _FAINT * sigma)
    # a few odd pixels near zero in an exposure of bright sky are no sample of "no signal"
    enough = max(_MIN_PIXELS, _FAINT_FRACTION * usable.sum())
    return float(np.median(variance[faint])) if faint.sum() >= enough else 0.0


def _poisson_factor(data, variance, background, sigma):
    """Slope of the variance over the well exposed pixels; 0 if it cannot be measured."""
    bright = (data > _WELL_EXPOSED * sigma) & np.isfinite(variance)
    if bright.sum() < _MIN_PIXELS:
        return 0.0
    slope = np.full(data.shape, np.nan, np.float32)
    slope[bright] = (variance[bright] - np.float32(background)) / data[bright]
    typical = max(float(np.median(slope[bright])), 0.0)
    blocks = _block_medians(slope)
    low, high = np.nanpercentile(blocks, [5, 95]) if np.isfinite(blocks).any() else (0, 0)
    if high - low <= _UNIFORM * typical:
        return typical
    return np.fmax(_spread(blocks, data.shape), 0)


def _block_medians(slope):
    """Median in blocks of pixels, NaN in blocks with few well exposed pixels."""
    padding = [(0, -size % _BLOCK) for size in slope.shape]
    padded = np.pad(slope, padding, constant_values=np.nan)
    rows, columns = (size // _BLOCK for size in padded.shape)
    blocks = padded.reshape(rows, _BLOCK, columns, _BLOCK).swapaxes(1, 2)
    blocks = np.sort(blocks.reshape(rows, columns, -1))  # NaN last
    number = np.isfinite(blocks).sum(axis=2)
    middle = np.take_along_axis(blocks, np.fmax(number - 1, 0)[..., None] // 2, axis=2)[..., 0]
    return np.where(number >= _MIN_PIXELS // 2, middle, np.float32(np.nan))


def _spread(blocks, shape):
    """Interpolate block values linearly to pixels; a block without value takes the nearest."""
    nearest = ndimage.distance_transform_edt(
        np.isnan(blocks), return_distances=False, return_indices=True
    )
    places = [(np.arange(size) + 0.5) / _BLOCK - 0.5 for size in shape]
    filled = blocks[tuple(nearest)]
    return ndimage.map_coordinates(
        filled, np.meshgrid(*places, indexing="ij"), order=1, mode="nearest", output=np.float32
    )
