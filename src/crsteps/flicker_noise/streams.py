"""Images as streams of samples in the order of time, one an output, in bins of a few ticks."""

from dataclasses import dataclass

import numpy as np

# Ticks in a bin: what is lost within 16 ticks cannot be told from white noise.
BIN_TICKS = 8


@dataclass(frozen=True)
class Streams:
    """
    Binned samples of all outputs in clock time.

    Attributes
    ----------
    values : ndarray of float32, shape (n_outputs, n_bins)
        Weighted mean of the usable pixels of a bin; 0 where there is none.
    weights : ndarray of float32, shape (n_outputs, n_bins)
        Reciprocal white-noise variance of that mean; 0 where there is no usable pixel.
    """

    values: np.ndarray
    weights: np.ndarray


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
        Bins that hold pixels, and all of them.
    """
    pixels = -(-readout.output_width // bin_ticks)
    return pixels, pixels + -(-readout.overhead // bin_ticks)


def to_streams(image, weights, readout, *, alternating=False, bin_ticks=BIN_TICKS):
    """
    Bin an image into streams.

    Parameters
    ----------
    image : ndarray, shape (ny, nx)
        Image; values with zero weight are not used and may be NaN.
    weights : ndarray, shape (ny, nx)
        Reciprocal white-noise variance of each pixel; 0 is masked.
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
    """
    n_pixel_bins, n_bins = row_bins(readout, bin_ticks)
    used = weights > 0
    products = readout.to_outputs(np.where(used, image * weights, 0).astype(np.float32))
    information = readout.to_outputs(np.where(used, weights, 0).astype(np.float32))
    if alternating:
        products[..., 1::2] *= -1
    shape = (*products.shape[:2], n_bins)
    sums = []
    for samples in (products, information):
        padding = n_pixel_bins * bin_ticks - samples.shape[-1]
        samples = np.pad(samples, ((0, 0), (0, 0), (0, padding)))
        binned = np.zeros(shape, dtype=np.float32)
        binned[..., :n_pixel_bins] = samples.reshape(*shape[:2], n_pixel_bins, bin_ticks).sum(-1)
        sums.append(binned.reshape(shape[0], -1))
    total, weight = sums
    return Streams(np.where(weight > 0, total / np.where(weight > 0, weight, 1), 0), weight)


def from_streams(values, readout, *, alternating=False, bin_ticks=BIN_TICKS):
    """
    Interpolate streams to the pixels.

    Parameters
    ----------
    values : ndarray, shape (n_outputs, n_bins)
        Value in the middle of each bin.
    readout : crsteps.detector.readout.Readout
        Clocking.
    alternating : bool, optional
        Undo the change of sign of `to_streams`.
    bin_ticks : int, optional
        Ticks in a bin.

    Returns
    -------
    ndarray of float32, shape (ny, nx)
    """
    _, n_bins = row_bins(readout, bin_ticks)
    rows = values.reshape(readout.n_outputs, readout.n_rows, n_bins)
    place = (np.arange(readout.output_width) + 0.5) / bin_ticks - 0.5
    first = np.clip(np.floor(place).astype(int), 0, n_bins - 2)
    part = np.clip(place - first, 0, 1).astype(np.float32)
    outputs = rows[..., first] * (1 - part) + rows[..., first + 1] * part
    if alternating:
        outputs[..., 1::2] *= -1
    return np.ascontiguousarray(readout.to_image(outputs.astype(np.float32)))
