"""A lock is held by one at a time, says by whom, ends with its process, and nobody else can hold or plant it."""

import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import ROOT

from winnow.errors import WorkError
from winnow.files import locks

HOLDING = """
import os, sys
from pathlib import Path
from winnow.files import locks
with locks.locked(Path(sys.argv[1]), "writes OUT"):
    forked = "fork" in sys.argv and os.fork()
    if not forked:  # the fork speaks, if there is one: by then it has closed what it must
        print("held", flush=True)
    sys.stdin.read()
    if "fork" in sys.argv and not forked:
        os._exit(0)
"""


class Holder:
    """A process that takes a lock and holds it until it is told to end."""

    def __init__(self, path: Path, *more: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLDING, str(path), *more],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )

    def has_it(self) -> bool:
        """Wait until it says that it has the lock."""
        assert self.process.stdout
        return self.process.stdout.readline() == "held\n"

    def said(self) -> str:
        """The next line of its messages."""
        assert self.process.stderr
        return self.process.stderr.readline()

    def end(self) -> None:
        """Let it end as it would."""
        self.process.communicate()


@pytest.fixture
def path(workdir: Path) -> Iterator[Path]:
    """Give the path of a lock file."""
    return workdir / "room/a.lock"


def test_a_second_process_waits_and_says_for_whom(path: Path) -> None:
    first = Holder(path, "work", "--option")
    assert first.has_it()
    second = Holder(path)
    assert second.said() == f"winnow: waiting for process {first.process.pid} (-c {path}), which writes OUT\n"
    assert second.process.poll() is None
    with locks.opened(path) as lock:
        assert not locks.attempt(lock)
    first.end()
    assert second.has_it()
    second.end()
    assert not path.exists(), "nothing is left"


def test_a_lock_ends_with_its_process_however_that_ends(path: Path) -> None:
    first = Holder(path)
    assert first.has_it()
    second = Holder(path)
    assert "waiting" in second.said()
    first.process.send_signal(signal.SIGKILL)
    assert second.has_it()
    second.end()


def test_of_two_that_waited_for_a_killed_one_only_one_goes_on(path: Path) -> None:
    first = Holder(path)
    assert first.has_it()
    waiting = [Holder(path), Holder(path)]
    assert all("waiting" in holder.said() for holder in waiting)
    first.process.kill()
    streams = [holder.process.stdout for holder in waiting]
    began = select.select(streams, [], [], 60)[0]
    assert len(began) == 1
    (other,) = (stream for stream in streams if stream not in began)
    assert select.select([other], [], [], 1)[0] == []
    waiting[streams.index(began[0])].end()
    assert waiting[streams.index(other)].has_it()
    waiting[streams.index(other)].end()


def test_a_fork_that_outlives_its_parent_does_not_hold_its_lock(path: Path) -> None:
    first = Holder(path, "fork")
    assert first.has_it()
    first.process.kill()
    first.process.wait()
    with locks.opened(path) as lock:
        assert locks.attempt(lock), "although the fork is alive"
    first.end()


def test_a_child_that_is_given_the_lock_holds_it_after_its_parent(path: Path) -> None:
    code = HOLDING.replace('writes OUT"):', 'writes OUT") as lock:').replace(
        "print(", "import subprocess; subprocess.Popen(['sleep', '600'], pass_fds=[lock]); print("
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        start_new_session=True,
    )
    assert process.stdout
    assert process.stdout.readline() == b"held\n"
    process.kill()
    process.wait()
    with locks.opened(path) as lock:
        assert not locks.attempt(lock)
        os.killpg(process.pid, signal.SIGKILL)
        os.set_blocking(lock, True)
        locks.share(lock)


def test_threads_hold_it_one_at_a_time(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    inside, most = [0], [0]

    def work() -> None:
        for _ in range(50):
            with locks.locked(path, "counts"):
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                time.sleep(0.001)
                inside[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]
    assert "waiting for process" not in capsys.readouterr().err, "of a thread of this process nothing is said"


def test_a_shared_lock_keeps_out_who_wants_it_alone(path: Path) -> None:
    with locks.opened(path) as one, locks.opened(path) as two:
        assert locks.attempt(one)
        locks.share(one)
        locks.share(two)
        with locks.opened(path) as three:
            assert not locks.attempt(three)
    with locks.opened(path) as three:
        assert locks.attempt(three)


def test_a_failure_lets_it_go(path: Path) -> None:
    with pytest.raises(ValueError, match="x"), locks.locked(path, "fails"):
        raise ValueError("x")
    with locks.locked(path, "works"):
        pass
    assert not path.exists()


def test_a_lock_that_was_removed_and_taken_anew_is_left_to_its_holder(path: Path) -> None:
    with locks.locked(path, "works"):
        path.unlink()  # as `make clean` does
        other = Holder(path)
        assert other.has_it()
    assert path.exists()
    other.end()


def test_what_a_lock_says_cannot_move_the_cursor(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with locks.opened(path) as lock:
        os.write(lock, b"1 \x1b[2Jevil\r" + b"x" * 1000)
        locks._say(lock)
    said = capsys.readouterr().err
    assert said.startswith(r"winnow: waiting for \x1b[2Jevil\rxxx")
    assert len(said) < 400


def test_a_link_in_the_place_of_a_lock_is_not_followed(path: Path, workdir: Path) -> None:
    path.parent.mkdir()
    path.symlink_to(workdir / "victim")
    with pytest.raises(OSError, match="symbolic links"), locks.locked(path, "works"):
        pass
    assert not (workdir / "victim").exists()


@pytest.fixture
def cache(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a cache folder of the user's own."""
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(workdir / "cache"))
    return workdir / "cache"


def test_locks_of_outputs_lie_in_a_folder_of_the_users_own(cache: Path) -> None:
    place = locks.of(Path("out"))
    assert place.parent == cache / "winnow/locks"
    assert place.parent.stat().st_mode & 0o777 == 0o700
    place.parent.chmod(0o777)
    assert locks.of(Path("out")) == place
    assert place.parent.stat().st_mode & 0o777 == 0o700


def test_an_output_has_one_lock_by_whatever_path_it_is_named(cache: Path, workdir: Path) -> None:
    (workdir / "deep").mkdir()
    (workdir / "link").symlink_to("deep")
    names = [Path("deep/out"), Path("link/out"), workdir / "deep/out", Path("deep/../deep/out")]
    assert len({locks.of(name) for name in names}) == 1
    assert locks.of(Path("deep/other")) != locks.of(Path("deep/out"))


@pytest.mark.parametrize("spoilt", ["a file", "another's", "a link", "no home"])
def test_where_the_cache_is_no_good_locks_lie_in_the_project(
    cache: Path, workdir: Path, spoilt: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (cache / "winnow").mkdir(parents=True)
    if spoilt == "a file":
        (cache / "winnow/locks").touch()
    elif spoilt == "another's":
        (cache / "winnow/locks").mkdir()
        real = os.geteuid()
        monkeypatch.setattr(os, "geteuid", lambda: real if locks.SCRATCH.exists() else real + 1)
        (workdir / ".winnow").mkdir()
        os.chown(cache / "winnow/locks", real + 1, -1)
    elif spoilt == "a link":
        (workdir / "elsewhere").mkdir()
        (cache / "winnow/locks").symlink_to(workdir / "elsewhere")
    else:
        monkeypatch.delenv("XDG_CACHE_HOME")
        monkeypatch.setenv("HOME", "/dev/null/nobody")
    assert locks.own_folder() == Path(".winnow/locks")
    assert Path(".winnow/locks").stat().st_mode & 0o777 == 0o700


def test_where_there_is_no_home_the_session_has_a_folder(
    cache: Path, workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.touch()
    (workdir / "session").mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(workdir / "session"))
    assert locks.own_folder() == workdir / "session/winnow/locks"


def test_with_no_place_for_locks_a_message_says_what_to_do(cache: Path, workdir: Path) -> None:
    cache.touch()
    (workdir / ".winnow").touch()
    with pytest.raises(WorkError, match="XDG_CACHE_HOME"):
        locks.of(Path("out"))
