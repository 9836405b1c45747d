"""A disk that is full: a stage says so, leaves its old result or none, and goes on once there is room."""

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from faulty import COMMAND, check, mounted, unfinished
from support import ROOT, Project

from winnow.files.json_files import write_json

TIGHT, WIDE = "size=256k", "size=64m"
ROWS = """
import sys
from pathlib import Path
from winnow.files import memory_maps
try:
    memory_maps.new_rows(Path("rows.npy"), (1_000_000, 8))[:] = 1
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


FULL = "winnow: the disk is full; free some of it, and the same command goes on from here"
COMMANDS = {
    "select": (["select", "features", "--keep", "0.5", "--out", "small/out.csv"], "16k"),
    "score": (["score", "features", "--out", "small/out.parquet"], "4k"),
    "webdataset": (["export", "data/release", "--format", "webdataset", "--out", "small/out"], "24k"),
    "imagefolder": (["export", "data/release", "--format", "imagefolder", "--out", "small/out"], "24k"),
    "ids": (["export", "data/release", "--format", "ids", "--out", "small/out"], "4k"),
    "page": (["release", "diff", "data/release", "data/release", "--page", "small/out.html"], "4k"),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_says_that_the_disk_is_full(
    write_features: Callable[..., Path], released: Path, workdir: Path, name: str
) -> None:
    write_features()
    arguments, size = COMMANDS[name]
    here = Project(workdir, os.environ | {"PYTHONPATH": str(ROOT)})
    command = (sys.executable, "-m", "winnow.cli.main", *arguments)
    with mounted(workdir / "small", f"size={size}") as remount:
        done = here.run(*command)
        assert (done.returncode, done.stdout.splitlines()[-1]) == (1, FULL), done.stdout
        assert "Traceback" not in done.stdout
        assert [path for path in (workdir / "small").iterdir() if path.suffix != ".part"] == []
        remount("size=64m")
        here.do(*command)
        written = contents(workdir / "small")
        other = [part.replace("small/", "other/") for part in command]
        (workdir / "other").mkdir()
        here.do(*other)
        assert written == contents(workdir / "other") != {}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_a_command_prints_may_find_no_room_either(released: Path, workdir: Path) -> None:
    command = [sys.executable, "-m", "winnow.cli.main", "show", str(released)]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            command,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
    assert (done.returncode, done.stderr) == (1, f"{FULL}\n")


@pytest.mark.slow
def test_a_bench_says_that_the_disk_is_full(
    image_folder: Path, encoder: Path, workdir: Path, environment: dict[str, str]
) -> None:
    preset = {
        "about": "x",
        "source": str(image_folder),
        "image_size": 64,
        "training": {"width": 2, "batch_size": 8, "flip": False},
        "encoder": {"model": "local-dir", "path": str(encoder), "prompts": ["a {}"]},
        "models": {"small": 0.01},
        "budgets": {"steps": 10},
        "keeps": [0.5],
        "methods": ["all"],
        "seeds": 1,
    }
    with mounted(workdir / "small", TIGHT) as remount:
        here = Project(workdir / "small", environment | {"PYTHONPATH": str(ROOT)})
        write_json(here.folder / "tiny.yaml", preset)
        command = (sys.executable, "-m", "winnow.cli.main", "bench", "tiny.yaml")
        done = here.run(*command)
        assert (done.returncode, done.stdout.splitlines()[-1]) == (1, FULL), done.stdout
        assert not list(here.folder.rglob("pixels.npy"))
        remount(WIDE)
        here.do(*command)
        assert list(here.folder.glob("bench/tiny/cells/*.json"))


def test_a_project_that_is_read_only_is_named(workdir: Path, environment: dict[str, str]) -> None:
    with mounted(workdir / "small", TIGHT) as remount:
        small = Project(workdir / "small", environment | {"PYTHONPATH": str(ROOT)})
        (small.folder / "params.yaml").write_text("{}")
        remount("ro")
        done = small.run(sys.executable, "-m", "flows.sample")
    assert done.returncode == 1, done.stdout
    assert done.stdout.splitlines()[-1] == (
        "winnow: .winnow: Read-only file system; make it writable, or name another place"
    )
    assert "Traceback" not in done.stdout


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
