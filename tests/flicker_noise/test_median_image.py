"""Time series without their scaled median against the jwst step and closed forms."""

import numpy as np
import pytest
from jwst.clean_flicker_noise import clean_flicker_noise as jwst
from jwst.clean_flicker_noise import tso_median_image
from stdatamodels.jwst import datamodels

from crsteps.detector.readout import Readout
from crsteps.flicker_noise.median_image import (
    background_ramp,
    clean_median_image,
    image_scales,
    white_light_scales,
)
from crsteps.flicker_noise.standard import StandardOptions
from crsteps.simulation.flicker_ramps import nirspec_sub512, simulate_flicker_ramps

SUB = Readout(shape=(32, 128), n_outputs=1, fast_axis=2, slow_axis=1)


@pytest.fixture(scope="module")
def simulated():
    return simulate_flicker_ramps(
        nirspec_sub512(readout=SUB, n_integrations=6, n_groups=3, bias=100.0), seed=5
    )


def correct_as_jwst(monkeypatch, model, rates, background_mask, **parameters):
    """Data and background of the jwst step, with our rates in the place of its ramp fit."""
    model.meta.instrument.detector = "NRS1"
    model.meta.exposure.type = "NRS_FIXEDSLIT"
    model.meta.subarray.name, model.meta.subarray.slowaxis = "SUB512", SUB.slow_axis
    cube = datamodels.CubeModel(data=rates)
    monkeypatch.setattr(jwst, "make_rate", lambda *_args, **_kwargs: cube)
    monkeypatch.setattr(jwst, "post_process_rate", lambda image, **_kwargs: image)
    cleaned, _, background, noise, status = jwst.do_correction(
        model,
        user_mask=datamodels.ImageModel(background_mask.astype(np.float32)),
        background_method="median_image",
        save_background=True,
        save_noise=True,
        **parameters,
    )
    assert status == "COMPLETE"
    return cleaned.data, background.data, noise.data


@pytest.mark.parametrize("fit_method", ["median", "fft"])
@pytest.mark.parametrize("with_rates", [False, True])
def test_side_by_side_with_the_jwst_step(simulated, fit_method, with_rates, monkeypatch):
    ramps, mask = simulated.data.copy(), ~simulated.scene_mask
    ramps[2, 1, 5, 6] = np.nan
    ramps[:, 2, 9, 9] = np.nan
    rates = (ramps[:, 2] - ramps[:, 0]) / 2
    given = rates if with_rates else ramps
    model = (datamodels.CubeModel if with_rates else datamodels.RampModel)(data=given.copy())
    data, background, noise = correct_as_jwst(
        monkeypatch, model, rates, mask, fit_method=fit_method
    )
    untouched = given.copy()
    ours = clean_median_image(
        given,
        background_mask=mask,
        readout=SUB,
        options=StandardOptions(fit_method=fit_method),
        scales=image_scales(rates),
    )
    np.testing.assert_array_equal(ours.background, background)
    if fit_method == "median":
        np.testing.assert_array_equal(ours.data, data)
        np.testing.assert_array_equal(ours.noise, -noise)
    else:
        error = np.sqrt(np.nanmean((ours.data - data) ** 2))
        assert error < 1e-3 * np.sqrt(np.nanmean(ours.noise**2))
    assert np.nanstd(ours.noise[:, 0]) > 1
    assert ours.n_cleaned == given[..., 0, 0].size
    np.testing.assert_array_equal(given, untouched)


def test_medians_with_invalid_scales_are_those_of_the_jwst_step(simulated):
    rates = np.diff(simulated.data, axis=1)[:, 0]
    rates[1] = np.nan
    model = datamodels.CubeModel(data=rates.copy())
    theirs = tso_median_image.make_median_image(model, model)
    ours = clean_median_image(rates, background_mask=~simulated.scene_mask, readout=SUB)
    np.testing.assert_array_equal(ours.background, theirs)
    assert ours.n_cleaned == 5


def test_only_the_noise_is_removed():
    """A scene whose brightness changes, and noise in one integration, which no median has."""
    rng = np.random.default_rng(2)
    scene = 50 * rng.random((16, 40))
    brightness = np.array([1, 1, 0.9, 1, 1.1])
    noise = 3 * rng.standard_normal((1, 40))
    images = (brightness[:, np.newaxis, np.newaxis] * scene).astype(np.float32)
    readout = Readout(shape=(16, 40), n_outputs=1, fast_axis=2, slow_axis=1)
    everything = np.ones((16, 40), bool)
    quiet = clean_median_image(
        images, background_mask=everything, readout=readout, scales=brightness
    )
    np.testing.assert_allclose(quiet.data, images, atol=1e-5)
    np.testing.assert_allclose(quiet.noise, 0, atol=1e-5)
    loud = images.copy()
    loud[0] += noise
    result = clean_median_image(
        loud, background_mask=everything, readout=readout, scales=brightness
    )
    np.testing.assert_allclose(result.noise[0], np.broadcast_to(noise, (16, 40)), atol=1e-4)
    np.testing.assert_allclose(result.noise[1:], 0, atol=1e-4)


def test_flagged_reads_are_left_out(simulated):
    ramps = simulated.data.copy()
    flagged = np.zeros(ramps.shape, bool)
    reference = clean_median_image(
        ramps, background_mask=~simulated.scene_mask, readout=SUB, scales=np.ones(6)
    )
    hit = ramps.copy()
    hit[3, 1:, 10:20, 40:60] += 1e5
    flagged[3, 1:, 10:20, 40:60] = True
    ours = clean_median_image(
        hit,
        background_mask=~simulated.scene_mask,
        readout=SUB,
        scales=np.ones(6),
        flagged=flagged,
    )
    difference = np.abs(ours.noise - reference.noise)
    assert difference.max() < 10
    assert not difference[:, 0].any()


def test_scales():
    rates = np.ones((4, 6, 7), np.float32) * np.array([2, 4, 2, 1], np.float32)[:, None, None]
    np.testing.assert_allclose(image_scales(rates), [1, 2, 1, 0.5])
    rates[1, 3, 3] = np.nan
    rates[3] = np.nan
    np.testing.assert_allclose(image_scales(rates), [1, 2, 1, 1])
    rates[3] = 1
    mask = np.zeros((6, 7), bool)
    mask[3, 2:5] = True
    scales = white_light_scales(rates, mask)
    np.testing.assert_allclose(scales, [1, 2, 1, 0.5])
    assert scales.dtype == np.float64
    rates[0, 3, 2] = 1e6
    flagged = np.zeros(rates.shape, bool)
    flagged[0, 3, 2] = True
    np.testing.assert_allclose(white_light_scales(rates, mask, flagged=flagged), [1, 2, 1, 0.5])


def test_background_ramp_is_that_of_the_jwst_step():
    rate = np.random.default_rng(1).standard_normal((2, 4, 5))
    model = datamodels.RampModel((2, 3, 4, 5))
    model.meta.exposure.nframes, model.meta.exposure.groupgap = 2, 3
    model.meta.exposure.frame_time = 4.0
    theirs = tso_median_image._make_background_ramp(model, rate)
    ours = background_ramp(rate, n_groups=3, n_frames=2, group_gap=3, frame_time=4.0)
    np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_allclose(ours[1, 2], rate[1] * 48, rtol=1e-6)


def test_background_does_not_scale():
    rng = np.random.default_rng(3)
    scene, sky = rng.random((8, 16)), 5 + rng.random((8, 16))
    brightness = np.array([0.5, 1.0, 1.0])
    images = (brightness[:, None, None] * scene + sky).astype(np.float32)
    readout = Readout(shape=(8, 16), n_outputs=1, fast_axis=1, slow_axis=2)
    result = clean_median_image(
        images,
        background_mask=np.ones((8, 16), bool),
        readout=readout,
        scales=brightness,
        background=sky,
    )
    np.testing.assert_allclose(result.background, images, rtol=1e-6)
    np.testing.assert_allclose(result.noise, 0, atol=1e-6)


def test_impossible_input():
    images, mask = np.ones((3, 32, 128), np.float32), np.ones((32, 128), bool)
    for data in (images[:1], images[0]):
        with pytest.raises(ValueError, match="no median over integrations"):
            clean_median_image(data, background_mask=mask, readout=SUB)
    with pytest.raises(ValueError, match="2 scales do not fit 3 integrations"):
        clean_median_image(images, background_mask=mask, readout=SUB, scales=[1, 2])
    with pytest.raises(ValueError, match="no scale of an integration is finite"):
        clean_median_image(images, background_mask=mask, readout=SUB, scales=[np.nan] * 3)
    for dark in (0 * images, images * np.nan):
        with pytest.raises(ValueError, match="no brightness"):
            clean_median_image(dark, background_mask=mask, readout=SUB)
    with pytest.raises(ValueError, match="no pixel of the source is usable"):
        white_light_scales(images, ~mask)
