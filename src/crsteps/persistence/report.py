"""What a correction of persistence predicted and did, in sentences and as measurements."""

import numpy as np

__all__ = ["correction_line", "correction_measurements"]


def correction_line(name, result, *, n_earlier):
    """
    Tell what was predicted and done.

    Parameters
    ----------
    name : str
        Exposure or detector.
    result : crsteps.persistence.correction_result.CorrectionResult
        Result in electrons.
    n_earlier : int
        Earlier exposures in the history.

    Returns
    -------
    str
        One line for the log.
    """
    fractions = ", ".join(
        f"{_percent(before)} -> {_percent(after)} above {threshold:g} e-/s"
        for threshold, before, after in zip(
            result.thresholds, result.fractions_before, result.fractions_after, strict=True
        )
    )
    return (
        f"{name}: persistence of {result.n_stimuli} of {n_earlier} earlier exposures, subtracted "
        f"in {_percent(np.mean(result.subtracted))} of the pixels; predicted, and left within the "
        f"error: {fractions}; {np.count_nonzero(result.persistence_flag):,} pixels flagged, "
        f"{np.count_nonzero(result.bad_flag):,} not to be used"
    )


def correction_measurements(result, *, n_earlier):
    """
    Give what was predicted and done as measurements of a record, or cards of a header.

    Parameters
    ----------
    result : crsteps.persistence.correction_result.CorrectionResult
        Result in electrons.
    n_earlier : int
        Earlier exposures in the history.

    Returns
    -------
    dict
        For each quantity ``{"value": ..., "keyword": ..., "comment": ...}``.
    """
    measured = {
        "earlier_exposures": _measured("PPNEARL", n_earlier, "earlier exposures"),
        "stimuli": _measured("PPNSTIM", result.n_stimuli, "earlier exposures that show"),
        "subtracted_fraction": _measured(
            "PPSUBTR", np.mean(result.subtracted), "fraction of the pixels subtracted"
        ),
        "flagged_pixels": _measured(
            "PPNFLAG", np.count_nonzero(result.persistence_flag), "pixels flagged PERSISTENCE"
        ),
        "bad_pixels": _measured(
            "PPNBAD", np.count_nonzero(result.bad_flag), "pixels flagged DO_NOT_USE"
        ),
    }
    for when, letter, fractions, words in (
        ("before", "B", result.fractions_before, "predicted above"),
        ("after", "A", result.fractions_after, "perhaps left above"),
    ):
        for threshold, fraction in zip(result.thresholds, fractions, strict=True):
            measured[f"fraction_{when}_{threshold:g}"] = _measured(
                f"PP{letter}{round(1000 * threshold):04d}",
                fraction,
                f"fraction {words} {threshold:g} e-/s",
            )
    return measured


def _measured(keyword, value, comment):
    return {"value": float(value), "keyword": keyword, "comment": comment}


def _percent(fraction):
    return f"{100 * fraction:.3g} %"
