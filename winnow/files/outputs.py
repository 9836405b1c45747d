"""Outputs that are whole or absent, scratch that outlives a killed run, and hashes."""

import ctypes
import errno
import glob
import hashlib
import json
import mmap
import os
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from winnow.errors import InputError, WorkError
from winnow.files import locks

SCRATCH = locks.SCRATCH
SEEN = SCRATCH / "source"  # what the stage `source` remembers of files that it read; without it, it reads all again
PART, LOCK = ".winnow", "lock"  # ends the name of a room; the lock in it
MANY = 100  # files and folders that are put on the disk sooner with all else that waits
NAMED = 50  # characters of its target that a room's name has: names may not be long
FULL = (errno.ENOSPC, errno.EDQUOT)
# NumPy, Rust's and Arrow's libraries, and SQLite raise errors without a number.
FULL_IN_WORDS = re.compile(
    r"^\d+ requested and \d+ written$|\b(os error|errno) ({}|{})\b|database or disk is full".format(*FULL),
    re.IGNORECASE,
)
WAYS_OUT = {
    errno.EACCES: "change its permissions, or name another place",
    errno.EPERM: "change its permissions, or name another place",
    errno.EROFS: "make it writable, or name another place",
    errno.ENAMETOOLONG: "choose a shorter name",
}
LARGEST_JSON = 256 * 2**20  # bytes; the largest that Winnow writes, the index of an export, has some 100 a sample

_swept: set[Path] = set()  # folders in which this process has looked for the rooms of killed ones


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """Give an empty folder to fill; it takes the place of `target` in one rename, and only if the block succeeds.

    The folder is filled beside `target`, on the same file system. So a run that is killed at any moment, or a machine
    that loses power, leaves the old result or the new one, never a mixture.

    Raises:
        InputError: `target` is a mount point, which no rename can replace.
    """
    if target.is_symlink():
        target = target.resolve()
    if target.is_mount():
        raise InputError(f"{target} is a mount point and cannot be replaced; mount the folder that holds it instead")
    with room(target) as place:
        fresh = place / "new"
        fresh.mkdir()
        yield fresh
        sync_folder(fresh)
        if target.exists():
            _exchange(fresh, target)
        else:
            fresh.rename(target)
        sync(target.parent)


def _exchange(fresh: Path, target: Path) -> None:
    """Swap two folders: in one step where the system can (Linux), so that `target` is there at every moment."""
    system, here, exchange = ctypes.CDLL(None), -100, 2
    paths = here, os.fsencode(fresh), here, os.fsencode(target), exchange
    if not hasattr(system, "renameat2") or system.renameat2(*paths):
        target.rename(fresh.with_name("old"))
        fresh.rename(target)


@contextmanager
def whole_file(target: Path) -> Iterator[Path]:
    """Give a path to write; the file replaces `target` in one rename, and only if the block succeeds."""
    with room(target) as place:
        partial = place / target.name
        yield partial
        sync(partial)
        os.replace(partial, target)
        sync(target.parent)


@contextmanager
def room(target: Path) -> Iterator[Path]:
    """Give an empty folder beside `target`, which goes with the block.

    What killed runs left in the same place goes too: a run that is alive holds a lock in its own.

    Raises:
        WorkError: nothing can be made there.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _sweep(target.parent)
        place = Path(tempfile.mkdtemp(PART, f".{target.name[:NAMED]}.", target.parent))
    except FileNotFoundError as error:  # some file systems of the kernel, such as /proc, say so of new files
        raise WorkError(f"{target.parent} takes no new files; name another place") from error
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, place, ignore_errors=True)
        with suppress(WorkError):  # no locks on this file system: then nobody removes it but this block
            stack.enter_context(locks.locked(place / LOCK, f"works in {place}"))
        yield place


@contextmanager
def temporary(name: str) -> Iterator[Path]:
    """Give an empty folder in the system's place for temporary files (TMPDIR), as `room` does; `name` says what for."""
    with room(Path(tempfile.gettempdir(), f"winnow-{name}")) as place:
        folder = place / name
        folder.mkdir()
        yield folder


def _sweep(folder: Path) -> None:
    """Remove this user's rooms in a folder whose process is gone; once a process, since folders may be long."""
    if (known := folder.absolute()) in _swept:
        return
    _swept.add(known)
    for place in folder.glob(f".*.*{PART}"):
        if place.is_symlink() or not place.is_dir() or place.lstat().st_uid != os.geteuid():
            continue
        if not (place / LOCK).is_file():
            with suppress(OSError):
                place.rmdir()  # killed before it took its lock
            continue
        with suppress(OSError, WorkError), locks.opened(place / LOCK) as lock:
            if locks.attempt(lock):
                _end_those_in(place)
                shutil.rmtree(place, ignore_errors=True)


def _end_those_in(folder: Path) -> None:
    """End what a killed run started and left at work in a folder: it would go on to write there."""
    import psutil

    left = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if Path(process.cwd()).is_relative_to(folder.resolve()):
                process.kill()
                left.append(process)
    psutil.wait_procs(left, timeout=5)


def sync(path: Path) -> None:
    """Wait until what was written to a file, or which names a folder has, is on the disk."""
    found = os.open(path, os.O_RDONLY)
    try:
        os.fsync(found)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some file systems cannot do it with folders
            raise
    finally:
        os.close(found)


def sync_data(file: int) -> None:
    """Wait until the bytes and the length of an open file are on the disk."""
    getattr(os, "fdatasync", os.fsync)(file)  # macOS has only the latter


def sync_folder(folder: Path) -> None:
    """Wait until everything in a folder is on the disk."""
    sync_all([Path(parent, name) for parent, _, names in os.walk(folder) for name in ("", *names)])


def sync_all(paths: list[Path]) -> None:
    """Wait until some files and folders of one file system are on the disk."""
    if len(paths) > MANY and _sync_system(paths[0]):
        return
    for path in paths:
        if not path.is_symlink():
            sync(path)


def _sync_system(path: Path) -> bool:
    """Do it for the whole file system of a path, in one step where the system can (Linux); whether it was done."""
    system = ctypes.CDLL(None)
    if not hasattr(system, "syncfs"):
        return False
    found = os.open(path, os.O_RDONLY)
    try:
        return bool(system.syncfs(found) == 0)
    finally:
        os.close(found)


@contextmanager
def scratch(stage: str, key: str) -> Iterator[Path]:
    """Give the folder in which a stage keeps finished pieces of the work named by `key`.

    It stays when the block fails or is killed, so that the next run does only what is missing. It goes when the block
    succeeds, or when the stage begins other work.
    """
    folder = SCRATCH / stage / key
    folder.parent.mkdir(parents=True, exist_ok=True)
    others = [path for path in folder.parent.iterdir() if path.is_dir() and path != folder]
    with _resumed(folder, others):
        yield folder


@contextmanager
def unfinished(target: Path, key: str) -> Iterator[Path]:
    """The same for pieces of `target`, in a folder beside it; `key` is hexadecimal."""
    parent, start = target.absolute().parent, f".{target.name[:NAMED]}."
    parent.mkdir(parents=True, exist_ok=True)
    folder = parent / f"{start}{key}.part"
    found = parent.glob(f"{glob.escape(start)}{'[0-9a-f]' * len(key)}.part")
    others = [path for path in found if path.is_dir() and path != folder]
    with _resumed(folder, others):
        yield folder


@contextmanager
def _resumed(folder: Path, others: list[Path]) -> Iterator[None]:
    """Make a folder, or take it up, and remove those of other work that nobody does any more."""
    with locks.locked(_lock(folder), f"works in {folder}"):
        folder.mkdir(exist_ok=True)
        for other in others:
            with locks.opened(_lock(other)) as lock:
                if locks.attempt(lock):
                    shutil.rmtree(other, ignore_errors=True)
                    _lock(other).unlink(missing_ok=True)
        yield
        shutil.rmtree(folder, ignore_errors=True)


def _lock(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.lock")


def new_rows(path: Path, shape: tuple[int, ...]) -> np.memmap:
    """Make a file of float16 rows as a memory map, with its room on the disk: else a full one kills the process.

    Raises:
        OSError: there is no room.
    """
    rows = np.lib.format.open_memmap(path, "w+", np.float16, shape)
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return rows


def is_full(error: BaseException) -> bool:
    """Whether a full disk, or a quota that is used up, is at fault, in `error` or in what led to it."""
    return any(
        getattr(each, "errno", None) in FULL or FULL_IN_WORDS.search(str(each)) is not None for each in _chain(error)
    )


def refused(error: BaseException) -> str | None:
    """Say what the file system refused and the way out, in one line; None if something else is at fault.

    A command that ends with such an error shows this instead of a traceback, and exits with 1.
    """
    if is_full(error):
        return "the disk is full; free some of it, and the same command goes on from here"
    for each in _chain(error):
        if isinstance(each, OSError) and each.errno in WAYS_OUT and each.filename is not None:
            name = os.fsdecode(each.filename) if isinstance(each.filename, str | bytes) else str(each.filename)
            return f"{name}: {each.strerror}; {WAYS_OUT[each.errno]}"
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Give the error and every one that led to it."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        each = waiting.pop()
        if each is not None and id(each) not in seen:
            seen.add(id(each))
            yield each
            waiting += [each.__context__, each.__cause__]


def forget(rows: np.ndarray) -> None:
    """Give back the memory of the pages of a memory map that were read or written; all stays in the file."""
    if isinstance(rows, np.memmap):
        rows._mmap.madvise(mmap.MADV_DONTNEED)  # type: ignore[attr-defined]


def write_json(path: Path, value: Any) -> None:
    """Write `value` as JSON that is the same bytes for the same value."""
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False)
    path.write_bytes(f"{text}\n".encode())


def is_stream(path: Path) -> bool:
    """Whether a path is a pipe, socket or device, which could keep a reader waiting for ever, or never end."""
    return path.exists() and not (path.is_file() or path.is_dir())


def read_json(path: Path, largest: int = LARGEST_JSON) -> Any:
    """Read a JSON file of at most `largest` bytes, whoever made it.

    Raises:
        InputError: it cannot be read, is no JSON, is too large, or is nested too deeply.
    """
    if is_stream(path):
        raise InputError(f"{path} is not JSON: it is a pipe or a device")
    try:
        with path.open("rb") as file:
            data = file.read(largest + 1)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error})") from error
    if len(data) > largest:
        raise InputError(f"{path} is larger than {largest:,} bytes, so it is not what it should be")
    try:
        return json.loads(data.decode("utf-8-sig"), object_pairs_hook=_once)
    except RecursionError as error:
        raise InputError(f"{path} is not JSON: it is nested too deeply") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not JSON: it is not UTF-8 (byte {error.start})") from error
    except ValueError as error:
        raise InputError(f"{path} is not JSON ({error})") from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; one with a key twice would be read in one way here and in another elsewhere."""
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise ValueError(f"the key {twice[:100]!r} stands twice")
    return found


def sha256(*parts: bytes | str) -> str:
    """SHA-256, in hexadecimal, of the parts, each preceded by its length so that no two lists of parts agree."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal, as ``sha256sum`` prints it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
