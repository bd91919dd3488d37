"""What is learnt from the exposures before anything is flagged: differences, scene, candidates."""

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from crsteps.cosmic_rays.hysteresis import dilate
from crsteps.mm_cosmic import scene as scenes
from crsteps.mm_cosmic.blocks import ExposureReader, block_slices
from crsteps.mm_cosmic.detection import Candidates
from crsteps.mm_cosmic.equivalence import EquivalenceModel, align_block
from crsteps.mm_cosmic.measurement import measure_equivalence, measurement_bands
from crsteps.mm_cosmic.null_model import ScenePrior, estimate_scene_prior

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
class Examination:
    """
    What the exposures tell before anything is flagged; images are (ny, nx).

    Attributes
    ----------
    reader : crsteps.mm_cosmic.blocks.ExposureReader
        The exposures.
    model : crsteps.mm_cosmic.equivalence.EquivalenceModel
        Their differences.
    prior : crsteps.mm_cosmic.null_model.ScenePrior
        Distribution of the scene.
    read_variance, poisson_factor : float
        Typical noise.
    candidates : crsteps.mm_cosmic.detection.Candidates
        Pixels worth a test.
    lowest, median : ndarray of float32
        Mean of the lowest exposures, and median, on the common scale; NaN without any exposure.
    n_usable : ndarray of uint8
        Number of usable exposures.
    """

    reader: ExposureReader
    model: EquivalenceModel
    prior: ScenePrior
    read_variance: float
    poisson_factor: float
    candidates: Candidates
    lowest: np.ndarray
    median: np.ndarray
    n_usable: np.ndarray


def examine(reader, options, *, offsets=None):
    """
    Measure how exposures differ, learn their scene, and choose the pixels to test.

    Parameters
    ----------
    reader : crsteps.mm_cosmic.blocks.ExposureReader
        Exposures that were checked.
    options : crsteps.mm_cosmic.options.MMCosmicOptions
        Options.
    offsets : array-like, shape (n, 2), optional
        Shifts of the exposures that are known, see `measure_equivalence`.

    Returns
    -------
    Examination

    Raises
    ------
    ValueError
        No pixel has two usable exposures.
    """
    bands = [reader.block(rows) for rows in measurement_bands(*reader.shape)]
    model = measure_equivalence(bands, adapt=options.equivalence == "auto", offsets=offsets)
    prior, typical = _learn_scene(bands, model)
    del bands
    return Examination(reader, model, prior, *typical, *_examine_blocks(reader, model, options))


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
