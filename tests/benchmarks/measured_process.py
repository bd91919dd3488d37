"""Run a program in a process of its own and say what it cost.

Run as a script, this module is the launcher: a process as small as possible that starts the program
and reports what it used. It is needed because the largest resident set that Linux reports for a
process includes that of the process which forked it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
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
    launcher = [sys.executable, __file__, log, *command]
    done = subprocess.run(
        [os.fspath(part) for part in launcher],
        env={**os.environ, **ONE_THREAD, "MPLBACKEND": "Agg"},
        stdout=subprocess.PIPE,
        check=True,
    )
    report = json.loads(done.stdout)
    status = report.pop("status")
    if status != 0:
        with open(log, encoding="utf-8", errors="replace") as stream:
            tail = "".join(stream.readlines()[-15:])
        raise RuntimeError(f"{command[0]} ended with status {status}:\n{tail}")
    return Cost(**report)


def launch(log, *command):
    """Run a command and print its cost as JSON."""
    start = time.perf_counter()
    with open(log, "wb") as stream:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT
        )
        _, status, usage = os.wait4(process.pid, 0)
    report = {
        "status": os.waitstatus_to_exitcode(status),
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "wall_seconds": time.perf_counter() - start,
        "peak_mib": usage.ru_maxrss / 1024,  # Linux counts in KiB
    }
    print(json.dumps(report))


if __name__ == "__main__":
    launch(*sys.argv[1:])
