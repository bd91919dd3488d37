"""YAML files of numina-crmasks: what they become, and what is refused."""

from pathlib import Path

import pytest
import yaml

from crsteps.datamodels.numina_files import is_numina_file, read_numina_file
from crsteps.errors import CrstepsInputError
from crsteps.framework.parameter_files import validate
from crsteps.framework.references import packaged_file

EXAMPLE = Path(__file__).parents[1] / "mm_cosmic" / "data" / "params_example1.yaml"


@pytest.fixture
def example(in_tmp_path):
    """Return the documented example file, beside images of the names it lists."""
    for number in (1, 2, 3):
        (in_tmp_path / f"fake_{number}a.fits").touch()
    path = in_tmp_path / "params_example1.yaml"
    path.write_text(EXAMPLE.read_text())
    return path


def changed(path, **changes):
    """Write the file with keys of its requirements, or at its top, set or removed (None)."""
    tree = yaml.safe_load(path.read_text())
    for name, value in changes.items():
        place = tree if name in tree and name != "requirements" else tree["requirements"]
        if value is ...:
            del place[name]
        else:
            place[name] = value
    path.write_text(yaml.safe_dump(tree))
    return path


def test_example_is_the_preset_with_images_and_noise(example):
    assert is_numina_file(example)
    read = read_numina_file(example)
    preset = validate(packaged_file("pars-mmcosmic_numina.asdf"))
    noise = {"gain": 1.0, "rnoise": 3.4, "bias": 0.0, "extension": "0"}
    assert {name: str(value) for name, value in read.parameters.items()} == {
        name: str(value)
        for name, value in (
            preset.parameters
            | noise
            # as the file writes these numbers
            | {"pc_replace_error": "1.0E6", "mm_ydiag_max": 0, "mm_nbinom_shape": 10}
            | {"mm_weight_boundary_extension": 2}
        ).items()
    }
    assert read.images == tuple(Path(f"fake_{number}a.fits") for number in (1, 2, 3))
    assert validate(read) is read


def test_missing_requirements_take_the_documented_values(example):
    tree = yaml.safe_load(example.read_text()) | {"requirements": {"crmethod": "mm_lacosmic"}}
    example.write_text(yaml.safe_dump(tree))
    parameters = read_numina_file(example).parameters
    assert parameters["crmethod"] == "mm_lacosmic"
    assert parameters["la_sigclip"] == [5.0, 3.0]  # numina's function takes 5 for both passes
    assert parameters["mm_niter_boundary_extension"] == 5  # and 3
    assert parameters["mm_boundary_fit"] == "spline"


def test_no_seed_is_another_seed_each_time(example):
    assert read_numina_file(changed(example, mm_seed=None)).parameters["mm_seed"] == "none"
    assert read_numina_file(changed(example, mm_seed=...)).parameters["mm_seed"] == 123456


def test_images_may_be_beside_the_file(example, tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "fake_2a.fits").touch()
    assert read_numina_file(example).images == (
        tmp_path / "fake_1a.fits",
        Path("fake_2a.fits"),  # the current folder comes first
        tmp_path / "fake_3a.fits",
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"crmethod": "mm_pycosmc"}, "is 'mm_pycosmic' meant"),
        ({"mm_dilaton": 1}, "no parameter mm_dilaton; did you mean mm_dilation"),
        ({"mm_threshold": 3}, "did you mean mm_threshold_rnoise"),
        ({"mm_boundary_fit": "splines"}, "mm_boundary_fit"),
        ({"la_sigclip": [5, 3, 1]}, "la_sigclip"),
        ({"la_sigclip": "high"}, "la_sigclip: .'high'. must be a number"),
        ({"flux_factor": "autos"}, "flux_factor"),
        ({"mm_hist2d_min_neighbors": 9}, "mm_hist2d_min_neighbors"),
        ({"mm_boundary_fit": "piecewise"}, "two or more mm_fixed_points_in_boundary"),
        ({"mm_seed": "soon"}, "mm_seed: 'soon' is neither"),
        ({"regions_to_be_skipped": [[1, 2, 3]]}, "regions_to_be_skipped"),
        ({"pixels_to_be_ignored_as_cr": [[0, 3]]}, "pixels_to_be_ignored_as_cr"),
        ({"mm_xy_offsets": [[1, 2, 3]]}, "mm_xy_offsets"),
        ({"images": ["fake_1a.fits", "fake_2a.fits"]}, "lists 2 images"),
        ({"images": "fake_1a.fits"}, "no list of file names"),
        ({"images": ["fake_1a.fits", "fake_2a.fits", "fake_4a.fits"]}, "no image fake_4a.fits"),
        ({"extnum": "SCI"}, "extnum = SCI is not the number"),
        ({"gain": ...}, "gives no value for gain"),
        ({"bias": None}, "gives no value for bias"),
        ({"gain": "one"}, "gain"),
    ],
)
def test_wrong_keys_are_named(example, changes, words):
    with pytest.raises(CrstepsInputError, match=words) as error:
        validate(read_numina_file(changed(example, **changes)))
    assert str(example) in str(error.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("image: [a.fits]\nrequirements: {}\n", "no key image .*did you mean images"),
        ("images: [a, b, c]\ngain: 1\nrnoise: 1\nbias: 0\n", "no value for requirements"),
        ("images: []\ngain: 1\nrnoise: 1\nbias: 0\nrequirements: [1]\n", "must be a mapping"),
        ("gain: 1\nrnoise: 1\nbias: 0\nrequirements: {gain: 2}\n", "move it to the top"),
    ],
)
def test_wrong_files_are_refused(in_tmp_path, text, words):
    path = in_tmp_path / "numina.yaml"
    path.write_text(text)
    assert is_numina_file(path)
    with pytest.raises(CrstepsInputError, match=words):
        read_numina_file(path)


@pytest.mark.parametrize(
    "text", ["class: mm_cosmic\ngain: 1\n", "", "- a\n", "images: !!python/name:os.system\n"]
)
def test_other_files_are_left_to_the_reader_of_parameter_files(in_tmp_path, text):
    (in_tmp_path / "other.yaml").write_text(text)
    assert not is_numina_file(in_tmp_path / "other.yaml")
    assert not is_numina_file(in_tmp_path / "none.yaml")
    assert not is_numina_file(EXAMPLE.with_suffix(".asdf"))
