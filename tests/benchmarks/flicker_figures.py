"""Figures of the flicker benchmark: a cleaned ramp against the truth it was simulated from."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import maximum_filter, uniform_filter

APERTURE = 5
# Share of the light of a compact source in the aperture: stars, and galaxies hardly wider.
COMPACT = 0.3
# Side of the box in which the sky around a source is measured, and the least share of it that must
# be sky.
SKY_BOX, LEAST_SKY = 41, 0.1
# Wavelengths of the transit depths, and part of the brightest pixel that is extracted.
WAVELENGTHS, EXTRACTED = 16, 0.02


def judge(ramps, cleaned, hidden=None):
    """
    Compare a cleaned ramp with the truth.

    Parameters
    ----------
    ramps : FlickerRamps
        What was simulated.
    cleaned : ndarray, shape (n_integrations, n_groups, ny, nx)
        What a method made of it.
    hidden : ndarray of bool, shape (ny, nx), optional
        Background pixels that the method was not to use.

    Returns
    -------
    figures : dict
        In DN per group: ``bg``, ``src``, ``neb``, ``hidden``: rms of estimated minus true noise of
        a difference on background, source, nebula and hidden pixels, ``ac`` that on the background
        about the mean of each difference; ``total`` and ``floor``: sd on the background of a
        cleaned difference and of one without flicker noise, against the scene; ``rate`` and
        ``rate_floor``: the same of the slopes; ``sky_bias`` and ``nebula_bias``: error of the mean
        slope there. In per cent: ``compact``, ``faint`` and ``bright`` error of the light of
        sources, and ``*_error`` its standard error. In ppm: see `transit_figures`.
    """
    nebula, peak = ramps.scene.nebula, ramps.scene.nebula.max()
    hidden = np.zeros_like(ramps.scene_mask) if hidden is None else hidden
    visible = ~ramps.scene_mask & ~hidden
    in_nebula = visible & (nebula > 0.25 * peak)
    background = visible & (nebula <= 0.1 * peak)
    places = {"bg": background, "src": ramps.scene_mask, "neb": in_nebula, "hidden": hidden}
    figures = difference_figures(ramps, cleaned, places)
    good = ~(ramps.groupdq != 0).any(axis=(0, 1))
    slope = mean_slope(cleaned.mean(axis=0))
    error = slope - mean_slope((ramps.data - ramps.flicker).mean(axis=0))
    # The mean of the integrations dims by the transit, in and out of the cleaned ramp alike.
    scene = np.mean([ramps.scene.rate(i) for i in range(len(cleaned))], axis=0)
    figures["rate"] = float(np.std((slope - scene)[good & background]))
    figures["rate_floor"] = float(np.std((slope - error - scene)[good & background]))
    figures["sky_bias"] = float(error[good & background].mean())
    if peak > 0:
        figures["nebula_bias"] = float(error[good & in_nebula].mean())
    if ramps.options.scene.transit_depth:
        figures |= transit_figures(ramps, cleaned)
    return figures | source_bias(ramps, error, good)


def difference_figures(ramps, cleaned, places):
    """Rms of what is left in the differences of groups, by place, and their sd."""
    flagged = ramps.groupdq != 0
    sums = {}
    for i in range(len(cleaned)):
        scene = ramps.scene.rate(i)
        for j in range(cleaned.shape[1] - 1):
            used = ~flagged[i, j] & ~flagged[i, j + 1]
            true = ramps.flicker[i, j + 1] - ramps.flicker[i, j]
            light = cleaned[i, j + 1] - cleaned[i, j] - scene
            free = ramps.data[i, j + 1] - ramps.data[i, j] - true - scene
            left = light - free
            for name, place in places.items():
                if place.any():
                    sums.setdefault(name, []).append(np.mean(np.square(left[used & place])))
            place = used & places["bg"]
            sums.setdefault("ac", []).append(np.var(left[place]))
            sums.setdefault("total", []).append(np.var(light[place]))
            sums.setdefault("floor", []).append(np.var(free[place]))
    return {name: float(np.sqrt(np.mean(values))) for name, values in sums.items()}


def mean_slope(ramp):
    """Slope of straight lines through the groups, the first axis, DN per group."""
    time = np.arange(len(ramp)) - (len(ramp) - 1) / 2
    return np.tensordot(time / (time**2).sum(), ramp, axes=1)


def source_bias(ramps, error, good):
    """
    Error of the light of sources in per cent: in apertures, or on the pixels of spectra.

    What photometry would take for the sky around is no error of the light: it is subtracted. Stars
    and galaxies of 200 to 2000 DN per group are faint, and compact those of them that are hardly
    wider than a star; the pixels of spectra are where there is less than three standard deviations
    of the white noise of a difference.
    """
    light = ramps.scene.sources
    around = (good & ~ramps.scene_mask).astype(np.float64)
    share = uniform_filter(around, SKY_BOX)
    sky = uniform_filter(error * around, SKY_BOX) / np.maximum(share, LEAST_SKY)
    error, good = error - sky, good & (share > LEAST_SKY)
    if len(ramps.scene.catalogue):
        return aperture_bias(ramps.scene.catalogue, light, error, good)
    figures = {}
    level = light / ramps.white_sigma
    for name, chosen in {"faint": (level > 0.1) & (level < 3), "bright": level >= 3}.items():
        chosen &= good
        if chosen.any():
            figures[name] = float(100 * error[chosen].sum() / light[chosen].sum())
    return figures


def aperture_bias(catalogue, light, error, good):
    """Error of the light in square apertures around stars and galaxies in per cent, and its s.e."""
    x, y, flux = catalogue.T
    edge, (ny, nx) = APERTURE // 2, light.shape
    inside = (x > edge) & (x < nx - 1 - edge) & (y > edge) & (y < ny - 1 - edge)
    at = np.rint(y[inside]).astype(int), np.rint(x[inside]).astype(int)
    flux, usable = flux[inside], ~maximum_filter(~good, APERTURE)[at]
    in_aperture = uniform_filter(light, APERTURE)[at]
    relative = 100 * uniform_filter(error, APERTURE)[at] / in_aperture
    faint = (flux >= 200) & (flux < 2000)
    kinds = {
        "faint": faint,
        "compact": faint & (in_aperture * APERTURE**2 > COMPACT * flux),
        "bright": flux >= 2000,
    }
    figures = {}
    for name, chosen in kinds.items():
        values = relative[chosen & usable]
        figures[name] = float(values.mean())
        figures[f"{name}_error"] = float(values.std() / np.sqrt(values.size))
    return figures


def transit_figures(ramps, cleaned):
    """
    Depths of the transit at several wavelengths, against the same ramp without flicker noise.

    Spectra are sums of the slopes across the trace. A depth is a least-squares fit of the known
    light curve, its standard error from what the fit leaves.

    Returns
    -------
    figures : dict
        In ppm: ``depth``: rms over the wavelengths of the error of the depth, ``depth_floor``: that
        without flicker noise, ``depth_sigma``: rms of its standard error, ``depth_mean``: mean
        error, ``depth_added``: what the depth has more than without flicker noise, mean over the
        wavelengths, ``depth_added_error``: its standard error from the scatter of the difference
        of both spectra. Without unit ``depth_worst`` and ``depth_worst_floor``: largest error in
        standard errors, with flicker noise and without; ``depth_pull`` and ``depth_pull_floor``:
        rms of these.
    """
    free = ramps.data - ramps.flicker
    slopes = {
        "truth": [ramps.scene.rate(i) for i in range(len(cleaned))],
        "cleaned": [mean_slope(ramp) for ramp in cleaned],
        "free": [mean_slope(ramp) for ramp in free],
    }
    depths = {name: transit_depths(ramps, images) for name, images in slopes.items()}
    truth = depths["truth"][0]
    errors = {name: depth - truth for name, (depth, _) in depths.items()}
    pulls = {name: errors[name] / depths[name][1] for name in ("cleaned", "free")}
    sigma = depths["cleaned"][1]
    light = spectra_of(ramps, slopes["free"])
    added, added_error = fitted_depths(
        ramps, np.sum(spectra_of(ramps, slopes["cleaned"]) - light, axis=1, keepdims=True)
    )
    level = fitted_depths(ramps, light.sum(axis=1, keepdims=True))[0][0]
    return {
        "depth": float(np.sqrt(np.mean(errors["cleaned"] ** 2))),
        "depth_floor": float(np.sqrt(np.mean(errors["free"] ** 2))),
        "depth_sigma": float(np.sqrt(np.mean(sigma**2))),
        "depth_mean": float(errors["cleaned"].mean()),
        "depth_worst": float(np.abs(pulls["cleaned"]).max()),
        "depth_worst_floor": float(np.abs(pulls["free"]).max()),
        "depth_pull": float(np.sqrt(np.mean(pulls["cleaned"] ** 2))),
        "depth_pull_floor": float(np.sqrt(np.mean(pulls["free"] ** 2))),
        "depth_added": float(1e6 * added[1, 0] / level[0]),
        "depth_added_error": float(1e6 * added_error[0] / level[0]),
    }


def transit_depths(ramps, slopes):
    """Depths in ppm and their standard errors, float64, both (WAVELENGTHS,)."""
    fitted, sigma = fitted_depths(ramps, spectra_of(ramps, slopes))
    return 1e6 * fitted[1] / fitted[0], 1e6 * sigma / fitted[0]


def spectra_of(ramps, slopes):
    """Light above the sky of every integration, float64, (n_integrations, WAVELENGTHS)."""
    light = ramps.scene.sources
    across = 0 if ramps.scene.light_curve.shape[1] == 1 else 1
    extracted = light > EXTRACTED * light.max(axis=across, keepdims=True)
    extracted &= ~(ramps.groupdq != 0).any(axis=(0, 1))
    spectra = [
        np.where(extracted, slope - ramps.scene.diffuse, 0).sum(axis=across, dtype=np.float64)
        for slope in slopes
    ]
    return np.reshape(spectra, (len(slopes), WAVELENGTHS, -1)).sum(axis=2)


def fitted_depths(ramps, spectra):
    """Light out of transit and what is missing in it, (2, n), and standard errors of that, (n,)."""
    n = len(spectra)
    covered = (1 - ramps.scene.light_curve.reshape(n, -1)).mean(axis=1)
    design = np.column_stack([np.ones(n), -covered / covered.max()])
    fitted, *_ = np.linalg.lstsq(design, spectra, rcond=None)
    variance = np.sum((spectra - design @ fitted) ** 2, axis=0) / (n - 2)
    return fitted, np.sqrt(variance * np.linalg.inv(design.T @ design)[1, 1])
