"""A few pixels of a fit with all their darks, from the faintest decay to the brightest."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from crsteps.persistence.dark_series import DarkTimes
from crsteps.persistence.fit import HIT_EXCLUDED, NOT_CONVERGED, NOT_FITTED, POOR_FIT, DecayFit
from crsteps.persistence.group_charge import product_persistence

__all__ = ["DecayExample", "choose_examples", "make_examples"]

# Fractions of the pixels that are fainter than the examples.
_RANKS = (0.1, 0.5, 0.9, 0.99, 0.999)
_CURVE_POINTS = 60


@dataclass(frozen=True)
class DecayExample:
    """
    One pixel: its darks and its fit; rates in e-/s.

    Attributes
    ----------
    name : str
        What to call it.
    times : ndarray
        Seconds from the end of the illumination to the middle of each dark, (n_darks,).
    rates, errors : ndarray
        Signal of each dark over its integration time, NaN where missing, and its standard deviation
        by noise and photons, (n_darks,).
    is_hit : ndarray of bool
        Darks that were left out as hit by cosmic rays, (n_darks,).
    fitted : ndarray
        The same by the fit, (n_darks,).
    curve_times, curve : ndarray
        What darks read like the first one would have, at any time.
    amplitude, amplitude_error, gamma, gamma_error, dark_rate : float
        Parameters of the fit, at its reference time.
    """

    name: str
    times: np.ndarray
    rates: np.ndarray
    errors: np.ndarray
    is_hit: np.ndarray
    fitted: np.ndarray
    curve_times: np.ndarray
    curve: np.ndarray
    amplitude: float
    amplitude_error: float
    gamma: float
    gamma_error: float
    dark_rate: float


def choose_examples(fit: DecayFit):
    """
    Choose pixels of very different amplitudes, and one that was hit by a cosmic ray.

    Parameters
    ----------
    fit : DecayFit
        Fit of all pixels.

    Returns
    -------
    pixels : list of int
        Flat indices by increasing amplitude, at most six; empty if no pixel fits well.
    """
    good = (fit.quality.ravel() & (NOT_FITTED | NOT_CONVERGED | POOR_FIT)) == 0
    pixels = np.flatnonzero(good)
    if not pixels.size:
        return []
    ranked = pixels[np.argsort(fit.amplitude.ravel()[pixels], kind="stable")]
    chosen = {int(ranked[min(int(rank * ranked.size), ranked.size - 1)]) for rank in _RANKS}
    hit = ranked[(fit.quality.ravel()[ranked] & HIT_EXCLUDED) != 0]
    if hit.size:
        chosen.add(int(hit[int(0.9 * hit.size)]))
    return sorted(chosen, key=lambda pixel: fit.amplitude.ravel()[pixel])


def make_examples(fit: DecayFit, times: DarkTimes, darks, pixels, *, variance, names):
    """
    Collect the darks of some pixels and what the fit says of them.

    Parameters
    ----------
    fit : DecayFit
        Fit of all pixels.
    times : DarkTimes
        Times of the series.
    darks : ndarray
        Signals in e-, (n_darks, n).
    pixels : sequence of int
        Flat indices.
    variance : float or ndarray
        Variance of a signal without photon noise in squared e-, a number or (n,).
    names : sequence of str
        What to call them.

    Returns
    -------
    list of DecayExample
    """
    exposure = times.integration_times
    variance = np.broadcast_to(variance, darks.shape[1:])
    left_out = {tuple(pair) for pair in fit.excluded.tolist()}
    last = times.delays[-1] + times.groups[-1].end
    delays = np.geomspace(times.delays[0], last, _CURVE_POINTS)
    examples = []
    for pixel, name in zip(pixels, names, strict=True):
        amplitude, gamma, dark = (
            float(image.ravel()[pixel]) for image in (fit.amplitude, fit.gamma, fit.dark_rate)
        )
        errors = np.sqrt(fit.covariance.reshape(6, -1)[:3, pixel])

        persistence = partial(_persistence, amplitude, gamma, fit.reference_time)
        own = [persistence(*pair) for pair in zip(times.groups, times.delays, strict=True)]
        fitted = np.array(own) + dark
        groups = times.groups[0]
        examples.append(
            DecayExample(
                name=name,
                times=times.middles,
                rates=darks[:, pixel] / exposure,
                errors=np.sqrt(variance[pixel] + np.maximum(fitted * exposure, 0)) / exposure,
                is_hit=np.array([(i, pixel) in left_out for i in range(times.n_darks)]),
                fitted=fitted,
                curve_times=delays + groups.mean_times[[0, -1]].mean(),
                curve=np.array([persistence(groups, delay) for delay in delays]) + dark,
                amplitude=amplitude,
                amplitude_error=float(errors[0]),
                gamma=gamma,
                gamma_error=float(errors[2]),
                dark_rate=dark,
            )
        )
    return examples


def _persistence(amplitude, gamma, reference_time, groups, delay):
    """Rate that persistence adds to a dark."""
    return product_persistence(
        groups, delay=delay, amplitude=amplitude, gamma=gamma, reference_time=reference_time
    ).rate.item()
