"""Several decays, each a long list of pixels, walked through together a few pixels at a time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from crsteps.persistence.decay import Decay, place_of
from crsteps.persistence.power_law import Covariance

__all__ = ["PixelBlock", "walk_blocks"]

# Share of the pixels of a range that decay, from which on the range is taken as a whole.
_DENSE = 0.5
# Gaps in a list of pixels, up to which the runs between them are copied one by one.
_FEW_GAPS = 100


@dataclass(frozen=True)
class PixelBlock:
    """
    Some pixels and what decays in them.

    Attributes
    ----------
    pixels : ndarray
        Flat index of each pixel, ascending, (n,). Where most of the pixels of a range decay it is
        the whole range, because a range is changed in a fraction of the time of a list.
    parts : list of (int, Decay)
        Place of the decay in the sequence, and its values in the pixels of this block. Its
        ``pixels`` are places in the list above; where it has most of them it is given all, with
        amplitudes of 0, because that takes a fraction of the time too.
    """

    pixels: np.ndarray
    parts: list[tuple[int, Decay]]

    @property
    def place(self):
        """Index of the pixels in a flat image: a slice if they are all within it, or the list."""
        return place_of(self.pixels)


def walk_blocks(decays, *, size):
    """
    Go through the pixels of some decays in ascending order.

    Parameters
    ----------
    decays : sequence of Decay or StimulusDecay
        Decays with ascending pixels, or anything with ``pieces`` like `StimulusDecay`.
    size : int
        Largest number of pixels that a decay has in a block.

    Yields
    ------
    block : PixelBlock
        Pixels in which something decays, and some between them. Each pixel comes at most once, with
        all of its decays. Where the amplitude or the slope is not finite, or the amplitude
        negative, a decay is left out, or of amplitude 0.
    """
    readers = [_Reader(decay, size, alone=len(decays) == 1) for decay in decays]
    while True:
        for reader in readers:
            reader.refill()
        stop = min((r.next_pixel for r in readers if r.next_pixel is not None), default=None)
        parts = [(index, reader.take(stop)) for index, reader in enumerate(readers)]
        parts = [(index, part) for index, part in parts if part is not None]
        if parts:
            yield _block(parts)
        elif stop is None:
            return


class _Reader:
    """
    One decay, read piece by piece; what is read but not yet taken waits.

    Of several decays there is always half of a block waiting. Otherwise every block would end where
    the first of them has to be read on, and be short.
    """

    def __init__(self, decay, size, *, alone):
        piece = size if alone else max(size // 2, 1)
        self._enough = 1 if alone else piece
        pieces = getattr(decay, "pieces", None)
        self._pieces = pieces(piece, keep_most=True) if pieces else _pieces(decay, piece)
        self._waiting = None
        self.next_pixel = 0

    def refill(self):
        """Read on, until enough waits or the decay ends."""
        while self.next_pixel is not None and self._n_waiting() < self._enough:
            piece, self.next_pixel = next(self._pieces, (None, None))
            piece = None if piece is None else _known(piece)
            if piece is not None and piece.pixels.size:
                self._waiting = piece if self._waiting is None else _joined(self._waiting, piece)

    def _n_waiting(self):
        return 0 if self._waiting is None else self._waiting.pixels.size

    def take(self, stop):
        """Part below a pixel, or all that waits if `stop` is None; None if there is nothing."""
        waiting = self._waiting
        if waiting is None:
            return None
        count = waiting.pixels.size
        if stop is not None and waiting.pixels[-1] >= stop:
            count = int(np.searchsorted(waiting.pixels, stop))
        if count == waiting.pixels.size:
            self._waiting = None
            return waiting
        self._waiting = waiting.select(slice(count, None))
        return waiting.select(slice(0, count)) if count else None


def _pieces(decay, size):
    """Pieces of a decay that is in memory, like those of `StimulusDecay`."""
    n_pixels = decay.pixels.size
    for first in range(0, n_pixels, size):
        last = min(first + size, n_pixels)
        next_pixel = int(decay.pixels[last - 1]) + 1 if last < n_pixels else None
        yield decay.select(slice(first, last)), next_pixel


def _joined(first, second):
    """Two pieces of a decay, one after the other."""
    covariance = [
        np.concatenate([one, other]) if np.ndim(one) else one
        for one, other in zip(first.covariance, second.covariance, strict=True)
    ]
    return replace(
        first,
        pixels=np.concatenate([first.pixels, second.pixels]),
        amplitude=np.concatenate([first.amplitude, second.amplitude]),
        gamma=np.concatenate([first.gamma, second.gamma]),
        covariance=Covariance(*covariance),
    )


def _known(decay):
    """Decay in the pixels in which it says something, or 0 where that are most of them."""
    amplitude, gamma = decay.amplitude, decay.gamma
    # a sum tells whether all are finite, which is the rule
    finite = np.isfinite(np.sum(amplitude) + np.sum(gamma))
    if finite and np.count_nonzero(amplitude > 0) >= max(_DENSE * amplitude.size, 1):
        return decay if amplitude.min() >= 0 else replace(decay, amplitude=np.maximum(amplitude, 0))
    return decay.select(np.isfinite(amplitude) & np.isfinite(gamma) & (amplitude > 0))


def _block(parts):
    """Common list of the pixels of all parts, and the parts in its places."""
    first = min(int(part.pixels[0]) for _, part in parts)
    last = max(int(part.pixels[-1]) for _, part in parts)
    n_range = last - first + 1
    if len(parts) == 1:
        touched = parts[0][1].pixels
    else:
        lit = np.zeros(n_range, bool)
        for _, part in parts:
            lit[part.pixels - first] = True
        touched = np.flatnonzero(lit) + first
    is_range = touched.size >= _DENSE * n_range
    pixels = np.arange(first, last + 1) if is_range else touched
    placed = []
    for index, part in parts:
        if is_range:
            places = part.pixels - first
        elif part.pixels.size == pixels.size:
            places = np.arange(pixels.size)
        else:
            places = np.searchsorted(pixels, part.pixels)
        part = replace(part, pixels=places)
        if _DENSE * pixels.size <= places.size < pixels.size:
            part = _filled(part, pixels.size)
        placed.append((index, part))
    return PixelBlock(pixels, placed)


def _filled(part, size):
    """Part with all places of a block, of amplitude 0 where it had no pixel."""
    places = part.pixels
    gaps = np.flatnonzero(np.diff(places) > 1) + 1
    runs = list(pairwise([0, *gaps.tolist(), places.size])) if gaps.size < _FEW_GAPS else None

    def fill(values, others=0):
        if not np.ndim(values):
            return values
        every = np.full(size, others, values.dtype)
        if runs is None:
            every[places] = values
        else:  # a tenth of the time
            for start, stop in runs:
                first = places[start]
                every[first : first + stop - start] = values[start:stop]
        return every

    return replace(
        part,
        pixels=np.arange(size),
        amplitude=fill(part.amplitude),
        gamma=fill(part.gamma, part.gamma[0]),
        covariance=Covariance(*map(fill, part.covariance)),
    )
