"""
Bands of light along the dispersion: spectra, and slices of an integral-field unit.

A filter as long as a spectrum is straight sees it several times fainter than a round one does. And
where bands fill most of a field, so that there is no background on the scale of the sky, there are
still gaps between them: across the dispersion, the lowest level is that of the gaps.
"""

import numpy as np
from scipy import ndimage

from crsteps.flicker_noise.boxes import row_medians
from crsteps.flicker_noise.line_levels import SIGMA_PER_MAD

# Pixels along the dispersion of which medians are taken: bands are tilted by less than a pixel.
SEGMENT = 64
# Fewest pixels across the dispersion in which there are gaps, and those in which their level is
# taken to be the same.
WINDOW, _SAME_LEVEL = 128, 256
# Deviation from the level of the gaps, in standard deviations of the medians, that is light.
LIT_SIGMA = 2.5
# Levels up to this many standard deviations from that of the gaps are gaps.
GAP_SIGMA = 2.5


def find_bands(image, usable, *, dispersion_axis=1, gap_quantile=0.5, n_outputs=1):
    """
    Find bands of light along the dispersion.

    Medians of segments along the dispersion are compared with the level of the gaps nearby: the
    mean of all that is within 2.5 standard deviations of a quantile, twice.

    Parameters
    ----------
    image : ndarray of float, shape (ny, nx)
        Slope image or mean of group differences, stripes included.
    usable : ndarray of bool, shape (ny, nx)
        Pixels to use.
    dispersion_axis : int
        Array axis along which light is dispersed.
    gap_quantile : float
        Where the level of gaps is looked for among the levels across the dispersion. The median
        serves spectra of both signs with gaps in half of the field; a lower one serves fields that
        are fuller of light, which then has to be positive.
    n_outputs : int
        Outputs, which share the axis across the dispersion in equal parts: each has gaps at a level
        of its own.

    Returns
    -------
    ndarray of bool, shape (ny, nx)
        True in bands, and in the pixels next to them across the dispersion.
    """
    if dispersion_axis == 0:
        return np.ascontiguousarray(
            find_bands(image.T, usable.T, gap_quantile=gap_quantile, n_outputs=n_outputs).T
        )
    n_rows, n_columns = image.shape
    margin = (0, -n_columns % SEGMENT)
    segments = [
        np.pad(array, ((0, 0), margin)).reshape(-1, SEGMENT)
        for array in (np.where(usable, image, 0).astype(np.float32), usable)
    ]
    level, n_used = (part.reshape(n_rows, -1) for part in row_medians(*segments))
    known = n_used >= SEGMENT // 4
    # A segment without data counts as gap; it holds nothing to be masked.
    level = np.where(known, level, np.median(level[known]) if known.any() else 0)
    # Light along a band counts in the segments beside, which see the noise of other pixels.
    level = ndimage.correlate1d(level, [0.25, 0.5, 0.25], axis=1, mode="nearest")
    excess, noise = _above_gaps(level, gap_quantile, n_outputs)
    lit = known & (np.abs(excess) > LIT_SIGMA * noise)
    lit = ndimage.binary_dilation(lit, np.ones((3, 1), dtype=bool))
    return lit.repeat(SEGMENT, axis=1)[:, :n_columns]


def _above_gaps(level, gap_quantile, n_outputs):
    """Levels of the segments above those of the gaps, and their noise."""
    difference = np.abs(level[2:] - level[:-2])
    noise = SIGMA_PER_MAD / np.sqrt(2) * np.median(difference) if difference.size else 0.0
    outputs = np.split(level, n_outputs)
    return np.concatenate([own - _gaps(own, noise, gap_quantile) for own in outputs]), noise


def _gaps(level, noise, gap_quantile):
    """Level of the gaps within one output: others have other noise."""
    # An odd number has a median, the same for both signs.
    window = (min(_SAME_LEVEL, len(level)) - 1) // 2 * 2 + 1
    # Windows end where the output does: at its edges they are those of rows further in.
    inside = np.clip(np.arange(len(level)), window // 2, len(level) - 1 - window // 2)
    # One segment at a time: SciPy has a faster filter for one dimension.
    gaps = [ndimage.percentile_filter(own, 100 * gap_quantile, size=window) for own in level.T]
    gaps = np.stack(gaps, axis=1)[inside]
    for _ in range(2):
        in_gap = np.abs(level - gaps) <= GAP_SIGMA * noise
        share = ndimage.uniform_filter1d(in_gap.astype(np.float64), window, axis=0)[inside]
        total = ndimage.uniform_filter1d(np.where(in_gap, level, 0.0), window, axis=0)[inside]
        gaps = np.where(share > 0, total / np.maximum(share, 1e-9), gaps)
    return gaps
