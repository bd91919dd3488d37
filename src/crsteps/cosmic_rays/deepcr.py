"""Detector deepCR: networks trained on cosmic rays in exposures of the Hubble Space Telescope."""

from dataclasses import dataclass

import numpy as np

from crsteps.cosmic_rays.network_detection import check_network_options, detect_with_network
from crsteps.cosmic_rays.networks import DEEPCR
from crsteps.cosmic_rays.single_image import prepare_image


@dataclass(frozen=True)
class DeepcrOptions:
    """
    Parameters of deepCR.

    Attributes
    ----------
    mask : str
        Network: "ACS-WFC" or "WFC3-UVIS".
    threshold : float
        Probability above which a pixel is flagged, between 0 and 1. The authors recommend 0.5 for
        ACS-WFC and 0.1 to 0.2 for WFC3-UVIS.
    verbose : bool
        Whether the number of pixels found is logged.
    tile_size : int or None
        Height and width in pixels of the largest part of the image that the network sees at once.
        The result does not depend on it; the memory grows with its square. None for 320.
    threads : int
        Threads that PyTorch may use.
    """

    mask: str = "ACS-WFC"
    threshold: float = 0.5
    verbose: bool = False
    tile_size: int | None = None
    threads: int = 1

    def __post_init__(self):
        check_network_options(self, model="mask", known=tuple(DEEPCR.files))


def detect_deepcr(image, *, read_variance, poisson_factor, missing=None, options=None):
    """
    Find cosmic rays with deepCR.

    Parameters
    ----------
    image : ndarray of float, shape (ny, nx)
        Image without bias, in any unit. NaN and infinite pixels are missing.
    read_variance : float or ndarray, shape (ny, nx)
        Variance without signal, unit of the image squared. Only checked: the networks have learnt
        the noise of their own cameras.
    poisson_factor : float or ndarray, shape (ny, nx)
        Poisson variance per unit of signal, unit of the image: 1/gain for an image in ADU. The
        networks were trained on electrons and see ``image / poisson_factor``.
    missing : ndarray of bool, shape (ny, nx), optional
        Other pixels without a value. The network sees the median of their neighbours.
    options : DeepcrOptions, optional
        Parameters of the method.

    Returns
    -------
    AuxiliaryDetection
        Mask; cleaned image in the units of the image, where flagged and missing pixels have the
        median of the 5x5 pixels around them that are neither; probability, 0 at missing pixels.

    Raises
    ------
    ModuleNotFoundError
        If PyTorch or deepCR is not installed; the message names the extra.
    ValueError
        If the image is not two-dimensional or is empty, if shapes differ, or if the noise is not
        positive.

    Notes
    -----
    Zhang & Bloom 2020, ApJ 889, 24; networks of Kwon, Zhang & Bloom 2021, RNAAS 5, 98 (ACS-WFC),
    and Chen et al. 2024, ApJ 962, 7 (WFC3-UVIS). The latter sees the image less its mean, divided
    by its standard deviation.

    The probability is that of the package deepCR within rounding, but near the edges of its tiles
    and of the image: there the package has zeros beyond the edge, and this function has the
    neighbouring tile or the mirrored image.
    """
    options = options or DeepcrOptions()
    prepared = prepare_image(
        image, read_variance=read_variance, poisson_factor=poisson_factor, missing=missing
    )
    electrons = prepared.data / prepared.poisson_factor
    if options.mask == "WFC3-UVIS":
        mean, deviation = electrons.mean(dtype=np.float64), electrons.std(dtype=np.float64)
        # An image without any structure stays zero.
        electrons = ((electrons - mean) / (deviation or 1)).astype(np.float32)
    return detect_with_network(
        prepared,
        electrons,
        family=DEEPCR,
        model=options.mask,
        options=options,
        tile_size=options.tile_size or 320,
    )
