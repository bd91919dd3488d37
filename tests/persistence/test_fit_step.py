"""fit_powerlaw_persistence on simulated darks: against their truth, and on inputs of every kind."""

import hashlib
import json
import subprocess

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from crsteps import FitPersistenceStep, PowerLawPersistenceStep
from crsteps.datamodels.persistence_reference import read_persistence
from crsteps.detector.nisp import ELECTRONS_PER_ADU
from crsteps.errors import CrstepsInputError
from crsteps.persistence import fit_figures, held_out_figures
from crsteps.persistence.dark_series import DarkTimes
from crsteps.persistence.fit import HIT_EXCLUDED, NOT_FITTED, FitOptions, fit_dark_series
from crsteps.persistence.group_charge import GroupTimes
from crsteps.simulation.persistence_files import FLAT_START, flat_end, write_nisp_series
from crsteps.simulation.persistence_series import DarkSeriesOptions, simulate_dark_series

DETECTORS, SHAPE = ("DET11", "DET32"), (60, 48)
TABLES = {"pfitstats.ecsv", "pfitdarks.ecsv"}


@pytest.fixture(scope="module")
def series():
    """Two detectors with truth, each with three levels of the flat field."""
    options = DarkSeriesOptions(shape=SHAPE, n_darks=14, first_delay=40.0, hit_rate=1.0)
    return {n: simulate_dark_series(options, seed=seed) for seed, n in enumerate(DETECTORS, 1)}


@pytest.fixture(scope="module")
def darks(series, tmp_path_factory):
    """Files of the darks, after a flat field in the same folder; the last one is not fitted."""
    return write_nisp_series(tmp_path_factory.mktemp("darks"), series)[1]


@pytest.fixture(scope="module")
def fitted(darks, tmp_path_factory):
    """Result of a fit, in a folder of its own."""
    before = digests(darks[0].parent)
    result = fit(darks[:-1], tmp_path_factory.mktemp("fitted"))
    assert digests(darks[0].parent) == before, "inputs are changed"
    return result


def fit(darks, folder, **parameters):
    """Fit files of darks after the flat field."""
    given = {"illumination": str(darks[0].parent / "EUC_flat.fits"), "n_outputs": 4, **parameters}
    return FitPersistenceStep.call(
        [str(path) for path in darks], save_results=True, output_dir=str(folder), **given
    )


def digests(folder):
    """Checksum of every file of a folder."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def times_of(one):
    """Times of a simulated series after the end of the flat field."""
    readout = one.options.readout
    groups = GroupTimes.regular(
        readout.n_groups,
        frame_time=readout.frame_time,
        n_frames=readout.n_frames,
        n_drops=readout.n_drops,
    )
    return DarkTimes.same_readout(one.delays, groups)


def amplitude_at(one, time):
    """True rate at a time."""
    return one.amplitude * (time / 1000.0) ** -one.gamma


def test_products(fitted):
    names = {"fit_powerlaw_persistence.asdf", "pfitmaps.fits", *TABLES}
    assert set(fitted.products) == names
    folder = fitted.reference.parent
    assert {path.name for path in folder.iterdir()} == {f"EUC_dark_{name}" for name in names}


@pytest.mark.parametrize("detector", DETECTORS)
def test_maps_against_the_truth(fitted, series, detector):
    one = series[detector]
    with fits.open(fitted.products["pfitmaps.fits"]) as hdus:
        maps = {
            hdu.name.partition(".")[2]: hdu.data.copy()
            for hdu in hdus
            if hdu.name.startswith(detector)
        }
        time = hdus[f"{detector}.AMPLITUDE"].header["REFTIME"]
    truth = amplitude_at(one, time)
    bright = truth > 0.4
    for value, error, true in (
        (maps["AMPLITUDE"], maps["AMPLITUDE_ERR"], truth),
        (maps["GAMMA"], maps["GAMMA_ERR"], one.gamma),
    ):
        pull = ((value - true) / error)[bright]
        assert np.std(pull) == pytest.approx(1, abs=0.1)
        assert abs(np.mean(pull)) < 0.25
    assert np.median(maps["CHI2"] / (maps["NPOINTS"] - 3)) == pytest.approx(1, abs=0.1)
    hit = (maps["QUALITY"] & HIT_EXCLUDED) != 0
    truly = (one.hits[:-1] > 60).any(axis=0)  # eight times the noise
    assert hit[truly].mean() > 0.95
    assert hit[~(one.hits[:-1] > 20).any(axis=0)].mean() < 1e-3


def test_levels_against_the_truth(fitted, series):
    for report, one in zip(fitted.reports, series.values(), strict=True):
        assert len(report.levels) == 3
        truth = amplitude_at(one, report.row["reference_time"])
        for level, fluence in zip(report.levels, one.options.fluences, strict=True):
            own = one.fluence == fluence
            assert level.fluence == pytest.approx(fluence, rel=1e-3)
            assert level.n_pixels == own.sum()
            assert level.amplitude == pytest.approx(np.median(truth[own]), rel=0.05)
            assert level.gamma == pytest.approx(1.0, abs=0.05)


def test_tables(fitted):
    stats = Table.read(fitted.products["pfitstats.ecsv"])
    assert list(stats["detector"]) == list(DETECTORS)
    assert np.all(stats["n_fitted"] == np.prod(SHAPE))
    np.testing.assert_allclose(stats["noise"], 7.0, rtol=0.03)
    np.testing.assert_allclose(stats["held_out_spread"], 1, atol=0.06)
    assert np.all(stats["held_out_before"] > 50 * stats["held_out_error"])
    # the fit of few pixels is not free of bias: a tenth of what is corrected is far from it
    assert np.all(np.abs(stats["held_out_after"]) < 0.05 * stats["held_out_before"])
    assert stats.meta["pedigree"] == "INFLIGHT"
    darks = Table.read(fitted.products["pfitdarks.ecsv"])
    assert len(darks) == 2 * 13
    assert np.all(np.diff(darks["time"][:13]) > 0)
    assert list(darks["held_out"][:13]) == [False] * 11 + [True] * 2
    assert np.all(np.abs(darks["corrected"] - darks["level"]) < 0.03 * darks["raw"])


def test_reference_holds_the_fit(fitted, series):
    for detector, one in series.items():
        values = read_persistence(fitted.reference, detector=detector, instrument="NISP")
        curve = values["curve"]
        assert curve["kind"] == "table"
        np.testing.assert_allclose(curve["fluence"], one.options.fluences, rtol=1e-3)
        assert values["meta"]["flight_calibrated"] is True
        fluence = np.log(one.fluence)
        typical = np.exp(np.interp(fluence, np.log(curve["fluence"]), np.log(curve["amplitude"])))
        slope = np.interp(fluence, np.log(curve["fluence"]), curve["gamma"])
        time = values["reference_time"]
        with fits.open(fitted.products["pfitmaps.fits"]) as hdus:
            amplitude = hdus[f"{detector}.AMPLITUDE"].data
            error = hdus[f"{detector}.AMPLITUDE_ERR"].data
            gamma = hdus[f"{detector}.GAMMA"].data
            assert hdus[f"{detector}.AMPLITUDE"].header["REFTIME"] == pytest.approx(time)
        np.testing.assert_allclose(typical * values["amplitude_scale"], amplitude, rtol=2e-3)
        np.testing.assert_allclose(slope + values["gamma_offset"], gamma, rtol=2e-3)
        variance = values["covariance"]["amplitude"]
        np.testing.assert_allclose(typical * np.sqrt(variance), error, rtol=2e-3)


def test_reference_corrects_another_dark(fitted, darks, series, tmp_path):
    PowerLawPersistenceStep.call(
        str(darks[-1]),
        history=[str(darks[0].parent / "EUC_flat.fits")],
        persistence_file=str(fitted.reference),
        skip=False,
        save_results=True,
        output_dir=str(tmp_path),
    )
    corrected = tmp_path / f"{darks[-1].stem}_powerlaw_persistence.fits"
    for detector, one in series.items():
        raw, left = (
            fits.getdata(path, f"{detector}.SCI").astype(float) for path in (darks[-1], corrected)
        )
        removed = (raw - left) * ELECTRONS_PER_ADU
        truth = one.expected_persistence(one.delays[-1])
        assert removed.mean() == pytest.approx(truth.mean(), rel=0.05)
        bright = truth > 20
        np.testing.assert_allclose(removed[bright].mean(), truth[bright].mean(), rtol=0.03)


def test_jobs_change_nothing(fitted, darks, tmp_path):
    again = fit(darks[:-1], tmp_path, jobs=2)
    for detector in DETECTORS:
        first, second = (read_persistence(r.reference, detector=detector) for r in (fitted, again))
        np.testing.assert_array_equal(first["amplitude_scale"], second["amplitude_scale"])
        np.testing.assert_array_equal(first["gamma_offset"], second["gamma_offset"])


def test_figures(darks, tmp_path, monkeypatch):
    """Each figure is asked for once, with what belongs to it; test_persistence_figures draws."""
    drawn = {}
    for module, name in (
        (fit_figures, "plot_fit_maps"),
        (fit_figures, "plot_decay_curves"),
        (held_out_figures, "plot_held_out"),
        (held_out_figures, "plot_dark_level"),
    ):

        def draw(target, *args, name=name, **values):
            target.write_text(name)
            drawn[name] = (args, values)

        monkeypatch.setattr(module, name, draw)
    result = fit(darks[:6], tmp_path, detectors=["DET32"], save_figures=True, save_maps=False)
    contents = {n: p.read_text() for n, p in result.products.items() if n.endswith(".png")}
    assert contents == {
        "pfitfig_maps_DET32.png": "plot_fit_maps",
        "pfitfig_decay_DET32.png": "plot_decay_curves",
        "pfitfig_held_out_DET32.png": "plot_held_out",
        "pfitfig_dark_level.png": "plot_dark_level",
    }
    assert drawn["plot_fit_maps"][1]["amplitude"].shape == SHAPE
    assert len(drawn["plot_decay_curves"][0][0]) == 6
    assert drawn["plot_held_out"][0][0].n_held_out == 2
    assert list(drawn["plot_dark_level"][0][0]) == ["DET32"]


def test_nothing_is_saved_unless_asked(darks, in_tmp_path):
    result = FitPersistenceStep.call(
        [str(path) for path in darks[:6]],
        illumination=str(darks[0].parent / "EUC_flat.fits"),
        detectors=["DET11"],
        n_outputs=1,
    )
    assert result.products == {}
    assert result.reference is None
    assert len(result.detectors) == 1
    assert list(in_tmp_path.iterdir()) == []


def test_illumination_as_number(darks, series, tmp_path, caplog):
    """One level: amplitudes are in proportion to the charge below it, and stay above."""
    end = flat_end(series["DET11"])
    result = fit(
        darks[:6], tmp_path, detectors=["DET11"], illumination="60000", illumination_end=repr(end)
    )
    curve = read_persistence(result.reference, detector="DET11")["curve"]
    assert curve["kind"] == "table"
    assert list(curve["fluence"]) == [60000.0]
    assert "held out and not" not in caplog.text
    fit(darks[:5], tmp_path, detectors=["DET11"])
    assert "1 of 5 darks are held out and not 2" in caplog.text


def test_illumination_unknown(darks, tmp_path, caplog):
    result = fit(
        darks[:6],
        tmp_path,
        detectors=["DET11"],
        illumination=None,
        illumination_end="2025-05-05T00:00:00",  # MJD 60800.0
    )
    assert "the charge of the illumination is not known" in caplog.text
    values = read_persistence(result.reference, detector="DET11")
    assert values["curve"]["kind"] == "constant"
    assert np.isfinite(values["amplitude_scale"]).all()


def test_master_dark(darks, series, tmp_path):
    """With the level given, raw or without the offset, four darks are enough."""
    one = series["DET11"]
    time = one.options.readout.integration_time
    scales = []
    for offset in (1024, 0):
        master = one.dark_rate * time / ELECTRONS_PER_ADU + offset
        path = tmp_path / f"master_{offset}.fits"
        hdus = [fits.PrimaryHDU(), fits.ImageHDU(master.astype(np.float32), name="DET11")]
        fits.HDUList(hdus).writeto(path)
        result = fit(darks[:4], tmp_path, detectors=["DET11"], master_dark=str(path))
        with fits.open(result.products["pfitmaps.fits"]) as hdus:
            level, gamma = hdus["DET11.DARK"].data, hdus["DET11.GAMMA"].data
            scales.append(hdus["DET11.AMPLITUDE"].data)
        np.testing.assert_allclose(level, one.dark_rate, atol=1e-3)
        own = one.fluence == 1.2e5
        pull = (gamma - one.gamma)[own]
        assert abs(np.median(pull)) < 0.02
    np.testing.assert_allclose(*scales, atol=2e-3)


def test_bad_pixels_and_noise_map(darks, tmp_path):
    bad, noise = np.zeros(SHAPE, np.uint8), np.full(SHAPE, 3.6, np.float32)
    bad[5, 7], noise[9, 11] = 1, np.nan
    for name, image in (("bad", bad), ("noise", noise)):
        hdus = [fits.PrimaryHDU(), fits.ImageHDU(image, name="DET11")]
        fits.HDUList(hdus).writeto(tmp_path / f"{name}.fits")
    result = fit(
        darks[:6],
        tmp_path,
        detectors=["DET11"],
        bad_pixel_mask=str(tmp_path / "bad.fits"),
        noise_map=str(tmp_path / "noise.fits"),
    )
    values = read_persistence(result.reference, detector="DET11")
    missing = np.argwhere(np.isnan(values["amplitude_scale"])).tolist()
    assert missing == [[5, 7], [9, 11]]
    quality = fits.getdata(result.products["pfitmaps.fits"], "DET11.QUALITY")
    assert np.argwhere(quality == NOT_FITTED).tolist() == missing
    assert result.detectors["noise"][0] == pytest.approx(3.6 * ELECTRONS_PER_ADU)


def test_quality_planes(darks, tmp_path):
    """Factors above the limit are left out of the fit, and none by default."""

    def flag(hdus):
        hdus["DET11.CHI2"].data[8, 9], hdus["DET11.CHI2"].data[8, 10] = 200, 40

    (tmp_path / "changed").mkdir()
    paths = [*darks[:5], edit(darks[5], tmp_path / "changed", flag)]
    flat = str(darks[0].parent / "EUC_flat.fits")
    for quality, expected in (("none", [6, 6]), ("chi2", [5, 6]), ("auto", [5, 6])):
        result = fit(
            paths, tmp_path, illumination=flat, detectors=["DET11"], quality=quality, max_hits=0
        )
        points = fits.getdata(result.products["pfitmaps.fits"], "DET11.NPOINTS")
        assert list(points[8, 9:11]) == expected, quality
        assert np.all(points[:8] == 6)
    header = fits.getheader(result.products["pfitmaps.fits"], "DET11.QUALITY")
    assert (header["BIT1"], header["BIT4"]) == (NOT_FITTED, HIT_EXCLUDED)


def jwst_header(one, delay):
    """Header of an exposure of JWST that is read like the simulated darks."""
    readout = one.options.readout
    return fits.Header(
        [
            ("TELESCOP", "JWST"),
            ("INSTRUME", "NIRCAM"),
            ("DETECTOR", "NRCA1"),
            ("EXPSTART", flat_end(one) + delay / 86400),
            ("NINTS", 1),
            ("NGROUPS", readout.n_groups),
            ("NFRAMES", readout.n_frames),
            ("GROUPGAP", readout.n_drops),
            ("TFRAME", readout.frame_time),
            ("NRSTSTRT", 0),
            ("NRESETS", 0),
            ("DRPFRMS1", 0),
            ("DRPFRMS3", 0),
            ("SUBSTRT1", 101),
            ("SUBSTRT2", 201),
        ]
    )


def write_jwst(folder, one, layout):
    """Write darks as ramps, rates of integrations or rates, the third one hit in a pixel."""
    share = np.linspace(0, 1, one.options.readout.n_groups)[:, None, None]
    for i, (dark, delay) in enumerate(zip(one.darks, one.delays, strict=True)):
        rate = dark / one.options.readout.integration_time
        flags = np.zeros(rate.shape, np.uint32)
        flags[3, 4] = 4 if i == 2 else 0  # JUMP_DET
        if layout == "ramp":
            data = (5000 + share * dark)[np.newaxis].astype(np.float32)
            groupdq = np.zeros(data.shape, np.uint8)
            groupdq[0, 1] = flags
            planes = {"GROUPDQ": groupdq, "PIXELDQ": np.zeros(rate.shape, np.uint32)}
        elif layout == "rateints":
            data, planes = rate[np.newaxis], {"DQ": flags[np.newaxis]}
        else:
            flags //= 4  # DO_NOT_USE
            data, planes = rate, {"DQ": flags}
        hdus = [fits.PrimaryHDU(header=jwst_header(one, delay)), fits.ImageHDU(data, name="SCI")]
        hdus += [fits.ImageHDU(plane, name=name) for name, plane in planes.items()]
        fits.HDUList(hdus).writeto(folder / f"jw_{i:02d}_{layout}.fits")
    return sorted(folder.glob("jw*.fits"))


@pytest.mark.parametrize("layout", ["ramp", "rateints", "rate"])
def test_files_of_jwst(layout, series, tmp_path):
    """The same darks give the same fit whatever file they are in; windows are put in place."""
    one = series["DET11"]
    paths = write_jwst(tmp_path, one, layout)
    end = flat_end(one)
    result = FitPersistenceStep.call(
        [str(path) for path in reversed(paths)],
        illumination="60000",
        illumination_end=repr(end),
        gain=1.0,
        noise=7.0,
        shrink="detector",
        save_results=True,
        output_dir=str(tmp_path / "out"),
    )
    flagged = np.zeros(one.darks.shape, bool)
    flagged[2, 3, 4] = True
    expected = fit_dark_series(
        np.where(flagged, np.nan, one.darks), times_of(one), variance=49.0, options=FitOptions()
    )
    with fits.open(result.products["pfitmaps.fits"]) as hdus:
        assert hdus["NPOINTS"].data[3, 4] == one.options.n_darks - 1
        for name, image in (("AMPLITUDE", expected.amplitude), ("GAMMA", expected.gamma)):
            np.testing.assert_allclose(hdus[name].data, image, rtol=2e-3, atol=2e-4)
    ny, nx = SHAPE
    values = read_persistence(
        result.reference,
        detector="NRCA1",
        instrument="NIRCAM",
        window=(slice(200, 200 + ny), slice(100, 100 + nx)),
    )
    scale = values["amplitude_scale"]
    np.testing.assert_allclose(
        scale * values["curve"]["amplitude"], expected.amplitude, rtol=2e-3, atol=2e-4
    )


def test_companions_of_rates_are_rates(series, tmp_path):
    one = series["DET11"]
    paths = write_jwst(tmp_path, one, "rate")
    time = one.options.readout.integration_time
    fits.PrimaryHDU(one.dark_rate.astype(np.float32)).writeto(tmp_path / "master.fits")
    fits.PrimaryHDU(np.full(SHAPE, 7 / time, np.float32)).writeto(tmp_path / "noise.fits")
    result = FitPersistenceStep.call(
        [str(path) for path in paths],
        illumination_end=repr(flat_end(one)),
        gain=1.0,
        master_dark=str(tmp_path / "master.fits"),
        noise_map=str(tmp_path / "noise.fits"),
        save_results=True,
        output_dir=str(tmp_path / "out"),
    )
    assert result.detectors["noise"][0] == pytest.approx(7.0)
    with fits.open(result.products["pfitmaps.fits"]) as hdus:
        np.testing.assert_allclose(hdus["DARK"].data, one.dark_rate, atol=1e-4)
        chi2 = hdus["CHI2"].data / (hdus["NPOINTS"].data - 2)
    assert np.median(chi2) == pytest.approx(1, abs=0.1)


def test_rates_of_several_integrations_are_refused(series, tmp_path):
    [path, *_] = write_jwst(tmp_path, series["DET11"], "rate")
    fits.setval(path, "NINTS", value=2)
    with pytest.raises(CrstepsInputError, match=r"mean of 2 integrations.*give the rateints"):
        FitPersistenceStep.call([str(path)], illumination_end="60800")


def test_plain_images(tmp_path):
    """Images of charge without noise to speak of: the closed form of a power law comes back."""
    gamma, amplitude, level = 0.8, np.geomspace(0.5, 20, 600).reshape(20, 30), 0.05
    rng = np.random.default_rng(5)
    for i, start in enumerate(50 + 400.0 * np.arange(9)):
        s = 1 - gamma
        charge = amplitude * 1000**gamma * ((start + 100) ** s - start**s) / s + 100 * level
        data = rng.normal(charge, 0.1).astype(np.float32)
        header = fits.Header([("MJD-OBS", 60000 + start / 86400), ("EXPTIME", 100.0), ("GAIN", 1)])
        fits.PrimaryHDU(data, header).writeto(tmp_path / f"dark{i}.fits")
    result = FitPersistenceStep.call(
        [str(path) for path in sorted(tmp_path.glob("dark*.fits"))],
        illumination_end="60000.0",
        photon_noise=0.0,
        noise=0.1,
        shrink="none",
        save_results=True,
        output_dir=str(tmp_path / "out"),
    )
    with fits.open(result.products["pfitmaps.fits"]) as hdus:
        time = hdus["AMPLITUDE"].header["REFTIME"]
        scaled = amplitude * (time / 1000) ** -gamma
        np.testing.assert_allclose(hdus["AMPLITUDE"].data, scaled, rtol=0.02)
        np.testing.assert_allclose(hdus["GAMMA"].data, gamma, atol=0.03)
        np.testing.assert_allclose(np.median(hdus["DARK"].data), level, atol=1e-3)


def edit(path, folder, change):
    """Copy of a file with its HDUs changed."""
    with fits.open(path) as hdus:
        change(hdus)
        hdus.writeto(folder / path.name)
    return folder / path.name


def remove_times(hdus):
    for keyword in ("MJD-OBS", "DATE-OBS"):
        hdus[0].header.remove(keyword, ignore_missing=True)


def make_blank(hdus):
    for i in (1, 3):
        hdus[i].data = np.full(SHAPE, np.nan, np.float32)


MISTAKES = {
    "too few": (lambda d, f: d[:3], "not fitted to 3 darks: give at least 4"),
    "one only": (lambda d, f: d[:1], "not fitted to 1 dark: give at least 4"),
    "twice": (lambda d, f: [*d[:5], d[0]], "is given twice"),
    "no time": (
        lambda d, f: [*d[:5], edit(d[5], f, remove_times)],
        "does not say when it began",
    ),
    "other detectors": (
        lambda d, f: [*d[:5], edit(d[5], f, lambda hdus: [hdus.pop(1) for _ in range(2)])],
        "has DET32 and not DET11 as .*: give darks of the same detectors",
    ),
    "other shape": (
        lambda d, f: [
            *d[:5],
            edit(d[5], f, lambda hdus: [setattr(h, "data", h.data[:40]) for h in hdus[1:]]),
        ],
        r"DET11 has the shape \(40, 48\) in .* and \(60, 48\)",
    ),
    "before the end": (
        lambda d, f: [
            *d[:5],
            edit(d[5], f, lambda hdus: hdus[0].header.set("MJD-OBS", FLAT_START)),
        ],
        "before the illumination ends",
    ),
    "at the same time": (
        lambda d, f: [
            *d[:5],
            edit(d[5], f, lambda hdus: hdus[0].header.set("MJD-OBS", fits.getval(d[4], "MJD-OBS"))),
        ],
        "begins before .* ends",
    ),
    "blank": (
        lambda d, f: [edit(path, f, make_blank) for path in d[:6]],
        "No detector can be fitted; DET11: no pixel has 4 usable darks: check the darks.",
    ),
    "no file": (lambda d, f: [*d[:5], f / "none.fits"], "There is no file .*none.fits"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_in_the_darks(mistake, darks, tmp_path):
    make, message = MISTAKES[mistake]
    (tmp_path / "changed").mkdir()
    paths = make(darks, tmp_path / "changed")
    with pytest.raises(CrstepsInputError, match=message):
        FitPersistenceStep.call(
            [str(path) for path in paths],
            illumination=str(darks[0].parent / "EUC_flat.fits"),
            n_outputs=4,
            save_results=True,
            output_dir=str(tmp_path / "out"),
        )
    assert not list((tmp_path / "out").iterdir() if (tmp_path / "out").exists() else [])


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"illumination": None}, "illumination_end is not set"),
        ({"illumination": "-5", "illumination_end": "60800"}, "no charge"),
        ({"illumination_end": "yesterday"}, "neither a modified Julian date nor"),
        ({"illumination_end": "70000"}, "before the illumination ends"),
        ({"illumination": "none.fits"}, "There is no file none.fits"),
        ({"gamma_min": 2.0, "gamma_max": 1.0}, "gamma_min = 2 is not below gamma_max = 1"),
        ({"fluence_min": 10.0, "fluence_max": 5.0}, "fluence_min = 10 is not below"),
        ({"detectors": ["DET44"]}, "has no DET44; choose from DET11, DET32"),
        ({"n_outputs": 99}, "99 outputs cannot share 48 columns"),
        ({"master_dark": "none.fits"}, "There is no file none.fits: check the parameter"),
        ({"fluence_min": 1e9}, "No detector can be fitted; DET11: no pixel was fitted whose"),
    ],
)
def test_mistakes_in_the_parameters(parameters, message, darks, tmp_path):
    with pytest.raises(CrstepsInputError, match=message):
        fit(darks[:5], tmp_path, **parameters)
    assert list(tmp_path.iterdir()) == []


def test_illumination_of_another_shape(darks, tmp_path):
    flat = edit(
        darks[0].parent / "EUC_flat.fits",
        tmp_path,
        lambda hdus: [setattr(h, "data", h.data[:40]) for h in hdus[1:]],
    )
    with pytest.raises(CrstepsInputError, match=r"illumination: DET11 has the shape \(40, 48\)"):
        fit(darks[:5], tmp_path / "out", illumination=str(flat))


def test_folder_that_cannot_be_written(darks, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CrstepsInputError, match="is a file; give a folder"):
        fit(darks[:5], tmp_path / "file")


def test_one_detector_of_two_is_blank(darks, tmp_path, caplog):
    def blank(hdus):
        hdus[1].data = np.full(SHAPE, np.nan, np.float32)

    (tmp_path / "changed").mkdir()
    paths = [edit(path, tmp_path / "changed", blank) for path in darks[:6]]
    result = fit(paths, tmp_path / "out", illumination=str(darks[0].parent / "EUC_flat.fits"))
    assert "DET11 is skipped: no pixel has 4 usable darks" in caplog.text
    assert list(result.detectors["n_fitted"]) == [0, np.prod(SHAPE)]
    with pytest.raises(CrstepsInputError, match="no entry under detectors for DET11"):
        read_persistence(result.reference, detector="DET11")
    assert read_persistence(result.reference, detector="DET32")["detector"] == "DET32"


def test_strun_with_an_association(darks, in_tmp_path, user_environment):
    members = [{"expname": str(path), "exptype": "science"} for path in darks[:6]]
    (in_tmp_path / "f007_asn.json").write_text(
        json.dumps({"asn_id": "a1", "products": [{"name": "f007", "members": members}]})
    )
    flat = darks[0].parent / "EUC_flat.fits"
    command = f"strun fit_powerlaw_persistence f007_asn.json --illumination={flat} --jobs=2"
    finished = subprocess.run(
        [*command.split(), "--n_outputs=4", "--output_dir=out", "--save_maps=false"],
        env=user_environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert finished.returncode == 0, finished.stderr
    names = {path.name for path in (in_tmp_path / "out").iterdir()}
    assert names == {f"f007_{name}" for name in ("fit_powerlaw_persistence.asdf", *TABLES)}
    for detector in DETECTORS:
        assert f"- INFO - {detector}: 2,880 of 2,880 pixels fitted" in finished.stderr
