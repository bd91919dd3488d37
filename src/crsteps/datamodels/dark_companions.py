"""Images that go with a dark, one for each detector: bad pixels, master dark, noise, truth."""

import os
from functools import lru_cache

from crsteps.datamodels.dark_layout import detector_name
from crsteps.datamodels.fits_files import open_fits
from crsteps.datamodels.fits_images import find_stored
from crsteps.detector.nisp import DETECTORS
from crsteps.errors import CrstepsInputError


def read_companion(path, detector, *, shape, what):
    """
    Read the image of a detector from a companion file.

    Parameters
    ----------
    path : str or Path
        FITS file, plain or gzipped. For a detector of NISP the extension DETxy.SCI, DETxy, or the
        only one called DETxy.something is taken; for any other name the primary array, else the
        extension SCI, that of the name of the detector, or DQ, else the only image.
    detector : str
        Name of the detector.
    shape : tuple of int
        Shape (ny, nx) of the dark.
    what : str
        Name of the parameter the file was given in, for messages.

    Returns
    -------
    ndarray (ny, nx) float32
        Physical values, NaN where blank.

    Raises
    ------
    CrstepsInputError
        If the file is missing or damaged, has no such image, or one of another shape. A missing
        detector is not taken for one without bad pixels: that would spoil its result unseen.
    """
    image = find_companion(path, detector, shape=shape, what=what)
    with image.open() as stream:
        return image.values(stream)


def find_companion(path, detector, *, shape, what, suffix="SCI"):
    """
    Check that a companion file has the image of a detector, without reading it.

    Parameters
    ----------
    path, detector, shape, what
        As for `read_companion`.
    suffix : str
        Ending of the name of the extension that is preferred.

    Returns
    -------
    crsteps.datamodels.stored_images.StoredImage

    Raises
    ------
    CrstepsInputError
        As for `read_companion`.
    """
    path = str(path)
    image = _choose(path, _images(path, _version(path)), detector, what, suffix)
    if image.shape != tuple(shape):
        raise CrstepsInputError(
            f"{what}: the extension {image.name} of {path} has shape {image.shape}, but the dark "
            f"of {detector} has {tuple(shape)}: give a file of the same shape."
        )
    return image


def _version(path):
    try:
        status = os.stat(path)
    except OSError:
        return None  # told by the reader
    return status.st_mtime_ns, status.st_size


@lru_cache(maxsize=8)
def _images(path, version):
    """Two-dimensional images of a file; `version` makes a file that was changed another one."""
    with open_fits(path) as hdus:
        return [
            (hdu.name.strip().upper(), detector_name(hdu), find_stored(path, hdus, index))
            for index, hdu in enumerate(hdus)
            if hdu.is_image and len(hdu.shape) == 2 and 0 not in hdu.shape
        ]


def _choose(path, images, detector, what, preferred):
    """Take the image of a detector."""
    if detector in DETECTORS:
        found = [(suffix, image) for _, (name, suffix), image in images if name == detector]
        for wanted in (preferred, ""):
            named = [item for item in found if item[0] == wanted]
            found = named or found
        found = [image for _, image in found]
        described = f"extension {detector} or {detector}.{preferred}"
    else:
        found = [image for _, _, image in images]
        for wanted in ("PRIMARY", preferred, detector.upper(), "DQ"):
            named = [image for name, _, image in images if name == wanted]
            if named:
                found = named
                break
        described = "two-dimensional image"
    if len(found) == 1:
        return found[0]
    if found:
        raise CrstepsInputError(
            f"{what}: {path} has several images for {detector} "
            f"({', '.join(image.name for image in found)}): leave the one wanted, or name it "
            f"{preferred if detector not in DETECTORS else f'{detector}.{preferred}'}."
        )
    raise CrstepsInputError(
        f"{what}: {path} has no {described} for {detector}: add it, or leave {detector} out of "
        "detectors."
    )
