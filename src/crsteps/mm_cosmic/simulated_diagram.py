"""Median-minimum diagram of simulated exposures without cosmic rays."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class SimulatedDiagram:
    """
    Two-dimensional histogram of simulated pixels without cosmic rays.

    Attributes
    ----------
    counts : ndarray of int64, shape (ny_bins, nx_bins)
        Simulated pixels in each bin, summed over all simulations: rows are bins of median minus
        minimum, columns are bins of the minimum.
    x_edges, y_edges : ndarray, shapes (nx_bins + 1,), (ny_bins + 1,)
        Edges of the bins, image units.
    above : ndarray of int64, shape (nx_bins,)
        Simulated pixels of each column that lie above the last bin.
    n_simulations : int
        Number of sets of exposures that were simulated.
    n_pixels : int
        Pixels of each simulation.
    warnings : tuple of str
        What the user should know.
    """

    counts: np.ndarray
    x_edges: np.ndarray
    y_edges: np.ndarray
    above: np.ndarray
    n_simulations: int
    n_pixels: int
    warnings: tuple
