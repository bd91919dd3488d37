"""
L.A.Cosmic as astroscrappy 1.3 computes it, in steps that two passes can share.

The passes of the peaks and of the tails differ in their thresholds only: the Laplacian, the noise
and the fine structure of the image as it is given serve both. The Laplacian needs no image of twice
the size, medians are found by sorting networks and a PSF that is a product is applied along one
axis after the other. Masks are those of ``astroscrappy.detect_cosmics``, but for pixels that lie on
a threshold to seven digits, and where the smoothed image is negative: there the read noise remains.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from crsteps.cosmic_rays.hysteresis import dilate
from crsteps.cosmic_rays.laplacian_edges import clipped_laplacian
from crsteps.cosmic_rays.median_filters import separable_median, sliding_median

_LEAST_STRUCTURE = np.float32(0.01)
_WITHOUT_CORNERS = ndimage.iterate_structure(np.ones((3, 3), dtype=bool), 2)
_WITHOUT_CORNERS[[0, 0, -1, -1], [0, -1, 0, -1]] = False
_CLEAN = 2  # half width of the windows from which pixels are replaced
_AT_ONCE = 2**11  # windows gathered at a time
_ROWS = 256  # rows worked on at a time, and as far away as others matter to them
_REACH = 10


@dataclass(frozen=True)
class SearchSettings:
    """
    What does not differ between the passes.

    Attributes
    ----------
    niter : int
        Largest number of iterations.
    sepmed : bool
        Whether medians are separable. They are taken over 7x7, 7x7, 5x5 and 9x9 pixels for the
        noise, the Laplacian and twice the fine structure, and over 5x5, 5x5, 3x3 and 7x7 otherwise.
    cleantype : str
        How flagged pixels are replaced, from 5x5 pixels around them: "median" of all, "medmask"
        and "meanmask", of the unflagged ones, or "idw", their mean weighted by the inverse
        distance.
    kernel : ndarray of float32, shape (n, n), or None
        PSF by which the fine structure is found, n odd; None: by medians.
    """

    niter: int
    sepmed: bool
    cleantype: str
    kernel: np.ndarray | None


def search(data, read_variance, *, bad, passes, settings):
    """
    Search an image in one or more passes.

    Parameters
    ----------
    data : ndarray of float32, shape (ny, nx)
        Image [e-], finite.
    read_variance : ndarray of float32, shape (1, 1) or (ny, nx)
        Variance without light [e-^2], positive.
    bad : ndarray of bool, shape (ny, nx)
        Pixels that are neither flagged nor used to replace others, see `left_out`.
    passes : sequence of tuple of (float, float, float)
        ``sigclip``, ``sigfrac`` and ``objlim`` of each pass.
    settings : SearchSettings
        What the passes have in common.

    Returns
    -------
    list of tuple of (ndarray of bool, ndarray of float32)
        Mask and cleaned image [e-] of each pass.
    """
    variance = data + read_variance
    # astroscrappy has next to no noise where the smoothed image is negative.
    least = read_variance
    if least.size > 1:
        least = _median(least, 7 if settings.sepmed else 5, settings.sepmed)
    least = np.broadcast_to(least, data.shape)
    first, results = _measure(data, variance, least, settings), []
    for thresholds in passes:
        work, noise = data.copy(), variance.copy()
        flagged = np.zeros(data.shape, dtype=bool)
        for iteration in range(settings.niter):
            measured = _measure(work, noise, least, settings) if iteration else first
            found = _select(*measured, ~bad, *thresholds)
            if not found.any():
                break
            flagged |= found
            for image, original in ((work, data), (noise, variance)):
                _clean(image, flagged, bad, settings.cleantype, original=original)
        results.append((flagged, work))
    return results


def left_out(data, *, missing, satlevel, sepmed):
    """
    Find the pixels that L.A.Cosmic leaves out.

    Parameters
    ----------
    data : ndarray of float32, shape (ny, nx)
        Image [e-].
    missing : ndarray of bool, shape (ny, nx)
        Pixels without a value.
    satlevel : float
        Level [e-] from which a pixel amid others of a tenth of it counts as a saturated star.
    sepmed : bool
        Whether medians are separable.

    Returns
    -------
    ndarray of bool, shape (ny, nx)
        Missing pixels and their eight neighbours, saturated stars and what is near them.
    """
    bad = dilate(missing, 1)
    saturated = data >= np.float32(satlevel)
    if saturated.any():
        saturated &= _median(data, 7 if sepmed else 5, sepmed) > np.float32(satlevel / 10)
        bad = bad | ndimage.binary_dilation(saturated, _WITHOUT_CORNERS, iterations=2)
    return bad


def _measure(data, variance, least, settings):
    """Significance of the Laplacian of each pixel, and its ratio to the fine structure."""
    significance, contrast = np.empty_like(data), np.empty_like(data)
    reach = _REACH + (0 if settings.kernel is None else len(settings.kernel) // 2)
    for first in range(0, len(data), _ROWS):
        last = min(first + _ROWS, len(data))
        block = slice(max(first - reach, 0), last + reach)
        inner = slice(first - block.start, last - block.start)
        values = _measure_rows(data[block], variance[block], least[block], settings)
        significance[first:last], contrast[first:last] = (value[inner] for value in values)
    return significance, contrast


def _measure_rows(data, variance, least, settings):
    """Significance and contrast of some rows as if there were no others."""
    sepmed = settings.sepmed
    noise = np.sqrt(np.maximum(_median(variance, 7 if sepmed else 5, sepmed), least))
    around = np.pad(data, 1)  # astroscrappy takes what is outside for 0
    significance = clipped_laplacian(
        data, around[:-2, 1:-1], around[2:, 1:-1], around[1:-1, :-2], around[1:-1, 2:]
    )
    significance /= 2 * noise
    significance -= _median(significance, 7 if sepmed else 5, sepmed)
    if settings.kernel is None:
        fine = _median(data, 5 if sepmed else 3, sepmed)
    else:
        weight = 1 / noise / noise
        fine = _convolve(data * weight, settings.kernel)
        fine /= _convolve(weight, settings.kernel)
    fine -= _median(fine, 9 if sepmed else 7, sepmed)
    fine /= noise
    return significance, significance / np.maximum(fine, _LEAST_STRUCTURE)


def _select(significance, contrast, good, sigclip, sigfrac, objlim):
    """Pixels above the thresholds, and those beside them above lower ones."""
    sigclip, sigfrac, objlim = (np.float32(value) for value in (sigclip, sigfrac, objlim))
    significant = (significance > sigclip) & good
    found = dilate(significant & (contrast > objlim), 1) & significant
    return dilate(found, 1) & (significance > sigfrac * sigclip) & good


def _median(image, size, separable):
    """Median filter that leaves the pixels at the edges, without room for it, as they are."""
    half = size // 2
    filtered = image.copy()
    if min(image.shape) >= size:
        inner = filtered[half:-half, half:-half]
        if separable:
            inner[:] = separable_median(image, size)
        else:
            inner[:] = sliding_median(image, reach=(half, half))
    return filtered


def _convolve(image, kernel):
    """Convolution with a PSF; 0 outside the image."""
    rows, columns = kernel.sum(axis=1), kernel.sum(axis=0)
    if np.allclose(np.outer(rows, columns), kernel, rtol=1e-5, atol=0):
        image = ndimage.convolve1d(image, rows, axis=0, mode="constant")
        return ndimage.convolve1d(image, columns, axis=1, mode="constant")
    from astroscrappy.utils import convolve  # loads OpenMP: only where it is needed
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, user_api="openmp"):
        return convolve(np.ascontiguousarray(image), kernel)


def _clean(image, flagged, bad, cleantype, *, original):
    """
    Replace flagged pixels that are not within two pixels of an edge, in place.

    Without a usable pixel around it a pixel takes the median of the original image.
    """
    inner = flagged[_CLEAN:-_CLEAN, _CLEAN:-_CLEAN]
    y, x = np.nonzero(inner)
    if y.size == 0:
        return
    offset = np.arange(-_CLEAN, _CLEAN + 1)
    nx = image.shape[1]
    around = (offset[:, np.newaxis] * nx + offset).ravel()
    pixels = (y + _CLEAN) * nx + x + _CLEAN
    values = np.empty(pixels.size, dtype=np.float32)
    unusable = flagged | bad
    for start in range(0, pixels.size, _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        places = pixels[part, np.newaxis] + around
        usable = ~unusable.ravel()[places]
        values[part] = _replacements(image.ravel()[places], usable, cleantype)
    lonely = np.isnan(values)
    if lonely.any():
        usable = original[~bad]
        middle = (usable.size - 1) // 2
        values[lonely] = np.partition(usable, middle)[middle]
    image.ravel()[pixels] = values


def _replacements(windows, usable, cleantype):
    """Values for the centres of windows (n, 25); NaN without a usable pixel."""
    if cleantype == "median":
        return np.median(windows, axis=1)
    n_usable = np.count_nonzero(usable, axis=1)
    if cleantype == "medmask":
        windows = np.where(usable, windows, np.float32(np.nan))
        windows.sort(axis=1)  # NaN comes last
        return windows[np.arange(len(windows)), np.maximum(n_usable - 1, 0) // 2]
    weight = np.ones(windows.shape[1], dtype=np.float32)
    if cleantype == "idw":
        offset = np.arange(-_CLEAN, _CLEAN + 1)
        distance = np.hypot(offset[:, np.newaxis], offset).ravel()
        weight = np.where(distance > 0, 1 / np.maximum(distance, 1), 0).astype(np.float32)
    weights = usable * weight
    total = np.sum(weights, axis=1)
    values = np.sum(np.where(usable, windows, 0) * weights, axis=1)
    return np.divide(values, total, out=np.full_like(total, np.nan), where=n_usable > 0)
