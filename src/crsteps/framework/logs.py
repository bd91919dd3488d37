"""Own log lines wherever a step runs: in strun, in foreign pipelines and in ``cal_logs``."""

import logging
from contextlib import contextmanager

LOGGER = "crsteps"


@contextmanager
def lent_handlers():
    """
    Lend the handlers of stpipe's logger to the package's logger.

    Only the loggers that the outermost step or pipeline names get handlers. When that is a
    pipeline of another package it does not name ours, and our messages would vanish.

    Yields
    ------
    None
        Within the ``with`` messages go where stpipe's go.
    """
    theirs, ours = logging.getLogger("stpipe"), logging.getLogger(LOGGER)
    lent = [handler for handler in theirs.handlers if handler not in ours.handlers]
    level = ours.level
    for handler in lent:
        ours.addHandler(handler)
    if lent and theirs.level != logging.NOTSET:
        ours.setLevel(theirs.level)
    try:
        yield
    finally:
        for handler in lent:
            ours.removeHandler(handler)
        ours.setLevel(level)
