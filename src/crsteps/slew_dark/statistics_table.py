"""
Rates and fractions of cosmic rays with their errors, as one table.

Hits come in clusters, so pixels are not independent. The number of flagged pixels is a compound
Poisson variable, whose variance is the expected sum of the squares of the sizes of the clusters.
Fractions of pixels are ratios of sums over groups of touching pixels, which take the place of the
trials of a binomial distribution.
"""

from dataclasses import asdict

import numpy as np
from astropy.table import Table

from crsteps.cosmic_rays.shapes import SHAPES
from crsteps.slew_dark.statistics import INTENSITY_EDGES, SIZE_EDGES, AgreementSums

_ONBOARD = "good pixels of detectors with a quality plane"

# Column: unit, description; NaN wherever a fraction or rate would be divided by zero.
COLUMNS = {
    "level": ("", "what the row sums up: exposure, detector or channel"),
    "detector": ("", "name of the detector; 'all' for the exposure"),
    "channel": ("", "output channel from 0; -1 for a detector or the exposure"),
    "n_good": ("pixel", "good pixels: light-sensitive, not bad, with data"),
    "exposure": ("cm2 s", "area of the good pixels times the time for hits; NaN if not known"),
    "n_flagged": ("pixel", "good pixels flagged as hit"),
    "n_flagged_error": ("pixel", "standard deviation: root of the sum of squared cluster sizes"),
    "flagged_fraction": ("", "n_flagged / n_good"),
    "flagged_fraction_error": ("", "n_flagged_error / n_good"),
    "n_clusters": ("", "hits: clusters with their centroid here, those at the edge included"),
    "n_edge": ("", "clusters touching the edge of the light-sensitive area"),
    "hit_rate": ("1 / (cm2 s)", "n_clusters / exposure; overlapping hits count as one"),
    "hit_rate_error": ("1 / (cm2 s)", "from Poisson statistics of the clusters"),
    "mean_cluster_size": ("pixel", "mean number of pixels of a cluster"),
    "mean_cluster_size_error": ("pixel", "standard error of the mean; NaN below two clusters"),
    "multi_pixel_fraction": ("", "fraction of the clusters with more than one pixel"),
    "multi_pixel_fraction_error": ("", "half width of the 68.3 % Wilson score interval"),
    **{f"n_{shape}": ("", f"clusters of the class {shape}") for shape in SHAPES},
    "size_counts": ("", "clusters in bins of the number of pixels, edges in SIZE_EDGES"),
    "intensity_counts": ("", "clusters in bins of the total intensity, edges in INTENSITY_EDGES"),
    "n_onboard": ("pixel", f"{_ONBOARD}, flagged on board"),
    "n_onboard_and_ours": ("pixel", f"{_ONBOARD}, flagged on board and as hit"),
    "ours_flagged_onboard": ("", "fraction of the pixels flagged as hit that are flagged on board"),
    "ours_flagged_onboard_error": ("", "half width of the Wilson score interval for groups"),
    "onboard_flagged_by_us": (
        "",
        "fraction of the pixels flagged on board that are flagged as hit",
    ),
    "onboard_flagged_by_us_error": ("", "half width of the Wilson score interval for groups"),
    "true_positives": ("pixel", "good pixels that were hit and are flagged"),
    "false_positives": ("pixel", "good pixels that are flagged but were not hit"),
    "missed": ("pixel", "good pixels that were hit but are not flagged"),
    "precision": ("", "true positives / flagged; NaN if none is flagged"),
    "precision_error": ("", "half width of the Wilson score interval for groups"),
    "recall": ("", "true positives / hit; NaN if none was hit"),
    "recall_error": ("", "half width of the Wilson score interval for groups"),
    "f1": ("", "2 true positives / (flagged + hit); NaN if none was hit and none is flagged"),
    "f1_error": ("", "half width of the Wilson score interval for groups"),
}


def to_table(statistics):
    """
    Make one table of the counts of an exposure.

    Parameters
    ----------
    statistics : crsteps.slew_dark.statistics.ExposureStatistics
        Counts of its detectors.

    Returns
    -------
    astropy.table.Table
        A row for the exposure, then for each detector one and one for each of its channels.
        Columns as in `COLUMNS`, with units and descriptions; those of the truth are missing if no
        detector has one. The meta data hold the bins and the definitions.
    """
    detectors = statistics.detectors
    columns = _names(detectors)
    columns |= _rates(_rows([each.counts for each in detectors]), statistics.options)
    columns |= _onboard_agreement(_rows([asdict(each.onboard) for each in detectors]))
    if any(each.truth for each in detectors):
        truths = [each.truth or AgreementSums.none(each.n_channels) for each in detectors]
        columns |= _agreement_with_truth(_rows([asdict(truth) for truth in truths]))
    table = Table({name: columns[name] for name in COLUMNS if name in columns})
    for name in table.colnames:
        unit, table[name].description = COLUMNS[name]
        table[name].unit = unit or None
    table.meta = _definitions(statistics)
    return table


def shape_rates(statistics):
    """
    Give the rate of hits of each class of shape in an exposure.

    Parameters
    ----------
    statistics : crsteps.slew_dark.statistics.ExposureStatistics
        Counts of its detectors.

    Returns
    -------
    dict of tuple
        Rate and its error, hits per cm2 and s, of each of `crsteps.cosmic_rays.shapes.SHAPES`;
        NaN as in the table of `to_table`.
    """
    totals = statistics.totals()
    exposure = _exposure(totals["n_good"], statistics.options)
    return {
        shape: tuple(float(_ratio(value, exposure)) for value in (n, _count_error(n, n)))
        for shape, n in ((shape, totals[f"n_{shape}"]) for shape in SHAPES)
    }


def _names(detectors):
    """Level, detector and channel of each row."""
    level, detector, channel = ["exposure"], ["all"], [-1]
    for each in detectors:
        level += ["detector", *["channel"] * each.n_channels]
        detector += [each.detector] * (each.n_channels + 1)
        channel += range(-1, each.n_channels)
    return {"level": level, "detector": detector, "channel": np.array(channel, dtype=np.int16)}


def _rows(detectors):
    """Sums of the exposure, of each detector and of its channels, one below the other."""
    rows = {}
    for name in detectors[0]:
        below = [
            np.concatenate([each[name].sum(axis=0, keepdims=True), each[name]])
            for each in detectors
        ]
        exposure = sum(each[:1] for each in below)
        rows[name] = np.concatenate([exposure, *below])
    return rows


def _rates(counts, options):
    """Columns of the counts and what follows from them."""
    n, pixels = counts["n_clusters"], counts["cluster_pixels"]
    squares = counts["cluster_pixels_squared"]
    exposure = _exposure(counts["n_good"], options)
    flagged_error = _count_error(counts["n_flagged"], squares)
    scatter = _ratio(squares - _ratio(pixels.astype(float) ** 2, n), n * (n - 1))
    return {
        **{name: counts[name] for name in counts if name in COLUMNS},
        "exposure": exposure,
        "n_flagged_error": flagged_error,
        "flagged_fraction": _ratio(counts["n_flagged"], counts["n_good"]),
        "flagged_fraction_error": _ratio(flagged_error, counts["n_good"]),
        "hit_rate": _ratio(n, exposure),
        "hit_rate_error": _ratio(_count_error(n, n), exposure),
        "mean_cluster_size": _ratio(pixels, n),
        "mean_cluster_size_error": np.sqrt(np.maximum(scatter, 0)),
        "multi_pixel_fraction": _ratio(counts["n_multi"], n),
        # A cluster is a group of one pixel here, which has more or has not.
        "multi_pixel_fraction_error": _fraction_error(
            counts["n_multi"], n, n, products=(counts["n_multi"], counts["n_multi"], n)
        ),
    }


def _onboard_agreement(sums):
    """Columns that compare with the on-board flags."""
    both = sums["n_both"]
    return {
        "n_onboard": sums["n_other"],
        "n_onboard_and_ours": both,
        "ours_flagged_onboard": _ratio(both, sums["n_ours"]),
        "ours_flagged_onboard_error": _error_of_ours(sums),
        "onboard_flagged_by_us": _ratio(both, sums["n_other"]),
        "onboard_flagged_by_us_error": _error_of_other(sums),
    }


def _agreement_with_truth(sums):
    """Columns that compare with the true hits."""
    both, ours, other = sums["n_both"], sums["n_ours"], sums["n_other"]
    ours_and_other = sums["ours_ours"] + 2 * sums["ours_other"] + sums["other_other"]
    twice_both_and_either = 2 * (sums["ours_both"] + sums["other_both"])
    return {
        "true_positives": both,
        "false_positives": ours - both,
        "missed": other - both,
        "precision": _ratio(both, ours),
        "precision_error": _error_of_ours(sums),
        "recall": _ratio(both, other),
        "recall_error": _error_of_other(sums),
        "f1": _ratio(2 * both, ours + other),
        "f1_error": _fraction_error(
            2 * both,
            ours + other,
            sums["groups"],
            products=(4 * sums["both_both"], twice_both_and_either, ours_and_other),
        ),
    }


def _error_of_ours(sums):
    """Error of the fraction of our pixels that the other mask flags."""
    products = sums["both_both"], sums["ours_both"], sums["ours_ours"]
    return _fraction_error(sums["n_both"], sums["n_ours"], sums["groups_ours"], products=products)


def _error_of_other(sums):
    """Error of the fraction of the other mask's pixels that are flagged."""
    products = sums["both_both"], sums["other_both"], sums["other_other"]
    return _fraction_error(sums["n_both"], sums["n_other"], sums["groups_other"], products=products)


def _ratio(numerator, denominator):
    """Ratio, NaN where the denominator is 0 or NaN."""
    denominator = np.where(np.asarray(denominator) == 0, np.nan, denominator)
    return numerator / denominator


def _count_error(count, squares):
    """
    Standard deviation of a count of pixels in clusters, one where there is none.

    `squares` is the sum of the squared sizes. In a channel it may fall short of the count, where
    clusters reach in from the next one, which is then the better guess.
    """
    return np.sqrt(np.maximum(np.maximum(squares, count), 1).astype(np.float64))


def _fraction_error(part, whole, n_groups, *, products):
    """
    Half width of the 68.3 % Wilson score interval of a fraction of pixels, or its like for groups.

    `products` are the sums over the groups of the products part x part, part x whole and whole x
    whole of their numbers of pixels. The variance of a ratio of sums takes the place of
    ``p (1 - p) / n`` in the interval of Wilson (1927, JASA 22, 209) at one sigma, and the number
    of groups that of n, so that for groups of one pixel it is that interval.
    """
    part_part, part_whole, whole_whole = products
    fraction = _ratio(part, whole)
    scatter = part_part - 2 * fraction * part_whole + fraction**2 * whole_whole
    variance = _ratio(np.maximum(scatter, 0), whole.astype(np.float64) ** 2)
    # A channel has no group of its own where those of its neighbours reach into it.
    n_groups = np.maximum(n_groups, 1)
    return np.sqrt(variance + 1 / (4 * n_groups**2)) / (1 + 1 / n_groups)


def _exposure(n_good, options):
    """Area times time, cm2 s; NaN if one is not known."""
    if options.pixel_area_cm2 is None or options.integration_time is None:
        return np.full(np.shape(n_good), np.nan)
    return n_good * (options.pixel_area_cm2 * options.integration_time)


def _definitions(statistics):
    """Meta data: what the counts are based on."""
    options = statistics.options
    criteria = dict.fromkeys(each.criterion for each in statistics.detectors)
    return {
        "SIZE_EDGES": [float(edge) for edge in SIZE_EDGES],
        "INTENSITY_EDGES": [float(edge) for edge in INTENSITY_EDGES],
        "BINS": "lower edge <= value < upper edge; sizes in pixels, intensities in e-",
        "INTENSITY": "sum of the signal above the background; in a slew dark the signal is the "
        "on-board estimate, 0 to sqrt(n_groups - 1) times the charge of the hit",
        "ONBOARD": "; ".join(criteria),
        "CLUSTERS": "8-connected; counted in the channel of their centroid, those that touch the "
        "edge among them",
        "ERRORS": "standard deviations: compound Poisson statistics of clusters for numbers of "
        "pixels, Poisson for hits, Wilson score intervals for fractions",
        "NAN": "a fraction with nothing to be a fraction of, or a rate without a known exposure",
        "INTEGRATION_TIME_S": options.integration_time,
        "PIXEL_AREA_CM2": options.pixel_area_cm2,
        "N_OUTPUTS": options.n_outputs,
        "ELECTRONS_PER_ADU": options.electrons_per_adu,
    }
