"""Tables of flagged pixels against a search through them one by one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from crsteps.mm_cosmic.feature_tables import (
    CATEGORIES,
    feature_pixels,
    pixel_table,
    problematic_table,
)
from crsteps.mm_cosmic.features import find_features

CODES = arrays(np.uint8, (6, 7), elements=st.sampled_from([0, 0, 0, 1, 2, 3, 4]))


def grouped(flagged):
    """Sets of 8-connected pixels, found by walking from pixel to pixel."""
    left = {(int(y), int(x)) for y, x in zip(*np.nonzero(flagged), strict=True)}
    groups = []
    while left:
        group, edge = set(), [min(left)]
        while edge:
            y, x = edge.pop()
            if (y, x) in left:
                left.remove((y, x))
                group.add((y, x))
                edge += [(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
        groups.append(group)
    return groups


def category_of(values):
    """Category by the words of numina's documentation."""
    if 4 in values:
        return "both"
    if 3 in values and 2 not in values:
        return "auxiliary_only"
    if 2 in values and 3 not in values:
        return "mm_only"
    return "other"


@settings(max_examples=60, deadline=None)
@given(CODES)
def test_every_flagged_pixel_is_listed_once_in_the_category_of_its_feature(codes):
    tables = feature_pixels(codes)
    assert tuple(tables) == CATEGORIES
    expected = {name: set() for name in CATEGORIES}
    for group in grouped(codes > 0):
        expected[category_of({codes[pixel] for pixel in group})].add(frozenset(group))
    for name, table in tables.items():
        found = {}
        for row in table:
            pixel = int(row["Y_pixel"]) - 1, int(row["X_pixel"]) - 1
            assert codes[pixel] == row["Mask_value"]
            found.setdefault(int(row["CR_number"]), []).append(pixel)
        assert len(table) == sum(len(set(pixels)) for pixels in found.values())
        assert {frozenset(pixels) for pixels in found.values()} == expected[name]


def test_numbers_are_those_of_the_table_of_features():
    codes = np.zeros((9, 9), dtype=np.uint8)
    codes[1, 5:8], codes[2, 1], codes[3:5, 2], codes[8, 8] = 2, 3, 4, 1
    features = find_features(
        codes > 0,
        exposure_masks=np.zeros((3, 9, 9), bool),
        log_probability=np.zeros((9, 9)),
        lowest=np.zeros((9, 9)),
        median=np.zeros((9, 9)),
    )
    table = pixel_table(codes > 0, codes)
    for row in features:
        own = table[table["CR_number"] == row["number"]]
        assert len(own) == row["n_pixels"]
        assert own["X_pixel"].min() - 1 == row["x_min"]
        assert own["Y_pixel"].max() - 1 == row["y_max"]


def test_columns_are_those_of_numina_and_what_is_added(tmp_path):
    codes = np.zeros((4, 5), dtype=np.uint8)
    codes[1, 2], codes[1, 3] = 4, 2
    image = np.arange(20, dtype=np.float32).reshape(4, 5)
    tables = feature_pixels(codes, columns={"Median": image})
    tables["both"].write(tmp_path / "both.csv", format="ascii.csv")
    assert (tmp_path / "both.csv").read_text().splitlines() == [
        "CR_number,X_pixel,Y_pixel,Mask_value,Median",
        "1,3,2,4,7.0",
        "1,4,2,2,8.0",
    ]
    tables["other"].write(tmp_path / "other.csv", format="ascii.csv")
    assert len((tmp_path / "other.csv").read_text().splitlines()) == 1


def test_an_image_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"codes has the shape \(3, 4\), the mask \(4, 4\)"):
        pixel_table(np.zeros((4, 4), bool), np.zeros((3, 4), np.uint8))


@settings(max_examples=60, deadline=None)
@given(
    arrays(bool, (4, 3, 4)), arrays(bool, (4, 3, 4)), arrays(bool, (4,)), arrays(np.uint8, (3, 4))
)
def test_problematic_pixels_are_hit_wherever_there_is_a_value(masks, missing, usable, codes):
    table = problematic_table(masks, list(missing), usable=usable, codes=codes)
    found = {(int(r["Y_pixel"]) - 1, int(r["X_pixel"]) - 1): r for r in table}
    for pixel in np.ndindex(3, 4):
        values = [masks[i][pixel] for i in range(4) if usable[i] and not missing[i][pixel]]
        assert (pixel in found) == (len(values) > 0 and all(values))
        if pixel in found:
            assert found[pixel]["N_exposures"] == len(values)
            assert found[pixel]["Mask_value"] == codes[pixel]
    assert len(found) == len(table)


def test_problematic_pixels_without_codes_have_the_value_1():
    masks = np.ones((3, 2, 2), bool)
    table = problematic_table(masks, np.zeros((3, 2, 2), bool))
    assert list(table["Mask_value"]) == [1, 1, 1, 1]
    assert set(table["CR_number"]) == {1}
