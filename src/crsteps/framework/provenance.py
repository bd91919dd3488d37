"""What a step did to a model, kept so that saving, re-opening and later steps do not lose it."""

from dataclasses import dataclass, field

import numpy as np

from crsteps import __version__

_CARD_HDU = "PRIMARY"


@dataclass(frozen=True)
class Record:
    """
    What a step did.

    Attributes
    ----------
    alias : str
        Alias of the step.
    status : str
        COMPLETE or SKIPPED.
    parameters : dict
        Values of the step's own parameters.
    references : dict
        For each reference type ``{"name": ..., "source": ..., "sha256": ...}``.
    standard_status : str or None
        Name of the standard status that the step sets too.
    version : str
        Version of the package.
    measurements : dict
        For each quantity that the step measured ``{"value": ..., "keyword": ..., "comment": ...}``;
        the keyword is that of its card in the primary header.
    """

    alias: str
    status: str
    parameters: dict = field(default_factory=dict)
    references: dict = field(default_factory=dict)
    standard_status: str | None = None
    version: str = __version__
    measurements: dict = field(default_factory=dict)

    @property
    def keyword(self):
        """FITS keyword of the status, as the standard steps have theirs."""
        return "S_" + self.alias.replace("_", "").upper()[:6]

    def lines(self, *, without=()):
        """
        Give the record in lines of text, for HISTORY and logs.

        Parameters
        ----------
        without : sequence of str, optional
            Names of parameters that are left out.

        Returns
        -------
        list of str
        """
        lines = [f"crsteps {self.version} {self.alias}: {self.status}"]
        for name, value in self.parameters.items():
            if name not in without:
                lines.append(f"{self.alias}: {name} = {value}")
        for kind, reference in self.references.items():
            lines.append(
                f"{self.alias}: {kind} reference {reference['name']} ({reference['source']}, "
                f"sha256 {reference['sha256']})"
            )
        for measured in self.measurements.values():
            lines.append(f"{self.alias}: {measured['comment']} = {measured['value']:.6g}")
        return lines


def write_record(model, record):
    """
    Write a record into a JWST model.

    It stands in ``meta.crsteps`` (complete), ``meta.cal_step`` (status), a card of the primary
    header (status), HISTORY and ``cal_logs``: a stock reader finds at least one of them, and
    ``cal_logs`` is what ``update`` carries into the new model of a later standard step.

    Parameters
    ----------
    model : JwstDataModel
        Model; modified in place.
    record : Record
        What was done to it.
    """
    known = read_records(model)
    values = {
        "status": record.status,
        "version": record.version,
        "parameters": record.parameters,
        "references": record.references,
    }
    if record.measurements:
        values["measurements"] = record.measurements
    values = _plain(values)
    for line in record.lines():
        model.add_history_entry(line)
    model.meta.crsteps = {**known, record.alias: values}
    setattr(model.meta.cal_step, record.alias, record.status)
    if record.standard_status:
        setattr(model.meta.cal_step, record.standard_status, record.status)
    _set_card(model, record.keyword, record.status, f"crsteps {record.alias}")
    _set_card(model, "CRSTEPSV", record.version, "version of crsteps")
    for measured in record.measurements.values():
        _set_card(model, measured["keyword"], float(measured["value"]), measured["comment"])
    if not hasattr(model, "cal_logs"):
        model.cal_logs = {}
    setattr(model.cal_logs, record.alias, record.lines())


def read_records(model):
    """
    Read the records of a model.

    Parameters
    ----------
    model : JwstDataModel
        Model, perhaps read from a file.

    Returns
    -------
    dict
        For each alias ``{"status", "version", "parameters", "references"}``, and
        ``"measurements"`` where the step has some.
    """
    return _as_dict(getattr(model.meta, "crsteps", None))


def carry_records(old, new):
    """
    Copy the records of a model into one made from it, for those it lacks.

    Parameters
    ----------
    old, new : JwstDataModel
        Model with records, and the model that a standard step made from it.
    """
    missing = {k: v for k, v in read_records(old).items() if k not in read_records(new)}
    for alias, values in missing.items():
        write_record(new, Record(alias=alias, **values))


def _set_card(model, keyword, value, comment):
    """Set a card that no schema knows: kept by stdatamodels on saving and re-opening."""
    extra = _as_dict(getattr(model, "extra_fits", None))
    header = [list(card) for card in extra.get(_CARD_HDU, {}).get("header", [])]
    header = [card for card in header if card[0] != keyword] + [[keyword, value, comment]]
    model.extra_fits = {
        **extra,
        _CARD_HDU: {**extra.get(_CARD_HDU, {}), "header": header},
    }


def _as_dict(node):
    if node is None:
        return {}
    return dict(node.instance if hasattr(node, "instance") else node)


def _plain(value):
    """Only what ASDF and FITS keep: no None, which stdatamodels drops, no foreign types."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return value if isinstance(value, bool | int | float | str) else str(value)
