"""Arrays of FITS images: stored numbers, physical values, flags, and their place in the file.

Astropy turns BLANK pixels into NaN for some integer types only, and 16-bit integers into numbers
of 64 bits on the way. Everything here starts from the numbers as they are stored.
"""

import warnings

import numpy as np
from astropy.io import fits

from crsteps.datamodels.fits_files import first_line, label
from crsteps.datamodels.stored_images import StoredImage, flag_values, scaled_values
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
    return flag_values(stored, _number(path, hdu.header, "BZERO", 0))


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


def find_stored(path, hdus, index):
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
    crsteps.datamodels.stored_images.StoredImage

    Raises
    ------
    CrstepsInputError
        If it is a table, or not a two-dimensional image.
    """
    hdu = hdus[index]
    _check_two_dimensions(path, hdu)
    compressed = isinstance(hdu, fits.CompImageHDU)
    return StoredImage(
        str(path),
        index,
        label(hdu),
        None if compressed else hdu.fileinfo()["datLoc"],
        _STORED_TYPES[hdu.header["BITPIX"]],
        tuple(hdu.shape),
        *scaling(path, hdu.header),
    )
