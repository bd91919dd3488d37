"""Cosmic rays of a dark, from its signal and the quality plane computed on board."""

from dataclasses import dataclass, field, replace

import numpy as np

from crsteps.cosmic_rays.hysteresis import grow_seeds
from crsteps.cosmic_rays.laplacian import LaplacianOptions, detect_laplacian
from crsteps.cosmic_rays.significance import significance_hysteresis
from crsteps.slew_dark.noise_map import estimate_background_and_noise

DETECTORS = ("hybrid", "astroscrappy", "astroscrappy+quality", "significance")


@dataclass(frozen=True)
class DetectionOptions:
    """
    Choice of the detector and its thresholds.

    Attributes
    ----------
    detector : str
        "hybrid": signal and quality plane together; "astroscrappy"; "astroscrappy+quality": pixels
        flagged by astroscrappy whose quality factor exceeds ``grow_quality``, or that the one-bit
        plane flags; "significance": the signal alone.
    seed_significance, grow_significance : float
        Signal in units of its noise above which a pixel is flagged by itself, or beside one that
        is.
    seed_quality, grow_quality : float
        Quality factor that is asked for besides.
    n_outputs : int
        Outputs of the detector, side by side.
    laplacian : LaplacianOptions
        Parameters of astroscrappy; its gain is replaced by ``electrons_per_adu``.
    """

    detector: str = "hybrid"
    seed_significance: float = 5.0
    grow_significance: float = 3.0
    seed_quality: float = 25.0
    grow_quality: float = 6.0
    n_outputs: int = 32
    laplacian: LaplacianOptions = field(default_factory=LaplacianOptions)


@dataclass(frozen=True)
class DarkDetection:
    """
    Cosmic rays of one dark.

    Attributes
    ----------
    mask : ndarray of bool, shape (ny, nx)
        True at cosmic rays; never where a pixel is not usable.
    significance : ndarray of float32, shape (ny, nx), or None
        Signal above the background in units of its noise; NaN where not usable; None where the
        detector has none.
    noise : ndarray of float32, shape (ny, nx)
        Standard deviation of a pixel without charge [ADU].
    background : ndarray of float32, shape (ny, nx)
        Background [ADU], master dark and offset included.
    offset : float
        Constant that was taken off [ADU].
    used_quality : str
        What was used of the quality plane: "chi2", "bit" or "none".
    cleaned : ndarray of float32, shape (ny, nx), or None
        Image as cleaned by the detector itself [ADU], offset included, if it is one that cleans.
    """

    mask: np.ndarray
    significance: np.ndarray | None
    noise: np.ndarray
    background: np.ndarray
    offset: float
    used_quality: str
    cleaned: np.ndarray | None = None


def find_cosmic_rays(
    data,
    *,
    usable,
    quality=None,
    quality_kind=None,
    electrons_per_adu,
    noise=None,
    master_dark=None,
    offset=None,
    options=None,
):
    """
    Find the cosmic rays of a dark.

    Parameters
    ----------
    data : ndarray of float, shape (ny, nx)
        Dark [ADU].
    usable : ndarray of bool, shape (ny, nx)
        False at bad, saturated, missing and reference pixels. Pixels that are not finite are not
        used anyway.
    quality : ndarray of uint8, shape (ny, nx), optional
        Quality plane computed on board.
    quality_kind : str, optional
        "chi2": the quality factor, clipped to 255; "bit": non-zero where it was too large; None
        without a plane.
    electrons_per_adu : float
        Gain [e-/ADU].
    noise : ndarray of float, shape (ny, nx), optional
        Noise of each pixel [ADU]; estimated from the dark itself if None.
    master_dark : ndarray of float, shape (ny, nx), optional
        Dark current to take off [ADU].
    offset : float, optional
        Constant of the electronics [ADU]; the median of the background if None.
    options : DetectionOptions, optional
        Choice of the detector and its thresholds.

    Returns
    -------
    DarkDetection
        Mask and what it was found with.

    Raises
    ------
    ValueError
        If no pixel is usable, shapes differ, or a choice is not known.
    """
    options = options or DetectionOptions()
    if options.detector not in DETECTORS:
        raise ValueError(
            f"no such detector: {options.detector!r}; there are {', '.join(DETECTORS)}"
        )
    data = np.asarray(data)
    usable = usable & np.isfinite(data)
    image = data if master_dark is None else data - master_dark
    background, measured = estimate_background_and_noise(
        image, usable=usable, n_outputs=options.n_outputs
    )
    noise = measured if noise is None else noise
    if offset is None:
        offset = float(np.median(background))
    z = np.where(usable, (image - background) / noise, np.nan)
    kind = quality_kind if quality is not None else None
    cleaned = None
    if options.detector == "significance":
        mask = _by_significance(z, usable, options)
        kind = None
    elif options.detector == "hybrid":
        mask = _hybrid(z, usable, quality, kind, options)
    else:
        laplacian = replace(options.laplacian, gain=electrons_per_adu)
        level = np.median(image[usable])
        mask, cleaned = detect_laplacian(np.where(usable, image, level) - offset, options=laplacian)
        mask = mask & usable
        cleaned = cleaned + offset
        if options.detector == "astroscrappy":
            kind = None
        elif kind is not None:
            mask &= quality > (options.grow_quality if kind == "chi2" else 0)
    if master_dark is not None:
        background = background + master_dark
        cleaned = None if cleaned is None else cleaned + master_dark
    return DarkDetection(mask, z, noise, background, offset, kind or "none", cleaned)


def _by_significance(z, usable, options):
    return significance_hysteresis(
        z, seed=options.seed_significance, grow=options.grow_significance, usable=usable
    )


def _hybrid(z, usable, quality, kind, options):
    if kind is None:
        return _by_significance(z, usable, options)
    if kind == "bit":
        grow = (z > options.grow_significance) & usable
        return grow_seeds((quality > 0) & grow, grow)
    grow = (z > options.grow_significance) & (quality > options.grow_quality) & usable
    return grow_seeds(
        grow & (z > options.seed_significance) & (quality > options.seed_quality), grow
    )
