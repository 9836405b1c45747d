"""Two commands that share a folder: the second waits and says for whom, and both results are right."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support import ROOT

SLOWLY = """
import sys, time
from tasks import dataset, select
from tasks.releases import pieces
pieces.SAMPLES = 3
read, scored = dataset.Dataset.read, select.score
dataset.Dataset.read = lambda self, rows: (time.sleep(0.1) or image for image in read(self, rows))
select.score = lambda *what, **how: time.sleep(3) or scored(*what, **how)
from flows.cli import app
sys.argv[0] = "winnow"
app()
"""


def start(*arguments: str) -> subprocess.Popen[str]:
    """Start a command of `winnow` that takes its time."""
    return subprocess.Popen([sys.executable, "-c", SLOWLY, *arguments], text=True, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(ROOT)})  # fmt: skip


def both(first: list[str], second: list[str]) -> tuple[list[int], list[str]]:
    """Run two commands at once: the codes they end with, and what each said to the terminal, errors last."""
    running = [start(*first), start(*second)]
    words = [process.communicate(timeout=300) for process in running]
    return [process.returncode for process in running], ["".join(parts) for parts in words]


def waited(words: list[str]) -> bool:
    """One of the two waited for the other."""
    return sum("winnow: waiting for process " in said for said in words) == 1


def checked(out: Path) -> int:
    return subprocess.run(["sha256sum", "--strict", "--quiet", "-c", "SHA256SUMS"], cwd=out, check=False).returncode


@pytest.mark.parametrize("form", ["webdataset", "imagefolder"])
def test_two_exports_to_one_place(released: Path, workdir: Path, form: str) -> None:
    command = ["export", str(released), "--format", form, "--out", "out"]
    codes, words = both(command, command)
    assert codes == [0, 0], words
    assert waited(words)
    assert any("(winnow export), which writes out" in said for said in words)
    assert checked(workdir / "out") == 0
    assert [path.name for path in workdir.iterdir() if path.name.startswith(".out")] == []


def test_two_different_exports_to_one_place(released: Path, workdir: Path) -> None:
    """The second finds the first in its place, and says so."""
    command = ["export", str(released), "--out", "out", "--format"]
    codes, words = both([*command, "webdataset"], [*command, "parquet"])
    assert sorted(codes) == [0, 2], words
    assert "exists and is not this export" in words[codes.index(2)]
    assert waited(words)
    assert checked(workdir / "out") == 0
    assert [path.name for path in workdir.iterdir() if path.name.startswith(".out")] == []
