"""Read a table of paths and labels (CSV, JSON lines or Parquet) whose images are in its folder."""

import math
import os
import re
from collections import Counter
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from winnow import urls
from winnow.errors import InputError
from winnow.images import storage
from winnow.sources import labels, misplaced, splits, tabular
from winnow.sources.base import SHOWN, Source, faults, find_column, listed
from winnow.sources.tabular import Table

# The columns that may hold paths: the first that is there does.
PATHS = (
    "path",
    "file_name",
    "filename",
    "file",
    "image",
    "image_path",
    "img_path",
    "file_path",
    "filepath",
    "img",
    "image_name",
    "image_file",
    "image_filename",
    "image_id",
)
DRIVE = re.compile(r"[A-Za-z]:[\\/]")
URL = re.compile(r"^[a-z][a-z0-9+.]*://", re.IGNORECASE)

Parts = dict[str, str]  # the columns that count, by what they hold: path, label, split, id


def open_table(base: str, name: str, label: str, held_out: str | None) -> Source:
    """List a table with a column of paths, relative to its folder, and one of labels; `split` and `id` are optional.

    An id is the path where there is no column of ids.

    Raises:
        InputError: the table cannot be read, lacks a column, or has bad rows: the first few by number, and how many.
    """
    table = tabular.read(base, name, lambda header: _wanted(header, label))
    parts, notes = _parts(table.header, label), list(table.notes)
    if not parts:
        raise _no_columns(name, table.header, label)
    if "split" not in parts and (column := _split_column(table, parts)):
        parts["split"] = column
    notes += _said(table.header, parts, label)
    rows = pd.DataFrame({part: _texts(table.columns[parts[part]]) for part in parts if part != "label"}, dtype=object)
    for part, values in zip(("label", "wrong"), labels.column(table.columns[parts["label"]]), strict=True):
        rows[part] = pd.Series(values, dtype=object)  # else pandas makes None of it NaN
    blank = rows.drop(columns="wrong").isna().all(axis=1)
    if blank.any() and not name.endswith(".parquet"):
        notes.append(f"{blank.sum()} empty rows of {name} are passed over")
        rows = rows[~blank]
    _refuse_faulty(name, rows, [part for part in parts if part != "label"], parts, table.first)
    if "split" not in rows:
        told = splits.of_paths(rows["path"].str.replace("\\", "/"))
        rows["split"] = told or splits.TRAIN
        notes += ["splits are in the paths"] if told else []
    counts = Counter(rows["split"].tolist())
    roles = splits.roles(counts, held_out, strict=True)
    rows = rows[rows["split"].isin(roles)]
    _refuse_faulty(name, rows, ["label"], parts, table.first)
    file, changed = resolved(base, rows["path"].tolist())
    if changed:
        notes.append(f"{changed} paths have backslashes, as on Windows; they are read as slashes")
    if where := misplaced.hint(base, name, file):
        raise InputError(f"prepare.source: {name}: none of the {len(file)} images is there; {where}")
    classes, codes, said = labels.classes(rows["label"].to_numpy(), name)
    ids = rows["id"].tolist() if "id" in rows else file
    listing = listed(ids, codes, rows["split"].map(roles).tolist(), {"file": np.array(file, dtype=object)})
    return Source(base, classes, listing, None, tuple(filter(None, [splits.note(counts, roles), *notes, *said])))


def paths(base: str, name: str) -> list[str]:
    """The paths of a table that stay below its folder, as they are read; nothing else is checked."""
    table = tabular.read(base, name, lambda header: filter(None, [_path_column(header)]))
    column = _path_column(table.header)
    texts = _texts(table.columns[column]) if column else []
    return resolved(base, [text for text in texts if text is not None and is_below(text)])[0]


def _path_column(header: list[str]) -> str | None:
    exact = [name for name in PATHS if name in header]
    return next(filter(None, [*exact, *(find_column(header, name) for name in PATHS)]), None)


def _parts(header: list[str], label: str) -> Parts:
    """The columns that count; empty if that of paths or labels is not there."""
    path, said = _path_column(header), find_column(header, label)
    if path is None or said is None:
        return {}
    split = find_column(header, "split")
    return (
        {"path": path, "label": said} | ({"split": split} if split else {}) | ({"id": "id"} if "id" in header else {})
    )


def _wanted(header: list[str], label: str) -> list[str]:
    parts = _parts(header, label)
    return [*parts.values(), *_may_split(header, parts)] if parts else []


def is_table(header: list[str]) -> bool:
    """Whether these columns are those of a table of paths."""
    return _path_column(header) is not None


def _may_split(header: list[str], parts: Parts) -> list[str]:
    return [name for name in splits.columns(header) if header.count(name) == 1 and name not in parts.values()]


def _split_column(table: Table, parts: Parts) -> str | None:
    """Another column than `split`, if all that it holds are names of splits."""
    for column in _may_split(table.header, parts):
        if splits.are_names(text for text in _texts(table.columns[column]) if text):
            return column
    return None


def _said(header: list[str], parts: Parts, label: str) -> list[str]:
    """Which columns were taken, where that was a choice."""
    notes = []
    if others := [name for name in header if name != parts["path"] and name.strip().lower() in PATHS]:
        notes.append(f"paths are in the column `{parts['path']}`, of several ({', '.join(others)})")
    if parts["label"] != label:
        notes.append(f"labels are in the column `{parts['label']}`")
    if parts.get("split", "split") != "split":
        notes.append(f"splits are in the column `{parts['split']}`")
    elif "split" not in parts and (about := [name for name in header if splits.known(name.removeprefix("is_"))]):
        notes.append(f"the column `{about[0]}` is not read; a column `split` says what is held out")
    return notes


def _no_columns(name: str, header: list[str], label: str) -> InputError:
    if any(PurePosixPath(value).suffix.lower() in storage.IMAGE_SUFFIXES for value in header):
        return InputError(
            f"prepare.source: the first line of {name} names no columns ({header}); begin it with a line such as "
            "path,label"
        )
    return InputError(
        f"prepare.source: {name} needs a column of paths ({', '.join(PATHS[:5])} ...) and `{label}` of labels "
        f"(columns: {header}); prepare.label names another"
    )


def _texts(values: pa.ChunkedArray | list[Any]) -> list[str | None]:
    return [_text(value) for value in (values if isinstance(values, list) else values.to_pylist())]


def _text(value: Any) -> str | None:
    """A value as text; None for what is missing, blank, several values or not UTF-8."""
    if value is None or isinstance(value, (list, dict)) or (isinstance(value, float) and math.isnan(value)):
        return None
    try:
        return (value.decode() if isinstance(value, bytes) else str(value)).strip() or None
    except UnicodeDecodeError:
        return None


def _refuse_faulty(name: str, rows: pd.DataFrame, check: list[str], parts: Parts, first: int) -> None:
    """Refuse rows in which one of the columns `check` is at fault."""
    faulty = pd.Series("", rows.index, dtype=object)
    if "path" in check:
        outside = ~rows["path"].map(lambda value: value is None or is_below(value)).astype(bool)
        faulty[outside] = "its path leads out of the table's folder, which paths are relative to: "
        remote = outside & rows["path"].str.contains(URL, na=False)
        faulty[remote] = "its path is a URL, and images are read from the table's folder; download them there: "
        drives = outside & rows["path"].map(lambda value: bool(value and DRIVE.match(value))).astype(bool)
        faulty[drives] = "its path has a drive of Windows, and paths are relative to the table's folder: "
    for part in check:
        missing = rows[part].isna()
        faulty[missing] = f"no `{parts[part]}`, or not in UTF-8: "
        if part == "label":
            other = missing & ~rows["wrong"].isin([labels.NO_LABEL, labels.NOT_UTF8])
            faulty[other] = rows.loc[other, "wrong"] + ": "
    if count := int((faulty != "").sum()):
        bad = faulty[faulty != ""][:SHOWN]
        shown = [
            f"row {row + first}: {bad[row]}{[rows.at[row, part] for part in parts if part in rows]}"
            for row in bad.index.tolist()
        ]
        raise faults(name, shown, count)


def is_below(path: str) -> bool:
    """Whether a relative path stays in the folder that it starts from, with slashes or the backslashes of Windows."""
    if path.startswith(("\\", "~")) or "://" in path or DRIVE.match(path):
        return False
    return urls.is_below(path) and ".." not in path.split("\\")


def resolved(base: str, found: list[str]) -> tuple[list[str], int]:
    """Paths with slashes, and how many had the backslashes of Windows; a file whose name holds one is left alone."""
    if not any("\\" in path for path in found):
        return found, 0
    files, root = storage.connect(base)
    local = storage.is_local(files)
    fresh = [
        path
        if "\\" not in path or (local and os.path.lexists(f"{root}/{path}"))
        else path.replace("\\", "/").removeprefix("./")
        for path in found
    ]
    return fresh, sum(one != other for one, other in zip(found, fresh, strict=True))
