"""Flux of each exposure relative to their median image: given, or measured from the pixels."""

from dataclasses import dataclass
from numbers import Real

import numpy as np

# Pixels in which the scene is this many sigma of one exposure are compared; of the values of all
# exposures so many at most, evenly picked.
_SIGNIFICANT, _MOST_VALUES = 5.0, 2_000_000
# They are picked where the median is this many sigma, less strictly: a cut in the median, of which
# the noise is that of one exposure, would favour that exposure.
_PICKED = 3.0
# With fewer pixels than this, a factor is not measured.
_FEWEST_PIXELS = 30
# An exposure with a smaller factor has no signal.
_LEAST_FACTOR = 0.02
# Relative differences beyond this many sigma have no weight (Tukey's biweight).
_BIWEIGHT = 4.685
_SIGMA_OVER_MAD = 1.4826
_ITERATIONS, _CONVERGED = 25, 1e-6
# Bins of the histograms along ratio and median, and of the curve.
_N_BINS, _N_LEVELS = 101, 20


@dataclass(frozen=True)
class FluxFactors:
    """
    Flux of each exposure relative to the median image, and what a figure of it shows.

    Attributes
    ----------
    values : ndarray of float, shape (n,)
        Factors by which the exposures are brighter than the median image.
    errors : ndarray of float, shape (n,)
        Standard errors from the scatter of the pixels; NaN where the factor was not measured.
    warnings : tuple of str
        Why factors were not measured; those are 1.
    histograms : ndarray of int, shape (n, n_ratios, n_medians)
        Number of pixels by ratio to the median image (rows) and by median (columns).
    ratio_edges, median_edges : ndarray of float
        Edges of the bins.
    levels : ndarray of float, shape (n_levels,)
        Typical medians of equally large samples of pixels, ascending: the curve's abscissae.
    ratios : ndarray of float, shape (n, n_levels)
        Median ratio of each exposure in these samples: flat where one factor describes it.
    """

    values: np.ndarray
    errors: np.ndarray
    warnings: tuple
    histograms: np.ndarray
    ratio_edges: np.ndarray
    median_edges: np.ndarray
    levels: np.ndarray
    ratios: np.ndarray


def resolve_flux_factors(flux_factor, n_exposures):
    """
    Read the flux factors that a user gave.

    Parameters
    ----------
    flux_factor : None, str, float or sequence
        "none" or None for exposures of equal flux, "auto", one number for all exposures, or one
        for each; text may hold numbers.
    n_exposures : int
        Number of exposures.

    Returns
    -------
    ndarray of float, shape (n_exposures,), or None
        The factors; None for "auto", which `measure_flux_factors` then finds.

    Raises
    ------
    ValueError
        Something else, a number that is not positive, or the wrong number of them.
    """
    values = flux_factor
    if isinstance(values, str):
        values = [text for text in values.strip(" []()").replace(",", " ").split() if text]
    if values is None or isinstance(values, Real):
        values = [1.0 if values is None else values]
    values = list(values)
    if len(values) == 1 and isinstance(values[0], str):
        word = values[0].strip().lower()
        if word == "auto":
            return None
        values = [1.0] if word == "none" else values
    try:
        factors = np.array([float(value) for value in values])
    except (TypeError, ValueError):
        factors = np.array([])
    if not factors.size or not (np.isfinite(factors) & (factors > 0)).all():
        raise ValueError(
            f"flux_factor = {flux_factor} cannot be used: "
            "give none, auto, a positive number or one for each exposure"
        )
    if factors.size not in (1, n_exposures):
        raise ValueError(
            f"flux_factor has {factors.size} values for {n_exposures} exposures: "
            "give one, or one for each"
        )
    return np.broadcast_to(factors, n_exposures).copy()


def measure_flux_factors(data, median, *, noise, region=None):
    """
    Measure how much brighter each exposure is than the median image.

    The exposures are taken as ``x_i = f_i S + noise``. In turn the scene S is the mean of the
    ``x_i / f_i`` weighted with their inverse variances, whose noise is independent of that of the
    residuals ``x_i - f_i S``, so that neither choosing pixels by S nor dividing by it biases the
    result; and f_i is the centre of the ratios ``x_i / S`` by iteratively reweighted means with
    Tukey's biweight. The weights are those of the noise plus a relative scatter, which is measured
    and holds what a factor cannot describe: shifts, fibres. Pixels in which any exposure is an
    outlier, hit by a cosmic ray, are left out of all. In the end the factors are referred to the
    median image, which is compared with S in the same way.

    Parameters
    ----------
    data : sequence of ndarray, shape (ny, nx)
        Two or more exposures, bias subtracted; NaN is missing. Not modified.
    median : ndarray, shape (ny, nx)
        Their median image, data units.
    noise : crsteps.detector.noise.ExposureNoise
        Noise of the exposures.
    region : ndarray of bool, shape (ny, nx), optional
        Pixels to compare; default: all.

    Returns
    -------
    FluxFactors
        Factors that cannot be measured, for want of significant pixels, are 1, with a warning.
    """
    pixels = _pixels_of(data, median, noise, region)
    n_exposures = len(pixels.stack)
    significant = np.flatnonzero(pixels.median**2 > _PICKED**2 * pixels.largest_variance())
    values, errors, warnings = np.ones(n_exposures), np.full(n_exposures, np.nan), []
    if significant.size < _FEWEST_PIXELS:
        warnings.append(
            f"flux factors were not measured, but set to 1: only {significant.size} pixels of "
            "the flux regions have a significant signal and are seen in all exposures"
        )
    else:
        values, errors = _fit(pixels.at(significant[_evenly(significant.size, n_exposures)]))
    lost = ~(values > _LEAST_FACTOR)
    for i in np.flatnonzero(lost):
        warnings.append(
            f"the flux factor of exposure {i + 1} was not measured, but set to 1: "
            "it shows no signal where the median image does"
        )
    values[lost], errors[lost] = 1.0, np.nan
    return FluxFactors(values, errors, tuple(warnings), **_figure_samples(pixels, values))


@dataclass(frozen=True)
class _Pixels:
    """Exposures (n, n_pixels), median image (n_pixels,) and noise (n or 1, n_pixels)."""

    stack: np.ndarray
    median: np.ndarray
    read_variance: np.ndarray
    poisson_factor: np.ndarray

    def variance(self, signal):
        return self.read_variance + self.poisson_factor * signal

    def largest_variance(self):
        return self.variance(self.median).max(axis=0)

    def at(self, chosen):
        return _Pixels(*(getattr(self, name)[..., chosen] for name in self.__dataclass_fields__))


def _pixels_of(data, median, noise, region):
    """Pixels of the regions with a positive median and a value in every exposure with values."""
    inside = np.isfinite(median) & (median > 0)
    if region is not None:
        inside &= region
    stack = np.array([np.asarray(image)[inside] for image in data], dtype=np.float32)
    finite = np.isfinite(stack)
    common = finite[finite.any(axis=1)].all(axis=0)
    inside[inside] = common
    read_variance, poisson_factor = (
        np.broadcast_to(values, (len(values), *inside.shape))[:, inside]
        for values in (noise.read_variance, noise.poisson_factor)
    )
    return _Pixels(stack[:, common], np.asarray(median)[inside], read_variance, poisson_factor)


def _evenly(n_pixels, n_exposures):
    """Slice that leaves so many pixels that the work stays bounded."""
    return slice(None, None, max(1, n_pixels * n_exposures // _MOST_VALUES))


def _fit(pixels):
    """Factors relative to the median image, and their standard errors."""
    with_data = np.isfinite(pixels.stack).all(axis=1)
    factors = np.median(pixels.stack / pixels.median, axis=1).astype(float)
    fitted = np.flatnonzero(with_data & (factors > _LEAST_FACTOR))
    errors = np.full(factors.size, np.nan)
    factors[~with_data] = np.nan
    if fitted.size < 2:  # nothing to compare with
        return factors, errors
    n_noise = len(pixels.read_variance)
    own_noise = fitted if n_noise == factors.size else slice(None)
    pixels = _Pixels(
        pixels.stack[fitted].astype(float),
        pixels.median,
        pixels.read_variance[own_noise],
        pixels.poisson_factor[own_noise],
    )
    factors[fitted], errors[fitted] = _fit_exposures(pixels, factors[fitted])
    return factors, errors


def _fit_exposures(pixels, start):
    """Factors of exposures that all show signal, and their errors."""
    factors, scene = start / start.mean(), pixels.median.astype(float)
    for _ in range(_ITERATIONS):
        scale = factors[:, np.newaxis]
        variance = pixels.variance(scale * np.maximum(scene, 0))
        information = (scale**2 / variance).sum(axis=0)
        scene = (scale * pixels.stack / variance).sum(axis=0) / information
        bright = scene > _SIGNIFICANT * np.sqrt(variance.max(axis=0))
        if np.count_nonzero(bright) < _FEWEST_PIXELS:  # what looked like signal were outliers
            return np.full(factors.size, np.nan), np.full(factors.size, np.nan)
        ratios = pixels.stack[:, bright] / scene[bright]
        # Variance of a ratio around its factor: in part the scene follows each exposure.
        relative = (variance - scale**2 / information)[:, bright] / scene[bright] ** 2
        brightest = _brightest((pixels.stack[:, bright] / scale).min(axis=0))
        weights = _weights(ratios - scale, relative, brightest)
        new = _weighted_mean(ratios, weights)
        new /= new.mean()
        change, factors = np.abs(new - factors).max(), new
        if change < _CONVERGED:
            break
    errors = np.sqrt(((weights * (ratios - scale)) ** 2).sum(axis=1)) / weights.sum(axis=1)
    of_median = _centre(pixels.median[bright] / scene[bright], weights.mean(axis=0))
    return factors / of_median, errors / of_median


def _brightest(lowest):
    """Indices of the brightest pixels; by their lowest exposure, for the mean is bright in hits."""
    number = max(_FEWEST_PIXELS, lowest.size // 10)
    return np.argpartition(lowest, lowest.size - number)[-number:]


def _weights(residuals, relative, brightest):
    """
    Weights of ratios (n, n_pixels) by their variance and by how well all of a pixel agree.

    Where one exposure disagrees, the scene is wrong for all others too.
    """
    scatter = _SIGMA_OVER_MAD * np.median(np.abs(residuals[:, brightest]), axis=1)
    beyond_noise = np.maximum(scatter**2 - np.median(relative[:, brightest], axis=1), 0)
    variance = relative + beyond_noise[:, np.newaxis]
    biweight = np.maximum(1 - residuals**2 / (variance * _BIWEIGHT**2), 0) ** 2
    return biweight.min(axis=0) / variance


def _weighted_mean(ratios, weights):
    return (weights * ratios).sum(axis=1) / weights.sum(axis=1)


def _centre(ratios, weights):
    """Centre of the ratios of the median image to the scene, where the exposures agree."""
    agreeing = weights > 0
    ratios, weights = ratios[agreeing], weights[agreeing]
    order = np.argsort(ratios)
    cumulative = np.cumsum(weights[order])
    return ratios[order[np.searchsorted(cumulative, cumulative[-1] / 2)]]


def _figure_samples(pixels, values):
    """What the figure shows: histograms and running medians of the ratios."""
    chosen = _evenly(pixels.median.size, len(values))
    median = pixels.median[chosen]
    ratios = pixels.stack[:, chosen] / median
    limits = np.quantile(median, (0.01, 1.0)) if median.size else np.ones(2)
    median_edges = np.geomspace(0.99 * limits[0], 1.01 * limits[1], _N_BINS + 1)
    ratio_edges = np.linspace(0.5 * values.min(), values.max() + 0.5 * values.min(), _N_BINS + 1)
    histograms = [
        np.histogram2d(row, median, bins=(ratio_edges, median_edges))[0] for row in ratios
    ]
    order = np.array_split(np.argsort(median), _N_LEVELS) if median.size >= _N_LEVELS else []
    return {
        "histograms": np.array(histograms, dtype=np.int64),
        "ratio_edges": ratio_edges,
        "median_edges": median_edges,
        "levels": np.array([np.median(median[part]) for part in order]),
        "ratios": np.array([np.median(ratios[:, part], axis=1) for part in order])
        .reshape(-1, len(values))
        .T,
    }
