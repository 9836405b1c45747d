"""The schedule: a real server, work pool and worker, and a deployment whose schedule fires."""

import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from support import Project


def test_the_schedule_fires_and_runs_what_changed(project: Project, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    api = f"http://127.0.0.1:{port}/api"
    here = Project(project.folder, project.env | {"PREFECT_API_URL": api, "PREFECT_HOME": str(tmp_path / "prefect")})
    log = tmp_path / "worker.log"
    with log.open("w") as out:
        server = start(here, out, "server", "start", "--port", port)
        try:
            wait(lambda: answers(f"{api}/health"), 90)
            for command in (
                ["work-pool", "create", "winnow", "--type", "process"],
                ["--no-prompt", "deploy", "--all"],
                ["deployment", "schedule", "create", "refresh/refresh", "--interval", "15"],
            ):
                done = here.run("prefect", *command)
                assert done.returncode == 0, done.stdout
            here.set(optimize={"keep": 0.6})
            worker = start(here, out, "worker", "start", "--pool", "winnow")
            try:
                wait(lambda: "changed: optimize, evaluate, release" in log.read_text(), 180)
            finally:
                worker.terminate()
        finally:
            server.terminate()
            here.set(optimize={"keep": 0.7})
    assert "changed: optimize, evaluate, release" in log.read_text(), log.read_text()
    assert len((here.folder / "data/release/ids.txt").read_text().splitlines()) == 2400


def start(project: Project, out: TextIO, *command: str) -> subprocess.Popen[str]:
    full = ["prefect", *command]
    return subprocess.Popen(full, cwd=project.folder, env=project.env, stdout=out, stderr=out, text=True)


def answers(url: str) -> bool:
    try:
        return bool(urllib.request.urlopen(url))  # noqa: S310
    except OSError:
        return False


def wait(holds: Callable[[], bool], seconds: float) -> None:
    """Until a condition holds, or the time is over; what is asserted afterwards tells which."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and not holds():
        time.sleep(1)
