"""What SceneFlickerNoiseStep reads from a model: clock, flags, scene, flat field and masks."""

import logging

import numpy as np
from astropy.io import fits
from jwst.lib.reffile_utils import get_subarray_model
from stdatamodels.jwst import datamodels

from crsteps.detector.readout import Readout
from crsteps.errors import CrstepsInputError
from crsteps.flicker_noise.line_levels import typical_noise
from crsteps.flicker_noise.modes import Facts
from crsteps.flicker_noise.scene_mask import SceneMaskOptions, find_scene_mask
from crsteps.flicker_noise.slope import (
    DO_NOT_USE,
    JUMP_DET,
    flagged_rates,
    flagged_reads,
    mean_difference,
    mean_rate,
)
from crsteps.flicker_noise.standard import complete_flat
from crsteps.flicker_noise.standard_mask import clip_mask
from crsteps.framework.references import find_reference

log = logging.getLogger(__name__)

# Exposure types whose light lies in bands along the dispersion, and the part of the field across it
# that is free of light.
_BANDS = {
    "NRS_MSASPEC": 0.5,
    "NRS_FIXEDSLIT": 0.5,
    "NRS_BRIGHTOBJ": 0.5,
    "NRS_IFU": 0.15,
    "NRC_TSGRISM": 0.5,
}

_MODELS = (
    datamodels.RampModel,
    datamodels.CubeModel,
    datamodels.ImageModel,
    datamodels.IFUImageModel,
)


def unsuitable(model):
    """
    Say why a model cannot be cleaned at all.

    Parameters
    ----------
    model : object
        What was opened.

    Returns
    -------
    str or None
        The reason; None if there is none.

    Raises
    ------
    CrstepsInputError
        It is no single exposure.
    """
    if not isinstance(model, datamodels.JwstDataModel):
        raise CrstepsInputError("scene_flicker_noise takes one exposure: give one file or model.")
    if not isinstance(model, _MODELS):
        return f"a {type(model).__name__} is no ramp after jump detection, and no rate"
    if model.data is None or not model.data.size:
        return "there are no data"
    if model.data.ndim == 4 and model.data.shape[1] < 2:
        return "a ramp of one group has no differences to clean"
    return None


def readout_of(model, n_outputs=None):
    """
    Give the clock of the detector, by the header.

    Parameters
    ----------
    model : JwstDataModel
        Exposure.
    n_outputs : int, optional
        Number of outputs instead of that in the header.

    Returns
    -------
    crsteps.detector.readout.Readout

    Raises
    ------
    CrstepsInputError
        A keyword is missing, or impossible.
    """
    subarray, exposure = model.meta.subarray, model.meta.exposure
    name, shape = model.meta.filename or "the exposure", model.data.shape[-2:]
    if _exposure_type(model).startswith("MIR"):
        # Not the clock, but the columns along which its detectors flicker.
        return Readout(shape=shape, n_outputs=1, fast_axis=2, slow_axis=1)
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
            shape=shape,
            n_outputs=n_outputs or exposure.noutputs,
            read_pattern=exposure.readpatt,
        )
    except ValueError as error:
        raise CrstepsInputError(
            f"{name}: {error} (keywords INSTRUME, FASTAXIS, SLOWAXIS and NOUTPUTS; "
            "the parameter n_outputs replaces the last)."
        ) from error


def facts_of(model, n_outputs):
    """
    Give what the modes depend on.

    Parameters
    ----------
    model : JwstDataModel
        Exposure.
    n_outputs : int
        Outputs of the detector.

    Returns
    -------
    crsteps.flicker_noise.modes.Facts
    """
    return Facts(
        exposure_type=_exposure_type(model),
        subarray=(model.meta.subarray.name or "").upper(),
        time_series=bool(model.meta.visit.tsovisit),
        n_integrations=len(model.data) if model.data.ndim > 2 else 1,
        n_outputs=n_outputs,
    )


def _exposure_type(model):
    kind = (model.meta.exposure.type or "").upper()
    miri = (model.meta.instrument.name or "").upper() == "MIRI"
    return kind if kind or not miri else "MIRI"


def integrations(model):
    """
    Give the data of a model with one axis for integrations, whatever kind it is.

    Parameters
    ----------
    model : JwstDataModel
        Ramps or rates.

    Returns
    -------
    ndarray, shape (n_integrations, n_groups, ny, nx) or (n_integrations, ny, nx)
        A view.
    """
    return model.data if model.data.ndim > 2 else model.data[None]


def flags_of(model, fit_method):
    """
    Find what is left out of the fits.

    Parameters
    ----------
    model : JwstDataModel
        Ramps or rates.
    fit_method : {"gp", "median", "fft"}
        The fit: the jwst step leaves out only reads flagged DO_NOT_USE or JUMP_DET.

    Returns
    -------
    ndarray of bool, shape of `integrations`
    """
    data = integrations(model)
    standard = fit_method != "gp"
    if data.ndim == 3:
        if standard:
            return np.zeros(data.shape, bool)
        return flagged_rates(model.dq).reshape(data.shape)
    flagged = np.empty(data.shape, bool)
    for i, groupdq in enumerate(model.groupdq):
        if standard:
            flagged[i] = (groupdq & (DO_NOT_USE | JUMP_DET)) > 0
        else:
            flagged[i] = flagged_reads(groupdq, model.pixeldq)
    return flagged


def scene_of(model, integration=None):
    """
    Mean difference of groups, or mean rate.

    Parameters
    ----------
    model : JwstDataModel
        Ramps or rates.
    integration : int, optional
        That of one integration; of all of them when not given.

    Returns
    -------
    ndarray of float32, shape (ny, nx)
        NaN where no difference or rate can be trusted.
    """
    data = integrations(model)
    chosen = slice(None) if integration is None else slice(integration, integration + 1)
    if data.ndim == 4:
        flags = (flagged_reads(groupdq, model.pixeldq) for groupdq in model.groupdq[chosen])
        return mean_difference(data[chosen], flags)
    return mean_rate(data[chosen], flagged_rates(model.dq).reshape(data.shape)[chosen])


def flat_of(step, model):
    """
    Find the flat field.

    Parameters
    ----------
    step : crsteps.framework.step.CrStep
        Step, with ``override_flat``.
    model : JwstDataModel
        Exposure.

    Returns
    -------
    ndarray of float32, shape (ny, nx), or None
        None, with a warning, where there is none.

    Raises
    ------
    CrstepsInputError
        The file that was given cannot be used.
    """
    try:
        path = find_reference(step, model, "flat").path
    except CrstepsInputError as error:
        if step.override_flat:
            raise
        log.warning("No flat field is applied: %s", error)
        return None
    try:
        with datamodels.FlatModel(path) as flat:
            if flat.data.shape == model.data.shape[-2:]:
                values = flat.data
            else:
                with get_subarray_model(model, flat) as part:
                    values = part.data
            values = complete_flat(values)
    except (OSError, TypeError, ValueError, AttributeError) as error:
        raise CrstepsInputError(
            f"The flat field {path} cannot be used: {' '.join(str(error).split())[:200]}; "
            "set override_flat to a flat field of this detector."
        ) from error
    if values.shape != model.data.shape[-2:]:
        raise CrstepsInputError(
            f"The flat field {path} has shape {values.shape} and the images "
            f"{model.data.shape[-2:]}: set override_flat to a flat field of this detector."
        )
    return values


def own_masks(model, scene, *, readout, modes, flat=None, science=None, clipping=None):
    """
    Background masks made from the exposure.

    Parameters
    ----------
    model : JwstDataModel
        Ramps or rates.
    scene : ndarray of float32, shape (ny, nx)
        As of `scene_of`.
    readout : crsteps.detector.readout.Readout
        Clocking.
    modes : crsteps.flicker_noise.modes.Modes
        Resolved modes.
    flat : ndarray, shape (ny, nx), optional
        Flat field.
    science : ndarray of bool, shape (ny, nx), optional
        True in regions that hold light.
    clipping : dict, optional
        Options of `clip_mask`.

    Returns
    -------
    ndarray of bool, shape (ny, nx) or (n_integrations, ny, nx)
        True at background pixels.
    """

    def mask(image):
        image = image if flat is None else image / flat
        if modes.mask_method == "clip":
            candidates = None if science is None else ~science
            return clip_mask(image, candidate_mask=candidates, **(clipping or {}))
        options = _scene_mask_options(model, readout)
        found = find_scene_mask(image, missing=science, image_noise=noise, options=options)
        return ~found.mask

    noise = _noise_of_one(model, readout)
    n = len(integrations(model))
    if modes.single_mask or n == 1:
        return mask(scene)
    return np.stack([mask(scene_of(model, i)) for i in range(n)])


def _scene_mask_options(model, readout):
    kind = _exposure_type(model)
    bands = {}
    if kind in _BANDS:
        axis = 0 if dispersion_direction(model) == 2 else 1
        bands = {"dispersion_axis": axis, "gap_quantile": _BANDS[kind]}
    return SceneMaskOptions(stripe_axis=_stripe_axis(readout), n_outputs=readout.n_outputs, **bands)


def dispersion_direction(model):
    """
    Give the axis along which spectra run.

    Parameters
    ----------
    model : JwstDataModel
        Exposure.

    Returns
    -------
    int
        1 for x, which is taken where the keyword DISPAXIS is not there yet, and 2 for y.
    """
    return model.meta.wcsinfo.dispersion_direction or 1


def _noise_of_one(model, readout):
    """White noise of one of the differences or rates that are to be cleaned."""
    data = integrations(model)
    one = data[len(data) // 2]
    if one.ndim == 3:
        middle = len(one) // 2
        one = one[middle] - one[middle - 1]
    return typical_noise(one, stripe_axis=_stripe_axis(readout)) or None


def _stripe_axis(readout):
    """Axis of the arrays along which a stripe runs."""
    return 1 if abs(readout.fast_axis) == 1 else 0


def read_user_mask(path, model):
    """
    Read the background mask of the user.

    Parameters
    ----------
    path : str or Path
        FITS file.
    model : JwstDataModel
        Exposure.

    Returns
    -------
    ndarray of bool, shape (ny, nx) or (n_integrations, ny, nx)
        True at background pixels.

    Raises
    ------
    CrstepsInputError
        The file cannot be read, or holds no image of a possible shape.
    """
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
            f"user_mask: {path} holds {found}; give one of shape {' or '.join(map(str, wanted))}."
        )
    return np.isfinite(images[0]) & (images[0] != 0)
