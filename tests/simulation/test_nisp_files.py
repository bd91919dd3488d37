"""Simulated raw files: read back with Astropy they are what was simulated."""

from datetime import datetime

import numpy as np
import pytest
from astropy.io import fits
from astropy.time import Time

from crsteps.detector.macc import SPECTROSCOPIC
from crsteps.simulation.nisp_files import (
    nisp_file_name,
    write_bad_pixel_map,
    write_companion,
    write_nisp_file,
    write_truth,
)
from crsteps.simulation.slew_darks import SlewDarkOptions, simulate_slew_dark

NAMES = ("DET34", "DET11")


@pytest.fixture(scope="module")
def darks():
    options = SlewDarkOptions(shape=(48, 64), bad_fraction=0.01, rate=30.0)
    return {name: simulate_slew_dark(options, seed=1, detector=name) for name in NAMES}


def test_the_images_and_their_names(darks, tmp_path):
    path = write_nisp_file(tmp_path, darks)
    assert path.name == "EUC_LE1_NISP-08033-1-W_20250601T090351.000000Z_01_05_01.00.fits"
    with fits.open(path) as hdus:
        names = [hdu.name for hdu in hdus[1:]]
        assert names == ["DET34.SCI", "DET34.CHI2", "DET11.SCI", "DET11.CHI2"]
        for name, dark in darks.items():
            np.testing.assert_array_equal(hdus[f"{name}.SCI"].data, dark.data)
            np.testing.assert_array_equal(hdus[f"{name}.CHI2"].data, dark.quality)
            assert hdus[f"{name}.SCI"].data.dtype == np.uint16
            assert hdus[f"{name}.CHI2"].data.dtype == np.uint8


def test_the_header(darks, tmp_path):
    header = fits.getheader(write_nisp_file(tmp_path, darks, observation=12, dither=3))
    expected = {
        "TELESCOP": "EUCLID",
        "INSTRUME": "NISP",
        "NG": 4,
        "NR": 16,
        "ND": 4,
        "FRTIME": 1.454,
        "EXPTIME": 87.24,
        "IMG_T1": "DARK",
        "OBS_ID": 12,
        "DITHOBS": 3,
        "EXPNUM": 5,
        "READMODE": "MACC",
    }
    assert {key: header[key] for key in expected} == expected
    assert Time(header["DATE-OBS"]).mjd == pytest.approx(header["MJD-OBS"], abs=1e-7)
    assert {"PTGID", "RA", "DEC", "PA"} <= set(header)


def test_the_spectroscopic_readout(tmp_path):
    options = SlewDarkOptions(shape=(48, 64), readout=SPECTROSCOPIC)
    path = write_nisp_file(tmp_path, {"DET11": simulate_slew_dark(options, seed=1)})
    header = fits.getheader(path)
    assert (header["NG"], header["NR"], header["ND"]) == (15, 16, 11)
    assert header["EXPTIME"] == pytest.approx(549.612)


def test_variants(darks, tmp_path):
    path = write_nisp_file(
        tmp_path, darks, name="a.fits", quality_suffix=None, omit_keywords=("EXPTIME", "NG")
    )
    with fits.open(path) as hdus:
        assert [hdu.name for hdu in hdus[1:]] == ["DET34.SCI", "DET11.SCI"]
        assert "EXPTIME" not in hdus[0].header
        assert "ND" in hdus[0].header
    path = write_nisp_file(tmp_path, darks, name="a.fits", quality_suffix="DQ")
    with fits.open(path) as hdus:
        assert hdus[2].name == "DET34.DQ"


def test_companions(darks, tmp_path):
    truth = write_truth(tmp_path / "truth.fits", darks)
    bad = write_bad_pixel_map(tmp_path / "bad.fits", darks)
    noise = write_companion(tmp_path / "n.fits", {name: darks[name].noise for name in NAMES})
    for name, dark in darks.items():
        np.testing.assert_array_equal(fits.getdata(truth, name) == 1, dark.charge > 21)
        np.testing.assert_array_equal(fits.getdata(bad, name) == 1, dark.bad)
        np.testing.assert_array_equal(fits.getdata(noise, name), dark.noise)
        assert dark.bad.any()
        assert dark.truth.any()


def test_file_names():
    name = nisp_file_name(
        observation=42, number=2, kind="C", start=datetime(2026, 1, 2, 3, 4, 5, 678900), dither=4
    )
    assert name == "EUC_LE1_NISP-00042-2-C_20260102T030405.678900Z_04_05_01.00.fits"


def test_no_detectors(tmp_path):
    with pytest.raises(ValueError, match="at least one detector"):
        write_nisp_file(tmp_path, {})
    assert not list(tmp_path.iterdir())
