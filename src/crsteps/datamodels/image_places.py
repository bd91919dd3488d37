"""Places for images in a FITS file that is being written: processes fill them at the same time."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

BLOCK = 2880
"""Bytes of a block of a FITS file."""


@dataclass(frozen=True)
class ImagePlace:
    """
    Where the array of an image is to be written, by whichever process has it.

    Attributes
    ----------
    path : Path
        File that is being written.
    offset : int
        First byte of the array.
    shape : tuple of int
        Shape (ny, nx).
    dtype : numpy.dtype
        Type of the array; unsigned integers are stored as FITS stores them, less half their range.
    """

    path: Path
    offset: int
    shape: tuple
    dtype: np.dtype

    @property
    def end(self):
        """First byte after the array, with its last block filled."""
        size = int(np.prod(self.shape)) * self.dtype.itemsize
        return self.offset + -(-size // BLOCK) * BLOCK

    def write(self, array):
        """
        Write the array.

        Parameters
        ----------
        array : ndarray
            Of the shape and type of the place.

        Raises
        ------
        ValueError
            If it is of another shape or type.
        """
        if array.shape != self.shape or array.dtype != self.dtype:
            raise ValueError(
                f"an image {array.shape} {array.dtype} cannot be written where one "
                f"{self.shape} {self.dtype} belongs"
            )
        stored = array.astype(self.dtype.newbyteorder(">"))
        if self.dtype.kind == "u" and self.dtype.itemsize > 1:
            stored ^= self.dtype.type(1 << (8 * self.dtype.itemsize - 1))
        with open(self.path, "r+b") as stream:
            stream.seek(self.offset)
            stream.write(stored)
