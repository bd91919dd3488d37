"""CRDS when it is configured, and a clean way on when it is not or does not answer."""

import logging
import os
from contextlib import contextmanager

log = logging.getLogger(__name__)

# CRDS waits an hour for a silent server unless told otherwise.
TIMEOUT_SECONDS = 20
_CRDS_DEFAULT_TIMEOUT = "3600"


def crds_configured():
    """
    Tell whether the user has configured CRDS.

    Returns
    -------
    bool
        True if ``CRDS_PATH`` or ``CRDS_SERVER_URL`` is set.
    """
    return bool(os.environ.get("CRDS_PATH") or os.environ.get("CRDS_SERVER_URL"))


@contextmanager
def tolerating_crds(what):
    """
    Turn any failure of CRDS into one line of the log.

    CRDS ends the process with SystemExit when it finds neither server nor cache.

    Parameters
    ----------
    what : str
        What was asked of CRDS, for the log.

    Yields
    ------
    None
        Ask CRDS in the body of the ``with``.
    """
    limit_timeout()
    try:
        yield
    except (Exception, SystemExit) as error:
        log.info("CRDS did not give %s (%s): going on without", what, error)


def limit_timeout():
    """Let CRDS wait `TIMEOUT_SECONDS` for its server, unless the user has set another time."""
    # CRDS writes its default into the environment when it is imported, so that a default and the
    # same value set by the user look alike: an hour is no use to either.
    if (
        os.environ.get("CRDS_CLIENT_TIMEOUT_SECONDS", _CRDS_DEFAULT_TIMEOUT)
        == _CRDS_DEFAULT_TIMEOUT
    ):
        os.environ["CRDS_CLIENT_TIMEOUT_SECONDS"] = str(TIMEOUT_SECONDS)
