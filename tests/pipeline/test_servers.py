"""Servers: reached from this machine alone, or by password; what asks them gives it from the environment."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
from support import ROOT

from winnow import tracking
from winnow.doctor import servers
from winnow.errors import InputError
from winnow.local import mlflow_ui
from winnow.tracking import Version

SECRET = "correct horse battery"  # noqa: S105 of servers that live for a test
LISTENING = """
import http.client, json, psutil
from winnow.run import dask_workers as cluster

def ask(port):
    told = []
    for path in ("/health", "/status", "/json/identity.json", "/info/main/workers.html", "/metrics"):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.request("GET", path, headers={"Host": "evil.example"})
            told.append(connection.getresponse().status)
        except (OSError, http.client.HTTPException):
            told.append("no HTTP")
    return told

if __name__ == "__main__":
    with cluster.start():
        here = psutil.Process()
        tree = [here, *here.children(recursive=True)]
        heard = [c.laddr for p in tree for c in p.net_connections("inet") if c.status == psutil.CONN_LISTEN]
        print(json.dumps([[at.ip, ask(at.port)] for at in heard]))
"""


@pytest.fixture
def start(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start a Python module in an empty folder; it is gone after the test."""
    for name in ("PREFECT_API_URL", "PREFECT_API_AUTH_STRING", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PREFECT_HOME", str(workdir / "prefect"))
    started = []

    def run(*command: str, **environment: str) -> subprocess.Popen[bytes]:
        with (workdir / "log").open("ab") as log:
            env = os.environ | {"PYTHONPATH": str(ROOT)} | environment
            process = subprocess.Popen([sys.executable, "-m", *command], env=env, stdout=log, stderr=log)
        started.append(process)
        return process

    yield run
    for process in started:
        process.terminate()
        process.wait(30)


def port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


def status(url: str) -> int:
    try:
        return int(urllib.request.urlopen(url, timeout=5).status)  # noqa: S310
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 180
    while not status(url):
        assert process.poll() is None, Path("log").read_text()
        assert time.monotonic() < end, Path("log").read_text()
        time.sleep(0.5)


def test_workers_of_dask_listen_to_this_machine_alone_and_show_a_browser_nothing(workdir: Path) -> None:
    (workdir / "ask.py").write_text(LISTENING)
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "ask.py"], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    heard = json.loads(done.stdout.splitlines()[-1])
    assert len(heard) >= 3, "a scheduler, and at least a worker with its nanny"
    assert {address for address, _ in heard} == {"127.0.0.1"}
    assert {told for _, every in heard for told in every} == {404, "no HTTP"}


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.9.9.9"])
def test_pages_for_this_machine_need_no_password(host: str) -> None:
    assert "--app-name" not in mlflow_ui.command(host, 5000)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.7", "winnow.example"])  # noqa: S104 refused
def test_pages_for_others_do(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_AUTH_ADMIN_PASSWORD", raising=False)
    monkeypatch.setenv("MLFLOW_FLASK_SERVER_SECRET_KEY", "x")
    with pytest.raises(InputError, match="MLFLOW_AUTH_ADMIN_PASSWORD") as error:
        mlflow_ui.command(host, 5000)
    assert "SECRET_KEY" not in str(error.value)
    monkeypatch.setenv("MLFLOW_AUTH_ADMIN_PASSWORD", SECRET)
    arguments = mlflow_ui.command(host, 5000)
    assert "basic-auth" in arguments
    assert SECRET not in arguments


@pytest.mark.slow
def test_mlflow_behind_a_password(
    start: Callable[..., subprocess.Popen[bytes]], workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `make ui HOST=0.0.0.0` starts it, and a release is recorded there."""
    number = port()
    url = f"http://127.0.0.1:{number}"
    secrets = {"MLFLOW_AUTH_ADMIN_PASSWORD": SECRET, "MLFLOW_FLASK_SERVER_SECRET_KEY": "ab" * 32, "MLFLOW_WORKERS": "1"}
    hosts = f"127.0.0.1:{number}"
    command = ["winnow.cli.main", "ui", "--host", "0.0.0.0", "--port", number]  # noqa: S104 with a password
    process = start(*command, MLFLOW_SERVER_ALLOWED_HOSTS=hosts, **secrets)
    wait_for(f"{url}/health", process)
    assert status(f"{url}/api/2.0/mlflow/experiments/search?max_results=1") == 401
    monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
    found = servers.mlflow()
    assert (found.state, "MLFLOW_TRACKING_PASSWORD" in found.cure) == ("wrong", True), found
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "admin")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", SECRET)
    (workdir / "release").mkdir()
    (workdir / "release/ids.txt").write_text("a\n")
    table = pd.DataFrame({"id": ["a"], "class_name": ["b"]})
    version = Version("x", "f", {}, {"kept": 1}, {}, (table, "1"), (table, "1"), "photos", "x", [], workdir / "release")
    tracking.log(version, workdir)
    assert servers.mlflow().found.endswith("1 versions recorded")
    assert [path.name for path in (workdir / "mlartifacts").rglob("ids.txt")] == ["ids.txt"]
    for path in filter(Path.is_file, workdir.rglob("*")):
        assert SECRET.encode() not in path.read_bytes(), path


@pytest.mark.slow
def test_prefect_behind_a_password(
    start: Callable[..., subprocess.Popen[bytes]], workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stage's flow runs with the password, and not without; `winnow doctor` says which variable is missing."""
    from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

    number, login = port(), f"winnow:{SECRET}"
    url = f"http://127.0.0.1:{number}/api"
    process = start("prefect", "server", "start", "--port", number, PREFECT_SERVER_API_AUTH_STRING=login)
    wait_for(f"{url}/health", process)
    assert status(f"{url}/admin/version") == 401
    with temporary_settings({PREFECT_API_URL: url}):
        found = servers.prefect()
        assert (found.state, "PREFECT_API_AUTH_STRING" in found.cure) == ("wrong", True), found
    with temporary_settings({PREFECT_API_URL: url, PREFECT_API_AUTH_STRING: login}):
        assert servers.prefect().state == "ok"
    (workdir / "params.yaml").write_text("{}")
    stage = [sys.executable, "-m", "flows.sample"]
    env = os.environ | {"PYTHONPATH": str(ROOT), "PREFECT_API_URL": url, "PREFECT_CLIENT_MAX_RETRIES": "0"}
    assert subprocess.run(stage, env=env, capture_output=True, check=False).returncode == 2
    done = subprocess.run(stage, env=env | {"PREFECT_API_AUTH_STRING": login}, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    for path in filter(Path.is_file, workdir.rglob("*")):
        assert SECRET.encode() not in path.read_bytes(), path
