"""
Images as streams of samples in the order of time, one an output, in bins of a few ticks.

Every row of an output begins with a new bin, so that all rows are binned by the same matrix, and
images by a few matrix products. Bins hold the pixels that are read in them: none between two rows,
and few or none while reference pixels are read within a row (IRS2).
"""

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from crsteps.detector.readout import PIXEL_TIME

# Ticks in a bin, where nothing else is said.
BIN_TICKS = 4
# Pixels that are binned in one matrix product: more would mostly multiply by zeros.
_PIECE = 64
# Pixels in a line of memory.
_LINE_OF_MEMORY = 16


@dataclass(frozen=True)
class Streams:
    """
    Binned samples of all outputs in clock time.

    Attributes
    ----------
    values : ndarray of float32, shape (..., n_outputs, n_bins)
        Weighted mean of the usable pixels of a bin; 0 where there is none.
    weights : ndarray of float32, shape (..., n_outputs, n_bins)
        Reciprocal white-noise variance of that mean; 0 where there is no usable pixel.
    """

    values: np.ndarray
    weights: np.ndarray


def coarser(streams, factor):
    """
    Join neighbouring bins.

    Parameters
    ----------
    streams : Streams
        Streams.
    factor : int
        Bins that make one.

    Returns
    -------
    Streams
    """
    total, weight = (
        joined(array, factor) for array in (streams.values * streams.weights, streams.weights)
    )
    return Streams(_divided(total, weight), weight)


def joined(array, factor):
    """
    Sum neighbouring bins.

    Parameters
    ----------
    array : ndarray, shape (..., n_bins)
        Values of the bins.
    factor : int
        Bins that make one.

    Returns
    -------
    ndarray, shape (..., n_longer)
        The last one is the sum of what is left.
    """
    # One after the other, which is faster than a sum over a short axis.
    sums = np.zeros((*array.shape[:-1], -(-array.shape[-1] // factor)), array.dtype)
    for k in range(factor):
        part = array[..., k::factor]
        sums[..., : part.shape[-1]] += part
    return sums


def row_bins(readout, bin_ticks=BIN_TICKS):
    """
    Count the bins of a row, with those of the overhead between rows.

    Parameters
    ----------
    readout : crsteps.detector.readout.Readout
        Clocking.
    bin_ticks : int, optional
        Ticks in a bin.

    Returns
    -------
    n_pixels, n_bins : int
        Bins from the first pixel to the last, and all of them.
    """
    pixels = -(-(int(readout.pixel_ticks[-1]) + 1) // bin_ticks)
    return pixels, pixels + -(-readout.overhead // bin_ticks)


def bin_time(readout, *, bin_ticks=1, pixel_time=PIXEL_TIME):
    """
    Mean time from one bin to the next, which turns times in bins into seconds.

    Parameters
    ----------
    readout : crsteps.detector.readout.Readout
        Clocking.
    bin_ticks : int, optional
        Ticks in a bin.
    pixel_time : float, optional
        Seconds per tick.

    Returns
    -------
    float
        Seconds; a little less than those of a bin where the bins of a row, whose number is whole,
        are longer than the row.
    """
    return readout.row_ticks / row_bins(readout, bin_ticks)[1] * pixel_time


def bin_ratio(readout, bin_ticks, *, old=1):
    """
    Mean length of bins in units of others, by which spectra are converted.

    Parameters
    ----------
    readout : crsteps.detector.readout.Readout
        Clocking.
    bin_ticks : int
        Ticks in a bin.
    old : int, optional
        Ticks in a bin that is the unit.

    Returns
    -------
    float
        The ratio of their ticks, but for the rounding of the bins of a row to a whole number.
    """
    return row_bins(readout, old)[1] / row_bins(readout, bin_ticks)[1]


def to_streams(image, weights, readout, *, alternating=False, bin_ticks=BIN_TICKS):
    """
    Bin images into streams.

    Parameters
    ----------
    image : ndarray, shape (..., ny, nx)
        One or more images, finite except where the weight is zero.
    weights : ndarray, shape (..., ny, nx)
        Reciprocal white-noise variance of each pixel, or bool for 1 and 0; 0 is masked.
    readout : crsteps.detector.readout.Readout
        Clocking.
    alternating : bool, optional
        Change the sign of every second column of an output, which turns alternating column noise
        into slow noise and slow noise into what averages out.
    bin_ticks : int, optional
        Ticks in a bin: an even number, or one.

    Returns
    -------
    Streams

    Raises
    ------
    ValueError
        If the image does not have the shape of the readout.
    """
    image, weights = np.asarray(image, np.float32), np.asarray(weights)
    if image.shape[-2:] != tuple(readout.shape):
        raise ValueError(f"images of shape {image.shape} do not fit a readout of {readout.shape}")
    clock = _clock(readout, bin_ticks)
    if clock.ticks and not alternating:
        used = np.where(weights > 0, image, np.float32(0))
        return Streams(*(at_ticks(array, readout) for array in (used, weights)))
    weights = weights.astype(np.float32, copy=False)
    matrices = clock.alternating if alternating else clock.plain
    with np.errstate(invalid="ignore"):
        total = _bin(image * weights, readout, clock, matrices)
    if not np.isfinite(total).all():
        # NaN times zero is NaN; looking first would take longer.
        total = _bin(np.where(weights > 0, image, 0) * weights, readout, clock, matrices)
    weight = _bin(weights, readout, clock, clock.plain)
    return Streams(_divided(total, weight), weight)


def at_ticks(image, readout):
    """
    Put the pixels of an image at the ticks when they are read.

    Parameters
    ----------
    image : ndarray, shape (..., ny, nx)
        Finite image.
    readout : crsteps.detector.readout.Readout
        Clocking.

    Returns
    -------
    ndarray of float32, shape (..., n_outputs, n_ticks)
        0 at ticks without a pixel.
    """
    clock = _clock(readout, 1)
    if not clock.ticks:
        return _bin(np.asarray(image, np.float32), readout, clock, clock.plain)
    lines = image if abs(readout.fast_axis) == 1 else image.swapaxes(-2, -1)
    shape = (*image.shape[:-2], readout.n_outputs, readout.n_rows, clock.n_bins)
    rows = np.zeros(shape, image.dtype)
    in_time = rows[..., :: np.sign(readout.slow_axis), :]
    for output, columns, ticks in clock.ticks:
        in_time[..., output, :, ticks] = lines[..., columns]
    return rows.reshape(*shape[:-2], -1).astype(np.float32, copy=False)


def one_row(readout):
    """
    Give the clock of a single row.

    Parameters
    ----------
    readout : crsteps.detector.readout.Readout
        Clocking.

    Returns
    -------
    crsteps.detector.readout.Readout
    """
    shape = (1, readout.n_columns)
    return replace(readout, shape=shape if abs(readout.fast_axis) == 1 else shape[::-1])


def column_signs(readout):
    """
    Signs that alternate from column to column of an output, at every tick.

    Parameters
    ----------
    readout : crsteps.detector.readout.Readout
        Clocking.

    Returns
    -------
    ndarray of float32, shape (n_outputs, n_ticks)
        Those of `to_streams`; 0 at ticks without a pixel.
    """
    row = one_row(readout)
    everywhere = np.ones(row.shape, bool)
    signs = to_streams(everywhere, everywhere, row, alternating=True, bin_ticks=1).values
    return np.tile(signs, readout.n_rows)


def from_streams(values, readout, *, alternating=False, bin_ticks=BIN_TICKS):
    """
    Interpolate streams to the pixels.

    Parameters
    ----------
    values : ndarray, shape (..., n_outputs, n_bins)
        Value in the middle of each bin.
    readout : crsteps.detector.readout.Readout
        Clocking.
    alternating : bool, optional
        Undo the change of sign of `to_streams`.
    bin_ticks : int, optional
        Ticks in a bin.

    Returns
    -------
    ndarray of float32, shape (..., ny, nx)
    """
    clock = _clock(readout, bin_ticks)
    rows = np.asarray(values, np.float32).reshape(*values.shape[:-1], -1, clock.n_bins)
    rows = np.ascontiguousarray(rows[..., :: np.sign(readout.slow_axis), :])
    image = np.empty((*values.shape[:-2], *readout.shape), np.float32)
    if clock.ticks and not alternating:
        lines = image if abs(readout.fast_axis) == 1 else image.swapaxes(-2, -1)
        for output, columns, ticks in clock.ticks:
            lines[..., columns] = rows[..., output, :, ticks]
        return image
    kind = clock.alternating_between if alternating else clock.between
    for piece, matrix in zip(clock.pieces, kind, strict=True):
        samples = rows[..., piece.output, :, piece.neighbours]
        if abs(readout.fast_axis) == 1:
            np.matmul(samples, matrix, out=image[..., piece.columns])
        else:
            np.matmul(matrix.T, samples.swapaxes(-2, -1), out=image[..., piece.columns, :])
    return image


def _divided(total, weight):
    """Means; 0 where there is no weight."""
    return np.divide(total, np.maximum(weight, np.finfo(np.float32).tiny), out=total)


def _bin(image, readout, clock, matrices):
    """Sums of the pixels of each bin, (..., n_outputs, n_bins)."""
    lines = image if abs(readout.fast_axis) == 1 else image.swapaxes(-2, -1)
    shape = (*image.shape[:-2], readout.n_outputs, readout.n_rows, clock.n_bins)
    sums = np.zeros(shape, np.float32)
    for piece, matrix in zip(clock.pieces, matrices, strict=True):
        sums[..., piece.output, :, piece.bins] += lines[..., piece.columns] @ matrix
    in_time = sums[..., :: np.sign(readout.slow_axis), :]
    return in_time.reshape(*shape[:-2], -1)


@dataclass(frozen=True)
class _Piece:
    """
    Some neighbouring pixels of the rows of an output, in their order in the image.

    Attributes
    ----------
    output : int
        The output, in its order along the fast axis.
    columns : slice
        The pixels, along the fast axis.
    bins, neighbours : slice
        Bins of a row that they fall into, and those between which they are interpolated.
    """

    output: int
    columns: slice
    bins: slice
    neighbours: slice


@dataclass(frozen=True)
class _Clock:
    """
    Bins of a row, and the pieces of a row that are binned one after the other.

    Attributes
    ----------
    n_bins : int
        Bins of a row.
    pieces : list of _Piece
        The pieces.
    plain, alternating : list of ndarray of float32, shape (n_pixels, n_bins)
        Sums over the pixels of a bin for each piece, without and with alternating signs.
    between, alternating_between : list of ndarray of float32, shape (n_neighbours, n_pixels)
        Interpolation between bins, likewise.
    ticks : list of tuple (int, slice, slice)
        Where bins are single ticks without gaps, outputs, their pixels along the fast axis, and
        the bins of these: nothing is to be summed, and copying is faster.
    """

    n_bins: int
    pieces: list[_Piece]
    plain: list[np.ndarray]
    alternating: list[np.ndarray]
    between: list[np.ndarray]
    alternating_between: list[np.ndarray]
    ticks: list[tuple[int, slice, slice]]


@lru_cache(maxsize=16)
def _clock(readout, bin_ticks):
    """Prepare the matrices of a readout."""
    _, n_bins = row_bins(readout, bin_ticks)
    ticks = readout.pixel_ticks
    row = one_row(readout)
    in_time = row.to_outputs(np.arange(readout.n_columns).reshape(row.shape))[:, 0]
    clock = _Clock(n_bins, [], [], [], [], [], [])
    if bin_ticks == 1 and np.array_equal(ticks, np.arange(ticks[0], ticks[0] + ticks.size)):
        clock.ticks.extend(_single_ticks(in_time, int(ticks[0]), readout))
    for output, own in enumerate(in_time):
        for start in range(0, own.size, _PIECE):
            pixels = np.arange(start, min(start + _PIECE, own.size))
            pixels = pixels[np.argsort(own[pixels])]
            part = slice(int(own[pixels].min()), int(own[pixels].max()) + 1)
            signs = np.where(pixels % 2, -1, 1).astype(np.float32)
            _add_piece(clock, output, part, ticks[pixels], signs, bin_ticks)
    return clock


def _single_ticks(in_time, start, readout):
    """Yield outputs, their columns in the order of the image, and the ticks of these from start."""
    # What is turned round is copied in pieces that are as wide as a line of memory.
    width = in_time.shape[1] if abs(readout.fast_axis) == 1 else _LINE_OF_MEMORY
    for output, columns in enumerate(in_time):
        for first in range(0, columns.size, width):
            part = columns[first : first + width]
            ticks = slice(start + first, start + first + part.size)
            if part[0] > part[-1]:  # read backwards
                ticks = slice(ticks.stop - 1, ticks.start - 1 if ticks.start else None, -1)
            yield output, slice(int(part.min()), int(part.max()) + 1), ticks


def _add_piece(clock, output, columns, ticks, signs, bin_ticks):
    """Add a piece of pixels that are read at these ticks of a row, and its matrices."""
    place, n_bins = ticks // bin_ticks, clock.n_bins
    within = np.zeros((ticks.size, n_bins), np.float32)
    within[np.arange(ticks.size), place] = 1
    bins = slice(int(place.min()), int(place.max()) + 1)
    clock.plain.append(within[:, bins])
    clock.alternating.append(signs[:, None] * within[:, bins])

    middle = (ticks + 0.5) / bin_ticks - 0.5
    first = np.clip(np.floor(middle).astype(int), 0, max(n_bins - 2, 0))
    part = np.clip(middle - first, 0, 1)
    between = np.zeros((n_bins, ticks.size), np.float32)
    between[first, np.arange(ticks.size)] += 1 - part
    between[np.minimum(first + 1, n_bins - 1), np.arange(ticks.size)] += part
    neighbours = slice(int(first.min()), min(int(first.max()) + 2, n_bins))
    clock.between.append(between[neighbours])
    clock.alternating_between.append(signs * between[neighbours])
    clock.pieces.append(_Piece(output, columns, bins, neighbours))
