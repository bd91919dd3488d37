"""
Call a function on several tasks in processes of their own.

The start methods of `multiprocessing` do not serve steps. Forking copies locks that threads of a
notebook or of a linear-algebra library may hold; the other methods import the main module once
more in every process, which is three seconds of jwst under ``strun`` and an endless chain for a
script without a main guard. Here a process is a fresh interpreter that imports the module of the
function and nothing else, whatever the main module of its parent is.
"""

import importlib
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import traceback
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from itertools import islice

from crsteps.errors import CrstepsInputError

# Read once by the numerical libraries, when they are loaded.
_ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1"
)
# Images freed are kept for the next ones: new memory has to be cleared, a seventh of the work on a
# detector. Read by the C library of GNU; 32 MB is its largest threshold.
_KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(1 << 25), "MALLOC_TRIM_THRESHOLD_": str(1 << 28)}
_SERVE = (
    "import sys; sys.path[:] = {path!r}; "
    "from crsteps.framework.processes import serve; serve({module!r})"
)
# Tasks for each process that are begun, waiting, or done before an earlier one that takes longer.
_AHEAD = 2


def map_in_processes(function, tasks, *, jobs, describe=str, helpers=None):
    """
    Call a function on tasks, several at a time.

    Parameters
    ----------
    function : callable
        A function that can be imported by its name, from a module that is quickly imported.
    tasks : sequence
        Arguments, one for each call; they and the results are pickled.
    jobs : int
        Number of processes, this one included: it works too while it would have to wait, and while
        the others start. These have one thread for linear algebra and OpenMP.
    describe : callable, optional
        Names a task in messages.
    helpers : Helpers, optional
        The other processes, if they were started before; `jobs` is not used then.

    Returns
    -------
    iterator
        Gives what the function returns, in the order of the tasks. At most ``2 * jobs`` results
        are held at a time. When it is closed, other processes that it started are ended; `helpers`
        begin before a result is asked for.

    Raises
    ------
    CrstepsInputError
        A process ended before its task did.
    Exception
        What the function raises; from another process, with the traceback there as its cause.
    """
    jobs = min(helpers.number + 1 if helpers else jobs, len(tasks))
    if jobs <= 1:
        return (function(task) for task in tasks)
    calls = _Calls(function, tasks, describe, _AHEAD * jobs)
    if not helpers:
        return calls.results_of_new_helpers(jobs - 1)
    calls.submit(helpers)
    return calls.results(helpers)


class Helpers:
    """
    Processes that are started before there are tasks; use it in a ``with`` statement.

    They import what they will need while this process finds out what there is to do.

    Parameters
    ----------
    number : int
        Number of processes; none is fine.
    module : str
        Name of the module of the functions that they will call; they import it.
    """

    def __init__(self, number, module):
        self.number, self._module = number, module
        self._started, self._of_thread = queue.SimpleQueue(), threading.local()

    def __enter__(self):
        if not self.number:
            return self
        with ExitStack() as stack:
            self._threads = ThreadPoolExecutor(
                self.number, thread_name_prefix="crsteps-feed", initializer=self._adopt
            )
            # calls that have not begun are dropped at the end
            stack.callback(self._threads.shutdown, cancel_futures=True)
            for _ in range(self.number):  # left before the threads are, which then wait for nothing
                self._started.put(stack.enter_context(_Worker(self._module)))
                self._threads.submit(int)  # starts a thread
            self._open = stack.pop_all()
        return self

    def __exit__(self, *raised):
        return self._open.__exit__(*raised) if self.number else None

    def submit(self, function, task, label):
        """
        Let a process call a function as soon as one is free.

        Parameters
        ----------
        function : callable
            A function that can be imported by its name.
        task : object
            Its argument.
        label : str
            Name of the task in messages.

        Returns
        -------
        concurrent.futures.Future
            Of its result; it can be cancelled until a process that is ready takes it.
        """
        return self._threads.submit(self._call, function, task, label)

    def _adopt(self):
        """Begin a thread: feed one of the processes, from when it is ready."""
        self._of_thread.worker = self._started.get()
        self._of_thread.worker.wait_until_ready()

    def _call(self, function, task, label):
        return self._of_thread.worker.call(function, task, label)


@dataclass
class _Call:
    """A task and its result, which may still be to come."""

    task: object
    future: Future


class _Calls:
    """Calls of a function on tasks, of which a few are submitted at a time."""

    def __init__(self, function, tasks, describe, n_ahead):
        self._function, self._describe, self._n_ahead = function, describe, n_ahead
        self._tasks, self._waiting = iter(tasks), deque()

    def submit(self, helpers):
        """Submit tasks until enough wait."""
        for task in islice(self._tasks, self._n_ahead - len(self._waiting)):
            future = helpers.submit(self._function, task, self._describe(task))
            self._waiting.append(_Call(task, future))

    def results(self, helpers):
        """Yield the results in the order of the tasks."""
        self.submit(helpers)
        while self._waiting:
            yield self._first_result()
            self.submit(helpers)

    def results_of_new_helpers(self, number):
        """Yield the results, with processes that are started for this."""
        with Helpers(number, self._function.__module__) as helpers:
            yield from self.results(helpers)

    def _first_result(self):
        """Take the first result; until it is there, work on tasks that no process has begun."""
        first = self._waiting[0]
        for other in self._waiting:
            if first.future.done():
                break
            if other.future.cancel():
                other.future = Future()
                other.future.set_result(self._function(other.task))
        return self._waiting.popleft().future.result()


class _WorkerTraceback(Exception):
    """Traceback of a process, shown as the cause of the exception it raised."""

    def __str__(self):
        return f"\n{self.args[0]}"


class _Worker:
    """A process that imports a module and then calls functions, told by its standard input."""

    def __init__(self, module):
        self._module = module

    def __enter__(self):
        self.process = subprocess.Popen(
            [sys.executable, "-c", _SERVE.format(path=sys.path, module=self._module)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**_KEEP_MEMORY, **os.environ, **_ONE_THREAD},
            start_new_session=True,  # Ctrl-C reaches the parent alone, which ends the others
        )
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            with suppress(BrokenPipeError):  # of a task that was not read
                stream.close()

    def wait_until_ready(self):
        """Wait until the process has imported the module, or ended: the first call tells that."""
        with suppress(OSError, ValueError):  # closed meanwhile
            self.process.stdout.read(1)

    def call(self, function, task, label):
        """Call a function in the process."""
        try:
            pickle.dump((function, task), self.process.stdin, protocol=5)
            self.process.stdin.flush()
            done, result, trace = pickle.load(self.process.stdout)
        except (EOFError, BrokenPipeError, pickle.UnpicklingError) as error:
            raise CrstepsInputError(
                f"The process that worked on {label} ended before it was done "
                f"({_how_ended(self.process)}): if memory was short, set jobs to a smaller number."
            ) from error
        if not done:
            raise result from _WorkerTraceback(trace)
        return result


def _how_ended(process):
    try:
        code = process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        return "it no longer answers"
    return f"exit status {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"


def serve(module):
    """
    Answer the calls that come by standard input, until it ends; the life of a process.

    Parameters
    ----------
    module : str
        Module to import before.
    """
    # What functions print must not get between the answers.
    calls, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    with suppress(Exception, SystemExit):  # a call fails in the same way, and can tell
        importlib.import_module(module)
    answers.write(b"\n")
    answers.flush()
    while calls.peek(1):
        try:
            function, task = pickle.load(calls)
            answer = (True, function(task), None)
        except (Exception, SystemExit) as error:  # some libraries end the process
            answer = (False, _picklable(error), traceback.format_exc())
        pickle.dump(answer, answers, protocol=5)
        answers.flush()


def _picklable(error):
    """Error itself, or one that says the same."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # exceptions are pickled in as many ways as there are authors
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
