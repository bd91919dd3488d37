"""Products of SlewDarkCosmicsStep: their names, which are checked before any work, and writing."""

import importlib.util
import logging
import os
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.table import Table
from tqdm import tqdm

from crsteps import __version__
from crsteps.cosmic_rays.clusters import COLUMNS as CLUSTER_COLUMNS
from crsteps.datamodels.dark_products import DetectorImagesWriter, write_statistics
from crsteps.datamodels.naming import stem
from crsteps.errors import CrstepsInputError
from crsteps.framework.output import atomic_path
from crsteps.slew_dark.analysis import COLUMNS as PLACE_COLUMNS
from crsteps.slew_dark.statistics import merge
from crsteps.slew_dark.statistics_table import to_table

log = logging.getLogger(__name__)

# Parameter that asks for a product: kind and extension of its file.
_FILES = {
    "save_mask": ("crmask", "fits"),
    "save_clean": ("crclean", "fits"),
    "save_background": ("crbackground", "fits"),
    "save_clusters": ("crclusters", "parquet"),
    "save_root": ("crclusters", "root"),
    "save_statistics": ("crstats", "ecsv"),
}

# Images: what they are in the result for a detector, and the suffix of their extensions.
_IMAGES = {
    "crmask.fits": ("dq", "DQ"),
    "crclean.fits": ("cleaned", "SCI"),
    "crbackground.fits": ("background", "SCI"),
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
        return sum(not summary.reason for summary in self.detectors)


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
        Data-quality flags of the detector that was processed last.
    """

    def __init__(self, step, exposure, detectors):
        self.step, self.exposure, self.detectors = step, exposure, detectors
        self.dq = None
        wanted = [files for name, files in _FILES.items() if getattr(step, name)]
        root = self._root()
        self.paths = {
            f"{kind}.{extension}": self._folder() / f"{root}_{kind}.{extension}"
            for kind, extension in wanted
            if step.save_results
        }
        self._check_names()

    def _root(self):
        """Name of the input without its suffix."""
        if name := self.step.search_attr("output_file"):
            return stem(name)
        name = stem(self.exposure.source)
        return self.step.remove_suffix(name)[0] if self.exposure.kind == "jwst" else name

    def _folder(self):
        folder = self.step.search_attr("output_dir", default="") or ""
        return Path(os.path.expandvars(os.path.expanduser(folder)))

    def _check_names(self):
        if "crclusters.root" in self.paths and not importlib.util.find_spec("uproot"):
            raise CrstepsInputError(
                "save_root needs the package uproot: install crsteps[root], or set save_root to "
                "false."
            )
        inputs = self.step.inputs()
        for path in self.paths.values():
            if path.resolve() in inputs:
                raise CrstepsInputError(
                    f"A product would replace the input {path}: set output_dir to another folder."
                )

    def make(self, outcomes):
        """
        Write the products while the detectors are processed; they appear all together at the end.

        Parameters
        ----------
        outcomes : iterable of DetectorOutcome
            Detectors in their order; made when they are asked for.

        Returns
        -------
        SlewDarkResult
        """
        with ExitStack() as stack:
            aside = {
                name: stack.enter_context(atomic_path(path)) for name, path in self.paths.items()
            }
            history = self._history()
            small = self._write_images(outcomes, aside, history)
            result = self._result(small)
            self._write_tables(result, small, aside, history)
        for path in self.paths.values():
            log.info("Saved %s", path)
        return result

    def _write_images(self, outcomes, aside, history):
        """Write the images of one detector after the other; return the outcomes without them."""
        small = []
        with ExitStack() as stack:
            writers = {}
            for name, (_, suffix) in _IMAGES.items():
                if name in aside:
                    writer = DetectorImagesWriter(
                        aside[name], self.exposure, suffix=suffix, history=history
                    )
                    writers[name] = stack.enter_context(writer)
            for outcome in self._shown(outcomes):
                cards = _cards(outcome.analysis)
                for name, writer in writers.items():
                    image = getattr(outcome.analysis, _IMAGES[name][0])
                    writer.add(outcome.detector, image, cards)
                self.dq = outcome.analysis.dq
                small.append(outcome.without_images())
        return small

    def _history(self):
        alias, exposure = self.step.class_alias, self.exposure
        _, *parameters = self.step.history()  # the status is that of each detector, in its header
        return [
            f"crsteps {__version__} {alias}",
            *parameters,
            f"{alias}: input {Path(exposure.source).name}",
            f"{alias}: quality plane {exposure.quality_kind or 'none'} ({exposure.quality_reason})",
        ]

    def _shown(self, outcomes):
        """Outcomes, with a progress bar on a terminal and a line in the log for each."""
        number = len(self.detectors)
        if number > 1 and sys.stderr.isatty():
            outcomes = tqdm(outcomes, total=number, unit="detector")
        for i, outcome in enumerate(outcomes, start=1):
            analysis = outcome.analysis
            where = f"{outcome.detector} ({i} of {number})"
            if analysis.reason:
                log.warning("%s is skipped: %s", where, analysis.reason)
            else:
                log.info(
                    "%s: %d cosmic rays, %d pixels; offset %.1f, noise %.2f ADU, quality plane: %s",
                    where,
                    analysis.clusters.n_clusters,
                    analysis.clusters.index.size,
                    analysis.offset,
                    analysis.noise,
                    analysis.used_quality,
                )
            yield outcome

    def _result(self, outcomes):
        statistics = [outcome.analysis.statistics for outcome in outcomes]
        return SlewDarkResult(
            clusters=_cluster_table(outcomes),
            statistics=to_table(merge(statistics)),
            detectors=tuple(_summary(outcome) for outcome in outcomes),
            products=dict(self.paths),
        )

    def _write_tables(self, result, outcomes, aside, history):
        from crsteps.datamodels.cluster_tables import write_clusters_parquet, write_clusters_root

        meta = {"history": history}
        if path := aside.get("crclusters.parquet"):
            write_clusters_parquet(path, result.clusters, meta=meta)
        if path := aside.get("crclusters.root"):
            write_clusters_root(path, result.clusters, _pixels(outcomes), meta=meta)
        if path := aside.get("crstats.ecsv"):
            result.statistics.meta |= meta
            write_statistics(path, result.statistics)


def _cards(analysis):
    """Cards of the header of a detector."""
    cards = {"CRSTATUS": ("SKIPPED" if analysis.reason else "COMPLETE", "search for cosmic rays")}
    if analysis.reason:
        return cards | {"CRREASON": (analysis.reason, "why it was skipped")}
    return cards | {
        "CROFFSET": (analysis.offset, "[adu] offset removed for the search"),
        "CRNOISE": (analysis.noise, "[adu] median noise of a pixel"),
        "CRQUAL": (analysis.used_quality, "what was used of the quality plane"),
        "NCLUSTER": (analysis.clusters.n_clusters, "number of cosmic rays"),
        "NPMASKED": (analysis.clusters.index.size, "number of pixels flagged as hit"),
    }


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


def _cluster_table(outcomes):
    """One table of the clusters of all detectors."""
    described = {**CLUSTER_COLUMNS, **PLACE_COLUMNS}
    every = [outcome.analysis.clusters.columns for outcome in outcomes]
    table = Table()
    table["detector"] = np.repeat(
        [outcome.detector for outcome in outcomes], [len(columns["x"]) for columns in every]
    )
    table["detector"].description = "name of the detector"
    for name, (unit, description) in described.items():
        table[name] = np.concatenate([columns[name] for columns in every])
        table[name].unit = "adu" if unit == "data" else unit or None
        table[name].description = description
    return table


def _pixels(outcomes):
    """Pixels of all clusters: x, y and signal, and where each cluster begins."""
    ...
