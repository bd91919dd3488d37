"""Everything that is done with one detector of a dark: the one function that processes call."""

from dataclasses import dataclass, field, replace

import numpy as np

from crsteps.cosmic_rays.clusters import Clusters, find_clusters
from crsteps.detector.nisp import DETECTORS, focal_plane_position, output_channel
from crsteps.slew_dark.cleaning import clean_image
from crsteps.slew_dark.detection import DetectionOptions, find_cosmic_rays
from crsteps.slew_dark.statistics import (
    DetectorStatistics,
    StatisticsOptions,
    detector_statistics,
)

# Columns of clusters that are added here: unit, description.
COLUMNS = {
    "channel": ("", "output channel that reads the centroid, from 0"),
    "peak_electrons": ("electron", "peak times the electrons per unit of the data"),
    "total_electrons": ("electron", "total times the electrons per unit of the data"),
    "x_mm": ("mm", "centroid on the focal plane, to the right of its centre; NaN if not of NISP"),
    "y_mm": ("mm", "centroid on the focal plane, above its centre; NaN if not of NISP"),
}

# Pixels along an axis that the filters of the detectors need.
_SMALLEST = 5

# The noise varies smoothly, or is that of a map: one pixel of so many tells its median.
_SAMPLE = 16

# Values of the JWST flags of the same names.
DO_NOT_USE, SATURATED, JUMP_DET, NON_SCIENCE = 1, 2, 4, 512


@dataclass(frozen=True)
class DetectorFrame:
    """
    What is known of a detector before the analysis; all images have the shape (ny, nx).

    Attributes
    ----------
    name : str
        Name of the detector, such as DET11.
    data : ndarray of float32
        Image [ADU], NaN where there is no value.
    missing : ndarray of bool
        No value, or flagged as unusable in the file.
    reference : ndarray of bool
        Reference pixels.
    saturated : ndarray of bool
        Saturated pixels. They are searched: what fills a pixel in a dark is charge.
    bad : ndarray of bool, optional
        Pixels of the bad-pixel map.
    quality : ndarray of uint8, optional
        Quality plane.
    quality_kind : {"chi2", "bit", None}
        What the quality plane holds.
    noise : ndarray of float, optional
        Noise of a pixel without charge [ADU].
    added_variance : ndarray of float, optional
        Variance that single pixels have besides, not negative [ADU squared].
    master_dark : ndarray of float, optional
        Dark without cosmic rays [ADU].
    truth : ndarray of bool, optional
        Pixels that were really hit.
    """

    name: str
    data: np.ndarray
    missing: np.ndarray
    reference: np.ndarray
    saturated: np.ndarray
    bad: np.ndarray | None = None
    quality: np.ndarray | None = None
    quality_kind: str | None = None
    noise: np.ndarray | None = None
    added_variance: np.ndarray | None = None
    master_dark: np.ndarray | None = None
    truth: np.ndarray | None = None

    @property
    def usable(self):
        """Pixels that are searched for cosmic rays: all companions have a value for them."""
        unusable = self.missing | self.reference
        if self.bad is not None:
            unusable |= self.bad
        if self.noise is not None:
            unusable |= ~(np.isfinite(self.noise) & (self.noise > 0))
        if self.master_dark is not None:
            unusable |= ~np.isfinite(self.master_dark)
        return ~unusable


@dataclass(frozen=True)
class AnalysisOptions:
    """
    Parameters of the analysis.

    Attributes
    ----------
    detection : DetectionOptions
        Detector, its thresholds, and the number of outputs.
    statistics : StatisticsOptions
        Integration time, area of a pixel, electrons per ADU, and the number of outputs.
    offset : float or None
        Constant in the data that is not signal [ADU]; None for the median of usable pixels.
    clean_method : str
        How flagged pixels are replaced, as for `crsteps.slew_dark.cleaning.clean_image`.
    """

    detection: DetectionOptions = field(default_factory=DetectionOptions)
    statistics: StatisticsOptions = field(default_factory=StatisticsOptions)
    offset: float | None = None
    clean_method: str = "median"


@dataclass(frozen=True)
class DetectorAnalysis:
    """
    Result for one detector; all images have the shape (ny, nx).

    Attributes
    ----------
    dq : ndarray of uint16
        Data-quality flags, values as in JWST products: DO_NOT_USE, SATURATED, JUMP_DET (hit by a
        cosmic ray), NON_SCIENCE (reference pixels).
    cleaned : ndarray of float32
        Image with the flagged pixels replaced, elsewhere as it was [ADU].
    background : ndarray of float32
        Background with the offset [ADU]; NaN without an analysis.
    offset, noise : float
        Offset and median of the noise [ADU]; NaN without an analysis.
    used_quality : str
        What was used of the quality plane: "chi2", "bit" or "none".
    clusters : Clusters
        Connected groups of flagged pixels; its columns include those of `analyse_detector`.
    statistics : DetectorStatistics
        Counts.
    reason : str
        Why the detector could not be searched; empty if it was. Then all pixels are DO_NOT_USE
        and counted as not good, the image is unchanged, and there are no clusters.
    """

    dq: np.ndarray
    cleaned: np.ndarray
    background: np.ndarray
    offset: float
    noise: float
    used_quality: str
    clusters: Clusters
    statistics: DetectorStatistics
    reason: str = ""


def analyse_detector(frame, *, options):
    """
    Find, remove, group and count the cosmic rays of one detector.

    Parameters
    ----------
    frame : DetectorFrame
        Image and what is known of it; not changed.
    options : AnalysisOptions
        Parameters.

    Returns
    -------
    DetectorAnalysis
        The columns of its clusters are those of `crsteps.cosmic_rays.clusters.COLUMNS`, and
        `COLUMNS`.

    Raises
    ------
    ValueError
        Options that contradict each other, or arrays of different shapes.
    """
    usable = frame.usable
    if reason := _why_not(frame.data, usable):
        return _not_searched(frame, options, reason)
    found = find_cosmic_rays(
        frame.data,
        usable=usable,
        quality=frame.quality,
        quality_kind=frame.quality_kind,
        electrons_per_adu=options.statistics.electrons_per_adu,
        noise=frame.noise,
        added_variance=frame.added_variance,
        master_dark=frame.master_dark,
        offset=options.offset,
        options=options.detection,
    )
    signal = frame.data - found.background
    clusters, statistics = _measured(frame, found.mask, signal, usable, options)
    return DetectorAnalysis(
        dq=_flags(frame, found.mask, usable),
        cleaned=clean_image(
            frame.data,
            mask=found.mask,
            usable=usable,
            background=found.background,
            method=options.clean_method,
            detector_image=found.cleaned,
        ),
        background=found.background,
        offset=float(found.offset),
        noise=float(np.median(found.noise[usable][::_SAMPLE])),
        used_quality=found.used_quality,
        clusters=clusters,
        statistics=statistics,
    )


def _why_not(data, usable):
    """Reason, of a few words, why nothing can be said of a detector; empty if there is none."""
    if min(data.shape) < _SMALLEST:
        return f"{data.shape[0]}x{data.shape[1]} pixels are too few"
    if not usable.any():
        return "no usable pixel"
    lowest = data.min(where=usable, initial=np.inf)
    if lowest == data.max(where=usable, initial=-np.inf):
        return f"all usable pixels are {lowest:g}"
    return ""


def _not_searched(frame, options, reason):
    """Result for a detector of which nothing can be said."""
    nothing = np.zeros(frame.data.shape, bool)
    clusters, statistics = _measured(frame, nothing, frame.data, nothing, options)
    return DetectorAnalysis(
        dq=_flags(frame, nothing, nothing),
        cleaned=frame.data,
        background=np.full(frame.data.shape, np.nan, np.float32),
        offset=float("nan"),
        noise=float("nan"),
        used_quality="none",
        clusters=clusters,
        statistics=statistics,
        reason=reason,
    )


def _measured(frame, mask, signal, usable, options):
    """Clusters and counts of flagged pixels."""
    clusters = find_clusters(
        mask, signal=signal, quality=frame.quality, usable=usable, reference=frame.reference
    )
    clusters = replace(clusters, columns=_with_places(clusters.columns, frame, options))
    statistics = detector_statistics(
        clusters,
        detector=frame.name,
        usable=usable,
        quality=frame.quality,
        quality_kind=frame.quality_kind,
        truth=frame.truth,
        options=options.statistics,
    )
    return clusters, statistics


def _flags(frame, hit, usable):
    """Data-quality flags of a detector."""
    dq = np.where(usable, np.uint16(0), np.uint16(DO_NOT_USE))
    dq[hit] |= JUMP_DET | DO_NOT_USE
    dq[frame.saturated] |= SATURATED | DO_NOT_USE
    dq[frame.reference] |= NON_SCIENCE
    return dq


def _with_places(columns, frame, options):
    """Columns of clusters with channel, electrons and place on the focal plane."""
    shape, gain = frame.data.shape, options.statistics.electrons_per_adu
    x, y = columns["x"], columns["y"]
    if frame.name in DETECTORS:
        x_mm, y_mm = focal_plane_position(frame.name, x, y, shape=shape)
    else:
        x_mm = y_mm = np.full(len(x), np.nan)
    return {
        **columns,
        "channel": output_channel(x, width=shape[1], n_outputs=options.statistics.n_outputs),
        "peak_electrons": columns["peak"] * gain,
        "total_electrons": columns["total"] * gain,
        "x_mm": x_mm,
        "y_mm": y_mm,
    }
