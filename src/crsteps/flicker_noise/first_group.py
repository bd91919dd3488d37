"""
Flicker noise of the first group of an integration.

Differences of groups do not know it: a ramp whose differences are clean still holds the noise of
its first group, in every group alike. Slopes do not change with it, but levels do: of ramps of one
group, of reads that are used one by one, and of what is measured on groups.

The first group shows errors of the bias and the reset noise of the pixels too. So outliers are left
out; what is the same in every row belongs to the columns, because noise in time knows no columns;
and the spectrum can be taken from the differences, which do not see the bias. What is constant
along every row cannot be told from noise: the superbias has to be right in that.
"""

import numpy as np

from crsteps.flicker_noise.background import smooth_sky
from crsteps.flicker_noise.cleaning import CleaningOptions, estimate_flicker
from crsteps.flicker_noise.slope import mean_difference

# Pixels further off than this, in robust standard deviations, show a wrong bias.
_OUTLIER_SIGMA = 4.0
_CLIPPING_PASSES = 4


def first_group_time(*, n_frames=1, group_gap=0):
    """
    Time of exposure of the first group.

    Parameters
    ----------
    n_frames : int, optional
        Frames averaged into a group (keyword NFRAMES).
    group_gap : int, optional
        Frames dropped between two groups (keyword GROUPGAP).

    Returns
    -------
    float
        Mean time since the reset, in units of the time from one group to the next.
    """
    return (n_frames + 1) / 2 / (n_frames + group_gap)


def clean_first_group(
    ramp, *, flagged, background_mask, readout, first_time=1.0, spectrum=None, options=None
):
    """
    Remove the flicker noise of the first group from all groups of an integration.

    Parameters
    ----------
    ramp : ndarray, shape (n_groups, ny, nx)
        Ramp without superbias whose differences have been cleaned; not modified.
    flagged : ndarray of bool, shape (n_groups, ny, nx)
        Reads that are not to be trusted; differences with them are not used for slopes. Pixels
        whose first read is flagged, or that have no difference left, are not used at all.
    background_mask : ndarray of bool, shape (ny, nx)
        True where a pixel shows background only (the convention of the standard step).
    readout : crsteps.detector.readout.Readout
        Clocking.
    first_time : float, optional
        Time of the first group as of `first_group_time`.
    spectrum : FlickerSpectrum, optional
        Spectrum of the noise of a difference of groups; see `estimate_first_group`.
    options : CleaningOptions, optional
        Options.

    Returns
    -------
    data : ndarray of float32, shape (n_groups, ny, nx)
        The ramp with the same image subtracted from every group.
    estimate : FlickerEstimate
        Noise of the first group, with one image.

    Raises
    ------
    ValueError
        Too few pixels that show background.
    """
    ramp = np.asarray(ramp, dtype=np.float32)
    # Where there are no differences at all, the light of the first group has to be smooth sky.
    slope = mean_difference([ramp], [flagged]) if len(ramp) > 1 else np.zeros_like(ramp[0])
    estimate = estimate_first_group(
        ramp[0],
        slope=slope,
        first_time=first_time,
        background_mask=background_mask & ~flagged[0],
        readout=readout,
        spectrum=spectrum,
        options=options,
    )
    return ramp - estimate.noise[0], estimate


def estimate_first_group(
    first_group, *, slope, background_mask, readout, first_time=1.0, spectrum=None, options=None
):
    """
    Estimate the flicker noise of a first group.

    Parameters
    ----------
    first_group : ndarray, shape (ny, nx)
        First group without superbias, any unit; not modified.
    slope : ndarray, shape (ny, nx)
        Signal per group of each pixel, from differences without flicker noise; NaN pixels are
        left out.
    background_mask : ndarray of bool, shape (ny, nx)
        True where a pixel shows background only.
    readout : crsteps.detector.readout.Readout
        Clocking.
    first_time : float, optional
        Time of the first group as of `first_group_time`.
    spectrum : FlickerSpectrum, optional
        Spectrum of the noise of a difference of groups. Noise that changes from group to group
        has twice the power in a difference that it has in a group, so half of it is used.
        Measured on the first group when not given, where fixed patterns count as noise.
    options : CleaningOptions, optional
        Options.

    Returns
    -------
    FlickerEstimate
        With one image of noise; the smooth sky is what is left of the bias.

    Raises
    ------
    ValueError
        Too few pixels that show background.
    """
    options = options or CleaningOptions()
    signal = np.float32(first_time) * np.asarray(slope, dtype=np.float32)
    residual = np.asarray(first_group, dtype=np.float32) - signal
    usable, columns = _bias_errors(
        residual, background_mask & np.isfinite(residual), readout, options.sky_box
    )
    if spectrum is not None:
        spectrum = spectrum.scaled(0.5)
    return estimate_flicker(
        (residual - columns)[None],
        background_mask=usable,
        readout=readout,
        spectrum=spectrum,
        options=options,
    )


def _bias_errors(residual, usable, readout, box):
    """Usable pixels without outliers of the bias, and the mean profile along the fast axis."""
    slow = 0 if abs(readout.fast_axis) == 1 else 1
    columns = np.zeros((1, 1), np.float32)
    for _ in range(_CLIPPING_PASSES):
        if not usable.any():
            break
        # The sky sees the rest: it would take what is wide of the columns for itself.
        deviation = residual - smooth_sky(residual - columns, usable, box=box)
        number = np.maximum(usable.sum(axis=slow, keepdims=True), 1)
        columns = np.where(usable, deviation, 0).sum(axis=slow, keepdims=True) / number
        deviation -= columns
        spread = 1.4826 * np.median(np.abs(deviation[usable]))
        usable = usable & (np.abs(deviation) <= _OUTLIER_SIGMA * spread)
    return usable, columns
