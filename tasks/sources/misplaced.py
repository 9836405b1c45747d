"""Where the images of a table lie if they are not where it says: what people get wrong about paths."""

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from tasks.images import storage

TRIED = 1000  # paths looked at before none is taken to be there
FOLDERS = 20  # looked into


def hint(base: str, paths: list[str]) -> str:
    """Why none of the first paths exists below a folder of this machine, if one of the usual reasons holds; else ""."""
    files, root = storage.connect(base)
    if not paths or not storage.is_local(files):
        return ""
    folder = Path(root)
    if any((folder / path).exists() for path in islice(paths, TRIED)):
        return ""
    first = paths[0]
    return next((f"{first!r} {why}" for why in _reasons(folder, first)), "")


def _reasons(folder: Path, path: str) -> Iterator[str]:
    if Path(path).exists():
        yield "is relative to the working directory, and paths are relative to the table's folder; move the table there"
    if (folder / unquote(path)).exists():
        yield f"is encoded as in a URL; write {unquote(path)!r}"
    if other := _other_case(folder, path):
        yield f"is called {other!r} on the disk; write the paths in the case of the files"
    if found := _with_suffix(folder / path):
        yield f"lacks the suffix of the file, {found.suffix}; add it to the paths"
    for place in sorted(entry.name for entry in os.scandir(folder) if entry.is_dir())[:FOLDERS]:
        found = folder / place / path
        found = found if found.exists() else _with_suffix(found)
        if found:
            yield f"is {found.relative_to(folder).as_posix()!r}; write the paths so"
    parts = PurePosixPath(path).parts
    for start in range(1, len(parts)):
        if folder.joinpath(*parts[start:]).exists():
            yield f"is {'/'.join(parts[start:])!r} below the table's folder; write the paths so"


def _with_suffix(path: Path) -> Path | None:
    kinds = (suffix for kind in storage.IMAGE_SUFFIXES for suffix in (kind, kind.upper()))
    return next((found for kind in kinds if (found := path.with_name(path.name + kind)).exists()), None)


def _other_case(folder: Path, path: str) -> str | None:
    """The path as it is on the disk, if only the case differs."""
    here, parts = folder, []
    for part in PurePosixPath(path).parts:
        try:
            names = [name for name in os.listdir(here) if name.casefold() == part.casefold()]
        except OSError:
            return None
        if not names:
            return None
        parts.append(names[0])
        here /= names[0]
    return "/".join(parts)
