"""Simulated exposures as JWST count-rate products (``_rate.fits``) and their association.

For tests and demonstrations: the files have what stage 2 and 3 steps look for in a NIRSpec rate
product, but neither a WCS nor the detector's format.
"""

import json
import os
from pathlib import Path

import numpy as np

from crsteps.datamodels.products import DO_NOT_USE
from crsteps.framework.output import atomic_path

_START_MJD = 60000.0
_SECONDS_PER_DAY = 86400.0


def rate_model(counts, *, gain, read_noise, exposure_time, missing=None, number=1):
    """
    Make a NIRSpec count-rate model from an image in counts.

    Parameters
    ----------
    counts : ndarray (ny, nx)
        Image without bias level [DN].
    gain : float
        Gain [e-/DN].
    read_noise : float
        Noise of the image without signal [e-].
    exposure_time : float
        Exposure time [s].
    missing : ndarray (ny, nx) bool, optional
        Pixels without a usable value: NaN, and flagged DO_NOT_USE.
    number : int, optional
        Number of the exposure within its visit.

    Returns
    -------
    stdatamodels.jwst.datamodels.ImageModel
        SCI in DN/s, DQ, ERR and variances. As in rate products of the pipeline, VAR_POISSON is
        that of the measured, not of the expected signal.
    """
    from stdatamodels.jwst import datamodels

    missing = np.zeros(np.shape(counts), bool) if missing is None else np.asarray(missing, bool)
    rate = np.where(missing, np.nan, counts / exposure_time).astype(np.float32)
    model = datamodels.ImageModel(data=rate)
    scale = gain * exposure_time
    model.var_rnoise = np.full(rate.shape, (read_noise / scale) ** 2, np.float32)
    model.var_poisson = np.fmax(rate, 0) / np.float32(scale)
    model.err = np.sqrt(model.var_rnoise + model.var_poisson)
    model.dq = np.where(missing, DO_NOT_USE, 0).astype(np.uint32)
    _describe(model, exposure_time, number)
    return model


def _describe(model, exposure_time, number):
    """Fill in the metadata of an exposure of a NIRSpec visit."""
    start = _START_MJD + 1.1 * (number - 1) * exposure_time / _SECONDS_PER_DAY
    # not update(): that replaces whole sections
    for name, value in {
        "filename": f"jw99999001001_02101_{number:05d}_nrs1_rate.fits",
        "model_type": "ImageModel",
        "bunit_data": "DN/s",
        "bunit_err": "DN/s",
        "telescope": "JWST",
        "origin": "STSCI",
        "filetype": "countrate",
        "instrument.name": "NIRSPEC",
        "instrument.detector": "NRS1",
        "instrument.filter": "F170LP",
        "instrument.grating": "G235H",
        "exposure.type": "NRS_IFU",
        "exposure.readpatt": "NRSIRS2RAPID",
        "exposure.nints": 1,
        "exposure.start_time": start,
        "exposure.mid_time": start + exposure_time / 2 / _SECONDS_PER_DAY,
        "exposure.end_time": start + exposure_time / _SECONDS_PER_DAY,
        "exposure.exposure_time": float(exposure_time),
        "exposure.effective_exposure_time": float(exposure_time),
        "observation.date": "2023-02-25",
        "observation.time": "00:00:00.000",
        "observation.program_number": "99999",
        "observation.observation_number": "001",
        "observation.visit_number": "001",
        "observation.visit_group": "02",
        "observation.sequence_id": "1",
        "observation.activity_id": "01",
        "observation.exposure_number": str(number),
        "target.catalog_name": "simulated",
        "target.proposer_name": "simulated",
        "cal_step.jump": "COMPLETE",
        "cal_step.ramp_fit": "COMPLETE",
    }.items():
        model[f"meta.{name}"] = value


def write_rate_files(
    folder, counts, *, gain, read_noise, exposure_time=1000.0, missing=None, product="simulated"
):
    """
    Write a set of exposures as JWST rate files with an association.

    Parameters
    ----------
    folder : str or Path
        Folder; made if it does not exist. Files of the same names are replaced.
    counts : sequence of ndarray (ny, nx)
        Exposures without bias level [DN].
    gain, read_noise, exposure_time
        As for `rate_model`; the same for all exposures.
    missing : sequence of ndarray (ny, nx) bool, optional
        Pixels of each exposure without a usable value.
    product : str, optional
        Name of the association's product.

    Returns
    -------
    paths : list of Path
        ``jw99999001001_02101_<number>_nrs1_rate.fits``, in the order of the exposures.
    association : Path
        ``<product>_asn.json``, of which all exposures are science members.
    """
    folder = Path(folder)
    paths = []
    for number, image in enumerate(counts, start=1):
        model = rate_model(
            image,
            gain=gain,
            read_noise=read_noise,
            exposure_time=exposure_time,
            missing=None if missing is None else missing[number - 1],
            number=number,
        )
        paths.append(folder / model.meta.filename)
        # a stream has no name that the model could take over from the temporary file
        with atomic_path(paths[-1]) as aside, open(aside, "wb") as stream:
            model.to_fits(stream)
    return paths, _write_association(folder / f"{product}_asn.json", paths, product)


def _write_association(path, members, product):
    """Write an association of one product; its members lie beside it."""
    table = {
        "asn_type": "spec3",
        "asn_rule": "DMS_Level3_Base",
        "asn_id": "a3001",
        "asn_pool": "none",
        "program": "99999",
        "target": "simulated",
        "products": [
            {
                "name": product,
                "members": [
                    {"expname": os.path.relpath(member, path.parent), "exptype": "science"}
                    for member in members
                ],
            }
        ],
    }
    with atomic_path(path) as aside:
        aside.write_text(json.dumps(table, indent=4) + "\n", encoding="utf-8")
    return path
