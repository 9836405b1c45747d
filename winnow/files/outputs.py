"""Write outputs that are whole or absent: beside their final path, then renamed."""

import ctypes
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from winnow.errors import InputError, WorkError
from winnow.files import locks
from winnow.files.disk import sync, sync_folder

PART, LOCK = ".winnow", "lock"  # ends the name of a staging folder; the lock in it
NAMED = 50  # characters of its target that a staging folder's name has: names may not be long

_swept: set[Path] = set()  # folders in which this process has looked for what killed ones left


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
    with staging(target) as place:
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
    with staging(target) as place:
        partial = place / target.name
        yield partial
        sync(partial)
        os.replace(partial, target)
        sync(target.parent)


@contextmanager
def staging(target: Path) -> Iterator[Path]:
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
    """Give an empty folder among the system's temporary files (TMPDIR), as `staging` does; `name` says what for."""
    with staging(Path(tempfile.gettempdir(), f"winnow-{name}")) as place:
        folder = place / name
        folder.mkdir()
        yield folder


def _sweep(folder: Path) -> None:
    """Remove what this user's killed runs left in a folder; once a process, since folders may be long."""
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
