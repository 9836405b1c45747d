"""A clock that jumps, ahead or back, while a stage works or between two runs, changes no byte and costs no work."""

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from faulty import COMMAND, check, halted, unfinished
from processes import Processes
from support import Project

FAKETIME = shutil.which("faketime")
YEAR = 365 * 86400


@pytest.fixture
def processes(tmp_path: Path, environment: dict[str, str]) -> Iterator[Processes]:
    """Give a way to start what is gone after the test."""
    made = Processes(tmp_path, environment | {"DONT_FAKE_MONOTONIC": "1"})
    yield made
    made.end()


@pytest.mark.slow
def test_files_from_the_future_are_not_made_again(whole: Project, tmp_path: Path) -> None:
    made = Project(Path(shutil.copytree(whole.folder, tmp_path / "copy", symlinks=True)), whole.env)
    for path in made.folder.rglob("*"):
        if path.is_file() and ".git" not in path.parts:
            os.utime(path, (time.time() + YEAR,) * 2)
    assert made.repro("release") == []
    assert min(path.stat().st_mtime for path in (made.folder / "data").rglob("*.parquet")) > time.time() + YEAR / 2
    check(made, whole)


@pytest.mark.slow
@pytest.mark.skipif(FAKETIME is None, reason="no faketime: apt-get install faketime")
@pytest.mark.parametrize("jump", ["+400d", "-400d"])
def test_a_run_at_another_time_is_finished_at_this_one(
    whole: Project, tmp_path: Path, processes: Processes, jump: str
) -> None:
    made = unfinished(whole, tmp_path / "copy")
    processes.start("faketime", "-f", jump, *COMMAND, at=made.folder)
    halted(processes).kill()
    assert processes.started[-1].wait(120) != 0
    assert made.run(*COMMAND).returncode == 0
    check(made, whole)
