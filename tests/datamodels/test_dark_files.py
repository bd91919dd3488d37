"""Reading of darks: pixels and facts against what was written, every refusal, every default."""

import gzip
import pickle
import subprocess
import sys

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import example, given, settings
from hypothesis import strategies as st

from crsteps.datamodels.dark_files import open_dark
from crsteps.errors import CrstepsInputError

SHAPE = (24, 32)
HEADER = {
    "TELESCOP": "EUCLID",
    "INSTRUME": "NISP",
    "DATE-OBS": "2025-06-01T09:03:51.000",
    "MJD-OBS": 60827.5,
    "READMODE": "MACC",
    "NG": 4,
    "NR": 16,
    "ND": 4,
    "FRTIME": 1.5,
    "EXPTIME": 99.0,
    "IMG_T1": "DARK",
    "OBS_ID": 8033,
}


def raw_image(seed, shape=SHAPE):
    """Return counts over the whole range of 16 bits."""
    return np.random.default_rng(seed).integers(0, 65535, shape).astype(np.uint16)


def chi2(seed, shape=SHAPE):
    """Return a quality plane of 8 bits."""
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def bit(seed, shape=SHAPE):
    """Return a quality plane of one bit."""
    return (chi2(seed, shape) > 240).astype(np.uint8)


@pytest.fixture
def write(tmp_path):
    """Return a function that writes a file from (name of extension, array) and gives its path."""

    def write(*extensions, header=HEADER, name="dark.fits"):
        hdus = [fits.PrimaryHDU(header=fits.Header(header))]
        for key, array in extensions:
            is_hdu = isinstance(array, fits.BinTableHDU)
            hdus.append(array if is_hdu else fits.ImageHDU(array, name=key))
        path = tmp_path / name
        fits.HDUList(hdus).writeto(path, overwrite=True)
        return path

    return write


def two_detectors(**planes):
    """Return extensions of two detectors with their quality planes."""
    quality = planes.get("quality", chi2)
    return [
        ("DET11.SCI", raw_image(1)),
        ("DET11.CHI2", quality(2)),
        ("DET12.SCI", raw_image(3)),
        ("DET12.CHI2", quality(4)),
    ]


def refusal(source, **options):
    """Return the sentence with which a file is refused."""
    with pytest.raises(CrstepsInputError) as caught:
        open_dark(source, **options)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert sentence.endswith(".")
    return sentence


def test_pixels_and_facts(write):
    path = write(*two_detectors())
    exposure = open_dark(path)
    assert exposure.source == str(path)
    assert exposure.kind == "nisp"
    assert exposure.detectors == ("DET11", "DET12")
    assert exposure.integration_time == pytest.approx(3 * 20 * 1.5)
    assert exposure.exposure_time == pytest.approx((4 * 16 + 3 * 4) * 1.5)
    assert exposure.macc == (4, 16, 4)
    assert exposure.mjd == 60827.5
    assert exposure.obs_id == "8033"
    assert exposure.date_obs == "2025-06-01T09:03:51.000"
    assert exposure.read_mode == "MACC"
    assert exposure.unit == "adu"
    assert exposure.primary_header["INSTRUME"] == "NISP"
    assert exposure.shape("DET12") == SHAPE
    for seed, name in ((1, "DET11"), (3, "DET12")):
        image = exposure.read(name)
        assert image.detector == name
        assert image.data.dtype == np.float32
        assert image.data.dtype.isnative
        np.testing.assert_array_equal(image.data, raw_image(seed))
        np.testing.assert_array_equal(image.quality, chi2(seed + 1))
        assert image.quality.dtype == np.uint8
        assert image.quality_kind == exposure.quality_kind == "chi2"
        assert not image.missing.any()
        assert not image.reference.any()
        assert exposure.planes[name].header["EXTNAME"] == f"{name}.SCI"


def test_it_can_be_read_in_another_process(write):
    exposure = open_dark(write(*two_detectors()))
    sent = pickle.dumps(exposure)
    assert len(sent) < 50_000
    copy = pickle.loads(sent)
    assert copy == exposure
    assert copy.primary_header["NG"] == 4
    np.testing.assert_array_equal(copy.read("DET12").data, exposure.read("DET12").data)


def test_reading_darks_loads_nothing_heavy():
    code = (
        "import sys, crsteps.datamodels.dark_files;"
        "print([m for m in ('jwst', 'stdatamodels', 'stpipe', 'asdf', 'matplotlib', 'pyarrow')"
        " if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_border_of_a_whole_detector(write):
    whole, active = np.zeros((2048, 2048), np.uint8), np.zeros((2040, 2040), np.uint8)
    exposure = open_dark(write(("DET11.SCI", whole), ("DET12.SCI", active)))
    reference = exposure.read("DET11").reference
    assert reference.sum() == 2048**2 - 2040**2
    assert not reference[4:-4, 4:-4].any()
    assert not exposure.read("DET12").reference.any()


def test_the_order_of_the_file_is_kept_and_names_decide(write):
    exposure = open_dark(
        write(
            ("DET44.CHI2", chi2(1)),
            ("DET31.SCI", raw_image(2)),
            ("DET44.SCI", raw_image(3)),
            ("DET31.CHI2", chi2(4)),
        )
    )
    assert exposure.detectors == ("DET31", "DET44")
    np.testing.assert_array_equal(exposure.read("DET44").data, raw_image(3))
    np.testing.assert_array_equal(exposure.read("DET44").quality, chi2(1))
    np.testing.assert_array_equal(exposure.read("DET31").quality, chi2(4))


def test_missing_detectors_are_told(write):
    warning = open_dark(write(*two_detectors())).warnings[0]
    assert "has no image of DET13, DET14, DET21" in warning
    assert "DET11, DET12 are processed" in warning
    # a quality plane alone is no detector
    exposure = open_dark(write(("DET11.SCI", raw_image(1)), ("DET12.CHI2", chi2(1))))
    assert exposure.detectors == ("DET11",)
    assert "DET12" in exposure.warnings[0]
    every = [(f"DET{row}{col}.SCI", raw_image(1)) for row in (1, 2, 3, 4) for col in (1, 2, 3, 4)]
    assert not any("has no image" in warning for warning in open_dark(write(*every)).warnings)


def test_a_detector_that_is_not_there(write):
    exposure = open_dark(write(*two_detectors()))
    for function in (exposure.read, exposure.shape):
        with pytest.raises(CrstepsInputError, match=r"has no detector DET13: .*DET11, DET12"):
            function("DET13")


def test_detectors_without_suffix_and_strange_ones(write):
    exposure = open_dark(write(("DET11", raw_image(1)), ("DET55.SCI", raw_image(2))))
    assert exposure.detectors == ("DET11",)
    assert any("DET55.SCI is not of a NISP detector" in text for text in exposure.warnings)


def test_one_detector_by_extension(write):
    path = write(*two_detectors())
    exposure = open_dark(path, extension="DET12.SCI")
    assert exposure.kind == "nisp"
    assert exposure.detectors == ("DET12",)
    np.testing.assert_array_equal(exposure.read("DET12").data, raw_image(3))
    np.testing.assert_array_equal(exposure.read("DET12").quality, chi2(4))
    assert not any("has no image" in warning for warning in exposure.warnings)
    assert "has no extension 'DET13.SCI'" in refusal(path, extension="DET13.SCI")


# --- quality planes


def test_quality_planes_under_another_name(write):
    extensions = [("DET11.SCI", raw_image(1)), ("DET11.QF", chi2(2))]
    path = write(*extensions)
    exposure = open_dark(path)
    np.testing.assert_array_equal(exposure.read("DET11").quality, chi2(2))
    assert any("the quality planes are DETxy.QF" in text for text in exposure.warnings)
    named = open_dark(path, quality_suffix="qf")
    np.testing.assert_array_equal(named.read("DET11").quality, chi2(2))
    assert not any("quality plane" in text for text in named.warnings)


def test_flags_and_noise_are_no_quality_planes(write):
    path = write(
        ("DET11.SCI", raw_image(1)),
        ("DET11.DQ", np.full(SHAPE, 1 << 20, np.int32)),
        ("DET11.RMS", np.ones(SHAPE, np.float32)),
    )
    exposure = open_dark(path)
    assert exposure.quality_kind is None
    assert exposure.read("DET11").quality is None
    assert any("no quality plane for any detector" in text for text in exposure.warnings)
    assert "does not hold the integers" in refusal(path, quality_suffix="RMS")


def test_some_detectors_without_quality_plane(write):
    exposure = open_dark(write(*two_detectors(), ("DET13.SCI", raw_image(5))))
    assert exposure.quality_kind == "chi2"
    image = exposure.read("DET13")
    assert image.quality is None
    assert image.quality_kind is None
    assert any("no quality plane for DET13" in text for text in exposure.warnings)


def test_one_bit_is_told_from_chi_squared(write):
    exposure = open_dark(write(*two_detectors(quality=bit)))
    assert exposure.quality_kind == "bit"
    assert exposure.quality_reason == "auto: DET11.CHI2 holds only 0 and 1"
    np.testing.assert_array_equal(exposure.read("DET12").quality, bit(4))
    # values decide, also where the header says that the readout is photometric
    exposure = open_dark(write(*two_detectors()))
    assert exposure.quality_kind == "chi2"
    assert "auto: DET11.CHI2 holds values up to 255" in exposure.quality_reason


def test_the_first_plane_with_any_value_decides(write):
    def late(seed):
        return chi2(seed) if seed == 4 else np.zeros(SHAPE, np.uint8)

    exposure = open_dark(write(*two_detectors(quality=late)))
    assert exposure.quality_kind == "chi2"
    assert "DET12.CHI2" in exposure.quality_reason
    assert not exposure.read("DET11").quality.any()


def test_planes_without_any_flag(write):
    nothing = two_detectors(quality=lambda seed: np.zeros(SHAPE, np.uint8))
    exposure = open_dark(write(*nothing))
    assert exposure.quality_kind == "bit"
    assert any("no pixel is flagged" in text for text in exposure.warnings)


def test_one_bit_in_a_spectroscopic_readout_is_doubted(write):
    for cards in ({"NG": 15, "NR": 16, "ND": 11}, {"READMODE": "SPECTRO", "NG": 5}):
        exposure = open_dark(write(*two_detectors(quality=bit), header=HEADER | cards))
        assert exposure.quality_kind == "bit"
        assert any("readout is spectroscopic" in text for text in exposure.warnings)


def test_planes_that_contradict_each_other(write):
    def mixed(seed):
        return bit(seed) if seed == 2 else chi2(seed)

    path = write(*two_detectors(quality=mixed))
    exposure = open_dark(path)
    exposure.read("DET11")
    with pytest.raises(CrstepsInputError, match=r"DET12.CHI2 .* values up to 255.*set quality"):
        exposure.read("DET12")
    # said by the user, every value that is not zero is a flag
    forced = open_dark(path, quality="bit").read("DET12")
    np.testing.assert_array_equal(forced.quality, chi2(4) != 0)
    assert open_dark(path, quality="chi2").read("DET11").quality_kind == "chi2"


def test_quality_can_be_left_out(write):
    path = write(*two_detectors())
    exposure = open_dark(path, quality="none")
    assert exposure.quality_kind is None
    assert exposure.read("DET11").quality is None
    assert not any("quality plane" in text for text in exposure.warnings)
    assert "set it to one of auto, chi2, bit, none" in refusal(path, quality="maybe")


def test_long_quality_planes_are_cut_to_8_bits(write):
    values = np.array([[0, 1, 255], [256, 40000, 65535]], np.uint16)
    signed = np.array([[0, -3, 255], [256, 30000, 7]], np.int16)
    zeros = np.zeros((2, 3), np.uint16)
    exposure = open_dark(
        write(
            ("DET11.SCI", zeros),
            ("DET11.CHI2", values),
            ("DET12.SCI", zeros),
            ("DET12.CHI2", signed),
        )
    )
    np.testing.assert_array_equal(exposure.read("DET11").quality, np.minimum(values, 255))
    np.testing.assert_array_equal(exposure.read("DET12").quality, np.clip(signed, 0, 255))


# --- pixels


@pytest.mark.parametrize("dtype", ["u1", "i2", "u2", "i4", "u4", "i8", "f4", "f8"])
def test_number_types(write, dtype):
    values = np.arange(12).reshape(3, 4).astype(dtype)
    image = open_dark(write(("DET11.SCI", values))).read("DET11")
    assert image.data.dtype == np.float32
    np.testing.assert_array_equal(image.data, np.arange(12).reshape(3, 4))
    assert not image.saturated.any()


def test_scaled_integers(write):
    path = write(("DET11.SCI", np.array([[1, 2], [3, -4]], np.int32)))
    with fits.open(path, mode="update", do_not_scale_image_data=True) as hdus:
        hdus[1].header["BSCALE"], hdus[1].header["BZERO"] = 0.5, 10.0
        hdus[1].header["BLANK"] = -4
    image = open_dark(path).read("DET11")
    np.testing.assert_array_equal(image.data, [[10.5, 11.0], [11.5, np.nan]])
    np.testing.assert_array_equal(image.missing, [[False, False], [False, True]])


def test_not_finite_is_missing(write):
    values = np.array([[1, np.nan], [np.inf, -np.inf]], np.float32)
    image = open_dark(write(("DET11.SCI", values))).read("DET11")
    np.testing.assert_array_equal(image.missing, [[False, True], [True, True]])
    np.testing.assert_array_equal(image.data, [[1, np.nan], [np.nan, np.nan]])


def test_saturated_pixels(write):
    raw = np.array([[65535, 65534], [0, 1]], np.uint16)
    short = np.array([[32767, 32766], [0, 1]], np.int16)
    exposure = open_dark(
        write(("DET11.SCI", raw), ("DET12.SCI", short), ("DET13.SCI", raw.astype(np.float32)))
    )
    for name, expected in (("DET11", 1), ("DET12", 1), ("DET13", 0)):
        saturated = exposure.read(name).saturated
        assert saturated.sum() == expected
        assert saturated[0, 0] == bool(expected)
    path = write(("DET11.SCI", raw.astype(np.float32)))
    fits.setval(path, "SATURATE", value=60000.0, ext=1)
    np.testing.assert_array_equal(open_dark(path).read("DET11").saturated, raw >= 60000)


def test_tile_compressed_detectors(tmp_path):
    path = tmp_path / "c.fits.fz"
    hdus = [fits.PrimaryHDU()]
    for name, array in two_detectors():
        hdus.append(fits.CompImageHDU(array, name=name, compression_type="RICE_1"))
    fits.HDUList(hdus).writeto(path)
    exposure = open_dark(path)
    np.testing.assert_array_equal(exposure.read("DET12").data, raw_image(3))
    np.testing.assert_array_equal(exposure.read("DET12").quality, chi2(4))


def test_gzipped_file(write, tmp_path):
    packed = tmp_path / "dark.fits.gz"
    packed.write_bytes(gzip.compress(write(*two_detectors()).read_bytes()))
    exposure = open_dark(packed)
    for name, seed in (("DET12", 3), ("DET11", 1)):
        np.testing.assert_array_equal(exposure.read(name).data, raw_image(seed))
        np.testing.assert_array_equal(exposure.read(name).quality, chi2(seed + 1))


# --- keywords


def test_nothing_in_the_header(write):
    exposure = open_dark(write(*two_detectors(), header={}, name="EUC.fits"))
    assert exposure.integration_time is None
    assert exposure.mjd is None
    assert exposure.macc is None
    assert exposure.gain_header is None
    assert (exposure.obs_id, exposure.date_obs, exposure.read_mode) == ("", "", "")
    text = " ".join(exposure.warnings)
    assert "EUC.fits: the header has no OBS_ID, no DATE-OBS, no READMODE" in text
    assert "set integration_time" in text


def test_the_name_of_the_file_stands_in(write):
    name = "EUC_LE1_NISP-08033-1-W_20250601T090351.000000Z_01_05_01.00.fits"
    exposure = open_dark(write(*two_detectors(), header={}, name=name))
    assert exposure.obs_id == "08033"
    assert exposure.date_obs == "20250601T090351.000000"
    assert exposure.mjd == pytest.approx(60827 + (9 * 3600 + 3 * 60 + 51) / 86400)


@pytest.mark.parametrize(
    ("change", "time", "warning"),
    [
        ({"FRTIME": None}, 87.24, "no FRTIME; frames are taken to be 1.454 s apart"),
        ({"FRTIME": "soon"}, 87.24, "no FRTIME"),
        ({"NG": None}, 99.0, "the integration time is EXPTIME"),
        ({"NG": 1}, 99.0, "the integration time is EXPTIME"),
        ({"NR": 0.5}, 99.0, "the integration time is EXPTIME"),
        ({"ND": None, "EXPTIME": -1}, None, "no integration time"),
    ],
)
def test_integration_time_without_the_readout(write, change, time, warning):
    header = {k: v for k, v in (HEADER | change).items() if v is not None}
    exposure = open_dark(write(*two_detectors(), header=header))
    assert exposure.integration_time == (None if time is None else pytest.approx(time))
    assert any(warning in text for text in exposure.warnings)
    if exposure.macc is None:
        assert exposure.exposure_time == exposure.integration_time


def test_what_is_no_dark_is_told(write):
    exposure = open_dark(write(*two_detectors(), header=HEADER | {"IMG_T1": "OBJECT"}))
    assert any("IMG_T1 = OBJECT does not say DARK" in text for text in exposure.warnings)


@pytest.mark.parametrize(
    ("value", "gain"), [(0.52, 1 / 0.52), (1.95, 1.95), (0, None), ("?", None)]
)
def test_gain_is_in_electrons_per_adu(write, value, gain):
    exposure = open_dark(write(*two_detectors(), header=HEADER | {"GAIN": value}))
    assert exposure.gain_header == (None if gain is None else pytest.approx(gain))


# --- what is refused


def test_what_is_no_fits_file(tmp_path):
    assert "There is no file" in refusal(tmp_path / "none.fits")
    assert "is a folder" in refusal(tmp_path)
    (tmp_path / "empty.fits").touch()
    assert "is empty (0 bytes)" in refusal(tmp_path / "empty.fits")
    (tmp_path / "text.fits").write_text("This is no dark.\n" * 500)
    assert "is not a FITS file" in refusal(str(tmp_path / "text.fits"))
    assert "type int is not understood" in refusal(7)


@pytest.fixture(scope="module")
def whole_file(tmp_path_factory):
    """Return the bytes of a file of two detectors, and a path for parts of it."""
    path = tmp_path_factory.mktemp("cut") / "cut.fits"
    hdus = [fits.ImageHDU(array, name=name) for name, array in two_detectors()]
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(path)
    return path.read_bytes(), path


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 5 * 2880 + 4 * 2880), st.booleans())
@example(2 * 2880 + 2 * 24 * 32 - 1, False)  # the last byte of the first image
def test_truncated_files(whole_file, length, packed):
    """They are refused, unless all that is cut is padding or whole extensions."""
    whole, path = whole_file
    path.write_bytes(gzip.compress(whole[:length]) if packed else whole[:length])
    ends_of_data = [2880 * (2 * i + 2) + size for i, size in enumerate((1536, 768, 1536, 768))]
    n_whole = sum(length >= end for end in ends_of_data)
    # up to the padding of the last whole extension
    allowed = n_whole and length <= 2880 * (2 * n_whole + 1)
    if not allowed:
        assert str(path) in refusal(path)
        return
    exposure = open_dark(path)
    assert exposure.detectors == ("DET11", "DET12")[: (n_whole + 1) // 2]
    for name, seed in zip(exposure.detectors, (1, 3), strict=False):
        np.testing.assert_array_equal(exposure.read(name).data, raw_image(seed))
    if n_whole < 3:
        assert "has no image of DET12" in exposure.warnings[0]


@settings(max_examples=40, deadline=None)
@given(st.floats(0, 0.999))
def test_truncated_gzipped_files(whole_file, fraction):
    whole, path = whole_file
    packed = gzip.compress(whole)
    path.write_bytes(packed[: int(fraction * len(packed))])
    assert str(path) in refusal(path)


def test_damaged_header(write):
    path = write(*two_detectors())
    content = path.read_bytes()
    for wrong in (b"BITPIX  =                   17", b"BITPIX  =                  'a'"):
        path.write_bytes(content.replace(b"BITPIX  =                   16", wrong))
        sentence = refusal(path)
        assert f"{path} cannot be read as FITS" in sentence
        assert b"17" not in wrong or "BITPIX = 17 in extension DET11.SCI" in sentence


def test_a_file_that_is_cut_after_it_was_opened(write):
    path = write(*two_detectors())
    exposure = open_dark(path)
    path.write_bytes(path.read_bytes()[:4000])
    with pytest.raises(CrstepsInputError, match=r"DET11\.SCI of .* can no longer be read"):
        exposure.read("DET11")
    path.unlink()
    with pytest.raises(CrstepsInputError, match="can no longer be opened"):
        exposure.read("DET11")


@pytest.mark.parametrize("shape", [(24,), (2, 12, 16)])
def test_images_of_other_dimensions(write, shape):
    sentence = refusal(write(("DET11.SCI", np.zeros(shape, np.uint16))))
    assert f"DET11.SCI of {write()} has {len(shape)} dimensions" in sentence


def test_a_table_in_place_of_an_image(write):
    table = fits.BinTableHDU(np.zeros(3, [("a", "f4")]), name="DET12.SCI")
    sentence = refusal(write(("DET11.SCI", raw_image(1)), ("", table)))
    assert "extension DET12.SCI of" in sentence
    assert "is a table" in sentence


def test_names_that_are_there_twice(write):
    sentence = refusal(write(*two_detectors(), ("DET11.SCI", raw_image(7))))
    assert "two extensions DET11.SCI" in sentence
    sentence = refusal(write(*two_detectors(), ("det12.chi2", chi2(7))))
    assert "two extensions DET12.CHI2" in sentence


def test_shape_of_the_quality_plane(write):
    sentence = refusal(write(("DET11.SCI", raw_image(1)), ("DET11.CHI2", chi2(1, (24, 31)))))
    assert "DET11.CHI2" in sentence
    assert "(24, 31)" in sentence


def test_files_without_images(write):
    assert "no image DETxy.SCI" in refusal(write(("DET11.CHI2", chi2(1))))
    assert "holds no image" in refusal(write())
    table = fits.BinTableHDU(np.zeros(3, [("a", "f4")]), name="T")
    assert "holds no image" in refusal(write(("", table)))


# --- single images


def test_a_plain_image(tmp_path):
    path = tmp_path / "ccd.fits"
    values = np.arange(20, dtype=np.float32).reshape(4, 5)
    header = fits.Header({"EXPTIME": 600.0, "GAIN": 2.0, "DATE-OBS": "2019-09-12T12:00:00"})
    fits.writeto(path, values, header)
    exposure = open_dark(path)
    assert exposure.kind == "fits"
    assert exposure.detectors == ("IMAGE",)
    assert exposure.integration_time == 600
    assert exposure.gain_header == 2.0
    assert exposure.mjd == pytest.approx(58738.5)
    assert exposure.quality_kind is None
    assert exposure.warnings == ()
    np.testing.assert_array_equal(exposure.read("IMAGE").data, values)


def test_names_of_single_images(write, tmp_path):
    image = np.ones((4, 5), np.float32)
    path = write(("CHIP 1/a", image), header={})
    assert open_dark(path).detectors == ("CHIP_1_A",)
    assert open_dark(write(("SCI", image), header={"DETECTOR": "e2v 7"})).detectors == ("e2v_7",)
    assert open_dark(write(("SCI", image), header={"DETECTOR": 7})).detectors == ("IMAGE",)
    several = write(("A", image), ("B", image + 1), header={})
    assert "set extension to one of 1 (A), 2 (B)" in refusal(several)
    np.testing.assert_array_equal(open_dark(several, extension="B").read("B").data, image + 1)


def test_quality_and_flags_of_a_single_image(write):
    image = np.arange(6, dtype=np.float32).reshape(2, 3)
    flags = np.array([[0, 1, 2], [4, 3, 0]], np.uint8)
    quality = np.array([[0, 0, 200], [0, 7, 0]], np.uint8)
    exposure = open_dark(write(("SCI", image), ("DQ", flags), ("CHI2", quality), header={}))
    read = exposure.read("IMAGE")
    np.testing.assert_array_equal(read.missing, flags & 1)
    np.testing.assert_array_equal(read.saturated, (flags & 2) != 0)
    np.testing.assert_array_equal(read.quality, quality)
    assert read.quality_kind == "chi2"
    np.testing.assert_array_equal(read.data, image)
    for name in ("DQ", "CHI2"):
        sentence = refusal(write(("SCI", image), (name, np.zeros((3, 3), np.uint8))))
        assert name in sentence
        assert "(3, 3)" in sentence
        sentence = refusal(write(("SCI", image), (name, image)))
        assert f"The extension {name} of" in sentence
        assert "does not hold the integers" in sentence


def test_real_dark_of_a_ccd(real_data):
    exposure = open_dark(real_data / "sprat_5x120s" / "v_dark_1.fits.gz")
    assert exposure.kind == "fits"
    assert exposure.integration_time == 600
    assert exposure.mjd == pytest.approx(58738.651154)
    assert exposure.warnings == ()
    image = exposure.read("IMAGE")
    assert image.data.shape == (254, 1024)
    assert not image.missing.any()
    with fits.open(real_data / "sprat_5x120s" / "v_dark_1.fits.gz") as hdus:
        np.testing.assert_array_equal(image.data, hdus[0].data)


def test_real_references_of_jwst(real_data):
    folder = real_data / "nirspec_noise_refs"
    sentence = refusal(folder / "jwst_nirspec_dark_0046.fits")
    assert "holds a cube of shape (10, 32, 512)" in sentence
    exposure = open_dark(folder / "jwst_nirspec_superbias_0075.fits")
    assert exposure.kind == "jwst"
    assert exposure.detectors == ("NRS1",)
    assert exposure.shape("NRS1") == (32, 512)
    assert exposure.integration_time is None


# --- JWST


@pytest.fixture
def dark_rate(jwst_model):
    """Return a JWST count-rate image with flags and times."""
    model = jwst_model()
    model.dq[3, 4] = 2  # SATURATED
    model.dq[5, 6] = 4  # JUMP_DET alone: usable
    model.dq[7, 8] = 1 << 31  # REFERENCE_PIXEL
    model.meta.exposure.integration_time = 100.0
    model.meta.exposure.exposure_time = 300.0
    return model


@pytest.mark.parametrize("in_memory", [False, True])
def test_jwst_image(dark_rate, tmp_path, in_memory):
    path = tmp_path / "jw01_nrs1_rate.fits"
    dark_rate.save(path)
    date = dark_rate.meta.date
    exposure = open_dark(dark_rate if in_memory else path)
    assert dark_rate.meta.date == date
    assert exposure.kind == "jwst"
    assert exposure.detectors == (dark_rate.meta.instrument.detector or "IMAGE",)
    assert exposure.integration_time == 300.0
    assert exposure.quality_kind is None
    copy = pickle.loads(pickle.dumps(exposure))
    image = copy.read(exposure.detectors[0])
    np.testing.assert_array_equal(image.data, dark_rate.data)
    expected = ~np.isfinite(dark_rate.data)
    expected[2, 3] = expected[7, 8] = True
    np.testing.assert_array_equal(image.missing, expected)
    assert np.argwhere(image.saturated).tolist() == [[3, 4]]
    assert not image.reference.any()
    assert exposure.primary_header["TELESCOP"] == "JWST"
    # what is read is a copy
    image.data[:] = 0
    assert dark_rate.data.any()
    assert exposure.read(exposure.detectors[0]).data.any()


def test_jwst_ramps_and_cubes(tmp_path):
    from stdatamodels.jwst import datamodels

    for cls, shape, word in (
        (datamodels.RampModel, (1, 2, 4, 5), "a ramp"),
        (datamodels.CubeModel, (2, 4, 5), "a cube"),
    ):
        model = cls(data=np.zeros(shape, np.float32))
        model.meta.telescope = "JWST"
        model.meta.filename = "jw_x.fits"
        sentence = refusal(model)
        assert f"jw_x.fits holds {word} of shape {shape}" in sentence
        assert "jump step" in sentence
        model.save(tmp_path / "jw_x.fits")
        assert word in refusal(tmp_path / "jw_x.fits")


def test_other_jwst_models():
    from stdatamodels.jwst import datamodels

    assert "two dimensions are needed" in refusal(datamodels.MultiSlitModel())


def test_simulated_files(tmp_path):
    from crsteps.datamodels.dark_files import read_companion
    from crsteps.simulation.nisp_files import write_bad_pixel_map, write_nisp_file, write_truth
    from crsteps.simulation.slew_darks import SlewDarkOptions, simulate_slew_dark

    names = ("DET32", "DET11")
    darks = {
        name: simulate_slew_dark(SlewDarkOptions(shape=(64, 96)), seed=seed, detector=name)
        for seed, name in enumerate(names)
    }
    exposure = open_dark(write_nisp_file(tmp_path, darks, quality_suffix="QF"))
    assert exposure.detectors == names
    assert exposure.macc == (4, 16, 4)
    assert exposure.integration_time == pytest.approx(87.24)
    assert exposure.quality_kind == "chi2"
    assert len(exposure.warnings) == 2  # missing detectors and the name of the quality planes
    bad = write_bad_pixel_map(tmp_path / "bad.fits", darks)
    truth = write_truth(tmp_path / "truth.fits", darks)
    for name, dark in darks.items():
        image = exposure.read(name)
        np.testing.assert_array_equal(image.data, dark.data)
        np.testing.assert_array_equal(image.quality, dark.quality)
        for path, expected in ((bad, dark.bad), (truth, dark.truth)):
            values = read_companion(path, name, shape=(64, 96), what="truth")
            np.testing.assert_array_equal(values != 0, expected)
