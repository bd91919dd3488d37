"""Offsets between the exposures and their median image, and images shifted by them."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from crsteps.detector.regions import check_region, parse_region
from crsteps.mm_cosmic.scene import shift_image as shift_by_fraction

# Fewer pixels than this tell no offset.
_FEWEST_PIXELS = 100
# Offsets are measured to one part in so many of a pixel.
_UPSAMPLING = 100
_REPETITIONS = 5


@dataclass(frozen=True)
class Offsets:
    """
    Offsets of exposures from their median image, and what a figure of them shows.

    Attributes
    ----------
    values : ndarray of float, shape (n, 2)
        Offsets (dx, dy) in pixels: a feature at (x, y) in the median image lies at
        (x + dx, y + dy) in the exposure.
    reference : ndarray of float32, shape (ny, nx)
        Region of the median image.
    exposures : ndarray of float32, shape (n, ny, nx)
        The same region of the exposures.
    registered : ndarray of float32, shape (n, ny, nx)
        The same region of the exposures shifted back onto the median image.
    """

    values: np.ndarray
    reference: np.ndarray
    exposures: np.ndarray
    registered: np.ndarray


def measure_offsets(reference, exposures, region):
    """
    Measure the offsets between the median image and the exposures by cross-correlation.

    The region of both is correlated in Fourier space, upsampled around the maximum (Guizar-Sicairos
    et al. 2008, Optics Letters 33, 156; scikit-image). What enters and leaves the region draws the
    result towards zero; therefore the median image is shifted by what was found and the rest is
    measured again, until nothing is left.

    Parameters
    ----------
    reference : ndarray, shape (ny, nx)
        Median image; missing pixels (NaN) take the value of the nearest one.
    exposures : sequence of ndarray, shape (ny, nx)
        Exposures cleaned of cosmic rays, which would be correlated otherwise; likewise.
    region : crsteps.detector.regions.Region, or as for `crsteps.detector.regions.parse_region`
        Where to measure; a region with structure in x and in y.

    Returns
    -------
    Offsets

    Raises
    ------
    ValueError
        The region is not inside the image or has fewer than 100 pixels; or it is without any
        structure, or without a value, in one of the images.
    """
    region = parse_region(region)
    check_region(region, np.shape(reference))
    _check_size(region)
    reference = _filled(reference, region)
    cut = region.slices
    found, stamps, registered = [], [], []
    for exposure in exposures:
        exposure = _filled(exposure, region)
        dx, dy = _offset(reference, exposure, cut)
        found.append((dx, dy))
        stamps.append(exposure[cut])
        registered.append(shift_image(exposure, -dx, -dy)[cut])
    return Offsets(
        np.array(found),
        *(np.array(images, dtype=np.float32) for images in (reference[cut], stamps, registered)),
    )


def _check_size(region):
    if region.n_pixels < _FEWEST_PIXELS:
        raise ValueError(
            f"the region {region} for the cross-correlation has {region.n_pixels} pixels: "
            f"give one of at least {_FEWEST_PIXELS}"
        )


def _filled(image, region):
    """Image as floats, missing pixels filled with their nearest neighbours; or an error."""
    image = np.asarray(image, dtype=float)
    inside = image[region.slices]
    finite = inside[np.isfinite(inside)]
    if not finite.size or finite.min() == finite.max():
        raise ValueError(
            f"the region {region} shows no structure in one of the images, "
            "so that its offset cannot be measured: give another one"
        )
    return _fill(image)


def _fill(image):
    missing = ~np.isfinite(image)
    if not missing.any():
        return image
    nearest = ndimage.distance_transform_edt(missing, return_distances=False, return_indices=True)
    return image[tuple(nearest)]


def _offset(reference, exposure, cut):
    """Offset (dx, dy) of an exposure from the reference, both without missing pixels."""
    from skimage.registration import phase_cross_correlation

    dx = dy = 0.0
    moving = exposure[cut] - exposure[cut].mean()
    for _ in range(_REPETITIONS):
        shifted = shift_image(reference, dx, dy)[cut]
        (back_y, back_x), *_ = phase_cross_correlation(
            shifted - shifted.mean(), moving, upsample_factor=_UPSAMPLING, normalization=None
        )
        dx, dy = dx - back_x, dy - back_y
        if back_x == 0 and back_y == 0:
            break
    return dx, dy


def shift_image(image, dx, dy):
    """
    Shift an image, keeping the flux of what it shows.

    Whole pixels are moved; what is left, at most half a pixel, is interpolated with Lagrange's
    polynomial through nine pixels, the weights of which sum up to one.

    Parameters
    ----------
    image : ndarray, shape (ny, nx)
        Image; NaN is missing. Not modified.
    dx, dy : float
        Shift in pixels: a feature at (x, y) appears at (x + dx, y + dy).

    Returns
    -------
    ndarray, shape (ny, nx)
        Shifted image of the same dtype; what enters over an edge repeats it. A pixel is NaN if
        the one nearest to where its value comes from is; other pixels see the nearest finite one
        in its place. All NaN if the image is.
    """
    image = np.asarray(image)
    missing = ~np.isfinite(image)
    if missing.all():
        return image.copy()
    whole_x, whole_y = round(dx), round(dy)
    rows, columns = (
        np.clip(np.arange(size) - whole, 0, size - 1)
        for size, whole in zip(image.shape, (whole_y, whole_x), strict=True)
    )
    moved = np.ix_(rows, columns)
    shifted = shift_by_fraction(_fill(image), dx - whole_x, dy - whole_y)[moved]
    shifted[missing[moved]] = np.nan
    return shifted
