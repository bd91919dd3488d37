"""Standard steps as members of our pipelines: they too work without CRDS and save aside."""

from crsteps.errors import CrstepsInputError
from crsteps.framework.crds_access import ask_crds, crds_configured, limit_timeout
from crsteps.framework.saving import saving_aside


def adopt(step, pipeline):
    """
    Give a standard step the manners of our own ones.

    Parameters
    ----------
    step : stpipe.Step
        Step of another package; these of its methods are wrapped:
        ``finalize_result`` writes the records of our steps into a model made anew, before the
        step saves it, and does without CRDS; ``get_reference_file`` says what to do when CRDS
        ends the process; ``save_model`` writes aside; ``remove_suffix`` knows our suffixes.
    pipeline : crsteps.framework.pipeline.CrPipeline
        Pipeline that the step is a member of.
    """
    finalize, find, save = step.finalize_result, step.get_reference_file, step.save_model

    def finalize_result(result, reference_files_used):
        pipeline.carry_records_into(result)
        finalize_with_crds(finalize, result, reference_files_used)

    def get_reference_file(model, reference_type):
        limit_timeout()
        try:
            return find(model, reference_type)
        except SystemExit as error:
            why = "cannot be reached" if crds_configured() else "is not configured"
            raise CrstepsInputError(
                f"{step.name} needs a {reference_type} reference file, and CRDS {why}: set "
                f"override_{reference_type} of {step.name}, or CRDS_PATH and CRDS_SERVER_URL."
            ) from error

    def save_model(model, *args, **kwargs):
        with saving_aside(model, pipeline.inputs()):
            return save(model, *args, **kwargs)

    step.finalize_result = finalize_result
    step.get_reference_file = get_reference_file
    step.save_model = save_model
    step.remove_suffix = pipeline.remove_suffix


def finalize_with_crds(finalize, result, reference_files_used):
    """
    Complete a result in the standard way, asking CRDS only about references that it gave.

    The standard method asks CRDS for its context whenever a reference was used, even one that
    the user gave; without CRDS that ends the process before the result is saved.

    Parameters
    ----------
    finalize : callable
        The standard ``finalize_result``.
    result : JwstDataModel
        Result.
    reference_files_used : list of tuple
        Type and name of each reference.
    """
    from_crds = [used for used in reference_files_used if used[1].startswith("crds:")]
    if not ask_crds("its context", lambda: finalize(result, from_crds) or True, False):
        finalize(result, [])
    references = getattr(getattr(result, "meta", None), "ref_file", None)
    for kind, name in reference_files_used:
        if hasattr(references, kind):
            getattr(references, kind).name = name
