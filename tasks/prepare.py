"""Stage prepare: read a source once, set aside what cannot be read, and leave an index and image shards.

In:  a source (`tasks.sources`). Out, in data/prepare/:

    images/             index.parquet, classes.json and shards/ (`tasks.dataset`)
    quarantine.parquet  id and reason of each image that was set aside
    corrections.parquet a row for each decision of a person about a sample (`tasks.corrections`)
    truth.parquet       id, true label and damage of each sample in which a fault was planted; only evaluation and the
                        report read it
"""

import hashlib
import io
import re
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import compress, islice
from pathlib import Path
from typing import Self, TypeVar

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from rich.progress import track

from tasks import budget, dataset, plant
from tasks import corrections as decisions
from tasks.errors import InputError
from tasks.files import whole_folder, write_json
from tasks.sources import Source

T = TypeVar("T")

SHARD_BYTES = 256 * 2**20
SCHEMA = pa.schema({"id": pa.string(), "image": pa.binary()})
BATCH = 256  # images decoded at a time


def run(
    source: Source,
    out: Path,
    *,
    test_share: float,
    max_rejected: float,
    wrong_labels: float,
    damaged: float,
    seed: int,
    corrections: Path | None = None,
) -> None:
    """Read `source` and write the data set to `out`.

    Args:
        source: an opened source.
        out: the folder to write.
        test_share: share of each class to hold out where the source names no test split.
        max_rejected: share of unreadable images above which to stop.
        wrong_labels: share of the pool to give a wrong label.
        damaged: share of the pool to damage.
        seed: fixes what is held out and what is planted.
        corrections: a file of decisions about samples, which have the last word.

    Raises:
        InputError: too many images cannot be read, or a class is left without any.
    """
    table = _plan(source, test_share, wrong_labels, damaged, seed)
    corrected = decisions.apply(table, source.classes, corrections)
    table = corrected.table.assign(true_label=table["true_label"].mask(corrected.relabelled, corrected.table["label"]))
    with whole_folder(out) as folder:
        images = folder / "images"
        (images / "shards").mkdir(parents=True)
        stored, rejected = _store(source, table, ~corrected.dropped, images / "shards", max_rejected, seed)
        index = table.merge(stored, on="id", validate="one_to_one")
        _refuse_empty(index, source.classes)
        index.drop(columns=["true_label", "damage"]).to_parquet(images / "index.parquet", index=False)
        write_json(images / "classes.json", source.classes)
        corrected.applied.to_parquet(folder / "corrections.parquet", index=False)
        rejected.to_parquet(folder / "quarantine.parquet", index=False)
        planted = index[(index["true_label"] != index["label"]) | (index["damage"] != "")]
        planted[["id", "true_label", "damage"]].to_parquet(folder / "truth.parquet", index=False)


def _plan(source: Source, test_share: float, wrong_labels: float, damaged: float, seed: int) -> pd.DataFrame:
    """Decide what is held out and what is planted: the source's table, and true_label and damage."""
    table, rng = source.table.copy(), np.random.default_rng(seed)
    labels = table["label"].to_numpy()
    if not (table["split"] == "test").any():
        table.loc[_held_out(labels, len(source.classes), test_share, rng), "split"] = "test"
    table["true_label"], table["damage"] = labels, ""
    pool = (table["split"] == "train").to_numpy()
    table.loc[pool, "label"] = plant.wrong_labels(labels[pool], len(source.classes), wrong_labels, rng)
    table.loc[pool, "damage"] = plant.choose_damage(int(pool.sum()), damaged, rng)
    return table


def _held_out(labels: np.ndarray, classes: int, test_share: float, rng: np.random.Generator) -> np.ndarray:
    """(N,) bool, a seeded share of each class; one image at least of each class stays in the pool."""
    counts = np.bincount(labels, minlength=classes)
    split = budget.shares(counts, round(test_share * len(labels)), "proportional")
    return budget.draw(labels, np.minimum(split, counts - 1), rng)


def _store(
    source: Source, table: pd.DataFrame, wanted: np.ndarray, shards: Path, max_rejected: float, seed: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Decode every image once, plant damage, write the shards; what was stored, and what was set aside and why."""
    stored, rejected = [], []
    with ThreadPoolExecutor() as pool, ShardWriter(shards) as writer:
        every = zip(source.read(), table["id"], table["damage"], range(len(table)), strict=True)
        jobs = compress(every, wanted)  # but for what a person dropped
        progress = track(jobs, "prepare", int(wanted.sum()), disable=not sys.stderr.isatty(), transient=True)
        for batch in _batches(progress):
            for (_, name, _, _), result in zip(batch, pool.map(partial(_read, seed=seed), batch), strict=True):
                if isinstance(result, str):
                    rejected.append((name, result))
                    _stop_if_too_many(rejected, len(table), max_rejected)
                else:
                    data, width, height = result
                    stored.append((name, *writer.add(name, data), width, height, hashlib.sha256(data).hexdigest()))
    return (
        pd.DataFrame(stored, columns=["id", "shard", "row", "width", "height", "sha256"]),
        pd.DataFrame(rejected, columns=["id", "reason"], dtype=str),
    )


def _batches(items: Iterable[T]) -> Iterator[list[T]]:
    iterator = iter(items)
    while batch := list(islice(iterator, BATCH)):
        yield batch


def _read(job: tuple[bytes, str, str, int], seed: int) -> tuple[bytes, int, int] | str:
    """The bytes to store with width and height, or the reason why the image cannot be read."""
    data, _, damage, row = job
    if not data:
        return "empty"
    try:
        image = dataset.decode(data)
    except (OSError, ValueError, SyntaxError, RuntimeError, Image.DecompressionBombError) as error:
        reason = re.sub(r" <_io\..*>", "", str(error))  # the address of the buffer changes
        return f"{type(error).__name__}: {reason}"
    if damage:
        image = plant.damage_image(image, damage, np.random.default_rng([seed, row]))
        file = io.BytesIO()
        image.save(file, "PNG")
        data = file.getvalue()
    return data, image.width, image.height


def _stop_if_too_many(rejected: list[tuple[str, str]], total: int, max_rejected: float) -> None:
    if len(rejected) > max_rejected * total:
        examples = "".join(f"\n  {name}: {reason}" for name, reason in rejected[:5])
        raise InputError(
            f"more than prepare.max_rejected = {max_rejected:.1%} of the {total} images cannot be read:{examples}\n"
            "repair or remove them, or raise prepare.max_rejected"
        )


def _refuse_empty(index: pd.DataFrame, classes: list[str]) -> None:
    """A class with nothing to choose from, or a test split with nothing to measure on."""
    pool = index[index["split"] == "train"]
    counts = np.bincount(pool["label"], minlength=len(classes))
    if (counts == 0).any():
        raise InputError(
            f"class {classes[counts.argmin()]!r} has no readable image to choose from; add some or remove it"
        )


class ShardWriter:
    """Writes images to Parquet shards of at most SHARD_BYTES each (one image at least)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.names: list[str] = []
        self.images: list[bytes] = []
        self.count, self.size = 0, 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._flush()

    def add(self, name: str, image: bytes) -> tuple[str, int]:
        """Add an image; the shard and the row in which it is found."""
        if self.size + len(image) > SHARD_BYTES and self.names:
            self._flush()
        self.names.append(name)
        self.images.append(image)
        self.size += len(image)
        return f"{self.count:05d}.parquet", len(self.names) - 1

    def _flush(self) -> None:
        if self.names:
            table = pa.table([self.names, self.images], schema=SCHEMA)
            # Images are compressed already; small row groups let a reader take a few rows without the rest.
            pq.write_table(table, self.folder / f"{self.count:05d}.parquet", row_group_size=BATCH, compression="none")
            self.count, self.size, self.names, self.images = self.count + 1, 0, [], []
