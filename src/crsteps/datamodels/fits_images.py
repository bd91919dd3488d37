"""Arrays of FITS images: stored numbers, physical values, flags, read by their place in the file.

Astropy turns BLANK pixels into NaN for some integer types only, and 16-bit integers into numbers
of 64 bits on the way. Everything here starts from the numbers as they are stored.
"""

import gzip
import warnings
import zlib
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from astropy.io import fits

from crsteps.datamodels.fits_files import GZIP_MAGIC, first_line, label, open_fits
from crsteps.errors import CrstepsInputError

_STORED_TYPES = {8: "u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}


def scaled_image(path, hdu):
    """
    Physical values of an image and where it is blank.

    Parameters
    ----------
    path : str or Path
        Name of the file, for messages.
    hdu : astropy image HDU
        An HDU opened with ``do_not_scale_image_data``.

    Returns
    -------
    data : ndarray (ny, nx) float32
        ``stored * BSCALE + BZERO``; NaN where the stored value is BLANK.
    blank : ndarray (ny, nx) bool
        True where an integer image stores its BLANK value.

    Raises
    ------
    CrstepsInputError
        If the array is not a two-dimensional image of real numbers, or cannot be read.
    """
    return scaled_values(stored_values(path, hdu), *scaling(path, hdu.header))


def scaling(path, header):
    """
    Read how stored numbers become physical values.

    Parameters
    ----------
    path : str or Path
        Name of the file, for messages.
    header : astropy.io.fits.Header
        Header of the image.

    Returns
    -------
    scale, zero : int or float
        BSCALE and BZERO.
    blank : int or None
        BLANK, None where the image has none.

    Raises
    ------
    CrstepsInputError
        If BSCALE or BZERO is not a finite number.
    """
    scale, zero = _number(path, header, "BSCALE", 1), _number(path, header, "BZERO", 0)
    return scale, zero, header.get("BLANK")


def scaled_values(stored, scale, zero, blank):
    """
    Physical values of stored numbers and where they are blank.

    Parameters
    ----------
    stored : ndarray
        Numbers as stored.
    scale, zero, blank
        As from `scaling`; `blank` acts on integers only.

    Returns
    -------
    data : ndarray float32
        ``stored * scale + zero``; NaN where blank.
    is_blank : ndarray bool
        True where an integer is the BLANK value.
    """
    integers = stored.dtype.kind in "iu"
    is_blank = np.zeros(stored.shape, bool)
    if integers and blank is not None:
        is_blank = stored == blank
    short = integers and stored.dtype.itemsize <= 2
    if scale == 1 and (zero == 0 or (short and zero == int(zero) and abs(zero) <= 1 << 16)):
        # exact: both numbers and their sum have less than the 24 bits of a float32
        data = stored.astype(np.float32)
        data += np.float32(zero)
    else:
        # double precision until the offset is off: 32-bit integers do not fit a float32
        data = (stored * np.float64(scale) + np.float64(zero)).astype(np.float32)
    data[is_blank] = np.nan
    return data, is_blank


def flag_image(path, hdu):
    """
    Read a data-quality array.

    Parameters
    ----------
    path : str or Path
        Name of the file, for messages.
    hdu : astropy image HDU
        An HDU opened with ``do_not_scale_image_data``.

    Returns
    -------
    ndarray (ny, nx) uint32
        The flags; negative stored values keep their bits.

    Raises
    ------
    CrstepsInputError
        If the array is not a two-dimensional array of integers.
    """
    stored = stored_values(path, hdu)
    if stored.dtype.kind not in "iu":
        raise CrstepsInputError(
            f"The extension {label(hdu)} of {path} holds {stored.dtype.name} numbers, not the "
            "integers of a data-quality array: remove or rename this extension."
        )
    return _flag_values(stored, _number(path, hdu.header, "BZERO", 0))


def _flag_values(stored, zero):
    return (stored.astype(np.int64) + int(zero)).astype(np.uint32)


def _number(path, header, keyword, default):
    value = header.get(keyword, default)
    if isinstance(value, int | float) and np.isfinite(value):
        return value
    raise CrstepsInputError(
        f"The keyword {keyword} = {value!r} of {path} is not a number: correct the header."
    )


def stored_values(path, hdu):
    """
    Read the numbers of an image as they are stored.

    Parameters
    ----------
    path : str or Path
        Name of the file, for messages.
    hdu : astropy image HDU
        An HDU opened with ``do_not_scale_image_data``.

    Returns
    -------
    ndarray (ny, nx)
        Stored numbers, in the byte order of the file.

    Raises
    ------
    CrstepsInputError
        If the array is not a two-dimensional image of real numbers, or cannot be read.
    """
    _check_two_dimensions(path, hdu)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            stored = hdu.data
    except Exception as error:  # a damaged compressed tile raises almost anything
        raise CrstepsInputError(
            f"The array of extension {label(hdu)} of {path} cannot be read "
            f"({first_line(error)}): the file is truncated or damaged; fetch it again."
        ) from error
    if stored is None or stored.dtype.kind not in "iuf":
        raise CrstepsInputError(
            f"The array of extension {label(hdu)} of {path} does not hold real numbers: give an "
            "image of integers or floating-point numbers."
        )
    return stored


def _check_two_dimensions(path, hdu):
    if not hdu.is_image:
        raise CrstepsInputError(
            f"The extension {label(hdu)} of {path} is a table, and an image is needed: give "
            "two-dimensional images, or name another extension with extension."
        )
    if len(hdu.shape) != 2 or 0 in hdu.shape:
        raise CrstepsInputError(
            f"The array of extension {label(hdu)} of {path} has {len(hdu.shape)} dimensions "
            f"{tuple(hdu.shape)}, and two are needed: give two-dimensional images, or name "
            "another one with extension."
        )


@dataclass(frozen=True)
class StoredImage:
    """
    An image of a file that was found and checked, to be read later, in another process too.

    Opening a file of many extensions parses and checks all of them; this reads one by its place.

    Attributes
    ----------
    path : str
        The file.
    index : int
        Position of the HDU.
    name : str
        Name of the extension, for messages.
    offset : int or None
        First byte of the array in the uncompressed file; None for a tile-compressed image.
    stored_type : str
        NumPy type of the stored numbers.
    shape : tuple of int
        Shape (ny, nx).
    scale, zero, blank
        As from `scaling`.
    """

    path: str
    index: int
    name: str
    offset: int | None
    stored_type: str
    shape: tuple
    scale: float
    zero: float
    blank: int | None

    @classmethod
    def find(cls, path, hdus, index):
        """
        Note where an image of an open file is stored.

        Parameters
        ----------
        path : str or Path
            The file.
        hdus : astropy.io.fits.HDUList
            The file, open by `crsteps.datamodels.fits_files.open_fits`.
        index : int
            Position of the HDU.

        Returns
        -------
        StoredImage

        Raises
        ------
        CrstepsInputError
            If it is a table, or not a two-dimensional image.
        """
        hdu = hdus[index]
        _check_two_dimensions(path, hdu)
        compressed = isinstance(hdu, fits.CompImageHDU)
        return cls(
            str(path),
            index,
            label(hdu),
            None if compressed else hdu.fileinfo()["datLoc"],
            _STORED_TYPES[hdu.header["BITPIX"]],
            tuple(hdu.shape),
            *scaling(path, hdu.header),
        )

    @property
    def is_integer(self):
        """Tell whether the stored numbers are integers."""
        return "f" not in self.stored_type

    @property
    def highest(self):
        """Physical value at the end of the range of 16-bit integers; None for other types."""
        if self.stored_type != ">i2":
            return None
        return np.iinfo(np.int16).max * self.scale + self.zero

    @contextmanager
    def open(self):
        """
        Open the file, plain or gzipped.

        Yields
        ------
        file object
            The uncompressed bytes, for this and other images of the file. In a gzipped file going
            to an image means unpacking what comes before it, a block at a time.

        Raises
        ------
        CrstepsInputError
            If the file cannot be opened any more.
        """
        try:
            stream = open(self.path, "rb")  # noqa: SIM115 - closed below, gzipped or not
        except OSError as error:
            raise CrstepsInputError(
                f"{self.path} can no longer be opened ({error.strerror}): check the path of this "
                "input."
            ) from error
        with stream:
            zipped = stream.read(2) == GZIP_MAGIC
            stream.seek(0)
            if zipped:
                with gzip.open(stream) as unpacked:
                    yield unpacked
            else:
                yield stream

    def stored(self, stream):
        """
        Read the numbers as they are stored.

        Parameters
        ----------
        stream : file object
            From `open`.

        Returns
        -------
        ndarray (ny, nx)
            In the byte order of the file.

        Raises
        ------
        CrstepsInputError
            If the file has changed since it was found complete.
        """
        if self.offset is None:
            with open_fits(self.path) as hdus:
                return stored_values(self.path, hdus[self.index])
        array = np.empty(self.shape, self.stored_type)
        try:
            stream.seek(self.offset)
            complete = stream.readinto(memoryview(array).cast("B")) == array.nbytes
        except (OSError, EOFError, zlib.error):
            complete = False
        if not complete:
            raise CrstepsInputError(
                f"The extension {self.name} of {self.path} can no longer be read: the file was "
                "changed or removed after it was opened; fetch it again."
            )
        return array

    def values(self, stream):
        """
        Read physical values.

        Parameters
        ----------
        stream : file object
            From `open`.

        Returns
        -------
        ndarray (ny, nx) float32
            NaN where blank.
        """
        return scaled_values(self.stored(stream), self.scale, self.zero, self.blank)[0]

    def flags(self, stream):
        """
        Read data-quality flags.

        Parameters
        ----------
        stream : file object
            From `open`.

        Returns
        -------
        ndarray (ny, nx) uint32
            Negative stored values keep their bits. The image has to be one of integers.
        """
        return _flag_values(self.stored(stream), self.zero)
