"""Outputs are whole or absent, whatever happens in between, and hashes tell lists of parts apart."""

import hashlib
import os
import subprocess
import sys
import time
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks import files

pytestmark = pytest.mark.usefixtures("workdir")

KILLED = """
import os, signal, sys
from pathlib import Path
from tasks import files
with getattr(files, sys.argv[1])(Path("out")) as fresh:
    (fresh / "a" if fresh.is_dir() else fresh).write_text("new")
    os.kill(os.getpid(), signal.SIGKILL)
"""
REPLACING = """
from pathlib import Path
from tasks import files
for i in range(400):
    with files.whole_folder(Path("out")) as fresh:
        (fresh / "a").write_text(str(i))
"""


def fill(text: str) -> None:
    with files.whole_folder(Path("deep/out")) as fresh:
        (fresh / text).write_text(text)


def fail(output: AbstractContextManager[Path], name: str = "") -> None:
    with output as fresh:
        (fresh / name).write_text("written")
        raise OSError("disk full")


def test_a_folder_takes_the_place_of_the_old_one_and_leaves_no_rest() -> None:
    fill("old")
    fill("new")
    assert [path.name for path in Path("deep/out").iterdir()] == ["new"]
    assert list(files.SCRATCH.iterdir()) == []
    assert list(Path("deep").iterdir()) == [Path("deep/out")]


def test_a_failure_leaves_the_old_folder_whole() -> None:
    fill("old")
    with pytest.raises(OSError, match="disk"):
        fail(files.whole_folder(Path("deep/out")), "half")
    assert [path.name for path in Path("deep/out").iterdir()] == ["old"]
    assert list(files.SCRATCH.iterdir()) == []


def test_a_failure_leaves_the_old_file_whole() -> None:
    Path("out").write_text("old")
    with pytest.raises(OSError, match="disk"):
        fail(files.whole_file(Path("out")))
    assert Path("out").read_text() == "old"
    assert os.listdir() == ["out"]


@pytest.mark.parametrize("kind", ["whole_folder", "whole_file"])
def test_a_killed_run_leaves_the_old_result(kind: str) -> None:
    old = Path("out/a") if kind == "whole_folder" else Path("out")
    old.parent.mkdir(exist_ok=True)
    old.write_text("old")
    assert subprocess.run([sys.executable, "-c", KILLED, kind], check=False).returncode == -9
    assert old.read_text() == "old"
    with getattr(files, kind)(Path("out")) as fresh:  # what the killed run left behind is in nobody's way
        (fresh / "a" if fresh.is_dir() else fresh).write_text("new")
    assert old.read_text() == "new"


def test_at_every_moment_of_a_replacement_the_old_or_the_new_folder_is_there() -> None:
    Path("out").mkdir()
    Path("out/a").write_text("old")
    looks = missing = 0
    with subprocess.Popen([sys.executable, "-c", REPLACING]) as writer:
        while writer.poll() is None:
            missing += not os.path.exists("out/a")
            looks += 1
            time.sleep(0)
    assert (writer.returncode, looks > 100, missing) == (0, True, 0)


def test_scratch_stays_after_a_failure_and_goes_after_success() -> None:
    with pytest.raises(OSError, match="disk"):
        fail(files.scratch("embed", "key"), "piece")
    with files.scratch("embed", "key") as folder:
        assert (folder / "piece").read_text() == "written"
    with files.scratch("embed", "key") as folder:
        assert list(folder.iterdir()) == []


def test_scratch_of_other_work_is_another_folder() -> None:
    with files.scratch("embed", "one") as one, files.scratch("embed", "two") as two:
        assert one != two


def test_json_is_the_same_bytes_for_the_same_value() -> None:
    files.write_json(Path("one"), {"b": 1, "a": "é"})
    files.write_json(Path("two"), {"a": "é", "b": 1})
    assert Path("one").read_bytes() == Path("two").read_bytes()
    assert files.read_json(Path("one")) == {"a": "é", "b": 1}


def test_a_file_hash_is_that_of_its_bytes() -> None:
    Path("file").write_bytes(b"abc" * 100_000)
    assert files.file_sha256(Path("file")) == hashlib.sha256(b"abc" * 100_000).hexdigest()


PARTS = st.lists(st.binary(max_size=3), max_size=4)


@given(PARTS, PARTS)
def test_hashes_agree_only_for_equal_lists_of_parts(one: list[bytes], two: list[bytes]) -> None:
    assert (files.sha256(*one) == files.sha256(*two)) == (one == two)
