"""
Rectangular regions and lists of pixels as users write them, and as slices and masks.

Users count from 1, as FITS does, and name x first; here, and everywhere inside the package, pixels
are counted from 0 and arrays are indexed [y, x]. This module is where the one becomes the other.
"""

import re
from dataclasses import dataclass
from numbers import Real

import numpy as np


@dataclass(frozen=True)
class Region:
    """
    A rectangle of pixels, counted from 0; its limits belong to it.

    Attributes
    ----------
    x_min, x_max, y_min, y_max : int
        First and last column and row.
    """

    x_min: int
    x_max: int
    y_min: int
    y_max: int

    @property
    def slices(self):
        """Rows and columns of the region, to index an array [y, x]."""
        return slice(self.y_min, self.y_max + 1), slice(self.x_min, self.x_max + 1)

    @property
    def n_pixels(self):
        """Number of pixels."""
        return (self.x_max - self.x_min + 1) * (self.y_max - self.y_min + 1)

    def __str__(self):
        """Return the region as users write it, counted from 1."""
        return f"[{self.x_min + 1}:{self.x_max + 1}, {self.y_min + 1}:{self.y_max + 1}]"


def parse_region(region):
    """
    Read a region counted from 1, as in FITS.

    Parameters
    ----------
    region : Region, sequence of int or str
        ``[x_min, x_max, y_min, y_max]``, whose limits belong to the region; or text like
        ``"[x_min:x_max, y_min:y_max]"`` or ``"x_min, x_max, y_min, y_max"``. A `Region` is
        returned as it is.

    Returns
    -------
    Region

    Raises
    ------
    ValueError
        Not four whole numbers, a limit below 1, or limits in the wrong order.
    """
    regions = parse_regions(region)
    if len(regions) != 1:
        raise ValueError(f"{region!r} is not one region: give [x_min, x_max, y_min, y_max]")
    return regions[0]


def parse_regions(regions):
    """
    Read any number of regions counted from 1, as in FITS.

    Parameters
    ----------
    regions : None, Region, str or sequence
        One region as for `parse_region`, or a sequence of them. Text may hold several, and so may
        a flat sequence of numbers or of pieces of text, which is what a command line makes of it.

    Returns
    -------
    tuple of Region
        Empty for None, an empty sequence and empty text.

    Raises
    ------
    ValueError
        What `parse_region` cannot read.
    """
    if isinstance(regions, Region):
        return (regions,)
    if isinstance(regions, list | tuple) and any(isinstance(item, Region) for item in regions):
        return tuple(region for item in regions for region in parse_regions(item))
    return tuple(
        _region(limits) for limits in _rows(regions, "region", "x_min, x_max, y_min, y_max")
    )


def _region(limits):
    x_min, x_max, y_min, y_max = limits
    if min(limits) < 1:
        raise ValueError(f"the region {limits} has a limit below 1: pixels are counted from 1")
    if x_min > x_max or y_min > y_max:
        raise ValueError(
            f"the limits of the region {limits} are in the wrong order: "
            "give [x_min, x_max, y_min, y_max]"
        )
    return Region(x_min - 1, x_max - 1, y_min - 1, y_max - 1)


def region_mask(regions, shape):
    """
    Pixels inside any of some regions.

    Parameters
    ----------
    regions : None, Region, str or sequence
        As for `parse_regions`.
    shape : tuple of int
        Shape (ny, nx) of the image.

    Returns
    -------
    ndarray of bool, shape (ny, nx)
        True inside; regions may overlap.

    Raises
    ------
    ValueError
        A region that cannot be read or that reaches beyond the image; it is named.
    """
    mask = np.zeros(shape, dtype=bool)
    for region in parse_regions(regions):
        check_region(region, shape)
        mask[region.slices] = True
    return mask


def check_region(region, shape):
    """
    Refuse a region that reaches beyond an image.

    Parameters
    ----------
    region : Region
        The region.
    shape : tuple of int
        Shape (ny, nx) of the image.

    Raises
    ------
    ValueError
        The region is not inside the image.
    """
    if region.x_max >= shape[1] or region.y_max >= shape[0]:
        raise ValueError(
            f"the region {region} reaches beyond the image of {shape[1]} x {shape[0]} pixels: "
            f"give limits up to {shape[1]} in x and {shape[0]} in y"
        )


def parse_pixels(pixels, shape, *, names=("x", "y")):
    """
    Read a list of pixels counted from 1, as in FITS.

    Parameters
    ----------
    pixels : None, str or sequence
        ``[x, y]`` of each pixel, followed by more whole numbers if `names` says so; a flat
        sequence of numbers, or text, is split into pixels.
    shape : tuple of int
        Shape (ny, nx) of the image.
    names : sequence of str, optional
        Names of the whole numbers given for each pixel; the first two are its coordinates.

    Returns
    -------
    ndarray of int, shape (n_pixels, len(names))
        Coordinates counted from 0, and the other numbers as they are; no rows for None.

    Raises
    ------
    ValueError
        Not whole numbers, not so many, or a pixel outside the image; it is named.
    """
    table = np.array(_rows(pixels, "pixel", ", ".join(names)), dtype=np.int64)
    table = table.reshape(-1, len(names))
    for x, y in table[:, :2]:
        if not (1 <= x <= shape[1] and 1 <= y <= shape[0]):
            raise ValueError(
                f"the pixel [{x}, {y}] is not in the image of {shape[1]} x {shape[0]} pixels, "
                "which are counted from 1"
            )
    table[:, :2] -= 1
    return table


def _rows(given, what, form):
    """Rows of as many whole numbers as `form` names, from rows, a flat sequence or text."""
    n_numbers = form.count(",") + 1
    rows = [] if given is None else _as_list(given)
    if all(np.ndim(row) == 0 for row in rows):  # also text, which is split into its numbers
        flat = [number for item in rows for number in _pieces(item)]
        rows = [flat[i : i + n_numbers] for i in range(0, len(flat), n_numbers)]
    numbers = []
    for row in rows:
        values = [_whole_number(piece) for item in _as_list(row) for piece in _pieces(item)]
        if len(values) != n_numbers or None in values:
            raise ValueError(
                f"{_as_list(row)} is no {what}: "
                f"give {n_numbers} whole numbers [{form}], counted from 1"
            )
        numbers.append(values)
    return numbers


def _as_list(values):
    if isinstance(values, np.ndarray):
        values = values.tolist()
    return list(values) if isinstance(values, list | tuple) else [values]


def _pieces(item):
    """Pieces of text between brackets, commas, colons and blanks; what is no text as it is."""
    if isinstance(item, str):
        return [piece for piece in re.split(r"[\s,;:\[\]()]+", item) if piece]
    return [item]


def _whole_number(value):
    """Integer, or None for what is none: a bool, a fraction, other text."""
    if isinstance(value, str):
        return int(value) if re.fullmatch(r"[+-]?\d+", value) else None
    if isinstance(value, bool | np.bool_) or not isinstance(value, Real):
        return None
    return int(value) if float(value).is_integer() else None
