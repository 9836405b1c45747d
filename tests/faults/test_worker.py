"""A worker of Prefect that is killed while it refreshes: `make up` and the same run again finish the job."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from dotenv import dotenv_values
from faulty import MODULE, check, unfinished
from processes import Processes, free_port, until
from support import Project

from winnow.files.json_files import read_json
from winnow.local import login

pytestmark = pytest.mark.slow

SERVICES = (sys.executable, "-m", "winnow.cli.main")
RUN = ("prefect", "deployment", "run", "refresh/refresh", "--watch")


@pytest.fixture
def here(whole: Project, tmp_path: Path) -> Iterator[Project]:
    """Give a copy of the project, with an environment that names no server; what it starts is gone after the test."""
    made = unfinished(whole, tmp_path / "copy")
    ours = {key: value for key, value in made.env.items() if not key.startswith("PREFECT_")}
    yield (made := Project(made.folder, ours))
    made.run(*SERVICES, "down")


def test_the_refresh_is_finished_by_the_same_commands(here: Project, whole: Project, tmp_path: Path) -> None:
    prefect, mlflow = free_port(), free_port()
    up = (*SERVICES, "up", "--prefect", str(prefect), "--mlflow", str(mlflow))
    done = here.run(*up, timeout=900)
    assert done.returncode == 0, done.stdout
    signed_in = {key: str(value) for key, value in dotenv_values(here.folder / login.PLACE).items()}
    processes = Processes(tmp_path, here.env | signed_in)
    processes.start(*RUN, at=here.folder)
    try:
        log = here.folder / ".winnow/services/worker.log"
        until(lambda: "for flow 'evaluate'" in log.read_text(), 600)
        (stage,) = at_work(here)
        stage.suspend()
        worker = psutil.Process(read_json(here.folder / ".winnow/services/worker.json")["pid"])
        worker.kill()
        worker.wait(30)
        assert here.run(*up, timeout=900).returncode == 0
        second = processes.start(*RUN, at=here.folder)
        stage.resume()
        assert second.wait(1200) == 0, log.read_text()
    finally:
        processes.end()
    shutil.rmtree(here.folder / "data/pretrain")  # a refresh makes every stage anew, and this one no release here needs
    check(here, whole)


def at_work(made: Project) -> list[psutil.Process]:
    """The stage that trains in a project, whoever started it."""
    every = psutil.process_iter(["cmdline", "cwd"])
    return [p for p in every if (p.info["cmdline"] or [])[1:] == MODULE and p.info["cwd"] == str(made.folder)]
