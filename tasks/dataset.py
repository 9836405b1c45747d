"""The data set as `prepare` leaves it: an index of samples that says where each image lies.

index.parquet   in the order of the source: id, label, split ("train" is the pool to choose from, "test" is held out),
                shard (the unit of work that it belongs to) and its row there, width, height, sha256 of the image's
                bytes, and where they are (`images.storage`): file, place, size, and copied: False where the file lies
                in the source, True where it had to be written here
classes.json    class names; `label` is an index into them
source.json     the source, as the parameter gave it: what `file` is relative to
copies/         Parquet files of the images that were copied: id, image
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from tasks import urls
from tasks.errors import InputError
from tasks.files import read_json
from tasks.images import storage
from tasks.images.picture import decode


@dataclass(frozen=True)
class Dataset:
    """An index with the folder that it is in and the source that its images are in."""

    folder: Path
    index: pd.DataFrame
    classes: list[str]
    source: str

    def split(self, name: str) -> pd.DataFrame:
        """The rows of one split, in order."""
        return self.index[self.index["split"] == name]

    @property
    def lost(self) -> bool:
        """Images are to be read from the source, and it is not there: moved, or gone."""
        if self.index["copied"].all() or urls.is_remote(self.source):
            return False
        return not urls.local(self.source).exists()

    @property
    def shards(self) -> list[str]:
        """Names of the shards, units of work of at most a few thousand images each, in order."""
        return list(self._places)

    @cached_property
    def _places(self) -> dict[str, slice]:
        """Where the rows of each shard lie, which follow one another: found once, since there are thousands of them."""
        counts = self.index["shard"].value_counts(sort=False)
        return {
            str(name): slice(end - n, end) for name, n, end in zip(counts.index, counts, counts.cumsum(), strict=True)
        }

    def of(self, shard: str) -> pd.DataFrame:
        """The rows of the index that are in a shard."""
        return self.index.iloc[self._places[shard]]

    def encoded(self, shard: str) -> Iterator[bytes]:
        """The encoded images of a shard, in order (`read`)."""
        return self.read(self.of(shard))

    def read(self, rows: pd.DataFrame) -> Iterator[bytes]:
        """The encoded images of some rows of the index, in its order.

        Raises:
            InputError: an image is no longer where it was, or is another one now.
        """
        for name, digest, data in zip(rows["id"], rows["sha256"], self.stored(rows), strict=True):
            if isinstance(data, OSError):
                raise InputError(f"{self.source}: the image {name} cannot be read any more ({data}); run dvc repro")
            if hashlib.sha256(data).hexdigest() != digest:
                raise InputError(f"{self.source}: the image {name} has changed since it was prepared; run dvc repro")
            yield data

    def stored(self, rows: pd.DataFrame) -> Iterator[bytes | OSError]:
        """What lies at the places of some rows of the index, in its order, or why it cannot be read; not verified."""
        images = {copied: storage.read(str(self.folder) if copied else self.source, rows[rows["copied"] == copied])
                  for copied in (False, True)}  # fmt: skip
        for copied in rows["copied"]:
            yield next(images[copied])

    def images(self, shard: str) -> Iterator[Image.Image]:
        """The images of a shard in order, as RGB."""
        return map(decode, self.encoded(shard))

    def all_images(self) -> Iterator[Image.Image]:
        """Every image in the order of the index, as RGB."""
        return map(decode, self.read(self.index))


def load(folder: Path, source: str | None = None) -> Dataset:
    """Read the index that `prepare` wrote to `folder`; `source` is where the source lies now, if it was moved."""
    source = source or read_json(folder / "source.json")["source"]
    return Dataset(folder, pd.read_parquet(folder / "index.parquet"), read_json(folder / "classes.json"), str(source))


def thumbnails(data: Dataset, ids: list[str], size: int) -> dict[str, Image.Image]:
    """The images of a few samples by id, scaled to fit a square of `size` pixels."""
    rows = data.index[data.index["id"].isin(ids)]
    found = {}
    for name, image in zip(rows["id"], map(decode, data.read(rows)), strict=True):
        scale = size / max(image.size)
        found[name] = image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))))
    return found


def pixels(data: Dataset, size: int) -> np.ndarray:
    """Every image as RGB of `size` x `size` pixels, in the order of the index: (N, size, size, 3) uint8."""
    block = np.empty((len(data.index), size, size, 3), np.uint8)
    for row, image in enumerate(data.all_images()):
        block[row] = np.asarray(image.resize((size, size), Image.Resampling.BILINEAR))
    return block
