"""One reader for darks of every kind: raw files of NISP, plain FITS images, JWST images.

Opening finds and checks everything but reads no image; images are read one detector at a time, in
the process that works on them. Data stay in the units of the file.
"""

import io
from contextlib import nullcontext
from dataclasses import dataclass, field

import numpy as np
from astropy.io import fits

from crsteps.datamodels.dark_companions import read_companion
from crsteps.datamodels.dark_headers import exposure_facts
from crsteps.datamodels.dark_layout import (
    SINGLE,
    DetectorPlanes,
    detector_name,
    is_nisp,
    nisp_planes,
    single_plane,
)
from crsteps.datamodels.fits_files import find_image, open_fits
from crsteps.datamodels.inputs import is_path, model_name
from crsteps.detector.nisp import reference_border
from crsteps.errors import CrstepsInputError

__all__ = ["DarkExposure", "DarkImage", "open_dark", "read_companion"]

# Bits of JWST's data-quality flags; not imported, since that loads every datamodel.
_DO_NOT_USE, _SATURATED, _REFERENCE_PIXEL = 1, 2, 1 << 31
_QUALITIES = ("auto", "chi2", "bit", "none")


@dataclass(frozen=True)
class DarkImage:
    """
    One detector of a dark.

    Attributes
    ----------
    detector : str
        Name of the detector.
    data : ndarray (ny, nx) float32
        The image in the units of the file; NaN where it is blank or not finite.
    quality : ndarray (ny, nx) uint8 or None
        Quality factors of 0 to 255 (larger ones are cut), or 0 and 1, as `quality_kind` says.
    quality_kind : {"chi2", "bit"} or None
        What `quality` is.
    missing : ndarray (ny, nx) bool
        True where there is no usable value: not finite, or DO_NOT_USE or REFERENCE_PIXEL among the
        data-quality flags.
    reference : ndarray (ny, nx) bool
        True in the reference border of a whole detector of NISP.
    saturated : ndarray (ny, nx) bool
        True at or above the keyword SATURATE, at the end of the range of 16-bit integers, or where
        a data-quality flag says so.
    header : astropy.io.fits.Header
        Header of the image.
    """

    detector: str
    data: np.ndarray
    quality: np.ndarray | None
    quality_kind: str | None
    missing: np.ndarray
    reference: np.ndarray
    saturated: np.ndarray
    header: fits.Header


@dataclass(frozen=True)
class DarkExposure:
    """
    A dark that was opened and checked.

    It holds no pixels, unless it comes from a model in memory, and can be sent to other processes.

    Attributes
    ----------
    source : str
        Path of the file, or the name of a model given in memory.
    kind : {"nisp", "fits", "jwst"}
        Layout of the file.
    detectors : tuple of str
        Names of the detectors, in the order of the file.
    quality_kind : {"chi2", "bit"} or None
        What the quality planes are; None where there are none or none are wanted.
    quality_reason : str
        How that was decided, for the log and the headers of products.
    integration_time : float or None
        Time in which the signal was integrated [s]: with multi-accumulated readout, from the first
        group to the last.
    exposure_time : float or None
        Time in which cosmic rays were gathered [s]: with multi-accumulated readout, from the reset
        to the last frame; else the same.
    gain_header : float or None
        Gain of the header [e-/ADU].
    unit : str
        Unit of the data.
    obs_id, date_obs, read_mode : str
        Observation, start and readout mode; empty if unknown.
    mjd : float or None
        Start as modified Julian date.
    macc : tuple of int or None
        Groups, frames in a group and dropped frames.
    primary_header : astropy.io.fits.Header
        Primary header of the file.
    warnings : tuple of str
        A sentence about each thing that is missing or was assumed, to be logged.
    planes : dict of DetectorPlanes
        Where the images are.
    """

    source: str
    kind: str
    detectors: tuple
    quality_kind: str | None
    quality_reason: str
    integration_time: float | None
    exposure_time: float | None
    gain_header: float | None
    unit: str
    obs_id: str
    date_obs: str
    mjd: float | None
    read_mode: str
    macc: tuple | None
    primary_header: fits.Header = field(repr=False, compare=False)
    warnings: tuple
    planes: dict = field(repr=False, compare=False)

    def shape(self, detector):
        """
        Give the shape of an image without reading it.

        Parameters
        ----------
        detector : str
            Name of the detector.

        Returns
        -------
        tuple of int
            (ny, nx).
        """
        return self._planes(detector).science.shape

    def read(self, detector):
        """
        Read one detector.

        Parameters
        ----------
        detector : str
            Name of the detector.

        Returns
        -------
        DarkImage

        Raises
        ------
        CrstepsInputError
            If the exposure has no such detector, the file has changed since it was opened, or a
            plane that was taken for one bit holds other values.
        """
        planes = self._planes(detector)
        with planes.science.open() as stream:
            data = planes.science.values(stream)
            flags = None if planes.flags is None else planes.flags.flags(stream)
            quality = self._read_quality(planes.quality, stream)
        saturated = _saturated(data, planes, flags)
        missing = ~np.isfinite(data)
        data[missing] = np.nan
        if flags is not None:
            missing |= (flags & np.uint32(_DO_NOT_USE | _REFERENCE_PIXEL)) != 0
        if self.kind == "nisp":
            reference = reference_border(data.shape)
        else:
            reference = np.zeros(data.shape, bool)
        kind = None if quality is None else self.quality_kind
        return DarkImage(
            detector, data, quality, kind, missing, reference, saturated, planes.header
        )

    def _planes(self, detector):
        try:
            return self.planes[detector]
        except KeyError:
            raise CrstepsInputError(
                f"{self.source} has no detector {detector}: set detectors to some of "
                f"{', '.join(self.detectors)}."
            ) from None

    def _read_quality(self, plane, stream):
        if plane is None or self.quality_kind is None:
            return None
        quality = _quality_values(plane, stream)
        if self.quality_kind == "bit":
            if self.quality_reason.startswith("auto") and quality.max(initial=0) > 1:
                raise CrstepsInputError(
                    f"The extension {plane.name} of {self.source} holds values up to "
                    f"{quality.max()}, but other quality planes only 0 and 1: set quality to chi2, "
                    "bit or none."
                )
            quality = (quality != 0).astype(np.uint8)
        return quality


def _quality_values(plane, stream):
    stored = plane.stored(stream)
    if plane.stored_type == "u1" and plane.zero == 0:
        return stored
    return np.clip(stored.astype(np.int64) + int(plane.zero), 0, 255).astype(np.uint8)


def _saturated(data, planes, flags):
    level = planes.header.get("SATURATE")
    if not isinstance(level, int | float) or isinstance(level, bool) or not level > 0:
        level = planes.science.highest
    saturated = np.zeros(data.shape, bool) if level is None else data >= np.float32(level)
    if flags is not None:
        saturated |= (flags & np.uint32(_SATURATED)) != 0
    return saturated


def open_dark(path_or_model, *, quality_suffix="CHI2", extension=None, quality="auto"):
    """
    Open a dark and check all of it, without reading its images.

    Parameters
    ----------
    path_or_model : str, Path or JwstDataModel
        A raw file of NISP (extensions ``DETxy.SCI``, one or more of the sixteen), a FITS file with
        one image, a JWST image (rate, cal), plain or gzipped, or a JWST image model in memory.
    quality_suffix : str, optional
        Suffix of the quality planes. A detector of NISP without one of this name has its other
        extension taken, if that holds 8- or 16-bit integers.
    extension : None, int, str or tuple, optional
        The image to take, as for `crsteps.datamodels.fits_files.find_image`; of a NISP file, only
        this detector. Default: all detectors, or the primary array, else SCI, else the only image.
    quality : {"auto", "chi2", "bit", "none"}, optional
        What the quality planes are: chi-squared values of 8 bits, one bit (non-zero is flagged), or
        not to be used. ``"auto"`` looks into the first plane that is not zero everywhere: one with
        values above 1 is chi squared.

    Returns
    -------
    DarkExposure

    Raises
    ------
    CrstepsInputError
        If the file is missing, damaged, or holds no image that could be a dark.
    """
    if quality not in _QUALITIES:
        raise CrstepsInputError(
            f"quality = {quality!r} is unknown: set it to one of {', '.join(_QUALITIES)}."
        )
    suffix = None if quality == "none" else str(quality_suffix or "").strip() or None
    if not is_path(path_or_model):
        return _open_model(path_or_model)
    path = str(path_or_model)
    with open_fits(path) as hdus:
        kind, planes, warnings = _find_planes(path, hdus, extension, suffix)
        primary = hdus[0].header.copy()
    first = next(iter(planes.values()))
    return _exposure(path, kind, planes, primary, first.header, quality, warnings)


def _find_planes(path, hdus, extension, suffix):
    if is_nisp(hdus):
        planes, warnings = nisp_planes(path, hdus, suffix)
        if extension is None or str(extension).strip() == "":
            return "nisp", planes, warnings
        index = find_image(path, hdus, extension)
        detector, _ = detector_name(hdus[index])
        if detector in planes and planes[detector].science.index == index:
            return "nisp", {detector: planes[detector]}, []
    kind = "fits"
    if str(hdus[0].header.get("TELESCOP", "")).strip().upper() == "JWST":
        kind = "jwst"
        _refuse_ramps(path, [hdu.shape for hdu in hdus if hdu.name == "SCI" and hdu.is_image])
    name, planes = single_plane(path, hdus, extension, suffix)
    return kind, {name: planes}, []


def _refuse_ramps(source, shapes):
    if any(len(shape) > 2 for shape in shapes):
        raise CrstepsInputError(
            f"{source} holds {'a ramp' if len(shapes[0]) == 4 else 'a cube'} of shape "
            f"{tuple(shapes[0])}: cosmic rays in single reads are found by the jump step; give an "
            "image, such as a rate file."
        )


def _exposure(source, kind, planes, primary, first, quality, warnings):
    header = first.copy()
    header.extend(primary.cards, unique=True)
    facts = exposure_facts(source, kind, header)
    decided, reason, doubts = _decide_quality(source, planes, quality, facts)
    return DarkExposure(
        source=source,
        kind=kind,
        detectors=tuple(planes),
        quality_kind=decided,
        quality_reason=reason,
        integration_time=facts.integration_time,
        exposure_time=facts.exposure_time,
        gain_header=facts.gain,
        unit=facts.unit,
        obs_id=facts.obs_id,
        date_obs=facts.date_obs,
        mjd=facts.mjd,
        read_mode=facts.read_mode,
        macc=facts.macc,
        primary_header=primary,
        warnings=(*warnings, *facts.warnings, *doubts),
        planes=planes,
    )


def _decide_quality(source, planes, quality, facts):
    """What the quality planes are, why, and a warning where header and planes disagree."""
    found = [p.quality for p in planes.values() if p.quality is not None]
    if quality == "none":
        return None, "quality = none", ()
    if not found:
        return None, "no quality plane", ()
    if quality != "auto":
        return quality, f"quality = {quality}", ()
    with found[0].open() as stream:
        for plane in found:
            highest = int(_quality_values(plane, stream).max(initial=0))
            if highest:
                break
    photometric = facts.is_photometric
    if highest > 1:
        return "chi2", f"auto: {plane.name} holds values up to {highest}", ()
    reason = f"auto: {plane.name} holds only 0 and 1" if highest else "auto: all planes are zero"
    if highest and photometric is not False:
        return "bit", reason, ()
    doubt = (
        "no pixel is flagged in any quality plane"
        if not highest
        else f"{plane.name} holds only 0 and 1 although the readout is spectroscopic"
    )
    return "bit", reason, (f"{source}: {doubt}; the planes are taken for one bit.",)


@dataclass(frozen=True)
class _ModelImage:
    """An image of a model in memory, with what `StoredImage` has."""

    array: np.ndarray
    name: str
    highest = None

    @property
    def shape(self):
        return self.array.shape

    def open(self):
        return nullcontext()

    def values(self, stream):
        return self.array.astype(np.float32)

    def flags(self, stream):
        return self.array.astype(np.uint32)


def _open_model(model):
    if not hasattr(model, "meta") or not hasattr(model, "to_fits"):
        raise CrstepsInputError(
            f"An input of type {type(model).__name__} is not understood: give a path or a JWST "
            "image model."
        )
    name = model_name(model)
    data = getattr(model, "data", None)
    if data is None or np.ndim(data) != 2 or 0 in np.shape(data):
        _refuse_ramps(name, [np.shape(data)] if np.ndim(data) > 2 else [])
        raise CrstepsInputError(
            f"The model {name} has data of shape {np.shape(data)}, and two dimensions are needed: "
            "give a rate, cal or other image model."
        )
    buffer = io.BytesIO()  # the one way to the keywords of all metadata
    with model.copy() as copy:  # writing changes the date
        copy.to_fits(buffer)
    buffer.seek(0)
    with fits.open(buffer, memmap=False) as hdus:
        primary, header = hdus[0].header.copy(), hdus["SCI"].header.copy()
    flags = None
    if model.hasattr("dq") and np.shape(model.dq) == np.shape(data):
        flags = _ModelImage(np.array(model.dq), "DQ")
    detector = str(primary.get("DETECTOR") or SINGLE)
    planes = DetectorPlanes(_ModelImage(np.array(data, np.float32), "SCI"), None, flags, header)
    return _exposure(name, "jwst", {detector: planes}, primary, header, "auto", [])
