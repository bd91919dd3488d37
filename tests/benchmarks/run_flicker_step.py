"""Run one step of any package on one file, without CRDS: a process whose cost can be measured.

    python run_flicker_step.py SETTINGS

SETTINGS is a JSON file with ``step`` (dotted name of the class, or null to read and write only),
``parameters``, ``references`` (file of each type that is asked for), ``input``, ``output`` and, for
time series, ``truth``: the white light of every integration and the sky in DN/s. It needs stpipe
and the package of the step, and nothing of ours.
"""

import importlib
import json
import sys
from types import SimpleNamespace


def tell_truth(truth):
    """
    Give the jwst step the white light and the sky of a time series.

    Its ``median_image`` extracts both with other steps and their references, which are not there.
    It gets the true ones: nothing is lost by them.
    """
    import numpy as np
    from jwst.clean_flicker_noise import clean_flicker_noise, tso_median_image
    from stdatamodels.jwst import datamodels

    light = SimpleNamespace(value=np.array(truth["white_light"]))

    class SkySubtraction:
        def run(self, rates):
            dark = rates.copy()
            dark.data = dark.data - np.float32(truth["sky"])
            return dark

    class Extraction:
        def run(self, rates):
            return SimpleNamespace(close=lambda: None)

        @classmethod
        def call(cls, _slit, **_arguments):
            spectra = datamodels.TSOMultiSpecModel()
            spectra.spec.append(spectra.spec.item())
            return spectra

    class WhiteLight:
        def run(self, _spectra):
            return dict.fromkeys(("whitelight_flux", "whitelight_flux_NRS1"), light)

    clean_flicker_noise.post_process_rate = lambda rates, **_: rates
    tso_median_image.BackgroundStep = SkySubtraction
    tso_median_image.Extract2dStep = tso_median_image.Extract1dStep = Extraction
    tso_median_image.WhiteLightStep = WhiteLight
    tso_median_image._soss_box_extract = lambda *_, **__: Extraction.call(None)


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
    if module.startswith("jwst.") and "median_image" in settings["parameters"].values():
        tell_truth(settings["truth"])
    step = getattr(importlib.import_module(module), name)(**settings["parameters"])
    result = step.run(settings["input"])
    print(result.meta.cal_step.instance)
    result.save(settings["output"])


if __name__ == "__main__":
    main(sys.argv[1])
