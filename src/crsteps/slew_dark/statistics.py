"""
Counts of cosmic rays in a dark, per output channel, detector and exposure.

Everything kept here is a sum over pixels, clusters or groups of touching pixels, so that the sums
of the channels are those of the detector and the sums of the detectors those of the exposure.
Rates, fractions and their errors are made of the sums in `crsteps.slew_dark.statistics_table`.
"""

from dataclasses import dataclass, fields

import numpy as np
from scipy import ndimage

from crsteps.cosmic_rays.hysteresis import EIGHT_CONNECTED
from crsteps.cosmic_rays.shapes import SHAPES
from crsteps.detector.nisp import N_OUTPUTS, output_channel

# Bins hold lower <= value < upper.
SIZE_EDGES = (1, 2, 3, 4, 5, 6, 8, 11, 16, 26, 51, 101, np.inf)
"""Edges of the bins of the number of pixels of a cluster."""

INTENSITY_EDGES = (-np.inf, *(float(f"{10 ** (k / 4):.4g}") for k in range(4, 25)), np.inf)
"""Edges of the bins of the total intensity of a cluster [e-]: four per decade from 10 to 1e6."""


@dataclass(frozen=True)
class StatisticsOptions:
    """
    What the counts of an exposure are based on.

    Attributes
    ----------
    integration_time : float or None
        Time during which hits leave charge that is seen, s; None if it is not known: rates are
        then NaN. For MACC it lasts from the reset to the last frame
        (`crsteps.detector.macc.MaccReadout.exposure_time`): the time from the first group to the
        last is shorter, and rates would be a quarter too high with it.
    pixel_area_cm2 : float or None
        Area of a pixel, cm2; None if it is not known: rates are then NaN.
    n_outputs : int
        Output channels of a detector, which share its columns equally.
    electrons_per_adu : float
        Electrons per unit of the data.
    onboard_threshold : float
        Quality factor above which a pixel counts as flagged on board; a plane of one bit has
        flags already.
    """

    integration_time: float | None = None
    pixel_area_cm2: float | None = None
    n_outputs: int = N_OUTPUTS
    electrons_per_adu: float = 1.0
    onboard_threshold: float = 49.0

    def __post_init__(self):
        for name in ("integration_time", "pixel_area_cm2", "electrons_per_adu"):
            value = getattr(self, name)
            if value is not None and not (np.isfinite(value) and value > 0):
                raise ValueError(f"{name} must be positive and finite, got {value}")
        if self.n_outputs < 1:
            raise ValueError(f"n_outputs must be at least 1, got {self.n_outputs}")


@dataclass(frozen=True)
class AgreementSums:
    """
    Sums that compare the flagged pixels with those of another mask, of each channel.

    Pixels are good ones and counted in their own channel. A group is connected pixels that either
    mask flags; it is counted in the channel of its centroid. The products tell how far the pixels
    of a hit are found or missed together, which the errors of the fractions depend on.

    Attributes
    ----------
    n_ours, n_other, n_both : ndarray of int64, shape (n_channels,)
        Pixels flagged by the detection, by the other mask, and by both.
    groups_ours, groups_other, groups : ndarray of int64
        Groups with pixels flagged by the detection, with pixels flagged by the other mask, all.
    ours_ours, other_other, both_both, ours_both, other_both, ours_other : ndarray of int64
        Sums over the groups of the products of their numbers of such pixels.
    """

    n_ours: np.ndarray
    n_other: np.ndarray
    n_both: np.ndarray
    groups_ours: np.ndarray
    groups_other: np.ndarray
    groups: np.ndarray
    ours_ours: np.ndarray
    other_other: np.ndarray
    both_both: np.ndarray
    ours_both: np.ndarray
    other_both: np.ndarray
    ours_other: np.ndarray

    @classmethod
    def none(cls, n_channels):
        """
        Give the sums where there is nothing to compare with.

        Parameters
        ----------
        n_channels : int
            Number of channels.

        Returns
        -------
        AgreementSums
            Zeros, from which every fraction is NaN.
        """
        return cls(*(np.zeros(n_channels, dtype=np.int64) for _ in fields(cls)))


@dataclass(frozen=True)
class DetectorStatistics:
    """
    Counts of one detector, each of its channels in turn.

    Attributes
    ----------
    detector : str
        Name of the detector.
    counts : dict of ndarray, shape (n_channels, ...)
        Named in `count_clusters`, with the pixels ``n_good`` and ``n_flagged``.
    onboard : AgreementSums
        Against the on-board flags; zeros without a quality plane.
    truth : AgreementSums or None
        Against the true hits; None without a truth.
    criterion : str
        What counts as an on-board flag.
    options : StatisticsOptions
        What the counts are based on.
    """

    detector: str
    counts: dict
    onboard: AgreementSums
    truth: AgreementSums | None
    criterion: str
    options: StatisticsOptions

    @property
    def n_channels(self):
        """Number of output channels."""
        return self.counts["n_good"].size


@dataclass(frozen=True)
class ExposureStatistics:
    """
    Counts of the detectors of an exposure.

    Attributes
    ----------
    detectors : tuple of DetectorStatistics
        In the order of the file.
    """

    detectors: tuple

    @property
    def options(self):
        """What the counts are based on, the same for all detectors."""
        return self.detectors[0].options

    def totals(self):
        """
        Sum the counts over all channels of all detectors.

        Returns
        -------
        dict of ndarray
            As `DetectorStatistics.counts`, without the axis of the channels.
        """
        counts = [each.counts for each in self.detectors]
        return {name: sum(each[name].sum(axis=0) for each in counts) for name in counts[0]}


def detector_statistics(
    clusters,
    *,
    detector="IMAGE",
    usable=None,
    quality=None,
    quality_kind=None,
    truth=None,
    options=None,
):
    """
    Count the cosmic rays of one detector.

    Parameters
    ----------
    clusters : crsteps.cosmic_rays.clusters.Clusters
        Clusters of the flagged pixels.
    detector : str, optional
        Name of the detector.
    usable : ndarray of bool, shape (ny, nx), optional
        Good pixels: light-sensitive, not bad, with data. Only they are counted as pixels; None:
        all are good.
    quality : ndarray, shape (ny, nx), optional
        On-board quality plane.
    quality_kind : {"chi2", "bit"}, optional
        Whether `quality` is the quality factor or one bit; needed with `quality`.
    truth : ndarray of bool, shape (ny, nx), optional
        Pixels that were hit.
    options : StatisticsOptions, optional
        What the counts are based on.

    Returns
    -------
    DetectorStatistics

    Raises
    ------
    ValueError
        Arrays of different shapes, or a quality plane without its kind.
    """
    options = options or StatisticsOptions()
    shape = clusters.labels.shape
    for name, plane in {"usable": usable, "quality": quality, "truth": truth}.items():
        if plane is not None and np.shape(plane) != shape:
            raise ValueError(f"{name} has the shape {np.shape(plane)}, the clusters {shape}")
    usable = np.ones(shape, dtype=bool) if usable is None else np.asarray(usable, dtype=bool)
    channels = output_channel(np.arange(shape[1]), width=shape[1], n_outputs=options.n_outputs)
    flags, criterion = _onboard_flags(quality, quality_kind, options.onboard_threshold)
    flagged = np.zeros(shape, dtype=bool)
    flagged.ravel()[clusters.index] = True
    flagged &= usable
    counts = {
        "n_good": _columns_per_channel(channels, shape[0], ~usable, options.n_outputs),
        "n_flagged": _pixels_per_channel(channels, flagged, options.n_outputs),
    }
    counts |= count_clusters(clusters.columns, width=shape[1], options=options)
    return DetectorStatistics(
        detector=detector,
        counts=counts,
        onboard=_compare(flagged, flags, usable, channels, options.n_outputs),
        truth=None
        if truth is None
        else _compare(flagged, np.asarray(truth, dtype=bool), usable, channels, options.n_outputs),
        criterion=criterion,
        options=options,
    )


def merge(statistics):
    """
    Join the counts of the detectors of one exposure.

    Parameters
    ----------
    statistics : sequence of DetectorStatistics
        One or more detectors, each once.

    Returns
    -------
    ExposureStatistics

    Raises
    ------
    ValueError
        No detector, one of them twice, or counts that are based on different options.
    """
    statistics = tuple(statistics)
    if not statistics:
        raise ValueError("there is no detector to make statistics of")
    names = [each.detector for each in statistics]
    if len(set(names)) < len(names):
        raise ValueError(f"a detector is given twice: {', '.join(names)}")
    if any(each.options != statistics[0].options for each in statistics):
        raise ValueError("the counts of the detectors are based on different options")
    return ExposureStatistics(statistics)


def count_clusters(columns, *, width, options):
    """
    Count clusters in the channel of their centroid, those that touch the edge among them.

    Parameters
    ----------
    columns : dict of ndarray
        Columns of `crsteps.cosmic_rays.clusters.Clusters`.
    width : int
        Columns of the image.
    options : StatisticsOptions
        Number of channels and electrons per unit of the data.

    Returns
    -------
    dict of ndarray of int64
        Of each channel: ``n_clusters``; ``n_multi`` of more than one pixel; ``n_edge`` touching
        the edge; ``n_point`` and so on of each shape; ``cluster_pixels`` and
        ``cluster_pixels_squared``, sums of the number of pixels and of its square; and
        ``size_counts`` and ``intensity_counts`` in the bins of `SIZE_EDGES` and
        `INTENSITY_EDGES`, without clusters whose total is NaN.
    """
    channel = output_channel(columns["x"], width=width, n_outputs=options.n_outputs)
    n_pixels = columns["n_pixels"].astype(np.int64)

    def count(values):
        # Whole numbers, exact in the double precision of bincount.
        sums = np.bincount(channel, weights=values, minlength=options.n_outputs)
        return sums.astype(np.int64)

    def histogram(values, edges):
        known = ~np.isnan(values)
        n_bins = len(edges) - 1
        place = np.searchsorted(edges, values[known], side="right") - 1
        place += n_bins * channel[known].astype(np.int64)
        counts = np.bincount(place, minlength=n_bins * options.n_outputs)
        return counts.reshape(options.n_outputs, n_bins)

    return {
        "n_clusters": count(np.ones(channel.size)),
        "n_multi": count(n_pixels > 1),
        "n_edge": count(columns["touches_edge"]),
        **{f"n_{shape}": count(columns["shape"] == shape) for shape in SHAPES},
        "cluster_pixels": count(n_pixels),
        "cluster_pixels_squared": count(n_pixels**2),
        "size_counts": histogram(n_pixels, SIZE_EDGES),
        "intensity_counts": histogram(
            columns["total"] * options.electrons_per_adu, INTENSITY_EDGES
        ),
    }


def _onboard_flags(quality, kind, threshold):
    """Mask of the on-board flags, and what counts as one in words."""
    if quality is None:
        return None, "no quality plane"
    if kind == "chi2":
        return np.asarray(quality) > threshold, f"quality factor > {threshold:g}"
    if kind == "bit":
        return np.asarray(quality) != 0, "bit set"
    raise ValueError(f"quality_kind must be 'chi2' or 'bit', got {kind!r}")


def _pixels_per_channel(channels, mask, n_outputs):
    """Number of flagged pixels in each channel, from the flagged pixels alone."""
    columns = np.flatnonzero(mask) % mask.shape[1]
    return np.bincount(channels[columns], minlength=n_outputs)


def _columns_per_channel(channels, n_rows, excluded, n_outputs):
    """Number of pixels in each channel but for excluded ones."""
    every = n_rows * np.bincount(channels, minlength=n_outputs)
    return every - _pixels_per_channel(channels, excluded, n_outputs)


def _compare(ours, other, usable, channels, n_outputs):
    """Sums that compare the flagged good pixels with those of another mask."""
    if other is None:
        return AgreementSums.none(n_outputs)
    either = other & usable
    either |= ours
    labels, n_groups = ndimage.label(either, EIGHT_CONNECTED)
    index = np.flatnonzero(either)
    group = labels.ravel()[index] - 1
    column = index % ours.shape[1]
    in_group = np.bincount(group, minlength=n_groups)
    centroid = np.bincount(group, weights=column, minlength=n_groups) / in_group
    channel_of_group = channels[np.rint(centroid).astype(np.int64)]
    is_ours, is_other = ours.ravel()[index], other.ravel()[index]
    pixels, sums = [], []
    for chosen in (is_ours, is_other, is_ours & is_other):
        pixels.append(np.bincount(channels[column[chosen]], minlength=n_outputs))
        sums.append(np.bincount(group[chosen], minlength=n_groups))

    def product(a, b=1):
        values = np.bincount(channel_of_group, weights=a * b, minlength=n_outputs)
        return values.astype(np.int64)

    n_ours, n_other, n_both = sums
    return AgreementSums(
        *pixels,
        groups_ours=product(n_ours > 0),
        groups_other=product(n_other > 0),
        groups=product(in_group > 0),
        ours_ours=product(n_ours, n_ours),
        other_other=product(n_other, n_other),
        both_both=product(n_both, n_both),
        ours_both=product(n_ours, n_both),
        other_both=product(n_other, n_both),
        ours_other=product(n_ours, n_other),
    )
