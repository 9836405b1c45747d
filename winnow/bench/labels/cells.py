"""Measure one method on one draw of noise, once: what it found is kept until something it depends on changes."""

import json
import time
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from winnow import budget
from winnow.bench.labels import measures, methods
from winnow.bench.labels.measures import Measures
from winnow.bench.labels.methods import METHODS
from winnow.bench.labels.noises import Planted
from winnow.bench.labels.rows import Row
from winnow.compute import threads
from winnow.features import Features
from winnow.files import hashes, json_files, outputs, scratch
from winnow.run import closure

FOLDER = scratch.SCRATCH / "bench/labels"
SHARED = ("winnow.bench.labels.noises", "winnow.bench.labels.measures")
PACKAGES = ("cleanlab", "numpy", "scikit-learn", "scipy", "torch")


def measured(row: Row, seed: int, names: list[str], most: int | None) -> dict[str, Measures]:
    """What methods find in one draw of the noise of a row.

    Args:
        row: which.
        seed: of the noise, and of methods that draw.
        names: of the methods; those that need text are left out where there is none.
        most: images at most; more are thinned out, each class alike.

    Returns:
        Measures, and the seconds of processor time, by score.
    """
    planted: Planted | None = None
    found: dict[str, Measures] = {}
    for name in names:
        if METHODS[name].names and row.data.text is None:
            continue
        path = FOLDER / f"{_key(row, seed, name, most)}.json"
        if not path.is_file():
            planted = planted or _plant(row, seed, most)
            cell = _measure(planted, seed, name)
            with outputs.whole_file(path) as partial:
                json_files.write_json(partial, cell)
        found |= json_files.read_json(path)
    return found


@threads.fixed()
def _measure(planted: Planted, seed: int, name: str) -> dict[str, Measures]:
    methods.warm_up(name)
    start = time.process_time()  # which other programs do not lengthen
    found = METHODS[name].judge(planted.data, seed)
    seconds = round(time.process_time() - start, 3)
    return {
        score: measures.measure(judgement, planted.wrong) | {"seconds": seconds} for score, judgement in found.items()
    }


@threads.fixed()
def _plant(row: Row, seed: int, most: int | None) -> Planted:
    planted = row.noise.plant(row.data, np.random.default_rng(seed))
    data, count = planted.data, len(planted.wrong)
    if most is None or most >= count:
        return planted
    split = budget.shares(data.counts, most, "proportional")
    rows = np.flatnonzero(budget.draw(data.labels, split, np.random.default_rng([seed, 1])))
    some = Features(data.image[rows], data.text, data.labels[rows], data.classes, data.ids[rows])
    return Planted(some, planted.wrong[rows])


def _key(row: Row, seed: int, name: str, most: int | None) -> str:
    """A hash of all that a cell depends on: data, settings, code, and packages."""
    code = [_code(module) for module in (METHODS[name].judge.__module__, *SHARED)]
    here = hashes.file_sha256(Path(__file__))  # not all that it imports, since that is every method
    return hashes.sha256(row.digest, row.kind, str(seed), name, str(most), *code, here, *map(_version, PACKAGES))


@cache
def _code(module: str) -> str:
    """A hash of a module and of all that it imports."""
    return hashes.sha256(json.dumps(closure.of(f"{module.replace('.', '/')}.py")))


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
