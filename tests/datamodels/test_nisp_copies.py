"""Copies of NISP files in which images of detectors are replaced."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from crsteps.datamodels.dark_files import open_dark
from crsteps.datamodels.nisp_copies import copy_with_images, writing_planes


@pytest.fixture
def raw(in_tmp_path):
    """Write a file with two detectors, planes, a table and a compressed image."""
    rng = np.random.default_rng(1)
    hdus = [fits.PrimaryHDU()]
    hdus[0].header["OBS_ID"] = 7
    hdus[0].header["CHECKSUM"] = "0" * 16
    for name in ("DET32", "DET11"):
        image = rng.integers(0, 65535, (10, 12)).astype(np.uint16)
        hdus.append(fits.ImageHDU(image, name=f"{name}.SCI"))
        hdus[-1].header["BUNIT"] = "adu"
        hdus.append(
            fits.ImageHDU(rng.integers(0, 255, (10, 12)).astype(np.uint8), name=f"{name}.CHI2")
        )
    hdus.append(fits.BinTableHDU.from_columns([fits.Column("A", "J", array=[1, 2])], name="T"))
    fits.HDUList(hdus).writeto("raw.fits")
    return "raw.fits"


@pytest.mark.parametrize("zipped", [False, True])
def test_only_given_images_are_replaced(raw, zipped):
    if zipped:
        Path("raw.fits.gz").write_bytes(gzip.compress(Path(raw).read_bytes()))
        raw = "raw.fits.gz"
    exposure = open_dark(raw, quality="none")
    assert exposure.detectors == ("DET32", "DET11")
    new = np.arange(120, dtype=np.float32).reshape(10, 12) / 7
    images = [("DET32", None, {"X": 1}), ("DET11", new, {"X": (2, "number")})]
    copy_with_images("copy.fits", exposure, images, history=["done"], cards={"Y": "yes"})
    with fits.open(raw) as old, fits.open("copy.fits") as copy:
        copy.verify("exception")
        assert [hdu.name for hdu in copy] == [hdu.name for hdu in old]
        assert copy[0].header["OBS_ID"] == 7
        assert copy[0].header["Y"] == "yes"
        assert list(copy[0].header["HISTORY"]) == ["done"]
        assert "CHECKSUM" not in copy[0].header
        for i in (1, 2, 4, 5):
            assert copy[i].header == old[i].header
            np.testing.assert_array_equal(copy[i].data, old[i].data)
        header = copy["DET11.SCI"].header
        np.testing.assert_array_equal(copy["DET11.SCI"].data, new)
        assert (header["BITPIX"], header["X"], header["BUNIT"]) == (-32, 2, "adu")
        assert header["SATURATE"] == 65535
        assert "BZERO" not in header
    again = open_dark("copy.fits")
    np.testing.assert_array_equal(again.read("DET11").data, new)


def test_nothing_is_left_of_a_copy_that_fails(raw):
    exposure = open_dark(raw, quality="none")

    def images():
        yield "DET32", None, {}
        raise RuntimeError("no image")

    with pytest.raises(RuntimeError, match="no image"):
        copy_with_images("copy.fits", exposure, images())
    with pytest.raises(ValueError, match="DET11 comes where DET32 is"):
        copy_with_images("copy.fits", exposure, [("DET11", None, {})])
    assert [path.name for path in Path().iterdir()] == ["raw.fits"]


def test_planes_by_detector(raw):
    exposure = open_dark(raw, quality="none")
    values = np.ones((10, 12), np.float32)
    with writing_planes("planes.fits", exposure, cards={"Y": 1}) as add:
        for name in exposure.detectors:
            add(name, {"SCI": values, "DQ": values.astype(np.uint16)}, {"X": 3})
    with fits.open("planes.fits") as hdus:
        names = ["DET32.SCI", "DET32.DQ", "DET11.SCI", "DET11.DQ"]
        assert [hdu.name for hdu in hdus[1:]] == names
        assert hdus[0].header["OBS_ID"] == 7
        assert hdus["DET11.DQ"].header["X"] == 3
        assert "BUNIT" not in hdus["DET11.SCI"].header
        assert hdus["DET11.DQ"].data.dtype == np.uint16
