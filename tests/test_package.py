"""The package as a whole: version, entry points, lazy imports, what the README promises."""

import importlib
import json
import re
import subprocess
import sys
import tomllib
from importlib.metadata import distribution, entry_points, version
from importlib.resources import files

import pytest

import crsteps
from crsteps import integration

HEAVY = {"jwst", "stpipe", "matplotlib", "torch", "numba", "numpy", "scipy", "astropy", "asdf"}


def modules_loaded_by(statement):
    """Return the names of the top-level modules that a fresh interpreter has after a statement."""
    code = f"import json, sys; {statement}; print(json.dumps(sorted(sys.modules)))"
    output = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout
    return {name.partition(".")[0] for name in json.loads(output)}


def readme_command(checkout, name):
    """Return the line of the README's code block under ``<!-- command: name -->``."""
    text = (checkout / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(rf"<!-- command: {name} -->\n```sh\n(.*?)\n```", text, re.DOTALL)
    assert len(blocks) == 1
    return blocks[0]


def test_version_is_that_of_the_distribution():
    assert crsteps.__version__ == version("crsteps")


@pytest.mark.parametrize("module", ["crsteps", "crsteps.integration"])
def test_import_loads_nothing_heavy(module):
    """Discovery imports these at every ``strun``, so their cost is what they load."""
    assert not modules_loaded_by(f"import {module}") & HEAVY


def test_stpipe_finds_the_entry_point():
    (entry,) = entry_points(group="stpipe.steps", name="crsteps")
    assert entry.load() is integration.get_steps


def test_console_script_is_declared():
    (entry,) = entry_points(group="console_scripts", name="crsteps")
    assert entry.value == "crsteps.cli:main"


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'NoSuchStep'"):
        crsteps.NoSuchStep  # noqa: B018


def test_readme_commands_are_single_lines(checkout):
    for name in ("demo", "tests"):
        assert "\n" not in readme_command(checkout, name)


def test_readme_commands_agree_with_pyproject(checkout):
    project = tomllib.loads((checkout / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert ".venv/bin/crsteps demo" in readme_command(checkout, "demo")
    assert "crsteps" in project["scripts"]
    (extra,) = re.findall(r"\.\[(\w+)\]", readme_command(checkout, "tests"))
    assert any(need.startswith("pytest") for need in project["optional-dependencies"][extra])
    assert project["requires-python"] == ">=3.11"


def test_reference_files_are_those_of_the_checkout(checkout):
    """The installed package, wheel or editable, holds every file of ``reference_files/``."""
    installed = {path.name for path in (files("crsteps") / "reference_files").iterdir()}
    expected = {path.name for path in (checkout / "reference_files").glob("*.asdf")}
    assert expected <= installed


def test_one_version_of_ruff_everywhere(checkout):
    """Another version formats differently: what a commit hook accepts, CI must accept."""
    pins = [
        re.findall(r'"ruff==([\d.]+)"', (checkout / name).read_text(encoding="utf-8"))
        for name in ("pyproject.toml", ".pre-commit-config.yaml")
    ]
    assert all(pins)
    assert len({version for pin in pins for version in pin}) == 1


def test_licence_is_declared_and_shipped():
    metadata = distribution("crsteps").metadata
    assert metadata["License-Expression"] == "BSD-3-Clause"
    assert metadata.get_all("License-File") == ["LICENSE"]


def test_every_listed_step_is_exported_under_its_alias():
    """A step is reachable as ``crsteps.<Class>``, and stpipe knows it by the listed alias."""
    for dotted, alias, is_pipeline in integration.get_steps():
        module, _, name = dotted.rpartition(".")
        step = getattr(importlib.import_module(module), name)
        assert getattr(crsteps, name) is step
        assert step.class_alias == alias
        assert hasattr(step, "step_defs") == is_pipeline
