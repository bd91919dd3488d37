"""Analysis of one detector: flags, companions, columns and counts against drawn hits."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crsteps.cosmic_rays.clusters import COLUMNS as CLUSTER_COLUMNS
from crsteps.detector.nisp import focal_plane_position
from crsteps.slew_dark.analysis import (
    COLUMNS,
    DO_NOT_USE,
    JUMP_DET,
    NON_SCIENCE,
    SATURATED,
    AnalysisOptions,
    DetectorFrame,
    analyse_detector,
)
from crsteps.slew_dark.detection import DetectionOptions
from crsteps.slew_dark.statistics import StatisticsOptions, merge
from crsteps.slew_dark.statistics_table import to_table

SHAPE = (72, 64)
LEVEL, NOISE, CHARGE = 1024.0, 4.0, 500.0
TRACK = (np.array([30, 31, 32, 33]), np.array([20, 21, 22, 23]))
POINT = (np.array([60]), np.array([50]))
OPTIONS = AnalysisOptions(
    detection=DetectionOptions(n_outputs=4),
    statistics=StatisticsOptions(
        integration_time=100.0, pixel_area_cm2=(18e-4) ** 2, n_outputs=4, electrons_per_adu=1.95
    ),
)


def frame(name="DET32", **known):
    """Return noise on a level with a track and a point that have a quality factor, and no other."""
    data = np.random.default_rng(8).normal(LEVEL, NOISE, SHAPE).astype(np.float32)
    quality = np.zeros(SHAPE, np.uint8)
    for hit in (TRACK, POINT):
        data[hit] = LEVEL + CHARGE
        quality[hit] = 255
    nothing = np.zeros(SHAPE, bool)
    planes = {
        "missing": nothing,
        "reference": nothing,
        "saturated": nothing,
        "quality": quality,
        "quality_kind": "chi2",
    }
    return DetectorFrame(name=name, data=data, **{**planes, **known})


def hit_mask():
    """Return the mask of both hits."""
    mask = np.zeros(SHAPE, bool)
    mask[TRACK] = mask[POINT] = True
    return mask


def only(*pixels):
    """Return a mask of some pixels."""
    mask = np.zeros(SHAPE, bool)
    for pixel in pixels:
        mask[pixel] = True
    return mask


def test_hits_are_found_cleaned_and_measured():
    given = frame(truth=hit_mask())
    before = given.data.copy()
    result = analyse_detector(given, options=OPTIONS)
    np.testing.assert_array_equal(given.data, before)
    mask = hit_mask()
    assert result.dq.dtype == np.uint16
    np.testing.assert_array_equal(result.dq, np.where(mask, JUMP_DET | DO_NOT_USE, 0))
    np.testing.assert_array_equal(result.cleaned[~mask], given.data[~mask])
    assert np.abs(result.cleaned[mask] - LEVEL).max() < 2 * NOISE
    assert result.offset == pytest.approx(LEVEL, abs=1)
    assert result.noise == pytest.approx(NOISE, rel=0.1)
    assert result.used_quality == "chi2"
    columns = result.clusters.columns
    assert set(columns) == {*CLUSTER_COLUMNS, *COLUMNS}
    np.testing.assert_array_equal(columns["n_pixels"], [4, 1])
    np.testing.assert_allclose(columns["total"], [4 * CHARGE, CHARGE], rtol=0.02)
    np.testing.assert_allclose(columns["total_electrons"], 1.95 * columns["total"])
    np.testing.assert_allclose(columns["peak_electrons"], 1.95 * columns["peak"])
    np.testing.assert_array_equal(columns["channel"], [21.5 // 16, 50 // 16])
    x_mm, y_mm = focal_plane_position("DET32", np.array([21.5, 50]), [31.5, 60], shape=SHAPE)
    np.testing.assert_allclose(columns["x_mm"], x_mm)
    np.testing.assert_allclose(columns["y_mm"], y_mm)


def test_counts_are_those_of_the_hits():
    missed = only((5, 5))
    result = analyse_detector(frame(truth=hit_mask() | missed), options=OPTIONS)
    exposure = to_table(merge([result.statistics]))[0]
    area = np.prod(SHAPE) * (18e-4) ** 2
    assert exposure["n_clusters"] == 2
    assert exposure["hit_rate"] == pytest.approx(2 / (area * 100.0))
    assert exposure["n_flagged"] == exposure["true_positives"] == 5
    assert exposure["precision"] == 1
    assert exposure["recall"] == pytest.approx(5 / 6)


def test_every_flag_has_its_cause():
    reference = np.zeros(SHAPE, bool)
    reference[:2] = True
    given = frame(
        missing=only((40, 40)),
        reference=reference,
        bad=only((41, 10), (31, 21)),
        saturated=only((60, 50), (10, 10)),
    )
    dq = analyse_detector(given, options=OPTIONS).dq
    assert np.all(dq[reference] == NON_SCIENCE | DO_NOT_USE)
    assert dq[40, 40] == dq[41, 10] == dq[31, 21] == DO_NOT_USE
    assert dq[60, 50] == SATURATED | JUMP_DET | DO_NOT_USE
    assert dq[10, 10] == SATURATED | DO_NOT_USE
    assert dq[30, 20] == JUMP_DET | DO_NOT_USE
    assert np.count_nonzero(dq) == reference.sum() + 3 + 2 + 3


@pytest.mark.parametrize("value", [np.nan, 0.0, -1.0, np.inf])
def test_a_pixel_without_noise_is_not_used(value):
    noise = np.full(SHAPE, NOISE, np.float32)
    noise[POINT] = value
    result = analyse_detector(frame(noise=noise), options=OPTIONS)
    assert result.dq[60, 50] == DO_NOT_USE
    assert result.clusters.n_clusters == 1
    assert result.noise == pytest.approx(NOISE)


def test_a_master_dark_takes_off_what_is_constant():
    """Without a quality plane a hot pixel is flagged, but not with its dark current known."""
    hot = np.zeros(SHAPE, np.float32)
    hot[12, 13] = 300.0
    given = frame(quality=None, quality_kind=None)
    data = given.data + hot
    known = {**vars(given), "data": data}
    assert analyse_detector(DetectorFrame(**known), options=OPTIONS).clusters.n_clusters == 3
    result = analyse_detector(DetectorFrame(**{**known, "master_dark": hot}), options=OPTIONS)
    assert result.clusters.n_clusters == 2
    assert result.used_quality == "none"
    assert result.cleaned[12, 13] == data[12, 13]
    hot[POINT] = np.nan
    result = analyse_detector(DetectorFrame(**{**known, "master_dark": hot}), options=OPTIONS)
    assert result.dq[60, 50] == DO_NOT_USE


@pytest.mark.parametrize(
    ("known", "reason"),
    [
        ({"missing": np.ones(SHAPE, bool)}, "no usable pixel"),
        ({"data": np.full(SHAPE, 3.5, np.float32)}, "all usable pixels are 3.5"),
    ],
)
def test_nothing_can_be_said(known, reason):
    given = DetectorFrame(**{**vars(frame()), **known})
    result = analyse_detector(given, options=OPTIONS)
    assert result.reason == reason
    np.testing.assert_array_equal(result.dq, DO_NOT_USE)
    np.testing.assert_array_equal(result.cleaned, given.data)
    assert result.clusters.n_clusters == 0
    assert to_table(merge([result.statistics]))[0]["n_good"] == 0


def test_a_single_image_has_no_place_on_the_focal_plane():
    columns = analyse_detector(frame(name="IMAGE"), options=OPTIONS).clusters.columns
    assert np.all(np.isnan([columns["x_mm"], columns["y_mm"]]))


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, SHAPE[0] - 1), st.integers(0, SHAPE[1] - 1)), max_size=30),
    st.sampled_from(["hybrid", "significance"]),
)
def test_flags_clusters_and_counts_agree(bad, detector):
    """Whatever pixels are bad: every flagged pixel is in one cluster, none is bad."""
    detection = DetectionOptions(detector=detector, n_outputs=4)
    options = AnalysisOptions(detection=detection, statistics=OPTIONS.statistics)
    result = analyse_detector(frame(bad=only(*bad)), options=options)
    flagged = (result.dq & JUMP_DET) != 0
    np.testing.assert_array_equal(result.clusters.labels > 0, flagged)
    np.testing.assert_array_equal(np.flatnonzero(flagged), np.sort(result.clusters.index))
    assert result.clusters.columns["n_pixels"].sum() == flagged.sum()
    assert result.statistics.counts["n_flagged"].sum() == flagged.sum()
    assert not np.any(flagged & only(*bad))
    assert np.all((result.dq[flagged] & DO_NOT_USE) != 0)
