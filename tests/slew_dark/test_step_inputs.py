"""SlewDarkCosmicsStep on inputs and parameters that are wrong, damaged, or say nothing."""

import importlib.util

import numpy as np
import pytest
from astropy.io import fits

from crsteps.errors import CrstepsInputError
from crsteps.slew_dark import workers_step
from crsteps.slew_dark.step import SlewDarkCosmicsStep

DO_NOT_USE, JUMP_DET = 1, 4


def call(path, **parameters):
    """Call the step with four outputs, saving results in the folder out."""
    defaults = {"n_outputs": 4, "save_results": True, "output_dir": "out"}
    return SlewDarkCosmicsStep.call(str(path), **{**defaults, **parameters})


def change(path, name, change_data):
    """Change the array of an extension in place, uint16 kept."""
    with fits.open(path, mode="update") as hdus:
        change_data(hdus[name].data)


# --- detectors that say nothing -------------------------------------------------------------


@pytest.mark.parametrize("state", ["constant", "all bad"])
def test_a_detector_without_information_is_skipped(small, state, caplog):
    if state == "constant":
        change(small.path, "DET32.SCI", lambda data: data.fill(1024))
    else:
        change(small.bad, "DET32", lambda data: data.fill(1))
    result = call(small.path, bad_pixel_mask="bad.fits")
    reasons = {each.detector: each.reason for each in result.detectors}
    words = {"constant": "all usable pixels are 1024", "all bad": "no usable pixel"}[state]
    assert words in reasons.pop("DET32")
    assert set(reasons.values()) == {""}
    assert f"DET32 is skipped: {words}" in caplog.text
    dq = fits.getdata(result.products["crmask.fits"], "DET32.DQ")
    np.testing.assert_array_equal(dq, DO_NOT_USE)
    header = fits.getheader(result.products["crclean.fits"], "DET32.SCI")
    assert header["CRSTATUS"] == "SKIPPED"
    assert words in header["CRREASON"]
    clean = fits.getdata(result.products["crclean.fits"], "DET32.SCI")
    np.testing.assert_array_equal(clean, fits.getdata(small.path, "DET32.SCI"))
    assert "DET32" not in result.clusters["detector"]
    rows = result.statistics[result.statistics["detector"] == "DET32"]
    assert np.all(rows["n_good"] == 0)
    assert result.n_searched == 2


def test_all_detectors_skipped(small, caplog):
    for name in ("DET11", "DET32", "DET24"):
        change(small.path, f"{name}.SCI", lambda data: data.fill(7))
    result = call(small.path)
    assert result.n_searched == 0
    assert len(result.clusters) == 0
    assert "slew_dark_cosmics is skipped: no detector" in caplog.text
    for name in ("DET11", "DET32", "DET24"):
        dq = fits.getdata(result.products["crmask.fits"], f"{name}.DQ")
        np.testing.assert_array_equal(dq, DO_NOT_USE)


def test_an_image_of_nan_is_skipped(in_tmp_path):
    fits.writeto("nan.fits", np.full((40, 50), np.nan, np.float32))
    result = call("nan.fits", n_outputs=1)
    assert result.detectors[0].reason == "no usable pixel"
    np.testing.assert_array_equal(fits.getdata(result.products["crmask.fits"]), DO_NOT_USE)


def test_a_tiny_image_is_skipped(in_tmp_path):
    fits.writeto("tiny.fits", np.arange(12, dtype=np.float32).reshape(3, 4))
    result = call("tiny.fits", n_outputs=1)
    assert result.detectors[0].reason == "3x4 pixels are too few"


def test_saturated_pixels_are_flagged_and_searched(small):
    change(small.path, "DET11.SCI", lambda data: data.__setitem__((60, 70), 65535))
    change(small.path, "DET11.CHI2", lambda data: data.__setitem__((60, 70), 255))
    result = call(small.path)
    dq = fits.getdata(result.products["crmask.fits"], "DET11.DQ")
    assert dq[60, 70] == DO_NOT_USE | 2 | JUMP_DET


# --- mistakes -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"bad_pixel_mask": "no.fits"}, r"no\.fits: check the parameter bad_pixel_mask"),
        ({"master_dark": "wide.fits"}, r"master_dark: .*wide\.fits has shape \(128, 130\)"),
        ({"noise_map": "text.txt"}, r"text\.txt"),
        ({"truth": "one.fits"}, r"truth: .*one\.fits has no .*DET32|truth: .*DET24"),
        ({"detectors": ["DET11", "DET99"]}, "has no DET99; choose from DET11"),
        ({"detectors": ["DET12"]}, "has no DET12"),
        ({"grow_significance": 6.0}, "grow_significance = 6 is above seed_significance = 5"),
        ({"grow_quality": 300.0}, "grow_quality = 300 is above seed_quality"),
        ({"seed_significance": -1.0}, "seed_significance"),
        ({"jobs": 0}, "jobs"),
        ({"offset": "much"}, "offset = much is neither"),
        ({"offset": float("nan")}, "offset = nan is neither"),
        ({"psfsize": 4}, "psfsize = 4 is even"),
        ({"n_outputs": 200}, "n_outputs = 200 outputs cannot share the 128 columns"),
        ({"clean_method": "detector"}, "clean_method = detector"),
        ({"detector": "lacosmic", "satlevel": 0.0}, "detector = lacosmic: satlevel is 0"),
        ({"detecter": "hybrid"}, "did you mean detector"),
        ({"quality": "chi"}, "quality"),
        ({"save_root": True}, r"crsteps\[root\]"),
        ({"output_dir": ".", "output_file": "EUC_dark_crmask.fits"}, "would replace the input"),
    ],
)
def test_mistakes_are_told_before_any_work(small, digests, monkeypatch, parameters, words):
    from crsteps.simulation.nisp_files import write_companion

    image = np.zeros((128, 128), np.float32)
    names = ("DET11", "DET32", "DET24")
    write_companion("wide.fits", dict.fromkeys(names, np.zeros((128, 130), np.float32)))
    write_companion("one.fits", {"DET11": image})
    path = small.path
    with open("text.txt", "w") as stream:
        stream.write("no image\n" * 500)
    if "output_file" in parameters:
        path = path.rename("EUC_dark_crmask.fits")
        parameters = {**parameters, "output_file": "EUC_dark.fits"}
    if "save_root" in parameters:
        find = importlib.util.find_spec
        monkeypatch.setattr(
            importlib.util, "find_spec", lambda name: None if name == "uproot" else find(name)
        )
    monkeypatch.setattr(workers_step, "analyse_detector", None)  # no work is done
    before = digests(".")
    with pytest.raises(CrstepsInputError, match=words) as caught:
        call(path, **parameters)
    assert "\n" not in str(caught.value)
    assert digests(".") == before
    assert not digests("out") if (small.path.parent / "out").exists() else True


@pytest.mark.parametrize("detector", ["deepcr", "conn"])
def test_a_network_that_is_not_installed_is_named(small, digests, monkeypatch, detector):
    monkeypatch.setattr("crsteps.cosmic_rays.networks.find_spec", lambda name: None)
    before = digests(".")
    with pytest.raises(CrstepsInputError, match=rf"detector = {detector}: .*crsteps\[{detector}\]"):
        call(small.path, detector=detector)
    assert digests(".") == before


@pytest.mark.parametrize("fault", ["truncated", "text", "BITPIX", "no image", "empty", "missing"])
def test_damaged_files_are_refused(small, digests, fault):
    path = small.path
    content = path.read_bytes()
    if fault == "truncated":
        path.write_bytes(content[:50000])
    elif fault == "text":
        path.write_text("a dark\n" * 900)
    elif fault == "BITPIX":
        path.write_bytes(
            content.replace(b"BITPIX  =                   16", b"BITPIX  =  " + b" " * 17 + b"13")
        )
    elif fault == "no image":
        fits.HDUList([fits.PrimaryHDU()]).writeto(path, overwrite=True)
    elif fault == "empty":
        path.write_bytes(b"")
    else:
        path.unlink()
    before = digests(".")
    with pytest.raises(CrstepsInputError, match=r"EUC_dark\.fits") as caught:
        call(path)
    assert "\n" not in str(caught.value)
    assert digests(".") == before


def test_several_darks_are_for_the_command(small):
    with pytest.raises(CrstepsInputError, match=r"takes one dark, not 2: .*crsteps run"):
        SlewDarkCosmicsStep.call([str(small.path), str(small.bad)])


@pytest.mark.parametrize("error", [RuntimeError("a bug"), KeyboardInterrupt()])
def test_nothing_is_left_when_a_detector_fails(small, digests, monkeypatch, error):
    """Products of an earlier run stay as they are, whole."""
    call(small.path)
    before, n_calls = digests("out"), 0
    analyse = workers_step.analyse_detector

    def fail_at_the_third(*args, **kwargs):
        nonlocal n_calls
        n_calls += 1
        if n_calls == 3:
            raise error
        return analyse(*args, **kwargs)

    monkeypatch.setattr(workers_step, "analyse_detector", fail_at_the_third)
    with pytest.raises(type(error)):
        call(small.path, seed_significance=8.0)
    assert n_calls == 3
    assert digests("out") == before


def test_nothing_is_left_when_a_table_cannot_be_written(small, digests, monkeypatch):
    from crsteps.slew_dark import products_step

    def fail(*_, **__):
        raise OSError("no space left on device")

    monkeypatch.setattr(products_step, "write_statistics", fail)
    with pytest.raises(OSError, match="no space left"):
        call(small.path)
    assert digests("out") == {}


def test_a_file_that_changes_meanwhile_is_told(small, digests, monkeypatch):
    from crsteps.slew_dark.products_step import Products

    make = Products.make

    def cut_off_before(self, tasks, helpers):
        small.path.write_bytes(small.path.read_bytes()[:50000])
        return make(self, tasks, helpers)

    monkeypatch.setattr(Products, "make", cut_off_before)
    with pytest.raises(CrstepsInputError, match="can no longer be read"):
        call(small.path, jobs=2)
    assert digests("out") == {}
