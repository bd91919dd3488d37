"""Background and noise of a dark, from its own pixels: smooth, and apart for every output."""

from dataclasses import dataclass
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
_LOWER = float(ndtr(-1.0))  # quantile of a normal distribution one sigma below its median
_GOLDEN = 0.6180339887498949
_ROUNDING = 12**-0.5  # standard deviation of the error of rounding to whole numbers
_LEAST = 1e-6  # least noise relative to the level: of float32


@dataclass(frozen=True)
class _Axis:
    """Boxes along one axis, none across the border of a segment."""

    edges: np.ndarray  # first pixel of each box, and the end
    segment: np.ndarray  # segment that each box belongs to

    @classmethod
    def split(cls, size, n_segments, length):
        """Split an axis into segments of equal size, those into boxes of about a length."""
        borders = -(-np.arange(n_segments + 1) * size // n_segments)
        edges, segment = [], []
        for k, (start, stop) in enumerate(pairwise(borders)):
            n_boxes = max(1, round((stop - start) / length))
            edges += list(np.linspace(start, stop, n_boxes + 1)[:-1].round().astype(int))
            segment += [k] * n_boxes
        return cls(np.array([*edges, size]), np.array(segment))

    def gather(self):
        """Pixels of the boxes, (n_boxes, longest box); a short box repeats its last pixel."""
        lengths = np.diff(self.edges)
        pixel = self.edges[:-1, np.newaxis] + np.arange(lengths.max())
        return np.minimum(pixel, self.edges[1:, np.newaxis] - 1), np.arange(
            lengths.max()
        ) >= lengths[:, np.newaxis]

    def interpolation(self):
        """Matrix (n_pixels, n_boxes): linear between the centres of boxes of a segment."""
        matrix = np.zeros((self.edges[-1], self.segment.size), dtype=np.float32)
        centres = (self.edges[:-1] + self.edges[1:] - 1) / 2
        for k in np.unique(self.segment):
            boxes = np.flatnonzero(self.segment == k)
            pixels = np.arange(self.edges[boxes[0]], self.edges[boxes[-1] + 1])
            matrix[pixels[:, np.newaxis], boxes] = _linear(pixels, centres[boxes])
        return matrix


def _linear(pixels, centres):
    """Weights of linear interpolation between centres, and extrapolation by half a box."""
    weights = np.zeros((pixels.size, centres.size), dtype=np.float32)
    if centres.size == 1:
        weights[:] = 1
        return weights
    left = np.clip(np.searchsorted(centres, pixels) - 1, 0, centres.size - 2)
    share = (pixels - centres[left]) / (centres[left + 1] - centres[left])
    row = np.arange(pixels.size)
    weights[row, left] = 1 - share
    weights[row, left + 1] = share
    return weights


def estimate_background_and_noise(data, *, usable, n_outputs=32, box=BOX):
    """
    Measure background and noise of a dark from its own pixels.

    Median and lower quantile (one sigma below) of boxes that do not reach across the border of two
    outputs, after what lies more than three sigma above the median has been left out: hits, hot
    pixels and persistence only ever add charge, so the lower half of the distribution is that of
    the noise. Between the boxes of an output linear, with steps between outputs.

    Parameters
    ----------
    data : ndarray of float, shape (ny, nx)
        Dark [ADU]. Whole numbers are taken for numbers rounded to whole ones.
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
        Standard deviation of a pixel without charge [ADU], positive. Data without any scatter
        have the noise of rounding if they are whole numbers.

    Raises
    ------
    ValueError
        If no pixel is usable, or there are more outputs than columns.
    """
    ny, nx = data.shape
    if not 1 <= n_outputs <= nx:
        raise ValueError(f"n_outputs is {n_outputs}; it must lie between 1 and {nx}, the columns")
    rows, columns = _Axis.split(ny, 1, box[0]), _Axis.split(nx, n_outputs, box[1])
    rounding = _ROUNDING if _is_whole(data) else 0.0
    ordered, n_used = _sorted_boxes(data, usable, rows, columns, spread=rounding > 0)
    if not n_used.any():
        raise ValueError("no usable pixel")
    median, sigma = _clipped(ordered, n_used)
    few = n_used < min(FEWEST_PIXELS, n_used.max())
    shape = (rows.segment.size, columns.segment.size)
    median, sigma, few = (values.reshape(shape) for values in (median, sigma, few))
    if few.any():
        nearest = ndimage.distance_transform_edt(few, return_distances=False, return_indices=True)
        median, sigma = median[tuple(nearest)], sigma[tuple(nearest)]
    # The spread that was added is taken off again; the error of rounding itself stays.
    least = max(rounding, _LEAST * max(1.0, np.abs(median).max()))
    sigma = np.sqrt(np.maximum(sigma**2 - rounding**2, least**2))
    # Sigma scatters by 2 % from box to box, and nothing in a detector changes as fast.
    sigma = ndimage.median_filter(sigma, size=(5, 1), mode="nearest")
    vertical, horizontal = rows.interpolation(), columns.interpolation().T
    level = np.float32(np.median(median))
    background = level + vertical @ (median - level).astype(np.float32) @ horizontal
    noise = vertical @ sigma.astype(np.float32) @ horizontal
    # Extrapolated to the edge, a steep map of noise could fall below zero.
    return background, np.maximum(noise, np.float32(sigma.min()))


def _sorted_boxes(data, usable, rows, columns, *, spread):
    """Sort the usable pixels of each box; the others come last, as infinity."""
    values = np.where(usable & np.isfinite(data), data, np.inf).astype(np.float32, copy=False)
    row, no_row = rows.gather()
    column, no_column = columns.gather()
    boxes = values[row[:, np.newaxis, :, np.newaxis], column[np.newaxis, :, np.newaxis]]
    if no_row.any() or no_column.any():
        repeated = no_row[:, np.newaxis, :, np.newaxis] | no_column[np.newaxis, :, np.newaxis]
        boxes[repeated] = np.inf
    boxes = boxes.reshape(row.shape[0] * column.shape[0], -1)
    if spread:
        # Whole numbers spread evenly over the interval that was rounded to them.
        boxes += (np.arange(boxes.shape[1]) * _GOLDEN % 1 - 0.5).astype(np.float32)
    boxes.sort(axis=1)
    return boxes, np.count_nonzero(np.isfinite(boxes), axis=1)


def _is_whole(data):
    """Tell whether all values (of every so many rows) are whole, as the electronics write them."""
    sample = data[:: max(1, data.shape[0] // 16)]
    sample = sample[np.isfinite(sample)]
    return np.array_equal(sample, np.rint(sample))


def _clipped(ordered, n_used):
    """Median and sigma of sorted boxes, of what lies less than `CLIP` sigma above the median."""
    median, sigma = _median_and_sigma(ordered, n_used)
    for _ in range(2):
        limit = (median + CLIP * sigma).astype(ordered.dtype)
        below = np.count_nonzero(ordered <= limit[:, np.newaxis], axis=1)
        # What of the noise itself lies above the limit counts too.
        median, sigma = _median_and_sigma(ordered, np.minimum(below / ndtr(CLIP), n_used))
    return median, sigma


def _median_and_sigma(ordered, n_used):
    """Median of the first `n_used` values of each row, and its distance from the lower quantile."""
    quantiles = []
    for fraction in (_LOWER, 0.5):
        place = np.maximum(fraction * n_used - 0.5, 0)
        low = place.astype(int)
        high = np.minimum(low + 1, np.maximum(np.ceil(n_used).astype(int) - 1, 0))
        row = np.arange(len(ordered))
        share = place - low
        with np.errstate(invalid="ignore"):  # infinity in boxes without pixels
            quantiles.append(ordered[row, low] * (1 - share) + ordered[row, high] * share)
    lower, median = quantiles
    with np.errstate(invalid="ignore"):
        return median, median - lower
