"""Record a grid in MLflow: one run of the experiment "benchmarks", and a run below it per setting and method."""

from pathlib import Path
from typing import Any

from winnow import tracking
from winnow.bench.tables import MEASURES, SETTING, Entry, Grid
from winnow.files import hashes

EXPERIMENT = "benchmarks"
ABOUT = "Each run is a grid of `winnow bench`; the runs below it are its settings and methods, with means over seeds."
COLUMNS = ("metrics.`accuracy`", "metrics.`accuracy_std`", "metrics.`worst_class`", "params.`method`", "params.`keep`")
TAG = "winnow.bench"  # names what a run says: the rows of its table
FILES = ("table.md", "table.json", "results.csv", "accuracy.png", "wrong_left.png")


def log(name: str, grid: Grid, out: Path, project: Path) -> str:
    """Record what there is of a grid; the id of the run. What is recorded already is not recorded again.

    Args:
        name: of the preset.
        grid: what there is.
        out: the folder of its tables and pictures.
        project: the folder of the project.
    """
    mlflow = tracking.connect(project)
    experiment = tracking.experiment_id(EXPERIMENT, project, COLUMNS, ABOUT)
    digest = hashes.sha256(name, hashes.file_sha256(out / "results.csv"))
    same = f"tags.`{TAG}` = '{digest}' and attributes.status = 'FINISHED'"
    if found := mlflow.search_runs([experiment], same, max_results=1, output_format="list"):
        return str(found[0].info.run_id)
    with mlflow.start_run(
        experiment_id=experiment, run_name=name, tags={TAG: digest}, description=f"`winnow bench {name}`"
    ) as run:
        entries = [(setting, method, entry) for setting, some in grid.items() for method, entry in some.items()]
        mlflow.log_metrics(
            {
                "cells": sum(entry.cells for *_, entry in entries),
                "finished": sum(len(entry.rows) for *_, entry in entries),
                "broken": sum(entry.broken for *_, entry in entries),
            }
        )
        for setting, method, entry in entries:
            if entry.rows:
                _log_entry(experiment, run.info.run_id, setting, method, entry)
        for file in FILES:
            if (out / file).is_file():
                mlflow.log_artifact(str(out / file))
        return str(run.info.run_id)


def _log_entry(experiment: str, parent: str, setting: tuple[Any, ...], method: str, entry: Entry) -> None:
    """A run of one setting and method: means of what was measured, and `_std` of each."""
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param
    from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

    client, known = MlflowClient(), dict(zip(SETTING, setting, strict=True)) | {"method": method}
    name = ", ".join(str(value) for value in (method, *setting))
    run = client.create_run(experiment, run_name=name, tags={MLFLOW_PARENT_RUN_ID: parent})
    metrics = {"seeds": float(len(entry.rows))}
    for measure in MEASURES:
        metrics[measure.name], metrics[f"{measure.name}_std"] = entry.over_seeds(measure.name)
    client.log_batch(
        run.info.run_id,
        [Metric(key, value, run.info.start_time, 0) for key, value in metrics.items()],
        [Param(key, str(value)) for key, value in known.items()],
    )
    client.set_terminated(run.info.run_id)
