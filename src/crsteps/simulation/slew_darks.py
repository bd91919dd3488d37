"""Slew darks of Euclid NISP with cosmic rays and persistence, and the truth they were made from.

What is assumed: a detector of 2.3 um cut-off with pixels of 18 um and a border of 4 reference
pixels, read in groups (MACC) through 32 outputs side by side. Noise is independent from pixel to
pixel: that of single frames averaged down in a group, and a drift along the ramp, which stands for
the noise at low frequencies. Together the value of the signal scatters by 6.4 e- in the photometric
readout and 8.1 e- in the spectroscopic one; on ground 7 and 9 e- were measured. Signals are linear;
charge saturates only in the 16 bits of the file. Interpixel coupling acts on the charge of cosmic
rays and on the dark current, not on noise. Cosmic rays leave their charge in an instant at a random
time from the reset to the last frame; the truth is the charge that they deposit in a pixel, before
coupling, whether or not the groups can show it. Charge of hits has no Poisson noise beyond the
fluctuation along the track. The reference pixels have noise alone. The value on board is that of
`crsteps.detector.macc`, with the read noise of all pixels taken for that of an ordinary one.

Tracks, tails of the noise, hot pixels, coupling and persistence were chosen, within what is known
of the detectors, such that simple detectors (a threshold on the signal or on the quality factor,
and astroscrappy) find about the same parts of the hits as in an earlier comparison on other
simulated darks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from crsteps.detector.macc import PHOTOMETRIC
from crsteps.simulation.cosmic_ray_tracks import draw_tracks
from crsteps.simulation.slew_dark_options import (
    QUALITY_CUT,
    QUIET,
    SOLAR,
    TRUE_CHARGE,
    SlewDarkOptions,
)
from crsteps.simulation.slew_dark_ramps import Deposits, arrival_profile, deposit_hits
from crsteps.simulation.slew_dark_readout import expected_values, read_ramps
from crsteps.simulation.slew_dark_scene import make_persistence, make_pixels

if TYPE_CHECKING:
    from astropy.table import Table

__all__ = [
    "QUALITY_CUT",
    "QUIET",
    "SOLAR",
    "TRUE_CHARGE",
    "SlewDark",
    "SlewDarkOptions",
    "simulate_slew_dark",
]


@dataclass(frozen=True)
class SlewDark:
    """
    A simulated image of one detector and its truth; arrays are (ny, nx).

    Attributes
    ----------
    data : ndarray
        Signal estimated on board with all offsets in ADU, uint16.
    quality : ndarray
        Quality factor rounded down and clipped to 0...255, or one bit, uint8.
    charge : ndarray
        Charge of cosmic rays in e-, float32. Pixels above `TRUE_CHARGE` count as hit.
    bad : ndarray
        True for bad pixels, bool.
    persistence : ndarray
        Expected charge of persistence between the first and the last group in e-, float32.
    dark : ndarray
        Expected value without offsets, cosmic rays and persistence in ADU, float32: what the mean
        of very many darks would give.
    noise : ndarray
        Approximate standard deviation of the value without cosmic rays and persistence in ADU,
        float32.
    hits : astropy.table.Table
        For each hit its x and y in pixels, time in s since the reset, charge in e- that fell into
        the detector, and whether it is of the solar event.
    options : SlewDarkOptions
        What was simulated.
    detector : str
        Name of the detector.
    """

    data: np.ndarray
    quality: np.ndarray
    charge: np.ndarray
    bad: np.ndarray
    persistence: np.ndarray
    dark: np.ndarray
    noise: np.ndarray
    hits: Table
    options: SlewDarkOptions
    detector: str

    @property
    def truth(self) -> np.ndarray:
        """True where cosmic rays left more than `TRUE_CHARGE`, bool."""
        return self.charge > TRUE_CHARGE


def simulate_slew_dark(
    options: SlewDarkOptions, *, seed: int, detector: str = "DET11", arriving=()
) -> SlewDark:
    """
    Simulate the image of one detector.

    The parts use independent random numbers: one can be changed without changing the others.

    Parameters
    ----------
    options : SlewDarkOptions
        What is simulated.
    seed : int
        Seed of the random numbers.
    detector : str
        Name of the detector; other names give other images.
    arriving : sequence of tuple
        More persistence: expected charge between the first and the last group in e-, float32,
        (ny, nx), and when it arrives (`crsteps.simulation.slew_dark_ramps.ArrivalProfile`).

    Returns
    -------
    dark : SlewDark
        Image and truth. The same options, seed and name give the same arrays.
    """
    entropy = [seed, *detector.encode()]
    of_pixels, of_hits, of_sources, of_reads = np.random.default_rng(entropy).spawn(4)
    shape, readout = options.shape, options.readout
    active = options.active
    inner = tuple(part.stop - part.start for part in active)
    pixels = make_pixels(
        inner,
        of_pixels,
        dark_charge=options.dark_current * readout.integration_time,
        hot_fraction=options.hot_fraction,
        hot_charge=options.hot_charge,
        bad_fraction=options.bad_fraction,
        noisy_fraction=options.noisy_fraction,
    )
    dark = np.zeros(shape, np.float32)
    dark[active] = ndimage.convolve(pixels.dark, _coupling(options.ipc), mode="nearest")
    factor = np.ones(shape, np.float32)
    factor[active] = pixels.noise_factor
    deposits, hits = _hits(options, inner, of_hits)
    charges = [(dark, arrival_profile(readout))]
    charges += [*_persistence(options, inner, of_sources), *arriving]
    jumps = _jumps(pixels.unstable, options, of_pixels)
    instants = [_framed(part, options) for part in (deposits, jumps)]
    data, quality = read_ramps(options, charges, factor, instants, of_reads)
    charge = np.zeros(inner, np.float32)
    charge.reshape(-1)[deposits.pixel] = deposits.charge
    expected, noise = expected_values(dark, factor, options)
    return SlewDark(
        data=data,
        quality=quality,
        charge=_bordered(charge, options),
        bad=_bordered(pixels.bad, options),
        persistence=sum((charge for charge, _ in charges[1:]), np.zeros(shape, np.float32)),
        dark=expected,
        noise=noise,
        hits=hits,
        options=options,
        detector=detector,
    )


def _coupling(ipc):
    return np.array([[0, ipc, 0], [ipc, 1 - 4 * ipc, ipc], [0, ipc, 0]], np.float32)


def _bordered(image, options):
    return np.pad(image, options.border)


def _hits(options, shape, rng):
    """Charge of all hits on the active pixels, and the table of hits."""
    from astropy.table import Table

    readout = options.readout
    expected = options.rate * options.active_area * readout.exposure_time
    parts = []
    for solar, factor in ((False, 1.0), (True, options.solar_factor - 1)):
        number = rng.poisson(expected * factor)
        tracks = draw_tracks(number, rng, population=options.solar if solar else options.galactic)
        y, x = (rng.uniform(-0.5, size - 0.5, number) for size in shape)
        times = rng.uniform(0, readout.exposure_time, number)
        deposits = deposit_hits(tracks, x, y, times, readout=readout, shape=shape, ipc=options.ipc)
        charge = np.bincount(tracks.track, weights=tracks.charge, minlength=number)
        parts.append((deposits, (x, y, times, charge, np.full(number, solar))))
    (galactic, columns), (protons, more) = parts
    columns = [np.concatenate(pair) for pair in zip(columns, more, strict=True)]
    columns[0] += options.border
    columns[1] += options.border
    table = Table(columns, names=("x", "y", "time", "charge", "solar"))
    return galactic.merged(protons), table


def _jumps(unstable, options, rng):
    """Unstable pixels change their level once, up or down."""
    readout = options.readout
    step = rng.choice([-1.0, 1.0], unstable.size) * rng.uniform(30, 500, unstable.size)
    shares = readout.shares(rng.uniform(0, readout.exposure_time, unstable.size))
    return Deposits(unstable, step, step * shares)


def _framed(deposits, options):
    """Count the pixels with those of the border."""
    nx = options.shape[1]
    row, column = np.divmod(deposits.pixel, nx - 2 * options.border)
    pixel = (row + options.border) * nx + column + options.border
    return Deposits(pixel, deposits.charge, deposits.in_groups)


def _persistence(options, shape, rng):
    """Maps of expected charge with the times of its arrival; none without persistence."""
    if not options.persistence:
        return []
    sources = options.sources
    images = make_persistence(shape, sources, rng)
    charges = []
    for image, delay in zip(images, (sources.image_delay, sources.spectrum_delay), strict=True):
        gained = _gained(options, delay)
        profile = arrival_profile(options.readout, delay=delay, index=sources.index)
        charges.append((_bordered(image * gained, options), profile))
    return charges


def _gained(options, delay):
    """Charge of persistence relative to that in the photometric readout."""
    start, index = delay + PHOTOMETRIC.frame_time, options.sources.index
    end = np.array([PHOTOMETRIC.integration_time, options.readout.integration_time]) + start
    if index == 1:
        charge = np.log(end / start)
    else:
        charge = (end ** (1 - index) - start ** (1 - index)) / (1 - index)
    return np.float32(charge[1] / charge[0])
