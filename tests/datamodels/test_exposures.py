"""Reading of exposures: values, noise and masks against what was written; every refusal."""

import gzip
import json

import numpy as np
import pytest
from astropy.io import fits

from crsteps.datamodels.exposures import open_exposures
from crsteps.errors import CrstepsInputError


def refusal(inputs, **options):
    """Return the sentence with which the inputs are refused."""
    with pytest.raises(CrstepsInputError) as caught:
        open_exposures(inputs, **options)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert sentence.endswith(".")
    return sentence


def test_plain_fits_values_and_noise(three, image):
    exposures = open_exposures(three)
    assert [e.source for e in exposures] == [str(p) for p in three]
    for number, exposure in enumerate(exposures):
        assert exposure.kind == "fits"
        assert exposure.data.dtype == np.float32
        np.testing.assert_array_equal(exposure.data, image + number)
        assert not exposure.missing.any()
        # gain 2 e-/ADU and 8 e-: 4 ADU
        assert exposure.read_variance == pytest.approx(16.0)
        assert exposure.poisson_factor == pytest.approx(0.5)
        assert exposure.header["OBJECT"] == f"exposure {number}"
        assert exposure.model is None


def test_data_are_not_scaled_and_bias_is_recorded_only(three, image):
    exposure = open_exposures(three, bias=100.0, gain=4.0, rnoise=3.0)[0]
    np.testing.assert_array_equal(exposure.data, image)
    assert exposure.bias == 100.0
    assert exposure.read_variance == pytest.approx(9.0)
    assert exposure.poisson_factor == pytest.approx(0.25)


def test_parameters_override_one_by_one(three):
    # read noise of the header is in electrons and is converted with the gain in use
    assert open_exposures(three, gain=4.0)[0].read_variance == pytest.approx(4.0)
    assert open_exposures(three, rnoise=3.0)[0].poisson_factor == pytest.approx(0.5)
    in_adu = open_exposures(three, rnoise_keyword_unit="adu")[0]
    assert in_adu.read_variance == pytest.approx(64.0)


def test_one_value_for_each_exposure(three):
    exposures = open_exposures(three, gain=[1, 2, 4], rnoise=[3, 4, 5], bias=[0, 1, 2])
    assert [e.poisson_factor for e in exposures] == [1.0, 0.5, 0.25]
    assert [e.read_variance for e in exposures] == [9.0, 16.0, 25.0]
    assert [e.bias for e in exposures] == [0.0, 1.0, 2.0]
    assert [e.poisson_factor for e in open_exposures(three, gain=["4"])] == [0.25] * 3
    assert "gain has 2 values for 3 exposures" in refusal(three, gain=[1, 2])


def test_keyword_lists_are_configurable(tmp_path, image):
    paths = []
    for number in range(3):
        path = tmp_path / f"k{number}.fits"
        header = fits.Header({"GAIN": 100, "EGAIN": 1.25, "MYGAIN": 5.0, "MYNOISE": 10.0})
        fits.writeto(path, image, header)
        paths.append(path)
    assert open_exposures(paths, rnoise=1)[0].poisson_factor == pytest.approx(0.8)
    own = open_exposures(paths, gain_keywords=["MYGAIN"], rnoise_keywords=["MYNOISE"])[0]
    assert own.poisson_factor == pytest.approx(0.2)
    assert own.read_variance == pytest.approx(4.0)


def test_unsigned_integers_blank_and_scale(tmp_path):
    values = np.array([[0, 40000], [65535, 7]], np.uint16)
    paths = []
    for number in range(3):
        path = tmp_path / f"u{number}.fits.gz"
        hdu = fits.PrimaryHDU(values)
        hdu.header["BLANK"] = 7 - 32768
        hdu.writeto(path)
        paths.append(path)
    exposure = open_exposures(paths, gain=1, rnoise=1)[0]
    np.testing.assert_array_equal(exposure.missing, [[False, False], [False, True]])
    np.testing.assert_array_equal(exposure.data[~exposure.missing], [0, 40000, 65535])

    scaled = tmp_path / "scaled.fits"
    fits.writeto(scaled, np.array([[1, 2], [3, 4]], np.int16))
    with fits.open(scaled, mode="update", do_not_scale_image_data=True) as hdus:
        hdus[0].header["BSCALE"], hdus[0].header["BZERO"] = 0.5, 10.0
    data = open_exposures([scaled, *paths[1:]], gain=1, rnoise=1)[0].data
    np.testing.assert_array_equal(data, [[10.5, 11.0], [11.5, 12.0]])


@pytest.mark.parametrize("dtype", ["u1", "i2", "i4", "i8", "f4", "f8", ">f4"])
def test_number_types(tmp_path, dtype):
    values = np.arange(1, 13).reshape(3, 4).astype(dtype)
    paths = [tmp_path / f"{number}.fits" for number in range(3)]
    for path in paths:
        fits.writeto(path, values)
    data = open_exposures(paths, gain=1, rnoise=1)[0].data
    assert data.dtype == np.float32
    assert data.dtype.isnative
    np.testing.assert_array_equal(data, np.arange(1, 13).reshape(3, 4))


def test_nan_and_infinity_are_missing(tmp_path):
    values = np.array([[1, np.nan], [np.inf, 2]], np.float32)
    paths = [tmp_path / f"{number}.fits" for number in range(3)]
    for path in paths:
        fits.writeto(path, values)
    missing = open_exposures(paths, gain=1, rnoise=1)[0].missing
    np.testing.assert_array_equal(missing, [[False, True], [True, False]])


def test_tile_compressed_image(tmp_path, image):
    paths = [tmp_path / f"{number}.fits.fz" for number in range(3)]
    for path in paths:
        fits.CompImageHDU(image, compression_type="RICE_1").writeto(path)
    np.testing.assert_array_equal(open_exposures(paths, gain=1, rnoise=1)[0].data, image)


def test_extension_by_number_name_and_version(write_mef, image):
    chips = {"DET11.SCI": image, "DET12.SCI": image + 1}
    paths = [write_mef(f"e{n}.fits", {"GAIN": 1.0, "RON": 5.0}, **chips) for n in range(3)]
    for name in (2, "2", "det12.sci", "DET12.SCI,1", ("DET12.SCI", 1)):
        exposure = open_exposures(paths, extension=name)[0]
        np.testing.assert_array_equal(exposure.data, image + 1)
        assert exposure.extension == 2
        # the primary cards are within reach
        assert exposure.read_variance == pytest.approx(25.0)
    assert "1 (DET11.SCI), 2 (DET12.SCI)" in refusal(paths)
    for unknown in (7, "NONE", "DET12.SCI,2"):
        sentence = refusal(paths, extension=unknown)
        assert "has no extension" in sentence
        assert "0 (PRIMARY), 1 (DET11.SCI), 2 (DET12.SCI)" in sentence
    assert "holds no image" in refusal(paths, extension=0)
    assert "NAME,version" in refusal(paths, extension="SCI,x")


def test_variance_extensions_of_a_foreign_file(write_mef, caplog):
    rng = np.random.default_rng(5)
    signal = rng.uniform(10, 100, (30, 20)).astype(np.float32)
    rnoise = np.full_like(signal, 4.0)
    rnoise[0, 0], rnoise[0, 1], rnoise[0, 2] = 0.0, np.nan, np.inf
    flags = np.zeros(signal.shape, np.int16)
    flags[1, 1], flags[1, 2] = 1, 2
    planes = {"SCI": signal, "VAR_RNOISE": rnoise, "VAR_POISSON": signal / 8, "DQ": flags}
    paths = [write_mef(f"v{n}.fits", **planes) for n in range(3)]
    exposure = open_exposures(paths, gain=3.0)[0]
    assert exposure.kind == "fits"
    assert exposure.poisson_factor == pytest.approx(1 / 8, rel=1e-5)
    assert np.argwhere(exposure.missing).tolist() == [[0, 0], [0, 1], [0, 2], [1, 1]]
    np.testing.assert_array_equal(exposure.read_variance, np.float32(4.0))
    assert "gain and rnoise are not used" in caplog.text


def test_jwst_models_and_files_agree(tmp_path, jwst_model):
    models = [jwst_model(seed, f"m{seed}_rate.fits") for seed in (1, 2, 3)]
    paths = []
    for model in models:
        paths.append(tmp_path / model.meta.filename)
        model.save(paths[-1])
    before = [model.data.copy() for model in models]
    for from_file, from_model in zip(open_exposures(paths), open_exposures(models), strict=True):
        assert from_file.kind == from_model.kind == "jwst"
        np.testing.assert_array_equal(from_file.data, from_model.data)
        np.testing.assert_array_equal(from_file.missing, from_model.missing)
        np.testing.assert_array_equal(from_file.read_variance, from_model.read_variance)
        assert np.argwhere(from_file.missing).tolist() == [[2, 3], [6, 7]]
        assert from_file.poisson_factor == pytest.approx(0.02, rel=1e-4)
        assert from_model.poisson_factor == pytest.approx(0.02, rel=1e-4)
        np.testing.assert_allclose(from_file.read_variance, 0.25, rtol=1e-6)
        assert from_file.model is None
        assert from_model.model is not None
        with from_file.open_model() as model:
            assert model.meta.target.catalog_name == "a target"
    for model, data in zip(models, before, strict=True):
        np.testing.assert_array_equal(model.data, data)
    # the reader keeps no reference into the caller's arrays
    exposure = open_exposures(models)[0]
    exposure.data[:] = 0
    np.testing.assert_array_equal(models[0].data, before[0])


def test_models_without_noise_need_gain_and_read_noise():
    from stdatamodels.jwst import datamodels

    models = [datamodels.ImageModel(data=np.full((4, 5), k, np.float32)) for k in (1, 2, 3)]
    assert "set gain" in refusal(models)
    exposure = open_exposures(models, gain=2.0, rnoise=5.0)[2]
    assert (exposure.poisson_factor, exposure.read_variance) == (0.5, 25.0)
    assert not exposure.missing.any()


def test_association_container_and_library(tmp_path, jwst_model, image):
    from jwst.datamodels import ModelContainer, ModelLibrary

    members = []
    for seed in (1, 2, 3):
        name = f"m{seed}_rate.fits"
        jwst_model(seed).save(tmp_path / name)
        members.append({"expname": name, "exptype": "science"})
    members.append({"expname": "not_there.fits", "exptype": "background"})
    asn = {
        "asn_type": "image3", "asn_id": "a1", "asn_pool": "none",
        "products": [{"name": "set", "members": members}],
    }  # fmt: skip
    path = tmp_path / "set_asn.json"
    path.write_text(json.dumps(asn))
    names = [str(tmp_path / m["expname"]) for m in members[:3]]
    assert [e.source for e in open_exposures(path)] == names
    assert [e.source for e in open_exposures([str(path)])] == names

    asn["products"][0]["members"] = members[:3]
    path.write_text(json.dumps(asn))
    library = ModelLibrary(path)
    assert [e.source for e in open_exposures(library)] == [m["expname"] for m in members[:3]]
    container = ModelContainer(names)
    assert [e.source for e in open_exposures(container)] == [m["expname"] for m in members[:3]]
    for model in container:
        model.close()


def test_association_of_plain_fits(tmp_path, three):
    path = tmp_path / "plain.json"
    members = [{"expname": p.name, "exptype": "SCIENCE"} for p in three]
    path.write_text(json.dumps({"products": [{"name": "p", "members": members}]}))
    assert [e.source for e in open_exposures(path)] == [str(p) for p in three]


def test_refuses_bad_associations(tmp_path):
    path = tmp_path / "a.json"
    assert "no association" in refusal(path)
    for text in ("{", "[]", '{"products": [{}]}', '{"products": [{"members": [{}]}]}'):
        path.write_text(text)
        assert "is not an association" in refusal(path)
    path.write_text('{"products": [{"members": [{"expname": "x", "exptype": "background"}]}]}')
    assert "no member with exptype science" in refusal(path)
    path.write_text('{"products": [{"members": []}, {"members": []}]}')
    assert "2 products" in refusal(path)


def test_refuses_too_few_and_repeated(three):
    assert "0 exposures given" in refusal([])
    assert "1 exposure given" in refusal(three[0])
    assert "2 exposures given" in refusal(three[:2])
    twice = refusal([three[0], three[1], three[0].parent / "." / three[0].name])
    assert f"{three[0]} is given twice" in twice
    link = three[0].with_name("link.fits")
    link.symlink_to(three[0])
    assert "is given twice" in refusal([*three, link])
    assert "type int is not understood" in refusal([1, 2, 3])


def test_refuses_missing_empty_and_foreign_files(three):
    path = three[1]
    sentence = refusal([*three, "nowhere.fits"])
    assert "no file nowhere.fits" in sentence
    assert "is a folder" in refusal([*three, path.parent])
    path.write_bytes(b"")
    assert f"{path} is empty" in refusal(three)
    path.write_bytes(gzip.compress(b""))
    assert f"{path} is empty" in refusal(three)
    path.write_text("a table of numbers\n" * 200)
    assert f"{path} is not a FITS file" in refusal(three)


def test_refuses_truncated_files(three):
    path = three[1]
    whole = path.read_bytes()
    needed = 2880 + 12 * 16 * 2
    for length in (40, 1000, 2880, 3000, needed - 1):
        path.write_bytes(whole[:length])
        sentence = refusal(three)
        assert str(path) in sentence
        assert "truncated" in sentence
    path.write_bytes(whole[:needed])  # only the padding of the last block is missing
    assert len(open_exposures(three)) == 3
    path.write_bytes(whole + b"\0" * 2880)  # nor do bytes after the end harm
    assert len(open_exposures(three)) == 3


def test_refuses_truncated_gzip(three, tmp_path):
    whole = gzip.compress(three[0].read_bytes())
    path = tmp_path / "g.fits.gz"
    path.write_bytes(whole)
    assert len(open_exposures([path, *three[1:]])) == 3
    for length in (5, len(whole) // 2, len(whole) - 4):
        path.write_bytes(whole[:length])
        assert "truncated" in refusal([path, *three[1:]])
    # a complete gzip of an incomplete FITS file
    path.write_bytes(gzip.compress(three[0].read_bytes()[:3000]))
    assert "truncated" in refusal([path, *three[1:]])
    path.write_bytes(whole[:60] + b"\xff" * 10 + whole[70:])
    assert "damaged" in refusal([path, *three[1:]])


def test_refuses_file_cut_inside_an_extension(write_mef, image):
    paths = [write_mef(f"c{n}.fits", {"GAIN": 1}, SCI=image, DQ=image) for n in range(3)]
    whole = paths[0].read_bytes()
    with fits.open(paths[0]) as hdus:
        flags = hdus["DQ"].fileinfo()
    for length in (flags["hdrLoc"] + 100, flags["datLoc"], flags["datLoc"] + 10):
        paths[0].write_bytes(whole[:length])
        sentence = refusal(paths, rnoise=1)
        assert str(paths[0]) in sentence
        assert "truncated" in sentence


def test_refuses_truncated_tile_compressed(tmp_path, image):
    noise = np.random.default_rng(1).integers(0, 30000, (200, 200)).astype(np.int16)
    paths = [tmp_path / f"{number}.fits.fz" for number in range(3)]
    for path in paths:
        fits.CompImageHDU(noise, compression_type="RICE_1").writeto(path)
    paths[1].write_bytes(paths[1].read_bytes()[:-20000])
    assert "truncated" in refusal(paths, gain=1, rnoise=1)


@pytest.mark.parametrize("shape", [(5,), (2, 5, 5), (1, 2, 5, 5)])
def test_refuses_wrong_dimension(three, shape):
    fits.writeto(three[1], np.ones(shape, np.float32), overwrite=True)
    sentence = refusal(three, gain=1, rnoise=1)
    assert f"has {len(shape)} dimensions" in sentence
    assert str(three[1]) in sentence


def test_refuses_no_array(three):
    table = fits.BinTableHDU.from_columns([fits.Column("a", "E", array=[1.0])])
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(three[1], overwrite=True)
    assert f"{three[1]} holds no image array" in refusal(three)
    assert "holds no image" in refusal([three[1], *three[::2]], extension=1)


def test_refuses_unequal_shapes(three, image):
    fits.writeto(three[2], image[:-1], overwrite=True)
    sentence = refusal(three, gain=1, rnoise=1)
    assert f"{three[2]} has shape (11, 16), but {three[0]} has (12, 16)" in sentence


def test_refuses_companions_of_another_shape_or_type(write_mef, image):
    paths = [write_mef(f"s{n}.fits", SCI=image, ERR=image[1:]) for n in range(3)]
    assert "extension ERR" in refusal(paths)
    paths = [write_mef(f"d{n}.fits", SCI=image, DQ=image.astype("f4")) for n in range(3)]
    assert "data-quality" in refusal(paths)


def test_refuses_all_missing(three, image):
    fits.writeto(three[1], np.full(image.shape, np.nan), overwrite=True)
    assert f"Every pixel of {three[1]} is missing" in refusal(three, gain=1, rnoise=1)


def test_refuses_absent_gain_and_read_noise(three, image):
    fits.writeto(three[1], image, overwrite=True)
    sentence = refusal(three)
    assert str(three[1]) in sentence
    assert "set gain [e-/ADU] or name the keyword with gain_keywords" in sentence
    sentence = refusal(three, gain=1.0)
    assert "set rnoise [ADU] or name the keyword with rnoise_keywords" in sentence


@pytest.mark.parametrize("value", [0, -1.5, float("nan"), float("inf"), "two"])
def test_refuses_impossible_noise_values(three, image, value):
    assert "not a positive number: set gain" in refusal(three, gain=value)
    assert "not a positive number: set rnoise" in refusal(three, rnoise=value)
    if isinstance(value, int | str) or np.isfinite(value):
        fits.writeto(three[1], image, fits.Header({"GAIN": value, "RDNOISE": 8}), overwrite=True)
        sentence = refusal(three)
        assert f"GAIN = {value!r} of {three[1]}" in sentence
        assert len(open_exposures(three, gain=2.0)) == 3


def test_refuses_a_gain_with_its_unit_in_the_value(three):
    raw = three[1].read_bytes()
    three[1].write_bytes(raw.replace(b"=                  2.0 ", b"=     2.0 electron/ADU!"))
    sentence = refusal(three)
    assert "The keyword GAIN" in sentence
    assert str(three[1]) in sentence


def test_refuses_impossible_bias_and_unit(three):
    for value in (float("nan"), "much"):
        assert "bias" in refusal(three, bias=value)
    assert "rnoise_keyword_unit = 'e'" in refusal(three, rnoise_keyword_unit="e")


def test_unit_of_the_data_decides_what_the_gain_means(three, image):
    def write(unit):
        header = fits.Header({"GAIN": 2.0, "RDNOISE": 8.0, "BUNIT": unit})
        fits.writeto(three[1], image, header, overwrite=True)

    write("electron")
    exposure = open_exposures(three)[1]
    assert (exposure.poisson_factor, exposure.read_variance) == (1.0, 64.0)
    write("ADU")
    assert open_exposures(three)[1].poisson_factor == 0.5
    write("adu/s")
    assert "'adu/s', to which the gain in its header does not apply" in refusal(three)
    assert open_exposures(three, gain=3.0)[1].poisson_factor == pytest.approx(1 / 3)


def test_refuses_models_of_other_dimensions(jwst_model):
    from stdatamodels.jwst import datamodels

    cube = datamodels.CubeModel(data=np.zeros((3, 4, 5), np.float32))
    cube.meta.filename = "cube.fits"
    sentence = refusal([jwst_model(1), jwst_model(2), cube])
    assert "cube.fits has data of shape (3, 4, 5)" in sentence
    empty = datamodels.ImageModel()
    assert "two dimensions are needed" in refusal([jwst_model(1), jwst_model(2), empty])
    model = jwst_model(1)
    assert "given twice" in refusal([model, jwst_model(2), model])


def test_inputs_are_left_alone(three):
    before = [path.read_bytes() for path in three]
    open_exposures(three)
    assert [path.read_bytes() for path in three] == before


def test_sprat_exposures(real_data):
    paths = sorted((real_data / "sprat_5x120s").glob("v_e_*.fits.gz"))
    if len(paths) != 5:
        pytest.skip("the five SPRAT exposures are not in the folder of real exposures")
    exposures = open_exposures(paths, rnoise=3.0)
    assert {e.data.shape for e in exposures} == {(254, 1024)}
    assert all(e.poisson_factor == pytest.approx(1 / 2.45) for e in exposures)
    for path, exposure in zip(paths, exposures, strict=True):
        with fits.open(path) as hdus:
            np.testing.assert_array_equal(exposure.data, hdus[0].data)
    assert "READNOIS" in refusal(paths)


def test_nirspec_cutouts(real_data):
    paths = sorted((real_data / "nirspec_mos_nods").glob("*.fits"))
    if len(paths) != 3:
        pytest.skip("the three NIRSpec cut-outs are not in the folder of real exposures")
    exposures = open_exposures(paths)
    for path, exposure in zip(paths, exposures, strict=True):
        assert exposure.kind == "jwst"
        assert exposure.header["TELESCOP"] == "JWST"
        assert np.all(exposure.read_variance > 0)
        with fits.open(path) as hdus:
            bad = (hdus["DQ"].data & 1 != 0) | ~np.isfinite(hdus["SCI"].data)
            assert np.all(exposure.missing[bad])
            errors = hdus["ERR"].data
        # the noise law explains the pipeline's own errors, from the blue end to the red
        law = exposure.read_variance + exposure.poisson_factor * np.fmax(exposure.data, 0)
        for part in range(20, 320, 60):
            columns = np.s_[:, part : part + 60]
            bright = ~exposure.missing[columns] & (exposure.data > 5 * errors)[columns]
            ratio = np.median(law[columns][bright] / np.square(errors[columns][bright]))
            assert ratio == pytest.approx(1.0, abs=0.25)
