"""Pages of features, read back from their artists and counted in the files."""

import re
from contextlib import contextmanager, nullcontext

import numpy as np
import pytest

from crsteps.mm_cosmic.feature_figures import (
    PageImages,
    PageOptions,
    write_feature_pages,
    write_problematic_pages,
)
from crsteps.mm_cosmic.feature_page_figures import FeaturePage
from crsteps.mm_cosmic.feature_tables import pixel_table


def make_images(n_exposures=3, shape=(40, 50)):
    """Return noise with four features, one of each category, and a corner without data."""
    random = np.random.default_rng(5)
    exposures = random.normal(10, 3, (n_exposures, *shape)).astype(np.float32)
    codes = np.zeros(shape, dtype=np.uint8)
    codes[1, 2:5] = 4, 2, 1
    codes[12, 10:13] = 3
    codes[20, 30] = 2
    codes[30, 20:22] = 2, 3
    exposures[:2, codes > 0] += 100
    exposures[:, 36:, :4] = np.nan
    masks = np.zeros(exposures.shape, bool)
    masks[:2] = codes > 0
    median, lowest = np.median(exposures, axis=0), exposures.min(axis=0)
    result = np.where(codes > 0, lowest, median)
    return PageImages(tuple(exposures), tuple(masks), median, result, lowest, codes)


def pages_of(path):
    return len(re.findall(rb"/Type /Page\b", path.read_bytes()))


def test_each_category_has_a_file_with_a_page_for_each_feature(tmp_path):
    left = []

    @contextmanager
    def path_for(category):
        yield tmp_path / f"{category}.pdf"
        left.append(category)

    n_pages = write_feature_pages(path_for, make_images())
    assert n_pages == {"both": 1, "auxiliary_only": 1, "mm_only": 1, "other": 1}
    assert left == list(n_pages)
    for category in n_pages:
        assert pages_of(tmp_path / f"{category}.pdf") == 1


@pytest.mark.parametrize(("most", "expected"), [(0, 0), (2, 2), (-1, 4)])
def test_the_number_of_pages_is_limited_by_feature_number(tmp_path, most, expected):
    n_pages = write_feature_pages(
        lambda category: nullcontext(tmp_path / f"{category}.pdf"),
        make_images(),
        options=PageOptions(maxplots=most),
    )
    assert sum(n_pages.values()) == expected
    assert sum(pages_of(path) for path in tmp_path.iterdir()) == expected


def test_equal_images_give_equal_files(tmp_path):
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        write_feature_pages(
            lambda category, name=name: nullcontext(tmp_path / name / category),
            make_images(),
            options=PageOptions(maxplots=1),
        )
    assert (tmp_path / "first" / "both").read_bytes() == (tmp_path / "second/both").read_bytes()


def test_stamps_show_the_pixels_around_the_feature_and_nothing_beyond_the_image():
    images = make_images()
    page = FeaturePage(images, PageOptions(semiwindow=4))
    page.show(np.array([2, 3, 4]), np.array([1, 1, 1]), "a feature")
    names = [stamp.axes.get_title() for stamp in page.stamps]
    assert names[:5] == ["exposure 1", "exposure 2", "exposure 3", "median", "detection"]
    for stamp, image in zip(page.stamps, (*images.exposures, images.median), strict=False):
        shown = np.asarray(stamp.image.get_array().filled(np.nan))
        assert np.isnan(shown[:3]).all()  # rows -3, -2, -1
        assert np.isnan(shown[:, 0]).all()  # column -1
        np.testing.assert_array_equal(shown[3:, 1:], image[:6, :8])
        assert stamp.image.get_extent() == [-0.5, 8.5, -2.5, 6.5]  # FITS: the first pixel is 1
    codes = np.asarray(page.stamps[4].image.get_array())
    assert codes.shape == (9, 9)
    assert list(codes[4, 3:6]) == [4, 2, 1]


def test_outlines_are_those_of_the_masks_and_of_the_feature():
    images = make_images()
    page = FeaturePage(images, PageOptions(semiwindow=15))
    page.show(np.array([10, 11, 12]), np.array([12, 12, 12]), "a feature")
    first, _, third, median, detection, result = (stamp.outline for stamp in page.stamps)
    assert len(third.get_segments()) == 0  # the third exposure was hit nowhere
    assert len(result.get_segments()) == 0
    # A row of three pixels has eight edges; the window also holds the first feature.
    assert len(detection.get_segments()) == 8
    assert len(first.get_segments()) == len(median.get_segments()) == 16
    corners = np.concatenate(detection.get_segments())
    np.testing.assert_array_equal(corners.min(axis=0), [10.5, 12.5])
    np.testing.assert_array_equal(corners.max(axis=0), [13.5, 13.5])


def test_large_features_are_shown_whole():
    images = make_images(shape=(60, 90))
    page = FeaturePage(images, PageOptions(semiwindow=2))
    page.show(np.arange(20, 61), np.full(41, 30), "a track")
    left, right, bottom, top = page.stamps[0].image.get_extent()
    assert left < 20.5
    assert right > 61.5
    assert right - left == top - bottom


@pytest.mark.parametrize(("scale", "limits"), [("minmax", "extremes"), ("zscale", "narrower")])
def test_exposures_median_and_result_share_their_grey_scale(scale, limits):
    images = make_images()
    page = FeaturePage(images, PageOptions(semiwindow=5, color_scale=scale))
    page.show(np.array([30]), np.array([20]), "a feature")
    shown = {page.stamps[i].image.get_clim() for i in (0, 1, 2, 3, 5)}
    assert len(shown) == 1
    ((low, high),) = shown
    window = np.array(images.exposures)[:, 15:26, 25:36]
    if limits == "extremes":
        assert (low, high) == (window.min(), window.max())
    else:
        assert window.min() <= low < high < 0.5 * window.max()


def test_pixels_stand_at_their_places_in_the_diagram():
    images = make_images()
    line = np.array([0.0, 20.0]), np.array([8.0, 9.0])
    page = FeaturePage(images, PageOptions(boundary=line, threshold=3.5, unit="DN/s"))
    page.show(np.array([2, 3, 4]), np.array([1, 1, 1]), "a feature")
    for code, x in ((4, 2), (2, 3), (1, 4)):
        ((signal, difference),) = page.diagram.symbols[code].get_xydata()
        assert signal == images.lowest[1, x]
        assert difference == images.median[1, x] - images.lowest[1, x]
    assert len(page.diagram.symbols[3].get_xydata()) == 0
    named = [name.get_text() for name in page.diagram.names if name.get_visible()]
    assert set(named) <= {"(3, 2)", "(4, 2)", "(5, 2)"}
    assert named
    assert page.diagram.axes.get_xlabel().endswith("[DN/s]")
    text = page.summary.get_text()
    assert "X 3–5, Y 2 (" in text
    assert text.endswith("3 pixels: both 1, M.M.Cosmic only 1, added by dilation 1")


@pytest.mark.parametrize("n_exposures", [3, 4, 10])
def test_every_exposure_has_a_stamp(n_exposures):
    page = FeaturePage(make_images(n_exposures), PageOptions())
    page.show(np.array([30]), np.array([20]), "a feature")
    assert len(page.stamps) == n_exposures + 3
    boxes = [stamp.axes.get_position() for stamp in page.stamps]
    boxes.append(page.diagram.axes.get_position())
    for i, box in enumerate(boxes):
        assert all(not box.overlaps(other) for other in boxes[:i])
        assert 0 <= box.x0 < box.x1 <= 1
        assert 0 <= box.y0 < box.y1 <= 1


def test_images_without_a_value_still_give_pages(tmp_path):
    nothing = np.full((20, 20), np.nan, dtype=np.float32)
    codes = np.zeros((20, 20), dtype=np.uint8)
    codes[3, 3] = 3
    images = PageImages((nothing,) * 3, (codes > 0,) * 3, nothing, nothing, nothing, codes)
    for scale in ("zscale", "minmax"):
        n_pages = write_feature_pages(
            lambda _, scale=scale: nullcontext(tmp_path / f"{scale}.pdf"),
            images,
            options=PageOptions(color_scale=scale),
        )
        assert n_pages["auxiliary_only"] == 1


def test_problematic_pixels_have_pages(tmp_path):
    images = make_images()
    table = pixel_table(np.isin(images.codes, (2, 4)), images.codes)
    path = tmp_path / "problematic.pdf"
    assert write_problematic_pages(path, images, table) == pages_of(path) == 3
    assert write_problematic_pages(path, images, table, options=PageOptions(maxplots=1)) == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [({"color_scale": "log"}, "color_scale must be one of"), ({"semiwindow": 0}, "semiwindow")],
)
def test_impossible_options_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        PageOptions(**options)
