"""A temporary Prefect server is used by the flows of the process that started it, and ends when that is killed."""

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil

STARTS = """
import time
from prefect import flow
from prefect.server.api.server import SubprocessASGIServer
from flows import server

@flow
def nothing(): return 1

with server.shared():
    process = SubprocessASGIServer().server_process.pid
    nothing()
    assert SubprocessASGIServer().server_process.pid == process
    print(process, flush=True)
    time.sleep(600)
"""


def gone(server: psutil.Process) -> bool:
    for _ in range(600):
        if not server.is_running() or server.status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.1)
    return False


def test_it_ends_with_a_process_that_is_killed(tmp_path: Path) -> None:
    env = {key: value for key, value in os.environ.items() if key != "PREFECT_API_URL"}
    env |= {"PREFECT_HOME": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[2])}
    process = subprocess.Popen([sys.executable, "-c", STARTS], env=env, text=True, stdout=subprocess.PIPE)
    assert process.stdout
    server = psutil.Process(int(process.stdout.readline()))
    assert server.is_running()
    process.kill()
    process.communicate()
    assert gone(server)
