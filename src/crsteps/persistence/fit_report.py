"""What a fit of persistence found, as rows of tables and in sentences for the log."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from astropy.table import Table

from crsteps.persistence.fit import (
    AT_BOUND,
    HIT_EXCLUDED,
    NOT_CONVERGED,
    NOT_FITTED,
    POOR_FIT,
    SHRUNK,
    DecayFit,
)
from crsteps.persistence.fit_curve import FluenceLevel
from crsteps.persistence.held_out import SeriesCheck

__all__ = [
    "DetectorReport",
    "dark_table",
    "detector_line",
    "detector_table",
    "held_out_line",
    "level_lines",
    "report_detector",
]

_CLEAR = 5.0
_BITS = {
    "not_converged": NOT_CONVERGED,
    "at_bound": AT_BOUND,
    "hit": HIT_EXCLUDED,
    "shrunk": SHRUNK,
    "poor": POOR_FIT,
}
_COLUMNS = {
    "detector": (None, "name of the detector"),
    "reason": (None, "why it was not fitted; empty if it was"),
    "n_pixels": (None, "pixels with enough darks"),
    "n_fitted": (None, "pixels that were fitted"),
    "n_clear": (None, "pixels with an amplitude above five standard deviations"),
    "n_not_converged": (None, "pixels of which the last step was not small"),
    "n_at_bound": (None, "pixels with a slope at the end of its range"),
    "n_hit": (None, "pixels with a dark left out as hit by a cosmic ray"),
    "n_shrunk": (None, "pixels of which the slope is told by the others more than by themselves"),
    "n_poor": (None, "pixels with chi2 above its expectation by five standard deviations"),
    "reference_time": ("s", "time after the illumination to which amplitudes belong"),
    "amplitude": ("electron / s", "median amplitude of all pixels"),
    "amplitude_low": ("electron / s", "16th percentile"),
    "amplitude_high": ("electron / s", "84th percentile"),
    "gamma": (None, "median slope of the pixels with a clear amplitude"),
    "gamma_spread": (None, "standard deviation of slopes among pixels, errors taken out"),
    "dark_rate": ("electron / s", "median dark level"),
    "chi2": (None, "median chi2 per degree of freedom"),
    "noise": ("electron", "median noise of a dark, without photons"),
    "n_held_out": (None, "last darks that were held out"),
    "held_out_before": ("electron / s", "their mean above the dark level"),
    "held_out_after": ("electron / s", "the same with the prediction subtracted"),
    "held_out_error": ("electron / s", "error of both by noise and fit"),
    "held_out_spread": (None, "spread of their residuals over the expected standard deviation"),
}


@dataclass(frozen=True)
class DetectorReport:
    """
    What was found on a detector.

    Attributes
    ----------
    row : dict
        Values by column of `detector_table`.
    levels : tuple of FluenceLevel
        Amplitude and slope by the charge of the illumination.
    check : SeriesCheck or None
        Darks before and after the correction.
    """

    row: dict
    levels: tuple[FluenceLevel, ...] = ()
    check: SeriesCheck | None = None


def report_detector(detector, fit: DecayFit, *, noise, freedom, levels=(), check=None):
    """
    Put together what was found on a detector.

    Parameters
    ----------
    detector : str
        Name of the detector.
    fit : DecayFit
        Fit of its pixels.
    noise : float
        Median noise of a dark in e-.
    freedom : int
        Parameters of a pixel, which chi2 is reduced by.
    levels : sequence of FluenceLevel, optional
        Amplitude and slope by the charge of the illumination.
    check : SeriesCheck, optional
        Darks before and after the correction.

    Returns
    -------
    DetectorReport
    """
    fitted = (fit.quality & NOT_FITTED) == 0
    amplitude, gamma, dark, chi2 = (
        image[fitted] for image in (fit.amplitude, fit.gamma, fit.dark_rate, fit.chi2)
    )
    clear = amplitude > _CLEAR * np.sqrt(fit.covariance[0][fitted])
    points = fit.n_points[fitted] - freedom
    row = {
        "detector": detector,
        "reason": "",
        "n_pixels": fit.quality.size,
        "n_fitted": int(fitted.sum()),
        "n_clear": int(clear.sum()),
        **{f"n_{name}": int(np.sum((fit.quality & bit) != 0)) for name, bit in _BITS.items()},
        "reference_time": fit.reference_time,
        "noise": float(noise),
        "gamma": _quantile(gamma[clear], 0.5),
        "gamma_spread": next((p.spread for p in fit.slope_populations if p), np.nan),
        "dark_rate": _quantile(dark, 0.5),
        "chi2": _quantile(chi2[points > 0] / points[points > 0], 0.5),
    }
    for name, level in (("", 0.5), ("_low", 0.1587), ("_high", 0.8413)):
        row[f"amplitude{name}"] = _quantile(amplitude, level)
    if check is not None:
        before, after, error = check.held_out_means()
        row |= {
            "n_held_out": check.n_held_out,
            "held_out_before": before,
            "held_out_after": after,
            "held_out_error": error,
            "held_out_spread": check.pull_spread(),
        }
    return DetectorReport(row, tuple(levels), check)


def _quantile(values, level):
    return float(np.quantile(values, level)) if values.size else float("nan")


def detector_table(reports):
    """
    Make the table of the detectors.

    Parameters
    ----------
    reports : sequence of DetectorReport
        Reports in the order of the rows.

    Returns
    -------
    astropy.table.Table
        One row for each; numbers that are not known are NaN, counts 0.
    """
    table = Table()
    for name, (unit, description) in _COLUMNS.items():
        missing = 0 if name.startswith("n_") else "" if unit is None and name == "reason" else None
        values = [report.row.get(name, missing) for report in reports]
        values = [np.nan if value is None else value for value in values]
        table[name] = values
        table[name].unit, table[name].description = unit, description
    return table


def dark_table(reports):
    """
    Make the table of the means of the darks, one row for each dark and detector.

    Parameters
    ----------
    reports : sequence of DetectorReport
        Reports; those without a check have no row.

    Returns
    -------
    astropy.table.Table
        Columns ``detector``, ``dark`` (from 1), ``time`` since the illumination, ``raw``,
        ``corrected``, ``error``, ``level``, ``level_error`` and ``held_out``.
    """
    columns = {
        "detector": (str, None, "name of the detector"),
        "dark": (int, None, "number of the dark, from 1"),
        "time": (float, "s", "from the end of the illumination to the middle of the dark"),
        "raw": (float, "electron / s", "mean of the pixels that no cosmic ray has hit"),
        "corrected": (float, "electron / s", "the same with the persistence subtracted"),
        "error": (float, "electron / s", "error of both by the noise of the pixels"),
        "level": (float, "electron / s", "mean dark level of the same pixels"),
        "level_error": (float, "electron / s", "its error by the noise of the pixels"),
        "held_out": (bool, None, "not seen by the fit that predicts it"),
    }
    rows = [
        (report.row["detector"], i + 1, *values, check.level, check.level_error, held_out)
        for report in reports
        if (check := report.check) is not None
        for i, (*values, held_out) in enumerate(
            zip(
                check.times, check.raw, check.corrected, check.error, check.is_held_out, strict=True
            )
        )
    ]
    names, types = list(columns), [kind for kind, _, _ in columns.values()]
    table = Table(rows=rows or None, names=names, dtype=types if not rows else None)
    for name, (_, unit, description) in columns.items():
        table[name].unit, table[name].description = unit, description
    return table


def detector_line(report: DetectorReport):
    """
    Tell what was found on a detector.

    Parameters
    ----------
    report : DetectorReport
        Its report.

    Returns
    -------
    str
        One line for the log.
    """
    row = report.row
    if row["reason"]:
        return f"{row['detector']} is skipped: {row['reason']}"
    share = 100 * row["n_clear"] / max(row["n_fitted"], 1)
    return (
        f"{row['detector']}: {row['n_fitted']:,} of {row['n_pixels']:,} pixels fitted, "
        f"{row['n_clear']:,} ({share:.3g} %) with clear persistence; amplitude "
        f"{row['amplitude']:.3g} e-/s at {row['reference_time']:.4g} s, slope {row['gamma']:.3f} "
        f"(spread {row['gamma_spread']:.3f}), dark level {row['dark_rate']:.3g} e-/s; "
        f"{row['n_hit']:,} pixel{'s' * (row['n_hit'] != 1)} with hits, {row['n_poor']:,} that fit "
        f"badly; noise "
        f"{row['noise']:.3g} e-"
    )


def level_lines(report: DetectorReport):
    """
    Tell amplitude and slope by the charge of the illumination.

    Parameters
    ----------
    report : DetectorReport
        Report of a detector.

    Returns
    -------
    list of str
        One line for each level; empty if the charge is not known.
    """
    return [
        f"{report.row['detector']}: {level.fluence:,.0f} e- in {level.n_pixels:,} pixels leave "
        f"{level.amplitude:.4g} ± {level.amplitude_error:.2g} e-/s, slope {level.gamma:.3f} ± "
        f"{level.gamma_error:.2g}"
        for level in report.levels
        if np.isfinite(level.fluence)
    ]


def held_out_line(report: DetectorReport):
    """
    Tell how well darks were predicted that the fit had not seen.

    Parameters
    ----------
    report : DetectorReport
        Report of a detector.

    Returns
    -------
    str
        One line for the log; empty if none was held out.
    """
    row = report.row
    if not row.get("n_held_out"):
        return ""
    number = row["n_held_out"]
    darks = "dark" if number == 1 else f"{number} darks"
    return (
        f"{row['detector']}: mean of the last {darks} above the dark level, "
        f"predicted by a fit of the others: {row['held_out_before']:.4f} e-/s before, "
        f"{row['held_out_after']:.4f} ± {row['held_out_error']:.4f} e-/s after; spread of the "
        f"pixels over the expected one {row['held_out_spread']:.3f}"
    )
