"""Writers of export formats. Each takes the samples of one piece, in order, and reports what it wrote.

Each gives the same bytes for the same samples.
"""

import io
import json
import os
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from winnow import urls
from winnow.images import picture
from winnow.releases.names import SUFFIXES

ROWS = 256  # images a row group of Parquet holds, and a writer in memory


@dataclass(frozen=True)
class ImageToWrite:
    """An image to write.

    Attributes:
        id: of the sample.
        label: index of its class.
        class_name: of its class.
        folder: a safe file name for its class.
        file: a safe file name, unique in its class and split, perhaps without a suffix.
        key: its position in the split, in digits.
    """

    id: str
    label: int
    class_name: str
    folder: str
    file: str
    key: str


class Writer(Protocol):
    """Writes one piece."""

    def add(self, sample: ImageToWrite, image: bytes) -> Path:
        """Write an image; the file that it is in."""

    def close(self) -> None:
        """Finish what was written."""


@dataclass(frozen=True)
class Piece:
    """Where a piece goes: `number` of `count` pieces of a split, in `folder`."""

    folder: Path
    split: str
    number: int
    count: int
    classes: list[str]
    link: Path | None

    def path(self, suffix: str) -> Path:
        """The file of a piece that is one file."""
        return self.folder / f"{self.split}-{self.number:05d}-of-{self.count:05d}{suffix}"


class ImageFolder:
    """A folder a split, in it a folder a class, in it the images; hard links where `link` has the same file."""

    def __init__(self, piece: Piece) -> None:
        self.piece = piece

    def add(self, sample: ImageToWrite, image: bytes) -> Path:
        """Write or link an image."""
        path = self.piece.folder / self.piece.split / sample.folder / _with_suffix(sample.file, image)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)  # never write through a link that a broken-off export left
        link = self.piece.link if urls.is_below(sample.id) else None
        if not (link and _link(link / sample.id, path, image)):
            path.write_bytes(image)
        return path

    def close(self) -> None:
        """Nothing is left to do."""


class WebDataset:
    """A tar file with a member for the image (jpg, png, ...), its class (cls) and what else is known (json)."""

    def __init__(self, piece: Piece) -> None:
        self.path = piece.folder / f"{piece.split}-{piece.number:06d}.tar"
        self.tar = tarfile.open(self.path, "w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115 closed in close

    def add(self, sample: ImageToWrite, image: bytes) -> Path:
        """Write the members of a sample."""
        known = {"id": sample.id, "label": sample.label, "class_name": sample.class_name}
        suffix = Path(_with_suffix(sample.file, image)).suffix.lower()
        self._member(f"{sample.key}{suffix}", image)
        self._member(f"{sample.key}.cls", str(sample.label).encode())
        self._member(f"{sample.key}.json", json.dumps(known, ensure_ascii=False).encode())
        return self.path

    def _member(self, name: str, data: bytes) -> None:
        member = tarfile.TarInfo(name)  # time 0, no owner
        member.size, member.mode = len(data), 0o644
        self.tar.addfile(member, io.BytesIO(data))

    def close(self) -> None:
        """End the tar file."""
        self.tar.close()


class Parquet:
    """A Parquet file as image data sets are published on the hub: image (bytes and path), label and id."""

    def __init__(self, piece: Piece) -> None:
        self.path, self.rows = piece.path(".parquet"), list[dict[str, object]]()
        self.schema = hub_schema(piece.classes)
        self.writer = pq.ParquetWriter(self.path, self.schema, compression="none")  # images are compressed already

    def add(self, sample: ImageToWrite, image: bytes) -> Path:
        """Write a row."""
        path = f"{sample.folder}/{_with_suffix(sample.file, image)}"
        self.rows.append({"image": {"bytes": image, "path": path}, "label": sample.label, "id": sample.id})
        if len(self.rows) == ROWS:
            self._flush()
        return self.path

    def _flush(self) -> None:
        self.writer.write_table(pa.Table.from_pylist(self.rows, self.schema))
        self.rows.clear()

    def close(self) -> None:
        """Write the last rows, and the footer."""
        if self.rows:
            self._flush()
        self.writer.close()


def hub_schema(classes: list[str]) -> pa.Schema:
    """The columns, with the metadata by which the hub's readers know an image and the names of classes."""
    features = {
        "image": {"_type": "Image"},
        "label": {"names": classes, "_type": "ClassLabel"},
        "id": {"dtype": "string", "_type": "Value"},
    }
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    fields = [("image", image), ("label", pa.int64()), ("id", pa.string())]
    return pa.schema(fields, {"huggingface": json.dumps({"info": {"features": features}})})


WRITERS: dict[str, Callable[[Piece], Writer]] = {
    "imagefolder": ImageFolder,
    "webdataset": WebDataset,
    "parquet": Parquet,
}


def _with_suffix(file: str, image: bytes) -> str:
    """The file's name; where it has no suffix, with the usual one for what the bytes are."""
    if file.lower().endswith(SUFFIXES):
        return file
    kind = (picture.format_of(image) or "png").lower()
    return f"{file}.{'jpg' if kind == 'jpeg' else kind}"


def _link(source: Path, path: Path, image: bytes) -> bool:
    """Hard link `path` to `source` where that is the same image and on the same file system; whether it was done."""
    try:
        if source.stat().st_size != len(image) or source.read_bytes() != image:
            return False
        os.link(source.resolve(), path)
    except OSError:
        return False
    return True
