"""The illumination that darks follow, from files of every kind: its end and its charge."""

import numpy as np
import pytest
from astropy.io import fits

from crsteps.errors import CrstepsInputError
from crsteps.persistence.fit_illumination_step import open_illumination

SHAPE = (6, 8)
START, FRAME = 60800.0, 10.0
DURATION = 5 * FRAME  # five groups of one frame
KEYWORDS = {
    "TELESCOP": "JWST",
    "INSTRUME": "NIRCAM",
    "DETECTOR": "NRCA1",
    "EXPSTART": START,
    "NINTS": 1,
    "NGROUPS": 5,
    "NFRAMES": 1,
    "GROUPGAP": 0,
    "TFRAME": FRAME,
    "NRSTSTRT": 0,
    "NRESETS": 1,
    "DRPFRMS1": 0,
    "DRPFRMS3": 0,
}


@pytest.fixture
def rate():
    """Rates in DN/s, all different."""
    return np.arange(1.0, 1 + SHAPE[0] * SHAPE[1]).reshape(SHAPE).astype(np.float32)


def write(path, *images, **keywords):
    """File of named images; the first keywords are those of the primary header."""
    header = fits.Header(list({**KEYWORDS, **keywords}.items()))
    hdus = [fits.PrimaryHDU(header=header)]
    hdus += [fits.ImageHDU(image, name=name) for name, image in images]
    fits.HDUList(hdus).writeto(path)
    return str(path)


def fluence(illumination, *, gain=2.0, offset=0.0, detector="NRCA1"):
    illumination.check({detector: SHAPE})
    return illumination.fluence(detector, shape=SHAPE, gain=gain, offset=offset)


def test_ramps(tmp_path, rate):
    """The largest of two integrations counts; what is saturated in one is infinite."""
    ramp = rate * FRAME * np.arange(1, 6)[:, None, None]
    data = np.array([0.5 * ramp, ramp], np.float32)
    groupdq = np.zeros(data.shape, np.uint8)
    groupdq[0, 3:, 1, 2] = 2  # SATURATED
    groupdq[1, 4, 2, 3] = 1  # DO_NOT_USE: the group before it tells
    pixeldq = np.zeros(SHAPE, np.uint32)
    pixeldq[0, 0] = 1
    path = write(
        tmp_path / "a_ramp.fits",
        ("SCI", data),
        ("GROUPDQ", groupdq),
        ("PIXELDQ", pixeldq),
        NINTS=2,
    )
    found = open_illumination(path)
    assert found.end == pytest.approx(START * 86400 + 2 * DURATION + FRAME)
    expected = 2.0 * rate * DURATION
    expected[0, 0], expected[1, 2] = np.nan, np.inf
    np.testing.assert_allclose(fluence(found), expected, rtol=1e-6)


@pytest.mark.parametrize("n_integrations", [0, 1, 2])
def test_rates(tmp_path, rate, n_integrations):
    flags = np.zeros(SHAPE, np.uint32)
    flags[1, 2], flags[3, 4] = 3, 1  # saturated and not to be used; not to be used
    if n_integrations:
        data = np.array([rate, 0.5 * rate][:n_integrations])
        flags = np.array([flags] * n_integrations)
    else:
        data = rate
    path = write(
        tmp_path / "a_rate.fits", ("SCI", data), ("DQ", flags), NINTS=max(n_integrations, 1)
    )
    found = open_illumination(path)
    last = (n_integrations == 2) * (DURATION + FRAME)
    assert found.end == pytest.approx(START * 86400 + DURATION + last)
    expected = 2.0 * rate * DURATION
    expected[1, 2], expected[3, 4] = np.inf, np.nan
    np.testing.assert_allclose(fluence(found), expected, rtol=1e-6)


def test_file_of_nisp(tmp_path, rate):
    """The signal from the first group to the last is carried on to the whole exposure."""
    raw = (1024 + 10 * rate).astype(np.uint16)
    raw[0, 0] = 65535
    path = write(
        tmp_path / "EUC_flat.fits",
        ("DET11.SCI", raw),
        TELESCOP="EUCLID",
        INSTRUME="NISP",
        NG=4,
        NR=16,
        ND=4,
        FRTIME=1.5,
        **{"MJD-OBS": START},
    )
    found = open_illumination(path)
    assert found.end == pytest.approx(START * 86400 + 76 * 1.5)
    expected = 20.0 * rate * 76 / 60
    expected[0, 0] = np.inf
    result = fluence(found, offset=1024.0, detector="DET11")
    np.testing.assert_allclose(result, expected, rtol=1e-5)


def test_plain_image(tmp_path, rate):
    header = fits.Header([("MJD-OBS", START), ("EXPTIME", 30.0)])
    fits.PrimaryHDU(rate, header).writeto(tmp_path / "flat.fits")
    found = open_illumination(tmp_path / "flat.fits")
    assert found.end == pytest.approx(START * 86400 + 30)
    np.testing.assert_allclose(fluence(found, offset=1.0, detector="IMAGE"), 2 * (rate - 1))


@pytest.mark.parametrize("unit", ["electron", "e-", "ELECTRONS"])
def test_image_of_the_charge(tmp_path, rate, unit):
    """Neither gain nor offset are applied to electrons."""
    hdu = fits.ImageHDU(rate, name="DET11")
    hdu.header["BUNIT"] = unit
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(tmp_path / "charge.fits")
    found = open_illumination(tmp_path / "charge.fits", "60800.5")
    assert found.end == 60800.5 * 86400
    np.testing.assert_array_equal(fluence(found, offset=5.0, detector="DET11"), rate)
    with pytest.raises(CrstepsInputError, match=r"does not say when it ended.*illumination_end"):
        open_illumination(tmp_path / "charge.fits")


def test_numbers_and_nothing():
    found = open_illumination("5e4", "60800")
    assert (found.name, found.end) == ("50000 e-", 60800.0 * 86400)
    assert np.all(fluence(found) == 5e4)
    assert fluence(open_illumination(None, "60800")) is None
    for end in ("2025-05-05T12:00:00", "2025-05-05 12:00:00Z", "2025-05-05T14:00:00+02:00"):
        assert open_illumination(None, end).end == pytest.approx(60800.5 * 86400)


@pytest.mark.parametrize("end", ["-5", "nan", "12 o'clock", "1e9"])
def test_impossible_ends(end):
    with pytest.raises(CrstepsInputError, match="illumination_end"):
        open_illumination(None, end)


def test_detectors_and_shapes_that_do_not_fit(tmp_path, rate):
    path = write(tmp_path / "a_rateints.fits", ("SCI", rate[np.newaxis]))
    found = open_illumination(path)
    with pytest.raises(CrstepsInputError, match="has NRCA1 and not NRCA2"):
        found.check({"NRCA2": SHAPE})
    with pytest.raises(CrstepsInputError, match=r"has the shape \(6, 8\)"):
        found.check({"NRCA1": (8, 8)})
