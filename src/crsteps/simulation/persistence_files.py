"""Simulated darks after a flat field as raw files of NISP."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from astropy.io import fits

from crsteps.detector.nisp import ELECTRONS_PER_ADU
from crsteps.simulation.persistence_series import DarkSeries

__all__ = ["FLAT_START", "flat_end", "write_nisp_series"]

FLAT_START = 60800.0
"""Modified Julian date at which the flat field begins."""

_OFFSET = 1024  # ADU
_DAY = 86400.0


def flat_end(series: DarkSeries):
    """
    Time of the last frame of the flat field, which is read like the darks.

    Parameters
    ----------
    series : DarkSeries
        Darks and truth.

    Returns
    -------
    float
        Modified Julian date.
    """
    return FLAT_START + series.options.readout.exposure_time / _DAY


def write_nisp_series(folder, series: dict[str, DarkSeries]):
    """
    Write a flat field and the darks that follow it.

    Parameters
    ----------
    folder : path-like
        Existing folder without such files.
    series : dict of DarkSeries
        Darks and truth by name of the detector, taken at the same times.

    Returns
    -------
    flat : Path
        The file of the flat field, ``EUC_flat.fits``, of the fluence of the series.
    darks : list of Path
        The files of the darks, ``EUC_dark_00.fits`` and so on: extensions ``DETxy.SCI`` in ADU with
        an offset of 1024, and ``DETxy.CHI2`` that flag nothing.
    """
    first = next(iter(series.values()))
    readout = first.options.readout
    # a file holds the signal between the first group and the last
    share = readout.integration_time / readout.exposure_time
    flat = {name: one.fluence * share for name, one in series.items()}
    flat_path = _write(Path(folder, "EUC_flat.fits"), readout, FLAT_START, "FLAT", flat)
    return flat_path, [
        _write(
            Path(folder, f"EUC_dark_{i:02d}.fits"),
            readout,
            flat_end(first) + delay / _DAY,
            "DARK",
            {name: one.darks[i] for name, one in series.items()},
        )
        for i, delay in enumerate(first.delays)
    ]


def _write(path, readout, start, kind, images):
    """Write images in e- as a raw file."""
    header = fits.Header(
        [
            ("TELESCOP", "EUCLID", "simulated"),
            ("INSTRUME", "NISP", ""),
            ("MJD-OBS", start, "start of the exposure (UTC)"),
            ("READMODE", "MACC", "multiple accumulated sampling"),
            ("NG", readout.n_groups, "groups"),
            ("NR", readout.n_frames, "frames averaged in a group"),
            ("ND", readout.n_drops, "frames dropped between groups"),
            ("FRTIME", readout.frame_time, "[s] time of a frame"),
            ("IMG_T1", kind, "type of image"),
        ]
    )
    hdus = [fits.PrimaryHDU(header=header)]
    for name, image in images.items():
        raw = np.clip(np.rint(image / ELECTRONS_PER_ADU + _OFFSET), 0, 65535).astype(np.uint16)
        hdus.append(fits.ImageHDU(raw, name=f"{name}.SCI"))
        hdus.append(fits.ImageHDU(np.zeros(raw.shape, np.uint8), name=f"{name}.CHI2"))
    fits.HDUList(hdus).writeto(path)
    return path
