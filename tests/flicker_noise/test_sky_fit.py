"""Smooth sky behind flicker noise, against simulated truth."""

from dataclasses import replace

import numpy as np
import pytest

from crsteps.detector.readout import Readout
from crsteps.flicker_noise.sky_fit import SkyFit
from crsteps.flicker_noise.spectrum import TIMES, FlickerSpectrum, measure_spectrum
from crsteps.flicker_noise.streams import to_streams
from crsteps.simulation.flicker_ramps import FlickerRampOptions, simulate_flicker_ramps
from crsteps.simulation.flicker_scenes import SceneOptions

ROWS = Readout(shape=(256, 512), n_outputs=4, fast_axis=-1, slow_axis=2)
COLUMNS = Readout(shape=(512, 256), n_outputs=4, fast_axis=2, slow_axis=-1)
BOX = 16
# Beyond the centres of the outermost boxes the sky is constant.
INNER = np.s_[BOX // 2 : -BOX // 2, BOX // 2 : -BOX // 2]
SILENT = FlickerSpectrum(np.zeros(TIMES.size), np.zeros(TIMES.size), np.ones(4), TIMES)


def nebula(shape):
    """Light that is smooth on the scale of several boxes."""
    y, x = np.indices(shape) / np.reshape(shape, (2, 1, 1))
    distance = ((x - 0.45) / 0.2) ** 2 + ((y - 0.5) / 0.25) ** 2
    return (20 * np.exp(-distance)).astype(np.float32)


def flicker(readout, *, seed=2):
    """Flicker noise of a difference, white noise, and pixels with a tenth masked in blobs."""
    options = FlickerRampOptions(
        readout=readout,
        scene=SceneOptions(kind="blank"),
        n_groups=2,
        common_rms=3.0,
        independent_rms=3.0,
        alternating_rms=0.0,
    )
    noise = np.diff(simulate_flicker_ramps(options, seed=seed).flicker[0], axis=0)[0]
    random = np.random.default_rng(seed)
    white = random.normal(0, 4, readout.shape).astype(np.float32)
    blobs = random.random([size // 16 for size in readout.shape]) > 0.1
    return noise, white, np.kron(blobs, np.ones((16, 16))).astype(bool)


def fitted(image, used, readout, spectrum, *, steps=10, box=BOX):
    fit = SkyFit(np.where(used, image, 0), used, readout, box=box)
    return fit.start(), fit.behind(spectrum, 16.0, steps=steps)


@pytest.mark.parametrize("readout", [ROWS, replace(ROWS, slow_axis=-2, fast_axis=1), COLUMNS])
def test_there_is_less_noise_in_the_sky(readout):
    noise, white, used = flicker(readout)
    streams = [to_streams(noise, np.ones(readout.shape), readout)]
    spectrum = measure_spectrum(streams)
    before, behind = fitted(noise + white, used, readout, spectrum, box=2 * BOX)
    # The mean of the noise cannot be told from sky.
    assert behind.std() < 0.75 * before.std()
    assert behind.shape == readout.shape
    assert behind.dtype == np.float32


@pytest.mark.parametrize("readout", [ROWS, COLUMNS])
def test_no_light_of_a_smooth_sky_is_lost(readout):
    """What a nebula adds to the sky is the nebula, with noise in both."""
    noise, white, used = flicker(readout)
    spectrum = measure_spectrum([to_streams(noise, np.ones(readout.shape), readout)])
    light = nebula(readout.shape)
    without, both = (
        fitted(noise + white + sky, used, readout, spectrum, steps=20)[1] for sky in (0, light)
    )
    change = both - without - light
    assert np.abs(change.mean()) < 0.01 * light.max()
    assert change[INNER].std() < 0.02 * light.max()


def test_without_noise_the_sky_is_that_of_least_squares():
    light = nebula(ROWS.shape)
    used = np.ones(ROWS.shape, bool)
    before, behind = fitted(light, used, ROWS, SILENT)
    assert np.abs(behind - light)[INNER].max() < 0.02 * light.max()
    assert (behind - light)[INNER].std() < (before - light)[INNER].std()


def test_masked_boxes_are_bridged():
    light = nebula(ROWS.shape)
    used = np.ones(ROWS.shape, bool)
    used[64:160, 200:300] = False
    _, behind = fitted(light, used, ROWS, SILENT, steps=40)
    assert np.isfinite(behind).all()
    assert np.abs(behind - light)[~used].mean() < 0.1 * light.max()


@pytest.mark.parametrize("shape", [(16, 512), (256, 16), (8, 8)])
def test_images_smaller_than_a_box(shape):
    readout = Readout(shape=shape, n_outputs=1, fast_axis=1, slow_axis=2)
    spectrum = replace(SILENT, gains=np.ones(1))
    _, behind = fitted(np.full(shape, 3, np.float32), np.ones(shape, bool), readout, spectrum)
    np.testing.assert_allclose(behind, 3, rtol=1e-5)
