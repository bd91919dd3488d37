"""What a decay adds to all groups, or rates, of an exposure, as functions of the slope alone.

The pixels of an exposure share the times, so one short table of coefficients for each decay serves
all of them: see `slope_expansion`. It is extended where a pixel has a slope beyond it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.polynomial import chebyshev

from crsteps.persistence.group_charge import GroupTimes, unit_group_charge
from crsteps.persistence.slope_expansion import (
    SlopeExpansion,
    expand_in_slope,
    product_in_pieces,
)

__all__ = ["DecayCharges", "ExposureLayout"]

# Ranges of slopes are extended by more than is needed, so that it happens seldom.
_MARGIN = 0.25
# Charges are written into float32; a sum of terms this much larger than itself needs float64.
_TOLERANCE = 1e-7
_LARGEST_TERMS = 30.0


@dataclass(frozen=True)
class ExposureLayout:
    """
    Which numbers of an exposure persistence changes, and how its rate follows from them.

    Attributes
    ----------
    times : GroupTimes
        When the frames of an integration are read.
    resets : ndarray
        Time of the reset of each integration in s on the clock of the history, (n_integrations,).
    kind : {"ramp", "rates", "rate"}
        What is changed: the groups of all integrations, a rate for each integration, or one rate
        that is the mean of all integrations.
    each : bool
        Whether each rate of the exposure is wanted besides the mean of all.
    """

    times: GroupTimes
    resets: np.ndarray
    kind: str
    each: bool = False

    @property
    def n_images(self) -> int:
        """Number of ramps, or of rates, that are changed."""
        return 1 if self.kind == "rate" else len(self.resets)

    @property
    def n_changed(self) -> int:
        """How many numbers of a pixel are changed."""
        return self.n_images * (len(self.times.frames) if self.kind == "ramp" else 1)

    @property
    def n_rates(self) -> int:
        """How many rates are wanted: the mean first, then those of the images."""
        return 1 + (self.n_images if self.each else 0)

    def rate_weights(self):
        """
        Weights of the groups of an integration in its rate.

        Returns
        -------
        weights : ndarray
            In 1/s, (n_groups,): the last group less the first one over the integration time; of a
            single group, the charge over the mean time since the reset.
        """
        n_groups = len(self.times.frames)
        weights = np.zeros(n_groups)
        if n_groups == 1:
            weights[0] = 1 / self.times.mean_times[0]
        else:
            weights[-1] = 1 / self.times.integration_time
            weights[0] = -weights[-1]
        return weights

    def rates_of_changed(self):
        """
        Rates as linear functions of the numbers that are changed.

        Returns
        -------
        matrix : ndarray
            In 1/s for ramps, (n_rates, n_changed).
        """
        of_one = self.rate_weights() if self.kind == "ramp" else np.ones(1)
        each = np.kron(np.eye(self.n_images), of_one)
        mean = each.mean(axis=0, keepdims=True)
        return np.vstack([mean, each]) if self.each else mean


class DecayCharges:
    """
    What one decay adds to an exposure.

    Parameters
    ----------
    layout : ExposureLayout
        What is wanted.
    end : float
        End of the stimulus in s on the clock of the history, before the first reset.
    reference_time : float
        Seconds after the end at which the rate is the amplitude.
    """

    def __init__(self, layout, *, end, reference_time):
        self._layout = layout
        self._delays = np.asarray(layout.resets, np.float64) - end
        self._reference_time = reference_time
        self._expansion = None

    def __call__(self, amplitude, gamma):
        """
        Evaluate for some pixels.

        Parameters
        ----------
        amplitude, gamma : ndarray
            Amplitude in e-/s and slope of each pixel, finite, (n,), n > 0.

        Returns
        -------
        added : ndarray
            Type float32, or float64 where that is needed, (n_changed + 2 n_rates, n): what is added
            to the numbers that are changed, in e- or e-/s; to the rates, in e-/s; and the
            derivatives of the rates with respect to the slope.
        """
        low, high = float(gamma.min()), float(gamma.max())
        known = self._expansion
        if known is None or low < known.low or high > known.high:
            if known is not None:
                low, high = min(low, known.low), max(high, known.high)
            margin = _MARGIN * (high - low)
            self._expansion = self._expand(low - margin, high + margin)
        rows = self._expansion.coefficients
        return product_in_pieces(
            rows, self._expansion.basis(gamma, factor=amplitude, dtype=rows.dtype.type)
        )

    def _expand(self, low, high):
        """Coefficients of all that is wanted, in a range of slopes."""
        layout = self._layout
        typical = np.sqrt(self._delays[0] * (self._delays[-1] + layout.times.end))
        log_time = float(np.log(typical / self._reference_time))
        changed = expand_in_slope(
            self._unit_values, low=low, high=high, log_time=log_time, tolerance=_TOLERANCE
        )
        rates = SlopeExpansion(
            layout.rates_of_changed() @ changed.coefficients, changed.low, changed.high, log_time
        ).with_derivative()
        rows = np.vstack([changed.coefficients, rates.coefficients])
        if _largest_terms(rows[: layout.n_changed + layout.n_rates]) < _LARGEST_TERMS:
            rows = rows.astype(np.float32)
        return SlopeExpansion(rows, changed.low, changed.high, log_time)

    def _unit_values(self, slopes):
        """Numbers that are changed at some slopes, (n, 1), one exponential for every frame."""
        charges = [
            unit_group_charge(
                self._layout.times,
                delay=delay,
                gamma=slopes[:, 0],
                reference_time=self._reference_time,
            )
            for delay in self._delays
        ]
        if self._layout.kind == "ramp":
            return np.concatenate(charges, axis=1)
        rates = np.stack([c @ self._layout.rate_weights() for c in charges], axis=1)
        return rates.mean(axis=1, keepdims=True) if self._layout.kind == "rate" else rates


def _largest_terms(coefficients):
    """Largest sum of the sizes of the terms over the value, of functions that have no zero."""
    slopes = np.linspace(-1, 1, 65)
    values = np.abs(chebyshev.chebval(slopes, coefficients.T))
    with np.errstate(divide="ignore"):
        return float(np.max(np.abs(coefficients).sum(axis=1) / values.min(axis=1)))
