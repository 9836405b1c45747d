"""Where labelled images come from: an image folder, or Parquet files as image data sets are published on the hub.

A source is listed first (cheap, no image is read), so that bad input is refused before the long work, and read after.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.errors import InputError

TEST_NAMES = ("test", "validation", "valid", "val")  # the first that is there is held out


@dataclass(frozen=True)
class Source:
    """What a source holds.

    Attributes:
        classes: class names.
        table: id, label, split ("train" or "test"); a row an image.
        read: gives the encoded images one after the other, in the order of `table`.
    """

    classes: list[str]
    table: pd.DataFrame
    read: Callable[[], Iterator[bytes]]


def open_source(path: Path) -> Source:
    """List what lies at `path`.

    Raises:
        InputError: nothing can be read there, a class has no image, an id stands twice, or a label has no class.
    """
    if not path.exists():
        raise InputError(f"prepare.source: {path} does not exist")
    files = [path] if path.suffix == ".parquet" else sorted(path.glob("*.parquet"))
    if not files and not path.is_dir():
        raise InputError(f"prepare.source: {path} is neither an image folder nor Parquet (.parquet)")
    source = _parquet(files) if files else _image_folder(path)
    _check(path, source)
    return source


def _check(path: Path, source: Source) -> None:
    table = source.table
    if (twice := table["id"].duplicated()).any():
        raise InputError(f"prepare.source: {path} has the id {table['id'][twice].iloc[0]!r} twice; each must be unique")
    outside = table[~table["label"].between(0, len(source.classes) - 1)]
    if len(outside):
        name, label = outside.iloc[0][["id", "label"]]
        raise InputError(
            f"prepare.source: {name} has label {label}, outside the {len(source.classes)} classes of {path}"
        )
    counts = np.bincount(table.loc[table["split"] == "train", "label"], minlength=len(source.classes))
    if (counts == 0).any():
        name = source.classes[counts.argmin()]
        raise InputError(f"prepare.source: class {name!r} of {path} has no image to choose from; add some or remove it")


def _split_of(name: str, names: set[str]) -> str | None:
    """Whether the part called `name`, among `names`, is chosen from, held out or left alone."""
    if "train" not in names:
        return "train"
    held_out = next((test for test in TEST_NAMES if test in names), None)
    return {"train": "train", held_out: "test"}.get(name)


def _image_folder(path: Path) -> Source:
    """A folder a class, at the top or within a folder a split; an id is the path below `path`."""
    from torchvision.datasets.folder import find_classes, make_dataset

    names = {child.name for child in path.iterdir() if child.is_dir()}
    roots = {path / name: _split_of(name, names) for name in sorted(names)} if "train" in names else {path: "train"}
    files, labels, splits = [], [], []
    try:
        classes, to_index = find_classes(str(next(root for root, split in roots.items() if split == "train")))
    except FileNotFoundError as error:
        raise InputError(f"prepare.source: {path} has no folders; an image folder has one for each class") from error
    for root, split in roots.items():
        if split is None:
            continue
        if split == "test" and (extra := set(find_classes(str(root))[0]) - set(classes)):
            raise InputError(
                f"prepare.source: {root} has the class {min(extra)!r}, which is not among the training images"
            )
        # Every file but hidden ones: what turns out to be no image is set aside with its reason, not passed over.
        found = make_dataset(str(root), to_index, is_valid_file=_not_hidden, allow_empty=True)
        files += [Path(file) for file, _ in found]
        labels += [label for _, label in found]
        splits += [split] * len(found)
    ids = [file.relative_to(path).as_posix() for file in files]
    return Source(classes, _table(ids, labels, splits), lambda: (file.read_bytes() for file in files))


def _not_hidden(file: str) -> bool:
    return not Path(file).name.startswith(".")


def _parquet(files: list[Path]) -> Source:
    """Parquet files with a column of images and a column `label`; an id is the file's stem and its path or row."""
    split = {file: file.name.removesuffix(".parquet").split("-")[0] for file in files}
    splits = set(split.values())
    parts = [(file, kind) for file in files if (kind := _split_of(split[file], splits))]
    columns = {file: _image_column(file) for file, _ in parts}
    tables = [_list_parquet(file, columns[file], kind) for file, kind in parts]
    table = pd.concat(tables, ignore_index=True)
    if table.empty:
        raise InputError(f"prepare.source: {files[0]} has no rows")
    names = _class_names(files[0])
    if names is None and table["label"].max() >= len(table):
        raise InputError(f"prepare.source: {files[0]}: label {table['label'].max()} is higher than there are images")
    classes = names or [str(label) for label in range(int(table["label"].max()) + 1)]
    return Source(classes, table, lambda: (data for file, _ in parts for data in _read_parquet(file, columns[file])))


def _image_column(file: Path) -> str:
    """The name of the column that holds images: a struct with `bytes`."""
    try:
        schema = pq.read_schema(file)
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(f"prepare.source: {file} is not a readable Parquet file ({error})") from error
    if "label" not in schema.names or not pa.types.is_integer(schema.field("label").type):
        raise InputError(f"prepare.source: {file} has no column `label` of whole numbers (columns: {schema.names})")
    for field in schema:
        if pa.types.is_struct(field.type) and field.type.get_field_index("bytes") >= 0:
            return str(field.name)
    raise InputError(f"prepare.source: {file} has no column of images, a struct with `bytes` (columns: {schema.names})")


def _list_parquet(file: Path, column: str, split: str) -> pd.DataFrame:
    rows = pq.ParquetFile(file).read(columns=[f"{column}.path", "label"])
    paths = rows[column].combine_chunks().field("path") if column in rows.column_names else [None] * len(rows)
    ids = [f"{file.stem}/{path or f'{row:08d}'}" for row, path in enumerate(map(_plain, paths))]
    labels = rows["label"].to_pandas()
    if labels.isna().any():
        raise InputError(f"prepare.source: {file}: row {labels.isna().argmax()} has no label")
    return _table(ids, labels.astype(np.int64).tolist(), [split] * len(ids))


def _plain(path: pa.Scalar | None) -> str | None:
    return path.as_py() if path is not None else None


def _class_names(file: Path) -> list[str] | None:
    """Class names from the metadata that the hub puts into the schema."""
    metadata = json.loads((pq.read_schema(file).metadata or {}).get(b"huggingface", b"{}"))
    names = metadata.get("info", {}).get("features", {}).get("label", {}).get("names")
    return [str(name) for name in names] if names else None


def _read_parquet(file: Path, column: str) -> Iterator[bytes]:
    for batch in pq.ParquetFile(file).iter_batches(256, columns=[f"{column}.bytes"]):
        for data in batch.column(0).field("bytes"):
            yield data.as_py() or b""


def _table(ids: list[str], labels: list[int], splits: list[str]) -> pd.DataFrame:
    return pd.DataFrame({"id": ids, "label": np.array(labels, np.int64), "split": splits})
