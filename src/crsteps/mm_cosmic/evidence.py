"""What flags of single images are worth beside the comparison of exposures."""

import numpy as np

from crsteps.cosmic_rays.hysteresis import dilate, grow_seeds
from crsteps.mm_cosmic.blocks import block_slices
from crsteps.mm_cosmic.equivalence import align_block

# A feature of a detector counts if one of its pixels rises above the other exposures by this many
# times the threshold of all its pixels: noise that a detector takes for a feature rarely does.
_PEAK = 2.0
# Probabilities that networks give, in classes.
_PROBABILITIES = (0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.98)

# Pixels that count for no evidence at all in each rate: few pixels tell little.
_PSEUDO_PIXELS = 10.0
# Log null probabilities between which a flagged pixel is a hit for sure, but not an easy one.
_WEAKEST, _STRONGEST = np.log(1e-2), np.log(1e-5)
# Log null probability below which pixels on their own are compared with hits: a detector flags the
# high ones of them more often, and thresholds are lower still.
_ALONE = np.log(3e-4)
# Steps to a hit within which a pixel is not on its own.
_FAR = 2


def measure_log_odds(levels, hits, candidates, log_probability):
    """
    Measure what the levels of single-image detectors are worth, from the exposures themselves.

    The likelihood ratio of a level is its frequency among hits over that among other pixels that
    lie as high above the other exposures. Hits are those that the comparison of exposures flagged
    with the weakest evidence, for the detectors see bright ones far better than those in doubt.
    The ratio's mean over pixels without a hit is one: dividing thresholds by it leaves the number
    of false pixels as it is (p-value weighting, Genovese, Roeder & Wasserman 2006, Biometrika 93,
    509).

    Parameters
    ----------
    levels : ndarray of uint8, shape (n_pixels, n_exposures)
        What detectors say about the candidates: classes, from 0.
    hits : ndarray of bool, shape (n_exposures, ny, nx)
        Hits found without them.
    candidates : crsteps.mm_cosmic.detection.Candidates
        Pixels that were tested.
    log_probability : ndarray, shape (n_pixels, n_exposures)
        Log null probability without them; 0 where an exposure was not in doubt.

    Returns
    -------
    ndarray of float32, shape (2, n_levels)
        Logarithm of the ratio of each level for pixels on their own, and beside hits of the same
        exposure. Pixels beside hits of which some are hit, unnoticed, make the second smaller
        than it should be.
    """
    n_levels = int(levels.max(initial=0)) + 1
    counts = np.zeros((3, n_levels))
    for i, hit in enumerate(hits):
        flagged, around = (mask.ravel()[candidates.index] for mask in (hit, dilate(hit, _FAR)))
        log_p = log_probability[:, i]
        tested = (log_p < 0) & ~flagged
        touching = dilate(hit, 1).ravel()[candidates.index]
        weak = flagged & (log_p < _WEAKEST) & (log_p > _STRONGEST)
        alone = tested & ~around & (log_p < _ALONE)
        for row, chosen in zip(counts, (weak, alone, tested & touching), strict=True):
            row += np.bincount(levels[chosen, i], minlength=n_levels)
    of_hits, *others = counts
    return np.array([_log_ratio(of_hits, other) for other in others], dtype=np.float32)


def _log_ratio(of_hits, others):
    """Logarithm of the ratio of frequencies, drawn to zero where there are few pixels."""
    expected = (of_hits + others + 1e-3) / np.sum(of_hits + others + 1e-3)
    expected *= _PSEUDO_PIXELS
    of_hits, others = of_hits + expected, others + expected
    return np.log(of_hits / of_hits.sum()) - np.log(others / others.sum())


def evidence_levels(auxiliary):
    """
    Put what detectors say about each pixel of each exposure into classes.

    Parameters
    ----------
    auxiliary : crsteps.mm_cosmic.auxiliary_images.AuxiliaryImages
        Masks, and probabilities where there are any.

    Returns
    -------
    ndarray of uint8, shape (n_exposures, ny, nx)
    """
    return np.array([_levels(found) for found in auxiliary.exposures], dtype=np.uint8)


def _levels(found):
    if found.probability is None:
        return found.mask.astype(np.uint8)
    classes = np.digitize(found.probability, _PROBABILITIES).astype(np.uint8)
    return classes + np.uint8(len(_PROBABILITIES) + 1) * found.mask


def rising_detections(examination, auxiliary, options):
    """
    Limit what detectors flag to what rises above the other exposures.

    A pixel that a detector flags in an exposure, or in the median of all, counts where the
    exposure lies above the lowest ones by more than ``options.threshold_rnoise`` standard
    deviations, in features that somewhere do so by twice as many. Sharp edges of the scene, which
    detectors take for cosmic rays, are in all exposures. In pixels with one usable exposure alone
    there is nothing to compare with: there every flag in it counts.

    Parameters
    ----------
    examination : crsteps.mm_cosmic.examination.Examination
        The exposures and what they tell.
    auxiliary : crsteps.mm_cosmic.auxiliary_images.AuxiliaryImages
        What the detectors flag.
    options : crsteps.mm_cosmic.masks.MMCosmicOptions
        Options.

    Returns
    -------
    ndarray of bool, shape (n_usable_exposures, ny, nx)
    """
    reader, model = examination.reader, examination.model
    flagged = np.array(
        [auxiliary.exposures[i].mask | auxiliary.median.mask for i in np.flatnonzero(model.usable)]
    )
    peaks = np.zeros_like(flagged)
    for rows, around, inner in block_slices(
        reader, model.halo, options.block_rows, options.block_bytes
    ):
        aligned = align_block(*reader.block(around), model)
        rise = _rise(aligned, examination.lowest[around], model)[:, inner]
        alone = examination.n_usable[rows] == 1
        finite = np.isfinite(aligned.stack[:, inner])
        with np.errstate(invalid="ignore"):
            above = finite & (alone | (rise > options.threshold_rnoise))
            peaks[:, rows] = finite & (alone | (rise > _PEAK * options.threshold_rnoise))
        flagged[:, rows] &= above
    return np.array(
        [grow_seeds(mask & peak, mask) for mask, peak in zip(flagged, peaks, strict=True)]
    )


def _rise(aligned, lowest, model):
    """How far each exposure lies above the lowest ones, in standard deviations."""
    variance = aligned.noise.variance(lowest) + aligned.extra_variance
    variance = variance + np.float32(model.relative_variance) * np.maximum(lowest, 0) ** 2
    return (aligned.stack - lowest) / np.sqrt(variance)
