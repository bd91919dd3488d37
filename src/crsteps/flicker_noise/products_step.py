"""Products of SceneFlickerNoiseStep besides the cleaned model: variances, flags, files, figures."""

import logging
from dataclasses import dataclass, field

import numpy as np
from astropy.table import Table
from stdatamodels.jwst import datamodels

from crsteps.datamodels import variances
from crsteps.datamodels.flicker_spectra import write_spectrum
from crsteps.datamodels.variances import unit_of
from crsteps.flicker_noise.diagnostics import chosen_images, compare
from crsteps.flicker_noise.report import uncorrectable
from crsteps.flicker_noise.streams import bin_time
from crsteps.framework.saving import product_path, writing_product

log = logging.getLogger(__name__)

ERROR_HDU = "FLKVAR"
"""Extension of a ramp with the variance of the error of the noise removed from a difference."""

_UNRELIABLE_SLOPE = datamodels.dqflags.pixel["UNRELIABLE_SLOPE"]


@dataclass
class Collected:
    """
    What is kept while integrations are corrected one after the other.

    Attributes
    ----------
    exposure : crsteps.flicker_noise.correction.Exposure
        Exposure; its data are replaced while it is corrected.
    measurements : crsteps.flicker_noise.report.Measurements
        Measurements.
    keep_noise, keep_background : bool
        Whether noise and background are kept for products.
    noise, background : ndarray of float32, shape of the data, or None
        Products.
    sky : ndarray of float32, shape (ny, nx), or None
        Smooth sky in the images, where a fit has estimated it.
    errors : list of ndarray or None
        Variance of the error of each integration; None where it is not known.
    uncorrected : ndarray of bool, shape (n_integrations, ny, nx), or None
        Pixels that could not be corrected; None if there is none.
    comparison : crsteps.flicker_noise.diagnostics.Comparison or None
        Measurements before and after.
    pictured : tuple of ndarray or None
        Difference or rate before and after, to draw.
    """

    exposure: object
    measurements: object
    keep_noise: bool = False
    keep_background: bool = False
    noise: np.ndarray | None = None
    background: np.ndarray | None = None
    sky: np.ndarray | None = None
    errors: list = field(default_factory=list)
    uncorrected: np.ndarray | None = None
    comparison: object = None
    pictured: tuple | None = None

    def __post_init__(self):
        data = self.exposure.data
        if self.keep_noise:
            self.noise = np.zeros(data.shape, np.float32)
        if self.keep_background:
            self.background = np.zeros(data.shape, np.float32)
        n_images = data.shape[1] - 1 if self.exposure.ramps else 1
        n_pixels = data.shape[-2] * data.shape[-1]
        self._chosen = chosen_images(len(data), n_images, n_pixels)
        self._sample = []

    def add(self, i, corrected):
        """
        Take in an integration, before its data are replaced.

        Parameters
        ----------
        i : int
            Index of the integration.
        corrected : crsteps.flicker_noise.correction.Corrected
            What became of it.
        """
        self.errors.append(corrected.error_variance)
        if corrected.data is None:
            return
        self.sky = corrected.sky
        before, used = self.exposure.data[i], self.exposure.used(i)
        if self.keep_noise:
            self.noise[i] = before - corrected.data
        if self.keep_background:
            self._keep_background(i, corrected.background)
        self.measurements.add(
            corrected,
            removed_variance=_removed_variance(before, corrected.data),
            background_fraction=np.count_nonzero(used) / used.size,
        )
        for g in self._chosen[i]:
            pair = [d[g + 1] - d[g] if d.ndim == 3 else d.copy() for d in (before, corrected.data)]
            self._sample.append((*pair, used[g]))
        if corrected.spectrum is not None:
            self._find_uncorrected(i, corrected, used)

    def finish(self, sky, *, profiles=False):
        """
        Measure the sample of images before and after.

        Parameters
        ----------
        sky : ndarray of float32, shape (ny, nx)
            Smooth sky in the images.
        profiles : bool, optional
            Whether the profiles of the lines are wanted, too.
        """
        if self._sample:
            before, after, used = map(np.array, zip(*self._sample, strict=True))
            self.comparison = compare(
                before, after, used, sky=sky, readout=self.exposure.readout, profiles=profiles
            )
            self.measurements.add_comparison(self.comparison)
            self.pictured = self._sample[len(self._sample) // 2][:2]
            self._sample = []
        if self.uncorrected is not None:
            self.measurements.add_uncorrected(self.uncorrected.sum())

    def error_variance(self):
        """
        Variance of the error of the removed noise.

        Returns
        -------
        ndarray of float32, shape (ny, nx) or (n_integrations, ny, nx), or None
            One image where all integrations have the same; 0 for integrations that were not
            corrected; None where it is not known.
        """
        known = [error for error in self.errors if error is not None]
        if not known:
            return None
        if len({id(error) for error in self.errors}) == 1:
            return known[0]
        none = np.zeros_like(known[0])
        return np.stack([none if error is None else error for error in self.errors])

    def _keep_background(self, i, background):
        kept = self.background[i]
        of_groups = np.ndim(background) == 3 and len(background) == len(kept)
        if self.exposure.ramps and not of_groups:
            kept = kept[1:]  # the first group has no difference
        kept[...] = background

    def _find_uncorrected(self, i, corrected, used):
        lost = uncorrectable(used, corrected.spectrum, self.exposure.readout)
        if lost.any():
            if self.uncorrected is None:
                shape = (len(self.exposure.data), *lost.shape)
                self.uncorrected = np.zeros(shape, bool)
            self.uncorrected[i] = lost


def _removed_variance(before, after):
    """Mean square of the noise removed from a difference, or rate, from a ninth of the pixels."""
    removed = before[..., ::3, ::3] - after[..., ::3, ::3]
    if removed.ndim == 3:
        removed = np.diff(removed, axis=0)
    removed = removed[np.isfinite(removed)]
    return float(np.mean(np.square(removed), dtype=np.float64)) if removed.size else 0.0


def set_flags(model, uncorrected):
    """
    Flag pixels that could not be corrected as UNRELIABLE_SLOPE.

    Parameters
    ----------
    model : JwstDataModel
        Ramps, of which the pixel flags are set, or rates; modified in place.
    uncorrected : ndarray of bool, shape (n_integrations, ny, nx), or None
        Pixels.
    """
    if uncorrected is None:
        return
    name = "pixeldq" if model.data.ndim == 4 else "dq"
    if model.data.ndim != 3:
        uncorrected = uncorrected.any(axis=0)
    flags = np.where(uncorrected, np.uint32(_UNRELIABLE_SLOPE), np.uint32(0))
    setattr(model, name, getattr(model, name) | flags)


def add_variance(model, variance):
    """
    Add the variance of the error of the noise to a model.

    Parameters
    ----------
    model : JwstDataModel
        Rates, whose VAR_RNOISE and ERR get it where they exist, or ramps, which get an extension
        `ERROR_HDU`. Modified in place.
    variance : ndarray of float32, shape (ny, nx) or (n_integrations, ny, nx)
        Variance for a rate, or a difference of groups.
    """
    variances.add_variance(
        model, variance, extension=ERROR_HDU, comment="for a difference of two groups"
    )


def stored_error_variance(model):
    """
    Look up the variance that an earlier run left in ramps.

    Parameters
    ----------
    model : RampModel
        Ramps.

    Returns
    -------
    ndarray of float32, shape (ny, nx) or (n_integrations, ny, nx), or None
        Variance of the error of the noise removed from a difference of groups; None if there is
        none.
    """
    return variances.stored_variance(model, ERROR_HDU)


def save_images(step, model, collected, background_mask):
    """
    Write mask, noise and background where they are asked for.

    Parameters
    ----------
    step : SceneFlickerNoiseStep
        Says what is wanted and where.
    model : JwstDataModel
        Cleaned model.
    collected : Collected
        What was kept.
    background_mask : ndarray of bool
        True at background pixels.
    """
    products = (
        ("mask", step.save_mask, background_mask.astype(np.float32)),
        ("flicker_noise", step.save_noise, collected.noise),
        ("flicker_bkg", step.save_background, collected.background),
    )
    classes = {2: datamodels.ImageModel, 3: datamodels.CubeModel, 4: datamodels.RampModel}
    for suffix, wanted, data in products:
        if not wanted:
            continue
        if suffix != "mask":
            data = data.reshape(model.data.shape)
        product = classes[data.ndim](data=data)
        product.update(model)
        step.save_model(product, suffix=suffix, force=True)


def save_spectra(step, model, collected):
    """
    Write the measured spectra as a table, and the fitted one as a file that can be given again.

    Parameters
    ----------
    step : SceneFlickerNoiseStep
        Says where.
    model : JwstDataModel
        Cleaned model.
    collected : Collected
        What was kept.
    """
    table = _spectra_table(collected.comparison, unit_of(model))
    with writing_product(step, model, "flicker_spectra", "ecsv") as path:
        table.write(path, format="ascii.ecsv")
    measured = collected.measurements
    spectrum = measured.mean_spectrum()
    if spectrum is None:
        return
    path = product_path(step, model, "flicker_spectra", "asdf")
    write_spectrum(
        path,
        spectrum,
        bin_time=bin_time(collected.exposure.readout),
        meta={name: value for name, value in spectrum_facts(model).items() if value},
        alternating=measured.mean_spectrum(alternating=True),
        white_noise=measured.white_noise,
    )
    log.info("Saved %s", path)


def save_figures(step, model, collected):
    """
    Draw image, spectra and profiles before and after.

    Parameters
    ----------
    step : SceneFlickerNoiseStep
        Says where.
    model : JwstDataModel
        Cleaned model.
    collected : Collected
        What was kept.
    """
    from crsteps.flicker_noise.figures import plot_cleaning, plot_profiles, plot_spectra

    comparison, unit = collected.comparison, unit_of(model)
    before, after = collected.pictured
    with writing_product(step, model, "flicker_image", "png") as path:
        plot_cleaning(path, before=before, after=after, unit=unit)
    with writing_product(step, model, "flicker_power", "png") as path:
        plot_spectra(path, comparison.frequencies, comparison.spectra, unit=unit)
    with writing_product(step, model, "flicker_profile", "png") as path:
        axis = "y" if abs(collected.exposure.readout.fast_axis) == 1 else "x"
        plot_profiles(path, comparison.profiles, axis=axis, unit=unit)


def spectrum_facts(model):
    """
    Give what a file of a spectrum is to say about the data.

    Parameters
    ----------
    model : JwstDataModel
        Exposure.

    Returns
    -------
    dict
        The items of `crsteps.datamodels.flicker_spectra.FlickerSpectra.meta`.
    """
    meta = model.meta
    return {
        "instrument": meta.instrument.name,
        "detector": meta.instrument.detector or meta.instrument.name,
        "unit": unit_of(model),
        "quantity": "difference" if model.data.ndim == 4 else "rate",
        "read_pattern": meta.exposure.readpatt,
        "subarray": meta.subarray.name,
    }


def _spectra_table(comparison, unit):
    table = Table({"frequency": comparison.frequencies})
    table["frequency"].unit = "Hz"
    for when, spectra in zip(("before", "after"), comparison.spectra, strict=True):
        for output, power in enumerate(spectra, start=1):
            name = f"{when}_{output}"
            table[name] = power
            table[name].info.description = f"power of output {output} {when}, ({unit})^2 / Hz"
    table.meta["comments"] = ["one-sided power spectral densities of background pixels"]
    return table
