"""Remove 1/f noise and alternating column noise from ramps and rates, with the scene masked."""

import logging
from dataclasses import replace

import numpy as np

from crsteps.datamodels.flicker_spectra import read_spectrum
from crsteps.errors import CrstepsInputError
from crsteps.flicker_noise import masks_step as masks
from crsteps.flicker_noise import products_step as products
from crsteps.flicker_noise.automatic import EXPOSURE_TYPES, choose_parameters
from crsteps.flicker_noise.background import smooth_sky
from crsteps.flicker_noise.cleaning import CleaningOptions
from crsteps.flicker_noise.correction import CorrectionOptions, Exposure, correct
from crsteps.flicker_noise.first_group import first_group_time
from crsteps.flicker_noise.fourier_series import ALLSLITS_FREQUENCIES
from crsteps.flicker_noise.modes import Modes, resolve_modes
from crsteps.flicker_noise.regions_step import science_regions
from crsteps.flicker_noise.report import Measurements
from crsteps.flicker_noise.spectrum import FlickerSpectrum
from crsteps.flicker_noise.streams import bin_time
from crsteps.flicker_noise.time_series import TimeSeriesOptions
from crsteps.framework.step import CrStep

log = logging.getLogger(__name__)


class SceneFlickerNoiseStep(CrStep):
    """
    Remove 1/f noise and alternating column noise from ramps and rates, with the scene masked.

    Attributes
    ----------
    error_variance : ndarray of float32, shape (ny, nx) or (n_integrations, ny, nx), or None
        After a run, the variance of the error of the noise that was removed from a difference of
        groups, or rate, data units squared; None where it is not known.
    """

    class_alias = "scene_flicker_noise"
    standard_status = "clean_flicker_noise"
    other_suffixes = (*CrStep.other_suffixes, "mask", "flicker_bkg", "flicker_noise")
    reference_file_types = ["flat", "pastasoss"]

    spec = """
        fit_method = option('gp', 'median', 'fft', default='gp')  # Joint Gaussian process of all outputs, line medians, or Fourier series (NIRSpec)
        background_method = option('auto', 'median', 'model', 'median_image', 'none', None, default='auto')  # Light that is no noise: by exposure and fit, constant, smooth, the same in all integrations, none
        fit_by_channel = boolean(default=False)  # Take line medians for each output by itself
        background_box_size = int_list(min=2, max=2, default=None)  # Box (y, x) of the background model of median and fft; default: largest divisors up to 32
        mask_science_regions = boolean(default=False)  # Mask known science regions
        apply_flat_field = boolean(default=False)  # Take account of the flat field
        n_sigma = float(min=0, default=2.0)  # Clipping of the background mask of median and fft, and of mask_method = clip; 0 for none
        fit_histogram = boolean(default=False)  # Clip with the sigma of a Gaussian fitted to the histogram
        mask_method = option('auto', 'sources', 'clip', default='auto')  # Find sources and their wings, or clip bright pixels; default: by fit
        single_mask = boolean(default=True)  # Make one mask for all integrations
        user_mask = string(default=None)  # FITS image that is 1 where pixels show background, instead of our own mask
        autoparam = boolean(default=False)  # Choose flat field, background and channels by the image (NIRCam and NIRISS imaging)
        sky_box = integer(min=4, default=None)  # Scale in pixels on which light is smooth sky, and not noise; default: 48, and 512 beside slits
        sky_passes = integer(min=1, default=9)  # Most passes in which sky and noise are told from each other
        alternating_columns = boolean(default=True)  # Remove alternating column noise too
        chromatic = boolean(default=True)  # Let time series change their brightness by wavelength
        clean_first_group = boolean(default=False)  # Remove the noise of the first group from all groups
        spectrum = string(default=None)  # File with the spectrum of the noise; default: measured on the exposure
        n_outputs = integer(min=1, default=None)  # Number of detector outputs; default: from the header
        update_variance = boolean(default=True)  # Add the variance of the error of the removed noise
        save_mask = boolean(default=False)  # Write the mask, 1 where pixels show background
        save_background = boolean(default=False)  # Write the background
        save_noise = boolean(default=False)  # Write the noise that was removed
        save_spectra = boolean(default=False)  # Write spectra before and after, and the one that was fitted
        save_figures = boolean(default=False)  # Draw images, spectra and line profiles before and after
    """  # noqa: E501

    def process(self, given):
        """
        Remove the flicker noise of an exposure.

        Parameters
        ----------
        given : path or JwstDataModel
            Ramps after jump detection (RampModel), rates of integrations (CubeModel) or a rate
            image (ImageModel).

        Returns
        -------
        JwstDataModel
            The cleaned model: a new one, or in a pipeline that of the pipeline.
        """
        self.measurements, self.error_variance, self._chosen = {}, None, {}
        model = self.prepare_output(given)
        if reason := masks.unsuitable(model):
            return self._skip(model, reason)
        readout = masks.readout_of(model, self.n_outputs)
        facts = masks.facts_of(model, readout.n_outputs)
        try:
            modes = resolve_modes(self._asked(), facts)
        except ValueError as error:
            return self._skip(model, str(error))
        scene = masks.scene_of(model)
        flat = masks.flat_of(self, model) if self.apply_flat_field else None
        if self.autoparam:
            modes, flat = self._choose(model, scene, readout, modes)
        self._tell(modes)
        background_mask = self._background_mask(model, scene, readout, modes, flat)
        exposure = Exposure(
            data=masks.integrations(model),
            flagged=masks.flags_of(model, modes.fit_method),
            background_mask=background_mask,
            scene=scene,
            readout=readout,
            flat=flat,
            time_series=facts.is_time_series,
        )
        collected, reason = self._correct(exposure, self._options(model, readout, modes))
        if not collected.measurements.n_cleaned:
            return self._skip(model, reason)
        return self._finish(model, collected, background_mask)

    def make_record(self, status="COMPLETE"):
        """
        Make the record of this run.

        Parameters
        ----------
        status : {"COMPLETE", "SKIPPED"}, optional
            What happened.

        Returns
        -------
        crsteps.framework.provenance.Record
            With the parameters that ``auto`` and ``autoparam`` stood for.
        """
        record = super().make_record(status)
        return replace(record, parameters={**record.parameters, **getattr(self, "_chosen", {})})

    def _skip(self, model, reason):
        log.warning("scene_flicker_noise is skipped, the data are unchanged: %s", reason)
        return self.record_status(model, "SKIPPED")

    def _asked(self):
        return Modes(
            fit_method=self.fit_method,
            background_method=str(self.background_method).lower(),  # None, as in the jwst step
            mask_method=self.mask_method,
            fit_by_channel=self.fit_by_channel,
            single_mask=self.single_mask,
            sky_box=self.sky_box,
        )

    def _choose(self, model, scene, readout, modes):
        """Modes and flat field by the image: ``autoparam`` of the jwst step."""
        exposure_type = model.meta.exposure.type
        flat = masks.flat_of(self, model) if exposure_type in EXPOSURE_TYPES else None
        # The limits are for rates in DN/s.
        seconds = model.meta.exposure.group_time if model.data.ndim == 4 else 1
        try:
            if seconds is None:
                raise ValueError("the keyword TGROUP is missing")
            chosen = choose_parameters(
                scene / np.float32(seconds),
                exposure_type=exposure_type,
                readout=readout,
                flat=flat,
            )
        except ValueError as error:
            log.warning("autoparam changes nothing: %s", error)
            return modes, masks.flat_of(self, model) if self.apply_flat_field else None
        self._chosen["apply_flat_field"] = chosen.pop("apply_flat_field")
        if modes.fit_method == "gp":  # it fits all outputs and a smooth sky in any case
            return modes, flat
        return replace(modes, **chosen), flat

    def _tell(self, modes):
        """Log and record the modes that are used."""
        for remark in modes.remarks:
            log.warning(remark)
        names = (
            "fit_method",
            "background_method",
            "mask_method",
            "fit_by_channel",
            "single_mask",
            "sky_box",
        )
        self._chosen |= {name: getattr(modes, name) for name in names}
        log.info(", ".join(f"{name} = {self._chosen[name]}" for name in names))

    def _background_mask(self, model, scene, readout, modes, flat):
        if self.user_mask and self.user_mask.lower() != "none":
            return masks.read_user_mask(self.make_input_path(self.user_mask), model)
        science = None
        if self.mask_science_regions:
            science = science_regions(
                model, input_dir=self.input_dir, pastasoss=self.override_pastasoss
            )
        return masks.own_masks(
            model,
            scene,
            readout=readout,
            modes=modes,
            flat=flat,
            science=science,
            clipping={"n_sigma": self.n_sigma, "fit_histogram": self.fit_histogram},
        )

    def _options(self, model, readout, modes):
        subarray, exposure = model.meta.subarray, model.meta.exposure
        imaging = exposure.type == "NRC_TSIMAGE"
        first_time = None
        if self.clean_first_group:
            first_time = first_group_time(
                n_frames=exposure.nframes or 1, group_gap=exposure.groupgap or 0
            )
        return CorrectionOptions(
            modes=modes,
            background_box_size=self.background_box_size and tuple(self.background_box_size),
            n_sigma=self.n_sigma,
            frequencies=ALLSLITS_FREQUENCIES if subarray.name == "ALLSLITS" else None,
            cleaning=CleaningOptions(
                sky_passes=self.sky_passes,
                sky_box=modes.sky_box,
                alternating_columns=self.alternating_columns,
            ),
            series=TimeSeriesOptions(
                chromatic=self.chromatic and not imaging,
                dispersion_axis=masks.dispersion_direction(model),
                alternating_columns=self.alternating_columns,
                sky_box=modes.sky_box,
            ),
            spectrum=self._given_spectrum(model, readout) if modes.fit_method == "gp" else None,
            first_time=first_time,
        )

    def _given_spectrum(self, model, readout):
        """Spectrum of a file, in bins."""
        if not self.spectrum:
            return None
        path = self.make_input_path(self.spectrum)
        stored = read_spectrum(path)
        facts = {**products.spectrum_facts(model), "n_outputs": readout.n_outputs}
        needed = {name: facts.pop(name) for name in ("quantity", "unit", "n_outputs")}
        if wrong := stored.differences(**needed):
            raise CrstepsInputError(
                f"spectrum: {path} does not fit the exposure: {', '.join(wrong)}; give a file made "
                "from an exposure like this, or none to measure the spectrum."
            )
        for difference in stored.differences(**facts):
            log.warning("spectrum: %s: %s", path, difference)
        return FlickerSpectrum(**stored.spectrum.in_bins(bin_time(readout)))

    def _correct(self, exposure, options):
        """Correct the integrations in place, and collect what products need."""
        collected = products.Collected(
            exposure,
            Measurements(exposure.readout),
            keep_noise=self.save_noise,
            keep_background=self.save_background,
        )
        reasons = {}
        for i, corrected in enumerate(correct(exposure, options)):
            collected.add(i, corrected)
            if corrected.data is None:
                reasons[i] = corrected.reason
            else:
                exposure.data[i] = corrected.data
        if collected.measurements.n_cleaned:
            for i, reason in reasons.items():
                log.warning("integration %d is left as it is: %s", i + 1, reason)
        return collected, next(iter(reasons.values()), "")

    def _finish(self, model, collected, background_mask):
        """Measure, record and save."""
        exposure, measured = collected.exposure, collected.measurements
        sky = collected.sky
        if sky is None:
            box = self._chosen["sky_box"]
            sky = smooth_sky(exposure.scene, exposure.common_mask, box=box)
        collected.finish(sky, profiles=self.save_figures)
        for line in measured.lines():
            log.info(line)
        self.measurements = measured.values()
        self.error_variance = collected.error_variance()
        products.set_flags(model, collected.uncorrected)
        self.record_status(model)
        if self.update_variance and self.error_variance is not None:
            products.add_variance(model, self.error_variance)
        products.save_images(self, model, collected, background_mask)
        if self.save_spectra:
            products.save_spectra(self, model, collected)
        if self.save_figures:
            products.save_figures(self, model, collected)
        return model
