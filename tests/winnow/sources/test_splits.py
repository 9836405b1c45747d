"""Splits are known by any spelling of their names, and what becomes of each is said."""

import pytest

from winnow.errors import InputError
from winnow.sources import splits


@pytest.mark.parametrize(
    ("name", "split"),
    [
        *[
            (name, "train")
            for name in ("train", "TRAIN", "Training", "train_images", "trainSet", "train-set", "train1")
        ],
        *[(name, "test") for name in ("Test", "testing", "TEST_SET", "test images", "testset", "imgs_test")],
        *[(name, "holdout") for name in ("holdout", "hold_out", "Held-Out")],
        *[("Validation", "validation"), ("Valid", "valid"), ("VAL", "val"), ("dev", "dev"), ("Eval", "eval")],
        *[(name, None) for name in ("train station", "test tube", "cat", "set", "images", "contest", "0", "", "fold1")],
    ],
)
def test_a_name_means_a_split_if_nothing_but_fillers_stand_beside_it(name: str, split: str | None) -> None:
    assert splits.known(name) == split


@pytest.mark.parametrize(
    ("path", "split"),
    [
        ("train-00000-of-00002.parquet", "train"),
        ("imagenet-Train-000001.tar", "train"),
        ("default/test/0000.parquet", "test"),
        ("data/validation-00000-of-00001.parquet", "validation"),
        ("MNIST_Test.parquet", "test"),
        ("imgs2-0001.tar", "imgs2"),
        ("00000.tar", "00000"),
    ],
)
def test_a_file_is_named_for_its_split(path: str, split: str) -> None:
    assert splits.of_file(path) == split


@pytest.mark.parametrize(
    ("names", "held_out", "expected"),
    [
        (["Train", "Test"], None, {"Train": "train", "Test": "test"}),
        (["train", "TRAIN", "Val"], None, {"train": "train", "TRAIN": "train", "Val": "test"}),
        (["train", "val", "test"], None, {"train": "train", "test": "test"}),
        (["train", "val", "test"], "VALIDATION", None),
        (["train", "validation", "test"], "Validation", {"train": "train", "validation": "test"}),
        (["train", "testing"], "test", {"train": "train", "testing": "test"}),
        (["train", "extra"], None, {"train": "train"}),
        (["a", "b", "test"], None, {"a": "train", "b": "train", "test": "test"}),
        (["fold1", "fold2", "fold3"], "fold2", {"fold1": "train", "fold2": "test", "fold3": "train"}),
        (["fold1", "fold2"], None, {"fold1": "train", "fold2": "train"}),
        (["test"], None, {"test": "train"}),
        (["train", "validate"], None, {"train": "train", "validate": "test"}),
        (
            ["Training", "PublicTest", "PrivateTest"],
            None,
            {"Training": "train", "PublicTest": "test", "PrivateTest": "test"},
        ),
        (["train_mini", "val"], None, {"train_mini": "train", "val": "test"}),
        (["train", "Test-Standard", "extra"], None, {"train": "train", "Test-Standard": "test"}),
        (["train", "train_extra", "val"], None, {"train": "train", "val": "test"}),
        (["train", "test", "test_hard"], None, {"train": "train", "test": "test"}),
    ],
)
def test_which_part_is_held_out(names: list[str], held_out: str | None, expected: dict[str, str] | None) -> None:
    if expected is None:
        with pytest.raises(InputError, match=r"prepare\.held_out: the source has no split 'VALIDATION'; it has test"):
            splits.roles(names, held_out)
    else:
        assert splits.roles(names, held_out) == expected


@pytest.mark.parametrize(("names", "strict"), [(["fold1", "fold2"], True), (["test", "val"], False)])
def test_parts_of_which_none_is_to_choose_from_are_named(names: list[str], strict: bool) -> None:
    with pytest.raises(InputError, match=rf"{names[0]}, {names[1]}; prepare\.held_out names the one to hold out"):
        splits.roles(names, None, strict=strict)


def test_what_becomes_of_each_split_is_said_with_counts() -> None:
    counts = {"train": 800, "test": 200, "val": 100}
    note = splits.note(counts, splits.roles(counts, None))
    assert note == "splits: train 800 to choose from; test 200 held out; val 100 not used"
    assert splits.note({"train": 800}, {"train": "train"}) is None
    assert splits.note({"imgs": 80, "more": 20}, {"imgs": "train", "more": "train"}) is None
    assert splits.note({"test": 80}, {"test": "train"}) == "splits: test 80 to choose from"


@pytest.mark.parametrize(
    ("paths", "told"),
    [
        (["train/cat/0.png", "images/Test/dog/1.png"], ["train", "Test"]),
        (["train/cat/0.png", "train/dog/1.png"], None),
        (["train/cat/0.png", "cat/1.png"], None),
        (["cat/train", "cat/test"], None),
        ([], None),
    ],
)
def test_paths_tell_splits_if_all_do_and_they_differ(paths: list[str], told: list[str] | None) -> None:
    assert splits.of_paths(paths) == told


def test_values_are_names_of_splits_if_nothing_else_is_among_them() -> None:
    assert splits.are_names(["Training", "PublicTest", "Training"])
    assert not splits.are_names(["train", "train"])
    assert not splits.are_names(["train", "test", "cat"])
    assert not splits.are_names(["train", "test", None])
    assert not splits.are_names(f"{name}{number}" for name in ("train", "test") for number in range(20))
