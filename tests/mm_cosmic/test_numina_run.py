"""A file of numina-crmasks from the command to its products, and its masks used again."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from matplotlib.figure import Figure
from scipy import ndimage

from crsteps.cli import main
from crsteps.errors import CrstepsInputError
from crsteps.framework.parameters import own_parameters
from crsteps.mm_cosmic.interactive_step import Session
from crsteps.mm_cosmic.step import MMCosmicStep
from crsteps.simulation.fibre_spectrograph import equal_options, simulate_fibre_exposures

EXAMPLE = Path(__file__).with_name("data") / "params_example1.yaml"
NUMINA_EXTENSIONS = [
    *("PRIMARY", "MEDIANCR", "MEANCRT", "CRMASK1", "CRMASK2", "CRMASK3", "MEANCR", "AUXCLEAN")
]
COMBINATIONS = ("mean", "median", "min", "mediancr", "meancrt", "meancr", "meancr2")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with the example file, and simulated images of the names it lists."""
    folder = tmp_path_factory.mktemp("numina")
    (folder / EXAMPLE.name).write_text(EXAMPLE.read_text())
    options = equal_options(shape=(48, 64), n_crossings=2)
    for number, image in enumerate(simulate_fibre_exposures(options, seed=2).data, start=1):
        fits.writeto(folder / f"fake_{number}a.fits", image)
    return folder


@pytest.fixture(scope="module")
def products(folder):
    """Run the file unchanged, as its user would, and return the folder of products."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(["run", EXAMPLE.name, "--output-dir", "out"]) == 0
    return folder / "out"


def test_products_are_those_of_numina(products):
    names = {path.name for path in products.iterdir()}
    assert {f"fake_combined_{name}.fits" for name in COMBINATIONS} <= names
    assert {"fake_diagnostic_histogram2d.png", "fake_diagnostic_mediancr.png"} <= names
    with fits.open(products / "fake_crmasks.fits") as masks:
        assert [hdu.name for hdu in masks][: len(NUMINA_EXTENSIONS)] == NUMINA_EXTENSIONS
        assert masks["AUXCLEAN"].data.dtype == np.dtype(">f4")
        assert masks[0].header["CRMETHOD"] == "mm_pycosmic"
        assert masks["MEDIANCR"].data.sum() > 20
        codes = masks["CODES"].data
        np.testing.assert_array_equal(codes > 0, masks["MEDIANCR"].data > 0)
        history = str(masks[0].header["HISTORY"])
    assert "mm_boundary_fit = spline" in history
    assert "pc_rlim = [1.2, 1.2]" in history
    assert "la_" not in history  # of a detector that was not used
    assert "jobs" not in history
    tables = [Table.read(path) for path in products.glob("fake_mediancr_*.csv")]
    assert tables
    rows = [(y, x, code) for table in tables for _, x, y, code in table.iterrows()]
    assert len(rows) == np.count_nonzero(codes)
    assert all(codes[y - 1, x - 1] == code for y, x, code in rows)


def test_flagged_pixels_take_the_minimum(folder, products):
    lowest = np.min([fits.getdata(folder / f"fake_{i}a.fits") for i in (1, 2, 3)], axis=0)
    flagged = fits.getdata(products / "fake_crmasks.fits", "MEDIANCR") > 0
    image = fits.getdata(products / "fake_combined_mediancr.fits")
    np.testing.assert_allclose(image[flagged], lowest[flagged], rtol=1e-6)


def test_masks_are_used_again(folder, products, monkeypatch):
    """With the masks alone, the combined images are those of the run that made them."""
    monkeypatch.chdir(folder)
    again = ["--param", "crmasks=out/fake_crmasks.fits", "--param", "save_diagnostics=false"]
    assert main(["run", EXAMPLE.name, "--output-dir", "again", *again]) == 0
    for name in ("mediancr", "meancr2"):
        one, two = (
            fits.getdata(f"{where}/fake_combined_{name}.fits") for where in ("out", "again")
        )
        np.testing.assert_array_equal(one, two)


def test_masks_that_cannot_be_used_are_refused(folder, products, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(folder)
    images = [f"fake_{i}a.fits" for i in (1, 2, 3)]
    fits.writeto(tmp_path / "fourth.fits", fits.getdata(images[0]) + 1)
    before = (products / "fake_crmasks.fits").read_bytes()
    command = ["run", EXAMPLE.name, "--output-dir", "out", "--param"]
    assert main([*command, "crmasks=out/fake_crmasks.fits"]) == 1
    assert "would replace the input" in capsys.readouterr().err
    assert (products / "fake_crmasks.fits").read_bytes() == before
    with pytest.raises(CrstepsInputError, match="has no mask CRMASK4"):
        MMCosmicStep.call(
            [*images, tmp_path / "fourth.fits"],
            gain=1.0,
            rnoise=3.4,
            crmasks=str(products / "fake_crmasks.fits"),
        )
    without = tmp_path / "masks.fits"
    with fits.open(products / "fake_crmasks.fits") as masks:
        del masks["AUXCLEAN"]
        masks.writeto(without)
    with pytest.raises(CrstepsInputError, match="no image AUXCLEAN"):
        MMCosmicStep.call(images, gain=1.0, rnoise=3.4, crmasks=str(without), use_auxmedian=True)


@pytest.mark.parametrize("limit", ["analytic", "spline"])
def test_questions_in_a_run(folder, monkeypatch, limit):
    """The boundary is fitted again as answered, and refused features are not masked."""
    monkeypatch.chdir(folder)
    answers = {
        "spline": ["f", "", "", "3", "", "", "", "c", *"nyn", "a"],
        "analytic": ["f", "50", "", "c", *"nyn", "a"],
    }[limit]
    drawn = []

    def show(draw, keys, title):
        figure = Figure(figsize=(12, 7))
        draw(figure)
        drawn.append(len(figure.axes))

    session = Session(lambda prompt: answers.pop(0), show)
    monkeypatch.setattr("crsteps.mm_cosmic.step.open_session", lambda step: session)
    paths, noise = [f"fake_{i}a.fits" for i in (1, 2, 3)], {"gain": 1.0, "rnoise": 3.4}
    asked = MMCosmicStep.call(
        paths, **noise, mm_boundary_fit=limit, interactive=True, verify_cr=True
    )
    assert not answers
    assert all(drawn)
    monkeypatch.setattr("crsteps.mm_cosmic.step.open_session", lambda step: None)
    changed = {"mm_knots_splfit": 3} if limit == "spline" else {"mm_false_pixels": 50.0}
    plain = MMCosmicStep.call(paths, **noise, mm_boundary_fit=limit, **changed)
    labels, n_features = ndimage.label(plain.mediancr, np.ones((3, 3)))
    assert n_features >= 4
    np.testing.assert_array_equal(asked.mediancr, np.isin(labels, [0, 1, 3], invert=True))


def test_exit_at_the_prompt_ends_the_run(folder, monkeypatch, tmp_path):
    monkeypatch.chdir(folder)
    session = Session(lambda prompt: "x", lambda draw, keys, title: None)
    monkeypatch.setattr("crsteps.mm_cosmic.step.open_session", lambda step: session)
    with pytest.raises(CrstepsInputError, match="ended at its prompt: nothing was written"):
        MMCosmicStep.call(
            [f"fake_{i}a.fits" for i in (1, 2, 3)],
            gain=1.0,
            rnoise=3.4,
            interactive=True,
            save_results=True,
            output_dir=str(tmp_path),
        )
    assert not list(tmp_path.iterdir())


def test_the_translation_is_a_parameter_file(folder, monkeypatch, capsys):
    """It names the images to give; stpipe loads it, and what it exports is the same again."""
    monkeypatch.chdir(folder)
    assert main(["params", "validate", EXAMPLE.name]) == 0
    assert main(["params", "show", EXAMPLE.name]) == 0
    assert "* crmethod = 'mm_pycosmic'" in capsys.readouterr().out
    assert main(["params", "to-asdf", EXAMPLE.name, "-o", "mine.asdf"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "mine.asdf"
    assert told[1].endswith("crsteps run mine.asdf fake_1a.fits fake_2a.fits fake_3a.fits")
    step = MMCosmicStep.from_config_file("mine.asdf")
    assert (step.gain, step.mm_seed, step.la_sigclip) == ([1.0], 123456, [5.0, 3.0])
    step.export_config("exported.asdf", include_metadata=True)
    again = MMCosmicStep.from_config_file("exported.asdf")
    assert own_parameters(again) == own_parameters(step)
    assert main(["params", "validate", "exported.asdf"]) == 0


def test_other_images_may_be_given(folder, products, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number in (1, 2, 3):
        (tmp_path / f"other_{number}.fits").write_bytes(
            (folder / f"fake_{number}a.fits").read_bytes()
        )
    few = ["--param", "combinations=median", "--param", "save_diagnostics=false"]
    assert main(["run", str(folder / EXAMPLE.name), "other_*.fits", *few]) == 0
    ours, first = (
        fits.getdata(f, "CRMASK2") for f in ("other_crmasks.fits", products / "fake_crmasks.fits")
    )
    np.testing.assert_array_equal(ours, first)


@pytest.mark.parametrize("gain_apply", [True, False])
def test_cleaned_median_is_in_electrons_on_request(folder, gain_apply, monkeypatch, tmp_path):
    monkeypatch.chdir(folder)
    result = MMCosmicStep.call(
        [f"fake_{i}a.fits" for i in (1, 2, 3)],
        gain=2.0,
        rnoise=3.4,
        crmethod="mm_lacosmic",
        la_gain_apply=gain_apply,
        save_results=True,
        save_combined=False,
        output_dir=str(tmp_path),
    )
    written = fits.getdata(tmp_path / "fake_crmasks.fits", "AUXCLEAN")
    factor = 2 if gain_apply else 1
    np.testing.assert_allclose(written, factor * result.auxiliary.median.cleaned, rtol=1e-6)
    header = fits.getheader(tmp_path / "fake_crmasks.fits")
    assert header["AUXGAIN"] == factor
