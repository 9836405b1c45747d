"""A project is written whole, beside what is there already, and can be brought up to date without losing a change."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from dvc.repo import Repo
from ruamel.yaml import YAML
from support import ROOT, write_photos
from typer.testing import CliRunner

from winnow.cli.main import app
from winnow.project import create, template
from winnow.run import settings


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments])


def made(*arguments: str) -> str:
    done = run("init", *arguments)
    assert done.exit_code == 0, done.output
    return done.output


def refused(*arguments: str) -> str:
    done = run("init", *arguments)
    assert done.exit_code == 2, done.output
    assert "Traceback" not in done.output
    return done.output


def tree(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file() and ".git" not in path.relative_to(folder).parts)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def read(path: str) -> Any:
    return YAML(typ="safe").load(Path(path))


@pytest.fixture(autouse=True)
def photos(workdir: Path) -> Path:
    """Images to make a project of."""
    return write_photos(workdir / "photos")


@pytest.fixture
def repository(workdir: Path) -> Path:
    """A Git repository whose root has modules of the names that a project needs."""
    folder = workdir / "theirs"
    (folder / "flows").mkdir(parents=True)
    (folder / "flows/mine.py").write_text("")
    (folder / "tasks.py").write_text("raise SystemExit('not these tasks')")
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    return folder


def test_a_project_stands_by_itself(workdir: Path) -> None:
    words = made("my subset", "--source", "photos", "--keep", "0.3")
    assert "30 images in 3 classes" in words
    assert "a Git repository was made there too" in words
    assert "cd 'my subset' && dvc repro" in words
    os.chdir("my subset")
    found = settings.load()
    assert found.prepare.source == "../photos"
    assert (found.prepare.wrong_labels, found.prepare.damaged) == (0, 0), "nothing is planted"
    assert (found.optimize.keep, found.release.name) == (0.3, "my-subset")
    assert (found.embed.model, found.embed.pretrained, found.embed.path) == (settings.ARCHITECTURE, settings.TAG, None)
    assert (found.evaluate.image_size, found.evaluate.flip) == (64, True)
    from winnow import __version__

    assert Path("requirements.txt").read_text() == f"winnow-images=={__version__}\n"
    assert "| `dvc artifacts get REPOSITORY subset` |" in Path("README.md").read_text()
    assert (workdir / "my subset/.git").is_dir()


def test_dvc_reads_the_pipeline_and_the_sample_is_not_in_it(workdir: Path) -> None:
    made("mine", "--source", "photos")
    os.chdir("mine")
    with Repo(".") as project:
        stages = {stage.name for stage in project.index.stages}
        assert project.artifacts.read()["dvc.yaml"]["subset"].path == "data/release"
    ours = set(read(str(ROOT / "dvc.yaml"))["stages"])
    assert stages == ours - {"sample", "pretrain"}
    text = Path("dvc.yaml").read_text() + Path("prefect.yaml").read_text()
    assert [
        word for word in ("data/sample", "data/pretrain", "flows.sample", "pretrain", "winnow/") if word in text
    ] == []
    assert "# The index names the SHA-256" in text, "comments stay"
    parameters = read("params.yaml")
    named = {name for stage in read("dvc.yaml")["stages"].values() for name in stage.get("params", [])}
    assert named <= set(parameters), "DVC stops where a block is missing"
    deployed = {one["name"] for one in read("prefect.yaml")["deployments"]}
    assert stages < deployed
    for stage in stages:
        assert Path(f"flows/{stage}.py").is_file()
    assert not Path("flows/sample.py").exists()
    assert not Path("flows/pretrain.py").exists()


def test_its_files_of_dvc_are_those_that_dvc_makes(workdir: Path) -> None:
    made("mine", "--source", "photos")
    Path("other").mkdir()
    subprocess.run(["git", "init", "-q", "other"], check=True)
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q"], cwd="other", check=True)
    assert Path("mine/.dvc/.gitignore").read_bytes() == Path("other/.dvc/.gitignore").read_bytes()
    assert sorted(path.name for path in Path("other/.dvc").iterdir() if path.name != "tmp") == [".gitignore", "config"]


def test_a_root_with_modules_of_those_names_is_refused_and_a_subfolder_is_not(repository: Path) -> None:
    before = tree(repository)
    words = refused(str(repository), "--source", "photos")
    assert "has a tasks.py of its own" in words
    assert "name a subfolder: winnow init" in words
    (repository / "tasks.py").rename(repository / "away.py")
    assert "has flows/ already, and nothing is overwritten" in refused(str(repository), "--source", "photos")
    (repository / "away.py").rename(repository / "tasks.py")
    assert tree(repository) == before
    words = made(str(repository / "mine"), "--source", "photos")
    assert f"it is part of the Git repository {repository}" in words
    assert not (repository / "mine/.git").exists()
    assert "dvc artifacts get REPOSITORY mine:subset" in (repository / "mine/README.md").read_text()
    with Repo(str(repository / "mine")) as project:
        assert project.root_dir == str(repository / "mine")
    assert {name: data for name, data in tree(repository).items() if not name.startswith("mine/")} == before


@pytest.mark.parametrize("name", ["README.md", "params.yaml", ".gitignore", "tasks.py", "flows/mine.py", ".dvc/config"])
def test_nothing_is_overwritten(workdir: Path, name: str) -> None:
    place = workdir / "mine" / name
    place.parent.mkdir(parents=True)
    place.write_text("mine")
    assert name.partition("/")[0] in refused("mine", "--source", "photos")
    assert tree(workdir / "mine") == {name: b"mine"}


def test_other_files_in_its_folder_stay(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (workdir / "mine").mkdir()
    (workdir / "mine/notes.txt").write_text("mine")
    monkeypatch.chdir("mine")
    assert "next      dvc repro" in made(".", "--source", "../photos")
    assert settings.load().prepare.source == "../photos"
    assert Path("notes.txt").read_text() == "mine"


def test_a_project_is_not_made_twice(workdir: Path) -> None:
    made("mine", "--source", "photos")
    before = tree(workdir / "mine")
    assert "is a project already; `winnow init --update" in refused("mine", "--source", "photos")
    assert tree(workdir / "mine") == before


@pytest.mark.parametrize("there", [False, True])
def test_killed_at_any_moment_the_same_command_finishes_it(
    workdir: Path, there: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    made("whole", "--source", "photos")
    whole = {name: data for name, data in tree(workdir / "whole").items() if name not in template.OURS}
    moved = Path.rename
    for last in range(0, 60, 7):
        folder = workdir / f"mine-{last}"
        if there:
            folder.mkdir()
        left = iter(range(last))

        def rename(path: Path, to: Path, left: Any = left) -> Path:
            if next(left, None) is None:
                raise KeyboardInterrupt
            return moved(path, to)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "rename", rename)
            killed = run("init", str(folder), "--source", "photos").exit_code == 130
        if killed:
            assert not (folder / create.MARK).exists()
            made(str(folder), "--source", "photos")
        found = {name: data for name, data in tree(folder).items() if name not in template.OURS}
        assert found == whole
        assert not list(workdir.glob(".*.winnow")) + list(folder.glob(".*.winnow"))
    assert not killed, "the last tries were long enough"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["mine"], "--source: say where the images are"),
        (["mine", "--source", "nowhere"], "nowhere does not exist"),
        (["mine", "--source", "photos", "--keep", "0"], "--keep 0.0: a share above 0"),
        (["mine", "--source", "photos", "--keep", "2"], "--keep 2.0"),
        (["mine", "--source", "photos", "--weights", "gone"], "--weights gone: there is no such file"),
        (["mine", "--source", "photos", "--weights", "w", "--pretrained", "t"], "--weights and --pretrained: name one"),
        (["mine", "--source", "photos", "--features", "f", "--encoder", "x"], "--features: these take the place"),
        (["mine", "--source", "photos", "--features", "gone"], "gone"),
        (["mine", "--source", "photos", "--encoder", "ViT-B32"], "--encoder ViT-B32: open_clip has no architecture"),
        (
            ["mine", "--source", "photos", "--encoder", "ViT-L-14"],
            "name its weights with --weights FILE or --pretrained",
        ),
        (["mine", "--source", "photos", "--pretrained", "x"], "--pretrained: ViT-B-32 has no tag 'x'"),
        (["mine", "--source", "photos", "--encoder", "timm:resnet81"], "--encoder timm:resnet81: timm has no network"),
        (["mine", "--source", "photos", "--encoder", "timm:resnet18"], "or --pretrained TAG (tags: a1_in1k"),
        (
            ["mine", "--source", "photos", "--encoder", "torchvision:resnet18", "--pretrained", "x"],
            "it has IMAGENET1K_V1",
        ),
        (["photos/red/0.png", "--source", "photos"], "is a file; name a folder"),
        (["mine", "--update"], "is no project that winnow init made"),
        (["mine", "--update", "--source", "photos"], "--update takes the folder alone"),
    ],
)
def test_what_is_asked_for_wrongly_is_refused_and_nothing_is_written(
    workdir: Path, arguments: list[str], words: str
) -> None:
    before = tree(workdir)
    assert words in refused(*arguments)
    assert tree(workdir) == before


def test_an_encoder_that_reads_no_text_is_asked_for_no_prompts(workdir: Path) -> None:
    Path("weights.pt").write_bytes(b"")
    made("mine", "--source", "photos", "--encoder", "timm:vit_small_patch16_dinov3", "--weights", "weights.pt")
    os.chdir("mine")
    assert read("params.yaml")["embed"].keys() == {"model", "path", "batch_size"}
    found = settings.load().embed
    assert (found.model, found.path, found.pretrained) == ("timm:vit_small_patch16_dinov3", "../weights.pt", None)


def test_a_folder_that_git_ignores_is_refused(repository: Path) -> None:
    (repository / ".gitignore").write_text("/data/\n")
    assert ".gitignore:1:/data/" in refused(str(repository / "data/mine"), "--source", "photos")


def test_a_folder_whose_versions_could_not_be_tagged_is_refused_inside_a_repository(repository: Path) -> None:
    words = refused(str(repository / "sets/my photos"), "--source", "photos")
    assert "sets/my photos cannot be part of a Git tag" in words
    assert "as in sets/my-photos" in words
    made(str(repository / "sets/my-photos"), "--source", "photos")
    made("my photos", "--source", "photos")  # a repository of its own: its versions are called subset@v1.0.0


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ("photos", "../photos"),
        ("./photos/*.parquet", "../photos/*.parquet"),
        ("s3://bucket/x", "s3://bucket/x"),
        ("/data/photos", "/data/photos"),
        ("torchvision:CIFAR10", "torchvision:CIFAR10"),
        ("torchvision:CIFAR10:sets", "torchvision:CIFAR10:../sets"),
    ],
)
def test_a_source_is_named_from_the_project(workdir: Path, source: str, named: str) -> None:
    assert create.source_from(source, workdir / "mine") == named


@pytest.mark.parametrize(
    "value", ["photos", "../my photos: all #1", "null", "1e3", "yes", "a: b", "", "é\\x", None, 0.3, True]
)
def test_values_are_read_as_they_were_written(value: object) -> None:
    assert YAML(typ="safe").load(f"key: {template.scalar(value)} # words") == {"key": value}


def test_parameters_say_what_was_asked_for(workdir: Path) -> None:
    Path("w.safetensors").write_text("")
    made("one", "--source", "photos", "--encoder", "ViT-B-16", "--weights", "w.safetensors", "--follow-links")
    found = settings.load(Path("one/params.yaml"))
    assert (found.embed.model, found.embed.path, found.embed.pretrained) == ("ViT-B-16", "../w.safetensors", None)
    assert found.prepare.follow_links
    made("two", "--source", "torchvision:CIFAR10")
    assert settings.load(Path("two/params.yaml")).prepare.source == "torchvision:CIFAR10"


def test_an_update_brings_what_is_untouched_and_shows_what_it_leaves(
    workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made("mine", "--source", "photos")
    mine = workdir / "mine"
    mark = (mine / create.MARK).read_bytes()
    assert "; nothing to update" in made("mine", "--update")
    assert (mine / create.MARK).read_bytes() == mark
    (mine / "flows/score.py").write_text("# my own\n")
    (mine / "dvc.yaml").write_text("# mine too\n")
    (mine / "params.yaml").write_text("optimize: {keep: 0.1}\n")
    fresh = template.kept_up()
    newer = fresh | {"flows/score.py": b"# theirs\n", "flows/embed.py": b"# newer\n", "flows/new.py": b"# new\n"}
    del newer["flows/adapt.py"]
    monkeypatch.setattr(template, "kept_up", lambda: newer)
    words = made("mine", "--update")
    assert "; 3 files updated, 1 left as you changed them" in words
    assert "updated flows/embed.py" in words
    assert "updated flows/new.py" in words
    assert "updated flows/adapt.py (removed)" in words
    assert "-# my own\n+# theirs" in words
    assert "dvc.yaml" not in words, "Winnow has not changed it"
    assert (mine / "flows/score.py").read_text() == "# my own\n"
    assert (mine / "dvc.yaml").read_text() == "# mine too\n"
    assert (mine / "params.yaml").read_text() == "optimize: {keep: 0.1}\n"
    assert (mine / "flows/embed.py").read_text() == "# newer\n"
    assert not (mine / "flows/adapt.py").exists()
    assert "; nothing to update" in made("mine", "--update"), "a difference is shown once"


def test_an_update_is_of_the_folder_at_hand_where_none_is_named(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made("my photos", "--source", "photos")
    assert f"winnow init --update '{workdir}/my photos'`" in refused("my photos", "--source", "photos")
    assert "name the folder to make" in refused("--source", "photos")
    monkeypatch.chdir("my photos")
    assert f"{workdir}/my photos: from Winnow" in made("--update")


def test_an_update_removes_nothing_outside_the_project(workdir: Path) -> None:
    made("mine", "--source", "photos")
    (workdir / "precious").write_text("x")
    mark = workdir / "mine" / create.MARK
    about = json.loads(mark.read_text())
    about["files"]["../precious"] = create.sha256(b"x")
    mark.write_text(json.dumps(about))
    made("mine", "--update")
    assert (workdir / "precious").exists()
    mark.write_text("[]")
    assert "take it from Git" in refused("mine", "--update")
