"""Small images and cut-outs against blocks counted by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from crsteps.cosmic_rays.clusters import find_clusters
from crsteps.slew_dark.analysis import AnalysisOptions, DetectorFrame, analyse_detector
from crsteps.slew_dark.thumbnails import (
    BAD,
    CLEAN,
    HIT,
    REFERENCE,
    busiest_box,
    cut_clusters,
    make_thumbnail,
    pixel_classes,
    reduce_blocks,
    sketch_detector,
)


@given(
    arrays(np.float32, array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.floats(0, 99)),
    st.integers(1, 10),
)
def test_blocks_are_means_of_images_and_maxima_of_masks(image, block):
    image[image > 90] = np.nan
    image = image.astype(np.float32)
    means, mask = reduce_blocks(image, block), reduce_blocks(image > 50, block)
    for y in range(means.shape[0]):
        for x in range(means.shape[1]):
            part = image[y * block : (y + 1) * block, x * block : (x + 1) * block]
            good = part[np.isfinite(part)]
            expected = good.astype(float).mean() if good.size else np.nan
            np.testing.assert_allclose(means[y, x], expected, rtol=1e-6, atol=1e-30)
            assert mask[y, x] == (part > 50).any()
    assert means.dtype == np.float32
    assert means.shape == tuple(-(-n // block) for n in image.shape)


def test_a_hit_of_one_pixel_outranks_bad_and_reference_pixels():
    hits, usable = np.zeros((8, 8), bool), np.ones((8, 8), bool)
    reference = np.zeros((8, 8), bool)
    reference[0] = usable[0] = usable[2, 2] = usable[6, 6] = False
    reference[0] = True
    hits[3, 3] = True
    classes = pixel_classes(hits, usable=usable, reference=reference)
    assert [classes[0, 0], classes[2, 2], classes[3, 3], classes[7, 0]] == [
        REFERENCE,
        BAD,
        HIT,
        CLEAN,
    ]
    np.testing.assert_array_equal(reduce_blocks(classes, 4), [[HIT, REFERENCE], [CLEAN, BAD]])


@pytest.mark.parametrize(("detector", "corner"), [("DET11", (0, 0)), ("DET31", (-1, -1))])
def test_thumbnails_lie_as_on_the_focal_plane(detector, corner):
    image = np.full((32, 32), 1000, np.float32)
    image[0, 0] += 160
    classes = np.full((32, 32), CLEAN, np.uint8)
    classes[0, 0] = HIT
    small = make_thumbnail(
        detector, original=image, cleaned=image - 1, classes=classes, level=1000, size=8
    )
    assert small.block == 4
    assert small.classes[corner] == HIT
    assert small.original[corner] == 10  # 160 in one of 16 pixels
    assert small.cleaned[corner] == 9
    assert np.count_nonzero(small.classes) == np.count_nonzero(small.original) == 1


def test_thumbnails_leave_out_bad_and_reference_pixels():
    image = np.full((8, 8), 5, np.float32)
    image[0] = 9999
    classes = np.full((8, 8), CLEAN, np.uint8)
    classes[0] = REFERENCE
    classes[4:, 4:] = BAD
    small = make_thumbnail("DET22", original=image, cleaned=image, classes=classes, size=2)
    np.testing.assert_array_equal(small.original, [[5, 5], [5, np.nan]])


@pytest.fixture
def clusters():
    """Return signal, clusters and usable pixels: a long track and points of different size."""
    mask = np.zeros((60, 80), bool)
    mask[30, 20:50] = True
    mask[5, 5] = mask[10, 60] = mask[50, 70] = True
    mask[50, 10:12] = True
    signal = np.where(mask, np.float32(100), np.float32(1))
    signal[50, 10:12] = 300
    usable = np.ones(mask.shape, bool)
    usable[51, 70] = False
    found = find_clusters(mask, signal=signal, usable=usable)
    return signal, found, usable


def test_cutouts_are_squares_around_their_cluster(clusters):
    signal, found, usable = clusters
    cutouts = cut_clusters(
        signal, found.labels, found.columns, detector="DET12", usable=usable, margin=4
    )
    (track,) = [c for c in cutouts if c.shape_class == "track"]
    assert (track.x, track.y, track.n_pixels, track.total) == (34.5, 30, 30, 3000)
    assert track.signal.shape == (38, 38)
    np.testing.assert_array_equal(track.signal[track.mask], 100)
    assert track.mask.sum() == 30
    corner = min(cutouts, key=lambda c: c.y)
    assert corner.signal.shape == (9, 9)
    assert corner.mask[4, 4]


def test_cutouts_show_neither_bad_pixels_nor_anything_beyond_the_edge(clusters):
    signal, found, usable = clusters
    cutouts = cut_clusters(
        signal, found.labels, found.columns, detector="DET12", usable=usable, margin=20
    )
    (beside_bad,) = [c for c in cutouts if (c.x, c.y) == (70, 50)]
    assert beside_bad.signal.shape == (41, 41)  # of which rows 30 to 59, columns 50 to 79 exist
    hidden = np.ones((41, 41), bool)
    hidden[:30, :30] = False
    hidden[21, 20] = True
    np.testing.assert_array_equal(np.isnan(beside_bad.signal), hidden)
    assert beside_bad.mask[20, 20]
    assert beside_bad.rank == np.inf


def test_typical_is_near_the_median_and_largest_comes_first(clusters):
    signal, found, usable = clusters
    cutouts = cut_clusters(
        signal, found.labels, found.columns, detector="DET12", usable=usable, per_class=1
    )
    points = [c for c in cutouts if c.shape_class == "point"]
    assert [c.n_pixels for c in points] == [2, 1]
    assert points[0].rank > points[1].rank == 0  # two of three whole points are alike


def test_the_busiest_box_holds_most_hits():
    hits = np.zeros((100, 120), bool)
    hits[10, 10] = True
    hits[70:80, 100:110] = True
    rows, columns = busiest_box(hits, 32)
    assert hits[rows, columns].sum() == 100
    assert (rows.stop - rows.start, columns.stop - columns.start) == (32, 32)
    assert columns.stop <= 120


@pytest.mark.parametrize(("shape", "expected"), [((100, 120), (34, 44)), ((20, 10), (0, 0))])
def test_the_box_of_an_image_without_hits_is_its_middle(shape, expected):
    rows, columns = busiest_box(np.zeros(shape, bool), 32)
    assert (rows.start, columns.start) == expected
    assert (rows.stop, columns.stop) == tuple(
        min(first + 32, length) for first, length in zip(expected, shape, strict=True)
    )


def _frame(name, data):
    nothing = np.zeros(data.shape, bool)
    return DetectorFrame(name, data, missing=nothing, reference=nothing, saturated=nothing)


def test_a_sketch_of_a_detector_is_small_and_holds_its_hits():
    data = np.random.default_rng(2).normal(1000, 5, (512, 512)).astype(np.float32)
    data[100, 200] = data[300, 50:60] = 3000
    frame = _frame("DET44", data)
    sketch = sketch_detector(frame, analyse_detector(frame, options=AnalysisOptions()))
    small = sketch.thumbnail
    assert small.classes[(511 - 100) // 2, (511 - 200) // 2] == HIT
    assert abs(np.median(small.original)) < 0.5  # the offset is off
    assert {c.n_pixels for c in sketch.cutouts} == {1, 10}
    arrays = [small.original, small.cleaned, small.classes]
    arrays += [a for c in sketch.cutouts for a in (c.signal, c.mask)]
    assert sum(a.base.nbytes if a.base is not None else a.nbytes for a in arrays) < 2**20


def test_a_sketch_of_a_detector_that_could_not_be_searched_is_bad_everywhere():
    frame = _frame("DET21", np.full((64, 64), 1000, np.float32))
    analysis = analyse_detector(frame, options=AnalysisOptions())
    assert analysis.reason
    sketch = sketch_detector(frame, analysis)
    assert np.all(sketch.thumbnail.classes == BAD)
    assert np.all(np.isnan(sketch.thumbnail.original))
    assert sketch.cutouts == ()


def test_a_single_image_has_no_place_on_the_focal_plane():
    data = np.random.default_rng(2).normal(10, 5, (64, 64)).astype(np.float32)
    data[20, 20:30] = 3000
    frame = _frame("IMAGE", data)
    sketch = sketch_detector(frame, analyse_detector(frame, options=AnalysisOptions()))
    assert sketch.thumbnail is None
    assert len(sketch.cutouts) == 1
