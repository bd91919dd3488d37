"""Step classes by alias or dotted name."""

import pytest
from toysteps import ScaleStep

from crsteps.errors import CrstepsInputError
from crsteps.framework.step_classes import find_step_class


@pytest.mark.parametrize("name", ["mm_cosmic", "crsteps.mm_cosmic.step.MMCosmicStep"])
def test_own_class(name):
    assert find_step_class(name).class_alias == "mm_cosmic"


def test_class_of_another_package():
    from jwst.ramp_fitting import RampFitStep

    assert find_step_class("ramp_fit") is RampFitStep
    assert find_step_class("toysteps.ScaleStep") is ScaleStep


def test_alias_of_several_packages(monkeypatch):
    """Stpipe's own words: which packages they are, and how to say which is meant."""
    from stpipe import utilities

    def several(name):
        raise ValueError(f"class alias {name} matched more than 1 step")

    monkeypatch.setattr(utilities, "resolve_step_class_alias", several)
    with pytest.raises(CrstepsInputError, match="jump matched more than 1 step"):
        find_step_class("jump")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mmcosmic", r"no step mmcosmic: .*; did you mean mm_cosmic\?"),
        ("nowhere.Step", "there is no module nowhere"),
        ("toysteps.Nothing", "toysteps has no Nothing"),
        ("pathlib.Path", "pathlib.Path is not a step or pipeline class"),
        ("toysteps.log", "toysteps.log is not a step or pipeline class"),
        ("toysteps.", "toysteps has no"),
        (".Step", "give its full dotted name"),
        ("..x.Step", "give its full dotted name"),
    ],
)
def test_class_is_not_found(name, message):
    with pytest.raises(CrstepsInputError, match=message):
        find_step_class(name)


def test_broken_module_is_not_a_wrong_name(tmp_path, monkeypatch):
    (tmp_path / "brokensteps.py").write_text("import not_installed_at_all\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="not_installed_at_all"):
        find_step_class("brokensteps.Step")


def test_steps_use_one_thread_for_linear_algebra():
    import numpy as np
    from stdatamodels.jwst.datamodels import ImageModel
    from threadpoolctl import threadpool_info, threadpool_limits

    class Counting(ScaleStep):
        def process(self, given):
            self.threads = {p["num_threads"] for p in threadpool_info() if p["user_api"] == "blas"}
            return super().process(given)

    with threadpool_limits(limits=2, user_api="blas"):
        step = Counting()
        step.run(ImageModel(data=np.ones((4, 4), np.float32)))
        after = {p["num_threads"] for p in threadpool_info() if p["user_api"] == "blas"}
    assert step.threads == {1}
    assert after == {2}
