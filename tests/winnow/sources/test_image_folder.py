"""An image folder is listed as torchvision lists it, links and all."""

from pathlib import Path

import pytest
import torchvision

from winnow.errors import InputError
from winnow.sources import open_source


def test_classes_and_files_are_those_of_torchvision(image_folder: Path) -> None:
    (image_folder / "red/deep/er").mkdir(parents=True)
    (image_folder / "red/0.png").rename(image_folder / "red/deep/er/z.png")
    (image_folder / "Blue").mkdir()
    (image_folder / "Blue/1.png").symlink_to("../blue/1.png")
    theirs = torchvision.datasets.ImageFolder(str(image_folder))
    ours = open_source(image_folder)
    assert ours.classes == theirs.classes
    listed = {(Path(path).relative_to(image_folder).as_posix(), label) for path, label in theirs.samples}
    assert set(zip(ours.table["id"], ours.table["label"], strict=True)) == listed


def test_a_link_back_is_not_followed(image_folder: Path) -> None:
    before = open_source(image_folder).table
    (image_folder / "red/loop").symlink_to("..")
    (image_folder / "red/self").symlink_to(".")
    assert len(open_source(image_folder).table) <= len(before) + 20


def test_class_names_are_data(tmp_path: Path) -> None:
    names = ["<script>alert(1)<", "x..", "$(touch ran)", "{}", "%s", "'; DROP TABLE"]
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.png").write_bytes(b"x")
    assert open_source(tmp_path).classes == sorted(names)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (b"line\nbreak.png", r"'a/line\\nbreak\.png' has a line break in it \(U\+000A\); rename it"),
        ("a\u2028b.png".encode(), r"'a/a\\u2028b\.png' has a line break in it \(U\+2028\); rename it"),
        (b"caf\xe9.png", r"'a/caf\\udce9\.png' is not UTF-8; rename it"),
        (b"red\x1b[31m.png", r"has an escape in it \(U\+001B\); rename it"),
    ],
)
def test_a_name_that_no_list_can_hold_is_refused(tmp_path: Path, name: bytes, words: str) -> None:
    (tmp_path / "a").mkdir()
    (Path(str(tmp_path / "a")) / name.decode("utf-8", "surrogateescape")).write_bytes(b"x")
    with pytest.raises(InputError, match=words):
        open_source(tmp_path)


def test_the_split_to_hold_out_is_named(tmp_path: Path) -> None:
    for split in ("train", "val", "test"):
        (tmp_path / split / "a").mkdir(parents=True)
        (tmp_path / split / "a/1.png").write_bytes(b"x")
    table = open_source(tmp_path, held_out="val").table
    assert dict(zip(table["id"], table["split"], strict=True)) == {"train/a/1.png": "train", "val/a/1.png": "test"}
    with pytest.raises(InputError, match=r"prepare\.held_out: the source has no split 'dev'; it has test, train, val"):
        open_source(tmp_path, held_out="dev")


def test_ids_to_hold_out_come_from_a_file(image_folder: Path, tmp_path: Path) -> None:
    ids = tmp_path / "ids.txt"
    ids.write_text("red/1.png\n\nblue/2.png\n")
    table = open_source(image_folder, held_out=str(ids)).table
    assert set(table.loc[table["split"] == "test", "id"]) == {"red/1.png", "blue/2.png"}
    ids.write_text("red/1.png\nred/99.png\n")
    with pytest.raises(InputError, match=r"names 1 ids that the source lacks: red/99\.png"):
        open_source(image_folder, held_out=str(ids))
