"""Options and result of a correction of persistence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["CorrectionOptions", "CorrectionResult"]


@dataclass(frozen=True)
class CorrectionOptions:
    """
    Options of `correct_ramp` and `correct_rates`.

    The significance of a flag is the predicted rate over its error and the noise of the exposure,
    added in quadrature. Thresholds that are None flag nothing.

    Attributes
    ----------
    combine : {"sum", "max"}
        Whether the persistence of several stimuli adds, or the one that is strongest at the first
        reset of the exposure counts alone in each pixel.
    systematic : float
        Error of the model as a fraction of the prediction.
    minimum_significance : float
        Predicted rate over its error below which nothing is subtracted; 0 subtracts all.
    flag_significance, flag_rate : float or None
        Significance, or rate in e-/s, above which a pixel is flagged for its persistence.
    bad_significance, bad_rate : float or None
        The same for pixels that are not to be used.
    thresholds : tuple of float
        Rates in e-/s above which pixels are counted.

    Raises
    ------
    ValueError
        If a number is negative or not finite, or the way to combine is not known.
    """

    combine: str = "sum"
    systematic: float = 0.1
    minimum_significance: float = 1.0
    flag_significance: float | None = None
    flag_rate: float | None = 0.01
    bad_significance: float | None = None
    bad_rate: float | None = None
    thresholds: tuple[float, ...] = (0.1, 0.03, 0.01)

    def __post_init__(self):
        if self.combine not in ("sum", "max"):
            raise ValueError(
                f'persistence cannot be combined by "{self.combine}"; give "sum" or "max"'
            )
        for name, value in vars(self).items():
            values = [] if name == "combine" or value is None else np.atleast_1d(value)
            if not all(np.isfinite(v) and v >= 0 for v in values):
                raise ValueError(f"{name} is {value}; it has to be finite and not negative")


@dataclass(frozen=True)
class CorrectionResult:
    """
    What was predicted, and what was done; images are (ny, nx).

    Attributes
    ----------
    rate : ndarray
        Predicted rate in e-/s, float32, 0 in pixels that no stimulus reaches.
    variance : ndarray
        Its variance in (e-/s)**2, float32, whether it was subtracted or not. The Poisson noise of
        the persistence is not in it: it is in the data, before and after.
    subtracted : ndarray of bool
        Usable pixels in which the persistence was subtracted.
    persistence_flag, bad_flag : ndarray of bool
        Usable pixels above a threshold of persistence, and above the second one.
    thresholds : tuple of float
        Rates in e-/s to which the fractions belong.
    fractions_before : tuple of float
        Usable pixels, of all usable pixels, whose predicted rate is above each threshold.
    fractions_after : tuple of float
        The same for the rate that may remain: the error of the prediction where it was subtracted,
        the predicted rate where it was not. Without a usable pixel fractions are 0.
    n_stimuli : int
        Stimuli that count in at least one pixel of the exposure.
    """

    rate: np.ndarray
    variance: np.ndarray
    subtracted: np.ndarray
    persistence_flag: np.ndarray
    bad_flag: np.ndarray
    thresholds: tuple[float, ...]
    fractions_before: tuple[float, ...]
    fractions_after: tuple[float, ...]
    n_stimuli: int

    @property
    def added_variance(self):
        """Variance in (e-/s)**2 that the subtraction adds to the data, 0 where there was none."""
        return np.where(self.subtracted, self.variance, np.float32(0))
