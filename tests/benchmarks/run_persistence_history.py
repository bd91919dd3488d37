"""A history of many exposures in a process of its own, whose memory can be measured.

    python run_persistence_history.py write FILE N SIZE SKY
    python run_persistence_history.py memory FILE
    python run_persistence_history.py file FILE

"write" makes the history of N exposures of SIZE x SIZE pixels, one after the other, and writes it.
The others correct one slew dark with it, read into memory as a whole or piece by piece. The report
is JSON, on the last line.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace

import numpy as np
from persistence_cases import START, known_model, readout_times

from crsteps.datamodels.persistence_history import read_histories, write_histories
from crsteps.detector.macc import PHOTOMETRIC
from crsteps.persistence.correction import correct_rates
from crsteps.persistence.history import History, Stimulus, stimulus_of
from crsteps.simulation.persistence_exposures import simulate_stimulus_fluence

CADENCE = 300.0  # s from one exposure to the next


def write(path, n_exposures, size, sky):
    """Make a history and write it; return what it cost and how large it is."""
    shape, model = (int(size),) * 2, known_model()
    history, seconds = History("DET11", shape), 0.0
    for number in range(int(n_exposures)):
        stimulus = simulate_stimulus_fluence(shape, seed=number, sky=float(sky))
        start = time.process_time()
        history = history.add(
            stimulus_of(
                stimulus.measured,
                model=model,
                source=f"exposure {number}",
                end=START - 60.0 - CADENCE * number,
                duration=100.0,
            )
        )
        seconds += time.process_time() - start
    start = time.process_time()
    write_histories(path, [history])
    return {
        "remember": seconds,
        "write": time.process_time() - start,
        "pixels": int(sum(len(stimulus.pixels) for stimulus in history.stimuli)),
    }


def correct(path, *, whole):
    """Correct a dark with the history of a file."""
    start = time.process_time()
    stored = read_histories(path)["DET11"]
    stimuli = stored.stimuli
    if whole:
        stimuli = [
            Stimulus(s.source, s.end, s.duration, np.array(s.pixels), np.array(s.fluence))
            for s in stimuli
        ]
    history = replace(History("DET11", tuple(stored.shape)), stimuli=tuple(stimuli))
    rates = np.zeros((1, *history.shape), np.float32)
    read = time.process_time()
    result = correct_rates(
        rates,
        decays=history.decays(known_model(), START),
        times=readout_times(PHOTOMETRIC),
        resets=[START],
    )
    return {
        "read": read - start,
        "correct": time.process_time() - read,
        "stimuli": result.n_stimuli,
        "sum": float(result.rate.sum(dtype=float)),
    }


def main(task, path, *arguments):
    """Run one task."""
    if task == "write":
        report = write(path, *arguments)
    else:
        report = correct(path, whole=task == "memory")
    print(json.dumps(report))


if __name__ == "__main__":
    main(*sys.argv[1:])
