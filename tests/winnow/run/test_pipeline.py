"""What DVC still has to do, also after a stage was killed that looks at the source every time."""

from pathlib import Path

import pytest

from winnow.repository import git
from winnow.run import pipeline

STAGES = """
stages:
  look:
    cmd: python -c "import shutil; shutil.copy('source', 'seen'); shutil.copy('source', 'seen2')"
    always_changed: true
    outs: [seen, seen2]
  use:
    cmd: cp seen used
    deps: [seen, given]
    outs: [used]
"""


@pytest.fixture(autouse=True)
def _up_to_date(workdir: Path) -> None:
    """A project with every result."""
    git("init", "-q")
    assert pipeline.dvc("init", "-q").returncode == 0
    (workdir / "dvc.yaml").write_text(STAGES)
    (workdir / "source").write_text("1")
    (workdir / "given").write_text("1")
    assert pipeline.dvc("repro", "-q").returncode == 0


def test_a_stage_that_looks_every_time_looks_and_nothing_waits() -> None:
    assert pipeline.stale() == []
    Path("source").write_text("2")
    assert pipeline.stale() == ["use"]
    assert Path("seen").read_text() == "2"


@pytest.mark.parametrize("gone", [["seen"], ["seen2"], ["seen", "seen2"]])
def test_one_that_was_killed_while_it_looked_looks_again(gone: list[str]) -> None:
    for name in gone:
        Path(name).unlink()
    assert pipeline.stale() == []
    assert [Path(name).read_text() for name in gone] == ["1"] * len(gone)
    for name in gone:
        Path(name).unlink()
    Path("given").write_text("2")
    assert pipeline.stale() == ["use"]


def test_it_does_not_look_where_a_stage_waits_anyway() -> None:
    Path("given").write_text("2")
    Path("source").write_text("2")
    assert pipeline.stale() == ["use"]
    assert Path("seen").read_text() == "1"


def test_a_look_that_fails_leaves_it_waiting() -> None:
    Path("source").unlink()
    assert "look" in pipeline.stale()
