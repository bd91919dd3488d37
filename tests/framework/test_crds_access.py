"""CRDS not configured, not there, silent, or failing: the work goes on."""

import logging
import os
import time
import traceback

import numpy as np
import pytest
from stdatamodels.jwst.datamodels import ImageModel
from toysteps import ForeignPipeline, FreshPipeline, ScaleStep, ToyPipeline

from crsteps.framework import crds_access
from crsteps.framework.crds_access import ask_crds, crds_configured, limit_timeout

# crds 14 warns about itself
pytestmark = pytest.mark.filterwarnings("ignore:'get_cache_lock' is deprecated")


@pytest.fixture
def silent_crds(crds_variables, silent_server, tmp_path):
    """Configure CRDS with an empty cache and a server that never answers, for two seconds."""
    (tmp_path / "empty").mkdir()
    crds_variables.setenv("CRDS_SERVER_URL", silent_server)
    crds_variables.setenv("CRDS_PATH", str(tmp_path / "empty"))
    crds_variables.setattr(crds_access, "TIMEOUT_SECONDS", 2)
    crds_variables.setenv("CRDS_CLIENT_TIMEOUT_SECONDS", "3600")  # as if crds had been imported
    return crds_variables


@pytest.mark.parametrize(
    ("before", "after"), [(None, "20"), ("3600", "20"), ("7", "7"), ("100", "100")]
)
def test_limit_timeout(crds_variables, before, after):
    if before is None:
        crds_variables.delenv("CRDS_CLIENT_TIMEOUT_SECONDS", raising=False)
    else:
        crds_variables.setenv("CRDS_CLIENT_TIMEOUT_SECONDS", before)
    limit_timeout()
    assert os.environ["CRDS_CLIENT_TIMEOUT_SECONDS"] == after


def test_crds_itself_takes_the_limit(crds_variables):
    """Crds is imported already, and has written its default into the environment."""
    from crds.core import config

    crds_variables.delenv("CRDS_CLIENT_TIMEOUT_SECONDS", raising=False)
    assert config.get_client_timeout_seconds() == 3600
    limit_timeout()
    assert config.get_client_timeout_seconds() == crds_access.TIMEOUT_SECONDS


def test_crds_writes_variables_but_configures_nothing(crds_variables):
    from stpipe import crds_client

    with pytest.raises(SystemExit):  # neither server nor cache
        crds_client.get_context_used("jwst")
    assert "CRDS_CLIENT_TIMEOUT_SECONDS" in os.environ
    assert not crds_configured()


@pytest.mark.parametrize("variable", ["CRDS_PATH", "CRDS_SERVER_URL"])
def test_one_variable_configures_crds(crds_variables, variable):
    crds_variables.setenv(variable, "somewhere")
    assert crds_configured()


def test_nothing_is_asked_where_crds_is_not_configured(crds_variables):
    assert ask_crds("x", lambda: pytest.fail("asked"), "default") == "default"


def test_answer_is_returned(crds_variables):
    crds_variables.setenv("CRDS_PATH", "somewhere")
    assert ask_crds("x", lambda: "answer", "default") == "answer"


def test_failure_is_told_and_asked_again(crds_variables, caplog):
    crds_variables.setenv("CRDS_PATH", "somewhere")

    def fail():
        raise LookupError("no such type")

    with caplog.at_level("INFO", "crsteps"):
        assert ask_crds("a dark reference", fail) is None
    assert "a dark reference (no such type)" in caplog.text
    assert ask_crds("a dark reference", lambda: "answer") == "answer"


def test_crds_out_of_reach_is_not_asked_again_for_a_while(crds_variables, caplog):
    crds_variables.setenv("CRDS_PATH", "somewhere")

    def end_the_process():
        raise SystemExit(-1)

    assert ask_crds("x", end_the_process, 5) == 5
    assert "CRDS_PATH somewhere" in caplog.text
    assert ask_crds("x", lambda: pytest.fail("asked"), 6) == 6
    # another configuration is another question, and time heals
    with crds_variables.context() as other:
        other.setenv("CRDS_PATH", "elsewhere")
        assert ask_crds("x", lambda: 7) == 7
    crds_variables.setattr(crds_access, "RETRY_SECONDS", 0)
    assert ask_crds("x", lambda: 8) == 8


def test_last_words_of_crds_are_held_back(crds_variables, caplog, capsys):
    """What crds says when it gives up would read as if the step had."""
    crds_variables.setenv("CRDS_PATH", "somewhere")

    def complain():
        logging.getLogger("CRDS").error("(FATAL) Cannot continue.")
        logging.getLogger("CRDS").error("a common error")
        try:
            raise LookupError("no mappings")
        except LookupError:
            traceback.print_exc()
        return "answer"

    with caplog.at_level("INFO"):
        assert ask_crds("x", complain) == "answer"
        logging.getLogger("CRDS").error("(FATAL) for somebody else")
    assert "Cannot continue" not in caplog.text
    assert "a common error" in caplog.text
    assert "CRDS reports: LookupError: no mappings" in caplog.text
    assert "for somebody else" in caplog.text
    assert "Traceback" not in capsys.readouterr().err


def test_interrupt_is_not_swallowed(crds_variables):
    crds_variables.setenv("CRDS_PATH", "somewhere")

    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ask_crds("x", interrupt)


def test_strun_with_a_silent_server(strun, rate_file, silent_server, tmp_path):
    """Crds in a process of its own obeys the user's time; its default is an hour."""
    (tmp_path / "empty").mkdir()
    result = strun(
        "toysteps.ScaleStep",
        rate_file.name,
        CRDS_SERVER_URL=silent_server,
        CRDS_PATH=str(tmp_path / "empty"),
        CRDS_CLIENT_TIMEOUT_SECONDS="2",
    )
    assert result.status == 0, result.stderr
    assert "going on without CRDS" in result.stderr
    assert "annot continue" not in result.stderr
    with ImageModel(tmp_path / "x_toy_scale.fits") as product:
        np.testing.assert_array_equal(product.data, np.full((16, 16), 2, dtype="f4"))


def test_pipeline_with_a_silent_server(silent_crds, in_tmp_path, rate, caplog):
    """It waits once, for the limit set by us instead of crds's hour, and saves its result."""
    rate.meta.filename = "x_rate.fits"
    start = time.monotonic()
    ToyPipeline.call(rate, save_results=True, steps={"scale": {"factor": 3}})
    assert time.monotonic() - start < 60  # it hangs or it does not: not a measurement
    assert caplog.text.count("going on without CRDS") == 1
    assert os.environ["CRDS_CLIENT_TIMEOUT_SECONDS"] == "2"
    assert (in_tmp_path / "x_toy_pipeline.fits").is_file()


def test_standard_pipeline_does_not_survive_without_crds(crds_variables, rate):
    """What our base spares the user: if this no longer raises, much of it can go."""
    with pytest.raises(SystemExit):
        ForeignPipeline.call(rate)


def test_result_without_logs_is_completed(rate):
    result = FreshPipeline.call(rate)
    assert isinstance(result, ImageModel)
    assert len(result.cal_logs.toy_fresh) > 0


def test_parameters_from_crds_are_used(crds_variables, rate):
    from stpipe import crds_client

    asked = []

    def find(parameters, reference_type, observatory):
        asked.append((reference_type, observatory))
        return "N/A"

    crds_variables.setenv("CRDS_PATH", "somewhere")
    crds_variables.setattr(crds_client, "get_reference_file", find)
    ScaleStep.call(rate)
    assert asked == [("pars-scalestep", "jwst")]
