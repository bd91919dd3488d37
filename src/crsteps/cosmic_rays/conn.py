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
    tile_size : int or None
        Height and width in pixels of the largest part of the image that the network sees at once;
        the memory grows with its square. The networks for the ground normalise with means and
        variances of all they see at once, were trained on 1024 pixels, and find other cosmic rays
        with other sizes. The result of HST_ACS_WFC does not depend on it. None for 1024 and, of
        HST_ACS_WFC, 320.
    threads : int
        Threads that PyTorch may use.
    """

    model: str = "ground_imaging"
    threshold: float = 0.5
    verbose: bool = False
    tile_size: int | None = None
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
    Xu et al. 2023, ApJ 942, 73. Try it on exposures of the instrument first: on simulated spectra
    of many fibres, three quarters of the pixels that these networks flag are no cosmic rays.

    Of one window, the probability is that of the package cosmic-conn within rounding. But the
    package has zeros beyond the edges of the image and of its tiles, where this function has the
    mirrored image and the neighbouring tile; it cuts large images elsewhere, and subtracts the
    median of each tile; and it leaves out the last rows and columns of an image that is not a
    multiple of 16 pixels wide.
    """
    options = options or ConnOptions()
    prepared = prepare_image(
        image, read_variance=read_variance, poisson_factor=poisson_factor, missing=missing
    )
    electrons = prepared.data / prepared.poisson_factor
    default_size = 320 if options.model == "HST_ACS_WFC" else 1024
    return detect_with_network(
        prepared,
        electrons - np.median(electrons),
        family=CONN,
        model=options.model,
        options=options,
        tile_size=options.tile_size or default_size,
    )
