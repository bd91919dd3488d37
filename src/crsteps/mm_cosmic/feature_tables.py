"""
Pixels of connected features as tables, by the methods that found them.

The columns ``CR_number``, ``X_pixel``, ``Y_pixel`` and ``Mask_value`` are those of the files that
numina-crmasks writes; X and Y follow the convention of FITS, in which the first pixel is 1. All
pixels are listed, however many features are drawn.
"""

import numpy as np
from astropy.table import Table
from scipy import ndimage

from crsteps.cosmic_rays.hysteresis import EIGHT_CONNECTED
from crsteps.mm_cosmic.detection_codes import BY_AUXILIARY, BY_BOTH, BY_MM

CATEGORIES = ("both", "auxiliary_only", "mm_only", "other")


def pixel_table(flagged, codes=None, *, columns=None):
    """
    List the flagged pixels, numbered by 8-connected feature.

    Parameters
    ----------
    flagged : ndarray of bool, shape (ny, nx)
        Pixels to list.
    codes : ndarray of uint8, shape (ny, nx), optional
        Values of ``Mask_value``; 1 everywhere when not given.
    columns : dict of str to ndarray, shape (ny, nx), optional
        Images whose values become further columns, under their names.

    Returns
    -------
    astropy.table.Table
        One row per pixel, ordered by feature, row and column of the image: ``CR_number`` from 1,
        in the order of the first pixel of each feature along the rows of the image, as in
        `crsteps.mm_cosmic.features.find_features`; ``X_pixel`` and ``Y_pixel``, the first pixel
        being 1; ``Mask_value``; and the further columns.

    Raises
    ------
    ValueError
        The images are not of one shape.
    """
    images = {"codes": codes, **(columns or {})}
    for name, image in images.items():
        if image is not None and np.shape(image) != np.shape(flagged):
            raise ValueError(
                f"{name} has the shape {np.shape(image)}, the mask {np.shape(flagged)}: "
                "they must be equal"
            )
    labels, _ = ndimage.label(flagged, EIGHT_CONNECTED)
    y, x = np.nonzero(labels)
    order = np.argsort(labels[y, x], kind="stable")
    y, x = y[order], x[order]
    values = np.ones(y.size, dtype=np.uint8) if codes is None else codes[y, x]
    table = {
        "CR_number": labels[y, x],
        "X_pixel": (x + 1).astype(np.int32),
        "Y_pixel": (y + 1).astype(np.int32),
        "Mask_value": values,
    }
    return Table(table | {name: image[y, x] for name, image in (columns or {}).items()})


def feature_categories(table):
    """
    Tell by which methods each feature was found.

    Parameters
    ----------
    table : astropy.table.Table
        Pixels with their detection codes, see `pixel_table`; not thinned out.

    Returns
    -------
    ndarray of str, shape (n_features,)
        Category of feature 1, 2, ...: ``both`` if any of its pixels was found by both methods,
        ``auxiliary_only`` and ``mm_only`` if all that were found at all were found by that one,
        else ``other``.
    """
    number, code = np.asarray(table["CR_number"]), np.asarray(table["Mask_value"])
    if not number.size:
        return np.empty(0, dtype="U14")
    start = np.flatnonzero(np.diff(number, prepend=0))
    found = np.bitwise_or.reduceat(1 << code.astype(np.int64), start)
    both, auxiliary, mm = (found & (1 << code) > 0 for code in (BY_BOTH, BY_AUXILIARY, BY_MM))
    return np.select([both, auxiliary & ~mm, mm & ~auxiliary], CATEGORIES[:3], CATEGORIES[3])


def feature_pixels(codes, *, columns=None):
    """
    List the pixels of the features of each category.

    Parameters
    ----------
    codes : ndarray of uint8, shape (ny, nx)
        Detection codes: 0 not flagged, 1 added by the dilation of the finished mask, 2 found by
        M.M.Cosmic only, 3 by the auxiliary method only, 4 by both.
    columns : dict of str to ndarray, shape (ny, nx), optional
        Images whose values become further columns, under their names.

    Returns
    -------
    dict of str to astropy.table.Table
        The rows of `pixel_table` for each of ``both``, ``auxiliary_only``, ``mm_only`` and
        ``other``. A feature has one number whatever its category.
    """
    table = pixel_table(codes > 0, codes, columns=columns)
    of_feature = feature_categories(table)
    of_pixel = of_feature[np.asarray(table["CR_number"]) - 1] if len(table) else of_feature
    return {category: table[of_pixel == category] for category in CATEGORIES}


def problematic_table(exposure_masks, missing, *, usable=None, codes=None):
    """
    List the pixels that were hit in every exposure that has a value there.

    Parameters
    ----------
    exposure_masks : ndarray of bool, shape (n_exposures, ny, nx)
        Pixels hit in each exposure.
    missing : sequence of ndarray of bool, shape (ny, nx)
        Pixels of each exposure that hold no data; where none has any, no pixel is listed.
    usable : ndarray of bool, shape (n_exposures,), optional
        False for an exposure that is left out; all are used when not given.
    codes : ndarray of uint8, shape (ny, nx), optional
        Detection codes of the median's mask, for ``Mask_value``.

    Returns
    -------
    astropy.table.Table
        As from `pixel_table`, with a column ``N_exposures``, the exposures that have a value.
    """
    usable = np.ones(len(exposure_masks), dtype=bool) if usable is None else usable
    n_usable = np.zeros(exposure_masks.shape[1:], dtype=np.uint8)
    n_hit = np.zeros_like(n_usable)
    for i in np.flatnonzero(usable):
        present = ~np.asarray(missing[i])
        n_usable += present
        n_hit += present & exposure_masks[i]
    problematic = (n_usable > 0) & (n_hit == n_usable)
    return pixel_table(problematic, codes, columns={"N_exposures": n_usable})
