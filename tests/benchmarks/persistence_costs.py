"""Costs of corrections of persistence against copying the array."""

from __future__ import annotations

import time

import numpy as np
from persistence_cases import JWST, START, known_model, readout_times

from crsteps.persistence.correction import correct_ramp
from crsteps.persistence.decay import Decay
from crsteps.persistence.history import StimulusDecay, stimulus_of
from crsteps.persistence.power_law import Covariance
from crsteps.simulation.persistence_exposures import draw_memory

DELAY = 300.0


_STAR = 5  # pixels, radius of a lit disc


def measure_ramp(size, fraction, *, repeats, stars=False, seed=1):
    """
    Time the correction of a ramp of ten groups and the copy of it, in turns.

    Parameters
    ----------
    size : int
        Pixels along an axis.
    fraction : float
        Part of the pixels that have persistence.
    repeats : int
        Number of turns.
    stars : bool
        Whether they lie in discs of 81 pixels; scattered at random otherwise.
    seed : int
        Seed of the random numbers.

    Returns
    -------
    dict
        Least CPU seconds: of a copy into new memory and into old, of the correction with maps of
        amplitude and slope, and from the fluences of a history, whose amplitudes and slopes come
        from the reference's curve in the same pass, alone or with its maps of the pixels.
    """
    rng = np.random.default_rng(seed)
    pixels = np.arange(size**2)
    if fraction < 1 and stars:
        pixels = _lit_by_stars(size, fraction, rng)
    elif fraction < 1:
        pixels = np.sort(rng.choice(size**2, round(fraction * size**2), replace=False))
    memory = draw_memory((size, size), seed=seed, amplitude_scatter=0.3, gamma_scatter=0.1)
    decay = Decay(
        pixels=pixels,
        amplitude=(0.3 * memory.scale).ravel()[pixels].astype(np.float32),
        gamma=memory.gamma.ravel()[pixels].astype(np.float32),
        covariance=Covariance(0.01, 0.005, 0.0),
        end=START - DELAY,
        reference_time=1000.0,
    )
    fluence = np.zeros(size**2, np.float32)
    fluence[pixels] = rng.uniform(2e3, 1e5, pixels.size)
    model = known_model(
        amplitude_scale=memory.scale.astype(np.float32),
        gamma_offset=(memory.gamma - 1).astype(np.float32),
        covariance=Covariance(0.01, 0.005, 0.0),
    )
    stimulus = stimulus_of(
        fluence.reshape(size, size), model=model, source="a", end=START - DELAY, duration=100.0
    )
    plain = known_model(covariance=model.covariance)
    history, history_and_maps = (
        StimulusDecay(stimulus, reference, (size, size), None, DELAY)
        for reference in (plain, model)
    )
    ramp = rng.normal(100, 10, (1, JWST.n_groups, size, size)).astype(np.float32)
    old = ramp.copy()
    calls = {
        "copy": ramp.copy,
        "copy into old": lambda: np.copyto(old, ramp),
        "maps": lambda: _correct(ramp, decay),
        "history": lambda: _correct(ramp, history),
        "history and maps": lambda: _correct(ramp, history_and_maps),
    }
    return best_of(calls, repeats)


def _lit_by_stars(size, fraction, rng):
    """Pixels of discs, some of which overlap, up to a fraction of all."""
    offsets = np.mgrid[-_STAR : _STAR + 1, -_STAR : _STAR + 1]
    disc = np.argwhere((offsets**2).sum(axis=0) <= _STAR**2) - _STAR
    lit = np.zeros((size, size), bool)
    while (missing := round(fraction * size**2) - np.count_nonzero(lit)) > 0:
        centres = rng.integers(0, size, (-(-missing // len(disc)), 1, 2))
        y, x = np.moveaxis((centres + disc) % size, -1, 0)
        lit[y, x] = True
    return np.flatnonzero(lit)


def _correct(ramp, decay):
    correct_ramp(ramp, decays=[decay], times=readout_times(JWST), resets=[START])


def best_of(calls, repeats):
    """Least CPU seconds of each call, made in turns."""
    seconds = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            start = time.process_time()
            call()
            seconds[name].append(time.process_time() - start)
    return {name: min(values) for name, values in seconds.items()}
