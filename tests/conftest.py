"""Surroundings of every test: one BLAS thread, no display, no CRDS, no network, real data."""

import os
import socket
import sys
from pathlib import Path

# These are read once, when NumPy, Matplotlib and crds are imported, so they are set here, before
# any test module is. Importing crds fills os.environ with its own CRDS_* variables, which must
# then stay: this is the only place that removes them.
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_variable] = "1"
os.environ["MPLBACKEND"] = "Agg"
for _variable in list(os.environ):
    if _variable.startswith("CRDS_") or _variable == "STPIPE_DISABLE_CRDS_STEPPARS":
        del os.environ[_variable]

import hypothesis  # noqa: E402
import pytest  # noqa: E402

# How long an example takes says more about the machine than about the code.
hypothesis.settings.register_profile("crsteps", deadline=None)
hypothesis.settings.load_profile("crsteps")

CHECKOUT = Path(__file__).resolve().parents[1]
LOOPBACK = {"127.0.0.1", "::1", "localhost"}


@pytest.fixture(scope="session", autouse=True)
def no_network():
    """Refuse every connection that leaves this machine: the package has to work offline."""
    connect = socket.socket.connect

    def connect_on_loopback(self, address):
        if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in LOOPBACK:
            raise OSError(f"the tests run offline, but a connection to {address[0]} was tried")
        return connect(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", connect_on_loopback)
        yield


@pytest.fixture(scope="session")
def checkout():
    """Return the root of the source tree, with README.md and pyproject.toml."""
    return CHECKOUT


@pytest.fixture(scope="session")
def real_data():
    """
    Return the folder of real exposures, or skip the test where there is none.

    It is named by the environment variable ``CRSTEPS_TEST_DATA``; without that, it is
    ``../shared/data`` beside the checkout.
    """
    named = os.environ.get("CRSTEPS_TEST_DATA")
    folder = Path(named) if named else CHECKOUT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no real exposures: {folder} does not exist (set CRSTEPS_TEST_DATA)")
    return folder


@pytest.fixture(scope="session")
def user_environment():
    """
    Return the environment variables of a user without CRDS, for commands that a test runs.

    The variables of this process will not do: crds, once imported, adds its own. The commands
    beside the interpreter (``strun``, ``crsteps``) are found first.
    """
    variables = {name: value for name, value in os.environ.items() if not name.startswith("CRDS_")}
    variables["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return variables


@pytest.fixture
def in_tmp_path(tmp_path, monkeypatch):
    """Run the test with a temporary folder as the current one, and return that folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def crds_variables(monkeypatch):
    """Undo what the test, or crds itself, does to the variables and memory of CRDS."""
    from crds.core.utils import clear_function_caches

    from crsteps.framework import crds_access

    clear_function_caches()
    monkeypatch.setattr(crds_access, "_unreachable_since", {})
    before = {name: value for name, value in os.environ.items() if name.startswith("CRDS_")}
    yield monkeypatch
    clear_function_caches()
    for name in [name for name in os.environ if name.startswith("CRDS_")]:
        del os.environ[name]
    os.environ.update(before)


@pytest.fixture
def serverless_crds(crds_variables, tmp_path):
    """Configure CRDS with a cache that knows no reference, which is enough for any pipeline."""
    config = tmp_path / "cache" / "config" / "jwst"
    config.mkdir(parents=True)
    server = "https://crds-serverless-mode.stsci.edu"
    (config / "server_config").write_text(
        repr(
            {
                "observatory": "jwst",
                "operational_context": "jwst_0001.pmap",
                "effective_mode": "local",
                "server_url": server,
                "status": "s",
                "connected": False,
                "last_synced": "2026-01-01 00:00:00",
                "bad_files": "",
                "bad_files_set": [],
                "crds_version": {"str": "14"},
            }
        ),
        encoding="utf-8",
    )
    crds_variables.setenv("CRDS_PATH", str(tmp_path / "cache"))
    crds_variables.setenv("CRDS_SERVER_URL", server)
    crds_variables.setenv("STPIPE_DISABLE_CRDS_STEPPARS", "true")


def pytest_collection_modifyitems(items):
    """Mark every test that asks for the real exposures, so that ``-m real_data`` selects them."""
    for item in items:
        if "real_data" in item.fixturenames:
            item.add_marker(pytest.mark.real_data)
