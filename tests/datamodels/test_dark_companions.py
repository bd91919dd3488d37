"""Companions of darks: the image of each detector is found by its name, or the file is refused."""

import gzip

import numpy as np
import pytest
from astropy.io import fits

from crsteps.datamodels.dark_companions import find_companion, read_companion
from crsteps.errors import CrstepsInputError

SHAPE = (12, 16)


@pytest.fixture
def read():
    """Return a function that reads a companion of the shape of the test image."""

    def read(path, detector, shape=SHAPE):
        return read_companion(path, detector, shape=shape, what="bad_pixel_mask")

    return read


@pytest.fixture
def refusal(read):
    """Return a function that gives the sentence with which a companion is refused."""

    def refusal(path, detector, shape=SHAPE):
        with pytest.raises(CrstepsInputError) as caught:
            read(path, detector, shape)
        sentence = str(caught.value)
        assert "\n" not in sentence
        assert sentence.endswith(".")
        assert str(path) in sentence
        return sentence

    return refusal


@pytest.mark.parametrize("suffix", ["", ".SCI", ".BPM", ".DQ"])
def test_detectors_by_name(write_mef, image, read, suffix):
    arrays = {f"DET12{suffix}": image, f"DET11{suffix}": image + 1}
    path = write_mef("map.fits", **arrays)
    for name, expected in (("DET11", image + 1), ("DET12", image)):
        values = read(path, name)
        assert values.dtype == np.float32
        np.testing.assert_array_equal(values, expected)


def test_the_image_goes_before_other_extensions(write_mef, image, read, refusal):
    arrays = {"DET11.RMS": image + 1, "DET11.SCI": image, "DET11.DQ": image + 2}
    np.testing.assert_array_equal(read(write_mef("a.fits", **arrays), "DET11"), image)
    arrays = {"DET11.RMS": image + 1, "DET11": image, "DET11.DQ": image + 2}
    np.testing.assert_array_equal(read(write_mef("b.fits", **arrays), "DET11"), image)
    arrays = {"DET11.RMS": image + 1, "DET11.DQ": image + 2}
    sentence = refusal(write_mef("c.fits", **arrays), "DET11")
    assert "several images for DET11 (DET11.RMS, DET11.DQ)" in sentence
    assert "name it DET11.SCI" in sentence


def test_a_missing_detector_is_an_error(write_mef, image, refusal):
    sentence = refusal(write_mef("map.fits", DET11=image), "DET12")
    assert sentence.startswith("bad_pixel_mask: ")
    assert "no extension DET12 or DET12.SCI" in sentence
    assert "leave DET12 out of detectors" in sentence


def test_flags_are_read_as_they_are(write_mef, read):
    flags = np.zeros(SHAPE, np.uint32)
    flags[2, 3], flags[4, 5] = 1 << 31, 1
    values = read(write_mef("map.fits", DET11=flags), "DET11")
    np.testing.assert_array_equal(values != 0, flags != 0)
    assert values[2, 3] == 2.0**31


def test_single_images(tmp_path, write_mef, image, read, refusal):
    plain = tmp_path / "plain.fits.gz"
    fits.writeto(plain, image)
    np.testing.assert_array_equal(read(plain, "IMAGE"), image)
    # SCI, the name of the detector, DQ; else the only one
    for names in (("A", "SCI"), ("A", "E2V_7"), ("A", "DQ"), ("B",)):
        arrays = {name: image + i for i, name in enumerate(names)}
        path = write_mef(f"{'-'.join(names)}.fits", **arrays)
        np.testing.assert_array_equal(read(path, "e2v_7"), image + len(names) - 1)
    sentence = refusal(write_mef("two.fits", A=image, B=image), "IMAGE")
    assert "several images for IMAGE (A, B)" in sentence
    # a file of one image says nothing about which of sixteen detectors it is
    assert "no extension DET11" in refusal(plain, "DET11")


def test_other_shapes(write_mef, image, refusal):
    sentence = refusal(write_mef("map.fits", DET11=image), "DET11", (12, 17))
    assert "bad_pixel_mask: the extension DET11" in sentence
    assert "(12, 16)" in sentence
    assert "(12, 17)" in sentence
    cube = write_mef("cube.fits", SCI=np.zeros((2, *SHAPE), np.float32))
    assert "no two-dimensional image" in refusal(cube, "IMAGE")


def test_files_that_are_not_there_or_damaged(tmp_path, write_mef, image, refusal):
    assert "There is no file" in refusal(tmp_path / "none.fits", "DET11")
    (tmp_path / "text.fits").write_text("bad pixels: none\n" * 9)
    assert "not a FITS file" in refusal(tmp_path / "text.fits", "DET11")
    path = write_mef("cut.fits", DET11=image, DET12=image)
    path.write_bytes(path.read_bytes()[:-2800])
    assert "truncated" in refusal(path, "DET11")


def test_a_file_that_is_replaced_is_read_again(tmp_path, write_mef, image, read):
    path = write_mef("map.fits", DET11=image)
    np.testing.assert_array_equal(read(path, "DET11"), image)
    fits.HDUList(
        [fits.PrimaryHDU(), fits.ImageHDU(image), fits.ImageHDU(image + 5, name="DET11")]
    ).writeto(path, overwrite=True)
    np.testing.assert_array_equal(read(path, "DET11"), image + 5)


def test_finding_reads_nothing(write_mef, image):
    path = write_mef("map.fits", DET11=image)
    found = find_companion(path, "DET11", shape=SHAPE, what="truth")
    assert found.shape == SHAPE
    assert found.name == "DET11"
    packed = path.with_suffix(".fits.gz")
    packed.write_bytes(gzip.compress(path.read_bytes()))
    found = find_companion(packed, "DET11", shape=SHAPE, what="truth")
    with found.open() as stream:
        np.testing.assert_array_equal(found.values(stream), image)
