"""MLflow, and nothing but this module knows of it: a run for each version of the subset.

Where MLFLOW_TRACKING_URI is not set, runs go to an SQLite file in the project, at an absolute path.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

EXPERIMENT = "subset versions"
VERSION_TAG = "winnow.release"


@dataclass(frozen=True)
class Version:
    """What is tracked of a release.

    Attributes:
        name: of the run.
        fingerprint: SHA-256 of the manifest; a release that is made again updates its run and does not add another.
        parameters: by dotted key.
        metrics: by dotted key.
        tags: by key.
        pool: ids and labels that were chosen from, and their digest.
        subset: ids and labels that were kept, and their digest.
        source: where the images came from.
        artifacts: the folder to keep with the run.
    """

    name: str
    fingerprint: str
    parameters: dict[str, Any]
    metrics: dict[str, float]
    tags: dict[str, str]
    pool: tuple[pd.DataFrame, str]
    subset: tuple[pd.DataFrame, str]
    source: str
    artifacts: Path


def uri(project: Path) -> str:
    """Where runs are tracked: MLFLOW_TRACKING_URI, or the project's own SQLite file."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{project.resolve() / 'mlflow.db'}"


def log(version: Version, project: Path) -> str:
    """Record a release as a run of the experiment of subset versions; the id of the run."""
    import mlflow

    mlflow.set_tracking_uri(uri(project))
    experiment = _experiment(project)
    found = mlflow.search_runs(
        [experiment], f"tags.`{VERSION_TAG}` = '{version.fingerprint}'", max_results=1, output_format="list"
    )
    with mlflow.start_run(
        run_id=found[0].info.run_id if found else None, experiment_id=experiment, run_name=version.name
    ) as run:
        mlflow.set_tags({VERSION_TAG: version.fingerprint, **version.tags})
        mlflow.log_metrics(version.metrics)
        if not found:
            mlflow.log_params(version.parameters)
            for context, (table, digest) in (("pool", version.pool), ("subset", version.subset)):
                # MLflow's own digest looks at the first 10,000 rows only, so it is given ours, cut to its 36 characters.
                data = mlflow.data.from_pandas(table, source=version.source, name=context, digest=digest[:36])  # type: ignore[attr-defined]
                mlflow.log_input(data, context)
            mlflow.log_artifacts(str(version.artifacts), "release")
        return str(run.info.run_id)


def _experiment(project: Path) -> str:
    """The experiment of subset versions, made at the first call; its artifacts lie beside the database."""
    import mlflow

    found = mlflow.get_experiment_by_name(EXPERIMENT)
    if found:
        return str(found.experiment_id)
    local = "MLFLOW_TRACKING_URI" not in os.environ
    return str(mlflow.create_experiment(EXPERIMENT, (project.resolve() / "mlartifacts").as_uri() if local else None))
