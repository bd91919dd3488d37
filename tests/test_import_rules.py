"""Who may know whom: the rules of docs/architecture, held against every import of the package."""

import ast
from pathlib import Path

import pytest

import crsteps

PACKAGE = Path(crsteps.__file__).parent

# A new folder of the package has to be put into one of these.
GROUND = {"detector", "cosmic_rays", "simulation"}
CAPABILITIES = {"flicker_noise", "mm_cosmic", "slew_dark", "persistence"}
# Standing on all others; only they may be imported by the command, and by nothing else.
ON_TOP = {"batch", "verification"}

FRAMEWORKS = {"stpipe", "crds"}  # known to the framework folder alone
MODELS = {"jwst", "stdatamodels", "roman_datamodels", "romancal"}
PRIVATE_NAMES_IN = "framework/_jwst_private.py"
LATE = {"matplotlib", "torch", "dask", "distributed"}  # imported inside the functions that use them

# Folder or module of crsteps: what of crsteps it may import besides itself and `errors`.
MAY_IMPORT = {
    "__init__": set(),
    "errors": set(),
    "integration": set(),
    "detector": set(),
    "cosmic_rays": {"detector"},
    "simulation": {"detector", "cosmic_rays"},
    "framework": {"integration", "__version__"},
    "datamodels": {"detector", "cosmic_rays", "framework", "__version__"},
    **{name: {"detector", "cosmic_rays"} for name in CAPABILITIES},
    "pipelines": {"framework", "datamodels", *CAPABILITIES},
}
STEPS_MAY_IMPORT = {"detector", "cosmic_rays", "framework", "datamodels"}


def imports(source, package):
    """
    Yield every imported name of a module, and whether it is imported at module level.

    `package` is the dotted name of the folder, for relative imports. ``from a.b import c`` gives
    "a.b.c"; ``import_module("a.b")`` counts as an import of "a.b".
    """
    tree = ast.parse(source)
    inside = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")
            base = ".".join(parts[: len(parts) - node.level + 1]) if node.level else ""
            module = ".".join(filter(None, [base, node.module]))
            names = [f"{module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Call) and _is_import_module(node):
            names = [node.args[0].value]
        for name in names:
            yield name, id(node) not in inside


def _is_import_module(call):
    name = getattr(call.func, "attr", getattr(call.func, "id", None))
    constant = call.args and isinstance(call.args[0], ast.Constant)
    return name in ("import_module", "__import__") and constant


def violations(path, source):
    """List the imports of a module, at `path` in the package, that break a rule."""
    folder, _, file = path.rpartition("/")
    part = path.split("/")[0].removesuffix(".py")
    is_step = part in CAPABILITIES and file.endswith("step.py")
    package = ".".join(["crsteps", *filter(None, folder.split("/"))])
    found = []
    for name, at_module_level in imports(source, package):
        first, *rest = name.split(".")
        found += [
            f"{path} imports {name}: {reason}"
            for broken, reason in (
                (
                    first == "crsteps" and not _may_know(part, is_step, rest[0] if rest else ""),
                    f"{part} may not know it",
                ),
                (
                    part in CAPABILITIES and not is_step and rest[-1].endswith("step")
                    if first == "crsteps"
                    else False,
                    "the mathematics does not know the step",
                ),
                (first in FRAMEWORKS and part != "framework", "only the framework knows it"),
                (
                    first in MODELS
                    and not is_step
                    and part in {*GROUND, *CAPABILITIES, "__init__", "errors", "integration"},
                    "arrays only",
                ),
                (
                    first in MODELS | FRAMEWORKS
                    and any(p.startswith("_") and not p.endswith("__") for p in rest)
                    and path != PRIVATE_NAMES_IN,
                    f"private names stand in {PRIVATE_NAMES_IN}",
                ),
                (
                    first == "matplotlib" and not file.endswith("figures.py"),
                    "figures are for figures.py and *_figures.py",
                ),
                (first in LATE and at_module_level, "import it in the function that uses it"),
            )
            if broken
        ]
    return found


def _may_know(part, is_step, other):
    """Tell whether a part of the package may import another one."""
    if other in {part, "errors"} or part == "cli":
        return part not in {"errors", "integration", "__init__"} and other != "cli"
    if part in ON_TOP:
        return other != "cli"
    return other in (STEPS_MAY_IMPORT if is_step else MAY_IMPORT[part])


MODULES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("module", MODULES)
def test_module_keeps_the_rules(module):
    assert violations(module, (PACKAGE / module).read_text(encoding="utf-8")) == []


def test_every_part_of_the_package_has_its_rules():
    parts = {module.split("/")[0].removesuffix(".py") for module in MODULES}
    assert parts <= {*MAY_IMPORT, *ON_TOP, "cli"}
    assert {"mm_cosmic/step.py", "framework/step.py", "detector/noise.py"} <= set(MODULES)


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("detector/noise.py", "import jwst"),
        ("detector/noise.py", "from crsteps.framework.output import atomic_path"),
        ("cosmic_rays/a.py", "def f():\n    from stdatamodels.jwst import datamodels"),
        ("simulation/a.py", "from crsteps.mm_cosmic.masks import find_cosmic_rays"),
        ("mm_cosmic/masks.py", "from stpipe import Step"),
        ("mm_cosmic/masks.py", "from crsteps.datamodels import exposures"),
        ("mm_cosmic/masks.py", "from ..persistence import fit"),
        ("mm_cosmic/masks.py", "from . import step"),
        ("mm_cosmic/masks.py", "from .. import framework"),
        ("mm_cosmic/masks.py", "import importlib\nimportlib.import_module('jwst.datamodels')"),
        ("mm_cosmic/step.py", "from crsteps.slew_dark.step import SlewDarkCosmicsStep"),
        ("mm_cosmic/step.py", "from crsteps import slew_dark"),
        ("mm_cosmic/step.py", "from crsteps.pipelines.image3 import CrstepsImage3Pipeline"),
        ("mm_cosmic/step.py", "from crsteps import SlewDarkCosmicsStep"),
        ("mm_cosmic/step.py", "from stpipe import Step"),
        ("mm_cosmic/step.py", "from jwst.lib._things import thing"),
        ("persistence/fit_step.py", "from jwst.persistence.persistence import _private"),
        ("mm_cosmic/figures.py", "import matplotlib.pyplot as plt"),
        ("mm_cosmic/masks.py", "def f():\n    import matplotlib"),
        ("flicker_noise/process.py", "import torch"),
        ("framework/step.py", "from crsteps.mm_cosmic.step import MMCosmicStep"),
        ("framework/step.py", "from jwst.stpipe._cal_logs import _LOG_FORMATTER"),
        ("datamodels/a.py", "from crsteps.pipelines import image3"),
        ("pipelines/image3.py", "from crsteps.batch.pool import run"),
        ("batch/pool.py", "from crsteps.cli import main"),
        ("verification/demo.py", "from crsteps import cli"),
        ("cli.py", "from stpipe import config_parser"),
        ("integration.py", "from crsteps.errors import CrstepsInputError"),
        ("__init__.py", "from crsteps.mm_cosmic.step import MMCosmicStep"),
    ],
)
def test_a_broken_rule_is_found(path, source):
    assert len(violations(path, source)) == 1


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("mm_cosmic/step.py", "from jwst.datamodels import ModelLibrary"),
        ("mm_cosmic/step.py", "from crsteps.framework.step import CrStep"),
        ("mm_cosmic/masks.py", "from . import scene\nfrom crsteps.detector.noise import x"),
        ("mm_cosmic/figures.py", "def plot():\n    from matplotlib.figure import Figure"),
        ("slew_dark/more_figures.py", "def plot():\n    from matplotlib.figure import Figure"),
        ("framework/_jwst_private.py", "from jwst.stpipe._cal_logs import _LOG_FORMATTER"),
        ("framework/provenance.py", "from crsteps import __version__"),
        ("verification/demo.py", "from crsteps.mm_cosmic.step import MMCosmicStep"),
        ("cli.py", "from crsteps.verification.demo import run_demo"),
    ],
)
def test_what_the_rules_allow(path, source):
    assert violations(path, source) == []
