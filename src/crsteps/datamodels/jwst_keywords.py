"""Keywords of JWST, from open models and from headers of files, with checks of their values."""

import numpy as np

from crsteps.datamodels.inputs import model_name
from crsteps.errors import CrstepsInputError

__all__ = [
    "USUAL",
    "HeaderFacts",
    "ModelFacts",
    "modified_julian_date",
    "optional_number",
    "positive_number",
    "whole_number",
]

USUAL = {"DRPFRMS1": 0, "DRPFRMS3": 0, "NRSTSTRT": 1, "NRESETS": 1}
"""What exposures of JWST have, as a rule, and is assumed of those that do not say."""

# Keywords of JWST, and where its models have them (core.schema of stdatamodels), under meta.
_ATTRIBUTES = {
    "EXPSTART": "exposure.start_time",
    "MJD-BEG": "exposure.start_time_mjd",
    "EXPEND": "exposure.end_time",
    "MJD-END": "exposure.end_time_mjd",
    "NINTS": "exposure.nints",
    "INTSTART": "exposure.integration_start",
    "INTEND": "exposure.integration_end",
    "NGROUPS": "exposure.ngroups",
    "NFRAMES": "exposure.nframes",
    "GROUPGAP": "exposure.groupgap",
    "DRPFRMS1": "exposure.drop_frames1",
    "DRPFRMS3": "exposure.drop_frames3",
    "NRSTSTRT": "exposure.nresets_at_start",
    "NRESETS": "exposure.nresets_between_ints",
    "TFRAME": "exposure.frame_time",
    "TGROUP": "exposure.group_time",
    "SSTR_NST": "subarray.num_superstripe",
    "MSTR_RD2": "subarray.multistripe_reads2",
}
# Modified Julian dates between 1900 and 2100; others are no dates of exposures.
_FIRST_DAY, _LAST_DAY = 15020.0, 88069.0


class ModelFacts:
    """
    Keywords of a JWST model.

    Parameters
    ----------
    model : JwstDataModel
        The open model.

    Attributes
    ----------
    source : str
        Name of the model in messages.
    shape : tuple of int
        Shape of its data.
    """

    def __init__(self, model):
        if not hasattr(model, "meta"):
            raise CrstepsInputError(
                f"An input of type {type(model).__name__} has no times: give a path, a JWST model "
                "or a NISP dark."
            )
        self._model = model
        self.source = model_name(model)
        self.shape = np.shape(getattr(model, "data", None))

    def get(self, keyword):
        """
        Give the value of a keyword.

        Parameters
        ----------
        keyword : str
            The FITS keyword.

        Returns
        -------
        object
            None where it is not set.
        """
        value = self._model.meta
        for name in _ATTRIBUTES[keyword].split("."):
            value = getattr(value, name, None)
        return value

    def int_times(self):
        """Return the table INT_TIMES as a structured array; None without one, or without a row."""
        table = getattr(self._model, "int_times", None)
        return None if table is None or not len(table) else np.asarray(table)


class HeaderFacts:
    """
    Keywords of a JWST file.

    Parameters
    ----------
    source : str
        Name of the file in messages.
    hdus : astropy.io.fits.HDUList
        The open file. No image is read.

    Attributes
    ----------
    source : str
        Name of the file in messages.
    shape : tuple of int
        Shape of its first extension SCI, () without one.
    """

    def __init__(self, source, hdus):
        self.source = source
        self._header = hdus[0].header.copy()
        images = [hdu for hdu in hdus if hdu.name == "SCI" and hdu.is_image]
        if images:
            self._header.extend(images[0].header.cards, unique=True)
        self.shape = images[0].shape if images else ()
        tables = [hdu for hdu in hdus if hdu.name == "INT_TIMES" and not hdu.is_image]
        self._table = np.array(tables[0].data) if tables else None

    def get(self, keyword):
        """
        Give the value of a keyword.

        Parameters
        ----------
        keyword : str
            The FITS keyword.

        Returns
        -------
        object
            None where it is not set.
        """
        return self._header.get(keyword)

    def int_times(self):
        """Return the table INT_TIMES as a structured array; None without one, or without a row."""
        return None if self._table is None or not len(self._table) else self._table


def whole_number(facts, keyword, lowest):
    """
    Give the whole number of a keyword.

    Parameters
    ----------
    facts : ModelFacts or HeaderFacts
        The keywords of an exposure.
    keyword : str
        The keyword.
    lowest : int
        Smallest number that is possible.

    Returns
    -------
    int
        The usual number where the keyword is not set and there is a usual one.

    Raises
    ------
    CrstepsInputError
        If the number is missing or impossible.
    """
    value = facts.get(keyword)
    if value is None and keyword in USUAL:
        return USUAL[keyword]
    if value is None:
        raise CrstepsInputError(f"{facts.source} has no {keyword}: set the keyword.")
    value = _number(facts.source, keyword, value, above=lowest - 1)
    if value != int(value):
        raise CrstepsInputError(
            f"{facts.source}: {keyword} is {value} and no whole number; correct the keyword."
        )
    return int(value)


def optional_number(facts, keyword, default):
    """
    Give the number of a keyword that need not be set.

    Parameters
    ----------
    facts : ModelFacts or HeaderFacts
        The keywords of an exposure.
    keyword : str
        The keyword.
    default : float
        What to give where it is not set.

    Returns
    -------
    float
        The number, not negative.

    Raises
    ------
    CrstepsInputError
        If the number is impossible.
    """
    value = facts.get(keyword)
    return default if value is None else _number(facts.source, keyword, value, above=-1)


def modified_julian_date(source, keyword, value):
    """
    Check a date.

    Parameters
    ----------
    source, keyword : str
        File and keyword, for messages.
    value : object
        Value of the keyword.

    Returns
    -------
    float
        Modified Julian date between the years 1900 and 2100.

    Raises
    ------
    CrstepsInputError
        If it is none.
    """
    day = _number(source, keyword, value, above=-np.inf)
    if not _FIRST_DAY <= day <= _LAST_DAY:
        raise CrstepsInputError(
            f"{source}: {keyword} is {day}, which is no modified Julian date of an exposure; "
            "correct it."
        )
    return day


def positive_number(source, keyword, value):
    """
    Check a number.

    Parameters
    ----------
    source, keyword : str
        File and keyword, for messages.
    value : object
        Value of the keyword.

    Returns
    -------
    float
        Finite and positive.

    Raises
    ------
    CrstepsInputError
        If it is not.
    """
    return _number(source, keyword, value, above=0)


def _number(source, keyword, value, *, above):
    """Finite number above another one."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = np.nan
    if isinstance(value, bool) or not (np.isfinite(number) and number > above):
        raise CrstepsInputError(
            f"{source}: {keyword} is {value}, which is impossible; correct the keyword."
        )
    return number
