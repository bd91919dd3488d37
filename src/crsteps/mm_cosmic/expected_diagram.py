"""The diagram that the null model expects, to be seen beside that of the pixels."""

import numpy as np

from crsteps.mm_cosmic.scene import sort_exposures

# So many pixels at most are drawn: a figure shows no more.
_MOST_DRAWN = 1_000_000
_SEED = 1


def expected_counts(
    prior, *, n_exposures, cr_coincidences, n_pixels, relative_variance, x_edges, y_edges
):
    """
    Expect numbers of pixels in bins of the diagram, if no cosmic ray hit any.

    Signals are drawn from the distribution of the scene, exposures from each signal. The draw is
    for a figure alone; detection uses the probabilities in closed form.

    Parameters
    ----------
    prior : crsteps.mm_cosmic.null_model.ScenePrior
        Distribution of the scene, with the typical noise.
    n_exposures, cr_coincidences : int
        Number of exposures, and of the highest ones that the minimum signal leaves out.
    n_pixels : int
        Number of pixels to expect.
    relative_variance : float
        Extra variance in units of the signal squared.
    x_edges, y_edges : ndarray
        Edges of the bins of minimum signal and of median minus minimum signal, data units.

    Returns
    -------
    ndarray of float, shape (n_y, n_x)
        Expected number of pixels per bin.
    """
    generator = np.random.default_rng(_SEED)
    n_drawn = min(n_pixels, _MOST_DRAWN)
    scene = _draw_scene(prior, n_drawn)
    read_noise, factor = np.sqrt(prior.read_variance), prior.poisson_factor
    planes = np.empty((n_exposures, n_drawn), dtype=np.float32)
    for plane in planes:
        light = scene * (1 + np.sqrt(relative_variance) * generator.standard_normal(n_drawn))
        noise = read_noise**2 + factor * np.maximum(scene, 0)
        plane[:] = light + np.sqrt(noise) * generator.standard_normal(n_drawn)
    planes = sort_exposures(planes)
    lowest = np.mean(planes[: n_exposures - cr_coincidences], axis=0)
    median = (planes[(n_exposures - 1) // 2] + planes[n_exposures // 2]) / 2
    counts, _, _ = np.histogram2d(median - lowest, lowest, bins=(y_edges, x_edges))
    return counts * (n_pixels / max(n_drawn, 1))


def _draw_scene(prior, n):
    """Signals at even steps of their cumulative distribution."""
    density = np.exp(prior.log_density - prior.log_density.max())
    steps = np.diff(prior.signal) * (density[1:] + density[:-1]) / 2
    cumulative = np.concatenate([[0], np.cumsum(steps)])
    return np.interp((np.arange(n) + 0.5) / n * cumulative[-1], cumulative, prior.signal)
