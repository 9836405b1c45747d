"""PostgreSQL behind Prefect and behind MLflow: ten at once, and none is lost."""

import getpass
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import mlflow
import psycopg2
import pytest
from prefect import get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.settings import PREFECT_API_URL, temporary_settings
from processes import Processes, free_port, until
from support import ROOT

from winnow import tracking
from winnow.run import decorators

pytestmark = pytest.mark.slow

AT_ONCE, TASKS, TRAININGS = 10, 3, 4
PLACES = os.pathsep.join((os.environ["PATH"], *map(str, Path("/usr/lib/postgresql").glob("*/bin"))))
FLOW = """
import sys
from prefect import flow
from winnow.run import stage as runtime
from winnow.run.decorators import gpu_task

def work(number, device):
    print(number)

@flow(log_prints=True)
def ten(name):
    task = gpu_task(work)
    for future in [task.submit(number) for number in range(3)]:
        future.result()

with runtime.running(ten, runtime.Runtime()) as ready:
    ready(sys.argv[1])
"""
RECORDING = """
import sys
from pathlib import Path
import pandas as pd
from winnow import tracking
table = pd.DataFrame({"id": ["a"], "label": [0]})
cells = [{"arm": arm, "seed": seed, "accuracy": 0.5, "kept": 1} for arm in ("subset", "all") for seed in (0, 1)]
version = tracking.Version("digits", sys.argv[1], {"keep": 0.5}, {"kept": 1}, {}, (table, "1"), (table, "2"), "photos",
                           "digits", cells, Path("release"))
tracking.log(version, Path.cwd())
"""


@pytest.fixture(scope="module")
def postgresql() -> Iterator[int]:
    """Start a server of PostgreSQL that this machine alone reaches; its port."""
    initdb, server = (shutil.which(name, path=PLACES) for name in ("initdb", "postgres"))
    if not initdb or not server:
        pytest.skip("no PostgreSQL: apt-get install postgresql")
    names = {entry.pw_name for entry in pwd.getpwall()}
    user = getpass.getuser() if os.getuid() else "postgres" if "postgres" in names else "nobody"  # it refuses root
    as_user = {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []} if not os.getuid() else {}
    port = free_port()
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "log").open("w") as log:
        shutil.chown(folder, user)
        data = f"{folder}/data"
        subprocess.run(
            [initdb, "-D", data, "-A", "trust", "-U", "winnow", "--no-sync", "-E", "UTF8", "--locale", "C"],
            check=True,
            stdout=log,
            stderr=log,
            cwd="/",
            **as_user,
        )
        command = [server, "-D", data, "-h", "127.0.0.1", "-p", str(port), "-k", folder, "-c", "fsync=off"]
        with subprocess.Popen(command, stdout=log, stderr=log, cwd="/", **as_user) as process:
            until(lambda: connects(port) or process.poll() is not None)
            yield port
            process.terminate()


def connects(port: int) -> bool:
    try:
        psycopg2.connect(host="127.0.0.1", port=port, user="winnow", dbname="postgres").close()
    except psycopg2.OperationalError:
        return False
    return True


def database(port: int, name: str) -> str:
    """Make a database; where it is, as URLs of it go on."""
    connection = psycopg2.connect(host="127.0.0.1", port=port, user="winnow", dbname="postgres")
    connection.autocommit = True
    connection.cursor().execute(f"CREATE DATABASE {name}")
    connection.close()
    return f"://winnow@127.0.0.1:{port}/{name}"


@pytest.fixture
def processes(workdir: Path) -> Iterator[Processes]:
    """Give a way to start what is gone after the test."""
    env = os.environ | {"PYTHONPATH": str(ROOT), "PREFECT_HOME": str(workdir / "prefect"), "OMP_NUM_THREADS": "1"}
    made = Processes(workdir, env)
    yield made
    made.end()


def together(processes: Processes, code: str, **env: str) -> None:
    """Run the same program at once, each with a name of its own; all end well, and none speaks of locks."""
    all_at_once = [processes.start(sys.executable, "-c", code, f"number {i}", **env) for i in range(AT_ONCE)]
    assert [process.wait(900) for process in all_at_once] == [0] * AT_ONCE, processes.words()
    words = processes.words().lower()
    assert [word for word in ("deadlock", "is locked", "lock timeout", "too many clients") if word in words] == []


def test_ten_flows_at_once(postgresql: int, processes: Processes) -> None:
    port = str(free_port())
    url = f"http://127.0.0.1:{port}/api"
    place = f"postgresql+asyncpg{database(postgresql, 'prefect')}"
    processes.serve(
        f"{url}/health",
        sys.executable,
        "-m",
        "prefect",
        "server",
        "start",
        "--port",
        port,
        PREFECT_API_DATABASE_CONNECTION_URL=place,
    )
    together(processes, FLOW, PREFECT_API_URL=url)
    with temporary_settings({PREFECT_API_URL: url}), get_client(sync_client=True) as client:
        flows, tasks = client.read_flow_runs(flow_run_filter=FlowRunFilter()), client.read_task_runs()
        assert sorted(run.parameters["name"] for run in flows) == sorted(f"number {i}" for i in range(AT_ONCE))
        assert {run.state_name for run in flows} == {"Completed"}
        assert [run.state_name for run in tasks] == ["Completed"] * AT_ONCE * TASKS
        assert client.read_global_concurrency_limit_by_name(f"tag:{decorators.GPU}").active_slots == 0


def test_ten_recordings_at_once(postgresql: int, processes: Processes, workdir: Path) -> None:
    url = f"http://127.0.0.1:{(port := free_port())}"
    processes.serve(
        f"{url}/health",
        sys.executable,
        "-m",
        "mlflow",
        "server",
        "--port",
        str(port),
        "--workers",
        "1",
        "--backend-store-uri",
        f"postgresql+psycopg2{database(postgresql, 'mlflow')}",
        "--artifacts-destination",
        str(workdir / "kept"),
    )
    (workdir / "release").mkdir()
    (workdir / "release/ids.txt").write_text("a\n")
    together(processes, RECORDING, MLFLOW_TRACKING_URI=url)
    mlflow.set_tracking_uri(url)
    try:
        every = mlflow.search_runs(experiment_names=[tracking.EXPERIMENT], output_format="list")
        known = {run.data.tags.get(tracking.VERSION_TAG) for run in every} - {None}
        assert known == {f"number {i}" for i in range(AT_ONCE)}
        assert [run.info.status for run in every] == ["FINISHED"] * AT_ONCE * (1 + TRAININGS)
        assert len(list((workdir / "kept").rglob("ids.txt"))) == AT_ONCE
        versions = mlflow.MlflowClient().search_model_versions("name = 'digits'")
        assert sorted(int(version.version) for version in versions) == list(range(1, AT_ONCE + 1))
    finally:
        mlflow.set_tracking_uri(None)
