"""L.A.Cosmic by way of astroscrappy: its parameters, and a call with one thread."""

from dataclasses import asdict, dataclass

import numpy as np
from threadpoolctl import threadpool_limits


@dataclass(frozen=True)
class LaplacianOptions:
    """
    Parameters of astroscrappy, by its own names; the values are those for NISP slew darks.

    Attributes
    ----------
    sigclip : float
        Laplacian in units of the noise above which a pixel is a cosmic ray.
    sigfrac : float
        Fraction of ``sigclip`` that suffices beside a cosmic ray.
    objlim : float
        Least ratio of the Laplacian to the fine structure.
    gain : float
        Electrons per ADU. astroscrappy multiplies the image by it and divides the cleaned image
        by it: image, background and variance are in ADU.
    readnoise : float
        Read noise [e-].
    satlevel : float
        Level [e-] from which a pixel amid others of a tenth of it counts as a saturated star.
    niter : int
        Largest number of iterations.
    sepmed : bool
        Whether median filters are separable: faster, slightly different.
    cleantype : str
        How flagged pixels are replaced: "median", "medmask", "meanmask" or "idw".
    fsmode : str
        Fine structure from a "median" filter or by a PSF ("convolve"). The parameters below act
        with "convolve" only.
    psfmodel : str
        PSF: "gauss", "gaussx", "gaussy" or "moffat".
    psffwhm : float
        Full width at half maximum of the PSF in pixels.
    psfsize : int
        Odd size of its image in pixels.
    psfbeta : float
        Exponent of the Moffat PSF.

    Notes
    -----
    McCully et al. 2018, https://doi.org/10.5281/zenodo.1482019, after van Dokkum 2001, PASP 113,
    1420. The values were tuned on slew darks by the NISP team.
    """

    sigclip: float = 4.5
    sigfrac: float = 0.3
    objlim: float = 4.0
    gain: float = 1.95
    readnoise: float = 6.0
    satlevel: float = 65536.0
    niter: int = 6
    sepmed: bool = True
    cleantype: str = "meanmask"
    fsmode: str = "median"
    psfmodel: str = "gauss"
    psffwhm: float = 1.5
    psfsize: int = 5
    psfbeta: float = 4.765


SLEW_DARK = LaplacianOptions()


def detect_laplacian(image, *, options=SLEW_DARK, mask=None, background=None, variance=None):
    """
    Find cosmic rays with astroscrappy, with one thread.

    Parameters
    ----------
    image : ndarray of float, shape (ny, nx)
        Image [ADU], finite everywhere. The noise is computed from its values: an offset of the
        electronics that is left in counts as light.
    options : LaplacianOptions
        Parameters of astroscrappy.
    mask : ndarray of bool, shape (ny, nx), optional
        Pixels left out; astroscrappy leaves out their neighbours too.
    background : ndarray of float, shape (ny, nx), optional
        Light that is taken off before the detection [ADU] and counts as noise.
    variance : ndarray of float, shape (ny, nx), optional
        Variance [ADU^2] in place of astroscrappy's own.

    Returns
    -------
    flagged : ndarray of bool, shape (ny, nx)
        Cosmic rays.
    cleaned : ndarray of float32, shape (ny, nx)
        Image with the flagged pixels replaced [ADU].

    Raises
    ------
    ValueError
        If the image is not two-dimensional, is not finite or has fewer than five pixels along an
        axis.

    Notes
    -----
    The same as ``astroscrappy.detect_cosmics`` for any number of threads. Its threads are those of
    the OpenMP library in its own wheel, which `threadpoolctl` knows only once astroscrappy is
    imported: hence the limit is set here, after the import, and lifted at the end.
    """
    image = np.asarray(image)
    if image.ndim != 2 or min(image.shape) < 5:
        raise ValueError(
            f"astroscrappy needs an image of at least 5x5 pixels, this one has the shape "
            f"{image.shape}"
        )
    if not np.isfinite(image).all():
        raise ValueError("astroscrappy needs finite pixels: replace the others before")
    import astroscrappy  # loads OpenMP: only where it is needed

    with threadpool_limits(1, user_api="openmp"):
        flagged, cleaned = astroscrappy.detect_cosmics(
            np.ascontiguousarray(image, dtype=np.float32),
            inmask=mask,
            inbkg=background,
            invar=variance,
            **asdict(options),
        )
    return flagged.astype(bool, copy=False), cleaned
