"""Cases and detectors of the benchmark of slew darks, scored against the truth."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
from scipy import ndimage

from crsteps.cosmic_rays.conn import ConnOptions
from crsteps.detector.macc import SPECTROSCOPIC
from crsteps.detector.nisp import ELECTRONS_PER_ADU
from crsteps.simulation.slew_dark_scene import PersistenceOptions
from crsteps.simulation.slew_darks import QUALITY_CUT, SOLAR, SlewDark, SlewDarkOptions
from crsteps.slew_dark.detection import DetectionOptions, find_cosmic_rays

CASES = {
    "quiet": SlewDarkOptions(persistence=False),
    "persistence": SlewDarkOptions(),
    "solar event": SlewDarkOptions(persistence=False, solar_factor=5.0),
    "solar event, persistence": SlewDarkOptions(solar_factor=5.0),
    "spectroscopic": SlewDarkOptions(readout=SPECTROSCOPIC, persistence=False),
    "spectroscopic, persistence": SlewDarkOptions(readout=SPECTROSCOPIC),
    "spectroscopic, solar event": SlewDarkOptions(
        readout=SPECTROSCOPIC, persistence=False, solar_factor=5.0
    ),
}
# One thing different from the case "persistence": is anything tuned to what was assumed?
VARIANTS = {
    "noise of 7 e-": SlewDarkOptions(drift_noise=5.2),
    "white noise instead of drift": SlewDarkOptions(drift_noise=0.0, read_noise=17.5),
    "no coupling": SlewDarkOptions(ipc=0.0),
    "coupling 0.5 %": SlewDarkOptions(ipc=0.005),
    "noisy pixels 1 %": SlewDarkOptions(noisy_fraction=0.01),
    "five times the hot pixels": SlewDarkOptions(hot_fraction=1e-3),
    "wide tracks": SlewDarkOptions(galactic=SOLAR),
    "persistence of 60 s before": SlewDarkOptions(
        sources=PersistenceOptions(image_delay=60.0, spectrum_delay=200.0)
    ),
    "five times the sources": SlewDarkOptions(
        sources=PersistenceOptions(n_sources=5500, n_spectra=50)
    ),
}


@dataclass(frozen=True)
class Method:
    """A detector of crsteps and what it is told, or a plain threshold."""

    detector: str | None = None
    quality: str | None = "chi2"
    offset: float | None = None
    threshold: str | None = None
    network: object | None = None

    @property
    def simulated_quality(self):
        """Which form of quality plane has to be simulated."""
        return self.quality or "chi2"


METHODS = {
    "hybrid": Method("hybrid"),
    "hybrid, one bit": Method("hybrid", quality="bit"),
    "hybrid, no plane": Method("hybrid", quality=None),
    "significance": Method("significance", quality=None),
    "astroscrappy": Method("astroscrappy"),
    "astroscrappy, offset left in": Method("astroscrappy", offset=0.0),
    "astroscrappy+quality": Method("astroscrappy+quality"),
    "astroscrappy+quality, one bit": Method("astroscrappy+quality", quality="bit"),
    "quality factor > 49": Method(threshold="quality"),
    "5 sigma, true noise and dark": Method(threshold="significance"),
}
# They need the extras deepcr and conn.
NETWORKS = {
    "deepcr": Method("deepcr", quality=None),
    "conn": Method("conn", quality=None),
    "conn, NRES": Method("conn", quality=None, network=ConnOptions(model="NRES")),
}


@dataclass(frozen=True)
class Counts:
    """
    Pixels of a mask against the truth, over the pixels that are not bad.

    Attributes
    ----------
    right, false, missed : int
        Flagged and hit, flagged only, hit only.
    """

    right: int
    false: int
    missed: int

    @property
    def precision(self):
        """Part of the flagged pixels that was hit; NaN if none is flagged."""
        return _ratio(self.right, self.right + self.false)

    @property
    def recall(self):
        """Part of the hit pixels that is flagged; NaN if none was hit."""
        return _ratio(self.right, self.right + self.missed)

    @property
    def f1(self):
        """Harmonic mean of the two."""
        return _ratio(2 * self.right, 2 * self.right + self.false + self.missed)


def _ratio(part, whole):
    return part / whole if whole else float("nan")


class Results:
    """
    What was measured, by a key of several words, kept in a file if there is one.

    Parameters
    ----------
    path : path-like or None
        JSON file. What it holds is not measured again.
    """

    def __init__(self, path=None):
        self.path = Path(path) if path else None
        self.content = {}
        if self.path and self.path.exists():
            self.content = json.loads(self.path.read_text(encoding="utf-8"))

    def get(self, *key):
        """Value of a key, or None."""
        return self.content.get(" | ".join(map(str, key)))

    def put(self, value, *key):
        """Keep a value that JSON knows."""
        self.content[" | ".join(map(str, key))] = value
        if self.path:
            self.path.write_text(json.dumps(self.content, indent=1), encoding="utf-8")


def usable_pixels(dark: SlewDark):
    """Pixels inside the border that are not bad."""
    usable = np.zeros(dark.data.shape, bool)
    usable[dark.options.active] = True
    return usable & ~dark.bad


def find_with(method: Method, dark: SlewDark):
    """Mask of a method."""
    if method.threshold == "quality":
        return dark.quality > QUALITY_CUT
    if method.threshold == "significance":
        return dark.data - np.float32(dark.options.offset) - dark.dark > 5 * dark.noise
    return detect(method, dark).mask


def detect(method: Method, dark: SlewDark):
    """Give a detector the arrays that the step would give to it."""
    return find_cosmic_rays(
        dark.data.astype(np.float32),
        usable=usable_pixels(dark),
        quality=None if method.quality is None else dark.quality,
        quality_kind=method.quality,
        electrons_per_adu=ELECTRONS_PER_ADU,
        offset=method.offset,
        options=DetectionOptions(
            detector=method.detector, readout=dark.options.readout, network=method.network
        ),
    )


def score(mask, dark: SlewDark) -> Counts:
    """Count right, false and missed pixels."""
    usable, truth = usable_pixels(dark), dark.truth
    return Counts(
        right=int(np.count_nonzero(mask & truth & usable)),
        false=int(np.count_nonzero(mask & ~truth & usable)),
        missed=int(np.count_nonzero(~mask & truth & usable)),
    )


def call_astroscrappy(image, usable, *, offset=None):
    """
    Call astroscrappy itself with the parameters of the instrument team.

    The median of the good pixels replaces the others. It is the offset that is removed, too, if
    none is given.
    """
    import astroscrappy

    level = np.median(image[usable])
    offset = level if offset is None else offset
    mask, _ = astroscrappy.detect_cosmics(
        np.where(usable, image, level) - np.float32(offset),
        sigclip=4.5,
        sigfrac=0.3,
        objlim=4.0,
        gain=1.95,
        readnoise=6.0,
        satlevel=65536.0,
        niter=6,
        sepmed=True,
        cleantype="meanmask",
        fsmode="median",
        psfmodel="gauss",
        psffwhm=1.5,
        psfsize=5,
        psfbeta=4.765,
    )
    return mask & usable


def describe(dark: SlewDark) -> dict:
    """Numbers that tell what was simulated."""
    size = dark.truth.sum()
    _, n_clusters = ndimage.label(dark.truth, np.ones((3, 3)))
    return {
        "hits": len(dark.hits),
        "pixels": int(size),
        "pixels per cluster": float(size / max(n_clusters, 1)),
        "persistence > 35 e-": int(np.count_nonzero(dark.persistence > 35)),
        "noise in e-": float(np.median(dark.noise) / dark.options.gain),
    }


def sized(options: SlewDarkOptions, size: int, quality: str) -> SlewDarkOptions:
    """Options of a smaller detector, and with the form of quality plane that is wanted."""
    return replace(options, shape=(size, size), quality=quality)


def as_counts(values: dict) -> Counts:
    """Counts from what was kept of them."""
    return Counts(**{field.name: values[field.name] for field in fields(Counts)})
