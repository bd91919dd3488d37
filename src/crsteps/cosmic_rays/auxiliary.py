"""
Detectors of cosmic rays in single images, behind one call.

Each detector is a module of this folder with a function of the same signature, imported when it is
first asked for: a user of one does not pay for, or need, what another is built on.
"""

from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module

import numpy as np

METHODS = ("lacosmic", "pycosmic", "deepcr", "conn")
_OPTIONS = {
    "lacosmic": "LacosmicOptions",
    "pycosmic": "PycosmicOptions",
    "deepcr": "DeepcrOptions",
    "conn": "ConnOptions",
}


@dataclass(frozen=True)
class AuxiliaryDetection:
    """
    Cosmic rays that a detector found in one image.

    Attributes
    ----------
    mask : ndarray of bool, shape (ny, nx)
        True at cosmic rays; False at missing pixels.
    cleaned : ndarray of float32, shape (ny, nx), or None
        Image with the flagged and the missing pixels replaced, finite everywhere; None if the
        detector has no such image. In the units of the image unless the options of the detector
        say otherwise.
    significance : ndarray of float32, shape (ny, nx), or None
        How far each pixel stands out, in units of the noise; None of detectors without such a
        number.
    probability : ndarray of float32, shape (ny, nx), or None
        Probability of a cosmic ray, 0 to 1; None of detectors without such a number.
    error : ndarray of float32, shape (ny, nx), or None
        Standard deviation of the cleaned image, of detectors that were asked for it.
    """

    mask: np.ndarray
    cleaned: np.ndarray | None = None
    significance: np.ndarray | None = None
    probability: np.ndarray | None = None
    error: np.ndarray | None = None


def detect_auxiliary(method, image, *, read_variance, poisson_factor, missing=None, options=None):
    """
    Find the cosmic rays of one image with one of the detectors.

    Parameters
    ----------
    method : str
        "lacosmic" (L.A.Cosmic), "pycosmic" (PyCosmic), "deepcr" (deepCR) or "conn" (Cosmic-CoNN).
    image : ndarray of float, shape (ny, nx)
        Image without bias, in any unit. NaN and infinite pixels are missing.
    read_variance : float or ndarray, shape (ny, nx)
        Variance of a pixel without signal, unit of the image squared.
    poisson_factor : float or ndarray, shape (ny, nx)
        Poisson variance per unit of signal, unit of the image: 1/gain for an image in ADU, 1 for
        electrons. The variance is ``read_variance + poisson_factor * max(signal, 0)``.
    missing : ndarray of bool, shape (ny, nx), optional
        Pixels without a value. They are neither flagged nor used.
    options : LacosmicOptions, PycosmicOptions, DeepcrOptions or ConnOptions, optional
        Parameters of the detector; None for its documented ones.

    Returns
    -------
    AuxiliaryDetection
        Mask, and what else the method has. An image without a single pixel that is not missing
        has an empty mask and is cleaned to zero.

    Raises
    ------
    ValueError
        If there is no such method, the options are those of another one, or the method refuses
        its input.
    ModuleNotFoundError
        If the method needs a package that is not installed; the message names the package.
    """
    expected = options_class(method)
    if options is None:
        options = expected()
    if not isinstance(options, expected):
        raise ValueError(
            f"the options of {method} are an instance of {expected.__name__}, not of "
            f"{type(options).__name__}"
        )
    detect = getattr(_module_of(method), f"detect_{method}")
    return detect(
        image,
        read_variance=read_variance,
        poisson_factor=poisson_factor,
        missing=missing,
        options=options,
    )


def options_class(method):
    """
    Class of the options of a detector.

    Parameters
    ----------
    method : str
        One of `METHODS`.

    Returns
    -------
    type
        A frozen dataclass whose fields all have defaults.

    Raises
    ------
    ValueError
        If there is no such method; the message names the nearest one.
    """
    return getattr(_module_of(method), _OPTIONS[method])


def _module_of(method):
    if method not in METHODS:
        near = get_close_matches(str(method), METHODS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(
            f"no such detector of cosmic rays: {method!r}; there are {', '.join(METHODS)}{hint}"
        )
    return import_module(f"crsteps.cosmic_rays.{method}")
