"""Append answers to corrections.csv: each is on the disk before the next is asked for, and two people lose nothing."""

import csv
import io
import os
from collections.abc import Mapping
from pathlib import Path

from winnow import text
from winnow.corrections import COLUMNS, SAMPLE
from winnow.files import locks, outputs

HEADER = [*COLUMNS, SAMPLE]


def append(path: Path, row: Mapping[str, str]) -> None:
    """Add a row, whose keys are among the columns of corrections.csv; other rows stay as they are.

    A file that lacks a column, or that a spreadsheet saved with other separators or another encoding, is written anew
    with the same rows. Others who append wait meanwhile.
    """
    with locks.locked(locks.of(path), f"writes {path}"):
        data = path.read_bytes() if path.exists() else b""
        words = text.decode(data, str(path))
        separator = max(",;\t", key=words.partition("\n")[0].count)
        rows = list(csv.reader(io.StringIO(words, newline=""), delimiter=separator))
        header = [name.strip().lower() for name in rows[0]] if rows else []
        if separator == "," and set(HEADER) <= set(header) and data.decode("utf-8", "replace") == words:
            gap = "" if words.endswith(("\n", "\r")) else "\n"
            _add(path, gap + _line([row.get(name, "") for name in header]))
            return
        every = header + [name for name in HEADER if name not in header]
        filled = [each + [""] * (len(every) - len(each)) for each in rows[1:]]
        lines = [every, *filled, [row.get(name, "") for name in every]]
        with outputs.whole_file(path) as partial:
            partial.write_text("".join(map(_line, lines)), encoding="utf-8")


def _line(values: list[str]) -> str:
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerow(values)
    return file.getvalue()


def _add(path: Path, line: str) -> None:
    """Write at the end, all at once, and wait for the disk."""
    with path.open("ab", buffering=0) as file:
        file.write(line.encode())
        os.fsync(file.fileno())
