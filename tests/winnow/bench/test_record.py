"""A grid is one run in MLflow, with one below it for each setting and method; the same table is recorded once."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import pytest

from winnow.bench import record, tables
from winnow.bench.cells import Cell, LabelNoise
from winnow.bench.tables import Grid
from winnow.training.length import Length

FIRST = Cell(LabelNoise(), 0.0, 0.5, "winnow", "small", Length(40, "steps"), 0)
CELLS = [replace(FIRST, seed=seed, method=method) for seed in (0, 1) for method in ("winnow", "random", "paper")]


def written(out: Path, accuracy: float) -> Grid:
    """The table of CELLS, of which `paper` broke and `random` has one seed."""
    rows: dict[Cell, dict[str, Any]] = {}
    for cell in [CELLS[0], CELLS[1], CELLS[3]]:
        measured = {measure.name: 0.25 for measure in tables.MEASURES}
        rows[cell] = cell.settings | measured | {"accuracy": accuracy + cell.seed / 10, "kept": 5}
    grid = tables.gather(CELLS, rows, [CELLS[2], CELLS[5]])
    out.mkdir(exist_ok=True)
    tables.write(out, "# grid", grid, [])
    return grid


@pytest.mark.usefixtures("workdir")
def test_a_grid_is_recorded_once_with_means_to_compare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    try:
        run_id = record.log("digits", written(tmp_path / "out", 0.5), tmp_path / "out", tmp_path)
        client = mlflow.MlflowClient()
        run = client.get_run(run_id)
        assert run.info.run_name == "digits"
        assert run.data.metrics == {"cells": 6, "finished": 3, "broken": 2}
        assert {file.path for file in client.list_artifacts(run_id)} == {"table.md", "table.json", "results.csv"}
        below = {
            run.data.params["method"]: run
            for run in client.search_runs([run.info.experiment_id], f"tags.`mlflow.parentRunId` = '{run_id}'")
        }
        assert set(below) == {"winnow", "random"}  # of what broke there is nothing to compare
        assert below["winnow"].data.params == {
            "noise": "clean",
            "damage": "0.0",
            "model": "small",
            "keep": "0.5",
            "budget": "40 steps",
            "method": "winnow",
        }
        found = below["winnow"].data.metrics
        assert (found["accuracy"], found["seeds"]) == (pytest.approx(0.55), 2)
        assert found["accuracy_std"] == pytest.approx(0.1 / 2**0.5)
        assert {status.info.status for status in below.values()} == {"FINISHED"}
        assert record.log("digits", written(tmp_path / "out", 0.5), tmp_path / "out", tmp_path) == run_id
        assert record.log("digits", written(tmp_path / "out", 0.6), tmp_path / "out", tmp_path) != run_id
    finally:
        mlflow.set_tracking_uri(None)
