"""One image as the detectors of single images take it: finite, with its noise."""

from dataclasses import dataclass

import numpy as np

from crsteps.cosmic_rays.local_median import fill_missing


@dataclass(frozen=True)
class SingleImage:
    """
    Image, its missing pixels and its noise.

    Attributes
    ----------
    data : ndarray of float32, shape (ny, nx)
        Image, finite everywhere: missing pixels are filled from their neighbours.
    missing : ndarray of bool, shape (ny, nx)
        Pixels that are filled.
    read_variance : ndarray of float32, shape (1, 1) or (ny, nx)
        Variance without signal, unit of the image squared.
    poisson_factor : ndarray of float32, shape (1, 1) or (ny, nx)
        Poisson variance per unit of signal, unit of the image.
    """

    data: np.ndarray
    missing: np.ndarray
    read_variance: np.ndarray
    poisson_factor: np.ndarray


def prepare_image(image, *, read_variance, poisson_factor, missing=None):
    """
    Check one image and its noise, and fill its missing pixels.

    Parameters
    ----------
    image : ndarray of float, shape (ny, nx)
        Image without bias. NaN and infinite pixels are missing.
    read_variance : float or ndarray, shape (ny, nx)
        Variance without signal, unit of the image squared.
    poisson_factor : float or ndarray, shape (ny, nx)
        Poisson variance per unit of signal, unit of the image.
    missing : ndarray of bool, shape (ny, nx), optional
        Other pixels without a value. Those whose noise is not finite are missing too.

    Returns
    -------
    SingleImage
        The arguments are not modified; its arrays may be the arguments themselves.

    Raises
    ------
    ValueError
        If the image is not two-dimensional or is empty, if shapes differ, or if the noise of a
        pixel is not positive.
    """
    data = np.asarray(image, dtype=np.float32)
    if data.ndim != 2 or data.size == 0:
        raise ValueError(
            f"the image has the shape {data.shape}; it must have two axes and at least one pixel"
        )
    gone = ~np.isfinite(data)
    if missing is not None:
        if np.shape(missing) != data.shape:
            raise ValueError(
                f"missing has the shape {np.shape(missing)} and the image {data.shape}: they must "
                "be equal"
            )
        gone |= np.asarray(missing, dtype=bool)
    read_variance, unknown = _per_pixel(read_variance, data.shape, gone, "read_variance")
    gone |= unknown
    poisson_factor, unknown = _per_pixel(poisson_factor, data.shape, gone, "poisson_factor")
    gone |= unknown
    if gone.any():
        data = fill_missing(data, gone)
    return SingleImage(data, gone, read_variance, poisson_factor)


def _per_pixel(values, shape, missing, name):
    """
    Give a quantity of the noise as an array with two axes, and where it is unknown.

    Unknown values, and those of missing pixels, become the median of the others, so that every
    pixel has a noise to be compared with.
    """
    values = np.array(values, dtype=np.float32)
    if values.ndim == 0:
        values = values.reshape(1, 1)
        missing = np.zeros((1, 1), dtype=bool)
    elif values.shape != shape:
        raise ValueError(
            f"{name} has the shape {values.shape} and the image {shape}: give one number or one "
            "for each pixel"
        )
    unknown = ~np.isfinite(values)
    wrong = ~unknown & ~missing & (values <= 0)
    if wrong.any() or (values.size == 1 and unknown.any()):
        bad = values[wrong | unknown][0]
        raise ValueError(f"{name} must be positive and finite, not {bad}")
    left_out = unknown | missing
    if left_out.all():
        values[:] = 1
    elif left_out.any():
        values[left_out] = np.median(values[~left_out])
    return values, np.broadcast_to(unknown, shape)
