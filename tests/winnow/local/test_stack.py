"""Services of this machine: found again by more than a number, ended with all that descends from them."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from winnow.errors import InputError
from winnow.files.json_files import read_json, write_json
from winnow.local import daemon, stack
from winnow.local.daemon import MARK, Service

SLEEPER = "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], \
start_new_session=True); time.sleep(600)"


def begin(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> psutil.Process:
    """Start a service that has started a process with a session of its own."""
    monkeypatch.setenv(MARK, str(workdir))
    (workdir / "sleeper.py").write_text(SLEEPER)
    daemon.ROOM.mkdir(parents=True)
    service = Service("worker", ["sleeper"], None, "runs what is due")
    daemon.start(service, os.environ | {"PYTHONPATH": str(workdir)})
    process = daemon.running("worker")
    assert process
    while not process.children():
        time.sleep(0.05)
    return process


def test_all_that_descends_from_a_service_ends_with_it(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    process = begin(workdir, monkeypatch)
    below = process.children()
    assert stack.status()
    stack.down()
    assert not process.is_running()
    assert not any(one.is_running() for one in below)
    assert not stack.status()
    stack.down()


def test_what_a_killed_service_left_is_ended_too(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    process = begin(workdir, monkeypatch)
    below = process.children()
    process.kill()
    process.wait(60)
    assert not stack.status()
    assert below[0].is_running()
    stack.down()
    psutil.wait_procs(below, timeout=60)
    assert not below[0].is_running()


def test_another_process_with_the_number_of_a_service_is_not_taken_for_it(workdir: Path) -> None:
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    daemon.ROOM.mkdir(parents=True)
    write_json(daemon.file("worker"), {"pid": other.pid, "started": 1.0, "page": ""})
    try:
        assert daemon.running("worker") is None
        stack.down()
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"pid": 1}'])
def test_what_is_written_of_a_service_may_have_been_lost(
    workdir: Path, content: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """As when power was lost before it was on the disk."""
    daemon.ROOM.mkdir(parents=True)
    daemon.file("worker").write_text(content)
    assert daemon.running("worker") is None
    assert not stack.status()
    assert capsys.readouterr().out.startswith("worker    ended; see ")
    stack.down()
    assert not daemon.file("worker").exists()


def test_a_port_that_is_taken_is_named(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PREFECT_API_URL", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        number = other.getsockname()[1]
        with pytest.raises(InputError, match=f"127.0.0.1:{number} is taken by another process; choose another port"):
            stack.up(number, 5000)
    assert not list(daemon.ROOM.glob("*.json"))


def test_servers_of_the_environment_are_used(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert [service.name for service in stack.services(4200, 5000)] == ["prefect", "mlflow", "worker"]
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:4200/api")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000/")
    assert len(stack.services(4200, 5000)) == 3, "those that it starts itself"
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://tracking.example")
    assert [service.name for service in stack.services(4200, 5000)] == ["worker"]
    assert stack.environment(4200, 5000)["MLFLOW_TRACKING_URI"] == "https://tracking.example"
    with pytest.raises(
        InputError,
        match=r"the Prefect server at http://127.0.0.1:9/api does not answer .* set in the environment\. Start",
    ):
        stack.up(4200, 5000)


def test_a_service_that_does_not_start_says_where_its_log_lies(workdir: Path) -> None:
    daemon.ROOM.mkdir(parents=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(RuntimeError, match=r"prefect did not start; see .winnow/services/prefect.log"):
        daemon.start(Service("prefect", ["no.such.module"], url, url), dict(os.environ))
    assert "No module named" in (daemon.ROOM / "prefect.log").read_text()
    assert daemon.running("prefect") is None
    assert set(read_json(daemon.file("prefect"))) == {"pid", "started", "page"}
