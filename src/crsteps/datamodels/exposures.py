"""One reader for every kind of exposure: plain FITS images and JWST models become `Exposure`.

Nothing is scaled: data, noise and products stay in the units of the file. Whatever is wrong with
the inputs is found here, before any work, and told in one sentence (`CrstepsInputError`).
"""

import logging
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from astropy.io import fits

from crsteps.datamodels import noise
from crsteps.datamodels.fits_files import find_image, open_fits
from crsteps.datamodels.fits_images import flag_image, scaled_image
from crsteps.datamodels.inputs import check_distinct, expand, is_path, model_name
from crsteps.errors import CrstepsInputError

log = logging.getLogger(__name__)

MIN_EXPOSURES = 3
DO_NOT_USE = 1  # the bit of JWST's DQ flags; not imported, since that loads every datamodel
_VARIANCES = {
    "err": "ERR",
    "var_poisson": "VAR_POISSON",
    "var_rnoise": "VAR_RNOISE",
    "var_flat": "VAR_FLAT",
}


@dataclass(frozen=True)
class Exposure:
    """
    One exposure in the units of its file.

    Attributes
    ----------
    data : ndarray (ny, nx) float32
        The image as stored (bias level not subtracted); NaN where it is blank.
    missing : ndarray (ny, nx) bool
        True where there is no usable value: not finite, BLANK, DQ flag DO_NOT_USE, or a variance
        that is zero or not finite.
    read_variance : ndarray (ny, nx) float32 or float
        Variance without signal, in units of the data squared; finite and positive everywhere (the
        median where the pixel is missing).
    poisson_factor : float or ndarray (ny, nx) float32
        The variance at an expected signal mu, above the bias level, is
        ``read_variance + poisson_factor * max(mu, 0)``; units of the data, 1/gain for ADU.
    bias : float
        Bias level contained in the data, as given by the caller.
    header : astropy.io.fits.Header
        Cards of the science extension, then those of the primary header it does not have.
    source : str
        Path of the file, or the name of a model given in memory.
    kind : {"jwst", "fits"}
        Whether products are written as JWST models or as FITS files.
    extension : int
        Position of the science HDU in the file (0 for a model given in memory).
    model : JwstDataModel or None
        The caller's open model, if one was given; it is never modified.
    """

    data: np.ndarray
    missing: np.ndarray
    read_variance: np.ndarray | float
    poisson_factor: np.ndarray | float
    bias: float
    header: fits.Header
    source: str
    kind: str
    extension: int = 0
    model: object = None

    @contextmanager
    def open_model(self):
        """
        Give the JWST model of this exposure, opened for reading if it is a file.

        Yields
        ------
        JwstDataModel
            The model; copy it before changing anything.
        """
        if self.model is not None:
            yield self.model
            return
        with _open_jwst(self.source) as model:
            yield model


@dataclass(frozen=True)
class ReadOptions:
    """
    How noise is found, in exposures without variance arrays.

    Attributes
    ----------
    extension : None, int, str or tuple
        Extension of the science image.
    gain : float or sequence of float, optional
        Gain [e-/ADU], one for all exposures or one for each.
    rnoise : float or sequence of float, optional
        Read noise [ADU], one for all exposures or one for each.
    bias : float or sequence of float
        Bias level contained in the data [ADU].
    gain_keywords, rnoise_keywords : tuple of str
        Header keywords looked up when the value is not given.
    rnoise_keyword_unit : {"electron", "adu"}
        Unit of the read noise in the header.
    """

    extension: object = None
    gain: object = None
    rnoise: object = None
    bias: object = 0.0
    gain_keywords: tuple = noise.GAIN_KEYWORDS
    rnoise_keywords: tuple = noise.RNOISE_KEYWORDS
    rnoise_keyword_unit: str = "electron"


def open_exposures(
    inputs,
    *,
    extension=None,
    gain=None,
    rnoise=None,
    bias=0.0,
    gain_keywords=noise.GAIN_KEYWORDS,
    rnoise_keywords=noise.RNOISE_KEYWORDS,
    rnoise_keyword_unit="electron",
):
    """
    Read a set of exposures of the same field.

    Parameters
    ----------
    inputs : path, list, ModelContainer or ModelLibrary
        Paths and open JWST models in any mixture, or the path of an association (``.json``) of
        which the members with exptype ``science`` are read.
    extension : int, str or tuple, optional
        Extension of the science image in FITS files: a number, a name or ``"NAME,version"``.
        Default: the primary array, else SCI, else the only image.
    gain : float or sequence of float, optional
        Gain [e-/ADU]; with `rnoise` it is the noise of exposures without variance arrays.
        Default: from the header.
    rnoise : float or sequence of float, optional
        Read noise [ADU]. Default: from the header.
    bias : float or sequence of float, optional
        Bias level contained in the data [ADU]. It is recorded, not subtracted.
    gain_keywords, rnoise_keywords : sequence of str, optional
        Header keywords to look up, in this order.
    rnoise_keyword_unit : {"electron", "adu"}, optional
        Unit of the read noise in the header.

    Returns
    -------
    tuple of Exposure
        In the order of the inputs; all of one shape.

    Raises
    ------
    CrstepsInputError
        For whatever is wrong with a file, a model or a parameter.
    """
    items = expand(inputs)
    check_distinct(items)
    if len(items) < MIN_EXPOSURES:
        raise CrstepsInputError(
            f"{len(items)} exposure{'s' * (len(items) != 1)} given, and at least {MIN_EXPOSURES} "
            "of the same field are needed: give more inputs."
        )
    if rnoise_keyword_unit not in ("electron", "adu"):
        raise CrstepsInputError(
            f"rnoise_keyword_unit = {rnoise_keyword_unit!r} is unknown: set it to electron or adu."
        )
    per_exposure = {
        "gain": _each("gain", gain, len(items)),
        "rnoise": _each("rnoise", rnoise, len(items)),
        "bias": _each("bias", bias, len(items)),
    }
    exposures = []
    for number, item in enumerate(items):
        options = ReadOptions(
            extension=extension,
            gain_keywords=tuple(gain_keywords),
            rnoise_keywords=tuple(rnoise_keywords),
            rnoise_keyword_unit=rnoise_keyword_unit,
            **{name: values[number] for name, values in per_exposure.items()},
        )
        exposure = _read_path(item, options) if is_path(item) else _read_model(item, options)
        if exposures and exposure.data.shape != exposures[0].data.shape:
            raise CrstepsInputError(
                f"{exposure.source} has shape {exposure.data.shape}, but {exposures[0].source} has "
                f"{exposures[0].data.shape}: give exposures of the same shape."
            )
        exposures.append(exposure)
    return tuple(exposures)


def _each(name, value, number):
    """Spread a parameter over the exposures; text is what reaches us from the command line."""
    if isinstance(value, str) or np.ndim(value) == 0:
        values = [value] * number
    else:
        values = list(value)
        values = values * number if len(values) == 1 else values
    if len(values) != number:
        raise CrstepsInputError(
            f"{name} has {len(values)} values for {number} exposures: give one, or one for each."
        )
    if name == "bias":
        for level in values:
            try:
                good = np.isfinite(float(level))
            except (TypeError, ValueError):
                good = False
            if not good:
                raise CrstepsInputError(f"bias = {level!r} is not a number: set bias in ADU.")
        values = [float(level) for level in values]
    return values


def _read_path(path, options):
    with open_fits(path) as hdus:
        index = find_image(path, hdus, options.extension)
        science = hdus[index]
        data, blank = scaled_image(path, science)
        planes, dq = _companions(path, hdus, index, data.shape)
        header = science.header.copy()
        if index:
            header.extend(hdus[0].header.cards, unique=True)
        kind = "jwst" if _looks_like_jwst(hdus) else "fits"
    if kind == "jwst":
        kind = _checked_kind(path, data.shape)
    return _exposure(data, blank, dq, planes, header, str(path), kind, options, index, None)


def _companions(path, hdus, index, shape):
    """Variance and flag arrays that belong to the science image: same version, same shape."""
    version = hdus[index].ver
    planes, dq = {}, None
    for position, hdu in enumerate(hdus):
        if position == index or hdu.ver != version:
            continue
        name = hdu.name.upper()
        if name not in ("DQ", *_VARIANCES.values()) or not hdu.is_image or not hdu.shape:
            continue
        array = flag_image(path, hdu) if name == "DQ" else scaled_image(path, hdu)[0]
        if array.shape != shape:
            raise CrstepsInputError(
                f"The extension {name} of {path} has shape {array.shape}, but the science image "
                f"has {shape}: they must be equal; correct or remove that extension."
            )
        if name == "DQ":
            dq = array
        else:
            planes[name.lower()] = array
    return planes, dq


def _looks_like_jwst(hdus):
    names = [hdu.name for hdu in hdus]
    jwst = str(hdus[0].header.get("TELESCOP", "")).strip().upper() == "JWST"
    return jwst and names.count("SCI") == 1


def _open_jwst(path):
    from stdatamodels.jwst import datamodels

    return datamodels.open(str(path))


def _checked_kind(path, shape):
    """Decide whether products can be JWST models: only if the file opens as one of this shape."""
    try:
        with _open_jwst(path) as model:
            return "jwst" if model.shape == shape else "fits"
    except Exception as error:  # whatever a foreign file provokes in the schemas
        log.warning("%s: products are plain FITS, for it is no JWST model (%s)", path, error)
        return "fits"


def _read_model(model, options):
    name = model_name(model)
    data = getattr(model, "data", None)
    if data is None or np.ndim(data) != 2:
        raise CrstepsInputError(
            f"The model {name} has data of shape {np.shape(data)}, and two dimensions are needed: "
            "give rate, cal or other two-dimensional models."
        )
    data = np.array(data, np.float32)
    planes = {}
    for attribute in _VARIANCES:
        array = getattr(model, attribute, None) if model.hasattr(attribute) else None
        if array is not None and np.shape(array) == data.shape:
            planes[attribute] = np.asarray(array, np.float32)
    dq = np.asarray(model.dq) if model.hasattr("dq") and model.dq is not None else None
    header = fits.Header()
    for keyword, attribute in (("FILENAME", "filename"), ("BUNIT", "bunit_data")):
        value = getattr(model.meta, attribute, None)
        if value is not None:
            header[keyword] = value
    blank = np.zeros(data.shape, bool)
    return _exposure(data, blank, dq, planes, header, name, "jwst", options, 0, model)


def _exposure(data, blank, dq, planes, header, source, kind, options, extension, model):
    missing = blank | ~np.isfinite(data)
    if dq is not None:
        missing |= (dq & DO_NOT_USE) != 0
    read_variance, factor = _noise(data, missing, planes, header, source, options)
    if np.ndim(read_variance):
        missing |= ~np.isfinite(read_variance)
    if missing.all():
        raise CrstepsInputError(
            f"Every pixel of {source} is missing (not finite, BLANK, flagged DO_NOT_USE or without "
            "variance): remove this exposure from the inputs."
        )
    if np.ndim(read_variance):
        read_variance[missing] = np.median(read_variance[~missing])
    return Exposure(
        data, missing, read_variance, factor, options.bias, header, source, kind, extension, model
    )


def _noise(data, missing, planes, header, source, options):
    if "var_rnoise" not in planes and "err" not in planes:
        return noise.ccd_noise(
            header,
            source,
            gain=options.gain,
            rnoise=options.rnoise,
            gain_keywords=options.gain_keywords,
            rnoise_keywords=options.rnoise_keywords,
            rnoise_keyword_unit=options.rnoise_keyword_unit,
        )
    if options.gain is not None or options.rnoise is not None:
        log.warning("%s has variance arrays: gain and rnoise are not used for it", source)
    signal = np.where(missing, np.float32(np.nan), data - np.float32(options.bias))
    read_variance, factor = noise.variance_noise(signal, **planes)
    if "err" in planes:
        good = np.isfinite(planes["err"]) & (planes["err"] > 0)
        read_variance[~good] = np.nan
    log.info("%s: noise from its variance arrays, Poisson factor %.4g", source, np.median(factor))
    return read_variance, factor
