"""The whole pipeline on the bundled sample: what it leaves, what it runs again, and that it is the same bytes twice."""

import json
import os
import re
import signal
import subprocess
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import product
from pathlib import Path
from threading import Thread

import pandas as pd
import pytest
from faulty import STAGES, check, unfinished
from support import Project, checkout, stages_run

from winnow.files.hashes import file_sha256
from winnow.files.json_files import read_json
from winnow.selection.reasons import REASONS, key

SCORES = [
    "id",
    "label",
    "class_name",
    "alignment",
    "sas",
    "sds",
    "predicted",
    "damaged",
    "selected",
    "similarity",
    "reason",
    "evidence",
    "sha256",
]
AFTER_OPTIMIZE = ["optimize", "evaluate", "release"]


def test_release_holds_what_it_promises(project: Project) -> None:
    release = project.folder / "data" / "release"
    manifest = read_json(release / "manifest.json")
    scores, ids = pd.read_parquet(release / "scores.parquet"), (release / "ids.txt").read_text().splitlines()
    assert ids == sorted(scores.loc[scores["selected"], "id"])
    assert len(scores) == 4000
    assert len(ids) == round(0.7 * 4000) == manifest["subset"]["samples"]
    assert {name: file_sha256(release / name) for name in manifest["files"]} == manifest["files"]
    assert set(manifest["files"]) == {str(p.relative_to(release)) for p in release.rglob("*.*")} - {"manifest.json"}
    assert list(scores) == SCORES
    assert sum(manifest["selection"][key(reason)] for reason in REASONS) == 4000 - len(ids)
    card = (release / "card.md").read_text()
    for picture in ("accuracy", "classes", "scores", "suspects"):
        assert f"figures/{picture}.png" in card


def test_selection_finds_the_planted_faults(project: Project) -> None:
    found = read_json(project.folder / "data" / "evaluate" / "metrics.json")
    assert found["wrong_labels"]["planted"] == 400
    assert found["damaged"]["planted"] == 120
    assert found["wrong_labels"]["share_of_kept"] < 0.02 < found["wrong_labels"]["share_of_pool"]


def test_adaptation_closes_the_gap(project: Project) -> None:
    metrics = read_json(project.folder / "data" / "adapt" / "metrics.json")
    assert metrics["measured_on"] == "held-out images"
    assert metrics["adapted_accuracy"] > metrics["zero_shot_accuracy"] + 0.1


def test_no_result_names_a_place_on_this_machine(project: Project) -> None:
    for name, content in project.results().items():
        assert str(project.folder).encode() not in content, name
        assert str(Path.home()).encode() + b"/" not in content, name


def test_one_log_of_the_run_has_the_ids_by_which_prefect_mlflow_and_dvc_know_it(project: Project) -> None:
    log = min((project.folder / ".winnow/logs").glob("repro-*.jsonl"))  # of the run that made the project
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    stages = list(dict.fromkeys(line["stage"] for line in lines))
    assert stages[-2:] == ["evaluate", "release"], "the other stages before them, in whatever order"
    assert len(stages) == 9
    assert {line["run"] for line in lines} == {log.stem}
    last = lines[-1]
    manifest = project.folder / "data/release/manifest.json"
    assert (last["message"], last["stage"], last["manifest"]) == ("ended", "release", file_sha256(manifest))
    assert last["dvc"] in (project.folder / "dvc.lock").read_text()
    (flow_run,) = {line["flow_run"] for line in lines if line["stage"] == "release" and "flow_run" in line}
    found = json.loads(project.run("python", "-c", IDS, flow_run, last["mlflow_run"]).stdout.splitlines()[-1])
    assert log.stem in found["flow_tags"]
    tags = found["run_tags"]
    assert (tags["winnow.run"], tags["prefect.flow_run"]) == (log.stem, flow_run)
    assert (tags["dvc.md5"], tags["winnow.release"], tags["git.commit"]) == (
        last["dvc"],
        last["manifest"],
        last["git"],
    )
    for stage in ("embed", "evaluate"):
        assert found["metrics"][f"system/{stage}/process_memory_megabytes"] > 100
    assert log.stem not in manifest.read_text()


def test_plots_are_pictures_and_need_no_network(project: Project, tmp_path: Path) -> None:
    done = project.run("dvc", "plots", "show", "-o", str(tmp_path / "plots"))
    assert done.returncode == 0, done.stdout
    page = (tmp_path / "plots/index.html").read_text()
    shown = re.findall(r'<img src="(static/[^"]*)">', page)
    assert {name.rpartition("_")[2] for name in shown} == {"accuracy.png", "classes.png", "scores.png"}
    assert all((tmp_path / "plots" / name).stat().st_size for name in shown)
    assert "<script" not in page
    assert "http" not in page


@pytest.mark.parametrize(
    ("helper", "stages"),
    [
        ("winnow/selection/ranking.py", {"optimize"}),
        ("winnow/budget.py", {"sample", "pretrain", "prepare", "optimize", "evaluate"}),
        ("winnow/terminal/say.py", set()),
    ],
)
def test_a_helper_that_changes_runs_the_stages_that_use_it(project: Project, helper: str, stages: set[str]) -> None:
    path = project.folder / helper
    text = path.read_text()
    path.write_text(f"{text}# changed\n")
    try:
        project.do("python", "-m", "flows.source")
        changed = json.loads(project.do("dvc", "status", "--json"))
    finally:
        path.write_text(text)
        project.do("python", "-m", "flows.source")
    assert {name for name in changed if f"data/source/code/{name}.json" in str(changed[name])} == stages


def test_nothing_runs_twice(project: Project) -> None:
    assert project.repro() == []


def test_the_command_chooses_what_the_pipeline_chose(project: Project, tmp_path: Path) -> None:
    out = tmp_path / "subset.parquet"
    done = project.run("winnow", "select", "data/embed", "--keep", "0.7", "--out", str(out))
    assert done.returncode == 0, done.stdout
    ours, theirs = pd.read_parquet(out), pd.read_parquet(project.folder / "data" / "optimize" / "subset.parquet")
    pd.testing.assert_frame_equal(ours, theirs[list(ours)])


def test_the_release_verifies_with_its_images_and_is_exported(project: Project, tmp_path: Path) -> None:
    whole = project.run("winnow", "release", "verify")
    assert (whole.returncode, "is whole" in whole.stdout) == (0, True), whole.stdout
    exported = project.run(
        "winnow", "export", "data/release", "--format", "imagefolder", "--out", str(tmp_path / "out")
    )
    assert exported.returncode == 0, exported.stdout
    assert len(list((tmp_path / "out/train").rglob("*.png"))) == 2800
    assert (project.folder / "data/release/report.html").stat().st_size < 10_000_000


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"optimize": {"keeep": 0.3}}, "unknown key optimize.keeep"),
        ({"optimize": {"keep": 1.5}}, "optimize.keep"),
        ({"optimize": {"keep": "much"}}, "optimize.keep"),
        ({"optimize": {"solver": "magic"}}, "optimize.solver"),
        ({"embed": {"prompts": ["a photo"]}}, "{} for the class name"),
    ],
)
def test_bad_parameters_stop_a_stage_at_once(project: Project, change: dict[str, dict[str, object]], word: str) -> None:
    before, parameters = project.results(), (project.folder / "params.yaml").read_text()
    try:
        project.set(**change)
        done = project.run("python", "-m", "flows.optimize")
    finally:
        (project.folder / "params.yaml").write_text(parameters)
    assert done.returncode == 2
    assert word in done.stdout
    assert "Traceback" not in done.stdout
    assert project.results() == before


def test_a_missing_source_is_refused_with_its_name(project: Project) -> None:
    parameters = (project.folder / "params.yaml").read_text()
    try:
        project.set(prepare={"source": "no/such/folder"})
        done = project.run("python", "-m", "flows.prepare")
    finally:
        (project.folder / "params.yaml").write_text(parameters)
    assert done.returncode == 2
    assert "no/such/folder does not exist" in done.stdout
    assert "Traceback" not in done.stdout


def test_cells_that_break_are_named_with_their_logs_and_change_no_result(project: Project) -> None:
    before = project.results()
    parameters = (project.folder / "params.yaml").read_text()
    project.set(evaluate={"model": "resnet18", "lr": 1e30, "steps": 10, "batch_size": 32})
    try:
        done = project.run("python", "-m", "flows.evaluate")
    finally:
        (project.folder / "params.yaml").write_text(parameters)
    assert done.returncode == 1, done.stdout
    words = done.stdout[done.stdout.index("winnow: 6 of 6 cells broke") :]
    told = re.findall(r"  (.*), seed (.): DivergenceError: the loss is nan after 10 steps; .* \((.*\.log)\)", words)
    assert {(arm, seed) for arm, seed, _ in told} == set(product(("subset", "random", "all"), ("0", "1")))
    assert all("DivergenceError" in (project.folder / log).read_text() for *_, log in told)
    assert "Traceback" not in done.stdout
    assert project.results() == before


def test_a_killed_stage_ends_with_the_same_bytes(project: Project, tmp_path: Path) -> None:
    other = unfinished(project, tmp_path / "other")
    end_in(other, "evaluate", signal.SIGKILL)
    assert other.repro() == STAGES
    check(other, project)


@pytest.mark.slow
def test_killed_runs_end_with_the_same_bytes(project: Project, tmp_path: Path, environment: dict[str, str]) -> None:
    """From scratch in another folder, killed and interrupted, then left alone: the results of an undisturbed run."""
    other = checkout(tmp_path, environment)
    kill, interrupt = signal.SIGKILL, signal.SIGINT
    for stage, how in (("prepare", kill), ("evaluate", interrupt), ("release", kill)):
        words = end_in(other, stage, how)
        assert how == kill or "interrupted; the same command goes on" in words
        for folder in (other.folder / "data").iterdir():
            assert not folder.is_dir() or list(folder.iterdir()), f"{folder} is half-written"
    other.repro()
    ours, theirs = other.results(), project.results()
    assert sorted(ours) == sorted(theirs)
    assert [name for name in ours if ours[name] != theirs[name]] == []


def end_in(project: Project, stage: str, how: signal.Signals) -> str:
    """Run the pipeline and end it, with all that it started, a moment after a stage began its work: its last words."""
    with subprocess.Popen(
        ["dvc", "repro"],
        cwd=project.folder,
        env=project.env,
        stdout=subprocess.PIPE,
        text=True,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as process:
        assert process.stdout
        for line in process.stdout:
            if f"for flow '{stage}'" in line:
                time.sleep(0.5)
                break
        os.killpg(process.pid, how)
        return process.communicate(timeout=30)[0]  # at once: nothing waits for threads that train


def test_one_parameter_runs_what_depends_on_it_and_becomes_a_version(project: Project) -> None:
    done = project.run("dvc", "exp", "run", "-S", "optimize.keep=0.4")
    assert done.returncode == 0, done.stdout
    assert stages_run(done.stdout) == AFTER_OPTIMIZE
    assert len((project.folder / "data/release/ids.txt").read_text().splitlines()) == 1600
    back = project.run("dvc", "exp", "run", "-S", "optimize.keep=0.7")
    assert back.returncode == 0, back.stdout
    assert stages_run(back.stdout) == [], "an earlier result comes from DVC's cache"
    runs = project.run("python", "-c", LIST_RUNS).stdout
    assert "'digits keep=0.7', '0.7', 2800.0" in runs
    assert "'digits keep=0.4', '0.4', 1600.0" in runs
    assert runs.count("digits keep=0.7") == 1, "the version that was made again has its run already"


def test_a_server_that_falls_silent_costs_nothing(project: Project) -> None:
    """It is healthy, and then never answers: the release is made, and recorded later with what belongs to its run."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Silent) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        env = project.env | {
            "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{server.server_port}",
            "MLFLOW_HTTP_REQUEST_TIMEOUT": "2",
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
        }
        done = Project(project.folder, env).run("dvc", "repro", "--force", "--single-item", "release")
        server.shutdown()
    assert done.returncode == 0, done.stdout
    assert "record it later: winnow release record" in done.stdout
    (kept,) = (project.folder / ".winnow/unrecorded").iterdir()
    assert set(read_json(kept)) >= {"git.commit", "prefect.flow_run"}
    recorded = project.run("winnow", "release", "record")
    assert "recorded as run" in recorded.stdout, recorded.stdout
    assert not kept.exists()


class Silent(BaseHTTPRequestHandler):
    """Says that it is well, and nothing else."""

    def do_GET(self) -> None:
        """Answer one question only."""
        if self.path == "/health":
            self.send_response(200)
            self.end_headers()
        else:
            time.sleep(20)

    do_POST = do_GET  # noqa: N815 the name that is asked for


IDS = """
import json, sys, mlflow
from pathlib import Path
from prefect import get_client
from winnow import tracking
mlflow.set_tracking_uri(tracking.uri(Path.cwd()))
with get_client(sync_client=True) as client:
    flow_run = client.read_flow_run(sys.argv[1])
run = mlflow.get_run(sys.argv[2])
print(json.dumps({"flow_tags": flow_run.tags, "run_tags": run.data.tags, "metrics": run.data.metrics}))
"""

LIST_RUNS = """
import mlflow
from pathlib import Path
from winnow import tracking
mlflow.set_tracking_uri(tracking.uri(Path.cwd()))
every = mlflow.search_runs(experiment_names=[tracking.EXPERIMENT], output_format="list")
above = [run.data.tags.get("mlflow.parentRunId") for run in every]
for run in (run for run, parent in zip(every, above) if parent is None):
    assert above.count(run.info.run_id) == 6 and run.data.tags["dvc.md5"].endswith(".dir")
    kept = [d for d in run.inputs.dataset_inputs if d.tags[0].value == "subset"][0]
    assert len(run.inputs.dataset_inputs) == 2 and len(kept.dataset.digest) == 36
    assert run.data.metrics["accuracy.subset.mean"] > 0.3 and run.data.metrics["wrong_labels.planted"] == 400
    print((run.info.run_name, run.data.params["optimize.keep"], run.data.metrics["kept"]))
"""
