"""Remove 1/f noise and alternating column noise from ramps and rates, with the scene masked."""

import logging

import numpy as np
from astropy.io import fits

from crsteps.detector.readout import Readout
from crsteps.errors import CrstepsInputError
from crsteps.flicker_noise.background import smooth_sky
from crsteps.flicker_noise.cleaning import CleaningOptions, clean_ramp, estimate_flicker
from crsteps.flicker_noise.report import Measurements
from crsteps.flicker_noise.scene_mask import SceneMaskOptions, find_scene_mask
from crsteps.flicker_noise.slope import flagged_rates, flagged_reads, mean_difference, mean_rate
from crsteps.framework.step import CrStep

log = logging.getLogger(__name__)


class SceneFlickerNoiseStep(CrStep):
    """Remove 1/f noise and alternating column noise from ramps and rates, with the scene masked."""

    class_alias = "scene_flicker_noise"
    standard_status = "clean_flicker_noise"

    spec = """
        sky_box = integer(min=4, default=48)  # Scale in pixels on which light is smooth sky, and not noise
        sky_passes = integer(min=1, max=10, default=2)  # How often sky and noise are estimated in turn
        alternating_columns = boolean(default=True)  # Remove alternating column noise too
        user_mask = string(default=None)  # FITS image that is 1 where pixels show background, instead of our own mask
        n_outputs = integer(min=1, default=None)  # Number of detector outputs; default: from the header
        update_variance = boolean(default=True)  # Add the variance of the error of the removed noise to VAR_RNOISE and ERR of rates
        save_mask = boolean(default=False)  # Write the mask, 1 where pixels show background
        save_noise = boolean(default=False)  # Write the noise that was removed
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
        self.measurements = {}
        model = self.prepare_output(given)
        if reason := _unsuitable(model):
            return self._skip(model, reason)
        readout = self._readout(model)
        scene = _scene(model)
        background = self._user_mask(model) if self.user_mask else _own_mask(scene, readout)
        ramps = model.data.ndim == 4
        measured, noise = (self._clean_ramps if ramps else self._clean_rates)(
            model, background, readout, self._known_sky(model, scene, background)
        )
        if not measured.n_cleaned:
            return self._skip(model, measured.reason)
        for line in measured.lines():
            log.info(line)
        self.measurements = measured.values()
        self.record_status(model)
        if self.save_mask:
            self._save(model, background.astype(np.float32), "mask")
        if self.save_noise:
            self._save(model, noise, "flicker_noise")
        return model

    def _skip(self, model, reason):
        log.warning("scene_flicker_noise is skipped, the data are unchanged: %s", reason)
        return self.record_status(model, "SKIPPED")

    def _readout(self, model):
        """Clock of the detector, by the header."""
        subarray, exposure = model.meta.subarray, model.meta.exposure
        name = model.meta.filename or "the exposure"
        for keyword, value in (("FASTAXIS", subarray.fastaxis), ("SLOWAXIS", subarray.slowaxis)):
            if value is None:
                raise CrstepsInputError(
                    f"{name} lacks the keyword {keyword}, which tells how it was read out: set it."
                )
        try:
            return Readout.from_header(
                instrument=str(model.meta.instrument.name),
                fast_axis=subarray.fastaxis,
                slow_axis=subarray.slowaxis,
                shape=model.data.shape[-2:],
                n_outputs=self.n_outputs or exposure.noutputs,
                read_pattern=exposure.readpatt,
            )
        except ValueError as error:
            raise CrstepsInputError(
                f"{name}: {error} (keywords INSTRUME, FASTAXIS, SLOWAXIS and NOUTPUTS; "
                "the parameter n_outputs replaces the last)."
            ) from error

    def _user_mask(self, model):
        """Background mask of the user, 2-D or one image an integration."""
        path = self.make_input_path(self.user_mask)
        try:
            with fits.open(path) as hdus:
                images = [hdu.data for hdu in hdus if hdu.is_image and hdu.data is not None]
        except OSError as error:
            raise CrstepsInputError(
                f"user_mask: {path} cannot be read as FITS: check the path."
            ) from error
        shape, cube = model.data.shape[-2:], (len(model.data), *model.data.shape[-2:])
        wanted = (shape, cube) if model.data.ndim > 2 else (shape,)
        if not images or images[0].shape not in wanted:
            found = f"an image of shape {images[0].shape}" if images else "no image"
            raise CrstepsInputError(
                f"user_mask: {path} holds {found}; give one of shape "
                f"{' or '.join(map(str, wanted))}."
            )
        return np.isfinite(images[0]) & (images[0] != 0)

    def _options(self):
        return CleaningOptions(
            sky_passes=self.sky_passes,
            sky_box=self.sky_box,
            alternating_columns=self.alternating_columns,
        )

    def _known_sky(self, model, scene, background):
        """Sky that the integrations of a ramp share; None if there is only one."""
        if model.data.ndim < 4 or len(model.data) == 1:
            return None
        everywhere = background if background.ndim == 2 else background.all(axis=0)
        return smooth_sky(scene, everywhere, box=self.sky_box)

    def _clean_ramps(self, model, background, readout, sky):
        """Clean one integration after the other, in place."""
        measured = Measurements()
        noise = np.zeros(model.data.shape, np.float32) if self.save_noise else None
        masks = np.broadcast_to(background, (len(model.data), *background.shape[-2:]))
        for i, (ramp, mask) in enumerate(zip(model.data, masks, strict=True)):
            flagged = flagged_reads(model.groupdq[i], model.pixeldq)
            try:
                cleaned, estimate = clean_ramp(
                    ramp,
                    flagged=flagged,
                    background_mask=mask,
                    readout=readout,
                    sky=sky,
                    options=self._options(),
                )
            except ValueError as error:  # the arguments were checked: it is the data
                measured.reason = str(error)
                if len(model.data) > 1:
                    log.warning("integration %d is left as it is: %s", i + 1, error)
                continue
            if noise is not None:
                noise[i, 1:] = np.cumsum(estimate.noise, axis=0)
            model.data[i] = cleaned
            used = mask & ~flagged[:-1] & ~flagged[1:]
            measured.add(estimate, float(used.mean()))
        return measured, noise

    def _clean_rates(self, model, background, readout, sky):
        """Clean the rates of all integrations, in place."""
        measured = Measurements()
        rates = model.data.reshape(-1, *model.data.shape[-2:])
        used = background & ~flagged_rates(model.dq).reshape(rates.shape) & np.isfinite(rates)
        try:
            estimate = estimate_flicker(
                rates, background_mask=used, readout=readout, sky=sky, options=self._options()
            )
        except ValueError as error:
            measured.reason = str(error)
            return measured, None
        measured.add(estimate, float(used.mean()), n_cleaned=len(rates))
        noise = estimate.noise.reshape(model.data.shape)
        model.data = model.data - noise
        if self.update_variance:
            _add_variance(model, estimate.error_variance)
        return measured, noise

    def _save(self, model, data, suffix):
        """Write an intermediate result with the metadata of the model."""
        from stdatamodels.jwst import datamodels

        classes = {2: datamodels.ImageModel, 3: datamodels.CubeModel, 4: datamodels.RampModel}
        product = classes[data.ndim](data=data)
        product.update(model)
        self.save_model(product, suffix=suffix, force=True)


def _unsuitable(model):
    """Say why a model cannot be cleaned; None if it can."""
    from stdatamodels.jwst import datamodels

    kinds = (
        datamodels.RampModel,
        datamodels.CubeModel,
        datamodels.ImageModel,
        datamodels.IFUImageModel,
    )
    if not isinstance(model, datamodels.JwstDataModel):
        raise CrstepsInputError("scene_flicker_noise takes one exposure: give one file or model.")
    if not isinstance(model, kinds):
        return f"a {type(model).__name__} is no ramp after jump detection, and no rate"
    if (model.meta.instrument.name or "").upper() == "MIRI":
        return "the detectors of MIRI are not read like the near-infrared ones"
    if (model.meta.exposure.readpatt or "").upper().startswith("NRSIRS2"):
        return "the readout patterns NRSIRS2 and NRSIRS2RAPID are not supported yet"
    if model.data.ndim == 4 and model.data.shape[1] < 2:
        return "a ramp of one group has no differences to clean"
    return None


def _scene(model):
    """Mean difference of groups, or mean rate, of all integrations."""
    if model.data.ndim == 4:
        flags = (flagged_reads(groupdq, model.pixeldq) for groupdq in model.groupdq)
        return mean_difference(model.data, flags)
    rates = model.data.reshape(-1, *model.data.shape[-2:])
    return mean_rate(rates, flagged_rates(model.dq).reshape(rates.shape))


def _own_mask(scene, readout):
    """Background of the scene."""
    options = SceneMaskOptions(
        stripe_axis=1 if abs(readout.fast_axis) == 1 else 0, n_outputs=readout.n_outputs
    )
    return ~find_scene_mask(scene, options=options).mask


def _add_variance(model, variance):
    """Add the variance of the error of the noise to those of the rates, where there are some."""
    if model.hasattr("var_rnoise"):
        model.var_rnoise = model.var_rnoise + variance
    if model.hasattr("err"):
        model.err = np.sqrt(model.err**2 + variance)
