"""Reference files: which one is taken, and that it is recorded."""

import hashlib

import pytest
from stdatamodels.jwst.datamodels import ImageModel
from toysteps import ScaleStep

from crsteps.errors import CrstepsInputError
from crsteps.framework import references
from crsteps.framework.provenance import read_records
from crsteps.framework.references import packaged_file, reference_files_path

PACKAGED = "pars-mmcosmicstep.asdf"


@pytest.fixture
def run(rate):
    """Return a function that runs the step and gives the reference it recorded."""

    def run(**parameters):
        result = ScaleStep.call(rate, reference=True, **parameters)
        return read_records(result)["toy_scale"]["references"]["toyscale"]

    return run


@pytest.fixture
def files(tmp_path):
    """Write two files that can be references."""
    for name in ("given.asdf", "crds.asdf"):
        (tmp_path / name).write_text(name, encoding="utf-8")
    return tmp_path


def sha256(path):
    """Return the checksum of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def crds_has_it(crds_variables, files):
    """Let CRDS, configured, know the type of reference."""
    crds_variables.setenv("CRDS_PATH", "somewhere")
    crds_variables.setenv("STPIPE_DISABLE_CRDS_STEPPARS", "true")

    def find(step, model, reference_type):
        step._reference_files_used.append((reference_type, "crds://crds.asdf"))
        return str(files / "crds.asdf")

    crds_variables.setattr(ScaleStep, "get_reference_file", find)
    return crds_variables


@pytest.fixture
def crds_fails(crds_variables):
    """Let CRDS, configured, fail in the way that is set by the returned function."""
    crds_variables.setenv("CRDS_PATH", "somewhere")
    crds_variables.setenv("STPIPE_DISABLE_CRDS_STEPPARS", "true")

    def fail_with(error):
        def find(step, model, reference_type):
            raise error

        crds_variables.setattr(ScaleStep, "get_reference_file", find)

    return fail_with


@pytest.mark.parametrize(
    ("name", "source"), [("scale_file", "parameter"), ("override_toyscale", "override")]
)
def test_given_file_comes_first(crds_has_it, run, files, name, source, caplog):
    found = run(**{name: str(files / "given.asdf")}, packaged=PACKAGED)
    checksum = sha256(files / "given.asdf")
    assert found == {"name": "given.asdf", "source": source, "sha256": checksum}
    assert f"toyscale reference: {files / 'given.asdf'} ({source})" in caplog.text


def test_parameter_comes_before_override(run, files):
    found = run(scale_file=str(files / "given.asdf"), override_toyscale=str(files / "crds.asdf"))
    assert found["name"] == "given.asdf"


def test_crds_comes_before_the_package(crds_has_it, run, files):
    found = run(packaged=PACKAGED)
    checksum = sha256(files / "crds.asdf")
    assert found == {"name": "crds.asdf", "source": "CRDS", "sha256": checksum}


@pytest.mark.parametrize("error", [SystemExit(-1), LookupError("no such type"), OSError("cut")])
def test_package_comes_when_crds_fails(crds_fails, run, error):
    crds_fails(error)
    found = run(packaged=PACKAGED)
    checksum = sha256(packaged_file(PACKAGED))
    assert found == {"name": PACKAGED, "source": "packaged", "sha256": checksum}


def test_package_comes_without_crds(run):
    assert run(packaged=PACKAGED)["source"] == "packaged"


def test_nothing_found_without_crds(run):
    with pytest.raises(CrstepsInputError) as error:
        run()
    assert str(error.value) == (
        "There is no toyscale reference file for toy_scale: scale_file or override_toyscale is "
        "not set, CRDS is not configured, and no file is packaged: set scale_file or "
        "override_toyscale to a file."
    )


def test_nothing_found_with_crds(crds_fails, run):
    crds_fails(LookupError("no such type"))
    with pytest.raises(CrstepsInputError, match="CRDS gave none for these data, and no file is"):
        run()


@pytest.mark.parametrize("name", ["scale_file", "override_toyscale"])
def test_given_file_that_does_not_exist(run, name):
    with pytest.raises(CrstepsInputError, match=f"no file no.asdf: check the parameter {name}"):
        run(**{name: "no.asdf"}, packaged=PACKAGED)


def test_model_instead_of_a_file(run):
    with pytest.raises(CrstepsInputError, match="override_toyscale is a ImageModel: give the path"):
        run(override_toyscale=ImageModel((2, 2)))


def test_unknown_packaged_file():
    with pytest.raises(CrstepsInputError, match=f"no packaged file x.asdf: choose .*{PACKAGED}"):
        packaged_file("x.asdf")


def test_outside_of_run_too(rate):
    """A step whose ``process`` is called by itself."""
    step = ScaleStep(reference=True, packaged=PACKAGED)
    result = step.process(rate)
    assert read_records(result)["toy_scale"]["references"]["toyscale"]["name"] == PACKAGED


def test_references_of_an_earlier_run_are_forgotten(rate):
    step = ScaleStep(reference=True, packaged=PACKAGED)
    step.run(rate)
    step.reference = False
    assert read_records(step.run(rate))["toy_scale"]["references"] == {}


def test_folder_is_that_of_the_source_tree(checkout):
    """An editable install finds the files at the top of the tree."""
    ours = {path.name for path in reference_files_path().glob("*.asdf")}
    assert ours == {path.name for path in (checkout / "reference_files").glob("*.asdf")}
    assert PACKAGED in ours
    assert references.packaged_file(PACKAGED).read_bytes().startswith(b"#ASDF")
