"""Atomic writes, and removal of temporary files of a killed run."""

import errno

import pytest

from aot_jax.io.files import atomic_write, beside, clear_remains


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "new" / "scores.csv"
    with atomic_write(path) as temporary:
        temporary.write_text("older")
        assert not path.exists()
    with path.open() as reader:
        with atomic_write(path) as temporary:
            temporary.write_text("old")
        assert reader.read() == "older"  # an open file keeps its content

    def fail(error):
        with atomic_write(path) as temporary:
            temporary.write_text("ne")
            raise error

    with pytest.raises(OSError, match="No space left") as raised:
        fail(OSError(errno.ENOSPC, "No space left on device"))
    assert raised.value.filename == str(path)
    with pytest.raises(ValueError, match="interrupted"):
        fail(ValueError("interrupted"))
    assert path.read_text() == "old"
    assert [p.name for p in path.parent.iterdir()] == ["scores.csv"]


def test_a_link_that_lies_there_is_not_written_through(tmp_path):
    """Untrusted results that are resumed may contain links to the user's own files."""
    own, results = tmp_path / "own", tmp_path / "results"
    own.write_text("mine")
    results.mkdir()
    for name in ("scores.csv", ".scores.csv.tmp"):
        (results / name).symlink_to(own)
    with atomic_write(results / "scores.csv") as temporary:
        temporary.write_text("scores")
    assert own.read_text() == "mine"
    assert (results / "scores.csv").read_text() == "scores"
    assert not (results / "scores.csv").is_symlink()


def test_only_what_a_killed_run_left_is_cleared(tmp_path):
    clear_remains(tmp_path / "missing")
    for name in ("00000.png", ".notes.tmp", ".profile", "a.tmp"):
        (tmp_path / name).write_text("kept")
    for name in ("00001.png", ".hidden"):
        beside(tmp_path / name).write_text("half")
    assert len(list(tmp_path.iterdir())) == 6
    clear_remains(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".notes.tmp", ".profile", "00000.png", "a.tmp"]
