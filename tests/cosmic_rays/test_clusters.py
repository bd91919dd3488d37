"""Clusters against skimage's regionprops, against neighbours written out, and by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_allclose, assert_array_equal
from skimage.measure import label, regionprops_table

from crsteps.cosmic_rays.clusters import COLUMNS, find_clusters
from crsteps.cosmic_rays.hysteresis import dilate
from crsteps.simulation.cosmic_ray_tracks import deposit_charge, draw_tracks

SAME = {  # ours: skimage's
    "cluster": "label",
    "x": "centroid-1",
    "y": "centroid-0",
    "x_weighted": "centroid_weighted-1",
    "y_weighted": "centroid_weighted-0",
    "x_min": "bbox-1",
    "y_min": "bbox-0",
    "n_pixels": "area",
    "peak": "intensity_max",
    "major_axis": "axis_major_length",
    "minor_axis": "axis_minor_length",
}
PROPERTIES = {name.split("-")[0] for name in SAME.values()}
PROPERTIES |= {"orientation", "eccentricity", "intensity_mean"}

shapes = st.tuples(st.integers(1, 7), st.integers(1, 9))
masks = hnp.arrays(bool, shapes, elements=st.booleans())
triples = shapes.flatmap(
    lambda shape: st.tuples(*[hnp.arrays(bool, shape, elements=st.booleans())] * 3)
)


def hits(seed=1, size=200, n_tracks=60):
    """Charge of simulated cosmic rays, some cut by the edges."""
    rng = np.random.default_rng(seed)
    tracks = draw_tracks(n_tracks, rng)
    return deposit_charge(tracks, *rng.uniform(0, size, (2, n_tracks)), shape=(size, size))


def assert_equal_to_skimage(mask, signal):
    clusters = find_clusters(mask, signal=signal)
    assert_array_equal(clusters.labels, label(mask, connectivity=2))
    if not mask.any():
        assert clusters.n_clusters == 0
        return
    theirs = regionprops_table(clusters.labels, signal, properties=PROPERTIES)
    ours = clusters.columns
    for mine, other in SAME.items():
        # the minor axis of a line is exactly 0 here, there the root of a rounding error
        assert_allclose(ours[mine], theirs[other], rtol=1e-9, atol=1e-6, err_msg=mine)
    assert_array_equal(ours["x_max"] + 1, theirs["bbox-3"])
    assert_array_equal(ours["y_max"] + 1, theirs["bbox-2"])
    assert_allclose(ours["total"], theirs["intensity_mean"] * theirs["area"], rtol=1e-9)
    defined = ~np.isnan(ours["orientation"])
    # the two ends of an axis along x are both right
    turn = ours["orientation"][defined] - theirs["orientation"][defined]
    assert_allclose(np.sin(turn), 0, atol=1e-7)
    ratio = ours["minor_axis"][defined] / ours["major_axis"][defined]
    assert_allclose(np.sqrt(1 - ratio**2), theirs["eccentricity"][defined], atol=1e-6)
    assert_allclose(theirs["eccentricity"][~defined], 0, atol=1e-6)


def test_columns_are_those_of_skimage():
    charge = hits()
    assert_equal_to_skimage(charge > 21, charge)


@given(masks)
def test_any_mask_gives_the_columns_of_skimage(mask):
    signal = np.random.default_rng(mask.sum()).uniform(1, 100, mask.shape)
    assert_equal_to_skimage(mask, signal)


def test_one_cluster_of_a_whole_image():
    assert_equal_to_skimage(np.ones((300, 400), dtype=bool), hits(size=400)[:300] + 1)


@given(masks)
def test_pixels_are_those_of_the_labels(mask):
    clusters = find_clusters(mask, signal=mask.astype(float))
    index, offsets = clusters.pixels()
    assert (offsets[0], offsets[-1]) == (0, mask.sum())
    for number in range(1, clusters.n_clusters + 1):
        pixels = index[offsets[number - 1] : offsets[number]]
        assert_array_equal(pixels, np.flatnonzero(clusters.labels == number))
    assert_array_equal(np.diff(offsets), clusters.columns["n_pixels"])


@given(triples)
def test_contacts_are_those_of_dilated_masks(triple):
    mask, bad, reference = triple
    clusters = find_clusters(
        mask, signal=mask.astype(float), usable=~(bad | reference), reference=reference
    )
    outside = dilate(np.pad(reference, 1, constant_values=True), 1)[1:-1, 1:-1]
    beside_bad = dilate(bad & ~reference, 1)
    for number in range(1, clusters.n_clusters + 1):
        pixels = clusters.labels == number
        assert clusters.columns["touches_edge"][number - 1] == (pixels & outside).any()
        assert clusters.columns["touches_bad"][number - 1] == (pixels & beside_bad).any()


@pytest.mark.parametrize("reference_width", [0, 2])
def test_edge_is_that_of_the_light_sensitive_area(reference_width):
    width = reference_width
    ny, nx = 12, 15
    reference = np.ones((ny, nx), dtype=bool)
    reference[width : ny - width, width : nx - width] = False
    for y in range(width, ny - width):
        for x in range(width, nx - width):
            mask = np.zeros((ny, nx), dtype=bool)
            mask[y, x] = True
            columns = find_clusters(
                mask, signal=np.ones((ny, nx)), usable=~reference, reference=reference
            ).columns
            on_edge = y in (width, ny - 1 - width) or x in (width, nx - 1 - width)
            assert columns["touches_edge"][0] == on_edge
            assert not columns["touches_bad"][0]


def test_single_pixel():
    mask = np.zeros((5, 6), dtype=bool)
    mask[2, 3] = True
    columns = find_clusters(
        mask, signal=np.full(mask.shape, 7.0), quality=np.full(mask.shape, 33, dtype=np.uint8)
    ).columns
    assert list(columns) == list(COLUMNS)
    values = {name: column[0] for name, column in columns.items()}
    assert np.isnan(values.pop("orientation"))
    assert values == {
        "cluster": 1,
        "x": 3,
        "y": 2,
        "x_weighted": 3,
        "y_weighted": 2,
        "x_min": 3,
        "x_max": 3,
        "y_min": 2,
        "y_max": 2,
        "n_pixels": 1,
        "peak": 7,
        "total": 7,
        "quality_peak": 33,
        "major_axis": 0,
        "minor_axis": 0,
        "elongation": 1,
        "shape": "point",
        "touches_edge": False,
        "touches_bad": False,
    }


@pytest.mark.parametrize("n_pixels", [2, 3, 8])
def test_elongation_of_a_row_is_its_length(n_pixels):
    mask = np.zeros((3, 12), dtype=bool)
    mask[1, 2 : 2 + n_pixels] = True
    for image, angle in ((mask, np.pi / 2), (mask.T, 0)):
        columns = find_clusters(image, signal=image.astype(float)).columns
        assert columns["elongation"][0] == pytest.approx(n_pixels)
        assert columns["orientation"][0] == angle
        assert columns["minor_axis"][0] == 0


def test_orientation_turns_from_y_to_x():
    rising = np.eye(5, dtype=bool)  # y grows with x
    for mask, angle in ((rising, np.pi / 4), (rising[::-1], -np.pi / 4)):
        columns = find_clusters(mask, signal=mask.astype(float)).columns
        assert columns["orientation"][0] == pytest.approx(angle)


def test_negative_signal_lowers_the_total_and_does_not_pull_the_centroid():
    mask = np.ones((1, 3), dtype=bool)
    columns = find_clusters(mask, signal=np.array([[10.0, 30.0, -8.0]])).columns
    assert columns["total"][0] == 32
    assert columns["peak"][0] == 30
    assert columns["x_weighted"][0] == pytest.approx(0.75)


def test_without_positive_signal_there_is_no_weighted_centroid():
    columns = find_clusters(np.ones((1, 2), dtype=bool), signal=np.array([[-1.0, 0.0]])).columns
    assert np.isnan(columns["x_weighted"][0])
    assert np.isnan(columns["y_weighted"][0])
    assert (columns["total"][0], columns["peak"][0], columns["x"][0]) == (-1, 0, 0.5)


def test_pixels_without_signal_count_as_pixels_alone():
    mask = np.array([[True, True, False, True]])
    signal = np.array([[5.0, np.inf, 1.0, np.nan]], dtype=np.float32)
    columns = find_clusters(mask, signal=signal).columns
    assert_array_equal(columns["n_pixels"], [2, 1])
    assert_array_equal(columns["total"], [5, np.nan])
    assert_array_equal(columns["peak"], [5, np.nan])
    assert_array_equal(columns["x_weighted"], [0, np.nan])
    assert_array_equal(columns["quality_peak"], [np.nan, np.nan])


@pytest.mark.parametrize("shape", [(4, 5), (0, 5), (4, 0)])
def test_no_flagged_pixel_gives_no_cluster(shape):
    mask = np.zeros(shape, dtype=bool)
    clusters = find_clusters(
        mask, signal=np.zeros(shape), quality=np.zeros(shape), usable=~mask, reference=mask
    )
    assert clusters.n_clusters == 0
    assert clusters.labels.shape == shape
    assert clusters.pixels()[0].size == 0
    some = find_clusters(np.ones((2, 2), dtype=bool), signal=np.ones((2, 2))).columns
    assert {name: column.shape for name, column in clusters.columns.items()} == dict.fromkeys(
        some, (0,)
    )
    kinds = {name: column.dtype.kind for name, column in some.items()}
    assert {name: column.dtype.kind for name, column in clusters.columns.items()} == kinds


def test_arguments_are_not_modified():
    charge = hits()
    mask, quality = charge > 21, (charge > 80).astype(np.uint8)
    arguments = {"signal": charge, "quality": quality, "usable": ~mask, "reference": mask}
    before = {name: plane.copy() for name, plane in {"mask": mask, **arguments}.items()}
    find_clusters(mask, **arguments)
    for name, plane in {"mask": mask, **arguments}.items():
        assert_array_equal(plane, before[name])


@pytest.mark.parametrize(
    ("mask", "signal", "message"),
    [
        (np.ones((2, 2)), np.ones((2, 2)), "mask must be .* of bool"),
        (np.ones(4, dtype=bool), np.ones(4), "two-dimensional"),
        (np.ones((2, 2), dtype=bool), np.ones((2, 3)), r"signal has the shape \(2, 3\)"),
    ],
)
def test_wrong_arrays_are_refused(mask, signal, message):
    with pytest.raises(ValueError, match=message):
        find_clusters(mask, signal=signal)
