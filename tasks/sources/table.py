"""A table of paths and labels, CSV or Parquet: images stay where they are, below the table's folder."""

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import csv

from tasks import urls
from tasks.errors import InputError
from tasks.images import storage
from tasks.sources.base import SHOWN, Source, counted, faults, listed, split_of, to_classes

PATHS = ("path", "file_name", "filename", "file", "image")  # the first that is there holds the paths


def open_table(base: str, name: str, label: str, held_out: str | None) -> Source:
    """List a table with a column of paths, relative to its folder, and one of labels; `split` and `id` are optional.

    An id is the path where there is no column of ids. Labels are names, or whole numbers from 0.

    Raises:
        InputError: the table cannot be read, lacks a column, or has bad rows: the first few by number, and how many.
    """
    table = _read(base, name, [*PATHS, label, "split", "id"])
    path = next((column for column in PATHS if column in table.column_names), None)
    if path is None or label not in table.column_names:
        raise InputError(
            f"prepare.source: {name} needs a column of paths ({', '.join(PATHS)}) and `{label}` of labels "
            f"(columns: {table.column_names}); prepare.label names another"
        )
    rows = _checked(name, table, path, label)
    splits = split_of(set(rows["split"]), held_out)
    rows = rows[rows["split"].isin(splits)]
    classes, codes = _labels(rows[label].tolist(), name)
    ids, parts = rows["id" if "id" in rows else path].tolist(), rows["split"].map(splits).tolist()
    return Source(base, classes, listed(ids, codes, parts, {"file": rows[path].to_numpy(dtype=object)}))


def paths(base: str, name: str) -> list[str]:
    """The paths of a table that stay below its folder, as they stand there; nothing else is checked."""
    table = _read(base, name, list(PATHS))
    column = next((column for column in PATHS if column in table.column_names), None)
    texts = map(_text, table[column].to_pylist()) if column else ()
    return [text for text in texts if text is not None and is_below(text)]


def _read(base: str, name: str, columns: list[str]) -> pa.Table:
    files, root = storage.connect(base)
    bad = BadRows()
    try:
        if name.endswith(".parquet"):
            table = storage.open_parquet(files, f"{root}/{name}").read()
            table.validate(full=True)  # texts that are not UTF-8, which reading does not look at
        else:
            with files.open(f"{root}/{name}", "rb") as file:
                table = csv.read_csv(
                    file,
                    read_options=csv.ReadOptions(use_threads=False),  # rows have numbers only so
                    parse_options=csv.ParseOptions(delimiter="\t" if name.endswith(".tsv") else ",",
                                                   invalid_row_handler=bad.add, newlines_in_values=True),
                    convert_options=csv.ConvertOptions(column_types={column: pa.binary() for column in columns}),
                )  # fmt: skip
        twice = [column for column in columns if table.column_names.count(column) > 1]
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise InputError(f"prepare.source: {name} cannot be read as a table ({error})") from error
    if twice:
        raise InputError(f"prepare.source: {name} has the column `{twice[0]}` twice")
    if bad.count:
        raise faults(name, bad.shown, bad.count)
    return table


class BadRows:
    """Rows of a CSV with too few or too many values: the first few, and how many there are."""

    def __init__(self) -> None:
        self.shown: list[str] = []
        self.count = 0

    def add(self, row: csv.InvalidRow) -> str:
        """Set a row down, and go on."""
        self.count += 1
        if self.count <= SHOWN:
            text = row.text if len(row.text) < 80 else row.text[:80] + "..."
            values = f"{row.actual_columns} values for {row.expected_columns} columns"
            self.shown.append(f"row {row.number}: {values}: {text!r}")
        return "skip"


def _text(value: Any) -> str | None:
    """A value as text; None for what is missing, blank or not UTF-8."""
    try:
        return (value.decode() if isinstance(value, bytes) else "" if value is None else str(value)).strip() or None
    except UnicodeDecodeError:
        return None


def _checked(name: str, table: pa.Table, path: str, label: str) -> pd.DataFrame:
    """The columns that count, as text; `split` is "train" where there is none."""
    kept = [column for column in dict.fromkeys((path, label, "split", "id")) if column in table.column_names]
    rows = pd.DataFrame({column: pd.Series(map(_text, table[column].to_pylist()), dtype=object) for column in kept})
    faulty = pd.Series("", rows.index, dtype=object)
    outside = ~rows[path].map(lambda value: value is None or is_below(value)).astype(bool)
    faulty[outside] = "its path leads out of the table's folder, which paths are relative to: "
    for column in kept:
        faulty[rows[column].isna()] = f"no `{column}`, or not in UTF-8: "
    if count := int((faulty != "").sum()):
        first = 0 if name.endswith(".parquet") else 2  # a CSV's rows are counted with its head, as an editor has them
        bad = faulty[faulty != ""][:SHOWN]
        shown = [f"row {row + first}: {bad[row]}{rows.loc[row].tolist()}" for row in bad.index.tolist()]
        raise faults(name, shown, count)
    return rows if "split" in rows else rows.assign(split="train")


def is_below(path: str) -> bool:
    """Whether a relative path stays in the folder that it starts from."""
    return urls.is_below(path) and not (path.startswith("~") or "://" in path)


def _labels(texts: list[str], name: str) -> tuple[list[str], np.ndarray]:
    if texts and all(text.isdecimal() and text.isascii() and len(text) < 10 for text in texts):
        codes = np.array([int(text) for text in texts])
        return counted(codes, name), codes
    return to_classes(texts)
