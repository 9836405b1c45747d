"""Turn the cells of a grid into tables: means and standard deviations over seeds, as Markdown, CSV and JSON.

A failed cell is shown as broken and excluded from means; a cell that has not run yet is shown as such.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from winnow.bench.cells import Cell
from winnow.files import json_files, outputs

SETTING = ["noise", "damage", "model", "budget", "keep"]  # of a row of a table; its columns are methods
NOT_RUN = "·"


@dataclass(frozen=True)
class Measure:
    """What a table is about.

    Attributes:
        name: column of the results.
        title: of the table.
        show: a mean and a standard deviation as text.
    """

    name: str
    title: str
    show: Callable[[float, float], str]


def _percent(mean: float, std: float) -> str:
    return f"{100 * mean:.2f} ± {100 * std:.2f}"


def _plain(mean: float, std: float) -> str:
    return f"{mean:,.1f} ± {std:.1f}"


def _count(mean: float, _: float) -> str:
    return f"{mean:,.0f}"


MEASURES = (
    Measure("accuracy", "Test accuracy in %", _percent),
    Measure("worst_class", "Test accuracy of the worst class in %", _percent),
    Measure("calibration_error", "Expected calibration error in %", _percent),
    Measure("wrong_left", "Wrong labels among what is kept, in %", _percent),
    Measure("damaged_left", "Damaged images among what is kept, in %", _percent),
    Measure("seconds", "Seconds to choose", _plain),
    Measure("training_seconds", "Seconds to train", _plain),
    Measure("samples_seen", "Images seen in training", _count),
)


@dataclass(frozen=True)
class Entry:
    """Of one setting and method: the rows that there are, cells that broke, and cells in all."""

    rows: list[Mapping[str, Any]]
    broken: int
    cells: int

    def over_seeds(self, measure: str) -> tuple[float, float]:
        """Mean and standard deviation of a measure; there has to be a row."""
        values = np.array([row[measure] for row in self.rows])
        return float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else 0.0

    def show(self, measure: Measure) -> str:
        """Mean and standard deviation over seeds, and what is lacking."""
        text = measure.show(*self.over_seeds(measure.name)) if self.rows else ""
        if self.broken:
            return f"{text} (**{self.broken} of {self.cells} broken**)".strip()
        if self.rows and len(self.rows) < self.cells:
            return f"{text} ({len(self.rows)} of {self.cells})"
        return text or NOT_RUN


Grid = dict[tuple[Any, ...], dict[str, Entry]]  # by the values of SETTING, then by method


def gather(cells: Iterable[Cell], rows: Mapping[Cell, Mapping[str, Any]], broken: Iterable[Cell]) -> Grid:
    """Sort what there is into a table's places, in the order of the cells."""
    lost = set(broken)
    grouped: dict[tuple[Any, ...], dict[str, list[Cell]]] = {}
    for cell in cells:
        setting = tuple(cell.settings[name] for name in SETTING)
        grouped.setdefault(setting, {}).setdefault(cell.method, []).append(cell)
    return {
        setting: {
            method: Entry([rows[cell] for cell in some if cell in rows], len(lost.intersection(some)), len(some))
            for method, some in methods.items()
        }
        for setting, methods in grouped.items()
    }


def markdown(grid: Grid, measure: Measure) -> str:
    """A table of one measure; a row a setting."""
    methods = list(dict.fromkeys(method for entries in grid.values() for method in entries))
    lines = [_line([*SETTING, *methods]), _line(["---"] * (len(SETTING) + len(methods)))]
    for setting, entries in grid.items():
        shown = [entries[method].show(measure) if method in entries else "" for method in methods]
        lines.append(_line([*map(_short, setting), *shown]))
    return "\n".join(lines)


def _line(parts: Iterable[str]) -> str:
    return "| " + " | ".join(parts) + " |"


def _short(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def shown(grid: Grid) -> list[Measure]:
    """The measures that say something: wrong labels where some were planted, damage where there is some."""
    rows = [row for entries in grid.values() for entry in entries.values() for row in entry.rows]
    planted = {
        "wrong_left": any(row["noise"] != "clean" for row in rows),
        "damaged_left": any(row["damage"] for row in rows),
    }
    return [measure for measure in MEASURES if planted.get(measure.name, True)]


def write(out: Path, about: str, grid: Grid, logs: list[Path]) -> None:
    """Write table.md, table.json and results.csv to the folder `out`.

    Args:
        out: a folder that is there.
        about: what the grid is, the first lines of the table.
        grid: what there is.
        logs: of the cells that broke.
    """
    parts = [about, *(f"## {measure.title}\n\n{markdown(grid, measure)}" for measure in shown(grid))]
    if logs:
        parts.append("## Broken cells\n\nThe next run tries them again.\n\n" + "\n".join(f"- {log}" for log in logs))
    rows = [row for entries in grid.values() for entry in entries.values() for row in entry.rows]
    with outputs.whole_file(out / "table.md") as partial:
        partial.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    with outputs.whole_file(out / "table.json") as partial:
        json_files.write_json(partial, [_summary(*place) for place in grid.items()])
    with outputs.whole_file(out / "results.csv") as partial:
        table = pd.DataFrame(rows)
        table.drop(columns="by_class", errors="ignore").to_csv(partial, index=False)


def _summary(setting: tuple[Any, ...], entries: dict[str, Entry]) -> dict[str, Any]:
    """What table.json says of a setting."""
    methods: dict[str, Any] = {}
    for method, entry in entries.items():
        methods[method] = {"seeds": len(entry.rows), "broken": entry.broken, "cells": entry.cells}
        for measure in MEASURES if entry.rows else ():
            mean, std = entry.over_seeds(measure.name)
            methods[method][measure.name] = {"mean": mean, "std": std}
    return dict(zip(SETTING, setting, strict=True)) | {"methods": methods}


def curve(grid: Grid, setting: tuple[Any, ...], method: str, measure: str) -> np.ndarray:
    """(n, 3): keep, mean and standard deviation of a measure, over the ratios of a setting that has no ratio."""
    points = []
    for (*rest, keep), entries in grid.items():
        if tuple(rest) == setting and method in entries and entries[method].rows:
            points.append((keep, *entries[method].over_seeds(measure)))
    return np.array(sorted(points)).reshape(-1, 3)
