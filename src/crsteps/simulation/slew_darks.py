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

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from crsteps.detector.macc import PHOTOMETRIC, MaccReadout
from crsteps.simulation.cosmic_ray_tracks import TrackPopulation, draw_tracks
from crsteps.simulation.slew_dark_ramps import (
    Deposits,
    arrival_profile,
    collect_charge,
    deposit_hits,
)
from crsteps.simulation.slew_dark_scene import (
    PersistenceOptions,
    make_persistence,
    make_pixels,
)

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

PIXEL_PITCH = 18e-4  # cm
TRUE_CHARGE = 21.0
"""Charge of cosmic rays in e- above which a pixel counts as hit: three standard deviations."""
QUALITY_CUT = 49.0
"""Quality factor above which a quality plane of one bit is set."""

QUIET = TrackPopulation(
    worm_fraction=0.05,
    thickness=0.3,
    charge_per_pixel=3200.0,
    longest=60.0,
    worm_charge=(200.0, 20000.0),
    diffusion=(0.06, 0.2),
)
"""Galactic cosmic rays in a layer of 5 um: median 2700 e- and mean 4.8 pixels per hit."""
SOLAR = TrackPopulation(
    worm_fraction=0.05,
    thickness=0.3,
    charge_per_pixel=950.0,
    longest=60.0,
    worm_charge=(200.0, 20000.0),
    diffusion=(0.21, 0.33),
)
"""Hits of solar events: their charge is spread over more pixels, mean 6.8 with those of `QUIET`,
and more of these are faint, so that detectors find as small a part of them as in trials."""

_BAND = 256  # rows that are simulated at once


@dataclass(frozen=True)
class SlewDarkOptions:
    """
    What is simulated.

    Attributes
    ----------
    shape : tuple of int
        Shape of the image, (ny, nx), with the border.
    readout : MaccReadout
        Sampling of the ramp.
    rate : float
        Hits of galactic cosmic rays per cm2 and s.
    solar_factor : float
        Rate of all hits relative to that; those beyond 1 are protons of a solar event.
    persistence : bool
        Whether there is persistence.
    hot_fraction : float
        Fraction of hot pixels that are in no bad-pixel map.
    bad_fraction : float
        Fraction of bad pixels.
    noisy_fraction : float
        Fraction of pixels in the tail of the noise.
    offset : float
        Constant of the image in ADU.
    output_offset : float
        Standard deviation of the offsets of the outputs in ADU.
    read_noise : float
        Noise of a single frame in e-.
    drift_noise : float
        Standard deviation of a straight drift of each pixel's level from the first group to the
        last in e- in the photometric readout; in others it goes with time to the power of 0.2.
    gain : float
        ADU per e-.
    dark_current : float
        Median dark current in e-/s.
    hot_charge : float
        Mean charge of the hot pixels between the first and the last group in e-.
    ipc : float
        Fraction of its signal that a pixel gives to each of its four neighbours.
    quality : str
        "chi2" for the quality factor clipped to 8 bits, "bit" for 1 where it is above
        `QUALITY_CUT`.
    border : int
        Width of the border of reference pixels.
    n_outputs : int
        Outputs, side by side along x.
    galactic, solar : TrackPopulation
        Kinds of tracks.
    sources : PersistenceOptions
        Persistence.
    """

    shape: tuple[int, int] = (2048, 2048)
    readout: MaccReadout = PHOTOMETRIC
    rate: float = 2.3
    solar_factor: float = 1.0
    persistence: bool = True
    hot_fraction: float = 2e-4
    bad_fraction: float = 1.5e-3
    noisy_fraction: float = 1e-3
    offset: float = 1024.0
    output_offset: float = 0.5
    read_noise: float = 13.0
    drift_noise: float = 4.4
    gain: float = 0.52
    dark_current: float = 0.01
    hot_charge: float = 400.0
    ipc: float = 0.0018
    quality: str = "chi2"
    border: int = 4
    n_outputs: int = 32
    galactic: TrackPopulation = QUIET
    solar: TrackPopulation = SOLAR
    sources: PersistenceOptions = field(default_factory=PersistenceOptions)

    def __post_init__(self):
        if self.quality not in ("chi2", "bit"):
            raise ValueError(f"quality={self.quality!r} is unknown: give 'chi2' or 'bit'")
        if min(self.shape) < 2 * self.border + 8:
            raise ValueError(
                f"a detector of {self.shape} pixels has no room for a border of {self.border}: "
                f"give at least {2 * self.border + 8} pixels along each axis"
            )
        if self.rate < 0 or self.solar_factor < 1:
            raise ValueError(
                f"rate={self.rate} and solar_factor={self.solar_factor} describe no cosmic rays: "
                "give a rate of at least 0 and a factor of at least 1"
            )

    @property
    def active(self) -> tuple[slice, slice]:
        """Rows and columns inside the border."""
        ny, nx = self.shape
        return slice(self.border, ny - self.border), slice(self.border, nx - self.border)

    @property
    def active_area(self) -> float:
        """Area inside the border in cm2."""
        ny, nx = (size - 2 * self.border for size in self.shape)
        return ny * nx * PIXEL_PITCH**2


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


def simulate_slew_dark(options: SlewDarkOptions, *, seed: int, detector: str = "DET11") -> SlewDark:
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

    Returns
    -------
    dark : SlewDark
        Image and truth. The same options, seed and name give the same arrays.
    """
    entropy = [seed, *detector.encode()]
    of_pixels, of_hits, of_sources, of_reads, of_charge, of_offsets = np.random.default_rng(
        entropy
    ).spawn(6)
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
    charges += _persistence(options, inner, of_sources)
    jumps = _jumps(pixels.unstable, options, of_pixels)

    offset = _offsets(options, of_offsets)
    data, quality = _read(
        options,
        charges,
        factor,
        [_framed(d, options) for d in (deposits, jumps)],
        offset,
        (of_reads, of_charge),
    )
    charge = np.zeros(inner, np.float32)
    charge.reshape(-1)[deposits.pixel] = deposits.charge
    expected, noise = _expected(dark, factor, options)
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


def _offsets(options, rng):
    """Offset of every column in ADU."""
    outputs = rng.normal(0, options.output_offset, options.n_outputs)
    nx = options.shape[1]
    return options.offset + outputs[np.arange(nx) * options.n_outputs // nx]


def _read(options, charges, factor, deposits, offset, rngs):
    """Read the ramps band by band; values and quality as they are stored."""
    of_reads, of_charge = rngs
    of_parts = of_charge.spawn(3)
    ny, nx = options.shape
    readout = options.readout
    sigma, drift_sigma = (np.float32(f(options)) for f in (_group_noise, _drift_noise))
    data, quality = np.empty(options.shape, np.uint16), np.empty(options.shape, np.uint8)
    for first in range(0, ny, _BAND):
        band = slice(first, min(first + _BAND, ny))
        rows = (readout.n_groups, band.stop - band.start, nx)
        groups = of_reads.standard_normal(rows, np.float32)
        drift = of_reads.standard_normal(rows[1:], np.float32) * drift_sigma
        groups *= sigma
        groups += np.multiply.outer(np.linspace(0, 1, readout.n_groups, dtype=np.float32), drift)
        groups *= factor[band]
        for (charge, profile), rng in zip(charges, of_parts, strict=False):
            _collect(groups, charge[band], profile, rng)
        for part in deposits:
            part.add_to(groups, first * nx)
        estimate = readout.estimate(groups, read_noise=options.read_noise)
        values = options.gain * estimate.signal + offset
        data[band] = np.clip(np.rint(values), 0, 65535)
        if options.quality == "bit":
            quality[band] = estimate.quality > QUALITY_CUT
        else:
            quality[band] = np.clip(estimate.quality, 0, 255)
    return data, quality


def _collect(groups, charge, profile, rng):
    """Add charge where there is any: persistence is in few pixels."""
    there = charge > 0
    if there.mean() > 0.5:
        collect_charge(groups, charge, profile, rng)
    elif there.any():
        some = groups[:, there]
        collect_charge(some, charge[there], profile, rng)
        groups[:, there] = some


def _group_noise(options):
    """Noise of the mean of a group of an ordinary pixel in e-, without drift."""
    return options.read_noise / np.sqrt(options.readout.n_frames)


def _drift_noise(options):
    """Drift from the first group to the last of an ordinary pixel in e-."""
    time = options.readout.integration_time / PHOTOMETRIC.integration_time
    return options.drift_noise * time**0.2


def _expected(dark, factor, options):
    """Expected value and noise in ADU of pixels with nothing but dark current."""
    readout = options.readout
    n, width, beta = readout.n_groups - 1, 1 + readout.alpha, readout.beta(options.read_noise)
    mean = dark / n + beta
    reads, drift = (2 * (f(options) * factor) ** 2 for f in (_group_noise, _drift_noise))
    drift /= 2
    root = np.sqrt(width**2 + 4 * (mean**2 + reads + drift / n**2 + width * dark / n))
    value = n * ((root - width) / 2 - beta)
    # the sum of the differences has the noise of the first and the last group alone
    total = reads + drift + dark * (1 + readout.alpha / n)
    noise = np.sqrt(total) * 2 * mean / root
    return (
        (options.gain * value).astype(np.float32),
        np.hypot(options.gain * noise, np.sqrt(1 / 12)).astype(np.float32),
    )
