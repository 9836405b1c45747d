"""A disk that is full: a stage says so, leaves its old result or none, and goes on once there is room."""

import errno
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from faulty import COMMAND, check, mounted, unfinished
from support import ROOT, Project

TIGHT, WIDE = "size=256k", "size=64m"
ROWS = """
import sys
from pathlib import Path
from tasks import files
try:
    files.new_rows(Path("rows.npy"), (1_000_000, 8))[:] = 1
except OSError as error:
    sys.exit(error.errno)
"""


def test_rows_that_find_no_room_are_an_error_and_not_the_end_of_the_process(workdir: Path) -> None:
    command = [sys.executable, "-c", ROWS]
    with mounted(workdir / "small", TIGHT) as remount:
        done = [subprocess.run(command, cwd=workdir / "small", env={"PYTHONPATH": str(ROOT)}, check=False)]
        remount(WIDE)
        done += [subprocess.run(command, cwd=workdir / "small", env={"PYTHONPATH": str(ROOT)}, check=False)]
    assert [each.returncode for each in done] == [errno.ENOSPC, 0]


def test_a_stage_says_that_the_disk_is_full(workdir: Path, environment: dict[str, str]) -> None:
    with mounted(workdir / "small", TIGHT) as remount:
        small = Project(workdir / "small", environment | {"PYTHONPATH": str(ROOT)})
        (small.folder / "params.yaml").write_text("{}")
        stage = (sys.executable, "-m", "flows.sample")
        done = small.run(*stage)
        assert done.returncode == 1, done.stdout
        assert "the disk is full; free some of it, and the same command goes on" in done.stdout.splitlines()[-1]
        assert list((small.folder / "data").iterdir()) == [], "nothing is half-written"
        remount(WIDE)
        done = small.run(*stage)
        assert done.returncode == 0, done.stdout
        other = Project(workdir / "other", small.env)
        other.folder.mkdir()
        shutil.copy(small.folder / "params.yaml", other.folder)
        assert other.run(*stage).returncode == 0
        assert small.results() == other.results() != {}


@pytest.mark.slow
def test_the_whole_project(whole: Project, tmp_path: Path) -> None:
    """With DVC's cache and everything else on the disk that is full."""
    with mounted(tmp_path / "disk", "size=1g") as remount:
        made = unfinished(whole, tmp_path / "disk/project")
        used = shutil.disk_usage(made.folder).used
        remount(f"size={used + 2**16}")
        done = made.run(*COMMAND)
        assert done.returncode != 0, done.stdout
        before = whole.results()
        assert [name for name, content in made.results().items() if before[name] != content] == []
        remount("size=1g")
        done = made.run(*COMMAND)
        assert done.returncode == 0, done.stdout
        check(made, whole)
