"""What is saved while a stage runs is not recorded as used: the stage fails and says why, and the next run uses it."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import psutil
import pytest
from processes import Processes, tree, until
from ruamel.yaml import YAML
from support import ROOT, Project

LINE = "blue/3.png,drop,,me,2026-01-01T00:00:00Z,\n"


@pytest.fixture
def copy(whole: Project, tmp_path: Path) -> Project:
    """A copy of the project, up to date."""
    return Project(Path(shutil.copytree(whole.folder, tmp_path / "copy", symlinks=True)), whole.env)


@pytest.fixture
def processes(tmp_path: Path, copy: Project) -> Iterator[Processes]:
    """Give a way to start what is gone after the test."""
    made = Processes(tmp_path, copy.env)
    yield made
    made.end()


def saved_while(stage: str, change: Callable[[], object], copy: Project, processes: Processes) -> tuple[int, str]:
    """Make `stage` run, halt it in its flow, make the change, and let it go on; how it ended, and all that it said."""
    dvc = processes.start("dvc", "repro", stage, at=copy.folder)
    until(lambda: f"for flow '{stage}'" in processes.words() or dvc.poll() is not None)
    (found,) = (p for p in map(psutil.Process, tree(dvc.pid)) if p.cmdline()[1:] == ["-m", f"flows.{stage}"])
    found.suspend()
    change()
    found.resume()
    return dvc.wait(300), processes.words()


def refused(stage: str, change: Callable[[], object], copy: Project, processes: Processes) -> str:
    """The same, where the stage must fail and DVC must record nothing; all that was said."""
    before = recorded(copy, stage)
    code, words = saved_while(stage, change, copy, processes)
    assert code != 0, words
    assert recorded(copy, stage) == before
    return words


def recorded(made: Project, stage: str) -> object:
    return YAML(typ="safe").load(made.folder / "dvc.lock")["stages"].get(stage)


def kept(made: Project) -> int:
    return int(pd.read_parquet(made.folder / "data/optimize/subset.parquet")["selected"].sum())


@pytest.mark.slow
def test_a_parameter(copy: Project, processes: Processes) -> None:
    copy.set(optimize={"keep": 0.75})
    words = refused("optimize", lambda: copy.set(optimize={"keep": 0.25}), copy, processes)
    assert (
        "winnow: optimize.keep in params.yaml changed from 0.75 to 0.25, while the stage optimize ran; run the" in words
    )
    assert copy.run("dvc", "status", "optimize").stdout.count("modified") > 0
    assert copy.repro("optimize") == ["optimize"]
    assert (kept(copy), recorded(copy, "optimize")["params"]["params.yaml"]["optimize"]["keep"]) == (6, 0.25)


@pytest.mark.slow
def test_a_parameter_of_another_stage_stops_nothing(copy: Project, processes: Processes) -> None:
    copy.set(optimize={"keep": 0.75})
    code, words = saved_while("optimize", lambda: copy.set(release={"name": "other"}), copy, processes)
    assert code == 0, words
    assert (kept(copy), copy.repro("optimize")) == (18, [])


@pytest.mark.slow
def test_a_correction(copy: Project, processes: Processes) -> None:
    corrections = copy.folder / "corrections.csv"
    copy.set(prepare={"max_rejected": 0.1})
    words = refused("prepare", lambda: corrections.write_text(corrections.read_text() + LINE), copy, processes)
    assert "winnow: corrections.csv changed, while the stage prepare ran; run the same command again" in words
    assert copy.repro("prepare") == ["prepare"]
    assert pd.read_parquet(copy.folder / "data/prepare/corrections.parquet")["id"].tolist() == ["blue/3.png"]


@pytest.mark.slow
def test_a_module(copy: Project, processes: Processes) -> None:
    module = copy.folder / "winnow/selection/optimize.py"
    copy.set(optimize={"keep": 0.75})
    words = refused("optimize", lambda: module.write_text(module.read_text() + "\n"), copy, processes)
    assert "winnow: winnow/selection/optimize.py changed, while the stage optimize ran" in words
    assert copy.repro("optimize") == ["optimize"]


@pytest.mark.slow
def test_what_is_saved_while_the_process_ends(copy: Project, processes: Processes) -> None:
    """After its work is done, a stage's server takes a while to end, and DVC looks only then."""
    copy.set(optimize={"keep": 0.75})
    shutil.rmtree(copy.folder / ".winnow/logs")
    dvc = processes.start("dvc", "repro", "optimize", at=copy.folder, PREFECT_API_URL="")
    logs = copy.folder / ".winnow/logs"
    until(lambda: any('"ended"' in log.read_text() for log in logs.glob("*.jsonl")) or dvc.poll() is not None)
    copy.set(optimize={"keep": 0.25})
    assert dvc.wait(60) != 0, processes.words()
    assert "winnow: optimize.keep in params.yaml changed from 0.75 to 0.25" in processes.words()


def test_without_dvc_too(environment: dict[str, str], tmp_path: Path) -> None:
    made = Project(tmp_path, environment | {"PYTHONPATH": str(ROOT)})
    (tmp_path / "params.yaml").write_text("base: {seed: 0}\n")
    stage = subprocess.Popen(
        [sys.executable, "-m", "flows.sample"],
        cwd=tmp_path,
        env=made.env,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    words = ""
    for line in stage.stdout or ():
        words += line
        if "for flow 'sample'" in line:
            (tmp_path / "params.yaml").write_text("base: {seed: 1}\n")
    assert stage.wait(60) == 1, words
    assert "winnow: base.seed in params.yaml changed from 0 to 1, while the stage sample ran; run the same" in words
    made.do(sys.executable, "-m", "flows.sample")
