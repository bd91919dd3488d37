"""Base of all pipelines of the package."""

from collections.abc import Sequence

from jwst.stpipe import Pipeline, Step
from stdatamodels.jwst.datamodels import JwstDataModel

from crsteps.framework.crds_access import ask_crds
from crsteps.framework.provenance import read_records, write_record
from crsteps.framework.standard_steps import adopt
from crsteps.framework.step import CrMixin


class CrPipeline(CrMixin, Pipeline):
    """
    Base pipeline: works without CRDS, and carries the records of steps to the end.

    A pipeline of jwst with slots changed inherits from this class first and from the jwst one
    second.

    Parameters
    ----------
    *args, **kwargs
        As for `stpipe.Pipeline`.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.records_of_steps = {}
        for name in self.step_defs:
            step = getattr(self, name)
            if not isinstance(step, CrMixin):
                adopt(step, self)

    def prefetch(self, *args):
        """
        Fetch references ahead where CRDS is configured.

        Parameters
        ----------
        *args
            Input, as in `stpipe.Step`.
        """
        standard = super().prefetch
        ask_crds("references ahead of their use", lambda: standard(*args))

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
        self.records_of_steps = {}
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
        self.carry_records_into(model)
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
        if not isinstance(result, JwstDataModel):
            return
        self.carry_records_into(result)
        # The standard method asks CRDS for its context, always.
        finalize = super().finalize_result
        if not ask_crds("its context", lambda: finalize(result, reference_files_used) or True):
            Step.finalize_result(self, result, [])

    def carry_records_into(self, result):
        """
        Write the records of steps into a model that a later step has made anew.

        Parameters
        ----------
        result : JwstDataModel
            Model; modified in place. Anything else is left alone: models of a sequence or
            library come one by one.
        """
        if not isinstance(result, JwstDataModel) or isinstance(result, Sequence):
            return
        known = read_records(result)
        for alias, record in self.records_of_steps.items():
            if alias not in known:
                write_record(result, record)
