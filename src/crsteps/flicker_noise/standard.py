"""The correction of the jwst step ``clean_flicker_noise`` on arrays, number for number.

Every image (a difference of groups, or a rate) is divided by the flat field, its background is
taken off, the background mask is clipped once more, the noise is fitted and taken off, and
background and flat field are put back. Scene masks are made elsewhere: `standard_mask` has the
sigma clipping of the jwst step.
"""

from dataclasses import dataclass
from itertools import islice, pairwise

import numpy as np

from crsteps.flicker_noise.background import constant_and_mask, model, model_and_mask
from crsteps.flicker_noise.fourier_series import (
    FREQUENCIES,
    FULL_FRAME,
    SubarrayOptions,
    fit_full_frame,
    fit_subarray,
)
from crsteps.flicker_noise.line_median import line_median_image

# Images of subarrays are fitted together up to so many pixels, which costs less.
_PIXELS_AT_ONCE = 1 << 22


@dataclass(frozen=True)
class StandardOptions:
    """
    Options of the standard correction, with the names and defaults of the jwst step.

    Attributes
    ----------
    fit_method : {"median", "fft"}
        Median of every line, or truncated Fourier series. The jwst step allows ``fft`` for NIRSpec
        only (spectroscopy); nothing here depends on the instrument.
    fit_by_channel : bool
        Medians for every output by itself. The jwst step allows it for full frames only; here any
        readout with several outputs can have it. Without effect on ``fft``.
    background_method : {"median", "model", None}
        Background that is taken off before the fit and put back after it: clipped median, smooth
        model, or nothing.
    background_box_size : tuple of int, optional
        Box (y, x) of the model in pixels; the largest divisors of the shape up to 32 if None.
    n_sigma : float
        Clipping of the background mask, image by image, after the background was taken off; 0 for
        none. There is none either without a background.
    frequencies : tuple of float
        `fourier_series.FREQUENCIES`, or `fourier_series.ALLSLITS_FREQUENCIES` for the subarray
        ALLSLITS. Not used for full frames.

    Raises
    ------
    ValueError
        If a method is not known, or the clipping is negative.
    """

    fit_method: str = "median"
    fit_by_channel: bool = False
    background_method: str | None = "median"
    background_box_size: tuple[int, int] | None = None
    n_sigma: float = 2.0
    frequencies: tuple[float, float, float, float] = FREQUENCIES

    def __post_init__(self):
        if self.fit_method not in ("median", "fft"):
            raise ValueError(f"fit_method is {self.fit_method!r}; it must be 'median' or 'fft'")
        if self.background_method not in ("median", "model", None):
            raise ValueError(
                f"background_method is {self.background_method!r}; it must be 'median', 'model' "
                "or None"
            )
        if not self.n_sigma >= 0:
            raise ValueError(f"n_sigma is {self.n_sigma}; it must not be negative")


@dataclass(frozen=True)
class StandardResult:
    """
    Result of the standard correction; shapes are those of the data.

    Attributes
    ----------
    data : ndarray of float32
        Corrected data.
    noise : ndarray of float32
        What was taken off: data before minus data after, along a ramp the sum over its groups. The
        product ``flicker_noise`` of the jwst step is minus this.
    background : ndarray of float32
        Background of each image before the fit (of each difference in a ramp, not their sum; 0 in
        its first group), as in the product ``flicker_bkg`` of the jwst step. May be a read-only
        view.
    n_cleaned : int
        Number of images that had any background pixel and were corrected.
    """

    data: np.ndarray
    noise: np.ndarray
    background: np.ndarray
    n_cleaned: int


def clean_ramp_standard(ramp, *, flagged, background_mask, readout, flat=None, options=None):
    """
    Correct the ramp of one integration as the jwst step does.

    Parameters
    ----------
    ramp : ndarray of float32, shape (n_groups, ny, nx)
        Ramp, DN; not modified.
    flagged : ndarray of bool, shape (n_groups, ny, nx)
        Reads to leave out of the fit of the difference that ends with them. In the jwst step these
        are DO_NOT_USE and JUMP_DET of the group flags, but not SATURATED, and no pixel flags.
    background_mask : ndarray of bool, shape (ny, nx)
        True at background pixels.
    readout : crsteps.detector.readout.Readout
        Axes and number of outputs. MIRI imaging is a readout with ``fast_axis=2``, one output.
    flat : ndarray, shape (ny, nx), optional
        Flat field, positive and finite everywhere: differences are divided by it while they are
        fitted.
    options : StandardOptions, optional
        Options.

    Returns
    -------
    StandardResult
        The first group is as it was. A group without any usable background pixel keeps its input,
        as in the jwst step. NaN in a read makes NaN of all later reads of the pixel, as there.

    Raises
    ------
    ValueError
        Fewer than two groups, or shapes that do not fit together.
    """
    ramp = np.asarray(ramp, dtype=np.float32)
    if ramp.ndim != 3 or len(ramp) < 2:
        raise ValueError(
            f"a ramp of shape {ramp.shape} has no differences of groups; give (n_groups, ny, nx) "
            "with at least two groups"
        )
    _check_shape("flags", flagged, ramp.shape)
    _check_images(ramp.shape[1:], background_mask, readout, flat)
    cleaned = clean_images(
        (after - before for before, after in pairwise(ramp)),
        (background_mask & ~flags for flags in flagged[1:]),
        readout,
        flat=flat,
        options=options,
    )
    data, levels, n_cleaned = ramp.copy(), [0.0], 0
    for group, (difference, level) in enumerate(cleaned, start=1):
        levels.append(level)
        if difference is not None:
            data[group] = data[group - 1] + difference
            n_cleaned += 1
    return StandardResult(data, ramp - data, _stack(levels, ramp.shape), n_cleaned)


def clean_rate_standard(image, *, background_mask, readout, flat=None, options=None):
    """
    Correct a rate image, or that of one integration, as the jwst step does.

    Parameters
    ----------
    image : ndarray of float32, shape (ny, nx)
        Rate; NaN pixels are left out of the fit and stay NaN. Not modified.
    background_mask : ndarray of bool, shape (ny, nx)
        True at background pixels. The jwst step leaves no further pixels out, whatever their flags.
    readout, flat, options
        As for `clean_ramp_standard`.

    Returns
    -------
    StandardResult
        The image as it was if there is no usable background pixel.

    Raises
    ------
    ValueError
        Shapes that do not fit together.
    """
    image = np.asarray(image, dtype=np.float32)
    _check_images(image.shape, background_mask, readout, flat)
    ((cleaned, level),) = clean_images(
        [image], [background_mask], readout, flat=flat, options=options
    )
    data = image.copy() if cleaned is None else cleaned.astype(np.float32)
    background = _stack([level], (1, *image.shape))[0]
    return StandardResult(data, image - data, background, int(cleaned is not None))


def complete_flat(flat):
    """
    Replace missing values of a flat field by a smooth model of the others, as the jwst step does.

    Parameters
    ----------
    flat : ndarray of float, shape (ny, nx)
        Flat field, cut out to the window of the data; zeros and values that are not finite are
        missing. Not modified.

    Returns
    -------
    ndarray of float32, shape (ny, nx)
        Flat field without missing values.

    Raises
    ------
    ValueError
        If no value is there.
    """
    flat = np.array(flat, dtype=np.float32)
    missing = ~np.isfinite(flat) | (flat == 0)
    if missing.all():
        raise ValueError("the flat field has no value that is finite and not zero")
    if missing.any():
        flat[missing] = model(flat, ~missing)[missing]
    return flat


def clean_images(images, background_masks, readout, *, flat=None, options=None):
    """
    Take the noise off independent images, small ones many at a time.

    Parameters
    ----------
    images : iterable of ndarray of float32, shape (ny, nx)
        Images; not modified.
    background_masks : iterable of ndarray of bool, shape (ny, nx)
        True at background pixels.
    readout, flat, options
        As for `clean_ramp_standard`.

    Yields
    ------
    cleaned : ndarray of float, shape (ny, nx), or None
        Image without noise; None if it has no usable background pixel.
    background : float, or ndarray of shape (ny, nx)
        Its background, divided by the flat field; 0 if it has no usable pixel.
    """
    options = options or StandardOptions()
    at_once = max(1, _PIXELS_AT_ONCE // (readout.shape[0] * readout.shape[1]))
    pairs = zip(images, background_masks, strict=True)
    while chunk := list(islice(pairs, at_once)):
        parts = [_without_background(image, mask, flat, options) for image, mask in chunk]
        noises = _fit([part[0] for part in parts], [part[1] for part in parts], readout, options)
        for (image, _), (residual, _, level), noise in zip(chunk, parts, noises, strict=True):
            yield _put_back(image, residual, noise, level, flat), level


def _put_back(image, residual, noise, level, flat):
    """Image without noise, in the order of the peer, for its rounding; None if there is none."""
    if residual is None:
        return None
    cleaned = residual - noise
    cleaned += level
    if flat is not None:
        cleaned *= flat
    cleaned[np.isnan(image)] = np.nan
    return cleaned


def _without_background(image, mask, flat, options):
    """Residual, clipped mask and background of an image; (None, None, 0) without usable pixels."""
    image = image / flat.astype(np.float32) if flat is not None else image
    missing = np.isnan(image)
    mask = mask & ~missing
    if not mask.any():
        return None, None, 0.0
    image = np.where(missing, np.float32(0), image)
    if options.background_method is None:
        return image, mask, 0.0
    if options.background_method == "median":
        level, mask = constant_and_mask(image, mask, n_sigma=options.n_sigma)
    else:
        level, mask = model_and_mask(
            image, mask, box=options.background_box_size, n_sigma=options.n_sigma
        )
    return image - level, mask, level


def _fit(residuals, masks, readout, options):
    """Yield the noise of every residual; None for None."""
    if options.fit_method == "fft" and tuple(readout.shape) != FULL_FRAME:
        yield from _fit_subarrays(residuals, masks, readout, options)
        return
    for residual, mask in zip(residuals, masks, strict=True):
        if residual is None:
            yield None
        elif options.fit_method == "fft":
            noise = fit_full_frame(_lines(residual, readout), _lines(mask, readout))
            yield _lines(noise, readout, back=True)
        else:
            yield line_median_image(
                residual,
                mask,
                fast_axis=readout.fast_axis,
                n_outputs=readout.n_outputs if options.fit_by_channel else 1,
            )


def _fit_subarrays(residuals, masks, readout, options):
    """Noise of all residuals at once."""
    there = [i for i, residual in enumerate(residuals) if residual is not None]
    noises = [None] * len(residuals)
    if there:
        fitted = fit_subarray(
            np.array([_lines(residuals[i], readout) for i in there]),
            np.array([_lines(masks[i], readout) for i in there]),
            options=SubarrayOptions(frequencies=options.frequencies),
        )
        for i, noise in zip(there, fitted, strict=True):
            noises[i] = _lines(noise, readout, back=True)
    return noises


def _lines(image, readout, *, back=False):
    """Lines of an image in the order of reading, pixels of a line as in the image; or back."""
    step = 1 if readout.slow_axis > 0 else -1
    if abs(readout.fast_axis) == 1:
        return image[::step]
    return np.ascontiguousarray(image[::step].T if back else image.T[::step])


def _stack(levels, shape):
    """Backgrounds of all images as one array, without copies if all are constants."""
    if all(np.ndim(level) == 0 for level in levels):
        constants = np.array(levels, dtype=np.float32)
        return np.broadcast_to(constants[:, np.newaxis, np.newaxis], shape)
    return np.stack([np.broadcast_to(np.float32(level), shape[1:]) for level in levels])


def _check_images(shape, background_mask, readout, flat):
    _check_shape("background mask", background_mask, shape)
    _check_shape("readout", readout, shape)
    if flat is not None:
        _check_shape("flat field", flat, shape)


def _check_shape(name, array, shape):
    if tuple(array.shape) != tuple(shape):
        raise ValueError(f"the {name} of shape {tuple(array.shape)} must have shape {shape}")
