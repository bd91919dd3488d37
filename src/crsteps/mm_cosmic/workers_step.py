"""Detectors of single images in processes of their own."""

from functools import partial

from crsteps.framework.processes import map_in_processes


def process_map(jobs):
    """
    Give what calls a function on several tasks at a time.

    Parameters
    ----------
    jobs : int
        Number of processes; 1 works in this one.

    Returns
    -------
    callable
        Like `map`, for a function that can be imported by its name.
    """
    return partial(map_in_processes, jobs=jobs, describe=lambda task: task.label)
