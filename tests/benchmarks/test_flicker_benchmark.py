"""The figures of the flicker benchmark say of known errors what they are."""

import importlib
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from crsteps.detector.readout import Readout
from crsteps.simulation.flicker_ramps import FlickerRampOptions, simulate_flicker_ramps
from crsteps.simulation.flicker_scenes import SceneOptions

NAMES = (
    "measured_process",
    "flicker_cases",
    "flicker_figures",
    "flicker_limit",
    "flicker_methods",
    "flicker_tables",
)
SERIES = SceneOptions(
    kind="time_series", brightness=(20.0, 5000.0), transit_depth=0.02, transit_slope=0.5
)


@pytest.fixture(scope="module")
def modules():
    """Return the modules beside the scripts, which lie in no package."""
    sys.path.insert(0, str(Path(__file__).parent))
    yield {name: importlib.import_module(name) for name in NAMES}
    sys.path.remove(str(Path(__file__).parent))
    for name in NAMES:
        del sys.modules[name]


@pytest.fixture
def judge(modules):
    return modules["flicker_figures"].judge


@pytest.fixture(scope="module")
def image():
    scene = SceneOptions(kind="image", n_sources=80, brightness=(300.0, 3e4), nebula=20.0)
    options = FlickerRampOptions(readout=Readout(shape=(256, 256)), scene=scene, n_groups=4)
    return simulate_flicker_ramps(options, seed=1)


@pytest.fixture(scope="module")
def series():
    readout = Readout(shape=(32, 256), n_outputs=1)
    options = FlickerRampOptions(readout=readout, scene=SERIES, n_integrations=12, bad_fraction=0.0)
    return simulate_flicker_ramps(options, seed=2)


def steps(ramps):
    """Numbers of the groups, to add something to every difference of groups."""
    return np.arange(ramps.data.shape[1], dtype=np.float32)[:, np.newaxis, np.newaxis]


def test_perfect_cleaning_leaves_nothing(judge, image):
    figures = judge(image, image.data - image.flicker)
    for name in ("bg", "src", "neb", "ac"):
        assert figures[name] < 1e-2  # rounding of signals of 1e4 DN
    assert figures["total"] == pytest.approx(figures["floor"], rel=1e-5)
    assert figures["rate"] == pytest.approx(figures["rate_floor"], rel=1e-5)
    for name in ("sky_bias", "nebula_bias", "faint", "bright"):
        assert figures[name] == pytest.approx(0, abs=1e-3)


def test_nothing_done_leaves_the_noise(judge, image):
    figures = judge(image, image.data)
    change = np.diff(image.flicker, axis=1)
    assert figures["bg"] == pytest.approx(np.sqrt(np.mean(change**2)), rel=0.1)
    assert figures["total"] ** 2 - figures["floor"] ** 2 == pytest.approx(
        figures["ac"] ** 2, rel=0.1
    )


def test_a_step_from_group_to_group_is_residual_and_bias(judge, image):
    clean = image.data - image.flicker
    figures = judge(image, clean + 0.5 * steps(image))
    assert figures["bg"] == pytest.approx(0.5, rel=1e-2)
    assert figures["ac"] < 1e-2
    assert figures["sky_bias"] == pytest.approx(0.5, abs=1e-3)
    assert figures["nebula_bias"] == pytest.approx(0.5, abs=1e-3)
    # Photometry takes it for sky.
    assert figures["bright"] == pytest.approx(0, abs=0.02)


def test_lost_light_of_sources_is_seen(judge, image):
    clean = image.data - image.flicker
    figures = judge(image, clean - 0.01 * steps(image) * image.scene.sources)
    assert figures["bright"] == pytest.approx(-1, abs=0.05)
    # The sky around faint sources holds the wings of brighter ones, which lose light too.
    assert figures["faint"] == pytest.approx(-1, abs=0.2)


def test_hidden_pixels_are_apart(judge, image, modules):
    cases = modules["flicker_cases"]
    hidden = cases.hidden_background(image, 0.6, seed=3)
    masked = hidden | image.scene_mask | image.bad_pixels
    assert masked.mean() == pytest.approx(0.6, abs=1e-3)
    clean = image.data - image.flicker
    figures = judge(image, clean + steps(image) * hidden, hidden)
    assert figures["hidden"] == pytest.approx(1, rel=1e-2)
    assert figures["bg"] < 1e-2
    assert not cases.hidden_background(image, 0, seed=3).any()


def test_depth_of_a_transit(judge, series):
    """The known light curve deepened by 500 ppm is an error of 500 ppm at every wavelength."""
    clean = series.data - series.flicker
    known = judge(series, clean)
    assert known["depth"] == known["depth_floor"]
    assert known["depth"] < 4 * known["depth_sigma"]
    covered = 1 - series.scene.light_curve
    deeper = 5e-4 * covered / covered.max(axis=0)
    light = (deeper * series.scene.sources)[:, np.newaxis]
    figures = judge(series, clean - steps(series) * light.astype(np.float32))
    assert figures["depth_mean"] - known["depth_mean"] == pytest.approx(500, rel=0.03)
    assert figures["depth_floor"] == known["depth_floor"]
    # As a part of all the light, which has more weight at bright wavelengths.
    assert figures["depth_added"] == pytest.approx(500, rel=0.03)
    assert figures["depth_added_error"] < 5
    assert known["depth_added"] == pytest.approx(0, abs=1e-9)
    assert figures["depth_worst_floor"] == known["depth_worst"]


def test_depths_without_noise_are_the_truth(series, modules):
    figures = modules["flicker_figures"]
    slopes = [series.scene.rate(i) for i in range(12)]
    depths, errors = figures.transit_depths(series, slopes)
    expected = 2e4 * (1 + 0.5 * np.linspace(-0.5, 0.5, 256)).reshape(16, -1).mean(axis=1)
    np.testing.assert_allclose(depths, expected, rtol=2e-3)
    assert errors.max() < 20


def test_mixtures_and_directions(modules):
    cases = modules["flicker_cases"]
    equal, published = (
        cases.main_cases(["nircam_full"], mixture)[0].options() for mixture in cases.MIXTURES
    )
    assert equal.common_rms == equal.independent_rms
    assert published.common_rms == pytest.approx(3 * published.independent_rms)
    assert np.hypot(published.common_rms, published.independent_rms) == pytest.approx(
        np.hypot(equal.common_rms, equal.independent_rms)
    )
    assert not cases.main_cases(["nirspec_sub2048"], cases.PUBLISHED)
    presets = list(cases.HEADERS)
    for case in cases.variant_cases(presets, cases.EQUAL):
        header = cases.main_cases([case.preset], cases.EQUAL)[0].options().readout
        against = "against" in case.name or "no output" in case.name
        assert (case.options().readout != header) == against
        assert against == (not np.array_equal(case.options().readout.ticks(), header.ticks()))
    for case in cases.white_cases(presets):
        options = case.options()
        assert options.common_rms == options.independent_rms == options.alternating_rms == 0


def test_sizes_have_equally_many_sources(modules):
    options = [case.options() for case in modules["flicker_cases"].growth_cases()]
    density = [o.scene.n_sources / np.prod(o.readout.shape) for o in options]
    np.testing.assert_allclose(density, density[0], rtol=0.01)
    assert sorted({o.n_groups for o in options}) == [5, 10, 20]


def test_outcomes_are_kept_but_for_those_to_measure_again(modules, tmp_path):
    methods, cost = modules["flicker_methods"], modules["measured_process"].Cost(1.0, 2.0, 3.0)
    case = modules["flicker_cases"].main_cases(["nircam_full"], "equal")[0]
    path = tmp_path / "outcomes.json"
    results = methods.Results(path)
    for name in ("crsteps", "jwst median"):
        results.put(case, 5, name, methods.Outcome({"bg": 1.5}, cost))
    again = methods.Results(path, again=["crsteps"])
    assert again.get(case, 5, "jwst median") == methods.Outcome({"bg": 1.5}, cost)
    assert again.get(case, 5, "crsteps") is None
    assert again.get(replace(case, mixture="published"), 5, "jwst median") is None


def test_targets_are_met_or_not(modules):
    methods, cost = modules["flicker_methods"], modules["measured_process"].Cost
    case = modules["flicker_cases"].main_cases(["nircam_full"], "equal")[0]

    def outcome(bg, seconds):
        figures = {"bg": bg, "ac": bg, "total": np.hypot(5, bg), "floor": 5.0, "faint": bg}
        return [methods.Outcome(figures, cost(seconds, seconds, 100.0))]

    results = {
        "none": outcome(3.5, 2.0),
        "crsteps": outcome(1.5, 6.0),
        "jwst median": outcome(3.0, 9.0),
        "jwst median by channel": outcome(2.5, 9.0),
        "snowblind": outcome(1.8, 30.0),
    }
    lines = list(modules["flicker_tables"].target_table(case, results))
    rows = [[cell.strip() for cell in line.split("|")[1:]] for line in lines[2:]]
    found = [(row[0], row[3], row[5]) for row in rows]
    assert found == [
        ("residual on the background", "0.600", "yes"),
        ("the same, means removed", "0.600", ""),
        ("residual on the background", "0.833", "NO"),
        ("the same, means removed", "0.833", ""),
        ("excess variance", "0.694", "NO"),
        ("CPU s", "0.667", "NO"),
        ("CPU s net", "0.571", "yes"),
        ("faint, worst seed", "", "NO"),
    ]


def test_least_residual_is_that_of_dense_algebra(modules):
    """One output, no gaps: mean posterior variance of white noise on the known covariance."""
    readout = Readout(shape=(16, 64), n_outputs=1, overhead=0)
    options = FlickerRampOptions(
        readout=readout, n_groups=2, common_rms=0.0, independent_rms=3.0, alternating_rms=0.0
    )
    lag, n = readout.n_ticks, 4 * readout.n_ticks
    k = np.arange(1, n // 2 + 1)
    change = np.r_[0, (1 - np.cos(2 * np.pi / n * k * lag)) / k]
    kernel = np.fft.irfft(change, n)
    kernel *= 9.0 / kernel[0]
    covariance = kernel[np.abs(np.subtract.outer(np.arange(lag), np.arange(lag)))]
    for white in (1.0, 5.0):
        noisy = covariance + white**2 * np.eye(lag)
        expected = np.sqrt(
            np.mean(np.diag(covariance - covariance @ np.linalg.solve(noisy, covariance)))
        )
        limit = modules["flicker_limit"].least_residual(options, white)
        # The ends of the frame know less.
        assert 0.95 * expected < limit < expected, limit / expected


def test_common_noise_is_better_known_from_more_outputs(modules):
    limit = modules["flicker_limit"].least_residual
    options = FlickerRampOptions(
        readout=Readout(shape=(64, 64), overhead=0), independent_rms=0.0, alternating_rms=0.0
    )
    # Four outputs of common noise are one output with a quarter of the white variance.
    single = replace(
        options, readout=Readout(shape=(64, 16), n_outputs=1, overhead=0), common_gain=()
    )
    single = replace(single, common_gain=(1.0,))
    assert limit(options, 6.0) == pytest.approx(limit(single, 3.0), rel=1e-6)
