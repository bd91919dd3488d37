"""Where the images of a dark are in its file: several detectors of NISP, or a single image."""

import re

from crsteps.datamodels.dark_exposure import DetectorPlanes
from crsteps.datamodels.fits_files import find_image, label
from crsteps.datamodels.fits_images import find_stored
from crsteps.detector.nisp import DETECTORS
from crsteps.errors import CrstepsInputError

_DETECTOR_NAME = re.compile(r"(DET\d+)(?:\.(.+))?")
SINGLE = "IMAGE"
"""Name of the detector of a single image whose header does not name one."""


def detector_name(hdu):
    """
    Split the name of an extension in the way of NISP.

    Parameters
    ----------
    hdu : astropy HDU
        The extension.

    Returns
    -------
    detector, suffix : str or None
        ``("DET11", "SCI")`` for ``DET11.SCI``, ``("DET11", "")`` for ``DET11``, (None, None) for
        other names.
    """
    match = _DETECTOR_NAME.fullmatch(hdu.name.strip().upper())
    return (match[1], match[2] or "") if match else (None, None)


def is_nisp(hdus):
    """
    Tell a file of NISP's detectors from others.

    Parameters
    ----------
    hdus : astropy.io.fits.HDUList
        The open file.

    Returns
    -------
    bool
        True if an extension is called DETxy or DETxy.something, with x and y from 1 to 4.
    """
    return any(detector_name(hdu)[0] in DETECTORS for hdu in hdus)


def nisp_planes(path, hdus, quality_suffix):
    """
    Find the detectors of a NISP file.

    Parameters
    ----------
    path : str or Path
        The file.
    hdus : astropy.io.fits.HDUList
        The open file.
    quality_suffix : str or None
        Suffix of quality planes; where a detector has none of that name, its second extension is
        taken if it is a plane of 8- or 16-bit integers. None looks for none.

    Returns
    -------
    planes : dict of DetectorPlanes
        By name of the detector, in the order of the file.
    warnings : list of str
        What is missing or was assumed.

    Raises
    ------
    CrstepsInputError
        If a name is there twice, an image is not one, or no detector has an image.
    """
    found, warnings = {}, []
    for index, hdu in enumerate(hdus):
        detector, suffix = detector_name(hdu)
        if detector in DETECTORS:
            extensions = found.setdefault(detector, {})
            if suffix in extensions:
                raise CrstepsInputError(
                    f"{path} has two extensions {hdu.name}: names of extensions have to be unique; "
                    "remove or rename one of them."
                )
            extensions[suffix] = index
        elif detector:
            warnings.append(f"{path}: the extension {hdu.name} is not of a NISP detector; ignored.")
    planes, fallbacks = {}, set()
    for detector, extensions in found.items():
        science = extensions.get("SCI", extensions.get(""))
        if science is None:
            continue
        quality = None
        if quality_suffix is not None:
            name, quality = _quality(path, hdus, extensions, quality_suffix)
            if name not in (quality_suffix.upper(), None):
                fallbacks.add(name)
        image = find_stored(path, hdus, science)
        _check_shape(path, detector, image, quality)
        planes[detector] = DetectorPlanes.of(image, quality, None, hdus[science].header.copy())
    if not planes:
        raise CrstepsInputError(
            f"{path} has no image DETxy.SCI of any NISP detector: give a file that has one."
        )
    warnings += _absences(path, planes, quality_suffix, fallbacks)
    return dict(sorted(planes.items(), key=lambda item: item[1].science.index)), warnings


def _quality(path, hdus, extensions, suffix):
    """Name and place of the quality plane of a detector, (None, None) if it has none."""
    wanted = extensions.get(suffix.upper())
    if wanted is not None:
        plane = find_stored(path, hdus, wanted)
        if not plane.is_integer:
            raise CrstepsInputError(
                f"The extension {plane.name} of {path} does not hold the integers of a quality "
                "plane: set quality_suffix to another one, or quality to none."
            )
        return suffix.upper(), plane
    for name, index in extensions.items():
        hdu = hdus[index]
        # 32-bit planes are flags, floating-point ones noise: no quality factors
        if name in ("SCI", "") or not hdu.is_image or hdu.header.get("BITPIX") not in (8, 16):
            continue
        return name, find_stored(path, hdus, index)
    return None, None


def _check_shape(path, detector, image, plane):
    if plane is not None and plane.shape != image.shape:
        raise CrstepsInputError(
            f"The extension {plane.name} of {path} has shape {plane.shape}, but the image of "
            f"{detector} has {image.shape}: they must be equal; correct or remove that extension."
        )


def _absences(path, planes, quality_suffix, fallbacks):
    absent = [name for name in DETECTORS if name not in planes]
    if absent:
        yield (
            f"{path} has no image of {', '.join(absent)}: {', '.join(sorted(planes))} "
            f"{'is' if len(planes) == 1 else 'are'} processed."
        )
    if quality_suffix is None:
        return
    if fallbacks:
        yield (
            f"{path} has no extensions DETxy.{quality_suffix}: the quality planes are "
            f"{', '.join(f'DETxy.{name}' for name in sorted(fallbacks))}."
        )
    without = [name for name, plane in planes.items() if plane.quality is None]
    if without:
        which = "any detector" if len(without) == len(planes) else ", ".join(without)
        yield f"{path} has no quality plane for {which}: only the image itself is used there."


def single_plane(path, hdus, extension, quality_suffix):
    """
    Find the image of a file that has one.

    Parameters
    ----------
    path : str or Path
        The file.
    hdus : astropy.io.fits.HDUList
        The open file.
    extension : None, int, str or tuple
        As for `crsteps.datamodels.fits_files.find_image`.
    quality_suffix : str or None
        Name, or suffix to the name of the image, of a quality plane; None looks for none.

    Returns
    -------
    name : str
        Name of the detector: that of the header, else of the extension, else ``"IMAGE"``.
    planes : DetectorPlanes
        The image; its quality plane and an extension DQ where they are there.

    Raises
    ------
    CrstepsInputError
        If there is no image, more than one that could be meant, or it is not one.
    """
    index = find_image(path, hdus, extension)
    hdu = hdus[index]
    image = find_stored(path, hdus, index)
    detector, _ = detector_name(hdu)
    stem = hdu.name.strip().upper().removesuffix(".SCI")
    suffix = (quality_suffix or "").upper()
    quality = flags = None
    for other, candidate in enumerate(hdus):
        name = candidate.name.strip().upper()
        if other == index or candidate.ver != hdu.ver:
            continue
        if suffix and name in (suffix, f"{stem}.{suffix}"):
            _, quality = _quality(path, hdus, {suffix: other}, suffix)
            _check_shape(path, label(hdu), image, quality)
        elif name == "DQ" and candidate.is_image:
            flags = find_stored(path, hdus, other)
            _check_shape(path, label(hdu), image, flags)
            if not flags.is_integer:
                raise CrstepsInputError(
                    f"The extension {flags.name} of {path} does not hold the integers of a "
                    "data-quality array: remove or rename this extension."
                )
    header = hdu.header.copy()
    named = _clean(detector or _header_name(header, hdus[0].header) or stem)
    if named in ("", "SCI", "PRIMARY"):
        named = SINGLE
    return named, DetectorPlanes.of(image, quality, flags, header)


def _header_name(*headers):
    for header in headers:
        if isinstance(header.get("DETECTOR"), str):
            return header["DETECTOR"].strip()
    return None


def _clean(name):
    """Leave what may stand in names of extensions and files."""
    return re.sub(r"[^A-Za-z0-9.+-]+", "_", name).strip("_")
