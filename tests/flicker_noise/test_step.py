"""SceneFlickerNoiseStep from files, models and pipelines to its products."""

import hashlib
import subprocess
from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits
from jwst.stpipe import Step
from stdatamodels.jwst import datamodels

from crsteps.detector.readout import Readout
from crsteps.errors import CrstepsInputError
from crsteps.flicker_noise.step import SceneFlickerNoiseStep
from crsteps.framework.pipeline import CrPipeline
from crsteps.framework.provenance import read_records
from crsteps.simulation.flicker_ramps import FlickerRampOptions, simulate_flicker_ramps
from crsteps.simulation.flicker_scenes import SceneOptions

SHAPE = (256, 512)
OPTIONS = FlickerRampOptions(
    readout=Readout(shape=SHAPE, n_outputs=4, fast_axis=-1, slow_axis=2),
    scene=SceneOptions(kind="image", n_sources=40, brightness=(200.0, 2e4)),
    n_integrations=2,
)
READ_VARIANCE = 7.0
# crds 14 warns about itself
pytestmark = pytest.mark.filterwarnings("ignore:'get_cache_lock' is deprecated")


@pytest.fixture(scope="module")
def simulated():
    """Return simulated ramps of stars, two integrations."""
    return simulate_flicker_ramps(OPTIONS, seed=11)


def describe(model, instrument="NIRCAM", exp_type="NRC_IMAGE"):
    """Set the keywords of an exposure."""
    model.meta.telescope = "JWST"
    model.meta.instrument.name = instrument
    model.meta.exposure.type = exp_type
    model.meta.exposure.noutputs = 4
    model.meta.subarray.fastaxis, model.meta.subarray.slowaxis = -1, 2
    model.meta.observation.date, model.meta.observation.time = "2026-01-01", "00:00:00"
    model.meta.filename = "x_jump.fits"
    return model


@pytest.fixture
def ramp(simulated):
    """Return a model of the ramps."""
    model = datamodels.RampModel(
        data=simulated.data.copy(),
        groupdq=simulated.groupdq.copy(),
        pixeldq=np.zeros(SHAPE, np.uint32),
    )
    return describe(model)


@pytest.fixture
def ramp_file(in_tmp_path, ramp):
    """Write the ramps as a file, and return its path."""
    path = in_tmp_path / "x_jump.fits"
    ramp.save(path)
    return path


def rates(simulated):
    """Rates of the integrations, and their flags."""
    data = (simulated.data[:, -1] - simulated.data[:, 0]) / (OPTIONS.n_groups - 1)
    dq = np.bitwise_or.reduce(simulated.groupdq, axis=1).astype(np.uint32)
    return data, dq


def rate_model(simulated, *, cube=False):
    """Return a model of the rates of the integrations, or of the first one."""
    data, dq = rates(simulated)
    if not cube:
        data, dq = data[0], dq[0]
    model = (datamodels.CubeModel if cube else datamodels.ImageModel)(data=data.copy(), dq=dq)
    model.var_rnoise = np.full(data.shape, READ_VARIANCE, np.float32)
    model.var_poisson = np.ones(data.shape, np.float32)
    model.err = np.sqrt(model.var_rnoise + model.var_poisson)
    return describe(model)


def background(simulated):
    """Pixels with neither sources nor hot pixels."""
    return ~simulated.scene_mask & ~simulated.bad_pixels


def noise_left(simulated, data):
    """Ratio of the flicker noise in the differences of groups after and before, on background."""
    mask = background(simulated)
    before = np.diff(simulated.flicker, axis=1)
    after = before - np.diff(simulated.data - data, axis=1)
    return after[..., mask].std(axis=(1, 2)) / before[..., mask].std(axis=(1, 2))


def digest(path):
    """Return a checksum of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


# --- ramps ----------------------------------------------------------------------------------


def test_strun_cleans_a_ramp_without_crds(ramp_file, simulated, user_environment):
    before = digest(ramp_file)
    run = subprocess.run(
        ["strun", "scene_flicker_noise", "x_jump.fits", "--save_mask=1", "--save_noise=true"],
        env=user_environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    folder = ramp_file.parent
    assert digest(ramp_file) == before
    assert {path.name for path in folder.iterdir()} == {
        "x_jump.fits",
        "x_scene_flicker_noise.fits",
        "x_mask.fits",
        "x_flicker_noise.fits",
    }
    with datamodels.open(folder / "x_scene_flicker_noise.fits") as product:
        assert isinstance(product, datamodels.RampModel)
        assert (noise_left(simulated, product.data) < 0.65).all()
        assert product.meta.cal_step.clean_flicker_noise == "COMPLETE"
        assert product.meta.cal_step.scene_flicker_noise == "COMPLETE"
        with datamodels.open(folder / "x_flicker_noise.fits") as noise:
            np.testing.assert_allclose(noise.data, simulated.data - product.data, atol=1e-2)
    header = fits.getheader(folder / "x_scene_flicker_noise.fits")
    assert header["S_CLNFNS"] == "COMPLETE"
    assert 0.5 < header["FNBACKGR"] < 1
    with datamodels.open(folder / "x_mask.fits") as mask:
        true = background(simulated)
        assert set(np.unique(mask.data)) == {0, 1}
        assert mask.data[true].mean() > 0.8
        assert header["FNBACKGR"] <= mask.data.mean()
    assert "gains of the outputs" in run.stderr + run.stdout


def test_flags_errors_first_groups_and_the_input_are_as_they_were(ramp, simulated):
    result = SceneFlickerNoiseStep.call(ramp)
    np.testing.assert_array_equal(ramp.data, simulated.data)
    np.testing.assert_array_equal(result.groupdq, simulated.groupdq)
    np.testing.assert_array_equal(result.data[:, 0], simulated.data[:, 0])
    assert not result.pixeldq.any()
    assert (noise_left(simulated, result.data) < 0.65).all()
    assert result.data.dtype == np.float32


def test_light_of_sources_is_as_it_was(ramp, simulated):
    """Total light of bright stars, whatever flicker noise was in their pixels."""
    result = SceneFlickerNoiseStep.call(ramp)
    removed = (simulated.data - result.data)[:, -1] / (OPTIONS.n_groups - 1)
    flicker = (simulated.flicker[:, -1] - simulated.flicker[:, 0]) / (OPTIONS.n_groups - 1)
    wrongly = removed.mean(axis=0) - flicker.mean(axis=0)
    # A constant is sky and not noise; photometry subtracts it.
    wrongly -= wrongly[background(simulated)].mean()
    bright = (simulated.scene.sources > 100) & ~simulated.bad_pixels
    assert bright.sum() > 50
    assert abs(wrongly[bright].sum()) < 0.01 * simulated.scene.sources[bright].sum()
    # Nor is faint light around the sources taken away.
    faint = simulated.scene_mask & ~simulated.bad_pixels & (simulated.scene.sources < 10)
    assert abs(wrongly[faint].sum()) < 0.05 * simulated.scene.sources[faint].sum()


def test_what_was_measured_is_recorded(ramp, simulated):
    result = SceneFlickerNoiseStep.call(ramp)
    measured = read_records(result)["scene_flicker_noise"]["measurements"]
    value = {name: entry["value"] for name, entry in measured.items()}
    assert value["integrations_cleaned"] == 2
    # The part that is faster than a bin counts as white.
    white = np.median(simulated.white_sigma[background(simulated)])
    assert value["white_noise"] == pytest.approx(white, rel=0.06)
    flicker = np.diff(simulated.flicker, axis=1)[..., background(simulated)].std()
    assert 0.6 * flicker < value["removed_noise"] < 1.05 * flicker
    assert value["common_noise"] == pytest.approx(2.2, abs=0.6)
    assert value["independent_noise"] == pytest.approx(2.2, abs=0.6)
    bands = [value[f"noise_{band}_hz"] for band in ("below_100", "100_to_1000", "above_1000")]
    both = value["common_noise"] ** 2 + value["independent_noise"] ** 2
    assert sum(np.square(bands)) == pytest.approx(both, rel=1e-6)
    assert 0 < value["mean_error"] < value["removed_noise"]


def test_white_noise_is_left_alone():
    quiet = replace(
        OPTIONS,
        scene=SceneOptions(kind="blank"),
        common_rms=0.0,
        independent_rms=0.0,
        alternating_rms=0.0,
        hit_fraction=0.0,
    )
    simulated = simulate_flicker_ramps(quiet, seed=12)
    ramp = describe(datamodels.RampModel(data=simulated.data, groupdq=simulated.groupdq))
    result = SceneFlickerNoiseStep.call(ramp)
    mask = background(simulated)
    before, after = (
        np.std((np.diff(data, axis=1) - simulated.scene_rate)[..., mask])
        for data in (simulated.data, result.data)
    )
    assert abs(after / before - 1) < 0.001


@pytest.mark.parametrize("axes", [(2, 1), (-2, -1)])
def test_detectors_read_along_columns(axes):
    readout = Readout(shape=(512, 256), n_outputs=4, fast_axis=axes[0], slow_axis=axes[1])
    simulated = simulate_flicker_ramps(replace(OPTIONS, readout=readout, n_integrations=1), seed=13)
    ramp = datamodels.RampModel(data=simulated.data, groupdq=simulated.groupdq)
    describe(ramp, "NIRISS", "NIS_IMAGE")
    ramp.meta.subarray.fastaxis, ramp.meta.subarray.slowaxis = axes
    assert (noise_left(simulated, SceneFlickerNoiseStep.call(ramp).data) < 0.65).all()


def test_integrations_share_their_sky():
    """A narrow window: in one integration alone, slow noise is like sky, but not in twelve."""
    readout = Readout(shape=(32, 512), n_outputs=1, fast_axis=2, slow_axis=1)
    one_output = {"readout": readout, "common_rms": 0.0, "common_gain": ()}
    blank = replace(OPTIONS, n_integrations=12, scene=SceneOptions(kind="blank"), **one_output)
    simulated = simulate_flicker_ramps(blank, seed=14)
    ramp = datamodels.RampModel(data=simulated.data, groupdq=simulated.groupdq)
    describe(ramp, "NIRSPEC", "NRS_BRIGHTOBJ")
    ramp.meta.exposure.noutputs = 1
    ramp.meta.subarray.fastaxis, ramp.meta.subarray.slowaxis = 2, 1
    result = SceneFlickerNoiseStep.call(ramp)
    before = simulated.flicker[:, -1] - simulated.flicker[:, 0]
    after = before - (simulated.data - result.data)[:, -1]
    mask = background(simulated)
    assert after[:, mask].std() < 0.75 * before[:, mask].std()


def test_an_integration_without_background_is_left_as_it_is(ramp, simulated, capsys):
    ramp.groupdq[0] |= 1
    result = SceneFlickerNoiseStep.call(ramp)
    assert "integration 1 is left as it is" in capsys.readouterr().err
    np.testing.assert_array_equal(result.data[0], simulated.data[0])
    assert noise_left(simulated, result.data)[1] < 0.65
    record = read_records(result)["scene_flicker_noise"]
    assert record["measurements"]["integrations_cleaned"]["value"] == 1


def test_nan_stays_nan(ramp):
    ramp.data[:, :, 30:40, 30:60] = np.nan
    result = SceneFlickerNoiseStep.call(ramp)
    np.testing.assert_array_equal(np.isnan(result.data), np.isnan(ramp.data))


# --- rates ----------------------------------------------------------------------------------


@pytest.mark.parametrize("cube", [False, True])
def test_rates_are_cleaned_and_their_variance_is_updated(simulated, cube):
    model = rate_model(simulated, cube=cube)
    before = model.copy()
    result = SceneFlickerNoiseStep.call(model)
    assert type(result) is type(model)
    for name in ("data", "var_rnoise", "err", "dq"):
        np.testing.assert_array_equal(getattr(model, name), getattr(before, name))
    np.testing.assert_array_equal(result.dq, before.dq)
    flicker = (simulated.flicker[:, -1] - simulated.flicker[:, 0]) / (OPTIONS.n_groups - 1)
    flicker = flicker if cube else flicker[0]
    mask = background(simulated)
    left = flicker - (before.data - result.data)
    assert left[..., mask].std() < 0.8 * flicker[..., mask].std()
    added = result.var_rnoise - READ_VARIANCE
    assert (added > 0).all()
    np.testing.assert_allclose(result.err**2, before.err**2 + added, rtol=1e-5)
    np.testing.assert_array_equal(result.var_poisson, before.var_poisson)
    measured = read_records(result)["scene_flicker_noise"]["measurements"]["mean_error"]
    assert measured["value"] == pytest.approx(np.sqrt(added.mean(dtype=float)), rel=1e-3)


def test_variance_is_left_alone_when_asked(simulated):
    result = SceneFlickerNoiseStep.call(rate_model(simulated), update_variance=False)
    assert (result.var_rnoise == READ_VARIANCE).all()
    np.testing.assert_array_equal(result.err, rate_model(simulated).err)


def test_rates_without_variance_get_none(simulated):
    data, dq = rates(simulated)
    model = describe(datamodels.ImageModel(data=data[0], dq=dq[0]))
    result = SceneFlickerNoiseStep.call(model)
    assert read_records(result)["scene_flicker_noise"]["status"] == "COMPLETE"
    assert "var_rnoise" not in result.instance


# --- the user's mask and parameters ---------------------------------------------------------


def test_user_mask_replaces_our_own(in_tmp_path, ramp, simulated):
    mask = (~simulated.scene_mask).astype(np.uint8)
    mask[:, 300:340] = 0
    fits.writeto("mine.fits", mask)
    result = SceneFlickerNoiseStep.call(ramp, user_mask="mine.fits", save_mask=True)
    with datamodels.open("x_mask.fits") as saved:
        np.testing.assert_array_equal(saved.data, mask)
    assert (noise_left(simulated, result.data) < 0.65).all()
    # The file that was saved is itself a mask that can be given.
    again = SceneFlickerNoiseStep.call(ramp, user_mask="x_mask.fits")
    np.testing.assert_array_equal(again.data, result.data)


def test_user_mask_of_each_integration(in_tmp_path, ramp, simulated):
    mask = np.stack([~simulated.scene_mask, np.zeros(SHAPE, bool)]).astype(np.uint8)
    fits.writeto("mine.fits", mask)
    result = SceneFlickerNoiseStep.call(ramp, user_mask="mine.fits")
    np.testing.assert_array_equal(result.data[1], simulated.data[1])
    assert noise_left(simulated, result.data)[0] < 0.65


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "check the path"),
        (np.ones((4, 4)), r"image of shape \(4, 4\); give one of shape \(256, 512\)"),
        ("empty", "no image"),
    ],
)
def test_unusable_user_mask_is_refused(in_tmp_path, ramp, content, words):
    if content is not None:
        image = content if isinstance(content, np.ndarray) else None
        fits.PrimaryHDU(image).writeto("mine.fits")
    with pytest.raises(CrstepsInputError, match=words):
        SceneFlickerNoiseStep.call(ramp, user_mask="mine.fits")


def test_misspelt_parameter_is_explained(ramp):
    with pytest.raises(CrstepsInputError, match="sky_box"):
        SceneFlickerNoiseStep.call(ramp, sky_bx=20)


def test_number_of_outputs_can_be_set(ramp, simulated):
    ramp.meta.exposure.noutputs = 1
    as_one = SceneFlickerNoiseStep.call(ramp)
    as_four = SceneFlickerNoiseStep.call(ramp, n_outputs=4)
    assert (noise_left(simulated, as_four.data) < 0.65).all()
    assert (noise_left(simulated, as_one.data) > noise_left(simulated, as_four.data)).all()


def test_impossible_number_of_outputs_is_refused(ramp):
    with pytest.raises(CrstepsInputError, match=r"512 pixels .* 3 outputs.*n_outputs"):
        SceneFlickerNoiseStep.call(ramp, n_outputs=3)


def test_missing_keyword_is_named(ramp):
    ramp.meta.subarray.fastaxis = None
    with pytest.raises(CrstepsInputError, match=r"x_jump.fits lacks the keyword FASTAXIS"):
        SceneFlickerNoiseStep.call(ramp)


# --- what is skipped ------------------------------------------------------------------------


def skipped(model, capsys, words):
    """Run the step; the data must be as they were, and the reason be told."""
    before = model.data.copy()
    result = SceneFlickerNoiseStep.call(model)
    assert words in capsys.readouterr().err
    np.testing.assert_array_equal(result.data, before)
    assert result.meta.cal_step.scene_flicker_noise == "SKIPPED"
    assert result.meta.cal_step.clean_flicker_noise == "SKIPPED"
    assert "measurements" not in read_records(result)["scene_flicker_noise"]
    return result


def test_spectra_of_miri_are_skipped(ramp, capsys):
    skipped(describe(ramp, "MIRI", "MIR_MRS"), capsys, "of MIRI, only images")


def test_one_group_is_skipped(simulated, capsys):
    model = datamodels.RampModel(
        data=simulated.data[:, :1].copy(), groupdq=simulated.groupdq[:, :1].copy()
    )
    skipped(describe(model), capsys, "one group")


def test_nothing_but_nan_is_skipped(ramp, capsys):
    ramp.data[:] = np.nan
    skipped(ramp, capsys, "% of the pixels show background")


def test_nothing_but_nan_in_a_rate_is_skipped(simulated, capsys):
    model = rate_model(simulated)
    model.data[:] = np.nan
    result = skipped(model, capsys, "% of the pixels show background")
    assert (result.var_rnoise == READ_VARIANCE).all()


def test_flags_everywhere_are_skipped(ramp, capsys):
    ramp.pixeldq[:] = 1
    skipped(ramp, capsys, "% of the pixels show background")


def test_other_models_are_skipped(capsys):
    model = describe(datamodels.Level1bModel(data=np.zeros((1, 2, 8, 8), np.uint16)))
    skipped(model, capsys, "a Level1bModel is no ramp after jump detection")


# --- pipelines ------------------------------------------------------------------------------


class RampPipeline(CrPipeline):
    """The step in the slot of the standard one."""

    class_alias = "toy_ramp_pipeline"
    step_defs = {"clean_flicker_noise": SceneFlickerNoiseStep}  # noqa: RUF012

    def process(self, given):
        """Clean."""
        return self.clean_flicker_noise.run(given)


class StandardStep(Step):
    """A step of another package."""

    class_alias = "toy_jump"

    def process(self, given):
        """Pass a copy on."""
        return self.prepare_output(given)


def test_slot_of_the_standard_step_in_our_pipeline(in_tmp_path, ramp, simulated):
    pipeline = RampPipeline()
    pipeline.save_results = True
    pipeline.run(ramp)
    with datamodels.open("x_toy_ramp_pipeline.fits") as product:
        assert product.meta.cal_step.clean_flicker_noise == "COMPLETE"
        assert read_records(product)["scene_flicker_noise"]["measurements"]
        assert (noise_left(simulated, product.data) < 0.65).all()


@pytest.mark.parametrize(
    "hook", [SceneFlickerNoiseStep, "crsteps.flicker_noise.step.SceneFlickerNoiseStep"]
)
def test_post_hook_of_a_standard_step(ramp, simulated, hook, monkeypatch):
    # The step of another package asks CRDS for its context only where it used references.
    monkeypatch.setenv("STPIPE_DISABLE_CRDS_STEPPARS", "true")
    result = StandardStep.call(ramp, post_hooks=[hook])
    assert read_records(result)["scene_flicker_noise"]["status"] == "COMPLETE"
    assert (noise_left(simulated, result.data) < 0.65).all()
