"""Background mask of a slope image by sigma clipping, as the jwst step makes it."""

import numpy as np
from scipy.optimize import curve_fit

from crsteps.flicker_noise.background import clip_to_background, clipped_statistics

# Values further below the centre than this many sigmas are bad.
_SIGMA_LOWER = 3.0
_HISTOGRAM_BINS, _HISTOGRAM_REACH = 2000, 4.0


def clip_mask(image, *, candidate_mask=None, n_sigma=2.0, fit_histogram=False):
    """
    Background pixels of a slope image.

    Parameters
    ----------
    image : ndarray of float, shape (ny, nx)
        Slope image, divided by the flat field where the noise will be fitted so; any unit.
        Pixels that are NaN or 0 have no data.
    candidate_mask : ndarray of bool, shape (ny, nx), optional
        False at pixels known to show no background, as science regions; all True if None.
    n_sigma : float
        Pixels more than so many sigmas above the centre show a source, those more than 3 below are
        bad. 0 for no clipping.
    fit_histogram : bool
        Take centre and sigma from a Gaussian fitted to the histogram of the values within four
        sigmas of the clipped mean, instead of clipped median and standard deviation.

    Returns
    -------
    ndarray of bool, shape (ny, nx)
        True at background pixels.

    Raises
    ------
    ValueError
        If the candidate mask does not have the shape of the image.

    Notes
    -----
    The missing data and outliers of ``create_mask`` of the jwst step. That step takes the slope of
    its own ramp fit: the numbers agree if this is given the same image. With ``single_mask`` and
    several integrations it clips the one image of the exposure; without, one image an integration.
    """
    if candidate_mask is None:
        candidate_mask = np.ones(image.shape, dtype=bool)
    if candidate_mask.shape != image.shape:
        raise ValueError(
            f"the candidate mask of shape {candidate_mask.shape} does not fit the image of shape "
            f"{image.shape}"
        )
    candidates = candidate_mask & np.isfinite(image) & (image != 0)
    if n_sigma <= 0 or not candidates.any():
        return candidates
    if not fit_histogram:
        return clip_to_background(image, candidates, sigma_lower=_SIGMA_LOWER, sigma_upper=n_sigma)
    centre, sigma = _histogram_centre_and_sigma(image[candidates].astype(np.float64))
    return (
        candidates & (image >= centre - _SIGMA_LOWER * sigma) & (image <= centre + n_sigma * sigma)
    )


def _histogram_centre_and_sigma(values):
    """Centre and sigma of a Gaussian in a histogram; of the clipped values if there is no fit."""
    values = np.sort(values)
    _, sigma, kept = clipped_statistics(values)
    centre = float(values[kept].mean())
    if sigma == 0:
        return centre, sigma
    reach = _HISTOGRAM_REACH * sigma
    counts, edges = np.histogram(values, _HISTOGRAM_BINS, range=(centre - reach, centre + reach))
    middles = (edges[1:] + edges[:-1]) / 2
    highest = np.argmax(counts)
    try:
        (_, fitted_centre, fitted_sigma), _ = curve_fit(
            lambda x, height, mean, width: height * np.exp(-0.5 * ((x - mean) / width) ** 2),
            middles,
            counts,
            p0=(counts[highest], middles[highest], sigma),
            bounds=([0, middles[0], 0], [np.inf, middles[-1], middles[-1] - middles[0]]),
        )
    except RuntimeError:  # no convergence
        return centre, sigma
    return float(fitted_centre), float(fitted_sigma)
