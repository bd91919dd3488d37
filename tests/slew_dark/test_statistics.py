"""Counts per channel, detector and exposure: against counting by hand, and adding up."""

from dataclasses import asdict, fields, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_array_equal
from skimage.measure import label

from crsteps.cosmic_rays.clusters import find_clusters
from crsteps.slew_dark.statistics import (
    INTENSITY_EDGES,
    SIZE_EDGES,
    AgreementSums,
    StatisticsOptions,
    detector_statistics,
    merge,
)

SHAPE = (9, 16)
FOUR = StatisticsOptions(n_outputs=4)
PRODUCTS = [field.name for field in fields(AgreementSums)[6:]]
planes = hnp.arrays(bool, (4, *SHAPE), elements=st.booleans())


def statistics(mask, *, detector="DET11", options=FOUR, **planes):
    clusters = find_clusters(mask, signal=np.where(mask, 50.0, 0.0))
    return detector_statistics(clusters, detector=detector, options=options, **planes)


def image(*rows):
    return np.array([[character == "#" for character in row] for row in rows])


@given(planes)
def test_pixels_are_those_of_each_channel(four):
    mask, usable, flags, truth = four
    counted = statistics(
        mask, usable=usable, quality=flags.astype(np.uint8), quality_kind="bit", truth=truth
    )
    for channel in range(4):
        columns = np.s_[:, 4 * channel : 4 * channel + 4]
        good = usable[columns]
        ours = mask[columns] & good
        assert counted.counts["n_good"][channel] == good.sum()
        assert counted.counts["n_flagged"][channel] == ours.sum()
        for sums, other in ((counted.onboard, flags), (counted.truth, truth)):
            assert sums.n_ours[channel] == ours.sum()
            assert sums.n_other[channel] == (other[columns] & good).sum()
            assert sums.n_both[channel] == (other[columns] & ours).sum()


@given(planes)
def test_products_are_sums_over_groups(four):
    mask, usable, _, truth = four
    sums = statistics(mask, usable=usable, truth=truth).truth
    ours, other = mask & usable, truth & usable
    groups = label(ours | other, connectivity=2)
    size = {"ours": ours, "other": other, "both": ours & other}
    numbers = range(1, groups.max() + 1)
    for name, pixels in (("groups_ours", ours), ("groups_other", other), ("groups", ours | other)):
        assert getattr(sums, name).sum() == len(set(groups[pixels]))
    for name in PRODUCTS:
        first, second = name.split("_")
        expected = sum(
            size[first][groups == group].sum() * size[second][groups == group].sum()
            for group in numbers
        )
        assert getattr(sums, name).sum() == expected, name


@given(planes)
def test_clusters_are_counted_once_each(four):
    mask = four[0]
    clusters = find_clusters(mask, signal=np.where(mask, 50.0, 0.0))
    counts = detector_statistics(clusters, options=FOUR).counts
    size = clusters.columns["n_pixels"]
    shape = clusters.columns["shape"]
    total = {name: values.sum(axis=0) for name, values in counts.items()}
    assert total["n_clusters"] == clusters.n_clusters == total["size_counts"].sum()
    assert total["n_multi"] == (size > 1).sum()
    assert total["n_edge"] == clusters.columns["touches_edge"].sum()
    assert total["cluster_pixels"] == mask.sum() == total["n_flagged"]
    assert total["cluster_pixels_squared"] == (size**2).sum()
    for name in ("point", "track", "worm", "blob"):
        assert total[f"n_{name}"] == (shape == name).sum()
    assert_array_equal(total["size_counts"], np.histogram(size, SIZE_EDGES)[0])
    assert_array_equal(
        total["intensity_counts"], np.histogram(clusters.columns["total"], INTENSITY_EDGES)[0]
    )


def test_a_cluster_counts_where_its_centroid_is():
    # columns 3 to 5 of channels of four: the centroid, 4, is in the second
    mask = image("................", "...###..........", "................")
    counts = statistics(mask).counts
    assert_array_equal(counts["n_flagged"], [1, 2, 0, 0])
    assert_array_equal(counts["n_clusters"], [0, 1, 0, 0])
    assert_array_equal(counts["cluster_pixels"], [0, 3, 0, 0])
    assert_array_equal(counts["size_counts"][1], [0, 0, 1, *[0] * 9])


def test_intensities_are_electrons_and_have_open_bins():
    mask = np.eye(12, dtype=bool)[::2]  # six single pixels
    values = np.array([-5.0, 4.99, 5.0, 49.99, 6e5, np.nan])
    signal = mask * np.where(np.isnan(values), np.nan, values)[:, np.newaxis]
    clusters = find_clusters(mask, signal=signal)
    options = StatisticsOptions(n_outputs=1, electrons_per_adu=2.0)
    counts = detector_statistics(clusters, options=options).counts["intensity_counts"][0]
    assert counts.sum() == 5  # without the one that has no signal
    assert counts[0] == 2  # below 10 e-
    assert counts[1] == 1  # 10 e- and above
    assert counts[INTENSITY_EDGES.index(100.0) - 1] == 1
    assert counts[-1] == 1  # above 1e6


def test_the_quality_factor_is_cut_and_a_bit_is_not():
    mask = image("#####")
    quality = np.array([[0, 1, 49, 50, 255]], dtype=np.uint8)
    options = StatisticsOptions(n_outputs=1)
    chi2 = statistics(mask, quality=quality, quality_kind="chi2", options=options)
    assert chi2.onboard.n_both[0] == 2
    assert chi2.criterion == "quality factor > 49"
    lower = replace(options, onboard_threshold=25.5)
    chi2 = statistics(mask, quality=quality, quality_kind="chi2", options=lower)
    assert chi2.onboard.n_both[0] == 3
    bit = statistics(mask, quality=quality, quality_kind="bit", options=options)
    assert bit.onboard.n_both[0] == 4
    assert bit.criterion == "bit set"


def test_nothing_to_compare_with():
    counted = statistics(image("##..", "...."))
    assert counted.truth is None
    assert counted.criterion == "no quality plane"
    assert not any(values.any() for values in asdict(counted.onboard).values())


def test_without_flagged_or_good_pixels_everything_is_counted_as_none():
    none = np.zeros(SHAPE, dtype=bool)
    counted = statistics(none, usable=none, quality=none, quality_kind="bit", truth=none)
    assert not any(values.any() for values in counted.counts.values())
    assert counted.counts["size_counts"].shape == (4, len(SIZE_EDGES) - 1)
    assert not any(values.any() for values in asdict(counted.truth).values())


def test_totals_add_up_the_detectors():
    rng = np.random.default_rng(1)
    masks = rng.random((3, *SHAPE)) < 0.2
    exposure = merge([statistics(mask, detector=f"DET1{i}") for i, mask in enumerate(masks)])
    totals = exposure.totals()
    assert totals["n_flagged"] == masks.sum()
    assert totals["n_good"] == masks.size
    assert totals["size_counts"].sum() == totals["n_clusters"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"usable": np.ones((2, 2), dtype=bool)}, "usable has the shape"),
        ({"truth": np.ones((2, 2), dtype=bool)}, "truth has the shape"),
        ({"quality": np.zeros(SHAPE)}, "quality_kind must be 'chi2' or 'bit', got None"),
    ],
)
def test_wrong_planes_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        statistics(np.ones(SHAPE, dtype=bool), **arguments)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"integration_time": 0.0}, "integration_time must be positive"),
        ({"pixel_area_cm2": np.nan}, "pixel_area_cm2 must be positive and finite"),
        ({"electrons_per_adu": -1.0}, "electrons_per_adu must be positive"),
        ({"n_outputs": 0}, "n_outputs must be at least 1"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        StatisticsOptions(**options)


def test_only_detectors_of_one_exposure_are_merged():
    one = statistics(image("#..."))
    other = statistics(image("#..."), detector="DET12", options=StatisticsOptions(n_outputs=2))
    with pytest.raises(ValueError, match="no detector"):
        merge([])
    with pytest.raises(ValueError, match="given twice: DET11, DET11"):
        merge([one, one])
    with pytest.raises(ValueError, match="different options"):
        merge([one, other])
