"""
ASDF files of many small arrays, read a piece at a time and copied as they are stored.

The asdf package unpacks and packs every array again when something is added to a file, and keeps
those it has read in memory. Here a file is a tree of plain values, in which an array is a
`StoredArray`: it knows its block of the file and unpacks no more than is asked for. Written with
other arrays into a new file, its block is copied byte by byte. Files are ordinary ASDF (version 1.0
of the file format: a YAML tree followed by binary blocks) that any reader of ASDF opens.
"""

import bz2
import hashlib
import os
import re
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from crsteps.errors import CrstepsInputError

__all__ = ["StoredArray", "read_asdf", "write_asdf"]

_CORE = "tag:stsci.edu:asdf/core/"
_END_OF_TREE = re.compile(rb"\r?\n\.\.\.(\r?\n|$)")
_MAGIC = b"\xd3BLK"
# After the magic bytes: size of the rest of the header, flags, compression, allocated, used and
# unpacked size, MD5 of the used bytes.
_HEADER = struct.Struct(">HI4sQQQ16s")
_STREAMED = 1
_PIECE = 2**15
_LARGEST_TREE = 2**28
_DATATYPES = {"int32": "i4", "int64": "i8", "float32": "f4", "float64": "f8"}
_UNPACKERS = {b"\0\0\0\0": None, b"zlib": zlib.decompressobj, b"bzp2": bz2.BZ2Decompressor}


@dataclass(frozen=True)
class _Block:
    """A block of a file: where its header begins, and the header, which tells its content."""

    path: Path
    offset: int
    header: bytes

    @property
    def fields(self):
        return _HEADER.unpack(self.header)

    @property
    def data_offset(self):
        # a header may be longer than what is known of it
        return self.offset + len(_MAGIC) + 2 + self.fields[0]

    @property
    def end(self):
        return self.data_offset + self.fields[3]


class StoredArray:
    """
    A one-dimensional array in a file, unpacked whenever it is used.

    Slices from the first element to the last, one after the other, cost the time of one pass and
    the memory of a slice. Anything else reads the array as a whole. It stays readable if the file
    is replaced by one that holds the same array. Reading raises a CrstepsInputError if the array is
    damaged or no longer there.

    Parameters
    ----------
    block : _Block
        Where it is stored.
    stored : numpy.dtype
        Type as stored; values are given in the byte order of the machine.
    size : int
        Number of elements.
    """

    ndim = 1

    def __init__(self, block, stored, size):
        self._block, self._stored, self.size = block, stored, size
        self._reader = None

    def __len__(self):
        return self.size

    def __getstate__(self):
        return {**vars(self), "_reader": None}

    @property
    def dtype(self):
        """Type of the values."""
        return self._stored.newbyteorder("=")

    @property
    def shape(self):
        """Number of elements, as a tuple."""
        return (self.size,)

    def __array__(self, dtype=None, copy=None):
        values = _Reader(self._block, self._stored).read(0, self.size)
        return values.astype(dtype or self.dtype, copy=False)

    def __getitem__(self, index):
        if not isinstance(index, slice) or index.indices(self.size)[2] != 1:
            return np.asarray(self)[index]
        start, stop, _ = index.indices(self.size)
        if stop <= start:
            return np.empty(0, self.dtype)
        if self._reader is None or start < self._reader.first:
            self._reader = _Reader(self._block, self._stored)
        values = self._reader.read(start, stop).astype(self.dtype, copy=False)
        if stop == self.size:
            self._reader = None
        return values


class _Reader:
    """Elements of a block from the first to the last; those before the last start are dropped."""

    def __init__(self, block, stored):
        self._block, self._stored = block, stored
        unpacker = _UNPACKERS[block.fields[2]]
        self._unpack = unpacker().decompress if unpacker else bytes
        self._taken = 0
        self._buffer = b""
        self.first = 0

    def read(self, start, stop):
        wanted = (stop - self.first) * self._stored.itemsize
        pieces, held = [self._buffer], len(self._buffer)
        while held < wanted:
            pieces.append(self._more())
            held += len(pieces[-1])
        unused = (start - self.first) * self._stored.itemsize
        self._buffer = b"".join(pieces)[unused:]
        self.first = start
        return np.frombuffer(self._buffer, self._stored, stop - start).copy()

    def _more(self):
        self._block = _find(self._block)
        left = self._block.fields[4] - self._taken
        if left <= 0:
            raise _unreadable(self._block.path, "is damaged (it ends too early)")
        with self._block.path.open("rb") as stream:
            stream.seek(self._block.data_offset + self._taken)
            packed = stream.read(min(left, _PIECE))
        self._taken += len(packed)
        try:
            return self._unpack(packed)
        except (zlib.error, OSError, EOFError) as error:
            raise _unreadable(self._block.path, f"is damaged ({error})") from error


def read_asdf(path):
    """
    Read the tree of a file.

    Parameters
    ----------
    path : str or Path
        ASDF file, with one-dimensional arrays in blocks of its own.

    Returns
    -------
    dict
        The tree: plain values, and `StoredArray` for arrays. Nothing else is made from it: an
        unknown tag is an error.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is not ASDF, was cut off, or has arrays of other kinds.
    """
    path = Path(path)
    with path.open("rb") as stream:
        text, end = _read_tree(stream)
        blocks = list(_scan(path, stream, end))
    loader = _Loader(text)
    loader.blocks = blocks
    try:
        tree = loader.get_single_data()
    except yaml.YAMLError as error:
        raise ValueError(f"its tree cannot be read ({error})") from error
    finally:
        loader.dispose()
    if not isinstance(tree, dict):
        raise ValueError("its tree is not a mapping")
    return tree


def write_asdf(path, tree):
    """
    Write a tree with its arrays; one after the other, so that few are in memory.

    Parameters
    ----------
    path : str or Path
        File to write. It must be another one than those from which stored arrays come.
    tree : dict
        Plain values, one-dimensional arrays of int32, int64, float32 or float64, which are packed
        with zlib, and `StoredArray`, whose blocks are copied.

    Raises
    ------
    OSError
        If a file cannot be written or read.
    CrstepsInputError
        If a stored array is no longer in its file.
    """
    arrays = []
    with Path(path).open("wb") as stream:
        stream.write(b"#ASDF 1.0.0\n#ASDF_STANDARD 1.6.0\n")
        yaml.dump(
            _Tagged("asdf-1.1.0", _numbered(tree, arrays), one_line=False),
            stream,
            Dumper=_Dumper,
            encoding="utf-8",
            version=(1, 1),
            tags={"!": _CORE.removesuffix("core/")},
            explicit_start=True,
            explicit_end=True,
            default_flow_style=None,
            sort_keys=False,
            width=1000,
        )
        for array in arrays:
            if isinstance(array, StoredArray):
                _copy(_find(array._block), stream)
            else:
                stream.write(_packed(array))
        stream.flush()
        os.fsync(stream.fileno())


def _read_tree(stream):
    """YAML at the beginning of a file, and where it ends."""
    text = stream.read(_PIECE)
    if not text.startswith(b"#ASDF "):
        raise ValueError("it is not an ASDF file")
    while not (match := _END_OF_TREE.search(text)):
        more = stream.read(len(text))
        if not more or len(text) > _LARGEST_TREE:
            raise ValueError("its tree has no end: the file was cut off")
        text += more
    return text[: match.end()], match.end()


def _scan(path, stream, offset):
    """Yield the blocks that follow the tree."""
    length = stream.seek(0, os.SEEK_END)
    stream.seek(offset)
    head = stream.read(_PIECE)
    offset += max(head.find(_MAGIC), 0)  # there may be room between them
    while offset < length:
        stream.seek(offset)
        head = stream.read(len(_MAGIC) + _HEADER.size)
        if not head.startswith(_MAGIC):
            return  # the index of the blocks
        if len(head) < len(_MAGIC) + _HEADER.size:
            raise ValueError("it was cut off within the header of a block")
        block = _Block(path, offset, head[len(_MAGIC) :])
        if block.fields[1] & _STREAMED or block.end > length:
            raise ValueError("its last block has no end: the file was cut off")
        yield block
        offset = block.end


def _find(block):
    """Return the block, or where it is in the file that took the place of its own."""
    with block.path.open("rb") as stream:
        stream.seek(block.offset + len(_MAGIC))
        if stream.read(len(block.header)) == block.header:
            return block
        stream.seek(0)
        _, end = _read_tree(stream)
        for other in _scan(block.path, stream, end):
            if other.header == block.header and any(block.fields[-1]):
                return other
    raise _unreadable(block.path, "is no longer there, because another file took its place")


def _unreadable(path, why):
    return CrstepsInputError(
        f"An array of {path} {why}: go back to a copy of the file, or write it anew."
    )


def _copy(block, stream):
    with block.path.open("rb") as source:
        source.seek(block.offset)
        left = block.end - block.offset
        while left:
            piece = source.read(min(left, 32 * _PIECE))
            if not piece:
                raise _unreadable(block.path, "was cut off")
            stream.write(piece)
            left -= len(piece)


def _packed(array):
    """Block of an array; what is empty is not packed."""
    data = np.ascontiguousarray(array).tobytes()
    packed, how = (zlib.compress(data, 1), b"zlib") if data else (b"", b"\0\0\0\0")
    sizes = (len(packed), len(packed), len(data))
    digest = hashlib.md5(packed, usedforsecurity=False).digest()
    return _MAGIC + _HEADER.pack(_HEADER.size - 2, 0, how, *sizes, digest) + packed


class _Tagged(dict):
    """Mapping with a tag of ASDF, on one line or several."""

    def __init__(self, tag, values, *, one_line):
        super().__init__(values)
        self.tag, self.one_line = _CORE + tag, one_line


def _numbered(node, arrays):
    """Tree with the numbers of blocks in place of arrays, which are listed."""
    if isinstance(node, dict):
        return {key: _numbered(value, arrays) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [_numbered(value, arrays) for value in node]
    if not isinstance(node, StoredArray | np.ndarray):
        return node
    if node.ndim != 1 or node.dtype.name not in _DATATYPES:
        raise ValueError(f"an array of {node.ndim} dimensions and type {node.dtype} is not stored")
    arrays.append(node)
    order = node._stored if isinstance(node, StoredArray) else node.dtype
    values = {
        "source": len(arrays) - 1,
        "datatype": node.dtype.name,
        "byteorder": "big" if order.str.startswith(">") else "little",
        "shape": [len(node)],
    }
    return _Tagged("ndarray-1.1.0", values, one_line=True)


class _Dumper(yaml.CSafeDumper):
    """Writes mappings with their tags."""

    def ignore_aliases(self, data):
        return True


_Dumper.add_representer(
    _Tagged,
    lambda dumper, data: dumper.represent_mapping(data.tag, dict(data), flow_style=data.one_line),
)


class _Loader(yaml.CSafeLoader):
    """Reads plain values and arrays, and nothing else."""

    blocks = ()


def _construct_mapping(loader, node):
    return loader.construct_mapping(node, deep=True)


def _construct_array(loader, node):
    values = loader.construct_mapping(node, deep=True)
    try:
        block = loader.blocks[values["source"]]
        kind = _DATATYPES[values["datatype"]]
        stored = np.dtype({"little": "<", "big": ">"}[values["byteorder"]] + kind)
        [size] = values["shape"]
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise ValueError(f"an array of its tree is not in a block of the file ({error})") from error
    packing, unpacked = block.fields[2], block.fields[5]
    if packing not in _UNPACKERS:
        raise ValueError(f"its blocks are packed with {packing.decode('ascii', 'replace')}")
    if not isinstance(size, int) or size < 0 or size * stored.itemsize != unpacked:
        raise ValueError(f"an array of {size} {stored.name} has a block of {unpacked} bytes")
    return StoredArray(block, stored, size)


_Loader.add_constructor(_CORE + "ndarray-1.1.0", _construct_array)
_Loader.add_constructor(_CORE + "ndarray-1.0.0", _construct_array)
for _tag in ("asdf-1.1.0", "asdf-1.0.0", "software-1.0.0", "extension_metadata-1.0.0"):
    _Loader.add_constructor(_CORE + _tag, _construct_mapping)
