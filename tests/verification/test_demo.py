"""The demonstration: what it prints is what it wrote, and good."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from crsteps.verification.demo import run_demo

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """Run the demonstration on small exposures; return its folder and tables."""
    folder = tmp_path_factory.mktemp("demo")
    return folder, *run_demo(folder, shape=(256, 256))


def test_most_hits_are_found_and_few_others(demo):
    _, masks, *_ = demo
    assert len(masks) == 4
    assert np.all(masks["found"] > 0.85)
    assert np.all(masks["of the flagged right"] > 0.85)


def test_cleaned_images_are_nearly_as_good_as_without_cosmic_rays(demo):
    _, _, images, *_ = demo
    for row in images:
        assert row["meancr2"] < 1.1 * row["mean without cosmic rays"] < row["median"]


def test_tables_and_figures_are_in_the_folder(demo):
    folder, masks, *_ = demo
    written = Table.read(folder / "masks.ecsv")
    assert list(written["found"]) == list(masks["found"])
    for name in ("equal", "unequal"):
        products = folder / name / "products"
        for figure in ("exposure_mm_diagram.png", "cutouts.png"):
            assert (products / figure).stat().st_size > 10_000
        assert "1 false pixels expected" in (folder / name / "run.log").read_text()
        hit = fits.getval(products / "exposure_crmasks.fits", "NPMASKED", "MEDIANCR")
        assert hit > 0


def test_most_flicker_noise_is_removed(demo):
    folder, _, _, flicker, _ = demo
    background = flicker[list(flicker["pixels"]).index("background")]
    assert background["after [DN]"] < 0.75 * background["before [DN]"]
    assert (folder / "flicker" / "flicker_noise.png").stat().st_size > 10_000
    assert (folder / "flicker" / "ramp_scene_flicker_noise.fits").is_file()


def test_cosmic_rays_of_the_slew_dark_are_found_better_than_by_astroscrappy(demo):
    folder, *_, darks = demo
    assert list(darks["detector"]) == ["hybrid", "astroscrappy"]
    hybrid, peer = darks
    assert hybrid["precision"] > 0.9
    assert hybrid["recall"] > 0.9
    assert hybrid["F1"] > peer["F1"]
    for row in darks:
        (path,) = (folder / "slew_dark" / row["detector"]).glob("*_crstats.ecsv")
        whole = Table.read(path)[0]
        assert (whole["n_clusters"], whole["precision"]) == (row["hits"], row["precision"])
    log = (folder / "slew_dark" / "run.log").read_text(encoding="utf-8")
    assert "DET24: " in log
    figures = sorted(path.stem for path in (folder / "slew_dark" / "hybrid").glob("*.png"))
    names = ("DET11", "DET24", "DET33", "clusters", "distributions", "focal_plane")
    assert [figure.partition("_crfig_")[2] for figure in figures] == list(names)
