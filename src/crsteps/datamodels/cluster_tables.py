"""Files of clusters: Parquet, and ROOT for those whose analysis lives there."""

import json
from pathlib import Path

import numpy as np
from astropy.table import meta as table_meta

from crsteps.errors import CrstepsInputError
from crsteps.framework.output import atomic_path


def write_clusters_parquet(path, table, *, meta):
    """
    Write clusters as Parquet.

    Parameters
    ----------
    path : str or Path
        File to write; replaced if it exists.
    table : astropy.table.Table
        One row for each cluster; columns are numbers or text.
    meta : dict
        What holds for all of them, numbers and text.

    Returns
    -------
    Path
        The file written, compressed with zstd. Unit and description of a column are in the
        metadata of its field; `meta` is in that of the schema (``crsteps_meta``, JSON); all of it
        is there once more in the way of Astropy, whose ``Table.read`` restores it.
    """
    import pyarrow
    from pyarrow import parquet

    described = table.copy(copy_data=False)
    described.meta = dict(meta)
    schema_metadata = {
        "table_meta_yaml": "\n".join(table_meta.get_yaml_from_table(described)),
        "crsteps_meta": json.dumps(meta),
    }
    fields, arrays = [], []
    for name, notes in column_notes(table).items():
        column = np.asarray(table[name])
        arrays.append(_arrow_array(column))
        fields.append(pyarrow.field(name, arrays[-1].type, nullable=False, metadata=notes))
        if column.dtype.kind == "U":
            # the length of text, which Astropy's reader wants to know
            schema_metadata[f"table::len::{name}"] = str(max(column.dtype.itemsize // 4, 1))
    schema = pyarrow.schema(fields, metadata=schema_metadata)
    path = Path(path)
    with atomic_path(path) as aside:
        parquet.write_table(
            pyarrow.Table.from_arrays(arrays, schema=schema), aside, compression="zstd"
        )
    return path


def _arrow_array(column):
    """Column as an Arrow array; `pyarrow.array` would import pandas, which takes .3 s."""
    import pyarrow

    if column.dtype.kind == "U":
        texts = [text.encode() for text in column.tolist()]
        ends = np.cumsum([0, *map(len, texts)], dtype=np.int32)
        offsets, text = pyarrow.py_buffer(ends), pyarrow.py_buffer(b"".join(texts))
        return pyarrow.StringArray.from_buffers(len(texts), offsets, text)
    kind = pyarrow.from_numpy_dtype(column.dtype)
    bits = column.dtype.kind == "b"
    values = np.packbits(column, bitorder="little") if bits else np.ascontiguousarray(column)
    return pyarrow.Array.from_buffers(kind, len(column), [None, pyarrow.py_buffer(values)])


def write_clusters_root(path, table, pixels, *, meta):
    """
    Write clusters as a ROOT tree.

    Parameters
    ----------
    path : str or Path
        File to write; replaced if it exists.
    table : astropy.table.Table
        One row for each cluster, with a column ``n_pixels``; columns are numbers or text.
    pixels : dict of ndarray
        Values at the pixels, such as ``x``, ``y`` and ``signal``: those of the first cluster, then
        those of the second, and so on.
    meta : dict
        What holds for all clusters, numbers and text.

    Returns
    -------
    Path
        The file written: a TTree ``clusters``, whose branches are the columns and, for each entry
        of `pixels`, a jagged branch ``pixel_NAME``; and ``meta``, a JSON string with `meta` and the
        unit and description of each column.

    Raises
    ------
    CrstepsInputError
        If uproot or awkward is not installed.
    ValueError
        If there are not as many pixels as ``n_pixels`` says.
    """
    try:
        import awkward
        import uproot
    except ImportError as error:
        raise CrstepsInputError(
            "Writing ROOT files needs uproot and awkward: pip install 'crsteps[root]', or set "
            "save_root to false."
        ) from error
    counts = np.asarray(table["n_pixels"], np.int64)
    for name, values in pixels.items():
        if len(values) != counts.sum():
            raise ValueError(
                f"{len(values)} values {name} for clusters of {counts.sum()} pixels altogether."
            )
    branches, types = {}, {}
    for name in table.colnames:
        column = np.asarray(table[name])
        is_text = column.dtype.kind == "U"
        branches[name] = awkward.Array(column.tolist()) if is_text else column
        types[name] = "string" if is_text else column.dtype.newbyteorder("=")
    if pixels:
        jagged = {n: awkward.unflatten(np.asarray(v), counts) for n, v in pixels.items()}
        branches["pixel"] = awkward.zip(jagged)
        types["pixel"] = awkward.type(branches["pixel"]).content
    path = Path(path)
    with atomic_path(path) as aside, uproot.recreate(aside) as file:
        file["meta"] = json.dumps({"meta": meta, "columns": column_notes(table)})
        # not file["clusters"] = ..., which gives an RNTuple, that few read
        tree = file.mktree("clusters", types, title="Clusters of pixels hit by cosmic rays")
        if len(table):
            tree.extend(branches)
    return path


def column_notes(table):
    """
    Collect what the columns of a table mean.

    Parameters
    ----------
    table : astropy.table.Table
        The table.

    Returns
    -------
    dict of dict
        ``{name: {"unit": ..., "description": ...}}``; empty text where there is none.
    """
    return {
        name: {
            "unit": str(table[name].unit or ""),
            "description": table[name].description or "",
        }
        for name in table.colnames
    }
