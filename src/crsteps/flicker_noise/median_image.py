"""Time series with their median over the integrations taken off: ``median_image`` of the jwst step.

Every group (not difference of groups) of an integration is compared with the median of that group
over all integrations, scaled with the brightness of the integration, and the noise is fitted to
what is left. The jwst step takes the brightness from spectra or apertures of the draft slopes,
extracted by steps that need references: a white-light curve for NIRSpec, NIRCam grisms and NIRISS
SOSS, an aperture sum for imaging, and the median of the image for anything else. `image_scales`
is that last one; `white_light_scales` sums the pixels of a mask, as the source or a box around
its trace, which is the white light of any mode without references.
"""

from dataclasses import replace

import numpy as np

from crsteps.flicker_noise.boxes import row_medians
from crsteps.flicker_noise.standard import StandardOptions, StandardResult, clean_images

# Values that are sorted at once: memory stays small beside that of the data.
_SORTED_VALUES = 1 << 24


def clean_median_image(
    ramps,
    *,
    background_mask,
    readout,
    flagged=None,
    scales=None,
    background=None,
    flat=None,
    options=None,
):
    """
    Correct the ramps or rates of a time series with their scaled median, as the jwst step does.

    Parameters
    ----------
    ramps : ndarray of float32, shape (n_integrations, n_groups, ny, nx) or (n_integrations, ny, nx)
        Ramps, or rates of the integrations; not modified.
    background_mask : ndarray of bool, shape (ny, nx) or (n_integrations, ny, nx)
        True at background pixels. The jwst step makes one for each integration here.
    readout : crsteps.detector.readout.Readout
        Axes and number of outputs.
    flagged : ndarray of bool, shape of the ramps, optional
        Reads to leave out of the median and of the fits. The jwst step leaves none out, which is
        what None does.
    scales : ndarray, shape (n_integrations,), optional
        Brightness of the integrations in units of their median, as `white_light_scales` or
        `image_scales` return it. If None, `image_scales` of the rates, or of the difference of
        the last group and the first.
    background : ndarray, optional
        Light that does not follow the scales, in the units of the ramps and of a shape that
        broadcasts to theirs: the jwst step has some for NIRISS SOSS, see `background_ramp`. None
        for 0.
    flat, options
        As for `crsteps.flicker_noise.standard.clean_ramp_standard`; `background_method` is taken
        to be None.

    Returns
    -------
    StandardResult
        Its background is the scaled median with the background. All groups are corrected, the
        first one too.

    Raises
    ------
    ValueError
        Fewer than two integrations, shapes that do not fit together, or no finite scale.

    Notes
    -----
    The scaled median holds a part 1 / n_integrations of the noise of each integration.
    """
    ramps = np.asarray(ramps, dtype=np.float32)
    n = len(ramps)
    if ramps.ndim not in (3, 4) or n < 2:
        raise ValueError(
            f"data of shape {ramps.shape} have no median over integrations; give at least two"
        )
    masks = np.broadcast_to(background_mask, (n, *ramps.shape[-2:]))
    scales = image_scales(_rates(ramps)) if scales is None else _finite_scales(scales)
    if scales.shape != (n,):
        raise ValueError(f"{scales.size} scales do not fit {n} integrations")
    light = 0 if background is None else np.broadcast_to(background, ramps.shape)
    template = _median(ramps - light if background is not None else ramps, flagged)
    options = replace(options or StandardOptions(), background_method=None)
    data, model = ramps.copy(), np.empty_like(ramps)
    n_cleaned = 0
    for i in range(n):
        # In the type of the scales, for the rounding of the peer.
        own = scales[i] * template + (0 if background is None else light[i])
        model[i] = own
        residuals = (ramps[i] - own).astype(np.float32).reshape(-1, *ramps.shape[-2:])
        used = np.broadcast_to(masks[i], residuals.shape)
        if flagged is not None:
            used = used & ~flagged[i].reshape(residuals.shape)
        cleaned = clean_images(residuals, used, readout, flat=flat, options=options)
        own = own.reshape(residuals.shape)
        for group, (image, _) in enumerate(cleaned):
            if image is not None:
                data[i].reshape(residuals.shape)[group] = own[group] + image
                n_cleaned += 1
    return StandardResult(data=data, noise=ramps - data, background=model, n_cleaned=n_cleaned)


def image_scales(rates):
    """
    Brightness of integrations from the medians of their rates.

    Parameters
    ----------
    rates : ndarray of float, shape (n_integrations, ny, nx)
        Rates; NaN pixels do not count.

    Returns
    -------
    ndarray, shape (n_integrations,)
        Medians in units of their median; 1 for integrations without one.

    Raises
    ------
    ValueError
        If no integration has a median, or their median is 0.

    Notes
    -----
    What the jwst step does for data that are no known kind of time series.
    """
    medians = [
        np.median(rate[np.isfinite(rate)]) if np.isfinite(rate).any() else np.nan for rate in rates
    ]
    return _normalised(np.array(medians, dtype=rates.dtype))


def white_light_scales(rates, mask, *, flagged=None):
    """
    Brightness of integrations from the sums of their rates over a mask.

    Parameters
    ----------
    rates : ndarray of float, shape (n_integrations, ny, nx)
        Rates, without the background where that matters; NaN pixels do not count.
    mask : ndarray of bool, shape (ny, nx)
        True at the pixels of the source: the scene mask, or a box around the trace.
    flagged : ndarray of bool, shape (n_integrations, ny, nx), optional
        Rates to leave out.

    Returns
    -------
    ndarray of float64, shape (n_integrations,)
        Sums in units of their median. Pixels that are left out in any integration are left out in
        all, so that they do not change the brightness.

    Raises
    ------
    ValueError
        If no pixel is left, or the median of the sums is 0.
    """
    usable = mask & np.isfinite(rates).all(axis=0)
    if flagged is not None:
        usable &= ~flagged.any(axis=0)
    if not usable.any():
        raise ValueError("no pixel of the source is usable in all integrations")
    return _normalised(rates[:, usable].sum(axis=1, dtype=np.float64))


def background_ramp(background_rate, *, n_groups, n_frames, group_gap, frame_time):
    """
    Background in the groups of ramps from its rate.

    Parameters
    ----------
    background_rate : ndarray of float, shape (n_integrations, ny, nx)
        Rate of the background of each integration, DN per second.
    n_groups, n_frames, group_gap : int
        Groups of an integration, frames averaged in a group, and frames dropped after it (keywords
        NGROUPS, NFRAMES, GROUPGAP).
    frame_time : float
        Seconds of a frame (keyword TFRAME).

    Returns
    -------
    ndarray of float32, shape (n_integrations, n_groups, ny, nx)
        Background at the end of each group, DN.
    """
    frames = n_frames + (n_frames + group_gap) * np.arange(n_groups)
    times = (frames * frame_time)[np.newaxis, :, np.newaxis, np.newaxis]
    return (background_rate[:, np.newaxis] * times).astype(np.float32)


def _rates(ramps):
    if ramps.ndim == 3:
        return ramps
    return ramps[:, -1] - ramps[:, 0] if ramps.shape[1] > 1 else ramps[:, 0]


def _normalised(brightness):
    middle = np.nanmedian(brightness) if np.isfinite(brightness).any() else 0
    if middle == 0:
        raise ValueError("the integrations have no brightness to scale their median with")
    return _finite_scales(brightness / middle)


def _finite_scales(scales):
    """Scales with those that are not finite replaced by the median of the others."""
    scales = np.array(scales)
    finite = np.isfinite(scales)
    if not finite.any():
        raise ValueError("no scale of an integration is finite")
    scales[~finite] = np.median(scales[finite])
    return scales


def _median(ramps, flagged):
    """Median over the integrations of the values that count; NaN where none does."""
    n = len(ramps)
    columns = ramps.reshape(n, -1)
    used = None if flagged is None else ~flagged.reshape(n, -1)
    median = np.empty(columns.shape[1], dtype=np.float32)
    for first in range(0, median.size, max(1, _SORTED_VALUES // n)):
        part = slice(first, first + max(1, _SORTED_VALUES // n))
        values = columns[:, part].T
        counted = ~np.isnan(values)
        if used is not None:
            counted &= used[:, part].T
        median[part], _ = row_medians(values, counted)
    return median.reshape(ramps.shape[1:])
