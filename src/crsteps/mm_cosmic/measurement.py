"""Measure the differences between exposures (`EquivalenceModel`) from the exposures themselves."""

from dataclasses import replace

import numpy as np
from scipy.optimize import nnls

from crsteps.mm_cosmic import scene as scenes
from crsteps.mm_cosmic.equivalence import (
    BAND_PIXELS,
    BAND_ROWS,
    BOX_LONG,
    BOX_SHORT,
    BOX_SQUARE,
    DEAD_FLUX,
    MINIMUM_LOCAL_EXCESS,
    EquivalenceModel,
    align_block,
    box_sums,
)

_ITERATIONS = 3
# Differences below this many of their errors are taken as none.
_SIGNIFICANCE = 4.0
# Median of the square of a standard normal variable.
_CHI2_MEDIAN = 0.4549364
# A squared difference of more variances than this is no noise (probability 8e-6).
_LARGEST_CHI2 = 20.0
# Part of the bright bins whose excess the extra variance is to cover, how many there must be, and
# the signal squared over the variance from which a bin is bright.
_COVERED, _FEWEST_BRIGHT_BINS, _BRIGHT = 0.85, 3, 25.0
# Error of a variance from the median of n squares, in units of itself and 1 / sqrt(n).
_MEDIAN_ERROR = 2.33
_FEWEST_IN_BIN = 60
# The same for the extra variance, where the brightest pixels of a few stars matter most.
_FEWEST_BRIGHT = 12
# Read variance and gain with a larger relative error are not compared with the given ones.
_LARGEST_NOISE_ERROR = 0.15
# Differences of pairs of exposures that are looked at for the extra variance.
SAMPLES = 450_000


def measurement_bands(n_rows, n_columns):
    """
    Choose the bands of rows on which exposures are compared.

    Parameters
    ----------
    n_rows, n_columns : int
        Shape of the image.

    Returns
    -------
    list of slice
        Bands evenly spread over the image, all of it when it is small.
    """
    n_bands = max(1, int(BAND_PIXELS / (BAND_ROWS * n_columns)))
    if n_bands * BAND_ROWS >= n_rows:
        return [slice(0, n_rows)]
    starts = np.linspace(0, n_rows - BAND_ROWS, n_bands).astype(int)
    return [slice(start, start + BAND_ROWS) for start in starts]


def measure_equivalence(bands, *, adapt=True, offsets=None):
    """
    Measure how far exposures are from equal.

    Parameters
    ----------
    bands : list of tuple
        ``(stack, noise)`` of each band of rows: exposures (n, rows, nx) with NaN for missing
        pixels, and their `crsteps.detector.noise.ExposureNoise`.
    adapt : bool, optional
        False assumes equal exposures and only checks the noise.
    offsets : array-like, shape (n, 2), optional
        Shifts dx, dy that are known, pixels: those of the model without `adapt`, where it starts
        with it.

    Returns
    -------
    EquivalenceModel

    Raises
    ------
    ValueError
        Fewer than two exposures hold usable data.
    """
    n = bands[0][0].shape[0]
    model = replace(EquivalenceModel.equal(n), usable=_alive(bands))
    if offsets is not None:
        dx, dy = np.asarray(offsets, dtype=float).T
        model = replace(model, dx=dx, dy=dy)
    if adapt and model.usable.any():
        model = _starting_flux(bands, model)
    if model.usable.sum() < 2:
        raise ValueError("fewer than two exposures hold usable data: there is nothing to compare")
    if adapt:
        for _ in range(_ITERATIONS):
            model = _refine_global(bands, model)
        model = _local_differences(bands, model)
    return _extra_variance(bands, model, adapt=adapt)


def _alive(bands):
    """Exposures with any usable pixel."""
    return np.any([np.isfinite(stack).any(axis=(1, 2)) for stack, _ in bands], axis=0)


def _starting_flux(bands, model):
    """Median ratio to the median image in bright pixels; dead exposures are left out."""
    ratios = []
    for stack, noise in bands:
        planes = scenes.sort_exposures(stack)
        median = scenes.median_of_sorted(planes)
        variance = noise.largest_variance(np.nan_to_num(median))
        bright = median > 4 * np.sqrt(variance)
        ratios.append(stack[:, bright] / median[bright])
    ratios = np.concatenate(ratios, axis=1)
    if ratios.shape[1] < 30:
        return model
    flux = np.ones(ratios.shape[0])
    for i in np.flatnonzero(model.usable):
        finite = ratios[i][np.isfinite(ratios[i])]
        flux[i] = np.median(finite) if finite.size else 1.0
    usable = model.usable & (flux > DEAD_FLUX)
    flux[~usable] = 1
    flux /= flux[usable].mean()
    return replace(model, flux=np.where(usable, flux, 1.0), usable=usable)


def _refine_global(bands, model):
    """One robust least-squares step of flux, shift and offset, kept only where significant."""
    index = np.flatnonzero(model.usable)
    normal = np.zeros((index.size, 4, 4))
    right = np.zeros((index.size, 4))
    for stack, noise in bands:
        aligned = align_block(stack, noise, model)
        regressors, tolerance = _regressors(aligned)
        variance = aligned.noise.variance(aligned.scene)
        variance = np.broadcast_to(variance, aligned.stack.shape) + tolerance
        for i, plane in enumerate(aligned.stack):
            residual = plane - aligned.scene
            good = np.abs(residual) < 4 * np.sqrt(variance[i])
            weight = 1 / variance[i][good]
            # In single precision flux and offset of an even scene would not be independent.
            design = regressors[:, good].astype(float)
            normal[i] += (design * weight) @ design.T
            right[i] += (design * weight) @ residual[good]
    # Weak expectations, which decide only where the scene tells nothing: an even image cannot
    # tell flux from offset.
    normal += np.diag([1.0, 1.0, 1.0, 0.0])
    normal[:, 3, 3] = np.where(normal[:, 3, 3] > 0, normal[:, 3, 3] * (1 + 1e-9), 1)
    return _updated(model, index, *_significant_step(normal, right, _differences(model, index)))


def _differences(model, index):
    """Differences from equal exposures, in the order of the regressors and relative to the flux."""
    flux = model.flux[index]
    return np.stack(
        [1 - 1 / flux, model.dx[index], model.dy[index], model.offset[index] / flux], axis=1
    )


def _significant_step(normal, right, differences):
    """
    Solve for steps after which only significant differences are left.

    What differs least from exposure to exposure, in units of its error, is set to none for all of
    them, and the rest is solved for again: an even scene of unequal exposures tells neither flux
    nor offset if both are free. Returns the steps and the columns that differ.
    """
    step = -differences
    free = [0, 1, 2, 3]
    while free:
        fixed = [column for column in range(4) if column not in free]
        inverse = np.linalg.inv(normal[:, free][:, :, free])
        known = np.einsum("ijk,ik->ij", normal[:, free][:, :, fixed], step[:, fixed])
        step[:, free] = np.einsum("ijk,ik->ij", inverse, right[:, free] - known)
        errors = np.sqrt(np.diagonal(inverse, axis1=1, axis2=2))
        left = (differences + step)[:, free]
        significance = np.abs(left - left.mean(axis=0)) / errors
        least = int(np.argmin(significance.max(axis=0)))
        if significance[:, least].max() > _SIGNIFICANCE:
            break
        step[:, free[least]] = -differences[:, free[least]]
        del free[least]
    return step, free


def _regressors(aligned):
    """Scene, minus gradients and one; and what a first guess may still be off by, squared."""
    scene = aligned.scene
    gx, gy = scenes.gradients(scene)
    sigma = np.sqrt(aligned.noise.largest_variance(scene))
    # Where scene and gradients are noise they would only bias the fit towards zero.
    significant = [np.where(np.abs(values) > 4 * sigma, values, 0) for values in (scene, -gx, -gy)]
    regressors = np.stack([*significant, np.ones_like(scene)])
    return regressors, (0.03 * scene) ** 2 + 0.01 * (gx**2 + gy**2)


def _updated(model, index, step, free):
    """Add a step to the model and normalise: mean flux one, mean shift and offset zero."""
    none = EquivalenceModel.equal(model.flux.size)
    new = {name: getattr(none, name).copy() for name in ("flux", "dx", "dy", "offset")}
    if 0 in free:
        flux = model.flux[index] * (1 + np.clip(step[:, 0], -0.5, 1.0))
        new["flux"][index] = flux / flux.mean()
    for name, column, largest in (("dx", 1, 1.0), ("dy", 2, 1.0), ("offset", 3, np.inf)):
        if column in free:
            unit = model.flux[index] if name == "offset" else 1.0
            total = getattr(model, name)[index] + step[:, column] * unit
            total = np.clip(total, -largest, largest)
            new[name][index] = total - total.mean()
    return replace(model, **new)


def _local_differences(bands, model):
    """Find the box in which flux differs locally, and by how much."""
    power = np.zeros(2)
    aligned_bands = []
    for stack, noise in bands:
        aligned = align_block(stack, noise, model)
        aligned_bands.append(aligned)
        gx, gy = scenes.gradients(aligned.scene)
        # Compressed, so that a few bright lines do not outweigh all fibres.
        variance = aligned.noise.largest_variance(aligned.scene)
        power += [np.log1p(g**2 / variance).mean() for g in (gx, gy)]
    box = _box_shape(*power)
    chi2, information = [], []
    for aligned in aligned_bands:
        for numerator, denominator in box_sums(aligned.stack, aligned.noise, aligned.scene, box):
            # A box's ratio has the variance 1/denominator; only those that tell 5 % count.
            good = denominator > 400
            chi2.append(numerator[good] ** 2 / denominator[good])
            information.append(denominator[good])
    chi2, information = np.concatenate(chi2), np.concatenate(information)
    if chi2.size < _FEWEST_IN_BIN:
        return model
    excess = np.median(chi2) / _CHI2_MEDIAN - 1
    if excess < MINIMUM_LOCAL_EXCESS:
        return model
    scatter = np.sqrt(excess / np.median(information))
    return replace(model, local_box=box, local_scatter=float(scatter))


def _box_shape(power_x, power_y):
    """Long along the direction in which the scene changes little (dispersion), else square."""
    if power_y > 2 * power_x:
        return (BOX_SHORT, BOX_LONG)
    if power_x > 2 * power_y:
        return (BOX_LONG, BOX_SHORT)
    return (BOX_SQUARE, BOX_SQUARE)


def _extra_variance(bands, model, *, adapt):
    """Fit what pairs of exposures differ by beyond their noise; check the given noise."""
    n_pixels = sum(stack[0].size for stack, _ in bands)
    step = max(1, n_pixels * int(model.usable.sum()) // SAMPLES)
    samples = [_pair_samples(stack, noise, model, step) for stack, noise in bands]
    samples = np.concatenate(samples, axis=1)
    read_noise_ratio, gain_ratio = _noise_check(*_common_bins(samples, fewest=_FEWEST_IN_BIN)[:3])
    model = replace(model, read_noise_ratio=read_noise_ratio, gain_ratio=gain_ratio)
    if not adapt:
        return model
    columns, excess, weight = _binned_excess(samples)
    if excess.size == 0:
        return model
    # Equal exposures get no extra variance unless it is significant; in others a term that is too
    # small to be sure of still costs less than false pixels.
    needed = _SIGNIFICANCE if model.is_equal else 0.0
    coefficients = _significant_excess(columns[2:], excess, weight, needed)
    if not model.is_equal:
        coefficients = _cover_misfit(coefficients, columns, excess, weight)
    relative, *gradient = coefficients
    return replace(model, relative_variance=relative, gradient_variance=tuple(gradient))


def _significant_excess(columns, excess, weight, needed):
    """Fit the excess of the variance with those columns whose significance is the one needed."""
    result = [0.0] * len(columns)
    # In units of its error; where a scene has no gradients, only rounding is left of them.
    free = [i for i, column in enumerate(columns) if np.max(column * weight) > 1e-3]
    while free:
        design = (columns[free] * weight).T
        coefficients, _ = nnls(design, excess * weight)
        inverse = np.linalg.pinv(design.T @ design, hermitian=True)
        significance = coefficients / (_MEDIAN_ERROR * np.sqrt(np.diag(inverse)))
        least = int(np.argmin(significance))
        if significance[least] >= needed:
            for column, coefficient in zip(free, coefficients, strict=True):
                result[column] = float(coefficient)
            break
        del free[least]
    return result


def _cover_misfit(coefficients, columns, excess, weight):
    """
    Raise the extra variance where the three terms do not describe the differences.

    Seeing that changes, for one, makes the cores of stars differ where the gradient is zero. In
    most bins, each of equal importance, the extra variance is to reach the excess less its error.
    """
    # Bright bins only: in faint ones a scene that is too low and a large difference may have the
    # same cosmic ray as their cause.
    bright = columns[2] > _BRIGHT * (columns[0] + columns[1])
    if bright.sum() < _FEWEST_BRIGHT_BINS:
        return coefficients
    columns, excess, weight = columns[2:, bright], excess[bright], weight[bright]
    sure = excess - _MEDIAN_ERROR / weight
    missing = (sure - np.asarray(coefficients) @ columns) / columns.sum(axis=0)
    more = max(0.0, float(np.quantile(missing, _COVERED)))
    return [coefficient + more for coefficient in coefficients]


def _pair_samples(stack, noise, model, step):
    """
    Squared differences of pairs, and what they may depend on, for a sample of pixels.

    Returns (6, n_samples): squared difference, read variance, Poisson variance, signal squared
    and gradients squared, the last five summed over the two members.
    """
    aligned = align_block(stack, noise, model)
    gx, gy = scenes.gradients(aligned.scene)
    signal = np.maximum(aligned.scene, 0)
    pick = (slice(None, None, step),)
    rows = []
    read, poisson = (
        np.broadcast_to(v, aligned.stack.shape)
        for v in (aligned.noise.read_variance, aligned.noise.poisson_factor)
    )
    # Each exposure with the next: all of them count, and the work grows with their number only.
    for i in range(len(aligned.stack)):
        rows.append(
            [
                (aligned.stack[i] - aligned.stack[i - 1]).ravel()[pick] ** 2,
                (read[i] + read[i - 1]).ravel()[pick],
                ((poisson[i] + poisson[i - 1]) * signal).ravel()[pick],
                *(2 * values.ravel()[pick] ** 2 for values in (signal, gx, gy)),
            ]
        )
    samples = np.concatenate(np.array(rows), axis=1, dtype=float)
    return samples[:, np.isfinite(samples[0])]


def _binned_excess(samples):
    """
    Medians of squared differences in bins of signal and gradients, without cosmic rays.

    Returns the five columns (read, Poisson, signal squared, gradients squared) at each bin,
    the excess of the variance over read and Poisson, and the weight (reciprocal error).
    """
    *common, left, largest = _common_bins(samples, fewest=_FEWEST_BRIGHT, without_hits=True)
    # Rare combinations, the cores of a few stars, are put together by the largest of the three.
    *rare, _ = _bin_medians(
        samples[:, left], largest[left], fewest=_FEWEST_BRIGHT, without_hits=True
    )
    return tuple(np.concatenate(pair, axis=-1) for pair in zip(common, rare, strict=True))


def _common_bins(samples, *, fewest, without_hits=False):
    """Bins of signal and gradients; also the samples in too small ones, and a coarser key."""
    edges = np.geomspace(0.03, 3e4, 25)
    digits = [np.digitize(column / (samples[1] + samples[2]), edges) for column in samples[3:]]
    key = (digits[0] * 32 + digits[1]) * 32 + digits[2]
    return *_bin_medians(samples, key, fewest=fewest, without_hits=without_hits), np.max(
        digits, axis=0
    )


def _bin_medians(samples, key, *, fewest, without_hits):
    """
    Medians of squared differences of the samples with one key.

    Returns the mean columns, the excess of the median as a variance, its weight, and which
    samples are in bins that have too few.
    """
    if key.size == 0:
        return np.empty((5, 0)), np.empty(0), np.empty(0), np.empty(0, dtype=int)
    # In units of the expected variance, which is not the same for all samples of a bin.
    relative = samples[0] / (samples[1] + samples[2])
    order = np.lexsort((relative, key))
    ordered, sorted_key, relative = samples[:, order], key[order], relative[order]
    starts = np.flatnonzero(np.r_[True, sorted_key[1:] != sorted_key[:-1]])
    sizes = np.diff(np.r_[starts, key.size])
    middle = relative[starts + sizes // 2]
    if without_hits:
        # Cosmic rays in a few per cent of the pixels raise a median by as much.
        limit = np.repeat(_LARGEST_CHI2 / _CHI2_MEDIAN * middle, sizes)
        n_clean = np.add.reduceat((relative <= limit).astype(int), starts)
        middle = relative[starts + n_clean // 2]
    kept = sizes >= fewest
    sums = np.array([np.add.reduceat(column, starts) for column in ordered[1:]])
    means, sizes_kept = (sums / sizes)[:, kept], sizes[kept]
    expected = means[0] + means[1]
    measured = middle[kept] / _CHI2_MEDIAN * expected
    weight = np.sqrt(sizes_kept) / np.maximum(measured, expected)
    return means, measured - expected, weight, order[np.repeat(~kept, sizes)]


def _noise_check(columns, excess, weight):
    """Measured over given read noise and gain; NaN for what the samples do not tell."""
    if excess.size == 0:
        return float("nan"), float("nan")
    measured = excess + columns[0] + columns[1]
    design = (columns[:2] * weight).T
    coefficients, _ = nnls(design, measured * weight)
    # Both must stand apart: read noise needs faint pixels, the gain a range of brighter ones. The
    # small term gives what does not matter at all a large error.
    errors = _MEDIAN_ERROR * np.sqrt(np.diag(np.linalg.inv(design.T @ design + 1e-6 * np.eye(2))))
    told = errors < _LARGEST_NOISE_ERROR * np.maximum(coefficients, 1)
    read, poisson = np.where(told, coefficients, np.nan)
    return float(np.sqrt(read)), float(1 / poisson) if poisson > 0 else np.nan
