"""Simulated exposures as plain FITS files, the way a camera writes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from astropy.io import fits

from crsteps.simulation.fibre_spectrograph import FibreExposures

__all__ = ["write_fits_exposures"]


def write_fits_exposures(
    exposures: FibreExposures,
    folder,
    *,
    stem: str = "exposure",
    integers: bool = True,
    cosmic_rays: bool = True,
) -> list[Path]:
    """
    Write each exposure as an image in the primary array of a FITS file.

    Parameters
    ----------
    exposures : FibreExposures
        Simulated exposures.
    folder : path-like
        Existing folder; files of the same names are replaced.
    stem : str
        The files are called ``<stem>1.fits``, ``<stem>2.fits``, ...
    integers : bool
        Round to unsigned 16-bit integers, stored with BZERO, as an analogue-to-digital converter
        does: values are clipped at 0 and 65535. Otherwise float32 as simulated.
    cosmic_rays : bool
        Whether the files contain the cosmic rays, or the same noise without them.

    Returns
    -------
    paths : list of Path
        Files in the order of the exposures. Their headers give GAIN in e-/ADU, RDNOISE in e- and
        BIASLEV in ADU.
    """
    options = exposures.options
    images = exposures.data if cosmic_rays else exposures.cosmic_ray_free
    paths = []
    for number, image in enumerate(images, start=1):
        header = fits.Header()
        header["OBJECT"] = ("fibre scene", "simulated")
        header["GAIN"] = (options.gain, "[electron/adu] gain")
        header["RDNOISE"] = (options.read_noise, "[electron] readout noise")
        header["BIASLEV"] = (options.bias, "[adu] bias level contained in the data")
        header["BUNIT"] = "adu"
        if integers:
            image = np.clip(np.rint(image), 0, 65535).astype(np.uint16)
        paths.append(Path(folder) / f"{stem}{number}.fits")
        fits.writeto(paths[-1], image, header, overwrite=True)
    return paths
