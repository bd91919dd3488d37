"""Exposures of a fibre-fed spectrograph with cosmic rays, and the truth they were made from.

Fibres lie along x, each with its own throughput and smooth continuum; the sky lines are common to
all fibres and slightly curved with y. Profiles are integrated over the pixels, so that a shift of
an exposure is exact and needs no interpolation. The noise is Poisson noise of the scene plus
Gaussian readout noise. The charge of cosmic rays is added to it and has no noise of its own, so
that the same exposures without cosmic rays are known exactly.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.special import ndtr

from crsteps.simulation.cosmic_ray_tracks import (
    TrackPopulation,
    deposit_charge,
    draw_tracks,
)

__all__ = [
    "FibreExposures",
    "FibreSceneOptions",
    "equal_options",
    "simulate_fibre_exposures",
    "unequal_options",
]

_FWHM = 2 * np.sqrt(2 * np.log(2))
_PROFILE_REACH = 6  # pixels on either side of a fibre's centre that receive its light


@dataclass(frozen=True)
class FibreSceneOptions:
    """What the exposures show and how they differ.

    Attributes
    ----------
    shape : tuple of int
        (ny, nx) in pixels.
    n_exposures : int
        Number of exposures.
    gain : float
        e- per ADU.
    read_noise : float
        Readout noise in e-.
    bias : float
        Bias level in ADU.
    hit_fraction : float
        Expected fraction of the pixels of one exposure in which cosmic rays leave more than three
        times the readout noise.
    n_crossings : int
        Tracks added so that they cross a track of another exposure, beside the coincidences that
        happen by chance.
    flux_factors : tuple of float or None
        Factor of the scene's flux in each exposure; None for 1.
    shifts : tuple of (float, float) or None
        Shift (dx, dy) of the scene in each exposure in pixels; None for no shift.
    fibre_scatter : float
        Standard deviation of the relative scatter of each fibre's flux in each exposure, slowly
        varying along the fibre.
    fibre_spacing, fibre_fwhm, line_fwhm : float
        Geometry in pixels: between fibres, across fibres, along the dispersion.
    continuum : tuple of float
        Smallest and largest peak of a fibre's continuum in e-, uniform in the logarithm.
    line_peaks : tuple of float
        Peaks of the faintest and brightest sky line in e- in a fibre of throughput 1.
    line_spacing : float
        Mean distance between sky lines in pixels.
    line_curvature : float
        Displacement in pixels of a sky line between the middle of the detector and its edge.
    diffuse_light : float
        Background between the fibres in e-.
    tracks : TrackPopulation
        Kinds of cosmic rays.
    """

    shape: tuple[int, int] = (512, 512)
    n_exposures: int = 3
    gain: float = 1.0
    read_noise: float = 3.4
    bias: float = 0.0
    hit_fraction: float = 0.01
    n_crossings: int = 28
    flux_factors: tuple[float, ...] | None = None
    shifts: tuple[tuple[float, float], ...] | None = None
    fibre_scatter: float = 0.0
    fibre_spacing: float = 6.0
    fibre_fwhm: float = 2.5
    line_fwhm: float = 2.8
    continuum: tuple[float, float] = (3.0, 150.0)
    line_peaks: tuple[float, float] = (20.0, 2000.0)
    line_spacing: float = 45.0
    line_curvature: float = 2.0
    diffuse_light: float = 2.0
    tracks: TrackPopulation = field(default_factory=TrackPopulation)

    def __post_init__(self):
        for name in ("flux_factors", "shifts"):
            values = getattr(self, name)
            if values is not None and len(values) != self.n_exposures:
                raise ValueError(
                    f"{name} has {len(values)} entries for {self.n_exposures} exposures; "
                    "give one for each exposure"
                )


@dataclass(frozen=True)
class FibreExposures:
    """Simulated exposures and their truth.

    Attributes
    ----------
    data : ndarray
        Exposures in ADU including the bias, float32, (n_exposures, ny, nx).
    cosmic_ray_free : ndarray
        The same exposures, with the same noise, without cosmic rays, in ADU, float32.
    scene : ndarray
        Expected number of e- without cosmic rays, float32, (n_exposures, ny, nx).
    charge : ndarray
        Charge of the cosmic rays in e-, float32, (n_exposures, ny, nx).
    noise : ndarray
        Standard deviation of an exposure without cosmic rays in e-, float32.
    mean_scene : ndarray
        Mean of ``scene`` over the exposures, float32, (ny, nx).
    options : FibreSceneOptions
        What was simulated.
    """

    data: np.ndarray
    cosmic_ray_free: np.ndarray
    scene: np.ndarray
    charge: np.ndarray
    noise: np.ndarray
    mean_scene: np.ndarray
    options: FibreSceneOptions


def equal_options(*, shape: tuple[int, int] = (512, 512), n_exposures: int = 3, **changes):
    """Options of equivalent exposures.

    Parameters
    ----------
    shape : tuple of int
        (ny, nx) in pixels.
    n_exposures : int
        Number of exposures.
    **changes
        Other attributes of `FibreSceneOptions`.

    Returns
    -------
    options : FibreSceneOptions
        Exposures that differ in noise and cosmic rays only.
    """
    return FibreSceneOptions(shape=shape, n_exposures=n_exposures, **changes)


def unequal_options(*, shape: tuple[int, int] = (512, 512), **changes):
    """Options of three exposures that differ in flux, position and fibre throughput.

    Parameters
    ----------
    shape : tuple of int
        (ny, nx) in pixels.
    **changes
        Other attributes of `FibreSceneOptions`.

    Returns
    -------
    options : FibreSceneOptions
        Flux factors 1, 0.94 and 1.05, shifts up to 0.12 pixels, 5 % scatter of the fibres.
    """
    unequal = {
        "flux_factors": (1.0, 0.94, 1.05),
        "shifts": ((0.0, 0.0), (0.12, -0.05), (-0.08, 0.10)),
        "fibre_scatter": 0.05,
    }
    return FibreSceneOptions(shape=shape, n_exposures=3, **(unequal | changes))


def simulate_fibre_exposures(options: FibreSceneOptions, *, seed: int) -> FibreExposures:
    """Simulate exposures of one scene.

    Parameters
    ----------
    options : FibreSceneOptions
        What to simulate.
    seed : int
        Seed of the random numbers. Scene, differences between the exposures, noise and cosmic rays
        have streams of their own: changing the noise leaves the scene as it is.

    Returns
    -------
    exposures : FibreExposures
        Exposures and truth.
    """
    scene_rng, change_rng, noise_rng, track_rng = np.random.default_rng(seed).spawn(4)
    scene = _expected_exposures(options, scene_rng, change_rng)
    charge = _cosmic_ray_charge(options, track_rng)
    free = np.empty(scene.shape, dtype=np.float32)
    for image, expected in zip(free, scene, strict=True):
        electrons = noise_rng.poisson(expected).astype(np.float64)
        electrons += noise_rng.normal(0.0, options.read_noise, expected.shape)
        image[...] = electrons / options.gain + options.bias
    return FibreExposures(
        data=free + charge / np.float32(options.gain),
        cosmic_ray_free=free,
        scene=scene,
        charge=charge,
        noise=np.sqrt(scene + np.float32(options.read_noise**2)),
        mean_scene=scene.mean(axis=0),
        options=options,
    )


def _expected_exposures(options, scene_rng, change_rng):
    """Expected e- of every exposure, float32."""
    ny, nx = options.shape
    centres = np.arange(
        scene_rng.uniform(0.3, 0.7) * options.fibre_spacing, ny, options.fibre_spacing
    )
    throughput = np.clip(scene_rng.normal(1.0, 0.25, centres.size), 0.2, 2.0)
    continuum = _continua(options, centres.size, scene_rng)
    lines = _sky_lines(options, scene_rng)
    factors = options.flux_factors or (1.0,) * options.n_exposures
    shifts = options.shifts or ((0.0, 0.0),) * options.n_exposures

    scene = np.empty((options.n_exposures, ny, nx), dtype=np.float32)
    for image, factor, (dx, dy) in zip(scene, factors, shifts, strict=True):
        spectra = continuum + throughput[:, np.newaxis] * _line_spectra(options, centres, lines, dx)
        if options.fibre_scatter > 0:
            scatter = _smooth_curves(centres.size, nx, 256.0, change_rng)
            spectra *= np.maximum(1 + options.fibre_scatter * scatter, 0)
        image[...] = factor * (_fibre_image(options, centres + dy, spectra) + options.diffuse_light)
    return scene


def _continua(options, n_fibres, rng):
    """Continuum of each fibre: a level of its own times a smooth curve."""
    level = np.exp(rng.uniform(*np.log(options.continuum), n_fibres))
    shape = np.exp(0.2 * _smooth_curves(n_fibres, options.shape[1], 400.0, rng))
    return level[:, np.newaxis] * shape


def _smooth_curves(n_curves, n_pixels, scale, rng):
    """Smooth random curves of unit standard deviation, (n_curves, n_pixels)."""
    n_knots = int(np.ceil(n_pixels / scale)) + 3
    knots = scale * (np.arange(n_knots) - rng.uniform(0.5, 1.5))
    values = rng.normal(size=(n_knots, n_curves))
    return CubicSpline(knots, values)(np.arange(n_pixels)).T


def _sky_lines(options, rng):
    """Positions and peaks of the sky lines, few bright and many faint ones."""
    nx = options.shape[1]
    n_lines = max(int(nx / options.line_spacing), 1)
    position = rng.uniform(0, nx, n_lines)
    faintest, brightest = np.log(options.line_peaks)
    peak = np.exp(faintest + (brightest - faintest) * rng.random(n_lines) ** 2)
    peak[np.argmax(peak)] = options.line_peaks[1]
    return position, peak


def _line_spectra(options, centres, lines, dx):
    """Sky lines in each fibre, (n_fibres, nx), with `dx` the shift along the dispersion."""
    ny, nx = options.shape
    sigma = options.line_fwhm / _FWHM
    from_middle = (centres - (ny - 1) / 2) / (ny / 2)
    bend = options.line_curvature * from_middle**2
    spectra = np.zeros((centres.size, nx))
    reach = int(np.ceil(6 * sigma + abs(options.line_curvature) + abs(dx))) + 1
    for position, peak in zip(*lines, strict=True):
        x = np.arange(max(int(position) - reach, 0), min(int(position) + reach + 1, nx))
        offset = x - (position + dx + bend[:, np.newaxis])
        spectra[:, x] += peak * _pixel_integral(offset, sigma)
    return spectra


def _pixel_integral(offset, sigma):
    """Gaussian of peak 1 averaged over pixels at the given offsets from its centre."""
    integral = ndtr((offset + 0.5) / sigma) - ndtr((offset - 0.5) / sigma)
    return np.sqrt(2 * np.pi) * sigma * integral


def _fibre_image(options, centres, spectra):
    """Image of the spectra spread across their fibres."""
    ny = options.shape[0]
    image = np.zeros(options.shape)
    for centre, spectrum in zip(centres, spectra, strict=True):
        y = np.arange(
            max(int(centre) - _PROFILE_REACH, 0), min(int(centre) + _PROFILE_REACH + 2, ny)
        )
        profile = _pixel_integral(y - centre, options.fibre_fwhm / _FWHM)
        image[y[0] : y[-1] + 1] += profile[:, np.newaxis] * spectrum
    return image


def _cosmic_ray_charge(options, rng):
    """Charge of cosmic rays in every exposure in e-, float32."""
    charge = np.zeros((options.n_exposures, *options.shape), dtype=np.float32)
    n_mean = options.hit_fraction * charge[0].size / _pixels_per_track(options)
    placed = []
    for image in charge:
        tracks = draw_tracks(rng.poisson(n_mean), rng, population=options.tracks)
        y, x = (rng.uniform(-0.5, size - 0.5, tracks.n_tracks) for size in options.shape)
        image += deposit_charge(tracks, x, y, shape=options.shape)
        placed.append((tracks.x + x[tracks.track], tracks.y + y[tracks.track]))
    struck = rng.integers(options.n_exposures, size=options.n_crossings)
    for number, image in enumerate(charge):
        x, y = _points_on_other_tracks(placed, number, np.count_nonzero(struck == number), rng)
        tracks = draw_tracks(x.size, rng, population=options.tracks)
        image += deposit_charge(tracks, x, y, shape=options.shape)
    return charge


def _points_on_other_tracks(placed, number, n_points, rng):
    """Random points on the tracks of the exposures other than the one of the given number."""
    others = [positions for i, positions in enumerate(placed) if i != number]
    if not any(x.size for x, _ in others):
        return np.empty(0), np.empty(0)
    x, y = (np.concatenate(component) for component in zip(*others, strict=True))
    chosen = rng.integers(x.size, size=n_points)
    return x[chosen], y[chosen]


def _pixels_per_track(options):
    """Mean number of pixels in which a track leaves more than three times the readout noise."""
    n_tracks, side = 3000, 1536  # so sparse that hardly any two tracks meet
    rng = np.random.default_rng(0)  # a property of the population, the same for every seed
    pilot = draw_tracks(n_tracks, rng, population=options.tracks)
    x, y = rng.uniform(0, side, (2, n_tracks))
    charge = deposit_charge(pilot, x, y, shape=(side, side))
    return np.count_nonzero(charge > 3 * options.read_noise) / n_tracks
