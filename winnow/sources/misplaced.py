"""Find images that are not at the paths in their table, and say what is wrong with the paths."""

import os
from collections.abc import Iterator
from os.path import exists
from pathlib import PurePosixPath
from urllib.parse import unquote

from winnow.images import storage
from winnow.names import quoted

TRIED = 1000  # paths looked at before none is taken to be there
FOLDERS = 20  # looked into
LONGEST = 4096  # characters of a path


def hint(base: str, name: str, paths: list[str]) -> str:
    """Why none of the first paths of the table `name` is there, if one of the usual reasons holds; else an empty text.

    Only on this machine: at a URL every try would be a request.
    """
    files, root = storage.connect(base)
    if not paths or not storage.is_local(files) or any(exists(f"{root}/{path}") for path in paths[:TRIED]):
        return ""
    return next((f"{quoted(paths[0])} {why}" for why in _reasons(root, PurePosixPath(name).stem, paths[0])), "")


def _reasons(root: str, stem: str, path: str) -> Iterator[str]:
    if len(path) > LONGEST:
        yield "is no path; a column of paths is needed, or images as bytes"
    if exists(path):
        yield "is relative to the working directory, and paths are relative to the table's folder; move the table there"
    if exists(f"{root}/{unquote(path)}"):
        yield f"is encoded as in a URL; write {quoted(unquote(path))}"
    if other := _other_case(root, path):
        yield f"is called {quoted(other)} on the disk; write the paths in the case of the files"
    if found := _with_suffix(f"{root}/{path}"):
        yield f"lacks the suffix of the file, {found.removeprefix(f'{root}/{path}')}; add it to the paths"
    folders = sorted((entry.name for entry in os.scandir(root) if entry.is_dir()), key=lambda one: (one != stem, one))
    for folder in folders[:FOLDERS]:  # train.csv may tell of the folder train
        found = f"{root}/{folder}/{path}"
        if found := found if exists(found) else _with_suffix(found):
            yield f"is {quoted(found.removeprefix(f'{root}/'))}; write the paths so"
    parts = PurePosixPath(path).parts
    for start in range(1, len(parts)):
        if exists(f"{root}/{'/'.join(parts[start:])}"):
            yield f"is {quoted('/'.join(parts[start:]))} below the table's folder; write the paths so"


def _with_suffix(path: str) -> str:
    kinds = (suffix for kind in storage.IMAGE_SUFFIXES for suffix in (kind, kind.upper()))
    return next((path + kind for kind in kinds if exists(path + kind)), "")


def _other_case(root: str, path: str) -> str:
    """The path as it is on the disk, if only the case differs."""
    parts: list[str] = []
    for part in PurePosixPath(path).parts:
        try:
            here = os.listdir("/".join([root, *parts]))
        except OSError:
            return ""
        found = [name for name in here if name.casefold() == part.casefold()]
        if not found:
            return ""
        parts.append(found[0])
    return "/".join(parts)
