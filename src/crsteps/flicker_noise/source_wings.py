"""Neighbourhoods of sources: wings below the noise, and background that has to remain."""

import numpy as np
from scipy import ndimage

from crsteps.flicker_noise.boxes import bin_sums, enlarge

# Pixels of the bins in which distances are measured.
_BIN = 4
# Radii in pixels to which the surroundings of bright pixels are masked.
GROWTH_RADII = (4, 6, 8, 12, 16, 24, 32, 48)
# Lines per block in which some background must remain.
BLOCK_LINES = 32


def surroundings(brightness, mask, growth_scale):
    """
    Neighbourhoods of bright pixels, to a radius that grows with their brightness.

    Parameters
    ----------
    brightness : ndarray of float32, shape (ny, nx)
        Brightness of the pixels, not negative.
    mask : ndarray of bool, shape (ny, nx)
        Pixels of sources.
    growth_scale : float
        A source of brightness b is surrounded to ``growth_scale * b**(1/3)`` pixels.

    Returns
    -------
    ndarray of bool, shape (ny, nx)
        The neighbourhoods.
    """
    coarse = bin_sums(np.where(mask, brightness, 0), _BIN, np.maximum)
    grown = np.zeros(coarse.shape, dtype=bool)
    if growth_scale > 0:
        for radius in GROWTH_RADII:
            bright = coarse > (radius / growth_scale) ** 3
            if not bright.any():
                break
            grown |= ndimage.distance_transform_edt(~bright) * _BIN <= radius
    return enlarge(grown, mask.shape, _BIN)


def give_back(mask, candidates, significance, *, n_outputs, least):
    """
    Unmask the faintest candidates where an output has next to no background, in place.

    Parameters
    ----------
    mask : ndarray of bool, shape (n_lines, n_pixels)
        Mask; changed.
    candidates : ndarray of bool, shape (n_lines, n_pixels)
        Pixels that may be unmasked.
    significance : ndarray of float32, shape (n_lines, n_pixels)
        Order in which they are.
    n_outputs : int
        Outputs along a line.
    least : float
        Fraction of background wanted in every block of 32 lines of an output.
    """
    width = mask.shape[1] // n_outputs
    for line in range(0, mask.shape[0], BLOCK_LINES):
        for column in range(0, mask.shape[1], width):
            block = np.s_[line : line + BLOCK_LINES, column : column + width]
            wanted = int(np.ceil(least * mask[block].size))
            short = wanted - np.count_nonzero(~mask[block])
            if short <= 0:
                continue
            faint = candidates[block] & mask[block]
            order = np.where(faint, significance[block], np.inf)
            short = min(short, np.count_nonzero(faint))
            if short:
                limit = np.partition(order, short - 1, axis=None)[short - 1]
                mask[block] &= order > limit
