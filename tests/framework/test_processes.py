"""Calls in processes of their own; the functions are those of the standard library."""

import math
import os
import subprocess
import sys
import threading
import time

import pytest

from crsteps.errors import CrstepsInputError
from crsteps.framework.processes import map_in_processes

# Evaluated elsewhere, for the module of a test cannot be imported there.
SLOW_PID = "(__import__('time').sleep(0.05), __import__('os').getpid())[1]"

SCRIPT = """
import os
from crsteps.framework.processes import map_in_processes
print("main", flush=True)
print(list(map_in_processes(abs, [-1, -2, -3], jobs=2)))
"""


@pytest.mark.parametrize("jobs", [1, 2, 7])
def test_results_come_in_the_order_of_the_tasks(jobs):
    tasks = list(range(20))
    assert list(map_in_processes(math.factorial, tasks, jobs=jobs)) == [
        math.factorial(n) for n in tasks
    ]


def test_no_tasks():
    assert list(map_in_processes(abs, [], jobs=2)) == []


def test_this_process_and_as_many_others_as_asked_for():
    """Each task takes long enough for all processes to get some."""
    pids = set(map_in_processes(eval, [SLOW_PID] * 12, jobs=3))
    assert len(pids) == 3
    assert os.getpid() in pids


def test_one_job_stays_in_this_process():
    assert next(map_in_processes(eval, ["__import__('os').getpid()"] * 2, jobs=1)) == os.getpid()


def test_one_thread_each():
    task = SLOW_PID.replace("os').getpid()", "os').getenv('OPENBLAS_NUM_THREADS')")
    assert set(map_in_processes(eval, [task] * 6, jobs=2)) == {"1"}


def test_what_is_printed_does_not_disturb():
    assert list(map_in_processes(eval, ["print('to stderr') or 5"] * 3, jobs=2)) == [5] * 3


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_exception_is_raised_here(jobs):
    with pytest.raises(ValueError, match=r"math domain|nonnegative"):
        list(map_in_processes(math.sqrt, [4.0, -1.0, 9.0], jobs=jobs))


def test_an_exception_of_another_process_has_its_traceback():
    with pytest.raises(ZeroDivisionError) as caught:
        list(map_in_processes(eval, [f"{SLOW_PID} == {os.getpid()} or 1 / 0"] * 6, jobs=2))
    assert "Traceback" in str(caught.value.__cause__)


def test_an_exit_is_told_as_it_is():
    """CRDS ends the process in which it finds no server."""
    with pytest.raises(SystemExit):
        list(map_in_processes(eval, [f"{SLOW_PID} == {os.getpid()} or exit(3)"] * 6, jobs=2))


@pytest.mark.parametrize(
    ("end", "words"),
    [
        ("__import__('os')._exit(7)", "exit status 7"),
        ("__import__('os').kill(__import__('os').getpid(), 9)", "signal SIGKILL"),
    ],
)
def test_a_process_that_dies_is_told_in_one_sentence(end, words):
    task = f"{SLOW_PID} == {os.getpid()} or {end}"  # all others die
    with pytest.raises(CrstepsInputError, match=f"worked on A TASK ended .*{words}.*set jobs"):
        list(map_in_processes(eval, [task] * 6, jobs=2, describe=lambda _: "A TASK"))


def test_processes_end_when_the_results_are_no_longer_wanted():
    for_ever = f"{SLOW_PID} == {os.getpid()} or __import__('time').sleep(3600)"
    results = map_in_processes(eval, [SLOW_PID] * 9 + [for_ever] * 9, jobs=3)
    pids = {next(results) for _ in range(9)} - {os.getpid()}
    assert len(pids) == 2
    results.close()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    assert not [t for t in threading.enumerate() if t.name.startswith("crsteps-feed")]


def test_at_most_a_few_results_wait(tmp_path):
    """Memory stays bounded when results are taken slowly."""
    tasks = [f"open({str(tmp_path / str(n))!r}, 'w').close()" for n in range(30)]
    results = map_in_processes(eval, tasks, jobs=2)
    next(results)
    time.sleep(0.5)
    assert len(list(tmp_path.iterdir())) <= 1 + 2 + 1
    results.close()


def test_a_script_without_a_main_guard(tmp_path, user_environment):
    path = tmp_path / "script.py"
    path.write_text(SCRIPT, encoding="utf-8")
    run = subprocess.run(
        [sys.executable, path],
        env=user_environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert run.stdout.splitlines() == ["main", "[1, 2, 3]"]
    assert run.stderr == ""


def test_processes_load_nothing_heavy():
    loaded = "{'jwst', 'stpipe', 'matplotlib', 'numpy'} & set(__import__('sys').modules)"
    task = f"{SLOW_PID} != {os.getpid()} and {loaded}"
    loads = [load for load in map_in_processes(eval, [task] * 6, jobs=2) if load is not False]
    assert loads
    assert not any(loads)
