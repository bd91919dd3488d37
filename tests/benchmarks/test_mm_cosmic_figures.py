"""The script that draws MM.Cosmic for the documentation."""

import importlib.util
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


def test_the_figures_are_drawn_and_small(tmp_path, monkeypatch):
    path = Path(__file__).with_name("mm_cosmic_figures.py")
    spec = importlib.util.spec_from_file_location("mm_cosmic_figures", path)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    monkeypatch.setattr("sys.argv", ["mm_cosmic_figures.py", str(tmp_path)])
    script.main()
    drawn = sorted(file.stem for file in tmp_path.glob("*.png"))
    names = ("diagnostic", "feature", "flux_factors", "null_model", "offsets", "spline")
    assert drawn == [f"mm_cosmic_{name}" for name in names]
    for file in tmp_path.glob("*.png"):
        assert 20_000 < file.stat().st_size < 150_000
