"""Record what else a stage reads besides its parameters and other stages' results: outside files and single keys.

The stage `source` writes one such file per stage, with hashes, and the stage depends on it. So dvc.yaml names no single
key of params.yaml, and DVC does not fail if a key is null or left out.
"""

import os
from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path
from typing import Any

from winnow.errors import InputError
from winnow.run.settings import Embed, Evaluate, Settings
from winnow.sources import fingerprint

KEYS = {"adapt": ["optimize.method"], "evaluate": ["prepare.follow_links"]}  # of other blocks than the stage's own
MADE = "data/prepare/"  # what lies here is made before embed runs, which depends on it anyway


def known(settings: Settings) -> dict[str, dict[str, Any]]:
    """For each stage that reads such a thing, what it is: a SHA-256, or the value, by the name of the parameter.

    Raises:
        InputError: a file or folder that a parameter names does not exist.
    """
    return {
        "prepare": {"corrections": _content("prepare.corrections", settings.prepare.corrections)},
        "embed": _embed(settings.embed),
        "adapt": _keys("adapt", settings),
        "evaluate": _evaluate(settings.evaluate, settings.prepare.follow_links) | _keys("evaluate", settings),
    }


def paths(stage: str, settings: Settings) -> Iterator[str]:
    """The files and folders on this machine that parameters name, of a stage which reads them itself."""
    if stage == "prepare":
        yield settings.prepare.corrections
    if stage == "embed":
        yield from filter(None, _named(settings.embed).values())
    if stage == "evaluate" and settings.evaluate.checkpoint:
        yield settings.evaluate.checkpoint


def _keys(stage: str, settings: Settings) -> dict[str, Any]:
    return {key: attrgetter(key)(settings) for key in KEYS[stage]}


def _named(how: Embed) -> dict[str, str | None]:
    """What embed reads: a tag names weights in the hub's cache, and given features need no names of classes."""
    return {
        "path": None if how.pretrained and how.source == "encoder" else how.path,
        "class_names": how.class_names if how.source == "encoder" and not _is_made(how.class_names) else None,
    }


def _is_made(path: str) -> bool:
    return os.path.normpath(path).startswith(MADE)


def _embed(how: Embed) -> dict[str, str | None]:
    return {key: _content(f"embed.{key}", path) if path else None for key, path in _named(how).items()}


def _content(key: str, path: str) -> str:
    if not Path(path).exists():
        way_out = "; make one with the header id,decision,label" if key == "prepare.corrections" else ""
        raise InputError(f"{key}: {path} does not exist{way_out}")
    return fingerprint.content(Path(path))


def _evaluate(how: Evaluate, follow_links: bool) -> dict[str, Any]:
    found: dict[str, Any] = {"checkpoint": None, "tests": {}}
    if how.checkpoint:
        if not Path(how.checkpoint).is_file():
            raise InputError(f"evaluate.checkpoint: {how.checkpoint} does not exist")
        found["checkpoint"] = fingerprint.content(Path(how.checkpoint))
    for name, source in how.tests.items():
        try:
            found["tests"][name] = fingerprint.of(source, follow_links=follow_links)["sha256"]
        except InputError as error:
            raise InputError(f"evaluate.tests.{name}: {str(error).removeprefix('prepare.source: ')}") from error
    return found
