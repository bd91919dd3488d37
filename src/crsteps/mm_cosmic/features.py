"""Connected features in the mask of the median, and pixels without a clean exposure, as tables."""

from contextlib import suppress

import numpy as np
from astropy.table import Table
from astropy.units import Unit
from scipy import ndimage

from crsteps.cosmic_rays.hysteresis import EIGHT_CONNECTED


def find_features(mediancr, *, exposure_masks, log_probability, lowest, median, unit=None):
    """
    List the 8-connected features of the mask of the median.

    Parameters
    ----------
    mediancr : ndarray of bool, shape (ny, nx)
        Mask whose features are listed.
    exposure_masks : ndarray of bool, shape (n_exposures, ny, nx)
        Pixels hit in each exposure.
    log_probability : ndarray, shape (ny, nx)
        Natural logarithm of the smallest null probability at the pixel, 0 where none was tested.
    lowest, median : ndarray, shape (ny, nx)
        Minimum signal and median, data units; pixels where either is NaN add nothing to the
        excess.
    unit : str, optional
        Unit of the data, for the column of the excess: in its description, and as its unit if
        FITS tables know it.

    Returns
    -------
    astropy.table.Table
        One row per feature, in the order of its first pixel along the rows of the image:
        ``number`` from 1; ``n_pixels``; ``x``, ``y``, the mean position; ``x_min``, ``x_max``,
        ``y_min``, ``y_max``, the first and last column and row; ``significance``, the largest
        ``-log10`` of a pixel's null probability; ``excess``, the sum of median minus minimum
        signal; ``exposures``, the numbers (from 1) of the exposures hit anywhere in it, such as
        ``"1,3"``. Positions are those of pixel centres, the first pixel being 0.
    """
    labels, n_features = ndimage.label(mediancr, EIGHT_CONNECTED)
    y, x = np.nonzero(labels)
    label = labels[y, x] - 1
    order = np.argsort(label, kind="stable")
    y, x, label = y[order], x[order], label[order]
    start = np.searchsorted(label, np.arange(n_features))
    n_pixels = np.bincount(label, minlength=n_features)
    excess = np.nan_to_num(median[y, x].astype(float) - lowest[y, x], posinf=0, neginf=0)
    table = Table(
        {
            "number": np.arange(1, n_features + 1),
            "n_pixels": n_pixels,
            "x": _per_feature(np.add, x, start) / n_pixels,
            "y": _per_feature(np.add, y, start) / n_pixels,
            "x_min": _per_feature(np.minimum, x, start),
            "x_max": _per_feature(np.maximum, x, start),
            "y_min": _per_feature(np.minimum, y, start),
            "y_max": _per_feature(np.maximum, y, start),
            "significance": -_per_feature(np.minimum, log_probability[y, x], start) / np.log(10),
            "excess": _per_feature(np.add, excess, start),
            "exposures": _exposure_lists(exposure_masks[:, y, x], start),
        }
    )
    for name, digits in (("x", 2), ("y", 2), ("significance", 2), ("excess", 4)):
        table[name] = np.round(table[name], digits)
    for name in ("x", "y", "x_min", "x_max", "y_min", "y_max"):
        table[name].unit = "pix"
    if unit:
        table["excess"].unit = _fits_unit(unit)
        table["excess"].description = f"median minus minimum signal, summed [{unit}]"
    return table


def problematic_pixels(exposure_masks, missing, *, usable=None):
    """
    List the pixels for which no exposure has a clean value.

    Parameters
    ----------
    exposure_masks : ndarray of bool, shape (n_exposures, ny, nx)
        Pixels hit in each exposure.
    missing : sequence of ndarray of bool, shape (ny, nx)
        Pixels of each exposure that hold no data.
    usable : ndarray of bool, shape (n_exposures,), optional
        False for an exposure that is left out; all are used when not given.

    Returns
    -------
    astropy.table.Table
        ``x``, ``y`` (the first pixel is 0) and ``n_usable``, the number of exposures with a value
        there: zero where there are no data, else all of them are flagged.
    """
    usable = np.ones(len(exposure_masks), dtype=bool) if usable is None else usable
    n_usable = np.zeros(exposure_masks.shape[1:], dtype=np.uint8)
    clean = np.zeros(exposure_masks.shape[1:], dtype=bool)
    for i in np.flatnonzero(usable):
        present = ~np.asarray(missing[i])
        n_usable += present
        clean |= present & ~exposure_masks[i]
    y, x = np.nonzero(~clean)
    return Table({"x": x.astype(np.int32), "y": y.astype(np.int32), "n_usable": n_usable[y, x]})


def _fits_unit(text):
    """Unit that FITS tables know, or None: `DN/s` is none, and `ADU` is spelt small."""
    for spelling in (text, text.lower()):
        with suppress(ValueError):
            return Unit(spelling, format="fits")
    return None


def _per_feature(function, values, start):
    """Reduce values sorted by feature; each feature begins at one of the starts."""
    if start.size == 0:
        return np.empty(0, dtype=np.asarray(values).dtype)
    return function.reduceat(values, start)


def _exposure_lists(hit, start):
    """Name the exposures hit in each feature; equal combinations are written out once."""
    if start.size == 0:
        return np.empty(0, dtype="U1")
    any_hit = np.maximum.reduceat(hit, start, axis=1).T
    patterns, which = np.unique(any_hit, axis=0, return_inverse=True)
    names = [",".join(str(i + 1) for i in np.flatnonzero(pattern)) for pattern in patterns]
    return np.array(names)[which.ravel()]
