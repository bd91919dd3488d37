"""The script that draws slew darks for the documentation."""

import importlib.util
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


def test_the_figures_are_drawn(tmp_path, monkeypatch):
    path = Path(__file__).with_name("slew_dark_figures.py")
    spec = importlib.util.spec_from_file_location("slew_dark_figures", path)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    monkeypatch.setattr("sys.argv", ["slew_dark_figures.py", str(tmp_path)])
    script.main()
    for name in ("slew_dark_detector.png", "slew_dark_focal_plane.png"):
        assert (tmp_path / name).stat().st_size > 100_000
