"""PowerLawPersistenceStep on inputs and parameters that are wrong, damaged, or say nothing."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from stdatamodels.jwst import datamodels

from crsteps.errors import CrstepsInputError
from crsteps.persistence.step import PowerLawPersistenceStep

from .conftest import ALIAS, GAIN, model_of, write_association, write_reference

EARLIER = ["b_rate.fits", "a_jump.fits"]


def call(given, **parameters):
    """Call the step, saving all products in the folder out."""
    defaults = {
        "persistence_file": "reference.asdf",
        "gain": GAIN,
        "history": EARLIER,
        "save_results": True,
        "save_persistence": True,
        "output_dir": "out",
    }
    return PowerLawPersistenceStep.call(given, **{**defaults, **parameters})


def edit(path, **cards):
    """Copy a file into the folder with other cards in its headers; None removes a card."""
    target = Path(f"edited_{Path(path).name}")
    with fits.open(path) as hdus:
        for keyword, value in cards.items():
            for hdu in hdus:
                if keyword in hdu.header and value is None:
                    del hdu.header[keyword]
                elif keyword in hdu.header:
                    hdu.header[keyword] = value
        # Keywords are read from the cards, which are not in the tree of ASDF then.
        hdus = fits.HDUList([hdu for hdu in hdus if hdu.name != "ASDF"])
        hdus.writeto(target, overwrite=True)
    return str(target)


def refused(digests, given, words, **parameters):
    """Check that one sentence with the words is raised, and that nothing is written."""
    before = digests()
    with pytest.raises(CrstepsInputError, match=words) as caught:
        call(given, **parameters)
    assert "\n" not in str(caught.value)
    assert digests() == before
    if Path("out").exists():
        assert digests("out") == {}


@pytest.mark.parametrize(
    ("cards", "words"),
    [
        ({"EXPSTART": None}, r"EXPSTART\): set the keyword"),
        ({"TFRAME": None, "TGROUP": None}, "no frame time"),
        ({"NGROUPS": 3}, "NGROUPS is 3, but the data have 4 groups"),
        ({"NINTS": 5}, "say integrations 1 to 5, but the data have 2"),
        ({"DETECTOR": None}, "does not name its detector"),
        ({"SUBSTRT1": 2040}, "do not lie in a detector of 2048 by 2048"),
    ],
)
@pytest.mark.parametrize("role", ["exposure", "history"])
def test_keywords_that_are_missing_or_wrong(night, digests, cards, words, role):
    if role == "exposure":
        refused(digests, edit("c_jump.fits", **cards), words)
    else:
        refused(digests, "c_jump.fits", words, history=[edit("a_jump.fits", **cards)])


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"persistence_file": "none.asdf"}, r"none\.asdf: check the parameter persistence_file"),
        ({"persistence_file": "other.asdf"}, "no entry under detectors for NRCA1, only for NRCA2"),
        ({"persistence_file": "nisp.asdf"}, "for NISP and not for NIRCAM"),
        ({"persistence_file": "c_jump.fits"}, "no usable persistence reference|not a persistence"),
        ({"history": ["none.fits"]}, r"no file none\.fits"),
        ({"history": ["none.json"]}, r"no association none\.json"),
        ({"history_file": "damaged.asdf"}, "no usable persistence history"),
        ({"history_file": "reference.asdf"}, "is not a persistence history"),
        ({"history_file": "other_history.asdf"}, "is of NRCA2 and not of NRCA1"),
        ({"history_file": "c_jump.fits/h.asdf"}, "cannot be written: choose another folder"),
        ({"forget_history": True}, "set history_file"),
        ({"combine": "mean"}, "combine"),
        ({"minimum_significance": -1.0}, "minimum_significance"),
        ({"gain": 0.0}, "gain"),
        ({"jobs": 0}, "jobs"),
        ({"histroy": "x"}, "did you mean history"),
    ],
)
def test_mistakes(night, digests, parameters, words):
    write_reference("other.asdf", detectors=["NRCA2"])
    write_reference("nisp.asdf", instruments=["NISP"])
    Path("damaged.asdf").write_bytes(b"#ASDF 1.0.0\n%YAML 1.1\n--- {meta: [\n...\n")
    write_reference("nrca2.asdf", detectors=["NRCA2"])
    model = model_of(np.zeros((24, 40)), 0.0, name="x", detector="NRCA2", kind="rate")
    PowerLawPersistenceStep.call(
        model, persistence_file="nrca2.asdf", gain=GAIN, history_file="other_history.asdf"
    )
    refused(digests, "c_jump.fits", words, **parameters)


def test_exposures_of_another_kind(night, digests):
    raw = datamodels.Level1bModel(data=np.ones((2, 4, 24, 40), np.uint16))
    template = model_of(np.zeros((2, 4, 24, 40)), 1200.0, name="c")
    raw.update(template)
    raw.save("c_uncal.fits")
    refused(digests, "c_uncal.fits", "is a raw exposure")
    calibrated = model_of(np.zeros((24, 40)), 1200.0, name="c", kind="rate")
    calibrated.meta.bunit_data = "MJy/sr"
    refused(digests, calibrated, "is in MJy/sr: give ramps or rates in DN or electrons")
    wrong = model_of(np.zeros((24, 40)), 1200.0, name="c", kind="rate")
    wrong.dq = np.zeros((24, 41), np.uint32)
    refused(digests, wrong, r"dq has the shape \(24, 41\)")
    unknown = model_of(np.zeros((24, 40)), 1200.0, name="c", detector="GUIDER1", kind="rate")
    write_reference("guider.asdf", detectors=["GUIDER1"])
    words = "the gain of GUIDER1 is not known"
    refused(digests, unknown, words, gain=None, persistence_file="guider.asdf")
    fits.writeto("plain.fits", np.zeros((24, 40), np.float32))
    refused(digests, "plain.fits", "does not name its detector")
    Path("cut.fits").write_bytes(Path("c_jump.fits").read_bytes()[:20000])
    refused(digests, "cut.fits", r"cut\.fits")


def test_corrected_exposures_are_not_corrected_again(night, digests):
    call("c_jump.fits", output_dir=".", save_persistence=False)
    Path(f"c_{ALIAS}.fits").rename("d_jump.fits")
    refused(digests, "d_jump.fits", "has been corrected by powerlaw_persistence already")


def test_associations_without_anything_to_correct(night, digests):
    write_association("none.json", [("a_jump.fits", "dark")])
    refused(digests, "none.json", "has no exposure to correct")
    write_association("twice.json", [("c_jump.fits", "science"), ("c_rate.fits", "science")])
    refused(digests, "twice.json", "c is given twice")


def test_a_product_does_not_replace_an_input(night, digests):
    Path("c_jump.fits").rename("c_persistence.fits")
    refused(digests, "c_persistence.fits", "would replace the input", output_dir=".")


def test_strun_tells_a_mistake_in_one_line(night, digests, user_environment):
    before = digests()
    command = f"strun {ALIAS} c_jump.fits --history=a_jump.fits, --persistence_file=none.asdf"
    run = subprocess.run(
        command.split(), env=user_environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 1
    assert "Traceback" not in run.stderr
    (error,) = [line for line in run.stderr.splitlines() if " - ERROR - " in line]
    assert "There is no file none.asdf: check the parameter persistence_file." in error
    assert digests() == before


def test_pixels_that_say_nothing(night):
    """NaN, pixels not to be used and reference pixels, in the exposure and in the stimulus."""
    stimulus = np.full((24, 40), 300.0, np.float32)
    stimulus[0, 0], stimulus[0, 1], stimulus[0, 2] = np.nan, -300.0, 0.0
    model = model_of(stimulus, 0.0, name="s", kind="rate")
    model.dq[0, 3] = 1  # DO_NOT_USE
    model.save("s_rate.fits")
    dark = model_of(np.ones((24, 40)), 700.0, name="d", kind="rate")
    dark.data[1, 0] = np.nan
    dark.dq[1, 1], dark.dq[1, 2] = 1, np.uint32(1 << 31)
    corrected = call(dark, history=["s_rate.fits"])
    unchanged = np.zeros((24, 40), bool)
    unchanged[0, :4] = unchanged[1, 1:3] = True
    np.testing.assert_array_equal(corrected.data == 1, unchanged)
    assert np.isnan(corrected.data[1, 0])
    assert (corrected.dq & 32 == 0)[unchanged].all()


def test_nothing_is_usable(night):
    model = model_of(np.full((24, 40), np.nan), 1200.0, name="n", kind="rate")
    model.dq[...] = 1
    corrected = call(model)
    assert np.isnan(corrected.data).all()
    np.testing.assert_array_equal(corrected.dq, 1)


def test_exposures_that_overlap(night, caplog):
    """What had not ended when an exposure began is no stimulus of it."""
    model_of(np.full((24, 40), 300.0), 1150.0, name="o", kind="rate").save("o_rate.fits")
    corrected = call("c_rate.fits", history=["o_rate.fits"])
    assert corrected.meta.cal_step.persistence == "SKIPPED"
    np.testing.assert_array_equal(corrected.data, fits.getdata("c_rate.fits"))
