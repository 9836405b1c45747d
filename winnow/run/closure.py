"""Which modules a stage imports, however far down, and their SHA-256: what DVC has to see change.

The stage `source` writes it for every stage of dvc.yaml, and each stage depends on its file. So nobody keeps a list of
modules, in this repository or in a project of one's own, whose dvc.yaml cannot name files of an installed package.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import winnow
from winnow.errors import InputError
from winnow.files.hashes import file_sha256
from winnow.files.json_files import read_json

FOLDER = Path("data/source/code")
INSTALLED = Path(winnow.__file__).parents[1]  # where winnow/ lies

# What changes no byte of a result, and what only these import: another message or progress bar runs nothing again.
WITHOUT_EFFECT = {
    "winnow/__init__.py": "names what Python programs import",
    "winnow/arguments.py": "checks what Python programs give",
    "winnow/compute/device.py": "picks a GPU of this machine",
    "winnow/errors.py": "ends a stage, which then has no result",
    "winnow/extras.py": "says which extra installs a package",
    "winnow/files/locks.py": "makes one process wait for another",
    "winnow/files/marks.py": "tells which parts of a stage are done",
    "winnow/reach.py": "asks whether a server answers",
    "winnow/releases/diff.py": "is for those who read a release",
    "winnow/releases/export.py": "is for those who read a release",
    "winnow/releases/formats.py": "is for those who read a release",
    "winnow/releases/verify.py": "is for those who read a release",
    "winnow/repository.py": "asks Git for the commit",
    "winnow/run": "starts a stage, and says how far it is",
    "winnow/terminal": "prints",
}


def written(stage: str) -> dict[str, str]:
    """The closure of a stage as `source` wrote it; empty where it has not."""
    path = FOLDER / f"{stage}.json"
    return dict(read_json(path)["modules"]) if path.is_file() else {}


def stages(pipeline: dict[str, Any]) -> dict[str, str]:
    """The file that each stage of dvc.yaml starts with, for those that run a Python module.

    Args:
        pipeline: dvc.yaml, as read.

    Example:
        >>> stages({"stages": {"embed": {"cmd": "python -m flows.embed"}, "copy": {"cmd": "cp a b"}}})
        {'embed': 'flows/embed.py'}
    """
    found = {}
    for name, stage in pipeline.get("stages", {}).items():
        if module := re.search(r"\bpython3? -m ([\w.]+)", str(stage.get("cmd", ""))):
            found[name] = module[1].replace(".", "/") + ".py"
    return found


def of(start: str, project: Path = Path(), installed: Path = INSTALLED) -> dict[str, str]:
    """The SHA-256 of `start`, of each module of the project or of Winnow that it imports, and of the data they read.

    Imports inside of functions count, and those for type checkers do not. Data are files beside a module, or below it,
    that its text names, such as templates.

    Args:
        start: a module of the project, such as flows/embed.py.
        project: the folder of the project.
        installed: the folder that winnow/ lies in.

    Returns:
        The hashes by file: winnow/... for Winnow's own wherever it is installed, else as the project names it.

    Raises:
        InputError: a module does not parse.
    """
    return {name: file_sha256(place(name, project, installed)) for name in sorted(reached(start, project, installed))}


def place(name: str, project: Path = Path(), installed: Path = INSTALLED) -> Path:
    """Where a file of a closure lies."""
    return (installed if name.startswith("winnow/") else project) / name


def reached(start: str, project: Path = Path(), installed: Path = INSTALLED) -> dict[str, str]:
    """The files of a closure, each with the one that brought it; those WITHOUT_EFFECT are left out."""
    packages = _files(start.rpartition("/")[0].replace("/", "."), project, installed) if "/" in start else ()
    found = {start: start} | dict.fromkeys(packages, start)
    waiting = list(found)
    while waiting:
        importer = waiting.pop()
        for name in _brought(importer, project.absolute(), installed):
            if name not in found and not without_effect(name):
                found[name] = importer
                waiting.append(name)
    return {name: by for name, by in found.items() if _has_code(place(name, project, installed))}


def without_effect(name: str) -> bool:
    """Whether a file changes no byte of a result, by itself or by the folder that it is in."""
    return any(name == known or name.startswith(f"{known}/") for known in WITHOUT_EFFECT)


@cache  # the closures of the stages share most of their modules
def _brought(name: str, project: Path, installed: Path) -> list[str]:
    """What a module imports, wherever in it, and the files beside or below it that it names."""
    path = place(name, project, installed)
    if path.suffix != ".py" or not path.is_file():
        return []
    try:
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text)
    except (SyntaxError, ValueError) as error:
        raise InputError(f"{name} is no Python that can run: {error}") from error
    found = []
    if "/" in name:  # the folder of a project holds more than its code
        within = [(str(data), data.rpartition("/")[2]) for data in _data(path.parent)]
        found += [f"{name.rpartition('/')[0]}/{data}" for data, last in within if last in text]
    for module in _imported(tree, name):
        found += _files(module, project, installed)
    return found


@cache
def _data(folder: Path) -> list[str]:
    """The files below a folder that are no modules."""
    every = (path for path in sorted(folder.rglob("*")) if path.suffix not in (".py", ".pyc") and path.is_file())
    return [path.relative_to(folder).as_posix() for path in every]


def _imported(tree: ast.AST, name: str) -> Iterator[str]:
    """The modules that the imports of a file may name, except those that only type checkers read."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            for part in node.orelse:
                yield from _imported(ast.Module([part], []), name)
        elif isinstance(node, ast.Import):
            yield from (one.name for one in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = name.split("/")[: -node.level] if node.level else []
            module = ".".join([*package, *filter(None, [node.module])])
            yield module
            yield from (f"{module}.{one.name}" for one in node.names)
        else:
            yield from _imported(node, name)


def _files(module: str, project: Path, installed: Path) -> Iterator[str]:
    """The files that run when a module is imported: its own, and those of the packages that it is in."""
    parts = module.split(".")
    for count in range(1, len(parts) + 1):
        name = "/".join(parts[:count])
        for file in (f"{name}.py", f"{name}/__init__.py"):
            if place(file, project, installed).is_file():
                yield file


def _has_code(path: Path) -> bool:
    """Whether there is more in a package's `__init__` than words about it."""
    if path.name != "__init__.py":
        return path.is_file()
    return any(not isinstance(part, ast.Expr) for part in ast.parse(path.read_text(encoding="utf-8")).body)
