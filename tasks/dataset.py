"""The data set as `prepare` leaves it: an index of samples, and image shards.

index.parquet   id, label, split ("train" is the pool to choose from, "test" is held out), shard, row, width,
                height, sha256 of the image's bytes; in the order of the shards
classes.json    class names; `label` is an index into them
shards/         Parquet files of encoded images: id, image
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from PIL import Image

from tasks.files import read_json

ROWS = 256  # images read at a time


@dataclass(frozen=True)
class Dataset:
    """An index with the folder that its images are in."""

    folder: Path
    index: pd.DataFrame
    classes: list[str]

    def split(self, name: str) -> pd.DataFrame:
        """The rows of one split, in order."""
        return self.index[self.index["split"] == name]

    @property
    def shards(self) -> list[str]:
        """Names of the image shards, in order."""
        return list(self.index["shard"].unique())

    def encoded(self, shard: str) -> Iterator[bytes]:
        """The encoded images of a shard, in order."""
        for batch in pq.ParquetFile(self.folder / "shards" / shard).iter_batches(ROWS, columns=["image"]):
            for image in batch.column(0):
                yield image.as_py()

    def images(self, shard: str) -> Iterator[Image.Image]:
        """The images of a shard in order, as RGB."""
        return map(decode, self.encoded(shard))

    def all_images(self) -> Iterator[Image.Image]:
        """Every image in the order of the index, as RGB."""
        for shard in self.shards:
            yield from self.images(shard)


def load(folder: Path) -> Dataset:
    """Read the index that `prepare` wrote to `folder`."""
    return Dataset(folder, pd.read_parquet(folder / "index.parquet"), read_json(folder / "classes.json"))


def decode(data: bytes) -> Image.Image:
    """Decode an image to RGB.

    Raises:
        OSError, ValueError, Image.DecompressionBombError: the bytes are no image that can be read whole.
    """
    with Image.open(io.BytesIO(data)) as image:
        if image.mode.startswith("I;16"):  # Pillow would cut 16 bits off at 255, not scale them
            return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
        return image.convert("RGB")


def thumbnails(data: Dataset, ids: list[str], size: int) -> dict[str, Image.Image]:
    """The images of a few samples by id, scaled to fit a square of `size` pixels."""
    wanted = data.index[data.index["id"].isin(ids)]
    found = {}
    for shard, rows in wanted.groupby("shard"):
        table = pq.ParquetFile(data.folder / "shards" / str(shard)).read(columns=["image"]).column(0)
        for name, row in zip(rows["id"], rows["row"], strict=True):
            image = decode(table[int(row)].as_py())
            scale = size / max(image.size)
            found[name] = image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))))
    return found


def pixels(data: Dataset, size: int) -> np.ndarray:
    """Every image as RGB of `size` x `size` pixels, in the order of the index: (N, size, size, 3) uint8."""
    block = np.empty((len(data.index), size, size, 3), np.uint8)
    for row, image in enumerate(data.all_images()):
        block[row] = np.asarray(image.resize((size, size), Image.Resampling.BILINEAR))
    return block
