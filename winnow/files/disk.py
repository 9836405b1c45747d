"""Flush files, folders or a whole file system to the disk."""

import ctypes
import errno
import os
from pathlib import Path

MANY = 100  # files and folders that are put on the disk sooner with all else that waits


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
