"""Text features of classes: the mean over the prompts, with readable names for classes that are codes."""

import csv
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from winnow.encoders.encoder import Encoder
from winnow.errors import InputError
from winnow.files.json_files import read_json
from winnow.names import quoted

TEXTS = 1024  # encoded at a time


def text_features(encoder: Encoder, names: list[str], prompts: list[str]) -> np.ndarray:
    """(C, d) float32 unit rows: for each class the mean of its prompts' unit features, made unit again."""
    parts = []
    for start in range(0, len(names), TEXTS):
        some, total = names[start : start + TEXTS], torch.zeros(())
        for prompt in prompts:
            total = total + encoder.texts([prompt.replace("{}", name.replace("_", " ")) for name in some])
        parts.append(F.normalize(total))
    return torch.cat(parts).numpy()


def class_names(path: Path, classes: list[str]) -> list[str]:
    """The name of each class for the prompts, from a JSON list or object, or a CSV of code and name.

    Raises:
        InputError: the file cannot be read, or lacks the name of a class or has one that there is not.
    """
    if not path.is_file():
        raise InputError(f"embed.class_names: {path} is missing; it is JSON or CSV, from class codes to names")
    try:
        table = _csv(path) if path.suffix == ".csv" else read_json(path)
    except (ValueError, OSError, csv.Error) as error:
        raise InputError(f"embed.class_names: {path} cannot be read ({error})") from error
    if isinstance(table, list):
        table = dict(zip(classes, table, strict=False)) if len(table) == len(classes) else {}
    if not isinstance(table, dict) or not all(isinstance(name, str) and name.strip() for name in table.values()):
        raise InputError(f"embed.class_names: {path} must give one name, not empty, for each code")
    if missing := [code for code in classes if code not in table]:
        raise InputError(
            f"embed.class_names: {path} has no name for {len(missing)} of {len(classes)} classes, "
            f"the first {quoted(missing[0])}"
        )
    if unknown := [code for code in table if code not in set(classes)]:
        raise InputError(
            f"embed.class_names: {path} names {len(unknown)} classes that no image has, the first {quoted(unknown[0])}"
        )
    return [table[code].strip() for code in classes]


def _csv(path: Path) -> dict[str, str]:
    """Code to name; a first line that reads `code,name` is a heading."""
    table: dict[str, str] = {}
    with path.open(encoding="utf-8-sig", newline="") as file:
        for row in csv.reader(file):
            if not row or (not table and [cell.strip().lower() for cell in row] == ["code", "name"]):
                continue
            if len(row) != 2:
                raise ValueError(f"the row {row} has {len(row)} cells, not a code and a name")
            if row[0] in table:
                raise ValueError(f"the code {quoted(row[0])} occurs twice")
            table[row[0]] = row[1]
    return table
