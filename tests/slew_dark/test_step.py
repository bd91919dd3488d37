"""SlewDarkCosmicsStep on files of NISP: products, their contents, parameters, processes."""

import hashlib
import subprocess
import sys
from contextlib import nullcontext

import astroscrappy
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from crsteps.cosmic_rays.clusters import COLUMNS as CLUSTER_COLUMNS
from crsteps.cosmic_rays.conn import ConnOptions
from crsteps.cosmic_rays.deepcr import DeepcrOptions
from crsteps.framework.parameter_files import validate
from crsteps.framework.parameters import own_parameters
from crsteps.slew_dark.analysis import COLUMNS as PLACE_COLUMNS
from crsteps.slew_dark.detection import DetectionOptions
from crsteps.slew_dark.products_step import SlewDarkResult
from crsteps.slew_dark.statistics_table import COLUMNS as STATISTICS_COLUMNS
from crsteps.slew_dark.step import SlewDarkCosmicsStep

DO_NOT_USE, SATURATED, JUMP_DET = 1, 2, 4
DETECTORS = ("DET11", "DET32", "DET24")
# The table of the instrument team.
SEED = {
    "sigclip": 4.5,
    "sigfrac": 0.3,
    "objlim": 4.0,
    "gain": 1.95,
    "readnoise": 6.0,
    "satlevel": 65536.0,
    "niter": 6,
    "sepmed": True,
    "cleantype": "meanmask",
    "fsmode": "median",
    "psfmodel": "gauss",
    "psffwhm": 1.5,
    "psfsize": 5,
    "psfbeta": 4.765,
}


def call(small, **parameters):
    """Call the step on the small dark with four outputs."""
    return SlewDarkCosmicsStep.call(str(small.path), **{"n_outputs": 4, **parameters})


@pytest.fixture
def saved(small, in_tmp_path):
    """Return the result for the small dark with all companions, and the folder of its products."""
    result = call(
        small,
        bad_pixel_mask="bad.fits",
        truth="truth.fits",
        save_results=True,
        save_background=True,
        output_dir="out",
    )
    return result, in_tmp_path / "out"


def test_products_and_result(small, in_tmp_path, digests):
    before = digests(in_tmp_path)
    result = call(small, save_results=True, output_dir="out")
    assert isinstance(result, SlewDarkResult)
    assert digests(in_tmp_path) == before
    names = {"crmask.fits", "crclean.fits", "crclusters.parquet", "crstats.ecsv"}
    assert set(result.products) == names
    assert set(digests("out")) == {f"EUC_dark_{name}" for name in names}
    assert [each.detector for each in result.detectors] == list(DETECTORS)
    for each in result.detectors:
        assert each.reason == ""
        assert each.used_quality == "chi2"
        assert each.offset == pytest.approx(1024, abs=2)
        assert each.n_clusters == np.sum(result.clusters["detector"] == each.detector) > 0


def test_images_hold_flags_and_cleaned_pixels(saved, small):
    _, folder = saved
    bad = {name: fits.getdata(small.bad, name) != 0 for name in DETECTORS}
    with (
        fits.open(folder / "EUC_dark_crmask.fits") as masks,
        fits.open(folder / "EUC_dark_crclean.fits") as cleaned,
        fits.open(folder / "EUC_dark_crbackground.fits") as background,
    ):
        assert [hdu.name for hdu in masks[1:]] == [f"{name}.DQ" for name in DETECTORS]
        assert [hdu.name for hdu in cleaned[1:]] == [f"{name}.SCI" for name in DETECTORS]
        for name in DETECTORS:
            dq = masks[f"{name}.DQ"].data
            assert dq.dtype == np.uint16
            hit = (dq & JUMP_DET) != 0
            assert not np.any(hit & bad[name])
            np.testing.assert_array_equal((dq & DO_NOT_USE) != 0, hit | bad[name])
            assert masks[f"{name}.DQ"].header["NPMASKED"] == hit.sum()
            data = small.darks[name].data.astype(np.float32)
            clean = cleaned[f"{name}.SCI"].data
            np.testing.assert_array_equal(clean[~hit], data[~hit])
            # On the level of the background, with a few times its noise to spare.
            assert np.abs(clean - background[f"{name}.SCI"].data)[hit].max() < 40


def test_headers_tell_what_was_done(saved, small):
    _, folder = saved
    for name in ("crmask", "crclean", "crbackground"):
        with fits.open(folder / f"EUC_dark_{name}.fits") as hdus:
            history = "".join(str(line) for line in hdus[0].header["HISTORY"])
            assert hdus[0].header["OBS_ID"] == fits.getheader(small.path)["OBS_ID"]
            header = hdus[1].header
        assert "slew_dark_cosmics: grow_significance = " in history
        assert "input EUC_dark.fits" in history
        assert "quality plane chi2 (auto: DET11.CHI2 holds" in history
        for path in (small.bad, small.truth):
            assert hashlib.sha256(path.read_bytes()).hexdigest() in history
        assert "electrons_per_adu" in history
        assert header["CRSTATUS"] == "COMPLETE"
        assert header["CROFFSET"] == pytest.approx(1024, abs=2)
        assert 3 < header["CRNOISE"] < 6
        assert header["CRQUAL"] == "chi2"


def test_tables_hold_clusters_and_statistics(saved):
    result, folder = saved
    clusters = Table.read(folder / "EUC_dark_crclusters.parquet")
    assert len(clusters) == len(result.clusters)
    assert set(clusters.colnames) >= {"detector", "channel", "x", "y", "total_electrons", "x_mm"}
    assert np.all(clusters["channel"] == np.floor(clusters["x"] + 0.5) // 32)
    np.testing.assert_allclose(clusters["total_electrons"], 1.95 * clusters["total"])
    assert clusters["total"].unit == "adu"
    # Row 2 of the focal plane is below its centre, row 3 above; column 1 to the left.
    assert np.all(clusters["y_mm"][clusters["detector"] == "DET24"] < 0)
    assert np.all(clusters["y_mm"][clusters["detector"] == "DET32"] > 0)
    assert np.all(clusters["x_mm"][clusters["detector"] == "DET11"] < 0)
    statistics = Table.read(folder / "EUC_dark_crstats.ecsv")
    exposure = statistics[0]
    assert exposure["n_clusters"] == len(clusters)
    assert exposure["n_flagged"] == clusters["n_pixels"].sum()
    assert exposure["precision"] > 0.85
    assert exposure["recall"] > 0.85
    assert list(statistics["detector"][statistics["level"] == "detector"]) == list(DETECTORS)


def test_truth_is_what_precision_and_recall_are_counted_with(saved):
    result, folder = saved
    right = flagged = hit = 0
    for name in DETECTORS:
        mask = (fits.getdata(folder / "EUC_dark_crmask.fits", f"{name}.DQ") & JUMP_DET) != 0
        usable = fits.getdata(folder.parent / "bad.fits", name) == 0
        truth = (fits.getdata(folder.parent / "truth.fits", name) != 0) & usable
        right, flagged, hit = right + (mask & truth).sum(), flagged + mask.sum(), hit + truth.sum()
    exposure = result.statistics[0]
    assert exposure["precision"] == pytest.approx(right / flagged, rel=1e-12)
    assert exposure["recall"] == pytest.approx(right / hit, rel=1e-12)


def test_nothing_is_written_without_save_results(small, in_tmp_path, digests):
    before = digests(in_tmp_path)
    result = call(small)
    assert len(result.clusters) > 0
    assert result.products == {}
    assert digests(in_tmp_path) == before


def test_only_what_is_wanted_is_written(small, in_tmp_path, digests):
    unwanted = dict.fromkeys(("save_mask", "save_clean", "save_statistics"), False)
    call(small, save_results=True, output_dir="out", output_file="night.fits", **unwanted)
    assert set(digests("out")) == {"night_crclusters.parquet"}


def test_detectors_can_be_chosen(small):
    result = call(small, detectors=["det24", "DET11"])
    assert [each.detector for each in result.detectors] == ["DET11", "DET24"]


def test_products_do_not_depend_on_the_number_of_jobs(small, digests):
    for jobs in (1, 2, 3):
        call(small, bad_pixel_mask="bad.fits", save_results=True, jobs=jobs, output_dir=f"o{jobs}")
    assert digests("o1") == digests("o2") == digests("o3")
    assert len(digests("o1")) == 4


@pytest.mark.slow
def test_figures_do_not_depend_on_the_number_of_jobs(small, digests):
    names = {*DETECTORS, "focal_plane", "clusters", "distributions"}
    for jobs in (1, 2):
        call(small, save_results=True, save_figures=True, jobs=jobs, output_dir=f"o{jobs}")
    assert digests("o1") == digests("o2")
    assert {f"EUC_dark_crfig_{name}.png" for name in names} <= set(digests("o1"))


@pytest.mark.extras
def test_root_files_hold_the_pixels_of_each_cluster(small, in_tmp_path):
    uproot = pytest.importorskip("uproot", reason="the extra root is not installed")
    pytest.importorskip("awkward", reason="the extra root is not installed")
    result = call(small, save_results=True, save_root=True)
    with uproot.open(result.products["crclusters.root"]) as file:
        tree = file["clusters"].arrays()
    np.testing.assert_array_equal(tree["n_pixels"], result.clusters["n_pixels"])
    masks = {
        name: (fits.getdata("EUC_dark_crmask.fits", f"{name}.DQ") & JUMP_DET) != 0
        for name in DETECTORS
    }
    for cluster, row in zip(tree, result.clusters, strict=True):
        x, y = np.array(cluster["pixel_x"]), np.array(cluster["pixel_y"])
        assert len(x) == row["n_pixels"]
        assert masks[row["detector"]][y, x].all()
        assert np.mean(x) == pytest.approx(row["x"])
        assert np.sum(cluster["pixel_signal"]) == pytest.approx(row["total"], rel=1e-5)


@pytest.mark.parametrize(("quality", "used"), [("auto", "bit"), ("none", "none")])
def test_quality_of_one_bit_and_none(small, quality, used):
    """A plane of zeros and ones is told from one of quality factors by its values."""
    with fits.open(small.path, mode="update") as hdus:
        for name in DETECTORS:
            hdus[f"{name}.CHI2"].data = (hdus[f"{name}.CHI2"].data > 49).astype(np.uint8)
    result = call(small, quality=quality, bad_pixel_mask="bad.fits", truth="truth.fits")
    assert {each.used_quality for each in result.detectors} == {used}
    assert result.statistics[0]["precision"] > 0.8
    assert result.statistics[0]["recall"] > 0.8


def test_defaults_are_those_of_the_algorithms():
    step, options = SlewDarkCosmicsStep(), DetectionOptions()
    for name in ("detector", "seed_significance", "grow_significance", "seed_quality"):
        assert getattr(step, name) == getattr(options, name)
    assert step.grow_quality == options.grow_quality
    for name in set(SEED) - {"gain"}:
        assert getattr(step, name) == getattr(options.laplacian, name) == SEED[name]
    assert (step.dc_mask, step.dc_threshold) == (DeepcrOptions().mask, DeepcrOptions().threshold)
    assert (step.nn_model, step.nn_threshold) == (ConnOptions().model, ConnOptions().threshold)


@pytest.mark.parametrize("offset", [1024.0, "auto"])
def test_preset_of_the_team_is_astroscrappy_itself(small, checkout, offset):
    """The same masks and images as from astroscrappy called directly, with the team's table."""
    path = checkout / "reference_files" / "pars-slewdarkcosmicsstep-astroscrappy.asdf"
    preset = validate(path).parameters
    assert {**preset, "gain": preset["electrons_per_adu"]}.items() >= SEED.items()
    result = SlewDarkCosmicsStep.call(
        str(small.path),
        config_file=str(path),
        bad_pixel_mask="bad.fits",
        offset=offset,
        save_results=True,
    )
    for name in DETECTORS:
        data = small.darks[name].data.astype(np.float32)
        bad = fits.getdata(small.bad, name) != 0
        level = np.median(data[~bad]) if offset == "auto" else np.float32(offset)
        data -= level
        data[bad] = np.median(data[~bad])
        mask, cleaned = astroscrappy.detect_cosmics(data, **SEED)
        dq = fits.getdata(result.products["crmask.fits"], f"{name}.DQ")
        np.testing.assert_array_equal((dq & JUMP_DET) != 0, mask & ~bad)
        image = fits.getdata(result.products["crclean.fits"], f"{name}.SCI")
        hit = mask & ~bad
        np.testing.assert_allclose(image[hit], cleaned[hit] + level, rtol=1e-6)


def test_shipped_parameter_files_run(small, checkout):
    for name in ("", "-image"):
        path = str(checkout / "reference_files" / f"pars-slewdarkcosmicsstep{name}.asdf")
        assert len(SlewDarkCosmicsStep.call(str(small.path), config_file=path).clusters) > 0


@pytest.mark.parametrize(
    ("parameters", "model"),
    [
        ({"detector": "deepcr"}, "ACS-WFC"),
        ({"detector": "deepcr", "dc_mask": "WFC3-UVIS", "dc_threshold": 0.8}, "WFC3-UVIS"),
        ({"detector": "conn", "clean_method": "detector"}, "ground_imaging"),
        ({"detector": "conn", "nn_model": "NRES", "nn_threshold": 0.8}, "NRES"),
    ],
)
def test_networks(small, monkeypatch, parameters, model):
    """In their place, brighter half and brightest quarter of pixels are probable to 0.6 and 0.9."""
    shown = []

    def window_probability(network, window):
        shown.append(network)
        levels = np.quantile(window, [0.5, 0.75])
        return np.array([0, 0.6, 0.9], np.float32)[np.searchsorted(levels, window)]

    place = "crsteps.cosmic_rays.network_detection"
    monkeypatch.setattr("crsteps.slew_dark.search_step.require_packages", lambda family: None)
    monkeypatch.setattr(f"{place}.load_network", lambda extra, model: (extra, model))
    monkeypatch.setattr(f"{place}.processor_threads", lambda n: nullcontext())
    monkeypatch.setattr(f"{place}.window_probability", window_probability)
    result = call(small, detectors=["DET32"], **parameters)
    assert set(shown) == {(parameters["detector"], model)}
    expected = 0.25 if 0.8 in parameters.values() else 0.5
    assert result.statistics[0]["flagged_fraction"] == pytest.approx(expected, abs=0.03)


@pytest.mark.parametrize("detector", ["hybrid", "significance", "astroscrappy+quality", "pycosmic"])
def test_companions_are_used(small, in_tmp_path, detector):
    """A master dark with a ramp in it and a huge noise at one hit change what is found."""
    from crsteps.simulation.nisp_files import write_companion

    plain = call(small, detector=detector)
    brightest = plain.clusters[np.argmax(plain.clusters["peak"])]
    name, y, x = brightest["detector"], int(brightest["y"] + 0.5), int(brightest["x"] + 0.5)
    noise = {each: np.full((128, 128), 4.0, np.float32) for each in DETECTORS}
    noise[name][y - 12 : y + 13, x - 12 : x + 13] = np.nan
    write_companion(in_tmp_path / "noise.fits", noise)
    write_companion(in_tmp_path / "dark.fits", dict.fromkeys(DETECTORS, np.zeros((128, 128), "f4")))
    masked = call(small, detector=detector, noise_map="noise.fits", master_dark="dark.fits")
    there = masked.clusters[masked.clusters["detector"] == name]
    assert not np.any((abs(there["x"] - x) < 10) & (abs(there["y"] - y) < 10))
    assert len(masked.clusters) > 0.5 * len(plain.clusters)


def test_noise_of_subtracted_persistence_counts(small, in_tmp_path):
    """A hit where persistence was strong or its error large is lost in its noise, no other is."""
    plain = call(small)
    brightest = plain.clusters[np.argmax(plain.clusters["peak"])]
    name, y, x = brightest["detector"], int(brightest["y"] + 0.5), int(brightest["x"] + 0.5)
    box = (slice(max(y - 15, 0), y + 16), slice(max(x - 15, 0), x + 16))
    # 87.2 s of this rate, or of this error, have a noise far above any signal in the dark
    for plane, value in (("SCI", 1e10), ("ERR", 1e4)):
        hdus = fits.HDUList([fits.PrimaryHDU()])
        for each in DETECTORS:
            for kind in ("SCI", "ERR"):
                rate = np.zeros((128, 128), np.float32)
                if (each, kind) == (name, plane):
                    rate[box] = value
                hdus.append(fits.ImageHDU(rate, name=f"{each}.{kind}"))
        hdus.writeto(in_tmp_path / "persistence.fits", overwrite=True)
        found = call(small, persistence="persistence.fits").clusters
        inside = [
            (c["detector"] == name) & (abs(c["x"] - x) < 15) & (abs(c["y"] - y) < 15)
            for c in (plain.clusters, found)
        ]
        assert inside[0].sum() > 0
        assert inside[1].sum() == 0
        others = found["detector"] != name
        np.testing.assert_array_equal(
            found["total"][others], plain.clusters["total"][plain.clusters["detector"] != name]
        )


def test_everything_is_documented(checkout):
    """Every parameter, column and product has its place on the page of the step."""
    page = (checkout / "docs" / "steps" / "slew_dark_cosmics.rst").read_text(encoding="utf-8")
    columns = {*CLUSTER_COLUMNS, *PLACE_COLUMNS, *STATISTICS_COLUMNS}
    names = {name for name in columns if not name.endswith("_error")}
    names |= set(own_parameters(SlewDarkCosmicsStep()))
    assert sorted(name for name in names if f"``{name}``" not in page) == []


def test_processes_load_light_modules_only():
    code = "import sys, crsteps.slew_dark.workers_step; print(*sys.modules)"
    output = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout
    loaded = {name.partition(".")[0] for name in output.split()}
    assert not loaded & {"jwst", "stpipe", "stdatamodels", "crds", "asdf", "matplotlib", "pyarrow"}
