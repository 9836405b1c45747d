"""A refresh judges what came out: it publishes, holds back and says why, finds nothing new, and waits for another.

The stages copy a release that lies ready, so that a refresh takes seconds; server, DVC, Git and MLflow are real.
"""

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pandas as pd
import psutil
import pytest
from mlflow import MlflowClient
from mlflow.entities import RunData
from support import ROOT, Project, artifact

from winnow.files.hashes import file_sha256
from winnow.files.json_files import read_json, write_json

PIPELINE = """
stages:
  release:
    cmd: cp -r made data/release
    deps: [made]
    outs: [data/release]
artifacts:
  subset: {path: data/release, type: dataset}
"""
RECORDED = f"cp -r made data/release && {sys.executable} -m winnow.cli.main release record"
REFRESH = (sys.executable, "-u", "-m", "flows.refresh")
SLOW = "cp -r made data/release && touch begun && while [ ! -e go ]; do sleep 0.1; done"


@pytest.fixture
def project(environment: dict[str, str], photo_stages: Path, tmp_path: Path) -> Project:
    """A project with a release that is published on its own where it holds, a DVC remote and a Git remote."""
    here = Project(tmp_path / "project", environment | {"PYTHONPATH": str(ROOT)})
    shutil.copytree(photo_stages / "release", here.folder / "made")
    (here.folder / "data").mkdir()
    (here.folder / "data/.gitignore").write_text("/release\n")
    (here.folder / "dvc.yaml").write_text(PIPELINE)
    (here.folder / "params.yaml").write_text("refresh: {publish: when_better, push: origin, least_kept: 0}\n")
    (here.folder / ".gitignore").write_text("/.winnow/\n/mlflow.db*\n/mlartifacts/\n/begun\n/go\n")
    here.use_git()
    here.do("git", "init", "-q", "--bare", str(tmp_path / "origin"))
    here.do("git", "remote", "add", "origin", str(tmp_path / "origin"))
    here.do(sys.executable, "-m", "dvc", "init", "-q")
    here.do(sys.executable, "-m", "dvc", "remote", "add", "-q", "--default", "store", str(tmp_path / "store"))
    here.commit()
    return here


def tags(here: Project, at: str = ".") -> list[str]:
    return here.do("git", "-C", at, "tag").split()


def measured(here: Project, shift: float, seeds: int = 2) -> None:
    """Make the release one whose models are better by `shift`, as new data would."""
    table = pd.read_csv(here.folder / "made/accuracy.csv")
    table["accuracy"] += shift
    table.to_csv(here.folder / "made/accuracy.csv", index=False)
    manifest = read_json(here.folder / "made/manifest.json")
    manifest["files"]["accuracy.csv"] = file_sha256(here.folder / "made/accuracy.csv")
    write_json(here.folder / "made/manifest.json", manifest)
    here.commit()


@pytest.fixture
def posted() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A server that takes webhooks: its address, and what it was told."""
    told: list[dict[str, Any]] = []

    class Listener(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Listener) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/hook-of-ours", told
        server.shutdown()


def test_what_holds_becomes_a_version_and_what_does_not_stays_a_candidate(
    project: Project, posted: tuple[str, list[dict[str, Any]]], tmp_path: Path
) -> None:
    address, told = posted
    here = Project(project.folder, project.env | {"WINNOW_WEBHOOK": address})
    (here.folder / "dvc.yaml").write_text(PIPELINE.replace("cp -r made data/release", RECORDED))
    here.commit()
    first = here.do(*REFRESH)
    assert "changed: release" in first
    assert tags(here) == tags(here, str(tmp_path / "origin")) == ["subset@v0.1.0"]
    head = here.do("git", "rev-parse", "HEAD")
    assert (
        head
        == here.do("git", "-C", str(tmp_path / "origin"), "rev-parse", "main", "subset@v0.1.0^{}").split()[0] + "\n"
    )

    again = here.do(*REFRESH)
    assert "changed: nothing" in again
    assert (tags(here), here.do("git", "rev-parse", "HEAD"), told) == (["subset@v0.1.0"], head, [])

    measured(here, -0.1)
    worse = here.run(*REFRESH)
    assert worse.returncode == 1, worse.stdout
    reason = "accuracy 40.00% is 10.00% below the champion's, more than 2.00%"
    assert f"held back: {reason}" in worse.stdout
    assert tags(here) == ["subset@v0.1.0"]
    assert same(here), "the candidate is left to look at"
    candidate, champion = alias(here, "candidate"), alias(here, "champion")
    assert ("winnow.version" in candidate.tags, champion.tags["winnow.version"]) == (False, "subset@v0.1.0")
    assert candidate.tags["winnow.release"] == file_sha256(here.folder / "made/manifest.json")
    assert [notice["reasons"] for notice in told] == [[reason]]
    assert reason in told[0]["text"]
    assert told[0]["run"].startswith("refresh-")
    log = (here.folder / f".winnow/logs/{told[0]['run']}.jsonl").read_text()
    assert reason in log
    assert address not in log + worse.stdout
    page, checks = artifact(here.env, "refresh"), artifact(here.env, "refresh-checks")
    assert reason in page
    assert [row["holds"] for row in json.loads(checks) if row["check"] == "accuracy"] == ["no"]
    assert artifact(here.env, "refresh-progress") == 100

    measured(here, +0.2)
    here.do(*REFRESH)
    assert tags(here) == tags(here, str(tmp_path / "origin")) == ["subset@v0.1.0", "subset@v0.2.0"]
    assert same(here)
    assert alias(here, "candidate").tags == alias(here, "champion").tags
    assert len(told) == 1


def alias(here: Project, name: str) -> RunData:
    """What MLflow has of the version with an alias."""
    client = MlflowClient(f"sqlite:///{here.folder / 'mlflow.db'}")
    run = client.get_model_version_by_alias("photos", name).run_id
    assert run
    return client.get_run(run).data


def same(here: Project) -> bool:
    """The release in the workspace is the one that lies ready."""
    return (here.folder / "data/release/manifest.json").read_bytes() == (
        here.folder / "made/manifest.json"
    ).read_bytes()


@pytest.mark.slow
def test_nothing_is_published_unless_that_is_asked_and_nothing_that_is_not_committed(project: Project) -> None:
    (project.folder / "params.yaml").write_text("refresh: {least_kept: 0}\n")
    done = project.do(*REFRESH)
    assert "A candidate that holds. To publish it: `winnow release publish subset --bump minor`." in done
    assert tags(project) == []
    (project.folder / "params.yaml").write_text("refresh: {least_kept: 0, publish: when_better}\n")
    refused = project.run(*REFRESH)
    assert refused.returncode == 2, refused.stdout
    assert "params.yaml is not committed" in refused.stdout
    (project.folder / "params.yaml").write_text("refresh: {publish: always}\n")
    refused = project.run(*REFRESH)
    assert (refused.returncode, "refresh.publish" in refused.stdout) == (2, True), refused.stdout


@pytest.mark.slow
def test_data_that_git_names_is_got_from_the_remote(project: Project) -> None:
    dvc = [sys.executable, "-m", "dvc"]
    project.do("git", "rm", "-rq", "--cached", "made")
    project.do(*dvc, "add", "-q", "made")
    project.commit()
    project.do(*dvc, "push", "-q")
    for folder in ("made", ".dvc/cache"):
        shutil.rmtree(project.folder / folder)
    project.do(*REFRESH)
    assert tags(project) == ["subset@v0.1.0"]
    assert same(project)


@pytest.mark.slow
def test_a_second_waits_also_for_what_a_killed_one_left_at_work(project: Project) -> None:
    (project.folder / "dvc.yaml").write_text(PIPELINE.replace("cp -r made data/release", SLOW))
    project.commit()
    first = subprocess.Popen(
        REFRESH, cwd=project.folder, env=project.env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    wait_for(project.folder / "begun", first)
    second = subprocess.Popen(
        REFRESH, cwd=project.folder, env=project.env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert second.stdout
    said = next(line for line in second.stdout if "waiting for" in line)
    assert f"(process {first.pid}), which is at work in this checkout" in said
    below = psutil.Process(first.pid).children(recursive=True)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    assert any(process.is_running() for process in below), "DVC goes on without it"
    assert second.poll() is None
    (project.folder / "go").touch()
    rest, _ = second.communicate(timeout=300)
    assert second.returncode == 0, rest
    assert tags(project) == ["subset@v0.1.0"]
    assert same(project)
    psutil.wait_procs(below, timeout=60)


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    while not path.exists():
        assert process.poll() is None, process.communicate()[0]
