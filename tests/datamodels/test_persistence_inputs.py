"""Times and charges of exposures of JWST and NISP, from files and models, and what is refused."""

import subprocess
import sys
from datetime import UTC, datetime

import numpy as np
import pytest
from astropy.io import fits
from stdatamodels.jwst.datamodels import CubeModel, ImageModel, RampModel

from crsteps.datamodels.dark_files import open_dark
from crsteps.datamodels.persistence_inputs import (
    DAY,
    charge_flags,
    detector_window,
    exposure_start,
    exposure_timing,
    fluence_of_dark,
    sort_by_time,
)
from crsteps.detector.macc import PHOTOMETRIC
from crsteps.errors import CrstepsInputError
from crsteps.persistence.group_charge import GroupTimes
from crsteps.simulation.nisp_files import write_nisp_file
from crsteps.simulation.slew_dark_options import SlewDarkOptions
from crsteps.simulation.slew_darks import simulate_slew_dark

START = 60100.25
FRAME = 10.73677
KEYWORDS = {
    "start_time": START,
    "nints": 3,
    "ngroups": 5,
    "nframes": 4,
    "groupgap": 1,
    "frame_time": FRAME,
    "drop_frames1": 0,
    "drop_frames3": 0,
    "nresets_at_start": 1,
    "nresets_between_ints": 1,
}
# One reset, then for each integration 5 x 4 frames and 4 gaps, and a reset between two.
READS = 24
INT_TIMES = np.dtype(
    [("integration_number", "i4")]
    + [(f"int_{x}_{y}", "f8") for y in ("MJD_UTC", "BJD_TDB") for x in ("start", "mid", "end")]
)


def ramp(shape=(3, 5, 4, 6), **changes):
    model = RampModel(np.zeros(shape, np.float32))
    for name, value in {**KEYWORDS, **changes}.items():
        setattr(model.meta.exposure, name, value)
    model.meta.filename = "jw1_uncal.fits"
    return model


def with_int_times(model, ends, numbers=None):
    table = np.zeros(len(ends), INT_TIMES)
    table["integration_number"] = np.arange(1, len(ends) + 1) if numbers is None else numbers
    table["int_end_MJD_UTC"] = ends
    model.int_times = table
    return model


def test_frames_of_jwst():
    timing = exposure_timing(ramp())
    start = START * DAY
    expected = start + FRAME * (1 + (READS + 1) * np.arange(3))
    np.testing.assert_allclose(timing.resets, expected, atol=1e-5)
    assert timing.duration == pytest.approx(READS * FRAME)
    assert timing.start == timing.resets[0]
    # DURATION of JWST's keyword dictionary
    assert timing.end - start == pytest.approx((3 * READS + 1 + 2) * FRAME, abs=1e-5)
    times = GroupTimes.regular(**timing.frames)
    assert times.end == pytest.approx(timing.duration)
    np.testing.assert_allclose(times.frames[1], FRAME * np.array([6, 7, 8, 9]))
    assert timing.warnings == ()


def test_dropped_and_reset_frames():
    timing = exposure_timing(
        ramp(drop_frames1=2, drop_frames3=3, nresets_at_start=4, nresets_between_ints=2)
    )
    assert timing.duration == pytest.approx((READS + 2) * FRAME)
    frames = (timing.resets - START * DAY) / FRAME
    np.testing.assert_allclose(frames, 4 + (READS + 2 + 3 + 2) * np.arange(3), atol=1e-5)


def test_a_file_says_what_its_model_says(tmp_path):
    model = with_int_times(ramp(), START + FRAME / DAY * (25 + 30 * np.arange(3)))
    model.save(tmp_path / "ramp.fits")
    for one, other in ((ramp(), "plain"), (model, "table")):
        path = tmp_path / f"{other}.fits"
        one.save(path)
        from_model, from_file = exposure_timing(one), exposure_timing(path)
        np.testing.assert_allclose(from_file.resets, from_model.resets, atol=1e-5)
        assert from_file.frames == from_model.frames
        assert from_file.source == str(path)
        assert exposure_start(path) == exposure_start(one) == START * DAY


def test_the_table_of_integrations_tells_when_they_ended():
    ends = START + FRAME / DAY * np.array([25.0, 60.0, 100.0])
    timing = exposure_timing(with_int_times(ramp(), ends))
    np.testing.assert_allclose(timing.resets, ends * DAY - READS * FRAME, atol=1e-4)
    assert timing.end == pytest.approx(ends[2] * DAY, abs=1e-4)


def test_segments_of_an_exposure():
    segment = {"nints": 9, "integration_start": 4, "integration_end": 6}
    timing = exposure_timing(ramp(**segment))
    frames = (timing.resets - START * DAY) / FRAME
    np.testing.assert_allclose(frames, 1 + 25 * np.arange(3, 6), atol=1e-5)
    ends = START + FRAME / DAY * (25 + 30 * np.arange(9))
    of_table = exposure_timing(with_int_times(ramp(**segment), ends))
    np.testing.assert_allclose(of_table.resets, ends[3:6] * DAY - READS * FRAME, atol=1e-4)


@pytest.mark.parametrize("model", [CubeModel((3, 4, 6)), ImageModel((4, 6))])
def test_rates_have_the_times_of_their_integrations(model):
    for name, value in KEYWORDS.items():
        setattr(model.meta.exposure, name, value)
    np.testing.assert_array_equal(exposure_timing(model).resets, exposure_timing(ramp()).resets)


def test_other_keywords_of_the_same():
    timing = exposure_timing(
        ramp(start_time=None, start_time_mjd=START, frame_time=None, group_time=5 * FRAME)
    )
    np.testing.assert_allclose(timing.resets, exposure_timing(ramp()).resets, atol=1e-5)
    assert timing.frame_time == pytest.approx(FRAME)


def test_what_is_assumed_is_told():
    unsaid = dict.fromkeys(["drop_frames1", "nresets_at_start"])
    timing = exposure_timing(ramp(**unsaid))
    np.testing.assert_array_equal(timing.resets, exposure_timing(ramp()).resets)
    [warning] = timing.warnings
    assert warning == (
        "jw1_uncal.fits: the header does not say, so DRPFRMS1 = 0, NRSTSTRT = 1 is assumed."
    )


def test_an_end_that_is_not_that_of_the_frames_is_told():
    end = START + 75 * FRAME / DAY
    assert exposure_timing(ramp(end_time=end)).warnings == ()
    [warning] = exposure_timing(ramp(end_time=end + 100 / DAY)).warnings
    assert "the last frame was read 100.0 s before EXPEND" in warning
    [warning] = exposure_timing(ramp(end_time=end - 60 / DAY)).warnings
    assert "the last frame was read 60.0 s after EXPEND" in warning


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"start_time": None}, r"does not say when it began \(EXPSTART\)"),
        ({"start_time": float("nan")}, "EXPSTART is nan, which is impossible"),
        ({"start_time": -3.0}, "EXPSTART is -3.0, which is no modified Julian date"),
        ({"start_time": 2460100.5}, "EXPSTART is 2460100.5, which is no modified Julian date"),
        ({"end_time": START}, r"ended \(EXPEND\) before it began \(EXPSTART\)"),
        ({"end_time": START - 1}, r"ended \(EXPEND\) before it began \(EXPSTART\)"),
        ({"frame_time": None}, r"no frame time \(TFRAME\)"),
        ({"frame_time": 0.0}, "TFRAME is 0.0, which is impossible"),
        ({"frame_time": -1.0}, "TFRAME is -1.0, which is impossible"),
        ({"frame_time": None, "group_time": -1.0}, "TGROUP is -1.0, which is impossible"),
        ({"ngroups": None}, "has no NGROUPS"),
        ({"ngroups": 0}, "NGROUPS is 0, which is impossible"),
        ({"ngroups": 6}, "NGROUPS is 6, but the data have 5 groups"),
        ({"nframes": None}, "has no NFRAMES"),
        ({"groupgap": None}, "has no GROUPGAP"),
        ({"groupgap": -1}, "GROUPGAP is -1, which is impossible"),
        ({"nints": None}, "has no NINTS"),
        ({"nints": 2}, "say integrations 1 to 2, but the data have 3"),
        ({"integration_start": 5, "integration_end": 4}, "say integrations 5 to 4"),
        ({"nresets_at_start": -1}, "NRSTSTRT is -1, which is impossible"),
    ],
)
def test_keywords_that_are_missing_or_impossible_are_named(changes, message):
    with pytest.raises(CrstepsInputError, match=message) as raised:
        exposure_timing(ramp(**changes))
    assert str(raised.value).startswith("jw1_uncal.fits")
    assert "\n" not in str(raised.value)


def test_damaged_cards_are_named(tmp_path):
    ramp().save(tmp_path / "a.fits")
    for value, message in (("soon", "EXPSTART is soon"), (True, "EXPSTART is True")):
        with fits.open(tmp_path / "a.fits") as hdus:
            hdus[0].header["EXPSTART"] = value
            hdus.writeto(tmp_path / "b.fits", overwrite=True)
        with pytest.raises(CrstepsInputError, match=message):
            exposure_start(tmp_path / "b.fits")
    with fits.open(tmp_path / "a.fits") as hdus:
        hdus[0].header["NGROUPS"] = 4.5
        hdus[1].data = hdus[1].data[:, :4]
        hdus.writeto(tmp_path / "b.fits", overwrite=True)
    with pytest.raises(CrstepsInputError, match=r"NGROUPS is 4.5 and no whole number"):
        exposure_timing(tmp_path / "b.fits")


@pytest.mark.parametrize(
    ("frames", "numbers", "message"),
    [
        ([25, 60], None, "INT_TIMES does not have the integrations 1 to 3"),
        ([25, 60, 100], [1, 2, 2], "does not have the integrations 1 to 3"),
        ([25, 60, 100], [1, 3, 2], "1 to 3, each once and in order"),
        ([25, 30, 100], None, "began before EXPSTART or before the last one ended"),
        ([20, 60, 100], None, "began before EXPSTART"),
        ([25, 60, np.nan], None, "int_end_MJD_UTC of INT_TIMES is nan"),
    ],
)
def test_impossible_tables_of_integrations_are_refused(frames, numbers, message):
    ends = START + FRAME / DAY * np.array(frames, float)
    with pytest.raises(CrstepsInputError, match=message):
        exposure_timing(with_int_times(ramp(), ends, numbers))


def test_tables_of_integrations_without_a_time_are_refused(tmp_path):
    ramp().save(tmp_path / "a.fits")
    with fits.open(tmp_path / "a.fits") as hdus:
        table = fits.BinTableHDU(np.zeros(3, [("integration_number", "i4")]), name="INT_TIMES")
        fits.HDUList([*hdus, table]).writeto(tmp_path / "b.fits")
    with pytest.raises(CrstepsInputError, match=r"INT_TIMES has no .* int_end_MJD_UTC"):
        exposure_timing(tmp_path / "b.fits")


def test_stripes_are_refused():
    model = ramp()
    model.meta.subarray.multistripe_reads2 = 40
    with pytest.raises(CrstepsInputError, match="read in stripes"):
        exposure_timing(model)


def test_other_inputs_are_refused(tmp_path):
    with pytest.raises(CrstepsInputError, match="type int has no times"):
        exposure_timing(3)
    with pytest.raises(CrstepsInputError, match=r"no file .*none\.fits"):
        exposure_timing(tmp_path / "none.fits")
    fits.PrimaryHDU(np.zeros((4, 4))).writeto(tmp_path / "plain.fits")
    with pytest.raises(CrstepsInputError, match=r"plain\.fits does not say when it began"):
        sort_by_time([tmp_path / "plain.fits"])


@pytest.mark.real_data
def test_the_last_frame_of_real_exposures_is_their_end(real_data):
    paths = sorted((real_data / "nirspec_mos_nods").glob("*.fits"))
    if not paths:
        pytest.skip("there are no exposures of NIRSpec")
    assert sort_by_time(paths[::-1]) == paths
    for path in paths:
        header = fits.getheader(path)
        timing = exposure_timing(path)
        assert timing.end == pytest.approx(header["EXPEND"] * DAY, abs=1e-3)
        assert timing.end - exposure_start(path) == pytest.approx(header["DURATION"], abs=1e-3)
        assert timing.warnings == ()


@pytest.fixture(scope="module")
def nisp(tmp_path_factory):
    dark = simulate_slew_dark(SlewDarkOptions(shape=(64, 64)), seed=1)
    return write_nisp_file(
        tmp_path_factory.mktemp("nisp"), {"DET11": dark}, start=datetime(2025, 6, 7, 12, tzinfo=UTC)
    )


def test_times_of_nisp(nisp):
    for exposure in (nisp, open_dark(nisp)):
        timing = exposure_timing(exposure)
        assert timing.start == pytest.approx(60833.5 * DAY, abs=1e-3)
        assert timing.start == exposure_start(exposure)
        assert timing.duration == pytest.approx(PHOTOMETRIC.exposure_time)
        assert timing.end == pytest.approx(60833.5 * DAY + 76 * 1.454, abs=1e-3)
        assert GroupTimes.regular(**timing.frames).integration_time == pytest.approx(
            PHOTOMETRIC.integration_time
        )
        assert timing.warnings == ()


def changed(path, folder, **cards):
    with fits.open(path) as hdus:
        for keyword, value in cards.items():
            if value is None:
                del hdus[0].header[keyword]
            else:
                hdus[0].header[keyword] = value
        hdus.writeto(folder / "changed.fits", overwrite=True)
    return folder / "changed.fits"


def test_a_nisp_header_without_times(nisp, tmp_path):
    path = changed(nisp, tmp_path, **{"MJD-OBS": None})
    assert exposure_start(path) == pytest.approx(60833.5 * DAY, abs=1e-3)
    path = changed(nisp, tmp_path, **{"MJD-OBS": None, "DATE-OBS": None})
    for exposure in (path, open_dark(path)):
        with pytest.raises(CrstepsInputError, match=r"when it began \(MJD-OBS, DATE-OBS\)"):
            exposure_timing(exposure)
    path = changed(nisp, tmp_path, **{"MJD-OBS": 3.5})
    with pytest.raises(CrstepsInputError, match=r"MJD-OBS is 3\.5, which is no modified Julian"):
        exposure_start(path)
    with pytest.raises(CrstepsInputError, match=r"how it was read \(NG, NR, ND\)"):
        exposure_timing(changed(nisp, tmp_path, NR=None))
    with pytest.raises(CrstepsInputError, match="FRTIME is -1"):
        exposure_timing(changed(nisp, tmp_path, FRTIME=-1))
    timing = exposure_timing(changed(nisp, tmp_path, FRTIME=None))
    assert timing.frame_time == 1.454
    assert "no FRTIME; 1.454 s is assumed" in timing.warnings[0]


def test_exposures_of_all_kinds_are_sorted(nisp):
    models = [ramp(start_time=day) for day in (60900.0, 60100.0, 60833.4)]
    late, early, before = models
    assert sort_by_time([late, nisp, early, before]) == [early, before, nisp, late]
    same = [ramp(), ramp()]
    assert sort_by_time(same) == same


def test_the_fluence_of_a_dark_is_that_of_all_frames(nisp):
    dark = open_dark(nisp)
    image = dark.read("DET11")
    image.data[5, 7] = 1024 + 60
    image.data[9, 9], image.saturated[9, 9] = 65535, True
    image.data[9, 10], image.missing[9, 10] = np.nan, True
    before = image.data.copy()
    fluence = fluence_of_dark(image, exposure_timing(dark), electrons_per_adu=1.95, offset=1024)
    # 60 frames from group to group of 76 that were read or dropped
    assert fluence[5, 7] == pytest.approx(60 * 1.95 * 76 / 60, rel=1e-6)
    assert fluence[9, 9] == np.inf
    assert np.isnan(fluence[9, 10])
    assert fluence.dtype == np.float32
    np.testing.assert_array_equal(image.data, before)


def test_flags_of_ramps_and_rates():
    model = ramp(shape=(1, 3, 2, 4), nints=1, ngroups=3)
    model.groupdq[0, 1:, 0, 0] = 2
    model.groupdq[0, 0, 0, 1] = 1
    model.groupdq[0, 0, 0, 2] = 4
    model.pixeldq[1, 3], model.pixeldq[1, 2] = 1, np.uint32(2**31)
    saturated, unusable = charge_flags(model)
    assert np.argwhere(saturated).tolist() == [[0, 1, 0, 0], [0, 2, 0, 0]]
    expected = np.zeros((1, 3, 2, 4), bool)
    expected[0, 0, 0, 1] = True
    expected[0, :, 1, 2:] = True
    np.testing.assert_array_equal(unusable, expected)
    rate = ImageModel((2, 4))
    assert not np.any(charge_flags(rate))  # without flags
    rate.dq = np.zeros((2, 4), np.uint32)
    rate.dq[0, 0], rate.dq[0, 1], rate.dq[0, 2] = 3, 1, 4
    saturated, unusable = charge_flags(rate)
    assert np.argwhere(saturated).tolist() == [[0, 0]]
    assert np.argwhere(unusable).tolist() == [[0, 0], [0, 1]]


def test_window_of_a_subarray():
    model = ramp()
    assert detector_window(model) == (slice(0, 4), slice(0, 6))
    model.meta.subarray.xstart, model.meta.subarray.ystart = 1025, 957
    assert detector_window(model) == (slice(956, 960), slice(1024, 1030))


def test_no_model_of_jwst_is_loaded():
    """Workers import this; JWST's models take seconds to load."""
    code = (
        "import sys; import crsteps.datamodels.persistence_inputs, "
        "crsteps.datamodels.persistence_history; "
        "print(sorted({'jwst', 'stdatamodels', 'stpipe', 'asdf'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
