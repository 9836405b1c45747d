"""A recording that is killed, and a tracking server that is: the same command records the release, once and whole."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest
from mlflow.entities import Run
from processes import Processes, free_port, tree
from support import ROOT

from winnow import tracking

RECORD = [sys.executable, "-m", "winnow.cli.main", "release", "record", "data/release"]
# The same command, which kills a process, itself or another, when all is recorded but the files.
FATAL = [
    sys.executable,
    "-c",
    """
import mlflow, os, signal, sys
from winnow.cli.main import app
whole = mlflow.log_artifacts
def log_artifacts(*given):
    for victim in os.environ["VICTIMS"].split() or [os.getpid()]:
        os.kill(int(victim), signal.SIGKILL)
    whole(*given)
mlflow.log_artifacts = log_artifacts
app(["release", "record", "data/release"])
""",
]


@pytest.fixture
def env(workdir: Path, released: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """Give the environment of a user in a folder with a release that is recorded nowhere."""
    assert released.relative_to(workdir) == Path("data/release")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    yield os.environ | {"PYTHONPATH": str(ROOT), "VICTIMS": ""}
    mlflow.set_tracking_uri(None)


@pytest.fixture
def processes(workdir: Path, env: dict[str, str]) -> Iterator[Processes]:
    """Give a way to start what is gone after the test."""
    made = Processes(workdir, env)
    yield made
    made.end()


def run(command: list[str], env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


def runs(uri: str) -> tuple[list[Run], list[Run]]:
    """The runs of releases, and those of the trainings below them."""
    mlflow.set_tracking_uri(uri)
    every = mlflow.search_runs(experiment_names=[tracking.EXPERIMENT], output_format="list")
    below = [run for run in every if "mlflow.parentRunId" in run.data.tags]
    return [run for run in every if run not in below], below


def check(uri: str) -> None:
    """One run is whole, the one that broke off is ended, and none is said to be running."""
    releases, trainings = runs(uri)
    assert sorted(run.info.status for run in releases) == ["FINISHED", "KILLED"]
    (whole,) = (run for run in releases if run.info.status == "FINISHED")
    files = [file.path for file in mlflow.MlflowClient().list_artifacts(whole.info.run_id, "release")]
    assert "release/manifest.json" in files
    assert {run.info.status for run in trainings} == {"FINISHED"}
    named = mlflow.MlflowClient().get_model_version_by_alias("photos", "candidate")
    assert named.run_id == whole.info.run_id


def test_a_recording_that_was_killed_is_done_again_and_its_rest_is_ended(env: dict[str, str], workdir: Path) -> None:
    assert run(FATAL, env).returncode == -signal.SIGKILL
    uri = tracking.uri(workdir)
    assert [run.info.status for run in runs(uri)[0]] == ["RUNNING"], "the fault is there"
    for _ in range(2):
        done = run(RECORD, env)
        assert done.returncode == 0, done.stderr
        check(uri)


@pytest.mark.slow
def test_a_server_that_was_killed_is_recorded_on_when_it_is_back(env: dict[str, str], processes: Processes) -> None:
    url = f"http://127.0.0.1:{(port := free_port())}"
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        "--port",
        str(port),
        "--workers",
        "1",
        "--backend-store-uri",
        "sqlite:///server.db",
        "--artifacts-destination",
        "kept",
    ]
    server = processes.serve(f"{url}/health", *command)
    env = env | {"MLFLOW_TRACKING_URI": url, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}
    broken = run(FATAL, env | {"VICTIMS": " ".join(map(str, tree(server.pid)))})
    assert (broken.returncode, "the same command goes on" in broken.stderr) == (1, True), broken.stderr
    assert "Traceback" not in broken.stderr
    processes.end()
    processes.serve(f"{url}/health", *command)
    done = run(RECORD, env)
    assert done.returncode == 0, done.stderr
    check(url)
