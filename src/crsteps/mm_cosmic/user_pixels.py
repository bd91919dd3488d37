"""Pixels that the user singles out: not to be cleaned, flagged, ignored or replaced."""

from dataclasses import dataclass, field

import numpy as np

from crsteps.detector.regions import parse_pixels, region_mask
from crsteps.mm_cosmic.order_statistics import median_variance

# Standard deviation of a normal distribution over its median absolute deviation, and error of the
# variance from that of n values, in units of itself and 1 / sqrt(n).
_SIGMA_OVER_MAD, _MAD_ERROR = 1.4826, 2.33


def _no_replacements():
    return np.empty((0, 4), dtype=np.int64)


@dataclass(frozen=True)
class UserPixels:
    """
    Pixels that the user singles out; masks are (ny, nx).

    Attributes
    ----------
    skipped : ndarray of bool or None
        Regions in which no cosmic rays are to be looked for.
    flagged : ndarray of bool or None
        Pixels to be flagged as hit, also in skipped regions.
    ignored : ndarray of bool or None
        Pixels never to be flagged.
    replaced : ndarray of int, shape (n, 4)
        Column and row, from 0, of pixels to be replaced by a local median, and width in x and in
        y of the box it is taken from. They are not flagged, unless `flagged` says so.
    """

    skipped: np.ndarray | None = None
    flagged: np.ndarray | None = None
    ignored: np.ndarray | None = None
    replaced: np.ndarray = field(default_factory=_no_replacements)

    def to_be_cleaned(self, shape):
        """
        Pixels in which cosmic rays are to be looked for.

        Parameters
        ----------
        shape : tuple of int
            Shape (ny, nx) of the image.

        Returns
        -------
        ndarray of bool, shape (ny, nx)
        """
        mask = np.ones(shape, dtype=bool)
        if self.skipped is not None:
            mask &= ~self.skipped
        if self.flagged is not None:
            mask |= self.flagged
        if self.ignored is not None:
            mask &= ~self.ignored
        mask[self.replaced[:, 1], self.replaced[:, 0]] = False
        return mask

    def apply_to(self, mask):
        """
        Bring what was detected in line with what the user says.

        Parameters
        ----------
        mask : ndarray of bool, shape (..., ny, nx)
            Detected pixels; not modified.

        Returns
        -------
        ndarray of bool, shape (..., ny, nx)
            Without the pixels that are not to be cleaned, and with all those to be flagged.
        """
        mask = mask & self.to_be_cleaned(mask.shape[-2:])
        return mask if self.flagged is None else mask | self.flagged


def make_user_pixels(shape, *, skipped=None, flagged=None, ignored=None, replaced=None):
    """
    Read what the user gave, counted from 1 as in FITS.

    Parameters
    ----------
    shape : tuple of int
        Shape (ny, nx) of the images.
    skipped : ndarray of bool (ny, nx), or regions, optional
        Mask, or regions as for `crsteps.detector.regions.parse_regions`.
    flagged, ignored : ndarray of bool (ny, nx), or sequence of [x, y], optional
        Mask or pixels.
    replaced : sequence of [x, y, x_width, y_width], optional
        Pixels, and the odd widths of the boxes for their medians.

    Returns
    -------
    UserPixels

    Raises
    ------
    ValueError
        What cannot be read, lies outside the image or contradicts itself: it is named.
    """
    masks = {
        "skipped": _mask(skipped, shape, "regions to be skipped", region_mask),
        "flagged": _mask(flagged, shape, "pixels to be flagged as cosmic rays", _pixel_mask),
        "ignored": _mask(ignored, shape, "pixels to be ignored", _pixel_mask),
    }
    if masks["flagged"] is not None and masks["ignored"] is not None:
        both = np.argwhere(masks["flagged"] & masks["ignored"])
        if both.size:
            y, x = both[0] + 1
            raise ValueError(
                f"the pixel [{x}, {y}] is both to be flagged as a cosmic ray and to be ignored: "
                "remove it from one of the lists"
            )
    return UserPixels(**masks, replaced=_replacements(replaced, shape))


def _mask(given, shape, what, read):
    """Mask from a mask or from what `read` reads; None where there is nothing."""
    if given is None:
        return None
    if isinstance(given, np.ndarray) and given.dtype == bool:
        if given.shape != tuple(shape):
            raise ValueError(
                f"the mask of {what} has shape {given.shape}, and the images have {tuple(shape)}"
            )
        mask = given
    else:
        mask = read(given, shape)
    return mask if mask.any() else None


def _pixel_mask(pixels, shape):
    x, y = parse_pixels(pixels, shape).T
    mask = np.zeros(shape, dtype=bool)
    mask[y, x] = True
    return mask


def _replacements(replaced, shape):
    table = parse_pixels(replaced, shape, names=("x", "y", "x_width", "y_width"))
    for x, y, *widths in table:
        if min(widths) < 1 or not all(width % 2 for width in widths):
            raise ValueError(
                f"the box of {widths[0]} x {widths[1]} pixels for the pixel [{x + 1}, {y + 1}] "
                "has no centre: give odd widths"
            )
        if max(widths) == 1:
            raise ValueError(
                f"the box for the pixel [{x + 1}, {y + 1}] holds nothing but the pixel itself: "
                "give a width of at least 3"
            )
    return table


def replace_by_local_median(data, variance, n_used, replaced, *, flagged=None):
    """
    Replace pixels of a combined image by the median of the pixels around.

    The box ends at the edges of the image. The pixel itself, other pixels of the list, flagged
    pixels and those without a finite value and variance do not enter the median.

    The variance is that of the median of n normal values. The variance of one is the mean one of
    the box, or the robust scatter in it where that is larger by two of its errors: where there is
    structure, the neighbours say less about the pixel than their noise does.

    Parameters
    ----------
    data, variance : ndarray, shape (ny, nx)
        Combined image, and its variance in units of the data squared. Not modified.
    n_used : ndarray of int, shape (ny, nx)
        Number of exposures in each pixel. Not modified.
    replaced : UserPixels or array-like of int, shape (n, 4)
        Column and row, from 0, of each pixel, and odd widths in x and y of its box.
    flagged : ndarray of bool, shape (ny, nx), optional
        Pixels hit by cosmic rays, which do not enter medians.

    Returns
    -------
    data, variance, n_used : ndarray, shape (ny, nx)
        Copies of the inputs. In the replaced pixels the number is 0, for none of their own
        values was used; where no pixel of the box can be used, data and variance are NaN.
    """
    replaced = replaced.replaced if isinstance(replaced, UserPixels) else replaced
    replaced = np.array(replaced, dtype=np.int64).reshape(-1, 4)
    usable = np.isfinite(data) & np.isfinite(variance)
    if flagged is not None:
        usable &= ~flagged
    x, y = replaced.T[:2]
    usable[y, x] = False
    new_data, new_variance, new_number = data.copy(), variance.copy(), n_used.copy()
    new_number[y, x] = 0
    for x, y, x_width, y_width in replaced:
        box = tuple(
            slice(max(centre - width // 2, 0), centre + width // 2 + 1)
            for centre, width in ((y, y_width), (x, x_width))
        )
        good = usable[box]
        new_data[y, x], new_variance[y, x] = _median_of(data[box][good], variance[box][good])
    return new_data, new_variance, new_number


def _median_of(values, variances):
    """Median of values and its variance; NaN without values."""
    if not values.size:
        return np.nan, np.nan
    values = values.astype(float)
    median = np.median(values)
    scatter = (_SIGMA_OVER_MAD * np.median(np.abs(values - median))) ** 2
    variance = np.mean(variances, dtype=float)
    if scatter > variance * (1 + 2 * _MAD_ERROR / np.sqrt(values.size)):
        variance = scatter
    return median, variance * median_variance(values.size)
