"""Files of noise spectra: what is written is read, bad files are refused in a sentence."""

import asdf
import numpy as np
import pytest

from crsteps.datamodels.flicker_spectra import StoredSpectrum, read_spectrum, write_spectrum
from crsteps.errors import CrstepsInputError
from crsteps.flicker_noise.spectrum import TIMES, FlickerSpectrum

META = {
    "instrument": "NIRSPEC",
    "detector": "NRS1",
    "read_pattern": "NRSRAPID",
    "subarray": None,
    "unit": "DN",
    "quantity": "difference",
}
BIN = 8e-5


def spectrum(seed=1, n_outputs=4):
    random = np.random.default_rng(seed)
    common, independent = random.exponential(size=(2, TIMES.size))
    common[3] = 0
    return FlickerSpectrum(common, independent, random.uniform(0.5, 1.5, n_outputs), TIMES)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "new" / "spectrum.asdf"
    write_spectrum(
        path, spectrum(), bin_time=BIN, meta=META, alternating=spectrum(2), white_noise=6.5
    )
    return path


def assert_same(stored, expected):
    back = FlickerSpectrum(**stored.in_bins(BIN))
    for name in ("common", "independent", "gains", "times"):
        np.testing.assert_allclose(getattr(back, name), getattr(expected, name), rtol=1e-12)


def test_what_is_written_is_read(path):
    read = read_spectrum(path)
    assert_same(read.spectrum, spectrum())
    assert_same(read.alternating, spectrum(2))
    assert read.white_noise == 6.5
    assert read.meta["n_outputs"] == 4
    assert {name: read.meta[name] for name in META} == META
    np.testing.assert_allclose(read.spectrum.times, TIMES * 8e-5)
    assert [p.name for p in path.parent.iterdir()] == ["spectrum.asdf"]


def test_only_the_spectrum_is_required(tmp_path):
    path = tmp_path / "s.asdf"
    required = {k: v for k, v in META.items() if k not in ("read_pattern", "subarray")}
    write_spectrum(path, spectrum(n_outputs=1), bin_time=BIN, meta=required)
    read = read_spectrum(path)
    assert_same(read.spectrum, spectrum(n_outputs=1))
    assert read.alternating is None
    assert read.white_noise is None


def test_what_differs_from_an_exposure_is_told(path):
    read = read_spectrum(path)
    same = {"detector": "nrs1", "n_outputs": 4, "subarray": "FULL", "read_pattern": None}
    assert read.differences(**same) == []
    assert read.differences(detector="NRS2", unit="DN", n_outputs=1) == [
        "detector is NRS1 and not NRS2",
        "n_outputs is 4 and not 1",
    ]


def covariance_of_means(tau, n_ticks, lag):
    """Covariance of the means over two bins of ticks, summed pair by pair."""
    tick = np.arange(n_ticks)
    between = lag * n_ticks + tick[:, None] - tick
    return np.exp(-np.abs(between) / tau).mean()


@pytest.mark.parametrize("tau", [5.0, 20.0, 300.0])
@pytest.mark.parametrize(("given", "wanted"), [(8, 4), (8, 16), (4, 8)])
def test_bins_of_another_width(tau, given, wanted):
    """A process of 10 us ticks, as bins of one width see it, in bins of another."""
    lags = np.array([1, 2, 5])
    # The amplitude that a fit of the covariances at whole lags finds.
    amplitude = covariance_of_means(tau, given, 1) * np.exp(given / tau)
    measured = FlickerSpectrum(
        np.array([amplitude]), np.array([2 * amplitude]), np.ones(4), np.array([tau / given])
    )
    stored = StoredSpectrum.from_bins(measured, given * 1e-5)
    assert stored.times == pytest.approx(tau * 1e-5)
    converted = FlickerSpectrum(**stored.in_bins(wanted * 1e-5))
    expected = [covariance_of_means(tau, wanted, lag) for lag in lags]
    np.testing.assert_allclose(converted.autocovariance(lags), expected, rtol=1e-9)
    np.testing.assert_allclose(
        converted.autocovariance(lags, independent=True), np.multiply(expected, 2), rtol=1e-9
    )


def test_what_is_white_in_wide_bins_is_left_out():
    stored = StoredSpectrum.from_bins(spectrum(), BIN)
    wide = FlickerSpectrum(**stored.in_bins(16 * BIN))
    assert wide.times.min() > 0.3
    assert 0 < wide.times.size < TIMES.size
    assert np.isfinite(wide.variance).all()


def test_a_file_is_kept_when_a_new_one_is_wrong(path):
    before = path.read_bytes()
    wrong = {**META, "quantity": "ramp"}
    with pytest.raises(CrstepsInputError, match=r"spectrum\.asdf: .* incomplete or wrong: 'ramp'"):
        write_spectrum(path, spectrum(), bin_time=BIN, meta=wrong)
    with pytest.raises(CrstepsInputError, match="'unit' is a required property"):
        write_spectrum(
            path, spectrum(), bin_time=BIN, meta={k: v for k, v in META.items() if k != "unit"}
        )
    assert path.read_bytes() == before
    assert len(list(path.parent.iterdir())) == 1


def test_a_folder_that_is_a_file_is_named(path):
    with pytest.raises(CrstepsInputError, match=r"s\.asdf cannot be written: .*another folder"):
        write_spectrum(path / "s.asdf", spectrum(), bin_time=BIN, meta=META)


def changed(path, change):
    with asdf.open(path, lazy_load=False, memmap=False) as file:
        tree = dict(file.tree)
    change(tree)
    asdf.AsdfFile(tree).write_to(path, all_array_storage="inline")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t["meta"].update(format="other"), "'other' is not one of"),
        (lambda t: t["meta"].update(format_version="2.0.0"), "'2.0.0' does not match"),
        (lambda t: t.pop("spectrum"), "'spectrum' is a required property"),
        (lambda t: t["spectrum"].pop("gains"), "'gains' is a required property"),
        (lambda t: t["spectrum"].update(common=np.ones((2, 7))), "number of dimensions"),
        (lambda t: t["spectrum"].update(common=np.ones(3)), "spectrum differ in length"),
        (
            lambda t: t["alternating"].update(common=-np.ones(TIMES.size)),
            "alternating has .* negative",
        ),
        (lambda t: t["spectrum"].update(times=np.zeros(TIMES.size)), "spectrum has .* negative"),
        (lambda t: t["spectrum"].update(gains=np.full(4, np.nan)), "not finite"),
        (lambda t: t["spectrum"].update(gains=np.ones(3)), "3 gains for 4 outputs"),
        (lambda t: t["spectrum"].update(gains="abcd"), "gains|ndim|could not"),
        (lambda t: t.update(white_noise="much"), "'much' is not of type 'number'"),
    ],
)
def test_impossible_contents_are_refused(path, change, message):
    changed(path, change)
    with pytest.raises(CrstepsInputError, match=message) as raised:
        read_spectrum(path)
    assert str(raised.value).startswith(f"{path} holds no spectrum of flicker noise: ")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "content", [b"", b"SIMPLE  =", b"#ASDF 1.0.0\n%YAML 1.1\n---\nmeta: [", b"\x00\xff" * 100]
)
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "s.asdf"
    path.write_bytes(content)
    with pytest.raises(CrstepsInputError, match=r"s\.asdf holds no spectrum of flicker noise"):
        read_spectrum(path)


def test_a_file_that_was_cut_off_is_refused(path):
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(CrstepsInputError, match="holds no spectrum"):
        read_spectrum(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(CrstepsInputError, match=r"no file .*none\.asdf"):
        read_spectrum(tmp_path / "none.asdf")
    with pytest.raises(CrstepsInputError, match="no file"):
        read_spectrum(tmp_path)
