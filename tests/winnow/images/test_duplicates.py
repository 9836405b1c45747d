"""Copies are found by their bytes; which of them can be spared follows from labels and splits."""

import pandas as pd

from winnow.images import duplicates


def index(*rows: tuple[str, int, str, str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["id", "label", "split", "sha256"])


def spared(*rows: tuple[str, int, str, str]) -> list[str]:
    found = duplicates.exact(index(*rows))
    return sorted(found.loc[found["spare"], "id"])


def test_images_that_are_alone_are_not_reported() -> None:
    assert duplicates.exact(index(("a", 0, "train", "x"), ("b", 0, "train", "y"))).empty


def test_of_copies_with_one_label_the_first_stays() -> None:
    assert spared(("a", 0, "train", "x"), ("b", 0, "train", "x"), ("c", 0, "train", "x")) == ["b", "c"]


def test_of_copies_of_what_is_held_out_none_stays_in_the_pool() -> None:
    assert spared(("a", 0, "train", "x"), ("b", 0, "test", "x"), ("c", 0, "test", "x")) == ["a"]


def test_of_copies_with_other_labels_none_stays_in_the_pool() -> None:
    rows = ("a", 0, "train", "x"), ("b", 1, "train", "x"), ("c", 0, "test", "x"), ("d", 1, "train", "y")
    assert spared(*rows) == ["a", "b"]
    assert duplicates.exact(index(*rows))["conflict"].all()


def test_groups_stand_together_in_the_order_of_their_first() -> None:
    rows = ("a", 0, "train", "z"), ("b", 0, "train", "x"), ("c", 0, "train", "z"), ("d", 0, "train", "x")
    assert duplicates.exact(index(*rows))["id"].tolist() == ["a", "c", "b", "d"]
