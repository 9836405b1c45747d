"""Record releases in MLflow: one run per version, and the aliases that say which version is in use.

Each release is also a version of a registered model, although it is data, because only MLflow's model registry has
aliases. `candidate` is the last release recorded and `champion` the last one published, so that any MLflow client can
download models:/NAME@champion. Runs go to MLFLOW_TRACKING_URI or, where that is not set, to an SQLite file in the
project. `bench.record` records benchmark grids in the same way; nothing else talks to MLflow.
"""

import json
import os
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
from tenacity import Retrying, retry_if_exception_message, stop_after_attempt, wait_random_exponential

from winnow import repository
from winnow.reach import within

EXPERIMENT = "subset versions"
CANDIDATE, CHAMPION = "candidate", "champion"
FOLDER = "release"  # of a run's artifacts
KIND = {"mlflow.experimentKind": "custom_model_development"}  # MLflow's pages otherwise guess, some of them wrongly
NOTE = "mlflow.note.content"  # what MLflow shows as the description of a run or an experiment
VIEW = "table"  # the name of a saved view of an experiment's runs, which its pages open by `viewStateShareKey`
VIEW_TAG = f"mlflow.sharedViewState.{VIEW}"
# A description, which MLflow puts before the metrics, would push them out of a window of 1,600 pixels.
COLUMNS = ("metrics.`accuracy.subset.mean`", "metrics.`accuracy.random.mean`", "metrics.`kept`", "metrics.`dropped`")
ABOUT = "Each run is a version of the subset; below it are the trainings that judged it. Select runs to compare them."
NAMES = ("arm", "seed", "budget")  # what says which training it was; the rest of a cell was measured
VERSION_TAG = "winnow.release"
MET = r"(?is).*(unique ?(violation|constraint)|giving up after \d+ attempts)"  # what MLflow says where two meet
AT_A_TIME = 1000  # metrics that MLflow takes in one request
PATIENCE = 20  # seconds for a server to answer
# MLflow waits two minutes for an answer and asks eight times. Nothing is lost by giving up: what failed is done again.
HASTE = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "30", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2"}

# It prints where a run can be seen, with the password of the address.
QUIET = {"MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true"}


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
        model: the registered model that it is a version of.
        cells: the trainings that it was judged by: arm, seed, perhaps budget, and what was measured.
        artifacts: the folder to keep with the run.
        description: the version in a few words of Markdown, for MLflow's pages.
    """

    name: str
    fingerprint: str
    parameters: dict[str, Any]
    metrics: dict[str, float]
    tags: dict[str, str]
    pool: tuple[pd.DataFrame, str]
    subset: tuple[pd.DataFrame, str]
    source: str
    model: str
    cells: list[dict[str, Any]]
    artifacts: Path
    description: str = ""


def uri(project: Path) -> str:
    """Where runs are tracked: MLFLOW_TRACKING_URI, or the project's own SQLite file."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{repository.project(project) / 'mlflow.db'}"


def reach(project: Path) -> None:
    """Ask the server for an answer, as MLflow's client does: with its credentials and certificates.

    Asked first, since MLflow itself tries for minutes. What is no web server is not asked.

    Raises:
        ConnectionError: it does not answer.
    """
    place = uri(project)
    if not place.lower().startswith(("http://", "https://")):
        return
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request

    def ask() -> None:  # it may not like the question, but it is there
        known = get_default_host_creds(place)
        http_request(known, "/health", "GET", max_retries=0, timeout=PATIENCE, raise_on_status=False)

    try:
        within(PATIENCE, ask)
    except Exception as error:
        cause: BaseException = error
        while deeper := cause.__cause__ or cause.__context__:
            cause = deeper
        raise ConnectionError(f"it does not answer ({str(cause) or type(cause).__name__})") from error


def count(project: Path) -> int:
    """How many versions are recorded. Raises what MLflow does where it refuses: a password, another schema."""
    mlflow = connect(project)
    known = mlflow.MlflowClient().search_experiments(filter_string=f"name = '{EXPERIMENT}'")
    every = f"tags.`{VERSION_TAG}` != '' and attributes.status = 'FINISHED'"
    return len(mlflow.search_runs([e.experiment_id for e in known], every, output_format="list")) if known else 0


def log(version: Version, project: Path, samples: Sequence[dict[str, Any]] = ()) -> str:
    """Record a release as a run of the experiment of subset versions, and as the candidate; the id of the run.

    Args:
        version: what is tracked.
        project: the folder of the project.
        samples: what was measured of the machine while its stages worked: time, stage, and `system` by name.
    """
    mlflow = connect(project)
    experiment = experiment_id(EXPERIMENT, project, COLUMNS, ABOUT)
    run_id = _found(version.fingerprint)
    if not run_id:
        _end_broken(version.fingerprint)
        with mlflow.start_run(experiment_id=experiment, run_name=version.name) as run:
            run_id = str(run.info.run_id)
            mlflow.set_tags({VERSION_TAG: version.fingerprint, NOTE: version.description, **version.tags})
            mlflow.log_params(version.parameters)
            mlflow.log_metrics(version.metrics)
            _log_system(run_id, samples)
            _again(_log_inputs, version)
            _log_cells(version, experiment, run_id)
            mlflow.log_artifacts(str(version.artifacts), FOLDER)
    _again(_name, version.model, run_id, CANDIDATE)
    return run_id


def publish(model: str, fingerprint: str, tags: dict[str, str], project: Path) -> str | None:
    """Tag the run of the release with a fingerprint, and make it the champion; its id, or None if there is none.

    Raises:
        ConnectionError: no server answers.
    """
    if uri(project).startswith("sqlite:///") and not Path(uri(project).removeprefix("sqlite:///")).is_file():
        return None  # asking would make the database, which takes seconds
    reach(project)
    mlflow = connect(project)
    run_id = _found(fingerprint)
    if run_id:
        for key, value in tags.items():
            mlflow.MlflowClient().set_tag(run_id, key, value)
        _again(_name, model, run_id, CHAMPION)
    return run_id


def connect(project: Path) -> Any:
    """MLflow, set to where runs are tracked."""
    for name, value in HASTE.items():
        os.environ.setdefault(name, value)
    os.environ |= QUIET
    import mlflow

    mlflow.set_tracking_uri(uri(project))
    return mlflow


def _again(work: Callable[..., None], *given: object) -> None:
    """Do what may be done twice, and again where another did the same at that moment: MLflow refuses one of them."""
    met = retry_if_exception_message(match=MET)
    Retrying(retry=met, stop=stop_after_attempt(5), wait=wait_random_exponential(max=10), reraise=True)(work, *given)


def _found(fingerprint: str) -> str | None:
    """The id of the whole run of a release."""
    import mlflow

    same = f"tags.`{VERSION_TAG}` = '{fingerprint}' and attributes.status = 'FINISHED'"
    found = mlflow.search_runs(experiment_names=[EXPERIMENT], filter_string=same, max_results=1, output_format="list")
    return str(found[0].info.run_id) if found else None


def _end_broken(fingerprint: str) -> None:
    """End the runs that a killed recording left, which MLflow would show as running forever."""
    from mlflow import MlflowClient
    from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

    for run in _running(f"tags.`{VERSION_TAG}` = '{fingerprint}'"):
        for each in (*_running(f"tags.`{MLFLOW_PARENT_RUN_ID}` = '{run}'"), run):
            MlflowClient().set_terminated(each, "KILLED")


def _running(condition: str) -> list[str]:
    """The ids of the runs that have not ended, of those that a condition names."""
    import mlflow

    named = f"{condition} and attributes.status = 'RUNNING'"
    found = mlflow.search_runs(experiment_names=[EXPERIMENT], filter_string=named, output_format="list")
    return [str(run.info.run_id) for run in found]


def _name(model: str, run_id: str, alias: str) -> None:
    """Give the version of a registered model that a run is an alias; it becomes a version where it is none."""
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    client = MlflowClient()
    try:
        client.create_registered_model(model, description="Subsets: data to train on, no models to load.")
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    versions = client.search_model_versions(f"run_id = '{run_id}'")
    place = f"{client.get_run(run_id).info.artifact_uri}/{FOLDER}"
    version = versions[0] if versions else client.create_model_version(model, place, run_id)
    client.set_registered_model_alias(version.name, alias, version.version)


def _log_system(run_id: str, samples: Sequence[dict[str, Any]]) -> None:
    """Processor, memory and disk of each stage over time, on the page that MLflow has for its own system metrics."""
    from mlflow import MlflowClient
    from mlflow.entities import Metric

    metrics = [
        Metric(f"system/{sample['stage']}/{name}", value, _milliseconds(sample["time"]), step)
        for step, sample in enumerate(samples)
        for name, value in sample["system"].items()
    ]
    for start in range(0, len(metrics), AT_A_TIME):
        MlflowClient().log_batch(run_id, metrics[start : start + AT_A_TIME])


def _milliseconds(time: str) -> int:
    return int(1000 * datetime.fromisoformat(time).timestamp())


def _log_inputs(version: Version) -> None:
    """The pool and the subset, which come from the repository at its commit; its URL, where others can find it."""
    import mlflow
    from mlflow.data.code_dataset_source import CodeDatasetSource
    from mlflow.data.pandas_dataset import from_pandas

    known = {name: version.tags[name] for name in ("git.url", "git.commit") if name in version.tags}
    source = CodeDatasetSource(tags={"source": version.source, **known})
    for context, (table, digest) in (("pool", version.pool), ("subset", version.subset)):
        # MLflow's own digest looks at the first 10,000 rows only, so it is given ours, in the 36 characters it takes.
        mlflow.log_input(from_pandas(table, source=source, name=context, digest=digest[:36]), context)


def _log_cells(version: Version, experiment: str, parent: str) -> None:
    """A run below that of the release for each training that it was judged by."""
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param
    from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

    client = MlflowClient()
    for cell in version.cells:
        named = f"{cell['arm']}, seed {cell['seed']}"
        note = f"A network trained on `{cell['arm']}` with seed {cell['seed']}, to judge {version.name}."
        run = client.create_run(experiment, run_name=named, tags={MLFLOW_PARENT_RUN_ID: parent, NOTE: note})
        metrics = [Metric(key, cell[key], run.info.start_time, 0) for key in cell if key not in NAMES]
        client.log_batch(run.info.run_id, metrics, [Param(key, str(cell[key])) for key in NAMES if key in cell])
        client.set_terminated(run.info.run_id)


def experiment_id(name: str, project: Path, columns: Sequence[str] = (), about: str = "") -> str:
    """The id of an experiment, which is created if it does not exist.

    Artifacts lie where the server says; for a local SQLite file, beside it.

    Args:
        name: of the experiment.
        project: the folder of the project.
        columns: those that its table of runs shows, as MLflow names them: metrics.`accuracy`.
        about: its description.
    """
    import mlflow
    from mlflow.exceptions import MlflowException

    saved = {VIEW_TAG: _view(columns)} if columns else {}
    tags = KIND | saved | ({NOTE: about} if about else {})
    local = uri(project).startswith("sqlite:///")
    place = (repository.project(project) / "mlartifacts").as_uri() if local else None
    found = mlflow.get_experiment_by_name(name)
    if not found:
        try:
            return str(mlflow.create_experiment(name, place, tags))
        except MlflowException:  # unless another process has created it since
            found = mlflow.get_experiment_by_name(name)
            if not found:
                raise
    for key, value in tags.items():
        if key not in found.tags:  # recorded by an older Winnow; what people have set since stays
            mlflow.MlflowClient().set_experiment_tag(found.experiment_id, key, value)
    return str(found.experiment_id)


def _view(columns: Sequence[str]) -> str:
    """A view of runs in which these columns are shown, wide enough for their names, and no others."""
    widths = {name: 190 for name in columns if name.startswith("metrics.`accuracy")}
    return json.dumps({"selectedColumns": list(columns), "columnWidths": widths})


def versions_page(server: str, project: Path) -> str:
    """The address, on an MLflow server of the project's own database, of the table of subset versions.

    The database is read directly, because importing MLflow takes seconds. Before the first release it is the server's
    front page.
    """
    database = repository.project(project) / "mlflow.db"
    try:
        with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as opened:
            row = opened.execute("SELECT experiment_id FROM experiments WHERE name = ?", (EXPERIMENT,)).fetchone()
    except sqlite3.Error:
        return server
    page = f"workflowType=machine_learning&viewStateShareKey={VIEW}"
    return f"{server}/#/experiments/{row[0]}/runs?{page}" if row else server
