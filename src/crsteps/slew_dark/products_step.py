"""Products of SlewDarkCosmicsStep: their names, which are checked before any work, and writing."""

import importlib.util
import logging
import sys
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from astropy.table import Table
from tqdm import tqdm

from crsteps.cosmic_rays.clusters import COLUMNS as CLUSTER_COLUMNS
from crsteps.datamodels.cluster_tables import write_clusters_parquet, write_clusters_root
from crsteps.datamodels.dark_products import DetectorImagesWriter, write_statistics
from crsteps.datamodels.naming import stem
from crsteps.errors import CrstepsInputError
from crsteps.framework.output import atomic_path
from crsteps.framework.processes import map_in_processes
from crsteps.framework.saving import check_products, output_folder
from crsteps.slew_dark.analysis import COLUMNS as PLACE_COLUMNS
from crsteps.slew_dark.report import detector_cards, detector_line, detector_row, summary
from crsteps.slew_dark.statistics import merge
from crsteps.slew_dark.statistics_table import to_table
from crsteps.slew_dark.workers_step import process_detector

log = logging.getLogger(__name__)

# Parameter that asks for a product, and the end of its name.
_FILES = {
    "save_mask": "crmask.fits",
    "save_clean": "crclean.fits",
    "save_background": "crbackground.fits",
    "save_clusters": "crclusters.parquet",
    "save_root": "crclusters.root",
    "save_statistics": "crstats.ecsv",
}
# Images: what they are in the result for a detector, the suffix of their extensions, their type.
_IMAGES = {
    "crmask.fits": ("dq", "DQ", np.uint16),
    "crclean.fits": ("cleaned", "SCI", np.float32),
    "crbackground.fits": ("background", "SCI", np.float32),
}


@dataclass(frozen=True)
class DetectorSummary:
    """
    What was done with a detector.

    Attributes
    ----------
    detector : str
        Its name.
    reason : str
        Why it was skipped; empty if it was searched.
    n_clusters, n_flagged : int
        Cosmic rays, and pixels flagged as hit by them.
    offset, noise : float
        Offset that was removed and median noise [ADU]; NaN if it was skipped.
    used_quality : str
        How the quality plane was used.
    """

    detector: str
    reason: str
    n_clusters: int
    n_flagged: int
    offset: float
    noise: float
    used_quality: str


@dataclass(frozen=True)
class SlewDarkResult:
    """
    Cosmic rays of a dark.

    Attributes
    ----------
    clusters : astropy.table.Table
        One row for each cosmic ray.
    statistics : astropy.table.Table
        Counts, rates and distributions of exposure, detectors and channels.
    detectors : tuple of DetectorSummary
        Detectors in the order of the file.
    products : dict of Path
        Files that were written, by the ends of their names, such as ``crmask.fits``.
    """

    clusters: Table
    statistics: Table
    detectors: tuple
    products: dict

    @property
    def n_searched(self):
        """Number of detectors that were searched."""
        return sum(not detector.reason for detector in self.detectors)

    def lines(self):
        """
        Tell what was found.

        Returns
        -------
        list of str
            Lines for the log.
        """
        return summary(
            self.statistics,
            used_quality={d.detector: d.used_quality for d in self.detectors if not d.reason},
            skipped={d.detector: d.reason for d in self.detectors if d.reason},
        )


class Products:
    """
    Names of all products, which are checked before any work, and their writing.

    Parameters
    ----------
    step : SlewDarkCosmicsStep
        Says what is wanted and where.
    exposure : DarkExposure
        The dark.
    detectors : sequence of str
        Names of the detectors that are processed.

    Attributes
    ----------
    dq : ndarray of uint16 or None
        Data-quality flags of the only detector of a JWST image.
    """

    def __init__(self, step, exposure, detectors):
        self.step, self.exposure, self.detectors = step, exposure, detectors
        self.dq = None
        root = self._root()
        names = self._wanted() if step.save_results else []
        self.paths = {name: output_folder(self.step) / f"{root}_{name}" for name in names}
        self._check_names()

    def _wanted(self):
        """Ends of the names of the products that are wanted."""
        names = [name for parameter, name in _FILES.items() if getattr(self.step, parameter)]
        if self.step.save_figures:
            names += [_figure_name(detector) for detector in self.detectors]
            names += ["crfig_clusters.png", "crfig_distributions.png"]
            names += ["crfig_focal_plane.png"] if self.exposure.kind == "nisp" else []
        return names

    def _root(self):
        """Name of the input without its suffix."""
        if name := self.step.search_attr("output_file"):
            return stem(name)
        name = stem(self.exposure.source)
        return self.step.remove_suffix(name)[0] if self.exposure.kind == "jwst" else name

    def _check_names(self):
        if "crclusters.root" in self.paths and not all(
            importlib.util.find_spec(package) for package in ("uproot", "awkward")
        ):
            raise CrstepsInputError(
                "save_root needs the packages uproot and awkward: pip install 'crsteps[root]', or "
                "set save_root to false."
            )
        check_products(self.paths.values(), self.step.inputs())

    def make(self, tasks, helpers):
        """
        Process the detectors and write the products, which appear all together at the end.

        Parameters
        ----------
        tasks : sequence of DetectorTask
            Detectors.
        helpers : crsteps.framework.processes.Helpers
            Processes that share the work.

        Returns
        -------
        SlewDarkResult
        """
        with ExitStack() as stack:
            aside = {
                name: stack.enter_context(atomic_path(path)) for name, path in self.paths.items()
            }
            history = self._history()
            writers = {
                attribute: stack.enter_context(
                    DetectorImagesWriter(
                        aside[name],
                        self.exposure,
                        self.detectors,
                        suffix=suffix,
                        dtype=dtype,
                        history=history,
                    )
                )
                for name, (attribute, suffix, dtype) in _IMAGES.items()
                if name in aside
            }
            tasks = [self._with_places(task, writers, aside) for task in tasks]
            outcomes = map_in_processes(
                process_detector, tasks, jobs=1, describe=lambda t: t.detector, helpers=helpers
            )
            stack.enter_context(closing(outcomes))
            if "crclusters.parquet" in aside:
                # needed at the end; now the other processes are still starting
                import pyarrow.parquet  # noqa: F401
            outcomes = self._collected(outcomes, writers)
            result = self._result(outcomes)
            self._write_tables(result, outcomes, aside, history)
            self._draw(result, outcomes, aside)
        for path in self.paths.values():
            log.info("Saved %s", path)
        return result

    def _with_places(self, task, writers, aside):
        """Task that knows where to write what is wanted."""
        return replace(
            task,
            places={name: writer.places[task.detector] for name, writer in writers.items()},
            keep_dq=self.exposure.kind == "jwst",
            figure=aside.get(_figure_name(task.detector)),
        )

    def _collected(self, outcomes, writers):
        """All outcomes, and what was found in the headers of the images."""
        collected = []
        for outcome, row in self._shown(outcomes):
            if writers:
                cards = detector_cards(outcome.analysis, unit=self.exposure.unit, row=row)
                for writer in writers.values():
                    writer.add_header(outcome.detector, cards)
            self.dq = outcome.analysis.dq
            collected.append(outcome)
        return collected

    def _history(self):
        alias, exposure = self.step.class_alias, self.exposure
        # The status is that of each detector, in its header; jobs change nothing in the products.
        title, *parameters = self.step.make_record().lines(without=("jobs",))
        return [
            title.rpartition(":")[0],
            *parameters,
            f"{alias}: input {Path(exposure.source).name}",
            f"{alias}: quality plane {exposure.quality_kind or 'none'} ({exposure.quality_reason})",
        ]

    def _shown(self, outcomes):
        """
        Outcomes and their rows of statistics, with a line in the log for each.

        On a terminal a progress bar comes first.
        """
        number = len(self.detectors)
        has_bar = number > 1 and sys.stderr.isatty()
        told = []
        for outcome in tqdm(outcomes, total=number, unit="detector", disable=not has_bar):
            level = logging.WARNING if outcome.analysis.reason else logging.INFO
            row = detector_row(outcome.analysis)
            line = detector_line(
                outcome.detector, outcome.analysis, unit=self.exposure.unit, row=row
            )
            told.append((level, line))
            if not has_bar:
                log.log(*told.pop())
            yield outcome, row
        for line in told:
            log.log(*line)

    def _result(self, outcomes):
        statistics = [outcome.analysis.statistics for outcome in outcomes]
        return SlewDarkResult(
            clusters=_cluster_table(outcomes, unit=self.exposure.unit),
            statistics=to_table(merge(statistics)),
            detectors=tuple(_summary(outcome) for outcome in outcomes),
            products=dict(self.paths),
        )

    def _write_tables(self, result, outcomes, aside, history):
        exposure = self.exposure
        meta = {
            "input": Path(exposure.source).name,
            "obs_id": exposure.obs_id,
            "date_obs": exposure.date_obs,
            "read_mode": exposure.read_mode,
            "history": history,
        }
        if path := aside.get("crclusters.parquet"):
            write_clusters_parquet(path, result.clusters, meta=meta)
        if path := aside.get("crclusters.root"):
            names = ("x", "y", "signal")
            pixels = {name: np.concatenate([o.pixels[name] for o in outcomes]) for name in names}
            write_clusters_root(path, result.clusters, pixels, meta=meta)
        if path := aside.get("crstats.ecsv"):
            result.statistics.meta |= meta
            write_statistics(path, result.statistics)

    def _draw(self, result, outcomes, aside):
        """Figures of the exposure; those of the detectors were drawn by their processes."""
        if not self.step.save_figures:
            return
        from crsteps.slew_dark.distribution_figures import plot_distributions
        from crsteps.slew_dark.figures import plot_focal_plane
        from crsteps.slew_dark.gallery_figures import plot_gallery

        style = {"unit": self.exposure.unit, "title": Path(self.exposure.source).name}
        thumbnails = [o.sketch.thumbnail for o in outcomes if o.sketch and o.sketch.thumbnail]
        for name, path in aside.items():
            if name == "crfig_focal_plane.png":
                plot_focal_plane(path, thumbnails, **style)
            elif name == "crfig_clusters.png":
                plot_gallery(path, [c for o in outcomes for c in o.sketch.cutouts], **style)
            elif name == "crfig_distributions.png":
                plot_distributions(path, result.statistics, title=style["title"])


def _figure_name(detector):
    return f"crfig_{detector}.png"


def _summary(outcome):
    analysis = outcome.analysis
    return DetectorSummary(
        detector=outcome.detector,
        reason=analysis.reason,
        n_clusters=analysis.clusters.n_clusters,
        n_flagged=analysis.clusters.index.size,
        offset=analysis.offset,
        noise=analysis.noise,
        used_quality=analysis.used_quality,
    )


def _cluster_table(outcomes, *, unit):
    """One table of the clusters of all detectors."""
    every = [outcome.analysis.clusters.columns for outcome in outcomes]
    names = [outcome.detector for outcome in outcomes]
    table = Table({"detector": np.repeat(names, [len(columns["x"]) for columns in every])})
    table["detector"].description = "name of the detector"
    for name, (of_column, description) in {**CLUSTER_COLUMNS, **PLACE_COLUMNS}.items():
        table[name] = np.concatenate([columns[name] for columns in every])
        table[name].unit = unit if of_column == "data" else of_column or None
        table[name].description = description
    return table
