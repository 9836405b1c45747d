"""`winnow init`: a project is whole or not there, and nothing that is there already is overwritten."""

import difflib
import json
import os
import re
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path

from winnow import __version__, urls
from winnow.errors import InputError
from winnow.files.disk import sync_folder
from winnow.files.hashes import sha256
from winnow.files.json_files import read_json
from winnow.files.outputs import staging, whole_file
from winnow.project import template
from winnow.project.template import Choices
from winnow.repository import git
from winnow.sources import torchvision
from winnow.terminal.say import one_line

MARK = ".winnow-template.json"  # what was written, by its hash; it comes last, so what has none is no project yet
MODULES = ("flows", "tasks")  # packages of a project, which another module of the same name would hide


@dataclass(frozen=True)
class Place:
    """Where a project is to be.

    Attributes:
        folder: in full.
        top: of the Git repository around it; None: there is none.
    """

    folder: Path
    top: Path | None

    @property
    def name(self) -> str:
        """Of the folder, as releases are called."""
        return re.sub(r"[^a-z0-9]+", "-", self.folder.name.lower()).strip("-") or "subset"

    @property
    def artifact(self) -> str:
        """The release, as `dvc artifacts get` names it."""
        if self.top in (None, self.folder):
            return "subset"
        assert self.top
        return f"{self.folder.relative_to(self.top).as_posix()}:subset"


def place(folder: Path) -> Place:
    """Where a project can be made.

    Raises:
        InputError: it cannot be made there, and where it can.
    """
    folder = Path(os.path.realpath(folder))
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; name a folder")
    if (folder / MARK).is_file():
        raise InputError(
            f"{folder} is a project already; `winnow init --update {shlex.quote(str(folder))}` brings it up to date"
        )
    above = next(path for path in (folder, *folder.parents) if path.is_dir())
    try:
        top: Path | None = Path(git("rev-parse", "--show-toplevel", at=above).strip()).resolve()
    except InputError:
        top = None
    found = Place(folder, top)
    if top:
        _check_visible(folder, above)
        _check_tag(found)
    return found


def _check_tag(where: Place) -> None:
    """Refuse a folder whose versions Git could not tag."""
    from gto.constants import fullname_re

    if not fullname_re.match(where.artifact):
        folder = where.artifact.rpartition(":")[0]
        better = re.sub(r"[^\w./-]+", "-", folder, flags=re.ASCII).strip("-") or "my-subset"
        raise InputError(
            f"{folder} cannot be part of a Git tag, and each version of a project inside a repository is one; use "
            f"letters, digits, dots, dashes and underscores, as in {better}"
        )


def _check_visible(folder: Path, above: Path) -> None:
    """Refuse a folder that Git ignores: DVC would refuse its dvc.yaml."""
    try:
        rule = git("check-ignore", "--verbose", str(folder / "dvc.yaml"), at=above)
    except InputError:
        return  # it is not
    raise InputError(
        f"Git ignores {folder} ({one_line(rule.partition(chr(9))[0])}); change that, or name another folder"
    )


def check_free(where: Place, choices: Choices) -> dict[str, bytes]:
    """The files of the project, if none of them is there already, and no module has a name that a project needs.

    Raises:
        InputError: with what stands in the way, and what to do.
    """
    folder, files = where.folder, template.files(choices)
    aside = (
        "name a folder of its own"
        if folder != where.top
        else f"name a subfolder: winnow init {shlex.quote(str(folder / 'my-subset'))}"
    )
    for name in MODULES:
        if (folder / f"{name}.py").exists():
            raise InputError(
                f"{folder} has a {name}.py of its own, and a project has a folder {name}/, which would hide it; {aside}"
            )
    taken = [name for name, data in files.items() if not _is_same(folder / name, data)]
    taken += [f"{name}/" for name in MODULES if _holds_others(folder, name, files)]
    if taken:
        names = sorted({name.partition("/")[0] + ("/" if "/" in name else "") for name in taken})
        raise InputError(f"{folder} has {', '.join(names)} already, and nothing is overwritten; {aside}")
    return files


def _is_same(path: Path, data: bytes) -> bool:
    """Whether a file is not there, or is what would be written, as after an init that was killed."""
    return not os.path.lexists(path) or (path.is_file() and path.read_bytes() == data)


def _holds_others(folder: Path, name: str, files: dict[str, bytes]) -> bool:
    """Whether a folder of modules holds any that is not of a project."""
    found = (path.relative_to(folder).as_posix() for path in (folder / name).rglob("*") if path.is_file())
    return any(path not in files and "__pycache__" not in path for path in found)


def write(where: Place, choices: Choices) -> bool:
    """Write the project; whether a Git repository was made for it, since there was none around it.

    Raises:
        InputError: something is in the way.
    """
    files = check_free(where, choices)
    files[MARK] = _mark({name: data for name, data in files.items() if name not in template.OURS})
    folder = where.folder
    with staging(folder / "project" if folder.exists() else folder) as beside:
        made = beside / "new"
        for name, data in files.items():
            (made / name).parent.mkdir(parents=True, exist_ok=True)
            (made / name).write_bytes(data)
        if where.top is None:
            _git_init(folder if folder.exists() else made)
        sync_folder(made)
        if not folder.exists():
            made.rename(folder)
        else:
            _move(made, folder)
    return where.top is None


def _git_init(folder: Path) -> None:
    done = subprocess.run(["git", "init", "--quiet", str(folder)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise InputError(f"git init failed: {' '.join(done.stderr.split()[-40:])}")


def _move(made: Path, folder: Path) -> None:
    """Move files into a folder that is there, the mark last; where that is cut short, the same command finishes it."""
    names = sorted(
        (path.relative_to(made) for path in made.rglob("*") if path.is_file()), key=lambda path: str(path) == MARK
    )
    for name in names:
        if name.parts[0] != ".git":
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (made / name).rename(folder / name)


def _mark(files: dict[str, bytes]) -> bytes:
    known = {"winnow": __version__, "files": {name: sha256(data) for name, data in sorted(files.items())}}
    return f"{json.dumps(known, indent=2, ensure_ascii=False)}\n".encode()


@dataclass(frozen=True)
class Update:
    """What an update did.

    Attributes:
        before: the version of Winnow that the project was of.
        written: files that are now those of this version.
        kept: files that a person changed and this version changes too: their difference, as a patch from the person's.
    """

    before: str
    written: list[str]
    kept: dict[str, str]


def update(folder: Path) -> Update:
    """Bring the files of a project that nobody has changed to this version of Winnow; leave all others.

    Raises:
        InputError: it is no project.
    """
    mark = folder / MARK
    if not mark.is_file():
        raise InputError(f"{folder} is no project that winnow init made ({MARK} is missing)")
    about = read_json(mark)
    try:
        before, known = str(about["winnow"]), dict(about["files"])
    except (TypeError, KeyError, ValueError) as error:
        raise InputError(f"{mark} is not what winnow init wrote; take it from Git") from error
    fresh = template.kept_up()
    written, kept = [], dict[str, str]()
    for name, data in fresh.items():
        path, then = folder / name, known.get(name)
        there = path.read_bytes() if path.is_file() else None
        if there == data:
            continue
        untouched = (there is None and then is None) or (there is not None and sha256(there) == then)
        if untouched:
            with whole_file(path) as partial:
                partial.write_bytes(data)
            written.append(name)
        elif then != sha256(data):
            kept[name] = _difference(name, there or b"", data)
    for name in known.keys() - fresh.keys():
        path = folder / name
        if urls.is_below(name) and path.is_file() and sha256(path.read_bytes()) == known[name]:
            path.unlink()
            written.append(f"{name} (removed)")
    marked = _mark(fresh)
    if mark.read_bytes() != marked:
        with whole_file(mark) as partial:
            partial.write_bytes(marked)
    return Update(before, sorted(written), kept)


def _difference(name: str, ours: bytes, theirs: bytes) -> str:
    mine, new = (data.decode(errors="replace").splitlines() for data in (ours, theirs))
    titles = f"{name} (yours)", f"{name} (Winnow {__version__})"
    return "\n".join(difflib.unified_diff(mine, new, *titles, lineterm="", n=2))


def source_from(source: str, folder: Path) -> str:
    """A source as the project in `folder` names it."""
    if urls.protocol(source) is not None:
        return source
    if not source.startswith(torchvision.PREFIX):
        return template.relative(source, folder)
    name, _, at = source.removeprefix(torchvision.PREFIX).partition(":")
    return f"{torchvision.PREFIX}{name}:{template.relative(at, folder)}" if at else source
