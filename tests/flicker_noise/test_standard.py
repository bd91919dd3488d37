"""The standard correction side by side with the correction of the jwst step."""

from dataclasses import replace

import numpy as np
import pytest
from jwst.clean_flicker_noise import clean_flicker_noise as jwst
from stdatamodels.jwst import datamodels

from crsteps.detector.readout import Readout
from crsteps.flicker_noise.fourier_series import ALLSLITS_FREQUENCIES
from crsteps.flicker_noise.standard import (
    StandardOptions,
    clean_ramp_standard,
    clean_rate_standard,
    complete_flat,
)
from crsteps.simulation.flicker_ramps import (
    FlickerRampOptions,
    nirspec_mos,
    nirspec_sub2048,
    simulate_flicker_ramps,
)
from crsteps.simulation.flicker_scenes import SceneOptions

JWST_FLAGS = 1 | 4  # DO_NOT_USE and JUMP_DET
NIRCAM = Readout(shape=(16, 2048), n_outputs=4, fast_axis=-1, slow_axis=2)
NRS1 = Readout(shape=(32, 256), n_outputs=1, fast_axis=2, slow_axis=1)
NRS2 = replace(NRS1, fast_axis=-2, slow_axis=-1)


def simulate(readout, seed=4):
    """Ramp of four groups with a NaN and jumps, and its mask."""
    options = FlickerRampOptions(
        readout=readout,
        scene=SceneOptions(kind="image", n_sources=12, brightness=(200.0, 2e4)),
        n_groups=4,
        hit_fraction=1e-3,
    )
    simulated = simulate_flicker_ramps(options, seed=seed)
    ramp = simulated.data[0]
    ramp[2, 7, 20] = np.nan
    return ramp, simulated.groupdq[0], ~simulated.scene_mask


def flat_field(shape):
    return (1 + 0.05 * np.random.default_rng(8).standard_normal(shape)).astype(np.float32)


def describe(model, readout, exp_type, detector="NRS1", subarray="FULL"):
    model.meta.instrument.detector = detector
    model.meta.exposure.type = exp_type
    model.meta.subarray.name = subarray
    model.meta.subarray.slowaxis = readout.slow_axis
    return model


def correct_as_jwst(model, background_mask, **parameters):
    """Cleaned data, background and noise of the jwst step with a mask of the user."""
    cleaned, _, background, noise, status = jwst.do_correction(
        model,
        user_mask=datamodels.ImageModel(background_mask.astype(np.float32)),
        save_background=True,
        save_noise=True,
        **parameters,
    )
    assert status == "COMPLETE"
    return cleaned.data, background.data, noise.data


@pytest.fixture(scope="module")
def nircam():
    return simulate(NIRCAM)


@pytest.mark.parametrize("with_flat", [False, True])
@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"fit_by_channel": True},
        {"n_sigma": 0.0},
        {"n_sigma": 1.3, "fit_by_channel": True},
        {"background_method": "model"},
        {"background_method": "model", "background_box_size": (8, 16), "n_sigma": 3.0},
        {"background_method": None, "fit_by_channel": True},
    ],
)
def test_median_of_a_ramp_is_exactly_that_of_the_jwst_step(
    nircam, parameters, with_flat, monkeypatch
):
    ramp, groupdq, background_mask = nircam
    flat = flat_field(NIRCAM.shape) if with_flat else None
    monkeypatch.setattr(jwst, "read_flat_file", lambda _model, _name: flat)
    model = datamodels.RampModel(data=ramp[np.newaxis].copy(), groupdq=groupdq[np.newaxis])
    describe(model, NIRCAM, "NRC_IMAGE", "NRCA1")
    data, background, noise = correct_as_jwst(model, background_mask, **parameters)
    ours = clean_ramp_standard(
        ramp,
        flagged=(groupdq & JWST_FLAGS) > 0,
        background_mask=background_mask,
        readout=NIRCAM,
        flat=flat,
        options=StandardOptions(**parameters),
    )
    assert ours.data.dtype == ours.noise.dtype == np.float32
    np.testing.assert_array_equal(ours.data, data[0])
    np.testing.assert_array_equal(ours.noise, -noise[0])
    np.testing.assert_array_equal(ours.background, background[0])
    assert np.nanstd(ours.noise[1]) > 0.5
    assert ours.n_cleaned == 3


@pytest.mark.parametrize("readout", [NRS1, NRS2])
@pytest.mark.parametrize("subarray", ["SUB256", "ALLSLITS"])
@pytest.mark.parametrize("method", ["median", "model"])
def test_fft_of_a_subarray_is_that_of_the_jwst_step(readout, subarray, method):
    ramp, groupdq, background_mask = simulate(readout)
    model = datamodels.RampModel(data=ramp[np.newaxis].copy(), groupdq=groupdq[np.newaxis])
    detector = "NRS1" if readout is NRS1 else "NRS2"
    describe(model, readout, "NRS_FIXEDSLIT", detector, subarray)
    parameters = {"fit_method": "fft", "background_method": method}
    data, background, _ = correct_as_jwst(model, background_mask, **parameters)
    if subarray == "ALLSLITS":
        parameters["frequencies"] = ALLSLITS_FREQUENCIES
    ours = clean_ramp_standard(
        ramp,
        flagged=(groupdq & JWST_FLAGS) > 0,
        background_mask=background_mask,
        readout=readout,
        options=StandardOptions(**parameters),
    )
    assert np.nanstd(ours.noise[1:]) > 1
    # The last bit of a read of 1e4 DN is 1e-3 DN; the fits themselves are nearer.
    np.testing.assert_allclose(ours.data, data[0], rtol=0, atol=2e-3)
    assert np.sqrt(np.nanmean((ours.data - data[0]) ** 2)) < 1e-3 * np.nanstd(ours.noise[1:])
    np.testing.assert_array_equal(ours.background, background[0])


@pytest.mark.parametrize("n_integrations", [1, 2])
@pytest.mark.parametrize("fit_method", ["median", "fft"])
def test_rates_are_those_of_the_jwst_step(fit_method, n_integrations):
    ramp, _, background_mask = simulate(NRS1)
    rates = np.diff(ramp, axis=0)[:n_integrations]
    rates[0, 3, 5:8] = np.nan
    if n_integrations == 1:
        model = datamodels.ImageModel(data=rates[0].copy())
    else:
        model = datamodels.CubeModel(data=rates.copy())
    describe(model, NRS1, "NRS_BRIGHTOBJ", "NRS1", "SUB256")
    data, background, noise = correct_as_jwst(model, background_mask, fit_method=fit_method)
    results = [
        clean_rate_standard(
            rate,
            background_mask=background_mask,
            readout=NRS1,
            options=StandardOptions(fit_method=fit_method),
        )
        for rate in rates
    ]
    shape = data.shape
    compare = (
        np.testing.assert_array_equal
        if fit_method == "median"
        else lambda ours, theirs: np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-4)
    )
    compare(np.array([result.data for result in results]).reshape(shape), data)
    compare(np.array([result.noise for result in results]).reshape(shape), -noise)
    compare(np.array([result.background for result in results]).reshape(shape), background)
    assert np.isnan(data).any()


def test_sub2048_with_a_trace():
    """A bright-object time series with its true scene mask."""
    simulated = simulate_flicker_ramps(nirspec_sub2048(n_integrations=1, n_groups=3), seed=3)
    readout, mask = simulated.options.readout, ~simulated.scene_mask
    ramp, groupdq = simulated.data, simulated.groupdq
    model = datamodels.RampModel(data=ramp.copy(), groupdq=groupdq)
    describe(model, readout, "NRS_BRIGHTOBJ", "NRS1", "SUB2048")
    data, _, _ = correct_as_jwst(model, mask, fit_method="fft")
    ours = clean_ramp_standard(
        ramp[0],
        flagged=(groupdq[0] & JWST_FLAGS) > 0,
        background_mask=mask,
        readout=readout,
        options=StandardOptions(fit_method="fft"),
    )
    error = np.sqrt(np.mean((ours.data - data[0]) ** 2))
    assert error < 1e-3 * np.std(ours.noise[1:])


@pytest.mark.slow
@pytest.mark.parametrize("detector", ["NRS1", "NRS2"])
def test_fft_of_a_full_frame_is_that_of_the_jwst_step(detector):
    options = nirspec_mos(n_groups=3)
    if detector == "NRS2":
        options = replace(options, readout=replace(options.readout, fast_axis=-2, slow_axis=-1))
    simulated = simulate_flicker_ramps(options, seed=6)
    mask = ~simulated.scene_mask
    model = datamodels.RampModel(data=simulated.data.copy(), groupdq=simulated.groupdq)
    describe(model, options.readout, "NRS_MSASPEC", detector)
    data, background, _ = correct_as_jwst(model, mask, fit_method="fft")
    ours = clean_ramp_standard(
        simulated.data[0],
        flagged=(simulated.groupdq[0] & JWST_FLAGS) > 0,
        background_mask=mask,
        readout=options.readout,
        options=StandardOptions(fit_method="fft"),
    )
    error = np.sqrt(np.mean((ours.data - data[0]) ** 2))
    assert error < 1e-3 * np.std(ours.noise[1:])
    np.testing.assert_array_equal(ours.background, background[0])


def test_a_group_without_background_keeps_its_input(nircam):
    ramp, groupdq, background_mask = nircam
    groupdq = groupdq.copy()
    groupdq[2] |= 1
    model = datamodels.RampModel(data=ramp[np.newaxis].copy(), groupdq=groupdq[np.newaxis])
    describe(model, NIRCAM, "NRC_IMAGE", "NRCA1")
    data, background, _ = correct_as_jwst(model, background_mask)
    ours = clean_ramp_standard(
        ramp, flagged=(groupdq & JWST_FLAGS) > 0, background_mask=background_mask, readout=NIRCAM
    )
    assert ours.n_cleaned == 2
    np.testing.assert_array_equal(ours.data, data[0])
    np.testing.assert_array_equal(ours.data[2], ramp[2])
    np.testing.assert_array_equal(ours.background, background[0])


@pytest.mark.parametrize("fit_method", ["median", "fft"])
def test_no_background_at_all(fit_method):
    ramp, _, background_mask = simulate(NRS1)
    nothing = np.zeros_like(background_mask)
    options = StandardOptions(fit_method=fit_method)
    flagged = np.zeros(ramp.shape, bool)
    ours = clean_ramp_standard(
        ramp, flagged=flagged, background_mask=nothing, readout=NRS1, options=options
    )
    assert ours.n_cleaned == 0
    np.testing.assert_array_equal(ours.data, ramp)
    assert not np.nan_to_num(ours.noise).any()
    empty = np.full(NRS1.shape, np.nan, np.float32)
    ours = clean_rate_standard(
        empty, background_mask=background_mask, readout=NRS1, options=options
    )
    assert ours.n_cleaned == 0
    assert np.isnan(ours.data).all()


def test_input_is_not_modified():
    ramp, groupdq, background_mask = simulate(NRS1)
    arrays = ramp, (groupdq & JWST_FLAGS) > 0, background_mask, flat_field(NRS1.shape)
    before = [array.copy() for array in arrays]
    for fit_method in ("median", "fft"):
        clean_ramp_standard(
            ramp,
            flagged=arrays[1],
            background_mask=background_mask,
            readout=NRS1,
            flat=arrays[3],
            options=StandardOptions(fit_method=fit_method),
        )
    for array, copy in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_structure_of_the_flat_field_is_no_noise():
    flat = np.arange(1, 401, dtype=np.float32).reshape(20, 20)
    readout = Readout(shape=(20, 20), n_outputs=1, fast_axis=1, slow_axis=2)
    mask = np.ones(flat.shape, bool)
    with_flat = clean_rate_standard(flat, background_mask=mask, readout=readout, flat=flat)
    np.testing.assert_array_equal(with_flat.data, flat)
    without = clean_rate_standard(flat, background_mask=mask, readout=readout)
    assert not np.array_equal(without.data, flat)


def test_flat_field_is_completed_as_by_the_jwst_step(tmp_path):
    flat = flat_field((64, 96))
    flat[10, 20], flat[30:34, 50:60], flat[5, 5] = 0, np.nan, np.inf
    model = datamodels.FlatModel(data=flat.copy())
    model.meta.subarray.xsize, model.meta.subarray.ysize = 96, 64
    model.meta.subarray.xstart = model.meta.subarray.ystart = 1
    model.save(tmp_path / "flat.fits")
    science = datamodels.ImageModel(flat.shape)
    science.update(model)
    theirs = jwst.read_flat_file(science, str(tmp_path / "flat.fits"))
    ours = complete_flat(flat)
    np.testing.assert_array_equal(ours, theirs)
    assert np.isnan(flat[31, 55])
    assert np.isfinite(ours).all()
    with pytest.raises(ValueError, match="flat field has no value"):
        complete_flat(np.zeros((4, 4)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ramp": np.zeros((1, 32, 256))}, "no differences of groups"),
        ({"ramp": np.zeros((32, 256))}, "no differences of groups"),
        ({"ramp": np.zeros((3, 32, 200))}, "flags of shape"),
        ({"flagged": np.zeros((3, 256, 32), bool)}, "flags of shape"),
        ({"background_mask": np.ones((256, 32), bool)}, "background mask of shape"),
        ({"flat": np.ones((2, 2))}, "flat field of shape"),
        ({"readout": NIRCAM}, "readout of shape"),
    ],
)
def test_wrong_shapes(changes, message):
    arguments = {
        "ramp": np.zeros((3, 32, 256)),
        "flagged": np.zeros((3, 32, 256), bool),
        "background_mask": np.ones((32, 256), bool),
        "readout": NRS1,
    } | changes
    with pytest.raises(ValueError, match=message):
        clean_ramp_standard(arguments.pop("ramp"), **arguments)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fit_method": "gp"}, "fit_method is 'gp'"),
        ({"background_method": "auto"}, "background_method is 'auto'"),
        ({"n_sigma": -1.0}, "n_sigma is -1"),
        ({"n_sigma": np.nan}, "n_sigma is nan"),
    ],
)
def test_impossible_options(options, message):
    with pytest.raises(ValueError, match=message):
        StandardOptions(**options)
