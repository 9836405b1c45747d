"""A release is published, and got elsewhere with nothing but DVC: from a folder, and from an S3 server."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from moto.server import ThreadedMotoServer
from support import ROOT, Project

from winnow.errors import InputError
from winnow.files.hashes import file_sha256
from winnow.releases import git_remote
from winnow.releases import publish as publication

PIPELINE = """
stages:
  source: {cmd: mkdir -p looked && cat at/it > looked/it, always_changed: true, outs: [looked]}
  prepare: {cmd: mkdir -p data/prepare && cp -r made/prepare/images data/prepare/images, deps: [made/prepare, looked],
            outs: [data/prepare/images]}
  release: {cmd: cp -r made/release data/release, deps: [made/release], outs: [data/release]}
artifacts:
  subset: {path: data/release, type: dataset}
"""
BUCKET = "shared"
PUBLISH = (sys.executable, "-u", "-m", "winnow.cli.main", "release", "publish", "subset")


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """An S3 server with an empty bucket; its address."""
    import boto3

    server = ThreadedMotoServer(port=0)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    keys = {"aws_access_key_id": "a", "aws_secret_access_key": "b"}  # the server takes any
    client = boto3.client("s3", endpoint_url=url, region_name="us-east-1", **keys)
    client.create_bucket(Bucket=BUCKET)
    yield url
    server.stop()


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory, photo_stages: Path) -> Project:
    """A project under Git and DVC, reproduced and committed."""
    folder = tmp_path_factory.mktemp("template")
    env = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
    }
    env["PYTHONPATH"] = str(ROOT)
    env.pop("MLFLOW_TRACKING_URI", None)
    made = Project(folder, env)
    shutil.copytree(photo_stages, folder / "made")
    shutil.copytree(photo_stages.with_name("originals"), folder / "originals")
    (folder / "dvc.yaml").write_text(PIPELINE)
    (folder / "at").mkdir()
    (folder / "at/it").write_text("what the source holds")
    (folder / ".gitignore").write_text("/at/\n/.winnow/\n/mlflow.db*\n/mlartifacts/\n")
    made.use_git()
    made.do("dvc", "init", "-q")
    made.do("dvc", "repro", "-q")
    made.commit()
    return made


def use_folder(made: Project, store: Path) -> None:
    made.do("dvc", "remote", "add", "-q", "--default", "store", str(store))
    made.commit()


def copied(template: Project, workdir: Path) -> Project:
    return Project(Path(shutil.copytree(template.folder, workdir / "project")), template.env)


@pytest.fixture
def published(template: Project, workdir: Path) -> Project:
    """A project with a folder as its DVC remote, ready to publish."""
    made = copied(template, workdir)
    use_folder(made, workdir / "store")
    return made


def publish(made: Project, *arguments: str) -> subprocess.CompletedProcess[str]:
    return made.run(*PUBLISH, *arguments)


def tags(made: Project) -> list[str]:
    return made.do("git", "tag").split()


def new_release(made: Project) -> None:
    """Make another release, as `dvc repro` after a change does."""
    card = made.folder / "made/release/card.md"
    card.write_text(card.read_text() + "\nMore.\n")
    restate(made.folder / "made/release", "card.md")
    made.commit()
    made.do("dvc", "repro", "-q")


def restate(folder: Path, name: str) -> None:
    from winnow.files.json_files import read_json, write_json

    manifest = read_json(folder / "manifest.json")
    manifest["files"][name] = file_sha256(folder / name)
    write_json(folder / "manifest.json", manifest)


def test_a_version_is_published_and_got_with_dvc_alone(published: Project, workdir: Path) -> None:
    dry = publish(published, "--version", "1.2.0", "--dry-run")
    assert (dry.returncode, tags(published), (workdir / "store").exists()) == (0, [], False)
    done = publish(published, "--version", "1.2.0")
    assert done.returncode == 0, done.stdout
    assert tags(published) == ["subset@v1.2.0"]
    assert "dvc artifacts get REPOSITORY subset --rev v1.2.0" in done.stdout
    assert published.do("git", "status", "--porcelain") == ""
    assert (published.folder / "releases/subset/card.md").is_file()
    message = published.do("git", "for-each-ref", "--format=%(contents)", "refs/tags")
    assert file_sha256(published.folder / "data/release/manifest.json") in message

    origin = clone(published, workdir / "origin.git")
    reader = Project(workdir / "reader", published.env)
    reader.folder.mkdir()
    reader.do("dvc", "get", origin, "data/release", "--rev", "subset@v1.2.0", "-o", "got")
    reader.do("dvc", "artifacts", "get", origin, "subset", "--rev", "v1.2.0", "-o", "artifact")
    reader.do("git", "init", "-q")
    reader.do("dvc", "init", "-q")
    reader.do("dvc", "import", origin, "data/release", "--rev", "subset@v1.2.0", "-o", "imported")
    for place in ("got", "artifact", "imported"):
        assert contents(reader.folder / place) == contents(published.folder / "data/release"), place
    reader.do("dvc", "get", origin, "data/prepare/images", "--rev", "subset@v1.2.0", "-o", "images")
    reader.do("dvc", "get", origin, "originals", "--rev", "subset@v1.2.0", "-o", "source")
    there = ["--images", "images", "--source", "source"]
    for command in (
        ["release", "verify", "got", *there],
        ["export", "got", *there, "--format", "imagefolder", "--out", "photos"],
    ):
        reader.do(sys.executable, "-m", "winnow.cli.main", *command)
    assert len(list((reader.folder / "photos/train").rglob("*.png"))) == 16


def clone(made: Project, folder: Path) -> str:
    made.do("git", "clone", "-q", "--bare", ".", str(folder))
    return str(folder)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".gitignore"
    }


def test_an_import_follows_to_the_next_version_over_s3(template: Project, workdir: Path, bucket: str) -> None:
    made = copied(template, workdir)
    made.do("dvc", "remote", "add", "-q", "--default", "store", f"s3://{BUCKET}/store")
    made.do("dvc", "remote", "modify", "store", "endpointurl", bucket)
    made.commit()
    assert publish(made, "--version", "1.0.0").returncode == 0
    new_release(made)
    second = publish(made, "--bump", "minor")
    assert second.returncode == 0, second.stdout
    assert tags(made) == ["subset@v1.0.0", "subset@v1.1.0"]

    compared = made.do(sys.executable, "-m", "winnow.cli.main", "release", "diff", "1.0.0", "subset@v1.1.0")
    assert "1.0.0 → subset@v1.1.0" in compared
    assert "kept by both 16" in compared

    origin = clone(made, workdir / "origin.git")
    reader = Project(workdir / "reader", made.env)
    reader.folder.mkdir()
    reader.do("git", "init", "-q")
    reader.do("dvc", "init", "-q")
    reader.do("dvc", "import", origin, "data/release", "--rev", "subset@v1.0.0")
    assert "More." not in (reader.folder / "release/card.md").read_text()
    reader.do("dvc", "update", "release.dvc", "--rev", "subset@v1.1.0")
    assert contents(reader.folder / "release") == contents(made.folder / "data/release")
    reader.do("dvc", "artifacts", "get", origin, "subset", "--rev", "v1.0.0", "-o", "old")
    assert "More." not in (reader.folder / "old/card.md").read_text()


def test_a_version_is_never_overwritten_and_one_commit_has_one(
    published: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert publish(published, "--version", "1.0.0").returncode == 0
    monkeypatch.chdir(published.folder)
    assert publication.plan("subset", "1.0.0", None).version == "v1.0.0"
    assert publication.plan("subset", None, "major").version == "v1.0.0"
    with pytest.raises(InputError, match=r"this commit is subset@v1.0.0 already"):
        publication.plan("subset", "2.0.0", None)
    new_release(published)
    assert publication.plan("subset", None, "major").version == "v2.0.0"
    with pytest.raises(InputError, match=r"subset@v1.0.0 is taken"):
        publication.plan("subset", "1.0.0", None)


def unclean(made: Project) -> None:
    (made.folder / "notes.txt").write_text("x")


def changed(made: Project) -> None:
    (made.folder / "at/it").write_text("something else, which only the stage that looks every time sees")


def stale(made: Project) -> None:
    (made.folder / "made/release/more.txt").write_text("x")
    made.commit()


def broken(made: Project) -> None:
    card = made.folder / "data/release/card.md"
    text = card.read_text()
    card.unlink()  # a link into DVC's cache is not written through
    card.write_text(text + "x")


def remoteless(made: Project) -> None:
    made.do("dvc", "remote", "remove", "store")
    made.commit()


@pytest.mark.parametrize(
    ("spoil", "word"),
    [
        (unclean, "notes.txt is not committed"),
        (stale, r"not up to date \(release\); run `dvc repro`"),
        (changed, r"not up to date \(prepare\)"),
        (broken, "data/release is not whole: card.md"),
        (remoteless, "no default remote"),
    ],
)
def test_what_cannot_be_published_is_refused(
    published: Project, spoil: Callable[[Project], None], word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(published)
    monkeypatch.chdir(published.folder)
    with pytest.raises(InputError, match=word):
        publication.plan("subset", "1.0.0", None)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("digits", "1.0.0", None), "has no artifact 'digits'; it has: subset"),
        (("subset", "one", None), "version one of subset"),
    ],
)
def test_wrong_names_and_versions_are_refused(
    published: Project, arguments: tuple[str, str, None], word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(published.folder)
    with pytest.raises(InputError, match=word):
        publication.plan(*arguments)


def test_a_publication_that_was_killed_is_finished_by_the_same_command(published: Project, workdir: Path) -> None:
    for step in ("push the data", "tag the run"):
        with subprocess.Popen(
            [*PUBLISH, "--bump", "major"],
            cwd=published.folder,
            env=published.env,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as process:
            assert process.stdout
            for line in process.stdout:
                if line.startswith(f"- {step}"):
                    break
            os.killpg(process.pid, signal.SIGKILL)
    time.sleep(0.1)
    (published.folder / ".dvc/tmp/rwlock").unlink(missing_ok=True)
    done = publish(published, "--bump", "major")
    assert done.returncode == 0, done.stdout
    assert tags(published) == ["subset@v1.0.0"]
    assert published.do("git", "log", "--oneline").count("subset v1.0.0") == 1
    got = Project(workdir, published.env)
    got.do("dvc", "get", clone(published, workdir / "o.git"), "data/release", "--rev", "subset@v1.0.0", "-o", "got")
    assert contents(workdir / "got") == contents(published.folder / "data/release")


def test_of_two_publications_at_once_the_second_waits_and_finds_it_done(published: Project) -> None:
    running = [
        subprocess.Popen(
            [*PUBLISH, "--bump", "minor"],
            cwd=published.folder,
            env=published.env,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        for _ in range(2)
    ]
    words = [process.communicate(timeout=600)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0], words
    assert sum("which is at work in this checkout" in said for said in words) == 1, words
    assert tags(published) == ["subset@v0.1.0"]
    assert published.do("git", "log", "--oneline").count("subset v0.1.0") == 1


def test_the_password_of_a_tracking_server_is_printed_and_kept_nowhere(published: Project) -> None:
    secret = "-".join(["hunter2", "wonderland"])
    away = published.env | {"MLFLOW_TRACKING_URI": f"http://me:{secret}@127.0.0.1:9"}
    done = publish(Project(published.folder, away), "--version", "1.0.0")
    assert done.returncode == 0, done.stdout
    assert "MLflow at http://***@127.0.0.1:9 cannot be reached (it does not answer (" in done.stdout
    assert secret not in done.stdout
    recorded = Project(published.folder, away).run(*PUBLISH[:4], "release", "record")
    assert recorded.returncode == 2, recorded.stdout
    assert "MLflow at http://***@127.0.0.1:9: it does not answer (" in recorded.stdout
    assert secret not in recorded.stdout
    for path in published.folder.rglob("*"):
        assert not path.is_file() or secret.encode() not in path.read_bytes(), path


def test_a_malformed_manifest_is_not_published(published: Project) -> None:
    (published.folder / "data/release/manifest.json").write_text('{"format": 2, "files": 5}')
    done = publish(published, "--version", "1.0.0")
    assert done.returncode == 2, done.stdout
    assert "winnow: data/release/manifest.json is not the manifest of a release: name: Field required" in done.stdout
    assert tags(published) == []


@pytest.fixture
def clones(published: Project, workdir: Path) -> list[Project]:
    """Two clones of one project with one Git remote and one DVC remote, each with a release of its own to publish."""
    clone(published, workdir / "origin.git")
    made = []
    for name in ("one", "two"):
        here = Project(Path(shutil.copytree(published.folder, workdir / name, symlinks=True)), published.env)
        here.do("git", "remote", "add", "origin", str(workdir / "origin.git"))
        card = here.folder / "made/release/card.md"
        card.write_text(card.read_text() + f"\nBy {name}.\n")
        new_release(here)
        made.append(here)
    return made


def share(made: Project, tag: str) -> subprocess.CompletedProcess[str]:
    return made.run("git", "push", "--atomic", "origin", "HEAD", tag)


def test_of_two_clones_that_publish_one_version_at_once_one_is_told_how_to_get_out(clones: list[Project]) -> None:
    command = [*PUBLISH, "--version", "1.0.0"]
    pipes: dict[str, Any] = {"text": True, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    running = [subprocess.Popen(command, cwd=made.folder, env=made.env, **pipes) for made in clones]
    for process in running:
        said, _ = process.communicate(timeout=300)
        assert process.returncode == 0, said
        assert "published in this clone. Now share it: git push --atomic origin HEAD subset@v1.0.0" in said
    first, second = clones
    assert share(first, "subset@v1.0.0").returncode == 0
    assert share(second, "subset@v1.0.0").returncode != 0, "Git refuses it"

    again = publish(second, "--version", "1.0.0")
    assert again.returncode == 2, again.stdout
    taken = first.do("git", "rev-parse", "--short=8", "HEAD").strip()
    assert f"subset@v1.0.0 is taken on origin, by {taken}: another clone published it first" in again.stdout
    for step in re.findall("`(git[^`]+)`", again.stdout):
        second.do(*step.split())
    second.do("git", "rebase", "-q", "--strategy-option", "theirs", "origin/main")
    second.do("dvc", "repro", "-q")
    done = publish(second, "--bump", "minor")
    assert done.returncode == 0, done.stdout
    assert share(second, "subset@v1.1.0").returncode == 0
    assert tags(second) == ["subset@v1.0.0", "subset@v1.1.0"]


def test_a_version_that_another_clone_has_shared_is_refused_and_nothing_is_done(clones: list[Project]) -> None:
    first, second = clones
    assert publish(first, "--version", "1.0.0").returncode == 0
    assert share(first, "subset@v1.0.0").returncode == 0
    head = second.do("git", "rev-parse", "HEAD")
    same = publish(second, "--version", "1.0.0")
    assert (same.returncode, "subset@v1.0.0 is taken on origin" in same.stdout) == (2, True), same.stdout
    bump = publish(second, "--bump", "minor")
    assert bump.returncode == 2
    assert "origin has subset@v1.0.0, which this clone has not" in bump.stdout
    assert (tags(second), second.do("git", "rev-parse", "HEAD")) == ([], head)
    assert publish(second, "--version", "2.0.0").returncode == 0, "a free one"


def test_a_git_remote_that_is_away_stops_nothing(published: Project, workdir: Path) -> None:
    published.do("git", "remote", "add", "origin", str(workdir / "nowhere.git"))
    done = publish(published, "--version", "1.0.0")
    assert done.returncode == 0, done.stdout
    assert "origin cannot be asked whether another clone has published this version" in done.stdout


def test_a_tag_that_the_remote_refuses_is_taken_back(clones: list[Project], monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = clones
    for made in clones:
        monkeypatch.chdir(made.folder)
        made.do("git", "tag", "-m", "x", "subset@v1.0.0")
    monkeypatch.chdir(first.folder)
    git_remote.push("origin", "subset@v1.0.0", "HEAD")
    git_remote.push("origin", "subset@v1.0.0", "HEAD")
    monkeypatch.chdir(second.folder)
    with pytest.raises(InputError, match=r"subset@v1.0.0 is taken on origin"):
        git_remote.push("origin", "subset@v1.0.0", "HEAD")
    assert tags(second) == []
    second.do("git", "tag", "subset@v2.0.0")
    with pytest.raises(InputError, match=r"origin did not take subset@v2.0.0, so this clone has taken it back .*pull"):
        git_remote.push("origin", "subset@v2.0.0", "HEAD")
    assert tags(second) == []
    second.do("git", "remote", "set-url", "origin", "/nowhere")
    second.do("git", "tag", "subset@v2.0.0")
    with pytest.raises(InputError, match="git ls-remote failed"):
        git_remote.push("origin", "subset@v2.0.0", "HEAD")
    assert tags(second) == ["subset@v2.0.0"], "it waits until the remote answers"
