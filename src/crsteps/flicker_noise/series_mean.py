"""
Noise of the mean of the integrations of a time series, which takes no light.

What the differences of groups depart from their mean over the groups is noise, for light is the
same in all of them but for its strength: it is estimated like that of an integration. The mean over
the groups has little noise left, since that of reads in the middle of the ramp cancels; it is
estimated from pixels well away from the light only, together with the smooth sky. Wings that are
too faint to be masked for an integration would count here: the noise of the mean of all
integrations is as faint as they are.
"""

import numpy as np
from scipy import ndimage

from crsteps.flicker_noise.sky_fit import SkyFit
from crsteps.flicker_noise.slope import line_weights

# Pixels around light that may hold wings of it, and steps of the fit of the sky.
_MARGIN, _SKY_STEPS = 8, 8


def noise_of_mean(fit, template, usable, background_mask, *, spectrum, white, sky_box):
    """
    Estimate the noise of the mean of the integrations.

    Parameters
    ----------
    fit : crsteps.flicker_noise.joint_fit.JointFit
        Estimator of an integration; all estimates are as strong as its.
    template : ndarray of float32, shape (n_differences, ny, nx)
        Mean of the integrations; finite.
    usable : ndarray of bool, shape of `template`
        Where it is known.
    background_mask : ndarray of bool, shape (ny, nx)
        True where a pixel shows background only.
    spectrum : crsteps.flicker_noise.spectrum.FlickerSpectrum
        Spectrum of the noise of a difference, in ticks.
    white : float
        Variance of the white noise of a background pixel of a difference.
    sky_box : int
        Scale in pixels below which the sky is taken to be smooth.

    Returns
    -------
    noise : ndarray of float32, shape of `template`
        Noise.
    away : ndarray of bool, shape (ny, nx)
        Pixels from which that of the mean over the groups was estimated.
    share : float
        Variance of the noise of the mean over the groups, relative to that of a difference.
    """
    weights, share = line_weights(len(template))
    weights = np.where(usable, weights.astype(np.float32)[:, None, None], 0)
    total = weights.sum(axis=0)
    known = total > 0
    mean = np.sum(weights * template, axis=0) / np.where(known, total, 1)
    noise = np.zeros_like(template)
    if len(template) > 1:
        for own, departure, used in zip(noise, template - mean, usable, strict=True):
            own[...] = fit.fit(departure[None], used[None])[0][0]
    square = np.ones((2 * _MARGIN + 1,) * 2, bool)
    away = known & ~ndimage.binary_dilation(known & ~background_mask, square)
    if away.any():
        sky = SkyFit(mean, away, fit.readout, box=sky_box).behind(spectrum, white, steps=_SKY_STEPS)
        rest, pixel_weights = np.where(away, mean - sky, 0), np.where(away, fit.weight, 0)
        noise += fit.estimate(rest[None], pixel_weights[None])
    return noise, away, share
