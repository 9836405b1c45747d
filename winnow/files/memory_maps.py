"""Open arrays in files as memory maps that take no more memory than is in use."""

import mmap
import os
from pathlib import Path

import numpy as np


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


def forget(rows: np.ndarray) -> None:
    """Give back the memory of the pages of a memory map that were read or written; all stays in the file."""
    if isinstance(rows, np.memmap):
        rows._mmap.madvise(mmap.MADV_DONTNEED)  # type: ignore[attr-defined]
