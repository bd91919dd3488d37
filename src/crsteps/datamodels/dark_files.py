"""One reader for darks of every kind: raw files of NISP, plain FITS images, JWST images.

Opening finds and checks everything but reads no image; images are read one detector at a time, in
the process that works on them. Data stay in the units of the file.
"""

import io
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
from astropy.io import fits

from crsteps.datamodels.dark_companions import read_companion
from crsteps.datamodels.dark_exposure import DarkExposure, DarkImage, DetectorPlanes, quality_values
from crsteps.datamodels.dark_headers import exposure_facts
from crsteps.datamodels.dark_layout import (
    SINGLE,
    detector_name,
    is_nisp,
    nisp_planes,
    single_plane,
)
from crsteps.datamodels.fits_files import find_image, open_fits
from crsteps.datamodels.inputs import is_path, model_name
from crsteps.errors import CrstepsInputError

__all__ = ["DarkExposure", "DarkImage", "open_dark", "read_companion"]

_QUALITIES = ("auto", "chi2", "bit", "none")


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
    stored = [p.quality for p in planes.values() if p.quality is not None]
    if quality == "none":
        return None, "quality = none", ()
    if not stored:
        return None, "no quality plane", ()
    if quality != "auto":
        return quality, f"quality = {quality}", ()
    with stored[0].open() as stream:
        for plane in stored:
            highest = int(quality_values(plane, stream).max(initial=0))
            if highest:
                break
    if highest > 1:
        return "chi2", f"auto: {plane.name} holds values up to {highest}", ()
    if not highest:
        reason, doubt = "auto: all planes are zero", "no pixel is flagged in any quality plane"
    else:
        found = f"{plane.name} holds only 0 and 1"
        reason, doubt = f"auto: {found}", f"{found} although the readout is spectroscopic"
        if facts.is_photometric is not False:
            return "bit", reason, ()
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
    planes = DetectorPlanes.of(_ModelImage(np.array(data, np.float32), "SCI"), None, flags, header)
    return _exposure(name, "jwst", {detector: planes}, primary, header, "auto", [])
