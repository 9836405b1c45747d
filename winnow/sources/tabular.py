"""Read tables as programs write them: CSV with any separator or encoding, JSON lines, Parquet."""

import csv as rows_of_text
import io
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
from pyarrow import csv

from winnow import text
from winnow.errors import InputError
from winnow.images import kinds, storage
from winnow.sources.base import SHOWN, faults

JSON = (".jsonl", ".ndjson")
SUFFIXES = (".csv", ".tsv", *JSON)
HEAD = 2**16  # bytes in which the first line of a CSV ends
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
SEP_LINE = re.compile(r"sep=(.)\r?\n", re.IGNORECASE)  # the first line that Excel takes for a separator

Wanted = Callable[[list[str]], Iterable[str] | None]


@dataclass(frozen=True)
class Table:
    """A table, or the columns of it that were asked for.

    Attributes:
        header: the names of all its columns.
        columns: values by name.
        first: the number of the first row, as an editor or a data frame counts it.
        notes: how it was read.
    """

    header: list[str]
    columns: dict[str, pa.ChunkedArray | list[Any]]
    first: int
    notes: list[str] = field(default_factory=list)


def read(base: str, name: str, wanted: Wanted) -> Table:
    """Read the columns of a table that `wanted` chooses by their names (None: it lacks some).

    Raises:
        InputError: it cannot be read, has a wanted column twice, or rows with too few or too many values.
    """
    files, root = storage.connect(base)
    try:
        if name.lower().endswith(".parquet"):
            return _parquet(files, f"{root}/{name}", name, wanted)
        with storage.open_file(files, f"{root}/{name}") as file:
            if name.lower().endswith(JSON):
                return _json_lines(file.read(), name, wanted)
            return _csv(file, name, wanted)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise InputError(f"prepare.source: {name} cannot be read as a table ({error})") from error


def _chosen(header: list[str], wanted: Wanted, name: str) -> list[str]:
    chosen = list(dict.fromkeys(wanted(header) or []))
    if twice := [column for column in chosen if header.count(column) > 1]:
        raise InputError(f"prepare.source: {name} has the column `{twice[0]}` twice")
    return chosen


def _parquet(files: Any, path: str, name: str, wanted: Wanted) -> Table:
    with storage.open_parquet(files, path) as file:
        header = list(file.schema_arrow.names)
        table = file.read(columns=_chosen(header, wanted, name))
        table.validate(full=True)  # texts that are not UTF-8, which reading does not look at
    return Table(header, dict(zip(table.column_names, table.columns, strict=True)), 0)


def _json_lines(data: bytes, name: str, wanted: Wanted) -> Table:
    rows: list[dict[str, Any]] = []
    lines = text.decode(data, f"prepare.source: {name}").split("\n")
    bad = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if isinstance(row, dict):
            rows.append(row)
        else:
            bad.append(f"row {number}: no JSON object: {line[:80]!r}")
    if bad:
        raise faults(name, bad, len(bad))
    header = list(dict.fromkeys(key for row in rows for key in row))
    chosen = _chosen(header, wanted, name)
    return Table(header, {column: [row.get(column) for row in rows] for column in chosen}, 1)


def _csv(file: Any, name: str, wanted: Wanted) -> Table:
    head = file.read(HEAD)
    if kinds.refusal(head):
        raise InputError(f"prepare.source: {name} cannot be read as a table (it is {kinds.other(head)})")
    if head.startswith(text.UTF16):
        file = io.BytesIO(text.utf8(head + file.read(), f"prepare.source: {name}"))
        head = file.read(HEAD)
    file.seek(0)
    start = head.decode("utf-8-sig", "replace").lstrip("\r\n")
    if "\0" in start.partition("\n")[0]:
        raise InputError(
            f"prepare.source: {name} is not in UTF-8: its first line holds zeros, as UTF-16 does; save it as UTF-8"
        )
    named = SEP_LINE.match(start)
    usual = named[1] if named else "\t" if name.lower().endswith(".tsv") else ","
    separator, header = _header(start[named.end() if named else 0 :], usual, wanted)
    if not header:
        raise InputError(f"prepare.source: {name} cannot be read as a table (it is empty, or no text)")
    chosen = _chosen(header, wanted, name)
    if not chosen:
        return Table(header, {}, 2)
    bad = BadRows()
    table = csv.read_csv(
        file,
        read_options=csv.ReadOptions(use_threads=False, skip_rows=int(bool(named))),  # rows have numbers only so
        parse_options=csv.ParseOptions(delimiter=separator, invalid_row_handler=bad.add, newlines_in_values=True),
        convert_options=csv.ConvertOptions(column_types=dict.fromkeys(chosen, pa.binary()), include_columns=chosen),
    )
    if bad.count:
        raise faults(name, bad.shown, bad.count)
    notes = [] if separator == usual else [f"{name} has {SEPARATORS[separator]} between its values"]
    if '"' in start or table.num_rows == 0:
        notes += _broken(file, name, table.num_rows)
    return Table(header, dict(zip(table.column_names, table.columns, strict=True)), 3 if named else 2, notes)


def _broken(file: Any, name: str, rows: int) -> list[str]:
    """A word on values with line breaks, which a quote that is not closed makes of rows, so that these are lost."""
    file.seek(0)
    lines = sum(1 for line in file if line.strip()) - 1
    if lines <= rows:
        return []
    return [f"{lines} lines of {name} are {rows} rows, since values hold line breaks; is a quote not closed?"]


def _header(start: str, usual: str, wanted: Wanted) -> tuple[str, list[str]]:
    """The separator with which the first line names the wanted columns, else the usual one, and the names."""
    for separator in dict.fromkeys((usual, *SEPARATORS)):
        header = _first_row(start, separator)
        if wanted(header):
            return separator, header
    return usual, _first_row(start, usual)


def _first_row(start: str, separator: str) -> list[str]:
    try:
        return next(rows_of_text.reader(io.StringIO(start, newline=""), delimiter=separator), [])
    except rows_of_text.Error:
        return []


class BadRows:
    """Rows of a CSV with too few or too many values: the first few, and how many there are."""

    def __init__(self) -> None:
        self.shown: list[str] = []
        self.count = 0

    def add(self, row: csv.InvalidRow) -> str:
        """Set a row down, and go on."""
        if row.text.strip(" ,;\t|"):
            self.count += 1
            if self.count <= SHOWN:
                words = row.text if len(row.text) < 80 else row.text[:80] + "..."
                values = f"{row.actual_columns} values for {row.expected_columns} columns"
                self.shown.append(f"row {row.number}: {values}: {words!r}")
        return "skip"
