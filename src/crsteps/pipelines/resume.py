"""Pipelines of stage 1 go on where an intermediate product ends."""

import logging

log = logging.getLogger(__name__)

# Steps whose standard status does not bear their alias.
_STATUS = {"dark_current": "dark_sub", "scene_flicker_noise": "clean_flicker_noise"}


def not_twice(step):
    """
    Let a step pass on data to which it was applied before.

    A correction must not be made twice, and a step that is skipped because an earlier run made it
    must not be recorded as SKIPPED.

    Parameters
    ----------
    step : stpipe.Step
        Step of a pipeline that takes a model; its ``run`` is wrapped.
    """
    run, status = step.run, _STATUS.get(step.class_alias, step.class_alias)

    def run_unless_done(model):
        if getattr(model.meta.cal_step, status, None) == "COMPLETE":
            log.info("%s is not run: the input has been through it (COMPLETE)", step.name)
            return model
        return run(model)

    step.run = run_unless_done
