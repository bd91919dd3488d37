"""Science regions of an exposure: from its WCS, its flags and the references of CRDS."""

import logging

import numpy as np
from stdatamodels.jwst import datamodels

from crsteps.errors import CrstepsInputError
from crsteps.flicker_noise.science_regions import boxes_mask, fixed_slit_region, traces_mask
from crsteps.framework.crds_access import ask_crds

log = logging.getLogger(__name__)

_SLIT_TYPES = ("NRS_FIXEDSLIT", "NRS_BRIGHTOBJ", "NRS_MSASPEC")
# Quadrant that the shutter table of a MOS exposure gives to targets in the fixed slits.
_FIXED_SLIT_QUADRANT = 5
_FLAGS = datamodels.dqflags.pixel


def science_regions(model, *, input_dir="", pastasoss=None):
    """
    Find the regions of an exposure that light is known to fall on.

    Slices of the NIRSpec IFU and slits from the WCS, which is assigned to a copy where the exposure
    has none and CRDS is configured; pixels under failed open shutters; the region of the fixed
    slits on full frames of IFU and MOS without a target in them; the part of the MIRI imager that
    is not for imaging; traces of NIRISS SOSS.

    Parameters
    ----------
    model : JwstDataModel
        Ramps or rates; not modified.
    input_dir : str, optional
        Folder of the exposure, in which its MSA metadata file is looked for.
    pastasoss : path-like, optional
        Reference of the SOSS traces instead of that of CRDS.

    Returns
    -------
    ndarray of bool, shape (ny, nx), or None
        True in science regions; None, with a warning, where nothing is known about them. Where
        only a part is known, that part, with a warning.
    """
    kind = (model.meta.exposure.type or "").upper()
    shape = model.data.shape[-2:]
    if kind == "NIS_SOSS":
        return _soss_traces(model, shape, pastasoss)
    if kind == "MIR_IMAGE":
        return _outside_imager(model)
    if kind == "NRS_IFU" or kind in _SLIT_TYPES:
        return _nirspec_regions(model, kind, shape, input_dir)
    if kind.startswith("NRS"):
        return _flagged(model, "MSA_FAILED_OPEN")
    log.warning("mask_science_regions: no science regions are known for %s", kind or "no EXP_TYPE")
    return None


def _dq(model):
    """Flags of the pixels, of all integrations together."""
    dq = model.pixeldq if model.hasattr("pixeldq") else model.dq
    return np.bitwise_or.reduce(dq.reshape(-1, *dq.shape[-2:]), axis=0)


def _flagged(model, *names):
    flags = np.bitwise_or.reduce([np.uint32(_FLAGS[name]) for name in names])
    return (_dq(model) & flags) > 0


def _nirspec_regions(model, kind, shape, input_dir):
    """Slices or slits, failed open shutters and the fixed slits."""
    known = _with_wcs(model, kind, input_dir)
    mask = _flagged(model, "MSA_FAILED_OPEN")
    if known is not None and kind in ("NRS_IFU", "NRS_MSASPEC"):
        mask |= _failed_open(known)
    wcs = None if known is None else known.meta.wcs
    if kind == "NRS_IFU" or (kind == "NRS_MSASPEC" and not _target_in_fixed_slit(wcs)):
        mask |= fixed_slit_region(shape, first_row=(model.meta.subarray.ystart or 1) - 1)
    reason = "the exposure has no WCS, and CRDS gave none"
    if known is not None:
        try:
            return mask | (_slices(known, shape) if kind == "NRS_IFU" else _slits(wcs, shape))
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            reason = f"the WCS tells none ({error})"
    log.warning(
        "mask_science_regions: the %s of %s are unknown: %s; run assign_wcs first, or configure "
        "CRDS",
        "slices" if kind == "NRS_IFU" else "slits",
        kind,
        reason,
    )
    return mask if mask.any() else None


def _with_wcs(model, kind, input_dir):
    """Give the exposure, or a rate image of nothing like it, with a WCS; None without."""
    if getattr(model.meta, "wcs", None) is not None:
        return model
    from jwst.assign_wcs import AssignWcsStep

    image = datamodels.IFUImageModel if kind == "NRS_IFU" else datamodels.ImageModel
    rate = image(data=np.zeros(model.data.shape[-2:], np.float32), dq=_dq(model))
    rate.update(model)
    step = AssignWcsStep()
    step.input_dir = input_dir
    rate = ask_crds("a WCS", lambda: step.run(rate))
    return rate if getattr(getattr(rate, "meta", None), "wcs", None) is not None else None


def _failed_open(known):
    """Pixels under failed open shutters by the reference of CRDS, where there is one."""
    from jwst.msaflagopen import MSAFlagOpenStep

    flagged = known
    if (known.meta.cal_step.msa_flagging or "") != "COMPLETE":
        flagged = ask_crds("failed open shutters", lambda: MSAFlagOpenStep().run(known), known)
    return _flagged(flagged, "MSA_FAILED_OPEN")


def _target_in_fixed_slit(wcs):
    """Whether a MOS exposure has a target in a fixed slit; not if that is unknown."""
    slits = getattr(_to_slits(wcs), "slits", ())
    return any(getattr(slit, "quadrant", None) == _FIXED_SLIT_QUADRANT for slit in slits)


def _to_slits(wcs):
    """Transform that knows the open slits; None where there is none."""
    if wcs is None or not {"gwa", "slit_frame"} <= set(wcs.available_frames):
        return None
    return wcs.get_transform("gwa", "slit_frame")


def _slits(wcs, shape):
    """Bounding boxes of the open slits."""
    boxes = [wcs.bounding_box[slit] for slit in _to_slits(wcs).slit_ids]
    return boxes_mask(shape, [(tuple(box[0]), tuple(box[1])) for box in boxes])


def _slices(model, shape):
    """Pixels of the slices: where a slice has a wavelength."""
    from gwcs.wcstools import grid_from_bounding_box
    from jwst.assign_wcs import nirspec

    mask = np.zeros(shape, dtype=bool)
    for wcs in nirspec.nrs_ifu_wcs(model):
        x, y = grid_from_bounding_box(wcs.bounding_box)
        wavelength = wcs(x, y)[2]
        inside = np.isfinite(wavelength) & (x >= 0) & (y >= 0) & (x < shape[1]) & (y < shape[0])
        mask[y[inside].astype(int), x[inside].astype(int)] = True
    return mask


def _soss_traces(model, shape, pastasoss):
    """Traces of the orders at the position of the pupil wheel."""
    from jwst.clean_flicker_noise import CleanFlickerNoiseStep
    from jwst.extract_1d.soss_extract.pastasoss import get_soss_wavemaps

    path = pastasoss or ask_crds(
        "the SOSS traces",
        lambda: CleanFlickerNoiseStep().get_reference_file(model, "pastasoss"),
    )
    if not path or path == "N/A":
        log.warning(
            "mask_science_regions: there is no pastasoss reference file; the traces are found in "
            "the image only"
        )
        return None
    try:
        with datamodels.PastasossModel(path) as reference:
            _, traces = get_soss_wavemaps(
                model.meta.instrument.pupil_position,
                subarray=model.meta.subarray.name,
                refmodel=reference,
                spectraces=True,
            )
    except (OSError, TypeError, ValueError, AttributeError) as error:
        if pastasoss:
            raise CrstepsInputError(
                f"The SOSS traces {path} cannot be used: {' '.join(str(error).split())[:200]}; "
                "set override_pastasoss to a reference file of SOSS traces."
            ) from error
        log.warning("mask_science_regions: the SOSS traces cannot be used: %s", error)
        return None
    return traces_mask(shape, [(x, y) for x, y, _ in traces])


def _outside_imager(model):
    """Part of the MIRI detector that is not for imaging: what its flat field does not cover."""
    mask = _flagged(model, "DO_NOT_USE", "NON_SCIENCE")
    flags = ask_crds("the flags of the flat field", lambda: _flat_flags(model))
    if flags is not None and flags.shape == mask.shape:
        mask |= (flags & (_FLAGS["DO_NOT_USE"] | _FLAGS["NON_SCIENCE"])) > 0
    elif not mask.any():
        log.warning(
            "mask_science_regions: neither flags nor a flat field tell which part of the MIRI "
            "detector is for imaging"
        )
        return None
    return mask


def _flat_flags(model):
    """Flags of the flat field of CRDS, cut to the window of the exposure."""
    from jwst.flatfield import FlatFieldStep
    from jwst.lib.reffile_utils import get_subarray_model, ref_matches_sci

    path = FlatFieldStep().get_reference_file(model, "flat")
    if path == "N/A":
        return None
    with datamodels.FlatModel(path) as flat:
        if ref_matches_sci(model, flat):
            return np.array(flat.dq)
        with get_subarray_model(model, flat) as part:
            return np.array(part.dq)
