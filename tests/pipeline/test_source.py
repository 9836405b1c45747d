"""Images that were exchanged behind DVC's back are prepared again by `dvc repro`, as embed says."""

import os
import sys
from pathlib import Path

import pandas as pd
import pytest
from support import ROOT, Project, write_photos

STAGES = """
stages:
  source:
    cmd: python -m flows.source
    always_changed: true
    outs: [data/source/fingerprint.json, data/source/evaluate.json]
  prepare: {cmd: python -m flows.prepare, deps: [data/source/fingerprint.json], outs: [data/prepare]}
"""
READ = """
from pathlib import Path
from winnow.images import dataset
list(dataset.load(Path("data/prepare/images")).all_images())
"""
TIME = 10**18


@pytest.fixture
def here(environment: dict[str, str], tmp_path: Path) -> Project:
    """A project of the first two stages, whose images all have one time."""
    made = Project(tmp_path, environment | {"PYTHONPATH": str(ROOT)})
    for path in write_photos(tmp_path / "photos").rglob("*.png"):
        path.write_bytes(path.read_bytes().ljust(2000, b"\0"))
        os.utime(path, ns=(TIME, TIME))
    (tmp_path / "params.yaml").write_text("prepare: {source: photos}")
    (tmp_path / "dvc.yaml").write_text(STAGES)
    (tmp_path / "corrections.csv").write_text("id,decision,label\n")
    made.use_git()
    made.do(sys.executable, "-m", "dvc", "init", "-q")
    return made


def swap(folder: Path) -> None:
    """Two images change places by renaming: same names, sizes and times."""
    one, two = folder / "red/0.png", folder / "blue/0.png"
    one.rename(folder / "away")
    two.rename(one)
    (folder / "away").rename(two)


def remember_as_before(before: pd.DataFrame, memory: Path) -> None:
    """Let the memory say what a file system would that keeps neither numbers nor times of change: nothing is new."""
    pd.read_parquet(memory).assign(sha256=before["sha256"]).to_parquet(memory, index=False)


@pytest.mark.slow
def test_images_that_change_places_are_prepared_again(here: Project) -> None:
    assert here.repro() == ["prepare"]
    assert here.repro() == []
    swap(here.folder / "photos")
    assert here.repro() == ["prepare"]
    here.do(sys.executable, "-c", READ)


@pytest.mark.slow
def test_what_is_noticed_when_images_are_read_makes_repro_read_them_all(here: Project) -> None:
    assert here.repro() == ["prepare"]
    assert here.repro() == []
    (memory,) = (here.folder / ".winnow/source").glob("*.parquet")
    before = pd.read_parquet(memory)
    swap(here.folder / "photos")
    here.do(sys.executable, "-m", "flows.source")
    remember_as_before(before, memory)
    assert here.repro() == [], "it cannot be seen"
    noticed = here.run(sys.executable, "-c", READ)
    assert "has changed since it was prepared; run dvc repro" in noticed.stdout
    assert here.repro() == ["prepare"]
    here.do(sys.executable, "-c", READ)
