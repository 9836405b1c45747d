"""A version of the subset is one run in MLflow, whole, with our digests, beside the versions before it."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from unittest.mock import Mock

import mlflow
import pandas as pd
import pytest
from mlflow.entities import Run

from tasks import tracking
from tasks.files import file_sha256
from tasks.tracking import Version

POOL = pd.DataFrame({"id": ["a", "b", "c"], "label": [0, 1, 1]})


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Give a project with a database that holds no run yet; creating one takes seconds."""
    project = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.chdir(tmp_path_factory.mktemp("elsewhere"))
        yield project
    mlflow.set_tracking_uri(None)


@pytest.fixture
def version(tmp_path: Path) -> Callable[..., Version]:
    """Describe a version; a fingerprint of its own makes it another."""
    (tmp_path / "release").mkdir()
    (tmp_path / "release/ids.txt").write_text("a\nb\n")

    def make(fingerprint: str, keep: float = 0.5) -> Version:
        return Version(
            name=f"digits keep={keep}", fingerprint=fingerprint, parameters={"optimize.keep": keep},
            metrics={"kept": 2, "accuracy": 0.75}, tags={"git.commit": "abc"}, pool=(POOL, "1" * 64),
            subset=(POOL[:2], "2" * 64), source="data/sample", artifacts=tmp_path / "release",
        )  # fmt: skip

    return make


def runs(fingerprint: str) -> list[Run]:
    tag = f"tags.`{tracking.VERSION_TAG}` = '{fingerprint}'"
    return mlflow.search_runs(experiment_names=[tracking.EXPERIMENT], filter_string=tag, output_format="list")


def artifacts(run: Run) -> list[str]:
    return [file.path for file in mlflow.MlflowClient().list_artifacts(run.info.run_id, "release")]


def test_a_version_is_a_run_with_everything(database: Path, version: Callable[..., Version]) -> None:
    run_id = tracking.log(version("whole"), database)
    (run,) = runs("whole")
    assert (run.info.run_id, run.info.status, run.info.run_name) == (run_id, "FINISHED", "digits keep=0.5")
    assert run.data.params == {"optimize.keep": "0.5"}
    assert run.data.metrics == {"kept": 2, "accuracy": 0.75}
    assert run.data.tags["git.commit"] == "abc"
    assert artifacts(run) == ["release/ids.txt"]
    assert (database / "mlflow.db").is_file()


def test_pool_and_subset_are_inputs_with_our_digests(database: Path, version: Callable[..., Version]) -> None:
    tracking.log(version("inputs"), database)
    inputs = {given.tags[0].value: given.dataset for given in runs("inputs")[0].inputs.dataset_inputs}
    assert {context: data.digest for context, data in inputs.items()} == {"pool": "1" * 36, "subset": "2" * 36}


def test_the_same_release_again_is_the_same_run(database: Path, version: Callable[..., Version]) -> None:
    first = tracking.log(version("same"), database)
    assert tracking.log(version("same"), database) == first
    assert [(run.info.run_id, run.info.status) for run in runs("same")] == [(first, "FINISHED")]


def test_another_release_stands_beside_it(database: Path, version: Callable[..., Version]) -> None:
    one, two = (tracking.log(version(f"keep {keep}", keep), database) for keep in (0.3, 0.5))
    assert one != two
    assert len({run.info.experiment_id for run in runs("keep 0.3") + runs("keep 0.5")}) == 1


def test_a_run_is_tagged_with_the_version_that_it_became(
    database: Path, version: Callable[..., Version], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = tracking.log(version("published"), database)
    assert tracking.tag("published", {"winnow.version": "subset@v1.0.0"}, database) == run_id
    assert runs("published")[0].data.tags["winnow.version"] == "subset@v1.0.0"
    assert tracking.tag("another", {"winnow.version": "x"}, database) is None
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)  # MLflow sets it itself
    assert tracking.tag("published", {"winnow.version": "x"}, tmp_path) is None
    assert not (tmp_path / "mlflow.db").exists(), "asking makes no database"


def test_nothing_is_left_outside_the_project(database: Path, version: Callable[..., Version]) -> None:
    run_id = tracking.log(version("place"), database)
    assert Path(mlflow.get_run(run_id).info.artifact_uri.removeprefix("file://")).is_relative_to(database)
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize("part", ["log_params", "log_input", "log_artifacts"])
def test_a_run_that_broke_off_is_made_whole_the_next_time(
    database: Path, version: Callable[..., Version], monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(mlflow, part, Mock(side_effect=ConnectionError))
        with pytest.raises(ConnectionError):
            tracking.log(version(part), database)
    run_id = tracking.log(version(part), database)
    whole = mlflow.get_run(run_id)
    assert whole.info.status == "FINISHED"
    assert whole.data.params == {"optimize.keep": "0.5"}
    assert len(whole.inputs.dataset_inputs) == 2
    assert artifacts(whole) == ["release/ids.txt"]


def test_runs_go_to_the_project_unless_the_environment_says_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    assert tracking.uri(Path()) == f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://elsewhere:5000")
    assert tracking.uri(Path()) == "http://elsewhere:5000"


def test_a_server_that_is_down_is_noticed_at_once_and_one_that_refuses_the_question_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert tracking.answers(tmp_path)
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:  # answers everything with an error
        Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.server_port}/")
        assert tracking.answers(tmp_path)
        server.shutdown()
    assert not tracking.answers(tmp_path)


def test_a_release_made_while_the_server_was_down_is_recorded_from_disk(
    database: Path, released: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parameters = Path(__file__).parents[2] / "params.yaml"
    (released.parents[1] / "params.yaml").write_text(parameters.read_text())
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    command = [sys.executable, "-m", "flows.cli", "release", "record", str(released)]
    down = subprocess.run(command, capture_output=True, text=True, check=False)
    assert down.returncode == 2
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{database / 'mlflow.db'}")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (run,) = runs(file_sha256(released / "manifest.json"))
    assert done.stdout.strip() == f"recorded as run {run.info.run_id}"
    assert (run.data.metrics["kept"], run.data.tags["git.commit"]) == (16, "unknown")
    assert "release/report.html" in artifacts(run)
