"""Multiple-accumulated sampling (MACC) and the signal that is estimated from it on board.

A ramp is read in groups of consecutive frames; some frames between two groups are dropped. The
mean of each group is kept, and from the differences of neighbouring groups the electronics of an
instrument such as NISP of Euclid computes one value of the signal and one quality factor per pixel
(Kubik et al. 2016, JATIS 2, 038001).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

__all__ = ["PHOTOMETRIC", "SPECTROSCOPIC", "MaccReadout", "SignalEstimate"]


@dataclass(frozen=True)
class SignalEstimate:
    """
    What is known of a ramp after the estimate on board.

    Attributes
    ----------
    signal : ndarray
        Charge collected between the first and the last group in e-, float32, (ny, nx). Where a
        charge Q arrives at once it is not Q but something from 0 to ``sqrt(n_groups - 1) Q``:
        differences are averaged in square.
    quality : ndarray
        Quality factor, float32, (ny, nx): chi squared of the differences about the estimate less
        their number, ``n_groups - 1``. Where they are unequal it is large, for a straight ramp
        around -1; never below ``1 - n_groups``.
    """

    signal: np.ndarray
    quality: np.ndarray


@dataclass(frozen=True)
class MaccReadout:
    """
    Sampling of a ramp.

    Attributes
    ----------
    n_groups : int
        Number of groups, at least 2.
    n_frames : int
        Frames averaged in a group.
    n_drops : int
        Frames dropped between two groups.
    frame_time : float
        Seconds from one frame to the next.
    """

    n_groups: int
    n_frames: int
    n_drops: int
    frame_time: float = 1.454

    def __post_init__(self):
        if self.n_groups < 2 or self.n_frames < 1 or self.n_drops < 0 or not self.frame_time > 0:
            raise ValueError(
                f"MACC({self.n_groups}, {self.n_frames}, {self.n_drops}) with frames of "
                f"{self.frame_time} s cannot be read: give at least 2 groups of at least 1 frame, "
                "no negative number of drops and a positive time"
            )

    @property
    def name(self) -> str:
        """Numbers of groups, frames and drops, such as "4-16-4"."""
        return f"{self.n_groups}-{self.n_frames}-{self.n_drops}"

    @property
    def integration_time(self) -> float:
        """Seconds from the first group to the last."""
        return (self.n_groups - 1) * (self.n_frames + self.n_drops) * self.frame_time

    @property
    def n_reads(self) -> int:
        """Frames from the reset to the last one of the last group, dropped ones included."""
        return self.n_groups * self.n_frames + (self.n_groups - 1) * self.n_drops

    @property
    def exposure_time(self) -> float:
        """Seconds from the reset, one frame before the first one, to the last frame."""
        return self.n_reads * self.frame_time

    @property
    def alpha(self) -> float:
        """Correlation of the photon noise of neighbouring groups."""
        n_frames = self.n_frames
        return (1 - n_frames**2) / (3 * n_frames * (n_frames + self.n_drops))

    def beta(self, read_noise: float) -> float:
        """
        Read noise of a difference of groups, as the charge that has as much photon noise.

        Parameters
        ----------
        read_noise : float
            Standard deviation of the noise of a single frame in e-.

        Returns
        -------
        beta : float
            Charge in e-.
        """
        return 2 * read_noise**2 / (self.n_frames * (1 + self.alpha))

    def shares(self, times) -> np.ndarray:
        """
        Share of a charge that each group's mean contains, given when it arrives.

        Parameters
        ----------
        times : array_like
            Seconds from the reset to the arrival; the first frame is read one frame after the
            reset. Shape (...).

        Returns
        -------
        shares : ndarray
            Fraction of the group's frames that are read when the charge has arrived or later,
            float64, (n_groups, ...).
        """
        before = np.ceil(np.asarray(times, dtype=float) / self.frame_time)
        last = np.arange(self.n_groups) * (self.n_frames + self.n_drops) + self.n_frames
        last = last.reshape(-1, *[1] * before.ndim)
        return np.clip((last + 1 - before) / self.n_frames, 0, 1)

    def estimate(self, groups, *, read_noise: float) -> SignalEstimate:
        """
        Signal and quality factor of ramps, as computed on board.

        Every difference of groups plus beta is taken for a draw from a normal distribution whose
        variance is (1 + alpha) times its mean; the mean that is most likely gives the signal.

        Parameters
        ----------
        groups : array_like
            Means of the groups in e-, (n_groups, ...), such as (n_groups, ny, nx).
        read_noise : float
            Standard deviation of the noise of a single frame in e- that is assumed for all pixels.

        Returns
        -------
        estimate : SignalEstimate
            Signal and quality factor, each without the axis of groups; NaN where a group is.

        Raises
        ------
        ValueError
            If the number of groups is not that of the readout.
        """
        groups = np.asarray(groups)
        if groups.ndim == 0 or len(groups) != self.n_groups:
            raise ValueError(
                f"groups of shape {groups.shape} do not fit the {self.n_groups} groups of "
                f"{self.name}: the first axis is that of the groups"
            )
        if groups.dtype.kind != "f":
            groups = groups.astype(np.float64)
        beta, width = self.beta(read_noise), 1 + self.alpha
        n = self.n_groups - 1
        square = np.zeros(groups.shape[1:], groups.dtype)
        for earlier, later in pairwise(groups):
            square += (later - earlier + beta) ** 2
        mean = width / 2 * (np.sqrt(1 + 4 / (n * width**2) * square) - 1)
        signal = n * (mean - beta)
        quality = 2 / width * (signal - (groups[-1] - groups[0]))
        return SignalEstimate(signal.astype(np.float32), quality.astype(np.float32))


PHOTOMETRIC = MaccReadout(4, 16, 4)
SPECTROSCOPIC = MaccReadout(15, 16, 11)
