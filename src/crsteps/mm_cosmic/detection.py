"""Which exposures of a pixel were hit: sequential tests of the gaps between sorted values."""

from dataclasses import dataclass

import numpy as np

from crsteps.cosmic_rays.hysteresis import dilate, grow_seeds, large_components
from crsteps.mm_cosmic.evidence import measure_log_odds
from crsteps.mm_cosmic.null_model import log_gap_probabilities

# Shares of the false pixels asked for. The second test looks only at pixels where a hit has been
# found, so its false pixels lie on tracks; the first looks everywhere, pixel by pixel and in
# pairs of neighbours.
_SHARE_EVERYWHERE, _SHARE_ON_TRACKS = 0.9, 0.1
_SHARE_SINGLE, _SHARE_PAIRS = 0.5, 0.5
# How much rarer it is that one exposure more is hit in the same pixel.
RARER = 10.0
# Each flagged neighbour beyond the first loosens the threshold of growth by this factor (log), up
# to the loosest: a pixel within a track is far more often hit than one at its end.
NEIGHBOUR_GAIN = np.log(3.0)
SECOND_GAIN = np.log(2.0)
LOOSEST = np.log(0.1)
_FILLING_PASSES = 4
_NEIGHBOURS = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dy, dx) != (0, 0)]


@dataclass(frozen=True)
class Candidates:
    """
    Pixels whose exposures differ enough to be tested.

    Attributes
    ----------
    index : ndarray of int, shape (n_pixels,)
        Flat index into the image.
    values : ndarray of float32, shape (n_pixels, n_exposures)
        Exposures on the common scale; NaN is missing.
    read_variance, poisson_factor : ndarray of float32
        Noise, (n_pixels, n_exposures) or (n_pixels, 1).
    extra_variance : ndarray of float32, shape (n_pixels,)
        Variance from differences between exposures.
    """

    index: np.ndarray
    values: np.ndarray
    read_variance: np.ndarray
    poisson_factor: np.ndarray
    extra_variance: np.ndarray


@dataclass(frozen=True)
class Thresholds:
    """
    Probabilities below which pixels are flagged, from the false pixels asked for.

    Attributes
    ----------
    single : dict of int to ndarray
        For each number u of usable exposures, log probability for a single pixel and each gap
        k = 2..u.
    pair : dict of int to ndarray
        The same for a pixel with a neighbour that passes it too.
    handicap : dict of int to ndarray
        The same, to be added to the log probability of a gap in growth, where more than
        ``cr_coincidences`` exposures lie above it.
    grow : float
        Log probability for pixels connected with a flagged one.
    """

    single: dict
    pair: dict
    handicap: dict
    grow: float


def gap_shares(n_usable, cr_coincidences):
    """
    Share of the false pixels given to each gap, so that each mask gets the number asked for.

    Gaps at which at least ``cr_coincidences`` exposures lie above give false pixels of the
    median's mask, together one share, less for each exposure more: it is far more likely that one
    exposure lies low than that four of five were hit. A gap with m exposures above gives a false
    pixel in m of the n masks of exposures; the upper gaps fill those masks up to one share each.

    Parameters
    ----------
    n_usable : int
        Usable exposures.
    cr_coincidences : int
        Exposures that must be hit for the median's mask.

    Returns
    -------
    ndarray, shape (n_usable - 1,)
        Shares for gaps k = 2..n.
    """
    above = n_usable - np.arange(1, n_usable)
    coincidences = min(cr_coincidences, n_usable - 1)
    in_median = above >= coincidences
    shares = np.where(in_median, RARER ** -(above - float(coincidences)), 0.0)
    shares /= shares.sum()
    left = max(1 - np.sum(shares * above) / n_usable, 0.0)
    if not in_median.all():
        shares[~in_median] = left * n_usable / above[~in_median].sum()
    return shares


def make_thresholds(*, n_exposures, n_pixels, false_pixels, cr_coincidences, grow_probability):
    """
    Turn the false pixels asked for into thresholds.

    Parameters
    ----------
    n_exposures, n_pixels : int
        Exposures, and pixels of an image.
    false_pixels : float
        False pixels asked for in each mask.
    cr_coincidences : int
        See `gap_shares`.
    grow_probability : float
        Probability below which pixels connected with a flagged one are flagged.

    Returns
    -------
    Thresholds
    """
    single, pair, handicap = {}, {}, {}
    for n in range(2, n_exposures + 1):
        false = false_pixels * _SHARE_EVERYWHERE * gap_shares(n, cr_coincidences)
        single[n] = np.log(np.minimum(_SHARE_SINGLE * false / n_pixels, grow_probability))
        # With 4 pairs a pixel, 4 n q^2 pairs of two pixels are expected at probability q.
        pair[n] = np.log(
            np.minimum(np.sqrt(_SHARE_PAIRS * false / (8 * n_pixels)), grow_probability)
        )
        surplus = np.maximum(n - np.arange(1, n) - min(cr_coincidences, n - 1), 0)
        handicap[n] = (np.log(RARER) * surplus).astype(np.float32)
    return Thresholds(single, pair, handicap, float(np.log(grow_probability)))


def detect_hits(
    candidates,
    *,
    shape,
    thresholds,
    false_pixels,
    relative_variance,
    prior,
    detected=None,
    levels=None,
    compare=True,
):
    """
    Flag the exposures that were hit.

    Detectors of single images may have been asked before. What they flag for sure can be
    `detected`: pixels flagged in any case, from which flags grow. Or it can be evidence, in
    `levels`: then thresholds are divided by how much more often hit pixels have that level than
    others, see `crsteps.mm_cosmic.evidence.measure_log_odds`, which leaves the number of false
    pixels as it is.

    Parameters
    ----------
    candidates : Candidates
        Pixels to test.
    shape : tuple of int
        Shape ``(ny, nx)`` of the image.
    thresholds : Thresholds
        See `make_thresholds`.
    false_pixels : float
        False pixels asked for in each mask.
    relative_variance : float
        Extra variance in units of the signal squared.
    prior : crsteps.mm_cosmic.null_model.ScenePrior
        Distribution of the scene.
    detected : ndarray of bool, shape (n_pixels, n_exposures), optional
        Candidates that are flagged in any case.
    levels : ndarray of uint8, shape (n_pixels, n_exposures), optional
        What detectors of single images say about the candidates: any classes, from 0.
    compare : bool, optional
        False: pixels are not flagged for their values alone, flags only grow from `detected`.

    Returns
    -------
    hits : ndarray of bool, shape (n_exposures, ny, nx)
        True where the exposure was hit.
    suspects : ndarray of bool, shape (n_exposures, ny, nx)
        Pixels touching hits of the same exposure that pass the loosest threshold only.
    log_probability : ndarray of float32, shape (ny, nx)
        Smallest log probability of the pixel's exposures; 0 where none was tested.
    """
    tester = _Tester(candidates, shape, thresholds, relative_variance, prior)
    tester.detected, tester.compare = detected, compare
    tester.test_everywhere()
    hits = tester.masks()
    if levels is not None:
        tester.weigh(levels, measure_log_odds(levels, hits, candidates, tester.log_probability))
        hits = tester.masks()
    for _ in range(candidates.values.shape[1] - 2):
        if not tester.test_beside_hits(hits, false_pixels * _SHARE_ON_TRACKS):
            break
        grown = tester.masks()
        if np.array_equal(grown, hits):
            break
        hits = grown
    image = np.zeros(shape, dtype=np.float32)
    image.ravel()[candidates.index] = tester.log_probability.min(axis=1)
    return hits, tester.suspects(hits), image


class _Tester:
    """Evidence collected for the candidates: log probability and seeds of every exposure."""

    def __init__(self, candidates, shape, thresholds, relative_variance, prior):
        self.candidates = candidates
        self.shape = shape
        self.thresholds = thresholds
        self.relative_variance = relative_variance
        self.prior = prior
        self.detected, self.compare = None, True
        self.log_odds = None
        self.tested = []
        self._forget()

    def _forget(self):
        """Start without any evidence."""
        candidates = self.candidates
        self.log_probability = np.zeros(candidates.values.shape, dtype=np.float32)
        self.seeds = np.zeros(candidates.values.shape, dtype=bool)
        self.in_pairs = np.zeros(candidates.values.shape, dtype=bool)
        # Judged without the exposures that were hit: from fewer values, and with more to lose.
        self.second = np.zeros(candidates.values.shape, dtype=bool)

    def _gaps(self, rows, usable):
        """Sort the usable exposures of pixels that have equally many, and test their gaps."""
        values = np.where(usable, self.candidates.values[rows], np.inf)
        n = int(usable[0].sum())
        order = np.argsort(values, axis=1)[:, :n]
        noise = [
            part[rows] if part.shape[1] == 1 else np.take_along_axis(part[rows], order, axis=1)
            for part in (self.candidates.read_variance, self.candidates.poisson_factor)
        ]
        log_probability = log_gap_probabilities(
            np.take_along_axis(values, order, axis=1),
            read_variance=noise[0],
            poisson_factor=noise[1],
            extra_variance=self.candidates.extra_variance[rows],
            relative_variance=self.relative_variance,
            prior=self.prior,
        )
        return order, log_probability

    def _groups(self, usable, rows):
        """Split rows by their number of usable exposures, leaving out those with one or none."""
        count = usable.sum(axis=1)
        for n in range(2, usable.shape[1] + 1):
            members = count == n
            if members.any():
                yield n, rows[members], usable[members]

    def test_everywhere(self):
        """Judge all candidates with all their exposures."""
        usable = np.isfinite(self.candidates.values)
        for n, rows, group in self._groups(usable, np.arange(len(usable))):
            self.tested.append((n, rows, *self._gaps(rows, group)))
        self._judge()

    def _judge(self):
        for n, rows, order, gaps in self.tested:
            self._record(rows, order, gaps, self.thresholds.single[n], self.thresholds.pair[n])

    def weigh(self, levels, log_odds):
        """Judge all candidates again, with the evidence of detectors of single images."""
        self.log_odds = log_odds[:, levels]
        self._forget()
        self._judge()

    def test_beside_hits(self, masks, false_pixels):
        """Judge the other exposures of pixels with hits; say whether there were any to judge."""
        flagged = masks.reshape(masks.shape[0], -1)[:, self.candidates.index].T
        usable = np.isfinite(self.candidates.values) & ~flagged
        rows = np.flatnonzero(flagged.any(axis=1) & (usable.sum(axis=1) >= 2))
        if rows.size == 0:
            return False
        self.tested = []  # not needed any more
        for n, members, group in self._groups(usable[rows], rows):
            order, gaps = self._gaps(members, group)
            single = np.full(n - 1, np.log(false_pixels / rows.size))
            pair = np.full(n - 1, np.log(np.sqrt(false_pixels / (8 * rows.size))))
            self._record(
                members,
                order,
                gaps,
                np.minimum(single, self.thresholds.grow),
                np.minimum(pair, self.thresholds.grow),
                second=True,
            )
        return True

    def _record(self, rows, order, gaps, single, pair, *, second=False):
        """
        Assign the evidence of gaps to exposures.

        A significant upper gap condemns the highest exposure alone; the others are judged
        without it later. Otherwise the most significant lower gap condemns all above it. An upper
        gap that is not sure must not hide a lower one that is: alone it flags nothing, and then
        the others would never be judged.
        """
        n = gaps.shape[1] + 1
        alone, gaps = self._weighted(rows, order, gaps)
        if second:  # on a track the evidence is that of a pixel on a track
            alone = gaps
        sure = alone < single
        upper = gaps[:, -1] < self.thresholds.grow
        upper &= sure[:, -1] | ~sure[:, :-1].any(axis=1)
        handicapped = gaps + self.thresholds.handicap[n]
        best = np.where(upper, n - 2, np.argmin(handicapped, axis=1))
        evidence = alone[np.arange(len(gaps)), best]
        # The best of several lower gaps is small by chance more often than one alone.
        tried = np.where(best < n - 2, np.log(max(n - 2, 1)), 0).astype(np.float32)
        growth = handicapped[np.arange(len(gaps)), best] + tried
        for rank in range(1, n):
            above = (rank > best) & (growth < max(LOOSEST, self.thresholds.grow))
            above[above] = growth[above] < self.log_probability[rows[above], order[above, rank]]
            members, exposures = rows[above], order[above, rank]
            self.log_probability[members, exposures] = growth[above]
            self.second[members, exposures] = second
            # The thresholds of single pixels and pairs are made for each gap.
            self.seeds[members, exposures] |= evidence[above] < single[best[above]]
            self.in_pairs[members, exposures] |= evidence[above] < pair[best[above]]

    def _weighted(self, rows, order, gaps):
        """
        Subtract the evidence of detectors: for pixels on their own, and beside hits.

        It is the mean over the exposures above the gap. Whatever a detector takes for a cosmic ray
        in one exposure, it may take in all of them: the sum would count that several times.
        """
        if self.log_odds is None:
            return gaps, gaps
        n_above = np.arange(gaps.shape[1], 0, -1, dtype=np.float32)
        weighted = []
        for log_odds in self.log_odds:
            sorted_odds = np.take_along_axis(log_odds[rows], order, axis=1)
            total = np.cumsum(sorted_odds[:, :0:-1], axis=1)[:, ::-1]
            weighted.append(gaps - total / n_above)
        return weighted

    def masks(self):
        """Hysteresis in every exposure, looser where more neighbours are flagged."""
        n_exposures = self.candidates.values.shape[1]
        result = np.zeros((n_exposures, *self.shape), dtype=bool)
        for i in range(n_exposures):
            seeds = np.zeros(self.shape, dtype=bool)
            if self.compare:
                seeds |= large_components(self._plane(self.in_pairs[:, i]), minimum_size=2)
                seeds |= self._plane(self.seeds[:, i])
            if self.detected is not None:
                seeds |= self._plane(self.detected[:, i])
            growable = self._plane(self.log_probability[:, i] < self.thresholds.grow)
            result[i] = grow_seeds(seeds, growable)
            self._fill_beside_tracks(result[i], self.log_probability[:, i], self.second[:, i])
        return result

    def _fill_beside_tracks(self, mask, log_probability, second):
        """Flag pixels with several flagged neighbours at a looser threshold, in place."""
        open_ = log_probability < LOOSEST
        index, evidence = self.candidates.index[open_], log_probability[open_]
        gain = np.where(second[open_], SECOND_GAIN, NEIGHBOUR_GAIN)
        y, x = np.unravel_index(index, self.shape)
        for _ in range(_FILLING_PASSES):
            padded = np.pad(mask, 1)
            neighbours = np.zeros(index.size, dtype=np.uint8)
            for dy, dx in _NEIGHBOURS:
                neighbours += padded[y + 1 + dy, x + 1 + dx]
            limit = np.minimum(self.thresholds.grow + gain * (neighbours - 1.0), LOOSEST)
            new = (evidence < limit) & (neighbours > 0) & ~mask[y, x]
            if not new.any():
                break
            mask[y[new], x[new]] = True

    def suspects(self, hits):
        """Pixels touching hits that pass the loosest threshold but were not flagged."""
        result = np.zeros_like(hits)
        for i, hit in enumerate(hits):
            result[i] = self._plane(self.log_probability[:, i] < LOOSEST) & dilate(hit, 1) & ~hit
        return result

    def _plane(self, selected):
        plane = np.zeros(self.shape, dtype=bool)
        plane.ravel()[self.candidates.index[selected]] = True
        return plane
