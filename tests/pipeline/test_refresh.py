"""The schedule: servers, work pool, deployments and worker as `make up` starts them, and a deployment that fires."""

import json
import os
import shutil
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from dotenv import dotenv_values
from processes import free_port, until
from support import Project

from winnow.local import login
from winnow.local.daemon import MARK

LOOSE = {"publish": "when_better", "accuracy_loss": 0.9, "confidence": 0.999}  # its models hardly learn
LONGEST = 900  # seconds that a schedule may take to fire and its run to end, on a busy machine


@pytest.fixture
def here(project: Project, tmp_path: Path) -> Iterator[Project]:
    """Give a copy of the project with a DVC remote and a first version; what it starts is gone after the test."""
    ours = {key: value for key, value in project.env.items() if not key.startswith("PREFECT_")}
    made = Project(Path(shutil.copytree(project.folder, tmp_path / "project")), ours)
    made.do("dvc", "remote", "add", "-q", "--default", "store", str(tmp_path / "store"))
    made.set(refresh=LOOSE)
    made.commit()
    made.do(sys.executable, "-m", "winnow.cli.main", "release", "publish", "subset", "--version", "1.0.0")
    yield made
    made.do(sys.executable, "-m", "winnow.cli.main", "down")


@pytest.mark.slow
def test_the_schedule_fires_and_a_version_appears(here: Project, tmp_path: Path) -> None:
    by_hand = Project(Path(shutil.copytree(here.folder, tmp_path / "by hand")), here.env)
    prefect, mlflow = str(free_port()), str(free_port())
    services = [sys.executable, "-m", "winnow.cli.main"]
    up = [*services, "up", "--prefect", prefect, "--mlflow", mlflow]
    said = here.do(*up, timeout=LONGEST)
    assert f"http://127.0.0.1:{prefect}" in said
    assert f"http://127.0.0.1:{mlflow}" in said
    processes = sorted((here.folder / ".winnow/services").glob("*.json"))
    before = [path.read_text() for path in processes]
    assert here.do(*up, timeout=LONGEST).count("is running already") == 3
    assert [path.read_text() for path in processes] == before, "a second call changes nothing"
    assert here.do(*services, "status").count("running (process") == 3

    here.set(optimize={"keep": 0.6})
    here.commit()
    signed_in = {key: str(value) for key, value in dotenv_values(here.folder / login.PLACE).items()}
    schedule = ["prefect", "deployment", "schedule", "create", "refresh/refresh", "--interval", "15"]
    Project(here.folder, here.env | signed_in).do(*schedule)
    log = here.folder / ".winnow/services/worker.log"
    until(lambda: "Published as" in log.read_text(), LONGEST)
    assert "Published as subset@v1.1.0." in log.read_text(), log.read_text()
    assert here.do("git", "tag").split() == ["subset@v1.0.0", "subset@v1.1.0"]
    assert "changed: optimize, evaluate, release" in log.read_text()
    alias = f"http://127.0.0.1:{mlflow}/api/2.0/mlflow/registered-models/alias?name=digits&alias=champion"
    champion = json.load(urllib.request.urlopen(alias))["model_version"]
    run = f"http://127.0.0.1:{mlflow}/api/2.0/mlflow/runs/get?run_id={champion['run_id']}"
    tags = {tag["key"]: tag["value"] for tag in json.load(urllib.request.urlopen(run))["run"]["data"]["tags"]}
    assert tags["winnow.version"] == "subset@v1.1.0"
    assert (here.folder / f".winnow/logs/{tags['winnow.run']}.jsonl").is_file()
    assert tags["winnow.run"].startswith("refresh-")

    here.do(*services, "down")
    assert here.run(*services, "status").returncode == 1
    assert descendants(here) == [], "nothing is left, a run that was at work included"
    by_hand.set(optimize={"keep": 0.6})
    by_hand.repro()
    assert released(by_hand) == released(here)


def released(made: Project) -> dict[str, bytes]:
    return {name: content for name, content in made.results().items() if name.startswith("release/")}


def descendants(of: Project) -> list[str]:
    """Commands of this user's processes that descend from the services of a project."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get(MARK) == str(of.folder):
                found.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return found
