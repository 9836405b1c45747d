"""List the files of a folder or URL without opening them."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from winnow.errors import InputError
from winnow.images import storage

Folder = tuple[int, int]

# What operating systems and tools leave in folders of images, in lower case; names that begin with a dot are hidden.
SYSTEM = {
    "thumbs.db",
    "ehthumbs.db",
    "ehthumbs_vista.db",
    "desktop.ini",
    "icon\r",
    "__macosx",
    "@eadir",
    "$recycle.bin",
    "system volume information",
    "lost+found",
    "#recycle",
    "__pycache__",
    "network trash folder",
    "temporary items",
    "thumbs.db:encryptable",
    "picasa.ini",
    "zbthumbnail.info",
}
HIDDEN = "hidden files, and those of operating systems"


def is_system(name: str) -> bool:
    """Whether a file or folder is hidden, or is there for an operating system."""
    return name.startswith((".", "~$")) or name.casefold() in SYSTEM


def folders(base: str, within: str = "") -> list[str]:
    """Names of the folders in `base`, or in its folder `within`, sorted, without hidden ones."""
    files, root = _open(base, within)
    if storage.is_local(files):
        names = [entry.name for entry in os.scandir(root) if entry.is_dir()]
    else:
        names = [_last(found["name"]) for found in files.ls(root, detail=True) if found["type"] == "directory"]
    return sorted(name for name in names if not is_system(name))


def walk(base: str, *, hidden: Counter[str] | None = None, follow_links: bool = False) -> Iterator[str]:
    """Every file below `base`, as a path relative to it, sorted, without hidden ones.

    On this machine links are followed, but not back to a folder that they are in. `hidden` counts what is passed over.

    Raises:
        InputError: a link to a folder leads out of `base`, and such links are not to be followed.
    """
    files, root = storage.connect(base)
    hidden = Counter() if hidden is None else hidden
    if storage.is_local(files):
        inside = None if follow_links else os.path.realpath(root)
        yield from _scan(root, "", frozenset(), hidden, inside)
        return
    for path in sorted(files.find(root)):
        name = path.removeprefix(f"{root}/")
        if any(map(is_system, name.split("/"))):
            hidden[HIDDEN] += 1
        else:
            yield name


def refuse_links(base: str, names: Iterable[str]) -> None:
    """Refuse files that a link leads to outside `base`.

    Raises:
        InputError: with the first of them.
    """
    files, root = storage.connect(base)
    if not storage.is_local(files):
        return
    inside, seen = os.path.realpath(root), set[str]()
    for name in names:
        folder = os.path.dirname(name)
        if folder not in seen:
            seen.add(folder)
            _refuse_link(f"{root}/{folder}", inside)
        if os.path.islink(f"{root}/{name}"):
            _refuse_link(f"{root}/{name}", inside)


def _refuse_link(path: str, inside: str | None) -> None:
    if storage.leads_out(path, inside):
        raise InputError(
            f"prepare.source: {path} leads out of the source by a link, to {os.path.realpath(path)}; copy it there, or "
            "set prepare.follow_links: true to read links wherever they lead"
        )


def _open(base: str, within: str) -> tuple[Any, str]:
    """Connect to `base` and go to a folder in it. The name of that folder is data, and never part of a URL."""
    files, root = storage.connect(base)
    return files, f"{root}/{within}" if within else root


def _scan(
    folder: str, prefix: str, above: frozenset[Folder], hidden: Counter[str], inside: str | None
) -> Iterator[str]:
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
            if entry.is_symlink():
                _refuse_link(entry.path, inside)
            yield from _scan(entry.path, f"{prefix}{entry.name}/", above | {here}, hidden, inside)
        else:
            yield prefix + entry.name


def matching(base: str, suffix: str) -> list[str]:
    """Names of the files right in `base` that end in `suffix`, in any case, sorted."""
    files, root = storage.connect(base)
    names = map(_last, files.ls(root, detail=False))
    return sorted(name for name in names if name.lower().endswith(suffix) and not is_system(name))


def _last(path: str) -> str:
    return path.rstrip("/").rsplit("/", 1)[-1]
