"""Bins of one axis of the simulated median-minimum diagram."""

from dataclasses import dataclass

import numpy as np

N_BINS = 100
# Steps of the grid from which the edges of adapted bins are taken, and the part of the bins that
# goes with the number of pixels; the others are even on the grid.
_GRID_STEPS = 4000
_SHARE_BY_NUMBER = 0.5


@dataclass(frozen=True)
class AxisBins:
    """
    Bins of one axis, joined from even steps of a grid.

    Attributes
    ----------
    edges : ndarray, shape (n_bins + 1,)
        Edges of the bins.
    unit : float
        The grid is even in arcsinh(value / unit); infinity: in the value.
    first, step : float
        First edge of the grid, and its step.
    table : ndarray of int
        Bin of each step of the grid.
    """

    edges: np.ndarray
    unit: float
    first: float
    step: float
    table: np.ndarray

    @property
    def n_bins(self):
        """Number of bins."""
        return self.edges.size - 1

    def find(self, values):
        """
        Find the bin of each value.

        Parameters
        ----------
        values : ndarray of float32
            Finite values.

        Returns
        -------
        ndarray of int
            Bins; beyond the axis the first or the last one, or one more above the last edge if
            the axis was made so.
        """
        place = values if np.isinf(self.unit) else np.arcsinh(values / np.float32(self.unit))
        # In single precision one value in a million would end up in the bin beside its own.
        index = (place.astype(np.float64) - self.first) / self.step
        return self.table[np.clip(index, 0, self.table.size - 1).astype(np.intp)]


def even_bins(low, high, *, unit=np.inf, overflow=False):
    """
    Bins of one size, or even in arcsinh(value / unit).

    Parameters
    ----------
    low, high : float
        Ends of the axis.
    unit : float, optional
        Values around which the scale turns from linear to logarithmic; infinity: it is linear.
    overflow : bool, optional
        Whether values above the axis are in a bin of their own, which has no edges.

    Returns
    -------
    AxisBins
    """
    low, high = (low, high) if np.isinf(unit) else np.arcsinh(np.array([low, high]) / unit)
    grid = np.linspace(low, high, N_BINS + 1)
    edges = grid if np.isinf(unit) else unit * np.sinh(grid)
    return AxisBins(edges, unit, low, grid[1] - low, np.arange(N_BINS + overflow))


def adapted_bins(low, high, *, unit, values):
    """
    Bins that are narrow where most of the values are.

    Parameters
    ----------
    low, high : float
        Ends of the axis.
    unit : float
        As for `even_bins`, finite.
    values : ndarray
        Values, those outside the axis count for nothing.

    Returns
    -------
    AxisBins
        As many bins as even ones, or fewer where many values are the same.
    """
    grid = np.linspace(*np.arcsinh(np.array([low, high]) / unit), _GRID_STEPS + 1)
    number = np.histogram(np.arcsinh(values / unit), grid)[0].cumsum()
    even = np.arange(1, _GRID_STEPS + 1) / _GRID_STEPS
    measure = _SHARE_BY_NUMBER * number / max(number[-1], 1) + (1 - _SHARE_BY_NUMBER) * even
    # Each step of the grid belongs to the bin in which its upper end lies.
    place = np.minimum((measure / measure[-1] * N_BINS).astype(int), N_BINS - 1)
    _, starts, table = np.unique(place, return_index=True, return_inverse=True)
    edges = unit * np.sinh(np.append(grid[starts], grid[-1]))
    return AxisBins(edges, unit, grid[0], grid[1] - grid[0], table)
