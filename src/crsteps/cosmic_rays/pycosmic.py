"""
PyCosmic: cosmic rays in images of fibre-fed spectrographs, by edges sharper than the optics make.

Husemann et al. 2012, A&A 545, A137, https://doi.org/10.1051/0004-6361/201220102. A cosmic ray has
edges that are significant against the noise, as for L.A.Cosmic, and sharper than those of the image
smoothed with the instrument's line profile. This is an implementation from the description of the
method, not the authors' program.
"""

import logging
from dataclasses import dataclass

import numpy as np

from crsteps.cosmic_rays.auxiliary import AuxiliaryDetection
from crsteps.cosmic_rays.hysteresis import dilate
from crsteps.cosmic_rays.laplacian_edges import EdgeMeasure, Mirrored, gaussian_kernel
from crsteps.cosmic_rays.local_median import median_around
from crsteps.cosmic_rays.median_filters import sliding_median
from crsteps.cosmic_rays.single_image import prepare_image
from crsteps.cosmic_rays.two_pass import join_passes, pair_of

log = logging.getLogger(__name__)

_FWHM = 2.354


@dataclass(frozen=True)
class PycosmicOptions:
    """
    Parameters of PyCosmic, by the names of its authors.

    Attributes
    ----------
    sigma_det : float or pair of float
        Significance of an edge above which a pixel may be a cosmic ray. If the two numbers of
        this or of the next parameter differ there are two passes, of the peaks and of the tails:
        what the second finds is kept where it is connected with what the first finds.
    rlim : float or pair of float
        Least contrast of a cosmic ray: Laplacian of the ratio of the image to the smoothed image.
    iterations : int
        Largest number of iterations; large cosmic rays are eaten away from their edges.
    fwhm_gauss_x, fwhm_gauss_y : float
        Full width at half maximum of the smoothing in pixels: that of the sharpest real features.
    replace_box_x, replace_box_y : int
        Size in pixels of the window from which flagged pixels are replaced, and of that whose
        median stands for the signal in the noise. As in the original, flagged pixels take the
        median of the unflagged ones up to half this size, rounded up, away from them: of 7 for 5.
    replace_error : float
        Error of flagged pixels in the error image.
    increase_radius : int
        Pixels by which the mask is dilated at the end, diagonally too.
    verbose : bool
        Whether the number of pixels found in each iteration is logged.
    error_image : bool
        Whether the error image is made.
    """

    sigma_det: float | tuple[float, float] = (5.0, 3.0)
    rlim: float | tuple[float, float] = (1.2, 1.2)
    iterations: int = 5
    fwhm_gauss_x: float = 2.5
    fwhm_gauss_y: float = 2.5
    replace_box_x: int = 5
    replace_box_y: int = 5
    replace_error: float = 1e6
    increase_radius: int = 0
    verbose: bool = False
    error_image: bool = False

    def __post_init__(self):
        for name in ("sigma_det", "rlim"):
            pair_of(getattr(self, name), name)
        least = {"iterations": 1, "replace_box_x": 1, "replace_box_y": 1, "increase_radius": 0}
        for name, smallest in least.items():
            value = getattr(self, name)
            if value != int(value) or value < smallest:
                raise ValueError(
                    f"{name} is {value}; it must be a whole number of at least {smallest}"
                )
        for name in ("fwhm_gauss_x", "fwhm_gauss_y", "replace_error"):
            value = getattr(self, name)
            if not 0 < value < np.inf:
                raise ValueError(f"{name} is {value}; it must be positive")

    @property
    def thresholds(self):
        """Thresholds (sigma_det, rlim) of each pass, of one pass if the two are the same."""
        passes = tuple(zip(pair_of(self.sigma_det, ""), pair_of(self.rlim, ""), strict=True))
        return passes[:1] if passes[0] == passes[1] else passes


def detect_pycosmic(image, *, read_variance, poisson_factor, missing=None, options=None):
    """
    Find cosmic rays with PyCosmic.

    Parameters
    ----------
    image : ndarray of float, shape (ny, nx)
        Image without bias, in any unit. NaN and infinite pixels are missing.
    read_variance : float or ndarray, shape (ny, nx)
        Variance without signal, unit of the image squared.
    poisson_factor : float or ndarray, shape (ny, nx)
        Poisson variance per unit of signal, unit of the image: 1/gain for an image in ADU.
    missing : ndarray of bool, shape (ny, nx), optional
        Other pixels without a value. They count as flagged from the start.
    options : PycosmicOptions, optional
        Parameters of the method.

    Returns
    -------
    AuxiliaryDetection
        Mask; image with the flagged and the missing pixels replaced, in the unit of the image;
        significance of the edges, of flagged pixels that of the iteration in which they were
        found, NaN where missing; and the error image if the options ask for it: standard
        deviation of each pixel, ``replace_error`` where flagged or missing.

    Raises
    ------
    ValueError
        If the image is not two-dimensional or is empty, shapes differ, or the noise of a pixel is
        not positive.

    Notes
    -----
    Differs from the authors' program, version 0.6, in that the ratio to the smoothed image is 0
    where that is not positive, the last row and column take part in replacements, a window
    without an unflagged pixel takes the nearest one, and ``increase_radius`` works. What was
    computed before the first pixel is flagged serves both passes; afterwards only pixels near
    replaced ones are looked at again.
    """
    options = options or PycosmicOptions()
    single = prepare_image(
        image, read_variance=read_variance, poisson_factor=poisson_factor, missing=missing
    )
    measure = EdgeMeasure(
        read_variance=single.read_variance,
        poisson_factor=single.poisson_factor,
        noise_reach=(options.replace_box_y // 2, options.replace_box_x // 2),
        kernel=gaussian_kernel(options.fwhm_gauss_y / _FWHM, options.fwhm_gauss_x / _FWHM),
    )
    state, first = _first_look(single, measure, options)
    masks = []
    for found, thresholds in zip(first, options.thresholds, strict=True):
        if masks:
            _restore(state, masks[-1])
        masks.append(_search(state, found, thresholds, options))
        if options.verbose:
            log.info("PyCosmic, pass %d: %d pixels", len(masks), np.count_nonzero(masks[-1]))
    mask = masks[0] if len(masks) == 1 else join_passes(*masks)
    mask = dilate(mask, int(options.increase_radius)) & ~single.missing
    state.significance[single.missing] = np.nan
    cleaned = _replaced(single, mask, ~mask & state.good.inside, options)
    error = _error_image(single, cleaned, mask, options) if options.error_image else None
    return AuxiliaryDetection(mask, cleaned, significance=state.significance, error=error)


@dataclass(frozen=True)
class _State:
    """Image, and what a pass changes: working image, good pixels, edges, their significance."""

    image: np.ndarray
    measure: EdgeMeasure
    work: Mirrored
    good: Mirrored
    edges: Mirrored
    significance: np.ndarray


def _first_look(single, measure, options):
    """State before the first pixel is flagged, and the pixels above the thresholds of each pass."""
    # Missing pixels are replaced as flagged ones are.
    image = single.data
    if single.missing.any():
        image = _replaced(single, single.missing, ~single.missing, options)
    state = _State(
        image,
        measure,
        work=Mirrored(image, measure.reach),
        good=Mirrored(~single.missing, measure.reach),
        edges=Mirrored(np.zeros_like(single.data), measure.reach),
        significance=np.empty_like(single.data),
    )
    found = [np.empty(image.shape, dtype=bool) for _ in options.thresholds]
    for rows, significance, contrast in measure.scan(state.work, state.good, edges=state.edges):
        state.significance[rows] = significance
        for mask, (sigma_det, rlim) in zip(found, options.thresholds, strict=True):
            mask[rows] = (significance > sigma_det) & (contrast > rlim) & state.good.inside[rows]
    return state, found


def _search(state, found, thresholds, options):
    """Pixels flagged by one pass, which begins with those found at the first look."""
    mask = np.zeros_like(found)
    changed, reach = mask, _replacement_reach(options)
    for iteration in range(int(options.iterations)):
        if iteration > 0:
            found = _look_again(state, changed, thresholds)
        if options.verbose:
            log.info("PyCosmic, iteration %d: %d pixels", iteration + 1, np.count_nonzero(found))
        mask |= found
        state.good.inside[found] = False
        state.good.renew_border()
        if iteration + 1 == options.iterations or not found.any():
            break
        # Pixels replaced before are replaced anew where they were from what is now flagged.
        changed = dilate(found, max(reach)) & ~state.good.inside
        good = np.ascontiguousarray(state.good.inside)
        state.work.inside[changed] = median_around(
            state.image, good, np.flatnonzero(changed), reach=reach
        )
        state.work.renew_border()
    return mask


def _restore(state, mask):
    """Undo what a pass has changed for the pixels it flagged."""
    state.good.inside[mask] = True
    state.good.renew_border()
    # Missing pixels near them were replaced anew.
    changed = dilate(mask, state.measure.reach) & (mask | ~state.good.inside)
    state.work.inside[changed] = state.image[changed]
    state.work.renew_border()
    _renew_edges(state, dilate(changed, state.measure.edge_reach))


def _renew_edges(state, near):
    places = state.edges.places(np.flatnonzero(near))
    state.edges.padded.ravel()[places] = state.measure.edges_at(state.work, places)
    state.edges.renew_border()


def _look_again(state, changed, thresholds):
    """Pixels above the thresholds among those whose surroundings changed."""
    measure, (sigma_det, rlim) = state.measure, thresholds
    near = dilate(changed, measure.edge_reach)
    _renew_edges(state, near)
    near = dilate(near, measure.reach - measure.edge_reach) & state.good.inside
    # The significance is the edge less a median of edges, none of which is negative.
    pixels = np.flatnonzero(near & (state.edges.inside > sigma_det))
    places = state.edges.places(pixels)
    significance = measure.significance_at(state.edges, places)
    kept = significance > sigma_det
    pixels, places, significance = pixels[kept], places[kept], significance[kept]
    kept = measure.contrast_at(state.work, state.good, places) > rlim
    state.significance.ravel()[pixels[kept]] = significance[kept]
    found = np.zeros_like(changed)
    found.ravel()[pixels[kept]] = True
    return found


def _replacement_reach(options):
    """Half width, in y and x, of the windows that flagged pixels are replaced from."""
    return -(-int(options.replace_box_y) // 2), -(-int(options.replace_box_x) // 2)


def _replaced(single, mask, good, options):
    """Image with flagged and missing pixels replaced, a new one."""
    cleaned = single.data.copy()
    pixels = np.flatnonzero(mask | single.missing)
    cleaned.ravel()[pixels] = median_around(
        single.data, good, pixels, reach=_replacement_reach(options)
    )
    return cleaned


def _error_image(single, cleaned, mask, options):
    """Standard deviation of each pixel; of flagged and missing ones that of the options."""
    reach = int(options.replace_box_y) // 2, int(options.replace_box_x) // 2
    padded = np.pad(cleaned, [(n, n) for n in reach], mode="symmetric")
    signal = np.maximum(sliding_median(padded, reach=reach), 0)
    error = np.sqrt(single.read_variance + single.poisson_factor * signal)
    error[mask | single.missing] = options.replace_error
    return error
