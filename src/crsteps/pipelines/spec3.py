"""Stage 3 of jwst for spectra, with a slot for mm_cosmic."""

import logging
from pathlib import Path

from jwst.pipeline import Spec3Pipeline
from jwst.pipeline.calwebb_spec3 import SLITLESS_TYPES
from stdatamodels.jwst.datamodels import JwstDataModel

from crsteps.datamodels.inputs import model_name
from crsteps.errors import CrstepsInputError
from crsteps.pipelines.stage3 import ASSOCIATIONS, Stage3Pipeline, with_slot

log = logging.getLogger(__name__)


class CrstepsSpec3Pipeline(Stage3Pipeline, Spec3Pipeline):
    """
    Combine calibrated spectra; cosmic rays in equal exposures can be flagged by mm_cosmic.

    The steps, their order and their parameters are those of ``calwebb_spec3``, with
    `MMCosmicStep` before ``outlier_detection``, which is skipped by default.
    """

    class_alias = "crsteps_spec3"
    takes = "an association of spectra"

    step_defs = with_slot(Spec3Pipeline.step_defs)

    @classmethod
    def get_config_reftype(cls):
        """
        Name the parameters that CRDS is asked for, where it is configured.

        Returns
        -------
        str
            Those of the standard pipeline: its steps are to run as there.
        """
        return Spec3Pipeline.get_config_reftype()

    def prepare_output(self, init, *args, **kwargs):
        """
        Open the exposures, and refuse dithered ones before any work if mm_cosmic is to run.

        Parameters
        ----------
        init, *args, **kwargs
            As in `jwst.stpipe.Step`.

        Returns
        -------
        ModelContainer

        Raises
        ------
        CrstepsInputError
            What cannot be opened; or mm_cosmic is to run on dithered exposures.
        """
        is_path = isinstance(init, str | Path)
        if isinstance(init, JwstDataModel) or (
            is_path and Path(init).suffix.lower() not in ASSOCIATIONS
        ):
            name = init if is_path else model_name(init)
            raise CrstepsInputError(f"{name} is not an association: {self.class_alias} takes one.")
        models = super().prepare_output(init, *args, **kwargs)
        kind = models[0].meta.exposure.type
        if kind in SLITLESS_TYPES:
            if not self.mm_cosmic.skip:
                log.warning(
                    "mm_cosmic is not run: it comes before outlier_detection, which this pipeline "
                    "does not do for %s",
                    kind,
                )
            return models
        science = [model for model in models if model.meta.asn.exptype != "background"]
        self.check_pointings(science)
        return models
