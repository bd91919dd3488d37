"""Log lines and header cards against numbers computed by hand."""

from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits

from crsteps.cosmic_rays.clusters import find_clusters
from crsteps.slew_dark.analysis import AnalysisOptions, DetectorFrame, analyse_detector
from crsteps.slew_dark.report import (
    detector_cards,
    detector_line,
    statistics_cards,
    summary,
    with_error,
)
from crsteps.slew_dark.statistics import StatisticsOptions, detector_statistics, merge
from crsteps.slew_dark.statistics_table import to_table

# 50 s x 0.02 cm2 of good pixels: 1 cm2 s.
OPTIONS = StatisticsOptions(integration_time=50, pixel_area_cm2=0.02 / 9999, n_outputs=1)


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (1.23456, 0.0123, "1.235 ± 0.012"),
        (12345.6, 98.7, "12346 ± 99"),
        (0.5, 0.0, "0.5"),
        (2 / 3, np.nan, "0.6667"),
        (np.nan, 0.1, "unknown"),
        (0.0, 1e-9, "0.0000000000 ± 0.0000000010"),
    ],
)
def test_numbers_have_two_digits_of_their_error(value, error, text):
    assert with_error(value, error) == text


def statistics(name, *, truth=True, quality=True, options=OPTIONS, empty=False):
    """Four clusters of 1, 1, 2 and 4 pixels, of which 6 pixels are true and 5 on board."""
    mask = np.zeros((100, 100), bool)
    if not empty:
        mask[10, 10] = mask[20, 20] = True
        mask[30, 30:32] = True
        mask[40, 40:44] = True
    usable = np.ones(mask.shape, bool)
    usable[0, 0] = False
    true = mask.copy()
    true[10, 10] = true[20, 20] = False  # two false ones
    true[60, 60:64] = not empty  # four missed
    onboard = np.zeros(mask.shape, np.uint8)
    onboard[40, 40:44] = onboard[20, 20] = 0 if empty else 200
    onboard[80, 80:85] = 0 if empty else 50
    return detector_statistics(
        find_clusters(mask, signal=mask * np.float32(100), usable=usable),
        detector=name,
        usable=usable,
        quality=onboard if quality else None,
        quality_kind="chi2" if quality else None,
        truth=true if truth else None,
        options=options,
    )


@pytest.fixture
def table():
    """Return the table of an exposure of two equal detectors."""
    return to_table(merge([statistics("DET11"), statistics("DET31")]))


def test_the_summary_says_what_can_be_counted(table):
    lines = summary(table, used_quality={"DET11": "chi2", "DET31": "chi2"})
    # 8 clusters in 2 cm2 s; 16 pixels, variance 2 (1 + 1 + 4 + 16) = 44; of 19998 good ones.
    assert lines[0] == (
        "8 cosmic rays, 4.0 ± 1.4 per cm2 and s; 16 of 19,998 good pixels flagged (0.080 ± 0.033 %)"
    )
    # Sizes 1, 1, 2, 4 twice: variance of the mean 12 / 7 / 8.
    assert lines[1].startswith("clusters: 2.00 ± 0.46 pixels in the mean, 50 ± 17 % with more")
    assert lines[2] == "quality plane: chi2"
    assert lines[3].startswith("agreement with the on-board flags (quality factor > 49): ")
    assert "62 ± " in lines[3]  # 5 of 8 ours: 62.5 % is rounded to even
    assert "50 ± " in lines[3]  # 5 of 10 of theirs
    assert "precision 0.75 ± " in lines[4]
    assert "recall 0.60 ± " in lines[4]
    assert "F1 0.67 ± " in lines[4]
    assert lines[4].endswith("(12 pixels right, 4 false, 8 missed)")
    assert len(lines) == 5


def test_shares_of_the_shapes_add_up(table):
    shares = summary(table)[1].partition("; ")[2].split(", ")
    assert [share.split()[0] for share in shares] == ["point", "track", "worm", "blob"]
    assert sum(float(share.split()[1]) for share in shares) == pytest.approx(100)


def test_the_summary_names_detectors_that_differ_and_those_without_analysis(table):
    lines = summary(
        table,
        used_quality={"DET11": "chi2", "DET31": "none", "DET32": "chi2"},
        skipped={"DET44": "it has no usable pixel"},
    )
    assert "quality plane: chi2 (DET11, DET32); none (DET31)" in lines
    assert lines[-1] == "DET44 was not analysed: it has no usable pixel"


def test_the_summary_without_truth_quality_rate_and_hits():
    options = StatisticsOptions(n_outputs=1)
    empty = statistics("DET12", truth=False, quality=False, options=options, empty=True)
    assert summary(to_table(merge([empty]))) == [
        "0 cosmic rays, rate unknown without integration time and size of a pixel; "
        "0 of 9,999 good pixels flagged (0.000 ± 0.010 %)"
    ]


def test_cards_are_the_numbers_of_the_table_and_fit_into_a_header(table):
    cards = statistics_cards(table[1])
    values = {keyword: value for keyword, (value, _) in cards.items()}
    assert (values["NCLUSTER"], values["NPMASKED"], values["NPGOOD"]) == (4, 8, 9999)
    assert values["CRFRAC"] == pytest.approx(8 / 9999, rel=1e-5)
    assert values["CRFRACER"] == pytest.approx(np.sqrt(22) / 9999, rel=1e-5)
    assert (values["CRRATE"], values["CRRATEER"]) == (4, 2)
    assert values["CRSIZE"] == 2
    assert values["CRMULTI"] == 0.5
    assert (values["CRONB"], values["ONBCR"]) == (0.625, 0.5)
    assert (values["CRPREC"], values["CRRECALL"]) == (0.75, 0.6)
    assert values["CRF1"] == pytest.approx(2 / 3, rel=1e-5)
    header = fits.Header()
    for keyword, (value, comment) in cards.items():
        header[keyword] = value, comment
        assert len(keyword) <= 8
        # Astropy shortens comments that do not fit.
        assert fits.Header.fromstring(header.tostring()).comments[keyword] == comment


def test_what_has_no_value_has_no_card():
    options = StatisticsOptions(n_outputs=1)
    empty = statistics("DET12", truth=False, quality=False, options=options, empty=True)
    cards = statistics_cards(to_table(merge([empty]))[1])
    assert set(cards) == {"NCLUSTER", "NPMASKED", "NPGOOD", "CRFRAC", "CRFRACER"}


@pytest.fixture
def frame():
    """Return a detector with two hits."""
    data = np.random.default_rng(3).normal(1000, 5, (200, 200)).astype(np.float32)
    data[50, 50:53] = data[120, 40] = 4000
    nothing = np.zeros(data.shape, bool)
    return DetectorFrame("DET33", data, missing=nothing, reference=nothing, saturated=nothing)


def test_line_and_cards_of_a_detector(frame):
    analysis = analyse_detector(frame, options=AnalysisOptions())
    analysis = replace(analysis, offset=1000.04, noise=5.013)
    assert detector_line("DET33", analysis) == (
        "DET33: 2 cosmic rays, 4 pixels (0.0100 ± 0.0079 %); offset 1000.04, noise 5.01 ADU; "
        "quality plane: none"
    )
    faint = replace(analysis, offset=0.010321, noise=0.00512)
    assert "offset 0.01032, noise 0.00512 DN/s" in detector_line("NRCA1", faint, unit="DN/s")
    assert detector_cards(faint, unit="DN/s")["CRNOISE"][1].startswith("[DN/s] ")
    cards = detector_cards(analysis)
    assert cards["CRSTATUS"][0] == "COMPLETE"
    assert (cards["CROFFSET"][0], cards["CRNOISE"][0], cards["CRQUAL"][0]) == (
        1000.04,
        5.013,
        "none",
    )
    assert cards["NCLUSTER"][0] == 2
    assert "CRREASON" not in cards


def test_a_detector_that_was_skipped_says_why(frame):
    frame = replace(frame, data=np.full_like(frame.data, 3))
    analysis = analyse_detector(frame, options=AnalysisOptions())
    assert detector_line("DET33", analysis) == f"DET33 is skipped: {analysis.reason}"
    cards = detector_cards(analysis)
    assert {keyword: value for keyword, (value, _) in cards.items()} == {
        "CRSTATUS": "SKIPPED",
        "CRREASON": analysis.reason,
    }
