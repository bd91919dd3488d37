"""Measured spectra against simulated processes."""

import numpy as np
import pytest
from scipy.signal import lfilter

from crsteps.detector.readout import Readout
from crsteps.flicker_noise.spectrum import FlickerSpectrum, measure_spectrum
from crsteps.flicker_noise.streams import Streams, bin_ratio, to_streams

N_BINS, WHITE = 40_000, 2.0


def ornstein_uhlenbeck(time, variance, random, size=N_BINS):
    """Return a stationary first-order autoregressive stream."""
    memory = np.exp(-1 / time)
    kicks = random.normal(0, np.sqrt(variance * (1 - memory**2)), size)
    kicks[0] = random.normal(0, np.sqrt(variance))
    return lfilter([1], [1, -memory], kicks)


def flicker(variance, random):
    """Return noise with a power of 1/f and a variance."""
    k = np.arange(1, N_BINS // 2 + 1)
    modes = np.zeros(k.size + 1, complex)
    modes[1:] = random.normal(size=(2, k.size)).T @ [1, 1j] / np.sqrt(k)
    noise = np.fft.irfft(modes, N_BINS)
    return noise * np.sqrt(variance / noise.var()), variance / np.sum(1 / k)


def streams_of(noise, random, masked=0.3):
    """Return streams of noise with white noise, a part of it masked in blocks."""
    values = noise + random.normal(0, WHITE, noise.shape)
    block = 50
    weights = random.random((len(noise), N_BINS // block)) > masked
    weights = np.repeat(weights, block, axis=1).astype(np.float32)
    return Streams(np.where(weights > 0, values, 1e6).astype(np.float32), weights)


@pytest.mark.parametrize("time", [2.0, 30.0])
def test_autocovariances_of_common_and_own_noise(time):
    random = np.random.default_rng(3)
    gains = np.array([1.3, 0.9, 0.5, 1.13])
    gains /= np.sqrt(np.mean(gains**2))
    streams = []
    for _ in range(4):
        common = ornstein_uhlenbeck(time, 4.0, random)
        own = np.array([ornstein_uhlenbeck(3 * time, 2.0, random) for _ in gains])
        streams.append(streams_of(gains[:, None] * common + own, random))
    spectrum = measure_spectrum(streams)
    np.testing.assert_allclose(spectrum.gains, gains, atol=0.1)
    lags = np.array([1, 3, 10, 30])
    tolerance = 0.04 * np.sqrt(time)
    np.testing.assert_allclose(
        spectrum.autocovariance(lags), 4 * np.exp(-lags / time), atol=tolerance * 4
    )
    np.testing.assert_allclose(
        spectrum.autocovariance(lags, independent=True),
        2 * np.exp(-lags / (3 * time)),
        atol=tolerance * 2,
    )


def test_one_over_f_of_one_output():
    random = np.random.default_rng(4)
    noises = [flicker(9.0, random) for _ in range(4)]
    spectrum = measure_spectrum([streams_of(noise[None], random) for noise, _ in noises])
    assert not spectrum.common.any()
    # Structure function: what a mean that is not known does not touch.
    lags = np.array([1, 4, 16, 64, 256])
    measured = spectrum.variance[0] - spectrum.autocovariance(lags, independent=True)
    expected = [
        np.mean([np.mean((n[lag:] - n[:-lag]) ** 2) / 2 for n, _ in noises]) for lag in lags
    ]
    # At lag 1 the part that no lag shows looks like white noise.
    step = measured - measured[0]
    np.testing.assert_allclose(step[1:], np.array(expected[1:]) - expected[0], rtol=0.12)


def test_white_noise_has_no_spectrum():
    for seed in range(5):
        random = np.random.default_rng(seed)
        streams = [streams_of(np.zeros((4, N_BINS)), random) for _ in range(3)]
        assert not measure_spectrum(streams).variance.any()


def test_noise_of_a_tenth_of_the_white_noise_is_seen():
    random = np.random.default_rng(6)
    noise = np.array([ornstein_uhlenbeck(30.0, (0.1 * WHITE) ** 2, random) for _ in range(4)])
    spectrum = measure_spectrum([streams_of(noise, random) for _ in range(4)])
    lags = np.array([2, 6, 12])
    measured = spectrum.autocovariance(lags) + spectrum.autocovariance(lags, independent=True)
    np.testing.assert_allclose(measured, (0.1 * WHITE) ** 2 * np.exp(-lags / 30), rtol=0.2)


def test_hits_are_pulled_in():
    random = np.random.default_rng(7)
    stream = streams_of(ornstein_uhlenbeck(30.0, 1.0, random)[None], random)
    hit = stream.values.copy()
    hit[0, random.integers(0, N_BINS, 40)] = 1e5
    clean, with_hits = (
        measure_spectrum([Streams(values, stream.weights)]).variance[0]
        for values in (stream.values, hit)
    )
    assert with_hits == pytest.approx(clean, rel=0.1)


def test_without_common_noise_all_of_it_is_of_its_own():
    random = np.random.default_rng(8)
    common = ornstein_uhlenbeck(20.0, 1.0, random)
    spectrum = measure_spectrum([streams_of(np.tile(common, (3, 1)), random)], common=False)
    assert not spectrum.common.any()
    assert spectrum.independent.sum() == pytest.approx(1.0, rel=0.2)


def test_nothing_is_measured_in_nothing():
    nothing = np.zeros((2, 500), np.float32)
    assert not measure_spectrum([Streams(nothing, nothing)]).variance.any()


def test_spectrum_in_longer_bins_is_that_of_means_of_bins():
    """Covariances of means of four samples, summed from those of the samples."""
    times = np.array([0.7, 5.0, 80.0])
    spectrum = FlickerSpectrum(
        np.array([1.0, 2.0, 0.5]), np.array([0.0, 1.5, 3.0]), np.ones(2), times
    )
    lags, shifts = np.array([0, 1, 2, 7, 40]), np.arange(-3, 4)
    weights = (4 - np.abs(shifts)) / 16
    longer = spectrum.in_bins(4)
    for independent in (True, False):
        samples = spectrum.autocovariance(4 * lags[:, None] + shifts, independent=independent)
        means = longer.autocovariance(lags, independent=independent)
        np.testing.assert_allclose(means, samples @ weights, rtol=1e-12)
    expected = spectrum.autocovariance(shifts) @ weights * spectrum.gains**2
    expected += spectrum.autocovariance(shifts, independent=True) @ weights
    np.testing.assert_allclose(longer.variance, expected)
    np.testing.assert_allclose(longer.scaled(3).variance, 3 * expected)
    np.testing.assert_allclose(longer.in_bins(1 / 4).common, spectrum.common)
    np.testing.assert_allclose(longer.in_bins(1 / 4).times, times)


@pytest.mark.parametrize(("width", "time", "lags"), [(32, 60, (16, 44, 88)), (512, 20, (16,))])
def test_spectrum_of_long_bins_is_that_of_the_noise_in_short_ones(width, time, lags):
    """
    Alternating noise with a known covariance in ticks, measured in bins of 16 ticks.

    Rows of 32 pixels are 44 ticks: 11 short bins but only 3 long ones. Fast noise loses more of its
    covariance in long bins.
    """
    readout = Readout(shape=(width, 512), n_outputs=1, fast_axis=2, slow_axis=1)
    random = np.random.default_rng(1)
    ticks = readout.row_ticks * np.arange(512)[:, None] + readout.pixel_ticks
    signs = np.where(np.arange(width) % 2, -1, 1)
    streams = []
    for _ in range(2048 // width):
        noise = ornstein_uhlenbeck(time, 1.0, random, ticks.max() + 1)
        image = readout.to_image((noise[ticks] * signs)[None])
        everywhere = np.ones(image.shape)
        streams.append(to_streams(image, everywhere, readout, alternating=True, bin_ticks=16))
    spectrum = measure_spectrum(streams, common=False)
    spectrum = spectrum.in_bins(bin_ratio(readout, 1, old=16))
    lags = np.array(lags)
    expected = np.exp(-lags / time)
    measured = spectrum.autocovariance(lags, independent=True)
    np.testing.assert_allclose(measured, expected, rtol=0.03)


def test_output_without_background_has_a_mean_gain():
    """Its gain cannot be measured, and with none the common noise would stay in it."""
    random = np.random.default_rng(8)
    common = np.repeat(random.normal(size=1000), 8)
    values = (common + 0.1 * random.normal(size=(4, 8000))).astype(np.float32)
    weights = np.ones_like(values)
    weights[2] = 0
    spectrum = measure_spectrum([Streams(values * weights, weights)])
    assert spectrum.gains[2] == 1
    np.testing.assert_allclose(spectrum.gains, 1, atol=0.02)


def test_spectrum_of_stronger_noise_has_more_of_everything():
    spectrum = FlickerSpectrum(
        np.array([1.0, 2.0]), np.array([0.5, 0.0]), np.array([1.2, 0.7]), np.ones(2)
    )
    np.testing.assert_allclose(spectrum.scaled(3).variance, 3 * spectrum.variance)
