"""What runs from Prefect's pages beside the schedule: a stage by itself, and a grid of `winnow bench`."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ruamel.yaml import YAML
from support import ROOT, Project, artifact, write_photos

from winnow import features
from winnow.features import Features

STAGES = """
stages:
  prepare: {cmd: mkdir -p data && date +%N > data/a, outs: [data/a]}
  release: {cmd: cp data/a data/b, deps: [data/a], outs: [data/b]}
"""
GRID = {
    "about": "three colours",
    "source": "photos",
    "features": "features",
    "image_size": 16,
    "training": {"width": 2, "batch_size": 8, "flip": False},
    "models": {"small": 0.01},
    "budgets": {"steps": 12},
    "keeps": [0.5],
    "methods": ["random", "all"],
    "seeds": 2,
}


@pytest.fixture
def here(environment: dict[str, str], tmp_path: Path) -> Project:
    """A folder under Git and DVC with the default parameters."""
    made = Project(tmp_path, environment | {"PYTHONPATH": str(ROOT)})
    (tmp_path / "params.yaml").write_text("{}")
    (tmp_path / "dvc.yaml").write_text(STAGES)
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    assert made.run(sys.executable, "-m", "dvc", "init", "-q").returncode == 0
    return made


def flow(here: Project, module: str, call: str, code: int = 0) -> str:
    """Run a flow as a worker does: by a call with its parameters."""
    done = here.run(sys.executable, "-c", f"from flows.{module} import {module}; print('gave', {module}({call}))")
    assert done.returncode == code, done.stdout
    return done.stdout


@pytest.mark.slow
def test_a_stage_is_run_with_what_it_depends_on_and_again_by_force(here: Project) -> None:
    assert "gave ['prepare', 'release']" in flow(here, "reproduce", "'release'")
    assert artifact(here.env, "reproduce").startswith("`release` is up to date.\n\nChanged: `prepare`, `release`")
    assert artifact(here.env, "reproduce-progress") == 100
    assert "gave []" in flow(here, "reproduce", "'release'")
    assert "gave ['prepare']" in flow(here, "reproduce", "'prepare', force=True")
    assert "'nothing'" in flow(here, "reproduce", "'nothing'", code=1), "there is no such stage"


@pytest.mark.slow
def test_a_grid_leaves_its_tables_and_a_broken_request_fails(here: Project) -> None:
    write_photos(here.folder / "photos")
    ids = [f"{c}/{i}.png" for c in ("blue", "green", "red") for i in range(10)]
    labels = np.repeat(np.arange(3), 10)
    have = Features(np.eye(3)[labels] + 0.1, np.eye(3), labels, ["blue", "green", "red"], np.array(ids))
    (here.folder / "features").mkdir()
    features.save(here.folder / "features", have)
    with (here.folder / "grid.yaml").open("w") as file:
        YAML().dump(GRID, file)
    assert "gave bench/grid" in flow(here, "evaluate_grid", "'grid.yaml', seeds=1, only=['method=random']")
    rows = json.loads(artifact(here.env, "evaluate-grid-cells"))
    assert [(row["method"], row["seed"]) for row in rows] == [("random", "0")]
    assert "random" in artifact(here.env, "evaluate-grid")
    assert "there is no 'magic'" in flow(here, "evaluate_grid", "'grid.yaml', only=['method=magic']", code=1)
