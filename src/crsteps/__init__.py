"""Calibration steps that clean what cosmic rays and the detector leave in exposures."""

from importlib import import_module

# Public classes and the module each lives in, imported on first use (PEP 562), so that
# ``import crsteps`` stays cheap for the plugin discovery of every ``strun``.
_LAZY = {
    "CrstepsDetector1Pipeline": "crsteps.pipelines.detector1",
    "CrstepsImage3Pipeline": "crsteps.pipelines.image3",
    "CrstepsSpec3Pipeline": "crsteps.pipelines.spec3",
    "FitPersistenceStep": "crsteps.persistence.fit_step",
    "MMCosmicStep": "crsteps.mm_cosmic.step",
    "PowerLawPersistenceStep": "crsteps.persistence.step",
    "SceneFlickerNoiseStep": "crsteps.flicker_noise.step",
    "SlewDarkCosmicsStep": "crsteps.slew_dark.step",
    "SlewDarkPipeline": "crsteps.pipelines.slew_dark",
}

__all__ = [
    "CrstepsDetector1Pipeline",
    "CrstepsImage3Pipeline",
    "CrstepsSpec3Pipeline",
    "FitPersistenceStep",
    "MMCosmicStep",
    "PowerLawPersistenceStep",
    "SceneFlickerNoiseStep",
    "SlewDarkCosmicsStep",
    "SlewDarkPipeline",
    "__version__",
]


def __getattr__(name):
    if name == "__version__":
        return _version()
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _version():
    """Ask the installed distribution: reading its metadata takes longer than all else here."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("crsteps")
    except PackageNotFoundError:  # a source tree that was never installed
        return "0+unknown"


def __dir__():
    return sorted(__all__)
