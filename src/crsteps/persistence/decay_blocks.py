"""Several decays, each a long list of pixels, walked through together a few pixels at a time."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from crsteps.persistence.decay import Decay
from crsteps.persistence.power_law import Covariance

__all__ = ["PixelBlock", "walk_blocks"]

# Share of the pixels of a range that decay, from which on the range is taken as a whole.
_DENSE = 0.5


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
        ``pixels`` are places in the list above, (n,) or fewer.
    """

    pixels: np.ndarray
    parts: list[tuple[int, Decay]]

    @property
    def place(self):
        """Index of the pixels in a flat image: a slice if they are all within it, or the list."""
        first, last = int(self.pixels[0]), int(self.pixels[-1])
        if last - first + 1 == self.pixels.size:
            return slice(first, last + 1)
        return self.pixels


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
        all of its decays. Where the amplitude or the slope is not finite, or the amplitude not
        positive, a decay is left out.
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
        self._pieces = pieces(piece) if pieces else _pieces(decay, piece)
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
    """Decay in the pixels in which it says something; two sums tell whether it does in all."""
    amplitude, gamma = decay.amplitude, decay.gamma
    if np.isfinite(np.sum(amplitude) + np.sum(gamma)) and np.all(amplitude > 0):
        return decay
    return decay.select(np.isfinite(amplitude) & np.isfinite(gamma) & (amplitude > 0))


def _block(parts):
    """Common list of the pixels of all parts, and the parts in its places."""
    first = min(int(part.pixels[0]) for _, part in parts)
    last = max(int(part.pixels[-1]) for _, part in parts)
    pixels = np.arange(first, last + 1)
    if len(parts) == 1:
        touched = parts[0][1].pixels
    else:
        lit = np.zeros(pixels.size, bool)
        for _, part in parts:
            lit[part.pixels - first] = True
        touched = pixels[lit]
    if touched.size < _DENSE * pixels.size:
        pixels = touched
    placed = []
    for index, part in parts:
        if pixels.size == last - first + 1:
            places = part.pixels - first
        elif part.pixels.size == pixels.size:
            places = np.arange(pixels.size)
        else:
            places = np.searchsorted(pixels, part.pixels)
        placed.append((index, replace(part, pixels=places)))
    return PixelBlock(pixels, placed)
