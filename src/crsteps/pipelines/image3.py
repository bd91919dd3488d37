"""Stage 3 of jwst for images, with a slot for mm_cosmic."""

from pathlib import Path

from jwst.pipeline import Image3Pipeline

from crsteps.datamodels.inputs import association_members
from crsteps.errors import CrstepsInputError
from crsteps.pipelines.stage3 import ASSOCIATIONS, Stage3Pipeline, with_slot

_IMAGES = (".fits", ".asdf")


class CrstepsImage3Pipeline(Stage3Pipeline, Image3Pipeline):
    """
    Combine calibrated images; cosmic rays in equal exposures can be flagged by mm_cosmic.

    The steps, their order and their parameters are those of ``calwebb_image3``, with
    `MMCosmicStep` before ``outlier_detection``, which is skipped by default.

    Parameters
    ----------
    *args, **kwargs
        As for `stpipe.Pipeline`.
    """

    class_alias = "crsteps_image3"
    takes = "a calibrated image"

    step_defs = with_slot(Image3Pipeline.step_defs)

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        # One of them is the first to get the opened images, before any work.
        for step in (self.assign_mtwcs, self.tweakreg):
            self._check_before(step)

    def _check_before(self, step):
        run = step.run

        def run_checked(models):
            self.check_pointings(models)
            return run(models)

        step.run = run_checked

    @classmethod
    def get_config_reftype(cls):
        """
        Name the parameters that CRDS is asked for, where it is configured.

        Returns
        -------
        str
            Those of the standard pipeline: its steps are to run as there.
        """
        return Image3Pipeline.get_config_reftype()

    def process(self, given):
        """
        Process the images of an association.

        Parameters
        ----------
        given : path, dict, sequence, JwstDataModel or ModelLibrary
            Association, or calibrated images.

        Raises
        ------
        CrstepsInputError
            A file that is none of these, or an association with members that do not exist; or
            mm_cosmic is to run on dithered images.
        """
        if isinstance(given, str | Path):
            _check_file(Path(given))
            given = str(given)
        super().process(given)


def _check_file(path):
    """Refuse what the standard pipeline would end on with a traceback."""
    suffix = path.suffix.lower()
    if suffix not in (*ASSOCIATIONS, *_IMAGES):
        raise CrstepsInputError(
            f"{path} is neither an association nor an image: its name must end in "
            f"{', '.join((*ASSOCIATIONS, *_IMAGES))}."
        )
    if suffix == ".json":
        for member in association_members(path):
            if not member.is_file():
                raise CrstepsInputError(f"{path} names {member}, which does not exist: correct it.")
