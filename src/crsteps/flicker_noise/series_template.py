"""What the integrations of a time series have in common: template, light, and their brightness."""

import numpy as np

from crsteps.flicker_noise.background import smooth_sky
from crsteps.flicker_noise.boxes import row_medians

# Integrations of the median about which hits are found.
_MEDIAN_SAMPLE = 25
# Deviations from the template by more standard deviations plus this part of the light are hits.
_CLIP, _CLIP_LIGHT = 5.0, 0.05
# Pixels of all integrations that are worked on at once.
_BLOCK = 2**22
# Of the light, where no mask tells the background.
_SKY_PERCENTILE = 10


class Series:
    """
    Differences of groups of a time series; those of ramps are made when needed.

    Parameters
    ----------
    data : ndarray, shape (n_integrations, n_groups, ny, nx)
        Differences, or ramps.
    flagged : ndarray of bool, shape of `data`
        Pixels that are not to be trusted.
    ramps : bool
        Whether the data are ramps.

    Attributes
    ----------
    shape : tuple of int
        Shape of the differences, (n_integrations, n_differences, ny, nx).
    """

    def __init__(self, data, flagged, ramps):
        self._data, self._flagged, self._ramps = data, flagged, ramps
        self.shape = (data.shape[0], data.shape[1] - ramps, *data.shape[2:])

    def get(self, integrations, group=None, rows=slice(None)):
        """
        Look differences up.

        Parameters
        ----------
        integrations : int or slice or ndarray of int
            Integrations.
        group : int, optional
            Difference; all of them when not given.
        rows : slice, optional
            Rows of the image.

        Returns
        -------
        values : ndarray of float32
            Differences of those integrations; not to be modified.
        used : ndarray of bool
            True where a difference is finite and not flagged.
        """
        last = slice(0, self.shape[1]) if group is None else group
        values = self._data[integrations, last, rows]
        flagged = self._flagged[integrations, last, rows]
        if self._ramps:
            after = slice(1, self.shape[1] + 1) if group is None else group + 1
            values = self._data[integrations, after, rows] - values
            flagged = self._flagged[integrations, after, rows] | flagged
        return values, ~flagged & np.isfinite(values)


def common_scene(series, background_mask, sky_box):
    """
    Template, light and brightness of a time series.

    Parameters
    ----------
    series : Series
        Time series.
    background_mask : ndarray of bool, shape (ny, nx), or None
        True where a pixel shows background only.
    sky_box : int
        Scale below which the sky is smooth.

    Returns
    -------
    template : ndarray of float32, shape (n_differences, ny, nx)
        Mean of the integrations at unit brightness without hits; 0 where not usable.
    usable : ndarray of bool, shape (n_differences, ny, nx)
        True where at least half of the integrations, and two of them, were used.
    light : ndarray of float32, shape (ny, nx)
        Mean template above the sky.
    scales : ndarray, shape (n_integrations,)
        Brightness of the light, mean one.

    Raises
    ------
    ValueError
        If no pixel is usable.
    """
    n = series.shape[0]
    few = np.unique(np.linspace(0, n - 1, _MEDIAN_SAMPLE).astype(int))
    no_light = np.zeros(series.shape[2:], np.float32)
    template, usable = _template(series, few, np.ones(n), no_light)
    if not usable.any():
        raise ValueError("no pixel can be used in at least half of the integrations")
    light = _light(template, usable, background_mask, sky_box)
    scales = _brightness(series, template, usable, light)
    template, usable = _template(series, slice(None), scales, light)
    return template, usable, _light(template, usable, background_mask, sky_box), scales


def _template(series, integrations, scales, light):
    """Mean of integrations at unit scale without hits, and where it is well known."""
    n, n_groups, ny, nx = series.shape
    template = np.zeros((n_groups, ny, nx), np.float32)
    usable = np.zeros(template.shape, bool)
    change = (scales[integrations] - 1).astype(np.float32)[:, None, None]
    step = max(1, _BLOCK // (n * nx))
    for group in range(n_groups):
        for start in range(0, ny, step):
            rows = slice(start, start + step)
            values, used = series.get(integrations, group, rows)
            values = np.where(used, values - change * light[rows], np.nan)
            used &= _near_median(values, light[rows])
            count = used.sum(axis=0)
            total = np.sum(values, axis=0, where=used, dtype=np.float64)
            usable[group, rows] = count >= max(2, len(values) / 2)
            template[group, rows] = np.where(usable[group, rows], total / np.maximum(count, 1), 0)
    return template, usable


def _near_median(values, light):
    """Values along the first axis that are no hits."""
    few = np.unique(np.linspace(0, len(values) - 1, _MEDIAN_SAMPLE).astype(int))
    centre = _median(values[few])
    spread = 1.4826 * _median(np.abs(values[few] - centre))
    if np.isfinite(spread).any():  # a spread of few values may be small by chance
        spread = np.maximum(spread, np.nanmedian(spread))
    return np.abs(values - centre) <= _CLIP * spread + _CLIP_LIGHT * np.abs(light)


def _median(values):
    """Median along the first axis of the values that are finite; NaN where none is."""
    values = np.moveaxis(values, 0, -1)
    return row_medians(values, np.isfinite(values))[0]


def _light(template, usable, background_mask, sky_box):
    """Light of the mean of the groups: what is above the sky."""
    count = usable.sum(axis=0)
    known = count > 0
    mean = (template.sum(axis=0) / np.maximum(count, 1)).astype(np.float32)
    if background_mask is not None and np.any(background_mask & known):
        sky = smooth_sky(mean, background_mask & known, box=sky_box)
    else:
        sky = np.full(mean.shape, np.percentile(mean[known], _SKY_PERCENTILE), np.float32)
    return np.where(known, mean - sky, np.float32(0))


def _brightness(series, template, usable, light):
    """Scale of the light of each integration, by least squares over all groups."""
    departures = np.zeros(series.shape[0])
    for i in range(series.shape[0]):
        values, used = series.get(i)
        weights = np.where(used & usable, light, 0)
        square = np.sum(weights * light, dtype=np.float64)
        if square > 0:
            product = weights * np.where(used, values - template, 0)
            departures[i] = np.sum(product, dtype=np.float64) / square
    return 1 + departures - departures.mean()
