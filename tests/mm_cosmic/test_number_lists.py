"""Numbers and rows of numbers in all the ways in which they are written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crsteps.mm_cosmic.number_lists import parse_numbers, parse_rows, parse_seed

NUMBERS = st.floats(-1e6, 1e6, allow_nan=False).map(lambda x: round(x, 4))
ROWS = st.lists(st.lists(NUMBERS, min_size=2, max_size=3), min_size=1, max_size=4)


def rows_of(value):
    return parse_rows(value, widths=(2, 3), form="[x, y] or [x, y, weight]")


@given(st.lists(NUMBERS, min_size=1, max_size=5))
def test_numbers_survive_every_way_of_writing_them(values):
    text = str(values)
    for form in (values, text, text.strip("[]"), text.split(","), tuple(map(str, values))):
        assert parse_numbers(form) == values
    assert parse_numbers(values[0]) == values[:1]


@given(ROWS)
def test_rows_survive_every_way_of_writing_them(rows):
    text = str(rows).removeprefix("[").removesuffix("]")
    ways = [rows, text, [text], text.split(","), text.replace("[", "(").replace("]", ")")]
    for form in (*ways, [str(row) for row in rows], tuple(map(tuple, rows))):
        assert rows_of(form) == rows


def test_a_single_row_needs_no_brackets():
    assert rows_of([1, 2]) == rows_of("1, 2") == rows_of(["1", "2"]) == [[1, 2]]
    assert rows_of(None) == rows_of([]) == rows_of("") == []


@pytest.mark.parametrize("value", ["", "a", [None], [1, "b"], float("nan"), "1,,2", True])
def test_what_is_no_number_is_refused(value):
    with pytest.raises(ValueError, match="must be a number or a list of numbers"):
        parse_numbers(value)


@pytest.mark.parametrize("value", [[[1]], [[1, 2, 3, 4]], "[1, 2], [3]", [1, 2, 3, 4]])
def test_rows_of_other_lengths_are_refused(value):
    with pytest.raises(ValueError, match=r"must be \[x, y\] or \[x, y, weight\]"):
        rows_of(value)


@pytest.mark.parametrize(
    ("value", "seed"),
    [(0, 0), ("17", 17), (" 17 ", 17), (None, None), ("None", None), ("none", None)],
)
def test_seeds(value, seed):
    assert parse_seed(value) == seed


@pytest.mark.parametrize("value", [-1, 1.5, "1.0", "soon", True, [1]])
def test_what_is_no_seed_is_refused(value):
    with pytest.raises(ValueError, match="neither a whole number from 0 nor none"):
        parse_seed(value)
