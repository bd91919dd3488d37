"""Simulated slew darks as files of the layout in which NISP's raw images are distributed.

A raw file has two extensions per detector: ``DETxy.SCI`` with the image and ``DETxy.CHI2`` with the
quality plane. What the latter is called has varied, so that its suffix is a parameter. Bad-pixel
maps and other companions have one extension per detector.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.time import Time

from crsteps.simulation.slew_darks import SlewDark

__all__ = [
    "nisp_file_name",
    "write_bad_pixel_map",
    "write_companion",
    "write_nisp_file",
    "write_truth",
]

_START = datetime(2025, 6, 1, 9, 3, 51, tzinfo=UTC)


def nisp_file_name(
    *,
    observation: int = 8033,
    number: int = 1,
    kind: str = "W",
    start: datetime = _START,
    dither: int = 1,
    exposure: int = 5,
    version: str = "01.00",
) -> str:
    """
    Name of a raw file.

    Parameters
    ----------
    observation : int
        Identifier of the observation.
    number : int
        Number within it.
    kind : str
        W for the wide survey, D for the deep fields, C for calibration.
    start : datetime.datetime
        Start of the exposure, UTC.
    dither, exposure : int
        Number of the dither and of the exposure in it; the dark at its end is exposure 5.
    version : str
        Version of the file.

    Returns
    -------
    name : str
        Such as ``EUC_LE1_NISP-08033-1-W_20250601T090351.000000Z_01_05_01.00.fits``.
    """
    return (
        f"EUC_LE1_NISP-{observation:05d}-{number}-{kind}_{start:%Y%m%dT%H%M%S.%f}Z"
        f"_{dither:02d}_{exposure:02d}_{version}.fits"
    )


def write_nisp_file(
    folder,
    darks: dict[str, SlewDark],
    *,
    name: str | None = None,
    observation: int = 8033,
    dither: int = 1,
    start: datetime = _START,
    quality_suffix: str | None = "CHI2",
    omit_keywords=(),
) -> Path:
    """
    Write the images of detectors as one raw file.

    Parameters
    ----------
    folder : path-like
        Existing folder; a file of the same name is replaced.
    darks : dict of SlewDark
        Images by name of the detector, in the order in which they are written.
    name : str, optional
        Name of the file; by default that of `nisp_file_name`.
    observation, dither : int
        Numbers that stand in the name and in the header.
    start : datetime.datetime
        Start of the exposure, UTC.
    quality_suffix : str or None
        Suffix of the names of quality planes; None to leave them out.
    omit_keywords : sequence of str
        Keywords to leave out of the primary header.

    Returns
    -------
    path : Path
        The file.
    """
    if not darks:
        raise ValueError("a raw file needs at least one detector: darks is empty")
    name = name or nisp_file_name(observation=observation, dither=dither, start=start)
    options = next(iter(darks.values())).options
    hdus = fits.HDUList(
        [fits.PrimaryHDU(header=_primary_header(options, observation, dither, start))]
    )
    for keyword in omit_keywords:
        del hdus[0].header[keyword]
    for detector, dark in darks.items():
        hdus.append(_image(dark.data, detector, "SCI", ("BUNIT", "adu", "unit of the array")))
        if quality_suffix is not None:
            hdus.append(_image(dark.quality, detector, quality_suffix))
    path = Path(folder) / name
    hdus.writeto(path, overwrite=True)
    return path


def write_bad_pixel_map(path, darks: dict[str, SlewDark]) -> Path:
    """
    Write the bad-pixel map of detectors.

    Parameters
    ----------
    path : path-like
        The file; it is replaced.
    darks : dict of SlewDark
        Images by name of the detector.

    Returns
    -------
    path : Path
        The file: extensions ``DETxy``, uint8, 1 for bad pixels.
    """
    return write_companion(path, {name: dark.bad.astype(np.uint8) for name, dark in darks.items()})


def write_truth(path, darks: dict[str, SlewDark]) -> Path:
    """
    Write which pixels were hit.

    Parameters
    ----------
    path : path-like
        The file; it is replaced.
    darks : dict of SlewDark
        Images by name of the detector.

    Returns
    -------
    path : Path
        The file: extensions ``DETxy``, uint8, 1 where cosmic rays left more than
        `crsteps.simulation.slew_darks.TRUE_CHARGE`.
    """
    return write_companion(
        path, {name: dark.truth.astype(np.uint8) for name, dark in darks.items()}
    )


def write_companion(path, images: dict[str, np.ndarray]) -> Path:
    """
    Write one image per detector, such as the expected dark or the noise.

    Parameters
    ----------
    path : path-like
        The file; it is replaced.
    images : dict of ndarray
        Images by name of the detector.

    Returns
    -------
    path : Path
        The file: extensions ``DETxy``.
    """
    hdus = [fits.PrimaryHDU(), *(_image(image, name) for name, image in images.items())]
    fits.HDUList(hdus).writeto(path, overwrite=True)
    return Path(path)


def _image(array, detector, suffix=None, *cards):
    name = detector if suffix is None else f"{detector}.{suffix}"
    hdu = fits.ImageHDU(array, name=name)
    hdu.header["DETECTOR"] = (detector, "detector on the focal plane")
    for card in cards:
        hdu.header.append(card)
    return hdu


def _primary_header(options, observation, dither, start):
    readout = options.readout
    photometric = readout.n_groups < 10
    begin = Time(start)
    cards = [
        ("TELESCOP", "EUCLID", "simulated"),
        ("INSTRUME", "NISP", ""),
        ("DATE-OBS", begin.isot, "start of the exposure (UTC)"),
        ("MJD-OBS", round(begin.mjd, 8), "the same as modified Julian date"),
        ("READMODE", "MACC", "multiple accumulated sampling"),
        ("NG", readout.n_groups, "groups"),
        ("NR", readout.n_frames, "frames averaged in a group"),
        ("ND", readout.n_drops, "frames dropped between groups"),
        ("FRTIME", readout.frame_time, "[s] time of a frame"),
        ("EXPTIME", round(readout.integration_time, 3), "[s] from first to last group"),
        ("IMG_T1", "DARK", "type of image"),
        ("IMG_T2", "PHOTO" if photometric else "SPECTRO", "kind of readout"),
        ("OBS_ID", observation, "observation"),
        ("PTGID", observation * 10 + dither, "pointing"),
        ("DITHOBS", dither, "dither"),
        ("EXPNUM", 5, "exposure of the dither"),
        ("RA", 57.9, "[deg] right ascension at the start"),
        ("DEC", -51.3, "[deg] declination"),
        ("PA", 120.0, "[deg] position angle"),
    ]
    return fits.Header([fits.Card(*card) for card in cards])
