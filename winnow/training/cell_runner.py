"""Run one cell of a grid: it leaves a result file or, if it fails, a log with the reason."""

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from winnow.errors import LOGGED, InputError
from winnow.files import json_files, outputs
from winnow.terminal.say import clean

MEASURED = ("accuracy", "kept")  # in every result


def finish(name: str, out: Path, log: Path, work: Callable[[], dict[str, Any]], device: str) -> None:
    """Do the work of a cell and write what it gives to the JSON file `out`; nothing is done where that has a result.

    Without a GPU each cell has one core: cells run side by side, and the number of cores does not change the result.

    Args:
        name: of the cell, for the log.
        out: the result.
        log: is written if there is none, and says why.
        work: what gives the result.
        device: where it computes.
    """
    if result(out):
        return
    if device == "cpu":
        torch.set_num_threads(1)
    try:
        row = work()
    except Exception as error:
        write_log(log, name, traceback.format_exc())
        error.add_note(f"{LOGGED}{log}")
        raise
    with outputs.whole_file(out) as partial:
        json_files.write_json(partial, row)
    log.unlink(missing_ok=True)


def result(out: Path) -> dict[str, Any] | None:
    """The result of a cell; None where it has none, or power was lost before all of it was on the disk."""
    try:
        row = json_files.read_json(out)
    except InputError:
        return None
    return row if isinstance(row, dict) and row.keys() >= set(MEASURED) else None


def write_log(log: Path, name: str, why: str) -> None:
    """Say why the cell has no result."""
    with outputs.whole_file(log) as partial:
        partial.write_text(clean(f"{name}\n\n{why}"), encoding="utf-8")
