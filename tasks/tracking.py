"""MLflow, and nothing but this module knows of it: a run for each version of the subset.

Where MLFLOW_TRACKING_URI is not set, runs go to an SQLite file in the project, at an absolute path.
"""

import os
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

EXPERIMENT = "subset versions"
VERSION_TAG = "winnow.release"
PATIENCE = 10  # seconds for a server to answer


@dataclass(frozen=True)
class Version:
    """What is tracked of a release.

    Attributes:
        name: of the run.
        fingerprint: SHA-256 of the manifest; a release that is made again has its run already.
        parameters: by dotted key.
        metrics: by dotted key.
        tags: by key.
        pool: ids and classes that were chosen from, and their digest.
        subset: ids and classes that were kept, and their digest.
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


def answers(project: Path) -> bool:
    """Whether there is a server to record on; a file always answers. Asked first: MLflow itself tries for minutes."""
    place = uri(project)
    if not place.startswith(("http://", "https://")):
        return True
    try:
        with urllib.request.urlopen(f"{place.rstrip('/')}/health", timeout=PATIENCE):  # noqa: S310 http, as checked
            return True
    except urllib.error.HTTPError:
        return True  # it may not like the question, but it is there
    except OSError:
        return False


def log(version: Version, project: Path) -> str:
    """Record a release as a run of the experiment of subset versions; the id of the run."""
    import mlflow

    local = "MLFLOW_TRACKING_URI" not in os.environ  # asked before MLflow sets it itself
    mlflow.set_tracking_uri(uri(project))
    experiment = _experiment((project.resolve() / "mlartifacts").as_uri() if local else None)
    same = f"tags.`{VERSION_TAG}` = '{version.fingerprint}' and attributes.status = 'FINISHED'"
    found = mlflow.search_runs([experiment], same, max_results=1, output_format="list")
    if found:
        return str(found[0].info.run_id)
    with mlflow.start_run(experiment_id=experiment, run_name=version.name) as run:
        mlflow.set_tags({VERSION_TAG: version.fingerprint, **version.tags})
        mlflow.log_params(version.parameters)
        mlflow.log_metrics(version.metrics)
        _log_inputs(version)
        mlflow.log_artifacts(str(version.artifacts), "release")
        return str(run.info.run_id)


def tag(fingerprint: str, tags: dict[str, str], project: Path) -> str | None:
    """Add tags to the run of the release with a fingerprint; its id, or None where there is no such run."""
    if uri(project).startswith("sqlite:///") and not Path(uri(project).removeprefix("sqlite:///")).is_file():
        return None  # asking would make the database, which takes seconds
    import mlflow

    mlflow.set_tracking_uri(uri(project))
    same = f"tags.`{VERSION_TAG}` = '{fingerprint}' and attributes.status = 'FINISHED'"
    found = mlflow.search_runs(experiment_names=[EXPERIMENT], filter_string=same, max_results=1, output_format="list")
    if not found:
        return None
    for key, value in tags.items():
        mlflow.MlflowClient().set_tag(found[0].info.run_id, key, value)
    return str(found[0].info.run_id)


def _log_inputs(version: Version) -> None:
    import mlflow
    from mlflow.data.code_dataset_source import CodeDatasetSource
    from mlflow.data.pandas_dataset import from_pandas

    source = CodeDatasetSource(tags={"source": version.source, "commit": version.tags["git.commit"]})
    for context, (table, digest) in (("pool", version.pool), ("subset", version.subset)):
        # MLflow's own digest looks at the first 10,000 rows only, so it is given ours, in the 36 characters it takes.
        mlflow.log_input(from_pandas(table, source=source, name=context, digest=digest[:36]), context)


def _experiment(artifacts: str | None) -> str:
    """The experiment of subset versions, made at the first call; its artifacts lie where told, or the server says."""
    import mlflow

    found = mlflow.get_experiment_by_name(EXPERIMENT)
    return str(found.experiment_id if found else mlflow.create_experiment(EXPERIMENT, artifacts))
