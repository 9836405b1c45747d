"""Means are over seeds, what broke is never in them, and what is lacking is said."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from winnow.bench import pictures, tables
from winnow.bench.cells import Cell, LabelNoise
from winnow.files.json_files import read_json
from winnow.training.compare import compare
from winnow.training.length import Length

ACCURACY = tables.MEASURES[0]
FIRST = Cell(LabelNoise(), 0.0, 0.5, "winnow", "small", Length(40, "steps"), 0)


def row(cell: Cell, accuracy: float) -> dict[str, Any]:
    rest = {measure.name: 0.1 for measure in tables.MEASURES}
    return cell.settings | rest | {"accuracy": accuracy, "kept": 5, "by_class": [accuracy, None]}


def seeds(n: int, cell: Cell = FIRST) -> list[Cell]:
    return [replace(cell, seed=seed) for seed in range(n)]


@given(st.lists(st.floats(0, 1), min_size=2, max_size=5))
def test_a_place_holds_mean_and_deviation(values: list[float]) -> None:
    cells = seeds(len(values))
    found = tables.gather(cells, {cell: row(cell, v) for cell, v in zip(cells, values, strict=True)}, [])
    (entries,) = found.values()
    mean, std = entries["winnow"].over_seeds("accuracy")
    assert mean == pytest.approx(np.mean(values))
    assert std == pytest.approx(np.std(values, ddof=1))
    assert entries["winnow"].show(ACCURACY) == f"{100 * mean:.2f} ± {100 * std:.2f}"


def test_what_broke_or_was_not_run_is_said_and_is_in_no_mean() -> None:
    cells = seeds(3)
    rows = {cell: row(cell, 0.5) for cell in cells[:2]}
    shown = [
        next(iter(tables.gather(cells, *what).values()))["winnow"].show(ACCURACY)
        for what in ((rows, cells[2:]), (rows, []), ({}, cells), ({}, []))
    ]
    assert shown == ["50.00 ± 0.00 (**1 of 3 broken**)", "50.00 ± 0.00 (2 of 3)", "(**3 of 3 broken**)", "·"]


def test_a_row_names_the_budget_and_methods_have_columns(tmp_path: Path) -> None:
    cells = [
        replace(FIRST, method=method, budget=length)
        for length in (Length(40, "steps"), Length(3, "epochs"))
        for method in ("winnow", "random")
    ]
    cells.append(replace(FIRST, method="all", keep=1.0))
    grid = tables.gather(cells, {cell: row(cell, 0.5) for cell in cells}, [])
    lines = tables.markdown(grid, ACCURACY).splitlines()
    assert lines[0] == "| noise | damage | model | budget | keep | winnow | random | all |"
    assert lines[2] == "| clean | 0 | small | 40 steps | 0.5 | 50.00 ± 0.00 | 50.00 ± 0.00 |  |"
    assert lines[3].startswith("| clean | 0 | small | 3 epochs | 0.5 |")
    assert lines[4] == "| clean | 0 | small | 40 steps | 1 |  |  | 50.00 ± 0.00 |"


def test_results_are_what_compare_reads(tmp_path: Path) -> None:
    cells = [cell for method in ("winnow", "random") for cell in seeds(3, replace(FIRST, method=method))]
    rows = {cell: row(cell, 0.6 if cell.method == "winnow" else 0.5) for cell in cells}
    tables.write(tmp_path, "# about", tables.gather(cells, rows, []), [])
    (found,) = compare(pd.read_csv(tmp_path / "results.csv"), "winnow", "random")
    assert (found.seeds, found.mean) == (3, pytest.approx(0.1))
    assert found.setting == {"noise": "clean", "damage": 0.0, "keep": 0.5, "model": "small", "budget": "40 steps"}
    (place,) = read_json(tmp_path / "table.json")
    assert place["budget"] == "40 steps"
    assert place["methods"]["winnow"]["accuracy"] == {"mean": pytest.approx(0.6), "std": 0.0}


def test_with_nothing_run_there_is_a_table_all_the_same(tmp_path: Path) -> None:
    grid = tables.gather(seeds(2), {}, seeds(1))
    tables.write(tmp_path, "# about", grid, [Path("logs/a.log")])
    assert "1 of 2 broken" in (tmp_path / "table.md").read_text()
    assert "- logs/a.log" in (tmp_path / "table.md").read_text()
    assert pictures.write(tmp_path, grid) == [tmp_path / "accuracy.png"]


def test_pictures_are_the_same_bytes_again(tmp_path: Path) -> None:
    rng, rows = np.random.default_rng(0), {}
    for noise in (LabelNoise(), LabelNoise("near", 0.2)):
        for keep, method in [*((k, m) for k in (0.1, 0.5) for m in ("winnow", "random")), (1.0, "all")]:
            for cell in seeds(2, replace(FIRST, noise=noise, keep=keep, method=method)):
                rows[cell] = row(cell, float(rng.random()))
    grid = tables.gather(list(rows), rows, [])
    assert pictures.panels(grid) == [("clean", 0.0, "small", "40 steps"), ("near 0.2", 0.0, "small", "40 steps")]
    curve = tables.curve(grid, ("clean", 0.0, "small", "40 steps"), "random", "accuracy")
    assert curve[:, 0].tolist() == [0.1, 0.5]
    written = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        written.append([path.read_bytes() for path in pictures.write(tmp_path / name, grid)])
    assert len(written[0]) == 2
    assert written[0] == written[1]
