"""Calls in processes of their own; the functions are those of the standard library."""

import math
import os
import subprocess
import sys
import threading
import time

import pytest

from crsteps.errors import CrstepsInputError
from crsteps.framework import processes
from crsteps.framework.processes import Helpers, map_in_processes

# Evaluated elsewhere, for the module of a test cannot be imported there.
SLOW_PID = "(__import__('time').sleep(0.05), __import__('os').getpid())[1]"


@pytest.fixture
def meet(tmp_path):
    """Return an expression: the id of its process, as soon as so many processes evaluate it."""

    def expression(number):
        return (
            "(lambda os, time, folder: ("
            " open(os.path.join(folder, str(os.getpid())), 'w').close(),"
            f" [time.sleep(0.01) for _ in range(6000) if len(os.listdir(folder)) < {number}],"
            " os.getpid())[2]"
            f")(__import__('os'), __import__('time'), {str(tmp_path)!r})"
        )

    return expression


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


def test_this_process_and_as_many_others_as_asked_for(meet):
    pids = set(map_in_processes(eval, [meet(3)] * 12, jobs=3))
    assert len(pids) == 3
    assert os.getpid() in pids


def test_one_job_stays_in_this_process():
    assert next(map_in_processes(eval, ["__import__('os').getpid()"] * 2, jobs=1)) == os.getpid()


def test_one_thread_each(meet):
    task = f"{meet(2)} and __import__('os').getenv('OPENBLAS_NUM_THREADS')"
    assert set(map_in_processes(eval, [task] * 6, jobs=2)) == {"1"}


def test_what_is_printed_does_not_disturb():
    assert list(map_in_processes(eval, ["print('to stderr') or 5"] * 3, jobs=2)) == [5] * 3


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_exception_is_raised_here(jobs):
    with pytest.raises(ValueError, match=r"math domain|nonnegative"):
        list(map_in_processes(math.sqrt, [4.0, -1.0, 9.0], jobs=jobs))


def test_an_exception_of_another_process_has_its_traceback(meet):
    with pytest.raises(ZeroDivisionError) as caught:
        list(map_in_processes(eval, [f"{meet(2)} == {os.getpid()} or 1 / 0"] * 6, jobs=2))
    assert "Traceback" in str(caught.value.__cause__)


def test_an_exit_is_told_as_it_is(meet):
    """CRDS ends the process in which it finds no server."""
    with pytest.raises(SystemExit):
        list(map_in_processes(eval, [f"{meet(2)} == {os.getpid()} or exit(3)"] * 6, jobs=2))


@pytest.mark.parametrize(
    ("end", "words"),
    [
        ("__import__('os')._exit(7)", "exit status 7"),
        ("__import__('os').kill(__import__('os').getpid(), 9)", "signal SIGKILL"),
    ],
)
def test_a_process_that_dies_is_told_in_one_sentence(meet, end, words):
    task = f"{meet(2)} == {os.getpid()} or {end}"  # all others die
    with pytest.raises(CrstepsInputError, match=f"worked on A TASK ended .*{words}.*set jobs"):
        list(map_in_processes(eval, [task] * 6, jobs=2, describe=lambda _: "A TASK"))


def test_processes_end_when_the_results_are_no_longer_wanted(meet):
    for_ever = f"{SLOW_PID} == {os.getpid()} or __import__('time').sleep(3600)"
    results = map_in_processes(eval, [meet(3)] * 9 + [for_ever] * 9, jobs=3)
    pids = {next(results) for _ in range(9)} - {os.getpid()}
    assert len(pids) == 2
    results.close()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    assert not [t for t in threading.enumerate() if t.name.startswith("crsteps-feed")]


def test_helpers_that_were_started_before_serve_all_calls(meet):
    with Helpers(2, "builtins") as helpers:
        first = set(map_in_processes(eval, [meet(3)] * 6, jobs=1, helpers=helpers))
        second = set(map_in_processes(eval, [meet(3)] * 6, jobs=1, helpers=helpers))
    assert first == second
    assert len(first) == 3
    for pid in first - {os.getpid()}:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_no_helpers():
    with Helpers(0, "builtins") as helpers:
        assert list(map_in_processes(abs, [-1, -2], jobs=1, helpers=helpers)) == [1, 2]


def test_helpers_have_imported_the_module():
    """Before any call, that is: the first one finds it there."""
    with Helpers(1, "math") as helpers, Helpers(1, "json") as others:
        loaded = "'json' in __import__('sys').modules"
        assert not helpers.submit(eval, loaded, "").result(60)
        assert others.submit(eval, loaded, "").result(60)


def test_helpers_nobody_calls_end():
    with Helpers(2, "builtins"):
        pass
    assert not [t for t in threading.enumerate() if t.name.startswith("crsteps-feed")]


def test_this_process_works_until_the_others_are_ready(monkeypatch):
    ready = threading.Event()
    monkeypatch.setattr(processes._Worker, "wait_until_ready", lambda _: ready.wait(60))
    own = "__import__('os').getpid()"
    with Helpers(1, "builtins") as helpers:
        results = map_in_processes(eval, [own] * 5, jobs=1, helpers=helpers)
        assert list(results) == [os.getpid()] * 5
        ready.set()


def test_at_most_a_few_results_wait(tmp_path):
    """Memory stays bounded when results are taken slowly."""
    tasks = [f"open({str(tmp_path / str(n))!r}, 'w').close()" for n in range(30)]
    results = map_in_processes(eval, tasks, jobs=2)
    next(results)
    time.sleep(0.5)
    assert len(list(tmp_path.iterdir())) <= 1 + 2 * 2
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


def test_processes_load_nothing_heavy(meet):
    loaded = "{'jwst', 'stpipe', 'matplotlib', 'numpy'} & set(__import__('sys').modules)"
    task = f"{meet(2)} != {os.getpid()} and {loaded}"
    loads = [load for load in map_in_processes(eval, [task] * 6, jobs=2) if load is not False]
    assert loads
    assert not any(loads)
