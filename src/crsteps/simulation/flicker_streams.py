"""Flicker (1/f) noise of a detector's outputs, made in clock time.

The noise is made as the detector makes it: as streams in clock time that run on through the ticks
between rows and between frames, one stream common to all outputs and one for each output. Noise of
alternating columns is such a stream whose sign changes from pixel to pixel of a row, that is noise
shifted to the Nyquist frequency. Integrations are independent of each other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from scipy import fft

if TYPE_CHECKING:
    from crsteps.simulation.flicker_ramps import FlickerRampOptions

__all__ = ["PUBLISHED_MIXTURE", "flicker_frames", "with_mixture"]

PUBLISHED_MIXTURE = 3.0
"""Standard deviation of the 1/f noise common to the outputs over that of an output's own.

What the HxRG noise generator takes for NIRSpec (Rauscher 2015, PASP 127, 1144): c_pink = 3 e-,
u_pink = 1 e- (and acn = 0.5 e-, rd_noise = 5.2 e-).
"""


def flicker_frames(options: FlickerRampOptions, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """
    Make the flicker noise of an exposure.

    Parameters
    ----------
    options : FlickerRampOptions
        Clock, exponent and amplitudes of the noise.
    rng : numpy.random.Generator
        Source of the random numbers.

    Yields
    ------
    frames : ndarray
        Noise of one integration in DN, float32, (n_groups, n_outputs, n_rows, output_width) in
        the order of `crsteps.detector.readout.Readout.to_outputs`.
    """
    readout = options.readout
    frame = options.ticks_between_groups
    n_ticks = (options.n_groups - 1) * frame + readout.n_ticks
    # Periodic noise of twice the length: its ends are not neighbours.
    n_samples = fft.next_fast_len(2 * n_ticks, real=True)
    amplitude = _amplitude(n_samples, options.alpha, frame)
    start = frame * np.arange(options.n_groups)[:, np.newaxis, np.newaxis]
    row = readout.row_ticks * np.arange(readout.n_rows)[:, np.newaxis]
    tick = start + row + readout.pixel_ticks
    # Columns alternate in the image, whatever ticks were spent between them.
    sign = np.where(np.arange(readout.output_width) % 2, -1, 1).astype(np.float32)

    def stream(rms):
        if rms == 0:
            return np.zeros(tick.shape, np.float32)
        modes = rng.standard_normal(2 * amplitude.size, np.float32).view(np.complex64)
        return np.float32(rms) * fft.irfft(modes * amplitude, n_samples)[tick]

    for _ in range(options.n_integrations):
        common = stream(options.common_rms)
        outputs = []
        for gain in options.common_gain:
            own = stream(options.independent_rms)
            own += np.float32(gain) * common
            own += sign * stream(options.alternating_rms)
            outputs.append(own)
        yield np.stack(outputs, axis=1)


def with_mixture(options: FlickerRampOptions, common_to_independent: float) -> FlickerRampOptions:
    """
    Share the flicker noise between the common stream and those of the outputs in another way.

    Parameters
    ----------
    options : FlickerRampOptions
        What is simulated.
    common_to_independent : float
        Standard deviation of the common stream over that of an output's own, such as
        `PUBLISHED_MIXTURE`.

    Returns
    -------
    options : FlickerRampOptions
        The same, with the same sum of the two variances.
    """
    total = np.hypot(options.common_rms, options.independent_rms)
    independent = total / np.hypot(1.0, common_to_independent)
    return replace(
        options,
        common_rms=float(common_to_independent * independent),
        independent_rms=float(independent),
    )


def _amplitude(n_samples, alpha, lag):
    """
    Amplitudes of Fourier modes of noise whose change over a lag has variance 1.

    With the power S(k) of a mode and of its conjugate, the change has the variance
    ``4 * sum(S(k) * (1 - cos(2 pi k lag / n_samples)))``.
    """
    k = np.arange(1, n_samples // 2 + 1)
    power = k ** -float(alpha)
    change = 4 * np.sum(power * (1 - np.cos(2 * np.pi / n_samples * (k * lag % n_samples))))
    amplitude = np.zeros(k.size + 1, np.float32)
    amplitude[1:] = n_samples * np.sqrt(power / (2 * change))
    return amplitude
