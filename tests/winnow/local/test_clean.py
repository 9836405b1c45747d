"""`make clean` removes what the stages made and the environment; what a person put there stays unless they agree."""

import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support import ROOT

from winnow.files.locks import locked
from winnow.local import clean

CODE = [
    "Makefile",
    "dvc.yaml",
    "pyproject.toml",
    "winnow/local/clean.py",
    "winnow/__init__.py",
    "winnow/local/__init__.py",
    "winnow/terminal/__init__.py",
    "winnow/terminal/redact.py",
    "winnow/terminal/say.py",
]
KEPT = ["data/.gitignore", "data/photos/a.png", "data/prepare/notes.txt", "mlartifacts/1", "mlflow.db", "mlflow.db-wal"]


@pytest.fixture
def project(workdir: Path) -> Path:
    """Give a checkout with results, an environment that does not work, and what a person put there."""
    for name in CODE:
        (workdir / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, workdir / name)
    outs = list(clean.outputs((workdir / "dvc.yaml").read_text()))
    files = [f"{out}/a" if not Path(out).suffix else out for out in outs]
    others = [".venv/bin/python", ".winnow/embed/a", ".winnow/logs/b", "data/.embed.abc.winnow/new/a"]
    for name in [*files, *others, *KEPT]:
        (workdir / name).parent.mkdir(parents=True, exist_ok=True)
        (workdir / name).write_text("x")
    return workdir


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return subprocess.run(
        ["make", "clean", *arguments],
        env=env,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def left() -> list[str]:
    """Every file but those of the checkout."""
    here = {str(path) for path in Path().rglob("*") if path.is_file() and path.suffix != ".pyc"}
    return sorted(here - set(CODE))


def test_what_a_person_put_there_stays_and_is_named(project: Path) -> None:
    done = make()
    assert done.returncode == 0, done.stdout
    assert left() == KEPT
    for name in ("mlflow.db", "mlartifacts", "data/photos", "data/prepare", "make clean ALL=1"):
        assert name in done.stdout
    assert sorted(os.listdir("data")) == [".gitignore", "photos", "prepare"], "no empty folder is left"
    assert make().returncode == 0, "a second time too"
    assert left() == KEPT


def test_a_name_cannot_move_the_cursor(project: Path) -> None:
    (project / "data/\x1b[2Jx\n").mkdir()
    assert "data/\\x1b[2Jx\\n" in make().stdout


def test_all_is_removed_where_that_is_asked_for(project: Path) -> None:
    done = make("ALL=1")
    assert done.returncode == 0, done.stdout
    assert left() == ["data/.gitignore"]
    assert "kept" not in done.stdout


def test_a_person_at_the_terminal_is_asked(project: Path) -> None:
    terminal, other = pty.openpty()
    with subprocess.Popen(["make", "clean"], stdin=other, stdout=subprocess.PIPE, text=True) as process:
        os.write(terminal, b"y\n\nno\ny\nn\n")  # in the order of their names
        assert process.stdout
        said = process.stdout.read()
    os.close(terminal)
    os.close(other)
    assert [name for name in KEPT if name not in left()] == ["data/photos/a.png", "mlflow.db"], said
    assert said.count("[y/N]") == 5


@pytest.mark.parametrize("python", ["no-such-python", sys.executable])
def test_it_works_with_whatever_python_there_is(project: Path, python: str) -> None:
    shutil.rmtree(".venv")
    assert make(f"PYTHON={python}").returncode == 0
    assert left() == KEPT


def test_a_link_goes_and_what_it_leads_to_stays(project: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    for name in (".venv", "data/photos"):
        shutil.move(name, elsewhere / Path(name).name)
        Path(name).symlink_to(elsewhere / Path(name).name)
    assert make("ALL=1").returncode == 0
    assert not Path(".venv").is_symlink()
    assert not Path("data/photos").is_symlink()
    assert (elsewhere / ".venv/bin/python").exists()
    assert (elsewhere / "photos/a.png").exists()


def test_nothing_is_removed_under_a_run_that_is_at_work(project: Path) -> None:
    before = left()
    with locked(Path(".winnow/stage.lock"), "is at work in this project", "the stage embed"):
        done = make("ALL=1")
        assert "winnow: the stage embed, which is at work in this project; end it first" in done.stdout
    assert done.returncode != 0
    assert left() == before


def test_outputs_are_those_that_dvc_knows(workdir: Path) -> None:
    from dvc.repo import Repo

    subprocess.run(["git", "init", "-q"], check=True)
    Repo.init(".").close()
    shutil.copy(ROOT / "dvc.yaml", "dvc.yaml")
    shutil.copy(ROOT / "params.yaml", "params.yaml")
    with Repo(".") as repository:
        known = {os.path.relpath(out.fs_path) for stage in repository.index.stages for out in stage.outs}
    assert set(clean.outputs(Path("dvc.yaml").read_text())) == known


OTHER = """
stages:
  one:
    cmd: x
    outs:
    - a # the first
    - "b c":
        cache: false
    - d: {persist: true}
    metrics: [e,
      'f']
    deps: [not]
  two:
    foreach: [1, 2]
    do:
      cmd: y
      plots:
      - g:
          x: not
          y: not
      outs:
        - ${item}/h
        - ../outside
        - /elsewhere/outside
        - .
plots:
  - not.csv
metrics:
  - not.json
"""


def test_dvc_yaml_is_read_however_it_is_written() -> None:
    found = list(clean.outputs(OTHER))
    assert found == ["a", "b c", "d", "e", "f", "g", "../outside", "/elsewhere/outside", "."]
    assert [name for name in found if clean.inside(Path(name))] == ["a", "b c", "d", "e", "f", "g"]
