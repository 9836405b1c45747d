"""A resumable cache of features: the next run computes only the rows that are missing.

    .winnow/embed/<encoder>/<index>/   a run in progress, named by the encoder and the index of the images
        text.npy about.json            features of the classes, if the encoder reads text, and what made them
        <shard>.rows                   float16 rows of a shard, batch after batch
        <shard>.sums                   one line per finished batch: its first row, and the SHA-256 of its rows
        <shard>.todo.npy               the positions in the shard still to encode, if some rows were known
    .winnow/embed/<encoder>/last/      all rows of the last finished run, with the SHA-256 of each image, and a mark

The rows of the last run are kept, so only images that were added since have to be encoded.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from winnow.files import disk, hashes, json_files, marks, memory_maps, outputs, scratch
from winnow.files.locks import locked

TEXT, ABOUT, MARK = "text.npy", "about.json", "mark.json"
CHUNK = 8192  # rows copied at a time


@contextmanager
def alone() -> Iterator[None]:
    """Wait until no other run encodes in this project: whoever ends keeps its own rows and removes all others."""
    with locked(scratch.SCRATCH / "embed.lock", "encodes images in this project"):
        yield


@dataclass(frozen=True)
class FeatureCache:
    """Where the rows of one run are kept.

    Attributes:
        encoder: names what makes the rows.
        index: names the images.
        dim: features a row.
    """

    encoder: str
    index: str
    dim: int

    @property
    def folder(self) -> Path:
        """Rows of the run at work."""
        return scratch.SCRATCH / "embed" / self.encoder / self.index

    @property
    def last(self) -> Path:
        """Rows of the last run that ended."""
        return self.folder.parent / "last"

    def open(self, index: pd.DataFrame, text: np.ndarray | None, about: dict[str, Any]) -> None:
        """Begin a run, or go on with one; the images that the last run had are not to be done again."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if text is not None:
            with outputs.whole_file(self.folder / TEXT) as partial, partial.open("wb") as file:
                np.save(file, text)
        with outputs.whole_file(self.folder / ABOUT) as partial:
            json_files.write_json(partial, about)
        if marks.read(self.last / MARK, self.last):
            known = pd.Series(self._known(index) < 0)
            for shard, wanted in known.groupby(index["shard"].to_numpy(), sort=False):
                self._begin(str(shard), np.flatnonzero(wanted))
            return
        shutil.rmtree(self.last, ignore_errors=True)
        for path in self.folder.glob("*.todo.npy"):  # of a run that was to take the rest from there
            self._forget(path.name.removesuffix(".todo.npy"))

    def _begin(self, shard: str, todo: np.ndarray) -> None:
        """Say what is to be done of a shard. What a run began with stays, whatever the last one is by now."""
        if not marks.is_finished(self._todo(shard)):
            self._forget(shard)
            with outputs.whole_file(self._todo(shard)) as partial, partial.open("wb") as file:
                np.save(file, todo)
            marks.finish(self._todo(shard))

    def _forget(self, shard: str) -> None:
        """Begin a shard anew."""
        for path in (self._sums(shard), self._rows(shard), self._todo(shard)):
            path.unlink(missing_ok=True)

    def _known(self, index: pd.DataFrame) -> np.ndarray:
        """(N,) row of `last` for each image, -1 for those that it lacks."""
        theirs = pd.read_parquet(self.last / "sha256.parquet")["sha256"].drop_duplicates()
        places = np.append(theirs.index.to_numpy(), -1)
        return places[pd.Index(theirs).get_indexer(index["sha256"])]

    def about(self) -> Any:
        """What makes the features."""
        return json_files.read_json(self.folder / ABOUT)

    def text(self) -> np.ndarray | None:
        """Features of the classes, None where the encoder reads no text."""
        return np.load(self.folder / TEXT) if (self.folder / TEXT).exists() else None

    def todo(self, shard: str, count: int) -> np.ndarray:
        """Places of the images, among `count` in a shard, that this run encodes, done or not; ascending."""
        path = self._todo(shard)
        return np.load(path) if path.exists() else np.arange(count)

    def done(self, shards: list[str] | None = None) -> int:
        """Images that this run has encoded, in all shards or in some."""
        paths = self.folder.glob("*.rows") if shards is None else map(self._rows, shards)
        return sum(path.stat().st_size for path in paths if path.exists()) // (2 * self.dim)

    def disk(self, count: int) -> int:
        """Bytes of `count` images while the rows are gathered: at work, kept, and in the result."""
        return 3 * count * 2 * self.dim

    def begun(self, shard: str, batch_size: int, count: int) -> int:
        """How many of the `count` rows of a shard are done, in whole batches, and are as they were written."""
        written = self._written(shard)
        if not written:
            return 0
        with self._rows(shard).open("rb") as rows:
            for first in range(0, count, batch_size):
                batch = rows.read(min(batch_size, count - first) * 2 * self.dim)
                if written.get(first) != hashes.sha256(batch):
                    return first
        return count

    def _written(self, shard: str) -> dict[int, str]:
        """SHA-256 by the first row of each batch; a line that was being written when the run was killed is none."""
        try:
            lines = self._sums(shard).read_text(encoding="ascii", errors="replace").splitlines()
        except FileNotFoundError:
            return {}
        return {int(first): digest for first, _, digest in (line.partition(" ") for line in lines) if first.isdecimal()}

    @contextmanager
    def append(self, shard: str) -> Iterator[Callable[[int, np.ndarray], None]]:
        """Give a function that writes rows of a shard from a place on.

        Rows lie at the place that their batch has, so two writers, where a lost worker turns up again, do no harm.
        """
        opened = os.open(self._rows(shard), os.O_RDWR | os.O_CREAT, 0o666)
        with os.fdopen(opened, "r+b", buffering=0) as file, self._sums(shard).open("ab", buffering=0) as sums:

            def write(first: int, rows: np.ndarray) -> None:
                data = np.ascontiguousarray(rows, np.float16).tobytes()
                file.seek(first * 2 * self.dim)
                file.write(data)
                disk.sync_data(file.fileno())  # no sum may be on the disk before its rows
                sums.write(f"\n{first} {hashes.sha256(data)}\n".encode())
                disk.sync_data(sums.fileno())

            yield write

    def gather(self, index: pd.DataFrame, shards: list[str]) -> np.ndarray:
        """(N, d) memory map of all rows in the order of the index, which become the last run's."""
        known = self._known(index) if self.last.exists() else np.full(len(index), -1)
        before = np.load(self.last / "rows.npy", mmap_mode="r") if self.last.exists() else None
        ends = index["shard"].value_counts(sort=False)[shards].cumsum()
        with outputs.whole_folder(self.last) as fresh:
            rows = memory_maps.new_rows(fresh / "rows.npy", (len(index), self.dim))
            for shard, begin, end in zip(shards, [0, *ends], ends, strict=False):
                self._copy(rows, shard, np.arange(begin, end), known, before)
            rows.flush()
            index[["sha256"]].to_parquet(fresh / "sha256.parquet", index=False)
            marks.write(fresh / MARK, fresh, ["rows.npy", "sha256.parquet"])
        return np.load(self.last / "rows.npy", mmap_mode="r")

    def _copy(
        self, rows: np.ndarray, shard: str, places: np.ndarray, known: np.ndarray, before: np.ndarray | None
    ) -> None:
        """Put the rows of a shard at their `places`: those of this run, and the others from `before`."""
        todo = self.todo(shard, len(places))
        if len(todo):
            fresh = np.memmap(self._rows(shard), np.float16, "r", shape=(len(todo), self.dim))
            for start in range(0, len(todo), CHUNK):
                rows[places[todo[start : start + CHUNK]]] = fresh[start : start + CHUNK]
                memory_maps.forget(rows)
        old = np.delete(places, todo)
        for start in range(0, len(old), CHUNK):
            assert before is not None
            some = old[start : start + CHUNK]
            rows[some] = before[known[some]]
            memory_maps.forget(rows)
            memory_maps.forget(before)

    def close(self, *others: "FeatureCache") -> None:
        """Keep the last run's rows, of this encoder and of others, and nothing else."""
        kept = {cache.last for cache in (self, *others)}
        for folder in scratch.SCRATCH.glob("embed/*/*"):
            if folder not in kept:
                shutil.rmtree(folder, ignore_errors=True)
        for folder in scratch.SCRATCH.glob("embed/*"):
            if folder not in {last.parent for last in kept}:
                shutil.rmtree(folder, ignore_errors=True)

    def _rows(self, shard: str) -> Path:
        return self.folder / f"{shard}.rows"

    def _sums(self, shard: str) -> Path:
        return self.folder / f"{shard}.sums"

    def _todo(self, shard: str) -> Path:
        return self.folder / f"{shard}.todo.npy"
