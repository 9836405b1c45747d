"""A change of what a stage reads is named; what it does not read, and the same content saved again, is no change."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from dvc.repo import Repo

from winnow.errors import WorkError
from winnow.run import inputs

PIPELINE = """
stages:
  optimize:
    cmd: python -m flows.optimize
    deps: [winnow/selection/optimize.py, data/embed, "${optimize.corrections}"]
    params: [optimize, base.seed]
    outs: [data/optimize]
"""
PARAMETERS = "base: {seed: 0, other: 1}\noptimize: {keep: 0.7, corrections: mine.csv}\nscore: {neighbours: 0.1}\n"


@pytest.fixture
def project(workdir: Path) -> Path:
    """A DVC project whose stage reads a module, a folder with a small and a large file, and a file named by a key."""
    Repo.init(no_scm=True)
    (workdir / "dvc.yaml").write_text(PIPELINE)
    (workdir / "params.yaml").write_text(PARAMETERS)
    (workdir / "mine.csv").write_text("id,decision\n")
    (workdir / "winnow/selection").mkdir(parents=True)
    (workdir / "winnow/selection/optimize.py").write_text("K = 1\n")
    os.utime(workdir / "winnow/selection/optimize.py")
    (workdir / "data/embed/below").mkdir(parents=True)
    (workdir / "data/embed/below/small.json").write_text("{}")
    (workdir / "data/embed/large.npy").write_bytes(b"x" * (inputs.SMALL + 1))
    return workdir


@pytest.fixture
def before(project: Path) -> inputs.Inputs:
    """What the stage read when it began."""
    return inputs.noted("optimize")


def write(name: str, text: str) -> Callable[[], object]:
    return lambda: Path(name).write_text(text)


def rewrite_with_the_old_times(name: str) -> Callable[[], object]:
    def work() -> None:
        path = Path(name)
        known = path.stat()
        path.write_bytes(b"y" * known.st_size)
        os.utime(path, ns=(known.st_atime_ns, known.st_mtime_ns))

    return work


def parameters(old: str, new: str) -> Callable[[], object]:
    return write("params.yaml", PARAMETERS.replace(old, new))


PARAMETER_CHANGES = [
    (parameters("0.7", "0.3"), "optimize.keep in params.yaml changed from 0.7 to 0.3"),
    (parameters("seed: 0", "seed: 1"), "base.seed in params.yaml changed from 0 to 1"),
    (parameters("keep: 0.7, ", ""), "optimize.keep in params.yaml changed from 0.7 to nothing"),
    (parameters("keep", "x: [a], keep"), 'optimize.x in params.yaml changed from nothing to ["a"]'),
    (write("params.yaml", "optimize: ["), "dvc.yaml or params.yaml changed, and cannot be read any more"),
]
FILE_CHANGES = [
    (write("mine.csv", "id,decision\n1,keep\n"), "mine.csv changed"),
    (lambda: Path("mine.csv").unlink(), "mine.csv was removed"),
    (write("winnow/selection/optimize.py", "K = 2\n"), "winnow/selection/optimize.py changed"),
    (write("data/embed/below/small.json", "[]"), "data/embed/below/small.json changed"),
    (write("data/embed/below/new.json", "[]"), "data/embed/below/new.json was added"),
    (rewrite_with_the_old_times("data/embed/below/small.json"), "data/embed/below/small.json changed"),
    (rewrite_with_the_old_times("data/embed/large.npy"), "data/embed/large.npy changed"),
]


@pytest.mark.parametrize(("change", "words"), PARAMETER_CHANGES + FILE_CHANGES)
def test_a_change_of_what_the_stage_reads_is_named(
    before: inputs.Inputs, change: Callable[[], object], words: str
) -> None:
    change()
    with pytest.raises(WorkError) as error:
        before.check()
    assert str(error.value) == f"{words}, while the stage optimize ran; run the same command again"


def linked() -> None:
    """As DVC does with what it takes into its cache: another name, and nobody may write."""
    for name in ("large.npy", "below/small.json"):
        os.link(f"data/embed/{name}", name.replace("/", "-"))
        os.chmod(f"data/embed/{name}", 0o444)


def saved_again() -> None:
    for name in ("mine.csv", "winnow/selection/optimize.py", "data/embed/below/small.json"):
        path = Path(name)
        text = path.read_text()
        path.unlink()
        path.write_text(text)


def compiled() -> None:
    Path("data/embed/__pycache__").mkdir()
    Path("data/embed/__pycache__/x.pyc").write_text("x")


@pytest.mark.parametrize(
    "change",
    [
        linked,
        saved_again,
        compiled,
        parameters("0.7", "0.70"),
        parameters("neighbours: 0.1", "neighbours: 0.2"),
        parameters("other: 1", "other: 2"),
        write("notes.txt", "x"),
    ],
)
def test_what_the_stage_does_not_read_and_the_same_content_are_no_change(
    before: inputs.Inputs, change: Callable[[], object]
) -> None:
    Path(".dvcignore").write_text("__pycache__/\n")
    change()
    before.check()
    assert before.parameters == inputs.noted("optimize").parameters


def test_many_changes_are_counted(before: inputs.Inputs) -> None:
    for number in range(5):
        write(f"data/embed/{number}.json", "")()
    with pytest.raises(
        WorkError,
        match=re.escape("0.json was added; data/embed/1.json was added; data/embed/2.json was added, and 2 more, "),
    ):
        before.check()


def test_a_module_saved_while_the_process_started_may_have_been_imported_before(project: Path) -> None:
    saved = Path("winnow/selection/optimize.py").stat().st_ctime
    with pytest.raises(
        WorkError, match=re.escape("winnow/selection/optimize.py changed while the stage optimize started; run")
    ):
        inputs.noted("optimize", started=saved - 1)
    assert inputs.noted("optimize", started=saved + 0.001).files
    Path("mine.csv").write_text("only modules are imported\n")
    assert inputs.noted("optimize", started=saved + 0.001).files


def test_without_dvc_a_stage_reads_its_own_block(workdir: Path) -> None:
    Path("params.yaml").write_text(PARAMETERS)
    before = inputs.noted("optimize")
    Path("params.yaml").write_text(PARAMETERS.replace("0.1", "0.2"))
    before.check()
    Path("params.yaml").write_text(PARAMETERS.replace("0.7", "0.3"))
    with pytest.raises(WorkError, match=r"optimize.keep in params.yaml changed from 0.7 to 0.3"):
        before.check()
