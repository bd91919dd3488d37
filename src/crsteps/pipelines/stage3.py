"""What the pipelines of stage 3 share: a slot for mm_cosmic before outlier detection."""

import logging
from contextlib import contextmanager

from jwst.datamodels import ModelContainer, ModelLibrary
from stdatamodels.jwst.datamodels import SlitModel

from crsteps.datamodels.equal_sets import find_equal_sets, setting_of
from crsteps.datamodels.exposures import MIN_EXPOSURES
from crsteps.datamodels.naming import stem
from crsteps.errors import CrstepsInputError
from crsteps.framework.pipeline import CrPipeline
from crsteps.mm_cosmic.step import DITHER_PIXELS, MMCosmicStep

log = logging.getLogger(__name__)

# Endings of the names of associations.
ASSOCIATIONS = (".json", ".yaml", ".yml")


class MMCosmicSlotStep(MMCosmicStep):
    """`MMCosmicStep` as a member of a pipeline: off by default, and for equal exposures only."""

    spec = """
        skip = boolean(default=True)  # Do without this step
        allow_dithered = boolean(default=False)  # Compare exposures although they point differently
    """

    @classmethod
    def get_config_reftype(cls):
        """
        Name the parameters that CRDS is asked for, where it is configured.

        Returns
        -------
        str
        """
        return MMCosmicStep.get_config_reftype()


def with_slot(steps):
    """
    Put mm_cosmic before outlier detection.

    Parameters
    ----------
    steps : dict
        Steps of a standard pipeline by name.

    Returns
    -------
    dict
    """
    ours = {}
    for name, step in steps.items():
        if name == "outlier_detection":
            ours["mm_cosmic"] = MMCosmicSlotStep
        ours[name] = step
    return ours


class Stage3Pipeline(CrPipeline):
    """
    Base of a pipeline of stage 3 with a member ``mm_cosmic`` before ``outlier_detection``.

    Parameters
    ----------
    *args, **kwargs
        As for `stpipe.Pipeline`.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        detect = self.outlier_detection.run
        self.outlier_detection.run = lambda models: detect(self._masked(models))

    def check_pointings(self, models):
        """
        Refuse dithered exposures before any work, if mm_cosmic is to run.

        Parameters
        ----------
        models : ModelLibrary or sequence of JwstDataModel
            Science exposures; not modified.

        Raises
        ------
        CrstepsInputError
            No exposures point alike, and ``allow_dithered`` is not set.
        """
        if not self.mm_cosmic.skip:
            self._equal_sets([setting_of(model) for model in _each(models)])

    def _equal_sets(self, settings):
        step = self.mm_cosmic
        found = find_equal_sets(
            settings,
            fewest=max(MIN_EXPOSURES, step.mm_cr_coincidences + 1),
            largest_distance=float("inf") if step.allow_dithered else DITHER_PIXELS,
        )
        if found.dithered and not found.sets:
            raise CrstepsInputError(
                f"mm_cosmic compares exposures of the same scene, and these are dithered by up to "
                f"{found.dithered:.1f} pixels: leave it out (steps.mm_cosmic.skip = True), or set "
                "steps.mm_cosmic.allow_dithered = True to have what moved flagged too."
            )
        return found

    def _masked(self, models):
        """Flag cosmic rays in each set of equal exposures, in place."""
        step = self.mm_cosmic
        if step.skip:
            return step.run(models)
        settings = [setting_of(model) for model in _each(models)]
        found = self._equal_sets(settings)
        if found.left:
            log.warning(
                "mm_cosmic leaves these exposures as they are, for there are fewer than it needs "
                "of the same pixels and pointing: %s",
                ", ".join(settings[number].name for number in found.left),
            )
            with _taken(models, found.left) as chosen:
                step.record_status(chosen, "SKIPPED")
        labels = _labels([settings[members[0]].detector for members in found.sets])
        for members, label in zip(found.sets, labels, strict=True):
            with _taken(models, members) as chosen, self._names_of_products(chosen, label):
                step.run(chosen)
        return models

    @contextmanager
    def _names_of_products(self, models, label):
        """Give the products of one of several sets, and of each source, names of their own."""
        step = self.mm_cosmic
        given, names = step.output_file, [model.meta.filename for model in models]
        product = given or self.output_file
        if product and (given or step.save_results):
            product = stem(product) + label
            step.output_file = f"{product}.fits"
            if isinstance(models[0], SlitModel):  # every source is in the same files
                for model, name in zip(models, names, strict=True):
                    model.meta.filename = f"{product}_{name}"
        try:
            yield
        finally:
            step.output_file = given
            for model, name in zip(models, names, strict=True):
                model.meta.filename = name


def _each(models):
    """Models of a library or sequence, one by one."""
    if not isinstance(models, ModelLibrary):
        yield from models
        return
    with models:
        for index in range(len(models)):
            model = models.borrow(index)
            try:
                yield model
            finally:
                models.shelve(model, index, modify=False)


@contextmanager
def _taken(models, members):
    """Some models of a library or sequence, as a container, to be changed in place."""
    taken = ModelContainer()
    if not isinstance(models, ModelLibrary):
        taken.extend([models[index] for index in members])
        yield taken
        return
    with models:
        taken.extend([models.borrow(index) for index in members])
        try:
            yield taken
        finally:
            for model, index in zip(taken, members, strict=True):
                models.shelve(model, index)


def _labels(detectors):
    """Endings that tell the products of several sets apart: detector, and number if needed."""
    if len(detectors) == 1:
        return [""]
    labels = []
    for number, detector in enumerate(detectors):
        label = f"_{detector.lower()}"
        if detectors.count(detector) > 1:
            label += f"_{detectors[: number + 1].count(detector)}"
        labels.append(label)
    return labels
