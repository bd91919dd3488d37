"""
Files of the spectrum of a detector's flicker noise.

ASDF, readable as text. Times are in seconds and amplitudes are those of the process in continuous
time, so that a spectrum does not depend on the bins it was measured in. The mean over a bin of
length b of a process whose covariance is ``a exp(-|t| / tau)`` has at lags of a bin and more the
same covariance with the amplitude ``a (sinh x / x)^2``, where ``x = b / (2 tau)``.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import asdf
import numpy as np

from crsteps import __version__
from crsteps.errors import CrstepsInputError
from crsteps.framework.output import atomic_path

_FORMAT, _FORMAT_VERSION = "crsteps_flicker_spectrum", "1.0.0"
_SCHEMA = Path(__file__).parent / "schemas" / f"flicker_spectrum-{_FORMAT_VERSION}.yaml"
_ARRAYS = ("times", "common", "independent", "gains")
# Processes that forget faster than this part of a bin are white noise in it.
_SHORTEST = 0.3


@dataclass(frozen=True)
class StoredSpectrum:
    """
    Spectrum of a stationary noise of several outputs, independent of bins.

    Attributes
    ----------
    times : ndarray, shape (n_times,)
        Times of correlation [s].
    common, independent : ndarray, shape (n_times,)
        Amplitudes of the common and of the independent process, unit of the data squared.
    gains : ndarray, shape (n_outputs,)
        Gain of each output for the common process.
    """

    times: np.ndarray
    common: np.ndarray
    independent: np.ndarray
    gains: np.ndarray

    @classmethod
    def from_bins(cls, spectrum, bin_time):
        """
        Take over a spectrum that was measured in bins.

        Parameters
        ----------
        spectrum : object
            With attributes of the names of this class, and times in bins, such as
            `crsteps.flicker_noise.spectrum.FlickerSpectrum`.
        bin_time : float
            Length of a bin [s].

        Returns
        -------
        StoredSpectrum
        """
        times = np.asarray(spectrum.times, float) * bin_time
        gain = _gain_of_means(times, bin_time)
        return cls(
            times,
            np.asarray(spectrum.common, float) / gain,
            np.asarray(spectrum.independent, float) / gain,
            np.array(spectrum.gains, float),
        )

    def in_bins(self, bin_time):
        """
        Give the spectrum in bins of a length.

        Parameters
        ----------
        bin_time : float
            Length of a bin [s].

        Returns
        -------
        dict of ndarray
            Arguments of `crsteps.flicker_noise.spectrum.FlickerSpectrum`: times in bins, without
            those of a small part of a bin, whose noise is white from bin to bin.
        """
        kept = self.times >= _SHORTEST * bin_time
        gain = _gain_of_means(self.times[kept], bin_time)
        return {
            "common": self.common[kept] * gain,
            "independent": self.independent[kept] * gain,
            "gains": self.gains,
            "times": self.times[kept] / bin_time,
        }


@dataclass(frozen=True)
class FlickerSpectra:
    """
    Contents of a file.

    Attributes
    ----------
    spectrum : StoredSpectrum
        Spectrum of the noise.
    alternating : StoredSpectrum or None
        Spectrum of the noise of alternating columns.
    white_noise : float or None
        Standard deviation of the white noise of a pixel, unit of the data.
    meta : dict
        ``instrument``, ``detector``, ``n_outputs``, ``unit`` of the data and ``quantity``, which
        is "difference" (of two groups) or "rate"; ``read_pattern`` and ``subarray``, if known.
    """

    spectrum: StoredSpectrum
    alternating: StoredSpectrum | None = None
    white_noise: float | None = None
    meta: dict = field(default_factory=dict)

    def differences(self, **facts):
        """
        Compare with what is known of an exposure.

        Parameters
        ----------
        **facts
            Items of `meta` with the values of the exposure.

        Returns
        -------
        list of str
            One phrase for each item that is known of both and not the same, such as "detector is
            NRS1 and not NRS2"; empty if the spectrum suits.
        """
        return [
            f"{name} is {self.meta[name]} and not {value}"
            for name, value in facts.items()
            if None not in (value, self.meta.get(name))
            and str(value).upper() != str(self.meta[name]).upper()
        ]


def write_spectrum(path, spectrum, *, bin_time, meta, alternating=None, white_noise=None):
    """
    Write the spectrum of an exposure.

    Parameters
    ----------
    path : str or Path
        File to write; replaced if it exists.
    spectrum : FlickerSpectrum
        Spectrum with times in bins.
    bin_time : float
        Length of a bin [s], see `crsteps.flicker_noise.streams.bin_time`.
    meta : dict
        As in `FlickerSpectra`, except ``n_outputs``, which the spectrum tells.
    alternating : FlickerSpectrum, optional
        Spectrum of the noise of alternating columns.
    white_noise : float, optional
        Standard deviation of the white noise of a pixel.

    Raises
    ------
    CrstepsInputError
        If the file cannot be written, or if something required is not in `meta`; no file is left.
    """
    stored = StoredSpectrum.from_bins(spectrum, bin_time)
    tree = {
        "meta": {
            **meta,
            "format": _FORMAT,
            "format_version": _FORMAT_VERSION,
            "crsteps_version": __version__,
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "n_outputs": stored.gains.size,
        },
        "spectrum": _tree(stored),
    }
    if alternating is not None:
        tree["alternating"] = _tree(StoredSpectrum.from_bins(alternating, bin_time))
    if white_noise is not None:
        tree["white_noise"] = float(white_noise)
    try:
        with atomic_path(path) as aside:
            asdf.AsdfFile(tree, custom_schema=_SCHEMA).write_to(aside, all_array_storage="inline")
    except asdf.ValidationError as error:
        raise CrstepsInputError(
            f"{path}: the spectrum is not written, because its description is incomplete or "
            f"wrong: {_first_line(error)}."
        ) from error
    except OSError as error:
        raise CrstepsInputError(
            f"{path} cannot be written: {error.strerror}; choose another folder."
        ) from error


def read_spectrum(path):
    """
    Read the spectrum of a detector.

    Parameters
    ----------
    path : str or Path
        ASDF file of `write_spectrum`.

    Returns
    -------
    FlickerSpectra

    Raises
    ------
    CrstepsInputError
        If there is no such file, or if it does not hold a possible spectrum.
    """
    path = Path(path)
    if not path.is_file():
        raise CrstepsInputError(f"There is no file {path} with a spectrum: check the path.")
    try:
        spectra = _read(path)
        _check(spectra)
    except Exception as error:  # asdf and its YAML parser raise many kinds
        raise CrstepsInputError(
            f"{path} holds no spectrum of flicker noise: {_first_line(error)}; give an ASDF file "
            "that was written with save_spectra, or none to measure the spectrum."
        ) from error
    return spectra


def _gain_of_means(times, bin_time):
    """Amplitude of the covariance of means over bins, relative to that of the process."""
    half = bin_time / (2 * times)
    return (np.sinh(half) / half) ** 2


def _tree(stored):
    # Copies: an array that occurs twice would be written once, with a reference to it.
    return {name: getattr(stored, name).copy() for name in _ARRAYS}


def _read(path):
    with asdf.config_context() as config:
        config.validate_on_read = True
        with asdf.open(path, custom_schema=_SCHEMA, lazy_load=False, memmap=False) as file:
            tree = file.tree
            return FlickerSpectra(
                _stored(tree["spectrum"]),
                _stored(tree["alternating"]) if "alternating" in tree else None,
                tree.get("white_noise"),
                dict(tree["meta"]),
            )


def _stored(tree):
    return StoredSpectrum(**{name: np.array(tree[name], dtype=float) for name in _ARRAYS})


def _check(spectra):
    """Raise ValueError for what the schema does not see."""
    for name, stored in (("spectrum", spectra.spectrum), ("alternating", spectra.alternating)):
        if stored is None:
            continue
        arrays = _tree(stored)
        if not all(np.isfinite(array).all() for array in arrays.values()):
            raise ValueError(f"{name} has numbers that are not finite")
        if not stored.times.size == stored.common.size == stored.independent.size > 0:
            raise ValueError(f"the arrays times, common and independent of {name} differ in length")
        if (stored.times <= 0).any() or (stored.common < 0).any() or (stored.independent < 0).any():
            raise ValueError(f"{name} has times or amplitudes that are negative")
        if stored.gains.size != spectra.meta["n_outputs"]:
            raise ValueError(
                f"{name} has {stored.gains.size} gains for {spectra.meta['n_outputs']} outputs"
            )


def _first_line(error):
    # The errors of a schema have a message, and say much more.
    return " ".join(str(getattr(error, "message", error)).split())[:200].rstrip(".")
