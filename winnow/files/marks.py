"""Marks: a mark is a file that lists finished files with their sizes and SHA-256, so that a resumed run can trust them.

A mark reaches the disk after the files that it lists. If it cannot be read or does not match its files, the piece is
made again.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from winnow.files.disk import sync_all
from winnow.files.hashes import file_sha256
from winnow.files.json_files import read_json, write_json
from winnow.files.outputs import whole_file


@dataclass(frozen=True)
class Mark:
    """What a mark says: SHA-256 by file, and what else was noted."""

    sums: dict[str, str]
    note: Any


def write(path: Path, folder: Path, names: Iterable[str], note: Any = None) -> Mark:
    """Mark the files `names` in `folder` as finished.

    Args:
        path: the mark.
        folder: where the files lie.
        names: their paths below it.
        note: what else is to be known of them, as JSON.
    """
    found = [folder / name for name in dict.fromkeys(names)]
    sync_all([*found, *{path.parent for path in found}])
    sums = {each.relative_to(folder).as_posix(): file_sha256(each) for each in found}
    finished = {name: [(folder / name).stat().st_size, digest] for name, digest in sums.items()}
    with whole_file(path) as partial:
        write_json(partial, {"files": finished, "note": note})
    return Mark(sums, note)


def read(path: Path, folder: Path) -> Mark | None:
    """Read a mark; None where it is missing or damaged, or where a file in `folder` is not as it says."""
    try:
        mark = read_json(path)
        finished = {str(name): (int(size), str(digest)) for name, (size, digest) in mark["files"].items()}
        note = mark["note"]
        whole = all(_is(folder / name, *told) for name, told in finished.items())
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
    return Mark({name: digest for name, (_, digest) in finished.items()}, note) if whole else None


def finish(target: Path) -> None:
    """Mark a file, or a folder with all that is in it, as finished."""
    found = [path for path in sorted(target.rglob("*")) if path.is_file()] if target.is_dir() else [target]
    write(_beside(target), target.parent, [path.relative_to(target.parent).as_posix() for path in found])


def is_finished(target: Path) -> bool:
    """Whether a file or folder was finished and has not changed since."""
    return read(_beside(target), target.parent) is not None


def _beside(target: Path) -> Path:
    return target.with_name(f"{target.name}.mark")


def _is(path: Path, size: int, digest: str) -> bool:
    return path.stat().st_size == size and file_sha256(path) == digest
