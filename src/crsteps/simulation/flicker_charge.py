"""Charge that a ramp collects: light with its Poisson noise, cosmic rays, saturation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from crsteps.simulation.cosmic_ray_tracks import deposit_charge, draw_tracks

if TYPE_CHECKING:
    from crsteps.simulation.flicker_ramps import FlickerRampOptions

__all__ = ["JUMP_DET", "SATURATED", "collect_charge"]

# Group flags of JWST.
SATURATED = 2
JUMP_DET = 4


def collect_charge(
    ramp: np.ndarray,
    flags: np.ndarray,
    rate: np.ndarray,
    jump_level: np.ndarray,
    options: FlickerRampOptions,
    of_light: np.random.Generator,
    of_hits: np.random.Generator,
) -> None:
    """
    Fill one ramp with the bias, the light and the cosmic rays, and its flags.

    Parameters
    ----------
    ramp : ndarray
        Receives the signal in DN, float32, (n_groups, ny, nx).
    flags : ndarray
        Receives JUMP_DET and SATURATED, uint8, the shape of ``ramp``.
    rate : ndarray
        Light in DN per group, negative for the traces of a difference of exposures, (ny, nx).
    jump_level : ndarray
        Charge in DN above which a cosmic ray is flagged, (ny, nx).
    options : FlickerRampOptions
        What is simulated.
    of_light, of_hits : numpy.random.Generator
        Sources of the random numbers of light and cosmic rays.
    """
    shape = options.readout.shape
    electrons = np.abs(rate) * options.gain
    signal = np.full(shape, options.bias, np.float32)
    for group in range(options.n_groups):
        # The sign is that of negative traces, which only a difference of exposures has.
        signal += np.copysign(of_light.poisson(electrons) / np.float32(options.gain), rate)
        hits = of_hits.poisson(options.hit_fraction * rate.size)
        if hits:
            x = of_hits.uniform(-0.5, shape[1] - 0.5, hits)
            y = of_hits.uniform(-0.5, shape[0] - 0.5, hits)
            charge = deposit_charge(draw_tracks(hits, of_hits), x, y, shape=shape)
            charge = (charge / options.gain).astype(np.float32)
            signal += charge
            flags[group, charge > jump_level] |= JUMP_DET
        full = signal >= options.saturation
        signal[full] = options.saturation
        flags[group, full] |= SATURATED
        ramp[group] = signal
