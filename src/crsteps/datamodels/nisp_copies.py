"""Files of NISP with some of their images replaced, and everything else as it was, bit for bit."""

import shutil
from contextlib import contextmanager

from astropy.io import fits

from crsteps.datamodels.dark_products import hdu_bytes
from crsteps.datamodels.fits_files import open_fits
from crsteps.datamodels.products import annotate, kept_header
from crsteps.framework.output import atomic_path

__all__ = ["copy_with_images", "writing_planes"]


def copy_with_images(path, exposure, images, *, history=(), cards=None):
    """
    Copy a file of NISP with other images of its detectors, one detector at a time.

    Parameters
    ----------
    path : str or Path
        File to write; it appears when it is complete.
    exposure : crsteps.datamodels.dark_exposure.DarkExposure
        The input.
    images : iterable of tuple
        For each detector, in the order of the file: its name, its image (ny, nx) or None to keep
        the one of the input, and cards for its header ``{keyword: value or (value, comment)}``.
    history : sequence of str, optional
        HISTORY entries of the primary header.
    cards : dict, optional
        Cards of the primary header.

    Raises
    ------
    CrstepsInputError
        If the input can no longer be read.
    """
    planes = {exposure.planes[name].science.index: name for name in exposure.detectors}
    images = iter(images)
    science = exposure.planes[exposure.detectors[0]].science
    with (
        open_fits(exposure.source) as hdus,
        science.open() as source,
        atomic_path(path) as aside,
        open(aside, "wb") as stream,
    ):
        stream.write(_primary(hdus[0], history, cards))
        for index, hdu in enumerate(hdus[1:], start=1):
            array = None
            if index in planes:
                name, array, detector_cards = next(images)
                if name != planes[index]:
                    raise ValueError(f"{name} comes where {planes[index]} is in the file")
            if array is None:
                _copy(hdu, source, stream)
                continue
            header = kept_header(hdu.header)
            if (highest := exposure.planes[name].science.highest) is not None:
                # no longer told by the type of the data
                header.setdefault("SATURATE", (highest, "end of the range of the raw data"))
            annotate(header, (), detector_cards)
            stream.write(hdu_bytes(fits.ImageHDU(array, header, name=hdu.name)))


@contextmanager
def writing_planes(path, exposure, *, history=(), cards=None):
    """
    Write several images for each detector of NISP, with the headers of the input.

    Parameters
    ----------
    path : str or Path
        File to write; it appears when it is complete.
    exposure : crsteps.datamodels.dark_exposure.DarkExposure
        The input.
    history : sequence of str, optional
        HISTORY entries of the primary header.
    cards : dict, optional
        Cards of the primary header.

    Yields
    ------
    callable
        Takes the name of a detector, a dict of arrays by suffix and a dict of cards; each array
        becomes an extension ``DETxy.SUFFIX``.
    """
    with atomic_path(path) as aside, open(aside, "wb") as stream:
        primary = kept_header(exposure.primary_header)
        annotate(primary, history, cards)
        stream.write(hdu_bytes(fits.PrimaryHDU(header=primary)))

        def add(detector, arrays, detector_cards):
            for suffix, array in arrays.items():
                header = kept_header(exposure.planes[detector].header)
                header.remove("BUNIT", ignore_missing=True)  # that of the data
                annotate(header, (), detector_cards)
                hdu = fits.ImageHDU(array, header, name=f"{detector}.{suffix}")
                stream.write(hdu_bytes(hdu))

        yield add


def _primary(hdu, history, cards):
    """Bytes of the primary HDU with further cards."""
    copy = hdu.copy()
    for keyword in ("CHECKSUM", "DATASUM"):
        copy.header.remove(keyword, ignore_missing=True)
    annotate(copy.header, history, cards)
    return hdu_bytes(copy)


def _copy(hdu, source, stream):
    """Copy the bytes of an HDU."""
    info = hdu.fileinfo()
    source.seek(info["hdrLoc"])
    left = info["datLoc"] - info["hdrLoc"] + info["datSpan"]
    while left > 0:
        piece = source.read(min(left, shutil.COPY_BUFSIZE))
        if not piece:  # the padding of the last block may be missing
            piece = bytes(left)
        stream.write(piece)
        left -= len(piece)
