"""The benchmark of slew darks says of known masks, equal calls and known costs what they are."""

import importlib
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from crsteps.simulation.slew_darks import SlewDarkOptions, simulate_slew_dark

NAMES = (
    "measured_process",
    "slew_dark_cases",
    "slew_dark_costs",
    "slew_dark_tables",
    "run_astroscrappy",
    "benchmark_slew_dark",
    "slew_dark_in_process",
)
SMALL = SlewDarkOptions(shape=(200, 232), rate=20.0, bad_fraction=0.01)


@pytest.fixture(scope="module")
def modules():
    """Return the modules beside the scripts, which lie in no package."""
    sys.path.insert(0, str(Path(__file__).parent))
    yield {name: importlib.import_module(name) for name in NAMES}
    sys.path.remove(str(Path(__file__).parent))
    for name in NAMES:
        del sys.modules[name]


@pytest.fixture
def cases(modules):
    return modules["slew_dark_cases"]


@pytest.fixture
def tables(modules):
    return modules["slew_dark_tables"]


@pytest.fixture(scope="module")
def dark():
    return simulate_slew_dark(SMALL, seed=1)


def cells(lines):
    """Return the cells of the rows of a table, without heading and rule."""
    return [[cell.strip() for cell in line.split("|")[1:]] for line in list(lines)[2:]]


def test_the_truth_is_right_and_its_complement_wrong(cases, dark):
    perfect = cases.score(dark.truth, dark)
    assert (perfect.precision, perfect.recall, perfect.f1) == (1, 1, 1)
    wrong = cases.score(~dark.truth, dark)
    assert (wrong.precision, wrong.recall, wrong.f1) == (0, 0, 0)
    # what is bad or in the border counts for nothing
    assert wrong.false + wrong.missed == (200 - 8) * (232 - 8) - dark.bad.sum()
    nothing = cases.score(np.zeros_like(dark.bad), dark)
    assert np.isnan(nothing.precision)
    assert nothing.recall == 0


def test_every_method_finds_most_hits(cases, dark):
    """Those with one bit need a dark that has one."""
    bit = simulate_slew_dark(replace(SMALL, quality="bit"), seed=1)
    for name, method in cases.METHODS.items():
        given = bit if method.simulated_quality == "bit" else dark
        counts = cases.score(cases.find_with(method, given), given)
        assert counts.recall > 0.6, name
        assert counts.precision > 0.3, name


def test_thresholds_are_what_they_are_called(cases, dark):
    find, methods = cases.find_with, cases.METHODS
    np.testing.assert_array_equal(find(methods["quality factor > 49"], dark), dark.quality > 49)
    signal = (dark.data.astype(float) - 1024 - dark.dark) / dark.noise
    found = find(methods["5 sigma, true noise and dark"], dark)
    sure = np.abs(signal - 5) > 1e-3
    np.testing.assert_array_equal(found[sure], signal[sure] > 5)


def test_astroscrappy_is_called_with_the_preset(cases, dark):
    found = cases.detect(cases.METHODS["astroscrappy"], dark)
    image, usable = dark.data.astype(np.float32), cases.usable_pixels(dark)
    mask = cases.call_astroscrappy(image, usable, offset=found.offset)
    np.testing.assert_array_equal(mask, found.mask)
    assert mask.sum() > 100
    by_itself = cases.call_astroscrappy(image, usable)
    assert (by_itself & mask).sum() > 0.95 * mask.sum()
    with_offset = cases.call_astroscrappy(image, usable, offset=0.0)
    assert with_offset.sum() < mask.sum()


def test_clusters_are_compared_column_by_column(modules, dark):
    compare = modules["slew_dark_costs"].compare_clusters
    signal = dark.data.astype(float) - 1000
    found = compare(dark.truth & (signal > 0), signal)
    assert found["clusters"] > 50
    assert max(found["differences"].values()) < 1e-6
    assert {"x", "orientation", "total", "x_max"} <= set(found["differences"])


def test_astroscrappy_alone_reads_a_raw_file(modules, dark, tmp_path, capsys):
    costs, cases = modules["slew_dark_costs"], modules["slew_dark_cases"]
    raw, bad = costs.write_exposure(tmp_path, SMALL, seed=1, n_detectors=2)
    modules["run_astroscrappy"].main(raw, bad)
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    other = simulate_slew_dark(SMALL, seed=1, detector="DET12")
    expected = sum(
        cases.call_astroscrappy(part.data.astype(np.float32), cases.usable_pixels(part)).sum()
        for part in (dark, other)
    )
    assert report["flagged"] == expected
    assert report["cpu_seconds"] > 0


@pytest.mark.slow
def test_the_command_and_its_cost(modules, tmp_path):
    costs = modules["slew_dark_costs"]
    raw, bad = costs.write_exposure(tmp_path, SMALL, seed=1, n_detectors=2)
    cost = costs.run_command(raw, bad, tmp_path / "products", detector="hybrid", jobs=2)
    assert {"_crmask.fits", "_crclean.fits", "_crstats.ecsv"} <= set(cost["products"])
    assert cost["flagged"] > 100
    assert cost["cpu_seconds"] > 0.5
    assert not (tmp_path / "products").exists()


def test_what_was_measured_is_kept(cases, tmp_path):
    path = tmp_path / "outcomes.json"
    cases.Results(path).put({"right": 3, "false": 1, "missed": 1}, "score", "quiet", 101, "hybrid")
    again = cases.Results(path)
    counts = cases.as_counts(again.get("score", "quiet", 101, "hybrid"))
    assert (counts.precision, counts.recall, counts.f1) == (0.75, 0.75, 0.75)
    assert again.get("score", "quiet", 102, "hybrid") is None


def test_targets_of_the_scores_are_met_or_not(cases, tables):
    def counts(precision, recall):
        return [
            cases.Counts(
                round(1e4 * recall),
                round(1e4 * recall * (1 / precision - 1)),
                round(1e4 * (1 - recall)),
            )
        ]

    scores = {
        ("quiet", "hybrid"): counts(0.98, 0.94),
        ("persistence", "hybrid"): counts(0.98, 0.92),
        ("solar event", "hybrid"): counts(0.972, 0.92),
        ("quiet", "hybrid, one bit"): counts(0.9, 0.95),
        ("quiet", "astroscrappy"): counts(0.8, 0.94),
        ("persistence", "hybrid, one bit"): counts(0.7, 0.95),
        ("persistence", "astroscrappy"): counts(0.8, 0.94),
    }
    rows = cells(tables.target_table(scores))
    assert [row[-1] for row in rows] == ["yes", "NO", "yes", "yes", "NO"]
    assert cells(tables.score_table(scores))[0][2:5] == ["0.9800", "0.9400", "0.9596"]


def test_targets_of_the_costs_are_met_or_not(modules, tables):
    def cost(seconds, wall=1.0, mib=300.0, **more):
        known = {"cpu_seconds": seconds, "wall_seconds": wall, "peak_mib": mib, "flagged": 7}
        return [known | more] * 2

    costs = {
        "hybrid": cost(18.0, wall=20.0),
        "hybrid, jobs 2": cost(24.0, wall=14.0),
        modules["benchmark_slew_dark"].ALONE: cost(82.0, calls=80.0),
        "astroscrappy": cost(86.0, mib=2000.0),
    }
    rows = cells(tables.cost_target_table(costs))
    assert [(row[1], row[-1]) for row in rows] == [
        ("0.225", "yes"),
        ("0.300", "NO"),
        ("0.700", "NO"),
        ("0.075", "yes"),
        ("2000.000", "NO"),
    ]
    rows = cells(tables.command_table(costs))
    assert rows[0] == ["hybrid", "2", "18.0", "18.0 to 18.0", "20.0", "300", "7"]
    assert len(rows) == 4


def test_tables_of_clusters_and_identity(tables):
    row = {"clusters": 5, "crsteps": 0.02, "skimage": 0.5, "differences": {"x": 1e-13}}
    assert cells(tables.cluster_table({"quiet": row}))[0][-1] == "yes"
    assert cells(tables.cluster_table({"quiet": row | {"crsteps": 0.2}}))[0][-1] == "NO"
    assert cells(tables.difference_table({"quiet": row})) == [["x", "1e-13"]]
    differences = {"quiet": [{"flagged": 9, "different": 0}] * 2}
    assert cells(tables.identity_table(differences))[0][-2:] == ["0", "yes"]


def test_calls_are_told_from_all_else(modules, tmp_path):
    import astroscrappy

    script, call = modules["slew_dark_in_process"], astroscrappy.detect_cosmics
    dark, bad = script.write_dark(tmp_path, shape=(128, 128))
    calls, other = script.measure_overhead(dark, bad)
    assert astroscrappy.detect_cosmics is call
    assert 0 < calls < 60
    assert other > 0
    assert all(seconds > 0 for seconds in script.search(dark, bad, detectors=["DET11"]))
