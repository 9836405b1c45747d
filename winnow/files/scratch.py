"""Scratch folders: the finished pieces of unfinished work, which survive a killed run."""

import glob
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from winnow.files import locks

SCRATCH = locks.SCRATCH
SEEN = SCRATCH / "source"  # what the stage `source` remembers of files that it read; without it, it reads all again
NAMED = 50  # characters of a target's name that the folder beside it has: names may not be long


@contextmanager
def of_stage(stage: str, key: str) -> Iterator[Path]:
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
def beside(target: Path, key: str) -> Iterator[Path]:
    """Do as `of_stage` for pieces of `target`, in a folder beside it; `key` is hexadecimal."""
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
