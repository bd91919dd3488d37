"""Products of FitPersistenceStep: their names, which are checked before any work, and writing."""

import logging
import os
import shutil
import tempfile
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table

from crsteps.datamodels.dark_products import write_statistics
from crsteps.datamodels.naming import set_name, stem
from crsteps.datamodels.persistence_reference import write_persistence
from crsteps.errors import CrstepsInputError
from crsteps.framework.processes import map_in_processes
from crsteps.framework.saving import check_products, output_folder
from crsteps.persistence.fit import (
    AT_BOUND,
    HIT_EXCLUDED,
    NOT_CONVERGED,
    NOT_FITTED,
    POOR_FIT,
    SHRUNK,
)
from crsteps.persistence.fit_report import (
    DetectorReport,
    dark_table,
    detector_line,
    detector_table,
    held_out_line,
    level_lines,
)
from crsteps.persistence.fit_workers_step import IMAGES, MAPS, fit_detector

log = logging.getLogger(__name__)

_DETECTOR_FIGURES = ("maps", "decay", "held_out")
_QUALITY_BITS = [
    ("BIT1", NOT_FITTED, "too few darks, bad, or a reference pixel"),
    ("BIT2", NOT_CONVERGED, "the last step was not small"),
    ("BIT3", AT_BOUND, "slope at the end of its range"),
    ("BIT4", HIT_EXCLUDED, "a dark was left out as hit"),
    ("BIT5", SHRUNK, "slope told by the other pixels"),
    ("BIT6", POOR_FIT, "chi2 five sigma above its expectation"),
]
# A whole near-infrared detector of JWST; windows of it are put where they belong.
_FULL_JWST = 2048


@dataclass(frozen=True)
class FitPersistenceResult:
    """
    Result of a fit.

    Attributes
    ----------
    detectors : astropy.table.Table
        What was found on each detector.
    darks : astropy.table.Table
        Means of the darks before and after the correction.
    reports : tuple of DetectorReport
        The same, with the amplitudes and slopes by the charge of the illumination.
    products : dict of Path
        Files that were written, by the ends of their names.
    """

    detectors: Table
    darks: Table
    reports: tuple[DetectorReport, ...]
    products: dict

    @property
    def reference(self):
        """Path of the reference file; None if nothing was saved."""
        return self.products.get("fit_powerlaw_persistence.asdf")


class FitProducts:
    """
    Names of all products, which are checked before any work, and their writing.

    Parameters
    ----------
    step : FitPersistenceStep
        Says what is wanted and where.
    given : path or list of path
        Input as the user gave it.
    darks : list of SeriesDark
        The series.
    detectors : sequence of str
        Names of the detectors.
    """

    def __init__(self, step, given, darks, detectors):
        self.step, self.darks, self.detectors = step, darks, detectors
        output_file = step.search_attr("output_file")
        root = stem(output_file) if output_file else set_name(given, [d.source for d in darks])
        self.folder = output_folder(step)
        names = self._wanted() if step.save_results else []
        self.paths = {name: self.folder / f"{root}_{name}" for name in names}
        inputs = {Path(dark.source).resolve() for dark in darks} | step.inputs()
        check_products(self.paths.values(), inputs)

    def _wanted(self):
        """Ends of the names of the products that are wanted."""
        names = [f"{self.step.class_alias}.asdf"]
        if self.step.save_statistics:
            names += ["pfitstats.ecsv", "pfitdarks.ecsv"]
        names += ["pfitmaps.fits"] if self.step.save_maps else []
        if self.step.save_figures:
            names += [_figure(d, kind) for d in self.detectors for kind in _DETECTOR_FIGURES]
            names += ["pfitfig_dark_level.png"]
        return names

    def make(self, tasks, *, meta, cards):
        """
        Fit the detectors and write the products, which appear all together at the end.

        Parameters
        ----------
        tasks : sequence of FitTask
            Detectors.
        meta : dict
            Meta data of the reference.
        cards : dict
            Cards of the header of the images.

        Returns
        -------
        FitPersistenceResult

        Raises
        ------
        CrstepsInputError
            If no detector can be fitted, or the products cannot be written.
        """
        try:
            with ExitStack() as stack:
                room = stack.enter_context(self._room()) if self.paths else None
                aside = {name: room / path.name for name, path in self.paths.items()}
                tasks = [
                    replace(task, folder=room, figures=_figures(task, aside)) for task in tasks
                ]
                outcomes = map_in_processes(
                    fit_detector, tasks, jobs=self.step.jobs, describe=lambda task: task.detector
                )
                stack.enter_context(closing(outcomes))  # whatever fails ends the processes
                outcomes = list(_told(outcomes))
                result = self._result(outcomes)
                self._write(outcomes, result, aside, meta, cards)
                # of a detector that was skipped there is no figure
                written = {name: path for name, path in self.paths.items() if aside[name].exists()}
                for name, path in written.items():
                    os.replace(aside[name], path)
        except OSError as error:
            raise CrstepsInputError(
                f"The products cannot be written to {self.folder.absolute()} ({error.strerror}): "
                "set output_dir to a folder of your own with room enough."
            ) from error
        for path in written.values():
            log.info("Saved %s", path)
        return replace(result, products=written)

    @contextmanager
    def _room(self):
        """Folder for images of detectors and for products until all are complete."""
        self.folder.mkdir(parents=True, exist_ok=True)
        folder = tempfile.mkdtemp(prefix=".crsteps-", dir=self.folder)
        try:
            yield Path(folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _result(self, outcomes):
        reports = tuple(outcome.report for outcome in outcomes)
        reasons = {r.row["detector"]: r.row["reason"] for r in reports if r.row["reason"]}
        if len(reasons) == len(reports):
            first = next(iter(reasons))
            raise CrstepsInputError(
                f"No detector can be fitted; {first}: {reasons[first]}: check the darks."
            )
        return FitPersistenceResult(detector_table(reports), dark_table(reports), reports, {})

    def _write(self, outcomes, result, aside, meta, cards):
        fitted = [outcome for outcome in outcomes if outcome.curve is not None]
        for name, path in aside.items():
            if name.endswith(".asdf"):
                write_persistence(path, {o.detector: self._entry(o) for o in fitted}, meta=meta)
            elif name == "pfitmaps.fits":
                self._write_images(path, fitted, cards)
            elif name.endswith(".ecsv"):
                table = result.detectors if name == "pfitstats.ecsv" else result.darks
                table.meta |= {"inputs": [Path(d.name).name for d in self.darks], **meta}
                table.meta["history"] = self.step.history()
                write_statistics(path, table)
            elif name == "pfitfig_dark_level.png":
                from crsteps.persistence.held_out_figures import plot_dark_level

                checks = {r.row["detector"]: r.check for r in result.reports if r.check}
                plot_dark_level(path, checks, title=meta["source"])

    def _entry(self, outcome):
        """Entry of a detector; its images stay on disk until they are written."""
        images = {name: self._placed(outcome, name) for name in MAPS}
        return {
            "curve": outcome.curve,
            "reference_time": outcome.reference_time,
            "amplitude_scale": images["amplitude_scale"],
            "gamma_offset": images["gamma_offset"],
            "covariance": {
                "amplitude": images["variance_amplitude"],
                "gamma": images["variance_gamma"],
                "cross": images["cross"],
            },
            "saturation_level": self.step.saturation_level or np.inf,
            "forgetting_rate": self.step.forgetting_rate,
            "systematic": self.step.systematic,
        }

    def _placed(self, outcome, name):
        """Image of a detector; one of a window where it belongs on the whole detector."""
        image = np.load(outcome.task.path(name), mmap_mode="r")
        y, x = self.darks[0].corner
        if (y, x) == (0, 0):
            return image
        ny, nx = image.shape
        whole = np.full((max(_FULL_JWST, y + ny), max(_FULL_JWST, x + nx)), np.nan, image.dtype)
        whole[y : y + ny, x : x + nx] = image
        return whole

    def _write_images(self, path, fitted, cards):
        primary = fits.PrimaryHDU()
        for keyword, value in cards.items():
            primary.header[keyword] = value
        for line in self.step.history():
            primary.header.add_history(line)
        primary.writeto(path)
        many = self.darks[0].is_nisp
        for outcome in fitted:
            for name, unit in IMAGES.items():
                image = np.load(outcome.task.path(name), mmap_mode="r")
                header = fits.Header([("DETECTOR", outcome.detector), ("BUNIT", unit)])
                header["REFTIME"] = (outcome.reference_time, "[s] time of AMPLITUDE")
                header["EXTNAME"] = f"{outcome.detector}.{name}" if many else name
                if name == "QUALITY":
                    header.extend(_QUALITY_BITS)
                fits.append(path, np.asarray(image), header, verify=False)


def _told(outcomes):
    """Outcomes, with lines in the log for each."""
    for outcome in outcomes:
        report = outcome.report
        level = logging.WARNING if report.row["reason"] else logging.INFO
        log.log(level, detector_line(report))
        for line in [*level_lines(report), held_out_line(report)]:
            if line:
                log.info(line)
        yield outcome


def _figure(detector, kind):
    return f"pfitfig_{kind}_{detector}.png"


def _figures(task, aside):
    """Where to draw a detector."""
    paths = {kind: aside.get(_figure(task.detector, kind)) for kind in _DETECTOR_FIGURES}
    return {} if None in paths.values() else paths
