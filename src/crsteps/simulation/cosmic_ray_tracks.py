"""Tracks of cosmic rays in a thick detector: charge deposited along lines, spread by diffusion.

Two kinds of particle are drawn. Fast charged particles (muons) cross the sensitive layer in a
straight line of isotropic direction: the projected length is ``thickness * tan(zenith angle)`` and
every element of path leaves a charge that fluctuates like Moyal's approximation to Landau's
distribution. Electrons set free by gamma rays leave their energy in a path that wanders. Both are
sampled several times per pixel and every sample is spread over the pixels by a Gaussian.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr
from scipy.stats import moyal

__all__ = ["TrackPopulation", "Tracks", "deposit_charge", "draw_tracks", "pixel_charges"]

_STEP = 0.2  # pixels of projected path between two samples
_REACH = 2  # pixels on either side of a sample that receive charge: 5 sigma of the diffusion


@dataclass(frozen=True)
class TrackPopulation:
    """What kinds of tracks there are.

    Attributes
    ----------
    worm_fraction : float
        Fraction of the tracks that are scattered electrons.
    thickness : float
        Depth of the sensitive layer in pixels.
    charge_per_pixel : float
        Most probable charge in e- that a fast particle leaves in one pixel length of path.
    straggling : float
        Width of the fluctuation of the charge per sample, in units of its most probable value.
    range_scatter : float
        Standard deviation of the natural logarithm of an electron's projected path at given charge.
    longest : float
        Longest projected path in pixels.
    worm_charge : tuple of float
        Smallest and largest charge of an electron's track in e-; uniform in the logarithm.
    diffusion : tuple of float
        Smallest and largest standard deviation in pixels of the spread of the charge.
    """

    worm_fraction: float = 0.4
    thickness: float = 2.0
    charge_per_pixel: float = 420.0
    straggling: float = 0.3
    range_scatter: float = 1.0
    longest: float = 60.0
    worm_charge: tuple[float, float] = (50.0, 20000.0)
    diffusion: tuple[float, float] = (0.3, 0.4)


@dataclass(frozen=True)
class Tracks:
    """Charge samples of many tracks, each track around its own origin.

    Attributes
    ----------
    track : ndarray
        Number of the track that each sample belongs to, int64, ascending.
    x, y : ndarray
        Position of each sample relative to the middle of its track, in pixels, float64.
    charge : ndarray
        Charge of each sample in e-, float64.
    diffusion : ndarray
        Standard deviation of the spread of each sample in pixels, float64.
    n_tracks : int
        Number of tracks.
    """

    track: np.ndarray
    x: np.ndarray
    y: np.ndarray
    charge: np.ndarray
    diffusion: np.ndarray
    n_tracks: int


def draw_tracks(
    n_tracks: int, rng: np.random.Generator, *, population: TrackPopulation | None = None
) -> Tracks:
    """Draw tracks from a population.

    Parameters
    ----------
    n_tracks : int
        Number of tracks.
    rng : numpy.random.Generator
        Source of the random numbers.
    population : TrackPopulation, optional
        Kinds of tracks; the default population if None.

    Returns
    -------
    tracks : Tracks
        The samples, each track around its own origin.
    """
    population = population or TrackPopulation()
    is_worm = rng.random(n_tracks) < population.worm_fraction
    worm_charge = np.exp(rng.uniform(*np.log(population.worm_charge), n_tracks))
    cosine = rng.uniform(0.0, 1.0, n_tracks)  # isotropic
    straight = population.thickness * np.sqrt(1 - cosine**2) / np.maximum(cosine, 1e-3)
    # An electron loses energy more slowly the faster it is, so its range grows faster than its
    # charge; the exponent is that of the practical range of electrons below 1 MeV.
    wandering = 0.35 * (worm_charge / population.charge_per_pixel) ** 1.2
    wandering *= np.exp(rng.normal(0.0, population.range_scatter, n_tracks))
    length = np.minimum(np.where(is_worm, wandering, straight), population.longest)

    n_samples = np.maximum(np.ceil(length / _STEP).astype(int), 1)
    track = np.repeat(np.arange(n_tracks), n_samples)
    first = np.cumsum(n_samples) - n_samples
    x, y = _paths(length, is_worm, track, first, n_samples, rng)

    weight = moyal.rvs(loc=1.0, scale=population.straggling, size=track.size, random_state=rng)
    weight = np.clip(weight, 0.05, 20.0)
    muon_charge = population.charge_per_pixel * np.hypot(length, population.thickness) / n_samples
    worm_share = worm_charge / np.bincount(track, weights=weight, minlength=n_tracks)
    charge = weight * np.where(is_worm, worm_share, muon_charge)[track]
    diffusion = rng.uniform(*population.diffusion, n_tracks)[track]
    return Tracks(track, x, y, charge, diffusion, n_tracks)


def _paths(length, is_worm, track, first, n_samples, rng):
    """Positions of the samples around the mean position of their track."""
    n_tracks = length.size
    turn = rng.normal(0.0, 0.35, track.size) * is_worm[track]
    turn[first] = rng.uniform(0.0, 2 * np.pi, n_tracks)
    angle = _cumulative_in_track(turn, track, first)
    step = (length / n_samples)[track]
    position = []
    for component in (np.cos(angle), np.sin(angle)):
        along = _cumulative_in_track(step * component, track, first)
        middle = np.bincount(track, weights=along, minlength=n_tracks) / n_samples
        position.append(along - middle[track])
    return position


def _cumulative_in_track(values, track, first):
    """Cumulative sum that starts anew at each track's first sample."""
    total = np.cumsum(values)
    before = np.concatenate([[0.0], total])[first]
    return total - before[track]


def deposit_charge(tracks: Tracks, x, y, *, shape: tuple[int, int]) -> np.ndarray:
    """Charge that tracks leave in the pixels of a detector.

    Parameters
    ----------
    tracks : Tracks
        Samples of the tracks.
    x, y : array_like
        Position of each track's middle in pixels; pixel 0 reaches from -0.5 to 0.5. Charge that
        falls outside the detector is lost.
    shape : tuple of int
        Shape of the detector, (ny, nx).

    Returns
    -------
    charge : ndarray
        Charge in e-, float64, of the given shape.
    """
    _, pixel, charge = pixel_charges(tracks, x, y, shape=shape)
    return np.bincount(pixel, weights=charge, minlength=shape[0] * shape[1]).reshape(shape)


def pixel_charges(tracks: Tracks, x, y, *, shape: tuple[int, int]):
    """Charge of each track in the pixels that it touches.

    Parameters
    ----------
    tracks : Tracks
        Samples of the tracks.
    x, y : array_like
        Position of each track's middle in pixels, as for `deposit_charge`.
    shape : tuple of int
        Shape of the detector, (ny, nx).

    Returns
    -------
    track : ndarray
        Number of the track, int64. The same track and pixel may come several times.
    pixel : ndarray
        Flat index of the pixel, int64.
    charge : ndarray
        Charge in e-, float64.
    """
    ny, nx = shape
    column, across = _pixel_shares(tracks.x + np.asarray(x)[tracks.track], tracks.diffusion)
    row, along = _pixel_shares(tracks.y + np.asarray(y)[tracks.track], tracks.diffusion)
    row, column = row[:, np.newaxis], column[np.newaxis]
    share = along[:, np.newaxis] * across[np.newaxis] * tracks.charge
    inside = (row >= 0) & (row < ny) & (column >= 0) & (column < nx)
    track = np.broadcast_to(tracks.track, share.shape)
    return track[inside], (row * nx + column)[inside], share[inside]


def _pixel_shares(position, sigma):
    """Pixels around each position and the share of a Gaussian's integral that falls in each."""
    nearest = np.rint(position).astype(np.int64)
    pixel = nearest + np.arange(-_REACH, _REACH + 1)[:, np.newaxis]
    upper = ndtr((pixel + 0.5 - position) / sigma)
    lower = ndtr((pixel - 0.5 - position) / sigma)
    return pixel, upper - lower
