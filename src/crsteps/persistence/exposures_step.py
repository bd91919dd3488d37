"""Exposures of a night: which there are, of which detector, and when."""

import logging
from dataclasses import dataclass

from crsteps.datamodels.dark_files import open_dark
from crsteps.datamodels.dark_layout import is_nisp
from crsteps.datamodels.fits_files import open_fits
from crsteps.datamodels.inputs import expand_with_roles, is_path, model_name
from crsteps.datamodels.jwst_times import ExposureTiming
from crsteps.datamodels.naming import stem
from crsteps.datamodels.persistence_inputs import exposure_timing
from crsteps.errors import CrstepsInputError
from crsteps.persistence.group_charge import GroupTimes

log = logging.getLogger(__name__)

CORRECTED = (
    "{} has been corrected by powerlaw_persistence already: give the exposure as it was before."
)
"""Message about an exposure that must not be corrected twice."""


@dataclass(frozen=True)
class Exposure:
    """
    An exposure of a night.

    Attributes
    ----------
    given : path or JwstDataModel
        What the user gave.
    kind : {"nisp", "jwst"}
        Whose exposure it is.
    source : str
        Name that tells it from all other exposures, whatever product of it is given.
    timing : crsteps.datamodels.jwst_times.ExposureTiming
        When it was reset and read.
    detectors : tuple of str
        Names of its detectors.
    wanted : bool
        Whether it is to be corrected, or is there for its stimulus alone.
    """

    given: object
    kind: str
    source: str
    timing: ExposureTiming
    detectors: tuple
    wanted: bool

    @property
    def start(self):
        """First reset in s on the clock of the history."""
        return self.timing.start

    def times(self):
        """
        Give the times of the frames, and log what was assumed of them.

        Returns
        -------
        GroupTimes
        """
        for warning in self.timing.warnings:
            log.warning(warning)
        return GroupTimes.regular(**self.timing.frames)


def find_exposures(given, history, *, name_of):
    """
    List the exposures that are to be corrected and those before them, in the order of time.

    Parameters
    ----------
    given : path, JwstDataModel, list, ModelContainer or ModelLibrary
        What is to be corrected; members of an association that are not science are history.
    history : sequence of path
        Earlier exposures, and associations of them.
    name_of : callable
        Takes the stem of a file name of JWST and returns it without the suffix of the product.

    Returns
    -------
    list of Exposure
        Of files only headers are read. Those after the last exposure that is to be corrected, and
        of detectors that none of those has, are left out.

    Raises
    ------
    CrstepsInputError
        If nothing is to be corrected, a time or detector is missing, one is given twice, or there
        are exposures of NISP and of JWST.
    """
    roles = [(item, role == "science") for item, role in expand_with_roles(given)]
    roles += [(item, False) for item, _ in expand_with_roles(list(history))]
    found = [_exposure(item, wanted, name_of) for item, wanted in roles]
    wanted = [exposure for exposure in found if exposure.wanted]
    if not wanted:
        raise CrstepsInputError(
            f"{given} has no exposure to correct: give one, or an association with a member of "
            "exptype science."
        )
    if len({exposure.kind for exposure in found}) > 1:
        raise CrstepsInputError(
            "Exposures of NISP and of JWST are given together: give those of one instrument."
        )
    _check_twice(wanted)
    own = {(exposure.source, exposure.detectors) for exposure in wanted}
    detectors = set().union(*(exposure.detectors for exposure in wanted))
    last = max(exposure.start for exposure in wanted)
    kept, seen = list(wanted), set(own)
    for exposure in found:
        key = (exposure.source, exposure.detectors)
        if exposure.wanted or key in seen or not detectors & set(exposure.detectors):
            continue
        seen.add(key)
        if exposure.start > last:
            log.info("%s is not used: it began after the last exposure", exposure.source)
            continue
        kept.append(exposure)
    return sorted(kept, key=lambda exposure: (exposure.start, exposure.source))


def _exposure(item, wanted, name_of):
    """What a path or model says of itself in its headers."""
    if not is_path(item):
        name, detector = model_name(item), item.meta.instrument.detector
    else:
        with open_fits(item) as hdus:
            header, nisp = hdus[0].header.copy(), is_nisp(hdus)
        name, detector = str(item), header.get("DETECTOR")
        if nisp:
            if wanted and header.get("S_POWERL") == "COMPLETE":
                raise CrstepsInputError(CORRECTED.format(item))
            dark = open_dark(item, quality="none")
            source = stem(item).removesuffix("_powerlaw_persistence")
            return Exposure(dark, "nisp", source, exposure_timing(dark), dark.detectors, wanted)
    if not isinstance(detector, str) or not detector.strip():
        raise CrstepsInputError(
            f"{name} does not name its detector (DETECTOR): set the keyword, or leave it out."
        )
    detectors = (detector.strip().upper(),)
    return Exposure(item, "jwst", name_of(stem(name)), exposure_timing(item), detectors, wanted)


def _check_twice(wanted):
    seen = set()
    for exposure in wanted:
        key = (exposure.source, exposure.detectors)
        if key in seen:
            raise CrstepsInputError(
                f"{exposure.source} is given twice: give one product of each exposure."
            )
        seen.add(key)
