"""Images with the flagged pixels replaced, from the unflagged ones around them."""

import numpy as np

from crsteps.cosmic_rays.local_median import good_windows, median_of_good

METHODS = ("median", "mean", "background", "nan", "detector")
_SMALLEST, _LARGEST = 2, 12  # half widths of the windows
_FEWEST_NEIGHBOURS = 6
_AT_ONCE = 50_000  # pixels replaced at a time: bounds the memory of their windows


def clean_image(data, *, mask, usable, background, method="median", detector_image=None):
    """
    Replace flagged pixels.

    Parameters
    ----------
    data : ndarray of float, shape (ny, nx)
        Image [ADU].
    mask : ndarray of bool, shape (ny, nx)
        True where a pixel is replaced.
    usable : ndarray of bool, shape (ny, nx)
        False where a pixel must not serve to replace others; values that are not finite never do.
    background : ndarray of float, shape (ny, nx)
        Background [ADU].
    method : str
        "median" or "mean": of the unflagged usable pixels in a window of 5x5 around the pixel,
        which is widened by two until it holds at least six of them, up to 25x25, after which the
        background takes their place; "background"; "nan"; or "detector": ``detector_image``.
    detector_image : ndarray of float, shape (ny, nx), optional
        Image that the detector of cosmic rays has cleaned itself [ADU].

    Returns
    -------
    ndarray of float32, shape (ny, nx)
        A new image; all that is not flagged is unchanged.

    Raises
    ------
    ValueError
        If the method is not known, or is "detector" without an image.
    """
    if method not in METHODS:
        raise ValueError(f"no such method to clean: {method!r}; there are {', '.join(METHODS)}")
    cleaned = np.array(data, dtype=np.float32)
    if method == "nan":
        cleaned[mask] = np.nan
    elif method == "background":
        cleaned[mask] = background[mask]
    elif method == "detector":
        if detector_image is None:
            raise ValueError(
                'clean_method "detector" needs a detector that cleans: choose "astroscrappy", or '
                "another method"
            )
        cleaned[mask] = detector_image[mask]
    else:
        good = usable & ~mask & np.isfinite(cleaned)
        flagged = np.flatnonzero(mask)
        values = [
            _from_neighbours(cleaned, good, part, method)
            for part in np.array_split(flagged, max(1, -(-flagged.size // _AT_ONCE)))
        ]
        values = np.concatenate(values)
        missing = np.isnan(values)
        values[missing] = background.ravel()[flagged[missing]]
        cleaned.ravel()[flagged] = values
    return cleaned


def _from_neighbours(image, good, index, method):
    """Median or mean of the good pixels around each pixel; NaN where there are too few."""
    values = np.full(index.size, np.nan, dtype=np.float32)
    waiting = np.arange(index.size)
    for reach in range(_SMALLEST, _LARGEST + 1):
        window, n_good = good_windows(image, good, index[waiting], reach=(reach, reach))
        enough = n_good >= _FEWEST_NEIGHBOURS
        window, n_good = window[enough], n_good[enough]
        if method == "mean":
            found = np.nansum(window, axis=1, dtype=np.float64) / n_good
        else:
            found = median_of_good(window, n_good)
        values[waiting[enough]] = found
        waiting = waiting[~enough]
        if waiting.size == 0:
            break
    return values
