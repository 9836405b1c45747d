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
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from PIL import Image

from winnow import urls
from winnow.errors import InputError
from winnow.files.json_files import read_json
from winnow.files.scratch import SEEN
from winnow.images import storage
from winnow.images.picture import decode

TEXTS = ("id", "split", "shard", "sha256", "file")
NUMBERS = ("label", "row", "width", "height", "place", "size")
COLUMNS = (*TEXTS, *NUMBERS, "copied")
SPLITS = ("train", "test")
LARGEST = 2**63 - 1  # bytes of a file


@dataclass(frozen=True)
class Dataset:
    """An index with the folder that it is in and the source that its images are in.

    Attributes:
        follow_links: read what a link leads to outside the source, too.
    """

    folder: Path
    index: pd.DataFrame
    classes: list[str]
    source: str
    follow_links: bool = True

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
                raise self._changed(f"the image {name} cannot be read any more ({data})")
            if hashlib.sha256(data).hexdigest() != digest:
                raise self._changed(f"the image {name} has changed since it was prepared")
            yield data

    def _changed(self, what: str) -> InputError:
        """An error that `dvc repro` helps against, since the stage `source` reads every file again."""
        shutil.rmtree(SEEN, ignore_errors=True)
        return InputError(f"{self.source}: {what}; run dvc repro")

    def stored(self, rows: pd.DataFrame) -> Iterator[bytes | OSError]:
        """What lies at the places of some rows of the index, in its order, or why it cannot be read; not verified."""
        copied_here = rows["copied"]
        images = {
            True: storage.read(str(self.folder), rows[copied_here]),
            False: storage.read(self.source, rows[~copied_here], follow_links=self.follow_links),
        }
        for copied in copied_here:
            yield next(images[copied])

    def images(self, shard: str) -> Iterator[Image.Image]:
        """The images of a shard in order, as RGB."""
        return map(decode, self.encoded(shard))

    def all_images(self) -> Iterator[Image.Image]:
        """Every image in the order of the index, as RGB."""
        return map(decode, self.read(self.index))


def load(folder: Path, source: str | None = None) -> Dataset:
    """Read the index that `prepare` wrote to `folder`; `source` is where the source lies now, if it was moved.

    Raises:
        InputError: a file of the folder cannot be read, or is none of those that `prepare` writes.
    """
    name = "index.parquet"
    try:
        index = _checked(pd.read_parquet(folder / name))
        name = "classes.json"
        classes = [str(known) for known in _json(folder / name, list)]
        name = "source.json"
        told = _json(folder / name, dict)
        source = source or str(told["source"])
    except (OSError, ValueError, TypeError, KeyError, RecursionError, pa.ArrowException) as error:
        raise InputError(f"{folder / name} cannot be read ({type(error).__name__}: {error}); get it again") from error
    return Dataset(folder, index, classes, source, told.get("follow_links") is not False)


def _json(path: Path, kind: type) -> Any:
    value = read_json(path)
    if not isinstance(value, kind):
        raise TypeError(f"it holds no {kind.__name__}")
    return value


def _checked(index: pd.DataFrame) -> pd.DataFrame:
    """The index, if it has the columns of one, of their types, and nothing in them that none has."""
    for column in TEXTS:
        if not pd.api.types.is_string_dtype(index[column]):
            raise TypeError(f"its column {column} is no text")
    for column in NUMBERS:
        if not pd.api.types.is_integer_dtype(index[column]):
            raise TypeError(f"its column {column} holds no whole numbers")
    if not pd.api.types.is_bool_dtype(index["copied"]):
        raise TypeError("its column copied is neither true nor false")
    if gaps := [name for name in COLUMNS if index[name].isna().any()]:
        raise ValueError(f"its column {gaps[0]} has gaps")
    if not index["split"].isin(SPLITS).all():  # exports name files for it
        raise ValueError(f"its column split holds more than {' and '.join(SPLITS)}")
    if (index[["place", "size"]] > LARGEST).any(axis=None):
        raise ValueError("an image of it lies in no place of a file")
    if not index["id"].is_unique:
        raise ValueError("it has an id twice")
    return index


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
