"""What lies in a folder or at a URL: names alone, nothing is opened."""

import os
from collections import Counter
from collections.abc import Iterator
from typing import Any

from tasks.images import storage

Folder = tuple[int, int]

# What operating systems and tools leave in folders of images, in lower case; names that begin with a dot are hidden.
SYSTEM = {
    "thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "icon\r", "__macosx", "@eadir", "$recycle.bin",
    "system volume information", "lost+found", "#recycle", "__pycache__", "network trash folder", "temporary items",
}  # fmt: skip
HIDDEN = "hidden files, and those of operating systems"


def is_system(name: str) -> bool:
    """Whether a file or folder is hidden, or is there for an operating system."""
    return name.startswith(".") or name.casefold() in SYSTEM


def folders(base: str, within: str = "") -> list[str]:
    """Names of the folders in `base`, or in its folder `within`, sorted, without hidden ones."""
    files, root = _open(base, within)
    if storage.is_local(files):
        names = [entry.name for entry in os.scandir(root) if entry.is_dir()]
    else:
        names = [_last(found["name"]) for found in files.ls(root, detail=True) if found["type"] == "directory"]
    return sorted(name for name in names if not is_system(name))


def walk(base: str, within: str = "", *, hidden: Counter[str] | None = None) -> Iterator[str]:
    """Every file below `base`, or its folder `within`, as a path relative to that, sorted, without hidden ones.

    On this machine links are followed, but not back to a folder that they are in. `hidden` counts what is passed over.
    """
    files, root = _open(base, within)
    hidden = Counter() if hidden is None else hidden
    if storage.is_local(files):
        yield from _scan(root, "", frozenset(), hidden)
        return
    for path in sorted(files.find(root)):
        name = path.removeprefix(f"{root}/")
        if any(map(is_system, name.split("/"))):
            hidden[HIDDEN] += 1
        else:
            yield name


def _open(base: str, within: str) -> tuple[Any, str]:
    """Connect to `base` and go to a folder in it. The name of that folder is data, and never part of a URL."""
    files, root = storage.connect(base)
    return files, f"{root}/{within}" if within else root


def _scan(folder: str, prefix: str, above: frozenset[Folder], hidden: Counter[str]) -> Iterator[str]:
    about = os.stat(folder)
    if (here := (about.st_dev, about.st_ino)) in above:
        return
    with os.scandir(folder) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    for entry in found:
        if is_system(entry.name):
            hidden[HIDDEN] += 1
            continue
        if entry.is_dir():
            yield from _scan(entry.path, f"{prefix}{entry.name}/", above | {here}, hidden)
        else:
            yield prefix + entry.name


def matching(base: str, suffix: str) -> list[str]:
    """Names of the files right in `base` that end in `suffix`, in any case, sorted."""
    files, root = storage.connect(base)
    names = map(_last, files.ls(root, detail=False))
    return sorted(name for name in names if name.lower().endswith(suffix) and not is_system(name))


def _last(path: str) -> str:
    return path.rstrip("/").rsplit("/", 1)[-1]
