"""What a slew dark shows besides cosmic rays: persistence, hot, noisy and bad pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.special import ndtr

__all__ = ["PersistenceOptions", "PixelMaps", "make_persistence", "make_pixels"]

_REACH = 7  # pixels on either side of a source that its light reaches
_FWHM = 2 * np.sqrt(2 * np.log(2))


@dataclass(frozen=True)
class PersistenceOptions:
    """
    Persistence of the exposures before a slew dark.

    Numbers are for a detector of 2040 x 2040 pixels and scale with its area. Peaks are charges
    between the first and the last group of the photometric readout in the brightest pixel a source
    could have, distributed as a power law.

    Attributes
    ----------
    n_sources : int
        Stars and galaxies above the smallest peak.
    galaxy_fraction : float
        Fraction of them that are galaxies, with exponential profiles.
    n_spectra : int
        Dispersed spectra above the smallest peak.
    peak : tuple of float
        Smallest and largest peak in e- of stars and galaxies.
    spectrum_peak : tuple of float
        The same across spectra.
    slope : float
        The number of sources above a peak falls as the peak to the power of ``-slope``.
    limit : float
        Charge in e- at which persistence saturates, because the traps are full.
    fwhm : tuple of float
        Smallest and largest full width at half maximum of point sources in pixels, between which
        it is drawn for each source.
    galaxy_radius : tuple of float
        Smallest and largest scale length of galaxies in pixels.
    spectrum_size : tuple of float
        Full width at half maximum across spectra, and their length, in pixels.
    image_delay, spectrum_delay : float
        Seconds from the end of the last image, and of the last dispersed exposure, to the reset of
        the dark.
    index : float
        The current falls as time to the power of ``-index``.
    """

    n_sources: int = 1100
    galaxy_fraction: float = 0.5
    n_spectra: int = 10
    peak: tuple[float, float] = (20.0, 2e4)
    spectrum_peak: tuple[float, float] = (20.0, 400.0)
    slope: float = 1.0
    limit: float = 1000.0
    fwhm: tuple[float, float] = (1.3, 1.7)
    galaxy_radius: tuple[float, float] = (0.8, 2.5)
    spectrum_size: tuple[float, float] = (1.9, 500.0)
    image_delay: float = 300.0
    spectrum_delay: float = 600.0
    index: float = 1.0


@dataclass(frozen=True)
class PixelMaps:
    """
    Properties of the pixels of a detector.

    Attributes
    ----------
    dark : ndarray
        Expected dark charge between the first and the last group in e-, float32, (ny, nx).
    noise_factor : ndarray
        Noise of the pixel relative to that of an ordinary one, float32, (ny, nx).
    bad : ndarray
        True for the pixels that a bad-pixel map names: hot, unstable and dead ones, bool, (ny, nx).
    unstable : ndarray
        Flat indices of the bad pixels whose level jumps during the ramp.
    """

    dark: np.ndarray
    noise_factor: np.ndarray
    bad: np.ndarray
    unstable: np.ndarray


def make_pixels(
    shape,
    rng: np.random.Generator,
    *,
    dark_charge: float,
    hot_fraction: float,
    hot_charge: float,
    bad_fraction: float,
    noisy_fraction: float,
) -> PixelMaps:
    """
    Draw the properties of pixels.

    Parameters
    ----------
    shape : tuple of int
        Shape of the detector, (ny, nx).
    rng : numpy.random.Generator
        Source of the random numbers.
    dark_charge : float
        Median dark charge between the first and the last group in e-; it scatters by 20 %.
    hot_fraction : float
        Fraction of pixels that are hot and in no bad-pixel map.
    hot_charge : float
        Mean of their additional charge in e-, which is distributed exponentially.
    bad_fraction : float
        Fraction of bad pixels: equal parts are ten times as hot, unstable, and dead.
    noisy_fraction : float
        Fraction of pixels in the tail of the noise, with up to four times that of others. The
        others scatter by 3 %.

    Returns
    -------
    pixels : PixelMaps
        Maps.
    """
    n_pixels = shape[0] * shape[1]
    dark = dark_charge * np.exp(0.2 * rng.standard_normal(n_pixels, np.float32))
    factor = np.exp(0.03 * rng.standard_normal(n_pixels, np.float32))
    noisy = rng.choice(n_pixels, round(noisy_fraction * n_pixels), replace=False)
    factor[noisy] *= rng.uniform(0.25, 1.0, noisy.size) ** -1.0  # density falls as its square
    hot = rng.choice(n_pixels, round(hot_fraction * n_pixels), replace=False)
    dark[hot] += rng.exponential(hot_charge, hot.size)

    broken = rng.choice(n_pixels, round(bad_fraction * n_pixels), replace=False)
    bad = np.zeros(n_pixels, bool)
    bad[broken] = True
    burning, unstable, dead = np.array_split(broken, 3)
    dark[burning] += rng.exponential(10 * hot_charge, burning.size)
    dark[dead] = 0.0
    factor[dead] = 0.3
    return PixelMaps(
        dark=dark.astype(np.float32).reshape(shape),
        noise_factor=factor.astype(np.float32).reshape(shape),
        bad=bad.reshape(shape),
        unstable=np.sort(unstable),
    )


def make_persistence(shape, options: PersistenceOptions, rng: np.random.Generator):
    """
    Draw the persistence of images and of dispersed spectra.

    Parameters
    ----------
    shape : tuple of int
        Shape of the detector, (ny, nx).
    options : PersistenceOptions
        What is drawn.
    rng : numpy.random.Generator
        Source of the random numbers.

    Returns
    -------
    images, spectra : ndarray
        Expected charge between the first and the last group in e-, float32, (ny, nx), 0 where
        there is none.
    """
    area = shape[0] * shape[1] / 2040**2
    images = _stars_and_galaxies(shape, rng.poisson(options.n_sources * area), options, rng)
    spectra = _spectra(shape, rng.poisson(options.n_spectra * area), options, rng)
    for image in (images, spectra):
        image /= 1 + image / options.limit
        image[image < 0.1] = 0
    return images, spectra


def _power_law(limits, slope, size, rng):
    """Draw from a power law between limits, given the slope of the cumulative distribution."""
    low, high = (limit**-slope for limit in limits)
    return rng.uniform(high, low, size) ** (-1 / slope)


def _stars_and_galaxies(shape, n_sources, options, rng):
    peak = _power_law(options.peak, options.slope, n_sources, rng)
    is_galaxy = rng.random(n_sources) < options.galaxy_fraction
    fwhm = rng.uniform(*options.fwhm, n_sources)
    radius = rng.uniform(*options.galaxy_radius, n_sources)
    ratio = np.where(is_galaxy, rng.uniform(0.4, 1.0, n_sources), 1.0)
    angle = rng.uniform(0, np.pi, n_sources)
    y, x = (rng.uniform(0, size, n_sources) for size in shape)
    reach = np.arange(-_REACH, _REACH + 1)
    row = np.floor(y).astype(int)[:, np.newaxis, np.newaxis] + reach[:, np.newaxis]
    column = np.floor(x).astype(int)[:, np.newaxis, np.newaxis] + reach
    dy, dx = (d - p[:, np.newaxis, np.newaxis] + 0.5 for d, p in ((row, y), (column, x)))

    cosine, sine, ratio, fwhm, radius, peak, is_galaxy = (
        values[:, np.newaxis, np.newaxis]
        for values in (np.cos(angle), np.sin(angle), ratio, fwhm, radius, peak, is_galaxy)
    )
    distance = np.hypot(cosine * dx + sine * dy, (cosine * dy - sine * dx) / ratio)
    # Moffat's profile of exponent 3, whose wings fit a space telescope better than a Gaussian's
    width = fwhm / (2 * np.sqrt(2 ** (1 / 3) - 1))
    star = (1 + (distance / width) ** 2) ** -3.0
    galaxy = np.exp(-np.hypot(distance, 0.3 * fwhm) / radius)
    light = peak * np.where(is_galaxy, galaxy, star)
    image = np.zeros(shape, np.float32)
    row, column = np.broadcast_arrays(row, column)
    inside = (row >= 0) & (row < shape[0]) & (column >= 0) & (column < shape[1])
    np.add.at(image, (row[inside], column[inside]), light[inside])
    return image


def _spectra(shape, n_spectra, options, rng):
    """Spectra along x: smooth with some structure, cut off by the filter at both ends."""
    image = np.zeros(shape, np.float32)
    fwhm, length = options.spectrum_size
    columns = np.arange(shape[1])
    for peak in _power_law(options.spectrum_peak, options.slope, n_spectra, rng):
        y = rng.uniform(0, shape[0])
        start = rng.uniform(-length / 2, shape[1] - length / 2)
        rows = np.arange(max(int(y) - _REACH, 0), min(int(y) + _REACH + 1, shape[0]))
        offset = (rows - y) * _FWHM / fwhm
        across = ndtr(offset + _FWHM / fwhm) - ndtr(offset)
        across /= 2 * ndtr(_FWHM / fwhm / 2) - 1  # 1 for a spectrum in the middle of a row
        position = (columns - start) / length
        along = ndtr((columns - start) / 2) * ndtr((start + length - columns) / 2)
        along *= 1 + rng.uniform(-0.6, 0.6) * (position - 0.5)
        along *= 1 + 0.1 * ndimage.gaussian_filter1d(rng.standard_normal(shape[1]), 4) * 4
        image[rows] += peak * across[:, np.newaxis] * along
    return image
