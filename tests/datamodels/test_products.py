"""Products on disk: values, headers, types; what is kept from the input and what must not be."""

import warnings

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS

from crsteps.datamodels.exposures import open_exposures
from crsteps.datamodels.products import (
    dq_value,
    flagged_model,
    write_combined,
    write_flagged,
    write_masks,
)


@pytest.fixture
def plain(tmp_path):
    """Return three scaled-integer exposures with WCS, odd cards and checksums, and their paths."""
    values = (30000 + np.arange(48).reshape(6, 8) * 500).astype(np.uint16)
    header = fits.Header()
    header["GAIN"], header["RDNOISE"], header["OBJECT"] = 2.0, 6.0, "NGC 1"
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN", "DEC--TAN"
    header["CRVAL1"], header["CRVAL2"], header["CRPIX1"], header["CRPIX2"] = 150.0, 2.0, 4.0, 3.0
    header["CDELT1"], header["CDELT2"] = -1e-4, 1e-4
    header["DATAMAX"] = 65535
    header["HIERARCH ESO DET NAME"] = "a hierarchical card"
    header.add_history("taken on a clear night")
    paths = []
    for number in range(3):
        path = tmp_path / f"p{number}.fits"
        hdu = fits.PrimaryHDU(values + np.uint16(number), header)
        hdu.header["BLANK"] = -32768
        table = fits.BinTableHDU(Table({"a": [1, 2]}), name="EXTRA")
        fits.HDUList([hdu, table]).writeto(path, checksum=True)
        paths.append(path)
    return open_exposures(paths), paths


@pytest.fixture
def jwst(tmp_path, jwst_model):
    """Return three exposures of JWST files."""
    paths = []
    for seed in (1, 2, 3):
        paths.append(tmp_path / f"m{seed}_rate.fits")
        jwst_model(seed).save(paths[-1])
    return open_exposures(paths)


def combined_of(exposures):
    data = exposures[0].data + np.float32(0.25)
    variance = np.full(data.shape, 1.5, np.float32)
    n_used = np.full(data.shape, 3)
    n_used[1, 2] = 0
    return data, variance, n_used


def test_combined_plain_fits(plain, tmp_path):
    exposures, paths = plain
    data, variance, n_used = combined_of(exposures)
    path = write_combined(
        tmp_path / "out_combined_mean.fits", exposures[0], data, variance, n_used,
        history=["mean of three"], cards={"MMNEXP": (3, "number of exposures"), "MMNAME": "mean"},
    )  # fmt: skip
    with fits.open(path) as hdus, fits.open(paths[0]) as original:
        assert [h.name for h in hdus] == ["PRIMARY", "VARIANCE", "MAP", "DQ"]
        bitpix = [h.header["BITPIX"] for h in hdus]
        assert bitpix == [-32, -32, 16, 32]
        np.testing.assert_array_equal(hdus[0].data, data)
        np.testing.assert_array_equal(hdus["VARIANCE"].data, variance)
        np.testing.assert_array_equal(hdus["MAP"].data, n_used)
        assert hdus["DQ"].data.dtype == np.uint32
        assert np.argwhere(hdus["DQ"].data).tolist() == [[1, 2]]
        assert hdus["DQ"].data[1, 2] == 1
        header = hdus[0].header
        for card in ("BZERO", "BSCALE", "BLANK", "DATAMAX", "CHECKSUM", "DATASUM"):
            assert card not in header
        assert header["OBJECT"] == "NGC 1"
        assert header["ESO DET NAME"] == "a hierarchical card"
        assert header["MMNEXP"] == 3
        assert header.comments["MMNEXP"] == "number of exposures"
        assert list(header["HISTORY"]) == ["taken on a clear night", "mean of three"]
        sky = WCS(header).pixel_to_world_values(2, 5)
        np.testing.assert_allclose(sky, WCS(original[0].header).pixel_to_world_values(2, 5))


def test_combined_of_extension_keeps_primary_cards(write_mef, tmp_path, image):
    paths = [
        write_mef(f"e{n}.fits", {"GAIN": 1.0, "RON": 4.0, "TELESCOP": "X"}, **{"DET1.SCI": image})
        for n in range(3)
    ]
    exposure = open_exposures(paths)[0]
    path = write_combined(tmp_path / "c.fits", exposure, *combined_of([exposure]))
    with fits.open(path) as hdus:
        assert hdus[0].header["TELESCOP"] == "X"
        assert hdus[0].header["BITPIX"] == -32
        assert "EXTNAME" not in hdus[0].header
        np.testing.assert_array_equal(hdus[0].data, exposure.data + np.float32(0.25))


def test_combined_jwst_keeps_metadata_and_wcs(jwst, tmp_path):
    from stdatamodels.jwst import datamodels

    data, variance, n_used = combined_of(jwst)
    stamped = []
    path = write_combined(
        tmp_path / "set_combined_median.fits", jwst[0], data, variance, n_used,
        history=["median of three"], cards={"MMNEXP": (3, "number of exposures")},
        stamp=lambda model: stamped.append(model.meta.target.catalog_name),
    )  # fmt: skip
    assert stamped == ["a target"]
    with fits.open(path) as hdus:
        names = [h.name for h in hdus]
        assert sorted(names) == ["ASDF", "DQ", "ERR", "MAP", "PRIMARY", "SCI", "VARIANCE"]
        assert hdus["MAP"].data.dtype.kind == "i"
        assert hdus["MAP"].header["BITPIX"] == 16
        np.testing.assert_array_equal(hdus["VARIANCE"].data, variance)
        np.testing.assert_array_equal(hdus["MAP"].data, n_used)
        assert hdus[0].header["MMNEXP"] == 3
        assert hdus[0].header["FILENAME"] == path.name
        assert "median of three" in str(hdus[0].header["HISTORY"])
    with datamodels.open(path) as model:
        assert type(model) is datamodels.ImageModel
        np.testing.assert_array_equal(model.data, data)
        np.testing.assert_allclose(model.err, np.sqrt(1.5))
        assert model.meta.target.catalog_name == "a target"
        assert model.meta.bunit_data == "DN/s"
        assert model.meta.wcs(1.0, 1.0) == pytest.approx((2.5, -1.0))
        # the variances by cause belonged to one exposure
        assert not model.hasattr("var_rnoise")


def test_masks(tmp_path):
    rng = np.random.default_rng(2)
    masks = {name: rng.random((5, 7)) < 0.3 for name in ("MEDIANCR", "CRMASK1", "MEANCR")}
    path = write_masks(
        tmp_path / "x_crmasks.fits", masks,
        images={"SIGNIF": np.ones((5, 7), np.float32)},
        tables={"FEATURES": Table({"number": [1, 2], "pixels": [3, 4]})},
        history=["masks"], cards={"MMFALSE": (1.0, "false pixels asked for")},
    )  # fmt: skip
    with fits.open(path) as hdus:
        names = [h.name for h in hdus]
        assert names == ["PRIMARY", "MEDIANCR", "CRMASK1", "MEANCR", "SIGNIF", "FEATURES"]
        assert hdus[0].data is None
        assert hdus[0].header["MMFALSE"] == 1.0
        for name, mask in masks.items():
            assert hdus[name].header["BITPIX"] == 8
            assert hdus[name].header["NPMASKED"] == mask.sum()
            np.testing.assert_array_equal(hdus[name].data, mask)
        assert hdus["FEATURES"].data["pixels"].tolist() == [3, 4]


def test_flagged_plain_fits_is_the_input_and_its_flags(plain, tmp_path):
    exposures, paths = plain
    mask = np.zeros(exposures[1].data.shape, bool)
    mask[2, 3:5] = True
    path = write_flagged(tmp_path / "p1_mmcr.fits", exposures[1], mask, "JUMP_DET, DO_NOT_USE",
                         history=["flagged"])  # fmt: skip
    raw = {"do_not_scale_image_data": True}
    with (
        warnings.catch_warnings(),
        fits.open(path, **raw) as hdus,
        fits.open(paths[1], **raw) as old,
    ):
        assert hdus[0].data.tobytes() == old[0].data.tobytes()
        for card in ("BZERO", "BSCALE", "BLANK", "OBJECT", "GAIN"):
            assert hdus[0].header[card] == old[0].header[card]
        assert hdus["EXTRA"].data.tobytes() == old["EXTRA"].data.tobytes()
        assert "flagged" in str(hdus[0].header["HISTORY"])
    with fits.open(path, checksum=True) as hdus:  # warns of a wrong checksum: an error here
        np.testing.assert_array_equal(hdus["DQ"].data, mask * np.uint32(5))
        assert hdus["DQ"].data.dtype == np.uint32
    # and our own reader takes the flags for missing data
    again = open_exposures([path, paths[0], paths[2]])[0]
    np.testing.assert_array_equal(again.missing, mask | exposures[1].missing)


def test_flags_are_or_ed_into_those_of_the_extension(tmp_path, image):
    paths = []
    for number in range(3):
        hdus = [fits.PrimaryHDU(header=fits.Header({"GAIN": 1.0, "RON": 4.0}))]
        for version in (1, 2):
            flags = np.full(image.shape, 8 * version, np.int16)
            hdus.append(fits.ImageHDU(image, name="SCI", ver=version))
            hdus.append(fits.ImageHDU(flags, name="DQ", ver=version))
        paths.append(tmp_path / f"two{number}.fits")
        fits.HDUList(hdus).writeto(paths[-1])
    exposure = open_exposures(paths, extension="SCI,2")[0]
    mask = np.zeros(image.shape, bool)
    mask[0, 0] = True
    path = write_flagged(tmp_path / "two_mmcr.fits", exposure, mask, 4)
    with fits.open(path) as hdus:
        assert [(h.name, h.ver) for h in hdus[1:]] == [("SCI", 1), ("DQ", 1), ("SCI", 2), ("DQ", 2)]
        assert np.all(hdus["DQ", 1].data == 8)
        assert hdus["DQ", 2].data[0, 0] == 16 | 4
        assert np.all(hdus["DQ", 2].data.ravel()[1:] == 16)


def test_flagged_jwst_changes_only_its_flags(jwst, tmp_path):
    from stdatamodels.jwst import datamodels

    mask = np.zeros(jwst[0].data.shape, bool)
    mask[2:5, 3:6] = True
    path = write_flagged(tmp_path / "m1_mmcr.fits", jwst[0], mask, ("JUMP_DET", "DO_NOT_USE"),
                         cards={"MMNFLAG": 9})  # fmt: skip
    with datamodels.open(path) as new, datamodels.open(jwst[0].source) as old:
        for name in ("data", "err", "var_rnoise", "var_poisson"):
            assert getattr(new, name).tobytes() == getattr(old, name).tobytes()
        np.testing.assert_array_equal(new.dq[~mask], old.dq[~mask])
        np.testing.assert_array_equal(new.dq[mask], old.dq[mask] | 5)
        assert new.meta.filename == "m1_mmcr.fits"
        assert new.meta.wcs(0, 0) == old.meta.wcs(0, 0)
    with fits.open(path) as hdus:
        assert hdus[0].header["MMNFLAG"] == 9


def test_flagged_model_leaves_the_callers_model_alone(jwst_model):
    models = [jwst_model(seed, f"m{seed}.fits") for seed in (1, 2, 3)]
    exposure = open_exposures(models)[0]
    mask = np.ones(exposure.data.shape, bool)
    before = models[0].dq.copy()
    flagged = flagged_model(exposure, mask, 4)
    assert np.all(flagged.dq & 4)
    np.testing.assert_array_equal(models[0].dq, before)
    models[0].dq = None
    assert np.all(flagged_model(exposure, mask, 4).dq == 4)


def test_dq_names():
    assert dq_value("DO_NOT_USE") == 1
    assert dq_value("jump_det, do_not_use") == 5
    assert dq_value(["JUMP_DET", "SATURATED"]) == 6
    assert dq_value(8) == 8
    with pytest.raises(
        ValueError, match=r"NO_SUCH is not a data-quality flag; those are .*JUMP_DET"
    ):
        dq_value("NO_SUCH")


def test_nothing_half_written(plain, tmp_path):
    exposures, _ = plain
    before = sorted(p.name for p in tmp_path.iterdir())
    with pytest.raises(ValueError, match="shape"):
        write_flagged(tmp_path / "x.fits", exposures[0], np.zeros((2, 2), bool), 4)
    with pytest.raises(Exception):  # noqa: B017, PT011 - whatever Astropy makes of it
        write_masks(tmp_path / "y.fits", {"A": np.ones((2, 2))}, images={"B": np.array(["x"])})
    assert sorted(p.name for p in tmp_path.iterdir()) == before


def test_malformed_cards_of_the_input_stop_nothing(tmp_path, image):
    paths = []
    for number in range(3):
        path = tmp_path / f"odd{number}.fits"
        fits.writeto(path, image, fits.Header({"GAIN": 1.0, "RON": 4.0, "ODD": "xxxxxxxxxxx"}))
        raw = path.read_bytes()
        path.write_bytes(raw.replace(b"'xxxxxxxxxxx'", b"2.5 e-/ADU!! "))
        paths.append(path)
    exposure = open_exposures(paths)[0]
    combined = write_combined(tmp_path / "c.fits", exposure, *combined_of([exposure]))
    flagged = write_flagged(tmp_path / "f.fits", exposure, np.zeros(image.shape, bool), 1)
    for path in (combined, flagged):
        with fits.open(path) as hdus:
            assert str(hdus[0].header["ODD"]).startswith("2.5 e-")
            assert hdus[0].header["RON"] == 4.0


def test_nirspec_cutout_survives(real_data, tmp_path):
    from stdatamodels.jwst import datamodels

    paths = sorted((real_data / "nirspec_mos_nods").glob("*.fits"))
    if len(paths) != 3:
        pytest.skip("the three NIRSpec cut-outs are not in the folder of real exposures")
    exposure = open_exposures(paths)[0]
    path = write_combined(tmp_path / "c.fits", exposure, *combined_of([exposure]))
    with datamodels.open(path) as new, datamodels.open(paths[0]) as old:
        assert type(new) is type(old)
        assert new.meta.target.catalog_name == old.meta.target.catalog_name
        np.testing.assert_array_equal(new.wavelength, old.wavelength)
        np.testing.assert_allclose(new.meta.wcs(100, 12), old.meta.wcs(100, 12))
    flagged = write_flagged(tmp_path / "f.fits", exposure, exposure.missing, 4)
    with fits.open(flagged) as new, fits.open(paths[0]) as old:
        for name in ("SCI", "ERR", "VAR_POISSON", "VAR_RNOISE", "VAR_FLAT", "WAVELENGTH"):
            assert new[name].data.tobytes() == old[name].data.tobytes()
