"""A release opens nothing but what came with it, until a person names more."""

import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from click.testing import Result
from typer.testing import CliRunner

from winnow.cli.main import app
from winnow.errors import InputError
from winnow.files.json_files import write_json
from winnow.releases import images, manifest


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A port that notices who connects."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.3)
        yield server


@pytest.fixture
def got(released: Path, workdir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A release that came from elsewhere with its images, and a working directory that has nothing to do with it."""
    (workdir / "got").mkdir()
    for name in ("release", "prepare"):
        shutil.copytree(released.parent / name, workdir / "got" / name)
    (workdir / "mine").mkdir()
    shutil.copytree(workdir / "originals", workdir / "mine/originals")
    monkeypatch.chdir(workdir / "mine")
    return workdir / "got/release"


def set_source(release: Path, source: str) -> None:
    write_json(release.parent / "prepare/images/source.json", {"source": source})


def winnow(*arguments: object) -> Result:
    return CliRunner().invoke(app, list(map(str, arguments)))


def is_not_opened(release: Path, source: str) -> None:
    """Neither verify nor export opens the source; each says how to name it."""
    told = winnow("release", "verify", release)
    assert told.exit_code == 0, told.output
    assert "is whole" in told.output
    assert f"the images were not looked at: their source, {source}, lies outside" in told.output
    assert "--source" in told.output
    refused = winnow("export", release, "--format", "imagefolder", "--out", "out")
    assert refused.exit_code == 2
    assert "name it with --source" in " ".join(refused.stderr.split())
    assert not Path("out").exists()
    assert winnow("export", release, "--format", "ids", "--out", "list").exit_code == 0


SOURCES = [
    "dask://127.0.0.1:{port}/x::file:///etc",
    "dask://127.0.0.1:{port}/x",
    "http://127.0.0.1:{port}/photos",
    "simplecache::http://127.0.0.1:{port}/photos",
    "ftp://127.0.0.1:{port}/photos",
    "s3://someones-bucket/photos",
    "file:///etc",
    "/etc",
    "~",
    "originals",
    "../mine/originals",
]


@pytest.mark.parametrize("source", SOURCES)
def test_a_source_elsewhere_is_not_opened(got: Path, source: str, listener: socket.socket) -> None:
    source = source.format(port=listener.getsockname()[1])
    set_source(got, source)
    is_not_opened(got, source)
    with pytest.raises(TimeoutError):
        listener.accept()


def test_a_dask_server_is_never_spoken_to(got: Path, workdir: Path) -> None:
    """fsspec would start a client of it, which unpickles what the server says."""
    code = "import socket; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True); "
    with subprocess.Popen([sys.executable, "-c", f"{code} s.accept()"], stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout
            source = f"dask://127.0.0.1:{server.stdout.readline().strip()}/x::file:///etc"
            set_source(got, source)
            for arguments in (["release", "verify", got], ["export", got, "--format", "parquet", "--out", "out"]):
                for named in ([], ["--source", source], ["--images", got.parent / "prepare/images"]):
                    assert winnow(*arguments, *named).exit_code == (0 if "verify" in arguments and not named else 2)
            assert server.poll() is None, "it was spoken to"
        finally:
            server.kill()


def test_what_a_person_names_is_opened(got: Path) -> None:
    set_source(got, "/nowhere")
    told = winnow("release", "verify", got, "--source", "originals")
    assert "and the images in" in told.output
    assert told.exit_code == 0
    assert winnow("export", got, "--format", "parquet", "--out", "one", "--source", "originals").exit_code == 0
    set_source(got, "originals")
    named = got.parent / "prepare/images"
    assert winnow("export", got, "--format", "parquet", "--out", "two", "--images", named).exit_code == 0
    refused = winnow("release", "verify", got, "--source", "dask://127.0.0.1:9/x")
    assert (refused.exit_code, "--source: dask://127.0.0.1:9/x cannot be opened" in refused.stderr) == (2, True)


def test_images_that_came_with_the_release_are_looked_at(got: Path, workdir: Path) -> None:
    shutil.copytree(workdir / "originals", got.parent / "photos")
    set_source(got, str(got.parent / "photos"))
    told = winnow("release", "verify", got)
    assert told.exit_code == 0
    assert "and the images in" in told.output
    (got.parent / "photos/red/1.png").unlink()
    (got.parent / "photos/red/1.png").symlink_to(workdir / "originals/red/1.png")
    told = winnow("release", "verify", got)
    assert told.exit_code == 1
    assert "red/1.png: cannot be read (it is a link that leads out of" in told.output


def test_a_link_to_elsewhere_is_not_followed(got: Path, workdir: Path) -> None:
    (got.parent / "photos").symlink_to(workdir / "originals")
    set_source(got, str(got.parent / "photos"))
    is_not_opened(got, str(got.parent / "photos"))
    index = got.parent / "prepare/images/index.parquet"
    index.rename(workdir / "index.parquet")
    index.symlink_to(workdir / "index.parquet")
    told = winnow("release", "verify", got)
    assert told.exit_code == 0
    assert f"{index} leads out of" in told.output
    assert "--images" in told.output


@pytest.mark.parametrize("file", ["/etc/hostname", "../../secret.png", "a/../../../secret.png"])
def test_a_place_in_the_index_leads_nowhere_else(got: Path, workdir: Path, file: str) -> None:
    shutil.copytree(workdir / "originals", got.parent / "photos")
    (workdir / "secret.png").write_bytes(b"secret")
    set_source(got, str(got.parent / "photos"))
    path = got.parent / "prepare/images/index.parquet"
    index = pd.read_parquet(path)
    index.loc[index["id"] == "red/1.png", "file"] = file
    index.to_parquet(path, index=False)
    told = winnow("release", "verify", got)
    assert told.exit_code == 1
    assert "red/1.png: cannot be read (its path leads out of the source)" in told.output


def test_a_project_opens_the_source_that_its_parameters_name(released: Path, workdir: Path) -> None:
    assert images.find(manifest.load(released), None, None) is not None
    for other in ("prepare: {source: elsewhere}", "prepare: {source: originals/red}", "[", "prepare: 3"):
        (workdir / "params.yaml").write_text(other)
        with pytest.raises(images.NotNamedError, match="--source"):
            images.find(manifest.load(released), None, None)
    (workdir / "params.yaml").write_text("prepare: {source: originals}")
    shutil.copytree(released.parent, workdir / "other/data")
    with pytest.raises(images.NotNamedError, match="--source"):
        images.find(manifest.load(workdir / "other/data/release"), None, None)


@pytest.mark.parametrize("named", ["photos/list.csv", "photos/*.parquet", "photos/train-*.tar"])
def test_files_that_the_parameters_name_have_their_folder_as_source(released: Path, workdir: Path, named: str) -> None:
    (workdir / "originals").rename(workdir / "photos")
    set_source(released, "photos")
    (workdir / "params.yaml").write_text(f"prepare: {{source: '{named}'}}")
    assert images.find(manifest.load(released), None, None) is not None


DAMAGE = {
    "source.json": ["", "[]", "{}", "[" * 200_000, '"x"'],
    "classes.json": ["", "{}", "[" * 200_000, "\xff"],
    "index.parquet": ["", "PAR1"],
}


@pytest.mark.parametrize(("name", "content"), [(name, text) for name, all in DAMAGE.items() for text in all])
def test_a_damaged_file_beside_the_images_is_named(got: Path, name: str, content: str) -> None:
    path = got.parent / "prepare/images" / name
    path.write_text(content, encoding="latin-1")
    for arguments in (["release", "verify", got], ["export", got, "--format", "parquet", "--out", "out"]):
        done = winnow(*arguments)
        assert done.exit_code == 2, done.output
        assert str(path) in done.stderr.replace("\n", "")
        assert len(done.stderr) < 1000


@pytest.mark.parametrize("change", ["drop", "text", "twice"])
def test_an_index_of_other_columns_is_named(got: Path, change: str) -> None:
    path = got.parent / "prepare/images/index.parquet"
    index = pd.read_parquet(path)
    changed = {"drop": index.drop(columns="file"), "text": index.assign(place="0"), "twice": index.assign(id="a")}
    changed[change].to_parquet(path, index=False)
    with pytest.raises(InputError, match=r"index\.parquet cannot be read"):
        images.find(manifest.load(got), None, "originals")


HOSTILE = {
    "split": ["/elsewhere", "../../elsewhere", "a\0b", "", None],
    "shard": [None],
    "file": [None],
    "place": [2**64 - 1],
    "copied": [None],
    "id": ["\x1b[2Jforged", "a\nb", "a\u202eb", "x" * 2000],
}


@pytest.mark.parametrize(("column", "value"), [(name, value) for name, every in HOSTILE.items() for value in every])
def test_an_index_with_what_no_index_has_is_refused(got: Path, column: str, value: object) -> None:
    """An export names folders for splits: they could lead anywhere."""
    path = got.parent / "prepare/images/index.parquet"
    index = pd.read_parquet(path)
    held_out = index.index[index["split"] == "test"][0]
    values = index[column].astype(object)
    values[held_out] = value
    index[column] = values.astype("uint64") if column == "place" else values
    index.to_parquet(path, index=False)
    wanted = ("--source", "originals")
    for arguments in (["release", "verify", got], ["export", got, "--format", "imagefolder", "--test", "--out", "out"]):
        done = winnow(*arguments, *wanted)
        assert done.exit_code == 2, done.output
        assert "index.parquet" in done.stderr
        assert not set(done.output) & {"\x1b", "\u202e", "\0"}


@pytest.mark.parametrize("source", ["\0", "a\0b", "\ud800", "a\x1b[2J\nwinnow: it is whole"])
def test_a_source_that_no_file_can_have_is_shown_as_it_is_written(got: Path, source: str) -> None:
    (got.parent / "prepare/images/source.json").write_text(json.dumps({"source": source}))
    told = winnow("release", "verify", got)
    assert (told.exit_code, "the images were not looked at" in told.output) == (0, True)
    named = winnow("release", "verify", got, "--images", got.parent / "prepare/images")
    assert named.exit_code in (1, 2), named.output
    refused = winnow("export", got, "--format", "parquet", "--out", "out")
    assert refused.exit_code == 2, refused.output
    for done in (told, named, refused):
        assert not set(done.output) & {"\x1b", "\0"}
        assert "Traceback" not in done.output
        assert not [line for line in done.output.splitlines() if line.startswith("winnow: it is whole")]


def test_sizes_and_places_of_a_stranger_are_bounded(got: Path) -> None:
    path = got.parent / "prepare/images/index.parquet"
    index = pd.read_parquet(path)
    index["size"], index["place"] = [-5, 2**62, 0] + [0] * (len(index) - 3), [0, 0, -7] + [0] * (len(index) - 3)
    index.to_parquet(path, index=False)
    told = winnow("release", "verify", got, "--source", "originals")
    assert told.exit_code == 1
    assert sum("cannot be read" in line for line in told.output.splitlines()) == 2
