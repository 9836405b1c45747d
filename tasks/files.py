"""Outputs that are whole or absent, scratch that outlives a killed run, and hashes."""

import ctypes
import errno
import fcntl
import hashlib
import json
import mmap
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from tasks.errors import InputError

SCRATCH = Path(".winnow")
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


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """Give an empty folder to fill; it takes the place of `target` in one rename, and only if the block succeeds.

    The filled folder waits on the same file system, outside `target`, so a run killed at any moment leaves the old
    result or the new one, never a mixture.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    SCRATCH.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=SCRATCH, prefix=f"{target.name}-", ignore_cleanup_errors=True) as room:
        fresh = Path(room) / "new"
        fresh.mkdir()
        yield fresh
        if target.exists():
            _exchange(fresh, target)
        else:
            fresh.rename(target)


def _exchange(fresh: Path, target: Path) -> None:
    """Swap two folders: in one step where the system can (Linux), so that `target` is there at every moment."""
    system, here, exchange = ctypes.CDLL(None), -100, 2
    paths = here, os.fsencode(fresh), here, os.fsencode(target), exchange
    if not hasattr(system, "renameat2") or system.renameat2(*paths):
        target.rename(fresh.with_name("old"))
        fresh.rename(target)


@contextmanager
def whole_file(target: Path) -> Iterator[Path]:
    """Give a path beside `target` to write; it replaces `target` in one rename, and only if the block succeeds."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        yield partial
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def locked(target: Path) -> Iterator[None]:
    """Let one at a time, of the threads and processes that see `target`, do what the block does about it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.with_name(f".{target.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # it ends with the block, or with the process
        yield


@contextmanager
def scratch(stage: str, key: str) -> Iterator[Path]:
    """Give the folder in which a stage keeps finished pieces of the work named by `key`.

    It stays when the block fails or is killed, so that the next run does only what is missing, and goes when the
    block succeeds.
    """
    folder = SCRATCH / stage / key
    folder.mkdir(parents=True, exist_ok=True)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


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
    path.write_text(json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: Path, largest: int = LARGEST_JSON) -> Any:
    """Read a JSON file of at most `largest` bytes, whoever made it.

    Raises:
        InputError: it cannot be read, is no JSON, is too large, or is nested too deeply.
    """
    try:
        with path.open("rb") as file:
            data = file.read(largest + 1)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error})") from error
    if len(data) > largest:
        raise InputError(f"{path} is larger than {largest:,} bytes, so it is not what it should be")
    try:
        return json.loads(data.decode("utf-8-sig"))
    except RecursionError as error:
        raise InputError(f"{path} is not JSON: it is nested too deeply") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not JSON: it is not UTF-8 (byte {error.start})") from error
    except ValueError as error:
        raise InputError(f"{path} is not JSON ({error})") from error


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
