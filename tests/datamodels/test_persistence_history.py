"""History files of persistence: sparse, added to, read lazily, safe against loss and damage."""

import os
import pickle
import subprocess
import sys
import tracemalloc

import asdf
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crsteps.datamodels.persistence_history import (
    read_histories,
    update_histories,
    write_histories,
)
from crsteps.errors import CrstepsInputError
from crsteps.persistence.correction import correct_rates
from crsteps.persistence.decay import PersistenceModel
from crsteps.persistence.group_charge import GroupTimes
from crsteps.persistence.history import Corrected, History
from crsteps.persistence.sparse_stimulus import Stimulus
from crsteps.persistence.stimulus import HST_WFC3_IR

SHAPE = (64, 48)
START = 60000.0 * 86400


def stimulus(number=0, *, seed=1, n=200, shape=SHAPE):
    random = np.random.default_rng(seed + number)
    pixels = np.sort(random.choice(shape[0] * shape[1], n, replace=False)).astype(np.int32)
    fluence = random.exponential(3e4, n).astype(np.float32)
    return Stimulus(f"exposure{number}.fits", START + 200.5 * number, 87.25, pixels, fluence)


def history(*numbers, detector="DET11", **values):
    stimuli = tuple(stimulus(number) for number in numbers)
    return History(detector, SHAPE, stimuli, **values)


def as_history(stored):
    """The class of the capability with what was read, its arrays unread."""
    return History(
        stored.detector,
        stored.shape,
        tuple(Stimulus(s.source, s.end, s.duration, s.pixels, s.fluence) for s in stored.stimuli),
        tuple(Corrected(c.source, c.start) for c in stored.corrected),
        stored.forgotten_until,
    )


def assert_same(stored, expected):
    assert (stored.detector, stored.shape) == (expected.detector, expected.shape)
    assert stored.forgotten_until == expected.forgotten_until
    assert [vars(c) for c in stored.corrected] == [vars(c) for c in expected.corrected]
    assert len(stored.stimuli) == len(expected.stimuli)
    for one, other in zip(stored.stimuli, expected.stimuli, strict=True):
        for name in ("source", "end", "duration"):
            assert getattr(one, name) == getattr(other, name)
        np.testing.assert_array_equal(one.pixels, other.pixels)
        np.testing.assert_array_equal(one.fluence, other.fluence)
        assert one.pixels.dtype == np.int32
        assert one.fluence.dtype == np.float32


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "new" / "history.asdf"
    write_histories(path, [history(0, 1), history(2, detector="DET12")])
    return path


def test_what_is_written_is_read(path):
    read = read_histories(path)
    assert set(read) == {"DET11", "DET12"}
    assert_same(read["DET11"], history(0, 1))
    assert_same(read["DET12"], history(2, detector="DET12"))
    assert [p.name for p in path.parent.iterdir()] == ["history.asdf"]


@settings(max_examples=15, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 30), max_size=4),
    ends=st.lists(st.floats(1e9, 8e9), min_size=4, max_size=4),
    until=st.one_of(st.just(-np.inf), st.floats(1e9, 8e9)),
    fluences=st.lists(st.floats(0, 2**17, width=32), min_size=30, max_size=30),
    names=st.lists(st.text(max_size=20), min_size=2, max_size=2),
)
def test_any_history_is_read_as_written(tmp_path_factory, sizes, ends, until, fluences, names):
    path = tmp_path_factory.mktemp("h") / "h.asdf"
    random = np.random.default_rng(sum(sizes))
    stimuli = tuple(
        Stimulus(
            f"{names[0]}{n}",
            end,
            1.5,
            np.sort(random.choice(3072, size, replace=False)).astype(np.int32),
            np.array(fluences[:size], np.float32),
        )
        for n, (size, end) in enumerate(zip(sizes, ends, strict=False))
    )
    written = History("A-1", SHAPE, stimuli, (Corrected(names[1], ends[0]),), until)
    write_histories(path, [written])
    assert_same(read_histories(path)["A-1"], written)


def test_other_programs_read_it(path):
    with asdf.open(path, validate_checksums=True) as file:
        [stored] = file["detectors"]["DET12"]["stimuli"]
        np.testing.assert_array_equal(stored["pixels"], stimulus(2).pixels)
        assert stored["fluence"].dtype == np.float32
        assert stored["end"] == START + 401.0


@pytest.mark.parametrize("packing", ["bzp2", "zlib", ""])
def test_what_other_programs_write_is_read(path, packing):
    with asdf.open(path) as file:
        file.write_to(path.with_name("other.asdf"), all_array_compression=packing)
    assert_same(read_histories(path.with_name("other.asdf"))["DET11"], history(0, 1))


def test_stimuli_are_added(path):
    read = read_histories(path)
    longer = as_history(read["DET11"]).add(stimulus(5)).record("exposure6.fits", START + 1300)
    again = write_histories(path, [longer], read=read)
    expected = history(0, 1, 5, corrected=(Corrected("exposure6.fits", START + 1300),))
    assert_same(again["DET11"], expected)
    assert_same(read_histories(path)["DET11"], expected)
    assert_same(read_histories(path)["DET12"], history(2, detector="DET12"))
    # what was read before is still there, although the file is another one
    assert_same(read["DET11"], history(0, 1))


def test_the_history_of_the_capability_takes_what_is_stored(path):
    stored = as_history(read_histories(path)["DET11"])
    assert stored.add(stimulus(1)) is stored  # known already
    with pytest.raises(ValueError, match="with other times or fluences"):
        stored.add(Stimulus("exposure1.fits", START + 1, 87.25, np.arange(3), np.ones(3)))


def test_persistence_after_a_stored_history_is_that_of_one_in_memory(path):
    model = PersistenceModel(HST_WFC3_IR, saturation_level=1e5)
    times = GroupTimes.regular(4, frame_time=1.454, n_frames=16, n_drops=4)
    start = START + 500
    stored, known = as_history(read_histories(path)["DET11"]), history(0, 1)
    results = [
        correct_rates(
            np.zeros((1, *SHAPE), np.float32),
            decays=h.decays(model, start),
            times=times,
            resets=[start],
        )
        for h in (stored, known, stored)
    ]
    assert results[0].rate.max() > 0.1
    for result in results[1:]:
        np.testing.assert_array_equal(result.rate, results[0].rate)
    forgotten = stored.forgotten(model, start + 20000)
    read = write_histories(path, [forgotten], read=read_histories(path))
    assert_same(read["DET11"], known.forgotten(model, start + 20000))
    assert 0 < len(read["DET11"].stimuli[0].pixels) < 200


def test_stored_arrays_are_copied_without_unpacking_them(path, monkeypatch):
    monkeypatch.setattr("crsteps.datamodels.asdf_arrays._UNPACKERS", {b"zlib": None})
    update_histories(path, lambda read: [as_history(read["DET11"]).add(stimulus(5))])
    monkeypatch.undo()
    assert_same(read_histories(path)["DET11"], history(0, 1, 5))


def test_slices_are_those_of_the_array(path):
    stored = read_histories(path)["DET11"].stimuli[0].pixels
    pixels = stimulus(0).pixels
    for part in (slice(0, 50), slice(20, 70), slice(70, 70), slice(65, 200), slice(10, 20)):
        np.testing.assert_array_equal(stored[part], pixels[part])
    np.testing.assert_array_equal(stored[::-7], pixels[::-7])
    np.testing.assert_array_equal(stored[pixels > 500], pixels[pixels > 500])
    np.testing.assert_array_equal(np.asarray(stored, float), pixels)
    assert stored[-1] == pixels[-1]
    assert (len(stored), stored.size, stored.shape, stored.ndim) == (200, 200, (200,), 1)


def test_stored_histories_can_be_sent_to_other_processes(path):
    stored = read_histories(path)["DET11"]
    _ = stored.stimuli[0].pixels[:10]
    assert_same(pickle.loads(pickle.dumps(stored)), history(0, 1))


def test_reading_slice_by_slice_and_appending_take_little_memory(tmp_path):
    """20 stimuli of 100000 pixels, 16 MB unpacked."""
    path = tmp_path / "h.asdf"
    pixels = np.arange(0, 2048**2, 42, dtype=np.int32)
    random = np.random.default_rng(3)
    stimuli = tuple(
        Stimulus(f"{n}", START + n, 1.0, pixels, random.random(pixels.size, np.float32))
        for n in range(20)
    )
    write_histories(path, [History("DET11", (2048, 2048), stimuli)])
    total = 0
    tracemalloc.start()
    read = read_histories(path)["DET11"]
    for start in range(0, pixels.size, 4096):
        total += sum(int(s.pixels[start : start + 4096].sum(dtype=np.int64)) for s in read.stimuli)
        for s in read.stimuli:
            _ = s.fluence[start : start + 4096]
    update_histories(path, lambda known: [known["DET11"]])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total == 20 * int(pixels.sum(dtype=np.int64))
    assert peak < 6e6  # for each of 40 arrays a piece of it and what zlib needs


def test_a_history_that_another_run_has_changed_is_not_overwritten(path):
    read = read_histories(path)
    update_histories(path, lambda known: [as_history(known["DET11"]).add(stimulus(7))])
    mine = as_history(read["DET11"]).add(stimulus(8))
    with pytest.raises(CrstepsInputError, match=r"history\.asdf was changed by another run"):
        write_histories(path, [mine], read=read)
    assert_same(read_histories(path)["DET11"], history(0, 1, 7))
    path.unlink()
    with pytest.raises(CrstepsInputError, match="was removed by another run"):
        write_histories(path, [mine], read=read)
    assert not list(path.parent.iterdir())


def test_a_file_that_was_not_read_is_not_replaced(path):
    before = path.read_bytes()
    with pytest.raises(CrstepsInputError, match="exists already: read it and add to it"):
        write_histories(path, [history(9)])
    assert path.read_bytes() == before
    assert len(list(path.parent.iterdir())) == 1


ADD = """
import sys, time
from pathlib import Path
from crsteps.datamodels.persistence_history import update_histories
from crsteps.persistence.history import History
from crsteps.persistence.sparse_stimulus import Stimulus
import numpy as np

def add(read):
    known = read[sys.argv[2]]
    stimuli = tuple(Stimulus(s.source, s.end, s.duration, s.pixels, s.fluence)
                    for s in known.stimuli)
    history = History(known.detector, known.shape, stimuli)
    time.sleep(0.05)  # so that the other run comes in between, if it can
    new = Stimulus(f"{sys.argv[3]}-{number}", 9e9 + number, 1.0, np.arange(5), np.ones(5))
    return [history.add(new)]

me = Path(sys.argv[1]).with_name(sys.argv[3])
me.touch()
for _ in range(3000):  # begin together
    if me.with_name(sys.argv[4]).exists():
        break
    time.sleep(0.01)
for number in range(6):
    update_histories(sys.argv[1], add)
"""


def test_two_runs_at_once_lose_nothing(path):
    runs = [
        subprocess.Popen([sys.executable, "-c", ADD, str(path), "DET11", name, other])
        for name, other in ("ab", "ba")
    ]
    assert [run.wait(60) for run in runs] == [0, 0]
    stored = {s.source for s in read_histories(path)["DET11"].stimuli}
    added = {f"{name}-{number}" for name in "ab" for number in range(6)}
    assert stored == added | {"exposure0.fits", "exposure1.fits"}


def test_without_locks_a_change_in_between_is_noticed(path, monkeypatch):
    monkeypatch.setattr("crsteps.datamodels.persistence_history._lock", lambda descriptor: None)

    def slow(read):
        update_histories(path, lambda known: [as_history(known["DET11"]).add(stimulus(7))])
        return [as_history(read["DET11"]).add(stimulus(8))]

    with pytest.raises(CrstepsInputError, match="was changed by another run"):
        update_histories(path, slow)
    assert_same(read_histories(path)["DET11"], history(0, 1, 7))


def test_a_run_that_fails_leaves_the_file(path):
    before = path.read_bytes()

    def fail(read):
        raise KeyError("detector")

    with pytest.raises(KeyError):
        update_histories(path, fail)
    wrong = [
        ("out of order", Stimulus("x", 9e9, 1.0, np.array([5, 4]), np.ones(2))),
        ("outside", Stimulus("x", 9e9, 1.0, np.array([4, 3072]), np.ones(2))),
        ("floats", Stimulus("x", 9e9, 1.0, np.array([4.0, 5.0]), np.ones(2))),
        ("lengths", Stimulus("x", 9e9, 1.0, np.array([4, 5]), np.ones(3))),
        ("no time", Stimulus("x", np.nan, 1.0, np.array([4, 5]), np.ones(2))),
    ]
    for _, bad in wrong:
        with pytest.raises(CrstepsInputError, match=r"history\.asdf is not written: .*stimulus"):
            update_histories(path, lambda read, bad=bad: [History("DET13", SHAPE, (bad,))])
    assert path.read_bytes() == before
    assert len(list(path.parent.iterdir())) == 1


def test_fluences_that_are_nan_or_infinite_are_kept(tmp_path):
    odd = Stimulus(
        "x", 9e9, 1.0, np.arange(3, dtype=np.int32), np.array([np.nan, np.inf, -1], "f4")
    )
    write_histories(tmp_path / "h.asdf", [History("DET11", SHAPE, (odd,))])
    assert_same(read_histories(tmp_path / "h.asdf")["DET11"], History("DET11", SHAPE, (odd,)))


def test_a_missing_file(tmp_path):
    path = tmp_path / "none.asdf"
    with pytest.raises(CrstepsInputError, match=r"no file .*none\.asdf"):
        read_histories(path)
    read = read_histories(path, may_be_missing=True)
    assert (dict(read), read.state) == ({}, "")
    assert_same(write_histories(path, [history(0)], read=read)["DET11"], history(0))
    with pytest.raises(CrstepsInputError, match="no file"):
        read_histories(tmp_path)


@pytest.mark.parametrize("content", [b"", b"SIMPLE  =", b"#ASDF 1.0.0\nmeta: [", b"\x00\xff" * 100])
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "h.asdf"
    path.write_bytes(content)
    with pytest.raises(CrstepsInputError, match=r"h\.asdf is no usable persistence history"):
        read_histories(path)
    with pytest.raises(CrstepsInputError, match="no usable persistence history"):
        update_histories(path, lambda read: [history(0)])
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"persistence_history", b"persistence_historic", "meta.format is crsteps_persist"),
        (b"format_version: 1.", b"format_version: 3.", r"is 3\.0\.0, and .* reads 1\.x: update"),
        (b"shape: [64, 48]", b"shape: [64]", "detectors.DET11.shape is"),
        (b"shape: [64, 48]", b"size: 3", "detectors.DET11 has no shape"),
        (b"    corrected: []", b"    rejected: []", "detectors.DET11 has no corrected"),
        (b"    corrected: []", b"    corrected: []\n    a: 1", "DET11 has an unknown a"),
        (b"corrected: []", b"corrected: [{source: x, start: .nan}]", "corrected.0..start is nan"),
        (b"corrected: []", b"corrected: [5]", "corrected.0. is no mapping"),
        (b"duration: 87.25", b"duration: long", r"stimuli\[0\].duration is long"),
        (b"duration: 87.25", b"duration: .inf", r"stimuli\[0\].duration is inf"),
        (b"source: 1, datatype: float32", b"source: 99, datatype: float32", "not in a block"),
        (b"source: 1, datatype: float32", b"source: 1, datatype: complex64", "not in a block"),
        (b"float32, byteorder: little, shape: [200]", b"float32, byteorder: little, shape: [20]",
         "an array of 20 float32 has a block of 800 bytes"),
        (b"source: 1, datatype: float32", b"source: 1, datatype: int32", "200 fluences for 200"),
        (b"detectors:", b"detektors:", "detectors is missing"),
        (b"date:", b"date: !!python/object/apply:os.mkdir [made]\n  d:", "could not determine"),
    ],
)  # fmt: skip
def test_impossible_contents_are_named(path, monkeypatch, old, new, message):
    monkeypatch.chdir(path.parent)
    path.write_bytes(path.read_bytes().replace(old, new, 1))
    with pytest.raises(CrstepsInputError, match=message) as raised:
        read_histories(path)
    assert "\n" not in str(raised.value)
    assert str(path) in str(raised.value)
    assert [p.name for p in path.parent.iterdir()] == ["history.asdf"]


def test_a_file_that_was_cut_off_is_refused(path):
    content = path.read_bytes()
    for length in (200, len(content) // 2, len(content) - 1, content.rindex(b"\xd3BLK") + 20):
        path.write_bytes(content[:length])
        with pytest.raises(CrstepsInputError, match=r"no usable persistence history: .*cut off"):
            read_histories(path)


def test_a_damaged_block_is_found_when_it_is_read(path):
    content = bytearray(path.read_bytes())
    content[content.rindex(b"\xd3BLK") + 300] ^= 0xFF
    path.write_bytes(content)
    read = read_histories(path)
    assert_same(read["DET11"], history(0, 1))
    with pytest.raises(CrstepsInputError, match=r"An array of .*history\.asdf is damaged"):
        np.asarray(read["DET12"].stimuli[0].fluence)


def test_arrays_of_a_file_that_is_gone(path):
    stored = read_histories(path)["DET11"].stimuli[0]
    write_histories(path.with_name("other.asdf"), [history(3)])
    os.replace(path.with_name("other.asdf"), path)
    with pytest.raises(CrstepsInputError, match="another file took its place"):
        np.asarray(stored.pixels)


def test_a_folder_that_is_a_file_is_named(path):
    with pytest.raises(CrstepsInputError, match=r"h\.asdf cannot be written: .*another folder"):
        write_histories(path / "h.asdf", [history(0)])
