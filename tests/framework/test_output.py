"""Files written aside and renamed."""

import pytest

from crsteps.framework.output import atomic_path


def test_file_appears_when_complete(tmp_path):
    path = tmp_path / "new" / "x.fits.gz"
    with atomic_path(path) as aside:
        assert aside.parent == path.parent
        assert aside.name.endswith("x.fits.gz")
        aside.write_text("all of it")
        assert not path.exists()
    assert path.read_text() == "all of it"
    assert list(path.parent.iterdir()) == [path]


def test_failure_leaves_what_was_there(tmp_path):
    path = tmp_path / "x.fits"
    path.write_text("old")

    def fail():
        with atomic_path(path) as aside:
            aside.write_text("half")
            raise RuntimeError("interrupted")

    with pytest.raises(RuntimeError, match="interrupted"):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_permissions_are_those_of_an_ordinary_file(tmp_path):
    ordinary = tmp_path / "ordinary"
    ordinary.write_text("x")
    with atomic_path(tmp_path / "x") as aside:
        aside.write_text("x")
    assert (tmp_path / "x").stat().st_mode == ordinary.stat().st_mode
