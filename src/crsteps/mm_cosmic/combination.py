"""Combine equal exposures with the masks of their cosmic rays."""

from dataclasses import dataclass

import numpy as np

from crsteps.mm_cosmic.blocks import ExposureReader, block_slices, divide_by_flux
from crsteps.mm_cosmic.equivalence import align_block
from crsteps.mm_cosmic.last_exposure import fill_from_neighbours
from crsteps.mm_cosmic.order_statistics import median_variance, minimum_variance
from crsteps.mm_cosmic.scene import median_of_sorted, sort_exposures
from crsteps.mm_cosmic.user_pixels import replace_by_local_median

REPLACEMENTS = ("clean_mean", "minimum")
COMBINATIONS = ("mean", "median", "min", "mediancr", "meancrt", "meancr", "meancr2")
CLEANED_COMBINATIONS = frozenset({"mediancr", "meancrt", "meancr", "meancr2"})


@dataclass(frozen=True)
class Combination:
    """
    A combined image; all arrays are (ny, nx).

    Attributes
    ----------
    data : ndarray of float32
        Combined value, data units; NaN without any usable exposure.
    variance : ndarray of float32
        Variance of the combined value from the noise model, data units squared; NaN where the
        value is.
    n_used : ndarray of int16
        Number of exposures in the value. 0 where all of them are missing (NaN), or flagged:
        there the value is the mean of the neighbours, with their scatter in the variance.
    """

    data: np.ndarray
    variance: np.ndarray
    n_used: np.ndarray


def combine(
    exposures,
    result,
    *,
    noise,
    missing=None,
    names=COMBINATIONS,
    block_rows=None,
    use_auxmedian=False,
    replacement="clean_mean",
    user=None,
):
    """
    Combine exposures in one or more ways.

    ``mean``, ``median`` and ``min`` take the exposures as they are. The others take them on the
    common scale of `crsteps.mm_cosmic.equivalence`, so that leaving out an exposure leaves no
    step, and bring the result to the mean of the exposures: ``mediancr`` is the median, with the
    mean of the unflagged exposures in pixels of MEDIANCR; ``meancrt`` the mean, with ``mediancr``
    in pixels of MEANCRT; ``meancr`` the mean of the unflagged exposures, weighted with their
    inverse variance; ``meancr2`` the same without the suspect ones in pixels of MEANCR.

    What these put in the place of hit pixels can be chosen. With ``replacement="minimum"`` it is
    the lowest exposure, as numina-crmasks documents, instead of a mean of unflagged ones: in
    ``mediancr`` in pixels of MEDIANCR, in ``meancr`` in those that all exposures have flagged, in
    ``meancr2`` also in those of MEANCR. With `use_auxmedian` it is, in the same pixels, the median
    image as the first detector of single images has cleaned it.

    Parameters
    ----------
    exposures : sequence of array-like, shape (ny, nx)
        As for `crsteps.mm_cosmic.masks.find_cosmic_rays`.
    result : crsteps.mm_cosmic.masks.MMCosmicResult
        Its result.
    noise : crsteps.detector.noise.ExposureNoise
        Noise of the exposures.
    missing : sequence of array-like of bool, optional
        Pixels of each exposure that hold no data.
    names : sequence of str, optional
        Combinations from `COMBINATIONS`.
    block_rows : int, optional
        Rows worked on at once.
    use_auxmedian : bool, optional
        Whether hit pixels take the value of the cleaned median.
    replacement : {"clean_mean", "minimum"}, optional
        What hit pixels are replaced by otherwise.
    user : crsteps.mm_cosmic.user_pixels.UserPixels, optional
        Pixels the user decides about: those to be replaced are, in all combinations, by the median
        of the pixels around.

    Returns
    -------
    dict of str to Combination

    Raises
    ------
    ValueError
        Unknown combination or replacement, or no cleaned median.
    """
    _check_replacement(replacement, use_auxmedian, result)
    unknown = sorted(set(names) - set(COMBINATIONS))
    if unknown:
        raise ValueError(
            f"unknown combination {unknown[0]!r}: choose from {', '.join(COMBINATIONS)}"
        )
    if result.flux_factors is not None and result.apply_flux_factor_to == "original":
        exposures, noise = divide_by_flux(exposures, noise, result.flux_factors)
    reader = ExposureReader(exposures, noise, missing)
    reader.check()
    combined = {
        name: Combination(
            np.empty(reader.shape, dtype=np.float32),
            np.empty(reader.shape, dtype=np.float32),
            np.empty(reader.shape, dtype=np.int16),
        )
        for name in names
    }
    for rows, around, inner in block_slices(reader, result.equivalence.halo, block_rows):
        block = _Block(reader, result, rows, around, inner, replacement, use_auxmedian)
        for name in names:
            values = getattr(block, name)()
            for target, value in zip(
                (combined[name].data, combined[name].variance, combined[name].n_used),
                values,
                strict=True,
            ):
                target[rows] = value
    for name, image in combined.items():
        if name in CLEANED_COMBINATIONS:
            _fill(image, result, keep_values=use_auxmedian)
        if user is not None and len(user.replaced):
            images = image.data, image.variance, image.n_used
            filled = replace_by_local_median(*images, user, flagged=result.meancrt)
            combined[name] = Combination(*filled)
    return combined


def _check_replacement(replacement, use_auxmedian, result):
    """Refuse a replacement that does not exist or cannot be had."""
    if replacement not in REPLACEMENTS:
        raise ValueError(
            f"unknown replacement {replacement!r}: choose from {', '.join(REPLACEMENTS)}"
        )
    if use_auxmedian and (result.auxiliary is None or result.auxiliary.median.cleaned is None):
        raise ValueError(
            f"use_auxmedian needs a cleaned median, and crmethod {result.crmethod} makes none: "
            "choose one with a detector of single images"
        )


def _fill(image, result, *, keep_values):
    """Give pixels of which no exposure was used the value of their neighbours, and its variance."""
    pixels = (image.n_used == 0) & (result.n_usable > 0)
    values = image.data[pixels]
    fill_from_neighbours(image.data, image.variance, image.n_used, pixels)
    if keep_values:  # the cleaned median is made of the neighbours too
        image.data[pixels] = values


class _Block:
    """The combinations of a block of rows: each method returns data, variance and number."""

    def __init__(self, reader, result, rows, around, inner, replacement, use_auxmedian):
        self.replacement = replacement
        model = result.equivalence
        stack, noise = reader.block(around)
        aligned = align_block(stack, noise, model)
        self.raw = stack[model.usable][:, inner]
        to_mean = np.broadcast_to(aligned.to_mean, aligned.scene.shape)[inner]
        self.stack = aligned.stack[:, inner] + to_mean
        self.usable = np.isfinite(self.stack)
        self.flagged = result.exposure_masks[model.usable][:, rows]
        self.suspect = result.suspect_masks[model.usable][:, rows]
        self.mediancr_mask = result.mediancr[rows]
        self.meancrt_mask = result.meancrt[rows]
        self.meancr_mask = result.meancr[rows]
        self.cleaned = None
        if use_auxmedian:
            self.cleaned = result.auxiliary.median.cleaned[rows] + to_mean
        scene = aligned.scene[inner]
        extra = np.broadcast_to(aligned.extra_variance, aligned.scene.shape)[inner]
        extra = extra + np.float32(model.relative_variance) * np.maximum(scene, 0) ** 2
        self.variances = np.broadcast_to(
            aligned.noise.rows(inner).variance(scene) + extra, self.stack.shape
        )
        self.n_usable = self.usable.sum(axis=0, dtype=np.uint8)

    def mean(self):
        """Plain mean of the usable exposures."""
        with np.errstate(invalid="ignore", divide="ignore"):
            number = self.n_usable.astype(np.float32)
            data = np.where(self.usable, self.raw, 0).sum(axis=0) / number
            variance = np.where(self.usable, self.variances, 0).sum(axis=0) / number**2
        return self._blank(data, variance)

    def median(self):
        """Plain median of the usable exposures."""
        return self._blank(_nan_median(self.raw), self._order_variance(median_variance))

    def min(self):
        """Lowest usable exposure."""
        lowest = np.where(self.usable, self.raw, np.inf).min(axis=0)
        return self._blank(lowest, self._order_variance(minimum_variance))

    def mediancr(self):
        """Median, replaced where too many exposures are hit."""
        common = self._blank(_nan_median(self.stack), self._order_variance(median_variance))
        other = self.replaced()
        return _replace(common, other or self.meancr(), self.mediancr_mask)

    def meancrt(self):
        """Mean, with ``mediancr`` where any exposure is hit."""
        return _replace(self._weighted_mean(self.usable), self.mediancr(), self.meancrt_mask)

    def meancr(self):
        """Mean of the unflagged exposures, replaced where there is none."""
        unflagged = self.usable & ~self.flagged
        mean = self._weighted_mean(unflagged)
        other = self.replaced()
        return _replace(mean, other, ~unflagged.any(axis=0)) if other else mean

    def meancr2(self):
        """Mean of the exposures that are neither flagged nor suspect."""
        unsuspected = self.usable & ~self.flagged & ~self.suspect
        other = self.replaced()
        if other:
            return _replace(self.meancr(), other, self.meancr_mask)
        return _replace(self.meancr(), self._weighted_mean(unsuspected), unsuspected.any(axis=0))

    def replaced(self):
        """What is to be put in the place of hit pixels; None for a mean of unflagged exposures."""
        if self.cleaned is not None:
            # No exposure's value is used: the variance is that of the neighbours, if there are any.
            return self._blank(self.cleaned, self._spread(), np.zeros_like(self.n_usable))
        if self.replacement == "minimum":
            lowest = np.where(self.usable, self.stack, np.inf).min(axis=0)
            variance = self._order_variance(minimum_variance)
            return self._blank(lowest, variance, np.minimum(self.n_usable, 1))
        return None

    def _weighted_mean(self, used):
        """Inverse-variance mean of some exposures; the lowest one where there is none."""
        weight = np.where(used, 1 / self.variances, 0)
        total = weight.sum(axis=0)
        n_used = used.sum(axis=0, dtype=np.uint8)
        with np.errstate(invalid="ignore", divide="ignore"):
            data = np.where(used, self.stack * weight, 0).sum(axis=0) / total
            variance = 1 / total
        none = (n_used == 0) & (self.n_usable > 0)
        if none.any():
            data[none] = np.where(self.usable[:, none], self.stack[:, none], np.inf).min(axis=0)
            # Nothing says how much of the lowest value is charge: the spread of the exposures
            # is the only scale there is.
            variance[none] = self._spread(none)
        return self._blank(data, variance, n_used)

    def _spread(self, pixels=Ellipsis):
        """Variance of an exposure and between the usable ones; at some pixels, or at all."""
        usable = self.usable[:, pixels]
        n_usable = np.maximum(usable.sum(axis=0), 1)
        values = np.where(usable, self.stack[:, pixels], 0)
        deviation = np.where(usable, values - values.sum(axis=0) / n_usable, 0)
        return self.variances[:, pixels].max(axis=0) + (deviation**2).sum(axis=0) / n_usable

    def _order_variance(self, factor):
        """Variance of an order statistic of the usable exposures."""
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = np.where(self.usable, self.variances, 0).sum(axis=0) / self.n_usable
        factors = [0.0] + [factor(n) for n in range(1, len(self.stack) + 1)]
        factors = np.array(factors, dtype=np.float32)
        return mean * factors[self.n_usable]

    def _blank(self, data, variance, n_used=None):
        """NaN where no exposure is usable."""
        n_used = self.n_usable if n_used is None else n_used
        empty = self.n_usable == 0
        if empty.any():
            data, variance = np.where(empty, np.nan, data), np.where(empty, np.nan, variance)
        return data, variance, n_used


def _replace(common, other, mask):
    return tuple(np.where(mask, b, a) for a, b in zip(common, other, strict=True))


def _nan_median(stack):
    return median_of_sorted(sort_exposures(stack))
