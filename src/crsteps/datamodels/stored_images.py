"""Images read by their place in a FITS file: imports little, for processes that do only this."""

import gzip
import zlib
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from crsteps.errors import CrstepsInputError

GZIP_MAGIC = b"\x1f\x8b"
"""First bytes of a gzipped file."""


def scaled_values(stored, scale, zero, blank):
    """
    Physical values of stored numbers and where they are blank.

    Parameters
    ----------
    stored : ndarray
        Numbers as stored.
    scale, zero, blank
        As from `crsteps.datamodels.fits_images.scaling`; `blank` acts on integers only.

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


def flag_values(stored, zero):
    """
    Data-quality flags of stored integers.

    Parameters
    ----------
    stored : ndarray of int
        Numbers as stored.
    zero : int
        BZERO.

    Returns
    -------
    ndarray uint32
        Negative stored values keep their bits.
    """
    return (stored.astype(np.int64) + int(zero)).astype(np.uint32)


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
        As from `crsteps.datamodels.fits_images.scaling`.
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
            from crsteps.datamodels.fits_files import open_fits
            from crsteps.datamodels.fits_images import stored_values

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
        return flag_values(self.stored(stream), self.zero)
