"""SlewDarkPipeline: persistence of earlier exposures taken off, then cosmic rays found."""

import json
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from crsteps import SlewDarkCosmicsStep, SlewDarkPipeline
from crsteps.datamodels.persistence_reference import write_persistence
from crsteps.detector.macc import PHOTOMETRIC
from crsteps.detector.nisp import ELECTRONS_PER_ADU
from crsteps.errors import CrstepsInputError
from crsteps.simulation.nisp_files import write_nisp_file
from crsteps.simulation.persistence_exposures import Afterglow, slew_dark_with_persistence
from crsteps.simulation.slew_darks import SlewDarkOptions

SHAPE = (128, 128)
OPTIONS = SlewDarkOptions(
    shape=SHAPE, border=0, n_outputs=4, rate=12.0, persistence=False, gain=1 / ELECTRONS_PER_ADU
)
DETECTORS = ("DET11", "DET32")
START = datetime(2025, 6, 1, tzinfo=UTC)
SPACING = timedelta(seconds=150)
AMPLITUDE, FLUENCE = 0.15, 1e5  # e-/s at 1000 s, e-; more is noisier than the dark by itself
JUMP_DET = 4
DARK, EARLIER = "EUC_dark.fits", "EUC_before.fits"


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    """Simulate a dark after an exposure of many small sources, and the same without it."""
    folder = tmp_path_factory.mktemp("slew_dark")
    fluence = np.zeros(SHAPE)
    rng = np.random.default_rng(5)
    for y, x in rng.integers(2, 124, (150, 2)):  # sources as sharp as cosmic rays
        fluence[y : y + 2, x : x + 2] = FLUENCE * rng.uniform(0.3, 1.0)
    delay = SPACING.total_seconds() - PHOTOMETRIC.exposure_time
    glow = Afterglow(AMPLITUDE * fluence / FLUENCE, np.ones(SHAPE), delay)
    darks, clean = (
        {
            n: slew_dark_with_persistence(g, OPTIONS, seed=i, detector=n)
            for i, n in enumerate(DETECTORS)
        }
        for g in ([glow], [])
    )
    write_nisp_file(folder, darks, name=DARK, start=START + SPACING)
    write_nisp_file(folder, clean, name="EUC_clean.fits", start=START + SPACING)
    write_nisp_file(folder, darks, name=EARLIER, start=START)
    scale = PHOTOMETRIC.integration_time / PHOTOMETRIC.exposure_time / ELECTRONS_PER_ADU
    with fits.open(folder / EARLIER, mode="update") as hdus:
        for name in DETECTORS:
            hdus[f"{name}.SCI"].data = np.round(1024 + scale * fluence).astype(np.uint16)
    entry = {
        "curve": {
            "kind": "linear",
            "amplitude": AMPLITUDE,
            "gamma": 1.0,
            "reference_fluence": FLUENCE,
        },
        "reference_time": 1000.0,
        "forgetting_rate": 0.01,
        "systematic": 0.05,
    }
    meta = {"instruments": ["NISP"], "description": "of a test", "pedigree": "SIMULATION"}
    write_persistence(
        folder / "reference.asdf", {"ANY": entry}, meta={**meta, "flight_calibrated": False}
    )
    return folder, {name: dark.truth for name, dark in clean.items()}


@pytest.fixture
def night(simulated, in_tmp_path):
    """Put links to the files into the current folder; return the pixels really hit."""
    folder, truth = simulated
    for path in folder.iterdir():
        (in_tmp_path / path.name).symlink_to(path)
    return truth


def call(given=DARK, *, given_history=True, **parameters):
    """Call the pipeline."""
    history = {"persistence_file": "reference.asdf", "history": [EARLIER]} if given_history else {}
    steps = {
        "powerlaw_persistence": {**history, **parameters},
        "slew_dark_cosmics": {"n_outputs": 4, "quality": "none"},
    }
    return SlewDarkPipeline.call(given, steps=steps, save_results=True, output_dir="out")


def masks(path="out/EUC_dark_crmask.fits"):
    """Return the pixels that were found hit, by detector."""
    return {name: (fits.getdata(path, f"{name}.DQ") & JUMP_DET) != 0 for name in DETECTORS}


def false_pixels(found, truth):
    """Return the number of pixels that were found and not hit, nor beside one that was."""
    return sum(int((found[name] & ~truth[name]).sum()) for name in DETECTORS)


def test_cosmic_rays_are_those_without_persistence(night):
    """Sharp sources of the exposure before are taken for cosmic rays, until they are subtracted."""
    SlewDarkCosmicsStep.call(DARK, n_outputs=4, quality="none", save_results=True)
    SlewDarkCosmicsStep.call("EUC_clean.fits", n_outputs=4, quality="none", save_results=True)
    raw, clean = masks("EUC_dark_crmask.fits"), masks("EUC_clean_crmask.fits")
    result = call()
    corrected = masks()
    wrong = [false_pixels(found, night) for found in (raw, clean, corrected)]
    assert wrong[0] > wrong[1] + 500
    assert wrong[2] < wrong[1] + 0.05 * (wrong[0] - wrong[1])
    recall = [
        sum((found[n] & night[n]).sum() for n in DETECTORS) / sum(t.sum() for t in night.values())
        for found in (clean, corrected)
    ]
    assert recall[1] > recall[0] - 0.05
    assert result.n_searched == 2


def test_products_are_named_after_the_dark(night):
    call()
    names = sorted(path.name for path in Path("out").iterdir())
    ends = ("crclean.fits", "crclusters.parquet", "crmask.fits", "crstats.ecsv")
    assert names == [f"EUC_dark_{end}" for end in ends]
    header = fits.getheader("out/EUC_dark_crclean.fits")
    assert header["S_POWERL"] == "COMPLETE"
    assert "powerlaw_persistence: persistence reference" in "".join(header["HISTORY"])
    assert fits.getval("out/EUC_dark_crmask.fits", "PPSTATUS", ext=1) == "COMPLETE"


def test_corrected_file_on_request(night):
    """It is what the cosmic rays were found in, and gives the same by itself."""
    call(save_results=True, save_persistence=True)
    assert Path("out/EUC_dark_persistence.fits").exists()
    corrected = "out/EUC_dark_powerlaw_persistence.fits"
    found = SlewDarkCosmicsStep.call(
        corrected,
        n_outputs=4,
        quality="none",
        persistence="out/EUC_dark_persistence.fits",
        save_results=True,
    )
    alone = masks(found.products["crmask.fits"])
    for name, mask in masks().items():
        np.testing.assert_array_equal(mask, alone[name])


@pytest.mark.parametrize("how", ["nothing given", "nothing before"])
def test_without_earlier_exposures_the_dark_is_searched_as_it_is(night, caplog, how):
    if how == "nothing given":
        call(given_history=False)
        assert "powerlaw_persistence is not run: no earlier exposures are given" in caplog.text
    else:
        call(given_history=False, history_file="h.asdf")
        assert "EUC_dark is skipped, the data are unchanged" in caplog.text
        assert Path("h.asdf").exists()
    found = masks()
    SlewDarkCosmicsStep.call(DARK, n_outputs=4, quality="none", save_results=True)
    for name, mask in masks("EUC_dark_crmask.fits").items():
        np.testing.assert_array_equal(mask, found[name])
    assert fits.getheader("out/EUC_dark_crclean.fits").get("S_POWERL") is None


def test_association_and_strun(night, user_environment):
    """The earlier exposure as a member of an association, from the command line."""
    members = [
        {"expname": DARK, "exptype": "science"},
        {"expname": EARLIER, "exptype": "persistence"},
    ]
    table = {"asn_type": "dark", "products": [{"name": "night", "members": members}]}
    Path("night.json").write_text(json.dumps(table))
    command = "strun slew_dark night.json --output_dir=asn --steps.slew_dark_cosmics.n_outputs=4"
    command += " --steps.slew_dark_cosmics.quality=none"
    command += " --steps.powerlaw_persistence.persistence_file=reference.asdf"
    run = subprocess.run(
        command.split(), env=user_environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    call()
    for name, mask in masks("asn/EUC_dark_crmask.fits").items():
        np.testing.assert_array_equal(mask, masks()[name])


def test_several_darks_are_for_the_command(night):
    with pytest.raises(CrstepsInputError, match=r"takes one dark, not 2: .*crsteps run"):
        SlewDarkPipeline.call([DARK, "EUC_clean.fits"])


def test_mistakes_leave_nothing(night):
    with pytest.raises(CrstepsInputError, match=r"no file none\.fits"):
        call(history=["none.fits"])
    assert not list(Path("out").iterdir())
