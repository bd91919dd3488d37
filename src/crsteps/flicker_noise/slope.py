"""Mean difference of groups, the image in which the scene is found, and the pixels to leave out."""

import numpy as np

DO_NOT_USE, SATURATED, JUMP_DET, PERSISTENCE = 1, 2, 4, 32
REFERENCE_PIXEL = 1 << 31
# Reads and rates that do not follow the light and the noise of their pixel.
_NOT_TRUSTED = DO_NOT_USE | SATURATED | JUMP_DET | PERSISTENCE


def flagged_reads(groupdq, pixeldq=None):
    """
    Find the reads of an integration that are not to be trusted.

    Parameters
    ----------
    groupdq : ndarray of uint8, shape (n_groups, ny, nx)
        Flags of the reads.
    pixeldq : ndarray of uint32, shape (ny, nx), optional
        Flags of the pixels.

    Returns
    -------
    ndarray of bool, shape (n_groups, ny, nx)
        True at jumps, saturated reads, reads with persistence, reads not to be used, and in all
        reads of reference pixels and of pixels not to be used.
    """
    flagged = (groupdq & _NOT_TRUSTED) > 0
    if pixeldq is not None:
        flagged |= (pixeldq & np.uint32(DO_NOT_USE | REFERENCE_PIXEL)) > 0
    return flagged


def flagged_rates(dq):
    """
    Find the rates that are not to be trusted.

    Parameters
    ----------
    dq : ndarray of uint32, shape (..., ny, nx)
        Flags.

    Returns
    -------
    ndarray of bool, shape (..., ny, nx)
        True at reference pixels, pixels not to be used, with persistence, and pixels whose ramp was
        interrupted by a jump or by saturation: their noise is another mean of that of the reads.
    """
    return (dq & np.uint32(_NOT_TRUSTED | REFERENCE_PIXEL)) > 0


def mean_difference(ramps, flags):
    """
    Mean difference of successive groups of all integrations.

    Parameters
    ----------
    ramps : iterable of ndarray, shape (n_groups, ny, nx)
        Ramp of each integration.
    flags : iterable of ndarray of bool, shape (n_groups, ny, nx)
        Reads to leave out, with both differences that each belongs to.

    Returns
    -------
    ndarray of float32, shape (ny, nx)
        Mean of the usable differences; NaN where there is none.
    """
    total = count = None
    for ramp, flagged in zip(ramps, flags, strict=True):
        if total is None:
            total, count = (np.zeros(ramp.shape[1:], np.float32) for _ in range(2))
        # In the byte order of the machine: files have the other one, which takes longer.
        before = ramp[0].astype(np.float32)
        for group in range(1, len(ramp)):
            after = ramp[group].astype(np.float32)
            difference = after - before
            used = np.isfinite(difference) & ~(flagged[group] | flagged[group - 1])
            total += np.where(used, difference, np.float32(0))
            count += used
            before = after
    total /= np.maximum(count, 1)
    total[count == 0] = np.nan
    return total


def line_weights(n_differences):
    """
    Weights of differences of successive groups in the slope of a straight line through the groups.

    Parameters
    ----------
    n_differences : int
        Differences.

    Returns
    -------
    weights : ndarray, shape (n_differences,)
        Weights; their sum is one.
    variance : float
        Variance of the slope for noise of the groups, in units of that of a difference: neighbours
        share a group, whose noise cancels.
    """
    order = np.arange(1, n_differences + 1)
    weights = order * (n_differences + 1 - order)
    weights = weights / weights.sum()
    return weights, float(np.sum(weights**2) - np.sum(weights[1:] * weights[:-1]))


def mean_rate(rates, flagged):
    """
    Mean rate of the integrations.

    Parameters
    ----------
    rates : ndarray, shape (n, ny, nx)
        Rates.
    flagged : ndarray of bool, shape (n, ny, nx)
        Rates to leave out.

    Returns
    -------
    ndarray of float32, shape (ny, nx)
        Mean of the usable rates; NaN where there is none.
    """
    used = ~flagged & np.isfinite(rates)
    count = used.sum(axis=0)
    total = np.where(used, rates, 0).sum(axis=0, dtype=np.float64)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)
