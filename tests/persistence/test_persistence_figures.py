"""What the figures of persistence draw, read back from their artists."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure

from crsteps.detector import figures
from crsteps.persistence.figures import plot_correction
from crsteps.persistence.fit_curve import FluenceLevel
from crsteps.persistence.fit_examples import DecayExample
from crsteps.persistence.fit_figures import plot_decay_curves, plot_fit_maps
from crsteps.persistence.held_out import SeriesCheck
from crsteps.persistence.held_out_figures import plot_dark_level, plot_held_out

THRESHOLDS = (0.1, 0.03, 0.01)


def images(shape=(40, 40), *, seed=1):
    """Image before the correction, after it, and prediction, in which half of it is lit."""
    rng = np.random.default_rng(seed)
    predicted = np.zeros(shape, np.float32)
    lit = predicted[shape[0] // 2 :]
    lit[...] = 10 ** rng.uniform(-2, 0, lit.shape)
    noise = rng.normal(0.5, 0.02, shape).astype(np.float32)
    return noise + predicted, noise, predicted


def correction(target, before, after, predicted, **values):
    """Figure with fractions that are easily told apart."""
    plot_correction(
        target,
        before=before,
        after=after,
        predicted=predicted,
        thresholds=THRESHOLDS,
        fractions_before=(0.2, 0.4, 0.5),
        fractions_after=(0.0, 0.02, 0.1),
        **values,
    )


def titled(figure, title):
    """Axes that have a title, which may go on."""
    return next(axes for axes in figure.axes if axes.get_title().startswith(title))


def series_of(axes):
    """Points of each labelled errorbar or line: x and y by label."""
    found = {}
    for container in axes.containers:
        if hasattr(container, "lines"):
            found[container.get_label()] = container.lines[0].get_data()
    for line in axes.lines:
        if not line.get_label().startswith("_"):
            found[line.get_label()] = line.get_data()
    return found


def test_correction_draws_the_images_with_one_stretch():
    figure = Figure()
    before, after, predicted = images()
    before[3, 5] = np.nan
    correction(figure, before, after, predicted, title="exposure")
    shown = {name: titled(figure, name).images[0] for name in ("before", "corrected", "predicted")}
    np.testing.assert_array_equal(shown["before"].get_array().filled(np.nan), before)
    assert shown["before"].get_clim() == shown["corrected"].get_clim()
    for image in shown.values():
        assert image.get_array().mask[3, 5]
        assert image.get_array().mask.sum() == 1
    assert figure.get_suptitle() == "exposure"


def test_correction_draws_the_level_above_that_of_other_pixels():
    """0.5 e-/s of sky are in all pixels and are no persistence."""
    figure = Figure()
    correction(figure, *images((200, 200)))
    points = series_of(titled(figure, "level against"))
    x, y = points["before"]
    np.testing.assert_allclose(y, x, atol=0.01)
    np.testing.assert_allclose(points["corrected"][1], 0, atol=0.01)


def test_correction_draws_the_fractions():
    figure = Figure()
    correction(figure, *images())
    axes = titled(figure, "pixels with persistence")
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["> 0.1", "> 0.03", "> 0.01"]
    texts = [text.get_text() for text in axes.texts]
    assert texts == ["20 %", "40 %", "50 %", "0", "2 %", "10 %"]


@pytest.mark.parametrize("case", ["none", "unusable", "wide", "tall"])
def test_correction_of_images_out_of_the_ordinary(case):
    shape = {"wide": (4, 60), "tall": (60, 4)}.get(case, (20, 20))
    before, after, predicted = images(shape)
    usable = None
    if case == "none":
        predicted[...] = 0
    elif case == "unusable":
        usable = np.zeros(shape, bool)
    figure = Figure()
    correction(figure, before, after, predicted, usable=usable)
    figure.canvas.draw()
    texts = [text.get_text() for text in titled(figure, "level against").texts]
    assert ("no persistence predicted" in texts) == (case in ("none", "unusable"))


def test_correction_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(figures, "_DPI", 20)
    correction(tmp_path / "figure.png", *images())
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")


def maps(*, levels=()):
    """Figure of maps: two thirds of the pixels are clear."""
    rng = np.random.default_rng(2)
    amplitude = rng.lognormal(0, 0.5, (30, 30)).astype(np.float32)
    gamma = rng.normal(0.9, 0.1, (30, 30)).astype(np.float32)
    significance = np.full((30, 30), 20, np.float32)
    significance[:10], gamma[:10] = 1, 5.0
    amplitude[4, 6] = gamma[4, 6] = significance[4, 6] = np.nan
    figure = Figure()
    plot_fit_maps(
        figure,
        amplitude=amplitude,
        gamma=gamma,
        significance=significance,
        chi2=rng.normal(1, 0.2, 899),
        levels=levels,
        reference_time=325.0,
        title="DET11",
    )
    return figure, amplitude, gamma


def test_maps_of_amplitude_and_slope():
    figure, amplitude, gamma = maps()
    shown = {name: titled(figure, name).images[0] for name in ("amplitude", "slope")}
    np.testing.assert_array_equal(shown["amplitude"].get_array().filled(np.nan), amplitude)
    np.testing.assert_array_equal(shown["slope"].get_array().filled(np.nan), gamma)
    low, high = shown["slope"].get_clim()  # of the pixels that are clear
    assert 0.4 < low < 0.7 < 1.1 < high < 1.4
    titled(figure, "significance")
    labels = [t.get_text() for t in titled(figure, "distribution of slopes").get_legend().texts]
    middle = np.nanmedian(gamma[10:])
    assert any(label.startswith(f"median {middle:.3f}, spread 0.") for label in labels)


def test_curve_where_there_are_levels():
    levels = [
        FluenceLevel(x, 500, a, 0.01, g, 0.01, 0.1)
        for x, a, g in ((2e4, 0.1, 1.0), (6e4, 0.6, 1.05), (1.2e5, 1.8, 1.1))
    ]
    figure, *_ = maps(levels=levels)
    axes = titled(figure, "by the illumination")
    x, y = series_of(axes)["amplitude"]
    assert list(x) == [2e4, 6e4, 1.2e5]
    assert list(y) == [0.1, 0.6, 1.8]
    slopes = [a for a in figure.axes if a.get_ylabel() == "slope γ" and a.lines]
    assert list(slopes[0].lines[0].get_ydata()) == [1.0, 1.05, 1.1]


def test_maps_without_a_pixel():
    blank = np.full((8, 8), np.nan, np.float32)
    figure = Figure()
    plot_fit_maps(
        figure, amplitude=blank, gamma=blank, significance=blank, chi2=np.zeros(0, np.float32)
    )
    figure.canvas.draw()


def example(name="x = 3, y = 4"):
    """A decay without noise but for the darks that were hit and lost."""
    times = np.geomspace(50, 3000, 12)
    fitted = 0.05 + 20 / times
    rates, is_hit = fitted.copy(), np.zeros(12, bool)
    rates[4], is_hit[4], rates[6] = 30, True, np.nan
    rates[0] += 0.2
    return DecayExample(
        name=name,
        times=times,
        rates=rates,
        errors=np.full(12, 0.1),
        is_hit=is_hit,
        fitted=fitted,
        curve_times=times,
        curve=fitted,
        amplitude=1.234,
        amplitude_error=0.05,
        gamma=1.0,
        gamma_error=0.02,
        dark_rate=0.05,
    )


def test_decay_curves():
    figure = Figure()
    plot_decay_curves(figure, [example(), example("x = 9, y = 9")], title="DET11")
    assert len(figure.axes) == 4
    upper, lower = figure.axes[:2]
    assert upper.get_title() == "x = 3, y = 4: A = 1.23 ± 0.05 e-/s, γ = 1.000 ± 0.020"
    assert len(upper.containers[0].lines[0].get_xdata()) == 10, "hit and missing darks are drawn"
    np.testing.assert_allclose(series_of(upper)["fit"][1], example().curve)
    hits = [line for line in upper.lines if line.get_label() == "hit, left out"]
    assert hits[0].get_xdata()[0] == example().times[4]
    residuals = lower.containers[0].lines[0].get_ydata()
    np.testing.assert_allclose(residuals, [2.0] + [0.0] * 9, atol=1e-9)


def test_no_decay_curve():
    figure = Figure()
    plot_decay_curves(figure, [])
    assert figure.texts[0].get_text() == "no pixel was fitted well"


def check(*, n_held_out=2, level=0.03, seed=3):
    """Check of eight darks whose correction is right to 0.001 e-/s."""
    rng = np.random.default_rng(seed)
    times = np.geomspace(80, 3000, 8)
    predicted = rng.lognormal(1, 0.5, (n_held_out, 500)).astype(np.float32)
    after = rng.normal(0, 7, (n_held_out, 500)).astype(np.float32)
    after[:, 3] = np.nan
    return SeriesCheck(
        times=times,
        raw=level + 50 / times,
        corrected=np.full(8, level + 1e-3),
        error=np.full(8, 5e-4),
        is_held_out=np.arange(8) >= 8 - n_held_out,
        level=level,
        level_error=1e-4,
        before=after + predicted,
        after=after,
        predicted=predicted,
        sigma=np.full_like(after, 7),
    )


def test_held_out():
    one, figure = check(), Figure()
    plot_held_out(figure, one, exposure=np.array([80.0, 80.0]), title="DET11")
    assert figure.get_suptitle() == "DET11: last 2 darks, predicted by a fit of the others"
    labels = [t.get_text() for t in titled(figure, "pixels").get_legend().texts]
    known = np.isfinite(one.before)
    assert labels[0] == f"as it is: mean {one.before[known].mean() / 80:.4f}"
    points = series_of(titled(figure, "twelfths"))
    x, y = points["as it is"]
    assert len(x) == 12
    assert np.all(np.diff(x) > 0)
    np.testing.assert_allclose(y - points["corrected"][1], x, rtol=1e-4)
    spread = titled(figure, "errors").get_legend().texts[0].get_text()
    assert spread == f"spread {one.pull_spread():.3f}"


def test_nothing_held_out():
    figure = Figure()
    plot_held_out(figure, check(n_held_out=0), exposure=np.zeros(0))
    assert figure.axes[0].texts[0].get_text() == "no dark was held out"


def test_dark_level_of_detectors_and_their_mean():
    first, second = check(level=0.03), check(level=0.05)
    figure = Figure()
    plot_dark_level(figure, {"DET11": first, "DET32": second}, title="27 darks")
    assert [axes.get_title() for axes in figure.axes] == [
        "mean of 2 detectors",
        "",
        "DET11",
        "DET32",
    ]
    points = series_of(figure.axes[0])
    np.testing.assert_allclose(points["as it is"][1], (0.04 + 50 / first.times)[:6])
    np.testing.assert_allclose(points["corrected, held out"][1], 0.041)
    band = figure.axes[0].patches[0].get_extents().transformed(figure.axes[0].transData.inverted())
    half = 3 * np.hypot(5e-4 / np.sqrt(2), 1e-4 / np.sqrt(2))
    np.testing.assert_allclose([band.y0, band.y1], [0.04 - half, 0.04 + half])
    low, high = figure.axes[1].get_ylim()
    assert (low + high) / 2 == pytest.approx(0.04)
    assert high < 0.05, "the panel near the level does not show it"


def test_dark_level_of_one_detector(tmp_path, monkeypatch):
    monkeypatch.setattr(figures, "_DPI", 20)
    one = check(n_held_out=0)
    below = replace(one, raw=one.raw - 0.1, corrected=one.corrected - 0.1, level=-0.07)
    plot_dark_level(tmp_path / "level.png", {"IMAGE": below})
    assert (tmp_path / "level.png").read_bytes().startswith(b"\x89PNG")


def test_dark_level_without_a_detector():
    with pytest.raises(ValueError, match="no detector"):
        plot_dark_level(Figure(), {})
