"""Background and noise of a dark, from its own pixels: smooth, and apart for every output."""

from itertools import pairwise

import numpy as np
from scipy import ndimage
from scipy.special import ndtr

# Rows and columns of a box: enough pixels (4096) for the noise to 2 %, and two boxes across an
# output of 64 columns, so that a slope within it can be told from its offset.
BOX = (128, 32)
# Pixels this many sigma above the median are hits, hot pixels or persistence, not noise.
CLIP = 3.0
# With fewer usable pixels a box takes the values of the nearest one with more.
FEWEST_PIXELS = 50
_BELOW = float(ndtr(-1.0))  # share of a normal distribution one sigma below its median
_UNCLIPPED = float(ndtr(CLIP))
_GOLDEN = 0.6180339887498949
_ROUNDING = 12**-0.5  # standard deviation of the error of rounding to whole numbers
_LEAST = 1e-6  # least noise relative to the level: of float32
# With fewer whole numbers than this share, those there are may be whole by chance or by convention.
_FEWEST_WHOLE = 0.25


def estimate_background_and_noise(data, *, usable, n_outputs=32, box=BOX):
    """
    Measure background and noise of a dark from its own pixels.

    Median and lower quantile (one sigma below) of boxes that do not reach across the border of two
    outputs, after what lies more than three sigma above the median has been left out: hits, hot
    pixels and persistence only ever add charge, so the lower half of the distribution is that of
    the noise. The background is linear between the boxes of an output, with steps between outputs;
    the noise is linear from box to box along y only.

    Parameters
    ----------
    data : ndarray of float, shape (ny, nx)
        Dark [ADU]. Whole numbers are taken for numbers rounded to whole ones, if there are many;
        others may be among them, such as pixels from which persistence was subtracted.
    usable : ndarray of bool, shape (ny, nx)
        False where a pixel is not to be used; values that are not finite are not used anyway.
    n_outputs : int
        Number of outputs side by side, each ``nx / n_outputs`` columns.
    box : tuple of int
        Rows and columns of a box, about.

    Returns
    -------
    background : ndarray of float32, shape (ny, nx)
        Background [ADU].
    noise : ndarray of float32, shape (ny, nx)
        Standard deviation of a pixel without charge [ADU], positive. Whole numbers without any
        scatter have the noise of rounding; of those that scatter by less than 1 it is good to a
        quarter only.

    Raises
    ------
    ValueError
        If no pixel is usable, or there are more outputs than columns.
    """
    ny, nx = data.shape
    if not 1 <= n_outputs <= nx:
        raise ValueError(f"n_outputs is {n_outputs}; it must lie between 1 and {nx}, the columns")
    rows, _ = _boxes(ny, 1, box[0])
    columns, outputs = _boxes(nx, n_outputs, box[1])
    median, sigma = _levels(data, usable, rows, columns)
    along = _interpolation(rows, np.zeros(len(rows) - 1, dtype=int))
    level = np.float32(np.median(median))
    background = along @ (median - level) @ _interpolation(columns, outputs).T
    background += level
    # Not extrapolated to the edges: noise must stay positive.
    return background, np.repeat(np.clip(along, 0, 1) @ sigma, np.diff(columns), axis=1)


def _boxes(size, n_segments, length):
    """Edges of boxes that do not reach across segments of equal size, and their segments."""
    borders = -(-np.arange(n_segments + 1) * size // n_segments)
    edges, segments = [0], []
    for k, (start, stop) in enumerate(pairwise(borders)):
        n_boxes = max(1, round((stop - start) / length))
        edges += np.linspace(start, stop, n_boxes + 1)[1:].round().astype(int).tolist()
        segments += [k] * n_boxes
    return np.array(edges), np.array(segments)


def _levels(data, usable, rows, columns):
    """Median and sigma of every box, float32 (rows, columns); both finite, sigma positive."""
    rounded = _share_of_whole_numbers(data)
    # Added to whole numbers it spreads them evenly over the interval that was rounded to them.
    spread = (np.arange(np.diff(rows).max() * np.diff(columns).max()) * _GOLDEN) % 1 - 0.5
    spread = spread.astype(np.float32)
    shape = (len(rows) - 1, len(columns) - 1)
    median, sigma, n_used = np.zeros((3, *shape))
    for j, band in enumerate(pairwise(rows)):
        values_of_band, used_of_band = data[slice(*band)], usable[slice(*band)]
        for i, stripe in enumerate(pairwise(columns)):
            box = np.s_[:, slice(*stripe)]
            values = values_of_band[box][used_of_band[box]]
            values = values[np.isfinite(values)]
            n_used[j, i] = values.size
            if values.size:
                if rounded:
                    whole = values == np.rint(values)
                    values = values + spread[: values.size] * whole
                values.sort()
                median[j, i], sigma[j, i] = _clipped(values)
    if not n_used.any():
        raise ValueError("no usable pixel")
    few = n_used < min(FEWEST_PIXELS, n_used.max())
    if few.any():
        nearest = ndimage.distance_transform_edt(few, return_distances=False, return_indices=True)
        median, sigma = median[tuple(nearest)], sigma[tuple(nearest)]
    # The spread that was added is taken off again; the error of rounding itself stays.
    least = max(_ROUNDING * rounded, _LEAST * max(1.0, np.abs(median).max()))
    sigma = np.sqrt(np.maximum(sigma**2 - rounded * _ROUNDING**2, least**2))
    # Sigma scatters by 2 % from box to box, and nothing in a detector changes as fast.
    sigma = ndimage.median_filter(sigma, size=(5, 1), mode="nearest")
    return median.astype(np.float32), sigma.astype(np.float32)


def _share_of_whole_numbers(data):
    """Share of values (of every so many rows) as the electronics write them; 0 if it is small."""
    sample = data[:: max(1, data.shape[0] // 16)]
    sample = sample[np.isfinite(sample)]
    share = np.mean(sample == np.rint(sample)) if sample.size else 0.0
    return share if share > _FEWEST_WHOLE else 0.0


def _clipped(ordered):
    """Median and sigma of sorted values that lie less than `CLIP` sigma above the median."""
    median, sigma = _median_and_sigma(ordered, ordered.size)
    for _ in range(2):
        below = np.searchsorted(ordered, np.float32(median + CLIP * sigma), side="right")
        # What of the noise itself lies above the limit counts too.
        median, sigma = _median_and_sigma(ordered, min(below / _UNCLIPPED, ordered.size))
    return median, sigma


def _median_and_sigma(ordered, n_used):
    """Median of the first `n_used` sorted values, and its distance from the lower quantile."""
    lower, median = (_value_at(ordered, share * n_used - 0.5) for share in (_BELOW, 0.5))
    return median, median - lower


def _value_at(ordered, place):
    """Sorted values at a fractional place, linear between them."""
    low = min(max(int(place), 0), ordered.size - 1)
    high = min(low + 1, ordered.size - 1)
    share = min(max(place - low, 0.0), 1.0)
    return float(ordered[low]) * (1 - share) + float(ordered[high]) * share


def _interpolation(edges, segments):
    """Matrix (n_pixels, n_boxes), float32: linear between centres of boxes of one segment."""
    matrix = np.zeros((edges[-1], segments.size), dtype=np.float32)
    centres = (edges[:-1] + edges[1:] - 1) / 2
    for k in np.unique(segments):
        boxes = np.flatnonzero(segments == k)
        pixels = np.arange(edges[boxes[0]], edges[boxes[-1] + 1])
        if boxes.size == 1:
            matrix[pixels, boxes] = 1
            continue
        # Extrapolated by half a box at the ends of a segment.
        left = np.searchsorted(centres[boxes[1:-1]], pixels)
        share = (pixels - centres[boxes[left]]) / np.diff(centres[boxes])[left]
        matrix[pixels, boxes[left]] = 1 - share
        matrix[pixels, boxes[left + 1]] = share
    return matrix
