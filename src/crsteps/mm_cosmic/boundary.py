"""The limit of detection of a single pixel, as a line in the median-minimum diagram."""

import numpy as np

from crsteps.mm_cosmic.detection import make_thresholds
from crsteps.mm_cosmic.null_model import LOWEST_LOG_PROBABILITY, log_gap_probabilities

_POINTS = 200
_BISECTIONS = 30  # of the logarithm of the gap: to one part in 1e6


def detection_boundary(result, *, n_exposures, cr_coincidences, false_pixels, n_pixels):
    """
    Median minus minimum signal at which a lone pixel becomes too improbable.

    All exposures below the gap are taken to have one value and all above it another: the line is
    that of a typical pixel. Neighbours of flagged pixels are flagged below the line, and where
    the differences between exposures have a large variance, pixels above it are not flagged.

    Parameters
    ----------
    result : crsteps.mm_cosmic.masks.MMCosmicResult
        Result with the distribution of the scene and the typical noise.
    n_exposures : int
        Number of usable exposures.
    cr_coincidences : int
        Exposures that must be hit.
    false_pixels : float
        False pixels asked for in each mask.
    n_pixels : int
        Number of pixels tested.

    Returns
    -------
    signal, difference : ndarray or None
        Minimum signal and median minus minimum signal along the line, data units. None if as few
        hits as ``cr_coincidences`` leave the median of so many exposures unchanged: then there is
        no such line.
    """
    n_upper = min(cr_coincidences, n_exposures - 1)
    n_lower = n_exposures - n_upper
    median_weight = (n_exposures // 2 >= n_lower) / 2 + ((n_exposures - 1) // 2 >= n_lower) / 2
    if median_weight == 0:
        return None
    thresholds = make_thresholds(
        n_exposures=n_exposures,
        n_pixels=n_pixels,
        false_pixels=false_pixels,
        cr_coincidences=cr_coincidences,
        grow_probability=1.0,
    )
    # Beyond this the probability is not computed, and a limit there is never reached.
    limit = max(thresholds.single[n_exposures][n_lower - 1], LOWEST_LOG_PROBABILITY + 1)
    signal = result.prior.signal
    signal = signal[:: max(signal.size // _POINTS, 1)]
    gap = _gap_at(limit, signal.astype(np.float32), n_lower, n_upper, result)
    return signal, median_weight * gap


def _gap_at(limit, signal, n_lower, n_upper, result):
    """Bisect for the gap whose log probability is the limit, at each minimum signal."""
    sigma = np.sqrt(
        result.read_variance
        + result.poisson_factor * np.maximum(signal, 0)
        + result.equivalence.relative_variance * signal**2
    )
    low, high = np.log(1e-2 * sigma), np.log(1e3 * sigma)
    noise = [
        np.full((signal.size, 1), value, dtype=np.float32)
        for value in (result.read_variance, result.poisson_factor)
    ]
    for _ in range(_BISECTIONS):
        gap = (low + high) / 2
        values = np.repeat(signal[:, None], n_lower + n_upper, axis=1).astype(np.float32)
        values[:, n_lower:] += np.exp(gap).astype(np.float32)[:, None]
        probable = (
            log_gap_probabilities(
                values,
                read_variance=noise[0],
                poisson_factor=noise[1],
                extra_variance=0.0,
                relative_variance=result.equivalence.relative_variance,
                prior=result.prior,
            )[:, n_lower - 1]
            > limit
        )
        low, high = np.where(probable, gap, low), np.where(probable, high, gap)
    return np.exp((low + high) / 2)
