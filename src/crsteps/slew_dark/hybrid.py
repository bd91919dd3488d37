"""
Cosmic rays by signal and quality factor together, or by signal and sharpness.

A hit is told from persistence and hot pixels, whose ramps are straight, by its quality factor;
without one, by its sharpness: persistence is smeared by the PSF that made it. (Without a quality
plane, hot pixels remain, and hits as wide as stars are missed.) Around the bright pixels of a hit,
fainter signal counts that would not do by itself.
"""

from functools import lru_cache

import numpy as np

from crsteps.cosmic_rays.hysteresis import grow_seeds
from crsteps.detector.macc import PHOTOMETRIC

# Interpixel coupling is measured on pixels above this signal [e-], if they have neighbours enough.
_BRIGHT = 1000.0
_FEWEST_NEIGHBOURS, _MOST_BRIGHT_PIXELS = 400, 50_000
_DENSEST = 0.1  # share of the neighbours that lie within the densest interval
_STRONGEST_COUPLING = 0.02  # more than that is not coupling but the width of hits
_COUPLES = 5.0  # significance from which the coupling of a pixel into its neighbours matters
# Sharp is what a pixel has in excess of this many times the fainter of its pairs of opposite
# neighbours, diagonal ones weighted up because they are farther away. A track keeps nearly all of
# its signal; of a star of 1.4 pixels (FWHM) a third is left at most, and of wider ones nothing.
_SHARPNESS = 3.0
_DIAGONAL_WEIGHT = 2.0
_SHARP_SHARE = 0.5  # more than stars keep
# Significance from which the four neighbours of a pixel are likely to be hit too.
_STRONG = 15.0
# Share of the quality factor of a hit that is spread evenly over two differences of groups.
_LEAST_QUALITY = 0.5
_LARGEST_QUALITY = 250.0  # the plane ends at 255
_READ_NOISE = 13.0  # e-, of a single frame; of no weight for the quality factor of clear hits
# With a plane of one bit, neighbours of strong hits are flagged down to the same charge [e-] where
# there is more noise than in the photometric readout, of whose noise (6.4 e-) it gives 3 sigma.
_FAINT_CHARGE = 16.5
_FAINTEST = 2.0  # significance, in the noisiest pixels


class _Candidates:
    """Pixels significant enough to be flagged at all, and their neighbours' signal."""

    def __init__(self, signal, significance, *, threshold):
        self.shape = signal.shape
        self.width = signal.shape[1] + 2
        self._signal = np.pad(signal, 1)  # a frame, so that neighbours need no care at the edges
        self.index = np.flatnonzero(significance > threshold)
        y, x = np.divmod(self.index, signal.shape[1])
        self._padded = (y + 1) * self.width + x + 1
        self.signal = signal.ravel()[self.index]
        self.noise = self.signal / significance.ravel()[self.index]

    def neighbour(self, dy, dx):
        """Signal of the neighbour of each candidate; 0 where it is not known."""
        values = self._signal.ravel()[self._padded + dy * self.width + dx]
        values[~np.isfinite(values)] = 0
        return values

    def beside(self, chosen):
        """Tell which candidates have one of the chosen ones among their four neighbours."""
        image = np.zeros(self._signal.size, dtype=bool)
        image[self._padded[chosen]] = True
        return np.logical_or.reduce(
            [image[self._padded + step] for step in (1, -1, self.width, -self.width)]
        )

    def mask(self, chosen):
        """Image, True at the chosen candidates."""
        image = np.zeros(self.shape, dtype=bool)
        image.ravel()[self.index[chosen]] = True
        return image


def find_hits(
    signal,
    significance,
    *,
    quality=None,
    quality_kind=None,
    electrons_per_adu,
    seed_significance=5.0,
    grow_significance=3.0,
    seed_quality=25.0,
    grow_quality=6.0,
    readout=PHOTOMETRIC,
):
    """
    Flag the pixels of cosmic rays.

    Charge that a pixel owes to interpixel coupling with bright neighbours is taken off first, by
    the coupling seen in the image itself (`measure_coupling`).

    Parameters
    ----------
    signal : ndarray of float, shape (ny, nx)
        Image without background [ADU]; not finite where unknown.
    significance : ndarray of float, shape (ny, nx)
        The same in units of its noise; NaN where a pixel cannot be flagged.
    quality : ndarray, shape (ny, nx), optional
        Quality plane computed on board.
    quality_kind : str, optional
        "chi2" for the quality factor, "bit" for non-zero where it was large, None for no plane.
    electrons_per_adu : float
        Gain [e-/ADU].
    seed_significance, grow_significance : float
        Significance of pixels that are flagged by themselves, and of those beside flagged ones.
        With a plane of one bit, neighbours of strong hits may have less where there is more noise
        than in the photometric readout.
    seed_quality, grow_quality : float
        The same for the quality factor in the photometric readout; used with "chi2" only. In
        other readouts they are larger or smaller by as much as the quality factor scatters
        (`scaled_quality`). Bright pixels need more: half of the quality factor that the least
        obvious of hits has, whose charge is spread evenly over two differences of groups.
    readout : MaccReadout
        Sampling of the ramp, for the quality factor that hits have.

    Returns
    -------
    ndarray of bool, shape (ny, nx)
        Flagged pixels.
    """
    faintest = min(_FAINTEST, grow_significance) if quality_kind == "bit" else grow_significance
    pixels = _Candidates(signal, significance, threshold=faintest)
    coupling = measure_coupling(signal, significance, bright=_BRIGHT / electrons_per_adu)
    z = _without_coupling(pixels, coupling) / pixels.noise
    sharp = z - _SHARPNESS * _fainter_pair(pixels) / pixels.noise
    strong = pixels.signal > _STRONG * pixels.noise
    if quality_kind == "chi2":
        factor = quality.ravel()[pixels.index].astype(np.float32)
        least = _quality_of_hits(readout, pixels.signal * electrons_per_adu)
        low, high = (scaled_quality(value, readout) for value in (grow_quality, seed_quality))
        grow = (z > grow_significance) & (factor > np.maximum(low, least - grow_quality))
        seeds = grow & (z > seed_significance) & (factor > np.maximum(high, least))
        fringe = (sharp > grow_significance) & (factor >= low - grow_quality)
    else:
        grow = sharp > grow_significance
        sharply = sharp > _SHARP_SHARE * z
        if quality_kind == "bit":
            seeds = (quality.ravel()[pixels.index] > 0) & (z > grow_significance)
            faint = _signal_of_a_hit(readout, _FAINT_CHARGE) / (pixels.noise * electrons_per_adu)
            fringe = z > np.clip(faint, faintest, grow_significance)
            strong &= sharply  # bright persistence has set bits, and a fringe of its own
        else:
            seeds = (sharp > seed_significance) & sharply
            fringe = z > grow_significance
    mask = grow_seeds(pixels.mask(seeds), pixels.mask(grow))
    strong &= mask.ravel()[pixels.index]
    mask.ravel()[pixels.index[fringe & pixels.beside(strong)]] = True
    return mask


def scaled_quality(quality, readout):
    """
    Scale a quality factor with its scatter.

    For a straight ramp it is chi squared of the differences of groups less their number, whose
    scatter grows as the square root of that number.

    Parameters
    ----------
    quality : float
        Quality factor in the photometric readout.
    readout : MaccReadout
        Sampling of the ramp.

    Returns
    -------
    float
        Quality factor that is as far from that of straight ramps in this readout.
    """
    return quality * np.sqrt((readout.n_groups - 1) / (PHOTOMETRIC.n_groups - 1))


def measure_coupling(signal, significance, *, bright):
    """
    Measure the share of its signal that a pixel gives to each of its four neighbours.

    The neighbours of bright pixels that were not hit themselves have all the same small ratio to
    them; those that were hit have any ratio. So it is the middle of the shortest interval that
    holds a tenth of the ratios.

    Parameters
    ----------
    signal : ndarray of float, shape (ny, nx)
        Image without background.
    significance : ndarray of float, shape (ny, nx)
        NaN where a pixel is not to be used.
    bright : float
        Least signal of a bright pixel.

    Returns
    -------
    float
        Between 0 and 0.02; 0 if there are fewer than 400 neighbours.
    """
    ny, nx = signal.shape
    index = np.flatnonzero(signal > bright)
    y, x = np.divmod(index, nx)
    inside = (y > 0) & (y < ny - 1) & (x > 0) & (x < nx - 1)
    flat, of_pixels = signal.ravel(), significance.ravel()
    index = index[inside & np.isfinite(of_pixels[index])]
    index = index[:: 1 + index.size // _MOST_BRIGHT_PIXELS]
    beside = index + np.array([[1], [-1], [nx], [-nx]])
    ratios = (flat[beside] / flat[index])[np.isfinite(of_pixels[beside])]
    if ratios.size < _FEWEST_NEIGHBOURS:
        return 0.0
    ratios.sort()
    held = int(_DENSEST * ratios.size)
    first = np.argmin(ratios[held:] - ratios[:-held])
    return float(np.clip(ratios[first + held // 2], 0, _STRONGEST_COUPLING))


def _without_coupling(pixels, coupling):
    """Signal less what comes from the four neighbours."""
    given = np.zeros_like(pixels.signal)
    for dy, dx in ((0, 1), (0, -1), (1, 0), (-1, 0)):
        neighbour = pixels.neighbour(dy, dx)
        given += np.where(neighbour > _COUPLES * pixels.noise, neighbour, 0)
    return pixels.signal - np.float32(coupling) * given


def _fainter_pair(pixels):
    """Least mean of two opposite neighbours, 0 if negative: a track has two without charge."""
    pairs = [
        weight * (pixels.neighbour(dy, dx) + pixels.neighbour(-dy, -dx))
        for weight, dy, dx in (
            (1, 0, 1),
            (1, 1, 0),
            (_DIAGONAL_WEIGHT, 1, 1),
            (_DIAGONAL_WEIGHT, 1, -1),
        )
    ]
    return np.maximum(np.minimum.reduce(pairs) / 2, 0)


def _quality_of_hits(readout, signal):
    """Least quality factor that bright pixels must have, given their signal [e-]."""
    signals, qualities = _even_split(readout)
    least = _LEAST_QUALITY * np.interp(signal, signals, qualities)
    return np.minimum(least, _LARGEST_QUALITY)


@lru_cache
def _signal_of_a_hit(readout, charge):
    """Signal [e-] of a charge that arrives at once between two groups."""
    groups = np.zeros((readout.n_groups, 2))
    groups[1:, 1] = charge
    nothing, signal = readout.estimate(groups, read_noise=_READ_NOISE).signal
    return signal - nothing


@lru_cache
def _even_split(readout):
    """Signal and quality factor of hits whose charge is split evenly over two differences."""
    charge = np.concatenate([[0], np.geomspace(5, 3000, 60)])
    groups = np.ones((readout.n_groups, 1)) * charge
    groups[0] = 0
    if readout.n_groups > 2:
        groups[1] = charge / 2
    estimate = readout.estimate(groups, read_noise=_READ_NOISE)
    return estimate.signal - estimate.signal[0], estimate.quality
