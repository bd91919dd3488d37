"""Neighbourhoods of sources: wings below the noise, and background that has to remain."""

import numpy as np
from scipy import ndimage

from crsteps.flicker_noise.boxes import bin_sums, enlarge

# Pixels of the bins in which distances are measured.
_BIN = 4
# Radii in pixels to which the surroundings of bright pixels are masked.
GROWTH_RADII = (4, 6, 8, 12, 16, 24, 32, 48)
# Mean light of surroundings that are masked, in units of the faintest light.
LEAST_WING = 0.3
# Lines per block in which some background must remain.
BLOCK_LINES = 32


def surroundings(signal, brightness, mask, usable, *, faintest, scale):
    """
    Neighbourhoods of bright pixels, as far as there is light in them.

    Wings are fainter than the noise of a pixel, but not than that of the mean over all sources
    of the same brightness.

    Parameters
    ----------
    signal : ndarray of float32, shape (ny, nx)
        Image without sky and stripes.
    brightness : ndarray of float32, shape (ny, nx)
        Absolute value of the smoothed image.
    mask : ndarray of bool, shape (ny, nx)
        Pixels of sources.
    usable : ndarray of bool, shape (ny, nx)
        Pixels in which there is a signal.
    faintest : float
        Mean light that may stay, and the brightness that needs no surroundings.
    scale : float
        A source of brightness b is surrounded to at most ``scale * (b / faintest)**(1/3)`` pixels.

    Returns
    -------
    ndarray of bool, shape (ny, nx)
        The neighbourhoods.
    """
    grown = np.zeros([-(-size // _BIN) for size in mask.shape], dtype=bool)
    if scale <= 0 or faintest <= 0:
        return enlarge(grown, mask.shape, _BIN)
    free = usable & ~mask
    n_free = bin_sums(free.astype(np.float32), _BIN)
    light = bin_sums(np.where(free, signal, 0), _BIN)
    # Negative traces have negative wings: the sign of each bin's brightest pixel.
    signs = np.sign(bin_sums(np.where(mask, signal, 0), _BIN))
    coarse = bin_sums(np.where(mask, brightness, 0), _BIN, np.maximum)
    for radius in GROWTH_RADII:
        bright = coarse > faintest * (radius / scale) ** 3
        if not bright.any():
            break
        distance, nearest = ndimage.distance_transform_edt(~bright, return_indices=True)
        near = distance * _BIN <= radius
        ring = near & ~grown & (n_free > 0)
        n_pixels = n_free[ring].sum()
        mean = (light * signs[tuple(nearest)])[ring].sum() / max(n_pixels, 1)
        if mean > LEAST_WING * faintest:
            grown |= near
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
