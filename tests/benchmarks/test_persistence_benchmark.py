"""The benchmark of persistence says of known integrals, fits and corrections what they are."""

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest

NAMES = (
    "measured_process",
    "slew_dark_cases",
    "slew_dark_tables",
    "persistence_cases",
    "persistence_costs",
    "persistence_fits",
    "persistence_integrals",
    "persistence_tables",
    "run_persistence_fit",
    "run_persistence_history",
    "benchmark_persistence",
)
SCENE = "300 s after an image"


@pytest.fixture(scope="module")
def modules():
    """Return the modules beside the scripts, which lie in no package."""
    sys.path.insert(0, str(Path(__file__).parent))
    yield {name: importlib.import_module(name) for name in NAMES}
    sys.path.remove(str(Path(__file__).parent))
    for name in NAMES:
        del sys.modules[name]


@pytest.fixture
def tables(modules):
    return modules["persistence_tables"]


def cells(lines):
    """Return the cells of the rows of a table, without heading and rule."""
    return [[cell.strip() for cell in line.split("|")[1:]] for line in list(lines)[2:]]


def test_integrals_are_compared_with_the_truth(modules, monkeypatch):
    part = modules["persistence_integrals"]
    errors = part.compare_integrals(12, seed=1)
    assert max(errors["float64"].values()) < 1e-10
    assert 1e-9 < max(errors["float32"].values()) < 2e-7
    right = part.charge
    monkeypatch.setattr(part, "charge", lambda *times, **image: 1.001 * right(*times, **image))
    wrong = part.compare_integrals(3, seed=1)["float64"]
    assert wrong["charge"] == pytest.approx(1e-3)
    assert wrong["by gamma"] < 1e-10


def test_groups_are_compared_with_the_truth(modules, monkeypatch):
    part = modules["persistence_integrals"]
    readout = part.READOUTS["10-1-0"]
    found = part._groups_by_frames(1.0, 300.0, readout)
    expected = 1000 * np.log1p(readout.frame_time * np.arange(1, 11) / 300.0)
    np.testing.assert_allclose(found, expected, rtol=1e-10)
    monkeypatch.setattr(part, "READOUTS", {"10-1-0": readout})
    errors = part.compare_groups(3, seed=1)["10-1-0"]
    assert 0 < errors["groups"] < 1e-5
    assert 0 < errors["rate"] < 1e-5


def test_pulls_of_a_small_series(modules):
    report = modules["persistence_fits"].measure_pulls((48, 48), seed=1, hit_rate=0.0)
    bright = report["A > 0.1"]
    assert bright["pixels"] + report["A < 0.1"]["pixels"] == 48 * 48
    assert 0 < report["A 0.1 to 0.3"]["pixels"] < bright["pixels"]
    for name in ("pull A", "pull gamma"):
        assert bright[name]["std"] == pytest.approx(1, abs=0.1)
        assert bright[name]["middle"] == pytest.approx(1, abs=0.1)
    for what in ("persistence", "signal"):
        assert abs(bright[what]["bias"]) < 0.2 * bright[what]["error"]
        assert bright[what]["pull"] == pytest.approx(1, abs=0.15)


def test_curve_fit_finds_what_was_put_in(modules):
    fits = modules["persistence_fits"]
    delays = 30 + 130.0 * np.arange(12)
    times = fits.dark_times(delays)
    for gamma in (0.7, 1.0):
        signals = 3.0 * times.unit_signals(gamma, reference_time=300.0)
        signals = signals + 0.4 * times.integration_times
        for bounded in (True, False):
            peer = fits.CurveFit(delays, 300.0, bounded=bounded)
            used = np.arange(12) != 5
            best, errors = peer.fit(signals, used, rounds=2)
            np.testing.assert_allclose(best, [3.0, 0.4, gamma], rtol=1e-4)
            assert np.all(errors > 0)


def test_fit_in_a_process_of_its_own(modules, tmp_path, capsys):
    fits = modules["persistence_fits"]
    options = fits.replace(fits.SERIES, shape=(32, 32), amplitudes=(1.0, 2.0, 3.0))
    series = fits.simulate_dark_series(options, seed=1)
    np.save(tmp_path / "darks.npy", series.darks)
    np.save(tmp_path / "darks.npy.delays.npy", series.delays)
    modules["run_persistence_fit"].main(tmp_path / "darks.npy", "20")
    report = json.loads(capsys.readouterr().out)
    assert report["pixels"] == 1024
    assert report["compared"] > 8
    assert report["curve_fit failed"] == 0
    assert 0 < report["difference, median"] < 0.1
    assert report["curve_fit, bounded"] > report["crsteps"] > 0


def test_corrections_are_judged_by_the_truth(modules):
    cases = modules["persistence_cases"]
    reports = {
        name: cases.compare_correction(SCENE, reference, size=160, seed=1)
        for name, reference in cases.REFERENCES.items()
    }
    right, wrong = reports["right"], reports["all A - 20 %, gamma - 0.1"]
    assert right["before"] == wrong["before"]
    assert np.all(np.diff(right["before"]) > 0)
    assert right["after"][-1] < 0.1 * right["before"][-1]
    assert wrong["after"][-1] > 3 * right["after"][-1]
    assert abs(right["in the data"]) < 0.1
    assert wrong["in the data"] == pytest.approx(0.25, abs=0.1)
    maps = reports["every third A by 150 %"]
    assert maps["unsure"] > 0
    assert maps["unsure changed"] == 0
    assert maps["unsure rms"] > 0
    assert right["unsure"] == 0


def test_detectors_see_three_darks(modules):
    cases = modules["persistence_cases"]
    counts = cases.score_detectors(SCENE, ("hybrid", "astroscrappy"), size=200, seed=1)
    kinds = {key.split(" | ")[1] for key in counts}
    assert kinds == {"free", "persistent", "corrected", "corrected, noise told"}
    assert len(counts) == 8
    totals = {count["right"] + count["missed"] for count in counts.values()}
    assert len(totals) == 1  # the same hits on all
    assert all(count["right"] > 0.8 * max(totals) for count in counts.values())


def test_costs_of_a_small_ramp(modules):
    costs = modules["persistence_costs"].measure_ramp(40, 0.1, repeats=1, stars=True)
    assert set(costs) == {"copy", "copy into old", "maps", "history", "history and maps"}
    assert all(seconds >= 0 for seconds in costs.values())


def test_history_is_the_same_from_memory_and_from_the_file(modules, tmp_path, capsys):
    run = modules["run_persistence_history"].main
    path = tmp_path / "history.asdf"
    run("write", path, "3", "128", "400")
    run("memory", path)
    run("file", path)
    written, memory, file = map(json.loads, capsys.readouterr().out.splitlines())
    assert written["pixels"] == 3 * 128**2
    assert memory["stimuli"] == file["stimuli"] == 3
    assert memory["sum"] == file["sum"] > 0


def test_targets_of_the_fits_are_met_or_not(tables):
    def group(std, bias):
        pulls = {
            name: {"std": std, "mean": 0.0, "middle": 1.0}
            for name in ("pull A", "pull A(1000 s)", "pull gamma")
        }
        parts = {"bias": bias, "median": 0.0, "error": 2.0, "pull": 1.0}
        return {"pixels": 10} | pulls | {"persistence": parts, "signal": parts}

    full = {
        "crsteps": 1e-6,
        "crsteps, next detector": 1e-6,
        "curve_fit, bounded": 6e-3,
        "curve_fit, free": 1e-3,
    }
    full |= {"peak_mib": 4000.0, "pixels": 10, "compared": 5, "difference, median": 0.01}
    good = {"A > 0.1": group(1.04, -0.1), "A 0.1 to 0.3": group(1.2, -0.19)}
    rows = cells(tables.fit_target_table([good], full))
    assert [row[-1] for row in rows] == ["yes"] * 9 + ["NO"] * 3
    bad = {"A > 0.1": group(1.06, 0.3), "A 0.1 to 0.3": group(1.0, 0.21)}
    rows = cells(tables.fit_target_table([bad], None))
    assert [row[-1] for row in rows] == ["NO"] * 7
    seed = {"A > 0.1": group(1.0, 0.1), "A < 0.1": group(1.2, 0.0)}
    assert cells(tables.pull_table([seed]))[1][2] == "1.200, 0.000, 1.000"
    assert cells(tables.prediction_table([seed]))[0][4] == "0.050"
    assert ["pixels compared", "5"] in cells(tables.fit_cost_table(full))


def test_targets_of_the_corrections_are_met_or_not(tables):
    def report(after, pull, changed):
        return {
            "before": [1, 10, 100],
            "after": [0, 0, after],
            "in the data": 0.05,
            "pull": pull,
            "unsure": 3,
            "unsure changed": changed,
        }

    reports = {("a", "right"): [report(5, 0.5, 0)], ("a", "wrong"): [report(30, 1.3, 2)]}
    rows = cells(tables.correction_target_table(reports))
    assert [row[-1] for row in rows] == ["yes", "yes", "NO", "NO"]
    rows = cells(tables.correction_table(reports, (0.1, 0.03, 0.01)))
    assert rows[1][2:] == ["1, 10, 100", "0, 0, 30", "70.0%", "5.0%", "1.30"]


def test_other_tables(tables):
    errors = {"float32": {"charge": 2e-6}}
    rows = cells(tables.integral_table(errors, {"4-16-4": {"groups": 2e-6}}))
    assert [row[-1] for row in rows] == ["NO", "yes"]
    counts = {"right": 90, "false": 5, "missed": 10}
    seed = {"hybrid | free": counts, "hybrid | corrected": counts | {"right": 80}}
    rows = cells(tables.detection_table({"a": [seed]}))
    assert [row[-1] for row in rows] == ["yes", "NO"]
    row = {"copy": 0.1, "maps": 0.5, "history": 1.0, "history and maps": 2.0}
    rows = cells(tables.ramp_table({(1.0, False): row, (0.1, True): row | {"copy": 0.2}}))
    assert [row[-1] for row in rows] == ["yes", "yes", "NO"] * 2
    assert rows[3][0] == "10.0%, stars"
    task = {"read": 1.0, "correct": 2.0, "peak_mib": 300.0}
    written = {"pixels": 7, "remember": 5.0, "write": 0.5, "file_mib": 3.0}
    report = {"write": written, "memory": task, "file": task}
    rows = cells(tables.history_table({(10, 100.0): report}))
    assert rows == [["10", "100", "7", "0.500", "0.50", "3", "3.00", "300", "3.00", "300"]]
