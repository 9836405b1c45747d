"""A version of the subset is one run in MLflow, whole, with our digests, beside the versions before it."""

import base64
import json
import socket
import ssl
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
from mlflow.environment_variables import MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT
from mlflow.exceptions import MlflowException

from winnow import tracking
from winnow.files.hashes import file_sha256
from winnow.releases.recording import unrecorded
from winnow.run import pipeline
from winnow.tracking import Version

CELLS = [
    {"arm": arm, "seed": seed, "accuracy": 0.5 + seed / 4, "kept": 2} for seed in (0, 1) for arm in ("subset", "all")
]
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
            name=f"digits keep={keep}",
            fingerprint=fingerprint,
            parameters={"optimize.keep": keep},
            metrics={"kept": 2, "accuracy": 0.75},
            tags={"git.commit": "abc", "git.url": "https://host/it.git"},
            pool=(POOL, "1" * 64),
            subset=(POOL[:2], "2" * 64),
            source="photos",
            model="digits",
            cells=CELLS,
            artifacts=tmp_path / "release",
            description="Kept 2 of 3 images.",
        )

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
    for data in inputs.values():
        known = json.loads(data.source)["tags"]
        assert known == {"source": "photos", "git.url": "https://host/it.git", "git.commit": "abc"}


def test_what_the_stages_took_of_the_machine_is_among_the_system_metrics(
    database: Path, version: Callable[..., Version]
) -> None:
    samples = [
        {"time": f"2026-01-01T00:{minute:02d}:00.500+00:00", "stage": stage, "system": {"cpu": float(minute)}}
        for minute, stage in enumerate(["embed", "embed", "adapt"])
    ]
    run_id = tracking.log(version("system"), database, samples)
    history = mlflow.MlflowClient().get_metric_history(run_id, "system/embed/cpu")
    assert [(point.value, point.timestamp, point.step) for point in history] == [
        (0.0, 1767225600500, 0),
        (1.0, 1767225660500, 1),
    ]
    assert mlflow.get_run(run_id).data.metrics["system/adapt/cpu"] == 2.0


def test_each_training_is_a_run_one_level_below(database: Path, version: Callable[..., Version]) -> None:
    parent = tracking.log(version("cells"), database)
    below = f"tags.`mlflow.parentRunId` = '{parent}'"
    found = mlflow.search_runs(experiment_names=[tracking.EXPERIMENT], filter_string=below, output_format="list")
    assert sorted(run.info.run_name for run in found) == [
        "all, seed 0",
        "all, seed 1",
        "subset, seed 0",
        "subset, seed 1",
    ]
    one = next(run for run in found if run.info.run_name == "subset, seed 1")
    assert (one.data.metrics, one.data.params) == ({"accuracy": 0.75, "kept": 2}, {"arm": "subset", "seed": "1"})
    assert {run.info.status for run in found} == {"FINISHED"}
    assert not [run for run in found if tracking.VERSION_TAG in run.data.tags], "none is taken for a version"
    assert "mlflow.parentRunId" not in mlflow.get_run(parent).data.tags


def test_the_same_release_again_is_the_same_run(database: Path, version: Callable[..., Version]) -> None:
    first = tracking.log(version("same"), database)
    assert tracking.log(version("same"), database) == first
    assert [(run.info.run_id, run.info.status) for run in runs("same")] == [(first, "FINISHED")]


def test_pages_know_the_kind_of_experiment_its_columns_and_what_each_run_is(
    database: Path, version: Callable[..., Version]
) -> None:
    run = mlflow.get_run(tracking.log(version("described"), database))
    assert run.data.tags["mlflow.note.content"] == "Kept 2 of 3 images."
    for below in mlflow.search_runs([run.info.experiment_id], output_format="list"):
        assert below.data.tags["mlflow.note.content"]
    tags = mlflow.get_experiment(run.info.experiment_id).tags
    assert tags["mlflow.experimentKind"] == "custom_model_development"
    columns = json.loads(tags["mlflow.sharedViewState.table"])["selectedColumns"]
    assert {"metrics.`accuracy.subset.mean`", "metrics.`kept`", "metrics.`dropped`"} <= set(columns)
    assert all(column.startswith("metrics.") for column in columns), "MLflow puts others before the metrics"
    page = tracking.versions_page("http://127.0.0.1:5000", database)
    assert page.startswith(f"http://127.0.0.1:5000/#/experiments/{run.info.experiment_id}/runs?")
    assert page.endswith("viewStateShareKey=table")


def test_an_experiment_of_an_older_winnow_is_described_too_and_what_people_wrote_stays(
    database: Path, version: Callable[..., Version]
) -> None:
    tracking.connect(database)
    mine = mlflow.create_experiment("of old", tags={"mlflow.note.content": "mine"})
    assert tracking.experiment_id("of old", database, ["metrics.`kept`"], "ours") == mine
    tags = mlflow.get_experiment(mine).tags
    assert tags["mlflow.experimentKind"] == "custom_model_development"
    assert "metrics.`kept`" in tags["mlflow.sharedViewState.table"]
    assert tags["mlflow.note.content"] == "mine"


def test_before_the_first_release_the_page_of_versions_is_the_front_page(tmp_path: Path) -> None:
    assert tracking.versions_page("http://127.0.0.1:5000", tmp_path) == "http://127.0.0.1:5000"
    assert not (tmp_path / "mlflow.db").exists(), "asking makes no database"


def test_another_release_stands_beside_it(database: Path, version: Callable[..., Version]) -> None:
    one, two = (tracking.log(version(f"keep {keep}", keep), database) for keep in (0.3, 0.5))
    assert one != two
    assert len({run.info.experiment_id for run in runs("keep 0.3") + runs("keep 0.5")}) == 1


def test_the_last_recorded_is_the_candidate_and_the_last_published_the_champion(
    database: Path, version: Callable[..., Version], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (tracking.log(version(name), database) for name in ("published", "next"))
    assert named("candidate") == second
    tags = {"winnow.version": "subset@v1.0.0"}
    assert tracking.publish("digits", "published", tags, database) == first
    assert runs("published")[0].data.tags["winnow.version"] == "subset@v1.0.0"
    assert (named("champion"), named("candidate")) == (first, second)
    got = mlflow.artifacts.download_artifacts("models:/digits@champion", dst_path=str(tmp_path / "got"))
    assert (Path(got) / "ids.txt").read_text() == "a\nb\n"
    assert tracking.log(version("published"), database) == first, "made again, it is the candidate again"
    assert named("candidate") == first
    versions = mlflow.MlflowClient().search_model_versions(f"run_id = '{first}'")
    assert len(versions) == 1, "a release is one version, however often it is recorded"
    assert tracking.publish("digits", "another", tags, database) is None
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)  # MLflow sets it itself
    assert tracking.publish("digits", "published", tags, tmp_path) is None
    assert not (tmp_path / "mlflow.db").exists(), "asking makes no database"


def named(alias: str) -> str | None:
    """The run of the version that has an alias."""
    return mlflow.MlflowClient().get_model_version_by_alias("digits", alias).run_id


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
    tracking.reach(tmp_path)
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:  # answers everything with an error
        Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.server_port}/")
        tracking.reach(tmp_path)
        server.shutdown()
    with pytest.raises(ConnectionError, match=r"does not answer .*refused"):
        tracking.reach(tmp_path)


class Guarded(BaseHTTPRequestHandler):
    """Answers as MLflow, below a prefix too, those who have a name and password, or a token."""

    known = ("Basic " + base64.b64encode(b"u:p").decode(), "Bearer t0ken")

    def do_POST(self) -> None:
        """Answer an empty object."""
        self.do_GET()

    def do_GET(self) -> None:
        """The same."""
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b"{}"
        self.send_response(200 if self.headers.get("Authorization") in self.known else 401)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def guarded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[bool], str]]:
    """Start a server that knows `u:p` and a token; over TLS one whose certificate nobody knows. Its host and port."""
    for name in ("USERNAME", "PASSWORD", "TOKEN", "INSECURE_TLS", "SERVER_CERT_PATH", "CLIENT_CERT_PATH"):
        monkeypatch.delenv(f"MLFLOW_TRACKING_{name}", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    opened = []

    def start(tls: bool) -> str:
        server = ThreadingHTTPServer(("127.0.0.1", 0), Guarded)
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate(tmp_path / "both.pem"))
            context.load_verify_locations(tmp_path / "both.pem")
            context.verify_mode = ssl.CERT_OPTIONAL
            server.socket = context.wrap_socket(server.socket, server_side=True)
        Thread(target=server.serve_forever, daemon=True).start()
        opened.append(server)
        return f"127.0.0.1:{server.server_port}"

    yield start
    for server in opened:
        server.shutdown()
        server.server_close()
    mlflow.set_tracking_uri(None)


def certificate(path: Path) -> Path:
    """A file of a key and a certificate of 127.0.0.1, which it signed itself."""
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-subj",
            "/CN=127.0.0.1",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
            "-keyout",
            path,
            "-out",
            path.with_suffix(".crt"),
        ],
        check=True,
        capture_output=True,
    )
    path.write_bytes(path.read_bytes() + path.with_suffix(".crt").read_bytes())
    return path


@pytest.mark.parametrize("how", ["address", "prefix", "variables", "token", "file"])
def test_a_server_is_asked_with_the_credentials_that_mlflow_takes(
    guarded: Callable[[bool], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    host = guarded(False)
    place = f"http://{host}/"
    if how in ("address", "prefix"):
        place = f"http://u:p@{host}" + "/team/mlflow/" * (how == "prefix")
    elif how == "variables":
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "u")
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "p")
    elif how == "token":
        monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "t0ken")
    else:
        (tmp_path / ".mlflow").mkdir()
        (tmp_path / ".mlflow/credentials").write_text(
            "[mlflow]\nmlflow_tracking_username = u\nmlflow_tracking_password = p\n"
        )
    monkeypatch.setenv("MLFLOW_TRACKING_URI", place)
    tracking.reach(tmp_path)
    assert tracking.count(tmp_path) == 0


@pytest.mark.parametrize("how", ["insecure", "certificate", "client"])
def test_and_with_the_certificates(
    guarded: Callable[[bool], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"https://u:p@{guarded(True)}")
    with pytest.raises(ConnectionError, match="CERTIFICATE_VERIFY_FAILED"):
        tracking.reach(tmp_path)
    if how == "insecure":
        monkeypatch.setenv("MLFLOW_TRACKING_INSECURE_TLS", "true")
    else:
        monkeypatch.setenv("MLFLOW_TRACKING_SERVER_CERT_PATH", str(tmp_path / "both.crt"))
    if how == "client":
        monkeypatch.setenv("MLFLOW_TRACKING_CLIENT_CERT_PATH", str(tmp_path / "both.pem"))
    tracking.reach(tmp_path)
    assert tracking.count(tmp_path) == 0


@pytest.mark.parametrize("place", ["http://[::1", "http://127.0.0.1:port", f"http://{'a' * 70}.example"])
def test_an_address_that_is_none_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", place)
    with pytest.raises(ConnectionError, match="does not answer"):
        tracking.reach(tmp_path)


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server that takes every connection and never answers."""
    monkeypatch.setattr(tracking, "PATIENCE", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
    mlflow.set_tracking_uri(None)


def test_a_server_that_takes_the_connection_and_never_answers_is_not_waited_for(
    silent: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", silent)
    with pytest.raises(ConnectionError, match="does not answer"):
        tracking.publish("digits", "any", {}, tmp_path)


def test_one_that_falls_silent_later_is_given_up(
    version: Callable[..., Version], silent: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", silent)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(MlflowException):
        tracking.log(version("silent"), tmp_path)


def test_a_release_made_while_the_server_was_down_is_recorded_from_disk(
    database: Path, released: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    command = [sys.executable, "-m", "winnow.cli.main", "release", "record", str(released)]
    down = subprocess.run(command, capture_output=True, text=True, check=False)
    assert down.returncode == 2
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{database / 'mlflow.db'}")
    kept = unrecorded(file_sha256(released / "manifest.json"))
    kept.parent.mkdir(parents=True)
    kept.write_text('{"git.commit": "of then", "prefect.flow_run": "of then"}')
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not kept.exists()
    (run,) = runs(file_sha256(released / "manifest.json"))
    assert done.stdout.strip() == f"recorded as run {run.info.run_id}"
    assert (run.data.metrics["kept"], run.data.tags["git.commit"]) == (16, "of then")
    assert run.data.tags["dvc.md5"] == pipeline.folder_md5(released)
    assert "release/report.html" in artifacts(run)


def test_mlflow_prints_no_address_with_the_password_in_it(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "false")
    tracking.connect(database)
    assert MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT.get()
