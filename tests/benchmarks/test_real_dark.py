"""A real dark of NIRSpec: 1/f noise falls towards the white noise, as the model says it must."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.real_data


@pytest.fixture(scope="module")
def script():
    """Return the module, which lies beside the other scripts and not in a package."""
    path = Path(__file__).with_name("real_dark.py")
    spec = importlib.util.spec_from_file_location("real_dark", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def dark(script, real_data):
    """Return differences of groups, usable pixels and clock."""
    if not (real_data / script.FILE).is_file():
        pytest.skip(f"no real dark: {real_data / script.FILE} does not exist")
    return script.read_dark(real_data)


def test_columns_of_a_spectrum_fall_towards_white_noise_and_not_below(script, dark):
    """Pixels held back, as under a spectrum; jwst's own functions leave more."""
    differences, usable, readout = dark
    held = script.held_back(readout.shape)
    left = {}
    for name, method in script.METHODS.items():
        cleaned = method(differences, usable & ~held, readout)
        left[name], white = script.column_scatter(cleaned, usable & held)
        assert left[name] > white
    assert left["none"] > 2.0 * white
    assert white < left["joint process"] < 1.45 * white
    assert left["joint process"] < 0.87 * left["jwst median"]
    assert left["joint process"] < 0.91 * left["jwst fft"]
    # In every single difference, too: white noise alone scatters by 3 % in 512 columns.
    cleaned = script.joint_process(differences, usable & ~held, readout)
    for image, before, used in zip(cleaned, differences, usable & held, strict=True):
        columns, white = script.column_scatter(image[None], used[None])
        assert white < columns < 0.8 * script.column_scatter(before[None], used[None])[0]


def test_columns_of_the_background_fall_as_far_as_the_model_says(script, dark):
    """Pixels that were used keep less than their white noise: as much less as simulated ones."""
    differences, usable, readout = dark

    def ratio(images, used):
        columns, white = script.column_scatter(script.joint_process(images, used, readout), used)
        return columns / white

    # One set of images scatters by 4 %.
    models = [script.predicted(differences, usable, readout, seed=seed) for seed in (1, 2, 3)]
    expected = np.mean([ratio(model, np.ones(model.shape, bool)) for model in models])
    assert ratio(differences, usable) == pytest.approx(expected, rel=0.06)


def test_the_table_and_the_figure_are_made(script, real_data, tmp_path, capsys, monkeypatch):
    figure = tmp_path / "dark.png"
    monkeypatch.setattr("sys.argv", ["real_dark.py", str(real_data), "--figure", str(figure)])
    script.main()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 + len(script.METHODS) + 1
    assert all(line.count("|") == 8 for line in lines)
    assert figure.stat().st_size > 20_000
