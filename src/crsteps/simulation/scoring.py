"""Masks and combined images against the truth of a simulation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

__all__ = ["Score", "rms_error", "score_masks"]


@dataclass(frozen=True)
class Score:
    """
    How well a mask agrees with the pixels that were hit.

    Attributes
    ----------
    recall : float
        Fraction of the hit pixels that are flagged; NaN if none was hit.
    precision : float
        Fraction of the flagged, scored pixels that were hit; NaN if none was flagged.
    f1 : float
        Harmonic mean of recall and precision, ``2 TP / (2 TP + FP + FN)``; NaN if none was hit
        and none was flagged.
    n_true : int
        Number of hit pixels.
    n_flagged : int
        Number of flagged pixels that are scored.
    n_false_far : int
        Number of flagged pixels far from the charge of any cosmic ray in any exposure.
    """

    recall: float
    precision: float
    f1: float
    n_true: int
    n_flagged: int
    n_false_far: int


def score_masks(
    mask,
    charge,
    sigma,
    *,
    n_required: int = 1,
    significant: float = 3.0,
    negligible: float = 0.3,
    far: float = 5.0,
) -> Score:
    """
    Score masks against the charge of the cosmic rays.

    A pixel was hit if the charge is more than `significant` standard deviations in at least
    `n_required` exposures. It is not scored if that only holds for `negligible` standard
    deviations: whether such a pixel is flagged matters to nobody.

    Parameters
    ----------
    mask : ndarray of bool
        Flagged pixels: (n_exposures, ny, nx), the mask of each exposure, with `n_required` 1; or
        (ny, nx), one mask for all exposures.
    charge : ndarray
        Charge of the cosmic rays, (n_exposures, ny, nx).
    sigma : ndarray or float
        Standard deviation of the noise in the units of `charge`, broadcastable to it.
    n_required : int
        Number of exposures that have to be hit for a pixel to be a positive of a mask of shape
        (ny, nx): 2 for the mask of the median of three.
    significant, negligible : float
        Charges, in standard deviations, above which a pixel was hit and below which it was not.
    far : float
        Distance in pixels from any charge above `negligible` in any exposure at which a flagged
        pixel counts as far from cosmic rays.

    Returns
    -------
    score : Score
        Recall, precision and counts.
    """
    mask = np.asarray(mask, dtype=bool)
    strength = np.asarray(charge) / sigma
    if mask.shape not in (strength.shape, strength.shape[1:]):
        raise ValueError(f"a mask of shape {mask.shape} does not fit charge of {strength.shape}")
    if mask.shape == strength.shape and n_required != 1:
        raise ValueError("masks of single exposures are scored with n_required=1")
    if not 1 <= n_required <= len(strength):
        raise ValueError(f"n_required must be 1 to {len(strength)}, not {n_required}")

    anywhere = strength.max(axis=0) > negligible
    if mask.shape != strength.shape:
        strength = np.partition(strength, -n_required, axis=0)[-n_required]
    positive = strength > significant
    scored = positive | (strength <= negligible)

    n_true = _count(positive)
    n_found = _count(mask & positive)
    n_flagged = _count(mask & scored)
    return Score(
        recall=n_found / n_true if n_true else np.nan,
        precision=n_found / n_flagged if n_flagged else np.nan,
        f1=2 * n_found / (n_true + n_flagged) if n_true + n_flagged else np.nan,
        n_true=n_true,
        n_flagged=n_flagged,
        n_false_far=_count(mask & _far_from(anywhere, far)),
    )


def _count(pixels):
    return int(np.count_nonzero(pixels))


def _far_from(flagged, distance):
    """Pixels at least `distance` away from every flagged pixel."""
    if not flagged.any():
        return np.ones_like(flagged)
    return ndimage.distance_transform_edt(~flagged) >= distance


def rms_error(image, truth) -> float:
    """
    Root mean square difference of an image from the truth.

    Parameters
    ----------
    image, truth : ndarray
        Images of the same shape and units. Pixels that are NaN in `image` are left out.

    Returns
    -------
    rms : float
        Root mean square over the pixels, in the units of the images; NaN if none is left.
    """
    difference = np.asarray(image, dtype=np.float64) - truth
    squares = difference[~np.isnan(difference)] ** 2
    return float(np.sqrt(squares.mean())) if squares.size else float("nan")
