"""Names of sets of exposures."""

import json

import pytest

from crsteps.datamodels.naming import common_stem, set_name, stem


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("/data/x_1.fits", "x_1"),
        ("x_1.fits.gz", "x_1"),
        ("x.FIT", "x"),
        ("jw1.138_933.fits", "jw1.138_933"),
        ("<ImageModel>", "<ImageModel>"),
    ],
)
def test_stem(name, expected):
    assert stem(name) == expected


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["night_1", "night_2", "night_3"], "night"),
        (["sky10", "sky11", "sky12"], "sky"),
        (["v_12_1_0", "v_12_2_0", "v_12_3_0"], "v_12"),
        (["jw_00001_nrs1", "jw_00002_nrs1"], "jw"),
        (["a", "b"], ""),
        (["20181", "20182"], ""),
        (["target", "target-2"], "target"),
    ],
)
def test_common_stem(names, expected):
    assert common_stem(names) == expected


def test_set_without_common_stem_is_called_after_the_first():
    assert set_name(["a.fits", "b.fits"], ["/x/a.fits", "/x/b.fits"]) == "a"


def test_association_names_the_set(tmp_path):
    path = tmp_path / "asn.json"
    path.write_text(json.dumps({"products": [{"name": "field", "members": []}]}))
    sources = ["n1.fits", "n2.fits"]
    assert set_name(path, sources) == set_name([str(path)], sources) == "field"
