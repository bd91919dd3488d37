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

# Ticks in a bin: what is lost within 16 ticks can hardly be told from white noise.
BIN_TICKS = 4
# Pixels that are binned in one matrix product: more would mostly multiply by zeros.
_PIECE = 128


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
    shape = streams.values.shape
    margin = [(0, 0)] * (len(shape) - 1) + [(0, -shape[-1] % factor)]
    total, weight = (
        np.pad(array, margin).reshape(*shape[:-1], -1, factor).sum(axis=-1)
        for array in (streams.values * streams.weights, streams.weights)
    )
    return Streams(np.divide(total, weight, out=total, where=weight > 0), weight)


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


def bin_time(readout, *, bin_ticks=BIN_TICKS, pixel_time=PIXEL_TIME):
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
        Ticks in a bin; even.

    Returns
    -------
    Streams

    Raises
    ------
    ValueError
        If the image does not have the shape of the readout.
    """
    image, weights = np.asarray(image, np.float32), np.asarray(weights, np.float32)
    if image.shape[-2:] != tuple(readout.shape):
        raise ValueError(f"images of shape {image.shape} do not fit a readout of {readout.shape}")
    with np.errstate(invalid="ignore"):
        total = _bin(image * weights, readout, alternating, bin_ticks)
    if not np.isfinite(total).all():  # NaN times zero is NaN; looking first would take longer
        image = np.where(weights > 0, image, 0)
        total = _bin(image * weights, readout, alternating, bin_ticks)
    weight = _bin(weights, readout, False, bin_ticks)
    total /= np.maximum(weight, np.finfo(np.float32).tiny)  # 0 where there is no weight
    return Streams(total, weight)


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
    values = np.asarray(values, np.float32)
    clock = _clock(readout, bin_ticks)
    rows = values.reshape(*values.shape[:-1], readout.n_rows, clock.n_bins)
    rows = np.ascontiguousarray(rows[..., :: np.sign(readout.slow_axis), :])
    image = np.empty((*values.shape[:-2], *readout.shape), np.float32)
    for piece in clock.pieces:
        matrix = piece.signs * piece.between if alternating else piece.between
        samples = rows[..., piece.output, :, piece.neighbours]
        if abs(readout.fast_axis) == 1:
            np.matmul(samples, matrix, out=image[..., piece.columns])
        else:
            np.matmul(matrix.T, samples.swapaxes(-2, -1), out=image[..., piece.columns, :])
    return image


def _bin(image, readout, alternating, bin_ticks):
    """Sums of the pixels of each bin, (..., n_outputs, n_bins)."""
    clock = _clock(readout, bin_ticks)
    lines = image if abs(readout.fast_axis) == 1 else image.swapaxes(-2, -1)
    shape = (*image.shape[:-2], readout.n_outputs, readout.n_rows, clock.n_bins)
    sums = np.zeros(shape, np.float32)
    for piece in clock.pieces:
        matrix = piece.signs[:, None] * piece.within if alternating else piece.within
        sums[..., piece.output, :, piece.bins] += lines[..., piece.columns] @ matrix
    sums = sums[..., :: np.sign(readout.slow_axis), :]
    return sums.reshape(*shape[:-2], -1)


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
    within, between : ndarray of float32, shapes (n_pixels, n_bins) and (n_neighbours, n_pixels)
        Sums over the pixels of a bin, and interpolation between bins.
    signs : ndarray of float32, shape (n_pixels,)
        Signs that alternate from one column of the output to the next.
    """

    output: int
    columns: slice
    bins: slice
    neighbours: slice
    within: np.ndarray
    between: np.ndarray
    signs: np.ndarray


@dataclass(frozen=True)
class _Clock:
    """Bins of a row, and the pieces of a row that are binned one after the other."""

    n_bins: int
    pieces: list[_Piece]


@lru_cache(maxsize=16)
def _clock(readout, bin_ticks):
    """Prepare the matrices of a readout."""
    _, n_bins = row_bins(readout, bin_ticks)
    ticks = readout.pixel_ticks
    one_row = (1, readout.n_columns) if abs(readout.fast_axis) == 1 else (readout.n_columns, 1)
    columns = np.arange(readout.n_columns).reshape(one_row)
    in_time = replace(readout, shape=one_row).to_outputs(columns)[:, 0]
    pieces = []
    for output, own in enumerate(in_time):
        for start in range(0, own.size, _PIECE):
            pixels = np.arange(start, min(start + _PIECE, own.size))
            pixels = pixels[np.argsort(own[pixels])]
            part = slice(int(own[pixels].min()), int(own[pixels].max()) + 1)
            signs = np.where(pixels % 2, -1, 1).astype(np.float32)
            pieces.append(_piece(output, part, ticks[pixels], signs, n_bins, bin_ticks))
    return _Clock(n_bins, pieces)


def _piece(output, columns, ticks, signs, n_bins, bin_ticks):
    """Matrices of pixels that are read at these ticks of a row."""
    place = ticks // bin_ticks
    within = np.zeros((ticks.size, n_bins), np.float32)
    within[np.arange(ticks.size), place] = 1
    bins = slice(int(place.min()), int(place.max()) + 1)

    middle = (ticks + 0.5) / bin_ticks - 0.5
    first = np.clip(np.floor(middle).astype(int), 0, max(n_bins - 2, 0))
    part = np.clip(middle - first, 0, 1)
    between = np.zeros((n_bins, ticks.size), np.float32)
    between[first, np.arange(ticks.size)] += 1 - part
    between[np.minimum(first + 1, n_bins - 1), np.arange(ticks.size)] += part
    neighbours = slice(int(first.min()), min(int(first.max()) + 2, n_bins))
    return _Piece(output, columns, bins, neighbours, within[:, bins], between[neighbours], signs)
