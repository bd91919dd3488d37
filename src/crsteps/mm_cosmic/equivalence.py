"""
How far the exposures are from equal: flux, offset, shift, local flux and extra variance.

Exposure i is ``x_i = f_i (1 + a_i(p)) S(p - d_i) + b_i + noise`` with S the common scene, f_i
its flux factor, d_i a shift of a fraction of a pixel, b_i an offset and a_i(p) a slowly varying
local difference of flux (fibres, slit losses). All of it is measured from the exposures
themselves, robustly against cosmic rays, on bands of rows, and is exactly nothing where the data
show nothing. What remains is described by an extra variance.
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import uniform_filter
from scipy.special import ndtri

from crsteps.detector.noise import ExposureNoise
from crsteps.mm_cosmic import scene as scenes

# Rows of a band and most pixels in all bands, on which the exposures are compared.
BAND_ROWS = 64
BAND_PIXELS = 600_000
# An exposure with less flux than this, relative to the median of all, is taken as dead.
DEAD_FLUX = 0.2
# Long and short side of the box for local differences of flux.
BOX_LONG, BOX_SHORT, BOX_SQUARE = 151, 3, 21
# Local differences whose variance is below this part of their errors' are not worth correcting.
MINIMUM_LOCAL_EXCESS = 0.3


@dataclass(frozen=True)
class EquivalenceModel:
    """
    Differences between exposures of one scene.

    Attributes
    ----------
    flux : ndarray, shape (n,)
        Flux factors, mean one.
    offset : ndarray, shape (n,)
        Offsets, data units, mean zero.
    dx, dy : ndarray, shape (n,)
        Shifts in pixels, mean zero.
    usable : ndarray of bool, shape (n,)
        False for a dead exposure.
    local_box : tuple of int or None
        Box ``(ny, nx)`` in which local flux differences are measured; None without them.
    local_scatter : float
        Rms of the local flux differences.
    relative_variance : float
        Extra variance in units of the signal squared.
    gradient_variance : tuple of float
        Extra variance in units of the squared gradients along x and y.
    read_noise_ratio, gain_ratio : float
        Measured over given read noise and gain; NaN where the data do not tell.
    """

    flux: np.ndarray
    offset: np.ndarray
    dx: np.ndarray
    dy: np.ndarray
    usable: np.ndarray
    local_box: tuple | None = None
    local_scatter: float = 0.0
    relative_variance: float = 0.0
    gradient_variance: tuple = (0.0, 0.0)
    read_noise_ratio: float = float("nan")
    gain_ratio: float = float("nan")

    @classmethod
    def equal(cls, n_exposures):
        """
        Return the model of exposures without any difference.

        Parameters
        ----------
        n_exposures : int
            Number of exposures.

        Returns
        -------
        EquivalenceModel
        """
        zero = np.zeros(n_exposures)
        return cls(np.ones(n_exposures), zero, zero, zero, np.ones(n_exposures, dtype=bool))

    @property
    def halo(self):
        """Rows above and below a block that its correction depends on."""
        box = 0 if self.local_box is None else self.local_box[0] // 2 + 1
        return scenes.SHIFT_HALO + 4 + box

    @property
    def is_equal(self):
        """Whether the exposures need no correction."""
        return (
            self.local_box is None
            and np.all(self.flux == 1)
            and not (self.offset.any() or self.dx.any() or self.dy.any())
        )


@dataclass(frozen=True)
class AlignedBlock:
    """
    Exposures brought to the common scene.

    Attributes
    ----------
    stack : ndarray of float32, shape (n, ny, nx)
        Exposures on the scale of the scene; NaN is missing.
    noise : crsteps.detector.noise.ExposureNoise
        Noise on that scale.
    planes : list of ndarray
        The sorted exposures, missing ones last as infinity.
    scene : ndarray of float32, shape (ny, nx)
        Common scene.
    extra_variance : ndarray of float32, shape (ny, nx), or float
        Extra variance from gradients.
    to_mean : ndarray of float32, shape (ny, nx), or float
        What takes a value on the common scale to the mean of the exposures as they are.
    """

    stack: np.ndarray
    noise: ExposureNoise
    planes: list
    scene: np.ndarray
    extra_variance: np.ndarray | float
    to_mean: np.ndarray | float


def align_block(stack, noise, model):
    """
    Bring a block of exposures to the common scene.

    Parameters
    ----------
    stack : ndarray of float32, shape (n, ny, nx)
        Exposures; NaN is missing. Not modified.
    noise : crsteps.detector.noise.ExposureNoise
        Their noise.
    model : EquivalenceModel
        Their differences.

    Returns
    -------
    AlignedBlock
    """
    stack = stack[model.usable]
    noise = _usable_noise(noise, model.usable)
    if model.is_equal:
        planes, scene = _sorted_and_scene(stack, noise)
        return AlignedBlock(stack, noise, planes, scene, _gradient_variance(scene, model), 0.0)
    flux, offset, dx, dy = (
        values[model.usable] for values in (model.flux, model.offset, model.dx, model.dy)
    )
    scale = flux[:, None, None].astype(np.float32)
    noise = ExposureNoise(noise.read_variance / scale**2, noise.poisson_factor / scale)
    aligned = (stack - offset[:, None, None].astype(np.float32)) / scale
    tolerance = _uncorrected_variance(aligned)
    planes, scene = _sorted_and_scene(aligned, noise, tolerance)
    shifted = np.zeros((len(aligned), 1, 1), dtype=np.float32)
    if dx.any() or dy.any():
        shifted = np.array(
            [scenes.shift_image(scene, x, y) - scene for x, y in zip(dx, dy, strict=True)]
        )
        aligned -= shifted
        planes, scene = _sorted_and_scene(aligned, noise, tolerance)
    if model.local_box is not None:
        ratios = 1 + np.array(list(local_ratios(aligned, noise, scene, model)))
        aligned /= ratios
        shifted, scale = shifted / ratios, scale * ratios
        planes, scene = _sorted_and_scene(aligned, noise, tolerance)
    to_mean = sum(factor * (scene + shift) for factor, shift in zip(scale, shifted, strict=True))
    to_mean = to_mean / len(aligned) - scene
    return AlignedBlock(aligned, noise, planes, scene, _gradient_variance(scene, model), to_mean)


def _uncorrected_variance(stack):
    """What differences of flux and shift may add before they are corrected for."""
    median = scenes.median_of_sorted(scenes.sort_exposures(stack))
    np.nan_to_num(median, copy=False)
    gx, gy = scenes.gradients(median)
    return (0.05 * median) ** 2 + 0.02 * (gx**2 + gy**2)


def _sorted_and_scene(stack, noise, extra_variance=0.0):
    planes = scenes.sort_exposures(stack)
    return planes, scenes.reference_scene(
        stack,
        planes[0],
        noise,
        expected_lowest=expected_lowest(len(planes)),
        extra_variance=extra_variance,
    )


def _gradient_variance(scene, model):
    if not any(model.gradient_variance):
        return 0.0
    gx, gy = scenes.gradients(scene)
    cx, cy = model.gradient_variance
    return np.float32(cx) * gx**2 + np.float32(cy) * gy**2


def expected_lowest(n):
    """
    Give the expected lowest of n standard normal values, after Blom.

    Parameters
    ----------
    n : int
        Number of values.

    Returns
    -------
    float
        Standard deviations by which it lies below the mean.
    """
    return float(-ndtri((1 - 0.375) / (n + 0.25)))


def _usable_noise(noise, usable):
    return ExposureNoise(
        *(
            values[usable] if values.shape[0] == usable.size else values
            for values in (noise.read_variance, noise.poisson_factor)
        )
    )


def local_ratios(stack, noise, scene, model):
    """
    Local flux of each exposure relative to the scene, minus one.

    Parameters
    ----------
    stack : ndarray, shape (n, ny, nx)
        Exposures on the scale of the scene; NaN is missing.
    noise : crsteps.detector.noise.ExposureNoise
        Their noise.
    scene : ndarray, shape (ny, nx)
        Common scene.
    model : EquivalenceModel
        Gives box and scatter: ratios are shrunk to zero where the box holds less information
        than the scatter says.

    Yields
    ------
    ndarray of float32, shape (ny, nx)
        Ratio minus one for each exposure.
    """
    for numerator, denominator in box_sums(stack, noise, scene, model.local_box):
        yield numerator / (denominator + np.float32(1 / model.local_scatter**2))


def box_sums(stack, noise, scene, box):
    """
    Weighted sums of residual times scene and of scene squared in a box.

    Parameters
    ----------
    stack : ndarray, shape (n, ny, nx)
        Exposures on the scale of the scene; NaN is missing.
    noise : crsteps.detector.noise.ExposureNoise
        Their noise.
    scene : ndarray, shape (ny, nx)
        Common scene.
    box : tuple of int
        Height and width of the box, which ends at the edge of the image.

    Yields
    ------
    numerator, denominator : ndarray of float32, shape (ny, nx)
        The sums for each exposure. Their quotient is its local flux relative to the scene, minus
        one, with the variance ``1 / denominator``.
    """
    n_box = np.float32(box[0] * box[1])
    variance = noise.variance(scene) + (np.float32(0.03) * scene) ** 2
    for plane, plane_variance in zip(stack, np.broadcast_to(variance, stack.shape), strict=True):
        residual = plane - scene
        # A cosmic ray, or a missing pixel, says nothing about the flux. Clipped ones would all
        # pull to one side.
        outlier = ~(residual**2 < 3.5**2 * plane_variance)
        residual[outlier] = 0
        weight = np.where(outlier, 0, scene / plane_variance)
        yield (
            uniform_filter(residual * weight, box, mode="constant") * n_box,
            uniform_filter(scene * weight, box, mode="constant") * n_box,
        )
