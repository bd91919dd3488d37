"""Base of all steps of the package: offline by construction, records what it did."""

import atexit
import gc
import inspect
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from jwst.datamodels import ModelLibrary
from jwst.stpipe import Pipeline, Step
from stdatamodels.jwst.datamodels import JwstDataModel
from stpipe.exceptions import ValidationError
from threadpoolctl import threadpool_limits

from crsteps.errors import CrstepsInputError
from crsteps.framework.crds_access import ask_crds, crds_configured
from crsteps.framework.errors import CrstepsInputExit
from crsteps.framework.logs import LOGGER, lent_handlers
from crsteps.framework.parameters import check_given, explain_invalid, own_parameters
from crsteps.framework.provenance import Record, write_record
from crsteps.framework.saving import check_not_input, input_files, saving_aside
from crsteps.framework.standard_steps import finalize_with_crds
from crsteps.integration import get_steps

log = logging.getLogger(__name__)

# At its end the interpreter looks for cycles among all that jwst has imported, a third of a second
# in each command; what is frozen it leaves to the operating system. Other programs are let alone:
# they may rely on that end.
if os.path.basename(sys.argv[0] if sys.argv else "") in ("strun", "crsteps"):
    atexit.register(gc.freeze)


class CrMixin:
    """What steps and pipelines of the package share."""

    # Standard status that is set together with the step's own, e.g. "clean_flicker_noise".
    standard_status = None

    @classmethod
    def get_stpipe_loggers(cls):
        """
        Name the loggers that get handlers.

        Returns
        -------
        tuple of str
        """
        return (*super().get_stpipe_loggers(), LOGGER)

    @classmethod
    def get_config_from_reference(cls, dataset, disable=None, crds_observatory=None):
        """
        Get parameters from CRDS where it is configured.

        Parameters
        ----------
        dataset, disable, crds_observatory
            As in `stpipe.Step`.

        Returns
        -------
        configobj.ConfigObj
            Parameters; empty when CRDS is not configured or does not answer.
        """
        standard = super().get_config_from_reference
        return ask_crds(
            f"parameters of {cls.__name__}",
            lambda: standard(dataset, disable=disable, crds_observatory=crds_observatory),
            cls._empty_config(),
        )

    @classmethod
    def _get_crds_parameters(cls, dataset):
        """Read what CRDS chooses by, only where it will be asked: it opens the input."""
        if not crds_configured():
            return {}, "jwst"
        try:
            return super()._get_crds_parameters(dataset)
        except KeyError as error:  # a FITS file that is no JWST product; TypeError is caught
            raise TypeError(f"{dataset} is no JWST product") from error

    @classmethod
    def from_config_section(cls, config, **kwargs):
        """
        Make a step from its parameters.

        Parameters
        ----------
        config : configobj.Section
            Parameters.
        **kwargs
            As in `stpipe.Step`.

        Returns
        -------
        step : instance of cls

        Raises
        ------
        CrstepsInputExit
            A parameter that does not exist or has an impossible value.
        """
        spec = cls.load_spec_file()
        of_framework = ("class", "config_file", "name")
        try:
            given = {k: v for k, v in config.items() if k not in of_framework}
            check_given(given, spec, cls.__name__)
            return super().from_config_section(config, **kwargs)
        except CrstepsInputExit:  # of a member of the pipeline, told already
            raise
        except (CrstepsInputError, ValidationError) as error:
            message = explain_invalid(error, spec, cls.__name__)
            log.error(message)
            raise CrstepsInputExit(message) from error

    def default_suffix(self):
        """
        Give the suffix of the step's own product.

        Returns
        -------
        str
            The alias, whatever name the step has in a pipeline.
        """
        return self.class_alias or super().default_suffix()

    def remove_suffix(self, name):
        """
        Remove the suffix of an earlier step, ours or a standard one.

        Parameters
        ----------
        name : str
            Stem of a file name.

        Returns
        -------
        name, separator : str
            Stem without suffix, and what separated it.
        """
        ours = [self.class_alias, *self.other_suffixes, *(alias for _, alias, _ in get_steps())]
        members = getattr(self, "step_defs", {}).values()
        ours += [step.class_alias for step in members if issubclass(step, CrMixin)]
        # the longest first, because some aliases end with another one
        for suffix in sorted(filter(None, ours), key=len, reverse=True):
            if name.endswith(f"_{suffix}"):
                return name.removesuffix(f"_{suffix}"), "_"
        return super().remove_suffix(name)

    # Suffixes of products besides the alias.
    other_suffixes = ("mmcr",)

    # What a file that is given has to be.
    takes = "a JWST model"

    def run(self, *args):
        """
        Run the step.

        Parameters
        ----------
        *args
            Input, as for `stpipe.Step.run`.

        Returns
        -------
        result
            What `process` returns.
        """
        self.references = {}
        with lent_handlers():
            try:
                self._check_number(args)
                args = (*map(self._located, args[:1]), *args[1:])
                if self.parent is None:
                    self._given_files = input_files(args[:1])
                    self._check_folder()
                    self._check_product(*args[:1])
                return super().run(*args)
            except CrstepsInputExit:
                raise
            except CrstepsInputError as error:
                log.error(str(error))
                # Tells strun to stop without a traceback; in Python still a CrstepsInputError.
                raise CrstepsInputExit(str(error)) from error

    def prepare_output(self, init, *args, **kwargs):
        """
        Open the input as a model.

        Parameters
        ----------
        init, *args, **kwargs
            As in `jwst.stpipe.Step`.

        Returns
        -------
        model : JwstDataModel, ModelContainer or ModelLibrary

        Raises
        ------
        CrstepsInputError
            A file that is empty, cut off, or of another format.
        """
        try:
            return super().prepare_output(init, *args, **kwargs)
        except (OSError, TypeError, ValueError, KeyError) as error:
            if not isinstance(init, str | Path):
                raise
            reason = " ".join(str(error).split())[:200].rstrip(".")
            raise CrstepsInputError(
                f"{init} cannot be opened as {self.takes} ({reason}): check that it is one and "
                "complete."
            ) from error

    def save_model(self, model, *args, **kwargs):
        """
        Save a model: written aside and renamed, never over an input.

        Parameters
        ----------
        model, *args, **kwargs
            As in `stpipe.Step`.

        Returns
        -------
        str or list of str
            Path of the file.
        """
        with saving_aside(model, self.inputs()):
            return super().save_model(model, *args, **kwargs)

    def inputs(self):
        """
        Find the files that were given to the outermost step, which must not be replaced.

        Returns
        -------
        set of Path
        """
        outermost = self
        while outermost.parent is not None:
            outermost = outermost.parent
        if hasattr(outermost, "_given_files"):
            return outermost._given_files
        name = outermost._input_filename  # a pipeline of another package
        return input_files(Path(outermost.input_dir, Path(name).name)) if name else set()

    def _check_number(self, args):
        """Refuse no input, and several where one is taken."""
        try:
            inspect.signature(self.process).bind(*args)
        except TypeError as error:
            name = self.class_alias or type(self).__name__
            raise CrstepsInputError(
                f"{name} takes one input, not {len(args) or 'none'}: give one file or "
                f"association; for several use 'crsteps run {name} FILE FILE ...'."
            ) from error

    def _located(self, given):
        """Find a file in the current folder or in ``input_dir``."""
        if not isinstance(given, str | Path):
            return given
        for path in (given, self.make_input_path(str(given))):
            if Path(path).exists():
                return path
        raise CrstepsInputError(f"There is no input file {given}: check the path.")

    def _check_folder(self):
        """Refuse a folder that cannot be made or written to."""
        folder = Path(os.path.expandvars(os.path.expanduser(self.output_dir or "")))
        while not folder.exists():
            folder = folder.parent
        if not folder.is_dir():
            raise CrstepsInputError(
                f"output_dir = {self.output_dir}: {folder} is a file; give a folder."
            )
        if (self.save_results or self.output_file) and not os.access(folder, os.W_OK):
            raise CrstepsInputError(
                f"Nothing can be written to {folder.absolute()}: set output_dir to a folder of "
                "your own."
            )

    def _check_product(self, given=None):
        """Refuse to replace the input before any work, where the name of the product is known."""
        named_later = isinstance(self, Pipeline) or self.output_use_model
        if named_later or not (self.save_results or self.output_file):
            return
        self.set_primary_input(given)
        product = Path(self.make_output_path(suffix=self.suffix or self.default_suffix()))
        check_not_input(product, self.inputs())


class CrStep(CrMixin, Step):
    """
    Base step.

    Subclasses define ``class_alias``, ``spec`` and `process`, which ends with `record_status`.
    Mistakes of the user are raised as `crsteps.errors.CrstepsInputError`.
    """

    # Nothing is fetched ahead: references are looked up when and where they are needed.
    prefetch_references = False

    def run(self, *args):
        """
        Run the step, with one thread for linear algebra.

        Parameters
        ----------
        *args
            Input, as for `stpipe.Step.run`.

        Returns
        -------
        result
            What `process` returns.
        """
        # Matrices of our steps are many and small: more threads cost half as much time again.
        with threadpool_limits(limits=1, user_api="blas"):
            return super().run(*args)

    def record_status(self, result, status="COMPLETE"):
        """
        Record in models what the step did to them.

        Parameters
        ----------
        result : JwstDataModel, sequence of them or ModelLibrary
            Models; modified in place.
        status : {"COMPLETE", "SKIPPED"}, optional
            What happened.

        Returns
        -------
        result : as given
        """
        record = self.make_record(status)
        if isinstance(result, ModelLibrary):
            with result:
                for index in range(len(result)):
                    model = result.borrow(index)
                    write_record(model, record)
                    result.shelve(model, index)
        else:
            for model in result if isinstance(result, Sequence) else [result]:
                if isinstance(model, JwstDataModel):  # some results are None
                    write_record(model, record)
        # A pipeline of ours writes it again into models that later steps make anew.
        parent = self.parent
        while parent is not None:
            if hasattr(parent, "records_of_steps"):
                parent.records_of_steps[record.alias] = record
            parent = parent.parent
        return result

    def make_record(self, status="COMPLETE"):
        """
        Make the record of this run.

        Parameters
        ----------
        status : {"COMPLETE", "SKIPPED"}, optional
            What happened.

        Returns
        -------
        crsteps.framework.provenance.Record
        """
        return Record(
            alias=self.class_alias,
            status=status,
            parameters=own_parameters(self),
            references=dict(getattr(self, "references", {})),
            standard_status=self.standard_status,
            measurements=dict(getattr(self, "measurements", {})),
        )

    def history(self, status="COMPLETE"):
        """
        Give the record of this run in lines for the header of a product.

        Parameters
        ----------
        status : {"COMPLETE", "SKIPPED"}, optional
            What happened.

        Returns
        -------
        list of str
        """
        return self.make_record(status).lines()

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
        if self.skip:
            self.record_status(result, "SKIPPED")
        if not isinstance(result, JwstDataModel):
            return
        record_lines = getattr(getattr(result, "cal_logs", None), self.class_alias, None)
        finalize_with_crds(super().finalize_result, result, reference_files_used)
        if record_lines is not None:
            # cal_logs alone survive a standard step run on the product: they tell all there is.
            log_lines = [] if self.parent is not None else self._log_records
            setattr(result.cal_logs, self.class_alias, [*record_lines, *log_lines])
