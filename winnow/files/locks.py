"""Locks between the processes and threads of a user: each names its holder, and ends with the holder's process.

A lock is a file under `flock`. Locks for what a project shares are in its scratch folder. Locks for anything else are
in the user's own cache, where nobody else can take the lock or plant a link.
"""

import fcntl
import hashlib
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from platformdirs import user_cache_path

from winnow.errors import WorkError
from winnow.terminal.say import one_line, say

SCRATCH = Path(".winnow")
SHOWN = 300  # characters of what a lock says of its holder

_open: dict[int, Path] = {}  # lock files of this process


@contextmanager
def locked(path: Path, doing: str, who: str | None = None) -> Iterator[int]:
    """Wait until nobody else holds the lock file `path`, and say for whom.

    Args:
        path: the lock file, in the scratch folder of the project or as `of` names it.
        doing: what the holder does; completes "waiting for WHO, which ...".
        who: the holder; None: this process and its command.

    Yields:
        The descriptor of the file. A child that is given it (`pass_fds`) holds the lock too, until it ends.

    Raises:
        WorkError: the file system knows no locks.
    """
    lock = _acquired(path)
    try:
        os.ftruncate(lock, 0)
        os.write(lock, f"{os.getpid()} {who or _command()}, which {doing}".encode())
        yield lock
    finally:
        if _is_at(lock, path):
            path.unlink()
        _close(lock)


@contextmanager
def opened(path: Path) -> Iterator[int]:
    """Give a lock file that nobody holds yet; what `attempt` and `share` take of it ends with the block."""
    lock = _opened(path)
    try:
        yield lock
    finally:
        _close(lock)


def attempt(lock: int) -> bool:
    """Take an open lock file for this holder alone, if nobody else holds it; whether that worked."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise WorkError(
            f"{_open[lock]} cannot be locked: {error.strerror}; its file system does not support locks"
        ) from error
    return True


def share(lock: int) -> None:
    """Hold an open lock file together with others that share it, once nobody holds it alone."""
    fcntl.flock(lock, fcntl.LOCK_SH)


def of(target: Path) -> Path:
    """Name the lock file of an output, by where it lies."""
    place = target.absolute().parent.resolve() / target.name
    return own_folder() / f"{hashlib.sha256(os.fsencode(place)).hexdigest()[:32]}.lock"


def own_folder() -> Path:
    """Give the folder of this user's locks: in the cache or else the session's folder, or else in the project.

    Raises:
        WorkError: none of them can be used.
    """
    session = os.environ.get("XDG_RUNTIME_DIR")
    own = [user_cache_path("winnow"), *([Path(session, "winnow")] if session else []), SCRATCH]
    for place in own:
        if _is_private(place / "locks"):
            return place / "locks"
    raise WorkError(
        f"none of {', '.join(map(str, own))} can hold locks: that takes a folder of yours that you can "
        "write to; set XDG_CACHE_HOME to one"
    )


def _is_private(place: Path) -> bool:
    """Whether a folder, made if it is not there, is this user's and closed to others."""
    if "~" in place.parts:  # there is no home folder
        return False
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        about = place.lstat()
        if not stat.S_ISDIR(about.st_mode) or about.st_uid != os.geteuid():
            return False
        place.chmod(0o700)
    except OSError:
        return False
    return os.access(place, os.W_OK | os.X_OK)


def _acquired(path: Path) -> int:
    """Open and lock a file. A holder removes it when done, so what was waited for may be another file by now."""
    while True:
        lock = _opened(path)
        try:
            if not attempt(lock):
                _say(lock)
                fcntl.flock(lock, fcntl.LOCK_EX)
            if _is_at(lock, path):
                return lock
        except BaseException:
            _close(lock)
            raise
        _close(lock)


def _say(lock: int) -> None:
    """Say who is waited for, unless it is a thread of this process."""
    pid, _, words = os.pread(lock, SHOWN, 0).decode(errors="replace").partition(" ")
    if pid != str(os.getpid()):
        say(f"winnow: waiting for {one_line(words) or 'another process, which holds a lock'}", error=True)


def _is_at(lock: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(lock), path.lstat())
    except FileNotFoundError:
        return False


def _opened(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    _open[lock] = path
    return lock


def _close(lock: int) -> None:
    _open.pop(lock, None)
    os.close(lock)


def _close_all() -> None:
    """Close the lock files of the parent: a fork that outlives it holds none of its locks."""
    for lock in list(_open):
        _close(lock)


os.register_at_fork(after_in_child=_close_all)


def _command() -> str:
    """This process, by its number and what was typed."""
    name, *arguments = [Path(sys.argv[0]).stem, *sys.argv[1:]]
    words = ["winnow" if name == "cli" else name, *[word for word in arguments if not word.startswith("-")][:1]]
    return f"process {os.getpid()} ({' '.join(words)})"
