"""Base of all pipelines of the package."""

import logging

from jwst.datamodels import ModelLibrary
from jwst.stpipe import Pipeline
from stdatamodels.jwst.datamodels import JwstDataModel

from crsteps.framework.crds_access import crds_configured, tolerating_crds
from crsteps.framework.provenance import read_records, write_record
from crsteps.framework.step import CrMixin

log = logging.getLogger(__name__)


class CrPipeline(CrMixin, Pipeline):
    """
    Base pipeline: works without CRDS, and carries the records of steps to the end.

    A pipeline of jwst with slots changed inherits from this class first and from the jwst one
    second.
    """

    def prefetch(self, *args):
        """
        Fetch references ahead where CRDS is configured.

        Parameters
        ----------
        *args
            Input, as in `stpipe.Step`.
        """
        if crds_configured():
            with tolerating_crds("references ahead of their use"):
                super().prefetch(*args)

    def run(self, *args):
        """
        Run the pipeline.

        Parameters
        ----------
        *args
            Input, as for `stpipe.Step.run`.

        Returns
        -------
        result
            What `process` returns.
        """
        self.crsteps_records = {}
        return super().run(*args)

    def save_model(self, model, *args, **kwargs):
        """
        Save a model with the records of all steps.

        Parameters
        ----------
        model, *args, **kwargs
            As in `stpipe.Step`.

        Returns
        -------
        str or list of str
            Path of the file.
        """
        self._carry(model)
        return super().save_model(model, *args, **kwargs)

    def finalize_result(self, result, reference_files_used):
        """
        Complete a result before it is saved.

        Parameters
        ----------
        result : JwstDataModel
            Result.
        reference_files_used : list of tuple
            References that stpipe knows of.
        """
        self._carry(result)
        if not isinstance(result, JwstDataModel):
            return
        if crds_configured():
            with tolerating_crds("its context"):
                super().finalize_result(result, reference_files_used)
        if self.class_alias:
            setattr(result.cal_logs, self.class_alias, self._log_records)

    def _carry(self, result):
        """Write the records of steps into a model that a later step has made anew."""
        if isinstance(result, ModelLibrary) or not isinstance(result, JwstDataModel):
            return
        known = read_records(result)
        for alias, record in getattr(self, "crsteps_records", {}).items():
            if alias not in known:
                write_record(result, record)
