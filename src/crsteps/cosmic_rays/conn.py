"""Detector Cosmic-CoNN: networks trained on exposures from the ground and of Hubble."""

from dataclasses import dataclass

import numpy as np

from crsteps.cosmic_rays.network_detection import check_network_options, detect_with_network
from crsteps.cosmic_rays.networks import CONN
from crsteps.cosmic_rays.single_image import prepare_image


@dataclass(frozen=True)
class ConnOptions:
    """
    Parameters of Cosmic-CoNN.

    Attributes
    ----------
    model : str
        Network: "ground_imaging" (cameras of Las Cumbres Observatory), "NRES" (its echelle
        spectrographs) or "HST_ACS_WFC".
    threshold : float
        Probability above which a pixel is flagged, between 0 and 1.
    verbose : bool
        Whether the number of pixels found is logged.
    tile_size : int
        Height and width in pixels of the largest part of the image that the network sees at once;
        the memory grows with its square. The networks for the ground compare each pixel with all
        others that they see at once, and were trained on 1024: with other sizes they find other
        cosmic rays. The result of HST_ACS_WFC does not depend on it.
    threads : int
        Threads that PyTorch may use.
    """

    model: str = "ground_imaging"
    threshold: float = 0.5
    verbose: bool = False
    tile_size: int = 1024
    threads: int = 1

    def __post_init__(self):
        check_network_options(self, model="model", known=tuple(CONN.files))


def detect_conn(image, *, read_variance, poisson_factor, missing=None, options=None):
    """
    Find cosmic rays with Cosmic-CoNN.

    Parameters
    ----------
    image : ndarray of float, shape (ny, nx)
        Image without bias, in any unit. NaN and infinite pixels are missing.
    read_variance : float or ndarray, shape (ny, nx)
        Variance without signal, unit of the image squared. Only checked: the networks have learnt
        the noise of their own cameras.
    poisson_factor : float or ndarray, shape (ny, nx)
        Poisson variance per unit of signal, unit of the image: 1/gain for an image in ADU. The
        networks see ``image / poisson_factor``, in electrons, less its median.
    missing : ndarray of bool, shape (ny, nx), optional
        Other pixels without a value. The network sees the median of their neighbours.
    options : ConnOptions, optional
        Parameters of the method.

    Returns
    -------
    AuxiliaryDetection
        Mask; cleaned image in the units of the image, where flagged and missing pixels have the
        median of the 5x5 pixels around them that are neither (the package has no such image);
        probability, 0 at missing pixels.

    Raises
    ------
    ModuleNotFoundError
        If PyTorch or Cosmic-CoNN is not installed; the message names the extra.
    ValueError
        If the image is not two-dimensional or is empty, if shapes differ, or if the noise is not
        positive.

    Notes
    -----
    Xu et al. 2023, ApJ 942, 73.
    """
    options = options or ConnOptions()
    prepared = prepare_image(
        image, read_variance=read_variance, poisson_factor=poisson_factor, missing=missing
    )
    electrons = prepared.data / prepared.poisson_factor
    return detect_with_network(
        prepared,
        electrons - np.median(electrons),
        family=CONN,
        model=options.model,
        options=options,
    )
