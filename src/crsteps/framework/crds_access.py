"""CRDS when it is configured, and a clean way on when it is not or does not answer."""

import io
import logging
import os
import time
from contextlib import contextmanager, redirect_stderr

log = logging.getLogger(__name__)

# CRDS waits an hour for a silent server unless told otherwise.
TIMEOUT_SECONDS = 20
_CRDS_DEFAULT_TIMEOUT = "3600"

# A pipeline asks several times for each exposure: after a failure not before this time.
RETRY_SECONDS = 600
_unreachable_since = {}


def crds_configured():
    """
    Tell whether the user has configured CRDS.

    Returns
    -------
    bool
        True if ``CRDS_PATH`` or ``CRDS_SERVER_URL`` is set.
    """
    return any(_configuration())


def ask_crds(what, question, default=None):
    """
    Ask CRDS, where it is configured, and go on if it does not answer.

    Parameters
    ----------
    what : str
        What it is asked for, for the log.
    question : callable
        Asks, and returns the answer.
    default : object, optional
        What to return instead of an answer.

    Returns
    -------
    object
        The answer, or `default` when CRDS is not configured, fails, or could not be reached
        within the last `RETRY_SECONDS`.
    """
    if not crds_configured():
        return default
    now = time.monotonic()
    if now - _unreachable_since.get(_configuration(), -RETRY_SECONDS) < RETRY_SECONDS:
        log.info("CRDS is not asked for %s: it could not be reached a moment ago", what)
        return default
    limit_timeout()
    try:
        with _last_words_held_back():
            return question()
    except SystemExit:  # what CRDS does when it has neither its server nor a filled cache
        _unreachable_since[_configuration()] = now
        path, server = _configuration()
        log.warning(
            "CRDS did not give %s: no answer from CRDS_SERVER_URL %s, no cache in CRDS_PATH %s; "
            "going on without CRDS",
            what,
            server,
            path,
        )
    except Exception as error:
        log.info("CRDS did not give %s (%s): going on without", what, error)
    return default


@contextmanager
def _last_words_held_back():
    """Keep crds from saying that it cannot continue, and from printing tracebacks: we go on."""

    def is_not_fatal(record):
        return "(FATAL)" not in record.getMessage()

    logger, printed = logging.getLogger("CRDS"), io.StringIO()
    logger.addFilter(is_not_fatal)
    try:
        with redirect_stderr(printed):
            yield
    finally:
        logger.removeFilter(is_not_fatal)
        if text := printed.getvalue().strip():
            log.info("CRDS reports: %s", text.splitlines()[-1])


def limit_timeout():
    """Let CRDS wait `TIMEOUT_SECONDS` for its server, unless the user has set another time."""
    # CRDS writes its default into the environment when it is imported, so that a default and the
    # same value set by the user look alike: an hour is no use to either.
    if (
        os.environ.get("CRDS_CLIENT_TIMEOUT_SECONDS", _CRDS_DEFAULT_TIMEOUT)
        == _CRDS_DEFAULT_TIMEOUT
    ):
        os.environ["CRDS_CLIENT_TIMEOUT_SECONDS"] = str(TIMEOUT_SECONDS)


def _configuration():
    return os.environ.get("CRDS_PATH"), os.environ.get("CRDS_SERVER_URL")
