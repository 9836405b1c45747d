"""Read Parquet files of images, as published on the hub: a struct with `bytes`, or a binary column."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from winnow.errors import InputError
from winnow.images import storage
from winnow.names import quoted
from winnow.sources import labels, splits
from winnow.sources.base import SHOWN, Source, faults, find_column, listed

LARGEST_GROUP = 256 * 2**20  # bytes; a row is found by reading its group up to it, so larger groups are copied


@dataclass(frozen=True)
class FileRows:
    """What a file says of its n rows.

    Attributes:
        name: of the file.
        ids: (n,) the file's stem, and the image's path or its row.
        labels: (n,) texts, None where there is none.
        wrong: (n,) what each has instead of a label, "" if it has one.
        splits: (n,) names of splits.
        classes: the names in its schema; None if the labels are names themselves.
        notes: which columns were taken.
        largest: bytes of its largest row group.
        lost: (n,) bool, where img2dataset could not download the image.
    """

    name: str
    ids: np.ndarray
    labels: np.ndarray
    wrong: np.ndarray
    splits: np.ndarray
    classes: list[str] | None
    notes: list[str]
    largest: int
    lost: np.ndarray


def open_parquet(base: str, names: list[str], label: str, held_out: str | None) -> Source:
    """List the rows of files named for their splits; an id is the file's stem and the image's path or its row.

    If no file is named for a split, a column `split` says which rows are held out.

    Raises:
        InputError: a file cannot be read, or lacks a column of images or of labels; the first bad rows, and how many.
    """
    files, root = storage.connect(base)
    told = {name: splits.of_file(name) for name in names}
    by_file = held_out in told.values() or any(map(splits.known, told.values()))
    used = splits.roles(told.values(), held_out) if by_file else {}
    found, counts = [], Counter[str]()
    for name, split in told.items():
        with storage.open_parquet(files, f"{root}/{name}") as file:
            if by_file and split not in used:
                counts[split] += file.metadata.num_rows
            else:
                found.append(_rows(name, file, label, split if by_file else None))
    for rows in found:
        counts.update(rows.splits.tolist())
    roles = used if by_file else splits.roles(counts, held_out, strict=True)
    if not counts:
        raise InputError(f"prepare.source: {next(iter(names), base)} has no rows")
    found = _share_names(found)
    keep = [np.isin(rows.splits, list(roles)) & ~rows.lost for rows in found]
    for rows, kept in zip(found, keep, strict=True):
        _refuse_faulty(rows, kept)

    def joined(values: Iterable[np.ndarray]) -> np.ndarray:
        return np.concatenate([part[kept] for part, kept in zip(values, keep, strict=True)])

    classes, codes, notes = _classes(found, joined(rows.labels for rows in found), base)
    places = {
        "file": joined(np.full(len(rows.ids), rows.name, dtype=object) for rows in found),
        "place": joined(np.arange(len(rows.ids)) for rows in found),
        "size": np.int64(storage.ROW),
    }
    parts = [roles[split] for split in joined(rows.splits for rows in found)]
    table = listed(joined(rows.ids for rows in found).tolist(), codes, parts, places)
    in_place = all(rows.largest <= LARGEST_GROUP for rows in found)
    columns = dict.fromkeys(note for rows in found for note in rows.notes)
    said = [splits.note(counts, roles), *columns, *notes]
    if lost := sum(int(rows.lost.sum()) for rows in found):
        said.append(f"{lost} rows whose `status` is not success, and which have no image: passed over")
    return Source(
        base, classes, table, None if in_place else lambda: _all(files, root, table), tuple(filter(None, said))
    )


def _all(files: Any, root: str, table: pd.DataFrame) -> Iterator[bytes]:
    for name, rows in table.groupby("file", sort=False)["place"]:
        yield from storage.rows(files, f"{root}/{name}", rows.tolist())


def _rows(name: str, file: pq.ParquetFile, label: str, split: str | None) -> FileRows:
    """Read a file's rows without the images; `split` is the split in the file's name."""
    schema, about, notes = file.schema_arrow, file.metadata, []
    label_column, image = _columns(name, schema, label)
    said, wrong = labels.column(_column(name, file, label_column))
    classes = _class_names(schema, label_column) if _is_whole(schema.field(label_column).type) else None
    if classes is not None:
        said, wrong = _named(said, wrong, classes)
    if label_column != label:
        notes.append(f"labels are in the column `{label_column}`")
    others = [other.removesuffix(".bytes") for other in storage.image_columns(schema) if other != image]
    if others:
        notes.append(f"images are in the column `{image.removesuffix('.bytes')}`, of several ({', '.join(others)})")
    parts = np.full(about.num_rows, split or splits.TRAIN, dtype=object)
    if split is None and (split_column := _split_column(name, file, schema)):
        notes.append(f"splits are in the column `{split_column}`")
        parts = _texts(name, file, split_column)
    _refuse_absent(name, file, image)
    largest = max((int(about.row_group(i).total_byte_size) for i in range(about.num_row_groups)), default=0)
    ids = _ids(name, file, image)
    if len(set(ids)) < len(ids):
        notes.append("images are numbered, since several in a file have the same path")
        ids = _numbered(name, len(ids))
    return FileRows(name, ids, said, wrong, parts, classes, notes, largest, _lost(name, file, schema))


def _lost(name: str, file: pq.ParquetFile, schema: pa.Schema) -> np.ndarray:
    """The rows that img2dataset wrote for images which it could not download: they have a `status`, and no image."""
    if not {"url", "status", "key"} <= set(schema.names) or not is_text(schema.field("status").type):
        return np.zeros(file.metadata.num_rows, dtype=bool)
    status = _column(name, file, "status").to_pylist()
    return np.array([said != "success" for said in status], dtype=bool)


def _refuse_absent(name: str, file: pq.ParquetFile, image: str) -> None:
    """Refuse a file that has the paths of its images alone, by the types and statistics in its footer."""
    about = file.metadata
    place = next((i for i in range(about.num_columns) if about.schema.column(i).path == image), None)
    if place is None or not about.num_rows:
        return
    counts = [about.row_group(group).column(place).statistics for group in range(about.num_row_groups)]
    nulls = [count.null_count for count in counts if count is not None and count.has_null_count]
    kind = file.schema_arrow.field(image.removesuffix(".bytes")).type
    typeless = pa.types.is_struct(kind) and pa.types.is_null(kind.field("bytes").type)
    if typeless or (len(nulls) == len(counts) and sum(nulls) == about.num_rows):
        raise InputError(
            f"prepare.source: {name}: the column `{image.removesuffix('.bytes')}` holds no bytes, so its images lie "
            "elsewhere; write them into the file, as `datasets` does with embed_external_files=True"
        )


def _columns(name: str, schema: pa.Schema, label: str) -> tuple[str, str]:
    """The columns of labels and of images."""
    image = storage.image_column(schema)
    if image is None:
        raise InputError(
            f"prepare.source: {name} has no column of images, a struct with `bytes` or binary (columns: {schema.names})"
            f"{_why_none(schema, name)}"
        )
    found = find_column(schema.names, label)
    kind = schema.field(found).type if found else None
    if kind is not None and (pa.types.is_list(kind) or pa.types.is_large_list(kind)):
        raise InputError(
            f"prepare.source: {name}: the column `{found}` holds lists; an image must have one label. prepare.label "
            f"names another column (columns: {schema.names})"
        )
    if found is None or not _may_be_labels(kind):
        raise InputError(
            f"prepare.source: {name} has no column `{label}` of whole numbers or names (columns: {schema.names}); "
            "prepare.label names another"
        )
    return found, image


def _why_none(schema: pa.Schema, name: str) -> str:
    """What to do about columns that are nearly one of images."""
    for field in schema:
        if pa.types.is_list(field.type) and storage.image_column(pa.schema([("image", field.type.value_type)])):
            return f"; `{field.name}` holds lists of images, and a sample has one"
        if field.name.lower() in storage.IMAGE_NAMES and is_text(field.type):
            return f"; `{field.name}` holds text, and an image must be there as bytes"
    stem = name.removesuffix(".parquet")
    if {"url", "status"} & set(schema.names):
        return (
            f"; it tells of images that lie elsewhere ({stem}.tar, or the folder {stem}): img2dataset writes them as "
            "tar shards with --output_format webdataset"
        )
    return ""


def _may_be_labels(kind: pa.DataType) -> bool:
    plain = kind.value_type if pa.types.is_dictionary(kind) else kind
    one_of = pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_decimal, pa.types.is_null
    return is_text(kind) or storage.is_binary(plain) or any(is_one(plain) for is_one in one_of)


def _is_whole(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def is_text(kind: pa.DataType) -> bool:
    """Whether a column holds text, dictionary-encoded or not."""
    plain = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(plain) or pa.types.is_large_string(plain) or pa.types.is_string_view(plain))


def _column(name: str, file: pq.ParquetFile, column: str) -> pa.ChunkedArray:
    try:
        values = file.read(columns=[column]).column(0)
        values.validate(full=True)  # names that are not UTF-8, which reading does not look at
    except (pa.ArrowException, OSError, IndexError) as error:
        raise InputError(f"prepare.source: {name}: column `{column}` is damaged ({error})") from error
    if len(values) != file.metadata.num_rows:
        raise InputError(
            f"prepare.source: {name}: column `{column}` is damaged ({len(values)} rows, "
            f"and the file states {file.metadata.num_rows})"
        )
    return values


def _split_column(name: str, file: pq.ParquetFile, schema: pa.Schema) -> str | None:
    """The column that tells the split: `split`, or another of splits.COLUMNS if all that it holds names splits."""
    if found := find_column(schema.names, "split"):
        return None if pa.types.is_nested(schema.field(found).type) else found
    for found in splits.columns([field.name for field in schema if is_text(field.type)]):
        values = _column(name, file, found).unique().to_pylist()
        one = found.strip().casefold() in splits.COLUMNS and all(value and splits.known(value) for value in values)
        if one or splits.are_names(values):  # a file may hold one split
            return found
    return None


def _texts(name: str, file: pq.ParquetFile, column: str) -> np.ndarray:
    said, wrong = labels.column(_column(name, file, column))
    bad = np.flatnonzero(wrong != "")
    if len(bad):
        raise faults(name, [f"row {row} has no `{column}`" for row in bad[:SHOWN]], len(bad))
    return said


def _ids(name: str, file: pq.ParquetFile, image: str) -> np.ndarray:
    stem, at = name.removesuffix(".parquet"), image.removesuffix(".bytes")
    kind = file.schema_arrow.field(at).type
    paths: list[str | None] = [None] * file.metadata.num_rows
    if pa.types.is_struct(kind) and (field := kind.get_field_index("path")) >= 0 and is_text(kind.field(field).type):
        paths = [row and row["path"] for row in _column(name, file, f"{at}.path").to_pylist()]
    return np.array([f"{stem}/{path or f'{row:08d}'}" for row, path in enumerate(paths)], dtype=object)


def _numbered(name: str, rows: int) -> np.ndarray:
    return np.array([f"{name.removesuffix('.parquet')}/{row:08d}" for row in range(rows)], dtype=object)


def _named(said: np.ndarray, wrong: np.ndarray, classes: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Numbers as the names that the schema has for them."""
    names = {str(number): name for number, name in enumerate(classes)} | {None: None}
    found = np.array([names.get(number) for number in said], dtype=object)
    outside = np.array([number not in names for number in said], dtype=bool)
    told = [
        f"label {number}, outside the {len(classes)} classes" + (", so no label" if number[0] == "-" else "")
        for number in said[outside]
    ]
    wrong = wrong.copy()
    wrong[outside] = told
    return found, wrong


def _refuse_faulty(rows: FileRows, used: np.ndarray) -> None:
    bad = np.flatnonzero((rows.wrong != "") & used)
    if len(bad):
        shown = [f"row {row}, {rows.ids[row]} has {rows.wrong[row]}" for row in bad[:SHOWN]]
        raise faults(rows.name, shown, len(bad))


def _classes(found: list[FileRows], said: np.ndarray, where: str) -> tuple[list[str], np.ndarray, list[str]]:
    """Class names and codes: in the order of the schemas, where they have names, and matched by name among files."""
    if all(rows.classes is None for rows in found):
        return labels.classes(said, where)
    lists = [rows.classes for rows in found if rows.classes is not None]
    order = list(dict.fromkeys(name for names in lists for name in names))
    order += sorted(set(said) - set(order))  # of files that have texts for labels
    notes = []
    if any(names != lists[0] for names in lists):
        notes.append(f"the files list their classes differently; the {len(order)} classes are matched by name")
    number = {name: code for code, name in enumerate(order)}
    return order, np.array([number[name] for name in said], dtype=np.int64), notes


def _share_names(found: list[FileRows]) -> list[FileRows]:
    """Give the class names in the schemas to files with numbers for labels that have none."""
    lists = [rows.classes for rows in found if rows.classes is not None]
    if not lists:
        return found
    shared = []
    for rows in found:
        if rows.classes is None and labels.are_numbers(rows.labels):
            if any(names != lists[0] for names in lists):
                raise InputError(
                    f"prepare.source: {rows.name} has numbers for labels and no class names in its schema, and the "
                    "other files number their classes differently; write its labels as names"
                )
            said, wrong = _named(rows.labels, rows.wrong, lists[0])
            shared.append(replace(rows, labels=said, wrong=wrong, classes=lists[0]))
        else:
            shared.append(rows)
    return shared


def _class_names(schema: pa.Schema, label: str) -> list[str] | None:
    """Class names from the metadata that the hub puts into the schema."""
    try:
        metadata = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        names = metadata.get("info", {}).get("features", {}).get(label, {}).get("names")
    except (ValueError, AttributeError, RecursionError):
        return None
    if not isinstance(names, list) or not names:
        return None
    for name, count in Counter(map(str, names)).items():
        if count > 1:
            raise InputError(f"prepare.source: the metadata names two labels {quoted(name)}; each must be unique")
    return [str(name) for name in names]
