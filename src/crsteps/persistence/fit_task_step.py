"""What a process has to know to fit a detector: light, to be sent to it."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from crsteps.persistence.dark_series import DarkTimes
from crsteps.persistence.fit import FitOptions
from crsteps.persistence.fit_illumination_step import Illumination

__all__ = ["USABLE", "FitTask"]

USABLE = {
    "bad_pixel_mask": lambda image: image == 0,
    "master_dark": np.isfinite,
    "noise_map": lambda image: np.isfinite(image) & (image > 0),
}
"""Companions, and where they allow a pixel to be fitted."""


@dataclass(frozen=True)
class FitTask:
    """
    What a process has to know to fit a detector.

    Attributes
    ----------
    detector : str
        Name of the detector.
    shape : tuple of int
        Shape (ny, nx) of its images.
    darks : tuple of SeriesDark
        The series.
    times : DarkTimes
        When its darks were taken.
    illumination : Illumination
        What they follow.
    options : FitOptions
        Options of the fit.
    gain, offset : float
        Electrons per unit of the data, and value of the data without signal.
    noise : float or None
        Noise of a dark in e-, without photons; None to measure it.
    master_dark_error : float
        Error of the master dark in units of the data.
    n_held_out : int
        Last darks that are predicted by a fit of the others.
    n_outputs : int
        Outputs that share the columns; 0 for one slope of faint pixels on the whole detector.
    max_quality : float or None
        Quality factor above which a pixel of a dark counts as hit.
    limits : tuple of float
        Smallest and largest charge of the illumination in e- that tells the curve.
    companions : dict
        Images that go with the detector: ``bad_pixel_mask``, ``master_dark``, ``noise_map``.
    folder : Path or None
        Where to leave images; None to leave none.
    figures : dict of Path
        Figures of the detector, ``maps``, ``decay`` and ``held_out``; none if empty.
    """

    detector: str
    shape: tuple
    darks: tuple
    times: DarkTimes
    illumination: Illumination
    options: FitOptions
    gain: float
    offset: float
    noise: float | None = None
    master_dark_error: float = 0.0
    n_held_out: int = 2
    n_outputs: int = 0
    max_quality: float | None = None
    limits: tuple = (0.0, np.inf)
    companions: dict = field(default_factory=dict)
    folder: Path | None = None
    figures: dict = field(default_factory=dict)

    @property
    def fewest(self):
        """Fewest darks of a pixel that is fitted, which is the number of its parameters and one."""
        return 3 if "master_dark" in self.companions else 4

    @property
    def has_rates(self):
        """Whether the files hold rates, and not charges."""
        return self.darks[0].layout in ("rate", "rateints")

    @property
    def level_error(self):
        """Error of the master dark in e-/s."""
        return self.master_dark_error * self.gain / (1 if self.has_rates else self.exposure)

    @property
    def exposure(self):
        """Median of the integration times of the darks in s."""
        return float(np.median(self.times.integration_times))

    def companion(self, name):
        """
        Read the image of a companion.

        Parameters
        ----------
        name : str
            Its parameter.

        Returns
        -------
        ndarray (ny, nx) float32 or None
            None if it is not given.
        """
        stored = self.companions.get(name)
        if stored is None:
            return None
        with stored.open() as stream:
            return stored.values(stream)

    def path(self, name):
        """
        Tell where an image is left.

        Parameters
        ----------
        name : str
            Name of the image.

        Returns
        -------
        Path
        """
        return self.folder / f"{self.detector}_{name}.npy"
