"""Open FITS files of any origin and refuse, in one sentence, those that are not whole.

Astropy only warns of a file that ends early, and fills or drops what is missing. Everything here
therefore looks at the length of the file itself.
"""

import gzip
import io
import warnings
import zlib
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from astropy.io import fits

from crsteps.datamodels.stored_images import GZIP_MAGIC
from crsteps.errors import CrstepsInputError

_BITPIX = (8, 16, 32, 64, -32, -64)


@contextmanager
def open_fits(path):
    """
    Open a FITS file, plain or gzipped, after checking that it is there and complete.

    Parameters
    ----------
    path : str or Path
        The file.

    Yields
    ------
    astropy.io.fits.HDUList
        The HDUs with their *stored* numbers (``do_not_scale_image_data``): use
        `crsteps.datamodels.fits_images.scaled_image` for physical values. Arrays are read when
        they are touched; nothing is memory-mapped.

    Raises
    ------
    CrstepsInputError
        If the file is missing, empty, not FITS or shorter than its headers say.
    """
    path = Path(path)
    stream, length = _open_stream(path)
    with stream:
        try:
            with warnings.catch_warnings():
                # what Astropy would warn of is checked below, and refused
                warnings.simplefilter("ignore")
                hdus = fits.open(
                    stream, memmap=False, do_not_scale_image_data=True, lazy_load_hdus=False
                )
                _check_bitpix(hdus)
                # else a malformed card raises an error of its own wherever it is read
                hdus.verify("silentfix+ignore")
                for hdu in hdus:
                    _ = hdu.size, hdu.shape if hdu.is_image else None
        except Exception as error:  # a damaged header raises almost anything
            raise CrstepsInputError(
                f"{path} cannot be read as FITS ({first_line(error)}): the file is truncated or "
                "damaged; fetch it again."
            ) from error
        with hdus:
            _check_complete(path, hdus, stream, length)
            yield hdus


def _open_stream(path):
    """Return the seekable decompressed byte stream of the file and its length."""
    if not path.exists():
        raise CrstepsInputError(f"There is no file {path}: check the path of this input.")
    if path.is_dir():
        raise CrstepsInputError(f"{path} is a folder: give the FITS files in it as inputs.")
    try:
        stream = path.open("rb")
    except OSError as error:
        raise CrstepsInputError(
            f"{path} cannot be opened ({error.strerror}): check its permissions."
        ) from error
    head = stream.read(80)
    if head.startswith(GZIP_MAGIC):
        stream.close()
        stream = io.BytesIO(_decompress(path))
        head = stream.read(80)
    if not head:
        stream.close()
        raise CrstepsInputError(f"{path} is empty (0 bytes): fetch or write it again.")
    if not head.startswith(b"SIMPLE"):
        stream.close()
        raise CrstepsInputError(
            f"{path} is not a FITS file (it does not begin with SIMPLE): "
            "inputs are FITS images, plain or gzipped, or an association ending in .json."
        )
    length = stream.seek(0, io.SEEK_END)
    stream.seek(0)
    return stream, length


def _decompress(path):
    try:
        with gzip.open(path) as stream:
            return stream.read()
    except (EOFError, OSError, zlib.error) as error:
        raise CrstepsInputError(
            f"{path} cannot be decompressed ({first_line(error)}): the gzipped file is truncated "
            "or damaged; fetch it again."
        ) from error


def _check_bitpix(hdus):
    for hdu in hdus:
        bitpix = hdu.header.get("BITPIX")
        if bitpix not in _BITPIX:  # Astropy would mend it to 8 and read rubbish
            raise ValueError(f"BITPIX = {bitpix} in extension {label(hdu)}")


def _check_complete(path, hdus, stream, length):
    end = 0
    for number, hdu in enumerate(hdus):
        info = hdu.fileinfo()
        end = info["datLoc"] + info["datSpan"]
        # The padding of the last block may be missing, the data may not. A tile-compressed image
        # reports the size of the image, not of the stored table.
        compressed = isinstance(hdu, fits.CompImageHDU)
        needed = end - 2879 if compressed and info["datSpan"] else info["datLoc"]
        if not compressed:
            needed += hdu.size
        if needed > length:
            raise CrstepsInputError(
                f"{path} is truncated: the data of extension {number} ({label(hdu)}) should end "
                f"at byte {needed}, the file has {length} bytes; fetch it again."
            )
    stream.seek(end)
    if stream.read(8) == b"XTENSION":
        raise CrstepsInputError(
            f"{path} is truncated or damaged: the header of extension {len(hdus)} cannot be read; "
            "fetch it again."
        )


def parse_extension(extension):
    """
    Turn the ways of naming an extension into what Astropy takes.

    Parameters
    ----------
    extension : None, int, str or tuple
        A number, a name, ``"NAME,version"`` or ``("NAME", version)``; a string of digits is a
        number.

    Returns
    -------
    None, int or tuple
        None, a number, or ``(NAME, version)`` where version is None if it was not given.
    """
    if isinstance(extension, str):
        text = extension.strip()
        if not text:
            return None
        if text.lstrip("+-").isdigit():
            return int(text)
        name, _, version = text.rpartition(",") if "," in text else (text, "", "")
        if version and not version.strip().isdigit():
            raise CrstepsInputError(
                f"extension = {extension!r} is not a number, a NAME or NAME,version."
            )
        return name.strip().upper(), int(version) if version else None
    if isinstance(extension, tuple | list) and len(extension) == 2:
        return str(extension[0]).upper(), int(extension[1])
    if extension is None or isinstance(extension, int | np.integer):
        return extension
    raise CrstepsInputError(f"extension = {extension!r} is not a number, a NAME or NAME,version.")


def find_image(path, hdus, extension=None):
    """
    Find the HDU that holds the science image.

    Parameters
    ----------
    path : str or Path
        Name of the file, for messages.
    hdus : astropy.io.fits.HDUList
        The open file.
    extension : None, int, str or tuple, optional
        The extension wanted, as for `parse_extension`. None takes the primary array, else the
        extension SCI, else the only image there is.

    Returns
    -------
    int
        Position of the HDU.

    Raises
    ------
    CrstepsInputError
        If there is no such extension, none that holds an image, or several that could be meant.
    """
    wanted = parse_extension(extension)
    images = [i for i, hdu in enumerate(hdus) if _is_image(hdu)]
    if wanted is None:
        return _default_image(path, hdus, images)
    found = _matching(hdus, wanted)
    if not found:
        raise CrstepsInputError(
            f"{path} has no extension {extension!r}: set extension to one of {_listing(hdus)}."
        )
    if len(found) > 1:
        raise CrstepsInputError(
            f"{path} has {len(found)} extensions {extension!r}: set extension to NAME,version, "
            f"one of {_listing(hdus)}."
        )
    if found[0] not in images:
        raise CrstepsInputError(
            f"Extension {extension!r} of {path} holds no image: set extension to one of "
            f"{_listing([hdus[i] for i in images], images) or 'another file'}."
        )
    return found[0]


def _default_image(path, hdus, images):
    if not images:
        raise CrstepsInputError(f"{path} holds no image array: give a file that holds one.")
    if 0 in images:
        return 0
    sci = [i for i in images if hdus[i].name == "SCI"]
    candidates = sci or images
    if len(candidates) > 1:
        raise CrstepsInputError(
            f"{path} holds several images: set extension to one of "
            f"{_listing([hdus[i] for i in candidates], candidates)}."
        )
    return candidates[0]


def _matching(hdus, wanted):
    if not isinstance(wanted, tuple):
        return [int(wanted)] if 0 <= wanted < len(hdus) else []
    name, version = wanted
    return [
        i
        for i, hdu in enumerate(hdus)
        if (hdu.name == name or (name == "PRIMARY" and i == 0))
        and (version is None or hdu.ver == version)
    ]


def _is_image(hdu):
    return hdu.is_image and len(hdu.shape) > 0 and np.prod(hdu.shape) > 0


def label(hdu):
    """
    Name an extension in messages.

    Parameters
    ----------
    hdu : astropy HDU
        The extension.

    Returns
    -------
    str
        ``NAME``, or ``NAME,version`` where that is not 1.
    """
    name = hdu.name or "no name"
    return name if hdu.ver == 1 else f"{name},{hdu.ver}"


def _listing(hdus, numbers=None):
    numbers = range(len(hdus)) if numbers is None else numbers
    return ", ".join(f"{i} ({label(hdu)})" for i, hdu in zip(numbers, hdus, strict=True))


def first_line(error):
    """
    Give the first line of what an exception says, for a sentence.

    Parameters
    ----------
    error : Exception
        The exception.

    Returns
    -------
    str
        Without a full stop; the name of its type if it says nothing.
    """
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
