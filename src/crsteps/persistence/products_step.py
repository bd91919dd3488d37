"""Products of PowerLawPersistenceStep: corrected files of NISP, predictions, figures."""

import logging
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from stdatamodels.jwst import datamodels

from crsteps.datamodels.naming import stem
from crsteps.datamodels.nisp_copies import copy_with_images, writing_planes
from crsteps.framework.output import atomic_path
from crsteps.framework.processes import map_in_processes
from crsteps.framework.saving import (
    check_products,
    output_folder,
    product_path,
    writing_product,
)
from crsteps.persistence.report import correction_line, correction_measurements
from crsteps.persistence.workers_step import process_detector

log = logging.getLogger(__name__)

PERSISTENCE, DO_NOT_USE, REFERENCE_PIXEL = 32, 1, 1 << 31
"""Data-quality flags of JWST."""


@dataclass(frozen=True)
class CorrectedDetector:
    """
    What was done with a detector of an exposure.

    Attributes
    ----------
    source, detector : str
        Names of exposure and detector.
    status : {"COMPLETE", "SKIPPED"}
        SKIPPED where no earlier exposure is known.
    measurements : dict of float
        Fractions of pixels and numbers, by the names of
        `crsteps.persistence.report.correction_measurements`; empty if it was skipped.
    """

    source: str
    detector: str
    status: str
    measurements: dict


@dataclass(frozen=True)
class PersistenceResult:
    """
    Result for files of NISP, or for several exposures.

    Attributes
    ----------
    detectors : tuple of CorrectedDetector
        Detectors of the exposures in the order of time.
    products : tuple of Path
        Files that were written.
    models : tuple of JwstDataModel
        Corrected models of JWST in the order of time, if they were not written.
    """

    detectors: tuple
    products: tuple = ()
    models: tuple = ()


def flags_of(result):
    """
    Give the flags of a correction as values of JWST.

    Parameters
    ----------
    result : crsteps.persistence.correction_result.CorrectionResult
        Result.

    Returns
    -------
    ndarray of uint32, shape (ny, nx)
        PERSISTENCE and DO_NOT_USE.
    """
    persistence = np.where(result.persistence_flag, np.uint32(PERSISTENCE), np.uint32(0))
    return persistence | np.where(result.bad_flag, np.uint32(DO_NOT_USE), np.uint32(0))


def set_flags(model, result):
    """
    Add the flags of a correction to ramps or rates.

    Parameters
    ----------
    model : JwstDataModel
        Model; its flags are replaced.
    result : crsteps.persistence.correction_result.CorrectionResult
        Result.
    """
    name = "pixeldq" if model.data.ndim == 4 else "dq"
    if model.hasattr(name):
        setattr(model, name, getattr(model, name) | flags_of(result))
        return
    shape = model.data.shape[-2:] if model.data.ndim == 4 else model.data.shape
    setattr(model, name, np.broadcast_to(flags_of(result), shape).copy())


def save_prediction(step, model, result):
    """
    Write the persistence that was predicted for an exposure of JWST.

    Parameters
    ----------
    step : PowerLawPersistenceStep
        Says where.
    model : JwstDataModel
        Corrected model.
    result : crsteps.persistence.correction_result.CorrectionResult
        Result in electrons.
    """
    product = datamodels.ImageModel(
        data=result.rate, err=np.sqrt(result.variance), dq=flags_of(result)
    )
    product.update(model)
    product.meta.bunit_data = product.meta.bunit_err = "ELECTRONS/s"
    step.save_model(product, suffix="persistence", force=True)


def save_figure(step, model, before, result):
    """
    Draw the correction of an exposure of JWST.

    Parameters
    ----------
    step : PowerLawPersistenceStep
        Says where.
    model : JwstDataModel
        Corrected model.
    before : ndarray, shape (ny, nx)
        Mean rate before the correction in e-/s.
    result : crsteps.persistence.correction_result.CorrectionResult
        Result in electrons.
    """
    from crsteps.persistence.figures import plot_correction

    with writing_product(step, model, "persistence_image", "png") as path:
        plot_correction(
            path,
            before=before,
            after=before - np.where(result.subtracted, result.rate, np.float32(0)),
            predicted=result.rate,
            thresholds=result.thresholds,
            fractions_before=result.fractions_before,
            fractions_after=result.fractions_after,
            title=str(model.meta.filename or ""),
        )


def check_names(step, model):
    """
    Refuse to replace the input with a product, before any work.

    Parameters
    ----------
    step : PowerLawPersistenceStep
        Says what is wanted and where.
    model : JwstDataModel
        Model.
    """
    ends = (
        (step.save_persistence, "persistence", "fits"),
        (step.save_figures, "persistence_image", "png"),
    )
    paths = [product_path(step, model, *end) for wanted, *end in ends if wanted]
    check_products(paths, step.inputs())


class NispProducts:
    """
    Products of an exposure of NISP: their names, which are checked before any work, and writing.

    Parameters
    ----------
    step : PowerLawPersistenceStep
        Says what is wanted and where.
    exposure : crsteps.persistence.exposures_step.Exposure
        Exposure that is corrected.
    corrected : sequence of str
        Detectors of which earlier exposures are known.

    Attributes
    ----------
    corrected : Path or None
        Corrected file.
    """

    def __init__(self, step, exposure, corrected):
        self.step, self.source, self.dark = step, exposure.source, exposure.given
        self.status = "COMPLETE" if corrected else "SKIPPED"
        name = step.search_attr("output_file") if step.n_wanted == 1 else None
        self._root = output_folder(step) / stem(name or self.dark.source)
        self.corrected = step.scratch_path if corrected else None
        if step.save_results:
            self.corrected = self._path(f"{step.suffix or step.class_alias}.fits")
        wanted = step.save_persistence and corrected
        self.prediction = self._path("persistence.fits") if wanted else None
        if corrected and self.prediction is None:
            self.prediction = step.scratch_prediction
        drawn = corrected if step.save_figures else ()
        self.figures = {name: self._path(f"persistence_image_{name}.png") for name in drawn}
        check_products(self.paths(), step.inputs())

    def _path(self, end):
        return self._root.with_name(f"{self._root.name}_{end}")

    def paths(self):
        """
        List the products.

        Returns
        -------
        list of Path
        """
        found = [self.corrected, self.prediction, *self.figures.values()]
        return [path for path in found if path is not None]

    def make(self, tasks):
        """
        Process the detectors and write the products, which appear together in the end.

        Parameters
        ----------
        tasks : sequence of DetectorTask
            Detectors.

        Returns
        -------
        dict of tuple
            For each detector its stimulus and what was done, a `CorrectedDetector`.
        """
        done, header = {}, {"history": self._history(), "cards": self._cards()}
        with ExitStack() as stack:
            aside = {path: stack.enter_context(atomic_path(path)) for path in self.paths()}
            tasks = [replace(t, figure=aside.get(self.figures.get(t.detector))) for t in tasks]
            outcomes = map_in_processes(
                process_detector, tasks, jobs=self.step.jobs, describe=lambda task: task.detector
            )
            stack.enter_context(closing(outcomes))  # whatever fails ends the processes
            add = None
            if self.prediction is not None:
                planes = writing_planes(aside[self.prediction], self.dark, **header)
                add = stack.enter_context(planes)
            images = self._images(outcomes, done, add)
            if self.corrected is None:
                for _ in images:
                    pass  # for the stimuli alone
            else:
                copy_with_images(aside[self.corrected], self.dark, images, **header)
        for path in self.paths():
            if path not in (self.step.scratch_path, self.step.scratch_prediction):
                log.info("Saved %s", path)
        return done

    def _history(self):
        # jobs change nothing in the products
        lines = self.step.make_record(self.status).lines(without=("jobs",))
        return [*lines, f"{self.step.class_alias}: input {Path(self.dark.source).name}"]

    def _cards(self):
        record = self.step.make_record(self.status)
        return {record.keyword: (self.status, f"crsteps {record.alias}")}

    def _images(self, outcomes, done, add):
        """Corrected images with their cards, one after the other; what is small is kept."""
        for outcome in outcomes:
            name, result = f"{self.source} {outcome.detector}", outcome.result
            status, measured = "SKIPPED", {}
            if result is None:
                log.warning("%s is skipped: no earlier exposure is known", name)
            else:
                status = "COMPLETE"
                log.info(correction_line(name, result, n_earlier=outcome.n_earlier))
                measured = correction_measurements(result, n_earlier=outcome.n_earlier)
            cards = {"PPSTATUS": (status, "correction of persistence")}
            for each in measured.values():
                cards[each["keyword"]] = (float(f"{each['value']:.6g}"), each["comment"])
            if add:
                add(outcome.detector, self._planes(outcome), cards)
            values = {key: each["value"] for key, each in measured.items()}
            summary = CorrectedDetector(self.source, outcome.detector, status, values)
            done[outcome.detector] = (outcome.stimulus, summary)
            yield outcome.detector, outcome.data, cards

    def _planes(self, outcome):
        """Predicted rate, its error and flags; zero where nothing is known of."""
        result = outcome.result
        if result is None:
            shape = self.dark.shape(outcome.detector)
            rate, error, flags = (np.zeros(shape, np.float32) for _ in range(3))
        else:
            rate, error, flags = result.rate, np.sqrt(result.variance), flags_of(result)
        return {"SCI": rate, "ERR": error, "DQ": flags.astype(np.uint16)}
