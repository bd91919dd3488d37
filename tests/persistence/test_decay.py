"""Decays of stimuli: maps, forgetting, several stimuli, what is missing."""

import numpy as np
import pytest

from crsteps.persistence.decay import (
    Decay,
    PersistenceModel,
    combine_decays,
    pixel_values,
    total_rate,
)
from crsteps.persistence.group_charge import GroupTimes, product_persistence
from crsteps.persistence.power_law import Covariance, rate
from crsteps.persistence.stimulus import HST_WFC3_IR, ConstantCurve, LinearCurve

LINEAR = LinearCurve(amplitude=0.5, gamma=1.0, reference_fluence=1e5)


def make_decay(pixels, amplitude, *, end=0.0, gamma=1.0):
    """Return a decay without errors."""
    n = len(pixels)
    return Decay(
        np.array(pixels, np.int64),
        np.broadcast_to(amplitude, n).astype(np.float32),
        np.full(n, gamma, np.float32),
        Covariance(),
        end,
        1000.0,
    )


def test_number_channels_and_image():
    shape = (3, 8)
    channels = np.arange(8) // 2
    by_channel, image = np.array([1.0, 2.0, 3.0, 4.0]), np.arange(24.0).reshape(shape)
    assert pixel_values(2.5, shape=shape) == 2.5
    pixels = np.array([0, 7, 8, 20])
    given = pixel_values(by_channel, shape=shape, pixels=pixels, channels=channels)
    assert list(given) == [1, 4, 1, 3]
    assert list(pixel_values(image, shape=shape, pixels=pixels)) == [0, 7, 8, 20]
    assert pixel_values(by_channel, shape=shape, channels=channels).shape == (24,)
    with pytest.raises(ValueError, match="list by channel"):
        pixel_values(by_channel, shape=shape)
    with pytest.raises(ValueError, match="channels 0 to 7"):
        pixel_values(by_channel, shape=shape, channels=np.arange(8))
    with pytest.raises(ValueError, match="do not fit"):
        pixel_values(np.ones((8, 3)), shape=shape)


def test_amplitude_and_slope_of_a_stimulus():
    rng = np.random.default_rng(1)
    fluence = rng.uniform(1e4, 1e5, (4, 6)).astype(np.float32)
    scale, offset = rng.uniform(0.5, 2, (4, 6)), np.array([0.0, 0.1, -0.1])
    model = PersistenceModel(LINEAR, amplitude_scale=scale, gamma_offset=offset, forgetting_rate=0)
    decay = model.decay(fluence, end=100.0, channels=np.arange(6) // 2)
    assert list(decay.pixels) == list(range(24))
    np.testing.assert_allclose(decay.amplitude, (0.5 * fluence / 1e5 * scale).ravel(), rtol=1e-6)
    expected = 1 + np.tile(np.repeat(offset, 2), 4)
    np.testing.assert_allclose(decay.gamma, expected, rtol=1e-6)
    np.testing.assert_allclose(
        decay.rate(150.0), rate(50.0, amplitude=decay.amplitude, gamma=expected), rtol=1e-6
    )


def test_which_pixels_are_remembered():
    fluence = np.array([[np.nan, -5.0, 0.0, 1.0, 1e5, np.inf, 1e7]])
    model = PersistenceModel(LINEAR, saturation_level=1e5)
    decay = model.decay(fluence, end=0.0)
    assert list(decay.pixels) == [4, 5, 6]
    np.testing.assert_allclose(decay.amplitude, 0.5)
    # at 30 s the pixel with 1 e- has 1.7e-4 e-/s
    everything = PersistenceModel(LINEAR, saturation_level=1e5, forgetting_rate=0)
    assert list(everything.decay(fluence, end=0.0).pixels) == [3, 4, 5, 6]
    # without a level of saturation nothing is known of the infinite one
    unlimited = PersistenceModel(LINEAR)
    assert list(unlimited.decay(fluence, end=0.0).pixels) == [4, 6]
    bad_scale = PersistenceModel(
        LINEAR, amplitude_scale=np.array([[1, 1, 1, 1, np.nan, 0, -1.0]]), saturation_level=1e5
    )
    assert bad_scale.decay(fluence, end=0.0).pixels.size == 0


def test_forgetting():
    decay = make_decay([1, 5, 9], [1.0, 0.1, 0.01])
    assert list(decay.remembered(1000.0, threshold=0.05).pixels) == [1, 5]
    assert list(decay.remembered(1e5, threshold=0.005).pixels) == [1]
    assert decay.remembered(1e9, threshold=0.005).pixels.size == 0


def test_covariance_scales_with_the_amplitude():
    """Errors of the scale and of the slope, carried to the rate of a product."""
    covariance = Covariance(0.04, 0.01, -0.015)
    model = PersistenceModel(LINEAR, covariance=covariance, forgetting_rate=0)
    fluence = np.array([[2e4, 8e4]])
    decay = model.decay(fluence, end=0.0)
    amplitude = 0.5 * fluence.ravel() / 1e5
    np.testing.assert_allclose(decay.covariance.amplitude, 0.04 * amplitude**2, rtol=1e-6)
    np.testing.assert_allclose(decay.covariance.cross, -0.015 * amplitude, rtol=1e-6)
    assert decay.covariance.gamma == 0.01
    product = product_persistence(
        GroupTimes.regular(4, n_frames=16, n_drops=4, frame_time=1.454),
        delay=200.0,
        amplitude=decay.amplitude,
        gamma=decay.gamma,
        covariance=decay.covariance,
    )
    relative = np.sqrt(product.variance) / product.rate
    np.testing.assert_allclose(relative, relative[0], rtol=1e-5)


def test_sum_and_maximum():
    decays = [
        make_decay([0, 1, 2], [1.0, 0.2, 0.5], end=0.0),
        make_decay([1, 2, 3], [0.3, 0.1, 0.7], end=500.0),
        make_decay([], []),
    ]
    shape, time = (1, 5), 1500.0
    first, second = 1000 / 1500, 1.0
    np.testing.assert_allclose(
        total_rate(decays, time=time, shape=shape),
        [[first, 0.2 * first + 0.3, 0.5 * first + 0.1, 0.7 * second, 0]],
        rtol=1e-6,
    )
    np.testing.assert_allclose(
        total_rate(decays, time=time, shape=shape, how="max"),
        [[first, 0.3, 0.5 * first, 0.7, 0]],
        rtol=1e-6,
    )
    chosen = combine_decays(decays, how="max", time=time)
    assert [list(d.pixels) for d in chosen] == [[0, 2], [1, 3], []]
    assert [d.end for d in chosen] == [0, 500, 0]
    with pytest.raises(ValueError, match="combined"):
        combine_decays(decays, how="median", time=time)


def test_equal_decays_count_once():
    decays = [make_decay([4, 6], 0.5), make_decay([4, 6], 0.5)]
    assert [list(d.pixels) for d in combine_decays(decays, how="max", time=10.0)] == [[4, 6], []]
    assert combine_decays([], how="max", time=10.0) == []


def test_saturation_again_and_again_is_counted_once_by_the_maximum():
    """A pixel saturated in 20 exposures has the persistence of about one by the published rule."""
    model = PersistenceModel(HST_WFC3_IR, saturation_level=1.2e5)
    decays = [model.decay(np.full((2, 2), np.inf), end=100.0 * i) for i in range(20)]
    once = total_rate(decays[-1:], time=2000.0, shape=(2, 2))
    assert np.all(total_rate(decays, time=2000.0, shape=(2, 2), how="max") == once)
    assert np.all(total_rate(decays, time=2000.0, shape=(2, 2)) > 3 * once)


def test_no_stimulus_at_all():
    decay = PersistenceModel(ConstantCurve(0.3, 1.0)).decay(np.zeros((3, 4)), end=0.0)
    assert decay.pixels.size == 0
    assert not total_rate([decay], time=10.0, shape=(3, 4)).any()
