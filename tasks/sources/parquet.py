"""Parquet files of images, as data sets are published on the hub: a struct with `bytes`, or a binary column."""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.errors import InputError
from tasks.images import storage
from tasks.sources.base import Source, counted, listed, named_split, split_of, to_classes

LARGEST_GROUP = 256 * 2**20  # bytes; a row is found by reading its group up to it, so larger groups are copied


def open_parquet(base: str, names: list[str], label: str, held_out: str | None) -> Source:
    """List the rows of files named for their splits; an id is the file's stem and the image's path or its row.

    Raises:
        InputError: a file cannot be read, or lacks a column of images or of labels.
    """
    files, root = storage.connect(base)
    splits = split_of({named_split(name) for name in names}, held_out)
    parts = {name: splits[named_split(name)] for name in names if named_split(name) in splits}
    opened = {name: storage.open_parquet(files, f"{root}/{name}") for name in parts}
    for name, file in opened.items():
        _check_columns(name, file.schema_arrow, label)
    labels = [_labels(name, file, label) for name, file in opened.items()]
    ids = [i for name, file in opened.items() for i in _ids(name, file)]
    if not ids:
        raise InputError(f"prepare.source: {next(iter(parts), base)} has no rows")
    numbers = [file.metadata.num_rows for file in opened.values()]
    places = {
        "file": np.repeat(np.array(list(parts), dtype=object), numbers),
        "place": np.concatenate([np.arange(n) for n in numbers]),
        "size": np.int64(storage.ROW),
    }
    classes, codes = _classes(next(iter(opened.values())), label, np.concatenate(labels), next(iter(parts)))
    table = listed(ids, codes, np.repeat(np.array(list(parts.values()), dtype=object), numbers).tolist(), places)
    in_place = all(_largest_group(file) <= LARGEST_GROUP for file in opened.values())
    return Source(base, classes, table, None if in_place else lambda: _all(files, root, list(parts)))


def _all(files: Any, root: str, names: list[str]) -> Iterator[bytes]:
    for name in names:
        yield from storage.rows(files, f"{root}/{name}")


def _largest_group(file: pq.ParquetFile) -> int:
    about = file.metadata
    return max((int(about.row_group(i).total_byte_size) for i in range(about.num_row_groups)), default=0)


def _check_columns(name: str, schema: pa.Schema, label: str) -> None:
    kind = schema.field(label).type if label in schema.names else None
    if kind is None or not (pa.types.is_integer(kind) or is_text(kind)):
        raise InputError(
            f"prepare.source: {name} has no column `{label}` of whole numbers or names (columns: {schema.names}); "
            "prepare.label names another"
        )
    if storage.image_column(schema) is None:
        raise InputError(
            f"prepare.source: {name} has no column of images, a struct with `bytes` or binary (columns: {schema.names})"
        )


def is_text(kind: pa.DataType) -> bool:
    """Whether a column holds text, dictionary-encoded or not."""
    plain = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(plain) or pa.types.is_large_string(plain))


def _column(name: str, file: pq.ParquetFile, column: str) -> pa.ChunkedArray:
    try:
        values = file.read(columns=[column]).column(0)
        values.validate(full=True)  # names that are not UTF-8, which reading does not look at
    except (pa.ArrowException, OSError, IndexError) as error:
        raise InputError(f"prepare.source: {name}: column `{column}` is damaged ({error})") from error
    if len(values) != file.metadata.num_rows:
        raise InputError(f"prepare.source: {name}: column `{column}` is damaged ({len(values)} rows, "
                         f"and the file states {file.metadata.num_rows})")  # fmt: skip
    return values


def _labels(name: str, file: pq.ParquetFile, label: str) -> np.ndarray:
    labels = _column(name, file, label).to_pandas()
    if labels.isna().any():
        raise InputError(f"prepare.source: {name}: row {labels.isna().argmax()} has no label")
    return labels.to_numpy(dtype=np.int64 if pd.api.types.is_numeric_dtype(labels) else object)


def _ids(name: str, file: pq.ParquetFile) -> list[str]:
    stem, column = name.removesuffix(".parquet"), str(storage.image_column(file.schema_arrow)).removesuffix(".bytes")
    kind = file.schema_arrow.field(column).type
    paths: list[str | None] = [None] * file.metadata.num_rows
    if pa.types.is_struct(kind) and (at := kind.get_field_index("path")) >= 0 and is_text(kind.field(at).type):
        paths = [row and row["path"] for row in _column(name, file, f"{column}.path").to_pylist()]
    return [f"{stem}/{path or f'{row:08d}'}" for row, path in enumerate(paths)]


def _classes(file: pq.ParquetFile, label: str, labels: np.ndarray, where: str) -> tuple[list[str], np.ndarray]:
    if labels.dtype == object:
        return to_classes(labels)
    return _class_names(file, label) or counted(labels, where), labels


def _class_names(file: pq.ParquetFile, label: str) -> list[str] | None:
    """Class names from the metadata that the hub puts into the schema."""
    try:
        metadata = json.loads((file.schema_arrow.metadata or {}).get(b"huggingface", b"{}"))
        names = metadata.get("info", {}).get("features", {}).get(label, {}).get("names")
    except (ValueError, AttributeError):
        return None
    return [str(name) for name in names] if isinstance(names, list) and names else None
