"""A secret that a run needs, or that was put in the wrong place, is in nothing that the run leaves or says."""

import importlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer
from prefect import Flow
from support import ROOT, Project, checkout

from winnow.errors import redacted

SECRET = "-".join(["c0rrect", "h0rse", "battery"])  # in pieces, since this very file lies in the project too
BUCKET = "photos"


@pytest.fixture
def store(photo_stages: Path) -> Iterator[str]:
    """An S3 server that holds the images; its address."""
    server = ThreadedMotoServer(port=0)
    server.start()
    url = "http://{}:{}".format(*server.get_host_and_port())
    client = boto3.client(
        "s3", endpoint_url=url, region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key=SECRET
    )
    client.create_bucket(Bucket=BUCKET)
    originals = photo_stages.with_name("originals")
    for path in originals.rglob("*.png"):
        client.upload_file(str(path), BUCKET, path.relative_to(originals).as_posix())
    yield url
    server.stop()


@pytest.fixture
def planted(environment: dict[str, str], photo_stages: Path, store: str, tmp_path: Path) -> Project:
    """A project with results, whose images are in that store, and secrets wherever it reads any.

    It names no Prefect server, whose password would be another.
    """
    env = {name: value for name, value in environment.items() if name != "PREFECT_API_URL"}
    env |= {
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_ENDPOINT_URL": store,
        "PREFECT_API_AUTH_STRING": f"me:{SECRET}",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    project = checkout(tmp_path / "project", env)
    shutil.copytree(photo_stages, project.folder / "data", dirs_exist_ok=True)
    project.set(prepare={"source": f"s3://{BUCKET}", "wrong_labels": 0.0, "damaged": 0.0})
    origin = f"https://me:{SECRET}@host.example/it.git"
    subprocess.run(["git", "remote", "add", "origin", origin], cwd=project.folder, check=True)
    return project


def files(*folders: Path) -> Iterator[Path]:
    for folder in folders:
        yield from (path for path in folder.rglob("*") if path.is_file() and path.parts[-2:] != (".git", "config"))


@pytest.mark.slow
def test_secrets_of_the_environment_are_left_nowhere(planted: Project) -> None:
    for stage in ("source", "prepare"):
        done = planted.run("python", "-m", f"flows.{stage}")
        assert done.returncode == 0, done.stdout
        assert SECRET not in done.stdout
    away = {"MLFLOW_TRACKING_URI": f"http://me:{SECRET}@127.0.0.1:9"}
    for extra, words in ((away, "record it later"), ({}, "recorded in MLflow")):
        done = Project(planted.folder, planted.env | extra).run("python", "-m", "flows.release")
        assert done.returncode == 0, done.stdout
        assert words in done.stdout
        assert SECRET not in done.stdout
    found = list(files(planted.folder, Path(planted.env["PREFECT_HOME"])))
    for kind in ("jsonl", "db", "json", "parquet", "html", "md"):
        assert any(path.name.endswith(kind) for path in found), kind
    for path in found:
        assert SECRET.encode() not in path.read_bytes(), path


FAILS = """
import sys
from prefect import flow
from winnow.run import decorators
from winnow.run import stage as runtime
from winnow.run.settings import Runtime
from winnow.terminal.ending import ended
from winnow.errors import redacted

def fails(device=None):
    raise OSError(5, "cannot be read", sys.argv[2])

@flow(name="fails")
@redacted
def run(where):
    if where == "flow":
        fails()
    make = decorators.gpu_task if where == "gpu task" else decorators.task
    make(fails).submit().result()

with ended(), runtime.running(run, Runtime()) as ready:
    ready(sys.argv[1])
"""


@pytest.mark.parametrize("where", ["flow", "task", "gpu task"])
def test_what_fails_keeps_no_secret_in_prefect(environment: dict[str, str], workdir: Path, where: str) -> None:
    """Neither in states nor in logs; the address is no parameter of a stage, but what such an error names."""
    env = environment | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", FAILS, where, f"http://me:{SECRET}@host/x"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "OSError: [Errno 5] cannot be read: 'http://***@host/x'" in done.stderr
    assert SECRET not in done.stdout + done.stderr
    found = list(files(workdir, Path(environment["PREFECT_HOME"])))
    assert any(
        b"cannot be read: 'http://***@host/x'" in path.read_bytes() for path in found if "prefect.db" in path.name
    )
    for path in found:
        assert SECRET.encode() not in path.read_bytes(), path


def test_every_flow_takes_secrets_out_of_its_errors() -> None:
    found = dict[str, Flow[..., object]]()
    for path in (ROOT / "flows").glob("*.py"):
        if "@flow" in path.read_text():
            module = importlib.import_module(f"flows.{path.stem}")
            found |= {each.name: each for each in vars(module).values() if isinstance(each, Flow)}
    assert len(found) > 10
    assert [name for name, each in found.items() if each.fn.__code__ is not redacted(print).__code__] == []


def test_a_secret_in_a_parameter_stops_the_run_and_goes_no_further(planted: Project) -> None:
    planted.set(prepare={"source": f"https://me:{SECRET}@host.example/list.csv?X-Amz-Signature={SECRET}"})
    for command in (["python", "-m", "flows.source"], ["python", "-m", "flows.prepare"], ["dvc", "repro"]):
        done = planted.run(*command)
        assert done.returncode != 0
        assert "prepare.source holds a secret" in done.stdout
        assert SECRET not in done.stdout
    (planted.folder / "params.yaml").unlink()
    for path in files(planted.folder, Path(planted.env["PREFECT_HOME"])):
        assert SECRET.encode() not in path.read_bytes(), path
    assert os.listdir(planted.folder / "data/release")
