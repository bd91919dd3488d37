"""Images and statistics of the cosmic rays of darks, written as their inputs are laid out.

A product appears under its name only when it is complete, and images are written one detector at a
time.
"""

import io
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from astropy.io import fits

from crsteps.datamodels.image_places import BLOCK, ImagePlace
from crsteps.datamodels.products import annotate, kept_header
from crsteps.framework.output import atomic_path

_CARD = 80
# Cards that can be added to the header of an image when it is known.
_SPARE_CARDS = 40


class DetectorImagesWriter:
    """
    Write one image per detector; use it in a ``with`` statement.

    An exposure of NISP gives a primary HDU without data and an extension ``DETxy.SUFFIX`` for each
    detector; a JWST image gives an extension ``SUFFIX``; a plain FITS image gives an image in the
    primary HDU. Where everything is in the file is settled when it is opened, so that the arrays
    can be written in any order, by several processes. If the body of the ``with`` raises, nothing
    is left; a file of the same name stays as it is until the new one is complete.

    Parameters
    ----------
    path : str or Path
        File to write.
    exposure : crsteps.datamodels.dark_files.DarkExposure
        The input, whose cards are kept.
    detectors : sequence of str
        Detectors of the exposure that get an image, in this order.
    suffix : str
        What the images are: ``"SCI"``, ``"DQ"``.
    dtype : dtype-like
        Type of the images, which are stored in it.
    history : sequence of str, optional
        HISTORY entries of the primary header.
    cards : dict, optional
        Cards of the primary header: ``{keyword: value or (value, comment)}``.

    Attributes
    ----------
    places : dict of crsteps.datamodels.image_places.ImagePlace
        For each detector, where its image goes: each must be written, in whatever process.
    """

    def __init__(self, path, exposure, detectors, *, suffix, dtype, history=(), cards=None):
        self.path = Path(path)
        self.places = {}
        self._exposure = exposure
        self._detectors = tuple(detectors)
        self._suffix, self._dtype = suffix, np.dtype(dtype)
        self._history, self._cards = tuple(history), cards
        self._headers = {}  # with the place of each
        self._open = ExitStack()
        self._stream = None

    def __enter__(self):
        with ExitStack() as stack:
            aside = stack.enter_context(atomic_path(self.path))
            self._stream = stack.enter_context(open(aside, "wb"))
            if self._exposure.kind != "fits":
                primary = self._kept(self._exposure.primary_header)
                annotate(primary, self._history, self._cards)
                self._stream.write(hdu_bytes(fits.PrimaryHDU(header=primary)))
            start = self._stream.tell()
            for detector in self._detectors:
                start = self._lay_out(detector, aside, start)
            self._stream.truncate(start)
            self._stream.flush()
            self._open = stack.pop_all()
        return self

    def __exit__(self, *raised):
        return self._open.__exit__(*raised)

    def _lay_out(self, detector, aside, start):
        """Reserve the bytes of an HDU from a place in the file on; return where they end."""
        header = self._header(detector)
        size = -(-(len(header) + _SPARE_CARDS + 1) * _CARD // BLOCK) * BLOCK
        self._headers[detector] = start, header
        place = ImagePlace(aside, start + size, self._exposure.shape(detector), self._dtype)
        self.places[detector] = place
        return place.end

    def add_header(self, detector, cards=None):
        """
        Write the header of the image of a detector.

        Parameters
        ----------
        detector : str
            Name of the detector; each must have its header written.
        cards : dict, optional
            Cards of its header: ``{keyword: value or (value, comment)}``.

        Raises
        ------
        ValueError
            If there are more cards than have a place.
        """
        start, header = self._headers[detector]
        annotate(header, (), cards)
        size = self.places[detector].offset - start
        text = header.tostring(endcard=False, padding=False)
        # the end has to be in the last block
        text = text.ljust(size - BLOCK) + "END"
        if len(text) > size:
            raise ValueError(f"{len(cards)} cards of {detector} are too many for {self.path}")
        self._stream.seek(start)
        self._stream.write(text.ljust(size).encode("ascii"))

    def _header(self, detector):
        """Header of the image of a detector, as Astropy completes it."""
        header = self._kept(self._exposure.planes[detector].header)
        pixel = np.zeros((1, 1), self._dtype)
        if self._exposure.kind == "fits":
            header.extend(self._kept(self._exposure.primary_header).cards, unique=True)
            annotate(header, self._history, self._cards)
            hdu = fits.PrimaryHDU(pixel, header)
        else:
            is_nisp = self._exposure.kind == "nisp"
            name = f"{detector}.{self._suffix}" if is_nisp else self._suffix
            hdu = fits.ImageHDU(pixel, header, name=name)
        header = fits.Header.fromstring(bytes(hdu_bytes(hdu)[:-BLOCK]))
        header["NAXIS2"], header["NAXIS1"] = self._exposure.shape(detector)
        return header

    def _kept(self, header):
        header = kept_header(header)
        if self._suffix != "SCI":
            header.remove("BUNIT", ignore_missing=True)  # that of the data
        return header


def hdu_bytes(hdu):
    """
    Give the bytes of an HDU in a file.

    Parameters
    ----------
    hdu : astropy.io.fits.PrimaryHDU or ImageHDU
        The HDU.

    Returns
    -------
    buffer
        Header and data, padded to whole blocks.
    """
    buffer = io.BytesIO()
    is_primary = isinstance(hdu, fits.PrimaryHDU)
    if is_primary:
        hdu.header["EXTEND"] = True
    hdus = [hdu] if is_primary else [fits.PrimaryHDU(), hdu]
    # a malformed card of the input is mended by Astropy or carried over, and stops nothing
    fits.HDUList(hdus).writeto(buffer, output_verify="silentfix+ignore")
    # an extension can only be written after a primary HDU, of one block, which is cut off
    return buffer.getbuffer() if is_primary else buffer.getbuffer()[BLOCK:]


def write_statistics(path, table):
    """
    Write a table of statistics.

    Parameters
    ----------
    path : str or Path
        File to write; replaced if it exists.
    table : astropy.table.Table
        Statistics; units, descriptions and ``meta`` are kept, columns may hold arrays.

    Returns
    -------
    Path
        The file written: ECSV.
    """
    path = Path(path)
    with atomic_path(path) as aside:
        table.write(aside, format="ascii.ecsv")
    return path
