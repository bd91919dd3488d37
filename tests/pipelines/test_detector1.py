"""CrstepsDetector1Pipeline from raw ramps, intermediate products and models to rates."""

import logging

import numpy as np
import pytest
from astropy.io import fits
from jwst.pipeline import Detector1Pipeline
from jwst.ramp_fitting import RampFitStep
from jwst.stpipe import Step
from stdatamodels.jwst import datamodels

from crsteps import CrstepsDetector1Pipeline, SceneFlickerNoiseStep
from crsteps.cli import main
from crsteps.errors import CrstepsInputError
from crsteps.framework.parameters import copied
from crsteps.framework.provenance import read_records

# crds 14 warns about itself
pytestmark = pytest.mark.filterwarnings("ignore:'get_cache_lock' is deprecated")

ERROR_VARIANCE = 5.0
# Of the simulated exposure.
N_INTEGRATIONS, N_GROUPS, GROUP_TIME = 2, 6, 0.5


class LeavesData(SceneFlickerNoiseStep):
    """A step that claims an error and leaves the data as they are."""

    def process(self, given):
        """Record the step as complete."""
        self.measurements = {
            "mean_error": {"value": ERROR_VARIANCE**0.5, "keyword": "FNERROR", "comment": "error"}
        }
        self.error_variance = np.full(given.data.shape[-2:], ERROR_VARIANCE)
        return self.record_status(given)


class WithKnownError(CrstepsDetector1Pipeline):
    """The pipeline with a step whose error is known."""

    step_defs = {**CrstepsDetector1Pipeline.step_defs, "scene_flicker_noise": LeavesData}  # noqa: RUF012


@pytest.fixture
def jump(products):
    """Return the ramps after jump detection."""
    with datamodels.open(products / "x_jump.fits") as model:
        yield model


@pytest.fixture
def rateints(monkeypatch):
    """Return a list that takes the rates of integrations, which a pipeline saves itself."""
    kept = []
    save = CrstepsDetector1Pipeline.save_model

    def save_model(self, model, suffix=None, *args, **kwargs):
        if suffix == "rateints":
            kept.append(model)
        return save(self, model, suffix, *args, **kwargs)

    monkeypatch.setattr(CrstepsDetector1Pipeline, "save_model", save_model)
    return kept


def stock_rates(jump, references, **changes):
    """Fit the ramps with the standard step alone; rate and rates of integrations."""
    step = RampFitStep(**{**references["ramp_fit"], **changes})
    step.finalize_result = lambda *_: None  # asks CRDS for its context
    return step.run(jump)


def statuses(path):
    """Return the status cards of a product."""
    header = fits.getheader(path)
    return {key: header[key] for key in header if key.startswith("S_")}


# --- from raw ramps -------------------------------------------------------------------------


def test_products_of_raw_ramps(products):
    names = {path.name for path in products.glob("x_*")}
    assert names == {
        "x_uncal.fits",
        "x_jump.fits",
        "x_flicker_noise.fits",
        "x_ramp.fits",
        "x_rateints.fits",
        "x_rate.fits",
    }
    assert statuses(products / "x_uncal.fits") == {}
    assert "crsteps.flicker_noise.step - INFO - rms of the removed noise" in (
        (products / "log").read_text()
    )


@pytest.mark.parametrize("product", ["ramp", "rate", "rateints"])
def test_records_of_all_steps_are_in_all_products(products, product):
    path = products / f"x_{product}.fits"
    done = statuses(path)
    for card in ("S_DQINIT", "S_SATURA", "S_SUPERB", "S_LINEAR", "S_JUMP", "S_CLNFNS", "S_SCENEF"):
        assert done[card] == "COMPLETE"
    assert done["S_IPC"] == done["S_PERSIS"] == "SKIPPED"
    assert done.get("S_RAMP") == (None if product == "ramp" else "COMPLETE")
    header = fits.getheader(path)
    assert header["FNREMOVD"] > 5
    if product != "ramp":  # stdatamodels loses it there, as the model was saved before, after jump
        assert list(header["HISTORY"]).count("scene_flicker_noise: update_variance = True") == 1
    with datamodels.open(path) as model:
        assert model.meta.cal_step.clean_flicker_noise == "COMPLETE"
        record = read_records(model)["scene_flicker_noise"]
        assert record["status"] == "COMPLETE"
        assert record["parameters"]["save_noise"] is True
        assert record["measurements"]["removed_noise"]["value"] == header["FNREMOVD"]


def test_rates_have_less_flicker_noise(products, simulated, references, jump):
    """On background, against the light that was simulated."""
    before, _ = stock_rates(jump, references)
    light = simulated.scene_rate / jump.meta.exposure.group_time
    background = ~simulated.scene_mask & ~(before.dq > 0)
    with datamodels.open(products / "x_rate.fits") as after:
        noise = [(model.data - light)[background].std() for model in (before, after)]
        np.testing.assert_array_equal(after.dq, before.dq)
    white = np.median(np.sqrt(before.var_rnoise + before.var_poisson)[background])
    excess = [np.sqrt(sigma**2 - white**2) for sigma in noise]
    assert excess[1] < 0.6 * excess[0]


# --- the error of the removed noise ---------------------------------------------------------


@pytest.mark.parametrize("of_fit", [{}, {"firstgroup": 1}])
def test_error_is_added_as_read_noise_is(of_fit, jump, references, rateints, tmp_path):
    """
    The standard ramp fit with a larger read noise gives the same variances.

    With jumps, reads not to be used, saturation, and a pixel without any good read.
    """
    groupdq = jump.groupdq
    groupdq[...] = 0
    groupdq[0, 3, 10:20, :] |= 4
    groupdq[:, 2, 30:40, :] |= 1
    groupdq[1, 4:, 50:60, :] |= 2
    groupdq[0, :, 70, 7] |= 1
    groupdq[:, :, 71, 7] |= 1
    with datamodels.open(references["ramp_fit"]["override_readnoise"]) as noise:
        # The reference has the variance of a difference of two reads, as the error has.
        noise.data = np.sqrt(noise.data**2 + ERROR_VARIANCE)
        noise.save(tmp_path / "noise.fits")
    noise_file = str(tmp_path / "noise.fits")
    larger = stock_rates(jump.copy(), references, override_readnoise=noise_file, **of_fit)
    plain = stock_rates(jump.copy(), references, **of_fit)

    steps = {**references, "ramp_fit": {**references["ramp_fit"], **of_fit}}
    rate = WithKnownError.call(jump, steps=steps)
    assert len(rateints) == 1
    for ours, expected, stock in zip((rate, *rateints), larger, plain, strict=True):
        np.testing.assert_allclose(ours.var_rnoise, expected.var_rnoise, rtol=1e-5)
        np.testing.assert_array_equal(ours.var_poisson, stock.var_poisson)
        np.testing.assert_array_equal(ours.data, stock.data)
        added = ours.err**2 - stock.err**2
        np.testing.assert_allclose(added, ours.var_rnoise - stock.var_rnoise, rtol=1e-3, atol=1e-6)


def test_nothing_is_added_where_it_is_not_wanted(jump, references, rateints):
    stock = stock_rates(jump.copy(), references)
    steps = {**references, "scene_flicker_noise": {"update_variance": False}}
    rate = WithKnownError.call(jump, steps=steps)
    for ours, expected in zip((rate, *rateints), stock, strict=True):
        np.testing.assert_array_equal(ours.err, expected.err)
        np.testing.assert_array_equal(ours.var_rnoise, expected.var_rnoise)


def test_error_of_the_real_step_is_in_the_rates(products, references):
    """A map of it, with the mean that the record tells."""
    with datamodels.open(products / "x_ramp.fits") as cleaned:
        rates = stock_rates(cleaned, references)
        whole = ~cleaned.groupdq.any(axis=(0, 1))
        mean_error = read_records(cleaned)["scene_flicker_noise"]["measurements"]["mean_error"]
    with datamodels.open(products / "x_rate.fits") as model:
        added = (model.var_rnoise - rates[0].var_rnoise)[whole]
    weight = N_INTEGRATIONS * (N_GROUPS**3 - N_GROUPS) * GROUP_TIME**2
    of_mean = 6 * mean_error["value"] ** 2 / weight
    assert added.mean() == pytest.approx(of_mean, rel=0.1)
    assert added.std() > 0.02 * of_mean
    for name, stock in zip(("rate", "rateints"), rates, strict=True):
        with datamodels.open(products / f"x_{name}.fits") as model:
            fitted = stock.var_rnoise > 0
            added = (model.var_rnoise - stock.var_rnoise)[fitted]
            assert added.min() > 0
            expected = np.sqrt(stock.err[fitted] ** 2 + added)
            np.testing.assert_allclose(model.err[fitted], expected, rtol=1e-5)


def test_error_of_an_earlier_run_is_forgotten(jump, references):
    pipeline = WithKnownError(steps=references)
    first = pipeline.run(jump.copy())
    pipeline.scene_flicker_noise.skip = True
    second = pipeline.run(jump.copy())
    assert (first.var_rnoise > second.var_rnoise).mean() > 0.9
    assert second.meta.cal_step.clean_flicker_noise == "SKIPPED"
    np.testing.assert_array_equal(second.err, stock_rates(jump, references)[0].err)


def test_rates_of_another_shape_are_left_alone(jump, caplog):
    """Stripes of a detector that were read several times are put together by the ramp fit."""
    pipeline = WithKnownError()
    cleaned = pipeline.scene_flicker_noise.run(jump)
    rate = datamodels.ImageModel(np.ones((4, 4), np.float32))
    rate.err = rate.var_rnoise = np.ones((4, 4), np.float32)
    with caplog.at_level(logging.WARNING, logger="crsteps"):
        assert pipeline._completed((rate, None), cleaned) == (rate, None)
    np.testing.assert_array_equal(rate.err, 1)
    assert "not added to rates of another shape, (4, 4)" in caplog.text


# --- from intermediate products -------------------------------------------------------------


def test_goes_on_after_jump(products, references, caplog):
    """Nothing is done twice; the rates and the statuses are those of a run from raw ramps."""
    with caplog.at_level(logging.INFO, logger="crsteps"):
        rate = CrstepsDetector1Pipeline.call(
            str(products / "x_jump.fits"), steps={"ramp_fit": references["ramp_fit"]} | SKIPPED
        )
    with datamodels.open(products / "x_rate.fits") as whole:
        np.testing.assert_array_equal(rate.data, whole.data)
        np.testing.assert_array_equal(rate.err, whole.err)
        status, expected = (model.meta.cal_step.instance for model in (rate, whole))
        assert status == expected
    assert "superbias is not run: the input has been through it" in caplog.text


# Their references are not given.
SKIPPED = {name: {"skip": True} for name in ("ipc", "refpix", "dark_current", "gain_scale")}


def test_goes_on_after_our_step(products, references, rateints):
    """Of ramps cleaned in an earlier run, the error is known from their extension."""
    rate = CrstepsDetector1Pipeline.call(str(products / "x_ramp.fits"), steps=references)
    assert rate.meta.cal_step.clean_flicker_noise == "COMPLETE"
    for model, name in ((rate, "rate"), (*rateints, "rateints")):
        with datamodels.open(products / f"x_{name}.fits") as whole:
            np.testing.assert_array_equal(model.data, whole.data)
            np.testing.assert_allclose(model.err, whole.err, rtol=1e-6)
            np.testing.assert_allclose(model.var_rnoise, whole.var_rnoise, rtol=1e-6)
            assert read_records(model) == read_records(whole)


def test_ramps_cleaned_by_the_standard_step_are_not_cleaned_again(jump, references):
    jump.meta.cal_step.clean_flicker_noise = "COMPLETE"
    stock, _ = stock_rates(jump.copy(), references)
    rate = CrstepsDetector1Pipeline.call(jump, steps=references)
    np.testing.assert_array_equal(rate.data, stock.data)
    np.testing.assert_array_equal(rate.err, stock.err)
    assert rate.meta.cal_step.clean_flicker_noise == "COMPLETE"
    assert read_records(rate) == {}


def test_miri_is_left_to_its_branch(jump, references):
    """Order and choice of steps are those of the standard pipeline, also for MIRI."""
    assert CrstepsDetector1Pipeline.process is Detector1Pipeline.process
    jump.meta.instrument.name, jump.meta.instrument.detector = "MIRI", "MIRIFULONG"
    jump.meta.exposure.type = "MIR_MRS"
    miri = ("emicorr", "firstframe", "lastframe", "reset", "rscd")
    steps = {**references, **{name: {"skip": True} for name in miri}}
    stock, _ = stock_rates(jump.copy(), references)
    rate = CrstepsDetector1Pipeline.call(jump, steps=steps)
    np.testing.assert_array_equal(rate.data, stock.data)
    np.testing.assert_array_equal(rate.err, stock.err)
    assert rate.meta.cal_step.clean_flicker_noise == "SKIPPED"
    assert rate.meta.cal_step.rscd == "SKIPPED"
    assert read_records(rate)["scene_flicker_noise"]["status"] == "SKIPPED"


# --- parameters -----------------------------------------------------------------------------


def test_crsteps_run_with_parameters(products, references, in_tmp_path):
    """The flicker noise stays in if the step is skipped: the standard rates."""
    parameters = [f"steps.{name}.skip=true" for name in (*SKIPPED, "scene_flicker_noise")]
    parameters += [f"steps.ramp_fit.{key}={path}" for key, path in references["ramp_fit"].items()]
    given = [word for text in parameters for word in ("--param", text)]
    jump = products / "x_jump.fits"
    assert main(["run", "crsteps_detector1", str(jump), *given, "--output-dir", "out"]) == 0
    assert {path.name for path in (in_tmp_path / "out").iterdir()} == {
        "x_rate.fits",
        "x_rateints.fits",
    }
    assert statuses("out/x_rate.fits")["S_CLNFNS"] == "SKIPPED"
    with datamodels.open(jump) as ramps, datamodels.open("out/x_rate.fits") as rate:
        stock, _ = stock_rates(ramps, references)
        np.testing.assert_array_equal(rate.data, stock.data)
        np.testing.assert_array_equal(rate.err, stock.err)


def test_the_step_is_on_and_the_others_as_in_the_standard_pipeline():
    ours, standard = CrstepsDetector1Pipeline(), Detector1Pipeline()
    assert not ours.scene_flicker_noise.skip
    assert ours.powerlaw_persistence.skip
    for name in set(ours.step_defs) - {"scene_flicker_noise", "powerlaw_persistence"}:
        of_ours, of_standard = (getattr(p, name).get_pars() for p in (ours, standard))
        assert of_ours == of_standard


def test_name_of_the_standard_slot_is_told():
    with pytest.raises(CrstepsInputError, match="did you mean scene_flicker_noise"):
        CrstepsDetector1Pipeline.call("x.fits", steps={"clean_flicker_noise": {"skip": True}})


def test_parameters_of_the_standard_pipeline_in_crds(monkeypatch, jump, serverless_crds, tmp_path):
    """All but those of the slot hold for ours too."""
    monkeypatch.delenv("STPIPE_DISABLE_CRDS_STEPPARS")
    path = tmp_path / "jwst_pars.asdf"
    path.write_text(
        "#ASDF 1.0.0\n%YAML 1.1\n---\n"
        "class: jwst.pipeline.calwebb_detector1.Detector1Pipeline\nname: Detector1Pipeline\n"
        "parameters: {save_calibrated_ramp: true}\nsteps:\n"
        "- {class: jwst.ipc.ipc_step.IPCStep, name: ipc, parameters: {skip: true}}\n"
        "- class: jwst.clean_flicker_noise.clean_flicker_noise_step.CleanFlickerNoiseStep\n"
        "  name: clean_flicker_noise\n  parameters: {skip: true, fit_by_channel: true}\n...\n"
    )

    def best_reference(parameters, kind, observatory):
        return str(path) if kind == "pars-detector1pipeline" else "N/A"

    monkeypatch.setattr("stpipe.crds_client.get_reference_file", best_reference)
    config = CrstepsDetector1Pipeline.get_config_from_reference(jump)
    pipeline = CrstepsDetector1Pipeline.from_config_section(config)
    assert pipeline.save_calibrated_ramp
    assert pipeline.ipc.skip
    assert not pipeline.scene_flicker_noise.skip


# --- wrong input ----------------------------------------------------------------------------


def test_rates_are_refused(products, in_tmp_path):
    path = str(products / "x_rate.fits")
    with datamodels.open(path) as model:
        for given in (path, model):
            with pytest.raises(
                CrstepsInputError, match=r"x_rate\.fits has been through the ramp fit"
            ):
                CrstepsDetector1Pipeline.call(given, save_results=True)
    assert list(in_tmp_path.iterdir()) == []


@pytest.mark.filterwarnings("ignore:File may have been truncated")
def test_a_file_cut_off_is_told(products, in_tmp_path):
    whole = (products / "x_uncal.fits").read_bytes()
    (in_tmp_path / "y_uncal.fits").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CrstepsInputError, match=r"y_uncal\.fits cannot be opened as an exp"):
        CrstepsDetector1Pipeline.call("y_uncal.fits", save_results=True)
    assert len(list(in_tmp_path.iterdir())) == 1


def test_missing_references_are_told(products, in_tmp_path, crds_variables):
    with pytest.raises(CrstepsInputError, match="override_mask of dq_init, or CRDS_PATH"):
        CrstepsDetector1Pipeline.call(str(products / "x_uncal.fits"), save_results=True)
    assert list(in_tmp_path.iterdir()) == []


# --- our step in the standard pipeline ------------------------------------------------------


@pytest.fixture
def steps_of_standard_pipeline(serverless_crds, references):
    """Return the parameters of the steps, for a jump product."""
    others = ("dq_init", "saturation", "superbias", "linearity", "reset", "rscd")
    return copied({**references, **{name: {"skip": True} for name in others}})


@pytest.mark.parametrize("hook", ["crsteps.SceneFlickerNoiseStep", SceneFlickerNoiseStep])
def test_post_hook_of_jump(hook, steps_of_standard_pipeline, products):
    """Same rates as from our pipeline; what the standard steps leave of the record."""
    steps_of_standard_pipeline["jump"]["post_hooks"] = [hook]
    rate = Detector1Pipeline.call(str(products / "x_jump.fits"), steps=steps_of_standard_pipeline)
    assert rate.meta.cal_step.clean_flicker_noise == "SKIPPED"  # the slot itself, later
    assert rate.cal_logs.scene_flicker_noise[0].endswith("scene_flicker_noise: COMPLETE")
    with datamodels.open(products / "x_rate.fits") as ours:
        np.testing.assert_array_equal(rate.data, ours.data)


@pytest.mark.parametrize(
    "hook", ["crsteps.SceneFlickerNoiseStep(sky_box=64)", SceneFlickerNoiseStep(sky_box=64)]
)
def test_parameters_of_a_post_hook(hook, steps_of_standard_pipeline, jump):
    steps_of_standard_pipeline["jump"]["post_hooks"] = [hook]
    rate = Detector1Pipeline.call(jump, steps=steps_of_standard_pipeline)
    assert "scene_flicker_noise: sky_box = 64" in list(rate.cal_logs.scene_flicker_noise)


def test_post_hook_on_the_command_line(steps_of_standard_pipeline, products, in_tmp_path):
    """The list of hooks needs a comma at its end."""
    options = [
        f"--steps.{step}.{name}={value}"
        for step, values in steps_of_standard_pipeline.items()
        for name, value in values.items()
    ]
    hook = "--steps.jump.post_hooks=crsteps.SceneFlickerNoiseStep(sky_box=64),"
    folder = f"--output_dir={in_tmp_path}"
    given = ["calwebb_detector1", str(products / "x_jump.fits"), folder, hook, *options]
    Step.from_cmdline(given)
    with datamodels.open(in_tmp_path / "x_rate.fits") as rate:
        assert "scene_flicker_noise: sky_box = 64" in list(rate.cal_logs.scene_flicker_noise)


@pytest.mark.parametrize("hook", ["scene_flicker_noise", "crsteps.SceneFlickerNoiseStep(a=1.5)"])
def test_what_stpipe_takes_for_a_shell_command(hook):
    """As the documentation warns."""
    (step,) = RampFitStep(post_hooks=[hook])._post_hooks
    assert type(step).__name__ == "SystemCall"
