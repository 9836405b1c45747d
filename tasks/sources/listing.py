"""What lies in a folder or at a URL: names alone, nothing is opened."""

import os
from collections.abc import Iterator
from typing import Any

from tasks.images import storage

Folder = tuple[int, int]


def folders(base: str, within: str = "") -> list[str]:
    """Names of the folders in `base`, or in its folder `within`, sorted, without hidden ones."""
    files, root = _open(base, within)
    if storage.is_local(files):
        names = [entry.name for entry in os.scandir(root) if entry.is_dir()]
    else:
        names = [_last(found["name"]) for found in files.ls(root, detail=True) if found["type"] == "directory"]
    return sorted(name for name in names if not name.startswith("."))


def walk(base: str, within: str = "") -> Iterator[str]:
    """Every file below `base`, or its folder `within`, as a path relative to that, sorted, without hidden ones.

    On this machine links are followed, but not back to a folder that they are in.
    """
    files, root = _open(base, within)
    if storage.is_local(files):
        yield from _scan(root, "", frozenset())
        return
    for path in sorted(files.find(root)):
        name = path.removeprefix(f"{root}/")
        if not any(part.startswith(".") for part in name.split("/")):
            yield name


def _open(base: str, within: str) -> tuple[Any, str]:
    """Connect to `base` and go to a folder in it. The name of that folder is data, and never part of a URL."""
    files, root = storage.connect(base)
    return files, f"{root}/{within}" if within else root


def _scan(folder: str, prefix: str, above: frozenset[Folder]) -> Iterator[str]:
    about = os.stat(folder)
    if (here := (about.st_dev, about.st_ino)) in above:
        return
    with os.scandir(folder) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    for entry in found:
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            yield from _scan(entry.path, f"{prefix}{entry.name}/", above | {here})
        else:
            yield prefix + entry.name


def matching(base: str, suffix: str) -> list[str]:
    """Names of the files right in `base` that end in `suffix`, sorted."""
    files, root = storage.connect(base)
    names = map(_last, files.ls(root, detail=False))
    return sorted(name for name in names if name.endswith(suffix) and not name.startswith("."))


def _last(path: str) -> str:
    return path.rstrip("/").rsplit("/", 1)[-1]
