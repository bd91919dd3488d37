"""Several decays, each a long list of pixels, walked through together a few pixels at a time."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from crsteps.persistence.decay import Decay

__all__ = ["PixelBlock", "walk_blocks"]


@dataclass(frozen=True)
class PixelBlock:
    """
    Some pixels and what decays in them.

    Attributes
    ----------
    pixels : ndarray
        Flat index of each pixel, ascending, (n,).
    parts : list of (int, Decay)
        Place of the decay in the sequence, and its values in the pixels of this block. Its
        ``pixels`` are places in the list above, (n,) or fewer.
    """

    pixels: np.ndarray
    parts: list[tuple[int, Decay]]

    @property
    def place(self):
        """Slice or array of int: index of the pixels in a flat image, a slice if they are all."""
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
        Anything with ``pixels``, ascending, and ``select``, which takes a slice of them and returns
        a `Decay`. Both are read a slice at a time, from the first pixel to the last.
    size : int
        Largest number of pixels that a decay has in a block.

    Yields
    ------
    block : PixelBlock
        Pixels in which something decays. Each pixel comes once, with all of its decays. Where the
        amplitude or the slope is not finite, or the amplitude not positive, a decay is left out.
    """
    cursors = [0] * len(decays)
    while True:
        ahead = [
            np.asarray(decay.pixels[cursor : cursor + size])
            for decay, cursor in zip(decays, cursors, strict=True)
        ]
        if not any(pixels.size for pixels in ahead):
            return
        # beyond the last pixel of a slice that is full there may be more of it
        stop = min((int(p[-1]) + 1 for p in ahead if p.size == size), default=None)
        parts = []
        for index, (decay, pixels) in enumerate(zip(decays, ahead, strict=True)):
            count = pixels.size if stop is None else int(np.searchsorted(pixels, stop))
            if count:
                part = _known(decay.select(slice(cursors[index], cursors[index] + count)))
                cursors[index] += count
                if part.pixels.size:
                    parts.append((index, part))
        if parts:
            yield _block(parts)


def _known(decay):
    """Decay in the pixels in which it says something; two sums tell whether it does in all."""
    amplitude, gamma = decay.amplitude, decay.gamma
    if np.isfinite(np.sum(amplitude) + np.sum(gamma)) and np.all(amplitude > 0):
        return decay
    return decay.select(np.isfinite(amplitude) & np.isfinite(gamma) & (amplitude > 0))


def _block(parts):
    """Common list of the pixels of all parts, and the parts in its places."""
    if len(parts) == 1:
        pixels = parts[0][1].pixels
    else:
        first = min(int(part.pixels[0]) for _, part in parts)
        last = max(int(part.pixels[-1]) for _, part in parts)
        touched = np.zeros(last - first + 1, bool)
        for _, part in parts:
            touched[part.pixels - first] = True
        pixels = first + np.flatnonzero(touched)
    placed = []
    for index, part in parts:
        if part.pixels.size == pixels.size:
            places = np.arange(pixels.size)
        else:
            places = np.searchsorted(pixels, part.pixels)
        placed.append((index, replace(part, pixels=places)))
    return PixelBlock(pixels, placed)
