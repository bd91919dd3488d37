"""PowerLawPersistenceStep on files of NISP, against simulated darks whose persistence is known."""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from crsteps.datamodels.persistence_history import read_histories
from crsteps.datamodels.persistence_reference import write_persistence
from crsteps.detector.macc import PHOTOMETRIC
from crsteps.detector.nisp import ELECTRONS_PER_ADU
from crsteps.errors import CrstepsInputError
from crsteps.persistence.products_step import PersistenceResult
from crsteps.persistence.step import PowerLawPersistenceStep
from crsteps.simulation.nisp_files import write_nisp_file
from crsteps.simulation.persistence_exposures import (
    FULL_WELL,
    LEVELS,
    Afterglow,
    draw_memory,
    expected_rate,
    simulate_stimulus_fluence,
    slew_dark_with_persistence,
)
from crsteps.simulation.slew_darks import SlewDarkOptions

DETECTORS = ("DET11", "DET32")
SHAPE = (96, 96)
OPTIONS = SlewDarkOptions(
    shape=SHAPE, border=0, n_outputs=4, persistence=False, gain=1 / ELECTRONS_PER_ADU
)
START = datetime(2025, 6, 1, tzinfo=UTC)
SPACING = timedelta(seconds=150)
DURATION = PHOTOMETRIC.exposure_time
ALIAS = "powerlaw_persistence"
NAMES = ("EUC_1.fits", "EUC_2.fits", "EUC_dark.fits")


def reference(path, memories, **changes):
    """Write the reference that knows the pixels."""
    fluence, amplitude = np.array(LEVELS).T
    entries = {
        detector: {
            "curve": {
                "kind": "table",
                "fluence": fluence,
                "amplitude": amplitude,
                "gamma": np.ones(len(fluence)),
                "interpolation": "linear",
            },
            "reference_time": 1000.0,
            "amplitude_scale": memory.scale,
            "gamma_offset": memory.gamma - 1.0,
            "saturation_level": FULL_WELL,
            "forgetting_rate": 1e-3,
            "systematic": 0.05,
            **changes,
        }
        for detector, memory in memories.items()
    }
    meta = {"instruments": ["NISP"], "description": "of a test", "pedigree": "SIMULATION"}
    write_persistence(path, entries, meta={**meta, "flight_calibrated": False})


def stimulus_image(stimulus):
    """Return an image in ADU with the charge of a stimulus, full pixels at the end of the range."""
    scale = PHOTOMETRIC.integration_time / DURATION / ELECTRONS_PER_ADU
    image = np.where(np.isfinite(stimulus.measured), 1024 + scale * stimulus.measured, 65535)
    return np.clip(np.round(image), 0, 65535).astype(np.uint16)


@pytest.fixture(scope="session")
def simulated(tmp_path_factory):
    """Simulate two pointings and a dark after them; the folder, and the truth by detector."""
    folder = tmp_path_factory.mktemp("nisp")
    memories, truth, darks, images = {}, {}, {}, [{}, {}]
    for seed, detector in enumerate(DETECTORS):
        memory = draw_memory(SHAPE, seed=seed, amplitude_scatter=0.3, gamma_scatter=0.1)
        glows = []
        for number in range(2):
            stimulus = simulate_stimulus_fluence(SHAPE, seed=10 * seed + number, sky=100.0)
            # Many sources on few pixels.
            fluence = np.clip(stimulus.fluence * 20, 0, FULL_WELL)
            measured = np.where(fluence < FULL_WELL, fluence, np.inf)
            images[number][detector] = stimulus_image(
                type(stimulus)(fluence, measured.astype(np.float32))
            )
            delay = (2 - number) * SPACING.total_seconds() - DURATION
            glows.append(Afterglow(memory.amplitude(fluence), memory.gamma, delay))
        dark = slew_dark_with_persistence(glows, OPTIONS, seed=seed, detector=detector)
        memories[detector], darks[detector] = memory, dark
        clean = slew_dark_with_persistence([], OPTIONS, seed=seed, detector=detector)
        truth[detector] = expected_rate(glows, PHOTOMETRIC), clean.data
    write_nisp_file(folder, darks, name=NAMES[2], start=START + 2 * SPACING)
    for number in range(2):
        write_nisp_file(folder, darks, name=NAMES[number], start=START + number * SPACING)
        with fits.open(folder / NAMES[number], mode="update") as hdus:
            for detector in DETECTORS:
                hdus[f"{detector}.SCI"].data = images[number][detector]
    reference(folder / "reference.asdf", memories)
    return folder, truth


@pytest.fixture
def night(simulated, in_tmp_path):
    """Copy the files into the current folder; return the truth."""
    folder, truth = simulated
    for path in folder.iterdir():
        shutil.copy(path, in_tmp_path)
    return truth


def call(given=NAMES[2], **parameters):
    """Call the step with the reference of the simulation and both earlier exposures."""
    defaults = {"persistence_file": "reference.asdf", "history": list(NAMES[:2])}
    return PowerLawPersistenceStep.call(given, **{**defaults, **parameters})


def test_persistence_is_taken_off_darks(night):
    """Of the pixels above 0.01 e-/s at least 90 % are below it afterwards: here, almost all."""
    result = call(save_results=True, save_persistence=True)
    assert isinstance(result, PersistenceResult)
    seconds = PHOTOMETRIC.integration_time
    for detector in DETECTORS:
        true, clean = night[detector]
        with fits.open("EUC_dark_persistence.fits") as product:
            predicted, error = (product[f"{detector}.{n}"].data for n in ("SCI", "ERR"))
            flags = product[f"{detector}.DQ"].data
        corrected = fits.getdata(f"EUC_dark_{ALIAS}.fits", f"{detector}.SCI")
        raw = fits.getdata(NAMES[2], f"{detector}.SCI").astype(float)
        # What was subtracted is what was predicted, of the pixels that are not saturated.
        subtracted = (raw - corrected) * ELECTRONS_PER_ADU / seconds
        used = raw < 65535
        np.testing.assert_allclose(subtracted[used], predicted[used], atol=2e-5, rtol=1e-4)
        before = (true > 0.01) & used
        assert before.sum() > 500
        after = np.abs(true - subtracted)[used] > 0.01
        assert after.sum() <= 0.1 * before.sum()
        np.testing.assert_array_equal((flags & 32 > 0)[used], (predicted > 0.01)[used])
        np.testing.assert_allclose(error[used], 0.05 * predicted[used], rtol=1e-3, atol=1e-7)
        # And the image is that without persistence, but for the photon noise of it.
        left = (corrected - clean)[before] * ELECTRONS_PER_ADU
        noise = np.sqrt(true[before] * seconds + 2 * ELECTRONS_PER_ADU**2 / 12)
        assert 0.9 < np.std(left / noise) < 1.1
        assert abs(np.mean(left / noise)) < 5 / np.sqrt(before.sum())


def test_everything_else_is_kept(night, digests):
    before = digests()
    call(save_results=True, output_dir="out")
    assert digests() == before
    with fits.open(NAMES[2]) as raw, fits.open(f"out/EUC_dark_{ALIAS}.fits") as corrected:
        assert [hdu.name for hdu in corrected] == [hdu.name for hdu in raw]
        for name in DETECTORS:
            plane = f"{name}.CHI2"
            np.testing.assert_array_equal(corrected[plane].data, raw[plane].data)
            assert corrected[plane].header == raw[plane].header
            header = corrected[f"{name}.SCI"].header
            assert header["BUNIT"] == "adu"
            assert header["SATURATE"] == 65535
            assert header["PPSTATUS"] == "COMPLETE"
            assert header["PPNEARL"] == 2
            assert header["PPB0010"] > header["PPA0010"] > 0
        header = corrected[0].header
        assert header["OBS_ID"] == raw[0].header["OBS_ID"]
        assert header["S_POWERL"] == "COMPLETE"
        text = "".join(header["HISTORY"])
        assert "persistence reference reference.asdf (parameter, sha256" in text
        assert "input EUC_dark.fits" in text


def test_products_do_not_depend_on_the_number_of_jobs(night, digests):
    for jobs in (1, 2):
        call(save_results=True, save_persistence=True, jobs=jobs, output_dir=f"o{jobs}")
    assert len(digests("o1")) == 2
    assert digests("o1") == digests("o2")


def test_one_after_the_other_is_all_at_once(night):
    """The exposures in any order with one history file, and each by itself."""
    together = call(
        [NAMES[2], NAMES[0], NAMES[1]], history=None, save_results=True, output_dir="together"
    )
    statuses = [(d.source, d.status) for d in together.detectors[::2]]
    assert statuses == [("EUC_1", "SKIPPED"), ("EUC_2", "COMPLETE"), ("EUC_dark", "COMPLETE")]
    for name in NAMES:
        call(name, history=None, history_file="h.asdf", save_results=True, output_dir="alone")
    for name in NAMES:
        product = f"{Path(name).stem}_{ALIAS}.fits"
        for detector in DETECTORS:
            np.testing.assert_array_equal(
                fits.getdata(f"alone/{product}", f"{detector}.SCI"),
                fits.getdata(f"together/{product}", f"{detector}.SCI"),
            )
    stored = read_histories("h.asdf")
    assert sorted(stored) == sorted(DETECTORS)
    assert [s.source for s in stored["DET32"].stimuli] == ["EUC_1", "EUC_2", "EUC_dark"]


def test_histories_that_do_not_fit_into_memory_are_put_aside(night, monkeypatch):
    """A limit of nothing changes nothing."""
    wanted = call(save_results=True).products[0]
    wanted = {name: fits.getdata(wanted, f"{name}.SCI") for name in DETECTORS}
    monkeypatch.setattr("crsteps.persistence.history_step._MOST_HELD", 0)
    found = call(save_results=True, jobs=2, history_file="h.asdf").products[0]
    for name in DETECTORS:
        np.testing.assert_array_equal(fits.getdata(found, f"{name}.SCI"), wanted[name])
    assert [len(h.stimuli) for h in read_histories("h.asdf").values()] == [3, 3]


def test_without_earlier_exposures_it_is_a_copy(night, caplog):
    result = call(history=None, save_results=True, save_persistence=True, save_figures=True)
    assert "EUC_dark is skipped, the data are unchanged: no earlier exposure" in caplog.text
    assert {detector.status for detector in result.detectors} == {"SKIPPED"}
    assert [path.name for path in result.products] == [f"EUC_dark_{ALIAS}.fits"]
    with fits.open(NAMES[2]) as raw, fits.open(result.products[0]) as copy:
        assert copy[0].header["S_POWERL"] == "SKIPPED"
        for mine, theirs in zip(copy[1:], raw[1:], strict=True):
            np.testing.assert_array_equal(mine.data, theirs.data)
            assert mine.header == theirs.header


def test_out_of_order_is_refused(night, digests):
    call(history=None, history_file="h.asdf")
    before = digests()
    with pytest.raises(CrstepsInputError, match=r"EUC_1 ended before EUC_dark began"):
        call(NAMES[0], history=None, history_file="h.asdf", save_results=True)
    assert digests() == before


def test_figures(night):
    result = call(save_results=True, save_figures=True, output_dir="out")
    assert len(result.products) == 3
    for name in DETECTORS:
        assert Path(f"out/EUC_dark_persistence_image_{name}.png").stat().st_size > 10000


def test_a_corrected_file_is_not_corrected_again(night, digests):
    call(save_results=True)
    before = digests()
    with pytest.raises(CrstepsInputError, match="has been corrected by powerlaw_persistence"):
        call(f"EUC_dark_{ALIAS}.fits", save_results=True, output_dir="out")
    assert digests() == before


def test_the_example_that_is_shipped(night, caplog):
    result = call(persistence_file=None, save_results=True)
    assert "persistence-nisp.asdf is an example and no calibration" in caplog.text
    assert {detector.status for detector in result.detectors} == {"COMPLETE"}
    assert result.detectors[0].measurements["fraction_before_0.01"] > 0


def test_an_exposure_that_fails_leaves_nothing(night, digests, monkeypatch):
    """Neither products nor a changed history, whenever it happens."""
    call(NAMES[0], history=None, history_file="h.asdf")
    with fits.open(NAMES[2], mode="update") as hdus:
        hdus["DET32.SCI"].data = np.zeros((90, 96), np.uint16)
        hdus["DET32.CHI2"].data = np.zeros((90, 96), np.uint8)
    before = digests()
    with pytest.raises(CrstepsInputError, match=r"images of DET32 of shape \(96, 96\)"):
        call(history_file="h.asdf", save_results=True)
    assert digests() == before
