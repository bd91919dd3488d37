"""Methods of the flicker benchmark: steps of ours and of others, each run as a process."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from flicker_cases import FULL, HEADERS, SUBARRAYS, TIME_SERIES
from measured_process import Cost, run_measured

RUNNER = Path(__file__).with_name("run_flicker_step.py")
OURS, JWST, SNOWBLIND = "crsteps", "jwst", "snowblind"
STEPS = {
    OURS: "crsteps.flicker_noise.step.SceneFlickerNoiseStep",
    JWST: "jwst.clean_flicker_noise.CleanFlickerNoiseStep",
    SNOWBLIND: "snowblind.stream_clean.StreamCleanStep",
}
ALL, FFT, NIRCAM = tuple(HEADERS), ("nirspec_mos", "nirspec_ifu", *SUBARRAYS), ("nircam_full",)


@dataclass(frozen=True)
class Method:
    """A package, the parameters of its step, and the presets it can treat."""

    package: str | None
    parameters: dict = field(default_factory=dict)
    presets: tuple[str, ...] = ALL
    user_mask: bool = False

    @property
    def of_peer(self):
        """Whether it is a step of another package."""
        return self.package in (JWST, SNOWBLIND)


BY_CHANNEL = {"fit_by_channel": True}
MODEL = {"background_method": "model"}
MEDIAN_IMAGE = {"background_method": "median_image"}
FOURIER = {"fit_method": "fft"}
MEDIAN = {"fit_method": "median"}
STREAM = {"apply_flat_field": False, "clean_first_group": False}
BOX = {"background_method": "integration_model"}
METHODS = {
    "none": Method(None),
    "crsteps": Method(OURS),
    "crsteps, given mask": Method(OURS, user_mask=True),
    "jwst median": Method(JWST),
    "jwst median by channel": Method(JWST, BY_CHANNEL, FULL),
    "jwst median, model": Method(JWST, MODEL, FULL),
    "jwst median by channel, model": Method(JWST, BY_CHANNEL | MODEL, FULL),
    "jwst median, median_image": Method(JWST, MEDIAN_IMAGE, TIME_SERIES),
    "jwst fft": Method(JWST, FOURIER, FFT),
    "jwst fft, median_image": Method(JWST, FOURIER | MEDIAN_IMAGE, SUBARRAYS),
    "jwst median, given mask": Method(JWST, {}, user_mask=True),
    "jwst median by channel, given mask": Method(JWST, BY_CHANNEL, FULL, user_mask=True),
    "jwst median by channel, model, given mask": Method(
        JWST, BY_CHANNEL | MODEL, FULL, user_mask=True
    ),
    "jwst median, median_image, given mask": Method(
        JWST, MEDIAN_IMAGE, TIME_SERIES, user_mask=True
    ),
    "jwst fft, given mask": Method(JWST, FOURIER, FFT, user_mask=True),
    "snowblind": Method(SNOWBLIND, STREAM, NIRCAM),
    "snowblind integration_model": Method(SNOWBLIND, STREAM | BOX, NIRCAM),
    "snowblind integration_model, given mask": Method(
        SNOWBLIND, STREAM | BOX, NIRCAM, user_mask=True
    ),
}
# The fits of the jwst step, ours and theirs, with the same mask.
SAME_FITS = {
    "median": (
        Method(OURS, MEDIAN, user_mask=True),
        Method(JWST, MEDIAN, user_mask=True),
    ),
    "median by channel": (
        Method(OURS, MEDIAN | BY_CHANNEL, FULL, user_mask=True),
        Method(JWST, MEDIAN | BY_CHANNEL, FULL, user_mask=True),
    ),
    "fft": (
        Method(OURS, FOURIER, FFT, user_mask=True),
        Method(JWST, FOURIER, FFT, user_mask=True),
    ),
}


@dataclass(frozen=True)
class Outcome:
    """Figures of one method on one exposure (see `flicker_figures.judge`), and its cost."""

    figures: dict[str, float]
    cost: Cost


class Results:
    """
    Outcomes by case, mixture, seed and method, kept in a file if there is one.

    Parameters
    ----------
    path : path-like or None
        JSON file. What it holds is not measured again.
    again : sequence of str
        Methods that are measured all the same.
    """

    def __init__(self, path=None, again=()):
        self.path = Path(path) if path else None
        self.outcomes = {}
        if self.path and self.path.exists():
            for key, (figures, cost) in json.loads(self.path.read_text(encoding="utf-8")).items():
                if key.rsplit(" | ", 1)[1] not in again:
                    self.outcomes[key] = Outcome(figures, Cost(**cost))

    @staticmethod
    def key(case, seed, method):
        """Key of an outcome in the file."""
        return f"{case.name} | {case.mixture} | {seed} | {method}"

    def get(self, case, seed, method):
        """Outcome, or None."""
        return self.outcomes.get(self.key(case, seed, method))

    def put(self, case, seed, method, outcome):
        """Keep an outcome."""
        self.outcomes[self.key(case, seed, method)] = outcome
        if self.path:
            content = {
                key: [outcome.figures, asdict(outcome.cost)]
                for key, outcome in self.outcomes.items()
            }
            self.path.write_text(json.dumps(content, indent=1), encoding="utf-8")


def run_method(method, files, folder, pythons):
    """Run a method in a process of its own; return the cleaned ramp and the cost."""
    from astropy.io import fits

    output = folder / "cleaned.fits"
    output.unlink(missing_ok=True)
    parameters = dict(method.parameters)
    if method.package == JWST:
        parameters["skip"] = False
    if method.user_mask:
        parameters["user_mask"] = files["mask"]
    settings = folder / "settings.json"
    content = {
        **files,
        "step": STEPS.get(method.package),
        "parameters": parameters,
        "output": str(output),
    }
    settings.write_text(json.dumps(content), encoding="utf-8")
    log = folder / "log.txt"
    cost = run_measured([pythons[method.package], RUNNER, settings], log=log)
    if method.package and "COMPLETE" not in log.read_text(encoding="utf-8"):
        raise RuntimeError(f"{method} was skipped: {log.read_text(encoding='utf-8')[-2000:]}")
    with fits.open(output) as hdus:
        return np.array(hdus["SCI"].data, np.float32), cost
