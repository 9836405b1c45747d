"""What was written is put on the disk, with whatever the system has for that."""

import ctypes
import errno
import os
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest

from winnow.files import disk

pytestmark = pytest.mark.usefixtures("workdir")


def test_a_system_without_fdatasync_syncs_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "fdatasync")
    with Path("a").open("wb") as file:
        file.write(b"x")
        file.flush()
        disk.sync_data(file.fileno())
    assert Path("a").read_bytes() == b"x"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the system is asked to put on the disk, which it still does."""
    done: list[str] = []
    real = os.fsync

    def fsync(file: int) -> None:
        done.append(name_of(file))
        real(file)

    monkeypatch.setattr(os, "fsync", fsync)
    return done


def name_of(file: int) -> str:
    """The path that a descriptor stands for."""
    return Path(f"/proc/self/fd/{file}").readlink().relative_to(Path.cwd()).as_posix()


def test_all_files_and_folders_of_a_folder_are_put_on_the_disk(asked: list[str]) -> None:
    Path("tree/deep").mkdir(parents=True)
    for name in ("tree/a", "tree/deep/b"):
        Path(name).touch()
    Path("tree/link").symlink_to("nowhere")
    before = os.listdir("/proc/self/fd")
    disk.sync_folder(Path("tree"))
    assert sorted(asked) == ["tree", "tree/a", "tree/deep", "tree/deep/b"]
    assert len(os.listdir("/proc/self/fd")) == len(before), "and closed again"


@pytest.mark.parametrize(("number", "passes"), [(errno.EINVAL, True), (errno.ENOTSUP, True), (errno.EIO, False)])
def test_a_file_system_that_cannot_sync_folders_is_no_error(
    monkeypatch: pytest.MonkeyPatch, number: int, passes: bool
) -> None:
    def fsync(_: int) -> None:
        raise OSError(number, "Not so")

    monkeypatch.setattr(os, "fsync", fsync)
    with nullcontext() if passes else pytest.raises(OSError, match="Not so"):
        disk.sync(Path())


@pytest.mark.parametrize(("answer", "one_by_one"), [(0, 0), (-1, 3), (None, 3)])
def test_many_files_are_put_on_the_disk_in_one_step_where_the_system_can(
    monkeypatch: pytest.MonkeyPatch, asked: list[str], answer: int | None, one_by_one: int
) -> None:
    for name in ("a", "b", "c"):
        Path(name).touch()
    whole: list[str] = []

    def syncfs(file: int) -> int | None:
        whole.append(name_of(file))
        return answer

    system = SimpleNamespace() if answer is None else SimpleNamespace(syncfs=syncfs)
    monkeypatch.setattr(ctypes, "CDLL", {None: system}.__getitem__)
    before = os.listdir("/proc/self/fd")
    monkeypatch.setattr(disk, "MANY", 3)
    disk.sync_all([Path("a"), Path("b"), Path("c")])
    assert (asked, whole) == (["a", "b", "c"], []), "few, one by one"
    asked.clear()
    monkeypatch.setattr(disk, "MANY", 2)
    disk.sync_all([Path("a"), Path("b"), Path("c")])
    assert (len(asked), whole) == (one_by_one, [] if answer is None else ["a"])
    assert len(os.listdir("/proc/self/fd")) == len(before), "and closed again"


@pytest.mark.skipif(sys.platform != "linux", reason="macOS has no fdatasync")
def test_linux_puts_the_bytes_of_a_file_on_the_disk_without_its_times(asked: list[str]) -> None:
    with Path("a").open("wb") as file:
        disk.sync_data(file.fileno())
    assert asked == []


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no syncfs")
def test_linux_puts_a_whole_file_system_on_the_disk(asked: list[str]) -> None:
    assert disk._sync_system(Path()) is True
    assert asked == []
