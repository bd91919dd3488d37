"""Tables and lines of a fit of persistence."""

import io

import numpy as np
from astropy.table import Table

from crsteps.persistence.dark_series import DarkTimes
from crsteps.persistence.fit import fit_dark_series
from crsteps.persistence.fit_curve import FluenceLevel
from crsteps.persistence.fit_report import (
    DetectorReport,
    dark_table,
    detector_line,
    detector_table,
    held_out_line,
    level_lines,
    report_detector,
)
from crsteps.persistence.held_out import SeriesCheck

CHECK = SeriesCheck(
    times=np.array([100.0, 200.0, 300.0]),
    raw=np.array([1.0, 0.6, 0.5]),
    corrected=np.array([0.1, 0.1, 0.12]),
    error=np.array([0.01, 0.01, 0.01]),
    is_held_out=np.array([False, False, True]),
    level=0.1,
    level_error=0.0,
    before=np.zeros((1, 4), np.float32),
    after=np.array([[-2, -1, 1, 2]], np.float32),
    predicted=np.ones((1, 4), np.float32),
    sigma=np.ones((1, 4), np.float32),
)
LEVEL = FluenceLevel(2e4, 500, 0.5, 0.01, 1.02, 0.003, 0.1)


def report():
    """Report of 600 pixels of 0.5 e-/s without noise to speak of; one is lost, one is hit."""
    rng = np.random.default_rng(1)
    starts = 50 + 150.0 * np.arange(10)
    times = DarkTimes.intervals(starts, starts + 100)
    signals = times.unit_signals(1.0, reference_time=times.centre) * 0.5 + 2.0
    darks = rng.normal(signals[:, None, None], 1.0, (10, 20, 30)).astype(np.float32)
    darks[2:, 3, 4] = np.nan
    darks[5, 6, 7] += 1000
    fit = fit_dark_series(darks, times, variance=1.0, flagged=None)
    return report_detector("DET11", fit, noise=1.0, freedom=3, levels=[LEVEL], check=CHECK)


def test_row_of_a_detector():
    row = report().row
    assert (row["n_pixels"], row["n_fitted"], row["n_hit"]) == (600, 599, 1)
    assert row["n_clear"] == 599
    np.testing.assert_allclose(row["amplitude"], 0.5, rtol=0.02)
    assert row["amplitude_low"] < row["amplitude"] < row["amplitude_high"]
    np.testing.assert_allclose(row["gamma"], 1.0, atol=0.02)
    np.testing.assert_allclose(row["dark_rate"], 0.02, atol=0.01)
    np.testing.assert_allclose(
        [row[f"held_out_{name}"] for name in ("before", "after", "error")], [0.4, 0.02, 0.01]
    )


def test_tables_are_kept_by_a_file():
    reports = [report(), DetectorReport({"detector": "DET12", "reason": "no pixel"})]
    for table, n_rows in ((detector_table(reports), 2), (dark_table(reports), 3)):
        text = io.StringIO()
        table.write(text, format="ascii.ecsv")
        again = Table.read(text.getvalue(), format="ascii.ecsv")
        assert len(again) == n_rows
        assert again.colnames == table.colnames
        for name in table.colnames:
            assert again[name].unit == table[name].unit
            assert table[name].description
    stats = detector_table(reports)
    assert list(stats["reason"]) == ["", "no pixel"]
    assert list(stats["n_fitted"]) == [599, 0]
    assert np.isnan(stats["amplitude"][1])
    darks = dark_table(reports)
    assert list(darks["held_out"]) == [False, False, True]
    assert list(darks["raw"]) == [1.0, 0.6, 0.5]


def test_table_of_no_dark():
    table = dark_table([DetectorReport({"detector": "DET11", "reason": "no pixel"})])
    assert len(table) == 0
    assert table["raw"].unit == "electron / s"


def test_lines():
    found = report()
    line = detector_line(found)
    assert line.startswith("DET11: 599 of 600 pixels fitted, 599 (100 %) with clear persistence")
    assert "1 pixel with hits" in line
    assert level_lines(found) == [
        "DET11: 20,000 e- in 500 pixels leave 0.5 ± 0.01 e-/s, slope 1.020 ± 0.003"
    ]
    assert held_out_line(found) == (
        "DET11: mean of the last dark above the dark level, predicted by a fit of the others: "
        "0.4000 e-/s before, 0.0200 ± 0.0100 e-/s after; spread of the pixels over the expected "
        f"one {CHECK.pull_spread():.3f}"
    )
    skipped = DetectorReport({"detector": "DET12", "reason": "no pixel"})
    assert detector_line(skipped) == "DET12 is skipped: no pixel"
    assert (held_out_line(skipped), level_lines(skipped)) == ("", [])
