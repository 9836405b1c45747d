"""Folders as people lay them out: splits above, below and beside classes, files of systems, tables beside."""

from pathlib import Path

import pytest
from support import refusal

from winnow.sources import Source, open_source


def make(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())
    return root


def parts(source: Source) -> dict[str, str]:
    return dict(zip(source.table["id"], source.table["split"], strict=True))


def each(pattern: str, *values: str) -> list[str]:
    """The pattern with each value, for two images of each of two classes."""
    return [pattern.format(value, name, row) for value in values for name in ("cat", "dog") for row in range(2)]


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("Train", "Test"),
        ("training", "testing"),
        ("TRAIN", "VAL"),
        ("train_images", "test_images"),
        ("train", "dev"),
        ("trainset", "holdout"),
        ("Training Set", "Eval"),
        ("train", "validate"),
        ("train", "public_test"),
        ("2021_train_mini", "2021_valid"),
    ],
)
@pytest.mark.parametrize(
    "pattern", ["{0}/{1}/{2}.png", "{1}/{0}/{2}.png", "data/{0}/{1}/{2}.png", "a/b/{0}/{1}/{2}.png"]
)
def test_splits_are_seen_above_and_below_classes(tmp_path: Path, train: str, test: str, pattern: str) -> None:
    source = open_source(make(tmp_path, *each(pattern, train, test)))
    assert source.classes == ["cat", "dog"]
    expected = dict.fromkeys(each(pattern, train), "train") | dict.fromkeys(each(pattern, test), "test")
    assert parts(source) == expected
    assert f"splits: {train} 4 to choose from; {test} 4 held out" in source.notes


def test_splits_that_are_not_used_are_said(tmp_path: Path) -> None:
    source = open_source(make(tmp_path, *each("{}/{}/{}.png", "train", "test", "val", "extra")))
    assert source.notes == ("splits: train 4 to choose from; test 4 held out; extra 4, val 4 not used",)
    source = open_source(tmp_path, held_out="Validation".lower()[:3])
    assert {split for name, split in parts(source).items() if name.startswith("val")} == {"test"}


def test_folders_to_choose_from_may_be_named(tmp_path: Path) -> None:
    source = open_source(make(tmp_path, *each("{}/{}/{}.png", "fold1", "fold2", "fold3")), held_out="fold2")
    assert source.classes == ["cat", "dog"]
    assert set(parts(source).values()) == {"train", "test"}
    assert all((split == "test") == name.startswith("fold2") for name, split in parts(source).items())


def test_a_test_folder_beside_classes_is_held_out(tmp_path: Path) -> None:
    source = open_source(make(tmp_path, "cat/0.png", "dog/0.png", "test/cat/1.png", "test/dog/1.png"))
    assert source.classes == ["cat", "dog"]
    assert [name for name, split in parts(source).items() if split == "test"] == ["test/cat/1.png", "test/dog/1.png"]


def test_a_class_may_be_called_train_or_test(tmp_path: Path) -> None:
    source = open_source(make(tmp_path, "car/0.jpg", "bus/0.jpg", "train/0.jpg"))
    assert source.classes == ["bus", "car", "train"]
    assert source.notes == ("the folder train holds images itself, so it is taken for a class",)
    make(tmp_path, "train/steam/1.jpg", "train/2.jpg")
    assert open_source(tmp_path).classes == ["bus", "car", "train"]


def test_unlabelled_images_beside_splits_are_not_used(tmp_path: Path) -> None:
    source = open_source(make(tmp_path, *each("{}/{}/{}.png", "train", "val"), "test/0.png", "test/1.png"))
    assert set(parts(source)) == {*each("{}/{}/{}.png", "train", "val")}
    assert "files of the folder test, which has no folders of classes: 2 passed over" in source.notes


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["train/0.jpg", "test/0.jpg", "train.csv"], ["images right in test, train", "/train.csv"]),
        (["train/0.jpg", "test/0.jpg", "train/metadata.jsonl"], ["images right in", "/train/metadata.jsonl"]),
        (["train2017/0.jpg", "val2017/0.jpg", "annotations/a.json"], ["images right in train2017, val2017"]),
        (["images/train/0.jpg", "images/val/0.jpg", "labels/train/0.txt", "labels/val/0.txt"], ["images right in"]),
        (["0.jpg", "1.jpg", "metadata.csv"], ["has no folders", "set prepare.source to", "/metadata.csv"]),
        (["0.jpg", "1.jpg"], ["has no folders"]),
        (["images/0.jpg", "images/1.jpg", "labels.csv"], ["one folder of images, and the table labels.csv"]),
        (["a/train/x/0.jpg", "b/train/x/0.jpg"], ["a, b hold splits of their own; name one of them"]),
        (["cat/train/0.jpg", "cat/test/0.jpg", "dog/0.jpg"], ["'cat' holds folders of splits (", "and 'dog' does not"]),
        (["test/a/0.jpg", "val/a/0.jpg"], ["no split to choose from: test, val; prepare.held_out names"]),
        (each("{}/{}/{}.png", "xtrain", "xtest"), ["xtest, xtrain", "hold the same folders (cat, dog) and look like"]),
        (["train/a/0.jpg", "test/A/0.jpg"], ["the split test has the class 'A', which is not among"]),
    ],
)
def test_a_layout_that_can_mean_several_things_is_refused(tmp_path: Path, names: list[str], words: list[str]) -> None:
    message = refusal(make(tmp_path, *names))
    assert [word for word in words if word not in message] == []


def test_files_of_systems_and_sidecars_are_passed_over_with_a_count(tmp_path: Path) -> None:
    system = ["Thumbs.db", "desktop.ini", ".DS_Store", "._0.png", "Icon\r", "ehthumbs.db", "Picasa.ini", "~$0.docx"]
    names = [f"{folder}/{name}" for folder in ("cat", "dog") for name in ("0.png", *system)]
    make(tmp_path, *names, "@eaDir/x.png", "__MACOSX/cat/0.png", "$RECYCLE.BIN/x.png", ".ipynb_checkpoints/a.png")
    make(tmp_path, "cat/0.txt", "cat/0.png.json", "dog/0.xml", "cat/alone.txt", "README.md")
    source = open_source(tmp_path)
    assert source.classes == ["cat", "dog"]
    assert list(parts(source)) == ["cat/0.png", "cat/alone.txt", "dog/0.png"]
    assert set(source.notes) == {
        "files beside the folders of classes: 1 passed over",
        "files beside an image of the same name: 3 passed over",
        "hidden files, and those of operating systems: 20 passed over",
    }


def test_what_tells_of_a_data_set_is_no_image(tmp_path: Path) -> None:
    source = open_source(make(tmp_path, "cat/0.png", "cat/README.txt", "dog/0.png", "dog/LICENSE", "dog/licensed.png"))
    assert list(parts(source)) == ["cat/0.png", "dog/0.png", "dog/licensed.png"]
    assert source.notes == ("README, LICENSE and the like beside images: 2 passed over",)


def test_classes_that_hold_folders_are_said(tmp_path: Path) -> None:
    source = open_source(make(tmp_path, "animals/cat/0.png", "animals/dog/0.png", "plants/oak/0.png"))
    assert source.classes == ["animals", "plants"]
    assert source.notes == ("the classes animals hold several folders, whose images all count for the class",)


def test_a_folder_of_what_is_said_of_images_is_no_class(tmp_path: Path) -> None:
    source = open_source(make(tmp_path, "cat/0.png", "dog/0.png", "annotations/0.json", "annotations/1.json"))
    assert source.classes == ["cat", "dog"]
    assert source.notes == ("files of the folder annotations, which holds no images: 2 passed over",)


@pytest.mark.parametrize("pattern", ["seg_{0}/seg_{0}/{1}/{2}.png", "{0}/images/{1}/{2}.png", "cats_{0}/{1}/{2}.png"])
def test_splits_are_seen_in_pairs_of_names_and_within_a_folder(tmp_path: Path, pattern: str) -> None:
    source = open_source(make(tmp_path, *each(pattern, "train", "test")))
    assert source.classes == ["cat", "dog"]
    assert set(parts(source)) == set(each(pattern, "train", "test"))
    assert all((split == "test") == ("test" in name) for name, split in parts(source).items())


def test_a_validation_set_without_classes_is_not_used(tmp_path: Path) -> None:
    """As tiny-imagenet has it."""
    names = [
        *each("{}/{}/images/{}.JPEG", "train"),
        "val/images/0.JPEG",
        "val/val_annotations.txt",
        "test/images/0.JPEG",
    ]
    source = open_source(make(tmp_path, *names))
    assert source.classes == ["cat", "dog"]
    assert set(parts(source).values()) == {"train"}
    assert "files of the folder val, which has no folders of classes: 2 passed over" in source.notes


def test_folders_that_hold_the_same_folders_are_said(tmp_path: Path) -> None:
    source = open_source(make(tmp_path, *each("{}/{}/{}.png", "images", "masks")))
    assert source.classes == ["images", "masks"]
    assert source.notes[0].startswith("the folders images, masks hold the same folders (cat, dog); each is taken for a")


def test_one_folder_of_images_is_said_to_be_one_class(tmp_path: Path) -> None:
    source = open_source(make(tmp_path, "data/0.png", "1.png"))
    assert "all images to choose from are in the folder data, so there is one class" in source.notes


def test_one_folder_of_classes_is_gone_into(tmp_path: Path) -> None:
    source = open_source(make(tmp_path, "PetImages/Cat/0.jpg", "PetImages/Dog/0.jpg", "readme.txt"))
    assert source.classes == ["Cat", "Dog"]
    assert "the data set is taken to be in the folder PetImages" in source.notes
