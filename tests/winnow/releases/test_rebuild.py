"""A release is made again in a fresh clone, and what stands in the way is said, with what can still be done."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from support import ROOT

from winnow.errors import InputError
from winnow.files.json_files import read_json, write_json
from winnow.releases import manifest, origin, rebuild
from winnow.releases.origin import Origin
from winnow.repository import git
from winnow.run import pipeline

STAGE = """
stages:
  release:
    cmd: ls originals kept.bin && test -z $MLFLOW_TRACKING_URI && mkdir -p data && cp -r made data/release
    deps: [made]
    outs: [data/release]
"""
PARAMETERS = "prepare: {source: originals}\noptimize: {keep: 0.5}\n"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory, photo_stages: Path) -> Path:
    """A project whose pipeline copies a release; its source lies beside it, in neither Git nor DVC."""
    folder = tmp_path_factory.mktemp("template")
    shutil.copytree(photo_stages / "release", folder / "made")
    shutil.copytree(photo_stages.with_name("originals"), folder / "originals")
    made = read_json(folder / "made/manifest.json")
    made["parameters"] = {"prepare": {"source": "originals"}, "optimize": {"keep": 0.5}}
    write_json(folder / "made/manifest.json", made)
    (folder / "dvc.yaml").write_text(STAGE)
    (folder / "params.yaml").write_text(PARAMETERS)
    (folder / "kept.bin").write_text("an input under DVC")
    (folder / ".gitignore").write_text("/originals/\n/data/\n/.winnow/\n")
    run = lambda *command: subprocess.run(command, cwd=folder, check=True, capture_output=True)  # noqa: E731
    run("git", "init", "-q")
    for key, value in {"user.name": "t", "user.email": "t@t", "commit.gpgsign": "false"}.items():
        run("git", "config", key, value)
    run(*pipeline.COMMAND, "init", "-q")
    run(*pipeline.COMMAND, "add", "-q", "kept.bin")
    shutil.copytree(folder / "made", folder / "data/release")
    run("git", "add", "-A")
    run("git", "commit", "-qm", "x")
    return folder


@pytest.fixture
def project(template: Path, workdir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    project = Path(shutil.copytree(template, workdir / "project", symlinks=True))
    monkeypatch.chdir(project)
    return project


def rebuilt(project: Path, source: str | None = None) -> tuple[dict[str, str], list[str]]:
    release, said = manifest.load(project / "data/release"), list[str]()
    env = dict(os.environ) | {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}
    return rebuild.run(release, origin.find(release), env, source, said.append), said


KILLED = """
import os, signal
from pathlib import Path
from winnow.releases import manifest, origin, rebuild
def say(line):
    if line.startswith("run"):
        os.kill(os.getpid(), signal.SIGKILL)
release = manifest.load(Path("data/release"))
rebuild.run(release, origin.find(release), dict(os.environ), None, say)
"""


def test_what_a_killed_one_left_goes_with_the_next(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = tmp_path / "temporary"
    room.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(room))
    env = os.environ | {"TMPDIR": str(room), "PYTHONPATH": str(ROOT)}
    assert subprocess.run([sys.executable, "-c", KILLED], env=env, check=False).returncode == -9
    assert any(room.rglob("clone/dvc.yaml"))
    files, _ = rebuilt(project)
    assert not any(files.values())
    assert not any(room.iterdir())


def commit(project: Path) -> str:
    git("add", "-A", at=project)
    git("commit", "-qm", "y", at=project)
    return git("rev-parse", "HEAD", at=project).strip()


def test_the_same_bytes_come_out_again_and_the_project_is_as_it_was(project: Path) -> None:
    before = git("status", "--porcelain", "--ignored", at=project)
    files, said = rebuilt(project)
    assert set(files) == {*read_json(project / "made/manifest.json")["files"], "manifest.json"}
    assert not any(files.values())
    assert said[-1] == "run release"
    assert git("status", "--porcelain", "--ignored", at=project) == before


def test_each_file_that_differs_is_named(project: Path) -> None:
    made = read_json(project / "data/release/manifest.json")
    made["packages"]["torch"] = "0.1"
    write_json(project / "data/release/manifest.json", made)
    (project / "data/release/ids.txt").write_text("other\n")
    (project / "data/release/card.md").unlink()
    files, _ = rebuilt(project)
    differing = {name: what for name, what in files.items() if what}
    assert list(differing) == ["card.md", "ids.txt", "manifest.json"]
    assert "packages.torch was '0.1', is now" in differing["manifest.json"]
    assert "not in the release" in differing["card.md"]


def test_a_published_release_is_made_again_at_the_commit_that_published_it(project: Path) -> None:
    shutil.copytree(project / "made", project / "releases/subset")
    published = commit(project)
    (project / "dvc.yaml").write_text("stages: {}")
    commit(project)
    (project / "made/card.md").write_text("not committed, and of no matter")
    release = manifest.load(project / "data/release")
    assert origin.find(release) == Origin(str(project), published)
    assert origin.find(release, f"file://{project}").commit == published, "from a URL too"
    assert not any(rebuilt(project)[0].values())


def test_parameters_are_those_of_the_release_and_the_source_is_where_it_is_said_to_lie(project: Path) -> None:
    (project / "params.yaml").write_text(PARAMETERS.replace("0.5", "0.9"))
    commit(project)
    (project / "originals").rename(project.with_name("moved"))
    files, said = rebuilt(project, source=str(project.with_name("moved")))
    assert not any(files.values())
    assert "optimize.keep is 0.5, as in the release, and not 0.9, as committed" in said


def source_gone(project: Path) -> None:
    shutil.rmtree(project / "originals")


def uncommitted(project: Path) -> None:
    (project / "dvc.yaml").write_text(STAGE + "# more\n")


def failing(project: Path) -> None:
    (project / "dvc.yaml").write_text(STAGE.replace("ls originals", "ls absent"))
    commit(project)


def no_repository(project: Path) -> None:
    shutil.rmtree(project / ".git")


def no_project(project: Path) -> None:
    (project / "dvc.yaml").unlink()
    commit(project)


def input_lost(project: Path) -> None:
    shutil.rmtree(project / ".dvc/cache")


@pytest.mark.parametrize(
    ("spoil", "word"),
    [
        (source_gone, "prepare.source: .*originals has gone.*--source"),
        (uncommitted, "dvc.yaml is not committed"),
        (failing, "the stage release failed in the clone.*absent"),
        (no_repository, "lies in no Git repository; name the one that made it with --repository"),
        (no_project, "no project of Winnow"),
        (input_lost, "dvc pull failed in the clone"),
    ],
)
def test_what_stands_in_the_way_is_said_with_what_can_still_be_done(
    project: Path, spoil: Callable[[Path], None], word: str
) -> None:
    spoil(project)
    with pytest.raises(InputError, match=f"(?s){word}.*`winnow release verify` without --rebuild"):
        rebuilt(project)


def test_a_repository_that_never_published_it_is_refused(project: Path) -> None:
    with pytest.raises(InputError, match=r"no commit of .* published this release"):
        origin.find(manifest.load(project / "data/release"), str(project))


def state(project: Path, **parameters: dict[str, object]) -> None:
    """Let the release say that it was made by other parameters."""
    made = read_json(project / "data/release/manifest.json")
    for block, values in parameters.items():
        made["parameters"].setdefault(block, {}).update(values)
    write_json(project / "data/release/manifest.json", made)


@pytest.mark.parametrize(
    ("block", "key", "value"),
    [
        ("prepare", "source", "http://127.0.0.1:9/photos"),
        ("prepare", "source", "/etc"),
        ("prepare", "source", "../secret"),
        ("prepare", "source", "~/secret"),
        ("prepare", "corrections", "/etc/passwd"),
        ("embed", "path", "../weights"),
        ("embed", "others", [{"model": "timm:resnet18", "path": "../weights"}]),
        ("evaluate", "checkpoint", "/weights.pt"),
        ("evaluate", "tests", {"shifted": "s3://bucket/photos"}),
    ],
)
def test_what_a_release_alone_names_is_not_opened(project: Path, block: str, key: str, value: object) -> None:
    state(project, **{block: {key: value}})
    with pytest.raises(InputError, match=rf"{block}\.{key} is .* so nobody asked to open it"):
        rebuilt(project)
    (project / "params.yaml").write_text(json.dumps({block: {key: value}, "optimize": {"keep": 0.5}}))
    made = read_json(project / "data/release/manifest.json")["parameters"]
    clone = project / "clone"
    clone.mkdir()
    set_here = rebuild._set_parameters(clone, made, None, str)
    assert any(name.startswith(f"{block}.{key}") for name in set_here), "params.yaml names it"


def test_a_release_chooses_no_scheduler(project: Path) -> None:
    state(project, runtime={"runner": "dask", "address": "tcp://127.0.0.1:9"})
    with pytest.raises(InputError, match="parameters of 'runtime', which no release is made by"):
        rebuilt(project)


def test_a_source_that_is_named_is_linked_within_the_clone(project: Path) -> None:
    state(project, prepare={"source": "../../../../victim/photos"})
    shutil.copytree(project / "originals", project.with_name("moved"))
    with pytest.raises(InputError, match="the stage release failed"):  # it looks for originals
        rebuilt(project, source=str(project.with_name("moved")))
    assert not list(project.parent.parent.rglob("victim"))


def test_no_git_runs_in_a_repository_that_nobody_named(project: Path, workdir: Path) -> None:
    """A repository that came with a release may configure programs for Git to run."""
    theirs = Path(shutil.copytree(project, workdir / "project/theirs", symlinks=True))
    monitor = workdir / "monitor.sh"
    monitor.write_text(f"#!/bin/sh\ntouch {workdir}/harm\n")
    monitor.chmod(0o755)
    git("config", "core.fsmonitor", str(monitor), at=theirs)
    with pytest.raises(InputError, match=r"does not lie in the Git repository of the working directory.*--repository"):
        origin.find(manifest.load(theirs / "data/release"))
    assert not (workdir / "harm").exists()
    git("status", at=theirs)
    assert (workdir / "harm").exists(), "it would have run"


@pytest.mark.parametrize(
    "repository", ["ext::sh -c 'touch harm'", "--upload-pack=touch harm;", "fd::3", "nonsense://x"]
)
def test_an_address_of_a_repository_runs_nothing(
    project: Path, workdir: Path, repository: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(workdir))
    (workdir / ".gitconfig").write_text('[protocol]\nallow = always\n[protocol "ext"]\nallow = always\n')
    release = manifest.load(project / "data/release")
    with pytest.raises(InputError, match="git clone failed"):
        origin.find(release, repository)
    with pytest.raises(InputError, match="git clone failed"):
        rebuild.run(release, Origin(repository, "HEAD"), dict(os.environ), None, list[str]().append)
    assert not list(workdir.rglob("harm"))
