"""Base of all steps of the package: offline by construction, records what it did."""

import logging
import os
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path

from jwst.datamodels import ModelLibrary
from jwst.stpipe import Step
from stdatamodels.jwst.datamodels import JwstDataModel
from stpipe.exceptions import ValidationError

from crsteps.errors import CrstepsInputError
from crsteps.framework.crds_access import crds_configured, tolerating_crds
from crsteps.framework.errors import CrstepsInputExit
from crsteps.framework.logs import LOGGER, lent_handlers
from crsteps.framework.parameters import explain_invalid, own_parameters
from crsteps.framework.provenance import Record, write_record

log = logging.getLogger(__name__)


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
        config = cls._empty_config()
        if crds_configured():
            with tolerating_crds(f"parameters of {cls.__name__}"):
                config = super().get_config_from_reference(
                    dataset, disable=disable, crds_observatory=crds_observatory
                )
        return config

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
        try:
            return super().from_config_section(config, **kwargs)
        except ValidationError as error:
            message = explain_invalid(error, cls.load_spec_file(), cls.__name__)
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
        from crsteps.integration import get_steps

        aliases = {self.class_alias, *(alias for _, alias, _ in get_steps())}
        for suffix in (*filter(None, aliases), *self.other_suffixes):
            if name.endswith(f"_{suffix}"):
                return name.removesuffix(f"_{suffix}"), "_"
        return super().remove_suffix(name)

    # Suffixes of products besides the alias.
    other_suffixes = ("mmcr",)

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
                if args and isinstance(args[0], str | Path) and not Path(args[0]).exists():
                    raise CrstepsInputError(f"There is no input file {args[0]}: check the path.")
                return super().run(*args)
            except CrstepsInputExit:
                raise
            except CrstepsInputError as error:
                log.error(str(error))
                # Tells strun to stop without a traceback; in Python still a CrstepsInputError.
                raise CrstepsInputExit(str(error)) from error

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
        if not isinstance(model, JwstDataModel) or isinstance(model, Sequence):
            return super().save_model(model, *args, **kwargs)
        with _saving_aside(model, self._input_paths()):
            return super().save_model(model, *args, **kwargs)

    def _input_paths(self):
        name = self.search_attr("_input_filename")
        folder = self.search_attr("_input_dir") or ""
        return {Path(folder, Path(name).name).resolve()} if name else set()


class CrStep(CrMixin, Step):
    """
    Base step.

    Subclasses define ``class_alias``, ``spec`` and `process`, which ends with `record_status`.
    Mistakes of the user are raised as `crsteps.errors.CrstepsInputError`.
    """

    # Nothing is fetched ahead: references are looked up when and where they are needed.
    prefetch_references = False

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
                write_record(model, record)
        if self.parent is not None:
            # A pipeline of ours writes it again into models that later steps make anew.
            self.parent.crsteps_records = {
                **getattr(self.parent, "crsteps_records", {}),
                record.alias: record,
            }
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
        if not isinstance(result, JwstDataModel):
            return
        if self.skip:
            self.record_status(result, "SKIPPED")
        # The standard method asks CRDS for its context whenever a reference was used, even one
        # that was given: only those of CRDS concern it.
        from_crds = [
            (kind, name) for kind, name in reference_files_used if name.startswith("crds:")
        ]
        record_lines = getattr(getattr(result, "cal_logs", None), self.class_alias, None)
        super().finalize_result(result, from_crds)
        if self.parent is not None and record_lines is not None:
            setattr(result.cal_logs, self.class_alias, record_lines)


@contextmanager
def _saving_aside(model, inputs):
    """Let ``model.save`` write in a temporary folder beside its target and move the file."""
    save = model.save

    def save_aside(path, dir_path=None, *args, **kwargs):
        target = Path(path(model.meta.filename) if callable(path) else path)
        target = Path(dir_path, target.name) if dir_path else target
        if target.resolve() in inputs and target.exists():
            raise CrstepsInputError(
                f"The result would replace the input {target}: set output_dir or suffix."
            )
        # Under its own name, which goes into the header, in a folder of its own.
        aside = tempfile.mkdtemp(prefix=".crsteps-", dir=target.parent)
        try:
            written = Path(save(os.path.join(aside, target.name), None, *args, **kwargs))
            final = target.with_name(written.name)
            os.replace(written, final)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        return str(final)

    object.__setattr__(model, "save", save_aside)
    try:
        yield
    finally:
        object.__delattr__(model, "save")
