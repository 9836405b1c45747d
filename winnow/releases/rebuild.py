"""Make a release again in a fresh clone, from Git, its parameters and its source, and compare the bytes."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from winnow import urls
from winnow.errors import InputError
from winnow.files import outputs
from winnow.files.hashes import file_sha256
from winnow.files.json_files import read_json
from winnow.releases import manifest, versions
from winnow.releases.manifest import Release
from winnow.releases.origin import WAY_OUT, Origin
from winnow.repository import git
from winnow.run import pipeline

INPUTS = ("prepare.source", "prepare.held_out", "embed.path", "embed.class_names")  # parameters that may name a path
BLOCKS = ("base", "pretrain", "prepare", "embed", "adapt", "score", "optimize", "evaluate", "release")
OPENED = (
    *INPUTS,
    "embed.others",
    "prepare.corrections",
    "evaluate.checkpoint",
    "evaluate.tests",
)  # parameters that name what is read
SHOWN = 12  # lines, or keys, of what went wrong

Say = Callable[[str], None]


def run(release: Release, start: Origin, env: dict[str, str], source: str | None, say: Say) -> dict[str, str]:
    """Make a release again in a temporary clone.

    Args:
        release: the release.
        start: what to clone.
        env: the environment of the stages. MLflow gets a database of its own, in the clone.
        source: where the source of the images lies now, if not where prepare.source says.
        say: is told what is being done.

    Returns:
        For each file of either release how it differs; empty where the bytes are the same.

    Raises:
        InputError: the commit cannot be had, an input has gone, or a stage failed.
    """
    with outputs.temporary("rebuild") as room:
        clone = room / "clone"
        say(f"clone {start.repository} at {start.commit[:12]}")
        git("clone", "--quiet", "--no-checkout", "--", start.repository, str(clone))
        git("checkout", "--quiet", "--detach", start.commit, at=clone)
        if not (clone / "dvc.yaml").is_file():
            raise InputError(
                f"{start.repository} at {start.commit[:12]} is no project of Winnow (no dvc.yaml); "
                f"name the one that made the release with --repository. {WAY_OUT}"
            )
        parameters = _set_parameters(clone, release.manifest.parameters.stated(), source, say)
        _pull(clone, Path(start.repository))
        if source:
            _move_source(clone, room, parameters, Path(source))
        _link_inputs(clone, Path(start.repository), parameters)
        _reproduce(clone, env, say)
        found = _compare(release.folder, clone / versions.PLACE)
        release.check_unchanged()
        return found


def _set_parameters(clone: Path, made: dict[str, Any], source: str | None, say: Say) -> dict[str, Any]:
    """Put the parameters of the release into the clone; all of them by dotted key.

    A release may come from a stranger: what it was read from is opened only if the clone or the working directory
    names the same in its params.yaml, or --source does, or it lies in the project; and no other block is set by it.
    """
    path = clone / "params.yaml"
    committed, ours = _parameters(path), _parameters(Path("params.yaml"))
    for block, values in made.items():
        if block not in BLOCKS or not isinstance(values, dict):
            raise InputError(
                f"the release's manifest has parameters of {block!r}, which no release is made by. {WAY_OUT}"
            )
        for name, value in values.items():
            key, here = f"{block}.{name}", committed.setdefault(block, {}).get(name)
            if here == value or _is_cut(here, value):
                continue
            named = value == ours.get(block, {}).get(name) or (key == "prepare.source" and source)
            if key in OPENED and not (named or _is_inside(value)):
                raise InputError(
                    f"{key} is {value!r} in the release and {here!r} as committed, so nobody asked to open it; "
                    f"set it in params.yaml{' or name it with --source' if key == 'prepare.source' else ''}. {WAY_OUT}"
                )
            if here is not None:
                say(f"{key} is {value!r}, as in the release, and not {here!r}, as committed")
            committed[block][name] = value
    YAML().dump(committed, path)
    return manifest.flat(committed)


def _parameters(path: Path) -> dict[str, Any]:
    """The blocks of a params.yaml, with its comments; none where there is no file."""
    return (YAML().load(path) if path.is_file() else None) or {}


def _is_inside(value: object) -> bool:
    """Whether a parameter names what lies in the project alone: a path, several by name, or nothing."""
    if isinstance(value, dict):
        return all(map(_is_inside, value.values()))
    if not isinstance(value, str):
        return value is None
    return urls.is_below(value) and "://" not in value and not value.startswith(("~", "torchvision:"))


def _is_cut(here: object, value: object) -> bool:
    """Whether a manifest, which holds no absolute path, names one by its last part."""
    if isinstance(here, list) and isinstance(value, list) and len(here) == len(value):
        return all(map(_is_cut_encoder, here, value))
    return isinstance(here, str) and Path(here).is_absolute() and Path(here).name == value


def _is_cut_encoder(here: object, value: object) -> bool:
    """The same of one of several encoders, as far as it is committed; what is committed is what is opened."""
    if not isinstance(here, dict) or not isinstance(value, dict):
        return False
    return all(one == value.get(key) or _is_cut(one, value.get(key)) for key, one in here.items())


def _pull(clone: Path, original: Path) -> None:
    """Get the inputs that are under DVC, from the original's cache where it is at hand; never a result of a stage."""
    if inputs := [path.relative_to(clone).as_posix() for path in clone.rglob("*.dvc") if path.is_file()]:
        cache = original.absolute() / ".dvc/cache"
        if cache.is_dir():
            _dvc(clone, "remote", "add", "--quiet", "--local", "--default", "original", str(cache))
        _dvc(clone, "pull", "--quiet", *inputs)


def _dvc(clone: Path, *arguments: str) -> None:
    with pipeline.started(*arguments, cwd=clone) as process:
        words = process.communicate()[0]
    if process.returncode:
        raise InputError(f"dvc {arguments[0]} failed in the clone:\n{_end(words)}\n{WAY_OUT}")


def _move_source(clone: Path, room: Path, parameters: dict[str, Any], source: Path) -> None:
    """Let the clone find the source at the place given, by the name that it has in the manifest."""
    if not source.exists():
        raise InputError(f"--source {source} does not exist")
    place = str(parameters["prepare.source"])
    if _is_inside(place):
        _link(clone / place, source)
        return
    link = room / "source" / Path(place).name
    _link(link, source)
    path = clone / "params.yaml"
    committed = _parameters(path)
    committed["prepare"]["source"] = parameters["prepare.source"] = str(link)
    YAML().dump(committed, path)


def _link_inputs(clone: Path, original: Path, parameters: dict[str, Any]) -> None:
    """Link what stages read that neither Git nor DVC holds, such as a folder of images beside the project."""
    made = _results(clone)
    for key, name in _inputs(parameters):
        if not isinstance(name, str) or (key == "prepare.held_out" and not name.endswith(".txt")):
            continue
        if urls.is_remote(name) or name.startswith(("torchvision:", "~")):
            continue  # found there as it is here
        there, here = clone / name, original / name
        if there.exists() or any(there == result or result in there.parents for result in made):
            continue
        if not here.exists():
            option = " or name where it lies now with --source" if key == "prepare.source" else ""
            raise InputError(
                f"{key}: {here} has gone, and without it the release cannot be made again; "
                f"bring it back{option}. {WAY_OUT}"
            )
        if not Path(os.path.normpath(there)).is_relative_to(os.path.normpath(clone.parent)):
            raise InputError(f"{key}: {name} leads too far out of the project to be made again elsewhere. {WAY_OUT}")
        _link(there, here)


def _inputs(parameters: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """What parameters name that stages read, by key."""
    yield from ((key, parameters.get(key)) for key in INPUTS)
    for k, one in enumerate(parameters.get("embed.others") or []):
        yield from ((f"embed.others.{k}.{key}", one.get(key)) for key in ("path", "class_names"))


def _link(link: Path, target: Path) -> None:
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(target.absolute())


def _results(clone: Path) -> list[Path]:
    """What stages and DVC files put into the clone."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo(str(clone)) as repository:
            return [Path(out.fs_path) for out in repository.index.outs]
    except DvcException as error:
        raise InputError(f"dvc.yaml cannot be read in the clone: {error}. {WAY_OUT}") from error


def _reproduce(clone: Path, env: dict[str, str], say: Say) -> None:
    """Run every stage: the clone's cache is empty, so that no result comes from there."""
    env = {key: value for key, value in env.items() if key != "MLFLOW_TRACKING_URI"}
    stage, words = "", list[str]()
    with pipeline.started("repro", "release", cwd=clone, env=env) as process:
        for line in process.stdout or ():
            words.append(line)
            if line.startswith("Running stage"):
                stage = line.split("'")[1]
                say(f"run {stage}")
    if process.returncode:
        raise InputError(f"the stage {stage} failed in the clone:\n{_end(''.join(words))}\n{WAY_OUT}")


def _end(words: str) -> str:
    return "\n".join([line for line in words.splitlines() if line.strip()][-SHOWN:])


def _compare(one: Path, two: Path) -> dict[str, str]:
    paths = {
        path.relative_to(folder).as_posix()
        for folder in (one, two)
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".gitignore"
    }
    return {name: _difference(one / name, two / name) for name in sorted(paths)}


def _difference(ours: Path, theirs: Path) -> str:
    if not ours.is_file() or not theirs.is_file():
        return "was made again, and is not in the release" if theirs.is_file() else "was not made again"
    if file_sha256(ours) == file_sha256(theirs):
        return ""
    if ours.name != "manifest.json":
        return "is not the same bytes"
    one, two = (manifest.flat({**read_json(path), "files": {}}) for path in (ours, theirs))
    changed = [key for key in sorted({*one, *two}) if one.get(key) != two.get(key)]
    told = "; ".join(f"{key} was {one.get(key)!r}, is now {two.get(key)!r}" for key in changed[:SHOWN])
    return f"is not the same bytes: {told}" if changed else "is not the same bytes: it states other hashes of files"
