"""Processes that are killed while `dvc repro` runs: the same command finishes the job, with the same bytes."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from faulty import COMMAND, STAGES, check, halted, unfinished
from prefect import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings
from processes import Processes, free_port, kill, kill_tree, tree, until
from support import Project

from winnow.compute import device
from winnow.run import stage as runtime

pytestmark = pytest.mark.slow


@pytest.fixture
def copy(whole: Project, tmp_path: Path) -> Project:
    """The project, in which the last stages have never run."""
    return unfinished(whole, tmp_path / "copy")


@pytest.fixture
def processes(copy: Project, tmp_path: Path) -> Iterator[Processes]:
    """Give a way to start what is gone after the test."""
    made = Processes(tmp_path, copy.env | {"PREFECT_HOME": str(tmp_path / "prefect")})
    yield made
    made.end()


def test_a_stage(copy: Project, whole: Project, processes: Processes) -> None:
    dvc = processes.start(*COMMAND, at=copy.folder)
    halted(processes).kill()
    assert dvc.wait(120) != 0
    assert copy.repro("release") == STAGES
    check(copy, whole)


def test_dvc_alone(copy: Project, whole: Project, processes: Processes) -> None:
    """Its stage goes on; the next run says so, and waits for it."""
    dvc = processes.start(*COMMAND, at=copy.folder)
    stage = halted(processes)
    kill(dvc)
    again = processes.start(*COMMAND, at=copy.folder)
    until(lambda: "waiting for" in processes.words() or again.poll() is not None)
    assert f"waiting for the stage evaluate (end it with: kill {stage.pid}), which is at work" in processes.words()
    stage.resume()
    assert again.wait(600) == 0, processes.words()
    assert not stage.is_running()
    check(copy, whole)


def test_the_server_of_prefect(copy: Project, whole: Project, processes: Processes) -> None:
    port = str(free_port())
    url = f"http://127.0.0.1:{port}/api"
    command = (sys.executable, "-m", "prefect", "server", "start", "--port", port)
    server = processes.serve(f"{url}/health", *command)
    here = Project(copy.folder, processes.env | {"PREFECT_API_URL": url})
    dvc = processes.start(*COMMAND, at=copy.folder, PREFECT_API_URL=url)
    stage = halted(processes)
    kill_tree(server.pid)
    stage.resume()
    assert dvc.wait(600) != 0, "the stage asks again for a minute, then gives up"
    processes.serve(f"{url}/health", *command)
    assert here.repro("release") == STAGES
    check(here, whole)
    with temporary_settings({PREFECT_API_URL: url}), get_client(sync_client=True) as client:
        assert client.read_global_concurrency_limit_by_name(f"tag:{runtime.GPU}").active_slots == 0


def test_everything_at_once(copy: Project, whole: Project, processes: Processes) -> None:
    """As when a machine loses its power."""
    dvc = processes.start(*COMMAND, at=copy.folder)
    halted(processes)
    os.killpg(dvc.pid, signal.SIGKILL)
    dvc.wait(30)
    assert copy.repro("release") == STAGES
    check(copy, whole)


def test_a_worker_of_dask(copy: Project, whole: Project, processes: Processes) -> None:
    """One of those that the stage started: another takes its place, and the run goes on."""
    copy.set(runtime={"runner": "dask"})
    dvc = processes.start(*COMMAND, at=copy.folder)
    ready = "Starting worker compute stream"  # before that, the cluster does not start, and the stage fails
    until(lambda: processes.words().count(ready) == device.slots() or dvc.poll() is not None)
    workers(dvc.pid)[0].kill()
    assert dvc.wait(900) == 0, processes.words()
    check(copy, whole)


def workers(pid: int) -> list[psutil.Process]:
    """The workers that were started below a process."""
    found = []
    for each in tree(pid):
        with suppress(psutil.NoSuchProcess):
            found += [psutil.Process(each)] if "spawn_main" in " ".join(psutil.Process(each).cmdline()) else []
    return found
