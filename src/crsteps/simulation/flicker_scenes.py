"""Scenes for ramps with flicker noise: what the detector would see without noise.

A scene has three parts. *Sources* are what a mask should cover: stars, galaxies and spectra, with
positive light or, where spectra are subtracted from each other, negative traces. *Diffuse* light is
the smooth sky with nebulae, which must survive a cleaning without being masked. The *light curve*
scales the sources in time and, along the dispersion, with wavelength.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

__all__ = ["FlickerScene", "SceneOptions", "make_scene"]

_MOFFAT_EXPONENT = 2.5


@dataclass(frozen=True)
class SceneOptions:
    """
    What is seen.

    Attributes
    ----------
    kind : str
        ``"blank"``, ``"image"`` (stars, galaxies and a nebula), ``"spectra"`` (many traces),
        ``"ifu"`` (the slices of an integral-field unit), ``"soss"`` (two curved, wide orders) or
        ``"time_series"`` (one narrow trace).
    sky : float
        Level of the smooth sky in DN per group.
    nebula : float
        Highest surface brightness of the nebula in DN per group; images only.
    n_sources : int
        Number of stars and galaxies together, of spectra or of slices.
    brightness : tuple of float
        Flux in DN per group of the faintest and of the brightest source: the total of a star or
        a galaxy, the peak across the trace of a spectrum. The number of sources falls as the
        inverse of the flux.
    fwhm : float
        Full width at half maximum in pixels of a star and across a narrow trace.
    negative_nods : bool
        Whether every trace of ``"spectra"`` has a negative one of half its flux beside it.
    vertical : bool
        Whether the dispersion is along y instead of x.
    transit_depth : float
        Relative depth of a transit in the middle third of the integrations; 0 for none.
    transit_slope : float
        Change of the depth from one end of the spectrum to the other, relative to the depth.
    """

    kind: str = "blank"
    sky: float = 4.0
    nebula: float = 0.0
    n_sources: int = 60
    brightness: tuple[float, float] = (20.0, 2000.0)
    fwhm: float = 2.3
    negative_nods: bool = False
    vertical: bool = False
    transit_depth: float = 0.0
    transit_slope: float = 0.0

    def __post_init__(self):
        if self.kind not in ("blank", *_SOURCES):
            raise ValueError(
                f"kind of scene {self.kind!r} is not one of {', '.join(('blank', *_SOURCES))}"
            )


@dataclass(frozen=True)
class FlickerScene:
    """
    Light that reaches the detector, in DN per group.

    Attributes
    ----------
    sources : ndarray
        Rate of stars, galaxies or spectra out of transit, float32, (ny, nx).
    diffuse : ndarray
        Rate of the sky and the nebula, float32, (ny, nx).
    nebula : ndarray
        Rate of the nebula alone, float32, (ny, nx).
    light_curve : ndarray
        Factor of the sources in each integration, float64, (n_integrations, 1, nx), or
        (n_integrations, ny, 1) where the dispersion is along y.
    catalogue : ndarray
        Stars and galaxies: rows of x, y, flux in DN per group; (0, 3) for spectra.
    """

    sources: np.ndarray
    diffuse: np.ndarray
    nebula: np.ndarray
    light_curve: np.ndarray
    catalogue: np.ndarray

    def rate(self, integration: int = 0) -> np.ndarray:
        """
        Light of one integration.

        Parameters
        ----------
        integration : int, optional
            Number of the integration, from 0.

        Returns
        -------
        rate : ndarray
            DN per group, float32, (ny, nx).
        """
        return (self.diffuse + self.sources * self.light_curve[integration]).astype(np.float32)


def make_scene(
    shape: tuple[int, int],
    options: SceneOptions,
    rng: np.random.Generator,
    *,
    n_integrations: int = 1,
) -> FlickerScene:
    """
    Make a scene.

    Parameters
    ----------
    shape : tuple of int
        (ny, nx) in pixels.
    options : SceneOptions
        What is seen.
    rng : numpy.random.Generator
        Source of the random numbers.
    n_integrations : int, optional
        Integrations that the light curve covers.

    Returns
    -------
    scene : FlickerScene
        The light, which is the same in all integrations but for the light curve.
    """
    # Spectra are made with the dispersion along x and turned afterwards.
    turned = options.vertical and options.kind != "image"
    frame = shape[::-1] if turned else shape
    nebula = np.zeros(frame)
    catalogue = np.zeros((0, 3))
    if options.kind == "blank":
        sources = np.zeros(frame)
    elif options.kind == "image":
        sources, catalogue = _image(frame, options, rng)
        nebula = _nebula(frame, options.nebula, rng)
    else:
        sources = _SOURCES[options.kind](frame, options, rng)
    light_curve = _light_curve(frame[1], n_integrations, options)[:, np.newaxis, :]
    parts = [sources, options.sky + nebula, nebula]
    if turned:
        parts = [part.T for part in parts]
        light_curve = np.swapaxes(light_curve, 1, 2)
    parts = [np.ascontiguousarray(part, np.float32) for part in parts]
    return FlickerScene(*parts, light_curve=light_curve, catalogue=catalogue)


def _light_curve(n_wavelengths, n_integrations, options):
    """Trapezium in the middle third of the integrations, with a depth linear in wavelength."""
    time = (np.arange(n_integrations) + 0.5) / n_integrations
    covered = np.clip((1 / 6 - np.abs(time - 0.5)) / 0.05 + 0.5, 0, 1)
    along = np.linspace(-0.5, 0.5, n_wavelengths)
    depth = options.transit_depth * (1 + options.transit_slope * along)
    return 1 - covered[:, np.newaxis] * depth


def _fluxes(n_sources, brightness, rng):
    """Fluxes whose number above f falls as 1 / f, brightest first."""
    faintest, brightest = brightness
    share = rng.uniform(faintest / brightest, 1.0, n_sources)
    return np.sort(faintest / share)[::-1]


def _image(shape, options, rng):
    """Stars, and among the fainter sources exponential galaxies: image and catalogue."""
    image = np.zeros(shape)
    flux = _fluxes(options.n_sources, options.brightness, rng)
    x = rng.uniform(-0.5, shape[1] - 0.5, flux.size)
    y = rng.uniform(-0.5, shape[0] - 0.5, flux.size)
    is_galaxy = (rng.random(flux.size) < 0.5) & (flux < options.brightness[1] / 20)
    for k in range(flux.size):
        _add_source(image, x[k], y[k], flux[k], _profile(is_galaxy[k], options.fwhm, rng))
    return image, np.column_stack([x, y, flux])


def _profile(is_galaxy, fwhm, rng):
    """Reach in pixels and profile(dx, dy) of a star or a galaxy."""
    if not is_galaxy:
        return int(14 * fwhm), lambda dx, dy: _moffat(dx, dy, fwhm)
    length = fwhm * rng.uniform(1.0, 5.0)
    flattening = rng.uniform(0.3, 1.0)
    angle = rng.uniform(0, np.pi)

    def galaxy(dx, dy):
        along = dx * np.cos(angle) + dy * np.sin(angle)
        across = (dy * np.cos(angle) - dx * np.sin(angle)) / flattening
        return np.exp(-np.sqrt(along**2 + across**2 + fwhm**2 / 4) / length)

    return int(9 * length), galaxy


def _moffat(dx, dy, fwhm):
    """Star: Moffat's profile, a core of the given width with wings, 1 in the middle."""
    steepness = 4 * (2 ** (1 / _MOFFAT_EXPONENT) - 1) / fwhm**2
    return (1 + steepness * (dx**2 + dy**2)) ** -_MOFFAT_EXPONENT


def _add_source(image, x, y, flux, profile):
    """Add a source whose whole light, on the detector or off it, is the flux."""
    reach, value = profile
    columns = round(x) + np.arange(-reach, reach + 1)
    rows = round(y) + np.arange(-reach, reach + 1)
    stamp = value(columns - x, (rows - y)[:, np.newaxis])
    stamp *= flux / stamp.sum()
    inside_x = (columns >= 0) & (columns < image.shape[1])
    inside_y = (rows >= 0) & (rows < image.shape[0])
    image[np.ix_(rows[inside_y], columns[inside_x])] += stamp[np.ix_(inside_y, inside_x)]


def _nebula(shape, peak, rng):
    """Filaments a twentieth of the image wide within a smooth cloud in one half of it."""
    if peak == 0:
        return np.zeros(shape)
    y, x = np.indices(shape) / max(shape)
    cloud = np.exp(-(((x - 0.3) / 0.2) ** 2 + ((y - 0.6 * shape[0] / max(shape)) / 0.25) ** 2) / 2)
    # Drawn coarsely: smoothing white noise at full resolution would only cost time.
    step = max(1, max(shape) // 128)
    coarse = rng.standard_normal([-(-n // step) + 1 for n in shape])
    filaments = gaussian_filter(coarse, 0.05 * max(shape) / step, mode="wrap")
    filaments = np.kron(filaments / filaments.std(), np.ones((step, step)))
    filaments = gaussian_filter(filaments, step)[: shape[0], : shape[1]]
    nebula = cloud * np.exp(0.5 * filaments)
    return peak * nebula / nebula.max()


def _spectrum(n, rng, *, n_lines=6):
    """Continuum, smooth within a factor of two, with emission lines: n values, about 1."""
    along = np.arange(n) / n
    continuum = 1 + 0.3 * np.sin(2 * np.pi * (along * rng.uniform(0.3, 2) + rng.random()))
    place = rng.uniform(0, n, n_lines)
    strength = rng.uniform(0, 2, n_lines)
    lines = np.exp(-((np.arange(n)[:, np.newaxis] - place) ** 2) / (2 * 1.3**2)) @ strength
    return continuum + lines


def _add_trace(image, centre, peak, spectrum, fwhm):
    """Add a trace with the profile of a star across, around the centres, one per column."""
    reach = int(6 * fwhm)
    middle = np.rint(centre).astype(int)
    rows = middle + np.arange(-reach, reach + 1)[:, np.newaxis]
    light = peak * spectrum * _moffat(0.0, rows - centre, fwhm)
    columns = np.broadcast_to(np.arange(image.shape[1]), rows.shape)
    inside = (rows >= 0) & (rows < image.shape[0])
    np.add.at(image, (rows[inside], columns[inside]), light[inside])


def _spectra(shape, options, rng):
    """Traces of a multi-object spectrograph, each over part of the columns."""
    ny, nx = shape
    image = np.zeros(shape)
    x = np.arange(nx)
    for peak in _fluxes(options.n_sources, options.brightness, rng):
        centre = rng.uniform(0, ny) + 0.01 * (x - nx / 2) * rng.uniform(-1, 1)
        first = rng.uniform(-0.3, 0.6) * nx
        lit = (x > first) & (x < first + 0.7 * nx)
        spectrum = _spectrum(nx, rng) * lit
        _add_trace(image, centre, peak, spectrum, options.fwhm)
        if options.negative_nods:
            for side in (-1, 1):
                beside = centre + side * 5 * options.fwhm
                _add_trace(image, beside, -peak / 2, spectrum, options.fwhm)
    return image


def _slices(shape, options, rng):
    """Slices of an integral-field unit: bands of faint light with the trace of a source."""
    ny, nx = shape
    image = np.zeros(shape)
    spacing = ny / options.n_sources
    rows = np.arange(ny)[:, np.newaxis]
    spectrum = _spectrum(nx, rng)
    bend = 0.004 * ny * ((np.arange(nx) / nx - 0.5) * 2) ** 2
    for k in range(options.n_sources):
        centre = (k + 0.5) * spacing + bend
        image += options.brightness[0] * spectrum * (np.abs(rows - centre) < 0.35 * spacing)
        # The source is bright in the middle slices only.
        share = np.exp(-((((k + 0.5) / options.n_sources - 0.5) / 0.15) ** 2))
        _add_trace(image, centre, share * options.brightness[1], spectrum, options.fwhm)
    return image


def _soss(shape, options, rng):
    """Two orders of a slitless spectrum, curved and as wide as the defocused pupil."""
    ny, nx = shape
    along = np.arange(nx) / nx
    rows = np.arange(ny)[:, np.newaxis]
    orders = [
        (0.3 * ny + 0.25 * ny * (1 - along) ** 2, options.brightness[1], 0.4 + np.sin(2.8 * along)),
        (0.42 * ny + 0.45 * ny * along**2, options.brightness[0], np.clip(1.4 * along, 0, 1)),
    ]
    image = np.zeros(shape)
    for centre, peak, spectrum in orders:
        distance = np.abs(rows - centre)
        # A pupil 22 pixels wide, brighter towards its edges, with faint wings far out.
        pupil = (0.8 + 0.2 * (distance / 11) ** 4) / (1 + np.exp((distance - 11) / 0.8))
        pupil += 0.01 * np.exp(-distance / 15)
        image += peak * spectrum * pupil
    return image


def _time_series(shape, options, rng):
    """One narrow trace, slightly tilted, along all columns."""
    ny, nx = shape
    image = np.zeros(shape)
    along = np.arange(nx) / nx
    centre = (ny - 1) / 2 + 3 * (along - 0.5)
    spectrum = np.exp(-1.5 * along) * (1 + 0.2 * (_spectrum(nx, rng, n_lines=0) - 1))
    _add_trace(image, centre, options.brightness[1], spectrum, options.fwhm)
    return image


_SOURCES = {
    "image": _image,
    "spectra": _spectra,
    "ifu": _slices,
    "soss": _soss,
    "time_series": _time_series,
}
