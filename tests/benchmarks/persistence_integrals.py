"""Integrals of the benchmark of persistence against scipy's quadrature and sums over frames."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from persistence_cases import START, readout_times
from scipy.integrate import quad

from crsteps.detector.macc import PHOTOMETRIC, SPECTROSCOPIC, MaccReadout
from crsteps.persistence.correction import correct_ramp, correct_rates
from crsteps.persistence.decay import Decay
from crsteps.persistence.power_law import Covariance, charge, charge_derivatives

QUANTITIES = ("charge", "by amplitude", "by gamma")
SLOPES = np.r_[np.linspace(0.1, 2.0, 20), 1 - 1e-6, 1 + 1e-4].astype(np.float32)
READOUTS = {
    "4-16-4": PHOTOMETRIC,
    "15-16-11": SPECTROSCOPIC,
    "10-1-0": MaccReadout(10, 1, 0, 10.737),
}
DELAYS = (3.0, 30.0, 300.0, 1e4, 1e6)


def compare_integrals(n, *, seed):
    """
    Compare charges and their derivatives with quadrature.

    Times go from 1 to 1e6 s and intervals from a millionth of the time to all of it, slopes from
    0.1 to 2, 1 and its neighbours included. Errors of the derivative with respect to the slope are
    relative to the integral of the magnitude, since it goes through zero.

    Returns
    -------
    dict
        For float64 and float32 images, the largest relative error of each quantity.
    """
    rng = np.random.default_rng(seed)
    start = 10 ** rng.uniform(0, 6, n)
    end = np.minimum(start * (1 + 10 ** rng.uniform(-6, 6, n)), 1e6)
    amplitude = np.exp(rng.normal(0, 2, SLOPES.size)).astype(np.float32)
    worst = {kind: np.zeros(len(QUANTITIES)) for kind in ("float64", "float32")}
    for interval in zip(start, end, strict=True):
        unit, slope, size = np.array([_by_quadrature(*interval, float(g)) for g in SLOPES]).T
        truth = np.array([amplitude * unit, unit, amplitude * slope])
        scale = np.array([amplitude * unit, unit, amplitude * size])
        for kind, largest in worst.items():
            image = {"amplitude": amplitude.astype(kind), "gamma": SLOPES.astype(kind)}
            found = [charge(*interval, **image), *charge_derivatives(*interval, **image)]
            errors = np.abs(np.array(found, np.float64) - truth) / scale
            np.maximum(largest, errors.max(axis=1), out=largest)
    return {kind: dict(zip(QUANTITIES, map(float, e), strict=True)) for kind, e in worst.items()}


def _by_quadrature(start, end, gamma):
    """Integrals of the rate, of its derivative and of the magnitude of that, for 1 e-/s."""

    def rate(t):
        return (t / 1000.0) ** -gamma

    # the logarithm changes its sign at the reference time
    edges = sorted({start, end, float(np.clip(1000.0, start, end))})
    sides = [_integral(lambda t: -np.log(t / 1000.0) * rate(t), *side) for side in pairwise(edges)]
    return _integral(rate, start, end), sum(sides), sum(map(abs, sides))


def _integral(function, start, end):
    """Integral by quadrature, over the logarithm of time if the interval is long."""
    if end < 2 * start:
        return quad(function, start, end, epsabs=0, epsrel=1e-11)[0]
    limits = np.log(start), np.log(end)
    return quad(lambda u: function(np.exp(u)) * np.exp(u), *limits, epsabs=0, epsrel=1e-11)[0]


def compare_groups(n, *, seed):
    """
    Compare what is taken off ramps and rates, float32, with sums over every frame.

    Returns
    -------
    dict
        For each readout, the largest relative error of a group and of a rate, at all of `DELAYS`.
    """
    rng = np.random.default_rng(seed)
    amplitude = np.exp(rng.normal(0, 1, n)).astype(np.float32)
    gamma = rng.uniform(0.1, 2.0, n).astype(np.float32)
    gamma[0] = 1.0
    errors = {}
    for name, readout in READOUTS.items():
        worst = [
            _errors_of_groups(amplitude, gamma, delay=delay, readout=readout) for delay in DELAYS
        ]
        errors[name] = dict(zip(("groups", "rate"), np.max(worst, axis=0).tolist(), strict=True))
    return errors


def _errors_of_groups(amplitude, gamma, *, delay, readout):
    """Largest relative errors of groups and rates after one delay."""
    pixels = zip(amplitude.astype(float), gamma.astype(float), strict=True)
    truth = np.array([a * _groups_by_frames(g, delay, readout) for a, g in pixels]).T
    decay = Decay(
        pixels=np.arange(amplitude.size),
        amplitude=amplitude,
        gamma=gamma,
        covariance=Covariance(),
        end=START - delay,
        reference_time=1000.0,
    )
    ramp = np.zeros((1, readout.n_groups, 1, amplitude.size), np.float32)
    rates = np.zeros((1, 1, amplitude.size), np.float32)
    for function, data in ((correct_ramp, ramp), (correct_rates, rates)):
        function(data, decays=[decay], times=readout_times(readout), resets=[START])
    rate = (truth[-1] - truth[0]) / readout.integration_time
    return (
        np.abs(-ramp[0, :, 0] / truth - 1).max(),
        np.abs(-rates[0, 0] / rate - 1).max(),
    )


def _groups_by_frames(gamma, delay, readout):
    """Means over the frames of each group for 1 e-/s, integrated from frame to frame."""
    edges = delay + readout.frame_time * np.arange(readout.n_reads + 1)
    steps = [_integral(lambda t: (t / 1000.0) ** -gamma, a, b) for a, b in pairwise(edges)]
    total, period = np.cumsum(steps), readout.n_frames + readout.n_drops
    first = period * np.arange(readout.n_groups)
    return np.array([total[start : start + readout.n_frames].mean() for start in first])
