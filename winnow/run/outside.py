"""Record what else a stage reads besides its parameters and other stages' results: outside files and single keys.

The stage `source` writes one such file per stage, with hashes, and the stage depends on it. So dvc.yaml names no single
key of params.yaml, and DVC does not fail if a key is null or left out.
"""

import os
from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from winnow.errors import InputError
from winnow.run.settings import Block, Embed, Encoder, Evaluate, Settings
from winnow.sources import fingerprint

KEYS = {"adapt": ["optimize.method"], "evaluate": ["prepare.follow_links"]}  # of other blocks than the stage's own
MADE = "data/prepare/"  # what lies here is made before embed runs, which depends on it anyway


def pipeline() -> dict[str, Any]:
    """dvc.yaml; empty where there is none, or none that can be read, which DVC says better."""
    try:
        found = YAML(typ="safe").load(Path("dvc.yaml"))
    except (OSError, YAMLError):
        return {}
    return found if isinstance(found, dict) else {}


def maker(path: str | None, reader: str, key: str) -> str | None:
    """The stage of dvc.yaml that makes what `key` names, so that the reader depends on it by itself; else None.

    Such a path is left to DVC: `source` runs first, and would see what the last run made.

    Raises:
        InputError: a stage makes it, and the reader does not name it in its deps.
    """
    if path is None or "://" in path:
        return None
    stages = pipeline().get("stages", {})
    wanted = os.path.relpath(path)
    for name, stage in stages.items():
        if any(_holds(out, wanted) for out in _paths(stage, "outs")):
            if not any(_holds(dep, wanted) for dep in _paths(stages.get(reader, {}), "deps")):
                raise InputError(
                    f"{key}: the stage {name} of dvc.yaml makes {path}; add it to the deps of the stage {reader}"
                )
            return str(name)
    return None


def _paths(stage: dict[str, Any], key: str) -> Iterator[str]:
    """The `outs` or `deps` of a stage, each a path or a path with options."""
    for each in stage.get(key) or []:
        yield from each if isinstance(each, dict) else [str(each)]


def _holds(folder: str, path: str) -> bool:
    """Whether a path is a folder, or lies in it."""
    return Path(folder) == Path(path) or Path(folder) in Path(path).parents


def known(settings: Settings) -> dict[str, dict[str, Any]]:
    """For each stage that reads such a thing, what it is: a SHA-256, or the value, by the name of the parameter.

    Raises:
        InputError: a file or folder that a parameter names does not exist.
    """
    return {
        "prepare": {"corrections": _content("prepare", "corrections", settings.prepare.corrections)},
        "embed": _embed(settings.embed),
        "adapt": _keys("adapt", settings),
        "evaluate": _evaluate(settings.evaluate, settings.prepare.follow_links) | _keys("evaluate", settings),
    }


def defaults(settings: Settings, params: list[Any]) -> dict[str, Any]:
    """The values of parameters that a stage reads and params.yaml leaves out: a newer Winnow may have others.

    Args:
        params: the `params` of the stage in dvc.yaml: blocks, or keys of them.
    """
    found = dict[str, Any]()
    for name in params:
        block, _, key = str(name).partition(".")
        if isinstance(given := getattr(settings, block, None), Block):
            left_out = given.model_dump(mode="json", exclude=given.model_fields_set)
            found |= {f"{block}.{k}": value for k, value in left_out.items() if key in ("", k)}
    return found


def paths(stage: str, settings: Settings) -> Iterator[str]:
    """The files and folders on this machine that parameters name, of a stage which reads them itself."""
    if stage == "prepare":
        yield settings.prepare.corrections
    if stage == "embed":
        for how in settings.embed.encoders:
            yield from filter(None, _named(how).values())
    if stage == "evaluate" and settings.evaluate.checkpoint:
        yield settings.evaluate.checkpoint


def _keys(stage: str, settings: Settings) -> dict[str, Any]:
    return {key: attrgetter(key)(settings) for key in KEYS[stage]}


def _named(how: Encoder) -> dict[str, str | None]:
    """What embed reads: a tag names weights in the hub's cache, and given features need no names of classes."""
    return {
        "path": None if how.pretrained and how.source == "encoder" else how.path,
        "class_names": how.class_names if how.source == "encoder" and not _is_made(how.class_names) else None,
    }


def _is_made(path: str) -> bool:
    return os.path.normpath(path).startswith(MADE)


def _embed(how: Embed) -> dict[str, Any]:
    others = [_read(one, f"others.{k}.") for k, one in enumerate(how.others)]
    return _read(how, "") | ({"others": others} if others else {})


def _read(how: Encoder, prefix: str) -> dict[str, str | None]:
    return {key: _content("embed", prefix + key, path) if path else None for key, path in _named(how).items()}


def _content(stage: str, name: str, path: str) -> str:
    key = f"{stage}.{name}"
    if made := maker(path, stage, key):
        return f"made by {made}"
    if not Path(path).exists():
        way_out = "; make one with the header id,decision,label" if key == "prepare.corrections" else ""
        raise InputError(f"{key}: {path} does not exist{way_out}")
    return fingerprint.content(Path(path))


def _evaluate(how: Evaluate, follow_links: bool) -> dict[str, Any]:
    found: dict[str, Any] = {"checkpoint": None, "tests": {}}
    if how.checkpoint:
        found["checkpoint"] = _content("evaluate", "checkpoint", how.checkpoint)
    for name, source in how.tests.items():
        if made := maker(source, "evaluate", f"evaluate.tests.{name}"):
            found["tests"][name] = f"made by {made}"
            continue
        try:
            found["tests"][name] = fingerprint.of(source, follow_links=follow_links)["sha256"]
        except InputError as error:
            raise InputError(f"evaluate.tests.{name}: {str(error).removeprefix('prepare.source: ')}") from error
    return found
