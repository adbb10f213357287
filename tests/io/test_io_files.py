"""Atomic writes, and removal of temporary files of a killed run."""

import ast
import errno
from pathlib import Path

import pytest

from aot_jax.io.files import atomic_write, beside, clear_remains, expand


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


def test_a_glob_takes_no_hidden_file_and_works_in_a_folder_named_with_brackets(tmp_path, monkeypatch):
    folder = tmp_path / "[take 2]"
    folder.mkdir()
    for name in ("1.jpg", "._1.jpg", "2.png"):  # macOS writes the second
        (folder / name).write_bytes(b"")
    monkeypatch.chdir(folder)
    assert expand("*.jpg") == [folder / "1.jpg"]
    assert expand(folder / "1.jpg") == [folder / "1.jpg"]
    assert expand(tmp_path / "*" / "*.png") == [folder / "2.png"]


ROOT = Path(__file__).resolve().parents[2]
TEXT_CALLS = {"read_text": 0, "write_text": 1, "open": 2}  # number of arguments before the encoding


def without_encoding(path):
    """Return the lines of a program that open text files in the encoding of the locale."""
    for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in TEXT_CALLS:
            modes = [str(arg.value) for arg in call.args if isinstance(arg, ast.Constant)]
            binary = call.func.attr == "open" and (not modes or "b" in modes[0] or ast.unparse(call.func) == "av.open")
            named = any(word.arg == "encoding" for word in call.keywords)
            if not binary and not named and len(call.args) <= TEXT_CALLS[call.func.attr]:
                yield f"{path.relative_to(ROOT)}:{call.lineno}"


def test_text_files_are_in_utf_8_whatever_the_locale():
    programs = [path for folder in ("aot_jax", "data_pipeline") for path in (ROOT / folder).rglob("*.py")]
    assert [line for path in programs for line in without_encoding(path)] == []


def test_a_call_without_encoding_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    lines = ["p.write_text('é')", "p.read_text()", "p.open('a')", "p.open('rb')", "p.read_text('utf-8')", "z.open(p)"]
    (tmp_path / "a.py").write_text("\n".join(lines), encoding="utf-8")
    assert [*without_encoding(tmp_path / "a.py")] == ["a.py:1", "a.py:2", "a.py:3"]
