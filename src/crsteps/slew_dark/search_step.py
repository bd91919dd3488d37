"""What `SlewDarkCosmicsStep` does, imported when a step runs: other processes start meanwhile."""

import logging
import math
from dataclasses import fields

from crsteps.cosmic_rays.auxiliary import options_class
from crsteps.cosmic_rays.laplacian import LaplacianOptions
from crsteps.cosmic_rays.networks import CONN, DEEPCR, require_packages
from crsteps.datamodels.dark_companions import find_companion
from crsteps.datamodels.dark_files import open_dark
from crsteps.datamodels.products import set_flags
from crsteps.detector import nisp
from crsteps.detector.macc import PHOTOMETRIC, MaccReadout
from crsteps.errors import CrstepsInputError
from crsteps.framework.references import find_reference
from crsteps.slew_dark.analysis import JUMP_DET, AnalysisOptions
from crsteps.slew_dark.detection import WITHOUT_CLEANED_IMAGE, DetectionOptions
from crsteps.slew_dark.products_step import Products
from crsteps.slew_dark.report import statistics_cards
from crsteps.slew_dark.statistics import StatisticsOptions
from crsteps.slew_dark.workers_step import DetectorTask

log = logging.getLogger(__name__)

_COMPANIONS = ("bad_pixel_mask", "master_dark", "noise_map", "persistence", "truth")
_MICROMETRE = 1e-4  # cm
# Detectors that are networks: what they need, and the parameters of the step for their options.
_NETWORKS = {
    "deepcr": (DEEPCR, {"mask": "dc_mask", "threshold": "dc_threshold"}),
    "conn": (CONN, {"model": "nn_model", "threshold": "nn_threshold"}),
}


def search(step, item, helpers):
    """
    Find the cosmic rays of a dark and write the products.

    Parameters
    ----------
    step : SlewDarkCosmicsStep
        Says what is wanted; gets its ``result``.
    item : path or JwstDataModel
        The dark.
    helpers : crsteps.framework.processes.Helpers
        Processes that share the work.

    Returns
    -------
    SlewDarkResult or JwstDataModel
        As of `SlewDarkCosmicsStep.process`.
    """
    offset = _offset(step)
    exposure = open_dark(
        item,
        quality_suffix=step.quality_suffix,
        extension=step.extension,
        quality=step.quality,
    )
    for warning in exposure.warnings:
        if not (step.integration_time and "set integration_time" in warning):
            log.warning(warning)
    options = _options(step, exposure, offset)
    tasks = _tasks(step, exposure, options)
    products = Products(step, exposure, [task.detector for task in tasks])
    step.result = products.make(tasks, helpers)
    for line in step.result.lines():
        log.info(line)
    if not step.result.n_searched:
        log.warning("slew_dark_cosmics is skipped: no detector of %s can be searched", item)
    return step.result if exposure.kind != "jwst" else _flagged(step, item, products.dq)


def _offset(step):
    """Offset as a number; None to measure it."""
    if step.offset == "auto":
        return None
    try:
        offset = float(step.offset)
    except (TypeError, ValueError):
        offset = math.nan
    if not math.isfinite(offset):
        raise CrstepsInputError(
            f"offset = {step.offset} is neither a number (ADU) nor auto: set it to one of them."
        )
    return offset


def _options(step, exposure, offset):
    """Parameters of the analysis, with what the header or the instrument knows."""
    is_nisp = exposure.kind == "nisp"
    pitch = step.pixel_pitch or (nisp.PIXEL_PITCH / _MICROMETRE if is_nisp else None)
    time = step.integration_time or exposure.exposure_time
    if pitch is None:
        log.warning("the size of a pixel is not known: rates are NaN; set pixel_pitch")
    gain = step.electrons_per_adu or exposure.gain_header
    if gain is None:
        gain = nisp.ELECTRONS_PER_ADU if is_nisp else 1.0
        if not is_nisp:
            log.warning("no gain in the header: 1 e-/ADU is taken; set electrons_per_adu")
    n_outputs = step.n_outputs or (nisp.N_OUTPUTS if is_nisp else 1)
    return AnalysisOptions(
        detection=_detection(step, n_outputs, exposure.macc),
        statistics=StatisticsOptions(
            integration_time=time,
            pixel_area_cm2=None if pitch is None else (pitch * _MICROMETRE) ** 2,
            n_outputs=n_outputs,
            electrons_per_adu=gain,
        ),
        offset=offset,
        clean_method=step.clean_method,
    )


def _detection(step, n_outputs, macc):
    """Options of the detection; thresholds that contradict each other are refused."""
    for quantity in ("significance", "quality"):
        seed, grow = f"seed_{quantity}", f"grow_{quantity}"
        if getattr(step, grow) > getattr(step, seed):
            raise CrstepsInputError(
                f"{grow} = {getattr(step, grow):g} is above {seed} = {getattr(step, seed):g}: "
                f"set {grow} to at most {seed}."
            )
    if step.clean_method == "detector" and step.detector in WITHOUT_CLEANED_IMAGE:
        raise CrstepsInputError(
            f"clean_method = detector takes the image that the detector cleans, and detector = "
            f"{step.detector} makes none: set one of them to another value."
        )
    if step.psfsize % 2 == 0:
        raise CrstepsInputError(f"psfsize = {step.psfsize} is even: set it to an odd number.")
    names = [item.name for item in fields(LaplacianOptions) if item.name != "gain"]
    try:
        return DetectionOptions(
            detector=step.detector,
            seed_significance=step.seed_significance,
            grow_significance=step.grow_significance,
            seed_quality=step.seed_quality,
            grow_quality=step.grow_quality,
            n_outputs=n_outputs,
            readout=MaccReadout(*macc) if macc else PHOTOMETRIC,
            laplacian=LaplacianOptions(**{name: getattr(step, name) for name in names}),
            network=_network(step),
        )
    except (ValueError, ModuleNotFoundError) as error:
        raise CrstepsInputError(f"detector = {step.detector}: {error}.") from None


def _network(step):
    """Parameters of the network that is wanted, if one is; its packages must be there."""
    if step.detector not in _NETWORKS:
        return None
    family, names = _NETWORKS[step.detector]
    require_packages(family)
    values = {option: getattr(step, name) for option, name in names.items()}
    return options_class(step.detector)(**values)


def _tasks(step, exposure, options):
    """One task for each detector that is wanted, its companions found and checked."""
    wanted = [str(name).upper() for name in step.detectors or exposure.detectors]
    known = {name.upper() for name in exposure.detectors}
    if unknown := [name for name in wanted if name not in known]:
        raise CrstepsInputError(
            f"detectors: {exposure.source} has no {unknown[0]}; choose from "
            f"{', '.join(exposure.detectors)}."
        )
    if step.persistence and not exposure.integration_time:
        raise CrstepsInputError(
            f"persistence: the header of {exposure.source} does not tell in what time charge "
            "was collected, without which the noise of the persistence is not known: leave "
            "persistence out."
        )
    narrowest = min(exposure.shape(name)[1] for name in exposure.detectors)
    if options.statistics.n_outputs > narrowest:
        raise CrstepsInputError(
            f"n_outputs = {options.statistics.n_outputs} outputs cannot share the {narrowest} "
            f"columns of {exposure.source}: set n_outputs to the number there is."
        )
    paths = {
        name: find_reference(step, None, name, parameter=name).path
        for name in _COMPANIONS
        if getattr(step, name)
    }
    return [
        DetectorTask(
            exposure=exposure.alone(name),
            detector=name,
            options=options,
            companions=_companions(paths, name, exposure.shape(name)),
        )
        for name in exposure.detectors
        if name.upper() in wanted
    ]


def _flagged(step, given, dq):
    """Model with cosmic rays flagged, and what was done recorded."""
    model = step.prepare_output(given)
    if not step.result.n_searched:
        return step.record_status(model, "SKIPPED")
    set_flags(model, (dq & JUMP_DET) != 0, ["JUMP_DET", "DO_NOT_USE"])
    step.measurements = {
        keyword.lower(): {"value": value, "keyword": keyword, "comment": comment}
        for keyword, (value, comment) in statistics_cards(step.result.statistics[0]).items()
    }
    return step.record_status(model)


def _companions(paths, detector, shape):
    """Where the images that go with a detector are."""
    found = {
        what: find_companion(path, detector, shape=shape, what=what) for what, path in paths.items()
    }
    if path := paths.get("persistence"):
        found["persistence_error"] = find_companion(
            path, detector, shape=shape, what="persistence", suffix="ERR"
        )
    return found
