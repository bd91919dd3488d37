"""Products, variances and flags of SceneFlickerNoiseStep."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from stdatamodels.jwst import datamodels

from crsteps.datamodels.flicker_spectra import read_spectrum
from crsteps.detector.readout import PIXEL_TIME
from crsteps.flicker_noise.products_step import ERROR_HDU, stored_error_variance
from crsteps.flicker_noise.step import SceneFlickerNoiseStep
from crsteps.flicker_noise.streams import to_streams
from crsteps.framework.provenance import read_records

UNRELIABLE_SLOPE = datamodels.dqflags.pixel["UNRELIABLE_SLOPE"]
# crds 14 warns about itself
pytestmark = pytest.mark.filterwarnings("ignore:'get_cache_lock' is deprecated")


def clean(model, **parameters):
    """Run the step quietly."""
    return SceneFlickerNoiseStep.call(model, configure_log=False, **parameters)


def measured(result):
    """Return the measurements of the step."""
    entries = read_records(result)["scene_flicker_noise"]["measurements"]
    return {name: entry["value"] for name, entry in entries.items()}


# --- files ----------------------------------------------------------------------------------


def test_all_products(in_tmp_path, make_ramp, few_stars):
    names = ("mask", "noise", "background", "spectra", "figures")
    result = clean(make_ramp(few_stars), save_results=True, **{f"save_{n}": True for n in names})
    suffixes = {
        "scene_flicker_noise.fits",
        "mask.fits",
        "flicker_noise.fits",
        "flicker_bkg.fits",
        "flicker_spectra.ecsv",
        "flicker_spectra.asdf",
        "flicker_image.png",
        "flicker_power.png",
        "flicker_profile.png",
    }
    assert {path.name for path in in_tmp_path.iterdir()} == {f"x_{s}" for s in suffixes}
    with datamodels.open("x_flicker_noise.fits") as noise:
        assert isinstance(noise, datamodels.RampModel)
        np.testing.assert_allclose(noise.data, few_stars.data - result.data, atol=1e-2)
    with datamodels.open("x_flicker_bkg.fits") as sky:
        assert not sky.data[:, 0].any()
        level = few_stars.scene_rate[~few_stars.scene_mask].mean()
        np.testing.assert_allclose(sky.data[:, 1:].mean(), level, atol=1.5)
    for path in in_tmp_path.glob("*.png"):
        assert path.read_bytes().startswith(b"\x89PNG")


def test_products_are_named_as_the_result(in_tmp_path, make_ramp, few_stars):
    folder = in_tmp_path / "out"
    clean(
        make_ramp(few_stars),
        output_dir=str(folder),
        output_file="mine.fits",
        save_spectra=True,
        save_noise=True,
    )
    assert {path.name for path in folder.iterdir()} == {
        "mine_scene_flicker_noise.fits",
        "mine_flicker_spectra.ecsv",
        "mine_flicker_spectra.asdf",
        "mine_flicker_noise.fits",
    }


@pytest.mark.parametrize("fit", ["gp", "median"])
@pytest.mark.parametrize("background", ["median", "median_image"])
def test_products_of_rates(in_tmp_path, make_rates, few_stars, fit, background):
    model = make_rates(few_stars)
    result = clean(
        model,
        fit_method=fit,
        background_method=background,
        save_noise=True,
        save_background=True,
        save_figures=True,
    )
    with datamodels.open("x_flicker_noise.fits") as noise:
        assert isinstance(noise, datamodels.CubeModel)
        np.testing.assert_allclose(noise.data, model.data - result.data, atol=1e-3)
    with datamodels.open("x_flicker_bkg.fits") as sky:
        assert sky.data.shape == model.data.shape
        level = np.median(few_stars.scene_rate)
        assert np.median(sky.data) == pytest.approx(level, abs=2)
        if background == "median_image":
            bright = few_stars.scene_rate > 100
            assert np.median(sky.data[:, bright]) > 50


def test_background_of_time_series_is_their_template(in_tmp_path, make_ramp, transit):
    clean(make_ramp(transit, "NRS_BRIGHTOBJ"), save_background=True)
    with datamodels.open("x_flicker_bkg.fits") as sky:
        bright = (transit.scene_rate > 50) & ~transit.bad_pixels
        ratio = sky.data[:, 1:].mean(axis=(0, 1))[bright] / transit.scene_rate[bright]
        assert np.median(ratio) == pytest.approx(1, abs=0.1)


def test_spectra_before_and_after(in_tmp_path, make_ramp, few_stars):
    result = clean(make_ramp(few_stars), save_spectra=True)
    table = Table.read("x_flicker_spectra.ecsv")
    assert str(table["frequency"].unit) == "Hz"
    assert len(table.colnames) == 1 + 2 * 4
    white = 2 * PIXEL_TIME * np.median(few_stars.white_sigma) ** 2
    quiet = (table["frequency"] > 2e4) & (table["frequency"] < 4.9e4)
    for output in range(1, 5):
        before, after = (table[f"{when}_{output}"] for when in ("before", "after"))
        assert np.nanmean(before[:5]) > 20 * white
        assert not np.nanmean(after[:5]) > 0.3 * np.nanmean(before[:5])
        assert np.nanmedian(before[quiet]) == pytest.approx(white, rel=0.2)
    stored = read_spectrum("x_flicker_spectra.asdf")
    assert stored.meta["detector"] == "NRCA1"
    assert stored.meta["quantity"] == "difference"
    assert stored.white_noise == pytest.approx(measured(result)["white_noise"])


def test_standard_fits_have_no_fitted_spectrum(in_tmp_path, make_ramp, few_stars):
    clean(make_ramp(few_stars), fit_method="median", save_spectra=True)
    assert [path.name for path in in_tmp_path.iterdir()] == ["x_flicker_spectra.ecsv"]


def test_what_was_measured_before_and_after(make_ramp, few_stars):
    result = clean(make_ramp(few_stars))
    value = measured(result)
    mask = ~few_stars.scene_mask & ~few_stars.bad_pixels
    before, after = (
        np.diff(d, axis=1)[..., mask] - few_stars.scene_rate[mask]
        for d in (few_stars.data, result.data)
    )
    spread = [1.4826 * np.median(np.abs(d - np.median(d))) for d in (before, after)]
    removed = 1 - (spread[1] / spread[0]) ** 2
    assert value["variance_removed"] == pytest.approx(removed, abs=0.05)
    for output in range(1, 5):
        assert value[f"stripes_after_{output}"] < 0.5 * value[f"stripes_before_{output}"]
    # Line medians of one output show its flicker noise, and little white noise.
    first = np.diff(few_stars.flicker, axis=1)[..., :64].mean(axis=-1)
    assert value["stripes_before_1"] == pytest.approx(first.std(), rel=0.4)


# --- variance -------------------------------------------------------------------------------


def test_ramps_carry_the_variance_of_the_error(in_tmp_path, make_ramp, few_stars):
    step = SceneFlickerNoiseStep()
    step.save_results = True
    result = step.run(make_ramp(few_stars))
    assert step.error_variance.shape == (2, 128, 256)
    np.testing.assert_array_equal(stored_error_variance(result), step.error_variance)
    mean = np.sqrt(step.error_variance.mean(dtype=float))
    assert mean == pytest.approx(measured(result)["mean_error"], rel=1e-4)
    with fits.open("x_scene_flicker_noise.fits") as hdus:
        np.testing.assert_array_equal(hdus[ERROR_HDU].data, step.error_variance)
        assert hdus[ERROR_HDU].header["BUNIT"] == "(DN)^2"
    with datamodels.open("x_scene_flicker_noise.fits") as again:
        np.testing.assert_array_equal(stored_error_variance(again), step.error_variance)
        again.save("again.fits")
    np.testing.assert_array_equal(fits.getdata("again.fits", ERROR_HDU), step.error_variance)


def test_error_variance_is_that_of_the_error(make_ramp, few_stars):
    step = SceneFlickerNoiseStep()
    result = step.run(make_ramp(few_stars))
    mask = ~few_stars.scene_mask & ~few_stars.bad_pixels
    left = np.diff(few_stars.flicker - (few_stars.data - result.data), axis=1)
    left -= left[..., mask].mean(axis=-1)[..., None, None]  # the mean of an image is sky
    # What changes within a bin counts as white noise.
    bins = to_streams(left, np.broadcast_to(mask, left.shape), few_stars.options.readout)
    assert step.error_variance.mean() == pytest.approx(bins.values[bins.weights > 3].var(), rel=0.3)


def test_ramps_without_variance_when_not_asked_for(make_ramp, few_stars):
    step = SceneFlickerNoiseStep()
    step.update_variance = False
    result = step.run(make_ramp(few_stars))
    assert stored_error_variance(result) is None
    assert step.error_variance is not None


def test_time_series_share_their_error(make_ramp, transit):
    step = SceneFlickerNoiseStep()
    step.run(make_ramp(transit, "NRS_BRIGHTOBJ"))
    assert step.error_variance.shape == (32, 256)


def test_nothing_of_an_earlier_run_is_left(make_ramp, few_stars):
    step = SceneFlickerNoiseStep()
    step.run(make_ramp(few_stars))
    hopeless = make_ramp(few_stars)
    hopeless.data[:] = np.nan
    result = step.run(hopeless)
    assert step.error_variance is None
    assert "measurements" not in read_records(result)["scene_flicker_noise"]


# --- pixels that cannot be corrected --------------------------------------------------------


def without_background(simulated):
    """Mask without any background in the second output of four."""
    mask = (~simulated.scene_mask).astype(np.uint8)
    mask[:, 64:128] = 0
    fits.writeto("mine.fits", mask)
    return "mine.fits"


@pytest.fixture
def no_common_noise(few_stars):
    """Return ramps whose outputs have nothing in common, so that none helps another."""
    from dataclasses import replace

    from crsteps.simulation.flicker_ramps import simulate_flicker_ramps

    return simulate_flicker_ramps(replace(few_stars.options, common_rms=0.0), seed=31)


def test_ramps_flag_outputs_without_background(in_tmp_path, make_ramp, no_common_noise):
    model = make_ramp(no_common_noise)
    result = clean(model, user_mask=without_background(no_common_noise))
    flagged = (result.pixeldq & UNRELIABLE_SLOPE) > 0
    assert flagged[:, 64:128].all()
    assert not flagged[:, :64].any()
    assert not flagged[:, 128:].any()
    assert not model.pixeldq.any()
    np.testing.assert_array_equal(result.groupdq, model.groupdq)
    # Chance may see a little common noise in an integration.
    assert measured(result)["uncorrected_pixels"] in (flagged.sum(), 2 * flagged.sum())


def test_rates_flag_outputs_without_background(in_tmp_path, make_rates, no_common_noise):
    model = make_rates(no_common_noise)
    result = clean(model, user_mask=without_background(no_common_noise))
    assert (result.dq[:, :, 64:128] & UNRELIABLE_SLOPE > 0).all()
    others = np.bitwise_and(result.dq, np.uint32(~UNRELIABLE_SLOPE & 0xFFFFFFFF))
    np.testing.assert_array_equal(others, model.dq)


def test_noise_in_common_is_known_from_the_other_outputs(in_tmp_path, make_ramp, few_stars):
    """With noise that is mostly common, an output without background is corrected all the same."""
    from dataclasses import replace

    from crsteps.simulation.flicker_ramps import simulate_flicker_ramps

    options = replace(few_stars.options, common_rms=6.0, independent_rms=0.5)
    simulated = simulate_flicker_ramps(options, seed=32)
    model = make_ramp(simulated)
    result = clean(model, user_mask=without_background(simulated))
    assert not (result.pixeldq & UNRELIABLE_SLOPE).any()
    columns = np.s_[..., 64:128]
    before = np.diff(simulated.flicker, axis=1)[columns]
    after = before - np.diff(simulated.data - result.data, axis=1)[columns]
    assert after.std() < 0.6 * before.std()
