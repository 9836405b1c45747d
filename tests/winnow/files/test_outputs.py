"""Outputs are whole or absent, whatever happens in between, and hashes tell lists of parts apart."""

import ctypes
import errno
import hashlib
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from faulty import mounted
from hypothesis import given
from hypothesis import strategies as st
from support import ROOT

from winnow.errors import InputError, WorkError
from winnow.files import outputs

pytestmark = pytest.mark.usefixtures("workdir")

KILLED = """
import os, signal, sys
from pathlib import Path
from winnow.files import outputs as files
from winnow.errors import InputError
with getattr(files, sys.argv[1])(Path("out")) as fresh:
    (fresh / "a" if fresh.is_dir() else fresh).write_text("new")
    os.kill(os.getpid(), signal.SIGKILL)
"""
REPLACING = """
from pathlib import Path
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
    assert not outputs.SCRATCH.exists()


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
    with outputs.room(Path("out")):
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
            with outputs.scratch("score", "key") as scratch, outputs.whole_file(scratch / "c") as partial:
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
    monkeypatch.setattr(outputs, "MANY", 0 if many else 100)
    monkeypatch.setattr(
        outputs, "_sync_system", lambda folder: done.append(f"all of {folder.resolve()} while False") or 1
    )
    with getattr(outputs, kind)(Path("out")) as fresh:
        written = fresh / "a" if fresh.is_dir() else fresh
        written.write_text("x")
        needed = [written.resolve(), *([fresh.resolve()] if fresh.is_dir() else [])]
    if many and kind == "whole_folder":
        needed = [f"all of {fresh.resolve()}"]  # type: ignore[list-item]
    assert {f"{path} while False" for path in needed} <= set(done)
    assert done[-1] == f"{Path.cwd()} while True"


def test_a_system_without_fdatasync_syncs_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "fdatasync")
    with Path("a").open("wb") as file:
        file.write(b"x")
        file.flush()
        outputs.sync_data(file.fileno())
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
    outputs.sync_folder(Path("tree"))
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
        outputs.sync(Path())


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
    monkeypatch.setattr(outputs, "MANY", 3)
    outputs.sync_all([Path("a"), Path("b"), Path("c")])
    assert (asked, whole) == (["a", "b", "c"], []), "few, one by one"
    asked.clear()
    monkeypatch.setattr(outputs, "MANY", 2)
    outputs.sync_all([Path("a"), Path("b"), Path("c")])
    assert (len(asked), whole) == (one_by_one, [] if answer is None else ["a"])
    assert len(os.listdir("/proc/self/fd")) == len(before), "and closed again"


@pytest.mark.skipif(sys.platform != "linux", reason="macOS has no fdatasync")
def test_linux_puts_the_bytes_of_a_file_on_the_disk_without_its_times(asked: list[str]) -> None:
    with Path("a").open("wb") as file:
        outputs.sync_data(file.fileno())
    assert asked == []


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no syncfs")
def test_linux_puts_a_whole_file_system_on_the_disk(asked: list[str]) -> None:
    assert outputs._sync_system(Path()) is True
    assert asked == []


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


def test_scratch_stays_after_a_failure_and_goes_after_success() -> None:
    with pytest.raises(OSError, match="disk"):
        fail(outputs.scratch("embed", "key"), "piece")
    with outputs.scratch("embed", "key") as folder:
        assert (folder / "piece").read_text() == "written"
    with outputs.scratch("embed", "key") as folder:
        assert list(folder.iterdir()) == []


def test_scratch_that_a_killed_run_left_for_other_work_is_removed() -> None:
    with pytest.raises(OSError, match="disk"):
        fail(outputs.scratch("embed", "old"), "piece")
    with outputs.scratch("embed", "live") as live:
        (live / "piece").touch()
        with outputs.scratch("embed", "new"):
            assert sorted(path.name for path in Path(".winnow/embed").iterdir() if path.is_dir()) == ["live", "new"]
            assert (live / "piece").exists(), "other work that goes on keeps its own"
    assert list(Path(".winnow/embed").iterdir()) == []


def test_scratch_of_other_work_is_another_folder() -> None:
    with outputs.scratch("embed", "one") as one, outputs.scratch("embed", "two") as two:
        assert one != two


def test_scratch_says_who_works_in_it_and_is_in_the_way_of_no_file() -> None:
    Path(".winnow/embed").mkdir(parents=True)
    Path(".winnow/embed/note").touch()
    with outputs.scratch("embed", "key") as folder:
        assert folder == Path(".winnow/embed/key")
        assert folder.with_name("key.lock").read_text().endswith(f", which works in {folder}")
    assert os.listdir(".winnow/embed") == ["note"]


def test_pieces_of_an_output_lie_beside_it_and_go_when_it_is_made_of_others() -> None:
    target = Path("deep/[a]" + "n" * 60)
    start = f".[a]{'n' * 47}."
    Path("deep").mkdir()
    for name in (".a.0f.part", f"{start}0f0.part", f"{start}0g.part", f"{start}0.part"):
        Path("deep", name).mkdir()
    Path("deep", f"{start}ff.part").touch()
    kept = sorted(os.listdir("deep"))
    with pytest.raises(OSError, match="disk"):
        fail(outputs.unfinished(target, "0f"), "piece")
    with outputs.unfinished(target, "0f") as folder:
        assert folder == Path.cwd() / f"deep/{start}0f.part"
        assert (folder / "piece").read_text() == "written"
        with outputs.unfinished(target, "1e"):
            assert (folder / "piece").exists(), "other work that goes on keeps its own"
    with pytest.raises(OSError, match="disk"):
        fail(outputs.unfinished(target, "0f"), "piece")
    with outputs.unfinished(target, "1e") as folder:
        assert os.listdir(folder) == []
        assert sorted(os.listdir("deep")) == sorted([*kept, folder.name, f"{folder.name}.lock"])
    assert sorted(os.listdir("deep")) == kept


def test_rows_have_their_room_on_the_disk_from_the_start(workdir: Path) -> None:
    with mounted(workdir / "small", "size=256k"):
        rows = outputs.new_rows(Path("small/rows.npy"), (1000, 8))
        assert (rows.shape, rows.dtype) == ((1000, 8), np.float16)
        about = Path("small/rows.npy").stat()
        assert about.st_blocks * 512 >= about.st_size > 16_000
        rows[:] = 1
        rows.flush()
        assert (np.load("small/rows.npy") == 1).all()
        with pytest.raises(OSError, match="No space left"):
            outputs.new_rows(Path("small/more.npy"), (100_000, 8))


def test_rows_are_made_where_a_system_reserves_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "posix_fallocate")
    assert outputs.new_rows(Path("rows.npy"), (3, 2)).shape == (3, 2)


def test_memory_of_rows_is_given_back_and_they_stay(workdir: Path) -> None:
    rows = outputs.new_rows(Path("rows.npy"), (100_000, 8))
    rows[:] = 1
    assert resident(workdir / "rows.npy") > 1_000
    outputs.forget(rows)
    assert resident(workdir / "rows.npy") == 0
    assert (rows == 1).all()
    outputs.forget(np.ones(3))  # in memory alone


def resident(path: Path) -> int:
    """KiB of a mapped file that this process holds in memory."""
    _, _, after = Path("/proc/self/smaps").read_text().partition(f"{path}\n")
    return int(after.partition("Rss:")[2].split()[0])


def test_json_is_the_same_bytes_for_the_same_value() -> None:
    outputs.write_json(Path("one"), {"b": 1, "a": "é"})
    outputs.write_json(Path("two"), {"a": "é", "b": 1})
    assert Path("one").read_bytes() == Path("two").read_bytes() == '{\n  "a": "é",\n  "b": 1\n}\n'.encode()
    assert outputs.read_json(Path("one")) == {"a": "é", "b": 1}


def test_json_with_a_byte_order_mark_is_read() -> None:
    Path("one").write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert outputs.read_json(Path("one")) == {"a": 1}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"[" * 200_000, "nested too deeply"),
        (b'{"a": ' * 200_000, "nested too deeply"),
        (b"[\xff\xfe]", "not UTF-8 (byte 1)"),
        (b"[1,", "is not JSON"),
        (b"", "is not JSON"),
        (b"9" * 5_000, "is not JSON"),
        (b" " * 1000, "is not JSON (Expecting value"),
        (b" " * 1001, "larger than 1,000 bytes, so it is not what it should be"),
    ],
)
def test_what_is_no_json_is_refused_by_the_name_of_its_file(data: bytes, words: str) -> None:
    Path("one.json").write_bytes(data)
    with pytest.raises(InputError) as error:
        outputs.read_json(Path("one.json"), largest=1_000 if data.isspace() else outputs.LARGEST_JSON)
    assert str(error.value).startswith("one.json is ")
    assert words in str(error.value)


def test_json_with_a_key_twice_is_refused() -> None:
    Path("one.json").write_text('{"a": {"c": 2, "b": 1, "b": 1}}')
    with pytest.raises(InputError, match=r"one\.json is not JSON \(the key 'b' stands twice\)"):
        outputs.read_json(Path("one.json"))
    Path("one.json").write_text(f'{{"{"b" * 150}": 1, "{"b" * 150}": 1}}')
    with pytest.raises(InputError, match=rf"the key '{'b' * 100}' stands twice\)"):
        outputs.read_json(Path("one.json"))


def test_of_a_file_that_is_too_large_no_more_is_read_than_tells_it() -> None:
    Path("one.json").touch()
    os.truncate("one.json", 100 * 2**20)
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match="larger than"):
            outputs.read_json(Path("one.json"), largest=1000)
        assert tracemalloc.get_traced_memory()[1] < 10 * 2**20
    finally:
        tracemalloc.stop()


def test_a_pipe_in_place_of_json_is_not_waited_for() -> None:
    os.mkfifo("one.json")
    with pytest.raises(InputError, match=r"one\.json is not JSON: it is a pipe or a device"):
        outputs.read_json(Path("one.json"))


def test_a_folder_in_place_of_json_is_refused() -> None:
    Path("one.json").mkdir()
    with pytest.raises(InputError, match=r"one\.json cannot be read \(Is a directory\)"):
        outputs.read_json(Path("one.json"))


def test_a_file_hash_is_that_of_its_bytes() -> None:
    Path("file").write_bytes(b"abc" * 100_000)
    assert outputs.file_sha256(Path("file")) == hashlib.sha256(b"abc" * 100_000).hexdigest()


PARTS = st.lists(st.binary(max_size=3), max_size=4)


@given(PARTS, PARTS)
def test_hashes_agree_only_for_equal_lists_of_parts(one: list[bytes], two: list[bytes]) -> None:
    assert (outputs.sha256(*one) == outputs.sha256(*two)) == (one == two)


def test_each_part_of_a_hash_is_preceded_by_its_length() -> None:
    parts = b"\0\0\0\0\0\0\0\3abc" + b"\0\0\0\0\0\0\0\2\xc3\xa9"
    assert outputs.sha256(b"abc", "é") == hashlib.sha256(parts).hexdigest()


def led_to(error: Exception, first: Exception, *, explicitly: bool) -> Exception:
    """`error`, raised because of `first`, or while `first` was handled."""
    if explicitly:
        error.__cause__ = first
    else:
        error.__context__ = first
    return error


class OwnWordsError(OSError):
    """As some libraries have, which leave the number out of what they say."""

    def __str__(self) -> str:
        return "could not write"


FULL = [
    OwnWordsError(errno.ENOSPC, "No space left on device"),
    OSError(errno.ENOSPC, "No space left on device"),
    OSError(errno.EDQUOT, "Disk quota exceeded"),
    OSError("480000 requested and 65408 written"),  # NumPy
    RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"),  # safetensors
    OSError("Error writing bytes to file. Detail: [errno 28] No space left on device"),  # Arrow
    sqlite3.OperationalError("database or disk is full"),
]
NOT_FULL = [
    RuntimeError("the figure could not be written"),
    RuntimeError("10 requested and 4 written by hand"),
    ValueError("of 12 requested and 4 written"),
    OSError(errno.EIO, "Input/output error"),
    OSError("os error 280"),
    RuntimeError("No space left"),
]


@pytest.mark.parametrize("error", FULL, ids=str)
def test_a_full_disk_is_recognised_wherever_it_stands_in_the_chain(error: Exception) -> None:
    assert outputs.is_full(error)
    assert outputs.is_full(led_to(RuntimeError("unexpected pos 704"), error, explicitly=True))
    later = led_to(AttributeError("no fileno"), error, explicitly=False)
    assert outputs.is_full(later)
    assert outputs.is_full(led_to(later, ValueError("another"), explicitly=True))
    assert outputs.refused(error) == "the disk is full; free some of it, and the same command goes on from here"


@pytest.mark.parametrize("error", NOT_FULL, ids=str)
def test_another_error_is_not_taken_for_a_full_disk(error: Exception) -> None:
    assert not outputs.is_full(error)
    assert not outputs.is_full(led_to(RuntimeError("later"), error, explicitly=True))
    assert outputs.refused(error) is None


@pytest.mark.parametrize("kind", ["npy", "npz", "safetensors", "parquet", "csv", "torch", "png", "sqlite"])
def test_the_libraries_that_write_say_so_when_a_disk_is_full(tmp_path: Path, kind: str) -> None:
    code = WRITES[kind]
    with mounted(tmp_path / "small", "size=64k"):
        done = subprocess.run(
            [sys.executable, "-c", FILLING.format(code=code)],
            cwd=tmp_path / "small",
            check=False,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
    assert done.returncode == 7


FILLING = """
import sys
import numpy as np
from winnow.files import outputs as files
many = np.random.default_rng(0).integers(0, 255, (400, 400, 3)).astype(np.uint8)
try:
    {code}
except Exception as error:
    sys.exit(7 if files.is_full(error) else 8)
"""
WRITES = {
    "npy": "np.save(open('a', 'wb'), many)",
    "npz": "np.savez(open('a', 'wb'), many=many)",
    "safetensors": "import safetensors.numpy as st; st.save_file({'a': many}, 'a')",
    "parquet": "import pandas as pd; pd.DataFrame({'a': np.random.random(100_000)}).to_parquet('a')",
    "csv": "import pandas as pd; pd.DataFrame({'a': np.random.random(100_000)}).to_csv('a')",
    "torch": "import torch; torch.save(torch.from_numpy(many), open('a', 'wb'))",
    "png": "from PIL import Image; Image.fromarray(many).save('a.png')",
    "sqlite": "import sqlite3; db = sqlite3.connect('a'); db.execute('create table a(b)'); "
    "db.execute('insert into a values (?)', (many.tobytes(),)); db.commit()",
}


PERMISSIONS = "change its permissions, or name another place"


@pytest.mark.parametrize(
    ("number", "way_out"),
    [
        (errno.EACCES, PERMISSIONS),
        (errno.EPERM, PERMISSIONS),
        (errno.EROFS, "make it writable, or name another place"),
        (errno.ENAMETOOLONG, "choose a shorter name"),
    ],
)
@pytest.mark.parametrize("name", ["some/file", b"some/file", Path("some/file")], ids=type)
def test_a_file_system_that_refuses_is_one_line_with_the_file_and_the_way_out(
    number: int, way_out: str, name: object
) -> None:
    error = led_to(RuntimeError("x"), OSError(number, "Not so", name), explicitly=True)
    assert outputs.refused(error) == f"some/file: Not so; {way_out}"
    assert outputs.refused(OSError(number, "Not so")) is None, "with no file it may be a socket"
    assert outputs.refused(FileNotFoundError(errno.ENOENT, "gone", name)) is None


def test_errors_that_led_to_one_another_are_looked_through_once() -> None:
    one, two = RuntimeError("one"), RuntimeError("two")
    one.__cause__, two.__context__ = two, one
    assert not outputs.is_full(one)
