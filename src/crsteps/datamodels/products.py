"""Write the products of a set of exposures, keeping what the first exposure says about itself.

A product appears under its name only when it is complete. JWST exposures give JWST models, with
their metadata and WCS; plain FITS images give FITS files with the header cards of the input.
"""

import re
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table

from crsteps.datamodels.fits_files import open_fits
from crsteps.datamodels.fits_images import flag_image
from crsteps.framework.output import atomic_path

DO_NOT_USE = 1

# Cards that describe how the input was stored, or its numbers: the product has its own.
_STORAGE = re.compile(
    r"SIMPLE|XTENSION|BITPIX|NAXIS\d*|EXTEND|PCOUNT|GCOUNT|GROUPS|INHERIT|NEXTEND|EXTNAME|EXTVER"
    r"|EXTLEVEL|BSCALE|BZERO|BLANK|DATAMIN|DATAMAX|CHECKSUM|DATASUM|ZHECKSUM|ZDATASUM"
)


def dq_value(bits):
    """
    Value of a set of data-quality flags.

    Parameters
    ----------
    bits : int, str or sequence of str
        A value, or names of JWST pixel flags such as ``"JUMP_DET, DO_NOT_USE"``.

    Returns
    -------
    int
        The flags OR-ed.

    Raises
    ------
    ValueError
        If a name is not a JWST pixel flag.
    """
    if isinstance(bits, int | np.integer):
        return int(bits)
    from stdatamodels.jwst.datamodels.dqflags import pixel

    names = re.split(r"[\s,+|]+", bits.strip()) if isinstance(bits, str) else bits
    value = 0
    for name in names:
        if name.upper() not in pixel:
            raise ValueError(f"{name} is not a data-quality flag; those are {', '.join(pixel)}.")
        value |= pixel[name.upper()]
    return value


def write_combined(
    path, template, data, variance, n_used, *, dq=None, history=(), cards=None, stamp=None
):
    """
    Write one combination of the exposures.

    Parameters
    ----------
    path : str or Path
        File to write; replaced if it exists.
    template : Exposure
        The exposure whose headers and WCS are kept: the first.
    data : ndarray (ny, nx)
        Combined image, units of the input.
    variance : ndarray (ny, nx)
        Variance of the combined value, units of the data squared.
    n_used : ndarray (ny, nx) of int
        Number of exposures in each value.
    dq : ndarray (ny, nx) uint32, optional
        Data-quality flags. Default: DO_NOT_USE where no exposure was used or the value is not
        finite.
    history : sequence of str, optional
        HISTORY entries to add.
    cards : dict, optional
        Cards to add to the primary header: ``{keyword: value or (value, comment)}``.
    stamp : callable, optional
        Called with the JWST model before it is saved, to record what was done; not called for
        plain FITS.

    Returns
    -------
    Path
        The file written. Plain FITS: the image in the primary HDU (float32), VARIANCE (float32),
        MAP (int16) and DQ (uint32). JWST: the template's own kind of model (SCI, ERR, DQ and what
        does not depend on the exposures), with VARIANCE and MAP as further extensions.
    """
    data = np.asarray(data, np.float32)
    variance = np.asarray(variance, np.float32)
    n_used = np.asarray(n_used, np.int16)
    if dq is None:
        dq = np.where((n_used == 0) | ~np.isfinite(data), DO_NOT_USE, 0)
    dq = np.asarray(dq, np.uint32)
    if template.kind == "jwst":
        with template.open_model() as original:
            model = original.copy()
        for name in ("var_poisson", "var_rnoise", "var_flat"):
            # variances by cause, of the one exposure
            if model.hasattr(name):
                delattr(model, name)
        model.data, model.dq = data, dq
        model.err = np.sqrt(variance)
        _extra_fits(model, "VARIANCE")["data"] = variance
        _extra_fits(model, "MAP")["data"] = n_used
        return _save_model(model, path, history, cards, stamp)
    primary = fits.PrimaryHDU(data, kept_header(template.header))
    annotate(primary.header, history, cards)
    hdus = [
        primary,
        fits.ImageHDU(variance, name="VARIANCE"),
        fits.ImageHDU(n_used, name="MAP"),
        fits.ImageHDU(dq, name="DQ"),
    ]
    return _save_hdus(hdus, path)


def write_masks(path, masks, *, images=None, tables=None, history=(), cards=None):
    """
    Write masks of flagged pixels.

    Parameters
    ----------
    path : str or Path
        File to write; replaced if it exists.
    masks : dict of ndarray (ny, nx)
        Masks by extension name, in the order wanted; non-zero where flagged. Stored as uint8 with
        the number of flagged pixels in the keyword NPMASKED.
    images : dict of ndarray, optional
        Further arrays by extension name, stored in their own type after the masks.
    tables : dict of Table or structured ndarray, optional
        Tables by extension name, stored last.
    history : sequence of str, optional
        HISTORY entries of the primary header.
    cards : dict, optional
        Cards of the primary header: ``{keyword: value or (value, comment)}``.

    Returns
    -------
    Path
        The file written.
    """
    primary = fits.PrimaryHDU()
    annotate(primary.header, history, cards)
    hdus = [primary]
    for name, mask in masks.items():
        flagged = np.asarray(mask) != 0
        hdu = fits.ImageHDU(flagged.astype(np.uint8), name=name)
        hdu.header["NPMASKED"] = (int(flagged.sum()), "number of flagged pixels")
        hdus.append(hdu)
    for name, image in (images or {}).items():
        hdus.append(fits.ImageHDU(np.asarray(image), name=name))
    for name, table in (tables or {}).items():
        hdus.append(fits.BinTableHDU(Table(table), name=name))
    return _save_hdus(hdus, path)


def write_flagged(path, exposure, mask, bits, *, history=(), cards=None, stamp=None):
    """
    Write an exposure with data-quality flags added, everything else unchanged.

    Parameters
    ----------
    path : str or Path
        File to write; replaced if it exists. It must not be the input itself.
    exposure : Exposure
        The exposure.
    mask : ndarray (ny, nx) bool
        True where the flags are added.
    bits : int, str or sequence of str
        The flags, as for `dq_value`.
    history, cards, stamp
        As for `write_combined`.

    Returns
    -------
    Path
        The file written: a copy of the JWST model, or of all HDUs of the FITS file with a DQ
        extension (uint32) added or OR-ed into.
    """
    if exposure.kind == "jwst":
        return _save_model(flagged_model(exposure, mask, bits), path, history, cards, stamp)
    with open_fits(exposure.source) as hdus:
        science = hdus[exposure.extension]
        copies = list(hdus)
        old = [i for i, hdu in enumerate(hdus) if hdu.name == "DQ" and hdu.ver == science.ver]
        if old:
            dq = flag_image(exposure.source, hdus[old[0]])
        else:
            dq = np.zeros(exposure.data.shape, np.uint32)
        new = fits.ImageHDU(_flagged(dq, mask, bits), name="DQ", ver=science.ver)
        if old:
            copies[old[0]] = new
        else:
            copies.append(new)
        primary = copies[0]
        checked = "CHECKSUM" in primary.header
        annotate(primary.header, history, cards)
        if checked:
            primary.add_checksum()
        return _save_hdus(copies, path)


def flagged_model(exposure, mask, bits):
    """
    Copy the JWST model of an exposure with data-quality flags added.

    Parameters
    ----------
    exposure : Exposure
        An exposure of kind ``"jwst"``.
    mask : ndarray (ny, nx) bool
        True where the flags are added.
    bits : int, str or sequence of str
        The flags, as for `dq_value`.

    Returns
    -------
    JwstDataModel
        The copy; only its ``dq`` differs.
    """
    with exposure.open_model() as original:
        model = original.copy()
    set_flags(model, mask, bits)
    return model


def set_flags(model, mask, bits):
    """
    Add data-quality flags to a JWST model, in place.

    Parameters
    ----------
    model : JwstDataModel
        Model whose ``dq`` is replaced.
    mask : ndarray (ny, nx) bool
        True where the flags are added.
    bits : int, str or sequence of str
        The flags, as for `dq_value`.
    """
    dq = model.dq if model.hasattr("dq") and model.dq is not None else None
    model.dq = _flagged(np.zeros(model.data.shape, np.uint32) if dq is None else dq, mask, bits)


def _flagged(dq, mask, bits):
    mask = np.asarray(mask, bool)
    if mask.shape != dq.shape:
        raise ValueError(f"The mask has shape {mask.shape}, the exposure {dq.shape}.")
    return np.where(mask, dq | np.uint32(dq_value(bits)), dq).astype(np.uint32)


def kept_header(header):
    """
    Copy the cards of a header that still hold for a product.

    Parameters
    ----------
    header : astropy.io.fits.Header
        Header of the input.

    Returns
    -------
    astropy.io.fits.Header
        Without the cards that say how the input or its numbers are stored.
    """
    kept = header.copy()
    for keyword in set(kept.keys()):
        if _STORAGE.fullmatch(keyword):
            kept.remove(keyword, remove_all=True)
    while len(kept) and kept.cards[-1].is_blank:  # room for more of them
        del kept[-1]
    return kept


def annotate(header, history, cards):
    """
    Add cards and history to a header, in place.

    Parameters
    ----------
    header : astropy.io.fits.Header
        The header.
    history : sequence of str
        HISTORY entries.
    cards : dict or None
        ``{keyword: value or (value, comment)}``.
    """
    for keyword, value in (cards or {}).items():
        header[keyword] = value
    for line in history:
        header.add_history(line)


def _extra_fits(model, name):
    """Part of a model that is stored as a FITS extension its schema does not know."""
    return model._instance.setdefault("extra_fits", {}).setdefault(name, {})


def _save_hdus(hdus, path):
    path = Path(path)
    with atomic_path(path) as aside, open(aside, "wb") as stream:
        # a malformed card of the input is mended by Astropy or carried over, and stops nothing
        fits.HDUList(hdus).writeto(stream, output_verify="silentfix+ignore")
    return path


def _save_model(model, path, history, cards, stamp):
    path = Path(path)
    if stamp is not None:
        stamp(model)
    for line in history:
        model.add_history_entry(line)
    header = _extra_fits(model, "PRIMARY").setdefault("header", [])
    for keyword, value in (cards or {}).items():
        value, comment = value if isinstance(value, tuple) else (value, "")
        header[:] = [card for card in header if card[0] != keyword]
        header.append([keyword, value, comment])
    with atomic_path(path) as aside:
        model.meta.filename = path.name
        # a stream has no name that the model could take over from the temporary file
        with open(aside, "wb") as stream:
            model.to_fits(stream)
    return path
