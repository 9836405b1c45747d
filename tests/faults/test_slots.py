"""Slots for GPUs are held by the runs at work, by whatever address they know the server, and by no run that is gone."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings
from processes import Processes, kill, until
from support import ROOT

from winnow.run import decorators, stage, stage_lock

AT_WORK = """
import time
from prefect import flow
from winnow.run import stage as runtime
from winnow.run.decorators import gpu_task

def work(device):
    print("at work", flush=True)
    time.sleep(600)

@flow
def run():
    gpu_task(work).submit().result()

with runtime.gpu_slots():
    run()
"""
TURN = """
import time
from winnow.run import stage_lock as turn
with turn.taken("embed"):
    print("its turn", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def processes(workdir: Path) -> Iterator[Processes]:
    """Give a way to start what is gone after the test."""
    made = Processes(workdir, os.environ | {"PYTHONPATH": str(ROOT)})
    yield made
    made.end()


def held() -> int:
    with get_client(sync_client=True) as client:
        return client.read_global_concurrency_limit_by_name(f"tag:{decorators.GPU}").active_slots


def test_a_run_that_knows_the_server_by_another_name_frees_only_what_the_dead_hold(
    processes: Processes, environment: dict[str, str]
) -> None:
    url = environment["PREFECT_API_URL"]
    other = processes.start(sys.executable, "-c", AT_WORK, PREFECT_API_URL=url)
    until(lambda: "at work" in processes.words() or other.poll() is not None)
    assert "at work" in processes.words()
    with temporary_settings({PREFECT_API_URL: url.replace("127.0.0.1", "localhost")}):
        with stage.gpu_slots():
            assert held() == 1, "the other run is at work"
        kill(other)
        assert held() == 1, "the fault is there"
        with stage.gpu_slots():
            assert held() == 0


def test_a_stage_waits_for_one_at_work_and_not_for_one_that_was_killed(workdir: Path, processes: Processes) -> None:
    first = processes.start(sys.executable, "-c", TURN)
    until(lambda: "its turn" in processes.words())
    second = subprocess.Popen(
        [sys.executable, "-c", TURN], env=processes.env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    processes.started.append(second)
    assert second.stdout
    words = second.stdout.readline()
    assert words == (
        f"winnow: waiting for the stage embed (end it with: kill {first.pid}), which is at work in this project\n"
    )
    kill(first)
    assert second.stdout.readline() == "its turn\n"
    assert f"kill {second.pid}" in (workdir / stage_lock.PLACE).read_text()
