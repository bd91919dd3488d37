"""Persistence references: what is written is read, by detector; bad files are refused by key."""

import re
import textwrap
from pathlib import Path

import asdf
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crsteps.datamodels.persistence_reference import read_persistence, write_persistence
from crsteps.detector.nisp import DETECTORS
from crsteps.errors import CrstepsInputError
from crsteps.framework.references import packaged_file
from crsteps.persistence.stimulus import HST_WFC3_IR, FermiCurve, TableCurve

META = {
    "instruments": ["NISP"],
    "description": "Simulated.",
    "pedigree": "SIMULATION",
    "flight_calibrated": False,
}
NUMBERS = {"reference_time": 300.0, "forgetting_rate": 0.01, "systematic": 0.1}
CURVES = [
    {"kind": "constant", "amplitude": 1.0, "gamma": 0.0},
    {"kind": "linear", "amplitude": 0.2, "gamma": 1.1, "reference_fluence": 5e4},
    {"kind": "fermi", "norm": 0.3, "level": 8e4, "width": 2e4, "alpha": 0.2, "gamma": 1.0},
    {"kind": "table", "fluence": [1e3, 1e5], "amplitude": [0.01, 0.6], "gamma": [0.9, 1.0]},
    {
        "kind": "table",
        "fluence": [1e3, 1e5],
        "amplitude": [[0.01, 0.6], [0.02, 0.7], [0.03, 0.9]],
        "gamma": [[0.9, 1.0]] * 3,
        "exposure_time": [10, 100, 1000],
        "interpolation": "monotone",
    },
]
SHAPE = (24, 20)


def images(seed=1):
    """Values of pixels as a fit gives them, some of them unknown."""
    random = np.random.default_rng(seed)
    amplitude, gamma = random.normal(0.3, 0.1, SHAPE), random.normal(1, 0.1, SHAPE)
    amplitude[3, :5] = np.nan
    sigma, sigma_gamma = random.uniform(0.01, 0.1, (2, *SHAPE))
    covariance = {
        "amplitude": sigma**2,
        "gamma": sigma_gamma**2,
        "cross": -0.9 * sigma * sigma_gamma,
    }
    return {"amplitude_scale": amplitude, "gamma_offset": gamma, "covariance": covariance}


def detector(**changes):
    return {"curve": CURVES[2], **NUMBERS, **changes}


def write(path, detectors=None, **meta):
    write_persistence(path, detectors or {"DET11": detector()}, meta={**META, **meta})
    return path


def assert_same(read, written):
    for key, value in written.items():
        if isinstance(value, dict):
            assert_same(read[key], value)
        elif isinstance(value, str):
            assert read[key] == value
        else:
            stored = np.asarray(value, np.float32) if np.ndim(value) == 2 else value
            if key in ("amplitude", "gamma") and "kind" in written:
                stored = value  # tables stay in float64
            np.testing.assert_array_equal(read[key], stored)


@pytest.mark.parametrize("unknown", [None, np.nan])
def test_covariance_that_is_not_known(tmp_path, unknown):
    covariance = {"amplitude": 0.04, "gamma": 0.01, "cross": unknown}
    path = write(tmp_path / "p.asdf", {"DET23": detector(covariance=covariance)})
    assert b"cross: null" in path.read_bytes()
    read = read_persistence(path, detector="DET23")["covariance"]
    assert (read["amplitude"], read["gamma"]) == (0.04, 0.01)
    assert np.isnan(read["cross"])


@pytest.mark.parametrize("curve", CURVES)
def test_curves_are_read_as_written(tmp_path, curve):
    path = write(tmp_path / "new" / "p.asdf", {"DET23": detector(curve=curve)})
    read = read_persistence(path, detector="det23")
    assert_same(read, {"detector": "DET23", "curve": curve, **NUMBERS})
    assert read["curve"].keys() == curve.keys()
    assert read["saturation_level"] == np.inf
    assert (read["amplitude_scale"], read["gamma_offset"], read["n_channels"]) == (1, 0, None)
    assert read["covariance"] == {"amplitude": 0, "gamma": 0, "cross": 0}
    assert {key: read["meta"][key] for key in META} == META
    assert read["meta"]["units"] == {
        "amplitude": "electron / s",
        "fluence": "electron",
        "time": "s",
    }
    assert [p.name for p in path.parent.iterdir()] == ["p.asdf"]


def test_tables_are_arguments_of_the_curve(tmp_path):
    path = write(tmp_path / "p.asdf", {"DET11": detector(curve=CURVES[4])})
    curve = read_persistence(path, detector="DET11")["curve"]
    assert curve.pop("kind") == "table"
    amplitude, _ = TableCurve(**curve)(np.array([1e3, 1e5]), exposure_time=100)
    np.testing.assert_allclose(amplitude, [0.02, 0.7])


def test_values_by_channel(tmp_path):
    by_channel = {
        "amplitude_scale": np.linspace(0.5, 1.5, 32),
        "gamma_offset": [0.1] * 32,
        "covariance": {"amplitude": 0.09, "gamma": np.full(32, 0.01), "cross": 0},
        "channel_axis": "y",
        "saturation_level": 1.2e5,
    }
    path = write(tmp_path / "p.asdf", {"DET11": detector(**by_channel)})
    read = read_persistence(path, detector="DET11")
    assert_same(read, by_channel)
    assert read["n_channels"] == 32


def test_what_was_read_is_written_again(tmp_path):
    path = write(tmp_path / "p.asdf", {"DET11": detector(**images())})
    read = read_persistence(path, detector="DET11")
    meta = {key: read["meta"][key] for key in META}
    write_persistence(tmp_path / "again.asdf", {"DET11": read}, meta=meta)
    again = read_persistence(tmp_path / "again.asdf", detector="DET11")
    assert_same({**again, "meta": 0}, {**read, "meta": 0, "n_channels": 0} | {"n_channels": None})


finite = st.floats(-1e3, 1e3)
positive = st.floats(1e-3, 1e6)


@settings(max_examples=20, deadline=None)
@given(
    scale=st.one_of(finite, st.lists(finite, min_size=3, max_size=3)),
    offset=st.one_of(finite, st.lists(finite, min_size=3, max_size=3)),
    variances=st.tuples(positive, positive),
    correlation=st.floats(-1, 1),
    level=st.one_of(st.just(np.inf), positive),
    numbers=st.fixed_dictionaries({"norm": positive, "level": positive, "width": positive}),
)
def test_any_numbers_are_read_as_written(
    tmp_path_factory, scale, offset, variances, correlation, level, numbers
):
    values = {
        "amplitude_scale": scale,
        "gamma_offset": offset,
        "covariance": {
            "amplitude": variances[0],
            "gamma": variances[1],
            "cross": correlation * np.sqrt(variances[0] * variances[1]),
        },
        "saturation_level": level,
        "curve": {"kind": "fermi", "alpha": 0.1, "gamma": 1, **numbers},
    }
    path = write(tmp_path_factory.mktemp("p") / "p.asdf", {"ANY": detector(**values)})
    assert_same(read_persistence(path, detector="X"), values)


def test_images_are_compressed_and_of_the_wanted_detector_only(tmp_path):
    flat = {"amplitude_scale": np.full((256, 256), 0.25), "gamma_offset": np.ones((256, 256))}
    path = write(tmp_path / "p.asdf", {"DET11": detector(**images()), "DET12": detector(**flat)})
    assert path.stat().st_size < 256 * 256 * 4 / 8
    assert_same(read_persistence(path, detector="DET11"), images())
    read = read_persistence(path, detector="DET12")
    assert read["gamma_offset"].dtype == np.float32
    assert_same(read, flat)
    # with the first image of DET11 damaged only DET11 cannot be read
    content = bytearray(path.read_bytes())
    content[content.index(b"\xd3BLK") + 100] ^= 0xFF
    path.write_bytes(content)
    assert_same(read_persistence(path, detector="DET12"), flat)
    with pytest.raises(CrstepsInputError, match=r"p\.asdf is no usable persistence reference"):
        read_persistence(path, detector="DET11")


def test_images_may_be_memory_mapped(tmp_path):
    scale = images()["amplitude_scale"].astype(np.float32)
    np.save(tmp_path / "scale.npy", scale)
    mapped = np.load(tmp_path / "scale.npy", mmap_mode="r")
    path = write(tmp_path / "p.asdf", {"DET11": detector(amplitude_scale=mapped)})
    np.testing.assert_array_equal(
        read_persistence(path, detector="DET11")["amplitude_scale"], scale
    )


def test_images_are_cut_to_a_window(tmp_path):
    path = write(tmp_path / "p.asdf", {"DET11": detector(**images(), systematic=0.2)})
    window = (slice(2, 10), slice(5, 20))
    read = read_persistence(path, detector="DET11", window=window)
    np.testing.assert_array_equal(
        read["covariance"]["cross"], images()["covariance"]["cross"][2:10, 5:20].astype("f4")
    )
    assert read["amplitude_scale"].shape == (8, 15)
    assert read["systematic"] == 0.2
    with pytest.raises(CrstepsInputError, match=r"shape \(24, 20\).* 5 to 20 of the exposure"):
        read_persistence(path, detector="DET11", window=(slice(0, 8), slice(5, 21)))


def test_a_detector_without_an_entry(tmp_path):
    path = write(tmp_path / "p.asdf", {"DET11": detector(), "ANY": detector(systematic=0.5)})
    assert read_persistence(path, detector="DET11")["systematic"] == 0.1
    assert read_persistence(path, detector="DET44")["detector"] == "ANY"
    assert read_persistence(path, detector="DET44")["systematic"] == 0.5
    path = write(tmp_path / "q.asdf", {"DET11": detector(), "DET12": detector()})
    with pytest.raises(CrstepsInputError, match=r"q\.asdf has no entry .* DET13, only .* DET12"):
        read_persistence(path, detector="DET13")


def test_an_instrument_that_is_not_meant(tmp_path):
    path = write(tmp_path / "p.asdf", instruments=["NIRCAM", "NIRISS"])
    assert read_persistence(path, detector="DET11", instrument="nircam")["systematic"] == 0.1
    with pytest.raises(CrstepsInputError, match="for NIRCAM, NIRISS and not for MIRI"):
        read_persistence(path, detector="DET11", instrument="MIRI")


def test_the_packaged_references_say_that_they_are_examples():
    for name in ("persistence-nisp.asdf", "persistence-jwst-nir.asdf"):
        meta = read_persistence(packaged_file(name), detector="DET11")["meta"]
        assert meta["flight_calibrated"] is False
        assert meta["pedigree"] == "DUMMY"
        assert "not flight-calibrated" in meta["description"]


def test_packaged_jwst_reference_is_the_curve_of_hst():
    path = packaged_file("persistence-jwst-nir.asdf")
    for instrument in ("NIRCAM", "NIRISS", "NIRSPEC", "FGS"):
        read = read_persistence(path, detector="NRCA1", instrument=instrument)
    curve = {k: v for k, v in read["curve"].items() if k != "kind"}
    assert FermiCurve(**curve, reference_time=read["reference_time"]) == HST_WFC3_IR
    with pytest.raises(CrstepsInputError, match="not for MIRI"):
        read_persistence(path, detector="MIRIMAGE", instrument="MIRI")


def test_packaged_nisp_reference_knows_all_detectors():
    path = packaged_file("persistence-nisp.asdf")
    for name in DETECTORS:
        read = read_persistence(path, detector=name, instrument="NISP")
        assert read["detector"] == name
        curve = dict(read["curve"], reference_time=read["reference_time"])
        assert curve.pop("kind") == "table"
        amplitude, gamma = TableCurve(**curve)(np.array([2e4, 6e4, 1.2e5]))
        assert np.all(np.diff(amplitude) > 0)
        np.testing.assert_allclose(gamma, 1, atol=0.1)


BY_HAND = """#ASDF 1.0.0
%YAML 1.1
---
meta:
  format: crsteps_persistence
  format_version: 1.0.0
  instruments: [NIRCAM]
  description: By hand.
  pedigree: GROUND
  flight_calibrated: false
  units: {amplitude: electron / s, fluence: electron, time: s}
detectors:
  NRCALONG:
    reference_time: 1000
    curve:
      linear: {amplitude: 0.1, gamma: 1, reference_fluence: 60000}
    amplitude_scale: 1
    gamma_offset: [0, 0.1, 0, 0]
    covariance: {amplitude: 0.04, gamma: 0.01, cross: 0}
    saturation_level: null
    forgetting_rate: 0.01
    systematic: 0
...
"""


def test_a_file_written_by_hand(tmp_path):
    path = tmp_path / "p.asdf"
    path.write_text(BY_HAND)
    read = read_persistence(path, detector="NRCALONG")
    assert read["curve"]["reference_fluence"] == 60000
    assert read["n_channels"] == 4


def test_the_example_of_the_documentation(tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "persistence_files.rst").read_text()
    path = tmp_path / "p.asdf"
    path.write_text(textwrap.dedent(re.search(r"( +#ASDF .*?\n +\.\.\.\n)", page, re.DOTALL)[1]))
    read = read_persistence(path, detector="NRCALONG", instrument="NIRCAM")
    assert read["n_channels"] == 4
    assert read["curve"]["level"] == 83400


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("persistence\n", "flicker\n", "meta.format is crsteps_flicker and not crsteps_persist"),
        ("1.0.0\n  i", "2.3.0\n  i", r"format_version is 2\.3\.0, and .* reads 1\.x: update"),
        ("GROUND", "GUESS", "at meta.pedigree, 'GUESS' is not one of"),
        ("false", "perhaps", "at meta.flight_calibrated, 'perhaps' is not of type 'boolean'"),
        ("fluence: electron,", "fluence: adu,", "at meta.units.fluence, 'adu' is not one of"),
        ("  description: By hand.\n", "", "at meta, 'description' is a required property"),
        ("reference_time: 1000", "reference_time: 0", "detectors.NRCALONG.reference_time, 0 is"),
        ("    systematic: 0\n", "", "at detectors.NRCALONG, 'systematic' is a required"),
        ("systematic: 0", "systematic: -1", "detectors.NRCALONG.systematic, -1 is less"),
        ("systematic: 0", "systematik: 0", "NRCALONG, 'systematic' is a required property"),
        ("linear:", "quadratic:", "at detectors.NRCALONG.curve, 'quadratic' is not known"),
        ("gamma: 1,", "gamma: one,", "NRCALONG.curve.linear.gamma, 'one' is not of type 'number'"),
        ("fluence: 60000}", "fluence: -3}", "curve.linear.reference_fluence, -3 is less"),
        (
            "amplitude_scale: 1",
            "amplitude_scale: big",
            "NRCALONG.amplitude_scale, big is not a number, a",
        ),
        ("level: null", "level: none", "NRCALONG.saturation_level, none is not a positive"),
        ("level: null", "level: 1e5", "1e5 is text to YAML 1.1: write 100000.0; correct"),
        ("level: null", "level: 1e25", r"1e25 is text to YAML 1.1: write 1\.0e\+25; correct"),
        ("amplitude_scale: 1", "amplitude_scale: .nan", "NRCALONG.amplitude_scale is not finite"),
        ("gamma: 1,", "gamma: .inf,", "curve.linear.gamma is not finite"),
        ("systematic: 0", "systematic: .nan", "NRCALONG.systematic is not finite"),
        ("amplitude_scale: 1", "amplitude_scale: [1, 2]", r"numbers of channels: \(2,\), \(4,\)"),
        ("cross: 0", "cross: 0.03", "covariance.cross is larger than the variances allow"),
        ("amplitude: 0.04", "amplitude: -0.04", "covariance.amplitude is a negative variance"),
        ("detectors:", "detektors:", "at the top, "),
        ("  NRCALONG:\n", "  NRCALONG: {}\n  NRCA1:\n", "at detectors.NRCALONG, .* required"),
    ],
)
def test_impossible_entries_are_named(tmp_path, old, new, message):
    assert BY_HAND.count(old) == 1
    path = tmp_path / "p.asdf"
    path.write_text(BY_HAND.replace(old, new))
    with pytest.raises(CrstepsInputError, match=message) as raised:
        read_persistence(path, detector="NRCALONG")
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)
    assert str(raised.value).endswith(".")


TABLE = CURVES[3]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"curve": {**TABLE, "fluence": [1e5, 1e3]}}, "curve.table.fluence is not positive and"),
        ({"curve": {**TABLE, "fluence": [0, 1e3]}}, "curve.table.fluence is not positive and"),
        ({"curve": {**TABLE, "amplitude": [0.1]}}, r"table.amplitude has the shape \(1,\) and not"),
        ({"curve": {**TABLE, "amplitude": [0.1, 0]}}, "table.amplitude is not positive everywhere"),
        ({"curve": {**TABLE, "exposure_time": [9, 3]}}, "table.exposure_time is not positive and"),
        ({"curve": {**TABLE, "exposure_time": [3, 9]}}, r"and not \(2, 2\)"),
        ({"curve": {**TABLE, "interpolation": "cubic"}}, "table.interpolation, 'cubic' is not"),
        (
            {"curve": {**TABLE, "colour": 1}},
            "DET11.curve.table, 'colour' is not known",
        ),
        ({"curve": {"kind": "spline"}}, "at detectors.DET11.curve, 'spline' is not known"),
        ({"curve": {}}, "detectors.DET11.curve has no kind"),
        ({"systematic": None}, "at detectors.DET11.systematic, None is not of type 'number'"),
        ({"temperature": 40.0}, "at detectors.DET11, 'temperature' is not known"),
        (
            {"amplitude_scale": np.ones((2, 3, 4))},
            "DET11.amplitude_scale, .* an image",
        ),
        ({"amplitude_scale": "big"}, "at detectors.DET11.amplitude_scale, big is not a number"),
        ({"amplitude_scale": np.ones((2, 3)), "gamma_offset": np.ones((3, 2))}, "numbers of pix"),
        ({"amplitude_scale": np.ones((2, 3)), "gamma_offset": np.ones(3)}, "by channel and images"),
        (
            {"covariance": {"amplitude": 1, "gamma": 1}},
            "DET11.covariance, 'cross' is a required property",
        ),
    ],
)
def test_what_is_impossible_is_not_written(tmp_path, changes, message):
    path = write(tmp_path / "p.asdf")
    before = path.read_bytes()
    with pytest.raises(CrstepsInputError, match=message) as raised:
        write(path, {"DET11": detector(**changes)})
    assert "\n" not in str(raised.value)
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_what_the_file_is_about_has_to_be_said(tmp_path):
    meta = {key: value for key, value in META.items() if key != "pedigree"}
    with pytest.raises(CrstepsInputError, match="'pedigree' is a required property"):
        write_persistence(tmp_path / "p.asdf", {"ANY": detector()}, meta=meta)
    with pytest.raises(CrstepsInputError, match="at meta, 'weather' is not known"):
        write(tmp_path / "p.asdf", weather="fine")
    with pytest.raises(CrstepsInputError, match="at detectors"):
        write_persistence(tmp_path / "p.asdf", {}, meta=META)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_a_file_is_named(tmp_path):
    path = write(tmp_path / "p.asdf")
    with pytest.raises(CrstepsInputError, match=r"q\.asdf cannot be written: .*another folder"):
        write(path / "q.asdf")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"SIMPLE  =                    T",
        b"#ASDF 1.0.0\n%YAML 1.1\n---\nmeta: [",
        b"#ASDF 1.0.0\n%YAML 1.1\n---\n- 1\n...\n",
        b"\x00\xff" * 100,
        BY_HAND[:300].encode(),
    ],
)
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "p.asdf"
    path.write_bytes(content)
    with pytest.raises(CrstepsInputError, match=r"p\.asdf is no ") as raised:
        read_persistence(path, detector="NRCALONG")
    assert "\n" not in str(raised.value)


def test_a_file_that_was_cut_off_is_refused(tmp_path):
    path = write(tmp_path / "p.asdf", {"DET11": detector(**images())})
    content = path.read_bytes()
    path.write_bytes(content[: content.rindex(b"\xd3BLK") + 200])
    with pytest.raises(CrstepsInputError, match=r"p\.asdf is no usable persistence reference"):
        read_persistence(path, detector="DET11")


def test_missing_files_are_named(tmp_path):
    for path in (tmp_path / "none.asdf", tmp_path):
        with pytest.raises(CrstepsInputError, match=f"no file {path}"):
            read_persistence(path, detector="DET11")


@pytest.mark.parametrize("tag", ["!!python/object/apply:os.mkdir", "!<tag:example.org/thing>"])
def test_no_object_is_made_from_a_file(tmp_path, tag):
    made = tmp_path / "made"
    path = tmp_path / "p.asdf"
    path.write_text(BY_HAND.replace("By hand.", f"{tag} [{made}]"))
    with pytest.raises(CrstepsInputError, match=r"p\.asdf is no "):
        read_persistence(path, detector="NRCALONG")
    assert not made.exists()


def test_arrays_of_other_files_are_not_fetched(tmp_path):
    other = tmp_path / "other.asdf"
    asdf.AsdfFile({"data": np.ones((2, 3))}).write_to(other)
    array = (
        "!<tag:stsci.edu:asdf/core/ndarray-1.1.0> {source: other.asdf, datatype: float64, "
        "byteorder: little, shape: [2, 3]}"
    )
    path = tmp_path / "p.asdf"
    path.write_text(BY_HAND.replace("amplitude_scale: 1", f"amplitude_scale: {array}"))
    with pytest.raises(CrstepsInputError, match=r"NRCALONG\.amplitude_scale, .* this file"):
        read_persistence(path, detector="NRCALONG")
