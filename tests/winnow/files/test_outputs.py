"""Outputs are whole or absent, whatever happens in between."""

import ctypes
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from types import SimpleNamespace

import pytest
from faulty import mounted

from winnow.errors import InputError, WorkError
from winnow.files import disk, outputs, scratch

pytestmark = pytest.mark.usefixtures("workdir")

KILLED = """
import os, signal, sys
from pathlib import Path
from winnow.files import disk_errors
from winnow.files import outputs as files
from winnow.errors import InputError
with getattr(files, sys.argv[1])(Path("out")) as fresh:
    (fresh / "a" if fresh.is_dir() else fresh).write_text("new")
    os.kill(os.getpid(), signal.SIGKILL)
"""
REPLACING = """
from pathlib import Path
from winnow.files import disk_errors
from winnow.files import outputs as files
from winnow.errors import InputError
for i in range(400):
    with files.whole_folder(Path("out")) as fresh:
        (fresh / "a").write_text(str(i))
"""


def fill(text: str) -> None:
    with outputs.whole_folder(Path("deep/out")) as fresh:
        (fresh / text).write_text(text)


def fail(output: AbstractContextManager[Path], name: str = "") -> None:
    with output as fresh:
        (fresh / name).write_text("written")
        raise OSError("disk full")


def test_a_folder_takes_the_place_of_the_old_one_and_leaves_no_rest() -> None:
    fill("old")
    fill("new")
    assert [path.name for path in Path("deep/out").iterdir()] == ["new"]
    assert list(Path("deep").iterdir()) == [Path("deep/out")]
    assert not scratch.SCRATCH.exists()


def test_a_failure_leaves_the_old_folder_whole() -> None:
    fill("old")
    with pytest.raises(OSError, match="disk"):
        fail(outputs.whole_folder(Path("deep/out")), "half")
    assert [path.name for path in Path("deep/out").iterdir()] == ["old"]
    assert list(Path("deep").iterdir()) == [Path("deep/out")]


def test_a_failure_leaves_the_old_file_whole() -> None:
    Path("out").write_text("old")
    with pytest.raises(OSError, match="disk"):
        fail(outputs.whole_file(Path("out")))
    assert Path("out").read_text() == "old"
    assert os.listdir() == ["out"]


@pytest.mark.parametrize("kind", ["whole_folder", "whole_file"])
def test_a_killed_run_leaves_the_old_result(kind: str) -> None:
    old = Path("out/a") if kind == "whole_folder" else Path("out")
    old.parent.mkdir(exist_ok=True)
    old.write_text("old")
    assert subprocess.run([sys.executable, "-c", KILLED, kind], check=False).returncode == -9
    assert old.read_text() == "old"
    with getattr(outputs, kind)(Path("out")) as fresh:  # what the killed run left behind is in nobody's way
        (fresh / "a" if fresh.is_dir() else fresh).write_text("new")
    assert old.read_text() == "new"
    assert os.listdir() == ["out"], "what the killed run left is gone"


@pytest.mark.parametrize("kind", ["whole_folder", "whole_file"])
def test_what_a_live_run_is_writing_is_left_to_it(kind: str) -> None:
    code = KILLED.replace("os.kill(os.getpid(), signal.SIGKILL)", "print(fresh, flush=True); sys.stdin.read()")
    command = [sys.executable, "-c", code, kind]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdin
        assert other.stdout
        theirs = Path(other.stdout.readline().rstrip())
        with getattr(outputs, kind)(Path("out")) as fresh:
            (fresh / "a" if fresh.is_dir() else fresh).write_text("ours")
            assert theirs.exists()
        other.stdin.close()
        assert other.wait(60) == 0
    written = Path("out/a") if kind == "whole_folder" else Path("out")
    assert written.read_text() == "new"
    assert os.listdir() == ["out"]


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="no /proc")
@pytest.mark.parametrize("target", ["/proc/out", "/proc/deep/out"])
@pytest.mark.parametrize("kind", [outputs.whole_folder, outputs.whole_file])
def test_a_place_that_takes_no_new_files_is_named(
    target: str, kind: Callable[[Path], AbstractContextManager[Path]]
) -> None:
    with pytest.raises(WorkError, match=f"^{Path(target).parent} takes no new files"), kind(Path(target)):
        pytest.fail("the work begins")


def test_a_temporary_folder_goes_with_its_block_and_that_of_a_killed_run_with_the_next(
    workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(workdir))
    env = os.environ | {"TMPDIR": str(workdir)}
    killed = KILLED.replace('getattr(files, sys.argv[1])(Path("out"))', 'files.temporary("out")')
    alive = killed.replace("os.kill(os.getpid(), signal.SIGKILL)", "print(fresh, flush=True); sys.stdin.read()")
    assert subprocess.run([sys.executable, "-c", killed], env=env, check=False).returncode == -9
    (left,) = os.listdir()
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", alive], env=env, text=True, **pipes) as other:  # type: ignore[call-overload]
        theirs = Path(other.stdout.readline().rstrip())
        with outputs.temporary("out") as ours:
            assert {ours.parent.name, theirs.parent.name} == set(os.listdir())
            assert not Path(left).exists()
            assert (list(ours.iterdir()), (theirs / "a").read_text()) == ([], "new")
        other.communicate("")
        assert other.returncode == 0
    assert os.listdir() == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another user")
def test_what_another_user_has_left_is_left_alone() -> None:
    for name, owner in ((".a.1.winnow", 1), (".a.2.winnow", 0)):
        Path(name).mkdir()
        Path(name, "lock").touch()
        os.chown(name, owner, owner)
    with outputs.staging(Path("out")):
        assert {name for name in os.listdir() if name.startswith(".a")} == {".a.1.winnow"}


def test_only_what_a_run_of_winnow_left_is_removed() -> None:
    for name in (".photos.winnow", ".out.mine.winnow", ".out.part"):
        Path(name).mkdir()
        Path(name, "a").write_text("mine")
    Path("elsewhere").mkdir()
    Path("elsewhere/lock").touch()
    Path(".out.link.winnow").symlink_to("elsewhere")
    with outputs.whole_file(Path("out")) as partial:
        partial.write_text("new")
    assert sorted(os.listdir()) == [
        ".out.link.winnow",
        ".out.mine.winnow",
        ".out.part",
        ".photos.winnow",
        "elsewhere",
        "out",
    ]


@pytest.mark.parametrize("linked", ["data", "data/out", ".winnow"])
def test_outputs_on_another_file_system(workdir: Path, linked: str) -> None:
    """As where data/ is a mounted volume, or a folder is a link to a larger disk."""
    with mounted(workdir / "other", "size=1m"):
        (workdir / "other/place").mkdir()
        Path(linked).parent.mkdir(exist_ok=True)
        Path(linked).symlink_to(workdir / "other/place")
        for text in ("old", "new"):
            with outputs.whole_folder(Path("data/out")) as fresh:
                (fresh / "a").write_text(text)
            with outputs.whole_file(Path("data/out/b")) as partial:
                partial.write_text(text)
            with scratch.of_stage("score", "key") as pieces, outputs.whole_file(pieces / "c") as partial:
                partial.write_text(text)
        assert Path("data/out/a").read_text() == Path("data/out/b").read_text() == "new"
        assert Path(linked).is_symlink()
        assert sorted(os.listdir("data/out")) == ["a", "b"]
        assert os.listdir("data") == ["out"]


def test_what_is_left_alone_keeps_nothing_that_killed_runs_left() -> None:
    for i in range(6):
        Path(f".out.{i}link.winnow").symlink_to("elsewhere")
        Path(f".out.{i}file.winnow").touch()
        Path(f".out.{i}bare.winnow").mkdir()  # killed before it took its lock
        Path(f".out.{i}left.winnow").mkdir()
        Path(f".out.{i}left.winnow/lock").touch()
    with outputs.whole_file(Path("out")) as partial:
        partial.write_text("new")
    kept = [f".out.{i}{kind}.winnow" for i in range(6) for kind in ("file", "link")]
    assert sorted(os.listdir()) == [*kept, "out"]


def test_a_room_is_named_after_its_target_and_says_who_works_in_it() -> None:
    name = "n" * 60
    with outputs.whole_file(Path(name)) as partial:
        place = partial.parent
        assert (place / "lock").read_text().endswith(f", which works in {place}")
        assert place.name.startswith(f".{name[:50]}.")
        assert place.name.endswith(".winnow")
        partial.write_text("new")


def test_what_killed_runs_left_is_looked_for_once_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outputs, "_swept", set())
    for left in ([], [".out.x.winnow"], []):
        for name in left:
            Path(name).mkdir()
        with outputs.whole_file(Path("out")) as partial:
            partial.write_text("new")
        assert sorted(os.listdir()) == [*left, "out"]
        if left:
            outputs._swept.clear()


def test_what_a_killed_run_started_ends_with_what_it_left() -> None:
    place = Path(".out.left.winnow")
    place.mkdir()
    (place / "lock").touch()
    with subprocess.Popen(["sleep", "60"], cwd=place) as orphan, subprocess.Popen(["sleep", "60"]) as other:
        with outputs.whole_file(Path("out")) as partial:
            partial.write_text("new")
        assert orphan.poll() is not None
        assert other.poll() is None
        other.kill()
    assert os.listdir() == ["out"]


def test_a_mount_point_is_refused_before_the_work(workdir: Path) -> None:
    with mounted(workdir / "out", "size=1m"), pytest.raises(InputError, match=r"^out is a mount point .*; mount the"):  # noqa: SIM117
        with outputs.whole_folder(Path("out")):
            raise AssertionError("the work begins")


@pytest.mark.parametrize("kind", ["whole_folder", "whole_file"])
def test_a_name_may_be_as_long_as_the_file_system_lets_it(kind: str) -> None:
    for target in (Path("n" * 255), Path("é" * 127)):
        with getattr(outputs, kind)(target) as fresh:
            (fresh / "a" if fresh.is_dir() else fresh).write_text("x")
        assert target.exists()


@pytest.mark.parametrize("many", [False, True])
@pytest.mark.parametrize("kind", ["whole_folder", "whole_file"])
def test_an_output_is_on_the_disk_before_it_has_its_name_and_the_name_before_the_end(
    monkeypatch: pytest.MonkeyPatch, kind: str, many: bool
) -> None:
    """A machine that loses its power cannot be had here, so the order of what the system is asked for is looked at."""
    done: list[str] = []
    real = os.fsync

    def fsync(file: int) -> None:
        done.append(f"{os.readlink(f'/proc/self/fd/{file}')} while {os.path.exists('out')}")
        real(file)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(disk, "MANY", 0 if many else 100)
    monkeypatch.setattr(disk, "_sync_system", lambda folder: done.append(f"all of {folder.resolve()} while False") or 1)
    with getattr(outputs, kind)(Path("out")) as fresh:
        written = fresh / "a" if fresh.is_dir() else fresh
        written.write_text("x")
        needed = [written.resolve(), *([fresh.resolve()] if fresh.is_dir() else [])]
    if many and kind == "whole_folder":
        needed = [f"all of {fresh.resolve()}"]  # type: ignore[list-item]
    assert {f"{path} while False" for path in needed} <= set(done)
    assert done[-1] == f"{Path.cwd()} while True"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems replace a folder in two steps")
def test_linux_swaps_two_folders_in_one_step() -> None:
    for name in ("new", "old"):
        Path(name).mkdir()
        Path(name, name).touch()
    outputs._exchange(Path("new"), Path("old"))
    assert (os.listdir("new"), os.listdir("old")) == (["old"], ["new"])


@pytest.mark.parametrize("system", [SimpleNamespace(), SimpleNamespace(renameat2=lambda *_: -1)], ids=["none", "fails"])
def test_a_folder_is_replaced_where_the_system_cannot_swap_two(
    monkeypatch: pytest.MonkeyPatch, system: SimpleNamespace
) -> None:
    fill("old")
    monkeypatch.setattr(ctypes, "CDLL", {None: system}.__getitem__)
    fill("new")
    assert os.listdir("deep") == ["out"]
    assert os.listdir("deep/out") == ["new"]


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
