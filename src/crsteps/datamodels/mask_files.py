"""Files of masks, ``crmasks.fits`` of ``mm_cosmic`` or of numina-crmasks, read back."""

from dataclasses import dataclass

import numpy as np
from astropy.io import fits

from crsteps.datamodels.fits_files import open_fits
from crsteps.errors import CrstepsInputError

SUSPECT = "SUSPECT"
_REPLACED_COLUMNS = ("X_pixel", "Y_pixel", "X_width", "Y_width")


@dataclass(frozen=True)
class MaskFile:
    """
    Masks of a set of exposures; all are (ny, nx), True where flagged.

    Attributes
    ----------
    exposure_masks : ndarray of bool, shape (n_exposures, ny, nx)
        CRMASK1..N.
    mediancr, meancrt, meancr : ndarray of bool
        Masks of the combinations.
    suspect_masks : ndarray of bool, shape (n_exposures, ny, nx), or None
        SUSPECT1..N, which files of numina-crmasks do not have.
    cleaned_median : ndarray of float32 or None
        AUXCLEAN, the cleaned median, without a gain that was applied to it.
    replaced : ndarray of int, shape (n, 4)
        RPMEDIAN: X and Y, from 1, of pixels to be replaced by a local median, and their boxes.
    header : astropy.io.fits.Header
        Primary header.
    """

    exposure_masks: np.ndarray
    mediancr: np.ndarray
    meancrt: np.ndarray
    meancr: np.ndarray
    suspect_masks: np.ndarray | None
    cleaned_median: np.ndarray | None
    replaced: np.ndarray
    header: fits.Header


def read_masks(path, n_exposures, shape):
    """
    Read the masks of a set of exposures.

    Parameters
    ----------
    path : str or Path
        File.
    n_exposures : int
        Number of exposures that the masks are for.
    shape : tuple of int
        Shape (ny, nx) of the exposures.

    Returns
    -------
    MaskFile

    Raises
    ------
    CrstepsInputError
        A mask is missing or of another shape, or the file is for another number of exposures.
    """
    with open_fits(path) as hdus:
        found = {hdu.name: hdu for hdu in hdus}
        if f"CRMASK{n_exposures + 1}" in found:
            raise CrstepsInputError(
                f"{path} has a mask CRMASK{n_exposures + 1}, and {n_exposures} exposures are "
                "given: give the exposures that the masks were made for, in their order."
            )
        masks = [_mask(path, found, f"CRMASK{i + 1}", shape) for i in range(n_exposures)]
        suspects = [f"{SUSPECT}{i + 1}" for i in range(n_exposures)]
        has_suspects = all(name in found for name in suspects)
        return MaskFile(
            exposure_masks=np.stack(masks),
            **{n.lower(): _mask(path, found, n, shape) for n in ("MEDIANCR", "MEANCRT", "MEANCR")},
            suspect_masks=np.stack([_mask(path, found, name, shape) for name in suspects])
            if has_suspects
            else None,
            cleaned_median=_cleaned_median(path, found, shape),
            replaced=_replaced(found.get("RPMEDIAN")),
            header=hdus[0].header.copy(),
        )


def _mask(path, found, name, shape):
    if name not in found:
        raise CrstepsInputError(
            f"{path} has no mask {name}: give a crmasks.fits of mm_cosmic or of numina-crmasks."
        )
    return _image(path, found[name], shape) != 0


def _cleaned_median(path, found, shape):
    """Cleaned median; files of numina-crmasks do not tell whether it is in electrons."""
    if "AUXCLEAN" not in found:
        return None
    gain = found["PRIMARY"].header.get("AUXGAIN", 1.0)
    return _image(path, found["AUXCLEAN"], shape) / np.float32(gain)


def _image(path, hdu, shape):
    image = np.asarray(hdu.data) if hdu.is_image and hdu.data is not None else np.empty(0)
    if image.shape != tuple(shape):
        raise CrstepsInputError(
            f"{hdu.name} of {path} has shape {image.shape}, and the exposures have {tuple(shape)}: "
            "give the exposures that the masks were made for."
        )
    return image.astype(np.float32) if image.dtype.kind == "f" else image.copy()


def _replaced(hdu):
    """Table of the pixels to be replaced; no rows without one."""
    if hdu is None or hdu.data is None:
        return np.empty((0, len(_REPLACED_COLUMNS)), dtype=np.int64)
    return np.stack([np.asarray(hdu.data[name], dtype=np.int64) for name in _REPLACED_COLUMNS], 1)
