"""Images and statistics of the cosmic rays of darks, written as their inputs are laid out.

A product appears under its name only when it is complete, and images are written one detector at a
time.
"""

import io
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from astropy.io import fits

from crsteps.datamodels.products import annotate, kept_header
from crsteps.framework.output import atomic_path


class DetectorImagesWriter:
    """
    Write one image per detector; use it in a ``with`` statement.

    An exposure of NISP gives a primary HDU without data and an extension ``DETxy.SUFFIX`` for each
    detector, in the order in which they are added; a JWST image gives an extension ``SUFFIX``; a
    plain FITS image gives an image in the primary HDU. If the body of the ``with`` raises, nothing
    is left; a file of the same name stays as it is until the new one is complete.

    Parameters
    ----------
    path : str or Path
        File to write.
    exposure : crsteps.datamodels.dark_files.DarkExposure
        The input, whose cards are kept.
    suffix : str
        What the images are: ``"SCI"``, ``"DQ"``.
    history : sequence of str, optional
        HISTORY entries of the primary header.
    cards : dict, optional
        Cards of the primary header: ``{keyword: value or (value, comment)}``.
    """

    def __init__(self, path, exposure, *, suffix, history=(), cards=None):
        self.path = Path(path)
        self._exposure = exposure
        self._suffix = suffix
        self._history = tuple(history)
        self._cards = cards
        self._written = set()
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
            self._open = stack.pop_all()
        return self

    def __exit__(self, *raised):
        return self._open.__exit__(*raised)

    def add(self, detector, array, header_cards=None):
        """
        Write the image of a detector.

        Parameters
        ----------
        detector : str
            Name of the detector, one of the exposure.
        array : ndarray (ny, nx)
            The image, stored in its own type.
        header_cards : dict, optional
            Cards of its header: ``{keyword: value or (value, comment)}``.

        Raises
        ------
        ValueError
            If the exposure has no such detector, or it was written already.
        """
        if detector not in self._exposure.detectors or detector in self._written:
            raise ValueError(
                f"{detector} cannot be added to {self.path}: it is not in the exposure, or was "
                "written before."
            )
        self._written.add(detector)
        header = self._kept(self._exposure.planes[detector].header)
        array = np.ascontiguousarray(array)
        if self._exposure.kind == "fits":
            header.extend(self._kept(self._exposure.primary_header).cards, unique=True)
            annotate(header, self._history, self._cards)
            annotate(header, (), header_cards)
            self._stream.write(hdu_bytes(fits.PrimaryHDU(array, header)))
            return
        annotate(header, (), header_cards)
        name = self._suffix
        if self._exposure.kind == "nisp":
            name = f"{detector}.{self._suffix}"
        self._stream.write(hdu_bytes(fits.ImageHDU(array, header, name=name)))

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
    return buffer.getbuffer() if is_primary else buffer.getbuffer()[2880:]


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
