"""What was measured while flicker noise was removed, for the log, the record and the header."""

from dataclasses import dataclass, field

import numpy as np

from crsteps.detector.readout import PIXEL_TIME
from crsteps.flicker_noise.streams import BIN_TICKS

# Frequencies in Hz below which the measured noise is summed up.
FREQUENCIES = (100.0, 1000.0)

_CARDS = {
    "background_fraction": ("FNBACKGR", "fraction of background pixels"),
    "white_noise": ("FNWHITE", "rms white noise of a pixel"),
    "removed_noise": ("FNREMOVD", "rms of the removed noise"),
    "common_noise": ("FNCOMMON", "rms noise common to the outputs"),
    "independent_noise": ("FNINDEP", "rms noise of an output of its own"),
    "noise_below_100_hz": ("FNLOW", "rms noise below 100 Hz"),
    "noise_100_to_1000_hz": ("FNMIDDLE", "rms noise from 100 to 1000 Hz"),
    "noise_above_1000_hz": ("FNHIGH", "rms noise above 1000 Hz"),
    "alternating_noise": ("FNALTERN", "rms alternating column noise"),
    "mean_error": ("FNERROR", "rms error of the removed noise"),
    "integrations_cleaned": ("FNINTS", "number of integrations cleaned"),
}


@dataclass
class Measurements:
    """
    Measurements of several estimates, pooled in variance.

    Attributes
    ----------
    n_cleaned : int
        Images or ramps that were cleaned.
    reason : str
        Why one was not.
    """

    n_cleaned: int = 0
    reason: str = ""
    _sums: dict = field(default_factory=dict)
    _gains: list = field(default_factory=list)
    _n_estimates: int = 0

    def add(self, estimate, background_fraction, *, n_cleaned=1):
        """
        Take in an estimate.

        Parameters
        ----------
        estimate : crsteps.flicker_noise.cleaning.FlickerEstimate
            Estimate.
        background_fraction : float
            Fraction of the pixels that it was made from.
        n_cleaned : int, optional
            Integrations that it cleans.
        """
        spectrum, alternating = estimate.spectrum, estimate.alternating_spectrum
        low, middle = (
            _variance_below(spectrum, frequency * BIN_TICKS * PIXEL_TIME)
            for frequency in FREQUENCIES
        )
        all_outputs = float(np.mean(spectrum.variance))
        values = {
            "background_fraction": background_fraction,
            "white_noise": estimate.white_noise**2,
            "removed_noise": float(np.mean(np.square(estimate.noise), dtype=np.float64)),
            "common_noise": float(spectrum.common.sum()),
            "independent_noise": float(spectrum.independent.sum()),
            "noise_below_100_hz": low,
            "noise_100_to_1000_hz": middle - low,
            "noise_above_1000_hz": max(all_outputs - middle, 0.0),
            "mean_error": float(np.mean(estimate.error_variance, dtype=np.float64)),
        }
        if alternating is not None:
            values["alternating_noise"] = float(np.mean(alternating.variance))
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        self._gains.append(spectrum.gains)
        self._n_estimates += 1
        self.n_cleaned += n_cleaned

    def values(self):
        """
        Give the measurements for the record and the header.

        Returns
        -------
        dict
            For each quantity its value (noise as rms in data units), keyword and comment.
        """
        means = {name: total / self._n_estimates for name, total in self._sums.items()}
        numbers = {
            name: mean if name == "background_fraction" else float(np.sqrt(mean))
            for name, mean in means.items()
        }
        numbers["integrations_cleaned"] = self.n_cleaned
        return {
            name: {"value": numbers[name], "keyword": keyword, "comment": comment}
            for name, (keyword, comment) in _CARDS.items()
            if name in numbers
        }

    def lines(self):
        """
        Tell the measurements.

        Returns
        -------
        list of str
            Lines for the log.
        """
        lines = [
            f"{measured['comment']}: {measured['value']:.4g}" for measured in self.values().values()
        ]
        gains = np.mean(self._gains, axis=0)
        if len(gains) > 1:
            text = ", ".join(f"{gain:.2f}" for gain in gains)
            lines.append(f"gains of the outputs for the common noise: {text}")
        return lines


def _variance_below(spectrum, frequency):
    """Mean variance of the outputs below a frequency in cycles per bin."""
    part = 2 / np.pi * np.arctan(2 * np.pi * frequency * spectrum.times)
    gains = np.mean(spectrum.gains**2)
    return float(part @ (gains * spectrum.common + spectrum.independent))
