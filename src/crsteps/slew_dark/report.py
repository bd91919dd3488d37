"""What was found in a dark, in sentences for the log and in cards for the headers."""

import math

import numpy as np

from crsteps.cosmic_rays.shapes import SHAPES
from crsteps.slew_dark.statistics import merge
from crsteps.slew_dark.statistics_table import to_table

# Column of the table of statistics: keyword of its value, that of its error, comment.
_CARDS = {
    "n_good": ("NPGOOD", None, "good pixels"),
    "flagged_fraction": ("CRFRAC", "CRFRACER", "fraction of the good pixels hit"),
    "hit_rate": ("CRRATE", "CRRATEER", "[cm-2 s-1] hits"),
    "mean_cluster_size": ("CRSIZE", "CRSIZEER", "[pixel] mean size of a cluster"),
    "multi_pixel_fraction": ("CRMULTI", "CRMULTER", "fraction of clusters above one pixel"),
    "ours_flagged_onboard": ("CRONB", "CRONBER", "fraction of hit pixels flagged on board"),
    "onboard_flagged_by_us": ("ONBCR", "ONBCRER", "fraction of on-board flags found hit"),
    "precision": ("CRPREC", "CRPRECER", "true positives / flagged"),
    "recall": ("CRRECALL", "CRRECAER", "true positives / truly hit"),
    "f1": ("CRF1", "CRF1ER", "2 true positives / (flagged + truly hit)"),
}

_UNKNOWN = "unknown"


def detector_row(analysis):
    """
    Make a row of the table of statistics for one detector.

    Parameters
    ----------
    analysis : crsteps.slew_dark.analysis.DetectorAnalysis
        Result.

    Returns
    -------
    astropy.table.Row
    """
    return to_table(merge([analysis.statistics]))[1]


def detector_line(name, analysis, *, unit="ADU", row=None):
    """
    Tell what was found on a detector.

    Parameters
    ----------
    name : str
        Name of the detector.
    analysis : crsteps.slew_dark.analysis.DetectorAnalysis
        Result.
    unit : str, optional
        Unit of the data.
    row : astropy.table.Row, optional
        From `detector_row`; made if it is not given.

    Returns
    -------
    str
        One line for the log.
    """
    if analysis.reason:
        return f"{name} is skipped: {analysis.reason}"
    row = detector_row(analysis) if row is None else row
    digits = max(0, 2 - math.floor(math.log10(analysis.noise)))
    return (
        f"{name}: {row['n_clusters']:,} cosmic rays, {row['n_flagged']:,} pixels "
        f"({_measured(row, 'flagged_fraction', percent=True)}); offset "
        f"{analysis.offset:.{digits}f}, noise {analysis.noise:.{digits}f} {unit}; quality plane: "
        f"{analysis.used_quality}"
    )


def detector_cards(analysis, *, unit="adu", row=None):
    """
    Give what was found on a detector as cards of its header.

    Parameters
    ----------
    analysis : crsteps.slew_dark.analysis.DetectorAnalysis
        Result.
    unit : str, optional
        Unit of the data.
    row : astropy.table.Row, optional
        From `detector_row`; made if it is not given.

    Returns
    -------
    dict
        ``{keyword: (value, comment)}``; quantities that have no value are left out.
    """
    cards = {"CRSTATUS": ("SKIPPED" if analysis.reason else "COMPLETE", "search for cosmic rays")}
    if analysis.reason:
        return cards | {"CRREASON": (analysis.reason, "why it was skipped")}
    cards |= {
        "CROFFSET": (_rounded(analysis.offset), f"[{unit}] offset removed for the search"),
        "CRNOISE": (_rounded(analysis.noise), f"[{unit}] median noise of a pixel"),
        "CRQUAL": (analysis.used_quality, "use of the quality plane"),
    }
    return cards | statistics_cards(detector_row(analysis) if row is None else row)


def statistics_cards(row):
    """
    Give a row of the table of statistics as header cards.

    Parameters
    ----------
    row : astropy.table.Row
        Row of a detector or of the exposure, of `crsteps.slew_dark.statistics_table.to_table`.

    Returns
    -------
    dict
        ``{keyword: (value, comment)}``; quantities that have no value are left out.
    """
    cards = {
        "NCLUSTER": (int(row["n_clusters"]), "number of cosmic rays"),
        "NPMASKED": (int(row["n_flagged"]), "number of pixels flagged as hit"),
    }
    for column, (keyword, error, comment) in _CARDS.items():
        if column not in row.colnames or not math.isfinite(row[column]):
            continue
        cards[keyword] = (_rounded(row[column]), comment)
        if error and math.isfinite(row[f"{column}_error"]):
            cards[error] = (_rounded(row[f"{column}_error"]), f"error of {keyword}")
    return cards


def summary(table, *, used_quality=None, skipped=None):
    """
    Tell what was found in an exposure.

    Parameters
    ----------
    table : astropy.table.Table
        Statistics of `crsteps.slew_dark.statistics_table.to_table`.
    used_quality : dict of str, optional
        What was used of the quality plane of each detector.
    skipped : dict of str, optional
        Detectors that were not analysed, and why.

    Returns
    -------
    list of str
        Lines for the log.
    """
    row = table[np.asarray(table["level"], dtype=str) == "exposure"][0]
    lines = [
        f"{row['n_clusters']:,} cosmic rays, {_rate(row)}; {row['n_flagged']:,} of "
        f"{row['n_good']:,} good pixels flagged "
        f"({_measured(row, 'flagged_fraction', percent=True)})",
    ]
    if row["n_clusters"]:
        shapes = (f"{name} {100 * row[f'n_{name}'] / row['n_clusters']:.1f} %" for name in SHAPES)
        lines.append(
            f"clusters: {_measured(row, 'mean_cluster_size')} pixels in the mean, "
            f"{_measured(row, 'multi_pixel_fraction', percent=True)} with more than one; "
            + ", ".join(shapes)
        )
    if used_quality:
        lines.append(f"quality plane: {_grouped(used_quality)}")
    if math.isfinite(row["ours_flagged_onboard"]) or math.isfinite(row["onboard_flagged_by_us"]):
        lines.append(
            f"agreement with the on-board flags ({table.meta['ONBOARD']}): "
            f"{_measured(row, 'ours_flagged_onboard', percent=True)} of the pixels flagged here "
            f"are flagged on board, {_measured(row, 'onboard_flagged_by_us', percent=True)} of "
            "those flagged on board are flagged here"
        )
    if "precision" in row.colnames:
        lines.append(
            f"against the truth: precision {_measured(row, 'precision')}, "
            f"recall {_measured(row, 'recall')}, F1 {_measured(row, 'f1')} "
            f"({row['true_positives']:,} pixels right, {row['false_positives']:,} false, "
            f"{row['missed']:,} missed)"
        )
    lines += [f"{name} was not analysed: {reason}" for name, reason in (skipped or {}).items()]
    return lines


def with_error(value, error):
    """
    Write a number with its error.

    Parameters
    ----------
    value, error : float
        The number and its standard deviation.

    Returns
    -------
    str
        Both with as many digits as give the error two that count; the number with four where it
        has no error, and "unknown" where it is not finite.
    """
    if not math.isfinite(value):
        return _UNKNOWN
    if not (math.isfinite(error) and error > 0):
        return f"{value:.4g}"
    digits = max(0, 1 - math.floor(math.log10(error)))
    return f"{value:.{digits}f} ± {error:.{digits}f}"


def _grouped(used_quality):
    """What was used, and for which detectors if it was not the same for all."""
    detectors = {}
    for name, used in used_quality.items():
        detectors.setdefault(used, []).append(name)
    if len(detectors) == 1:
        return next(iter(detectors))
    return "; ".join(f"{used} ({', '.join(names)})" for used, names in detectors.items())


def _rate(row):
    if not math.isfinite(row["hit_rate"]):
        return "rate unknown without integration time and size of a pixel"
    return f"{_measured(row, 'hit_rate')} per cm2 and s"


def _measured(row, column, *, percent=False):
    scale, unit = (100, " %") if percent else (1, "")
    text = with_error(scale * row[column], scale * row[f"{column}_error"])
    return text if text == _UNKNOWN else text + unit


def _rounded(value):
    """Python number for a header card, rounded to what can be told."""
    if isinstance(value, int | np.integer):
        return int(value)
    return float(f"{float(value):.6g}")
