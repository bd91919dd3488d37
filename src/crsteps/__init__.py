"""Calibration steps that clean what cosmic rays and the detector leave in exposures."""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("crsteps")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"

# Public classes and the module each lives in, imported on first use (PEP 562), so that
# ``import crsteps`` stays cheap for the plugin discovery of every ``strun``.
_LAZY = {
    "MMCosmicStep": "crsteps.mm_cosmic.step",
}

__all__ = ["MMCosmicStep", "__version__"]


def __getattr__(name):
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted(__all__)
