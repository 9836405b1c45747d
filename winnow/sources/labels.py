"""Turn the labels of a source into class names, by one rule for tables, Parquet and tar shards."""

import math
import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from winnow.errors import InputError

MISSING = {"nan", "NaN", "<NA>", "NaT"}  # how programs write a missing value; `NA` and `None` may be names
DOUBTFUL = {"na", "n/a", "#n/a", "none", "null", "?", "-"}
WHOLE = re.compile(r"(0|-?[1-9][0-9]*)")  # as it is written: `007` is a name
ZEROS = re.compile(r"-?[0-9]+\.0+")
NUMBER = re.compile(r"-?[0-9]+([.,][0-9]+)?([eE][-+]?[0-9]+)?")
SEVERAL = re.compile(r"\s*[,;|]\s*|\s+")  # between the labels of a list
NO_LABEL, NOT_UTF8 = "no label", "a label that is not UTF-8"


def text(value: Any) -> tuple[str | None, str]:
    """A label as text; or None, and what the sample has instead."""
    if isinstance(value, bytes):
        try:
            value = value.decode()
        except UnicodeDecodeError:
            return None, NOT_UTF8
    if isinstance(value, (list, tuple, dict, set, np.ndarray)):
        return None, f"the label {_short(value)}, which is not one class"
    if isinstance(value, (float, np.floating, Decimal)) and not math.isnan(value):
        if not math.isfinite(value) or value != int(value):
            return None, f"the label {value}, which is a measurement and no class"
        value = int(value)
    said = "" if value is None else str(value).strip()
    if not said or said in MISSING:
        return None, NO_LABEL
    if said[0] + said[-1] in ("[]", "{}"):
        return None, f"the label {_short(said)}, which is not one class"
    return said, ""


def _short(value: object) -> str:
    said = str(value)
    return said if len(said) < 40 else said[:40] + "..."


def column(values: pa.ChunkedArray | list[Any]) -> tuple[np.ndarray, np.ndarray]:
    """The labels of a column as text (None for those at fault), and what each has instead ("" if it has one)."""
    if isinstance(values, list) or pa.types.is_nested(values.type) or pa.types.is_null(values.type):
        found = [text(value) for value in (values if isinstance(values, list) else values.to_pylist())]
        return _objects([said for said, _ in found]), _objects([why for _, why in found])
    kind = values.type
    encoded = values.combine_chunks() if pa.types.is_dictionary(kind) else values.dictionary_encode().combine_chunks()
    array = encoded.chunk(0) if isinstance(encoded, pa.ChunkedArray) else encoded
    found = [*map(text, array.dictionary.to_pylist()), (None, NO_LABEL)]  # the last is for null
    codes = array.indices.fill_null(len(found) - 1).to_numpy(zero_copy_only=False)
    return _objects([said for said, _ in found])[codes], _objects([why for _, why in found])[codes]


def _objects(values: Sequence[object]) -> np.ndarray:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def classes(labels: Sequence[str] | np.ndarray, where: str) -> tuple[list[str], np.ndarray, list[str]]:
    """Class names, each label as an index into them, and what a person should be told about them.

    Whole numbers are sorted as numbers, all else as text. `007` and `7` are two names.

    Raises:
        InputError: the labels are measurements, or a negative number marks samples without a label.
    """
    codes, found = pd.factorize(np.asarray(labels, dtype=object), sort=False)
    names, notes = [str(name) for name in found], []
    if any(map(ZEROS.fullmatch, names)) and all(ZEROS.fullmatch(name) or WHOLE.fullmatch(name) for name in names):
        notes.append(f"labels such as {names[0]} are read as whole numbers")
        names = [name.partition(".")[0] for name in names]
    _refuse_numbers(names, codes, where)
    order = in_order(set(names))
    number = {name: label for label, name in enumerate(order)}
    to = np.array([number[name] for name in names], dtype=np.int64)
    return order, to[codes] if names else codes.astype(np.int64), notes + doubts(order, len(codes))


def are_numbers(labels: np.ndarray) -> bool:
    """Whether all labels that are there are whole numbers."""
    return all(WHOLE.fullmatch(label) for label in set(labels.tolist()) - {None})


def in_order(names: set[str]) -> list[str]:
    """Sorted names: whole numbers as numbers."""
    if all(map(WHOLE.fullmatch, names)):
        return sorted(names, key=lambda name: (name[0] != "-", len(name) * (-1 if name[0] == "-" else 1), name))
    return sorted(names)


def _refuse_numbers(names: list[str], codes: np.ndarray, where: str) -> None:
    if not names or not all(map(NUMBER.fullmatch, names)):
        return
    fractions = [name for name in names if not re.fullmatch("-?[0-9]+([.]0+)?", name)]
    if fractions:
        what = "measurements or lists" if "," in fractions[0] else "measurements"
        raise InputError(
            f"prepare.source: {where}: labels such as {fractions[0]} are {what}, not classes; prepare.label names "
            "another column"
        )
    negative = [place for place, name in enumerate(names) if name.startswith("-")]
    if negative and set(names) != {"-1", "1"}:
        count = int(np.isin(codes, negative).sum())
        raise InputError(
            f"prepare.source: {where}: {count} labels are negative ({names[negative[0]]} first), as those of samples "
            "without a label; remove these samples, or hold out another split with prepare.held_out"
        )


def doubts(names: list[str], samples: int) -> list[str]:
    """What is odd about class names that can be used all the same."""
    said = []
    if found := [name for name in names if name.casefold() in DOUBTFUL]:
        said.append(
            f"label {found[0]!r} is read as the name of a class; if it means that a label is missing, remove "
            "those samples"
        )
    bare = {name.lstrip("0") for name in names if name.isdecimal()}
    if len(bare) < sum(name.isdecimal() for name in names):
        said.append("some labels differ only in leading zeros; they are different classes")
    known = set(names)
    if found := [name for name in names if len(parts := SEVERAL.split(name)) > 1 and known.issuperset(parts)]:
        said.append(
            f"{len(found)} labels such as {found[0]!r} look like lists of other classes; each is taken for a "
            "class of its own, and an image has one"
        )
    if names and all(map(WHOLE.fullmatch, names)) and names != [str(number) for number in range(len(names))]:
        said.append(f"labels are {len(names)} numbers from {names[0]} to {names[-1]}; classes have these names")
    if samples > 20 and len(names) > samples / 2:
        said.append(f"{samples} images have {len(names)} classes; does prepare.label name the right column?")
    return said
