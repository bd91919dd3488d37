"""Variances of corrections: in the arrays of rates, and in an extension of their own of ramps."""

import numpy as np

__all__ = ["add_variance", "stored_variance", "unit_of"]


def unit_of(model):
    """
    Unit of the data.

    Parameters
    ----------
    model : JwstDataModel
        Exposure.

    Returns
    -------
    str
        By the keyword BUNIT; DN and DN/s where there is none.
    """
    return model.meta.bunit_data or ("DN" if np.ndim(model.data) == 4 else "DN/s")


def add_variance(model, variance, *, extension, unit=None, comment=""):
    """
    Add the variance of the error of a correction to a model.

    Parameters
    ----------
    model : JwstDataModel
        Rates, whose VAR_RNOISE and ERR get it where they exist, or ramps, whose format has no place
        for it: they get an extension. Modified in place.
    variance : ndarray of float32, shape (ny, nx) or (n_integrations, ny, nx)
        Variance of the rates, or what the extension is to hold, in squared units of the data.
    extension : str
        Name of the extension of ramps.
    unit : str, optional
        Unit of the square root of what the extension holds; that of the data by default.
    comment : str, optional
        What it holds, for its header.
    """
    if model.data.ndim == 4:
        header = [["BUNIT", f"({unit or unit_of(model)})^2", comment]]
        extra = model.extra_fits.instance if model.hasattr("extra_fits") else {}
        model.extra_fits = {**extra, extension: {"data": variance, "header": header}}
        return
    if model.hasattr("var_rnoise"):
        model.var_rnoise = model.var_rnoise + variance
    if model.hasattr("err"):
        model.err = np.sqrt(model.err**2 + variance)


def stored_variance(model, extension):
    """
    Look up the variance that a correction left in ramps.

    Parameters
    ----------
    model : RampModel
        Ramps.
    extension : str
        Name of the extension.

    Returns
    -------
    ndarray of float32, shape (ny, nx) or (n_integrations, ny, nx), or None
        None if there is none.
    """
    extra = getattr(getattr(model, "extra_fits", None), extension, None)
    return None if extra is None else np.asarray(extra.data)
