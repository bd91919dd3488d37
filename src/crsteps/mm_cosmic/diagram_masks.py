"""Masks of the pixels above the boundary of a simulated median-minimum diagram."""

from dataclasses import dataclass

import numpy as np

from crsteps.mm_cosmic.boundary_fit import FittedBoundary
from crsteps.mm_cosmic.simulated_diagram import SimulatedDiagram


@dataclass(frozen=True)
class DiagramMasks:
    """
    What the median-minimum diagram finds; images and masks are (ny, nx).

    Attributes
    ----------
    median : ndarray of bool
        Pixels of the median above the boundary, dilated (the part of MEDIANCR that is found so).
    mean : ndarray of bool
        The same of the mean (MEANCRT).
    exposures : ndarray of bool, shape (n, ny, nx)
        The same of each exposure (CRMASK1..N); not yet restricted to the mask of the mean.
    lowest, median_image : ndarray of float32
        Horizontal coordinate of the diagram, and the median; NaN where no exposure is usable.
    boundary : FittedBoundary
        The boundary.
    simulated : SimulatedDiagram
        The simulated diagram it was fitted to.
    warnings : tuple of str
        What the user should know.
    """

    median: np.ndarray
    mean: np.ndarray
    exposures: np.ndarray
    lowest: np.ndarray
    median_image: np.ndarray
    boundary: FittedBoundary
    simulated: SimulatedDiagram
    warnings: tuple
