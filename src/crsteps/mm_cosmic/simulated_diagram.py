"""Median-minimum diagram of simulated exposures without cosmic rays."""

from dataclasses import dataclass

import numpy as np

from crsteps.mm_cosmic.diagram_bins import adapted_bins, even_bins
from crsteps.mm_cosmic.offsets import shift_image
from crsteps.mm_cosmic.scene import sort_exposures

# Sets of exposures of the faintest and the brightest pixel that tell the extent of the axes, and
# how many times their largest median minus minimum the vertical axis reaches: far more pixels are
# simulated than these, and shifted exposures differ by more than noise.
_N_EXTENT_SETS = 10000
_HEADROOM, _HEADROOM_SHIFTED = 2.0, 4.0
# Beyond the reach of the generator: more have the relative scatter of so many, which is none.
_MOST_ELECTRONS = 1e15
_BLOCK_PIXELS = 2**18


@dataclass(frozen=True)
class SimulatedDiagram:
    """
    Two-dimensional histogram of simulated pixels without cosmic rays.

    Attributes
    ----------
    counts : ndarray of int64, shape (ny_bins, nx_bins)
        Simulated pixels in each bin, summed over all simulations: rows are bins of median minus
        minimum, columns are bins of the minimum. Simulated pixels below the lowest or beyond the
        highest minimum of the exposures are not counted.
    x_edges, y_edges : ndarray, shapes (nx_bins + 1,), (ny_bins + 1,)
        Edges of the bins, image units.
    above : ndarray of int64, shape (nx_bins,)
        Simulated pixels of each column that lie above the last bin.
    n_simulations : int
        Number of sets of exposures that were simulated.
    n_pixels : int
        Pixels of each simulation.
    warnings : tuple of str
        What the user should know.
    """

    counts: np.ndarray
    x_edges: np.ndarray
    y_edges: np.ndarray
    above: np.ndarray
    n_simulations: int
    n_pixels: int
    warnings: tuple


@dataclass(frozen=True)
class ExpectedExposures:
    """
    Exposures without noise and without cosmic rays, and the noise to be simulated.

    Attributes
    ----------
    signal : tuple of ndarray, shape (ny, nx)
        Expected signal of each exposure as it is read out, image units; not negative, 0 where it
        is not known. Exposures may share an array.
    divisors : ndarray, shape (n,)
        What each exposure is divided by after noise was added: its flux factor if factors are
        applied to the original exposures.
    gain, read_noise : float or ndarray, shape (ny, nx)
        Electrons per unit, and read noise in image units.
    shifted : bool
        Whether exposures are shifted against each other.
    """

    signal: tuple
    divisors: np.ndarray
    gain: float | np.ndarray
    read_noise: float | np.ndarray
    shifted: bool = False


def expected_exposures(
    images,
    *,
    gain,
    read_noise,
    options,
    flagged=None,
    cleaned=None,
    flux_factors=None,
    apply_flux_factor_to="simulated",
    offsets=None,
):
    """
    Expectation of each exposure from the median of all of them, or from itself.

    Parameters
    ----------
    images : crsteps.mm_cosmic.diagram.DiagramImages
        Images of the diagram; those of exposures divided by their flux factors if these are
        applied to the original exposures.
    gain, read_noise : float or ndarray, shape (ny, nx)
        Electrons per unit, and read noise in image units, of the exposures as they are read out.
    options : crsteps.mm_cosmic.diagram.DiagramOptions
        Options.
    flagged : ndarray of bool, shape (ny, nx), optional
        Pixels of the median that a detector of single images has flagged: they take the lowest
        signal instead.
    cleaned : sequence of ndarray or None, optional
        Exposures as such a detector has cleaned them, which ``synthetic="single"`` starts from.
    flux_factors : array-like, shape (n,), optional
        Flux of each exposure relative to the scene: an exposure with a factor above 1 is brighter
        than the median. 1 if not given.
    apply_flux_factor_to : {"simulated", "original"}, optional
        Whether simulated exposures keep these factors, or are divided by them as the original
        exposures were.
    offsets : array-like, shape (n, 2), optional
        Offsets (dx, dy) in pixels by which each exposure is shifted against the median.

    Returns
    -------
    ExpectedExposures

    Raises
    ------
    ValueError
        ``synthetic="single"`` without cleaned exposures or together with offsets.
    """
    factors = np.asarray(flux_factors, dtype=np.float64)
    divisors = factors if apply_flux_factor_to == "original" else np.ones(factors.size)
    if options.synthetic == "single":
        signal = _cleaned_exposures(cleaned, offsets, factors.size)
        # The cleaned exposures have their own flux already.
        factors = divisors
    else:
        median = np.maximum(images.median, 0)
        if flagged is not None:
            median = np.where(flagged, images.lowest, median)
        signal = [median] * factors.size
        if offsets is not None:
            signal = [shift_image(median, dx, dy) for dx, dy in offsets]
    if all(image is signal[0] for image in signal) and np.all(factors == factors[0]):
        signal = (_nonnegative(signal[0], factors[0]),) * factors.size
    else:
        pairs = zip(signal, factors, strict=True)
        signal = tuple(_nonnegative(image, factor) for image, factor in pairs)
    return ExpectedExposures(signal, divisors, gain, read_noise, offsets is not None)


def _cleaned_exposures(cleaned, offsets, n_exposures):
    """Exposures as a detector of single images has cleaned them."""
    if offsets is not None:
        raise ValueError(
            "synthetic single simulates each exposure where it lies: it does not go with offsets"
        )
    if cleaned is None or len(cleaned) != n_exposures or any(image is None for image in cleaned):
        raise ValueError(
            "synthetic single needs exposures cleaned by a detector of single images: choose "
            "one that cleans, such as lacosmic, or synthetic median"
        )
    return cleaned


def _nonnegative(image, factor):
    """Signal that light can have; what is not known has none."""
    if factor != 1:
        image = image * np.float32(factor)
    return np.fmax(image, np.float32(0))


def simulate_diagram(expected, *, lowest, used, options):
    """
    Simulate the diagram of exposures without cosmic rays.

    Every exposure is drawn from its expectation as photons and read noise several times, and the
    coordinates of all pixels in the diagram are counted. The random numbers are drawn in one
    order, whatever the pixels that are used: with ``bins="uniform"`` one seed gives the diagram
    of numina-crmasks 0.40.

    Parameters
    ----------
    expected : ExpectedExposures
        Expectations and noise.
    lowest : ndarray of float32, shape (ny, nx)
        Horizontal coordinate of the real pixels, for the extent of the axis; NaN is missing.
    used : ndarray of bool, shape (ny, nx)
        Pixels that are counted.
    options : crsteps.mm_cosmic.diagram.DiagramOptions
        Options.

    Returns
    -------
    SimulatedDiagram

    Raises
    ------
    ValueError
        No pixel is used.
    """
    n_pixels = int(np.count_nonzero(used))
    if n_pixels == 0:
        raise ValueError(
            "no pixel is left to simulate the median-minimum diagram from: every one is missing "
            "in some exposure, skipped, or flagged by a detector of single images"
        )
    generator = np.random.default_rng(options.seed)  # PCG64
    spread = _largest_spread(expected, used, options.cr_coincidences)
    columns, rows = _make_axes(generator, expected, lowest[np.isfinite(lowest)], spread, options)
    counts = np.zeros((rows.n_bins + 1, columns.n_bins), dtype=np.int64)  # last row: above
    planes = np.empty((len(expected.signal), *used.shape), dtype=np.float32)
    for _ in range(options.nsimulations):
        for plane, signal, divisor in zip(planes, expected.signal, expected.divisors, strict=True):
            _draw_exposure(generator, plane, signal, divisor, expected, options)
        _count(counts, planes, used, columns, rows, options.cr_coincidences)
    above = counts[-1].copy()
    return SimulatedDiagram(
        counts=counts[:-1],
        x_edges=columns.edges,
        y_edges=rows.edges,
        above=above,
        n_simulations=options.nsimulations,
        n_pixels=n_pixels,
        warnings=_warn_of_pixels_above(above, rows.edges[-1]),
    )


def _warn_of_pixels_above(above, top):
    """Say where the vertical axis is too short."""
    if not above.any():
        return ()
    return (
        f"{above.sum()} simulated pixels in {np.count_nonzero(above)} columns lie above the "
        f"vertical axis of the diagram, which ends at {top:.6g}: the boundary may be too low "
        "there; give a larger mm_ydiag_max, or 0 to derive one",
    )


# --- exposures ----------------------------------------------------------------------------------


def _draw_photons(generator, electrons, options):
    """Photons of an expectation in electrons."""
    reached = np.minimum(electrons, _MOST_ELECTRONS)
    if options.photon_distribution == "poisson":
        photons = generator.poisson(reached)
    else:
        shape = options.nbinom_shape
        photons = generator.negative_binomial(shape, shape / (shape + reached))
    beyond = electrons > _MOST_ELECTRONS
    if beyond.any():
        photons = np.where(beyond, photons * (electrons / _MOST_ELECTRONS), photons)
    return photons


def _draw_exposure(generator, plane, signal, divisor, expected, options):
    """Fill a plane with a simulated exposure: photons of all pixels, then their read noise."""
    blocks = _row_blocks(signal.shape)
    for block in blocks:
        gain = _rows(expected.gain, block)
        electrons = signal[block].astype(np.float64) * gain
        plane[block] = _draw_photons(generator, electrons, options) / gain
    for block in blocks:
        noise = generator.standard_normal(plane[block].shape)
        noise *= _rows(expected.read_noise, block)
        plane[block] += noise
        if divisor != 1:
            plane[block] /= divisor


def _rows(values, block):
    """Rows of an image that may be a number."""
    return values if np.ndim(values) == 0 else values[block]


# --- diagram ------------------------------------------------------------------------------------


def _make_axes(generator, expected, lowest, spread, options):
    """Axes that reach as far as the pixels do, with a spread of the expectations."""
    low, high, top = _extent(generator, expected, lowest, spread, options)
    if options.bins == "uniform":
        return even_bins(low, high), even_bins(0, top, overflow=True)
    unit = float(np.median(expected.read_noise))
    columns = adapted_bins(low, high, unit=unit, values=lowest)
    return columns, even_bins(0, top, unit=unit, overflow=True)


def _extent(generator, expected, lowest, spread, options):
    """Range of both axes, from a few sets of exposures of the faintest and brightest pixel."""
    gain, noise = (float(np.median(values)) for values in (expected.gain, expected.read_noise))
    n = len(expected.signal)
    brightest = np.full(n, max(float(lowest.max()), 0.0) * gain)
    faint, bright = np.empty((2, _N_EXTENT_SETS, n))
    for i in range(_N_EXTENT_SETS):
        faint[i] = generator.normal(0, noise, n)
        bright[i] = _draw_photons(generator, brightest, options) / gain
        bright[i] += generator.normal(0, noise, n)
    medians = np.median(faint, axis=1), np.median(bright, axis=1)
    low = min(medians[0].min(), float(lowest.min()))
    high = max(medians[1].max(), float(lowest.max()))
    top = max(
        (median - values.min(axis=1)).max()
        for median, values in zip(medians, (faint, bright), strict=True)
    )
    # What the expectations differ by comes on top of the noise.
    top = max(
        top * (_HEADROOM_SHIFTED if expected.shifted else _HEADROOM), _HEADROOM * top + spread
    )
    top = max([top, *(1.05 * point[1] for point in options.fixed_points)])
    return low, high, options.ydiag_max or top


def _count(counts, planes, used, columns, rows, cr_coincidences):
    """Add the pixels of one simulation to a diagram with a last row for those above it."""
    for block in _row_blocks(used.shape):
        lowest, excess = _coordinates(planes[:, block][:, used[block]], cr_coincidences)
        inside = (lowest >= columns.edges[0]) & (lowest <= columns.edges[-1])
        place = rows.find(excess) * columns.n_bins + columns.find(lowest)
        if not inside.all():
            place = place[inside]
        counts += np.bincount(place, minlength=counts.size).reshape(counts.shape)


def _largest_spread(expected, used, cr_coincidences):
    """Largest vertical coordinate that a pixel would have without noise."""
    if len({id(signal) for signal in expected.signal}) == 1 and np.ptp(expected.divisors) == 0:
        return 0.0
    largest = 0.0
    for block in _row_blocks(used.shape):
        pairs = zip(expected.signal, expected.divisors, strict=True)
        planes = [signal[block][used[block]] / np.float32(divisor) for signal, divisor in pairs]
        _, excess = _coordinates(planes, cr_coincidences)
        largest = max(largest, float(excess.max(initial=0)))
    return largest


def _coordinates(planes, cr_coincidences):
    """Both coordinates in the diagram of pixels without missing exposures."""
    n = len(planes)
    ordered = sort_exposures(planes)
    lowest = ordered[0]
    for plane in ordered[1 : n - cr_coincidences]:
        lowest = lowest + plane
    lowest = lowest / np.float32(n - cr_coincidences)
    return lowest, (ordered[(n - 1) // 2] + ordered[n // 2]) / 2 - lowest


def _row_blocks(shape):
    """Blocks of rows of a size that fits into the cache."""
    n_rows = max(1, _BLOCK_PIXELS // max(shape[1], 1))
    return [slice(first, first + n_rows) for first in range(0, shape[0], n_rows)]
