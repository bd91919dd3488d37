"""Stage 1 of jwst, from raw ramps to rates, with our persistence and flicker noise."""

import logging
from pathlib import Path

import numpy as np
from jwst.pipeline import Detector1Pipeline
from stdatamodels.jwst.datamodels import JwstDataModel, read_metadata

from crsteps.datamodels.variances import stored_variance
from crsteps.errors import CrstepsInputError
from crsteps.flicker_noise.products_step import add_variance, stored_error_variance
from crsteps.flicker_noise.slope_error import slope_error_variance
from crsteps.flicker_noise.step import SceneFlickerNoiseStep
from crsteps.framework.pipeline import CrPipeline
from crsteps.framework.provenance import carry_records, read_records
from crsteps.persistence.step import ERROR_HDU, PowerLawPersistenceStep
from crsteps.pipelines.resume import not_twice

log = logging.getLogger(__name__)

_SLOT = "clean_flicker_noise"
# They make rates from ramps, or work on rates: no intermediate product has been through them.
_AFTER_RAMPS = ("ramp_fit", "gain_scale")


def _with_ours(steps):
    """Steps of the standard pipeline with ours among them."""
    ours = {}
    for name, step in steps.items():
        if name == _SLOT:
            ours["scene_flicker_noise"] = SceneFlickerNoiseStep
            continue
        ours[name] = step
        if name == "linearity":
            ours["powerlaw_persistence"] = PowerLawPersistenceStep
    return ours


class CrstepsDetector1Pipeline(CrPipeline, Detector1Pipeline):
    """
    Calibrate raw ramps to rates, with flicker noise removed by scene_flicker_noise.

    The steps, their order and their parameters are those of ``calwebb_detector1``, but for
    ``clean_flicker_noise``, whose place `SceneFlickerNoiseStep` takes under its own name, and
    `PowerLawPersistenceStep`, which comes after ``linearity`` and is skipped by default.

    Parameters
    ----------
    *args, **kwargs
        As for `stpipe.Pipeline`.
    """

    class_alias = "crsteps_detector1"
    takes = "an exposure of ramps"

    step_defs = _with_ours(Detector1Pipeline.step_defs)

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        for name in self.step_defs:
            if name not in _AFTER_RAMPS:
                not_twice(getattr(self, name))
        linearise = self.linearity.run
        self.linearity.run = lambda ramps: self._without_persistence(linearise(ramps))
        fit = self.ramp_fit.process
        self.ramp_fit.process = lambda ramps: self._completed(fit(ramps), ramps)

    @property
    def clean_flicker_noise(self):
        """Step that runs in the slot of the standard pipeline."""
        return self.scene_flicker_noise

    @classmethod
    def get_config_reftype(cls):
        """
        Name the parameters that CRDS is asked for, where it is configured.

        Returns
        -------
        str
            Those of the standard pipeline: the other steps are to run as there.
        """
        return Detector1Pipeline.get_config_reftype()

    @classmethod
    def get_config_from_reference(cls, dataset, disable=None, crds_observatory=None):
        """
        Get parameters from CRDS where it is configured, without those of the slot.

        Parameters
        ----------
        dataset, disable, crds_observatory
            As in `stpipe.Step`.

        Returns
        -------
        configobj.ConfigObj
            Parameters.
        """
        config = super().get_config_from_reference(
            dataset, disable=disable, crds_observatory=crds_observatory
        )
        config.get("steps", {}).pop(_SLOT, None)
        return config

    def prepare_output(self, init, *args, **kwargs):
        """
        Open the input as ramps.

        Parameters
        ----------
        init, *args, **kwargs
            As in `jwst.stpipe.Step`.

        Returns
        -------
        RampModel

        Raises
        ------
        CrstepsInputError
            The input is not one exposure of ramps.
        """
        if _is_fitted(init):
            name = init if isinstance(init, str | Path) else init.meta.filename
            raise CrstepsInputError(
                f"{name} has been through the ramp fit: {self.class_alias} takes {self.takes} such "
                "as x_uncal.fits or x_jump.fits."
            )
        return super().prepare_output(init, *args, **kwargs)

    def run(self, *args):
        """
        Run the pipeline.

        Parameters
        ----------
        *args
            Input, as for `stpipe.Step.run`.

        Returns
        -------
        JwstDataModel
            Rates of the exposure.
        """
        for step in (self.scene_flicker_noise, self.powerlaw_persistence):
            step.error_variance = None  # of an earlier run
        return super().run(*args)

    def _without_persistence(self, ramps):
        """Subtract persistence from linear ramps, if that is wanted."""
        step = self.powerlaw_persistence
        if not step.skip:
            return step.run(ramps)
        # The standard status is left to the standard step.
        if getattr(ramps.meta.cal_step, step.class_alias, None) != "COMPLETE":
            setattr(ramps.meta.cal_step, step.class_alias, "SKIPPED")
        return ramps

    def _completed(self, rates, ramps):
        """Give rates of a ramp fit the records of the ramps and the error of the removed noise."""
        for model in rates:
            if model is not None:  # there are none where no group is good
                carry_records(ramps, model)
        error = self._error_variance(ramps)
        if error is not None:
            time = ramps.meta.exposure.group_time
            added = slope_error_variance(error, ramps.groupdq, group_time=time)
            for model, variance in zip(rates, added, strict=True):
                _add_variance(model, variance)
        error = self._persistence_variance(ramps)
        if error is not None:
            for model in rates:
                if model is not None:
                    _add_variance(model, np.broadcast_to(error, model.data.shape))
        return rates

    def _persistence_variance(self, ramps):
        """Variance of the rate of persistence that was subtracted, or None."""
        step = self.powerlaw_persistence
        record = read_records(ramps).get(step.class_alias, {})
        if record.get("status") != "COMPLETE" or not record["parameters"].get("update_variance"):
            return None
        stored = stored_variance(ramps, ERROR_HDU)
        return step.error_variance if stored is None else stored

    def _error_variance(self, ramps):
        """
        Variance of the error of the noise removed from differences of groups; None for none.

        That of ramps cleaned in an earlier run is in an extension, or known by its mean.
        """
        step = self.scene_flicker_noise
        record = read_records(ramps).get(step.class_alias, {})
        if record.get("status") != "COMPLETE" or not record["parameters"].get("update_variance"):
            return None
        if step.error_variance is not None:
            return step.error_variance
        stored = stored_error_variance(ramps)
        if stored is not None:
            return stored
        mean_error = record.get("measurements", {}).get("mean_error")
        return mean_error and np.full(ramps.data.shape[-2:], mean_error["value"] ** 2)


def _is_fitted(given):
    """Tell whether a file or model has been through the ramp fit; what cannot be read has not."""
    if isinstance(given, JwstDataModel):
        return given.meta.cal_step.ramp_fit == "COMPLETE"
    try:
        return read_metadata(given, flatten=True).get("meta.cal_step.ramp_fit") == "COMPLETE"
    except (OSError, TypeError, ValueError, KeyError):
        return False  # told when it is opened


def _add_variance(model, variance):
    """Add a variance to those of rates, in place."""
    if model is None:
        return
    if model.data.shape != variance.shape:
        log.warning(
            "the error of what was removed is not added to rates of another shape, %s, than that "
            "of the ramps, %s",
            model.data.shape,
            variance.shape,
        )
        return
    add_variance(model, variance)
