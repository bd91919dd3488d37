"""PowerLawPersistenceStep on ramps and rates of JWST, against charges by quadrature."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from stdatamodels.jwst import datamodels

from crsteps.datamodels.persistence_history import read_histories
from crsteps.errors import CrstepsInputError
from crsteps.framework.provenance import read_records
from crsteps.persistence.step import PowerLawPersistenceStep

from .conftest import (
    ALIAS,
    AMPLITUDE,
    ERROR,
    GAIN,
    GAMMA,
    SYSTEMATIC,
    light_ramp,
    model_of,
    persistence_of,
    rates_of,
    write_association,
    write_reference,
)

PERSISTENCE, DO_NOT_USE = 32, 1
EARLIER = ["b_rate.fits", "a_jump.fits"]


def call(given, **parameters):
    """Call the step with the reference and the gain of the night."""
    defaults = {"persistence_file": "reference.asdf", "gain": GAIN}
    given = [str(one) for one in given] if isinstance(given, list) else given
    return PowerLawPersistenceStep.call(given, **{**defaults, **parameters})


def expected(night, name):
    """Return the true persistence in the groups of an exposure in DN."""
    return night.persistence[name] / GAIN


# --- numbers --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["jump", "rateints", "rate"])
def test_persistence_is_subtracted(night, kind):
    """To the rounding of the data; ramps group by group, rates each by its own persistence."""
    path = f"c_{kind}.fits"
    corrected = call(path, history=EARLIER)
    light = light_ramp(night.light["c"]) / GAIN
    left = expected(night, "c")
    if kind != "jump":
        light, left = rates_of(light), rates_of(left)
    if kind == "rate":
        light, left = light.mean(axis=0), left.mean(axis=0)
    assert left.max() > 1.5 * np.median(light)
    # The rounding of the data, which are float32.
    np.testing.assert_allclose(corrected.data, light, atol=2e-6 * (light + left).max())
    with datamodels.open(path) as before:
        assert np.abs(before.data - light).max() > 0.99 * left.max()
    assert corrected.meta.cal_step.instance[ALIAS] == "COMPLETE"
    assert corrected.meta.cal_step.persistence == "COMPLETE"


def test_variance_of_rates_is_added(night):
    relative = np.hypot(ERROR, SYSTEMATIC)
    corrected = call("c_rateints.fits", history=EARLIER)
    added = (relative * rates_of(expected(night, "c"))) ** 2
    # 0.04 as float32 is known to 4e-9
    np.testing.assert_allclose(corrected.var_rnoise - 0.04, added, rtol=1e-4, atol=4e-9)
    np.testing.assert_allclose(corrected.err, np.sqrt(0.09 + added), rtol=1e-4)
    np.testing.assert_array_equal(corrected.var_poisson, np.float32(0.05))


def test_variance_of_ramps_is_an_extension(night):
    call("c_jump.fits", history=EARLIER, save_results=True)
    rate = rates_of(expected(night, "c")).mean(axis=0)
    with fits.open(f"c_{ALIAS}.fits") as hdus:
        variance, header = hdus["PERSVAR"].data, hdus["PERSVAR"].header
    np.testing.assert_allclose(variance, (np.hypot(ERROR, SYSTEMATIC) * rate) ** 2, rtol=1e-3)
    assert header["BUNIT"] == "(DN/s)^2"
    ramps = call("c_jump.fits", history=EARLIER, update_variance=False, save_results=True)
    assert not getattr(ramps.extra_fits, "PERSVAR", None)


def test_another_systematic_than_that_of_the_reference(night):
    corrected = call("c_rate.fits", history=EARLIER, systematic=0.0)
    rate = rates_of(expected(night, "c")).mean(axis=0)
    np.testing.assert_allclose(corrected.err, np.hypot(0.3, ERROR * rate), rtol=1e-4)


def test_flags(night):
    rate = GAIN * rates_of(expected(night, "c")).mean(axis=0)
    limits = {"flag_rate": float(np.quantile(rate, 0.6)), "bad_rate": float(np.quantile(rate, 0.9))}
    for kind, name in (("jump", "pixeldq"), ("rate", "dq"), ("rateints", "dq")):
        corrected = call(f"c_{kind}.fits", history=EARLIER, **limits)
        flags = getattr(corrected, name)
        wanted = np.broadcast_to(rate, flags.shape)
        np.testing.assert_array_equal((flags & PERSISTENCE) > 0, wanted > limits["flag_rate"])
        np.testing.assert_array_equal((flags & DO_NOT_USE) > 0, wanted > limits["bad_rate"])


def test_nothing_is_subtracted_below_the_error(night):
    """By default where the prediction is below its error: never worse than before."""
    write_reference("vague.asdf", covariance={"amplitude": 1.1, "gamma": 0.0, "cross": 0.0})
    corrected = call("c_jump.fits", history=EARLIER, persistence_file="vague.asdf")
    np.testing.assert_array_equal(corrected.data, fits.getdata("c_jump.fits"))
    assert read_records(corrected)[ALIAS]["measurements"]["subtracted_fraction"]["value"] == 0
    forced = call(
        "c_jump.fits", history=EARLIER, persistence_file="vague.asdf", minimum_significance=0
    )
    light = light_ramp(night.light["c"]) / GAIN
    np.testing.assert_allclose(forced.data, light, atol=2e-6 * forced.data.max() + 1e-3)


@pytest.mark.parametrize(
    ("factor", "slope", "limit"),
    [(1.2, 0.1, 1.2), (1.2, 0.0, 1.2), (0.8, 0.1, 1.2), (1.2, -0.1, 1.2), (0.8, -0.1, 2**0.5)],
)
def test_variance_covers_a_reference_that_is_wrong(night, factor, slope, limit):
    """
    By a fifth in amplitude and 0.1 in slope, if it says so; by root mean square.

    Too weak in both, sooner than the reference time, is twice one standard deviation in one
    direction, where the variance has the root of 2.
    """
    curve = {
        "kind": "linear",
        "amplitude": factor * AMPLITUDE,
        "gamma": GAMMA + slope,
        "reference_fluence": 1e5,
    }
    covariance = {"amplitude": 0.04, "gamma": 0.01, "cross": 0.0}
    write_reference("wrong.asdf", curve=curve, covariance=covariance)
    corrected = call("c_rate.fits", history=EARLIER, persistence_file="wrong.asdf")
    light = rates_of(light_ramp(night.light["c"]) / GAIN).mean(axis=0)
    error = np.sqrt(corrected.var_rnoise - 0.04)
    left = rates_of(expected(night, "c")).mean(axis=0)
    strong = left > 0.02  # above the rounding of the variance
    assert strong.sum() > 100
    pull = ((corrected.data - light) / error)[strong]
    assert np.sqrt(np.mean(pull**2)) < limit
    # and what is left is less than what there was
    assert np.abs((corrected.data - light)[strong]).sum() < 0.7 * left[strong].sum()


def test_the_strongest_alone(night):
    """With combine = max, in each pixel that which is strongest when the exposure begins."""
    total = call("c_rate.fits", history=EARLIER)
    strongest = call("c_rate.fits", history=EARLIER, combine="max")
    single = [call("c_rate.fits", history=[name]) for name in EARLIER]
    before = fits.getdata("c_rate.fits")
    removed = [before - model.data for model in single]
    np.testing.assert_allclose(before - total.data, sum(removed), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(before - strongest.data, np.maximum(*removed), rtol=1e-3, atol=1e-4)


def test_saturated_pixels_have_the_saturation_level(night):
    model = model_of(np.zeros((2, 4, 24, 40)), 0.0, name="full")
    model.groupdq[0, 2:, 5, 6] = 2  # SATURATED
    model.save("full_jump.fits")
    write_reference("level.asdf", saturation_level=4e4)
    dark = model_of(np.zeros((24, 40)), 1200.0, name="dark", kind="rate")
    corrected = call(dark, history=["full_jump.fits"], persistence_file="level.asdf")
    fluence = np.zeros((24, 40))
    fluence[5, 6] = 4e4
    rate = rates_of(persistence_of([(0.0, fluence)], 1200.0)).mean(axis=0) / GAIN
    np.testing.assert_allclose(corrected.data, -rate, rtol=1e-5, atol=1e-7)


def test_subarrays_and_whole_detectors_know_of_each_other(night):
    """A window of 24 by 40 pixels at (101, 201), and a rate of the whole detector."""
    whole = np.zeros((2048, 2048), np.float32)
    whole[205:210, 110:130] = 300.0
    model_of(whole, -2000.0, name="whole", kind="rate").save("whole_rate.fits")
    dark = np.zeros((24, 40))
    window = model_of(dark, 0.0, name="window", kind="rate", window=(101, 201))
    corrected = call(window, history=["whole_rate.fits"], history_file="h.asdf")
    lit = np.zeros((24, 40), bool)
    lit[5:10, 10:30] = True
    np.testing.assert_array_equal(corrected.data < 0, lit)
    window = model_of(dark + 100 * lit, 1000.0, name="window2", kind="rate", window=(101, 201))
    corrected = call(window, history_file="h.asdf")
    assert (corrected.data[lit] < 100).all()
    later = model_of(np.zeros((2048, 2048)), 2000.0, name="later", kind="rate")
    corrected = call(later, history_file="h.asdf")
    subtracted = np.argwhere(corrected.data < 0)
    assert subtracted.min(axis=0).tolist() == [205, 110]
    assert subtracted.max(axis=0).tolist() == [209, 129]
    assert len(subtracted) == lit.sum()


# --- history --------------------------------------------------------------------------------


def one_after_the_other(names, **parameters):
    """Run the step on each exposure with a history file; return the corrected data."""
    return [call(name, history_file="history.asdf", **parameters).data for name in names]


def test_orders_and_histories_give_the_same(night):
    """A list, an association in any order, a history given, a history file: all the same."""
    one_by_one = one_after_the_other(night.names)
    light = light_ramp(night.light["c"]) / GAIN
    np.testing.assert_allclose(one_by_one[2], light, atol=2e-6 * light.max() + 1e-3)
    for order in ((2, 0, 1), (0, 1, 2)):
        members = [(night.names[i], "science") for i in order]
        write_association("night.json", members)
        result = call("night.json", history_file=f"h{order[0]}.asdf")
        assert [d.source for d in result.detectors] == ["a", "b", "c"]
        assert [d.status for d in result.detectors] == ["SKIPPED", "COMPLETE", "COMPLETE"]
        for model, alone in zip(result.models, one_by_one, strict=True):
            np.testing.assert_array_equal(model.data, alone)
    given = call("c_jump.fits", history=EARLIER)
    np.testing.assert_array_equal(given.data, one_by_one[2])
    of_list = call([night.names[2], night.names[0], night.names[1]])
    np.testing.assert_array_equal(of_list.models[2].data, one_by_one[2])
    stored = [read_histories(f"{name}.asdf")["NRCA1"] for name in ("history", "h2", "h0")]
    for history in stored:
        assert [s.source for s in history.stimuli] == ["a", "b", "c"]
        assert [c.source for c in history.corrected] == ["a", "b", "c"]
        for mine, first in zip(history.stimuli, stored[0].stimuli, strict=True):
            np.testing.assert_array_equal(np.asarray(mine.fluence), np.asarray(first.fluence))


def test_members_that_are_not_science_are_history(night):
    members = [("c_jump.fits", "science"), ("b_rate.fits", "background"), ("a_jump.fits", "dark")]
    write_association("night.json", members)
    corrected = call("night.json", save_results=True)
    np.testing.assert_array_equal(corrected.data, call("c_jump.fits", history=EARLIER).data)
    assert [path.name for path in Path().glob(f"*_{ALIAS}.fits")] == [f"night_{ALIAS}.fits"]
    as_history = call("c_jump.fits", history=["night.json"])
    np.testing.assert_array_equal(as_history.data, corrected.data)


def test_exposures_of_an_association_are_saved_under_their_names(night, digests):
    before = digests()
    write_association("night.json", [(name, "science") for name in night.names])
    result = call("night.json", save_results=True, output_dir="out")
    names = [f"{name}_{ALIAS}.fits" for name in "abc"]
    assert [path.name for path in result.products] == names
    assert sorted(digests("out")) == names
    assert result.models == ()
    alone = call("c_jump.fits", history=EARLIER)
    np.testing.assert_array_equal(fits.getdata(result.products[2]), alone.data)
    assert fits.getval(result.products[2], "S_POWERL") == "COMPLETE"
    assert {name: digest for name, digest in digests().items() if name in before} == before


def test_out_of_order_is_refused(night, digests):
    call("c_jump.fits", history_file="history.asdf")  # alone: skipped, but noted
    before = digests()
    with pytest.raises(CrstepsInputError, match=r"a ended before c began, .* in the order of time"):
        call("a_jump.fits", history_file="history.asdf", save_results=True, save_persistence=True)
    assert digests() == before


def test_the_same_exposure_again(night, digests):
    """Nothing is counted twice, and the answer stays the same."""
    first = one_after_the_other(night.names)
    again = call("c_jump.fits", history_file="history.asdf", history=EARLIER)
    np.testing.assert_array_equal(again.data, first[2])
    with pytest.raises(CrstepsInputError, match="b is in the history already with other times or"):
        call("b_jump.fits", history_file="history.asdf")


def test_history_is_left_as_it_is_on_request(night, digests):
    call("a_jump.fits", history_file="history.asdf")
    before = digests()
    corrected = call("b_rate.fits", history_file="history.asdf", save_history=False)
    assert corrected.meta.cal_step.persistence == "COMPLETE"
    assert digests() == before


def test_a_shortened_history_says_the_same_later(night):
    write_reference("short.asdf", forgetting_rate=0.3)
    parameters = {"persistence_file": "short.asdf", "history_file": "history.asdf"}
    call("a_jump.fits", **parameters)
    call("b_rate.fits", **parameters)
    shutil.copy("history.asdf", "long.asdf")
    call("c_jump.fits", **parameters, forget_history=True)
    whole, short = read_histories("long.asdf"), read_histories("history.asdf")
    sizes = [len(h["NRCA1"].stimuli[0].pixels) for h in (whole, short)]
    assert sizes[1] < sizes[0]
    later = model_of(np.zeros((24, 40)), 3000.0, name="later", kind="rate")
    call("c_jump.fits", **{**parameters, "history_file": "long.asdf"})
    answers = [
        call(later, **{**parameters, "history_file": name}).data
        for name in ("long.asdf", "history.asdf")
    ]
    np.testing.assert_array_equal(*answers)
    with pytest.raises(CrstepsInputError, match="history was shortened"):
        call("b_rate.fits", **parameters)


def test_later_exposures_are_no_history(night, caplog):
    corrected = call("b_rate.fits", history=["a_jump.fits", "c_jump.fits"])
    np.testing.assert_array_equal(corrected.data, call("b_rate.fits", history=["a_jump.fits"]).data)
    assert "c is not used: it began after the last exposure" in caplog.text


def test_without_earlier_exposures_it_is_skipped(night, caplog):
    result = call("c_jump.fits", save_results=True)
    assert "skipped, the data are unchanged: no earlier exposure of NRCA1 is known" in caplog.text
    np.testing.assert_array_equal(result.data, fits.getdata("c_jump.fits"))
    np.testing.assert_array_equal(result.pixeldq, 0)
    assert result.meta.cal_step.persistence == "SKIPPED"
    assert fits.getval(f"c_{ALIAS}.fits", "S_POWERL") == "SKIPPED"


# --- products, inputs -----------------------------------------------------------------------


def test_prediction_measurements_and_figure(night, caplog):
    call(
        "c_jump.fits", history=EARLIER, save_results=True, save_persistence=True, save_figures=True
    )
    rate = GAIN * rates_of(expected(night, "c")).mean(axis=0)
    with datamodels.open("c_persistence.fits") as product:
        np.testing.assert_allclose(product.data, rate, rtol=1e-5)
        np.testing.assert_allclose(product.err, np.hypot(ERROR, SYSTEMATIC) * rate, rtol=1e-3)
        np.testing.assert_array_equal(product.dq, np.where(rate > 0.01, PERSISTENCE, 0))
        assert product.meta.bunit_data == "ELECTRONS/s"
    assert Path("c_persistence_image.png").stat().st_size > 10000
    header = fits.getheader(f"c_{ALIAS}.fits")
    with datamodels.open(f"c_{ALIAS}.fits") as model:
        measured = read_records(model)[ALIAS]["measurements"]
    for threshold, card in ((0.1, "0100"), (0.03, "0030"), (0.01, "0010")):
        before = np.mean(rate > threshold)
        after = np.mean(np.hypot(ERROR, SYSTEMATIC) * rate > threshold)
        assert header[f"PPB{card}"] == pytest.approx(before)
        assert header[f"PPA{card}"] == pytest.approx(after)
        assert measured[f"fraction_before_{threshold:g}"]["value"] == pytest.approx(before)
        assert (
            f"{100 * before:.3g} % -> {100 * after:.3g} % above {threshold:g} e-/s" in caplog.text
        )


def test_models_are_left_as_they_were(night):
    with datamodels.open("c_jump.fits") as given, datamodels.open("a_jump.fits") as earlier:
        before = given.data.copy()
        history = earlier.data.copy()
        result = PowerLawPersistenceStep.call(
            [given, earlier], persistence_file="reference.asdf", gain=GAIN
        )
        np.testing.assert_array_equal(given.data, before)
        np.testing.assert_array_equal(earlier.data, history)
        np.testing.assert_array_equal(given.pixeldq, 0)
        assert given.meta.cal_step.persistence is None
    assert not np.array_equal(result.models[1].data, before)


def test_gains(night, caplog):
    """Of the parameter, of a reference, or of the detector; data in electrons have none."""
    wanted = call("c_rate.fits", history=EARLIER).data
    gain = datamodels.GainModel(data=np.full((24, 40), GAIN, np.float32))
    gain.data[0, 0] = np.nan
    gain.save("gain.fits")
    parameters = {"gain": None, "history": EARLIER}
    np.testing.assert_array_equal(
        call("c_rate.fits", **parameters, override_gain="gain.fits").data, wanted
    )
    call("c_rate.fits", **parameters)
    assert "gain of NRCA1: 2.05 e-/DN, a rounded value" in caplog.text
    for name in ("b_rate", "a_jump", "c_rate"):
        with datamodels.open(f"{name}.fits") as model:
            model.data = model.data * np.float32(GAIN)
            model.meta.bunit_data = "ELECTRONS" if model.data.ndim == 4 else "ELECTRONS/s"
            model.save(f"{name[0]}e_{name[2:]}.fits")
    electrons = call("ce_rate.fits", gain=None, history=["be_rate.fits", "ae_jump.fits"])
    np.testing.assert_allclose(electrons.data, GAIN * wanted, rtol=1e-5, atol=1e-5)


def test_packaged_reference_is_said_to_be_an_example(night, caplog):
    corrected = call("c_jump.fits", history=EARLIER, persistence_file=None)
    assert "persistence-jwst-nir.asdf is an example and no calibration" in caplog.text
    used = read_records(corrected)[ALIAS]["references"]["persistence"]
    assert used["source"] == "packaged"


def test_strun_without_crds(night, digests, user_environment):
    before = digests()
    command = f"strun {ALIAS} c_jump.fits --history=b_rate.fits,a_jump.fits --gain={GAIN}"
    command += " --persistence_file=reference.asdf --history_file=h.asdf --output_dir=out"
    run = subprocess.run(
        command.split(),
        env=user_environment | {"CRDS_PATH": "", "CRDS_SERVER_URL": ""},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert "c: persistence of 2 of 2 earlier exposures" in run.stderr
    after = digests()
    after.pop("h.asdf")
    assert after == before
    assert list(digests("out")) == [f"c_{ALIAS}.fits"]
    np.testing.assert_array_equal(
        fits.getdata(f"out/c_{ALIAS}.fits"), call("c_jump.fits", history=EARLIER).data
    )
