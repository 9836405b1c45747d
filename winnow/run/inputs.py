"""Detect inputs that change while a stage runs: they are hashed before it starts and compared when it has ended.

DVC hashes dependencies and parameters when a stage ends, but the stage read them when it began. Without this check, DVC
would record a file that was saved in between, although no result came from it.
"""

import json
import math
import os
import textwrap
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from winnow.errors import InputError, WorkError
from winnow.files.hashes import file_sha256
from winnow.run import closure, outside, settings

PARAMETERS = "params.yaml"
SMALL = 2**20  # bytes: files up to this size are compared by content
MANY = 1000  # files of a folder that are compared by content; the others by what the file system says of them
SHOWN = 3  # changes that the message names
NOTHING = object()  # the value of a parameter that is not there


@dataclass(frozen=True)
class FileState:
    """How a file is known again. Where `content` is known on both sides, nothing else counts."""

    content: str | None
    size: int
    mtime: int
    inode: int
    ctime: int
    links: int
    mode: int

    def same(self, other: "FileState") -> bool:
        """Whether it is the same file with the same content.

        The time of the last change of the inode (ctime) tells a file that was rewritten and given its old mtime back.
        It changes too when DVC links a file into its cache or takes the right to write away, which is no change.
        """
        if self.content and other.content:
            return self.content == other.content
        if (self.size, self.mtime, self.inode) != (other.size, other.mtime, other.inode):
            return False
        return self.ctime == other.ctime or (self.links, self.mode) != (other.links, other.mode)


@dataclass(frozen=True)
class Inputs:
    """The inputs of a stage at one moment.

    Attributes:
        files: every file, also of folders, by its path.
        parameters: every value, by its file and key.
        of_dvc: whether DVC named them.
    """

    stage: str
    files: dict[str, FileState]
    parameters: dict[tuple[str, str], Any]
    of_dvc: bool

    def check(self) -> None:
        """Compare with what is there now.

        Raises:
            WorkError: something changed; DVC then records nothing.
        """
        now = _read(self.stage)
        if self.of_dvc and not now.of_dvc:
            changes = [f"dvc.yaml or {PARAMETERS} changed, and cannot be read any more"]
        else:
            changes = self._changes(now)
        if changes:
            more = f", and {len(changes) - SHOWN} more" if len(changes) > SHOWN else ""
            raise WorkError(
                f"{'; '.join(changes[:SHOWN])}{more}, while the stage {self.stage} ran; run the same command again"
            )

    def _changes(self, now: "Inputs") -> list[str]:
        """One phrase for each difference."""
        changes = []
        for key in sorted(self.parameters | now.parameters):
            before, after = self.parameters.get(key, NOTHING), now.parameters.get(key, NOTHING)
            if before != after:
                changes.append(f"{key[1]} in {key[0]} changed from {_shown(before)} to {_shown(after)}")
        for path in sorted(self.files | now.files):
            then, there = self.files.get(path), now.files.get(path)
            if then is None:
                changes.append(f"{path} was added")
            elif there is None:
                changes.append(f"{path} was removed")
            elif not then.same(there):
                changes.append(f"{path} changed")
        return changes


def noted(stage: str, started: float = math.inf) -> Inputs:
    """Note what dvc.yaml says that a stage reads: its `deps`, and the keys of `params`.

    Where DVC does not know the stage, as when it runs by itself in a folder without dvc.yaml, these are its block of
    params.yaml and `base`.

    Args:
        started: when this process began to import modules, in seconds since the epoch.

    Raises:
        WorkError: a module was saved since then, so either version of it may be at work.
    """
    found = _read(stage)
    if found.of_dvc and os.environ.get("DVC_STAGE") == stage and (name := _other_than_source_saw(stage)):
        raise WorkError(f"{name} changed since the stage source looked at it; run dvc repro again")
    if late := _saved_since(started, found.files):
        raise WorkError(f"{late} changed while the stage {stage} started; run the same command again")
    return found


def _read(stage: str) -> Inputs:
    return _of_dvc(stage) or Inputs(stage, {}, _block(stage), of_dvc=False)


def _of_dvc(stage: str) -> Inputs | None:
    """What DVC takes the stage to read, by its own resolver and its own rules of what to ignore."""
    if not Path("dvc.yaml").is_file():
        return None
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    files: dict[str, FileState] = {}
    parameters: dict[tuple[str, str], Any] = {}
    try:
        with Repo(".") as repository:
            known = repository.stage.load_one(name=stage)
            for each in known.params:
                for key, value in _leaves("", each.read_params(flatten=False)):
                    parameters[_relative(each.fs_path), key] = value
            for each in known.deps:
                if each not in known.params and each.protocol == "local":
                    files |= _marks(repository, each.fs_path)
            for path in [*map(str, map(closure.place, closure.written(stage))), *_outside(stage)]:
                files |= _marks(repository, os.path.abspath(path))
    except DvcException:  # nor can DVC run the stage then
        return None
    return Inputs(stage, files, parameters, of_dvc=True)


def _other_than_source_saw(stage: str) -> str | None:
    """A module that DVC would record as it was before it was changed; None: there is none."""
    for name, digest in closure.written(stage).items():
        path = closure.place(name)
        if not path.is_file() or file_sha256(path) != digest:
            return name
    return None


def _outside(stage: str) -> list[str]:
    """What the stage reads that no stage makes, as parameters name it; what is wrong with these is said elsewhere."""
    try:
        return list(outside.paths(stage, settings.load()))
    except InputError:
        return []


def _marks(repository: Any, path: str) -> dict[str, FileState]:
    """The mark of a file, or of every file in a folder; nothing where there is neither."""
    if not os.path.isdir(path):
        mark = _mark(path)
        return {_relative(path): mark} if mark else {}
    marks: dict[str, FileState] = {}
    for folder, _, names in repository.dvcignore.walk(repository.fs, path):
        for name in names:
            inside = os.path.join(folder, name)
            if mark := _mark(inside, content=len(marks) < MANY):
                marks[_relative(inside)] = mark
    return marks


def _mark(path: str, content: bool = True) -> FileState | None:
    try:
        known = os.stat(path)
        digest = file_sha256(Path(path)) if content and known.st_size <= SMALL else None
    except OSError:
        return None
    return FileState(
        digest, known.st_size, known.st_mtime_ns, known.st_ino, known.st_ctime_ns, known.st_nlink, known.st_mode
    )


def _block(stage: str) -> dict[tuple[str, str], Any]:
    """The values of the stage's own block of params.yaml, and of `base`; what is wrong there is said by its reader."""
    try:
        every = YAML(typ="safe").load(Path(PARAMETERS))
    except (OSError, YAMLError):
        return {}
    blocks = {name: every.get(name) for name in ("base", stage)} if isinstance(every, dict) else {}
    return {(PARAMETERS, key): value for key, value in _leaves("", blocks)}


def _leaves(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Every value below `value`, with its key in full."""
    if isinstance(value, dict) and value:
        for name, below in value.items():
            yield from _leaves(f"{key}.{name}" if key else str(name), below)
    else:
        yield key, value


def _saved_since(started: float, files: dict[str, FileState]) -> str | None:
    """A module that was saved between `started` and now; a time beyond that comes from a clock that jumped."""
    now = time.time()
    return next((p for p, mark in files.items() if p.endswith(".py") and started <= mark.ctime / 1e9 <= now), None)


def _relative(path: str) -> str:
    return os.path.relpath(path).replace(os.sep, "/")


def _shown(value: Any) -> str:
    if value is NOTHING:
        return "nothing"
    return textwrap.shorten(json.dumps(value, ensure_ascii=False, default=str), 60, placeholder="...")
