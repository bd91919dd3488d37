"""Parameter and reference files are in the wheel too, and templates hold the defaults."""

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import stpipe

from crsteps.framework.parameters import own_parameters
from crsteps.framework.step_classes import find_step_class
from crsteps.integration import get_steps

SHOW = """
import json
import crsteps
from crsteps.framework.parameter_files import validate
from crsteps.framework.references import packaged_file, reference_files_path

names = sorted(path.name for path in reference_files_path().iterdir())
classes = [validate(packaged_file(n)).step_class.__name__ for n in names if n.startswith("pars-")]
print(json.dumps([crsteps.__file__, names, classes]))
"""


@pytest.mark.parametrize("alias", [alias for _, alias, _ in get_steps()])
def test_template_holds_the_defaults(checkout, alias):
    """The file that bears the name of a class changes nothing: users start from it."""
    step_class = find_step_class(alias)
    path = checkout / "reference_files" / f"pars-{step_class.__name__.lower()}.asdf"
    step = stpipe.Step.from_config_file(str(path))
    assert type(step) is step_class
    assert own_parameters(step) == own_parameters(step_class())


@pytest.mark.slow
def test_files_are_found_in_a_wheel(checkout, tmp_path, user_environment):
    """The wheel, unpacked before everything else on the path, finds its own files."""
    source = tmp_path / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(checkout / name, source)
    for name in ("src", "reference_files"):
        ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
        shutil.copytree(checkout / name, source / name, symlinks=True, ignore=ignored)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", tmp_path, source]
    subprocess.run(command, check=True, env=user_environment, timeout=300)
    (wheel,) = tmp_path.glob("crsteps-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")

    output = subprocess.run(
        [sys.executable, "-c", SHOW],
        cwd=tmp_path,
        env={**user_environment, "PYTHONPATH": str(tmp_path / "site")},
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    ).stdout
    package, names, classes = json.loads(output.splitlines()[-1])
    assert Path(package).is_relative_to(tmp_path / "site")
    assert names == sorted(path.name for path in (checkout / "reference_files").glob("*.asdf"))
    assert "MMCosmicStep" in classes
