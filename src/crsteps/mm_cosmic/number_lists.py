"""
Numbers and lists of numbers as users write them.

They come as numbers and lists from parameter files and Python, and from a command line as text or
as the pieces into which it splits text at the commas.
"""

import re
from math import isfinite

_ROW = re.compile(r"[\[(]([^\[\]()]*)[\])]")


def parse_numbers(value):
    """
    Read one or more numbers.

    Parameters
    ----------
    value : float, str or sequence of them
        Text may hold several, separated by commas, in brackets or not.

    Returns
    -------
    list of float

    Raises
    ------
    ValueError
        No number, or one that is not finite.
    """
    items = [value] if isinstance(value, str | int | float) else list(value)
    parts = [part.strip("[]() ") for item in items for part in str(item).split(",")]
    try:
        found = [float(part) for part in parts]
    except ValueError:
        found = []
    if not found or not all(map(isfinite, found)):
        raise ValueError(f"{value!r} must be a number or a list of numbers")
    return found


def parse_rows(value, *, widths, form):
    """
    Read rows of numbers, such as points.

    Parameters
    ----------
    value : sequence or None
        Rows, a single row, or text such as ``"[1, 2], [3, 4]"`` in one or several pieces.
    widths : tuple of int
        Numbers that a row may have.
    form : str
        How a row is written, for the error.

    Returns
    -------
    list of list of float
        Empty for None and for an empty sequence.

    Raises
    ------
    ValueError
        What is no number, and rows of other lengths.
    """
    if value is None or len(value) == 0:
        return []
    if isinstance(value, str) or any(isinstance(item, str) for item in value):
        text = value if isinstance(value, str) else ",".join(map(str, value))
        value = _ROW.findall(text) or [text]
    elif not any(hasattr(item, "__len__") for item in value):
        value = [value]
    rows = [parse_numbers(row) for row in value]
    for row in rows:
        if len(row) not in widths:
            raise ValueError(f"{row} must be {form}")
    return rows


def parse_seed(value):
    """
    Read the seed of random numbers.

    Parameters
    ----------
    value : int, str or None
        Whole number from 0, or ``none`` (or None).

    Returns
    -------
    int or None
        None for a new seed each time.

    Raises
    ------
    ValueError
        Anything else.
    """
    text = str(value).strip().lower()
    if text == "none":
        return None
    if not text.isdecimal():
        raise ValueError(f"{value!r} is neither a whole number from 0 nor none")
    return int(text)
