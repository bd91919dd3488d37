"""
L.A.Cosmic, with the parameters that users of ccdproc and numina know.

van Dokkum 2001, PASP 113, 1420, https://doi.org/10.1086/323894, in the form of astroscrappy,
McCully et al. 2018, https://doi.org/10.5281/zenodo.1482019.
"""

import logging
from dataclasses import dataclass

import numpy as np

from crsteps.cosmic_rays.auxiliary import AuxiliaryDetection
from crsteps.cosmic_rays.lacosmic_search import SearchSettings, left_out, search
from crsteps.cosmic_rays.single_image import prepare_image
from crsteps.cosmic_rays.two_pass import join_passes, pair_of

log = logging.getLogger(__name__)

_FWHM = 2 * np.sqrt(2 * np.log(2))
_CHOICES = {
    "cleantype": ("median", "medmask", "meanmask", "idw"),
    "fsmode": ("median", "convolve"),
    "psfmodel": ("gauss", "moffat", "gaussx", "gaussy", "gaussxy"),
}


@dataclass(frozen=True)
class LacosmicOptions:
    """
    Parameters of L.A.Cosmic, by the names of ccdproc.

    Attributes
    ----------
    gain_apply : bool
        Whether the cleaned image is in electrons, as ccdproc gives it, instead of in the unit of
        the image.
    sigclip : float or pair of float
        Laplacian in units of the noise above which a pixel is a cosmic ray. If the two numbers of
        this or of one of the next two parameters differ there are two passes, of the peaks and of
        the tails: what the second finds is kept where it is connected with what the first finds.
    sigfrac : float or pair of float
        Fraction of ``sigclip`` that suffices beside a cosmic ray.
    objlim : float or pair of float
        Least ratio of the Laplacian to the fine structure.
    satlevel : float
        Level in the unit of the image from which a pixel amid others of a tenth of it counts as a
        saturated star; infinite for none.
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
        PSF: "gauss" or "moffat", round with the mean of the two widths; "gaussx" or "gaussy",
        along one axis and constant along the other one; "gaussxy", elliptical.
    psffwhm_x, psffwhm_y : float
        Full width at half maximum of the PSF in pixels.
    psfsize : int
        Odd size of its image in pixels, 3 at least.
    psfbeta : float
        Exponent of the Moffat PSF.
    verbose : bool
        Whether the number of pixels found is logged.
    padwidth : int
        Pixels by which the image is continued at its edges by reflection, the edge pixel not
        repeated. Without them nothing is found in the outermost pixels.
    """

    gain_apply: bool = True
    sigclip: float | tuple[float, float] = (5.0, 3.0)
    sigfrac: float | tuple[float, float] = (0.3, 0.3)
    objlim: float | tuple[float, float] = (5.0, 5.0)
    satlevel: float = 65535.0
    niter: int = 4
    sepmed: bool = True
    cleantype: str = "meanmask"
    fsmode: str = "convolve"
    psfmodel: str = "gaussxy"
    psffwhm_x: float = 2.5
    psffwhm_y: float = 2.5
    psfsize: int = 11
    psfbeta: float = 4.765
    verbose: bool = False
    padwidth: int = 10

    def __post_init__(self):
        for name in ("sigclip", "sigfrac", "objlim"):
            pair_of(getattr(self, name), name)
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(
                    f"{name} is {getattr(self, name)!r}; it must be one of {', '.join(choices)}"
                )
        for name, smallest in {"niter": 1, "psfsize": 3, "padwidth": 0}.items():
            value = getattr(self, name)
            if value != int(value) or value < smallest:
                raise ValueError(
                    f"{name} is {value}; it must be a whole number of at least {smallest}"
                )
        if self.psfsize % 2 == 0:
            raise ValueError(f"psfsize is {self.psfsize}; it must be odd")
        for name in ("satlevel", "psffwhm_x", "psffwhm_y", "psfbeta"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be positive")

    @property
    def thresholds(self):
        """Thresholds (sigclip, sigfrac, objlim) of each pass, of one if the two are the same."""
        pairs = [pair_of(values, "") for values in (self.sigclip, self.sigfrac, self.objlim)]
        passes = tuple(zip(*pairs, strict=True))
        return passes[:1] if passes[0] == passes[1] else passes


def detect_lacosmic(image, *, read_variance, poisson_factor, missing=None, options=None):
    """
    Find cosmic rays with L.A.Cosmic.

    Parameters
    ----------
    image : ndarray of float, shape (ny, nx)
        Image without bias, in any unit. NaN and infinite pixels are missing.
    read_variance : float or ndarray, shape (ny, nx)
        Variance without signal, unit of the image squared.
    poisson_factor : float or ndarray, shape (ny, nx)
        Poisson variance per unit of signal, unit of the image: 1/gain for an image in ADU. Its
        reciprocal converts the image, the read noise and the level of saturation to electrons.
    missing : ndarray of bool, shape (ny, nx), optional
        Other pixels without a value.
    options : LacosmicOptions, optional
        Parameters of the method.

    Returns
    -------
    AuxiliaryDetection
        Mask; and image with the flagged and the missing pixels replaced, all others unchanged, in
        electrons if ``gain_apply`` is set and in the unit of the image otherwise. Missing pixels
        are filled before the search, and nothing is flagged in them or beside them.

    Raises
    ------
    ValueError
        If the image is not two-dimensional or is empty, shapes differ, or the noise of a pixel is
        not positive.

    Notes
    -----
    Masks are those of astroscrappy 1.3, which is not called: what two passes have in common is
    computed once (`crsteps.cosmic_rays.lacosmic_search`). Two of its faults are not followed: its
    noise vanishes where the smoothed image is below minus the read noise squared, and
    ``cleantype="median"`` reads memory that was not written.
    """
    options = options or LacosmicOptions()
    single = prepare_image(
        image, read_variance=read_variance, poisson_factor=poisson_factor, missing=missing
    )
    found = _search_in_electrons(single, options)
    mask = found[0][0] if len(found) == 1 else join_passes(found[0][0], found[1][0])
    if options.verbose:
        numbers = [np.count_nonzero(flagged) for flagged, _ in found]
        log.info("L.A.Cosmic: %d pixels flagged; in each pass: %s", np.count_nonzero(mask), numbers)
    # What only the pass of the tails has replaced is as it was.
    cleaned = single.data * (1 / single.poisson_factor)
    cleaned[mask] = found[-1][1][mask]
    if not options.gain_apply:
        cleaned = np.where(mask, cleaned * single.poisson_factor, single.data)
    return AuxiliaryDetection(mask, cleaned)


def _search_in_electrons(single, options):
    """Mask and cleaned image [e-] of each pass."""
    gain = 1 / single.poisson_factor
    data = single.data * gain
    width, (ny, nx) = int(options.padwidth), data.shape
    data, missing = (np.pad(plane, width, mode="reflect") for plane in (data, single.missing))
    read_variance = single.read_variance * gain**2
    if read_variance.size > 1:
        read_variance = np.pad(read_variance, width, mode="reflect")
    sepmed = bool(options.sepmed)
    bad = left_out(
        data,
        missing=missing,
        satlevel=options.satlevel * float(np.median(gain)),
        sepmed=sepmed,
    )
    settings = SearchSettings(
        niter=int(options.niter),
        sepmed=sepmed,
        cleantype=options.cleantype,
        kernel=_kernel(options) if options.fsmode == "convolve" else None,
    )
    found = search(data, read_variance, bad=bad, passes=options.thresholds, settings=settings)
    inside = np.s_[width : width + ny, width : width + nx]
    return [(flagged[inside], cleaned[inside]) for flagged, cleaned in found]


def _kernel(options):
    """Image of the PSF with unit sum."""
    half = int(options.psfsize) // 2
    y, x = np.mgrid[-half : half + 1, -half : half + 1].astype(np.float64)
    mean = (options.psffwhm_x + options.psffwhm_y) / 2
    width_x, width_y = {
        "gaussx": (options.psffwhm_x, None),
        "gaussy": (None, options.psffwhm_y),
        "gaussxy": (options.psffwhm_x, options.psffwhm_y),
    }.get(options.psfmodel, (mean, mean))
    if options.psfmodel == "moffat":
        core = mean / (2 * np.sqrt(2 ** (1 / options.psfbeta) - 1))
        kernel = (1 + (x**2 + y**2) / core**2) ** -options.psfbeta
    else:
        kernel = np.ones_like(x)
        for distance, width in ((x, width_x), (y, width_y)):
            if width is not None:
                kernel *= _gaussian(distance, width)
    return (kernel / kernel.sum()).astype(np.float32)


def _gaussian(distance, fwhm):
    return np.exp(-0.5 * (distance * _FWHM / fwhm) ** 2)
