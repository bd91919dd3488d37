"""The scene common to equal exposures: order statistics, robust mean, gradients, shifts."""

import numpy as np
from scipy import ndimage

# An exposure this many sigma above the lowest one does not enter the scene's mean.
REJECTION_SIGMA = 5.0
# Half width in pixels of the interpolation kernel of `shift_image`.
SHIFT_HALO = 4


def sort_exposures(stack):
    """
    Sort the exposures of each pixel.

    Parameters
    ----------
    stack : ndarray, shape (n, ny, nx)
        Exposures; NaN is missing.

    Returns
    -------
    list of ndarray, shape (ny, nx)
        The n sorted planes, lowest first; missing values come last as infinity.
    """
    # A network of minimum and maximum on whole planes is several times faster than sorting
    # short columns.
    planes = [np.where(np.isnan(plane), np.float32(np.inf), plane) for plane in stack]
    for last in range(len(planes) - 1, 0, -1):
        for i in range(last):
            low = np.minimum(planes[i], planes[i + 1])
            planes[i + 1] = np.maximum(planes[i], planes[i + 1])
            planes[i] = low
    return planes


def median_of_sorted(planes, n_usable=None):
    """
    Median over the usable exposures.

    Parameters
    ----------
    planes : list of ndarray
        Output of `sort_exposures`.
    n_usable : ndarray of int, shape (ny, nx), optional
        Number of finite values; counted when not given.

    Returns
    -------
    ndarray of float32, shape (ny, nx)
        Median; NaN where no exposure is usable.
    """
    n = len(planes)
    median = (planes[(n - 1) // 2] + planes[n // 2]) / 2
    if n_usable is None:
        n_usable = count_usable(planes)
    short = n_usable < n
    if short.any():
        values = np.array([plane[short] for plane in planes])
        values[~np.isfinite(values)] = np.nan
        values[0, n_usable[short] == 0] = 0  # no empty columns, for which nanmedian would warn
        median[short] = np.nanmedian(values, axis=0)
        median[n_usable == 0] = np.nan
    return median


def count_usable(planes):
    """
    Count the finite values of each pixel.

    Parameters
    ----------
    planes : list of ndarray
        Images of one shape.

    Returns
    -------
    ndarray of uint8
    """
    count = np.zeros(planes[0].shape, dtype=np.uint8)
    for plane in planes:
        count += np.isfinite(plane)
    return count


def reference_scene(stack, lowest, noise, *, expected_lowest, extra_variance=0.0):
    """
    Inverse-variance mean of the exposures that agree with the lowest one.

    Parameters
    ----------
    stack : ndarray of float32, shape (n, ny, nx)
        Exposures on one scale; NaN is missing.
    lowest : ndarray, shape (ny, nx)
        Lowest usable value of each pixel; infinite where there is none.
    noise : crsteps.detector.noise.ExposureNoise
        Noise of the exposures.
    expected_lowest : float
        How many standard deviations the lowest of n values lies below the mean.
    extra_variance : ndarray or float, optional
        Variance from differences between exposures, added in the rejection.

    Returns
    -------
    ndarray of float32, shape (ny, nx)
        Scene signal, data units; 0 where no exposure is usable.
    """
    lowest = np.where(np.isfinite(lowest), lowest, np.float32(0))  # no exposure: any value will do
    sigma = np.sqrt(noise.largest_variance(lowest) + extra_variance)
    limit = lowest + np.float32(REJECTION_SIGMA - 1 + expected_lowest) * sigma
    total = np.zeros_like(lowest)
    weights = np.zeros_like(lowest)
    for plane, weight in zip(stack, _inverse_variances(len(stack), lowest, noise), strict=True):
        agrees = (plane <= limit) * weight  # False for NaN
        total += np.where(agrees, plane, 0) * agrees
        weights += agrees
    return total / np.where(weights > 0, weights, 1)


def _inverse_variances(n_exposures, signal, noise):
    """
    Weight of each exposure in a mean.

    With any other weights a residual from the mean would be correlated with the mean's own noise,
    and a noisy exposure would seem to differ in flux.
    """
    if noise.read_variance.shape[0] == 1 and noise.poisson_factor.shape[0] == 1:
        return [np.float32(1)] * n_exposures
    return 1 / noise.variance(signal)


def gradients(scene):
    """
    Gradient of a scene, exact for what the shift of `shift_image` can represent.

    Parameters
    ----------
    scene : ndarray, shape (ny, nx)
        Image without missing pixels.

    Returns
    -------
    gx, gy : ndarray of float32, shape (ny, nx)
        Derivatives along x and y, data units per pixel.
    """
    # Smoothing would lower the gradient in a line's core and raise it in its wings.
    step = 0.05
    kernel = (_lagrange_kernel(-step) - _lagrange_kernel(step)) / (2 * step)
    return tuple(ndimage.correlate1d(scene, kernel, axis=axis, mode="nearest") for axis in (1, 0))


def shift_image(image, dx, dy):
    """
    Shift an image by less than a pixel.

    Parameters
    ----------
    image : ndarray, shape (ny, nx)
        Image without missing pixels.
    dx, dy : float
        Shift in pixels: a feature at x appears at x + dx.

    Returns
    -------
    ndarray of float32, shape (ny, nx)
        Shifted image; edges are extended.
    """
    for axis, shift in ((1, dx), (0, dy)):
        if shift != 0:
            image = ndimage.correlate1d(image, _lagrange_kernel(shift), axis=axis, mode="nearest")
    return image


def _lagrange_kernel(shift):
    """
    Weights of the pixels at -SHIFT_HALO..SHIFT_HALO for the value at ``x - shift``.

    Lagrange's polynomial through the nearest pixels does not ring: beside a bright line a
    windowed sine would leave several times the error.
    """
    nodes = np.arange(-SHIFT_HALO, SHIFT_HALO + 1)
    return np.array(
        [
            np.prod([(-shift - other) / (node - other) for other in nodes if other != node])
            for node in nodes
        ]
    )
