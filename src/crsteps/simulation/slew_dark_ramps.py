"""Charge that arrives in time, as it is seen by the groups of a MACC readout."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crsteps.detector.macc import MaccReadout
from crsteps.simulation.cosmic_ray_tracks import Tracks, pixel_charges

__all__ = ["Deposits", "arrival_profile", "collect_charge", "deposit_hits"]

_NEGLIGIBLE = 0.01  # e-: charge of one track in one pixel that is not followed further


@dataclass(frozen=True)
class ArrivalProfile:
    """
    When charge of unit mean arrives: each entry belongs to a group.

    Attributes
    ----------
    between : ndarray
        Charge from the last frame of the group before to the first frame of this one.
    within : ndarray
        Charge from the first to the last frame of the group.
    mean_share, variance_of_share : ndarray
        Of the charge within the group: the share of it that the group's mean contains, and the
        variance of that share from electron to electron.
    """

    between: np.ndarray
    within: np.ndarray
    mean_share: np.ndarray
    variance_of_share: np.ndarray


def arrival_profile(
    readout: MaccReadout, *, delay: float = 0.0, index: float = 0.0
) -> ArrivalProfile:
    """
    Arrival of charge whose rate falls as a power of time.

    Parameters
    ----------
    readout : MaccReadout
        Sampling of the ramp.
    delay : float
        Seconds at the reset since the beginning of the decay.
    index : float
        The rate falls as time to the power of ``-index``; 0 for a constant rate.

    Returns
    -------
    profile : ArrivalProfile
        Normalised so that the mean of the last group exceeds that of the first by 1.
    """
    period = readout.n_frames + readout.n_drops
    middle = (np.arange(readout.n_reads) + 0.5) * readout.frame_time
    rate = (delay + middle) ** -index
    shares = readout.shares(middle)
    rate /= (shares[-1] - shares[0]) @ rate
    # the charge before frame k (from 0) is in the mean of its own group with a share below 1,
    # unless k is the group's first frame
    first = np.arange(readout.n_groups) * period
    between, within, mean, variance = np.zeros((4, readout.n_groups))
    for i, start in enumerate(first):
        inside = slice(start + 1, start + readout.n_frames)
        before = slice(start - period + readout.n_frames, start + 1)
        between[i] = rate[before].sum() if i else 0.0  # the level of the first group is arbitrary
        within[i] = rate[inside].sum()
        if within[i] > 0:
            mean[i] = np.average(shares[i, inside], weights=rate[inside])
            variance[i] = np.average((shares[i, inside] - mean[i]) ** 2, weights=rate[inside])
    return ArrivalProfile(between, within, mean, variance)


def collect_charge(groups, charge, profile: ArrivalProfile, rng: np.random.Generator) -> None:
    """
    Add charge with its Poisson noise to the means of groups.

    The numbers of electrons between and within groups are drawn; the share of the latter that the
    mean of their group contains is drawn from a normal distribution of the right mean and variance,
    which is all that matters from a few electrons on.

    Parameters
    ----------
    groups : ndarray
        Means of the groups in e-, float32, (n_groups, ...). Changed in place.
    charge : ndarray
        Expected charge between the first and the last group in e-, (...).
    profile : ArrivalProfile
        When it arrives.
    rng : numpy.random.Generator
        Source of the random numbers.
    """
    total = np.zeros(charge.shape, np.float32)
    for i, group in enumerate(groups):
        if profile.between[i] > 0:
            total += rng.poisson(charge * profile.between[i])
        group += total
        if profile.within[i] > 0:
            within = rng.poisson(charge * profile.within[i]).astype(np.float32)
            group += profile.mean_share[i] * within
            spread = rng.standard_normal(charge.shape, np.float32)
            group += spread * np.sqrt(np.float32(profile.variance_of_share[i]) * within)
            total += within


@dataclass(frozen=True)
class Deposits:
    """
    Charge that arrives in an instant in some pixels.

    Attributes
    ----------
    pixel : ndarray
        Flat index of each pixel, int64, ascending and unique.
    charge : ndarray
        Charge that was deposited in the pixel in e-, float64; 0 in pixels that only see that of
        their neighbours through interpixel coupling.
    in_groups : ndarray
        Signal of it and of its neighbours that each group's mean contains in e-, float64,
        (n_groups, n_pixels).
    """

    pixel: np.ndarray
    charge: np.ndarray
    in_groups: np.ndarray

    def merged(self, other: Deposits) -> Deposits:
        """
        Add the charges of two sets of pixels.

        Parameters
        ----------
        other : Deposits
            Charge of the same detector and readout.

        Returns
        -------
        merged : Deposits
            Sum.
        """
        pixel, place = np.unique(np.concatenate([self.pixel, other.pixel]), return_inverse=True)
        charge, *in_groups = (
            np.bincount(place, weights=np.concatenate(pair), minlength=pixel.size)
            for pair in (
                (self.charge, other.charge),
                *zip(self.in_groups, other.in_groups, strict=True),
            )
        )
        return Deposits(pixel, charge, np.array(in_groups))

    def add_to(self, groups, first_pixel: int) -> None:
        """
        Add the charge to the means of groups of a band of rows.

        Parameters
        ----------
        groups : ndarray
            Means of the groups in e-, (n_groups, n_rows, nx). Changed in place.
        first_pixel : int
            Flat index of the first pixel of the band.
        """
        flat = groups.reshape(len(groups), -1)
        start, end = np.searchsorted(self.pixel, [first_pixel, first_pixel + flat.shape[1]])
        flat[:, self.pixel[start:end] - first_pixel] += self.in_groups[:, start:end]


def deposit_hits(
    tracks: Tracks, x, y, times, *, readout: MaccReadout, shape: tuple[int, int], ipc: float
) -> Deposits:
    """
    Charge of cosmic rays in the pixels and in the groups.

    Parameters
    ----------
    tracks : Tracks
        Samples of the tracks.
    x, y : array_like
        Position of each track's middle in pixels.
    times : array_like
        Seconds from the reset to the arrival of each track.
    readout : MaccReadout
        Sampling of the ramp.
    shape : tuple of int
        Shape of the detector, (ny, nx).
    ipc : float
        Fraction of its signal that a pixel gives to each of its four neighbours.

    Returns
    -------
    deposits : Deposits
        Sums over the tracks.
    """
    track, pixel, charge = pixel_charges(tracks, x, y, shape=shape)
    kept = charge > _NEGLIGIBLE
    track, pixel, charge = track[kept], pixel[kept], charge[kept]
    deposit = charge
    track, pixel, charge = _couple(track, pixel, charge, shape, ipc)
    pixel, place = np.unique(pixel, return_inverse=True)
    before = np.bincount(place[: deposit.size], weights=deposit, minlength=pixel.size)
    shares = readout.shares(times)
    in_groups = np.empty((readout.n_groups, pixel.size))
    for part, share in zip(in_groups, shares, strict=True):
        part[:] = np.bincount(place, weights=charge * share[track], minlength=pixel.size)
    return Deposits(pixel, before, in_groups)


def _couple(track, pixel, charge, shape, ipc):
    """Give a fraction of every charge to the four neighbours of its pixel."""
    ny, nx = shape
    row, column = np.divmod(pixel, nx)
    parts = [(track, pixel, charge * (1 - 4 * ipc))]
    for dy, dx in ((0, 1), (0, -1), (1, 0), (-1, 0)):
        inside = (row + dy >= 0) & (row + dy < ny) & (column + dx >= 0) & (column + dx < nx)
        inside &= charge * ipc > _NEGLIGIBLE
        parts.append((track[inside], pixel[inside] + dy * nx + dx, charge[inside] * ipc))
    return (np.concatenate(values) for values in zip(*parts, strict=True))
