"""A mark is trusted only where it can be read and every file is as it says."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from winnow.files import hashes, marks

pytestmark = pytest.mark.usefixtures("workdir")
MARK, TREE = Path("done/a.json"), Path("tree")


@pytest.fixture(autouse=True)
def marked(workdir: Path) -> None:
    """Two files, and their mark."""
    (TREE / "deep").mkdir(parents=True)
    (TREE / "a").write_text("one")
    (TREE / "deep/b").write_text("two")
    marks.write(MARK, TREE, ["a", "deep/b", "a"], note=["a", "deep/b", "a"])


def test_a_mark_says_what_was_written() -> None:
    mark = marks.read(MARK, TREE)
    assert mark is not None
    assert mark.sums == {name: hashes.file_sha256(TREE / name) for name in ("a", "deep/b")}
    assert mark.note == ["a", "deep/b", "a"]


NO_MARKS = [
    "",
    "{",
    "null",
    "[]",
    "0",
    '"x"',
    "{}",
    '{"files": {}}',
    '{"files": [], "note": 1}',
    '{"files": {"a": 1}, "note": 1}',
    '{"files": {"a": [3]}, "note": 1}',
    '{"files": {"a": [null, "x"]}, "note": 1}',
    "\0" * 100,
    "\ud800",
    "[" * 100_000,
]


@pytest.mark.parametrize("content", NO_MARKS, ids=range(len(NO_MARKS)))
def test_a_mark_that_cannot_be_read_is_none(content: str) -> None:
    MARK.write_bytes(content.encode(errors="surrogatepass"))
    assert marks.read(MARK, TREE) is None


SPOILT: list[Callable[[Path], object]] = [
    lambda path: path.write_text(""),
    lambda path: path.write_text("t"),
    lambda path: path.write_text("twp"),
    lambda path: path.write_text("two more"),
    lambda path: path.write_bytes(b"\0\0\0"),
    Path.unlink,
]


@pytest.mark.parametrize("spoil", SPOILT)
def test_a_file_that_is_not_as_its_mark_says_takes_the_mark_with_it(spoil: Callable[[Path], object]) -> None:
    spoil(TREE / "deep/b")
    assert marks.read(MARK, TREE) is None


def test_a_mark_is_on_the_disk_after_what_it_marks(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[tuple[str, bool]] = []
    MARK.unlink()

    def fsync(file: int) -> None:
        done.append((os.readlink(f"/proc/self/fd/{file}"), MARK.exists()))

    monkeypatch.setattr(os, "fsync", fsync)
    marks.write(MARK, TREE, ["a", "deep/b"])
    before = {path for path, marked in done if not marked}
    assert {str(path.resolve()) for path in (TREE, TREE / "a", TREE / "deep", TREE / "deep/b")} <= before
    assert done[-1] == (str(MARK.parent.resolve()), True)


def test_another_size_is_told_without_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    told = json.loads(MARK.read_text())
    assert told["files"]["a"][0] == 3
    (TREE / "a").write_text("longer")
    monkeypatch.setattr(marks, "file_sha256", lambda _: pytest.fail("it was read"))
    assert marks.read(MARK, TREE) is None
