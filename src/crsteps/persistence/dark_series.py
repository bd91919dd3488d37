"""When the darks of a series were taken, and what persistence adds to each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crsteps.persistence.group_charge import GroupTimes, unit_group_charge

__all__ = ["DarkTimes"]


@dataclass(frozen=True)
class DarkTimes:
    """
    Times of the darks after a stimulus.

    Attributes
    ----------
    delays : ndarray
        Seconds from the end of the stimulus to the reset of each dark, positive, (n_darks,).
    groups : tuple of GroupTimes
        When the frames of each dark are read; the signal of a dark is the mean of its last group
        minus that of its first.

    Raises
    ------
    ValueError
        If there is no dark, numbers differ, a time is not positive or a dark has one group.
    """

    delays: np.ndarray
    groups: tuple[GroupTimes, ...]

    def __post_init__(self):
        delays = np.atleast_1d(np.asarray(self.delays, np.float64))
        object.__setattr__(self, "delays", delays)
        object.__setattr__(self, "groups", tuple(self.groups))
        if delays.ndim != 1 or not delays.size or len(self.groups) != delays.size:
            raise ValueError(
                f"a series needs darks and one time for each; there are {delays.size} delays and "
                f"{len(self.groups)} readouts"
            )
        if not (np.all(np.isfinite(delays)) and np.all(delays > 0)):
            raise ValueError("every dark has to begin after the end of the stimulus")
        if not all(len(groups.frames) > 1 for groups in self.groups):
            raise ValueError("the signal of a dark needs at least two groups")

    @classmethod
    def same_readout(cls, delays, groups):
        """
        Darks that are all read in the same way.

        Parameters
        ----------
        delays : array_like
            Seconds from the end of the stimulus to the reset of each dark.
        groups : GroupTimes
            When the frames of every dark are read.

        Returns
        -------
        times : DarkTimes
            The times of the series.
        """
        return cls(delays, (groups,) * np.size(delays))

    @classmethod
    def intervals(cls, starts, ends):
        """
        Darks whose signal is the charge between two times.

        Parameters
        ----------
        starts, ends : array_like
            Seconds from the end of the stimulus, (n_darks,), positive and each end after its start.

        Returns
        -------
        times : DarkTimes
            The times of the series.
        """
        starts, ends = np.atleast_1d(starts, ends)
        # a reset in the middle of the time before the start; the signal does not depend on it
        delays = np.asarray(starts, np.float64) / 2
        groups = [
            GroupTimes(([start - delay], [end - delay]))
            for start, end, delay in zip(starts, ends, delays, strict=True)
        ]
        return cls(delays, tuple(groups))

    @property
    def n_darks(self) -> int:
        """Number of darks."""
        return self.delays.size

    @property
    def integration_times(self) -> np.ndarray:
        """Seconds over which each dark collects its signal, float64, (n_darks,)."""
        return np.array([groups.integration_time for groups in self.groups])

    @property
    def middles(self) -> np.ndarray:
        """Seconds from the stimulus to the middle of each dark, float64, (n_darks,)."""
        return self.delays + [groups.mean_times[[0, -1]].mean() for groups in self.groups]

    @property
    def centre(self) -> float:
        """
        Geometric centre of the series in s.

        Amplitudes of this reference time are hardly correlated with the slope.
        """
        first = min(self.delays)
        last = max(
            delay + groups.end for delay, groups in zip(self.delays, self.groups, strict=True)
        )
        return float(np.sqrt(first * last))

    def unit_signals(self, gamma, *, reference_time):
        """
        Signal of each dark for an amplitude of 1 e-/s.

        Parameters
        ----------
        gamma : array_like
            Slopes, (...).
        reference_time : float
            Seconds after the stimulus at which the rate is the amplitude.

        Returns
        -------
        signals : ndarray
            Signals in e-, float64, (..., n_darks).
        """
        gamma = np.asarray(gamma, np.float64)
        signals = np.empty((*gamma.shape, self.n_darks))
        for dark, (delay, groups) in enumerate(zip(self.delays, self.groups, strict=True)):
            charges = unit_group_charge(
                groups, delay=delay, gamma=gamma, reference_time=reference_time
            )
            signals[..., dark] = charges[..., -1] - charges[..., 0]
        return signals
