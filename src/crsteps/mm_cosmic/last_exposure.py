"""Pixels hit in every exposure, which only their neighbourhood can tell."""

import numpy as np

NEIGHBOURS = tuple((dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dy, dx) != (0, 0))
# Tracks that cross leave more than one pixel hit in all exposures: the clean ones are looked for
# two pixels around.
_AROUND = tuple((dy, dx) for dy in range(-2, 3) for dx in range(-2, 3) if (dy, dx) != (0, 0))
# What is left of a pixel is hit too if it rises above the clean pixels around by more than a point
# source or a line can, and by this many sigma.
PEAK_RATIO, PEAK_SIGMA = 2.0, 5.0
_FEWEST_NEIGHBOURS = 5
# Highest pixels around that are not believed: they may belong to the same crossing of tracks.
_IGNORED = 2


def flag_last_exposures(hits, candidates, clean, *, extra_relative=0.0):
    """
    Flag the last exposure of pixels where it stands out of the neighbourhood too.

    The order of the values tells nothing about those that agree with the lowest. But where some
    exposures of a pixel are hit, tracks of all the others touch it, and their lowest value is
    more than twice that of the clean pixels around, they are hit as well.

    Parameters
    ----------
    hits : ndarray of bool, shape (n_exposures, ny, nx)
        Masks of the exposures; modified in place.
    candidates : crsteps.mm_cosmic.detection.Candidates
        Tested pixels: all flagged ones are among them.
    clean : ndarray, shape (ny, nx)
        Image of the scene; NaN where no clean value is known. Modified in place.
    extra_relative : float, optional
        Extra variance in units of the signal squared.

    Returns
    -------
    int
        Number of pixels flagged.
    """
    shape = hits.shape[1:]
    finite = np.isfinite(candidates.values)
    n_new = 0
    while True:
        flagged = hits.reshape(hits.shape[0], -1)[:, candidates.index].T
        rows = np.flatnonzero(flagged.any(axis=1) & (finite & ~flagged).any(axis=1))
        left = finite[rows] & ~flagged[rows]
        y, x = np.unravel_index(candidates.index[rows], shape)
        touched = _all_touched(hits, left, y, x)
        rows, left, y, x = rows[touched], left[touched], y[touched], x[touched]
        new = _stands_out(candidates, rows, left, clean, y, x, extra_relative)
        if not new.any():
            return n_new
        exposures, pixels = left[new].T, (y[new], x[new])
        hits[:, *pixels] |= exposures
        clean[pixels] = np.nan
        n_new += int(np.count_nonzero(new))


def _all_touched(hits, left, y, x):
    """Whether each exposure that is left has a flagged pixel next to this one."""
    padded = np.pad(hits, ((0, 0), (1, 1), (1, 1)))
    touched = np.zeros_like(left)
    for dy, dx in NEIGHBOURS:
        touched |= padded[:, y + 1 + dy, x + 1 + dx].T
    return (touched | ~left).all(axis=1)


def _stands_out(candidates, rows, left, clean, y, x, extra_relative):
    """Whether the lowest value left is far above the clean pixels around."""
    value = np.where(left, candidates.values[rows], np.inf).min(axis=1, initial=np.inf)
    highest, n_clean = _clean_around(clean, y, x)
    signal = np.maximum(highest, 0)
    variance = (
        candidates.read_variance[rows].max(axis=1, initial=0)
        + candidates.poisson_factor[rows].max(axis=1, initial=0) * signal
        + candidates.extra_variance[rows]
        + extra_relative * signal**2
    )
    peak = value > PEAK_RATIO * signal + PEAK_SIGMA * np.sqrt(variance)
    return peak & (n_clean >= _FEWEST_NEIGHBOURS)


def _clean_around(clean, y, x):
    """Signal that only `_IGNORED` clean pixels around exceed, and number of clean ones."""
    padded = np.pad(clean, 2, constant_values=np.nan)
    values = np.array([padded[y + 2 + dy, x + 2 + dx] for dy, dx in _AROUND])
    known = np.isfinite(values)
    values[~known] = -np.inf
    return np.sort(values, axis=0)[-1 - _IGNORED], known.sum(axis=0)


def fill_from_neighbours(data, variance, n_used, pixels):
    """
    Replace pixels by the mean of their neighbours, in place.

    The variance is that of the neighbours' values around their mean plus their own mean variance:
    beside a steep profile it is large, as it must be.

    Parameters
    ----------
    data, variance : ndarray, shape (ny, nx)
        Combined image and its variance.
    n_used : ndarray of int, shape (ny, nx)
        Number of exposures used; neighbours with none do not count.
    pixels : ndarray of bool, shape (ny, nx)
        Pixels to replace. Those without a usable neighbour are left as they are.
    """
    y, x = np.nonzero(pixels)
    usable = np.pad((n_used > 0) & np.isfinite(data), 1)
    values, variances = (np.pad(image, 1) for image in (data, variance))
    stack, errors = [], []
    for dy, dx in NEIGHBOURS:
        place = (y + 1 + dy, x + 1 + dx)
        good = usable[place]
        stack.append(np.where(good, values[place], np.nan))
        errors.append(np.where(good, variances[place], np.nan))
    stack, errors = np.array(stack), np.array(errors)
    known = np.isfinite(stack).any(axis=0)
    y, x = y[known], x[known]
    data[y, x] = np.nanmean(stack[:, known], axis=0)
    variance[y, x] = np.nanmean(errors[:, known], axis=0) + np.nanvar(stack[:, known], axis=0)
