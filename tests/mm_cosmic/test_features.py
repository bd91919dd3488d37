"""Features and problematic pixels against masks drawn by hand."""

import numpy as np
import pytest
from astropy.io import fits

from crsteps.mm_cosmic.features import find_features, problematic_pixels

SHAPE = (20, 30)


@pytest.fixture
def drawn():
    """Return a mask with three features, and the images that belong to it."""
    mask = np.zeros(SHAPE, dtype=bool)
    mask[2, 3] = mask[3, 4] = mask[4, 4] = True  # touching by a corner: one feature
    mask[10, 20:25] = True
    mask[19, 29] = True  # in the corner of the image
    hit = np.zeros((3, *SHAPE), dtype=bool)
    hit[0] = hit[2] = mask
    hit[:, 19, 29] = True
    hit[0, 10, 22:] = hit[2, 10, 22:] = False
    hit[1, 10, 22:] = True
    lowest = np.full(SHAPE, 5.0, dtype=np.float32)
    median = lowest + 1
    median[mask] += 10
    log_probability = np.zeros(SHAPE, dtype=np.float32)
    log_probability[mask] = -7.0
    log_probability[3, 4] = -np.log(10) * 12
    return {
        "mediancr": mask,
        "exposure_masks": hit,
        "log_probability": log_probability,
        "lowest": lowest,
        "median": median,
    }


def test_features_are_those_drawn(drawn):
    table = find_features(**drawn, unit="adu")
    assert list(table["number"]) == [1, 2, 3]
    assert list(table["n_pixels"]) == [3, 5, 1]
    np.testing.assert_allclose(table["x"], [11 / 3, 22, 29], atol=0.01)
    np.testing.assert_allclose(table["y"], [3, 10, 19])
    boxes = [tuple(row) for row in table["x_min", "x_max", "y_min", "y_max"]]
    assert boxes == [(3, 4, 2, 4), (20, 24, 10, 10), (29, 29, 19, 19)]
    np.testing.assert_allclose(
        table["significance"], [12, 7 / np.log(10), 7 / np.log(10)], atol=0.01
    )
    np.testing.assert_allclose(table["excess"], [33, 55, 11])
    assert list(table["exposures"]) == ["1,3", "1,2,3", "1,2,3"]
    assert str(table["excess"].unit) == "adu"


@pytest.mark.parametrize(("unit", "known"), [("ADU", "adu"), ("DN/s", "None"), ("a b c", "None")])
def test_any_unit_can_be_written(drawn, unit, known, tmp_path):
    table = find_features(**drawn, unit=unit)
    assert str(table["excess"].unit) == known
    fits.BinTableHDU(table).writeto(tmp_path / "x.fits")
    table.write(tmp_path / "x.ecsv")
    assert f"[{unit}]" in (tmp_path / "x.ecsv").read_text()


def test_pixels_without_data_add_no_excess(drawn):
    drawn["median"][10, 20] = np.nan
    assert find_features(**drawn)["excess"][1] == pytest.approx(44)


def test_empty_mask_gives_an_empty_table_with_all_columns(drawn):
    full = find_features(**drawn)
    drawn["mediancr"] = np.zeros(SHAPE, dtype=bool)
    table = find_features(**drawn)
    assert len(table) == 0
    assert table.colnames == full.colnames


def test_problematic_pixels_have_no_clean_exposure():
    hit = np.zeros((3, 4, 5), dtype=bool)
    missing = np.zeros((3, 4, 5), dtype=bool)
    hit[:, 1, 2] = True  # hit in all
    hit[:2, 2, 2] = True  # one left
    hit[:2, 3, 1] = missing[2, 3, 1] = True  # hit wherever there are data
    missing[:, 0, 4] = True  # no data
    missing[:2, 0, 0] = True  # one left
    table = problematic_pixels(hit, missing)
    rows = {(row["x"], row["y"]): row["n_usable"] for row in table}
    assert rows == {(2, 1): 3, (1, 3): 2, (4, 0): 0}


def test_an_exposure_left_out_is_no_clean_exposure():
    hit = np.zeros((3, 4, 5), dtype=bool)
    hit[:2, 2, 2] = True
    table = problematic_pixels(hit, np.zeros_like(hit), usable=np.array([True, True, False]))
    assert [tuple(row) for row in table] == [(2, 2, 2)]
