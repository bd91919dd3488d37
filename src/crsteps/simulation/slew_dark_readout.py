"""From charge and noise to the values and the quality plane that a slew dark holds."""

from __future__ import annotations

import numpy as np

from crsteps.detector.macc import PHOTOMETRIC
from crsteps.detector.nisp import output_channel
from crsteps.simulation.slew_dark_options import QUALITY_CUT, SlewDarkOptions
from crsteps.simulation.slew_dark_ramps import collect_charge

__all__ = ["expected_values", "read_ramps"]

_BAND = 256  # rows that are read at once


def _offsets(options, rng):
    """Offset of every column in ADU."""
    outputs = rng.normal(0, options.output_offset, options.n_outputs)
    nx = options.shape[1]
    return (
        options.offset
        + outputs[output_channel(np.arange(nx), width=nx, n_outputs=options.n_outputs)]
    )


def read_ramps(options: SlewDarkOptions, charges, factor, deposits, rng: np.random.Generator):
    """
    Read the ramps band by band and store what is computed of them on board.

    Parameters
    ----------
    options : SlewDarkOptions
        Readout, noise, offsets and the form of the quality plane.
    charges : sequence of tuple
        Expected charge between the first and the last group in e-, float32, (ny, nx), and when it
        arrives (`crsteps.simulation.slew_dark_ramps.ArrivalProfile`), for each kind of charge.
    factor : ndarray
        Noise of the pixels relative to that of an ordinary one, float32, (ny, nx).
    deposits : sequence of Deposits
        Charge that arrives in an instant.
    rng : numpy.random.Generator
        Source of the random numbers.

    Returns
    -------
    data : ndarray
        Estimated signal with the offsets in ADU, uint16, (ny, nx).
    quality : ndarray
        Quality plane, uint8, (ny, nx).
    """
    of_reads, of_offsets, *of_parts = rng.spawn(2 + len(charges))
    offset = _offsets(options, of_offsets)
    ny, nx = options.shape
    readout = options.readout
    sigma, drift_sigma = (np.float32(f(options)) for f in (_group_noise, _drift_noise))
    data, quality = np.empty(options.shape, np.uint16), np.empty(options.shape, np.uint8)
    for first in range(0, ny, _BAND):
        band = slice(first, min(first + _BAND, ny))
        rows = (readout.n_groups, band.stop - band.start, nx)
        groups = of_reads.standard_normal(rows, np.float32)
        drift = of_reads.standard_normal(rows[1:], np.float32) * drift_sigma
        groups *= sigma
        groups += np.multiply.outer(np.linspace(0, 1, readout.n_groups, dtype=np.float32), drift)
        groups *= factor[band]
        for (charge, profile), rng in zip(charges, of_parts, strict=True):
            _collect(groups, charge[band], profile, rng)
        for part in deposits:
            part.add_to(groups, first * nx)
        estimate = readout.estimate(groups, read_noise=options.read_noise)
        values = options.gain * estimate.signal + offset
        data[band] = np.clip(np.rint(values), 0, 65535)
        if options.quality == "bit":
            quality[band] = estimate.quality > QUALITY_CUT
        else:
            quality[band] = np.clip(estimate.quality, 0, 255)
    return data, quality


def _collect(groups, charge, profile, rng):
    """Add charge where there is any: persistence is in few pixels."""
    there = charge > 0
    if there.mean() > 0.5:
        collect_charge(groups, charge, profile, rng)
    elif there.any():
        some = groups[:, there]
        collect_charge(some, charge[there], profile, rng)
        groups[:, there] = some


def _group_noise(options):
    """Noise of the mean of a group of an ordinary pixel in e-, without drift."""
    return options.read_noise / np.sqrt(options.readout.n_frames)


def _drift_noise(options):
    """Drift from the first group to the last of an ordinary pixel in e-."""
    time = options.readout.integration_time / PHOTOMETRIC.integration_time
    return options.drift_noise * time**0.2


def expected_values(dark, factor, options: SlewDarkOptions):
    """
    Value and noise of pixels with nothing but dark current, to first order in the noise.

    Parameters
    ----------
    dark : ndarray
        Expected dark charge between the first and the last group in e-, (ny, nx).
    factor : ndarray
        Noise of the pixels relative to that of an ordinary one, (ny, nx).
    options : SlewDarkOptions
        Readout and noise.

    Returns
    -------
    value, noise : ndarray
        Mean without offsets, and standard deviation, in ADU, float32, (ny, nx).
    """
    readout = options.readout
    n, width, beta = readout.n_groups - 1, 1 + readout.alpha, readout.beta(options.read_noise)
    mean = dark / n + beta
    reads, drift = (2 * (f(options) * factor) ** 2 for f in (_group_noise, _drift_noise))
    drift /= 2
    root = np.sqrt(width**2 + 4 * (mean**2 + reads + drift / n**2 + width * dark / n))
    value = n * ((root - width) / 2 - beta)
    # the sum of the differences has the noise of the first and the last group alone
    total = reads + drift + dark * (1 + readout.alpha / n)
    noise = np.sqrt(total) * 2 * mean / root
    return (
        (options.gain * value).astype(np.float32),
        np.hypot(options.gain * noise, np.sqrt(1 / 12)).astype(np.float32),
    )
