"""Noise of the mean of a time series: none of the light is taken for it."""

import numpy as np
import pytest

from crsteps.detector.readout import Readout
from crsteps.flicker_noise.joint_fit import JointFit
from crsteps.flicker_noise.process import FlickerProcess
from crsteps.flicker_noise.series_mean import noise_of_mean
from crsteps.flicker_noise.slope import line_weights
from crsteps.flicker_noise.spectrum import FlickerSpectrum
from crsteps.flicker_noise.streams import from_streams
from crsteps.flicker_noise.time_series import TimeSeriesOptions

# Stripes along a trace: its wings are constant along a row, as slow noise is.
READOUT = Readout(shape=(96, 256), n_outputs=1, fast_axis=1, slow_axis=2)
WHITE, N_DIFFERENCES = 1.0, 4
OPTIONS = TimeSeriesOptions(alternating_columns=False)


def spectrum():
    """Spectrum of noise with as much variance as the white noise."""
    times = np.geomspace(15, 6000, 7)
    return FlickerSpectrum(np.zeros(7), np.full(7, 1 / 7), np.ones(1), times)


def trace():
    """Light of a trace with wings, and the pixels in which it is below a twentieth of the noise."""
    distance = np.abs(np.arange(READOUT.shape[0]) - 48.0)[:, None]
    light = np.tile(200 * (1 + 0.25 * distance**2) ** -2.5, (1, READOUT.shape[1]))
    return light.astype(np.float32), light < 0.05


def estimate(template, light, background):
    """Noise of a template."""
    fit = JointFit(light, np.full_like(light, WHITE), spectrum(), None, READOUT, OPTIONS)
    known = {"spectrum": spectrum(), "white": WHITE, "sky_box": 48}
    return noise_of_mean(fit, template, template != 0, background, **known)


def reads(rng):
    """Flicker noise of the reads of a ramp with differences of that spectrum."""
    process = FlickerProcess.from_spectrum(
        spectrum().scaled(0.5), READOUT.n_rows * READOUT.row_ticks
    )
    streams = np.array([process.sample(rng) for _ in range(N_DIFFERENCES + 1)])
    return from_streams(streams, READOUT, bin_ticks=1)


def test_no_light_of_faint_wings_is_taken():
    light, background = trace()
    template = np.repeat(light[None], N_DIFFERENCES, axis=0)
    noise, away, _ = estimate(template, light, background)
    faint = light < 3
    taken = noise.mean(axis=0)[faint].sum() / light[faint].sum()
    assert abs(taken) < 0.002
    assert not away[44:53].any()
    assert away[:30].all()


def test_noise_that_differs_from_group_to_group_is_found_under_the_trace():
    light, background = trace()
    noise = np.diff(reads(np.random.default_rng(1)), axis=0)
    white = np.random.default_rng(2).standard_normal(noise.shape, np.float32)
    found, _, share = estimate(light + noise + white, light, background)
    weights = np.array([4, 6, 6, 4]) / 20
    departures = [x - np.tensordot(weights, x, axes=1) for x in (noise, found)]
    left = [
        np.std((departures[0] - departures[1])[:, place]) for place in (background, ~background)
    ]
    before = np.std(departures[0])
    assert left[0] < 0.5 * before
    assert left[1] < 0.55 * before
    # The mean over the groups has the noise of a straight line's slope through five reads.
    assert share == pytest.approx(12 / (5**3 - 5) / 2)
    common = np.std(np.tensordot(weights, noise, axes=1)) / np.std(noise)
    assert common == pytest.approx(np.sqrt(share), rel=0.3)


def test_a_pixel_that_lacks_a_group_keeps_its_light():
    light, background = trace()
    template = np.repeat(light[None], N_DIFFERENCES, axis=0)
    template[3, 48, 100:110] = 0  # not known
    noise, _, _ = estimate(template, light, background)
    assert np.isfinite(noise).all()
    assert np.abs(noise).max() < 0.05


@pytest.mark.parametrize("n_differences", [1, 2, 5])
def test_weights_are_those_of_a_straight_line(n_differences):
    weights, variance = line_weights(n_differences)
    groups = np.random.default_rng(3).standard_normal((n_differences + 1, 50_000))
    slopes = np.polyfit(np.arange(n_differences + 1), groups, 1)[0]
    np.testing.assert_allclose(np.tensordot(weights, np.diff(groups, axis=0), axes=1), slopes)
    assert variance == pytest.approx(np.var(slopes) / 2, rel=0.02)


def test_without_background_the_common_part_stays():
    light, background = trace()
    noise = np.diff(reads(np.random.default_rng(1)), axis=0)
    found, away, _ = estimate(light + noise, light, np.zeros_like(background))
    assert not away.any()
    common = np.tensordot(np.array([4, 6, 6, 4]) / 20, found, axes=1)
    assert np.abs(common).max() < 0.02
    assert np.std(found) > 0.5
