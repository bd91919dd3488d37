"""Slew darks: persistence of earlier exposures taken off, then cosmic rays found."""

import logging
import tempfile
from pathlib import Path

from crsteps.datamodels.inputs import expand_with_roles, is_path
from crsteps.datamodels.naming import stem
from crsteps.errors import CrstepsInputError
from crsteps.framework.pipeline import CrPipeline
from crsteps.persistence.step import PowerLawPersistenceStep
from crsteps.slew_dark.step import SlewDarkCosmicsStep

log = logging.getLogger(__name__)

# Parameters of the first step that say that it is wanted.
_GIVEN = ("history", "history_file", "persistence_file", "override_persistence")


class SlewDarkPipeline(CrPipeline):
    """
    Subtract the persistence of earlier exposures from a dark, and find the cosmic rays in it.

    `PowerLawPersistenceStep` runs if it is told of earlier exposures or of a reference file, or if
    its ``skip`` is set to false.
    """

    class_alias = "slew_dark"
    takes = "a dark"

    step_defs = {
        "powerlaw_persistence": PowerLawPersistenceStep,
        "slew_dark_cosmics": SlewDarkCosmicsStep,
    }

    def process(self, given):
        """
        Process one dark.

        Parameters
        ----------
        given : path, JwstDataModel or association
            A file of NISP or a JWST image; or an association with one of them as its science
            member, and earlier exposures as other members.

        Returns
        -------
        SlewDarkResult or JwstDataModel
            As of `SlewDarkCosmicsStep`.
        """
        if self.save_results:  # the products are those of the last step
            self.slew_dark_cosmics.save_results = True
        members = expand_with_roles(given)
        darks = [item for item, role in members if role == "science"]
        if len(darks) != 1:
            raise CrstepsInputError(
                f"slew_dark takes one dark, not {len(darks)}: for several use 'crsteps run "
                "slew_dark FILE FILE ...'."
            )
        persistence = self.powerlaw_persistence
        wanted = len(members) > 1 or any(getattr(persistence, name, None) for name in _GIVEN)
        if persistence.skip and not wanted:
            log.info("powerlaw_persistence is not run: no earlier exposures are given")
            return self.slew_dark_cosmics.run(darks[0])
        persistence.skip = False
        if not is_path(darks[0]):
            return self.slew_dark_cosmics.run(persistence.run(given))
        with tempfile.TemporaryDirectory(prefix="crsteps-slew-dark-") as folder:
            # Under the name of the dark, because the products are named after it.
            persistence.scratch_path = Path(folder) / f"{stem(darks[0])}.fits"
            persistence.scratch_prediction = Path(folder) / "persistence.fits"
            corrected = persistence.run(given)
            if corrected is persistence.result:
                return self._search(self._corrected(darks[0]), persistence.prediction)
            return self.slew_dark_cosmics.run(corrected)

    def _search(self, dark, prediction):
        """Find the cosmic rays; what was subtracted has left its noise, which is none."""
        step = self.slew_dark_cosmics
        given = step.persistence
        step.persistence = given or (prediction and str(prediction))
        try:
            return step.run(dark)
        finally:
            step.persistence = given

    def _corrected(self, dark):
        """Path of the corrected file of NISP, under the name of the dark."""
        step = self.powerlaw_persistence
        if all(detector.status == "SKIPPED" for detector in step.result.detectors):
            return dark
        if not step.scratch_path.exists():
            step.scratch_path.symlink_to(step.result.products[0].absolute())
        return step.scratch_path
