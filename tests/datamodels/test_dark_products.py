"""Images of detectors and statistics: what is written is what stock tools read."""

import pickle

import numpy as np
import pytest
from astropy import units
from astropy.io import fits
from astropy.table import Table

from crsteps.datamodels.dark_files import open_dark
from crsteps.datamodels.dark_products import DetectorImagesWriter, write_statistics

SHAPE = (24, 32)


@pytest.fixture
def dark(tmp_path):
    """Return a raw file of three detectors, opened."""
    header = fits.Header({"INSTRUME": "NISP", "OBS_ID": 8033, "CHECKSUM": "abc"})
    header.add_history("made on board")
    hdus = [fits.PrimaryHDU(header=header)]
    for number, name in enumerate(("DET21", "DET44", "DET11")):
        hdu = fits.ImageHDU(np.full(SHAPE, 1024 + number, np.uint16), name=f"{name}.SCI")
        hdu.header["SCA"] = 18000 + number
        hdu.header["BUNIT"] = "adu"
        hdus += [hdu, fits.ImageHDU(np.zeros(SHAPE, np.uint8), name=f"{name}.CHI2")]
    fits.HDUList(hdus).writeto(tmp_path / "dark.fits")
    return open_dark(tmp_path / "dark.fits")


def write(path, exposure, arrays, suffix="DQ", **options):
    """Write the images of the detectors, the last one first."""
    detectors = exposure.detectors[: len(arrays)]
    dtype = arrays[0].dtype if arrays else np.uint16
    with DetectorImagesWriter(
        path, exposure, detectors, suffix=suffix, dtype=dtype, **options
    ) as writer:
        for detector, array in reversed(list(zip(detectors, arrays, strict=True))):
            pickle.loads(pickle.dumps(writer.places[detector])).write(array)
            cards = {"NCLUSTER": (len(detector), "number of cosmic rays")}
            writer.add_header(detector, cards)


def check_structure(path):
    """Hold the file against the standard as far as Astropy knows it."""
    assert path.stat().st_size % 2880 == 0
    with fits.open(path) as hdus:
        hdus.verify("exception")
        for hdu in hdus:
            keywords = [k for k in hdu.header if k not in ("HISTORY", "COMMENT", "")]
            assert len(keywords) == len(set(keywords))
        assert hdus[-1].fileinfo()["datLoc"] + hdus[-1].fileinfo()["datSpan"] == path.stat().st_size


@pytest.mark.parametrize("dtype", [np.uint16, np.uint8, np.float32, np.int32])
def test_detectors_in_extensions(dark, tmp_path, dtype):
    path = tmp_path / "new" / "crmask.fits"
    arrays = [np.arange(24 * 32).reshape(SHAPE).astype(dtype) + i for i in range(3)]
    if dtype == np.uint16:
        arrays[0][0, 0] = 65535
    write(path, dark, arrays, history=["made by test"], cards={"CRBIT": (4, "cosmic ray")})
    check_structure(path)
    with fits.open(path) as hdus:
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "DET21.DQ", "DET44.DQ", "DET11.DQ"]
        header = hdus[0].header
        assert hdus[0].data is None
        assert header["OBS_ID"] == 8033
        assert header["CRBIT"] == 4
        assert header.comments["CRBIT"] == "cosmic ray"
        assert list(header["HISTORY"]) == ["made on board", "made by test"]
        assert "CHECKSUM" not in header
        for number, (hdu, array) in enumerate(zip(hdus[1:], arrays, strict=True)):
            assert hdu.data.dtype.newbyteorder("=") == dtype
            np.testing.assert_array_equal(hdu.data, array)
            assert hdu.header["SCA"] == 18000 + number
            assert hdu.header["NCLUSTER"] == 5
            assert "BUNIT" not in hdu.header  # of the data, not of flags
    assert [p.name for p in path.parent.iterdir()] == ["crmask.fits"]


def test_cleaned_images_can_be_read_as_darks(dark, tmp_path):
    arrays = [np.full(SHAPE, i + 0.25, np.float32) for i in range(3)]
    write(tmp_path / "crclean.fits", dark, arrays, suffix="SCI")
    clean = open_dark(tmp_path / "crclean.fits")
    assert clean.detectors == dark.detectors
    assert clean.obs_id == "8033"
    for name, array in zip(clean.detectors, arrays, strict=True):
        np.testing.assert_array_equal(clean.read(name).data, array)
        assert clean.planes[name].header["BUNIT"] == "adu"


def test_no_detectors(dark, tmp_path):
    write(tmp_path / "none.fits", dark, [])
    check_structure(tmp_path / "none.fits")
    with fits.open(tmp_path / "none.fits") as hdus:
        assert len(hdus) == 1
        assert hdus[0].header["INSTRUME"] == "NISP"


def test_images_that_do_not_fit(dark, tmp_path):
    before = set(tmp_path.iterdir())
    path = tmp_path / "crmask.fits"
    for array in (np.zeros(SHAPE, np.int16), np.zeros((3, 3), np.uint16)):
        with (
            pytest.raises(ValueError, match="cannot be written"),
            DetectorImagesWriter(path, dark, ["DET44"], suffix="DQ", dtype=np.uint16) as writer,
        ):
            writer.places["DET44"].write(array)
        assert set(tmp_path.iterdir()) == before


@pytest.mark.parametrize("n_cards", [0, 3, 30])
def test_headers_of_any_length(dark, tmp_path, n_cards):
    """Where the images are is settled before their headers are known."""
    path = tmp_path / "crmask.fits"
    for number in range(n_cards, n_cards + 36):  # of the input, across the end of a block
        dark.planes["DET11"].header[f"NUMBER{number:02d}"] = number
    arrays = [np.full(SHAPE, number, np.uint8) for number in range(3)]
    write(path, dark, arrays, suffix="SCI")
    check_structure(path)
    with fits.open(path) as hdus:
        assert hdus[3].header["NUMBER35"] == 35
        assert [hdu.data[5, 5] for hdu in hdus[1:]] == [0, 1, 2]
    again = open_dark(path)  # room for cards is not passed on
    write(tmp_path / "again.fits", again, arrays, suffix="SCI")
    assert (tmp_path / "again.fits").stat().st_size == path.stat().st_size


def test_nothing_is_left_half_written(dark, tmp_path):
    before = set(tmp_path.iterdir())
    path = tmp_path / "crmask.fits"
    many = {f"CARD{number}": number for number in range(100)}

    def fail():
        with DetectorImagesWriter(path, dark, ["DET21"], suffix="DQ", dtype=np.uint8) as writer:
            writer.add_header("DET21", many)

    with pytest.raises(ValueError, match="100 cards of DET21 are too many"):
        fail()
    assert set(tmp_path.iterdir()) == before
    path.write_text("an older product")
    with pytest.raises(ValueError, match="too many"):
        fail()
    assert path.read_text() == "an older product"


def test_header_that_cannot_be_made_leaves_nothing(dark, tmp_path):
    before = set(tmp_path.iterdir())
    writer = DetectorImagesWriter(
        tmp_path / "a.fits", dark, ["DET21"], suffix="DQ", dtype=np.uint8, cards={"X": object()}
    )
    with pytest.raises(ValueError, match="Illegal value"):
        writer.__enter__()
    assert set(tmp_path.iterdir()) == before


def test_plain_image(tmp_path):
    header = fits.Header({"OBJECT": "dark", "EXPTIME": 600.0, "BUNIT": "adu"})
    header.add_comment("a comment")
    fits.writeto(tmp_path / "ccd.fits", np.ones(SHAPE, np.float32), header)
    exposure = open_dark(tmp_path / "ccd.fits")
    mask = np.arange(24 * 32, dtype=np.uint16).reshape(SHAPE)
    write(tmp_path / "crmask.fits", exposure, [mask], history=["made by test"], cards={"CRBIT": 4})
    check_structure(tmp_path / "crmask.fits")
    with fits.open(tmp_path / "crmask.fits") as hdus:
        assert len(hdus) == 1
        np.testing.assert_array_equal(hdus[0].data, mask)
        kept = hdus[0].header
        assert (kept["OBJECT"], kept["EXPTIME"], kept["CRBIT"]) == ("dark", 600.0, 4)
        assert kept["NCLUSTER"] == 5
        assert list(kept["COMMENT"]).count("a comment") == 1
        assert list(kept["HISTORY"]) == ["made by test"]
        assert "BUNIT" not in kept


def test_image_in_an_extension(tmp_path):
    science = fits.ImageHDU(np.ones(SHAPE, np.int16), fits.Header({"CHIP": 3}), name="CCD3")
    primary = fits.PrimaryHDU(header=fits.Header({"OBJECT": "dark", "CHIP": 0}))
    fits.HDUList([primary, science]).writeto(tmp_path / "ccd.fits")
    exposure = open_dark(tmp_path / "ccd.fits")
    write(tmp_path / "c.fits", exposure, [np.ones(SHAPE, np.float32)], suffix="SCI")
    header = fits.getheader(tmp_path / "c.fits")
    assert (header["OBJECT"], header["CHIP"]) == ("dark", 3)


def test_jwst_image(tmp_path, jwst_model):
    from stdatamodels.jwst import datamodels

    jwst_model().save(tmp_path / "jw01_nrs1_rate.fits")
    exposure = open_dark(tmp_path / "jw01_nrs1_rate.fits")
    path = tmp_path / "crclean.fits"
    cleaned = np.full((40, 30), 1.5, np.float32)
    write(path, exposure, [cleaned], suffix="SCI", history=["made by test"])
    check_structure(path)
    with fits.open(path) as hdus:
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "SCI"]
    with datamodels.ImageModel(path) as model:
        np.testing.assert_array_equal(model.data, cleaned)
        assert model.meta.target.catalog_name == "a target"
        assert model.meta.bunit_data == "DN/s"


def test_statistics(tmp_path):
    table = Table(
        {
            "detector": ["DET11", "", "DET44"],
            "rate": np.array([2.3, np.nan, np.inf]),
            "sizes": np.arange(6).reshape(3, 2),
        },
        meta={"size_edges": [1, 2, 5], "note": "a: b"},
    )
    table["rate"].unit = units.Unit("1 / (cm2 s)")
    table["rate"].description = "hits per area and time"
    path = write_statistics(tmp_path / "crstats.ecsv", table)
    read = Table.read(path)
    assert read.meta == table.meta
    assert read["rate"].unit == table["rate"].unit
    assert read["rate"].description == "hits per area and time"
    np.testing.assert_array_equal(read["rate"], table["rate"])
    np.testing.assert_array_equal(read["sizes"], table["sizes"])
    assert list(read["detector"].filled("")) == ["DET11", "", "DET44"]
    assert [p.name for p in tmp_path.iterdir()] == ["crstats.ecsv"]
