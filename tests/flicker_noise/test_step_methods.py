"""SceneFlickerNoiseStep: every fit, background and mask, and what each parameter does."""

import numpy as np
import pytest
from astropy.io import fits
from jwst.clean_flicker_noise import clean_flicker_noise as jwst
from stdatamodels.jwst import datamodels

from crsteps.detector.readout import Readout
from crsteps.errors import CrstepsInputError
from crsteps.flicker_noise.step import SceneFlickerNoiseStep
from crsteps.framework.provenance import read_records
from crsteps.framework.references import reference_files_path
from crsteps.simulation.flicker_ramps import FlickerRampOptions, simulate_flicker_ramps
from crsteps.simulation.flicker_scenes import SceneOptions

# crds 14 warns about itself
pytestmark = pytest.mark.filterwarnings("ignore:'get_cache_lock' is deprecated")


def clean(model, **parameters):
    """Run the step quietly."""
    return SceneFlickerNoiseStep.call(model, configure_log=False, **parameters)


def record(result):
    """Return the record of the step."""
    return read_records(result)["scene_flicker_noise"]


def skipped(result):
    """Tell whether the step was skipped."""
    return result.meta.cal_step.clean_flicker_noise == "SKIPPED"


@pytest.fixture
def mask_file(in_tmp_path, few_stars, transit):
    """Write a mask of background pixels, and return a function that gives its name."""

    def write(simulated):
        fits.writeto("mine.fits", (~simulated.scene_mask).astype(np.uint8), overwrite=True)
        return "mine.fits"

    return write


# --- the fits of the jwst step --------------------------------------------------------------


@pytest.mark.parametrize(
    ("fit", "background", "n_sigma"),
    [
        ("median", "median", 2.0),
        ("median", "model", 3.0),
        ("median", "none", 2.0),
        ("fft", "median", 2.0),
        ("fft", "model", 0.0),
    ],
)
def test_standard_fits_are_those_of_jwst(
    make_ramp, transit, mask_file, fit, background, n_sigma, caplog
):
    model = make_ramp(transit, "NRS_BRIGHTOBJ")
    asked = {"fit_method": fit, "background_method": background, "n_sigma": n_sigma}
    mine = clean(model, user_mask=mask_file(transit), **asked)
    datamodels.ImageModel(data=(~transit.scene_mask).astype(np.float32)).save("theirs.fits")
    theirs, *_, status = jwst.do_correction(model.copy(), user_mask="theirs.fits", **asked)
    assert status == "COMPLETE"
    removed = (model.data - theirs.data).std()
    assert removed > 1
    if fit == "median":
        np.testing.assert_array_equal(mine.data, theirs.data)
    else:
        assert (mine.data - theirs.data).std() < 1e-3 * removed
    assert "mean_error" not in record(mine)["measurements"]


def test_medians_of_each_output(make_ramp, few_stars):
    model = make_ramp(few_stars)
    removed = model.data - clean(model, fit_method="median", fit_by_channel=True).data
    outputs = removed[0, 1].reshape(128, 4, 64)
    np.testing.assert_allclose(outputs, outputs[..., :1].repeat(64, axis=-1), atol=2e-3)
    assert outputs.mean(axis=2).std(axis=1).mean() > 1
    rows = (model.data - clean(model, fit_method="median").data)[0, 1]
    np.testing.assert_allclose(rows, rows[:, :1].repeat(256, axis=1), atol=2e-3)


def test_median_image_of_the_standard_fits(make_ramp, transit, noise_left):
    model = make_ramp(transit, "NRS_BRIGHTOBJ")
    template = clean(model, fit_method="median", background_method="median_image")
    assert noise_left(transit, template) < 0.8
    assert (template.data[:, 0] != model.data[:, 0]).any()  # jwst cleans the first group too


# --- backgrounds of the joint fit -----------------------------------------------------------


def test_backgrounds_of_the_joint_fit(make_ramp, few_stars):
    """What is background stays in the data: the mean level, or a gradient too."""
    model = make_ramp(few_stars)
    slope = np.linspace(-20, 20, 256, dtype=np.float32)
    model.data += slope * np.arange(4, dtype=np.float32)[:, None, None]
    removed = {}
    for method in ("model", "median", "none"):
        result = clean(model, background_method=method, sky_box=32)
        assert record(result)["parameters"]["background_method"] == method
        removed[method] = np.diff(model.data - result.data, axis=1).mean(axis=(0, 1))
    background = ~few_stars.scene_mask
    level = {method: image[background].mean() for method, image in removed.items()}
    flicker = np.diff(few_stars.flicker, axis=1).mean(axis=(0, 1))[background].mean()
    sky = few_stars.scene_rate[background].mean()
    assert level["model"] == pytest.approx(0, abs=1)
    assert level["median"] == pytest.approx(0, abs=1.5)
    assert level["none"] == pytest.approx(sky + flicker, abs=1)
    steps = {
        m: np.median(image[:, -64:]) - np.median(image[:, :64]) for m, image in removed.items()
    }
    assert steps["median"] > 10  # the outputs take most of the gradient for noise
    assert abs(steps["model"]) < 4


def test_no_background_has_the_name_that_it_has_in_jwst(make_ramp, few_stars):
    model = make_ramp(few_stars)
    ours, theirs = (clean(model, background_method=name).data for name in ("none", "None"))
    np.testing.assert_array_equal(ours, theirs)


def test_time_series_take_what_their_integrations_share(make_ramp, transit, noise_left):
    model = make_ramp(transit, "NRS_BRIGHTOBJ")
    series = clean(model)
    assert record(series)["parameters"]["background_method"] == "median_image"
    alone = clean(model, background_method="model")
    on_trace = transit.scene_mask & ~transit.bad_pixels
    flicker = np.diff(transit.flicker, axis=1)
    left = [
        (flicker - np.diff(model.data - result.data, axis=1))[..., on_trace].std()
        for result in (series, alone)
    ]
    assert left[0] < 0.9 * left[1] < 0.9 * flicker[..., on_trace].std()
    achromatic = clean(model, chromatic=False)
    assert np.abs(series.data - achromatic.data).max() > 0.5
    assert noise_left(transit, achromatic) < 0.8


def test_few_integrations_are_no_time_series(make_ramp, few_stars):
    result = clean(make_ramp(few_stars, "NRC_TSIMAGE"))
    assert record(result)["parameters"]["background_method"] == "model"


def test_rates_of_a_time_series(make_rates, transit):
    model = make_rates(transit, "NRS_BRIGHTOBJ")
    series = clean(model)
    assert record(series)["parameters"]["background_method"] == "median_image"
    flicker = (transit.flicker[:, -1] - transit.flicker[:, 0]) / 3
    left = flicker - (model.data - series.data)
    mask = ~transit.scene_mask & ~transit.bad_pixels
    assert left[:, mask].std() < 0.7 * flicker[:, mask].std()


# --- masks ----------------------------------------------------------------------------------


def saved_mask(model, **parameters):
    """Mask that the step made."""
    clean(model, save_mask=True, **parameters)
    with datamodels.open("x_mask.fits") as mask:
        return mask.data > 0


def test_masks(in_tmp_path, make_ramp, few_stars):
    model = make_ramp(few_stars)
    sources = saved_mask(model)
    clipped = saved_mask(model, mask_method="clip")
    hard = saved_mask(model, mask_method="clip", n_sigma=1.0)
    fitted = saved_mask(model, mask_method="clip", fit_histogram=True)
    everything = saved_mask(model, mask_method="clip", n_sigma=0)
    assert everything.mean() > 0.99
    assert hard.mean() < clipped.mean() - 0.1 < everything.mean() - 0.1
    assert (fitted != clipped).any()
    assert (sources != clipped).any()
    # The default of the standard fits is to clip.
    np.testing.assert_array_equal(saved_mask(model, fit_method="median"), clipped)
    # The wings of sources are in the mask that looks for sources.
    wings = few_stars.scene_mask & ~few_stars.bad_pixels
    assert sources[wings].mean() < clipped[wings].mean()


def test_mask_of_each_integration(in_tmp_path, make_ramp, few_stars):
    model = make_ramp(few_stars)
    light = np.arange(4, dtype=np.float32)[:, None, None] * 300
    model.data[1, :, 40:50, 100:110] += light
    one, each = saved_mask(model), saved_mask(model, single_mask=False)
    assert one.shape == (128, 256)
    assert each.shape == (2, 128, 256)
    assert each[0, 40:50, 100:110].mean() > 0.5
    assert not each[1, 40:50, 100:110].any()
    assert not one[40:50, 100:110].any()


def test_science_regions_are_masked(in_tmp_path, make_ramp, few_stars):
    model = make_ramp(few_stars, "NRS_IMAGE")
    model.pixeldq[60:70, 20:50] = datamodels.dqflags.pixel["MSA_FAILED_OPEN"]
    assert not saved_mask(model, mask_science_regions=True)[60:70, 20:50].any()
    assert saved_mask(model)[60:70, 20:50].any()


def test_images_without_known_regions_are_cleaned_all_the_same(make_ramp, few_stars, caplog):
    result = clean(make_ramp(few_stars), mask_science_regions=True)
    assert not skipped(result)
    assert "no science regions" in caplog.text


@pytest.mark.parametrize("flag", ["PERSISTENCE", "JUMP_DET", "SATURATED"])
def test_flags_of_groups_keep_light_out_of_the_noise(make_ramp, few_stars, flag, noise_left):
    model = make_ramp(few_stars)
    reference = clean(model)
    decay = np.array([0, 400, 600, 700], np.float32)[:, None, None]
    model.data[:, :, 50:60, :] += decay
    before = model.data.copy()
    model.groupdq[:, 1:, 50:60, :] |= datamodels.dqflags.group[flag]
    removed = np.diff(before - clean(model).data, axis=1)
    expected = np.diff(few_stars.data - reference.data, axis=1)
    rest = np.ones(128, bool)
    rest[40:70] = False
    difference = (removed - expected)[..., rest, :]
    assert difference.std() < 0.5
    assert np.abs(removed[..., 50:60, :]).max() < 40


# --- MIRI -----------------------------------------------------------------------------------


def test_images_of_miri_get_the_medians_of_columns(make_ramp, few_stars, mask_file, caplog):
    model = make_ramp(few_stars, "MIR_IMAGE")
    model.meta.subarray.fastaxis = model.meta.subarray.slowaxis = None
    model.meta.instrument.detector = "MIRIMAGE"
    mine = clean(model, user_mask=mask_file(few_stars))
    assert "fit_method is median" in caplog.text
    assert record(mine)["parameters"]["fit_method"] == "median"
    datamodels.ImageModel(data=(~few_stars.scene_mask).astype(np.float32)).save("theirs.fits")
    model.meta.subarray.slowaxis = 2
    theirs, *_ = jwst.do_correction(model.copy(), user_mask="theirs.fits")
    np.testing.assert_array_equal(mine.data, theirs.data)


# --- flat field, automatic parameters -------------------------------------------------------


def write_flat(values):
    """Write a flat field."""
    flat = datamodels.FlatModel(data=values.astype(np.float32))
    flat.save("flat.fits")
    return "flat.fits"


def test_flat_field_keeps_its_structure_out_of_the_noise(in_tmp_path, make_ramp, few_stars):
    model = make_ramp(few_stars)
    flat = np.ones((128, 256), np.float32)
    flat[60:66] = 0.7  # a band that looks like stripes
    bands = 100 * (flat - 1) * np.arange(4, dtype=np.float32)[:, None, None]
    sky = np.float32(100 - few_stars.scene_rate.min()) * np.arange(4, dtype=np.float32)
    model.data += bands + sky[:, None, None]
    fits.writeto("mine.fits", (~few_stars.scene_mask).astype(np.uint8))
    given = {"user_mask": "mine.fits"}
    expected = (few_stars.data - clean(make_ramp(few_stars), **given).data)[:, -1].mean(axis=0)
    wrong = {}
    for name in ("without", "with"):
        if name == "with":
            given |= {"apply_flat_field": True, "override_flat": write_flat(flat)}
        result = clean(model, **given)
        removed = (model.data - result.data)[:, -1].mean(axis=0)
        wrong[name] = np.abs((removed - expected)[60:66].mean())
    assert wrong["with"] < 0.35 * wrong["without"]
    assert wrong["without"] > 10
    assert record(result)["references"]["flat"]["name"] == "flat.fits"


def test_without_a_flat_field_there_is_a_warning(make_ramp, few_stars, caplog):
    model = make_ramp(few_stars)
    result = clean(model, apply_flat_field=True)
    assert "No flat field is applied" in caplog.text
    np.testing.assert_array_equal(result.data, clean(model).data)


@pytest.mark.parametrize("content", ["no flat field", None, "shape"])
def test_a_flat_field_that_cannot_be_used_is_refused(in_tmp_path, make_ramp, few_stars, content):
    if content == "shape":
        write_flat(np.ones((8, 8)))
    elif content:
        (in_tmp_path / "flat.fits").write_text(content)
    with pytest.raises(CrstepsInputError, match=r"flat\.fits"):
        clean(make_ramp(few_stars), apply_flat_field=True, override_flat="flat.fits")


def test_automatic_parameters(in_tmp_path, make_ramp, few_stars, caplog):
    caplog.set_level("INFO")
    model = make_ramp(few_stars)
    slope = np.linspace(0, 400, 128, dtype=np.float32)[:, None]
    slope = slope + np.linspace(0, 300, 256, dtype=np.float32)
    model.data += slope * np.arange(4, dtype=np.float32)[:, None, None]
    flat = write_flat(np.ones((128, 256)))
    result = clean(model, fit_method="median", autoparam=True, override_flat=flat)
    used = record(result)["parameters"]
    assert used["background_method"] == "model"
    assert used["apply_flat_field"]
    asked = clean(
        model,
        fit_method="median",
        background_method="model",
        apply_flat_field=True,
        override_flat=flat,
        fit_by_channel=used["fit_by_channel"],
    )
    np.testing.assert_array_equal(result.data, asked.data)


def test_automatic_parameters_are_not_for_spectra(make_ramp, few_stars, caplog):
    result = clean(make_ramp(few_stars, "NRS_MSASPEC"), autoparam=True, fit_method="median")
    assert "autoparam changes nothing" in caplog.text
    assert not skipped(result)


# --- the joint fit --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "parameters",
    [
        {"alternating_columns": False},
        {"sky_box": 12},
        {"n_outputs": 1},
        {"n_outputs": 32},
        {"clean_first_group": True},
    ],
)
def test_parameters_of_the_joint_fit(make_ramp, few_stars, parameters):
    model = make_ramp(few_stars)
    changed = np.abs(clean(model, **parameters).data - clean(model).data)
    assert changed.max() > 0.2
    assert not np.isnan(changed).any()


def test_sky_is_estimated_more_often(make_rates, few_stars):
    model = make_rates(few_stars)
    model.data = model.data[:1]
    model.dq = model.dq[:1]
    once, twice = (clean(model, sky_passes=n).data for n in (1, 2))
    assert np.abs(once - twice).max() > 0.05


def test_box_of_the_background_model(make_ramp, few_stars):
    model = make_ramp(few_stars)
    asked = {"fit_method": "median", "background_method": "model"}
    default, same, other = (
        clean(model, background_box_size=box, **asked).data for box in (None, [32, 32], [64, 16])
    )
    np.testing.assert_array_equal(default, same)
    assert np.abs(default - other).max() > 0.05


def test_noise_of_the_first_group(make_ramp, few_stars):
    result = clean(make_ramp(few_stars), clean_first_group=True)
    plain = clean(make_ramp(few_stars))
    mask = ~few_stars.scene_mask & ~few_stars.bad_pixels
    taken = (plain.data - result.data)[:, :, mask]
    # The same image is taken from all groups of an integration: slopes are as they were.
    np.testing.assert_allclose(taken, np.broadcast_to(taken[:, :1], taken.shape), atol=5e-3)
    noise = few_stars.flicker[:, 0][:, mask]
    assert (noise - taken[:, 0]).std() < 0.8 * noise.std()


def test_spectrum_from_a_file(in_tmp_path, make_ramp, few_stars, noise_left):
    model = make_ramp(few_stars)
    measured = clean(model, save_spectra=True)
    given = clean(model, spectrum="x_flicker_spectra.asdf")
    ratio = noise_left(few_stars, given) / noise_left(few_stars, measured)
    assert ratio == pytest.approx(1, abs=0.05)
    stored = record(given)["measurements"]["independent_noise"]["value"]
    own = record(measured)["measurements"]["independent_noise"]["value"]
    assert stored == pytest.approx(own, rel=1e-3)


@pytest.mark.parametrize("wrong", ["outputs", "quantity", "file"])
def test_spectrum_of_something_else_is_refused(
    in_tmp_path, make_ramp, make_rates, few_stars, wrong
):
    clean(make_ramp(few_stars), save_spectra=True)
    model = make_rates(few_stars) if wrong == "quantity" else make_ramp(few_stars)
    given = {"n_outputs": 2} if wrong == "outputs" else {}
    path = "no.asdf" if wrong == "file" else "x_flicker_spectra.asdf"
    words = {"outputs": "n_outputs is 4 and not 2", "quantity": "quantity is", "file": "no file"}
    with pytest.raises(CrstepsInputError, match=words[wrong]):
        clean(model, spectrum=path, **given)


def test_spectrum_of_another_detector_is_told(in_tmp_path, make_ramp, few_stars, caplog):
    clean(make_ramp(few_stars), save_spectra=True)
    model = make_ramp(few_stars)
    model.meta.instrument.detector = "NRCB1"
    assert not skipped(clean(model, spectrum="x_flicker_spectra.asdf"))
    assert "detector is NRCA1 and not NRCB1" in caplog.text


# --- IRS2 -----------------------------------------------------------------------------------


def test_interleaved_readout_has_its_own_clock(make_ramp, noise_left):
    readout = Readout(shape=(2048, 24), fast_axis=2, slow_axis=1, overhead=8, irs2=True)
    # With little white noise, what is read within a row tells most.
    options = FlickerRampOptions(
        readout=readout, scene=SceneOptions(kind="blank"), n_groups=3, read_noise=1.0
    )
    simulated = simulate_flicker_ramps(options, seed=23)
    model = make_ramp(simulated, "NRS_MSASPEC")
    as_if = noise_left(simulated, clean(model))
    model.meta.exposure.readpatt = "NRSIRS2RAPID"
    assert noise_left(simulated, clean(model)) < min(0.65, 0.995 * as_if)


def test_interleaved_reference_pixels_are_refused(make_ramp, few_stars):
    model = make_ramp(few_stars, "NRS_MSASPEC")
    model.meta.exposure.readpatt = "NRSIRS2"
    with pytest.raises(CrstepsInputError, match="run the refpix step"):
        clean(model)


# --- what is skipped ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("exp_type", "parameters", "words"),
    [
        ("NRC_IMAGE", {"fit_method": "fft"}, "for spectra of NIRSpec"),
        ("MIR_MRS", {}, "of MIRI, only images"),
        ("MIR_IMAGE", {"fit_method": "fft"}, "for spectra of NIRSpec"),
    ],
)
def test_impossible_modes_are_skipped(make_ramp, few_stars, exp_type, parameters, words, caplog):
    model = make_ramp(few_stars, exp_type)
    result = clean(model, **parameters)
    assert skipped(result)
    assert words in caplog.text
    np.testing.assert_array_equal(result.data, model.data)


def test_median_image_of_one_integration_is_skipped(make_ramp, few_stars, caplog):
    model = make_ramp(few_stars)
    model.data, model.groupdq = model.data[:1], model.groupdq[:1]
    assert skipped(clean(model, background_method="median_image"))
    assert "more than one integration" in caplog.text


@pytest.mark.parametrize("fit", ["gp", "median", "fft"])
@pytest.mark.parametrize("background", ["auto", "median_image"])
def test_hopeless_data_are_skipped(make_ramp, few_stars, fit, background, caplog):
    model = make_ramp(few_stars, "NRS_BRIGHTOBJ")
    model.data[:] = np.nan
    assert skipped(clean(model, fit_method=fit, background_method=background))
    assert "the data are unchanged" in caplog.text


# --- shipped parameter files ----------------------------------------------------------------

MODES = {
    "nircam-image": ("few_stars", "NRC_IMAGE", "gp", "model"),
    "nircam-grism": ("few_stars", "NRC_WFSS", "gp", "model"),
    "nircam-timeseries": ("few_stars", "NRC_TSGRISM", "gp", "median_image"),
    "niriss-image": ("few_stars", "NIS_IMAGE", "gp", "model"),
    "niriss-soss": ("transit", "NIS_SOSS", "gp", "median_image"),
    "nirspec-mos": ("few_stars", "NRS_MSASPEC", "gp", "model"),
    "nirspec-fs": ("few_stars", "NRS_FIXEDSLIT", "gp", "model"),
    "nirspec-ifu": ("few_stars", "NRS_IFU", "gp", "model"),
    "nirspec-bots": ("transit", "NRS_BRIGHTOBJ", "gp", "median_image"),
    "jwst": ("few_stars", "NRC_IMAGE", "median", "median"),
}


def test_every_shipped_file_is_tested():
    names = {p.stem for p in reference_files_path().glob("pars-sceneflickernoisestep-*.asdf")}
    assert names == {f"pars-sceneflickernoisestep-{name}" for name in MODES}


@pytest.mark.parametrize("name", MODES)
def test_shipped_files(request, make_ramp, name):
    simulated, exp_type, fit, background = MODES[name]
    path = reference_files_path() / f"pars-sceneflickernoisestep-{name}.asdf"
    model = make_ramp(request.getfixturevalue(simulated), exp_type)
    result = clean(model, config_file=str(path))
    used = record(result)["parameters"]
    assert (used["fit_method"], used["background_method"]) == (fit, background)
    assert not skipped(result)
    assert (result.data != model.data).any()


def test_parameter_file_of_jwst_gives_the_result_of_jwst(in_tmp_path, make_ramp, few_stars):
    model = make_ramp(few_stars)
    path = reference_files_path() / "pars-sceneflickernoisestep-jwst.asdf"
    mine = clean(model, config_file=str(path), save_mask=True)
    theirs, *_ = jwst.do_correction(model.copy(), user_mask="x_mask.fits")
    np.testing.assert_array_equal(mine.data, theirs.data)
