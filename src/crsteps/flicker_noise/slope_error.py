"""What the error of the removed flicker noise means for the slope of a ramp."""

import numpy as np

from crsteps.flicker_noise.slope import DO_NOT_USE, JUMP_DET, SATURATED


def slope_error_variance(error_variance, groupdq, *, group_time):
    """
    Variance that the error of the removed noise adds to the slopes of a ramp fit.

    The noise of successive differences of groups shares the read between them with opposite
    sign, and one linear estimate is made of each difference. So the errors do not add up along the
    ramp: error *j* is ``r[j + 1] - r[j]``, where the ``r`` of the reads are independent, each with
    half the variance *e* of the error of a difference, as read noise has. A line fitted to *n*
    reads then has a slope with the variance ``(e / 2) * 12 / ((n**3 - n) * group_time**2)``. (From
    independent errors it would be ``1.2 * e / (n * group_time**2)`` for long ramps, which
    simulations exclude.)

    A ramp that is broken by jumps or flags is fitted in segments, which are combined with the
    inverse variances of their read noise; integrations too. That is how ``VAR_RNOISE`` is made,
    so that the sum of both is the variance for a larger read noise.

    Parameters
    ----------
    error_variance : ndarray, shape (ny, nx) or (n_integrations, ny, nx)
        Variance of the error of the noise removed from one difference of groups.
    groupdq : ndarray of uint8, shape (n_integrations, n_groups, ny, nx)
        Flags of the reads. Reads flagged DO_NOT_USE or SATURATED are not fitted, and a read flagged
        JUMP_DET starts a new segment.
    group_time : float
        Seconds from one group to the next.

    Returns
    -------
    of_rate : ndarray of float32, shape (ny, nx)
        Variance to add to that of the slope of the exposure, in units of `error_variance` per
        second squared; 0 where no two reads follow each other, for nothing was removed there.
    of_integrations : ndarray of float32, shape (n_integrations, ny, nx)
        The same for the slopes of the integrations.

    Raises
    ------
    ValueError
        The shapes do not match.
    """
    n_integrations, _, *shape = groupdq.shape
    if error_variance.shape not in (tuple(shape), (n_integrations, *shape)):
        raise ValueError(
            f"error_variance of shape {error_variance.shape} does not fit ramps of shape "
            f"{groupdq.shape}"
        )
    errors = np.broadcast_to(error_variance, (n_integrations, *shape))
    of_integrations = np.zeros((n_integrations, *shape), np.float32)
    weights, squares = np.zeros(shape), np.zeros(shape)
    for i, error in enumerate(errors):
        weight = _weight(groupdq[i])
        weights += weight
        squares += weight * error
        np.divide(6 * error, weight * group_time**2, out=of_integrations[i], where=weight > 0)
    of_rate = np.zeros(shape, np.float32)
    np.divide(6 * squares, (weights * group_time) ** 2, out=of_rate, where=weights > 0)
    return of_rate, of_integrations


def _weight(groupdq):
    """Sum of n**3 - n over the segments of n reads of each pixel."""
    fitted = (groupdq & (DO_NOT_USE | SATURATED)) == 0
    begins = (groupdq & JUMP_DET) > 0
    weight = np.zeros(groupdq.shape[1:])
    length = np.zeros(groupdq.shape[1:])
    for used, begin in zip(fitted, begins, strict=True):
        ended = ~used | begin
        weight += np.where(ended, length**3 - length, 0)
        length = np.where(ended, 0, length) + used
    return weight + length**3 - length
