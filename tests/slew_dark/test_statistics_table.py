"""Rates, fractions and errors: closed forms, and the scatter of many simulated exposures."""

import io

import numpy as np
import pytest
from astropy.stats import binom_conf_interval
from astropy.table import Table
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_allclose, assert_array_equal

from crsteps.cosmic_rays.clusters import find_clusters
from crsteps.detector.nisp import PIXEL_PITCH
from crsteps.simulation.cosmic_ray_tracks import TrackPopulation, deposit_charge, draw_tracks
from crsteps.simulation.slew_darks import TRUE_CHARGE, SlewDarkOptions, simulate_slew_dark
from crsteps.slew_dark.statistics import StatisticsOptions, detector_statistics, merge
from crsteps.slew_dark.statistics_table import COLUMNS, shape_rates, to_table

SHAPE = (9, 16)
OPTIONS = StatisticsOptions(integration_time=50.0, pixel_area_cm2=0.01, n_outputs=4)
detectors = hnp.arrays(bool, (2, 4, *SHAPE), elements=st.booleans())


def counted(mask, *, detector="DET11", options=OPTIONS, **planes):
    clusters = find_clusters(mask, signal=np.where(mask, 500.0, 0.0))
    return detector_statistics(clusters, detector=detector, options=options, **planes)


def table_of(*masks, **arguments):
    each = [counted(mask, detector=f"DET1{i}", **arguments) for i, mask in enumerate(masks, 1)]
    return to_table(merge(each))


def single_pixels(n, *, width=64):
    """Mask of n pixels that do not touch."""
    mask = np.zeros((64, width), dtype=bool)
    mask[::2, ::2].flat[:n] = True
    return mask


@settings(max_examples=30)
@given(detectors)
def test_channels_add_up_to_detectors_and_those_to_the_exposure(arrays):
    table = to_table(
        merge(
            [
                counted(
                    mask,
                    detector=f"DET1{i}",
                    usable=usable,
                    quality=flags,
                    quality_kind="bit",
                    truth=truth,
                )
                for i, (mask, usable, flags, truth) in enumerate(arrays)
            ]
        )
    )
    assert list(table["level"]) == ["exposure", *(["detector"] + ["channel"] * 4) * 2]
    additive = [name for name in table.colnames[3:] if table[name].dtype.kind == "i"]
    assert {"n_good", "n_clusters", "size_counts", "true_positives", "missed"} < set(additive)
    for name in [*additive, "exposure"]:
        values = np.asarray(table[name])
        for first in (1, 6):
            assert_allclose(values[first + 1 : first + 5].sum(axis=0), values[first])
        assert_allclose(values[1] + values[6], values[0])


def test_fractions_and_rates_are_what_they_are_called():
    mask = single_pixels(100)
    mask[60, 10:15] = True  # one cluster of five
    truth = mask.copy()
    truth[60, 13:20] = True  # two of it missed... and five more
    truth[60, 10:13] = False  # three of it false
    usable = np.ones(mask.shape, dtype=bool)
    usable[62:] = False
    row = table_of(mask, usable=usable, truth=truth)[1]
    good = 62 * 64
    assert row["n_good"] == good
    assert row["exposure"] == pytest.approx(good * 0.01 * 50)
    assert row["n_flagged"] == 105
    assert row["flagged_fraction"] == pytest.approx(105 / good)
    assert row["n_flagged_error"] == pytest.approx(np.sqrt(100 + 25))
    assert row["flagged_fraction_error"] == pytest.approx(np.sqrt(125) / good)
    assert row["n_clusters"] == 101
    assert row["hit_rate"] == pytest.approx(101 / (good * 0.5))
    assert row["hit_rate_error"] == pytest.approx(np.sqrt(101) / (good * 0.5))
    sizes = np.array([1] * 100 + [5])
    assert row["mean_cluster_size"] == pytest.approx(sizes.mean())
    assert row["mean_cluster_size_error"] == pytest.approx(sizes.std(ddof=1) / np.sqrt(101))
    assert row["multi_pixel_fraction"] == pytest.approx(1 / 101)
    assert (row["true_positives"], row["false_positives"], row["missed"]) == (102, 3, 5)
    assert row["precision"] == pytest.approx(102 / 105)
    assert row["recall"] == pytest.approx(102 / 107)
    assert row["f1"] == pytest.approx(2 * 102 / (105 + 107))


@pytest.mark.parametrize(("n_true", "n"), [(0, 30), (7, 30), (30, 30)])
def test_errors_of_single_pixels_are_those_of_wilson(n_true, n):
    mask, truth = single_pixels(n), single_pixels(n_true)
    low, high = binom_conf_interval(n_true, n, confidence_level=0.6826894921, interval="wilson")
    row = table_of(mask, truth=truth)[1]
    assert row["precision"] == pytest.approx(n_true / n)
    assert row["precision_error"] == pytest.approx((high - low) / 2)
    row = table_of(truth, truth=mask)[1]
    assert row["recall_error"] == pytest.approx((high - low) / 2)


def test_error_of_the_fraction_of_clusters_is_that_of_wilson():
    mask = single_pixels(40)
    mask[1, 20:44:4] = True  # six of the first row get a second pixel below
    low, high = binom_conf_interval(6, 40, confidence_level=0.6826894921, interval="wilson")
    row = table_of(mask)[1]
    assert row["multi_pixel_fraction"] == 6 / 40
    assert row["multi_pixel_fraction_error"] == pytest.approx((high - low) / 2)


def test_what_has_nothing_to_be_divided_by_is_nan():
    none = np.zeros(SHAPE, dtype=bool)
    row = table_of(none, usable=none, quality=none, quality_kind="bit", truth=none)[1]
    unknown = {name for name in row.colnames if row[name].dtype.kind == "f" and np.isnan(row[name])}
    floats = {name for name in row.colnames if row[name].dtype.kind == "f"}
    assert floats - unknown == {"exposure", "n_flagged_error"}
    assert (row["exposure"], row["n_flagged_error"]) == (0, 1)


def test_no_hit_in_good_pixels_is_a_rate_of_zero():
    row = table_of(np.zeros(SHAPE, dtype=bool))[1]
    assert row["hit_rate"] == row["flagged_fraction"] == 0
    assert row["hit_rate_error"] == pytest.approx(1 / (144 * 0.5))
    assert np.isnan(row["mean_cluster_size"])
    assert np.isnan(row["ours_flagged_onboard"])  # no quality plane


@pytest.mark.parametrize("missing", ["integration_time", "pixel_area_cm2"])
def test_without_time_or_area_there_is_no_rate(missing):
    known = {"integration_time": 50.0, "pixel_area_cm2": 0.01, "n_outputs": 4} | {missing: None}
    row = table_of(np.eye(16, dtype=bool), options=StatisticsOptions(**known))[1]
    assert np.isnan(row["exposure"])
    assert np.isnan(row["hit_rate"])
    assert np.isnan(row["hit_rate_error"])
    assert row["flagged_fraction"] == 1 / 16


def test_agreement_with_the_onboard_flags_goes_both_ways():
    mask, flags = single_pixels(10), single_pixels(40)
    row = table_of(mask, quality=flags, quality_kind="bit")[1]
    assert (row["n_onboard"], row["n_onboard_and_ours"]) == (40, 10)
    assert (row["ours_flagged_onboard"], row["onboard_flagged_by_us"]) == (1, 0.25)


def test_the_table_explains_itself_and_survives_ecsv():
    mask = np.eye(16, dtype=bool)
    table = table_of(mask, mask[::-1], quality=mask.astype(np.uint8) * 99, quality_kind="chi2")
    assert not {"precision", "true_positives"} & set(table.colnames)
    assert [name for name in COLUMNS if name in table.colnames] == table.colnames
    assert all(column.description for column in table.itercols())
    assert table["hit_rate"].unit.to_string() == "1 / (s cm2)"
    assert table.meta["ONBOARD"] == "quality factor > 49"
    for name in ("size", "intensity"):
        edges = table.meta[f"{name.upper()}_EDGES"]
        assert len(edges) == table[f"{name}_counts"].shape[1] + 1
        assert_array_equal(table[f"{name}_counts"].sum(axis=1), table["n_clusters"])
    text = io.StringIO()
    table.write(text, format="ascii.ecsv")
    again = Table.read(text.getvalue(), format="ascii.ecsv")
    assert again.colnames == table.colnames
    assert again.meta == table.meta
    assert_array_equal(again["size_counts"], table["size_counts"])
    assert again["hit_rate"].description == table["hit_rate"].description


def test_truth_of_some_detectors_is_counted_for_them():
    mask = np.eye(16, dtype=bool)
    table = to_table(merge([counted(mask, truth=mask), counted(mask, detector="DET12")]))
    assert table["true_positives"][0] == 16
    assert table["precision"][0] == 1
    assert np.isnan(table["precision"][table["detector"] == "DET12"]).all()


def test_rates_of_shapes_are_those_of_the_table():
    mask = np.zeros((30, 16), dtype=bool)
    mask[2, 2] = mask[5:13, 3] = mask[15:22, 5:12] = True
    exposure = merge([counted(mask)])
    rates = shape_rates(exposure)
    area_time = 480 * 0.01 * 50
    assert rates["point"] == pytest.approx((1 / area_time, 1 / area_time))
    assert [rates[name][0] * area_time for name in rates] == pytest.approx([1, 1, 0, 1])
    assert list(rates) == ["point", "track", "worm", "blob"]
    row = to_table(exposure)[0]
    assert sum(rate for rate, _ in rates.values()) == pytest.approx(row["hit_rate"])


def test_the_rate_of_simulated_hits_is_found():
    options = SlewDarkOptions(shape=(1024, 1024), persistence=False)
    dark = simulate_slew_dark(options, seed=1)
    usable = np.zeros(dark.bad.shape, dtype=bool)
    usable[4:-4, 4:-4] = True
    based_on = StatisticsOptions(
        integration_time=options.readout.exposure_time, pixel_area_cm2=PIXEL_PITCH**2
    )
    row = table_of((dark.charge > TRUE_CHARGE) & usable, usable=usable, options=based_on)[1]
    assert row["hit_rate_error"] / row["hit_rate"] < 0.04
    assert row["hit_rate"] == pytest.approx(options.rate, abs=2.5 * row["hit_rate_error"])


def simulated_row(rng, size=200):
    """Statistics of hits of which some are missed as a whole, some in part, and some are false."""
    n = rng.poisson(45)
    population = TrackPopulation(longest=25.0)
    tracks = draw_tracks(max(n, 1), rng, population=population)
    place = rng.uniform(0, size, (2, tracks.n_tracks))
    charge = deposit_charge(tracks, *place, shape=(size, size))
    truth = charge > 21
    hit = find_clusters(truth, signal=charge)
    seen = np.concatenate([[False], rng.random(hit.n_clusters) < 0.85])[hit.labels]
    noisy = charge * seen + rng.normal(0, 7, truth.shape)
    mask = (noisy > 24) | (rng.random(truth.shape) < 2e-4)
    flags = (truth & (charge > 60)) | (rng.random(truth.shape) < 1e-4)
    return table_of(mask, truth=truth, quality=flags, quality_kind="bit")[1]


def test_errors_are_the_scatter_of_repeated_exposures():
    rng = np.random.default_rng(5)
    rows = [simulated_row(rng) for _ in range(150)]
    for name in (
        "n_flagged",
        "flagged_fraction",
        "hit_rate",
        "mean_cluster_size",
        "multi_pixel_fraction",
        "ours_flagged_onboard",
        "onboard_flagged_by_us",
        "precision",
        "recall",
        "f1",
    ):
        scatter = np.std([row[name] for row in rows], ddof=1)
        error = np.sqrt(np.mean([row[f"{name}_error"] ** 2 for row in rows]))
        # The scatter of 150 values is known to 6 %, that of skewed ones less well.
        assert error == pytest.approx(scatter, rel=0.2), name
