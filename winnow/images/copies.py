"""Copy images that cannot be read one by one in their source, or that were damaged on purpose."""

from pathlib import Path
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq

from winnow.images import storage

COPY_BYTES = 256 * 2**20
SCHEMA = pa.schema({"id": pa.string(), "image": pa.binary()})
GROUP = 256  # images of a row group: a reader of a few images reads little more


class CopyWriter:
    """Writes images to Parquet files of at most COPY_BYTES each (one image at least)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.names: list[str] = []
        self.images: list[bytes] = []
        self.count, self.size = 0, 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.flush()

    def add(self, name: str, image: bytes) -> tuple[str, int, int]:
        """Add an image; its file, place and size."""
        if self.size + len(image) > COPY_BYTES and self.names:
            self.flush()
        self.names.append(name)
        self.images.append(image)
        self.size += len(image)
        return f"copies/{self.count:05d}.parquet", len(self.names) - 1, storage.ROW

    def flush(self) -> None:
        """Write what is there, so that it can be read."""
        if self.names:
            (self.folder / "copies").mkdir(exist_ok=True)
            table = pa.table([self.names, self.images], schema=SCHEMA)
            # Images are compressed already; small row groups let a reader take a few rows without the rest.
            pq.write_table(
                table, self.folder / f"copies/{self.count:05d}.parquet", row_group_size=GROUP, compression="none"
            )
            self.count, self.size, self.names, self.images = self.count + 1, 0, [], []
