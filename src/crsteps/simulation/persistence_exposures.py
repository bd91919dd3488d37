"""Exposures that show what earlier ones left in the pixels, with the history and the truth.

A stimulus is an image of stars, galaxies and spectra, or a flat. The amplitude of the persistence
goes with its charge along straight lines between the logarithms of a few levels, times a factor of
the pixel; the slope is one of the pixel. Released charge is the sum over all frames of the rate,
integrated from frame to frame by Gauss-Legendre quadrature, at some slopes between which a spline
interpolates its logarithm; nothing is shared with the package's own integrals.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import CubicSpline

from crsteps.detector.macc import MaccReadout
from crsteps.simulation.slew_dark_options import SlewDarkOptions
from crsteps.simulation.slew_dark_ramps import arrival_profile
from crsteps.simulation.slew_dark_scene import PersistenceOptions, make_persistence
from crsteps.simulation.slew_darks import SlewDark, simulate_slew_dark

__all__ = [
    "FULL_WELL",
    "LEVELS",
    "Afterglow",
    "KnownRamp",
    "PixelMemory",
    "SourceStimulus",
    "draw_memory",
    "expected_groups",
    "expected_rate",
    "ramp_with_persistence",
    "simulate_stimulus_fluence",
    "slew_dark_with_persistence",
]

FULL_WELL = 1.2e5
"""Charge in e- that no pixel exceeds."""
LEVELS = ((1e3, 0.001), (2e4, 0.03), (6e4, 0.2), (1.2e5, 0.6))
"""Charge in e- and the rate in e-/s at 1000 s that it leaves: about what flats leave in NISP."""

_REFERENCE_TIME = 1000.0
_SLOPES = (0.15, 1.95)
_SLOPE_NODES = 81
_QUADRATURE_NODES = 8
# Sources on 2040 x 2040 pixels, with their peaks in e-.
_SOURCES = {
    "image": PersistenceOptions(n_sources=3000, peak=(3e3, 1e7), n_spectra=0, limit=np.inf),
    "spectra": PersistenceOptions(
        n_sources=0, n_spectra=300, spectrum_peak=(3e3, 3e5), limit=np.inf
    ),
}
# Slopes of pixels whose charge is taken to arrive with the same profile; the charge itself is that
# of each pixel's slope.
_SLOPE_STEP = 0.1


@dataclass(frozen=True)
class PixelMemory:
    """
    How pixels remember.

    Attributes
    ----------
    scale : ndarray
        Factor of the amplitude, float64, (ny, nx).
    gamma : ndarray
        Slope of the decay, float64, (ny, nx).
    """

    scale: np.ndarray
    gamma: np.ndarray

    def amplitude(self, fluence):
        """
        Rate at 1000 s that a charge leaves.

        Parameters
        ----------
        fluence : array_like
            Charge in e-, (ny, nx).

        Returns
        -------
        amplitude : ndarray
            Rate in e-/s, float64, (ny, nx), in proportion to the charge below the first level.
        """
        level, rate = np.array(LEVELS).T
        charge = np.clip(fluence, 0, FULL_WELL).astype(np.float64)
        log_rate = np.interp(np.log(np.maximum(charge, level[0])), np.log(level), np.log(rate))
        return self.scale * np.exp(log_rate) * np.minimum(charge / level[0], 1.0)


@dataclass(frozen=True)
class SourceStimulus:
    """
    An exposure of sources, and what it tells of its charge.

    Attributes
    ----------
    fluence : ndarray
        Charge at the end in e-, float32, (ny, nx), never above `FULL_WELL`.
    measured : ndarray
        The same with photon and read noise, infinite where the pixel is full, float32.
    """

    fluence: np.ndarray
    measured: np.ndarray


@dataclass(frozen=True)
class Afterglow:
    """
    Persistence after one stimulus, as it is.

    Attributes
    ----------
    amplitude : ndarray
        Rate at 1000 s in e-/s, (ny, nx).
    gamma : ndarray
        Slope, (ny, nx).
    delay : float
        Seconds from the end of the stimulus to the reset of the exposure that shows it.
    """

    amplitude: np.ndarray
    gamma: np.ndarray
    delay: float


@dataclass(frozen=True)
class KnownRamp:
    """
    A ramp with persistence and its truth.

    Attributes
    ----------
    groups : ndarray
        Charge in e-, float32, (n_groups, ny, nx).
    persistence : ndarray
        Expected charge of persistence in each group in e-, float32, likewise.
    light : ndarray
        Rate of all else in e-/s, (ny, nx).
    """

    groups: np.ndarray
    persistence: np.ndarray
    light: np.ndarray


def draw_memory(shape, *, seed, gamma=1.0, amplitude_scatter=0.0, gamma_scatter=0.0):
    """
    Draw how pixels remember.

    Parameters
    ----------
    shape : tuple of int
        Shape (ny, nx).
    seed : int
        Seed of the random numbers.
    gamma : float
        Mean slope.
    amplitude_scatter, gamma_scatter : float
        Standard deviation among pixels of the amplitude, relative to its mean, and of the slope.
        Amplitudes are kept above a twentieth of the mean, slopes within 0.2 and 1.9.

    Returns
    -------
    memory : PixelMemory
        Factor of the amplitude, and slope.
    """
    rng = np.random.default_rng([seed, 1])
    scale = rng.normal(1.0, amplitude_scatter, shape).clip(0.05, None)
    return PixelMemory(scale, rng.normal(gamma, gamma_scatter, shape).clip(0.2, 1.9))


def simulate_stimulus_fluence(shape, *, seed, kind="image", sky=100.0, read_noise=7.0):
    """
    Simulate an exposure that lights the pixels.

    Parameters
    ----------
    shape : tuple of int
        Shape (ny, nx).
    seed : int
        Seed of the random numbers; another one is another pointing.
    kind : {"image", "spectra"}
        Stars and galaxies, some of which fill their pixels, or dispersed spectra.
    sky : float
        Charge of the sky in e-.
    read_noise : float
        Noise of what is measured in e-, without photon noise.

    Returns
    -------
    stimulus : SourceStimulus
        Charge, and what the exposure tells of it.

    Raises
    ------
    ValueError
        If the kind is not known.
    """
    if kind not in _SOURCES:
        raise ValueError(f'a stimulus cannot be of kind "{kind}"; give "image" or "spectra"')
    rng = np.random.default_rng([seed, 2, kind == "spectra"])
    light = sum(make_persistence(shape, _SOURCES[kind], rng)) + np.float32(sky)
    full = light >= FULL_WELL
    fluence = np.where(full, np.float32(FULL_WELL), light)
    noise = rng.standard_normal(shape, np.float32) * np.sqrt(fluence + np.float32(read_noise**2))
    return SourceStimulus(fluence, np.where(full, np.float32(np.inf), fluence + noise))


def expected_groups(afterglows, readout: MaccReadout):
    """
    Expected charge of persistence in the groups of a ramp.

    Parameters
    ----------
    afterglows : sequence of Afterglow
        Persistence after each stimulus; they add.
    readout : MaccReadout
        Sampling of the ramp; the first frame is read one frame time after the reset.

    Returns
    -------
    charge : ndarray
        Charge since the reset in e-, the mean over the frames of each group, float32,
        (n_groups, ny, nx).
    """
    total = 0.0
    for glow in afterglows:
        spline = _log_spline(_of_groups(_unit_charge(glow.delay, readout), readout))
        total = total + glow.amplitude * np.exp(np.moveaxis(spline(glow.gamma), -1, 0))
    return np.asarray(total, np.float32)


def expected_rate(afterglows, readout: MaccReadout):
    """
    Expected rate that persistence adds to an exposure.

    Parameters
    ----------
    afterglows : sequence of Afterglow
        Persistence after each stimulus; they add.
    readout : MaccReadout
        Sampling of the ramp.

    Returns
    -------
    rate : ndarray
        Charge of the last group less that of the first over the integration time in e-/s, float32,
        (ny, nx).
    """
    charge = sum(_signal(glow, readout) for glow in afterglows)
    return np.asarray(charge / readout.integration_time, np.float32)


def ramp_with_persistence(afterglows, *, readout, seed, light=0.0, read_noise=10.0):
    """
    Simulate a ramp frame by frame.

    Parameters
    ----------
    afterglows : sequence of Afterglow
        Persistence after each stimulus, at least one.
    readout : MaccReadout
        Sampling of the ramp.
    seed : int
        Seed of the random numbers.
    light : float or ndarray
        Rate of all else in e-/s.
    read_noise : float
        Noise of a frame in e-.

    Returns
    -------
    ramp : KnownRamp
        Groups, with the photon noise of light and persistence, and truth.
    """
    rng = np.random.default_rng([seed, 3])
    shape = afterglows[0].amplitude.shape
    light = np.broadcast_to(np.asarray(light, np.float64), shape)
    units = [(glow, _unit_charge(glow.delay, readout)) for glow in afterglows]
    before, charge = np.zeros(shape), np.zeros(shape)
    groups = np.zeros((readout.n_groups, *shape))
    persistence = np.zeros_like(groups)
    for frame in range(readout.n_reads):
        released = sum(
            glow.amplitude * np.exp(_log_spline(unit[:, frame])(glow.gamma)) for glow, unit in units
        )
        charge += rng.poisson(released - before + light * readout.frame_time)
        before = released
        group, place = divmod(frame, readout.n_frames + readout.n_drops)
        if place < readout.n_frames:
            noise = read_noise * rng.standard_normal(shape)
            groups[group] += (charge + noise) / readout.n_frames
            persistence[group] += released / readout.n_frames
    return KnownRamp(groups.astype(np.float32), persistence.astype(np.float32), light)


def slew_dark_with_persistence(
    afterglows, options: SlewDarkOptions, *, seed, detector="DET11"
) -> SlewDark:
    """
    Simulate a slew dark that shows known persistence.

    Parameters
    ----------
    afterglows : sequence of Afterglow
        Persistence after each stimulus, in images of the shape of the options.
    options : SlewDarkOptions
        What else is simulated; its own persistence is added if it is asked for.
    seed : int
        Seed of the random numbers.
    detector : str
        Name of the detector.

    Returns
    -------
    dark : SlewDark
        Image and truth. Without afterglows all else is the same, down to the noise.
    """
    arriving = []
    inside = np.zeros(options.shape, bool)
    inside[options.active] = True
    for glow in afterglows:
        charge = np.where(inside, _signal(glow, options.readout), 0).astype(np.float32)
        step = np.rint(glow.gamma / _SLOPE_STEP).astype(int)
        for index in np.unique(step[charge > 0]):
            profile = arrival_profile(
                options.readout, delay=glow.delay, index=float(index * _SLOPE_STEP)
            )
            arriving.append((np.where(step == index, charge, np.float32(0)), profile))
    return simulate_slew_dark(options, seed=seed, detector=detector, arriving=arriving)


def _unit_charge(delay, readout):
    """Charge from the reset to each frame for 1 e-/s at 1000 s, (n_slopes, n_reads)."""
    nodes, weights = np.polynomial.legendre.leggauss(_QUADRATURE_NODES)
    start = delay + readout.frame_time * np.arange(readout.n_reads)
    times = start[:, np.newaxis] + readout.frame_time * (nodes + 1) / 2
    gamma = np.linspace(*_SLOPES, _SLOPE_NODES)[:, np.newaxis, np.newaxis]
    rates = (times / _REFERENCE_TIME) ** -gamma
    return np.cumsum(rates @ weights * readout.frame_time / 2, axis=-1)


def _of_groups(charge, readout):
    """Means over the frames of each group, along the last axis."""
    period = readout.n_frames + readout.n_drops
    whole = np.pad(charge, [(0, 0), (0, readout.n_groups * period - readout.n_reads)])
    by_group = whole.reshape(len(charge), readout.n_groups, period)
    return by_group[..., : readout.n_frames].mean(axis=-1)


def _log_spline(values):
    """Logarithm of values, (n_slopes, ...), as a function of the slope."""
    return CubicSpline(np.linspace(*_SLOPES, _SLOPE_NODES), np.log(values))


def _signal(glow, readout):
    """Charge of the last group less that of the first in e-, (ny, nx)."""
    groups = _of_groups(_unit_charge(glow.delay, readout), readout)
    return glow.amplitude * np.exp(_log_spline(groups[:, -1] - groups[:, 0])(glow.gamma))
