"""
Scene mask: sources and their wings in an image that still has 1/f stripes.

The stripes must not make the mask, nor may the mask cut the stripes: line offsets of each output
are removed by medians, the sky by `smooth_sky`; sources are found by matched filters of several
widths whose noise is measured on the filtered images themselves, stripes included. Everything
depends on absolute values only, so negative traces of nod subtraction are found like positive
ones. Light that fills most of the field on the scale of the sky is not told from sky, unless it
lies in bands along the dispersion with gaps between them.
"""

from dataclasses import dataclass, field, replace

import numpy as np
from scipy import ndimage

from crsteps.cosmic_rays.hysteresis import dilate, grow_seeds
from crsteps.flicker_noise.background import smooth_sky
from crsteps.flicker_noise.boxes import bin_means, bin_sums, box_medians, enlarge
from crsteps.flicker_noise.light_bands import WINDOW, find_bands
from crsteps.flicker_noise.line_levels import (
    SIGMA_PER_MAD,
    line_offsets,
    output_offsets,
    white_noise,
)
from crsteps.flicker_noise.source_wings import give_back, surroundings

FWHM_PER_SIGMA = 2.3548
# The first look and the widest filters work on images binned to this many pixels.
COARSE_BIN = 4
# Part of a crowded field that sources cover, whose sky and noise are measured once more without
# them.
CROWDED, PASSES = 0.25, 2
# Wide filters do not see what is brighter than this in the narrowest one, in units of the white
# noise: it would fill them far beyond its edge. Fainter wings of a source help to find the next.
FAINT = 2.0


@dataclass(frozen=True)
class SceneMaskOptions:
    """
    Options of `find_scene_mask`.

    Attributes
    ----------
    stripe_axis : int
        Array axis along which a stripe runs: 1 if rows are the fast axis (NIRCam), 0 if columns
        are (NIRSpec, NIRISS, FGS).
    n_outputs : int
        Number of outputs, which share the stripe axis in equal parts.
    fwhm : tuple of float
        Full widths at half maximum of the matched filters, in pixels, the narrowest first.
    seed_sigma : tuple of float
        A pixel is a source above this many standard deviations of each filtered image. Wide
        filters have few independent pixels, and may look deeper.
    grow_sigma : tuple of float
        Pixels connected with a source are masked down to this many.
    faintest : float
        Light that may stay in the background, in units of the white noise of an image that is to
        be cleaned, as seen by the narrowest filter; less in proportion in wider ones, which see it
        on more pixels.
    sky_box : int
        Box of `smooth_sky`: what is smooth on this scale is sky, not scene.
    growth_scale : float
        A pixel that is b times as bright as the faintest light masks its surroundings to a radius
        of up to ``growth_scale * b**(1/3)`` pixels, as far as there is light in the mean of all
        such surroundings: wings of a point spread function fall with the third power of the
        distance, or faster.
    dilation : int
        Steps of the final dilation, where noise and not the faintest light limits the mask.
    dispersion_axis : int, optional
        Array axis along which spectra run. With it they are looked for by `find_bands`, and the
        narrowest filter finds what else there is; but not where stripes run along the spectra, too,
        nor in windows of less than 128 pixels across, which need not have a gap anywhere.
    gap_quantile : float
        As of `find_bands`: 0.15 for the slices of an integral-field unit, which fill most of the
        field.
    smallest_background : float
        Where less than this fraction of an output in a block of 32 lines is background, the pixels
        masked as neighbours of sources are given back, faintest first.
    """

    stripe_axis: int = 1
    n_outputs: int = 1
    fwhm: tuple[float, ...] = (2.5, 6.0, 12.0)
    seed_sigma: tuple[float, ...] = (4.0, 3.5, 3.25)
    grow_sigma: tuple[float, ...] = (2.5, 2.0, 1.75)
    faintest: float = 0.1
    sky_box: int = 64
    growth_scale: float = 1.1
    dilation: int = 1
    dispersion_axis: int | None = None
    gap_quantile: float = 0.5
    smallest_background: float = 0.05

    def __post_init__(self):
        if self.stripe_axis not in (0, 1):
            raise ValueError(f"stripe_axis must be 0 or 1, not {self.stripe_axis}.")
        if self.n_outputs < 1:
            raise ValueError(f"n_outputs must be at least 1, not {self.n_outputs}.")
        if not len(self.fwhm) == len(self.seed_sigma) == len(self.grow_sigma):
            raise ValueError("fwhm, seed_sigma and grow_sigma need one value for each filter.")
        if np.any(np.greater(self.grow_sigma, self.seed_sigma)):
            raise ValueError(
                f"grow_sigma {self.grow_sigma} must not be above seed_sigma {self.seed_sigma}."
            )


@dataclass(frozen=True)
class SceneMask:
    """
    Result of `find_scene_mask`.

    Attributes
    ----------
    mask : ndarray of bool, shape (ny, nx)
        True on sources, on their wings and at missing pixels.
    sigma : ndarray of float32, shape (ny, nx)
        White noise of a pixel, in the unit of the image.
    filter_noise : tuple of float
        Noise of each filtered image that was made, stripes included, in units of the white noise:
        a source is found above ``seed_sigma`` times this mean brightness in the filter.
    background_fraction : float
        Fraction of the pixels that is not masked.
    """

    mask: np.ndarray = field(repr=False)
    sigma: np.ndarray = field(repr=False)
    filter_noise: tuple[float, ...]
    background_fraction: float


def find_scene_mask(image, *, sigma=None, missing=None, image_noise=None, options=None):
    """
    Find sources and their wings in an image with 1/f stripes.

    Parameters
    ----------
    image : ndarray of float, shape (ny, nx)
        Slope image or mean of group differences, stripes included.
    sigma : float or ndarray, shape (ny, nx), optional
        White noise of a pixel; measured on differences of pixels of the same line when not given.
        Only its relative values matter for detection; pixels with 0 or NaN are masked.
    missing : ndarray of bool, shape (ny, nx), optional
        Pixels not to use; pixels that are not finite never are.
    image_noise : float, optional
        White noise of a pixel of the images that are to be cleaned with the mask, in the unit of
        `image`; that of `image` itself when not given. What is faint beside it may stay: the mean
        of many integrations shows wings that do no harm, and too little background without them.
    options : SceneMaskOptions, optional
        Options; the defaults when not given.

    Returns
    -------
    SceneMask
        The mask of ``-image`` is the same as that of ``image``. Without any usable pixel everything
        is masked.

    Raises
    ------
    ValueError
        If the image is not two-dimensional or the outputs do not divide it.
    """
    options = options or SceneMaskOptions()
    image = np.asarray(image)
    if image.ndim != 2 or not image.size:
        raise ValueError(f"The scene mask needs an image with two axes, not shape {image.shape}.")
    length = image.shape[options.stripe_axis]
    if length % options.n_outputs:
        raise ValueError(f"{options.n_outputs} outputs do not divide a line of {length} pixels.")
    usable = np.isfinite(image) if missing is None else np.isfinite(image) & ~missing
    if _has_bands(image.shape, options):
        usable &= ~find_bands(
            image,
            usable,
            dispersion_axis=options.dispersion_axis,
            gap_quantile=options.gap_quantile,
            n_outputs=options.n_outputs,
        )
        options = replace(
            options,
            fwhm=options.fwhm[:1],
            seed_sigma=options.seed_sigma[:1],
            grow_sigma=options.grow_sigma[:1],
        )
    lines = _lines_first(image, options)
    usable = np.ascontiguousarray(_lines_first(usable, options))
    values = np.where(usable, lines, 0).astype(np.float32)
    values -= output_offsets(values, usable, n_outputs=options.n_outputs)
    background = usable & ~_first_look(values, usable, options)
    if sigma is None:
        sigma = white_noise(values, background)
        if not sigma.any():
            # Without noise there is no scale of it: the unit of the image has to do.
            sigma = np.ones_like(sigma)
    else:
        sigma = np.broadcast_to(np.asarray(sigma, dtype=np.float32), image.shape)
        sigma = _lines_first(sigma, options)
    usable &= sigma > 0
    background &= usable
    noise = float(np.median(sigma[background])) if background.any() else 1.0
    faintest = options.faintest * (1.0 if image_noise is None else image_noise / noise)
    for _ in range(PASSES):
        signal = _flatten(values, background, options)
        np.divide(signal, sigma, out=signal, where=usable)
        signal[~usable] = 0
        mask, filter_noise = _mask_signal(signal, usable, background, faintest, options)
        crowded = np.count_nonzero(mask & usable) > CROWDED * mask.size
        if not (crowded and _noise_limited(filter_noise, faintest, options)):
            break
        background = usable & ~mask
    return SceneMask(
        mask=np.ascontiguousarray(_lines_first(mask, options)),
        sigma=np.ascontiguousarray(_lines_first(sigma, options)),
        filter_noise=filter_noise,
        background_fraction=1 - float(mask.mean()),
    )


def _has_bands(shape, options):
    """Whether spectra can be told from stripes and from what is between them."""
    along = options.dispersion_axis
    return along is not None and along != options.stripe_axis and shape[1 - along] >= WINDOW


def _lines_first(array, options):
    """Array with stripes along its last axis; the inverse is the same."""
    return array if options.stripe_axis == 1 else array.T


def _mask_signal(signal, usable, background, faintest, options):
    """Mask of a flat image in units of its white noise, and the noise of the filters."""
    if not background.any():
        return np.ones_like(usable), (np.nan,) * len(options.fwhm)
    significance = np.zeros_like(signal)
    growable = np.zeros_like(usable)
    filter_noise = []
    brightness = _filter(signal, options.fwhm[0])
    faint = np.where(brightness < max(FAINT, faintest), signal, 0)
    filters = zip(options.fwhm, options.seed_sigma, options.grow_sigma, strict=True)
    for fwhm, seed_sigma, grow_sigma in filters:
        filtered = _filter(faint, fwhm) if filter_noise else brightness
        noise = SIGMA_PER_MAD * float(np.median(filtered[background]))
        filter_noise.append(noise)
        least = faintest * options.fwhm[0] / fwhm
        seed = np.float32(max(seed_sigma * noise, least) or 1)
        np.maximum(significance, filtered / seed, out=significance)
        growable |= filtered > max(grow_sigma * noise, least)
    mask = grow_seeds(significance > 1, growable)
    mask |= surroundings(
        signal, brightness, mask, usable, faintest=faintest, scale=options.growth_scale
    )
    if _noise_limited(filter_noise, faintest, options):
        mask = dilate(mask, options.dilation)
    mask |= ~usable
    give_back(
        mask,
        usable & (significance < 1),
        significance,
        n_outputs=options.n_outputs,
        least=options.smallest_background,
    )
    return mask, tuple(filter_noise)


def _noise_limited(filter_noise, faintest, options):
    """Whether the noise of the image and not the faintest light limits the mask."""
    return options.grow_sigma[0] * filter_noise[0] > faintest


def _flatten(values, background, options):
    """Image without sky and line offsets."""
    # The sky comes first: line offsets would take the mean of a nebula over each output, and leave
    # steps between the outputs that no smooth sky follows.
    offsets = np.float32(0)
    for _ in range(2):
        sky = _coarse_sky(values - offsets, background, options)
        offsets = line_offsets(values - sky, background, n_outputs=options.n_outputs)
    return values - sky - offsets


def _first_look(values, usable, options):
    """Bright scene, roughly: outliers from the medians of boxes of a binned image."""
    box = max(options.sky_box // COARSE_BIN, 2)
    coarse, coarse_usable = bin_means(values, usable, COARSE_BIN)
    flat = values - enlarge(box_medians(coarse, coarse_usable, box), values.shape, COARSE_BIN)
    flat -= line_offsets(flat, usable, n_outputs=options.n_outputs)
    coarse, _ = bin_means(flat, usable, COARSE_BIN)
    deviation = np.abs(coarse - box_medians(coarse, coarse_usable, box))
    # The noise is common to all boxes: one full of sources would hide them in its own.
    noise = SIGMA_PER_MAD * np.median(deviation[coarse_usable]) if coarse_usable.any() else 0.0
    scene = coarse_usable & (deviation > 3 * noise)
    return enlarge(dilate(scene, 1), values.shape, COARSE_BIN)


def _coarse_sky(values, background, options):
    """Smooth sky at the resolution of a binned image."""
    coarse, coarse_background = bin_means(values, background, COARSE_BIN)
    box = max(options.sky_box // COARSE_BIN, 2)
    return enlarge(smooth_sky(coarse, coarse_background, box=box), values.shape, COARSE_BIN)


def _filter(signal, fwhm):
    """Absolute value of an image smoothed by a Gaussian."""
    # A bin of a third of the filter's width costs hardly any signal.
    factor = COARSE_BIN if fwhm >= 3 * COARSE_BIN else 2 if fwhm >= 6 else 1
    values = bin_sums(signal, factor) / np.float32(factor**2) if factor > 1 else signal
    width = fwhm / FWHM_PER_SIGMA / factor
    values = np.abs(ndimage.gaussian_filter(values, width, mode="constant", truncate=3))
    return enlarge(values, signal.shape, factor) if factor > 1 else values
