"""What the headers of a dark say about the exposure, with a default for whatever they leave out."""

import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

from crsteps.datamodels.noise import GAIN_KEYWORDS
from crsteps.detector.macc import PHOTOMETRIC, SPECTROSCOPIC, MaccReadout

_MJD_ZERO = datetime(1858, 11, 17)
# EUC_LE1_NISP-<observation>-<n>-<W|D|C>_<UTC>Z_...: what the name of a raw file tells.
_FILE_NAME = re.compile(r"EUC_LE1_NISP-(?P<obs_id>\d+)-[^_]*_(?P<utc>\d{8}T\d{6}(\.\d+)?)Z?_")


@dataclass(frozen=True)
class ExposureFacts:
    """
    Facts about an exposure.

    Attributes
    ----------
    integration_time : float or None
        Time in which the signal was integrated [s]: with multi-accumulated readout, from the first
        group to the last.
    exposure_time : float or None
        Time in which cosmic rays were gathered [s]: with multi-accumulated readout, from the reset
        to the last frame; else the same.
    gain : float or None
        Gain of the header [e-/ADU]. For NISP, whose gain is about 0.5 ADU/e-, a value below 1 is
        taken for ADU/e- and inverted.
    unit : str
        Unit of the data.
    obs_id : str
        Observation; empty if unknown.
    date_obs : str
        Start, as in the header; empty if unknown.
    mjd : float or None
        Start as modified Julian date.
    read_mode : str
        Readout mode, as in the header; empty if unknown.
    macc : tuple of int or None
        Groups, frames in a group, and dropped frames of the multi-accumulated readout.
    warnings : tuple of str
        A sentence about each assumption that was made.
    """

    integration_time: float | None
    exposure_time: float | None
    gain: float | None
    unit: str
    obs_id: str
    date_obs: str
    mjd: float | None
    read_mode: str
    macc: tuple | None
    warnings: tuple

    @property
    def is_photometric(self):
        """
        Tell a photometric from a spectroscopic readout.

        Returns
        -------
        bool or None
            None where the header does not say.
        """
        for word, readout, answer in (("PHOT", PHOTOMETRIC, True), ("SPEC", SPECTROSCOPIC, False)):
            numbers = (readout.n_groups, readout.n_frames, readout.n_drops)
            if word in self.read_mode.upper() or self.macc == numbers:
                return answer
        return None


def exposure_facts(path, kind, header):
    """
    Read the facts about an exposure.

    Parameters
    ----------
    path : str or Path
        The file; its name is used where the header says nothing, and in messages.
    kind : {"nisp", "fits", "jwst"}
        Whose keywords to look for.
    header : mapping
        Cards of the primary header and of the first image.

    Returns
    -------
    ExposureFacts
        Nothing is required: what is missing is None or empty, with a warning if it matters.
    """
    name = Path(path).name
    named = _FILE_NAME.search(name)
    warnings = []
    macc = _macc(header)
    integration_time, exposure_time, how = _times(kind, header, macc)
    if how:
        warnings.append(f"{name}: {how}.")
    date = _text(header, "DATE-OBS", "DATE-BEG") or (named["utc"] if named else "")
    obs_id = _text(header, "OBS_ID", "OBSERVTN") or (named["obs_id"] if named else "")
    read_mode = _text(header, "READMODE", "READPATT")
    gain = _positive(header, *GAIN_KEYWORDS)
    if kind == "nisp":
        warnings += _nisp_warnings(name, header, date, obs_id, read_mode)
    return ExposureFacts(
        integration_time=integration_time,
        exposure_time=exposure_time,
        gain=1 / gain if gain and kind == "nisp" and gain < 1 else gain,
        unit=_text(header, "BUNIT") or "adu",
        obs_id=obs_id,
        date_obs=date,
        mjd=_mjd(header, date),
        read_mode=read_mode,
        macc=macc,
        warnings=tuple(warnings),
    )


def _nisp_warnings(name, header, date, obs_id, read_mode):
    absent = [
        keyword
        for keyword, value in (
            ("OBS_ID", obs_id),
            ("DATE-OBS", date),
            ("READMODE", read_mode),
        )
        if not value
    ]
    if absent:
        yield f"{name}: the header has no {', no '.join(absent)}; the products do without."
    image_type = _text(header, "IMG_T1")
    if image_type and "DARK" not in image_type.upper():
        yield f"{name}: IMG_T1 = {image_type} does not say DARK; it is treated as a dark."


def _times(kind, header, macc):
    """Times of integration and exposure, and the sentence, if any, that says what was assumed."""
    if kind == "nisp" and macc:
        frame_time = _positive(header, "FRTIME")
        readout = MaccReadout(*macc, **({"frame_time": frame_time} if frame_time else {}))
        how = f"the header has no FRTIME; frames are taken to be {readout.frame_time} s apart"
        return readout.integration_time, readout.exposure_time, None if frame_time else how
    if kind == "jwst":
        # a rate is the mean of all integrations: its cosmic rays were gathered in all of them
        time = _positive(header, "EFFEXPTM", "EFFINTTM", "EXPTIME", "EXPOSURE")
    else:
        time = _positive(header, "EXPTIME", "EXPOSURE", "EXP_TIME", "ITIME")
    how = None
    if time is None:
        how = (
            "the header gives no integration time, so there are no rates per second; set "
            "integration_time to have them"
        )
    elif kind == "nisp":
        how = "the header has no readout (NG, NR, ND); the integration time is EXPTIME"
    return time, time, how


def _macc(header):
    numbers = [_number(header.get(keyword)) for keyword in ("NG", "NR", "ND")]
    if None in numbers:
        return None
    groups, frames, drops = (int(number) for number in numbers)
    return (groups, frames, drops) if groups > 1 and frames > 0 and drops >= 0 else None


def _mjd(header, date):
    mjd = _positive(header, "MJD-OBS", "MJD-BEG", "MJD", "EXPSTART")
    if mjd is not None:
        return mjd
    try:
        start = datetime.fromisoformat(date.strip().rstrip("Z"))
    except ValueError:
        return None
    return (start.replace(tzinfo=None) - _MJD_ZERO).total_seconds() / 86400


def _text(header, *keywords):
    """Text of the first keyword that has any; numbers are taken as they are written."""
    for keyword in keywords:
        value = header.get(keyword)
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            text = str(value).strip()
            if text:
                return text
    return ""


def _positive(header, *keywords):
    """Value of the first keyword that is a positive number."""
    for keyword in keywords:
        value = _number(header.get(keyword))
        if value is not None and value > 0:
            return value
    return None


def _number(value):
    """Turn a card into a finite number; None if it is none, as an undefined or damaged card."""
    if isinstance(value, bool):
        return None
    try:
        value = float(value)
    except (TypeError, ValueError):
        return None
    return value if np.isfinite(value) else None
