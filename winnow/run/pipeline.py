"""Run DVC in this project, and find out which stages are not up to date."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import psutil
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from winnow.errors import InputError
from winnow.repository import git

COMMAND = [sys.executable, "-m", "dvc"]
ALWAYS = ["always changed"]  # all that DVC says of a stage that looks at the source every time


def dvc(*arguments: str, env: dict[str, str] | None = None, quiet: bool = False) -> subprocess.CompletedProcess[str]:
    """Run DVC in this project."""
    return subprocess.run(
        [*COMMAND, *arguments],
        env=_environment(env),
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        stderr=subprocess.DEVNULL if quiet else None,
    )


def started(*arguments: str, cwd: Path, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
    """Start DVC in the project at `cwd`; both of its streams are in `stdout`."""
    return subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=cwd,
        env=_environment(env),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def above() -> psutil.Process | None:
    """The DVC that runs this process, as one stage of several; None where the process was started alone."""
    return next((process for process in psutil.Process().parents() if _is_dvc(process)), None)


def _is_dvc(process: psutil.Process) -> bool:
    try:
        return "dvc" in {Path(part).name for part in process.cmdline()[:4]}
    except psutil.Error:
        return False


def _environment(env: dict[str, str] | None) -> dict[str, str]:
    """With this Python first on the path, so that stages run with it too."""
    env = dict(env or os.environ)
    return env | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"}


def stale() -> list[str]:
    """Names of the stages that are not up to date, once those that look every time have looked."""
    waiting = _status()
    looking = [name for name, why in waiting.items() if _looks(why)]
    if looking and (len(looking) == len(waiting) or any(waiting[name] != ALWAYS for name in looking)):
        if dvc("repro", "--quiet", "--single-item", *looking, quiet=True).returncode:
            return sorted(waiting)  # `dvc repro` says what is wrong
        waiting = _status()
    return sorted(name for name, why in waiting.items() if why != ALWAYS)


def _looks(why: list[object]) -> bool:
    """Whether a stage waits only to look again.

    DVC removes the outputs of a stage before it runs, so one that was killed while it looked has none.
    """
    gone = [part["changed outs"] for part in why if isinstance(part, dict) and list(part) == ["changed outs"]]
    return ALWAYS[0] in why and len(why) == 1 + sum(set(outs.values()) == {"deleted"} for outs in gone)


def _status() -> dict[str, list[object]]:
    done = dvc("status", "--json")
    return dict(json.loads(done.stdout)) if done.returncode == 0 else {"dvc.yaml": []}


def count() -> int:
    """How many stages dvc.yaml has.

    Raises:
        InputError: there is none, or it is not YAML.
    """
    try:
        return len((YAML(typ="safe").load(Path("dvc.yaml")) or {}).get("stages") or {})
    except (OSError, YAMLError) as error:
        raise InputError(f"dvc.yaml cannot be read: {error}") from error


def tracked() -> list[list[str]]:
    """The command, where there is one, that gets the data which .dvc files name from the default remote."""
    files = [name for name in git("ls-files", "-z", "*.dvc").split("\0") if name]
    return [["pull", *files]] if files and _config("core.remote") else []


def _config(key: str) -> str:
    return dvc("config", key, quiet=True).stdout.strip()


def folder_md5(folder: Path) -> str:
    """What DVC names a folder by, as in dvc.lock; known before DVC has looked at it."""
    from dvc_data.hashfile.hash_info import HashInfo
    from dvc_data.hashfile.tree import Tree

    tree = Tree()  # type: ignore[no-untyped-call]
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "md5").hexdigest()
        tree.add(path.relative_to(folder).parts, None, HashInfo("md5", digest))
    tree.digest()
    return str(tree.hash_info.value)
