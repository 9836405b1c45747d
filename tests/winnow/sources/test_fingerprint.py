"""The fingerprint changes with the content of a source, and with nothing else."""

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import fsspec
import pandas as pd
import pytest

from winnow.errors import InputError
from winnow.files.json_files import read_json
from winnow.images.dataset import Dataset
from winnow.sources import fingerprint


def look(source: Path | str, held_out: str | None = None) -> dict[str, object]:
    fingerprint.write(str(source), held_out, Path("out.json"))
    return dict(read_json(Path("out.json")))


CHANGES: list[Callable[[Path], object]] = [
    lambda folder: (folder / "red/new.png").write_bytes(b"new"),
    lambda folder: (folder / "red/0.png").unlink(),
    lambda folder: (folder / "red/0.png").rename(folder / "red/x.png"),
    lambda folder: (folder / "red/0.png").write_bytes(b"x" * (folder / "red/0.png").stat().st_size),
    lambda folder: (folder / "red").rename(folder / "rouge"),
]


@pytest.mark.parametrize("change", CHANGES)
def test_any_change_is_seen(workdir: Path, image_folder: Path, change: Callable[[Path], object]) -> None:
    before = look(image_folder)
    assert before["files"] == 30
    change(image_folder)
    assert look(image_folder)["sha256"] != before["sha256"]


def test_times_and_places_are_not_seen(workdir: Path, image_folder: Path) -> None:
    before = look(image_folder)
    os.utime(image_folder / "red/0.png", (1, 1))
    assert look(image_folder) == before
    shutil.copytree(image_folder, workdir / "copy")
    assert look(workdir / "copy") == before
    (workdir / ".winnow/source").rename(workdir / "away")
    assert look("copy") == before


def test_a_file_that_is_as_it_was_is_not_read_again(
    workdir: Path, image_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    monkeypatch.setattr(fingerprint, "TICK", 0)
    hashed = fingerprint.file_sha256
    monkeypatch.setattr(fingerprint, "file_sha256", lambda path: read.append(path.name) or hashed(path))
    look(image_folder)
    assert len(read) == 30
    (image_folder / "blue/3.png").write_bytes(b"changed")
    look(image_folder)
    assert read[30:] == ["3.png"]


def swap(folder: Path) -> None:
    """Two images change places by renaming; here they have the same size and time."""
    one, two = folder / "red/0.png", folder / "red/1.png"
    one.rename(folder / "red/away")
    two.rename(one)
    (folder / "red/away").rename(two)


def rsync(folder: Path) -> None:
    """Another file takes the name, with the size and the time of the old one, as rsync -t leaves it."""
    old = folder / "red/0.png"
    new = old.with_name(".0.png.part")
    new.write_bytes(b"new".ljust(old.stat().st_size))
    os.utime(new, ns=(TIME, TIME))
    new.rename(old)


def tar(folder: Path) -> None:
    """The content is written in place, and the time put back, as tar does."""
    path = folder / "red/0.png"
    with path.open("r+b") as file:
        file.write(b"new")
    os.utime(path, ns=(TIME, TIME))


TIME = 10**18


@pytest.mark.parametrize("change", [swap, rsync, tar])
def test_other_content_of_the_same_size_and_time_is_seen(
    workdir: Path, image_folder: Path, change: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fingerprint, "TICK", 0)
    for number in range(2):
        path = image_folder / f"red/{number}.png"
        path.write_bytes(str(number).encode() * 500)
        os.utime(path, ns=(TIME, TIME))
    before = look(image_folder)
    time.sleep(0.05)  # a clock ticks every few milliseconds
    change(image_folder)
    assert {path.stat().st_mtime_ns for path in (image_folder / "red").glob("[01].png")} == {TIME}
    assert look(image_folder)["sha256"] != before["sha256"]


def test_a_file_that_has_just_been_written_is_read_again(workdir: Path, image_folder: Path) -> None:
    """It could be written once more within the same tick of the clock, and have the same times."""
    look(image_folder)
    (memory,) = Path(".winnow/source").glob("*.parquet")
    assert "red/0.png" not in set(pd.read_parquet(memory)["file"])
    time.sleep(fingerprint.TICK / 1e9)
    look(image_folder)
    assert "red/0.png" in set(pd.read_parquet(memory)["file"])


def test_after_a_change_that_was_noticed_every_file_is_read_again(workdir: Path, images: Dataset) -> None:
    """What embed says helps, even on a file system that keeps neither times nor numbers of files."""
    look(workdir / "photos")
    assert list(Path(".winnow/source").iterdir())
    (workdir / "photos/red/0.png").write_bytes(b"other")
    with pytest.raises(InputError, match="has changed since it was prepared; run dvc repro"):
        list(images.all_images())
    assert not Path(".winnow/source").exists()


def test_the_images_of_a_table_are_seen_and_its_held_out_ids(workdir: Path, image_folder: Path) -> None:
    (image_folder / "list.csv").write_text("path,label\nred/0.png,red\nred/gone.png,red\n")
    before = look(image_folder / "list.csv")
    (image_folder / "red/1.png").write_bytes(b"not in the table")
    assert look(image_folder / "list.csv") == before
    (image_folder / "red/0.png").write_bytes(b"in the table")
    after = look(image_folder / "list.csv")
    assert after["sha256"] != before["sha256"]
    (workdir / "ids.txt").write_text("red/0.png\n")
    with_ids = look(image_folder / "list.csv", "ids.txt")
    (workdir / "ids.txt").write_text("red/gone.png\n")
    assert len({str(after), str(with_ids), str(look(image_folder / "list.csv", "ids.txt"))}) == 3


def test_a_url_is_seen_by_what_its_server_tells(workdir: Path, image_folder: Path) -> None:
    files = fsspec.filesystem("memory")
    files.put(str(image_folder), "/seen", recursive=True)
    before = look("memory://seen")
    assert look("memory://seen") == before
    assert before["files"] == 30
    files.pipe_file("/seen/red/0.png", b"new")
    assert look("memory://seen")["sha256"] != before["sha256"]
    files.rm("/seen", recursive=True)


def test_a_set_of_torchvision_has_no_files_and_a_missing_source_is_named(workdir: Path) -> None:
    assert look("torchvision:CIFAR10")["files"] == 0
    with pytest.raises(InputError, match="nowhere does not exist"):
        look("nowhere")


@pytest.mark.parametrize("name", ["~/ids.txt", "ids.TXT"])
def test_a_list_of_ids_is_seen_wherever_it_is(
    workdir: Path, image_folder: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("HOME", str(workdir))
    path = workdir / Path(name).name
    path.write_text("red/0.png\n")
    before = look(image_folder, name)
    path.write_text("red/1.png\n")
    assert look(image_folder, name) != before


def test_an_image_of_a_table_that_is_missing_at_a_url_is_no_error(workdir: Path) -> None:
    files = fsspec.filesystem("memory")
    files.pipe_file("/listed/list.csv", b"path,label\ngone.png,x\n")
    before = look("memory://listed/list.csv")
    files.pipe_file("/listed/gone.png", b"there again")
    assert look("memory://listed/list.csv") != before
    files.rm("/listed", recursive=True)
