"""Run a program in a process of its own and say what it cost."""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import dataclass

ONE_THREAD = {
    name: "1"
    for name in (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "NUMEXPR_NUM_THREADS",
        "NUMBA_NUM_THREADS",
    )
}


@dataclass(frozen=True)
class Cost:
    """
    What a process cost.

    Attributes
    ----------
    cpu_seconds : float
        User and system time of the process and of its children.
    wall_seconds : float
        Time from start to end.
    peak_mib : float
        Largest resident set of the process or of one of its children, MiB.
    """

    cpu_seconds: float
    wall_seconds: float
    peak_mib: float


def run_measured(command, *, log) -> Cost:
    """
    Run a command with one thread and measure it.

    Parameters
    ----------
    command : sequence of str or path-like
        Program and arguments.
    log : path-like
        File that receives what the command prints.

    Returns
    -------
    cost : Cost
        What the process cost.

    Raises
    ------
    RuntimeError
        If the command fails; the message ends with the last lines it printed.
    """
    environment = {**os.environ, **ONE_THREAD, "MPLBACKEND": "Agg"}
    start = time.perf_counter()
    with open(log, "wb") as stream:
        process = subprocess.Popen(
            [os.fspath(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            env=environment,
        )
        # wait4 gives the usage of this child alone; RUSAGE_CHILDREN would mix all runs.
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        with open(log, encoding="utf-8", errors="replace") as stream:
            tail = "".join(stream.readlines()[-15:])
        raise RuntimeError(f"{command[0]} ended with status {process.returncode}:\n{tail}")
    return Cost(
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        wall_seconds=time.perf_counter() - start,
        peak_mib=usage.ru_maxrss / 1024,  # Linux counts in KiB
    )
