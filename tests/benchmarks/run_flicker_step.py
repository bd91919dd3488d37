"""Run one step of any package on one file, without CRDS: a process whose cost can be measured.

    python run_flicker_step.py SETTINGS

SETTINGS is a JSON file with ``step`` (dotted name of the class, or null to read and write only),
``parameters``, ``references`` (file of each type that is asked for), ``input`` and ``output``. It
needs stpipe and the package of the step, and nothing of ours.
"""

import importlib
import json
import sys


def main(settings):
    """Read, run and write."""
    with open(settings, encoding="utf-8") as stream:
        settings = json.load(stream)
    import stpipe
    from stdatamodels.jwst import datamodels

    references = settings["references"]
    # Not override_*: the peer's draft ramp fit is a step inside the step, out of reach of those.
    stpipe.Step.get_reference_file = lambda _self, _model, kind: references.get(kind, "N/A")
    if settings["step"] is None:
        with datamodels.open(settings["input"]) as model:
            model.data = model.data.copy()
            model.save(settings["output"])
        return
    module, name = settings["step"].rsplit(".", 1)
    step = getattr(importlib.import_module(module), name)(**settings["parameters"])
    result = step.run(settings["input"])
    print(result.meta.cal_step.instance)
    result.save(settings["output"])


if __name__ == "__main__":
    main(sys.argv[1])
