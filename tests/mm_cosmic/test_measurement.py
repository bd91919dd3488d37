"""Differences between simulated exposures, measured from the exposures."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from crsteps.detector.noise import ExposureNoise
from crsteps.mm_cosmic.measurement import measure_equivalence, measurement_bands
from crsteps.simulation.fibre_spectrograph import (
    equal_options,
    simulate_fibre_exposures,
    unequal_options,
)

SHAPE = (256, 384)
NOISE = ExposureNoise.from_gain(1.0, 3.4)


def measured(data, noise=NOISE, **options):
    return measure_equivalence([(data, noise)], **options)


@pytest.fixture(scope="module")
def equal():
    """Return equal exposures."""
    return simulate_fibre_exposures(equal_options(shape=SHAPE), seed=4)


@pytest.mark.parametrize("seed", [3, 4])
def test_flux_and_shift_are_recovered(seed):
    exposures = simulate_fibre_exposures(unequal_options(shape=SHAPE, fibre_scatter=0), seed=seed)
    model = measured(exposures.data)
    flux = np.array(exposures.options.flux_factors)
    dx, dy = np.array(exposures.options.shifts).T
    assert_allclose(model.flux, flux / flux.mean(), atol=0.004)
    assert_allclose(model.dx, dx - dx.mean(), atol=0.01)
    assert_allclose(model.dy, dy - dy.mean(), atol=0.01)
    assert model.local_box is None
    assert not model.is_equal


def test_local_scatter_of_fibres_is_recovered():
    """Boxes see each fibre; the given scatter is that before the mean of three is taken out."""
    exposures = simulate_fibre_exposures(unequal_options(shape=SHAPE), seed=3)
    model = measured(exposures.data)
    assert model.local_box == (3, 151)
    assert 0.5 * 0.05 < model.local_scatter < 0.05
    # What is corrected is not extra variance too.
    assert model.relative_variance < 0.2 * 0.05**2


@pytest.mark.parametrize("seed", [3, 4, 5])
def test_equal_exposures_get_no_correction(seed):
    exposures = simulate_fibre_exposures(equal_options(shape=SHAPE), seed=seed)
    model = measured(exposures.data)
    assert model.is_equal
    assert model.usable.all()
    # Below the Poisson noise up to a signal of several thousand.
    assert model.relative_variance < 2e-4
    assert max(model.gradient_variance) < 6e-4


def test_offset_is_recovered(equal):
    shifted = equal.data + np.float32([[[-1]], [[2]], [[-1]]])
    model = measured(shifted)
    assert_allclose(model.offset, [-1, 2, -1], atol=0.1)
    assert_array_equal(model.flux, 1)
    assert not model.dx.any()


@pytest.mark.parametrize(
    ("gain", "read_noise"), [(1, 3.4), (1.5, 3.4), (0.67, 3.4), (1, 5), (1, 2.4)]
)
def test_noise_is_compared_with_the_given_one(equal, gain, read_noise):
    model = measured(equal.data, ExposureNoise.from_gain(gain, read_noise))
    assert model.gain_ratio * gain == pytest.approx(1, rel=0.1)
    assert model.read_noise_ratio * read_noise == pytest.approx(3.4, rel=0.1)


def test_even_bright_scenes_do_not_tell_read_noise_from_gain():
    random = np.random.default_rng(1)
    data = random.poisson(100, (3, 100, 100)) + random.normal(0, 3, (3, 100, 100))
    model = measured(data.astype(np.float32), ExposureNoise.from_gain(1.0, 3.0))
    assert np.isnan(model.read_noise_ratio)
    assert np.isnan(model.gain_ratio)
    assert model.is_equal


def test_read_noise_is_told_without_any_light():
    random = np.random.default_rng(2)
    data = random.normal(0, 6, (3, 100, 100)).astype(np.float32)
    model = measured(data, ExposureNoise.from_gain(1.0, 3.0))
    assert model.read_noise_ratio == pytest.approx(2, rel=0.1)
    assert np.isnan(model.gain_ratio)


def test_dead_exposure_is_found(equal):
    random = np.random.default_rng(3)
    data = equal.data.copy()
    data[1] = random.normal(0, 3.4, SHAPE)
    model = measured(data)
    assert_array_equal(model.usable, [True, False, True])
    assert_array_equal(model.flux, 1)


def test_exposure_without_data_is_left_out(equal):
    data = equal.data.copy()
    data[2] = np.nan
    assert_array_equal(measured(data).usable, [True, True, False])
    data[0] = np.nan
    with pytest.raises(ValueError, match="fewer than two exposures"):
        measured(data)


def test_not_adapting_measures_only_the_noise():
    exposures = simulate_fibre_exposures(unequal_options(shape=SHAPE), seed=4)
    model = measured(exposures.data, adapt=False)
    assert model.is_equal
    assert model.relative_variance == 0
    assert not any(model.gradient_variance)
    assert np.isfinite(model.read_noise_ratio)


def test_unequal_read_noise_is_no_difference():
    """A noisy exposure neither differs in flux nor spoils the comparison of the noise."""
    random = np.random.default_rng(6)
    signal = np.broadcast_to(np.linspace(0, 60, 200), (100, 200))
    read_noise = np.array([3.0, 30.0, 3.0])
    data = random.poisson(signal, (3, 100, 200)) + read_noise[:, None, None] * random.normal(
        size=(3, 100, 200)
    )
    model = measured(data.astype(np.float32), ExposureNoise.from_gain(1.0, read_noise))
    assert model.local_box is None
    assert_array_equal(model.flux, 1)
    assert model.read_noise_ratio == pytest.approx(1, abs=0.1)


def test_bands_do_not_change_what_is_measured():
    exposures = simulate_fibre_exposures(unequal_options(shape=SHAPE), seed=5)
    whole = measured(exposures.data)
    rows = [slice(0, 100), slice(120, 256)]
    bands = measure_equivalence([(exposures.data[:, part], NOISE.rows(part)) for part in rows])
    assert_allclose(bands.flux, whole.flux, atol=0.01)
    assert_allclose(bands.dx, whole.dx, atol=0.01)
    assert_allclose(bands.dy, whole.dy, atol=0.01)


@pytest.mark.parametrize(("n_rows", "n_columns"), [(1, 10), (512, 512), (2016, 1596), (4096, 9999)])
def test_bands_spread_over_the_image(n_rows, n_columns):
    bands = measurement_bands(n_rows, n_columns)
    assert bands[0].start == 0
    assert bands[-1].stop == n_rows or len(bands) == 1
    assert all(0 <= band.start < band.stop <= n_rows for band in bands)
    assert sum(band.stop - band.start for band in bands) <= n_rows
    if n_rows * n_columns <= 600_000:
        assert bands == [slice(0, n_rows)]
