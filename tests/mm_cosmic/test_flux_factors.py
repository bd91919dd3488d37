"""Flux factors: given in every way a user may, and measured against the truth of simulations."""

from dataclasses import replace

import numpy as np
import pytest

from crsteps.detector.noise import ExposureNoise
from crsteps.mm_cosmic.flux_factors import measure_flux_factors, resolve_flux_factors
from crsteps.simulation.fibre_spectrograph import (
    equal_options,
    simulate_fibre_exposures,
    unequal_options,
)

NOISE = ExposureNoise.from_gain(1.0, 3.4)
SMALL = {"shape": (200, 240), "n_crossings": 5}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, [1, 1, 1]),
        ("none", [1, 1, 1]),
        ("NONE", [1, 1, 1]),
        (["none"], [1, 1, 1]),
        (1.1, [1.1] * 3),
        ("1.1", [1.1] * 3),
        ([1.1], [1.1] * 3),
        ([0.8, 1, 1.2], [0.8, 1, 1.2]),
        (["0.8", "1.0", "1.2"], [0.8, 1, 1.2]),
        ("[0.8, 1.0, 1.2]", [0.8, 1, 1.2]),
        ("0.8 1.0 1.2", [0.8, 1, 1.2]),
        (np.array([0.8, 1, 1.2]), [0.8, 1, 1.2]),
    ],
)
def test_factors_that_are_given(given, expected):
    np.testing.assert_array_equal(resolve_flux_factors(given, 3), expected)


@pytest.mark.parametrize("auto", ["auto", " Auto ", ["auto"]])
def test_auto_leaves_them_to_be_measured(auto):
    assert resolve_flux_factors(auto, 3) is None


@pytest.mark.parametrize("given", ["automatic", 0, -1.0, [1, np.nan, 1], [], "", ["a", "b"], {}])
def test_factors_that_cannot_be_used(given):
    with pytest.raises(ValueError, match=r"flux_factor = .* cannot be used"):
        resolve_flux_factors(given, 3)


@pytest.mark.parametrize("given", [[1, 2], [1, 2, 3, 4], "1, 2"])
def test_wrong_number_of_factors(given):
    with pytest.raises(ValueError, match=r"flux_factor has . values for 3 exposures"):
        resolve_flux_factors(given, 3)


def measured(options, seed, **arguments):
    exposures = simulate_fibre_exposures(options, seed=seed)
    median = np.median(exposures.data, axis=0)
    return exposures, measure_flux_factors(exposures.data, median, noise=NOISE, **arguments)


@pytest.mark.parametrize(
    "factors", [(1.0, 1.0, 1.0), (0.8, 1.0, 1.2), (2.5, 0.3, 1.0), (0.9, 1.0, 1.0, 1.1, 1.3)]
)
def test_factors_of_simulated_exposures(factors):
    options = replace(equal_options(), n_exposures=len(factors), flux_factors=factors, **SMALL)
    exposures, found = measured(options, seed=1)
    assert found.warnings == ()
    np.testing.assert_allclose(found.values / np.median(found.values), factors, rtol=4e-3)
    # The median of five exposures, two of which are equal, is not that of their factors.
    bright = exposures.mean_scene > 50
    median = np.median(exposures.cosmic_ray_free, axis=0)[bright].sum(dtype=float)
    expected = exposures.scene[:, bright].sum(axis=1, dtype=float) / median
    np.testing.assert_allclose(found.values, expected, rtol=1e-2)
    assert np.all((found.errors > 1e-5) & (found.errors < 3e-3))


def test_exposures_that_differ_by_more_than_a_factor():
    """Shifts and fibres of their own: the flux of the bright part of each exposure is the truth."""
    options = replace(unequal_options(), flux_factors=(1.0, 0.8, 1.15))
    exposures, found = measured(options, seed=2)
    bright = exposures.mean_scene > 50
    flux = exposures.scene[:, bright].sum(axis=1, dtype=float)
    np.testing.assert_allclose(found.values / found.values[0], flux / flux[0], rtol=0.02)


def test_a_great_many_cosmic_rays():
    options = replace(equal_options(), flux_factors=(0.8, 1.0, 1.2), hit_fraction=0.15, **SMALL)
    _, found = measured(options, seed=3)
    np.testing.assert_allclose(found.values, (0.8, 1.0, 1.2), rtol=0.01)


def test_only_the_region_counts():
    options = replace(equal_options(), flux_factors=(0.8, 1.0, 1.2), **SMALL)
    exposures = simulate_fibre_exposures(options, seed=1)
    region = np.zeros(options.shape, dtype=bool)
    region[20:150, 30:200] = True
    data = exposures.data.copy()
    data[0, ~region] *= 3
    median = np.median(data, axis=0)
    found = measure_flux_factors(data, median, noise=NOISE, region=region)
    np.testing.assert_allclose(found.values / found.values[1], (0.8, 1.0, 1.2), rtol=8e-3)
    assert found.histograms.sum() <= 3 * region.sum()


def test_gain_and_unit_of_the_data_do_not_matter():
    options = replace(equal_options(), flux_factors=(0.8, 1.0, 1.2), **SMALL)
    exposures = simulate_fibre_exposures(options, seed=1)
    median = np.median(exposures.data, axis=0)
    electrons = measure_flux_factors(exposures.data, median, noise=NOISE)
    noise = ExposureNoise.from_gain(np.full((3, *options.shape), 4.0), 3.4 / 4)
    adu = measure_flux_factors(exposures.data / 4, median / 4, noise=noise)
    np.testing.assert_allclose(adu.values, electrons.values, rtol=1e-4)


def test_missing_pixels_are_left_out():
    options = replace(equal_options(), flux_factors=(0.8, 1.0, 1.2), **SMALL)
    exposures = simulate_fibre_exposures(options, seed=1)
    data = exposures.data.copy()
    data[np.random.default_rng(1).random(data.shape) < 0.2] = np.nan
    data[0, :50] = np.nan
    before = data.copy()
    with np.errstate(all="ignore"):
        median = np.nanmedian(np.where(np.isnan(data).all(axis=0), 0, data), axis=0)
    found = measure_flux_factors(data, median, noise=NOISE)
    np.testing.assert_allclose(found.values / found.values[1], (0.8, 1.0, 1.2), rtol=6e-3)
    np.testing.assert_array_equal(data, before)


def test_exposures_without_signal_or_data_get_one_with_a_warning():
    options = replace(equal_options(), n_exposures=5, **SMALL)
    exposures = simulate_fibre_exposures(options, seed=1)
    data = exposures.data.copy()
    data[3] = np.random.default_rng(2).normal(0, 3.4, options.shape)
    data[4] = np.nan
    found = measure_flux_factors(data, np.median(data[:3], axis=0), noise=NOISE)
    np.testing.assert_allclose(found.values[:3], 1, rtol=1e-2)
    assert found.values[3:].tolist() == [1, 1]
    assert np.isnan(found.errors[3:]).all()
    assert [line.split(" was")[0] for line in found.warnings] == [
        "the flux factor of exposure 4",
        "the flux factor of exposure 5",
    ]


@pytest.mark.parametrize("case", ["dark", "negative", "missing", "empty region"])
def test_no_signal_no_factors(case):
    shape = (3, 60, 60)
    data = np.random.default_rng(4).normal(0, 3.4, shape).astype(np.float32)
    region = None
    if case == "negative":
        data -= 1000
    if case == "missing":
        data[:] = np.nan
    if case == "empty region":
        data += 1000
        region = np.zeros(shape[1:], dtype=bool)
    median = np.sort(data, axis=0)[1]
    found = measure_flux_factors(data, median, noise=NOISE, region=region)
    assert found.values.tolist() == [1, 1, 1]
    assert len(found.warnings) == 1
    assert "flux factors were not measured, but set to 1" in found.warnings[0]
    assert found.histograms.shape == (3, found.ratio_edges.size - 1, found.median_edges.size - 1)


def test_constant_exposures():
    data = np.full((3, 40, 40), 100.0) * np.reshape((0.5, 1.0, 2.0), (3, 1, 1))
    found = measure_flux_factors(data, data[1], noise=NOISE)
    np.testing.assert_allclose(found.values, (0.5, 1.0, 2.0), rtol=1e-6)


def test_what_the_figure_shows():
    options = replace(equal_options(), flux_factors=(0.8, 1.0, 1.2), **SMALL)
    exposures = simulate_fibre_exposures(options, seed=1)
    median = np.median(exposures.data, axis=0)
    found = measure_flux_factors(exposures.data, median, noise=NOISE)
    inside = median > 0
    for plane, histogram, ratios, value in zip(
        exposures.data, found.histograms, found.ratios, found.values, strict=True
    ):
        expected, *_ = np.histogram2d(
            plane[inside] / median[inside],
            median[inside],
            bins=(found.ratio_edges, found.median_edges),
        )
        np.testing.assert_array_equal(histogram, expected)
        assert ratios[-1] == pytest.approx(value, rel=0.04)  # the brightest pixels
    assert np.all(np.diff(found.levels) > 0)
    assert found.ratio_edges[0] < 0.8 < 1.2 < found.ratio_edges[-1]
    assert found.median_edges[-1] > median.max()
