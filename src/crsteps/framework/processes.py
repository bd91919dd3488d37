"""
Call a function on several tasks in processes of their own.

The start methods of `multiprocessing` do not serve steps. Forking copies locks that threads of a
notebook or of a linear-algebra library may hold; the other methods import the main module once
more in every process, which is three seconds of jwst under ``strun`` and an endless chain for a
script without a main guard. Here a process is a fresh interpreter that imports the module of the
function and nothing else, whatever the main module of its parent is.
"""

import os
import pickle
import queue
import signal
import subprocess
import sys
import traceback
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass

from crsteps.errors import CrstepsInputError

# Read once by the numerical libraries, when they are loaded.
_ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1"
)
_SERVE = (
    "import sys; sys.path[:] = {path!r}; from crsteps.framework.processes import serve; serve()"
)
# Results that may wait for an earlier one that takes longer.
_AHEAD = 1


def map_in_processes(function, tasks, *, jobs, describe=str):
    """
    Call a function on tasks, several at a time.

    Parameters
    ----------
    function : callable
        A function that can be imported by its name, from a module that is quickly imported.
    tasks : sequence
        Arguments, one for each call; they and the results are pickled.
    jobs : int
        Number of processes, this one included: it works too while it would have to wait. The
        others have one thread for linear algebra and OpenMP.
    describe : callable, optional
        Names a task in messages.

    Yields
    ------
    object
        What the function returns, in the order of the tasks. At most ``jobs + 1`` results are
        held at a time. When the generator is closed, the other processes are ended.

    Raises
    ------
    CrstepsInputError
        A process ended before its task did.
    Exception
        What the function raises; from another process, with the traceback there as its cause.
    """
    jobs = min(jobs, len(tasks))
    if jobs <= 1:
        yield from map(function, tasks)
        return
    idle = queue.SimpleQueue()

    def call(task):
        worker = idle.get()
        try:
            return worker.call(function, task, describe(task))
        finally:
            idle.put(worker)

    with ExitStack() as stack:
        threads = stack.enter_context(_threads(jobs - 1))
        for _ in range(jobs - 1):  # left before the threads are, which then wait for nothing
            idle.put(stack.enter_context(_Worker()))
        waiting = deque()
        for task in tasks:
            waiting.append(_Call(task, threads.submit(call, task)))
            if len(waiting) >= jobs + _AHEAD:
                yield _first_result(waiting, function)
        while waiting:
            yield _first_result(waiting, function)


@dataclass
class _Call:
    """A task and its result, which may still be to come."""

    task: object
    future: Future


def _first_result(waiting, function):
    """Take the first result; until it is there, work on tasks that no process has begun."""
    first = waiting[0]
    for other in waiting:
        if first.future.done():
            break
        if other.future.cancel():
            other.future = Future()
            other.future.set_result(function(other.task))
    return waiting.popleft().future.result()


@contextmanager
def _threads(number):
    """Threads that feed the processes; calls that have not begun are dropped at the end."""
    threads = ThreadPoolExecutor(number, thread_name_prefix="crsteps-feed")
    try:
        yield threads
    finally:
        threads.shutdown(cancel_futures=True)


class _WorkerTraceback(Exception):
    """Traceback of a process, shown as the cause of the exception it raised."""

    def __str__(self):
        return f"\n{self.args[0]}"


class _Worker:
    """A process that calls functions, told what by its standard input."""

    def __enter__(self):
        self.process = subprocess.Popen(
            [sys.executable, "-c", _SERVE.format(path=sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **_ONE_THREAD},
            start_new_session=True,  # Ctrl-C reaches the parent alone, which ends the others
        )
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            with suppress(BrokenPipeError):  # of a task that was not read
                stream.close()

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


def serve():
    """Answer the calls that come by standard input, until it ends; the life of a process."""
    # What functions print must not get between the answers.
    calls, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
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
