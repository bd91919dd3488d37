"""What was measured while flicker noise was removed, for the log, the record and the header."""

from dataclasses import dataclass, field, replace

import numpy as np
from scipy.ndimage import distance_transform_edt

from crsteps.flicker_noise.streams import bin_time

# Frequencies in Hz below which the measured noise is summed up.
FREQUENCIES = (100.0, 1000.0)
# Part of the variance of the noise from which on the error of its estimate is as good as all of it.
_LOST = 0.9

_CARDS = {
    "background_fraction": ("FNBACKGR", "fraction of background pixels"),
    "white_noise": ("FNWHITE", "rms white noise of a pixel"),
    "removed_noise": ("FNREMOVD", "rms of the removed noise"),
    "variance_removed": ("FNVARREM", "fraction of background variance removed"),
    "common_noise": ("FNCOMMON", "rms noise common to the outputs"),
    "independent_noise": ("FNINDEP", "rms noise of an output of its own"),
    "noise_below_100_hz": ("FNLOW", "rms noise below 100 Hz"),
    "noise_100_to_1000_hz": ("FNMIDDLE", "rms noise from 100 to 1000 Hz"),
    "noise_above_1000_hz": ("FNHIGH", "rms noise above 1000 Hz"),
    "alternating_noise": ("FNALTERN", "rms alternating column noise"),
    "mean_error": ("FNERROR", "rms error of the removed noise"),
    "stripes_before": ("FNSTRB", "rms line median before"),
    "stripes_after": ("FNSTRA", "rms line median after"),
    "uncorrected_pixels": ("FNNOTCOR", "pixels flagged as not correctable"),
    "integrations_cleaned": ("FNINTS", "number of integrations cleaned"),
}
# Given as they are; all others are means of squares.
_PLAIN = (
    "background_fraction",
    "variance_removed",
    "stripes_before",
    "stripes_after",
    "uncorrected_pixels",
    "integrations_cleaned",
)


@dataclass
class Measurements:
    """
    Measurements of several integrations, pooled in variance.

    Attributes
    ----------
    readout : crsteps.detector.readout.Readout
        Clocking.
    n_cleaned : int
        Integrations that were cleaned.
    spectra, alternating_spectra : list of FlickerSpectrum
        Spectra that were fitted.
    """

    readout: object
    n_cleaned: int = 0
    spectra: list = field(default_factory=list)
    alternating_spectra: list = field(default_factory=list)
    _sums: dict = field(default_factory=dict)
    _numbers: dict = field(default_factory=dict)
    _values: dict = field(default_factory=dict)

    def add(self, corrected, *, removed_variance, background_fraction):
        """
        Take in an integration.

        Parameters
        ----------
        corrected : crsteps.flicker_noise.correction.Corrected
            Integration.
        removed_variance : float
            Mean square of the noise that was removed from a difference, or rate.
        background_fraction : float
            Fraction of the pixels that its noise was estimated from.
        """
        self.n_cleaned += 1
        self._add("background_fraction", background_fraction)
        self._add("removed_noise", removed_variance)
        if corrected.error_variance is not None:
            self._add("mean_error", float(np.mean(corrected.error_variance, dtype=np.float64)))
        if corrected.white_noise is not None:
            self._add("white_noise", corrected.white_noise**2)
        if corrected.spectrum is not None:
            self._add_spectra(corrected.spectrum, corrected.alternating_spectrum)

    def add_comparison(self, comparison):
        """
        Take in what was measured before and after.

        Parameters
        ----------
        comparison : crsteps.flicker_noise.diagnostics.Comparison
            Measurements.
        """
        before, after = comparison.variance
        self._values["variance_removed"] = float(1 - after / before) if before > 0 else 0.0
        for when, stripes in zip(("before", "after"), comparison.stripes, strict=True):
            self._values[f"stripes_{when}"] = [float(value) for value in stripes]

    def add_uncorrected(self, number):
        """
        Take in how many pixels could not be corrected.

        Parameters
        ----------
        number : int
            Pixels of all integrations.
        """
        self._values["uncorrected_pixels"] = int(number)

    def mean_spectrum(self, *, alternating=False):
        """
        Mean of the spectra.

        Parameters
        ----------
        alternating : bool, optional
            That of the alternating column noise.

        Returns
        -------
        FlickerSpectrum or None
            None where none was fitted.
        """
        spectra = self.alternating_spectra if alternating else self.spectra
        if not spectra:
            return None
        names = ("common", "independent", "gains")
        means = {name: np.mean([getattr(s, name) for s in spectra], axis=0) for name in names}
        return replace(spectra[0], **means)

    @property
    def white_noise(self):
        """Standard deviation of the white noise of a pixel; None where it was not measured."""
        if "white_noise" not in self._sums:
            return None
        return float(np.sqrt(self._sums["white_noise"] / self._numbers["white_noise"]))

    def values(self):
        """
        Give the measurements for the record and the header.

        Returns
        -------
        dict
            For each quantity its value (noise as rms in data units), keyword and comment; those of
            an output bear its number.
        """
        means = {name: total / self._numbers[name] for name, total in self._sums.items()}
        numbers = {n: m if n in _PLAIN else float(np.sqrt(max(m, 0))) for n, m in means.items()}
        numbers |= {**self._values, "integrations_cleaned": self.n_cleaned}
        entries = {}
        for name, (keyword, comment) in _CARDS.items():
            value = numbers.get(name)
            if isinstance(value, list):
                for output, own in enumerate(value, start=1):
                    entries[f"{name}_{output}"] = {
                        "value": own,
                        "keyword": f"{keyword}{output}",
                        "comment": f"{comment}, output {output}",
                    }
            elif value is not None:
                entries[name] = {"value": value, "keyword": keyword, "comment": comment}
        return entries

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
        spectrum = self.mean_spectrum()
        if spectrum is not None and len(spectrum.gains) > 1:
            text = ", ".join(f"{gain:.2f}" for gain in spectrum.gains)
            lines.append(f"gains of the outputs for the common noise: {text}")
        return lines

    def _add(self, name, value):
        self._sums[name] = self._sums.get(name, 0.0) + value
        self._numbers[name] = self._numbers.get(name, 0) + 1

    def _add_spectra(self, spectrum, alternating):
        if self.spectra and spectrum is self.spectra[-1]:
            return  # integrations that were estimated together have one
        self.spectra.append(spectrum)
        step = bin_time(self.readout)
        low, middle = (_variance_below(spectrum, frequency * step) for frequency in FREQUENCIES)
        self._add("common_noise", float(spectrum.common.sum()))
        self._add("independent_noise", float(spectrum.independent.sum()))
        self._add("noise_below_100_hz", low)
        self._add("noise_100_to_1000_hz", middle - low)
        self._add("noise_above_1000_hz", max(float(np.mean(spectrum.variance)) - middle, 0.0))
        if alternating is not None:
            self.alternating_spectra.append(alternating)
            self._add("alternating_noise", float(np.mean(alternating.variance)))


def uncorrectable(used, spectrum, readout):
    """
    Find pixels whose noise cannot be estimated.

    In lines without background, the noise is known from other lines and outputs only. A process
    with the covariance ``a exp(-lag / tau)`` has, at a time d from where it is known, at least the
    variance ``a (1 - exp(-2 d / tau))``.

    Parameters
    ----------
    used : ndarray of bool, shape (n, ny, nx)
        Pixels that noise is estimated from.
    spectrum : FlickerSpectrum
        Spectrum of the noise.
    readout : crsteps.detector.readout.Readout
        Clocking.

    Returns
    -------
    ndarray of bool, shape (ny, nx)
        True where that is at least nine tenths of the variance of the noise.
    """
    lines = readout.to_outputs(used.any(axis=0)).any(axis=-1)
    if lines.all() or not spectrum.variance.any():
        return np.zeros(readout.shape, bool)
    row = readout.row_ticks
    own = spectrum.independent @ _forgotten(lines, spectrum.times / row)
    others = np.broadcast_to(lines.any(axis=0), lines.shape)
    common = spectrum.common @ _forgotten(others, spectrum.times / row)
    error = own + spectrum.gains[:, None] ** 2 * common
    lost = ~lines & (error >= _LOST * spectrum.variance[:, None])
    shape = (*lost.shape, readout.output_width)
    return readout.to_image(np.broadcast_to(lost[..., None], shape))


def _forgotten(lines, times):
    """Part of the variance that is not known in each line, (n_outputs, n_times, n_lines)."""
    distance = np.full(lines.shape, np.inf)
    for own, known in zip(distance, lines, strict=True):
        if known.any():
            own[:] = distance_transform_edt(~known)
    return 1 - np.exp(-2 * distance[:, None, :] / times[:, None])


def _variance_below(spectrum, frequency):
    """Mean variance of the outputs below a frequency in cycles per bin."""
    part = 2 / np.pi * np.arctan(2 * np.pi * frequency * spectrum.times)
    gains = np.mean(spectrum.gains**2)
    return float(part @ (gains * spectrum.common + spectrum.independent))
