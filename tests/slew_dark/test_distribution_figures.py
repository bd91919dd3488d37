"""Distributions as drawn against the table they are drawn from."""

import numpy as np
import pytest
from astropy.table import Table
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from scipy.stats import poisson

from crsteps.cosmic_rays.clusters import find_clusters
from crsteps.detector import figures
from crsteps.slew_dark.distribution_figures import plot_distributions, poisson_interval
from crsteps.slew_dark.statistics import StatisticsOptions, detector_statistics, merge
from crsteps.slew_dark.statistics_table import to_table


def statistics(name, *, seed=0, n_hits=40, n_outputs=4, truth=False, quality=False):
    """Hits of one to three pixels and some hundred data units."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((120, 120), bool)
    for y, x in rng.integers(0, 118, (n_hits, 2)):
        mask[y, x : x + rng.integers(1, 4)] = True
    signal = (mask * rng.exponential(300, mask.shape)).astype(np.float32)
    return detector_statistics(
        find_clusters(mask, signal=signal),
        detector=name,
        quality=mask * np.uint8(1) if quality else None,
        quality_kind="bit" if quality else None,
        truth=np.roll(mask, 1, axis=1) if truth else None,
        options=StatisticsOptions(n_outputs=n_outputs),
    )


def drawn(table, **arguments):
    """Axes of the panels, by title."""
    figure = Figure()
    plot_distributions(figure, table, **arguments)
    return {axes.get_title(): axes for axes in figure.axes if axes.get_title()}


def points(axes, number=0):
    """Points and ends of the error bars of a series: x, y, lower, upper."""
    data, _, (bars,) = [c for c in axes.containers if isinstance(c, ErrorbarContainer)][number]
    ends = np.array([segment[:, 1] for segment in bars.get_segments()])
    return *data.get_data(), ends[:, 0], ends[:, 1]


@pytest.mark.parametrize("count", [0, 1, 7, 400])
def test_poisson_intervals_hold_their_definition(count):
    lower, upper = poisson_interval([count])
    tail = (1 - 0.6827) / 2
    assert poisson.cdf(count, upper[0]) == pytest.approx(tail)
    if count:
        assert poisson.sf(count - 1, lower[0]) == pytest.approx(tail)
    else:
        assert lower[0] == 0


def test_counts_of_sizes_intensities_and_shapes_are_those_of_the_table():
    table = to_table(merge([statistics("DET11"), statistics("DET12", seed=1)]))
    axes = drawn(table)
    (sizes,) = [each for title, each in axes.items() if title.startswith("size")]
    heights = [bar.get_height() for bar in sizes.containers[0]]
    np.testing.assert_array_equal(heights, table["size_counts"][0])
    names = [label.get_text() for label in sizes.get_xticklabels()]
    assert names[:7] == ["1", "2", "3", "4", "5", "6–7", "8–10"]
    assert names[-1] == "≥ 101"
    _, y, lower, upper = points(sizes)
    expected = table["size_counts"][0][table["size_counts"][0] > 0]
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_allclose([lower, upper], poisson_interval(expected))

    intensity = axes["total intensity"]
    bars = intensity.containers[0]
    np.testing.assert_array_equal(
        [bar.get_height() for bar in bars], table["intensity_counts"][0][1:-1]
    )
    edges = np.array(table.meta["INTENSITY_EDGES"])
    for bar, low, high in zip(bars, edges[1:-2], edges[2:-1], strict=True):
        centre = bar.get_x() + bar.get_width() / 2
        assert low < centre < high
    assert "[e$^-$]" in intensity.get_xlabel()
    assert "not charge" in intensity.get_xlabel()
    assert intensity.get_xscale() == intensity.get_yscale() == "log"
    first, last = table["intensity_counts"][0][[0, -1]]
    assert intensity.texts[0].get_text().startswith(f"{first} below 10 e$^-$, {last} above 1,000")

    shapes = [bar.get_height() for bar in axes["shape"].containers[0]]
    assert shapes == [table[f"n_{name}"][0] for name in ("point", "track", "worm", "blob")]


def test_fractions_of_detectors_and_channels_have_the_errors_of_the_table():
    detectors = [statistics(f"DET1{i}", seed=i, n_hits=20 * i) for i in (1, 2, 3)]
    table = to_table(merge(detectors))
    axes = drawn(table)
    rows = table[table["level"] == "detector"]
    x, y, lower, upper = points(axes["detectors"])
    np.testing.assert_array_equal(x, [0, 1, 2])
    np.testing.assert_allclose(y, 100 * rows["flagged_fraction"])
    np.testing.assert_allclose(upper - lower, 200 * rows["flagged_fraction_error"])
    names = [label.get_text() for label in axes["detectors"].get_xticklabels()]
    assert names == ["DET11", "DET12", "DET13"]
    channel, y, lower, upper = points(axes["output channels"])
    np.testing.assert_array_equal(channel, range(4))
    for i in range(4):
        flagged = sum(each.counts["n_flagged"][i] for each in detectors)
        squares = sum(each.counts["cluster_pixels_squared"][i] for each in detectors)
        assert y[i] == pytest.approx(100 * flagged / (3 * 120 * 30))
        assert (upper - lower)[i] == pytest.approx(200 * np.sqrt(squares) / (3 * 120 * 30))
    line = axes["detectors"].lines[-1]
    assert set(line.get_ydata()) == {100 * table["flagged_fraction"][0]}


def test_agreement_is_drawn_where_there_is_something_to_compare_with():
    plain = to_table(merge([statistics("DET11")]))
    assert not [title for title in drawn(plain) if title.startswith("agreement")]
    table = to_table(
        merge([statistics(n, seed=i, truth=True, quality=True) for i, n in enumerate("AB")])
    )
    axes = drawn(table)["agreement (on board: bit set)"]
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    for label, name in zip(
        labels,
        ("precision", "recall", "ours_flagged_onboard", "onboard_flagged_by_us"),
        strict=True,
    ):
        value, error = (float(number) for number in label.rpartition(": ")[2].split(" ± "))
        assert error == pytest.approx(table[f"{name}_error"][0], rel=0.05)
        assert abs(value - table[name][0]) < 0.05 * error
    _, y, *_ = points(axes, 1)
    np.testing.assert_allclose(y, table["recall"][table["level"] == "detector"])
    # All points lie above the legend, within the axes.
    bottom, top = axes.get_ylim()
    assert bottom < np.nanmin(table["precision"]) < 1 < top


def test_panels_of_single_points_are_left_out():
    table = to_table(merge([statistics("IMAGE", n_outputs=1)]))
    assert list(drawn(table))[1:] == ["total intensity", "shape"]


def test_the_table_may_come_from_its_file(tmp_path):
    table = to_table(merge([statistics("DET11", truth=True, quality=True)]))
    table.write(tmp_path / "stats.ecsv")
    again = Table.read(tmp_path / "stats.ecsv")
    assert list(drawn(again)) == list(drawn(table))


@pytest.mark.parametrize("n_hits", [0, 1])
def test_hardly_any_hits_give_a_figure(tmp_path, monkeypatch, n_hits):
    monkeypatch.setattr(figures, "_DPI", 20)
    hits = [statistics(n, n_hits=n_hits, truth=True, quality=True) for n in ("DET11", "DET12")]
    plot_distributions(tmp_path / "distributions.png", to_table(merge(hits)), title="a dark")
    assert (tmp_path / "distributions.png").read_bytes().startswith(b"\x89PNG")
