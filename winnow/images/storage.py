"""Locate encoded images, and read them in place through fsspec, on this machine or at a URL.

A place is three columns of the index. `file` is relative to a base folder or URL. `size` is the image's length in bytes
and `place` its first byte (0 in a file of its own, the member's offset in a tar shard); or `size` is ROW and `place`
the row of a Parquet file.
"""

import os
import stat
from collections.abc import Iterable, Iterator
from itertools import groupby, islice
from typing import Any, TypeVar

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem

from winnow import urls
from winnow.errors import InputError
from winnow.images import kinds

ROW = -1  # the size of an image that is a row of a Parquet file
WHOLE = 0  # the size of an image that is a whole file, before it was read
LIMIT = 256 * 2**20  # bytes of an encoded image: more is no image, and would fill the memory
OUTSIDE = "its path leads out of the source"
IMAGE_SUFFIXES = (
    ".jpg",
    ".jpeg",
    ".png",
    ".webp",
    ".gif",
    ".bmp",
    ".tif",
    ".tiff",
    ".avif",
    ".ppm",
    ".pgm",
    ".jp2",
    ".jfif",
    ".tga",
    ".heic",
)
# Of several columns of images in a Parquet file, the first of these names is read.
IMAGE_NAMES = ("image", "img", "images", "jpg", "jpeg", "png", "webp", "picture", "photo", "pixels", "input", "bytes")
NO_IMAGES = ("label", "labels", "class", "target")  # binary columns that hold text
BATCH = 64  # images asked for at a time, from Parquet or over a network; over a network at most LIMIT bytes, too

Place = tuple[str, int, int]
T = TypeVar("T")


def connect(base: str) -> tuple[Any, str]:
    """The file system of a folder, file or URL, and its path there.

    Raises:
        InputError: it must not be opened, or the package that speaks its protocol is not installed (`urls.connect`).
    """
    try:
        return urls.connect(base)
    except InputError as error:
        raise InputError(f"prepare.source: {error}") from error


def is_local(files: Any) -> bool:
    """Whether a file system is this machine's."""
    return isinstance(files, LocalFileSystem)


def read(base: str, places: pd.DataFrame, *, follow_links: bool = True) -> Iterator[bytes | OSError]:
    """Encoded images in the order of `places` (columns file, place, size), which is that of the source.

    A file that is gone or cannot be read is given as the error that it caused, so that others are read on.

    Args:
        base: the folder or URL that files are relative to.
        places: where the images are.
        follow_links: read what a link leads to outside `base`, too.

    Raises:
        InputError: a Parquet file cannot be read as one.
    """
    files, root = connect(base)
    inside = None if follow_links or not is_local(files) else os.path.realpath(root)
    columns = (places[name].tolist() for name in ("file", "place", "size"))
    for file, run in groupby(zip(*columns, strict=True), key=lambda place: place[0] if place[2] == ROW else None):
        if file is not None:
            if not urls.is_below(file) or leads_out(f"{root}/{file}", inside):
                raise InputError(f"prepare.source: {file!r} leads out of {base}")
            yield from rows(files, f"{root}/{file}", [row for _, row, _ in run])
        elif is_local(files):
            yield from (_local(root, name, start, size, inside) for name, start, size in run)
        else:
            yield from _remote(files, root, run)


def leads_out(path: str, folder: str | None) -> bool:
    """Whether a path leads out of a folder by a link. `folder` has no link in its own path; None: nothing leads out."""
    return folder is not None and not f"{os.path.realpath(path)}/".startswith(f"{folder.rstrip('/')}/")


def _local(root: str, name: str, start: int, size: int, inside: str | None) -> bytes | OSError:
    path = f"{root}/{name}"
    if not urls.is_below(name) or size < 0:
        return OSError(OUTSIDE)
    if leads_out(path, inside):
        return OSError(f"it is a link that leads out of {root}, and prepare.follow_links is false")
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return OSError("not a regular file")  # opening a pipe would block forever
        with open(path, "rb") as file:
            file.seek(start)
            data = file.read(min(size or LIMIT + 1, LIMIT + 1))
    except OSError as error:
        return error
    return _limited(data)


def _remote(files: Any, root: str, run: Iterable[Place]) -> Iterator[bytes | OSError]:
    """Images of one file each or of ranges, over a network.

    Of a file whose size is not known, only so much is asked for at first that a batch stays within LIMIT. One that is
    longer is then read alone.
    """
    first = LIMIT // BATCH
    for batch in _within(run, first):
        below = [place for place in batch if urls.is_below(place[0])]
        found = iter(_ranges(files, root, [(name, start, size or first) for name, start, size in below]))
        for name, start, size in batch:
            data = next(found) if urls.is_below(name) else OSError(OUTSIDE)
            if size == WHOLE and isinstance(data, bytes) and len(data) == first:
                (data,) = _ranges(files, root, [(name, start, LIMIT + 1)])
            yield _limited(data) if isinstance(data, bytes) else OSError(f"{type(data).__name__}: {data}")


def _ranges(files: Any, root: str, wanted: list[Place]) -> list[Any]:
    """Ranges of files, at once; errors in their place."""
    paths = [f"{root}/{name}" for name, _, _ in wanted]
    starts, ends = [start for _, start, _ in wanted], [start + min(size, LIMIT + 1) for _, start, size in wanted]
    return list(files.cat_ranges(paths, starts, ends, on_error="return"))


def _within(run: Iterable[Place], first: int) -> Iterator[list[Place]]:
    """Batches of at most BATCH images and LIMIT bytes (a larger image is a batch by itself); unknown: `first`."""
    batch, total = list[Place](), 0
    for place in run:
        size = place[2] or first
        if batch and (len(batch) == BATCH or total + size > LIMIT):
            yield batch
            batch, total = [], 0
        batch.append(place)
        total += size
    if batch:
        yield batch


def _limited(data: bytes) -> bytes | OSError:
    return data if len(data) <= LIMIT else OSError(f"larger than {LIMIT // 2**20} MiB")


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of `size` items, the last one shorter."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def open_file(files: Any, path: str) -> Any:
    """Open a file for reading, unless it is a pipe or a device, which could block the reader forever.

    Raises:
        OSError: it cannot be read.
    """
    if is_local(files) and not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError("it is not a regular file")
    return files.open(path, "rb")


def open_parquet(files: Any, path: str) -> pq.ParquetFile:
    """Open a Parquet file; as a context, it is closed at the end.

    Raises:
        InputError: it is none, or is gone.
    """
    try:
        if is_local(files):
            open_file(files, path).close()
        file = pq.ParquetFile(path if is_local(files) else files.open(path, "rb"))
        _ = file.schema_arrow.names  # are they text?
        return file
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"prepare.source: {path} is not a readable Parquet file ({said(files, path, error)})"
        ) from error


def said(files: Any, path: str, error: Exception) -> str:
    """What a file is that cannot be read as what its name says, such as a Git LFS pointer; else the error."""
    try:
        with open_file(files, path) as file:
            what = kinds.other(file.read(kinds.TEXT))
    except OSError:
        what = None
    if what and what not in ("Parquet", "a tar archive"):  # those are damaged
        return f"it is {what}"
    return getattr(error, "strerror", None) or (str(error.args[0]) if error.args else type(error).__name__)


def image_columns(schema: pa.Schema) -> list[str]:
    """The columns that may hold encoded images: the `bytes` of a struct, as the hub has it, or a binary column."""
    found = []
    for field in schema:
        if pa.types.is_struct(field.type) and field.type.get_field_index("bytes") >= 0:
            found.append(f"{field.name}.bytes")
        elif is_binary(field.type) and field.name.lower() not in NO_IMAGES:
            found.append(field.name)
    return found


def is_binary(kind: pa.DataType) -> bool:
    """Whether a column holds bytes."""
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind))


def image_column(schema: pa.Schema) -> str | None:
    """The column that holds the images; None if there is none.

    Of several the first that has one of the names IMAGE_NAMES, in any case; else the only struct.

    Raises:
        InputError: several columns hold images, and none has such a name.
    """
    found = image_columns(schema)
    names = {name.removesuffix(".bytes").lower(): name for name in reversed(found)}
    structs = [name for name in found if name.endswith(".bytes")]
    named = [names[name] for name in IMAGE_NAMES if name in names]
    if len(found) > 1 and not named and len(structs) != 1:
        raise InputError(
            f"prepare.source: several columns hold images: {', '.join(reversed(names))}; rename the one to use to "
            "`image`, or remove the others"
        )
    return next(iter(named or structs or found), None)


def rows(files: Any, path: str, wanted: list[int] | None = None) -> Iterator[bytes]:
    """Images of a Parquet file by row, in increasing order (None: all), a batch at a time; what is null is empty.

    Raises:
        InputError: the file is damaged, is no longer there, or has fewer rows.
    """
    with open_parquet(files, path) as parquet:
        try:
            yield from _rows(parquet, path, wanted)
        except (pa.ArrowException, OSError) as error:
            raise InputError(f"prepare.source: {path} is damaged ({error})") from error


def _rows(parquet: pq.ParquetFile, path: str, wanted: list[int] | None) -> Iterator[bytes]:
    first, column = 0, image_column(parquet.schema_arrow)
    todo = iter(range(parquet.metadata.num_rows) if wanted is None else wanted)
    row = next(todo, None)
    for group in range(parquet.num_row_groups):
        end = first + parquet.metadata.row_group(group).num_rows
        if row is not None and row < end:
            for batch in parquet.iter_batches(BATCH, row_groups=[group], columns=[column]):
                images = batch.column(0)
                if pa.types.is_struct(images.type):
                    images = images.field("bytes")
                while row is not None and row < first + len(batch):
                    yield images[row - first].as_py() or b""
                    row = next(todo, None)
                first += len(batch)
                if row is None:
                    return
        first = end
    if row is not None:
        raise InputError(f"prepare.source: {path} has {first} rows, and no row {row}: it has changed")
