"""Masks of the pixels above the boundary of a simulated median-minimum diagram."""

from dataclasses import dataclass

import numpy as np

from crsteps.cosmic_rays.hysteresis import dilate, grow_seeds
from crsteps.mm_cosmic.boundary_fit import FittedBoundary, fit_boundary
from crsteps.mm_cosmic.diagram import DiagramOptions, diagram_images
from crsteps.mm_cosmic.simulated_diagram import (
    SimulatedDiagram,
    expected_exposures,
    simulate_diagram,
)


@dataclass(frozen=True)
class DiagramMasks:
    """
    What the median-minimum diagram finds; images and masks are (ny, nx).

    Attributes
    ----------
    median : ndarray of bool
        Pixels of the median above the boundary, dilated (the part of MEDIANCR that is found so).
    mean : ndarray of bool
        The same of the mean (MEANCRT).
    exposures : ndarray of bool, shape (n, ny, nx)
        The same of each exposure (CRMASK1..N); not yet restricted to the mask of the mean.
    lowest, median_image : ndarray of float32
        Horizontal coordinate of the diagram, and the median; NaN where no exposure is usable.
    boundary : FittedBoundary
        The boundary.
    simulated : SimulatedDiagram
        The simulated diagram it was fitted to.
    warnings : tuple of str
        What the user should know.
    """

    median: np.ndarray
    mean: np.ndarray
    exposures: np.ndarray
    lowest: np.ndarray
    median_image: np.ndarray
    boundary: FittedBoundary
    simulated: SimulatedDiagram
    warnings: tuple


def find_in_diagram(
    data,
    *,
    gain,
    read_noise,
    auxiliary=None,
    to_be_cleaned=None,
    flux_factors=None,
    apply_flux_factor_to="simulated",
    offsets=None,
    options=None,
):
    """
    Find cosmic rays above the boundary of a simulated median-minimum diagram.

    The procedure is the one documented for numina-crmasks. In the diagram each pixel has the
    mean of its lowest exposures as abscissa and the median of all minus that as ordinate. A
    boundary is fitted to the upper end of a diagram of simulated exposures without cosmic rays.
    The same boundary serves the mean and each exposure in place of the median: there it is not
    that of a known number of false pixels, and it is high for the mean.

    Parameters
    ----------
    data : sequence of ndarray, shape (ny, nx)
        Three or more exposures, bias subtracted; pixels that are not finite are missing: they are
        neither simulated nor flagged. Not modified.
    gain : float or ndarray, shape (ny, nx)
        Electrons per unit of the exposures.
    read_noise : float or ndarray, shape (ny, nx)
        Read noise in units of the exposures.
    auxiliary : crsteps.mm_cosmic.auxiliary_images.AuxiliaryImages, optional
        What detectors of single images found in the median and in each exposure, of the flux of
        ``data`` (after division, if flux factors are applied to the original exposures), cleaned
        images in the same units. What they flagged is not simulated; in the median, only
        features that somewhere rise above ``threshold_rnoise`` count.
    to_be_cleaned : ndarray of bool, shape (ny, nx), optional
        False where nothing is to be flagged or simulated; True everywhere if not given.
    flux_factors : array-like, shape (n,), optional
        Flux of each exposure relative to the scene, above 1 if it is brighter; 1 if not given.
    apply_flux_factor_to : {"simulated", "original"}, optional
        Whether simulated exposures get these factors, or the exposures are divided by them.
    offsets : array-like, shape (n, 2), optional
        Offsets (dx, dy) in pixels of each exposure from the median.
    options : DiagramOptions, optional
        Options.

    Returns
    -------
    DiagramMasks

    Raises
    ------
    ValueError
        Exposures, noise, masks, factors, offsets or options that do not fit, or no pixel to
        simulate.

    References
    ----------
    Cardiel et al. 2026, in preparation; documentation of numina 0.40, numina-crmasks.
    """
    options = options or DiagramOptions()
    data = _prepare(data)
    n, shape = len(data), data.shape[1:]
    options.check(n)
    factors = _check_factors(flux_factors, apply_flux_factor_to, n)
    gain, read_noise = (
        _check_noise("gain", gain, shape),
        _check_noise("read_noise", read_noise, shape),
    )
    if offsets is not None:
        offsets = _check_offsets(offsets, n)
    if to_be_cleaned is None:
        to_be_cleaned = np.ones(shape, dtype=bool)
    elif np.shape(to_be_cleaned) != shape:
        raise ValueError(f"to_be_cleaned has the shape {np.shape(to_be_cleaned)}, data {shape}")
    if apply_flux_factor_to == "original":
        data /= factors.astype(np.float32)[:, None, None]
    images = diagram_images(data, cr_coincidences=options.cr_coincidences)
    used = to_be_cleaned & (images.n_usable == n)
    detected = {}
    if auxiliary is not None:
        limit = images.lowest + (options.threshold_rnoise * read_noise).astype(np.float32)
        flagged = rising_features(auxiliary.median.mask, images.median, limit)
        used &= ~np.logical_or.reduce([flagged, *(found.mask for found in auxiliary.exposures)])
        detected["flagged"] = flagged
        detected["cleaned"] = [found.cleaned for found in auxiliary.exposures]
    expected = expected_exposures(
        images,
        gain=gain,
        read_noise=read_noise,
        options=options,
        **detected,
        flux_factors=factors,
        apply_flux_factor_to=apply_flux_factor_to,
        offsets=offsets,
    )
    simulated = simulate_diagram(expected, lowest=images.lowest, used=used, options=options)
    boundary = fit_boundary(simulated, options)
    masks = _test_images(data, images, boundary, to_be_cleaned, read_noise, options)
    return DiagramMasks(
        **masks,
        lowest=images.lowest,
        median_image=images.median,
        boundary=boundary,
        simulated=simulated,
        warnings=simulated.warnings + boundary.warnings,
    )


def rising_features(mask, image, limit):
    """
    Keep the features of a mask that somewhere rise above a limit.

    Parameters
    ----------
    mask : ndarray of bool, shape (ny, nx)
        Mask whose features are its 8-connected components.
    image : ndarray, shape (ny, nx)
        Image in which they were found.
    limit : float or ndarray, shape (ny, nx)
        What at least one pixel of a feature must exceed.

    Returns
    -------
    ndarray of bool, shape (ny, nx)
    """
    with np.errstate(invalid="ignore"):
        return grow_seeds(mask & (image > limit), mask)


def _test_images(data, images, boundary, to_be_cleaned, read_noise, options):
    """Masks of the median, the mean and the exposures, all above one boundary."""
    with np.errstate(invalid="ignore"):
        tested = images.highest > options.minimum_max2d_rnoise * read_noise
    # With one exposure there is nothing to compare it with.
    tested &= to_be_cleaned & (images.n_usable >= 2)
    threshold = options.threshold_rnoise * read_noise

    def test(image):
        with np.errstate(invalid="ignore"):
            excess = image - images.lowest
            flagged = tested & (excess > threshold)
        flagged[flagged] = excess[flagged] > boundary.evaluate(images.lowest[flagged])
        return dilate(flagged, options.dilation) & to_be_cleaned & np.isfinite(image)

    return {
        "median": test(images.median),
        "mean": test(images.mean),
        "exposures": np.array([test(exposure) for exposure in data]),
    }


# --- input --------------------------------------------------------------------------------------


def _prepare(data):
    """Copy the exposures; what is not finite is NaN."""
    shapes = {np.shape(exposure) for exposure in data}
    if len(data) < 3:
        raise ValueError(f"three or more exposures are needed, got {len(data)}")
    if len(shapes) > 1 or len(next(iter(shapes))) != 2:
        raise ValueError(f"exposures must be images of one shape, got {sorted(shapes)}")
    with np.errstate(over="ignore"):
        data = np.array(data, dtype=np.float32)
    data[~np.isfinite(data)] = np.nan
    return data


def _check_noise(name, values, shape):
    """Return noise as a number or an image of float64; it must be positive."""
    values = np.asarray(values, dtype=np.float64)
    if values.shape not in ((), shape):
        raise ValueError(f"{name} of shape {values.shape} does not fit exposures of {shape}")
    if not np.all((values > 0) & np.isfinite(values)):
        raise ValueError(f"{name} must be positive and finite everywhere")
    return values


def _check_factors(factors, applied_to, n):
    """Return flux factors as an array, ones if there are none."""
    if applied_to not in ("simulated", "original"):
        raise ValueError(
            f"apply_flux_factor_to must be 'simulated' or 'original', got {applied_to!r}"
        )
    factors = np.ones(n) if factors is None else np.asarray(factors, dtype=np.float64)
    if factors.shape != (n,) or not np.all((factors > 0) & np.isfinite(factors)):
        raise ValueError(f"flux_factors must be {n} positive numbers, got {factors.tolist()}")
    return factors


def _check_offsets(offsets, n):
    """Return offsets as an array."""
    offsets = np.asarray(offsets, dtype=np.float64)
    if offsets.shape != (n, 2) or not np.isfinite(offsets).all():
        raise ValueError(f"offsets must be {n} pairs of finite numbers, got {offsets.tolist()}")
    return offsets
