"""
Region files of SAOImage DS9, as masks.

The shapes that mark pixels of a detector are read here, in image and in physical coordinates. The
package ``regions`` leaves out with a warning what it does not know, physical coordinates among
it; a mask that lacks a region without an error is worse than none.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from crsteps.errors import CrstepsInputError

_COMMENT = re.compile(r"#.*$")
_INCLUDE = re.compile(r"\binclude\s*=\s*([01])")
_SHAPE = re.compile(r"([+-]?)\s*([a-z]+)\s*[\s(]([^()]*)\)?\s*", re.IGNORECASE)
_NUMBER = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)([ip]?)", re.IGNORECASE)
_ANGLE = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)d?", re.IGNORECASE)
_PIXEL_SYSTEMS = ("image", "physical")
_OTHER_SYSTEMS = re.compile(
    r"(fk4|b1950|fk5|j2000|icrs|galactic|ecliptic|linear|amplifier|detector|wcs[a-z]?)$",
    re.IGNORECASE,
)
# A pixel whose centre lies on the edge of a shape belongs to it, whatever is lost in rounding.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class _Shape:
    """A shape in image coordinates of DS9: the centre of the first pixel is at (1, 1)."""

    name: str
    numbers: tuple
    angle: float
    is_excluded: bool
    text: str


def read_ds9_regions(path, shape, *, header=None):
    """
    Read a region file of DS9 as a mask.

    Known are box, circle, ellipse, polygon, annulus (all with several radii or sizes too) and
    point. A pixel belongs to a shape if its centre is inside it or on its edge. What shapes with a
    leading ``-`` exclude is taken out of all others, wherever it stands in the file; where there
    are only such shapes, it is taken out of the whole image.

    Parameters
    ----------
    path : path-like
        The file, in image or physical coordinates.
    shape : tuple of int
        Shape (ny, nx) of the image.
    header : astropy.io.fits.Header, optional
        Header of the image, whose LTV and LTM keywords tell physical from image coordinates;
        without them, they are the same.

    Returns
    -------
    ndarray of bool, shape (ny, nx)
        True inside the regions.

    Raises
    ------
    CrstepsInputError
        The file cannot be read, has celestial or other coordinates, a shape that is not known or
        cannot be understood, or one that holds no pixel of the image.
    """
    shapes = _read(path, header)
    excluded = np.zeros(shape, dtype=bool)
    included = np.full(shape, all(region.is_excluded for region in shapes))
    for region in shapes:
        target = excluded if region.is_excluded else included
        if not _draw(region, target):
            raise CrstepsInputError(
                f"{path}: {region.text} holds no pixel of the image of {shape[1]} x {shape[0]} "
                "pixels: correct or remove it."
            )
    return included & ~excluded


def _read(path, header):
    """Shapes of a region file in image coordinates."""
    try:
        lines = Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise CrstepsInputError(
            f"The region file {path} cannot be read ({error.strerror}): check the path."
        ) from error
    shapes, system, included = [], "physical", True  # as DS9 has it where nothing is said
    for line in lines:
        properties = "".join(_COMMENT.findall(line))
        for statement in filter(None, map(str.strip, _COMMENT.sub("", line).split(";"))):
            word = statement.split()[0].lower()
            if word == "global":
                included = _is_included(statement, included)
            elif statement.lower() in _PIXEL_SYSTEMS:
                system = statement.lower()
            elif _OTHER_SYSTEMS.match(statement):
                raise _other_coordinates(path, statement)
            else:
                is_included = _is_included(properties, included)
                shapes.append(_parse(path, statement, system, header, is_included))
    if not shapes:
        raise CrstepsInputError(
            f"The region file {path} holds no region: save regions in DS9 format."
        )
    return shapes


def _is_included(text, default):
    found = _INCLUDE.search(text)
    return found.group(1) == "1" if found else default


def _other_coordinates(path, what):
    return CrstepsInputError(
        f"{path} is not in image coordinates ({what}): save it in image coordinates."
    )


def _parse(path, statement, system, header, is_included):
    """Read a statement of one shape."""
    found = _SHAPE.fullmatch(statement)
    name = found.group(2).lower() if found else ""
    if name not in _COUNTS:
        raise CrstepsInputError(
            f"{path}: {statement} is not known: give {', '.join(_COUNTS)}, one a line."
        )
    sign, _, arguments = found.groups()
    arguments = [text for text in re.split(r"[\s,]+", arguments) if text and "n=" not in text]
    angle = 0.0
    if name in ("box", "ellipse") and len(arguments) % 2:
        angle = _ANGLE.fullmatch(arguments.pop())
        if angle is None:
            raise CrstepsInputError(f"{path}: the angle of {statement} is no number of degrees.")
        angle = float(angle.group(1))
    numbers = [_NUMBER.fullmatch(text) for text in arguments]
    if None in numbers:
        raise _other_coordinates(path, statement)
    units = {number.group(2).lower() for number in numbers}
    numbers = [float(number.group(1)) for number in numbers]
    if not _COUNTS[name](len(numbers)) or len(units) > 1:
        raise CrstepsInputError(f"{path}: {statement} has not the numbers that its shape needs.")
    if name != "polygon" and not all(size >= 0 for size in numbers[2:]):
        raise CrstepsInputError(f"{path}: {statement} has a negative size: correct it.")
    if units == {"p"} or (system == "physical" and units == {""}):
        numbers = _image_coordinates(path, header, name, numbers)
    is_excluded = sign == "-" or (not sign and not is_included)
    return _Shape(name, tuple(numbers), angle, is_excluded, statement)


# How many numbers, without an angle, a shape may have.
_COUNTS = {
    "circle": lambda n: n == 3,
    "annulus": lambda n: n >= 4,
    "box": lambda n: n >= 4 and n % 2 == 0,
    "ellipse": lambda n: n >= 4 and n % 2 == 0,
    "polygon": lambda n: n >= 6 and n % 2 == 0,
    "point": lambda n: n == 2,
}


def _image_coordinates(path, header, name, numbers):
    """Turn physical into image coordinates: ``image = LTM * physical + LTV``."""
    header = {} if header is None else header
    scale = header.get("LTM1_1", 1.0)
    if header.get("LTM2_2", 1.0) != scale or header.get("LTM1_2", 0) or header.get("LTM2_1", 0):
        raise _other_coordinates(path, "physical coordinates turned or stretched by LTM keywords")
    offsets = header.get("LTV1", 0.0), header.get("LTV2", 0.0)
    n_positions = len(numbers) if name == "polygon" else 2
    return [
        scale * number + (offsets[i % 2] if i < n_positions else 0)
        for i, number in enumerate(numbers)
    ]


def _nearest_pixel(numbers):
    return tuple(int(np.floor(number - 0.5)) for number in numbers)


def _draw(region, mask):
    """Set the pixels of a shape in a mask; returns whether there are any."""
    x, y = (np.array(numbers) - 1 for numbers in (region.numbers[::2], region.numbers[1::2]))
    sizes = np.array(region.numbers[2:])
    if region.name == "polygon":
        low, high = (x.min(), y.min()), (x.max(), y.max())
    else:
        reach = 0.5 if region.name == "point" else np.linalg.norm(sizes)
        low, high = (x[0] - reach, y[0] - reach), (x[0] + reach, y[0] + reach)
    columns, rows = (
        np.arange(max(int(np.ceil(first - 1)), 0), min(int(last) + 2, size))
        for first, last, size in zip(low, high, mask.shape[::-1], strict=True)
    )
    if not (columns.size and rows.size):
        return False
    grid_x, grid_y = columns[np.newaxis], rows[:, np.newaxis]
    if region.name == "polygon":
        inside = _inside_polygon(grid_x, grid_y, x, y)
    elif region.name == "point":
        column, row = _nearest_pixel(region.numbers)
        inside = (grid_x == column) & (grid_y == row)
    else:
        inside = _inside_round_or_box(region, grid_x - x[0], grid_y - y[0], sizes)
    mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] |= inside
    return bool(inside.any())


def _inside_round_or_box(region, dx, dy, sizes):
    """Whether offsets from the centre are inside the only size, or between the extreme ones."""
    if region.name in ("circle", "annulus"):
        sizes = np.repeat(sizes, 2)
    pairs = sizes.reshape(-1, 2)
    cos, sin = np.cos(np.deg2rad(region.angle)), np.sin(np.deg2rad(region.angle))
    u, v = np.abs(cos * dx + sin * dy), np.abs(cos * dy - sin * dx)
    if region.name == "box":
        outside = [np.maximum(u - width / 2, v - height / 2) for width, height in pairs]
    else:
        outside = [np.hypot(u / max(a, _ROUNDING), v / max(b, _ROUNDING)) - 1 for a, b in pairs]
    inside = np.min(outside, axis=0) <= _ROUNDING
    return inside if len(pairs) == 1 else inside & (np.max(outside, axis=0) >= -_ROUNDING)


def _inside_polygon(x, y, corner_x, corner_y):
    """Whether pixels are inside a polygon, by counting the edges to their right, or on an edge."""
    inside = np.zeros(np.broadcast_shapes(x.shape, y.shape), dtype=bool)
    on_edge = np.zeros_like(inside)
    for x1, y1, x2, y2 in zip(
        corner_x, corner_y, np.roll(corner_x, -1), np.roll(corner_y, -1), strict=True
    ):
        cross = (x - x1) * (y2 - y1) - (y - y1) * (x2 - x1)
        inside ^= ((y1 > y) != (y2 > y)) & ((cross < 0) if y2 > y1 else (cross > 0))
        length = max(np.hypot(x2 - x1, y2 - y1), _ROUNDING)
        on_edge |= (
            (np.abs(cross) <= _ROUNDING * length)
            & (np.abs(x - (x1 + x2) / 2) <= abs(x2 - x1) / 2 + _ROUNDING)
            & (np.abs(y - (y1 + y2) / 2) <= abs(y2 - y1) / 2 + _ROUNDING)
        )
    return inside | on_edge
