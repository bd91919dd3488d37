"""Darks after flat fields, like those at the end of NISP's block F-007, with truth.

Every pixel has been filled by a flat and releases charge as a power law of time. The darks that
follow one after the other hold that charge, dark current, hot pixels, cosmic rays and noise. The
light is stepped over the detector in bands of rows, so that one series has several levels.

The charge is the mean over every frame of the elementary antiderivative, in extended precision, so
that it shares nothing with the package's own integrals.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.interpolate import CubicSpline

from crsteps.detector.macc import PHOTOMETRIC, MaccReadout
from crsteps.simulation.cosmic_ray_tracks import TrackPopulation, deposit_charge, draw_tracks
from crsteps.simulation.slew_darks import QUIET

__all__ = ["DarkSeries", "DarkSeriesOptions", "simulate_dark_series"]

_REFERENCE_TIME = 1000.0
_SLOPE_NODES = 121


@dataclass(frozen=True)
class DarkSeriesOptions:
    """
    What is simulated.

    Attributes
    ----------
    shape : tuple of int
        Shape (ny, nx) of the images.
    n_darks : int
        Number of darks.
    first_delay, cadence : float
        Seconds from the end of the flats to the reset of the first dark, and from one reset to the
        next.
    readout : MaccReadout
        Sampling of the darks.
    read_noise : float
        Noise of a dark in e- without the photon noise, the whole of the product.
    fluences : tuple of float
        Charge in e- that the flats leave in equal bands of rows, from below.
    amplitudes : tuple of float
        Median rate in e-/s at 1000 s in each band.
    amplitude_scatter : float
        Standard deviation of the natural logarithm of the amplitude among the pixels of a band.
    gamma, gamma_scatter : float
        Mean and standard deviation of the slope among pixels; the slope is kept within 0.2 and 1.9.
    dark_rate : float
        Mean dark current in e-/s; the standard deviation among pixels is a third of it.
    hot_fraction : float
        Fraction of hot pixels, whose dark current is 0.3 to 30 e-/s, uniform in the logarithm.
    hit_rate : float
        Cosmic rays per cm2 and s.
    population : TrackPopulation
        What their tracks look like.
    pixel_pitch : float
        Size of a pixel in cm.
    """

    shape: tuple[int, int] = (96, 96)
    n_darks: int = 27
    first_delay: float = 30.0
    cadence: float = 130.0
    readout: MaccReadout = field(default=PHOTOMETRIC)
    read_noise: float = 7.0
    fluences: tuple[float, ...] = (2e4, 6e4, 1.2e5)
    amplitudes: tuple[float, ...] = (0.03, 0.2, 0.6)
    amplitude_scatter: float = 0.5
    gamma: float = 1.0
    gamma_scatter: float = 0.1
    dark_rate: float = 0.02
    hot_fraction: float = 1e-3
    hit_rate: float = 2.3
    population: TrackPopulation = QUIET
    pixel_pitch: float = 18e-4


@dataclass(frozen=True)
class DarkSeries:
    """
    Darks and what they were made of; images are (ny, nx).

    Attributes
    ----------
    darks : ndarray
        Signal of each dark in e-, float32, (n_darks, ny, nx): the mean of the last group minus that
        of the first.
    delays : ndarray
        Seconds from the end of the flats to the reset of each dark, (n_darks,).
    hits : ndarray
        Charge of cosmic rays in each dark in e-, float32, (n_darks, ny, nx).
    fluence : ndarray
        Charge that the flats left in e-, float32.
    amplitude : ndarray
        Rate of the persistence at 1000 s in e-/s, float64.
    gamma : ndarray
        Slope of its decay, float64.
    dark_rate : ndarray
        Dark current in e-/s, float64.
    options : DarkSeriesOptions
        What was asked for.
    """

    darks: np.ndarray
    delays: np.ndarray
    hits: np.ndarray
    fluence: np.ndarray
    amplitude: np.ndarray
    gamma: np.ndarray
    dark_rate: np.ndarray
    options: DarkSeriesOptions

    def expected_persistence(self, delay):
        """
        Expected signal of the persistence in a dark.

        Parameters
        ----------
        delay : float
            Seconds from the end of the flats to the reset of the dark.

        Returns
        -------
        signal : ndarray
            Signal in e-, float64, (ny, nx).
        """
        return self.amplitude * np.exp(_log_unit_signal(delay, self.options.readout)(self.gamma))


def simulate_dark_series(options=None, *, seed):
    """
    Simulate the darks that follow flat fields.

    Parameters
    ----------
    options : DarkSeriesOptions, optional
        What to simulate; the default if None.
    seed : int
        Seed of the random numbers.

    Returns
    -------
    series : DarkSeries
        Darks and truth.
    """
    options = options or DarkSeriesOptions()
    rng = np.random.default_rng(seed)
    band = np.arange(options.shape[0]) * len(options.fluences) // options.shape[0]
    band = np.broadcast_to(band[:, np.newaxis], options.shape)
    scatter = np.exp(options.amplitude_scatter * rng.standard_normal(options.shape))
    amplitude = np.array(options.amplitudes)[band] * scatter
    gamma = rng.normal(options.gamma, options.gamma_scatter, options.shape).clip(0.2, 1.9)
    dark_rate = _draw_dark_rate(options, rng)
    delays = options.first_delay + options.cadence * np.arange(options.n_darks)

    darks = np.empty((options.n_darks, *options.shape), np.float32)
    hits = np.empty_like(darks)
    for dark, hit, delay in zip(darks, hits, delays, strict=True):
        charge = amplitude * np.exp(_log_unit_signal(delay, options.readout)(gamma))
        charge += dark_rate * options.readout.integration_time
        hit[...] = _draw_hits(options, rng)
        dark[...] = rng.poisson(charge) + hit
        dark += options.read_noise * rng.standard_normal(options.shape, np.float32)
    fluence = np.array(options.fluences, np.float32)[band]
    return DarkSeries(darks, delays, hits, fluence, amplitude, gamma, dark_rate, options)


def _draw_dark_rate(options, rng):
    """Dark current of each pixel."""
    rate = options.dark_rate * rng.normal(1.0, 1 / 3, options.shape).clip(0, None)
    hot = rng.random(options.shape) < options.hot_fraction
    rate[hot] = np.exp(rng.uniform(np.log(0.3), np.log(30.0), np.count_nonzero(hot)))
    return rate


def _draw_hits(options, rng):
    """Charge of cosmic rays between the first and the last group of one dark."""
    ny, nx = options.shape
    area = ny * nx * options.pixel_pitch**2
    n_tracks = rng.poisson(options.hit_rate * area * options.readout.integration_time)
    tracks = draw_tracks(n_tracks, rng, population=options.population)
    x, y = rng.uniform(-0.5, nx - 0.5, n_tracks), rng.uniform(-0.5, ny - 0.5, n_tracks)
    return deposit_charge(tracks, x, y, shape=options.shape)


def _log_unit_signal(delay, readout):
    """Logarithm of the signal for 1 e-/s at 1000 s as a function of the slope, as a spline."""
    s = 1 - np.linspace(0.15, 1.95, _SLOPE_NODES, dtype=np.longdouble)[:, np.newaxis]
    s = np.where(s == 0, np.longdouble(1e-9), s)
    first = np.arange(1, readout.n_frames + 1)
    last = first + (readout.n_groups - 1) * (readout.n_frames + readout.n_drops)
    antiderivative = [
        _REFERENCE_TIME * np.mean(((delay + frames * readout.frame_time) / _REFERENCE_TIME) ** s, 1)
        for frames in (first, last)
    ]
    signal = (antiderivative[1] - antiderivative[0]) / s[:, 0]
    return CubicSpline(1 - s[:, 0].astype(float), np.log(signal).astype(float))
