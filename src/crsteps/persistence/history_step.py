"""The history of a run: read from a file, added to in the order of time, and written back."""

import logging
import os
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np

from crsteps.datamodels.persistence_history import (
    read_histories,
    update_histories,
    write_histories,
)
from crsteps.errors import CrstepsInputError
from crsteps.persistence.history import History
from crsteps.persistence.sparse_stimulus import Stimulus

log = logging.getLogger(__name__)

# Bytes of stimuli that are held in memory; what is more is kept in temporary files.
_MOST_HELD = 2**28


@contextmanager
def naming(source):
    """
    Tell which exposure an error of the mathematics is about.

    Parameters
    ----------
    source : str
        Name of the exposure.

    Yields
    ------
    None
        A ValueError in the body of the ``with`` becomes a CrstepsInputError.
    """
    try:
        yield
    except CrstepsInputError:
        raise
    except ValueError as error:
        raise CrstepsInputError(f"{source}: {str(error).rstrip('.')}.") from error


class Histories:
    """
    Histories of the detectors of a run; use it in a ``with`` statement.

    Parameters
    ----------
    path : str or Path, optional
        History file to begin with; one that does not exist yet is empty.
    to_be_written : bool, optional
        Whether `save` will be called, so that a file which cannot be written is refused now.
    """

    def __init__(self, path=None, *, to_be_written=True):
        self.path = Path(path) if path else None
        if path and to_be_written:
            _check_writable(self.path)
        self._read = read_histories(self.path, may_be_missing=True) if path else {}
        self._now = {name: _history(stored) for name, stored in self._read.items()}
        self._added = set()  # detectors whose history was changed
        self._held, self._n_aside = 0, 0
        self._stack = ExitStack()

    def __enter__(self):
        return self

    def __exit__(self, *raised):
        return self._stack.__exit__(*raised)

    def check_detectors(self, detectors):
        """
        Refuse a file with histories of other detectors only.

        Parameters
        ----------
        detectors : sequence of str
            Detectors of the exposures.

        Raises
        ------
        CrstepsInputError
            If the file has none of them.
        """
        if self._read and not set(detectors) & set(self._read):
            raise CrstepsInputError(
                f"history_file {self.path} is of {', '.join(sorted(self._read))} and not of "
                f"{', '.join(sorted(detectors))}: give the file of that detector, or a new name."
            )

    def of(self, detector, shape):
        """
        Give the history of a detector as it is now.

        Parameters
        ----------
        detector : str
            Name of the detector.
        shape : tuple of int
            Shape of its images.

        Returns
        -------
        History

        Raises
        ------
        CrstepsInputError
            If the history is of images of another shape.
        """
        history = self._now.setdefault(detector, History(detector, tuple(shape)))
        if history.shape != tuple(shape):
            where = f"history_file {self.path}" if self.path else "the history"
            raise CrstepsInputError(
                f"{where} has images of {detector} of shape {history.shape}, and an exposure has "
                f"{tuple(shape)}: give exposures of one shape, or another file."
            )
        return history

    def check(self, detector, stimulus):
        """
        Refuse a stimulus that `add` would refuse, before any work.

        Parameters
        ----------
        detector : str
            Name of the detector.
        stimulus : crsteps.persistence.sparse_stimulus.Stimulus
            What an exposure left.

        Raises
        ------
        CrstepsInputError
            As for `add`.
        """
        self._changed(detector, "add", stimulus)

    def check_order(self, detector, source, timing):
        """
        Refuse an exposure whose stimulus comes too late, before it is read.

        Parameters
        ----------
        detector, source : str
            Names of detector and exposure.
        timing : crsteps.datamodels.jwst_times.ExposureTiming
            Its times.

        Raises
        ------
        CrstepsInputError
            If it is not known, and an exposure that began later was corrected.
        """
        if all(known.source != source for known in self._now[detector].stimuli):
            pixels, fluence = np.zeros(1, np.int32), np.ones(1, np.float32)
            self.check(detector, Stimulus(source, timing.end, timing.duration, pixels, fluence))

    def record(self, detector, source, start):
        """
        Record that an exposure was corrected with the history as it is now.

        Parameters
        ----------
        detector, source : str
            Names of detector and exposure.
        start : float
            Its first reset in s on the clock.
        """
        self._change(detector, "record", source, start)

    def add(self, detector, stimulus):
        """
        Add the stimulus of an exposure.

        Parameters
        ----------
        detector : str
            Name of the detector.
        stimulus : crsteps.persistence.sparse_stimulus.Stimulus
            What it left.

        Raises
        ------
        CrstepsInputError
            If an exposure that began later was corrected without it, or it is known with other
            times or fluences.
        """
        self._change(detector, "add", stimulus)
        self._held += stimulus.pixels.nbytes + stimulus.fluence.nbytes
        if self._held > _MOST_HELD:
            self._put_aside()

    def save(self, *, forget=None):
        """
        Write what was added into the history file.

        Parameters
        ----------
        forget : callable, optional
            Takes a history and returns it without what is too weak.

        Raises
        ------
        CrstepsInputError
            If another run has changed the history of one of the detectors meanwhile, or the file
            cannot be written.
        """
        if self.path is None or not self._added:
            return

        def change(stored):
            changed = []
            for detector in self._added:
                before = _history(stored[detector]) if detector in stored else None
                known = _history(self._read[detector]) if detector in self._read else None
                if _signature(before) != _signature(known):
                    raise CrstepsInputError(
                        f"history_file {self.path}: another run has added exposures of {detector} "
                        "meanwhile, which this one does not take account of; run it again."
                    )
                history = self._now[detector]
                changed.append(forget(history) if forget else history)
            return changed

        update_histories(self.path, change)
        log.info("Saved the history of %s in %s", ", ".join(sorted(self._added)), self.path)

    def _change(self, detector, method, *arguments):
        self._now[detector] = self._changed(detector, method, *arguments)
        self._added.add(detector)

    def _changed(self, detector, method, *arguments):
        try:
            return getattr(self._now[detector], method)(*arguments)
        except CrstepsInputError:
            raise
        except ValueError as error:
            where = f"history_file {self.path}: " if self.path else ""
            raise CrstepsInputError(f"{where}{str(error).rstrip('.')}.") from error

    def _put_aside(self):
        """Write all stimuli that are in memory into a temporary file, and read them from there."""
        if self._n_aside == 0:
            self._folder = self._stack.enter_context(
                tempfile.TemporaryDirectory(prefix="crsteps-history-")
            )
        path = Path(self._folder) / f"{self._n_aside}.asdf"
        self._n_aside += 1
        stored = write_histories(path, self._now)
        self._now = {name: _history(history) for name, history in stored.items()}
        if self._n_aside > 1:
            (Path(self._folder) / f"{self._n_aside - 2}.asdf").unlink()
        self._held = 0


def _check_writable(path):
    """Refuse a file in a folder that cannot be made or written to."""
    folder = path.absolute().parent
    while not folder.exists():
        folder = folder.parent
    if not (folder.is_dir() and os.access(folder, os.W_OK)):
        raise CrstepsInputError(
            f"history_file {path} cannot be written: choose another folder, or set save_history to "
            "false."
        )


def _history(stored):
    """History of a file as one that can be added to; its arrays stay in the file."""
    return History(
        detector=stored.detector,
        shape=tuple(stored.shape),
        stimuli=tuple(stored.stimuli),
        corrected=tuple(stored.corrected),
        forgotten_until=stored.forgotten_until,
    )


def _signature(history):
    """Give what tells whether a history was changed."""
    if history is None:
        return None
    return (
        history.forgotten_until,
        [(s.source, s.end, len(s.pixels)) for s in history.stimuli],
        [(c.source, c.start) for c in history.corrected],
    )
