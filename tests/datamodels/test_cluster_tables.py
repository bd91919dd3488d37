"""Files of clusters: every column, unit and description comes back, from every reader."""

import json
import sys

import numpy as np
import pyarrow.parquet
import pytest
from astropy.table import Table
from hypothesis import given, settings
from hypothesis import strategies as st

from crsteps.datamodels.cluster_tables import write_clusters_parquet, write_clusters_root
from crsteps.errors import CrstepsInputError

META = {"history": ["crsteps 1.0 slew_dark_cosmics", "a: 1"], "integration_time": 87.24}


def clusters(n_pixels, seed=1):
    """Return a table of clusters with every type of column, and their pixels."""
    rng = np.random.default_rng(seed)
    n = len(n_pixels)
    table = Table(
        {
            "detector": np.array([f"DET{rng.integers(1, 5)}1" for _ in range(n)], "U5"),
            "shape": np.array(rng.choice(["point", "track", "blob"], n), "U5"),
            "cluster": np.arange(1, n + 1, dtype=np.int32),
            "n_pixels": np.array(n_pixels, np.int32),
            "channel": rng.integers(0, 32, n).astype(np.int16),
            "x": rng.uniform(0, 2048, n),
            "total": rng.normal(1000, 500, n).astype(np.float32),
            "touches_edge": rng.random(n) < 0.5,
        }
    )
    table["total"].unit = "adu"
    table["total"].description = "sum of the signal, in units of the estimator"
    table["x"].unit = "pixel"
    n_all = int(np.sum(n_pixels, dtype=int))
    pixels = {
        "x": rng.integers(0, 2048, n_all).astype(np.int16),
        "signal": rng.normal(0, 1, n_all).astype(np.float32),
    }
    return table, pixels


@pytest.mark.parametrize("n_pixels", [[1, 3, 7, 2], []])
def test_parquet(tmp_path, n_pixels):
    table, _ = clusters(n_pixels)
    path = write_clusters_parquet(tmp_path / "new" / "crclusters.parquet", table, meta=META)
    assert [p.name for p in path.parent.iterdir()] == ["crclusters.parquet"]

    arrow = pyarrow.parquet.read_table(path)
    assert arrow.column_names == table.colnames
    for name in table.colnames:
        assert arrow[name].to_pylist() == table[name].tolist()
    assert arrow.schema.field("total").metadata[b"unit"] == b"adu"
    assert b"estimator" in arrow.schema.field("total").metadata[b"description"]
    assert json.loads(arrow.schema.metadata[b"crsteps_meta"]) == META
    assert arrow.schema.field("detector").type == "string"
    stored = pyarrow.parquet.ParquetFile(path).metadata
    assert stored.num_rows == len(n_pixels)
    if n_pixels:
        column = stored.row_group(0).column(0)
        assert column.compression == "ZSTD"
        assert column.has_dictionary_page

    read = Table.read(path)
    assert read.meta == META
    assert read.colnames == table.colnames
    for name in table.colnames:
        assert read[name].dtype == table[name].dtype
        assert read[name].unit == table[name].unit
        assert read[name].description == table[name].description
        np.testing.assert_array_equal(read[name], table[name])


def test_parquet_with_pandas(tmp_path):
    import pandas

    table, _ = clusters([1, 3, 7, 2])
    path = write_clusters_parquet(tmp_path / "c.parquet", table, meta=META)
    frame = pandas.read_parquet(path)
    assert list(frame["detector"]) == list(table["detector"])
    np.testing.assert_array_equal(frame["total"], table["total"])
    assert frame["n_pixels"].dtype == np.int32


def test_a_column_that_cannot_be_stored_leaves_nothing(tmp_path):
    table, _ = clusters([1, 2])
    table["odd"] = np.array([1 + 1j, 2])
    with pytest.raises(Exception, match=r"(?i)complex|unsupported"):
        write_clusters_parquet(tmp_path / "c.parquet", table, meta=META)
    assert list(tmp_path.iterdir()) == []


def test_root_names_the_extra(tmp_path, monkeypatch):
    table, pixels = clusters([1, 2])
    monkeypatch.setitem(sys.modules, "uproot", None)
    with pytest.raises(CrstepsInputError, match=r"pip install 'crsteps\[root\]'"):
        write_clusters_root(tmp_path / "c.root", table, pixels, meta=META)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.extras
@pytest.mark.parametrize("n_pixels", [[1, 3, 7, 2], [4], []])
def test_root(tmp_path, n_pixels):
    import uproot

    table, pixels = clusters(n_pixels)
    path = write_clusters_root(tmp_path / "new" / "c.root", table, pixels, meta=META)
    assert [p.name for p in path.parent.iterdir()] == ["c.root"]
    with uproot.open(path) as file:
        tree = file["clusters"]
        assert tree.classname == "TTree"
        assert tree.num_entries == len(n_pixels)
        notes = json.loads(str(file["meta"]))
        branches = set(tree.keys())
        arrays = tree.arrays()
    assert notes["meta"] == META
    assert notes["columns"]["total"]["unit"] == "adu"
    assert "estimator" in notes["columns"]["total"]["description"]
    assert branches >= {*table.colnames, "pixel_x", "pixel_signal"}
    for name in table.colnames:
        assert arrays[name].tolist() == table[name].tolist()
    ends = np.cumsum(n_pixels, dtype=int)
    for name in pixels:
        expected = [part.tolist() for part in np.split(pixels[name], ends)[:-1]]
        assert arrays[f"pixel_{name}"].tolist() == expected


@pytest.mark.extras
@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 5), max_size=20))
def test_root_pixels_belong_to_their_cluster(tmp_path_factory, n_pixels):
    import uproot

    table, pixels = clusters(n_pixels)
    path = tmp_path_factory.mktemp("root") / "c.root"
    write_clusters_root(path, table, pixels, meta={})
    with uproot.open(path) as file:
        arrays = file["clusters"].arrays()
    assert [len(x) for x in arrays["pixel_x"]] == n_pixels
    assert [x for cluster in arrays["pixel_x"].tolist() for x in cluster] == pixels["x"].tolist()


@pytest.mark.extras
def test_root_with_the_wrong_number_of_pixels(tmp_path):
    table, pixels = clusters([1, 2])
    pixels["x"] = pixels["x"][:2]
    with pytest.raises(ValueError, match="2 values x for clusters of 3 pixels"):
        write_clusters_root(tmp_path / "c.root", table, pixels, meta=META)
    assert list(tmp_path.iterdir()) == []
