"""Real images of a CCD: the numbers of the documentation, and that its figures are made."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.real_data


@pytest.fixture(scope="module")
def script():
    """Return the module, which lies beside the other scripts and not in a package."""
    path = Path(__file__).with_name("real_ccd_dark.py")
    spec = importlib.util.spec_from_file_location("real_ccd_dark", path)
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, spec.name, module)  # for its dataclass
        spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def folder(script, real_data):
    """Return the folder of the real data."""
    if not (real_data / script.FOLDER / script.DARK).is_file():
        pytest.skip(f"no real dark: {real_data / script.FOLDER / script.DARK} does not exist")
    return real_data


@pytest.fixture(scope="module")
def found(script, folder):
    """Return the clusters of the dark and what was at their places before."""
    return script.compare(folder)


def test_the_dark_is_a_mean_from_which_outliers_were_left_out(script, found):
    number = script.exposures_in_mean(found.dark)
    assert set(np.unique(number)) == {3, 4, 5}
    assert 0.75 < np.mean(number == 5) < 0.8


def test_clusters_of_the_dark_are_hot_pixels(found):
    """A cosmic ray was not there a year before, spreads, and would have been left out."""
    clusters = found.clusters
    assert 900 < len(clusters) < 1200
    assert np.mean(clusters["n_pixels"] == 1) > 0.8
    assert np.mean(clusters["n_pixels"] > 3) < 0.01
    assert clusters["seen"].mean() > 0.55 > 30 * found.seen.mean()
    bright = clusters["peak"] > 100
    assert clusters["seen"][bright].mean() > 0.75
    # The charge of a hot pixel grows with time: a fifth in a fifth of the time.
    ratio = np.median(clusters["before"][bright] / clusters["peak"][bright])
    assert ratio == pytest.approx(0.2, abs=0.03)


def test_a_map_of_bad_pixels_removes_them(script, folder, found):
    left = script.count_without(folder, found.seen)
    assert left < 1.1 * np.sum(~found.clusters["seen"])


def test_cosmic_rays_of_the_exposures_are_those_that_mm_cosmic_finds(script, folder):
    statistics, cutouts = script.search_exposures(folder)
    whole = statistics[0]
    assert 25 < whole["n_clusters"] < 40
    assert whole["precision"] > 0.93
    assert whole["recall"] > 0.9
    # Muons at sea level: one per cm2 and minute; electrons set free by gamma rays besides.
    assert 1 / 60 < whole["hit_rate"] < 3 / 60
    assert np.median([c.n_pixels for c in cutouts]) > 2


def test_the_figures_are_made(script, folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["script", str(folder), "--figures", str(tmp_path)])
    script.main()
    assert "above 100 ADU: " in capsys.readouterr().out
    for name in ("sprat_dark.png", "sprat_cosmic_rays.png"):
        assert (tmp_path / name).stat().st_size > 20_000
