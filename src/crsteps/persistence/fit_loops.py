"""The sums of `fit_kernel` in loops that numba compiles, where it is installed.

The same steps are taken, in the same precision. Pixels go through in groups of a few, whose numbers
lie side by side in one workspace that stays in the processor's cache. All inner loops run over the
pixels of a group, with fixed length and distances, which is what becomes vector instructions. A
group is always full: what comes out for a pixel does not depend on its neighbours.

Import this module only where it is used: numba takes a tenth of a second.
"""

from __future__ import annotations

from functools import partial

import numpy as np

try:
    import numba
except ImportError:
    numba = None

__all__ = ["COMPILED", "LANES", "NODES", "SEARCH", "STEP", "TERMS", "WORST", "fit_loop"]

COMPILED = numba is not None
"""Whether the loops are compiled; as Python they would take forever."""
LANES = 32
"""Pixels of a group."""
TERMS = 14
"""Most terms of the polynomials of the slope."""
NODES = 12
"""Slopes of the grid."""

SEARCH, STEP, WORST = range(3)
"""What `fit_loop` can do."""

# Rows of the workspace.
_A, _D, _G, _CHI2, _DECREMENT = range(5)
_CAA, _CDD, _CGG, _CAD, _CAG, _CDG = range(5, 11)
_EXPECTED, _PRECISION, _DARK_PRECISION, _X, _BEST = range(11, 16)
_AA, _DD, _GG, _AD, _AG, _DG, _RA, _RD, _RG, _RR = range(16, 26)
_BEST_GT, _A0, _A1, _A2, _GAIN0, _GAIN1, _GAIN2, _TT, _TY = range(26, 35)
_GT, _GG0, _GY = (35 + NODES * i for i in range(3))
_ROWS = 35 + 3 * NODES

_F = np.float32
_ZERO, _ONE, _TWO, _HALF = _F(0), _F(1), _F(2), _F(0.5)
_TINY, _EXACT, _HUGE = _F(1e-30), _F(1e7), _F(1e30)
_RIDGE, _LONGEST, _LEAST_FREE = _F(0.01), _F(0.5), _F(1e-3)


def _compiled(function=None, *, cache=False):
    """Compile a function, without options that take infinite numbers or NaN for impossible."""
    if function is None:
        return partial(_compiled, cache=cache)
    if numba is None:
        return function
    options = {"error_model": "numpy", "fastmath": {"contract", "nsz"}}
    return numba.njit(cache=cache, nogil=True, **options)(function)


@_compiled
def _clip(value, low, high):
    value = value if value > low else low
    return value if value < high else high


@_compiled
def _cosine(angle):
    """Cosine of an angle from 0 to pi, to 1e-7, without a call that would have to be made alone."""
    x = _F(np.pi / 2) - angle
    square = x * x
    series = _ONE - square * _F(1 / 110)
    series = _ONE - square * _F(1 / 72) * series
    series = _ONE - square * _F(1 / 42) * series
    series = _ONE - square * _F(1 / 20) * series
    series = _ONE - square * _F(1 / 6) * series
    return x * series


@_compiled
def _sums(w, z, y0, v0, n, shape, exposure, photon, scale, middle):
    """Normal equations of a Gauss-Newton step; see `fit_kernel._step`."""
    for j in range(LANES):
        w[_X * LANES + j] = (w[_G * LANES + j] - middle) * scale
    for row in range(_AA, _RR + 1):
        for j in range(LANES):
            w[row * LANES + j] = _ZERO
    for i in range(n):
        t, c, signal, variance = exposure[i], shape[i], z[y0 + i], z[v0 + i]
        for j in range(LANES):
            x = w[_X * LANES + j]
            g = c[TERMS - 1]
            dg = _ZERO
            for k in range(TERMS - 1):
                dg = dg * x + g
                g = g * x + c[TERMS - 2 - k]
            dg *= scale
            model = w[_A * LANES + j] * g + t * w[_D * LANES + j]
            light = model if model > _ZERO else _ZERO
            weight = _ONE / (photon * light + variance[j])
            residual = signal[j] - model
            w[_AA * LANES + j] += weight * g * g
            w[_AG * LANES + j] += weight * g * dg
            w[_AD * LANES + j] += weight * g * t
            w[_GG * LANES + j] += weight * dg * dg
            w[_DG * LANES + j] += weight * dg * t
            w[_DD * LANES + j] += weight * t * t
            w[_RA * LANES + j] += weight * residual * g
            w[_RD * LANES + j] += weight * residual * t
            w[_RG * LANES + j] += weight * residual * dg
            w[_RR * LANES + j] += weight * residual * residual


@_compiled
def _worst(w, z, y0, v0, n, shape, exposure, photon, scale, middle):
    """Brightest dark against the fit to the others; see `fit_kernel.worst_dark`."""
    for j in range(LANES):
        w[_X * LANES + j] = (w[_G * LANES + j] - middle) * scale
        w[_BEST * LANES + j] = _ZERO
        w[_TT * LANES + j] = -_HUGE
    for i in range(n):
        t, c, signal, variance = exposure[i], shape[i], z[y0 + i], z[v0 + i]
        for j in range(LANES):
            x, a = w[_X * LANES + j], w[_A * LANES + j]
            g = c[TERMS - 1]
            dg = _ZERO
            for k in range(TERMS - 1):
                dg = dg * x + g
                g = g * x + c[TERMS - 2 - k]
            dg *= scale * a
            model = a * g + t * w[_D * LANES + j]
            light = model if model > _ZERO else _ZERO
            weight = _ONE / (photon * light + variance[j])
            with_a = w[_CAD * LANES + j] * t + w[_CAG * LANES + j] * dg
            with_d = w[_CDD * LANES + j] * t + _TWO * w[_CDG * LANES + j] * dg
            leverage = g * (w[_CAA * LANES + j] * g + _TWO * with_a) + t * with_d
            leverage += w[_CGG * LANES + j] * dg * dg
            free = _ONE - weight * leverage
            free = free if free > _LEAST_FREE else _LEAST_FREE
            residual = np.sqrt(weight / free) * (signal[j] - model)
            worst = residual > w[_TT * LANES + j]
            w[_BEST * LANES + j] = _F(i) if worst else w[_BEST * LANES + j]
            w[_TT * LANES + j] = residual if worst else w[_TT * LANES + j]
    for j in range(LANES):
        w[_A * LANES + j] = w[_BEST * LANES + j]
        w[_D * LANES + j] = w[_TT * LANES + j]


@_compiled
def _solve(w, low, high):
    """Solve the normal equations and go there; see `fit_kernel._solve_normal`."""
    for j in range(LANES):
        a, d, gamma = w[_A * LANES + j], w[_D * LANES + j], w[_G * LANES + j]
        aa, dd, ad = w[_AA * LANES + j], w[_DD * LANES + j], w[_AD * LANES + j]
        gg, ag, dg = (
            w[_GG * LANES + j] * a * a,
            w[_AG * LANES + j] * a,
            w[_DG * LANES + j] * a,
        )
        g_a, g_d, g_g = w[_RA * LANES + j], w[_RD * LANES + j], w[_RG * LANES + j] * a
        precision = w[_PRECISION * LANES + j]
        gg += precision
        g_g -= precision * (gamma - w[_EXPECTED * LANES + j])
        precision = w[_DARK_PRECISION * LANES + j]
        precision = precision if precision < _HUGE else _EXACT * dd
        dd += precision
        g_d -= precision * d
        by_dark = _ONE / (dd if dd > _TINY else _TINY)
        a_dark, g_dark = ad * by_dark, dg * by_dark
        aa, ag, gg = aa - ad * a_dark, ag - dg * a_dark, gg + _RIDGE - dg * g_dark
        r_a, r_g = g_a - g_d * a_dark, g_g - g_d * g_dark
        determinant = aa * gg - ag * ag
        scale = _ONE / determinant if determinant > _ZERO else _ZERO
        c_aa, c_gg, c_ag = gg * scale, aa * scale, -ag * scale
        free = c_ag * r_a + c_gg * r_g
        target = gamma + free
        new = _clip(gamma + _clip(free, -_LONGEST, _LONGEST), low, high)
        held = new != target
        step_g = new - gamma if held else free
        # where the slope is held, amplitude and dark level are the best for its step
        bound = (r_a - ag * step_g) / (aa if aa > _TINY else _TINY)
        step_a = bound if held else c_aa * r_a + c_ag * r_g
        step_d = g_d * by_dark - a_dark * step_a - g_dark * step_g
        decrement = step_a * g_a + step_d * g_d + step_g * g_g
        c_ad, c_dg = -a_dark * c_aa - g_dark * c_ag, -a_dark * c_ag - g_dark * c_gg
        w[_CAA * LANES + j], w[_CGG * LANES + j], w[_CAG * LANES + j] = c_aa, c_gg, c_ag
        w[_CAD * LANES + j], w[_CDG * LANES + j] = c_ad, c_dg
        w[_CDD * LANES + j] = by_dark - a_dark * c_ad - g_dark * c_dg
        w[_A * LANES + j] = a + step_a
        w[_D * LANES + j] = d + step_d
        w[_G * LANES + j] = new
        w[_CHI2 * LANES + j] = w[_RR * LANES + j] - decrement
        w[_DECREMENT * LANES + j] = abs(decrement)


@_compiled
def _grid_sums(w, z, y0, v0, n, signals, exposure):
    """Weighted sums over the darks for all slopes of the grid; see `fit_kernel._search`."""
    for row in range(_TT, _GY + NODES):
        for j in range(LANES):
            w[row * LANES + j] = _ZERO
    for i in range(n):
        t, signal, variance, g = exposure[i], z[y0 + i], z[v0 + i], signals[i]
        for j in range(LANES):
            weight = _ONE / variance[j]
            weighted = weight * signal[j]
            w[_TT * LANES + j] += t * t * weight
            w[_TY * LANES + j] += t * weighted
            for node in range(NODES):
                w[(_GT + node) * LANES + j] += g[node] * t * weight
                w[(_GG0 + node) * LANES + j] += g[node] * g[node] * weight
                w[(_GY + node) * LANES + j] += g[node] * weighted


@_compiled
def _grid_best(w, nodes):
    """Amplitude, score and gain at every slope of the grid, and those around the best of them."""
    for j in range(LANES):
        tt, precision = w[_TT * LANES + j], w[_DARK_PRECISION * LANES + j]
        tt += precision if precision < _HUGE else _EXACT * tt
        tt = tt if tt > _TINY else _TINY
        w[_TT * LANES + j] = tt
        by_tt = _ONE / tt
        for node in range(NODES):
            gt = w[(_GT + node) * LANES + j]
            ratio = gt * by_tt
            square = w[(_GG0 + node) * LANES + j] - ratio * gt
            product = w[(_GY + node) * LANES + j] - ratio * w[_TY * LANES + j]
            a = product / (square if square > _TINY else _TINY)
            w[(_GG0 + node) * LANES + j] = a
            w[(_GY + node) * LANES + j] = product * a
    for node in range(NODES):
        for j in range(LANES):
            away = nodes[node] - w[_EXPECTED * LANES + j]
            w[(_GY + node) * LANES + j] -= w[_PRECISION * LANES + j] * away * away
    for j in range(LANES):
        best, largest = _ZERO, w[_GY * LANES + j]
        for node in range(1, NODES):
            gain = w[(_GY + node) * LANES + j]
            best = _F(node) if gain > largest else best
            largest = gain if gain > largest else largest
        w[_BEST * LANES + j] = _clip(best, _ONE, _F(NODES - 2))
    for j in range(LANES):
        best = w[_BEST * LANES + j]
        gt = a0 = a1 = a2 = gain0 = gain1 = gain2 = _ZERO
        for node in range(1, NODES - 1):
            here = best == _F(node)
            gt = w[(_GT + node) * LANES + j] if here else gt
            a0 = w[(_GG0 + node - 1) * LANES + j] if here else a0
            a1 = w[(_GG0 + node) * LANES + j] if here else a1
            a2 = w[(_GG0 + node + 1) * LANES + j] if here else a2
            gain0 = w[(_GY + node - 1) * LANES + j] if here else gain0
            gain1 = w[(_GY + node) * LANES + j] if here else gain1
            gain2 = w[(_GY + node + 1) * LANES + j] if here else gain2
        w[_BEST_GT * LANES + j] = gt
        w[_A0 * LANES + j], w[_A1 * LANES + j], w[_A2 * LANES + j] = a0, a1, a2
        w[_GAIN0 * LANES + j], w[_GAIN1 * LANES + j], w[_GAIN2 * LANES + j] = gain0, gain1, gain2


@_compiled
def _grid_peak(w, half, middle):
    """Amplitude, dark level and slope at the peak of a parabola through the best scores."""
    for j in range(LANES):
        below, here, above = w[_GAIN0 * LANES + j], w[_GAIN1 * LANES + j], w[_GAIN2 * LANES + j]
        curvature = below + above - _TWO * here
        curvature = curvature if curvature < -_TINY else -_TINY
        shift = _clip(_HALF * (below - above) / curvature, _F(-1.5), _F(1.5))
        angle = _F(np.pi / NODES) * (w[_BEST * LANES + j] + _HALF + shift)
        below, here, above = w[_A0 * LANES + j], w[_A1 * LANES + j], w[_A2 * LANES + j]
        a = here + shift * (_HALF * (above - below) + shift * (_HALF * (below + above) - here))
        w[_A * LANES + j] = a
        w[_D * LANES + j] = (w[_TY * LANES + j] - a * w[_BEST_GT * LANES + j]) / w[_TT * LANES + j]
        w[_G * LANES + j] = middle + half * _cosine(angle)


@_compiled
def _run_sums(z, n, firsts):
    """Signals and variances of the runs of darks, after those of the darks."""
    start = 2 * n
    n_runs = len(firsts) - 1
    for run in range(n_runs):
        for j in range(LANES):
            z[start + run, j] = _ZERO
            z[start + n_runs + run, j] = _ZERO
        for i in range(firsts[run], firsts[run + 1]):
            for j in range(LANES):
                z[start + run, j] += z[i, j]
                z[start + n_runs + run, j] += z[n + i, j]


@_compiled
def _load(w, z, first, y, variance, usable, given, out):
    """Signals and what is given about a group of pixels; the last pixel fills it up."""
    n, last = len(y), y.shape[1] - 1
    full = first + LANES - 1 <= last
    for i in range(n):
        to, row, size = z[i], y[i, first:], z[n + i]
        for j in range(LANES):
            to[j] = row[j if full else min(j, last - first)]
        shared = variance.shape[1] == 1
        for j in range(LANES):
            size[j] = variance[i, 0 if shared else min(first + j, last)]
        if usable.shape[0]:
            for j in range(LANES):
                size[j] = size[j] if usable[i, min(first + j, last)] else _HUGE
    for j in range(LANES):
        pixel = min(first + j, last)
        for row in range(3):
            w[(_EXPECTED + row) * LANES + j] = given[row, pixel]
        for row in range(11):
            w[row * LANES + j] = out[row, pixel]


@_compiled
def _store(w, first, out):
    """Parameters, chi2, decrement and covariance of a group."""
    count = min(LANES, out.shape[1] - first)
    for row in range(11):
        part = out[row, first : first + count]
        for j in range(count):
            part[j] = w[row * LANES + j]


@_compiled(cache=True)
def fit_loop(y, variance, usable, given, fine, coarse, firsts, nodes, limits, task, out):
    """
    Search, take a step, or find the worst dark, of all pixels.

    See `fit_kernel.search`; `fit_kernel.refine` takes steps from the parameters in the first rows
    of ``out``; `fit_kernel.worst_dark`, of the fit in ``out``, goes into its first two rows.

    Parameters
    ----------
    y, variance, usable : ndarray
        As in `Signals`; no row of ``usable`` if all are.
    given : ndarray
        Expected slope, its precision and that of the dark level, (3, n).
    fine, coarse : tuple of ndarray
        Of the darks, and of runs of them: coefficients of the polynomials, (n_darks, TERMS),
        signals at the nodes, (n_darks, NODES), and exposures.
    firsts : ndarray of int
        First dark of each run, and the number of darks.
    nodes : ndarray
        Slopes of the grid.
    limits : tuple of float
        Smallest and largest slope, and variance per e-.
    task : int
        SEARCH, STEP or WORST.
    out : ndarray
        Amplitude, dark level, slope, chi2, decrement and six covariances, (11, n).
    """
    low, high, photon = limits
    scale, middle, half = _TWO / (high - low), (low + high) * _HALF, (high - low) * _HALF
    n, n_runs = len(y), len(firsts) - 1
    w, z = np.empty(_ROWS * LANES, np.float32), np.empty((2 * (n + n_runs), LANES), np.float32)
    whole = usable.shape[0] == 0
    for first in range(0, y.shape[1], LANES):
        _load(w, z, first, y, variance, usable, given, out)
        y0, v0, n_now = 0, n, n
        shape, signals, exposure = fine
        if task == WORST:
            _worst(w, z, 0, n, n, fine[0], fine[2], photon, scale, middle)
            _store(w, first, out)
            continue
        if task == SEARCH and whole:
            _run_sums(z, n, firsts)
            y0, v0, n_now = 2 * n, 2 * n + n_runs, n_runs
            shape, signals, exposure = coarse
        for turn in range(2 if task == SEARCH else 1):
            if task == SEARCH and turn == 0:
                _grid_sums(w, z, y0, v0, n_now, signals, exposure)
                _grid_best(w, nodes)
                _grid_peak(w, half, middle)
            else:
                y0, v0, n_now = 0, n, n
                shape, signals, exposure = fine
            _sums(w, z, y0, v0, n_now, shape, exposure, photon, scale, middle)
            _solve(w, low, high)
        _store(w, first, out)
