"""Small steps and pipelines, in a module of their own so that ``strun`` finds them by name."""

import logging

from jwst.stpipe import Pipeline, Step
from stdatamodels.jwst.datamodels import ImageModel

from crsteps.errors import CrstepsInputError
from crsteps.framework.pipeline import CrPipeline
from crsteps.framework.references import find_reference
from crsteps.framework.step import CrStep

# a name below that of the package, whose log lines are lent handlers
log = logging.getLogger("crsteps.toys")


class ScaleStep(CrStep):
    """Multiply by a factor."""

    class_alias = "toy_scale"

    spec = """
        factor = float(default=2.0, min=0)  # Factor
        label = string(default=None)  # Any text
        failure = option('none', 'user', 'bug', default='none')  # How to fail
        scale_file = string(default=None)  # Reference file
        reference = boolean(default=False)  # Look for the reference
        packaged = string(default=None)  # Packaged file to fall back on
    """

    reference_file_types = ["toyscale"]  # noqa: RUF012

    def process(self, given):
        """Scale a copy."""
        model = self.prepare_output(given)
        log.info("toy_scale says hello")
        if self.failure == "user":
            raise CrstepsInputError("x.fits has no gain: set the parameter gain.")
        if self.failure == "bug":
            raise RuntimeError("a bug")
        if self.reference:
            find_reference(self, model, "toyscale", parameter="scale_file", packaged=self.packaged)
        model.data = model.data * self.factor
        return self.record_status(model)


class OffsetStep(CrStep):
    """Add a constant, in the slot of a standard step."""

    class_alias = "toy_offset"
    standard_status = "persistence"

    spec = """
        offset = float(default=1.0)  # Constant
    """

    def process(self, given):
        """Add to a copy."""
        model = self.prepare_output(given)
        model.data = model.data + self.offset
        return self.record_status(model)


class FitScaleStep(OffsetStep):
    """A step whose alias ends with that of another one."""

    class_alias = "fit_toy_scale"


class RenewStep(Step):
    """A standard step that makes its result anew, as ramp_fit and resample do."""

    class_alias = "toy_renew"

    def process(self, model):
        """Copy the data into a new model."""
        new = ImageModel(model.data.copy())
        new.update(model)
        return new


class ToyPipeline(CrPipeline):
    """Our steps, then a standard one."""

    class_alias = "toy_pipeline"

    spec = """
        save_between = boolean(default=False)  # Save before and after the standard step
    """

    step_defs = {"scale": ScaleStep, "persistence": OffsetStep, "renew": RenewStep}  # noqa: RUF012

    def process(self, given):
        """Run the steps."""
        model = self.persistence.run(self.scale.run(given))
        if self.save_between:
            self.save_model(model, "rate", force=True)
        return self.renew.run(model)


class ForeignPipeline(Pipeline):
    """A pipeline of another package, with one of our steps in a slot."""

    class_alias = "foreign"

    step_defs = {"persistence": OffsetStep, "scale": ScaleStep, "renew": RenewStep}  # noqa: RUF012

    def process(self, given):
        """Run the steps."""
        return self.renew.run(self.persistence.run(self.scale.run(given)))


class FreshPipeline(CrPipeline):
    """A pipeline whose result knows nothing of its input."""

    class_alias = "toy_fresh"

    def process(self, given):
        """Make a model."""
        return ImageModel((4, 4))


class RenewingPipeline(CrPipeline):
    """A pipeline that itself makes new models of what our step returns."""

    class_alias = "toy_renewing"

    spec = """
        scaled = boolean(default=True)  # Scale at all
    """

    step_defs = {"scale": ScaleStep}  # noqa: RUF012

    def process(self, given):
        """Save one new model, and return another."""
        model = self.scale.run(given) if self.scaled else given
        between, result = ImageModel(model.data.copy()), ImageModel(model.data.copy())
        between.update(model)
        self.save_model(between, "rate", force=True)
        result.update(model)
        return result
