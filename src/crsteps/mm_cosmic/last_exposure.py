"""Pixels hit in every exposure, which only their neighbours can tell."""

import numpy as np

NEIGHBOURS = tuple((dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dy, dx) != (0, 0))
# Tracks that cross leave more than one pixel hit in all exposures: the clean ones are looked for
# two pixels around.
_AROUND = tuple((dy, dx) for dy in range(-2, 3) for dx in range(-2, 3) if (dy, dx) != (0, 0))
# A pixel that is left with one exposure is hit in that one too if it rises above all its
# neighbours by more than a point source or line can, and by this many sigma.
PEAK_RATIO, PEAK_SIGMA = 2.0, 5.0
_FEWEST_NEIGHBOURS = 3


def flag_last_exposures(hits, candidates, clean, *, extra_relative=0.0):
    """
    Flag the last exposure of pixels where it stands out of the neighbourhood too.

    The order of the values tells nothing about the lowest. But where all other exposures of a
    pixel are hit, the track of the last one touches it, and its value is more than twice that of
    every clean neighbour, it is hit as well.

    Parameters
    ----------
    hits : ndarray of bool, shape (n_exposures, ny, nx)
        Masks of the exposures; modified in place.
    candidates : crsteps.mm_cosmic.detection.Candidates
        Tested pixels: all flagged ones are among them.
    clean : ndarray, shape (ny, nx)
        Image of the scene; NaN where no clean value is known.
    extra_relative : float, optional
        Extra variance in units of the signal squared.

    Returns
    -------
    int
        Number of pixels flagged.
    """
    shape = hits.shape[1:]
    flagged = hits.reshape(hits.shape[0], -1)[:, candidates.index].T
    left = np.isfinite(candidates.values) & ~flagged
    rows = np.flatnonzero((left.sum(axis=1) == 1) & flagged.any(axis=1))
    if rows.size == 0:
        return 0
    last = left[rows].argmax(axis=1)
    value = candidates.values[rows, last]
    y, x = np.unravel_index(candidates.index[rows], shape)
    highest, n_clean, touched = _neighbourhood(hits, clean, last, y, x)
    signal = np.maximum(highest, 0)
    columns = np.minimum(last, candidates.read_variance.shape[1] - 1)
    variance = (
        candidates.read_variance[rows, columns]
        + candidates.poisson_factor[rows, columns] * signal
        + candidates.extra_variance[rows]
        + extra_relative * signal**2
    )
    peak = value > PEAK_RATIO * signal + PEAK_SIGMA * np.sqrt(variance)
    new = peak & touched & (n_clean >= _FEWEST_NEIGHBOURS)
    hits[last[new], y[new], x[new]] = True
    return int(np.count_nonzero(new))


def _neighbourhood(hits, clean, last, y, x):
    """Highest clean pixel around, number of clean ones, whether the last track touches."""
    padded = np.pad(clean, 2, constant_values=np.nan)
    highest = np.full(y.size, -np.inf)
    n_clean = np.zeros(y.size, dtype=int)
    for dy, dx in _AROUND:
        values = padded[y + 2 + dy, x + 2 + dx]
        known = np.isfinite(values)
        n_clean += known
        highest[known] = np.maximum(highest[known], values[known])
    touched = np.zeros(y.size, dtype=bool)
    ny, nx = clean.shape
    for dy, dx in NEIGHBOURS:
        inside = (y + dy >= 0) & (y + dy < ny) & (x + dx >= 0) & (x + dx < nx)
        touched[inside] |= hits[last[inside], y[inside] + dy, x[inside] + dx]
    return highest, n_clean, touched


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
