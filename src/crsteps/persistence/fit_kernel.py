"""Fit of a power law and a dark level to the same series of darks in many pixels at once.

The signal of dark i is ``y_i = a g_i(gamma) + d T_i``: linear in amplitude and dark level once the
slope is fixed. A grid of slopes therefore needs weighted sums only, which are products of matrices
(variable projection), and Gauss-Newton steps refine the best of them. All sums run over the darks,
(n_darks, n_pixels), and like the equations of a pixel they are in float32.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np

from crsteps.persistence.fit_series import Estimate
from crsteps.persistence.slope_expansion import product_in_pieces

__all__ = ["CONVERGED", "refine", "search", "worst_dark"]

# The slope of a pixel without persistence is unknown; a step must still be finite. This is the
# weight of "as it was", for a standard deviation of 10.
_RIDGE = 0.01
_LONGEST_STEP = 0.5
# A dark level that is given exactly is held by this many times what the series knows of it.
_EXACT = 1e7
_TINY = np.float32(1e-30)

# Pixels whose sums are worked out at once.
_IN_CACHE = 4096

CONVERGED = 0.1
"""Decrement below which the fit of a pixel has converged."""


def search(series, signals):
    """
    Find amplitude, dark level and slope on a grid of slopes, and take two Gauss-Newton steps.

    Parameters
    ----------
    series : Series
        The series.
    signals : Signals
        The signals.

    Returns
    -------
    estimate : Estimate
        The parameters and chi2 after the last step, and the covariance before it; most pixels have
        converged.
    """
    if series.compiled is not None:
        return series.compiled.search(signals)
    coarse, added = series, signals
    if signals.usable is None:
        # the second step takes the darks one by one
        coarse, variance = series.coarse, series.sums(signals.variance)
        added = replace(signals, y=series.sums(signals.y), variance=variance)
    first = _step(coarse, added, *_search(coarse, added), with_covariance=False)
    return _step(series, signals, first.amplitude, first.dark, first.gamma)


def refine(series, signals, estimate, *, max_steps):
    """
    Take further Gauss-Newton steps in the pixels that have not converged.

    Parameters
    ----------
    series, signals : Series, Signals
        As for `search`.
    estimate : Estimate
        Where to start; changed in place.
    max_steps : int
        Most steps of a pixel.

    Returns
    -------
    estimate : Estimate
        The same object.
    """
    for _ in range(max_steps):
        left = np.flatnonzero(estimate.decrement > CONVERGED)
        if not left.size:
            break
        for todo in in_cache(left):
            theta = (estimate.amplitude[todo], estimate.dark[todo], estimate.gamma[todo])
            step = partial(_step, series) if series.compiled is None else series.compiled.step
            estimate.update(todo, step(signals.at(todo), *theta))
    return estimate


def in_cache(pixels):
    """
    Divide pixels into lists whose signals stay in the cache of the processor.

    Parameters
    ----------
    pixels : ndarray of int
        The pixels.

    Returns
    -------
    lists : list of ndarray
        The same in their order, a few thousand in each.
    """
    if not pixels.size:
        return []
    return np.array_split(pixels, max(round(pixels.size / _IN_CACHE), 1))


def worst_dark(series, signals, estimate):
    """
    Find the dark of each pixel that is brightest against the fit to the others.

    Parameters
    ----------
    series, signals : Series, Signals
        As for `search`.
    estimate : Estimate
        The fit to all usable darks.

    Returns
    -------
    dark : ndarray of int
        The dark, (n,).
    residual : ndarray of float32
        Its residual in units of its standard deviation, to first order in the parameters, (n,).
    """
    if series.compiled is not None:
        return series.compiled.worst_dark(signals, estimate)
    parts = in_cache(np.arange(signals.y.shape[1]))
    if len(parts) > 1:
        some = [worst_dark(series, signals.at(part), estimate.at(part)) for part in parts]
        return tuple(map(np.concatenate, zip(*some, strict=True)))
    residuals = _leave_one_out(series, signals, estimate)
    worst = residuals.argmax(axis=0)
    return worst, residuals[worst, np.arange(worst.size)]


def _leave_one_out(series, signals, estimate):
    """Residual of each dark from the fit to the others; 0 where unusable."""
    g, dg = _unit_signals(series, estimate.gamma)
    dg *= estimate.amplitude.astype(np.float32)
    t = series.exposure[:, np.newaxis]
    model = _model(series, g, estimate.amplitude, estimate.dark)
    residual = signals.y - model
    weights = _weights(series, signals, model)
    c_aa, c_dd, c_gg, c_ad, c_ag, c_dg = estimate.covariance.astype(np.float32)
    leverage = g * (c_aa * g + 2 * (c_ad * t + c_ag * dg)) + t * (c_dd * t + 2 * c_dg * dg)
    leverage += c_gg * dg**2
    free = np.maximum(1.0 - weights * leverage, np.float32(1e-3))
    return np.sqrt(weights / free) * residual


def _search(series, signals):
    """Best amplitude, dark level and slope on a grid of slopes, refined by parabolas."""
    weights = 1.0 / signals.variance
    if signals.usable is not None:
        weights = weights * signals.usable
    g, t = series.signals, series.exposure[np.newaxis]
    s_gt = (g * t) @ weights
    s_tt = ((t * t) @ weights)[0]
    s_tt = s_tt + _finite_precision(signals.dark_precision, s_tt)
    s_tt = np.maximum(s_tt, 1e-30).astype(np.float32)
    ratio = s_gt / s_tt
    norm = np.sqrt(np.maximum((g * g) @ weights - ratio * s_gt, np.float32(1e-30)))
    weighted = weights * signals.y
    s_ty = (t @ weighted)[0]
    if ratio.shape[1] == 1:  # the same for all pixels, so it is done before the sums
        score = (g - ratio * t) / norm @ weighted
    else:
        score = (g @ weighted - ratio * s_ty) / norm
    gain = score * score
    if signals.expected_gamma is not None:
        # less the squared distance from the expected slope; positive everywhere, for `_largest`
        expected, precision = signals.expected_gamma, signals.gamma_precision
        positive = (series.high - series.low) ** 2 - expected**2
        square = np.array([-precision, 2 * precision * expected, precision * positive], np.float32)
        gain += np.vander(series.nodes, 3).astype(np.float32) @ square
    best, shift = _peak(gain)
    nodes = len(series.nodes)
    # the nodes are evenly spaced in the angle whose cosine is the scaled slope
    angle = np.float32(np.pi / nodes) * (best.astype(np.float32) + np.float32(0.5) + shift)
    gamma = (series.high + series.low) / 2 + (series.high - series.low) / 2 * np.cos(angle)
    scores, norms = _around(score, best), _around(norm, best)
    below, here, above = (value / size for value, size in zip(scores, norms, strict=True))
    a = here + shift * (0.5 * (above - below) + shift * (0.5 * (above + below) - here))
    d = (s_ty - a * _around(s_gt, best)[1]) / s_tt
    return a, d, gamma


def _peak(values):
    """Row of the largest value in each column, not the first or last, and how far off the peak."""
    best = np.clip(_largest(values), 1, len(values) - 2)
    below, here, above = _around(values, best)
    curvature = np.minimum(below + above - 2 * here, np.float32(-1e-30))
    return best, np.clip(np.float32(0.5) * (below - above) / curvature, -1.5, 1.5)


def _around(values, row):
    """Values of each column, or of the only one, in the row before, in the row and after it."""
    if values.shape[1] == 1:
        return [values[row + i, 0] for i in (-1, 0, 1)]
    flat = row * row.size + np.arange(row.size)
    return [values.ravel().take(flat + i * row.size) for i in (-1, 0, 1)]


def _step(series, signals, amplitude, dark, gamma, *, with_covariance=True):
    """One Gauss-Newton step, and the covariance where it starts if that is wanted."""
    g, dg = _unit_signals(series, gamma)
    model = _model(series, g, amplitude, dark)
    residual = signals.y - model
    weights = _weights(series, signals, model)
    exposure = series.exposure
    scratch = weights * g
    aa, ag, ad = _dot(scratch, g), _dot(scratch, dg), exposure @ scratch
    np.multiply(weights, dg, out=scratch)
    gg, gd = _dot(scratch, dg), exposure @ scratch
    dd = (exposure * exposure) @ weights
    np.multiply(weights, residual, out=scratch)
    gradient = [_dot(g, scratch), exposure @ scratch, _dot(dg, scratch)]
    chi2 = _dot(residual, scratch)

    # the derivatives with respect to the slope have been those for an amplitude of 1
    normal = [aa, dd, gg, ad, ag, gd]
    normal[2] *= amplitude**2
    for part in (normal[4], normal[5], gradient[2]):
        part *= amplitude
    if signals.expected_gamma is not None:
        normal[2] += signals.gamma_precision
        gradient[2] -= signals.gamma_precision * (gamma - signals.expected_gamma)
    if np.any(signals.dark_precision):
        precision = _finite_precision(signals.dark_precision, normal[1])
        normal[1] += precision
        gradient[1] -= precision * dark
    theta = (amplitude, dark, gamma)
    return _solve_normal(series, theta, normal, gradient, chi2, with_covariance)


def _model(series, g, amplitude, dark):
    """Signals of all darks, float32."""
    model = g * amplitude.astype(np.float32)
    model += series.exposure[:, np.newaxis] * dark.astype(np.float32)
    return model


def _weights(series, signals, model):
    """Inverse variance of every signal, for a model that is overwritten."""
    np.maximum(model, 0.0, out=model)
    if series.photon_noise != 1.0:
        model *= series.photon_noise
    model += signals.variance
    np.divide(1.0, model, out=model)
    if signals.usable is not None:
        model *= signals.usable
    return model


def _finite_precision(precision, from_darks):
    """Precision of the given dark level, that of an exact one high but finite."""
    return np.where(np.isinf(precision), _EXACT * from_darks, precision)


def _solve_normal(series, theta, normal, gradient, chi2, with_covariance):
    """
    Solve the normal equations of every pixel and go there, within the range of slopes.

    The dark level is eliminated first, which leaves two equations for amplitude and slope.
    """
    amplitude, dark, gamma = theta
    aa, dd, gg, ad, ag, dg = normal
    g_a, g_d, g_g = gradient
    by_dark = 1 / np.maximum(dd, _TINY)
    a_dark, g_dark = ad * by_dark, dg * by_dark
    aa, ag, gg = aa - ad * a_dark, ag - dg * a_dark, gg + np.float32(_RIDGE) - dg * g_dark
    r_a, r_g = g_a - g_d * a_dark, g_g - g_d * g_dark
    determinant = aa * gg - ag * ag
    scale = 1 / np.where(determinant > 0, determinant, np.float32(np.inf))
    c_aa, c_gg, c_ag = gg * scale, aa * scale, -ag * scale
    to_slope = c_ag * r_a + c_gg * r_g
    step_a = c_aa * r_a + c_ag * r_g
    free = gamma + to_slope
    step_g = np.clip(to_slope, -_LONGEST_STEP, _LONGEST_STEP)
    new = np.clip(gamma + step_g, series.low, series.high)
    # Where the slope cannot go all the way, amplitude and dark level are the best for its step.
    held = new != free
    step_g = np.where(held, new - gamma, step_g)
    if held.any():
        step_a = np.where(held, (r_a - ag * step_g) / np.maximum(aa, _TINY), step_a)
    step_d = g_d * by_dark - a_dark * step_a - g_dark * step_g
    decrement = step_a * g_a + step_d * g_d + step_g * g_g
    covariance = None
    if with_covariance:
        c_ad, c_dg = -a_dark * c_aa - g_dark * c_ag, -a_dark * c_ag - g_dark * c_gg
        c_dd = by_dark - a_dark * c_ad - g_dark * c_dg
        covariance = np.array([c_aa, c_dd, c_gg, c_ad, c_ag, c_dg])
    return Estimate(
        amplitude + step_a,
        dark + step_d,
        new,
        covariance,
        chi2 - decrement,
        np.abs(decrement),
    )


def _unit_signals(series, gamma):
    """Signals of all darks for an amplitude of 1, and derivatives, at the slope of each pixel."""
    scale = 2.0 / (series.high - series.low)
    x = ((gamma - (series.high + series.low) / 2) * scale).astype(np.float32)
    basis = np.empty((series.shape.shape[1], x.size), np.float32)
    basis[0] = 1
    basis[1] = x
    twice = 2 * x
    for term in range(2, len(basis)):
        np.multiply(twice, basis[term - 1], out=basis[term])
        basis[term] -= basis[term - 2]
    both = product_in_pieces(series.shape, basis)
    return both[: len(series.exposure)], both[len(series.exposure) :]


def _largest(values):
    """Row of the largest value in each column; all positive, float32."""
    # The bits of positive floats are ordered like integers; the last ones make room for the row.
    bits = values.view(np.int32)
    rows = np.int32(len(values).bit_length())
    mask = np.int32((1 << rows) - 1)
    packed = bits & ~mask
    packed |= np.arange(len(values), dtype=np.int32)[:, np.newaxis]
    return packed.max(axis=0) & mask


def _dot(first, second):
    """Sum over the darks of the product."""
    return np.einsum("ij,ij->j", first, second)
