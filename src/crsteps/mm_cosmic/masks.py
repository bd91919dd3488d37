"""Masks of the pixels that cosmic rays hit in each of several equal exposures, and in most."""

from dataclasses import dataclass, replace

import numpy as np

from crsteps.cosmic_rays.hysteresis import dilate
from crsteps.mm_cosmic.blocks import ExposureReader
from crsteps.mm_cosmic.detection import detect_hits, make_thresholds
from crsteps.mm_cosmic.detection_codes import detection_codes
from crsteps.mm_cosmic.equivalence import EquivalenceModel
from crsteps.mm_cosmic.examination import examine
from crsteps.mm_cosmic.last_exposure import flag_last_exposures
from crsteps.mm_cosmic.null_model import ScenePrior
from crsteps.mm_cosmic.options import MMCosmicOptions, check_options

# Measured over given read noise or gain beyond which the user is warned.
NOISE_TOLERANCE = 1.25


@dataclass(frozen=True)
class MMCosmicResult:
    """
    Masks and what they were made from; images are (ny, nx).

    Attributes
    ----------
    exposure_masks : ndarray of bool, shape (n_exposures, ny, nx)
        Pixels hit in each exposure (CRMASK1..N).
    mediancr : ndarray of bool
        Pixels hit in at least ``cr_coincidences`` exposures (MEDIANCR).
    meancrt : ndarray of bool
        Pixels hit in any exposure, which spoil a plain mean (MEANCRT).
    meancr : ndarray of bool
        Pixels suspect in any exposure, in which a mean of the unflagged exposures may still
        hold the faint light beside a track (MEANCR).
    suspect_masks : ndarray of bool, shape (n_exposures, ny, nx)
        Pixels beside those of ``exposure_masks`` that are probably, but not surely, hit.
    log_probability : ndarray of float32
        Smallest log null probability tested at the pixel, 0 where none was.
    lowest : ndarray of float32
        Mean of the ``n - cr_coincidences`` lowest exposures on the common scale; NaN if none.
    median : ndarray of float32
        Median of the exposures on the common scale; NaN if none.
    n_usable : ndarray of uint8
        Number of usable exposures.
    equivalence : EquivalenceModel
        Measured differences between the exposures.
    prior : ScenePrior or None
        Distribution of the scene; None where the null model was not used.
    read_variance, poisson_factor : float
        Typical noise.
    expected_false : float
        Expected number of false pixels in the mask of the median and in each exposure's.
    warnings : tuple of str
        What the user should know about the data.
    crmethod : str
        What found them, see `crsteps.mm_cosmic.methods.parse_crmethod`.
    codes : ndarray of uint8 or None
        What flagged the pixels of ``mediancr``: 0 nothing, 1 dilation or the user, 2 the
        comparison of exposures, 3 a detector of single images, 4 both.
    auxiliary : crsteps.mm_cosmic.auxiliary_images.AuxiliaryImages or None
        What the detectors of single images found.
    diagram : crsteps.mm_cosmic.diagram_masks.DiagramMasks or None
        What was found with a boundary in a simulated diagram.
    flux_factors : ndarray, shape (n_exposures,), or None
        Factors told or measured before the search.
    apply_flux_factor_to : {"original", "simulated"}
        Whether the exposures were divided by them, or their expectation multiplied.
    offsets : ndarray, shape (n_exposures, 2), or None
        Shifts ``dx, dy`` told or measured before the search, pixels.
    """

    exposure_masks: np.ndarray
    suspect_masks: np.ndarray
    mediancr: np.ndarray
    meancrt: np.ndarray
    meancr: np.ndarray
    log_probability: np.ndarray
    lowest: np.ndarray
    median: np.ndarray
    n_usable: np.ndarray
    equivalence: EquivalenceModel
    prior: ScenePrior | None
    read_variance: float
    poisson_factor: float
    expected_false: float
    warnings: tuple
    crmethod: str = "mmcosmic"
    codes: np.ndarray | None = None
    auxiliary: object | None = None
    diagram: object | None = None
    flux_factors: np.ndarray | None = None
    apply_flux_factor_to: str = "simulated"
    offsets: np.ndarray | None = None


def find_cosmic_rays(exposures, *, noise, missing=None, options=None):
    """
    Find the pixels hit by cosmic rays in several exposures of the same scene.

    Parameters
    ----------
    exposures : sequence of array-like, shape (ny, nx)
        Three or more exposures in any unit, bias subtracted; NaN and infinite pixels are
        missing. They may be memory-mapped: they are read by blocks of rows.
    noise : crsteps.detector.noise.ExposureNoise
        Noise of the exposures in the same unit.
    missing : sequence of array-like of bool, optional
        Pixels of each exposure that hold no data. They are not flagged, and a pixel with two
        usable exposures is treated as one of two exposures.
    options : MMCosmicOptions, optional
        Options.

    Returns
    -------
    MMCosmicResult

    Raises
    ------
    ValueError
        Fewer than three exposures, unequal shapes, impossible options, or no pixel with two
        usable exposures.
    """
    options = options or MMCosmicOptions()
    reader = checked_reader(exposures, noise, missing, options)
    examination = examine(reader, options)
    hits, suspects, log_probability = detect(examination, options)
    masks = assemble_masks(hits, suspects, examination, options)
    return make_result(examination, masks, log_probability, options)


def checked_reader(exposures, noise, missing, options):
    """
    Refuse exposures and options that cannot be worked with.

    Parameters
    ----------
    exposures, noise, missing, options
        As for `find_cosmic_rays`.

    Returns
    -------
    crsteps.mm_cosmic.blocks.ExposureReader
    """
    reader = ExposureReader(exposures, noise, missing)
    reader.check()
    check_options(options, len(reader))
    return reader


def detect(examination, options, *, detected=None, levels=None, compare=True):
    """
    Find the hits, from the values of the pixels and then from the neighbourhood.

    Parameters
    ----------
    examination : crsteps.mm_cosmic.examination.Examination
        The exposures and what they tell.
    options : MMCosmicOptions
        Options.
    detected, levels, compare
        As for `crsteps.mm_cosmic.detection.detect_hits`, but as images of the usable exposures.

    Returns
    -------
    hits, suspects : ndarray of bool, shape (n_usable_exposures, ny, nx)
        Pixels that are hit, and others beside them that probably are.
    log_probability : ndarray of float32, shape (ny, nx)
        Smallest log null probability; 0 where none was tested.
    """
    model, n_usable = examination.model, examination.n_usable
    candidates = examination.candidates
    thresholds = make_thresholds(
        n_exposures=int(model.usable.sum()),
        n_pixels=max(int(np.count_nonzero(n_usable >= 2)), 1),
        false_pixels=options.false_pixels,
        cr_coincidences=options.cr_coincidences,
        grow_probability=options.grow_probability,
    )
    hits, suspects, log_probability = detect_hits(
        candidates,
        shape=n_usable.shape,
        thresholds=thresholds,
        false_pixels=options.false_pixels,
        relative_variance=model.relative_variance,
        prior=examination.prior,
        detected=_at(candidates, detected),
        levels=_at(candidates, levels),
        compare=compare,
    )
    # The mean of the lowest exposures is clean for sure where fewer than the others are hit.
    few = hits.sum(axis=0) < options.cr_coincidences
    clean = np.where(few, examination.lowest, np.float32(np.nan))
    flag_last_exposures(hits, candidates, clean, extra_relative=model.relative_variance)
    return hits, suspects & ~hits, log_probability


def _at(candidates, images):
    """Values of images at the candidates: (n_pixels, n_images)."""
    return None if images is None else images.reshape(len(images), -1)[:, candidates.index].T


def assemble_masks(hits, suspects, examination, options, *, detected=None, compared=None):
    """
    Dilate, and derive the masks of the combinations from those of the exposures.

    Parameters
    ----------
    hits, suspects : ndarray of bool, shape (n_usable_exposures, ny, nx)
        Output of `detect`.
    examination : crsteps.mm_cosmic.examination.Examination
        The exposures and what they tell.
    options : MMCosmicOptions
        Options.
    detected, compared : ndarray of bool, shape (n_usable_exposures, ny, nx), optional
        Pixels that detectors of single images flag, and that the comparison of exposures flags;
        for the codes. None and all hits when not given.

    Returns
    -------
    dict
        The masks of `MMCosmicResult` by their names.
    """
    usable, n_usable = examination.model.usable, examination.n_usable
    needed = needed_hits(n_usable, options)
    in_median = _in_median(hits, needed)
    mediancr = dilate(dilate(in_median, options.mm_dilation), options.dilation)
    exposure_masks = np.zeros((usable.size, *n_usable.shape), dtype=bool)
    suspect_masks = np.zeros_like(exposure_masks)
    steps = options.mm_dilation + options.dilation
    for i, hit, suspect in zip(np.flatnonzero(usable), hits, suspects, strict=True):
        exposure_masks[i] = dilate(hit, steps)
        suspect_masks[i] = suspect & ~exposure_masks[i]
    by_comparison = in_median if compared is None else _in_median(compared, needed)
    by_detector = None if detected is None else _in_median(detected, needed)
    return {
        "exposure_masks": exposure_masks,
        "suspect_masks": suspect_masks,
        "mediancr": mediancr,
        "meancrt": exposure_masks.any(axis=0) | mediancr,
        "meancr": suspect_masks.any(axis=0),
        "codes": detection_codes(mediancr, in_median, by_comparison, by_detector),
    }


def _in_median(hits, needed):
    return hits.sum(axis=0, dtype=np.uint8) >= needed


def needed_hits(n_usable, options):
    """
    Give the number of hits from which a pixel belongs to the mask of the median.

    Parameters
    ----------
    n_usable : ndarray of uint8
        Number of usable exposures.
    options : MMCosmicOptions
        Options.

    Returns
    -------
    ndarray of int16
    """
    return np.clip(n_usable.astype(np.int16) - 1, 1, options.cr_coincidences)


def make_result(examination, masks, log_probability, options, **others):
    """
    Put masks and what they were made from together.

    Parameters
    ----------
    examination : crsteps.mm_cosmic.examination.Examination
        The exposures and what they tell.
    masks : dict
        Masks by their names.
    log_probability : ndarray of float32, shape (ny, nx)
        Smallest log null probability.
    options : MMCosmicOptions
        Options.
    **others
        Further attributes.

    Returns
    -------
    MMCosmicResult
    """
    return MMCosmicResult(
        **masks,
        log_probability=log_probability,
        lowest=examination.lowest,
        median=examination.median,
        n_usable=examination.n_usable,
        equivalence=examination.model,
        prior=examination.prior,
        read_variance=examination.read_variance,
        poisson_factor=examination.poisson_factor,
        expected_false=options.false_pixels,
        warnings=make_warnings(examination.model, examination.n_usable),
        **others,
    )


def make_warnings(model, n_usable):
    """
    Tell the user what should be known about the data.

    Parameters
    ----------
    model : crsteps.mm_cosmic.equivalence.EquivalenceModel
        Differences between the exposures.
    n_usable : ndarray of uint8, shape (ny, nx)
        Number of usable exposures.

    Returns
    -------
    tuple of str
        Sentences.
    """
    messages = [
        f"exposure {i + 1} holds no usable data or no light of the scene and is left out"
        for i in np.flatnonzero(~model.usable)
    ]
    for name, ratio in (("read noise", model.read_noise_ratio), ("gain", model.gain_ratio)):
        if np.isfinite(ratio) and not 1 / NOISE_TOLERANCE < ratio < NOISE_TOLERANCE:
            messages.append(
                f"the exposures differ as if the {name} were {ratio:.2f} times the given one: "
                "masks and variances are only as good as the noise they are told"
            )
    untested = np.count_nonzero(n_usable < 2)
    if untested:
        messages.append(
            f"{untested} pixels have fewer than two usable exposures and are not tested"
        )
    return tuple(messages)


def without_pixels(result, pixels):
    """
    Take pixels out of all masks of a result.

    Parameters
    ----------
    result : MMCosmicResult
        Result; not modified.
    pixels : ndarray of bool, shape (ny, nx)
        Pixels that no cosmic ray hit, or that are not to be flagged.

    Returns
    -------
    MMCosmicResult
    """
    kept = ~pixels
    names = ("exposure_masks", "suspect_masks", "mediancr", "meancrt", "meancr")
    changes = {name: getattr(result, name) & kept for name in names}
    if result.codes is not None:
        changes["codes"] = np.where(kept, result.codes, np.uint8(0))
    return replace(result, **changes)
