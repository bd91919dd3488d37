"""Masks of the pixels that cosmic rays hit in each of several equal exposures, and in most."""

from dataclasses import dataclass
from itertools import combinations
from numbers import Integral

import numpy as np

from crsteps.cosmic_rays.hysteresis import dilate
from crsteps.mm_cosmic import scene as scenes
from crsteps.mm_cosmic.blocks import BLOCK_BYTES, ExposureReader, block_slices
from crsteps.mm_cosmic.detection import Candidates, detect_hits, make_thresholds
from crsteps.mm_cosmic.equivalence import EquivalenceModel, align_block
from crsteps.mm_cosmic.last_exposure import flag_last_exposures
from crsteps.mm_cosmic.measurement import measure_equivalence, measurement_bands
from crsteps.mm_cosmic.null_model import ScenePrior, estimate_scene_prior

# Measured over given read noise or gain beyond which the user is warned.
NOISE_TOLERANCE = 1.25
# Ranges of n standard normal values that 10 and 15 % of pixels exceed by noise: pixels within are
# not worth a test, the second ones beside a pixel that exceeds `_TRACK_RANGE` are.
_RANGE_10_PERCENT = {
    2: 2.33,
    3: 2.9,
    4: 3.24,
    5: 3.48,
    6: 3.66,
    8: 3.93,
    10: 4.13,
    12: 4.28,
    16: 4.52,
}
_RANGE_15_PERCENT = {
    2: 2.04,
    3: 2.63,
    4: 2.98,
    5: 3.23,
    6: 3.42,
    8: 3.7,
    10: 3.9,
    12: 4.07,
    16: 4.31,
}
_TRACK_RANGE = 5.0


@dataclass(frozen=True)
class MMCosmicOptions:
    """
    Options of `find_cosmic_rays`.

    Attributes
    ----------
    cr_coincidences : int
        Exposures that must be hit for a pixel to enter the mask of the median: at least 2 and
        less than the number of exposures.
    false_pixels : float
        Expected number of falsely flagged pixels in each mask of an image.
    grow_probability : float
        Pixels connected with a flagged one are flagged below this probability.
    mm_dilation : int
        3x3 dilations of each mask after growth.
    dilation : int
        3x3 dilations of the final masks (numina's global dilation).
    equivalence : {"auto", "none"}
        Whether to measure and take out differences between the exposures.
    block_rows : int or None
        Rows worked on at once; None takes all rows, or as many as fit into `block_bytes`.
    block_bytes : int
        Memory for the work on one block.
    """

    cr_coincidences: int = 2
    false_pixels: float = 1.0
    grow_probability: float = 0.01
    mm_dilation: int = 0
    dilation: int = 0
    equivalence: str = "auto"
    block_rows: int | None = None
    block_bytes: int = BLOCK_BYTES


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
    reader = ExposureReader(exposures, noise, missing)
    reader.check()
    _check_options(options, len(reader))
    bands = [reader.block(rows) for rows in measurement_bands(*reader.shape)]
    model = measure_equivalence(bands, adapt=options.equivalence == "auto")
    prior, typical = _learn_scene(bands, model)
    del bands
    candidates, lowest, median, n_usable = _examine_blocks(reader, model, options)
    hits, suspects, log_probability = _detect(candidates, lowest, n_usable, model, prior, options)
    del candidates
    return MMCosmicResult(
        **_assemble_masks(hits, suspects, n_usable, model, options),
        log_probability=log_probability,
        lowest=lowest,
        median=median,
        n_usable=n_usable,
        equivalence=model,
        prior=prior,
        read_variance=typical[0],
        poisson_factor=typical[1],
        expected_false=options.false_pixels,
        warnings=_warnings(model, n_usable),
    )


def _detect(candidates, lowest, n_usable, model, prior, options):
    """Masks of the exposures, from their values and then from the neighbourhood."""
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
        prior=prior,
    )
    # The mean of the lowest exposures is clean for sure where fewer than the others are hit.
    clean = np.where(hits.sum(axis=0) < options.cr_coincidences, lowest, np.float32(np.nan))
    flag_last_exposures(hits, candidates, clean, extra_relative=model.relative_variance)
    return hits, suspects & ~hits, log_probability


def _assemble_masks(hits, suspects, n_usable, model, options):
    """Dilate, and derive the masks of the combinations from those of the exposures."""
    needed = np.clip(n_usable.astype(np.int16) - 1, 1, options.cr_coincidences)
    n_hit = hits.sum(axis=0, dtype=np.uint8)
    mediancr = dilate(dilate(n_hit >= needed, options.mm_dilation), options.dilation)
    exposure_masks = np.zeros((model.usable.size, *n_usable.shape), dtype=bool)
    suspect_masks = np.zeros_like(exposure_masks)
    steps = options.mm_dilation + options.dilation
    for i, hit, suspect in zip(np.flatnonzero(model.usable), hits, suspects, strict=True):
        exposure_masks[i] = dilate(hit, steps)
        suspect_masks[i] = suspect & ~exposure_masks[i]
    return {
        "exposure_masks": exposure_masks,
        "suspect_masks": suspect_masks,
        "mediancr": mediancr,
        "meancrt": exposure_masks.any(axis=0) | mediancr,
        "meancr": suspect_masks.any(axis=0),
    }


def _warnings(model, n_usable):
    """Sentences about the data that the user should read."""
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


def _check_options(options, n_exposures):
    """Refuse options that have no meaning."""
    whole = {
        "cr_coincidences": (2, n_exposures - 1),
        "mm_dilation": (0, None),
        "dilation": (0, None),
        "block_rows": (1, None),
    }
    for name, (least, most) in whole.items():
        value = getattr(options, name)
        if name == "block_rows" and value is None:
            continue
        if not isinstance(value, Integral) or value < least or (most and value > most):
            limits = f"at least {least}" if most is None else f"{least} to {most}"
            raise ValueError(f"{name} must be a whole number, {limits}, got {value!r}")
    if not options.false_pixels > 0:
        raise ValueError(f"false_pixels must be positive, got {options.false_pixels}")
    if not 0 < options.grow_probability < 1:
        raise ValueError(
            f"grow_probability must lie between 0 and 1, got {options.grow_probability}"
        )
    if options.equivalence not in ("auto", "none"):
        raise ValueError(f"equivalence must be 'auto' or 'none', got {options.equivalence!r}")


def _learn_scene(bands, model):
    """Distribution of the scene and typical noise, from pixels with equally many exposures."""
    lowest, counts, read, poisson = [], [], [], []
    for stack, noise in bands:
        aligned = align_block(stack, noise, model)
        lowest.append(aligned.planes[0].ravel())
        counts.append(scenes.count_usable(aligned.planes).ravel())
        read.append(np.median(aligned.noise.read_variance))
        poisson.append(np.median(aligned.noise.poisson_factor))
    lowest, counts = np.concatenate(lowest), np.concatenate(counts)
    # Usually all exposures; where they overlap in part only, it may be that no pixel has all.
    n_exposures = int(np.argmax(np.bincount(counts, minlength=3)[2:])) + 2
    typical = float(np.median(read)), float(np.median(poisson))
    prior = estimate_scene_prior(
        lowest[counts == n_exposures],
        n_exposures=n_exposures,
        read_variance=typical[0],
        poisson_factor=typical[1],
        relative_variance=model.relative_variance,
    )
    return prior, typical


def _examine_blocks(reader, model, options):
    """Go through the image by blocks: collect candidates, lowest and median images."""
    lowest, median = (np.empty(reader.shape, dtype=np.float32) for _ in range(2))
    n_usable = np.empty(reader.shape, dtype=np.uint8)
    found = []
    for rows, around, inner in block_slices(
        reader, model.halo, options.block_rows, options.block_bytes
    ):
        aligned = align_block(*reader.block(around), model)
        count = scenes.count_usable(aligned.planes)
        n_usable[rows] = count[inner]
        median[rows] = scenes.median_of_sorted(aligned.planes, count)[inner]
        lowest[rows] = _lowest_mean(aligned.planes, count, options.cr_coincidences)[inner]
        found.append(_candidates(aligned, inner, rows.start * reader.shape[1], model))
    return _join(found), lowest, median, n_usable


def _lowest_mean(planes, n_usable, cr_coincidences):
    """Mean of the exposures left when the highest ``cr_coincidences`` are taken off."""
    n_left = np.maximum(n_usable.astype(int) - cr_coincidences, 1)
    total = planes[0].copy()
    for rank in range(1, len(planes) - cr_coincidences):
        total += np.where(rank < n_left, planes[rank], 0)
    return np.where(n_usable > 0, total / n_left, np.float32(np.nan))


def _candidates(aligned, inner, first_index, model):
    """Pixels of the inner rows of a block whose range exceeds what noise does every day."""
    extra = np.broadcast_to(aligned.extra_variance, aligned.scene.shape)
    excess = _largest_difference(
        aligned, extra + np.float32(model.relative_variance) * aligned.scene**2
    )
    tested, beside = (
        np.float32(np.interp(len(aligned.stack), list(table), list(table.values())) ** 2)
        for table in (_RANGE_10_PERCENT, _RANGE_15_PERCENT)
    )
    on_track = excess > max(_TRACK_RANGE**2, tested)
    wide = (excess > tested) | ((excess > beside) & dilate(on_track, 1))
    y, x = np.nonzero(wide[inner])
    pixels = y + inner.start, x
    return Candidates(
        index=(y * wide.shape[1] + x + first_index).astype(np.int64),
        values=aligned.stack[:, *pixels].T,
        read_variance=_at_pixels(aligned.noise.read_variance, *pixels),
        poisson_factor=_at_pixels(aligned.noise.poisson_factor, *pixels),
        extra_variance=extra[pixels],
    )


def _largest_difference(aligned, extra):
    """Largest squared difference of two exposures over their mean variance; 0 without two."""
    variance = aligned.noise.variance(aligned.scene) + extra
    if len(variance) == 1:
        highest = aligned.planes[-1]
        for plane in aligned.planes[-2::-1]:
            highest = np.where(np.isfinite(highest), highest, plane)
        with np.errstate(invalid="ignore"):  # infinity minus infinity: no usable exposure
            return np.nan_to_num((highest - aligned.planes[0]) ** 2 / variance[0])
    largest = np.zeros_like(aligned.scene)
    for i, j in combinations(range(len(variance)), 2):
        difference = aligned.stack[i] - aligned.stack[j]
        excess = 2 * difference**2 / (variance[i] + variance[j])
        largest = np.fmax(largest, excess)
    return largest


def _at_pixels(values, y, x):
    """Pick pixels of a stack that may be constant along any axis: (n_pixels, n)."""
    y, x = (
        np.zeros_like(place) if size == 1 else place
        for place, size in zip((y, x), values.shape[1:], strict=True)
    )
    return values[:, y, x].T.astype(np.float32)


def _join(found):
    return Candidates(
        *(
            np.concatenate([getattr(part, name) for part in found])
            for name in Candidates.__dataclass_fields__
        )
    )
