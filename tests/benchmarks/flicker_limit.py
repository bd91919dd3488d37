"""The least that a linear estimate of flicker noise can leave in a difference of groups."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import uniform_filter1d


def least_residual(options, white_sigma):
    """
    Rms error of the best linear estimate with the spectrum known and nothing masked.

    Wiener's formula, the integral of ``S W / (S + W)`` over all frequencies, for the modes of the
    outputs: one with the common stream, the others with streams of the outputs alone. A difference
    of groups is estimated by itself, without the ends of its frame, where less is known.

    Parameters
    ----------
    options : FlickerRampOptions
        What was simulated; outputs share the common stream equally.
    white_sigma : float
        Standard deviation of the white noise of a pixel of a difference, DN.

    Returns
    -------
    residual : float
        DN.
    """
    readout, lag = options.readout, options.ticks_between_groups
    n_samples = 2 * ((options.n_groups - 1) * lag + readout.n_ticks)
    k = np.arange(1, n_samples // 2 + 1)
    change = k ** -float(options.alpha) * (
        1 - np.cos(2 * np.pi / n_samples * (k * lag % n_samples))
    )
    # A frame is too short to tell frequencies closer than one over its length.
    change = uniform_filter1d(change, round(n_samples / readout.n_ticks), mode="nearest")
    change /= change.sum()
    # Between rows nothing is read: the white noise of fewer samples.
    white = white_sigma**2 * readout.row_ticks / readout.output_width / k.size

    def left(variance):
        return np.sum(variance * change * white / (variance * change + white))

    n, own = readout.n_outputs, options.independent_rms**2
    flicker = (left(own + n * options.common_rms**2) + (n - 1) * left(own)) / n
    return float(np.sqrt(flicker + left(options.alternating_rms**2)))
